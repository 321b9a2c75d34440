#include "rpc/backlog.h"

#include "engine/require.h"
#include "rpc/addresses.h"
#include "rpc/limits.h"

void backlog_init(struct backlog *backlog, size_t len_max, bool has_shares)
{
        *backlog = (struct backlog){.len_max = len_max, .has_shares = has_shares};
}

static size_t share_of(uint64_t address)
{
        return address % BACKLOG_SHARES;
}

void backlog_enter(struct backlog *backlog, struct backlog_seat *seat, uint64_t address, size_t len)
{
        REQUIRE(seat->len == 0 && len > 0);
        *seat = (struct backlog_seat){.previous = backlog->newest, .len = len, .address = address};
        if (backlog->newest != NULL)
                backlog->newest->next = seat;
        else
                backlog->oldest = seat;
        backlog->newest = seat;
        backlog->len += len;
        backlog->shares[share_of(address)] += len;
}

void backlog_leave(struct backlog *backlog, struct backlog_seat *seat)
{
        if (seat->len == 0) return;
        if (seat->previous != NULL)
                seat->previous->next = seat->next;
        else
                backlog->oldest = seat->next;
        if (seat->next != NULL)
                seat->next->previous = seat->previous;
        else
                backlog->newest = seat->previous;
        backlog->len -= seat->len;
        backlog->shares[share_of(seat->address)] -= seat->len;
        *seat = (struct backlog_seat){0};
}

static bool is_over_share(const struct backlog *backlog, uint64_t address)
{
        return backlog->has_shares && address != ADDRESS_NONE &&
               backlog->shares[share_of(address)] > backlog->len_max / UNSENT_SHARE_PART;
}

struct backlog_seat *backlog_excess(const struct backlog *backlog, uint64_t address)
{
        struct backlog_seat *seat = backlog->oldest;

        if (is_over_share(backlog, address)) {
                while (seat != NULL && (seat->address == ADDRESS_NONE || share_of(seat->address) != share_of(address)))
                        seat = seat->next;
                if (seat != NULL) return seat;
        }
        return backlog->len > backlog->len_max ? backlog->oldest : NULL;
}
