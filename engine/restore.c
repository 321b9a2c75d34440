#include "engine/restore.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <store/v1/store.pb.h>

#include "engine/apikey.h"
#include "engine/derive.h"
#include "engine/dump_frame.h"
#include "engine/job.h"
#include "engine/membership.h"
#include "engine/message.h"
#include "engine/store_build.h"
#include "engine/verify.h"
#include "engine/writer.h"

/* Kinds from which others are derived. Change rows need none: an owner's revision is its last one's number. */
static derive_fn *const derivations[ROW_KIND_COUNT] = {
        [ROW_KEY] = apikey_derive,
        [ROW_MEMBER] = membership_derive,
        [ROW_JOB] = job_derive,
};

/* One transaction: enough that its sync does not count, and not so much that its dirty pages outgrow what LMDB keeps
 * track of (131,071), should each row touch a page of its own. */
#define BATCH_SIZE    ((size_t)8 << 20)
#define BATCH_RECORDS 20000
#define BATCH_CHUNKS  1024

/* What one batch's run allocates: a scope for each chunk, and one row's unpacking. */
#define ARENA_MAX ((size_t)64 << 20)

struct batch {
        struct {
                struct owner owner;
                size_t offset, len;
        } chunks[BATCH_CHUNKS];
        size_t chunk_count;
        uint64_t record_count;
        struct dump_buffer content;
        size_t content_len;

        /* the writer's while it is put */
        bool is_putting;
        struct writer_wait wait;
        struct arena arena;
        struct fault fault;

        /* of the newest run: the writer tells of a failure in the middle only that there was one */
        enum result outcome;
        struct owner owner;
        struct row row;
};

/* One is put while the next is read. */
struct load {
        struct store *store; /* NULL: nothing is put */
        struct batch batches[2];
        struct batch *batch; /* the one being read */
        uint64_t checksums;  /* of all records that were read, as a sum */
};

