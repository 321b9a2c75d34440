/*
 * Rows one by one: what each says, and the rows that must be there with it.
 */
#include <string.h>

#include <allod/v1/job.pb-c.h>
#include <allod/v1/team.pb-c.h>

#include "engine/body_check.h"
#include "engine/counters.h"
#include "engine/message.h"
#include "engine/txn_private.h"
#include "engine/verify_private.h"

#define STATUS_QUEUED ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED

/* The way back, from the table of API keys, is checked with that table. */
static void check_key_row(struct walk *walk, const struct row *row, struct bytes body)
{
        store_v1_ApiKey content;
        struct record record;
        struct bytes digest, value;

        if (message_load(&store_v1_ApiKey_msg, body, &content) != R_OK) return; /* said of its body */
        digest = bytes_of(content.digest.bytes, content.digest.size);
        if (backend_get(walk->txn, TABLE_APIKEYS, digest, &value) != R_OK)
                verify_found(walk, row, "is not in the table of API keys");
        else if (record_open(digest, value, &record) == R_OK && record.body.len == (size_t)2 * UUID_SIZE &&
                 (memcmp(record.body.data, walk->owner.id.bytes, UUID_SIZE) != 0 ||
                  memcmp(record.body.data + UUID_SIZE, row->id.bytes, UUID_SIZE) != 0))
                verify_found(walk, row, "has the digest of another key");
}

static void check_pair(struct walk *walk, const struct row *row, enum owner_kind other_kind, enum row_kind other_row)
{
        const struct owner other = {other_kind, row->id};
        const struct row profile = {.kind = ROW_PROFILE};
        const struct row back = {.kind = other_row, .id = walk->owner.id};

        if (!verify_has(walk, other, &profile)) verify_found(walk, row, "names an owner that does not exist");
        if (!verify_has(walk, other, &back)) verify_found(walk, row, "has no counterpart");
}

static void check_counters(struct walk *walk, const struct row *row, struct bytes body)
{
        store_v1_Counters counters;

        if (message_load(&store_v1_Counters_msg, body, &counters) != R_OK) verify_found(walk, row, "does not decode");
}

static struct row sibling(const struct row *row, enum row_kind kind, uint8_t state)
{
        return (struct row){.kind = kind, .app = row->app, .id = row->id, .state = state};
}

/* The rows that belong to a job whose body is good. */
static enum result check_job(struct walk *walk, const struct row *row, struct bytes body)
{
        const struct row input = sibling(row, ROW_JOB_INPUT, 0), queue = sibling(row, ROW_JOB_QUEUE, 0);
        struct row by_state = sibling(row, ROW_JOB_BY_STATE, 0);
        ProtobufCMessage *message;
        const Allod__V1__Job *job;
        enum result r;

        r = message_unpack(&walk->arena, &allod__v1__job__descriptor, body, &message);
        if (r != R_OK) return r;
        job = (const Allod__V1__Job *)message;
        by_state.state = (uint8_t)job->status;
        if (!verify_has(walk, walk->owner, &input)) verify_found(walk, row, "has no input");
        if (!verify_has(walk, walk->owner, &by_state)) verify_found(walk, row, "is not in the index of its state");
        if (verify_has(walk, walk->owner, &queue) != (job->status == STATUS_QUEUED))
                verify_found(walk, row,
                             job->status == STATUS_QUEUED ? "waits, and is not in the queue"
                                                          : "does not wait, and is in the queue");
        return R_OK;
}

static void check_document(struct walk *walk, const struct row *row)
{
        const struct row state = sibling(row, ROW_JOB, 0);

        if (!verify_has(walk, walk->owner, &state)) verify_found(walk, row, "is of no job");
}

/* From the index to the job. That each job is in the index once follows: its own state's row is there, and any other
 * one is found here. */
