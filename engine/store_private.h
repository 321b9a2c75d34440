/*
 * The inside of an open store, for the files that make it up: store, store_make, writer, txn, page_token, caller,
 * chore, purge.
 *
 * Who changes what: store_open fills all but the writer's and the noted parts, before any other thread exists;
 * afterwards only what is marked below changes.
 */
#ifndef ALLOD_ENGINE_STORE_PRIVATE_H
#define ALLOD_ENGINE_STORE_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/keyuse.h"
#include "engine/store.h"
#include "engine/storetime.h"

#define STORE_TOKEN_SECRET_SIZE 32

/* Of what is in the directory and in the table meta. */
#define STORE_FORMAT_VERSION 1

/* Rows of the table meta. Both are sealed like records, with revision 0. */
#define STORE_KEY_STORE BYTES("store") /* a store.v1.Meta */
#define STORE_KEY_TIME  BYTES("time")  /* 8 bytes, big-endian: the bound of storetime.h */

#define STORE_DATA_NAME       "data.mdb"
#define STORE_UNFINISHED_NAME "unfinished"

#define STORE_READERS_MAX_DEFAULT 126 /* LMDB's own default: two pages of slots */

struct writer;

struct store {
        struct backend *backend;
        struct writer *writer;
        struct storetime time; /* threads as in storetime.h */

        /* the meta row */
        struct uuid id;
        uint64_t restore_epoch;
        bool is_demo;
        bool is_building;                              /* store_build.h's, and nobody else's yet */
        uint8_t token_secret[STORE_TOKEN_SECRET_SIZE]; /* page tokens are authenticated with it */

        /* Bumped by the writer after a commit that touched P, K or M rows or the table of API keys, and before it
         * reports any call of that commit. Starts at 1, so that 0 is never a generation. */
        _Atomic uint64_t identity_generation;

        struct keyuse_table key_uses;

        _Atomic unsigned views_open; /* view_open and view_close count; store_close requires 0 */

        int dir_fd;
        int lock_fd; /* the guard file, flocked */
};

/*
 * The time bound of storetime.h. The writer calls store_raise_time in each transaction that it is about to commit,
 * after the last function ran, and store_time_committed when backend_commit said R_OK. Errors are those of backend_put.
 */
enum result store_raise_time(struct store *store, struct backend_txn *txn) MUST_USE;
void store_time_committed(struct store *store);

/* store.c, for store_make.c too. fail returns `r`. */
enum result store_fail(char why[STORE_WHY_SIZE], enum result r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
enum result store_put_meta(struct backend_txn *txn, struct bytes key, struct bytes body) MUST_USE;
enum result store_put_time(struct backend_txn *txn, int64_t time_ms) MUST_USE;
enum result store_open_dir(const char *dir, int *dir_fd, char why[STORE_WHY_SIZE]) MUST_USE;
/* The names in the directory are on disk, and its own: in a parent that can be synced. */
enum result store_sync_names(const char *dir, int dir_fd, char why[STORE_WHY_SIZE]) MUST_USE;
enum result store_take_guard(const char *dir, int dir_fd, int *lock_fd, struct store_holder *holder,
                             char why[STORE_WHY_SIZE]) MUST_USE;

/* A store to be filled before anybody sees it: nothing of it need be on disk before store_close_built returns R_OK. The
 * store is gone either way. */
enum result store_open_to_build(const struct store_options *options, struct store **out,
                                char why[STORE_WHY_SIZE]) MUST_USE;
enum result store_close_built(struct store *store, const char *dir, char why[STORE_WHY_SIZE]) MUST_USE;

/* writer.c. store_open starts the writer last; store_close stops it first: it refuses new updates, finishes what is
 * queued, and returns when its thread has ended. writer_stop accepts NULL. */
enum result writer_start(struct store *store, struct writer **out) MUST_USE;
void writer_stop(struct writer *writer);

#endif
