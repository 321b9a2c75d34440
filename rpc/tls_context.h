/*
 * What all TLS connections of a listener share: certificate, key, whose clients are let in, versions and algorithms.
 * Made anew from its files at each reload and never changed; a connection keeps the one it began with.
 *
 *      TLS_INTERMEDIATE   Mozilla's "intermediate": TLS 1.2 with forward secrecy and AEAD, and TLS 1.3. Without its
 * three suites of finite-field DHE: no client of the last ten years needs them, and anybody can make a server compute
 * them (CVE-2002-20001). TLS_MODERN         Mozilla's "modern": TLS 1.3
 *
 * ALPN: h2 before http/1.1; a client that offers others only is refused (RFC 7301 section 3.2), one that offers none
 * speaks HTTP/1.1. Neither renegotiation nor compression nor early data, which could be replayed. Sessions are resumed
 * by tickets, nothing is kept here.
 *
 * A ticket of a client with a certificate opens only where the same authorities are demanded.
 *
 * Thread: any.
 */
#ifndef ALLOD_RPC_TLS_CONTEXT_H
#define ALLOD_RPC_TLS_CONTEXT_H

#include <stdint.h>

#include "engine/result.h"
#include "rpc/tls_tickets.h"

#define TLS_WHY_SIZE 512

enum tls_profile {
        TLS_INTERMEDIATE,
        TLS_MODERN,
};

/* All PEM. */
struct tls_files {
        const char *certificate; /* the server's, and behind it those that lead to a root */
        const char *key;         /* not encrypted, and closed to those who are neither owner nor group */
        const char *client_ca;   /* authorities, one of which must vouch for each client; NULL: clients need none */
};

struct tls_context;

/* R_OK; R_BAD_ARGUMENT (a file that does not do, a pair that does not match or is out of date), R_IO, R_NO_MEMORY, with
 * a sentence in `why`. `tickets` outlive it. Blocks on the files. */
enum result tls_context_load(const struct tls_files *files, enum tls_profile profile, struct tls_tickets *tickets,
                             struct tls_context **out, char why[TLS_WHY_SIZE]) MUST_USE;

struct tls_context *tls_context_ref(struct tls_context *context);
/* Accepts NULL. */
void tls_context_unref(struct tls_context *context);

/* How long its certificate is good for, from its loading on. */
int64_t tls_context_days_left(const struct tls_context *context);

/* For tls: OpenSSL's SSL_CTX. */
struct ssl_ctx_st *tls_context_ssl(const struct tls_context *context);

#endif
