/*
 * An `allod` that a test starts, watches and ends: $ALLOD, else build/allod. What it prints comes through a pipe; the
 * last part is kept for reports. What goes wrong with the process itself fails the test.
 *
 * Thread: one at a time; child_signal any.
 */
#ifndef ALLOD_TESTS_CRASH_CHILD_H
#define ALLOD_TESTS_CRASH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILD_OUTPUT_SIZE 8192
#define CHILD_ARGS_MAX    16
#define CHILD_PATIENCE_MS 60000 /* more than any step takes under a sanitizer on a busy machine */

struct child {
        pid_t pid; /* 0: none */
        int fd;    /* what it prints */
        char output[CHILD_OUTPUT_SIZE];
        size_t len;
};

/* Arguments after the program's name, ended by NULL. */
void child_start(struct child *child, const char *const *args);

/* Read what it prints until that holds `text`. False: it ended before. */
bool child_read_until(struct child *child, const char *text);

/* The word after `prefix` in what it has printed; false: there is none. */
bool child_word(const struct child *child, const char *prefix, char *out, size_t size);

/* Read what it prints for so long, or until it ends. */
void child_watch(struct child *child, int64_t microseconds);

void child_signal(const struct child *child, int number);

/* Until it has ended; its status as of waitpid. */
int child_wait(struct child *child);

#endif
