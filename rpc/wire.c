#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

#include "engine/message.h"
#include "engine/require.h"
#include "engine/utf8.h"

enum wire_type {
        TYPE_VARINT = 0,
        TYPE_FIXED64 = 1,
        TYPE_BYTES = 2,
        TYPE_FIXED32 = 5
};

/* One field as it stands in the bytes. */
struct item {
        uint32_t number;
        unsigned type;
        uint64_t value;       /* of a varint */
        struct bytes content; /* of TYPE_BYTES; else the value's own bytes */
};

/* The message being read at one depth: enough to name a field when something is wrong with it. */
struct frame {
        const struct frame *parent;
        const ProtobufCMessageDescriptor *descriptor;
        const uint8_t *start;
        const uint8_t *at; /* the tag of the field being read */
        const ProtobufCFieldDescriptor *field;
        unsigned depth;
        uint64_t seen[WIRE_FIELD_COUNT_MAX / 64]; /* singular messages, by place in the descriptor */
};

struct walk {
        const uint8_t *start;
        uint32_t element_count;
        bool has_unknown;
        struct fault *fault;
};

/* At most `len_max` bytes, and no bits beyond 64. Moves *at; false when it is none. */
static bool read_varint(const uint8_t **at, const uint8_t *end, unsigned len_max, uint64_t *value)
{
        const uint8_t *p = *at;
        uint64_t sum = 0;

        if (p < end && *p < 0x80) {
                *value = *p;
                *at = p + 1;
                return true;
        }
        for (unsigned i = 0; i < len_max && p < end; i++, p++) {
                sum |= (uint64_t)(*p & 0x7F) << (7 * i);
                if (*p >= 0x80) continue;
                if (i == 9 && *p > 1) return false;
                *value = sum;
                *at = p + 1;
                return true;
        }
        return false;
}

/* Tags and lengths have 32 bits, and so five bytes. */
static bool read_short_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
        return read_varint(at, end, 5, value) && *value <= UINT32_MAX;
}

/* Read one field. Groups (wire types 3 and 4) are no part of proto3 and malformed here. */
static bool read_item(const uint8_t **at, const uint8_t *end, struct item *item)
{
        const uint8_t *p = *at;
        const uint8_t *content;
        uint64_t tag, len;

        if (!read_short_varint(&p, end, &tag) || tag >> 3 == 0) return false;
        item->number = (uint32_t)(tag >> 3);
        item->type = tag & 7;
        content = p;
        switch (item->type) {
        case TYPE_VARINT:
                if (!read_varint(&p, end, 10, &item->value)) return false;
                len = (uint64_t)(p - content);
                break;
        case TYPE_BYTES:
                if (!read_short_varint(&p, end, &len)) return false;
                content = p;
                break;
        case TYPE_FIXED64:
                len = 8;
                break;
        case TYPE_FIXED32:
                len = 4;
                break;
        default:
                return false;
        }
        if (len > (uint64_t)(end - content)) return false;
        item->content = bytes_of(content, (size_t)len);
        *at = content + len;
        return true;
}

static unsigned wire_type_of(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                return TYPE_BYTES;
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                return TYPE_FIXED32;
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return TYPE_FIXED64;
        default:
                return TYPE_VARINT;
        }
}

/* Most of our messages number their fields from 1 without gaps: no search then. */
static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *descriptor, uint32_t number)
{
        if (descriptor->n_field_ranges == 1) {
                uint32_t index = number - (uint32_t)descriptor->field_ranges[0].start_value;

                return index < descriptor->n_fields ? &descriptor->fields[index] : NULL;
        }
        return protobuf_c_message_descriptor_get_field(descriptor, number);
}

static enum wire_outcome fail_malformed(struct walk *walk, const uint8_t *at)
{
        fault_set(walk->fault, R_BAD_ARGUMENT, "The request is no valid protobuf message: see byte %zu.",
                  (size_t)(at - walk->start));
        return WIRE_MALFORMED;
}

/* How often the field being read occurred before in its message, all of which has been read without complaint. */
static size_t index_of(const struct frame *frame)
{
        const uint8_t *p = frame->start;
        struct item item;
        size_t index = 0;

        while (p < frame->at && read_item(&p, frame->at, &item)) {
                index += item.number == frame->field->id;
        }
        return index;
}

