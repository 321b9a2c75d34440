#include "engine/json_scan.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/damage.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)64 << 20)

/* Read all of `text`: JSON_END or JSON_ERROR. */
static enum json_event scan_all(struct json_scan *scan, struct arena *arena, struct bytes text)
{
        enum json_event event;

        json_scan_init(scan, arena, text);
        do {
                event = json_scan_next(scan);
        } while (event != JSON_END && event != JSON_ERROR);
        return event;
}

/* A text that the standard accepts is accepted, and so is one trailing comma. */
static void test_accepted(void **state)
{
        static const char *const texts[] = {
                "null",
                "true",
                "false",
                "0",
                "-0",
                "1",
                "-1",
                "10",
                "123456789012345678901234567890",
                "0.5",
                "-0.0",
                "1e5",
                "1E5",
                "1e+5",
                "1e-5",
                "0e0",
                "0E+0",
                "1.5e10",
                "-1.25E-3",
                "1e400",
                "\"\"",
                "\"a\"",
                "[]",
                "{}",
                " \t\r\n[ ] \n",
                "[1]",
                "[1,2]",
                "[ 1 , 2 ]",
                "[[[]]]",
                "[{}]",
                "{\"a\":1}",
                "{\"a\":{}}",
                "{ \"a\" : [ ] , \"b\" : null }",
                "{\"\":0}",
                "{\"a\":{\"a\":{\"a\":1}}}",
                "[{\"a\":1},{\"a\":2}]",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                "\"\\u0041\\uD83D\\uDE00\"",
                "\"\\ud800\"",
                "\"\\uDC00\\uD800\"",
                "\"\\u0000\"",
                "\"\x7F\"",
                "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"",
                "\"\xEF\xBB\xBF\"",
                "\"\xE2\x80\xA8\"",
                "\"// no comment /* */\"",
                "\"[,]{,}\"",
                "[1,]",
                "{\"a\":1,}",
                "[[1,],]",
                "{\"a\":[1, ] , }",
                "[\"a\" , \n ]",
                "{\"workflow\":{\"model_url\":\"https://a.b/c\",\n}\n}",
                "[true,false,null,0]",
                "{\"a\":1,\"A\":2,\"\\u0062\":3}",
                "{\"\\ud800\":1,\"\\ud801\":2}",
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct json_scan scan;
                struct arena arena;

                arena_init(&arena, NULL, CAP);
                if (scan_all(&scan, &arena, bytes_of_text(texts[i])) != JSON_END)
                        fail_msg("%s: byte %zu: %s", texts[i], scan.error_offset, scan.error_text);
                assert_int_equal(json_scan_next(&scan), JSON_END);
                assert_int_equal(scan.key_count, 0);
                arena_fini(&arena);
        }
}

struct refusal {
        const char *text;
        size_t offset;
        const char *why;
};

