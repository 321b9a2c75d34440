#include "rpc/spool.h"

#include <errno.h>
#include <unistd.h>

/* The disk's room is looked at after each so many bytes. */
#define ROOM_PERIOD ((uint64_t)8 << 20)

void spool_init(struct spool *spool, const struct store *store)
{
        *spool = (struct spool){.store = store, .fd = -1};
}

void spool_fini(struct spool *spool)
{
        if (spool->fd >= 0) close(spool->fd);
        spool->fd = -1;
}

static enum result check_room(struct spool *spool, struct fault *fault)
{
        uint64_t disk;
        enum result r;

        if (spool->size < spool->room_checked) return R_OK;
        if ((r = store_disk_room(spool->store, &disk)) != R_OK) return r;
        if (disk < SPOOL_ROOM_MIN)
                return fault_set(fault, R_READ_ONLY, "The disk has too little room left to collect the dump.");
        spool->room_checked = spool->size + ROOM_PERIOD;
        return R_OK;
}

enum result spool_write(struct spool *spool, struct bytes data, struct fault *fault)
{
        enum result r;

        if (spool->fd < 0 && (r = store_open_spool(spool->store, &spool->fd)) != R_OK) return r;
        if ((r = check_room(spool, fault)) != R_OK) return r;
        spool->size += data.len;
        while (data.len > 0) {
                ssize_t count = write(spool->fd, data.data, data.len);

                if (count < 0 && errno == EINTR) continue;
                if (count < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
                        return fault_set(fault, R_READ_ONLY, "The disk is full.");
                if (count < 0) return R_IO;
                data.data += count;
                data.len -= (size_t)count;
        }
        return R_OK;
}

enum result spool_rewind(struct spool *spool)
{
        return lseek(spool->fd, 0, SEEK_SET) == 0 ? R_OK : R_IO;
}

enum result spool_read(struct spool *spool, uint8_t *data, size_t size, size_t *count)
{
        ssize_t got;

        do {
                got = read(spool->fd, data, size);
        } while (got < 0 && errno == EINTR);
        if (got < 0) return R_IO;
        *count = (size_t)got;
        return R_OK;
}
