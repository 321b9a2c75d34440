/*
 * Every bound on what a peer can make this server hold or do, in one place, each with its reason.
 *
 * Bytes unless the name says otherwise; times in milliseconds.
 */
#ifndef ALLOD_RPC_LIMITS_H
#define ALLOD_RPC_LIMITS_H

#include <stddef.h>

/* ---- Requests ---- */

/* A head: method, target and fields, each field with 32 bytes of overhead as RFC 9113 section 6.5.2 counts them. Ours
 * are below 1 KiB; 16 KiB leaves room for what proxies add. Above it 431; a block of twice that is not even read. */
#define HEAD_SIZE_MAX   ((size_t)16 << 10)
#define HEAD_FIELDS_MAX 128 /* HTTP/1.1; each costs a call or two, whatever its length */
#define HEAD_TARGET_MAX ((size_t)8 << 10)
#define CHUNK_LINE_MAX  256 /* HTTP/1.1: a chunk's size and its extensions, which nobody uses */
#define CHUNK_OVERHEAD_MAX                                                                                             \
        ((size_t)64 << 10) /* and all those lines and trailers of one body: 4 MiB in chunks of 1 KiB */

/* ---- HTTP/2 ---- */

/* Streams of one connection at a time. gRPC libraries open another connection or wait; each may hold a call. */
#define H2_STREAMS_MAX 100

/* What a peer may send ahead of our taking it. A stream's window lets a 4 MiB body over a 50 ms path arrive in 16 round
 * trips; the connection's is what bounds memory, since bodies that are taken count against their call's arena. */
#define H2_STREAM_WINDOW     ((size_t)256 << 10)
#define H2_CONNECTION_WINDOW ((size_t)1 << 20)

/* Streams that end while their handler runs, whoever reset them (CVE-2023-44487, CVE-2025-8671): two full sets at once,
 * then 33 a second, the library's own rate. */
#define H2_RESETS_BURST      200
#define H2_RESETS_PER_SECOND 33

/* SETTINGS, PING, PRIORITY and empty DATA frames, and answers to PINGs that we did not send (CVE-2019-9512, 9515,
 * 9518). Clients of gRPC measure the path with a PING per round trip while replies flow, so each DATA frame sent earns
 * two. */
#define H2_CONTROLS_BURST      1000
#define H2_CONTROLS_PER_SECOND 100
#define H2_CONTROLS_PER_DATA   2

/* WINDOW_UPDATEs cost as much beyond what was sent. Clients update two windows, the connection's and the stream's, most
 * of them when a part of one is used up, and the most eager (Go's) for each 4 KiB that is read. */
#define H2_UPDATES_PER_FRAME 2 /* of HEADERS and DATA */
#define H2_UPDATE_LEN        1024

/* PINGs while nothing is sent; each HEADERS and DATA frame earns some, as above. gRPC's servers take one each five
 * minutes, and clients that keep a path through a NAT open are cut off for it; ours answers one a second, with a
 * minute's worth at once. Libraries ask at most every 10 s. */
#define H2_PINGS_BURST      60
#define H2_PINGS_PER_SECOND 1

/* ---- Answers ---- */

#define RESPONSE_FIELDS_MAX 16 /* ours; the carrier adds three */

/* Bytes of one stream that wait for the peer: exchange_write takes no more. */
#define STREAM_BUFFER_SIZE ((size_t)64 << 10)

/* Whole answers of one connection of HTTP/2 that are not out: above it, the next requests wait for the peer to read. An
 * answer is in memory for that long with all that it was made from, some 12 MiB for the largest job, and a hundred
 * streams might ask for one each. */
#define H2_ANSWERS_MAX ((size_t)1 << 20)

/* Bytes of one connection that wait for its socket. Two buffers of that size belong to each loop, one to read into and
 * one to write from; a connection holds one of its own only while its socket is full. */
#define READ_SIZE  ((size_t)64 << 10)
#define WRITE_SIZE ((size_t)256 << 10)

/* Those of all connections: as many as a thousand that read slowly have, each loop having its part of it but no less
 * than UNSENT_MIN. An address may hold a part of that. Above it the connection ends that has not caught up for longest.
 * The operator's do not count. */
#define UNSENT_MAX        ((size_t)256 << 20)
#define UNSENT_MIN        ((size_t)16 << 20)
#define UNSENT_SHARE_PART 8

/* And the buffers of streams that are answered in parts, on one loop: 256 full ones. Above it a stream has
 * STREAM_BUFFER_BUSY, some 20 MiB for as many as there may be. */
#define STREAM_BUFFERS_MAX ((size_t)16 << 20)
#define STREAM_BUFFER_BUSY ((size_t)1 << 10)

/* What the kernel may hold of a connection beyond what is on its way. It grows to megabytes for each, else, and a peer
 * that reads slowly would look like one that does not read at all. */
#define KERNEL_UNSENT_MAX (128 << 10)

/* HTTP/1.1: body bytes that the consumer has not taken; above it the socket is not read. */
#define H1_UNCONSUMED_MAX ((size_t)64 << 10)

/* ---- Connections ---- */

/* In all, if descriptors allow: each costs some 10 KiB while idle. */
#define CONNECTIONS_MAX 20000
/* Descriptors that are not for connections: the store, loops, listeners, standard streams. */
#define DESCRIPTORS_RESERVED 64
#define DESCRIPTORS_MIN      (DESCRIPTORS_RESERVED + 32) /* the server does not start with fewer */
/* One address may have this part of them, 1,250: thousands of callers behind it when they speak HTTP/2, some hundreds
 * of processes with a pool each when they speak HTTP/1.1, and it takes sixteen addresses to have them all. */
