#include "engine/restore_owner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/body_check.h"
#include "engine/dump_frame.h"
#include "engine/hold.h"
#include "engine/message.h"
#include "engine/owner.h"
#include "engine/restore_owner_private.h"
#include "engine/writer.h"

/* A row's unpacking, or what a transaction allocates: a scope for each member, and the records of one batch. */
#define ARENA_MAX ((size_t)64 << 20)

/* Of all identity rows: some 900 bytes each at most. */
#define IDENTITY_ARENA_MAX ((size_t)4 << 20)

/* Restoring ends when less than this is left of the map or of the disk: what others write in some seconds. */
#define ROOM_MIN ((uint64_t)128 << 20)

/* What a transaction counts as in the writer's queue: it ends at the first record beyond a MiB. */
#define COST_MAX ((size_t)4 << 20)

static const struct {
        enum row_kind kind;
        size_t max;
        const char *name;
} bounds[] = {
        {ROW_KEY, USER_KEYS_MAX, "keys"},
        {ROW_MEMBER, TEAM_MEMBERS_MAX, "members"},
        {ROW_INVITATION, USER_INVITATIONS_MAX, "invitations"},
};

/* One reading of the dump. */
struct pass {
        struct restore_owner *restore;
        struct dump_reader *reader;
        off_t at;
        struct dump_chunk chunk; /* for next_record */
};

/* What the first reading finds out. */
struct check {
        struct restore_owner *restore;
        struct arena arena; /* of one row */
        struct arena *kept; /* of identity rows */
        struct identity *identity;
        struct pass *behind;  /* the same dump once more, for the rows that must have come before */
        struct key behind_at; /* the newest row of it */
        uint64_t inputs, jobs;
};

/* ---- Reading ---- */

static enum result read_dump(void *context, uint8_t *data, size_t size, size_t *got)
{
        struct pass *pass = context;
        size_t have = 0;

        while (have < size) {
                ssize_t count = pread(pass->restore->fd, data + have, size - have, pass->at);

                if (count < 0 && errno == EINTR) continue;
                if (count < 0) return R_IO;
                if (count == 0) break;
                have += (size_t)count;
                pass->at += count;
        }
        *got = have;
        return R_OK;
}

static enum result explain_read(struct pass *pass, enum result r)
{
        char text[DUMP_FAULT_LINE_SIZE];

        if (r == R_UNAUTHENTICATED)
                return fault_set(&pass->restore->fault, R_BAD_ARGUMENT,
                                 "The dump is encrypted; it must be sent in the clear.");
        if (r != R_CORRUPT && r != R_FORMAT) return r;
        dump_fault_line(dump_reader_fault(pass->reader), text);
        return fault_set(&pass->restore->fault, R_BAD_ARGUMENT, "The dump is damaged: %s.", text);
}

static enum result open_pass(struct restore_owner *restore, struct pass *pass)
{
        enum result r;

        *pass = (struct pass){.restore = restore};
        if ((r = dump_reader_open(read_dump, pass, &pass->reader)) != R_OK) return r;
        r = dump_reader_header(pass->reader, &restore->header);
        if (r == R_OK) return R_OK;
        r = explain_read(pass, r);
        dump_reader_close(pass->reader);
        return r;
}

/* The next chunk. R_ABSENT: that was all. */
static enum result next_chunk(struct pass *pass, struct dump_chunk *out)
{
        struct restore_owner *restore = pass->restore;
        char found[OWNER_TEXT_SIZE], wanted[OWNER_TEXT_SIZE];
        enum result r = dump_reader_next(pass->reader, out);

        if (r != R_OK) return explain_read(pass, r);
        if (out->owner.kind == restore->owner.kind && uuid_equal(out->owner.id, restore->owner.id)) return R_OK;
        return fault_set(&restore->fault, R_BAD_ARGUMENT, "The dump holds %s, and must hold %s alone.",
                         owner_format(out->owner, found), owner_format(restore->owner, wanted));
}

/* Out of as many chunks as it takes. R_ABSENT: that was all. */
static enum result next_record(struct pass *pass, struct dump_record *out)
{
        enum result r;

        while (!dump_chunk_next(&pass->chunk, out))
                if ((r = next_chunk(pass, &pass->chunk)) != R_OK) return r;
        return R_OK;
}

static bool is_stopped(const struct restore_owner *restore)
{
        return restore->is_stopped != NULL && restore->is_stopped(restore->context);
}

/* ---- The first reading: nothing is written before all of it makes sense ---- */

static enum result wrong(struct check *check, const struct row *row, const char *what)
{
        char id[UUID_TEXT_LEN + 1];

