#include "rpc/timer_heap.h"

#include "tests/lib/test.h"

enum {
        COUNT = 200,
        STEPS = 20000
};

static struct host_timer timers[COUNT];

/* The first of those that are set, by looking at all. */
static int64_t first_due(void)
{
        int64_t first = INT64_MAX;
        int i;

        for (i = 0; i < COUNT; i++) {
                if (timers[i].is_set && timers[i].due_ns < first) first = timers[i].due_ns;
        }
        return first;
}

/* Whatever is added and removed in whatever order, the root is the first one due. */
static void test_root_is_first(void **state)
{
        struct timer_heap heap = {0};
        unsigned random = 1;
        int i;

        (void)state;
        for (i = 0; i < STEPS; i++) {
                struct host_timer *timer;

                random = random * 1103515245 + 12345;
                timer = &timers[random / 65536 % COUNT];
                if (timer->is_set) {
                        timer_heap_remove(&heap, timer);
                        assert_false(timer->is_set);
                } else {
                        timer->due_ns = random % 1000; /* few enough to repeat */
                        timer_heap_add(&heap, timer);
                }
                timer_heap_remove(&heap, &(struct host_timer){0}); /* nothing happens */
                if (heap.root == NULL)
                        assert_int_equal(first_due(), INT64_MAX);
                else
                        assert_int_equal(heap.root->due_ns, first_due());
        }
        while (heap.root != NULL) {
                assert_int_equal(heap.root->due_ns, first_due());
                timer_heap_remove(&heap, heap.root);
        }
        assert_int_equal(first_due(), INT64_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_root_is_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
