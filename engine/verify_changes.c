/*
 * An owner's changes: the log that its records must agree with.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/message.h"
#include "engine/scope.h"
#include "engine/txn_private.h"
#include "engine/verify_private.h"

#define SIZE_MIN 64

static size_t bucket_of(const struct changes *changes, enum row_kind kind, struct uuid app, struct uuid id)
{
        uint64_t a, b;

        /* The last bytes of an id of ours are random; ids that a client chose only make the chains longer. */
        memcpy(&a, app.bytes + UUID_SIZE - sizeof a, sizeof a);
        memcpy(&b, id.bytes + UUID_SIZE - sizeof b, sizeof b);
        return (size_t)((a * 31 + b + (uint64_t)kind) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % changes->bucket_size;
}

static struct named *find(const struct changes *changes, enum row_kind kind, struct uuid app, struct uuid id)
{
        uint32_t at;

        if (changes->bucket_size == 0) return NULL;
        at = changes->buckets[bucket_of(changes, kind, app, id)];
        while (at != 0) {
                struct named *named = &changes->records[at - 1];

                if (named->kind == kind && uuid_equal(named->app, app) && uuid_equal(named->id, id)) return named;
                at = named->next;
        }
        return NULL;
}

/* Chains of more than one on the average are made shorter. */
static bool grow_buckets(struct changes *changes)
{
        size_t size = changes->bucket_size == 0 ? SIZE_MIN : changes->bucket_size * 2;
        uint32_t *buckets;
        size_t i;

        if (changes->record_count < changes->bucket_size) return true;
        buckets = calloc(size, sizeof *buckets);
        if (buckets == NULL) return false;
        free(changes->buckets);
        changes->buckets = buckets;
        changes->bucket_size = size;
        for (i = 0; i < changes->record_count; i++) {
                struct named *named = &changes->records[i];
                size_t bucket = bucket_of(changes, named->kind, named->app, named->id);

                named->next = buckets[bucket];
                buckets[bucket] = (uint32_t)i + 1;
        }
        return true;
}

static bool grow(void **array, size_t *size, size_t count, size_t element)
{
        size_t larger = *size == 0 ? SIZE_MIN : *size * 2;
        void *grown;

        if (count < *size) return true;
        grown = realloc(*array, larger * element);
        if (grown == NULL) return false;
        *array = grown;
        *size = larger;
        return true;
}

/* R_NO_MEMORY. */
static enum result add(struct changes *changes, const struct named *change)
{
        struct named *named = find(changes, change->kind, change->app, change->id);
        size_t bucket;

        if (named == NULL) {
                if (!grow((void **)&changes->records, &changes->record_size, changes->record_count,
                          sizeof *changes->records) ||
                    !grow_buckets(changes))
                        return R_NO_MEMORY;
                bucket = bucket_of(changes, change->kind, change->app, change->id);
                named = &changes->records[changes->record_count++];
                *named = *change;
                named->next = changes->buckets[bucket];
                changes->buckets[bucket] = (uint32_t)changes->record_count;
        }
        named->revision = change->revision;
        named->operation = change->operation;
        if (change->operation == CHANGE_DELETE) named->deleted_at = change->revision;
        changes->numbered[changes->numbered_count - 1].record = (uint32_t)(named - changes->records) + 1;
        return R_OK;
}

static bool read_id(size_t size, const uint8_t *bytes, struct uuid *out)
{
        if (size != 0 && size != UUID_SIZE) return false;
        memcpy(out->bytes, bytes, size);
        return true;
}

/* What a change names. False: it makes no sense. */
static bool read_change(const store_v1_Change *content, struct named *out)
{
        struct uuid id = {0};

        *out = (struct named){.kind = (enum row_kind)content->kind, .operation = content->operation};
        if (content->kind >= ROW_KIND_COUNT || !row_kind_is_primary(out->kind) || out->kind == ROW_CHANGE) return false;
        if (content->operation < CHANGE_CREATE || content->operation > CHANGE_RESTORE) return false;
        if (content->time_ms <= 0 || !read_id(content->id.size, content->id.bytes, &id) ||
            !read_id(content->app.size, content->app.bytes, &out->app))
                return false;
        if (out->kind == ROW_APP)
                out->app = id;
        else
                out->id = id;
        return true;
}

/* False: it cannot be read, and somebody has said so. */
static bool open_change(struct walk *walk, const struct row *row, struct bytes key, struct bytes value,
                        struct named *out)
{
        store_v1_Change content;
        struct record record;

        if (record_open(key, value, &record) != R_OK) return false; /* the walk over all rows says so */
        if (message_load(&store_v1_Change_msg, record.body, &content) != R_OK || !read_change(&content, out)) {
                verify_found(walk, row, "%ju does not decode", (uintmax_t)row->revision);
                return false;
        }
        out->revision = row->revision;
        return true;
}

/* Numbers follow each other, but that a restore leaps over some. */
static enum result load_one(struct walk *walk, const struct row *row, struct bytes key, struct bytes value)
{
        struct changes *changes = &walk->changes;
        struct named change = {0};
        bool is_read = open_change(walk, row, key, value, &change);

