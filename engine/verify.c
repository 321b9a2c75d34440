#include "engine/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/guard.h"
#include "engine/message.h"
#include "engine/txn_private.h"
#include "engine/verify_private.h"

#define ARENA_MAX ((size_t)64 << 20) /* one row, unpacked; the largest is a job's input of some MiB */

/* ---- What is said ---- */

static int name_row(const struct walk *walk, const struct row *row, char *out, size_t size)
{
        static const struct uuid none;
        char owner[UUID_TEXT_LEN + 1], app[UUID_TEXT_LEN + 1], id[UUID_TEXT_LEN + 1];
        bool has_id = !uuid_equal(row->id, none);

        uuid_format(walk->owner.id, owner);
        uuid_format(row->app, app);
        uuid_format(row->id, id);
        return snprintf(out, size, "%c:%s%s%s, %s%s%s: ", walk->owner.kind, owner,
                        row_kind_is_under_app(row->kind) ? ", app " : "", row_kind_is_under_app(row->kind) ? app : "",
                        row_kind_name(row->kind), has_id ? " " : "", has_id ? id : "");
}

void verify_found(struct walk *walk, const struct row *row, const char *format, ...)
{
        char sentence[VERIFY_SENTENCE_SIZE];
        va_list arguments;
        int len = 0;

        walk->verify->found_count++;
        if (walk->verify->found_cb == NULL) return;
        if (row != NULL) len = name_row(walk, row, sentence, sizeof sentence);
        va_start(arguments, format);
        vsnprintf(sentence + len, sizeof sentence - (size_t)len, format, arguments);
        va_end(arguments);
        walk->verify->found_cb(walk->verify->context, sentence);
}

/* ---- Looking up ---- */

void verify_key(struct owner owner, const struct row *row, struct key *out)
{
        key_owner(owner, out);
        key_append(out, row);
}

enum result verify_get(struct walk *walk, struct owner owner, const struct row *row, struct bytes *value)
{
        struct key key;

        verify_key(owner, row, &key);
        return backend_get(walk->txn, TABLE_RECORDS, key_bytes(&key), value);
}

bool verify_has(struct walk *walk, struct owner owner, const struct row *row)
{
        struct bytes value;

        return verify_get(walk, owner, row, &value) == R_OK;
}

bool verify_has_prefix_on_purge_list(struct walk *walk, struct owner owner, const struct uuid *app)
{
        struct bytes value;
        struct key prefix;

        key_owner(owner, &prefix);
        if (app != NULL) key_append_app(&prefix, *app);
        return backend_get(walk->txn, TABLE_PURGE, key_bytes(&prefix), &value) == R_OK;
}

/* ---- Records, owner by owner ---- */

static enum result begin_owner(struct walk *walk, struct owner owner)
{
        const struct row profile = {.kind = ROW_PROFILE};

        walk->has_owner = true;
        walk->owner = owner;
        walk->verify->owner_count++;
        walk->profile = (store_v1_Profile)store_v1_Profile_init_zero;
        walk->member_count = walk->member_owner_count = 0;
        walk->owner_is_gone = !verify_has(walk, owner, &profile);
        if (walk->owner_is_gone && !verify_has_prefix_on_purge_list(walk, owner, NULL))
                verify_found(walk, &profile, "is absent, other rows of the owner are there, and no purge is to come");
        return walk->owner_is_gone ? R_OK : verify_changes_load(walk);
}

static void end_app(struct walk *walk)
{
        if (walk->has_app && !walk->owner_is_gone && !walk->app_is_gone) verify_app_end(walk);
        walk->has_app = false;
}

static void end_owner(struct walk *walk)
{
        end_app(walk);
        if (walk->has_owner && !walk->owner_is_gone) verify_owner_end(walk);
        walk->has_owner = false;
}

static void begin_app(struct walk *walk, const struct row *row)
{
        const struct row record = {.kind = ROW_APP, .app = row->app};

        end_app(walk);
        walk->has_app = true;
        walk->app = row->app;
        walk->stored = walk->counted = (store_v1_Counters)store_v1_Counters_init_zero;
        walk->app_is_gone = !verify_has(walk, walk->owner, &record);
        if (walk->app_is_gone && !walk->owner_is_gone && !verify_has_prefix_on_purge_list(walk, walk->owner, &row->app))
                verify_found(walk, &record, "is absent, other rows of the app are there, and no purge is to come");
}

static bool is_hidden(const struct walk *walk, const struct row *row)
{
        return walk->owner_is_gone || (row_kind_is_under_app(row->kind) && walk->app_is_gone);
}

static enum result check_one(struct walk *walk, struct bytes key, struct bytes value)
{
        struct record record = {0};
        struct owner owner;
        struct row row;
        enum result r;

