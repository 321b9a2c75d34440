/*
 * What a target needs to be a program.
 *
 * With libFuzzer, which has a main function: what of its leaks is not the target's. Where it is not: runs a target on
 * files and folders of inputs, those named or else its own seeds. Prints each file's name before its run, so that the
 * last one printed is the one that broke it.
 */
#include "tests/fuzz/fuzz.h"

#ifdef HAS_LIBFUZZER

/* libFuzzer never frees its own name, and whether the leak sanitizer sees a pointer to it is chance. It is C++, and
 * nothing that it tests is: what libstdc++ allocates is libFuzzer's. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
        return "leak:libstdc++";
}

#else

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/require.h"

static void replay_file(const char *path, size_t size)
{
        FILE *file = fopen(path, "rb");
        uint8_t *data = malloc(size + 1);

        REQUIRE(file != NULL && data != NULL);
        REQUIRE(fread(data, 1, size, file) == size);
        fclose(file);
        /* Memory of just that size, so that a sanitizer sees who reads beyond it. */
        data = realloc(data, size > 0 ? size : 1);
        puts(path);
        fflush(stdout);
        REQUIRE(LLVMFuzzerTestOneInput(data, size) == 0);
        free(data);
}

/* Returns how many files there were. */
static size_t replay(const char *path)
{
        struct dirent *entry;
        struct stat status;
        size_t count = 0;
        DIR *dir;

        if (stat(path, &status) != 0) return 0;
        if (!S_ISDIR(status.st_mode)) {
                replay_file(path, (size_t)status.st_size);
                return 1;
        }
        dir = opendir(path);
        REQUIRE(dir != NULL);
        while ((entry = readdir(dir)) != NULL) {
                char name[1024];

                if (entry->d_name[0] == '.') continue;
                REQUIRE(snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name);
                count += replay(name);
        }
        closedir(dir);
        return count;
}

int main(int argc, char **argv)
{
        char own[256];
        size_t count = 0;

        snprintf(own, sizeof own, "tests/fuzz/seeds/%s", program_invocation_short_name);
        if (argc < 2) count = replay(own);
        for (int i = 1; i < argc; i++)
                count += replay(argv[i]);
        printf("%zu inputs\n", count);
        return count > 0 ? 0 : 1;
}

#endif
