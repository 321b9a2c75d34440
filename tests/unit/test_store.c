#include "engine/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/key.h"
#include "engine/record.h"
#include "engine/store_private.h"
#include "engine/writer.h"
#include "tests/lib/faults.h"
#include "tests/lib/heap.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

#define MAP_SIZE ((size_t)64 << 20)
#define NOBODY   65534
#define NOT_ROOT 77 /* a child's way to say that it could not become another user */

static struct tempdir dir; /* holds the data directory, which the tests make or not */
static char data[TEMPDIR_PATH_SIZE + 16];
static char why[STORE_WHY_SIZE];
static struct store *store;

static int make_dir(void **state)
{
        (void)state;
        tempdir_make(&dir);
        snprintf(data, sizeof data, "%s", tempdir_file(&dir, "data"));
        why[0] = '\0';
        store = NULL;
        return 0;
}

static int set_up(void **state)
{
        make_dir(state);
        return store_create(data, false, why) == R_OK ? 0 : -1;
}

static int tear_down(void **state)
{
        (void)state;
        store_close(store);
        tempdir_remove(&dir);
        return 0;
}

static const char *file(const char *name)
{
        static char path[sizeof data + 64];

        snprintf(path, sizeof path, "%s/%s", data, name);
        return path;
}

static enum result open_at(int64_t (*clock_ms)(void))
{
        const struct store_options options = {.dir = data, .map_size = MAP_SIZE, .clock_ms = clock_ms};

        return store_open(&options, &store, NULL, NULL, why);
}

static enum result open_store(void)
{
        return open_at(NULL);
}

static void close_store(void)
{
        store_close(store);
        store = NULL;
}

/* In a child: cmocka's assertions would jump into the parent's runner. */
#define CHECK(condition)                                                                                               \
        do {                                                                                                           \
                if (condition) break;                                                                                  \
                fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, why);                              \
                _exit(1);                                                                                              \
        } while (0)

typedef void child_fn(void);

