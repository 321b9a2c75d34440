/*
 * Keys that were guessed wrong, counted for each address, so that guessing ends before any look-up.
 *
 * Every address has a bucket of GUESSES_BURST wrong keys, which fills up again slowly. While it is empty, no key from
 * there is looked up, right or wrong: the answer would be what a guesser wants. One exception, because many may share
 * an address: a key that was accepted from the same address lately goes on being looked up. What a guesser could learn
 * by that is a key that a neighbour of his has just used; and a newcomer there waits until the bucket has filled up.
 *
 * The table has a fixed size and no lock. An entry is 24 bits of the address's number and 40 bits of time, the moment
 * (CLOCK_MONOTONIC in milliseconds) at which the bucket will be full again; it is free once that has passed. When all
 * places that an address may have are taken, the one that is full again soonest gives way: who has thousands of
 * addresses has thousands of buckets in any case.
 *
 * Thread: any.
 */
#ifndef ALLOD_RPC_GUESSES_H
#define ALLOD_RPC_GUESSES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/caller.h"
#include "rpc/limits.h"

#define GUESSES_WAYS 8 /* a cache line */

struct guesses {
        int64_t cost_ms;          /* of one guess; 0: guesses are not counted */
        _Atomic int64_t until_ns; /* no bucket is empty after that */
        _Atomic uint64_t buckets[GUESSES_ADDRESSES_MAX / GUESSES_WAYS][GUESSES_WAYS];
        _Atomic uint64_t accepted[GUESSES_ACCEPTED_MAX]; /* marks of (address, key) */
};

/* per_minute 0: they are not counted. */
void guesses_init(struct guesses *guesses, unsigned per_minute);

/* How long the address must wait for its next guess; 0: it need not. `digest` is the key's. */
int64_t guesses_wait_ms(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE],
                        int64_t now_ns);

/* The key was none. */
void guesses_wrong(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE],
                   int64_t now_ns);

/* It was one. */
void guesses_right(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE]);

#endif
