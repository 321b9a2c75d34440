#include "tests/lib/every.h"

#include <string.h>

/* Sorted by number. */
static const ProtobufCEnumValue colors[] = {
        {"COLOR_FAR", "COLOR__FAR", -7},
        {"COLOR_NONE", "COLOR__NONE", 0},
        {"COLOR_RED", "COLOR__RED", 1},
};

static const ProtobufCIntRange color_ranges[] = {{-7, 0}, {0, 1}, {0, 3}};

const ProtobufCEnumDescriptor every_color_descriptor = {
        .magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC,
        .name = "tests.Color",
        .short_name = "Color",
        .n_values = 3,
        .values = colors,
        .n_value_ranges = 2,
        .value_ranges = color_ranges,
};

#define DESCRIPTOR_OF(type)                                                                                            \
        (PROTOBUF_C_TYPE_##type == PROTOBUF_C_TYPE_ENUM      ? (const void *)&every_color_descriptor                   \
         : PROTOBUF_C_TYPE_##type == PROTOBUF_C_TYPE_MESSAGE ? (const void *)&every_descriptor                         \
                                                             : NULL)

static const ProtobufCFieldDescriptor fields[] = {
#define X(field_type, c_type, field_name)                                                                              \
        {.name = #field_name,                                                                                          \
         .id = EVERY_##field_type,                                                                                     \
         .label = PROTOBUF_C_LABEL_NONE,                                                                               \
         .type = PROTOBUF_C_TYPE_##field_type,                                                                         \
         .offset = offsetof(struct every, field_name),                                                                 \
         .descriptor = DESCRIPTOR_OF(field_type)},
        EVERY_LIST(X)
#undef X
#define X(field_type, c_type, field_name)                                                                              \
        {.name = #field_name "_list",                                                                                  \
         .id = EVERY_##field_type + EVERY_REPEATED,                                                                    \
         .label = PROTOBUF_C_LABEL_REPEATED,                                                                           \
         .type = PROTOBUF_C_TYPE_##field_type,                                                                         \
         .quantifier_offset = offsetof(struct every, count) + sizeof(size_t) * (EVERY_##field_type - 1),               \
         .offset = offsetof(struct every, field_name##_list),                                                          \
         .descriptor = DESCRIPTOR_OF(field_type)},
                EVERY_LIST(X)
#undef X
};

static const ProtobufCIntRange ranges[] = {{1, 0}, {1 + EVERY_REPEATED, 17}, {0, 34}};

const ProtobufCMessageDescriptor every_descriptor = {
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .name = "tests.Every",
        .short_name = "Every",
        .sizeof_message = sizeof(struct every),
        .n_fields = 34,
        .fields = fields,
        .n_field_ranges = 2,
        .field_ranges = ranges,
};

void every_init(struct every *every)
{
        memset(every, 0, sizeof(*every));
        every->base.descriptor = &every_descriptor;
}
