#include "engine/dump_key.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "engine/require.h"

/* scrypt's N = 2^16, r = 8, p = 2: as strong as the N = 2^17, p = 1 that OWASP names, in half the memory, 64 MiB. */
#define SCRYPT_LOG_N 16
#define SCRYPT_R     8
#define SCRYPT_P     2

/* What a dump may ask for: memory and time of twice that. */
#define SCRYPT_LOG_N_MIN 14
#define SCRYPT_LOG_N_MAX 17
#define SCRYPT_P_MAX     4
#define SCRYPT_MEMORY    ((uint64_t)129 << 20) /* 128 * N * r, and a little */

#define NONCE_SIZE 12

/* A nonce's first four bytes. */
enum {
        NONCE_PAYLOAD = 0,
        NONCE_OWNER = 1,
};

/* ---- Keys ---- */

static enum result stretch(const struct dump_secret *secret, const struct dump_key *key, uint8_t out[DUMP_KEY_SIZE])
{
        int done = EVP_PBE_scrypt((const char *)secret->bytes.data, secret->bytes.len, key->salt, DUMP_SALT_SIZE,
                                  (uint64_t)1 << key->scrypt_log_n, SCRYPT_R, key->scrypt_p, SCRYPT_MEMORY, out,
                                  DUMP_KEY_SIZE);

        return done == 1 ? R_OK : R_NO_MEMORY;
}

static enum result expand(const uint8_t master[DUMP_KEY_SIZE], const struct dump_key *key,
                          uint8_t out[DUMP_KEY_SIZE + DUMP_KEY_ID_SIZE])
{
        EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
        EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)master, DUMP_KEY_SIZE),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)key->salt, DUMP_SALT_SIZE),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)"allod dump 1", 12),
                OSSL_PARAM_construct_end(),
        };
        bool is_done = context != NULL && EVP_KDF_derive(context, out, DUMP_KEY_SIZE + DUMP_KEY_ID_SIZE, params) == 1;

        EVP_KDF_CTX_free(context);
        EVP_KDF_free(kdf);
        return is_done ? R_OK : R_NO_MEMORY;
}

/* Key and id, of the secret and what the dump has in the clear. */
static enum result derive(const struct dump_secret *secret, const struct dump_key *key,
                          uint8_t out[DUMP_KEY_SIZE + DUMP_KEY_ID_SIZE])
{
        uint8_t master[DUMP_KEY_SIZE];
        enum result r = R_OK;

        if (secret->is_passphrase) {
                r = stretch(secret, key, master);
        } else {
                REQUIRE(secret->bytes.len == DUMP_KEY_SIZE);
                memcpy(master, secret->bytes.data, DUMP_KEY_SIZE);
        }
        if (r == R_OK) r = expand(master, key, out);
        OPENSSL_cleanse(master, sizeof master);
        return r;
}

enum result dump_key_make(const struct dump_secret *secret, struct dump_key *out)
{
        uint8_t derived[DUMP_KEY_SIZE + DUMP_KEY_ID_SIZE];
        struct dump_key key = {.scrypt_log_n = secret->is_passphrase ? SCRYPT_LOG_N : 0,
                               .scrypt_p = secret->is_passphrase ? SCRYPT_P : 0};
        enum result r = RAND_bytes(key.salt, DUMP_SALT_SIZE) == 1 ? R_OK : R_IO;

        if (r == R_OK) r = derive(secret, &key, derived);
        if (r == R_OK) {
                memcpy(key.key, derived, DUMP_KEY_SIZE);
                memcpy(key.id, derived + DUMP_KEY_SIZE, DUMP_KEY_ID_SIZE);
                *out = key;
        }
        dump_key_wipe(&key);
        OPENSSL_cleanse(derived, sizeof derived);
        return r;
}

static bool is_stretched(const struct dump_key *key)
{
        return key->scrypt_log_n != 0 || key->scrypt_p != 0;
}

bool dump_key_is_sane(const struct dump_key *key)
{
        return !is_stretched(key) || (key->scrypt_log_n >= SCRYPT_LOG_N_MIN && key->scrypt_log_n <= SCRYPT_LOG_N_MAX &&
                                      key->scrypt_p >= 1 && key->scrypt_p <= SCRYPT_P_MAX);
}

enum result dump_key_open(const struct dump_secret *secret, struct dump_key *key)
{
        uint8_t derived[DUMP_KEY_SIZE + DUMP_KEY_ID_SIZE];
        enum result r;

        if (!dump_key_is_sane(key)) return R_CORRUPT;
        if (is_stretched(key) != secret->is_passphrase) return R_UNAUTHENTICATED;
        if ((r = derive(secret, key, derived)) != R_OK) return r;
        if (CRYPTO_memcmp(derived + DUMP_KEY_SIZE, key->id, DUMP_KEY_ID_SIZE) != 0) r = R_UNAUTHENTICATED;
        if (r == R_OK) memcpy(key->key, derived, DUMP_KEY_SIZE);
        OPENSSL_cleanse(derived, sizeof derived);
        return r;
}

