#include "engine/dump_write.h"

#include <stdlib.h>
#include <string.h>

#include <pb_encode.h>
#include <store/v1/dump.pb.h>

#include "engine/dump_frame.h"
#include "engine/require.h"

struct dump_writer {
        dump_write_fn *write; /* NULL: nothing is written */
        dump_chunk_fn *chunk_cb;
        void *context;
        enum result failure;

        uint64_t number; /* of the next frame */
        uint8_t dump_hash[SHA256_SIZE];
        uint8_t root_hash[SHA256_SIZE];
        struct dump_counts counts;
        struct dump_codec codec;

        struct dump_buffer content; /* of the chunk under construction */
        size_t content_len;
        struct dump_buffer payload;
        struct dump_cipher *cipher; /* NULL: nothing is sealed */
        struct dump_buffer sealed;

        bool has_owner;
        struct key owner; /* its prefix */
        bool is_delta;
        struct key last;          /* the key of its last record; len 0: none yet */
        struct dump_entry *entry; /* its own, in entries */
        struct dump_entry whole;  /* of a delta's owner: what it is as a whole */

        struct dump_entry entries[DUMP_INDEX_OWNERS];
        size_t entry_count;
        uint64_t index_offset; /* of the last index frame */
        bool is_finished;
};

static enum result fail(struct dump_writer *writer, enum result r)
{
        if (r != R_OK) writer->failure = r;
        return r;
}

static enum result put(struct dump_writer *writer, struct bytes data)
{
        enum result r;

        if (data.len == 0 || writer->write == NULL) return R_OK;
        if ((r = writer->write(writer->context, data)) != R_OK) return r;
        writer->counts.size += data.len;
        return R_OK;
}

/* ---- Frames ---- */

/* The payload, and whose it is. */
static enum result seal(struct dump_writer *writer, struct dump_frame *frame, struct bytes *payload)
{
        uint8_t head[DUMP_HEAD_SIZE];
        const struct bytes bound[] = {bytes_of(head, DUMP_BOUND_SIZE), bytes_of(writer->dump_hash, SHA256_SIZE)};
        size_t size = payload->len + DUMP_TAG_SIZE;
        enum result r;

        frame->flags |= DUMP_FLAG_SEALED;
        frame->payload_len = (uint32_t)size;
        if ((r = dump_buffer_reserve(&writer->sealed, size, 0)) != R_OK) return r;
        r = dump_cipher_mask(writer->cipher, frame->number, frame->owner, OWNER_PREFIX_SIZE);
        if (r != R_OK) return r;
        dump_frame_write(frame, head);
        if ((r = dump_cipher_seal(writer->cipher, frame->number, bound, *payload, writer->sealed.data)) != R_OK)
                return r;
        *payload = bytes_of(writer->sealed.data, size);
        return R_OK;
}

static enum result put_frame(struct dump_writer *writer, enum dump_frame_kind kind, struct bytes content)
{
        struct dump_frame frame = {.kind = kind, .content_len = (uint32_t)content.len, .number = writer->number};
        struct bytes payload = content;
        uint8_t head[DUMP_HEAD_SIZE];
        size_t len;
        enum result r;

        if (writer->write == NULL) return R_OK;
        if ((r = dump_buffer_reserve(&writer->payload, content.len, 0)) != R_OK) return r;
        if ((r = dump_compress(&writer->codec, content, writer->payload.data, &len)) != R_OK) return r;
        if (len > 0) {
                frame.flags |= DUMP_FLAG_ZSTD;
                payload = bytes_of(writer->payload.data, len);
        }
        frame.payload_len = (uint32_t)payload.len;
        if (kind == DUMP_CHUNK) memcpy(frame.owner, writer->owner.data, OWNER_PREFIX_SIZE);
        if (kind == DUMP_CHUNK && writer->is_delta) frame.flags |= DUMP_FLAG_DELTA;
        if (writer->cipher != NULL && kind != DUMP_KEY && (r = seal(writer, &frame, &payload)) != R_OK) return r;
        r = dump_frame_seal(&frame, writer->number == 0 ? NULL : writer->dump_hash, payload, head);
        if (r != R_OK) return r;
        if (writer->number == 0) memcpy(writer->dump_hash, frame.hash, SHA256_SIZE);
        writer->number++;
        if ((r = put(writer, bytes_of(head, sizeof head))) != R_OK) return r;
        return put(writer, payload);
}

static enum result end_chunk(struct dump_writer *writer)
{
        struct bytes content = bytes_of(writer->content.data, writer->content_len);
        uint8_t hash[SHA256_SIZE];
        enum result r;

