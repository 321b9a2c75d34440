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
 * away and each call of the batch is run again in one of its own (writer_run_alone). So it is when step 2 finds the
 * disk full, for those that free space; the others are told R_READ_ONLY. A call that fails before it puts anything
 * costs nothing and stays in the batch; its answer too waits for the commit, because it may have seen what calls before
 * it put.
 *
 * Room is kept back for what frees space: in the map by txn_commit, on the disk by a file that is given up when the
 * disk is full (reserve.h).
 *
 *      writable ---- a commit finds the disk or map full ----> read-only
 *         ^  ^                                                   |   ^
 *         |  +------- probe: the disk has room -----------------+|   | a commit finds less than the
 *         |                                                      |   | reserve free inside
 *         +---------- probe_disk -------- fenced <--- probe -----+   |
 *                                            |                       |
 *                                            +-----------------------+
 *
 * A disk that the store itself has filled never has room for the file again, since the store's own never shrinks. So
 * when what deletions freed inside is enough, updates are taken without it: fenced, the files may not grow, and each
 * commit leaves the reserve free inside, where every page has its block on the disk already.
 */
#include "engine/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "engine/chore.h"
#include "engine/queue.h"
#include "engine/require.h"
#include "engine/reserve.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"
#include "engine/writer_private.h"

/* What may be queued: a second or two of work at 256 calls per sync of 10 ms or so, and 64 MiB of requests. More
 * waiting would only turn refusals into deadlines. */
#define QUEUE_COUNT_MAX 8192
#define QUEUE_COST_MAX  ((size_t)64 << 20)

/* Under load a background step comes after so many batches: some percent of the commits. */
#define BATCHES_PER_CHORE 16

/* What must fit again for a full disk to count as one with room. */
#define PROBE_PIECES 64

/* Arena of background steps: 256 keys' records of under 1 KiB. */
#define CHORE_ARENA_MAX ((size_t)4 << 20)

/* ---- Callers' side ---- */

/* Whether the queue's length alone makes it miss its deadline. */
static bool is_too_late(const struct writer *writer, const struct update *update)
{
        int64_t batches = (int64_t)(writer->queue.counts[update->lane] / writer_batch_share(update->lane));

        return update->deadline_ns != 0 && writer_now_ns() + batches * writer->batch_ns >= update->deadline_ns;
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
                update = queue_take_expired(&writer->queue, writer_now_ns());
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
        r = writer_run_alone(writer, frees_space, &input, run, arg);
        arena_fini(&writer->arena);
        if (r == R_OK) writer_wake(writer);
        return r;
}

static enum result put_probe(struct txn *txn, void *arg)
{
        static const uint8_t zeros[TXN_PIECE_SIZE];
        uint8_t place[TXN_PIECE_KEY_SIZE];
        enum result r;
        unsigned i;

        (void)arg;
        for (i = 0; i < PROBE_PIECES; i++) {
                r = txn_put(txn, TABLE_META, txn_piece_key(place, 'p', i), bytes_of(zeros, sizeof zeros),
                            (struct bytes){0});
                if (r != R_OK) return r;
        }
        return R_OK;
}

static enum result delete_probe(struct txn *txn, void *arg)
{
        uint8_t place[TXN_PIECE_KEY_SIZE];
        enum result r;
        unsigned i;

        (void)arg;
        for (i = 0; i < PROBE_PIECES; i++)
                if ((r = txn_delete(txn, TABLE_META, txn_piece_key(place, 'p', i))) != R_OK) return r;
        return R_OK;
}

/* Keep room back for deletions: on the disk, or if it has none, among what is free inside the files, which must not
 * grow then. That there is enough of it, the trial of each commit will tell. */
static enum result keep_reserve(struct writer *writer)
{
        enum result r = reserve_make(writer->store->dir_fd);

        if (r != R_OK && r != R_READ_ONLY) return r;
        writer->is_fenced = r == R_READ_ONLY;
        return txn_let_grow(writer->store, !writer->is_fenced);
}

