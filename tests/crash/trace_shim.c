/*
 * LD_PRELOAD into a program under test: its calls that change files below $ALLOD_TRACE_ROOT are told to the trace
 * (trace.h) and then done. Debian's LMDB makes its calls through the dynamic linker, so that they come here too.
 *
 * Which file a descriptor is of, is asked at each call, so that nothing has to be known of close and dup. Only what was
 * opened here below the root counts. One lock makes a call and its event one step, but for syncs, during which other
 * threads go on.
 *
 * LIMIT: sockets that are bound, and bytes that go through a shared map, are not told. Of the latter LMDB has one: its
 * table of snapshots, which means nothing after the machine has stopped. Any other is called broken.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/trace.h"

#define WATCHED_MAX 1024
#define SYNC_NS     2000000 /* as a disk may take; an answer that should have waited for it is seen before it ends */
#define PIECES_MAX  1024    /* of one writev; the system's own bound */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int trace_fd = -1;
static bool dies_at_rename;
static ino_t watched[WATCHED_MAX];
static size_t watched_count;

__attribute__((constructor)) static void start(void)
{
        const char *path = getenv(TRACE_FILE_VARIABLE), *dir = getenv(TRACE_ROOT_VARIABLE);
        int fd;

        if (path == NULL || dir == NULL || realpath(dir, root) == NULL) abort();
        fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
        if (fd < 0) abort();
        /* Out of the way of the program's own. */
        trace_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
        if (trace_fd < 0) trace_fd = fd;
        dies_at_rename = getenv(TRACE_DIE_VARIABLE) != NULL;
}

/* ---- Telling ---- */

struct told {
        enum trace_kind kind;
        ino_t inode, dir, other_dir;
        uint64_t offset;
        const char *name, *other_name;
        const struct iovec *data;
        int piece_count;
};

static void tell(const struct told *told)
{
        static const uint8_t zeros[TRACE_PADDING];
        static struct iovec pieces[PIECES_MAX + 4]; /* under the lock */
        struct trace_head head = {
                .kind = told->kind,
                .thread = (uint64_t)syscall(SYS_gettid),
                .inode = told->inode,
                .dir = told->dir,
                .other_dir = told->other_dir,
                .offset = told->offset,
                .name_len = told->name != NULL ? (uint32_t)strlen(told->name) : 0,
                .other_name_len = told->other_name != NULL ? (uint32_t)strlen(told->other_name) : 0,
        };
        size_t size, pad;
        int i, count = 3;

        pieces[0] = (struct iovec){&head, sizeof head};
        pieces[1] = (struct iovec){(void *)told->name, head.name_len};
        pieces[2] = (struct iovec){(void *)told->other_name, head.other_name_len};
        for (i = 0; i < told->piece_count; i++) {
                head.data_len += (uint32_t)told->data[i].iov_len;
                pieces[count++] = told->data[i];
        }
        size = sizeof head + head.name_len + head.other_name_len + head.data_len;
        pad = (TRACE_PADDING - size % TRACE_PADDING) % TRACE_PADDING;
        pieces[count++] = (struct iovec){(void *)zeros, pad};
        head.size = (uint32_t)(size + pad);
        if (syscall(SYS_writev, trace_fd, pieces, count) != (long)head.size) abort();
}

static void tell_broken(const char *what)
{
        const struct iovec data = {(void *)what, strlen(what)};
        const struct told told = {.kind = TRACE_BROKEN, .data = &data, .piece_count = 1};

        tell(&told);
}

/* ---- What is watched ---- */

/* The file's path without the root; NULL: it is not below it. "" is the root itself. */
static const char *path_below(int fd, char path[PATH_MAX])
{
        char link[64];
        ssize_t len;
        size_t root_len = strlen(root);

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        len = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
        if (len < 0) return NULL;
        path[len] = '\0';
        if (strncmp(path, root, root_len) != 0 || (path[root_len] != '/' && path[root_len] != '\0')) return NULL;
        return path + root_len;
}

static bool is_known(ino_t inode)
{
        size_t i;

        for (i = 0; i < watched_count; i++) {
                if (watched[i] == inode) return true;
        }
        return false;
}

static void watch(ino_t inode)
{
        if (is_known(inode)) return;
        if (watched_count == WATCHED_MAX) abort();
        watched[watched_count++] = inode;
}

static bool is_watched(int fd, struct stat *st)
{
        return fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && is_known(st->st_ino);
}

