/*
 * What a caller is told: one table, engine result -> gRPC code, HTTP status, reason and safe text; and the sentence
 * that goes with it. The only place where results become codes.
 */
#ifndef ALLOD_RPC_REPLY_H
#define ALLOD_RPC_REPLY_H

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"

/* google.rpc.Code. */
enum grpc_code {
        GRPC_OK = 0,
        GRPC_CANCELLED = 1,
        GRPC_UNKNOWN = 2,
        GRPC_INVALID_ARGUMENT = 3,
        GRPC_DEADLINE_EXCEEDED = 4,
        GRPC_NOT_FOUND = 5,
        GRPC_ALREADY_EXISTS = 6,
        GRPC_PERMISSION_DENIED = 7,
        GRPC_RESOURCE_EXHAUSTED = 8,
        GRPC_FAILED_PRECONDITION = 9,
        GRPC_ABORTED = 10,
        GRPC_OUT_OF_RANGE = 11,
        GRPC_UNIMPLEMENTED = 12,
        GRPC_INTERNAL = 13,
        GRPC_UNAVAILABLE = 14,
        GRPC_DATA_LOSS = 15,
        GRPC_UNAUTHENTICATED = 16,
};

struct reply {
        enum grpc_code grpc;
        int http;
        const char *reason; /* google.rpc.ErrorInfo's: "NOT_FOUND" */
        const char *text;   /* one sentence, when there is nothing better to say */
        bool shows_fault;   /* the fault's words are for the caller */
};

/* Never NULL. */
const struct reply *reply_of(enum result r);

/* Rewrites a field's path for a face, into `out`. */
typedef void reply_path_fn(const char *path, char out[FAULT_PATH_SIZE]);

/*
 * The sentence for a person: the fault's own, or its fields' complaints in a row ("name is required; configuration.
 * gpu_tier must be ..."), or the table's. `path_fn` may be NULL. Lives as long as the arena, the fault or the program;
 * the table's when there is no memory.
 */
struct bytes reply_sentence(struct arena *arena, enum result r, const struct fault *fault, reply_path_fn *path_fn);

#endif
