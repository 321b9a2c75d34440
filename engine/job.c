#include "engine/job.h"

#include <inttypes.h>

#include "engine/app.h"
#include "engine/counters.h"
#include "engine/document.h"
#include "engine/etag.h"
#include "engine/field.h"
#include "engine/limits.h"
#include "engine/page.h"
#include "engine/scope.h"
#include "engine/utf8.h"

/* What replies append to the stored rows of a Job, and what the second and the third row consist of. A test proves that
 * the three rows and these share no field. */
enum {
        JOB_ID = 1,
        JOB_APP_ID = 2,
        JOB_STATUS = 3,
        JOB_INPUT = 4,
        JOB_CREATED_AT = 7,
        JOB_UPDATED_AT = 8,
        JOB_CREATED_BY = 9,
        JOB_ETAG = 12,
};

/* allod.v1.ListJobsResponse */
enum {
        LIST_JOBS = 1,
        LIST_TOKEN
};

#define ID_ECHO_MAX  48  /* as in app.c */
#define APPENDED_LEN 128 /* id, app_id, etag: at most 2 * 38 + 35, and the tag and length of a list's element */

static struct row row_of(enum row_kind kind, struct uuid app, struct uuid id)
{
        return (struct row){.kind = kind, .app = app, .id = id};
}

static struct row row_by_state(struct uuid app, struct uuid id, uint32_t status)
{
        return (struct row){.kind = ROW_JOB_BY_STATE, .app = app, .id = id, .state = (uint8_t)status};
}

static enum result absent(struct txn *txn, const char *id, const char *app_id)
{
        size_t id_len = utf8_valid_len(bytes_of(id, strnlen(id, ID_ECHO_MAX)));
        size_t app_id_len = utf8_valid_len(bytes_of(app_id, strnlen(app_id, ID_ECHO_MAX)));

        (void)fault_set(txn_fault(txn), R_ABSENT, "Job with ID '%.*s' not found for App ID '%.*s'.", (int)id_len, id,
                        (int)app_id_len, app_id);
        return R_ABSENT;
}

/* A job that a request names, and its state row. */
struct job {
        struct uuid app, id;
        struct record state;
};

/* R_ABSENT: no such app, or no such job of it, as the fault says. */
static enum result find(const struct scope *scope, const char *app_id, const char *id, struct job *out)
{
        struct job job;
        struct row row;
        enum result r;

        if ((r = app_find(scope, app_id, &job.app)) != R_OK) return r;
        if (uuid_parse(bytes_of_text(id), &job.id) != R_OK) return absent(scope_txn(scope), id, app_id);
        row = row_of(ROW_JOB, job.app, job.id);
        r = scope_get(scope, &row, &job.state);
        if (r == R_ABSENT) return absent(scope_txn(scope), id, app_id);
        if (r != R_OK) return r;
        *out = job;
        return R_OK;
}

static void reply_ids(struct uuid app, struct uuid id, struct message *reply)
{
        message_uuid(reply, JOB_ID, id);
        message_uuid(reply, JOB_APP_ID, app);
}

static void reply_etag(const struct scope *scope, uint64_t revision, struct message *reply)
{
        char etag[ETAG_SIZE];

        etag_of(scope_txn(scope), revision, etag);
        message_bytes(reply, JOB_ETAG, bytes_of_text(etag));
}

/* ---- Running ---- */

enum result job_run_check(const Allod__V1__RunJobRequest *request, struct fault *fault)
{
        enum result r;

        if (request->request_id[0] != '\0') (void)fault_field(fault, "request_id", "is not supported in this version");
        if (request->input[0] == '\0') return fault_field(fault, "input", "is required: a JSON object");
        r = document_check(request->input, NULL, "input", fault);
        return r == R_OK ? field_outcome(fault) : r;
}

/* What a new job's rows hold. */
struct new_job {
        struct bytes state;
        struct bytes input;
        struct bytes counters; /* of the app, with this job */
};

static enum result pack_new(const struct scope *scope, struct uuid app, const char *input_text, struct new_job *out)
{
        struct txn *txn = scope_txn(scope);
        store_v1_Counters counters;
        struct message state, input;
        const char *document;
        enum result r;

        if ((r = counters_get(scope, app, &counters)) != R_OK) return r;
        if ((r = counters_move(&counters, 0, ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED)) != R_OK) return r;
        if ((r = counters_store(txn_arena(txn), &counters, &out->counters)) != R_OK) return r;

        message_init(&state, txn_arena(txn), 96);
        message_uint(&state, JOB_STATUS, ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED);
        message_timestamp(&state, JOB_CREATED_AT, txn_time_ms(txn));
        message_timestamp(&state, JOB_UPDATED_AT, txn_time_ms(txn));
        message_uuid(&state, JOB_CREATED_BY, scope_actor(scope));
        if ((r = message_finish(&state)) != R_OK) return r;

