/*
 * A connection from bytes to a real store: carrier, call, faces and engine, all of a server but its sockets. Within
 * HTTP/1.1, `{team}`, `{app}` and `{job}` in the input become ids that are there, and each answer must be well formed,
 * its body JSON. The keys in the seeds are ann's and bob's; what eve owns must not come out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/require.h"
#include "rpc/carrier.h"
#include "rpc/h1.h"
#include "rpc/h2.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"
#include "tests/lib/loopback.h"

#define OUT_SIZE   ((size_t)8 << 20)
#define INPUT_MAX  ((size_t)64 << 10)
#define ROUNDS_MAX 2000 /* inputs to one store, so that it stays small */
#define SECRET     "this-is-only-eves"
#define APP(name)                                                                                                      \
        "{\"name\":\"" name "\",\"configuration\":{\"gpu_tier\":\"BASIC\"},\"workflow\":{\"model_url\":\"http://m\"}}"

static struct loopback loopback;
static struct h2_pool pool;
static char app[UUID_TEXT_LEN + 1], job[UUID_TEXT_LEN + 1];
static unsigned rounds;
static uint8_t out[OUT_SIZE];
static size_t out_len;

static void tear_down(void)
{
        h2_pool_fini(&pool);
        loopback_fini(&loopback);
}

/* POST, and keep the id that the answer has behind `name`. */
static void create(const char *target, const char *key, const char *body, const char *name, char id[UUID_TEXT_LEN + 1])
{
        struct asked asked;
        char headers[256];
        const char *found;

        snprintf(headers, sizeof headers, "x-api-key: %s\ncontent-type: application/json\n", key);
        loopback_ask(&loopback, &asked, "POST", target, headers, body);
        found = strstr(loopback_body(&asked), name);
        REQUIRE(found != NULL);
        snprintf(id, UUID_TEXT_LEN + 1, "%s", found + strlen(name));
        loopback_close(&asked);
}

static void set_up(void)
{
        static bool is_up;
        char target[128];

        if (is_up && rounds++ % ROUNDS_MAX != 0) return;
        if (is_up)
                tear_down();
        else
                atexit(tear_down);
        is_up = true;
        pool = (struct h2_pool){0};
        loopback_init(&loopback);
        create("/app", EVE_KEY, APP(SECRET), "\"id\":\"", app);
        create("/app", ANN_KEY, APP("anns"), "\"id\":\"", app);
        snprintf(target, sizeof target, "/app/%s/run_async", app);
        create(target, ANN_KEY, "{\"input\":{\"a\":1}}", "\"job_id\":\"", job);
}

static bool has(struct bytes text, struct bytes part)
{
        return memmem(text.data, text.len, part.data, part.len) != NULL;
}

static void on_wake(struct carrier *carrier)
{
        (void)carrier;
}

static void take(struct carrier *carrier)
{
        struct output output;

        do {
                REQUIRE(OUT_SIZE - out_len >= 65536);
                output = (struct output){out + out_len, 0, 65536};
                carrier->ops->produce(carrier, &output);
                out_len += output.len;
        } while (output.len > 0);
}

static void give(struct carrier *carrier, struct bytes input)
{
        REQUIRE(carrier != NULL);
        carrier->wake_cb = on_wake;
        out_len = 0;
        view_expire(loopback.host.view);
        carrier->ops->receive(carrier, input);
        take(carrier);
        while (loopback.host.owed > 0) {
                loopback_run_one(&loopback);
                take(carrier);
        }
        carrier->ops->end_input(carrier);
        take(carrier);
        carrier->ops->free(carrier);
        while (loopback.host.owed > 0)
                loopback_run_one(&loopback);
        REQUIRE(loopback.host.calls.open_count == 0 && loopback.timer == NULL);
        REQUIRE(!has(bytes_of(out, out_len), BYTES(SECRET)));
}

/* Answers behind each other. Of those to HEAD the body is missing, and where they end is then unknown. */
static void judge(struct bytes rest, bool has_head)
{
        while (rest.len > 0) {
                struct bytes head = fuzz_until(&rest, BYTES("\r\n\r\n"));
                const uint8_t *length = memmem(head.data, head.len, "\r\ncontent-length: ", 18);
                size_t len = length == NULL ? 0 : (size_t)strtoul((const char *)length + 18, NULL, 10);
                struct bytes body;

                REQUIRE(bytes_start_with(head, BYTES("HTTP/1.1 ")));
                if (has_head && (rest.len == 0 || bytes_start_with(rest, BYTES("HTTP/1.1 ")))) continue;
                body = fuzz_part(&rest, len);
                REQUIRE(body.len == len && (len == 0 || judge_json(body, false)));
        }
}

/* With the names of ids replaced. */
static struct bytes fill_in(struct bytes input)
{
        static uint8_t filled[INPUT_MAX * 8];
        const struct {
                struct bytes name;
                const char *id;
        } names[] = {{BYTES("{team}"), loopback.team}, {BYTES("{app}"), app}, {BYTES("{job}"), job}};
        size_t len = 0;
        size_t i;

        while (input.len > 0) {
                for (i = 0; i < 3 && !bytes_start_with(input, names[i].name); i++)
                        ;
                if (i < 3) {
                        memcpy(filled + len, names[i].id, UUID_TEXT_LEN);
                        len += UUID_TEXT_LEN;
                        input = bytes_skip(input, names[i].name.len);
                } else {
                        filled[len++] = fuzz_byte(&input);
                }
        }
        return bytes_of(filled, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len < INPUT_MAX ? len : INPUT_MAX);

        /* What comes out would prove nothing, now or later: ann could have called an app of hers so. */
        if (has(input, BYTES(EVE_KEY)) || has(input, BYTES(SECRET))) return 0;
        set_up();
        if (bytes_start_with(input, BYTES("PRI "))) {
                give(h2_new(&loopback.host, &loopback.peer, &pool), input);
                return 0;
        }
        input = fill_in(input);
        give(h1_new(&loopback.host, &loopback.peer), input);
        judge(bytes_of(out, out_len), has(input, BYTES("HEAD")));
        return 0;
}
