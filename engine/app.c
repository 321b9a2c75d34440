#include "engine/app.h"

#include "engine/app_fields.h"
#include "engine/document.h"
#include "engine/etag.h"
#include "engine/field.h"
#include "engine/page.h"
#include "engine/scope.h"
#include "engine/utf8.h"

/* What replies append to a stored App. A test proves that no stored one has any of these. */
enum {
        APP_ID = 1,
        APP_OWNER_USER_ID = 10,
        APP_OWNER_TEAM_ID = 11,
        APP_JOBS = 12,
        APP_WORKERS = 13,
        APP_ETAG = 14,
};

/* allod.v1.ListAppsResponse */
enum {
        LIST_APPS = 1,
        LIST_TOKEN
};

/* Ids and etag with their tags, at most 2 * 38 + 35, the heads of the two others, and what message.c reserves for the
 * last of them beyond its need. */
#define APPENDED_LEN 160

#define ID_ECHO_MAX 48 /* of an id that is not ours: longer than any of ours, and two fit a sentence */

enum result app_absent(struct fault *fault, const char *id)
{
        size_t len = utf8_valid_len(bytes_of(id, strnlen(id, ID_ECHO_MAX)));

        (void)fault_set(fault, R_ABSENT, "App with ID '%.*s' not found.", (int)len, id);
        return R_ABSENT;
}

enum result app_find(const struct scope *scope, const char *id, struct uuid *out)
{
        struct uuid app;
        enum result r = R_ABSENT;

        if (uuid_parse(bytes_of_text(id), &app) == R_OK) r = scope_app_exists(scope, app);
        if (r == R_ABSENT) return app_absent(txn_fault(scope_txn(scope)), id);
        if (r != R_OK) return r;
        *out = app;
        return R_OK;
}

/* The record and the counters of the app that a request names; counters->body.data is NULL when there are none. */
static enum result read_app(const struct scope *scope, const char *id, struct uuid *app, struct record *record,
                            struct record *counters)
{
        enum result r = R_ABSENT;

        if (uuid_parse(bytes_of_text(id), app) == R_OK) r = scope_get_app(scope, *app, record, counters);
        return r == R_ABSENT ? app_absent(txn_fault(scope_txn(scope)), id) : r;
}

/* Append an App but for its etag, for which there is room then. The stored counters are a JobCounts as they are. */
static void reply_app(const struct scope *scope, struct uuid id, struct bytes body, struct bytes counters,
                      struct message *reply)
{
        struct owner owner = scope_owner(scope);

        message_reserve(reply, body.len + counters.len + APPENDED_LEN); /* at once: growing would copy what is there */
        message_append(reply, body);
        message_uuid(reply, APP_ID, id);
        message_uuid(reply, owner.kind == OWNER_TEAM ? APP_OWNER_TEAM_ID : APP_OWNER_USER_ID, owner.id);
        message_bytes_always(reply, APP_JOBS, counters);
        message_bytes_always(reply, APP_WORKERS, (struct bytes){0});
}

static void reply_etag(const struct scope *scope, uint64_t revision, struct message *reply)
{
        char etag[ETAG_SIZE];

        etag_of(scope_txn(scope), revision, etag);
        message_bytes(reply, APP_ETAG, bytes_of_text(etag));
}

/* Write the record and its change row; the reply, all but complete, gets its etag. */
static enum result put_app(const struct scope *scope, enum change_operation operation, struct uuid id,
                           struct bytes body, struct message *reply)
{
        const struct row row = {.kind = ROW_APP, .app = id};
        uint64_t revision;
        enum result r;

        if ((r = message_finish(reply)) != R_OK) return r;
        if ((r = scope_change(scope, operation, &row, &revision)) != R_OK) return r;
        if ((r = scope_put(scope, &row, revision, body)) != R_OK) return r;
        reply_etag(scope, revision, reply);
        return R_OK;
}

/* Copy what a client may set, field by field: what else a request holds is not stored. */
static enum result pack_new(const struct scope *scope, const Allod__V1__App *sent, struct bytes *out)
{
        struct arena *arena = txn_arena(scope_txn(scope));
        Google__Protobuf__Timestamp now = field_of_time_ms(txn_time_ms(scope_txn(scope)));
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        char actor[UUID_TEXT_LEN + 1];
        struct message body;
        enum result r;

        configuration.gpu_tier = sent->configuration->gpu_tier;
        configuration.active_workers = sent->configuration->active_workers;
        configuration.location = sent->configuration->location;
        workflow.model_url = sent->workflow->model_url;
        workflow.n_loras = sent->workflow->n_loras;
        workflow.loras = sent->workflow->loras;
        if (sent->workflow->tools[0] != '\0') {
                workflow.tools = document_copy(arena, sent->workflow->tools);
                if (workflow.tools == NULL) return R_NO_MEMORY;
        }
        uuid_format(scope_actor(scope), actor);
        app.name = sent->name;
        app.description = sent->description;
        app.configuration = &configuration;
        app.workflow = &workflow;
        app.status = configuration.active_workers == 0 ? ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
                                                       : ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING;
        app.created_at = app.updated_at = &now;
        app.created_by = actor;
        message_init(&body, arena, protobuf_c_message_get_packed_size(&app.base));
        message_pack(&body, &app.base);
        if ((r = message_finish(&body)) != R_OK) return r;
        *out = message_so_far(&body);
        return R_OK;
}

