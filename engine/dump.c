#include "engine/dump.h"

#include <stdlib.h>
#include <string.h>

#include "engine/dump_delta.h"
#include "engine/dump_frame.h"
#include "engine/dump_write.h"
#include "engine/scope.h"

/* The app whose rows are read, and whether they count. */
struct walked {
        bool has_app, is_visible;
        struct uuid app;
};

/* An app's record comes before its other rows; where it does not, they are waiting to be purged. */
static bool counts(struct walked *walked, const struct row *row)
{
        if (!row_kind_is_under_app(row->kind)) return true;
        if (!walked->has_app || !uuid_equal(walked->app, row->app))
                *walked = (struct walked){true, row->kind == ROW_APP, row->app};
        return walked->is_visible;
}

/* What is dumped, and what for. */
struct dumping {
        struct dump_run *run;
        struct dump_writer *writer;

        /* of an incremental dump */
        struct dump_writer *whole; /* finds what a changed owner is as a whole */
        struct dump_delta delta;
        bool has_base;          /* the base has another owner */
        struct dump_entry base; /* and this is what it says of that one */
};

/* Names that are gone and come before `key`; NULL: all. */
static enum result put_gone(struct dumping *dumping, const struct key *key)
{
        struct dump_delta *delta = &dumping->delta;
        enum result r = R_OK;

        while (r == R_OK && delta->gone_given < delta->gone.count) {
                const struct dump_name *name = &delta->gone.names[delta->gone_given];

                if (key != NULL && dump_key_compare(&name->key, key) > 0) break;
                delta->gone_given++;
                r = dump_writer_gone(dumping->writer, &name->row);
        }
        return r;
}

/* Whether the delta has this row. */
static bool is_changed(const struct dumping *dumping, const struct row *row, const struct record *record,
                       bool app_is_new)
{
        if (record->revision > dumping->base.state.revision || row->kind == ROW_PROFILE || row->kind == ROW_KEY)
                return true;
        return app_is_new && row_kind_is_under_app(row->kind);
}

static enum result put_row(struct dumping *dumping, const struct scope *scope, const struct row *row,
                           const struct record *record, bool *app_is_new)
{
        struct key key;
        enum result r;

        if ((r = dump_writer_record(dumping->whole, row, record)) != R_OK) return r;
        key_owner(scope_owner(scope), &key);
        key_append(&key, row);
        if ((r = put_gone(dumping, &key)) != R_OK) return r;
        if (row->kind == ROW_APP) *app_is_new = dump_delta_has_made(&dumping->delta, &key);
        if (!is_changed(dumping, row, record, *app_is_new)) return R_OK;
        return dump_writer_record(dumping->writer, row, record);
}

/* All rows that count: into the dump, or what of them a delta has. */
static enum result dump_rows(struct dumping *dumping, const struct scope *scope, bool is_delta)
{
        SCAN_SCOPE struct scan scan = {0};
        struct walked walked = {0};
        bool app_is_new = false;
        struct record record;
        struct row row;
        enum result r;

