/*
 * UUIDs (RFC 9562), 16 bytes in network order, compared as bytes.
 *
 * Ids of apps, jobs, keys and teams are version 7: 48 bits of milliseconds, then a counter, then randomness, so that
 * order by bytes is order by creation. uuid_v7 never gives the same or a smaller one twice in a process, whatever the
 * clock does; across restarts the caller passes a time that never goes back (storetime.h).
 */
#ifndef ALLOD_ENGINE_UUID_H
#define ALLOD_ENGINE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/bytes.h"
#include "engine/result.h"

#define UUID_SIZE     16
#define UUID_TEXT_LEN 36

struct uuid {
        uint8_t bytes[UUID_SIZE];
};

/* The next version 7 id. Thread: any. `time_ms` is milliseconds since 1970. */
struct uuid uuid_v7(int64_t time_ms);

/* Read the 36-character form, hex of either case; no braces, no "urn:". R_BAD_ARGUMENT leaves *out untouched. */
enum result uuid_parse(struct bytes text, struct uuid *out) MUST_USE;

/* Write the 36 lower-case characters and a NUL. */
void uuid_format(struct uuid id, char out[UUID_TEXT_LEN + 1]);

static inline bool uuid_equal(struct uuid a, struct uuid b)
{
        return memcmp(a.bytes, b.bytes, UUID_SIZE) == 0;
}

#endif
