/*
 * Which file systems a store may lie on. LMDB maps the file and writes it beside the map, and its locks are for one
 * machine; over a network neither holds. So there is a list of those known to do, and all others are refused unless the
 * caller insists.
 *
 * overlayfs is on the list, with a warning: it is what a container has for a root. Its trap is a file of a lower layer
 * that is mapped and then copied up by the first write; ours is opened for writing before it is mapped. But it goes
 * with the container.
 */
#ifndef ALLOD_ENGINE_FILESYSTEM_H
#define ALLOD_ENGINE_FILESYSTEM_H

#include <stdbool.h>

enum filesystem_fitness {
        FILESYSTEM_FIT,
        FILESYSTEM_DOUBTFUL, /* it works, and the administrator should know */
        FILESYSTEM_UNFIT,
        FILESYSTEM_UNKNOWN,
};

struct filesystem {
        enum filesystem_fitness fitness;
        char name[24];     /* "ext4", "NFS"; of unknown ones the number: "0x1234" */
        const char *doubt; /* "" or what the administrator should know, to follow the name */
};

/* By the number of statfs(2). */
struct filesystem filesystem_of(unsigned long magic);

#endif
