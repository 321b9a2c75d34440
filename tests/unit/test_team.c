#include "engine/team.h"

#include <string.h>

#include "engine/admin.h"
#include "engine/limits.h"
#include "engine/profile.h"
#include "engine/scope.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(team_create, true);
WORLD_METHOD(team_get, false);
WORLD_METHOD(team_list, false);
WORLD_METHOD(team_update, true);
WORLD_METHOD(team_delete, true);
WORLD_METHOD(team_list_members, false);
WORLD_METHOD(team_update_member, true);
WORLD_METHOD(team_remove_member, true);
WORLD_METHOD(team_leave, true);

#define OWNER  ALLOD__V1__ROLE__ROLE_OWNER
#define ADMIN  ALLOD__V1__ROLE__ROLE_ADMIN
#define MEMBER ALLOD__V1__ROLE__ROLE_MEMBER

/* Two tenants who have nothing to do with each other unless a test says so, and a third person. */
static struct world world;
static struct person ann, bob, cleo;

static int set_up(void **state)
{
        (void)state;
        world_open(&world);
        world_add_person(&world, &ann);
        world_add_person(&world, &bob);
        world_add_person(&world, &cleo);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_close(&world);
        return 0;
}

/* ---- Calls ---- */

static void text_of(struct uuid id, char text[UUID_TEXT_LEN + 1])
{
        uuid_format(id, text);
}

static enum result get(const struct credential *who, struct uuid team)
{
        Allod__V1__GetTeamRequest request = ALLOD__V1__GET_TEAM_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.id = text;
        return world_call(&world, &method_team_get, who, &request);
}

static const Allod__V1__Team *got_team(void)
{
        return world_reply(&world, &allod__v1__team__descriptor);
}

static enum result set_role(const struct credential *who, struct uuid team, const struct person *person,
                            Allod__V1__Role role)
{
        Allod__V1__UpdateMemberRequest request = ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.team_id = text;
        request.user_id = (char *)person->text;
        request.role = role;
        return world_call(&world, &method_team_update_member, who, &request);
}

static enum result remove_member(const struct credential *who, struct uuid team, const struct person *person)
{
        Allod__V1__RemoveMemberRequest request = ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.team_id = text;
        request.user_id = (char *)person->text;
        return world_call(&world, &method_team_remove_member, who, &request);
}

static enum result leave(const struct credential *who, struct uuid team)
{
        Allod__V1__LeaveTeamRequest request = ALLOD__V1__LEAVE_TEAM_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.team_id = text;
        return world_call(&world, &method_team_leave, who, &request);
}

static enum result delete_team(const struct credential *who, struct uuid team, const char *etag)
{
        Allod__V1__DeleteTeamRequest request = ALLOD__V1__DELETE_TEAM_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.id = text;
        request.etag = (char *)etag;
        return world_call(&world, &method_team_delete, who, &request);
}

static const Allod__V1__ListTeamsResponse *list(const struct credential *who, int32_t page_size, const char *token)
{
        Allod__V1__ListTeamsRequest request = ALLOD__V1__LIST_TEAMS_REQUEST__INIT;

        request.page_size = page_size;
        request.page_token = (char *)token;
        assert_int_equal(world_call(&world, &method_team_list, who, &request), R_OK);
        return world_reply(&world, &allod__v1__list_teams_response__descriptor);
}

static enum result list_members(const struct credential *who, struct uuid team, int32_t page_size, const char *token)
{
        Allod__V1__ListMembersRequest request = ALLOD__V1__LIST_MEMBERS_REQUEST__INIT;
        char text[UUID_TEXT_LEN + 1];

        text_of(team, text);
        request.team_id = text;
        request.page_size = page_size;
        request.page_token = (char *)token;
        return world_call(&world, &method_team_list_members, who, &request);
}

static const Allod__V1__ListMembersResponse *got_members(void)
{
        return world_reply(&world, &allod__v1__list_members_response__descriptor);
}