/* "workflow.loras[0].name"; returns its length, cut where there is no more room. */
static size_t put_path(const struct frame *frame, char path[FAULT_PATH_SIZE])
{
        size_t len = 0;

        if (frame->parent != NULL) {
                len = put_path(frame->parent, path);
                len += (size_t)snprintf(path + len, FAULT_PATH_SIZE - len, ".");
        }
        if (len < FAULT_PATH_SIZE) {
                len += (size_t)snprintf(path + len, FAULT_PATH_SIZE - len, "%s", frame->field->name);
        }
        if (len < FAULT_PATH_SIZE && frame->field->label == PROTOBUF_C_LABEL_REPEATED) {
                len += (size_t)snprintf(path + len, FAULT_PATH_SIZE - len, "[%zu]", index_of(frame));
        }
        return len < FAULT_PATH_SIZE ? len : FAULT_PATH_SIZE - 1;
}

static enum wire_outcome fail_field(struct walk *walk, const struct frame *frame, const char *text)
{
        char path[FAULT_PATH_SIZE];

        put_path(frame, path);
        fault_field(walk->fault, path, "%s", text);
        return WIRE_BAD_ARGUMENT;
}

static enum wire_outcome count_elements(struct walk *walk, size_t count)
{
        if (count <= WIRE_ELEMENT_COUNT_MAX - walk->element_count) {
                walk->element_count += (uint32_t)count;
                return WIRE_OK;
        }
        fault_set(walk->fault, R_TOO_LARGE, "The request has more than %d fields and elements.",
                  WIRE_ELEMENT_COUNT_MAX);
        return WIRE_TOO_LARGE;
}

static enum wire_outcome check_enum(struct walk *walk, const struct frame *frame, uint64_t value)
{
        const ProtobufCEnumDescriptor *type = frame->field->descriptor;
        char text[FAULT_TEXT_SIZE];

        if (protobuf_c_enum_descriptor_get_value(type, (int)(int32_t)(uint32_t)value) != NULL) return WIRE_OK;
        snprintf(text, sizeof(text), "must be a known %s, which %d is not", type->short_name,
                 (int)(int32_t)(uint32_t)value);
        return fail_field(walk, frame, text);
}

/* A repeated scalar, many in one. */
static enum wire_outcome check_packed(struct walk *walk, const struct frame *frame, struct bytes content)
{
        unsigned type = wire_type_of(frame->field->type);
        const uint8_t *p = content.data;
        const uint8_t *end = p + content.len;

        if (type != TYPE_VARINT) {
                size_t size = type == TYPE_FIXED64 ? 8 : 4;

                if (content.len % size != 0) return fail_malformed(walk, p);
                return count_elements(walk, content.len / size);
        }
        while (p < end) {
                enum wire_outcome outcome = count_elements(walk, 1);
                const uint8_t *at = p;
                uint64_t value;

                if (outcome != WIRE_OK) return outcome;
                if (!read_varint(&p, end, 10, &value)) return fail_malformed(walk, at);
                if (frame->field->type != PROTOBUF_C_TYPE_ENUM) continue;
                outcome = check_enum(walk, frame, value);
                if (outcome != WIRE_OK) return outcome;
        }
        return WIRE_OK;
}

static enum wire_outcome check_message(struct walk *walk, const struct frame *parent,
                                       const ProtobufCMessageDescriptor *descriptor, struct bytes message);

static enum wire_outcome check_submessage(struct walk *walk, struct frame *frame, struct bytes content)
{
        size_t place = (size_t)(frame->field - frame->descriptor->fields);
        uint64_t bit = (uint64_t)1 << place % 64;

        if (frame->depth == WIRE_DEPTH_MAX) {
                fault_set(walk->fault, R_TOO_LARGE, "The request nests messages more than %d deep.", WIRE_DEPTH_MAX);
                return WIRE_TOO_LARGE;
        }
        if (frame->field->label != PROTOBUF_C_LABEL_REPEATED) {
                if (frame->seen[place / 64] & bit) return fail_field(walk, frame, "must be sent once");
                frame->seen[place / 64] |= bit;
        }
        return check_message(walk, frame, frame->field->descriptor, content);
}

static enum wire_outcome check_field(struct walk *walk, struct frame *frame, const struct item *item)
{
        const ProtobufCFieldDescriptor *field = frame->field;
        enum wire_outcome outcome;

