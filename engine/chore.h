/*
 * Background steps on the writer thread, in transactions of their own between batches: the purge list, the last uses of
 * API keys, readers that died. When there is nothing to do there is nothing to wake up for but a look once a minute.
 */
#ifndef ALLOD_ENGINE_CHORE_H
#define ALLOD_ENGINE_CHORE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/keyuse.h"
#include "engine/result.h"
#include "engine/txn.h"

/* When which is due next, CLOCK_MONOTONIC; INT64_MAX: not. Thread: the writer's. */
struct chore {
        int64_t purge_ns;
        int64_t key_uses_ns;
        int64_t readers_ns;
};

/* The purge list of an earlier process is looked at at once. */
void chore_init(struct chore *chore, int64_t now_ns);

/* A commit has put something on the purge list. */
void chore_purge_soon(struct chore *chore, int64_t now_ns);

/* The earliest time at which something is due. */
int64_t chore_due_ns(const struct chore *chore);

/* What a step needs from the writer: to run a transaction function in a transaction of its own. */
typedef enum result chore_run_fn(void *context, bool frees_space, txn_fn *run, void *arg);

/* Do one step of what is due, and set when it is due again. `can_grow` is off while the disk is full: then only what
 * frees space is done. *row_count is raised by the rows purged. Whatever fails is tried again in a while. */
enum result chore_step(struct chore *chore, struct store *store, int64_t now_ns, bool can_grow, chore_run_fn *run,
                       void *context, uint64_t *row_count) MUST_USE;

#endif
