/*
 * Room on the disk for deletions when it is full: a file DIR/reserve that holds nothing and is given up then. Its
 * blocks let the store's file grow by what deletions need to copy; when there is room again it is made anew. writer.c
 * says what serves when there never is.
 *
 * Thread: the writer's.
 */
#ifndef ALLOD_ENGINE_RESERVE_H
#define ALLOD_ENGINE_RESERVE_H

#include "engine/result.h"

/* As large as two reserves of the map (txn.c), since LMDB writes some pages twice before it may use old ones again. */
#define RESERVE_FILE_SIZE (2L << 20)

/* R_OK also when it is there already. R_READ_ONLY: the disk has no such room. R_IO. */
enum result reserve_make(int dir_fd) MUST_USE;

void reserve_release(int dir_fd);

#endif
