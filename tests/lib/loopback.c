#include "tests/lib/loopback.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allod/v1/team.pb-c.h"
#include "engine/apikey.h"
#include "rpc/call.h"
#include "rpc/grpc_codec.h"
#include "rpc/method.h"
#include "tests/lib/test.h"

/* ---- The host ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_posted = PTHREAD_COND_INITIALIZER;
static struct completion *posted; /* newest first */

static struct loopback *loopback_of(const struct host *host)
{
        return (struct loopback *)host->loop;
}

void host_post(struct host *host, struct completion *completion)
{
        (void)host;
        pthread_mutex_lock(&mutex);
        completion->next = posted;
        posted = completion;
        pthread_cond_signal(&is_posted);
        pthread_mutex_unlock(&mutex);
}

void host_expect(struct host *host, struct completion *completion)
{
        completion->is_owed = true;
        host->owed++;
}

int64_t host_now_ns(const struct host *host)
{
        return loopback_of(host)->now_ns;
}

void host_timer_set(struct host *host, struct host_timer *timer, int64_t due_ns)
{
        timer->due_ns = due_ns;
        timer->is_set = true;
        loopback_of(host)->timer = timer;
}

void host_timer_clear(struct host *host, struct host_timer *timer)
{
        timer->is_set = false;
        if (loopback_of(host)->timer == timer) loopback_of(host)->timer = NULL;
}

void loopback_run_one(struct loopback *loopback)
{
        struct completion **place;
        struct completion *oldest;

        pthread_mutex_lock(&mutex);
        while (posted == NULL)
                pthread_cond_wait(&is_posted, &mutex);
        for (place = &posted; (*place)->next != NULL; place = &(*place)->next)
                ;
        oldest = *place;
        *place = NULL;
        pthread_mutex_unlock(&mutex);
        if (oldest->is_owed) loopback->host.owed--;
        oldest->is_owed = false;
        oldest->run(oldest);
}

/* ---- The carrier ---- */

static struct asked *asked_of(struct exchange *exchange)
{
        return (struct asked *)exchange;
}

static void append(char **text, size_t *len, const void *more, size_t more_len)
{
        *text = realloc(*text, *len + more_len + 1);
        assert_non_null(*text);
        if (more_len > 0) memcpy(*text + *len, more, more_len);
        *len += more_len;
        (*text)[*len] = '\0';
}

static void append_fields(struct asked *asked, const struct field *fields, size_t count)
{
        size_t len = asked->fields == NULL ? 0 : strlen(asked->fields);
        size_t i;

        for (i = 0; i < count; i++) {
                if (bytes_equal(fields[i].name, BYTES("grpc-status")))
                        asked->grpc_status = (int)strtol((const char *)fields[i].value.data, NULL, 10);
        }
        if (asked->loopback->is_deaf) return;
        for (i = 0; i < count; i++) {
                append(&asked->fields, &len, fields[i].name.data, fields[i].name.len);
                append(&asked->fields, &len, ": ", 2);
                append(&asked->fields, &len, fields[i].value.data, fields[i].value.len);
                append(&asked->fields, &len, "\n", 1);
        }
}

static void keep_on_tape(struct tape *tape, struct bytes data)
{
        assert_true(data.len <= tape->size - tape->len);
        if (data.len > 0) memcpy(tape->data + tape->len, data.data, data.len);
        tape->len += data.len;
}

static void append_body(struct asked *asked, struct bytes data)
{
        char *body = (char *)asked->body;

        if (asked->loopback->tape != NULL) keep_on_tape(asked->loopback->tape, data);
        if (asked->loopback->is_deaf) return;
        append(&body, &asked->body_len, data.data, data.len);
        asked->body = (uint8_t *)body;
}

static void consume(struct exchange *exchange, size_t len)
{
        asked_of(exchange)->consumed += len;
}

static void respond(struct exchange *exchange, const struct response *response)
{
        struct asked *asked = asked_of(exchange);

        assert_false(asked->is_answered || asked->is_started || asked->is_reset);
        asked->is_answered = true;
        asked->status = response->status;
        append_fields(asked, response->fields, response->field_count);
        append_body(asked, response->body);
        append_fields(asked, response->trailers, response->trailer_count);
}

