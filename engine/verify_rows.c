/*
 * Rows one by one: what each says, and the rows that must be there with it.
 */
#include <string.h>

#include <allod/v1/app.pb-c.h>
#include <allod/v1/job.pb-c.h>
#include <allod/v1/team.pb-c.h>

#include "engine/counters.h"
#include "engine/message.h"
#include "engine/txn_private.h"
#include "engine/verify_private.h"

#define STATUS_QUEUED   ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED
#define STATUS_CANCELED ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED

static const char *mismatch = "does not decode";

static void check_profile(struct walk *walk, const struct row *row, struct bytes body)
{
        if (message_load(&store_v1_Profile_msg, body, &walk->profile) != R_OK)
                verify_found(walk, row, "%s", mismatch);
        else if (walk->profile.created_at_ms <= 0 || walk->profile.updated_at_ms < walk->profile.created_at_ms)
                verify_found(walk, row, "has times that cannot be");
}

/* The way back, from the table of API keys, is checked with that table. */
static void check_key_row(struct walk *walk, const struct row *row, struct bytes body)
{
        store_v1_ApiKey content;
        struct record record;
        struct bytes digest, value;

        if (message_load(&store_v1_ApiKey_msg, body, &content) != R_OK || content.digest.size != API_KEY_DIGEST_SIZE ||
            content.created_at_ms <= 0) {
                verify_found(walk, row, "%s", mismatch);
                return;
        }
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

static void check_member(struct walk *walk, const struct row *row, struct bytes body)
{
        store_v1_Member content;

        if (message_load(&store_v1_Member_msg, body, &content) != R_OK || content.joined_at_ms <= 0 ||
            content.role < ALLOD__V1__ROLE__ROLE_OWNER || content.role > ALLOD__V1__ROLE__ROLE_MEMBER)
                verify_found(walk, row, "%s", mismatch);
        else if (content.role == ALLOD__V1__ROLE__ROLE_OWNER)
                walk->member_owner_count++;
        walk->member_count++;
        check_pair(walk, row, OWNER_USER, ROW_MEMBERSHIP);
}

static void check_invitation(struct walk *walk, const struct row *row, struct bytes body)
{
        store_v1_Invitation content;

        if (message_load(&store_v1_Invitation_msg, body, &content) != R_OK || content.created_at_ms <= 0 ||
            content.invited_by.size != UUID_SIZE || content.role < ALLOD__V1__ROLE__ROLE_OWNER ||
            content.role > ALLOD__V1__ROLE__ROLE_MEMBER)
                verify_found(walk, row, "%s", mismatch);
}

/* All that every stored app has, and nothing of what replies append. */
static void check_app(struct walk *walk, const struct row *row, struct bytes body)
{
        ProtobufCMessage *message;
        const Allod__V1__App *app;

        if (message_unpack(&walk->arena, &allod__v1__app__descriptor, body, &message) != R_OK) {
                verify_found(walk, row, "%s", mismatch);
                return;
        }
        app = (const Allod__V1__App *)message;
        if (app->name[0] == '\0' || app->configuration == NULL || app->workflow == NULL || app->created_at == NULL ||
            app->updated_at == NULL || app->created_by[0] == '\0' || app->status == 0 ||
            app->configuration->gpu_tier == 0 || app->workflow->model_url[0] == '\0')
                verify_found(walk, row, "lacks a field");
        if (app->id[0] != '\0' || app->owner_case != 0 || app->jobs != NULL || app->workers != NULL ||
            app->etag[0] != '\0')
                verify_found(walk, row, "has a field that is not stored");
}

static void check_counters(struct walk *walk, const struct row *row, struct bytes body)
{
        if (message_load(&store_v1_Counters_msg, body, &walk->stored) != R_OK) verify_found(walk, row, "%s", mismatch);
}

static struct row sibling(const struct row *row, enum row_kind kind, uint8_t state)
{
        return (struct row){.kind = kind, .app = row->app, .id = row->id, .state = state};
}

static void check_job(struct walk *walk, const struct row *row, struct bytes body)
{
        const struct row input = sibling(row, ROW_JOB_INPUT, 0), queue = sibling(row, ROW_JOB_QUEUE, 0);
        struct row by_state = sibling(row, ROW_JOB_BY_STATE, 0);
        ProtobufCMessage *message;
        const Allod__V1__Job *job;

        if (message_unpack(&walk->arena, &allod__v1__job__descriptor, body, &message) != R_OK) {
                verify_found(walk, row, "%s", mismatch);
                return;
        }
        job = (const Allod__V1__Job *)message;
        if (job->status < STATUS_QUEUED || job->status > STATUS_CANCELED || job->created_at == NULL ||
            job->updated_at == NULL || job->created_by[0] == '\0')
                verify_found(walk, row, "lacks a field");
        if (job->id[0] != '\0' || job->app_id[0] != '\0' || job->etag[0] != '\0' || job->input[0] != '\0' ||
            job->result[0] != '\0')
                verify_found(walk, row, "has a field that is stored elsewhere");
        by_state.state = (uint8_t)job->status;
        if (!verify_has(walk, walk->owner, &input)) verify_found(walk, row, "has no input");
        if (!verify_has(walk, walk->owner, &by_state)) verify_found(walk, row, "is not in the index of its state");
        if (verify_has(walk, walk->owner, &queue) != (job->status == STATUS_QUEUED))
                verify_found(walk, row,
                             job->status == STATUS_QUEUED ? "waits, and is not in the queue"
                                                          : "does not wait, and is in the queue");
        if (counters_move(&walk->counted, 0, (uint32_t)job->status) != R_OK)
                verify_found(walk, row, "cannot be counted");
}

/* A job's document: the row holds one field, and the job is there. */
static void check_document(struct walk *walk, const struct row *row, struct bytes body)
{
        const struct row state = sibling(row, ROW_JOB, 0);
        ProtobufCMessage *message;
        const Allod__V1__Job *job;
        const char *document;

        if (!verify_has(walk, walk->owner, &state)) verify_found(walk, row, "is of no job");
        if (message_unpack(&walk->arena, &allod__v1__job__descriptor, body, &message) != R_OK) {
                verify_found(walk, row, "%s", mismatch);
                return;
        }
        job = (const Allod__V1__Job *)message;
        document = row->kind == ROW_JOB_INPUT ? job->input : job->result;
        if (document[0] == '\0') verify_found(walk, row, "is empty");
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

void verify_row(struct walk *walk, const struct row *row, const struct record *record)
{
        check_owner_kind(walk, row);
        switch (row->kind) {
        case ROW_PROFILE:
                check_profile(walk, row, record->body);
                break;
        case ROW_KEY:
                check_key_row(walk, row, record->body);
                break;
        case ROW_MEMBER:
                check_member(walk, row, record->body);
                break;
        case ROW_MEMBERSHIP:
                check_pair(walk, row, OWNER_TEAM, ROW_MEMBER);
                return;
        case ROW_INVITATION:
                check_invitation(walk, row, record->body);
                break;
        case ROW_APP:
                check_app(walk, row, record->body);
                break;
        case ROW_COUNTERS:
                check_counters(walk, row, record->body);
                break;
        case ROW_JOB:
                check_job(walk, row, record->body);
                break;
        case ROW_JOB_INPUT:
        case ROW_JOB_RESULT:
                check_document(walk, row, record->body);
                break;
        case ROW_JOB_QUEUE:
        case ROW_JOB_BY_STATE:
                check_index(walk, row);
                return;
        case ROW_CHANGE: /* read before, with the owner */
                return;
        case ROW_REQUEST:
        case ROW_GRANT:
        case ROW_GRANTEE_JOB:
        case ROW_KIND_COUNT:
                verify_found(walk, row, "is of a kind that nothing writes yet");
                return;
        }
        verify_changes_record(walk, row, record->revision);
}

void verify_app_end(struct walk *walk)
{
        const struct row row = {.kind = ROW_COUNTERS, .app = walk->app};

        if (walk->stored.completed != walk->counted.completed || walk->stored.failed != walk->counted.failed ||
            walk->stored.in_progress != walk->counted.in_progress || walk->stored.in_queue != walk->counted.in_queue)
                verify_found(walk, &row, "are %jd, %jd, %jd, %jd; a recount gives %jd, %jd, %jd, %jd",
                             (intmax_t)walk->stored.completed, (intmax_t)walk->stored.failed,
                             (intmax_t)walk->stored.in_progress, (intmax_t)walk->stored.in_queue,
                             (intmax_t)walk->counted.completed, (intmax_t)walk->counted.failed,
                             (intmax_t)walk->counted.in_progress, (intmax_t)walk->counted.in_queue);
}

void verify_owner_end(struct walk *walk)
{
        const struct row row = {.kind = ROW_PROFILE};

        verify_changes_replay(walk);
        if (walk->owner.kind != OWNER_TEAM) return;
        if (walk->profile.member_count != walk->member_count || walk->profile.owner_count != walk->member_owner_count)
                verify_found(walk, &row, "counts %u members, %u of them OWNERs; a recount gives %u and %u",
                             walk->profile.member_count, walk->profile.owner_count, walk->member_count,
                             walk->member_owner_count);
        if (walk->member_owner_count == 0) verify_found(walk, &row, "has no OWNER");
}
