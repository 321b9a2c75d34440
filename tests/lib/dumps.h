/*
 * Dumps in memory: written, read, and damaged.
 */
#ifndef ALLOD_TESTS_LIB_DUMPS_H
#define ALLOD_TESTS_LIB_DUMPS_H

#include "engine/dump_chain.h"
#include "engine/dump_owner.h"
#include "engine/dump_write.h"

/* What a writer wrote, or a reader is to read. */
struct memory {
        uint8_t *data;
        size_t len, size;
        size_t at;                        /* how far it was read */
        size_t read_fails;                /* reading fails at this byte; 0: never */
        size_t write_room;                /* writing fails beyond; 0: never */
        const struct dump_secret *secret; /* what to read it with; NULL: none */
};

/* For struct memory as the context. */
dump_write_fn memory_write;
dump_read_fn memory_read;
dump_read_at_fn memory_read_at;

/* Of a chain. */
struct dump_layer memory_layer(struct memory *memory);

/* Reading goes on at `offset`. */
dump_seek_fn memory_seek;

void memory_free(struct memory *memory);

/* What a reading found: faults, and records of each owner. */
struct reading {
        enum result outcome; /* of the last call */
        unsigned fault_count;
        struct dump_fault first;
        struct dump_header header;
        struct dump_counts counts;
        uint8_t root_hash[SHA256_SIZE]; /* after R_ABSENT without faults */
};

/* Read all that can be read. */
struct reading memory_check(struct memory *memory);

#endif
