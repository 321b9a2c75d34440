#include "rpc/json_write.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "engine/json_scan.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

static int set_up(void **state)
{
        static struct arena arena;

        arena_init(&arena, NULL, CAP);
        *state = &arena;
        return 0;
}

static int tear_down(void **state)
{
        arena_fini(*state);
        return 0;
}

static void assert_text(struct json_write *write, const char *expected)
{
        struct bytes text;

        assert_int_equal(json_write_finish(write, &text), R_OK);
        if (!bytes_equal(text, bytes_of_text(expected)))
                fail_msg("%.*s instead of %s", (int)text.len, (const char *)text.data, expected);
}

/* Commas and colons stand where they must, in every mixture of objects, arrays and values. */
static void test_structure(void **state)
{
        struct json_write write;

        json_write_init(&write, *state, 0);
        json_write_object_begin(&write);
        json_write_name(&write, "a");
        json_write_int64(&write, INT64_MIN);
        json_write_key(&write, BYTES("b\"\n"));
        json_write_array_begin(&write);
        json_write_array_end(&write);
        json_write_name(&write, "c");
        json_write_array_begin(&write);
        json_write_null(&write);
        json_write_bool(&write, true);
        json_write_bool(&write, false);
        json_write_object_begin(&write);
        json_write_object_end(&write);
        json_write_int64(&write, -1);
        json_write_uint64(&write, UINT64_MAX);
        json_write_int64(&write, 0);
        json_write_array_begin(&write);
        json_write_text(&write, "x");
        json_write_array_end(&write);
        json_write_array_end(&write);
        json_write_name(&write, "d");
        json_write_raw(&write, BYTES("{ \"as\":\"is\" }"));
        json_write_name(&write, "e");
        json_write_object_begin(&write);
        json_write_name(&write, "f");
        json_write_double(&write, 0.5);
        json_write_object_end(&write);
        json_write_object_end(&write);
        assert_text(&write, "{\"a\":-9223372036854775808,\"b\\\"\\n\":[],\"c\":[null,true,false,{},-1,"
                            "18446744073709551615,0,[\"x\"]],\"d\":{ \"as\":\"is\" },\"e\":{\"f\":0.5}}");
}

/* Each byte below 0x80 comes back from the reader as it was, at each offset within a word, and text above it as well.
 */
static void test_strings_come_back(void **state)
{
        unsigned byte;
        size_t at;

        for (byte = 1; byte < 0x80; byte++) {
                for (at = 0; at < 20; at++) {
                        uint8_t content[24];
                        struct json_write write;
                        struct json_scan scan;
                        struct bytes text, back;

                        memcpy(content, "abcdefghijklmnopqr\xC3\xA9\xF0\x9F\x98\x80", 24);
                        if (at < 18) content[at] = (uint8_t)byte;
                        json_write_init(&write, *state, 0);
                        json_write_string(&write, bytes_of(content, 24));
                        assert_int_equal(json_write_finish(&write, &text), R_OK);
                        json_scan_init(&scan, *state, text);
                        assert_int_equal(json_scan_next(&scan), JSON_STRING);
                        assert_int_equal(json_string_decode(*state, scan.span, &back), R_OK);
                        assert_true(bytes_equal(back, bytes_of(content, 24)));
                        assert_int_equal(json_scan_next(&scan), JSON_END);
                        arena_fini(*state);
                        arena_init(*state, NULL, CAP);
                }
        }
}

/* Escapes are the short ones where there are any, and bytes that need none have none. */
static void test_escapes(void **state)
{
        struct json_write write;

        json_write_init(&write, *state, 0);
        json_write_string(&write, BYTES("\0\x01\b\t\n\v\f\r\x1F /\"\\\x7F\xC3\xA9"));
        assert_text(&write, "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f /\\\"\\\\\x7F\xC3\xA9\"");
        json_write_init(&write, *state, 0);
        json_write_string(&write, bytes_of(NULL, 0));
        assert_text(&write, "\"\"");
}

