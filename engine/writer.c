/*
 * The writer thread.
 *
 *      submit --> queued --> running --> committed --> done_cb
 *                   ^           |
 *                   |  R_WAIT   v
 *                   +-- wake -- parked --> deadline, drain, cancel --> done_cb
 *
 * One turn of the thread:
 *
 *   1. take updates off the lanes one by one and run each in the one open transaction, until the lanes are empty or a
 *      bound of the batch is reached;
 *   2. commit, which makes all of it durable;
 *   3. bump the identity generation if profiles, keys or members were touched;
 *   4. park those that wait, then wake those whose topic was woken (in this order: a waiter that ran before its waker
 *      in one batch must hear of it);
 *   5. report the rest;
 *   6. when idle, or after a number of batches all the same, one background step.
 *
 * When step 1 ends in a failed put, or with a call that fails after it has put something, the transaction is thrown
 * away and each call of the batch is run again in one of its own (run_alone). So it is when step 2 finds the disk full,
 * for those that free space; the others are told R_READ_ONLY. A call that fails before it puts anything costs nothing
 * and stays in the batch; its answer too waits for the commit, because it may have seen what calls before it put.
 *
 * Room is kept back for what frees space: in the map by txn_commit, on the disk by a file that is given up when the
 * disk is full (reserve.h).
 */
#include "engine/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "engine/chore.h"
#include "engine/queue.h"
#include "engine/require.h"
#include "engine/reserve.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"

#define MS_NS INT64_C(1000000)

/* A batch: large enough that a sync is shared by many, small enough that the last one does not wait long and the
 * transaction stays far below LMDB's 131,071 dirty pages (32 MiB are 8,192 of them). */
#define BATCH_COUNT_MAX 256
#define BATCH_COST_MAX  ((size_t)32 << 20)

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

/* What may be queued: a second or two of work at 256 calls per sync of 10 ms or so, and 64 MiB of requests. More
 * waiting would only turn refusals into deadlines. */
#define QUEUE_COUNT_MAX 8192
#define QUEUE_COST_MAX  ((size_t)64 << 20)

/* Long polls of workers; each is a few hundred bytes of its caller. */
#define PARKED_COUNT_MAX 16384

/* Under load a background step comes after so many batches: some percent of the commits. */
#define BATCHES_PER_CHORE 16

/* While the disk is full: how often to see whether it still is, and how much must then fit. */
#define PROBE_PERIOD_NS (1000 * MS_NS)
#define PROBE_SIZE      ((size_t)256 << 10)

/* Arena of background steps: 256 keys' records of under 1 KiB. */
#define CHORE_ARENA_MAX ((size_t)4 << 20)

struct batch {
        struct update *updates[BATCH_COUNT_MAX]; /* taken; NULL once parked */
        bool has_run[BATCH_COUNT_MAX];
        size_t count;
        size_t cost;
        bool frees_space; /* all that ran does */
        unsigned lane_counts[LANE_COUNT];
        int64_t start_ns;
};

struct writer {
        struct store *store;
        pthread_t thread;

        pthread_mutex_t mutex; /* covers all down to `stat` */
        pthread_cond_t wake_up;
        struct queue queue;
        struct update_list canceled; /* to be reported by the thread */
        bool is_draining;
        bool is_stopping;
        bool is_read_only; /* changed by the thread alone */
        bool is_latched;   /* likewise */
        int64_t batch_ns;  /* how long a batch took lately */
        void *event_context;
        void (*event_cb)(void *context, enum writer_event event, enum result r);
        struct writer_stat stat;

        /* the thread's own */
        struct txn txn;
        struct batch batch;
        unsigned batches_since_chore;
        struct chore chore;
        int64_t probe_ns;
        struct arena arena; /* of background steps */
        struct fault fault;
};

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * (1000 * MS_NS) + now.tv_nsec;
}

static void report_event(struct writer *writer, enum writer_event event, enum result r)
{
        void (*event_cb)(void *context, enum writer_event event, enum result r);
        void *context;

        pthread_mutex_lock(&writer->mutex);
        event_cb = writer->event_cb;
        context = writer->event_context;
        pthread_mutex_unlock(&writer->mutex);
        if (event_cb != NULL) event_cb(context, event, r);
}

/* ---- Callers' side ---- */

/* Whether the queue's length alone makes it miss its deadline. */
static bool is_too_late(const struct writer *writer, const struct update *update)
{
        int64_t batches = (int64_t)(writer->queue.counts[update->lane] / shares[update->lane].count_max);

        return update->deadline_ns != 0 && now_ns() + batches * writer->batch_ns >= update->deadline_ns;
}

