/*
 * A directory of a test's own, removed with all that is in it.
 */
#ifndef ALLOD_TESTS_LIB_TEMPDIR_H
#define ALLOD_TESTS_LIB_TEMPDIR_H

#define TEMPDIR_PATH_SIZE 256

struct tempdir {
        char path[TEMPDIR_PATH_SIZE]; /* "" when there is none */
};

/* Under $TMPDIR or /tmp. A test that cannot have one is aborted. */
void tempdir_make(struct tempdir *dir);

/* Accepts one that is removed already. */
void tempdir_remove(struct tempdir *dir);

/* The path of `name` in it; good until the next call in the same thread. */
const char *tempdir_file(const struct tempdir *dir, const char *name);

#endif
