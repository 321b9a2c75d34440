/*
 * What a subcommand is, and the parsing and the help that all share.
 *
 * Options are long ones (`--data DIR` or `--data=DIR`), but for -o, which is --output, and may stand anywhere after the
 * subcommand; `--` ends them. One option of a command at most may be given several times.
 */
#ifndef ALLOD_TOOLS_COMMAND_H
#define ALLOD_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum exit_code {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_FOUND_WRONG = 3, /* verify */
};

#define COMMAND_OPTIONS_MAX   24
#define COMMAND_ARGUMENTS_MAX 32
#define COMMAND_REPEATS_MAX   64

struct option_spec {
        const char *name;  /* without the dashes; NULL ends a list */
        const char *value; /* "DIR"; NULL: it takes none; "ID...": it may be given several times */
        const char *help;
};

struct arguments;
struct rpc_verb;

struct command {
        const char *noun;      /* "user" */
        const char *verb;      /* "add"; NULL when the noun is all */
        const char *arguments; /* "USER [KEY]", for the help */
        int argument_min, argument_max;
        const char *summary; /* one line, no full stop */
        const char *text;    /* what else there is to know; may be NULL */
        const struct option_spec *options;
        int (*run)(const struct arguments *arguments);
        const struct rpc_verb *rpc; /* for commands that are one call of AdminService */
};

/* A command line that was understood. */
struct arguments {
        const struct command *command;
        const char
                *values[COMMAND_OPTIONS_MAX]; /* by index of the option; "" for one without a value; NULL: not given */
        const char *positional[COMMAND_ARGUMENTS_MAX];
        int count;
        const char *repeated[COMMAND_REPEATS_MAX]; /* all values of the option that may be */
        int repeated_count;
};

/* The option's value; NULL when it was not given. Naming one that the command does not have is a defect. */
const char *argument_option(const struct arguments *arguments, const char *name);

/* Parse and run. argv[0] is what follows the noun and the verb. Prints usage errors and the help itself. */
int command_run(const struct command *command, int argc, char **argv);

/* One line on standard error: "allod user add: ...". Returns EXIT_FAILED. */
int command_failed(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a command line that asks for the impossible. Returns EXIT_USAGE. */
int command_misused(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All subcommands, ended by a zeroed one. One list for each file. */
extern const struct command init_commands[], serve_commands[], user_commands[], team_commands[], member_commands[],
        key_commands[], stat_commands[], dump_commands[], restore_commands[], verify_commands[];

#endif
