#include "engine/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "tests/lib/heap.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"
#include "tests/lib/work.h"

WORLD_METHOD(job_run, true);
WORLD_METHOD(job_get, false);
WORLD_METHOD(job_list, false);
WORLD_METHOD(job_cancel, true);

#define QUEUED    ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED
#define RUNNING   ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELED  ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED
#define FULL      ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL

/* ---- Calls ---- */

static const Allod__V1__Job *replied_job(void)
{
        return world_reply(&world, &allod__v1__job__descriptor);
}

static struct id new_job(const struct credential *who, const struct id *app)
{
        assert_int_equal(run_job(who, app->text, "{\"n\": 1.0}"), R_OK);
        return created_id();
}

static enum result get(const struct credential *who, const char *app, const char *id)
{
        Allod__V1__GetJobRequest request = ALLOD__V1__GET_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.id = (char *)id;
        return world_call(&world, &method_job_get, who, &request);
}

static enum result cancel(const struct credential *who, const char *app, const char *id)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.id = (char *)id;
        return world_call(&world, &method_job_cancel, who, &request);
}

static enum result list(const struct credential *who, const char *app, Allod__V1__ListJobsRequest request)
{
        request.app_id = (char *)app;
        if (request.page_token == NULL) request.page_token = (char *)"";
        return world_call(&world, &method_job_list, who, &request);
}

#define LIST(...)                                                                                                      \
        ((Allod__V1__ListJobsRequest){PROTOBUF_C_MESSAGE_INIT(&allod__v1__list_jobs_request__descriptor), __VA_ARGS__})

static const Allod__V1__ListJobsResponse *replied_list(void)
{
        return world_reply(&world, &allod__v1__list_jobs_response__descriptor);
}

static void assert_counts(const struct id *app, int in_queue, int in_progress, int completed, int failed)
{
        assert_int_equal(get_app(&ann.who, app->text), R_OK);
        assert_int_equal(replied_app()->jobs->in_queue, in_queue);
        assert_int_equal(replied_app()->jobs->in_progress, in_progress);
        assert_int_equal(replied_app()->jobs->completed, completed);
        assert_int_equal(replied_app()->jobs->failed, failed);
        assert_int_equal(replied_app()->jobs->retried, 0);
}

static enum result find(const struct id *app, const struct id *job, enum row_kind kind, uint8_t status)
{
        struct peek at = {
                .who = &ann.who,
                .row = {.kind = kind, .app = app->uuid, .id = job->uuid, .state = status},
        };

        peek(&at);
        return at.found;
}

/* A worker moves a job on. */
static void work(const struct id *app, const struct id *job, uint32_t from, uint32_t to, const char *result)
{
        struct work work = {&ann.who, app->uuid, job->uuid, from, to, result, true};

        tenants_write(work_run, &work);
}

/* ---- Running and reading ---- */

/* A job is answered without its input and read back with it, verbatim but for a trailing comma. */
static void test_run_and_get(void **state)
{
        struct id app = create_app(&ann.who), id;
        const Allod__V1__Job *job;
        char etag[64];

        (void)state;
        assert_int_equal(run_job(&ann.who, app.text, "{ \"prompt\":\"\\u00e9\", \"n\":1.50, }"), R_OK);
        id = created_id();
        job = replied_job();
        assert_string_equal(job->id, id.text);
        assert_string_equal(job->app_id, app.text);
        assert_int_equal(job->status, QUEUED);
        assert_string_equal(job->input, "");
        snprintf(etag, sizeof etag, "%s", job->etag);
        assert_int_equal(get(&ann.who, app.text, id.text), R_OK);
        job = replied_job();
        assert_string_equal(job->id, id.text);
        assert_string_equal(job->app_id, app.text);
        assert_int_equal(job->status, QUEUED);
        assert_string_equal(job->input, "{ \"prompt\":\"\\u00e9\", \"n\":1.50 }");
        assert_string_equal(job->result, "");
        assert_string_equal(job->error, "");
        assert_string_equal(job->created_by, ann.text);
        assert_true(job->created_at->seconds > 0);
        assert_null(job->execution_time);
        assert_int_equal(job->attempt, 0);
        assert_string_equal(job->etag, etag);
        assert_counts(&app, 1, 0, 0, 0);
}

