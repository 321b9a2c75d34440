#include <string.h>

#include "engine/apikey.h"
#include "engine/limits.h"
#include "tests/lib/test.h"

/* Made by hand from the documented form: CRC-32 of the 32 characters, by zlib, in base62. */
static const char good[] = "allod_sk_0123456789ABCDEFGHIJKLMNOPQRSTUV1ggZdL";

static enum result check(const char *text)
{
        return apikey_text_check(bytes_of_text(text));
}

/* A key whose checksum another program computed is accepted: the form is what the header says. */
static void test_known_key(void **state)
{
        (void)state;
        assert_int_equal(strlen(good), APIKEY_TEXT_LEN);
        assert_int_equal(check(good), R_OK);
}

/* Any single character of ours that is wrong, missing or doubled is found out. */
static void test_typos(void **state)
{
        static const char wrong[] = {'0', 'z', '-', ' ', '\x7f', '\xc3'};
        char text[APIKEY_TEXT_LEN + 2];
        size_t i, j;

        (void)state;
        for (i = sizeof APIKEY_PREFIX - 1; i < APIKEY_TEXT_LEN; i++) {
                for (j = 0; j < sizeof wrong; j++) {
                        memcpy(text, good, APIKEY_TEXT_LEN + 1);
                        if (text[i] == wrong[j]) continue;
                        text[i] = wrong[j];
                        assert_int_equal(check(text), R_UNAUTHENTICATED);
                }
                memcpy(text, good, i);
                memcpy(text + i, good + i + 1, APIKEY_TEXT_LEN - i);
                assert_int_equal(check(text), R_UNAUTHENTICATED);
                memcpy(text, good, i + 1);
                memcpy(text + i + 1, good + i, APIKEY_TEXT_LEN - i + 1);
                assert_int_equal(check(text), R_UNAUTHENTICATED);
        }
        assert_int_equal(check(APIKEY_PREFIX), R_UNAUTHENTICATED);
}

/* Other texts are keys that may have been imported: visible ASCII, 1 to 256 characters. */
static void test_imported(void **state)
{
        char text[IMPORTED_KEY_LEN_MAX + 2];

        (void)state;
        assert_int_equal(check("12324234"), R_OK);
        assert_int_equal(check("!~"), R_OK);
        assert_int_equal(check("allod_sk"), R_OK);
        assert_int_equal(check(""), R_UNAUTHENTICATED);
        assert_int_equal(check("a b"), R_UNAUTHENTICATED);
        assert_int_equal(check("a\tb"), R_UNAUTHENTICATED);
        assert_int_equal(check("caf\xc3\xa9"), R_UNAUTHENTICATED);
        memset(text, 'x', sizeof text);
        assert_int_equal(apikey_text_check(bytes_of(text, IMPORTED_KEY_LEN_MAX)), R_OK);
        assert_int_equal(apikey_text_check(bytes_of(text, IMPORTED_KEY_LEN_MAX + 1)), R_UNAUTHENTICATED);
}

/* What a seed makes is a good key, the same each time, and another one for another seed. */
static void test_make(void **state)
{
        uint8_t seed[TXN_SEED_SIZE] = {0};
        char text[APIKEY_TEXT_LEN + 1], again[APIKEY_TEXT_LEN + 1], last[APIKEY_TEXT_LEN + 1] = "";
        unsigned i;

        (void)state;
        for (i = 1; i < 256; i++) {
                seed[0] = (uint8_t)i;
                assert_int_equal(apikey_make(seed, text), R_OK);
                assert_int_equal(apikey_make(seed, again), R_OK);
                assert_int_equal(strlen(text), APIKEY_TEXT_LEN);
                assert_string_equal(text, again);
                assert_string_not_equal(text, last);
                assert_int_equal(check(text), R_OK);
                memcpy(last, text, sizeof last);
        }
}

/* Over 4,000 keys each of the 62 characters turns up as often as the others: 2,064 times each; a deviation of 250 is
 * more than five standard deviations, and the seeds are fixed, so the outcome is too. A plain remainder of a byte would
 * give the first eight a quarter more. */
static void test_make_is_unbiased(void **state)
{
        static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        unsigned counts[62] = {0};
        char text[APIKEY_TEXT_LEN + 1];
        uint8_t seed[TXN_SEED_SIZE] = {1};
        unsigned i;
        size_t j;

        (void)state;
        for (i = 0; i < 4000; i++) {
                memcpy(seed + 1, &i, sizeof i);
                assert_int_equal(apikey_make(seed, text), R_OK);
                for (j = sizeof APIKEY_PREFIX - 1; j < sizeof APIKEY_PREFIX - 1 + 32; j++)
                        counts[strchr(base62, text[j]) - base62]++;
        }
        for (j = 0; j < 62; j++)
                assert_in_range(counts[j], 2064 - 250, 2064 + 250);
}

/* The digest is SHA-256: the example of FIPS 180-4 for "abc", twice, since the context is used again. */
static void test_digest(void **state)
{
        static const uint8_t expected[API_KEY_DIGEST_SIZE] = {
                0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        };
        uint8_t digest[API_KEY_DIGEST_SIZE];

        (void)state;
        assert_int_equal(apikey_digest(BYTES("abc"), digest), R_OK);
        assert_memory_equal(digest, expected, sizeof expected);
        assert_int_equal(apikey_digest(BYTES("other"), digest), R_OK);
        assert_int_equal(apikey_digest(BYTES("abc"), digest), R_OK);
        assert_memory_equal(digest, expected, sizeof expected);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_key),        cmocka_unit_test(test_typos),
                cmocka_unit_test(test_imported),         cmocka_unit_test(test_make),
                cmocka_unit_test(test_make_is_unbiased), cmocka_unit_test(test_digest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
