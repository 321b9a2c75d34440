#include "rpc/budget.h"

#include "tests/lib/test.h"

#define SECOND ((int64_t)1000000000)

/* The burst can be spent at once, then the rate, and never more than the burst is saved. */
static void test_burst_then_rate(void **state)
{
        struct budget budget;
        int i;

        (void)state;
        budget_init(&budget, 5, 10, SECOND);
        for (i = 0; i < 5; i++)
                assert_true(budget_spend(&budget, SECOND));
        assert_false(budget_spend(&budget, SECOND));
        assert_false(budget_spend(&budget, SECOND + SECOND / 11));
        assert_true(budget_spend(&budget, SECOND + SECOND / 10));
        assert_false(budget_spend(&budget, SECOND + SECOND / 10));
        for (i = 0; i < 5; i++)
                assert_true(budget_spend(&budget, INT64_MAX));
        assert_false(budget_spend(&budget, INT64_MAX));
        budget_earn(&budget, 100);
        for (i = 0; i < 5; i++)
                assert_true(budget_spend(&budget, INT64_MAX));
        assert_false(budget_spend(&budget, INT64_MAX));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_burst_then_rate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
