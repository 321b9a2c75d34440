/*
 * AdminService.Restore: a dump of one owner as a stream, and then what became of it.
 *
 *      loop                                         thread
 *      message: options                             -
 *      message: bytes into one buffer ------------> the other buffer into a file without a name
 *      the buffers change places <----------------- written
 *      end, and all is written -------------------> restore_owner_run
 *      the answer <-------------------------------- its outcome
 *
 * While the thread is behind, the peer gets no credit, so that memory is two buffers however fast it sends. For each
 * time it is asked, the thread answers once, by a completion; the answer that says so is its last deed. A call that
 * ends early stops it: what an unfinished restore leaves is in restore_owner.h. The file goes with the process.
 */
#ifndef ALLOD_RPC_RESTORE_FEED_H
#define ALLOD_RPC_RESTORE_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops restore_feed;

#endif
