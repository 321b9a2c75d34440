/*
 * An owner's changes: the log that its records must agree with.
 */
#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <xxhash.h>

#include "engine/message.h"
#include "engine/scope.h"
#include "engine/txn_private.h"
#include "engine/verify_private.h"

#define SIZE_MIN 64

/* What a change names. */
struct named {
        struct row row;
        uint32_t operation; /* enum change_operation */
};

/* ---- One change ---- */

static bool read_id(size_t size, const uint8_t *bytes, struct uuid *out)
{
        if (size != 0 && size != UUID_SIZE) return false;
        memcpy(out->bytes, bytes, size);
        return true;
}

/* False: it makes no sense. */
static bool read_change(struct bytes body, struct named *out)
{
        store_v1_Change content = store_v1_Change_init_zero;
        pb_istream_t stream = pb_istream_from_buffer(body.data, body.len);
        struct uuid id = {0};
        enum row_kind kind;

        if (!pb_decode_ex(&stream, &store_v1_Change_msg, &content, PB_DECODE_NOINIT)) return false;
        kind = (enum row_kind)content.kind;
        *out = (struct named){.row = {.kind = kind}, .operation = content.operation};
        if (content.kind >= ROW_KIND_COUNT || !row_kind_is_primary(kind) || kind == ROW_CHANGE) return false;
        if (content.operation < CHANGE_CREATE || content.operation > CHANGE_RESTORE) return false;
        if (content.time_ms <= 0 || !read_id(content.id.size, content.id.bytes, &id) ||
            !read_id(content.app.size, content.app.bytes, &out->row.app))
                return false;
        if (kind == ROW_APP)
                out->row.app = id;
        else
                out->row.id = id;
        return true;
}

/* ---- Records that are absent ---- */

static uint64_t digest_at(const struct row *row, uint64_t revision)
{
        uint8_t text[1 + 2 * UUID_SIZE + sizeof revision];

        text[0] = (uint8_t)row->kind;
        memcpy(text + 1, row->app.bytes, UUID_SIZE);
        memcpy(text + 1 + UUID_SIZE, row->id.bytes, UUID_SIZE);
        memcpy(text + 1 + 2 * UUID_SIZE, &revision, sizeof revision);
        return XXH3_64bits(text, sizeof text);
}

static uint64_t digest_of(const struct row *row)
{
        return digest_at(row, 0);
}

/* What lies under an app stays together with it when the table is cut. */
static void digest(const struct row *row, uint64_t name[2])
{
        const struct row app = {.kind = ROW_APP, .app = row->app};

        name[1] = digest_of(row);
        name[0] = row_kind_is_under_app(row->kind) ? digest_of(&app) : name[1];
}

/* Its place, or the empty one where it belongs. */
static struct gone *place_of(const struct changes *changes, const uint64_t name[2])
{
        size_t at = (size_t)name[1] & (changes->size - 1);

        while (changes->gone[at].revision != 0 &&
               memcmp(changes->gone[at].name, name, sizeof changes->gone[at].name) != 0)
                at = (at + 1) & (changes->size - 1);
        return &changes->gone[at];
}

/* A table of `size` places with those that are still wanted. */
static enum result rebuild(struct changes *changes, size_t size)
{
        struct changes old = *changes;
        size_t i;

        changes->gone = calloc(size, sizeof *changes->gone);
        if (changes->gone == NULL) {
                *changes = old;
                return R_NO_MEMORY;
        }
        changes->size = size;
        changes->count = 0;
        for (i = 0; i < old.size; i++) {
                const struct gone *gone = &old.gone[i];

                if (gone->revision == 0 || gone->name[0] > changes->last_name) continue;
                *place_of(changes, gone->name) = *gone;
                changes->count++;
        }
        free(old.gone);
        return R_OK;
}

