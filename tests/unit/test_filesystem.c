#include "engine/filesystem.h"

#include <linux/magic.h>

#include "tests/lib/test.h"

/* Local disks are fit, memory and containers' layers doubtful, networks unfit, and what nobody knows is not taken for
 * fit. The numbers are the kernel's. */
static void test_fitness(void **state)
{
        static const struct {
                unsigned long magic;
                enum filesystem_fitness fitness;
                const char *name;
        } cases[] = {
                {EXT4_SUPER_MAGIC, FILESYSTEM_FIT, "ext4"},
                {XFS_SUPER_MAGIC, FILESYSTEM_FIT, "XFS"},
                {BTRFS_SUPER_MAGIC, FILESYSTEM_FIT, "btrfs"},
                {F2FS_SUPER_MAGIC, FILESYSTEM_FIT, "F2FS"},
                {TMPFS_MAGIC, FILESYSTEM_DOUBTFUL, "tmpfs"},
                {OVERLAYFS_SUPER_MAGIC, FILESYSTEM_DOUBTFUL, "overlayfs"},
                {NFS_SUPER_MAGIC, FILESYSTEM_UNFIT, "NFS"},
                {CIFS_SUPER_MAGIC, FILESYSTEM_UNFIT, "CIFS"},
                {SMB2_SUPER_MAGIC, FILESYSTEM_UNFIT, "SMB2"},
                {SMB_SUPER_MAGIC, FILESYSTEM_UNFIT, "SMB"},
                {FUSE_SUPER_MAGIC, FILESYSTEM_UNFIT, "FUSE"},
                {V9FS_MAGIC, FILESYSTEM_UNFIT, "9p"},
                {CEPH_SUPER_MAGIC, FILESYSTEM_UNFIT, "Ceph"},
                {AFS_SUPER_MAGIC, FILESYSTEM_UNFIT, "AFS"},
                {AFS_FS_MAGIC, FILESYSTEM_UNFIT, "AFS"},
                {CODA_SUPER_MAGIC, FILESYSTEM_UNFIT, "Coda"},
                {OCFS2_SUPER_MAGIC, FILESYSTEM_UNFIT, "OCFS2"},
                {PROC_SUPER_MAGIC, FILESYSTEM_UNKNOWN, "0x9fa0"},
                {0, FILESYSTEM_UNKNOWN, "0x0"},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct filesystem filesystem = filesystem_of(cases[i].magic);

                assert_int_equal(filesystem.fitness, cases[i].fitness);
                assert_string_equal(filesystem.name, cases[i].name);
                assert_int_equal(filesystem.doubt[0] != '\0', filesystem.fitness == FILESYSTEM_DOUBTFUL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fitness),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
