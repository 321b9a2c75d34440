#include "engine/arena.h"

#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

/* Allocations are aligned, do not overlap and keep their contents while the arena grows over several chunks. */
static void test_allocations_are_apart(void **state)
{
        enum {
                COUNT = 400
        };
        struct arena arena;
        uint8_t *parts[COUNT];
        size_t i;
        size_t j;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (i = 0; i < COUNT; i++) {
                parts[i] = arena_alloc(&arena, i);
                assert_non_null(parts[i]);
                assert_int_equal((uintptr_t)parts[i] % alignof(max_align_t), 0);
                memset(parts[i], (int)(i & 0xff), i);
        }
        for (i = 0; i < COUNT; i++) {
                for (j = 0; j < i; j++)
                        assert_int_equal(parts[i][j], i & 0xff);
        }
        arena_fini(&arena);
}

/* What is held never passes the cap: the allocation that would is refused, and smaller ones still succeed. */
static void test_cap_holds(void **state)
{
        struct arena arena;
        size_t total = 0;

        (void)state;
        arena_init(&arena, NULL, 100000);
        assert_null(arena_alloc(&arena, 100001));
        assert_null(arena_alloc(&arena, SIZE_MAX));
        assert_null(arena_dup(&arena, bytes_of("", SIZE_MAX)).data);
        while (arena_alloc(&arena, 1000) != NULL) {
                total += 1000;
                assert_true(arena.held <= 100000);
        }
        assert_in_range(total, 90000, 100000);
        assert_non_null(arena_alloc(&arena, 1));
        arena_fini(&arena);

        arena_init(&arena, NULL, 0);
        assert_null(arena_alloc(&arena, 1));
        arena_fini(&arena);
}

/* The newest allocation grows in place, an older one by copy; both keep their bytes. */
static void test_grow(void **state)
{
        struct arena arena;
        uint8_t *first;
        uint8_t *second;
        uint8_t *moved;

        (void)state;
        arena_init(&arena, NULL, CAP);
        first = arena_grow(&arena, NULL, 0, 10);
        memcpy(first, "0123456789", 10);
        assert_ptr_equal(arena_grow(&arena, first, 10, 5000), first);
        second = arena_alloc(&arena, 1);
        assert_true(second >= first + 5000);
        *second = 'x';
        moved = arena_grow(&arena, first, 10, 40000);
        assert_ptr_not_equal(moved, first);
        assert_memory_equal(moved, "0123456789", 10);
        assert_int_equal(*second, 'x');
        assert_null(arena_grow(&arena, moved, 40000, CAP));
        assert_memory_equal(moved, "0123456789", 10);
        arena_fini(&arena);
}

/* Going back to a mark forgets what came after it, chunks included, and keeps what came before. */
static void test_reset(void **state)
{
        struct arena arena;
        struct arena_mark empty;
        struct arena_mark mark;
        uint8_t *kept;
        void *next;
        size_t held;

        (void)state;
        arena_init(&arena, NULL, CAP);
        empty = arena_mark(&arena);
        kept = arena_zalloc(&arena, 100);
        kept[99] = 7;
        mark = arena_mark(&arena);
        held = arena.held;
        next = arena_alloc(&arena, 16);
        assert_non_null(arena_alloc(&arena, 200000));
        arena_reset(&arena, mark);
        assert_int_equal(arena.held, held);
        assert_int_equal(kept[99], 7);
        assert_ptr_equal(arena_alloc(&arena, 16), next);
        arena_reset(&arena, empty);
        assert_int_equal(arena.held, 0);
        assert_non_null(arena_alloc(&arena, 16));
        arena_fini(&arena);
}

/* What the arenas of one pool hold in large chunks never passes the pool's cap, whichever way they give it back; chunks
 * of the ordinary size are not counted. */
static void test_pool_cap(void **state)
{
        struct arena_budget budget = {.held_max = 500000};
        struct arena_pool pool;
        struct arena arenas[3];
        struct arena_mark mark;

        (void)state;
        arena_pool_init(&pool, 2);
        pool.budget = &budget;
        arena_init(&arenas[0], &pool, CAP);
        arena_init(&arenas[1], &pool, CAP);
        arena_init(&arenas[2], &pool, CAP);
        mark = arena_mark(&arenas[0]);
        assert_non_null(arena_alloc(&arenas[0], 300000));
        assert_null(arena_alloc(&arenas[1], 300000));
        assert_non_null(arena_alloc(&arenas[1], 200000));
        assert_null(arena_alloc(&arenas[2], 100000));
        assert_non_null(arena_alloc(&arenas[2], 10000));
        arena_reset(&arenas[0], mark);
        assert_non_null(arena_alloc(&arenas[2], 100000));
        heap_fail_at(1);
        assert_null(arena_alloc(&arenas[0], 150000));
        heap_fail_at(0);
        assert_non_null(arena_alloc(&arenas[0], 150000));
        arena_fini(&arenas[0]);
        arena_fini(&arenas[1]);
        arena_fini(&arenas[2]);
        assert_int_equal(budget.held, 0);
        arena_pool_fini(&pool);
}

