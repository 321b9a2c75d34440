/*
 * What the calls of one host share: free calls, the streams that are open, and digests of keys seen lately.
 *
 * Thread: the host's.
 */
#ifndef ALLOD_RPC_CALL_POOL_H
#define ALLOD_RPC_CALL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/caller.h"
#include "engine/result.h"

struct call;

/* Texts as long as the keys we make fit; longer ones are digested each time. */
#define KEY_MEMO_TEXT_SIZE 64
/* Callers that take turns on one loop. 256 are 28 KiB. */
#define KEY_MEMO_COUNT 256

/* The text of a key that was accepted, its SHA-256, and where it came from last. Whether the key still holds is asked
 * each time. No key that was not accepted is kept, so that guesses do not push others out. */
struct key_memo {
        uint64_t address; /* peer's */
        uint8_t len;      /* 0: empty */
        uint8_t text[KEY_MEMO_TEXT_SIZE];
        uint8_t digest[API_KEY_DIGEST_SIZE];
};

struct call_pool {
        struct call *free; /* singly linked */
        size_t free_count;
        size_t open_count;    /* calls not yet closed, those that only the writer still holds included */
        size_t open_max;      /* of those; CALLS_OPEN_MAX unless it is set */
        size_t keyless_count; /* of those, public ones of methods that take no key */
        bool is_full;         /* one was refused, and it has been told */
        struct call *streams;
        struct key_memo memos[KEY_MEMO_COUNT];
};

void call_pool_init(struct call_pool *pool);

/* No call may be open. */
void call_pool_fini(struct call_pool *pool);

/* The digest of a key's text, checked first; R_UNAUTHENTICATED, R_DEFECT as apikey_text_check and apikey_digest.
 * *is_familiar: it was accepted from this address before, and nothing is known against it. */
enum result call_pool_digest(struct call_pool *pool, struct bytes text, uint64_t address,
                             uint8_t digest[API_KEY_DIGEST_SIZE], bool *is_familiar) MUST_USE;

/* It was accepted. */
void call_pool_keep_key(struct call_pool *pool, struct bytes text, uint64_t address,
                        const uint8_t digest[API_KEY_DIGEST_SIZE]);

/* It was not. */
void call_pool_drop_key(struct call_pool *pool, struct bytes text);

#endif
