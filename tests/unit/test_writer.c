#include "engine/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/message.h"
#include "engine/scope.h"
#include "engine/store_private.h"
#include "store/v1/store.pb.h"
#include "tests/lib/fixture.h"
#include "tests/lib/syscall_fault.h"
#include "tests/lib/test.h"

static struct fixture fixture;
static struct writer *writer;

/* ---- Calls ---- */

#define CALL_COUNT_MAX 9000

struct call {
        struct update update; /* first: done_cb gets its address */
        struct arena arena;
        struct fault fault;
        struct uuid app;    /* the row it puts */
        struct topic topic; /* what it waits for, or wakes */
        enum result result; /* what the function returns */
        bool puts;
        bool waits;
        unsigned run_count;
        unsigned run_order; /* of the last run, from 1 */
        unsigned done_order;
};

static struct call calls[CALL_COUNT_MAX];
static size_t call_count;

/* Under the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned done_count;
static unsigned run_count;
static bool is_gate_open;
static bool is_at_gate;
static unsigned event_counts[WRITER_CHORE + 1];

static void on_event(void *context, enum writer_event event, enum result r)
{
        (void)context;
        (void)r;
        pthread_mutex_lock(&mutex);
        event_counts[event]++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
}

static int set_up(void **state)
{
        (void)state;
        call_count = 0;
        done_count = 0;
        run_count = 0;
        memset(event_counts, 0, sizeof event_counts);
        fixture_init(&fixture);
        writer = store_writer(fixture.store);
        writer_set_event_cb(writer, NULL, on_event);
        return 0;
}

static int tear_down(void **state)
{
        size_t i;

        (void)state;
        for (i = 0; i < call_count; i++)
                arena_fini(&calls[i].arena);
        fixture_fini(&fixture);
        return 0;
}

static void on_done(struct update *update)
{
        struct call *call = (struct call *)update;

        pthread_mutex_lock(&mutex);
        call->done_order = ++done_count;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
}

static enum result run_call(struct txn *txn, void *arg)
{
        struct call *call = arg;
        const struct scope *scope;
        enum result r;

        pthread_mutex_lock(&mutex);
        call->run_count++;
        call->run_order = ++run_count;
        pthread_mutex_unlock(&mutex);
        if (call->waits && call->run_count == 1) {
                txn_wait_on(txn, call->topic);
                return R_WAIT;
        }
        if (!call->waits && call->topic.len > 0) txn_wake(txn, call->topic);
        if (!call->puts) return call->result;
        if ((r = scope_open(txn, &fixture.as_one, RIGHT_CREATE, &scope)) != R_OK) return r;
        r = scope_put(scope, &(struct row){.kind = ROW_APP, .app = call->app}, 1, BYTES("app"));
        return r == R_OK ? call->result : r;
}

static struct call *add_call(void)
{
        struct call *call = &calls[call_count++];

        *call = (struct call){.puts = true};
        arena_init(&call->arena, NULL, 1 << 20);
        call->app = uuid_v7(FIXTURE_TIME_MS);
        call->update = (struct update){.run = run_call, .arg = call, .done_cb = on_done};
        call->update.input = fixture_input(&fixture);
        call->update.input.arena = &call->arena;
        call->update.input.fault = &call->fault;
        return call;
}

static struct call *submit_call(void)
{
        struct call *call = add_call();

        assert_int_equal(writer_submit(writer, &call->update), R_OK);
        return call;
}

static void wait_until_done(unsigned count)
{
        pthread_mutex_lock(&mutex);
        while (done_count < count)
                pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
}

static unsigned event_count(enum writer_event event)
{
        unsigned count;

        pthread_mutex_lock(&mutex);
        count = event_counts[event];
        pthread_mutex_unlock(&mutex);
        return count;
}

/* ---- A gate: the writer stands still, so that what is queued meanwhile is one batch ---- */

static struct call gate;

static void on_gate(struct update *update)
{
        (void)update;
        pthread_mutex_lock(&mutex);
        is_at_gate = true;
        pthread_cond_broadcast(&changed);
        while (!is_gate_open)
                pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
}

