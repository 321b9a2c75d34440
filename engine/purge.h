/*
 * Removes the rows that deletion has made unreachable: those under the prefixes of the purge list.
 *
 * A step is one transaction. What a crash leaves is a prefix still on the list with fewer rows under it, and the next
 * step goes on. An API key found on the way leaves the table of API keys together with its row.
 */
#ifndef ALLOD_ENGINE_PURGE_H
#define ALLOD_ENGINE_PURGE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/result.h"
#include "engine/txn.h"
#include "engine/uuid.h"

/* Rows of one step: about a millisecond of work, and some hundred dirty pages. */
#define PURGE_ROWS_MAX 1000

struct purge_step {
        uint64_t row_count; /* removed by this step */
        bool has_more;      /* something on the list can be removed now */
        bool is_held;       /* something on it cannot: a restore has its hold on the owner */
};

/* A transaction function; `arg` is a struct purge_step, which it fills. R_CORRUPT: the head of the list is no prefix of
 * an owner or an app, or is of one that still exists; nothing is removed. */
enum result purge_run(struct txn *txn, void *arg) MUST_USE;

struct scope;

/* Remove what is left of an app of the scope's owner whose record is gone, up to PURGE_ROWS_MAX rows, and add to
 * *row_count how many it were; it stays on the list. *has_more: there is more of it. R_CORRUPT: the app is there. */
enum result purge_app(const struct scope *scope, struct uuid app, size_t *row_count, bool *has_more) MUST_USE;

#endif
