/*
 * A gRPC client over HTTP/2 with prior knowledge, for the tools, the benchmark and the prober.
 *
 * It blocks: each function reads and writes the socket until what it promises is there or its deadline has passed. One
 * connection, any number of calls on it, one after another or several open at a time; receiving on one keeps what
 * arrives for the others, up to their flow-control windows.
 *
 * Addresses are "HOST:PORT" (numeric or by name) or "unix:PATH". Over a Unix socket the authority is "localhost".
 *
 * Thread: one at a time.
 */
#ifndef ALLOD_RPC_CLIENT_H
#define ALLOD_RPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"
#include "rpc/exchange.h"

#define CLIENT_WHY_SIZE    256
#define CLIENT_MESSAGE_MAX ((size_t)64 << 20) /* greatest message it takes: our lists end at 2 MiB, others may not */

struct client;
struct client_call;

/* How a call ended, as the server's trailers say it. */
struct client_status {
        uint32_t code;        /* of google.rpc.Code; 0 is OK */
        struct bytes message; /* grpc-message, decoded; "" when there was none */
        struct bytes details; /* grpc-status-details-bin, a google.rpc.Status; empty when there was none */
};

/* R_OK; R_BAD_ARGUMENT (the address); R_IO (`why` says it in a sentence); R_DEADLINE; R_NO_MEMORY. */
enum result client_open(const char *address, int64_t timeout_ms, struct client **out,
                        char why[CLIENT_WHY_SIZE]) MUST_USE;

/* Ends all calls still open, too. Accepts NULL. */
void client_close(struct client *client);

/*
 * One unary call. R_OK: *status is what the server said and *reply its message (empty unless the code is 0); both live
 * in the arena. R_IO: the connection broke or spoke no gRPC; R_DEADLINE: no answer in time (the call is reset);
 * R_NO_MEMORY. timeout_ms is sent as grpc-timeout as well; 0: none.
 */
enum result client_unary(struct client *client, const char *path, const struct field *metadata, size_t metadata_count,
                         struct bytes request, int64_t timeout_ms, struct arena *arena, struct client_status *status,
                         struct bytes *reply) MUST_USE;

/* Streaming calls: start, send messages (`is_last` half-closes), receive until R_ABSENT, which fills *status. Messages
 * and the status live in `arena`, which must outlive the call. client_finish ends it early if it must, and frees it;
 * accepts NULL. */
enum result client_start(struct client *client, const char *path, const struct field *metadata, size_t metadata_count,
                         int64_t timeout_ms, struct arena *arena, struct client_call **out) MUST_USE;
enum result client_send(struct client_call *call, struct bytes message, bool is_last) MUST_USE;
enum result client_receive(struct client_call *call, struct bytes *message, struct client_status *status) MUST_USE;
void client_finish(struct client_call *call);

/* Whether the server has said how the call ended, so that sending more is of no use. */
bool client_is_answered(const struct client_call *call);

/* Receive all messages of a call from which none was received yet, each given to `take` when it comes and forgotten
 * then, so that memory does not grow with their number. R_ABSENT: that was all, and *status is filled. What `take`
 * answers; else as client_receive. */
typedef enum result client_take_fn(void *context, struct bytes message);
enum result client_receive_all(struct client_call *call, client_take_fn *take, void *context,
                               struct client_status *status) MUST_USE;

/* From now on, when a signal interrupts waiting, `is_stopped` is asked whether to give up: then calls answer
 * R_CANCELED. */
void client_stop_on_signal(struct client *client, bool (*is_stopped)(void));

/* What broke, after R_IO: a sentence. Lives as long as the client. */
const char *client_why(const struct client *client);

#endif
