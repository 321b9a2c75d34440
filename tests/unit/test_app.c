#include "engine/app.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "tests/lib/heap.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"

WORLD_METHOD(app_create, true);
WORLD_METHOD(app_list, false);

#define STOPPED      ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
#define INITIALIZING ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING
#define RUNNING      ALLOD__V1__APP_STATUS__APP_STATUS_RUNNING
#define STANDARD     ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD

/* ---- Creating and reading ---- */

/* What is created comes back whole, on each way to read it, with the owner, the actor and the status that follow. */
static void test_create_and_get(void **state)
{
        const Allod__V1__App *app;
        struct id id = create_app(&ann.who);
        char etag[64];

        (void)state;
        app = replied_app();
        snprintf(etag, sizeof etag, "%s", app->etag);
        assert_true(etag[0] != '\0');
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        app = replied_app();
        assert_string_equal(app->id, id.text);
        assert_string_equal(app->name, "An app");
        assert_string_equal(app->description, "What it is for");
        assert_int_equal(app->configuration->gpu_tier, STANDARD);
        assert_int_equal(app->configuration->active_workers, 2);
        assert_string_equal(app->configuration->location, "eu-west");
        assert_string_equal(app->workflow->model_url, "https://example.org/model");
        assert_int_equal(app->workflow->n_loras, 2);
        assert_string_equal(app->workflow->loras[1]->id, "l1");
        assert_true(app->workflow->loras[1]->weight == -1);
        assert_string_equal(app->workflow->tools, "{\"seed\": 7, \"upscale\":{\"by\":2.0}}");
        assert_int_equal(app->status, INITIALIZING);
        assert_true(app->created_at->seconds > 0);
        assert_true(app->created_at->seconds == app->updated_at->seconds);
        assert_string_equal(app->created_by, ann.text);
        assert_int_equal(app->owner_case, ALLOD__V1__APP__OWNER_OWNER_USER_ID);
        assert_string_equal(app->owner_user_id, ann.text);
        assert_non_null(app->jobs);
        assert_non_null(app->workers);
        assert_string_equal(app->etag, etag);
}

/* A team's app says who made it and whose it is. */
static void test_team_app(void **state)
{
        char team[UUID_TEXT_LEN + 1];
        const Allod__V1__App *app;
        struct id id = create_app(&cleo_in_team);

        (void)state;
        uuid_format(ann_in_team.team, team);
        assert_int_equal(get_app(&ann_in_team, id.text), R_OK);
        app = replied_app();
        assert_int_equal(app->owner_case, ALLOD__V1__APP__OWNER_OWNER_TEAM_ID);
        assert_string_equal(app->owner_team_id, team);
        assert_string_equal(app->created_by, cleo.text);
}

/* An app of another scope is absent, in the words that name the id as given; so is an id that is no UUID. */
static void test_absent(void **state)
{
        struct id personal = create_app(&ann.who), of_team = create_app(&ann_in_team);
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        const struct {
                const struct credential *who;
                const char *id;
        } cases[] = {
                {&bob.who, personal.text},    {&ann_in_team, personal.text},
                {&ann.who, of_team.text},     {&cleo.who, personal.text},
                {&cleo.who, of_team.text},    {&ann.who, NO_ID},
                {&ann.who, "no uuid at all"}, {&ann.who, ""},
        };
        char text[128];
        size_t i;

        (void)state;
        app.name = (char *)"Mine now";
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                snprintf(text, sizeof text, "App with ID '%s' not found.", cases[i].id);
                assert_int_equal(get_app(cases[i].who, cases[i].id), R_ABSENT);
                assert_string_equal(world.fault.text, text);
                assert_int_equal(update_app(cases[i].who, cases[i].id, &app, NULL), R_ABSENT);
                assert_string_equal(world.fault.text, text);
                assert_int_equal(run_job(cases[i].who, cases[i].id, "{}"), R_ABSENT);
                assert_string_equal(world.fault.text, text);
                assert_int_equal(delete_app(cases[i].who, cases[i].id, ""), R_ABSENT);
                assert_string_equal(world.fault.text, text);
        }
        assert_int_equal(get_app(&bob_in_team, of_team.text), R_NOT_MEMBER);
        assert_int_equal(get_app(&ann.who, personal.text), R_OK);
        assert_string_equal(replied_app()->name, "An app");
}

