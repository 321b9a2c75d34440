/*
 * Rows through a scope: the prefix goes before every key, values are sealed and opened, puts are counted, and each
 * primary record touched leaves a change row.
 */
#include "engine/scope.h"

#include <string.h>

#include "engine/hold.h"
#include "engine/message.h"
#include "engine/scope_private.h"
#include "store/v1/store.pb.h"

_Static_assert(ROW_KIND_COUNT <= 32, "a mask of kinds is 32 bits");

/* The rows that say who may do what: after a commit that touched one, views look up callers again. */
#define KINDS_OF_IDENTITY (ROW_BIT(ROW_PROFILE) | ROW_BIT(ROW_KEY) | ROW_BIT(ROW_MEMBER))

enum result scope_new(struct txn *txn, struct owner owner, struct scope **out)
{
        struct scope *scope = arena_alloc(txn_arena(txn), sizeof *scope);

        if (scope == NULL) return R_NO_MEMORY;
        *scope = (struct scope){
                .txn = txn,
                .run = txn->run,
                .owner = owner,
                .kinds = owner.kind == OWNER_TEAM ? KINDS_OF_TEAM : KINDS_OF_USER,
                .peer = "",
        };
        key_owner(owner, &scope->prefix);
        *out = scope;
        return R_OK;
}

enum result scope_system(struct txn *txn, struct owner owner, const struct scope **out)
{
        struct scope *scope;
        enum result r;

        if ((r = scope_new(txn, owner, &scope)) != R_OK) return r;
        *out = scope;
        return R_OK;
}

void scope_require_row(const struct scope *scope, const struct row *row, bool is_read)
{
        scope_require_live(scope);
        REQUIRE((unsigned)row->kind < ROW_KIND_COUNT && scope->kinds & ROW_BIT(row->kind));
        REQUIRE(!(is_read && scope->is_write_only));
        if (scope->is_bound && row->kind != ROW_PROFILE) REQUIRE(uuid_equal(row->id, scope->bound_id));
}

/* ---- What a scope says about itself ---- */

struct txn *scope_txn(const struct scope *scope)
{
        scope_require_live(scope);
        return scope->txn;
}

struct owner scope_owner(const struct scope *scope)
{
        scope_require_live(scope);
        return scope->owner;
}

struct uuid scope_actor(const struct scope *scope)
{
        scope_require_live(scope);
        return scope->actor;
}

uint32_t scope_role(const struct scope *scope)
{
        scope_require_live(scope);
        return scope->role;
}

bool scope_has(const struct scope *scope, enum right right)
{
        scope_require_live(scope);
        return (scope->rights & right) == right;
}

enum result scope_require(const struct scope *scope, enum right right)
{
        if (scope_has(scope, right)) return R_OK;
        return fault_set(txn_fault(scope->txn), R_FORBIDDEN, "You do not have the %s permission in this team.",
                         right_name(right));
}

/* ---- Rows ---- */

static void key_of_row(const struct scope *scope, const struct row *row, struct key *out)
{
        memcpy(out->data, scope->prefix.data, scope->prefix.len);
        out->len = scope->prefix.len;
        key_append(out, row);
}

/* What is read is proved to lie under the prefix by the checksum, which covers the key it was asked by. */
enum result scope_get(const struct scope *scope, const struct row *row, struct record *out)
{
        struct bytes value;
        struct key key;
        enum result r;

        scope_require_row(scope, row, true);
        REQUIRE(row_kind_has_value(row->kind));
        key_of_row(scope, row, &key);
        if ((r = txn_get(scope->txn, TABLE_RECORDS, key_bytes(&key), &value)) != R_OK) return r;
        return record_open(key_bytes(&key), value, out);
}

enum result scope_exists(const struct scope *scope, const struct row *row)
{
        struct bytes value;
        struct key key;

        scope_require_row(scope, row, true);
        key_of_row(scope, row, &key);
        return txn_get(scope->txn, TABLE_RECORDS, key_bytes(&key), &value);
}

enum result scope_app_exists(const struct scope *scope, struct uuid app)
{
        return scope_exists(scope, &(struct row){.kind = ROW_APP, .app = app});
}

enum result scope_identity_get(struct txn *txn, struct owner owner, const struct row *row, struct record *out)
{
        struct bytes value;
        struct key key;
        enum result r;

