#include "engine/body_check.h"

#include <string.h>

#include <allod/v1/app.pb-c.h>
#include <allod/v1/job.pb-c.h>
#include <allod/v1/team.pb-c.h>
#include <store/v1/store.pb.h>

#include "engine/caller.h"
#include "engine/json_scan.h"
#include "engine/message.h"
#include "engine/utf8.h"

/* The last second of the year 9999, which is as far as a Timestamp goes, and the longest Duration. */
#define SECONDS_MAX  INT64_C(253402300799)
#define DURATION_MAX INT64_C(315576000000)

/* The field of a job that is a row by itself. */
enum {
        JOB_INPUT = 4,
        JOB_RESULT = 5,
};

static const char undecoded[] = "does not decode", lacking[] = "lacks a field",
                  odd_times[] = "has times that cannot be", odd_text[] = "has text that is not UTF-8";

/* ---- Values ---- */

static bool is_text(const char *text)
{
        return utf8_is_text(bytes_of_text(text));
}

static bool is_time_ms(int64_t time_ms)
{
        return time_ms > 0 && time_ms / 1000 <= SECONDS_MAX;
}

static bool is_time(const Google__Protobuf__Timestamp *time)
{
        return time->seconds >= 0 && time->seconds <= SECONDS_MAX && time->nanos >= 0 && time->nanos <= 999999999 &&
               (time->seconds > 0 || time->nanos > 0);
}

static bool is_duration(const Google__Protobuf__Duration *time)
{
        return time->seconds >= 0 && time->seconds <= DURATION_MAX && time->nanos >= 0 && time->nanos <= 999999999;
}

static bool is_role(uint32_t role)
{
        return role >= ALLOD__V1__ROLE__ROLE_OWNER && role <= ALLOD__V1__ROLE__ROLE_MEMBER;
}

/* ---- Small records ---- */

static const char *profile_fault(struct bytes body)
{
        store_v1_Profile profile;

        if (message_load(&store_v1_Profile_msg, body, &profile) != R_OK) return undecoded;
        if (!is_time_ms(profile.created_at_ms) || !is_time_ms(profile.updated_at_ms) ||
            profile.updated_at_ms < profile.created_at_ms)
                return odd_times;
        if (!is_text(profile.name)) return odd_text;
        if (profile.created_by.size != 0 && profile.created_by.size != UUID_SIZE) return "is by nobody that can be";
        return NULL;
}

static const char *key_fault(struct bytes body)
{
        store_v1_ApiKey key;

        if (message_load(&store_v1_ApiKey_msg, body, &key) != R_OK || key.digest.size != API_KEY_DIGEST_SIZE)
                return undecoded;
        if (!is_time_ms(key.created_at_ms) || key.expires_at_ms < 0 || key.revoked_at_ms < 0 ||
            key.last_used_at_ms < 0 || key.expires_at_ms / 1000 > SECONDS_MAX ||
            key.revoked_at_ms / 1000 > SECONDS_MAX || key.last_used_at_ms / 1000 > SECONDS_MAX)
                return odd_times;
        return is_text(key.name) ? NULL : odd_text;
}

static const char *member_fault(struct bytes body)
{
        store_v1_Member member;

        if (message_load(&store_v1_Member_msg, body, &member) != R_OK || !is_role(member.role)) return undecoded;
        return is_time_ms(member.joined_at_ms) ? NULL : odd_times;
}

static const char *invitation_fault(struct bytes body)
{
        store_v1_Invitation invitation;

        if (message_load(&store_v1_Invitation_msg, body, &invitation) != R_OK ||
            invitation.invited_by.size != UUID_SIZE || !is_role(invitation.role))
                return undecoded;
        if (!is_time_ms(invitation.created_at_ms)) return odd_times;
        return is_text(invitation.team_name) ? NULL : odd_text;
}

/* ---- Documents ---- */

/* The scanner lets a trailing comma pass, which no document has when it is stored. */
static bool has_trailing_comma(struct bytes text, struct bytes bracket)
{
        const uint8_t *p = bracket.data;

        while (p > text.data && (p[-1] == ' ' || p[-1] == '\n' || p[-1] == '\r' || p[-1] == '\t'))
                p--;
        return p > text.data && p[-1] == ',';
}

/* *is_good: it is JSON that can be sent as it is. R_NO_MEMORY. */
static enum result check_document(struct arena *arena, struct bytes text, bool may_be_any, bool *is_good)
{
        struct json_scan scan;
        enum json_event event;

        *is_good = false;
        json_scan_init(&scan, arena, text);
        event = json_scan_next(&scan);
        if (event != JSON_ERROR && event != JSON_OBJECT_BEGIN && !may_be_any) return R_OK;
        while (event != JSON_ERROR && event != JSON_END) {
                if ((event == JSON_OBJECT_END || event == JSON_ARRAY_END) && has_trailing_comma(text, scan.span))
                        return R_OK;
                event = json_scan_next(&scan);
        }
        if (event == JSON_ERROR) return scan.result == R_NO_MEMORY ? R_NO_MEMORY : R_OK;
        *is_good = true;
        return R_OK;
}

static bool take_varint(struct bytes *rest, uint64_t *out)
{
        uint64_t value = 0;
        unsigned shift;

        for (shift = 0; shift < 64 && rest->len > 0; shift += 7) {
                uint8_t byte = *rest->data++;

                rest->len--;
                value |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) {
                        *out = value;
                        return true;
                }
        }
        return false;
}

