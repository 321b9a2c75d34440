#include "engine/admin.h"

#include <stdio.h>
#include <string.h>

#include "engine/apikey.h"
#include "engine/limits.h"
#include "engine/scope.h"
#include "engine/team.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(admin_create_user, true);
WORLD_METHOD(admin_get_user, true);
WORLD_METHOD(admin_list_users, false);
WORLD_METHOD(admin_delete_user, true);
WORLD_METHOD(admin_create_team, true);
WORLD_METHOD(admin_get_team, true);
WORLD_METHOD(admin_list_teams, false);
WORLD_METHOD(admin_delete_team, true);
WORLD_METHOD(admin_add_member, true);
WORLD_METHOD(admin_list_members, true);
WORLD_METHOD(admin_set_member_role, true);
WORLD_METHOD(admin_remove_member, true);
WORLD_METHOD(admin_add_key, true);
WORLD_METHOD(admin_import_key, true);
WORLD_METHOD(admin_list_keys, true);
WORLD_METHOD(admin_revoke_key, true);
WORLD_METHOD(admin_get_stats, false);
WORLD_METHOD(team_list, false);
WORLD_METHOD(apikey_list, false);

#define OWNER  ALLOD__V1__ROLE__ROLE_OWNER
#define ADMIN  ALLOD__V1__ROLE__ROLE_ADMIN
#define MEMBER ALLOD__V1__ROLE__ROLE_MEMBER

#define ID    ((char *)"123e4567-e89b-12d3-a456-426614174000")
#define NO_ID ((char *)"123e4567")

static struct world world;
static struct person ann, bob;
static struct uuid team; /* Ann's */
static char team_text[UUID_TEXT_LEN + 1];

static int set_up(void **state)
{
        (void)state;
        world_open(&world);
        world_add_person(&world, &ann);
        world_add_person(&world, &bob);
        team = world_add_team(&world, &ann);
        uuid_format(team, team_text);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_close(&world);
        return 0;
}

/* ---- Calls ---- */

static enum result call(const struct world_method *method, const void *request)
{
        return world_call(&world, method, &world.admin, request);
}

static enum result create_user(const char *id)
{
        Allod__V1__CreateUserRequest request = ALLOD__V1__CREATE_USER_REQUEST__INIT;

        request.id = (char *)id;
        request.name = (char *)"Somebody";
        return call(&method_admin_create_user, &request);
}

static enum result get_user(const char *id)
{
        Allod__V1__GetUserRequest request = ALLOD__V1__GET_USER_REQUEST__INIT;

        request.id = (char *)id;
        return call(&method_admin_get_user, &request);
}

static enum result delete_user(const char *id)
{
        Allod__V1__DeleteUserRequest request = ALLOD__V1__DELETE_USER_REQUEST__INIT;

        request.id = (char *)id;
        return call(&method_admin_delete_user, &request);
}

static enum result create_team(const char *id, const char *owner)
{
        Allod__V1__AdminCreateTeamRequest request = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;

        request.id = (char *)id;
        request.name = (char *)"Team";
        request.owner_user_id = (char *)owner;
        return call(&method_admin_create_team, &request);
}

static enum result get_team(const char *id)
{
        Allod__V1__AdminGetTeamRequest request = ALLOD__V1__ADMIN_GET_TEAM_REQUEST__INIT;

        request.id = (char *)id;
        return call(&method_admin_get_team, &request);
}

static enum result delete_team(const char *id)
{
        Allod__V1__AdminDeleteTeamRequest request = ALLOD__V1__ADMIN_DELETE_TEAM_REQUEST__INIT;

        request.id = (char *)id;
        return call(&method_admin_delete_team, &request);
}

static enum result add_member(const char *team_id, const char *user_id, Allod__V1__Role role)
{
        Allod__V1__AddMemberRequest request = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;

        request.team_id = (char *)team_id;
        request.user_id = (char *)user_id;
        request.role = role;
        return call(&method_admin_add_member, &request);
}

