/*
 * A full dump and the incremental ones on it, read side by side as the one full dump that they are together: what the
 * store was when the last of them was written. A chain of one is that dump.
 *
 * They are in the same order, so at each owner there is one record of each in hand, and of those with the same name the
 * newest counts. That all of it is right, the last one's root hash shows, which is of the whole state. Before anything
 * is read it is seen that each is based on the one before it, which is why chains are of files that can be read at any
 * place.
 *
 * Memory is a chunk or two of each, some MiB. Thread: one at a time.
 */
#ifndef ALLOD_ENGINE_DUMP_CHAIN_H
#define ALLOD_ENGINE_DUMP_CHAIN_H

#include "engine/dump_index.h"
#include "engine/dump_read.h"

/* A full dump, and one for each day of a month. */
#define DUMP_CHAIN_MAX 32

struct dump_layer {
        dump_read_fn *read;
        dump_read_at_fn *read_at; /* may be NULL in a chain of one */
        void *context;
        uint64_t size; /* for read_at */
};

struct dump_chain;

/* The secret is that of all of them which are encrypted. R_NO_MEMORY. */
enum result dump_chain_open(const struct dump_layer *layers, size_t count, const struct dump_secret *secret,
                            struct dump_chain **out) MUST_USE;

/* The header of what they are together: the last one's. Once, before dump_chain_run. R_WRONG_STATE: one is not based on
 * the one before it. Else as dump_reader_header. */
enum result dump_chain_header(struct dump_chain *chain, struct dump_header *out) MUST_USE;

/* All chunks, one after another, to the callback: as they would be in a full dump. R_OK: that was all, and all is as it
 * was written. R_CORRUPT, R_NO_MEMORY, and what the callbacks answer. */
typedef enum result dump_take_fn(void *context, const struct dump_chunk *chunk);
enum result dump_chain_run(struct dump_chain *chain, dump_take_fn *take, void *context) MUST_USE;

/* What is wrong, and in which of them. Good after R_CORRUPT, R_FORMAT, R_WRONG_STATE and R_UNAUTHENTICATED. */
const struct dump_fault *dump_chain_fault(const struct dump_chain *chain, size_t *layer);

/* Of what they are together, but for `size`, which is of all of them; good after R_OK. */
const struct dump_counts *dump_chain_counts(const struct dump_chain *chain);
const uint8_t *dump_chain_root_hash(const struct dump_chain *chain);

/* Accepts NULL. */
void dump_chain_close(struct dump_chain *chain);

#endif