        if (item->type != wire_type_of(field->type)) {
                if (field->label == PROTOBUF_C_LABEL_REPEATED && item->type == TYPE_BYTES) {
                        return check_packed(walk, frame, item->content);
                }
                return fail_malformed(walk, frame->at);
        }
        outcome = count_elements(walk, 1);
        if (outcome != WIRE_OK) return outcome;
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                if (utf8_is_text(item->content)) return WIRE_OK;
                return fail_field(walk, frame, "must be UTF-8 without NUL");
        case PROTOBUF_C_TYPE_ENUM:
                return check_enum(walk, frame, item->value);
        case PROTOBUF_C_TYPE_MESSAGE:
                return check_submessage(walk, frame, item->content);
        default:
                return WIRE_OK;
        }
}

/* Recursion is bounded by WIRE_DEPTH_MAX. */
static enum wire_outcome check_message(struct walk *walk, const struct frame *parent,
                                       const ProtobufCMessageDescriptor *descriptor, struct bytes message)
{
        const uint8_t *end = message.data + message.len;
        const uint8_t *p = message.data;
        struct frame frame = {.parent = parent,
                              .descriptor = descriptor,
                              .start = p,
                              .depth = parent == NULL ? 1 : parent->depth + 1};

        REQUIRE(descriptor->n_fields <= WIRE_FIELD_COUNT_MAX);
        while (p < end) {
                enum wire_outcome outcome;
                struct item item;

                frame.at = p;
                if (!read_item(&p, end, &item)) return fail_malformed(walk, frame.at);
                frame.field = field_of(descriptor, item.number);
                if (frame.field == NULL) {
                        walk->has_unknown = true;
                        continue;
                }
                outcome = check_field(walk, &frame, &item);
                if (outcome != WIRE_OK) return outcome;
        }
        return WIRE_OK;
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
        size_t len = 0;

        for (; value >= 0x80; value >>= 7) {
                out[len++] = (uint8_t)(value | 0x80);
        }
        out[len++] = (uint8_t)value;
        return len;
}

/* Copy a checked message without its unknown fields, at most as long as it is. A sub-message is first written where its
 * content would be if it lost nothing, and moved up if its length then takes fewer bytes. */
static size_t strip(const ProtobufCMessageDescriptor *descriptor, struct bytes message, uint8_t *out)
{
        const uint8_t *end = message.data + message.len;
        const uint8_t *p = message.data;
        uint8_t *to = out;

        while (p < end) {
                const ProtobufCFieldDescriptor *field;
                const uint8_t *at = p;
                struct item item;
                uint8_t *content;
                size_t len;

                REQUIRE(read_item(&p, end, &item));
                field = field_of(descriptor, item.number);
                if (field == NULL) continue;
                if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
                        memcpy(to, at, (size_t)(p - at));
                        to += p - at;
                        continue;
                }
                content = to + (item.content.data - at);
                len = strip(field->descriptor, item.content, content);
                to += put_varint(to, (uint64_t)item.number << 3 | TYPE_BYTES);
                to += put_varint(to, len);
                memmove(to, content, len);
                to += len;
        }
        return (size_t)(to - out);
}

enum wire_outcome wire_check(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                             struct bytes *out, struct fault *fault)
{
        struct walk walk = {.fault = fault};
        enum wire_outcome outcome;
        uint8_t *stripped;

        if (message.data == NULL) message = BYTES("");
        walk.start = message.data;
        outcome = check_message(&walk, NULL, descriptor, message);
        if (outcome != WIRE_OK) return outcome;
        if (!walk.has_unknown) {
                *out = message;
                return WIRE_OK;
        }
        stripped = arena_alloc(arena, message.len);
        if (stripped == NULL) return WIRE_NO_MEMORY;
        *out = bytes_of(stripped, strip(descriptor, message, stripped));
        return WIRE_OK;
}

enum wire_outcome wire_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                              ProtobufCMessage **out, struct fault *fault)
{
        struct bytes checked;
        enum wire_outcome outcome = wire_check(arena, descriptor, message, &checked, fault);
        enum result r;

        if (outcome != WIRE_OK) return outcome;
        r = message_unpack(arena, descriptor, checked, out);
        if (r == R_OK) return WIRE_OK;
        if (r == R_NO_MEMORY) return WIRE_NO_MEMORY;
        fault_set(fault, R_BAD_ARGUMENT, "The request is no valid protobuf message.");
        return WIRE_MALFORMED;
}
