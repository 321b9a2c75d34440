/*
 * The gRPC face of a call (gRPC's PROTOCOL-HTTP2.md): POST, application/grpc, framed messages, status in trailers.
 *
 * An error before any message is a trailers-only answer: one header block with status and message. Beside them goes
 * grpc-status-details-bin, a google.rpc.Status with ErrorInfo and, for bad arguments, BadRequest.
 *
 * Not gRPC's words but ours: a method that is not POST is 405, and a content type that only resembles application/grpc
 * is 415, as on the REST face; both before a call exists in gRPC's sense.
 */
#ifndef ALLOD_RPC_GRPC_H
#define ALLOD_RPC_GRPC_H

#include <stdbool.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "rpc/grpc_codec.h"
#include "rpc/reply.h"
#include "rpc/wire.h"

struct call;
struct face;
struct message;

extern const struct face grpc_face;

/* A unary request on its way in. */
struct grpc_request {
        struct grpc_frame_reader reader;
        bool has_message;          /* one was there; what became of it: */
        enum wire_outcome decoded; /* the fault has the rest */
};

/* application/grpc, +proto, with or without parameters; any case. */
bool grpc_is_content_type(struct bytes value);

/* Answer with a code that no engine result stands for. `text` lives as long as the call's arena. */
void grpc_refuse(struct call *call, enum grpc_code code, const char *reason, struct bytes text);

/* What a frame reader's failure means: answers the call. */
void grpc_refuse_frame(struct call *call, enum grpc_frame_outcome outcome);

/* The headers of an answer in parts. */
void grpc_start(struct call *call);

/* The trailers that end it. */
void grpc_finish(struct call *call, enum result r);

#endif
