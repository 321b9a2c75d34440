/*
 * The inside of verify: what its files know of the rows being read.
 */
#ifndef ALLOD_ENGINE_VERIFY_PRIVATE_H
#define ALLOD_ENGINE_VERIFY_PRIVATE_H

#include <store/v1/store.pb.h>

#include "engine/arena.h"
#include "engine/record.h"
#include "engine/verify.h"

/* A record that changes name: its newest change, looks left out. */
struct named {
        enum row_kind kind;
        struct uuid app, id;
        uint64_t revision;
        uint64_t deleted_at; /* revision of its newest deletion; 0: none */
        uint32_t operation;  /* enum change_operation */
        uint32_t next;       /* of the same bucket, as index + 1; 0: none */
};

/* A change row. */
struct numbered {
        uint64_t revision;
        uint32_t record; /* that it names, as index + 1; 0: a look */
};

/* The change rows of one owner. Zeroed: none yet; reused for the next owner. */
struct changes {
        struct named *records;
        struct numbered *numbered; /* the change rows, in order */
        uint32_t *buckets;
        size_t record_count, record_size;
        size_t numbered_count, numbered_size;
        size_t bucket_size;
        uint64_t last; /* revision; 0: no change */
};

struct walk {
        struct backend_txn *txn;
        struct verify *verify;
        struct arena arena; /* of one row */

        /* the owner whose rows are read */
        bool has_owner;
        struct owner owner;
        bool owner_is_gone;
        store_v1_Profile profile;
        uint32_t member_count, member_owner_count;
        struct changes changes;

        /* the app whose rows are read */
        bool has_app;
        struct uuid app;
        bool app_is_gone;
        store_v1_Counters stored, counted;
};

/* Report about a row of walk->owner (NULL: about the store as a whole). */
void verify_found(struct walk *walk, const struct row *row, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Keys of rows of any owner. */
void verify_key(struct owner owner, const struct row *row, struct key *out);
enum result verify_get(struct walk *walk, struct owner owner, const struct row *row, struct bytes *value) MUST_USE;
bool verify_has(struct walk *walk, struct owner owner, const struct row *row);
bool verify_has_prefix_on_purge_list(struct walk *walk, struct owner owner, const struct uuid *app);

/* verify_rows.c: a row that counts, whose value has been opened; and the end of an app and of an owner. */
void verify_row(struct walk *walk, const struct row *row, const struct record *record);
void verify_app_end(struct walk *walk);
void verify_owner_end(struct walk *walk);

/* verify_changes.c. Load: R_NO_MEMORY and what the engine answers. */
enum result verify_changes_load(struct walk *walk) MUST_USE;
void verify_changes_record(struct walk *walk, const struct row *row, uint64_t revision);
void verify_changes_replay(struct walk *walk);
void verify_changes_free(struct changes *changes);

#endif
