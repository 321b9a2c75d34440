#include "engine/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GUARD_NAME "lock"

/* Five lines: two numbers, a boot id and an address. */
#define TEXT_SIZE (STORE_ADMIN_ADDRESS_SIZE + 160)

/* Taking a lock that its holder keeps for microseconds: ten tries, a hundredth of a second apart. */
#define TRY_COUNT 10
#define TRY_NS    10000000

/* The first bytes of a small file, with a NUL; "" when it cannot be read. */
static void read_text(int dir_fd, const char *path, char *out, size_t size)
{
        int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd >= 0 ? read(fd, out, size - 1) : 0;

        if (fd >= 0) close(fd);
        out[len > 0 ? len : 0] = '\0';
}

/* 0: no number. */
static int64_t read_number(const char *text)
{
        char *end;
        long long number;

        errno = 0;
        number = strtoll(text, &end, 10);
        return end != text && errno == 0 && number > 0 ? number : 0;
}

/* Field 22 of /proc/PID/stat, in clock ticks since boot; 0: no such process. The second field is the program's name in
 * parentheses, which may hold anything, so the count begins at the last one. */
static int64_t start_time_of(int64_t pid)
{
        char path[48];
        char text[1024];
        const char *at;
        int field;

        snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
        read_text(AT_FDCWD, path, text, sizeof text);
        at = strrchr(text, ')');
        for (field = 2; at != NULL && field < 22; field++)
                at = strchr(at + 1, ' ');
        return at != NULL ? read_number(at) : 0;
}

enum result guard_write(int lock_fd, const char *admin_address)
{
        int64_t pid = getpid();
        char boot[40];
        char text[TEXT_SIZE];
        int len;

        if (strlen(admin_address) >= STORE_ADMIN_ADDRESS_SIZE) return R_TOO_LARGE;
        if (strchr(admin_address, '\n') != NULL) return R_BAD_ARGUMENT;
        read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, sizeof boot);
        boot[strcspn(boot, "\n")] = '\0';
        len = snprintf(text, sizeof text, "pid %" PRId64 "\nstart %" PRId64 "\nboot %s\nadmin %s\n", pid,
                       start_time_of(pid), boot, admin_address);
        if (pwrite(lock_fd, text, (size_t)len, 0) != len || ftruncate(lock_fd, len) != 0) return R_IO;
        return R_OK;
}

/* What follows `name` at the start of a line; "" when there is no such line. */
static const char *value_of(const char *text, const char *name)
{
        const char *line = text;

        while (strncmp(line, name, strlen(name)) != 0) {
                line = strchr(line, '\n');
                if (line == NULL) return "";
                line++;
        }
        return line + strlen(name);
}

/* All zero when the file is empty or not of ours: a holder writes it right after it has the lock. */
static void read_holder(int dir_fd, struct store_holder *out)
{
        char text[TEXT_SIZE];
        const char *admin;

        read_text(dir_fd, GUARD_NAME, text, sizeof text);
        memset(out, 0, sizeof *out);
        out->pid = read_number(value_of(text, "pid "));
        if (out->pid == 0) return;
        out->start_time = read_number(value_of(text, "start "));
        admin = value_of(text, "admin ");
        snprintf(out->admin_address, sizeof out->admin_address, "%.*s", (int)strcspn(admin, "\n"), admin);
}

/* R_OK, R_HELD, R_IO. */
static enum result lock_once(int fd, int operation)
{
        if (flock(fd, operation | LOCK_NB) == 0) return R_OK;
        return errno == EWOULDBLOCK ? R_HELD : R_IO;
}

static enum result lock_patiently(int dir_fd, int fd, struct store_holder *holder)
{
        const struct timespec pause = {0, TRY_NS};
        enum result r;
        int i;

        for (i = 0;; i++) {
                r = lock_once(fd, LOCK_EX);
                if (r != R_HELD) return r;
                read_holder(dir_fd, holder);
                if (i == TRY_COUNT || (holder->pid > 0 && start_time_of(holder->pid) == holder->start_time))
                        return R_HELD;
                nanosleep(&pause, NULL);
        }
}

/* Whether the directory still has this very file under that name: a lock on a removed file keeps nobody out. */
static bool is_in_place(int dir_fd, int fd)
{
        struct stat held;
        struct stat named;

        return fstat(fd, &held) == 0 && fstatat(dir_fd, GUARD_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
               held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

enum result guard_take(int dir_fd, int *lock_fd, struct store_holder *holder)
{
        int fd = openat(dir_fd, GUARD_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        enum result r;
        int error;

        if (fd < 0) return R_IO;
        r = lock_patiently(dir_fd, fd, holder);
        if (r == R_OK && !is_in_place(dir_fd, fd)) {
                errno = ESTALE;
                r = R_IO;
        }
        if (r == R_OK) r = guard_write(fd, "");
        if (r != R_OK) {
                error = errno;
                close(fd);
                errno = error;
                return r;
        }
        *lock_fd = fd;
        return R_OK;
}

/* Not emptied: its block is there for the next holder, if the disk is full by then. */
void guard_release(int lock_fd)
{
        static const char text[] = "free\n";
        const ssize_t len = sizeof text - 1;

        if (lock_fd < 0) return;
        if (pwrite(lock_fd, text, (size_t)len, 0) == len && ftruncate(lock_fd, len) != 0)
                errno = 0; /* stale text does no harm without the lock */
        close(lock_fd);
}

enum result guard_find(int dir_fd, struct store_holder *out)
{
        int fd = openat(dir_fd, GUARD_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        enum result r;

        if (fd < 0) return errno == ENOENT ? R_ABSENT : R_IO;
        r = lock_once(fd, LOCK_SH);
        if (r == R_HELD) read_holder(dir_fd, out);
        close(fd);
        return r == R_HELD ? R_OK : r == R_OK ? R_ABSENT : r;
}