/* ---- Fields ---- */

/* What must be refused before any look-up, and under which path. */
struct bad_field {
        const struct world_method *method;
        const void *request;
        const char *path;
};

static void check_refused(const struct bad_field *cases, size_t count)
{
        size_t i;

        for (i = 0; i < count; i++) {
                struct fault fault = {0};

                assert_int_equal(cases[i].method->check(cases[i].request, &fault), R_BAD_ARGUMENT);
                if (fault.field_count != 1 || strcmp(fault.fields[0].path, cases[i].path) != 0)
                        fail_msg("%s, case %zu: %zu complaints, the first about \"%s\" and not \"%s\"",
                                 cases[i].method->name, i, fault.field_count, fault.fields[0].path, cases[i].path);
        }
}

#define ID    ((char *)"123e4567-e89b-12d3-a456-426614174000")
#define NO_ID ((char *)"123e4567")

/* Each field of each request is checked by itself, and named by its path from the request. */
static void test_fields_of_teams(void **state)
{
        Allod__V1__Team no_name = ALLOD__V1__TEAM__INIT, no_id = ALLOD__V1__TEAM__INIT, good = ALLOD__V1__TEAM__INIT;
        Allod__V1__CreateTeamRequest create[2] = {ALLOD__V1__CREATE_TEAM_REQUEST__INIT,
                                                  ALLOD__V1__CREATE_TEAM_REQUEST__INIT};
        Allod__V1__UpdateTeamRequest update[4] = {
                ALLOD__V1__UPDATE_TEAM_REQUEST__INIT, ALLOD__V1__UPDATE_TEAM_REQUEST__INIT,
                ALLOD__V1__UPDATE_TEAM_REQUEST__INIT, ALLOD__V1__UPDATE_TEAM_REQUEST__INIT};
        Allod__V1__GetTeamRequest read[2] = {ALLOD__V1__GET_TEAM_REQUEST__INIT, ALLOD__V1__GET_TEAM_REQUEST__INIT};
        Allod__V1__DeleteTeamRequest delete = ALLOD__V1__DELETE_TEAM_REQUEST__INIT;
        Allod__V1__ListTeamsRequest pages[2] = {ALLOD__V1__LIST_TEAMS_REQUEST__INIT,
                                                ALLOD__V1__LIST_TEAMS_REQUEST__INIT};
        Google__Protobuf__FieldMask name = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        Google__Protobuf__FieldMask etag = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        char *name_path = (char *)"name", *etag_path = (char *)"etag";
        const struct bad_field cases[] = {
                {&method_team_create, &create[0], "team"},
                {&method_team_create, &create[1], "team.name"},
                {&method_team_get, &read[0], "id"},
                {&method_team_get, &read[1], "id"},
                {&method_team_update, &update[0], "team"},
                {&method_team_update, &update[1], "team.id"},
                {&method_team_update, &update[2], "team.name"},
                {&method_team_update, &update[3], "update_mask"},
                {&method_team_delete, &delete, "id"},
                {&method_team_list, &pages[0], "page_size"},
                {&method_team_list, &pages[1], "page_size"},
        };

        (void)state;
        no_name.id = good.id = ID;
        good.name = (char *)"Team";
        create[1].team = &no_name;
        read[1].id = NO_ID;
        update[1].team = &no_id;
        update[2].team = &no_name;
        update[2].update_mask = &name;
        update[3].team = &good;
        update[3].update_mask = &etag;
        name.n_paths = etag.n_paths = 1;
        name.paths = &name_path;
        etag.paths = &etag_path;
        pages[0].page_size = -1;
        pages[1].page_size = PAGE_ROWS_MAX + 1;
        check_refused(cases, sizeof cases / sizeof cases[0]);
}