static enum result check_submit(const struct writer *writer, const struct update *update)
{
        const struct queue *queue = &writer->queue;

        if (writer->is_draining) return R_DRAINING;
        if (writer->is_latched) return R_COMMIT_UNKNOWN;
        if (writer->is_read_only && !update->frees_space) return R_READ_ONLY;
        if (queue->counts[update->lane] >= QUEUE_COUNT_MAX) return R_EXHAUSTED;
        if (queue->cost > 0 && queue->cost + update->cost > QUEUE_COST_MAX) return R_EXHAUSTED;
        return is_too_late(writer, update) ? R_DEADLINE : R_OK;
}

enum result writer_submit(struct writer *writer, struct update *update)
{
        enum result r;

        REQUIRE((unsigned)update->lane < LANE_COUNT && update->run != NULL && update->done_cb != NULL);
        update->result = R_OK;
        update->mark = arena_mark(update->input.arena);
        update->is_taken = false;
        update->is_canceled = false;
        update->place = UPDATE_NOWHERE;
        pthread_mutex_lock(&writer->mutex);
        r = check_submit(writer, update);
        if (r == R_OK) {
                queue_push(&writer->queue, update);
                pthread_cond_signal(&writer->wake_up);
        }
        pthread_mutex_unlock(&writer->mutex);
        return r;
}

void writer_cancel(struct writer *writer, struct update *update)
{
        pthread_mutex_lock(&writer->mutex);
        if (update->place != UPDATE_NOWHERE) {
                queue_remove(&writer->queue, update);
                update_list_push(&writer->canceled, update);
                pthread_cond_signal(&writer->wake_up);
        }
        update->is_canceled = true;
        pthread_mutex_unlock(&writer->mutex);
}

void writer_drain(struct writer *writer)
{
        pthread_mutex_lock(&writer->mutex);
        writer->is_draining = true;
        pthread_cond_signal(&writer->wake_up);
        pthread_mutex_unlock(&writer->mutex);
}

void writer_stat(struct writer *writer, struct writer_stat *out)
{
        pthread_mutex_lock(&writer->mutex);
        *out = writer->stat;
        out->queued = queue_count(&writer->queue);
        out->parked = writer->queue.parked_count;
        out->is_read_only = writer->is_read_only || writer->is_latched;
        out->is_latched = writer->is_latched;
        pthread_mutex_unlock(&writer->mutex);
}

void writer_set_event_cb(struct writer *writer, void *context,
                         void (*event_cb)(void *context, enum writer_event event, enum result r))
{
        pthread_mutex_lock(&writer->mutex);
        writer->event_cb = event_cb;
        writer->event_context = context;
        pthread_mutex_unlock(&writer->mutex);
}

/* ---- What a transaction leads to ---- */

static void set_read_only(struct writer *writer, bool is_read_only)
{
        if (writer->is_read_only == is_read_only) return;
        pthread_mutex_lock(&writer->mutex);
        writer->is_read_only = is_read_only;
        pthread_mutex_unlock(&writer->mutex);
        writer->probe_ns = now_ns() + PROBE_PERIOD_NS;
        if (is_read_only) reserve_release(writer->store->dir_fd);
        report_event(writer, is_read_only ? WRITER_READ_ONLY : WRITER_WRITABLE, R_READ_ONLY);
}

static void note_failure(struct writer *writer, enum result r)
{
        if (r == R_READ_ONLY) set_read_only(writer, true);
        if (r != R_COMMIT_UNKNOWN || writer->is_latched) return;
        pthread_mutex_lock(&writer->mutex);
        writer->is_latched = true;
        pthread_mutex_unlock(&writer->mutex);
        report_event(writer, WRITER_LATCHED, r);
}

/* Commit what is in the transaction. Nobody has been told anything when this returns. */
static enum result commit(struct writer *writer, bool frees_space)
{
        struct txn *txn = &writer->txn;
        bool is_dirty = txn->is_dirty;
        enum result r;

        if ((r = txn_commit(txn, !frees_space)) != R_OK) {
                note_failure(writer, r);
                return r;
        }
        if (txn->touches_identity) atomic_fetch_add(&writer->store->identity_generation, 1);
        if (txn->touches_purge) chore_purge_soon(&writer->chore, now_ns());
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
static enum result run_alone(struct writer *writer, bool frees_space, const struct txn_input *input, txn_fn *run,
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
                report_event(writer, WRITER_DEFECT, r);
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
        int64_t elapsed_ns = now_ns() - batch->start_ns;
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
        if (update->deadline_ns != 0 && now_ns() >= update->deadline_ns) return R_DEADLINE;
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
        if (update->deadline_ns != 0 && now_ns() >= update->deadline_ns) return R_DEADLINE;
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

static void wake(struct writer *writer)
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
                update->result = run_alone(writer, update->frees_space, &update->input, update->run, update->arg);
                update->topic = writer->txn.wait;
                if (update->result == R_WAIT) park(writer, &batch->updates[i]);
                if (writer->txn.backend == NULL && update->result == R_OK) wake(writer);
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
                wake(writer);
        }
}

