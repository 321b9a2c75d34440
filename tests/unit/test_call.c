/* One request from head to close, on both faces: the order of checks, the writer, deadlines, lost connections. */
#include "rpc/call.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/apikey.h"
#include "rpc/limits.h"
#include "rpc/log.h"
#include "tests/lib/heap.h"
#include "tests/lib/loopback.h"
#include "tests/lib/test.h"

#define JSON   "content-type: application/json\n"
#define ANN    "x-api-key: " ANN_KEY "\n"
#define EVE    "x-api-key: " EVE_KEY "\n"
#define BODY   "{\"name\":\"a\",\"configuration\":{\"gpu_tier\":\"BASIC\"},\"workflow\":{\"model_url\":\"http://m\"}}"
#define NO_KEY "Unauthorized access. Invalid API key."

static struct loopback loopback;

static int set_up(void **state)
{
        (void)state;
        loopback_init(&loopback);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        loopback_fini(&loopback);
        return 0;
}

/* `headers` with %T for the team that ann owns and %E for eve's id. */
static const char *expand(const char *headers)
{
        static char out[1024];
        size_t len = 0;

        for (; *headers != '\0'; headers++) {
                const char *more = NULL;

                if (headers[0] == '%' && headers[1] == 'T') more = loopback.team;
                if (headers[0] == '%' && headers[1] == 'E') more = loopback.eve_text;
                if (more == NULL) {
                        out[len++] = *headers;
                        continue;
                }
                memcpy(out + len, more, UUID_TEXT_LEN);
                len += UUID_TEXT_LEN;
                headers++;
        }
        out[len] = '\0';
        return out;
}

static const char *error_of(const struct asked *asked)
{
        static char text[512];
        const char *body = loopback_body(asked);

        if (strncmp(body, "{\"error\":\"", 10) != 0) return body;
        snprintf(text, sizeof text, "%.*s", (int)strlen(body) - 12, body + 10);
        return text;
}

static void test_order_rest(void **state)
{
        /* Each request breaks every rule from some point on; the first broken one answers. */
        static const struct {
                const char *method, *target, *headers, *body;
                int status;
                const char *text;
        } rows[] = {
                {"PUT", "/nowhere?x=1", "x-api-key: no\n", "{", 404, "There is no such path."},
                {"PATCH", "/app?x=1", "x-api-key: no\n", "{", 405, NULL},
                {"POST", "/app?x=1", "x-team-id: null\n", "{", 403, NO_KEY},
                {"POST", "/app?x=1", "x-api-key: \nx-team-id: null\n", "{", 403, NO_KEY},
                {"POST", "/app?x=1", ANN ANN "x-team-id: null\n", "{", 403, NO_KEY},
                {"POST", "/app?x=1", "x-api-key: allod_sk_no\nx-team-id: null\n", "{", 403, NO_KEY},
                {"POST", "/app?x=1", "x-api-key: nobodys-key-at-all\nx-team-id: null\n", "{", 403, NO_KEY},
                {"POST", "/app?x=1", ANN "x-authenticated-user-id: %E\nx-team-id: null\n", "{", 403,
                 "User does not match the API key."},
                {"POST", "/app?x=1", ANN "x-authenticated-user-id: me\nx-team-id: null\n", "{", 403,
                 "User does not match the API key."},
                {"POST", "/app?x=1", EVE "x-team-id: null\n", "{", 400, "The header x-team-id must be one UUID."},
                {"POST", "/app?x=1", EVE "x-team-id: \n", "{", 400, "The header x-team-id must be one UUID."},
                {"POST", "/app?x=1", EVE "x-team-id: %T, %T\n", "{", 400, "The header x-team-id must be one UUID."},
                {"POST", "/app?x=1", EVE "x-team-id: {%T}\n", "{", 400, "The header x-team-id must be one UUID."},
                {"POST", "/app?x=1", ANN "x-team-id: %T\nx-team-id: %T\n", "{", 400,
                 "The header x-team-id must be one UUID."},
                {"POST", "/app?x=1", EVE "x-team-id: %T\n", "{", 403, "You are not a member of this team."},
                {"POST", "/app?x=1", EVE "x-team-id: 123e4567-e89b-12d3-a456-426614174000\n", "{", 403,
                 "You are not a member of this team."},
                {"POST", "/app?x=1", ANN "x-team-id: %T\ncontent-length: 5000000\n", "{", 415, NULL},
                {"POST", "/app?x=1", ANN "content-type: text/json\n", "{", 415, NULL},
                {"POST", "/app?x=1", ANN JSON JSON, "{", 415, NULL},
                {"POST", "/app?x=1", ANN JSON "content-encoding: gzip\n", "{", 415, "The body must not be compressed."},
                {"POST", "/app?x=1", ANN JSON "content-length: 5000000\n", "{", 413,
                 "The body is larger than 4194304 bytes."},
                {"POST", "/app?x=1", ANN JSON, "{", 400, "The query parameter x is not known here."},
                {"POST", "/app", ANN JSON, "{", 400, NULL},
                {"POST", "/app", ANN JSON, "", 400, NULL},
                {"POST", "/app", ANN JSON, "{}", 400, NULL},
                {"PUT", "/app/none", ANN JSON "if-match: none\n", "{}", 400,
                 "If-Match must be one entity tag in quotes, or *."},
                {"PUT", "/app/none", ANN JSON "if-match: \\\"0-1\\\"\n", "{}", 400, NULL},
                {"PUT", "/app/none", ANN JSON "if-match: \"0-1\"\n", "{}", 404, "App with ID 'none' not found."},
                {"POST", "/app", ANN JSON, BODY, 201, NULL},
                {"POST", "/app", ANN "x-team-id: %T\n" JSON, BODY, 201, NULL},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct asked asked;

                loopback_ask(&loopback, &asked, rows[i].method, rows[i].target, expand(rows[i].headers), rows[i].body);
                if (asked.status != rows[i].status ||
                    (rows[i].text != NULL && strcmp(error_of(&asked), rows[i].text) != 0))
                        fail_msg("row %zu: %d %s", i, asked.status, loopback_body(&asked));
                loopback_close(&asked);
        }
}

