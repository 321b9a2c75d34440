/*
 * The embedded descriptor set, taken apart: files, what they import, and what is declared where.
 *
 * Thread: descriptors_init once, before any other (method_init calls it); the rest any. What is returned lives as long
 * as the process.
 */
#ifndef ALLOD_RPC_DESCRIPTORS_H
#define ALLOD_RPC_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "google/protobuf/descriptor.pb-c.h"

/* 18 files now; one more for each service to come, and some that these import. Bits of uint64_t stand for them. */
#define DESCRIPTOR_FILE_COUNT_MAX 64

struct descriptor_file {
        struct bytes encoded; /* the FileDescriptorProto, as protoc wrote it */
        const Google__Protobuf__FileDescriptorProto *content;
};

/* R_OK, also when it has been called before. R_NO_MEMORY. R_DEFECT: the set does not parse, has too many files, or one
 * imports what is not before it. */
enum result descriptors_init(void) MUST_USE;

/* For unpacking parts of descriptors: the heap, and *is_out, which outlives it, tells whether it gave out. */
ProtobufCAllocator descriptor_allocator(bool *is_out);

size_t descriptor_file_count(void);
const struct descriptor_file *descriptor_file_at(size_t index);

/* Bits of the file and of all it imports, directly or not. */
uint64_t descriptor_file_with_imports(size_t index);

/* R_ABSENT: no such file. */
enum result descriptor_file_find(struct bytes name, size_t *index) MUST_USE;

/* The file that declares a message, enum, service, method, field, oneof, enum value or extension, named in full and
 * without a leading dot. R_ABSENT. */
enum result descriptor_symbol_find(struct bytes symbol, size_t *index) MUST_USE;

/* The file that declares extension `number` of message `type` (in full, no leading dot). R_ABSENT. */
enum result descriptor_extension_find(struct bytes type, int32_t number, size_t *index) MUST_USE;

/* Numbers of the extensions of `type`: returns how many there are, writes the first `count` of them. */
size_t descriptor_extension_numbers(struct bytes type, int32_t *numbers, size_t count);

/* Whether a message of that name is declared. */
bool descriptor_message_exists(struct bytes type);

#endif
