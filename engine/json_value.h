/*
 * What the spans that json_scan gives mean: strings, numbers and free-form documents. Every span given here must be one
 * that the scanner has accepted; nothing is checked twice. Threads: any.
 */
#ifndef ALLOD_ENGINE_JSON_VALUE_H
#define ALLOD_ENGINE_JSON_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"

/*
 * Decode a JSON_STRING span into the arena, with a NUL behind it.
 * R_BAD_ARGUMENT: it holds a lone surrogate or \u0000, which typed fields refuse.  R_NO_MEMORY.  *out is untouched
 * then.
 */
enum result json_string_decode(struct arena *arena, struct bytes span, struct bytes *out) MUST_USE;

/*
 * Copy a free-form value that the scanner has accepted into the arena, with a NUL behind it. Trailing commas go,
 * nothing else changes: digits, escapes and white space stay as sent. .data is NULL when there is no memory.
 */
struct bytes json_copy_document(struct arena *arena, struct bytes span);

/*
 * Read a JSON_NUMBER span as an integer. It counts as one if its value is exactly integral, however it is written: 1.0,
 * 1e3 and 10e-1 do, 1.5 and 1e-1 do not; -0 is 0. False, *out untouched: not integral, or outside int64.
 */
bool json_number_to_int64(struct bytes span, int64_t *out) MUST_USE;

/* The nearest double, whatever the locale. False, *out untouched: it would be infinite, or is written with more
 * characters than any double needs (1077: the digits of the smallest one). Too small a number is 0. */
bool json_number_to_double(struct bytes span, double *out) MUST_USE;

/* What the escapes of a string hold that typed fields refuse. */
enum json_oddity {
        JSON_ODDITY_NONE,
        JSON_ODDITY_NUL,
        JSON_ODDITY_SURROGATE
};

/* Decode a string's inside (without its quotes) to `out`, which has room for as many bytes, and return the length. A
 * lone surrogate becomes three bytes, which are no valid UTF-8. *oddity tells the last one found. */
size_t json_unescape(struct bytes inside, uint8_t *out, enum json_oddity *oddity);

#endif
