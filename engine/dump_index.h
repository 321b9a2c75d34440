/*
 * What a dump says at its end: the state of each owner and the root hash, read without what is before it. Where a dump
 * can be read at any place, this costs a frame for each DUMP_INDEX_OWNERS owners.
 *
 * Frames are checked one by one, but not that all are there: whoever needs to know that reads the dump (dump_read.h).
 */
#ifndef ALLOD_ENGINE_DUMP_INDEX_H
#define ALLOD_ENGINE_DUMP_INDEX_H

#include "engine/dump_read.h"

struct dump_index;

/* As dump_read_fn, at a place. */
typedef enum result dump_read_at_fn(void *context, uint64_t offset, uint8_t *data, size_t size, size_t *got);

/* Of a dump of `size` bytes. `secret` as dump_reader_set_secret has it. R_CORRUPT, R_FORMAT, R_UNAUTHENTICATED: *fault
 * is set. R_NO_MEMORY, and what the callback answers. */
enum result dump_index_open(dump_read_at_fn *read, void *context, uint64_t size, const struct dump_secret *secret,
                            struct dump_index **out, struct dump_fault *fault) MUST_USE;

const struct dump_header *dump_index_header(const struct dump_index *index);
const uint8_t *dump_index_root_hash(const struct dump_index *index);

/* For struct dump_base: the next owner that is not gone. */
enum result dump_index_next(void *context, struct dump_entry *out) MUST_USE;

/* After R_CORRUPT. */
const struct dump_fault *dump_index_fault(const struct dump_index *index);

/* Accepts NULL. */
void dump_index_close(struct dump_index *index);

#endif
