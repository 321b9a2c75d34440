/* The published shape of a job. */
#include "rpc/rest_job.h"

#include "rpc/reply.h"
#include "tests/lib/test.h"

struct ground {
        struct arena arena;
        struct fault fault;
};

static int set_up(void **state)
{
        static struct ground ground;

        ground = (struct ground){0};
        arena_init(&ground.arena, NULL, 1 << 20);
        *state = &ground;
        return 0;
}

static int tear_down(void **state)
{
        arena_fini(&((struct ground *)*state)->arena);
        return 0;
}

static const char *sentence(struct ground *ground)
{
        struct bytes text = reply_sentence(&ground->arena, R_BAD_ARGUMENT, &ground->fault, NULL);

        return (const char *)arena_dup(&ground->arena, text).data;
}

static void test_input(void **state)
{
        /* The input is taken to the digit; only trailing commas go. */
        struct ground *ground = *state;
        char *input;

        assert_int_equal(rest_job_read(&ground->arena, BYTES("{ \"input\" : { \"p\" : 1.000, \"q\":[1e999,], } , }"),
                                       &ground->fault, &input),
                         R_OK);
        assert_string_equal(input, "{ \"p\" : 1.000, \"q\":[1e999] }");
}

static void test_input_refused(void **state)
{
        /* Anything but one object named input is refused with a word on why. */
        static const struct {
                const char *body;
                const char *text;
        } cases[] = {
                {"", "Invalid JSON at byte 0: "},
                {"[]", "The body must be a JSON object."},
                {"{}", "input is required."},
                {"{\"input\":[]}", "input must be a JSON object."},
                {"{\"input\":null}", "input must be a JSON object."},
                {"{\"input\":{},\"webhook\":1}", "The member webhook is not known here."},
                {"{\"input\":{\"a\":1,\"a\":1}}", "Invalid JSON at byte "},
                {"{\"input\":{}} {}", "Invalid JSON at byte "},
                {"{\"input\":{}", "Invalid JSON at byte "},
        };
        struct ground *ground = *state;
        size_t i;

        for (i = 0; i < sizeof cases / sizeof *cases; i++) {
                char *input = NULL;
                const char *text;

                fault_clear(&ground->fault);
                assert_int_equal(rest_job_read(&ground->arena, bytes_of_text(cases[i].body), &ground->fault, &input),
                                 R_BAD_ARGUMENT);
                assert_null(input);
                text = sentence(ground);
                if (strncmp(text, cases[i].text, strlen(cases[i].text)) != 0) fail_msg("%s: %s", cases[i].body, text);
        }
}

static void test_nothing(void **state)
{
        /* A cancel has no body, or an empty object. */
        struct ground *ground = *state;

        assert_int_equal(rest_job_read_nothing(&ground->arena, BYTES(""), &ground->fault), R_OK);
        assert_int_equal(rest_job_read_nothing(&ground->arena, BYTES(" {} "), &ground->fault), R_OK);
        assert_int_equal(rest_job_read_nothing(&ground->arena, BYTES("{\"a\":1}"), &ground->fault), R_BAD_ARGUMENT);
        assert_int_equal(rest_job_read_nothing(&ground->arena, BYTES("[]"), &ground->fault), R_BAD_ARGUMENT);
        assert_int_equal(rest_job_read_nothing(&ground->arena, BYTES("{"), &ground->fault), R_BAD_ARGUMENT);
}

static void test_status(void **state)
{
        /* Both names of the queue, and the others in capitals. */
        struct ground *ground = *state;
        Allod__V1__JobStatus status;

        assert_int_equal(rest_job_status("IN_QUEUE", &ground->fault, &status), R_OK);
        assert_int_equal(status, ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED);
        assert_int_equal(rest_job_status("QUEUED", &ground->fault, &status), R_OK);
        assert_int_equal(status, ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED);
        assert_int_equal(rest_job_status("CANCELED", &ground->fault, &status), R_OK);
        assert_int_equal(status, ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED);
        assert_int_equal(rest_job_status("canceled", &ground->fault, &status), R_BAD_ARGUMENT);
        assert_string_equal(sentence(ground),
                            "status must be one of IN_QUEUE, QUEUED, RUNNING, COMPLETED, FAILED or CANCELED.");
}

static const char *written(struct ground *ground, void (*write)(struct json_write *, const Allod__V1__Job *),
                           const Allod__V1__Job *job)
{
        struct json_write json;
        struct bytes text;

        json_write_init(&json, &ground->arena, 0);
        write(&json, job);
        assert_int_equal(json_write_finish(&json, &text), R_OK);
        return (const char *)arena_dup(&ground->arena, text).data;
}

static void test_write(void **state)
{
        /* Each state's members, documents as they are, durations as short as is exact. */
        struct ground *ground = *state;
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
        Allod__V1__Job job = ALLOD__V1__JOB__INIT;
        char id[] = "j";
        char input[] = "{\"a\": 1.0}";
        char result[] = "[1e2]";
        char error[] = "it \"broke\"";

        time.seconds = 1735787045;
        job.id = id;
        job.created_at = &time;
        job.input = input;
        job.status = ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED;
        assert_string_equal(
                written(ground, rest_job_write, &job),
                "{\"created_at\":\"2025-01-02 03:04:05\",\"id\":\"j\",\"request\":{\"a\": 1.0},\"result\":null,"
                "\"status\":\"IN_QUEUE\"}");
        job.status = ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
        job.result = result;
        job.execution_time = &duration;
        duration.seconds = 12;
        duration.nanos = 500000000;
        assert_string_equal(
                written(ground, rest_job_write, &job),
                "{\"created_at\":\"2025-01-02 03:04:05\",\"execution_time\":\"12.5\",\"id\":\"j\",\"request\":"
                "{\"a\": 1.0},\"result\":[1e2],\"status\":\"COMPLETED\"}");
        job.status = ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED;
        job.error = error;
        job.result = job.app_id;
        duration.seconds = 100;
        duration.nanos = 0;
        assert_string_equal(written(ground, rest_job_write, &job),
                            "{\"created_at\":\"2025-01-02 03:04:05\",\"error\":\"it \\\"broke\\\"\",\"execution_time\":"
                            "\"100\",\"id\":\"j\",\"request\":{\"a\": 1.0},\"result\":null,\"status\":\"FAILED\"}");
        assert_string_equal(written(ground, rest_job_write_queued, &job),
                            "{\"data\":{\"id\":\"j\",\"status\":\"QUEUED\"},\"job_id\":\"j\",\"status\":\"QUEUED\"}");
        assert_string_equal(written(ground, rest_job_write_canceled, &job),
                            "{\"data\":{\"job_id\":\"j\",\"status\":\"CANCELED\"}}");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_input, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_input_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_status, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
