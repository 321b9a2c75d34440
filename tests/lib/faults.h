/*
 * Makes system calls fail where a test wants it, counts them, and shifts the wall clock.
 *
 * faults.c defines the functions of libc itself, so that the calls of shared libraries pass through it too. It serves
 * in two ways: linked into a test program, which asks faults_here; and as a library of its own for LD_PRELOAD, where a
 * program is steered from outside through a file that holds this structure and that ALLOD_FAULTS names.
 *
 * What is written to standard output and error neither counts nor fails, nor does what goes through pipes and eventfds.
 * Thread: any; one count for the process.
 */
#ifndef ALLOD_TESTS_LIB_FAULTS_H
#define ALLOD_TESTS_LIB_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The bits of `mask`; tests/client/faults.py has the same list. */
#define FAULTS_LIST(X)                                                                                                 \
        X(READ)                                                                                                        \
        X(PREAD)                                                                                                       \
        X(WRITE) /* also writev, send and sendmsg */                                                                   \
        X(PWRITE)                                                                                                      \
        X(SYNC) /* fdatasync and fsync */                                                                              \
        X(TRUNCATE)                                                                                                    \
        X(ALLOCATE) /* fallocate and posix_fallocate */                                                                \
        X(OPEN)                                                                                                        \
        X(MAKE) /* mkdir, rename */                                                                                    \
        X(MAP)                                                                                                         \
        X(LOCK)                                                                                                        \
        X(ACCEPT)                                                                                                      \
        X(POLL)                                                                                                        \
        X(WATCH)  /* epoll_ctl that adds */                                                                            \
        X(CREATE) /* epoll_create1, eventfd, pipe2, socket */                                                          \
        X(BIND)   /* bind, listen */                                                                                   \
        X(THREAD)                                                                                                      \
        X(RANDOM)                                                                                                      \
        X(HEAP) /* malloc, calloc, realloc; in the library for LD_PRELOAD that has the heap, faults_heap.so */

enum fault_kind {
#define X(name) FAULT_##name,
        FAULTS_LIST(X)
#undef X
        FAULT_KIND_COUNT
};

#define FAULT_BIT(name) (UINT64_C(1) << FAULT_##name)

struct faults {
        _Atomic uint64_t mask;      /* the calls that count */
        _Atomic uint64_t fail_at;   /* the nth of them fails, 1 being the next; 0: none */
        _Atomic uint64_t count;     /* so far, the failed ones too */
        _Atomic uint64_t fired;     /* failed so far */
        _Atomic int64_t error;      /* errno; 0: only half of what is to be written is */
        _Atomic int64_t is_lasting; /* all from the nth on */
        _Atomic int64_t clock_ns;   /* added to the wall clock */
};

struct faults *faults_here(void);

/* Off: this is a build with ThreadSanitizer, which must see all system calls itself, and nothing fails. */
bool faults_may_fail(void);

/* Start a count. */
void faults_at(uint64_t n, uint64_t mask, int error, int is_lasting);

#endif
