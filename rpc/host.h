/*
 * What a call may ask of the thread it runs on: one host per loop, and one offline for tools that hold the files.
 *
 * Thread: its loop's, but for host_post.
 */
#ifndef ALLOD_RPC_HOST_H
#define ALLOD_RPC_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/caller.h"
#include "engine/store.h"
#include "engine/txn.h"
#include "engine/writer.h"
#include "rpc/call_pool.h"
#include "rpc/commons.h"

/* The other end of a connection. */
struct peer {
        enum plane plane;
        char text[PEER_SIZE]; /* "127.0.0.1:50712", "192.0.2.7:4711,cn=billing", "unix:uid=0,pid=77" */
        bool is_encrypted;    /* by TLS */
        uint64_t address;     /* its number, or ADDRESS_NONE; see addresses.h */
};

/* Handed from the writer to a loop; embedded in what is handed over. */
struct completion {
        struct completion *next;
        void (*run)(struct completion *completion); /* on the loop */
        bool is_owed;                               /* host_expect's */
};

/* A one-shot timer of a loop; embedded in what it watches. Coarse: it fires up to some 10 ms late, never early. */
struct host_timer {
        int64_t due_ns; /* CLOCK_MONOTONIC */
        void (*fire_cb)(struct host_timer *timer);
        struct host_timer *left, *right, *parent; /* the heap's own; all NULL and is_set false when idle */
        bool is_set;
};

/* Counted by the loop's thread, read by others without locks: use relaxed atomics. */
struct host_counters {
        uint64_t connections_open, connections_accepted, connections_refused;
        uint64_t calls, calls_failed;
};

struct log;

struct host {
        struct store *store;
        struct view *view; /* the loop's snapshot */
        struct arena_pool arenas;
        struct call_pool calls;
        struct commons *commons; /* what it shares with other hosts; NULL: it has no calls */
        struct log *log;
        struct host_counters counters;
        bool has_reflection;
        bool is_draining;      /* health says NOT_SERVING, streams come to an end: set it, then call_on_drain */
        size_t owed;           /* completions that were announced and have not run */
        size_t stream_buffers; /* bytes of buffers in which answers in parts wait for peers */
        int64_t start_ns;
        struct host *next; /* the server's hosts in a ring; NULL: this is the only one */
        void *loop;        /* loop.c's */
};

/* Count something. Thread: the host's. */
static inline void host_count(uint64_t *counter, int64_t n)
{
        __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + (uint64_t)n, __ATOMIC_RELAXED);
}

/* `completion` will be posted, for certain: the loop does not end before it has run. */
void host_expect(struct host *host, struct completion *completion);

/* Run `completion` on the host's loop soon. Thread: any. */
void host_post(struct host *host, struct completion *completion);

/* CLOCK_MONOTONIC as of this turn of the loop. */
int64_t host_now_ns(const struct host *host);

void host_timer_set(struct host *host, struct host_timer *timer, int64_t due_ns);
void host_timer_clear(struct host *host, struct host_timer *timer);

#endif
