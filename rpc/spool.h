/*
 * A file without a name in the store's directory: what must not be held in memory. It goes with the process, however
 * that ends, and takes no more of the disk than writes can spare.
 *
 * Thread: one at a time. It blocks: not for a loop.
 */
#ifndef ALLOD_RPC_SPOOL_H
#define ALLOD_RPC_SPOOL_H

#include <stdint.h>

#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"
#include "engine/store.h"

/* Nothing more is spooled, and no snapshot held, when less than this is left, of the disk or of the map: what some
 * seconds of full load write. */
#define SPOOL_ROOM_MIN ((uint64_t)128 << 20)

struct spool {
        const struct store *store;
        int fd; /* -1: nothing was written */
        uint64_t size;
        uint64_t room_checked; /* the disk's, at this size */
};

void spool_init(struct spool *spool, const struct store *store);
void spool_fini(struct spool *spool);

/* R_READ_ONLY: the disk has too little room, which the fault says. R_IO. */
enum result spool_write(struct spool *spool, struct bytes data, struct fault *fault) MUST_USE;

/* From its start: the next reads. R_IO. */
enum result spool_rewind(struct spool *spool) MUST_USE;

/* Up to `size` bytes; 0: that was all. R_IO. */
enum result spool_read(struct spool *spool, uint8_t *data, size_t size, size_t *count) MUST_USE;

#endif