static enum result set_role(const char *team_id, const char *user_id, Allod__V1__Role role)
{
        Allod__V1__SetMemberRoleRequest request = ALLOD__V1__SET_MEMBER_ROLE_REQUEST__INIT;

        request.team_id = (char *)team_id;
        request.user_id = (char *)user_id;
        request.role = role;
        return call(&method_admin_set_member_role, &request);
}

static enum result remove_member(const char *team_id, const char *user_id)
{
        Allod__V1__AdminRemoveMemberRequest request = ALLOD__V1__ADMIN_REMOVE_MEMBER_REQUEST__INIT;

        request.team_id = (char *)team_id;
        request.user_id = (char *)user_id;
        return call(&method_admin_remove_member, &request);
}

static enum result import_key(const char *user_id, const char *secret)
{
        Allod__V1__ImportKeyRequest request = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;

        request.user_id = (char *)user_id;
        request.name = (char *)"imported";
        request.secret = (char *)secret;
        return call(&method_admin_import_key, &request);
}

static enum result add_key(const char *user_id)
{
        Allod__V1__AddKeyRequest request = ALLOD__V1__ADD_KEY_REQUEST__INIT;

        request.user_id = (char *)user_id;
        request.name = (char *)"added";
        return call(&method_admin_add_key, &request);
}

static enum result list_keys(const char *user_id)
{
        Allod__V1__AdminListKeysRequest request = ALLOD__V1__ADMIN_LIST_KEYS_REQUEST__INIT;

        request.user_id = (char *)user_id;
        return call(&method_admin_list_keys, &request);
}

static enum result revoke_key(const char *user_id, const char *id)
{
        Allod__V1__AdminRevokeKeyRequest request = ALLOD__V1__ADMIN_REVOKE_KEY_REQUEST__INIT;

        request.user_id = (char *)user_id;
        request.id = (char *)id;
        return call(&method_admin_revoke_key, &request);
}

/* What somebody's key is worth: a list of the own keys. */
static enum result use_key(const struct credential *who)
{
        Allod__V1__ListKeysRequest request = ALLOD__V1__LIST_KEYS_REQUEST__INIT;

        return world_call(&world, &method_apikey_list, who, &request);
}

static size_t teams_of(const struct person *person)
{
        Allod__V1__ListTeamsRequest request = ALLOD__V1__LIST_TEAMS_REQUEST__INIT;
        const Allod__V1__ListTeamsResponse *list;

        assert_int_equal(world_call(&world, &method_team_list, &person->who, &request), R_OK);
        list = world_reply(&world, &allod__v1__list_teams_response__descriptor);
        return list->n_teams;
}

/* ---- Fields ---- */

static void expect_bad(enum result r, const char *path)
{
        assert_int_equal(r, R_BAD_ARGUMENT);
        assert_int_equal(world.fault.field_count, 1);
        assert_string_equal(world.fault.fields[0].path, path);
}

