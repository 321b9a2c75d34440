/*
 * A store that is filled before anybody sees it: what a restore needs.
 *
 *      DIR/unfinished/data.mdb         filled, through a store that is open on DIR/unfinished
 *      DIR/data.mdb                    the same file, when all of it is on disk
 *
 * The rename is the moment: before it there is no store in DIR, after it there is a whole one. A crash leaves
 * DIR/unfinished, which the next store_create or store_build_begin clears away; commits before it are not on disk one
 * by one, but all together in the end. DIR's lock is held all the while.
 */
#ifndef ALLOD_ENGINE_STORE_BUILD_H
#define ALLOD_ENGINE_STORE_BUILD_H

#include "engine/store.h"

struct store_build;

/* What a store says about itself from its first row on. */
struct store_seed {
        struct uuid id;
        uint64_t restore_epoch;
        bool is_demo;
        int64_t time_ms; /* its clock does not go below */
};

/* Make an empty store in options->dir, which is made too if it is absent and refused if it holds anything, and open it.
 * As store_create; the options are those of store_open. */
enum result store_build_begin(const struct store_options *options, const struct store_seed *seed,
                              struct store_build **out, char why[STORE_WHY_SIZE]) MUST_USE;

/* Good until the build ends. */
struct store *store_build_store(struct store_build *build);

/* Close it and put it into its place. R_IO: it is not there, and nothing is left of it. The build is gone either way;
 * all views must be closed. */
enum result store_build_finish(struct store_build *build, char why[STORE_WHY_SIZE]) MUST_USE;

/* Leave nothing: not the directory either, if it was not there before. Accepts NULL. */
void store_build_abandon(struct store_build *build);

#endif
