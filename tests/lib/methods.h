/*
 * Every unary method of every service with a call of it that succeeds once, over a loopback: for tests that say
 * something of all methods.
 *
 *      methods_open(&ground);                   two tenants, an app, a job, a key and an invitation
 *      methods_call(&ground, &method_calls[i])  a grpc-status, OK the first time
 *
 * Failing to set up fails the test. One at a time.
 */
#ifndef ALLOD_TESTS_LIB_METHODS_H
#define ALLOD_TESTS_LIB_METHODS_H

#include <stdint.h>

#include "tests/lib/loopback.h"

struct ground {
        struct loopback loopback;
        char app[UUID_TEXT_LEN + 1], job[UUID_TEXT_LEN + 1], key[UUID_TEXT_LEN + 1]; /* ann's */
};

struct method_call {
        const char *path;
        const char *key;    /* NULL: an administrator's */
        const char *fields; /* of the request, as methods.c says */
};

extern const struct method_call method_calls[];
extern const size_t method_call_count;

void methods_open(struct ground *ground);
void methods_close(struct ground *ground);

/* Close the store and open it again. */
void methods_reopen(struct ground *ground);

/* -1: the call was reset. Allocates nothing of its own between the head of the request and its answer. */
int methods_call(struct ground *ground, const struct method_call *call);

/* Sums over the rows of the store: all but the store's own, and those that are no change rows. */
struct methods_digest {
        uint64_t all, records;
};
struct methods_digest methods_digest(struct ground *ground);

/* All that verify finds fails the test. */
void methods_verify(struct ground *ground);

#endif
