#include "engine/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define ARENA_MAX ((size_t)1 << 20)

static enum result check(const char *text, const struct document_rule *rule, struct fault *fault)
{
        fault_clear(fault);
        return document_check(text, rule, "input", fault);
}

/* Objects pass, a trailing comma too; all else is refused, and the complaint names the field and the place. */
static void test_check(void **state)
{
        static const char *const good[] = {"{}", "{\"a\":1,}", " {\"a\":[1,{\"b\":null,}],\"c\":\"}\"} "};
        static const struct {
                const char *text, *complaint;
        } bad[] = {
                {"[]", "must be a JSON object"},
                {"7", "must be a JSON object"},
                {"null", "must be a JSON object"},
                {"", "is not valid JSON"},
                {"{", "is not valid JSON"},
                {"{\"a\":01}", "is not valid JSON"},
                {"{\"a\":1}x", "is not valid JSON"},
                {"{\"a\":1,\"a\":2}", "is not valid JSON"},
                {"{\"a\":{\"b\":NaN}}", "is not valid JSON"},
                {"{\"a\":1,,}", "is not valid JSON"},
        };
        struct fault fault;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof good / sizeof good[0]; i++)
                assert_int_equal(check(good[i], NULL, &fault), R_OK);
        for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                assert_int_equal(check(bad[i].text, NULL, &fault), R_BAD_ARGUMENT);
                assert_int_equal(fault.field_count, 1);
                assert_string_equal(fault.fields[0].path, "input");
                assert_ptr_equal(strstr(fault.fields[0].text, bad[i].complaint), fault.fields[0].text);
        }
}

/* Nesting is accepted up to 64 and refused above. */
static void test_depth(void **state)
{
        struct fault fault;
        char text[512];
        size_t depth;

        (void)state;
        for (depth = 64; depth <= 65; depth++) {
                size_t len = (size_t)snprintf(text, sizeof text, "{\"a\":");

                memset(text + len, '[', depth - 1);
                memset(text + len + depth - 1, ']', depth - 1);
                memcpy(text + len + 2 * (depth - 1), "}", 2);
                assert_int_equal(check(text, NULL, &fault), depth == 64 ? R_OK : R_BAD_ARGUMENT);
        }
}

/* A reserved member is found however it is spelt, at the outermost level alone; members are counted there alone. */
static void test_rule(void **state)
{
        static const struct document_rule rule = {"loras", "must not have loras", 2};
        struct fault fault;

        (void)state;
        assert_int_equal(check("{\"x\":{\"loras\":1,\"a\":1,\"b\":2,\"c\":3},\"y\":1}", &rule, &fault), R_OK);
        assert_int_equal(check("{\"lor\\u0061s\":1}", &rule, &fault), R_BAD_ARGUMENT);
        assert_string_equal(fault.fields[0].text, "must not have loras");
        assert_int_equal(check("{\"a\":1,\"b\":2,\"c\":3}", &rule, &fault), R_BAD_ARGUMENT);
        assert_string_equal(fault.fields[0].text, "must have at most 2 members");
}

/* What is stored has lost trailing commas and nothing else. */
static void test_copy(void **state)
{
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, ARENA_MAX);
        assert_string_equal(document_copy(&arena, "{ \"a\" : 1.50e+03 , \"b\":[1,2 , ] ,\n}"),
                            "{ \"a\" : 1.50e+03 , \"b\":[1,2  ] \n}");
        assert_string_equal(document_copy(&arena, "{\"a\":\",}\"}"), "{\"a\":\",}\"}");
        arena_fini(&arena);
}

