/*
 * A store that a test makes, whoever serves it, and what serves it. What goes wrong fails the test.
 */
#ifndef ALLOD_TESTS_CRASH_STAGE_H
#define ALLOD_TESTS_CRASH_STAGE_H

#include <stdbool.h>

#include "tests/crash/child.h"
#include "tests/crash/load.h"
#include "tests/lib/tempdir.h"

#define EXIT_DONE   0
#define EXIT_FAILED 1

struct stage {
        struct tempdir parent;
        char dir[TEMPDIR_PATH_SIZE + 32]; /* the store's, below it */
        struct child child;
        struct load load;
};

/* A parent, and no store in it yet. */
void stage_make(struct stage *stage);

void stage_start_init(struct stage *stage, bool is_demo);

/* await: until it serves; then the load knows where. */
void stage_start_server(struct stage *stage);
void stage_await_server(struct stage *stage);

/* Wait for the child to end with that code. */
void stage_expect_exit(struct stage *stage, int code);

#endif
