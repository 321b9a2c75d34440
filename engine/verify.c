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
#include "engine/require.h"
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

enum result verify_seek(struct walk *walk, enum near near, const struct key *from, struct backend_cursor **cursor,
                        struct bytes *key, struct bytes *value)
{
        enum result r;

        *cursor = &walk->near[near];
        if ((*cursor)->handle == NULL && (r = backend_cursor_open(walk->txn, TABLE_RECORDS, *cursor)) != R_OK) return r;
        return backend_seek(*cursor, key_bytes(from), key, value);
}

static void close_near(struct walk *walk)
{
        for (size_t i = 0; i < NEAR_COUNT_MAX; i++)
                backend_cursor_close(&walk->near[i]);
}

enum result verify_get(struct walk *walk, struct owner owner, const struct row *row, struct bytes *value)
{
        struct backend_cursor *cursor;
        struct bytes found, read;
        struct key key;
        enum result r;

        verify_key(owner, row, &key);
        r = verify_seek(walk, row->kind == ROW_CHANGE ? NEAR_CHANGE : NEAR_RECORD, &key, &cursor, &found, &read);
        if (r != R_OK) return r;
        if (!bytes_equal(found, key_bytes(&key))) return R_ABSENT;
        *value = read;
        return R_OK;
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

/* ---- Rows in their order ---- */

enum result verify_step(struct walk *walk, size_t size)
{
        return walk->verify->step_cb == NULL ? R_OK : walk->verify->step_cb(walk->verify->context, size);
}

static bool has_prefix(struct bytes key, struct bytes prefix)
{
        return prefix.len == 0 || bytes_start_with(key, prefix);
}

/* Away from the snapshot, and on in a newer one. */
static enum result change_snapshot(struct walk *walk)
{
        enum result r;

        walk->verify->wants_pause = false;
        close_near(walk);
        backend_rest(walk->txn);
        r = walk->verify->pause_cb(walk->verify->context);
        if (r == R_OK) r = backend_renew(walk->txn);
        walk->was_renewed = true;
        walk->owner_is_known = walk->app_is_known = false;
        return r;
}

/* Rows from `at` on until a pause is wanted: R_OK, and *at is where to go on. R_ABSENT: that was all. */
static enum result visit_some(struct walk *walk, enum backend_table table, struct bytes prefix, struct key *at,
                              verify_row_fn *visit)
{
        struct backend_cursor cursor;
        struct bytes key, value;
        enum result r;

        if ((r = backend_cursor_open(walk->txn, table, &cursor)) != R_OK) return r;
        r = backend_seek(&cursor, key_bytes(at), &key, &value);
        while (r == R_OK && has_prefix(key, prefix)) {
                struct arena_mark mark = arena_mark(&walk->arena);

                if (walk->verify->wants_pause && walk->verify->pause_cb != NULL && key.len <= sizeof at->data) {
                        memcpy(at->data, key.data, key.len);
                        at->len = key.len;
                        backend_cursor_close(&cursor);
                        return R_OK;
                }
                r = visit(walk, key, value);
                arena_reset(&walk->arena, mark);
                if (r == R_OK) r = verify_step(walk, key.len + value.len);
                if (r == R_OK) r = backend_next(&cursor, &key, &value);
        }
        backend_cursor_close(&cursor);
        return r == R_OK ? R_ABSENT : r;
}

enum result verify_range(struct walk *walk, enum backend_table table, struct bytes prefix, verify_row_fn *visit)
{
        struct key at = {.data = {0}, .len = 1};
        enum result r;

