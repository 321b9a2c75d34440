/*
 * A subcommand that is one call of AdminService: its words become fields of the request, the reply is printed.
 */
#ifndef ALLOD_TOOLS_RPC_VERB_H
#define ALLOD_TOOLS_RPC_VERB_H

#include <protobuf-c/protobuf-c.h>

#include "tools/command.h"

struct rpc_verb {
        const char *method; /* "/allod.v1.AdminService/GetUser" */
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *reply;
        const char *positional[COMMAND_ARGUMENTS_MAX]; /* the request's field for each word */
        const char *done;                              /* for replies without content: "User deleted." */
};

/*
 * Options take the field of the same name (dashes for underscores) if the request has one. Fields are strings, enums
 * (by name, with or without their prefix, in any case), or times (RFC 3339, a date, or a span from now such as 30d or
 * 12h). A request with page_token is called until the last page.
 */
int rpc_verb_run(const struct arguments *arguments);

#endif
