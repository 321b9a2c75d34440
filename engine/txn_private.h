/*
 * The inside of a transaction, for the files that prove, bound and count what runs in it: txn, scope, scope_open, scan,
 * page_token, caller, writer, chore, purge, verify.
 *
 * A struct txn is the place where transactions of one thread happen, one after another; it belongs to a view or to the
 * writer and outlives them all. Each run of a transaction function in it has a number, and whatever a run proves (a
 * scope) carries that number: it is dead as soon as the run is over, and using it is a REQUIRE.
 */
#ifndef ALLOD_ENGINE_TXN_PRIVATE_H
#define ALLOD_ENGINE_TXN_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/key.h"
#include "engine/require.h"
#include "engine/scope.h"
#include "engine/txn.h"
#include "engine/writer.h"

struct caller_cache;

/* Cursor 0 serves look-ups and stays in place only within one function; the others are those of open scans. */
#define TXN_CURSOR_COUNT (1 + SCANS_MAX)

/* Owners whose newest revision is remembered, so that calls of one owner in one batch cost one seek: as many as a batch
 * has calls. Direct-mapped; a collision costs a seek. */
#define TXN_REVISION_COUNT 256

/* Distinct topics woken by one transaction: a batch wakes one or two per call. Above that all that waits is woken,
 * which is only work. */
#define TXN_WAKE_COUNT 256

struct txn_revision {
        uint8_t owner[OWNER_PREFIX_SIZE];
        uint64_t snapshot; /* of which transaction; 0: none */
        uint64_t revision;
};

struct txn {
        struct store *store;
        struct backend_txn *backend; /* NULL: none yet, or (writer) none now */
        bool is_write;
        bool is_running;
        uint64_t run;      /* the number of the newest run */
        uint64_t snapshot; /* the number of the newest snapshot or write transaction; from 1 */
        const struct txn_input *input;

        /* what has been written */
        unsigned put_count;    /* by this run, looks of administrators left out */
        bool is_dirty;         /* by any run of the transaction */
        enum result failure;   /* the first put or delete that failed: the transaction can only be aborted */
        bool touches_identity; /* profiles, keys or members */
        bool touches_purge;    /* the purge list got longer */

        /* waiting and waking */
        bool has_wait;
        struct topic wait; /* what this run asks to wait for */
        struct topic wakes[TXN_WAKE_COUNT];
        unsigned wake_count;
        bool wakes_all;

        struct backend_cursor cursors[TXN_CURSOR_COUNT]; /* on records */
        uint8_t cursors_open;                            /* a bit each */
        uint8_t scans_open;                              /* those of them that a scan has, a bit each */

        /* views only: the table of callers, and the generation read before the snapshot was taken */
        struct caller_cache *cache;
        uint64_t generation;

        struct txn_revision revisions[TXN_REVISION_COUNT];
};

/* What tries whether there is room puts values that fill a page each into the meta table, and takes them out again:
 * their names, which are in `place`. */
#define TXN_PIECE_SIZE     4000
#define TXN_PIECE_KEY_SIZE 3
struct bytes txn_piece_key(uint8_t place[TXN_PIECE_KEY_SIZE], char kind, unsigned number);

/* The writer's. Begin: the failures of backend_begin_write. Commit: raises the store's time bound and commits, or only
 * aborts when nothing was put; either way the transaction is over, what it proved is dead, and what it touched and woke
 * is still there to be read until the next begin. With `keeps_reserve`, a commit that would leave less of the map than
 * deletions need fails with R_READ_ONLY. */
void txn_init(struct txn *txn, struct store *store, bool is_write);
enum result txn_begin(struct txn *txn) MUST_USE;
enum result txn_commit(struct txn *txn, bool keeps_reserve) MUST_USE;
void txn_abort(struct txn *txn);

/* Run a transaction function. The fault is cleared before; resetting the arena is the caller's matter. */
enum result txn_run(struct txn *txn, const struct txn_input *input, txn_fn *run, void *arg) MUST_USE;

/* Writes, counted and their failure kept. R_READ_ONLY, R_TXN_FULL, R_IO; delete also R_ABSENT. */
enum result txn_put(struct txn *txn, enum backend_table table, struct bytes key, struct bytes head,
                    struct bytes body) MUST_USE;
enum result txn_delete(struct txn *txn, enum backend_table table, struct bytes key) MUST_USE;

enum result txn_get(struct txn *txn, enum backend_table table, struct bytes key, struct bytes *value) MUST_USE;

/* The key of a table's first row that is not below `from` (length 0: of all); good until the next write. R_ABSENT:
 * there is none. */
enum result txn_first(struct txn *txn, enum backend_table table, struct bytes from, struct bytes *key) MUST_USE;

/* Free the slots of readers that died. */
void txn_check_readers(struct store *store);

/* Whether commits may make the files larger; backend_fence says how it may fail. When they may not, a commit that keeps
 * the reserve looks for it among what is free inside. */
enum result txn_let_grow(struct store *store, bool may_grow) MUST_USE;

/* Cursor `index` on the records, opened if it is not. It lives until the transaction ends or the snapshot is given
 * back. */
enum result txn_cursor(struct txn *txn, unsigned index, struct backend_cursor **out) MUST_USE;

static inline void txn_require_running(const struct txn *txn, uint64_t run)
{
        REQUIRE(txn->is_running && txn->run == run);
}

static inline struct bytes key_bytes(const struct key *key)
{
        return (struct bytes){key->data, key->len};
}

#endif
