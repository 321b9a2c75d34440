/*
 * Etags: which version of a record somebody saw.
 *
 * "3-2a" is restore epoch 3, revision 42, both in hex. A revision is given once in an owner's life and the epoch rises
 * with each restore, so equal texts mean equal bytes: the etag is strong (RFC 9110, 8.8.1). Clients treat it as opaque.
 * Here it has no quotes; those belong to HTTP headers.
 */
#ifndef ALLOD_ENGINE_ETAG_H
#define ALLOD_ENGINE_ETAG_H

#include <stdint.h>

#include "engine/result.h"

struct txn;

#define ETAG_SIZE 34 /* two numbers of 16 digits, the hyphen and a NUL */

void etag_format(uint64_t restore_epoch, uint64_t revision, char out[ETAG_SIZE]);

/* The etag of a record of this transaction's store. */
void etag_of(const struct txn *txn, uint64_t revision, char out[ETAG_SIZE]);

/* R_OK when `sent` is the record's etag, or is empty: nothing was asked for. R_STALE with a sentence. */
enum result etag_match(struct txn *txn, const char *sent, uint64_t revision) MUST_USE;

#endif
