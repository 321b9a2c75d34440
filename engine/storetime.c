#include "engine/storetime.h"

#include <stddef.h>
#include <time.h>

#include "engine/require.h"

static int64_t system_clock_ms(void)
{
        struct timespec now;

        REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Behind the saved time, which rows may bear already: ids of this process come after theirs then, though it does not
 * know how far the counter of ids had got in that millisecond. */
void storetime_init(struct storetime *time, int64_t saved_ms, storetime_clock *clock)
{
        time->clock = clock != NULL ? clock : system_clock_ms;
        atomic_init(&time->last_ms, saved_ms > 0 ? saved_ms + 1 : 0);
        time->bound_ms = saved_ms;
        time->raised_ms = saved_ms;
}

/* Relaxed will do: whoever learnt a time from another thread reads, by the ordering that brought it, at least that one
 * here. */
int64_t storetime_now(struct storetime *time)
{
        int64_t now = time->clock();
        int64_t last = atomic_load_explicit(&time->last_ms, memory_order_relaxed);

        while (now > last) {
                if (atomic_compare_exchange_weak_explicit(&time->last_ms, &last, now, memory_order_relaxed,
                                                          memory_order_relaxed))
                        return now;
        }
        return last;
}

bool storetime_raise(struct storetime *time, int64_t *bound_ms)
{
        int64_t now = storetime_now(time);

        if (now <= time->bound_ms) return false;
        time->raised_ms = now + STORETIME_MARGIN_MS;
        *bound_ms = time->raised_ms;
        return true;
}

void storetime_committed(struct storetime *time)
{
        time->bound_ms = time->raised_ms;
}