/* The same, of what names members. */
static void test_fields_of_members(void **state)
{
        Allod__V1__ListMembersRequest pages[2] = {ALLOD__V1__LIST_MEMBERS_REQUEST__INIT,
                                                  ALLOD__V1__LIST_MEMBERS_REQUEST__INIT};
        Allod__V1__UpdateMemberRequest update[3] = {ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT,
                                                    ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT,
                                                    ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT};
        Allod__V1__RemoveMemberRequest take[2] = {ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT,
                                                  ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT};
        Allod__V1__LeaveTeamRequest leaving = ALLOD__V1__LEAVE_TEAM_REQUEST__INIT;
        const struct bad_field cases[] = {
                {&method_team_list_members, &pages[0], "team_id"},
                {&method_team_list_members, &pages[1], "page_size"},
                {&method_team_update_member, &update[0], "team_id"},
                {&method_team_update_member, &update[1], "user_id"},
                {&method_team_update_member, &update[2], "role"},
                {&method_team_remove_member, &take[0], "team_id"},
                {&method_team_remove_member, &take[1], "user_id"},
                {&method_team_leave, &leaving, "team_id"},
        };

        (void)state;
        pages[0].team_id = NO_ID;
        pages[1].team_id = ID;
        pages[1].page_size = PAGE_ROWS_MAX + 1;
        update[0].user_id = update[1].team_id = update[2].team_id = update[2].user_id = ID;
        update[0].team_id = update[1].user_id = NO_ID;
        update[0].role = update[1].role = MEMBER;
        update[2].role = (Allod__V1__Role)4;
        take[0].user_id = take[1].team_id = ID;
        take[0].team_id = take[1].user_id = NO_ID;
        leaving.team_id = NO_ID;
        check_refused(cases, sizeof cases / sizeof cases[0]);
}

/* ---- Teams ---- */

/* A new team has its creator as the only OWNER, the default settings, and is in the creator's list and in nobody
 * else's. */
static void test_create(void **state)
{
        Allod__V1__CreateTeamRequest request = ALLOD__V1__CREATE_TEAM_REQUEST__INIT;
        Allod__V1__Team sent = ALLOD__V1__TEAM__INIT;
        const Allod__V1__Team *team;
        char text[UUID_TEXT_LEN + 1], etag[40];
        struct uuid id;

        (void)state;
        sent.name = (char *)"Caf\xc3\xa9";
        sent.id = sent.created_by = sent.etag = (char *)"output only, so ignored";
        request.team = &sent;
        assert_int_equal(world_call(&world, &method_team_create, &ann.who, &request), R_OK);
        id = world.id;
        text_of(id, text);
        team = got_team();
        assert_string_equal(team->id, text);
        assert_string_equal(team->name, "Caf\xc3\xa9");
        assert_string_equal(team->created_by, ann.text);
        assert_true(team->settings->member_can_create && team->settings->member_can_edit);
        assert_true(team->settings->member_can_run);
        assert_false(team->settings->member_can_delete || team->settings->member_can_share);
        assert_true(team->created_at->seconds > 0);
        assert_int_equal(team->created_at->seconds, team->updated_at->seconds);
        assert_in_range(strlen(team->etag), 1, sizeof etag - 1);
        memcpy(etag, team->etag, strlen(team->etag) + 1);

        assert_int_equal(get(&ann.who, id), R_OK);
        assert_string_equal(got_team()->etag, etag);
        assert_int_equal(list(&ann.who, 0, "")->n_teams, 1);
        assert_int_equal(list(&bob.who, 0, "")->n_teams, 0);
        assert_int_equal(list_members(&ann.who, id, 0, ""), R_OK);
        assert_int_equal(got_members()->n_members, 1);
        assert_string_equal(got_members()->members[0]->user_id, ann.text);
        assert_string_equal(got_members()->members[0]->team_id, text);
        assert_int_equal(got_members()->members[0]->role, OWNER);
        assert_true(got_members()->members[0]->joined_at->seconds > 0);
}

