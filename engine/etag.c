#include "engine/etag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/fault.h"
#include "engine/store.h"
#include "engine/txn.h"

void etag_format(uint64_t restore_epoch, uint64_t revision, char out[ETAG_SIZE])
{
        snprintf(out, ETAG_SIZE, "%" PRIx64 "-%" PRIx64, restore_epoch, revision);
}

void etag_of(const struct txn *txn, uint64_t revision, char out[ETAG_SIZE])
{
        etag_format(store_restore_epoch(txn_store(txn)), revision, out);
}

enum result etag_match(struct txn *txn, const char *sent, uint64_t revision)
{
        char etag[ETAG_SIZE];

        if (sent[0] == '\0') return R_OK;
        etag_of(txn, revision, etag);
        if (strcmp(sent, etag) == 0) return R_OK;
        return fault_set(txn_fault(txn), R_STALE, "The etag does not match: it was changed since you read it.");
}