/* Each field of what names users and teams is checked, and named by its path. */
static void test_fields_of_owners(void **state)
{
        Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__AdminCreateTeamRequest new_team = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;
        Allod__V1__ListUsersRequest users = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        Allod__V1__AdminListTeamsRequest teams = ALLOD__V1__ADMIN_LIST_TEAMS_REQUEST__INIT;
        char name[NAME_CHARACTERS_MAX + 2];

        (void)state;
        memset(name, 'x', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        user.name = name;
        expect_bad(call(&method_admin_create_user, &user), "name");
        expect_bad(create_user(NO_ID), "id");
        expect_bad(get_user(""), "id");
        expect_bad(delete_user(NO_ID), "id");
        expect_bad(create_team(NO_ID, ID), "id");
        expect_bad(create_team("", ""), "owner_user_id");
        new_team.owner_user_id = ID;
        expect_bad(call(&method_admin_create_team, &new_team), "name");
        expect_bad(get_team(NO_ID), "id");
        expect_bad(delete_team(""), "id");
        users.page_size = -1;
        expect_bad(call(&method_admin_list_users, &users), "page_size");
        users.page_size = 0;
        users.page_token = NO_ID;
        expect_bad(call(&method_admin_list_users, &users), "page_token");
        teams.page_size = PAGE_ROWS_MAX + 1;
        expect_bad(call(&method_admin_list_teams, &teams), "page_size");
}

/* The same, of members and keys. */
static void test_fields_of_members_and_keys(void **state)
{
        Allod__V1__AdminListMembersRequest members = ALLOD__V1__ADMIN_LIST_MEMBERS_REQUEST__INIT;
        Allod__V1__AddKeyRequest key = ALLOD__V1__ADD_KEY_REQUEST__INIT;
        Google__Protobuf__Timestamp never = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        char secret[IMPORTED_KEY_LEN_MAX + 2];

        (void)state;
        expect_bad(add_member(NO_ID, ID, MEMBER), "team_id");
        expect_bad(add_member(ID, NO_ID, MEMBER), "user_id");
        expect_bad(add_member(ID, ID, (Allod__V1__Role)0), "role");
        expect_bad(set_role(NO_ID, ID, MEMBER), "team_id");
        expect_bad(set_role(ID, NO_ID, MEMBER), "user_id");
        expect_bad(set_role(ID, ID, (Allod__V1__Role)9), "role");
        expect_bad(remove_member(NO_ID, ID), "team_id");
        expect_bad(remove_member(ID, NO_ID), "user_id");
        expect_bad(call(&method_admin_list_members, &members), "team_id");
        members.team_id = ID;
        members.page_size = -1;
        expect_bad(call(&method_admin_list_members, &members), "page_size");
        key.user_id = ID;
        expect_bad(call(&method_admin_add_key, &key), "name");
        key.name = (char *)"key";
        key.expires_at = &never;
        never.seconds = INT64_MAX;
        expect_bad(call(&method_admin_add_key, &key), "expires_at");
        expect_bad(add_key(NO_ID), "user_id");
        expect_bad(list_keys(NO_ID), "user_id");
        expect_bad(revoke_key(NO_ID, ID), "user_id");
        expect_bad(revoke_key(ID, NO_ID), "id");
        expect_bad(import_key(NO_ID, "secret"), "user_id");
        expect_bad(import_key(ID, ""), "secret");
        expect_bad(import_key(ID, "a b"), "secret");
        expect_bad(import_key(ID, "allod_sk_0123456789ABCDEFGHIJKLMNOPQRSTUV000000"), "secret");
        memset(secret, 'x', sizeof secret - 1);
        secret[sizeof secret - 1] = '\0';
        expect_bad(import_key(ID, secret), "secret");
}

/* ---- The plane ---- */

/* A key of a user, however good, is worth nothing here; nor is the admin plane where a key is asked for. */
static void test_plane(void **state)
{
        Allod__V1__GetUserRequest user = ALLOD__V1__GET_USER_REQUEST__INIT;
        Allod__V1__ListUsersRequest users = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        Allod__V1__AdminListTeamsRequest teams = ALLOD__V1__ADMIN_LIST_TEAMS_REQUEST__INIT;
        Allod__V1__CreateUserRequest new_user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__GetStatsRequest stats = ALLOD__V1__GET_STATS_REQUEST__INIT;

        (void)state;
        user.id = ann.text;
        assert_int_equal(world_call(&world, &method_admin_get_user, &ann.who, &user), R_UNAUTHENTICATED);
        assert_int_equal(world_call(&world, &method_admin_list_users, &ann.who, &users), R_UNAUTHENTICATED);
        assert_int_equal(world_call(&world, &method_admin_list_teams, &ann.who, &teams), R_UNAUTHENTICATED);
        assert_int_equal(world_call(&world, &method_admin_create_user, &ann.who, &new_user), R_UNAUTHENTICATED);
        assert_int_equal(world_call(&world, &method_admin_get_stats, &ann.who, &stats), R_UNAUTHENTICATED);
        assert_int_equal(use_key(&world.admin), R_UNAUTHENTICATED);
}

/* ---- Users ---- */

/* A user is made once under an id, with the server's or a given one. */
static void test_create_user(void **state)
{
        const Allod__V1__User *user;
        char text[UUID_TEXT_LEN + 1];

        (void)state;
        assert_int_equal(get_user(ID), R_ABSENT);
        assert_int_equal(get_user(ID), R_ABSENT);
        assert_int_equal(create_user(ID), R_OK);
        user = world_reply(&world, &allod__v1__user__descriptor);
        assert_string_equal(user->id, ID);
        assert_string_equal(user->name, "Somebody");
        assert_true(user->created_at->seconds > 0);
        assert_int_equal(create_user(ID), R_EXISTS);
        assert_int_equal(create_user(ann.text), R_EXISTS);
        assert_int_equal(create_user(""), R_OK);
        uuid_format(world.id, text);
        assert_int_equal(get_user(text), R_OK);
        assert_int_equal(get_user(team_text), R_ABSENT);
}

/* Users and teams come in the order of their ids, in pages that join; neither list shows the other kind. */
static void test_lists(void **state)
{
        Allod__V1__ListUsersRequest request = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        Allod__V1__AdminListTeamsRequest teams = ALLOD__V1__ADMIN_LIST_TEAMS_REQUEST__INIT;
        const Allod__V1__ListUsersResponse *page;
        const Allod__V1__AdminListTeamsResponse *all_teams;
        char token[UUID_TEXT_LEN + 1] = "", last[UUID_TEXT_LEN + 1] = "";
        size_t seen = 0, pages = 0, i;

        (void)state;
        assert_int_equal(create_user(""), R_OK);
        assert_int_equal(create_user(ID), R_OK);
        do {
                request.page_size = 2;
                request.page_token = token;
                assert_int_equal(call(&method_admin_list_users, &request), R_OK);
                page = world_reply(&world, &allod__v1__list_users_response__descriptor);
                for (i = 0; i < page->n_users; i++) {
                        assert_true(strcmp(page->users[i]->id, last) > 0);
                        snprintf(last, sizeof last, "%s", page->users[i]->id);
                }
                seen += page->n_users;
                pages++;
                snprintf(token, sizeof token, "%s", page->next_page_token);
        } while (token[0] != '\0');
        assert_int_equal(seen, 4);
        assert_int_equal(pages, 2);

        assert_int_equal(call(&method_admin_list_teams, &teams), R_OK);
        all_teams = world_reply(&world, &allod__v1__admin_list_teams_response__descriptor);
        assert_int_equal(all_teams->n_teams, 1);
        assert_string_equal(all_teams->teams[0]->id, team_text);
        assert_string_equal(all_teams->teams[0]->created_by, "");
        assert_string_equal(all_teams->next_page_token, "");
}

/* Deleting a user ends the keys and memberships at once; the id is free again only when all rows are gone. */
static void test_delete_user(void **state)
{
        struct credential in_team = world_in_team(&bob.who, team);

        (void)state;
        assert_int_equal(add_member(team_text, bob.text, ADMIN), R_OK);
        assert_int_equal(use_key(&bob.who), R_OK);
        assert_int_equal(delete_user(bob.text), R_OK);
        assert_int_equal(use_key(&bob.who), R_UNAUTHENTICATED);
        assert_int_equal(use_key(&in_team), R_UNAUTHENTICATED);
        assert_int_equal(get_user(bob.text), R_ABSENT);
        assert_int_equal(list_keys(bob.text), R_ABSENT);
        assert_int_equal(delete_user(bob.text), R_ABSENT);
        assert_int_equal(remove_member(team_text, bob.text), R_ABSENT);
        assert_int_equal(add_member(team_text, bob.text, MEMBER), R_ABSENT);

        world_purge(&world);
        assert_int_equal(use_key(&bob.who), R_UNAUTHENTICATED);
        assert_int_equal(create_user(bob.text), R_OK);
        assert_int_equal(use_key(&bob.who), R_UNAUTHENTICATED);
        assert_int_equal(list_keys(bob.text), R_OK);
        assert_int_equal(teams_of(&ann), 1);
}

static enum result delete_and_create(struct txn *txn, void *arg)
{
        Allod__V1__DeleteUserRequest old = ALLOD__V1__DELETE_USER_REQUEST__INIT;
        Allod__V1__CreateUserRequest new = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        enum result *created = arg;
        struct message reply;
        enum result r;

        message_init(&reply, txn_arena(txn), 256);
        old.id = new.id = bob.text;
        if ((r = admin_delete_user(txn, &world.admin, &old, &reply)) != R_OK) return r;
        *created = admin_create_user(txn, &world.admin, &new, &reply);
        return R_OK;
}

/* A deleted id is refused while rows of its former owner are still there: seen in one transaction, which no background
 * step can come between. */
static void test_deleted_id_is_refused(void **state)
{
        enum result created = R_OK;

        (void)state;
        assert_int_equal(world_update(&world, delete_and_create, &created), R_OK);
        assert_int_equal(created, R_EXISTS);
}

/* The last OWNER of a team cannot be deleted; with another OWNER there, it can. */
static void test_delete_last_owner(void **state)
{
        char other[UUID_TEXT_LEN + 1];

        (void)state;
        assert_int_equal(delete_user(ann.text), R_WRONG_STATE);
        assert_string_equal(world.fault.text, "The user is the last OWNER of 1 team.");
        uuid_format(world_add_team(&world, &ann), other);
        assert_int_equal(delete_user(ann.text), R_WRONG_STATE);
        assert_string_equal(world.fault.text, "The user is the last OWNER of 2 teams.");
        assert_int_equal(use_key(&ann.who), R_OK);
        assert_int_equal(teams_of(&ann), 2);
        assert_int_equal(add_member(team_text, bob.text, OWNER), R_OK);
        assert_int_equal(delete_user(ann.text), R_WRONG_STATE);
        assert_int_equal(delete_team(other), R_OK);
        assert_int_equal(delete_user(ann.text), R_OK);
        assert_int_equal(teams_of(&bob), 1);
        world_check(&world);
        assert_int_equal(delete_user(bob.text), R_WRONG_STATE);
}

/* ---- Teams and members ---- */

/* A team needs an OWNER who exists, and its id only once. */
static void test_create_team(void **state)
{
        (void)state;
        assert_int_equal(create_team(ID, ID), R_ABSENT);
        assert_int_equal(create_team(team_text, ann.text), R_EXISTS);
        assert_int_equal(create_team(ID, ann.text), R_OK);
        assert_int_equal(get_team(ID), R_OK);
        assert_int_equal(teams_of(&ann), 2);
        assert_int_equal(teams_of(&bob), 0);
        assert_int_equal(delete_team(ID), R_OK);
        assert_int_equal(get_team(ID), R_ABSENT);
        assert_int_equal(delete_team(ID), R_ABSENT);
        assert_int_equal(teams_of(&ann), 1);
        world_purge(&world);
        assert_int_equal(create_team(ID, bob.text), R_OK);
        assert_int_equal(teams_of(&ann), 1);
}

/* Administrators add, change and remove members at once, but cannot leave a team without an OWNER. */
static void test_members(void **state)
{
        Allod__V1__AdminListMembersRequest request = ALLOD__V1__ADMIN_LIST_MEMBERS_REQUEST__INIT;
        const Allod__V1__AdminListMembersResponse *list;
        const Allod__V1__Member *member;

        (void)state;
        assert_int_equal(add_member(ID, bob.text, MEMBER), R_ABSENT);
        assert_int_equal(add_member(team_text, ID, MEMBER), R_ABSENT);
        assert_int_equal(set_role(team_text, bob.text, ADMIN), R_ABSENT);
        assert_int_equal(remove_member(team_text, bob.text), R_ABSENT);
        assert_int_equal(add_member(team_text, bob.text, MEMBER), R_OK);
        assert_int_equal(add_member(team_text, bob.text, ADMIN), R_EXISTS);
        assert_int_equal(set_role(team_text, bob.text, ADMIN), R_OK);
        member = world_reply(&world, &allod__v1__member__descriptor);
        assert_string_equal(member->user_id, bob.text);
        assert_int_equal(member->role, ADMIN);
        assert_int_equal(teams_of(&bob), 1);

        assert_int_equal(set_role(team_text, ann.text, MEMBER), R_WRONG_STATE);
        assert_int_equal(remove_member(team_text, ann.text), R_WRONG_STATE);
        assert_int_equal(set_role(team_text, bob.text, OWNER), R_OK);
        assert_int_equal(remove_member(team_text, ann.text), R_OK);
        assert_int_equal(teams_of(&ann), 0);
        assert_int_equal(remove_member(team_text, bob.text), R_WRONG_STATE);
        assert_int_equal(set_role(team_text, bob.text, ADMIN), R_WRONG_STATE);

        request.team_id = team_text;
        assert_int_equal(call(&method_admin_list_members, &request), R_OK);
        list = world_reply(&world, &allod__v1__admin_list_members_response__descriptor);
        assert_int_equal(list->n_members, 1);
        assert_string_equal(list->members[0]->user_id, bob.text);
        request.team_id = ID;
        assert_int_equal(call(&method_admin_list_members, &request), R_ABSENT);
}

/* How many users or teams to make in one transaction. */
struct crowd {
        unsigned count;
};

static void text_of_number(unsigned number, char text[UUID_TEXT_LEN + 1])
{
        snprintf(text, UUID_TEXT_LEN + 1, "00000000-0000-4000-8000-%012x", number & 0xffff);
}

static enum result fill_team(struct txn *txn, void *arg)
{
        struct crowd *crowd = arg;
        char text[UUID_TEXT_LEN + 1];
        unsigned i;
        enum result r;

        for (i = 0; i < crowd->count; i++) {
                Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
                Allod__V1__AddMemberRequest member = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;
                struct message ignored;

                text_of_number(i, text);
                user.id = member.user_id = text;
                member.team_id = team_text;
                member.role = MEMBER;
                message_init(&ignored, txn_arena(txn), 256);
                if ((r = admin_create_user(txn, &world.admin, &user, &ignored)) != R_OK) return r;
                if ((r = admin_add_member(txn, &world.admin, &member, &ignored)) != R_OK) return r;
        }
        return R_OK;
}

/* A team has a bounded number of members, and deleting a full one leaves none of them behind. */
static void test_full_team(void **state)
{
        struct crowd crowd = {.count = TEAM_MEMBERS_MAX - 1};

        (void)state;
        assert_int_equal(world_update(&world, fill_team, &crowd), R_OK);
        assert_int_equal(add_member(team_text, bob.text, MEMBER), R_EXHAUSTED);
        world_check(&world);
        assert_int_equal(delete_team(team_text), R_OK);
        assert_int_equal(teams_of(&ann), 0);
}

static enum result fill_user(struct txn *txn, void *arg)
{
        struct crowd *crowd = arg;
        char text[UUID_TEXT_LEN + 1];
        unsigned i;
        enum result r;

        for (i = 0; i < crowd->count; i++) {
                Allod__V1__AdminCreateTeamRequest new_team = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;
                Allod__V1__AddMemberRequest member = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;
                struct message ignored;

                text_of_number(i, text);
                new_team.id = member.team_id = text;
                new_team.name = (char *)"One of many";
                new_team.owner_user_id = ann.text;
                member.user_id = bob.text;
                member.role = OWNER;
                message_init(&ignored, txn_arena(txn), 256);
                if ((r = admin_create_team(txn, &world.admin, &new_team, &ignored)) != R_OK) return r;
                if ((r = admin_add_member(txn, &world.admin, &member, &ignored)) != R_OK) return r;
        }
        return R_OK;
}

/* Wherever memory runs out on the way, the answer says so. */
static void try_to_delete_short_of_memory(const struct person *person)
{
        Allod__V1__DeleteUserRequest request = ALLOD__V1__DELETE_USER_REQUEST__INIT;
        unsigned long n, count;
        enum result r;

        request.id = (char *)person->text;
        for (n = 1;; n++) {
                heap_fail_at(n);
                r = world_try(&world, &method_admin_delete_user, &world.admin, &request);
                count = heap_count();
                heap_fail_at(0);
                if (count < n) break;
                assert_int_equal(r, R_NO_MEMORY);
        }
        assert_int_equal(r, R_OK);
        assert_true(n > 2);
}

/* A user is in a bounded number of teams, and can be deleted out of all of them in one step. */
static void test_user_in_many_teams(void **state)
{
        struct crowd crowd = {.count = USER_TEAMS_MAX - 1};

        (void)state;
        assert_int_equal(world_update(&world, fill_user, &crowd), R_OK);
        assert_int_equal(create_team("", ann.text), R_EXHAUSTED);
        assert_int_equal(create_team("", bob.text), R_OK);
        assert_int_equal(create_team("", bob.text), R_EXHAUSTED);
        assert_int_equal(add_member(team_text, bob.text, MEMBER), R_EXHAUSTED);
        assert_int_equal(delete_user(bob.text), R_WRONG_STATE);
        assert_int_equal(delete_user(ann.text), R_WRONG_STATE);
        assert_int_equal(delete_team(team_text), R_OK);
        try_to_delete_short_of_memory(&ann);
        assert_int_equal(teams_of(&ann), PAGE_ROWS_DEFAULT);
        assert_int_equal(delete_user(ann.text), R_OK);
        world_check(&world);
}

/* ---- Keys ---- */

/* A key that an administrator adds serves at once, and no more once revoked. */
static void test_keys(void **state)
{
        const Allod__V1__AddKeyResponse *made;
        const Allod__V1__AdminListKeysResponse *list;
        struct credential who = bob.who;
        char id[UUID_TEXT_LEN + 1];

        (void)state;
        assert_int_equal(add_key(ID), R_ABSENT);
        assert_int_equal(add_key(bob.text), R_OK);
        made = world_reply(&world, &allod__v1__add_key_response__descriptor);
        assert_int_equal(apikey_text_check(bytes_of_text(made->secret)), R_OK);
        assert_int_equal(apikey_digest(bytes_of_text(made->secret), who.key_digest), R_OK);
        snprintf(id, sizeof id, "%s", made->key->id);
        assert_int_equal(use_key(&who), R_OK);
        assert_int_equal(list_keys(bob.text), R_OK);
        list = world_reply(&world, &allod__v1__admin_list_keys_response__descriptor);
        assert_int_equal(list->n_keys, 2);
        assert_string_equal(list->keys[0]->id, id);
        assert_int_equal(revoke_key(ann.text, id), R_ABSENT);
        assert_int_equal(use_key(&who), R_OK);
        assert_int_equal(revoke_key(bob.text, id), R_OK);
        assert_int_equal(use_key(&who), R_UNAUTHENTICATED);
        assert_int_equal(revoke_key(bob.text, id), R_OK);
        assert_int_equal(use_key(&bob.who), R_OK);
}

/* A given secret becomes a key, with a warning when it is short; the same secret again is refused, without a word about
 * whose it is, until its user is gone for good. */
static void test_import(void **state)
{
        const Allod__V1__ImportKeyResponse *made;
        struct credential who = bob.who;

        (void)state;
        assert_int_equal(import_key(bob.text, "12324234"), R_OK);
        made = world_reply(&world, &allod__v1__import_key_response__descriptor);
        assert_true(made->warning[0] != '\0');
        assert_string_equal(made->key->name, "imported");
        assert_int_equal(apikey_digest(BYTES("12324234"), who.key_digest), R_OK);
        assert_int_equal(use_key(&who), R_OK);
        assert_int_equal(import_key(ann.text, "12324234"), R_EXISTS);
        assert_null(strstr(world.fault.text, bob.text));
        assert_int_equal(import_key(bob.text, "12324234"), R_EXISTS);
        assert_int_equal(import_key(bob.text, "a-secret-of-some-length"), R_OK);
        made = world_reply(&world, &allod__v1__import_key_response__descriptor);
        assert_string_equal(made->warning, "");
        assert_int_equal(delete_user(bob.text), R_OK);
        world_purge(&world);
        assert_int_equal(import_key(ann.text, "12324234"), R_OK);
        assert_int_equal(use_key(&who), R_OK);
}

/* ---- The trail ---- */

struct trail {
        struct credential *who;
        unsigned looks, others;
        char peer[PEER_SIZE];
};

static enum result read_trail(struct txn *txn, void *arg)
{
        struct trail *trail = arg;
        const struct row kind = {.kind = ROW_CHANGE};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *self;
        store_v1_Change change;
        struct record record;
        struct row row;
        enum result r;

        if ((r = scope_open_personal(txn, trail->who, &self)) != R_OK) return r;
        if ((r = scan_open(self, &kind, NULL, false, &scan)) != R_OK) return r;
        trail->looks = trail->others = 0;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                if ((r = message_load(store_v1_Change_fields, record.body, &change)) != R_OK) return r;
                if (change.operation == CHANGE_LOOK) {
                        trail->looks++;
                        snprintf(trail->peer, sizeof trail->peer, "%s", change.peer);
                } else {
                        trail->others++;
                }
        }
        return r == R_ABSENT ? R_OK : r;
}

