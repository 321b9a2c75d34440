/*
 * Restores a dump into a new directory: all that is in it, with what is derived from it, or nothing.
 *
 * The store is filled beside its place (store_build.h), in transactions of some MiB, of which one is written while the
 * next is read. Then all of it is read back from the files and verified (verify.h), by two threads: its records must be
 * as many as the dump's, and the sum of their checksums (record.h) must be that of the dump's records, which were taken
 * as they were read. Only then all is synced and put into its place. Its restore epoch is one more than the dump's, and
 * its token secret is new, so that page tokens of the time before end in an error.
 */
#ifndef ALLOD_ENGINE_RESTORE_H
#define ALLOD_ENGINE_RESTORE_H

#include "engine/dump_chain.h"
#include "engine/store.h"

struct restore {
        /* set by the caller */
        struct store_options options;     /* where to */
        const char *revoked_dir;          /* a store whose revoked keys are revoked here too; NULL: none */
        bool is_dry;                      /* only read the dump, and look whether there is room for a store */
        const struct dump_secret *secret; /* of a dump that is encrypted; NULL: none */
        dump_read_fn *read;               /* the dump; or: */
        void *context;
        const struct dump_layer *layers; /* a full dump and the incremental ones on it */
        size_t layer_count;              /* 0: `read` is all */

        /* what became of it */
        struct dump_header header;
        struct dump_counts counts;
        uint8_t root_hash[SHA256_SIZE];
        uint64_t revoked_count;
        size_t fault_layer; /* after R_CORRUPT, R_FORMAT, R_WRONG_STATE and R_UNAUTHENTICATED: which of them it is;
                               layer_count: none, or all */
        char why[STORE_WHY_SIZE]; /* after anything but R_OK, a sentence */
};

/* R_OK, or nothing is left of it. R_CORRUPT: the dump is damaged. R_UNAUTHENTICATED: the secret does not
 * fit. R_WRONG_STATE: the dumps make no chain. R_FORMAT,
 * R_EXISTS, R_HELD, R_IO, R_READ_ONLY (the disk is full), R_NO_MEMORY, what the callback answers. Blocks. */
enum result restore_run(struct restore *restore) MUST_USE;

#endif
