/*
 * HTTP/2: nghttp2 behind the carrier's face. Bytes in, events to the consumer, bytes out; no I/O.
 *
 * nghttp2 checks frames and the form of requests (RFC 9113). What it leaves to us, and where:
 *
 *      flow control    credit goes back as exchange_consume takes bytes, and for bytes that nobody will take when their
 *                      stream closes, else a connection of dead uploads would starve its living ones
 *      header size     counted while decoding; advertised limits bind nobody. Above it 431, above twice it a reset
 *      early answers   a window's worth of an upload that is answered already is dropped; RST_STREAM (NO_ERROR) ends a
 *                      larger one (RFC 9113 section 8.1)
 *      slow readers    a request that ends while H2_ANSWERS_MAX of answers wait for the peer is told to the consumer
 *                      when some of them are out
 *      abuse           budgets for streams that end while their handler runs and for frames that ask for nothing; when
 *                      one is overdrawn, GOAWAY (ENHANCE_YOUR_CALM) and the end. PINGs of a client that keeps its path
 *                      open have one of their own; overdrawn, it says "too_many_pings", and gRPC's clients ask less
 *                      often
 *      drain           GOAWAY with the greatest id and a PING; when that is answered, GOAWAY with the last id taken
 *
 * A reply's body is not copied until its frame is due: then from the call's arena into the output, behind its header.
 *
 * Callbacks of nghttp2 only take note and submit; produce sends.
 */
#ifndef ALLOD_RPC_H2_H
#define ALLOD_RPC_H2_H

#include "rpc/carrier.h"
#include "rpc/exchange.h"

struct h2_stream;

/* Free streams, kept by one thread. A zeroed one is empty. */
struct h2_pool {
        struct h2_stream *free;
        size_t free_count;
};

void h2_pool_fini(struct h2_pool *pool);

/* "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": how a connection of HTTP/2 begins. */
#define H2_PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LEN 24

/* NULL: no memory. All three outlive it. */
struct carrier *h2_new(struct host *host, const struct peer *peer, struct h2_pool *pool);

#endif
