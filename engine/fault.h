/*
 * What the caller is told beside a result: one sentence, and for bad arguments each field with its complaint.
 *
 * A fault belongs to a call and is written by whoever finds the failure first. Texts are for the caller of the API:
 * they name fields and permissions, never a library's words, another owner's ids or a key.
 */
#ifndef ALLOD_ENGINE_FAULT_H
#define ALLOD_ENGINE_FAULT_H

#include <stddef.h>

#include "engine/result.h"

#define FAULT_FIELDS_MAX 8 /* a caller mends a few at a time; more would only be bytes */
#define FAULT_PATH_SIZE  96
#define FAULT_TEXT_SIZE  200

struct fault_field {
        char path[FAULT_PATH_SIZE]; /* "configuration.gpu_tier", protobuf names, from the request message's root */
        char text[FAULT_TEXT_SIZE]; /* continues the path to a sentence: "must be one of BASIC, STANDARD or PERFORMANCE"
                                     */
};

struct fault {
        char text[FAULT_TEXT_SIZE]; /* a whole sentence with its full stop; "" when fields say it all or the result does
                                     */
        size_t field_count;
        struct fault_field fields[FAULT_FIELDS_MAX];
};

static inline void fault_clear(struct fault *fault)
{
        fault->text[0] = '\0';
        fault->field_count = 0;
}

/* Set the sentence; returns `r`, so that `return fault_set(...)` reads as one. */
enum result fault_set(struct fault *fault, enum result r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Add a field's complaint (dropped above FAULT_FIELDS_MAX); returns R_BAD_ARGUMENT. */
enum result fault_field(struct fault *fault, const char *path, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#endif
