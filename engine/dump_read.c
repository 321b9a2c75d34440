#include "engine/dump_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <store/v1/dump.pb.h>

#include "engine/dump_frame.h"
#include "engine/require.h"

struct dump_reader {
        dump_read_fn *read;
        void *context;

        /* how far */
        uint64_t number;       /* of the frame that must come next */
        uint64_t frame_offset; /* of the frame being read */
        bool has_first;        /* the first frame, whose hash is in all others */
        bool has_header;
        bool is_over;    /* all was read */
        bool is_stopped; /* nothing more can be */

        /* the frame being read */
        struct dump_frame frame;
        uint8_t head[DUMP_HEAD_SIZE];
        struct dump_buffer payload, content;
        struct dump_codec codec;
        uint8_t dump_hash[SHA256_SIZE];

        const struct dump_secret *secret; /* NULL: none was given */
        struct dump_cipher *cipher;       /* NULL: nothing is sealed */
        struct dump_buffer unsealed;

        /* the owner whose chunks come */
        bool has_owner;
        struct owner owner;
        uint8_t prefix[OWNER_PREFIX_SIZE];
        struct dump_entry *entry;
        struct key last; /* the name of its last record; len 0: none yet */
        bool has_app, has_profile;
        struct uuid app;

        /* after a fault: what lacks a chunk cannot be whole, and that was said */
        bool is_damaged;
        bool owner_is_damaged, next_owner_is_damaged;

        bool takes_incremental, is_incremental;
        struct dump_entry entries[DUMP_INDEX_OWNERS]; /* of owners with chunks */
        size_t entry_count;
        uint8_t listed[OWNER_PREFIX_SIZE]; /* the last one in an index */
        uint64_t index_offset;
        uint8_t root_hash[SHA256_SIZE];
        struct dump_counts counts; /* size: of what was read */

        struct dump_fault fault;
};

/* ---- Faults ---- */

