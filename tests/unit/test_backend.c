#include "engine/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/key.h"
#include "tests/lib/syscall_fault.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

#define MAP_SIZE   ((size_t)64 << 20)
#define META_SIZE  8192 /* the two meta pages */
#define WHY_SIZE   256
#define NO_SECCOMP 77 /* a child's way to say that it could not run */

static struct tempdir dir;
static int dir_fd;
static struct backend *backend;

static enum result open_with(size_t map_size, unsigned readers_max, bool may_create, char why[WHY_SIZE])
{
        const struct backend_options options = {
                .map_size = map_size, .readers_max = readers_max, .may_create = may_create};

        return backend_open(dir_fd, &options, &backend, why);
}

static void open_new(void)
{
        char why[WHY_SIZE];

        assert_int_equal(open_with(MAP_SIZE, 126, true, why), R_OK);
}

static int make_dir(void **state)
{
        (void)state;
        tempdir_make(&dir);
        dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        backend = NULL;
        return dir_fd < 0;
}

static int set_up(void **state)
{
        if (make_dir(state) != 0) return -1;
        open_new();
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        backend_close(backend);
        close(dir_fd);
        tempdir_remove(&dir);
        return 0;
}

static struct backend_txn *begin_write(void)
{
        struct backend_txn *txn = NULL;

        assert_int_equal(backend_begin_write(backend, &txn), R_OK);
        return txn;
}

static struct backend_txn *begin_read(void)
{
        struct backend_txn *txn = NULL;

        assert_int_equal(backend_begin_read(backend, &txn), R_OK);
        return txn;
}

static void put_text(struct backend_txn *txn, const char *key, const char *value)
{
        assert_int_equal(backend_put(txn, TABLE_RECORDS, bytes_of_text(key), BYTES("="), bytes_of_text(value)), R_OK);
}

static enum result try_to_put(const char *key, const char *value)
{
        struct backend_txn *txn;
        enum result r;

        r = backend_begin_write(backend, &txn);
        if (r != R_OK) return r;
        r = backend_put(txn, TABLE_RECORDS, bytes_of_text(key), BYTES("="), bytes_of_text(value));
        if (r == R_OK) return backend_commit(txn);
        backend_abort(txn);
        return r;
}

static bool has(struct backend_txn *txn, const char *key, const char *value)
{
        struct bytes found;

        if (backend_get(txn, TABLE_RECORDS, bytes_of_text(key), &found) != R_OK) return false;
        return bytes_equal(found, bytes_of_text(value));
}

/* What one transaction wrote into a table, of two owners, is there in this table and in no other, for the next. */
static void test_put_get_delete(void **state)
{
        struct backend_txn *txn = begin_write();
        struct bytes value = BYTES("untouched");
        int table;

        (void)state;
        put_text(txn, "u:a", "first");
        put_text(txn, "t:a", "other");
        put_text(txn, "u:a", "second, which is longer");
        assert_true(has(txn, "u:a", "=second, which is longer"));
        assert_int_equal(backend_put(txn, TABLE_DUE, BYTES("u:a"), BYTES(""), BYTES("")), R_OK);
        assert_int_equal(backend_commit(txn), R_OK);

        txn = begin_write();
        assert_true(has(txn, "u:a", "=second, which is longer"));
        assert_true(has(txn, "t:a", "=other"));
        for (table = 0; table < TABLE_COUNT; table++) {
                bool is_there = table == TABLE_RECORDS || table == TABLE_DUE;

                assert_int_equal(backend_get(txn, table, BYTES("u:a"), &value), is_there ? R_OK : R_ABSENT);
        }
        assert_int_equal(backend_delete(txn, TABLE_RECORDS, BYTES("u:a")), R_OK);
        assert_int_equal(backend_delete(txn, TABLE_RECORDS, BYTES("u:a")), R_ABSENT);
        assert_int_equal(backend_delete(txn, TABLE_LEASES, BYTES("t:a")), R_ABSENT);
        value = BYTES("untouched");
        assert_int_equal(backend_get(txn, TABLE_RECORDS, BYTES("u:a"), &value), R_ABSENT);
        assert_true(bytes_equal(value, BYTES("untouched")));
        assert_true(has(txn, "t:a", "=other"));
        assert_int_equal(backend_commit(txn), R_OK);
}

