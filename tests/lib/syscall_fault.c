#include "tests/lib/syscall_fault.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* The kernel's filter program sees the call's number and its arguments as 32-bit halves; ours are little-endian
 * machines and offsets below 4 GiB. */
#define LOAD(field)             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP(test, value, t, f) BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (t), (f))
#define ALLOW                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FAIL(error)             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)(error))

static bool install(struct sock_filter *filter, unsigned short len)
{
        const struct sock_fprog program = {len, filter};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool syscall_fault(enum syscall_fault fault, uint32_t offset, int error)
{
        struct sock_filter sync[] = {LOAD(nr), JUMP(BPF_JEQ, SYS_fdatasync, 0, 1), FAIL(error), ALLOW};
        struct sock_filter write[] = {
                LOAD(nr),      JUMP(BPF_JEQ, SYS_writev, 3, 0), JUMP(BPF_JEQ, SYS_pwrite64, 0, 3),
                LOAD(args[3]), JUMP(BPF_JGE, offset, 0, 1),     FAIL(error),
                ALLOW,
        };
        struct sock_filter write_low[] = {
                LOAD(nr), JUMP(BPF_JEQ, SYS_pwrite64, 0, 3), LOAD(args[3]), JUMP(BPF_JGE, offset, 1, 0), FAIL(error),
                ALLOW,
        };

        switch (fault) {
        case FAULT_SYNC:
                return install(sync, sizeof sync / sizeof sync[0]);
        case FAULT_WRITE:
                return install(write, sizeof write / sizeof write[0]);
        case FAULT_WRITE_LOW:
                return install(write_low, sizeof write_low / sizeof write_low[0]);
        }
        return false;
}
