/*
 * Snapshots and write transactions, and the runs in them.
 *
 * A view keeps one read transaction for its life and renews it: a reader slot is taken once per thread. Cursors are
 * kept as long as a snapshot, since runs that share one mostly want the same.
 */
#include "engine/txn.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/caller_private.h"
#include "engine/require.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"

void txn_init(struct txn *txn, struct store *store, bool is_write)
{
        *txn = (struct txn){.store = store, .is_write = is_write};
}

static void close_cursors(struct txn *txn)
{
        unsigned i;

        for (i = 0; i < TXN_CURSOR_COUNT; i++) {
                if (txn->cursors_open & 1u << i) backend_cursor_close(&txn->cursors[i]);
        }
        txn->cursors_open = 0;
}

enum result txn_cursor(struct txn *txn, unsigned index, struct backend_cursor **out)
{
        enum result r;

        REQUIRE(index < TXN_CURSOR_COUNT);
        if (!(txn->cursors_open & 1u << index)) {
                r = backend_cursor_open(txn->backend, TABLE_RECORDS, &txn->cursors[index]);
                if (r != R_OK) return r;
                txn->cursors_open |= (uint8_t)(1u << index);
        }
        *out = &txn->cursors[index];
        return R_OK;
}

/* ---- The writer's transactions ---- */

enum result txn_begin(struct txn *txn)
{
        enum result r;

        REQUIRE(txn->is_write && txn->backend == NULL);
        if ((r = backend_begin_write(txn->store->backend, &txn->backend)) != R_OK) return r;
        txn->snapshot++;
        txn->is_dirty = false;
        txn->failure = R_OK;
        txn->touches_identity = false;
        txn->touches_purge = false;
        txn->wake_count = 0;
        txn->wakes_all = false;
        return R_OK;
}

void txn_abort(struct txn *txn)
{
        close_cursors(txn);
        backend_abort(txn->backend);
        txn->backend = NULL;
}

/* Room in the map that only what frees space may use: 256 pages are some 20 deletions, each of which copies the pages
 * from its row up to the root, and after two commits they are free again. */
#define RESERVE_PIECES 256

/* With more room than this left nothing that a batch can put comes near the end: its requests are at most 32 MiB. */
#define ROOM_ENOUGH ((size_t)128 << 20)

struct bytes txn_piece_key(uint8_t place[TXN_PIECE_KEY_SIZE], char kind, unsigned number)
{
        place[0] = (uint8_t)kind;
        place[1] = (uint8_t)(number >> 8);
        place[2] = (uint8_t)number;
        return bytes_of(place, TXN_PIECE_KEY_SIZE);
}

/* See that the reserve could be put now. It goes again at once, and its pages with it to the free ones, where the next
 * commit finds them for the same trial. In pieces, because what small deletions free lies in single pages. */
static enum result try_reserve(struct txn *txn)
{
        static const uint8_t zeros[TXN_PIECE_SIZE];
        uint8_t place[TXN_PIECE_KEY_SIZE];
        enum result r;
        unsigned i;

        if (backend_room(txn->store->backend) > ROOM_ENOUGH) return R_OK;
        for (i = 0; i < RESERVE_PIECES; i++) {
                r = backend_put(txn->backend, TABLE_META, txn_piece_key(place, 'r', i), bytes_of(zeros, sizeof zeros),
                                (struct bytes){0});
                if (r != R_OK) return r;
        }
        for (i = 0; i < RESERVE_PIECES; i++)
                if ((r = backend_delete(txn->backend, TABLE_META, txn_piece_key(place, 'r', i))) != R_OK) return r;
        return R_OK;
}

enum result txn_commit(struct txn *txn, bool keeps_reserve)
{
        struct backend_txn *backend = txn->backend;
        enum result r;

        REQUIRE(backend != NULL && txn->failure == R_OK && !txn->is_running);
        if (!txn->is_dirty) {
                txn_abort(txn);
                return R_OK;
        }
        r = keeps_reserve ? try_reserve(txn) : R_OK;
        if (r == R_OK) r = store_raise_time(txn->store, backend);
        if (r != R_OK) {
                txn_abort(txn);
                return r;
        }
        close_cursors(txn);
        txn->backend = NULL;
        if ((r = backend_commit(backend)) != R_OK) return r;
        store_time_committed(txn->store);
        return R_OK;
}

/* ---- A run ---- */

enum result txn_run(struct txn *txn, const struct txn_input *input, txn_fn *run, void *arg)
{
        enum result r;

        REQUIRE(txn->backend != NULL && !txn->is_running);
        fault_clear(input->fault);
        txn->input = input;
        txn->run++;
        txn->put_count = 0;
        txn->has_wait = false;
        txn->is_running = true;
        r = run(txn, arg);
        txn->is_running = false;
        REQUIRE(txn->scans_open == 0);
        return r;
}

static const struct txn_input *input_of(const struct txn *txn)
{
        REQUIRE(txn->is_running);
        return txn->input;
}

struct arena *txn_arena(struct txn *txn)
{
        return input_of(txn)->arena;
}

struct fault *txn_fault(struct txn *txn)
{
        return input_of(txn)->fault;
}

int64_t txn_time_ms(const struct txn *txn)
{
        return input_of(txn)->time_ms;
}

struct uuid txn_id(const struct txn *txn)
{
        return input_of(txn)->id;
}

const uint8_t *txn_seed(const struct txn *txn)
{
        return input_of(txn)->seed;
}

bool txn_is_write(const struct txn *txn)
{
        return txn->is_write;
}

struct store *txn_store(const struct txn *txn)
{
        return txn->store;
}

/* ---- Rows, below scopes ---- */

static enum result count_write(struct txn *txn)
{
        REQUIRE(txn->is_write && txn->is_running);
        txn->put_count++;
        txn->is_dirty = true;
        return txn->failure;
}

