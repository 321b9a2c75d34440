#include "engine/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/message.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"

WORLD_METHOD(app_update, true);

#define STOPPED      ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
#define INITIALIZING ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING
#define RUNNING      ALLOD__V1__APP_STATUS__APP_STATUS_RUNNING
#define STANDARD     ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD

/* Without a mask the fields that are not default change, and no others. */
static void test_update_plain(void **state)
{
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        const Allod__V1__App *updated;
        struct id id = create_app(&ann.who);

        (void)state;
        app.name = (char *)"Another";
        app.workflow = &workflow;
        workflow.tools = (char *)"{\"upscale\":null,\"seed\":8 ,}";
        world.ahead_ms = 5000;
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_OK);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        updated = replied_app();
        assert_string_equal(updated->name, "Another");
        assert_string_equal(updated->description, "What it is for");
        assert_int_equal(updated->configuration->active_workers, 2);
        assert_string_equal(updated->workflow->model_url, "https://example.org/model");
        assert_int_equal(updated->workflow->n_loras, 2);
        assert_string_equal(updated->workflow->tools, "{\"seed\":8}");
        assert_string_equal(updated->owner_user_id, ann.text);
        assert_true(updated->updated_at->seconds >= updated->created_at->seconds + 5);
}

/* With a mask just its fields change; to name one is to be able to clear it. */
static void test_update_mask(void **state)
{
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        const Allod__V1__App *updated;
        struct id id = create_app(&ann.who);

        (void)state;
        app.name = (char *)"Not named";
        assert_int_equal(update_app(&ann.who, id.text, &app,
                                    MASK("description", "configuration.active_workers", "workflow.tools")),
                         R_OK);
        updated = replied_app();
        assert_string_equal(updated->name, "An app");
        assert_string_equal(updated->description, "");
        assert_int_equal(updated->configuration->active_workers, 0);
        assert_int_equal(updated->status, STOPPED);
        assert_string_equal(updated->workflow->tools, "");
        assert_int_equal(updated->configuration->gpu_tier, STANDARD);

        assert_int_equal(update_app(&ann.who, id.text, &app, MASK("workflow")), R_BAD_ARGUMENT);
        assert_complaint("app.workflow.model_url", "is required");
        assert_int_equal(update_app(&ann.who, id.text, &app, MASK("configuration.nothing")), R_BAD_ARGUMENT);
        assert_complaint("update_mask", NULL);
        app.name = (char *)"";
        assert_int_equal(update_app(&ann.who, id.text, &app, MASK("name")), R_BAD_ARGUMENT);
        assert_complaint("app.name", "is required");
}

/* What a client gets it may send back changed, output-only fields and all. */
static void test_update_round_trip(void **state)
{
        struct id id = create_app(&ann.who);
        ProtobufCMessage *copy;
        Allod__V1__App *app;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, 1 << 20);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_int_equal(message_unpack(&arena, &allod__v1__app__descriptor, message_so_far(&world.reply), &copy),
                         R_OK);
        app = (Allod__V1__App *)copy;
        app->name = (char *)"Renamed";
        app->status = STOPPED;
        app->created_by = bob.text;
        assert_int_equal(update_app(&ann.who, id.text, app, NULL), R_OK);
        assert_string_equal(replied_app()->name, "Renamed");
        assert_int_equal(replied_app()->status, INITIALIZING);
        assert_string_equal(replied_app()->created_by, ann.text);
        assert_int_equal(update_app(&ann.who, id.text, app, NULL), R_STALE);
        app->etag = (char *)"";
        assert_int_equal(update_app(&ann.who, id.text, app, MASK("name", "status", "id", "etag", "jobs")), R_OK);
        arena_fini(&arena);
}

