#include "engine/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/require.h"

/*
 * The first chunk holds an ordinary call whole: headers and request (under 2 KiB), an app of 1 KiB decoded and encoded
 * again, the reply and its header block, with room for a page of a list. Pools keep chunks of this size and no other.
 */
#define CHUNK_SIZE 16384

#define ALIGNMENT alignof(max_align_t)

struct arena_chunk {
        struct arena_chunk *older; /* in a pool: the next free one */
        size_t size;               /* of data */
        alignas(max_align_t) uint8_t data[];
};

/* Memory that no allocation holds is poisoned, so that AddressSanitizer sees a pointer used after its reset. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN
#endif

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define poison(data, size)   __asan_poison_memory_region(data, size)
#define unpoison(data, size) __asan_unpoison_memory_region(data, size)
#else
#define poison(data, size)   ((void)(data), (void)(size))
#define unpoison(data, size) ((void)(data), (void)(size))
#endif

static size_t align_up(size_t size)
{
        return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

void arena_pool_init(struct arena_pool *pool, size_t free_max)
{
        *pool = (struct arena_pool){.free_max = free_max};
}

void arena_pool_fini(struct arena_pool *pool)
{
        while (pool->free != NULL) {
                struct arena_chunk *chunk = pool->free;

                pool->free = chunk->older;
                free(chunk);
        }
        pool->free_count = 0;
}

static void push_chunk(struct arena *arena, struct arena_chunk *chunk)
{
        chunk->older = arena->chunk;
        arena->chunk = chunk;
        arena->next = chunk->data;
        arena->end = chunk->data + chunk->size;
        arena->held += chunk->size;
}

/* False: it would be too many bytes. */
static bool take(struct arena_budget *budget, size_t size)
{
        if (budget == NULL) return true;
        if (atomic_fetch_add_explicit(&budget->held, size, memory_order_relaxed) + size <= budget->held_max)
                return true;
        atomic_fetch_sub_explicit(&budget->held, size, memory_order_relaxed);
        return false;
}

static void give_back(struct arena_budget *budget, size_t size)
{
        if (budget != NULL) atomic_fetch_sub_explicit(&budget->held, size, memory_order_relaxed);
}

/* Larger chunks than a pool keeps are counted before there is one. */
static bool count_large(struct arena *arena, size_t size)
{
        struct arena_budget *all = arena->pool == NULL ? NULL : arena->pool->budget;

        if (size == CHUNK_SIZE) return true;
        if (!take(arena->share, size)) return false;
        if (take(all, size)) return true;
        give_back(arena->share, size);
        return false;
}

static void uncount_large(struct arena *arena, size_t size)
{
        if (size == CHUNK_SIZE) return;
        give_back(arena->share, size);
        if (arena->pool != NULL) give_back(arena->pool->budget, size);
}

void arena_set_share(struct arena *arena, struct arena_budget *share)
{
        const struct arena_chunk *chunk;

        REQUIRE(arena->share == NULL);
        arena->share = share;
        for (chunk = arena->chunk; chunk != NULL; chunk = chunk->older)
                if (chunk->size != CHUNK_SIZE)
                        atomic_fetch_add_explicit(&share->held, chunk->size, memory_order_relaxed);
}

void arena_init(struct arena *arena, struct arena_pool *pool, size_t held_max)
{
        *arena = (struct arena){.held_max = held_max, .pool = pool};
        if (pool != NULL && pool->free != NULL && held_max >= CHUNK_SIZE) {
                struct arena_chunk *chunk = pool->free;

                pool->free = chunk->older;
                pool->free_count--;
                push_chunk(arena, chunk);
        }
}

void arena_fini(struct arena *arena)
{
        struct arena_pool *pool = arena->pool;
        struct arena_chunk *chunk = arena->chunk;

        while (chunk != NULL) {
                struct arena_chunk *older = chunk->older;

                if (pool != NULL && chunk->size == CHUNK_SIZE && pool->free_count < pool->free_max) {
                        poison(chunk->data, chunk->size);
                        chunk->older = pool->free;
                        pool->free = chunk;
                        pool->free_count++;
                } else {
                        uncount_large(arena, chunk->size);
                        free(chunk);
                }
                chunk = older;
        }
        *arena = (struct arena){0};
}