static void check_index(struct walk *walk, const struct row *row)
{
        const struct row state = sibling(row, ROW_JOB, 0);
        uint32_t wanted = row->kind == ROW_JOB_QUEUE ? STATUS_QUEUED : row->state;
        ProtobufCMessage *message;
        struct record record;
        struct bytes value;
        struct key key;

        if (verify_get(walk, walk->owner, &state, &value) != R_OK) {
                verify_found(walk, row, "is of no job");
                return;
        }
        verify_key(walk->owner, &state, &key);
        if (record_open(key_bytes(&key), value, &record) != R_OK ||
            message_unpack(&walk->arena, &allod__v1__job__descriptor, record.body, &message) != R_OK)
                return; /* said of the job */
        if ((uint32_t)((const Allod__V1__Job *)message)->status != wanted)
                verify_found(walk, row, "is of a job in another state");
}

/* Some kinds are of users, one is of teams, the rest of both. */
static void check_owner_kind(struct walk *walk, const struct row *row)
{
        const uint32_t of_users = ROW_BIT(ROW_KEY) | ROW_BIT(ROW_MEMBERSHIP) | ROW_BIT(ROW_INVITATION);

        if (walk->owner.kind != OWNER_USER && ROW_BIT(row->kind) & of_users)
                verify_found(walk, row, "is of a team, and only users have such");
        if (walk->owner.kind != OWNER_TEAM && row->kind == ROW_MEMBER)
                verify_found(walk, row, "is of a user, and only teams have such");
}

/* What its body says by itself, and the rows that must be there with it. */
static enum result check_body(struct walk *walk, const struct row *row, struct bytes body)
{
        const char *fault;
        enum result r;

        if ((r = body_check(&walk->arena, row->kind, body, &fault)) != R_OK) return r;
        if (fault != NULL) verify_found(walk, row, "%s", fault);
        switch (row->kind) {
        case ROW_KEY:
                if (fault == NULL) check_key_row(walk, row, body);
                break;
        case ROW_MEMBER:
                check_pair(walk, row, OWNER_USER, ROW_MEMBERSHIP);
                break;
        case ROW_COUNTERS:
                check_counters(walk, row, body);
                break;
        case ROW_JOB:
                return fault == NULL ? check_job(walk, row, body) : R_OK;
        case ROW_JOB_INPUT:
        case ROW_JOB_RESULT:
                check_document(walk, row);
                break;
        default:
                break;
        }
        return R_OK;
}

enum result verify_row(struct walk *walk, const struct row *row, const struct record *record)
{
        enum result r;

        check_owner_kind(walk, row);
        switch (row->kind) {
        case ROW_MEMBERSHIP:
                check_pair(walk, row, OWNER_TEAM, ROW_MEMBER);
                return R_OK;
        case ROW_JOB_QUEUE:
        case ROW_JOB_BY_STATE:
                check_index(walk, row);
                return R_OK;
        case ROW_CHANGE: /* verify_change's */
                return R_OK;
        case ROW_REQUEST:
        case ROW_GRANT:
        case ROW_GRANTEE_JOB:
                verify_found(walk, row, "is of a kind that nothing writes yet");
                return R_OK;
        default:
                if ((r = check_body(walk, row, record->body)) != R_OK) return r;
                verify_changes_record(walk, row, record->revision);
                return R_OK;
        }
}

/* ---- Recounts ---- */

/* Count a row of an owner. */
typedef void count_fn(const struct row *row, struct bytes key, struct bytes value, void *context);

/* All rows that share the name of `row`'s kind, in this snapshot. */
static enum result count(struct walk *walk, const struct row *row, count_fn *count_one, void *context)
{
        struct backend_cursor *cursor;
        struct bytes key, value;
        struct key prefix;
        struct owner owner;
        struct row found;
        enum result r;

