#include "engine/lmdb_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/store.h"
#include "engine/verify.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

#define MAP_SIZE ((size_t)1 << 30)

static struct tempdir dir;
static char first[BACKEND_SENTENCE_SIZE];
static unsigned count;

static void keep(void *context, const char *sentence)
{
        (void)context;
        if (count++ == 0) snprintf(first, sizeof first, "%s", sentence);
}

static enum result check(uint64_t *pages)
{
        int fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        enum result r;

        assert_true(fd >= 0);
        count = 0;
        r = lmdb_tree_check(fd, NULL, keep, pages);
        assert_int_equal(r == R_CORRUPT, count > 0);
        close(fd);
        return r;
}

/* ---- Files made through the engine ---- */

static void put_rows(struct backend_txn *txn, unsigned from, unsigned to, size_t value_len)
{
        static const uint8_t value[40000];
        unsigned i;

        for (i = from; i < to; i++) {
                char key[32];
                int len = snprintf(key, sizeof key, "key number %u", i * 7919 % 10007);

                assert_int_equal(backend_put(txn, i % 5 == 0 ? TABLE_APIKEYS : TABLE_RECORDS,
                                             bytes_of(key, (size_t)len), bytes_of(value, value_len), (struct bytes){0}),
                                 R_OK);
        }
}

static void delete_rows(struct backend_txn *txn, unsigned from, unsigned to)
{
        unsigned i;

        for (i = from; i < to; i++) {
                char key[32];
                int len = snprintf(key, sizeof key, "key number %u", i * 7919 % 10007);

                assert_int_equal(
                        backend_delete(txn, i % 5 == 0 ? TABLE_APIKEYS : TABLE_RECORDS, bytes_of(key, (size_t)len)),
                        R_OK);
        }
}

/* Some transactions: rows, deletions that free pages, large values among them. */
static void fill(unsigned rows)
{
        const struct backend_options options = {.map_size = MAP_SIZE, .readers_max = 8, .may_create = true};
        int fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct backend *backend;
        struct backend_txn *txn;
        char why[256];

        assert_true(fd >= 0);
        assert_int_equal(backend_open(fd, &options, &backend, why), R_OK);
        assert_int_equal(backend_begin_write(backend, &txn), R_OK);
        put_rows(txn, 0, rows, 60);
        assert_int_equal(backend_commit(txn), R_OK);
        assert_int_equal(backend_begin_write(backend, &txn), R_OK);
        delete_rows(txn, 0, rows / 2);
        assert_int_equal(backend_commit(txn), R_OK);
        assert_int_equal(backend_begin_write(backend, &txn), R_OK);
        put_rows(txn, rows, rows + 5, 40000);
        assert_int_equal(backend_commit(txn), R_OK);
        backend_close(backend);
        close(fd);
}

static int set_up(void **state)
{
        (void)state;
        tempdir_make(&dir);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        tempdir_remove(&dir);
        return 0;
}

struct file {
        uint8_t *data;
        size_t len;
};

static struct file read_file(void)
{
        FILE *in = fopen(tempdir_file(&dir, "data.mdb"), "rbe");
        struct file file = {0};
        struct stat st;

        assert_non_null(in);
        assert_int_equal(fstat(fileno(in), &st), 0);
        file.len = (size_t)st.st_size;
        file.data = malloc(file.len);
        assert_non_null(file.data);
        assert_int_equal(fread(file.data, 1, file.len, in), file.len);
        fclose(in);
        return file;
}

static void write_file(const struct file *file)
{
        FILE *out = fopen(tempdir_file(&dir, "data.mdb"), "r+be");

        assert_non_null(out);
        assert_int_equal(fwrite(file->data, 1, file->len, out), file->len);
        assert_int_equal(fclose(out), 0);
}

static void write_byte(size_t at, uint8_t byte)
{
        FILE *out = fopen(tempdir_file(&dir, "data.mdb"), "r+be");

        assert_non_null(out);
        assert_int_equal(fseek(out, (long)at, SEEK_SET), 0);
        assert_int_equal(fputc(byte, out), byte);
        assert_int_equal(fclose(out), 0);
}

/* ---- Tests ---- */

/* What the engine writes is sound: an empty store, small and deep trees, freed pages, large values. */
static void test_sound(void **state)
{
        static const unsigned rows[] = {0, 1, 10, 1000, 10000};
        uint64_t pages, before = 0;
        size_t i;

        (void)state;
        assert_int_equal(check(&pages), R_ABSENT);
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                fill(rows[i]);
                if (check(&pages) != R_OK) fail_msg("%u rows: %s", rows[i], first);
                assert_true(pages > before);
                before = pages;
                tempdir_remove(&dir);
                tempdir_make(&dir);
        }
}

/* A page that is another's, that is led to twice, whose keys do not ascend, or that lies where it should not is found,
 * each by its name. */
static void test_damage(void **state)
{
        struct file file;
        size_t page = 0, at;
        uint64_t pages;

        (void)state;
        fill(1000);
        file = read_file();
        for (at = 2 * 4096; at < file.len && page == 0; at += 4096) /* a leaf that is in use: its change is noticed */
                if (file.data[at + 10] == 2) {
                        write_byte(at, (uint8_t)(file.data[at] + 1));
                        if (check(&pages) == R_CORRUPT) page = at;
                        write_byte(at, file.data[at]);
                }
        assert_true(page > 0);
        assert_non_null(strstr(first, "says that it is page"));

        write_byte(page + 10, 1); /* a branch */
        assert_int_equal(check(&pages), R_CORRUPT);
        assert_non_null(strstr(first, "another kind"));
        write_byte(page + 10, 2);

        write_byte(page + 13, 0xff); /* where its nodes begin */
        assert_int_equal(check(&pages), R_CORRUPT);
        write_byte(page + 13, file.data[page + 13]);

        assert_int_equal(truncate(tempdir_file(&dir, "data.mdb"), (off_t)page), 0);
        assert_int_equal(check(&pages), R_CORRUPT);
        write_file(&file);
        assert_int_equal(check(&pages), R_OK);
        free(file.data);
}

/* Whatever byte of a store's file is changed, looking at it ends well; and what the look lets pass, the engine can open
 * and read to its end. */
static void test_any_byte(void **state)
{
        static const uint8_t masks[] = {0x01, 0x80, 0xff};
        unsigned found = 0, passed = 0;
        char why[STORE_WHY_SIZE];
        struct file file;
        uint64_t pages;
        size_t at;

        (void)state;
        assert_int_equal(store_create(dir.path, true, why), R_OK);
        file = read_file();
        for (at = 0; at < file.len; at++) {
                struct verify verify = {0};
                char reason[256];

                write_byte(at, file.data[at] ^ masks[at % 3]);
                if (check(&pages) == R_CORRUPT) {
                        found++;
                } else {
                        passed++;
                        /* Each opening costs a millisecond; values are in the pages' ends, so all sorts of bytes come.
                         */
                        if (passed % 61 == 0 && verify_dir(dir.path, MAP_SIZE, &verify, reason) != R_OK)
                                assert_true(reason[0] != 0);
                }
                write_byte(at, file.data[at]);
        }
        assert_true(found > 100);
        assert_int_equal(check(&pages), R_OK);
        free(file.data);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_sound, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_any_byte, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
