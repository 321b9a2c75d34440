#include "tests/lib/heap.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The names are the linker's: --wrap=malloc turns calls of malloc into __wrap_malloc, and __real_malloc is malloc.
 * NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t members, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t members, size_t size);
void *__wrap_realloc(void *old, size_t size);

static atomic_ulong fail_at;
static atomic_ulong count;

void heap_fail_at(unsigned long n)
{
        atomic_store(&count, 0);
        atomic_store(&fail_at, n);
}

unsigned long heap_count(void)
{
        return atomic_load(&count);
}

static bool is_to_fail(void)
{
        return atomic_fetch_add(&count, 1) + 1 == atomic_load(&fail_at);
}

void *__wrap_malloc(size_t size)
{
        return is_to_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t members, size_t size)
{
        return is_to_fail() ? NULL : __real_calloc(members, size);
}

void *__wrap_realloc(void *old, size_t size)
{
        return is_to_fail() ? NULL : __real_realloc(old, size);
}

/* NOLINTEND(bugprone-reserved-identifier) */