/* Each new chunk doubles what is held, so that n bytes cost about log n chunks, as far as the cap allows. */
static bool add_chunk(struct arena *arena, size_t needed)
{
        size_t room = arena->held_max - arena->held;
        size_t size = arena->held < CHUNK_SIZE ? CHUNK_SIZE : arena->held;
        struct arena_chunk *chunk;

        if (needed > room) return false;
        if (size < needed) size = needed;
        if (size > room) size = room & ~(ALIGNMENT - 1);
        if (size < needed) return false;
        if (!count_large(arena, size)) return false;
        chunk = malloc(sizeof *chunk + size);
        if (chunk == NULL) {
                uncount_large(arena, size);
                return false;
        }
        chunk->size = size;
        poison(chunk->data, size);
        push_chunk(arena, chunk);
        return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
        size_t needed;
        void *memory;

        if (size > arena->held_max) /* from here on, sums cannot overflow */
                return NULL;
        needed = align_up(size == 0 ? 1 : size);
        if (needed > (size_t)(arena->end - arena->next) && !add_chunk(arena, needed)) return NULL;
        memory = arena->next;
        arena->next += needed;
        unpoison(memory, size);
        return memory;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
        void *memory = arena_alloc(arena, size);

        if (memory != NULL) memset(memory, 0, size);
        return memory;
}

void *arena_grow(struct arena *arena, void *old, size_t old_size, size_t size)
{
        size_t old_held = align_up(old_size == 0 ? 1 : old_size);
        void *memory;

        if (old != NULL && size <= old_size) return old;
        if (old != NULL && (uint8_t *)old + old_held == arena->next && size <= (size_t)(arena->end - (uint8_t *)old)) {
                arena->next = (uint8_t *)old + align_up(size);
                unpoison(old, size);
                return old;
        }
        memory = arena_alloc(arena, size);
        if (memory != NULL && old != NULL) memcpy(memory, old, old_size);
        return memory;
}

struct bytes arena_dup(struct arena *arena, struct bytes bytes)
{
        uint8_t *copy = bytes.len == SIZE_MAX ? NULL : arena_alloc(arena, bytes.len + 1);

        if (copy == NULL) return (struct bytes){0};
        if (bytes.len > 0) memcpy(copy, bytes.data, bytes.len);
        copy[bytes.len] = '\0';
        return bytes_of(copy, bytes.len);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
        va_list arguments;
        char *text;
        int len;

        va_start(arguments, format);
        len = vsnprintf(NULL, 0, format, arguments);
        va_end(arguments);
        if (len < 0) return NULL;
        text = arena_alloc(arena, (size_t)len + 1);
        if (text == NULL) return NULL;
        va_start(arguments, format);
        vsnprintf(text, (size_t)len + 1, format, arguments);
        va_end(arguments);
        return text;
}

struct arena_mark arena_mark(const struct arena *arena)
{
        return (struct arena_mark){arena->chunk, arena->next};
}

/* Chunks taken since the mark go to the heap, never to the pool: the pool is another thread's, maybe. */
void arena_reset(struct arena *arena, struct arena_mark mark)
{
        while (arena->chunk != mark.chunk) {
                struct arena_chunk *chunk = arena->chunk;

                REQUIRE(chunk != NULL); /* else the mark is not of this arena */
                arena->chunk = chunk->older;
                arena->held -= chunk->size;
                uncount_large(arena, chunk->size);
                free(chunk);
        }
        arena->next = mark.next;
        arena->end = mark.chunk == NULL ? NULL : mark.chunk->data + mark.chunk->size;
        poison(arena->next, (size_t)(arena->end - arena->next));
}
