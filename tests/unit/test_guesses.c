/* Wrong keys of an address: how many, how soon again, who else is concerned. */
#include "rpc/guesses.h"

#include <pthread.h>
#include <string.h>

#include "tests/lib/test.h"

#define SECOND INT64_C(1000000000)

enum {
        MALLORY = 4711,
        OTHER = 4712
};

static struct guesses guesses;
static int64_t now_ns;

struct digest {
        uint8_t bytes[API_KEY_DIGEST_SIZE];
};

static struct digest key(unsigned n)
{
        struct digest digest = {{0}};

        memcpy(digest.bytes, &n, sizeof n);
        digest.bytes[6] = 1;
        return digest;
}

static int64_t wait_ms(uint64_t address, unsigned n)
{
        return guesses_wait_ms(&guesses, address, key(n).bytes, now_ns);
}

static void guess(uint64_t address, unsigned count)
{
        while (count-- > 0)
                guesses_wrong(&guesses, address, key(1000 + count).bytes, now_ns);
}

static int set_up(void **state)
{
        (void)state;
        now_ns = 5000 * SECOND;
        guesses_init(&guesses, 10);
        return 0;
}

/* A hundred at once, then one each six seconds, and never more than a hundred again. */
static void test_bucket(void **state)
{
        (void)state;
        guess(MALLORY, GUESSES_BURST - 1);
        assert_int_equal(wait_ms(MALLORY, 1), 0);
        guess(MALLORY, 1);
        assert_int_equal(wait_ms(MALLORY, 1), 6000);
        assert_int_equal(wait_ms(OTHER, 1), 0);
        now_ns += 5 * SECOND;
        assert_int_equal(wait_ms(MALLORY, 1), 1000);
        now_ns += 1 * SECOND;
        assert_int_equal(wait_ms(MALLORY, 1), 0);
        guess(MALLORY, 1);
        assert_int_equal(wait_ms(MALLORY, 1), 6000);
        now_ns += 100 * 3600 * SECOND;
        guess(MALLORY, GUESSES_BURST - 1);
        assert_int_equal(wait_ms(MALLORY, 1), 0);
        guess(MALLORY, 1);
        assert_int_equal(wait_ms(MALLORY, 1), 6000);
}

/* Guesses that were under way when the bucket was empty do not make the wait longer and longer. */
static void test_depth(void **state)
{
        (void)state;
        guess(MALLORY, 10 * GUESSES_BURST);
        assert_in_range(wait_ms(MALLORY, 1), 6000, 12000);
}

/* A key that was accepted from the address is looked up all the same: there and nowhere else, and until it is refused.
 */
static void test_neighbours(void **state)
{
        (void)state;
        guesses_right(&guesses, MALLORY, key(1).bytes);
        guess(MALLORY, GUESSES_BURST);
        guess(OTHER, GUESSES_BURST);
        assert_int_equal(wait_ms(MALLORY, 1), 0);
        assert_int_equal(wait_ms(MALLORY, 2), 6000);
        assert_int_equal(wait_ms(OTHER, 1), 6000);
        guesses_wrong(&guesses, MALLORY, key(1).bytes, now_ns);
        assert_true(wait_ms(MALLORY, 1) > 0);
}

/* Whoever comes from everywhere pushes out those with the fewest guesses first, and never asks for memory. */
static void test_eviction(void **state)
{
        const uint64_t stride = GUESSES_ADDRESSES_MAX / GUESSES_WAYS; /* they meet in one row */
        uint64_t i;

        (void)state;
        guess(MALLORY, GUESSES_BURST);
        for (i = 1; i <= 1000; i++)
                guess(MALLORY + ((i << 40) | i * stride), 1);
        assert_int_equal(wait_ms(MALLORY, 1), 6000);
        now_ns += 3600 * SECOND;
        for (i = 1; i <= GUESSES_WAYS; i++)
                guess(MALLORY + ((i << 40) | i * stride), GUESSES_BURST);
        for (i = 1; i <= GUESSES_WAYS; i++)
                assert_int_equal(wait_ms(MALLORY + ((i << 40) | i * stride), 1), 6000);
}

static void *run_guesser(void *arg)
{
        (void)arg;
        guess(MALLORY, GUESSES_BURST / 4);
        return NULL;
}

/* Loops count together, and lose none. */
static void test_threads(void **state)
{
        pthread_t threads[4];
        size_t i;

        (void)state;
        for (i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, run_guesser, NULL), 0);
        for (i = 0; i < 4; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(wait_ms(MALLORY, 1), 6000);
        now_ns += 6 * SECOND;
        assert_int_equal(wait_ms(MALLORY, 1), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_bucket, set_up),     cmocka_unit_test_setup(test_depth, set_up),
                cmocka_unit_test_setup(test_neighbours, set_up), cmocka_unit_test_setup(test_eviction, set_up),
                cmocka_unit_test_setup(test_threads, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
