#include "rpc/protojson.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/require.h"
#include "rpc/base64.h"
#include "rpc/time_text.h"

#define NAME_SIZE 128 /* field names are our own */

/* Copy a path or a name, each underscore and the letter behind it becoming that letter in upper case. */
static size_t camel(const char *name, char *out)
{
        char *to = out;

        for (; *name != '\0'; name++) {
                if (*name == '_' && name[1] >= 'a' && name[1] <= 'z') {
                        *to++ = (char)(*++name - 'a' + 'A');
                } else if (*name != '_') {
                        *to++ = *name;
                }
        }
        *to = '\0';
        return (size_t)(to - out);
}

static const void *member(const ProtobufCMessage *message, unsigned offset)
{
        return (const uint8_t *)message + offset;
}

static const void *member_numbered(const ProtobufCMessage *message, unsigned number)
{
        return member(message, protobuf_c_message_descriptor_get_field(message->descriptor, number)->offset);
}

static void write_timestamp(struct json_write *write, const ProtobufCMessage *message)
{
        int64_t seconds = *(const int64_t *)member_numbered(message, 1);
        int32_t nanos = *(const int32_t *)member_numbered(message, 2);
        char text[TIME_TEXT_RFC3339_SIZE];

        if (time_text_rfc3339(seconds, nanos, text)) {
                json_write_text(write, text);
        } else {
                json_write_null(write);
        }
}

/* "-1.500s". Seconds and nanos have the same sign. */
static void write_duration(struct json_write *write, const ProtobufCMessage *message)
{
        int64_t seconds = *(const int64_t *)member_numbered(message, 1);
        int64_t nanos = *(const int32_t *)member_numbered(message, 2);
        bool is_negative = seconds < 0 || nanos < 0;
        uint64_t whole = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
        uint64_t fraction = (uint64_t)(nanos < 0 ? -nanos : nanos);
        char text[40];
        int digit_count = 9;

        while (digit_count > 0 && fraction % 1000 == 0) {
                fraction /= 1000;
                digit_count -= 3;
        }
        if (digit_count == 0) {
                snprintf(text, sizeof(text), "%s%" PRIu64 "s", is_negative ? "-" : "", whole);
        } else {
                snprintf(text, sizeof(text), "%s%" PRIu64 ".%0*" PRIu64 "s", is_negative ? "-" : "", whole, digit_count,
                         fraction);
        }
        json_write_text(write, text);
}

/* Its paths in lowerCamelCase, joined by commas. */
static void write_field_mask(struct json_write *write, const ProtobufCMessage *message)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(message->descriptor, 1);
        size_t count = *(const size_t *)member(message, field->quantifier_offset);
        char *const *paths = *(char *const *const *)member(message, field->offset);
        size_t size = 1;
        char *text, *to;

        for (size_t i = 0; i < count; i++) {
                size += strlen(paths[i]) + 1;
        }
        text = arena_alloc(write->arena, size);
        if (text == NULL) {
                write->has_failed = true;
                return;
        }
        to = text;
        for (size_t i = 0; i < count; i++) {
                if (i > 0) *to++ = ',';
                to += camel(paths[i], to);
        }
        json_write_string(write, bytes_of(text, (size_t)(to - text)));
}

static bool write_known_type(struct json_write *write, const ProtobufCMessage *message)
{
        static const char package[] = "google.protobuf.";
        const char *name = message->descriptor->name;

        if (strncmp(name, package, sizeof(package) - 1) != 0) return false;
        name += sizeof(package) - 1;
        if (strcmp(name, "Timestamp") == 0) {
                write_timestamp(write, message);
        } else if (strcmp(name, "Duration") == 0) {
                write_duration(write, message);
        } else if (strcmp(name, "FieldMask") == 0) {
                write_field_mask(write, message);
        } else {
                return false;
        }
        return true;
}

static void write_bytes(struct json_write *write, const ProtobufCBinaryData *data)
{
        char *text = arena_alloc(write->arena, BASE64_LEN(data->len));

        if (text == NULL) {
                write->has_failed = true;
                return;
        }
        json_write_string(write, bytes_of(text, base64_encode(bytes_of(data->data, data->len), true, text)));
}

static void write_enum(struct json_write *write, const ProtobufCEnumDescriptor *type, int number)
{
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);

        if (value != NULL) {
                json_write_text(write, value->name);
        } else {
                json_write_int64(write, number);
        }
}

static void write_real(struct json_write *write, double value, bool is_float)
{
        if (isnan(value)) {
                json_write_text(write, "NaN");
        } else if (isinf(value)) {
                json_write_text(write, value > 0 ? "Infinity" : "-Infinity");
        } else if (is_float) {
                json_write_float(write, (float)value);
        } else {
                json_write_double(write, value);
        }
}

