/* clang-format off */
/*
 * What seals a dump, so that only who has the secret can read it: the key of that one dump, made of the secret and of
 * random bytes, and AES-256-GCM under it.
 *
 *      secret: 32 bytes of a key file ------------------.
 *      secret: a passphrase -- scrypt (RFC 7914), salt --+-- HKDF-SHA256 (RFC 5869), salt, "allod dump 1" -- 48 bytes
 *
 *      the key: bytes 0..31.    what tells whether a secret fits: bytes 32..47, which the dump has in the clear
 *
 * Each dump has a salt of its own, and so a key of its own; so the number of a frame is nonce enough (NIST SP 800-38D,
 * 8.2.1): four bytes that say what for, and the eight of the number. Who sees two dumps cannot tell whether they have
 * the same secret.
 *
 * The key of a dump opens that dump alone. It may go to where the dump is written, which has seen all that is in it;
 * the secret stays where it was given.
 */
/* clang-format on */
#ifndef ALLOD_ENGINE_DUMP_KEY_H
#define ALLOD_ENGINE_DUMP_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"

#define DUMP_SALT_SIZE   32
#define DUMP_KEY_SIZE    32
#define DUMP_KEY_ID_SIZE 16
#define DUMP_TAG_SIZE    16

/* Longer ones are no better, and a whole file taken for one is a mistake. */
#define DUMP_PASSPHRASE_MAX 1024

/* What a person gives. The bytes are borrowed. */
struct dump_secret {
        bool is_passphrase;
        struct bytes bytes; /* DUMP_KEY_SIZE of them, or a passphrase */
};

struct dump_key {
        /* in the dump, in the clear */
        uint8_t salt[DUMP_SALT_SIZE];
        uint8_t id[DUMP_KEY_ID_SIZE];
        uint32_t scrypt_log_n; /* 0: of a key file */
        uint32_t scrypt_p;

        uint8_t key[DUMP_KEY_SIZE];
};

/* A new dump's. R_NO_MEMORY; R_IO: no random bytes. A passphrase takes 64 MiB and some tenths of a second. */
enum result dump_key_make(const struct dump_secret *secret, struct dump_key *out) MUST_USE;

/* Of what the dump has in the clear, key->key. R_UNAUTHENTICATED: the secret does not fit, or is of the other sort.
 * R_CORRUPT: no dump of ours asks for such work. R_NO_MEMORY. */
enum result dump_key_open(const struct dump_secret *secret, struct dump_key *key) MUST_USE;

/* Whether dump_key_open would take the work that it asks for. */
bool dump_key_is_sane(const struct dump_key *key);

/* No trace of it stays. */
void dump_key_wipe(struct dump_key *key);

/* ---- Frames. Thread: one at a time. ---- */

struct dump_cipher;

/* R_NO_MEMORY. Close accepts NULL. */
enum result dump_cipher_open(const struct dump_key *key, struct dump_cipher **out) MUST_USE;
void dump_cipher_close(struct dump_cipher *cipher);

/* Into `out`, which has room for the content and DUMP_TAG_SIZE. What is bound to it: `head`, then `dump_hash`.
 * R_NO_MEMORY. */
enum result dump_cipher_seal(struct dump_cipher *cipher, uint64_t number, const struct bytes bound[2],
                             struct bytes content, uint8_t *out) MUST_USE;

/* Into `out`, which has room for the payload without DUMP_TAG_SIZE. R_CORRUPT: it is not what was sealed; `out` is
 * nothing to be looked at then. R_NO_MEMORY. */
enum result dump_cipher_unseal(struct dump_cipher *cipher, uint64_t number, const struct bytes bound[2],
                               struct bytes payload, uint8_t *out) MUST_USE;

/* Hides an owner in a frame's head, or shows it again. R_NO_MEMORY. */
enum result dump_cipher_mask(struct dump_cipher *cipher, uint64_t number, uint8_t *owner, size_t size) MUST_USE;

#endif
