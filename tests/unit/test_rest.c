/* The REST face over a real store: the published examples, envelopes, lists, conditions, and HTTP's corners. */
#include "rpc/rest.h"

#include <stdio.h>
#include <stdlib.h>

#include "rpc/call.h"
#include "tests/lib/loopback.h"
#include "tests/lib/test.h"

#define ANN  "x-api-key: " ANN_KEY "\n"
#define JSON "content-type: application/json\n"

#define PUBLISHED                                                                                                      \
        "{\n\"name\": \"Team App\",\n\"description\": \"An app shared with the team\",\n\"configuration\": {\n"        \
        "\"gpu_tier\": \"STANDARD\"\n},\n\"workflow\": {\n\"model_url\": "                                             \
        "\"https://huggingface.co/example-model\",\n}\n}"

static struct loopback loopback;
static struct asked asked; /* the newest */

static int set_up(void **state)
{
        (void)state;
        loopback_init(&loopback);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        if (asked.exchange.call != NULL) loopback_close(&asked);
        loopback_fini(&loopback);
        return 0;
}

/* Ask, close what was asked before, and expect a status. Returns the body. */
static const char *ask(int status, const char *method, const char *target, const char *headers, const char *body)
{
        if (asked.exchange.call != NULL) loopback_close(&asked);
        loopback_ask(&loopback, &asked, method, target, headers, body);
        if (asked.status != status) fail_msg("%s %s: %d %s", method, target, asked.status, loopback_body(&asked));
        return loopback_body(&asked);
}

static void assert_error(const char *body, const char *text)
{
        char expected[512];

        snprintf(expected, sizeof expected, "{\"error\":\"%s\"}", text);
        assert_string_equal(body, expected);
}

/* The first "id":"..." in a body. */
static void take_id(const char *body, char id[UUID_TEXT_LEN + 1])
{
        const char *at = strstr(body, "\"id\":\"");

        assert_non_null(at);
        snprintf(id, UUID_TEXT_LEN + 1, "%s", at + 6);
}

/* The store's clock is real: put a known time in the place of each one that looks like it should, with `separator`. */
static const char *with_known_times(const char *body, char separator)
{
        static char text[1024];
        char *at = text;

        assert_true(snprintf(text, sizeof text, "%s", body) < (int)sizeof text);
        while ((at = strstr(at, "_at\":\"")) != NULL) {
                at += 6;
                assert_true(strspn(at, "0123456789-") == 10 && at[10] == separator && at[19] == '"');
                assert_int_equal(strspn(at + 11, "0123456789:"), 8);
                memcpy(at, "2025-01-02", 10);
                memcpy(at + 11, "03:04:05", 8);
        }
        return text;
}

static const char *path(const char *format, const char *first, const char *second)
{
        static char text[256];
        size_t len = 0;

        /* %1 and %2 */
        for (; *format != '\0'; format++) {
                const char *more = format[0] != '%'   ? NULL
                                   : format[1] == '1' ? first
                                   : format[1] == '2' ? second
                                                      : NULL;

                if (more == NULL) {
                        text[len++] = *format;
                        continue;
                }
                memcpy(text + len, more, strlen(more));
                len += strlen(more);
                format++;
        }
        text[len] = '\0';
        return text;
}

static void add_app(char id[UUID_TEXT_LEN + 1])
{
        take_id(ask(201, "POST", "/app", ANN JSON, PUBLISHED), id);
}

