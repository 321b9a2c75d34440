#include "engine/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "engine/filesystem.h"
#include "engine/guard.h"
#include "engine/record.h"
#include "engine/require.h"
#include "engine/store_private.h"
#include "store/v1/store.pb.h"

#define FORMAT_VERSION 1

/* Rows of the table meta. Both are sealed like records, with revision 0. */
#define KEY_STORE BYTES("store") /* a store.v1.Meta */
#define KEY_TIME  BYTES("time")  /* 8 bytes, big-endian: the bound of storetime.h */

#define DATA_NAME       "data.mdb"
#define UNFINISHED_NAME "unfinished"

#define READERS_MAX_DEFAULT 126 /* LMDB's own default: two pages of slots */

/* A new store takes a few pages; the size is chosen anew at each opening. */
#define MAP_SIZE_NEW ((size_t)16 << 20)

static enum result fail(char why[STORE_WHY_SIZE], enum result r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static enum result fail(char why[STORE_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, STORE_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- The meta rows ---- */

static enum result put_meta(struct backend_txn *txn, struct bytes key, struct bytes body)
{
        uint8_t header[RECORD_HEADER_SIZE];

        record_seal(key, 0, body, header);
        return backend_put(txn, TABLE_META, key, bytes_of(header, sizeof header), body);
}

static enum result get_meta(struct backend_txn *txn, struct bytes key, struct bytes *body)
{
        struct record record;
        struct bytes value;
        enum result r;

        r = backend_get(txn, TABLE_META, key, &value);
        if (r == R_OK) r = record_open(key, value, &record);
        if (r == R_OK) *body = record.body;
        return r;
}

static enum result put_time(struct backend_txn *txn, int64_t time_ms)
{
        uint8_t body[sizeof(uint64_t)];
        size_t i;

        for (i = 0; i < sizeof body; i++)
                body[i] = (uint8_t)((uint64_t)time_ms >> (56 - 8 * i));
        return put_meta(txn, KEY_TIME, bytes_of(body, sizeof body));
}

static enum result get_time(struct backend_txn *txn, int64_t *time_ms)
{
        uint64_t time = 0;
        struct bytes body;
        enum result r;
        size_t i;

        r = get_meta(txn, KEY_TIME, &body);
        if (r != R_OK) return r;
        if (body.len != sizeof time) return R_CORRUPT;
        for (i = 0; i < sizeof time; i++)
                time = time << 8 | body.data[i];
        *time_ms = (int64_t)time;
        return R_OK;
}

enum result store_raise_time(struct store *store, struct backend_txn *txn)
{
        int64_t bound_ms;

        if (!storetime_raise(&store->time, &bound_ms)) return R_OK;
        return put_time(txn, bound_ms);
}

void store_time_committed(struct store *store)
{
        storetime_committed(&store->time);
}

/* ---- The directory ---- */

static enum result open_dir(const char *dir, int *dir_fd, char why[STORE_WHY_SIZE])
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0) {
                *dir_fd = fd;
                return R_OK;
        }
        if (errno == ENOENT)
                return fail(why, R_ABSENT,
                            "cannot open %s: no such directory; make a store with `allod init --data %s`", dir, dir);
        if (errno == ENOTDIR) return fail(why, R_IO, "cannot open %s: it is not a directory", dir);
        return fail(why, R_IO, "cannot open %s: %s", dir, strerror(errno));
}

static enum result check_filesystem(const char *dir, int dir_fd, bool is_forced, char warning[256],
                                    char why[STORE_WHY_SIZE])
{
        struct filesystem filesystem;
        struct statfs st;

        if (fstatfs(dir_fd, &st) != 0) return fail(why, R_IO, "cannot look at %s: %s", dir, strerror(errno));
        filesystem = filesystem_of((unsigned long)st.f_type);
        switch (filesystem.fitness) {
        case FILESYSTEM_FIT:
                return R_OK;
        case FILESYSTEM_DOUBTFUL:
                snprintf(warning, 256, "%s is on %s, %s", dir, filesystem.name, filesystem.doubt);
                return R_OK;
        case FILESYSTEM_UNFIT:
        case FILESYSTEM_UNKNOWN:
                break;
        }
        if (!is_forced) {
                return fail(
                        why, R_IO,
                        filesystem.fitness == FILESYSTEM_UNFIT
                                ? "%s is on %s, which can corrupt a store; take a local disk, or --force it"
                                : "%s is on a file system of type %s, which is not known to serve; --force tries it",
                        dir, filesystem.name);
        }
        snprintf(warning, 256, "%s is on %s, which can corrupt a store, and was forced", dir, filesystem.name);
        return R_OK;
}

static enum result take_guard(const char *dir, int dir_fd, int *lock_fd, struct store_holder *holder,
                              char why[STORE_WHY_SIZE])
{
        enum result r;

        r = guard_take(dir_fd, lock_fd, holder);
        if (r == R_HELD && holder->pid == 0) return fail(why, r, "%s is held by another process", dir);
        if (r == R_HELD && holder->admin_address[0] == '\0')
                return fail(why, r, "%s is held by process %" PRId64, dir, holder->pid);
        if (r == R_HELD)
                return fail(why, r, "%s is held by process %" PRId64 ", which serves at %s", dir, holder->pid,
                            holder->admin_address);
        if (r != R_OK) return fail(why, r, "cannot lock %s: %s", dir, strerror(errno));
        return R_OK;
}

/* ---- Making a store ---- */

static enum result sync_fd(const char *dir, int fd, char why[STORE_WHY_SIZE])
{
        if (fsync(fd) == 0) return R_OK;
        return fail(why, R_IO, "cannot sync %s: %s", dir, strerror(errno));
}

/* A parent that may be written to but not read cannot be synced. */
static enum result sync_parent(const char *dir, char why[STORE_WHY_SIZE])
{
        char path[PATH_MAX];
        enum result r;
        int fd;

        REQUIRE(snprintf(path, sizeof path, "%s", dir) < PATH_MAX); /* the kernel has taken it */
        fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) return R_OK;
        r = sync_fd(dir, fd, why);
        close(fd);
        return r;
}