        uuid_format(row->kind == ROW_APP ? row->app : row->id, id);
        return fault_set(&check->restore->fault, R_BAD_ARGUMENT, "The dump's row %s %s %s.", row_kind_name(row->kind),
                         id, what);
}

static void key_of_row(struct owner owner, const struct row *row, struct key *out)
{
        key_owner(owner, out);
        key_append(out, row);
}

static int compare(const struct key *a, const struct key *b)
{
        int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

        return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Inputs come before states and states before results, each in the order of ids. So whoever reads the dump a second
 * time and asks for the input of each state and the state of each result only ever goes forwards. */
static enum result check_came_before(struct check *check, const struct row *row, enum row_kind kind, const char *what)
{
        const struct row before = {.kind = kind, .app = row->app, .id = row->id};
        struct dump_record record;
        struct key wanted;
        enum result r;

        key_of_row(check->restore->owner, &before, &wanted);
        while (compare(&check->behind_at, &wanted) < 0) {
                r = next_record(check->behind, &record);
                if (r == R_ABSENT) return wrong(check, row, what);
                if (r != R_OK) return r;
                key_of_row(check->restore->owner, &record.row, &check->behind_at);
        }
        return compare(&check->behind_at, &wanted) == 0 ? R_OK : wrong(check, row, what);
}

static enum result check_job_row(struct check *check, const struct row *row)
{
        switch (row->kind) {
        case ROW_JOB_INPUT:
                check->inputs++;
                return R_OK;
        case ROW_JOB:
                check->jobs++;
                return check_came_before(check, row, ROW_JOB_INPUT, "has no input");
        default:
                return check_came_before(check, row, ROW_JOB, "is of no job");
        }
}

static enum result check_identity_row(struct check *check, const struct dump_record *record)
{
        struct identity *identity = check->identity;
        bool is_of_team = record->row.kind == ROW_MEMBER;
        size_t count = 0, i;
        struct bytes body;

        if (is_of_team != (check->restore->owner.kind == OWNER_TEAM))
                return wrong(check, &record->row, "is not of such an owner");
        for (i = 0; i < identity->row_count; i++)
                if (identity->rows[i].row.kind == record->row.kind) count++;
        for (i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
                if (bounds[i].kind == record->row.kind && count == bounds[i].max)
                        return fault_set(&check->restore->fault, R_BAD_ARGUMENT,
                                         "The dump has more %s than the %zu that there may be.", bounds[i].name,
                                         bounds[i].max);
        body = arena_dup(check->kept, record->body);
        if (body.data == NULL) return R_NO_MEMORY;
        identity->rows[identity->row_count++] = (struct identity_row){record->row, body};
        return R_OK;
}

static enum result check_record(struct check *check, const struct dump_record *record)
{
        struct restore_owner_counts *counts = &check->restore->counts;
        const char *fault;
        enum result r;

        if ((r = body_check(&check->arena, record->row.kind, record->body, &fault)) != R_OK) return r;
        if (fault != NULL) return wrong(check, &record->row, fault);
        switch (record->row.kind) {
        case ROW_APP:
                return R_OK;
        case ROW_JOB_INPUT:
        case ROW_JOB:
        case ROW_JOB_RESULT:
                return check_job_row(check, &record->row);
        case ROW_KEY:
        case ROW_MEMBER:
        case ROW_INVITATION:
                return check_identity_row(check, record);
        case ROW_PROFILE:
                return message_load(store_v1_Profile_fields, record->body, &check->identity->profile);
        case ROW_CHANGE:
                counts->changes_dropped++;
                return R_OK;
        default:
                counts->others_dropped++;
                return R_OK;
        }
}

static enum result check_chunks(struct check *check, struct pass *pass)
{
        struct dump_record record;
        struct dump_chunk chunk;
        enum result r;

        while ((r = next_chunk(pass, &chunk)) == R_OK) {
                if (is_stopped(check->restore)) return R_CANCELED;
                while (dump_chunk_next(&chunk, &record)) {
                        const struct arena_mark mark = arena_mark(&check->arena);

                        if ((r = check_record(check, &record)) != R_OK) return r;
                        arena_reset(&check->arena, mark);
                }
        }
        if (r != R_ABSENT) return r;
        check->restore->dumped = *dump_reader_counts(pass->reader);
        if (check->restore->dumped.owners == 0)
                return fault_set(&check->restore->fault, R_BAD_ARGUMENT, "The dump holds no owner.");
        if (check->inputs != check->jobs) /* each job has one */
                return fault_set(&check->restore->fault, R_BAD_ARGUMENT, "The dump has inputs of no job.");
        return R_OK;
}

/* `kept` holds the identity's bodies. */
static enum result check_dump(struct restore_owner *restore, struct identity *identity, struct arena *kept)
{
        struct pass pass, behind;
        struct check check = {.restore = restore, .identity = identity, .kept = kept, .behind = &behind};
        enum result r;

        if ((r = open_pass(restore, &pass)) != R_OK) return r;
        if ((r = open_pass(restore, &behind)) == R_OK) {
                arena_init(&check.arena, NULL, ARENA_MAX);
                r = check_chunks(&check, &pass);
                arena_fini(&check.arena);
                dump_reader_close(behind.reader);
        }
        dump_reader_close(pass.reader);
        return r;
}

/* ---- The second: putting ---- */

static enum result check_room(struct restore_owner *restore)
{
        uint64_t disk;
        enum result r;

        if (restore->is_dry) return R_OK;
        if ((r = store_disk_room(restore->store, &disk)) != R_OK) return r;
        if (disk < ROOM_MIN)
                return fault_set(&restore->fault, R_READ_ONLY, "The disk has too little room left to go on.");
        if (store_room(restore->store) < ROOM_MIN)
                return fault_set(&restore->fault, R_READ_ONLY, "The store has too little room left to go on.");
        return R_OK;
}

static enum result update(struct put *put, txn_fn *run)
{
        struct restore_owner *restore = put->restore;
        size_t cost = put->state.chunk.rest.len;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &restore->fault, .time_ms = store_time_ms(restore->store)};
        enum result r;

        if (is_stopped(restore)) return R_CANCELED;
        if ((r = check_room(restore)) != R_OK) return r;
        input.id = uuid_v7(input.time_ms);
        arena_init(&arena, NULL, ARENA_MAX);
        put->outcome = R_OK;
        if (cost > COST_MAX) cost = COST_MAX;
        r = writer_run_chore(store_writer(restore->store), &input, cost, false, run, put);
        arena_fini(&arena);
        if (r != R_OK) return r;
        put->state = put->next;
        return put->outcome;
}

/* The record of the app that is being put outlives the chunk it came in. */
static enum result keep_app_body(struct put *put, struct dump_buffer *buffer)
{
        struct bytes *body = &put->state.app_body;
        enum result r;

        if (!put->state.has_app || body->data == buffer->data) return R_OK;
        if ((r = dump_buffer_reserve(buffer, body->len + 1, 0)) != R_OK) return r;
        memcpy(buffer->data, body->data, body->len);
        body->data = buffer->data;
        return R_OK;
}

static enum result put_chunks(struct put *put, struct pass *pass)
{
        struct dump_buffer app_body = {0};
        enum result r;

        while ((r = next_chunk(pass, &put->state.chunk)) == R_OK) {
                while (r == R_OK && put->state.chunk.rest.len > 0)
                        r = update(put, put_records);
                if (r == R_OK) r = keep_app_body(put, &app_body);
                if (r != R_OK) break;
        }
        put->is_end = r == R_ABSENT;
        if (put->is_end) r = update(put, put_records);
        free(app_body.data);
        return r;
}

static enum result put_dump(struct restore_owner *restore, const struct identity *identity)
{
        struct put put = {.restore = restore, .identity = identity, .state.counts = restore->counts};
        struct pass pass;
        enum result r;

        if ((r = open_pass(restore, &pass)) != R_OK) return r;
        r = update(&put, put_begin);
        if (r == R_OK) r = put_chunks(&put, &pass);
        if (put.is_new && !restore->is_dry) {
                while (r == R_OK && put.state.looked_count < identity->row_count)
                        r = update(&put, put_look);
                if (r == R_OK) r = update(&put, put_identity);
        }
        dump_reader_close(pass.reader);
        restore->counts = put.state.counts;
        return r;
}

/* ---- From outside ---- */

static enum result run_held(struct restore_owner *restore)
{
        struct identity *identity = calloc(1, sizeof *identity);
        struct arena kept;
        enum result r;

        if (identity == NULL) return R_NO_MEMORY;
        arena_init(&kept, NULL, IDENTITY_ARENA_MAX);
        r = check_dump(restore, identity, &kept);
        if (r == R_OK) r = put_dump(restore, identity);
        arena_fini(&kept);
        free(identity);
        return r;
}

enum result restore_owner_run(struct restore_owner *restore)
{
        enum result r;

        fault_clear(&restore->fault);
        restore->counts = (struct restore_owner_counts){0};
        if (restore->owner.kind != restore->as.kind)
                return fault_set(&restore->fault, R_BAD_ARGUMENT, "A user can only become a user, a team a team.");
        if ((r = hold_take(restore->store, restore->as)) != R_OK)
                return fault_set(&restore->fault, r, "Another restore is under way; try again when it is done.");
        r = run_held(restore);
        hold_release(restore->store);
        return r;
}
