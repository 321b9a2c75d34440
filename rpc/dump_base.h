/*
 * The owners of a dump's base as a client sends them, piece by piece, kept in a file without a name until the dump
 * reads them: their number has no bound that memory would have.
 */
#ifndef ALLOD_RPC_DUMP_BASE_H
#define ALLOD_RPC_DUMP_BASE_H

#include "engine/bytes.h"
#include "engine/dump.h"
#include "rpc/spool.h"

struct dump_base_spool {
        struct spool spool;
        bool is_read;                    /* its first piece was */
        uint8_t last[OWNER_PREFIX_SIZE]; /* owner that was given */
        size_t len, at;                  /* of the piece being read */
        uint8_t piece[512 * DUMP_INDEX_ENTRY_SIZE];
};

void dump_base_init(struct dump_base_spool *spool, const struct store *store);

/* The next bytes: entries as they are in a dump's index. R_BAD_ARGUMENT: they are no whole ones. R_READ_ONLY: the disk
 * has too little room, which the fault says. R_IO. */
enum result dump_base_add(struct dump_base_spool *spool, struct bytes entries, struct fault *fault) MUST_USE;

/* For struct dump_base, when all have been added. R_BAD_ARGUMENT: they are not in order, or of no owner. */
enum result dump_base_next(void *context, struct dump_entry *out) MUST_USE;

void dump_base_fini(struct dump_base_spool *spool);

#endif