        if (row->revision != changes->last + 1 && !(is_read && change.operation == CHANGE_RESTORE))
                verify_found(walk, row, "%ju comes after %ju", (uintmax_t)row->revision, (uintmax_t)changes->last);
        if (!grow((void **)&changes->numbered, &changes->numbered_size, changes->numbered_count,
                  sizeof *changes->numbered))
                return R_NO_MEMORY;
        changes->numbered[changes->numbered_count++] = (struct numbered){row->revision, 0};
        changes->last = row->revision;
        if (!is_read || change.operation == CHANGE_LOOK || change.operation == CHANGE_RESTORE) return R_OK;
        return add(changes, &change);
}

enum result verify_changes_load(struct walk *walk)
{
        const struct row first = {.kind = ROW_CHANGE};
        struct changes *changes = &walk->changes;
        struct backend_cursor cursor;
        struct bytes found, value;
        struct owner owner;
        struct key start;
        struct row row;
        enum result r;

        changes->record_count = 0;
        changes->numbered_count = 0;
        changes->last = 0;
        if (changes->bucket_size > 0) memset(changes->buckets, 0, changes->bucket_size * sizeof *changes->buckets);
        verify_key(walk->owner, &first, &start);
        if ((r = backend_cursor_open(walk->txn, TABLE_RECORDS, &cursor)) != R_OK) return r;
        r = backend_seek(&cursor, key_bytes(&start), &found, &value);
        start.len = OWNER_PREFIX_SIZE;
        while (r == R_OK && bytes_start_with(found, key_bytes(&start))) {
                r = key_read(found, &owner, &row) == R_OK ? load_one(walk, &row, found, value) : R_OK;
                if (r == R_OK) r = backend_next(&cursor, &found, &value);
        }
        backend_cursor_close(&cursor);
        return r == R_ABSENT ? R_OK : r;
}

static int compare_revisions(const void *a, const void *b)
{
        const struct numbered *one = a, *two = b;

        return one->revision < two->revision ? -1 : one->revision > two->revision;
}

/* The record that a change names, as index + 1; 0: none, or there is no such change. */
static uint32_t record_at(const struct changes *changes, uint64_t revision)
{
        const struct numbered wanted = {revision, 0};
        const struct numbered *found = NULL;

        if (changes->numbered_count > 0)
                found = bsearch(&wanted, changes->numbered, changes->numbered_count, sizeof *changes->numbered,
                                compare_revisions);
        return found == NULL ? 0 : found->record;
}

/* The record whose changes carry this row's revision: a job's input and result are written with its state. */
static const struct named *named_by(const struct changes *changes, const struct row *row, uint64_t revision)
{
        enum row_kind kind = row->kind;

        if (kind == ROW_JOB_INPUT || kind == ROW_JOB_RESULT) kind = ROW_JOB;
        if (kind == ROW_COUNTERS) { /* written with some job */
                uint32_t at = record_at(changes, revision);

                return at == 0 ? NULL : &changes->records[at - 1];
        }
        return find(changes, kind, row->app, row->id);
}

void verify_changes_record(struct walk *walk, const struct row *row, uint64_t revision)
{
        const struct changes *changes = &walk->changes;
        const struct named *named;
        bool is_own = row->kind != ROW_JOB_INPUT && row->kind != ROW_JOB_RESULT && row->kind != ROW_COUNTERS;

        if (revision == 0 || revision > changes->last) {
                verify_found(walk, row, "has revision %ju, the owner %ju", (uintmax_t)revision,
                             (uintmax_t)changes->last);
                return;
        }
        named = named_by(changes, row, revision);
        if (named == NULL || record_at(changes, revision) != (uint32_t)(named - changes->records) + 1 ||
            (row->kind == ROW_COUNTERS && (named->kind != ROW_JOB || !uuid_equal(named->app, row->app))))
                verify_found(walk, row, "has revision %ju, at which another record changed", (uintmax_t)revision);
        else if (is_own && named->revision != revision)
                verify_found(walk, row, "has revision %ju, but changed at %ju too", (uintmax_t)revision,
                             (uintmax_t)named->revision);
}

/* Whether its last change left it there. What lies under an app goes with it, also when the app comes back. */
static bool is_made(const struct changes *changes, const struct named *named)
{
        const struct named *app;

        if (named->operation == CHANGE_DELETE) return false;
        if (!row_kind_is_under_app(named->kind) || named->kind == ROW_APP) return true;
        app = find(changes, ROW_APP, named->app, (struct uuid){0});
        return app == NULL || app->deleted_at < named->revision;
}

/* What the changes have made must be there, and what they have deleted must not. */
void verify_changes_replay(struct walk *walk)
{
        const struct changes *changes = &walk->changes;
        size_t i;

        for (i = 0; i < changes->record_count; i++) {
                const struct named *named = &changes->records[i];
                const struct row row = {.kind = named->kind, .app = named->app, .id = named->id};
                const struct row app = {.kind = ROW_APP, .app = named->app};
                bool is_there = verify_has(walk, walk->owner, &row);
                bool was_made = is_made(changes, named);

                if (row_kind_is_under_app(row.kind) && row.kind != ROW_APP && !verify_has(walk, walk->owner, &app))
                        continue;
                if (was_made && !is_there)
                        verify_found(walk, &row, "is absent, but its last change, %ju, is no deletion",
                                     (uintmax_t)named->revision);
                if (!was_made && is_there)
                        verify_found(walk, &row, "is there, but its last change, %ju, is its deletion",
                                     (uintmax_t)named->revision);
        }
}

void verify_changes_free(struct changes *changes)
{
        free(changes->records);
        free(changes->numbered);
        free(changes->buckets);
        *changes = (struct changes){0};
}
