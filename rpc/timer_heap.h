/*
 * Timers in order of their due time: a skew heap, linked through the timers themselves, so that it allocates nothing.
 * Setting and clearing take O(log n) amortised.
 */
#ifndef ALLOD_RPC_TIMER_HEAP_H
#define ALLOD_RPC_TIMER_HEAP_H

#include "rpc/host.h"

/* A zeroed one is empty. */
struct timer_heap {
        struct host_timer *root; /* the first one due; NULL: none is set */
};

/* `timer` must not be set; due_ns says when. */
void timer_heap_add(struct timer_heap *heap, struct host_timer *timer);

/* Accepts a timer that is not set. */
void timer_heap_remove(struct timer_heap *heap, struct host_timer *timer);

#endif
