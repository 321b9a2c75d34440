/*
 * Making a store: whole or not at all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/guard.h"
#include "engine/require.h"
#include "engine/store_build.h"
#include "engine/store_private.h"
#include "store/v1/store.pb.h"

/* A new store takes a few pages; the size is chosen anew at each opening. */
#define MAP_SIZE_NEW ((size_t)16 << 20)

static enum result sync_fd(const char *dir, int fd, char why[STORE_WHY_SIZE])
{
        if (fsync(fd) == 0) return R_OK;
        return store_fail(why, R_IO, "cannot sync %s: %s", dir, strerror(errno));
}

/* R_EXISTS when there is anything but what we make ourselves and what mkfs does. */
static enum result check_empty(const char *dir, char why[STORE_WHY_SIZE])
{
        static const char *const allowed[] = {".", "..", "lost+found", "lock", STORE_UNFINISHED_NAME};
        enum result r = R_OK;
        struct dirent *entry;
        DIR *listing = opendir(dir);
        size_t i;

        if (listing == NULL) return store_fail(why, R_IO, "cannot list %s: %s", dir, strerror(errno));
        while (r == R_OK && (entry = readdir(listing)) != NULL) {
                i = 0;
                while (i < sizeof allowed / sizeof allowed[0] && strcmp(entry->d_name, allowed[i]) != 0)
                        i++;
                if (i < sizeof allowed / sizeof allowed[0]) continue;
                r = strcmp(entry->d_name, STORE_DATA_NAME) == 0
                            ? store_fail(why, R_EXISTS, "there is a store in %s already", dir)
                            : store_fail(why, R_EXISTS, "%s is not empty: it has %s", dir, entry->d_name);
        }
        closedir(listing);
        return r;
}

/* All there can be in it; failing is for the caller to notice, when it makes the directory anew. */
static void clear_unfinished(int dir_fd)
{
        (void)unlinkat(dir_fd, STORE_UNFINISHED_NAME "/lock", 0);
        (void)unlinkat(dir_fd, STORE_UNFINISHED_NAME "/reserve", 0);
        (void)unlinkat(dir_fd, STORE_UNFINISHED_NAME "/" STORE_DATA_NAME, 0);
        (void)unlinkat(dir_fd, STORE_UNFINISHED_NAME "/lock.mdb", 0);
        (void)unlinkat(dir_fd, STORE_UNFINISHED_NAME, AT_REMOVEDIR);
}

static enum result put_first_rows(struct backend_txn *txn, const struct store_seed *seed)
{
        store_v1_Meta meta = store_v1_Meta_init_zero;
        uint8_t body[store_v1_Meta_size];
        pb_ostream_t stream = pb_ostream_from_buffer(body, sizeof body);
        enum result r;

        meta.format_version = STORE_FORMAT_VERSION;
        meta.restore_epoch = seed->restore_epoch;
        meta.demo = seed->is_demo;
        meta.created_at_ms = seed->time_ms;
        meta.store_id.size = UUID_SIZE;
        memcpy(meta.store_id.bytes, seed->id.bytes, UUID_SIZE);
        meta.token_secret.size = STORE_TOKEN_SECRET_SIZE;
        REQUIRE(getrandom(meta.token_secret.bytes, STORE_TOKEN_SECRET_SIZE, 0) == STORE_TOKEN_SECRET_SIZE);
        REQUIRE(pb_encode(&stream, store_v1_Meta_fields, &meta));

        r = store_put_meta(txn, STORE_KEY_STORE, bytes_of(body, stream.bytes_written));
        if (r != R_OK) return r;
        return store_put_time(txn, meta.created_at_ms);
}

static enum result write_first_rows(struct backend *backend, const struct store_seed *seed)
{
        struct backend_txn *txn;
        enum result r;

        r = backend_begin_write(backend, &txn);
        if (r != R_OK) return r;
        r = put_first_rows(txn, seed);
        if (r != R_OK) {
                backend_abort(txn);
                return r;
        }
        return backend_commit(txn);
}

/* The engine's files, whole and on disk, in the directory `fd`. */
static enum result make_files(const char *dir, int fd, const struct store_seed *seed, char why[STORE_WHY_SIZE])
{
        const struct backend_options options = {
                .map_size = MAP_SIZE_NEW, .readers_max = STORE_READERS_MAX_DEFAULT, .may_create = true};
        struct backend *backend;
        char reason[256];
        enum result r;

        r = backend_open(fd, &options, &backend, reason);
        if (r != R_OK) return store_fail(why, r, "cannot make a store in %s: %s", dir, reason);
        r = write_first_rows(backend, seed);
        backend_close(backend);
        if (r == R_READ_ONLY) return store_fail(why, R_IO, "cannot make a store in %s: the disk is full", dir);
        if (r != R_OK) return store_fail(why, R_IO, "cannot make a store in %s: %s", dir, result_text(r));
        return sync_fd(dir, fd, why);
}

/* An empty store in DIR/unfinished; what was there is cleared away. The directory's lock is held. */
static enum result make_unfinished(const char *dir, int dir_fd, const struct store_seed *seed, char why[STORE_WHY_SIZE])
{
        enum result r;
        int fd;

        r = check_empty(dir, why);
        if (r != R_OK) return r;
        clear_unfinished(dir_fd);
        if (mkdirat(dir_fd, STORE_UNFINISHED_NAME, 0700) != 0)
                return store_fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        fd = openat(dir_fd, STORE_UNFINISHED_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) return store_fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        r = make_files(dir, fd, seed, why);
        close(fd);
        return r;
}

