#include "engine/keyuse.h"

#include <pthread.h>

#include "tests/lib/test.h"

static struct keyuse_table table;

static int set_up(void **state)
{
        (void)state;
        keyuse_init(&table);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        keyuse_fini(&table);
        return 0;
}

/* Two users; the number is in the last bytes, by which slots are chosen. */
static struct uuid id_of(uint8_t user, uint32_t number)
{
        struct uuid id = {{user}};

        memcpy(id.bytes + UUID_SIZE - sizeof number, &number, sizeof number);
        return id;
}

/* The newest use of each key is what comes out, once, with the user it was noted with. */
static void test_note_and_take(void **state)
{
        struct keyuse uses[8];
        size_t i;

        (void)state;
        keyuse_note(&table, id_of(1, 0), id_of(1, 7), 100);
        keyuse_note(&table, id_of(2, 0), id_of(2, 8), 300);
        keyuse_note(&table, id_of(1, 0), id_of(1, 7), 200);
        keyuse_note(&table, id_of(1, 0), id_of(1, 7), 150);
        assert_int_equal(keyuse_take(&table, uses, 8), 2);
        for (i = 0; i < 2; i++) {
                uint8_t user = uses[i].user.bytes[0];

                assert_int_equal(uses[i].key.bytes[0], user);
                assert_int_equal(uses[i].time_ms, user == 1 ? 200 : 300);
        }
        assert_int_not_equal(uses[0].user.bytes[0], uses[1].user.bytes[0]);
        assert_int_equal(keyuse_take(&table, uses, 8), 0);
}

/* Another key in the same slot is not mixed up with the first: it is dropped, and noted when the slot is free. */
static void test_collision(void **state)
{
        struct keyuse use;

        (void)state;
        keyuse_note(&table, id_of(1, 0), id_of(1, 7), 100);
        keyuse_note(&table, id_of(2, 0), id_of(2, 7), 900);
        assert_int_equal(keyuse_take(&table, &use, 1), 1);
        assert_int_equal(use.user.bytes[0], 1);
        assert_int_equal(use.time_ms, 100);
        keyuse_note(&table, id_of(2, 0), id_of(2, 7), 900);
        assert_int_equal(keyuse_take(&table, &use, 1), 1);
        assert_int_equal(use.user.bytes[0], 2);
}

/* Taken in parts, each key has come once before any comes again, though some are in use again at once. */
static void test_turns(void **state)
{
        bool is_seen[KEYUSE_COUNT_MAX] = {false};
        struct keyuse uses[10];
        size_t total = 0;
        uint32_t i;

        (void)state;
        for (i = 0; i < KEYUSE_COUNT_MAX; i++)
                keyuse_note(&table, id_of(1, 0), id_of(1, i), 1 + (int64_t)i);
        while (total < KEYUSE_COUNT_MAX - 10) {
                size_t taken = keyuse_take(&table, uses, 10);

                assert_int_equal(taken, 10);
                total += taken;
                for (i = 0; i < taken; i++) {
                        assert_in_range(uses[i].time_ms, 1, KEYUSE_COUNT_MAX);
                        assert_false(is_seen[uses[i].time_ms - 1]);
                        is_seen[uses[i].time_ms - 1] = true;
                        keyuse_note(&table, uses[i].user, uses[i].key, 9999);
                }
        }
}

static void *note_many(void *argument)
{
        uint32_t i;

        (void)argument;
        for (i = 0; i < 20000; i++)
                keyuse_note(&table, id_of(1, 0), id_of(1, i % 50), 1 + (int64_t)i);
        return NULL;
}

/* Threads that note while another takes lose nothing but notes. */
static void test_threads(void **state)
{
        struct keyuse uses[64];
        pthread_t threads[2];
        size_t i;
        int round;

        (void)state;
        for (i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, note_many, NULL), 0);
        for (round = 0; round < 200; round++) {
                size_t taken = keyuse_take(&table, uses, 64);

                assert_in_range(taken, 0, 50);
                for (i = 0; i < taken; i++)
                        assert_in_range(uses[i].time_ms, 1, 20000);
        }
        for (i = 0; i < 2; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_note_and_take),
                TEST(test_collision),
                TEST(test_turns),
                TEST(test_threads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