/* Settings that are sent take the place of all the default ones. */
static void test_create_with_settings(void **state)
{
        Allod__V1__CreateTeamRequest request = ALLOD__V1__CREATE_TEAM_REQUEST__INIT;
        Allod__V1__TeamSettings settings = ALLOD__V1__TEAM_SETTINGS__INIT;
        Allod__V1__Team sent = ALLOD__V1__TEAM__INIT;

        (void)state;
        settings.member_can_share = 1;
        sent.name = (char *)"Team";
        sent.settings = &settings;
        request.team = &sent;
        assert_int_equal(world_call(&world, &method_team_create, &ann.who, &request), R_OK);
        assert_true(got_team()->settings->member_can_share);
        assert_false(got_team()->settings->member_can_create || got_team()->settings->member_can_edit);
        assert_false(got_team()->settings->member_can_run || got_team()->settings->member_can_delete);
}

/* A team of others and a team that is none give the same answer, from every method. */
static void test_strangers(void **state)
{
        struct uuid team = world_add_team(&world, &ann);
        struct uuid none = uuid_v7(1);
        struct fault first;

        (void)state;
        assert_int_equal(get(&bob.who, team), R_NOT_MEMBER);
        first = world.fault;
        assert_int_equal(get(&bob.who, none), R_NOT_MEMBER);
        assert_string_equal(world.fault.text, first.text);
        assert_int_equal(list_members(&bob.who, team, 0, ""), R_NOT_MEMBER);
        assert_int_equal(list_members(&bob.who, none, 0, ""), R_NOT_MEMBER);
        assert_int_equal(set_role(&bob.who, team, &bob, OWNER), R_NOT_MEMBER);
        assert_int_equal(set_role(&bob.who, none, &bob, OWNER), R_NOT_MEMBER);
        assert_int_equal(remove_member(&bob.who, team, &ann), R_NOT_MEMBER);
        assert_int_equal(leave(&bob.who, team), R_NOT_MEMBER);
        assert_int_equal(leave(&bob.who, none), R_NOT_MEMBER);
        assert_int_equal(delete_team(&bob.who, team, ""), R_NOT_MEMBER);
        assert_int_equal(delete_team(&bob.who, none, ""), R_NOT_MEMBER);
        assert_int_equal(get(&ann.who, team), R_OK);
}

/* x-team-id may be absent or name the team of the request; methods that name none want it absent. */
static void test_team_header(void **state)
{
        struct uuid team = world_add_team(&world, &ann), other = world_add_team(&world, &ann);
        struct uuid bobs = world_add_team(&world, &bob);
        struct credential in_team = world_in_team(&ann.who, team), in_bobs = world_in_team(&ann.who, bobs);
        struct credential malformed = ann.who;
        Allod__V1__ListTeamsRequest request = ALLOD__V1__LIST_TEAMS_REQUEST__INIT;

        (void)state;
        malformed.team_claim = CLAIM_MALFORMED;
        assert_int_equal(get(&in_team, team), R_OK);
        assert_int_equal(get(&in_team, other), R_BAD_ARGUMENT);
        assert_int_equal(get(&in_bobs, team), R_NOT_MEMBER);
        assert_int_equal(get(&malformed, team), R_BAD_ARGUMENT);
        assert_int_equal(world_call(&world, &method_team_list, &in_team, &request), R_BAD_ARGUMENT);
}

/* ---- Updates ---- */

struct update {
        Allod__V1__UpdateTeamRequest request;
        Allod__V1__Team team;
        Allod__V1__TeamSettings settings;
        Google__Protobuf__FieldMask mask;
        char *paths[4];
        char id[UUID_TEXT_LEN + 1];
};

static void update_init(struct update *update, struct uuid team)
{
        *update = (struct update){
                .request = ALLOD__V1__UPDATE_TEAM_REQUEST__INIT,
                .team = ALLOD__V1__TEAM__INIT,
                .settings = ALLOD__V1__TEAM_SETTINGS__INIT,
                .mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT,
        };
        text_of(team, update->id);
        update->team.id = update->id;
        update->team.settings = &update->settings;
        update->request.team = &update->team;
        update->request.update_mask = &update->mask;
        update->mask.paths = update->paths;
}

