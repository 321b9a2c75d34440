#include "engine/uuid.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/lib/test.h"

#define THREADS    ((size_t)4)
#define PER_THREAD ((size_t)50000) /* all threads together: more than the 65,536 ids that one millisecond holds */

static int compare(const void *a, const void *b)
{
        return memcmp(a, b, UUID_SIZE);
}

/* The text of RFC 9562's example (A.6) is read and written back; upper case reads the same. */
static void test_text_form(void **state)
{
        struct uuid id = {{0}};
        struct uuid upper;
        char text[UUID_TEXT_LEN + 1];

        (void)state;
        assert_int_equal(uuid_parse(BYTES("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id), R_OK);
        assert_memory_equal(id.bytes, "\x01\x7f\x22\xe2\x79\xb0\x7c\xc3\x98\xc4\xdc\x0c\x0c\x07\x39\x8f", UUID_SIZE);
        assert_int_equal(uuid_parse(BYTES("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &upper), R_OK);
        assert_true(uuid_equal(id, upper));
        uuid_format(id, text);
        assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

/* Anything else is refused and leaves the output alone: each position is tried with bytes that may not stand there. */
static void test_bad_text(void **state)
{
        static const char good[] = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        static const char *const bad[] = {
                "",
                "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
                "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
                "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
                "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c",
                "017f22e279b07cc398c4dc0c0c07398f0000",
        };
        static const char intruders[] = {'g', 'G', '/', ':', '@', '`', ' ', '\0', '\r', '\x7f', (char)0xe9};
        const struct uuid before = {{1, 2, 3}};
        struct uuid id = before;
        size_t i;
        size_t j;

        (void)state;
        for (i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(uuid_parse(bytes_of_text(bad[i]), &id), R_BAD_ARGUMENT);
        for (i = 0; i < UUID_TEXT_LEN; i++) {
                char text[UUID_TEXT_LEN];

                for (j = 0; j < sizeof intruders; j++) {
                        memcpy(text, good, UUID_TEXT_LEN);
                        text[i] = intruders[j];
                        assert_int_equal(uuid_parse(bytes_of(text, UUID_TEXT_LEN), &id), R_BAD_ARGUMENT);
                }
                memcpy(text, good, UUID_TEXT_LEN);
                text[i] = good[i] == '-' ? '0' : '-';
                assert_int_equal(uuid_parse(bytes_of(text, UUID_TEXT_LEN), &id), R_BAD_ARGUMENT);
        }
        assert_true(uuid_equal(id, before));
}

/* An id carries its time, the version and the variant; its random part differs from id to id. */
static void test_layout(void **state)
{
        const int64_t time_ms = INT64_C(0x017f22e279b0);
        struct uuid a = uuid_v7(time_ms);
        struct uuid b = uuid_v7(time_ms);

        (void)state;
        assert_memory_equal(a.bytes, "\x01\x7f\x22\xe2\x79\xb0", 6);
        assert_int_equal(a.bytes[6] & 0xf0, 0x70);
        assert_int_equal(a.bytes[8] & 0xc0, 0x80);
        assert_memory_not_equal(a.bytes + 9, b.bytes + 9, 7);
}

/* Ids rise when time stands still, and when it goes back. */
static void test_order_in_one_thread(void **state)
{
        int64_t time_ms = INT64_C(1) << 41;
        struct uuid last = uuid_v7(time_ms);
        int i;

        (void)state;
        for (i = 0; i < 200000; i++) {
                struct uuid next = uuid_v7(i % 3 == 0 ? time_ms - i : time_ms + i / 1000);

                assert_true(compare(&last, &next) < 0);
                last = next;
        }
}

struct maker {
        pthread_t thread;
        int64_t time_ms;
        struct uuid *ids; /* PER_THREAD */
};

static void *make(void *data)
{
        struct maker *maker = data;
        size_t i;

        for (i = 0; i < PER_THREAD; i++)
                maker->ids[i] = uuid_v7(maker->time_ms + (int64_t)i / 20000);
        return NULL;
}

/* Without a lock between them, threads with clocks that differ get rising ids each, and no id twice. */
static void test_threads_get_rising_distinct_ids(void **state)
{
        struct uuid *ids = calloc(THREADS * PER_THREAD, sizeof *ids);
        struct maker makers[THREADS];
        size_t i;
        size_t j;

        (void)state;
        assert_non_null(ids);
        for (i = 0; i < THREADS; i++) {
                makers[i] = (struct maker){.time_ms = (INT64_C(1) << 42) - (int64_t)i, .ids = ids + i * PER_THREAD};
                assert_int_equal(pthread_create(&makers[i].thread, NULL, make, &makers[i]), 0);
        }
        for (i = 0; i < THREADS; i++)
                pthread_join(makers[i].thread, NULL);
        for (i = 0; i < THREADS; i++) {
                for (j = 1; j < PER_THREAD; j++)
                        assert_true(compare(&makers[i].ids[j - 1], &makers[i].ids[j]) < 0);
        }
        qsort(ids, THREADS * PER_THREAD, sizeof *ids, compare);
        for (i = 1; i < THREADS * PER_THREAD; i++)
                assert_true(compare(&ids[i - 1], &ids[i]) < 0);
        free(ids);
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct uuid last_of_all;
static int out_of_order;

static void *take_turns(void *data)
{
        const int64_t *time_ms = data;
        size_t i;

        for (i = 0; i < PER_THREAD; i++) {
                struct uuid id;

                pthread_mutex_lock(&turn);
                id = uuid_v7(*time_ms);
                if (compare(&last_of_all, &id) >= 0) out_of_order++;
                last_of_all = id;
                pthread_mutex_unlock(&turn);
        }
        return NULL;
}

/* When one thread makes its id after another has, it gets the greater one, though its clock is behind. */
static void test_order_across_threads(void **state)
{
        int64_t times[THREADS];
        pthread_t threads[THREADS];
        size_t i;

        (void)state;
        for (i = 0; i < THREADS; i++) {
                times[i] = (INT64_C(1) << 43) - INT64_C(1000) * (int64_t)i;
                assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &times[i]), 0);
        }
        for (i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(out_of_order, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_form),
                cmocka_unit_test(test_bad_text),
                cmocka_unit_test(test_layout),
                cmocka_unit_test(test_order_in_one_thread),
                cmocka_unit_test(test_threads_get_rising_distinct_ids),
                cmocka_unit_test(test_order_across_threads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
