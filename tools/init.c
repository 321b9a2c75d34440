#include <stdio.h>
#include <string.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/store.h"
#include "rpc/json_write.h"
#include "tools/admin.h"

/* What the published guide on team context uses, so that its requests run as printed. */
#define DEMO_USER "ee4988a7-48e2-44ae-81f5-178a44ebeb58"
#define DEMO_TEAM "123e4567-e89b-12d3-a456-426614174000"
#define DEMO_KEY  "12324234"

#define ARENA_MAX ((size_t)1 << 20)

static const struct option_spec options[] = {
        ADMIN_OPTIONS,
        {"demo", NULL, "with a user, a team and a key to try it with; never served beyond loopback"},
        {0},
};

/* The guide's example, trailing comma included. */
#define DEMO_BODY                                                                                                      \
        "     --header 'Content-Type: application/json' --data '{\n"                                                   \
        "\"name\": \"Team App\",\n"                                                                                    \
        "\"description\": \"An app shared with the team\",\n"                                                          \
        "\"configuration\": {\n"                                                                                       \
        "\"gpu_tier\": \"STANDARD\"\n"                                                                                 \
        "},\n"                                                                                                         \
        "\"workflow\": {\n"                                                                                            \
        "\"model_url\": \"https://huggingface.co/example-model\",\n"                                                   \
        "}\n"                                                                                                          \
        "}'\n\n"

static void print_demo(void)
{
        fputs("\nWith `allod serve` running on its default address, an app of the team:\n\n"
              "curl --location 'http://127.0.0.1:8080/app' --header 'x-api-key: " DEMO_KEY
              "' --header 'x-team-id: " DEMO_TEAM "' \\\n" DEMO_BODY "and without the team's header a personal one:\n\n"
              "curl --location 'http://127.0.0.1:8080/app' --header 'x-api-key: " DEMO_KEY "' \\\n" DEMO_BODY,
              stdout);
}

static int print_json(const struct command *command, const char *dir, bool is_demo)
{
        struct json_write json;
        struct arena arena;
        struct bytes text;
        enum result r;

        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&json, &arena, 256);
        json_write_object_begin(&json);
        json_write_name(&json, "data");
        json_write_text(&json, dir);
        json_write_name(&json, "demo");
        json_write_bool(&json, is_demo);
        if (is_demo) {
                json_write_name(&json, "user_id");
                json_write_text(&json, DEMO_USER);
                json_write_name(&json, "team_id");
                json_write_text(&json, DEMO_TEAM);
                json_write_name(&json, "key");
                json_write_text(&json, DEMO_KEY);
        }
        json_write_object_end(&json);
        r = json_write_finish(&json, &text);
        if (r == R_OK) printf("%.*s\n", (int)text.len, (const char *)text.data);
        arena_fini(&arena);
        return r == R_OK ? EXIT_DONE : command_failed(command, "out of memory.");
}

/* The three calls may find what an interrupted run has made: that is as good as making it. */
static int fill_demo(const struct arguments *arguments)
{
        Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__AdminCreateTeamRequest team = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;
        Allod__V1__ImportKeyRequest key = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;
        char user_id[] = DEMO_USER, user_name[] = "Demo user", team_id[] = DEMO_TEAM, team_name[] = "Demo team";
        char secret[] = DEMO_KEY, key_name[] = "Demo key";
        struct admin *admin;
        struct arena arena;
        ProtobufCMessage *reply;
        int code;

        user.id = user_id;
        user.name = user_name;
        team.id = team_id;
        team.name = team_name;
        team.owner_user_id = user_id;
        key.user_id = user_id;
        key.name = key_name;
        key.secret = secret;

        code = admin_open(arguments, &admin);
        if (code != EXIT_DONE) return code;
        admin_accept_existing(admin);
        arena_init(&arena, NULL, ARENA_MAX);
        code = admin_call(admin, "/allod.v1.AdminService/CreateUser", &user.base, &allod__v1__user__descriptor, &arena,
                          &reply);
        if (code == EXIT_DONE)
                code = admin_call(admin, "/allod.v1.AdminService/AdminCreateTeam", &team.base,
                                  &allod__v1__team__descriptor, &arena, &reply);
        if (code == EXIT_DONE)
                code = admin_call(admin, "/allod.v1.AdminService/ImportKey", &key.base,
                                  &allod__v1__import_key_response__descriptor, &arena, &reply);
        arena_fini(&arena);
        admin_close(admin);
        return code;
}

static bool is_demo_store(const char *dir)
{
        struct store_options options_now = {.dir = dir};
        char why[STORE_WHY_SIZE];
        struct store *store;
        bool is_demo;

        if (store_open(&options_now, &store, NULL, NULL, why) != R_OK) return false;
        is_demo = store_is_demo(store);
        store_close(store);
        return is_demo;
}

static int run(const struct arguments *arguments)
{
        const char *dir = admin_data_dir(arguments);
        bool is_demo = argument_option(arguments, "demo") != NULL;
        char why[STORE_WHY_SIZE];
        int code = EXIT_DONE;
        enum result r;

        if (dir == NULL) return EXIT_USAGE;
        r = store_create(dir, is_demo, why);
        if (r != R_OK && (r != R_EXISTS || !is_demo || !is_demo_store(dir)))
                return command_failed(arguments->command, "%s", why);
        if (is_demo) code = fill_demo(arguments);
        if (code != EXIT_DONE) return code;
        if (argument_option(arguments, "json") != NULL) return print_json(arguments->command, dir, is_demo);
        if (r == R_OK) printf("Made a store in %s.\n", dir);
        if (is_demo) print_demo();
        return EXIT_DONE;
}

const struct command init_commands[] = {
        {"init", NULL, NULL, 0, 0, "Make a new store",
         "DIR is made if it is absent, and must be empty. With --demo, an existing demo store is completed instead.",
         options, run, NULL},
        {0},
};
