#include "engine/dump.h"

#include <stdlib.h>
#include <string.h>

#include "engine/dump_write.h"
#include "engine/scope.h"

/* The app whose rows are read, and whether they count. */
struct walked {
        bool has_app, is_visible;
        struct uuid app;
};

/* An app's record comes before its other rows; where it does not, they are waiting to be purged. */
static bool counts(struct walked *walked, const struct row *row)
{
        if (!row_kind_is_under_app(row->kind)) return true;
        if (!walked->has_app || !uuid_equal(walked->app, row->app))
                *walked = (struct walked){true, row->kind == ROW_APP, row->app};
        return walked->is_visible;
}

static enum result dump_rows(struct dump_run *run, const struct scope *scope, struct dump_writer *writer)
{
        SCAN_SCOPE struct scan scan = {0};
        struct walked walked = {0};
        struct record record;
        struct row row;
        enum result r;

        if ((r = scan_open_all(scope, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                run->row = row;
                if (!row_kind_is_primary(row.kind) || !counts(&walked, &row)) continue;
                if ((r = dump_writer_record(writer, &row, &record)) != R_OK) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* One without a profile is being purged: R_ABSENT. */
static enum result dump_owner(struct dump_run *run, const struct scope *scope, struct dump_writer *writer)
{
        const struct row profile = {.kind = ROW_PROFILE};
        enum result r;

        run->owner = scope_owner(scope);
        run->row = profile;
        if ((r = scope_exists(scope, &profile)) != R_OK) return r;
        if ((r = dump_writer_owner(writer, run->owner)) != R_OK) return r;
        return dump_rows(run, scope, writer);
}

static enum result dump_all(struct txn *txn, struct dump_run *run, struct dump_writer *writer)
{
        struct scope_walk walk = {0};
        const struct scope *scope;
        enum result r;

        while ((r = scope_each(txn, 0, &walk, &scope)) == R_OK) {
                r = dump_owner(run, scope, writer);
                if (r != R_OK && r != R_ABSENT) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* In the order of keys: teams before users, then by id. */
static int compare_owners(const void *a, const void *b)
{
        const struct owner *one = a, *two = b;

        if (one->kind != two->kind) return one->kind < two->kind ? -1 : 1;
        return memcmp(one->id.bytes, two->id.bytes, UUID_SIZE);
}

/* Where a walk goes on whose next owner is `owner`, if that has any row. */
static struct scope_walk walk_to(struct owner owner)
{
        struct scope_walk walk = {.owner = owner, .has_owner = true};
        size_t i = UUID_SIZE;

        while (i > 0 && walk.owner.id.bytes[--i]-- == 0)
                ;
        if (walk.owner.id.bytes[i] != 0xff || i > 0) return walk;
        walk.has_owner = owner.kind == OWNER_USER; /* nothing is before the first team */
        walk.owner.kind = OWNER_TEAM;
        return walk;
}

static enum result dump_one(struct txn *txn, struct dump_run *run, struct owner owner, struct dump_writer *writer)
{
        struct scope_walk walk = walk_to(owner);
        const struct scope *scope;
        enum result r;

        run->owner = owner;
        if ((r = scope_each(txn, 0, &walk, &scope)) != R_OK) return r;
        if (compare_owners(&walk.owner, &owner) != 0) return R_ABSENT;
        return dump_owner(run, scope, writer);
}

static enum result dump_some(struct txn *txn, struct dump_run *run, struct dump_writer *writer)
{
        enum result r;
        size_t i;

        qsort(run->owners, run->owner_count, sizeof *run->owners, compare_owners);
        for (i = 0; i < run->owner_count; i++) {
                if (i > 0 && compare_owners(&run->owners[i - 1], &run->owners[i]) == 0) continue;
                if ((r = dump_one(txn, run, run->owners[i], writer)) != R_OK) return r;
        }
        return R_OK;
}

enum result dump_store(struct txn *txn, void *arg)
{
        struct dump_run *run = arg;
        struct store *store = txn_store(txn);
        const struct dump_header header = {
                .store_id = store_id(store),
                .restore_epoch = store_restore_epoch(store),
                .time_ms = store_time_ms(store), /* the snapshot has been taken */
                .is_demo = store_is_demo(store),
                .is_partial = run->owner_count > 0,
        };
        struct dump_writer *writer;
        enum result r;

        if ((r = dump_writer_open_sealed(&header, run->key, run->write, run->context, &writer)) != R_OK) return r;
        r = run->owner_count > 0 ? dump_some(txn, run, writer) : dump_all(txn, run, writer);
        if (r == R_OK) r = dump_writer_finish(writer);
        if (r == R_OK) {
                run->counts = *dump_writer_counts(writer);
                memcpy(run->root_hash, dump_writer_root_hash(writer), SHA256_SIZE);
        }
        dump_writer_close(writer);
        return r;
}
