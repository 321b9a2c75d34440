#include "engine/apikey.h"

#include <string.h>

#include <store/v1/store.pb.h>

#include "engine/field.h"
#include "engine/limits.h"
#include "engine/page.h"
#include "engine/require.h"
#include "engine/scope.h"

/* allod.v1.Key; and what the answers that show keys share */
enum {
        KEY_ID = 1,
        KEY_NAME,
        KEY_CREATED_AT,
        KEY_EXPIRES_AT,
        KEY_LAST_USED_AT,
        KEY_REVOKED_AT
};
enum {
        ANSWER_KEY = 1,
        ANSWER_SECRET
};
enum {
        LIST_KEYS = 1,
        LIST_TOKEN
};

static struct row key_row(struct uuid id)
{
        return (struct row){.kind = ROW_KEY, .id = id};
}

/* Times that are 0 are unset. */
static void reply_time(struct message *reply, uint32_t field, int64_t time_ms)
{
        if (time_ms != 0) message_timestamp(reply, field, time_ms);
}

static void reply_key(struct uuid id, const store_v1_ApiKey *content, uint32_t field, struct message *reply)
{
        size_t mark = message_begin(reply, field);

        message_uuid(reply, KEY_ID, id);
        message_bytes(reply, KEY_NAME, bytes_of_text(content->name));
        reply_time(reply, KEY_CREATED_AT, content->created_at_ms);
        reply_time(reply, KEY_EXPIRES_AT, content->expires_at_ms);
        reply_time(reply, KEY_LAST_USED_AT, content->last_used_at_ms);
        reply_time(reply, KEY_REVOKED_AT, content->revoked_at_ms);
        message_end(reply, mark);
}

static enum result put_key(const struct scope *user, enum change_operation operation, const struct row *row,
                           const store_v1_ApiKey *content)
{
        struct bytes body;
        uint64_t revision;
        enum result r;

        if ((r = message_store(txn_arena(scope_txn(user)), store_v1_ApiKey_fields, content, &body)) != R_OK) return r;
        if ((r = scope_change(user, operation, row, &revision)) != R_OK) return r;
        return scope_put(user, row, revision, body);
}

enum result apikey_check_expiry(struct txn *txn, int64_t expires_ms)
{
        if (expires_ms == 0 || expires_ms > txn_time_ms(txn)) return R_OK;
        return fault_field(txn_fault(txn), "expires_at", "must be in the future");
}

static enum result check_room(const struct scope *user)
{
        const struct row kind = {.kind = ROW_KEY};
        size_t count;
        enum result r;

        if ((r = page_count_rows(user, &kind, USER_KEYS_MAX, &count)) != R_OK) return r;
        if (count < USER_KEYS_MAX) return R_OK;
        return fault_set(txn_fault(scope_txn(user)), R_EXHAUSTED, "The user has %d keys, the most there can be.",
                         USER_KEYS_MAX);
}

enum result apikey_add(const struct scope *user, const struct apikey_new *new_key, struct message *reply)
{
        struct txn *txn = scope_txn(user);
        store_v1_ApiKey content = store_v1_ApiKey_init_zero;
        struct row row = key_row(new_key->id);
        size_t name_len = strlen(new_key->name);
        enum result r;

        REQUIRE(name_len < sizeof content.name);
        memcpy(content.name, new_key->name, name_len + 1);
        content.digest.size = API_KEY_DIGEST_SIZE;
        if ((r = apikey_digest(bytes_of_text(new_key->text), content.digest.bytes)) != R_OK) return r;
        content.created_at_ms = txn_time_ms(txn);
        content.expires_at_ms = new_key->expires_ms;

        if ((r = apikey_check_expiry(txn, new_key->expires_ms)) != R_OK) return r;
        if ((r = check_room(user)) != R_OK) return r;
        r = scope_publish_key(user, content.digest.bytes, new_key->id);
        if (r == R_EXISTS) return fault_set(txn_fault(txn), r, "This secret is a key already.");
        if (r != R_OK) return r;
        if ((r = put_key(user, CHANGE_CREATE, &row, &content)) != R_OK) return r;
        reply_key(new_key->id, &content, ANSWER_KEY, reply);
        return R_OK;
}

