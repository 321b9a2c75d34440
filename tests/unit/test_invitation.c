#include <string.h>

#include "engine/admin.h"
#include "engine/limits.h"
#include "engine/team.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(team_invite_member, true);
WORLD_METHOD(team_list_invitations, false);
WORLD_METHOD(team_accept_invitation, true);
WORLD_METHOD(team_decline_invitation, true);
WORLD_METHOD(team_update_member, true);
WORLD_METHOD(team_leave, true);
WORLD_METHOD(team_delete, true);
WORLD_METHOD(team_list_members, false);
WORLD_METHOD(admin_list_users, false);
WORLD_METHOD(admin_delete_user, true);

#define OWNER  ALLOD__V1__ROLE__ROLE_OWNER
#define ADMIN  ALLOD__V1__ROLE__ROLE_ADMIN
#define MEMBER ALLOD__V1__ROLE__ROLE_MEMBER

/* Ann and Bob are tenants of their own; Cleo helps where a team needs two. */
static struct world world;
static struct person ann, bob, cleo;
static struct uuid team; /* Ann's */
static char team_text[UUID_TEXT_LEN + 1];

static int set_up(void **state)
{
        (void)state;
        world_open(&world);
        world_add_person(&world, &ann);
        world_add_person(&world, &bob);
        world_add_person(&world, &cleo);
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

static enum result invite(const struct person *sender, const char *team_id, const char *user_id, Allod__V1__Role role)
{
        Allod__V1__InviteMemberRequest request = ALLOD__V1__INVITE_MEMBER_REQUEST__INIT;

        request.team_id = (char *)team_id;
        request.user_id = (char *)user_id;
        request.role = role;
        return world_call(&world, &method_team_invite_member, &sender->who, &request);
}

static enum result accept(const struct person *person, const char *team_id)
{
        Allod__V1__AcceptInvitationRequest request = ALLOD__V1__ACCEPT_INVITATION_REQUEST__INIT;

        request.team_id = (char *)team_id;
        return world_call(&world, &method_team_accept_invitation, &person->who, &request);
}

static enum result decline(const struct person *person, const char *team_id)
{
        Allod__V1__DeclineInvitationRequest request = ALLOD__V1__DECLINE_INVITATION_REQUEST__INIT;

        request.team_id = (char *)team_id;
        return world_call(&world, &method_team_decline_invitation, &person->who, &request);
}

static enum result set_role(const struct person *person, const struct person *member, Allod__V1__Role role)
{
        Allod__V1__UpdateMemberRequest request = ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT;

        request.team_id = team_text;
        request.user_id = (char *)member->text;
        request.role = role;
        return world_call(&world, &method_team_update_member, &person->who, &request);
}

static enum result leave(const struct person *person)
{
        Allod__V1__LeaveTeamRequest request = ALLOD__V1__LEAVE_TEAM_REQUEST__INIT;

        request.team_id = team_text;
        return world_call(&world, &method_team_leave, &person->who, &request);
}

static const Allod__V1__ListInvitationsResponse *inbox(const struct person *person)
{
        Allod__V1__ListInvitationsRequest request = ALLOD__V1__LIST_INVITATIONS_REQUEST__INIT;

        request.page_size = PAGE_ROWS_MAX;
        assert_int_equal(world_call(&world, &method_team_list_invitations, &person->who, &request), R_OK);
        return world_reply(&world, &allod__v1__list_invitations_response__descriptor);
}

static size_t member_count(void)
{
        Allod__V1__ListMembersRequest request = ALLOD__V1__LIST_MEMBERS_REQUEST__INIT;
        const Allod__V1__ListMembersResponse *members;

        request.team_id = team_text;
        assert_int_equal(world_call(&world, &method_team_list_members, &ann.who, &request), R_OK);
        members = world_reply(&world, &allod__v1__list_members_response__descriptor);
        return members->n_members;
}

/* Each field is checked, and named by its path. */
static void test_fields(void **state)
{
        Allod__V1__ListInvitationsRequest request = ALLOD__V1__LIST_INVITATIONS_REQUEST__INIT;

        (void)state;
        assert_int_equal(invite(&ann, "no-uuid", bob.text, MEMBER), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "team_id");
        assert_int_equal(invite(&ann, team_text, "", MEMBER), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "user_id");
        assert_int_equal(invite(&ann, team_text, bob.text, ALLOD__V1__ROLE__ROLE_UNSPECIFIED), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "role");
        assert_int_equal(accept(&bob, ""), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "team_id");
        assert_int_equal(decline(&bob, "{}"), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "team_id");
        request.page_size = -1;
        assert_int_equal(world_call(&world, &method_team_list_invitations, &bob.who, &request), R_BAD_ARGUMENT);
        assert_string_equal(world.fault.fields[0].path, "page_size");
}

/* An invitation is in the inbox of the one invited and of nobody else, and makes a member when it is accepted, once. */
static void test_accept(void **state)
{
        const Allod__V1__Invitation *invitation;
        const Allod__V1__Member *member;

        (void)state;
        assert_int_equal(invite(&ann, team_text, bob.text, ADMIN), R_OK);
        invitation = world_reply(&world, &allod__v1__invitation__descriptor);
        assert_string_equal(invitation->team_id, team_text);
        assert_string_equal(invitation->user_id, bob.text);
        assert_int_equal(member_count(), 1);
        assert_int_equal(inbox(&cleo)->n_invitations, 0);
        assert_int_equal(inbox(&ann)->n_invitations, 0);
        assert_int_equal(inbox(&bob)->n_invitations, 1);
        invitation = inbox(&bob)->invitations[0];
        assert_string_equal(invitation->team_id, team_text);
        assert_string_equal(invitation->team_name, "Team");
        assert_string_equal(invitation->user_id, bob.text);
        assert_string_equal(invitation->invited_by, ann.text);
        assert_int_equal(invitation->role, ADMIN);
        assert_true(invitation->created_at->seconds > 0);

        assert_int_equal(accept(&cleo, team_text), R_ABSENT);
        assert_int_equal(accept(&bob, team_text), R_OK);
        member = world_reply(&world, &allod__v1__member__descriptor);
        assert_string_equal(member->user_id, bob.text);
        assert_string_equal(member->team_id, team_text);
        assert_int_equal(member->role, ADMIN);
        assert_int_equal(member_count(), 2);
        assert_int_equal(inbox(&bob)->n_invitations, 0);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_EXISTS);
}

