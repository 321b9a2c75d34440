/*
 * The set of keys of the objects that a json_scan has open: part of the scanner, in a file of its own.
 *
 * It is a stack: the innermost object's keys are the newest. A bucket chains its keys from the newest to the oldest, so
 * a look-up stops at the first key of an outer object, and closing an object unlinks its keys from the heads.
 */
#ifndef ALLOD_ENGINE_JSON_KEYS_H
#define ALLOD_ENGINE_JSON_KEYS_H

#include "engine/bytes.h"
#include "engine/result.h"

struct json_scan;

void json_keys_init(struct json_scan *scan);

/* Add a decoded key to the innermost object. R_EXISTS: it is there already.  R_NO_MEMORY. */
enum result json_keys_add(struct json_scan *scan, struct bytes key) MUST_USE;

/* A new innermost object, at scan->depth, which the caller raises afterwards. */
void json_keys_open(struct json_scan *scan);

/* Forget the innermost object's keys; the caller has lowered scan->depth. */
void json_keys_close(struct json_scan *scan);

#endif
