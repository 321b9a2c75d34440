#include "engine/utf8.h"

#include "tests/lib/damage.h"
#include "tests/lib/test.h"

/* Each code point is one valid character that utf8_put wrote, but for surrogates, which are none. */
static void test_every_code_point(void **state)
{
        uint32_t code;

        (void)state;
        for (code = 0; code <= 0x10FFFF; code++) {
                uint8_t out[4];
                size_t len = utf8_put(code, out);
                bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;

                assert_int_equal(utf8_char_len(bytes_of(out, len)), is_surrogate ? 0 : len);
                assert_int_equal(utf8_is_text(bytes_of(out, len)), code != 0 && !is_surrogate);
        }
}

/* Of all sequences of up to three bytes, just as many are one character as there are code points of that length. */
static void test_nothing_else_is_valid(void **state)
{
        size_t counts[4] = {0};
        uint32_t i;

        (void)state;
        for (i = 0; i < 1u << 24; i++) {
                uint8_t text[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
                size_t len = utf8_char_len(bytes_of(text, 3));

                assert_true(len <= 3);
                counts[len]++;
        }
        assert_int_equal(counts[1], 128u << 16);
        assert_int_equal(counts[2], (0x800u - 0x80) << 8);
        assert_int_equal(counts[3], 0x10000 - 0x800 - 0x800);
}

/* The valid part ends where the first bad byte stands, wherever that is in a word. */
static void test_valid_len(void **state)
{
        static const char *const bad[] = {"\x80",     "\xC0\x80", "\xC1\xBF",     "\xE0\x9F\xBF",     "\xED\xA0\x80",
                                          "\xF4\x90", "\xF5\x80", "\xF0\x8F\xBF", "\xF0\x9F\x98",     "\xE2\x82",
                                          "\xFF",     "\xFE",     "\xC3",         "\xF8\x88\x80\x80", "\xF0\x9F\x98x"};
        size_t i, at;

        (void)state;
        for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                for (at = 0; at < 24; at++) {
                        uint8_t text[40];

                        memset(text, 'a', sizeof(text));
                        memcpy(text + at, bad[i], strlen(bad[i]));
                        assert_int_equal(utf8_valid_len(bytes_of(text, at + strlen(bad[i]))), at);
                        assert_int_equal(utf8_valid_len(bytes_of(text, sizeof(text))), at);
                        assert_false(utf8_is_text(bytes_of(text, sizeof(text))));
                        memset(text, 'a', sizeof(text));
                        text[at] = 0;
                        assert_int_equal(utf8_valid_len(bytes_of(text, sizeof(text))), sizeof(text));
                        assert_false(utf8_is_text(bytes_of(text, sizeof(text))));
                }
        }
        assert_int_equal(utf8_valid_len(bytes_of(NULL, 0)), 0);
        assert_true(utf8_is_text(bytes_of(NULL, 0)));
        assert_true(utf8_is_text(BYTES("a name with \xC3\xA9, \xE2\x82\xAC and \xF0\x9F\x98\x80 in it")));
}

static void check_damaged(struct bytes damaged, void *context)
{
        size_t len = utf8_valid_len(damaged);

        (void)context;
        assert_true(len <= damaged.len);
        assert_int_equal(utf8_is_text(damaged), len == damaged.len && (len == 0 || !memchr(damaged.data, 0, len)));
        assert_true(utf8_count(damaged) <= damaged.len);
}

/* Damaged text is judged without reading past its end, and utf8_is_text agrees with utf8_valid_len. */
static void test_damaged(void **state)
{
        (void)state;
        damage_each(BYTES("plain, then \xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80, then plain again"), NULL, check_damaged);
}

/* Characters are counted, not bytes. */
static void test_count(void **state)
{
        (void)state;
        assert_int_equal(utf8_count(BYTES("")), 0);
        assert_int_equal(utf8_count(BYTES("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_code_point),
                cmocka_unit_test(test_nothing_else_is_valid),
                cmocka_unit_test(test_valid_len),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
