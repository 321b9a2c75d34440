#include "engine/purge.h"

#include <string.h>

#include "engine/message.h"
#include "engine/scope_private.h"
#include "engine/txn_private.h"
#include "store/v1/store.pb.h"

/* The first prefix on the list. R_ABSENT: the list is empty. */
static enum result first_prefix(struct txn *txn, struct key *out)
{
        struct bytes found;
        enum result r;

        if ((r = txn_first(txn, TABLE_PURGE, &found)) != R_OK) return r;
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

enum result purge_run(struct txn *txn, void *arg)
{
        struct purge_step *step = arg;
        struct key prefix;
        struct bytes found;
        enum result r;

        *step = (struct purge_step){0};
        r = first_prefix(txn, &prefix);
        if (r != R_OK) return r == R_ABSENT ? R_OK : r;
        if ((r = check_is_gone(txn, &prefix)) != R_OK) return r;
        while (step->row_count < PURGE_ROWS_MAX && (r = remove_first(txn, &prefix)) == R_OK)
                step->row_count++;
        if (r == R_ABSENT) r = txn_delete(txn, TABLE_PURGE, key_bytes(&prefix));
        if (r == R_OK) r = txn_first(txn, TABLE_PURGE, &found);
        step->has_more = r == R_OK;
        return r == R_ABSENT ? R_OK : r;
}