static void close_gate(void)
{
        is_gate_open = false;
        is_at_gate = false;
        gate = (struct call){0};
        gate.update = (struct update){.run = run_call, .arg = &gate, .done_cb = on_gate};
        gate.update.input = fixture_input(&fixture);
        gate.update.input.arena = &gate.arena;
        gate.update.input.fault = &gate.fault;
        assert_int_equal(writer_submit(writer, &gate.update), R_OK);
        pthread_mutex_lock(&mutex);
        while (!is_at_gate)
                pthread_cond_wait(&changed, &mutex);
        run_count = 0;
        pthread_mutex_unlock(&mutex);
}

static void open_gate(void)
{
        pthread_mutex_lock(&mutex);
        is_gate_open = true;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
}

/* ---- What is there ---- */

static enum result count_rows(struct txn *txn, void *arg)
{
        size_t *count = arg;
        const struct scope *scope;
        size_t i;

        *count = 0;
        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_READ, &scope), R_OK);
        for (i = 0; i < call_count; i++)
                *count += scope_app_exists(scope, calls[i].app) == R_OK;
        return R_OK;
}

static size_t rows_there(void)
{
        size_t count = 0;

        assert_int_equal(fixture_view(&fixture, count_rows, &count), R_OK);
        return count;
}

static struct writer_stat stat_now(void)
{
        struct writer_stat stat;

        writer_stat(writer, &stat);
        return stat;
}

/* ---- Batches ---- */

/* What is queued shares a transaction and its commit; an ordinary failure in it costs the others nothing; all is there
 * after a restart. */
static void test_batch(void **state)
{
        struct writer_stat before;
        struct writer_stat after;
        size_t i;

        (void)state;
        close_gate();
        before = stat_now();
        for (i = 0; i < 100; i++) {
                struct call *call = submit_call();

                if (i % 10 == 7) {
                        call->puts = false;
                        call->result = R_WRONG_STATE;
                }
        }
        assert_int_equal(stat_now().queued, 100);
        open_gate();
        wait_until_done(100);
        after = stat_now();
        assert_true(after.commits < before.commits + 90); /* one, but for the bound on a batch's time */
        assert_int_equal(after.updates, before.updates + 100);
        assert_int_equal(after.batches_rerun, 0);
        for (i = 0; i < 100; i++) {
                assert_int_equal(calls[i].update.result, i % 10 == 7 ? R_WRONG_STATE : R_OK);
                assert_int_equal(calls[i].run_count, 1);
        }
        assert_int_equal(rows_there(), 90);
        fixture_reopen(&fixture);
        writer = store_writer(fixture.store);
        assert_int_equal(rows_there(), 90);
}

/* A call that fails after a put is undone and told so; the batch is run again one by one, without loss to the others.
 */
static void test_defect(void **state)
{
        struct writer_stat stat;
        size_t i;

        (void)state;
        close_gate();
        for (i = 0; i < 10; i++) {
                struct call *call = submit_call();

                if (i == 4) call->result = R_EXISTS;
                if (i == 6) {
                        call->puts = false;
                        call->result = R_STALE;
                }
        }
        open_gate();
        wait_until_done(10);
        stat = stat_now();
        assert_int_equal(stat.batches_rerun, 1);
        assert_int_equal(event_count(WRITER_DEFECT), 1);
        for (i = 0; i < 10; i++) {
                assert_int_equal(calls[i].update.result, i == 4 ? R_DEFECT : i == 6 ? R_STALE : R_OK);
                assert_in_range(calls[i].run_count, i == 4 ? 2 : 1, i <= 4 ? 2 : 1);
        }
        assert_int_equal(rows_there(), 8);
}

/* Waiting without saying for what would wait for ever. */
static void test_wait_for_nothing(void **state)
{
        struct call *call;

        (void)state;
        close_gate();
        call = submit_call();
        call->puts = false;
        call->result = R_WAIT;
        open_gate();
        wait_until_done(1);
        assert_int_equal(call->update.result, R_DEFECT);
}

/* ---- Turns ---- */