static void start(struct exchange *exchange, int status, const struct field *fields, size_t field_count)
{
        struct asked *asked = asked_of(exchange);

        assert_false(asked->is_answered || asked->is_started || asked->is_reset);
        asked->is_started = true;
        asked->status = status;
        append_fields(asked, fields, field_count);
}

static size_t room(struct exchange *exchange)
{
        return ((const struct asked *)exchange)->room;
}

static void write_part(struct exchange *exchange, struct bytes data)
{
        struct asked *asked = asked_of(exchange);

        assert_true(asked->is_started && !asked->is_finished && data.len <= asked->room);
        if (asked->room != SIZE_MAX) asked->room -= data.len;
        append_body(asked, data);
}

static void finish(struct exchange *exchange, const struct field *trailers, size_t trailer_count)
{
        struct asked *asked = asked_of(exchange);

        assert_true(asked->is_started && !asked->is_finished);
        asked->is_finished = true;
        append_fields(asked, trailers, trailer_count);
}

static void reset(struct exchange *exchange, enum reset_code code)
{
        (void)code;
        asked_of(exchange)->is_reset = true;
}

static const struct exchange_ops ops = {consume, respond, start, room, write_part, finish, reset};

static void read_headers(struct request_head *head, const char *headers)
{
        while (headers != NULL && *headers != '\0') {
                const char *colon = strchr(headers, ':');
                const char *end = strchr(headers, '\n');
                enum header header;

                assert_true(colon != NULL && end != NULL && colon[1] == ' ');
                header = header_find(bytes_of(headers, (size_t)(colon - headers)));
                assert_true(header != HEADER_COUNT);
                if (head->counts[header]++ == 0) head->values[header] = bytes_of(colon + 2, (size_t)(end - colon - 2));
                headers = end + 1;
        }
}

void loopback_begin(struct loopback *loopback, struct asked *asked, const char *method, const char *target,
                    const char *headers, bool has_body)
{
        struct request_head *head = &asked->exchange.head;

        *asked = (struct asked){.loopback = loopback, .room = SIZE_MAX, .grpc_status = -1};
        asked->exchange.ops = &ops;
        asked->exchange.host = &loopback->host;
        asked->exchange.peer = &loopback->peer;
        head->method = bytes_of_text(method);
        head->target = bytes_of_text(target);
        head->has_body = has_body;
        read_headers(head, headers);
        head->is_http2 = headers != NULL && strstr(headers, "application/grpc") != NULL;
        view_expire(loopback->host.view);
        call_on_head(&asked->exchange);
}

/* As the carriers do: nothing follows an answer in full. */
static bool is_over(const struct asked *asked)
{
        return asked->is_answered || asked->is_finished || asked->is_reset;
}

void loopback_data(struct asked *asked, struct bytes data)
{
        const struct call *call = asked->exchange.call;
        uint8_t *copy;

        if (is_over(asked)) return;
        /* In memory of its own, gone right after, so that a sanitizer sees who keeps a slice of it. */
        copy = malloc(data.len + 1);
        assert_non_null(copy);
        if (data.len > 0) memcpy(copy, data.data, data.len);
        call_on_data(&asked->exchange, bytes_of(copy, data.len));
        free(copy);
        asked->delivered += data.len;
        assert_true(asked->consumed <= asked->delivered);
        if (call == NULL || call->state != CALL_STREAMING || !call->feed.is_held)
                assert_int_equal(asked->consumed, asked->delivered);
}

void loopback_end(struct asked *asked)
{
        if (!is_over(asked)) call_on_end(&asked->exchange);
}

void loopback_wait(struct asked *asked)
{
        while (!is_over(asked))
                loopback_run_one(asked->loopback);
}

void loopback_close(struct asked *asked)
{
        call_on_closed(&asked->exchange, is_over(asked) && !asked->is_reset);
        assert_null(asked->exchange.call);
        free(asked->fields);
        free(asked->body);
        asked->fields = NULL;
        asked->body = NULL;
}

void loopback_ask(struct loopback *loopback, struct asked *asked, const char *method, const char *target,
                  const char *headers, const char *body)
{
        loopback_begin(loopback, asked, method, target, headers, body != NULL);
        if (body != NULL) loopback_data(asked, bytes_of_text(body));
        loopback_end(asked);
        loopback_wait(asked);
}

void loopback_call(struct loopback *loopback, struct asked *asked, const char *path, const char *headers,
                   struct bytes message)
{
        uint8_t *frame = malloc(GRPC_PREFIX_LEN + message.len);
        char text[512];