/* All of it is on disk; so must its name be, and that of a directory which somebody has made just before. Else there
 * is none: it is not known to stay there. */
static enum result move_into_place(const char *dir, int dir_fd, char why[STORE_WHY_SIZE])
{
        enum result r;

        if (renameat(dir_fd, STORE_UNFINISHED_NAME "/" STORE_DATA_NAME, dir_fd, STORE_DATA_NAME) != 0)
                return store_fail(why, R_IO, "cannot write in %s: %s", dir, strerror(errno));
        clear_unfinished(dir_fd);
        r = store_sync_names(dir, dir_fd, why);
        if (r != R_OK) (void)unlinkat(dir_fd, STORE_DATA_NAME, 0);
        return r;
}

/* Open the directory, made if it is absent, and take its lock. */
static enum result enter_dir(const char *dir, int *dir_fd, int *lock_fd, bool *is_made, char why[STORE_WHY_SIZE])
{
        struct store_holder holder;
        enum result r;

        *is_made = mkdir(dir, 0700) == 0;
        if (!*is_made && errno != EEXIST) return store_fail(why, R_IO, "cannot make %s: %s", dir, strerror(errno));
        r = store_open_dir(dir, dir_fd, why);
        if (r != R_OK) return r == R_ABSENT ? R_IO : r;
        /* Before the lock too, which would leave its file in a directory of somebody else's. */
        if (faccessat(*dir_fd, STORE_DATA_NAME, F_OK, 0) != 0) r = check_empty(dir, why);
        if (r == R_OK) r = store_take_guard(dir, *dir_fd, lock_fd, &holder, why);
        if (r == R_OK) return R_OK;
        if (*is_made && r != R_HELD) {
                (void)unlinkat(*dir_fd, "lock", 0);
                (void)rmdir(dir);
        }
        close(*dir_fd);
        return r;
}

enum result store_create(const char *dir, bool is_demo, char why[STORE_WHY_SIZE])
{
        struct store_seed seed = {.is_demo = is_demo};
        struct storetime time;
        int dir_fd = -1, lock_fd = -1;
        bool is_made;
        enum result r;

        storetime_init(&time, 0, NULL);
        seed.time_ms = storetime_now(&time);
        seed.id = uuid_v7(seed.time_ms);
        r = enter_dir(dir, &dir_fd, &lock_fd, &is_made, why);
        if (r != R_OK) return r;
        r = make_unfinished(dir, dir_fd, &seed, why);
        if (r == R_OK) r = move_into_place(dir, dir_fd, why);
        if (r != R_OK && r != R_EXISTS) clear_unfinished(dir_fd);
        guard_release(lock_fd);
        close(dir_fd);
        return r;
}

/* ---- Building ---- */

struct store_build {
        char *dir;
        bool is_made; /* the directory was not there before */
        int dir_fd, lock_fd;
        struct store *store;
};

struct store *store_build_store(struct store_build *build)
{
        return build->store;
}

static enum result open_unfinished(struct store_build *build, const struct store_options *options,
                                   char why[STORE_WHY_SIZE])
{
        struct store_options inner = *options;
        char *path;
        enum result r;

        if (asprintf(&path, "%s/" STORE_UNFINISHED_NAME, build->dir) < 0)
                return store_fail(why, R_NO_MEMORY, "cannot open %s: out of memory", build->dir);
        inner.dir = path;
        r = store_open_to_build(&inner, &build->store, why);
        free(path);
        return r;
}

/* Everything but what stands in the directory. */
static void leave_dir(struct store_build *build)
{
        guard_release(build->lock_fd);
        if (build->dir_fd >= 0) close(build->dir_fd);
        free(build->dir);
        free(build);
}

/* The lock goes with the directory; in one that was there before it stays, because somebody may wait for it. */
static void leave_nothing(struct store_build *build)
{
        clear_unfinished(build->dir_fd);
        if (build->is_made && unlinkat(build->dir_fd, "lock", 0) == 0) (void)rmdir(build->dir);
        leave_dir(build);
}

enum result store_build_begin(const struct store_options *options, const struct store_seed *seed,
                              struct store_build **out, char why[STORE_WHY_SIZE])
{
        struct store_build *build = calloc(1, sizeof *build);
        enum result r;

        if (build != NULL) build->dir = strdup(options->dir);
        if (build == NULL || build->dir == NULL) {
                free(build);
                return store_fail(why, R_NO_MEMORY, "cannot open %s: out of memory", options->dir);
        }
        build->dir_fd = build->lock_fd = -1;
        r = enter_dir(build->dir, &build->dir_fd, &build->lock_fd, &build->is_made, why);
        if (r != R_OK) {
                build->dir_fd = -1; /* enter_dir has closed it */
                leave_dir(build);
                return r;
        }
        r = make_unfinished(build->dir, build->dir_fd, seed, why);
        if (r == R_OK) r = open_unfinished(build, options, why);
        if (r == R_EXISTS)
                leave_dir(build); /* what is there is somebody's */
        else if (r != R_OK)
                leave_nothing(build);
        if (r != R_OK) return r;
        *out = build;
        return R_OK;
}

enum result store_build_finish(struct store_build *build, char why[STORE_WHY_SIZE])
{
        enum result r;

        r = store_close_built(build->store, build->dir, why);
        build->store = NULL;
        if (r == R_OK) r = move_into_place(build->dir, build->dir_fd, why);
        if (r == R_OK) {
                leave_dir(build);
                return R_OK;
        }
        leave_nothing(build);
        return r;
}

void store_build_abandon(struct store_build *build)
{
        if (build == NULL) return;
        store_close(build->store);
        leave_nothing(build);
}
