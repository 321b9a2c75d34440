#include "rpc/descriptors.h"

#include <stdlib.h>

#include "engine/require.h"
#include "rpc/descriptor_set.h"

typedef Google__Protobuf__DescriptorProto descriptor_message;
typedef Google__Protobuf__EnumDescriptorProto descriptor_enum;
typedef Google__Protobuf__FieldDescriptorProto descriptor_field;

static struct descriptor_file files[DESCRIPTOR_FILE_COUNT_MAX];
static uint64_t imports[DESCRIPTOR_FILE_COUNT_MAX];
static size_t file_count;

/* ---- Taking the set apart ---- */

static bool take_varint(struct bytes *rest, uint64_t *value)
{
        unsigned shift;

        *value = 0;
        for (shift = 0; shift < 64 && rest->len > 0; shift += 7) {
                uint8_t byte = *rest->data;

                rest->data++;
                rest->len--;
                *value |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) return true;
        }
        return false;
}

/* The set has one field, `repeated FileDescriptorProto file = 1`: tag 0a, a length, the file. */
static bool take_file(struct bytes *rest, struct bytes *file)
{
        uint64_t tag;
        uint64_t len;

        if (!take_varint(rest, &tag) || tag != 0x0a || !take_varint(rest, &len) || len > rest->len) return false;
        *file = bytes_of(rest->data, (size_t)len);
        rest->data += len;
        rest->len -= (size_t)len;
        return true;
}

static bool text_is(const char *text, struct bytes bytes)
{
        return text != NULL && bytes_equal(bytes_of_text(text), bytes);
}

static void *allocate(void *is_out, size_t size)
{
        void *memory = malloc(size);

        if (memory == NULL) *(bool *)is_out = true;
        return memory;
}

static void give_back(void *is_out, void *memory)
{
        (void)is_out;
        free(memory);
}

ProtobufCAllocator descriptor_allocator(bool *is_out)
{
        *is_out = false;
        return (ProtobufCAllocator){allocate, give_back, is_out};
}

static enum result add_file(struct bytes encoded)
{
        bool is_out;
        ProtobufCAllocator allocator = descriptor_allocator(&is_out);
        Google__Protobuf__FileDescriptorProto *content;
        uint64_t bits = UINT64_C(1) << file_count;
        size_t i;

        content = google__protobuf__file_descriptor_proto__unpack(&allocator, encoded.len, encoded.data);
        if (is_out) return R_NO_MEMORY;
        if (content == NULL || content->name == NULL) return R_DEFECT;
        for (i = 0; i < content->n_dependency; i++) {
                size_t index;

                if (descriptor_file_find(bytes_of_text(content->dependency[i]), &index) != R_OK) return R_DEFECT;
                bits |= imports[index];
        }
        imports[file_count] = bits;
        files[file_count++] = (struct descriptor_file){encoded, content};
        return R_OK;
}

enum result descriptors_init(void)
{
        struct bytes rest = descriptor_set();
        enum result r = R_OK;

        if (file_count > 0) return R_OK;
        while (r == R_OK && rest.len > 0) {
                struct bytes encoded;

                if (file_count == DESCRIPTOR_FILE_COUNT_MAX || !take_file(&rest, &encoded))
                        r = R_DEFECT;
                else
                        r = add_file(encoded);
        }
        if (r != R_OK) file_count = 0;
        return r;
}

/* ---- Files ---- */

size_t descriptor_file_count(void)
{
        return file_count;
}

const struct descriptor_file *descriptor_file_at(size_t index)
{
        REQUIRE(index < file_count);
        return &files[index];
}

uint64_t descriptor_file_with_imports(size_t index)
{
        REQUIRE(index < file_count);
        return imports[index];
}

enum result descriptor_file_find(struct bytes name, size_t *index)
{
        size_t i;

        for (i = 0; i < file_count; i++)
                if (text_is(files[i].content->name, name)) {
                        *index = i;
                        return R_OK;
                }
        return R_ABSENT;
}

/* ---- Symbols: looked for by walking, since somebody asks for a few of them in a session ---- */

/* If `rest` starts with `name`, alone or before a dot, move past that. */
static bool take_name(struct bytes *rest, const char *name)
{
        size_t len = name == NULL ? 0 : strlen(name);

        if (len == 0 || rest->len < len || memcmp(rest->data, name, len) != 0) return false;
        if (rest->len > len && (rest->data[len] != '.' || rest->len == len + 1)) return false;
        rest->data += len;
        rest->len -= len;
        if (rest->len > 0) {
                rest->data++;
                rest->len--;
        }
        return true;
}

static bool enums_declare(descriptor_enum *const *enums, size_t count, struct bytes symbol)
{
        size_t i, j;

        for (i = 0; i < count; i++) {
                struct bytes rest = symbol;

                /* A value is named beside its enum, not inside it. */
                for (j = 0; j < enums[i]->n_value; j++)
                        if (text_is(enums[i]->value[j]->name, symbol)) return true;
                if (take_name(&rest, enums[i]->name) && rest.len == 0) return true;
        }
        return false;
}

