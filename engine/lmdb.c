#include "engine/lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/lmdb_tree.h"
#include "engine/require.h"

/* Below this a store is of no use, and the search for a size that the kernel grants ends. */
#define MAP_SIZE_MIN ((size_t)16 << 20)

/* What a full disk refuses and any other grants. A write that came out short has taken the last blocks. */
#define PROBE_SIZE ((off_t)1 << 20)

/* Of the header of a page, which begins with its number. Values of half a page or more begin behind such a header. */
#define PAGE_HEADER_SIZE 16

static const char *const table_names[TABLE_COUNT] = {
        [TABLE_RECORDS] = "records", [TABLE_APIKEYS] = "apikeys", [TABLE_LEASES] = "leases", [TABLE_DUE] = "due",
        [TABLE_READY] = "ready",     [TABLE_PURGE] = "purge",     [TABLE_META] = "meta",
};

struct lmdb_txn {
        struct backend_txn base;
        MDB_txn *txn;
        MDB_cursor *spare[TABLE_COUNT]; /* of a read transaction: closed cursors, kept for the next one to open */
};

struct lmdb {
        struct backend base;
        MDB_env *env;
        MDB_dbi tables[TABLE_COUNT];
        bool is_loading;
        struct lmdb_txn write_txn; /* there is one at a time: its holder has LMDB's write lock */

        /* Pages that the file may have, so as not to grow; 0: it may. */
        _Atomic size_t fence;
        size_t large_size; /* of values that have pages of their own */
};

/* LMDB's codes become ours here and nowhere else. */
static enum result translate(int code)
{
        switch (code) {
        case MDB_SUCCESS:
                return R_OK;
        case MDB_NOTFOUND:
                return R_ABSENT;
        case MDB_MAP_FULL:
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                return R_READ_ONLY;
        case MDB_TXN_FULL:
                return R_TXN_FULL;
        case MDB_READERS_FULL:
                return R_EXHAUSTED;
        case MDB_VERSION_MISMATCH:
        case MDB_INVALID:
        case MDB_INCOMPATIBLE:
                return R_FORMAT;
        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_PANIC:
                return R_CORRUPT;
        case ENOMEM:
                return R_NO_MEMORY;
        default:
                return R_IO;
        }
}

static struct bytes bytes_of_val(MDB_val val)
{
        return bytes_of(val.mv_data, val.mv_size);
}

/* LMDB takes keys as not const and does not write to them. */
static MDB_val val_of(struct bytes bytes)
{
        return (MDB_val){bytes.len, (void *)bytes.data};
}

static char version_text[32];

static void make_version_text(void)
{
        int major;
        int minor;
        int patch;

        mdb_version(&major, &minor, &patch);
        snprintf(version_text, sizeof version_text, "LMDB %d.%d.%d", major, minor, patch);
}

static const char *version(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, make_version_text);
        return version_text;
}

static struct lmdb *lmdb_of(struct backend *backend)
{
        return (struct lmdb *)backend;
}

static struct lmdb_txn *txn_of(struct backend_txn *txn)
{
        return (struct lmdb_txn *)txn;
}

static MDB_dbi table_of(struct backend_txn *txn, enum backend_table table)
{
        return lmdb_of(txn->backend)->tables[table];
}

/* ---- Opening ---- */

static void on_assert(MDB_env *env, const char *text)
{
        (void)env;
        fprintf(stderr, "%s: %s\n", version(), text);
        abort();
}

/* Whether there are files to open. An empty data.mdb would be filled anew without a word. */
static enum result look_for_files(int dir_fd, bool may_create, bool *is_large, char why[256])
{
        long pages = sysconf(_SC_PHYS_PAGES);
        struct stat st;

        *is_large = false;
        if (fstatat(dir_fd, "data.mdb", &st, 0) != 0) {
                if (errno == ENOENT && may_create) return R_OK;
                snprintf(why, 256, "cannot look at data.mdb: %s", strerror(errno));
                return errno == ENOENT ? R_ABSENT : R_IO;
        }
        if (!S_ISREG(st.st_mode) || (st.st_size == 0 && !may_create)) {
                snprintf(why, 256, "data.mdb is %s", S_ISREG(st.st_mode) ? "empty" : "not a file");
                return R_FORMAT;
        }
        *is_large = pages > 0 && st.st_size / sysconf(_SC_PAGESIZE) > pages / 2;
        return R_OK;
}

