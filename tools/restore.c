#include "engine/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/admin.h"
#include "tools/dump_secret.h"
#include "tools/dump_sources.h"
#include "tools/restore_owner.h"

#define ARENA_MAX ((size_t)1 << 20)

static const struct option_spec options[] = {
        ADMIN_OPTIONS,
        PROGRESS_OPTIONS,
        DUMP_SECRET_OPTIONS,
        {"dry-run", NULL, "read the dump and look at the place, but make nothing"},
        {"owner", "u:ID|t:ID", "put only this user or team, and into the store that is in DIR"},
        {"as", "u:ID|t:ID", "with --owner: under this id [its own]"},
        {"on-conflict", "HOW",
         "with --owner: where the owner is there, fail, skip the apps that are, or replace them [fail]"},
        {"keep-revoked-from", "DIR", "keys that are revoked in this store stay revoked"},
        {0},
};

static const char text[] = "DIR is made if it is absent, and must be empty. The store is built in DIR/unfinished, read "
                           "back and compared with\nthe dump, and then put into its place: whatever happens, there is "
                           "a whole store or none. FILE `-` is standard\ninput. Page tokens from before end in an "
                           "error.\nDumps made with --since follow the full dump, in their order. With --owner, DIR "
                           "holds a store already, which a server may be serving.";

static int tell(const struct arguments *arguments, const struct restore *restore)
{
        char hash[HASH_TEXT_SIZE];
        struct json_write json;
        struct arena arena;
        struct bytes json_text;
        enum result r;

        hash_text(restore->root_hash, hash);
        if (argument_option(arguments, "json") == NULL) {
                fputs(restore->is_dry ? "The dump is whole: " : "Restored ", stdout);
                dump_counts_print(stdout, &restore->counts);
                if (restore->revoked_dir != NULL)
                        printf("Looked at %" PRIu64 " keys revoked in %s.\n", restore->revoked_count,
                               restore->revoked_dir);
                printf("Root hash %s.\n", hash);
                return EXIT_DONE;
        }
        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&json, &arena, 1024);
        json_write_object_begin(&json);
        json_write_name(&json, "dry_run");
        json_write_bool(&json, restore->is_dry);
        dump_counts_write(&json, &restore->counts);
        json_write_name(&json, "root_hash");
        json_write_text(&json, hash);
        json_write_object_end(&json);
        r = json_write_finish(&json, &json_text);
        if (r == R_OK) printf("%.*s\n", (int)json_text.len, (const char *)json_text.data);
        arena_fini(&arena);
        return r == R_OK ? EXIT_DONE : command_failed(arguments->command, "out of memory.");
}

static int restore_from(const struct arguments *arguments, const struct dump_secret *secret)
{
        const struct command *command = arguments->command;
        struct restore restore = {
                .options = {.dir = admin_data_dir(arguments)},
                .revoked_dir = argument_option(arguments, "keep-revoked-from"),
                .is_dry = argument_option(arguments, "dry-run") != NULL,
                .secret = secret,
        };
        struct dump_sources sources;
        const char *error, *path = NULL;
        size_t count;
        enum result r;
        int code;

        if (argument_option(arguments, "owner") != NULL) {
                if (restore.revoked_dir != NULL)
                        return command_misused(command, "--keep-revoked-from is not for --owner.");
                return restore_owner_command(arguments, secret);
        }
        if (argument_option(arguments, "as") != NULL || argument_option(arguments, "on-conflict") != NULL)
                return command_misused(command, "--as and --on-conflict want --owner.");
        if (restore.options.dir == NULL) return EXIT_USAGE;
        code = dump_sources_open(command, arguments->positional, (size_t)arguments->count, "Restoring", &sources);
        if (code != EXIT_DONE) return code;
        restore.layers = sources.layers;
        restore.layer_count = sources.count;
        r = restore_run(&restore);
        error = dump_sources_error(&sources, &path);
        count = sources.count;
        dump_sources_close(&sources);
        if (r == R_OK) return tell(arguments, &restore);
        if (r == R_CANCELED) return command_failed(command, "interrupted; nothing is left of it.");
        if (r == R_IO && error != NULL) return command_failed(command, "cannot read %s: %s.", path, error);
        if (arguments->count == 1 || restore.fault_layer >= count) return command_failed(command, "%s.", restore.why);
        return command_failed(command, "%s: %s.", arguments->positional[restore.fault_layer], restore.why);
}

static int run(const struct arguments *arguments)
{
        struct dump_secret_place place;
        int code = progress_open(arguments);

        if (code != EXIT_DONE) return code;
        code = dump_secret_read(arguments, false, &place);
        if (code == EXIT_DONE) code = restore_from(arguments, dump_secret_given(&place));
        dump_secret_wipe(&place);
        return code;
}

const struct command restore_commands[] = {
        {"restore", NULL, "FILE [INCREMENTAL...]", 1, DUMP_CHAIN_MAX,
         "Make a store of a dump, or put one owner of it into a store", text, options, run, NULL},
        {0},
};
