/*
 * The inside of restore_owner, in two parts: restore_owner.c reads the dump and checks it; restore_put.c has the
 * transaction functions that put what was read. For these two only.
 */
#ifndef ALLOD_ENGINE_RESTORE_OWNER_PRIVATE_H
#define ALLOD_ENGINE_RESTORE_OWNER_PRIVATE_H

#include <store/v1/store.pb.h>

#include "engine/arena.h"
#include "engine/limits.h"
#include "engine/restore_owner.h"
#include "engine/txn.h"

/* Keys and invitations of a user, or members of a team, as a dump has them. */
struct identity_row {
        struct row row;
        struct bytes body;
};

#define IDENTITY_ROWS_MAX (USER_KEYS_MAX + USER_INVITATIONS_MAX)
_Static_assert(TEAM_MEMBERS_MAX <= IDENTITY_ROWS_MAX, "a team has members instead");

struct identity {
        store_v1_Profile profile;
        struct identity_row rows[IDENTITY_ROWS_MAX];
        size_t row_count;
};

/* How far putting has come: what a transaction leaves to the next. */
struct put_state {
        struct dump_chunk chunk;
        bool has_app;    /* rows of `app` are being put, or passed over */
        bool is_kept;    /* passed over */
        bool is_cleared; /* nothing of before is visible of it, and its place is on the purge list */
        struct uuid app;
        struct bytes app_body;           /* of its record, which is put last where the owner is there */
        size_t looked_count;             /* of the identity's rows: put_look has been there */
        bool is_full[IDENTITY_ROWS_MAX]; /* a member who is in as many teams as one can be */
        struct restore_owner_counts counts;
};

/* The argument of all transaction functions here. They work on `next`, since they may run twice; when one has been
 * committed, restore_owner.c makes it `state`. */
struct put {
        struct restore_owner *restore;
        const struct identity *identity;
        bool is_new; /* the owner was not there */
        bool is_end; /* the chunk was the last */
        struct put_state state, next;
        enum result outcome; /* R_CORRUPT, found in the store after something may have been put */
};

/* Decides, and writes that it begins. What restore_owner_run answers. */
txn_fn put_begin;

/* Some of the chunk's records; next.chunk.rest holds the others. After the last chunk, with is_end: the last app. */
txn_fn put_records;

/* Which of the next members are in too many teams, and their users hear of it. For put_identity, which could not count
 * all of that in one transaction: who joins another team in between is in one more than there may be. */
txn_fn put_look;

/* An owner who was not there: keys, members, invitations, and the profile. */
txn_fn put_identity;

#endif
