#include "engine/message.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include "engine/require.h"

/* Protobuf's wire types. */
enum wire_type {
        WIRE_VARINT = 0,
        WIRE_FIXED64 = 1,
        WIRE_LEN = 2,
};

#define FIELD_MAX       ((1u << 29) - 1)
#define VARINT_SIZE_MAX 10
#define TAG_SIZE_MAX    5
#define SIZE_MIN        64                  /* of a message whose length nobody guessed */
#define LEN_MAX         ((size_t)INT32_MAX) /* protobuf's own bound */

void message_init(struct message *message, struct arena *arena, size_t expected)
{
        size_t size = expected > SIZE_MIN ? expected : SIZE_MIN;
        uint8_t *start = size <= LEN_MAX ? arena_alloc(arena, MESSAGE_HEADROOM + size) : NULL;

        *message = (struct message){.arena = arena, .has_failed = start == NULL};
        if (start == NULL) return;
        message->data = start + MESSAGE_HEADROOM;
        message->size = size;
}

static bool resize(struct message *message, size_t size)
{
        uint8_t *start = arena_grow(message->arena, message->data - MESSAGE_HEADROOM, MESSAGE_HEADROOM + message->size,
                                    MESSAGE_HEADROOM + size);

        if (start == NULL) return false;
        message->data = start + MESSAGE_HEADROOM;
        message->size = size;
        return true;
}

/* Room for `more` bytes. False when the message has failed, before or by this. */
static bool reserve(struct message *message, size_t more)
{
        size_t size;

        if (message->has_failed) return false;
        if (more <= message->size - message->len) return true;
        if (more <= LEN_MAX - message->len) {
                size = message->len + more;
                /* Twice the size keeps the copies few; near the cap there may be room for the bytes alone. */
                if (size < 2 * message->size && resize(message, 2 * message->size)) return true;
                if (resize(message, size)) return true;
        }
        message->has_failed = true;
        return false;
}

void message_reserve(struct message *message, size_t more)
{
        (void)reserve(message, more);
}

static size_t varint_size(uint64_t value)
{
        size_t size = 1;

        while (value >= 0x80) {
                value >>= 7;
                size++;
        }
        return size;
}

/* The put functions write where there is room already. */
static void put_varint(struct message *message, uint64_t value)
{
        while (value >= 0x80) {
                message->data[message->len++] = (uint8_t)(value | 0x80);
                value >>= 7;
        }
        message->data[message->len++] = (uint8_t)value;
}

static void put_tag(struct message *message, uint32_t field, enum wire_type type)
{
        REQUIRE(field > 0 && field <= FIELD_MAX);
        put_varint(message, (uint64_t)field << 3 | type);
}

static void put_bytes(struct message *message, struct bytes bytes)
{
        if (bytes.len == 0) return;
        memcpy(message->data + message->len, bytes.data, bytes.len);
        message->len += bytes.len;
}

void message_append(struct message *message, struct bytes encoded)
{
        if (reserve(message, encoded.len)) put_bytes(message, encoded);
}

void message_uint(struct message *message, uint32_t field, uint64_t value)
{
        if (value == 0 || !reserve(message, TAG_SIZE_MAX + VARINT_SIZE_MAX)) return;
        put_tag(message, field, WIRE_VARINT);
        put_varint(message, value);
}

void message_int(struct message *message, uint32_t field, int64_t value)
{
        message_uint(message, field, (uint64_t)value);
}

void message_bool(struct message *message, uint32_t field, bool value)
{
        message_uint(message, field, value ? 1 : 0);
}

/* -0.0 is not the default: its bits are not all zero. */
void message_double(struct message *message, uint32_t field, double value)
{
        uint64_t bits;
        size_t i;

        memcpy(&bits, &value, sizeof bits);
        if (bits == 0 || !reserve(message, TAG_SIZE_MAX + sizeof bits)) return;
        put_tag(message, field, WIRE_FIXED64);
        for (i = 0; i < sizeof bits; i++)
                message->data[message->len++] = (uint8_t)(bits >> (8 * i));
}

void message_bytes(struct message *message, uint32_t field, struct bytes value)
{
        if (value.len > 0) message_bytes_always(message, field, value);
}