/* A job is six rows, of which only its result is written later. */
static void test_rows(void **state)
{
        struct id app = create_app(&ann.who), job;
        uint64_t before = count_records();

        (void)state;
        job = new_job(&ann.who, &app);
        assert_int_equal(count_records(), before + 6);
        assert_int_equal(find(&app, &job, ROW_JOB, 0), R_OK);
        assert_int_equal(find(&app, &job, ROW_JOB_INPUT, 0), R_OK);
        assert_int_equal(find(&app, &job, ROW_JOB_QUEUE, 0), R_OK);
        assert_int_equal(find(&app, &job, ROW_JOB_BY_STATE, QUEUED), R_OK);
        assert_int_equal(find(&app, &job, ROW_JOB_RESULT, 0), R_ABSENT);
        new_job(&ann.who, &app);
        assert_int_equal(count_records(), before + 11); /* the counters are one row for all */
}

/* The three rows of a job and what replies append share no field, and together they are a Job. */
static void test_stored_fields(void **state)
{
        static const char *const appended[] = {"id", "app_id", "etag"};
        static const char *const of_state[] = {"status",     "error",          "created_at", "updated_at",
                                               "created_by", "execution_time", "attempt"};
        const ProtobufCMessageDescriptor *type = &allod__v1__job__descriptor;
        uint32_t parts[4] = {0}, all = 0;
        struct id app = create_app(&ann.who), job = new_job(&ann.who, &app);
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_JOB, .app = app.uuid, .id = job.uuid}};
        size_t i;

        (void)state;
        for (i = 0; i < sizeof of_state / sizeof of_state[0]; i++)
                parts[0] |= field_bit(type, of_state[i]);
        parts[1] = field_bit(type, "input");
        parts[2] = field_bit(type, "result");
        for (i = 0; i < sizeof appended / sizeof appended[0]; i++)
                parts[3] |= field_bit(type, appended[i]);
        for (i = 0; i < 4; i++) {
                assert_int_equal(all & parts[i], 0);
                all |= parts[i];
        }
        for (i = 0; i < type->n_fields; i++)
                all &= ~(1u << type->fields[i].id);
        assert_int_equal(all, 0);

        peek(&at);
        assert_int_equal(fields_of(at.body, at.len) & ~parts[0], 0);
        at.row.kind = ROW_JOB_INPUT;
        peek(&at);
        assert_int_equal(fields_of(at.body, at.len), parts[1]);
        work(&app, &job, QUEUED, RUNNING, "7");
        at.row.kind = ROW_JOB_RESULT;
        peek(&at);
        assert_int_equal(fields_of(at.body, at.len), parts[2]);
}

/* A job that a worker finished shows its result, whatever JSON it is. */
static void test_result(void **state)
{
        struct id app = create_app(&ann.who), job = new_job(&ann.who, &app);

        (void)state;
        work(&app, &job, QUEUED, RUNNING, NULL);
        assert_counts(&app, 0, 1, 0, 0);
        work(&app, &job, RUNNING, COMPLETED, "[0.10]");
        assert_counts(&app, 0, 0, 1, 0);
        assert_int_equal(get(&ann.who, app.text, job.text), R_OK);
        assert_int_equal(replied_job()->status, COMPLETED);
        assert_string_equal(replied_job()->input, "{\"n\": 1.0}");
        assert_string_equal(replied_job()->result, "[0.10]");
}

