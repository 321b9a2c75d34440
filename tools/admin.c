#include "tools/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/caller.h"
#include "engine/message.h"
#include "engine/store.h"
#include "rpc/client.h"
#include "rpc/local.h"
#include "rpc/method.h"

#define TIMEOUT_MS                                                                                                     \
        60000 /* deleting a team of a thousand members waits for one commit, and a busy disk for some seconds */

#define CODE_ALREADY_EXISTS 6 /* google.rpc.Code */

struct admin {
        const struct command *command;
        bool accepts_existing;

        /* a server holds the store */
        struct client *client;

        /* nobody does */
        struct store *store;
        struct local local;
        struct credential who;
};

const char *admin_data_dir(const struct arguments *arguments)
{
        const char *dir = argument_option(arguments, "data");

        if (dir == NULL) dir = getenv("ALLOD_DATA");
        if (dir != NULL && dir[0] != '\0') return dir;
        command_misused(arguments->command, "--data DIR is wanted, or ALLOD_DATA in the environment.");
        return NULL;
}

static int connect_holder(struct admin *admin, const char *dir, const struct store_holder *holder)
{
        char why[CLIENT_WHY_SIZE];

        if (holder->admin_address[0] == '\0')
                return command_failed(
                        admin->command,
                        "%s is held by process %lld, which serves no admin listener; try again when it has "
                        "ended.",
                        dir, (long long)holder->pid);
        if (client_open(holder->admin_address, TIMEOUT_MS, &admin->client, why) == R_OK) return EXIT_DONE;
        return command_failed(admin->command, "%s is served by process %lld: %s", dir, (long long)holder->pid, why);
}

static int open_files(struct admin *admin, const char *dir)
{
        struct store_options options = {.dir = dir};
        struct store_holder holder = {0};
        char why[STORE_WHY_SIZE];
        enum result r = store_open(&options, &admin->store, &holder, NULL, why);

        if (r == R_HELD) return connect_holder(admin, dir, &holder);
        if (r != R_OK) return command_failed(admin->command, "%s", why);
        if (method_init(why) != R_OK) return command_failed(admin->command, "%s", why);
        r = local_open(admin->store, &admin->local);
        if (r != R_OK) return command_failed(admin->command, "cannot read the store: %s.", result_text(r));
        admin->who.plane = PLANE_ADMIN;
        snprintf(admin->who.peer, sizeof admin->who.peer, "tool:uid=%ld,pid=%ld", (long)getuid(), (long)getpid());
        return EXIT_DONE;
}

int admin_open(const struct arguments *arguments, struct admin **out)
{
        const char *dir = admin_data_dir(arguments);
        struct admin *admin;
        int code;

        if (dir == NULL) return EXIT_USAGE;
        admin = calloc(1, sizeof *admin);
        if (admin == NULL) return command_failed(arguments->command, "out of memory.");
        admin->command = arguments->command;
        code = open_files(admin, dir);
        if (code == EXIT_DONE)
                *out = admin;
        else
                admin_close(admin);
        return code;
}

struct store *admin_store(struct admin *admin)
{
        return admin->store;
}

struct client *admin_client(struct admin *admin)
{
        return admin->client;
}

const struct credential *admin_who(const struct admin *admin)
{
        return &admin->who;
}

void admin_accept_existing(struct admin *admin)
{
        admin->accepts_existing = true;
}

static int call_server(struct admin *admin, const char *method, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *reply_type, struct arena *arena, ProtobufCMessage **reply)
{
        struct client_status status;
        struct message encoded;
        struct bytes answer;
        enum result r;

        message_init(&encoded, arena, protobuf_c_message_get_packed_size(request));
        message_pack(&encoded, request);
        r = message_finish(&encoded);
        if (r == R_OK)
                r = client_unary(admin->client, method, NULL, 0, message_so_far(&encoded), TIMEOUT_MS, arena, &status,
                                 &answer);
        if (r == R_IO) return command_failed(admin->command, "%s", client_why(admin->client));
        if (r != R_OK) return command_failed(admin->command, "%s.", result_text(r));
        if (status.code == CODE_ALREADY_EXISTS && admin->accepts_existing) {
                *reply = NULL;
                return EXIT_DONE;
        }
        if (status.code != 0)
                return command_failed(admin->command, "%.*s", (int)status.message.len,
                                      (const char *)status.message.data);
        r = message_unpack(arena, reply_type, answer, reply);
        return r == R_OK ? EXIT_DONE : command_failed(admin->command, "the server's answer does not parse.");
}

static int call_files(struct admin *admin, const char *path, const ProtobufCMessage *request, struct arena *arena,
                      ProtobufCMessage **reply)
{
        const struct method *method = method_find(bytes_of_text(path));
        struct fault fault;
        enum result r;

        r = method == NULL ? R_UNIMPLEMENTED
                           : local_call(&admin->local, method, &admin->who, request, arena, &fault, reply);
        if (r == R_OK) return EXIT_DONE;
        if (r == R_EXISTS && admin->accepts_existing) {
                *reply = NULL;
                return EXIT_DONE;
        }
        if (method != NULL && fault.text[0] != '\0') return command_failed(admin->command, "%s", fault.text);
        if (method != NULL && fault.field_count > 0)
                return command_failed(admin->command, "%s %s.", fault.fields[0].path, fault.fields[0].text);
        return command_failed(admin->command, "%s.", result_text(r));
}

int admin_call(struct admin *admin, const char *method, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *reply_type, struct arena *arena, ProtobufCMessage **reply)
{
        if (admin->client != NULL) return call_server(admin, method, request, reply_type, arena, reply);
        return call_files(admin, method, request, arena, reply);
}

void admin_close(struct admin *admin)
{
        if (admin == NULL) return;
        client_close(admin->client);
        local_close(&admin->local);
        store_close(admin->store);
        free(admin);
}
