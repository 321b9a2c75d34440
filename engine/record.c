#include "engine/record.h"

#include <xxhash.h>

#include "engine/key.h"
#include "engine/require.h"

#define SCHEMA_OFFSET   1
#define FLAGS_OFFSET    2
#define REVISION_OFFSET 4
#define CHECKSUM_OFFSET 12

static void write_u64(uint8_t *out, uint64_t value)
{
        size_t i;

        for (i = 0; i < sizeof value; i++)
                out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t read_u64(const uint8_t *in)
{
        uint64_t value = 0;
        size_t i;

        for (i = 0; i < sizeof value; i++)
                value = value << 8 | in[i];
        return value;
}

/* Two one-shot hashes, because the streaming form has half a kilobyte of state to set up for each record. */
static uint64_t checksum(struct bytes key, const uint8_t *header, struct bytes body)
{
        uint8_t whole[KEY_SIZE_MAX + CHECKSUM_OFFSET + sizeof(uint64_t)];
        size_t len = key.len;

        memcpy(whole, key.data, key.len);
        memcpy(whole + len, header, CHECKSUM_OFFSET);
        len += CHECKSUM_OFFSET;
        write_u64(whole + len, XXH3_64bits(body.data, body.len));
        len += sizeof(uint64_t);
        return XXH3_64bits(whole, len);
}

void record_seal(struct bytes key, uint64_t revision, struct bytes body, uint8_t header[RECORD_HEADER_SIZE])
{
        REQUIRE(key.len > 0 && key.len <= KEY_SIZE_MAX);
        header[0] = RECORD_MAGIC;
        header[SCHEMA_OFFSET] = RECORD_SCHEMA_VERSION;
        header[FLAGS_OFFSET] = 0;
        header[FLAGS_OFFSET + 1] = 0;
        write_u64(header + REVISION_OFFSET, revision);
        write_u64(header + CHECKSUM_OFFSET, checksum(key, header, body));
}

uint64_t record_checksum(const uint8_t *header)
{
        return read_u64(header + CHECKSUM_OFFSET);
}

enum result record_open(struct bytes key, struct bytes value, struct record *out)
{
        struct bytes body;

        if (key.len == 0 || key.len > KEY_SIZE_MAX || value.len < RECORD_HEADER_SIZE) return R_CORRUPT;
        if (value.data[0] != RECORD_MAGIC || value.data[SCHEMA_OFFSET] != RECORD_SCHEMA_VERSION) return R_CORRUPT;
        if (value.data[FLAGS_OFFSET] != 0 || value.data[FLAGS_OFFSET + 1] != 0) return R_CORRUPT;
        body = bytes_of(value.data + RECORD_HEADER_SIZE, value.len - RECORD_HEADER_SIZE);
        if (read_u64(value.data + CHECKSUM_OFFSET) != checksum(key, value.data, body)) return R_CORRUPT;
        out->revision = read_u64(value.data + REVISION_OFFSET);
        out->body = body;
        return R_OK;
}