        REQUIRE(prefix.len <= sizeof at.data);
        if (prefix.len > 0) {
                memcpy(at.data, prefix.data, prefix.len);
                at.len = prefix.len;
        }
        while ((r = visit_some(walk, table, prefix, &at, visit)) == R_OK) {
                if ((r = change_snapshot(walk)) != R_OK) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* ---- Records, owner by owner ---- */

/* What this snapshot says of the owner. */
static void know_owner(struct walk *walk)
{
        bool is_new = walk->owner_is_new;
        const struct row profile = {.kind = ROW_PROFILE};

        if (walk->owner_is_known) return;
        walk->owner_is_known = true;
        walk->owner_is_new = false;
        walk->owner_is_gone = !verify_has(walk, walk->owner, &profile);
        if (is_new && walk->owner_is_gone && !verify_has_prefix_on_purge_list(walk, walk->owner, NULL))
                verify_found(walk, &profile, "is absent, other rows of the owner are there, and no purge is to come");
}

static enum result know_app(struct walk *walk, const struct row *row)
{
        const struct row record = {.kind = ROW_APP, .app = row->app};
        bool is_new = !walk->has_app || !uuid_equal(row->app, walk->app);

        if (walk->app_is_known && !is_new) return R_OK;
        walk->has_app = walk->app_is_known = true;
        walk->app = row->app;
        walk->app_is_gone = row->kind != ROW_APP && !verify_has(walk, walk->owner, &record);
        if (is_new && walk->app_is_gone && !walk->owner_is_gone &&
            !verify_has_prefix_on_purge_list(walk, walk->owner, &row->app))
                verify_found(walk, &record, "is absent, other rows of the app are there, and no purge is to come");
        return is_new && !walk->app_is_gone && !walk->owner_is_gone ? verify_count_jobs(walk) : R_OK;
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
        bool is_sound;
        enum result r;

        walk->verify->row_count++;
        if (key_read(key, &owner, &row) != R_OK) {
                verify_found(walk, NULL, "a key of %zu bytes is none of ours", key.len);
                return R_OK;
        }
        know_owner(walk);
        if (row_kind_is_under_app(row.kind) && (r = know_app(walk, &row)) != R_OK) return r;
        walk->verify->rows[row.kind]++;
        if (!row_kind_has_value(row.kind) && value.len > 0) verify_found(walk, &row, "is an index row with a value");
        is_sound = !row_kind_has_value(row.kind) || record_open(key, value, &record) == R_OK;
        if (!is_sound) verify_found(walk, &row, "its value does not check out");
        if (is_sound && row_kind_is_primary(row.kind) && !is_hidden(walk, &row)) {
                walk->verify->record_count++;
                walk->verify->checksums += record_checksum(value.data);
        }
        if (row.kind == ROW_CHANGE && !walk->owner_is_gone) return verify_change(walk, &row, is_sound ? &record : NULL);
        if (row.kind == ROW_CHANGE) walk->changes.last = row.revision; /* the owner may be there before the next one */
        if (!is_sound) return R_OK;
        if (is_hidden(walk, &row))
                walk->verify->hidden_count++;
        else
                return verify_row(walk, &row, &record);
        return R_OK;
}

/* All rows that begin as this key does, up to the end of an owner. */
static enum result check_owner(struct walk *walk, const struct key *prefix, bool is_owner)
{
        enum result r;

        walk->owner_is_new = true;
        walk->owner_is_known = walk->app_is_known = walk->has_app = false;
        verify_changes_begin(walk);
        if (is_owner) walk->verify->owner_count++;
        if (is_owner && walk->owner.kind == OWNER_TEAM && (r = verify_count_members(walk)) != R_OK) return r;
        if ((r = verify_range(walk, TABLE_RECORDS, key_bytes(prefix), check_one)) != R_OK) return r;
        return is_owner && !walk->owner_is_gone ? verify_changes_end(walk) : R_OK;
}

static enum result check_foreign(struct walk *walk, size_t len)
{
        walk->verify->row_count++;
        verify_found(walk, NULL, "a key of %zu bytes is none of ours", len);
        return verify_step(walk, len);
}

/* Behind a key, or behind all keys that begin with an owner's prefix. False: nothing can be. */
static bool step_behind(struct key *key)
{
        if (key->len < OWNER_PREFIX_SIZE) {
                key->data[key->len++] = 0;
                return true;
        }
        while (key->len > 0 && key->data[key->len - 1] == 0xff)
                key->len--;
        if (key->len > 0) key->data[key->len - 1]++;
        return key->len > 0;
}

/* The first key from `at` on, cut to an owner's prefix. */
static enum result find_owner(struct walk *walk, struct key *at)
{
        struct backend_cursor *cursor;
        struct bytes key, value;
        enum result r;

        if ((r = verify_seek(walk, NEAR_RECORD, at, &cursor, &key, &value)) != R_OK) return r;
        at->len = key.len < OWNER_PREFIX_SIZE ? key.len : OWNER_PREFIX_SIZE;
        memcpy(at->data, key.data, at->len);
        return R_OK;
}

/* What begins with this, cut to an owner's prefix. */
static enum result check_prefix(struct walk *walk, const struct key *at)
{
        struct key probe = *at;
        struct row row;
        bool is_owner;

        if (at->len < OWNER_PREFIX_SIZE) return check_foreign(walk, at->len);
        probe.data[probe.len++] = 'P';
        is_owner = key_read(key_bytes(&probe), &walk->owner, &row) == R_OK;
        return check_owner(walk, at, is_owner);
}

/* Which owner this walk takes next, counted from 0. */
static size_t claim(struct walk *walk, size_t met)
{
        struct verify_share *share = walk->verify->share;

        return share == NULL ? met : atomic_fetch_add(&share->next, 1);
}

static enum result check_records(struct walk *walk)
{
        struct key at = {.data = {0}, .len = 1};
        size_t claimed = claim(walk, 0);
        size_t met = 0;
        enum result r;

        while ((r = find_owner(walk, &at)) == R_OK) {
                if (met++ == claimed) {
                        if ((r = check_prefix(walk, &at)) != R_OK) return r;
                        claimed = claim(walk, met);
                }
                if (!step_behind(&at)) return R_OK;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* What was read of a table must be the engine's number, when all was read in one snapshot. */
static void compare_count(struct walk *walk, enum backend_table table, const char *name, uint64_t count)
{
        struct backend_stat stat;

        backend_stat(walk->txn, &stat);
        if (!walk->was_renewed && stat.rows[table] != count)
                verify_found(walk, NULL, "table %s has %ju rows by its own count and %ju to be read", name,
                             (uintmax_t)stat.rows[table], (uintmax_t)count);
        walk->was_renewed = false;
}

static enum result walk_table(struct walk *walk, enum backend_table table, const char *name, verify_row_fn *visit)
{
        uint64_t before = walk->verify->row_count;
        enum result r = verify_range(walk, table, (struct bytes){0}, visit);

        if (r == R_OK) compare_count(walk, table, name, walk->verify->row_count - before);
        return r;
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
        const struct verify *verify = walk->verify;
        enum result r;

        r = check_records(walk);
        if (r == R_OK && verify->share == NULL) compare_count(walk, TABLE_RECORDS, "records", verify->row_count);
        if (verify->share != NULL && !verify->is_first) return r;
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
        struct backend_stat stat;
        enum result r;

        backend_stat(txn, &stat);
        verify->row_total = 0;
        for (size_t i = 0; i < TABLE_COUNT; i++)
                verify->row_total += stat.rows[i];
        memset(verify->rows, 0, sizeof verify->rows);
        verify->row_count = verify->owner_count = verify->hidden_count = verify->found_count = 0;
        verify->record_count = verify->checksums = 0;
        arena_init(&walk.arena, NULL, ARENA_MAX);
        r = walk_all(&walk);
        close_near(&walk);
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
