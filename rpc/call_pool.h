/*
 * What the calls of one host share: free calls, the streams that are open, and digests of keys seen lately.
 *
 * Thread: the host's.
 */
#ifndef ALLOD_RPC_CALL_POOL_H
#define ALLOD_RPC_CALL_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/caller.h"
#include "engine/result.h"

struct call;

/* Texts as long as the keys we make fit; longer ones are digested each time. */
#define KEY_MEMO_TEXT_SIZE 64
/* Callers that take turns on one loop. 256 are 27 KiB. */
#define KEY_MEMO_COUNT 256

/* A key's text that has passed apikey_text_check, and its SHA-256. Whether the key exists is asked each time. */
struct key_memo {
        uint8_t len; /* 0: empty */
        uint8_t text[KEY_MEMO_TEXT_SIZE];
        uint8_t digest[API_KEY_DIGEST_SIZE];
};

struct call_pool {
        struct call *free; /* singly linked */
        size_t free_count;
        size_t open_count; /* calls not yet closed, those that only the writer still holds included */
        size_t body_bytes; /* of requests of open calls */
        struct call *streams;
        struct key_memo memos[KEY_MEMO_COUNT];
};

void call_pool_init(struct call_pool *pool);

/* No call may be open. */
void call_pool_fini(struct call_pool *pool);

/* The digest of a key's text, checked first; R_UNAUTHENTICATED, R_NO_MEMORY as apikey_text_check and apikey_digest. */
enum result call_pool_digest(struct call_pool *pool, struct bytes text, uint8_t digest[API_KEY_DIGEST_SIZE]) MUST_USE;

#endif