/* What the standard refuses is refused at the byte where it goes wrong, in words for the caller. */
static void test_refused(void **state)
{
        static const struct refusal refusals[] = {
                {"", 0, "the text ends too early"},
                {" \n ", 3, "the text ends too early"},
                {"\xEF\xBB\xBF{}", 0, "a byte order mark"},
                {"\xEF\xBB{}", 0, "expected a value"},
                {"NaN", 0, "expected a value"},
                {"[NaN]", 1, "expected a value"},
                {"[Infinity]", 1, "expected a value"},
                {"[-Infinity]", 2, "a digit is missing in a number"},
                {"[-NaN]", 2, "a digit is missing in a number"},
                {"nul", 0, "expected a value"},
                {"nullx", 4, "text behind the value"},
                {"[truE]", 1, "expected a value"},
                {"[True]", 1, "expected a value"},
                {"[true false]", 6, "expected a comma or ]"},
                {"01", 0, "a number with a leading zero"},
                {"[-01]", 2, "a number with a leading zero"},
                {"[00]", 1, "a number with a leading zero"},
                {"[+1]", 1, "expected a value"},
                {"[.5]", 1, "expected a value"},
                {"[1.]", 3, "a digit is missing in a number"},
                {"[1.e5]", 3, "a digit is missing in a number"},
                {"[1e]", 3, "a digit is missing in a number"},
                {"[1e+]", 4, "a digit is missing in a number"},
                {"[1e5.5]", 4, "expected a comma or ]"},
                {"[-]", 2, "a digit is missing in a number"},
                {"[--1]", 2, "a digit is missing in a number"},
                {"[- 1]", 2, "a digit is missing in a number"},
                {"[1 000]", 3, "expected a comma or ]"},
                {"[0x10]", 2, "expected a comma or ]"},
                {"[1_000]", 2, "expected a comma or ]"},
                {"[\xEF\xBC\x91]", 1, "expected a value"},
                {"-", 1, "the text ends too early"},
                {"1e", 2, "the text ends too early"},
                {"'a'", 0, "strings need double quotes"},
                {"{'a':1}", 1, "expected a key in double quotes"},
                {"{a:1}", 1, "expected a key in double quotes"},
                {"{1:1}", 1, "expected a key in double quotes"},
                {"{null:1}", 1, "expected a key in double quotes"},
                {"// c\n1", 0, "comments are not allowed"},
                {"[/* c */1]", 1, "comments are not allowed"},
                {"[1/**/]", 2, "expected a comma or ]"},
                {"[1]// c", 3, "text behind the value"},
                {"[1#]", 2, "expected a comma or ]"},
                {"\"", 1, "the text ends too early"},
                {"\"abc", 4, "the text ends too early"},
                {"\"abc\\", 5, "the text ends too early"},
                {"\"abc\\\"", 6, "the text ends too early"},
                {"\"a\tb\"", 2, "control character in a string"},
                {"\"a\nb\"", 2, "control character in a string"},
                {"\"0123456789abcdef\x1F\"", 17, "control character in a string"},
                {"\"\\x41\"", 1, "unknown escape in a string"},
                {"\"\\a\"", 1, "unknown escape in a string"},
                {"\"\\'\"", 1, "unknown escape in a string"},
                {"\"\\U0041\"", 1, "unknown escape in a string"},
                {"\"\\u004\"", 1, "unknown escape in a string"},
                {"\"\\u00g1\"", 1, "unknown escape in a string"},
                {"\"\\u 041\"", 1, "unknown escape in a string"},
                {"\"\\u+041\"", 1, "unknown escape in a string"},
                {"\"\\uD83D\\u\"", 7, "unknown escape in a string"},
                {"\"\\\xC3\xA9\"", 1, "unknown escape in a string"},
                {"\"\x80\"", 1, "invalid UTF-8 in a string"},
                {"\"\xC0\xAF\"", 1, "invalid UTF-8 in a string"},
                {"\"\xE0\x80\xAF\"", 1, "invalid UTF-8 in a string"},
                {"\"\xED\xA0\x80\"", 1, "invalid UTF-8 in a string"},
                {"\"\xF4\x90\x80\x80\"", 1, "invalid UTF-8 in a string"},
                {"\"\xE9\"", 1, "invalid UTF-8 in a string"},
                {"\"ok \xE2\x82\"", 4, "invalid UTF-8 in a string"},
                {"{\"\xFF\":1}", 2, "invalid UTF-8 in a string"},
                {"[", 1, "the text ends too early"},
                {"[1", 2, "the text ends too early"},
                {"[1,", 3, "the text ends too early"},
                {"[1}", 2, "expected a comma or ]"},
                {"[,]", 1, "expected a value"},
                {"[,1]", 1, "expected a value"},
                {"[1,,]", 3, "expected a value"},
                {"[1,,2]", 3, "expected a value"},
                {"[1 2]", 3, "expected a comma or ]"},
                {"[1:2]", 2, "expected a comma or ]"},
                {"]", 0, "expected a value"},
                {"}", 0, "expected a value"},
                {",", 0, "expected a value"},
                {"{", 1, "the text ends too early"},
                {"{\"a\"", 4, "the text ends too early"},
                {"{\"a\":", 5, "the text ends too early"},
                {"{\"a\":1", 6, "the text ends too early"},
                {"{\"a\":1,", 7, "the text ends too early"},
                {"{\"a\"}", 4, "expected a colon"},
                {"{\"a\" 1}", 5, "expected a colon"},
                {"{\"a\",1}", 4, "expected a colon"},
                {"{\"a\"::1}", 5, "expected a value"},
                {"{\"a\":}", 5, "expected a value"},
                {"{\"a\":,}", 5, "expected a value"},
                {"{\"a\":1]", 6, "expected a comma or }"},
                {"{\"a\":1 \"b\":2}", 7, "expected a comma or }"},
                {"{\"a\":1,,}", 7, "expected a key in double quotes"},
                {"{,}", 1, "expected a key in double quotes"},
                {"{\"a\":1;}", 6, "expected a comma or }"},
                {"[] []", 3, "text behind the value"},
                {"{}}", 2, "text behind the value"},
                {"1,", 1, "text behind the value"},
                {"[1],", 3, "text behind the value"},
                {"[\f1]", 1, "expected a value"},
                {"[\v1]", 1, "expected a value"},
                {"[\xC2\xA0]", 1, "expected a value"},
                {"{\"a\":1,\"a\":1}", 7, "a key that occurs twice in an object"},
                {"{\"a\":1,\"\\u0061\":2}", 7, "a key that occurs twice in an object"},
                {"{\"\":1,\"\":2}", 6, "a key that occurs twice in an object"},
                {"{\"\xF0\x9F\x98\x80\":1,\"\\uD83D\\ude00\":2}", 10, "a key that occurs twice in an object"},
                {"{\"\\ud800\":1,\"\\uD800\":2}", 12, "a key that occurs twice in an object"},
                {"{\"\\/\":1,\"/\":2}", 8, "a key that occurs twice in an object"},
                {"{\"a\":{\"b\":{},\"c\":[{\"b\":1}]},\"a\":3}", 28, "a key that occurs twice in an object"},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
                struct fault fault = {0};
                struct json_scan scan;
                struct arena arena;
                char text[FAULT_TEXT_SIZE];

                arena_init(&arena, NULL, CAP);
                if (scan_all(&scan, &arena, bytes_of_text(refusals[i].text)) != JSON_ERROR)
                        fail_msg("%s was accepted", refusals[i].text);
                assert_int_equal(json_scan_next(&scan), JSON_ERROR);
                assert_int_equal(json_scan_fault(&scan, &fault), R_BAD_ARGUMENT);
                snprintf(text, sizeof(text), "Invalid JSON at byte %zu: %s.", refusals[i].offset, refusals[i].why);
                assert_string_equal(fault.text, text);
                arena_fini(&arena);
        }
}