/* R_EXISTS when there is anything but what we make ourselves and what mkfs does. */
static enum result check_empty(const char *dir, char why[STORE_WHY_SIZE])
{
        static const char *const allowed[] = {".", "..", "lost+found", "lock", UNFINISHED_NAME};
        enum result r = R_OK;
        struct dirent *entry;
        DIR *listing = opendir(dir);
        size_t i;

        if (listing == NULL) return fail(why, R_IO, "cannot list %s: %s", dir, strerror(errno));
        while (r == R_OK && (entry = readdir(listing)) != NULL) {
                i = 0;
                while (i < sizeof allowed / sizeof allowed[0] && strcmp(entry->d_name, allowed[i]) != 0)
                        i++;
                if (i < sizeof allowed / sizeof allowed[0]) continue;
                r = strcmp(entry->d_name, DATA_NAME) == 0
                            ? fail(why, R_EXISTS, "there is a store in %s already", dir)
                            : fail(why, R_EXISTS, "%s is not empty: it has %s", dir, entry->d_name);
        }
        closedir(listing);
        return r;
}

/* All there can be in it; failing is for the caller to notice, when it makes the directory anew. */
static void clear_unfinished(int dir_fd)
{
        (void)unlinkat(dir_fd, UNFINISHED_NAME "/" DATA_NAME, 0);
        (void)unlinkat(dir_fd, UNFINISHED_NAME "/lock.mdb", 0);
        (void)unlinkat(dir_fd, UNFINISHED_NAME, AT_REMOVEDIR);
}

static enum result put_first_rows(struct backend_txn *txn, bool is_demo)
{
        store_v1_Meta meta = store_v1_Meta_init_zero;
        uint8_t body[store_v1_Meta_size];
        pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof body);
        struct storetime time;
        struct uuid id;
        enum result r;

        storetime_init(&time, 0, NULL);
        id = uuid_v7(storetime_now(&time));
        meta.format_version = FORMAT_VERSION;
        meta.demo = is_demo;
        meta.created_at_ms = storetime_now(&time);
        meta.store_id.size = UUID_SIZE;
        memcpy(meta.store_id.bytes, id.bytes, UUID_SIZE);
        meta.token_secret.size = STORE_TOKEN_SECRET_SIZE;
        REQUIRE(getrandom(meta.token_secret.bytes, STORE_TOKEN_SECRET_SIZE, 0) == STORE_TOKEN_SECRET_SIZE);
        REQUIRE(pb_encode(&stream, store_v1_Meta_fields, &meta));

        r = put_meta(txn, KEY_STORE, bytes_of(body, stream.bytes_written));
        if (r != R_OK) return r;
        return put_time(txn, meta.created_at_ms);
}

static enum result write_first_rows(struct backend *backend, bool is_demo)
{
        struct backend_txn *txn;
        enum result r;

        r = backend_begin_write(backend, &txn);
        if (r != R_OK) return r;
        r = put_first_rows(txn, is_demo);
        if (r != R_OK) {
                backend_abort(txn);
                return r;
        }
        return backend_commit(txn);
}

/* The engine's files, whole and on disk, in the directory `fd`. */
static enum result make_files(const char *dir, int fd, bool is_demo, char why[STORE_WHY_SIZE])
{
        const struct backend_options options = {
                .map_size = MAP_SIZE_NEW, .readers_max = READERS_MAX_DEFAULT, .may_create = true};
        struct backend *backend;
        char reason[256];
        enum result r;

