#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <allod/v1/team.pb-c.h>

#include "engine/apikey.h"
#include "engine/derive.h"
#include "engine/job.h"
#include "engine/membership.h"
#include "engine/message.h"
#include "engine/owner.h"
#include "engine/profile.h"
#include "engine/purge.h"
#include "engine/restore_owner_private.h"
#include "engine/scope.h"

/* Where one transaction ends. A job's state is the dearest record, with five or six puts: some 5 ms, a quarter of what
 * the writer spends on a batch. A row that is purged counts as one, and is cheaper; the last app's purge may go beyond
 * by PURGE_ROWS_MAX of them. */
#define RECORDS_MAX 400
#define BYTES_MAX   ((size_t)1 << 20)

/* Users whose teams one transaction counts, of which each has at most USER_TEAMS_MAX: 10,000 rows, or a few ms. */
#define USERS_MAX 10

/* What a transaction has done so far. */
struct step {
        size_t count; /* records that were put, and rows that were purged */
        size_t size;  /* of the records */
        bool is_unfinished;
};

static const struct row profile_row = {.kind = ROW_PROFILE};

static enum result open_owner(struct txn *txn, const struct put *put, const struct scope **out)
{
        return scope_restored(txn, put->restore->admin, put->restore->as, out);
}

static bool is_renamed(const struct restore_owner *restore)
{
        return !uuid_equal(restore->owner.id, restore->as.id);
}

/* ---- Keys, members and invitations ---- */

/* What of them is restored. */
struct choice {
        bool takes[IDENTITY_ROWS_MAX];
        const struct scope *inboxes[IDENTITY_ROWS_MAX]; /* of the users of members that are */
        uint32_t member_count, owner_count;
        uint64_t keys_taken; /* dropped because the store has them */
};

/* Whether the owner whose dump it is exists beside the one it becomes; who then is told so. */
static enum result look_at_old_owner(struct txn *txn, const struct restore_owner *restore, bool *is_there)
{
        const struct scope *scope;
        char owner[OWNER_TEXT_SIZE], why[64];
        enum result r;

        *is_there = false;
        if (!is_renamed(restore)) return R_OK;
        snprintf(why, sizeof why, "restored as %s", owner_format(restore->as, owner));
        r = scope_admin(txn, restore->admin, restore->owner, why, &scope);
        if (r == R_OK) r = scope_exists(scope, &profile_row);
        if (r == R_OK) *is_there = true;
        return r == R_ABSENT ? R_OK : r;
}

static enum result choose_key(const struct scope *scope, struct bytes body, struct choice *choice, bool *takes)
{
        store_v1_ApiKey key;
        enum result r;

        if ((r = message_load(store_v1_ApiKey_fields, body, &key)) != R_OK) return r;
        r = scope_key_is_taken(scope, key.digest.bytes);
        if (r == R_OK) choice->keys_taken++;
        *takes = r == R_ABSENT;
        return r == R_ABSENT ? R_OK : r;
}

/* The user must be there still. *inbox: NULL if not. */
static enum result choose_member(const struct scope *team, const struct identity_row *row, struct choice *choice,
                                 const struct scope **inbox)
{
        store_v1_Member member;
        enum result r;

        if ((r = message_load(store_v1_Member_fields, row->body, &member)) != R_OK) return r;
        r = scope_inbox(team, row->row.id, inbox);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        choice->member_count++;
        if (member.role == ALLOD__V1__ROLE__ROLE_OWNER) choice->owner_count++;
        return R_OK;
}

static enum result choose_each(const struct scope *scope, const struct put *put, struct choice *choice)
{
        const struct identity *identity = put->identity;
        enum result r = R_OK;
        size_t i;

        memset(choice, 0, sizeof *choice);
        for (i = 0; i < identity->row_count && r == R_OK; i++) {
                const struct identity_row *row = &identity->rows[i];

                if (row->row.kind == ROW_KEY)
                        r = choose_key(scope, row->body, choice, &choice->takes[i]);
                else if (row->row.kind != ROW_MEMBER)
                        choice->takes[i] = !is_renamed(put->restore);
                else if (!put->state.is_full[i])
                        r = choose_member(scope, row, choice, &choice->inboxes[i]);
                if (choice->inboxes[i] != NULL) choice->takes[i] = true;
        }
        return r;
}