static void test_order_grpc(void **state)
{
        /* The same order where gRPC has the same checks. */
        static const struct {
                const char *path, *headers, *message;
                size_t message_len;
                enum grpc_code code;
        } rows[] = {
                {"/allod.v1.AppService/Nope", "x-api-key: no\ngrpc-timeout: x\n", "\xff", 1, GRPC_UNIMPLEMENTED},
                {"/app", ANN, "", 0, GRPC_UNIMPLEMENTED},
                {"/allod.v1.AdminService/GetStats", ANN, "", 0, GRPC_UNIMPLEMENTED},
                {"/allod.v1.AppService/GetApp", "x-team-id: null\ngrpc-timeout: x\n", "\xff", 1, GRPC_UNAUTHENTICATED},
                {"/allod.v1.AppService/GetApp", ANN ANN "grpc-timeout: x\n", "\xff", 1, GRPC_UNAUTHENTICATED},
                {"/allod.v1.AppService/GetApp", ANN "x-authenticated-user-id: %E\nx-team-id: null\n", "\xff", 1,
                 GRPC_PERMISSION_DENIED},
                {"/allod.v1.AppService/GetApp", EVE "x-team-id: null\ngrpc-timeout: x\n", "\xff", 1,
                 GRPC_INVALID_ARGUMENT},
                {"/allod.v1.AppService/GetApp", EVE "x-team-id: %T\ngrpc-timeout: x\n", "\xff", 1,
                 GRPC_PERMISSION_DENIED},
                {"/allod.v1.AppService/GetApp", ANN "grpc-timeout: x\n", "\xff", 1, GRPC_INVALID_ARGUMENT},
                {"/allod.v1.AppService/GetApp", ANN "grpc-encoding: gzip\ngrpc-timeout: 0n\n", "\xff", 1,
                 GRPC_UNIMPLEMENTED},
                {"/allod.v1.AppService/GetApp", ANN "grpc-timeout: 0n\n", "\xff", 1, GRPC_DEADLINE_EXCEEDED},
                {"/allod.v1.AppService/GetApp", ANN, "\xff", 1, GRPC_INTERNAL},
                {"/allod.v1.AppService/GetApp", ANN, "\x0a\x01\xff", 3, GRPC_INVALID_ARGUMENT},
                {"/allod.v1.AppService/GetApp", ANN, "\x0a\x01\x00", 3, GRPC_INVALID_ARGUMENT},
                {"/allod.v1.AppService/GetApp", ANN, "\x0a\x01x", 3, GRPC_NOT_FOUND},
                {"/allod.v1.AppService/GetApp", ANN "x-team-id: %T\ngrpc-encoding: identity\ngrpc-timeout: 5S\n",
                 "\x0a\x01x", 3, GRPC_NOT_FOUND},
                {"/allod.v1.AppService/ListApps", ANN, "\x08\x7f", 2, GRPC_OK},
                {"/allod.v1.AppService/ListApps", ANN, "\x08\xe9\x07", 3, GRPC_INVALID_ARGUMENT},
                {"/allod.v1.AppService/ListApps", ANN, "", 0, GRPC_OK},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct asked asked;

                loopback_call(&loopback, &asked, rows[i].path, expand(rows[i].headers),
                              bytes_of(rows[i].message, rows[i].message_len));
                if (loopback_grpc_status(&asked) != (int)rows[i].code || asked.status != 200)
                        fail_msg("row %zu: %d\n%s", i, asked.status, asked.fields);
                loopback_close(&asked);
        }
}

