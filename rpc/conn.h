/*
 * A connection: the only reads and writes of sockets. What it reads goes to a carrier, which the first bytes choose
 * (HTTP/2's preface or not); what the carrier produces is written at once, in one system call for all the answers of a
 * turn. Only what the socket does not take is kept, and while there is any nothing is read and nothing produced: a peer
 * that does not read costs WRITE_SIZE, and one of many such is closed (backlog.h).
 *
 * With TLS both ways lead through tls.h: what was read is decrypted before a carrier sees it, and what a turn produced
 * goes out as few records. ALPN then chooses the carrier.
 *
 *      OPEN --> LINGERING --> CLOSED      after the last answer our side is shut, and what still comes is thrown away,
 *        \____________________^           because a reset would take the answer from the peer's hands
 *
 * Freed by the close callback only. Thread: the loop's; conn_new and its completion bring it there.
 */
#ifndef ALLOD_RPC_CONN_H
#define ALLOD_RPC_CONN_H

#include "rpc/loop.h"
#include "rpc/tls_context.h"

/* Take the socket, which does not block, to `loop`. `tls` NULL: its bytes are not encrypted; else the connection holds
 * it. R_NO_MEMORY: `fd` is still the caller's. Thread: any. */
enum result conn_new(struct loop *loop, int fd, const struct peer *peer, struct tls_context *tls) MUST_USE;

/* For the loop. */
void conn_flush_dirty(struct loop *loop);
void conn_sweep_all(struct loop *loop);
void conn_drain_all(struct loop *loop);
void conn_close_all(struct loop *loop);

#endif