/* A job is found in its own app and scope alone; the fault says in the published words what is missing. */
static void test_absent(void **state)
{
        struct id app = create_app(&ann.who), other = create_app(&ann.who), foreign = create_app(&bob.who);
        struct id job = new_job(&ann.who, &app), foreign_job = new_job(&bob.who, &foreign);
        const struct {
                const struct credential *who;
                const char *app, *job;
                bool has_app;
        } cases[] = {
                {&ann.who, other.text, job.text, true},
                {&ann.who, app.text, foreign_job.text, true},
                {&ann.who, app.text, NO_ID, true},
                {&ann.who, app.text, "no uuid", true},
                {&ann.who, app.text, "", true},
                {&bob.who, foreign.text, job.text, true},
                {&bob.who, app.text, job.text, false},
                {&ann.who, foreign.text, foreign_job.text, false},
                {&ann_in_team, app.text, job.text, false},
                {&ann.who, "no uuid", job.text, false},
                {&cleo.who, foreign.text, job.text, false},
        };
        char text[200];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                if (cases[i].has_app)
                        snprintf(text, sizeof text, "Job with ID '%s' not found for App ID '%s'.", cases[i].job,
                                 cases[i].app);
                else
                        snprintf(text, sizeof text, "App with ID '%s' not found.", cases[i].app);
                assert_int_equal(get(cases[i].who, cases[i].app, cases[i].job), R_ABSENT);
                assert_string_equal(world.fault.text, text);
                assert_int_equal(cancel(cases[i].who, cases[i].app, cases[i].job), R_ABSENT);
                assert_string_equal(world.fault.text, text);
                if (cases[i].has_app) continue;
                assert_int_equal(list(cases[i].who, cases[i].app, LIST(.page_size = 1)), R_ABSENT);
                assert_string_equal(world.fault.text, text);
        }
        assert_counts(&app, 1, 0, 0, 0);
}

/* Requests that are wrong in themselves are told what is wrong. */
static void test_check(void **state)
{
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;
        struct id app = create_app(&ann.who);

        (void)state;
        assert_int_equal(run_job(&ann.who, app.text, ""), R_BAD_ARGUMENT);
        assert_complaint("input", "is required: a JSON object");
        assert_int_equal(run_job(&ann.who, app.text, "[]"), R_BAD_ARGUMENT);
        assert_complaint("input", "must be a JSON object");
        assert_int_equal(run_job(&ann.who, app.text, "{\"a\":.5}"), R_BAD_ARGUMENT);
        assert_complaint("input", NULL);
        request.app_id = app.text;
        request.input = (char *)"{}";
        request.request_id = (char *)"again";
        assert_int_equal(world_call(&world, &method_job_run, &ann.who, &request), R_BAD_ARGUMENT);
        assert_complaint("request_id", "is not supported in this version");
        assert_int_equal(list(&ann.who, app.text, LIST(.status = 6)), R_BAD_ARGUMENT);
        assert_complaint("status", NULL);
        assert_int_equal(list(&ann.who, app.text, LIST(.view = 3)), R_BAD_ARGUMENT);
        assert_complaint("view", NULL);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_size = PAGE_ROWS_MAX + 1)), R_BAD_ARGUMENT);
        assert_complaint("page_size", NULL);
        assert_counts(&app, 0, 0, 0, 0);
}

/* A job of the greatest size that a request can carry is stored and read back. */
static void test_large(void **state)
{
        const size_t len = 4u << 20;
        char *input = malloc(len + 1);
        struct id app = create_app(&ann.who), id;

        (void)state;
        assert_non_null(input);
        memset(input, 'x', len);
        memcpy(input, "{\"a\":\"", 6);
        memcpy(input + len - 2, "\"}", 3);
        assert_int_equal(run_job(&ann.who, app.text, input), R_OK);
        id = created_id();
        assert_int_equal(get(&ann.who, app.text, id.text), R_OK);
        assert_string_equal(replied_job()->input, input);
        free(input);
}

/* ---- Listing ---- */

