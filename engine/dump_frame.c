#include "engine/dump_frame.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "engine/dump_key.h"
#include "engine/require.h"

/* Where the fields of a head are. */
enum {
        HEAD_KIND = 0,
        HEAD_FLAGS = 1,
        HEAD_ZERO = 2,
        HEAD_PAYLOAD_LEN = 4,
        HEAD_CONTENT_LEN = 8,
        HEAD_NUMBER = 12,
        HEAD_OWNER = 20,
        HEAD_ZERO_TOO = 38,
        HEAD_HASH = 40,
};

_Static_assert(HEAD_HASH == DUMP_BOUND_SIZE && HEAD_HASH + SHA256_SIZE == DUMP_HEAD_SIZE, "the hash ends the head");

/* The level that is faster than our disks. */
#define LEVEL 1

const uint8_t dump_magic[DUMP_MAGIC_SIZE] = {0x89, 'A', 'L', 'L', 'O', 'D', '\r', '\n'};

void dump_write_number(uint64_t number, size_t size, uint8_t *out)
{
        size_t i;

        for (i = 0; i < size; i++)
                out[i] = (uint8_t)(number >> 8 * (size - 1 - i));
}

uint64_t dump_read_number(const uint8_t *data, size_t size)
{
        uint64_t number = 0;
        size_t i;

        for (i = 0; i < size; i++)
                number = number << 8 | data[i];
        return number;
}

/* ---- Heads ---- */

static enum result hash_frame(const uint8_t head[DUMP_HEAD_SIZE], const uint8_t *dump_hash, struct bytes payload,
                              uint8_t out[SHA256_SIZE])
{
        static const uint8_t none[SHA256_SIZE];
        const struct bytes parts[] = {
                bytes_of(head, HEAD_HASH),
                bytes_of(dump_hash == NULL ? none : dump_hash, SHA256_SIZE),
                payload,
        };

        return sha256_of(parts, sizeof parts / sizeof parts[0], out);
}

void dump_frame_write(const struct dump_frame *frame, uint8_t head[DUMP_HEAD_SIZE])
{
        memset(head, 0, DUMP_HEAD_SIZE);
        head[HEAD_KIND] = (uint8_t)frame->kind;
        head[HEAD_FLAGS] = frame->flags;
        dump_write_number(frame->payload_len, 4, head + HEAD_PAYLOAD_LEN);
        dump_write_number(frame->content_len, 4, head + HEAD_CONTENT_LEN);
        dump_write_number(frame->number, 8, head + HEAD_NUMBER);
        memcpy(head + HEAD_OWNER, frame->owner, OWNER_PREFIX_SIZE);
}

enum result dump_frame_seal(struct dump_frame *frame, const uint8_t *dump_hash, struct bytes payload,
                            uint8_t head[DUMP_HEAD_SIZE])
{
        enum result r;

        dump_frame_write(frame, head);
        if ((r = hash_frame(head, dump_hash, payload, frame->hash)) != R_OK) return r;
        memcpy(head + HEAD_HASH, frame->hash, SHA256_SIZE);
        return R_OK;
}

static bool is_kind(uint8_t kind)
{
        return kind == DUMP_KEY || kind == DUMP_HEADER || kind == DUMP_CHUNK || kind == DUMP_INDEX ||
               kind == DUMP_TRAILER;
}

/* The payload's length as the content's would have it. */
static bool fits(const struct dump_frame *frame)
{
        uint32_t tag_size = frame->flags & DUMP_FLAG_SEALED ? DUMP_TAG_SIZE : 0;

        if (frame->content_len > DUMP_CONTENT_MAX || frame->payload_len < tag_size) return false;
        if (frame->flags & DUMP_FLAG_ZSTD) return frame->payload_len - tag_size <= frame->content_len;
        return frame->payload_len - tag_size == frame->content_len;
}

enum result dump_frame_read(const uint8_t head[DUMP_HEAD_SIZE], struct dump_frame *out)
{
        struct dump_frame frame = {
                .kind = (enum dump_frame_kind)head[HEAD_KIND],
                .flags = head[HEAD_FLAGS],
                .payload_len = (uint32_t)dump_read_number(head + HEAD_PAYLOAD_LEN, 4),
                .content_len = (uint32_t)dump_read_number(head + HEAD_CONTENT_LEN, 4),
                .number = dump_read_number(head + HEAD_NUMBER, 8),
        };

        if (!is_kind(head[HEAD_KIND]) || (frame.flags & ~(DUMP_FLAG_ZSTD | DUMP_FLAG_SEALED | DUMP_FLAG_DELTA)) != 0)
                return R_CORRUPT;
        if ((frame.flags & DUMP_FLAG_DELTA) && frame.kind != DUMP_CHUNK) return R_CORRUPT;
        if (dump_read_number(head + HEAD_ZERO, 2) != 0 || dump_read_number(head + HEAD_ZERO_TOO, 2) != 0)
                return R_CORRUPT;
        if (!fits(&frame)) return R_CORRUPT;
        memcpy(frame.owner, head + HEAD_OWNER, OWNER_PREFIX_SIZE);
        memcpy(frame.hash, head + HEAD_HASH, SHA256_SIZE);
        *out = frame;
        return R_OK;
}

