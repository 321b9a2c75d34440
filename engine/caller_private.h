/*
 * The inside of a caller, for scope_open.c; and the table of callers that a view keeps, for txn.c.
 */
#ifndef ALLOD_ENGINE_CALLER_PRIVATE_H
#define ALLOD_ENGINE_CALLER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/caller.h"

/* Who is asking, as the identity rows of this transaction say. */
struct caller {
        struct uuid user;
        struct uuid key; /* the id of the key's record */
        bool has_team;
        struct uuid team;
        uint32_t role;   /* of allod.v1.Role; 0 without a team */
        uint32_t rights; /* in the team, or in the user's own scope */
};

/*
 * All that caller_authenticate checks, for a user; the admin plane has none (R_UNAUTHENTICATED). `named` is the team
 * that a request names, or NULL: x-team-id must then be absent or equal (R_BAD_ARGUMENT, after all other checks).
 */
enum result caller_resolve(struct txn *txn, const struct credential *who, const struct uuid *named,
                           struct caller *out) MUST_USE;

/* NULL: no memory. Free accepts NULL. */
struct caller_cache *caller_cache_new(void);
void caller_cache_free(struct caller_cache *cache);

#endif