        document = document_copy(txn_arena(txn), input_text);
        if (document == NULL) return R_NO_MEMORY;
        message_init(&input, txn_arena(txn), strlen(document) + 16); /* tag and length, as message.c reserves them */
        message_bytes(&input, JOB_INPUT, bytes_of_text(document));
        if ((r = message_finish(&input)) != R_OK) return r;

        out->state = message_so_far(&state);
        out->input = message_so_far(&input);
        return R_OK;
}

static enum result put_new(const struct scope *scope, struct uuid app, const struct new_job *job, uint64_t *revision)
{
        const struct uuid id = txn_id(scope_txn(scope));
        const struct row state = row_of(ROW_JOB, app, id);
        const struct row input = row_of(ROW_JOB_INPUT, app, id);
        const struct row queue = row_of(ROW_JOB_QUEUE, app, id);
        const struct row by_state = row_by_state(app, id, ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED);
        const struct row counters = {.kind = ROW_COUNTERS, .app = app};
        enum result r;

        if ((r = scope_change(scope, CHANGE_CREATE, &state, revision)) != R_OK) return r;
        if ((r = scope_put(scope, &state, *revision, job->state)) != R_OK) return r;
        if ((r = scope_put(scope, &input, *revision, job->input)) != R_OK) return r;
        if ((r = scope_put(scope, &queue, *revision, (struct bytes){0})) != R_OK) return r;
        if ((r = scope_put(scope, &by_state, *revision, (struct bytes){0})) != R_OK) return r;
        return scope_put(scope, &counters, *revision, job->counters);
}

enum result job_run(struct txn *txn, const struct credential *who, const Allod__V1__RunJobRequest *request,
                    struct message *reply)
{
        const struct scope *scope;
        struct new_job job;
        uint64_t revision;
        struct uuid app;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_RUN, &scope)) != R_OK) return r;
        if ((r = app_find(scope, request->app_id, &app)) != R_OK) return r;
        if ((r = pack_new(scope, app, request->input, &job)) != R_OK) return r;
        message_append(reply, job.state);
        reply_ids(app, txn_id(txn), reply);
        message_reserve(reply, APPENDED_LEN);
        if ((r = message_finish(reply)) != R_OK) return r;
        if ((r = put_new(scope, app, &job, &revision)) != R_OK) return r;
        reply_etag(scope, revision, reply);
        return R_OK;
}

/* ---- Reading ---- */

enum result job_get_check(const Allod__V1__GetJobRequest *request, struct fault *fault)
{
        (void)request;
        (void)fault;
        return R_OK;
}

/* A job's rows: state, input, result; the last two empty where there is none, or where nobody asked. */
struct rows {
        struct record state, input, result;
};

static enum result read_documents(const struct scope *scope, struct uuid app, struct uuid id, struct rows *rows)
{
        const struct row input = row_of(ROW_JOB_INPUT, app, id);
        const struct row result = row_of(ROW_JOB_RESULT, app, id);
        enum result r;

        if ((r = scope_get(scope, &input, &rows->input)) != R_OK) return r == R_ABSENT ? R_CORRUPT : r;
        r = scope_get(scope, &result, &rows->result);
        return r == R_ABSENT ? R_OK : r;
}

static size_t rows_len(const struct rows *rows)
{
        return rows->state.body.len + rows->input.body.len + rows->result.body.len + APPENDED_LEN;
}

static void reply_job(const struct scope *scope, struct uuid app, struct uuid id, const struct rows *rows,
                      struct message *reply)
{
        message_append(reply, rows->state.body);
        message_append(reply, rows->input.body);
        message_append(reply, rows->result.body);
        reply_ids(app, id, reply);
        reply_etag(scope, rows->state.revision, reply);
}

enum result job_get(struct txn *txn, const struct credential *who, const Allod__V1__GetJobRequest *request,
                    struct message *reply)
{
        const struct scope *scope;
        struct rows rows = {0};
        struct job job;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_READ, &scope)) != R_OK) return r;
        if ((r = find(scope, request->app_id, request->id, &job)) != R_OK) return r;
        rows.state = job.state;
        if ((r = read_documents(scope, job.app, job.id, &rows)) != R_OK) return r;
        message_reserve(reply, rows_len(&rows)); /* at once: growing would copy what is there */
        reply_job(scope, job.app, job.id, &rows, reply);
        return R_OK;
}

