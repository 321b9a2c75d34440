/* Whether a function breaks an invariant: it is run in a child, which must end by SIGABRT. */
#ifndef ALLOD_TESTS_LIB_ABORT_H
#define ALLOD_TESTS_LIB_ABORT_H

#include <stdbool.h>

/* The child has the calling thread alone, and must not begin transactions: LMDB belongs to the parent. */
bool aborts(void (*run)(void *arg), void *arg);

#endif
