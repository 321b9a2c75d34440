#include "engine/storetime.h"

#include <pthread.h>

#include "tests/lib/test.h"

static _Atomic int64_t fake_ms;

static int64_t fake_clock(void)
{
        return atomic_load(&fake_ms);
}

static struct storetime start(int64_t saved_ms, int64_t clock_ms)
{
        struct storetime time;

        fake_ms = clock_ms;
        storetime_init(&time, saved_ms, fake_clock);
        return time;
}

/* Time follows the clock forwards and stands where the clock goes back, until it has caught up. */
static void test_never_back(void **state)
{
        struct storetime time = start(0, 1000);

        (void)state;
        assert_int_equal(storetime_now(&time), 1000);
        fake_ms = 5000;
        assert_int_equal(storetime_now(&time), 5000);
        fake_ms = 10;
        assert_int_equal(storetime_now(&time), 5000);
        fake_ms = 4999;
        assert_int_equal(storetime_now(&time), 5000);
        fake_ms = 5001;
        assert_int_equal(storetime_now(&time), 5001);
}

/* It begins behind what was saved, when the clock is not beyond that: ids of the process before may bear the saved
 * time. */
static void test_begins_behind_the_saved_time(void **state)
{
        struct storetime time = start(7000, 100);

        (void)state;
        assert_int_equal(storetime_now(&time), 7001);
        fake_ms = 7003;
        assert_int_equal(storetime_now(&time), 7003);
}

/* No time above the bound on disk can be in a committed row: the bound is raised in the same transaction, and a
 * transaction that failed raises nothing. */
static void test_bound(void **state)
{
        struct storetime time = start(0, 1000);
        int64_t bound_ms = -1;

        (void)state;
        assert_true(storetime_raise(&time, &bound_ms));
        assert_int_equal(bound_ms, 1000 + STORETIME_MARGIN_MS);
        assert_true(storetime_raise(&time, &bound_ms)); /* the first did not commit */
        storetime_committed(&time);

        bound_ms = -1;
        assert_false(storetime_raise(&time, &bound_ms));
        assert_int_equal(bound_ms, -1);
        fake_ms = 1000 + STORETIME_MARGIN_MS;
        assert_false(storetime_raise(&time, &bound_ms));
        storetime_committed(&time); /* of a transaction that raised nothing */
        assert_false(storetime_raise(&time, &bound_ms));
        fake_ms++;
        assert_true(storetime_raise(&time, &bound_ms));
        assert_int_equal(bound_ms, fake_ms + STORETIME_MARGIN_MS);
}

/* A raise that failed, followed by a commit that needed none, does not count as saved. */
static void test_failed_raise(void **state)
{
        struct storetime time = start(0, 1000);
        int64_t bound_ms;

        (void)state;
        assert_true(storetime_raise(&time, &bound_ms));
        storetime_committed(&time);
        fake_ms = 2000 + STORETIME_MARGIN_MS;
        assert_true(storetime_raise(&time, &bound_ms)); /* fails to commit */
        assert_true(storetime_raise(&time, &bound_ms)); /* so the next one has to put it again */
        storetime_committed(&time);
        assert_false(storetime_raise(&time, &bound_ms));
}

static void *watch(void *argument)
{
        struct storetime *time = argument;
        int64_t last = 0;
        int i;

        for (i = 0; i < 20000; i++) {
                int64_t now = storetime_now(time);

                if (now < last) return (void *)"went back";
                last = now;
                atomic_store(&fake_ms, i % 3 == 0 ? i : 20000 - i);
        }
        return NULL;
}

/* Threads that read it at once, while the clock jumps about, each see it rise only. */
static void test_threads(void **state)
{
        struct storetime time = start(0, 0);
        pthread_t threads[3];
        void *complaint;
        size_t i;

        (void)state;
        for (i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, watch, &time), 0);
        for (i = 0; i < 3; i++) {
                assert_int_equal(pthread_join(threads[i], &complaint), 0);
                assert_null(complaint);
        }
        assert_in_range(storetime_now(&time), 1, 20000);
}

/* Without a clock of one's own it is the system's. */
static void test_system_clock(void **state)
{
        struct storetime time;

        (void)state;
        storetime_init(&time, 0, NULL);
        assert_true(storetime_now(&time) > INT64_C(1700000000000));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_never_back), cmocka_unit_test(test_begins_behind_the_saved_time),
                cmocka_unit_test(test_bound),      cmocka_unit_test(test_failed_raise),
                cmocka_unit_test(test_threads),    cmocka_unit_test(test_system_clock),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
