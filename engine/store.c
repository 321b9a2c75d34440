#include "engine/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pb_decode.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "engine/filesystem.h"
#include "engine/guard.h"
#include "engine/record.h"
#include "engine/require.h"
#include "engine/store_private.h"
#include "store/v1/store.pb.h"

enum result store_fail(char why[STORE_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, STORE_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- The meta rows ---- */

enum result store_put_meta(struct backend_txn *txn, struct bytes key, struct bytes body)
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

enum result store_put_time(struct backend_txn *txn, int64_t time_ms)
{
        uint8_t body[sizeof(uint64_t)];
        size_t i;

        for (i = 0; i < sizeof body; i++)
                body[i] = (uint8_t)((uint64_t)time_ms >> (56 - 8 * i));
        return store_put_meta(txn, STORE_KEY_TIME, bytes_of(body, sizeof body));
}

static enum result get_time(struct backend_txn *txn, int64_t *time_ms)
{
        uint64_t time = 0;
        struct bytes body;
        enum result r;
        size_t i;

        r = get_meta(txn, STORE_KEY_TIME, &body);
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
        return store_put_time(txn, bound_ms);
}

void store_time_committed(struct store *store)
{
        storetime_committed(&store->time);
}

/* ---- The directory ---- */

enum result store_open_dir(const char *dir, int *dir_fd, char why[STORE_WHY_SIZE])
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0) {
                *dir_fd = fd;
                return R_OK;
        }
        if (errno == ENOENT)
                return store_fail(why, R_ABSENT,
                                  "cannot open %s: no such directory; make a store with `allod init --data %s`", dir,
                                  dir);
        if (errno == ENOTDIR) return store_fail(why, R_IO, "cannot open %s: it is not a directory", dir);
        return store_fail(why, R_IO, "cannot open %s: %s", dir, strerror(errno));
}

static enum result check_filesystem(const char *dir, int dir_fd, bool is_forced, char warning[256],
                                    char why[STORE_WHY_SIZE])
{
        struct filesystem filesystem;
        struct statfs st;

        if (fstatfs(dir_fd, &st) != 0) return store_fail(why, R_IO, "cannot look at %s: %s", dir, strerror(errno));
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
                return store_fail(
                        why, R_IO,
                        filesystem.fitness == FILESYSTEM_UNFIT
                                ? "%s is on %s, which can corrupt a store; take a local disk, or `allod serve --force`"
                                : "%s is on a file system of type %s, which is not known to serve; `allod serve "
                                  "--force` tries it",
                        dir, filesystem.name);
        }
        snprintf(warning, 256, "%s is on %s, which can corrupt a store, and was forced", dir, filesystem.name);
        return R_OK;
}

enum result store_take_guard(const char *dir, int dir_fd, int *lock_fd, struct store_holder *holder,
                             char why[STORE_WHY_SIZE])
{
        enum result r;

        r = guard_take(dir_fd, lock_fd, holder);
        if (r == R_HELD && holder->pid == 0) return store_fail(why, r, "%s is held by another process", dir);
        if (r == R_HELD && holder->admin_address[0] == '\0')
                return store_fail(why, r, "%s is held by process %" PRId64, dir, holder->pid);
        if (r == R_HELD)
                return store_fail(why, r, "%s is held by process %" PRId64 ", which serves at %s", dir, holder->pid,
                                  holder->admin_address);
        if (r != R_OK) return store_fail(why, r, "cannot lock %s: %s", dir, strerror(errno));
        return R_OK;
}

/* Some file systems sync no directory (EINVAL): there names are as lasting as they ever get. */
static int sync_directory(int fd)
{
        return fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
}

/* A parent that may not be read cannot be synced. */
enum result store_sync_names(const char *dir, int dir_fd, char why[STORE_WHY_SIZE])
{
        int parent_fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int error = sync_directory(dir_fd);

        if (parent_fd >= 0) {
                if (error == 0) error = sync_directory(parent_fd);
                close(parent_fd);
        }
        return error == 0 ? R_OK : store_fail(why, R_IO, "cannot sync %s: %s", dir, strerror(error));
}

/* ---- Opening ---- */

static enum result check_present(const char *dir, int dir_fd, char why[STORE_WHY_SIZE])
{
        if (faccessat(dir_fd, STORE_DATA_NAME, F_OK, 0) == 0) return R_OK;
        if (errno != ENOENT) return store_fail(why, R_IO, "cannot look into %s: %s", dir, strerror(errno));
        if (faccessat(dir_fd, STORE_UNFINISHED_NAME, F_OK, 0) == 0)
                return store_fail(why, R_ABSENT, "the making or restoring of a store in %s was interrupted; repeat it",
                                  dir);
        return store_fail(why, R_ABSENT, "there is no store in %s; make one with `allod init --data %s`", dir, dir);
}

