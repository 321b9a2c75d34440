#include <stdio.h>
#include <string.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/store.h"
#include "tools/admin.h"

/* What the published guide on team context uses, so that its requests run as printed. */
#define DEMO_USER "ee4988a7-48e2-44ae-81f5-178a44ebeb58"
#define DEMO_TEAM "123e4567-e89b-12d3-a456-426614174000"
#define DEMO_KEY  "12324234"

#define ARENA_MAX ((size_t)1 << 20)

static const struct option_spec options[] = {
        {"data", "DIR", "the store's directory [$ALLOD_DATA]"},
        {"demo", NULL, "with a user, a team and a key to try it with; never served beyond loopback"},
        {0},
};

static void print_demo(void)
{
        puts("\nWith `allod serve` running on its default address, an app of the team:\n\n"
             "curl --location 'http://127.0.0.1:8080/app' --header 'x-api-key: " DEMO_KEY
             "' --header 'x-team-id: " DEMO_TEAM "' \\\n     --header 'Content-Type: application/json' --data '{\n"
             "\"name\": \"Team App\",\n"
             "\"description\": \"An app shared with the team\",\n"
             "\"configuration\": {\n"
             "\"gpu_tier\": \"STANDARD\"\n"
             "},\n"
             "\"workflow\": {\n"
             "\"model_url\": \"https://huggingface.co/example-model\",\n"
             "}\n"
             "}'\n\n"
             "and a personal one:\n\n"
             "curl --location 'http://127.0.0.1:8080/app' --header 'x-api-key: " DEMO_KEY "' \\\n"
             "     --header 'Content-Type: application/json' --data '{\n"
             "\"name\": \"Personal App\",\n"
             "\"description\": \"An app of my own\",\n"
             "\"configuration\": {\n"
             "\"gpu_tier\": \"STANDARD\"\n"
             "},\n"
             "\"workflow\": {\n"
             "\"model_url\": \"https://huggingface.co/example-model\",\n"
             "}\n"
             "}'\n");
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
        enum result r;
        int code;

        if (dir == NULL) return EXIT_USAGE;
        r = store_create(dir, is_demo, why);
        if (r == R_OK)
                printf("Made a store in %s.\n", dir);
        else if (r != R_EXISTS || !is_demo || !is_demo_store(dir))
                return command_failed(arguments->command, "%s", why);
        if (!is_demo) return EXIT_DONE;
        code = fill_demo(arguments);
        if (code == EXIT_DONE) print_demo();
        return code;
}

const struct command init_commands[] = {
        {"init", NULL, NULL, 0, 0, "Make a new store",
         "DIR is made if it is absent, and must be empty. With --demo, an existing demo store is completed instead.",
         options, run, NULL},
        {0},
};
