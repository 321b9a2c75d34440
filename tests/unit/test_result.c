#include "engine/result.h"

#include <string.h>

#include "tests/lib/test.h"

/* Every result has a name and a text of its own, and values that are none get words too. */
static void test_every_result_has_words(void **state)
{
        int i;
        int j;

        (void)state;
        for (i = 0; i < RESULT_COUNT; i++) {
                assert_memory_equal(result_name((enum result)i), "R_", 2);
                assert_true(strlen(result_text((enum result)i)) > 0);
                for (j = 0; j < i; j++) {
                        assert_string_not_equal(result_name((enum result)i), result_name((enum result)j));
                        assert_string_not_equal(result_text((enum result)i), result_text((enum result)j));
                }
        }
        assert_non_null(result_name(RESULT_COUNT));
        assert_non_null(result_text((enum result) - 1));
        assert_false(result_is_retryable((enum result) - 1));
}

/* Success is zero, and a call whose outcome is unknown must never be repeated blindly. */
static void test_values_that_callers_rely_on(void **state)
{
        (void)state;
        assert_int_equal(R_OK, 0);
        assert_string_equal(result_name(R_ABSENT), "R_ABSENT");
        assert_string_equal(result_text(R_ABSENT), "not found");
        assert_false(result_is_retryable(R_COMMIT_UNKNOWN));
        assert_true(result_is_retryable(R_DRAINING));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_result_has_words),
                cmocka_unit_test(test_values_that_callers_rely_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
