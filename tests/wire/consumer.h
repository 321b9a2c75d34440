/*
 * Stands where call.c stands: answers as the target asks, and keeps a transcript of the events.
 *
 *      /echo      at the end of the request: 200 with its body and, over HTTP/2, a trailer
 *      /early     as soon as the head is there: 413
 *      /busy      RESET_REFUSED as soon as the head is there
 *      /hold      not at all; the test does, through consumer.held
 *      /greedy    as /hold, and takes no body bytes: the test calls exchange_consume
 *      /feed      at the end: exchange_start; the test goes on through consumer.held
 *      /large     200 with consumer.large_len bytes of a pattern
 *      /empty     204
 *
 * Transcript: "head METHOD TARGET authority=... [body]\n", "data N\n", "end\n", "slow\n" (answered 504), "writable\n",
 * "closed answered\n".
 */
#ifndef ALLOD_TESTS_WIRE_CONSUMER_H
#define ALLOD_TESTS_WIRE_CONSUMER_H

#include "rpc/exchange.h"
#include "rpc/host.h"

struct consumer {
        char transcript[16384];
        size_t transcript_len;
        struct exchange *held;    /* the newest that waits for the test; NULL when it is gone */
        struct request_head head; /* of the newest request */
        size_t open;              /* calls that live */
        size_t peak;              /* most calls at a time */
        size_t large_len;
        bool is_quiet; /* no transcript */
};

extern struct consumer consumer;

void consumer_reset(void);

/* A byte of the pattern. */
static inline uint8_t pattern_at(size_t i)
{
        return (uint8_t)(i * 7 + i / 251);
}

#endif