/* Open the environment with a map of `map_size` bytes. An environment that failed to open is of no further use. */
static int open_env(int dir_fd, const struct backend_options *options, size_t map_size, bool is_large, MDB_env **out)
{
        /* Reading ahead fills memory with neighbours that nobody asked for, once not all fits. */
        unsigned flags = MDB_NOTLS | (is_large ? MDB_NORDAHEAD : 0) | (options->is_loading ? MDB_NOSYNC : 0);
        char path[32];
        MDB_env *env;
        int code;

        snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
        code = mdb_env_create(&env);
        if (code != 0) return code;
        code = mdb_env_set_mapsize(env, map_size);
        if (code == 0) code = mdb_env_set_maxreaders(env, options->readers_max);
        if (code == 0) code = mdb_env_set_maxdbs(env, TABLE_COUNT);
        if (code == 0) code = mdb_env_set_assert(env, on_assert);
        if (code == 0) code = mdb_env_open(env, path, flags, 0600);
        if (code != 0) {
                mdb_env_close(env);
                return code;
        }
        *out = env;
        return 0;
}

static int open_env_halving(int dir_fd, const struct backend_options *options, bool is_large, MDB_env **out)
{
        size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
        size_t map_size = options->map_size > MAP_SIZE_MIN ? options->map_size : MAP_SIZE_MIN;
        int code;

        do {
                code = open_env(dir_fd, options, map_size / page_size * page_size, is_large, out);
                map_size /= 2;
        } while (code == ENOMEM && map_size >= MAP_SIZE_MIN);
        return code;
}

/*
 * A file that was cut short would kill the process with SIGBUS where the map lies beyond its end. Filled up with a
 * hole, it reads as zeros, which LMDB and the checksums of values call corrupt. A sound file may be short too, by pages
 * that were never used.
 */
static int cover_map(MDB_env *env)
{
        MDB_envinfo info;
        MDB_stat stat;
        struct stat st;
        off_t size;
        int code;
        int fd;

        code = mdb_env_info(env, &info);
        if (code == 0) code = mdb_env_stat(env, &stat);
        if (code == 0) code = mdb_env_get_fd(env, &fd);
        if (code != 0) return code;
        if (info.me_last_pgno >= info.me_mapsize / stat.ms_psize) return MDB_CORRUPTED;
        size = (off_t)(info.me_last_pgno + 1) * stat.ms_psize;
        if (fstat(fd, &st) != 0) return errno;
        if (st.st_size < size && ftruncate(fd, size) != 0) return errno;
        return 0;
}

/* Open all tables in one transaction, once: LMDB allows no other beside it then. */
static int open_tables(struct lmdb *lmdb, bool may_create)
{
        unsigned flags;
        MDB_txn *txn;
        size_t i;
        int code;

        code = mdb_txn_begin(lmdb->env, NULL, may_create ? 0 : MDB_RDONLY, &txn);
        if (code != 0) return code;
        for (i = 0; code == 0 && i < TABLE_COUNT; i++) {
                code = mdb_dbi_open(txn, table_names[i], may_create ? MDB_CREATE : 0, &lmdb->tables[i]);
                if (code == 0) code = mdb_dbi_flags(txn, lmdb->tables[i], &flags);
                if (code == 0 && flags != 0) code = MDB_INCOMPATIBLE;
        }
        if (code != 0) {
                mdb_txn_abort(txn);
                return code == MDB_NOTFOUND ? MDB_INCOMPATIBLE : code;
        }
        return mdb_txn_commit(txn);
}

static int reap_readers(struct lmdb *lmdb)
{
        int dead = 0;

        return mdb_reader_check(lmdb->env, &dead) == 0 ? dead : 0;
}

static enum result fail_open(int code, char why[256])
{
        enum result r = translate(code);

        if (code == MDB_INCOMPATIBLE) {
                snprintf(why, 256, "data.mdb is an LMDB file, but not of a store");
        } else if (r == R_FORMAT) {
                snprintf(why, 256, "data.mdb is not a file of %s", version());
        } else if (r == R_CORRUPT) {
                snprintf(why, 256, "data.mdb is damaged");
        } else {
                snprintf(why, 256, "cannot open data.mdb: %s", mdb_strerror(code));
        }
        return r == R_ABSENT || r == R_READ_ONLY || r == R_EXHAUSTED ? R_IO : r;
}

static void close_backend(struct backend *backend)
{
        struct lmdb *lmdb = lmdb_of(backend);

        mdb_env_close(lmdb->env);
        free(lmdb);
}