/* Read what the meta rows say into `store` and *time_ms. */
static enum result load_meta(struct store *store, struct backend_txn *txn, const char *dir, int64_t *time_ms,
                             char why[STORE_WHY_SIZE])
{
        store_v1_Meta meta;
        pb_istream_t stream;
        struct bytes body;
        enum result r;

        r = get_meta(txn, STORE_KEY_STORE, &body);
        if (r == R_ABSENT) return store_fail(why, R_FORMAT, "the files in %s are not of a store", dir);
        if (r != R_OK) return store_fail(why, r, "the store in %s is damaged: its first row does not check out", dir);
        stream = pb_istream_from_buffer(body.data, body.len);
        if (!pb_decode(&stream, store_v1_Meta_fields, &meta)) meta.format_version = 0;
        if (meta.format_version > STORE_FORMAT_VERSION)
                return store_fail(why, R_FORMAT,
                                  "the store in %s has format version %" PRIu32 "; this program knows up to %d", dir,
                                  meta.format_version, STORE_FORMAT_VERSION);
        if (meta.format_version != STORE_FORMAT_VERSION || meta.store_id.size != UUID_SIZE ||
            meta.token_secret.size != STORE_TOKEN_SECRET_SIZE || get_time(txn, time_ms) != R_OK)
                return store_fail(why, R_CORRUPT, "the store in %s is damaged: its first rows make no sense", dir);
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
                .readers_max = options->readers_max > 0 ? options->readers_max : STORE_READERS_MAX_DEFAULT,
                .is_loading = store->is_building,
        };
        struct backend_stat stat;
        struct backend_txn *txn;
        char reason[256];
        int64_t time_ms = 0;
        enum result r;

        r = backend_open(store->dir_fd, &backend_options, &store->backend, reason);
        if (r != R_OK) return store_fail(why, r, "cannot open the store in %s: %s", options->dir, reason);
        r = backend_begin_read(store->backend, &txn);
        if (r != R_OK) return store_fail(why, r, "cannot read the store in %s: %s", options->dir, result_text(r));
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

        r = store_open_dir(dir, &store->dir_fd, why);
        if (r == R_OK) r = check_present(dir, store->dir_fd, why);
        if (r == R_OK) r = check_filesystem(dir, store->dir_fd, options->is_forced, notes->warning, why);
        if (r == R_OK) r = store_take_guard(dir, store->dir_fd, &store->lock_fd, holder, why);
        /* Whoever made or moved the store may have died before its name was on disk: then it would go with the power,
         * and all that was written to it since. */
        if (r == R_OK) r = store_sync_names(dir, store->dir_fd, why);
        if (r == R_OK) r = open_files(store, options, notes, why);
        if (r != R_OK) return r;
        r = writer_start(store, &store->writer);
        return r == R_OK ? r : store_fail(why, r, "cannot start the writer's thread: %s", result_text(r));
}

static enum result open_store(const struct store_options *options, bool is_building, struct store **out,
                              struct store_holder *holder, struct store_notes *notes, char why[STORE_WHY_SIZE])
{
        struct store_holder found_holder = {0};
        struct store_notes found_notes = {0};
        struct store *store;
        enum result r;

        store = calloc(1, sizeof *store);
        if (store == NULL) return store_fail(why, R_NO_MEMORY, "cannot open %s: out of memory", options->dir);
        store->dir_fd = -1;
        store->lock_fd = -1;
        store->is_building = is_building;
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

enum result store_open(const struct store_options *options, struct store **out, struct store_holder *holder,
                       struct store_notes *notes, char why[STORE_WHY_SIZE])
{
        return open_store(options, false, out, holder, notes, why);
}

enum result store_open_to_build(const struct store_options *options, struct store **out, char why[STORE_WHY_SIZE])
{
        return open_store(options, true, out, NULL, NULL, why);
}

/* The newest time itself takes the place of the bound ahead of it. When that fails, the bound will do. */
static void save_time(struct store *store)
{
        int64_t last_ms = atomic_load(&store->time.last_ms);
        struct backend_txn *txn;

        if (last_ms == store->time.bound_ms || backend_begin_write(store->backend, &txn) != R_OK) return;
        if (store_put_time(txn, last_ms) != R_OK) {
                backend_abort(txn);
                return;
        }
        if (backend_commit(txn) == R_OK) store->time.bound_ms = last_ms;
}

static void settle(struct store *store)
{
        writer_stop(store->writer);
        REQUIRE(atomic_load(&store->views_open) == 0);
        save_time(store);
}

void store_close(struct store *store)
{
        if (store == NULL) return;
        settle(store);
        destroy(store);
}

enum result store_close_built(struct store *store, const char *dir, char why[STORE_WHY_SIZE])
{
        enum result r;

        settle(store);
        r = backend_sync(store->backend);
        if (r != R_OK) (void)store_fail(why, r, "cannot sync %s: %s", dir, result_text(r));
        destroy(store);
        return r;
}

/* ---- What a store says about itself ---- */

enum result store_find_holder(const char *dir, struct store_holder *out)
{
        char why[STORE_WHY_SIZE];
        enum result r;
        int dir_fd = -1;

        r = store_open_dir(dir, &dir_fd, why);
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

bool store_is_building(const struct store *store)
{
        return store->is_building;
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

size_t store_room(const struct store *store)
{
        return backend_room(store->backend);
}

bool store_gives_snapshots(const struct store *store)
{
        struct backend_txn *txn;
        enum result r = backend_begin_read(store->backend, &txn);

        if (r == R_OK) backend_abort(txn);
        return r != R_CORRUPT;
}

enum result store_open_spool(const struct store *store, int *fd)
{
        int opened = openat(store->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (opened < 0) return errno == ENOSPC || errno == EDQUOT ? R_READ_ONLY : R_IO;
        *fd = opened;
        return R_OK;
}

enum result store_disk_room(const struct store *store, uint64_t *bytes)
{
        struct statfs st;

        if (fstatfs(store->dir_fd, &st) != 0) return R_IO;
        *bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
        return R_OK;
}
