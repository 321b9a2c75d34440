/*
 * The writer thread: all updates, in batches, durable before anybody hears of them.
 *
 * It runs all that is queued in one transaction (up to 256 calls, 32 MiB of requests or 20 ms of work), commits, and
 * then reports each. There is no timer: the next batch is what arrived during the last sync. Lanes, served in this
 * order, a share of each batch kept for the later ones: calls, workers' calls, chores; within the lane of calls, scopes
 * take turns.
 *
 * Outcomes: a function's own result; after a failed commit R_READ_ONLY (disk or map full: nothing happened; deletes and
 * cancels go on within a reserve, others are refused until a probe passes) or R_COMMIT_UNKNOWN (a sync failed: this
 * process never writes again). A batch that fails as a whole for one call's sake (R_TXN_FULL, a defect) is run again
 * one by one.
 */
#ifndef ALLOD_ENGINE_WRITER_H
#define ALLOD_ENGINE_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/txn.h"

struct writer;

enum lane {
        LANE_CALL,
        LANE_WORKER,
        LANE_CHORE,
        LANE_COUNT
};

/* Something that parked updates wait for. */
struct topic {
        uint8_t data[40];
        uint8_t len;
};

/* Where an update is: the writer's business. */
enum update_place {
        UPDATE_NOWHERE, /* not submitted, running, or done */
        UPDATE_QUEUED,
        UPDATE_PARKED,
};

/* One queued update. The caller's memory; the writer's from writer_submit until done_cb. */
struct update {
        /* set by the caller */
        enum lane lane;
        bool frees_space;    /* a delete or a cancel: goes on when the disk is full */
        uint64_t turn;       /* hash of the scope it acts in: scopes take turns */
        size_t cost;         /* bytes of the request */
        int64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none. Passed while queued: R_DEADLINE, not run */
        struct txn_input input;
        txn_fn *run;
        void *arg;
        void (*done_cb)(struct update *update); /* on the writer thread, after the commit; must only hand over */

        /* set by the writer */
        enum result result; /* what the caller is told */
        struct arena_mark mark;
        bool is_taken; /* the writer has begun with it: its real outcome will be reported */
        bool is_canceled;
        struct topic topic; /* what it waits for, after R_WAIT */
        enum update_place place;
        struct update *next, *previous;
};

/* Queue it. R_EXHAUSTED: the queue is full. R_DEADLINE: it cannot make it. R_DRAINING. R_READ_ONLY, R_COMMIT_UNKNOWN:
 * as above. On anything but R_OK done_cb is not called. Thread: any. */
enum result writer_submit(struct writer *writer, struct update *update) MUST_USE;

/* The caller no longer wants it. If it has not begun, or is parked, it is dropped and reported as R_CANCELED, through
 * done_cb as always; else its outcome is reported as usual. Thread: any. */
void writer_cancel(struct writer *writer, struct update *update);

/* A wait method asks, before it returns R_WAIT, to be run again when `topic` wakes. At its deadline it is reported as
 * R_DEADLINE. */
void txn_wait_on(struct txn *txn, struct topic topic);

/* Wake what waits on `topic` once this transaction has committed. */
void txn_wake(struct txn *txn, struct topic topic);

/* Refuse new updates (R_DRAINING), report parked ones as R_DRAINING, finish what is queued. Thread: any; does not wait.
 */
void writer_drain(struct writer *writer);

/* One update that a thread of its own waits for: begin submits it, with the outcomes of that; after R_OK, wait returns
 * what done_cb would see. Set lane, input, run, arg and what else it needs before; never on a loop. */
struct writer_wait {
        struct update update; /* first: done_cb gets its address */
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        bool is_done;
};
enum result writer_begin(struct writer *writer, struct writer_wait *wait) MUST_USE;
enum result writer_wait(struct writer_wait *wait) MUST_USE;

/* Run `run` on the writer and wait for it. For start-up, tools and tests; never on a loop. Returns what done_cb would
 * see. */
enum result writer_run(struct writer *writer, const struct txn_input *input, txn_fn *run, void *arg) MUST_USE;

/* The same among the chores, behind everybody's calls; `cost` as in struct update. */
enum result writer_run_chore(struct writer *writer, const struct txn_input *input, size_t cost, bool frees_space,
                             txn_fn *run, void *arg) MUST_USE;

/* What a server logs: the writer itself never does. */
enum writer_event {
        WRITER_DEFECT,    /* a call failed after it had put something; it was undone and told R_DEFECT */
        WRITER_READ_ONLY, /* the disk or the map is full */
        WRITER_WRITABLE,  /* a probe passed: writes go on */
        WRITER_LATCHED,   /* a sync failed: no more writes in this process */
        WRITER_CHORE,     /* a background step failed with `r`; it is tried again later */
};

/* `event_cb` runs on the writer thread, and must neither wait nor call the writer. It replaces the one set before,
 * which is not running any more when this returns; NULL: nobody is told. Thread: any. */
void writer_set_event_cb(struct writer *writer, void *context,
                         void (*event_cb)(void *context, enum writer_event event, enum result r));

struct writer_stat {
        uint64_t commits, updates, batches_rerun;
        uint64_t purged; /* rows, by background steps */
        size_t queued, parked;
        bool is_read_only; /* the disk is full, or the latch is set */
        bool is_latched;   /* a sync failed: reads only, for good */
};

void writer_stat(struct writer *writer, struct writer_stat *out);

#endif