void message_bytes_always(struct message *message, uint32_t field, struct bytes value)
{
        /* Compared first, so that the sum cannot run over. */
        if (value.len > LEN_MAX) message->has_failed = true;
        if (!reserve(message, TAG_SIZE_MAX + VARINT_SIZE_MAX + value.len)) return;
        put_tag(message, field, WIRE_LEN);
        put_varint(message, value.len);
        put_bytes(message, value);
}

void message_uuid(struct message *message, uint32_t field, struct uuid id)
{
        char text[UUID_TEXT_LEN + 1];

        uuid_format(id, text);
        message_bytes_always(message, field, bytes_of(text, UUID_TEXT_LEN));
}

/* nanos count upwards from the second, before 1970 too. */
void message_timestamp(struct message *message, uint32_t field, int64_t time_ms)
{
        int64_t seconds = time_ms / 1000;
        int64_t rest_ms = time_ms % 1000;
        size_t mark;

        if (rest_ms < 0) {
                seconds--;
                rest_ms += 1000;
        }
        mark = message_begin(message, field);
        message_int(message, 1, seconds);
        message_int(message, 2, rest_ms * 1000000);
        message_end(message, mark);
}

/* One byte is left for the length, which serves up to 127; a longer content moves up when it is known. */
size_t message_begin(struct message *message, uint32_t field)
{
        if (!reserve(message, TAG_SIZE_MAX + 1)) return 0;
        put_tag(message, field, WIRE_LEN);
        return ++message->len;
}

void message_end(struct message *message, size_t mark)
{
        size_t content_len;
        size_t more;

        if (message->has_failed) return;
        REQUIRE(mark > 0 && mark <= message->len);
        content_len = message->len - mark;
        more = varint_size(content_len) - 1;
        if (!reserve(message, more)) return;
        if (more > 0) memmove(message->data + mark + more, message->data + mark, content_len);
        message->len = mark - 1;
        put_varint(message, content_len);
        message->len += content_len;
}

void message_pack(struct message *message, const ProtobufCMessage *content)
{
        size_t size = protobuf_c_message_get_packed_size(content);

        if (!reserve(message, size)) return;
        REQUIRE(protobuf_c_message_pack(content, message->data + message->len) == size);
        message->len += size;
}

enum result message_finish(const struct message *message)
{
        return message->has_failed ? R_NO_MEMORY : R_OK;
}

static void *allocate(void *arena, size_t size)
{
        return arena_alloc(arena, size);
}

static void release(void *arena, void *memory)
{
        (void)arena;
        (void)memory;
}

ProtobufCAllocator message_allocator(struct arena *arena)
{
        return (ProtobufCAllocator){allocate, release, arena};
}

/* protobuf-c answers NULL for bad bytes and for no memory alike, so the allocator remembers which it was. */
struct unpacker {
        struct arena *arena;
        bool has_failed;
};

static void *allocate_unpacked(void *data, size_t size)
{
        struct unpacker *unpacker = data;
        void *memory = arena_alloc(unpacker->arena, size);

        if (memory == NULL) unpacker->has_failed = true;
        return memory;
}

enum result message_unpack(struct arena *arena, const ProtobufCMessageDescriptor *type, struct bytes encoded,
                           ProtobufCMessage **out)
{
        struct unpacker unpacker = {arena, false};
        ProtobufCAllocator allocator = {allocate_unpacked, release, &unpacker};
        ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, encoded.len, encoded.data);

        if (unpacker.has_failed) return R_NO_MEMORY;
        if (message == NULL) return R_CORRUPT;
        *out = message;
        return R_OK;
}

enum result message_store(struct arena *arena, const pb_msgdesc_t *type, const void *content, struct bytes *out)
{
        pb_ostream_t stream;
        uint8_t *data;
        size_t size;

        /* It fails only for a struct that breaks its own bounds, a string without its NUL for one. */
        REQUIRE(pb_get_encoded_size(&size, type, content));
        data = arena_alloc(arena, size);
        if (data == NULL) return R_NO_MEMORY;
        stream = pb_ostream_from_buffer(data, size);
        REQUIRE(pb_encode(&stream, type, content));
        *out = bytes_of(data, size);
        return R_OK;
}

enum result message_load(const pb_msgdesc_t *type, struct bytes encoded, void *out)
{
        pb_istream_t stream = pb_istream_from_buffer(encoded.data, encoded.len);

        return pb_decode(&stream, type, out) ? R_OK : R_CORRUPT;
}
