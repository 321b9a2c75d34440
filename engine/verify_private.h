/*
 * The inside of verify: what its files know of the rows being read.
 */
#ifndef ALLOD_ENGINE_VERIFY_PRIVATE_H
#define ALLOD_ENGINE_VERIFY_PRIVATE_H

#include <store/v1/store.pb.h>

#include "engine/arena.h"
#include "engine/record.h"
#include "engine/verify.h"

/* A record that a change names and that is absent; or an app that is there again. */
struct gone {
        uint64_t name[2];    /* digests: of the app that it is or lies under, else of itself; of itself */
        uint64_t revision;   /* of the newest change that names it */
        uint64_t deleted_at; /* of the newest deletion; 0: none */
};

/* What is known of one owner's changes on the way through them. Records that are there are compared with each change by
 * themselves; of those that are absent the last change must be a deletion. Only names up to `last_name` are in the
 * table: when it is full the upper half is given up, and the changes are read again for the names behind. */
struct changes {
        struct gone *gone; /* a hash table, ended by empty places; revision 0: empty */
        size_t size;       /* places */
        size_t count;
        uint64_t first_name, last_name; /* of name[0] */
        uint64_t last;                  /* revision; 0: no change */
        uint64_t unmatched;             /* digests of records less those of changes that name them; 0: they agree */
        bool is_again;                  /* what else is wrong with them was said the first time */
};

/* Look-ups mostly ask for what lies beside the last one: each sort has a cursor of its own, which stays there. */
enum near {
        NEAR_RECORD,
        NEAR_CHANGE,
        NEAR_COUNT,
        NEAR_COUNT_MAX
};

struct walk {
        struct backend_txn *txn;
        struct backend_cursor near[NEAR_COUNT_MAX]; /* of this snapshot */
        struct verify *verify;
        struct arena arena; /* of one row */

        bool was_renewed; /* in this table: its rows cannot be counted against the engine's number */

        /* the owner whose rows are read */
        struct owner owner;
        bool owner_is_new;   /* none of its rows was looked at */
        bool owner_is_known; /* in this snapshot */
        bool owner_is_gone;
        struct changes changes;

        /* the app whose rows are read */
        bool has_app;
        struct uuid app;
        bool app_is_known;
        bool app_is_gone;
};

/* Report about a row of walk->owner (NULL: about the store as a whole). */
void verify_found(struct walk *walk, const struct row *row, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Keys of rows of any owner. */
void verify_key(struct owner owner, const struct row *row, struct key *out);
enum result verify_get(struct walk *walk, struct owner owner, const struct row *row, struct bytes *value) MUST_USE;
bool verify_has(struct walk *walk, struct owner owner, const struct row *row);
bool verify_has_prefix_on_purge_list(struct walk *walk, struct owner owner, const struct uuid *app);

/* The first row of the records with key >= `from`, which the sort's cursor is then at. *cursor may be moved on. */
enum result verify_seek(struct walk *walk, enum near near, const struct key *from, struct backend_cursor **cursor,
                        struct bytes *key, struct bytes *value) MUST_USE;

/* A row of that size was read, by whoever does not let verify_range read it. */
enum result verify_step(struct walk *walk, size_t size) MUST_USE;

/* Visit the rows of a table from `start` on, as long as they begin with `prefix`. Between two rows it may change to a
 * newer snapshot; then what is borrowed is gone. */
typedef enum result verify_row_fn(struct walk *walk, struct bytes key, struct bytes value);
enum result verify_range(struct walk *walk, enum backend_table table, struct bytes prefix,
                         verify_row_fn *visit) MUST_USE;

/* verify_rows.c: a row that counts, whose value has been opened; and the recounts, when an app or a team begins. */
enum result verify_row(struct walk *walk, const struct row *row, const struct record *record) MUST_USE;
enum result verify_count_jobs(struct walk *walk) MUST_USE;
enum result verify_count_members(struct walk *walk) MUST_USE;

/* verify_changes.c: a record's revision against the change of that number, which may wait for their end; an owner's
 * changes one by one in their order; then their end, which may read them and the records again. Each may answer
 * R_NO_MEMORY and what the engine does. */
void verify_changes_begin(struct walk *walk);
enum result verify_change(struct walk *walk, const struct row *row, const struct record *record) MUST_USE;
enum result verify_changes_end(struct walk *walk) MUST_USE;
void verify_changes_record(struct walk *walk, const struct row *row, uint64_t revision);
void verify_changes_free(struct changes *changes);

#endif