enum result apikey_reply_list(const struct scope *user, int32_t page_size, const char *page_token,
                              struct message *reply)
{
        const struct row kind = {.kind = ROW_KEY};
        SCAN_SCOPE struct scan scan = {0};
        store_v1_ApiKey content;
        struct record record;
        struct page page;
        struct row row;
        enum result r;

        if ((r = page_open(&page, user, &kind, true, page_size, page_token, &scan, reply)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK && !page_is_full(&page)) {
                if ((r = message_load(store_v1_ApiKey_fields, record.body, &content)) != R_OK) return r;
                page_row(&page, &row);
                reply_key(row.id, &content, LIST_KEYS, reply);
        }
        return page_end(&page, r, user, ROW_KEY, LIST_TOKEN);
}

enum result apikey_derive(const struct derive *derive)
{
        store_v1_ApiKey content;
        enum result r;

        if ((r = message_load(store_v1_ApiKey_fields, derive->record->body, &content)) != R_OK) return r;
        if (content.digest.size != API_KEY_DIGEST_SIZE) return R_CORRUPT;
        return scope_publish_key(derive->scope, content.digest.bytes, derive->row->id);
}

enum result apikey_cancel(const struct scope *user, struct uuid id)
{
        struct txn *txn = scope_txn(user);
        struct row row = key_row(id);
        store_v1_ApiKey content;
        struct record record;
        enum result r;

        r = scope_get(user, &row, &record);
        if (r == R_ABSENT) return fault_set(txn_fault(txn), r, "There is no such key.");
        if (r != R_OK) return r;
        if ((r = message_load(store_v1_ApiKey_fields, record.body, &content)) != R_OK) return r;
        if (content.revoked_at_ms != 0) return R_OK;
        content.revoked_at_ms = txn_time_ms(txn);
        return put_key(user, CHANGE_UPDATE, &row, &content);
}

/* ---- Methods ---- */

enum result apikey_create_check(const Allod__V1__CreateKeyRequest *request, struct fault *fault)
{
        field_name(fault, "name", request->name);
        field_time(fault, "expires_at", request->expires_at);
        return field_outcome(fault);
}

enum result apikey_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateKeyRequest *request,
                          struct message *reply)
{
        char text[APIKEY_TEXT_LEN + 1];
        struct apikey_new new_key = {
                .id = txn_id(txn),
                .name = request->name,
                .text = text,
                .expires_ms = field_to_time_ms(request->expires_at),
        };
        const struct scope *self;
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        if ((r = apikey_make(txn_seed(txn), text)) != R_OK) return r;
        if ((r = apikey_add(self, &new_key, reply)) != R_OK) return r;
        message_bytes(reply, ANSWER_SECRET, bytes_of_text(text));
        return R_OK;
}

enum result apikey_list_check(const Allod__V1__ListKeysRequest *request, struct fault *fault)
{
        return page_check(request->page_size, fault);
}

enum result apikey_list(struct txn *txn, const struct credential *who, const Allod__V1__ListKeysRequest *request,
                        struct message *reply)
{
        const struct scope *self;
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        return apikey_reply_list(self, request->page_size, request->page_token, reply);
}

enum result apikey_revoke_check(const Allod__V1__RevokeKeyRequest *request, struct fault *fault)
{
        field_uuid(fault, "id", request->id);
        return field_outcome(fault);
}

enum result apikey_revoke(struct txn *txn, const struct credential *who, const Allod__V1__RevokeKeyRequest *request,
                          struct message *reply)
{
        const struct scope *self;
        enum result r;

        (void)reply;
        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        return apikey_cancel(self, field_to_uuid(request->id));
}
