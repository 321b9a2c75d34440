/*
 * The role matrix of the contract: every role, every method, every setting, and what a stranger gets. The table below
 * is written from the contract and shares nothing with the engine's own.
 */
#include <string.h>

#include "engine/app.h"
#include "engine/job.h"
#include "engine/team.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(team_get, false);
WORLD_METHOD(team_update, true);
WORLD_METHOD(team_delete, true);
WORLD_METHOD(team_list_members, false);
WORLD_METHOD(team_update_member, true);
WORLD_METHOD(team_remove_member, true);
WORLD_METHOD(team_leave, true);
WORLD_METHOD(team_invite_member, true);
WORLD_METHOD(app_create, true);
WORLD_METHOD(app_get, false);
WORLD_METHOD(app_list, false);
WORLD_METHOD(app_update, true);
WORLD_METHOD(app_delete, true);
WORLD_METHOD(job_run, true);
WORLD_METHOD(job_get, false);
WORLD_METHOD(job_list, false);
WORLD_METHOD(job_cancel, true);

#define OWNER  ALLOD__V1__ROLE__ROLE_OWNER
#define ADMIN  ALLOD__V1__ROLE__ROLE_ADMIN
#define MEMBER ALLOD__V1__ROLE__ROLE_MEMBER

/* Those who call, and those whom it is done to. */
static struct world world;
static struct person owner, admin, member, stranger;
static struct person other_owner, other_admin, other_member, outsider;

/* What the next calls name: a team, and an app and a job in the scope that they act in. */
static struct place {
        char team[UUID_TEXT_LEN + 1];
        char app[UUID_TEXT_LEN + 1];
        char job[UUID_TEXT_LEN + 1];
} here;

/* ---- Calls: none leaves anything behind ---- */

static enum result get_team(const struct credential *who)
{
        Allod__V1__GetTeamRequest request = ALLOD__V1__GET_TEAM_REQUEST__INIT;

        request.id = here.team;
        return world_try(&world, &method_team_get, who, &request);
}

static enum result update_team(const struct credential *who)
{
        Allod__V1__UpdateTeamRequest request = ALLOD__V1__UPDATE_TEAM_REQUEST__INIT;
        Allod__V1__Team team = ALLOD__V1__TEAM__INIT;

        team.id = here.team;
        team.name = (char *)"Renamed";
        request.team = &team;
        return world_try(&world, &method_team_update, who, &request);
}

static enum result delete_team(const struct credential *who)
{
        Allod__V1__DeleteTeamRequest request = ALLOD__V1__DELETE_TEAM_REQUEST__INIT;

        request.id = here.team;
        return world_try(&world, &method_team_delete, who, &request);
}

static enum result list_members(const struct credential *who)
{
        Allod__V1__ListMembersRequest request = ALLOD__V1__LIST_MEMBERS_REQUEST__INIT;

        request.team_id = here.team;
        return world_try(&world, &method_team_list_members, who, &request);
}

static enum result set_role(const struct credential *who, const struct person *person, Allod__V1__Role role)
{
        Allod__V1__UpdateMemberRequest request = ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT;

        request.team_id = here.team;
        request.user_id = (char *)person->text;
        request.role = role;
        return world_try(&world, &method_team_update_member, who, &request);
}

static enum result promote_member_to_admin(const struct credential *who)
{
        return set_role(who, &other_member, ADMIN);
}

static enum result promote_member_to_owner(const struct credential *who)
{
        return set_role(who, &other_member, OWNER);
}

static enum result promote_admin_to_owner(const struct credential *who)
{
        return set_role(who, &other_admin, OWNER);
}

static enum result demote_admin(const struct credential *who)
{
        return set_role(who, &other_admin, MEMBER);
}

static enum result demote_owner(const struct credential *who)
{
        return set_role(who, &other_owner, ADMIN);
}

static enum result keep_owner(const struct credential *who)
{
        return set_role(who, &other_owner, OWNER);
}

static enum result remove_person(const struct credential *who, const struct person *person)
{
        Allod__V1__RemoveMemberRequest request = ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT;