/* Whatever an administrator reads of an owner is written into that owner's log, and nobody else's. */
static void test_looks(void **state)
{
        struct trail anns = {.who = &ann.who}, bobs = {.who = &bob.who};
        unsigned looks, bob_looks;

        (void)state;
        assert_int_equal(world_update(&world, read_trail, &anns), R_OK);
        assert_int_equal(world_update(&world, read_trail, &bobs), R_OK);
        looks = anns.looks;
        bob_looks = bobs.looks;
        assert_int_equal(get_user(ann.text), R_OK);
        assert_int_equal(list_keys(ann.text), R_OK);
        assert_int_equal(world_update(&world, read_trail, &anns), R_OK);
        assert_int_equal(world_update(&world, read_trail, &bobs), R_OK);
        assert_int_equal(anns.looks, looks + 2);
        assert_string_equal(anns.peer, world.admin.peer);
        assert_int_equal(bobs.looks, bob_looks);
}

/* ---- Stats ---- */

/* The figures are those of this store. */
static void test_stats(void **state)
{
        Allod__V1__GetStatsRequest request = ALLOD__V1__GET_STATS_REQUEST__INIT;
        const Allod__V1__Stats *stats;
        char id[UUID_TEXT_LEN + 1];

        (void)state;
        uuid_format(store_id(world.store), id);
        assert_int_equal(call(&method_admin_get_stats, &request), R_OK);
        stats = world_reply(&world, &allod__v1__stats__descriptor);
        assert_true(stats->version[0] != '\0');
        assert_string_equal(stats->store_id, id);
        assert_true(stats->store_time->seconds > 0);
        assert_int_equal(stats->keys, 2);
        assert_true(stats->records > 5);
        assert_true(stats->used_bytes > 0 && stats->map_bytes >= stats->used_bytes);
        assert_int_equal(stats->commits, 5);
        assert_int_equal(stats->updates, 5);
        assert_int_equal(stats->purge_backlog, 0);
        assert_false(stats->read_only);
        assert_false(stats->demo);
}

#define ADMIN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ADMIN_TEST(test_fields_of_owners),
                ADMIN_TEST(test_fields_of_members_and_keys),
                ADMIN_TEST(test_plane),
                ADMIN_TEST(test_create_user),
                ADMIN_TEST(test_lists),
                ADMIN_TEST(test_delete_user),
                ADMIN_TEST(test_deleted_id_is_refused),
                ADMIN_TEST(test_delete_last_owner),
                ADMIN_TEST(test_create_team),
                ADMIN_TEST(test_members),
                ADMIN_TEST(test_full_team),
                ADMIN_TEST(test_user_in_many_teams),
                ADMIN_TEST(test_keys),
                ADMIN_TEST(test_import),
                ADMIN_TEST(test_looks),
                ADMIN_TEST(test_stats),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