/* A share pays for what its arena holds, before it was set too, and stops it while others go on. */
static void test_share(void **state)
{
        struct arena_budget budget = {.held_max = 500000};
        struct arena_budget share = {.held_max = 200000};
        struct arena_pool pool;
        struct arena arenas[2];

        (void)state;
        arena_pool_init(&pool, 2);
        pool.budget = &budget;
        arena_init(&arenas[0], &pool, CAP);
        arena_init(&arenas[1], &pool, CAP);
        assert_non_null(arena_alloc(&arenas[0], 100000));
        arena_set_share(&arenas[0], &share);
        assert_int_equal(share.held, 100000);
        assert_null(arena_alloc(&arenas[0], 150000));
        assert_int_equal(share.held, budget.held);
        assert_non_null(arena_alloc(&arenas[1], 300000));
        arena_fini(&arenas[0]);
        assert_int_equal(share.held, 0);
        assert_int_equal(budget.held, 300000);
        arena_fini(&arenas[1]);
        assert_int_equal(budget.held, 0);
        arena_pool_fini(&pool);
}

/* Once a pool is warm, a call of ordinary size asks nothing of the heap; the pool keeps no more than it may. */
static void test_pool(void **state)
{
        struct arena_pool pool;
        struct arena arenas[3];
        size_t i;

        (void)state;
        arena_pool_init(&pool, 2);
        for (i = 0; i < 3; i++) {
                arena_init(&arenas[i], &pool, CAP);
                assert_non_null(arena_alloc(&arenas[i], 100));
        }
        for (i = 0; i < 3; i++)
                arena_fini(&arenas[i]);
        assert_int_equal(pool.free_count, 2);
        heap_fail_at(0);
        arena_init(&arenas[0], &pool, CAP);
        assert_non_null(arena_alloc(&arenas[0], 8000));
        assert_non_null(arena_alloc(&arenas[0], 8000));
        arena_fini(&arenas[0]);
        assert_int_equal(heap_count(), 0);
        assert_int_equal(pool.free_count, 2);
        arena_pool_fini(&pool);
        assert_int_equal(pool.free_count, 0);
}

/* A heap that is out gives NULL from every function, and the arena still works afterwards. */
static void test_heap_is_out(void **state)
{
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, CAP);
        heap_fail_at(1);
        assert_null(arena_alloc(&arena, 10));
        heap_fail_at(1);
        assert_null(arena_zalloc(&arena, 10));
        heap_fail_at(1);
        assert_null(arena_grow(&arena, NULL, 0, 10));
        heap_fail_at(1);
        assert_null(arena_dup(&arena, BYTES("abc")).data);
        heap_fail_at(1);
        assert_null(arena_printf(&arena, "%d", 1));
        heap_fail_at(0);
        assert_non_null(arena_alloc(&arena, 10));
        arena_fini(&arena);
}

/* Copies and printed text end with a NUL that their length does not count; a finished arena may be finished again. */
static void test_text(void **state)
{
        struct arena arena;
        struct bytes copy;

        (void)state;
        arena_init(&arena, NULL, CAP);
        copy = arena_dup(&arena, BYTES("abc"));
        assert_int_equal(copy.len, 3);
        assert_string_equal((const char *)copy.data, "abc");
        copy = arena_dup(&arena, (struct bytes){0});
        assert_int_equal(copy.len, 0);
        assert_string_equal((const char *)copy.data, "");
        assert_string_equal(arena_printf(&arena, "%s-%d", "job", 42), "job-42");
        arena_fini(&arena);
        arena_fini(&arena);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_allocations_are_apart),
                cmocka_unit_test(test_cap_holds),
                cmocka_unit_test(test_grow),
                cmocka_unit_test(test_reset),
                cmocka_unit_test(test_pool_cap),
                cmocka_unit_test(test_share),
                cmocka_unit_test(test_pool),
                cmocka_unit_test(test_heap_is_out),
                cmocka_unit_test(test_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
