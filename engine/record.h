/*
 * A value on disk: a header, then the body.
 *
 *      a1  01  00 00  00 00 00 00 00 00 00 2a  8 bytes     ...
 *      |   |   flags  revision, big-endian     XXH3-64     body
 *      |   schema version
 *      magic
 *
 * The checksum is XXH3(key, header before it, XXH3(body)), the hashes as big-endian numbers. So a value under a wrong
 * key is as broken as a flipped bit; it is verified on every read, because LMDB 0.9 has no page checksums. It finds
 * accidents: whoever can write to the file can also write checksums.
 */
#ifndef ALLOD_ENGINE_RECORD_H
#define ALLOD_ENGINE_RECORD_H

#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"

#define RECORD_MAGIC          0xa1
#define RECORD_SCHEMA_VERSION 1
#define RECORD_HEADER_SIZE    20

struct record {
        uint64_t revision; /* the owner's revision at which it was written; its etag is made of it */
        struct bytes body; /* borrowed from where the value lies */
};

/* Write the header for `body` as it will be stored under `key` (KEY_SIZE_MAX bytes at most). */
void record_seal(struct bytes key, uint64_t revision, struct bytes body, uint8_t header[RECORD_HEADER_SIZE]);

/* R_CORRUPT: wrong magic, unknown schema version or flags, too short, or the checksum differs. out->body points into
 * `value`. */
enum result record_open(struct bytes key, struct bytes value, struct record *out) MUST_USE;

/* The checksum in a header: of equal keys, revisions and bodies. */
uint64_t record_checksum(const uint8_t *header);

#endif