/* An id of any length is echoed cut, between characters. */
static void test_absent_long(void **state)
{
        char id[1000];
        size_t i;

        (void)state;
        for (i = 0; i + 2 < sizeof id; i += 2)
                memcpy(id + i, "\xc3\xa9", 3);
        assert_int_equal(get_app(&ann.who, id), R_ABSENT);
        assert_int_equal(strlen(world.fault.text), strlen("App with ID '' not found.") + 48);
        assert_int_equal(get_app(&ann.who, id + 1), R_ABSENT);
        assert_string_equal(world.fault.text, "App with ID '' not found.");
}

/* The id of an app is read in either case of its digits. */
static void test_upper_case(void **state)
{
        struct id id = create_app(&ann.who);
        size_t i;

        (void)state;
        for (i = 0; id.text[i] != '\0'; i++)
                if (id.text[i] >= 'a' && id.text[i] <= 'f') id.text[i] = (char)(id.text[i] - 'a' + 'A');
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
}

/* A stored app has all fields of App but those that replies append: so appending merges nothing. */
static void test_stored_fields(void **state)
{
        static const char *const appended[] = {"id", "owner_user_id", "owner_team_id", "jobs", "workers", "etag"};
        struct id id = create_app(&ann.who);
        struct peek at = {.who = &ann.who, .row = {.kind = ROW_APP, .app = id.uuid}};
        uint32_t stored, others = 0, all = 0;
        unsigned i;

        (void)state;
        peek(&at);
        assert_int_equal(at.found, R_OK);
        stored = fields_of(at.body, at.len);
        for (i = 0; i < sizeof appended / sizeof appended[0]; i++)
                others |= field_bit(&allod__v1__app__descriptor, appended[i]);
        for (i = 0; i < allod__v1__app__descriptor.n_fields; i++)
                all |= 1u << allod__v1__app__descriptor.fields[i].id;
        assert_int_equal(stored & others, 0);
        assert_int_equal(stored | others, all);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_int_equal(fields_of(world.reply.data, world.reply.len),
                         all & ~field_bit(&allod__v1__app__descriptor, "owner_team_id"));
}

/* Each field that is wrong is named, with what is wrong with it. */
static void test_create_check(void **state)
{
        static char long_text[APP_DESCRIPTION_CHARACTERS_MAX + 2];
        char url[URL_LEN_MAX + 2] = "https://a/";
        struct sample s;

        (void)state;
        memset(long_text, 'x', sizeof long_text - 1);
        memset(url + 10, 'x', sizeof url - 11);
        url[sizeof url - 1] = '\0';
#define REFUSED(change, where, what)                                                                                   \
        sample_init(&s);                                                                                               \
        change;                                                                                                        \
        assert_int_equal(world_call(&world, &method_app_create, &ann.who, &s.create), R_BAD_ARGUMENT);                 \
        assert_complaint(where, what)

        REFUSED(s.create.app = NULL, "app", "is required");
        REFUSED(s.create.request_id = (char *)"x", "request_id", "is not supported in this version");
        REFUSED(s.app.id = (char *)NO_ID, "app.id", "cannot be chosen: the server makes it");
        REFUSED(s.app.name = (char *)"", "app.name", "is required");
        REFUSED(s.app.name = long_text, "app.name", "must be at most 200 characters long");
        REFUSED(s.app.description = long_text, "app.description", "must be at most 4000 characters long");
        REFUSED(s.app.configuration = NULL, "app.configuration.gpu_tier",
                "is required: one of BASIC, STANDARD or PERFORMANCE");
        REFUSED(s.configuration.gpu_tier = 9, "app.configuration.gpu_tier",
                "must be one of BASIC, STANDARD or PERFORMANCE");
        REFUSED(s.configuration.active_workers = -1, "app.configuration.active_workers", "must be from 0 to 1000");
        REFUSED(s.configuration.active_workers = 1001, "app.configuration.active_workers", "must be from 0 to 1000");
        REFUSED(s.configuration.location = long_text, "app.configuration.location",
                "must be at most 200 characters long");
        REFUSED(s.app.workflow = NULL, "app.workflow.model_url", "is required");
        REFUSED(s.workflow.model_url = (char *)"ftp://a/b", "app.workflow.model_url", "must be an http or https URL");
        REFUSED(s.workflow.model_url = (char *)"https:///b", "app.workflow.model_url", "must be an http or https URL");
        REFUSED(s.workflow.model_url = (char *)"https://", "app.workflow.model_url", "must be an http or https URL");
        REFUSED(s.workflow.model_url = (char *)"https://a b", "app.workflow.model_url", "must be an http or https URL");
        REFUSED(s.workflow.model_url = url, "app.workflow.model_url", "must be at most 2048 bytes long");
        REFUSED(s.loras[1].id = (char *)"", "app.workflow.loras[1].id", "is required");
        REFUSED(s.loras[1].id = (char *)"l0", "app.workflow.loras[1].id", "must not occur twice");
        REFUSED(s.loras[0].version_id = (char *)"", "app.workflow.loras[0].version_id", "is required");
        REFUSED(s.loras[0].download_url = (char *)"", "app.workflow.loras[0].download_url", "is required");
        REFUSED(s.loras[0].name = long_text, "app.workflow.loras[0].name", "must be at most 200 characters long");
        REFUSED(s.loras[1].weight = (double)NAN, "app.workflow.loras[1].weight", "must be finite");
        REFUSED(s.loras[1].weight = (double)INFINITY, "app.workflow.loras[1].weight", "must be finite");
        REFUSED(s.workflow.n_loras = APP_LORAS_MAX + 1, "app.workflow.loras", "must be at most 64");
        REFUSED(s.workflow.tools = (char *)"[1]", "app.workflow.tools", "must be a JSON object");
        REFUSED(s.workflow.tools = (char *)"{\"loras\":[]}", "app.workflow.tools",
                "must not have the member loras: LoRAs have a field of their own");
#undef REFUSED
}

