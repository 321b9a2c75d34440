/*
 * A disk under a directory, as it stands when the power goes.
 *
 * What a trace says goes into it in order. What has been synced is certain: a file's bytes by a sync of the file, a
 * name by a sync of its directory, and a write through a descriptor that syncs by itself, of its own bytes alone.
 * Everything else is pending, and may be on the disk or not, whatever else is: writes in pieces of a sector, names one
 * by one. disk_cut makes one such disk in files, as a choice says.
 *
 * What it takes for granted: a sector of 512 bytes is written whole or not at all (disks promise it, and LMDB needs it:
 * its meta page has no checksum, and what it writes of it lies in one sector); a rename happens whole or not at all;
 * what was synced stays.
 */
#ifndef ALLOD_TESTS_CRASH_DISK_H
#define ALLOD_TESTS_CRASH_DISK_H

#include "tests/crash/trace.h"

#define DISK_SECTOR 512

/* Which of the pending is there. */
enum cut_kind {
        CUT_ALL,     /* everything: what a kill would leave */
        CUT_NONE,    /* nothing */
        CUT_LAST,    /* only the newest */
        CUT_LACK,    /* all but one */
        CUT_WRITES,  /* some: whole writes */
        CUT_SECTORS, /* some: sectors */
        CUT_TORN,    /* all, but of the newest only the first sectors */
        CUT_KIND_COUNT,
};

extern const char *const cut_names[CUT_KIND_COUNT];

struct disk;

/* Its files come into the directory `dir`, which is there and empty: DIR/root is what the watched directory is. */
struct disk *disk_new(const char *dir);
void disk_free(struct disk *disk);

void disk_apply(struct disk *disk, const struct trace_event *event);

/* How much is pending. */
size_t disk_pending(const struct disk *disk);

/* Make DIR/root the disk after a cut now, until the next call here but of disk_pending. `seed` decides what the kind
 * leaves open. */
void disk_cut(struct disk *disk, enum cut_kind kind, uint64_t seed);

/* Somebody has written to what disk_cut showed: what the next one shows comes of the trace alone again. */
void disk_spoilt(struct disk *disk);

#endif