        REQUIRE(ROW_BIT(row->kind) & KINDS_OF_IDENTITY);
        key_owner(owner, &key);
        key_append(&key, row);
        if ((r = txn_get(txn, TABLE_RECORDS, key_bytes(&key), &value)) != R_OK) return r;
        return record_open(key_bytes(&key), value, out);
}

static void note_kind(struct txn *txn, enum row_kind kind)
{
        if (ROW_BIT(kind) & KINDS_OF_IDENTITY) txn->touches_identity = true;
}

static enum result put_row(const struct scope *scope, const struct row *row, uint64_t revision, struct bytes body)
{
        uint8_t header[RECORD_HEADER_SIZE];
        struct key key;

        key_of_row(scope, row, &key);
        note_kind(scope->txn, row->kind);
        if (!row_kind_has_value(row->kind)) {
                REQUIRE(body.len == 0);
                return txn_put(scope->txn, TABLE_RECORDS, key_bytes(&key), (struct bytes){0}, body);
        }
        record_seal(key_bytes(&key), revision, body, header);
        return txn_put(scope->txn, TABLE_RECORDS, key_bytes(&key), bytes_of(header, sizeof header), body);
}

enum result scope_put(const struct scope *scope, const struct row *row, uint64_t revision, struct bytes body)
{
        scope_require_row(scope, row, false);
        REQUIRE(row->kind != ROW_CHANGE);
        return put_row(scope, row, revision, body);
}

enum result scope_put_restored(const struct scope *scope, const struct row *row, uint64_t revision, struct bytes body)
{
        scope_require_live(scope);
        REQUIRE(store_is_building(scope->txn->store) && row_kind_is_primary(row->kind));
        if (!(scope->kinds & ROW_BIT(row->kind))) return R_CORRUPT;
        if (row->kind == ROW_CHANGE && row->revision != revision) return R_CORRUPT;
        return put_row(scope, row, revision, body);
}

enum result scope_delete(const struct scope *scope, const struct row *row)
{
        struct key key;
        enum result r;

        scope_require_row(scope, row, false);
        REQUIRE(row->kind != ROW_CHANGE);
        key_of_row(scope, row, &key);
        note_kind(scope->txn, row->kind);
        r = txn_delete(scope->txn, TABLE_RECORDS, key_bytes(&key));
        return r == R_ABSENT ? R_OK : r;
}

/* ---- Neighbours ---- */

void key_to_end(struct key *prefix)
{
        while (prefix->len > 0 && prefix->data[prefix->len - 1] == 0xff)
                prefix->len--;
        REQUIRE(prefix->len > 0);
        prefix->data[prefix->len - 1]++;
}

enum result scope_seek_from(struct txn *txn, const struct key *start, struct bytes *found)
{
        struct backend_cursor *cursor;
        struct bytes value;
        enum result r;

        if ((r = txn_cursor(txn, 0, &cursor)) != R_OK) return r;
        return backend_seek(cursor, key_bytes(start), found, &value);
}

enum result scope_seek(struct txn *txn, const struct key *prefix, struct bytes *found)
{
        struct bytes key;
        enum result r;

        if ((r = scope_seek_from(txn, prefix, &key)) != R_OK) return r;
        if (!bytes_start_with(key, key_bytes(prefix))) return R_ABSENT;
        *found = key;
        return R_OK;
}

enum result scope_get_app(const struct scope *scope, struct uuid app, struct record *record, struct record *counters)
{
        const struct row row = {.kind = ROW_APP, .app = app};
        struct backend_cursor *cursor;
        struct record app_record;
        struct bytes value;
        struct bytes found;
        struct row next;
        struct key key;
        enum result r;

        scope_require_row(scope, &row, true);
        if ((r = txn_cursor(scope->txn, 0, &cursor)) != R_OK) return r;
        key_of_row(scope, &row, &key);
        if ((r = backend_seek(cursor, key_bytes(&key), &found, &value)) != R_OK) return r;
        if (!bytes_equal(found, key_bytes(&key))) return R_ABSENT;
        scope_require_prefix(scope, found);
        if ((r = record_open(key_bytes(&key), value, &app_record)) != R_OK) return r;

        next = (struct row){.kind = ROW_COUNTERS, .app = app};
        key_of_row(scope, &next, &key);
        *counters = (struct record){0};
        r = backend_next(cursor, &found, &value);
        if (r == R_OK && bytes_equal(found, key_bytes(&key))) {
                scope_require_prefix(scope, found);
                r = record_open(key_bytes(&key), value, counters);
        }
        if (r != R_OK && r != R_ABSENT) return r;
        *record = app_record;
        return R_OK;
}

