#include "engine/backend.h"

#include "engine/backend_private.h"
#include "engine/lmdb.h"
#include "engine/require.h"

static const struct backend_engine *const the_engine = &lmdb_engine;

enum result backend_open(int dir_fd, const struct backend_options *options, struct backend **out, char why[256])
{
        struct backend *backend;
        enum result r;

        r = the_engine->open(dir_fd, options, &backend, why);
        if (r != R_OK) return r;
        backend->engine = the_engine;
        atomic_init(&backend->is_latched, false);
        *out = backend;
        return R_OK;
}

enum result backend_check(int dir_fd, void *context, backend_found_fn *found_cb, uint64_t *page_count)
{
        return the_engine->check(dir_fd, context, found_cb, page_count);
}

void backend_close(struct backend *backend)
{
        if (backend != NULL) backend->engine->close(backend);
}

enum result backend_begin_read(struct backend *backend, struct backend_txn **out)
{
        struct backend_txn *txn;
        enum result r;

        r = backend->engine->begin_read(backend, &txn);
        if (r != R_OK) return r;
        txn->backend = backend;
        *out = txn;
        return R_OK;
}

void backend_rest(struct backend_txn *txn)
{
        REQUIRE(!txn->is_write);
        if (txn->is_resting) return;
        txn->backend->engine->rest(txn);
        txn->is_resting = true;
}

enum result backend_renew(struct backend_txn *txn)
{
        enum result r;

        backend_rest(txn);
        r = txn->backend->engine->renew(txn);
        if (r == R_OK) txn->is_resting = false;
        return r;
}

enum result backend_begin_write(struct backend *backend, struct backend_txn **out)
{
        struct backend_txn *txn;
        enum result r;

        if (atomic_load(&backend->is_latched)) return R_COMMIT_UNKNOWN;
        r = backend->engine->begin_write(backend, &txn);
        if (r != R_OK) return r;
        txn->backend = backend;
        txn->is_write = true;
        *out = txn;
        return R_OK;
}

/* A transaction that waited for the one which then failed is stopped here. */
enum result backend_commit(struct backend_txn *txn)
{
        struct backend *backend = txn->backend;
        enum result r = txn->failure;

        REQUIRE(txn->is_write);
        if (r == R_OK && atomic_load(&backend->is_latched)) r = R_COMMIT_UNKNOWN;
        if (r != R_OK) {
                backend_abort(txn);
                return r;
        }
        r = backend->engine->commit(txn);
        if (r == R_COMMIT_UNKNOWN) atomic_store(&backend->is_latched, true);
        return r;
}

enum result backend_sync(struct backend *backend)
{
        return backend->engine->sync(backend);
}

void backend_abort(struct backend_txn *txn)
{
        if (txn != NULL) txn->backend->engine->abort(txn);
}

static void check_read(const struct backend_txn *txn, enum backend_table table)
{
        REQUIRE(!txn->is_resting);
        REQUIRE((size_t)table < TABLE_COUNT);
}

static bool is_key(struct bytes key)
{
        return key.len > 0 && key.len <= BACKEND_KEY_SIZE_MAX;
}

enum result backend_get(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes *value)
{
        check_read(txn, table);
        REQUIRE(is_key(key));
        return txn->backend->engine->get(txn, table, key, value);
}

static void check_write(const struct backend_txn *txn, enum backend_table table, struct bytes key)
{
        REQUIRE(txn->is_write);
        REQUIRE((size_t)table < TABLE_COUNT);
        REQUIRE(is_key(key));
}

enum result backend_put(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes head,
                        struct bytes body)
{
        check_write(txn, table, key);
        if (txn->failure == R_OK) txn->failure = txn->backend->engine->put(txn, table, key, head, body);
        return txn->failure;
}

enum result backend_delete(struct backend_txn *txn, enum backend_table table, struct bytes key)
{
        enum result r;

        check_write(txn, table, key);
        if (txn->failure != R_OK) return txn->failure;
        r = txn->backend->engine->delete (txn, table, key);
        if (r != R_ABSENT) txn->failure = r;
        return r;
}

enum result backend_cursor_open(struct backend_txn *txn, enum backend_table table, struct backend_cursor *out)
{
        void *handle;
        enum result r;

        check_read(txn, table);
        r = txn->backend->engine->cursor_open(txn, table, &handle);
        if (r == R_OK) *out = (struct backend_cursor){txn, handle, table};
        return r;
}

void backend_cursor_close(struct backend_cursor *cursor)
{
        if (cursor->handle == NULL) return;
        cursor->txn->backend->engine->cursor_close(cursor);
        cursor->handle = NULL;
}

enum result backend_seek(struct backend_cursor *cursor, struct bytes key, struct bytes *found, struct bytes *value)
{
        REQUIRE(is_key(key));
        return cursor->txn->backend->engine->seek(cursor, key, found, value);
}

enum result backend_seek_before(struct backend_cursor *cursor, struct bytes key, struct bytes *found,
                                struct bytes *value)
{
        REQUIRE(is_key(key));
        return cursor->txn->backend->engine->seek_before(cursor, key, found, value);
}

enum result backend_next(struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        return cursor->txn->backend->engine->next(cursor, found, value);
}

enum result backend_previous(struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        return cursor->txn->backend->engine->previous(cursor, found, value);
}

int backend_check_readers(struct backend *backend)
{
        return backend->engine->check_readers(backend);
}

size_t backend_room(struct backend *backend)
{
        return backend->engine->room(backend);
}

enum result backend_fence(struct backend *backend, bool may_grow)
{
        return backend->engine->fence(backend, may_grow);
}

void backend_stat(struct backend_txn *txn, struct backend_stat *out)
{
        txn->backend->engine->stat(txn, out);
}

const char *backend_version(void)
{
        return the_engine->version();
}

bool backend_may_block(void)
{
        return the_engine->may_block;
}
