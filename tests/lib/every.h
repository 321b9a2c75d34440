/*
 * A message with a field of every type, singular and repeated, for the tests of code that is led by descriptors. It is
 * written by hand as protoc-gen-c would write it, because our own schemas use few of the types.
 */
#ifndef ALLOD_TESTS_LIB_EVERY_H
#define ALLOD_TESTS_LIB_EVERY_H

#include <protobuf-c/protobuf-c.h>

/* X(type of protobuf-c, type of C, name). A field's number is its place here, from 1; its repeated form has 20 more. */
#define EVERY_LIST(X)                                                                                                  \
        X(INT32, int32_t, int32_value)                                                                                 \
        X(SINT32, int32_t, sint32_value)                                                                               \
        X(SFIXED32, int32_t, sfixed32_value)                                                                           \
        X(INT64, int64_t, int64_value)                                                                                 \
        X(SINT64, int64_t, sint64_value)                                                                               \
        X(SFIXED64, int64_t, sfixed64_value)                                                                           \
        X(UINT32, uint32_t, uint32_value)                                                                              \
        X(FIXED32, uint32_t, fixed32_value)                                                                            \
        X(UINT64, uint64_t, uint64_value)                                                                              \
        X(FIXED64, uint64_t, fixed64_value)                                                                            \
        X(FLOAT, float, float_value)                                                                                   \
        X(DOUBLE, double, double_value)                                                                                \
        X(BOOL, protobuf_c_boolean, bool_value)                                                                        \
        X(ENUM, int, enum_value)                                                                                       \
        X(STRING, char *, string_value)                                                                                \
        X(BYTES, ProtobufCBinaryData, bytes_value)                                                                     \
        X(MESSAGE, struct every *, message_value)

#define EVERY_REPEATED 20 /* what a repeated field's number has more than its singular form's */

struct every {
        ProtobufCMessage base;
#define X(type, c_type, name) c_type name;
        EVERY_LIST(X)
#undef X
        size_t count[17]; /* by place in EVERY_LIST */
#define X(type, c_type, name) c_type *name##_list;
        EVERY_LIST(X)
#undef X
};

enum every_number {
        EVERY_NUMBER_NONE, /* numbers count from 1 */
#define X(type, c_type, name) EVERY_##type,
        EVERY_LIST(X)
#undef X
};

/* COLOR_NONE 0, COLOR_RED 1, COLOR_FAR -7. */
extern const ProtobufCEnumDescriptor every_color_descriptor;
extern const ProtobufCMessageDescriptor every_descriptor;

/* All default. */
void every_init(struct every *every);

#endif
