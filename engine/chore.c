#include "engine/chore.h"

#include "engine/message.h"
#include "engine/purge.h"
#include "engine/scope_private.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"
#include "store/v1/store.pb.h"

#define SECOND_NS INT64_C(1000000000)

/* A person who looks at a key's last use does not mind a minute; neither do slots of dead readers, of which there are
 * none unless a process died. */
#define PERIOD_NS (60 * SECOND_NS)

/* After a failure, and while a restore holds what is on the list. */
#define RETRY_NS (5 * SECOND_NS)

/* Keys whose use one transaction records: as many puts as a batch of calls. */
#define KEY_USES_MAX 256

void chore_init(struct chore *chore, int64_t now_ns)
{
        *chore = (struct chore){now_ns, now_ns + PERIOD_NS, now_ns + PERIOD_NS};
}

void chore_purge_soon(struct chore *chore, int64_t now_ns)
{
        if (now_ns < chore->purge_ns) chore->purge_ns = now_ns;
}

int64_t chore_due_ns(const struct chore *chore)
{
        int64_t due = chore->purge_ns;

        if (chore->key_uses_ns < due) due = chore->key_uses_ns;
        return chore->readers_ns < due ? chore->readers_ns : due;
}

struct key_uses {
        struct keyuse uses[KEY_USES_MAX];
        size_t count;
};

/* A key that is gone or cannot be read keeps what it says. No change row is written and the revision stays: nobody
 * edited the record. */
static enum result record_use(struct txn *txn, const struct keyuse *use)
{
        const struct row row = {.kind = ROW_KEY, .id = use->key};
        const struct scope *scope;
        struct record record;
        store_v1_ApiKey key;
        struct bytes body;

        if (scope_system(txn, (struct owner){OWNER_USER, use->user}, &scope) != R_OK) return R_OK;
        if (scope_get(scope, &row, &record) != R_OK) return R_OK;
        if (message_load(&store_v1_ApiKey_msg, record.body, &key) != R_OK) return R_OK;
        if (key.last_used_at_ms >= use->time_ms) return R_OK;
        key.last_used_at_ms = use->time_ms;
        if (message_store(txn_arena(txn), &store_v1_ApiKey_msg, &key, &body) != R_OK) return R_OK;
        return scope_put(scope, &row, record.revision, body);
}

static enum result record_uses(struct txn *txn, void *arg)
{
        const struct key_uses *uses = arg;
        enum result r;
        size_t i;

        for (i = 0; i < uses->count; i++) {
                if ((r = record_use(txn, &uses->uses[i])) != R_OK) return r;
        }
        return R_OK;
}

static enum result step_purge(struct chore *chore, int64_t now_ns, chore_run_fn *run, void *context,
                              uint64_t *row_count)
{
        struct purge_step step;
        enum result r;

        chore->purge_ns = now_ns + RETRY_NS;
        if ((r = run(context, true, purge_run, &step)) != R_OK) return r;
        *row_count += step.row_count;
        chore->purge_ns = step.has_more ? now_ns : step.is_held ? now_ns + RETRY_NS : INT64_MAX;
        return R_OK;
}

static enum result step_key_uses(struct chore *chore, struct store *store, int64_t now_ns, chore_run_fn *run,
                                 void *context)
{
        struct key_uses uses;

        uses.count = keyuse_take(&store->key_uses, uses.uses, KEY_USES_MAX);
        chore->key_uses_ns = uses.count == KEY_USES_MAX ? now_ns : now_ns + PERIOD_NS;
        return uses.count == 0 ? R_OK : run(context, false, record_uses, &uses);
}

enum result chore_step(struct chore *chore, struct store *store, int64_t now_ns, bool can_grow, chore_run_fn *run,
                       void *context, uint64_t *row_count)
{
        if (chore->readers_ns <= now_ns) {
                chore->readers_ns = now_ns + PERIOD_NS;
                txn_check_readers(store);
        }
        if (chore->purge_ns <= now_ns) return step_purge(chore, now_ns, run, context, row_count);
        if (chore->key_uses_ns <= now_ns) {
                if (can_grow) return step_key_uses(chore, store, now_ns, run, context);
                chore->key_uses_ns = now_ns + PERIOD_NS;
        }
        return R_OK;
}