        if (content.len == 0) return R_OK;
        if (writer->chunk_cb != NULL && (r = writer->chunk_cb(writer->context, content)) != R_OK) return r;
        if ((r = sha256_of(&content, 1, hash)) != R_OK) return r;
        r = dump_hash_extend(writer->entry->hash, bytes_of(hash, sizeof hash), (struct bytes){0});
        if (r != R_OK) return r;
        if ((r = put_frame(writer, DUMP_CHUNK, content)) != R_OK) return r;
        writer->entry->chunk_count++;
        writer->counts.chunks++;
        writer->counts.content_size += content.len;
        writer->content_len = 0;
        return R_OK;
}

static enum result end_owner(struct dump_writer *writer)
{
        struct dump_entry *entry = writer->entry;
        enum result r;

        if (!writer->has_owner) return R_OK;
        if ((r = end_chunk(writer)) != R_OK) return r;
        REQUIRE(entry->chunk_count > 0);
        writer->has_owner = false;
        if (writer->is_delta) {
                memcpy(entry->hash, writer->whole.hash, SHA256_SIZE);
                entry->state = writer->whole.state;
        }
        if (dump_entry_is_gone(entry)) return R_OK;
        return dump_hash_extend(writer->root_hash, bytes_of(entry->owner, OWNER_PREFIX_SIZE),
                                bytes_of(entry->hash, SHA256_SIZE));
}

static enum result put_index(struct dump_writer *writer)
{
        size_t size = 8 + writer->entry_count * DUMP_INDEX_ENTRY_SIZE;
        uint64_t offset = writer->counts.size;
        enum result r;
        size_t i;

        if (writer->entry_count == 0) return R_OK;
        REQUIRE(writer->content_len == 0);
        if ((r = dump_buffer_reserve(&writer->content, size, 0)) != R_OK) return r;
        dump_write_number(writer->index_offset, 8, writer->content.data);
        for (i = 0; i < writer->entry_count; i++)
                dump_entry_write(&writer->entries[i], writer->content.data + 8 + i * DUMP_INDEX_ENTRY_SIZE);
        if ((r = put_frame(writer, DUMP_INDEX, bytes_of(writer->content.data, size))) != R_OK) return r;
        writer->index_offset = offset;
        writer->entry_count = 0;
        return R_OK;
}

static enum result put_trailer(struct dump_writer *writer)
{
        uint64_t offset = writer->counts.size;
        store_v1_DumpTrailer trailer = {
                .owner_count = writer->counts.owners,
                .chunk_count = writer->counts.chunks,
                .record_count = writer->counts.records,
                .content_size = writer->counts.content_size,
                .index_offset = writer->index_offset,
                .root_hash = {.size = SHA256_SIZE},
                .unchanged_owner_count = writer->counts.unchanged_owners,
                .gone_owner_count = writer->counts.gone_owners,
                .gone_record_count = writer->counts.gone_records,
        };
        uint8_t body[store_v1_DumpTrailer_size];
        pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof body);
        uint8_t end[DUMP_END_SIZE];
        enum result r;

        memcpy(trailer.root_hash.bytes, writer->root_hash, SHA256_SIZE);
        REQUIRE(pb_encode(&stream, store_v1_DumpTrailer_fields, &trailer));
        if ((r = put_frame(writer, DUMP_TRAILER, bytes_of(body, stream.bytes_written))) != R_OK) return r;
        dump_write_number(offset, sizeof end, end);
        return put(writer, bytes_of(end, sizeof end));
}

static enum result put_header(struct dump_writer *writer, const struct dump_header *header)
{
        store_v1_DumpHeader content = {
                .format_version = DUMP_FORMAT_VERSION,
                .schema_version = RECORD_SCHEMA_VERSION,
                .store_id = {.size = UUID_SIZE},
                .restore_epoch = header->restore_epoch,
                .time_ms = header->time_ms,
                .demo = header->is_demo,
                .partial = header->is_partial,
        };
        uint8_t body[store_v1_DumpHeader_size];
        pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof body);

        memcpy(content.store_id.bytes, header->store_id.bytes, UUID_SIZE);
        if (header->is_incremental) {
                content.base_root_hash.size = SHA256_SIZE;
                memcpy(content.base_root_hash.bytes, header->base_root_hash, SHA256_SIZE);
                content.base_time_ms = header->base_time_ms;
        }
        REQUIRE(pb_encode(&stream, store_v1_DumpHeader_fields, &content));
        return put_frame(writer, DUMP_HEADER, bytes_of(body, stream.bytes_written));
}

