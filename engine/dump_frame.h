/*
 * Frames of a dump, one at a time: heads, hashes and compression, as dump.h lays them out. For dump_write.c and
 * dump_read.c.
 */
#ifndef ALLOD_ENGINE_DUMP_FRAME_H
#define ALLOD_ENGINE_DUMP_FRAME_H

#include "engine/dump.h"

enum dump_frame_kind {
        DUMP_KEY = 'K',
        DUMP_HEADER = 'H',
        DUMP_CHUNK = 'C',
        DUMP_INDEX = 'I',
        DUMP_TRAILER = 'T',
};

#define DUMP_FLAG_ZSTD   1
#define DUMP_FLAG_SEALED 2
#define DUMP_FLAG_DELTA  4

/* Instead of a body's length: the record is gone. */
#define DUMP_GONE UINT32_MAX

/* Of a head, before its hash. */
#define DUMP_BOUND_SIZE (DUMP_HEAD_SIZE - SHA256_SIZE)

struct dump_frame {
        enum dump_frame_kind kind;
        uint8_t flags;
        uint32_t payload_len;
        uint32_t content_len;
        uint64_t number;
        uint8_t owner[OWNER_PREFIX_SIZE]; /* zeros: of no owner; masked where the payload is sealed */
        uint8_t hash[SHA256_SIZE];
};

/* Takes note of an owner's state while its records go by in order. Of no other change of a key than its last use is
 * there a row in the log; that is why keys are noted apart. */
void dump_state_note(struct dump_state *state, const struct row *row, uint64_t revision, struct bytes body);
bool dump_state_is_equal(const struct dump_state *a, const struct dump_state *b);

/* Whether an entry says that the owner is gone: one that is there has a hash. */
bool dump_entry_is_gone(const struct dump_entry *entry);

/* R_CORRUPT: it is none. */
enum result dump_entry_owner(const struct dump_entry *entry, struct owner *out) MUST_USE;

extern const uint8_t dump_magic[DUMP_MAGIC_SIZE];

void dump_write_number(uint64_t number, size_t size, uint8_t *out);
uint64_t dump_read_number(const uint8_t *data, size_t size);

/* All of the head but the hash. */
void dump_frame_write(const struct dump_frame *frame, uint8_t head[DUMP_HEAD_SIZE]);

/* Set frame->hash and write the head. `dump_hash` is the first frame's; NULL for that itself. R_NO_MEMORY. */
enum result dump_frame_seal(struct dump_frame *frame, const uint8_t *dump_hash, struct bytes payload,
                            uint8_t head[DUMP_HEAD_SIZE]) MUST_USE;

/* What the head says, within bounds. R_CORRUPT: it is no head. Whether it is true is for dump_frame_check. */
enum result dump_frame_read(const uint8_t head[DUMP_HEAD_SIZE], struct dump_frame *out) MUST_USE;

/* R_OK; R_CORRUPT: the hash differs. R_NO_MEMORY. */
enum result dump_frame_check(const struct dump_frame *frame, const uint8_t head[DUMP_HEAD_SIZE],
                             const uint8_t *dump_hash, struct bytes payload) MUST_USE;

void dump_entry_write(const struct dump_entry *entry, uint8_t out[DUMP_INDEX_ENTRY_SIZE]);
void dump_entry_read(const uint8_t data[DUMP_INDEX_ENTRY_SIZE], struct dump_entry *out);

struct dump_reader;

/* For dump_index.c: the frame that starts at `offset`, which is what the reader's callback gives next. From here on
 * the reader can only be jumped with. As dump_reader_next; *content lives until the next call. */
enum result dump_reader_jump(struct dump_reader *reader, uint64_t offset, enum dump_frame_kind kind,
                             struct bytes *content) MUST_USE;
#define DUMP_ANY_NUMBER UINT64_MAX

/* No file has room for so many frames. So what follows a frame's number is never DUMP_ANY_NUMBER, whatever a file says.
 */
#define DUMP_NUMBER_MAX ((uint64_t)1 << 48)

/* hash = SHA-256(hash, a, b). R_NO_MEMORY. */
enum result dump_hash_extend(uint8_t hash[SHA256_SIZE], struct bytes a, struct bytes b) MUST_USE;

/* zstd's state, kept from frame to frame. Zeroed: none yet; made when it is first needed. */
struct dump_codec {
        void *compressor;
        void *decompressor;
};

/* Into `out`, which has room for the content. *len 0: it does not become smaller. R_NO_MEMORY. */
enum result dump_compress(struct dump_codec *codec, struct bytes content, uint8_t *out, size_t *len) MUST_USE;

/* Into `out`, which has room for content_len. R_CORRUPT: it does not give just as many bytes. R_NO_MEMORY. */
enum result dump_decompress(struct dump_codec *codec, struct bytes payload, uint8_t *out, size_t content_len) MUST_USE;

void dump_codec_fini(struct dump_codec *codec);

/* Memory that only grows. */
struct dump_buffer {
        uint8_t *data;
        size_t size;
};

/* Room for `size` bytes; the first `keep` are kept. R_NO_MEMORY: it stays as it was. */
enum result dump_buffer_reserve(struct dump_buffer *buffer, size_t size, size_t keep) MUST_USE;

#endif