        assert_non_null(frame);
        grpc_prefix_write(frame, message.len);
        if (message.len > 0) memcpy(frame + GRPC_PREFIX_LEN, message.data, message.len);
        assert_true(snprintf(text, sizeof text, "content-type: application/grpc\n%s", headers) < (int)sizeof text);
        loopback_begin(loopback, asked, "POST", path, text, true);
        loopback_data(asked, bytes_of(frame, GRPC_PREFIX_LEN + message.len));
        free(frame);
        loopback_end(asked);
        loopback_wait(asked);
}

/* ---- Looking at it ---- */

const char *loopback_field(const struct asked *asked, const char *name)
{
        static char value[4096];
        const char *line = asked->fields;
        size_t name_len = strlen(name);

        while (line != NULL && *line != '\0') {
                const char *end = strchr(line, '\n');

                if (strncmp(line, name, name_len) == 0 && line[name_len] == ':') {
                        snprintf(value, sizeof value, "%.*s", (int)(end - line - (long)name_len - 2),
                                 line + name_len + 2);
                        return value;
                }
                line = end + 1;
        }
        return NULL;
}

const char *loopback_body(const struct asked *asked)
{
        return asked->body == NULL ? "" : (const char *)asked->body;
}

int loopback_grpc_status(const struct asked *asked)
{
        const char *text = loopback_field(asked, "grpc-status");

        return text == NULL ? -1 : (int)strtol(text, NULL, 10);
}

struct bytes loopback_message(const struct asked *asked)
{
        assert_true(asked->body_len >= GRPC_PREFIX_LEN);
        return bytes_of(asked->body + GRPC_PREFIX_LEN, asked->body_len - GRPC_PREFIX_LEN);
}

/* ---- The ground ---- */

static void add_user(struct loopback *loopback, const char *key, struct uuid *user, char text[UUID_TEXT_LEN + 1])
{
        uint8_t digest[API_KEY_DIGEST_SIZE];

        *user = uuid_v7(FIXTURE_TIME_MS);
        uuid_format(*user, text);
        assert_int_equal(apikey_digest(bytes_of_text(key), digest), R_OK);
        fixture_add_user(&loopback->fixture, *user, uuid_v7(FIXTURE_TIME_MS), digest);
}

void loopback_init(struct loopback *loopback)
{
        char why[WHY_SIZE] = "";

        *loopback = (struct loopback){.now_ns = INT64_C(1000000000000)};
        if (method_init(why) != R_OK) fail_msg("method_init: %s", why);
        fixture_init(&loopback->fixture);
        uuid_format(loopback->fixture.team, loopback->team);
        add_user(loopback, ANN_KEY, &loopback->ann, loopback->ann_text);
        add_user(loopback, BOB_KEY, &loopback->bob, loopback->bob_text);
        add_user(loopback, EVE_KEY, &loopback->eve, loopback->eve_text);
        fixture_add_member(&loopback->fixture, loopback->fixture.team, loopback->ann, ALLOD__V1__ROLE__ROLE_OWNER);
        fixture_add_member(&loopback->fixture, loopback->fixture.team, loopback->bob, ALLOD__V1__ROLE__ROLE_MEMBER);
        loopback->host = (struct host){
                .store = loopback->fixture.store,
                .view = loopback->fixture.view,
                .has_reflection = true,
                .loop = loopback,
        };
        arena_pool_init(&loopback->host.arenas, 16);
        call_pool_init(&loopback->host.calls);
        assert_int_equal(commons_new(&(struct bounds){0}, &loopback->host.commons), R_OK);
        loopback->host.arenas.budget = &loopback->host.commons->held;
        loopback->peer = (struct peer){.plane = PLANE_PUBLIC, .text = "127.0.0.1:50000"};
}

void loopback_fini(struct loopback *loopback)
{
        assert_int_equal(loopback->host.calls.open_count, 0);
        assert_int_equal(loopback->host.commons->body_bytes, 0);
        assert_int_equal(loopback->host.commons->held.held, 0);
        assert_int_equal(loopback->host.owed, 0);
        assert_null(loopback->host.calls.streams);
        assert_null(loopback->timer);
        call_pool_fini(&loopback->host.calls);
        commons_free(loopback->host.commons);
        arena_pool_fini(&loopback->host.arenas);
        fixture_fini(&loopback->fixture);
}
