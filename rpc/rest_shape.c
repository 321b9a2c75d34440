#include "rpc/rest_shape.h"

#include <string.h>

#include "engine/require.h"
#include "rpc/call.h"
#include "rpc/rest_app.h"
#include "rpc/rest_job.h"

bool rest_shape_needs_body(enum rest_shape shape)
{
        return shape == REST_CREATE_APP || shape == REST_UPDATE_APP || shape == REST_RUN_JOB;
}

bool rest_shape_takes_body(enum rest_shape shape)
{
        return rest_shape_needs_body(shape) || shape == REST_CANCEL_JOB;
}

bool rest_shape_has_etag(enum rest_shape shape)
{
        return shape == REST_GET_APP || shape == REST_UPDATE_APP || shape == REST_DELETE_APP;
}

/* ---- Requests ---- */

/* protobuf-c's strings are not const, and nobody writes to them. */
static char *text_of(const char *text)
{
        return (char *)text;
}

static enum result take_segment(struct call *call, size_t index, char **out)
{
        const char *text = rest_segment_text(call, index);

        if (text == NULL) return R_NO_MEMORY;
        *out = text_of(text);
        return R_OK;
}

static struct bytes body_of(const struct call *call)
{
        return bytes_of(call->rest.body, call->rest.body_len);
}

static enum result read_create_app(struct call *call, const struct rest_query *query)
{
        Allod__V1__CreateAppRequest *request = arena_alloc(&call->arena, sizeof *request);

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__create_app_request__init(request);
        call->invocation.request = &request->base;
        return rest_app_read(&call->arena, body_of(call), NULL, &call->fault, &request->app);
}

static enum result read_get_app(struct call *call, const struct rest_query *query)
{
        Allod__V1__GetAppRequest *request = arena_alloc(&call->arena, sizeof *request);

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__get_app_request__init(request);
        call->invocation.request = &request->base;
        return take_segment(call, 0, &request->id);
}

static enum result read_list_apps(struct call *call, const struct rest_query *query)
{
        Allod__V1__ListAppsRequest *request = arena_alloc(&call->arena, sizeof *request);

        if (request == NULL) return R_NO_MEMORY;
        allod__v1__list_apps_request__init(request);
        call->invocation.request = &request->base;
        if (query->page_token != NULL) request->page_token = text_of(query->page_token);
        return rest_page_size(call, query, &request->page_size);
}

static enum result read_update_app(struct call *call, const struct rest_query *query)
{
        Allod__V1__UpdateAppRequest *request = arena_alloc(&call->arena, sizeof *request);
        Google__Protobuf__FieldMask *mask = arena_alloc(&call->arena, sizeof *mask);
        enum result r;

        (void)query;
        if (request == NULL || mask == NULL) return R_NO_MEMORY;
        allod__v1__update_app_request__init(request);
        google__protobuf__field_mask__init(mask);
        call->invocation.request = &request->base;
        request->update_mask = mask;
        r = rest_app_read(&call->arena, body_of(call), mask, &call->fault, &request->app);
        if (r != R_OK) return r;
        request->app->etag = text_of(call->rest.etag);
        return take_segment(call, 0, &request->app->id);
}

static enum result read_delete_app(struct call *call, const struct rest_query *query)
{
        Allod__V1__DeleteAppRequest *request = arena_alloc(&call->arena, sizeof *request);

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__delete_app_request__init(request);
        call->invocation.request = &request->base;
        request->etag = text_of(call->rest.etag);
        return take_segment(call, 0, &request->id);
}

static enum result read_run_job(struct call *call, const struct rest_query *query)
{
        Allod__V1__RunJobRequest *request = arena_alloc(&call->arena, sizeof *request);
        enum result r;

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__run_job_request__init(request);
        call->invocation.request = &request->base;
        r = rest_job_read(&call->arena, body_of(call), &call->fault, &request->input);
        return r != R_OK ? r : take_segment(call, 0, &request->app_id);
}

static enum result read_list_jobs(struct call *call, const struct rest_query *query)
{
        Allod__V1__ListJobsRequest *request = arena_alloc(&call->arena, sizeof *request);
        enum result r;

        if (request == NULL) return R_NO_MEMORY;
        allod__v1__list_jobs_request__init(request);
        call->invocation.request = &request->base;
        request->view = ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL;
        if (query->page_token != NULL) request->page_token = text_of(query->page_token);
        if ((r = rest_page_size(call, query, &request->page_size)) != R_OK) return r;
        if (query->status != NULL && (r = rest_job_status(query->status, &call->fault, &request->status)) != R_OK)
                return r;
        return take_segment(call, 0, &request->app_id);
}

static enum result read_get_job(struct call *call, const struct rest_query *query)
{
        Allod__V1__GetJobRequest *request = arena_alloc(&call->arena, sizeof *request);
        enum result r;

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__get_job_request__init(request);
        call->invocation.request = &request->base;
        r = take_segment(call, 0, &request->app_id);
        return r != R_OK ? r : take_segment(call, 1, &request->id);
}