/* The old owner keeps the keys. */
static void drop_keys(const struct put *put, struct choice *choice)
{
        size_t i;

        for (i = 0; i < put->identity->row_count; i++)
                if (put->identity->rows[i].row.kind == ROW_KEY) choice->takes[i] = false;
}

/* What refuses comes before somebody hears of the look, which is a put. */
static enum result choose(const struct scope *scope, const struct put *put, struct choice *choice)
{
        const struct restore_owner *restore = put->restore;
        struct txn *txn = scope_txn(scope);
        bool old_is_there;
        enum result r;

        if ((r = choose_each(scope, put, choice)) != R_OK) return r;
        if (restore->as.kind == OWNER_TEAM && choice->owner_count == 0)
                return fault_set(txn_fault(txn), R_WRONG_STATE,
                                 "None of the team's OWNERs is a user of this store; restore one of them first.");
        if ((r = look_at_old_owner(txn, restore, &old_is_there)) != R_OK) return r;
        if (old_is_there)
                drop_keys(put, choice);
        else if (restore->on_conflict == RESTORE_FAIL && choice->keys_taken > 0)
                return fault_set(txn_fault(txn), R_EXISTS,
                                 "%" PRIu64 " of the user's keys are in the store already, under another user.",
                                 choice->keys_taken);
        return R_OK;
}

static void count_row(struct restore_owner_counts *counts, enum row_kind kind, bool takes)
{
        uint64_t *taken = kind == ROW_KEY      ? &counts->keys
                          : kind == ROW_MEMBER ? &counts->members
                                               : &counts->invitations;
        uint64_t *dropped = kind == ROW_KEY      ? &counts->keys_dropped
                            : kind == ROW_MEMBER ? &counts->members_dropped
                                                 : &counts->invitations_dropped;

        ++*(takes ? taken : dropped);
}

/* ---- The beginning ---- */

static void say_why(const struct restore_owner *restore, const struct dump_header *header, char *out, size_t size)
{
        time_t seconds = (time_t)(header->time_ms / 1000);
        char owner[OWNER_TEXT_SIZE], time_text[32] = "?";
        struct tm tm;

        if (gmtime_r(&seconds, &tm) != NULL) strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        snprintf(out, size, "a dump of %s of %s is restored", owner_format(restore->owner, owner), time_text);
}

static enum result begin_new(struct txn *txn, struct put *put, const struct scope *scope)
{
        struct choice *choice = arena_alloc(txn_arena(txn), sizeof *choice);
        enum result r;
        size_t i;

        if (choice == NULL) return R_NO_MEMORY;
        r = scope_check_unused(scope);
        if (r == R_EXISTS)
                return fault_set(txn_fault(txn), R_WRONG_STATE,
                                 "This ID was deleted and is not free yet; try again in a while.");
        if (r == R_OK) r = choose(scope, put, choice);
        if (r != R_OK) return r;
        put->is_new = put->next.counts.is_new = true;
        for (i = 0; put->restore->is_dry && i < put->identity->row_count; i++)
                count_row(&put->next.counts, put->identity->rows[i].row.kind, choice->takes[i]);
        return R_OK;
}

/* Who may do what stays as it is, and a restore into a dead owner's place is none. */
static enum result begin_there(struct txn *txn, struct put *put)
{
        const struct identity *identity = put->identity;
        char owner[OWNER_TEXT_SIZE];
        const struct scope *scope;
        enum result r;
        size_t i;

        put->is_new = false;
        if (put->restore->on_conflict == RESTORE_FAIL)
                return fault_set(txn_fault(txn), R_EXISTS, "There is %s already.",
                                 owner_format(put->restore->as, owner));
        for (i = 0; i < identity->row_count; i++)
                count_row(&put->next.counts, identity->rows[i].row.kind, false);
        if (!put->restore->is_dry) return R_OK;
        r = scope_admin(txn, put->restore->admin, put->restore->as, "a restore is tried", &scope);
        return r;
}

