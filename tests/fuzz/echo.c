#include "tests/fuzz/echo.h"

#include <stdlib.h>

#include "engine/require.h"
#include "rpc/host.h"

struct call {
        struct exchange *exchange;
        struct call *next, *previous;
        uint8_t *body; /* the echo */
        size_t len, size;
        size_t untaken;
        size_t written; /* in parts */
        bool is_ended, is_answered, is_started;
};

struct echo echo;

/* The host of carriers without a loop: its clock stands still. */
int64_t host_now_ns(const struct host *host)
{
        (void)host;
        return 1000000000;
}

/* FNV-1a, with the length, so that neighbours cannot run together. */
static void note(struct bytes bytes)
{
        size_t i;

        for (i = 0; i < bytes.len; i++)
                echo.digest = (echo.digest ^ bytes.data[i]) * UINT64_C(0x100000001b3);
        echo.digest = (echo.digest ^ bytes.len) * UINT64_C(0x100000001b3);
}

void echo_reset(void)
{
        REQUIRE(echo.open == 0 && echo.calls == NULL);
        echo = (struct echo){0};
}

static char way_of(const struct exchange *exchange)
{
        struct bytes target = exchange->head.target;

        return target.len > 1 && target.data[0] == '/' ? (char)target.data[1] : '\0';
}

static void append(struct call *call, struct bytes more)
{
        if (call->len + more.len > call->size) {
                call->size = 2 * (call->len + more.len);
                call->body = realloc(call->body, call->size);
                REQUIRE(call->body != NULL);
        }
        if (more.len > 0) memcpy(call->body + call->len, more.data, more.len);
        call->len += more.len;
}

static const struct field content_type = {{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"text/plain", 10}};
static const struct field trailer = {{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}};

static void answer(struct call *call, int status)
{
        const struct exchange *exchange = call->exchange;
        struct response response = {.status = status, .fields = &content_type, .field_count = 1};

        if (call->is_answered) return;
        call->is_answered = true;
        if (status != 204) response.body = bytes_of(call->body, call->len);
        if (exchange->head.is_http2 && status == 200) {
                response.trailers = &trailer;
                response.trailer_count = 1;
        }
        exchange_respond(call->exchange, &response);
}

static void write_parts(struct call *call)
{
        struct bytes rest = bytes_of(call->body + call->written, call->len - call->written);
        size_t room;

        if (call->is_answered) return;
        if (!call->is_started) exchange_start(call->exchange, 200, &content_type, 1);
        call->is_started = true;
        room = exchange_room(call->exchange);
        if (rest.len > room) rest.len = room;
        exchange_write(call->exchange, rest);
        call->written += rest.len;
        if (call->written < call->len || !call->is_ended) return;
        call->is_answered = true;
        exchange_finish(call->exchange, &trailer, 1);
}

void call_on_head(struct exchange *exchange)
{
        const struct request_head *head = &exchange->head;
        struct call *call = calloc(1, sizeof *call);
        size_t i;

        REQUIRE(call != NULL);
        call->exchange = exchange;
        call->next = echo.calls;
        if (echo.calls != NULL) echo.calls->previous = call;
        echo.calls = call;
        exchange->call = call;
        echo.open++;
        note(head->method);
        note(head->target);
        note(head->authority);
        for (i = 0; i < HEADER_COUNT; i++) {
                REQUIRE((head->counts[i] > 0) || head->values[i].data == NULL);
                note(head->values[i]);
                note(bytes_of(&head->counts[i], 1));
        }
        if (echo.on_head_cb != NULL) echo.on_head_cb(head);
        append(call, head->method);
        append(call, head->target);
        append(call, BYTES("\n"));
        if (way_of(exchange) == 'e') answer(call, 413);
}

void call_on_data(struct exchange *exchange, struct bytes data)
{
        struct call *call = exchange->call;

        REQUIRE(data.len > 0 && exchange->head.has_body && !call->is_answered && !call->is_ended);
        append(call, data);
        if (way_of(exchange) == 'g')
                call->untaken += data.len;
        else
                exchange_consume(exchange, data.len);
        if (way_of(exchange) == 'p' && exchange->head.is_http2) write_parts(call);
}

void call_on_end(struct exchange *exchange)
{
        struct call *call = exchange->call;

        REQUIRE(!call->is_answered && !call->is_ended);
        call->is_ended = true;
        note(bytes_of(call->body, call->len));
        switch (way_of(exchange)) {
        case 'h':
        case 'g':
                break;
        case 'n':
                answer(call, 204);
                break;
        case 'r':
                call->is_answered = true;
                exchange_reset(exchange, RESET_CANCEL);
                break;
        case 'p':
                if (exchange->head.is_http2)
                        write_parts(call);
                else
                        answer(call, 200);
                break;
        default:
                answer(call, 200);
                break;
        }
}

void call_on_slow(struct exchange *exchange)
{
        exchange_reset(exchange, RESET_CANCEL);
}

void call_on_writable(struct exchange *exchange)
{
        write_parts(exchange->call);
}

void call_on_drain(struct host *host)
{
        (void)host;
}

void call_on_closed(struct exchange *exchange, bool was_answered)
{
        struct call *call = exchange->call;

        REQUIRE(call != NULL && (!was_answered || call->is_answered));
        note(bytes_of(&was_answered, 1));
        if (call->previous != NULL)
                call->previous->next = call->next;
        else
                echo.calls = call->next;
        if (call->next != NULL) call->next->previous = call->previous;
        exchange->call = NULL;
        echo.open--;
        free(call->body);
        free(call);
}

bool echo_release(void)
{
        struct call *call = echo.calls;
        bool is_any = false;

        while (call != NULL) {
                struct call *next = call->next;
                char way = way_of(call->exchange);

                if (call->untaken > 0) {
                        is_any = true;
                        exchange_consume(call->exchange, call->untaken);
                        call->untaken = 0;
                }
                if ((way == 'h' || way == 'g') && call->is_ended && !call->is_answered) {
                        is_any = true;
                        answer(call, 200);
                }
                call = next;
        }
        return is_any;
}