static enum result read_cancel_job(struct call *call, const struct rest_query *query)
{
        Allod__V1__CancelJobRequest *request = arena_alloc(&call->arena, sizeof *request);
        enum result r;

        (void)query;
        if (request == NULL) return R_NO_MEMORY;
        allod__v1__cancel_job_request__init(request);
        call->invocation.request = &request->base;
        if ((r = rest_job_read_nothing(&call->arena, body_of(call), &call->fault)) != R_OK) return r;
        r = take_segment(call, 0, &request->app_id);
        return r != R_OK ? r : take_segment(call, 1, &request->id);
}

enum result rest_shape_read(struct call *call, const struct rest_query *query)
{
        static enum result (*const readers[REST_SHAPE_COUNT])(struct call *, const struct rest_query *) = {
                [REST_CREATE_APP] = read_create_app, [REST_LIST_APPS] = read_list_apps,
                [REST_GET_APP] = read_get_app,       [REST_UPDATE_APP] = read_update_app,
                [REST_DELETE_APP] = read_delete_app, [REST_RUN_JOB] = read_run_job,
                [REST_LIST_JOBS] = read_list_jobs,   [REST_GET_JOB] = read_get_job,
                [REST_CANCEL_JOB] = read_cancel_job,
        };

        REQUIRE(readers[call->rest.shape] != NULL);
        return readers[call->rest.shape](call, query);
}

/* ---- Replies ---- */

void rest_data_begin(struct json_write *json)
{
        json_write_object_begin(json);
        json_write_name(json, "data");
}

void rest_data_end(const struct call *call, struct json_write *json, const char *next_page_token)
{
        if (call->rest.has_paging || next_page_token[0] != '\0') {
                json_write_name(json, "next_page_token");
                json_write_text(json, next_page_token);
        }
        json_write_object_end(json);
}

static void write_apps(struct call *call, struct json_write *json, const Allod__V1__ListAppsResponse *reply)
{
        size_t i;

        rest_data_begin(json);
        json_write_array_begin(json);
        for (i = 0; i < reply->n_apps; i++)
                rest_app_write(json, reply->apps[i], true);
        json_write_array_end(json);
        rest_data_end(call, json, reply->next_page_token);
}

static void write_jobs(struct call *call, struct json_write *json, const Allod__V1__ListJobsResponse *reply)
{
        size_t i;

        rest_data_begin(json);
        json_write_array_begin(json);
        for (i = 0; i < reply->n_jobs; i++)
                rest_job_write(json, reply->jobs[i]);
        json_write_array_end(json);
        rest_data_end(call, json, reply->next_page_token);
}

static void write_reply(struct call *call, struct json_write *json, const ProtobufCMessage *reply)
{
        switch (call->rest.shape) {
        case REST_GET_APP:
                rest_app_write(json, (const Allod__V1__App *)reply, true);
                break;
        case REST_CREATE_APP:
        case REST_UPDATE_APP:
                rest_data_begin(json);
                rest_app_write(json, (const Allod__V1__App *)reply, false);
                json_write_object_end(json);
                break;
        case REST_LIST_APPS:
                write_apps(call, json, (const Allod__V1__ListAppsResponse *)reply);
                break;
        case REST_LIST_JOBS:
                write_jobs(call, json, (const Allod__V1__ListJobsResponse *)reply);
                break;
        case REST_GET_JOB:
                rest_data_begin(json);
                rest_job_write(json, (const Allod__V1__Job *)reply);
                json_write_object_end(json);
                break;
        case REST_RUN_JOB:
                rest_job_write_queued(json, (const Allod__V1__Job *)reply);
                break;
        case REST_CANCEL_JOB:
                rest_job_write_canceled(json, (const Allod__V1__Job *)reply);
                break;
        default:
                REQUIRE(false);
        }
}

/* JSON is somewhat longer than protobuf, by the names of an app's members. */
#define NAMES_SIZE 768

enum result rest_shape_write(struct call *call, struct bytes *body, const char **etag)
{
        struct bytes encoded = message_so_far(&call->invocation.reply);
        ProtobufCMessage *reply;
        struct json_write json;
        enum result r;

        if ((r = message_unpack(&call->arena, call->method->response, encoded, &reply)) != R_OK) return r;
        if (call->method->response == &allod__v1__app__descriptor) {
                *etag = ((const Allod__V1__App *)reply)->etag;
                if (call->rest.shape == REST_GET_APP && call->rest.etag[0] != '\0' &&
                    strcmp(call->rest.etag, *etag) != 0)
                        return R_STALE;
        }
        json_write_init(&json, &call->arena, encoded.len + encoded.len / 4 + NAMES_SIZE);
        write_reply(call, &json, reply);
        return json_write_finish(&json, body);
}
