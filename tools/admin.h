/*
 * The way to AdminService: through the admin socket when a server holds the store, in this process on the locked files
 * when nobody does. A subcommand does not see the difference.
 */
#ifndef ALLOD_TOOLS_ADMIN_H
#define ALLOD_TOOLS_ADMIN_H

#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "tools/command.h"

struct admin;
struct client;
struct credential;
struct store;

/* The options that every such command has. */
#define ADMIN_OPTIONS                                                                                                  \
        {"data", "DIR", "the store's directory [$ALLOD_DATA]"},                                                        \
        {                                                                                                              \
                "json", NULL, "print JSON"                                                                             \
        }

/* The directory that --data or ALLOD_DATA names; NULL after saying that none does. */
const char *admin_data_dir(const struct arguments *arguments);

/* EXIT_DONE, or what to exit with after saying what is wrong. */
int admin_open(const struct arguments *arguments, struct admin **out);

/* One of them is NULL: the store, when nobody else holds it; the connection to the server that does. */
struct store *admin_store(struct admin *admin);
struct client *admin_client(struct admin *admin);

/* As whom this process acts on the files. */
const struct credential *admin_who(const struct admin *admin);

/* From now on ALREADY_EXISTS is as good as success; *reply is NULL then. */
void admin_accept_existing(struct admin *admin);

/* One call. On EXIT_DONE *reply lives in the arena. Else the sentence of the failure is printed. */
int admin_call(struct admin *admin, const char *method, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *reply_type, struct arena *arena, ProtobufCMessage **reply);

/* Accepts NULL. */
void admin_close(struct admin *admin);

#endif
