/*
 * ProtoJSON writer: a message by its protobuf-c descriptor.
 *
 * Enums by name (by number where the number is unknown), 64-bit integers as strings, bytes as base64, NaN and
 * infinities as strings; Timestamp, Duration and FieldMask in their text forms, Empty as {}. Any is written as the
 * plain message it is. Messages come from our own schemas, which never recurse.
 */
#ifndef ALLOD_RPC_PROTOJSON_H
#define ALLOD_RPC_PROTOJSON_H

#include <protobuf-c/protobuf-c.h>

#include "rpc/json_write.h"

enum protojson_options {
        PROTOJSON_PLAIN = 0,           /* proto field names, default values left out */
        PROTOJSON_JSON_NAMES = 1 << 0, /* lowerCamelCase names, as the ProtoJSON specification has it */
        PROTOJSON_DEFAULTS = 1 << 1,   /* write default values too; absent messages and oneofs stay out */
};

/* Append the message as one value. */
void protojson_write(struct json_write *write, const ProtobufCMessage *message, unsigned options);

#endif