/* The greatest values that are allowed are taken, and several wrong fields are told at once. */
static void test_create_bounds(void **state)
{
        char name[NAME_CHARACTERS_MAX * 4 + 1] = "";
        struct sample sample;
        size_t i;

        (void)state;
        sample_init(&sample);
        for (i = 0; i < NAME_CHARACTERS_MAX; i++)
                memcpy(name + 4 * i, "\xf0\x9f\x98\x80", 5);
        sample.app.name = name;
        sample.app.description = (char *)"";
        sample.configuration.active_workers = APP_WORKERS_MAX;
        sample.configuration.location = (char *)"";
        sample.workflow.model_url = (char *)"HTTP://x";
        sample.workflow.n_loras = 0;
        sample.workflow.tools = (char *)"";
        assert_int_equal(world_call(&world, &method_app_create, &ann.who, &sample.create), R_OK);
        assert_string_equal(replied_app()->name, name);

        sample.app.name = (char *)"";
        sample.configuration.gpu_tier = 0;
        sample.workflow.model_url = (char *)"x";
        assert_int_equal(world_call(&world, &method_app_create, &ann.who, &sample.create), R_BAD_ARGUMENT);
        assert_int_equal(world.fault.field_count, 3);
}

/* Output-only fields of a request are ignored. */
static void test_create_ignores(void **state)
{
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Allod__V1__JobCounts jobs = ALLOD__V1__JOB_COUNTS__INIT;
        const Allod__V1__App *app;
        struct sample sample;

        (void)state;
        sample_init(&sample);
        time.seconds = 1;
        jobs.failed = 7;
        sample.app.status = RUNNING;
        sample.app.created_at = &time;
        sample.app.created_by = bob.text;
        sample.app.owner_case = ALLOD__V1__APP__OWNER_OWNER_USER_ID;
        sample.app.owner_user_id = bob.text;
        sample.app.jobs = &jobs;
        sample.app.etag = (char *)"mine";
        assert_int_equal(world_call(&world, &method_app_create, &ann.who, &sample.create), R_OK);
        app = replied_app();
        assert_int_equal(app->status, INITIALIZING);
        assert_true(app->created_at->seconds > 1);
        assert_string_equal(app->created_by, ann.text);
        assert_string_equal(app->owner_user_id, ann.text);
        assert_int_equal(app->jobs->failed, 0);
        assert_string_not_equal(app->etag, "mine");
}

/* An app is two rows; one that is only validated is none. */
static void test_create_puts(void **state)
{
        uint64_t before = count_records();
        struct sample sample;
        char id[UUID_TEXT_LEN + 1];

        (void)state;
        create_app(&ann.who);
        assert_int_equal(count_records(), before + 2);
        sample_init(&sample);
        sample.create.validate_only = true;
        assert_int_equal(world_call(&world, &method_app_create, &ann.who, &sample.create), R_OK);
        uuid_format(world.id, id);
        assert_string_equal(replied_app()->id, id);
        assert_string_equal(replied_app()->etag, "");
        assert_int_equal(count_records(), before + 2);
        assert_int_equal(get_app(&ann.who, id), R_ABSENT);
}

