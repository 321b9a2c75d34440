/*
 * What must hold in a store, whatever happened to it: the invariants of its rows and between them, read from one
 * snapshot, or with pause_cb from one after another.
 *
 *      every row       its key reads back; its value checks out and is what body_check.h says; index rows are empty
 *      owners          a profile, or a place on the purge list: then its rows count for nothing
 *      apps            likewise: a row under an app whose record is absent is there only because the purge list says so
 *      jobs            state and input; one row in the index of its state; a row in the queue exactly while it waits;
 *                      the counters are what a recount gives
 *      members         the row under the team and the pointer under the user come together, both owners exist; the
 *                      profile counts members and OWNERs, of whom there is one at least
 *      keys            the row under the user and the one in the table of API keys name each other
 *      changes         numbered without a gap from 1, but where a restore begins; replayed, they give the records that
 *                      are there, each with the revision of the last change that names it
 *      purge list      prefixes of owners and apps that are gone
 *
 * It reads only, and it needs nothing but a transaction of the engine: the files need not belong to an open store. What
 * it finds it says in sentences and goes on; a store with damage gives many.
 *
 * Memory: of the records that an owner's changes name and that are absent, VERIFY_GONE_MAX / 2 are held at once, and
 * for those beyond the owner's changes are read again. LIMIT: those of one app, its deleted jobs, are held together
 * however many they are.
 */
#ifndef ALLOD_ENGINE_VERIFY_H
#define ALLOD_ENGINE_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/key.h"
#include "engine/result.h"
#include "engine/txn.h"

#define VERIFY_SENTENCE_SIZE 320

/* Places of 32 bytes each, 16 MiB in all. */
#define VERIFY_GONE_MAX ((size_t)1 << 19)

/* Lets several walks, each of a thread of its own and all of the same rows, take owners in turn: each is checked by one
 * of them. The rest of the store is for the one with is_first; and the sum of their row_counts should be its row_total,
 * which no one of them can see. Zeroed to begin with. */
struct verify_share {
        atomic_size_t next; /* owner to be taken */
};

struct verify {
        /* set by the caller */
        struct verify_share *share; /* NULL: all is for this walk */
        bool is_first;              /* of those that share */
        bool is_settled;            /* nothing may be left to purge */
        void *context;
        void (*found_cb)(void *context, const char *sentence); /* NULL: only count */
        enum result (*step_cb)(void *context, size_t size); /* a row of that size was read, some twice; not R_OK: stop
                                                               with that. NULL: nothing is wanted */
        enum result (*pause_cb)(void *context); /* no snapshot is held meanwhile, and what is read afterwards is of a
                                                   newer one; not R_OK: stop with that. NULL: one snapshot for all */
        size_t gone_max;                        /* less than VERIFY_GONE_MAX, for tests; 0: that */

        /* set by the caller's callbacks: call pause_cb before the next row */
        bool wants_pause;

        /* what was read, and how much of it is wrong */
        uint64_t rows[ROW_KIND_COUNT];
        uint64_t page_count; /* verify_dir's, of the engine's tree */
        uint64_t row_total;  /* rows of all tables when it began, by the engine's count */
        uint64_t row_count;  /* of all tables */
        uint64_t owner_count;
        uint64_t hidden_count; /* rows that wait for the purge */
        uint64_t found_count;
        uint64_t record_count; /* rows that a dump would have */
        uint64_t checksums;    /* and the sum of their checksums: of equal records, whatever else is there */
};

/* R_OK when all could be read, whatever was found. R_NO_MEMORY, R_CORRUPT (by the engine's own account), R_IO. */
enum result verify_tables(struct backend_txn *txn, struct verify *verify) MUST_USE;

/* The same as a transaction function for view_run; `arg` is a struct verify. */
enum result verify_run(struct txn *txn, void *arg) MUST_USE;

/* The same for the files of a store, whose tree is looked at before they are opened: with faults there, it ends there.
 * Nobody has them open, and nobody else can open meanwhile; they are not changed.
 * R_HELD: somebody has. R_ABSENT, R_FORMAT, R_IO: `why` says it in a sentence. `map_size` 0: the default. */
enum result verify_dir(const char *dir, size_t map_size, struct verify *verify, char why[256]) MUST_USE;

#endif
