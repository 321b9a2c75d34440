/*
 * What a crash may and may not do, call by call.
 *
 * The load is made by slots, each with one call open at a time on things that are its own: apps, jobs, keys, a user, a
 * team, a place in the team that all share. So a slot always knows what must be there: what was acknowledged. When the
 * server dies, at most one call of each slot is open, and of that it must have done all or nothing; looking at the
 * store settles which (verify.h), and the slot goes on from there.
 *
 * What a thing holds follows from its slot, its number and its version, so that a record that has some of its fields
 * from one version and some from another cannot pass.
 */
#ifndef ALLOD_TESTS_CRASH_MODEL_H
#define ALLOD_TESTS_CRASH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <allod/v1/app.pb-c.h>
#include <allod/v1/job.pb-c.h>
#include <allod/v1/team.pb-c.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/uuid.h"

#define SLOTS_MAX      64
#define APPS_MAX       6
#define JOBS_LIGHT_MAX 24
#define JOBS_HEAVY_MIN 260 /* of a heavy slot's app, its only one: more than PURGE_ROWS_MAX rows, so several steps */
#define JOBS_MAX       320
#define KEYS_MAX       10
#define GONE_MAX       16
#define SECRET_SIZE    64
#define ID_SIZE        (UUID_TEXT_LEN + 1)
#define INPUT_SIZE     32768

/* The two tenants and their team. One is its OWNER, two an ADMIN. */
#define USER_ONE   "00000000-0000-7000-8000-00000000a001"
#define USER_TWO   "00000000-0000-7000-8000-00000000a002"
#define TEAM_BOTH  "00000000-0000-7000-8000-00000000b001"
#define SECRET_ONE "secret-of-tenant-one-0123456789"
#define SECRET_TWO "secret-of-tenant-two-0123456789"

/* Where an app of a slot lies. */
enum ground {
        GROUND_SHARED,   /* with a tenant or in their team, together with other slots' */
        GROUND_OWN_USER, /* with the slot's own user */
        GROUND_OWN_TEAM,
};

struct model_job {
        char id[ID_SIZE];
        uint32_t number;
        bool is_canceled;
};

struct model_app {
        bool is_live;
        enum ground ground;
        char id[ID_SIZE];
        uint32_t number, version;
        struct model_job *jobs; /* JOBS_MAX of them */
        unsigned job_count;
};

struct model_key {
        char id[ID_SIZE];
        char secret[SECRET_SIZE]; /* "": its creation was not acknowledged */
        uint32_t number;
        bool is_revoked;
};

enum op_kind {
        OP_NONE,
        OP_CREATE_APP,
        OP_UPDATE_APP,
        OP_DELETE_APP,
        OP_RUN_JOB,
        OP_CANCEL_JOB,
        OP_CREATE_KEY,
        OP_REVOKE_KEY,
        OP_CREATE_USER,
        OP_IMPORT_KEY,
        OP_DELETE_USER,
        OP_CREATE_TEAM,
        OP_DELETE_TEAM,
        OP_ADD_MEMBER,
        OP_SET_ROLE,
        OP_REMOVE_MEMBER,
        OP_COUNT
};

extern const char *const op_names[OP_COUNT];

/* One call: what it does to what. */
struct op {
        enum op_kind kind;
        unsigned app, job, key; /* indices */
        enum ground ground;     /* OP_CREATE_APP */
        uint32_t number, version;
        int role;
        bool is_by_owner; /* of roles: TeamService instead of AdminService */
};

struct slot {
        unsigned index;
        uint64_t random;
        bool is_heavy; /* has one app, in apps[0], with very many jobs */
        uint32_t next_number;

        struct model_app apps[APPS_MAX];
        struct model_key keys[KEYS_MAX];
        unsigned key_count;

        /* its own user, that user's team, and their role in the shared team; numbers are of the newest ones */
        uint32_t user_number, team_number;
        bool has_user, has_key, has_team;
        int role; /* of allod.v1.Role; 0: no member */

        /* what was there and must not come back */
        char gone[GONE_MAX][ID_SIZE]; /* apps on shared ground, a ring */
        unsigned gone_count;
        uint32_t gone_user;

        struct op op; /* sent and not yet known to have happened; OP_NONE: there is none */
};

/* Whose key and which x-team-id (NULL: none) reach a ground. */
struct way {
        char secret[SECRET_SIZE];
        char user_id[ID_SIZE];
        char team_id[ID_SIZE]; /* "": the user's own scope */
};

/* False: no memory. */
bool slot_init(struct slot *slot, unsigned index, uint64_t seed);
void slot_fini(struct slot *slot);

uint32_t slot_random(struct slot *slot, uint32_t below);

/* What to do next; always something that must succeed. */
void slot_choose(struct slot *slot);

/* slot->op has happened: the model follows, and the slot has no call open. Ids and secrets that the server made come
 * from the reply, or were seen; NULL: not known. */
void slot_done(struct slot *slot, const char *id, const char *secret);

/* slot->op has not happened. */
void slot_undone(struct slot *slot);

struct way slot_way(const struct slot *slot, enum ground ground);
struct way slot_own_way(const struct slot *slot, uint32_t user_number);
void slot_user_id(const struct slot *slot, uint32_t number, char out[ID_SIZE]);
void slot_team_id(const struct slot *slot, uint32_t number, char out[ID_SIZE]);
void slot_key_name(const struct slot *slot, uint32_t number, char out[SECRET_SIZE]);

/* An app as it is created (version 0) or updated; in the arena, NULL when there is no memory. */
Allod__V1__App *slot_app(const struct slot *slot, uint32_t number, uint32_t version, struct arena *arena);

/* The document that a job was given. */
void slot_input(const struct slot *slot, uint32_t number, char out[INPUT_SIZE]);

/* "app 12/345": slot and number, from the name of an app or a key. */
bool name_read(const char *name, unsigned *slot, uint32_t *number);

#endif
