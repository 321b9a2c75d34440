/*
 * Page tokens: where a list goes on, as text that only this store makes and only the scope it was made in takes.
 *
 *      01  00 00 00 06  00 00 00 00 00 00 00 01  41 01 90 .. 30        9c 4f .. (16 bytes)
 *      |   list         restore epoch            row, as in its key     HMAC-SHA-256, cut to 16 bytes
 *      version                                   without the owner
 *
 * in base64url without padding (RFC 4648, section 5). The HMAC is keyed with the store's token secret and covers the
 * scope's prefix and then all the bytes before it, so a token names no owner and is worth nothing elsewhere. Only the
 * one canonical spelling is taken, so that each changed character is a changed token.
 */
#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "engine/scope.h"
#include "engine/scope_private.h"
#include "engine/store_private.h"

#define VERSION      1
#define HEAD_SIZE    13
#define MAC_SIZE     16
#define CONTENT_MAX  (HEAD_SIZE + KEY_SIZE_MAX)
#define TOKEN_SIZE   (CONTENT_MAX + MAC_SIZE)
#define TEXT_LEN_MAX ((TOKEN_SIZE * 4 + 2) / 3)
#define SHA256_SIZE  32

/* Fetched once: each fetch takes locks that all threads share. Kept for the life of the process. */
static EVP_MAC *hmac;
static pthread_once_t hmac_once = PTHREAD_ONCE_INIT;

static void fetch_hmac(void)
{
        hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

/* R_NO_MEMORY is all that can fail in there. */
static enum result sign(const struct scope *scope, const uint8_t *content, size_t len, uint8_t out[MAC_SIZE])
{
        const struct store *store = scope->txn->store;
        char digest[] = "SHA256";
        const OSSL_PARAM parameters[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                OSSL_PARAM_construct_end(),
        };
        uint8_t whole[SHA256_SIZE];
        size_t whole_len;
        EVP_MAC_CTX *context;
        bool is_done;

        pthread_once(&hmac_once, fetch_hmac);
        if (hmac == NULL) return R_NO_MEMORY;
        context = EVP_MAC_CTX_new(hmac);
        if (context == NULL) return R_NO_MEMORY;
        is_done = EVP_MAC_init(context, store->token_secret, sizeof store->token_secret, parameters) == 1 &&
                  EVP_MAC_update(context, scope->prefix.data, scope->prefix.len) == 1 &&
                  EVP_MAC_update(context, content, len) == 1 &&
                  EVP_MAC_final(context, whole, &whole_len, sizeof whole) == 1;
        EVP_MAC_CTX_free(context);
        if (!is_done) return R_NO_MEMORY;
        memcpy(out, whole, MAC_SIZE);
        return R_OK;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(const uint8_t *data, size_t len, char *out)
{
        uint32_t bits = 0;
        unsigned count = 0;
        size_t i;

        for (i = 0; i < len; i++) {
                bits = bits << 8 | data[i];
                for (count += 8; count >= 6; count -= 6)
                        *out++ = alphabet[bits >> (count - 6) & 0x3f];
        }
        if (count > 0) *out++ = alphabet[bits << (6 - count) & 0x3f];
        *out = '\0';
}

/* R_BAD_ARGUMENT: a character outside the alphabet, or bits left over that are not zero. `out` has room for all that
 * `len` characters can give. */
static enum result decode(const char *text, size_t len, uint8_t *out, size_t *out_len)
{
        uint32_t bits = 0;
        unsigned count = 0;
        size_t size = 0;
        size_t i;

        for (i = 0; i < len; i++) {
                const char *digit = memchr(alphabet, text[i], sizeof alphabet - 1);

                if (digit == NULL) return R_BAD_ARGUMENT;
                bits = bits << 6 | (uint32_t)(digit - alphabet);
                count += 6;
                if (count < 8) continue;
                count -= 8;
                out[size++] = (uint8_t)(bits >> count);
        }
        if (count >= 6 || (bits & ((1u << count) - 1)) != 0) return R_BAD_ARGUMENT;
        *out_len = size;
        return R_OK;
}

/* The bytes that say which list this is, of which restore. */
static void write_head(const struct scope *scope, uint32_t list, uint8_t out[HEAD_SIZE])
{
        uint64_t epoch = scope->txn->store->restore_epoch;
        unsigned i;

        out[0] = VERSION;
        for (i = 0; i < 4; i++)
                out[1 + i] = (uint8_t)(list >> (24 - 8 * i));
        for (i = 0; i < 8; i++)
                out[5 + i] = (uint8_t)(epoch >> (56 - 8 * i));
}

enum result scope_page_token(const struct scope *scope, const struct row *row, uint32_t list, const char **out)
{
        struct key key = scope->prefix;
        uint8_t token[TOKEN_SIZE];
        size_t len = HEAD_SIZE;
        char *text;
        enum result r;

        scope_require_row(scope, row, true);
        key_append(&key, row);
        write_head(scope, list, token);
        memcpy(token + len, key.data + scope->prefix.len, key.len - scope->prefix.len);
        len += key.len - scope->prefix.len;
        if ((r = sign(scope, token, len, token + len)) != R_OK) return r;
        len += MAC_SIZE;
        text = arena_alloc(txn_arena(scope->txn), TEXT_LEN_MAX + 1);
        if (text == NULL) return R_NO_MEMORY;
        encode(token, len, text);
        *out = text;
        return R_OK;
}

static enum result refuse(const struct scope *scope)
{
        return fault_field(txn_fault(scope->txn), "page_token", "must be the next_page_token of this very list");
}

enum result scope_page_resume(const struct scope *scope, const char *token, uint32_t list, struct row *out)
{
        size_t text_len = strnlen(token, TEXT_LEN_MAX + 1);
        struct key key = scope->prefix;
        uint8_t data[TOKEN_SIZE + 3];
        uint8_t head[HEAD_SIZE];
        uint8_t mac[MAC_SIZE];
        struct owner owner;
        struct row row;
        size_t len;
        enum result r;

        scope_require_live(scope);
        if (text_len > TEXT_LEN_MAX || decode(token, text_len, data, &len) != R_OK) return refuse(scope);
        if (len <= HEAD_SIZE + MAC_SIZE) return refuse(scope);
        len -= MAC_SIZE;
        if ((r = sign(scope, data, len, mac)) != R_OK) return r;
        if (CRYPTO_memcmp(mac, data + len, MAC_SIZE) != 0) return refuse(scope);
        write_head(scope, list, head);
        if (memcmp(head, data, HEAD_SIZE) != 0) return refuse(scope);

        len -= HEAD_SIZE;
        if (len > KEY_SIZE_MAX - key.len) return refuse(scope);
        memcpy(key.data + key.len, data + HEAD_SIZE, len);
        key.len += len;
        if (key_read(key_bytes(&key), &owner, &row) != R_OK) return refuse(scope);
        scope_require_row(scope, &row, true);
        *out = row;
        return R_OK;
}