enum result job_list_check(const Allod__V1__ListJobsRequest *request, struct fault *fault)
{
        if (request->status < 0 || request->status > ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED)
                (void)fault_field(fault, "status", "must be one of QUEUED, RUNNING, COMPLETED, FAILED or CANCELED");
        if (request->view < 0 || request->view > ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL)
                (void)fault_field(fault, "view", "must be one of BASIC or FULL");
        if (page_check(request->page_size, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

/* The jobs of an app: all, by their state rows, or those of one state, by the index. */
struct list {
        const struct scope *scope;
        struct row kind;
        uint32_t number; /* as page tokens know it */
        bool is_full;    /* input and result are shown */
};

/* A token is bound to its scope and list by what signs it, but to its app and state only by the row in it. A bad one is
 * told before a missing app. */
static enum result open_list(struct list *list, const char *app_id, const char *token, struct scan *scan)
{
        struct row from = list->kind;
        enum result r;

        if (token[0] != '\0' && (r = scope_page_resume(list->scope, token, list->number, &from)) != R_OK) return r;
        if ((r = app_find(list->scope, app_id, &list->kind.app)) != R_OK) return r;
        if (token[0] == '\0') return scan_open(list->scope, &list->kind, NULL, true, scan);
        if (from.kind != list->kind.kind || !uuid_equal(from.app, list->kind.app) || from.state != list->kind.state)
                return fault_field(txn_fault(scope_txn(list->scope)), "page_token",
                                   "must be the next_page_token of this very list");
        return scan_open(list->scope, &list->kind, &from, true, scan);
}

/* The next job's rows. R_ABSENT: no more. */
static enum result next_rows(const struct list *list, struct scan *scan, struct row *row, struct rows *rows)
{
        enum result r;

        *rows = (struct rows){0};
        if ((r = scan_next(scan, row, &rows->state)) != R_OK) return r;
        if (list->kind.kind == ROW_JOB_BY_STATE) {
                const struct row state = row_of(ROW_JOB, row->app, row->id);

                r = scope_get(list->scope, &state, &rows->state);
                if (r != R_OK) return r == R_ABSENT ? R_CORRUPT : r;
        }
        return list->is_full ? read_documents(list->scope, row->app, row->id, rows) : R_OK;
}

/* A page ends before a job that would make it too large, as jobs may be twice as large as a page: then one is all. */
static bool fits(const struct page *page, const struct rows *rows)
{
        if (page_is_full(page)) return false;
        return page->rows == 0 || page->reply->len - page->start + rows_len(rows) <= PAGE_BYTES_MAX;
}

enum result job_list(struct txn *txn, const struct credential *who, const Allod__V1__ListJobsRequest *request,
                     struct message *reply)
{
        SCAN_SCOPE struct scan scan = {0};
        struct list list = {.is_full = request->view == ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL};
        struct page page;
        struct rows rows;
        struct row row;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_READ, &list.scope)) != R_OK) return r;
        list.kind.kind = request->status == 0 ? ROW_JOB : ROW_JOB_BY_STATE;
        list.kind.state = (uint8_t)request->status;
        list.number = (uint32_t)list.kind.kind << 8 | list.kind.state;
        if ((r = open_list(&list, request->app_id, request->page_token, &scan)) != R_OK) return r;
        page_begin(&page, request->page_size, reply);
        while ((r = next_rows(&list, &scan, &row, &rows)) == R_OK && fits(&page, &rows)) {
                size_t mark;

                page_row(&page, &row);
                mark = message_begin(reply, LIST_JOBS);
                reply_job(list.scope, row.app, row.id, &rows, reply);
                message_end(reply, mark);
        }
        return page_end(&page, r, list.scope, list.number, LIST_TOKEN);
}

/* ---- Canceling ---- */

enum result job_cancel_check(const Allod__V1__CancelJobRequest *request, struct fault *fault)
{
        (void)request;
        (void)fault;
        return R_OK;
}

/* What changes when a job is canceled. */
struct canceled {
        uint32_t from;         /* the status it had */
        struct bytes state;    /* its state row */
        struct bytes counters; /* of the app, without this job */
};

static enum result pack_canceled(const struct scope *scope, struct uuid app, Allod__V1__Job *state,
                                 struct canceled *out)
{
        struct txn *txn = scope_txn(scope);
        Google__Protobuf__Timestamp now = field_of_time_ms(txn_time_ms(txn));
        store_v1_Counters counters;
        struct message packed;
        enum result r;

        out->from = state->status;
        if ((r = counters_get(scope, app, &counters)) != R_OK) return r;
        if ((r = counters_move(&counters, out->from, ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED)) != R_OK) return r;
        if ((r = counters_store(txn_arena(txn), &counters, &out->counters)) != R_OK) return r;
        state->status = ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED;
        state->updated_at = &now;
        message_init(&packed, txn_arena(txn), protobuf_c_message_get_packed_size(&state->base));
        message_pack(&packed, &state->base);
        if ((r = message_finish(&packed)) != R_OK) return r;
        out->state = message_so_far(&packed);
        return R_OK;
}