/* A row is there after its process has closed the files and opened them again. */
static void test_reopen(void **state)
{
        struct backend_txn *txn = begin_write();
        char why[WHY_SIZE];

        (void)state;
        put_text(txn, "k", "v");
        assert_int_equal(backend_commit(txn), R_OK);
        backend_close(backend);
        assert_int_equal(open_with(MAP_SIZE, 126, false, why), R_OK);
        txn = begin_read();
        assert_true(has(txn, "k", "=v"));
        backend_abort(txn);
}

/* An aborted transaction has written nothing. */
static void test_abort(void **state)
{
        struct backend_txn *txn = begin_write();

        (void)state;
        put_text(txn, "k", "v");
        backend_abort(txn);
        backend_abort(NULL);
        txn = begin_read();
        assert_false(has(txn, "k", "=v"));
        backend_abort(txn);
}

/* A snapshot stays as it was while others commit; renewed, with or without a rest, it is the newest. */
static void test_snapshots(void **state)
{
        struct backend_txn *reader = begin_read();
        struct backend_txn *txn = begin_write();

        (void)state;
        put_text(txn, "k", "1");
        assert_int_equal(backend_commit(txn), R_OK);
        assert_false(has(reader, "k", "=1"));
        assert_int_equal(backend_renew(reader), R_OK);
        assert_true(has(reader, "k", "=1"));
        backend_rest(reader);
        backend_rest(reader);
        assert_int_equal(try_to_put("k", "2"), R_OK);
        assert_int_equal(backend_renew(reader), R_OK);
        assert_true(has(reader, "k", "=2"));
        backend_rest(reader);
        backend_abort(reader);
}

/* There are as many snapshots as asked for, a resting one keeps its slot, and one that ended frees it. */
static void test_reader_slots(void **state)
{
        struct backend_txn *readers[4];
        struct backend_txn *more;
        char why[WHY_SIZE];
        size_t i;

        (void)state;
        assert_int_equal(open_with(MAP_SIZE, 4, true, why), R_OK);
        for (i = 0; i < 4; i++)
                readers[i] = begin_read();
        backend_rest(readers[0]);
        assert_int_equal(backend_begin_read(backend, &more), R_EXHAUSTED);
        backend_abort(readers[1]);
        readers[1] = begin_read();
        assert_int_equal(backend_renew(readers[0]), R_OK);
        for (i = 0; i < 4; i++)
                backend_abort(readers[i]);
}

static void put_letters(void)
{
        struct backend_txn *txn = begin_write();

        put_text(txn, "b", "B");
        put_text(txn, "d", "D");
        put_text(txn, "da", "DA");
        put_text(txn, "f", "F");
        assert_int_equal(backend_commit(txn), R_OK);
}

typedef enum result seek_fn(struct backend_cursor *cursor, struct bytes key, struct bytes *found, struct bytes *value);

/* The key that `seek` finds from `key`, or "" for none. */
static const char *found_by(seek_fn *seek, struct backend_cursor *cursor, const char *key)
{
        static char text[8];
        struct bytes found;
        struct bytes value;
        enum result r = seek(cursor, bytes_of_text(key), &found, &value);

        if (r == R_ABSENT) return "";
        assert_int_equal(r, R_OK);
        snprintf(text, sizeof text, "%.*s", (int)found.len, (const char *)found.data);
        return text;
}

/* Seeks find the first row at or after a key, or the last one before it, in the middle, between rows, and at both ends.
 */
static void test_seeks(void **state)
{
        struct backend_cursor cursor;
        struct backend_txn *txn;

        (void)state;
        put_letters();
        txn = begin_read();
        assert_int_equal(backend_cursor_open(txn, TABLE_RECORDS, &cursor), R_OK);
        assert_string_equal(found_by(backend_seek, &cursor, "a"), "b");
        assert_string_equal(found_by(backend_seek, &cursor, "b"), "b");
        assert_string_equal(found_by(backend_seek, &cursor, "c"), "d");
        assert_string_equal(found_by(backend_seek, &cursor, "d\x01"), "da");
        assert_string_equal(found_by(backend_seek, &cursor, "g"), "");
        assert_string_equal(found_by(backend_seek_before, &cursor, "g"), "f");
        assert_string_equal(found_by(backend_seek_before, &cursor, "f"), "da");
        assert_string_equal(found_by(backend_seek_before, &cursor, "da"), "d");
        assert_string_equal(found_by(backend_seek_before, &cursor, "c"), "b");
        assert_string_equal(found_by(backend_seek_before, &cursor, "b"), "");
        assert_string_equal(found_by(backend_seek_before, &cursor, "a"), "");
        backend_cursor_close(&cursor);
        backend_cursor_close(&cursor);

        assert_int_equal(backend_cursor_open(txn, TABLE_READY, &cursor), R_OK);
        assert_string_equal(found_by(backend_seek, &cursor, "a"), "");
        assert_string_equal(found_by(backend_seek_before, &cursor, "a"), "");
        backend_cursor_close(&cursor);
        backend_abort(txn);
}