        request.team_id = here.team;
        request.user_id = (char *)person->text;
        return world_try(&world, &method_team_remove_member, who, &request);
}

static enum result remove_member(const struct credential *who)
{
        return remove_person(who, &other_member);
}

static enum result remove_admin(const struct credential *who)
{
        return remove_person(who, &other_admin);
}

static enum result remove_owner(const struct credential *who)
{
        return remove_person(who, &other_owner);
}

static enum result leave(const struct credential *who)
{
        Allod__V1__LeaveTeamRequest request = ALLOD__V1__LEAVE_TEAM_REQUEST__INIT;

        request.team_id = here.team;
        return world_try(&world, &method_team_leave, who, &request);
}

static enum result invite(const struct credential *who, Allod__V1__Role role)
{
        Allod__V1__InviteMemberRequest request = ALLOD__V1__INVITE_MEMBER_REQUEST__INIT;

        request.team_id = here.team;
        request.user_id = outsider.text;
        request.role = role;
        return world_try(&world, &method_team_invite_member, who, &request);
}

static enum result invite_member(const struct credential *who)
{
        return invite(who, MEMBER);
}

static enum result invite_admin(const struct credential *who)
{
        return invite(who, ADMIN);
}

static enum result invite_owner(const struct credential *who)
{
        return invite(who, OWNER);
}

/* A good request to create an app. It points into itself. */
struct new_app {
        Allod__V1__CreateAppRequest request;
        Allod__V1__App app;
        Allod__V1__Configuration configuration;
        Allod__V1__Workflow workflow;
};

static void new_app_init(struct new_app *new_app)
{
        *new_app = (struct new_app){
                .request = ALLOD__V1__CREATE_APP_REQUEST__INIT,
                .app = ALLOD__V1__APP__INIT,
                .configuration = ALLOD__V1__CONFIGURATION__INIT,
                .workflow = ALLOD__V1__WORKFLOW__INIT,
        };
        new_app->request.app = &new_app->app;
        new_app->app.name = (char *)"App";
        new_app->app.configuration = &new_app->configuration;
        new_app->app.workflow = &new_app->workflow;
        new_app->configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        new_app->workflow.model_url = (char *)"https://huggingface.co/example-model";
}

static enum result create_app(const struct credential *who)
{
        struct new_app new_app;

        new_app_init(&new_app);
        return world_try(&world, &method_app_create, who, &new_app.request);
}

static enum result get_app(const struct credential *who)
{
        Allod__V1__GetAppRequest request = ALLOD__V1__GET_APP_REQUEST__INIT;

        request.id = here.app;
        return world_try(&world, &method_app_get, who, &request);
}

static enum result list_apps(const struct credential *who)
{
        Allod__V1__ListAppsRequest request = ALLOD__V1__LIST_APPS_REQUEST__INIT;

        return world_try(&world, &method_app_list, who, &request);
}

static enum result update_app(const struct credential *who)
{
        Allod__V1__UpdateAppRequest request = ALLOD__V1__UPDATE_APP_REQUEST__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;

        app.id = here.app;
        app.name = (char *)"Renamed";
        request.app = &app;
        return world_try(&world, &method_app_update, who, &request);
}

static enum result delete_app(const struct credential *who)
{
        Allod__V1__DeleteAppRequest request = ALLOD__V1__DELETE_APP_REQUEST__INIT;

        request.id = here.app;
        return world_try(&world, &method_app_delete, who, &request);
}

static enum result run_job(const struct credential *who)
{
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;

        request.app_id = here.app;
        request.input = (char *)"{}";
        return world_try(&world, &method_job_run, who, &request);
}

static enum result get_job(const struct credential *who)
{
        Allod__V1__GetJobRequest request = ALLOD__V1__GET_JOB_REQUEST__INIT;

        request.id = here.job;
        request.app_id = here.app;
        return world_try(&world, &method_job_get, who, &request);
}

static enum result list_jobs(const struct credential *who)
{
        Allod__V1__ListJobsRequest request = ALLOD__V1__LIST_JOBS_REQUEST__INIT;