/* A scope with one call does not wait behind a scope with many. */
static void test_scopes_take_turns(void **state)
{
        struct call *call;
        unsigned i;

        (void)state;
        close_gate();
        for (i = 0; i < 150; i++) {
                call = add_call();
                call->update.turn = 5;
                assert_int_equal(writer_submit(writer, &call->update), R_OK);
        }
        for (i = 0; i < 2; i++) {
                call = add_call();
                call->update.turn = 6 + i;
                assert_int_equal(writer_submit(writer, &call->update), R_OK);
        }
        open_gate();
        wait_until_done(152);
        assert_in_range(calls[150].run_order, 1, 3);
        assert_in_range(calls[151].run_order, 1, 3);
        for (i = 1; i < 150; i++)
                assert_true(calls[i].run_order > calls[i - 1].run_order);
}

/* Later lanes have their share of a batch, however many calls there are. */
static void test_lanes_share(void **state)
{
        unsigned i;

        (void)state;
        close_gate();
        for (i = 0; i < 600; i++) {
                struct call *call = add_call();

                if (i >= 598) call->update.lane = i == 598 ? LANE_WORKER : LANE_CHORE;
                call->puts = false;
                assert_int_equal(writer_submit(writer, &call->update), R_OK);
        }
        open_gate();
        wait_until_done(600);
        assert_in_range(calls[598].run_order, 1, 194);
        assert_in_range(calls[599].run_order, 1, 194);
}

/* ---- Bounds ---- */

/* The queue has an end, by count and by bytes; what it refuses is not run, and what it took is. */
static void test_queue_is_bounded(void **state)
{
        struct call *call;
        unsigned i;

        (void)state;
        close_gate();
        for (i = 0; i < 8192; i++) {
                call = add_call();
                call->puts = false;
                assert_int_equal(writer_submit(writer, &call->update), R_OK);
        }
        call = add_call();
        assert_int_equal(writer_submit(writer, &call->update), R_EXHAUSTED);
        call->update.lane = LANE_WORKER;
        call->update.cost = 60 << 20;
        assert_int_equal(writer_submit(writer, &call->update), R_OK);
        call = add_call();
        call->update.lane = LANE_WORKER;
        call->update.cost = 5 << 20;
        assert_int_equal(writer_submit(writer, &call->update), R_EXHAUSTED);
        open_gate();
        wait_until_done(8193);
        assert_int_equal(calls[8193].run_count, 0);
}

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* A deadline that has passed is refused; one that passes in the queue is reported, and the call not run; so is one that
 * passes while it is parked. */
static void test_deadlines(void **state)
{
        struct call *late;
        struct call *queued;
        struct call *parked;

        (void)state;
        late = add_call();
        late->update.deadline_ns = 1;
        assert_int_equal(writer_submit(writer, &late->update), R_DEADLINE);
        close_gate();
        queued = add_call();
        queued->update.deadline_ns = now_ns() + 20000000;
        assert_int_equal(writer_submit(writer, &queued->update), R_OK);
        while (now_ns() < queued->update.deadline_ns)
                ;
        open_gate();
        wait_until_done(1);
        assert_int_equal(queued->update.result, R_DEADLINE);
        assert_int_equal(queued->run_count, 0);

        parked = add_call();
        parked->waits = true;
        parked->topic = (struct topic){"never", 5};
        parked->update.deadline_ns = now_ns() + 100000000;
        assert_int_equal(writer_submit(writer, &parked->update), R_OK);
        wait_until_done(2);
        assert_int_equal(parked->update.result, R_DEADLINE);
        assert_int_equal(parked->run_count, 1);
        assert_int_equal(stat_now().parked, 0);
}

/* ---- Cancel ---- */

/* What has not begun is dropped and reported; what is done stays done. */
static void test_cancel(void **state)
{
        struct call *kept;
        struct call *dropped;

        (void)state;
        close_gate();
        kept = submit_call();
        dropped = submit_call();
        writer_cancel(writer, &dropped->update);
        writer_cancel(writer, &dropped->update);
        open_gate();
        wait_until_done(2);
        assert_int_equal(kept->update.result, R_OK);
        assert_int_equal(dropped->update.result, R_CANCELED);
        assert_int_equal(dropped->run_count, 0);
        writer_cancel(writer, &kept->update);
        assert_int_equal(kept->update.result, R_OK);
        assert_int_equal(rows_there(), 1);
}

/* ---- Waiting and waking ---- */

