#include "tests/lib/tempdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/require.h"

void tempdir_make(struct tempdir *dir)
{
        const char *parent = getenv("TMPDIR");
        int len = snprintf(dir->path, sizeof dir->path, "%s/allod-test-XXXXXX", parent != NULL ? parent : "/tmp");

        REQUIRE(len > 0 && (size_t)len < sizeof dir->path);
        REQUIRE(mkdtemp(dir->path) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        (void)st;
        (void)type;
        (void)walk;
        return remove(path);
}

void tempdir_remove(struct tempdir *dir)
{
        if (dir->path[0] == '\0') return;
        nftw(dir->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        dir->path[0] = '\0';
}

const char *tempdir_file(const struct tempdir *dir, const char *name)
{
        static _Thread_local char path[TEMPDIR_PATH_SIZE + 256];
        int len = snprintf(path, sizeof path, "%s/%s", dir->path, name);

        REQUIRE(len > 0 && (size_t)len < sizeof path);
        return path;
}
