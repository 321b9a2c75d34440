/*
 * A server's answers against the model: everything that was acknowledged is there with its content, nothing else is,
 * and of the calls that were open when the last server ended each has been done or not.
 */
#ifndef ALLOD_TESTS_CRASH_VERIFY_H
#define ALLOD_TESTS_CRASH_VERIFY_H

#include <stdbool.h>

#include "tests/crash/load.h"

/* Failures are load_failed. After it no slot has an operation open. `tries_all_keys`: one key of each slot otherwise.
 */
void load_verify(struct load *load, bool tries_all_keys);

/* Wait until the server has purged all that was deleted. */
void load_wait_purged(struct load *load);

#endif
