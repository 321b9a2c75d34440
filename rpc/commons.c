#include "rpc/commons.h"

#include <stdlib.h>
#include <sys/resource.h>

/* No more than there are descriptors for, so that the share of an address is one of what there is. */
static size_t connections_max(const struct bounds *bounds)
{
        size_t max = bounds->connections != 0 ? (size_t)bounds->connections : CONNECTIONS_MAX;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= max + DESCRIPTORS_RESERVED) return max;
        return limit.rlim_cur > 2 * DESCRIPTORS_RESERVED ? limit.rlim_cur - DESCRIPTORS_RESERVED : DESCRIPTORS_RESERVED;
}

static uint32_t connections_per_address(const struct bounds *bounds, size_t max)
{
        if (bounds->connections_per_address < 0) return UINT32_MAX;
        if (bounds->connections_per_address > 0) return (uint32_t)bounds->connections_per_address;
        return (uint32_t)(max / CONNECTIONS_SHARE + 1);
}

/* A part of what all calls may hold, but never less than one of the largest takes. */
static size_t share_max(size_t held_max)
{
        size_t part = held_max / CALL_SHARE_PART;

        return part < CALL_ARENA_MAX ? CALL_ARENA_MAX : part;
}

enum result commons_new(const struct bounds *bounds, struct commons **out)
{
        struct commons *commons = calloc(1, sizeof *commons);
        enum result r;
        size_t i;

        if (commons == NULL) return R_NO_MEMORY;
        commons->connections_max = connections_max(bounds);
        commons->body_bytes_max = bounds->body_bytes != 0 ? bounds->body_bytes : BODIES_MAX;
        /* In the same proportion to bodies as the defaults are. */
        commons->held.held_max = commons->body_bytes_max / BODIES_MAX * CALLS_HELD_MAX +
                                 commons->body_bytes_max % BODIES_MAX * (CALLS_HELD_MAX / BODIES_MAX);
        for (i = 0; i < CALL_SHARES_MAX; i++)
                commons->shares[i].held_max = share_max(commons->held.held_max);
        commons->keyless_share.held_max = share_max(commons->held.held_max);
        r = addresses_init(&commons->addresses, commons->connections_max,
                           connections_per_address(bounds, commons->connections_max), bounds->has_loopback);
        if (r != R_OK) {
                free(commons);
                return r;
        }
        guesses_init(&commons->guesses, bounds->guesses_per_minute < 0    ? 0
                                        : bounds->guesses_per_minute == 0 ? GUESSES_PER_MINUTE
                                                                          : (unsigned)bounds->guesses_per_minute);
        *out = commons;
        return R_OK;
}

void commons_free(struct commons *commons)
{
        if (commons == NULL) return;
        addresses_fini(&commons->addresses);
        free(commons);
}
