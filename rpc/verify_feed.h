/*
 * AdminService.Verify: what must hold in a store (engine/verify.h), looked at while it is served, as a stream.
 *
 * A thread (feed_task.h) takes a snapshot, reads some rows, gives the snapshot back and rests as the rate wants it.
 * Four times a second, while it has none, it answers with faults and progress, and goes on when the peer has taken
 * them.
 *
 * A snapshot is held for SLICE_NS or SLICE_SIZE, whichever ends first, and none while the peer is waited for: old pages
 * are used again as if nobody read, so nothing has to watch the room in the map.
 *
 * LMDB's tree is not walked from outside, since the server has the files open: that is for the offline tool. A page
 * that cannot be read is told all the same when its rows are.
 */
#ifndef ALLOD_RPC_VERIFY_FEED_H
#define ALLOD_RPC_VERIFY_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops verify_feed;

#endif
