/*
 * The published shape of an app.
 */
#ifndef ALLOD_RPC_REST_APP_H
#define ALLOD_RPC_REST_APP_H

#include "allod/v1/app.pb-c.h"
#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"
#include "rpc/json_write.h"

/*
 * Read a body as an app. `mask`, if not NULL, makes it an update: it gets the path of each member that is there and
 * means something. R_BAD_ARGUMENT: no JSON, an unknown member or a wrong type; the fault has REST's names.
 */
enum result rest_app_read(struct arena *arena, struct bytes body, Google__Protobuf__FieldMask *mask,
                          struct fault *fault, Allod__V1__App **out) MUST_USE;

/* Append an app, with or without its counters of jobs and workers. */
void rest_app_write(struct json_write *json, const Allod__V1__App *app, bool has_counters);

/* A fault's path, from the request's root, in REST's names: "app.workflow.loras[0].download_url" becomes
 * "workflow.tools.loras[0].downloadUrl". A reply_path_fn. */
void rest_app_path(const char *path, char out[FAULT_PATH_SIZE]);

#endif