/* Steps go through all rows in key order and back, values with their keys, in a snapshot and in a write transaction. */
static void walk(struct backend_txn *txn)
{
        static const char *const keys[] = {"b", "d", "da", "f"};
        static const char *const values[] = {"=B", "=D", "=DA", "=F"};
        struct backend_cursor cursor;
        struct bytes found;
        struct bytes value;
        enum result r;
        int i;

        assert_int_equal(backend_cursor_open(txn, TABLE_RECORDS, &cursor), R_OK);
        r = backend_seek(&cursor, BYTES("a"), &found, &value);
        for (i = 0; i < 4; i++) {
                assert_int_equal(r, R_OK);
                assert_true(bytes_equal(found, bytes_of_text(keys[i])));
                assert_true(bytes_equal(value, bytes_of_text(values[i])));
                r = backend_next(&cursor, &found, &value);
        }
        assert_int_equal(r, R_ABSENT);
        r = backend_seek_before(&cursor, BYTES("z"), &found, &value);
        for (i = 3; i >= 0; i--) {
                assert_int_equal(r, R_OK);
                assert_true(bytes_equal(found, bytes_of_text(keys[i])));
                assert_true(bytes_equal(value, bytes_of_text(values[i])));
                r = backend_previous(&cursor, &found, &value);
        }
        assert_int_equal(r, R_ABSENT);
        backend_cursor_close(&cursor);
}

static void test_steps(void **state)
{
        struct backend_txn *txn;

        (void)state;
        put_letters();
        txn = begin_read();
        walk(txn);
        walk(txn);
        backend_abort(txn);
        txn = begin_write();
        walk(txn);
        walk(txn);
        backend_abort(txn);
}

/* A cursor that is kept from one snapshot to the next sees the new one's rows only; several are open at once. */
static void test_cursors_across_snapshots(void **state)
{
        struct backend_txn *reader;
        struct backend_txn *txn;
        struct backend_cursor cursors[3];
        int round;
        size_t i;

        (void)state;
        put_letters();
        reader = begin_read();
        for (round = 0; round < 3; round++) {
                for (i = 0; i < 3; i++)
                        assert_int_equal(backend_cursor_open(reader, TABLE_RECORDS, &cursors[i]), R_OK);
                assert_string_equal(found_by(backend_seek, &cursors[0], "a"), round == 0 ? "b" : "aa");
                assert_string_equal(found_by(backend_seek, &cursors[1], "c"), round < 2 ? "d" : "da");
                assert_string_equal(found_by(backend_seek_before, &cursors[2], "z"), "f");
                for (i = 0; i < 3; i++)
                        backend_cursor_close(&cursors[i]);
                txn = begin_write();
                if (round == 0) put_text(txn, "aa", "AA");
                if (round == 1) assert_int_equal(backend_delete(txn, TABLE_RECORDS, BYTES("d")), R_OK);
                assert_int_equal(backend_commit(txn), R_OK);
                if (round == 1) backend_rest(reader);
                assert_int_equal(backend_renew(reader), R_OK);
        }
        backend_abort(reader);
}

/* A value may be long, with its head in front. */
static void test_long_value(void **state)
{
        static uint8_t body[3000000];
        struct backend_txn *txn = begin_write();
        struct bytes value;

        (void)state;
        memset(body, 'x', sizeof body);
        body[sizeof body - 1] = 'y';
        assert_int_equal(backend_put(txn, TABLE_RECORDS, BYTES("k"), BYTES("head"), bytes_of(body, sizeof body)), R_OK);
        assert_int_equal(backend_commit(txn), R_OK);
        txn = begin_read();
        assert_int_equal(backend_get(txn, TABLE_RECORDS, BYTES("k"), &value), R_OK);
        assert_int_equal(value.len, sizeof body + 4);
        assert_memory_equal(value.data, "head", 4);
        assert_memory_equal(value.data + 4, body, sizeof body);
        backend_abort(txn);
}

