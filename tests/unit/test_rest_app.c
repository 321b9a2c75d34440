/* The published shape of an app: reading bodies, writing answers, naming fields. */
#include "rpc/rest_app.h"

#include "rpc/reply.h"
#include "tests/lib/test.h"

struct ground {
        struct arena arena;
        struct fault fault;
        Google__Protobuf__FieldMask mask;
        Allod__V1__App *app;
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

static enum result read_new(struct ground *ground, const char *body)
{
        fault_clear(&ground->fault);
        return rest_app_read(&ground->arena, bytes_of_text(body), NULL, &ground->fault, &ground->app);
}

static enum result read_patch(struct ground *ground, const char *body)
{
        fault_clear(&ground->fault);
        google__protobuf__field_mask__init(&ground->mask);
        return rest_app_read(&ground->arena, bytes_of_text(body), &ground->mask, &ground->fault, &ground->app);
}

/* "a,b": the mask that the body gave. */
static const char *mask_text(struct ground *ground)
{
        char *text = arena_printf(&ground->arena, "%s", "");
        size_t i;

        for (i = 0; i < ground->mask.n_paths; i++)
                text = arena_printf(&ground->arena, "%s%s%s", text, i == 0 ? "" : ",", ground->mask.paths[i]);
        return text;
}

static const char *sentence(struct ground *ground)
{
        struct bytes text = reply_sentence(&ground->arena, R_BAD_ARGUMENT, &ground->fault, rest_app_path);

        return (const char *)arena_dup(&ground->arena, text).data;
}

static void test_published(void **state)
{
        /* The body of the published guide is read as it stands, trailing comma included. */
        struct ground *ground = *state;

        assert_int_equal(read_new(ground,
                                  "{\n\"name\": \"Team App\",\n\"description\": \"An app shared with the team\",\n"
                                  "\"configuration\": {\n\"gpu_tier\": \"STANDARD\"\n},\n\"workflow\": {\n"
                                  "\"model_url\": \"https://huggingface.co/example-model\",\n}\n}"),
                         R_OK);
        assert_string_equal(ground->app->name, "Team App");
        assert_string_equal(ground->app->description, "An app shared with the team");
        assert_int_equal(ground->app->configuration->gpu_tier, ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD);
        assert_int_equal(ground->app->configuration->active_workers, 0);
        assert_string_equal(ground->app->workflow->model_url, "https://huggingface.co/example-model");
        assert_string_equal(ground->app->workflow->tools, "");
        assert_int_equal(ground->app->workflow->n_loras, 0);
}

static void test_all_members(void **state)
{
        /* Every member lands in its field; tools that nobody knows are kept as they were sent. */
        struct ground *ground = *state;
        const Allod__V1__Lora *lora;

        assert_int_equal(
                read_new(ground,
                         "{\"name\":\"a\\u0041\",\"configuration\":{\"gpu_tier\":\"BASIC\",\"active_workers\":3.0,"
                         "\"location\":\"eu\"},\"workflow\":{\"model_url\":\"http://m\",\"tools\":{\"x\\u0079\":"
                         "[1.50, {\"a\" : 1e400,},],\"loras\":[{\"id\":\"1\",\"versionId\":\"2\",\"downloadUrl\":"
                         "\"3\",\"name\":\"4\",\"weight\":0.5},],\"z\":null}}}"),
                R_OK);
        assert_string_equal(ground->app->name, "aA");
        assert_int_equal(ground->app->configuration->active_workers, 3);
        assert_string_equal(ground->app->configuration->location, "eu");
        assert_string_equal(ground->app->workflow->tools, "{\"x\\u0079\":[1.50, {\"a\" : 1e400}],\"z\":null}");
        assert_int_equal(ground->app->workflow->n_loras, 1);
        lora = ground->app->workflow->loras[0];
        assert_string_equal(lora->id, "1");
        assert_string_equal(lora->version_id, "2");
        assert_string_equal(lora->download_url, "3");
        assert_string_equal(lora->name, "4");
        assert_true(lora->weight == 0.5);
}

static void test_masks(void **state)
{
        /* An update sets what its body holds: null is absent, but for the description; what only the server says is
         * ignored, whatever it is. */
        static const struct {
                const char *body;
                const char *mask;
        } cases[] = {
                {"{}", ""},
                {"{\"name\":\"a\"}", "name"},
                {"{\"name\":null,\"configuration\":null,\"workflow\":null}", ""},
                {"{\"description\":null}", "description"},
                {"{\"description\":\"\"}", "description"},
                {"{\"configuration\":{}}", ""},
                {"{\"configuration\":{\"active_workers\":0}}", "configuration.active_workers"},
                {"{\"configuration\":{\"active_workers\":null,\"gpu_tier\":null,\"location\":null}}", ""},
                {"{\"configuration\":{\"gpu_tier\":\"BASIC\",\"location\":\"\"}}",
                 "configuration.gpu_tier,configuration.location"},
                {"{\"workflow\":{\"model_url\":\"http://m\"}}", "workflow.model_url"},
                {"{\"workflow\":{\"tools\":{}}}", ""},
                {"{\"workflow\":{\"tools\":null,\"model_url\":null}}", ""},
                {"{\"workflow\":{\"tools\":{\"loras\":null}}}", ""},
                {"{\"workflow\":{\"tools\":{\"loras\":[]}}}", "workflow.loras"},
                {"{\"workflow\":{\"tools\":{\"x\":null}}}", "workflow.tools"},
                {"{\"workflow\":{\"tools\":{\"x\":1,\"loras\":[]}}}", "workflow.loras,workflow.tools"},
                {"{\"id\":1,\"jobs\":{\"a\":[]},\"workers\":null,\"status\":[],\"created_at\":true,\"updated_at\":1.5,"
                 "\"created_by\":{},\"owner_user_id\":null,\"owner_team_id\":\"x\"}",
                 ""},
        };
        struct ground *ground = *state;
        size_t i;

        for (i = 0; i < sizeof cases / sizeof *cases; i++) {
                assert_int_equal(read_patch(ground, cases[i].body), R_OK);
                assert_string_equal(mask_text(ground), cases[i].mask);
        }
        assert_int_equal(read_patch(ground, "{\"workflow\":{\"tools\":{\"x\":null}}}"), R_OK);
        assert_string_equal(ground->app->workflow->tools, "{\"x\":null}");
}

static void test_refused(void **state)
{
        /* What is not understood is refused, and the sentence names it as REST does. */
        static const struct {
                const char *body;
                const char *text;
        } cases[] = {
                {"", "Invalid JSON at byte 0: "},
                {"[]", "The body must be a JSON object."},
                {"\"a\"", "The body must be a JSON object."},
                {"{\"name\":\"a\"", "Invalid JSON at byte 11: "},
                {"{\"name\":\"a\"} x", "Invalid JSON at byte 13: "},
                {"{\"name\":\"a\",\"name\":\"b\"}", "Invalid JSON at byte "},
                {"{\"name\":\"a\",,}", "Invalid JSON at byte "},
                {"{\"nmae\":\"a\"}", "The member nmae is not known here."},
                {"{\"\\ud800\":1}", "The member ... is not known here."},
                {"{\"name\":1}", "name must be a string."},
                {"{\"name\":\"\\u0000\"}", "name must hold neither \\u0000 nor a lone surrogate."},
                {"{\"name\":\"\\udc00\"}", "name must hold neither \\u0000 nor a lone surrogate."},
                {"{\"description\":[]}", "description must be a string."},
                {"{\"id\":\"x\"}", "id is made by the server and cannot be sent."},
                {"{\"configuration\":[]}", "configuration must be an object."},
                {"{\"configuration\":{\"gpu\":1}}", "The member configuration.gpu is not known here."},
                {"{\"configuration\":{\"gpu_tier\":\"standard\"}}",
                 "configuration.gpu_tier must be one of BASIC, STANDARD or PERFORMANCE."},
                {"{\"configuration\":{\"gpu_tier\":2}}", "configuration.gpu_tier must be a string."},
                {"{\"configuration\":{\"active_workers\":\"1\"}}",
                 "configuration.active_workers must be a whole number from 0 to 1000."},
                {"{\"configuration\":{\"active_workers\":1.5}}",
                 "configuration.active_workers must be a whole number from 0 to 1000."},
                {"{\"configuration\":{\"active_workers\":4294967296}}",
                 "configuration.active_workers must be a whole number from 0 to 1000."},
                {"{\"workflow\":1}", "workflow must be an object."},
                {"{\"workflow\":{\"loras\":[]}}", "The member workflow.loras is not known here."},
                {"{\"workflow\":{\"tools\":[]}}", "workflow.tools must be an object."},
                {"{\"workflow\":{\"tools\":{\"loras\":{}}}}", "workflow.tools.loras must be an array."},
                {"{\"workflow\":{\"tools\":{\"loras\":[1]}}}", "workflow.tools.loras must hold objects."},
                {"{\"workflow\":{\"tools\":{\"loras\":[{\"version_id\":1}]}}}",
                 "The member workflow.tools.loras[0].version_id is not known here."},
                {"{\"workflow\":{\"tools\":{\"loras\":[{\"weight\":\"1\"}]}}}",
                 "workflow.tools.loras[0].weight must be a finite number."},
                {"{\"workflow\":{\"tools\":{\"loras\":[{\"weight\":1e999}]}}}",
                 "workflow.tools.loras[0].weight must be a finite number."},
                {"{\"workflow\":{\"tools\":{\"loras\":[{\"weight\":1},{}]}}}",
                 "workflow.tools.loras[1].weight is required."},
                {"{\"workflow\":{\"tools\":{\"loras\":[{\"downloadUrl\":7}]}}}",
                 "workflow.tools.loras[0].downloadUrl must be a string."},
                {"{\"workflow\":{\"tools\":{\"x\":nul}}}", "Invalid JSON at byte "},
                {"{\"jobs\":{\"a\":1,\"a\":2}}", "Invalid JSON at byte "},
        };
        struct ground *ground = *state;
        size_t i;

        for (i = 0; i < sizeof cases / sizeof *cases; i++) {
                const char *text;

                assert_int_equal(read_new(ground, cases[i].body), R_BAD_ARGUMENT);
                text = sentence(ground);
                if (strncmp(text, cases[i].text, strlen(cases[i].text)) != 0) fail_msg("%s: %s", cases[i].body, text);
        }
}

static const char *written(struct ground *ground, const Allod__V1__App *app, bool has_counters)
{
        struct json_write json;
        struct bytes text;

        json_write_init(&json, &ground->arena, 0);
        rest_app_write(&json, app, has_counters);
        assert_int_equal(json_write_finish(&json, &text), R_OK);
        return (const char *)arena_dup(&ground->arena, text).data;
}

static void test_write(void **state)
{
        /* All members, in the alphabet's order, as the contract prints them. */
        struct ground *ground = *state;
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;
        Allod__V1__JobCounts jobs = ALLOD__V1__JOB_COUNTS__INIT;
        Allod__V1__Lora lora = ALLOD__V1__LORA__INIT;
        Allod__V1__Lora *loras[] = {&lora};
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        char user[] = "u";
        char url[] = "https://m";
        char tools[] = " { \"b\" : 1.0 } ";

        time.seconds = 1735787045;
        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        workflow.model_url = url;
        jobs.in_queue = INT64_C(9007199254740993);
        app.id = app.name = app.created_by = user;
        app.created_at = app.updated_at = &time;
        app.configuration = &configuration;
        app.workflow = &workflow;
        app.jobs = &jobs;
        app.status = ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED;
        app.owner_case = ALLOD__V1__APP__OWNER_OWNER_USER_ID;
        app.owner_user_id = user;
        assert_string_equal(
                written(ground, &app, true),
                "{\"configuration\":{\"active_workers\":0,\"gpu_tier\":\"STANDARD\"},\"created_at\":\"2025-01-02T03:04:"
                "05\","
                "\"created_by\":\"u\",\"description\":\"\",\"id\":\"u\",\"jobs\":{\"completed\":0,\"failed\":0,"
                "\"in_progress\":0,\"in_queue\":9007199254740993,\"retried\":0},\"name\":\"u\",\"owner_team_id\":null,"
                "\"owner_user_id\":\"u\",\"status\":\"STOPPED\",\"updated_at\":\"2025-01-02T03:04:05\",\"workers\":{"
                "\"idle\":0,\"initializing\":0,\"ready\":0,\"running\":0,\"throttled\":0,\"unhealthy\":0},\"workflow\":"
                "{"
                "\"model_url\":\"https://m\",\"tools\":{}}}");

        app.owner_case = ALLOD__V1__APP__OWNER_OWNER_TEAM_ID;
        app.owner_team_id = user;
        app.status = ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING;
        configuration.active_workers = 2;
        configuration.location = user;
        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_PERFORMANCE;
        lora.id = lora.version_id = lora.download_url = lora.name = user;
        lora.weight = 0.75;
        workflow.loras = loras;
        workflow.n_loras = 1;
        workflow.tools = tools;
        assert_string_equal(
                written(ground, &app, false),
                "{\"configuration\":{\"active_workers\":2,\"gpu_tier\":\"PERFORMANCE\",\"location\":\"u\"},\"created_"
                "at\":"
                "\"2025-01-02T03:04:05\",\"created_by\":\"u\",\"description\":\"\",\"id\":\"u\",\"name\":\"u\","
                "\"owner_team_id\":\"u\",\"owner_user_id\":null,\"status\":\"INITIALIZING\",\"updated_at\":"
                "\"2025-01-02T03:04:05\",\"workflow\":{\"model_url\":\"https://"
                "m\",\"tools\":{\"loras\":[{\"downloadUrl\":"
                "\"u\",\"id\":\"u\",\"name\":\"u\",\"versionId\":\"u\",\"weight\":0.75}],\"b\" : 1.0}}}");
}

static void test_round_trip(void **state)
{
        /* What GET gives, PUT takes. */
        struct ground *ground = *state;
        Allod__V1__App app = ALLOD__V1__APP__INIT;

        app.owner_case = ALLOD__V1__APP__OWNER_OWNER_USER_ID;
        app.owner_user_id = app.description;
        app.configuration = NULL;
        assert_int_equal(read_new(ground, "{\"name\":\"a\",\"configuration\":{\"gpu_tier\":\"BASIC\"},\"workflow\":{"
                                          "\"model_url\":\"http://m\",\"tools\":{\"t\":{},\"loras\":[{\"id\":\"1\","
                                          "\"versionId\":\"2\",\"downloadUrl\":\"3\",\"name\":\"4\",\"weight\":5}]}}}"),
                         R_OK);
        assert_int_equal(read_patch(ground, written(ground, ground->app, true)), R_OK);
        assert_string_equal(mask_text(ground), "configuration.active_workers,configuration.gpu_tier,description,name,"
                                               "workflow.model_url,workflow.loras,workflow.tools");
}

static void test_paths(void **state)
{
        /* Faults of the engine name protobuf's fields; callers are told REST's. */
        static const struct {
                const char *path;
                const char *expected;
        } cases[] = {
                {"app.name", "name"},
                {"name", "name"},
                {"app.configuration.gpu_tier", "configuration.gpu_tier"},
                {"app.workflow.loras[0].download_url", "workflow.tools.loras[0].downloadUrl"},
                {"app.workflow.loras[12].version_id", "workflow.tools.loras[12].versionId"},
                {"app.workflow.loras[12].weight", "workflow.tools.loras[12].weight"},
                {"app.workflow.loras", "workflow.tools.loras"},
                {"app.workflow.tools", "workflow.tools"},
                {"page_size", "page_size"},
                {"", ""},
        };
        char out[FAULT_PATH_SIZE];
        char longest[FAULT_PATH_SIZE];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof *cases; i++) {
                rest_app_path(cases[i].path, out);
                assert_string_equal(out, cases[i].expected);
        }
        memset(longest, 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        memcpy(longest, "app.workflow.loras[", 19);
        rest_app_path(longest, out);
        assert_int_equal(strlen(out), FAULT_PATH_SIZE - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_published, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_all_members, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_masks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
                cmocka_unit_test(test_paths),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