static void test_tenants(void **state)
{
        /* A record is there for its owner and absent for everybody else, in the same words as one that never was. */
        struct asked asked;
        char id[UUID_TEXT_LEN + 1];
        char target[64];
        char expected[128];
        char team_headers[128];

        (void)state;
        snprintf(team_headers, sizeof team_headers, ANN JSON "x-team-id: %s\n", loopback.team);
        loopback_ask(&loopback, &asked, "POST", "/app", team_headers, BODY);
        assert_int_equal(asked.status, 201);
        snprintf(id, sizeof id, "%s", strstr(loopback_body(&asked), "\"id\":\"") + 6);
        loopback_close(&asked);
        snprintf(target, sizeof target, "/app/%s", id);
        snprintf(expected, sizeof expected, "App with ID '%s' not found.", id);

        loopback_ask(&loopback, &asked, "GET", target, team_headers, NULL);
        assert_int_equal(asked.status, 200);
        loopback_close(&asked);
        snprintf(team_headers, sizeof team_headers, "x-api-key: " BOB_KEY "\nx-team-id: %s\n", loopback.team);
        loopback_ask(&loopback, &asked, "GET", target, team_headers, NULL);
        assert_int_equal(asked.status, 200);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "DELETE", target, team_headers, NULL);
        assert_int_equal(asked.status, 403);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "DELETE", "/app/none", team_headers, NULL);
        assert_int_equal(asked.status, 403); /* role before resource */
        loopback_close(&asked);
        snprintf(team_headers, sizeof team_headers, "x-api-key: " BOB_KEY "\nx-team-id: %s\nif-match: none\n",
                 loopback.team);
        loopback_ask(&loopback, &asked, "DELETE", target, team_headers, NULL);
        assert_int_equal(asked.status, 400); /* syntax before role */
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "GET", target, ANN, NULL);
        assert_int_equal(asked.status, 404);
        assert_string_equal(error_of(&asked), expected);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "GET", target, EVE, NULL);
        assert_int_equal(asked.status, 404);
        assert_string_equal(error_of(&asked), expected);
        loopback_close(&asked);
}

static void test_closed_while_running(void **state)
{
        /* The connection goes while the writer has the update: its outcome is dropped, and the call with it. */
        struct asked asked;

        (void)state;
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        loopback_data(&asked, BYTES(BODY));
        loopback_end(&asked);
        assert_false(asked.is_answered);
        loopback_close(&asked);
        assert_int_equal(loopback.host.calls.open_count, 1);
        loopback_run_one(&loopback);
        assert_int_equal(loopback.host.calls.open_count, 0);
}

/* An update of the test's own that holds up the writer until it may go on. */
struct blocker {
        struct update update;
        sem_t is_running, may_end, is_done;
};

static enum result block(struct txn *txn, void *arg)
{
        struct blocker *blocker = arg;

