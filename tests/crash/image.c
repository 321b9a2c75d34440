#include "tests/crash/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/backend.h"
#include "engine/verify.h"
#include "tests/lib/test.h"

#define MAP_SIZE ((size_t)1 << 30)

/* The first sentence stays. */
static void keep(void *context, const char *sentence)
{
        char *why = context;

        if (why[0] == '\0') snprintf(why, IMAGE_WHY_SIZE, "%s", sentence);
}

static void add(XXH3_state_t *hash, struct bytes bytes)
{
        XXH3_64bits_update(hash, &bytes.len, sizeof bytes.len);
        XXH3_64bits_update(hash, bytes.data, bytes.len);
}

static enum result add_table(XXH3_state_t *hash, struct backend_txn *txn, enum backend_table table)
{
        static const uint8_t lowest[1];
        struct backend_cursor cursor;
        struct bytes key, value;
        enum result r;

        XXH3_64bits_update(hash, &table, sizeof table);
        if ((r = backend_cursor_open(txn, table, &cursor)) != R_OK) return r;
        r = backend_seek(&cursor, bytes_of(lowest, sizeof lowest), &key, &value);
        while (r == R_OK) {
                add(hash, key);
                add(hash, value);
                r = backend_next(&cursor, &key, &value);
        }
        backend_cursor_close(&cursor);
        return r == R_ABSENT ? R_OK : r;
}

static enum result add_all(int dir_fd, uint64_t *digest, char why[IMAGE_WHY_SIZE])
{
        const struct backend_options options = {.map_size = MAP_SIZE, .readers_max = 16};
        XXH3_state_t *hash = XXH3_createState();
        struct backend *backend;
        struct backend_txn *txn;
        enum backend_table table;
        enum result r;

        assert_non_null(hash);
        XXH3_64bits_reset(hash);
        r = backend_open(dir_fd, &options, &backend, why);
        if (r == R_OK) {
                r = backend_begin_read(backend, &txn);
                if (r == R_OK) {
                        for (table = 0; r == R_OK && table < TABLE_COUNT; table++)
                                r = add_table(hash, txn, table);
                        backend_abort(txn);
                }
                backend_close(backend);
        }
        *digest = XXH3_64bits_digest(hash);
        XXH3_freeState(hash);
        if (r != R_OK) keep(why, result_text(r));
        return r;
}

bool image_of_store(const char *path, struct image *out, char why[IMAGE_WHY_SIZE])
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t page_count;
        enum result r;

        *out = (struct image){0};
        why[0] = '\0';
        if (fd < 0 || faccessat(fd, "data.mdb", F_OK, 0) != 0) {
                if (fd >= 0) close(fd);
                return true;
        }
        out->is_there = true;
        r = backend_check(fd, why, keep, &page_count);
        if (r == R_OK)
                r = add_all(fd, &out->digest, why);
        else
                keep(why, result_text(r));
        close(fd);
        return r == R_OK;
}

bool image_of_file(const char *path, struct image *out, char why[IMAGE_WHY_SIZE])
{
        static uint8_t data[1 << 20];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len;

        *out = (struct image){0};
        why[0] = '\0';
        if (fd < 0) return true;
        len = read(fd, data, sizeof data);
        close(fd);
        assert_true(len >= 0 && (size_t)len < sizeof data);
        *out = (struct image){true, XXH3_64bits(data, (size_t)len)};
        return true;
}

bool image_verify(const char *path, char why[IMAGE_WHY_SIZE])
{
        struct verify verify = {.context = why, .found_cb = keep};
        char reason[256];

        why[0] = '\0';
        if (verify_dir(path, MAP_SIZE, &verify, reason) != R_OK) keep(why, reason);
        return why[0] == '\0';
}