#define CONNECTIONS_SHARE 16
#define LISTEN_BACKLOG    1024
/* Sockets taken from a listener in one turn, so that a flood of them does not keep loop 0 from its own. */
#define ACCEPTS_PER_TURN 64
/* Before accepting is tried again when the system has nothing left to do it with. */
#define ACCEPT_PAUSE_MS 100

/* ---- Keys ---- */

/* Wrong keys from one address: a fleet that has been given a bad key is told so a hundred times; then the ten a minute
 * that come back are 5 million a year, of the 10^8 that even a key of eight digits has. */
#define GUESSES_BURST      100
#define GUESSES_PER_MINUTE 10

/* Addresses whose wrong keys are remembered, 64 KiB, and pairs of address and key that were accepted lately, 128 KiB.
 * Powers of two. */
#define GUESSES_ADDRESSES_MAX 8192
#define GUESSES_ACCEPTED_MAX  16384

/* ---- TLS ---- */

/* What a client may send before its handshake is done: a hello of some 2 KiB, and a chain of certificates. */
#define TLS_HANDSHAKE_LEN_MAX ((size_t)64 << 10)
#define TLS_CLIENT_CHAIN_MAX  (32 << 10) /* a dozen certificates; each is parsed and verified */
#define TLS_CLIENT_DEPTH_MAX  8

/* A file of certificates or a key. It also bounds what a handshake answers at once: our chain, and the names of the
 * clients' authorities; with tickets and alerts beside them. */
#define TLS_FILE_MAX   ((size_t)64 << 10)
#define TLS_ANSWER_MAX (2 * TLS_FILE_MAX + ((size_t)16 << 10))

/* How long a session can be resumed, and how long a key seals its tickets: each opens for two turns. */
#define TLS_SESSION_SECONDS 3600
#define TLS_TICKET_TURN_MS  3600000

/* ---- Times ---- */

#define HEAD_MS    10000  /* from accept or a head's first byte to its last: slower than any honest path */
#define BODY_MS    30000  /* in which a body must go on, and by so much: */
#define BODY_RATE  1024   /* bytes a second: a tenth of what the slowest of mobile networks carry */
#define H1_IDLE_MS 75000  /* kept alive between requests */
#define H2_IDLE_MS 600000 /* without a stream; gRPC clients keep connections, and find a closed one at once */
#define WRITE_MS   30000  /* in which a peer must take some of what waits for it, and by so much: */
#define WRITE_RATE 1024   /* bytes a second of a connection, */
#define SEND_RATE  256    /* and of a stream of HTTP/2 whose window the peer keeps shut */
#define LINGER_MS  2000   /* for the peer to read our last words after we close our side */
#define DRAIN_MS   10000  /* for calls in flight when the server stops, unless it is told otherwise */
/* When an idle connection is to end: for a request that is on its way already, and for the answer to our PING. Several
 * round trips over the longest path. */
#define DRAIN_GRACE_MS 1000

/* A connection is asked to end at this age, give or take so much that those of one moment do not come again in one
 * moment: clients then spread over the servers that there are, and see new certificates. */
#define CONNECTION_AGE_MS             3600000
#define CONNECTION_AGE_JITTER_PERCENT 10

#define SWEEP_MS 500 /* how often these are looked at */

/* ---- Calls ---- */

/* A body of REST, and a message of gRPC: an input of that size and the fields beside it. */
#define REST_BODY_MAX    ((size_t)4 << 20)
#define GRPC_MESSAGE_MAX (((size_t)4 << 20) + 4096)

/* Memory of one call. The worst is a page of jobs with their inputs by REST: up to 6 MiB of rows in a buffer that
 * doubled its way there (12), unpacked (6), and as JSON in another such buffer (16); a 4 MiB body that is merged into a
 * record as large takes less. */
#define CALL_ARENA_MAX ((size_t)48 << 20)

/* Bytes of requests that are under way in the process, those aside that are no larger than BODY_SMALL_MAX: 64 of the
 * largest. What is small fits into the 16 KiB that each call has, and is bounded by the number of calls. */
#define BODIES_MAX     ((size_t)256 << 20)
#define BODY_SMALL_MAX ((size_t)8 << 10)

/* What all calls of the process hold beyond 16 KiB each: 64 bodies of the largest in buffers that doubled their way
 * there, and half as much again for what becomes of them. Above it a call that needs more is told that memory is out,
 * while those of ordinary size go on. One key may hold an eighth of it, two calls of the largest kind; so may all calls
 * without a key together. */
#define CALLS_HELD_MAX  ((size_t)768 << 20)
#define CALL_SHARE_PART 8
#define CALL_SHARES_MAX 4096

/* Calls that are open at a time in the process, each loop having its part of them but no fewer than CALLS_OPEN_MIN:
 * some 36 KiB each at worst, with their heads. When half of them are, a connection may have H2_STREAMS_BUSY and no
 * more. Calls of methods that take no key may be a quarter of them in all: clients that watch the health of a server
 * have one each, and so may whoever wants no more than places. The operator is not counted out. */
#define CALLS_OPEN_MAX  20000
#define CALLS_OPEN_MIN  1000
#define KEYLESS_SHARE   4
#define H2_STREAMS_BUSY 10

/* Free calls kept by a loop, some 4 KiB each: as many as 40 busy connections have streams. */
#define CALL_POOL_MAX 4096

/* ---- Streaming methods ---- */

#define FEED_REQUEST_MAX  ((size_t)64 << 10) /* one message: names and numbers */
#define FEED_MESSAGES_MAX 10000              /* in a stream: a reflection client asks once for each symbol */
#define FEED_WAITING_MAX  ((size_t)1 << 20)  /* bytes for a peer that does not read; our largest message is 0.1 MiB */

#endif
