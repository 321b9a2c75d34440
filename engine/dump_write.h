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

/* All that follows is the next owner's, who has a record at least. */
enum result dump_writer_owner(struct dump_writer *writer, struct owner owner) MUST_USE;

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