/* Half of the places stay empty, so that runs are short. */
static enum result make_room(struct walk *walk)
{
        size_t most = walk->verify->gone_max == 0 ? VERIFY_GONE_MAX : walk->verify->gone_max;
        struct changes *changes = &walk->changes;
        enum result r;

        if (changes->size == 0) return rebuild(changes, SIZE_MIN);
        if (changes->count < changes->size / 2) return R_OK;
        if (changes->size < most || changes->first_name == changes->last_name) /* one app alone cannot be cut */
                return rebuild(changes, changes->size * 2);
        do {
                changes->last_name = changes->first_name + (changes->last_name - changes->first_name) / 2;
                if ((r = rebuild(changes, changes->size)) != R_OK) return r;
        } while (changes->count >= changes->size / 2 && changes->first_name < changes->last_name);
        if (changes->count >= changes->size / 2) return rebuild(changes, changes->size * 2);
        return R_OK;
}

/* Jobs go with their app: it is the app that must have been deleted. */
static bool goes_with_app(struct walk *walk, const struct row *row)
{
        const struct row app = {.kind = ROW_APP, .app = row->app};

        return row_kind_is_under_app(row->kind) && row->kind != ROW_APP && !verify_has(walk, walk->owner, &app);
}

static enum result note(struct walk *walk, const struct named *named, uint64_t revision)
{
        struct changes *changes = &walk->changes;
        struct gone *gone;
        uint64_t name[2];
        enum result r;

        digest(&named->row, name);
        if (name[0] < changes->first_name || name[0] > changes->last_name) return R_OK;
        if ((r = make_room(walk)) != R_OK) return r;
        if (name[0] > changes->last_name) return R_OK;
        gone = place_of(changes, name);
        if (gone->revision == 0) changes->count++;
        *gone = (struct gone){{name[0], name[1]}, revision, gone->deleted_at};
        if (named->operation == CHANGE_DELETE) gone->deleted_at = revision;
        return R_OK;
}

/* A record that is there has a revision; no later change may name it, and this one must not have deleted it. */
static void compare(struct walk *walk, const struct named *named, uint64_t revision, struct bytes value)
{
        struct record record;
        struct key key;

        verify_key(walk->owner, &named->row, &key);
        if (record_open(key_bytes(&key), value, &record) != R_OK) return; /* said of the row */
        if (record.revision == revision) walk->changes.unmatched -= digest_at(&named->row, revision);
        if (named->operation == CHANGE_DELETE && record.revision <= revision)
                verify_found(walk, &named->row, "is there, but its last change, %ju, is its deletion",
                             (uintmax_t)revision);
        else if (record.revision < revision)
                verify_found(walk, &named->row, "has revision %ju, but changed at %ju too", (uintmax_t)record.revision,
                             (uintmax_t)revision);
}

static enum result replay(struct walk *walk, const struct named *named, uint64_t revision)
{
        struct bytes value;
        enum result r;

        bool comes_back = named->row.kind == ROW_APP && named->operation == CHANGE_DELETE;

        if (named->operation == CHANGE_LOOK || named->operation == CHANGE_RESTORE) return R_OK;
        r = verify_get(walk, walk->owner, &named->row, &value);
        if (r != R_OK && r != R_ABSENT) return r;
        if (r == R_ABSENT) return goes_with_app(walk, &named->row) ? R_OK : note(walk, named, revision);
        if (!walk->changes.is_again) compare(walk, named, revision, value);
        return comes_back ? note(walk, named, revision) : R_OK;
}

/* ---- All of them ---- */

void verify_changes_begin(struct walk *walk)
{
        struct changes *changes = &walk->changes;

        verify_changes_free(changes);
        changes->last_name = UINT64_MAX;
}

/* Numbers follow each other, but that a restore leaps over some. */
enum result verify_change(struct walk *walk, const struct row *row, const struct record *record)
{
        struct changes *changes = &walk->changes;
        struct named named;
        bool is_read = record != NULL && read_change(record->body, &named);
        bool leaps = is_read && named.operation == CHANGE_RESTORE;

