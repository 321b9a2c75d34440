/*
 * allod: one program, one subcommand for each job.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "engine/backend.h"
#include "rpc/version.h"
#include "tools/command.h"

static const struct command *const all_commands[] = {
        init_commands, serve_commands, user_commands, team_commands,   member_commands,
        key_commands,  stat_commands,  dump_commands, verify_commands, restore_commands,
};

#define LISTS (sizeof all_commands / sizeof all_commands[0])

static int print_help(FILE *out)
{
        fputs("usage: allod COMMAND [arguments] [options]\n\n"
              "A store of resources in which every record has one owner, a user or a team.\n\nCommands:\n",
              out);
        for (size_t i = 0; i < LISTS; i++) {
                for (const struct command *command = all_commands[i]; command->noun != NULL; command++) {
                        int width = fprintf(
                                out, "  %s %s%s%s", command->noun, command->verb == NULL ? "" : command->verb,
                                command->verb == NULL ? "" : " ", command->arguments == NULL ? "" : command->arguments);

                        fprintf(out, "%*s%s\n", width < 34 ? 34 - width : 1, "", command->summary);
                }
        }
        fputs("\n`allod COMMAND --help` tells more. Exit codes: 0 done, 1 failed, 2 bad usage, 3 found something "
              "wrong.\n"
              "Commands on a store work with a running server and without one, but for verify. --data DIR or the "
              "environment\n"
              "variable ALLOD_DATA says where the store is. USER, OWNER, TEAM and KEY are ids (UUIDs).\n",
              out);
        return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

/* The command that the words name; NULL. *words is how many it took. */
static const struct command *find_command(int argc, char **argv, int *words, bool *has_noun)
{
        *has_noun = false;
        for (size_t i = 0; i < LISTS; i++) {
                for (const struct command *command = all_commands[i]; command->noun != NULL; command++) {
                        if (strcmp(command->noun, argv[0]) != 0) continue;
                        *has_noun = true;
                        *words = command->verb == NULL ? 1 : 2;
                        if (command->verb == NULL || (argc > 1 && strcmp(command->verb, argv[1]) == 0)) return command;
                }
        }
        return NULL;
}

static int print_verbs(const char *noun, bool is_asked)
{
        FILE *out = is_asked ? stdout : stderr;

        for (size_t i = 0; i < LISTS; i++) {
                for (const struct command *command = all_commands[i]; command->noun != NULL; command++) {
                        if (strcmp(command->noun, noun) != 0) continue;
                        fprintf(out, "usage: allod %s %s %s%s[options]   %s\n", noun, command->verb,
                                command->arguments == NULL ? "" : command->arguments,
                                command->arguments == NULL ? "" : " ", command->summary);
                }
        }
        return is_asked ? EXIT_DONE : EXIT_USAGE;
}

int main(int argc, char **argv)
{
        const struct command *command;
        bool has_noun;
        int words;

        signal(SIGXFSZ, SIG_IGN); /* the write fails instead, and a limit on the size of files is a full disk */
        if (argc < 2) return print_help(stderr);
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) return print_help(stdout);
        if (strcmp(argv[1], "--version") == 0) {
                printf("allod %s (%s)\n", ALLOD_VERSION, backend_version());
                return EXIT_DONE;
        }
        command = find_command(argc - 1, argv + 1, &words, &has_noun);
        if (command != NULL) return command_run(command, argc - 1 - words, argv + 1 + words);
        if (has_noun) return print_verbs(argv[1], argc > 2 && strcmp(argv[2], "--help") == 0);
        fprintf(stderr, "allod: there is no command `%s`. See `allod --help`.\n", argv[1]);
        return EXIT_USAGE;
}
