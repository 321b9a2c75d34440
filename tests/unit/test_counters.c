#include "engine/counters.h"

#include <string.h>

#include <allod/v1/app.pb-c.h>
#include <allod/v1/job.pb-c.h>

#include "engine/message.h"
#include "tests/lib/test.h"

#define QUEUED    ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED
#define RUNNING   ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELED  ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED

/* The stored bytes are a JobCounts: each number means the same in both. */
static void test_same_message(void **state)
{
        const store_v1_Counters counters = {
                .completed = 1, .failed = 2, .in_progress = 3, .in_queue = 4, .retried = INT64_MAX};
        struct arena arena;
        ProtobufCMessage *unpacked;
        const Allod__V1__JobCounts *counts;
        struct bytes stored;

        (void)state;
        arena_init(&arena, NULL, 1 << 16);
        assert_int_equal(counters_store(&arena, &counters, &stored), R_OK);
        assert_int_equal(message_unpack(&arena, &allod__v1__job_counts__descriptor, stored, &unpacked), R_OK);
        counts = (const Allod__V1__JobCounts *)unpacked;
        assert_int_equal(unpacked->n_unknown_fields, 0);
        assert_int_equal(counts->completed, 1);
        assert_int_equal(counts->failed, 2);
        assert_int_equal(counts->in_progress, 3);
        assert_int_equal(counts->in_queue, 4);
        assert_true(counts->retried == INT64_MAX);
        arena_fini(&arena);
}

/* A job's life is counted in one place at a time, and a canceled one nowhere. */
static void test_moves(void **state)
{
        store_v1_Counters counters = store_v1_Counters_init_zero;

        (void)state;
        assert_int_equal(counters_move(&counters, 0, QUEUED), R_OK);
        assert_int_equal(counters_move(&counters, 0, QUEUED), R_OK);
        assert_int_equal(counters_move(&counters, 0, QUEUED), R_OK);
        assert_int_equal(counters.in_queue, 3);
        assert_int_equal(counters_move(&counters, QUEUED, RUNNING), R_OK);
        assert_int_equal(counters_move(&counters, RUNNING, COMPLETED), R_OK);
        assert_int_equal(counters_move(&counters, QUEUED, RUNNING), R_OK);
        assert_int_equal(counters_move(&counters, RUNNING, FAILED), R_OK);
        assert_int_equal(counters_move(&counters, QUEUED, CANCELED), R_OK);
        assert_int_equal(counters.in_queue, 0);
        assert_int_equal(counters.in_progress, 0);
        assert_int_equal(counters.completed, 1);
        assert_int_equal(counters.failed, 1);
        assert_int_equal(counters.retried, 0);
}

/* No counter goes below zero: counters that know of no such job are corrupt, and stay as they are. */
static void test_underflow(void **state)
{
        static const uint32_t from[] = {QUEUED, RUNNING, COMPLETED, FAILED};
        store_v1_Counters counters = store_v1_Counters_init_zero;
        const store_v1_Counters zero = store_v1_Counters_init_zero;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof from / sizeof from[0]; i++) {
                assert_int_equal(counters_move(&counters, from[i], QUEUED), R_CORRUPT);
                assert_memory_equal(&counters, &zero, sizeof zero);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_same_message),
                cmocka_unit_test(test_moves),
                cmocka_unit_test(test_underflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
