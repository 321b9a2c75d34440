#include "tools/rpc_verb.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/require.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "tools/admin.h"
#include "tools/show.h"
#include "tools/when.h"

#define ARENA_MAX  ((size_t)16 << 20) /* a page of a list is at most 2 MiB, and unpacked some times that */
#define SECRET_MAX 256

static void *member_of(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
        return (char *)message + field->offset;
}

/* `text` is a value's name, in any case, with or without the prefix that its type has. */
static bool find_enum(const ProtobufCEnumDescriptor *type, const char *text, int *out)
{
        const ProtobufCEnumValue *zero = protobuf_c_enum_descriptor_get_value(type, 0);
        size_t prefix = zero == NULL ? 0 : strlen(zero->name) - strlen("UNSPECIFIED");

        for (unsigned i = 0; i < type->n_values; i++) {
                if (type->values[i].value == 0) continue;
                if (strcasecmp(type->values[i].name, text) != 0 && strcasecmp(type->values[i].name + prefix, text) != 0)
                        continue;
                *out = type->values[i].value;
                return true;
        }
        return false;
}

static int set_field(const struct command *command, ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                     const char *text, struct arena *arena)
{
        Google__Protobuf__Timestamp *time;

        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                *(const char **)member_of(message, field) = text;
                return EXIT_DONE;
        case PROTOBUF_C_TYPE_ENUM:
                if (find_enum(field->descriptor, text, member_of(message, field))) return EXIT_DONE;
                return command_misused(command, "`%s` is no %s.", text, field->name);
        case PROTOBUF_C_TYPE_MESSAGE:
                REQUIRE(field->descriptor == &google__protobuf__timestamp__descriptor);
                time = arena_alloc(arena, sizeof *time);
                if (time == NULL) return command_failed(command, "out of memory.");
                google__protobuf__timestamp__init(time);
                if (!when_parse(text, &time->seconds))
                        return command_misused(command, "`%s` is no time: 2027-01-31, 2027-01-31T12:00:00Z or 30d.",
                                               text);
                *(Google__Protobuf__Timestamp **)member_of(message, field) = time;
                return EXIT_DONE;
        default:
                REQUIRE(!"a field that no command line can set");
                return EXIT_FAILED;
        }
}

/* The first line of a file; "-" is standard input. Secrets come this way, since a command line is for all to see. */
static int read_line(const struct command *command, const char *path, char *line, size_t size)
{
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        size_t len;
        bool is_read;

        if (file == NULL) return command_failed(command, "cannot read %s: %m.", path);
        is_read = fgets(line, (int)size, file) != NULL;
        if (file != stdin) fclose(file);
        if (!is_read) return command_failed(command, "%s is empty.", path);
        len = strcspn(line, "\r\n");
        if (line[len] == '\0' && len + 1 == size)
                return command_failed(command, "the first line of %s is too long.", path);
        line[len] = '\0';
        return EXIT_DONE;
}

static int fill_request(const struct arguments *arguments, ProtobufCMessage *request, struct arena *arena)
{
        const struct command *command = arguments->command;
        const struct rpc_verb *verb = command->rpc;
        int code = EXIT_DONE;

        for (int i = 0; i < arguments->count && code == EXIT_DONE; i++) {
                const ProtobufCFieldDescriptor *field =
                        protobuf_c_message_descriptor_get_field_by_name(verb->request, verb->positional[i]);

                REQUIRE(field != NULL);
                code = set_field(command, request, field, arguments->positional[i], arena);
        }
        for (int i = 0; command->options[i].name != NULL && code == EXIT_DONE; i++) {
                const ProtobufCFieldDescriptor *field;
                char name[64], *dash;

                if (arguments->values[i] == NULL) continue;
                snprintf(name, sizeof name, "%s", command->options[i].name);
                while ((dash = strchr(name, '-')) != NULL)
                        *dash = '_';
                field = protobuf_c_message_descriptor_get_field_by_name(verb->request, name);
                if (field != NULL) code = set_field(command, request, field, arguments->values[i], arena);
        }
        return code;
}

