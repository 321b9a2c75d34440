/*
 * The listeners of a server and the TLS in front of them: a public one, and for administrators a Unix socket or TCP or
 * both. What would expose keys or the store is not opened, and the sentence says what to do instead.
 *
 *      public       any address with TLS; without, loopback only, unless the options insist
 *      admin, Unix  the kernel says who connects
 *      admin, TCP   no key is asked for, so only with TLS and certificates of clients, on loopback as elsewhere
 *
 * A demo store, whose key everybody knows, is served on loopback addresses only, whatever the options say.
 *
 * Thread: the first loop's.
 */
#ifndef ALLOD_RPC_PLANES_H
#define ALLOD_RPC_PLANES_H

#include "rpc/listen.h"
#include "rpc/server.h"
#include "rpc/tls_context.h"

struct planes {
        bool is_open; /* planes_open was called */
        struct listener public_listener, admin_unix, admin_tcp;
        char address[LISTEN_TEXT_SIZE], admin_address[LISTEN_TEXT_SIZE]; /* as bound; "" when there is none */

        /* TLS */
        struct tls_tickets *tickets;                /* NULL: there is no TLS */
        struct tls_files public_files, admin_files; /* read again at each reload */
};

/* Binds, and accepts nothing yet. R_BAD_ARGUMENT, R_HELD, R_IO, R_NO_MEMORY with `why`; planes_fini in either case. */
enum result planes_open(struct planes *planes, const struct server_options *options, bool is_demo,
                        char why[SERVER_WHY_SIZE]) MUST_USE;

enum result planes_start(struct planes *planes, struct loop *loops, unsigned loop_count) MUST_USE;

/* Read certificates, keys and authorities again, for connections to come: all of them, or none and `why`. R_ABSENT:
 * there is no TLS. */
enum result planes_reload(struct planes *planes, char why[SERVER_WHY_SIZE]) MUST_USE;

/* The certificate's; -1 without TLS. */
int64_t planes_days_left(const struct planes *planes);

/* Who has connected is accepted. */
void planes_empty(struct planes *planes);

/* All listeners close. Accepts a zeroed one. */
void planes_stop(struct planes *planes);

/* No connection is left. Accepts a zeroed one. */
void planes_fini(struct planes *planes);

#endif