        if (!changes->is_again && row->revision != changes->last + 1 && !leaps)
                verify_found(walk, row, "%ju comes after %ju", (uintmax_t)row->revision, (uintmax_t)changes->last);
        if (!changes->is_again && record != NULL && !is_read)
                verify_found(walk, row, "%ju does not decode", (uintmax_t)row->revision);
        changes->last = row->revision;
        return is_read ? replay(walk, &named, row->revision) : R_OK;
}

static enum result read_again(struct walk *walk, struct bytes key, struct bytes value)
{
        struct record record;
        struct owner owner;
        struct row row;

        if (key_read(key, &owner, &row) != R_OK || record_open(key, value, &record) != R_OK) return R_OK;
        return verify_change(walk, &row, &record);
}

static bool find_change(struct walk *walk, uint64_t revision, struct named *out)
{
        const struct row change = {.kind = ROW_CHANGE, .revision = revision};
        struct record record;
        struct bytes value;
        struct key key;

        verify_key(walk->owner, &change, &key);
        return verify_get(walk, walk->owner, &change, &value) == R_OK &&
               record_open(key_bytes(&key), value, &record) == R_OK && read_change(record.body, out);
}

/* Whether it went with its app, which may be there again. */
static bool went_with_app(const struct changes *changes, const struct named *named, uint64_t revision)
{
        const struct row app = {.kind = ROW_APP, .app = named->row.app};
        uint64_t name[2];

        if (!row_kind_is_under_app(named->row.kind) || named->row.kind == ROW_APP) return false;
        digest(&app, name);
        return place_of(changes, name)->deleted_at > revision;
}

/* Of an app that is there again: jobs from before its deletion should have gone with it. */
static enum result tell_left_over(struct walk *walk, const struct named *named, uint64_t deleted_at)
{
        const struct row kind = {.kind = ROW_JOB, .app = named->row.app};
        struct backend_cursor *cursor;
        struct bytes key, value;
        struct record record;
        struct key prefix;
        struct owner owner;
        struct row row;
        enum result r;

        key_owner(walk->owner, &prefix);
        key_append_kind(&prefix, &kind);
        r = verify_seek(walk, NEAR_COUNT, &prefix, &cursor, &key, &value);
        while (r == R_OK && bytes_start_with(key, key_bytes(&prefix))) {
                if (key_read(key, &owner, &row) == R_OK && record_open(key, value, &record) == R_OK &&
                    record.revision < deleted_at)
                        verify_found(walk, &row, "is there, but its last change, %ju, is its deletion",
                                     (uintmax_t)deleted_at);
                r = verify_step(walk, key.len + value.len);
                if (r == R_OK) r = backend_next(cursor, &key, &value);
        }
        return r == R_ABSENT ? R_OK : r;
}

static enum result tell_gone(struct walk *walk)
{
        const struct changes *changes = &walk->changes;
        struct named named;
        size_t i;
        enum result r;

        for (i = 0; i < changes->size; i++) {
                const struct gone *gone = &changes->gone[i];

                if (gone->revision == 0 || !find_change(walk, gone->revision, &named)) continue;
                if (verify_has(walk, walk->owner, &named.row)) {
                        if (named.row.kind != ROW_APP || gone->deleted_at == 0) continue;
                        if ((r = tell_left_over(walk, &named, gone->deleted_at)) != R_OK) return r;
                } else if (gone->deleted_at != gone->revision && !went_with_app(changes, &named, gone->revision)) {
                        verify_found(walk, &named.row, "is absent, but its last change, %ju, is no deletion",
                                     (uintmax_t)gone->revision);
                }
        }
        return R_OK;
}

/* ---- A record against its change ---- */

/* Whether the change of a row's revision names the row. A job's input and result are written with its state, an app's
 * counters with some job. */