static const ProtobufCFieldDescriptor *list_field(const ProtobufCMessageDescriptor *reply)
{
        for (unsigned i = 0; i < reply->n_fields; i++) {
                if (reply->fields[i].label == PROTOBUF_C_LABEL_REPEATED) return &reply->fields[i];
        }
        return NULL;
}

/* Every page, one after another, so that memory does not grow with the list. */
static int call_list(const struct arguments *arguments, struct admin *admin, ProtobufCMessage *request,
                     const ProtobufCFieldDescriptor *token, struct arena *arena)
{
        const struct rpc_verb *verb = arguments->command->rpc;
        const ProtobufCFieldDescriptor *list = list_field(verb->reply);
        const ProtobufCFieldDescriptor *next =
                protobuf_c_message_descriptor_get_field_by_name(verb->reply, "next_page_token");
        struct arena_mark start = arena_mark(arena);
        bool is_json = argument_option(arguments, "json") != NULL;
        char token_text[1024] = "";
        ProtobufCMessage *reply;
        int code;

        REQUIRE(list != NULL && next != NULL);
        for (bool is_first = true;; is_first = false) {
                const ProtobufCMessage *const *elements;
                const char *next_text;
                size_t count;

                arena_reset(arena, start);
                *(const char **)member_of(request, token) = token_text;
                code = admin_call(admin, verb->method, request, verb->reply, arena, &reply);
                if (code != EXIT_DONE) return code;
                elements = *(const ProtobufCMessage *const **)member_of(reply, list);
                count = *(const size_t *)((const char *)reply + list->quantifier_offset);
                if (show_page(stdout, elements, count, is_first, is_json, arena) != R_OK)
                        return command_failed(arguments->command, "out of memory.");
                next_text = *(const char *const *)member_of(reply, next);
                if (next_text[0] == '\0') return EXIT_DONE;
                if (strlen(next_text) >= sizeof token_text)
                        return command_failed(arguments->command, "the server sent a page token that is too long.");
                memcpy(token_text, next_text, strlen(next_text) + 1);
        }
}

static int call_once(const struct arguments *arguments, struct admin *admin, const ProtobufCMessage *request,
                     struct arena *arena)
{
        const struct rpc_verb *verb = arguments->command->rpc;
        bool is_json = argument_option(arguments, "json") != NULL;
        ProtobufCMessage *reply;
        int code = admin_call(admin, verb->method, request, verb->reply, arena, &reply);

        if (code != EXIT_DONE) return code;
        if (verb->reply->n_fields == 0 && !is_json) {
                puts(verb->done);
        } else if (show_message(stdout, reply, is_json, arena) != R_OK) {
                return command_failed(arguments->command, "out of memory.");
        }
        return EXIT_DONE;
}

int rpc_verb_run(const struct arguments *arguments)
{
        const struct command *command = arguments->command;
        const struct rpc_verb *verb = command->rpc;
        const ProtobufCFieldDescriptor *token =
                protobuf_c_message_descriptor_get_field_by_name(verb->request, "page_token");
        const ProtobufCFieldDescriptor *secret =
                protobuf_c_message_descriptor_get_field_by_name(verb->request, "secret");
        char secret_text[SECRET_MAX + 2];
        struct arena arena;
        ProtobufCMessage *request;
        struct admin *admin = NULL;
        int code;

        arena_init(&arena, NULL, ARENA_MAX);
        request = arena_alloc(&arena, verb->request->sizeof_message);
        if (request == NULL) return command_failed(command, "out of memory.");
        verb->request->message_init(request);
        code = fill_request(arguments, request, &arena);
        if (code == EXIT_DONE && secret != NULL) {
                const char *path = argument_option(arguments, "secret-file");

                code = read_line(command, path == NULL ? "-" : path, secret_text, sizeof secret_text);
                *(const char **)member_of(request, secret) = secret_text;
        }
        if (code == EXIT_DONE) code = admin_open(arguments, &admin);
        if (code == EXIT_DONE)
                code = token == NULL ? call_once(arguments, admin, request, &arena)
                                     : call_list(arguments, admin, request, token, &arena);
        admin_close(admin);
        arena_fini(&arena);
        if (code == EXIT_DONE && (fflush(stdout) != 0 || ferror(stdout)))
                code = command_failed(command, "cannot write the output: %m.");
        return code;
}
