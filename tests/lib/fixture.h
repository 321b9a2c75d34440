/*
 * A store with two tenants, the ground that most engine tests stand on.
 *
 *      users   one, two         each with an API key
 *      team    team             of one alone, as its OWNER; default settings
 *
 * The store lies in a new directory under TMPDIR and goes with the fixture. Its clock is the fixture's: time_ms, which
 * the test may move. Failing to set up or to tear down fails the test. Thread: the test's; more views may be opened on
 * the store.
 */
#ifndef ALLOD_TESTS_LIB_FIXTURE_H
#define ALLOD_TESTS_LIB_FIXTURE_H

#include "engine/arena.h"
#include "engine/caller.h"
#include "engine/fault.h"
#include "engine/store.h"
#include "engine/txn.h"
#include "engine/uuid.h"
#include "engine/writer.h"

#define FIXTURE_TIME_MS   INT64_C(1700000000000)
#define FIXTURE_ARENA_MAX ((size_t)64 << 20)
#define FIXTURE_MAP_SIZE  ((size_t)4 << 30)

struct fixture {
        char dir[256];
        struct store *store;
        struct view *view;
        struct arena arena; /* reset before each run */
        struct fault fault; /* of the last run */
        int64_t time_ms;    /* of the next run */
        size_t map_size;    /* for the next fixture_reopen */

        struct uuid one, two, team;
        struct uuid one_key, two_key;     /* ids of their keys */
        struct credential as_one, as_two; /* in their personal scopes */
        struct credential as_team;        /* one, in the team */
        struct credential as_admin;
};

void fixture_init(struct fixture *fixture);
void fixture_fini(struct fixture *fixture);

/* Close the store and open it again, as after a restart. */
void fixture_reopen(struct fixture *fixture);

/* An input for a run of its own: the fixture's arena and fault, its time, a new id, a seed of zeros. */
struct txn_input fixture_input(struct fixture *fixture);

/* Run in a new snapshot; on the writer. */
enum result fixture_view(struct fixture *fixture, txn_fn *run, void *arg);
enum result fixture_update(struct fixture *fixture, txn_fn *run, void *arg);

/* More of the same. The role is one of allod.v1.Role; adding a member a second time changes the role. */
void fixture_add_user(struct fixture *fixture, struct uuid user, struct uuid key,
                      const uint8_t digest[API_KEY_DIGEST_SIZE]);
void fixture_add_team(struct fixture *fixture, struct uuid team);
void fixture_add_member(struct fixture *fixture, struct uuid team, struct uuid user, uint32_t role);

/* The credential of whoever has the key with this digest, without headers. */
struct credential fixture_credential(const uint8_t digest[API_KEY_DIGEST_SIZE]);

#endif
