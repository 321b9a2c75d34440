/*
 * One HTTP request and its answer, whichever version carries it.
 *
 * h1.c and h2.c (the carriers) turn bytes into these events and answers into bytes; call.c consumes the events and
 * answers. Neither knows the other's insides, and no socket is in sight: both sides are tested from byte arrays.
 *
 *      carrier -> call:  call_on_head, call_on_data*, call_on_end or call_on_slow, call_on_writable*, then
 *                        call_on_closed, exactly once
 *      call -> carrier:  exchange_consume, and one exchange_respond, or exchange_start, exchange_write*,
 * exchange_finish
 *
 * The consumer may answer from inside any event, or later on the same loop (call_on_slow: at once); carriers queue and
 * never call back from inside an answer, but for nothing. An answer given before the request has ended ends the upload:
 * h2 follows it with RST_STREAM (NO_ERROR), h1 with `Connection: close`. After call_on_closed the exchange is gone;
 * whoever keeps working (an update in the writer's hands) must have let go of it by then.
 *
 * Thread: the connection's loop.
 */
#ifndef ALLOD_RPC_EXCHANGE_H
#define ALLOD_RPC_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"

struct call;
struct host;
struct peer;

/* The request headers that anybody here reads; a carrier counts the others against its limits and drops them. */
enum header {
        HEADER_CONTENT_TYPE,
        HEADER_CONTENT_LENGTH,
        HEADER_CONTENT_ENCODING,
        HEADER_X_API_KEY,
        HEADER_X_TEAM_ID,
        HEADER_X_AUTHENTICATED_USER_ID,
        HEADER_IF_MATCH,
        HEADER_GRPC_TIMEOUT,
        HEADER_GRPC_ENCODING,
        HEADER_TE,
        HEADER_EXPECT,
        HEADER_COUNT
};

/* Names in lower case, in the order of the enum. */
extern const char *const header_names[HEADER_COUNT];

/* HEADER_COUNT: none of them. `name` is in lower case. */
enum header header_find(struct bytes name);

struct request_head {
        struct bytes method;    /* "GET" */
        struct bytes target;    /* path and query, as sent */
        struct bytes authority; /* host header in HTTP/1.1 */
        struct bytes values[HEADER_COUNT];
        uint8_t counts[HEADER_COUNT]; /* how often each was sent; values holds the first */
        bool is_http2;
        bool has_body; /* false: the request ended with its head */
};

/* The client waits with its body until it hears that we want it: RFC 9110 section 10.1.1, in any case. */
bool head_expects_continue(const struct request_head *head);

/* A response header or trailer; name in lower case. Borrowed until the call that takes it returns. */
struct field {
        struct bytes name;
        struct bytes value;
};

struct response {
        int status;
        const struct field *fields; /* without content-length, date and connection: the carrier's */
        size_t field_count;
        struct bytes body;            /* borrowed until call_on_closed */
        const struct field *trailers; /* h2 only */
        size_t trailer_count;
};

enum reset_code {
        RESET_CANCEL,   /* we no longer want it: HTTP/2 CANCEL */
        RESET_REFUSED,  /* never begun, may be repeated: REFUSED_STREAM, HTTP/1.1's 503 */
        RESET_INTERNAL, /* INTERNAL_ERROR */
};

struct exchange;

struct exchange_ops {
        void (*consume)(struct exchange *exchange, size_t len);
        void (*respond)(struct exchange *exchange, const struct response *response);
        void (*start)(struct exchange *exchange, int status, const struct field *fields, size_t field_count);
        size_t (*room)(struct exchange *exchange);
        void (*write)(struct exchange *exchange, struct bytes data);
        void (*finish)(struct exchange *exchange, const struct field *trailers, size_t trailer_count);
        void (*reset)(struct exchange *exchange, enum reset_code code);
};

/* The carrier embeds it in its own stream. */
struct exchange {
        const struct exchange_ops *ops;
        struct host *host;       /* the loop it lives on */
        const struct peer *peer; /* whom the connection belongs to */
        struct call *call; /* the consumer's, NULL before call_on_head and for requests that never became a call */
        struct request_head head;
};

/* Hand back flow-control credit for `len` bytes that call_on_data delivered. Until then the peer may not send more. */
static inline void exchange_consume(struct exchange *exchange, size_t len)
{
        exchange->ops->consume(exchange, len);
}

/* The whole answer at once. */
static inline void exchange_respond(struct exchange *exchange, const struct response *response)
{
        exchange->ops->respond(exchange, response);
}

/* An answer in parts, for streams (HTTP/2 only). The request goes on beside it until exchange_finish. */
static inline void exchange_start(struct exchange *exchange, int status, const struct field *fields, size_t field_count)
{
        exchange->ops->start(exchange, status, fields, field_count);
}

/* How many bytes the carrier takes now without going over the stream's write buffer. 0: wait for call_on_writable. */
static inline size_t exchange_room(struct exchange *exchange)
{
        return exchange->ops->room(exchange);
}

/* The bytes are copied. Writing more than exchange_room said is a defect. */
static inline void exchange_write(struct exchange *exchange, struct bytes data)
{
        exchange->ops->write(exchange, data);
}

static inline void exchange_finish(struct exchange *exchange, const struct field *trailers, size_t trailer_count)
{
        exchange->ops->finish(exchange, trailers, trailer_count);
}

static inline void exchange_reset(struct exchange *exchange, enum reset_code code)
{
        exchange->ops->reset(exchange, code);
}

/* ---- Events, implemented by call.c ---- */

/* All headers are there and the limits on them hold. */
void call_on_head(struct exchange *exchange);

/* Body bytes, borrowed until it returns. */
void call_on_data(struct exchange *exchange, struct bytes data);

/* The request is complete. Not called after a reset, nor when an answer was given before. */
void call_on_end(struct exchange *exchange);

/* The request comes too slowly to be waited for: answer it now. Only before call_on_end, and before an answer has
 * begun. */
void call_on_slow(struct exchange *exchange);

/* exchange_room said 0, and is above it again. */
void call_on_writable(struct exchange *exchange);

/* The host drains (host->is_draining is set): streams come to an end. Once for each loop. */
void call_on_drain(struct host *host);

/* The exchange is over: answered in full, reset by either side, or the connection is gone. */
void call_on_closed(struct exchange *exchange, bool was_answered);

#endif