/* ---- Revisions and changes ---- */

static struct txn_revision *revision_slot(const struct scope *scope)
{
        return &scope->txn->revisions[scope->prefix.data[OWNER_PREFIX_SIZE - 1] % TXN_REVISION_COUNT];
}

/* The last row of an owner is its last change, if it has one. */
static enum result seek_revision(const struct scope *scope, uint64_t *out)
{
        struct backend_cursor *cursor;
        struct bytes found;
        struct bytes value;
        struct owner owner;
        struct row row;
        struct key end;
        enum result r;

        if ((r = txn_cursor(scope->txn, 0, &cursor)) != R_OK) return r;
        key_owner(scope->owner, &end);
        key_to_end(&end);
        r = backend_seek_before(cursor, key_bytes(&end), &found, &value);
        if (r != R_OK && r != R_ABSENT) return r;
        *out = 0;
        if (r == R_ABSENT || !bytes_start_with(found, bytes_of(scope->prefix.data, OWNER_PREFIX_SIZE))) return R_OK;
        if ((r = key_read(found, &owner, &row)) != R_OK) return r;
        if (row.kind == ROW_CHANGE) *out = row.revision;
        return R_OK;
}

enum result scope_revision(const struct scope *scope, uint64_t *revision)
{
        struct txn_revision *slot = revision_slot(scope);
        uint64_t found;
        enum result r;

        scope_require_live(scope);
        if (slot->snapshot == scope->txn->snapshot && memcmp(slot->owner, scope->prefix.data, OWNER_PREFIX_SIZE) == 0) {
                *revision = slot->revision;
                return R_OK;
        }
        if ((r = seek_revision(scope, &found)) != R_OK) return r;
        memcpy(slot->owner, scope->prefix.data, OWNER_PREFIX_SIZE);
        slot->snapshot = scope->txn->snapshot;
        slot->revision = found;
        *revision = found;
        return R_OK;
}

/* Set a field of bytes to an id, or to nothing for none. */
static void set_id(pb_size_t *size, uint8_t *bytes, struct uuid id)
{
        static const struct uuid none;

        if (uuid_equal(id, none)) return;
        *size = UUID_SIZE;
        memcpy(bytes, id.bytes, UUID_SIZE);
}

/* Copy a text, cut between characters where it does not fit. */
static void copy_text(char *out, size_t size, const char *text)
{
        size_t len = strnlen(text, size);

        if (len == size) {
                len--;
                while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
                        len--;
        }
        memcpy(out, text, len);
        out[len] = '\0';
}

static void fill_change(const struct scope *scope, enum change_operation operation, const struct row *row,
                        const char *why, store_v1_Change *out)
{
        struct uuid id = row->kind == ROW_APP ? row->app : row->kind == ROW_GRANT ? row->owner.id : row->id;

        *out = (store_v1_Change)store_v1_Change_init_zero;
        out->time_ms = txn_time_ms(scope->txn);
        out->operation = operation;
        out->kind = row->kind;
        set_id(&out->id.size, out->id.bytes, id);
        if (row->kind != ROW_APP) set_id(&out->app.size, out->app.bytes, row->app);
        set_id(&out->actor.size, out->actor.bytes, scope->actor);
        set_id(&out->key.size, out->key.bytes, scope->key);
        copy_text(out->peer, sizeof out->peer, scope->peer);
        copy_text(out->why, sizeof out->why, why);
}

/* As the owner's change `revision`, above all that there are. */
static enum result put_change(const struct scope *scope, enum change_operation operation, const struct row *row,
                              const char *why, uint64_t revision)
{
        const struct row change = {.kind = ROW_CHANGE, .revision = revision};
        store_v1_Change content;
        struct bytes body;
        enum result r;

        REQUIRE(row_kind_is_primary(row->kind) && row->kind != ROW_CHANGE);
        fill_change(scope, operation, row, why, &content);
        if ((r = message_store(txn_arena(scope->txn), &store_v1_Change_msg, &content, &body)) != R_OK) return r;
        if ((r = put_row(scope, &change, revision, body)) != R_OK) return r;
        revision_slot(scope)->revision = revision;
        return R_OK;
}

