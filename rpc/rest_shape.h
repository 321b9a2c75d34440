/*
 * From the parts of a REST request to a method's request message, and from its reply to a body: one pair for each
 * shape, by hand, since shapes are code and not options.
 */
#ifndef ALLOD_RPC_REST_SHAPE_H
#define ALLOD_RPC_REST_SHAPE_H

#include <stdbool.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "rpc/rest.h"

/* A JSON body has to be there / is looked at. */
bool rest_shape_needs_body(enum rest_shape shape);
bool rest_shape_takes_body(enum rest_shape shape);

/* One app, whose etag conditions can name. */
bool rest_shape_has_etag(enum rest_shape shape);

/* Make call->invocation.request. R_BAD_ARGUMENT with the fault, R_NO_MEMORY. */
enum result rest_shape_read(struct call *call, const struct rest_query *query) MUST_USE;

/* Make the body of call->invocation.reply; *etag is set where one is told. R_STALE: a read whose condition fails.
 * R_CORRUPT, R_NO_MEMORY. */
enum result rest_shape_write(struct call *call, struct bytes *body, const char **etag) MUST_USE;

#endif
