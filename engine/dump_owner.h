/*
 * One owner out of a dump of many, as a dump of that owner alone: in a time that goes with the owner where the file can
 * be read at any place, because the index at its end tells where the owner's chunks are; else by reading all of it.
 *
 * What is written is not encrypted. By the index, what was checked is each of the owner's chunks, and that they are
 * those that the index names; from start to end, all of the dump. That a profile is missing is found only in the second
 * way, and by whoever reads what was written.
 *
 * Out of a full dump and the incremental ones on it the owner is as the last of them has it. They are read from start
 * to end, because what proves a chain is the root hash of all owners.
 */
#ifndef ALLOD_ENGINE_DUMP_OWNER_H
#define ALLOD_ENGINE_DUMP_OWNER_H

#include "engine/dump_chain.h"

/* What is read next stands at `offset`. R_IO. */
typedef enum result dump_seek_fn(void *context, uint64_t offset);

struct dump_owner_run {
        /* set by the caller */
        struct owner owner;
        const struct dump_secret *secret; /* NULL: the dump is not encrypted */
        dump_read_fn *read;
        dump_seek_fn *seek; /* NULL: it cannot be read but from its start to its end */
        uint64_t size;      /* of the dump; with seek */
        void *context;
        const struct dump_layer *layers; /* instead of what is read above: a chain */
        size_t layer_count;              /* 0: it is one dump */
        dump_write_fn *write;
        void *write_context;

        /* what became of it */
        struct dump_counts counts; /* of what was written */
        struct dump_fault fault;   /* after R_CORRUPT, R_FORMAT, R_WRONG_STATE and R_UNAUTHENTICATED */
        size_t fault_layer;        /* in which of the chain */
};

/* R_ABSENT: the dump does not have the owner. R_CORRUPT, R_FORMAT: it is damaged, or none. R_UNAUTHENTICATED: the
 * secret does not fit, or the dump is not encrypted. R_WRONG_STATE: they are no chain. R_NO_MEMORY; what the callbacks
 * answer. */
enum result dump_owner_run(struct dump_owner_run *run) MUST_USE;

#endif
