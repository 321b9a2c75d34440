/*
 * AdminService.Verify: what must hold in a store (engine/verify.h), looked at while it is served, as a stream.
 *
 *      loop                                    thread
 *      message, end: start ------------------> a snapshot; some rows; the snapshot back; a rest, as the rate wants it;
 * .. send faults and progress, and when <--- four times a second, when there is no snapshot they are out ask for more
 * ------------> ..
 *
 * A snapshot is held for SLICE_NS or SLICE_SIZE, whichever ends first, and none while the peer is waited for: old pages
 * are used again as if nobody read, so nothing has to watch the room in the map. For each time it is asked, the thread
 * answers once, by a completion; its last answer is its last deed.
 *
 * LMDB's tree is not walked from outside, since the server has the files open: that is for the offline tool. A page
 * that cannot be read is told all the same when its rows are.
 */
#ifndef ALLOD_RPC_VERIFY_FEED_H
#define ALLOD_RPC_VERIFY_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops verify_feed;

#endif