static void wait_until_parked(size_t count)
{
        while (stat_now().parked < count)
                ;
}

static struct call *submit_waiter(struct topic topic)
{
        struct call *call = add_call();

        call->waits = true;
        call->topic = topic;
        assert_int_equal(writer_submit(writer, &call->update), R_OK);
        return call;
}

static struct call *submit_waker(struct topic topic)
{
        struct call *call = add_call();

        call->topic = topic;
        assert_int_equal(writer_submit(writer, &call->update), R_OK);
        return call;
}

static const struct topic topic_a = {"a", 1};
static const struct topic topic_b = {"b", 1};

/* A parked call runs again when its topic wakes, also if the waker comes later in the very batch, and no other does;
 * one that is canceled while parked never does. */
static void test_wait_and_wake(void **state)
{
        struct call *first;
        struct call *second;
        struct call *other;
        struct call *canceled;
        struct call *waker;

        (void)state;
        first = submit_waiter(topic_a);
        other = submit_waiter(topic_b);
        canceled = submit_waiter(topic_a);
        wait_until_parked(3);
        writer_cancel(writer, &canceled->update);
        wait_until_done(1);
        assert_int_equal(canceled->update.result, R_CANCELED);

        close_gate();
        second = submit_waiter(topic_a);
        waker = submit_waker(topic_a);
        open_gate();
        wait_until_done(4);
        assert_int_equal(waker->update.result, R_OK);
        assert_int_equal(first->update.result, R_OK);
        assert_int_equal(second->update.result, R_OK);
        assert_int_equal(second->run_count, 2);
        assert_int_equal(other->run_count, 1);
        assert_int_equal(canceled->run_count, 1);
        assert_int_equal(stat_now().parked, 1);

        submit_waker(topic_b);
        wait_until_done(6);
        assert_int_equal(other->update.result, R_OK);
        assert_int_equal(rows_there(), 5);
}

/* A waker whose own transaction is thrown away, because it fails after a put, wakes nobody. */
static void test_failed_waker(void **state)
{
        struct call *waiter;
        struct call *waker;

        (void)state;
        waiter = submit_waiter(topic_a);
        wait_until_parked(1);
        close_gate();
        waker = submit_waker(topic_a);
        waker->result = R_EXISTS;
        open_gate();
        wait_until_done(1);
        assert_int_equal(waker->update.result, R_DEFECT);
        assert_int_equal(waiter->run_count, 1);
        assert_int_equal(stat_now().parked, 1);
        submit_waker(topic_a);
        wait_until_done(3);
        assert_int_equal(waiter->update.result, R_OK);
}

/* Draining finishes what is queued, sends the parked home and refuses what is new. */
static void test_drain(void **state)
{
        struct call *parked;
        struct call *queued;
        struct call *waits;
        struct call *refused;

        (void)state;
        parked = submit_waiter(topic_a);
        wait_until_parked(1);
        close_gate();
        queued = submit_call();
        waits = submit_waiter(topic_b);
        writer_drain(writer);
        refused = add_call();
        assert_int_equal(writer_submit(writer, &refused->update), R_DRAINING);
        open_gate();
        wait_until_done(3);
        assert_int_equal(parked->update.result, R_DRAINING);
        assert_int_equal(waits->update.result, R_DRAINING);
        assert_int_equal(queued->update.result, R_OK);
        assert_int_equal(rows_there(), 1);
}

/* ---- Identity ---- */

static atomic_bool is_reported;
static atomic_bool is_over;
static atomic_uint stale_count;

static enum result authenticate(struct txn *txn, void *arg)
{
        return caller_authenticate(txn, arg);
}

/* A loop: its view, with its table of callers, all the time. */
static void *run_view(void *arg)
{
        struct txn_input input = *(const struct txn_input *)arg;
        struct view *view;
        struct arena arena;
        struct fault fault;
        enum result r;

        arena_init(&arena, NULL, 1 << 20);
        input.arena = &arena;
        input.fault = &fault;
        if (view_open(fixture.store, &view) != R_OK) return NULL;
        while (!atomic_load(&is_over)) {
                bool must_know = atomic_load(&is_reported);

                view_expire(view);
                r = view_run(view, &input, authenticate, &fixture.as_two);
                if (r == R_OK && must_know) atomic_fetch_add(&stale_count, 1);
                if (must_know) atomic_store(&is_over, true);
        }
        view_close(view);
        arena_fini(&arena);
        return NULL;
}