static enum result put_key(struct dump_writer *writer, const struct dump_key *key)
{
        store_v1_DumpKey content = {
                .format_version = DUMP_FORMAT_VERSION,
                .salt = {.size = DUMP_SALT_SIZE},
                .key_id = {.size = DUMP_KEY_ID_SIZE},
                .scrypt_log_n = key->scrypt_log_n,
                .scrypt_p = key->scrypt_p,
        };
        uint8_t body[store_v1_DumpKey_size];
        pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof body);
        enum result r;

        memcpy(content.salt.bytes, key->salt, DUMP_SALT_SIZE);
        memcpy(content.key_id.bytes, key->id, DUMP_KEY_ID_SIZE);
        REQUIRE(pb_encode(&stream, store_v1_DumpKey_fields, &content));
        if ((r = dump_cipher_open(key, &writer->cipher)) != R_OK) return r;
        return put_frame(writer, DUMP_KEY, bytes_of(body, stream.bytes_written));
}

/* ---- From outside ---- */

enum result dump_writer_open(const struct dump_header *header, dump_write_fn *write, void *context,
                             struct dump_writer **out)
{
        return dump_writer_open_sealed(header, NULL, write, context, out);
}

enum result dump_writer_open_sealed(const struct dump_header *header, const struct dump_key *key, dump_write_fn *write,
                                    void *context, struct dump_writer **out)
{
        struct dump_writer *writer = calloc(1, sizeof *writer);
        enum result r;

        if (writer == NULL) return R_NO_MEMORY;
        writer->write = write;
        writer->context = context;
        r = dump_buffer_reserve(&writer->content, DUMP_CHUNK_SIZE, 0);
        if (r == R_OK) r = put(writer, bytes_of(dump_magic, DUMP_MAGIC_SIZE));
        if (r == R_OK && key != NULL) r = put_key(writer, key);
        if (r == R_OK) r = put_header(writer, header);
        if (r != R_OK) {
                dump_writer_close(writer);
                return r;
        }
        *out = writer;
        return R_OK;
}

enum result dump_writer_open_nowhere(dump_chunk_fn *chunk_cb, void *context, struct dump_writer **out)
{
        struct dump_writer *writer = calloc(1, sizeof *writer);

        if (writer == NULL) return R_NO_MEMORY;
        writer->chunk_cb = chunk_cb;
        writer->context = context;
        *out = writer;
        return R_OK;
}

/* The next owner's place in the index. */
static enum result next_entry(struct dump_writer *writer, struct owner owner)
{
        struct key prefix;
        enum result r;

        REQUIRE(!writer->is_finished);
        if (writer->failure != R_OK) return writer->failure;
        if ((r = end_owner(writer)) != R_OK) return fail(writer, r);
        key_owner(owner, &prefix);
        REQUIRE(writer->owner.len == 0 || memcmp(writer->owner.data, prefix.data, OWNER_PREFIX_SIZE) < 0);
        if (writer->entry_count == DUMP_INDEX_OWNERS && (r = put_index(writer)) != R_OK) return fail(writer, r);
        writer->owner = prefix;
        writer->entry = &writer->entries[writer->entry_count++];
        *writer->entry = (struct dump_entry){0};
        memcpy(writer->entry->owner, prefix.data, OWNER_PREFIX_SIZE);
        return R_OK;
}

static enum result begin_owner(struct dump_writer *writer, struct owner owner, bool is_delta)
{
        enum result r;

        if ((r = next_entry(writer, owner)) != R_OK) return r;
        writer->has_owner = true;
        writer->is_delta = is_delta;
        writer->last.len = 0;
        writer->entry->offset = writer->counts.size;
        writer->whole = (struct dump_entry){0};
        writer->counts.owners++;
        return R_OK;
}

enum result dump_writer_owner(struct dump_writer *writer, struct owner owner)
{
        return begin_owner(writer, owner, false);
}

enum result dump_writer_delta(struct dump_writer *writer, struct owner owner)
{
        return begin_owner(writer, owner, true);
}

void dump_writer_whole(struct dump_writer *writer, const struct dump_entry *whole)
{
        REQUIRE(writer->has_owner && writer->is_delta && !dump_entry_is_gone(whole));
        writer->whole = *whole;
}

enum result dump_writer_unchanged(struct dump_writer *writer, struct owner owner, const struct dump_entry *base)
{
        struct dump_entry *entry;
        enum result r;

        REQUIRE(!dump_entry_is_gone(base));
        if ((r = next_entry(writer, owner)) != R_OK) return r;
        entry = writer->entry;
        memcpy(entry->hash, base->hash, SHA256_SIZE);
        entry->state = base->state;
        writer->counts.owners++;
        writer->counts.unchanged_owners++;
        return fail(writer, dump_hash_extend(writer->root_hash, bytes_of(entry->owner, OWNER_PREFIX_SIZE),
                                             bytes_of(entry->hash, SHA256_SIZE)));
}

