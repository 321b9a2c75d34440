#include "tests/wire/consumer.h"

#include <stdarg.h>

#include "engine/require.h"

#define BODY_MAX ((size_t)8 << 20)

struct call {
        uint8_t *body;
        size_t len, size;
        uint8_t *large;
};

struct consumer consumer;

void consumer_reset(void)
{
        memset(&consumer, 0, sizeof consumer);
}

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
        va_list arguments;
        int len;

        if (consumer.is_quiet) return;
        va_start(arguments, format);
        len = vsnprintf(consumer.transcript + consumer.transcript_len,
                        sizeof consumer.transcript - consumer.transcript_len, format, arguments);
        va_end(arguments);
        REQUIRE(len >= 0 && consumer.transcript_len + (size_t)len < sizeof consumer.transcript);
        consumer.transcript_len += (size_t)len;
}

static bool asks_for(const struct exchange *exchange, const char *target)
{
        return bytes_equal(exchange->head.target, bytes_of_text(target));
}

static void respond(struct exchange *exchange, int status, struct bytes body)
{
        struct field fields[] = {{BYTES("content-type"), BYTES("text/plain")}};
        struct field trailers[] = {{BYTES("grpc-status"), BYTES("0")}};
        bool has_trailers = exchange->head.is_http2 && asks_for(exchange, "/echo");
        struct response response = {
                .status = status,
                .fields = fields,
                .field_count = 1,
                .body = body,
                .trailers = trailers,
                .trailer_count = has_trailers ? 1 : 0,
        };

        exchange_respond(exchange, &response);
}

void call_on_head(struct exchange *exchange)
{
        const struct request_head *head = &exchange->head;
        struct call *call;

        consumer.head = *head;
        note("head %.*s %.*s authority=%.*s%s\n", (int)head->method.len, (const char *)head->method.data,
             (int)head->target.len, (const char *)head->target.data, (int)head->authority.len,
             (const char *)head->authority.data, head->has_body ? " body" : "");
        call = calloc(1, sizeof *call);
        if (call == NULL) {
                exchange_reset(exchange, RESET_INTERNAL);
                return;
        }
        exchange->call = call;
        if (++consumer.open > consumer.peak) consumer.peak = consumer.open;
        if (asks_for(exchange, "/busy")) exchange_reset(exchange, RESET_REFUSED);
        if (asks_for(exchange, "/early")) respond(exchange, 413, BYTES("too much"));
        if (asks_for(exchange, "/hold") || asks_for(exchange, "/greedy")) consumer.held = exchange;
}

static bool keep(struct call *call, struct bytes data)
{
        if (call->len + data.len > call->size) {
                size_t size = (call->len + data.len) * 2;
                uint8_t *body = size > BODY_MAX ? NULL : realloc(call->body, size);

                if (body == NULL) return false;
                call->body = body;
                call->size = size;
        }
        memcpy(call->body + call->len, data.data, data.len);
        call->len += data.len;
        return true;
}

void call_on_data(struct exchange *exchange, struct bytes data)
{
        note("data %zu\n", data.len);
        if (asks_for(exchange, "/greedy")) return;
        exchange_consume(exchange, data.len);
        if (!keep(exchange->call, data)) exchange_reset(exchange, RESET_INTERNAL);
}

static void respond_large(struct exchange *exchange)
{
        struct call *call = exchange->call;
        size_t i;

        call->large = malloc(consumer.large_len);
        if (call->large == NULL) {
                exchange_reset(exchange, RESET_INTERNAL);
                return;
        }
        for (i = 0; i < consumer.large_len; i++)
                call->large[i] = pattern_at(i);
        respond(exchange, 200, bytes_of(call->large, consumer.large_len));
}

void call_on_end(struct exchange *exchange)
{
        struct field fields[] = {{BYTES("content-type"), BYTES("text/plain")}};
        struct call *call = exchange->call;

        note("end\n");
        if (asks_for(exchange, "/echo")) respond(exchange, 200, bytes_of(call->body, call->len));
        if (asks_for(exchange, "/empty")) respond(exchange, 204, (struct bytes){0});
        if (asks_for(exchange, "/large")) respond_large(exchange);
        if (exchange->head.is_http2 && asks_for(exchange, "/feed")) {
                consumer.held = exchange;
                exchange_start(exchange, 200, fields, 1);
        }
}

void call_on_slow(struct exchange *exchange)
{
        const struct response response = {.status = 504};

        note("slow\n");
        exchange_respond(exchange, &response);
}

void call_on_writable(struct exchange *exchange)
{
        note("writable\n");
        consumer.held = exchange;
}

void call_on_drain(struct host *host)
{
        (void)host;
        note("drain\n");
}

void call_on_closed(struct exchange *exchange, bool was_answered)
{
        struct call *call = exchange->call;

        note("closed%s\n", was_answered ? " answered" : "");
        if (consumer.held == exchange) consumer.held = NULL;
        exchange->call = NULL;
        if (call == NULL) return;
        consumer.open--;
        free(call->body);
        free(call->large);
        free(call);
}