        r = backend_open(fd, &options, &backend, reason);
        if (r != R_OK) return fail(why, r, "cannot make a store in %s: %s", dir, reason);
        r = write_first_rows(backend, is_demo);
        backend_close(backend);
        if (r == R_READ_ONLY) return fail(why, R_IO, "cannot make a store in %s: the disk is full", dir);
        if (r != R_OK) return fail(why, R_IO, "cannot make a store in %s: %s", dir, result_text(r));
        return sync_fd(dir, fd, why);
}

/* The directory's lock is held. */
static enum result make_store(const char *dir, int dir_fd, bool is_demo, char why[STORE_WHY_SIZE])
{
        enum result r;
        int fd;

        r = check_empty(dir, why);
        if (r != R_OK) return r;
        clear_unfinished(dir_fd);
        if (mkdirat(dir_fd, UNFINISHED_NAME, 0700) != 0)
                return fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        fd = openat(dir_fd, UNFINISHED_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) return fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        r = make_files(dir, fd, is_demo, why);
        close(fd);
        if (r == R_OK && renameat(dir_fd, UNFINISHED_NAME "/" DATA_NAME, dir_fd, DATA_NAME) != 0)
                r = fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        clear_unfinished(dir_fd);
        if (r == R_OK) r = sync_fd(dir, dir_fd, why);
        return r;
}

enum result store_create(const char *dir, bool is_demo, char why[STORE_WHY_SIZE])
{
        struct store_holder holder;
        int lock_fd;
        enum result r;
        int dir_fd = -1;

        if (mkdir(dir, 0700) == 0) {
                r = sync_parent(dir, why);
                if (r != R_OK) return r;
        } else if (errno != EEXIST) {
                return fail(why, R_IO, "cannot make %s: %s", dir, strerror(errno));
        }
        r = open_dir(dir, &dir_fd, why);
        if (r != R_OK) return r == R_ABSENT ? R_IO : r;
        /* Before the lock too, which would leave its file in a directory of somebody else's. */
        if (faccessat(dir_fd, DATA_NAME, F_OK, 0) != 0) r = check_empty(dir, why);
        if (r == R_OK) r = take_guard(dir, dir_fd, &lock_fd, &holder, why);
        if (r == R_OK) {
                r = make_store(dir, dir_fd, is_demo, why);
                guard_release(lock_fd);
        }
        close(dir_fd);
        return r;
}

/* ---- Opening ---- */

static enum result check_present(const char *dir, int dir_fd, char why[STORE_WHY_SIZE])
{
        if (faccessat(dir_fd, DATA_NAME, F_OK, 0) == 0) return R_OK;
        if (errno != ENOENT) return fail(why, R_IO, "cannot look into %s: %s", dir, strerror(errno));
        if (faccessat(dir_fd, UNFINISHED_NAME, F_OK, 0) == 0)
                return fail(why, R_ABSENT, "the making of a store in %s was interrupted; repeat `allod init --data %s`",
                            dir, dir);
        return fail(why, R_ABSENT, "there is no store in %s; make one with `allod init --data %s`", dir, dir);
}

/* Read what the meta rows say into `store` and *time_ms. */
static enum result load_meta(struct store *store, struct backend_txn *txn, const char *dir, int64_t *time_ms,
                             char why[STORE_WHY_SIZE])
{
        store_v1_Meta meta;
        pb_istream_t stream;
        struct bytes body;
        enum result r;

        r = get_meta(txn, KEY_STORE, &body);
        if (r == R_ABSENT) return fail(why, R_FORMAT, "the files in %s are not of a store", dir);
        if (r != R_OK) return fail(why, r, "the store in %s is damaged: its first row does not check out", dir);
        stream = pb_istream_from_buffer(body.data, body.len);
        if (!pb_decode(&stream, store_v1_Meta_fields, &meta)) meta.format_version = 0;
        if (meta.format_version > FORMAT_VERSION)
                return fail(why, R_FORMAT,
                            "the store in %s has format version %" PRIu32 "; this program knows up to %d", dir,
                            meta.format_version, FORMAT_VERSION);
        if (meta.format_version != FORMAT_VERSION || meta.store_id.size != UUID_SIZE ||
            meta.token_secret.size != STORE_TOKEN_SECRET_SIZE || get_time(txn, time_ms) != R_OK)
                return fail(why, R_CORRUPT, "the store in %s is damaged: its first rows make no sense", dir);
        memcpy(store->id.bytes, meta.store_id.bytes, UUID_SIZE);
        memcpy(store->token_secret, meta.token_secret.bytes, STORE_TOKEN_SECRET_SIZE);
        store->restore_epoch = meta.restore_epoch;
        store->is_demo = meta.demo;
        return R_OK;
}

