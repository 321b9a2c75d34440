#include "engine/dump_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <store/v1/dump.pb.h>

#include "engine/dump_frame.h"
#include "engine/require.h"

struct dump_index {
        dump_read_at_fn *read;
        void *context;
        uint64_t at; /* where the reader reads on */
        struct dump_reader *reader;
        struct dump_header header;
        uint8_t root_hash[SHA256_SIZE];

        uint64_t *frames; /* where index frames are, the last one first */
        size_t frame_count, frame_size;
        struct bytes rest; /* of the frame before frames[frame_count] */
        uint8_t last[OWNER_PREFIX_SIZE];
        struct dump_fault fault;
};

static enum result read_on(void *context, uint8_t *data, size_t size, size_t *got)
{
        struct dump_index *index = context;
        enum result r = index->read(index->context, index->at, data, size, got);

        if (r == R_OK) index->at += *got;
        return r;
}

static enum result keep_fault(struct dump_index *index, enum result r)
{
        if (r == R_CORRUPT || r == R_FORMAT || r == R_UNAUTHENTICATED) index->fault = *dump_reader_fault(index->reader);
        return r;
}

static enum result found(struct dump_index *index, uint64_t offset, const char *text)
{
        index->fault = (struct dump_fault){.offset = offset};
        snprintf(index->fault.text, sizeof index->fault.text, "%s", text);
        return R_CORRUPT;
}

static enum result jump(struct dump_index *index, uint64_t offset, enum dump_frame_kind kind, struct bytes *content)
{
        index->at = offset;
        return keep_fault(index, dump_reader_jump(index->reader, offset, kind, content));
}

/* ---- Where the frames are ---- */

static enum result add_frame(struct dump_index *index, uint64_t offset)
{
        size_t size = index->frame_size == 0 ? 64 : 2 * index->frame_size;
        uint64_t *grown;

        if (index->frame_count == index->frame_size) {
                grown = realloc(index->frames, size * sizeof *grown);
                if (grown == NULL) return R_NO_MEMORY;
                index->frames = grown;
                index->frame_size = size;
        }
        index->frames[index->frame_count++] = offset;
        return R_OK;
}

/* From the last one, each of which names the one before it. */
static enum result find_frames(struct dump_index *index, uint64_t offset)
{
        struct bytes content;
        uint64_t before;
        enum result r;

        while (offset != 0) {
                if ((r = add_frame(index, offset)) != R_OK) return r;
                if ((r = jump(index, offset, DUMP_INDEX, &content)) != R_OK) return r;
                if (content.len < 8) return found(index, offset, "the index makes no sense");
                before = dump_read_number(content.data, 8);
                if (before >= offset) return found(index, offset, "the index does not name the one before it");
                offset = before;
        }
        return R_OK;
}

static enum result read_trailer(struct dump_index *index, uint64_t size)
{
        store_v1_DumpTrailer trailer = store_v1_DumpTrailer_init_zero;
        uint8_t end[DUMP_END_SIZE];
        struct bytes content;
        pb_istream_t stream;
        uint64_t offset;
        size_t got = 0;
        enum result r;

        if (size < DUMP_END_SIZE) return found(index, size, "the file is cut off");
        if ((r = index->read(index->context, size - DUMP_END_SIZE, end, sizeof end, &got)) != R_OK) return r;
        offset = dump_read_number(end, sizeof end);
        if (got < sizeof end || offset >= size)
                return found(index, size - DUMP_END_SIZE, "the last bytes do not say where the trailer is");
        if ((r = jump(index, offset, DUMP_TRAILER, &content)) != R_OK) return r;
        stream = pb_istream_from_buffer(content.data, content.len);
        if (!pb_decode(&stream, store_v1_DumpTrailer_fields, &trailer) || trailer.root_hash.size != SHA256_SIZE ||
            trailer.index_offset >= offset)
                return found(index, offset, "the trailer makes no sense");
        memcpy(index->root_hash, trailer.root_hash.bytes, SHA256_SIZE);
        return find_frames(index, trailer.index_offset);
}

/* ---- From outside ---- */

enum result dump_index_open(dump_read_at_fn *read, void *context, uint64_t size, const struct dump_secret *secret,
                            struct dump_index **out, struct dump_fault *fault)
{
        struct dump_index *index = calloc(1, sizeof *index);
        enum result r;

        if (index == NULL) return R_NO_MEMORY;
        index->read = read;
        index->context = context;
        r = dump_reader_open(read_on, index, &index->reader);
        if (r == R_OK) {
                dump_reader_set_secret(index->reader, secret);
                dump_reader_take_incremental(index->reader);
                r = keep_fault(index, dump_reader_header(index->reader, &index->header));
        }
        if (r == R_OK) r = read_trailer(index, size);
        if (r != R_OK) {
                *fault = index->fault;
                dump_index_close(index);
                return r;
        }
        *out = index;
        return R_OK;
}

const struct dump_header *dump_index_header(const struct dump_index *index)
{
        return &index->header;
}

const uint8_t *dump_index_root_hash(const struct dump_index *index)
{
        return index->root_hash;
}

static enum result next_frame(struct dump_index *index)
{
        uint64_t offset;
        enum result r;

        if (index->frame_count == 0) return R_ABSENT;
        offset = index->frames[--index->frame_count];
        if ((r = jump(index, offset, DUMP_INDEX, &index->rest)) != R_OK) return r;
        if (index->rest.len <= 8 || (index->rest.len - 8) % DUMP_INDEX_ENTRY_SIZE != 0)
                return found(index, offset, "the index makes no sense");
        index->rest.data += 8;
        index->rest.len -= 8;
        return R_OK;
}

enum result dump_index_next(void *context, struct dump_entry *out)
{
        struct dump_index *index = context;
        enum result r;

        do {
                if (index->rest.len == 0 && (r = next_frame(index)) != R_OK) return r;
                dump_entry_read(index->rest.data, out);
                index->rest.data += DUMP_INDEX_ENTRY_SIZE;
                index->rest.len -= DUMP_INDEX_ENTRY_SIZE;
                if (memcmp(out->owner, index->last, OWNER_PREFIX_SIZE) <= 0)
                        return found(index, index->frames[index->frame_count], "the index is not in order");
                memcpy(index->last, out->owner, OWNER_PREFIX_SIZE);
        } while (dump_entry_is_gone(out));
        return R_OK;
}

const struct dump_fault *dump_index_fault(const struct dump_index *index)
{
        return &index->fault;
}

void dump_index_close(struct dump_index *index)
{
        if (index == NULL) return;
        dump_reader_close(index->reader);
        free(index->frames);
        free(index);
}