static void on_revoked(struct update *update)
{
        atomic_store(&is_reported, true);
        on_done(update);
}

static enum result revoke_key(struct txn *txn, void *arg)
{
        const struct row row = {.kind = ROW_KEY, .id = fixture.two_key};
        const struct scope *scope;
        struct record record;
        store_v1_ApiKey key;
        struct bytes body;
        enum result r;

        (void)arg;
        if ((r = scope_open_personal(txn, &fixture.as_two, &scope)) != R_OK) return r;
        if ((r = scope_get(scope, &row, &record)) != R_OK) return r;
        if ((r = message_load(&store_v1_ApiKey_msg, record.body, &key)) != R_OK) return r;
        key.revoked_at_ms = txn_time_ms(txn);
        if ((r = message_store(txn_arena(txn), &store_v1_ApiKey_msg, &key, &body)) != R_OK) return r;
        return scope_put(scope, &row, record.revision, body);
}

/* Once a revocation is reported, no view that starts its run afterwards lets the key pass. */
static void test_revocation_is_seen(void **state)
{
        const struct txn_input input = fixture_input(&fixture);
        pthread_t threads[2];
        struct call *call;
        size_t i;

        (void)state;
        atomic_store(&is_reported, false);
        atomic_store(&is_over, false);
        atomic_store(&stale_count, 0);
        for (i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, run_view, (void *)(uintptr_t)&input), 0);
        for (i = 0; i < 50; i++)
                submit_call();
        call = add_call();
        call->update.run = revoke_key;
        call->update.done_cb = on_revoked;
        assert_int_equal(writer_submit(writer, &call->update), R_OK);
        for (i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        wait_until_done(51);
        assert_int_equal(call->update.result, R_OK);
        assert_int_equal(atomic_load(&stale_count), 0);
}

/* ---- Many threads ---- */

#define THREAD_COUNT 4
#define PER_THREAD   200

static void *submit_many(void *arg)
{
        struct call *mine = arg;
        size_t i;

        for (i = 0; i < PER_THREAD; i++) {
                if (writer_submit(writer, &mine[i].update) != R_OK) return NULL;
                if (i % 3 == 0) writer_cancel(writer, &mine[i].update);
        }
        return arg;
}

/* Whatever the order of submitting, canceling and running, each call is reported once, and its row is there if and only
 * if it is told R_OK. */
static void test_many_threads(void **state)
{
        pthread_t threads[THREAD_COUNT];
        size_t ok_count = 0;
        size_t i;

        (void)state;
        for (i = 0; i < THREAD_COUNT * PER_THREAD; i++) {
                add_call();
                calls[i].update.turn = i;
        }
        for (i = 0; i < THREAD_COUNT; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &calls[i * PER_THREAD]), 0);
        for (i = 0; i < THREAD_COUNT; i++) {
                void *result;

                pthread_join(threads[i], &result);
                assert_non_null(result);
        }
        wait_until_done(THREAD_COUNT * PER_THREAD);
        for (i = 0; i < THREAD_COUNT * PER_THREAD; i++) {
                assert_true(calls[i].update.result == R_OK || calls[i].update.result == R_CANCELED);
                ok_count += calls[i].update.result == R_OK;
        }
        assert_int_equal(rows_there(), ok_count);
        assert_int_equal(done_count, THREAD_COUNT * PER_THREAD);
}

/* ---- A full map ---- */

static const uint8_t filling[64 << 10];

static enum result fill(struct txn *txn, void *arg)
{
        struct call *call = arg;
        const struct scope *scope;
        enum result r;

        if ((r = scope_open(txn, &fixture.as_one, RIGHT_CREATE, &scope)) != R_OK) return r;
        return scope_put(scope, &(struct row){.kind = ROW_APP, .app = call->app}, 1, bytes_of(filling, sizeof filling));
}

static enum result delete_app(struct txn *txn, void *arg)
{
        struct call *call = arg;
        const struct scope *scope;
        enum result r;

