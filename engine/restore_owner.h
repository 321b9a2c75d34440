/* clang-format off */
/*
 * Restores one owner out of a dump into a store that is in use, while others go on: by an administrator, under the same
 * id or another one.
 *
 *      the owner is not there   all of it is made, or nothing: apps, jobs, profile, keys, members, invitations. Its rows
 *                               are put in many small transactions while it stands on the purge list, and the last one
 *                               puts the profile, by which an owner exists. A crash leaves rows for the purge
 *      the owner is there       RESTORE_FAIL refuses. Else its apps are put, one after another, each likewise: its record
 *                               comes last. One that is there is kept (RESTORE_SKIP), or deleted, purged and made anew
 *                               (RESTORE_REPLACE): it is absent meanwhile, and a crash leaves it absent. What is not in
 *                               the dump is kept. So is who may do what: profile, keys, members and invitations are not
 *                               touched, lest what was revoked since come back
 *
 * What is never restored, and is counted:
 *
 *      keys                     whose digest some key of the store has; under another id all, while the old owner is
 *                               there. A secret leads to one owner; by a restore it leads to another than before only
 *                               where the old owner is no more
 *      members                  who are no users of this store any more, or are in too many teams. A team of which no
 *                               OWNER is left is refused: restore one of them first
 *      invitations              under another id: they were sent to the old one
 *      changes                  the log says what happened here: it begins, or goes on, with the restore, by whom and of
 *                               what, and then each record that was put. Revisions are new ones, above all that the
 *                               owner ever had, so that no etag of before matches by chance
 *
 * Bodies stay as they were dumped: times, who created it. Indexes, counters and look-up rows are derived anew.
 *
 * It goes through the writer's lane for chores, a few hundred records at a time, so that calls come first. Before
 * anything is written, the dump is checked to its end, and each record by what verify asks of a store's (body_check.h):
 * for that it is read twice side by side, and a third time to be put.
 */
/* clang-format on */
#ifndef ALLOD_ENGINE_RESTORE_OWNER_H
#define ALLOD_ENGINE_RESTORE_OWNER_H

#include "engine/caller.h"
#include "engine/dump_read.h"
#include "engine/fault.h"
#include "engine/store.h"

enum restore_conflict {
        RESTORE_FAIL,
        RESTORE_SKIP,
        RESTORE_REPLACE,
};

struct restore_owner_counts {
        bool is_new;            /* the owner was not there */
        uint64_t apps;          /* that were put; and of those: */
        uint64_t apps_replaced; /* which had been there */
        uint64_t apps_kept;     /* that were there and stayed */
        uint64_t jobs;          /* of the apps that were put */
        uint64_t keys, keys_dropped;
        uint64_t members, members_dropped;
        uint64_t invitations, invitations_dropped;
        uint64_t changes_dropped;
        uint64_t others_dropped; /* of kinds that this program does not restore */
};

struct restore_owner {
        /* set by the caller */
        struct store *store;
        const struct credential *admin;
        struct owner owner; /* in the dump */
        struct owner as;    /* in the store: the same, or another id of the same kind */
        enum restore_conflict on_conflict;
        bool is_dry; /* nothing is written but, where the owner is there, that somebody looked */
        int fd;      /* a file that holds a dump of this owner alone; read from its start */
        void *context;
        bool (*is_stopped)(void *context); /* asked between transactions; may be NULL */

        /* what became of it */
        struct dump_header header;
        struct dump_counts dumped;
        struct restore_owner_counts counts;
        struct fault fault; /* after anything but R_OK: a sentence, or nothing, and the result says it all */
};

/* R_OK. R_BAD_ARGUMENT: the dump is damaged, or holds something else. R_CORRUPT: the store is damaged. R_EXISTS: the
 * owner is there, or one of the keys (RESTORE_FAIL). R_WRONG_STATE: no OWNER is left, or the id is still being purged.
 * R_EXHAUSTED: another restore is under way. R_CANCELED, R_READ_ONLY (the disk or the map comes near its end),
 * R_DRAINING, R_COMMIT_UNKNOWN, R_IO, R_NO_MEMORY. After a failure nothing is left of an owner who was not there; in
 * one who was, apps that were put stay. Blocks; never on a loop. */
enum result restore_owner_run(struct restore_owner *restore) MUST_USE;

#endif
