/*
 * A dump. With a first byte that is odd, its frames are hashed anew, so that what the hashes would have stopped comes
 * through to what reads the records. With its second bit a secret is there, which an encrypted dump among the seeds is
 * of, and what is written again is encrypted. Reading ends, and goes on behind faults; and what is whole gives, written
 * again, the same root hash.
 * One owner is found by the index as by reading all.
 *
 * With its third bit there are several, each behind its length of four bytes, which are read as a chain; and one owner
 * of it, if there is any, is what the chain gives of it.
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

/* The owner of the first chunk that can be read; false: there is none. */
static bool find_owner(struct memory *memory, struct owner *out)
{
        struct dump_reader *reader;
        struct dump_header header;
        struct dump_chunk chunk;
        bool is_found = false;

        memory->at = 0;
        REQUIRE(dump_reader_open(memory_read, memory, &reader) == R_OK);
        dump_reader_set_secret(reader, memory->secret);
        if (dump_reader_header(reader, &header) == R_OK) is_found = dump_reader_next(reader, &chunk) == R_OK;
        if (is_found) *out = chunk.owner;
        dump_reader_close(reader);
        return is_found;
}

/* That owner alone, by the index and in order. What the index gives is what the whole gives. */
static void extract(struct memory *memory, bool is_whole)
{
        struct memory by_index = {0}, in_order = {0};
        struct dump_owner_run run = {.secret = memory->secret,
                                     .read = memory_read,
                                     .seek = memory_seek,
                                     .size = memory->len,
                                     .context = memory,
                                     .write = memory_write,
                                     .write_context = &by_index};
        enum result r;

        if (!find_owner(memory, &run.owner)) return;
        memory->at = 0;
        r = dump_owner_run(&run);
        REQUIRE(r == R_OK || r == R_ABSENT || r == R_CORRUPT || r == R_FORMAT || r == R_UNAUTHENTICATED);
        REQUIRE(!is_whole || r == R_OK);
        if (r == R_OK) REQUIRE(memory_check(&by_index).outcome == R_ABSENT);
        run.seek = NULL;
        run.write_context = &in_order;
        memory->at = 0;
        REQUIRE(!is_whole || (dump_owner_run(&run) == R_OK && in_order.len == by_index.len &&
                              memcmp(in_order.data, by_index.data, in_order.len) == 0));
        memory_free(&by_index);
        memory_free(&in_order);
}

/* ---- Chains ---- */

#define LAYERS_MAX 4

struct seen {
        bool has_owner;
        struct owner owner; /* the last */
        uint64_t records;   /* of it */
};

static enum result take_chunk(void *context, const struct dump_chunk *chunk)
{
        struct dump_chunk copy = *chunk;
        struct seen *seen = context;
        struct dump_record record;

        REQUIRE(chunk->content.len > 0 && !chunk->is_delta);
        if (chunk->is_first) *seen = (struct seen){.has_owner = true, .owner = chunk->owner};
        REQUIRE(seen->has_owner);
        while (dump_chunk_next(&copy, &record)) {
                REQUIRE(!record.is_gone);
                seen->records++;
        }
        return R_OK;
}

static bool is_of_dumps(enum result r)
{
        return r == R_OK || r == R_CORRUPT || r == R_FORMAT || r == R_UNAUTHENTICATED || r == R_WRONG_STATE;
}

static void read_chain(struct memory *memories, size_t count, const struct dump_secret *given)
{
        struct dump_layer layers[LAYERS_MAX];
        struct memory owner = {0};
        struct dump_owner_run run = {.secret = given,
                                     .layers = layers,
                                     .layer_count = count,
                                     .write = memory_write,
                                     .write_context = &owner};
        struct dump_header header;
        struct dump_chain *chain;
        struct seen seen = {0};
        enum result r;
        size_t i;

        for (i = 0; i < count; i++)
                layers[i] = memory_layer(&memories[i]);
        REQUIRE(dump_chain_open(layers, count, given, &chain) == R_OK);
        r = dump_chain_header(chain, &header);
        if (r == R_OK) r = dump_chain_run(chain, take_chunk, &seen);
        REQUIRE(is_of_dumps(r));
        dump_chain_close(chain);
        if (r != R_OK || !seen.has_owner) return;
        for (i = 0; i < count; i++)
                memories[i].at = 0;
        run.owner = seen.owner;
        REQUIRE(dump_owner_run(&run) == R_OK && run.counts.records == seen.records && run.counts.owners == 1);
        REQUIRE(memory_check(&owner).outcome == R_ABSENT);
        memory_free(&owner);
}

static void take_chain(struct bytes input, uint8_t mode)
{
        struct memory memories[LAYERS_MAX] = {0};
        size_t count = 0, len, i;

        while (count < LAYERS_MAX && input.len >= 4) {
                struct memory *memory = &memories[count++];

                len = dump_read_number(input.data, 4);
                input = bytes_of(input.data + 4, input.len - 4);
                if (len > input.len) len = input.len;
                memory->data = malloc(len + 1);
                REQUIRE(memory->data != NULL);
                memcpy(memory->data, input.data, len);
                memory->len = len;
                input = bytes_of(input.data + len, input.len - len);
                if (mode & 1) hash_all(memory);
        }
        if (count > 0) read_chain(memories, count, mode & 2 ? &secret : NULL);
        for (i = 0; i < count; i++)
                memory_free(&memories[i]);
}

static void take_dump(struct bytes input, uint8_t mode)
{
        bool is_hashed = mode % 2 == 1;
        struct memory memory = {.data = malloc(input.len + 1), .len = input.len}, again = {0};
        struct reading reading, second;

        REQUIRE(memory.data != NULL);
        memory.secret = again.secret = mode & 2 ? &secret : NULL;
        if (input.len > 0) memcpy(memory.data, input.data, input.len);
        if (is_hashed) hash_all(&memory);
        reading = memory_check(&memory);
        REQUIRE(reading.outcome != R_OK && reading.outcome != R_IO);
        if (reading.outcome == R_ABSENT && reading.fault_count == 0 && !reading.header.is_incremental) {
                copy(&memory, &again);
                second = memory_check(&again);
                REQUIRE(second.outcome == R_ABSENT && second.fault_count == 0);
                /* Chunks may have been cut elsewhere than a writer cuts them: then that is all that differs. */
                REQUIRE(second.counts.chunks != reading.counts.chunks ||
                        memcmp(second.root_hash, reading.root_hash, SHA256_SIZE) == 0);
        }
        extract(&memory, reading.outcome == R_ABSENT && reading.fault_count == 0);
        memory_free(&memory);
        memory_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        uint8_t mode = fuzz_byte(&input);

        if (mode & 4)
                take_chain(input, mode);
        else
                take_dump(input, mode);
        return 0;
}