/* Members are replaced in place, removed by null, appended at the end, and keep their bytes. */
static void test_merge(void **state)
{
        static const struct {
                const char *stored, *patch, *merged;
                size_t members;
        } cases[] = {
                {"", "{}", "{}", 0},
                {"", "{\"a\": 1}", "{\"a\": 1}", 1},
                {"{\"a\": 1.0, \"b\":{\"x\":1}}", "{}", "{\"a\": 1.0,\"b\":{\"x\":1}}", 2},
                {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\" : [9]}", "{\"a\":1,\"b\" : [9],\"c\":3}", 3},
                {"{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":null,\"c\":null}", "{\"b\":2}", 1},
                {"{\"a\":1}", "{\"a\":null}", "{}", 0},
                {"{\"a\":1}", "{\"z\":null}", "{\"a\":1}", 1},
                {"{\"a\":1}", "{\"\\u0061\":2}", "{\"\\u0061\":2}", 1},
                {"{\"a\":{\"x\":1}}", "{\"a\":{\"y\":null}}", "{\"a\":{\"y\":null}}", 1},
                {"{\"n\":10000000000000000000000001}", "{\"m\":0.10}", "{\"n\":10000000000000000000000001,\"m\":0.10}",
                 2},
        };
        struct arena arena;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                size_t members;
                char *merged;

                arena_init(&arena, NULL, ARENA_MAX);
                assert_int_equal(document_merge(&arena, cases[i].stored, cases[i].patch, &merged, &members), R_OK);
                assert_string_equal(merged, cases[i].merged);
                assert_int_equal(members, cases[i].members);
                arena_fini(&arena);
        }
}

/* {"m0":0,"m1":1,...} */
static char *many_members(size_t first, size_t count)
{
        char *text = malloc(count * 24 + 3);
        size_t len = 1;
        size_t i;

        assert_non_null(text);
        text[0] = '{';
        for (i = first; i < first + count; i++)
                len += (size_t)snprintf(text + len, 24, "%s\"m%zu\":%zu", i > first ? "," : "", i, i);
        memcpy(text + len, "}", 2);
        return text;
}

/* Two documents of many members that overlap by half make one of each member once. */
static void test_merge_many(void **state)
{
        char *stored = many_members(0, 100), *patch = many_members(50, 100), *all = many_members(0, 150);
        struct arena arena;
        size_t members;
        char *merged;

        (void)state;
        arena_init(&arena, NULL, ARENA_MAX);
        assert_int_equal(document_merge(&arena, stored, patch, &merged, &members), R_OK);
        assert_string_equal(merged, all);
        assert_int_equal(members, 150);
        arena_fini(&arena);
        free(stored);
        free(patch);
        free(all);
}

/* Stored text that is no object is said to be corrupt, and nothing comes out. */
static void test_merge_corrupt(void **state)
{
        static const char *const broken[] = {"[]", "{", "{\"a\"}", "{}x"};
        struct arena arena;
        size_t members = 7;
        char *merged = NULL;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof broken / sizeof broken[0]; i++) {
                arena_init(&arena, NULL, ARENA_MAX);
                assert_int_equal(document_merge(&arena, broken[i], "{}", &merged, &members), R_CORRUPT);
                assert_null(merged);
                assert_int_equal(members, 7);
                arena_fini(&arena);
        }
}

/* Whichever allocation fails, the answer is R_NO_MEMORY, until none does. */
static void test_no_memory(void **state)
{
        char *text = many_members(0, 1000);
        struct fault fault;
        enum result r;
        unsigned long n = 0;

        (void)state;
        do {
                struct arena arena;
                size_t members;
                char *merged;

                heap_fail_at(++n);
                r = check(text, NULL, &fault);
                if (r == R_OK) {
                        arena_init(&arena, NULL, ARENA_MAX);
                        r = document_merge(&arena, text, "{\"m3\":null}", &merged, &members);
                        arena_fini(&arena);
                }
                assert_true(r == R_OK || r == R_NO_MEMORY);
        } while (r != R_OK);
        heap_fail_at(0);
        assert_true(n > 2);
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check),         cmocka_unit_test(test_depth),
                cmocka_unit_test(test_rule),          cmocka_unit_test(test_copy),
                cmocka_unit_test(test_merge),         cmocka_unit_test(test_merge_many),
                cmocka_unit_test(test_merge_corrupt), cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
