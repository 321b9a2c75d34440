#include "engine/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define NAME "reserve"

enum result reserve_make(int dir_fd)
{
        int fd = openat(dir_fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int code;

        if (fd < 0) return errno == ENOSPC || errno == EDQUOT ? R_READ_ONLY : R_IO;
        do {
                code = posix_fallocate(fd, 0, RESERVE_FILE_SIZE);
        } while (code == EINTR);
        close(fd);
        if (code == 0) return R_OK;
        reserve_release(dir_fd);
        return code == ENOSPC || code == EDQUOT || code == EFBIG ? R_READ_ONLY : R_IO;
}

void reserve_release(int dir_fd)
{
        (void)unlinkat(dir_fd, NAME, 0);
}