/* A NUL is no white space, no end and no part of a string. */
static void test_nul(void **state)
{
        struct json_scan scan;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, CAP);
        assert_int_equal(scan_all(&scan, &arena, BYTES("1\0")), JSON_ERROR);
        assert_int_equal(scan_all(&scan, &arena, BYTES("[\0]")), JSON_ERROR);
        assert_int_equal(scan_all(&scan, &arena, BYTES("\"a\0b\"")), JSON_ERROR);
        assert_int_equal(scan_all(&scan, &arena, bytes_of(NULL, 0)), JSON_ERROR);
        arena_fini(&arena);
}

/* Every control character and every byte above ASCII is refused in a string at each offset within a word. */
static void test_bad_byte_anywhere(void **state)
{
        struct json_scan scan;
        struct arena arena;
        unsigned byte;
        size_t at;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (byte = 0; byte < 256; byte++) {
                for (at = 1; at < 30; at++) {
                        char text[32];
                        bool is_good = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

                        memset(text, 'a', sizeof(text));
                        text[0] = text[31] = '"';
                        text[at] = (char)byte;
                        assert_int_equal(scan_all(&scan, &arena, bytes_of(text, sizeof(text))),
                                         is_good ? JSON_END : JSON_ERROR);
                        if (!is_good && byte != '"') assert_int_equal(scan.error_offset, at);
                }
        }
        arena_fini(&arena);
}

/* Sixty-four levels are read, whatever they are made of; the sixty-fifth is refused where it begins. */
static void test_depth(void **state)
{
        char text[7 * 100];
        struct json_scan scan;
        struct arena arena;
        int kind;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (kind = 0; kind < 2; kind++) {
                const char *opening = kind == 0 ? "[" : "{\"a\":";
                size_t unit = strlen(opening);
                size_t i;

                for (i = 0; i < 65; i++)
                        memcpy(text + i * unit, opening, unit);
                assert_int_equal(scan_all(&scan, &arena, bytes_of(text, 65 * unit)), JSON_ERROR);
                assert_string_equal(scan.error_text, "nested more than 64 deep");
                assert_int_equal(scan.error_offset, 64 * unit);
                text[64 * unit] = '1';
                memset(text + 64 * unit + 1, kind == 0 ? ']' : '}', 64);
                assert_int_equal(scan_all(&scan, &arena, bytes_of(text, 64 * unit + 65)), JSON_END);
        }
        arena_fini(&arena);
}