/* What a stat says fits what was written: rows by table, and pages that a deletion gave back. */
static void test_stat(void **state)
{
        static uint8_t body[1000000];
        struct backend_stat stat;
        struct backend_txn *txn;

        (void)state;
        put_letters();
        txn = begin_write();
        assert_int_equal(backend_put(txn, TABLE_PURGE, BYTES("p"), BYTES(""), bytes_of(body, sizeof body)), R_OK);
        assert_int_equal(backend_commit(txn), R_OK);
        txn = begin_read();
        backend_stat(txn, &stat);
        backend_abort(txn);
        assert_int_equal(stat.map_size, MAP_SIZE);
        assert_int_equal(stat.rows[TABLE_RECORDS], 4);
        assert_int_equal(stat.rows[TABLE_PURGE], 1);
        assert_int_equal(stat.rows[TABLE_META], 0);
        assert_in_range(stat.used, sizeof body, 2 * sizeof body);
        assert_true(stat.free < sizeof body / 2);

        txn = begin_write();
        assert_int_equal(backend_delete(txn, TABLE_PURGE, BYTES("p")), R_OK);
        assert_int_equal(backend_commit(txn), R_OK);
        txn = begin_read();
        backend_stat(txn, &stat);
        backend_abort(txn);
        assert_int_equal(stat.rows[TABLE_PURGE], 0);
        assert_true(stat.free >= sizeof body);
}

/* A full map fails the transaction and sticks to it; nothing of it happened, and deletions and small writes go on. */
static void test_map_full(void **state)
{
        static uint8_t body[1 << 20];
        struct backend_txn *txn;
        enum result r = R_OK;
        char key[8];
        int i;

        (void)state;
        put_letters();
        txn = begin_write();
        for (i = 0; r == R_OK && i < 100; i++) {
                snprintf(key, sizeof key, "%d", i);
                r = backend_put(txn, TABLE_RECORDS, bytes_of_text(key), BYTES(""), bytes_of(body, sizeof body));
        }
        assert_int_equal(r, R_READ_ONLY);
        assert_in_range(i, 50, 64);
        assert_int_equal(backend_put(txn, TABLE_RECORDS, BYTES("k"), BYTES(""), BYTES("")), R_READ_ONLY);
        assert_int_equal(backend_delete(txn, TABLE_RECORDS, BYTES("b")), R_READ_ONLY);
        assert_int_equal(backend_commit(txn), R_READ_ONLY);

        txn = begin_write();
        assert_true(has(txn, "b", "=B"));
        assert_false(has(txn, "0", "=B"));
        assert_int_equal(backend_delete(txn, TABLE_RECORDS, BYTES("b")), R_OK);
        put_text(txn, "c", "C");
        assert_int_equal(backend_commit(txn), R_OK);
}

/* ---- Failing disks. Each runs in a child with files of its own. ---- */

typedef void child_fn(void);

/* Runs `body` in a child whose assertions become its exit status. */
static void run_child(child_fn *body)
{
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                open_new();
                put_letters();
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP) skip();
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* In a child: cmocka's assertions would jump into the parent's runner. */
#define CHECK(condition)                                                                                               \
        do {                                                                                                           \
                if (condition) break;                                                                                  \
                fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                        \
                _exit(1);                                                                                              \
        } while (0)

static void break_disk(enum syscall_fault fault, int error)
{
        if (!syscall_fault(fault, META_SIZE, error)) _exit(NO_SECCOMP);
}

static bool can_still_read(void)
{
        struct backend_txn *txn;
        bool is_there;

        if (backend_begin_read(backend, &txn) != R_OK) return false;
        is_there = has(txn, "b", "=B") && !has(txn, "new", "=1");
        backend_abort(txn);
        return is_there;
}

static void check_latched(void)
{
        struct backend_txn *txn;

        CHECK(try_to_put("new", "1") == R_COMMIT_UNKNOWN);
        CHECK(backend_begin_write(backend, &txn) == R_COMMIT_UNKNOWN);
}

