/*
 * Owners as people write them: "u:" or "t:", and an id.
 */
#ifndef ALLOD_ENGINE_OWNER_H
#define ALLOD_ENGINE_OWNER_H

#include "engine/key.h"

#define OWNER_TEXT_SIZE (2 + UUID_TEXT_LEN + 1)

/* NUL-terminated; returns `out`. */
const char *owner_format(struct owner owner, char out[OWNER_TEXT_SIZE]);

/* R_BAD_ARGUMENT: it is none, *out untouched. */
enum result owner_parse(const char *text, struct owner *out) MUST_USE;

#endif
