#include "engine/filesystem.h"

#include <stddef.h>
#include <stdio.h>

/* Numbers from statfs(2) and the kernel's magic.h; the headers lack some. */
static const struct entry {
        unsigned long magic;
        const char *name;
        enum filesystem_fitness fitness;
        const char *doubt;
} entries[] = {
        {0xef53, "ext4", FILESYSTEM_FIT, ""},
        {0x58465342, "XFS", FILESYSTEM_FIT, ""},
        {0x9123683e, "btrfs", FILESYSTEM_FIT, ""},
        {0x2fc12fc1, "ZFS", FILESYSTEM_FIT, ""},
        {0xf2f52010, "F2FS", FILESYSTEM_FIT, ""},
        {0xca451a4e, "bcachefs", FILESYSTEM_FIT, ""},
        {0x01021994, "tmpfs", FILESYSTEM_DOUBTFUL, "which is memory: the store is gone after a reboot"},
        {0x794c7630, "overlayfs", FILESYSTEM_DOUBTFUL, "which goes with its container: a volume would stay"},
        {0x6969, "NFS", FILESYSTEM_UNFIT, ""},
        {0xff534d42, "CIFS", FILESYSTEM_UNFIT, ""},
        {0xfe534d42, "SMB2", FILESYSTEM_UNFIT, ""},
        {0x517b, "SMB", FILESYSTEM_UNFIT, ""},
        {0x65735546, "FUSE", FILESYSTEM_UNFIT, ""},
        {0x01021997, "9p", FILESYSTEM_UNFIT, ""},
        {0x00c36400, "Ceph", FILESYSTEM_UNFIT, ""},
        {0x5346414f, "AFS", FILESYSTEM_UNFIT, ""},
        {0x6b414653, "AFS", FILESYSTEM_UNFIT, ""},
        {0x73757245, "Coda", FILESYSTEM_UNFIT, ""},
        {0x01161970, "GFS2", FILESYSTEM_UNFIT, ""},
        {0x7461636f, "OCFS2", FILESYSTEM_UNFIT, ""},
        {0x0bd00bd0, "Lustre", FILESYSTEM_UNFIT, ""},
        {0x47504653, "GPFS", FILESYSTEM_UNFIT, ""},
        {0x786f4256, "vboxsf", FILESYSTEM_UNFIT, ""},
        {0xbacbacbc, "vmhgfs", FILESYSTEM_UNFIT, ""},
};

struct filesystem filesystem_of(unsigned long magic)
{
        struct filesystem found = {.fitness = FILESYSTEM_UNKNOWN, .doubt = ""};
        size_t i;

        snprintf(found.name, sizeof found.name, "0x%lx", magic);
        for (i = 0; i < sizeof entries / sizeof entries[0]; i++) {
                if (entries[i].magic != magic) continue;
                found.fitness = entries[i].fitness;
                found.doubt = entries[i].doubt;
                snprintf(found.name, sizeof found.name, "%s", entries[i].name);
        }
        return found;
}
