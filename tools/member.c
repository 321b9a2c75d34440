#include "allod/v1/admin.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "tools/admin.h"
#include "tools/rpc_verb.h"

static const struct option_spec options[] = {ADMIN_OPTIONS, {0}};

static const struct rpc_verb add = {
        .method = "/allod.v1.AdminService/AddMember",
        .request = &allod__v1__add_member_request__descriptor,
        .reply = &allod__v1__member__descriptor,
        .positional = {"team_id", "user_id", "role"},
};
static const struct rpc_verb list = {
        .method = "/allod.v1.AdminService/AdminListMembers",
        .request = &allod__v1__admin_list_members_request__descriptor,
        .reply = &allod__v1__admin_list_members_response__descriptor,
        .positional = {"team_id"},
};
static const struct rpc_verb set_role = {
        .method = "/allod.v1.AdminService/SetMemberRole",
        .request = &allod__v1__set_member_role_request__descriptor,
        .reply = &allod__v1__member__descriptor,
        .positional = {"team_id", "user_id", "role"},
};
static const struct rpc_verb drop = {
        .method = "/allod.v1.AdminService/AdminRemoveMember",
        .request = &allod__v1__admin_remove_member_request__descriptor,
        .reply = &google__protobuf__empty__descriptor,
        .positional = {"team_id", "user_id"},
        .done = "Member removed.",
};

const struct command member_commands[] = {
        {"member", "add", "TEAM USER ROLE", 3, 3, "Add a user to a team at once", "ROLE is OWNER, ADMIN or MEMBER.",
         options, rpc_verb_run, &add},
        {"member", "list", "TEAM", 1, 1, "List the members of a team",
         "The look is written into the team's change log.", options, rpc_verb_run, &list},
        {"member", "set-role", "TEAM USER ROLE", 3, 3, "Change a member's role",
         "ROLE is OWNER, ADMIN or MEMBER. The last OWNER cannot be demoted.", options, rpc_verb_run, &set_role},
        {"member", "remove", "TEAM USER", 2, 2, "Remove a member", "The last OWNER cannot be removed.", options,
         rpc_verb_run, &drop},
        {0},
};
