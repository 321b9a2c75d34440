/*
 * The guard: the file `lock` in a data directory, flocked by the process that holds the store.
 *
 *      pid 1234
 *      start 567890
 *      boot db5c418a-cd08-4f2e-81c5-0b5b4fd6010a
 *      admin /var/lib/allod/admin.sock
 *
 * The kernel gives the lock up when the holder ends, however it ends, so what the file says counts only while somebody
 * has the lock. pid and start tell which process that is; boot is for a person who finds the file on a copied disk.
 */
#ifndef ALLOD_ENGINE_GUARD_H
#define ALLOD_ENGINE_GUARD_H

#include "engine/result.h"
#include "engine/store.h"

/*
 * Take the lock and write this process into the file. R_OK: *lock_fd is open until guard_release. R_HELD: somebody else
 * has it; *holder says who, all zero when the file does not. R_IO: errno says why. May wait a tenth of a second for a
 * lock that nobody keeps: guard_find takes it for a moment.
 */
enum result guard_take(int dir_fd, int *lock_fd, struct store_holder *holder) MUST_USE;

/* Write the file anew, with the address. R_TOO_LARGE, R_BAD_ARGUMENT (it has a line break), R_IO. */
enum result guard_write(int lock_fd, const char *admin_address) MUST_USE;

/* Says so in the file and gives the lock up; accepts -1. */
void guard_release(int lock_fd);

/* R_OK: held, *out filled. R_ABSENT: nobody holds it. R_IO. */
enum result guard_find(int dir_fd, struct store_holder *out) MUST_USE;

#endif