static void fail_sync(void)
{
        break_disk(FAULT_SYNC, EIO);
        check_latched();
        CHECK(can_still_read());
}

static void fail_pages(void)
{
        break_disk(FAULT_WRITE, EIO);
        check_latched();
        CHECK(can_still_read());
}

static void fail_meta(void)
{
        break_disk(FAULT_WRITE_LOW, EIO);
        check_latched();
        CHECK(!can_still_read());
}

static void fail_meta_for_room(void)
{
        break_disk(FAULT_WRITE_LOW, ENOSPC);
        check_latched();
}

static void fail_meta_for_memory(void)
{
        break_disk(FAULT_WRITE_LOW, ENOMEM);
        check_latched();
}

static void fail_pages_for_memory(void)
{
        break_disk(FAULT_WRITE, ENOMEM);
        CHECK(try_to_put("new", "1") == R_NO_MEMORY);
        CHECK(try_to_put("new", "1") == R_NO_MEMORY);
        CHECK(can_still_read());
}

static void fill_disk(void)
{
        break_disk(FAULT_WRITE, ENOSPC);
        CHECK(try_to_put("new", "1") == R_READ_ONLY);
        CHECK(can_still_read());
        CHECK(try_to_put("new", "1") == R_READ_ONLY);
}

static void fill_quota(void)
{
        break_disk(FAULT_SYNC, EDQUOT);
        CHECK(try_to_put("new", "1") == R_READ_ONLY);
        CHECK(can_still_read());
}

static enum result put_long(void)
{
        static uint8_t body[1 << 20];
        struct backend_txn *txn = NULL;
        enum result r;

        CHECK(backend_begin_write(backend, &txn) == R_OK);
        r = backend_put(txn, TABLE_RECORDS, BYTES("new"), BYTES(""), bytes_of(body, sizeof body));
        CHECK(r == R_OK);
        return backend_commit(txn);
}

/* The file may not grow beyond a bound within the value: the kernel writes a part of it, as on a disk that fills up. */
static void fill_file(void)
{
        struct rlimit limit;

        signal(SIGXFSZ, SIG_IGN);
        CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
        limit.rlim_cur = 300000;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(put_long() == R_READ_ONLY);
        CHECK(can_still_read());
        limit.rlim_cur = limit.rlim_max;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(put_long() == R_OK);
}

static void open_loading(void)
{
        const struct backend_options options = {
                .map_size = MAP_SIZE, .readers_max = 126, .may_create = true, .is_loading = true};
        char why[WHY_SIZE];

        backend_close(backend);
        assert_int_equal(backend_open(dir_fd, &options, &backend, why), R_OK);
}

/* Whoever loads asks the disk once, and hears then what it says. */
static void load_on_broken_disk(void)
{
        open_loading();
        break_disk(FAULT_SYNC, EIO);
        CHECK(try_to_put("new", "1") == R_OK);
        CHECK(try_to_put("newer", "1") == R_OK);
        CHECK(backend_sync(backend) == R_IO);
}

static void test_load_on_broken_disk(void **state)
{
        (void)state;
        run_child(load_on_broken_disk);
}

/* What was loaded, in the order of keys and out of it, some of it twice, is there in the end. */
static void test_loading(void **state)
{
        static const char *const keys[] = {"b", "d", "e", "c", "a", "e", "f"};
        struct backend_txn *txn;
        size_t i;

        (void)state;
        open_loading();
        for (i = 0; i < sizeof keys / sizeof keys[0]; i++)
                assert_int_equal(try_to_put(keys[i], keys[sizeof keys / sizeof keys[0] - 1 - i]), R_OK);
        assert_int_equal(backend_sync(backend), R_OK);
        backend_close(backend);
        open_new();
        txn = begin_read();
        assert_true(has(txn, "a", "=e") && has(txn, "b", "=f") && has(txn, "c", "=c") && has(txn, "d", "=e"));
        assert_true(has(txn, "e", "=d") && has(txn, "f", "=b"));
        backend_abort(txn);
}

/* After a sync that failed nobody writes any more, and reading goes on. */
static void test_failed_sync(void **state)
{
        (void)state;
        run_child(fail_sync);
}