static enum result send_update(struct update *update, const struct credential *who)
{
        return world_call(&world, &method_team_update, who, &update->request);
}

/* Without a mask the fields that are not default are set and no others; a setting is turned off by naming it. */
static void test_update_mask(void **state)
{
        struct uuid team = world_add_team(&world, &ann);
        struct update update;

        (void)state;
        update_init(&update, team);
        update.settings.member_can_delete = 1;
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_string_equal(got_team()->name, "Team");
        assert_true(got_team()->settings->member_can_delete && got_team()->settings->member_can_create);

        update_init(&update, team);
        update.team.name = (char *)"Renamed";
        update.paths[0] = (char *)"name";
        update.mask.n_paths = 1;
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_string_equal(got_team()->name, "Renamed");
        assert_true(got_team()->settings->member_can_delete);

        update_init(&update, team);
        update.team.name = (char *)"not named, so not set";
        update.paths[0] = (char *)"settings.member_can_edit";
        update.paths[1] = (char *)"settings.member_can_share";
        update.settings.member_can_share = 1;
        update.mask.n_paths = 2;
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_string_equal(got_team()->name, "Renamed");
        assert_false(got_team()->settings->member_can_edit);
        assert_true(got_team()->settings->member_can_share && got_team()->settings->member_can_create);

        update_init(&update, team);
        update.team.settings = NULL;
        update.paths[0] = (char *)"settings";
        update.mask.n_paths = 1;
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_int_equal(get(&ann.who, team), R_OK);
        assert_false(got_team()->settings->member_can_create || got_team()->settings->member_can_edit);
        assert_false(got_team()->settings->member_can_run || got_team()->settings->member_can_delete);
        assert_false(got_team()->settings->member_can_share);
}

/* The etag that was read is good for one change; a stale one changes nothing. */
static void test_etag(void **state)
{
        struct uuid team = world_add_team(&world, &ann);
        struct update update;
        char etag[40];

        (void)state;
        assert_int_equal(get(&ann.who, team), R_OK);
        snprintf(etag, sizeof etag, "%s", got_team()->etag);
        update_init(&update, team);
        update.team.name = (char *)"One";
        update.team.etag = etag;
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_string_not_equal(got_team()->etag, etag);
        update.team.name = (char *)"Two";
        assert_int_equal(send_update(&update, &ann.who), R_STALE);
        assert_int_equal(delete_team(&ann.who, team, etag), R_STALE);
        assert_int_equal(get(&ann.who, team), R_OK);
        assert_string_equal(got_team()->name, "One");
        snprintf(etag, sizeof etag, "%s", got_team()->etag);
        assert_int_equal(delete_team(&ann.who, team, etag), R_OK);
}

/* A deleted team is gone at once for all its members, by name, in lists and as x-team-id, and stays so once purged. */
static void test_delete(void **state)
{
        struct uuid team = world_add_team(&world, &ann), other = world_add_team(&world, &ann);
        struct credential in_team = world_in_team(&bob.who, team);
        int round;

        (void)state;
        world_add_member(&world, team, &bob, MEMBER);
        world_add_member(&world, other, &bob, MEMBER);
        assert_int_equal(get(&in_team, team), R_OK);
        assert_int_equal(delete_team(&ann.who, team, ""), R_OK);
        for (round = 0; round < 2; round++) {
                assert_int_equal(get(&ann.who, team), R_NOT_MEMBER);
                assert_int_equal(get(&in_team, team), R_NOT_MEMBER);
                assert_int_equal(list(&ann.who, 0, "")->n_teams, 1);
                assert_int_equal(list(&bob.who, 0, "")->n_teams, 1);
                assert_int_equal(delete_team(&ann.who, team, ""), R_NOT_MEMBER);
                world_purge(&world);
        }
        assert_int_equal(get(&bob.who, other), R_OK);
}

