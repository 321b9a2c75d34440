#include "allod/v1/admin.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "tools/admin.h"
#include "tools/rpc_verb.h"

static const struct option_spec options[] = {ADMIN_OPTIONS, {0}};
static const struct option_spec add_options[] = {
        ADMIN_OPTIONS,
        {"id", "UUID", "the team's id [a new one]"},
        {"name", "TEXT", "its name, 1 to 200 characters; required"},
        {0},
};

static const struct rpc_verb add = {
        .method = "/allod.v1.AdminService/AdminCreateTeam",
        .request = &allod__v1__admin_create_team_request__descriptor,
        .reply = &allod__v1__team__descriptor,
        .positional = {"owner_user_id"},
};
static const struct rpc_verb list = {
        .method = "/allod.v1.AdminService/AdminListTeams",
        .request = &allod__v1__admin_list_teams_request__descriptor,
        .reply = &allod__v1__admin_list_teams_response__descriptor,
};
static const struct rpc_verb show = {
        .method = "/allod.v1.AdminService/AdminGetTeam",
        .request = &allod__v1__admin_get_team_request__descriptor,
        .reply = &allod__v1__team__descriptor,
        .positional = {"id"},
};
static const struct rpc_verb drop = {
        .method = "/allod.v1.AdminService/AdminDeleteTeam",
        .request = &allod__v1__admin_delete_team_request__descriptor,
        .reply = &google__protobuf__empty__descriptor,
        .positional = {"id"},
        .done = "Team deleted.",
};

const struct command team_commands[] = {
        {"team", "add", "OWNER", 1, 1, "Add a team; the user OWNER becomes its first OWNER", NULL, add_options,
         rpc_verb_run, &add},
        {"team", "list", NULL, 0, 0, "List all teams", NULL, options, rpc_verb_run, &list},
        {"team", "show", "TEAM", 1, 1, "Show one team", "The look is written into the team's change log.", options,
         rpc_verb_run, &show},
        {"team", "delete", "TEAM", 1, 1, "Delete a team with everything in it, for good", NULL, options, rpc_verb_run,
         &drop},
        {0},
};