        if ((r = scan_open_all(scope, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                dumping->run->row = row;
                if (!row_kind_is_primary(row.kind) || !counts(&walked, &row)) continue;
                r = is_delta ? put_row(dumping, scope, &row, &record, &app_is_new)
                             : dump_writer_record(dumping->writer, &row, &record);
                if (r != R_OK) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

static enum result dump_whole(struct dumping *dumping, const struct scope *scope)
{
        enum result r;

        if ((r = dump_writer_owner(dumping->writer, scope_owner(scope))) != R_OK) return r;
        return dump_rows(dumping, scope, false);
}

static enum result dump_delta(struct dumping *dumping, const struct scope *scope)
{
        const struct owner owner = scope_owner(scope);
        struct dump_entry whole;
        enum result r;

        if ((r = dump_writer_owner(dumping->whole, owner)) != R_OK) return r;
        if ((r = dump_writer_delta(dumping->writer, owner)) != R_OK) return r;
        if ((r = dump_rows(dumping, scope, true)) != R_OK) return r;
        if ((r = put_gone(dumping, NULL)) != R_OK) return r;
        if ((r = dump_writer_end(dumping->whole, &whole)) != R_OK) return r;
        dump_writer_whole(dumping->writer, &whole);
        return R_OK;
}

/* Of an owner that the base has. Who was named stands in the dump even if nothing has changed: then what is not in it
 * is none of it. */
static enum result dump_since(struct dumping *dumping, const struct scope *scope)
{
        struct dump_state now;
        enum result r;

        if ((r = dump_delta_state(scope, &now)) != R_OK) return r;
        if (dump_state_is_equal(&now, &dumping->base.state) && now.revision > 0 && dumping->run->owner_count == 0)
                return dump_writer_unchanged(dumping->writer, scope_owner(scope), &dumping->base);
        r = dump_delta_find(scope, &now, &dumping->base.state, &dumping->delta);
        if (r == R_OK) return dump_delta(dumping, scope);
        if (r != R_ABSENT) return r;
        dumping->run->whole_owners++;
        return dump_whole(dumping, scope);
}

/* ---- The base's owners, side by side with ours ---- */

static enum result next_base(struct dumping *dumping)
{
        struct dump_base *base = dumping->run->base;
        enum result r;

        dumping->has_base = false;
        if (base == NULL) return R_OK;
        r = base->next(base->context, &dumping->base);
        dumping->has_base = r == R_OK;
        return r == R_ABSENT ? R_OK : r;
}

/* An owner of the base that is not met any more. */
static enum result put_gone_owner(struct dumping *dumping)
{
        struct owner owner;
        enum result r;

        if ((r = dump_entry_owner(&dumping->base, &owner)) != R_OK) return r;
        return dump_writer_gone_owner(dumping->writer, owner);
}

/* Past all that come before `owner`; NULL: all. */
static enum result pass_base(struct dumping *dumping, const struct owner *owner)
{
        struct key prefix;
        enum result r = R_OK;

        if (owner != NULL) key_owner(*owner, &prefix);
        while (r == R_OK && dumping->has_base &&
               (owner == NULL || memcmp(dumping->base.owner, prefix.data, OWNER_PREFIX_SIZE) < 0)) {
                if (dumping->run->owner_count == 0) r = put_gone_owner(dumping);
                if (r == R_OK) r = next_base(dumping);
        }
        return r;
}

/* One without a profile is being purged: R_ABSENT. */
static enum result dump_owner(struct dumping *dumping, const struct scope *scope)
{
        const struct row profile = {.kind = ROW_PROFILE};
        struct dump_run *run = dumping->run;
        struct key prefix;
        enum result r;

        run->owner = scope_owner(scope);
        run->row = profile;
        if ((r = scope_exists(scope, &profile)) != R_OK) return r;
        if ((r = pass_base(dumping, &run->owner)) != R_OK) return r;
        key_owner(run->owner, &prefix);
        if (!dumping->has_base || memcmp(dumping->base.owner, prefix.data, OWNER_PREFIX_SIZE) != 0)
                return dump_whole(dumping, scope);
        if ((r = dump_since(dumping, scope)) != R_OK) return r;
        return next_base(dumping);
}

static enum result dump_all(struct txn *txn, struct dumping *dumping)
{
        struct scope_walk walk = {0};
        const struct scope *scope;
        enum result r;

        while ((r = scope_each(txn, 0, &walk, &scope)) == R_OK) {
                r = dump_owner(dumping, scope);
                if (r != R_OK && r != R_ABSENT) return r;
        }
        return r == R_ABSENT ? pass_base(dumping, NULL) : r;
}

/* In the order of keys: teams before users, then by id. */
static int compare_owners(const void *a, const void *b)
{
        const struct owner *one = a, *two = b;

        if (one->kind != two->kind) return one->kind < two->kind ? -1 : 1;
        return memcmp(one->id.bytes, two->id.bytes, UUID_SIZE);
}

/* Where a walk goes on whose next owner is `owner`, if that has any row. */
static struct scope_walk walk_to(struct owner owner)
{
        struct scope_walk walk = {.owner = owner, .has_owner = true};
        size_t i = UUID_SIZE;

        while (i > 0 && walk.owner.id.bytes[--i]-- == 0)
                ;
        if (walk.owner.id.bytes[i] != 0xff || i > 0) return walk;
        walk.has_owner = owner.kind == OWNER_USER; /* nothing is before the first team */
        walk.owner.kind = OWNER_TEAM;
        return walk;
}

static enum result dump_one(struct txn *txn, struct dumping *dumping, struct owner owner)
{
        struct scope_walk walk = walk_to(owner);
        const struct scope *scope;
        enum result r;

        dumping->run->owner = owner;
        if ((r = scope_each(txn, 0, &walk, &scope)) != R_OK) return r;
        if (compare_owners(&walk.owner, &owner) != 0) return R_ABSENT;
        return dump_owner(dumping, scope);
}

static enum result dump_some(struct txn *txn, struct dumping *dumping)
{
        struct dump_run *run = dumping->run;
        enum result r;
        size_t i;

        qsort(run->owners, run->owner_count, sizeof *run->owners, compare_owners);
        for (i = 0; i < run->owner_count; i++) {
                if (i > 0 && compare_owners(&run->owners[i - 1], &run->owners[i]) == 0) continue;
                if ((r = dump_one(txn, dumping, run->owners[i])) != R_OK) return r;
        }
        return R_OK;
}

/* ---- All of it ---- */

static enum result check_base(struct txn *txn, const struct dump_base *base)
{
        const struct store *store = txn_store(txn);
        struct uuid id = store_id(store);

        if (base == NULL) return R_OK;
        if (!uuid_equal(base->header.store_id, id))
                return fault_set(txn_fault(txn), R_WRONG_STATE, "The base is a dump of another store.");
        if (base->header.restore_epoch != store_restore_epoch(store))
                return fault_set(txn_fault(txn), R_WRONG_STATE,
                                 "The store was restored after the base was dumped: a full dump is needed first.");
        return R_OK;
}

static enum result dump_into(struct txn *txn, struct dumping *dumping)
{
        struct dump_run *run = dumping->run;
        enum result r;

        if (run->base != NULL && (r = dump_writer_open_nowhere(NULL, NULL, &dumping->whole)) != R_OK) return r;
        if ((r = next_base(dumping)) != R_OK) return r;
        r = run->owner_count > 0 ? dump_some(txn, dumping) : dump_all(txn, dumping);
        if (r == R_OK) r = dump_writer_finish(dumping->writer);
        if (r != R_OK) return r;
        run->counts = *dump_writer_counts(dumping->writer);
        memcpy(run->root_hash, dump_writer_root_hash(dumping->writer), SHA256_SIZE);
        return R_OK;
}

enum result dump_store(struct txn *txn, void *arg)
{
        struct dump_run *run = arg;
        struct dumping dumping = {.run = run};
        struct store *store = txn_store(txn);
        struct dump_header header = {
                .store_id = store_id(store),
                .restore_epoch = store_restore_epoch(store),
                .time_ms = store_time_ms(store), /* the snapshot has been taken */
                .is_demo = store_is_demo(store),
                .is_partial = run->owner_count > 0,
                .is_incremental = run->base != NULL,
        };
        enum result r;

        if ((r = check_base(txn, run->base)) != R_OK) return r;
        if (run->base != NULL) {
                memcpy(header.base_root_hash, run->base->root_hash, SHA256_SIZE);
                header.base_time_ms = run->base->header.time_ms;
        }
        r = dump_writer_open_sealed(&header, run->key, run->write, run->context, &dumping.writer);
        if (r != R_OK) return r;
        r = dump_into(txn, &dumping);
        dump_writer_close(dumping.writer);
        dump_writer_close(dumping.whole);
        dump_delta_fini(&dumping.delta);
        return r;
}
