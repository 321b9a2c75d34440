/*
 * Transaction functions, and the snapshots and write transactions they run in.
 *
 * A method is one straight function of (txn, who, typed request) that fills a reply: open a scope, read, decide, write.
 * It is pure in the snapshot and in struct txn_input; it reads no clock and no randomness, holds no lock and never
 * waits, because it may run twice: before each run the arena goes back to where it stood and the reply is cleared.
 *
 * Decide before writing: once a function has put something, it returns R_OK. Anything else is a defect; the writer
 * throws its batch away and runs the calls one by one.
 */
#ifndef ALLOD_ENGINE_TXN_H
#define ALLOD_ENGINE_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/store.h"
#include "engine/uuid.h"

struct txn;

#define TXN_SEED_SIZE 32

/* What a run depends on besides the snapshot and its request. */
struct txn_input {
        struct arena *arena;         /* the call's; the run allocates from it */
        struct fault *fault;         /* the call's; cleared before each run */
        int64_t time_ms;             /* store time when the call was accepted */
        struct uuid id;              /* the id of whatever this call creates */
        uint8_t seed[TXN_SEED_SIZE]; /* randomness; all zero unless the method asks for it */
};

typedef enum result txn_fn(struct txn *txn, void *arg);

/* What a transaction function may ask. */
struct arena *txn_arena(struct txn *txn);
struct fault *txn_fault(struct txn *txn);
int64_t txn_time_ms(const struct txn *txn);
struct uuid txn_id(const struct txn *txn);
const uint8_t *txn_seed(const struct txn *txn);
bool txn_is_write(const struct txn *txn);
struct store *txn_store(const struct txn *txn);

/* A thread's own pooled snapshot. Thread: one at a time. */
struct view;

enum result view_open(struct store *store, struct view **out) MUST_USE;
void view_close(struct view *view);

/* What is read from now on is at least as new as this moment: the next run takes a new snapshot, and those after it
 * share it. Call it after each socket read. */
void view_expire(struct view *view);

/* Run on the snapshot, at once. The result is the function's, or R_EXHAUSTED, R_IO when there is no snapshot. */
enum result view_run(struct view *view, const struct txn_input *input, txn_fn *run, void *arg) MUST_USE;

/* Give the snapshot back, so that commits can use old pages again: call it before waiting. */
void view_rest(struct view *view);

#endif
