#include "engine/record.h"

#include "engine/key.h"
#include "tests/lib/test.h"

#define BODY_SIZE_MAX 300

struct sealed {
        uint8_t data[RECORD_HEADER_SIZE + BODY_SIZE_MAX];
        size_t len;
};

static struct sealed seal(struct bytes key, uint64_t revision, size_t body_len)
{
        struct sealed sealed = {.len = RECORD_HEADER_SIZE + body_len};
        size_t i;

        for (i = 0; i < body_len; i++)
                sealed.data[RECORD_HEADER_SIZE + i] = (uint8_t)(i * 7);
        record_seal(key, revision, bytes_of(sealed.data + RECORD_HEADER_SIZE, body_len), sealed.data);
        return sealed;
}

/* Lengths on both sides of the hash's own paths: 0, 1-3, 4-8, 9-16, 17-128, 129-240, longer. */
static const size_t body_lens[] = {0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, BODY_SIZE_MAX};
#define BODY_LEN_COUNT (sizeof body_lens / sizeof body_lens[0])

/* What was sealed opens under the same key, with its revision and its body in place. */
static void test_round_trip(void **state)
{
        static const uint64_t revisions[] = {0, 1, 42, UINT32_MAX, UINT64_MAX};
        struct bytes key = BYTES("u:someone");
        struct record record;
        size_t i;
        size_t j;

        (void)state;
        for (i = 0; i < BODY_LEN_COUNT; i++) {
                for (j = 0; j < sizeof revisions / sizeof revisions[0]; j++) {
                        struct sealed sealed = seal(key, revisions[j], body_lens[i]);

                        assert_int_equal(record_open(key, bytes_of(sealed.data, sealed.len), &record), R_OK);
                        assert_int_equal(record.revision, revisions[j]);
                        assert_ptr_equal(record.body.data, sealed.data + RECORD_HEADER_SIZE);
                        assert_int_equal(record.body.len, body_lens[i]);
                }
        }
}

/* The header is laid out as record.h shows, and its checksum is what XXH3 gave when the format was set. */
static void test_golden_bytes(void **state)
{
        static const uint8_t start[] = {0xa1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x2a};
        static const uint8_t checksum[] = {0x9b, 0xbe, 0xe6, 0x40, 0x06, 0xad, 0x2e, 0x72};
        struct sealed sealed = seal(BYTES("u:someone"), 42, 5);

        (void)state;
        assert_memory_equal(sealed.data, start, sizeof start);
        assert_memory_equal(sealed.data + sizeof start, checksum, sizeof checksum);
}

/* A flipped bit is found wherever it is: in the header, the body or the key. */
static void test_flipped_bits(void **state)
{
        uint8_t key[] = "t:somebody's key";
        struct bytes whole = bytes_of(key, sizeof key);
        struct record record = {.revision = 77};
        size_t i;
        size_t bit;

        (void)state;
        for (i = 0; i < BODY_LEN_COUNT; i++) {
                struct sealed sealed = seal(whole, 42, body_lens[i]);

                for (bit = 0; bit < 8 * sealed.len; bit++) {
                        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        assert_int_equal(record_open(whole, bytes_of(sealed.data, sealed.len), &record), R_CORRUPT);
                        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                }
                for (bit = 0; bit < 8 * sizeof key; bit++) {
                        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        assert_int_equal(record_open(whole, bytes_of(sealed.data, sealed.len), &record), R_CORRUPT);
                        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
                }
        }
        assert_int_equal(record.revision, 77);
}

/* A value that lost bytes at its end, or got some, is found. */
static void test_wrong_length(void **state)
{
        struct bytes key = BYTES("k");
        struct sealed sealed = seal(key, 1, 100);
        struct record record;
        size_t len;

        (void)state;
        for (len = 0; len < sealed.len; len++)
                assert_int_equal(record_open(key, bytes_of(sealed.data, len), &record), R_CORRUPT);
        assert_int_equal(record_open(key, bytes_of(sealed.data, sealed.len + 1), &record), R_CORRUPT);
}

/* Bytes that move from the key to the header's side do not cancel out: another tenant's row is not taken for one's own.
 */
static void test_two_tenants(void **state)
{
        const struct owner owners[] = {{OWNER_USER, {{1}}}, {OWNER_TEAM, {{1}}}};
        struct row row = {.kind = ROW_PROFILE};
        struct record record;
        struct key keys[2];
        struct sealed sealed;
        size_t i;

        (void)state;
        for (i = 0; i < 2; i++) {
                key_owner(owners[i], &keys[i]);
                key_append(&keys[i], &row);
        }
        sealed = seal(bytes_of(keys[0].data, keys[0].len), 1, 50);
        assert_int_equal(record_open(bytes_of(keys[0].data, keys[0].len), bytes_of(sealed.data, sealed.len), &record),
                         R_OK);
        assert_int_equal(record_open(bytes_of(keys[1].data, keys[1].len), bytes_of(sealed.data, sealed.len), &record),
                         R_CORRUPT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_golden_bytes),
                cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_wrong_length),
                cmocka_unit_test(test_two_tenants),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