        (void)txn;
        sem_post(&blocker->is_running);
        sem_wait(&blocker->may_end);
        return R_ABSENT;
}

static void on_unblocked(struct update *update)
{
        sem_post(&((struct blocker *)update->arg)->is_done);
}

static void block_writer(struct blocker *blocker)
{
        *blocker = (struct blocker){.update = {.run = block, .arg = blocker, .done_cb = on_unblocked}};
        blocker->update.input = fixture_input(&loopback.fixture);
        sem_init(&blocker->is_running, 0, 0);
        sem_init(&blocker->may_end, 0, 0);
        sem_init(&blocker->is_done, 0, 0);
        assert_int_equal(writer_submit(store_writer(loopback.host.store), &blocker->update), R_OK);
        sem_wait(&blocker->is_running);
}

static void unblock_writer(struct blocker *blocker)
{
        sem_post(&blocker->may_end);
        sem_wait(&blocker->is_done);
}

static void assert_no_apps(void)
{
        struct asked asked;

        loopback_ask(&loopback, &asked, "GET", "/app", ANN, NULL);
        assert_string_equal(loopback_body(&asked), "{\"data\":[]}");
        loopback_close(&asked);
}

static void test_closed_while_queued(void **state)
{
        /* The connection goes while the update waits its turn: it is never run. */
        struct blocker blocker;
        struct asked asked;

        (void)state;
        block_writer(&blocker);
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        loopback_data(&asked, BYTES(BODY));
        loopback_end(&asked);
        assert_false(asked.is_answered);
        loopback_close(&asked);
        unblock_writer(&blocker);
        loopback_run_one(&loopback);
        assert_int_equal(loopback.host.calls.open_count, 0);
        assert_no_apps();
}

static void test_late(void **state)
{
        /* An update whose deadline has passed is refused and not done. */
        static const uint8_t create[] = "\x0a\x14\x12\x01"
                                        "a\x22\x02\x08\x01\x2a\x0b\x0a\x09"
                                        "http://mm";
        struct asked asked;

        (void)state;
        loopback.now_ns = 1; /* the writer looks at the real clock, which is far ahead of this one */
        loopback_call(&loopback, &asked, "/allod.v1.AppService/CreateApp", ANN "grpc-timeout: 1m\n",
                      bytes_of(create, sizeof create - 1));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_DEADLINE_EXCEEDED);
        loopback_close(&asked);
        assert_no_apps();
}

static void test_draining(void **state)
{
        /* A store that shuts down takes no updates; what is there can still be read. */
        struct asked asked;

        (void)state;
        writer_drain(store_writer(loopback.host.store));
        loopback_ask(&loopback, &asked, "POST", "/app", ANN JSON, BODY);
        assert_int_equal(asked.status, 503);
        loopback_close(&asked);
        assert_no_apps();
}

static void test_closed_early(void **state)
{
        /* The connection goes at any point before the request is complete: nothing is left, nothing is done. */
        struct asked asked;
        size_t len;

        (void)state;
        for (len = 0; len <= sizeof BODY - 1; len += 7) {
                loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
                loopback_data(&asked, bytes_of(BODY, len));
                loopback_close(&asked);
                assert_int_equal(loopback.host.calls.open_count, 0);
        }
        loopback_ask(&loopback, &asked, "GET", "/app", ANN, NULL);
        assert_string_equal(loopback_body(&asked), "{\"data\":[]}");
        loopback_close(&asked);
}

static void test_deadline(void **state)
{
        /* Our deadline answers while the body is awaited. */
        struct asked asked;

        (void)state;
        loopback_begin(&loopback, &asked, "POST", "/allod.v1.AppService/GetApp",
                       "content-type: application/grpc\ngrpc-timeout: 50m\n" ANN, true);
        assert_non_null(loopback.timer);
        assert_int_equal(loopback.timer->due_ns, loopback.now_ns + 50000000);
        loopback.now_ns = loopback.timer->due_ns;
        loopback.timer->is_set = false;
        loopback.timer->fire_cb(loopback.timer);
        loopback.timer = NULL;
        assert_int_equal(loopback_grpc_status(&asked), GRPC_DEADLINE_EXCEEDED);
        loopback_data(&asked, BYTES("late"));
        loopback_close(&asked);
}