/* Events come in order, with spans as written and keys decoded. */
static void test_events(void **state)
{
        static const struct {
                enum json_event event;
                const char *span;
                const char *key;
        } expected[] = {
                {JSON_OBJECT_BEGIN, "{", NULL},   {JSON_KEY, "\"n\\u0061me\"", "name"},
                {JSON_STRING, "\"x\\ny\"", NULL}, {JSON_KEY, "\"list\"", "list"},
                {JSON_ARRAY_BEGIN, "[", NULL},    {JSON_NUMBER, "-1.50e+3", NULL},
                {JSON_TRUE, "true", NULL},        {JSON_FALSE, "false", NULL},
                {JSON_NULL, "null", NULL},        {JSON_OBJECT_BEGIN, "{", NULL},
                {JSON_OBJECT_END, "}", NULL},     {JSON_ARRAY_END, "]", NULL},
                {JSON_OBJECT_END, "}", NULL},     {JSON_END, "", NULL},
        };
        struct bytes text = BYTES(" { \"n\\u0061me\" : \"x\\ny\" , \"list\":[ -1.50e+3,true,false,null,{ } ,],} ");
        struct json_scan scan;
        struct arena arena;
        size_t i;

        (void)state;
        arena_init(&arena, NULL, CAP);
        json_scan_init(&scan, &arena, text);
        for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
                assert_int_equal(json_scan_next(&scan), expected[i].event);
                assert_true(bytes_equal(scan.span, bytes_of_text(expected[i].span)));
                if (expected[i].key != NULL) assert_true(bytes_equal(scan.key, bytes_of_text(expected[i].key)));
        }
        arena_fini(&arena);
}

/* Values are skipped whole, from their first event or before it. */
static void test_skip(void **state)
{
        struct json_scan scan;
        struct bytes span;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, CAP);
        json_scan_init(&scan, &arena, BYTES("{\"a\": {\"b\":[1,{}],} , \"c\":\"d\",\"e\":[ ],\"f\":[1,[2]]}"));
        assert_int_equal(json_scan_next(&scan), JSON_OBJECT_BEGIN);
        assert_int_equal(json_scan_next(&scan), JSON_KEY);
        assert_int_equal(json_skip_value(&scan, &span), JSON_OBJECT_BEGIN);
        assert_true(bytes_equal(span, BYTES("{\"b\":[1,{}],}")));
        assert_int_equal(json_scan_next(&scan), JSON_KEY);
        assert_int_equal(json_skip_value(&scan, &span), JSON_STRING);
        assert_true(bytes_equal(span, BYTES("\"d\"")));
        assert_int_equal(json_scan_next(&scan), JSON_KEY);
        assert_int_equal(json_scan_next(&scan), JSON_ARRAY_BEGIN);
        assert_true(json_skip_rest(&scan, &span));
        assert_true(bytes_equal(span, BYTES("[ ]")));
        assert_int_equal(json_scan_next(&scan), JSON_KEY);
        assert_int_equal(json_scan_next(&scan), JSON_ARRAY_BEGIN);
        assert_int_equal(json_skip_value(&scan, &span), JSON_NUMBER);
        assert_true(json_skip_rest(&scan, &span));
        assert_true(bytes_equal(span, BYTES("1")));
        assert_int_equal(json_skip_value(&scan, &span), JSON_ARRAY_BEGIN);
        assert_true(bytes_equal(span, BYTES("[2]")));
        assert_int_equal(json_skip_value(&scan, &span), JSON_ARRAY_END);
        assert_true(bytes_equal(span, BYTES("[2]")));
        assert_int_equal(json_scan_next(&scan), JSON_OBJECT_END);
        assert_int_equal(json_skip_value(&scan, &span), JSON_END);

        json_scan_init(&scan, &arena, BYTES("[[1,2"));
        assert_int_equal(json_scan_next(&scan), JSON_ARRAY_BEGIN);
        assert_int_equal(json_skip_value(&scan, &span), JSON_ERROR);
        assert_false(json_skip_rest(&scan, &span));
        assert_true(bytes_equal(span, BYTES("[2]")));
        arena_fini(&arena);
}

/* Write an object of `count` keys, one of them twice if `again` is one. */
static char *wide_object(size_t count, size_t again, size_t *len)
{
        char *text = malloc(count * 20 + 40);
        size_t i, at = 0;

        text[at++] = '{';
        for (i = 0; i < count; i++) {
                at += (size_t)snprintf(text + at, 20, "\"%zx\":%s,", i, i % 7 == 3 ? "{\"a\":1}" : "1");
        }
        if (again < count) at += (size_t)snprintf(text + at, 20, "\"%zx\":1", again);
        text[at++] = '}';
        *len = at;
        return text;
}

