/*
 * HTTP/1.1: bytes in, events to the consumer, bytes out; no I/O.
 *
 * One request at a time: while one is being answered, what the peer has sent behind it waits, and the socket is not
 * read. Heads are gathered whole and must pass h1_head.h before llhttp reads them; bodies are counted or unchunked
 * here. Whatever is wrong with a message's form is answered once and ends the connection, because where the next
 * message begins is then anybody's guess.
 *
 *      HEAD ---> BODY ---> ANSWER ---> HEAD     kept alive
 *         \________________^     \---> END      Connection: close, an early answer, a bad message, drain
 *
 * Drain lets an idle connection be: only its owner can tell whether a request is on its way. What comes is answered
 * with Connection: close.
 *
 * Expect: 100-continue is answered when the consumer has seen the head and not refused it. Upgrades are ignored.
 */
#ifndef ALLOD_RPC_H1_H
#define ALLOD_RPC_H1_H

#include "rpc/carrier.h"
#include "rpc/exchange.h"

/* NULL: no memory. Both outlive it. */
struct carrier *h1_new(struct host *host, const struct peer *peer);

#endif
