/*
 * Scans: rows of one kind inside a scope, in key order or backwards.
 *
 * In a view the cursor steps. In a write transaction each step seeks from the last key instead, because rows may have
 * been put or deleted under the cursor since.
 *
 * Apps are found by their prefixes. All rows of an app lie together, its record first:
 *
 *      A app1 0    A app1 1    A app1 j ..    A app2 j ..  A app2 j ..    A app3 0
 *      ^ record                               ^ no record: being purged   ^ record
 *
 * so one seek past a prefix finds the next app, forwards its first row, backwards its last.
 *
 * LIMIT: a scan of apps passes over the prefixes of deleted apps, two seeks each, until the purge chore has removed
 * their rows.
 */
#include <string.h>

#include "engine/scope.h"
#include "engine/scope_private.h"

static unsigned take_cursor(struct txn *txn)
{
        unsigned i = 1;

        while (i < TXN_CURSOR_COUNT && txn->scans_open & 1u << i)
                i++;
        REQUIRE(i < TXN_CURSOR_COUNT);
        txn->scans_open |= (uint8_t)(1u << i);
        return i;
}

enum result scan_open(const struct scope *scope, const struct row *kind, const struct row *from, bool is_reverse,
                      struct scan *out)
{
        scope_require_live(scope);
        REQUIRE((unsigned)kind->kind < ROW_KIND_COUNT && scope->kinds & ROW_BIT(kind->kind));
        REQUIRE(!scope->is_write_only && !scope->is_bound);
        *out = (struct scan){.scope = scope, .kind = kind->kind, .is_reverse = is_reverse, .has_last = from != NULL};
        out->prefix = scope->prefix;
        key_append_kind(&out->prefix, kind);
        if (from != NULL) {
                REQUIRE(from->kind == kind->kind);
                out->last = scope->prefix;
                key_append(&out->last, from);
                REQUIRE(bytes_start_with(key_bytes(&out->last), key_bytes(&out->prefix)));
        }
        out->cursor = take_cursor(scope->txn);
        return R_OK;
}

enum result scan_open_all(const struct scope *scope, struct scan *out)
{
        scope_require_live(scope);
        REQUIRE(!scope->is_write_only && !scope->is_bound);
        *out = (struct scan){.scope = scope, .kind = ROW_KIND_COUNT, .prefix = scope->prefix};
        out->cursor = take_cursor(scope->txn);
        return R_OK;
}

void scan_close(struct scan *scan)
{
        if (scan->cursor == 0) return;
        scope_require_live(scan->scope);
        scan->scope->txn->scans_open &= (uint8_t) ~(1u << scan->cursor);
        scan->cursor = 0;
}

static enum result seek_forward(struct scan *scan, struct backend_cursor *cursor, struct bytes *found,
                                struct bytes *value)
{
        struct key start = scan->has_last ? scan->last : scan->prefix;

        if (scan->has_last) { /* the smallest key after it; for an app, after all of its rows */
                if (scan->kind == ROW_APP) {
                        start.len = APP_PREFIX_SIZE;
                        key_to_end(&start);
                } else {
                        start.data[start.len++] = 0;
                }
        }
        return backend_seek(cursor, key_bytes(&start), found, value);
}

static enum result seek_backward(struct scan *scan, struct backend_cursor *cursor, struct bytes *found,
                                 struct bytes *value)
{
        struct key end = scan->has_last ? scan->last : scan->prefix;

        if (!scan->has_last) {
                key_to_end(&end);
        } else if (scan->kind == ROW_APP) {
                end.len = APP_PREFIX_SIZE;
        }
        return backend_seek_before(cursor, key_bytes(&end), found, value);
}

/* To the neighbour of the last row. For apps: to some row of the next app. */
static enum result step(struct scan *scan, struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        enum result r;

        if (scan->is_placed) {
                r = scan->is_reverse ? backend_previous(cursor, found, value) : backend_next(cursor, found, value);
        } else {
                r = scan->is_reverse ? seek_backward(scan, cursor, found, value)
                                     : seek_forward(scan, cursor, found, value);
        }
        if (r != R_OK) return r;
        if (!bytes_start_with(*found, key_bytes(&scan->prefix))) return R_ABSENT;
        scope_require_prefix(scan->scope, *found);
        if (found->len > KEY_SIZE_MAX - 1) return R_CORRUPT;
        memcpy(scan->last.data, found->data, found->len);
        scan->last.len = found->len;
        scan->has_last = true;
        return R_OK;
}

/* From some row of an app to its record. R_ABSENT: it has none. */
static enum result step_to_record(struct scan *scan, struct backend_cursor *cursor, struct bytes *found,
                                  struct bytes *value)
{
        struct owner owner;
        struct row row;
        struct key key = scan->scope->prefix;
        enum result r;

        if ((r = key_read(*found, &owner, &row)) != R_OK) return r;
        if (row.kind == ROW_APP) return R_OK;
        if (!scan->is_reverse) return R_ABSENT; /* the record would have come first */
        key_append(&key, &(struct row){.kind = ROW_APP, .app = row.app});
        if ((r = backend_seek(cursor, key_bytes(&key), found, value)) != R_OK) return r;
        return bytes_equal(*found, key_bytes(&key)) ? R_OK : R_ABSENT;
}

static enum result next_app(struct scan *scan, struct backend_cursor *cursor, struct bytes *found, struct bytes *value)
{
        enum result r;

        do {
                if ((r = step(scan, cursor, found, value)) != R_OK) return r;
                r = step_to_record(scan, cursor, found, value);
        } while (r == R_ABSENT);
        return r;
}

enum result scan_next(struct scan *scan, struct row *row, struct record *record)
{
        const struct scope *scope = scan->scope;
        struct backend_cursor *cursor;
        struct bytes found;
        struct bytes value;
        struct owner owner;
        struct row read;
        enum result r;

        scope_require_live(scope);
        REQUIRE(scan->cursor != 0);
        if ((r = txn_cursor(scope->txn, scan->cursor, &cursor)) != R_OK) return r;
        r = scan->kind == ROW_APP ? next_app(scan, cursor, &found, &value) : step(scan, cursor, &found, &value);
        if (r != R_OK) return r;
        scope_require_prefix(scope, found);
        if ((r = key_read(found, &owner, &read)) != R_OK) return r;
        if (scan->kind != ROW_KIND_COUNT && read.kind != scan->kind) return R_CORRUPT;
        if (row_kind_has_value(read.kind) && (r = record_open(found, value, record)) != R_OK) return r;
        scan->is_placed = !scope->txn->is_write && scan->kind != ROW_APP;
        *row = read;
        return R_OK;
}