/* A body that is this one string or bytes field, once, and nothing else. */
static bool is_one_field(struct bytes body, unsigned number, struct bytes *content)
{
        const unsigned length_delimited = 2; /* the wire type */
        uint64_t tag, len;

        if (!take_varint(&body, &tag) || tag != (number << 3 | length_delimited)) return false;
        if (!take_varint(&body, &len) || len != body.len) return false;
        *content = body;
        return true;
}

static enum result check_document_row(struct arena *arena, enum row_kind kind, struct bytes body, const char **fault)
{
        bool is_input = kind == ROW_JOB_INPUT, is_good;
        struct bytes text;
        enum result r;

        if (body.len == 0) {
                *fault = "is empty";
                return R_OK;
        }
        if (!is_one_field(body, is_input ? JOB_INPUT : JOB_RESULT, &text)) {
                *fault = "is not its document alone";
                return R_OK;
        }
        if ((r = check_document(arena, text, !is_input, &is_good)) != R_OK) return r;
        *fault = is_good ? NULL : is_input ? "is no JSON object" : "is not JSON";
        return R_OK;
}

/* ---- Apps and jobs ---- */

static bool app_is_text(const Allod__V1__App *app)
{
        size_t i;

        if (!is_text(app->name) || !is_text(app->description) || !is_text(app->created_by) ||
            !is_text(app->configuration->location) || !is_text(app->workflow->model_url))
                return false;
        for (i = 0; i < app->workflow->n_loras; i++) {
                const Allod__V1__Lora *lora = app->workflow->loras[i];

                if (!is_text(lora->id) || !is_text(lora->version_id) || !is_text(lora->download_url) ||
                    !is_text(lora->name))
                        return false;
        }
        return true;
}

/* All that every stored app has, and nothing of what replies append. */
static const char *app_fault(const Allod__V1__App *app)
{
        if (app->id[0] != '\0' || app->owner_case != 0 || app->jobs != NULL || app->workers != NULL ||
            app->etag[0] != '\0')
                return "has a field that is not stored";
        if (app->name[0] == '\0' || app->configuration == NULL || app->workflow == NULL || app->created_at == NULL ||
            app->updated_at == NULL || app->created_by[0] == '\0' || app->status == 0 ||
            app->configuration->gpu_tier == 0 || app->workflow->model_url[0] == '\0')
                return lacking;
        if (app->status < 0 || app->status > ALLOD__V1__APP_STATUS__APP_STATUS_RUNNING ||
            app->configuration->gpu_tier < 0 ||
            app->configuration->gpu_tier > ALLOD__V1__GPU_TIER__GPU_TIER_PERFORMANCE)
                return "has a status or a tier that is none of ours";
        if (!is_time(app->created_at) || !is_time(app->updated_at)) return odd_times;
        return app_is_text(app) ? NULL : odd_text;
}

static enum result check_app(struct arena *arena, struct bytes body, const char **fault)
{
        ProtobufCMessage *message;
        const Allod__V1__App *app;
        bool is_good = true;
        enum result r;

        r = message_unpack(arena, &allod__v1__app__descriptor, body, &message);
        *fault = undecoded;
        if (r != R_OK) return r == R_CORRUPT ? R_OK : r;
        app = (const Allod__V1__App *)message;
        if ((*fault = app_fault(app)) != NULL || app->workflow->tools[0] == '\0') return R_OK;
        r = check_document(arena, bytes_of_text(app->workflow->tools), false, &is_good);
        if (r == R_OK && !is_good) *fault = "has tools that are no JSON object";
        return r;
}

static const char *job_fault(const Allod__V1__Job *job)
{
        if (job->id[0] != '\0' || job->app_id[0] != '\0' || job->etag[0] != '\0' || job->input[0] != '\0' ||
            job->result[0] != '\0')
                return "has a field that is stored elsewhere";
        if (job->status < ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED ||
            job->status > ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED || job->created_at == NULL ||
            job->updated_at == NULL || job->created_by[0] == '\0')
                return lacking;
        if (!is_time(job->created_at) || !is_time(job->updated_at) ||
            (job->execution_time != NULL && !is_duration(job->execution_time)))
                return odd_times;
        return is_text(job->error) && is_text(job->created_by) ? NULL : odd_text;
}

static enum result check_job(struct arena *arena, struct bytes body, const char **fault)
{
        ProtobufCMessage *message;
        enum result r = message_unpack(arena, &allod__v1__job__descriptor, body, &message);

        *fault = undecoded;
        if (r != R_OK) return r == R_CORRUPT ? R_OK : r;
        *fault = job_fault((const Allod__V1__Job *)message);
        return R_OK;
}

/* ---- All of them ---- */

enum result body_check(struct arena *arena, enum row_kind kind, struct bytes body, const char **fault)
{
        *fault = NULL;
        switch (kind) {
        case ROW_PROFILE:
                *fault = profile_fault(body);
                return R_OK;
        case ROW_KEY:
                *fault = key_fault(body);
                return R_OK;
        case ROW_MEMBER:
                *fault = member_fault(body);
                return R_OK;
        case ROW_INVITATION:
                *fault = invitation_fault(body);
                return R_OK;
        case ROW_APP:
                return check_app(arena, body, fault);
        case ROW_JOB:
                return check_job(arena, body, fault);
        case ROW_JOB_INPUT:
        case ROW_JOB_RESULT:
                return check_document_row(arena, kind, body, fault);
        default:
                return R_OK;
        }
}
