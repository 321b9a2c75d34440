/*
 * A strict, iterative reader of JSON (RFC 8259) over one complete text: events with byte spans, no tree.
 *
 *      struct json_scan scan;
 *      json_scan_init(&scan, arena, body);
 *      if (json_scan_next(&scan) != JSON_OBJECT_BEGIN) ...
 *      while ((event = json_scan_next(&scan)) == JSON_KEY) {
 *              if (bytes_equal(scan.key, BYTES("name"))) ... json_scan_next(&scan) == JSON_STRING ... scan.span
 *              else json_skip_value(&scan, &span);
 *      }
 *      if (event != JSON_OBJECT_END || json_scan_next(&scan) != JSON_END) return json_scan_fault(&scan, fault);
 *
 * One thing is accepted that the RFC refuses: a single trailing comma before `}` or `]`, because published examples
 * contain one. Refused: NaN and Infinity, comments, single quotes, leading zeros, raw control characters, invalid
 * UTF-8, a byte order mark, anything behind the value, nesting deeper than JSON_DEPTH_MAX, and a key that occurs twice
 * in an object, compared as decoded (`"a"` and `"\u0061"` are the same key).
 *
 * The keys of the objects that are open are kept in one hash set, keyed by a secret of the process so that no caller
 * can choose colliding keys. JSON_KEY_INLINE keys fit the scanner itself; more take about 32 bytes each from the arena,
 * and the set's doubling at most twice that. Keys written with escapes are decoded into the arena. Nothing else is
 * allocated. Spans point into the text, scan.key into the text or the arena.
 *
 * The first error is sticky: every later event is JSON_ERROR too. Thread: any, one at a time.
 */
#ifndef ALLOD_ENGINE_JSON_SCAN_H
#define ALLOD_ENGINE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/json_value.h"
#include "engine/result.h"

#define JSON_DEPTH_MAX  64 /* API.md, section 3; one bit each in struct json_scan */
#define JSON_KEY_INLINE 32 /* an App body has at most 5 + 3 + 2 + 5 keys open at once */

enum json_event {
        JSON_ERROR, /* json_scan_fault says what and where */
        JSON_OBJECT_BEGIN,
        JSON_OBJECT_END,
        JSON_ARRAY_BEGIN,
        JSON_ARRAY_END,
        JSON_KEY, /* scan->key holds it decoded; the next event starts its value */
        JSON_STRING,
        JSON_NUMBER,
        JSON_TRUE,
        JSON_FALSE,
        JSON_NULL,
        JSON_END, /* the text is over, and was valid; repeats */
};

/* One key of an object that is still open. */
struct json_key {
        const uint8_t *data; /* decoded */
        uint32_t len;
        uint32_t hash;
        uint32_t next; /* the key before it in its bucket, plus one; 0 ends the chain */
};

struct json_scan {
        /* The last event. */
        struct bytes span; /* as written, quotes included; the one bracket of a begin or an end; empty at JSON_END */
        struct bytes key;  /* of the last JSON_KEY, decoded; lone surrogates as three bytes, so never equal to text */

        /* Where we are. */
        const uint8_t *start;
        const uint8_t *next;
        const uint8_t *end;
        uint64_t is_object; /* bit d: the container at depth d + 1 is an object */
        unsigned depth;
        int expect; /* what may come next; the .c knows */

        /* The first error. */
        enum result result;
        size_t error_offset;
        const char *error_text;

        /* Keys of the open objects, innermost last. */
        struct arena *arena;
        struct json_key *keys;
        uint32_t *buckets; /* index of the newest key, plus one; 0 is empty */
        uint32_t key_count;
        uint32_t key_size;              /* room in keys; as many buckets, a power of two */
        uint32_t key_base;              /* first key of the innermost open object */
        uint32_t bases[JSON_DEPTH_MAX]; /* key_base of the objects around it, by depth */
        struct json_key keys_inline[JSON_KEY_INLINE];
        uint32_t buckets_inline[JSON_KEY_INLINE];
};

/* `text` must outlive the scanner and what it returns, and be shorter than 4 GiB. */
void json_scan_init(struct json_scan *scan, struct arena *arena, struct bytes text);

enum json_event json_scan_next(struct json_scan *scan);

/*
 * Read one value whole, whatever it is. Returns its first event (JSON_OBJECT_BEGIN for an object of which all is read)
 * and its span as written; or, where there is no value to come, JSON_ARRAY_END, JSON_OBJECT_END, JSON_END or JSON_ERROR
 * with *span untouched. Call it after JSON_KEY, inside an array, or at the start; not where a key may come.
 */
enum json_event json_skip_value(struct json_scan *scan, struct bytes *span);

/* Read the rest of the value that the last event began: up to the matching end after a begin, nothing after a scalar.
 * *span is the whole value. False: the text is wrong, *span untouched. */
bool json_skip_rest(struct json_scan *scan, struct bytes *span) MUST_USE;

/* After JSON_ERROR: sets "Invalid JSON at byte 17: control character in a string." and returns R_BAD_ARGUMENT, or
 * R_NO_MEMORY with no text. */
enum result json_scan_fault(const struct json_scan *scan, struct fault *fault);

#endif
