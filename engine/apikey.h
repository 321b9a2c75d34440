/*
 * API keys: KeyService, whose contract is proto/allod/v1/key.proto, and the text of keys.
 *
 *      allod_sk_ 7Qm2rT0bXyLk9vWc4NdZeHfJ5gPsUa1o 2kQx9B
 *      |         |                                CRC-32 (IEEE 802.3) of the 32 characters, base62, most significant
 *      prefix    32 random base62 characters: 190 bits                                   digit first, padded with 0
 *
 * base62 is 0-9 A-Z a-z, in this order. The checksum is no secret: it lets a typo, or a thing that a scanner took for a
 * key, be refused before any look-up. Only keys with our prefix have it; imported ones look as they like. The store
 * knows a key by its SHA-256 alone: 190 random bits need no slow hash.
 *
 * NAME_check and NAME are as in team.h. View: list. The others are updates; create needs the random seed.
 */
#ifndef ALLOD_ENGINE_APIKEY_H
#define ALLOD_ENGINE_APIKEY_H

#include <stdbool.h>
#include <stdint.h>

#include <allod/v1/key.pb-c.h>

#include "engine/bytes.h"
#include "engine/caller.h"
#include "engine/derive.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/txn.h"
#include "engine/uuid.h"

#define APIKEY_PREFIX   "allod_sk_"
#define APIKEY_TEXT_LEN 47

/* R_OK, or R_UNAUTHENTICATED: it has our prefix and is no key we ever made. What lacks the prefix is R_OK if it could
 * have been imported: 1 to 256 visible ASCII characters. Pure; any thread. */
enum result apikey_text_check(struct bytes text) MUST_USE;

/* It starts like the keys we make. */
bool apikey_is_ours(struct bytes text);

/* SHA-256 of the text. Without heap and without locks; any thread. R_DEFECT: the library failed. */
enum result apikey_digest(struct bytes text, uint8_t digest[API_KEY_DIGEST_SIZE]) MUST_USE;

/* The key that a seed makes, NUL-terminated. Pure. */
enum result apikey_make(const uint8_t seed[TXN_SEED_SIZE], char out[APIKEY_TEXT_LEN + 1]) MUST_USE;

enum result apikey_create_check(const Allod__V1__CreateKeyRequest *request, struct fault *fault) MUST_USE;
enum result apikey_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateKeyRequest *request,
                          struct message *reply) MUST_USE;

enum result apikey_list_check(const Allod__V1__ListKeysRequest *request, struct fault *fault) MUST_USE;
enum result apikey_list(struct txn *txn, const struct credential *who, const Allod__V1__ListKeysRequest *request,
                        struct message *reply) MUST_USE;

enum result apikey_revoke_check(const Allod__V1__RevokeKeyRequest *request, struct fault *fault) MUST_USE;
enum result apikey_revoke(struct txn *txn, const struct credential *who, const Allod__V1__RevokeKeyRequest *request,
                          struct message *reply) MUST_USE;

/* ---- What the methods of AdminService share with these. `user` is a scope of the user. ---- */

struct scope;

/* A key to be. */
struct apikey_new {
        struct uuid id;
        const char *name;   /* checked */
        const char *text;   /* the secret */
        int64_t expires_ms; /* 0: never */
};

/* R_BAD_ARGUMENT naming expires_at: it is not in the future. */
enum result apikey_check_expiry(struct txn *txn, int64_t expires_ms) MUST_USE;

/* Write the key and its look-up row, and append the Key as field 1. R_EXISTS, without saying whose: some key has this
 * text. R_EXHAUSTED: USER_KEYS_MAX keys. */
enum result apikey_add(const struct scope *user, const struct apikey_new *new_key, struct message *reply) MUST_USE;

/* Append the keys, newest first, as field 1, and the token as field 2. */
enum result apikey_reply_list(const struct scope *user, int32_t page_size, const char *page_token,
                              struct message *reply) MUST_USE;

/* The look-up row of a restored key. */
derive_fn apikey_derive;

/* R_ABSENT, with a sentence. R_OK also when it is revoked already. */
enum result apikey_cancel(const struct scope *user, struct uuid id) MUST_USE;

#endif