static bool fields_declare(descriptor_field *const *fields, size_t count, struct bytes symbol)
{
        size_t i;

        for (i = 0; i < count; i++)
                if (text_is(fields[i]->name, symbol)) return true;
        return false;
}

static bool messages_declare(descriptor_message *const *messages, size_t count, struct bytes symbol);

static bool message_declares(const descriptor_message *message, struct bytes symbol)
{
        size_t i;

        if (fields_declare(message->field, message->n_field, symbol) ||
            fields_declare(message->extension, message->n_extension, symbol) ||
            enums_declare(message->enum_type, message->n_enum_type, symbol) ||
            messages_declare(message->nested_type, message->n_nested_type, symbol))
                return true;
        for (i = 0; i < message->n_oneof_decl; i++)
                if (text_is(message->oneof_decl[i]->name, symbol)) return true;
        return false;
}

/* Depth is that of our own .proto files. */
static bool messages_declare(descriptor_message *const *messages, size_t count, struct bytes symbol)
{
        size_t i;

        for (i = 0; i < count; i++) {
                struct bytes rest = symbol;

                if (take_name(&rest, messages[i]->name) && (rest.len == 0 || message_declares(messages[i], rest)))
                        return true;
        }
        return false;
}

static bool services_declare(const Google__Protobuf__FileDescriptorProto *file, struct bytes symbol)
{
        size_t i, j;

        for (i = 0; i < file->n_service; i++) {
                const Google__Protobuf__ServiceDescriptorProto *service = file->service[i];
                struct bytes rest = symbol;

                if (!take_name(&rest, service->name)) continue;
                if (rest.len == 0) return true;
                for (j = 0; j < service->n_method; j++)
                        if (text_is(service->method[j]->name, rest)) return true;
        }
        return false;
}

/* `symbol` without the file's package; false when it is of another one. */
static bool take_package(const Google__Protobuf__FileDescriptorProto *file, struct bytes *symbol)
{
        return file->package == NULL || file->package[0] == '\0' || take_name(symbol, file->package);
}

enum result descriptor_symbol_find(struct bytes symbol, size_t *index)
{
        size_t i;

        for (i = 0; i < file_count; i++) {
                const Google__Protobuf__FileDescriptorProto *file = files[i].content;
                struct bytes rest = symbol;

                if (!take_package(file, &rest) || rest.len == 0) continue;
                if (messages_declare(file->message_type, file->n_message_type, rest) || services_declare(file, rest) ||
                    enums_declare(file->enum_type, file->n_enum_type, rest) ||
                    fields_declare(file->extension, file->n_extension, rest)) {
                        *index = i;
                        return R_OK;
                }
        }
        return R_ABSENT;
}

/* ---- Extensions. All that we import declares them at the top of a file. ---- */

/* Types are written with a leading dot: ".google.protobuf.MethodOptions". */
static bool extends(const descriptor_field *extension, struct bytes type)
{
        return extension->extendee != NULL && extension->extendee[0] == '.' && text_is(extension->extendee + 1, type);
}

enum result descriptor_extension_find(struct bytes type, int32_t number, size_t *index)
{
        size_t i, j;

        for (i = 0; i < file_count; i++)
                for (j = 0; j < files[i].content->n_extension; j++) {
                        const descriptor_field *extension = files[i].content->extension[j];

                        if (extends(extension, type) && extension->number == number) {
                                *index = i;
                                return R_OK;
                        }
                }
        return R_ABSENT;
}

size_t descriptor_extension_numbers(struct bytes type, int32_t *numbers, size_t count)
{
        size_t found = 0;
        size_t i, j;

        for (i = 0; i < file_count; i++)
                for (j = 0; j < files[i].content->n_extension; j++) {
                        const descriptor_field *extension = files[i].content->extension[j];

                        if (!extends(extension, type)) continue;
                        if (found < count) numbers[found] = extension->number;
                        found++;
                }
        return found;
}

/* A message's own name, or the path through those it lies in. */
static bool is_message(descriptor_message *const *messages, size_t count, struct bytes name)
{
        size_t i;

        for (i = 0; i < count; i++) {
                struct bytes rest = name;

                if (take_name(&rest, messages[i]->name) &&
                    (rest.len == 0 || is_message(messages[i]->nested_type, messages[i]->n_nested_type, rest)))
                        return true;
        }
        return false;
}

bool descriptor_message_exists(struct bytes type)
{
        size_t i;

        for (i = 0; i < file_count; i++) {
                const Google__Protobuf__FileDescriptorProto *file = files[i].content;
                struct bytes rest = type;

                if (take_package(file, &rest) && rest.len > 0 &&
                    is_message(file->message_type, file->n_message_type, rest))
                        return true;
        }
        return false;
}