enum result scope_change_why(const struct scope *scope, enum change_operation operation, const struct row *row,
                             const char *why, uint64_t *revision)
{
        uint64_t last;
        enum result r;

        if ((r = scope_revision(scope, &last)) != R_OK) return r;
        if ((r = put_change(scope, operation, row, why, last + 1)) != R_OK) return r;
        *revision = last + 1;
        return R_OK;
}

/* Revisions of an owner that was made in the ordinary way count from 1, those of one that was restored from the time of
 * that. Time does not go back, and nobody changes an owner a million times in a millisecond. */
#define CHANGES_PER_MS_BITS 20

enum result scope_begin_restore(const struct scope *scope, const char *why)
{
        uint64_t leap = (uint64_t)txn_time_ms(scope->txn) << CHANGES_PER_MS_BITS;
        uint64_t last;
        enum result r;

        if ((r = scope_revision(scope, &last)) != R_OK) return r;
        return put_change(scope, CHANGE_RESTORE, &(struct row){.kind = ROW_PROFILE}, why,
                          leap > last ? leap : last + 1);
}

enum result scope_change(const struct scope *scope, enum change_operation operation, const struct row *row,
                         uint64_t *revision)
{
        scope_require_row(scope, row, false);
        return scope_change_why(scope, operation, row, "", revision);
}

/* ---- The purge list ---- */

static enum result list_purge(const struct scope *scope, const struct key *prefix)
{
        struct txn *txn = scope->txn;

        txn->touches_purge = true;
        return txn_put(txn, TABLE_PURGE, key_bytes(prefix), (struct bytes){0}, (struct bytes){0});
}

enum result scope_purge_app(const struct scope *scope, struct uuid app)
{
        struct key prefix = scope->prefix;

        scope_require_row(scope, &(struct row){.kind = ROW_APP, .app = app}, false);
        key_append_app(&prefix, app);
        return list_purge(scope, &prefix);
}

enum result scope_purge_owner(const struct scope *scope)
{
        scope_require_live(scope);
        REQUIRE(scope->prefix.len == OWNER_PREFIX_SIZE && !scope->is_bound);
        return list_purge(scope, &scope->prefix);
}

static enum result keep(const struct scope *scope, const struct key *prefix)
{
        enum result r = txn_delete(scope->txn, TABLE_PURGE, key_bytes(prefix));

        return r == R_ABSENT ? R_OK : r;
}

enum result scope_keep_app(const struct scope *scope, struct uuid app)
{
        struct key prefix = scope->prefix;

        scope_require_row(scope, &(struct row){.kind = ROW_APP, .app = app}, false);
        key_append_app(&prefix, app);
        return keep(scope, &prefix);
}

enum result scope_keep_owner(const struct scope *scope)
{
        scope_require_live(scope);
        REQUIRE(scope->prefix.len == OWNER_PREFIX_SIZE && !scope->is_bound);
        return keep(scope, &scope->prefix);
}

enum result scope_is_purged(struct txn *txn, struct owner owner)
{
        struct bytes value;
        struct key prefix;

        key_owner(owner, &prefix);
        return txn_get(txn, TABLE_PURGE, key_bytes(&prefix), &value);
}

/* ---- API keys ---- */

enum result scope_key_is_taken(const struct scope *scope, const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        struct bytes value;

        scope_require_live(scope);
        REQUIRE(hold_is_on(scope->txn->store, scope->owner));
        return txn_get(scope->txn, TABLE_APIKEYS, bytes_of(digest, API_KEY_DIGEST_SIZE), &value);
}

enum result scope_publish_key(const struct scope *scope, const uint8_t digest[API_KEY_DIGEST_SIZE], struct uuid key)
{
        struct bytes name = bytes_of(digest, API_KEY_DIGEST_SIZE);
        uint8_t header[RECORD_HEADER_SIZE];
        uint8_t body[2 * UUID_SIZE];
        struct bytes value;
        enum result r;

        scope_require_row(scope, &(struct row){.kind = ROW_KEY, .id = key}, false);
        r = txn_get(scope->txn, TABLE_APIKEYS, name, &value);
        if (r != R_ABSENT) return r == R_OK ? R_EXISTS : r;
        memcpy(body, scope->owner.id.bytes, UUID_SIZE);
        memcpy(body + UUID_SIZE, key.bytes, UUID_SIZE);
        record_seal(name, 0, bytes_of(body, sizeof body), header);
        scope->txn->touches_identity = true;
        return txn_put(scope->txn, TABLE_APIKEYS, name, bytes_of(header, sizeof header), bytes_of(body, sizeof body));
}