static void test_deadline_is_cleared(void **state)
{
        /* An answer in time leaves no timer behind, nor does a reset. */
        struct asked asked;

        (void)state;
        loopback_call(&loopback, &asked, "/allod.v1.AppService/ListApps", ANN "grpc-timeout: 1H\n", BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        assert_null(loopback.timer);
        loopback_close(&asked);
        loopback_begin(&loopback, &asked, "POST", "/allod.v1.AppService/GetApp",
                       "content-type: application/grpc\ngrpc-timeout: 1S\n" ANN, true);
        assert_non_null(loopback.timer);
        loopback_close(&asked);
        assert_null(loopback.timer);
}

static void test_body_bound(void **state)
{
        /* A body that grows over the bound is refused whatever was announced, and so is one too many at a time. */
        struct asked asked;
        uint8_t *block = calloc(1, 1 << 20);
        size_t i;

        (void)state;
        assert_non_null(block);
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        for (i = 0; i < 4; i++)
                loopback_data(&asked, bytes_of(block, 1 << 20));
        assert_false(asked.is_answered);
        assert_int_equal(loopback.host.commons->body_bytes, REST_BODY_MAX);
        loopback_data(&asked, BYTES("x"));
        assert_int_equal(asked.status, 413);
        loopback_close(&asked);

        assert_int_equal(loopback.host.commons->body_bytes, 0);

        /* What is small is not counted. */
        loopback.host.commons->body_bytes = BODIES_MAX;
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        loopback_data(&asked, bytes_of(block, BODY_SMALL_MAX));
        assert_false(asked.is_answered);
        loopback_data(&asked, BYTES("x"));
        assert_int_equal(asked.status, 429);
        assert_string_equal(loopback_field(&asked, "retry-after"), "1");
        loopback_close(&asked);
        assert_int_equal(loopback.host.commons->body_bytes, BODIES_MAX);
        loopback.host.commons->body_bytes = 0;
        free(block);
}

/* The status of a request with that key from that address. */
static int ask_from(uint64_t address, const char *headers, struct asked *asked)
{
        loopback.peer.address = address;
        loopback_begin(&loopback, asked, "GET", "/app", headers, false);
        if (!asked->is_answered) loopback_end(asked);
        loopback.peer.address = ADDRESS_NONE;
        return asked->status;
}

static void test_guesses(void **state)
{
        /* After a hundred wrong keys no key of that address is looked up, the right one included, unless it was
         * accepted from there before; other addresses and those that are not counted are as before. */
        enum {
                MALLORY = 4711,
                OTHER = 4712
        };
        struct asked asked;
        char headers[100];
        int i;

        (void)state;
        assert_int_equal(ask_from(MALLORY, EVE, &asked), 200);
        loopback_close(&asked);
        for (i = 0; i < 2 * GUESSES_BURST; i++) {
                snprintf(headers, sizeof headers, "x-api-key: guess-%d\n", i);
                assert_int_equal(ask_from(MALLORY, headers, &asked), i < GUESSES_BURST ? 403 : 429);
                if (i == GUESSES_BURST) {
                        assert_string_equal(loopback_field(&asked, "retry-after"), "6");
                        assert_string_equal(error_of(&asked), "Too many requests with invalid API keys came from this "
                                                              "address; try again later.");
                }
                loopback_close(&asked);
        }
        assert_int_equal(ask_from(MALLORY, ANN, &asked), 429);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, EVE, &asked), 200);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, "x-api-key: allod_sk_no\n", &asked), 403);
        loopback_close(&asked);
        assert_int_equal(ask_from(OTHER, ANN, &asked), 200);
        loopback_close(&asked);
        assert_int_equal(ask_from(ADDRESS_NONE, ANN, &asked), 200);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, ANN, &asked), 429);
        loopback_close(&asked);

        loopback.peer.address = MALLORY;
        loopback_begin(&loopback, &asked, "POST", "/allod.v1.AppService/ListApps",
                       "content-type: application/grpc\n" ANN, true);
        loopback.peer.address = ADDRESS_NONE;
        assert_int_equal(loopback_grpc_status(&asked), GRPC_RESOURCE_EXHAUSTED);
        loopback_close(&asked);

        loopback.now_ns += INT64_C(7000000000);
        assert_int_equal(ask_from(MALLORY, ANN, &asked), 200);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, "x-api-key: guess\n", &asked), 403);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, "x-api-key: guess\n", &asked), 429);
        loopback_close(&asked);
        assert_int_equal(ask_from(MALLORY, ANN, &asked), 200);
        loopback_close(&asked);
}

