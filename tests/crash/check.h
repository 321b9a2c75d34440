/*
 * What must hold in a store, whatever happened to it: the invariants between its rows, read from one snapshot.
 *
 *      every row       its key reads back; its value checks out and decodes; index rows are empty
 *      owners          a profile, or a place on the purge list: then its rows count for nothing
 *      apps            likewise: a row under an app whose record is absent is there only because the purge list says so
 *      jobs            state and input; one row in the index of its state; a row in the queue exactly while it waits;
 *                      the counters are what a recount gives
 *      members         the row under the team and the pointer under the user come together, both owners exist; the
 *                      profile counts members and OWNERs, of whom there is one at least
 *      keys            the row under the user and the one in the table of API keys name each other
 *      changes         numbered without a gap from 1; replayed, they give the records that are there, each with the
 *                      revision of the last change that names it
 *      purge list      prefixes of owners and apps that are gone
 *
 * It reads only, and it needs nothing but a transaction of the engine: the files need not belong to an open store. What
 * it finds it says in sentences and goes on; a store with damage gives many.
 */
#ifndef ALLOD_TESTS_CRASH_CHECK_H
#define ALLOD_TESTS_CRASH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/key.h"
#include "engine/result.h"
#include "engine/txn.h"

#define CHECK_SENTENCE_SIZE 320

struct check {
        /* set by the caller */
        bool is_settled; /* nothing may be left to purge */
        void *context;
        void (*found_cb)(void *context, const char *sentence); /* NULL: only count */

        /* what was read, and how much of it is wrong */
        uint64_t rows[ROW_KIND_COUNT];
        uint64_t row_count; /* of all tables */
        uint64_t owner_count;
        uint64_t hidden_count; /* rows that wait for the purge */
        uint64_t found_count;
};

/* R_OK when all could be read, whatever was found. R_NO_MEMORY, R_CORRUPT (by the engine's own account), R_IO. */
enum result check_tables(struct backend_txn *txn, struct check *check) MUST_USE;

/* The same as a transaction function for view_run; `arg` is a struct check. */
enum result check_run(struct txn *txn, void *arg) MUST_USE;

/* The same for the files of a store that nobody has open, without changing anything in them. */
enum result check_dir(const char *dir, struct check *check) MUST_USE;

#endif