/* Pages show each job of the app once, newest first, of all states or of one; input and result only when asked for. */
static void test_list(void **state)
{
        struct id app = create_app(&ann.who), other = create_app(&ann.who), jobs[5];
        const Allod__V1__ListJobsResponse *page;
        char token[256] = "";
        size_t seen = 0;
        size_t i;

        (void)state;
        new_job(&ann.who, &other);
        for (i = 0; i < 5; i++)
                jobs[i] = new_job(&ann.who, &app);
        do {
                assert_int_equal(list(&ann.who, app.text, LIST(.page_size = 2, .page_token = token)), R_OK);
                page = replied_list();
                for (i = 0; i < page->n_jobs; i++, seen++) {
                        assert_string_equal(page->jobs[i]->id, jobs[4 - seen].text);
                        assert_string_equal(page->jobs[i]->app_id, app.text);
                        assert_string_equal(page->jobs[i]->input, "");
                        assert_true(page->jobs[i]->etag[0] != '\0');
                }
                snprintf(token, sizeof token, "%s", page->next_page_token);
        } while (token[0] != '\0');
        assert_int_equal(seen, 5);

        work(&app, &jobs[1], QUEUED, RUNNING, NULL);
        work(&app, &jobs[3], QUEUED, RUNNING, NULL);
        work(&app, &jobs[3], RUNNING, COMPLETED, "{\"r\":1}");
        assert_int_equal(list(&ann.who, app.text, LIST(.status = COMPLETED, .view = FULL)), R_OK);
        page = replied_list();
        assert_int_equal(page->n_jobs, 1);
        assert_string_equal(page->jobs[0]->id, jobs[3].text);
        assert_string_equal(page->jobs[0]->input, "{\"n\": 1.0}");
        assert_string_equal(page->jobs[0]->result, "{\"r\":1}");
        assert_int_equal(list(&ann.who, app.text, LIST(.status = QUEUED)), R_OK);
        page = replied_list();
        assert_int_equal(page->n_jobs, 3);
        assert_string_equal(page->jobs[0]->id, jobs[4].text);
        assert_string_equal(page->jobs[2]->id, jobs[0].text);
        assert_int_equal(list(&ann.who, app.text, LIST(.status = FAILED)), R_OK);
        assert_int_equal(replied_list()->n_jobs, 0);
        assert_int_equal(list(&ann.who, app.text, LIST(.view = FULL)), R_OK);
        page = replied_list();
        assert_int_equal(page->n_jobs, 5);
        assert_string_equal(page->jobs[1]->result, "{\"r\":1}");
        assert_string_equal(page->jobs[2]->input, "{\"n\": 1.0}");
}

/* A token serves the list it was given for: the same scope, app and state. A bad one is told before a missing app. */
static void test_list_tokens(void **state)
{
        struct id app = create_app(&ann.who), other = create_app(&ann.who), apps = create_app(&bob.who);
        char all[256], queued[256];
        int i;

        (void)state;
        for (i = 0; i < 2; i++) {
                new_job(&ann.who, &app);
                new_job(&ann.who, &other);
                new_job(&bob.who, &apps);
        }
        assert_int_equal(list(&ann.who, app.text, LIST(.page_size = 1)), R_OK);
        snprintf(all, sizeof all, "%s", replied_list()->next_page_token);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_size = 1, .status = QUEUED)), R_OK);
        snprintf(queued, sizeof queued, "%s", replied_list()->next_page_token);

        assert_int_equal(list(&ann.who, app.text, LIST(.page_token = all, .view = FULL)), R_OK);
        assert_int_equal(replied_list()->n_jobs, 1);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_token = queued, .status = QUEUED)), R_OK);
        assert_int_equal(replied_list()->n_jobs, 1);
        assert_int_equal(list(&ann.who, other.text, LIST(.page_token = all)), R_BAD_ARGUMENT);
        assert_complaint("page_token", NULL);
        assert_int_equal(list(&ann.who, other.text, LIST(.page_token = queued, .status = QUEUED)), R_BAD_ARGUMENT);
        assert_complaint("page_token", NULL);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_token = queued)), R_BAD_ARGUMENT);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_token = all, .status = QUEUED)), R_BAD_ARGUMENT);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_token = queued, .status = RUNNING)), R_BAD_ARGUMENT);
        assert_int_equal(list(&bob.who, apps.text, LIST(.page_token = all)), R_BAD_ARGUMENT);
        assert_int_equal(list(&ann.who, NO_ID, LIST(.page_token = (char *)"x")), R_BAD_ARGUMENT);
        assert_int_equal(list(&ann.who, NO_ID, LIST(.page_token = all)), R_ABSENT);
}

