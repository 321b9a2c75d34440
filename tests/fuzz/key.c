/*
 * Bytes as a key: one that reads is the one that its owner and row make. Then as a value under a key: what was sealed
 * opens, and not with any bit changed.
 */
#include "engine/key.h"

#include <stdlib.h>

#include "engine/record.h"
#include "engine/require.h"
#include "tests/fuzz/fuzz.h"

static void check_key(struct bytes bytes)
{
        struct owner owner;
        struct key key, prefix;
        struct row row;

        if (key_read(bytes, &owner, &row) != R_OK) return;
        REQUIRE(bytes.len <= KEY_SIZE_MAX && row_kind_name(row.kind) != NULL);
        key_owner(owner, &key);
        prefix = key;
        key_append(&key, &row);
        key_append_kind(&prefix, &row);
        REQUIRE(bytes_equal(bytes_of(key.data, key.len), bytes));
        REQUIRE(bytes_start_with(bytes, bytes_of(prefix.data, prefix.len)));
}

static void check_record(struct bytes key, struct bytes body, unsigned bit)
{
        uint8_t *value = malloc(RECORD_HEADER_SIZE + body.len);
        struct bytes whole = bytes_of(value, RECORD_HEADER_SIZE + body.len);
        struct record record;

        REQUIRE(value != NULL);
        record_seal(key, bit, body, value);
        if (body.len > 0) memcpy(value + RECORD_HEADER_SIZE, body.data, body.len);
        REQUIRE(record_open(key, whole, &record) == R_OK && record.revision == bit && bytes_equal(record.body, body));
        value[bit / 8 % whole.len] ^= (uint8_t)(1u << bit % 8);
        REQUIRE(record_open(key, whole, &record) == R_CORRUPT);
        free(value);
}

/* libFuzzer sees what a checksum is compared with, and so can guess one. Then it is as if sealed by us. */
static void check_opened(struct bytes key, struct bytes value, const struct record *record)
{
        uint8_t header[RECORD_HEADER_SIZE];

        record_seal(key, record->revision, record->body, header);
        REQUIRE(bytes_start_with(value, bytes_of(header, sizeof header)));
        REQUIRE(record->body.len == value.len - sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        struct record record;
        struct bytes key;
        unsigned bit;

        check_key(input);
        bit = fuzz_byte(&input) * 256u;
        bit += fuzz_byte(&input);
        key = fuzz_part(&input, fuzz_byte(&input));
        if (record_open(key, input, &record) == R_OK) check_opened(key, input, &record);
        if (key.len > 0 && key.len <= KEY_SIZE_MAX) check_record(key, input, bit);
        return 0;
}
