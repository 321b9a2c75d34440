#include "allod/v1/admin.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "tools/admin.h"
#include "tools/rpc_verb.h"

static const struct option_spec options[] = {ADMIN_OPTIONS, {0}};
static const struct option_spec add_options[] = {
        ADMIN_OPTIONS,
        {"id", "UUID", "the user's id [a new one]"},
        {"name", "TEXT", "a name for people, up to 200 characters [none]"},
        {0},
};

static const struct rpc_verb add = {
        .method = "/allod.v1.AdminService/CreateUser",
        .request = &allod__v1__create_user_request__descriptor,
        .reply = &allod__v1__user__descriptor,
};
static const struct rpc_verb list = {
        .method = "/allod.v1.AdminService/ListUsers",
        .request = &allod__v1__list_users_request__descriptor,
        .reply = &allod__v1__list_users_response__descriptor,
};
static const struct rpc_verb show = {
        .method = "/allod.v1.AdminService/GetUser",
        .request = &allod__v1__get_user_request__descriptor,
        .reply = &allod__v1__user__descriptor,
        .positional = {"id"},
};
static const struct rpc_verb drop = {
        .method = "/allod.v1.AdminService/DeleteUser",
        .request = &allod__v1__delete_user_request__descriptor,
        .reply = &google__protobuf__empty__descriptor,
        .positional = {"id"},
        .done = "User deleted.",
};

const struct command user_commands[] = {
        {"user", "add", NULL, 0, 0, "Add a user", NULL, add_options, rpc_verb_run, &add},
        {"user", "list", NULL, 0, 0, "List all users", NULL, options, rpc_verb_run, &list},
        {"user", "show", "USER", 1, 1, "Show one user", "The look is written into the user's change log.", options,
         rpc_verb_run, &show},
        {"user", "delete", "USER", 1, 1, "Delete a user with keys, memberships, apps and jobs, for good",
         "The last OWNER of a team cannot be deleted: name another OWNER or delete the team first.", options,
         rpc_verb_run, &drop},
        {0},
};
