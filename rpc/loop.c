#include "rpc/loop.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "engine/require.h"
#include "rpc/conn.h"
#include "rpc/tls.h"

#define ARENAS_MAX 1024 /* first chunks kept for calls to come: a few dozen connections with all their streams */

#define NS_PER_MS 1000000

int64_t host_now_ns(const struct host *host)
{
        return loop_of(host)->now_ns;
}

/* ---- What other threads hand over ---- */

void host_post(struct host *host, struct completion *completion)
{
        struct loop *loop = loop_of(host);
        struct completion *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);

        atomic_fetch_add_explicit(&loop->poster_count, 1, memory_order_relaxed); /* the next line releases it */
        do
                completion->next = newest;
        while (!atomic_compare_exchange_weak_explicit(&loop->posted, &newest, completion, memory_order_release,
                                                      memory_order_relaxed));
        /* Whoever finds it empty wakes the loop; the others find that done. */
        if (newest == NULL) REQUIRE(uv_async_send(&loop->async) == 0);
        atomic_fetch_sub_explicit(&loop->poster_count, 1, memory_order_release);
}

void host_expect(struct host *host, struct completion *completion)
{
        completion->is_owed = true;
        host->owed++;
}

/* In the order in which they came. */
static void run_posted(struct loop *loop)
{
        struct completion *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
        struct completion *oldest = NULL;

        while (newest != NULL) {
                struct completion *next = newest->next;

                newest->next = oldest;
                oldest = newest;
                newest = next;
        }
        while (oldest != NULL) {
                struct completion *next = oldest->next;

                if (oldest->is_owed) loop->host.owed--;
                oldest->is_owed = false;
                oldest->run(oldest);
                oldest = next;
        }
}

static void close_handles(struct loop *loop)
{
        if (uv_is_closing((uv_handle_t *)&loop->async)) return;
        uv_close((uv_handle_t *)&loop->async, NULL);
        uv_close((uv_handle_t *)&loop->before_sleep, NULL);
        uv_close((uv_handle_t *)&loop->alarm, NULL);
        uv_close((uv_handle_t *)&loop->sweep, NULL);
}

static void look_for_end(struct loop *loop)
{
        int stop = atomic_load_explicit(&loop->stop, memory_order_acquire);

        if (stop == LOOP_RUNS) return;
        if (loop->drain_until_ns == 0) {
                loop->host.is_draining = true;
                loop->drain_until_ns = loop->now_ns + loop->drain_ms * NS_PER_MS;
                call_on_drain(&loop->host);
                conn_drain_all(loop);
        }
        if (stop == LOOP_ENDS || loop->now_ns > loop->drain_until_ns) conn_close_all(loop);
        /* What was posted before the stop is run before the end. */
        if (atomic_load_explicit(&loop->posted, memory_order_relaxed) != NULL) return;
        if (loop_load(loop) == 0 && loop->host.owed == 0) close_handles(loop);
}

static void on_async_cb(uv_async_t *handle)
{
        struct loop *loop = handle->data;

        loop_update_time(loop);
        run_posted(loop);
        /* What waited behind an update in its connection must see what that did: this turn's snapshot may be older. */
        if (loop->host.view != NULL) view_expire(loop->host.view);
        look_for_end(loop);
}

void loop_stop(struct loop *loop, enum loop_stop stop)
{
        int old = atomic_load(&loop->stop);

        atomic_fetch_add_explicit(&loop->poster_count, 1, memory_order_relaxed);
        while (old < (int)stop && !atomic_compare_exchange_weak(&loop->stop, &old, (int)stop))
                ;
        REQUIRE(uv_async_send(&loop->async) == 0);
        atomic_fetch_sub_explicit(&loop->poster_count, 1, memory_order_release);
}

enum result loop_poll(struct loop *loop, uv_poll_t *poll, int fd, int events, uv_poll_cb callback)
{
        struct epoll_event event = {.data.fd = fd};

