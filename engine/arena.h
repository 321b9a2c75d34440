/*
 * Memory of one call: allocate as you go, free in one stroke, never above a hard cap.
 *
 * The first chunk comes from a pool, so that a call of ordinary size costs no heap allocation; a call that outgrows it
 * takes further chunks from the heap. An arena is used by one thread at a time and may be handed over whole: a loop
 * makes it, the writer may grow it, the same loop ends it. Only arena_init and arena_fini touch the pool, so a pool
 * belongs to one thread. What arenas hold beyond chunks that a pool keeps is counted in budgets, which any number of
 * threads share: the pool's, for all arenas, and the arena's own, for those of one caller.
 *
 * A mark is a place to go back to: a transaction function may run twice, and before each run the arena goes back to
 * the mark taken after its request was decoded.
 */
#ifndef ALLOD_ENGINE_ARENA_H
#define ALLOD_ENGINE_ARENA_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"

struct arena_chunk;

/* Bytes of chunks that no pool keeps. */
struct arena_budget {
        atomic_size_t held;
        size_t held_max;
};

/* Free first chunks, kept by one thread. */
struct arena_pool {
        struct arena_chunk *free; /* singly linked */
        size_t free_count;
        size_t free_max;             /* above this many, chunks go back to the heap */
        struct arena_budget *budget; /* of all its arenas; NULL: none */
};

struct arena {
        struct arena_chunk *chunk; /* newest; links to the older ones */
        uint8_t *next;             /* first free byte of the newest chunk */
        uint8_t *end;
        size_t held;                /* bytes of all chunks, headers left out */
        size_t held_max;            /* the cap on held */
        struct arena_pool *pool;    /* NULL: all chunks come from the heap */
        struct arena_budget *share; /* its own budget; NULL: none */
};

struct arena_mark {
        struct arena_chunk *chunk;
        uint8_t *next;
};

void arena_pool_init(struct arena_pool *pool, size_t free_max);
void arena_pool_fini(struct arena_pool *pool);

/* Allocates nothing yet. A zeroed struct arena is a valid, finished one. */
void arena_init(struct arena *arena, struct arena_pool *pool, size_t held_max);

/* Frees everything; accepts a zeroed or finished arena. Thread: the pool's. */
void arena_fini(struct arena *arena);

/* From now on it is `share` that pays too, also for what the arena holds already. Once at most. */
void arena_set_share(struct arena *arena, struct arena_budget *share);

/* Returns NULL when the heap is out, or the arena's cap or a budget would be passed. `size` 0 gives a valid
 * pointer. The memory is not cleared; it is aligned for any type and lives until the arena is reset before it or ends.
 */
void *arena_alloc(struct arena *arena, size_t size);

/* The same, cleared. */
void *arena_zalloc(struct arena *arena, size_t size);

/* Grow an allocation: in place when it is the newest one and there is room, else by copy. `old` may be NULL with
 * old_size 0. NULL leaves the old one as it was. */
void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t size);

/* A copy of `bytes` with a NUL behind it, which len does not count; .data is NULL when there is no memory. */
struct bytes arena_dup(struct arena *arena, struct bytes bytes);

/* NULL when there is no memory. */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct arena_mark arena_mark(const struct arena *arena);

/* Forget all that was allocated since the mark. */
void arena_reset(struct arena *arena, struct arena_mark mark);

#endif