        walk->verify->row_count++;
        if (key_read(key, &owner, &row) != R_OK) {
                verify_found(walk, NULL, "a key of %zu bytes is none of ours", key.len);
                return R_OK;
        }
        if (!walk->has_owner || owner.kind != walk->owner.kind || !uuid_equal(owner.id, walk->owner.id)) {
                end_owner(walk);
                if ((r = begin_owner(walk, owner)) != R_OK) return r;
        }
        if (row_kind_is_under_app(row.kind) && (!walk->has_app || !uuid_equal(row.app, walk->app)))
                begin_app(walk, &row);
        walk->verify->rows[row.kind]++;
        if (!row_kind_has_value(row.kind) && value.len > 0) verify_found(walk, &row, "is an index row with a value");
        if (row_kind_has_value(row.kind) && record_open(key, value, &record) != R_OK) {
                verify_found(walk, &row, "its value does not check out");
                return R_OK;
        }
        if (is_hidden(walk, &row))
                walk->verify->hidden_count++;
        else
                verify_row(walk, &row, &record);
        return R_OK;
}

typedef enum result row_fn(struct walk *walk, struct bytes key, struct bytes value);

/* All rows of a table; their number must be the engine's. */
static enum result walk_table(struct walk *walk, enum backend_table table, const char *name, row_fn *visit)
{
        static const uint8_t lowest[1];
        struct backend_cursor cursor;
        struct backend_stat stat;
        struct bytes key, value;
        uint64_t count = 0;
        enum result r;

        if ((r = backend_cursor_open(walk->txn, table, &cursor)) != R_OK) return r;
        r = backend_seek(&cursor, bytes_of(lowest, sizeof lowest), &key, &value);
        while (r == R_OK) {
                struct arena_mark mark = arena_mark(&walk->arena);

                count++;
                r = visit(walk, key, value);
                arena_reset(&walk->arena, mark);
                if (r == R_OK && walk->verify->step_cb != NULL)
                        r = walk->verify->step_cb(walk->verify->context, key.len + value.len);
                if (r == R_OK) r = backend_next(&cursor, &key, &value);
        }
        backend_cursor_close(&cursor);
        if (r != R_ABSENT) return r;
        backend_stat(walk->txn, &stat);
        if (stat.rows[table] != count)
                verify_found(walk, NULL, "table %s has %ju rows by its own count and %ju to be read", name,
                             (uintmax_t)stat.rows[table], (uintmax_t)count);
        return R_OK;
}

/* ---- The other tables ---- */

static enum result check_api_key(struct walk *walk, struct bytes key, struct bytes value)
{
        struct row row = {.kind = ROW_KEY};
        struct owner owner = {.kind = OWNER_USER};
        struct record record;
        store_v1_ApiKey content;
        struct key row_key;

        walk->verify->row_count++;
        if (key.len != API_KEY_DIGEST_SIZE || record_open(key, value, &record) != R_OK ||
            record.body.len != (size_t)2 * UUID_SIZE) {
                verify_found(walk, NULL, "a row of the table of API keys does not check out");
                return R_OK;
        }
        memcpy(owner.id.bytes, record.body.data, UUID_SIZE);
        memcpy(row.id.bytes, record.body.data + UUID_SIZE, UUID_SIZE);
        walk->owner = owner;
        verify_key(owner, &row, &row_key);
        if (verify_get(walk, owner, &row, &value) != R_OK)
                verify_found(walk, &row, "is absent, but the table of API keys names it");
        else if (record_open(key_bytes(&row_key), value, &record) == R_OK &&
                 message_load(&store_v1_ApiKey_msg, record.body, &content) == R_OK &&
                 !bytes_equal(bytes_of(content.digest.bytes, content.digest.size), key))
                verify_found(walk, &row, "has another digest than the row of the table of API keys that names it");
        return R_OK;
}

static enum result check_purge(struct walk *walk, struct bytes key, struct bytes value)
{
        struct key record = {.len = key.len};
        struct bytes found;
        struct row row;

        (void)value;
        walk->verify->row_count++;
        if (key.len != OWNER_PREFIX_SIZE && key.len != APP_PREFIX_SIZE) {
                verify_found(walk, NULL, "the purge list has a prefix of %zu bytes", key.len);
                return R_OK;
        }
        memcpy(record.data, key.data, key.len);
        record.data[record.len++] = key.len == OWNER_PREFIX_SIZE ? 'P' : '0';
        if (key_read(key_bytes(&record), &walk->owner, &row) != R_OK) {
                verify_found(walk, NULL, "the purge list has a prefix that is none of ours");
                return R_OK;
        }
        if (walk->verify->is_settled) verify_found(walk, &row, "is still to be purged");
        if (backend_get(walk->txn, TABLE_RECORDS, key_bytes(&record), &found) == R_OK)
                verify_found(walk, &row, "is there, and is to be purged");
        return R_OK;
}