/* A duplicate is found among any number of keys, the sets of inner objects coming and going in between; and memory
 * stays within what the header promises. */
static void test_many_keys(void **state)
{
        static const size_t counts[] = {1, 2, 31, 32, 33, 64, 65, 100, 1000, 100000};
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                size_t count = counts[i], len, again;
                char *text = wide_object(count, SIZE_MAX, &len);
                struct json_scan scan;
                struct arena arena;

                arena_init(&arena, NULL, 128 * count + 65536);
                assert_int_equal(scan_all(&scan, &arena, bytes_of(text, len)), JSON_END);
                arena_fini(&arena);
                free(text);
                for (again = 0; again < count; again += count / 10 + 1) {
                        text = wide_object(count, again, &len);
                        arena_init(&arena, NULL, CAP);
                        assert_int_equal(scan_all(&scan, &arena, bytes_of(text, len)), JSON_ERROR);
                        assert_string_equal(scan.error_text, "a key that occurs twice in an object");
                        arena_fini(&arena);
                        free(text);
                }
        }
}

/* Memory that runs out at any allocation is R_NO_MEMORY, without a text that blames the caller. */
static void test_heap_is_out(void **state)
{
        size_t len;
        char *text = wide_object(3000, SIZE_MAX, &len);
        unsigned long n;

        (void)state;
        memcpy(strstr(text, "\"10\""), "\"\\n\"", 4); /* decoding a key allocates too */
        for (n = 1;; n++) {
                struct fault fault = {0};
                enum json_event event;
                struct json_scan scan;
                struct arena arena;

                arena_init(&arena, NULL, CAP);
                heap_fail_at(n);
                event = scan_all(&scan, &arena, bytes_of(text, len));
                heap_fail_at(0);
                arena_fini(&arena);
                if (scan.result == R_BAD_ARGUMENT) fail_msg("%s", scan.error_text);
                if (event == JSON_END) break;
                assert_int_equal(json_scan_fault(&scan, &fault), R_NO_MEMORY);
                assert_string_equal(fault.text, "");
        }
        assert_true(n > 3);
        free(text);
}

/* A small body asks nothing of the arena. */
static void test_no_allocation(void **state)
{
        struct json_scan scan;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, 0);
        assert_int_equal(scan_all(&scan, &arena, BYTES("{\"name\":\"Team App\",\"workflow\":{\"model_url\":\"u\",}}")),
                         JSON_END);
        arena_fini(&arena);
}

static void check_damaged(struct bytes damaged, void *context)
{
        struct bytes span, copy;
        struct json_scan scan;
        struct arena arena;
        enum json_event event;

        arena_init(&arena, NULL, CAP);
        event = scan_all(&scan, &arena, damaged);
        if (event == JSON_ERROR) {
                assert_true(scan.error_offset <= damaged.len);
                ++*(size_t *)context;
        } else {
                json_scan_init(&scan, &arena, damaged);
                assert_int_not_equal(json_skip_value(&scan, &span), JSON_ERROR);
                copy = json_copy_document(&arena, span);
                assert_int_equal(scan_all(&scan, &arena, copy), JSON_END);
        }
        arena_fini(&arena);
}

/* No damage makes the reader read past the end; every proper prefix of an object is refused. */
static void test_damaged(void **state)
{
        static const char text[] =
                "{\"name\":\"T\\u00e9\\n \xC3\xA9 \xF0\x9F\x98\x80\",\"n\":[-1.5e+3,0,true,false,null,],"
                "\"o\":{\"a\":{},\"\\uD83D\\uDE00\":\"x\"},\"w\":\"0123456789abcdef0123\"}";
        size_t refused_count = 0, i;

        (void)state;
        damage_each(bytes_of(text, sizeof(text) - 1), &refused_count, check_damaged);
        assert_true(refused_count > sizeof(text));
        for (i = 0; i + 1 < sizeof(text) - 1; i++) {
                size_t before = refused_count;

                damage_none(bytes_of(text, i), &refused_count, check_damaged);
                assert_int_equal(refused_count, before + 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),    cmocka_unit_test(test_refused),
                cmocka_unit_test(test_nul),         cmocka_unit_test(test_bad_byte_anywhere),
                cmocka_unit_test(test_depth),       cmocka_unit_test(test_events),
                cmocka_unit_test(test_skip),        cmocka_unit_test(test_many_keys),
                cmocka_unit_test(test_heap_is_out), cmocka_unit_test(test_no_allocation),
                cmocka_unit_test(test_damaged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
