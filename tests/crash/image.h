/*
 * What a disk after a cut holds, in one number: two disks that say the same have the same.
 */
#ifndef ALLOD_TESTS_CRASH_IMAGE_H
#define ALLOD_TESTS_CRASH_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_WHY_SIZE 512

struct image {
        bool is_there;
        uint64_t digest;
};

/* False: it is there and broken, and why. */
typedef bool image_fn(const char *path, struct image *out, char why[IMAGE_WHY_SIZE]);

/* A store: the engine's tree is walked, and all rows of all tables are read. */
image_fn image_of_store;

/* A file. */
image_fn image_of_file;

/* What `allod verify` does, of a store that is there. */
bool image_verify(const char *path, char why[IMAGE_WHY_SIZE]);

#endif
