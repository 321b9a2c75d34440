/*
 * AdminService.Dump: a store's dump as a stream.
 *
 *      loop                                    thread
 *      message, end: start ------------------> a snapshot; all of the dump into a file without a name; the snapshot
 * ends send the block, and when it is out <--- the next block ask for the next ---------------------> ...
 *
 * For each time it is asked, the thread answers once, by a completion; its last answer is its last deed. A call that
 * ends early is answered likewise, and the answer dropped.
 *
 * The snapshot keeps old pages from being used again, so the file is written as fast as the disk takes it, however slow
 * the reader is; and should the map or the disk come near their ends meanwhile, the dump gives up before they do.
 */
#ifndef ALLOD_RPC_DUMP_FEED_H
#define ALLOD_RPC_DUMP_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops dump_feed;

#endif
