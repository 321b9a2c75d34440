#include "engine/json_value.h"

#include <math.h>

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

/* Every escape gives its character; text between them is kept. */
static void test_string(void **state)
{
        static const char *const pairs[][2] = {
                {"\"\"", ""},
                {"\"plain\"", "plain"},
                {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
                {"\"\\u0041\\u00e9\\u20AC\"", "A\xC3\xA9\xE2\x82\xAC"},
                {"\"x\\uD83D\\uDE00y\"", "x\xF0\x9F\x98\x80y"},
                {"\"\\uDBFF\\uDFFF\\uD800\\uDC00\"", "\xF4\x8F\xBF\xBF\xF0\x90\x80\x80"},
                {"\"\xF0\x9F\x98\x80\\u0001\"", "\xF0\x9F\x98\x80\x01"},
                {"\"\\\\u0041\"", "\\u0041"},
        };
        size_t i;

        for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                struct bytes out;

                assert_int_equal(json_string_decode(*state, bytes_of_text(pairs[i][0]), &out), R_OK);
                assert_int_equal(out.len, strlen(pairs[i][1]));
                assert_string_equal((const char *)out.data, pairs[i][1]);
        }
}

/* What a typed field cannot hold is a bad argument, wherever it stands. */
static void test_string_refused(void **state)
{
        static const char *const texts[] = {
                "\"\\u0000\"",
                "\"a\\u0000b\"",
                "\"\\ud800\"",
                "\"\\uDC00\"",
                "\"\\ud800\\ud800\\udc00\"",
                "\"\\udBFFx\"",
                "\"\\uD83D\\n\\uDE00\"",
                "\"\\udc00\\ud800\"",
                "\"x\\udfffy\"",
        };
        struct bytes out = BYTES("untouched");
        size_t i;

        for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                assert_int_equal(json_string_decode(*state, bytes_of_text(texts[i]), &out), R_BAD_ARGUMENT);
        assert_true(bytes_equal(out, BYTES("untouched")));
        heap_fail_at(1);
        arena_fini(*state);
        assert_int_equal(json_string_decode(*state, BYTES("\"a\""), &out), R_NO_MEMORY);
        assert_null(json_copy_document(*state, BYTES("[]")).data);
        heap_fail_at(0);
        assert_true(bytes_equal(out, BYTES("untouched")));
}

/* A document loses its trailing commas and nothing else. */
static void test_copy_document(void **state)
{
        static const char *const pairs[][2] = {
                {"1", "1"},
                {"{}", "{}"},
                {"[1,2]", "[1,2]"},
                {"[1,2,]", "[1,2]"},
                {"[1, ]", "[1 ]"},
                {"{\"a\":1 ,\n\t\r}", "{\"a\":1 \n\t\r}"},
                {"[[1,],{\"a\":[],},]", "[[1],{\"a\":[]}]"},
                {"{\"a,]\":\",}\",\"b\":\"\\\",]\"}", "{\"a,]\":\",}\",\"b\":\"\\\",]\"}"},
                {"{\"n\":12345678901234567890.10e+05,\"e\":\"\\u0041\\ud800\\/\"}",
                 "{\"n\":12345678901234567890.10e+05,\"e\":\"\\u0041\\ud800\\/\"}"},
                {"\"\\\\\"", "\"\\\\\""},
                {"[\"\\\\\",]", "[\"\\\\\"]"},
        };
        size_t i;

        for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                struct bytes copy = json_copy_document(*state, bytes_of_text(pairs[i][0]));

                assert_int_equal(copy.len, strlen(pairs[i][1]));
                assert_string_equal((const char *)copy.data, pairs[i][1]);
        }
}

/* Numbers whose value is a whole one are integers in every notation, up to the ends of int64. */
static void test_int64(void **state)
{
        static const struct {
                const char *text;
                int64_t value;
        } good[] = {
                {"0", 0},
                {"-0", 0},
                {"0.000", 0},
                {"0e99999999999999999999", 0},
                {"-0.0e-5", 0},
                {"1", 1},
                {"-1", -1},
                {"1000", 1000},
                {"1005", 1005},
                {"1.0", 1},
                {"1e3", 1000},
                {"1E+3", 1000},
                {"10e-1", 1},
                {"1.5e1", 15},
                {"0.001e3", 1},
                {"100.500e1", 1005},
                {"12300e-2", 123},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN},
                {"9223372036854775807.000", INT64_MAX},
                {"922337203685477580.7e1", INT64_MAX},
                {"92233720368547758070e-1", INT64_MAX},
                {"-9.223372036854775808e18", INT64_MIN},
                {"1e18", 1000000000000000000},
                {"0.0000000000000000000000001e25", 1},
        };
        static const char *const bad[] = {
                "1.5",
                "1e-1",
                "0.1",
                "15e-1",
                "9223372036854775808",
                "-9223372036854775809",
                "1e19",
                "18446744073709551615",
                "18446744073709551616",
                "99999999999999999999999999",
                "1e400",
                "1e99999999999999999999",
                "1e-99999999999999999999",
                "9223372036854775807.1",
                "1.0000000000000000000000000000001",
        };
        int64_t value = 77;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                if (!json_number_to_int64(bytes_of_text(good[i].text), &value)) fail_msg("%s", good[i].text);
                assert_int_equal(value, good[i].value);
        }
        value = 77;
        for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                if (json_number_to_int64(bytes_of_text(bad[i]), &value)) fail_msg("%s", bad[i]);
                assert_int_equal(value, 77);
        }
}

/* Doubles are the nearest ones; what would be infinite is refused. */
static void test_double(void **state)
{
        struct bytes smallest;
        char text[1100];
        double value;

        (void)state;
        assert_true(json_number_to_double(BYTES("0.1"), &value) && value == 0.1);
        assert_true(json_number_to_double(BYTES("-1.5e3"), &value) && value == -1500);
        assert_true(json_number_to_double(BYTES("1.7976931348623157e308"), &value) && value == 0x1.fffffffffffffp1023);
        assert_true(json_number_to_double(BYTES("1e-400"), &value) && value == 0);
        assert_true(json_number_to_double(BYTES("-0"), &value) && signbit(value));
        value = 77;
        assert_false(json_number_to_double(BYTES("1e309"), &value));
        assert_false(json_number_to_double(BYTES("-1e999999999999"), &value));
        assert_true(value == 77);

        smallest = bytes_of(text, (size_t)snprintf(text, sizeof(text), "%.1074f", -0x1p-1074));
        assert_int_equal(smallest.len, 1077);
        assert_true(json_number_to_double(smallest, &value) && value == -0x1p-1074);
        text[1077] = '0';
        assert_false(json_number_to_double(bytes_of(text, 1078), &value));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_string, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_string_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_copy_document, set_up, tear_down),
                cmocka_unit_test(test_int64),
                cmocka_unit_test(test_double),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
