/*
 * Reads a dump from its first byte to its last and trusts none of them: what it hands out has been checked against all
 * that stands before it, and when it says R_ABSENT, everything has.
 *
 * A fault is told once, with the owner and the place; then dump_reader_next may be called again and goes on behind the
 * damaged frame where it can, so that one pass names all that is damaged. Whoever restores gives up at the first.
 *
 * Memory is one chunk, whatever the file says. Thread: one at a time.
 */
#ifndef ALLOD_ENGINE_DUMP_READ_H
#define ALLOD_ENGINE_DUMP_READ_H

#include "engine/dump.h"
#include "engine/dump_frame.h"
#include "engine/dump_key.h"

struct dump_reader;

/* Fill `data`; *got is less than `size` only at the end. R_IO, or whatever the caller wants to hear back. */
typedef enum result dump_read_fn(void *context, uint8_t *data, size_t size, size_t *got);

#define DUMP_FAULT_TEXT_SIZE 160

struct dump_fault {
        bool has_owner;
        struct owner owner; /* whose chunk it is, as far as can be told */
        uint64_t offset;    /* of the frame, or where the file ends */
        char text[DUMP_FAULT_TEXT_SIZE];
};

struct dump_chunk {
        struct owner owner;
        bool is_first; /* of its owner */
        bool is_delta; /* only what has changed of the owner, and what is gone */
        uint64_t offset;
        struct bytes content;
        struct bytes rest; /* what dump_chunk_next has not given yet */
};

enum result dump_reader_open(dump_read_fn *read, void *context, struct dump_reader **out) MUST_USE;

/* The dump must be encrypted with it: who cannot make such a file must not have it read for one either. Before
 * dump_reader_header, which is the last to look at it. NULL: the dump is not encrypted. */
void dump_reader_set_secret(struct dump_reader *reader, const struct dump_secret *secret);

/* For who knows what to make of it: else an incremental dump is refused with R_FORMAT. Before dump_reader_header. */
void dump_reader_take_incremental(struct dump_reader *reader);

/* The header, read by the first call. As dump_reader_next; R_FORMAT: it is no dump, or of a version this program does
 * not know. R_UNAUTHENTICATED: it is encrypted, and the secret does not fit or there is none; or it is not, and there
 * is one. After a failure nothing more can be read. */
enum result dump_reader_header(struct dump_reader *reader, struct dump_header *out) MUST_USE;

/* The next chunk; *out lives until the next call. Call dump_reader_header before. R_ABSENT: that was the end, and
 * unless a fault was told before, all is as it was written. R_CORRUPT: dump_reader_fault says what. R_NO_MEMORY; what
 * the callback answers. */
enum result dump_reader_next(struct dump_reader *reader, struct dump_chunk *out) MUST_USE;

/* The chunk's next record. False: there is no more. */
bool dump_chunk_next(struct dump_chunk *chunk, struct dump_record *out);

/* The sum of the checksums that its records have in a store; *record_count grows by how many they are. */
uint64_t dump_chunk_checksums(const struct dump_chunk *chunk, uint64_t *record_count);

/* "u:018f.., at offset 178: the bytes do not have the hash that they should". */
#define DUMP_FAULT_LINE_SIZE (DUMP_FAULT_TEXT_SIZE + 80)
void dump_fault_line(const struct dump_fault *fault, char out[DUMP_FAULT_LINE_SIZE]);

/* The newest; good after R_CORRUPT, R_FORMAT and R_UNAUTHENTICATED. */
const struct dump_fault *dump_reader_fault(const struct dump_reader *reader);

/* After R_CORRUPT: whether anything behind the fault can be read. */
bool dump_reader_can_go_on(const struct dump_reader *reader);

/* So far. */
const struct dump_counts *dump_reader_counts(const struct dump_reader *reader);

/* Of all owners; good after R_ABSENT. */
const uint8_t *dump_reader_root_hash(const struct dump_reader *reader);

/* ---- Out of order: for dump_owner.c, which finds one owner by the index. ---- */

/* What the callback gives next stands at `offset`, and is frame `number`. After the header. */
void dump_reader_seek(struct dump_reader *reader, uint64_t offset, uint64_t number);

/* One frame, which must be of `kind`; its content lives until the next call. As dump_reader_next. */
enum result dump_reader_frame(struct dump_reader *reader, enum dump_frame_kind kind, struct bytes *content) MUST_USE;

/* Of the one owner whose chunks were read since the seek, as the index should have it; NULL: it were several, or none.
 */
const struct dump_entry *dump_reader_entry(const struct dump_reader *reader);

/* Accepts NULL. */
void dump_reader_close(struct dump_reader *reader);

#endif
