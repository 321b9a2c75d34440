/*
 * Who is asking.
 *
 * struct credential is what a request claims: plain data that travels between threads and is no right at all. Resolving
 * it (key -> user; team -> member row) happens in each transaction anew; the outcome, struct caller, is incomplete
 * outside caller.c and dies with the transaction.
 *
 * A view keeps a small table (key, team) -> what the identity rows said, stamped with a generation that the writer
 * bumps after any commit that touched a profile, a key or a member row and before it reports that commit. So a change
 * holds from the next request on, and a call costs no identity look-up while nothing changes.
 */
#ifndef ALLOD_ENGINE_CALLER_H
#define ALLOD_ENGINE_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "engine/uuid.h"

struct txn;

#define API_KEY_DIGEST_SIZE 32
#define PEER_SIZE           64

/* What a header said. */
enum claim {
        CLAIM_ABSENT,
        CLAIM_GIVEN,
        CLAIM_MALFORMED, /* repeated, empty, or not one UUID: an error, never read as absent */
};

enum plane {
        PLANE_PUBLIC,
        PLANE_ADMIN, /* the admin listener, its peer checked; or a tool on locked files */
};

struct credential {
        enum plane plane;
        bool has_key;                            /* exactly one well-formed x-api-key was sent */
        uint8_t key_digest[API_KEY_DIGEST_SIZE]; /* SHA-256 of it */
        enum claim team_claim;
        struct uuid team;
        enum claim user_claim; /* x-authenticated-user-id: never a source of identity */
        struct uuid user;
        char peer[PEER_SIZE]; /* "127.0.0.1:50712", "unix:uid=0,pid=77"; for change rows and logs */
};

/*
 * The checks that come before a request's body is looked at, in the contract's order: the key resolves to a user
 * (R_UNAUTHENTICATED), the claimed user is the key's (R_WRONG_USER), the team is one UUID (R_BAD_ARGUMENT), the user is
 * a member of it (R_NOT_MEMBER). The same function stands at the head of every scope constructor, so that nothing
 * depends on whoever called it before. On the admin plane the listener has proved the peer: R_OK, and there is no user.
 */
enum result caller_authenticate(struct txn *txn, const struct credential *who) MUST_USE;

#endif