static void test_published(void **state)
{
        /* The published request in a team and without: answers with the published members, in their order. */
        char headers[160];
        char expected[1024];
        char id[UUID_TEXT_LEN + 1];
        const char *body;

        (void)state;
        snprintf(headers, sizeof headers, ANN JSON "x-team-id: %s\n", loopback.team);
        body = ask(201, "POST", "/app", headers, PUBLISHED);
        take_id(body, id);
        snprintf(expected, sizeof expected,
                 "{\"data\":{\"configuration\":{\"active_workers\":0,\"gpu_tier\":\"STANDARD\"},\"created_at\":"
                 "\"2025-01-02T03:04:05\",\"created_by\":\"%s\",\"description\":\"An app shared with the team\",\"id\":"
                 "\"%s\",\"name\":\"Team App\",\"owner_team_id\":\"%s\",\"owner_user_id\":null,\"status\":\"STOPPED\","
                 "\"updated_at\":\"2025-01-02T03:04:05\",\"workflow\":{\"model_url\":"
                 "\"https://huggingface.co/example-model\",\"tools\":{}}}}",
                 loopback.ann_text, id, loopback.team);
        assert_string_equal(with_known_times(body, 'T'), expected);
        assert_string_equal(loopback_field(&asked, "content-type"), "application/json");
        assert_int_equal(loopback_field(&asked, "etag")[0], '"');

        body = ask(200, "GET", path("/app/%1", id, ""), headers, NULL);
        assert_non_null(strstr(body,
                               "\"jobs\":{\"completed\":0,\"failed\":0,\"in_progress\":0,\"in_queue\":0,\"retried\":0},"
                               "\"name\""));
        assert_int_equal(strncmp(body, "{\"configuration\":", 17), 0);
        assert_string_equal(loopback_field(&asked, "cache-control"), "no-store");

        body = ask(201, "POST", "/app/", ANN JSON, PUBLISHED);
        snprintf(expected, sizeof expected, "\"owner_team_id\":null,\"owner_user_id\":\"%s\"", loopback.ann_text);
        assert_non_null(strstr(body, expected));
}

static void test_update(void **state)
{
        /* PUT and PATCH change what was sent and nothing else, and say so without counters. */
        char id[UUID_TEXT_LEN + 1];
        char target[64];
        char *whole;
        const char *body;

        (void)state;
        add_app(id);
        snprintf(target, sizeof target, "/app/%s", id);
        body = ask(200, "PUT", target, ANN JSON, "{\"name\":\"New\",\"configuration\":{\"active_workers\":2,},}");
        assert_non_null(strstr(body, "{\"data\":{\"configuration\":{\"active_workers\":2,\"gpu_tier\":\"STANDARD\"}"));
        assert_non_null(strstr(body, "\"name\":\"New\""));
        assert_non_null(strstr(body, "\"description\":\"An app shared with the team\""));
        assert_non_null(strstr(body, "\"status\":\"INITIALIZING\""));
        assert_null(strstr(body, "\"jobs\""));
        body = ask(200, "PATCH", target, ANN JSON, "{\"description\":null,\"configuration\":{\"active_workers\":0}}");
        assert_non_null(strstr(body, "\"description\":\"\""));
        assert_non_null(strstr(body, "\"status\":\"STOPPED\""));
        ask(200, "PUT", target, ANN JSON, "{}");
        assert_error(ask(400, "PUT", target, ANN JSON, "{\"configuration\":{\"gpu_tier\":\"BASIC\"}}"),
                     "configuration.gpu_tier cannot change after creation.");

        whole = strdup(ask(200, "GET", target, ANN, NULL));
        assert_non_null(whole);
        ask(200, "PUT", target, ANN JSON, whole);
        body = ask(200, "GET", target, ANN, NULL);
        assert_string_equal(body, whole);
        free(whole);
}

