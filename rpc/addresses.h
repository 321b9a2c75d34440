/*
 * The addresses that peers come from, as the server counts them, and how many connections each has open.
 *
 * One customer of the network is one number: an IPv4 address, also inside IPv6, or the first 64 bits of an IPv6 one,
 * which is what a customer gets, to choose the rest at will. The number is a keyed hash (SipHash-2-4), so that nobody
 * can choose addresses that collide. Unix sockets have none, and loopback neither, unless it is asked for: there stand
 * reverse proxies, who speak for many, and our own tools.
 *
 * Thread: any; the table of connections has a lock, which is taken when a connection comes and when it goes.
 */
#ifndef ALLOD_RPC_ADDRESSES_H
#define ALLOD_RPC_ADDRESSES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine/result.h"

#define ADDRESS_NONE 0 /* not counted */

struct address_seat {
        uint64_t address; /* ADDRESS_NONE: free */
        uint32_t count;
};

struct addresses {
        uint64_t key[2];
        bool has_loopback;          /* loopback addresses are as others */
        uint32_t count_max;         /* connections of one address; UINT32_MAX: no bound */
        pthread_mutex_t mutex;      /* guards the seats */
        struct address_seat *seats; /* open addressing */
        size_t mask;                /* their number is a power of two, less one */
};

/* `connections_max` bounds what will be counted at a time. R_NO_MEMORY, R_DEFECT: no random numbers. */
enum result addresses_init(struct addresses *addresses, size_t connections_max, uint32_t count_max,
                           bool has_loopback) MUST_USE;

/* Accepts a zeroed one. */
void addresses_fini(struct addresses *addresses);

/* Its number, or ADDRESS_NONE. */
uint64_t addresses_number(const struct addresses *addresses, const struct sockaddr_storage *from);

/* A connection comes. False: the address has as many as it may. */
bool addresses_enter(struct addresses *addresses, uint64_t address) MUST_USE;

/* It goes. */
void addresses_leave(struct addresses *addresses, uint64_t address);

#endif
