/*
 * Protobuf bytes: built field by field in an arena, or packed and unpacked by the libraries.
 *
 * A reply is mostly stored bytes with a few whole top-level fields appended, which protobuf defines as a merge; so a
 * reply is built as bytes and never as a tree. MESSAGE_HEADROOM bytes before the data stay free, for the prefix of a
 * gRPC frame. The first failure (no memory, over the arena's cap) sticks: further calls do nothing, message_finish
 * reports it.
 */
#ifndef ALLOD_ENGINE_MESSAGE_H
#define ALLOD_ENGINE_MESSAGE_H

#include <pb.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"
#include "engine/uuid.h"

#define MESSAGE_HEADROOM 5

struct message {
        struct arena *arena;
        uint8_t *data; /* first byte of the message; headroom lies before it */
        size_t len;
        size_t size; /* room at data */
        bool has_failed;
};

/* `expected` bytes are reserved at once; a good guess saves copies. */
void message_init(struct message *message, struct arena *arena, size_t expected);

/* Make room for `more` bytes, so that appending them cannot fail later: for what is known only after a put. */
void message_reserve(struct message *message, size_t more);

/* Already encoded fields, as they are. */
void message_append(struct message *message, struct bytes encoded);

/* Scalars that are default (0, "", false) are left out, as proto3 does. */
void message_uint(struct message *message, uint32_t field, uint64_t value);
void message_int(struct message *message, uint32_t field, int64_t value);
void message_bool(struct message *message, uint32_t field, bool value);
void message_double(struct message *message, uint32_t field, double value);
void message_bytes(struct message *message, uint32_t field, struct bytes value);

/* A member of a oneof, or an element of a repeated field: written even when it is empty. */
void message_bytes_always(struct message *message, uint32_t field, struct bytes value);

/* An id as its 36 characters. */
void message_uuid(struct message *message, uint32_t field, struct uuid id);

/* A google.protobuf.Timestamp. */
void message_timestamp(struct message *message, uint32_t field, int64_t time_ms);

/* A sub-message: all that is appended between the two is its content. */
size_t message_begin(struct message *message, uint32_t field);
void message_end(struct message *message, size_t mark);

/* A message of protobuf-c, its fields appended. */
void message_pack(struct message *message, const ProtobufCMessage *content);

/* R_OK, or the first failure: R_NO_MEMORY. */
enum result message_finish(const struct message *message) MUST_USE;

/* The bytes so far; they live as long as the arena and until the next append. */
static inline struct bytes message_so_far(const struct message *message)
{
        return (struct bytes){message->data, message->len};
}

/* A protobuf-c allocator over an arena; free does nothing. It points at the arena, and is good for as long. */
ProtobufCAllocator message_allocator(struct arena *arena);

/* Unpack stored or already checked bytes into the arena. R_CORRUPT: they do not parse. R_NO_MEMORY. Strings are copied,
 * so *out lives as long as the arena. */
enum result message_unpack(struct arena *arena, const ProtobufCMessageDescriptor *type, struct bytes encoded,
                           ProtobufCMessage **out) MUST_USE;

/* nanopb: encode a bounded struct into the arena. R_NO_MEMORY. */
enum result message_store(struct arena *arena, const pb_msgdesc_t *type, const void *content,
                          struct bytes *out) MUST_USE;

/* nanopb: decode into a bounded struct, which is cleared first. R_CORRUPT. */
enum result message_load(const pb_msgdesc_t *type, struct bytes encoded, void *out) MUST_USE;

#endif