static void test_etag(void **state)
{
        /* If-Match: 412 when it does not match, and every way not to match; the tag changes with the record. */
        char id[UUID_TEXT_LEN + 1];
        char target[64];
        char first[64];
        char headers[256];
        const char *bad[] = {"\"\"", "\"x\"", "W/\"x\""};
        size_t i;

        (void)state;
        add_app(id);
        snprintf(first, sizeof first, "%s", loopback_field(&asked, "etag"));
        snprintf(target, sizeof target, "/app/%s", id);
        for (i = 0; i < 3; i++) {
                snprintf(headers, sizeof headers, ANN JSON "if-match: %s\n", bad[i]);
                ask(412, "PUT", target, headers, "{\"name\":\"b\"}");
                ask(412, "DELETE", target, headers, NULL);
                ask(412, "GET", target, headers, NULL);
        }
        snprintf(headers, sizeof headers, ANN JSON "if-match: W/%s\n", first);
        ask(412, "PUT", target, headers, "{\"name\":\"b\"}");
        snprintf(headers, sizeof headers, ANN JSON "if-match: %s\n", first);
        ask(200, "GET", target, headers, NULL);
        assert_string_equal(loopback_field(&asked, "etag"), first);
        ask(200, "PUT", target, headers, "{\"name\":\"b\"}");
        assert_string_not_equal(loopback_field(&asked, "etag"), first);
        ask(412, "PUT", target, headers, "{\"name\":\"c\"}");
        snprintf(headers, sizeof headers, ANN JSON "if-match: %s, %s\n", first, first);
        ask(400, "PUT", target, headers, "{\"name\":\"c\"}");
        ask(200, "PUT", target, ANN JSON "if-match: *\n", "{\"name\":\"c\"}");
        snprintf(headers, sizeof headers, ANN "if-match: %s\n", loopback_field(&asked, "etag"));
        ask(204, "DELETE", target, headers, NULL);
        assert_int_equal(asked.body_len, 0);
        assert_null(loopback_field(&asked, "content-type"));
        ask(404, "DELETE", target, ANN, NULL);
}

static void test_jobs(void **state)
{
        /* Submit, read, list, cancel, cancel again: the published answers. */
        char app[UUID_TEXT_LEN + 1];
        char job[UUID_TEXT_LEN + 1];
        char expected[512];
        const char *body;

        (void)state;
        add_app(app);
        body = ask(200, "POST", path("/app/%1/run_async", app, ""), ANN JSON,
                   "{\"input\":{ \"prompt\":\"a\\u0041\", \"n\": 1.0, },}");
        take_id(body, job);
        snprintf(expected, sizeof expected,
                 "{\"data\":{\"id\":\"%s\",\"status\":\"QUEUED\"},\"job_id\":\"%s\",\"status\":\"QUEUED\"}", job, job);
        assert_string_equal(body, expected);
        snprintf(expected, sizeof expected,
                 "{\"data\":{\"created_at\":\"2025-01-02 03:04:05\",\"id\":\"%s\",\"request\":{ "
                 "\"prompt\":\"a\\u0041\", "
                 "\"n\": 1.0 },\"result\":null,\"status\":\"IN_QUEUE\"}}",
                 job);
        body = ask(200, "GET", path("/app/%1/job/%2/", app, job), ANN, NULL);
        assert_string_equal(with_known_times(body, ' '), expected);
        assert_string_equal(loopback_field(&asked, "cache-control"), "no-store");
        body = ask(200, "GET", path("/app/%1", app, ""), ANN, NULL);
        assert_non_null(strstr(body, "\"in_queue\":1"));

        ask(415, "PUT", path("/app/%1/job/%2", app, job), ANN, "{}");
        ask(400, "PUT", path("/app/%1/job/%2", app, job), ANN JSON, "{\"status\":\"CANCELED\"}");
        snprintf(expected, sizeof expected, "{\"data\":{\"job_id\":\"%s\",\"status\":\"CANCELED\"}}", job);
        body = ask(200, "PUT", path("/app/%1/job/%2", app, job), ANN, NULL);
        assert_string_equal(body, expected);
        body = ask(200, "PUT", path("/app/%1/job/%2", app, job), ANN JSON, "{}");
        assert_string_equal(body, expected);
        body = ask(200, "PUT", path("/app/%1/job/%2", app, job), ANN "content-type: text/plain\n", "");
        assert_string_equal(body, expected);

        body = ask(200, "GET", path("/app/%1/job?status=CANCELED", app, ""), ANN, NULL);
        assert_non_null(strstr(body, job));
        body = ask(200, "GET", path("/app/%1/job?status=IN_QUEUE", app, ""), ANN, NULL);
        assert_string_equal(body, "{\"data\":[]}");
        body = ask(400, "GET", path("/app/%1/job?status=DONE", app, ""), ANN, NULL);
        assert_error(body, "status must be one of IN_QUEUE, QUEUED, RUNNING, COMPLETED, FAILED or CANCELED.");
}

