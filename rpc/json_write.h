/*
 * Append-only JSON writer into a buffer that grows in an arena.
 *
 * Commas are its business, structure is the caller's: between object_begin and object_end a key comes before each
 * value. Lack of memory is sticky: each call after it does nothing, and json_write_finish reports it once. The buffer
 * grows in place while it is the arena's newest allocation, so write without allocating in between.
 * Thread: any, one at a time.
 */
#ifndef ALLOD_RPC_JSON_WRITE_H
#define ALLOD_RPC_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"

struct json_write {
        struct arena *arena;
        uint8_t *data;
        size_t len;
        size_t size;
        unsigned depth;
        bool needs_comma;
        bool has_failed;
};

/* size_hint: about how long the text will be; 0 for the least. */
void json_write_init(struct json_write *write, struct arena *arena, size_t size_hint);

void json_write_object_begin(struct json_write *write);
void json_write_object_end(struct json_write *write);
void json_write_array_begin(struct json_write *write);
void json_write_array_end(struct json_write *write);

/* A key that needs no escaping: names in our own code. */
void json_write_name(struct json_write *write, const char *name);

/* Any key; valid UTF-8. */
void json_write_key(struct json_write *write, struct bytes key);

/* A key as somebody wrote it, quotes and escapes included. */
void json_write_raw_key(struct json_write *write, struct bytes key);

/* Valid UTF-8, which passes as it is; quote, backslash and control characters are escaped. */
void json_write_string(struct json_write *write, struct bytes text);
void json_write_text(struct json_write *write, const char *text);

void json_write_int64(struct json_write *write, int64_t value);
void json_write_uint64(struct json_write *write, uint64_t value);

/* The fewest of 15 to 17 digits (6 to 9 for a float) that read back as the same number, always with a point or an
 * exponent, so that it stays a real number to clients that tell the two apart; null when it is not finite. */
void json_write_double(struct json_write *write, double value);
void json_write_float(struct json_write *write, float value);

void json_write_bool(struct json_write *write, bool value);
void json_write_null(struct json_write *write);

/* A whole value that is JSON already, as it is. */
void json_write_raw(struct json_write *write, struct bytes json);

/* R_OK: *out is the text, in the arena.  R_NO_MEMORY: *out untouched.  All that was begun must have ended. */
enum result json_write_finish(struct json_write *write, struct bytes *out) MUST_USE;

#endif
