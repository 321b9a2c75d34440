/*
 * AdminService.Dump: a store's dump as a stream.
 *
 * A thread (feed_task.h) takes a snapshot, writes all of the dump into a file without a name, ends the snapshot, and
 * then reads the file block by block, the next one when the peer has taken the last.
 *
 * The snapshot keeps old pages from being used again, so the file is written as fast as the disk takes it, however slow
 * the reader is; and should the map or the disk come near their ends meanwhile, the dump gives up before they do.
 */
#ifndef ALLOD_RPC_DUMP_FEED_H
#define ALLOD_RPC_DUMP_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops dump_feed;

#endif