/* Fields that cannot change are accepted as they are and refused otherwise; nothing is written then. */
static void test_update_immutable(void **state)
{
        struct id id = create_app(&ann.who);
        struct sample s;

        (void)state;
        sample_init(&s);
        assert_int_equal(update_app(&ann.who, id.text, &s.app, NULL), R_OK);
#define REFUSED(change, where, what)                                                                                   \
        sample_init(&s);                                                                                               \
        s.app.name = (char *)"Changed";                                                                                \
        change;                                                                                                        \
        assert_int_equal(update_app(&ann.who, id.text, &s.app, NULL), R_BAD_ARGUMENT);                                 \
        assert_complaint(where, what)

        REFUSED(s.configuration.gpu_tier = 1, "app.configuration.gpu_tier", "cannot change after creation");
        REFUSED(s.configuration.location = (char *)"us", "app.configuration.location", "cannot change after creation");
        REFUSED(s.loras[1].version_id = (char *)"v2", "app.workflow.loras[1].version_id",
                "cannot change after creation; only the weight can");
        REFUSED(s.loras[0].download_url = (char *)"x", "app.workflow.loras[0].download_url",
                "cannot change after creation; only the weight can");
        REFUSED(s.loras[0].name = (char *)"x", "app.workflow.loras[0].name",
                "cannot change after creation; only the weight can");
        REFUSED(s.loras[1].id = (char *)"l2", "app.workflow.loras[1].id",
                "is not a LoRA of the app: none can be added after creation");
        REFUSED(s.workflow.n_loras = 1, "app.workflow.loras",
                "must name each LoRA of the app: none can be added or removed after creation");
#undef REFUSED
        sample_init(&s);
        s.app.id = id.text;
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("configuration.location")), R_OK);
        s.configuration.location = (char *)"";
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("configuration.location")), R_BAD_ARGUMENT);
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.loras", "name")), R_OK);
        s.workflow.n_loras = 0;
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.loras")), R_BAD_ARGUMENT);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_string_equal(replied_app()->name, "An app");
}

/* Weights change, in whatever order the LoRAs are named; their own order stays. */
static void test_update_weights(void **state)
{
        const Allod__V1__Workflow *workflow;
        struct id id = create_app(&ann.who);
        struct sample s;

        (void)state;
        sample_init(&s);
        s.lora_list[0] = &s.loras[1];
        s.lora_list[1] = &s.loras[0];
        s.loras[0].weight = 3;
        s.loras[1].weight = 0;
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.loras")), R_OK);
        workflow = replied_app()->workflow;
        assert_string_equal(workflow->loras[0]->id, "l0");
        assert_true(workflow->loras[0]->weight == 3);
        assert_true(workflow->loras[1]->weight == 0);
}

/* Tools grow by merging up to their bounds and no further. */
static void test_update_tools_bounds(void **state)
{
        char *tools = malloc(APP_TOOLS_LEN_MAX + 1);
        struct id id = create_app(&ann.who);
        struct sample s;

        (void)state;
        assert_non_null(tools);
        memset(tools, 'x', APP_TOOLS_LEN_MAX);
        memcpy(tools, "{\"a\":\"", 6);
        memcpy(tools + APP_TOOLS_LEN_MAX - 2, "\"}", 3);
        sample_init(&s);
        s.workflow.tools = tools;
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.tools")), R_BAD_ARGUMENT);
        assert_complaint("app.workflow.tools", "would be more than 262144 bytes long");
        s.workflow.tools = (char *)"{\"seed\":null,\"upscale\":null}";
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.tools")), R_OK);
        s.workflow.tools = tools;
        assert_int_equal(update_app(&ann.who, id.text, &s.app, MASK("workflow.tools")), R_OK);
        free(tools);
}