static enum result check_meta(struct walk *walk, struct bytes key, struct bytes value)
{
        struct record record;

        walk->verify->row_count++;
        if (key.len == TXN_PIECE_KEY_SIZE)
                return R_OK; /* a trial of the disk's room that a kill left; the next takes it */
        if (!bytes_equal(key, BYTES("store")) && !bytes_equal(key, BYTES("time")))
                verify_found(walk, NULL, "the table meta has a row that nobody knows");
        else if (record_open(key, value, &record) != R_OK)
                verify_found(walk, NULL, "a row of the table meta does not check out");
        return R_OK;
}

static enum result check_nothing(struct walk *walk, struct bytes key, struct bytes value)
{
        (void)key;
        (void)value;
        walk->verify->row_count++;
        verify_found(walk, NULL, "a table that nothing uses yet has a row");
        return R_OK;
}

/* ---- All of it ---- */

static enum result walk_all(struct walk *walk)
{
        enum result r;

        r = walk_table(walk, TABLE_RECORDS, "records", check_one);
        end_owner(walk);
        if (r == R_OK) r = walk_table(walk, TABLE_APIKEYS, "apikeys", check_api_key);
        if (r == R_OK) r = walk_table(walk, TABLE_PURGE, "purge", check_purge);
        if (r == R_OK) r = walk_table(walk, TABLE_META, "meta", check_meta);
        if (r == R_OK) r = walk_table(walk, TABLE_LEASES, "leases", check_nothing);
        if (r == R_OK) r = walk_table(walk, TABLE_DUE, "due", check_nothing);
        if (r == R_OK) r = walk_table(walk, TABLE_READY, "ready", check_nothing);
        return r;
}

enum result verify_tables(struct backend_txn *txn, struct verify *verify)
{
        struct walk walk = {.txn = txn, .verify = verify};
        enum result r;

        memset(verify->rows, 0, sizeof verify->rows);
        verify->row_count = verify->owner_count = verify->hidden_count = verify->found_count = 0;
        arena_init(&walk.arena, NULL, ARENA_MAX);
        r = walk_all(&walk);
        arena_fini(&walk.arena);
        verify_changes_free(&walk.changes);
        return r;
}

enum result verify_run(struct txn *txn, void *arg)
{
        return verify_tables(txn->backend, arg);
}

static void tell_found(void *context, const char *sentence)
{
        struct verify *verify = context;

        verify->found_count++;
        if (verify->found_cb != NULL) verify->found_cb(verify->context, sentence);
}

/* The directory's lock is held. */
static enum result verify_files(int dir_fd, size_t map_size, struct verify *verify, char why[256])
{
        const struct backend_options options = {.map_size = map_size > 0 ? map_size : STORE_MAP_SIZE_DEFAULT,
                                                .readers_max = 16};
        struct backend *backend;
        struct backend_txn *txn;
        enum result r;

        r = backend_check(dir_fd, verify, tell_found, &verify->page_count);
        if (r == R_CORRUPT) return R_OK; /* told; opening it might end us */
        if (r != R_OK) {
                snprintf(why, 256, "%s", result_text(r));
                return r;
        }
        if ((r = backend_open(dir_fd, &options, &backend, why)) != R_OK) return r;
        if ((r = backend_begin_read(backend, &txn)) == R_OK) {
                r = verify_tables(txn, verify);
                backend_abort(txn);
        }
        backend_close(backend);
        if (r != R_OK) snprintf(why, 256, "%s", result_text(r));
        return r;
}

enum result verify_dir(const char *dir, size_t map_size, struct verify *verify, char why[256])
{
        struct store_holder holder;
        int lock_fd = -1;
        enum result r;
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0) {
                snprintf(why, 256, "%s", strerror(errno));
                return R_IO;
        }
        r = faccessat(fd, "data.mdb", F_OK, 0) == 0 ? R_OK : R_ABSENT;
        if (r == R_OK) r = guard_take(fd, &lock_fd, &holder);
        if (r == R_ABSENT)
                snprintf(why, 256, "there is no store");
        else if (r == R_HELD)
                snprintf(why, 256, "it is held by process %" PRId64, holder.pid);
        else if (r != R_OK)
                snprintf(why, 256, "cannot lock it: %s", strerror(errno));
        else
                r = verify_files(fd, map_size, verify, why);
        guard_release(lock_fd);
        close(fd);
        return r;
}
