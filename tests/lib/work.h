/*
 * What a worker does to a job, done to its rows: there is no method for it yet.
 */
#ifndef ALLOD_TESTS_LIB_WORK_H
#define ALLOD_TESTS_LIB_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/caller.h"
#include "engine/txn.h"

struct work {
        const struct credential *who; /* has RIGHT_RUN in the app's scope */
        struct uuid app, job;
        uint32_t from, to;  /* of allod.v1.JobStatus */
        const char *result; /* NULL: none */
        bool is_newer;      /* the state row also gets a field that this version does not know, and that says "kept" */
};

/* A transaction function; `arg` is a struct work. */
enum result work_run(struct txn *txn, void *arg);

#endif