/* A page ends before the job that would take it above 2 MiB, and a job that is larger by itself is a page. */
static void test_list_large(void **state)
{
        static const size_t sizes[] = {1u << 20, 3u << 20, 1u << 20, 700u << 10, 1u << 10};
        static const size_t counts[] = {3, 1, 1}; /* newest first: 1 K, 700 K and 1 M; 3 M; 1 M */
        char *input = malloc((3u << 20) + 1);
        struct id app = create_app(&ann.who);
        char token[256] = "";
        size_t i;

        (void)state;
        assert_non_null(input);
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                memset(input, 'x', sizes[i]);
                memcpy(input, "{\"a\":\"", 6);
                memcpy(input + sizes[i] - 2, "\"}", 3);
                assert_int_equal(run_job(&ann.who, app.text, input), R_OK);
        }
        for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
                assert_int_equal(list(&ann.who, app.text, LIST(.page_token = token, .view = FULL)), R_OK);
                assert_int_equal(replied_list()->n_jobs, counts[i]);
                snprintf(token, sizeof token, "%s", replied_list()->next_page_token);
                assert_int_equal(token[0] == '\0', i == 2);
        }
        free(input);
}

/* ---- Canceling ---- */

/* A job that waits or runs is canceled, its rows and counters move; again the answer is the same and nothing moves. */
static void test_cancel(void **state)
{
        struct id app = create_app(&ann.who), waits = new_job(&ann.who, &app), runs = new_job(&ann.who, &app);
        uint64_t before;
        char etag[64];

        (void)state;
        world.ahead_ms = 5000;
        assert_int_equal(cancel(&ann.who, app.text, waits.text), R_OK);
        assert_int_equal(replied_job()->status, CANCELED);
        assert_string_equal(replied_job()->id, waits.text);
        assert_string_equal(replied_job()->app_id, app.text);
        assert_true(replied_job()->updated_at->seconds >= replied_job()->created_at->seconds + 5);
        snprintf(etag, sizeof etag, "%s", replied_job()->etag);
        assert_int_equal(find(&app, &waits, ROW_JOB_QUEUE, 0), R_ABSENT);
        assert_int_equal(find(&app, &waits, ROW_JOB_BY_STATE, QUEUED), R_ABSENT);
        assert_int_equal(find(&app, &waits, ROW_JOB_BY_STATE, CANCELED), R_OK);
        assert_counts(&app, 1, 0, 0, 0);

        before = count_records();
        assert_int_equal(cancel(&ann.who, app.text, waits.text), R_OK);
        assert_int_equal(replied_job()->status, CANCELED);
        assert_string_equal(replied_job()->etag, etag);
        assert_int_equal(count_records(), before);

        work(&app, &runs, QUEUED, RUNNING, NULL);
        assert_int_equal(cancel(&ann.who, app.text, runs.text), R_OK);
        assert_int_equal(find(&app, &runs, ROW_JOB_BY_STATE, RUNNING), R_ABSENT);
        assert_counts(&app, 0, 0, 0, 0);
        assert_int_equal(get(&ann.who, app.text, runs.text), R_OK);
        assert_int_equal(replied_job()->status, CANCELED);
        assert_string_equal(replied_job()->input, "{\"n\": 1.0}");
}

