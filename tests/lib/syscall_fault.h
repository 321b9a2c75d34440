/*
 * Makes system calls fail, for good and for this process only: what a disk does that breaks or fills up. For a child
 * that ends with the test.
 */
#ifndef ALLOD_TESTS_LIB_SYSCALL_FAULT_H
#define ALLOD_TESTS_LIB_SYSCALL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum syscall_fault {
        FAULT_SYNC,      /* fdatasync */
        FAULT_WRITE,     /* writev, and pwrite at or above an offset */
        FAULT_WRITE_LOW, /* pwrite below an offset */
};

/* From now on these fail with `error`. False: the kernel does not let us (no seccomp). */
bool syscall_fault(enum syscall_fault fault, uint32_t offset, int error);

#endif