/* The directory that `path` names something in. False: it is not below the root. */
static bool find_dir(int dir_fd, const char *path, ino_t *dir, const char **name)
{
        const char *slash = strrchr(path, '/');
        char head[PATH_MAX], full[PATH_MAX];
        bool is_below;
        struct stat st;
        int fd;

        *name = slash != NULL ? slash + 1 : path;
        snprintf(head, sizeof head, "%.*s",
                 slash == NULL   ? 1
                 : slash == path ? 1
                                 : (int)(slash - path),
                 slash == NULL ? "." : path);
        fd = (int)syscall(SYS_openat, dir_fd, head, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        if (fd < 0) return false;
        is_below = path_below(fd, full) != NULL && fstat(fd, &st) == 0;
        if (is_below) *dir = st.st_ino;
        (void)syscall(SYS_close, fd);
        return is_below;
}

static ino_t inode_at(int dir_fd, const char *path)
{
        struct stat st;

        return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

/* ---- Opening ---- */

static void opened(int fd, int flags, bool was_there)
{
        struct told told = {.kind = TRACE_CREATE};
        char path[PATH_MAX];
        struct stat st;

        if ((flags & O_TMPFILE) == O_TMPFILE || (flags & O_PATH) != 0 || path_below(fd, path) == NULL) return;
        if (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) return;
        watch(st.st_ino);
        told.inode = st.st_ino;
        if (!was_there) {
                if (find_dir(AT_FDCWD, path, &told.dir, &told.name)) tell(&told);
        } else if ((flags & O_TRUNC) != 0) {
                told.kind = TRACE_SIZE;
                tell(&told);
        }
}

static int open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
        bool was_there;
        int fd, error;

        pthread_mutex_lock(&lock);
        was_there = (flags & O_CREAT) == 0 || inode_at(dir_fd, path) != 0;
        fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
        error = errno;
        if (fd >= 0) opened(fd, flags, was_there);
        pthread_mutex_unlock(&lock);
        errno = error;
        return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
        return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
        int name(const char *path, int flags, ...)                                                                     \
        {                                                                                                              \
                va_list arguments;                                                                                     \
                mode_t mode;                                                                                           \
                                                                                                                       \
                va_start(arguments, flags);                                                                            \
                mode = mode_of(flags, arguments);                                                                      \
                va_end(arguments);                                                                                     \
                return open_any(AT_FDCWD, path, flags, mode);                                                          \
        }

#define OPENAT(name)                                                                                                   \
        int name(int dir_fd, const char *path, int flags, ...)                                                         \
        {                                                                                                              \
                va_list arguments;                                                                                     \
                mode_t mode;                                                                                           \
                                                                                                                       \
                va_start(arguments, flags);                                                                            \
                mode = mode_of(flags, arguments);                                                                      \
                va_end(arguments);                                                                                     \
                return open_any(dir_fd, path, flags, mode);                                                            \
        }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* ---- Writing ---- */

typedef ssize_t write_fn(int fd, const struct iovec *pieces, int count, off_t offset);

static ssize_t do_pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
        return count == 1 ? syscall(SYS_pwrite64, fd, pieces[0].iov_base, pieces[0].iov_len, offset)
                          : syscall(SYS_pwritev, fd, pieces, count, offset, 0);
}

static ssize_t do_writev(int fd, const struct iovec *pieces, int count, off_t offset)
{
        (void)offset;
        return count == 1 ? syscall(SYS_write, fd, pieces[0].iov_base, pieces[0].iov_len)
                          : syscall(SYS_writev, fd, pieces, count);
}

/* `offset` -1: where the descriptor stands. */
static ssize_t write_any(int fd, const struct iovec *pieces, int count, off_t offset, write_fn *write_cb)
{
        struct told told = {.kind = TRACE_WRITE, .data = pieces, .piece_count = count};
        size_t wanted = 0;
        struct stat st;
        ssize_t done;
        int i, flags, error;

        pthread_mutex_lock(&lock);
        if (!is_watched(fd, &st)) {
                pthread_mutex_unlock(&lock);
                return write_cb(fd, pieces, count, offset);
        }
        flags = fcntl(fd, F_GETFL);
        told.inode = st.st_ino;
        if (offset >= 0)
                told.offset = (uint64_t)offset;
        else
                told.offset = (uint64_t)((flags & O_APPEND) != 0 ? st.st_size : lseek(fd, 0, SEEK_CUR));
        for (i = 0; i < count; i++)
                wanted += pieces[i].iov_len;
        tell(&told);
        done = write_cb(fd, pieces, count, offset);
        error = errno;
        if (done != (ssize_t)wanted) tell_broken("a write failed or came out short");
        if ((flags & O_DSYNC) != 0) {
                told = (struct told){.kind = TRACE_WRITE_END, .inode = st.st_ino};
                tell(&told);
        }
        pthread_mutex_unlock(&lock);
        errno = error;
        return done;
}

ssize_t write(int fd, const void *data, size_t len)
{
        const struct iovec piece = {(void *)data, len};

        return write_any(fd, &piece, 1, -1, do_writev);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
        return write_any(fd, pieces, count, -1, do_writev);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
        const struct iovec piece = {(void *)data, len};

        return write_any(fd, &piece, 1, offset, do_pwritev);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
        return pwrite(fd, data, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
        return write_any(fd, pieces, count, offset, do_pwritev);
}

/* ---- Sizes ---- */

static void tell_size(int fd, enum trace_kind kind, off_t size)
{
        struct told told = {.kind = kind, .offset = (uint64_t)size};
        struct stat st;

        if (!is_watched(fd, &st)) return;
        told.inode = st.st_ino;
        tell(&told);
}

int ftruncate(int fd, off_t size)
{
        int code, error;

        pthread_mutex_lock(&lock);
        code = (int)syscall(SYS_ftruncate, fd, size);
        error = errno;
        if (code == 0) tell_size(fd, TRACE_SIZE, size);
        pthread_mutex_unlock(&lock);
        errno = error;
        return code;
}

int ftruncate64(int fd, off64_t size)
{
        return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
        int code, error;

        pthread_mutex_lock(&lock);
        code = (int)syscall(SYS_fallocate, fd, mode, offset, len);
        error = errno;
        if (code == 0 && mode != 0) tell_broken("fallocate did more than to lengthen a file");
        if (code == 0) tell_size(fd, TRACE_GROW, offset + len);
        pthread_mutex_unlock(&lock);
        errno = error;
        return code;
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
        return fallocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

/* Shared and writable is for LMDB's table of snapshots alone. */
void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
        static const char allowed[] = "/lock.mdb";
        char path[PATH_MAX];
        struct stat st;

        if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && is_watched(fd, &st) &&
            path_below(fd, path) != NULL &&
            (strlen(path) < sizeof allowed || strcmp(path + strlen(path) - (sizeof allowed - 1), allowed) != 0))
                tell_broken("a file was mapped for writing");
        return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}

/* ---- Syncing ---- */

static int sync_any(int fd, long number)
{
        const struct timespec pause = {0, SYNC_NS};
        struct told told = {.kind = TRACE_SYNC_BEGIN};
        struct stat st;
        bool is_told;
        int code, error;

        pthread_mutex_lock(&lock);
        is_told = is_watched(fd, &st);
        told.inode = st.st_ino;
        if (is_told) tell(&told);
        pthread_mutex_unlock(&lock);
        if (is_told) (void)nanosleep(&pause, NULL);
        code = (int)syscall(number, fd);
        error = errno;
        if (is_told && code == 0) {
                told.kind = TRACE_SYNC_END;
                pthread_mutex_lock(&lock);
                tell(&told);
                pthread_mutex_unlock(&lock);
        }
        errno = error;
        return code;
}

int fsync(int fd)
{
        return sync_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
        return sync_any(fd, SYS_fdatasync);
}

/* ---- Names ---- */

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
        struct told told = {.kind = TRACE_MKDIR};
        int code, error;

        pthread_mutex_lock(&lock);
        code = (int)syscall(SYS_mkdirat, dir_fd, path, mode);
        error = errno;
        if (code == 0 && find_dir(dir_fd, path, &told.dir, &told.name)) {
                told.inode = inode_at(dir_fd, path);
                watch(told.inode);
                tell(&told);
        }
        pthread_mutex_unlock(&lock);
        errno = error;
        return code;
}