/* What ended cannot be canceled, in the published words. */
static void test_cancel_ended(void **state)
{
        static const uint32_t ends[] = {COMPLETED, FAILED};
        struct id app = create_app(&ann.who);
        size_t i;

        (void)state;
        for (i = 0; i < 2; i++) {
                struct id job = new_job(&ann.who, &app);

                work(&app, &job, QUEUED, RUNNING, NULL);
                work(&app, &job, RUNNING, ends[i], NULL);
                assert_int_equal(cancel(&ann.who, app.text, job.text), R_WRONG_STATE);
                assert_string_equal(world.fault.text, "Job cannot be canceled because it has already completed.");
                assert_int_equal(get(&ann.who, app.text, job.text), R_OK);
                assert_int_equal(replied_job()->status, ends[i]);
        }
        assert_counts(&app, 0, 0, 1, 1);
}

/* Fields of a stored state that this version does not know survive a cancel. */
static void test_unknown_fields(void **state)
{
        struct id app = create_app(&ann.who), job = new_job(&ann.who, &app);
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_JOB, .app = app.uuid, .id = job.uuid}};

        (void)state;
        work(&app, &job, QUEUED, RUNNING, NULL);
        assert_int_equal(cancel(&ann.who, app.text, job.text), R_OK);
        peek(&at);
        assert_non_null(memmem(at.body, at.len, "kept", 4));
}

/* Running and canceling are the right RUN of a team's setting; reading is not. */
static void test_rights(void **state)
{
        struct id app = create_app(&ann_in_team), job = new_job(&cleo_in_team, &app);

        (void)state;
        assert_int_equal(get(&cleo_in_team, app.text, job.text), R_OK);
        assert_string_equal(replied_job()->created_by, cleo.text);
        assert_int_equal(cancel(&cleo_in_team, app.text, job.text), R_OK);
        assert_int_equal(get(&bob_in_team, app.text, job.text), R_NOT_MEMBER);
        assert_int_equal(cancel(&bob_in_team, app.text, job.text), R_NOT_MEMBER);
        assert_int_equal(get(&cleo.who, app.text, job.text), R_ABSENT);
}

/* With its app a job is gone at once, before any purge. */
static void test_deleted_app(void **state)
{
        struct id app = create_app(&ann.who), job = new_job(&ann.who, &app);

        (void)state;
        assert_int_equal(delete_app(&ann.who, app.text, ""), R_OK);
        assert_int_equal(get(&ann.who, app.text, job.text), R_ABSENT);
        assert_int_equal(cancel(&ann.who, app.text, job.text), R_ABSENT);
        assert_int_equal(list(&ann.who, app.text, LIST(.page_size = 1)), R_ABSENT);
}

/* ---- Memory ---- */

/* Whichever allocation of ours fails, a write answers R_NO_MEMORY and has written nothing, or it has all been done. */
static void test_no_memory(void **state)
{
        char input[20000];
        struct id app = create_app(&ann.who), job;
        unsigned long n = 0;
        enum result r;

        (void)state;
        memset(input, ' ', sizeof input);
        memcpy(input, "{}", 2);
        input[sizeof input - 1] = '\0';
        new_job(&ann.who, &app);
        do {
                uint64_t before = count_records();

                heap_fail_at(++n);
                r = run_job(&ann.who, app.text, input);
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
                assert_int_equal(count_records(), before + (r == R_OK ? 5 : 0));
        } while (r != R_OK);
        assert_true(n > 2);
        job = created_id();
        n = 0;
        do {
                heap_fail_at(++n);
                r = cancel(&ann.who, app.text, job.text);
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
                assert_int_equal(find(&app, &job, ROW_JOB_QUEUE, 0), r == R_OK ? R_ABSENT : R_OK);
        } while (r != R_OK);
        assert_true(n > 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_run_and_get),    TEST(test_rows),       TEST(test_stored_fields), TEST(test_result),
                TEST(test_absent),         TEST(test_check),      TEST(test_large),         TEST(test_list),
                TEST(test_list_tokens),    TEST(test_list_large), TEST(test_cancel),        TEST(test_cancel_ended),
                TEST(test_unknown_fields), TEST(test_rights),     TEST(test_deleted_app),   TEST(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
