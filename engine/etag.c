#include "engine/etag.h"

#include <string.h>

#include "engine/fault.h"
#include "engine/store.h"
#include "engine/txn.h"

/* Lower-case hex without leading zeros; returns what lies behind it. By hand, because every reply with an app has one.
 */
static char *put_hex(uint64_t number, char *out)
{
        unsigned digits = 1;

        while (digits < 16 && number >> (4 * digits) != 0)
                digits++;
        for (unsigned i = digits; i > 0; i--)
                *out++ = "0123456789abcdef"[number >> (4 * (i - 1)) & 0xf];
        return out;
}

void etag_format(uint64_t restore_epoch, uint64_t revision, char out[ETAG_SIZE])
{
        char *next = put_hex(restore_epoch, out);

        *next++ = '-';
        *put_hex(revision, next) = '\0';
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
