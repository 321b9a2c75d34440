#include "tests/lib/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Descriptors by which threads wake each other, and a signal its loop: these do not fail, and libuv aborts if they do.
 */
#define DESCRIPTORS_MAX 4096
static atomic_bool wakes[DESCRIPTORS_MAX];

static struct faults own;
static struct faults *_Atomic current;

struct faults *faults_here(void)
{
        struct faults *faults = atomic_load_explicit(&current, memory_order_acquire);

        return faults != NULL ? faults : &own;
}

/* Not at the first call, which may come before there is an environment. */
__attribute__((constructor)) static void open_file(void)
{
        const char *path = getenv("ALLOD_FAULTS");
        int fd = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
        void *map;

        if (fd < 0) return;
        map = (void *)syscall(SYS_mmap, NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) atomic_store_explicit(&current, map, memory_order_release);
        syscall(SYS_close, fd);
}

void faults_at(uint64_t n, uint64_t mask, int error, int is_lasting)
{
        struct faults *faults = faults_here();

        faults->fail_at = 0;
        faults->mask = mask;
        faults->error = error;
        faults->is_lasting = is_lasting;
        faults->count = 0;
        faults->fired = 0;
        faults->fail_at = n;
}

#ifdef __SANITIZE_THREAD__

bool faults_may_fail(void)
{
        return false;
}

#else

bool faults_may_fail(void)
{
        return true;
}

/* False: the call is to be made as it is. */
static bool must_fail(enum fault_kind kind)
{
        struct faults *faults = faults_here();
        uint64_t number;

        if (!(faults->mask & UINT64_C(1) << kind)) return false;
        number = atomic_fetch_add(&faults->count, 1) + 1;
        if (faults->fail_at == 0 || number < faults->fail_at) return false;
        if (number > faults->fail_at && !faults->is_lasting) return false;
        atomic_fetch_add(&faults->fired, 1);
        return true;
}

static bool is_wake(int fd)
{
        return fd >= 0 && fd < DESCRIPTORS_MAX && atomic_load(&wakes[fd]);
}

static void set_wake(int fd, bool is_one)
{
        if (fd >= 0 && fd < DESCRIPTORS_MAX) atomic_store(&wakes[fd], is_one);
}

/* *len is what to write; false: nothing, errno says why. */
static bool may_write(enum fault_kind kind, int fd, size_t *len)
{
        if (fd == STDOUT_FILENO || fd == STDERR_FILENO || is_wake(fd) || !must_fail(kind)) return true;
        if (faults_here()->error == 0) {
                *len = (*len + 1) / 2;
                return true;
        }
        errno = (int)faults_here()->error;
        return false;
}

static bool fails(enum fault_kind kind)
{
        int error;

        if (!must_fail(kind)) return false;
        error = (int)faults_here()->error;
        errno = error == 0 ? EIO : error;
        return true;
}

#define CALL(kind, number, ...) (fails(kind) ? -1 : syscall(number, __VA_ARGS__))

ssize_t read(int fd, void *data, size_t len)
{
        return is_wake(fd) ? syscall(SYS_read, fd, data, len) : CALL(FAULT_READ, SYS_read, fd, data, len);
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
        return CALL(FAULT_PREAD, SYS_pread64, fd, data, len, offset);
}

ssize_t pread64(int fd, void *data, size_t len, off_t offset)
{
        return CALL(FAULT_PREAD, SYS_pread64, fd, data, len, offset);
}

ssize_t write(int fd, const void *data, size_t len)
{
        return may_write(FAULT_WRITE, fd, &len) ? syscall(SYS_write, fd, data, len) : -1;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
        return may_write(FAULT_PWRITE, fd, &len) ? syscall(SYS_pwrite64, fd, data, len, offset) : -1;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
        return may_write(FAULT_PWRITE, fd, &len) ? syscall(SYS_pwrite64, fd, data, len, offset) : -1;
}