        if (uv_poll_start(poll, events, callback) != 0) return R_NO_MEMORY;
        if (epoll_ctl(uv_backend_fd(&loop->uv), EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST) return R_OK;
        uv_poll_stop(poll);
        return R_NO_MEMORY;
}

/* ---- Timers ---- */

static void on_alarm_cb(uv_timer_t *handle);

static void set_alarm(struct loop *loop)
{
        const struct host_timer *first = loop->timers.root;
        int64_t left_ns;

        if (first == NULL || uv_is_closing((uv_handle_t *)&loop->alarm)) return;
        left_ns = first->due_ns - loop->now_ns;
        /* Never early: rounded up, and one more for libuv's own clock, which was read before ours. */
        uv_timer_start(&loop->alarm, on_alarm_cb, left_ns <= 0 ? 1 : (uint64_t)(left_ns / NS_PER_MS + 2), 0);
}

static void on_alarm_cb(uv_timer_t *handle)
{
        struct loop *loop = handle->data;

        loop_update_time(loop);
        while (loop->timers.root != NULL && loop->timers.root->due_ns <= loop->now_ns) {
                struct host_timer *timer = loop->timers.root;

                timer_heap_remove(&loop->timers, timer);
                timer->fire_cb(timer);
        }
        set_alarm(loop);
}

void host_timer_set(struct host *host, struct host_timer *timer, int64_t due_ns)
{
        struct loop *loop = loop_of(host);

        timer_heap_remove(&loop->timers, timer);
        timer->due_ns = due_ns;
        timer_heap_add(&loop->timers, timer);
        if (loop->timers.root == timer) set_alarm(loop);
}

/* The alarm may then ring for nothing, which costs less than setting it anew for each call that ends in time. */
void host_timer_clear(struct host *host, struct host_timer *timer)
{
        timer_heap_remove(&loop_of(host)->timers, timer);
}

/* splitmix64: any sequence does that differs from loop to loop and from run to run. */
int64_t loop_next_age_ns(struct loop *loop)
{
        int64_t spread_ns = loop->age_ms * NS_PER_MS / 100 * CONNECTION_AGE_JITTER_PERCENT;
        uint64_t z = loop->jitter += 0x9e3779b97f4a7c15;

        if (loop->age_ms == 0) return INT64_MAX / 2;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        return loop->age_ms * NS_PER_MS - spread_ns + (int64_t)(z % (uint64_t)(2 * spread_ns + 1));
}

/* ---- The turn ---- */

static void on_sweep_cb(uv_timer_t *handle)
{
        struct loop *loop = handle->data;

        loop_update_time(loop);
        conn_sweep_all(loop);
        look_for_end(loop);
}

static void before_sleep_cb(uv_prepare_t *handle)
{
        struct loop *loop = handle->data;

        conn_flush_dirty(loop);
        if (loop->host.view != NULL) view_rest(loop->host.view);
        if (atomic_load_explicit(&loop->stop, memory_order_relaxed) != LOOP_RUNS) look_for_end(loop);
}

/* ---- Setting up ---- */

static enum result open_memory(struct loop *loop)
{
        loop->read_buffer = malloc(READ_SIZE);
        loop->plain_buffer = malloc(READ_SIZE);
        loop->output.data = malloc(WRITE_SIZE);
        loop->output.size = WRITE_SIZE;
        loop->records.size = TLS_ANSWER_MAX + TLS_RECORDS_LEN(WRITE_SIZE);
        loop->records.data = malloc(loop->records.size);
        return loop->read_buffer == NULL || loop->plain_buffer == NULL || loop->output.data == NULL ||
                               loop->records.data == NULL
                       ? R_NO_MEMORY
                       : R_OK;
}

static void close_memory(struct loop *loop)
{
        free(loop->read_buffer);
        free(loop->plain_buffer);
        free(loop->output.data);
        free(loop->records.data);
        h2_pool_fini(&loop->h2_streams);
        call_pool_fini(&loop->host.calls);
        arena_pool_fini(&loop->host.arenas);
        if (loop->host.view != NULL) view_close(loop->host.view);
}

void loop_set_patience(struct loop *loop, const struct bounds *bounds)
{
        loop->patience = (struct patience){
                .head_ms = bounds->head_ms != 0 ? bounds->head_ms : HEAD_MS,
                .body_ms = bounds->body_ms != 0 ? bounds->body_ms : BODY_MS,
                .write_ms = bounds->write_ms != 0 ? bounds->write_ms : WRITE_MS,
                .idle_ms = bounds->idle_ms,
        };
}

enum result loop_open(struct loop *loop, struct store *store, struct log *log)
{
        enum result r;

        *loop = (struct loop){.host = {.store = store, .log = log}, .drain_ms = DRAIN_MS, .age_ms = CONNECTION_AGE_MS};
        loop->host.loop = loop;
        loop_set_patience(loop, &(struct bounds){0});
        arena_pool_init(&loop->host.arenas, ARENAS_MAX);
        call_pool_init(&loop->host.calls);
        backlog_init(&loop->backlog, UNSENT_MAX, false);
        loop_update_time(loop);
        loop->host.start_ns = loop->now_ns;
        loop->jitter = (uint64_t)loop->now_ns ^ (uint64_t)(uintptr_t)loop;
        r = open_memory(loop);
        if (r == R_OK && store != NULL) r = view_open(store, &loop->host.view);
        if (r == R_OK && uv_loop_init(&loop->uv) != 0) r = R_IO;
        if (r != R_OK) {
                close_memory(loop);
                return r;
        }
        if (uv_async_init(&loop->uv, &loop->async, on_async_cb) != 0) {
                uv_loop_close(&loop->uv);
                close_memory(loop);
                return R_IO;
        }
        uv_prepare_init(&loop->uv, &loop->before_sleep);
        uv_timer_init(&loop->uv, &loop->alarm);
        uv_timer_init(&loop->uv, &loop->sweep);
        loop->async.data = loop->before_sleep.data = loop->alarm.data = loop->sweep.data = loop;
        uv_prepare_start(&loop->before_sleep, before_sleep_cb);
        uv_timer_start(&loop->sweep, on_sweep_cb, SWEEP_MS, SWEEP_MS);
        return R_OK;
}

void loop_run(struct loop *loop)
{
        uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_close(struct loop *loop)
{
        while (atomic_load_explicit(&loop->poster_count, memory_order_acquire) > 0) /* for a system call at most */
                sched_yield();
        close_handles(loop);
        uv_run(&loop->uv, UV_RUN_DEFAULT); /* the close callbacks */
        REQUIRE(uv_loop_close(&loop->uv) == 0);
        close_memory(loop);
}
