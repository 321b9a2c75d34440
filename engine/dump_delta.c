#include "engine/dump_delta.h"

#include <stdlib.h>
#include <string.h>

#include "engine/dump_frame.h"
#include "engine/message.h"
#include "store/v1/store.pb.h"

/* ---- An owner's state ---- */

static enum result note_keys(const struct scope *scope, struct dump_state *state)
{
        const struct row kind = {.kind = ROW_KEY};
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        struct row row;
        enum result r;

        if (scope_owner(scope).kind != OWNER_USER) return R_OK; /* teams have none */
        if ((r = scan_open(scope, &kind, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK)
                dump_state_note(state, &row, record.revision, record.body);
        return r == R_ABSENT ? R_OK : r;
}

/* The first change that is kept, or the last one. R_ABSENT: there is none. */
static enum result note_change(const struct scope *scope, bool is_last, struct dump_state *state)
{
        const struct row kind = {.kind = ROW_CHANGE};
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        struct row row;
        enum result r;

        if ((r = scan_open(scope, &kind, NULL, is_last, &scan)) != R_OK) return r;
        if ((r = scan_next(&scan, &row, &record)) == R_OK) dump_state_note(state, &row, record.revision, record.body);
        return r;
}

enum result dump_delta_state(const struct scope *scope, struct dump_state *out)
{
        struct dump_state state = {0};
        enum result r;

        if ((r = note_keys(scope, &state)) != R_OK) return r;
        r = note_change(scope, false, &state);
        if (r == R_OK) r = note_change(scope, true, &state);
        if (r != R_OK && r != R_ABSENT) return r;
        *out = state;
        return R_OK;
}

/* ---- Names ---- */

int dump_key_compare(const struct key *a, const struct key *b)
{
        int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

        return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_names(const void *a, const void *b)
{
        const struct dump_name *one = a, *two = b;

        return dump_key_compare(&one->key, &two->key);
}

/* R_ABSENT: there are too many. */
static enum result add_name(struct dump_names *names, const struct scope *scope, const struct row *row)
{
        size_t size = names->size == 0 ? 64 : 2 * names->size;
        struct dump_name *grown;

        if (names->count == DUMP_NAMES_MAX) return R_ABSENT;
        if (names->count == names->size) {
                grown = realloc(names->names, size * sizeof *grown);
                if (grown == NULL) return R_NO_MEMORY;
                names->names = grown;
                names->size = size;
        }
        grown = &names->names[names->count++];
        grown->row = *row;
        key_owner(scope_owner(scope), &grown->key);
        key_append(&grown->key, row);
        return R_OK;
}

/* In order, each once. */
static void sort(struct dump_names *names)
{
        size_t i, kept = 0;

        if (names->count == 0) return;
        qsort(names->names, names->count, sizeof *names->names, compare_names);
        for (i = 1; i < names->count; i++)
                if (compare_names(&names->names[kept], &names->names[i]) != 0) names->names[++kept] = names->names[i];
        names->count = kept + 1;
}

bool dump_delta_has_made(const struct dump_delta *delta, const struct key *app_record)
{
        const struct dump_name name = {.key = *app_record};

        return delta->made.count > 0 &&
               bsearch(&name, delta->made.names, delta->made.count, sizeof *delta->made.names, compare_names) != NULL;
}

void dump_delta_fini(struct dump_delta *delta)
{
        free(delta->gone.names);
        free(delta->made.names);
        *delta = (struct dump_delta){0};
}

/* ---- The log ---- */

/* What the change names, if that is all there is to name. */
static bool read_name(const store_v1_Change *change, struct row *out)
{
        struct uuid id;

        if (change->id.size != UUID_SIZE || change->app.size != 0) return false;
        memcpy(id.bytes, change->id.bytes, UUID_SIZE);
        *out = (struct row){.kind = (enum row_kind)change->kind};
        switch (out->kind) {
        case ROW_APP:
                out->app = id;
                return true;
        case ROW_KEY:
        case ROW_MEMBER:
        case ROW_INVITATION:
                out->id = id;
                return true;
        default:
                return false;
        }
}

static enum result take_deletion(const struct scope *scope, const store_v1_Change *change, struct dump_delta *delta)
{
        struct row row;
        enum result r;

        if (!read_name(change, &row)) return R_ABSENT;
        r = scope_exists(scope, &row);
        if (r == R_ABSENT) return add_name(&delta->gone, scope, &row);
        /* One that is there again is as it is now; but under an app that is, something may have gone. */
        return r == R_OK && row.kind == ROW_APP ? R_ABSENT : r;
}

static enum result take_change(const struct scope *scope, const struct record *record, struct dump_delta *delta)
{
        store_v1_Change change;
        struct row row;

        if (message_load(&store_v1_Change_msg, record->body, &change) != R_OK) return R_ABSENT;
        if (change.operation == CHANGE_DELETE) return take_deletion(scope, &change, delta);
        if (change.operation != CHANGE_CREATE || change.kind != ROW_APP) return R_OK;
        return read_name(&change, &row) ? add_name(&delta->made, scope, &row) : R_ABSENT;
}

/* Whether the log has the base's last change, as it was. */
static enum result find_base(const struct scope *scope, const struct dump_state *now, const struct dump_state *base)
{
        const struct row row = {.kind = ROW_CHANGE, .revision = base->revision};
        struct dump_state state = {.oldest = now->oldest};
        struct record record;
        enum result r;

        if (base->revision == 0 || base->revision > now->revision) return R_ABSENT;
        if ((r = scope_get(scope, &row, &record)) != R_OK) return r;
        dump_state_note(&state, &row, record.revision, record.body);
        return state.history == base->history ? R_OK : R_ABSENT;
}

enum result dump_delta_find(const struct scope *scope, const struct dump_state *now, const struct dump_state *base,
                            struct dump_delta *out)
{
        const struct row kind = {.kind = ROW_CHANGE}, from = {.kind = ROW_CHANGE, .revision = base->revision};
        SCAN_SCOPE struct scan scan = {0};
        uint64_t last = base->revision;
        struct record record;
        struct row row;
        enum result r;

        out->gone.count = out->made.count = out->gone_given = 0;
        if ((r = find_base(scope, now, base)) != R_OK) return r;
        if ((r = scan_open(scope, &kind, &from, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                if (row.revision != ++last) return R_ABSENT;
                if ((r = take_change(scope, &record, out)) != R_OK) return r;
        }
        if (r != R_ABSENT) return r;
        sort(&out->gone);
        sort(&out->made);
        return R_OK;
}
