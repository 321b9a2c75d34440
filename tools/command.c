#include "tools/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/require.h"

static int find_option(const struct command *command, const char *name, size_t len)
{
        for (int i = 0; command->options[i].name != NULL; i++) {
                if (strlen(command->options[i].name) == len && memcmp(command->options[i].name, name, len) == 0)
                        return i;
        }
        return -1;
}

const char *argument_option(const struct arguments *arguments, const char *name)
{
        int index = find_option(arguments->command, name, strlen(name));

        REQUIRE(index >= 0);
        return arguments->values[index];
}

static void print_name(FILE *out, const struct command *command)
{
        fprintf(out, "allod %s%s%s", command->noun, command->verb == NULL ? "" : " ",
                command->verb == NULL ? "" : command->verb);
}

static void print_line(const struct command *command, const char *format, va_list args)
{
        print_name(stderr, command);
        fputs(": ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
}

int command_failed(const struct command *command, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        print_line(command, format, args);
        va_end(args);
        return EXIT_FAILED;
}

int command_misused(const struct command *command, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        print_line(command, format, args);
        va_end(args);
        fputs("See `", stderr);
        print_name(stderr, command);
        fputs(" --help`.\n", stderr);
        return EXIT_USAGE;
}

static int print_help(const struct command *command)
{
        fputs("usage: ", stdout);
        print_name(stdout, command);
        printf(" %s%s[options]\n\n%s.\n", command->arguments == NULL ? "" : command->arguments,
               command->arguments == NULL ? "" : " ", command->summary);
        if (command->text != NULL) printf("\n%s\n", command->text);
        fputs("\nOptions:\n", stdout);
        for (const struct option_spec *option = command->options; option->name != NULL; option++) {
                int width = printf("  --%s", option->name);

                if (strcmp(option->name, "output") == 0) width += printf(", -o");
                if (option->value != NULL) width += printf(" %s", option->value);

                printf("%*s%s\n", width < 26 ? 26 - width : 1, "", option->help);
        }
        printf("  --help%18s%s\n", "", "this text");
        return EXIT_DONE;
}

/* "-o", if the command has an output; else it is an argument like any other. */
static bool is_output(const struct command *command, const char *word)
{
        return strcmp(word, "-o") == 0 && find_option(command, "output", strlen("output")) >= 0;
}

static bool is_repeated(const struct option_spec *option)
{
        size_t len = option->value == NULL ? 0 : strlen(option->value);

        return len > 3 && strcmp(option->value + len - 3, "...") == 0;
}

/* Returns whether it could be kept, after saying what is wrong. */
static bool keep_value(struct arguments *arguments, int index, const char *value)
{
        const struct option_spec *option = &arguments->command->options[index];

        if (is_repeated(option) && arguments->repeated_count == COMMAND_REPEATS_MAX) {
                command_misused(arguments->command, "--%s is given more than %d times.", option->name,
                                COMMAND_REPEATS_MAX);
                return false;
        }
        if (is_repeated(option))
                arguments->repeated[arguments->repeated_count++] = value;
        else if (arguments->values[index] != NULL) {
                command_misused(arguments->command, "--%s is given twice.", option->name);
                return false;
        }
        arguments->values[index] = value;
        return true;
}

/* One word that starts with "--", or -o. Returns how many words it took, 0 after saying what is wrong. */
static int take_option(struct arguments *arguments, int argc, char **argv)
{
        const struct command *command = arguments->command;
        const char *name = is_output(command, argv[0]) ? "output" : argv[0] + 2;
        const char *equals = strchr(name, '=');
        size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
        int index = find_option(command, name, len);

        if (index < 0) {
                command_misused(command, "there is no option --%.*s.", (int)len, name);
                return 0;
        }
        if (command->options[index].value == NULL) {
                if (equals == NULL) return keep_value(arguments, index, "");
                command_misused(command, "--%.*s takes no value.", (int)len, name);
                return 0;
        }
        if (equals != NULL) return keep_value(arguments, index, equals + 1);
        if (argc < 2) {
                command_misused(command, "%s wants %s.", argv[0], command->options[index].value);
                return 0;
        }
        return keep_value(arguments, index, argv[1]) ? 2 : 0;
}

int command_run(const struct command *command, int argc, char **argv)
{
        struct arguments arguments = {.command = command};
        bool has_ended = false;

        for (int i = 0; i < argc; i++) {
                if (!has_ended && strcmp(argv[i], "--help") == 0) return print_help(command);
        }
        for (int i = 0; i < argc;) {
                if (!has_ended && strcmp(argv[i], "--") == 0) {
                        has_ended = true;
                        i++;
                } else if (!has_ended && (strncmp(argv[i], "--", 2) == 0 || is_output(command, argv[i]))) {
                        int taken = take_option(&arguments, argc - i, argv + i);

                        if (taken == 0) return EXIT_USAGE;
                        i += taken;
                } else if (arguments.count == command->argument_max) {
                        return command_misused(command, "`%s` is one word too many.", argv[i]);
                } else {
                        arguments.positional[arguments.count++] = argv[i++];
                }
        }
        if (arguments.count < command->argument_min)
                return command_misused(command, "%s is wanted.", command->arguments);
        return command->run(&arguments);
}