enum result dump_frame_check(const struct dump_frame *frame, const uint8_t head[DUMP_HEAD_SIZE],
                             const uint8_t *dump_hash, struct bytes payload)
{
        uint8_t hash[SHA256_SIZE];
        enum result r;

        REQUIRE(payload.len == frame->payload_len);
        if ((r = hash_frame(head, dump_hash, payload, hash)) != R_OK) return r;
        return memcmp(hash, frame->hash, SHA256_SIZE) == 0 ? R_OK : R_CORRUPT;
}

/* ---- The index ---- */

void dump_entry_write(const struct dump_entry *entry, uint8_t out[DUMP_INDEX_ENTRY_SIZE])
{
        memcpy(out, entry->owner, OWNER_PREFIX_SIZE);
        dump_write_number(entry->offset, 8, out + 18);
        dump_write_number(entry->chunk_count, 4, out + 26);
        dump_write_number(entry->record_count, 8, out + 30);
        memcpy(out + 38, entry->hash, SHA256_SIZE);
        dump_write_number(entry->state.revision, 8, out + 70);
        dump_write_number(entry->state.history, 8, out + 78);
        dump_write_number(entry->state.keys, 8, out + 86);
}

void dump_entry_read(const uint8_t data[DUMP_INDEX_ENTRY_SIZE], struct dump_entry *out)
{
        memcpy(out->owner, data, OWNER_PREFIX_SIZE);
        out->offset = dump_read_number(data + 18, 8);
        out->chunk_count = (uint32_t)dump_read_number(data + 26, 4);
        out->record_count = dump_read_number(data + 30, 8);
        memcpy(out->hash, data + 38, SHA256_SIZE);
        out->state.revision = dump_read_number(data + 70, 8);
        out->state.history = dump_read_number(data + 78, 8);
        out->state.keys = dump_read_number(data + 86, 8);
        out->state.oldest = 0;
        out->is_delta = out->is_gone = false;
}

bool dump_entry_is_gone(const struct dump_entry *entry)
{
        static const uint8_t none[SHA256_SIZE];

        return memcmp(entry->hash, none, sizeof none) == 0;
}

void dump_state_note(struct dump_state *state, const struct row *row, uint64_t revision, struct bytes body)
{
        if (row->kind == ROW_KEY) state->keys = XXH3_64bits_withSeed(body.data, body.len, state->keys);
        if (row->kind != ROW_CHANGE) return;
        if (state->oldest == 0) state->oldest = revision;
        state->revision = revision;
        state->history = XXH3_64bits_withSeed(body.data, body.len, state->oldest);
}

/* Key.c alone reads keys, so a name that every owner has is put behind it. */
enum result dump_entry_owner(const struct dump_entry *entry, struct owner *out)
{
        uint8_t key[OWNER_PREFIX_SIZE + 1];
        struct row row;

        memcpy(key, entry->owner, OWNER_PREFIX_SIZE);
        key[OWNER_PREFIX_SIZE] = 'P';
        return key_read(bytes_of(key, sizeof key), out, &row);
}

bool dump_state_is_equal(const struct dump_state *a, const struct dump_state *b)
{
        return a->revision == b->revision && a->history == b->history && a->keys == b->keys;
}

enum result dump_hash_extend(uint8_t hash[SHA256_SIZE], struct bytes a, struct bytes b)
{
        const struct bytes parts[] = {bytes_of(hash, SHA256_SIZE), a, b};

        return sha256_of(parts, sizeof parts / sizeof parts[0], hash);
}

/* ---- Compression ---- */

enum result dump_compress(struct dump_codec *codec, struct bytes content, uint8_t *out, size_t *len)
{
        size_t size;

        if (codec->compressor == NULL) codec->compressor = ZSTD_createCCtx();
        if (codec->compressor == NULL) return R_NO_MEMORY;
        size = ZSTD_compressCCtx(codec->compressor, out, content.len, content.data, content.len, LEVEL);
        if (ZSTD_isError(size) && ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall) return R_NO_MEMORY;
        *len = ZSTD_isError(size) || size >= content.len ? 0 : size;
        return R_OK;
}

/* A frame asks for no more memory than its content: its window is at most that. */
enum result dump_decompress(struct dump_codec *codec, struct bytes payload, uint8_t *out, size_t content_len)
{
        size_t size;

        if (codec->decompressor == NULL) codec->decompressor = ZSTD_createDCtx();
        if (codec->decompressor == NULL) return R_NO_MEMORY;
        if (ZSTD_findFrameCompressedSize(payload.data, payload.len) != payload.len) return R_CORRUPT;
        size = ZSTD_decompressDCtx(codec->decompressor, out, content_len, payload.data, payload.len);
        return !ZSTD_isError(size) && size == content_len ? R_OK : R_CORRUPT;
}

void dump_codec_fini(struct dump_codec *codec)
{
        ZSTD_freeCCtx(codec->compressor);
        ZSTD_freeDCtx(codec->decompressor);
        *codec = (struct dump_codec){0};
}

/* ---- Memory ---- */

enum result dump_buffer_reserve(struct dump_buffer *buffer, size_t size, size_t keep)
{
        uint8_t *data;

        if (size <= buffer->size) return R_OK;
        if (size < 2 * buffer->size) size = 2 * buffer->size;
        data = malloc(size);
        if (data == NULL) return R_NO_MEMORY;
        if (keep > 0) memcpy(data, buffer->data, keep);
        free(buffer->data);
        *buffer = (struct dump_buffer){data, size};
        return R_OK;
}