/* See whether there is room again. */
static void probe(struct writer *writer)
{
        enum result r;

        writer->probe_ns = writer_now_ns() + PROBE_PERIOD_NS;
        r = keep_reserve(writer);
        if (r == R_OK) r = run_background(writer, false, put_probe, NULL);
        if (r == R_OK) r = run_background(writer, true, delete_probe, NULL);
        if (r == R_OK)
                writer_set_read_only(writer, false);
        else
                writer_give_reserve(writer);
}

/* See whether the disk has room now for the reserve and all else. */
static void probe_disk(struct writer *writer)
{
        writer->probe_ns = writer_now_ns() + PROBE_PERIOD_NS;
        if (reserve_make(writer->store->dir_fd) != R_OK || txn_let_grow(writer->store, true) != R_OK) return;
        writer->is_fenced = false;
}

static void turn_background(struct writer *writer)
{
        uint64_t row_count = 0;
        int64_t now = writer_now_ns();
        enum result r;

        writer->batches_since_chore = 0;
        if (writer->is_latched) return;
        if (writer->is_read_only && writer->probe_ns <= now)
                probe(writer);
        else if (writer->is_fenced && writer->probe_ns <= now)
                probe_disk(writer);
        if (chore_due_ns(&writer->chore) > now) return;
        r = chore_step(&writer->chore, writer->store, now, !writer->is_read_only, run_background, writer, &row_count);
        if (r != R_OK) writer_report_event(writer, WRITER_CHORE, r);
        pthread_mutex_lock(&writer->mutex);
        writer->stat.purged += row_count;
        pthread_mutex_unlock(&writer->mutex);
}

/* ---- The thread ---- */

static int64_t background_due_ns(const struct writer *writer)
{
        int64_t due = chore_due_ns(&writer->chore);

        if (writer->is_latched) return INT64_MAX;
        return (writer->is_read_only || writer->is_fenced) && writer->probe_ns < due ? writer->probe_ns : due;
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
        return queue->parked_deadline_ns <= writer_now_ns();
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
                if (due_ns <= writer_now_ns()) {
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
                        writer_turn_batch(writer);
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
        chore_init(&writer->chore, writer_now_ns());
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

static void on_done(struct update *update)
{
        struct writer_wait *wait = (struct writer_wait *)update;

        pthread_mutex_lock(&wait->mutex);
        wait->is_done = true;
        pthread_cond_signal(&wait->cond);
        pthread_mutex_unlock(&wait->mutex);
}

static void end_wait(struct writer_wait *wait)
{
        pthread_cond_destroy(&wait->cond);
        pthread_mutex_destroy(&wait->mutex);
}

enum result writer_begin(struct writer *writer, struct writer_wait *wait)
{
        enum result r;

        REQUIRE(!pthread_equal(pthread_self(), writer->thread));
        wait->update.done_cb = on_done;
        wait->is_done = false;
        pthread_mutex_init(&wait->mutex, NULL);
        pthread_cond_init(&wait->cond, NULL);
        if ((r = writer_submit(writer, &wait->update)) != R_OK) end_wait(wait);
        return r;
}

enum result writer_wait(struct writer_wait *wait)
{
        pthread_mutex_lock(&wait->mutex);
        while (!wait->is_done)
                pthread_cond_wait(&wait->cond, &wait->mutex);
        pthread_mutex_unlock(&wait->mutex);
        end_wait(wait);
        return wait->update.result;
}

static enum result run_and_wait(struct writer *writer, struct writer_wait *wait)
{
        enum result r = writer_begin(writer, wait);

        return r == R_OK ? writer_wait(wait) : r;
}

enum result writer_run(struct writer *writer, const struct txn_input *input, txn_fn *run, void *arg)
{
        struct writer_wait wait = {.update = {.lane = LANE_CALL, .input = *input, .run = run, .arg = arg}};

        return run_and_wait(writer, &wait);
}

enum result writer_run_chore(struct writer *writer, const struct txn_input *input, size_t cost, bool frees_space,
                             txn_fn *run, void *arg)
{
        struct writer_wait wait = {.update = {.lane = LANE_CHORE,
                                              .frees_space = frees_space,
                                              .cost = cost,
                                              .input = *input,
                                              .run = run,
                                              .arg = arg}};

        return run_and_wait(writer, &wait);
}