/* From here on the updates are their callers' again. */
static void report_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;
        int64_t took_ns = now_ns() - batch->start_ns;
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

static void turn_batch(struct writer *writer)
{
        struct batch *batch = &writer->batch;

        batch->count = 0;
        batch->cost = 0;
        batch->frees_space = true;
        memset(batch->lane_counts, 0, sizeof batch->lane_counts);
        batch->start_ns = now_ns();
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

/* ---- What ends without running ---- */

/* One that is canceled, whose deadline has passed while parked, or that is parked while we drain; NULL: there is none.
 */
static struct update *take_ended(struct writer *writer)
{
        struct update *update;

        pthread_mutex_lock(&writer->mutex);
        update = update_list_take(&writer->canceled);
        if (update != NULL) update->result = R_CANCELED;
        if (update == NULL) {
                update = queue_take_expired(&writer->queue, now_ns());
                if (update != NULL) update->result = R_DEADLINE;
        }
        if (update == NULL && writer->is_draining) {
                update = queue_take_parked(&writer->queue);
                if (update != NULL) update->result = R_DRAINING;
        }
        pthread_mutex_unlock(&writer->mutex);
        return update;
}

static void turn_ended(struct writer *writer)
{
        struct update *update;

        while ((update = take_ended(writer)) != NULL)
                update->done_cb(update);
}

/* ---- Background steps ---- */

static enum result run_background(void *context, bool frees_space, txn_fn *run, void *arg)
{
        struct writer *writer = context;
        struct txn_input input = {.arena = &writer->arena, .fault = &writer->fault};
        enum result r;

        input.time_ms = store_time_ms(writer->store);
        arena_init(&writer->arena, NULL, CHORE_ARENA_MAX);
        r = run_alone(writer, frees_space, &input, run, arg);
        arena_fini(&writer->arena);
        if (r == R_OK) wake(writer);
        return r;
}

static enum result put_probe(struct txn *txn, void *arg)
{
        static const uint8_t zeros[PROBE_SIZE];

        (void)arg;
        return txn_put(txn, TABLE_META, BYTES("probe"), bytes_of(zeros, sizeof zeros), (struct bytes){0});
}

static enum result delete_probe(struct txn *txn, void *arg)
{
        (void)arg;
        return txn_delete(txn, TABLE_META, BYTES("probe"));
}

/* See whether the disk has room again, and give the room back. */
static void probe(struct writer *writer)
{
        enum result r;

        writer->probe_ns = now_ns() + PROBE_PERIOD_NS;
        r = run_background(writer, false, put_probe, NULL);
        if (r == R_OK) r = run_background(writer, true, delete_probe, NULL);
        if (r == R_OK) r = reserve_make(writer->store->dir_fd);
        if (r == R_OK) set_read_only(writer, false);
}

static void turn_background(struct writer *writer)
{
        uint64_t row_count = 0;
        int64_t now = now_ns();
        enum result r;

        writer->batches_since_chore = 0;
        if (writer->is_latched) return;
        if (writer->is_read_only && writer->probe_ns <= now) probe(writer);
        if (chore_due_ns(&writer->chore) > now) return;
        r = chore_step(&writer->chore, writer->store, now, !writer->is_read_only, run_background, writer, &row_count);
        if (r != R_OK) report_event(writer, WRITER_CHORE, r);
        pthread_mutex_lock(&writer->mutex);
        writer->stat.purged += row_count;
        pthread_mutex_unlock(&writer->mutex);
}

/* ---- The thread ---- */

static int64_t background_due_ns(const struct writer *writer)
{
        int64_t due = chore_due_ns(&writer->chore);

        if (writer->is_latched) return INT64_MAX;
        return writer->is_read_only && writer->probe_ns < due ? writer->probe_ns : due;
}

enum work {
        WORK_UPDATES,
        WORK_BACKGROUND, /* nothing is queued, and a step is due */
        WORK_STOP,
};

static bool has_ended(const struct writer *writer)
{
        const struct queue *queue = &writer->queue;

        if (writer->canceled.first != NULL || (writer->is_draining && queue->parked_count > 0)) return true;
        return queue->parked_deadline_ns <= now_ns();
}

static void wait_until(struct writer *writer, int64_t until_ns)
{
        struct timespec until = {until_ns / (1000 * MS_NS), until_ns % (1000 * MS_NS)};

        if (until_ns == INT64_MAX)
                pthread_cond_wait(&writer->wake_up, &writer->mutex);
        else
                pthread_cond_timedwait(&writer->wake_up, &writer->mutex, &until);
}

static enum work wait_for_work(struct writer *writer)
{
        enum work work = WORK_UPDATES;

        pthread_mutex_lock(&writer->mutex);
        while (queue_count(&writer->queue) == 0 && !has_ended(writer)) {
                int64_t due_ns = background_due_ns(writer);

                if (writer->is_stopping) {
                        work = WORK_STOP;
                        break;
                }
                if (due_ns <= now_ns()) {
                        work = WORK_BACKGROUND;
                        break;
                }
                if (writer->queue.parked_deadline_ns < due_ns) due_ns = writer->queue.parked_deadline_ns;
                wait_until(writer, due_ns);
        }
        pthread_mutex_unlock(&writer->mutex);
        return work;
}

static void *run_thread(void *arg)
{
        struct writer *writer = arg;
        enum work work;

        while ((work = wait_for_work(writer)) != WORK_STOP) {
                if (work == WORK_UPDATES) {
                        turn_ended(writer);
                        turn_batch(writer);
                        writer->batches_since_chore++;
                }
                if (work == WORK_BACKGROUND || writer->batches_since_chore >= BATCHES_PER_CHORE)
                        turn_background(writer);
        }
        return NULL;
}

static void free_writer(struct writer *writer)
{
        pthread_cond_destroy(&writer->wake_up);
        pthread_mutex_destroy(&writer->mutex);
        free(writer);
}

enum result writer_start(struct store *store, struct writer **out)
{
        struct writer *writer = calloc(1, sizeof *writer);
        pthread_condattr_t attributes;

        if (writer == NULL) return R_NO_MEMORY;
        writer->store = store;
        txn_init(&writer->txn, store, true);
        queue_init(&writer->queue);
        chore_init(&writer->chore, now_ns());
        REQUIRE(pthread_condattr_init(&attributes) == 0);
        REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
        REQUIRE(pthread_cond_init(&writer->wake_up, &attributes) == 0);
        REQUIRE(pthread_mutex_init(&writer->mutex, NULL) == 0);
        pthread_condattr_destroy(&attributes);
        writer->is_read_only = reserve_make(store->dir_fd) != R_OK;
        if (pthread_create(&writer->thread, NULL, run_thread, writer) != 0) {
                free_writer(writer);
                return R_NO_MEMORY;
        }
        *out = writer;
        return R_OK;
}

void writer_stop(struct writer *writer)
{
        if (writer == NULL) return;
        pthread_mutex_lock(&writer->mutex);
        writer->is_draining = true;
        writer->is_stopping = true;
        pthread_cond_signal(&writer->wake_up);
        pthread_mutex_unlock(&writer->mutex);
        pthread_join(writer->thread, NULL);
        free_writer(writer);
}

/* ---- Waiting for one ---- */

struct waiter {
        struct update update; /* first: done_cb gets its address */
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        bool is_done;
};

static void on_done(struct update *update)
{
        struct waiter *waiter = (struct waiter *)update;

        pthread_mutex_lock(&waiter->mutex);
        waiter->is_done = true;
        pthread_cond_signal(&waiter->cond);
        pthread_mutex_unlock(&waiter->mutex);
}

enum result writer_run(struct writer *writer, const struct txn_input *input, txn_fn *run, void *arg)
{
        struct waiter waiter = {.update = {.lane = LANE_CALL, .input = *input, .run = run, .arg = arg}};
        enum result r;

        REQUIRE(!pthread_equal(pthread_self(), writer->thread));
        waiter.update.done_cb = on_done;
        pthread_mutex_init(&waiter.mutex, NULL);
        pthread_cond_init(&waiter.cond, NULL);
        r = writer_submit(writer, &waiter.update);
        if (r == R_OK) {
                pthread_mutex_lock(&waiter.mutex);
                while (!waiter.is_done)
                        pthread_cond_wait(&waiter.cond, &waiter.mutex);
                pthread_mutex_unlock(&waiter.mutex);
                r = waiter.update.result;
        }
        pthread_cond_destroy(&waiter.cond);
        pthread_mutex_destroy(&waiter.mutex);
        return r;
}
