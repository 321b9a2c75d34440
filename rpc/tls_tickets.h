/*
 * The keys that session tickets are sealed with (RFC 5077 section 4, RFC 8446 section 4.6.1): random, in memory only,
 * one to seal with and the one before it, which still opens. Whoever takes a key from this process can read what the
 * tickets of two turns protect and nothing older, so they turn every TLS_TICKET_TURN_MS.
 *
 * Thread: any; a lock is held while a key is copied.
 */
#ifndef ALLOD_RPC_TLS_TICKETS_H
#define ALLOD_RPC_TLS_TICKETS_H

#include "engine/result.h"

struct tls_tickets;
struct ssl_ctx_st;

/* R_NO_MEMORY; R_IO: the system gives no random bytes. */
enum result tls_tickets_new(struct tls_tickets **out) MUST_USE;

/* No context that was given them is left. Accepts NULL. */
void tls_tickets_free(struct tls_tickets *tickets);

/* A new key to seal with; the present one only opens from now on, the one before it nothing. R_IO: as they were. */
enum result tls_tickets_turn(struct tls_tickets *tickets) MUST_USE;

/* For tls_context: `ssl`, OpenSSL's SSL_CTX, seals and opens its tickets with these. */
void tls_tickets_use(struct ssl_ctx_st *ssl, struct tls_tickets *tickets);

#endif
