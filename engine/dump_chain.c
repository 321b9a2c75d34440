#include "engine/dump_chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dump_delta.h"
#include "engine/dump_frame.h"
#include "engine/dump_write.h"
#include "engine/require.h"

struct layer {
        struct dump_layer file;
        struct dump_reader *reader;
        struct dump_header header;
        uint8_t root_hash[SHA256_SIZE]; /* as its trailer says */

        bool has_chunk; /* else it was read to its end */
        struct dump_chunk chunk;
        struct key owner; /* of the chunk */

        bool has_record; /* of the owner at hand */
        struct dump_record record;
        struct key key;
};

struct dump_chain {
        struct layer layers[DUMP_CHAIN_MAX];
        size_t count;
        const struct dump_secret *secret;
        struct dump_fault fault;
        size_t fault_layer;

        dump_take_fn *take;
        void *context;
        struct dump_writer *writer; /* of nothing: it cuts chunks and finds the hashes */
        struct owner owner;
        bool is_first; /* chunk of the owner */
        bool has_gone_app;
        struct key gone_app; /* its prefix: what older ones have under it is gone */
        size_t gone_layer;

        struct dump_counts counts;
        uint8_t root_hash[SHA256_SIZE];
};

static enum result found(struct dump_chain *chain, size_t layer, enum result r, const struct owner *owner,
                         const char *text)
{
        chain->fault = (struct dump_fault){.has_owner = owner != NULL};
        if (owner != NULL) chain->fault.owner = *owner;
        snprintf(chain->fault.text, sizeof chain->fault.text, "%s", text);
        chain->fault_layer = layer;
        return r;
}

static enum result keep_fault(struct dump_chain *chain, size_t i, enum result r)
{
        if (r != R_CORRUPT && r != R_FORMAT && r != R_UNAUTHENTICATED) return r;
        chain->fault = *dump_reader_fault(chain->layers[i].reader);
        chain->fault_layer = i;
        return r;
}

/* ---- Whether they belong together ---- */

static enum result read_end(struct dump_chain *chain, size_t i)
{
        struct layer *layer = &chain->layers[i];
        struct dump_index *index;
        enum result r;

        chain->fault_layer = i;
        r = dump_index_open(layer->file.read_at, layer->file.context, layer->file.size, chain->secret, &index,
                            &chain->fault);
        if (r != R_OK) return r;
        memcpy(layer->root_hash, dump_index_root_hash(index), SHA256_SIZE);
        dump_index_close(index);
        return R_OK;
}

static enum result check_link(struct dump_chain *chain, size_t i)
{
        const struct layer *base = &chain->layers[i - 1], *layer = &chain->layers[i];

        if (!layer->header.is_incremental)
                return found(chain, i, R_WRONG_STATE, NULL, "it is a full dump, which must be the first");
        if (!uuid_equal(layer->header.store_id, base->header.store_id))
                return found(chain, i, R_WRONG_STATE, NULL, "it is a dump of another store");
        if (layer->header.restore_epoch != base->header.restore_epoch)
                return found(chain, i, R_WRONG_STATE, NULL, "the store was restored between the one before and this");
        if (memcmp(layer->header.base_root_hash, base->root_hash, SHA256_SIZE) != 0)
                return found(chain, i, R_WRONG_STATE, NULL,
                             layer->header.base_time_ms > base->header.time_ms
                                     ? "it is not based on the one before it: one between them is missing"
                                     : "it is not based on the one before it");
        return R_OK;
}

enum result dump_chain_header(struct dump_chain *chain, struct dump_header *out)
{
        enum result r;
        size_t i;

        for (i = 0; i < chain->count; i++) {
                struct layer *layer = &chain->layers[i];

                r = keep_fault(chain, i, dump_reader_header(layer->reader, &layer->header));
                if (r != R_OK) return r;
                if (chain->count > 1 && (r = read_end(chain, i)) != R_OK) return r;
                if (i == 0 && layer->header.is_incremental)
                        return found(chain, i, R_WRONG_STATE, NULL,
                                     "it is incremental: the dump that it is based on must come before it");
                if (i > 0 && (r = check_link(chain, i)) != R_OK) return r;
        }
        *out = chain->layers[chain->count - 1].header;
        out->is_incremental = false;
        return R_OK;
}

/* ---- One owner after another ---- */

static enum result next_chunk(struct dump_chain *chain, size_t i)
{
        struct layer *layer = &chain->layers[i];
        enum result r = keep_fault(chain, i, dump_reader_next(layer->reader, &layer->chunk));

        layer->has_chunk = r == R_OK;
        if (r == R_OK) key_owner(layer->chunk.owner, &layer->owner);
        return r == R_ABSENT ? R_OK : r;
}

static enum result pass_owner(struct dump_chain *chain, size_t i)
{
        struct layer *layer = &chain->layers[i];
        const struct key owner = layer->owner;
        enum result r = R_OK;

