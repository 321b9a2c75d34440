#include "rpc/guesses.h"

#include <string.h>

#define NS_PER_MS 1000000
#define TIME_BITS 40

static int64_t time_of(uint64_t bucket)
{
        return (int64_t)(bucket & ((UINT64_C(1) << TIME_BITS) - 1));
}

static uint64_t tag_of(uint64_t bucket)
{
        return bucket >> TIME_BITS;
}

/* Bits that the place of an address does not depend on. */
static uint64_t tag(uint64_t address)
{
        return address >> TIME_BITS;
}

static _Atomic uint64_t *places(struct guesses *guesses, uint64_t address)
{
        return guesses->buckets[address % (GUESSES_ADDRESSES_MAX / GUESSES_WAYS)];
}

/* Random to whoever knows neither the address's number nor the key. */
static uint64_t mark_of(uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        uint64_t mark;

        memcpy(&mark, digest, sizeof mark);
        return mark ^ address;
}

static _Atomic uint64_t *place_of(struct guesses *guesses, uint64_t mark)
{
        return &guesses->accepted[mark % GUESSES_ACCEPTED_MAX];
}

void guesses_init(struct guesses *guesses, unsigned per_minute)
{
        memset(guesses, 0, sizeof *guesses);
        if (per_minute > 0) guesses->cost_ms = 60000 / per_minute > 0 ? 60000 / per_minute : 1;
}

/* When the bucket can pay for a guess again, if it is full again at `full_ms`. */
static int64_t next_ms(const struct guesses *guesses, int64_t full_ms)
{
        return full_ms - (GUESSES_BURST - 1) * guesses->cost_ms;
}

int64_t guesses_wait_ms(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE],
                        int64_t now_ns)
{
        _Atomic uint64_t *bucket = places(guesses, address);
        int64_t now_ms = now_ns / NS_PER_MS;
        uint64_t mark;
        int i;

        if (now_ns > atomic_load_explicit(&guesses->until_ns, memory_order_relaxed)) return 0;
        for (i = 0; i < GUESSES_WAYS; i++) {
                uint64_t value = atomic_load_explicit(&bucket[i], memory_order_relaxed);

                if (tag_of(value) != tag(address) || next_ms(guesses, time_of(value)) <= now_ms) continue;
                mark = mark_of(address, digest);
                if (atomic_load_explicit(place_of(guesses, mark), memory_order_relaxed) == mark) return 0;
                return next_ms(guesses, time_of(value)) - now_ms;
        }
        return 0;
}

/* The address's own bucket, else the one that is full again soonest. */
static _Atomic uint64_t *choose(_Atomic uint64_t *bucket, uint64_t address, uint64_t *old)
{
        _Atomic uint64_t *best = NULL;
        int i;

        for (i = 0; i < GUESSES_WAYS; i++) {
                uint64_t value = atomic_load_explicit(&bucket[i], memory_order_relaxed);
                bool is_own = tag_of(value) == tag(address);

                if (best == NULL || is_own || time_of(value) < time_of(*old)) {
                        best = &bucket[i];
                        *old = value;
                }
                if (is_own) break;
        }
        return best;
}

static void raise(_Atomic int64_t *until_ns, int64_t ns)
{
        int64_t old = atomic_load_explicit(until_ns, memory_order_relaxed);

        while (old < ns &&
               !atomic_compare_exchange_weak_explicit(until_ns, &old, ns, memory_order_relaxed, memory_order_relaxed))
                ;
}

void guesses_wrong(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE], int64_t now_ns)
{
        int64_t now_ms = now_ns / NS_PER_MS;
        uint64_t mark = mark_of(address, digest);
        int64_t full_ms;
        uint64_t old = 0;

        /* It may have been right, and is revoked. */
        atomic_compare_exchange_strong_explicit(place_of(guesses, mark), &mark, 0, memory_order_relaxed,
                                                memory_order_relaxed);
        for (;;) {
                _Atomic uint64_t *bucket = choose(places(guesses, address), address, &old);

                full_ms = tag_of(old) == tag(address) && time_of(old) > now_ms ? time_of(old) : now_ms;
                /* No deeper than empty, however many guesses were under way. */
                if (full_ms < now_ms + GUESSES_BURST * guesses->cost_ms) full_ms += guesses->cost_ms;
                if (atomic_compare_exchange_weak_explicit(bucket, &old, tag(address) << TIME_BITS | (uint64_t)full_ms,
                                                          memory_order_relaxed, memory_order_relaxed))
                        break;
        }
        if (next_ms(guesses, full_ms) > now_ms) raise(&guesses->until_ns, next_ms(guesses, full_ms) * NS_PER_MS);
}

void guesses_right(struct guesses *guesses, uint64_t address, const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        uint64_t mark = mark_of(address, digest);

        atomic_store_explicit(place_of(guesses, mark), mark, memory_order_relaxed);
}