        request.app_id = here.app;
        return world_try(&world, &method_job_list, who, &request);
}

static enum result cancel_job(const struct credential *who)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        request.id = here.job;
        request.app_id = here.app;
        return world_try(&world, &method_job_cancel, who, &request);
}

/* ---- The matrix ---- */

/* What OWNER, ADMIN and MEMBER may do: y always, n never, a letter of `setting_letters` by that setting. */
static const char setting_letters[] = "cerds";

static const struct {
        const char *name;
        enum result (*call)(const struct credential *who);
        char allowed[4];
} matrix[] = {
        {"get team", get_team, "yyy"},
        {"list members", list_members, "yyy"},
        {"leave", leave, "yyy"},
        {"update team", update_team, "yyn"},
        {"delete team", delete_team, "ynn"},
        {"promote a MEMBER to ADMIN", promote_member_to_admin, "yyn"},
        {"promote a MEMBER to OWNER", promote_member_to_owner, "ynn"},
        {"promote an ADMIN to OWNER", promote_admin_to_owner, "ynn"},
        {"demote an ADMIN", demote_admin, "yyn"},
        {"demote an OWNER", demote_owner, "ynn"},
        {"name an OWNER again", keep_owner, "ynn"},
        {"remove a MEMBER", remove_member, "yyn"},
        {"remove an ADMIN", remove_admin, "yyn"},
        {"remove an OWNER", remove_owner, "ynn"},
        {"invite a MEMBER", invite_member, "yyn"},
        {"invite an ADMIN", invite_admin, "yyn"},
        {"invite an OWNER", invite_owner, "ynn"},
        {"get app", get_app, "yyy"},
        {"list apps", list_apps, "yyy"},
        {"get job", get_job, "yyy"},
        {"list jobs", list_jobs, "yyy"},
        {"create app", create_app, "yyc"},
        {"update app", update_app, "yye"},
        {"delete app", delete_app, "yyd"},
        {"run job", run_job, "yyr"},
        {"cancel job", cancel_job, "yyr"},
};

#define MATRIX_COUNT  (sizeof matrix / sizeof matrix[0])
#define SETTING_COUNT 5
#define FIRST_OF_APPS 17 /* before it, what names the team; from it on, what acts in a scope */

/* ---- The place ---- */

static void make_app_and_job(const struct credential *who)
{
        struct new_app new_app;
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;

        new_app_init(&new_app);
        assert_int_equal(world_call(&world, &method_app_create, who, &new_app.request), R_OK);
        uuid_format(world.id, here.app);
        request.app_id = here.app;
        request.input = (char *)"{}";
        assert_int_equal(world_call(&world, &method_job_run, who, &request), R_OK);
        uuid_format(world.id, here.job);
}

static int set_up(void **state)
{
        struct person *people[] = {&owner,       &admin,       &member,       &stranger,
                                   &other_owner, &other_admin, &other_member, &outsider};
        static struct uuid team;
        struct credential in_team;
        size_t i;

        world_open(&world);
        for (i = 0; i < sizeof people / sizeof people[0]; i++)
                world_add_person(&world, people[i]);
        team = world_add_team(&world, &owner);
        world_add_member(&world, team, &admin, ADMIN);
        world_add_member(&world, team, &member, MEMBER);
        world_add_member(&world, team, &other_owner, OWNER);
        world_add_member(&world, team, &other_admin, ADMIN);
        world_add_member(&world, team, &other_member, MEMBER);
        uuid_format(team, here.team);
        in_team = world_in_team(&owner.who, team);
        make_app_and_job(&in_team);
        *state = &team;
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_close(&world);
        return 0;
}