enum result put_begin(struct txn *txn, void *arg)
{
        struct put *put = arg;
        const struct scope *scope;
        char why[160];
        enum result r;

        put->next = put->state;
        if ((r = open_owner(txn, put, &scope)) != R_OK) return r;
        r = scope_exists(scope, &profile_row);
        if (r == R_OK)
                r = begin_there(txn, put);
        else if (r == R_ABSENT)
                r = begin_new(txn, put, scope);
        if (r != R_OK || put->restore->is_dry) return r;
        say_why(put->restore, &put->restore->header, why, sizeof why);
        if (put->is_new && (r = scope_purge_owner(scope)) != R_OK) return r;
        return scope_begin_restore(scope, why);
}

/* ---- Apps ---- */

/* The app that was being put is seen from now on. */
static enum result end_app(const struct scope *scope, struct put *put)
{
        struct put_state *next = &put->next;
        const struct row row = {.kind = ROW_APP, .app = next->app};
        bool is_seen = !next->has_app || next->is_kept || put->is_new || put->restore->is_dry;
        uint64_t revision;
        enum result r;

        next->has_app = next->is_cleared = false;
        if (is_seen) return R_OK;
        if ((r = scope_change(scope, CHANGE_CREATE, &row, &revision)) != R_OK) return r;
        if ((r = scope_put(scope, &row, revision, next->app_body)) != R_OK) return r;
        return scope_keep_app(scope, next->app);
}

/* Of an owner who was not there: nobody sees any of it yet. */
static enum result begin_new_app(const struct scope *scope, struct put *put, const struct dump_record *record)
{
        uint64_t revision;
        enum result r;

        put->next.counts.apps++;
        if (put->restore->is_dry) return R_OK;
        if ((r = scope_change(scope, CHANGE_CREATE, &record->row, &revision)) != R_OK) return r;
        return scope_put(scope, &record->row, revision, record->body);
}

/* Make its place empty, and put it on the purge list: what is put there counts only when the record is there. The
 * deletion is written also where there is nothing: it says that what the log tells of the app from before, of a restore
 * that was interrupted for one, counts no more. */
static enum result clear_app(const struct scope *scope, struct put *put, const struct row *row, bool is_there)
{
        uint64_t revision;
        enum result r;

        if ((r = scope_change(scope, CHANGE_DELETE, row, &revision)) != R_OK) return r;
        if (is_there && (r = scope_delete(scope, row)) != R_OK) return r;
        put->next.is_cleared = true;
        return scope_purge_app(scope, row->app);
}

/* step->is_unfinished: there is still something to purge, in another transaction, where this record comes again. */
static enum result begin_app(const struct scope *scope, struct put *put, const struct dump_record *record,
                             struct step *step)
{
        struct put_state *next = &put->next;
        bool is_there;
        enum result r;

        if (next->has_app && !uuid_equal(next->app, record->row.app) && (r = end_app(scope, put)) != R_OK) return r;
        next->has_app = true;
        next->is_kept = false;
        next->app = record->row.app;
        next->app_body = record->body;
        if (put->is_new) return begin_new_app(scope, put, record);
        if (!next->is_cleared) {
                r = scope_app_exists(scope, next->app);
                if (r != R_OK && r != R_ABSENT) return r;
                is_there = r == R_OK;
                next->is_kept = is_there && put->restore->on_conflict == RESTORE_SKIP;
                if (next->is_kept) next->counts.apps_kept++;
                if (next->is_kept) return R_OK;
                next->counts.apps++;
                if (is_there) next->counts.apps_replaced++;
                if (put->restore->is_dry) return R_OK;
                if ((r = clear_app(scope, put, &record->row, is_there)) != R_OK) return r;
        }
        return purge_app(scope, next->app, &step->count, &step->is_unfinished);
}

