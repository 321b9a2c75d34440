#include "engine/mask.h"

#include <string.h>

#include "tests/lib/test.h"

static Google__Protobuf__FieldMask mask_of(char **paths, size_t count)
{
        Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;

        mask.paths = paths;
        mask.n_paths = count;
        return mask;
}

/* A mask covers what it names and all that is part of it, by whole names only; no mask covers nothing. */
static void test_covers(void **state)
{
        char *paths[] = {(char *)"name", (char *)"settings", (char *)"a.b", (char *)"a.b"};
        Google__Protobuf__FieldMask mask = mask_of(paths, 4);

        (void)state;
        assert_true(mask_covers(&mask, "name"));
        assert_true(mask_covers(&mask, "settings"));
        assert_true(mask_covers(&mask, "settings.member_can_edit"));
        assert_true(mask_covers(&mask, "a.b"));
        assert_true(mask_covers(&mask, "a.b.c"));
        assert_false(mask_covers(&mask, "a"));
        assert_false(mask_covers(&mask, "names"));
        assert_false(mask_covers(&mask, "nam"));
        assert_false(mask_covers(&mask, "settings_too"));
        assert_false(mask_covers(&mask, "other"));
        assert_false(mask_covers(NULL, "name"));
}

/* An empty path covers nothing, rather than everything. */
static void test_empty_path(void **state)
{
        char *paths[] = {(char *)""};
        Google__Protobuf__FieldMask mask = mask_of(paths, 1);
        static const char *const allowed[] = {"name"};
        struct fault fault = {0};

        (void)state;
        assert_false(mask_covers(&mask, "name"));
        assert_false(mask_covers(&mask, ".name"));
        assert_int_equal(mask_check(&mask, allowed, 1, &fault), R_BAD_ARGUMENT);
}

/* None and one without paths are empty. */
static void test_is_empty(void **state)
{
        char *paths[] = {(char *)"name"};
        Google__Protobuf__FieldMask mask = mask_of(paths, 0);

        (void)state;
        assert_true(mask_is_empty(NULL));
        assert_true(mask_is_empty(&mask));
        mask = mask_of(paths, 1);
        assert_false(mask_is_empty(&mask));
}

/* Each path that is not allowed gets its complaint; duplicates of allowed ones do not. */
static void test_check(void **state)
{
        static const char *const allowed[] = {"name", "settings", "settings.member_can_edit"};
        char *good[] = {(char *)"name", (char *)"name", (char *)"settings", (char *)"settings.member_can_edit"};
        char *bad[] = {(char *)"id", (char *)"name", (char *)"settings.member_can_fly", (char *)"*"};
        Google__Protobuf__FieldMask mask = mask_of(good, 4);
        struct fault fault = {0};

        (void)state;
        assert_int_equal(mask_check(NULL, allowed, 3, &fault), R_OK);
        assert_int_equal(mask_check(&mask, allowed, 3, &fault), R_OK);
        assert_int_equal(fault.field_count, 0);
        mask = mask_of(bad, 4);
        assert_int_equal(mask_check(&mask, allowed, 3, &fault), R_BAD_ARGUMENT);
        assert_int_equal(fault.field_count, 3);
        assert_string_equal(fault.fields[0].path, "update_mask");
        assert_non_null(strstr(fault.fields[0].text, "\"id\""));
        assert_non_null(strstr(fault.fields[1].text, "\"settings.member_can_fly\""));
        assert_non_null(strstr(fault.fields[2].text, "\"*\""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_covers),
                cmocka_unit_test(test_empty_path),
                cmocka_unit_test(test_is_empty),
                cmocka_unit_test(test_check),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
