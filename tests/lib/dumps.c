#include "tests/lib/dumps.h"

#include <stdlib.h>
#include <string.h>

enum result memory_write(void *context, struct bytes data)
{
        struct memory *memory = context;
        size_t size = memory->len + data.len;

        if (memory->write_room > 0 && size > memory->write_room) return R_IO;
        if (size > memory->size) {
                uint8_t *grown = realloc(memory->data, 2 * size);

                if (grown == NULL) return R_NO_MEMORY;
                memory->data = grown;
                memory->size = 2 * size;
        }
        memcpy(memory->data + memory->len, data.data, data.len);
        memory->len = size;
        return R_OK;
}

enum result memory_read(void *context, uint8_t *data, size_t size, size_t *got)
{
        struct memory *memory = context;

        if (size > memory->len - memory->at) size = memory->len - memory->at;
        if (memory->read_fails > 0 && memory->at + size >= memory->read_fails) return R_IO;
        memcpy(data, memory->data + memory->at, size);
        memory->at += size;
        *got = size;
        return R_OK;
}

enum result memory_seek(void *context, uint64_t offset)
{
        struct memory *memory = context;

        memory->at = offset < memory->len ? offset : memory->len;
        return R_OK;
}

void memory_free(struct memory *memory)
{
        free(memory->data);
        *memory = (struct memory){0};
}

static void note(struct reading *reading, const struct dump_reader *reader)
{
        if (reading->fault_count++ == 0) reading->first = *dump_reader_fault(reader);
}

static void read_chunks(struct reading *reading, struct dump_reader *reader)
{
        struct dump_chunk chunk;

        do {
                reading->outcome = dump_reader_next(reader, &chunk);
                if (reading->outcome == R_CORRUPT) note(reading, reader);
        } while (reading->outcome == R_OK || (reading->outcome == R_CORRUPT && dump_reader_can_go_on(reader)));
        reading->counts = *dump_reader_counts(reader);
        if (reading->outcome == R_ABSENT && reading->fault_count == 0)
                memcpy(reading->root_hash, dump_reader_root_hash(reader), SHA256_SIZE);
}

struct reading memory_check(struct memory *memory)
{
        struct reading reading = {0};
        struct dump_reader *reader;

        memory->at = 0;
        reading.outcome = dump_reader_open(memory_read, memory, &reader);
        if (reading.outcome != R_OK) return reading;
        dump_reader_set_secret(reader, memory->secret);
        dump_reader_take_incremental(reader);
        reading.outcome = dump_reader_header(reader, &reading.header);
        if (reading.outcome == R_OK)
                read_chunks(&reading, reader);
        else if (reading.outcome == R_CORRUPT || reading.outcome == R_FORMAT || reading.outcome == R_UNAUTHENTICATED)
                note(&reading, reader);
        dump_reader_close(reader);
        return reading;
}

enum result memory_read_at(void *context, uint64_t offset, uint8_t *data, size_t size, size_t *got)
{
        const struct memory *memory = context;

        if (offset > memory->len) offset = memory->len;
        if (size > memory->len - offset) size = memory->len - (size_t)offset;
        memcpy(data, memory->data + offset, size);
        *got = size;
        return R_OK;
}

struct dump_layer memory_layer(struct memory *memory)
{
        memory->at = 0;
        return (struct dump_layer){memory_read, memory_read_at, memory, memory->len};
}