/* The revision of the row that was put before it; R_CORRUPT: there is none. */
static enum result revision_of(const struct scope *scope, const struct row *row, enum row_kind kind, uint64_t *revision)
{
        const struct row before = {.kind = kind, .app = row->app, .id = row->id};
        struct record record;
        enum result r = scope_get(scope, &before, &record);

        if (r != R_OK) return r == R_ABSENT ? R_CORRUPT : r;
        *revision = record.revision;
        return R_OK;
}

/* Inputs come first, then states, then results. One change tells of all three. */
static enum result put_job_row(const struct scope *scope, struct put *put, const struct dump_record *dumped)
{
        const struct row *row = &dumped->row;
        const struct row job = {.kind = ROW_JOB, .app = row->app, .id = row->id};
        struct record record = {.body = dumped->body};
        const struct derive derive = {scope, NULL, row, &record};
        enum result r;

        if (row->kind == ROW_JOB) put->next.counts.jobs++;
        if (put->restore->is_dry) return R_OK;
        if (row->kind == ROW_JOB_INPUT)
                r = scope_change(scope, CHANGE_CREATE, &job, &record.revision);
        else
                r = revision_of(scope, row, row->kind == ROW_JOB ? ROW_JOB_INPUT : ROW_JOB, &record.revision);
        if (r == R_OK) r = scope_put(scope, row, record.revision, record.body);
        if (r != R_OK || row->kind != ROW_JOB) return r;
        return job_derive(&derive);
}

static enum result put_record(const struct scope *scope, struct put *put, const struct dump_record *record,
                              struct step *step)
{
        switch (record->row.kind) {
        case ROW_APP:
                return begin_app(scope, put, record, step);
        case ROW_JOB_INPUT:
        case ROW_JOB:
        case ROW_JOB_RESULT:
                return put->next.is_kept ? R_OK : put_job_row(scope, put, record);
        default: /* put_identity's, or dropped */
                return R_OK;
        }
}

/* The owner may be deleted while this goes on. */
static enum result check_still_there(struct txn *txn, const struct put *put, const struct scope *scope)
{
        enum result r;

        if (put->is_new) return R_OK;
        r = scope_exists(scope, &profile_row);
        if (r == R_ABSENT) return fault_set(txn_fault(txn), R_WRONG_STATE, "The owner was deleted meanwhile.");
        return r;
}

/* The dump has been checked: what does not fit is the store's. It is told by `outcome`, because something may have been
 * put before. */
static enum result tell(struct put *put, enum result r)
{
        if (r != R_CORRUPT) return r;
        put->outcome = r;
        return R_OK;
}

enum result put_records(struct txn *txn, void *arg)
{
        struct put *put = arg;
        struct arena *arena = txn_arena(txn);
        const struct scope *scope;
        struct dump_record record;
        struct step step = {0};
        enum result r;

        put->next = put->state;
        put->outcome = R_OK;
        if ((r = open_owner(txn, put, &scope)) != R_OK) return r;
        if ((r = check_still_there(txn, put, scope)) != R_OK) return r;
        if (put->is_end) return end_app(scope, put);
        while (step.count < RECORDS_MAX && step.size < BYTES_MAX && !step.is_unfinished) {
                const struct dump_chunk before = put->next.chunk;
                const struct arena_mark mark = arena_mark(arena);

                if (!dump_chunk_next(&put->next.chunk, &record)) break;
                if ((r = put_record(scope, put, &record, &step)) != R_OK) return tell(put, r);
                if (step.is_unfinished) put->next.chunk = before;
                arena_reset(arena, mark);
                step.count++;
                step.size += record.body.len;
        }
        return R_OK;
}

/* ---- The end ---- */

static enum result put_key(const struct scope *user, const struct identity_row *row, bool *is_put)
{
        store_v1_ApiKey key;
        uint64_t revision;
        enum result r;