/* Real numbers have as few digits as they can, and a point or an exponent. */
static void test_real_text(void **state)
{
        static const struct {
                double value;
                const char *text;
        } reals[] = {
                {0, "0.0"},
                {-0.0, "-0.0"},
                {1, "1.0"},
                {-1, "-1.0"},
                {0.1, "0.1"},
                {0.8, "0.8"},
                {1.25, "1.25"},
                {100, "100.0"},
                {123456, "123456.0"},
                {123456.789, "123456.789"},
                {0.5, "0.5"},
                {0.001, "0.001"},
                {0.00001, "0.00001"},
                {0.0000012, "1.2e-6"},
                {1.0 / 3, "0.3333333333333333"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1e15, "1000000000000000.0"},
                {1234567890123456.0, "1234567890123456.0"},
                {1e16, "1e16"},
                {1.5e300, "1.5e300"},
                {DBL_MAX, "1.7976931348623157e308"},
                {DBL_MIN, "2.2250738585072014e-308"},
                {0x1p-1074, "5e-324"},
                {NAN, "null"},
                {INFINITY, "null"},
                {-INFINITY, "null"},
        };
        struct json_write write;
        size_t i;

        for (i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
                json_write_init(&write, *state, 0);
                json_write_double(&write, reals[i].value);
                assert_text(&write, reals[i].text);
        }
        json_write_init(&write, *state, 0);
        json_write_array_begin(&write);
        json_write_float(&write, 0.1f);
        json_write_float(&write, FLT_MAX);
        json_write_float(&write, 0x1p-149f);
        json_write_float(&write, 16777216);
        json_write_array_end(&write);
        assert_text(&write, "[0.1,3.4028235e38,1e-45,16777216.0]");
}

/* Doubles of all magnitudes come back bit for bit. */
static void test_reals_come_back(void **state)
{
        uint64_t seed = 20250102;
        int i;

        for (i = 0; i < 20000; i++) {
                struct json_write write;
                struct json_scan scan;
                struct bytes text;
                double value, back;

                seed = seed * 6364136223846793005u + 1442695040888963407u;
                memcpy(&value, &seed, sizeof(value));
                if (!isfinite(value)) continue;
                json_write_init(&write, *state, 0);
                json_write_double(&write, value);
                assert_int_equal(json_write_finish(&write, &text), R_OK);
                json_scan_init(&scan, *state, text);
                assert_int_equal(json_scan_next(&scan), JSON_NUMBER);
                assert_true(json_number_to_double(scan.span, &back));
                assert_int_equal(json_scan_next(&scan), JSON_END);
                assert_memory_equal(&back, &value, sizeof(value));
                arena_fini(*state);
                arena_init(*state, NULL, CAP);
        }
}

static enum result write_long(struct arena *arena, struct bytes *text)
{
        struct json_write write;
        int i;

        json_write_init(&write, arena, 10);
        json_write_array_begin(&write);
        for (i = 0; i < 2000; i++) {
                json_write_object_begin(&write);
                json_write_name(&write, "name");
                json_write_text(&write, "a \"text\" of some length, longer than the buffer has room at first");
                json_write_key(&write, BYTES("real"));
                json_write_double(&write, 1.5);
                json_write_object_end(&write);
        }
        json_write_array_end(&write);
        return json_write_finish(&write, text);
}

/* A heap that is out at any point, or a cap, is reported at the end; the text is whole or there is none. */
static void test_no_memory(void **state)
{
        struct bytes text, whole;
        struct arena arena;
        unsigned long n;

        assert_int_equal(write_long(*state, &whole), R_OK);
        for (n = 1;; n++) {
                enum result r;

                text = bytes_of(NULL, 0);
                arena_init(&arena, NULL, CAP);
                heap_fail_at(n);
                r = write_long(&arena, &text);
                heap_fail_at(0);
                if (r == R_OK) assert_true(bytes_equal(text, whole));
                arena_fini(&arena);
                if (r == R_OK) break;
                assert_int_equal(r, R_NO_MEMORY);
                assert_null(text.data);
        }
        assert_true(n > 2);
        arena_init(&arena, NULL, 50000);
        assert_int_equal(write_long(&arena, &text), R_NO_MEMORY);
        arena_fini(&arena);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_structure, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_strings_come_back, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_real_text, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reals_come_back, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