/* Settings as a mask, bit i for letter i. */
static void set_settings(const struct credential *who, unsigned mask)
{
        Allod__V1__UpdateTeamRequest request = ALLOD__V1__UPDATE_TEAM_REQUEST__INIT;
        Allod__V1__Team team = ALLOD__V1__TEAM__INIT;
        Allod__V1__TeamSettings settings = ALLOD__V1__TEAM_SETTINGS__INIT;
        Google__Protobuf__FieldMask fields = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        char *path = (char *)"settings";

        settings.member_can_create = mask & 1;
        settings.member_can_edit = mask >> 1 & 1;
        settings.member_can_run = mask >> 2 & 1;
        settings.member_can_delete = mask >> 3 & 1;
        settings.member_can_share = mask >> 4 & 1;
        team.id = here.team;
        team.settings = &settings;
        fields.n_paths = 1;
        fields.paths = &path;
        request.team = &team;
        request.update_mask = &fields;
        assert_int_equal(world_call(&world, &method_team_update, who, &request), R_OK);
}

static bool is_allowed(char letter, unsigned settings)
{
        if (letter == 'y') return true;
        if (letter == 'n') return false;
        return settings >> (strchr(setting_letters, letter) - setting_letters) & 1;
}

/* ---- Tests ---- */

/* Every role may do with every method under every setting what the contract says, and nothing else; who may not is told
 * which permission is missing. */
static void test_roles(void **state)
{
        const struct uuid *team = *state;
        const struct person *people[] = {&owner, &admin, &member};
        unsigned settings;
        size_t i, role;

        for (settings = 0; settings < 1u << SETTING_COUNT; settings++) {
                set_settings(&owner.who, settings);
                for (i = 0; i < MATRIX_COUNT; i++) {
                        for (role = 0; role < 3; role++) {
                                struct credential who = world_in_team(&people[role]->who, *team);
                                bool allowed = is_allowed(matrix[i].allowed[role], settings);
                                enum result r = matrix[i].call(&who);

                                if (r != (allowed ? R_OK : R_FORBIDDEN))
                                        fail_msg("%s, role %zu, settings %#x: %s", matrix[i].name, role + 1, settings,
                                                 result_name(r));
                                if (!allowed) assert_non_null(strstr(world.fault.text, "permission"));
                        }
                }
        }
}

/* A stranger gets one answer from every method under every setting, the same as for a team that is none, with the same
 * words. */
static void test_strangers(void **state)
{
        const struct uuid *team = *state;
        struct credential in_team = world_in_team(&stranger.who, *team);
        struct uuid none = uuid_v7(1);
        struct credential in_none = world_in_team(&stranger.who, none);
        struct place real = here, nowhere = here;
        size_t i;

        uuid_format(none, nowhere.team);
        set_settings(&owner.who, (1u << SETTING_COUNT) - 1);
        for (i = 0; i < MATRIX_COUNT; i++) {
                struct fault fault;

                assert_int_equal(matrix[i].call(&in_team), R_NOT_MEMBER);
                fault = world.fault;
                here = nowhere;
                assert_int_equal(matrix[i].call(&in_none), R_NOT_MEMBER);
                here = real;
                assert_string_equal(world.fault.text, fault.text);
                assert_int_equal(world.fault.field_count, fault.field_count);
        }
}

/* What a team owns is absent in the personal scope of its own OWNER, and what a user owns is absent in the team. */
static void test_scopes_do_not_mix(void **state)
{
        const struct uuid *team = *state;
        struct credential in_team = world_in_team(&owner.who, *team);
        size_t i;

        for (i = FIRST_OF_APPS; i < MATRIX_COUNT; i++) {
                if (matrix[i].call == create_app || matrix[i].call == list_apps) continue;
                assert_int_equal(matrix[i].call(&owner.who), R_ABSENT);
                assert_int_equal(matrix[i].call(&stranger.who), R_ABSENT);
        }
        make_app_and_job(&owner.who);
        for (i = FIRST_OF_APPS; i < MATRIX_COUNT; i++) {
                assert_int_equal(matrix[i].call(&owner.who), R_OK);
                if (matrix[i].call == create_app || matrix[i].call == list_apps) continue;
                assert_int_equal(matrix[i].call(&in_team), R_ABSENT);
                assert_int_equal(matrix[i].call(&stranger.who), R_ABSENT);
        }
}

#define MATRIX_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                MATRIX_TEST(test_roles),
                MATRIX_TEST(test_strangers),
                MATRIX_TEST(test_scopes_do_not_mix),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
