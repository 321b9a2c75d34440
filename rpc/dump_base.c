#include "rpc/dump_base.h"

#include <string.h>

#include "engine/dump_frame.h"

void dump_base_init(struct dump_base_spool *spool, const struct store *store)
{
        memset(spool, 0, sizeof *spool);
        spool_init(&spool->spool, store);
}

enum result dump_base_add(struct dump_base_spool *spool, struct bytes entries, struct fault *fault)
{
        if (entries.len % DUMP_INDEX_ENTRY_SIZE != 0)
                return fault_field(fault, "since_owners", "must be whole entries of an index");
        return entries.len == 0 ? R_OK : spool_write(&spool->spool, entries, fault);
}

/* The file's next piece, filled up but for the last. R_ABSENT: there is none. */
static enum result read_piece(struct dump_base_spool *spool)
{
        size_t count;
        enum result r;

        if (spool->spool.fd < 0) return R_ABSENT;
        if (!spool->is_read && (r = spool_rewind(&spool->spool)) != R_OK) return r;
        spool->is_read = true;
        spool->len = spool->at = 0;
        do {
                r = spool_read(&spool->spool, spool->piece + spool->len, sizeof spool->piece - spool->len, &count);
                if (r != R_OK) return r;
                spool->len += count;
        } while (count > 0 && spool->len < sizeof spool->piece);
        return spool->len == 0 ? R_ABSENT : R_OK;
}

enum result dump_base_next(void *context, struct dump_entry *out)
{
        struct dump_base_spool *spool = context;
        struct owner owner;
        enum result r;

        if (spool->at == spool->len && (r = read_piece(spool)) != R_OK) return r;
        dump_entry_read(spool->piece + spool->at, out);
        spool->at += DUMP_INDEX_ENTRY_SIZE;
        if (dump_entry_owner(out, &owner) != R_OK || dump_entry_is_gone(out) ||
            memcmp(out->owner, spool->last, OWNER_PREFIX_SIZE) <= 0)
                return R_BAD_ARGUMENT;
        memcpy(spool->last, out->owner, OWNER_PREFIX_SIZE);
        return R_OK;
}

void dump_base_fini(struct dump_base_spool *spool)
{
        spool_fini(&spool->spool);
}
