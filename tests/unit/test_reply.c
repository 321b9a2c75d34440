/* The one table from results to what a caller is told. */
#include "rpc/reply.h"

#include "engine/uuid.h"
#include "tests/lib/test.h"

static void test_contract(void **state)
{
        /* Every row of the contract's table of errors. */
        static const struct {
                enum result r;
                enum grpc_code grpc;
                int http;
        } rows[] = {
                {R_OK, GRPC_OK, 200},
                {R_BAD_ARGUMENT, GRPC_INVALID_ARGUMENT, 400},
                {R_UNAUTHENTICATED, GRPC_UNAUTHENTICATED, 403},
                {R_WRONG_USER, GRPC_PERMISSION_DENIED, 403},
                {R_NOT_MEMBER, GRPC_PERMISSION_DENIED, 403},
                {R_FORBIDDEN, GRPC_PERMISSION_DENIED, 403},
                {R_ABSENT, GRPC_NOT_FOUND, 404},
                {R_EXISTS, GRPC_ALREADY_EXISTS, 409},
                {R_WRONG_STATE, GRPC_FAILED_PRECONDITION, 409},
                {R_STALE, GRPC_ABORTED, 409},
                {R_TOO_LARGE, GRPC_RESOURCE_EXHAUSTED, 413},
                {R_EXHAUSTED, GRPC_RESOURCE_EXHAUSTED, 429},
                {R_DEADLINE, GRPC_DEADLINE_EXCEEDED, 504},
                {R_DRAINING, GRPC_UNAVAILABLE, 503},
                {R_READ_ONLY, GRPC_UNAVAILABLE, 503},
                {R_COMMIT_UNKNOWN, GRPC_UNAVAILABLE, 503},
                {R_CORRUPT, GRPC_DATA_LOSS, 500},
                {R_IO, GRPC_INTERNAL, 500},
                {R_DEFECT, GRPC_INTERNAL, 500},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                assert_int_equal(reply_of(rows[i].r)->grpc, rows[i].grpc);
                assert_int_equal(reply_of(rows[i].r)->http, rows[i].http);
        }
        assert_string_equal(reply_of(R_DRAINING)->reason, "DRAINING");
        assert_string_equal(reply_of(R_READ_ONLY)->reason, "READ_ONLY");
        assert_string_equal(reply_of(R_COMMIT_UNKNOWN)->reason, "COMMIT_UNKNOWN");
        assert_string_equal(reply_of(R_UNAUTHENTICATED)->text, "Unauthorized access. Invalid API key.");
        assert_string_equal(reply_of(R_WRONG_USER)->text, "User does not match the API key.");
        assert_string_equal(reply_of(R_NOT_MEMBER)->text, "You are not a member of this team.");
}

static void test_complete(void **state)
{
        /* No result lacks a row; what no caller should ever see is an internal error. */
        enum result r;

        (void)state;
        for (r = 0; r < RESULT_COUNT; r++) {
                assert_non_null(reply_of(r)->text);
                assert_non_null(reply_of(r)->reason);
                assert_true(r == R_OK || reply_of(r)->http >= 400);
                assert_true(r == R_OK || reply_of(r)->grpc != GRPC_OK);
        }
        assert_ptr_equal(reply_of((enum result)1000), reply_of(R_DEFECT));
}

static const char *sentence(struct arena *arena, enum result r, const struct fault *fault)
{
        struct bytes text = reply_sentence(arena, r, fault, NULL);

        return (const char *)arena_dup(arena, text).data;
}

static void test_sentence(void **state)
{
        /* The fault's own words, its fields in a row, or the table's; never details of what is our fault. */
        struct arena arena;
        struct fault fault = {0};
        size_t i;

        (void)state;
        arena_init(&arena, NULL, 1 << 20);
        assert_string_equal(sentence(&arena, R_ABSENT, &fault), "Not found.");
        assert_int_equal(fault_field(&fault, "a", "is required"), R_BAD_ARGUMENT);
        assert_string_equal(sentence(&arena, R_BAD_ARGUMENT, &fault), "a is required.");
        assert_int_equal(fault_field(&fault, "b.c", "must be 1"), R_BAD_ARGUMENT);
        assert_string_equal(sentence(&arena, R_BAD_ARGUMENT, &fault), "a is required; b.c must be 1.");
        assert_int_equal(fault_set(&fault, R_ABSENT, "App with ID '%s' not found.", "x"), R_ABSENT);
        assert_string_equal(sentence(&arena, R_ABSENT, &fault), "App with ID 'x' not found.");
        for (i = 0; i < RESULT_COUNT; i++)
                if (reply_of((enum result)i)->http >= 500 && i != R_DEADLINE)
                        assert_string_equal(sentence(&arena, (enum result)i, &fault), reply_of((enum result)i)->text);
        assert_string_equal(sentence(&arena, R_UNAUTHENTICATED, &fault), "Unauthorized access. Invalid API key.");
        assert_string_equal(sentence(&arena, R_NOT_MEMBER, &fault), "You are not a member of this team.");
        arena_fini(&arena);
}

static void test_longest_sentence(void **state)
{
        /* As many fields as a fault holds, each as long as it may be, fit. */
        struct arena arena;
        struct fault fault = {0};
        char path[FAULT_PATH_SIZE];
        char text[FAULT_TEXT_SIZE];
        size_t i;

        (void)state;
        arena_init(&arena, NULL, 1 << 20);
        memset(path, 'p', sizeof path - 1);
        memset(text, 't', sizeof text - 1);
        path[sizeof path - 1] = text[sizeof text - 1] = '\0';
        for (i = 0; i < FAULT_FIELDS_MAX + 1; i++)
                assert_int_equal(fault_field(&fault, path, "%s", text), R_BAD_ARGUMENT);
        assert_int_equal(strlen(sentence(&arena, R_BAD_ARGUMENT, &fault)),
                         FAULT_FIELDS_MAX * (sizeof path - 1 + 1 + sizeof text - 1 + 2) - 2 + 1);
        arena_fini(&arena);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_contract),
                cmocka_unit_test(test_complete),
                cmocka_unit_test(test_sentence),
                cmocka_unit_test(test_longest_sentence),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
