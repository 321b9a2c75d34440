/*
 * A listening socket: accepts on its loop, and hands each connection to the loop that has the fewest.
 *
 * One acceptor, not one per loop: SO_REUSEPORT would let a second server share the port in silence, and spreads
 * long-lived connections unevenly. When descriptors run out, a spare one is given up to accept and close what waits,
 * because a connection that cannot be accepted would keep the loop spinning.
 *
 * Thread: the first loop's.
 */
#ifndef ALLOD_RPC_LISTEN_H
#define ALLOD_RPC_LISTEN_H

#include <sys/socket.h>
#include <uv.h>

#include "rpc/loop.h"
#include "rpc/tls_context.h"

#define LISTEN_WHY_SIZE  512
#define LISTEN_TEXT_SIZE 128

struct listener {
        uv_poll_t poll;
        struct host_timer pause; /* set while nothing can be accepted */
        int fd;                  /* -1: not open */
        int spare_fd;            /* to be closed when no other is left */
        enum plane plane;
        struct loop *loops; /* loops[0] is its own */
        unsigned loop_count;
        char path[256];          /* of a Unix socket, to be unlinked; "" for TCP */
        struct tls_context *tls; /* of connections to come; NULL: they are not encrypted */
};

/* Where a TCP listener is to be. */
struct listen_address {
        struct sockaddr_storage storage;
        socklen_t len;
        bool is_loopback;
};

/* "127.0.0.1:8080", "[::1]:8080", ":8080" for all of IPv4 and IPv6; numbers only. R_BAD_ARGUMENT, with `why`. */
enum result listen_parse(const char *text, struct listen_address *out, char why[LISTEN_WHY_SIZE]) MUST_USE;

/* R_IO or R_HELD (in use), with `why` in a sentence. `bound` is "127.0.0.1:40123", with the port that the system chose
 * for 0. */
enum result listen_open_tcp(struct listener *listener, const struct listen_address *address,
                            char bound[LISTEN_TEXT_SIZE], char why[LISTEN_WHY_SIZE]) MUST_USE;

/* A Unix socket of mode 0600, whatever the length of its path. What a dead server left there is removed; a socket that
 * somebody listens on is R_HELD. Peers must be root or of our own user. */
enum result listen_open_unix(struct listener *listener, const char *path, char why[LISTEN_WHY_SIZE]) MUST_USE;

/* Begin to accept, on loops[0]. */
enum result listen_start(struct listener *listener, enum plane plane, struct loop *loops, unsigned loop_count) MUST_USE;

/* Connections to come are encrypted by `tls`, which is the listener's from now on. */
void listen_use_tls(struct listener *listener, struct tls_context *tls);

/* Accept those who have connected before now: listen_stop would reset them, though their requests may be here. Accepts
 * what listen_stop does. */
void listen_empty(struct listener *listener);

/* Stop accepting, close, unlink. Accepts one that is zeroed but for fd -1, or was never started. */
void listen_stop(struct listener *listener);

#endif
