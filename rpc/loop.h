/*
 * One worker thread's event loop: sockets, timers and what other threads hand over; and the host of the calls on it.
 *
 * A turn: sockets are read and served one by one, each on a snapshot no older than its read; completions of the writer
 * run, and nothing is served from an older snapshot after them; timers fire; connections that got output from elsewhere
 * are flushed; the snapshot is given back; then it sleeps.
 *
 * Thread: its own, but for loop_open, loop_close, loop_stop, loop_load and host_post.
 */
#ifndef ALLOD_RPC_LOOP_H
#define ALLOD_RPC_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "rpc/backlog.h"
#include "rpc/carrier.h"
#include "rpc/h2.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "rpc/output.h"
#include "rpc/timer_heap.h"

struct conn;

struct loop {
        struct host host;

        /* waking */
        uv_loop_t uv;
        uv_async_t async;
        uv_prepare_t before_sleep;
        uv_timer_t alarm; /* the first of `timers` */
        uv_timer_t sweep; /* connections that took too long */
        int64_t now_ns;
        struct timer_heap timers;
        _Atomic(struct completion *) posted; /* newest first */
        atomic_int stop;                     /* enum loop_stop */
        atomic_int poster_count;             /* threads inside host_post and loop_stop */

        /* connections */
        struct conn *conns;       /* all, doubly linked */
        struct conn *dirty;       /* to be flushed before sleeping, singly linked */
        atomic_size_t conn_count; /* those handed over and not yet here too */
        struct backlog backlog;   /* what their sockets do not take; UNSENT_MAX and no shares unless it is set */
        struct h2_pool h2_streams;
        uint8_t *read_buffer;     /* READ_SIZE */
        uint8_t *plain_buffer;    /* READ_SIZE, for what TLS decrypts */
        struct output output;     /* WRITE_SIZE */
        struct output records;    /* of TLS; empty but from a connection's read to its write */
        int64_t drain_until_ns;   /* 0: not draining */
        int64_t drain_ms;         /* for what is under way when the loop is stopped; DRAIN_MS unless it is set */
        struct patience patience; /* with peers; as limits.h says unless it is set */
        int64_t age_ms;  /* of connections, at which they are asked to end; 0: never; CONNECTION_AGE_MS unless set */
        uint64_t jitter; /* a sequence of pseudo-random numbers */
};

enum loop_stop {
        LOOP_RUNS,
        LOOP_DRAINS, /* finish what is under way, within drain_ms */
        LOOP_ENDS,   /* at once */
};

/* `store` NULL: a loop without a snapshot, for tests. R_NO_MEMORY, R_IO, or what view_open says. */
enum result loop_open(struct loop *loop, struct store *store, struct log *log) MUST_USE;

/* What the operator wants. */
void loop_set_patience(struct loop *loop, const struct bounds *bounds);

/* Until loop_stop was called and no connection is left. */
void loop_run(struct loop *loop);

/*
 * The loop has run to its end, or never did. Waits for threads that are still inside host_post or loop_stop: a loop may
 * have seen what they handed over, by another's wake, and ended upon it, before they come to wake it themselves. They
 * count themselves in before they hand over, so whoever saw that sees the count; and out when they no longer touch the
 * loop. Nobody may come to post for the first time: a completion that is owed keeps the loop running.
 */
void loop_close(struct loop *loop);

/* Thread: any. Only ever more: draining may be followed by ending. */
void loop_stop(struct loop *loop, enum loop_stop stop);

/*
 * uv_poll_start, for what is to be polled for beyond the start. libuv adds a descriptor to the kernel's set when the
 * loop next waits, and ends the process if there is no room for it (ENOMEM; ENOSPC beyond fs.epoll.max_user_watches,
 * which all processes of a user share). So it is added here; libuv finds it there, and changes what it waits for.
 * R_NO_MEMORY: there was no room, and it is not polled for.
 */
enum result loop_poll(struct loop *loop, uv_poll_t *poll, int fd, int events, uv_poll_cb callback) MUST_USE;

/* How many connections it has. Thread: any. */
static inline size_t loop_load(struct loop *loop)
{
        return atomic_load_explicit(&loop->conn_count, memory_order_relaxed);
}

/* It takes no connection, not even one that was accepted before. */
static inline bool loop_is_ending(struct loop *loop)
{
        return atomic_load_explicit(&loop->stop, memory_order_relaxed) == LOOP_ENDS;
}

/* The age of one connection, which differs from the next one's. */
int64_t loop_next_age_ns(struct loop *loop);

static inline struct loop *loop_of(const struct host *host)
{
        return host->loop;
}

/* The time of this event; to be called at the beginning of each. */
static inline void loop_update_time(struct loop *loop)
{
        loop->now_ns = (int64_t)uv_hrtime();
}

#endif