        layer->has_record = false;
        while (r == R_OK && layer->has_chunk && dump_key_compare(&layer->owner, &owner) == 0)
                r = next_chunk(chain, i);
        return r;
}

static enum result next_record(struct dump_chain *chain, size_t i)
{
        struct layer *layer = &chain->layers[i];
        const struct key owner = layer->owner;
        enum result r;

        for (;;) {
                layer->has_record = dump_chunk_next(&layer->chunk, &layer->record);
                if (layer->has_record) break;
                if ((r = next_chunk(chain, i)) != R_OK) return r;
                if (!layer->has_chunk || dump_key_compare(&layer->owner, &owner) != 0) return R_OK;
        }
        layer->key = owner;
        key_append(&layer->key, &layer->record.row);
        return R_OK;
}

/* The owner that comes next; NULL: none. */
static const struct key *next_owner(const struct dump_chain *chain)
{
        const struct key *owner = NULL;
        size_t i;

        for (i = 0; i < chain->count; i++) {
                const struct layer *layer = &chain->layers[i];

                if (layer->has_chunk && (owner == NULL || dump_key_compare(&layer->owner, owner) < 0))
                        owner = &layer->owner;
        }
        return owner;
}

/* ---- The records of one owner ---- */

/* The layer that has the first name, and of those the newest; the others' records of that name are passed. */
static enum result first_name(struct dump_chain *chain, size_t from, size_t *out)
{
        size_t best = chain->count, i;
        enum result r;

        for (i = from; i < chain->count; i++) {
                const struct layer *layer = &chain->layers[i];

                if (!layer->has_record) continue;
                if (best == chain->count || dump_key_compare(&layer->key, &chain->layers[best].key) <= 0) best = i;
        }
        for (i = from; i < chain->count && best < chain->count; i++) {
                struct layer *layer = &chain->layers[i];

                if (i == best || !layer->has_record || dump_key_compare(&layer->key, &chain->layers[best].key) != 0)
                        continue;
                if ((r = next_record(chain, i)) != R_OK) return r;
        }
        *out = best;
        return R_OK;
}

static enum result put_record(struct dump_chain *chain, size_t i)
{
        const struct layer *layer = &chain->layers[i];
        const struct record record = {layer->record.revision, layer->record.body};

        if (layer->record.is_gone) {
                if (layer->record.row.kind != ROW_APP) return R_OK;
                chain->has_gone_app = true;
                chain->gone_layer = i;
                key_owner(chain->owner, &chain->gone_app);
                key_append_app(&chain->gone_app, layer->record.row.app);
                return R_OK;
        }
        if (chain->has_gone_app && i < chain->gone_layer &&
            bytes_start_with(bytes_of(layer->key.data, layer->key.len),
                             bytes_of(chain->gone_app.data, chain->gone_app.len)))
                return R_OK;
        return dump_writer_record(chain->writer, &layer->record.row, &record);
}

static enum result merge(struct dump_chain *chain, size_t from)
{
        struct dump_entry entry;
        enum result r;
        size_t i;

        chain->is_first = true;
        chain->has_gone_app = false;
        if ((r = dump_writer_owner(chain->writer, chain->owner)) != R_OK) return r;
        while ((r = first_name(chain, from, &i)) == R_OK && i < chain->count) {
                if ((r = put_record(chain, i)) != R_OK) return r;
                if ((r = next_record(chain, i)) != R_OK) return r;
        }
        return r == R_OK ? dump_writer_end(chain->writer, &entry) : r; /* the last chunk is this owner's */
}

static bool has_owner(const struct dump_chain *chain, size_t i, const struct key *owner)
{
        return chain->layers[i].has_chunk && dump_key_compare(&chain->layers[i].owner, owner) == 0;
}

/* The layer from which on the owner's records count: the newest that has all of them. Where the newest of all is a dump
 * of named owners in which this one is not, the owner is none of it. Chain->count: there is no such owner. */
static enum result find_start(struct dump_chain *chain, const struct key *owner, size_t *out)
{
        size_t start = chain->count, i;
        bool has_whole = false;

        for (i = 0; i < chain->count; i++) {
                const struct layer *layer = &chain->layers[i];
                struct dump_chunk copy = layer->chunk;
                struct dump_record record;

                if (!has_owner(chain, i, owner)) {
                        if (layer->header.is_partial && layer->header.is_incremental) has_whole = false;
                        continue;
                }
                if (!layer->chunk.is_delta) {
                        start = i;
                        has_whole = true;
                        continue;
                }
                if (dump_chunk_next(&copy, &record) && record.is_gone && record.row.kind == ROW_PROFILE) {
                        has_whole = false;
                        continue;
                }
                if (!has_whole)
                        return found(chain, i, R_CORRUPT, &layer->chunk.owner,
                                     "it changes an owner whom those before it do not have");
        }
        *out = has_whole ? start : chain->count;
        return R_OK;
}