static void test_absent(void **state)
{
        /* What is not there, in the published words, whatever the id looks like. */
        static const struct {
                const char *target;
                const char *text;
        } apps[] = {
                {"/app/x", "App with ID 'x' not found."},      {"/app/%78", "App with ID 'x' not found."},
                {"/app/%zz", "App with ID '%zz' not found."},  {"/app/%22", "App with ID '\\\"' not found."},
                {"/app/a+b", "App with ID 'a+b' not found."},  {"/app/%00", "App with ID '%00' not found."},
                {"/app/%ff/", "App with ID '%ff' not found."}, {"/app/%", "App with ID '%' not found."},
        };
        char app[UUID_TEXT_LEN + 1];
        char expected[256];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof apps / sizeof *apps; i++)
                assert_error(ask(404, "GET", apps[i].target, ANN, NULL), apps[i].text);
        ask(404, "GET", "/app/\xff\xfe", ANN, NULL);
        add_app(app);
        snprintf(expected, sizeof expected, "Job with ID 'j' not found for App ID '%s'.", app);
        assert_error(ask(404, "GET", path("/app/%1/job/j", app, ""), ANN, NULL), expected);
        assert_error(ask(404, "PUT", path("/app/%1/job/j", app, ""), ANN, NULL), expected);
        assert_error(ask(404, "GET", "/app/x/job/j", ANN, NULL), "App with ID 'x' not found.");
        assert_error(ask(404, "GET", "/app/x/job", ANN, NULL), "App with ID 'x' not found.");
        assert_error(ask(404, "POST", "/app/x/run_async", ANN JSON, "{\"input\":{}}"), "App with ID 'x' not found.");
}

static void test_pages(void **state)
{
        /* A token is told when it was asked for or the list was cut, and leads through all of it, newest first. */
        char ids[5][UUID_TEXT_LEN + 1];
        char target[512] = "/app?page_size=2";
        const char *body;
        size_t seen = 0;
        size_t i;

        (void)state;
        for (i = 0; i < 5; i++)
                add_app(ids[i]);
        body = ask(200, "GET", "/app", ANN, NULL);
        assert_null(strstr(body, "next_page_token"));
        body = ask(200, "GET", "/app?page_token=", ANN, NULL);
        assert_non_null(strstr(body, "],\"next_page_token\":\"\"}"));
        body = ask(200, "GET", "/app?page_size=&&", ANN, NULL);
        assert_non_null(strstr(body, "],\"next_page_token\":\"\"}"));
        for (;;) {
                const char *token;

                body = ask(200, "GET", target, ANN, NULL);
                for (i = 0; i < 2 && seen < 5; i++)
                        assert_non_null(strstr(body, ids[4 - seen++]));
                token = strstr(body, "\"next_page_token\":\"");
                assert_non_null(token);
                if (token[19] == '"') break;
                snprintf(target, sizeof target, "/app?page_size=%%32&page_token=%.*s", (int)strcspn(token + 19, "\""),
                         token + 19);
        }
        assert_int_equal(seen, 5);
}

