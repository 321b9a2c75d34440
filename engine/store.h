/*
 * An open store: the data directory, its lock, the engine's files, the store's clock and the writer thread.
 *
 *      DIR/lock        the guard: flocked for as long as the store is open; holds pid, start time and admin address
 *      DIR/data.mdb    the records; there if and only if there is a store
 *      DIR/lock.mdb    the engine's table of snapshots
 *      DIR/reserve     room for deletions when the disk is full
 *      DIR/unfinished  what an interrupted store_create or restore left behind
 *
 * One process holds a store at a time. store_open refuses what would harm it: a network file system, an unknown format
 * version, a directory that somebody else holds; each with one sentence in `why`.
 */
#ifndef ALLOD_ENGINE_STORE_H
#define ALLOD_ENGINE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arena.h"
#include "engine/result.h"
#include "engine/uuid.h"

struct store;
struct txn;

#define STORE_WHY_SIZE           512
#define STORE_MAP_SIZE_DEFAULT   ((size_t)1 << 40) /* address space, not disk */
#define STORE_ADMIN_ADDRESS_SIZE 256

struct store_options {
        const char *dir;
        size_t map_size;           /* 0: the default */
        unsigned readers_max;      /* snapshots at a time; 0: 126 */
        bool is_forced;            /* open it on a file system that is not known to serve, a network's for one */
        int64_t (*clock_ms)(void); /* NULL: the system's; tests pass their own */
};

/* What the guard file says about the holder. */
struct store_holder {
        int64_t pid;
        int64_t start_time; /* clock ticks since boot, as in /proc/PID/stat; tells a reused pid apart */
        char admin_address[STORE_ADMIN_ADDRESS_SIZE]; /* "" when the holder does not serve */
};

/* What was found out while opening, for the caller to log. */
struct store_notes {
        size_t map_size;   /* what the kernel gave; less than asked: halved until it agreed */
        char warning[256]; /* "" or one sentence about the file system */
};

/*
 * Make a new store in `dir` (made too if it is absent; refused if it holds anything). R_EXISTS, R_IO, R_HELD,
 * R_NO_MEMORY: `why` says it in a sentence. The files are made in DIR/unfinished and data.mdb is moved to its place
 * when all is on disk, so that a crash leaves a whole store or none; what an interrupted one left behind, the next one
 * clears away.
 */
enum result store_create(const char *dir, bool is_demo, char why[STORE_WHY_SIZE]) MUST_USE;

/* R_ABSENT (no store there), R_HELD (*holder filled), R_FORMAT, R_IO, R_CORRUPT, R_NO_MEMORY: `why` says it in a
 * sentence. `holder` and `notes` may be NULL. */
enum result store_open(const struct store_options *options, struct store **out, struct store_holder *holder,
                       struct store_notes *notes, char why[STORE_WHY_SIZE]) MUST_USE;

/* Stops the writer after what is queued, saves the clock, closes files, gives up the lock. All views must be closed.
 * Accepts NULL. */
void store_close(struct store *store);

/* Read the guard file of a directory that somebody else holds. R_ABSENT: nobody does. */
enum result store_find_holder(const char *dir, struct store_holder *out) MUST_USE;

/* Say where the admin listener is, for tools that find the store held. */
enum result store_announce(struct store *store, const char *admin_address) MUST_USE;

bool store_is_demo(const struct store *store);
bool store_is_building(const struct store *store); /* it is store_build.h's, and nobody sees it yet */
struct uuid store_id(const struct store *store);
uint64_t store_restore_epoch(const struct store *store);

struct writer *store_writer(struct store *store);

/* Milliseconds since 1970 that never go back, across restarts too. Thread: any. */
int64_t store_time_ms(struct store *store);

/* Bytes of the map that nothing has used yet; cheap. What commits freed comes on top. Thread: any. */
size_t store_room(const struct store *store);

/* A new file without a name in the store's directory, for what must not be held in memory; and how many bytes that disk
 * has left. R_IO, R_READ_ONLY (the disk is full). Thread: any. */
enum result store_open_spool(const struct store *store, int *fd) MUST_USE;
enum result store_disk_room(const struct store *store, uint64_t *bytes) MUST_USE;

struct store_stat {
        size_t map_bytes, used_bytes;
        uint64_t records, keys, purge_backlog;
        uint64_t commits, updates;
        bool is_read_only;
};

/* Off: the engine gives no snapshot any more, because a commit went wrong in its last step. The process is of no
 * further use then. Thread: any. */
bool store_gives_snapshots(const struct store *store);

/* As this transaction sees it. Thread: the transaction's. */
void store_stat(struct txn *txn, struct store_stat *out);

#endif