/* What a role may not do in a team is refused with the permission's name, before the app is looked for. */
static void test_rights(void **state)
{
        struct id id = create_app(&ann_in_team);

        (void)state;
        assert_int_equal(delete_app(&cleo_in_team, id.text, ""), R_FORBIDDEN);
        assert_non_null(strstr(world.fault.text, "DELETE"));
        assert_int_equal(delete_app(&cleo_in_team, NO_ID, ""), R_FORBIDDEN);
        assert_int_equal(get_app(&cleo_in_team, id.text), R_OK);
        assert_int_equal(run_job(&cleo_in_team, id.text, "{}"), R_OK);
        assert_int_equal(delete_app(&ann_in_team, id.text, ""), R_OK);
}

/* ---- Listing ---- */

static const Allod__V1__ListAppsResponse *list(const struct credential *who, int32_t size, const char *token)
{
        Allod__V1__ListAppsRequest request = ALLOD__V1__LIST_APPS_REQUEST__INIT;

        request.page_size = size;
        request.page_token = (char *)token;
        assert_int_equal(world_call(&world, &method_app_list, who, &request), R_OK);
        return world_reply(&world, &allod__v1__list_apps_response__descriptor);
}

/* Pages show each app of the scope once, newest first, as GetApp does; the last has no token. */
static void test_list(void **state)
{
        struct id ids[5], foreign = create_app(&bob.who), of_team = create_app(&ann_in_team);
        const Allod__V1__ListAppsResponse *page;
        char token[256] = "";
        size_t seen = 0, pages = 0;
        size_t i;

        (void)state;
        for (i = 0; i < 5; i++)
                ids[i] = create_app(&ann.who);
        assert_int_equal(run_job(&ann.who, ids[2].text, "{}"), R_OK);
        do {
                page = list(&ann.who, 2, token);
                for (i = 0; i < page->n_apps; i++, seen++) {
                        assert_string_equal(page->apps[i]->id, ids[4 - seen].text);
                        assert_string_equal(page->apps[i]->owner_user_id, ann.text);
                        assert_int_equal(page->apps[i]->jobs->in_queue, seen == 2 ? 1 : 0);
                        assert_non_null(page->apps[i]->workers);
                        assert_true(page->apps[i]->etag[0] != '\0');
                }
                pages++;
                snprintf(token, sizeof token, "%s", page->next_page_token);
        } while (token[0] != '\0');
        assert_int_equal(seen, 5);
        assert_int_equal(pages, 3);
        page = list(&bob.who, 0, "");
        assert_int_equal(page->n_apps, 1);
        assert_string_equal(page->apps[0]->id, foreign.text);
        page = list(&cleo_in_team, 0, "");
        assert_int_equal(page->n_apps, 1);
        assert_string_equal(page->apps[0]->id, of_team.text);
        assert_int_equal(list(&cleo.who, 0, "")->n_apps, 0);
}

/* A token serves its own scope alone, and page sizes have bounds. */
static void test_list_refused(void **state)
{
        Allod__V1__ListAppsRequest request = ALLOD__V1__LIST_APPS_REQUEST__INIT;
        char token[256];

        (void)state;
        create_app(&ann.who);
        create_app(&ann.who);
        snprintf(token, sizeof token, "%s", list(&ann.who, 1, "")->next_page_token);
        assert_true(token[0] != '\0');
        request.page_token = token;
        assert_int_equal(world_call(&world, &method_app_list, &bob.who, &request), R_BAD_ARGUMENT);
        assert_complaint("page_token", NULL);
        assert_int_equal(world_call(&world, &method_app_list, &ann_in_team, &request), R_BAD_ARGUMENT);
        request.page_token = (char *)"x";
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_BAD_ARGUMENT);
        request.page_token = token;
        request.page_size = PAGE_ROWS_MAX + 1;
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_BAD_ARGUMENT);
        assert_complaint("page_size", NULL);
        request.page_size = -1;
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_BAD_ARGUMENT);
}

