/*
 * The inside of a scope, for the files that make it up: scope, scope_open, scan, page_token; and the doors below scopes
 * that caller, chore and purge need.
 */
#ifndef ALLOD_ENGINE_SCOPE_PRIVATE_H
#define ALLOD_ENGINE_SCOPE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/key.h"
#include "engine/require.h"
#include "engine/scope.h"
#include "engine/txn_private.h"

struct scope {
        struct txn *txn;
        uint64_t run;      /* of txn; over: the scope is dead */
        struct key prefix; /* what every key starts with */
        struct owner owner;

        uint32_t rights;
        uint32_t role;
        uint32_t kinds;     /* ROW_BIT of those it may touch */
        bool is_write_only; /* an inbox */
        bool is_bound;      /* rows other than the profile must have the id `bound_id` */
        struct uuid bound_id;

        /* who acts, for change rows */
        struct uuid actor; /* all zero: nobody, for administrators and the system */
        struct uuid key;   /* likewise */
        const char *peer;  /* the credential's; "" for the system */
};

/* What rows a user and a team can have. Change rows are written by scope_change alone. */
#define KINDS_UNDER_APP                                                                                                \
        (ROW_BIT(ROW_APP) | ROW_BIT(ROW_COUNTERS) | ROW_BIT(ROW_GRANT) | ROW_BIT(ROW_JOB_INPUT) | ROW_BIT(ROW_JOB) |   \
         ROW_BIT(ROW_GRANTEE_JOB) | ROW_BIT(ROW_JOB_QUEUE) | ROW_BIT(ROW_JOB_RESULT) | ROW_BIT(ROW_JOB_BY_STATE))
#define KINDS_OF_ANY  (ROW_BIT(ROW_PROFILE) | ROW_BIT(ROW_REQUEST) | ROW_BIT(ROW_CHANGE) | KINDS_UNDER_APP)
#define KINDS_OF_USER (KINDS_OF_ANY | ROW_BIT(ROW_KEY) | ROW_BIT(ROW_MEMBERSHIP) | ROW_BIT(ROW_INVITATION))
#define KINDS_OF_TEAM (KINDS_OF_ANY | ROW_BIT(ROW_MEMBER))

/* At the door of every scope function: the run that proved the scope is still going on. */
static inline void scope_require_live(const struct scope *scope)
{
        txn_require_running(scope->txn, scope->run);
}

/* Live, and the row is one that it may touch. */
void scope_require_row(const struct scope *scope, const struct row *row, bool is_read);

/* A row that came back; the whole isolation is in this comparison. */
static inline void scope_require_prefix(const struct scope *scope, struct bytes key)
{
        REQUIRE(key.len >= scope->prefix.len && memcmp(key.data, scope->prefix.data, scope->prefix.len) == 0);
}

/* R_NO_MEMORY. All kinds of the owner, no rights, no actor. */
enum result scope_new(struct txn *txn, struct owner owner, struct scope **out) MUST_USE;

/* The smallest key after all that start with `prefix`, in place. A prefix always holds a byte below 0xff. */
void key_to_end(struct key *prefix);

/* The first row with a key >= `start` / the first one below `prefix`. *found is its key, good until the next move of
 * cursor 0. R_ABSENT. */
enum result scope_seek_from(struct txn *txn, const struct key *start, struct bytes *found) MUST_USE;
enum result scope_seek(struct txn *txn, const struct key *prefix, struct bytes *found) MUST_USE;

/* Whether the owner is on the purge list: R_OK or R_ABSENT. */
enum result scope_is_purged(struct txn *txn, struct owner owner) MUST_USE;

/* For caller.c: a profile, key or member row, before there is any scope. */
enum result scope_identity_get(struct txn *txn, struct owner owner, const struct row *row, struct record *out) MUST_USE;

/* For chore.c: the system's own work in one owner, all kinds, no rights. */
enum result scope_system(struct txn *txn, struct owner owner, const struct scope **out) MUST_USE;

/* For scope_open.c: scope_change with a reason. */
enum result scope_change_why(const struct scope *scope, enum change_operation operation, const struct row *row,
                             const char *why, uint64_t *revision) MUST_USE;

#endif
