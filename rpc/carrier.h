/*
 * What a connection knows of the HTTP version it carries: bytes in, bytes out, no socket and no clock.
 *
 * The connection calls receive with what it read, then produce until nothing comes out, writes that, and closes once
 * is_finished. None of these is called from inside another. An answer that is given later, outside them, wakes the
 * connection through wake_cb, which only takes note.
 *
 * Thread: the connection's loop.
 */
#ifndef ALLOD_RPC_CARRIER_H
#define ALLOD_RPC_CARRIER_H

#include <stdbool.h>

#include "engine/bytes.h"
#include "rpc/output.h"

struct carrier;

/* What is being waited for, so that the connection knows how long to be patient. */
enum carrier_phase {
        CARRIER_GREETING, /* the first head or preface */
        CARRIER_HEAD,     /* the rest of a head (HTTP/1.1) */
        CARRIER_BODY,     /* the rest of a body (HTTP/2: of bodies, and nothing else) */
        CARRIER_SENDING,  /* the peer's flow control lets nothing out */
        CARRIER_BUSY,     /* a call of ours */
        CARRIER_IDLE,     /* the next request */
};

/* How long the peer may take, in milliseconds. */
struct patience {
        int64_t head_ms, body_ms, write_ms;
        int64_t idle_ms; /* 0: the carrier's own */
};

struct carrier_ops {
        /* Takes all of it. */
        void (*receive)(struct carrier *carrier, struct bytes bytes);
        /* Appends what fits into an empty output; to be called again after that was written, until nothing comes. */
        void (*produce)(struct carrier *carrier, struct output *output);
        /* The peer sends no more; what it has sent whole may still be answered. */
        void (*end_input)(struct carrier *carrier);
        /* False: the socket is not to be read for now. */
        bool (*wants_read)(const struct carrier *carrier);
        /* Nothing will follow what was produced. */
        bool (*is_finished)(const struct carrier *carrier);
        enum carrier_phase (*phase)(const struct carrier *carrier);
        /* End requests with which the peer is too slow while others go on; how many. To be called now and then. NULL:
         * there is never more than one. */
        size_t (*hurry)(struct carrier *carrier, const struct patience *patience);
        /* Finish the requests that are under way, and those that may be on their way to us; take no more. */
        void (*drain)(struct carrier *carrier);
        /* Ends what is under way, with call_on_closed. */
        void (*free)(struct carrier *carrier);
        long idle_ms; /* how long CARRIER_IDLE may last */
};

struct carrier {
        const struct carrier_ops *ops;
        void (*wake_cb)(struct carrier *carrier); /* set by the connection; there is output */
        void *owner;                              /* the connection's */
        uint64_t progress;     /* heads that were complete: a phase that outlasts one of them begins anew */
        const char *complaint; /* why it had to end the connection, in static words; NULL: it had not */
};

#endif