static void write_long(struct json_write *write, const void *value, bool is_signed)
{
        char text[24];

        if (is_signed) {
                snprintf(text, sizeof(text), "%" PRId64, *(const int64_t *)value);
        } else {
                snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)value);
        }
        json_write_text(write, text);
}

static const char *text_of(const char *text)
{
        return text == NULL ? "" : text;
}

/* One value of the field's type, at `value`. */
static void write_value(struct json_write *write, const ProtobufCFieldDescriptor *field, const void *value,
                        unsigned options)
{
        switch (field->type) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
                json_write_int64(write, *(const int32_t *)value);
                break;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_FIXED32:
                json_write_uint64(write, *(const uint32_t *)value);
                break;
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
                write_long(write, value, true);
                break;
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
                write_long(write, value, false);
                break;
        case PROTOBUF_C_TYPE_FLOAT:
                write_real(write, (double)*(const float *)value, true);
                break;
        case PROTOBUF_C_TYPE_DOUBLE:
                write_real(write, *(const double *)value, false);
                break;
        case PROTOBUF_C_TYPE_BOOL:
                json_write_bool(write, *(const protobuf_c_boolean *)value);
                break;
        case PROTOBUF_C_TYPE_ENUM:
                write_enum(write, field->descriptor, *(const int *)value);
                break;
        case PROTOBUF_C_TYPE_STRING:
                json_write_text(write, text_of(*(const char *const *)value));
                break;
        case PROTOBUF_C_TYPE_BYTES:
                write_bytes(write, value);
                break;
        case PROTOBUF_C_TYPE_MESSAGE:
                protojson_write(write, *(const ProtobufCMessage *const *)value, options);
                break;
        }
}

static size_t size_of(ProtobufCType type)
{
        switch (type) {
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return 8;
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_MESSAGE:
                return sizeof(void *);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return 4;
        }
}

static bool is_zero(const void *value, size_t size)
{
        static const uint8_t zero[8];

        return memcmp(value, zero, size) == 0;
}

/* Is a singular field there to be written? */
static bool is_present(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const void *value,
                       unsigned options)
{
        const void *quantifier = member(message, field->quantifier_offset);
        bool has_default = (options & PROTOJSON_DEFAULTS) != 0;

        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) return *(const uint32_t *)quantifier == field->id;
        if (field->label == PROTOBUF_C_LABEL_REQUIRED) return true;
        switch (field->type) {
        case PROTOBUF_C_TYPE_MESSAGE:
                return *(const void *const *)value != NULL;
        case PROTOBUF_C_TYPE_STRING:
                if (field->label == PROTOBUF_C_LABEL_OPTIONAL) return *(const void *const *)value != NULL;
                return has_default || text_of(*(const char *const *)value)[0] != '\0';
        case PROTOBUF_C_TYPE_BYTES:
                if (field->label == PROTOBUF_C_LABEL_OPTIONAL) return *(const protobuf_c_boolean *)quantifier;
                return has_default || ((const ProtobufCBinaryData *)value)->len > 0;
        default:
                if (field->label == PROTOBUF_C_LABEL_OPTIONAL) return *(const protobuf_c_boolean *)quantifier;
                return has_default || !is_zero(value, size_of(field->type));
        }
}

static void write_name(struct json_write *write, const char *name, unsigned options)
{
        char text[NAME_SIZE];

        if (options & PROTOJSON_JSON_NAMES) {
                REQUIRE(strlen(name) < NAME_SIZE);
                camel(name, text);
                name = text;
        }
        json_write_name(write, name);
}

static void write_repeated(struct json_write *write, const ProtobufCMessage *message,
                           const ProtobufCFieldDescriptor *field, unsigned options)
{
        size_t count = *(const size_t *)member(message, field->quantifier_offset);
        const uint8_t *values = *(const uint8_t *const *)member(message, field->offset);
        size_t size = size_of(field->type);

        if (count == 0 && (options & PROTOJSON_DEFAULTS) == 0) return;
        write_name(write, field->name, options);
        json_write_array_begin(write);
        for (size_t i = 0; i < count; i++) {
                write_value(write, field, values + i * size, options);
        }
        json_write_array_end(write);
}

void protojson_write(struct json_write *write, const ProtobufCMessage *message, unsigned options)
{
        const ProtobufCMessageDescriptor *descriptor = message->descriptor;

        if (write_known_type(write, message)) return;
        json_write_object_begin(write);
        for (unsigned i = 0; i < descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
                const void *value = member(message, field->offset);

                if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                        write_repeated(write, message, field, options);
                } else if (is_present(message, field, value, options)) {
                        write_name(write, field->name, options);
                        write_value(write, field, value, options);
                }
        }
        json_write_object_end(write);
}
