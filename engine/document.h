/*
 * Free-form JSON documents as records keep them: JSON text, exact to the digit, trailing commas removed and nothing
 * else changed. Pure; any thread.
 */
#ifndef ALLOD_ENGINE_DOCUMENT_H
#define ALLOD_ENGINE_DOCUMENT_H

#include <stddef.h>

#include "engine/arena.h"
#include "engine/fault.h"
#include "engine/result.h"

/* A member that a document may not have, and how many it may. */
struct document_rule {
        const char *reserved; /* NULL: any name will do */
        const char *why;      /* continues the path to a sentence */
        size_t members_max;   /* of the outermost object; 0: any number */
};

/* R_OK: `text` is a JSON object that keeps the rule (NULL: none). R_BAD_ARGUMENT: the fault has a complaint at `path`.
 * R_NO_MEMORY. */
enum result document_check(const char *text, const struct document_rule *rule, const char *path,
                           struct fault *fault) MUST_USE;

/* The form that is stored, of a document that has been checked. NULL when there is no memory. */
char *document_copy(struct arena *arena, const char *text);

/*
 * Merge `patch` into `stored` member by member: one that is null is removed, others replace their namesake in its place
 * or are appended. Members keep the bytes they were sent with. Both are checked documents in stored form; an empty text
 * is an empty object. *members is how many the outcome has. R_OK, R_CORRUPT (they are not what they should be),
 * R_NO_MEMORY. The time is their numbers of members multiplied, so a rule bounds those.
 */
enum result document_merge(struct arena *arena, const char *stored, const char *patch, char **out,
                           size_t *members) MUST_USE;

#endif
