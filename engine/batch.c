/*
 * What the writer does with one batch, and with a transaction of one function. The order of things is in writer.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "engine/require.h"
#include "engine/reserve.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"
#include "engine/writer_private.h"

/* What each lane may take of a batch, in calls and in time since its start. The counts add up to the whole; the time of
 * a later lane ends later, so that the lanes before it cannot take all of it. */
static const struct {
        unsigned count_max;
        int64_t end_ns;
} shares[LANE_COUNT] = {
        [LANE_CALL] = {192, 14 * MS_NS},
        [LANE_WORKER] = {48, 18 * MS_NS},
        [LANE_CHORE] = {16, 20 * MS_NS},
};

/* Long polls of workers; each is a few hundred bytes of its caller. */
#define PARKED_COUNT_MAX 16384

int64_t writer_now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * (1000 * MS_NS) + now.tv_nsec;
}

void writer_report_event(struct writer *writer, enum writer_event event, enum result r)
{
        pthread_mutex_lock(&writer->mutex);
        if (writer->event_cb != NULL) writer->event_cb(writer->event_context, event, r);
        pthread_mutex_unlock(&writer->mutex);
}

unsigned writer_batch_share(enum lane lane)
{
        return shares[lane].count_max;
}

/* ---- What a transaction leads to ---- */

void writer_give_reserve(struct writer *writer)
{
        reserve_release(writer->store->dir_fd);
        writer->is_fenced = txn_let_grow(writer->store, true) != R_OK;
}

void writer_set_read_only(struct writer *writer, bool is_read_only)
{
        if (writer->is_read_only == is_read_only) return;
        pthread_mutex_lock(&writer->mutex);
        writer->is_read_only = is_read_only;
        pthread_mutex_unlock(&writer->mutex);
        writer->probe_ns = writer_now_ns() + PROBE_PERIOD_NS;
        if (is_read_only) writer_give_reserve(writer);
        writer_report_event(writer, is_read_only ? WRITER_READ_ONLY : WRITER_WRITABLE, R_READ_ONLY);
}

static void note_failure(struct writer *writer, enum result r)
{
        if (r == R_READ_ONLY) writer_set_read_only(writer, true);
        if (r != R_COMMIT_UNKNOWN || writer->is_latched) return;
        pthread_mutex_lock(&writer->mutex);
        writer->is_latched = true;
        pthread_mutex_unlock(&writer->mutex);
        writer_report_event(writer, WRITER_LATCHED, r);
}

/* Commit what is in the transaction. Nobody has been told anything when this returns. */
static enum result commit(struct writer *writer, bool frees_space)
{
        struct txn *txn = &writer->txn;
        bool is_dirty = txn->is_dirty;
        enum result r;

        r = txn_commit(txn, !frees_space);
        /* also when nobody knows whether it is on disk: views may see it */
        if (txn->touches_identity) atomic_fetch_add(&writer->store->identity_generation, 1);
        if (r != R_OK) {
                note_failure(writer, r);
                return r;
        }
        if (txn->touches_purge) chore_purge_soon(&writer->chore, writer_now_ns());
        if (!is_dirty) return R_OK;
        pthread_mutex_lock(&writer->mutex);
        writer->stat.commits++;
        pthread_mutex_unlock(&writer->mutex);
        return R_OK;
}

static bool is_defect(const struct txn *txn, enum result r)
{
        return (r != R_OK && txn->put_count > 0) || (r == R_WAIT && !txn->has_wait);
}

/* A function in a transaction of its own. */
enum result writer_run_alone(struct writer *writer, bool frees_space, const struct txn_input *input, txn_fn *run,
                             void *arg)
{
        struct txn *txn = &writer->txn;
        enum result committed;
        enum result r;

        if (writer->is_latched) return R_COMMIT_UNKNOWN;
        if ((r = txn_begin(txn)) != R_OK) return r;
        r = txn_run(txn, input, run, arg);
        if (txn->failure != R_OK) {
                r = txn->failure;
                txn_abort(txn);
                note_failure(writer, r);
                return r;
        }
        if (is_defect(txn, r)) {
                txn_abort(txn);
                if (r == R_NO_MEMORY) return r; /* halfway, and by no fault of the function's */
                writer_report_event(writer, WRITER_DEFECT, r);
                return R_DEFECT;
        }
        committed = commit(writer, frees_space);
        return committed == R_OK ? r : committed;
}

/* ---- A batch ---- */

static bool lane_may_take(const struct batch *batch, enum lane lane, int64_t elapsed_ns)
{
        unsigned count = batch->lane_counts[lane];

        if (count >= shares[lane].count_max || batch->cost >= BATCH_COST_MAX) return false;
        return count == 0 || elapsed_ns < shares[lane].end_ns; /* the first of a lane always */
}

/* The next update, the writer's from now on. NULL: the lanes are empty or the batch is full. */
static struct update *take_next(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        int64_t elapsed_ns = writer_now_ns() - batch->start_ns;
        struct update *update = NULL;
        unsigned lane;

        pthread_mutex_lock(&writer->mutex);
        for (lane = 0; lane < LANE_COUNT && update == NULL; lane++) {
                if (!lane_may_take(batch, lane, elapsed_ns)) continue;
                update = queue_take(&writer->queue, lane);
        }
        if (update != NULL) update->is_taken = true;
        pthread_mutex_unlock(&writer->mutex);
        if (update == NULL) return NULL;
        batch->lane_counts[update->lane]++;
        batch->cost += update->cost;
        batch->has_run[batch->count] = false;
        batch->updates[batch->count++] = update;
        return update;
}