/* Workers: from 0 it initializes, to 0 it stops at once, between other numbers its status stays. */
static void test_status(void **state)
{
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_APP}};
        struct id id = create_app(&ann.who);
        ProtobufCMessage *stored;
        struct message body;
        struct arena arena;

        (void)state;
        app.configuration = &configuration;
        assert_int_equal(update_app(&ann.who, id.text, &app, MASK("configuration.active_workers")), R_OK);
        assert_int_equal(replied_app()->status, STOPPED);
        configuration.active_workers = 3;
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_OK);
        assert_int_equal(replied_app()->status, INITIALIZING);

        /* A worker reports that it is ready. */
        at.row.app = id.uuid;
        peek(&at);
        arena_init(&arena, NULL, 1 << 20);
        assert_int_equal(message_unpack(&arena, &allod__v1__app__descriptor, bytes_of(at.body, at.len), &stored), R_OK);
        ((Allod__V1__App *)stored)->status = RUNNING;
        message_init(&body, &arena, 0);
        message_pack(&body, stored);
        poke(&at, message_so_far(&body));
        arena_fini(&arena);

        configuration.active_workers = 4;
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_OK);
        assert_int_equal(replied_app()->status, RUNNING);
        configuration.active_workers = 0;
        assert_int_equal(update_app(&ann.who, id.text, &app, MASK("configuration.active_workers")), R_OK);
        assert_int_equal(replied_app()->status, STOPPED);
}

/* Validating alone shows what would be, and writes nothing. */
static void test_update_validate_only(void **state)
{
        Allod__V1__UpdateAppRequest request = ALLOD__V1__UPDATE_APP_REQUEST__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        struct id id = create_app(&ann.who);
        uint64_t before = count_records();
        char etag[64];

        (void)state;
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        snprintf(etag, sizeof etag, "%s", replied_app()->etag);
        app.id = id.text;
        app.name = (char *)"Would be";
        request.app = &app;
        request.validate_only = true;
        assert_int_equal(world_call(&world, &method_app_update, &ann.who, &request), R_OK);
        assert_string_equal(replied_app()->name, "Would be");
        assert_string_equal(replied_app()->etag, etag);
        assert_int_equal(count_records(), before);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_string_equal(replied_app()->name, "An app");
}

static bool has_text(const struct peek *at, const char *text)
{
        return memmem(at->body, at->len, text, strlen(text)) != NULL;
}

/* Fields of a stored record that this version does not know survive an update, at every depth. */
static void test_unknown_fields(void **state)
{
        struct id id = create_app(&ann.who);
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_APP, .app = id.uuid}};
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        struct message body;
        struct arena arena;
        size_t mark;

        (void)state;
        arena_init(&arena, NULL, 1 << 20);
        message_init(&body, &arena, 0);
        message_bytes(&body, 2, BYTES("An app"));
        mark = message_begin(&body, 4);
        message_uint(&body, 1, STANDARD);
        message_bytes(&body, 60, BYTES("kept in configuration"));
        message_end(&body, mark);
        mark = message_begin(&body, 5);
        message_bytes(&body, 1, BYTES("https://example.org/model"));
        message_bytes(&body, 61, BYTES("kept in workflow"));
        message_end(&body, mark);
        message_uint(&body, 6, STOPPED);
        message_bytes(&body, 62, BYTES("kept at the top"));
        poke(&at, message_so_far(&body));
        arena_fini(&arena);

        app.description = (char *)"Newly described";
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_OK);
        peek(&at);
        assert_true(has_text(&at, "Newly described"));
        assert_true(has_text(&at, "kept in configuration"));
        assert_true(has_text(&at, "kept in workflow"));
        assert_true(has_text(&at, "kept at the top"));
}

/* A record that does not parse, or lacks what each app has, is corrupt to an update. */
static void test_corrupt(void **state)
{
        struct id id = create_app(&ann.who);
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_APP, .app = id.uuid}};
        Allod__V1__App app = ALLOD__V1__APP__INIT;

        (void)state;
        app.name = (char *)"Named";
        poke(&at, BYTES("\x12\x7f"));
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_CORRUPT);
        poke(&at, BYTES("\x12\x01x"));
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_CORRUPT);
        assert_int_equal(delete_app(&ann.who, id.text, ""), R_OK);
}
int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_update_plain),     TEST(test_update_mask),          TEST(test_update_round_trip),
                TEST(test_update_immutable), TEST(test_update_weights),       TEST(test_update_tools_bounds),
                TEST(test_status),           TEST(test_update_validate_only), TEST(test_unknown_fields),
                TEST(test_corrupt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