/* A page of large apps ends at 2 MiB with a token, and the next one goes on where it ended. */
static void test_list_large(void **state)
{
        char *tools = malloc(APP_TOOLS_LEN_MAX + 1);
        const Allod__V1__ListAppsResponse *page;
        struct sample sample;
        char token[256];
        size_t first;
        int i;

        (void)state;
        assert_non_null(tools);
        memset(tools, 'x', APP_TOOLS_LEN_MAX);
        memcpy(tools, "{\"a\":\"", 6);
        memcpy(tools + APP_TOOLS_LEN_MAX - 2, "\"}", 3);
        sample_init(&sample);
        sample.workflow.tools = tools;
        for (i = 0; i < 11; i++)
                assert_int_equal(world_call(&world, &method_app_create, &ann.who, &sample.create), R_OK);
        page = list(&ann.who, 0, "");
        first = page->n_apps;
        assert_true(first == 8 && world.reply.len < 3u << 20);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        page = list(&ann.who, 0, token);
        assert_int_equal(first + page->n_apps, 11);
        assert_string_equal(page->next_page_token, "");
        assert_int_equal(strlen(page->apps[0]->workflow->tools), APP_TOOLS_LEN_MAX);
        free(tools);
}
/* ---- Deleting ---- */

/* A deleted app is gone from everything at once, with its jobs and counters; others stay. */
static void test_delete(void **state)
{
        struct id id = create_app(&ann.who), other = create_app(&ann.who);

        (void)state;
        assert_int_equal(run_job(&ann.who, id.text, "{}"), R_OK);
        assert_int_equal(delete_app(&ann.who, id.text, ""), R_OK);
        assert_int_equal(world.reply.len, 0);
        assert_int_equal(get_app(&ann.who, id.text), R_ABSENT);
        assert_int_equal(run_job(&ann.who, id.text, "{}"), R_ABSENT);
        assert_int_equal(list(&ann.who, 0, "")->n_apps, 1);
        assert_int_equal(delete_app(&ann.who, id.text, ""), R_ABSENT);
        assert_int_equal(get_app(&ann.who, other.text), R_OK);
}

/* An etag must be the record's; the counters are none of it. */
static void test_delete_etag(void **state)
{
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        struct id id = create_app(&ann.who);
        char etag[64];

        (void)state;
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        snprintf(etag, sizeof etag, "%s", replied_app()->etag);
        app.name = (char *)"Changed";
        assert_int_equal(update_app(&ann.who, id.text, &app, NULL), R_OK);
        assert_int_equal(delete_app(&ann.who, id.text, etag), R_STALE);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        snprintf(etag, sizeof etag, "%s", replied_app()->etag);
        assert_int_equal(run_job(&ann.who, id.text, "{}"), R_OK);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_string_equal(replied_app()->etag, etag);
        assert_int_equal(delete_app(&ann.who, id.text, etag), R_OK);
}

/* ---- Memory ---- */

/* Whichever allocation of ours fails, a write answers R_NO_MEMORY and has written nothing, or it has all been done. */
static void test_no_memory(void **state)
{
        Allod__V1__App change = ALLOD__V1__APP__INIT;
        struct sample sample;
        unsigned long n = 0;
        struct id id;
        enum result r;

        (void)state;
        sample_init(&sample);
        do {
                uint64_t before = count_records();

                heap_fail_at(++n);
                r = world_call(&world, &method_app_create, &ann.who, &sample.create);
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
                assert_int_equal(count_records(), before + (r == R_OK ? 2 : 0));
        } while (r != R_OK);
        assert_true(n > 1);
        id.uuid = world.id;
        uuid_format(id.uuid, id.text);
        change.name = (char *)"Changed";
        n = 0;
        do {
                uint64_t before = count_records();

                heap_fail_at(++n);
                r = update_app(&ann.who, id.text, &change, NULL);
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
                assert_int_equal(count_records(), before + (r == R_OK ? 1 : 0));
        } while (r != R_OK);
        assert_true(n > 1);
}

/* Reading an app takes one allocation, the arena's first chunk, which a server keeps in a pool. */
static void test_get_heap(void **state)
{
        struct id id = create_app(&ann.who);

        (void)state;
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        heap_fail_at(0);
        assert_int_equal(get_app(&ann.who, id.text), R_OK);
        assert_int_equal(heap_count(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_create_and_get), TEST(test_team_app),      TEST(test_absent),       TEST(test_absent_long),
                TEST(test_upper_case),     TEST(test_stored_fields), TEST(test_create_check), TEST(test_create_bounds),
                TEST(test_create_ignores), TEST(test_create_puts),   TEST(test_rights),       TEST(test_list),
                TEST(test_list_refused),   TEST(test_list_large),    TEST(test_delete),       TEST(test_delete_etag),
                TEST(test_no_memory),      TEST(test_get_heap),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
