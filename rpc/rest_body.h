/*
 * What the readers of REST's bodies share.
 */
#ifndef ALLOD_RPC_REST_BODY_H
#define ALLOD_RPC_REST_BODY_H

#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"

/* R_BAD_ARGUMENT: a member that nobody has a use for, named with its parent ("workflow.", "" at the top). `key` is
 * json_scan's: of any length, and perhaps no text. */
enum result rest_body_refuse_member(struct fault *fault, const char *parent, struct bytes key);

#endif