static enum result open_backend(int dir_fd, const struct backend_options *options, struct backend **out, char why[256])
{
        struct lmdb *lmdb;
        bool is_large;
        enum result r;
        int code;

        r = look_for_files(dir_fd, options->may_create, &is_large, why);
        if (r != R_OK) return r;
        lmdb = calloc(1, sizeof *lmdb);
        if (lmdb == NULL) return fail_open(ENOMEM, why);
        lmdb->is_loading = options->is_loading;
        code = open_env_halving(dir_fd, options, is_large, &lmdb->env);
        if (code != 0) {
                free(lmdb);
                return fail_open(code, why);
        }
        code = cover_map(lmdb->env);
        if (code == 0) code = open_tables(lmdb, options->may_create);
        if (code != 0) {
                close_backend(&lmdb->base);
                return fail_open(code, why);
        }
        reap_readers(lmdb);
        *out = &lmdb->base;
        return R_OK;
}

static int check_readers(struct backend *backend)
{
        return reap_readers(lmdb_of(backend));
}

/* ---- Transactions ---- */

static enum result begin_read(struct backend *backend, struct backend_txn **out)
{
        struct lmdb *lmdb = lmdb_of(backend);
        struct lmdb_txn *txn = calloc(1, sizeof *txn);
        int code;

        if (txn == NULL) return R_NO_MEMORY;
        code = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn->txn);
        if (code == MDB_READERS_FULL && reap_readers(lmdb) > 0)
                code = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn->txn);
        if (code != 0) {
                free(txn);
                return translate(code);
        }
        *out = &txn->base;
        return R_OK;
}

static void rest(struct backend_txn *txn)
{
        mdb_txn_reset(txn_of(txn)->txn);
}

static enum result renew(struct backend_txn *txn)
{
        return translate(mdb_txn_renew(txn_of(txn)->txn));
}

static enum result begin_write(struct backend *backend, struct backend_txn **out)
{
        struct lmdb *lmdb = lmdb_of(backend);
        MDB_txn *txn;
        int code;

        code = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
        if (code != 0) return translate(code);
        lmdb->write_txn = (struct lmdb_txn){.txn = txn};
        *out = &lmdb->write_txn.base;
        return R_OK;
}

/* Whether a write failed because there is no room for it. LMDB reports a short one as EIO. */
static bool is_for_want_of_room(struct lmdb *lmdb, int code)
{
        struct stat st;
        int fd;

        if (translate(code) == R_READ_ONLY) return true;
        if (code != EIO || mdb_env_get_fd(lmdb->env, &fd) != 0 || fstat(fd, &st) != 0) return false;
        if (fallocate(fd, 0, st.st_size, PROBE_SIZE) == 0) return false;
        return translate(errno) == R_READ_ONLY;
}

/* A failed write of the meta page is known by this alone. */
static bool has_panicked(struct lmdb *lmdb)
{
        MDB_txn *txn;

        if (mdb_txn_begin(lmdb->env, NULL, 0, &txn) != 0) return true;
        mdb_txn_abort(txn);
        return false;
}