void dump_key_wipe(struct dump_key *key)
{
        OPENSSL_cleanse(key, sizeof *key);
}

/* ---- Frames ---- */

struct dump_cipher {
        EVP_CIPHER_CTX *seal, *unseal;
};

/* Fetched once, and kept for the life of the process: what a fetch does is more than the one lock here. One that fails
 * is tried again by the next who needs it. NULL: it failed. */
static const EVP_CIPHER *aes_256_gcm(void)
{
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        static EVP_CIPHER *fetched;
        const EVP_CIPHER *cipher;

        pthread_mutex_lock(&mutex);
        if (fetched == NULL) fetched = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
        cipher = fetched;
        pthread_mutex_unlock(&mutex);
        return cipher;
}

enum result dump_cipher_open(const struct dump_key *key, struct dump_cipher **out)
{
        struct dump_cipher *cipher = calloc(1, sizeof *cipher);
        const EVP_CIPHER *type = aes_256_gcm();

        if (cipher == NULL) return R_NO_MEMORY;
        cipher->seal = EVP_CIPHER_CTX_new();
        cipher->unseal = EVP_CIPHER_CTX_new();
        if (type == NULL || cipher->seal == NULL || cipher->unseal == NULL ||
            EVP_EncryptInit_ex(cipher->seal, type, NULL, key->key, NULL) != 1 ||
            EVP_DecryptInit_ex(cipher->unseal, type, NULL, key->key, NULL) != 1) {
                dump_cipher_close(cipher);
                return R_NO_MEMORY;
        }
        *out = cipher;
        return R_OK;
}

void dump_cipher_close(struct dump_cipher *cipher)
{
        if (cipher == NULL) return;
        EVP_CIPHER_CTX_free(cipher->seal); /* which wipes the key in it */
        EVP_CIPHER_CTX_free(cipher->unseal);
        free(cipher);
}

static void make_nonce(uint8_t what_for, uint64_t number, uint8_t out[NONCE_SIZE])
{
        size_t i;

        memset(out, 0, NONCE_SIZE);
        out[3] = what_for;
        for (i = 0; i < 8; i++)
                out[4 + i] = (uint8_t)(number >> 8 * (7 - i));
}

enum result dump_cipher_seal(struct dump_cipher *cipher, uint64_t number, const struct bytes bound[2],
                             struct bytes content, uint8_t *out)
{
        EVP_CIPHER_CTX *context = cipher->seal;
        uint8_t nonce[NONCE_SIZE];
        int len, i;

        REQUIRE(content.len < INT_MAX);
        make_nonce(NONCE_PAYLOAD, number, nonce);
        if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) != 1) return R_NO_MEMORY;
        for (i = 0; i < 2; i++)
                if (EVP_EncryptUpdate(context, NULL, &len, bound[i].data, (int)bound[i].len) != 1) return R_NO_MEMORY;
        if (EVP_EncryptUpdate(context, out, &len, content.data, (int)content.len) != 1) return R_NO_MEMORY;
        if (EVP_EncryptFinal_ex(context, out + len, &len) != 1) return R_NO_MEMORY;
        return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, DUMP_TAG_SIZE, out + content.len) == 1 ? R_OK
                                                                                                          : R_NO_MEMORY;
}

enum result dump_cipher_unseal(struct dump_cipher *cipher, uint64_t number, const struct bytes bound[2],
                               struct bytes payload, uint8_t *out)
{
        EVP_CIPHER_CTX *context = cipher->unseal;
        uint8_t nonce[NONCE_SIZE], tag[DUMP_TAG_SIZE];
        size_t content_len;
        int len, i;

        if (payload.len < DUMP_TAG_SIZE || payload.len >= INT_MAX) return R_CORRUPT;
        content_len = payload.len - DUMP_TAG_SIZE;
        memcpy(tag, payload.data + content_len, DUMP_TAG_SIZE);
        make_nonce(NONCE_PAYLOAD, number, nonce);
        if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) != 1) return R_NO_MEMORY;
        for (i = 0; i < 2; i++)
                if (EVP_DecryptUpdate(context, NULL, &len, bound[i].data, (int)bound[i].len) != 1) return R_NO_MEMORY;
        if (EVP_DecryptUpdate(context, out, &len, payload.data, (int)content_len) != 1) return R_NO_MEMORY;
        if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, DUMP_TAG_SIZE, tag) != 1) return R_NO_MEMORY;
        return EVP_DecryptFinal_ex(context, out + len, &len) == 1 ? R_OK : R_CORRUPT;
}

/* Counter mode without the tag: what is bound to the payload is the owner as it lies there. */
enum result dump_cipher_mask(struct dump_cipher *cipher, uint64_t number, uint8_t *owner, size_t size)
{
        uint8_t nonce[NONCE_SIZE];
        int len;

        make_nonce(NONCE_OWNER, number, nonce);
        if (EVP_EncryptInit_ex(cipher->seal, NULL, NULL, NULL, nonce) != 1) return R_NO_MEMORY;
        return EVP_EncryptUpdate(cipher->seal, owner, &len, owner, (int)size) == 1 ? R_OK : R_NO_MEMORY;
}