        key_owner(walk->owner, &prefix);
        key_append_kind(&prefix, row);
        if (row->kind == ROW_JOB_BY_STATE) prefix.len--; /* of all states */
        r = verify_seek(walk, NEAR_COUNT, &prefix, &cursor, &key, &value);
        while (r == R_OK && bytes_start_with(key, key_bytes(&prefix))) {
                if (key_read(key, &owner, &found) == R_OK) count_one(&found, key, value, context);
                r = verify_step(walk, key.len + value.len);
                if (r == R_OK) r = backend_next(cursor, &key, &value);
        }
        return r == R_ABSENT ? R_OK : r;
}

static void count_job(const struct row *row, struct bytes key, struct bytes value, void *context)
{
        /* A state that cannot be is no job's, which is said of the row. */
        enum result r = counters_move(context, 0, row->state);

        (void)r;
        (void)key;
        (void)value;
}

/* By the index of states, which has empty rows, side by side; that it is right each of its rows and each job shows. */
enum result verify_count_jobs(struct walk *walk)
{
        const struct row row = {.kind = ROW_COUNTERS, .app = walk->app};
        const struct row index = {.kind = ROW_JOB_BY_STATE, .app = walk->app};
        store_v1_Counters stored = store_v1_Counters_init_zero, counted = store_v1_Counters_init_zero;
        struct backend_cursor *cursor;
        struct bytes found, value;
        struct record record;
        struct key key;
        enum result r;

        verify_key(walk->owner, &row, &key);
        r = verify_seek(walk, NEAR_COUNT, &key, &cursor, &found, &value);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        if (!bytes_start_with(found, bytes_of(key.data, APP_PREFIX_SIZE)))
                return R_OK; /* it has nothing but its record */
        if (bytes_equal(found, key_bytes(&key)) && (record_open(found, value, &record) != R_OK ||
                                                    message_load(&store_v1_Counters_msg, record.body, &stored) != R_OK))
                return R_OK; /* said of the row */
        if ((r = count(walk, &index, count_job, &counted)) != R_OK) return r;
        if (stored.completed != counted.completed || stored.failed != counted.failed ||
            stored.in_progress != counted.in_progress || stored.in_queue != counted.in_queue)
                verify_found(walk, &row, "are %jd, %jd, %jd, %jd; a recount gives %jd, %jd, %jd, %jd",
                             (intmax_t)stored.completed, (intmax_t)stored.failed, (intmax_t)stored.in_progress,
                             (intmax_t)stored.in_queue, (intmax_t)counted.completed, (intmax_t)counted.failed,
                             (intmax_t)counted.in_progress, (intmax_t)counted.in_queue);
        return R_OK;
}

struct members {
        uint32_t count, owners;
};

static void count_member(const struct row *row, struct bytes key, struct bytes value, void *context)
{
        struct members *members = context;
        store_v1_Member content;
        struct record record;

        (void)row;
        members->count++;
        if (record_open(key, value, &record) == R_OK &&
            message_load(&store_v1_Member_msg, record.body, &content) == R_OK &&
            content.role == ALLOD__V1__ROLE__ROLE_OWNER)
                members->owners++;
}

enum result verify_count_members(struct walk *walk)
{
        const struct row row = {.kind = ROW_PROFILE}, kind = {.kind = ROW_MEMBER};
        struct members members = {0, 0};
        store_v1_Profile profile;
        struct record record;
        struct bytes value;
        struct key key;
        enum result r;

        verify_key(walk->owner, &row, &key);
        if (verify_get(walk, walk->owner, &row, &value) != R_OK) return R_OK; /* it is gone */
        if (record_open(key_bytes(&key), value, &record) != R_OK ||
            message_load(&store_v1_Profile_msg, record.body, &profile) != R_OK)
                return R_OK; /* said of the row */
        if ((r = count(walk, &kind, count_member, &members)) != R_OK) return r;
        if (profile.member_count != members.count || profile.owner_count != members.owners)
                verify_found(walk, &row, "counts %u members, %u of them OWNERs; a recount gives %u and %u",
                             profile.member_count, profile.owner_count, members.count, members.owners);
        if (members.owners == 0) verify_found(walk, &row, "has no OWNER");
        return R_OK;
}
