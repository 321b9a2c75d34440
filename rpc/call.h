/*
 * One request, free of transport: its memory, deadline, credential, request and reply.
 *
 *        IDLE ---> HEAD ---> BODY ---> RUNNING ---> ANSWERED ---> IDLE
 *      (pool)         \        \           \            ^          ^
 *                      \        \           \           |          |
 *                       \        +-----------\----------+          |
 *                        \                    +--> ORPHANED -------+
 *                         +--> STREAMING --> ANSWERED
 *
 *      HEAD       the route, who is asking, and what the head says of the body are looked at, in the contract's order
 *      BODY       waits for the rest of the request
 *      RUNNING    in a snapshot (at once), or in the writer's hands
 *      STREAMING  messages go both ways; see feed.h
 *      ANSWERED   the carrier has the answer, which lies in our memory
 *      ORPHANED   the exchange is gone, the writer still has the update: its outcome will be dropped
 *
 * From every state but ORPHANED and IDLE, call_on_closed ends the call: a reset by the peer, a lost connection, or an
 * answer that is out. Our own deadline answers from BODY, RUNNING and STREAMING; while the writer runs the update, its
 * real outcome is sent however late. A server that drains refuses updates in the writer and ends streams.
 *
 * Checks come in this order and the first failure answers, on both faces: route; exactly one x-api-key, which could be
 * one; too many wrong ones from its address (see guesses.h); that it resolves; x-authenticated-user-id; x-team-id's
 * syntax; membership; (here is the place for rates;) content type and size; body syntax and fields; then, in the
 * transaction: role, resource, etag, state, quota.
 *
 * This header is for call.c, the two faces (grpc.c, rest.c) and streams. Carriers see exchange.h alone.
 * Thread: the host's loop.
 */
#ifndef ALLOD_RPC_CALL_H
#define ALLOD_RPC_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/caller.h"
#include "engine/fault.h"
#include "engine/result.h"
#include "engine/writer.h"
#include "rpc/exchange.h"
#include "rpc/feed.h"
#include "rpc/grpc.h"
#include "rpc/host.h"
#include "rpc/method.h"
#include "rpc/rest.h"

enum call_state {
        CALL_IDLE,
        CALL_HEAD,
        CALL_BODY,
        CALL_RUNNING,
        CALL_STREAMING,
        CALL_ANSWERED,
        CALL_ORPHANED,
        CALL_STATE_COUNT
};

/* gRPC or REST: how a request is read and an answer written. None of these is called after the call is answered. */
struct face {
        /* Find call->method. Not R_OK: call_fail with it, unless it was answered. */
        enum result (*route)(struct call *call);
        /* What the head says of the body: its type and size. Not R_OK: likewise. */
        enum result (*begin)(struct call *call);
        /* Body bytes; may answer. */
        void (*data)(struct call *call, struct bytes data);
        /* The request is complete: decode it to call->invocation.request. Not R_OK: likewise. */
        enum result (*end)(struct call *call);
        /* call->invocation.reply holds the response. */
        void (*answer)(struct call *call);
        void (*fail)(struct call *call, enum result r);
};

struct call {
        /* what it is */
        enum call_state state;
        struct exchange *exchange; /* NULL when orphaned */
        struct host *host;
        const struct face *face;
        const struct method *method; /* NULL until routed */
        bool has_feed;               /* it is or was STREAMING: feed_close is owed */
        bool is_keyless;             /* of the pool's keyless_count */
        struct credential who;

        /* time, CLOCK_MONOTONIC */
        int64_t start_ns;
        int64_t deadline_ns; /* 0: none */
        struct host_timer timer;

        /* request and reply */
        struct arena arena; /* all of both; the writer's while it runs the update */
        union {
                struct grpc_request grpc;
                struct rest_request rest;
        };
        size_t body_bytes; /* of the request, so far */
        bool is_counted;   /* these bytes, in the commons */
        unsigned retry_s;  /* R_EXHAUSTED: when to come again, in seconds; 0: soon */
        struct invocation invocation;
        struct feed feed; /* STREAMING */

        /* the writer */
        struct update update;
        struct completion completion;

        struct call *next, *previous; /* in the pool's lists: free ones, streams */
        struct fault fault;
};

/* The only place where a state changes. A move that the diagram does not have is a defect. */
void call_set_state(struct call *call, enum call_state state);

/* Answer with an error, whatever its face, and log it. */
void call_fail(struct call *call, enum result r);

/* For faces: the answer goes out now. `r` is what the log and the counters are told; not R_OK: with `detail`, which may
 * be NULL. Before exchange_respond or exchange_finish. */
void call_answered(struct call *call, enum result r, const char *detail);

/* Count body bytes. R_EXHAUSTED: all calls, or those of this key, hold too many; the fault says so. */
enum result call_count_body(struct call *call, size_t len) MUST_USE;

#endif