        if ((r = scope_open(txn, &fixture.as_one, RIGHT_DELETE, &scope)) != R_OK) return r;
        return scope_delete(scope, &(struct row){.kind = ROW_APP, .app = call->app});
}

/* When the map is full, puts are refused whole and deletes go on; once there is room a probe lets puts pass again. */
static void test_full_map(void **state)
{
        struct call *call;
        size_t full;
        size_t i;

        (void)state;
        fixture.map_size = 4 << 20;
        fixture_reopen(&fixture);
        writer = store_writer(fixture.store);
        writer_set_event_cb(writer, NULL, on_event);
        do {
                call = add_call();
                call->update.run = fill;
                assert_int_equal(writer_submit(writer, &call->update), R_OK);
                wait_until_done((unsigned)call_count);
        } while (call->update.result == R_OK && call_count < 1000);
        assert_int_equal(call->update.result, R_READ_ONLY);
        full = call_count;
        assert_int_equal(event_count(WRITER_READ_ONLY), 1);
        assert_true(stat_now().is_read_only);
        assert_int_equal(rows_there(), full - 1);

        for (i = 0; i < full - 1; i++) {
                struct call *deletion = add_call();

                /* Until here a snapshot holds the pages that deletions free, so that they live on the reserve alone. */
                if (i == 20) view_rest(fixture.view);
                deletion->app = calls[i].app;
                deletion->update.run = delete_app;
                deletion->update.arg = deletion;
                deletion->update.frees_space = true;
                assert_int_equal(writer_submit(writer, &deletion->update), R_OK);
                wait_until_done((unsigned)call_count);
                assert_int_equal(deletion->update.result, R_OK);
        }
        pthread_mutex_lock(&mutex);
        while (event_counts[WRITER_WRITABLE] == 0)
                pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
        call = submit_call();
        wait_until_done((unsigned)call_count);
        assert_int_equal(call->update.result, R_OK);
}

/* ---- Broken disks, in a child whose system calls fail ---- */

#define NO_SECCOMP 77

#define CHECK(condition)                                                                                               \
        do {                                                                                                           \
                if (condition) break;                                                                                  \
                fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                        \
                _exit(1);                                                                                              \
        } while (0)

struct breakage {
        enum syscall_fault fault;
        int error;
};

/* On the writer thread, whose calls are to fail; what it puts is lost. */
static enum result break_disk(struct txn *txn, void *arg)
{
        const struct breakage *breakage = arg;
        struct call lost = {.puts = true, .app = uuid_v7(FIXTURE_TIME_MS)};

        if (!syscall_fault(breakage->fault, 2 * 4096, breakage->error)) _exit(NO_SECCOMP);
        return run_call(txn, &lost);
}

static void run_child(struct breakage breakage, enum result expected, enum writer_event event, bool is_latched)
{
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
                struct call *call;

                set_up(NULL);
                CHECK(fixture_update(&fixture, break_disk, &breakage) == expected);
                CHECK(event_count(event) == 1);
                CHECK(stat_now().is_read_only && stat_now().is_latched == is_latched);
                call = add_call();
                CHECK(writer_submit(writer, &call->update) == expected);
                CHECK(rows_there() == 0);
                CHECK(faccessat(fixture.store->dir_fd, "reserve", F_OK, 0) == (is_latched ? 0 : -1));
                tear_down(NULL);
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP) skip();
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* After a sync that failed no update is taken any more, and reads go on. */
static void test_failed_sync(void **state)
{
        (void)state;
        run_child((struct breakage){FAULT_SYNC, EIO}, R_COMMIT_UNKNOWN, WRITER_LATCHED, true);
}

/* On a full disk the call is refused whole, and the reserve is given up for those that free space. */
static void test_full_disk(void **state)
{
        (void)state;
        run_child((struct breakage){FAULT_WRITE, ENOSPC}, R_READ_ONLY, WRITER_READ_ONLY, false);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_batch, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_defect, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wait_for_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_scopes_take_turns, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lanes_share, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_queue_is_bounded, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deadlines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wait_and_wake, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_failed_waker, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drain, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_revocation_is_seen, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many_threads, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_map, set_up, tear_down),
                cmocka_unit_test(test_failed_sync),
                cmocka_unit_test(test_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