        if ((r = message_load(store_v1_ApiKey_fields, row->body, &key)) != R_OK) return r;
        r = scope_publish_key(user, key.digest.bytes, row->row.id);
        *is_put = r == R_OK;
        if (r != R_OK) return r == R_EXISTS ? R_OK : r; /* twice in the dump */
        if ((r = scope_change(user, CHANGE_CREATE, &row->row, &revision)) != R_OK) return r;
        return scope_put(user, &row->row, revision, row->body);
}

static enum result put_plain(const struct scope *scope, const struct identity_row *row)
{
        uint64_t revision;
        enum result r;

        if ((r = scope_change(scope, CHANGE_CREATE, &row->row, &revision)) != R_OK) return r;
        return scope_put(scope, &row->row, revision, row->body);
}

static enum result put_member(const struct scope *team, const struct identity_row *row, const struct scope *user)
{
        const struct derive derive = {team, user, &row->row, NULL};
        enum result r = put_plain(team, row);

        return r == R_OK ? membership_derive(&derive) : r;
}

/* Whether the member's user is there and can be in one more team. */
static enum result look_at_member(const struct scope *team, struct put *put, size_t i)
{
        const struct owner owner = {OWNER_USER, put->identity->rows[i].row.id};
        struct txn *txn = scope_txn(team);
        const struct scope *user;
        enum result r;

        r = scope_inbox(team, owner.id, &user);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        if ((r = scope_admin(txn, put->restore->admin, owner, "their team is restored", &user)) != R_OK) return r;
        r = membership_check_user_room(user);
        if (r != R_EXHAUSTED) return r;
        fault_clear(txn_fault(txn)); /* dropped, not refused */
        put->next.is_full[i] = true;
        return R_OK;
}

enum result put_look(struct txn *txn, void *arg)
{
        struct put *put = arg;
        const struct identity *identity = put->identity;
        struct put_state *next = &put->next;
        const struct scope *scope;
        unsigned count = 0;
        enum result r;

        *next = put->state;
        put->outcome = R_OK;
        if ((r = open_owner(txn, put, &scope)) != R_OK) return r;
        for (; next->looked_count < identity->row_count && count < USERS_MAX; next->looked_count++) {
                if (identity->rows[next->looked_count].row.kind != ROW_MEMBER) continue;
                if ((r = look_at_member(scope, put, next->looked_count)) != R_OK) return tell(put, r);
                count++;
        }
        return R_OK;
}

static enum result put_profile(const struct scope *scope, const struct put *put, const struct choice *choice)
{
        struct profile profile = {.content = put->identity->profile};
        enum result r;

        if (scope_owner(scope).kind == OWNER_TEAM) {
                profile.content.member_count = choice->member_count;
                profile.content.owner_count = choice->owner_count;
        }
        if ((r = profile_put(scope, CHANGE_CREATE, &profile)) != R_OK) return r;
        return scope_keep_owner(scope);
}

static enum result put_rows(const struct scope *scope, struct put *put, const struct choice *choice)
{
        enum result r;
        size_t i;

        for (i = 0; i < put->identity->row_count; i++) {
                const struct identity_row *row = &put->identity->rows[i];
                bool is_put = choice->takes[i];

                r = R_OK;
                if (is_put && row->row.kind == ROW_KEY)
                        r = put_key(scope, row, &is_put);
                else if (is_put && row->row.kind == ROW_MEMBER)
                        r = put_member(scope, row, choice->inboxes[i]);
                else if (is_put)
                        r = put_plain(scope, row);
                if (r != R_OK) return r;
                count_row(&put->next.counts, row->row.kind, is_put);
        }
        return R_OK;
}

enum result put_identity(struct txn *txn, void *arg)
{
        struct put *put = arg;
        struct choice *choice = arena_alloc(txn_arena(txn), sizeof *choice);
        const struct scope *scope;
        enum result r;

        if (choice == NULL) return R_NO_MEMORY;
        put->next = put->state;
        if ((r = open_owner(txn, put, &scope)) != R_OK) return r;
        if ((r = choose(scope, put, choice)) != R_OK) return r;
        if ((r = put_rows(scope, put, choice)) != R_OK) return r;
        return put_profile(scope, put, choice);
}
