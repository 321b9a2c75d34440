#include "rpc/call_pool.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "engine/apikey.h"
#include "engine/require.h"
#include "rpc/call.h"
#include "rpc/limits.h"

void call_pool_init(struct call_pool *pool)
{
        *pool = (struct call_pool){.open_max = CALLS_OPEN_MAX};
}

void call_pool_fini(struct call_pool *pool)
{
        REQUIRE(pool->open_count == 0);
        while (pool->free != NULL) {
                struct call *call = pool->free;

                pool->free = call->next;
                free(call);
        }
        OPENSSL_cleanse(pool, sizeof *pool);
}

/* By the last eight bytes, which are random in the keys that we make. */
static struct key_memo *memo_of(struct call_pool *pool, struct bytes text)
{
        uint64_t tail = 0;

        memcpy(&tail, text.len < sizeof tail ? text.data : text.data + text.len - sizeof tail,
               text.len < sizeof tail ? text.len : sizeof tail);
        return &pool->memos[(tail * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (KEY_MEMO_COUNT - 1)];
}

/* In constant time, lest the memo tell how much of somebody's key a guess has right. */
static bool is_memo_of(const struct key_memo *memo, struct bytes text)
{
        return text.len > 0 && memo->len == text.len && CRYPTO_memcmp(memo->text, text.data, text.len) == 0;
}

enum result call_pool_digest(struct call_pool *pool, struct bytes text, uint64_t address,
                             uint8_t digest[API_KEY_DIGEST_SIZE], bool *is_familiar)
{
        const struct key_memo *memo = memo_of(pool, text);
        enum result r;

        *is_familiar = false;
        if (is_memo_of(memo, text)) {
                memcpy(digest, memo->digest, sizeof memo->digest);
                *is_familiar = memo->address == address;
                return R_OK;
        }
        if ((r = apikey_text_check(text)) != R_OK) return r;
        return apikey_digest(text, digest);
}

void call_pool_keep_key(struct call_pool *pool, struct bytes text, uint64_t address,
                        const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        struct key_memo *memo = memo_of(pool, text);

        if (text.len > sizeof memo->text) return;
        memo->address = address;
        memo->len = (uint8_t)text.len;
        memcpy(memo->text, text.data, text.len);
        memcpy(memo->digest, digest, sizeof memo->digest);
}

void call_pool_drop_key(struct call_pool *pool, struct bytes text)
{
        struct key_memo *memo = memo_of(pool, text);

        if (is_memo_of(memo, text)) OPENSSL_cleanse(memo, sizeof *memo);
}