/* The same after pages that could not be written, though the disk has room. */
static void test_failed_pages(void **state)
{
        (void)state;
        run_child(fail_pages);
}

/* After a failed write of the meta page LMDB gives no snapshots either. */
static void test_failed_meta(void **state)
{
        (void)state;
        run_child(fail_meta);
}

/* No room or memory for the meta page leaves the outcome as unknown as any failure there. */
static void test_no_room_for_meta(void **state)
{
        (void)state;
        run_child(fail_meta_for_room);
        unlink(tempdir_file(&dir, "data.mdb"));
        run_child(fail_meta_for_memory);
}

/* No memory for other pages means that nothing happened. */
static void test_no_memory(void **state)
{
        (void)state;
        run_child(fail_pages_for_memory);
}

/* A full disk is no such failure: nothing happened, and the next transaction may try. */
static void test_disk_full(void **state)
{
        (void)state;
        run_child(fill_disk);
}

/* Nor is a quota that shows at the sync. */
static void test_quota(void **state)
{
        (void)state;
        run_child(fill_quota);
}

/* Nor a write that came out short, which LMDB reports as EIO; with room again, it goes on. */
static void test_short_write(void **state)
{
        (void)state;
        run_child(fill_file);
}

/* ---- Opening ---- */

/* Without files there is nothing to open, unless they may be made. */
static void test_absent(void **state)
{
        char why[WHY_SIZE] = "";

        (void)state;
        assert_int_equal(open_with(MAP_SIZE, 126, false, why), R_ABSENT);
        assert_non_null(strstr(why, "data.mdb"));
        assert_null(backend);
        assert_int_not_equal(access(tempdir_file(&dir, "data.mdb"), F_OK), 0);
}

static void write_file(const char *name, const void *data, size_t len, off_t offset)
{
        int fd = open(tempdir_file(&dir, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, len, offset), len);
        close(fd);
}

static void assert_refused(enum result expected)
{
        char why[WHY_SIZE] = "";

        backend = NULL;
        assert_int_equal(open_with(MAP_SIZE, 126, false, why), expected);
        assert_int_not_equal(why[0], '\0');
        assert_null(backend);
}

/* Files that are not LMDB's, are empty, or are no files, are refused with a sentence. */
static void test_garbage(void **state)
{
        static uint8_t garbage[100000];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof garbage; i++)
                garbage[i] = (uint8_t)(i * i >> 3);
        write_file("data.mdb", "", 0, 0);
        assert_refused(R_FORMAT);
        write_file("data.mdb", garbage, 100, 0);
        assert_refused(R_FORMAT);
        write_file("data.mdb", garbage, sizeof garbage, 0);
        assert_refused(R_FORMAT);
        assert_int_equal(unlink(tempdir_file(&dir, "data.mdb")), 0);
        assert_int_equal(mkdir(tempdir_file(&dir, "data.mdb"), 0700), 0);
        assert_refused(R_FORMAT);
}

/* A file of another version of LMDB is refused. The version follows the page's header and the magic. */
static void test_other_version(void **state)
{
        const uint32_t version = 2;

        (void)state;
        backend_close(backend);
        backend = NULL;
        write_file("data.mdb", &version, sizeof version, 20);
        write_file("data.mdb", &version, sizeof version, sysconf(_SC_PAGESIZE) + 20);
        assert_refused(R_FORMAT);
}

/* An LMDB file that somebody else made is refused, whether it lacks our tables or has them with duplicates. */
static void test_other_file(void **state)
{
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi dbi;

        (void)state;
        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
        assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, "other", MDB_CREATE, &dbi), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        assert_refused(R_FORMAT);

        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_set_maxdbs(env, 2), 0);
        assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, "records", MDB_CREATE | MDB_DUPSORT, &dbi), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        assert_refused(R_FORMAT);
}

