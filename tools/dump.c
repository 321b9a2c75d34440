#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/store.h"
#include "engine/txn.h"
#include "tools/admin.h"
#include "tools/dump_file.h"

#define ARENA_MAX ((size_t)16 << 20)

static const struct option_spec options[] = {
        ADMIN_OPTIONS,
        {"owner", "u:ID|t:ID...", "only this user or team; may be given several times"},
        {"output", "FILE", "where to; without it, or `-`, standard output"},
        {0},
};

static const char text[] =
        "What is written is one moment of the store, and all that is needed to make it anew: users, "
        "keys, teams, apps,\njobs. FILE gets its name only when it is whole and on disk. "
        "`allod verify FILE` checks it, `allod restore` makes a\nstore of it. No server may hold the store.";

static int parse_owners(const struct arguments *arguments, struct owner owners[COMMAND_REPEATS_MAX])
{
        for (int i = 0; i < arguments->repeated_count; i++) {
                if (!owner_parse(arguments->repeated[i], &owners[i]))
                        return command_misused(arguments->command, "`%s` is no owner: u: or t:, and an id.",
                                               arguments->repeated[i]);
        }
        return EXIT_DONE;
}

static int open_store(const struct arguments *arguments, struct store **out)
{
        struct store_options store_options = {.dir = admin_data_dir(arguments)};
        char why[STORE_WHY_SIZE];

        if (store_options.dir == NULL) return EXIT_USAGE;
        if (store_open(&store_options, out, NULL, NULL, why) == R_OK) return EXIT_DONE;
        return command_failed(arguments->command, "%s.", why);
}

static int explain(const struct command *command, const struct dump_run *run, const struct dump_sink *sink,
                   enum result r)
{
        char owner[OWNER_TEXT_SIZE];

        owner_text(run->owner, owner);
        switch (r) {
        case R_ABSENT:
                return command_failed(command, "there is no %s.", owner);
        case R_CANCELED:
                return command_failed(command, "interrupted; nothing is left of it.");
        case R_IO:
                if (sink->error != 0) return command_failed(command, "cannot write: %s.", strerror(sink->error));
                return command_failed(command, "%s.", result_text(r));
        case R_CORRUPT:
        case R_TOO_LARGE:
                return command_failed(command, "%s: behind the row %s: %s.", owner, row_kind_name(run->row.kind),
                                      result_text(r));
        default:
                return command_failed(command, "%s.", result_text(r));
        }
}

static enum result run_in_view(struct store *store, struct dump_run *run)
{
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        struct view *view;
        enum result r;

        if ((r = view_open(store, &view)) != R_OK) return r;
        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, dump_store, run);
        arena_fini(&arena);
        view_close(view);
        return r;
}

static int tell(const struct arguments *arguments, const struct dump_run *run, FILE *out)
{
        char hash[HASH_TEXT_SIZE], size[SIZE_TEXT_SIZE];
        struct json_write json;
        struct arena arena;
        struct bytes json_text;
        enum result r = R_OK;

        hash_text(run->root_hash, hash);
        if (argument_option(arguments, "json") == NULL) {
                fputs("Dumped ", out);
                dump_counts_print(out, &run->counts);
                fprintf(out, "The dump has %s; root hash %s.\n", size_text(run->counts.size, size), hash);
                return EXIT_DONE;
        }
        arena_init(&arena, NULL, ARENA_MAX);
        json_write_init(&json, &arena, 1024);
        json_write_object_begin(&json);
        dump_counts_write(&json, &run->counts);
        json_write_name(&json, "root_hash");
        json_write_text(&json, hash);
        json_write_object_end(&json);
        r = json_write_finish(&json, &json_text);
        if (r == R_OK) fprintf(out, "%.*s\n", (int)json_text.len, (const char *)json_text.data);
        arena_fini(&arena);
        return r == R_OK ? EXIT_DONE : command_failed(arguments->command, "out of memory.");
}

static int dump(const struct arguments *arguments, struct store *store, struct dump_run *run)
{
        const struct command *command = arguments->command;
        struct dump_sink sink;
        enum result r;
        int code;

        code = dump_sink_open(command, argument_option(arguments, "output"), "Dumping", &sink);
        if (code != EXIT_DONE) return code;
        run->write = dump_sink_write;
        run->context = &sink;
        r = run_in_view(store, run);
        if (r != R_OK) {
                dump_sink_abandon(&sink);
                return explain(command, run, &sink, r);
        }
        code = dump_sink_finish(command, &sink);
        return code == EXIT_DONE ? tell(arguments, run, sink.path == NULL ? stderr : stdout) : code;
}

static int run_command(const struct arguments *arguments)
{
        struct owner owners[COMMAND_REPEATS_MAX];
        struct dump_run run = {.owners = owners, .owner_count = (size_t)arguments->repeated_count};
        struct store *store;
        int code = parse_owners(arguments, owners);

        if (code == EXIT_DONE) code = open_store(arguments, &store);
        if (code != EXIT_DONE) return code;
        code = dump(arguments, store, &run);
        store_close(store);
        return code;
}

const struct command dump_commands[] = {
        {"dump", NULL, NULL, 0, 0, "Write all of a store, or some owners, into a file", text, options, run_command,
         NULL},
        {0},
};