/* A declined invitation is gone, and its sender is not told. */
static void test_decline(void **state)
{
        (void)state;
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_OK);
        assert_int_equal(decline(&cleo, team_text), R_ABSENT);
        assert_int_equal(decline(&bob, team_text), R_OK);
        assert_int_equal(inbox(&bob)->n_invitations, 0);
        assert_int_equal(decline(&bob, team_text), R_ABSENT);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(member_count(), 1);
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_OK);
}

/* A second invitation of a team replaces the first, role and sender. */
static void test_replace(void **state)
{
        (void)state;
        world_add_member(&world, team, &cleo, ADMIN);
        assert_int_equal(invite(&ann, team_text, bob.text, OWNER), R_OK);
        assert_int_equal(invite(&cleo, team_text, bob.text, MEMBER), R_OK);
        assert_int_equal(inbox(&bob)->n_invitations, 1);
        assert_int_equal(inbox(&bob)->invitations[0]->role, MEMBER);
        assert_string_equal(inbox(&bob)->invitations[0]->invited_by, cleo.text);
}

/* To invite somebody who does not exist answers as it does for somebody who does, and stores nothing. */
static void test_unknown_user(void **state)
{
        Allod__V1__ListUsersRequest users = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        const Allod__V1__ListUsersResponse *list;
        const Allod__V1__Invitation *invitation;
        char nobody[UUID_TEXT_LEN + 1];
        size_t known_len;

        (void)state;
        uuid_format(uuid_v7(1), nobody);
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_OK);
        known_len = world.reply.len;
        assert_int_equal(invite(&ann, team_text, nobody, MEMBER), R_OK);
        invitation = world_reply(&world, &allod__v1__invitation__descriptor);
        assert_string_equal(invitation->user_id, nobody);
        assert_string_equal(invitation->invited_by, ann.text);
        assert_in_range(world.reply.len, known_len - 4, known_len + 4); /* the time's nanoseconds may be shorter */
        assert_int_equal(world_call(&world, &method_admin_list_users, &world.admin, &users), R_OK);
        list = world_reply(&world, &allod__v1__list_users_response__descriptor);
        assert_int_equal(list->n_users, 3);
}

/* An inbox holds a bounded number of invitations. One that finds it full answers like any other and is not stored, but
 * a team that has one there already may replace it, and room that is made can be used. */
static void test_full_inbox(void **state)
{
        char other[UUID_TEXT_LEN + 1], last[UUID_TEXT_LEN + 1];
        size_t i;

        (void)state;
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_OK);
        for (i = 1; i < USER_INVITATIONS_MAX; i++) {
                uuid_format(world_add_team(&world, &cleo), other);
                assert_int_equal(invite(&cleo, other, bob.text, MEMBER), R_OK);
        }
        assert_int_equal(inbox(&bob)->n_invitations, USER_INVITATIONS_MAX);
        uuid_format(world_add_team(&world, &cleo), last);
        assert_int_equal(invite(&cleo, last, bob.text, MEMBER), R_OK);
        assert_int_equal(inbox(&bob)->n_invitations, USER_INVITATIONS_MAX);
        assert_int_equal(accept(&bob, last), R_ABSENT);
        assert_int_equal(invite(&ann, team_text, bob.text, ADMIN), R_OK);
        assert_int_equal(decline(&bob, other), R_OK);
        assert_int_equal(invite(&cleo, last, bob.text, MEMBER), R_OK);
        assert_int_equal(accept(&bob, last), R_OK);
        assert_int_equal(accept(&bob, team_text), R_OK);
}