/* ---- Lists ---- */

/* Teams come newest first, in pages that join without a gap; a token serves its own list and caller only. */
static void test_list_pages(void **state)
{
        Allod__V1__ListTeamsRequest request = ALLOD__V1__LIST_TEAMS_REQUEST__INIT;
        const Allod__V1__ListTeamsResponse *page;
        struct uuid teams[5];
        char text[UUID_TEXT_LEN + 1], token[512] = "";
        size_t seen = 0, i;

        (void)state;
        for (i = 0; i < 5; i++)
                teams[i] = world_add_team(&world, &ann);
        do {
                page = list(&ann.who, 2, token);
                for (i = 0; i < page->n_teams; i++) {
                        text_of(teams[4 - seen++], text);
                        assert_string_equal(page->teams[i]->id, text);
                }
                assert_true(page->n_teams == 2 || page->next_page_token[0] == '\0');
                assert_in_range(strlen(page->next_page_token), 0, sizeof token - 1);
                memcpy(token, page->next_page_token, strlen(page->next_page_token) + 1);
                if (seen == 2) {
                        request.page_token = token;
                        assert_int_equal(world_call(&world, &method_team_list, &bob.who, &request), R_BAD_ARGUMENT);
                        assert_int_equal(list_members(&ann.who, teams[0], 0, token), R_BAD_ARGUMENT);
                        assert_string_equal(world.fault.fields[0].path, "page_token");
                }
        } while (token[0] != '\0');
        assert_int_equal(seen, 5);
}

/* Members come in pages too; a page that is exactly full at the end of the list has no token. */
static void test_member_pages(void **state)
{
        struct uuid team = world_add_team(&world, &ann);
        char token[512], first[UUID_TEXT_LEN + 1], second[UUID_TEXT_LEN + 1];

        (void)state;
        world_add_member(&world, team, &bob, ADMIN);
        world_add_member(&world, team, &cleo, MEMBER);
        assert_int_equal(list_members(&cleo.who, team, 2, ""), R_OK);
        assert_int_equal(got_members()->n_members, 2);
        snprintf(first, sizeof first, "%s", got_members()->members[0]->user_id);
        snprintf(second, sizeof second, "%s", got_members()->members[1]->user_id);
        snprintf(token, sizeof token, "%s", got_members()->next_page_token);
        assert_true(token[0] != '\0');
        assert_int_equal(list_members(&cleo.who, team, 2, token), R_OK);
        assert_int_equal(got_members()->n_members, 1);
        assert_string_equal(got_members()->next_page_token, "");
        assert_true(strcmp(first, second) < 0 && strcmp(second, got_members()->members[0]->user_id) < 0);
        assert_int_equal(list_members(&cleo.who, team, 3, ""), R_OK);
        assert_int_equal(got_members()->n_members, 3);
        assert_string_equal(got_members()->next_page_token, "");
}

/* ---- Members ---- */

/* The last OWNER cannot leave, be removed or be demoted; with a second OWNER one of them can, and then no more. */
static void test_last_owner(void **state)
{
        struct uuid team = world_add_team(&world, &ann);

        (void)state;
        world_add_member(&world, team, &bob, ADMIN);
        assert_int_equal(leave(&ann.who, team), R_WRONG_STATE);
        assert_true(world.fault.text[0] != '\0');
        assert_int_equal(remove_member(&ann.who, team, &ann), R_WRONG_STATE);
        assert_int_equal(set_role(&ann.who, team, &ann, ADMIN), R_WRONG_STATE);
        assert_int_equal(set_role(&ann.who, team, &ann, MEMBER), R_WRONG_STATE);
        assert_int_equal(set_role(&ann.who, team, &ann, OWNER), R_OK);

        assert_int_equal(set_role(&ann.who, team, &bob, OWNER), R_OK);
        assert_int_equal(set_role(&bob.who, team, &ann, MEMBER), R_OK);
        assert_int_equal(leave(&bob.who, team), R_WRONG_STATE);
        assert_int_equal(remove_member(&bob.who, team, &bob), R_WRONG_STATE);
        assert_int_equal(set_role(&bob.who, team, &bob, ADMIN), R_WRONG_STATE);

        assert_int_equal(set_role(&bob.who, team, &ann, OWNER), R_OK);
        assert_int_equal(leave(&bob.who, team), R_OK);
        assert_int_equal(leave(&ann.who, team), R_WRONG_STATE);
        world_check(&world);
}