static enum result found(struct dump_reader *reader, const struct owner *owner, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* `owner` NULL: it is of none. */
static enum result found(struct dump_reader *reader, const struct owner *owner, const char *format, ...)
{
        va_list arguments;

        reader->fault = (struct dump_fault){.has_owner = owner != NULL, .offset = reader->frame_offset};
        if (owner != NULL) reader->fault.owner = *owner;
        va_start(arguments, format);
        vsnprintf(reader->fault.text, sizeof reader->fault.text, format, arguments);
        va_end(arguments);
        reader->is_damaged = reader->owner_is_damaged = reader->next_owner_is_damaged = true;
        return R_CORRUPT;
}

static const struct owner *current_owner(const struct dump_reader *reader)
{
        return reader->has_owner ? &reader->owner : NULL;
}

/* Nothing behind it can be found. */
static enum result stop(struct dump_reader *reader, enum result r)
{
        reader->is_stopped = true;
        return r;
}

/* ---- Bytes and frames ---- */

/* R_CORRUPT: the file ends before. */
static enum result take(struct dump_reader *reader, uint8_t *data, size_t size)
{
        size_t got = 0;
        enum result r;

        if (size == 0) return R_OK;
        if ((r = reader->read(reader->context, data, size, &got)) != R_OK) return stop(reader, r);
        reader->counts.size += got;
        if (got == size) return R_OK;
        r = found(reader, current_owner(reader), "the file is cut off: it ends at offset %" PRIu64,
                  reader->counts.size);
        return stop(reader, r);
}

/* Read a frame whole and check its hash; the head has been read. */
static enum result take_payload(struct dump_reader *reader)
{
        struct dump_frame *frame = &reader->frame;
        const uint8_t *dump_hash = reader->has_first ? reader->dump_hash : NULL;
        enum result r;

        if ((r = dump_buffer_reserve(&reader->payload, frame->payload_len, 0)) != R_OK) return stop(reader, r);
        if ((r = take(reader, reader->payload.data, frame->payload_len)) != R_OK) return r;
        return dump_frame_check(frame, reader->head, dump_hash, bytes_of(reader->payload.data, frame->payload_len));
}

static bool is_no_owner(const uint8_t prefix[OWNER_PREFIX_SIZE])
{
        static const uint8_t none[OWNER_PREFIX_SIZE];

        return memcmp(prefix, none, sizeof none) == 0;
}

/* The owner that a chunk's head names. Key.c alone reads keys, so a name that every owner has is put behind it. */
static enum result read_owner(const uint8_t prefix[OWNER_PREFIX_SIZE], struct owner *out)
{
        uint8_t key[OWNER_PREFIX_SIZE + 1];
        struct row row;

        memcpy(key, prefix, OWNER_PREFIX_SIZE);
        key[OWNER_PREFIX_SIZE] = 'P';
        return key_read(bytes_of(key, sizeof key), out, &row);
}

/* What a fault in this frame is a fault of; NULL: of no owner. */
static const struct owner *named_owner(const struct dump_reader *reader, struct owner *out)
{
        if (reader->frame.kind != DUMP_CHUNK || read_owner(reader->frame.owner, out) != R_OK) return NULL;
        return out;
}

static enum result found_in_frame(struct dump_reader *reader, const char *text)
{
        struct owner owner;

        return found(reader, named_owner(reader, &owner), "%s", text);
}

/* What was sealed; the payload itself, where nothing is. */
static enum result unseal(struct dump_reader *reader, struct bytes *payload)
{
        const struct dump_frame *frame = &reader->frame;
        const struct bytes bound[] = {bytes_of(reader->head, DUMP_BOUND_SIZE),
                                      bytes_of(reader->dump_hash, SHA256_SIZE)};
        bool is_sealed = reader->cipher != NULL && frame->kind != DUMP_KEY;
        struct bytes sealed = *payload;
        enum result r;

        if (is_sealed != ((frame->flags & DUMP_FLAG_SEALED) != 0)) return R_CORRUPT;
        if (!is_sealed) return R_OK;
        if ((r = dump_buffer_reserve(&reader->unsealed, sealed.len, 0)) != R_OK) return r;
        *payload = bytes_of(reader->unsealed.data, sealed.len - DUMP_TAG_SIZE);
        return dump_cipher_unseal(reader->cipher, frame->number, bound, sealed, reader->unsealed.data);
}

/* The content of the frame, whose hash is right. */
static enum result open_payload(struct dump_reader *reader, struct bytes *content)
{
        const struct dump_frame *frame = &reader->frame;
        struct bytes payload = bytes_of(reader->payload.data, frame->payload_len);
        enum result r;

        r = unseal(reader, &payload);
        if (r == R_CORRUPT) return found_in_frame(reader, "it does not decrypt");
        if (r != R_OK) return r;
        *content = payload;
        if (!(frame->flags & DUMP_FLAG_ZSTD)) return R_OK;
        if ((r = dump_buffer_reserve(&reader->content, frame->content_len, 0)) != R_OK) return r;
        *content = bytes_of(reader->content.data, frame->content_len);
        r = dump_decompress(&reader->codec, payload, reader->content.data, frame->content_len);
        return r == R_CORRUPT ? found_in_frame(reader, "it does not decompress") : r;
}

/* The next frame, checked and opened. */
static enum result take_frame(struct dump_reader *reader, struct bytes *content)
{
        struct dump_frame *frame = &reader->frame;
        uint64_t expected = reader->number;
        struct owner owner;
        enum result r;

        reader->frame_offset = reader->counts.size;
        if ((r = take(reader, reader->head, DUMP_HEAD_SIZE)) != R_OK) return r;
        if (dump_frame_read(reader->head, frame) != R_OK)
                return stop(reader, found(reader, current_owner(reader), "no frame of a dump starts here"));
        if (reader->cipher != NULL &&
            (r = dump_cipher_mask(reader->cipher, frame->number, frame->owner, OWNER_PREFIX_SIZE)) != R_OK)
                return stop(reader, r);
        r = take_payload(reader);
        if (reader->is_stopped) return r;
        reader->number = expected + 1;
        if (r == R_CORRUPT) return found_in_frame(reader, "the bytes do not have the hash that they should");
        if (r != R_OK) return stop(reader, r);
        if (frame->number > DUMP_NUMBER_MAX) return stop(reader, found_in_frame(reader, "no frame has such a number"));
        reader->number = frame->number + 1;
        if (frame->number != expected && expected != DUMP_ANY_NUMBER)
                return found(reader, named_owner(reader, &owner),
                             "frame %" PRIu64 " is where frame %" PRIu64 " should be", frame->number, expected);
        r = open_payload(reader, content);
        if (r == R_CORRUPT) return r;
        if (r != R_OK) return stop(reader, r);
        if (frame->kind != DUMP_CHUNK && !is_no_owner(frame->owner))
                return found(reader, NULL, "a frame of no owner names one");
        return R_OK;
}

enum result dump_reader_jump(struct dump_reader *reader, uint64_t offset, enum dump_frame_kind kind,
                             struct bytes *content)
{
        enum result r;

        REQUIRE(reader->has_header && !reader->is_stopped);
        reader->counts.size = offset;
        reader->number = DUMP_ANY_NUMBER;
        if ((r = take_frame(reader, content)) != R_OK) return r;
        if (reader->frame.kind == kind) return R_OK;
        return found(reader, NULL, "a frame is of another kind than it should be");
}

/* ---- The header ---- */

static enum result no_dump(struct dump_reader *reader, const char *text)
{
        (void)found(reader, NULL, "%s", text);
        return stop(reader, R_FORMAT);
}

static enum result unknown_version(struct dump_reader *reader, uint32_t format_version, uint32_t schema_version)
{
        (void)found(reader, NULL, "the dump has format %" PRIu32 ".%" PRIu32 "; this program knows format %d.%d",
                    format_version, schema_version, DUMP_FORMAT_VERSION, RECORD_SCHEMA_VERSION);
        return stop(reader, R_FORMAT);
}

static enum result no_access(struct dump_reader *reader, const char *text)
{
        (void)found(reader, NULL, "%s", text);
        return stop(reader, R_UNAUTHENTICATED);
}

/* What the rest is sealed with. */
static enum result open_key(struct dump_reader *reader, struct dump_key *key)
{
        const struct dump_secret *secret = reader->secret;
        bool is_stretched = key->scrypt_log_n != 0;
        enum result r;

        if (secret == NULL) return no_access(reader, "the dump is encrypted, and no key was given");
        r = dump_key_open(secret, key);
        if (r == R_CORRUPT) return stop(reader, found(reader, NULL, "the key's frame makes no sense"));
        if (r == R_UNAUTHENTICATED && secret->is_passphrase != is_stretched)
                return no_access(reader, is_stretched ? "the dump is encrypted with a passphrase, not with a key file"
                                                      : "the dump is encrypted with a key file, not a passphrase");
        if (r == R_UNAUTHENTICATED) return no_access(reader, "the key does not fit");
        if (r == R_OK) r = dump_cipher_open(key, &reader->cipher);
        return r == R_OK ? R_OK : stop(reader, r);
}

static enum result take_key(struct dump_reader *reader, struct bytes content)
{
        pb_istream_t stream = pb_istream_from_buffer(content.data, content.len);
        store_v1_DumpKey read = store_v1_DumpKey_init_zero;
        struct dump_key key;
        enum result r;

        if (!pb_decode(&stream, store_v1_DumpKey_fields, &read))
                return stop(reader, found(reader, NULL, "the key's frame makes no sense"));
        if (read.format_version != DUMP_FORMAT_VERSION) return unknown_version(reader, read.format_version, 0);
        if (read.salt.size != DUMP_SALT_SIZE || read.key_id.size != DUMP_KEY_ID_SIZE)
                return stop(reader, found(reader, NULL, "the key's frame makes no sense"));
        key = (struct dump_key){.scrypt_log_n = read.scrypt_log_n, .scrypt_p = read.scrypt_p};
        memcpy(key.salt, read.salt.bytes, DUMP_SALT_SIZE);
        memcpy(key.id, read.key_id.bytes, DUMP_KEY_ID_SIZE);
        r = open_key(reader, &key);
        dump_key_wipe(&key);
        return r;
}

static enum result read_header(struct dump_reader *reader, struct bytes content, struct dump_header *out)
{
        pb_istream_t stream = pb_istream_from_buffer(content.data, content.len);
        store_v1_DumpHeader header = store_v1_DumpHeader_init_zero;

        if (!pb_decode(&stream, store_v1_DumpHeader_fields, &header) || header.store_id.size != UUID_SIZE)
                return stop(reader, found(reader, NULL, "the header makes no sense"));
        if (header.format_version != DUMP_FORMAT_VERSION || header.schema_version != RECORD_SCHEMA_VERSION)
                return unknown_version(reader, header.format_version, header.schema_version);
        *out = (struct dump_header){0};
        memcpy(out->store_id.bytes, header.store_id.bytes, UUID_SIZE);
        out->restore_epoch = header.restore_epoch;
        out->time_ms = header.time_ms;
        out->is_demo = header.demo;
        out->is_partial = header.partial;
        out->is_incremental = header.base_root_hash.size > 0;
        if (!out->is_incremental) return R_OK;
        if (header.base_root_hash.size != SHA256_SIZE)
                return stop(reader, found(reader, NULL, "the header makes no sense"));
        memcpy(out->base_root_hash, header.base_root_hash.bytes, SHA256_SIZE);
        out->base_time_ms = header.base_time_ms;
        reader->is_incremental = true;
        if (reader->takes_incremental) return R_OK;
        (void)found(reader, NULL, "the dump is incremental: the one that it is based on must come before it");
        return stop(reader, R_FORMAT);
}

enum result dump_reader_header(struct dump_reader *reader, struct dump_header *out)
{
        uint8_t magic[DUMP_MAGIC_SIZE];
        struct bytes content = {0};
        enum result r;

        REQUIRE(!reader->has_header && !reader->is_stopped);
        if ((r = take(reader, magic, sizeof magic)) != R_OK) return r;
        if (memcmp(magic, dump_magic, sizeof magic) != 0) return no_dump(reader, "it does not start as a dump does");
        if ((r = take_frame(reader, &content)) != R_OK) return stop(reader, r);
        memcpy(reader->dump_hash, reader->frame.hash, SHA256_SIZE);
        reader->has_first = true;
        if (reader->frame.kind == DUMP_KEY) {
                if ((r = take_key(reader, content)) != R_OK) return r;
                if ((r = take_frame(reader, &content)) != R_OK) return stop(reader, r);
        } else if (reader->secret != NULL) {
                return no_access(reader, "a key was given, and the dump is not encrypted");
        }
        if (reader->frame.kind != DUMP_HEADER)
                return stop(reader, found(reader, NULL, "the header is not where it should be"));
        if ((r = read_header(reader, content, out)) != R_OK) return r;
        reader->has_header = true;
        return R_OK;
}

/* ---- Chunks ---- */

/* The record at the front of `rest`, within its bounds. */
static bool split_record(struct bytes *rest, struct bytes *name, struct dump_record *out)
{
        size_t name_len, body_len;

        if (rest->len < DUMP_RECORD_HEAD_SIZE) return false;
        name_len = rest->data[0];
        body_len = (size_t)dump_read_number(rest->data + 9, 4);
        out->is_gone = body_len == DUMP_GONE;
        if (out->is_gone) body_len = 0;
        if (name_len > DUMP_NAME_MAX || body_len > DUMP_BODY_MAX) return false;
        if (rest->len - DUMP_RECORD_HEAD_SIZE < name_len + body_len) return false;
        out->revision = dump_read_number(rest->data + 1, 8);
        if (out->is_gone && out->revision != 0) return false;
        *name = bytes_of(rest->data + DUMP_RECORD_HEAD_SIZE, name_len);
        out->body = bytes_of(name->data + name_len, body_len);
        rest->data += DUMP_RECORD_HEAD_SIZE + name_len + body_len;
        rest->len -= DUMP_RECORD_HEAD_SIZE + name_len + body_len;
        return true;
}

static enum result read_name(struct owner owner, struct bytes name, struct row *out)
{
        struct owner found_owner;
        struct key key;

        key_owner(owner, &key);
        memcpy(key.data + key.len, name.data, name.len);
        return key_read(bytes_of(key.data, key.len + name.len), &found_owner, out);
}

static int compare(struct bytes a, struct bytes b)
{
        int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

        return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* One that is gone. What the log of changes has lost is lost with the owner's old state, so it is never said. */
static enum result check_gone(struct dump_reader *reader, const struct row *row)
{
        if (!reader->entry->is_delta || row->kind == ROW_CHANGE)
                return found(reader, &reader->owner, "a record is said to be gone where none can be");
        if (row->kind == ROW_PROFILE) reader->entry->is_gone = true;
        reader->counts.gone_records++;
        return R_OK;
}

/* One record against those before it. */
static enum result check_record(struct dump_reader *reader, struct bytes name, const struct dump_record *record)
{
        struct row row;

        if (reader->entry->is_gone) return found(reader, &reader->owner, "an owner who is gone has records");
        if (read_name(reader->owner, name, &row) != R_OK)
                return found(reader, &reader->owner, "a record has a name that is none of ours");
        if (!row_kind_is_primary(row.kind))
                return found(reader, &reader->owner, "a row of the kind %s is no record of a dump",
                             row_kind_name(row.kind));
        if (reader->last.len > 0 && compare(name, bytes_of(reader->last.data, reader->last.len)) <= 0)
                return found(reader, &reader->owner, "records repeat or are not in order");
        memcpy(reader->last.data, name.data, name.len);
        reader->last.len = name.len;
        if (record->is_gone) return check_gone(reader, &row);
        if (row.kind == ROW_APP) {
                reader->has_app = true;
                reader->app = row.app;
        } else if (row_kind_is_under_app(row.kind) && !reader->owner_is_damaged && !reader->entry->is_delta &&
                   !(reader->has_app && uuid_equal(row.app, reader->app))) {
                return found(reader, &reader->owner, "a record is of an app that is not in the dump");
        }
        if (row.kind == ROW_PROFILE) reader->has_profile = true;
        reader->counts.kinds[row.kind]++;
        dump_state_note(&reader->entry->state, &row, record->revision, record->body);
        reader->counts.records++;
        reader->entry->record_count++;
        return R_OK;
}

static enum result check_records(struct dump_reader *reader, struct bytes content)
{
        struct bytes rest = content, name;
        struct dump_record record;
        uint64_t count = 0;
        enum result r;

        do {
                if (!split_record(&rest, &name, &record))
                        return found(reader, &reader->owner, "a record does not fit into its chunk");
                if ((r = check_record(reader, name, &record)) != R_OK) return r;
                count++;
        } while (rest.len > 0);
        if (content.len > DUMP_CHUNK_SIZE && count > 1)
                return found(reader, &reader->owner, "a chunk is larger than chunks may be");
        return R_OK;
}

/* All of the owner's chunks were there. */
static enum result end_owner(struct dump_reader *reader)
{
        enum result r = R_OK;

        if (!reader->has_owner) return R_OK;
        reader->has_owner = false;
        if (reader->entry->is_gone) {
                reader->counts.owners--;
                reader->counts.gone_owners++;
                if (reader->entry->record_count > 0)
                        return found(reader, &reader->owner, "an owner who is gone has records");
        }
        if (reader->entry->is_delta) return R_OK; /* what it is as a whole, the index says */
        if (!reader->is_incremental)
                r = dump_hash_extend(reader->root_hash, bytes_of(reader->prefix, OWNER_PREFIX_SIZE),
                                     bytes_of(reader->entry->hash, SHA256_SIZE));
        if (r != R_OK) return stop(reader, r);
        if (!reader->has_profile && !reader->owner_is_damaged)
                return found(reader, &reader->owner, "the owner has no profile");
        return R_OK;
}

static enum result begin_owner(struct dump_reader *reader)
{
        const uint8_t *prefix = reader->frame.owner;
        bool is_delta = (reader->frame.flags & DUMP_FLAG_DELTA) != 0;
        bool is_damaged = reader->next_owner_is_damaged;
        struct owner owner;
        enum result r;

        r = end_owner(reader);
        if (r != R_OK && (reader->is_stopped || !is_damaged)) return r;
        if (read_owner(prefix, &owner) != R_OK) return found(reader, NULL, "a chunk is of no owner");
        if (is_delta && !reader->is_incremental) return found(reader, &owner, "a chunk is of an incremental dump");
        if (memcmp(prefix, reader->prefix, OWNER_PREFIX_SIZE) <= 0)
                return found(reader, &reader->owner, "owners repeat or are not in order");
        if (reader->entry_count == DUMP_INDEX_OWNERS && is_damaged) reader->entry_count = 0; /* it may be the index */
        if (reader->entry_count == DUMP_INDEX_OWNERS)
                return stop(reader, found(reader, NULL, "an index is missing before this"));
        reader->has_owner = true;
        reader->owner = owner;
        memcpy(reader->prefix, prefix, OWNER_PREFIX_SIZE);
        reader->last.len = 0;
        reader->has_app = reader->has_profile = false;
        reader->owner_is_damaged = is_damaged;
        reader->next_owner_is_damaged = false;
        reader->entry = &reader->entries[reader->entry_count++];
        *reader->entry = (struct dump_entry){.offset = reader->frame_offset, .is_delta = is_delta};
        memcpy(reader->entry->owner, prefix, OWNER_PREFIX_SIZE);
        reader->counts.owners++;
        return R_OK;
}

static enum result take_chunk(struct dump_reader *reader, struct bytes content, struct dump_chunk *out)
{
        bool is_first = !reader->has_owner || memcmp(reader->frame.owner, reader->prefix, OWNER_PREFIX_SIZE) != 0;
        uint8_t hash[SHA256_SIZE];
        enum result r;

        if (is_first && (r = begin_owner(reader)) != R_OK) return r;
        if (reader->entry->is_delta != ((reader->frame.flags & DUMP_FLAG_DELTA) != 0))
                return found(reader, &reader->owner, "a chunk is of an incremental dump, and another is not");
        reader->owner_is_damaged = reader->owner_is_damaged || reader->next_owner_is_damaged;
        reader->next_owner_is_damaged = false;
        if ((r = check_records(reader, content)) != R_OK) return r;
        r = sha256_of(&content, 1, hash);
        if (r == R_OK) r = dump_hash_extend(reader->entry->hash, bytes_of(hash, sizeof hash), (struct bytes){0});
        if (r != R_OK) return stop(reader, r);
        reader->entry->chunk_count++;
        reader->counts.chunks++;
        reader->counts.content_size += content.len;
        *out = (struct dump_chunk){reader->owner,        is_first, reader->entry->is_delta,
                                   reader->frame_offset, content,  content};
        return R_OK;
}

bool dump_chunk_next(struct dump_chunk *chunk, struct dump_record *out)
{
        struct bytes name;

        if (chunk->rest.len == 0) return false;
        REQUIRE(split_record(&chunk->rest, &name, out));
        REQUIRE(read_name(chunk->owner, name, &out->row) == R_OK);
        return true;
}

/* By the bytes of the names: what became of those is for others to compare. */
uint64_t dump_chunk_checksums(const struct dump_chunk *chunk, uint64_t *record_count)
{
        struct bytes rest = chunk->content, name;
        uint8_t header[RECORD_HEADER_SIZE];
        struct dump_record record;
        uint64_t sum = 0;
        struct key key;

        key_owner(chunk->owner, &key);
        while (rest.len > 0) {
                REQUIRE(split_record(&rest, &name, &record));
                memcpy(key.data + OWNER_PREFIX_SIZE, name.data, name.len);
                record_seal(bytes_of(key.data, OWNER_PREFIX_SIZE + name.len), record.revision, record.body, header);
                sum += record_checksum(header);
                (*record_count)++;
        }
        return sum;
}

/* ---- The index and the trailer ---- */

/* What the index says of an owner who has chunks, against what those were. */
static bool entry_fits(const struct dump_entry *entry, const struct dump_entry *read)
{
        if (memcmp(entry->owner, read->owner, OWNER_PREFIX_SIZE) != 0 || entry->offset != read->offset ||
            entry->chunk_count != read->chunk_count || entry->record_count != read->record_count)
                return false;
        if (read->is_gone) return dump_entry_is_gone(entry);
        if (dump_entry_is_gone(entry)) return false;
        return read->is_delta ||
               (memcmp(entry->hash, read->hash, SHA256_SIZE) == 0 && dump_state_is_equal(&entry->state, &read->state));
}

static enum result check_entry(struct dump_reader *reader, const struct dump_entry *entry, size_t *used)
{
        bool is_unchanged = entry->chunk_count == 0;
        struct owner owner;

        if (read_owner(entry->owner, &owner) != R_OK || memcmp(entry->owner, reader->listed, OWNER_PREFIX_SIZE) <= 0)
                return found(reader, NULL, "the index is of no owners, or not in order");
        memcpy(reader->listed, entry->owner, OWNER_PREFIX_SIZE);
        if (is_unchanged ? !reader->is_incremental || entry->offset != 0 || entry->record_count != 0 ||
                                   dump_entry_is_gone(entry)
                         : *used == reader->entry_count || !entry_fits(entry, &reader->entries[(*used)++]))
                return found(reader, &owner, "the index says something else of this owner");
        if (is_unchanged) reader->counts.owners++;
        if (is_unchanged) reader->counts.unchanged_owners++;
        if (!reader->is_incremental || dump_entry_is_gone(entry)) return R_OK;
        return dump_hash_extend(reader->root_hash, bytes_of(entry->owner, OWNER_PREFIX_SIZE),
                                bytes_of(entry->hash, SHA256_SIZE));
}

/* After damage the index has more to say than we have seen. */
static enum result check_index(struct dump_reader *reader, struct bytes content)
{
        struct dump_entry entry;
        size_t used = 0;
        enum result r;
        size_t i;

        if (reader->is_damaged) return R_OK;
        if (content.len <= 8 || (content.len - 8) % DUMP_INDEX_ENTRY_SIZE != 0 ||
            content.len > 8 + DUMP_INDEX_OWNERS * (size_t)DUMP_INDEX_ENTRY_SIZE)
                return found(reader, NULL, "the index makes no sense");
        if (dump_read_number(content.data, 8) != reader->index_offset)
                return found(reader, NULL, "the index does not name the one before it");
        for (i = 8; i < content.len; i += DUMP_INDEX_ENTRY_SIZE) {
                dump_entry_read(content.data + i, &entry);
                if ((r = check_entry(reader, &entry, &used)) != R_OK) return r == R_CORRUPT ? r : stop(reader, r);
        }
        if (used < reader->entry_count) return found(reader, NULL, "the index is of other owners than those before it");
        return R_OK;
}

static enum result take_index(struct dump_reader *reader, struct bytes content)
{
        enum result r = end_owner(reader);

        if (r == R_OK) r = check_index(reader, content);
        reader->entry_count = 0;
        reader->index_offset = reader->frame_offset;
        return r;
}

static enum result check_trailer(struct dump_reader *reader, const store_v1_DumpTrailer *trailer)
{
        const struct dump_counts *counts = &reader->counts;

        if (reader->is_damaged) return R_OK;
        if (reader->entry_count > 0) return found(reader, NULL, "the index of the last owners is missing");
        if (trailer->owner_count != counts->owners || trailer->chunk_count != counts->chunks ||
            trailer->record_count != counts->records || trailer->content_size != counts->content_size ||
            trailer->unchanged_owner_count != counts->unchanged_owners ||
            trailer->gone_owner_count != counts->gone_owners || trailer->gone_record_count != counts->gone_records)
                return found(reader, NULL, "the trailer counts other owners, chunks or records than there are");
        if (trailer->index_offset != reader->index_offset)
                return found(reader, NULL, "the trailer does not name the last index");
        if (trailer->root_hash.size != SHA256_SIZE ||
            memcmp(trailer->root_hash.bytes, reader->root_hash, SHA256_SIZE) != 0)
                return found(reader, NULL, "the trailer's root hash is not that of the records");
        return R_OK;
}

static enum result take_trailer(struct dump_reader *reader, struct bytes content)
{
        pb_istream_t stream = pb_istream_from_buffer(content.data, content.len);
        store_v1_DumpTrailer trailer = store_v1_DumpTrailer_init_zero;
        uint8_t end[DUMP_END_SIZE];
        size_t got = 0;
        enum result r;

        if ((r = end_owner(reader)) != R_OK) return stop(reader, r);
        reader->is_stopped = true;
        if (!pb_decode(&stream, store_v1_DumpTrailer_fields, &trailer))
                return found(reader, NULL, "the trailer makes no sense");
        if ((r = check_trailer(reader, &trailer)) != R_OK) return r;
        if ((r = take(reader, end, sizeof end)) != R_OK) return r;
        if (dump_read_number(end, sizeof end) != reader->frame_offset)
                return found(reader, NULL, "the last bytes do not say where the trailer is");
        reader->frame_offset = reader->counts.size;
        if ((r = reader->read(reader->context, end, 1, &got)) != R_OK) return r;
        if (got > 0) return found(reader, NULL, "something follows the end of the dump");
        reader->is_over = true;
        return R_ABSENT;
}

/* ---- From outside ---- */

enum result dump_reader_open(dump_read_fn *read, void *context, struct dump_reader **out)
{
        struct dump_reader *reader = calloc(1, sizeof *reader);

        if (reader == NULL) return R_NO_MEMORY;
        reader->read = read;
        reader->context = context;
        *out = reader;
        return R_OK;
}

void dump_reader_take_incremental(struct dump_reader *reader)
{
        REQUIRE(!reader->has_first);
        reader->takes_incremental = true;
}

void dump_reader_set_secret(struct dump_reader *reader, const struct dump_secret *secret)
{
        REQUIRE(!reader->has_first);
        reader->secret = secret;
}

enum result dump_reader_next(struct dump_reader *reader, struct dump_chunk *out)
{
        struct bytes content = {0};
        enum result r;

        REQUIRE(reader->has_header && reader->number != DUMP_ANY_NUMBER);
        if (reader->is_over) return R_ABSENT;
        REQUIRE(!reader->is_stopped);
        for (;;) {
                if ((r = take_frame(reader, &content)) != R_OK) return r;
                switch (reader->frame.kind) {
                case DUMP_CHUNK:
                        return take_chunk(reader, content, out);
                case DUMP_INDEX:
                        if ((r = take_index(reader, content)) != R_OK) return r;
                        break;
                case DUMP_TRAILER:
                        return take_trailer(reader, content);
                case DUMP_KEY:
                case DUMP_HEADER:
                        return found(reader, NULL, "there is a second header");
                }
        }
}

void dump_fault_line(const struct dump_fault *fault, char out[DUMP_FAULT_LINE_SIZE])
{
        char id[UUID_TEXT_LEN + 1];
        int len = 0;

        uuid_format(fault->owner.id, id);
        if (fault->has_owner) len = snprintf(out, DUMP_FAULT_LINE_SIZE, "%c:%s, ", fault->owner.kind, id);
        snprintf(out + len, DUMP_FAULT_LINE_SIZE - (size_t)len, "at offset %" PRIu64 ": %s", fault->offset,
                 fault->text);
}

const struct dump_fault *dump_reader_fault(const struct dump_reader *reader)
{
        return &reader->fault;
}

bool dump_reader_can_go_on(const struct dump_reader *reader)
{
        return !reader->is_stopped;
}

const struct dump_counts *dump_reader_counts(const struct dump_reader *reader)
{
        return &reader->counts;
}

const uint8_t *dump_reader_root_hash(const struct dump_reader *reader)
{
        REQUIRE(reader->is_over);
        return reader->root_hash;
}

void dump_reader_close(struct dump_reader *reader)
{
        if (reader == NULL) return;
        dump_codec_fini(&reader->codec);
        free(reader->payload.data);
        free(reader->content.data);
        free(reader->unsealed.data);
        dump_cipher_close(reader->cipher);
        free(reader);
}

/* ---- Out of order ---- */

void dump_reader_seek(struct dump_reader *reader, uint64_t offset, uint64_t number)
{
        REQUIRE(reader->has_header && !reader->is_over);
        reader->counts = (struct dump_counts){.size = offset};
        reader->number = number;
        reader->has_owner = false;
        reader->entry_count = 0;
}

enum result dump_reader_frame(struct dump_reader *reader, enum dump_frame_kind kind, struct bytes *content)
{
        enum result r;

        REQUIRE(reader->has_header);
        if ((r = take_frame(reader, content)) != R_OK) return r;
        if (reader->frame.kind == kind) return R_OK;
        return found(reader, NULL, "a frame of another kind is where the end or an index should be");
}

const struct dump_entry *dump_reader_entry(const struct dump_reader *reader)
{
        return reader->entry_count == 1 ? reader->entry : NULL;
}
