/*
 * The bytes that wait for peers on one loop, beyond what the kernel takes, and the connections that they wait in.
 *
 * Each connection alone is bounded, but there are thousands. So a loop has a bound on all of them, and an address has a
 * share of that. When one is overdrawn, the connection has to end that has had bytes waiting for longest, of all or of
 * that address: a peer that reads takes what waits for it in a moment and comes behind the others again, and only who
 * reads slowly grows old here. Connections in which nothing waits are not concerned, whoever else they come from.
 *
 * The shares are BACKLOG_SHARES counters, and an address has the one that its number says; ADDRESS_NONE has none.
 *
 * Thread: the loop's.
 */
#ifndef ALLOD_RPC_BACKLOG_H
#define ALLOD_RPC_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKLOG_SHARES 1024

/* Embedded in the connection; zeroed: nothing waits. */
struct backlog_seat {
        struct backlog_seat *next, *previous;
        size_t len; /* what waits */
        uint64_t address;
};

struct backlog {
        struct backlog_seat *oldest, *newest;
        size_t len; /* of all that waits */
        size_t len_max;
        bool has_shares;
        size_t shares[BACKLOG_SHARES]; /* of that */
};

void backlog_init(struct backlog *backlog, size_t len_max, bool has_shares);

/* `len` bytes wait in a connection where none did. */
void backlog_enter(struct backlog *backlog, struct backlog_seat *seat, uint64_t address, size_t len);

/* None wait any more. Nothing happens if none did. */
void backlog_leave(struct backlog *backlog, struct backlog_seat *seat);

/* Whose connection has to end, now that something waits in one from `address`; NULL: nobody's. To be asked again until
 * then. */
struct backlog_seat *backlog_excess(const struct backlog *backlog, uint64_t address);

#endif
