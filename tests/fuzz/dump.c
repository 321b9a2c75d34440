/*
 * A dump. With a first byte that is odd, its frames are hashed anew, so that what the hashes would have stopped comes
 * through to what reads the records. With its second bit a secret is there, which an encrypted dump among the seeds is
 * of, and what is written again is encrypted. Reading ends, and goes on behind faults; and what is whole gives, written
 * again, the same root hash.
 */
#include "engine/dump.h"

#include <stdlib.h>

#include "engine/dump_frame.h"
#include "engine/require.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/dumps.h"

static const struct dump_secret secret = {false, {(const uint8_t *)"thirty-two bytes, not one more..", 32}};

static void hash_all(struct memory *memory)
{
        uint8_t dump_hash[SHA256_SIZE];
        size_t at = DUMP_MAGIC_SIZE;
        struct dump_frame frame;

        while (at + DUMP_HEAD_SIZE <= memory->len && dump_frame_read(memory->data + at, &frame) == R_OK) {
                uint8_t *payload = memory->data + at + DUMP_HEAD_SIZE;

                if (frame.payload_len > memory->len - at - DUMP_HEAD_SIZE) return;
                REQUIRE(dump_frame_seal(&frame, at == DUMP_MAGIC_SIZE ? NULL : dump_hash,
                                        bytes_of(payload, frame.payload_len), memory->data + at) == R_OK);
                if (at == DUMP_MAGIC_SIZE) memcpy(dump_hash, frame.hash, SHA256_SIZE);
                at += DUMP_HEAD_SIZE + frame.payload_len;
        }
}

/* Read from one dump, write another. */
static void copy(struct memory *from, struct memory *to)
{
        struct dump_writer *writer;
        struct dump_reader *reader;
        struct dump_header header;
        struct dump_record dumped;
        struct dump_chunk chunk;
        struct dump_key key;
        enum result r;

        from->at = 0;
        REQUIRE(dump_key_make(&secret, &key) == R_OK);
        REQUIRE(dump_reader_open(memory_read, from, &reader) == R_OK);
        dump_reader_set_secret(reader, from->secret);
        REQUIRE(dump_reader_header(reader, &header) == R_OK);
        REQUIRE(dump_writer_open_sealed(&header, to->secret == NULL ? NULL : &key, memory_write, to, &writer) == R_OK);
        while ((r = dump_reader_next(reader, &chunk)) == R_OK) {
                if (chunk.is_first) REQUIRE(dump_writer_owner(writer, chunk.owner) == R_OK);
                while (dump_chunk_next(&chunk, &dumped)) {
                        const struct record record = {dumped.revision, dumped.body};

                        REQUIRE(dump_writer_record(writer, &dumped.row, &record) == R_OK);
                }
        }
        REQUIRE(r == R_ABSENT && dump_writer_finish(writer) == R_OK);
        dump_reader_close(reader);
        dump_writer_close(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        uint8_t mode = fuzz_byte(&input);
        bool is_hashed = mode % 2 == 1;
        struct memory memory = {.data = malloc(input.len + 1), .len = input.len}, again = {0};
        struct reading reading, second;

        REQUIRE(memory.data != NULL);
        memory.secret = again.secret = mode & 2 ? &secret : NULL;
        if (input.len > 0) memcpy(memory.data, input.data, input.len);
        if (is_hashed) hash_all(&memory);
        reading = memory_check(&memory);
        REQUIRE(reading.outcome != R_OK && reading.outcome != R_IO);
        if (reading.outcome == R_ABSENT && reading.fault_count == 0) {
                copy(&memory, &again);
                second = memory_check(&again);
                REQUIRE(second.outcome == R_ABSENT && second.fault_count == 0);
                /* Chunks may have been cut elsewhere than a writer cuts them: then that is all that differs. */
                REQUIRE(second.counts.chunks != reading.counts.chunks ||
                        memcmp(second.root_hash, reading.root_hash, SHA256_SIZE) == 0);
        }
        memory_free(&memory);
        memory_free(&again);
        return 0;
}
