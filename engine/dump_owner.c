#include "engine/dump_owner.h"

#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <store/v1/dump.pb.h>

#include "engine/dump_write.h"

struct extract {
        struct dump_owner_run *run;
        struct dump_reader *reader;
        struct dump_writer *writer;
        struct dump_header header;
        struct key prefix; /* of the owner */
        bool is_found;
};

static enum result damaged(struct extract *extract, uint64_t offset, const char *text)
{
        struct dump_fault *fault = &extract->run->fault;

        *fault = (struct dump_fault){.offset = offset};
        memcpy(fault->text, text, strlen(text) + 1);
        return R_CORRUPT;
}

/* ---- Writing ---- */

static enum result begin(struct extract *extract)
{
        struct dump_owner_run *run = extract->run;
        enum result r;

        extract->is_found = true;
        extract->header.is_partial = true;
        r = dump_writer_open(&extract->header, run->write, run->write_context, &extract->writer);
        return r == R_OK ? dump_writer_owner(extract->writer, run->owner) : r;
}

static bool is_wanted(const struct extract *extract, struct owner owner)
{
        struct key prefix;

        key_owner(owner, &prefix);
        return memcmp(prefix.data, extract->prefix.data, OWNER_PREFIX_SIZE) == 0;
}

static enum result copy_chunk(struct extract *extract, struct dump_chunk *chunk)
{
        struct dump_record record;
        enum result r = R_OK;

        if (!is_wanted(extract, chunk->owner))
                return damaged(extract, chunk->offset, "the index leads to another owner");
        if (!extract->is_found) r = begin(extract);
        while (r == R_OK && dump_chunk_next(chunk, &record)) {
                const struct record content = {record.revision, record.body};

                r = dump_writer_record(extract->writer, &record.row, &content);
        }
        return r;
}

static enum result finish(struct extract *extract)
{
        enum result r;

        if (!extract->is_found) return R_ABSENT;
        if ((r = dump_writer_finish(extract->writer)) != R_OK) return r;
        extract->run->counts = *dump_writer_counts(extract->writer);
        return R_OK;
}

/* ---- From the start to the end ---- */

static enum result copy_in_order(struct extract *extract)
{
        struct dump_chunk chunk;
        enum result r;

