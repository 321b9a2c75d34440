/*
 * Makes the heap fail where a test wants it, and counts what was asked of it.
 *
 * Test programs are linked so that malloc, calloc and realloc of our code pass through here; those of shared libraries
 * do not. To try every error path: fail the 1st, the 2nd, ... allocation until the scenario passes untouched.
 * Thread: any; one count for the process.
 */
#ifndef ALLOD_TESTS_LIB_HEAP_H
#define ALLOD_TESTS_LIB_HEAP_H

/* The nth allocation from now on returns NULL, 1 being the next; only that one. 0: none does. Restarts heap_count. */
void heap_fail_at(unsigned long n);

/* Allocations since the last heap_fail_at, the failed one too. */
unsigned long heap_count(void);

#endif