/* LMDB takes nothing more in a transaction in which a write has failed; so neither do we. */
static enum result keep_failure(struct txn *txn, enum result r)
{
        if (r != R_OK && r != R_ABSENT) txn->failure = r;
        return r;
}

enum result txn_put(struct txn *txn, enum backend_table table, struct bytes key, struct bytes head, struct bytes body)
{
        enum result r;

        if ((r = count_write(txn)) != R_OK) return r;
        return keep_failure(txn, backend_put(txn->backend, table, key, head, body));
}

enum result txn_delete(struct txn *txn, enum backend_table table, struct bytes key)
{
        enum result r;

        if ((r = count_write(txn)) != R_OK) return r;
        return keep_failure(txn, backend_delete(txn->backend, table, key));
}

enum result txn_get(struct txn *txn, enum backend_table table, struct bytes key, struct bytes *value)
{
        return backend_get(txn->backend, table, key, value);
}

void store_stat(struct txn *txn, struct store_stat *out)
{
        struct backend_stat backend;
        struct writer_stat writer;

        REQUIRE(txn->is_running);
        backend_stat(txn->backend, &backend);
        writer_stat(txn->store->writer, &writer);
        *out = (struct store_stat){
                .map_bytes = backend.map_size,
                .used_bytes = backend.used,
                .records = backend.rows[TABLE_RECORDS],
                .keys = backend.rows[TABLE_APIKEYS],
                .purge_backlog = backend.rows[TABLE_PURGE],
                .commits = writer.commits,
                .updates = writer.updates,
                .is_read_only = writer.is_read_only,
        };
}

enum result txn_first(struct txn *txn, enum backend_table table, struct bytes from, struct bytes *key)
{
        static const uint8_t lowest[1];
        struct backend_cursor cursor;
        struct bytes value;
        enum result r;

        if ((r = backend_cursor_open(txn->backend, table, &cursor)) != R_OK) return r;
        r = backend_seek(&cursor, from.len == 0 ? bytes_of(lowest, sizeof lowest) : from, key, &value);
        backend_cursor_close(&cursor);
        return r;
}

void txn_check_readers(struct store *store)
{
        (void)backend_check_readers(store->backend);
}

enum result txn_let_grow(struct store *store, bool may_grow)
{
        return backend_fence(store->backend, may_grow);
}

/* ---- Waiting and waking ---- */

static bool topic_is_equal(const struct topic *a, const struct topic *b)
{
        return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

void txn_wait_on(struct txn *txn, struct topic topic)
{
        REQUIRE(txn->is_write && txn->is_running && topic.len <= sizeof topic.data);
        txn->wait = topic;
        txn->has_wait = true;
}

void txn_wake(struct txn *txn, struct topic topic)
{
        unsigned i;

        REQUIRE(txn->is_write && txn->is_running && topic.len <= sizeof topic.data);
        for (i = txn->wake_count; i > 0; i--) {
                if (topic_is_equal(&txn->wakes[i - 1], &topic)) return;
        }
        if (txn->wake_count == TXN_WAKE_COUNT) {
                txn->wakes_all = true;
                return;
        }
        txn->wakes[txn->wake_count++] = topic;
}

/* ---- Views ---- */

struct view {
        struct txn txn;
        bool has_snapshot;
        bool is_expired;
};

enum result view_open(struct store *store, struct view **out)
{
        struct view *view = malloc(sizeof *view);
        struct caller_cache *cache = caller_cache_new();

        if (view == NULL || cache == NULL) {
                caller_cache_free(cache);
                free(view);
                return R_NO_MEMORY;
        }
        txn_init(&view->txn, store, false);
        view->txn.cache = cache;
        view->has_snapshot = false;
        view->is_expired = false;
        atomic_fetch_add(&store->views_open, 1);
        *out = view;
        return R_OK;
}

void view_close(struct view *view)
{
        if (view == NULL) return;
        REQUIRE(!view->txn.is_running);
        close_cursors(&view->txn);
        backend_abort(view->txn.backend);
        atomic_fetch_sub(&view->txn.store->views_open, 1);
        caller_cache_free(view->txn.cache);
        free(view);
}

void view_expire(struct view *view)
{
        view->is_expired = true;
}

void view_rest(struct view *view)
{
        if (!view->has_snapshot) return;
        close_cursors(&view->txn);
        backend_rest(view->txn.backend);
        view->has_snapshot = false;
}

static enum result begin_or_renew(struct txn *txn)
{
        struct backend *backend = txn->store->backend;
        enum result r;

        if (txn->backend != NULL) return backend_renew(txn->backend);
        r = backend_begin_read(backend, &txn->backend);
        if (r != R_EXHAUSTED || backend_check_readers(backend) == 0) return r;
        return backend_begin_read(backend, &txn->backend);
}

/* The generation is read before the snapshot is taken: what identity rows say in a snapshot is then at least as new as
 * the stamp, and an entry that is too new for its stamp is only dropped early. */
static enum result take_snapshot(struct view *view)
{
        struct txn *txn = &view->txn;
        uint64_t generation;
        enum result r;

        view_rest(view);
        generation = atomic_load(&txn->store->identity_generation);
        if ((r = begin_or_renew(txn)) != R_OK) return r;
        txn->generation = generation;
        txn->snapshot++;
        view->has_snapshot = true;
        view->is_expired = false;
        return R_OK;
}

enum result view_run(struct view *view, const struct txn_input *input, txn_fn *run, void *arg)
{
        enum result r;

        if (!view->has_snapshot || view->is_expired) {
                if ((r = take_snapshot(view)) != R_OK) return r;
        }
        return txn_run(&view->txn, input, run, arg);
}