static enum result fail(struct restore *restore, enum result r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static enum result fail(struct restore *restore, enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(restore->why, sizeof restore->why, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- Rows ---- */

static enum result derive(const struct scope *scope, const struct row *row, const struct record *record)
{
        struct derive derive = {scope, NULL, row, record};
        const struct owner user = {OWNER_USER, row->id};
        enum result r;

        if (derivations[row->kind] == NULL) return R_OK;
        if (row->kind == ROW_MEMBER && (r = scope_restore(scope_txn(scope), user, &derive.user)) != R_OK) return r;
        return derivations[row->kind](&derive);
}

static enum result put_chunk(struct txn *txn, struct batch *batch, struct dump_chunk *chunk)
{
        struct arena *arena = txn_arena(txn);
        struct dump_record dumped;
        const struct scope *scope;
        enum result r;

        if ((r = scope_restore(txn, chunk->owner, &scope)) != R_OK) return r;
        batch->owner = chunk->owner;
        while (dump_chunk_next(chunk, &dumped)) {
                const struct record record = {dumped.revision, dumped.body};
                const struct arena_mark mark = arena_mark(arena);

                batch->row = dumped.row;
                r = scope_put_restored(scope, &dumped.row, dumped.revision, dumped.body);
                if (r == R_OK) r = derive(scope, &dumped.row, &record);
                if (r != R_OK) return r;
                arena_reset(arena, mark);
        }
        return R_OK;
}

static enum result put_batch(struct txn *txn, void *arg)
{
        struct batch *batch = arg;
        size_t i;

        batch->outcome = R_OK;
        for (i = 0; i < batch->chunk_count && batch->outcome == R_OK; i++) {
                struct dump_chunk chunk = {
                        .owner = batch->chunks[i].owner,
                        .rest = bytes_of(batch->content.data + batch->chunks[i].offset, batch->chunks[i].len),
                };

                batch->outcome = put_chunk(txn, batch, &chunk);
        }
        return batch->outcome;
}

static enum result update(struct store *store, txn_fn *run, void *arg)
{
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        enum result r;

        input.id = uuid_v7(input.time_ms);
        arena_init(&arena, NULL, ARENA_MAX);
        r = writer_run(store_writer(store), &input, run, arg);
        arena_fini(&arena);
        return r;
}

static void row_text(struct owner owner, const struct row *row, char *out, size_t size)
{
        char owner_text[UUID_TEXT_LEN + 1], id[UUID_TEXT_LEN + 1];

        uuid_format(owner.id, owner_text);
        uuid_format(row->kind == ROW_APP ? row->app : row->id, id);
        snprintf(out, size, "%c:%s, %s %s", owner.kind, owner_text, row_kind_name(row->kind), id);
}

static enum result explain_write(struct restore *restore, const struct batch *batch, enum result r)
{
        char row[160];

        if (r == R_READ_ONLY) return fail(restore, r, "the disk is full");
        if (batch->outcome == R_OK) return fail(restore, r, "cannot write: %s", result_text(r));
        row_text(batch->owner, &batch->row, row, sizeof row);
        if (batch->outcome == R_EXISTS)
                return fail(restore, R_EXISTS, "%s: another record of the dump has the same digest", row);
        if (batch->outcome == R_CORRUPT) return fail(restore, R_CORRUPT, "%s: it makes no sense", row);
        return fail(restore, batch->outcome, "%s: %s", row, result_text(batch->outcome));
}

static enum result begin_put(struct restore *restore, struct load *load)
{
        struct batch *batch = load->batch;
        int64_t time_ms = store_time_ms(load->store);
        enum result r;

        batch->wait = (struct writer_wait){
                .update = {.lane = LANE_CALL,
                           .input = {.arena = &batch->arena,
                                     .fault = &batch->fault,
                                     .time_ms = time_ms,
                                     .id = uuid_v7(time_ms)},
                           .run = put_batch,
                           .arg = batch},
        };
        arena_init(&batch->arena, NULL, ARENA_MAX);
        r = writer_begin(store_writer(load->store), &batch->wait);
        batch->is_putting = r == R_OK;
        if (r == R_OK) return R_OK;
        arena_fini(&batch->arena);
        return explain_write(restore, batch, r);
}

/* It is on its way to the disk, and can be filled anew. */
static enum result end_put(struct restore *restore, struct batch *batch)
{
        enum result r;

        if (!batch->is_putting) return R_OK;
        r = writer_wait(&batch->wait);
        batch->is_putting = false;
        arena_fini(&batch->arena);
        batch->chunk_count = 0;
        batch->record_count = 0;
        batch->content_len = 0;
        return r == R_OK ? R_OK : explain_write(restore, batch, r);
}

/* Let the writer have it, and go on with the other. One is put at a time: after a failure there is no next. */
static enum result flush(struct restore *restore, struct load *load)
{
        struct batch *other = load->batch == &load->batches[0] ? &load->batches[1] : &load->batches[0];
        enum result r;

        if ((r = end_put(restore, other)) != R_OK) return r;
        if (load->batch->chunk_count == 0) return R_OK;
        if ((r = begin_put(restore, load)) != R_OK) return r;
        load->batch = other;
        return R_OK;
}

/* All that was read is in the store. */
static enum result finish_load(struct restore *restore, struct load *load)
{
        enum result r;

        if (load->store == NULL) return R_OK;
        if ((r = flush(restore, load)) != R_OK) return r;
        return flush(restore, load); /* there is nothing in the other: what was begun ends */
}

static struct load *load_new(struct store *store)
{
        struct load *load = calloc(1, sizeof *load);

        if (load == NULL) return NULL;
        load->store = store;
        load->batch = &load->batches[0];
        return load;
}

static void load_free(struct load *load)
{
        size_t i;

        for (i = 0; i < sizeof load->batches / sizeof load->batches[0]; i++) {
                struct batch *batch = &load->batches[i];

                if (batch->is_putting) {
                        enum result r = writer_wait(&batch->wait);

                        (void)r; /* something else went wrong before */
                        arena_fini(&batch->arena);
                }
                free(batch->content.data);
        }
        free(load);
}

/* ---- The dump ---- */

static enum result explain_read(struct restore *restore, const struct dump_chain *chain, enum result r)
{
        const struct dump_fault *fault = dump_chain_fault(chain, &restore->fault_layer);
        char text[DUMP_FAULT_LINE_SIZE];

        if (r == R_CORRUPT) {
                dump_fault_line(fault, text);
                return fail(restore, r, "the dump is damaged: %s", text);
        }
        if (r == R_FORMAT || r == R_UNAUTHENTICATED || r == R_WRONG_STATE) return fail(restore, r, "%s", fault->text);
        return fail(restore, r, "cannot read the dump: %s", result_text(r));
}

static bool is_full(const struct batch *batch)
{
        return batch->content_len >= BATCH_SIZE || batch->chunk_count == BATCH_CHUNKS ||
               batch->record_count >= BATCH_RECORDS;
}

static enum result keep_chunk(struct restore *restore, struct load *load, const struct dump_chunk *chunk)
{
        struct batch *batch = load->batch;
        enum result r =
                dump_buffer_reserve(&batch->content, batch->content_len + chunk->content.len, batch->content_len);

        if (r != R_OK) return fail(restore, r, "out of memory");
        memcpy(batch->content.data + batch->content_len, chunk->content.data, chunk->content.len);
        batch->chunks[batch->chunk_count].owner = chunk->owner;
        batch->chunks[batch->chunk_count].offset = batch->content_len;
        batch->chunks[batch->chunk_count++].len = chunk->content.len;
        batch->content_len += chunk->content.len;
        load->checksums += dump_chunk_checksums(chunk, &batch->record_count);
        return is_full(batch) ? flush(restore, load) : R_OK;
}

/* Where chunks go. */
struct filling {
        struct restore *restore;
        struct load *load;
};

static enum result take_chunk(void *context, const struct dump_chunk *chunk)
{
        const struct filling *filling = context;

        return filling->load->store == NULL ? R_OK : keep_chunk(filling->restore, filling->load, chunk);
}

/* All chunks, into the store. */
static enum result take_chunks(struct restore *restore, struct dump_chain *chain, struct load *load)
{
        struct filling filling = {restore, load};
        enum result r = dump_chain_run(chain, take_chunk, &filling);

        if (r != R_OK && restore->why[0] != '\0') return r; /* the store's, and said */
        if (r != R_OK) return explain_read(restore, chain, r);
        restore->counts = *dump_chain_counts(chain);
        memcpy(restore->root_hash, dump_chain_root_hash(chain), SHA256_SIZE);
        return finish_load(restore, load);
}

/* ---- Proof ---- */

static enum result look(struct store *store, txn_fn *run, void *arg)
{
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        struct view *view;
        enum result r;

        if ((r = view_open(store, &view)) != R_OK) return r;
        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, run, arg);
        arena_fini(&arena);
        view_close(view);
        return r;
}

/* What one of two threads finds, which share the owners between them. */
struct proof {
        struct store *store;
        struct verify verify;
        enum result r;
        char why[STORE_WHY_SIZE]; /* the first thing that is wrong; "": nothing */
};

static void keep_sentence(void *context, const char *sentence)
{
        struct proof *proof = context;

        if (proof->why[0] == '\0') snprintf(proof->why, sizeof proof->why, "%s", sentence);
}

static void *run_proof(void *arg)
{
        struct proof *proof = arg;

        proof->verify.context = proof;
        proof->verify.found_cb = keep_sentence;
        proof->r = look(proof->store, verify_run, &proof->verify);
        return NULL;
}

static enum result judge(struct restore *restore, uint64_t checksums, const struct proof proofs[2])
{
        const struct verify *one = &proofs[0].verify, *other = &proofs[1].verify;
        uint64_t row_count = one->row_count + other->row_count;
        size_t i;

        for (i = 0; i < 2; i++) {
                if (proofs[i].r != R_OK)
                        return fail(restore, proofs[i].r, "cannot read the restored store: %s",
                                    result_text(proofs[i].r));
                if (proofs[i].why[0] != '\0') return fail(restore, R_CORRUPT, "%s", proofs[i].why);
        }
        if (one->record_count + other->record_count != restore->counts.records ||
            one->checksums + other->checksums != checksums)
                return fail(restore, R_CORRUPT, "the restored store does not hold what the dump does");
        if (row_count != one->row_total)
                return fail(restore, R_CORRUPT,
                            "the store has %" PRIu64 " rows by its own count and %" PRIu64 " to be read",
                            one->row_total, row_count);
        return R_OK;
}

/* What has been put is read back from the files: it must be what the dump says, and all of it must fit together. */
static enum result prove(struct restore *restore, struct store *store, uint64_t checksums)
{
        struct verify_share share = {0};
        struct verify verify = {.is_settled = true, .share = &share};
        struct proof proofs[2] = {{.store = store, .verify = verify}, {.store = store, .verify = verify}};
        pthread_t thread;

        proofs[0].verify.is_first = true;
        if (pthread_create(&thread, NULL, run_proof, &proofs[1]) != 0)
                return fail(restore, R_NO_MEMORY, "out of memory");
        run_proof(&proofs[0]);
        pthread_join(thread, NULL);
        return judge(restore, checksums, proofs);
}

/* ---- Keys that were revoked since ---- */

#define REVOKED_MAX 256 /* of one transaction */

struct revoked {
        struct store *store; /* being restored */
        struct {
                struct uuid user, key;
        } keys[REVOKED_MAX];
        size_t count;
        uint64_t revoked_count;
};

/* One that is not in the dump needs no revoking. */
static enum result revoke_keys(struct txn *txn, void *arg)
{
        const struct row profile = {.kind = ROW_PROFILE};
        struct revoked *revoked = arg;
        const struct scope *scope;
        enum result r;
        size_t i;

        for (i = 0; i < revoked->count; i++) {
                const struct owner owner = {OWNER_USER, revoked->keys[i].user};

                if ((r = scope_restore(txn, owner, &scope)) != R_OK) return r;
                r = scope_exists(scope, &profile);
                if (r == R_OK) r = apikey_cancel(scope, revoked->keys[i].key);
                if (r != R_OK && r != R_ABSENT) return r;
        }
        return R_OK;
}

static enum result flush_revoked(struct revoked *revoked)
{
        enum result r;

        if (revoked->count == 0) return R_OK;
        if ((r = update(revoked->store, revoke_keys, revoked)) != R_OK) return r;
        revoked->revoked_count += revoked->count;
        revoked->count = 0;
        return R_OK;
}

static enum result find_revoked_of(const struct scope *scope, struct revoked *revoked)
{
        const struct row kind = {.kind = ROW_KEY};
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        store_v1_ApiKey key;
        struct row row;
        enum result r;

        if ((r = scan_open(scope, &kind, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                if ((r = message_load(store_v1_ApiKey_fields, record.body, &key)) != R_OK) return r;
                if (key.revoked_at_ms == 0) continue;
                if (revoked->count == REVOKED_MAX && (r = flush_revoked(revoked)) != R_OK) return r;
                revoked->keys[revoked->count].user = scope_owner(scope).id;
                revoked->keys[revoked->count++].key = row.id;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* In a view of the other store. */
static enum result find_revoked(struct txn *txn, void *arg)
{
        struct scope_walk walk = {0};
        const struct scope *scope;
        enum result r;

        while ((r = scope_each(txn, OWNER_USER, &walk, &scope)) == R_OK) {
                if ((r = find_revoked_of(scope, arg)) != R_OK) return r;
        }
        return r == R_ABSENT ? flush_revoked(arg) : r;
}

static enum result keep_revoked(struct restore *restore, struct store *store)
{
        struct store_options options = restore->options;
        struct revoked revoked = {.store = store};
        struct store *other;
        enum result r;

        if (restore->revoked_dir == NULL) return R_OK;
        options.dir = restore->revoked_dir;
        if ((r = store_open(&options, &other, NULL, NULL, restore->why)) != R_OK) return r;
        r = look(other, find_revoked, &revoked);
        store_close(other);
        restore->revoked_count = revoked.revoked_count;
        return r == R_OK ? R_OK : fail(restore, r, "cannot read the keys of %s: %s", options.dir, result_text(r));
}

/* ---- All of it ---- */

static enum result fill(struct restore *restore, struct dump_chain *chain, struct store *store)
{
        struct load *load = load_new(store);
        uint64_t checksums;
        enum result r;

        if (load == NULL) return fail(restore, R_NO_MEMORY, "out of memory");
        r = take_chunks(restore, chain, load);
        checksums = load->checksums;
        load_free(load);
        if (r == R_OK && store != NULL) r = prove(restore, store, checksums);
        if (r == R_OK && store != NULL) r = keep_revoked(restore, store);
        return r;
}

static enum result build(struct restore *restore, struct dump_chain *chain)
{
        const struct store_seed seed = {
                .id = restore->header.store_id,
                .restore_epoch = restore->header.restore_epoch + 1,
                .is_demo = restore->header.is_demo,
                .time_ms = restore->header.time_ms,
        };
        struct store_build *build;
        enum result r;

        if ((r = store_build_begin(&restore->options, &seed, &build, restore->why)) != R_OK) return r;
        r = fill(restore, chain, store_build_store(build));
        if (r == R_OK) return store_build_finish(build, restore->why);
        store_build_abandon(build);
        return r;
}

/* There must be no store yet; whether anything else is in the way is for the real run to find. */
static enum result try_place(struct restore *restore)
{
        char path[4096];
        struct stat st;

        if (snprintf(path, sizeof path, "%s/data.mdb", restore->options.dir) >= (int)sizeof path)
                return fail(restore, R_IO, "the name of the directory is too long");
        if (stat(path, &st) != 0) return R_OK;
        return fail(restore, R_EXISTS, "there is a store in %s already", restore->options.dir);
}

enum result restore_run(struct restore *restore)
{
        const struct dump_layer single = {.read = restore->read, .context = restore->context};
        bool is_chain = restore->layer_count > 0;
        struct dump_chain *chain;
        enum result r;

        restore->why[0] = '\0';
        restore->fault_layer = restore->layer_count;
        r = dump_chain_open(is_chain ? restore->layers : &single, is_chain ? restore->layer_count : 1, restore->secret,
                            &chain);
        if (r != R_OK) return fail(restore, r, "out of memory");
        r = dump_chain_header(chain, &restore->header);
        if (r != R_OK)
                r = explain_read(restore, chain, r);
        else if (!restore->is_dry)
                r = build(restore, chain);
        else if ((r = try_place(restore)) == R_OK)
                r = fill(restore, chain, NULL);
        dump_chain_close(chain);
        return r;
}