enum result dump_writer_gone_owner(struct dump_writer *writer, struct owner owner)
{
        enum result r;

        if ((r = begin_owner(writer, owner, true)) != R_OK) return r;
        writer->counts.owners--;
        writer->counts.gone_owners++;
        return dump_writer_gone(writer, &(struct row){.kind = ROW_PROFILE});
}

enum result dump_writer_end(struct dump_writer *writer, struct dump_entry *out)
{
        enum result r;

        if (writer->failure != R_OK) return writer->failure;
        if ((r = end_owner(writer)) != R_OK) return fail(writer, r);
        *out = *writer->entry;
        return R_OK;
}

static bool is_after(const struct key *key, const struct key *last)
{
        size_t len = key->len < last->len ? key->len : last->len;
        int order = memcmp(key->data, last->data, len);

        return order > 0 || (order == 0 && key->len > last->len);
}

/* `record` NULL: it is gone. */
static enum result add(struct dump_writer *writer, const struct key *key, const struct record *record)
{
        const struct bytes body = record == NULL ? (struct bytes){0} : record->body;
        size_t name_len = key->len - OWNER_PREFIX_SIZE;
        size_t size = DUMP_RECORD_HEAD_SIZE + name_len + body.len;
        uint8_t *at;
        enum result r;

        if (body.len > DUMP_BODY_MAX) return R_TOO_LARGE;
        if (writer->content_len + size > DUMP_CHUNK_SIZE && (r = end_chunk(writer)) != R_OK) return r;
        r = dump_buffer_reserve(&writer->content, writer->content_len + size, writer->content_len);
        if (r != R_OK) return r;
        at = writer->content.data + writer->content_len;
        at[0] = (uint8_t)name_len;
        dump_write_number(record == NULL ? 0 : record->revision, 8, at + 1);
        dump_write_number(record == NULL ? DUMP_GONE : body.len, 4, at + 9);
        memcpy(at + DUMP_RECORD_HEAD_SIZE, key->data + OWNER_PREFIX_SIZE, name_len);
        if (body.len > 0) memcpy(at + DUMP_RECORD_HEAD_SIZE + name_len, body.data, body.len);
        writer->content_len += size;
        return R_OK;
}

static enum result add_next(struct dump_writer *writer, const struct row *row, const struct record *record)
{
        struct key key = writer->owner;
        enum result r;

        REQUIRE(writer->has_owner && row_kind_is_primary(row->kind));
        if (writer->failure != R_OK) return writer->failure;
        key_append(&key, row);
        REQUIRE(is_after(&key, &writer->last));
        if ((r = add(writer, &key, record)) != R_OK) return fail(writer, r);
        writer->last = key;
        return R_OK;
}

enum result dump_writer_record(struct dump_writer *writer, const struct row *row, const struct record *record)
{
        enum result r;

        if ((r = add_next(writer, row, record)) != R_OK) return r;
        dump_state_note(&writer->entry->state, row, record->revision, record->body);
        writer->entry->record_count++;
        writer->counts.records++;
        writer->counts.kinds[row->kind]++;
        return R_OK;
}

enum result dump_writer_gone(struct dump_writer *writer, const struct row *row)
{
        enum result r;

        REQUIRE(writer->is_delta && row->kind != ROW_CHANGE);
        if ((r = add_next(writer, row, NULL)) != R_OK) return r;
        writer->counts.gone_records++;
        return R_OK;
}

enum result dump_writer_finish(struct dump_writer *writer)
{
        enum result r;

        REQUIRE(!writer->is_finished);
        if (writer->failure != R_OK) return writer->failure;
        r = end_owner(writer);
        if (r == R_OK) r = put_index(writer);
        if (r == R_OK) r = put_trailer(writer);
        writer->is_finished = r == R_OK;
        return fail(writer, r);
}

const struct dump_counts *dump_writer_counts(const struct dump_writer *writer)
{
        return &writer->counts;
}

const uint8_t *dump_writer_root_hash(const struct dump_writer *writer)
{
        REQUIRE(writer->is_finished);
        return writer->root_hash;
}

void dump_writer_close(struct dump_writer *writer)
{
        if (writer == NULL) return;
        dump_codec_fini(&writer->codec);
        free(writer->content.data);
        free(writer->payload.data);
        free(writer->sealed.data);
        dump_cipher_close(writer->cipher);
        free(writer);
}