        while ((r = dump_reader_next(extract->reader, &chunk)) == R_OK) {
                if (!is_wanted(extract, chunk.owner)) continue;
                if ((r = copy_chunk(extract, &chunk)) != R_OK) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* ---- By the index ---- */

/* The reader goes on at a frame that starts there, whatever its number. */
static enum result go_to(struct extract *extract, uint64_t offset)
{
        const struct dump_owner_run *run = extract->run;
        uint8_t head[DUMP_HEAD_SIZE];
        struct dump_frame frame;
        size_t got;
        enum result r;

        if ((r = run->seek(run->context, offset)) != R_OK) return r;
        if ((r = run->read(run->context, head, sizeof head, &got)) != R_OK) return r;
        if (got < sizeof head || dump_frame_read(head, &frame) != R_OK)
                return damaged(extract, offset, "no frame of a dump starts here");
        if ((r = run->seek(run->context, offset)) != R_OK) return r;
        dump_reader_seek(extract->reader, offset, frame.number);
        return R_OK;
}

static enum result frame_at(struct extract *extract, uint64_t offset, enum dump_frame_kind kind, struct bytes *content)
{
        enum result r = go_to(extract, offset);

        return r == R_OK ? dump_reader_frame(extract->reader, kind, content) : r;
}

/* Where the last index is; 0: there is none. */
static enum result find_index(struct extract *extract, uint64_t *offset)
{
        struct dump_owner_run *run = extract->run;
        uint8_t end[DUMP_END_SIZE];
        store_v1_DumpTrailer trailer = store_v1_DumpTrailer_init_zero;
        struct bytes content = {0};
        pb_istream_t stream;
        uint64_t at;
        size_t got;
        enum result r;

        if (run->size < DUMP_END_SIZE) return damaged(extract, run->size, "the file is cut off");
        if ((r = run->seek(run->context, run->size - DUMP_END_SIZE)) != R_OK) return r;
        if ((r = run->read(run->context, end, sizeof end, &got)) != R_OK) return r;
        at = dump_read_number(end, sizeof end);
        if (got < sizeof end || at >= run->size) return damaged(extract, run->size, "the file is cut off");
        if ((r = frame_at(extract, at, DUMP_TRAILER, &content)) != R_OK) return r;
        stream = pb_istream_from_buffer(content.data, content.len);
        if (!pb_decode(&stream, store_v1_DumpTrailer_fields, &trailer) || trailer.index_offset >= at)
                return damaged(extract, at, "the trailer makes no sense");
        *offset = trailer.index_offset;
        return R_OK;
}

static bool find_in_index(const struct extract *extract, struct bytes content, struct dump_entry *out)
{
        size_t at;

        for (at = 8; at + DUMP_INDEX_ENTRY_SIZE <= content.len; at += DUMP_INDEX_ENTRY_SIZE) {
                dump_entry_read(content.data + at, out);
                if (memcmp(out->owner, extract->prefix.data, OWNER_PREFIX_SIZE) == 0) return true;
        }
        return false;
}

/* R_ABSENT: the dump does not have the owner. */
static enum result find_entry(struct extract *extract, struct dump_entry *out)
{
        struct bytes content = {0};
        uint64_t offset, before;
        enum result r = find_index(extract, &offset);

        while (r == R_OK && offset != 0) {
                if ((r = frame_at(extract, offset, DUMP_INDEX, &content)) != R_OK) return r;
                if (find_in_index(extract, content, out)) return R_OK;
                before = content.len < 8 ? offset : dump_read_number(content.data, 8);
                if (before >= offset) return damaged(extract, offset, "the index does not name one before it");
                offset = before;
        }
        return r == R_OK ? R_ABSENT : r;
}

static bool is_as_indexed(const struct dump_entry *read, const struct dump_entry *indexed)
{
        return read != NULL && memcmp(read->owner, indexed->owner, OWNER_PREFIX_SIZE) == 0 &&
               read->chunk_count == indexed->chunk_count && read->record_count == indexed->record_count &&
               memcmp(read->hash, indexed->hash, SHA256_SIZE) == 0;
}

static enum result copy_by_index(struct extract *extract)
{
        struct dump_entry entry = {0};
        struct dump_chunk chunk;
        uint32_t i;
        enum result r;

        if ((r = find_entry(extract, &entry)) != R_OK) return r;
        if ((r = go_to(extract, entry.offset)) != R_OK) return r;
        for (i = 0; i < entry.chunk_count; i++) {
                r = dump_reader_next(extract->reader, &chunk);
                if (r == R_ABSENT)
                        return damaged(extract, entry.offset, "the owner has fewer chunks than the index says");
                if (r == R_OK) r = copy_chunk(extract, &chunk);
                if (r != R_OK) return r;
        }
        if (is_as_indexed(dump_reader_entry(extract->reader), &entry)) return R_OK;
        return damaged(extract, entry.offset, "the index says something else of this owner");
}

/* ---- Out of a chain ---- */

static enum result take_chunk(void *context, const struct dump_chunk *chunk)
{
        struct extract *extract = context;
        struct dump_chunk copy = *chunk;

        return is_wanted(extract, chunk->owner) ? copy_chunk(extract, &copy) : R_OK;
}

static enum result copy_from_chain(struct extract *extract)
{
        struct dump_owner_run *run = extract->run;
        struct dump_chain *chain;
        enum result r;

        if ((r = dump_chain_open(run->layers, run->layer_count, run->secret, &chain)) != R_OK) return r;
        r = dump_chain_header(chain, &extract->header);
        if (r == R_OK) r = dump_chain_run(chain, take_chunk, extract);
        run->fault = *dump_chain_fault(chain, &run->fault_layer);
        dump_chain_close(chain);
        if (r == R_OK) r = finish(extract);
        dump_writer_close(extract->writer);
        return r;
}

/* ---- From outside ---- */

static enum result copy(struct extract *extract)
{
        enum result r = dump_reader_header(extract->reader, &extract->header);

        if (r == R_OK) r = extract->run->seek != NULL ? copy_by_index(extract) : copy_in_order(extract);
        return r == R_OK ? finish(extract) : r;
}

enum result dump_owner_run(struct dump_owner_run *run)
{
        struct extract extract = {.run = run};
        enum result r;

        run->fault.text[0] = '\0';
        key_owner(run->owner, &extract.prefix);
        if (run->layer_count > 0) return copy_from_chain(&extract);
        if ((r = dump_reader_open(run->read, run->context, &extract.reader)) != R_OK) return r;
        if (run->secret != NULL) dump_reader_set_secret(extract.reader, run->secret);
        r = copy(&extract);
        if ((r == R_CORRUPT || r == R_FORMAT || r == R_UNAUTHENTICATED) && run->fault.text[0] == '\0')
                run->fault = *dump_reader_fault(extract.reader);
        dump_writer_close(extract.writer);
        dump_reader_close(extract.reader);
        return r;
}
