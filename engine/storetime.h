/*
 * Milliseconds since 1970 that never go back: not when the clock of the system is stepped back, and not across
 * restarts.
 *
 * Within a process the newest time given out is kept, and the clock counts only where it is ahead of it. Across
 * restarts a bound on all times that can be in committed rows is kept on disk: before the writer commits at a time
 * beyond the bound, it puts a new one, STORETIME_MARGIN_MS ahead, in the same transaction. So a busy store pays one put
 * in that many milliseconds, and after a crash time goes on from behind the bound, at most the margin ahead of the
 * clock. A clean close saves the newest time itself, and the next start is behind that.
 *
 * LIMIT: while the clock is behind, time stands still. Order does not suffer, because ids have a counter (uuid.h).
 */
#ifndef ALLOD_ENGINE_STORETIME_H
#define ALLOD_ENGINE_STORETIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A restart takes about as long, so that the clock has mostly caught up when the first call comes. */
#define STORETIME_MARGIN_MS 2000

typedef int64_t storetime_clock(void);

struct storetime {
        storetime_clock *clock;
        _Atomic int64_t last_ms; /* the newest time given out */
        int64_t bound_ms;        /* on disk; the writer's thread only */
        int64_t raised_ms;       /* proposed, not yet committed; the writer's thread only */
};

/* `saved_ms` is what the disk holds (0: nothing yet); clock NULL: the system's. */
void storetime_init(struct storetime *time, int64_t saved_ms, storetime_clock *clock);

/* Thread: any. */
int64_t storetime_now(struct storetime *time);

/* Whether a commit now needs a new bound on disk; *bound_ms is then what to put. Thread: the writer's. */
bool storetime_raise(struct storetime *time, int64_t *bound_ms);

/* The transaction with the last raise, if there was one, has committed. Thread: the writer's. */
void storetime_committed(struct storetime *time);

#endif
