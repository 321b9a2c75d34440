#include "allod/v1/admin.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "tools/admin.h"
#include "tools/rpc_verb.h"

static const struct option_spec options[] = {ADMIN_OPTIONS, {0}};
static const struct option_spec add_options[] = {
        ADMIN_OPTIONS,
        {"name", "TEXT", "what it is for, 1 to 200 characters; required"},
        {"expires-at", "TIME", "2027-01-31, 2027-01-31T12:00:00Z, or a span in s, m, h, d or w such as 90d [never]"},
        {0},
};
static const struct option_spec import_options[] = {
        ADMIN_OPTIONS,
        {"name", "TEXT", "what it is for, 1 to 200 characters; required"},
        {"expires-at", "TIME", "2027-01-31, 2027-01-31T12:00:00Z, or a span in s, m, h, d or w such as 90d [never]"},
        {"secret-file", "FILE", "its first line is the key; - is standard input [-]"},
        {0},
};

static const struct rpc_verb add = {
        .method = "/allod.v1.AdminService/AddKey",
        .request = &allod__v1__add_key_request__descriptor,
        .reply = &allod__v1__add_key_response__descriptor,
        .positional = {"user_id"},
};
static const struct rpc_verb import = {
        .method = "/allod.v1.AdminService/ImportKey",
        .request = &allod__v1__import_key_request__descriptor,
        .reply = &allod__v1__import_key_response__descriptor,
        .positional = {"user_id"},
};
static const struct rpc_verb list = {
        .method = "/allod.v1.AdminService/AdminListKeys",
        .request = &allod__v1__admin_list_keys_request__descriptor,
        .reply = &allod__v1__admin_list_keys_response__descriptor,
        .positional = {"user_id"},
};
static const struct rpc_verb revoke = {
        .method = "/allod.v1.AdminService/AdminRevokeKey",
        .request = &allod__v1__admin_revoke_key_request__descriptor,
        .reply = &google__protobuf__empty__descriptor,
        .positional = {"user_id", "id"},
        .done = "Key revoked.",
};

const struct command key_commands[] = {
        {"key", "add", "USER", 1, 1, "Make an API key for a user", "The secret is shown once and stored nowhere.",
         add_options, rpc_verb_run, &add},
        {"key", "import", "USER", 1, 1, "Take a given secret as an API key, for migrations and demos",
         "The secret is read from standard input or a file, never from the command line, which others can see.",
         import_options, rpc_verb_run, &import},
        {"key", "list", "USER", 1, 1, "List a user's keys", "The look is written into the user's change log.", options,
         rpc_verb_run, &list},
        {"key", "revoke", "USER KEY", 2, 2, "Revoke a key, from the next request on",
         "KEY is the key's id, as `allod key list` shows it. The key stays listed.", options, rpc_verb_run, &revoke},
        {0},
};