static bool is_named(const struct row *row, const struct named *named)
{
        if (named->operation == CHANGE_LOOK || named->operation == CHANGE_RESTORE ||
            !uuid_equal(named->row.app, row->app))
                return false;
        if (row->kind == ROW_COUNTERS) return named->row.kind == ROW_JOB;
        if (row->kind == ROW_JOB_INPUT || row->kind == ROW_JOB_RESULT)
                return named->row.kind == ROW_JOB && uuid_equal(named->row.id, row->id);
        return named->row.kind == row->kind && uuid_equal(named->row.id, row->id);
}

static void compare_record(struct walk *walk, const struct row *row, uint64_t revision)
{
        const struct row change = {.kind = ROW_CHANGE, .revision = revision};
        struct record record;
        struct named named;
        struct bytes value;
        struct key key;

        verify_key(walk->owner, &change, &key);
        if (revision == 0 || verify_get(walk, walk->owner, &change, &value) != R_OK) {
                verify_found(walk, row, "has revision %ju, and no change has that number", (uintmax_t)revision);
                return;
        }
        if (record_open(key_bytes(&key), value, &record) != R_OK || !read_change(record.body, &named))
                return; /* said of the change */
        if (!is_named(row, &named))
                verify_found(walk, row, "has revision %ju, at which another record changed", (uintmax_t)revision);
}

/* Kinds that a change names; what else is written with them has the change of one of these. */
#define KINDS_NAMED                                                                                                    \
        (ROW_BIT(ROW_PROFILE) | ROW_BIT(ROW_KEY) | ROW_BIT(ROW_MEMBER) | ROW_BIT(ROW_INVITATION) | ROW_BIT(ROW_APP) |  \
         ROW_BIT(ROW_JOB))

/* The change is not looked for: it will find the record, when both are read in one snapshot. */
void verify_changes_record(struct walk *walk, const struct row *row, uint64_t revision)
{
        if (walk->verify->pause_cb == NULL && ROW_BIT(row->kind) & KINDS_NAMED)
                walk->changes.unmatched += digest_at(row, revision);
        else
                compare_record(walk, row, revision);
}

static enum result compare_again(struct walk *walk, struct bytes key, struct bytes value)
{
        struct record record;
        struct owner owner;
        struct row row;

        if (key_read(key, &owner, &row) != R_OK || !(ROW_BIT(row.kind) & KINDS_NAMED) ||
            record_open(key, value, &record) != R_OK)
                return R_OK;
        if (!goes_with_app(walk, &row)) compare_record(walk, &row, record.revision);
        return R_OK;
}

/* Records whose change does not name them, or changes that name what does not count. */
static enum result tell_unmatched(struct walk *walk)
{
        struct key prefix;

        if (walk->changes.unmatched == 0 || walk->verify->pause_cb != NULL) return R_OK;
        key_owner(walk->owner, &prefix);
        return verify_range(walk, TABLE_RECORDS, key_bytes(&prefix), compare_again);
}

/* In the snapshot in which the last of them was read. A record that went in one before it was noted as absent, and its
 * deletion was read since. */
enum result verify_changes_end(struct walk *walk)
{
        const struct row kind = {.kind = ROW_CHANGE};
        struct changes *changes = &walk->changes;
        struct key prefix;
        enum result r;

        if ((r = tell_unmatched(walk)) != R_OK) return r;
        if ((r = tell_gone(walk)) != R_OK) return r;
        key_owner(walk->owner, &prefix);
        key_append_kind(&prefix, &kind);
        while (changes->last_name < UINT64_MAX) {
                uint64_t first_name = changes->last_name + 1;

                verify_changes_begin(walk);
                changes->first_name = first_name;
                changes->is_again = true;
                if ((r = verify_range(walk, TABLE_RECORDS, key_bytes(&prefix), read_again)) != R_OK) return r;
                if ((r = tell_gone(walk)) != R_OK) return r;
        }
        return R_OK;
}

void verify_changes_free(struct changes *changes)
{
        free(changes->gone);
        *changes = (struct changes){0};
}
