/*
 * Methods run in process, on a store that this process has opened: for tools, when no server holds the files.
 *
 * The request takes the same way as one that came over a connection: encoded, checked by the wire walk, decoded, run by
 * the same transaction functions. So a subcommand is written once.
 *
 * Thread: one at a time. May wait for the disk.
 */
#ifndef ALLOD_RPC_LOCAL_H
#define ALLOD_RPC_LOCAL_H

#include "engine/store.h"
#include "rpc/method.h"

struct local {
        struct store *store;
        struct view *view;
};

/* The store must stay open. R_EXHAUSTED, R_IO, R_NO_MEMORY: *local is untouched. */
enum result local_open(struct store *store, struct local *local) MUST_USE;

/* Accepts a zeroed one. */
void local_close(struct local *local);

/*
 * Call a view or an update, found with method_find. `request` is of the method's request type; *reply, of its response
 * type, lives as long as the arena. Any other result than R_OK: *reply is untouched, and `fault`, cleared first, may
 * say more. R_UNIMPLEMENTED: the method streams, or is not on who->plane.
 */
enum result local_call(struct local *local, const struct method *method, const struct credential *who,
                       const ProtobufCMessage *request, struct arena *arena, struct fault *fault,
                       ProtobufCMessage **reply) MUST_USE;

#endif