/* A file that was cut short, anywhere, is called damaged or reads as far as it goes, but never kills the process. */
static void test_cut_short(void **state)
{
        static uint8_t body[5000];
        struct backend_txn *txn = begin_write();
        off_t page_size = sysconf(_SC_PAGESIZE);
        struct stat st;
        char why[WHY_SIZE];
        char key[8];
        int i;

        (void)state;
        for (i = 0; i < 100; i++) {
                snprintf(key, sizeof key, "%d", i);
                assert_int_equal(
                        backend_put(txn, TABLE_RECORDS, bytes_of_text(key), BYTES(""), bytes_of(body, sizeof body)),
                        R_OK);
        }
        assert_int_equal(backend_commit(txn), R_OK);
        backend_close(backend);
        backend = NULL;
        assert_int_equal(stat(tempdir_file(&dir, "data.mdb"), &st), 0);
        while (st.st_size > 2 * page_size) {
                struct bytes value;
                enum result r;

                st.st_size -= 7 * page_size;
                if (st.st_size < 2 * page_size) st.st_size = 2 * page_size;
                assert_int_equal(truncate(tempdir_file(&dir, "data.mdb"), st.st_size), 0);
                r = open_with(MAP_SIZE, 126, false, why);
                if (r != R_OK) {
                        assert_int_equal(r, R_CORRUPT);
                        backend = NULL;
                        continue;
                }
                txn = begin_read();
                for (i = 0; i < 100; i++) {
                        snprintf(key, sizeof key, "%d", i);
                        r = backend_get(txn, TABLE_RECORDS, bytes_of_text(key), &value);
                        if (r == R_OK && value.len > 0) assert_true(value.data[value.len - 1] == 0);
                }
                backend_abort(txn);
                backend_close(backend);
                backend = NULL;
        }
        assert_int_equal(open_with(MAP_SIZE, 126, false, why), R_CORRUPT);
        backend = NULL;
}

static size_t vm_size(void)
{
        char text[64] = "";
        int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

        CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
        close(fd);
        return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void ask_for_too_much(void)
{
        struct rlimit limit = {vm_size() + ((size_t)3 << 30), RLIM_INFINITY};
        struct backend_stat stat;
        struct backend_txn *txn;
        char why[WHY_SIZE];

        backend_close(backend);
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        CHECK(open_with((size_t)1 << 40, 126, false, why) == R_OK);
        CHECK(backend_begin_read(backend, &txn) == R_OK);
        backend_stat(txn, &stat);
        CHECK(stat.map_size == (size_t)2 << 30);
        CHECK(has(txn, "b", "=B"));
}

/* Where the kernel refuses the map's size it is halved until it agrees. */
static void test_map_is_halved(void **state)
{
        (void)state;
        run_child(ask_for_too_much);
}

static void read_and_die(void)
{
        struct backend_txn *txn;

        CHECK(backend_begin_read(backend, &txn) == R_OK);
        raise(SIGKILL);
}

/* The slot of a process that died in a snapshot is freed. */
static void test_dead_reader(void **state)
{
        int status;
        pid_t pid = fork();

        (void)state;
        if (pid == 0) {
                char why[WHY_SIZE];

                CHECK(open_with(MAP_SIZE, 126, false, why) == R_OK);
                read_and_die();
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(backend_check_readers(backend), 1);
        assert_int_equal(backend_check_readers(backend), 0);
}

/* It says what it is, and that it answers at once. */
static void test_version(void **state)
{
        (void)state;
        assert_int_equal(strncmp(backend_version(), "LMDB 0.9.", 9), 0);
        assert_false(backend_may_block());
        assert_true(KEY_SIZE_MAX <= BACKEND_KEY_SIZE_MAX);
}

int main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, make_dir, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_put_get_delete),
                TEST(test_reopen),
                TEST(test_abort),
                TEST(test_snapshots),
                EMPTY(test_reader_slots),
                TEST(test_seeks),
                TEST(test_steps),
                TEST(test_cursors_across_snapshots),
                TEST(test_long_value),
                TEST(test_stat),
                TEST(test_map_full),
                EMPTY(test_failed_sync),
                EMPTY(test_load_on_broken_disk),
                EMPTY(test_loading),
                EMPTY(test_failed_pages),
                EMPTY(test_failed_meta),
                EMPTY(test_no_room_for_meta),
                EMPTY(test_no_memory),
                EMPTY(test_disk_full),
                EMPTY(test_quota),
                EMPTY(test_short_write),
                EMPTY(test_absent),
                EMPTY(test_garbage),
                TEST(test_other_version),
                EMPTY(test_other_file),
                TEST(test_cut_short),
                EMPTY(test_map_is_halved),
                TEST(test_dead_reader),
                TEST(test_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
