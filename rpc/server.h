/*
 * The server: loops on their threads, the public and the admin listener, signals, and the way to a clean end.
 *
 * SIGTERM and SIGINT drain: who has connected is accepted, listeners close, health says NOT_SERVING, HTTP/2 connections
 * get GOAWAY with the greatest id and, when they have answered a PING, with the last one, HTTP/1.1 answers say
 * `Connection: close`, calls in flight finish within drain_ms, and what the writer has queued is committed. A second
 * signal ends at once; nothing that was acknowledged is lost by that.
 *
 * SIGHUP reads certificates, keys and authorities again, for connections to come; if one of them does not do, all stay
 * as they were, and the log says why.
 *
 * When it is ready it tells the service manager, if there is one, and logs `listening address=ADDRESS:PORT`, with the
 * real port where 0 was asked for.
 *
 * Thread: the one that starts it also runs it, and runs the first loop.
 */
#ifndef ALLOD_RPC_SERVER_H
#define ALLOD_RPC_SERVER_H

#include <stdbool.h>

#include "engine/result.h"
#include "engine/store.h"
#include "rpc/commons.h"
#include "rpc/log.h"

#define SERVER_LISTEN_DEFAULT "127.0.0.1:8080"
#define SERVER_WORKERS_MAX    64
#define SERVER_WHY_SIZE       512

/* All texts must outlive the server. */
struct server_options {
        const char *listen;            /* "ADDRESS:PORT"; NULL: SERVER_LISTEN_DEFAULT; port 0: any */
        const char *admin_path;        /* of the Unix socket for administrators; NULL: none */
        const char *admin_listen;      /* "ADDRESS:PORT" for administrators, with TLS; NULL: none */
        const char *certificate, *key; /* PEM files; NULL: no TLS */
        const char *client_ca; /* PEM file: clients must show a certificate of one of these; NULL: they need not */
        const char *admin_ca;  /* the same for administrators over TCP; NULL: client_ca */
        unsigned workers;      /* loops; 0: one for each CPU that this process may use */
        bool is_insecure;      /* listen beyond loopback without TLS */
        bool has_no_reflection;
        int64_t drain_ms; /* for calls in flight when it is stopped; 0: DRAIN_MS */
        int64_t age_ms; /* at which a connection is asked to end, and its calls finish; 0: CONNECTION_AGE_MS; -1: never
                         */
        struct bounds bounds;
        enum log_level log_level; /* lines go to standard error */
};

struct server;

/* Opens everything; nothing is accepted before server_run. R_BAD_ARGUMENT, R_HELD (address in use), R_IO, R_NO_MEMORY,
 * R_DEFECT, each with a sentence in `why`. */
enum result server_start(const struct server_options *options, struct store *store, struct server **out,
                         char why[SERVER_WHY_SIZE]) MUST_USE;

/* Serves until a signal or server_stop, and ends cleanly. R_CORRUPT: it ended by itself in the same way, because the
 * store gives no snapshots any more. R_IO: a thread could not be made. */
enum result server_run(struct server *server) MUST_USE;

/* As the first signal does; a second time, as the second. Thread: any, while server_run runs. */
void server_stop(struct server *server);

/* "127.0.0.1:8080" */
const char *server_address(const struct server *server);

/* server_run has returned, or was never called. The store stays open. Accepts NULL. */
void server_free(struct server *server);

#endif
