/*
 * Makes calls of LMDB fail where a test wants it, and counts them. For programs that are linked with $wrap_lmdb (see
 * tests.ninja): the calls of lmdb.c then pass through here, those that LMDB makes of itself do not.
 *
 * MDB_READERS_FULL is only for calls that begin a transaction, and then only these count.
 * A call that fails does nothing, as LMDB's do, but for two that leave something: a failed put or delete spoils its
 * transaction, which then takes nothing more, and a failed commit ends it. Thread: any; one count for the process.
 */
#ifndef ALLOD_TESTS_LIB_LMDB_FAULT_H
#define ALLOD_TESTS_LIB_LMDB_FAULT_H

#include <stdbool.h>

/* The nth call from now on returns `code`, 1 being the next, and with `is_lasting` all later ones of that function too.
 * 0: none does. Restarts the count. */
void lmdb_fault_at(unsigned long n, int code, bool is_lasting);

/* Calls since the last lmdb_fault_at, the failed ones too. */
unsigned long lmdb_fault_count(void);

#endif