static void test_query(void **state)
{
        /* Parameters that are unknown, repeated or broken are refused and named. */
        static const struct {
                const char *target;
                const char *text;
        } rows[] = {
                {"/app?page=2", "The query parameter page is not known here."},
                {"/app?status=RUNNING", "The query parameter status is not known here."},
                {"/app?Page_size=2", "The query parameter Page_size is not known here."},
                {"/app?page_size=2&page_size=2", "page_size must be given once."},
                {"/app?page_size=two", "page_size must be a number."},
                {"/app?page_size=-1", "page_size must be a number."},
                {"/app?page_size=99999999999", "page_size must be a number."},
                {"/app?page_size=%3", "The query has a broken escape."},
                {"/app?page_size=%00", "The query has a broken escape."},
                {"/app/x?page_size=1", "The query parameter page_size is not known here."},
                {"/app?=1", "The query parameter  is not known here."},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++)
                assert_error(ask(400, "GET", rows[i].target, ANN, NULL), rows[i].text);
        ask(400, "GET", "/app?page_size=1001", ANN, NULL);
        ask(400, "GET", "/app?page_token=forged", ANN, NULL);
        ask(200, "GET", "/app?", ANN, NULL);
}

static void test_verbs(void **state)
{
        /* 405 with what would be allowed, OPTIONS without a key, HEAD as GET. */
        static const struct {
                const char *target;
                const char *allow;
        } rows[] = {
                {"/app", "GET, HEAD, OPTIONS, POST"},
                {"/app/", "GET, HEAD, OPTIONS, POST"},
                {"/app/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"},
                {"/app/x/run_async", "OPTIONS, POST"},
                {"/app/x/job", "GET, HEAD, OPTIONS"},
                {"/app/x/job/y", "GET, HEAD, OPTIONS, PUT"},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                ask(405, "TRACE", rows[i].target, ANN, NULL);
                assert_string_equal(loopback_field(&asked, "allow"), rows[i].allow);
                ask(204, "OPTIONS", rows[i].target, NULL, NULL);
                assert_string_equal(loopback_field(&asked, "allow"), rows[i].allow);
        }
        ask(204, "OPTIONS", "*", NULL, NULL);
        ask(404, "OPTIONS", "/nope", NULL, NULL);
        ask(404, "GET", "/", ANN, NULL);
        ask(200, "HEAD", "/app", ANN, NULL);
        ask(405, "HEAD", "/app/x/run_async", ANN, NULL);
        ask(405, "get", "/app", ANN, NULL);
}

static void test_bodies(void **state)
{
        /* Content types that are JSON, and bodies where none is wanted. */
        static const char *const good[] = {"application/json", "Application/JSON", "application/json; charset=utf-8",
                                           "application/json;charset=\"UTF-8\"",
                                           "application/json ; a=b; charset=utf-8"};
        static const char *const bad[] = {"application/jsonp", "application/json; charset=latin-1", "text/json", "",
                                          "application/x-www-form-urlencoded"};
        char headers[160];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof good / sizeof *good; i++) {
                snprintf(headers, sizeof headers, ANN "content-type: %s\n", good[i]);
                ask(201, "POST", "/app", headers, PUBLISHED);
        }
        for (i = 0; i < sizeof bad / sizeof *bad; i++) {
                snprintf(headers, sizeof headers, ANN "content-type: %s\n", bad[i]);
                ask(415, "POST", "/app", headers, PUBLISHED);
        }
        ask(200, "GET", "/app", ANN, "whatever");
        ask(404, "DELETE", "/app/x", ANN "content-type: text/plain\n", "whatever");
        assert_error(ask(400, "POST", "/app", ANN JSON, "{\"name\":\"a\"}"),
                     "configuration.gpu_tier is required: one of BASIC, STANDARD or PERFORMANCE; workflow.model_url is "
                     "required.");
}

static void test_split(void **state)
{
        /* A body cut in two anywhere is the same body. */
        size_t len = sizeof PUBLISHED - 1;
        size_t cut;

        (void)state;
        for (cut = 0; cut <= len; cut += 3) {
                if (asked.exchange.call != NULL) loopback_close(&asked);
                loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
                loopback_data(&asked, bytes_of(PUBLISHED, cut));
                loopback_data(&asked, bytes_of(&PUBLISHED[cut], len - cut));
                loopback_end(&asked);
                loopback_wait(&asked);
                assert_int_equal(asked.status, 201);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_published, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_update, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_etag, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_jobs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_absent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_query, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_verbs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bodies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_split, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