static enum result put_canceled(const struct scope *scope, const struct job *job, const struct canceled *canceled,
                                uint64_t *revision)
{
        const struct row state = row_of(ROW_JOB, job->app, job->id);
        const struct row queue = row_of(ROW_JOB_QUEUE, job->app, job->id);
        const struct row from = row_by_state(job->app, job->id, canceled->from);
        const struct row to = row_by_state(job->app, job->id, ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED);
        const struct row counters = {.kind = ROW_COUNTERS, .app = job->app};
        enum result r;

        if ((r = scope_change(scope, CHANGE_UPDATE, &state, revision)) != R_OK) return r;
        if ((r = scope_put(scope, &state, *revision, canceled->state)) != R_OK) return r;
        if ((r = scope_delete(scope, &queue)) != R_OK) return r;
        if ((r = scope_delete(scope, &from)) != R_OK) return r;
        if ((r = scope_put(scope, &to, *revision, (struct bytes){0})) != R_OK) return r;
        return scope_put(scope, &counters, *revision, canceled->counters);
}

enum result job_cancel(struct txn *txn, const struct credential *who, const Allod__V1__CancelJobRequest *request,
                       struct message *reply)
{
        const struct scope *scope;
        struct canceled canceled;
        ProtobufCMessage *unpacked;
        Allod__V1__Job *state;
        uint64_t revision;
        struct job job;
        enum result r;

        if ((r = scope_open(txn, who, RIGHT_RUN, &scope)) != R_OK) return r;
        if ((r = find(scope, request->app_id, request->id, &job)) != R_OK) return r;
        r = message_unpack(txn_arena(txn), &allod__v1__job__descriptor, job.state.body, &unpacked);
        if (r != R_OK) return r;
        state = (Allod__V1__Job *)unpacked;
        if (state->status == ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED) {
                const struct rows rows = {.state = job.state};

                reply_job(scope, job.app, job.id, &rows, reply);
                return message_finish(reply);
        }
        if (state->status != ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED &&
            state->status != ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING)
                return fault_set(txn_fault(txn), R_WRONG_STATE,
                                 "Job cannot be canceled because it has already completed.");
        if ((r = pack_canceled(scope, job.app, state, &canceled)) != R_OK) return r;
        message_append(reply, canceled.state);
        reply_ids(job.app, job.id, reply);
        message_reserve(reply, APPENDED_LEN);
        if ((r = message_finish(reply)) != R_OK) return r;
        if ((r = put_canceled(scope, &job, &canceled, &revision)) != R_OK) return r;
        reply_etag(scope, revision, reply);
        return R_OK;
}

/* ---- Restoring ---- */

/* The app's counters with one more job in `status`. */
static enum result count_restored(const struct derive *derive, uint32_t status)
{
        const struct row row = {.kind = ROW_COUNTERS, .app = derive->row->app};
        store_v1_Counters counters = store_v1_Counters_init_zero;
        uint64_t revision = derive->record->revision;
        struct record record;
        struct bytes body;
        enum result r;

        r = scope_get(derive->scope, &row, &record);
        if (r != R_OK && r != R_ABSENT) return r;
        if (r == R_OK && record.revision > revision) revision = record.revision;
        if (r == R_OK && (r = message_load(&store_v1_Counters_msg, record.body, &counters)) != R_OK) return r;
        if ((r = counters_move(&counters, 0, status)) != R_OK) return r;
        if ((r = counters_store(txn_arena(scope_txn(derive->scope)), &counters, &body)) != R_OK) return r;
        return scope_put(derive->scope, &row, revision, body);
}

enum result job_derive(const struct derive *derive)
{
        const struct row *row = derive->row;
        const struct row queue = row_of(ROW_JOB_QUEUE, row->app, row->id);
        struct row by_state;
        ProtobufCMessage *unpacked;
        uint32_t status;
        enum result r;

        r = message_unpack(txn_arena(scope_txn(derive->scope)), &allod__v1__job__descriptor, derive->record->body,
                           &unpacked);
        if (r != R_OK) return r;
        status = (uint32_t)((const Allod__V1__Job *)unpacked)->status;
        if (status < ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED || status > ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED)
                return R_CORRUPT;
        by_state = row_by_state(row->app, row->id, status);
        if ((r = scope_put(derive->scope, &by_state, 0, (struct bytes){0})) != R_OK) return r;
        if (status == ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED &&
            (r = scope_put(derive->scope, &queue, 0, (struct bytes){0})) != R_OK)
                return r;
        return count_restored(derive, status);
}