/* A change of role, a removal and a departure hold from the next request on, also where the caller was known before. */
static void test_changes_hold_at_once(void **state)
{
        struct uuid team = world_add_team(&world, &ann);
        struct credential in_team = world_in_team(&bob.who, team);
        struct update update;

        (void)state;
        world_add_member(&world, team, &bob, ADMIN);
        update_init(&update, team);
        update.team.name = (char *)"By an ADMIN";
        assert_int_equal(send_update(&update, &in_team), R_OK);
        assert_int_equal(set_role(&ann.who, team, &bob, MEMBER), R_OK);
        assert_int_equal(send_update(&update, &in_team), R_FORBIDDEN);
        assert_int_equal(get(&in_team, team), R_OK);
        assert_int_equal(remove_member(&ann.who, team, &bob), R_OK);
        assert_int_equal(get(&in_team, team), R_NOT_MEMBER);
        assert_int_equal(list(&bob.who, 0, "")->n_teams, 0);
        world_add_member(&world, team, &bob, MEMBER);
        assert_int_equal(get(&in_team, team), R_OK);
        assert_int_equal(leave(&bob.who, team), R_OK);
        assert_int_equal(get(&in_team, team), R_NOT_MEMBER);
        assert_int_equal(leave(&bob.who, team), R_NOT_MEMBER);
}

/* Somebody who is no member is absent, to those who may manage members. */
static void test_absent_member(void **state)
{
        struct uuid team = world_add_team(&world, &ann);

        (void)state;
        assert_int_equal(set_role(&ann.who, team, &bob, MEMBER), R_ABSENT);
        assert_int_equal(remove_member(&ann.who, team, &bob), R_ABSENT);
}

/* ---- What only a store that was restored in part may hold ---- */

/* Put a pointer into Bob's own scope that no member row stands behind; and take it away. */
static enum result put_pointer(struct txn *txn, void *arg)
{
        const struct row pointer = {.kind = ROW_MEMBERSHIP, .id = *(const struct uuid *)arg};
        const struct scope *self;
        enum result r;

        if ((r = scope_open_personal(txn, &bob.who, &self)) != R_OK) return r;
        return scope_put(self, &pointer, 0, (struct bytes){0});
}

static enum result delete_pointer(struct txn *txn, void *arg)
{
        const struct row pointer = {.kind = ROW_MEMBERSHIP, .id = *(const struct uuid *)arg};
        const struct scope *self;
        enum result r;

        if ((r = scope_open_personal(txn, &bob.who, &self)) != R_OK) return r;
        return scope_delete(self, &pointer);
}

/* A pointer without a member row makes nobody a member, and does not show in a list. */
static void test_pointer_alone(void **state)
{
        struct uuid team = world_add_team(&world, &ann);

        (void)state;
        (void)world_add_team(&world, &bob);
        assert_int_equal(world_update(&world, put_pointer, &team), R_OK);
        assert_int_equal(list(&bob.who, 0, "")->n_teams, 1);
        assert_int_equal(get(&bob.who, team), R_NOT_MEMBER);
        assert_int_equal(world_update(&world, delete_pointer, &team), R_OK);
}

static enum result forget_bob(struct txn *txn, void *arg)
{
        const struct scope *self;
        enum result r;

        (void)arg;
        if ((r = scope_open_personal(txn, &bob.who, &self)) != R_OK) return r;
        return profile_delete(self);
}

