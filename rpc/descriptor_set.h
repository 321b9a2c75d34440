/*
 * The serialised google.protobuf.FileDescriptorSet of every public .proto and all that these import, without source
 * info, imports before importers. protoc writes it at build time; it is read-only memory of the program.
 */
#ifndef ALLOD_RPC_DESCRIPTOR_SET_H
#define ALLOD_RPC_DESCRIPTOR_SET_H

#include <stdint.h>

#include "engine/bytes.h"

extern const uint8_t descriptor_set_start[];
extern const uint8_t descriptor_set_end[];

static inline struct bytes descriptor_set(void)
{
        return bytes_of(descriptor_set_start, (size_t)(descriptor_set_end - descriptor_set_start));
}

#endif
