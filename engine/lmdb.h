/*
 * LMDB 0.9 as the engine, and the only file that calls it.
 *
 * One environment per process and directory, opened without NOSYNC and WRITEMAP (a stray pointer could corrupt it, and
 * a full disk would be a SIGBUS), with NOTLS, so that a snapshot belongs to whoever holds it and not to a thread. The
 * map is address space, opened huge once and never grown, because growing needs a moment without any transaction. Each
 * table is a named database, opened at start; none has duplicates.
 *
 * What a failed commit means. mdb_txn_commit does four things in this order: it saves its lists of free pages, writes
 * the new pages, syncs them, and writes the meta page through a descriptor that syncs. Until the last step the old meta
 * page rules, and the old tree shares no page with the new one that it needs.
 *
 *      fails in         it returns                        here
 *      free lists       LMDB's own codes, ENOMEM          as they translate; nothing happened
 *      pages            ENOMEM                            R_NO_MEMORY; nothing happened
 *                       ENOSPC, EDQUOT, EFBIG             R_READ_ONLY; nothing happened
 *                       EIO: the disk's, or (LMDB says so in its source) a write that came out short because the
 *                       disk is full. We ask the file for more room to tell them apart: refused, it is R_READ_ONLY;
 *                       granted, R_COMMIT_UNKNOWN
 *      sync             an errno; ENOSPC counts as above, any other is R_COMMIT_UNKNOWN: the transaction is not there,
 *                       but a device that lost a page once is not to be written to again
 *      meta page        an errno, and LMDB refuses every transaction from then on, readers too (MDB_PANIC), by which we
 *                       know it: R_COMMIT_UNKNOWN, even for ENOSPC
 *
 * The remaining guess is a full disk that somebody empties between the short write and our question: then a harmless
 * failure counts as an unknown one.
 */
#ifndef ALLOD_ENGINE_LMDB_H
#define ALLOD_ENGINE_LMDB_H

#include "engine/backend_private.h"

extern const struct backend_engine lmdb_engine;

#endif