enum result app_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateAppRequest *request,
                       struct message *reply)
{
        const struct scope *scope;
        struct bytes body;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_CREATE, &scope)) != R_OK) return r;
        if ((r = pack_new(scope, request->app, &body)) != R_OK) return r;
        reply_app(scope, txn_id(txn), body, (struct bytes){0}, reply);
        if (request->validate_only) return message_finish(reply);
        return put_app(scope, CHANGE_CREATE, txn_id(txn), body, reply);
}

enum result app_get(struct txn *txn, const struct credential *who, const Allod__V1__GetAppRequest *request,
                    struct message *reply)
{
        const struct scope *scope;
        struct record record, counters;
        struct uuid id;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_READ, &scope)) != R_OK) return r;
        if ((r = read_app(scope, request->id, &id, &record, &counters)) != R_OK) return r;
        reply_app(scope, id, record.body, counters.body, reply);
        reply_etag(scope, record.revision, reply);
        return R_OK;
}

static enum result reply_listed(const struct scope *scope, const struct row *row, const struct record *record,
                                struct message *reply)
{
        const struct row counters_row = {.kind = ROW_COUNTERS, .app = row->app};
        struct record counters = {0};
        enum result r;
        size_t mark;

        r = scope_get(scope, &counters_row, &counters);
        if (r != R_OK && r != R_ABSENT) return r;
        mark = message_begin(reply, LIST_APPS);
        reply_app(scope, row->app, record->body, counters.body, reply);
        reply_etag(scope, record->revision, reply);
        message_end(reply, mark);
        return R_OK;
}

enum result app_list(struct txn *txn, const struct credential *who, const Allod__V1__ListAppsRequest *request,
                     struct message *reply)
{
        const struct row kind = {.kind = ROW_APP};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *scope;
        struct record record;
        struct page page;
        struct row row;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_READ, &scope)) != R_OK) return r;
        if ((r = page_open(&page, scope, &kind, true, request->page_size, request->page_token, &scan, reply)) != R_OK)
                return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK && !page_is_full(&page)) {
                page_row(&page, &row);
                if ((r = reply_listed(scope, &row, &record, reply)) != R_OK) return r;
        }
        return page_end(&page, r, scope, ROW_APP, LIST_TOKEN);
}

/* The record as the request makes it. */
static enum result pack_updated(const struct scope *scope, const struct record *record,
                                const Allod__V1__UpdateAppRequest *request, struct bytes *out)
{
        struct txn *txn = scope_txn(scope);
        Google__Protobuf__Timestamp now = field_of_time_ms(txn_time_ms(txn));
        struct app_patch patch;
        ProtobufCMessage *unpacked;
        struct message body;
        Allod__V1__App *app;
        enum result r;

        r = message_unpack(txn_arena(txn), &allod__v1__app__descriptor, record->body, &unpacked);
        if (r != R_OK) return r;
        app = (Allod__V1__App *)unpacked;
        app_patch_read(request, &patch);
        if ((r = app_patch_apply(txn_arena(txn), &patch, app, txn_fault(txn))) != R_OK) return r;
        app->updated_at = &now;
        message_init(&body, txn_arena(txn), protobuf_c_message_get_packed_size(unpacked));
        message_pack(&body, unpacked);
        if ((r = message_finish(&body)) != R_OK) return r;
        *out = message_so_far(&body);
        return R_OK;
}

enum result app_update(struct txn *txn, const struct credential *who, const Allod__V1__UpdateAppRequest *request,
                       struct message *reply)
{
        const struct scope *scope;
        struct record record, counters;
        struct bytes body;
        struct uuid id;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_EDIT, &scope)) != R_OK) return r;
        if ((r = read_app(scope, request->app->id, &id, &record, &counters)) != R_OK) return r;
        if ((r = etag_match(txn, request->app->etag, record.revision)) != R_OK) return r;
        if ((r = pack_updated(scope, &record, request, &body)) != R_OK) return r;
        reply_app(scope, id, body, counters.body, reply);
        if (!request->validate_only) return put_app(scope, CHANGE_UPDATE, id, body, reply);
        reply_etag(scope, record.revision, reply);
        return message_finish(reply);
}

/* The record goes, and with it all that lies under the app; the rows themselves go in later steps. Without an etag to
 * compare the record is not read, so that a damaged one can be deleted. */
enum result app_delete(struct txn *txn, const struct credential *who, const Allod__V1__DeleteAppRequest *request,
                       struct message *reply)
{
        struct row row = {.kind = ROW_APP};
        const struct scope *scope;
        struct record record;
        uint64_t revision;
        enum result r;

        (void)reply;
        if ((r = scope_open(txn, who, RIGHT_DELETE, &scope)) != R_OK) return r;
        if ((r = app_find(scope, request->id, &row.app)) != R_OK) return r;
        if (request->etag[0] != '\0') {
                if ((r = scope_get(scope, &row, &record)) != R_OK) return r;
                if ((r = etag_match(txn, request->etag, record.revision)) != R_OK) return r;
        }
        if ((r = scope_change(scope, CHANGE_DELETE, &row, &revision)) != R_OK) return r;
        if ((r = scope_delete(scope, &row)) != R_OK) return r;
        return scope_purge_app(scope, row.app);
}