/* A member whose user is no more can be demoted and removed, and does not keep a team from being deleted. */
static void test_member_without_user(void **state)
{
        struct uuid team = world_add_team(&world, &ann), other = world_add_team(&world, &ann);

        (void)state;
        world_add_member(&world, team, &bob, OWNER);
        world_add_member(&world, other, &bob, OWNER);
        assert_int_equal(world_update(&world, forget_bob, NULL), R_OK);
        assert_int_equal(set_role(&ann.who, team, &bob, MEMBER), R_OK);
        assert_int_equal(remove_member(&ann.who, team, &bob), R_OK);
        assert_int_equal(delete_team(&ann.who, other, ""), R_OK);
        assert_int_equal(get(&ann.who, team), R_OK);
}

/* ---- Changes ---- */

struct changes {
        struct person *actor;
        struct uuid team;
        unsigned profiles, members;
        bool has_foreign_actor;
};

static enum result count_changes(struct txn *txn, void *arg)
{
        struct changes *changes = arg;
        const struct row kind = {.kind = ROW_CHANGE};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *team;
        store_v1_Change change;
        struct record record;
        struct row row;
        enum result r;

        if ((r = scope_open_team(txn, &changes->actor->who, changes->team, RIGHT_READ, &team)) != R_OK) return r;
        if ((r = scan_open(team, &kind, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                if ((r = message_load(store_v1_Change_fields, record.body, &change)) != R_OK) return r;
                if (change.kind == ROW_PROFILE) changes->profiles++;
                if (change.kind == ROW_MEMBER) changes->members++;
                if (change.actor.size != UUID_SIZE || memcmp(change.actor.bytes, changes->actor->id.bytes, 16) != 0)
                        changes->has_foreign_actor = true;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* Each primary record that a method touches leaves a change row that names the actor. */
static void test_change_rows(void **state)
{
        Allod__V1__CreateTeamRequest request = ALLOD__V1__CREATE_TEAM_REQUEST__INIT;
        Allod__V1__Team sent = ALLOD__V1__TEAM__INIT;
        struct changes changes = {.actor = &ann};
        struct update update;

        (void)state;
        sent.name = (char *)"Team";
        request.team = &sent;
        assert_int_equal(world_call(&world, &method_team_create, &ann.who, &request), R_OK);
        changes.team = world.id;
        assert_int_equal(world_update(&world, count_changes, &changes), R_OK);
        assert_int_equal(changes.profiles, 1);
        assert_int_equal(changes.members, 1);

        update_init(&update, changes.team);
        update.team.name = (char *)"Renamed";
        assert_int_equal(send_update(&update, &ann.who), R_OK);
        assert_int_equal(set_role(&ann.who, changes.team, &ann, OWNER), R_OK);
        assert_int_equal(leave(&ann.who, changes.team), R_WRONG_STATE);
        changes.profiles = changes.members = 0;
        assert_int_equal(world_update(&world, count_changes, &changes), R_OK);
        assert_int_equal(changes.profiles, 2);
        assert_int_equal(changes.members, 2);
        assert_false(changes.has_foreign_actor);
}

#define TEAM_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields_of_teams),
                cmocka_unit_test(test_fields_of_members),
                TEAM_TEST(test_create),
                TEAM_TEST(test_create_with_settings),
                TEAM_TEST(test_strangers),
                TEAM_TEST(test_team_header),
                TEAM_TEST(test_update_mask),
                TEAM_TEST(test_etag),
                TEAM_TEST(test_delete),
                TEAM_TEST(test_list_pages),
                TEAM_TEST(test_member_pages),
                TEAM_TEST(test_last_owner),
                TEAM_TEST(test_changes_hold_at_once),
                TEAM_TEST(test_absent_member),
                TEAM_TEST(test_pointer_alone),
                TEAM_TEST(test_member_without_user),
                TEAM_TEST(test_change_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