/* An invitation is as good as its sender is when it is accepted: not after the sender became a MEMBER, or left. */
static void test_sender_lost_the_right(void **state)
{
        (void)state;
        world_add_member(&world, team, &cleo, ADMIN);
        assert_int_equal(invite(&cleo, team_text, bob.text, MEMBER), R_OK);
        assert_int_equal(set_role(&ann, &cleo, MEMBER), R_OK);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(set_role(&ann, &cleo, ADMIN), R_OK);
        assert_int_equal(leave(&cleo), R_OK);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(member_count(), 1);
        assert_int_equal(decline(&bob, team_text), R_OK);
}

/* Only an OWNER makes an OWNER, and must still be one when the invitation is accepted. */
static void test_sender_no_longer_owner(void **state)
{
        (void)state;
        world_add_member(&world, team, &cleo, OWNER);
        assert_int_equal(invite(&cleo, team_text, bob.text, OWNER), R_OK);
        assert_int_equal(set_role(&ann, &cleo, ADMIN), R_OK);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(invite(&cleo, team_text, bob.text, OWNER), R_FORBIDDEN);
        assert_int_equal(invite(&cleo, team_text, bob.text, ADMIN), R_OK);
        assert_int_equal(accept(&bob, team_text), R_OK);
}

/* Nor is it good when its sender, or the team, is no more. */
static void test_sender_or_team_deleted(void **state)
{
        Allod__V1__DeleteUserRequest user = ALLOD__V1__DELETE_USER_REQUEST__INIT;
        Allod__V1__DeleteTeamRequest request = ALLOD__V1__DELETE_TEAM_REQUEST__INIT;

        (void)state;
        world_add_member(&world, team, &cleo, ADMIN);
        assert_int_equal(invite(&cleo, team_text, bob.text, MEMBER), R_OK);
        user.id = cleo.text;
        assert_int_equal(world_call(&world, &method_admin_delete_user, &world.admin, &user), R_OK);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(invite(&ann, team_text, bob.text, MEMBER), R_OK);
        request.id = team_text;
        assert_int_equal(world_call(&world, &method_team_delete, &ann.who, &request), R_OK);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
        assert_int_equal(inbox(&bob)->n_invitations, 1);
        assert_int_equal(decline(&bob, team_text), R_OK);
}

/* Whoever is added at once has no invitation left to accept. */
static void test_added_by_administrator(void **state)
{
        (void)state;
        assert_int_equal(invite(&ann, team_text, bob.text, OWNER), R_OK);
        world_add_member(&world, team, &bob, MEMBER);
        assert_int_equal(inbox(&bob)->n_invitations, 0);
        assert_int_equal(accept(&bob, team_text), R_ABSENT);
}

/* Strangers cannot invite, whether the team exists or not, nor can members without the permission. */
static void test_who_may_invite(void **state)
{
        char none[UUID_TEXT_LEN + 1];

        (void)state;
        uuid_format(uuid_v7(1), none);
        assert_int_equal(invite(&bob, team_text, cleo.text, MEMBER), R_NOT_MEMBER);
        assert_int_equal(invite(&bob, none, cleo.text, MEMBER), R_NOT_MEMBER);
        world_add_member(&world, team, &bob, MEMBER);
        assert_int_equal(invite(&bob, team_text, cleo.text, MEMBER), R_FORBIDDEN);
        assert_int_equal(set_role(&ann, &bob, ADMIN), R_OK);
        assert_int_equal(invite(&bob, team_text, cleo.text, OWNER), R_FORBIDDEN);
        assert_int_equal(invite(&bob, team_text, cleo.text, ADMIN), R_OK);
        assert_int_equal(inbox(&cleo)->n_invitations, 1);
}

#define INVITATION_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                INVITATION_TEST(test_fields),
                INVITATION_TEST(test_accept),
                INVITATION_TEST(test_decline),
                INVITATION_TEST(test_replace),
                INVITATION_TEST(test_unknown_user),
                INVITATION_TEST(test_full_inbox),
                INVITATION_TEST(test_sender_lost_the_right),
                INVITATION_TEST(test_sender_no_longer_owner),
                INVITATION_TEST(test_sender_or_team_deleted),
                INVITATION_TEST(test_added_by_administrator),
                INVITATION_TEST(test_who_may_invite),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