static enum result open_files(struct store *store, const struct store_options *options, struct store_notes *notes,
                              char why[STORE_WHY_SIZE])
{
        const struct backend_options backend_options = {
                .map_size = options->map_size > 0 ? options->map_size : STORE_MAP_SIZE_DEFAULT,
                .readers_max = options->readers_max > 0 ? options->readers_max : READERS_MAX_DEFAULT,
        };
        struct backend_stat stat;
        struct backend_txn *txn;
        char reason[256];
        int64_t time_ms = 0;
        enum result r;

        r = backend_open(store->dir_fd, &backend_options, &store->backend, reason);
        if (r != R_OK) return fail(why, r, "cannot open the store in %s: %s", options->dir, reason);
        r = backend_begin_read(store->backend, &txn);
        if (r != R_OK) return fail(why, r, "cannot read the store in %s: %s", options->dir, result_text(r));
        r = load_meta(store, txn, options->dir, &time_ms, why);
        backend_stat(txn, &stat);
        backend_abort(txn);
        if (r != R_OK) return r;
        notes->map_size = stat.map_size;
        storetime_init(&store->time, time_ms, options->clock_ms);
        return R_OK;
}

/* Close what is open; the writer does not run. */
static void destroy(struct store *store)
{
        backend_close(store->backend);
        guard_release(store->lock_fd);
        if (store->dir_fd >= 0) close(store->dir_fd);
        keyuse_fini(&store->key_uses);
        free(store);
}

static enum result open_all(struct store *store, const struct store_options *options, struct store_holder *holder,
                            struct store_notes *notes, char why[STORE_WHY_SIZE])
{
        const char *dir = options->dir;
        enum result r;

        r = open_dir(dir, &store->dir_fd, why);
        if (r == R_OK) r = check_present(dir, store->dir_fd, why);
        if (r == R_OK) r = check_filesystem(dir, store->dir_fd, options->is_forced, notes->warning, why);
        if (r == R_OK) r = take_guard(dir, store->dir_fd, &store->lock_fd, holder, why);
        if (r == R_OK) r = open_files(store, options, notes, why);
        if (r != R_OK) return r;
        r = writer_start(store, &store->writer);
        return r == R_OK ? r : fail(why, r, "cannot start the writer's thread: %s", result_text(r));
}

enum result store_open(const struct store_options *options, struct store **out, struct store_holder *holder,
                       struct store_notes *notes, char why[STORE_WHY_SIZE])
{
        struct store_holder found_holder = {0};
        struct store_notes found_notes = {0};
        struct store *store;
        enum result r;

        store = calloc(1, sizeof *store);
        if (store == NULL) return fail(why, R_NO_MEMORY, "cannot open %s: out of memory", options->dir);
        store->dir_fd = -1;
        store->lock_fd = -1;
        atomic_init(&store->identity_generation, 1);
        keyuse_init(&store->key_uses);
        r = open_all(store, options, &found_holder, &found_notes, why);
        if (r == R_HELD && holder != NULL) *holder = found_holder;
        if (r != R_OK) {
                destroy(store);
                return r;
        }
        if (notes != NULL) *notes = found_notes;
        *out = store;
        return R_OK;
}

/* The newest time itself takes the place of the bound ahead of it. When that fails, the bound will do. */
static void save_time(struct store *store)
{
        int64_t last_ms = atomic_load(&store->time.last_ms);
        struct backend_txn *txn;

        if (last_ms == store->time.bound_ms || backend_begin_write(store->backend, &txn) != R_OK) return;
        if (put_time(txn, last_ms) != R_OK) {
                backend_abort(txn);
                return;
        }
        if (backend_commit(txn) == R_OK) store->time.bound_ms = last_ms;
}

void store_close(struct store *store)
{
        if (store == NULL) return;
        writer_stop(store->writer);
        REQUIRE(atomic_load(&store->views_open) == 0);
        save_time(store);
        destroy(store);
}

/* ---- What a store says about itself ---- */

enum result store_find_holder(const char *dir, struct store_holder *out)
{
        char why[STORE_WHY_SIZE];
        enum result r;
        int dir_fd = -1;

        r = open_dir(dir, &dir_fd, why);
        if (r != R_OK) return r;
        r = guard_find(dir_fd, out);
        close(dir_fd);
        return r;
}

enum result store_announce(struct store *store, const char *admin_address)
{
        return guard_write(store->lock_fd, admin_address);
}

bool store_is_demo(const struct store *store)
{
        return store->is_demo;
}

struct uuid store_id(const struct store *store)
{
        return store->id;
}

uint64_t store_restore_epoch(const struct store *store)
{
        return store->restore_epoch;
}

struct writer *store_writer(struct store *store)
{
        return store->writer;
}

int64_t store_time_ms(struct store *store)
{
        return storetime_now(&store->time);
}
