/*
 * Update masks: which fields of a resource a request sets. Pure; any thread.
 *
 * A path names a field ("name") or a field of a sub-message ("settings.member_can_edit"); naming a sub-message names
 * all its fields. Duplicates and overlaps are fine. An empty mask, or none, means the fields that are not default.
 */
#ifndef ALLOD_ENGINE_MASK_H
#define ALLOD_ENGINE_MASK_H

#include <stdbool.h>
#include <stddef.h>

#include <google/protobuf/field_mask.pb-c.h>

#include "engine/fault.h"
#include "engine/result.h"

/* `mask` may be NULL, here and below. */
bool mask_is_empty(const Google__Protobuf__FieldMask *mask);

/* The path or what it is part of is in the mask. */
bool mask_covers(const Google__Protobuf__FieldMask *mask, const char *path);

/* Every path of the mask is one of `allowed`, sub-messages included. R_BAD_ARGUMENT: the fault names update_mask, once
 * for each unknown path. */
enum result mask_check(const Google__Protobuf__FieldMask *mask, const char *const *allowed, size_t allowed_count,
                       struct fault *fault) MUST_USE;

#endif
