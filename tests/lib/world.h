/*
 * A store in a directory of its own, people in it, and calls of engine methods as the server makes them: the check of
 * the request's fields, then a view or an update. What goes wrong with the world itself fails the test.
 *
 * Methods are told apart by a table row that WORLD_METHOD makes:
 *
 *      WORLD_METHOD(team_get, false);
 *      ...
 *      assert_int_equal(world_call(&world, &method_team_get, &ann.who, &request), R_OK);
 *      team = world_reply(&world, &allod__v1__team__descriptor);
 */
#ifndef ALLOD_TESTS_LIB_WORLD_H
#define ALLOD_TESTS_LIB_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <allod/v1/team.pb-c.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/caller.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/store.h"
#include "engine/txn.h"
#include "engine/uuid.h"

struct world {
        char dir[64];
        struct store *store;
        struct view *view;
        int64_t ahead_ms;        /* how far the calls' time is ahead of the store's */
        struct credential admin; /* of the admin plane */

        /* of the newest call, until the next */
        struct arena arena;
        struct fault fault;
        struct message reply;
        struct uuid id;  /* the id it was given */
        uint32_t number; /* of all calls; its seed is made of it */
};

/* Somebody who has a key. */
struct person {
        struct uuid id;
        char text[UUID_TEXT_LEN + 1];
        char key_text[UUID_TEXT_LEN + 1]; /* the id of the key */
        struct credential who;            /* without x-team-id */
};

/* One run of a method: what the thunk of WORLD_METHOD gets. */
struct world_run {
        struct message *reply;
        const struct credential *who;
        const void *request;
};

struct world_method {
        const char *name;
        bool is_update;
        enum result (*check)(const void *request, struct fault *fault);
        txn_fn *run;
};

#define WORLD_METHOD(verb, update)                                                                                     \
        static enum result check_##verb(const void *request, struct fault *fault)                                      \
        {                                                                                                              \
                return verb##_check(request, fault);                                                                   \
        }                                                                                                              \
        static enum result run_##verb(struct txn *txn, void *arg)                                                      \
        {                                                                                                              \
                struct world_run *run = arg;                                                                           \
                enum result r;                                                                                         \
                                                                                                                       \
                message_init(run->reply, txn_arena(txn), 256);                                                         \
                r = verb(txn, run->who, run->request, run->reply);                                                     \
                return r != R_OK ? r : message_finish(run->reply);                                                     \
        }                                                                                                              \
        static const struct world_method method_##verb = {#verb, update, check_##verb, run_##verb}

void world_open(struct world *world);

/* Checks the store's invariants first. */
void world_close(struct world *world);

/* What must hold between identity rows: a member row for each pointer and the other way round, both ends existing; and
 * each profile of a team counts its members and OWNERs, of whom there is at least one. */
void world_check(struct world *world);

/* Do all that the purge list asks for. */
void world_purge(struct world *world);

enum result world_call(struct world *world, const struct world_method *method, const struct credential *who,
                       const void *request) MUST_USE;

/* The same, and throw away what it wrote: the store stays as it was. */
enum result world_try(struct world *world, const struct world_method *method, const struct credential *who,
                      const void *request) MUST_USE;

/* Run any transaction function on the writer. */
enum result world_update(struct world *world, txn_fn *run, void *arg) MUST_USE;

/* The newest reply, unpacked; it lives until the next call. */
const void *world_reply(struct world *world, const ProtobufCMessageDescriptor *type);

/* Make a user with a key. */
void world_add_person(struct world *world, struct person *out);

/* The same credential with x-team-id. */
struct credential world_in_team(const struct credential *who, struct uuid team);

/* Make a team with its first OWNER, by an administrator; and give it a member at once. */
struct uuid world_add_team(struct world *world, const struct person *owner);
void world_add_member(struct world *world, struct uuid team, const struct person *person, Allod__V1__Role role);

#endif