/* A short one writes half of the first part. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
        size_t len = count > 0 ? parts[0].iov_len : 0;
        size_t all = len;

        if (!may_write(FAULT_WRITE, fd, &len)) return -1;
        if (len < all) return syscall(SYS_write, fd, parts[0].iov_base, len);
        return syscall(SYS_writev, fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        return CALL(FAULT_WRITE, SYS_sendmsg, fd, message, flags);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
        return may_write(FAULT_WRITE, fd, &len) ? syscall(SYS_sendto, fd, data, len, flags, NULL, 0) : -1;
}

int fdatasync(int fd)
{
        return (int)CALL(FAULT_SYNC, SYS_fdatasync, fd);
}

int fsync(int fd)
{
        return (int)CALL(FAULT_SYNC, SYS_fsync, fd);
}

int ftruncate(int fd, off_t len)
{
        return (int)CALL(FAULT_TRUNCATE, SYS_ftruncate, fd, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
        return (int)CALL(FAULT_ALLOCATE, SYS_fallocate, fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
        return CALL(FAULT_ALLOCATE, SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
}

static int open_in(int dir_fd, const char *path, int flags, mode_t mode)
{
        return (int)CALL(FAULT_OPEN, SYS_openat, dir_fd, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
        return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
        va_list arguments;
        mode_t mode;

        va_start(arguments, flags);
        mode = mode_of(flags, arguments);
        va_end(arguments);
        return open_in(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
        va_list arguments;
        mode_t mode;

        va_start(arguments, flags);
        mode = mode_of(flags, arguments);
        va_end(arguments);
        return open_in(AT_FDCWD, path, flags, mode);
}

int openat(int dir_fd, const char *path, int flags, ...)
{
        va_list arguments;
        mode_t mode;

        va_start(arguments, flags);
        mode = mode_of(flags, arguments);
        va_end(arguments);
        return open_in(dir_fd, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
        return (int)CALL(FAULT_MAKE, SYS_mkdir, path, mode);
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
        return (int)CALL(FAULT_MAKE, SYS_mkdirat, dir_fd, path, mode);
}

int renameat(int old_dir, const char *old, int new_dir, const char *new)
{
        return (int)CALL(FAULT_MAKE, SYS_renameat, old_dir, old, new_dir, new);
}

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
        return fails(FAULT_MAP) ? MAP_FAILED : (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}

int close(int fd)
{
        set_wake(fd, false);
        return (int)syscall(SYS_close, fd);
}

int flock(int fd, int operation)
{
        return (int)CALL(FAULT_LOCK, SYS_flock, fd, operation);
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
        return (int)CALL(FAULT_ACCEPT, SYS_accept4, fd, address, len, flags);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
        return (int)CALL(FAULT_POLL, SYS_epoll_wait, fd, events, count, timeout_ms);
}

int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout_ms, const sigset_t *set)
{
        return (int)CALL(FAULT_POLL, SYS_epoll_pwait, fd, events, count, timeout_ms, set, (size_t)8);
}

/* As the kernel has it: what is there already needs no room. */
int epoll_ctl(int fd, int operation, int other, struct epoll_event *event)
{
        int code = (int)syscall(SYS_epoll_ctl, fd, operation, other, event);
        int error;

        if (code != 0 || operation != EPOLL_CTL_ADD || !fails(FAULT_WATCH)) return code;
        error = errno;
        syscall(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, other, event);
        errno = error;
        return -1;
}

int epoll_create1(int flags)
{
        return (int)CALL(FAULT_CREATE, SYS_epoll_create1, flags);
}

int eventfd(unsigned value, int flags)
{
        int fd = (int)CALL(FAULT_CREATE, SYS_eventfd2, value, flags);

        set_wake(fd, true);
        return fd;
}

int pipe2(int ends[2], int flags)
{
        int code = (int)CALL(FAULT_CREATE, SYS_pipe2, ends, flags);

        if (code == 0) set_wake(ends[0], true);
        if (code == 0) set_wake(ends[1], true);
        return code;
}

int socket(int domain, int type, int protocol)
{
        return (int)CALL(FAULT_CREATE, SYS_socket, domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
        return (int)CALL(FAULT_BIND, SYS_bind, fd, address, len);
}

int listen(int fd, int backlog)
{
        return (int)CALL(FAULT_BIND, SYS_listen, fd, backlog);
}

ssize_t getrandom(void *data, size_t len, unsigned flags)
{
        return CALL(FAULT_RANDOM, SYS_getrandom, data, len, flags);
}

typedef int create_fn(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
        union {
                void *found;
                create_fn *call;
        } real = {.found = dlsym(RTLD_NEXT, "pthread_create")};

        return fails(FAULT_THREAD) ? EAGAIN : real.call(thread, attributes, run, arg);
}

/* The wall clock is what these read. */

int clock_gettime(clockid_t clock, struct timespec *out)
{
        int64_t ns = faults_here()->clock_ns;
        int code = (int)syscall(SYS_clock_gettime, clock, out);

        if (code != 0 || ns == 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return code;
        ns += out->tv_sec * INT64_C(1000000000) + out->tv_nsec;
        out->tv_sec = ns / INT64_C(1000000000);
        out->tv_nsec = ns % INT64_C(1000000000);
        return 0;
}

time_t time(time_t *out)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (out != NULL) *out = now.tv_sec;
        return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
        struct timespec now;

        (void)zone;
        clock_gettime(CLOCK_REALTIME, &now);
        *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
        return 0;
}

#ifdef FAULTS_HAVE_HEAP

/* The names are glibc's. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t members, size_t size);
void *__libc_realloc(void *old, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static void *fail_heap(void)
{
        errno = ENOMEM;
        return NULL;
}

void *malloc(size_t size)
{
        return must_fail(FAULT_HEAP) ? fail_heap() : __libc_malloc(size);
}

void *calloc(size_t members, size_t size)
{
        return must_fail(FAULT_HEAP) ? fail_heap() : __libc_calloc(members, size);
}

void *realloc(void *old, size_t size)
{
        return must_fail(FAULT_HEAP) ? fail_heap() : __libc_realloc(old, size);
}

#endif

#endif
