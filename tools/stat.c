#include "allod/v1/admin.pb-c.h"
#include "tools/admin.h"
#include "tools/rpc_verb.h"

static const struct option_spec options[] = {ADMIN_OPTIONS, {0}};

static const struct rpc_verb stat_verb = {
        .method = "/allod.v1.AdminService/GetStats",
        .request = &allod__v1__get_stats_request__descriptor,
        .reply = &allod__v1__stats__descriptor,
};

const struct command stat_commands[] = {
        {"stat", NULL, NULL, 0, 0, "Show sizes and counts of the store and its server",
         "Commits, updates, connections, calls and the uptime are the server's since its start; without one they say "
         "nothing.",
         options, rpc_verb_run, &stat_verb},
        {0},
};