static void test_share(void **state)
{
        /* A key whose calls hold its whole share gets no further large body in; another key does. */
        struct asked asked;
        struct arena_budget *share;
        uint8_t *block = calloc(1, 1 << 20);
        uint8_t digest[API_KEY_DIGEST_SIZE];

        (void)state;
        assert_non_null(block);
        assert_int_equal(apikey_digest(BYTES(ANN_KEY), digest), R_OK);
        share = commons_share(loopback.host.commons, digest);
        share->held += share->held_max;
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        loopback_data(&asked, bytes_of(block, BODY_SMALL_MAX));
        assert_false(asked.is_answered);
        loopback_data(&asked, BYTES("x"));
        assert_int_equal(asked.status, 429);
        loopback_close(&asked);
        loopback_begin(&loopback, &asked, "POST", "/app", EVE JSON, true);
        loopback_data(&asked, bytes_of(block, 1 << 20));
        assert_false(asked.is_answered);
        loopback_close(&asked);
        share->held -= share->held_max;
        assert_int_equal(share->held, 0);
        free(block);
}

static void test_call_bound(void **state)
{
        /* One call more than may be open is refused so that it may be repeated. */
        struct asked first, second;

        (void)state;
        loopback.host.calls.open_max = 1;
        loopback_begin(&loopback, &first, "POST", "/app", ANN JSON, true);
        loopback_begin(&loopback, &second, "POST", "/app", ANN JSON, true);
        assert_true(second.is_reset);
        assert_false(second.is_answered);
        loopback_close(&second);
        loopback_close(&first);
        loopback_begin(&loopback, &second, "POST", "/app", ANN JSON, true);
        assert_false(second.is_reset);
        loopback_close(&second);
}

static void test_slow_body(void **state)
{
        /* A body that does not come is answered at once when the carrier says so, on both faces and in streams. */
        struct asked asked;

        (void)state;
        loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
        call_on_slow(&asked.exchange);
        assert_int_equal(asked.status, 504);
        assert_string_equal(error_of(&asked), "The request's body came too slowly.");
        loopback_close(&asked);
        loopback_begin(&loopback, &asked, "POST", "/grpc.health.v1.Health/Watch", "content-type: application/grpc\n",
                       true);
        call_on_slow(&asked.exchange);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_DEADLINE_EXCEEDED);
        loopback_close(&asked);
}

static void test_large_message(void **state)
{
        /* gRPC refuses a message by its prefix, before it came. */
        struct asked asked;
        uint8_t prefix[GRPC_PREFIX_LEN];

        (void)state;
        grpc_prefix_write(prefix, GRPC_MESSAGE_MAX + 1);
        loopback_begin(&loopback, &asked, "POST", "/allod.v1.JobService/RunJob", "content-type: application/grpc\n" ANN,
                       true);
        loopback_data(&asked, bytes_of(prefix, sizeof prefix));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_RESOURCE_EXHAUSTED);
        loopback_close(&asked);
}

static void test_revoked(void **state)
{
        /* A key that was revoked opens nothing from the next request on, though its digest is still remembered. */
        static const char path[] = "/allod.v1.KeyService/";
        struct asked asked;
        struct bytes message;
        char text[64];

        (void)state;
        loopback_call(&loopback, &asked, "/allod.v1.KeyService/ListKeys", ANN, BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        message = loopback_message(&asked);
        /* keys[0].id: 0a LEN 0a 24 and 36 characters */
        assert_true(message.len > 4 + UUID_TEXT_LEN && message.data[2] == 0x0a && message.data[3] == UUID_TEXT_LEN);
        snprintf(text, sizeof text, "%sRevokeKey", path);
        {
                uint8_t request[2 + UUID_TEXT_LEN];

                memcpy(request, message.data + 2, sizeof request);
                loopback_close(&asked);
                loopback_call(&loopback, &asked, text, ANN, bytes_of(request, sizeof request));
        }
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "GET", "/app", ANN, NULL);
        assert_int_equal(asked.status, 403);
        loopback_close(&asked);
}