/* Let the disk begin with what it will be asked for in the end. Whether it can, the sync tells. */
static void begin_writing(struct lmdb *lmdb)
{
        int fd;

        if (mdb_env_get_fd(lmdb->env, &fd) == 0) (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* The table in lmdb.h. LMDB's own codes are negative. */
static enum result commit(struct backend_txn *base)
{
        struct lmdb *lmdb = lmdb_of(base->backend);
        int code = mdb_txn_commit(txn_of(base)->txn);

        if (code == 0 && lmdb->is_loading) begin_writing(lmdb);
        if (code <= 0) return translate(code);
        if (has_panicked(lmdb)) return R_COMMIT_UNKNOWN;
        if (code == ENOMEM) return R_NO_MEMORY;
        return is_for_want_of_room(lmdb, code) ? R_READ_ONLY : R_COMMIT_UNKNOWN;
}

static enum result sync_files(struct backend *backend)
{
        return mdb_env_sync(lmdb_of(backend)->env, 1) == 0 ? R_OK : R_IO;
}

static void close_spares(struct lmdb_txn *txn)
{
        size_t i;

        for (i = 0; i < TABLE_COUNT; i++) {
                if (txn->spare[i] != NULL) mdb_cursor_close(txn->spare[i]);
        }
}

static void abort_txn(struct backend_txn *base)
{
        struct lmdb_txn *txn = txn_of(base);
        bool is_write = base->is_write; /* the one write transaction may be another's as soon as it ended */

        close_spares(txn);
        mdb_txn_abort(txn->txn);
        if (!is_write) free(txn);
}

/* ---- Rows ---- */

static enum result get(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes *value)
{
        MDB_val wanted = val_of(key);
        MDB_val data;
        int code = mdb_get(txn_of(txn)->txn, table_of(txn, table), &wanted, &data);

        if (code != 0) return translate(code);
        *value = bytes_of_val(data);
        return R_OK;
}

/* A large transaction may have to write pages before its commit, so a put can meet a full disk as well. */
static enum result translate_write(struct backend_txn *txn, int code)
{
        if (code == EIO && is_for_want_of_room(lmdb_of(txn->backend), code)) return R_READ_ONLY;
        return translate(code);
}

/* Whether it lies in the page that LMDB has just given it behind the fence. The page is still in memory of LMDB's own;
 * its header is that of the file, in which pages are numbered from 0. */
static bool is_behind_fence(struct lmdb *lmdb, const MDB_val *data)
{
        size_t fence = atomic_load_explicit(&lmdb->fence, memory_order_relaxed);
        size_t page;

        if (fence == 0 || data->mv_size < lmdb->large_size) return false;
        memcpy(&page, (const uint8_t *)data->mv_data - PAGE_HEADER_SIZE, sizeof page);
        return page >= fence;
}

static enum result put(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes head,
                       struct bytes body)
{
        MDB_val wanted = val_of(key);
        MDB_val data = {head.len + body.len, NULL};
        bool is_loading = lmdb_of(txn->backend)->is_loading;
        int code = MDB_KEYEXIST; /* said, too, of what does not come behind the last */

        if (is_loading)
                code = mdb_put(txn_of(txn)->txn, table_of(txn, table), &wanted, &data, MDB_RESERVE | MDB_APPEND);
        if (code == MDB_KEYEXIST) code = mdb_put(txn_of(txn)->txn, table_of(txn, table), &wanted, &data, MDB_RESERVE);
        if (code != 0) return translate_write(txn, code);
        if (is_behind_fence(lmdb_of(txn->backend), &data)) return R_READ_ONLY;
        if (head.len > 0) memcpy(data.mv_data, head.data, head.len);
        if (body.len > 0) memcpy((uint8_t *)data.mv_data + head.len, body.data, body.len);
        return R_OK;
}

static enum result delete (struct backend_txn *txn, enum backend_table table, struct bytes key) {
        MDB_val wanted = val_of(key);

                return translate_write(txn, mdb_del(txn_of(txn)->txn, table_of(txn, table), &wanted, NULL));
}

/* ---- Cursors ---- */

/* Cursors of a read transaction are kept when they are closed, so that a view allocates none. Those of a write
 * transaction are LMDB's to track, and go at once. */
static enum result cursor_open(struct backend_txn *base, enum backend_table table, void **handle)
{
        struct lmdb_txn *txn = txn_of(base);
        MDB_cursor *cursor = txn->spare[table];
        int code;

        if (cursor != NULL) {
                code = mdb_cursor_renew(txn->txn, cursor);
        } else {
                code = mdb_cursor_open(txn->txn, table_of(base, table), &cursor);
        }
        if (code != 0) return translate(code);
        txn->spare[table] = NULL;
        *handle = cursor;
        return R_OK;
}

static void cursor_close(struct backend_cursor *cursor)
{
        struct lmdb_txn *txn = txn_of(cursor->txn);

        if (!txn->base.is_write && txn->spare[cursor->table] == NULL) {
                txn->spare[cursor->table] = cursor->handle;
        } else {
                mdb_cursor_close(cursor->handle);
        }
}

static enum result move(struct backend_cursor *cursor, MDB_cursor_op op, struct bytes key, struct bytes *found,
                        struct bytes *value)
{
        MDB_val at = val_of(key);
        MDB_val data;
        int code = mdb_cursor_get(cursor->handle, &at, &data, op);

        if (code != 0) return translate(code);
        *found = bytes_of_val(at);
        *value = bytes_of_val(data);
        return R_OK;
}

static enum result seek(struct backend_cursor *cursor, struct bytes key, struct bytes *found, struct bytes *value)
{
        return move(cursor, MDB_SET_RANGE, key, found, value);
}

static enum result seek_before(struct backend_cursor *cursor, struct bytes key, struct bytes *found,
                               struct bytes *value)
{
        struct bytes at;
        struct bytes data;
        enum result r = move(cursor, MDB_SET_RANGE, key, &at, &data);

        if (r == R_ABSENT) return move(cursor, MDB_LAST, key, found, value);
        if (r != R_OK) return r;
        return move(cursor, MDB_PREV, key, found, value);
}

static enum result next(struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        return move(cursor, MDB_NEXT, bytes_of(NULL, 0), found, value);
}

static enum result previous(struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        return move(cursor, MDB_PREV, bytes_of(NULL, 0), found, value);
}

/* ---- Numbers ---- */

/* Pages in the list of free ones, database 0: each value is a count and that many page numbers. */
static size_t count_free_pages(MDB_txn *txn)
{
        MDB_cursor *cursor;
        MDB_val key;
        MDB_val data;
        size_t total = 0;
        size_t count;

        if (mdb_cursor_open(txn, 0, &cursor) != 0) return 0;
        while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
                if (data.mv_size < sizeof count) continue;
                memcpy(&count, data.mv_data, sizeof count);
                total += count;
        }
        mdb_cursor_close(cursor);
        return total;
}

/* Pages of the file that have been used, and pages of the map. */
static int count_pages(struct lmdb *lmdb, size_t *used, size_t *size, size_t *page_size)
{
        MDB_envinfo info;
        MDB_stat stat;
        int code;

        code = mdb_env_info(lmdb->env, &info);
        if (code == 0) code = mdb_env_stat(lmdb->env, &stat);
        if (code != 0) return code;
        *used = info.me_last_pgno + 1;
        *page_size = stat.ms_psize;
        *size = info.me_mapsize / *page_size;
        return 0;
}

static size_t room(struct backend *backend)
{
        struct lmdb *lmdb = lmdb_of(backend);
        size_t fence = atomic_load_explicit(&lmdb->fence, memory_order_relaxed);
        size_t used, size, page_size;

        if (count_pages(lmdb, &used, &size, &page_size) != 0) return 0;
        if (fence != 0 && fence < size) size = fence;
        return used < size ? (size - used) * page_size : 0;
}

/* A page that is free may never have been written, and so have no block: each is given one. */
static enum result fence(struct backend *backend, bool may_grow)
{
        struct lmdb *lmdb = lmdb_of(backend);
        size_t used, size, page_size;
        int code = 0;
        int fd;

        if (may_grow) {
                atomic_store_explicit(&lmdb->fence, 0, memory_order_relaxed);
                return R_OK;
        }
        code = count_pages(lmdb, &used, &size, &page_size);
        if (code == 0) code = mdb_env_get_fd(lmdb->env, &fd);
        if (code == 0 && fallocate(fd, 0, 0, (off_t)(used * page_size)) != 0) code = errno;
        if (code != 0) return translate(code) == R_READ_ONLY ? R_READ_ONLY : R_IO;
        lmdb->large_size = page_size / 2;
        atomic_store_explicit(&lmdb->fence, used, memory_order_relaxed);
        return R_OK;
}

static void stat_backend(struct backend_txn *base, struct backend_stat *out)
{
        struct lmdb *lmdb = lmdb_of(base->backend);
        MDB_txn *txn = txn_of(base)->txn;
        MDB_envinfo info;
        MDB_stat stat;
        size_t i;

        memset(out, 0, sizeof *out);
        if (mdb_env_info(lmdb->env, &info) != 0 || mdb_env_stat(lmdb->env, &stat) != 0) return;
        out->map_size = info.me_mapsize;
        out->used = (info.me_last_pgno + 1) * stat.ms_psize;
        out->free = count_free_pages(txn) * stat.ms_psize;
        for (i = 0; i < TABLE_COUNT; i++) {
                if (mdb_stat(txn, lmdb->tables[i], &stat) == 0) out->rows[i] = stat.ms_entries;
        }
}

const struct backend_engine lmdb_engine = {
        .may_block = false,
        .version = version,
        .open = open_backend,
        .close = close_backend,
        .check = lmdb_tree_check,
        .check_readers = check_readers,
        .room = room,
        .fence = fence,
        .begin_read = begin_read,
        .rest = rest,
        .renew = renew,
        .begin_write = begin_write,
        .commit = commit,
        .sync = sync_files,
        .abort = abort_txn,
        .get = get,
        .put = put,
        .delete = delete,
        .cursor_open = cursor_open,
        .cursor_close = cursor_close,
        .seek = seek,
        .seek_before = seek_before,
        .next = next,
        .previous = previous,
        .stat = stat_backend,
};
