/*
 * What the loops of one server share, so that a bound on peers holds for the process: connections of each address,
 * guessed keys, bytes of bodies, memory of calls. Of that memory each key has a share, and so have all who need none
 * together: no one key's holder can take all, and nobody without.
 *
 * The shares are CALL_SHARES_MAX counters, and a key has the one that its digest says; two keys may meet in one, and
 * then share it.
 *
 * Thread: any, after commons_init. Nothing here is touched by a call of ordinary size whose key is known.
 */
#ifndef ALLOD_RPC_COMMONS_H
#define ALLOD_RPC_COMMONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/caller.h"
#include "engine/result.h"
#include "rpc/addresses.h"
#include "rpc/guesses.h"
#include "rpc/limits.h"

/* What an operator may set. 0: what limits.h says; -1, where there is no bound: none. */
struct bounds {
        int connections;             /* CONNECTIONS_MAX */
        int connections_per_address; /* a part of those, CONNECTIONS_SHARE; or -1 */
        int guesses_per_minute;      /* GUESSES_PER_MINUTE; or -1 */
        bool has_loopback;           /* bounds for addresses hold for loopback, too */
        size_t body_bytes;           /* BODIES_MAX */
        int64_t head_ms;             /* HEAD_MS */
        int64_t body_ms;             /* BODY_MS */
        int64_t write_ms;            /* WRITE_MS */
        int64_t idle_ms;             /* H1_IDLE_MS, H2_IDLE_MS */
};

struct commons {
        size_t connections_max;
        struct addresses addresses;
        struct guesses guesses;
        atomic_size_t body_bytes; /* of requests that are not small and not answered */
        size_t body_bytes_max;
        struct arena_budget held; /* by calls, beyond their first chunks */
        struct arena_budget shares[CALL_SHARES_MAX];
        struct arena_budget keyless_share; /* of all public calls that need no key */
};

/* R_NO_MEMORY, R_DEFECT: no random numbers. */
enum result commons_new(const struct bounds *bounds, struct commons **out) MUST_USE;

/* No call is open. Accepts NULL. */
void commons_free(struct commons *commons);

/* Of the key. */
static inline struct arena_budget *commons_share(struct commons *commons, const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        return &commons->shares[(digest[0] << 8 | digest[1]) % CALL_SHARES_MAX];
}

#endif
