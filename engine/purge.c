#include "engine/purge.h"

#include <string.h>

#include "engine/hold.h"
#include "engine/message.h"
#include "engine/scope_private.h"
#include "engine/txn_private.h"
#include "store/v1/store.pb.h"

/* The first entry of the list that is not of an owner who is held. R_ABSENT: there is none. */
static enum result first_entry(struct txn *txn, struct bytes *found, bool *is_held)
{
        struct key held;
        enum result r;

        *is_held = false;
        if ((r = txn_first(txn, TABLE_PURGE, (struct bytes){0}, found)) != R_OK) return r;
        if (!hold_prefix(txn_store(txn), &held)) return R_OK;
        if (bytes_start_with(*found, key_bytes(&held))) {
                *is_held = true;
                key_to_end(&held);
                return txn_first(txn, TABLE_PURGE, key_bytes(&held), found);
        }
        return R_OK;
}

/* The first prefix on the list that may be removed. R_ABSENT: there is none. */
static enum result first_prefix(struct txn *txn, struct key *out, bool *is_held)
{
        struct bytes found;
        enum result r;

        if ((r = first_entry(txn, &found, is_held)) != R_OK) return r;
        if (found.len != OWNER_PREFIX_SIZE && found.len != APP_PREFIX_SIZE) return R_CORRUPT;
        memcpy(out->data, found.data, found.len);
        out->len = found.len;
        return R_OK;
}

/* Deletion lists a prefix and deletes the record that makes its rows visible, in one transaction. Should that record be
 * there all the same, the rows are somebody's. */
static enum result check_is_gone(struct txn *txn, const struct key *prefix)
{
        struct key key = *prefix;
        struct owner owner;
        struct bytes value;
        struct row row;
        enum result r;

        key.data[key.len++] = prefix->len == OWNER_PREFIX_SIZE ? 'P' : '0';
        if (key_read(key_bytes(&key), &owner, &row) != R_OK) return R_CORRUPT;
        REQUIRE(row.kind == ROW_PROFILE || row.kind == ROW_APP);
        r = txn_get(txn, TABLE_RECORDS, key_bytes(&key), &value);
        if (r == R_OK) return R_CORRUPT;
        return r == R_ABSENT ? R_OK : r;
}

/* The digest's row goes if it still points here. A key's row that cannot be read is only removed: a digest that leads
 * to no row is no key. */
static enum result unpublish_key(struct txn *txn, struct bytes row_key, const struct owner *owner,
                                 const struct row *row)
{
        struct bytes digest;
        struct record record;
        struct bytes value;
        store_v1_ApiKey key;
        enum result r;

        if ((r = txn_get(txn, TABLE_RECORDS, row_key, &value)) != R_OK) return r;
        if (record_open(row_key, value, &record) != R_OK) return R_OK;
        if (message_load(&store_v1_ApiKey_msg, record.body, &key) != R_OK) return R_OK;
        if (key.digest.size != API_KEY_DIGEST_SIZE) return R_OK;
        digest = bytes_of(key.digest.bytes, key.digest.size);
        r = txn_get(txn, TABLE_APIKEYS, digest, &value);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        if (record_open(digest, value, &record) != R_OK || record.body.len != 2 * UUID_SIZE) return R_OK;
        if (memcmp(record.body.data, owner->id.bytes, UUID_SIZE) != 0) return R_OK;
        if (memcmp(record.body.data + UUID_SIZE, row->id.bytes, UUID_SIZE) != 0) return R_OK;
        txn->touches_identity = true;
        return txn_delete(txn, TABLE_APIKEYS, digest);
}

/* The first row under the prefix. R_ABSENT: there is none. */
static enum result remove_first(struct txn *txn, const struct key *prefix)
{
        struct bytes found;
        struct owner owner;
        struct row row;
        struct key key;
        enum result r;

        if ((r = scope_seek(txn, prefix, &found)) != R_OK) return r;
        if (found.len > KEY_SIZE_MAX) return R_CORRUPT;
        memcpy(key.data, found.data, found.len);
        key.len = found.len;
        if (key_read(key_bytes(&key), &owner, &row) == R_OK && row.kind == ROW_KEY) {
                if ((r = unpublish_key(txn, key_bytes(&key), &owner, &row)) != R_OK) return r;
        }
        return txn_delete(txn, TABLE_RECORDS, key_bytes(&key));
}

/* R_ABSENT: nothing is left. */
static enum result remove_rows(struct txn *txn, const struct key *prefix, uint64_t *row_count)
{
        enum result r = R_OK;

        while (*row_count < PURGE_ROWS_MAX && (r = remove_first(txn, prefix)) == R_OK)
                ++*row_count;
        return r;
}

enum result purge_app(const struct scope *scope, struct uuid app, size_t *row_count, bool *has_more)
{
        struct key prefix = scope->prefix;
        uint64_t removed = 0;
        enum result r;

        scope_require_row(scope, &(struct row){.kind = ROW_APP, .app = app}, false);
        key_append_app(&prefix, app);
        if ((r = check_is_gone(scope->txn, &prefix)) != R_OK) return r;
        r = remove_rows(scope->txn, &prefix, &removed);
        if (r != R_OK && r != R_ABSENT) return r;
        *row_count += (size_t)removed;
        *has_more = r == R_OK;
        return R_OK;
}

enum result purge_run(struct txn *txn, void *arg)
{
        struct purge_step *step = arg;
        struct key prefix;
        struct bytes found;
        enum result r;

        *step = (struct purge_step){0};
        r = first_prefix(txn, &prefix, &step->is_held);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        if ((r = check_is_gone(txn, &prefix)) != R_OK) return r;
        r = remove_rows(txn, &prefix, &step->row_count);
        if (r == R_ABSENT) r = txn_delete(txn, TABLE_PURGE, key_bytes(&prefix));
        if (r == R_OK) r = first_entry(txn, &found, &step->is_held);
        step->has_more = r == R_OK;
        return r == R_ABSENT ? R_OK : r;
}