static enum result run_owner(struct dump_chain *chain, const struct key *owner)
{
        size_t start, i;
        enum result r;

        if ((r = find_start(chain, owner, &start)) != R_OK) return r;
        for (i = 0; i < chain->count; i++) {
                if (!has_owner(chain, i, owner)) continue;
                chain->owner = chain->layers[i].chunk.owner;
                r = i < start ? pass_owner(chain, i) : next_record(chain, i);
                if (r != R_OK) return r;
        }
        return start < chain->count ? merge(chain, start) : R_OK;
}

/* ---- All of it ---- */

static enum result give_chunk(void *context, struct bytes content)
{
        struct dump_chain *chain = context;
        const struct dump_chunk chunk = {
                .owner = chain->owner, .is_first = chain->is_first, .content = content, .rest = content};

        chain->is_first = false;
        return chain->take(chain->context, &chunk);
}

static enum result finish(struct dump_chain *chain)
{
        const size_t last = chain->count - 1;
        enum result r;
        size_t i;

        if ((r = dump_writer_finish(chain->writer)) != R_OK) return r;
        chain->counts = *dump_writer_counts(chain->writer);
        memcpy(chain->root_hash, dump_writer_root_hash(chain->writer), SHA256_SIZE);
        for (i = 0; i < chain->count; i++) {
                chain->counts.size += dump_reader_counts(chain->layers[i].reader)->size;
                if (memcmp(dump_reader_root_hash(chain->layers[i].reader), chain->layers[i].root_hash, SHA256_SIZE) !=
                    0)
                        return found(chain, i, R_CORRUPT, NULL, "the dump has changed meanwhile");
        }
        if (memcmp(chain->root_hash, chain->layers[last].root_hash, SHA256_SIZE) == 0) return R_OK;
        return found(chain, last, R_CORRUPT, NULL, "with those before it, it does not give the records that it should");
}

static enum result run_many(struct dump_chain *chain)
{
        const struct key *next;
        struct key owner;
        enum result r;
        size_t i;

        if ((r = dump_writer_open_nowhere(give_chunk, chain, &chain->writer)) != R_OK) return r;
        for (i = 0; i < chain->count; i++)
                if ((r = next_chunk(chain, i)) != R_OK) return r;
        while ((next = next_owner(chain)) != NULL) {
                owner = *next;
                if ((r = run_owner(chain, &owner)) != R_OK) return r;
        }
        return finish(chain);
}

static enum result run_one(struct dump_chain *chain)
{
        struct dump_reader *reader = chain->layers[0].reader;
        struct dump_chunk chunk;
        enum result r;

        while ((r = keep_fault(chain, 0, dump_reader_next(reader, &chunk))) == R_OK)
                if ((r = chain->take(chain->context, &chunk)) != R_OK) return r;
        if (r != R_ABSENT) return r;
        chain->counts = *dump_reader_counts(reader);
        memcpy(chain->root_hash, dump_reader_root_hash(reader), SHA256_SIZE);
        return R_OK;
}

/* ---- From outside ---- */

enum result dump_chain_open(const struct dump_layer *layers, size_t count, const struct dump_secret *secret,
                            struct dump_chain **out)
{
        struct dump_chain *chain = calloc(1, sizeof *chain);
        enum result r = R_OK;
        size_t i;

        REQUIRE(count > 0 && count <= DUMP_CHAIN_MAX);
        if (chain == NULL) return R_NO_MEMORY;
        chain->secret = secret;
        chain->count = count;
        for (i = 0; i < count && r == R_OK; i++) {
                struct layer *layer = &chain->layers[i];

                layer->file = layers[i];
                r = dump_reader_open(layers[i].read, layers[i].context, &layer->reader);
                if (r != R_OK) break;
                dump_reader_set_secret(layer->reader, secret);
                dump_reader_take_incremental(layer->reader);
        }
        if (r != R_OK) {
                dump_chain_close(chain);
                return r;
        }
        *out = chain;
        return R_OK;
}

enum result dump_chain_run(struct dump_chain *chain, dump_take_fn *take, void *context)
{
        chain->take = take;
        chain->context = context;
        return chain->count == 1 ? run_one(chain) : run_many(chain);
}

const struct dump_fault *dump_chain_fault(const struct dump_chain *chain, size_t *layer)
{
        *layer = chain->fault_layer;
        return &chain->fault;
}

const struct dump_counts *dump_chain_counts(const struct dump_chain *chain)
{
        return &chain->counts;
}

const uint8_t *dump_chain_root_hash(const struct dump_chain *chain)
{
        return chain->root_hash;
}

void dump_chain_close(struct dump_chain *chain)
{
        size_t i;

        if (chain == NULL) return;
        for (i = 0; i < chain->count; i++)
                dump_reader_close(chain->layers[i].reader);
        dump_writer_close(chain->writer);
        free(chain);
}
