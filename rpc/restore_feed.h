/*
 * AdminService.Restore: a dump of one owner as a stream, and then what became of it.
 *
 * The loop fills one buffer while the thread (feed_task.h) writes the other one into a file without a name; when both
 * are done the buffers change places. When all is written the thread restores the owner from the file.
 *
 * While the thread is behind, the peer gets no credit, so that memory is two buffers however fast it sends. A call
 * that ends early stops it: what an unfinished restore leaves is in restore_owner.h.
 */
#ifndef ALLOD_RPC_RESTORE_FEED_H
#define ALLOD_RPC_RESTORE_FEED_H

#include "rpc/feed.h"

extern const struct feed_ops restore_feed;

#endif