int mkdir(const char *path, mode_t mode)
{
        return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
        struct told told = {.kind = TRACE_REMOVE};
        bool is_below;
        int code, error;

        pthread_mutex_lock(&lock);
        is_below = find_dir(dir_fd, path, &told.dir, &told.name);
        code = (int)syscall(SYS_unlinkat, dir_fd, path, flags);
        error = errno;
        if (code == 0 && is_below) tell(&told);
        pthread_mutex_unlock(&lock);
        errno = error;
        return code;
}

int unlink(const char *path)
{
        return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
        return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat(int dir_fd, const char *path, int other_fd, const char *other)
{
        struct told told = {.kind = TRACE_RENAME, .inode = inode_at(dir_fd, path)};
        bool is_below, other_is_below;
        int code, error;

        pthread_mutex_lock(&lock);
        is_below = find_dir(dir_fd, path, &told.dir, &told.name);
        other_is_below = find_dir(other_fd, other, &told.other_dir, &told.other_name);
        code = (int)syscall(SYS_renameat2, dir_fd, path, other_fd, other, 0);
        error = errno;
        if (code == 0 && is_below != other_is_below) tell_broken("a rename into or out of the directory");
        if (code == 0 && is_below && other_is_below) tell(&told);
        if (code == 0 && dies_at_rename) (void)raise(SIGKILL);
        pthread_mutex_unlock(&lock);
        errno = error;
        return code;
}

int rename(const char *path, const char *other)
{
        return renameat(AT_FDCWD, path, AT_FDCWD, other);
}

int linkat(int dir_fd, const char *path, int other_fd, const char *other, int flags)
{
        pthread_mutex_lock(&lock);
        tell_broken("a hard link was made");
        pthread_mutex_unlock(&lock);
        return (int)syscall(SYS_linkat, dir_fd, path, other_fd, other, flags);
}

int link(const char *path, const char *other)
{
        return linkat(AT_FDCWD, path, AT_FDCWD, other, 0);
}