static int run_child(child_fn *body)
{
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void assert_child(child_fn *body)
{
        int status = run_child(body);

        if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ROOT) skip();
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- Making ---- */

/* A new store opens, with an id and a secret of its own, what it was asked to be, and files that only its owner reads.
 */
static void test_create_and_open(void **state)
{
        struct uuid first;
        uint8_t secret[STORE_TOKEN_SECRET_SIZE];
        struct stat st;

        (void)state;
        assert_int_equal(store_create(data, true, why), R_OK);
        assert_int_equal(stat(data, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(stat(file("data.mdb"), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_not_equal(access(file("unfinished"), F_OK), 0);
        assert_int_equal(open_store(), R_OK);
        assert_true(store_is_demo(store));
        assert_int_equal(store_restore_epoch(store), 0);
        first = store_id(store);
        memcpy(secret, store->token_secret, sizeof secret);
        close_store();
        assert_int_equal(open_store(), R_OK);
        assert_true(uuid_equal(store_id(store), first));
        assert_memory_equal(store->token_secret, secret, sizeof secret);
        close_store();

        snprintf(data, sizeof data, "%s", tempdir_file(&dir, "second"));
        assert_int_equal(store_create(data, false, why), R_OK);
        assert_int_equal(open_store(), R_OK);
        assert_false(store_is_demo(store));
        assert_false(uuid_equal(store_id(store), first));
        assert_memory_not_equal(store->token_secret, secret, sizeof secret);
}

/* An empty directory will do for a new store, one that holds anything will not, and least of all a store. */
static void test_create_refuses(void **state)
{
        int fd;

        (void)state;
        assert_int_equal(mkdir(data, 0700), 0);
        fd = open(file("letter.txt"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(store_create(data, false, why), R_EXISTS);
        assert_non_null(strstr(why, "letter.txt"));
        assert_int_not_equal(access(file("data.mdb"), F_OK), 0);
        assert_int_equal(unlink(file("letter.txt")), 0);
        assert_int_equal(store_create(data, false, why), R_OK);
        assert_int_equal(store_create(data, false, why), R_EXISTS);
        assert_non_null(strstr(why, "already"));
        assert_int_equal(open_store(), R_OK);
        assert_int_equal(store_create(data, false, why), R_HELD);
}

/* What cannot be a directory is said to be none. */
static void test_create_without_parent(void **state)
{
        (void)state;
        snprintf(data, sizeof data, "%s", tempdir_file(&dir, "none/data"));
        assert_int_equal(store_create(data, false, why), R_IO);
        assert_non_null(strstr(why, "No such file or directory"));
}

static void copy_file(const char *from, const char *to)
{
        static char bytes[1 << 20];
        char path[sizeof data + 64];
        ssize_t len;
        int fd;

        snprintf(path, sizeof path, "%s", file(to));
        fd = open(file(from), O_RDONLY | O_CLOEXEC);
        len = read(fd, bytes, sizeof bytes);
        assert_true(len > 0);
        close(fd);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, bytes, (size_t)len), len);
        close(fd);
}

/* An interrupted making leaves no store, says so, and can be repeated; what it left is cleared away. */
static void test_interrupted_create(void **state)
{
        (void)state;
        assert_int_equal(mkdir(file("unfinished"), 0700), 0);
        copy_file("data.mdb", "unfinished/data.mdb");
        copy_file("data.mdb", "unfinished/lock.mdb");
        assert_int_equal(unlink(file("data.mdb")), 0);
        assert_int_equal(open_store(), R_ABSENT);
        assert_non_null(strstr(why, "interrupted"));
        assert_int_equal(store_create(data, false, why), R_OK);
        assert_int_not_equal(access(file("unfinished"), F_OK), 0);
        assert_int_equal(open_store(), R_OK);
}

static size_t count_open_files(void)
{
        DIR *listing = opendir("/proc/self/fd");
        size_t count = 0;

        assert_non_null(listing);
        while (readdir(listing) != NULL)
                count++;
        closedir(listing);
        return count;
}

/* Without memory making and opening fail with a sentence, whichever allocation it is, and leave nothing open. */
static void test_no_memory(void **state)
{
        size_t files = count_open_files();
        unsigned long n;
        enum result r;

        (void)state;
        for (n = 1;; n++) {
                why[0] = '\0';
                heap_fail_at(n);
                r = store_create(data, false, why);
                heap_fail_at(0);
                if (r == R_OK) break;
                assert_int_equal(r, R_NO_MEMORY);
                assert_int_not_equal(why[0], '\0');
                assert_int_equal(count_open_files(), files);
        }
        for (n = 1;; n++) {
                why[0] = '\0';
                heap_fail_at(n);
                r = open_store();
                heap_fail_at(0);
                if (r == R_OK) break;
                assert_int_equal(r, R_NO_MEMORY);
                assert_int_not_equal(why[0], '\0');
                assert_null(store);
                assert_int_equal(count_open_files(), files);
        }
        assert_true(n > 1);
        close_store();
        assert_int_equal(count_open_files(), files);
}

/* ---- What cannot be opened ---- */

/* A missing directory, an empty one and a file each have a sentence of their own, with the way out. */
static void test_absent(void **state)
{
        (void)state;
        assert_int_equal(open_store(), R_ABSENT);
        assert_non_null(strstr(why, "no such directory"));
        assert_non_null(strstr(why, "allod init --data"));
        assert_int_equal(mkdir(data, 0700), 0);
        assert_int_equal(open_store(), R_ABSENT);
        assert_non_null(strstr(why, "there is no store in"));
        assert_int_not_equal(access(file("lock"), F_OK), 0);
        assert_int_equal(rmdir(data), 0);
        close(open(data, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        assert_int_equal(open_store(), R_IO);
        assert_non_null(strstr(why, "not a directory"));
}

static void overwrite(const char *name, const void *bytes, size_t len)
{
        int fd = open(file(name), O_WRONLY | O_TRUNC | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), len);
        close(fd);
}

/* Files that are no store's are refused, and the lock is free again after. */
static void test_garbage(void **state)
{
        static uint8_t garbage[50000];

        (void)state;
        memset(garbage, 0x5a, sizeof garbage);
        overwrite("data.mdb", garbage, sizeof garbage);
        assert_int_equal(open_store(), R_FORMAT);
        assert_non_null(strstr(why, "data.mdb"));
        overwrite("data.mdb", garbage, 0);
        assert_int_equal(open_store(), R_FORMAT);
        assert_non_null(strstr(why, "empty"));
        assert_int_equal(unlink(file("data.mdb")), 0);
        assert_int_equal(unlink(file("lock.mdb")), 0);
        assert_int_equal(store_create(data, false, why), R_OK);
        assert_int_equal(open_store(), R_OK);
}

/* Put a row into the table meta of a closed store. */
static void put_meta_row(struct bytes key, struct bytes body, bool is_sealed)
{
        const struct backend_options options = {.map_size = MAP_SIZE, .readers_max = 126};
        uint8_t header[RECORD_HEADER_SIZE];
        struct backend *backend;
        struct backend_txn *txn;
        int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(backend_open(fd, &options, &backend, why), R_OK);
        assert_int_equal(backend_begin_write(backend, &txn), R_OK);
        record_seal(key, 0, body, header);
        assert_int_equal(backend_put(txn, TABLE_META, key, bytes_of(header, is_sealed ? sizeof header : 0), body),
                         R_OK);
        assert_int_equal(backend_commit(txn), R_OK);
        backend_close(backend);
        close(fd);
}

/* A format version from the future is refused by its number. Field 1 of the message is the version. */
static void test_format_version(void **state)
{
        (void)state;
        put_meta_row(BYTES("store"), BYTES("\x08\x07"), true);
        assert_int_equal(open_store(), R_FORMAT);
        assert_non_null(strstr(why, "format version 7"));
        assert_null(store);
}

/* First rows that do not check out, or make no sense, are damage. */
static void test_damaged_meta(void **state)
{
        (void)state;
        put_meta_row(BYTES("time"), BYTES("\1\2\3"), true);
        assert_int_equal(open_store(), R_CORRUPT);
        put_meta_row(BYTES("store"), BYTES("\x08\x01"), true);
        assert_int_equal(open_store(), R_CORRUPT);
        put_meta_row(BYTES("store"), BYTES("\x08"), true);
        assert_int_equal(open_store(), R_CORRUPT);
        put_meta_row(BYTES("store"), BYTES("\x08\x01"), false);
        assert_int_equal(open_store(), R_CORRUPT);
        assert_non_null(strstr(why, "damaged"));
}

static void become_nobody(void)
{
        if (geteuid() != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) _exit(NOT_ROOT);
}

static void open_forbidden(void)
{
        become_nobody();
        CHECK(open_store() == R_IO);
        CHECK(strstr(why, "Permission denied") != NULL);
        CHECK(store_create(data, false, why) == R_IO);
        CHECK(strstr(why, "Permission denied") != NULL);
}

static void open_unwritable(void)
{
        become_nobody();
        CHECK(open_store() == R_IO);
        CHECK(strstr(why, "Permission denied") != NULL);
}

/* Another user's directory, whether it may be looked into or not, gives the system's reason. */
static void test_forbidden(void **state)
{
        (void)state;
        assert_int_equal(chmod(dir.path, 0755), 0);
        assert_child(open_forbidden);
        assert_int_equal(chmod(data, 0755), 0);
        assert_int_equal(chmod(file("data.mdb"), 0644), 0);
        assert_child(open_unwritable);
        assert_int_equal(open_store(), R_OK);
}

/* A file system that is not known to serve is refused unless forced, and then warned of. ramfs is one; only root of a
 * mount namespace of its own can have it here. */
static void open_on_ramfs(void)
{
        struct store_options options = {.dir = data, .map_size = MAP_SIZE};
        struct store_notes notes;

        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", dir.path, "ramfs", 0, NULL) != 0)
                _exit(NOT_ROOT);
        CHECK(store_create(data, false, why) == R_OK);
        CHECK(store_open(&options, &store, NULL, NULL, why) == R_IO);
        CHECK(strstr(why, "0x858458f6") != NULL);
        options.is_forced = true;
        CHECK(store_open(&options, &store, NULL, &notes, why) == R_OK);
        CHECK(strstr(notes.warning, "forced") != NULL);
        close_store();
}

static void test_forced(void **state)
{
        (void)state;
        assert_child(open_on_ramfs);
}

/* On a good file system there is nothing to warn of, and the map is what was asked for. */
static void test_notes(void **state)
{
        const struct store_options options = {.dir = data, .map_size = MAP_SIZE};
        struct store_notes notes;
        struct statfs st;

        (void)state;
        assert_int_equal(statfs(data, &st), 0);
        assert_int_equal(store_open(&options, &store, NULL, &notes, why), R_OK);
        assert_int_equal(notes.map_size, MAP_SIZE);
        if ((unsigned long)st.f_type == EXT4_SUPER_MAGIC) assert_string_equal(notes.warning, "");
}

/* ---- Who holds it ---- */

/* A child that opens the store, says so, and waits to be killed; a test that fails first takes it along. */
static pid_t start_holder(const char *admin_address)
{
        int ends[2];
        char byte = 0;
        pid_t pid;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
                CHECK(open_store() == R_OK);
                if (admin_address != NULL) CHECK(store_announce(store, admin_address) == R_OK);
                CHECK(write(ends[1], "x", 1) == 1);
                for (;;)
                        pause();
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), 1);
        close(ends[0]);
        return pid;
}

static void kill_holder(pid_t pid)
{
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A second process is refused and told who holds the store, and where it serves; so is a second opening in this one.
 * After kill -9 the store opens. */
static void test_held(void **state)
{
        const struct store_options options = {.dir = data, .map_size = MAP_SIZE};
        struct store_holder holder = {0};
        struct store_holder found = {0};
        struct store *second = NULL;
        char number[32];
        pid_t pid;

        (void)state;
        assert_int_equal(store_find_holder(data, &found), R_ABSENT);
        pid = start_holder("/run/allod/admin.sock");
        snprintf(number, sizeof number, "process %d", (int)pid);
        assert_int_equal(store_open(&options, &store, &holder, NULL, why), R_HELD);
        assert_null(store);
        assert_int_equal(holder.pid, pid);
        assert_true(holder.start_time > 0);
        assert_string_equal(holder.admin_address, "/run/allod/admin.sock");
        assert_non_null(strstr(why, number));
        assert_non_null(strstr(why, "/run/allod/admin.sock"));
        assert_int_equal(store_find_holder(data, &found), R_OK);
        assert_int_equal(found.pid, pid);
        assert_int_equal(found.start_time, holder.start_time);
        assert_string_equal(found.admin_address, "/run/allod/admin.sock");
        assert_int_equal(store_create(data, false, why), R_HELD);

        kill_holder(pid);
        assert_int_equal(store_find_holder(data, &found), R_ABSENT);
        assert_int_equal(open_store(), R_OK);
        assert_int_equal(store_open(&options, &second, &holder, NULL, why), R_HELD);
        assert_int_equal(holder.pid, getpid());
        assert_string_equal(holder.admin_address, "");
        close_store();
        assert_int_equal(store_find_holder(data, &found), R_ABSENT);
        assert_int_equal(open_store(), R_OK);
}

/* A longer address, then a shorter one, leave nothing of each other; one that does not fit or spans lines is refused.
 */
static void test_announce(void **state)
{
        char long_address[STORE_ADMIN_ADDRESS_SIZE + 1];
        struct store_holder found;

        (void)state;
        memset(long_address, 'a', sizeof long_address);
        long_address[STORE_ADMIN_ADDRESS_SIZE] = '\0';
        assert_int_equal(open_store(), R_OK);
        assert_int_equal(store_announce(store, long_address), R_TOO_LARGE);
        assert_int_equal(store_announce(store, "two\nlines"), R_BAD_ARGUMENT);
        long_address[STORE_ADMIN_ADDRESS_SIZE - 1] = '\0';
        assert_int_equal(store_announce(store, long_address), R_OK);
        assert_int_equal(store_find_holder(data, &found), R_OK);
        assert_string_equal(found.admin_address, long_address);
        assert_int_equal(store_announce(store, "127.0.0.1:1"), R_OK);
        assert_int_equal(store_find_holder(data, &found), R_OK);
        assert_string_equal(found.admin_address, "127.0.0.1:1");
        assert_int_equal(found.pid, getpid());
}

/* A lock that somebody has without saying who is still a lock. */
static void test_unknown_holder(void **state)
{
        int fd = open(file("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        (void)state;
        assert_int_equal(flock(fd, LOCK_EX), 0);
        assert_int_equal(open_store(), R_HELD);
        assert_non_null(strstr(why, "another process"));
        close(fd);
        assert_int_equal(open_store(), R_OK);
}

/* ---- Time ---- */

static _Atomic int64_t fake_ms;

static int64_t fake_clock(void)
{
        return atomic_load(&fake_ms);
}

/* Store time goes on from where it was when the store was closed, though the clock was set back. */
static void test_time_after_close(void **state)
{
        int64_t now = INT64_C(4000000000000);

        (void)state;
        fake_ms = now;
        assert_int_equal(open_at(fake_clock), R_OK);
        assert_int_equal(store_time_ms(store), now);
        close_store();
        fake_ms = 1000;
        assert_int_equal(open_at(fake_clock), R_OK);
        assert_int_equal(store_time_ms(store), now + 1);
        close_store();
        assert_int_equal(open_at(fake_clock), R_OK);
        assert_int_equal(store_time_ms(store), now + 2);
        fake_ms = now + 3;
        assert_int_equal(store_time_ms(store), now + 3);
}

static enum result do_nothing(struct txn *txn, void *argument)
{
        (void)argument;
        (void)txn;
        return R_OK;
}

/* The bound that a transaction puts is on disk when it has committed, and a process killed after that loses no time. */
static void raise_and_die(void)
{
        struct backend_txn *txn;
        int64_t now;

        CHECK(open_at(fake_clock) == R_OK);
        now = store_time_ms(store);
        CHECK(backend_begin_write(store->backend, &txn) == R_OK);
        CHECK(store_raise_time(store, txn) == R_OK);
        CHECK(backend_commit(txn) == R_OK);
        store_time_committed(store);
        fake_ms = now + STORETIME_MARGIN_MS;
        CHECK(store_time_ms(store) == now + STORETIME_MARGIN_MS);
        raise(SIGKILL);
}

static void test_time_after_kill(void **state)
{
        int64_t now = INT64_C(4000000000000);

        (void)state;
        fake_ms = now;
        assert_true(WIFSIGNALED(run_child(raise_and_die)));
        fake_ms = 1000;
        assert_int_equal(open_at(fake_clock), R_OK);
        assert_int_equal(store_time_ms(store), now + STORETIME_MARGIN_MS + 1);
}

/* A file system that syncs no directory at all is taken as it is; any other failure counts, of the directory's own
 * names and of its parent's. */
static void test_sync_names(void **state)
{
        int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t n;

        (void)state;
        assert_true(fd >= 0);
        if (!faults_may_fail()) skip();
        faults_at(1, FAULT_BIT(SYNC), EINVAL, true);
        assert_int_equal(store_sync_names(data, fd, why), R_OK);
        assert_int_equal(faults_here()->fired, 2);
        for (n = 1; n <= 2; n++) {
                faults_at(n, FAULT_BIT(SYNC), EIO, false);
                assert_int_equal(store_sync_names(data, fd, why), R_IO);
                assert_non_null(strstr(why, "cannot sync"));
        }
        faults_at(0, 0, 0, false);
        close(fd);
}

/* The writer runs while the store is open, and the store closes after it has worked. */
static void test_writer_runs(void **state)
{
        struct arena arena;
        struct fault fault = {0};
        struct txn_input input = {.arena = &arena, .fault = &fault};

        (void)state;
        arena_init(&arena, NULL, (size_t)1 << 20);
        assert_int_equal(open_store(), R_OK);
        input.time_ms = store_time_ms(store);
        assert_int_equal(writer_run(store_writer(store), &input, do_nothing, NULL), R_OK);
        close_store();
        arena_fini(&arena);
}

int main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, make_dir, tear_down)
        const struct CMUnitTest tests[] = {
                EMPTY(test_create_and_open),
                EMPTY(test_create_refuses),
                EMPTY(test_create_without_parent),
                TEST(test_interrupted_create),
                EMPTY(test_no_memory),
                EMPTY(test_absent),
                TEST(test_garbage),
                TEST(test_format_version),
                TEST(test_damaged_meta),
                TEST(test_forbidden),
                EMPTY(test_forced),
                TEST(test_notes),
                TEST(test_held),
                TEST(test_announce),
                TEST(test_unknown_holder),
                TEST(test_time_after_close),
                TEST(test_time_after_kill),
                TEST(test_sync_names),
                TEST(test_writer_runs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