/* R_OK: it may run. */
static enum result check_run(const struct writer *writer, const struct update *update)
{
        if (update->deadline_ns != 0 && writer_now_ns() >= update->deadline_ns) return R_DEADLINE;
        if (writer->is_latched) return R_COMMIT_UNKNOWN;
        return writer->is_read_only && !update->frees_space ? R_READ_ONLY : R_OK;
}

static void run_in_batch(struct writer *writer, struct update *update)
{
        arena_reset(update->input.arena, update->mark);
        update->result = txn_run(&writer->txn, &update->input, update->run, update->arg);
        update->topic = writer->txn.wait;
}

/* Run what is queued in one transaction. False: it must be thrown away. */
static bool run_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        struct txn *txn = &writer->txn;
        struct update *update;

        while ((update = take_next(writer)) != NULL) {
                update->result = check_run(writer, update);
                if (update->result == R_OK && txn->backend == NULL) update->result = txn_begin(txn);
                if (update->result != R_OK) continue;
                batch->has_run[batch->count - 1] = true;
                batch->frees_space &= update->frees_space;
                run_in_batch(writer, update);
                if (txn->failure != R_OK || is_defect(txn, update->result)) return false;
        }
        return true;
}

/* What to tell R_WAIT instead of parking it; R_OK: park it. */
static enum result check_park(const struct writer *writer, const struct update *update)
{
        if (update->is_canceled) return R_CANCELED;
        if (writer->is_draining) return R_DRAINING;
        if (update->deadline_ns != 0 && writer_now_ns() >= update->deadline_ns) return R_DEADLINE;
        return writer->queue.parked_count >= PARKED_COUNT_MAX ? R_EXHAUSTED : R_OK;
}

static void park(struct writer *writer, struct update **slot)
{
        struct update *update = *slot;

        pthread_mutex_lock(&writer->mutex);
        update->result = check_park(writer, update);
        if (update->result == R_OK) {
                update->is_taken = false;
                queue_park(&writer->queue, update);
                *slot = NULL;
        }
        pthread_mutex_unlock(&writer->mutex);
}

void writer_wake(struct writer *writer)
{
        const struct txn *txn = &writer->txn;
        unsigned i;

        if (txn->wake_count == 0) return;
        pthread_mutex_lock(&writer->mutex);
        if (txn->wakes_all) {
                queue_wake_all(&writer->queue);
        } else {
                for (i = 0; i < txn->wake_count; i++)
                        queue_wake(&writer->queue, &txn->wakes[i]);
        }
        pthread_mutex_unlock(&writer->mutex);
}

/* The batch has been thrown away: each call again, alone. */
static void rerun_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        size_t i;

        pthread_mutex_lock(&writer->mutex);
        writer->stat.batches_rerun++;
        pthread_mutex_unlock(&writer->mutex);
        for (i = 0; i < batch->count; i++) {
                struct update *update = batch->updates[i];

                if (!batch->has_run[i]) continue;
                update->result = check_run(writer, update);
                if (update->result != R_OK) continue;
                arena_reset(update->input.arena, update->mark);
                update->result =
                        writer_run_alone(writer, update->frees_space, &update->input, update->run, update->arg);
                update->topic = writer->txn.wait;
                if (update->result == R_WAIT) park(writer, &batch->updates[i]);
                if (writer->txn.backend == NULL && update->result == R_OK) writer_wake(writer);
        }
}

/* All that ran, seen or put, was in a transaction whose fate nobody knows. */
static void fail_batch(struct writer *writer, enum result r)
{
        struct batch *batch = &writer->batch;
        size_t i;

        for (i = 0; i < batch->count; i++) {
                if (batch->has_run[i]) batch->updates[i]->result = r;
        }
}

static void finish_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        enum result r;
        size_t i;

        if (writer->txn.backend == NULL) return; /* nothing ran */
        r = commit(writer, batch->frees_space);
        if (r == R_COMMIT_UNKNOWN) {
                fail_batch(writer, r);
        } else if (r != R_OK) {
                rerun_batch(writer);
        } else {
                for (i = 0; i < batch->count; i++) {
                        if (batch->updates[i]->result == R_WAIT) park(writer, &batch->updates[i]);
                }
                writer_wake(writer);
        }
}

/* From here on the updates are their callers' again. */
static void report_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        int64_t took_ns = writer_now_ns() - batch->start_ns;
        size_t i;

        pthread_mutex_lock(&writer->mutex);
        writer->stat.updates += batch->count;
        writer->batch_ns += (took_ns - writer->batch_ns) / 8;
        pthread_mutex_unlock(&writer->mutex);
        for (i = 0; i < batch->count; i++) {
                struct update *update = batch->updates[i];

                if (update != NULL) update->done_cb(update);
        }
}

void writer_turn_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;

        batch->count = 0;
        batch->cost = 0;
        batch->frees_space = true;
        memset(batch->lane_counts, 0, sizeof batch->lane_counts);
        batch->start_ns = writer_now_ns();
        if (run_batch(writer)) {
                finish_batch(writer);
        } else {
                enum result failure = writer->txn.failure;

                txn_abort(&writer->txn);
                note_failure(writer, failure);
                rerun_batch(writer);
        }
        if (batch->count > 0) report_batch(writer);
}