static void test_log(void **state)
{
        /* One line for a failed call, none for a good one, and no key in any. */
        static const char pattern[] = "info call-failed method=/allod.v1.AppService/ListApps result=R_UNAUTHENTICATED "
                                      "peer=127.0.0.1:50000 microseconds=0\n";
        struct asked asked;
        struct log log;
        char text[1024] = "";
        int ends[2];
        ssize_t len;

        (void)state;
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        log_init(&log, LOG_INFO, ends[1]);
        loopback.host.log = &log;
        loopback_ask(&loopback, &asked, "GET", "/app", ANN, NULL);
        assert_int_equal(asked.status, 200);
        loopback_close(&asked);
        assert_int_equal(read(ends[0], text, sizeof text - 1), -1);
        loopback_ask(&loopback, &asked, "GET", "/app", "x-api-key: some-secret\n", NULL);
        assert_int_equal(asked.status, 403);
        loopback_close(&asked);
        len = read(ends[0], text, sizeof text - 1);
        assert_true(len > (ssize_t)sizeof pattern);
        assert_string_equal(text + len - (sizeof pattern - 1), pattern);
        assert_ptr_equal(strchr(text, '\n'), text + len - 1);
        assert_null(strstr(text, "some-secret"));
        loopback.host.log = NULL;
        log_fini(&log);
        close(ends[0]);
        close(ends[1]);
}

static void test_no_allocation(void **state)
{
        /* A read costs no heap allocation once the pools are warm, on either face. */
        struct asked asked;
        int i;

        (void)state;
        loopback.is_deaf = true;
        for (i = 0; i < 3; i++) {
                heap_fail_at(0);
                loopback_begin(&loopback, &asked, "POST", "/allod.v1.AppService/ListApps",
                               "content-type: application/grpc\n" ANN, true);
                call_on_data(&asked.exchange, bytes_of("\0\0\0\0\0", 5));
                call_on_end(&asked.exchange);
                assert_true(asked.is_answered);
                loopback_close(&asked);
                if (i > 0) assert_int_equal(heap_count(), 0);

                heap_fail_at(0);
                loopback_begin(&loopback, &asked, "GET", "/app", ANN, false);
                call_on_end(&asked.exchange);
                assert_int_equal(asked.status, 200);
                loopback_close(&asked);
                if (i > 0) assert_int_equal(heap_count(), 0);
        }
}

static void test_no_memory(void **state)
{
        /* Each allocation of a request fails once: there is always an answer or a reset, and nothing is left behind. */
        unsigned long n;
        bool is_done = false;

        (void)state;
        loopback.is_deaf = true;
        for (n = 1; !is_done && n < 200; n++) {
                struct asked asked;
                char body[40000];

                /* Longer than an arena's first chunk. */
                snprintf(body, sizeof body, "{\"name\":\"%*s\"}", 39000, "a");
                call_pool_fini(&loopback.host.calls);
                call_pool_init(&loopback.host.calls);
                arena_pool_fini(&loopback.host.arenas);
                heap_fail_at(n);
                loopback_begin(&loopback, &asked, "POST", "/app", ANN JSON, true);
                if (!asked.is_answered && !asked.is_reset) call_on_data(&asked.exchange, bytes_of_text(body));
                if (!asked.is_answered && !asked.is_reset) call_on_end(&asked.exchange);
                is_done = heap_count() < n;
                heap_fail_at(0);
                if (is_done) assert_int_equal(asked.status, 400);
                loopback_close(&asked);
                assert_int_equal(loopback.host.calls.open_count, 0);
        }
        assert_true(is_done);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order_rest, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_order_grpc, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_tenants, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_closed_while_running, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_closed_while_queued, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_late, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_draining, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_closed_early, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deadline_is_cleared, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_body_bound, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_guesses, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_share, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_call_bound, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_slow_body, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_large_message, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_revoked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_log, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_allocation, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
