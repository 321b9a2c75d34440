/*
 * What a storage engine must do. LMDB does it first (lmdb.c); another engine takes its place behind these functions.
 *
 * Ordered tables of byte strings; any number of snapshots beside one write transaction. Everything that comes out is
 * borrowed: it lives until the transaction ends, or until the next write through it. Only scope.c, txn.c, store.c
 * and verify.c, each with the files beside it, call these (a test reads the object files).
 */
#ifndef ALLOD_ENGINE_BACKEND_H
#define ALLOD_ENGINE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"

enum backend_table {
        TABLE_RECORDS, /* everything of every owner */
        TABLE_APIKEYS, /* SHA-256 of a key -> user id, key id */
        TABLE_LEASES,
        TABLE_DUE,
        TABLE_READY,
        TABLE_PURGE, /* prefixes whose rows are unreachable and still to be removed */
        TABLE_META,
        TABLE_COUNT
};

#define BACKEND_KEY_SIZE_MAX 511 /* LMDB's; keys are not empty either */

struct backend;
struct backend_txn;

struct backend_options {
        size_t map_size;      /* bytes of address space; halved while the kernel refuses */
        unsigned readers_max; /* snapshots at a time, at least: files that had room for more keep it */
        bool may_create;
        bool is_loading; /* to be filled and then synced, once: until then a crash of the machine may leave anything.
                            Rows that come in the order of keys fill their pages */
};

struct backend_stat {
        size_t map_size; /* what was got */
        size_t used;     /* bytes of pages up to the last used one */
        size_t free;     /* of these, bytes that commits may use again */
        uint64_t rows[TABLE_COUNT];
};

/*
 * Open the files in the directory `dir_fd`, once per process and directory. R_IO, R_ABSENT (no files and may_create is
 * off), R_FORMAT (files of another engine version), R_NO_MEMORY. On failure `why` holds a sentence for a person.
 */
enum result backend_open(int dir_fd, const struct backend_options *options, struct backend **out,
                         char why[256]) MUST_USE;
void backend_close(struct backend *backend);

/* A snapshot. R_EXHAUSTED: all reader slots are taken; R_CORRUPT: the engine gives no more after a failure of its own;
 * R_NO_MEMORY. A read transaction may move between threads, used by one at a time. rest gives the snapshot back but
 * keeps the slot; renew takes the newest one, after a rest or without, and when it fails leaves the transaction at
 * rest. */
enum result backend_begin_read(struct backend *backend, struct backend_txn **out) MUST_USE;
void backend_rest(struct backend_txn *txn);
enum result backend_renew(struct backend_txn *txn) MUST_USE;

/* The write transaction; waits for another one to end. Thread: the one that ends it. R_COMMIT_UNKNOWN: a commit's
 * outcome was unknown before. */
enum result backend_begin_write(struct backend *backend, struct backend_txn **out) MUST_USE;

/*
 * Durable when it returns R_OK, unless is_loading. The transaction is gone whatever it returns. R_READ_ONLY: disk or
 * map is full, nothing happened. R_COMMIT_UNKNOWN: a sync or the meta write failed; nobody knows what is on disk, and
 * no further write may be tried in this process.
 */
enum result backend_commit(struct backend_txn *txn) MUST_USE;

/* All that was committed is on disk: for who is loading. R_IO. Thread: the one that writes, between transactions. */
enum result backend_sync(struct backend *backend) MUST_USE;

/* Ends a transaction of either sort; accepts NULL. */
void backend_abort(struct backend_txn *txn);

/* R_OK, R_ABSENT, R_CORRUPT, R_IO. */
enum result backend_get(struct backend_txn *txn, enum backend_table table, struct bytes key,
                        struct bytes *value) MUST_USE;

/*
 * Insert or replace; the value is head then body, joined without a copy elsewhere; they must not point into the
 * engine's own memory. R_READ_ONLY (map or disk full), R_TXN_FULL, R_NO_MEMORY, R_CORRUPT, R_IO. After the first
 * failure of a put or a delete the transaction is of no use: what writes to it, and its commit, fail in the same way.
 */
enum result backend_put(struct backend_txn *txn, enum backend_table table, struct bytes key, struct bytes head,
                        struct bytes body) MUST_USE;

/* R_OK, R_ABSENT (no failure), and as backend_put. */
enum result backend_delete(struct backend_txn *txn, enum backend_table table, struct bytes key) MUST_USE;

/* A place in a table. It is closed before its transaction ends or rests. A zeroed one is closed. */
struct backend_cursor {
        struct backend_txn *txn;
        void *handle;
        enum backend_table table;
};

enum result backend_cursor_open(struct backend_txn *txn, enum backend_table table, struct backend_cursor *out) MUST_USE;
void backend_cursor_close(struct backend_cursor *cursor);

/* Move to the first row with key >= `key` / to the last one with key < `key` / to the neighbour. R_ABSENT: there is
 * none; the cursor's place is then undefined. The caller compares prefixes. */
enum result backend_seek(struct backend_cursor *cursor, struct bytes key, struct bytes *found,
                         struct bytes *value) MUST_USE;
enum result backend_seek_before(struct backend_cursor *cursor, struct bytes key, struct bytes *found,
                                struct bytes *value) MUST_USE;
enum result backend_next(struct backend_cursor *cursor, struct bytes *found, struct bytes *value) MUST_USE;
enum result backend_previous(struct backend_cursor *cursor, struct bytes *found, struct bytes *value) MUST_USE;

/* Drop what dead processes and threads left in the reader table; returns how many slots that freed. */
int backend_check_readers(struct backend *backend);

/* Bytes of the map that no page has used yet; cheap. What earlier commits freed comes on top. */
size_t backend_room(struct backend *backend);

/*
 * Keep the files from growing, or let them grow again. While they must not, there is no room, and a put of half a page
 * or more that would need a page behind the last one fails with R_READ_ONLY, as at the end of the map: such puts tell
 * whether what is free inside would do. R_READ_ONLY, R_IO: not all that is free inside has its blocks on the disk, and
 * nothing has changed. Letting them grow cannot fail. Thread: the one that writes, between transactions.
 */
enum result backend_fence(struct backend *backend, bool may_grow) MUST_USE;

void backend_stat(struct backend_txn *txn, struct backend_stat *out);

/*
 * Look at the files in the directory `dir_fd`, which nobody has open, without trusting anything in them: whether the
 * engine can open them and walk its tables. R_CORRUPT: it must not; each fault was told in a sentence. R_ABSENT, R_IO,
 * R_NO_MEMORY. *page_count: pages that were looked at.
 */
#define BACKEND_SENTENCE_SIZE 256
typedef void backend_found_fn(void *context, const char *sentence);
enum result backend_check(int dir_fd, void *context, backend_found_fn *found_cb, uint64_t *page_count) MUST_USE;

/* "LMDB 0.9.24", as linked. */
const char *backend_version(void);

/* Whether its calls may wait for a network: then views run on pool threads and not on a loop. */
bool backend_may_block(void);

#endif
