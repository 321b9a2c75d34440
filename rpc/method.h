/*
 * The methods that we serve: from a path to what runs there.
 *
 * A method is a view, an update, a wait or a stream (engine/txn.h; rpc/feed.h for streams). Each service lists its
 * methods in a table; method_init puts the tables into one index and compares them with the descriptor set that protoc
 * wrote, so that no rpc lacks a row, no row has another's types, and REST routes are those of the google.api.http
 * rules.
 *
 * Thread: method_init once, before any other; the rest any.
 */
#ifndef ALLOD_RPC_METHOD_H
#define ALLOD_RPC_METHOD_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "engine/bytes.h"
#include "engine/caller.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/txn.h"
#include "engine/writer.h"

struct host;
struct feed_ops;

enum method_kind {
        METHOD_VIEW,   /* run at once on the loop's snapshot */
        METHOD_UPDATE, /* run by the writer */
        METHOD_WAIT,   /* an update that may answer R_WAIT before any put */
        METHOD_STREAM, /* a state object of rpc/; also unary methods that touch no record */
};

#define PLANE_BIT(plane) (1u << (plane))

/* `request` is of the method's request type and has passed wire_check. */
typedef enum result method_check_fn(const ProtobufCMessage *request, struct fault *fault);

/* `request` has passed the check. */
typedef enum result method_run_fn(struct txn *txn, const struct credential *who, const ProtobufCMessage *request,
                                  struct message *reply);

struct method {
        const char *path; /* "/allod.v1.AppService/GetApp" */
        enum method_kind kind;
        unsigned planes; /* PLANE_BITs where it is served; elsewhere there is no such method */
        bool needs_key;  /* a caller must have authenticated; off for probes and on the admin plane */
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *response;
        method_check_fn *check; /* all but streams */
        method_run_fn *run;     /* all but streams */
        enum lane lane;         /* updates */
        bool frees_space;       /* goes on when the disk is full */
        bool needs_seed;        /* txn_seed is asked for */

        /* Appends what only the process knows, on the loop, after a run that succeeded. `host` is NULL in a tool. May
         * be NULL. */
        void (*complete)(const struct host *host, struct message *reply);

        const struct feed_ops *feed; /* streams only */
};

/* The methods of one service. */
struct service {
        const char *name; /* "allod.v1.AppService" */
        const struct method *methods;
        size_t method_count;
};

#define WHY_SIZE 256

/* R_OK, also when it has been called before. R_NO_MEMORY, or R_DEFECT: tables and descriptors disagree, and `why` says
 * where. */
enum result method_init(char why[WHY_SIZE]) MUST_USE;

/* NULL: no such method, on any plane. Allocates nothing. */
const struct method *method_find(struct bytes path);

/* One run of a method in a transaction, as the argument of invocation_run. */
struct invocation {
        const struct method *method;
        const struct credential *who;
        const ProtobufCMessage *request;
        struct message reply; /* R_OK: what it answers, in the arena of the transaction's input */
};

/* A txn_fn; the argument is the invocation. */
enum result invocation_run(struct txn *txn, void *argument) MUST_USE;

/* What a run of the method depends on: the time, and an id and a seed where the method may need them. R_IO: the system
 * gave no randomness. */
enum result invocation_prepare(const struct method *method, struct store *store, struct arena *arena,
                               struct fault *fault, struct txn_input *input) MUST_USE;

/* All services, for reflection and health. */
extern const struct service *const services[];
extern const size_t service_count;

/* Whether any method of the service is on the plane. */
bool service_is_on(const struct service *service, enum plane plane);

#endif
