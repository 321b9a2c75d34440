/*
 * Writes a dump: owners in the order of keys, each with its records in the order of keys. What comes out is given to a
 * callback piece by piece, in order; nothing is held but one chunk and the owners since the last index frame.
 *
 * The first failure sticks: all that follows fails in the same way and writes nothing. Thread: one at a time.
 */
#ifndef ALLOD_ENGINE_DUMP_WRITE_H
#define ALLOD_ENGINE_DUMP_WRITE_H

#include "engine/dump.h"
#include "engine/dump_key.h"

struct dump_writer;

/* Writes the header. R_NO_MEMORY, or what the callback answers. */
enum result dump_writer_open(const struct dump_header *header, dump_write_fn *write, void *context,
                             struct dump_writer **out) MUST_USE;

/* The same, sealed with `key` unless that is NULL. */
enum result dump_writer_open_sealed(const struct dump_header *header, const struct dump_key *key, dump_write_fn *write,
                                    void *context, struct dump_writer **out) MUST_USE;

/* One that writes nothing but finds the hashes, and gives each chunk to the callback, if it is not NULL. R_NO_MEMORY.
 */
typedef enum result dump_chunk_fn(void *context, struct bytes content);
enum result dump_writer_open_nowhere(dump_chunk_fn *chunk_cb, void *context, struct dump_writer **out) MUST_USE;

/* All that follows is the next owner's, who has a record at least. */
enum result dump_writer_owner(struct dump_writer *writer, struct owner owner) MUST_USE;

/* In an incremental dump: the owner's records that have changed, and those that are gone; and before the next owner,
 * what the owner is as a whole. */
enum result dump_writer_delta(struct dump_writer *writer, struct owner owner) MUST_USE;
enum result dump_writer_gone(struct dump_writer *writer, const struct row *row) MUST_USE;
void dump_writer_whole(struct dump_writer *writer, const struct dump_entry *whole);

/* In an incremental dump: the next owner is as in the base, or is no more. */
enum result dump_writer_unchanged(struct dump_writer *writer, struct owner owner,
                                  const struct dump_entry *base) MUST_USE;
enum result dump_writer_gone_owner(struct dump_writer *writer, struct owner owner) MUST_USE;

/* Ends the owner; what it is. */
enum result dump_writer_end(struct dump_writer *writer, struct dump_entry *out) MUST_USE;

/* The owner's next record, of a primary kind. R_TOO_LARGE: its body is over DUMP_BODY_MAX. */
enum result dump_writer_record(struct dump_writer *writer, const struct row *row, const struct record *record) MUST_USE;

/* Writes what is held, the index and the trailer. Once. */
enum result dump_writer_finish(struct dump_writer *writer) MUST_USE;

/* So far. */
const struct dump_counts *dump_writer_counts(const struct dump_writer *writer);

/* Of all owners; good after dump_writer_finish. */
const uint8_t *dump_writer_root_hash(const struct dump_writer *writer);

/* Accepts NULL. */
void dump_writer_close(struct dump_writer *writer);

#endif
