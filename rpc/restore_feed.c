#include "rpc/restore_feed.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/owner.h"
#include "engine/require.h"
#include "engine/restore_owner.h"
#include "rpc/feed_task.h"
#include "rpc/limits.h"
#include "rpc/spool.h"

/* Above the first the peer is held; then there is room for all that it has credit for, and a message half read. */
#define HOLD_SIZE   ((size_t)256 << 10)
#define BUFFER_SIZE (HOLD_SIZE + H2_STREAM_WINDOW + FEED_REQUEST_MAX)

/* The answer: thirteen numbers of eleven bytes at most. */
#define ANSWER_SIZE      256
#define ANSWER_ARENA_MAX ((size_t)32 << 10)

/* allod.v1.RestoreResponse */
enum {
        RESPONSE_CREATED = 1,
        RESPONSE_APPS,
        RESPONSE_APPS_REPLACED,
        RESPONSE_APPS_KEPT,
        RESPONSE_JOBS,
        RESPONSE_KEYS,
        RESPONSE_KEYS_DROPPED,
        RESPONSE_MEMBERS,
        RESPONSE_MEMBERS_DROPPED,
        RESPONSE_INVITATIONS,
        RESPONSE_INVITATIONS_DROPPED,
        RESPONSE_CHANGES_DROPPED,
        RESPONSE_OTHERS_DROPPED
};

struct buffer {
        size_t len;
        uint8_t data[BUFFER_SIZE];
};

struct upload {
        struct task task;

        /* the loop's */
        bool is_ended; /* the peer has sent all */
        struct buffer *filling;
        struct message answer; /* has its memory from the start: who is restored is never told to be not */
        struct arena answer_arena;

        /* the thread's while it is asked */
        struct buffer *writing; /* empty: there is no more */
        struct spool spool;
        struct credential who;
        struct restore_owner restore;

        struct buffer buffers[2];
};

struct state {
        struct upload *upload; /* NULL: not begun, or over */
        bool is_refused;
};

_Static_assert(sizeof(struct state) <= FEED_STATE_SIZE, "it lies in the feed");

/* One at a time: they would wait for each other, with two files. */
static atomic_bool is_restoring;

static struct state *state_of(struct call *call)
{
        return (struct state *)call->feed.state;
}

/* ---- The thread ---- */

static bool is_stopped(void *context)
{
        return task_is_stopped(context);
}

static enum result run(struct task *task)
{
        struct upload *upload = (struct upload *)task;
        struct buffer *writing;
        enum result r;

        while ((writing = upload->writing)->len > 0) {
                r = spool_write(&upload->spool, bytes_of(writing->data, writing->len), &upload->restore.fault);
                if (r != R_OK) return r;
                writing->len = 0;
                if ((r = task_answer(task)) != R_OK) return r;
        }
        upload->restore.fd = upload->spool.fd;
        return restore_owner_run(&upload->restore);
}

/* ---- The loop ---- */

static void free_upload(struct task *task)
{
        struct upload *upload = (struct upload *)task;

        task_fini(task);
        spool_fini(&upload->spool);
        arena_fini(&upload->answer_arena);
        free(upload);
        atomic_store(&is_restoring, false);
}

/* What is next to do, when the thread has nothing to do. */
static void go_on(struct upload *upload)
{
        struct buffer *full = upload->filling;

        if (full->len > 0) {
                upload->filling = upload->writing;
                upload->writing = full;
                task_ask(&upload->task);
                feed_release(upload->task.call);
        } else if (upload->is_ended) {
                task_ask(&upload->task);
        }
}

static void send_counts(struct call *call, struct message *message, const struct restore_owner_counts *counts)
{
        message_bool(message, RESPONSE_CREATED, counts->is_new);
        message_uint(message, RESPONSE_APPS, counts->apps);
        message_uint(message, RESPONSE_APPS_REPLACED, counts->apps_replaced);
        message_uint(message, RESPONSE_APPS_KEPT, counts->apps_kept);
        message_uint(message, RESPONSE_JOBS, counts->jobs);
        message_uint(message, RESPONSE_KEYS, counts->keys);
        message_uint(message, RESPONSE_KEYS_DROPPED, counts->keys_dropped);
        message_uint(message, RESPONSE_MEMBERS, counts->members);
        message_uint(message, RESPONSE_MEMBERS_DROPPED, counts->members_dropped);
        message_uint(message, RESPONSE_INVITATIONS, counts->invitations);
        message_uint(message, RESPONSE_INVITATIONS_DROPPED, counts->invitations_dropped);
        message_uint(message, RESPONSE_CHANGES_DROPPED, counts->changes_dropped);
        message_uint(message, RESPONSE_OTHERS_DROPPED, counts->others_dropped);
        feed_send(call, message);
}

static void answered(struct task *task)
{
        go_on((struct upload *)task);
}

static void ended(struct task *task, struct call *call, enum result r)
{
        struct upload *upload = (struct upload *)task;

        state_of(call)->upload = NULL;
        state_of(call)->is_refused = true;
        if (r == R_OK && feed_is_open(call)) send_counts(call, &upload->answer, &upload->restore.counts);
        if (task->refusal == R_OK && upload->restore.fault.text[0] != '\0')
                (void)fault_set(&call->fault, r, "%s", upload->restore.fault.text);
}

static const struct task_ops ops = {.run = run, .answered = answered, .ended = ended, .free = free_upload};

static enum result read_options(struct call *call, const Allod__V1__RestoreOptions *options, struct restore_owner *out)
{
        if (owner_parse(options->owner, &out->owner) != R_OK)
                (void)fault_field(&call->fault, "options.owner", "must be u: or t: and an id");
        out->as = out->owner;
        if (options->as_owner[0] != '\0' && owner_parse(options->as_owner, &out->as) != R_OK)
                (void)fault_field(&call->fault, "options.as_owner", "must be u: or t: and an id, or empty");
        else if (out->as.kind != out->owner.kind)
                (void)fault_field(&call->fault, "options.as_owner", "must be of the same kind as options.owner");
        if (options->on_conflict < 0 || options->on_conflict > ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_REPLACE)
                (void)fault_field(&call->fault, "options.on_conflict", "must be one of FAIL, SKIP or REPLACE");
        out->on_conflict = options->on_conflict == ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_SKIP ? RESTORE_SKIP
                           : options->on_conflict == ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_REPLACE
                                   ? RESTORE_REPLACE
                                   : RESTORE_FAIL;
        out->is_dry = options->dry_run;
        return call->fault.field_count == 0 ? R_OK : R_BAD_ARGUMENT;
}

static enum result make_upload(struct call *call, const struct restore_owner *restore)
{
        struct upload *upload = malloc(sizeof *upload);

        if (upload == NULL) return R_NO_MEMORY;
        memset(upload, 0, offsetof(struct upload, buffers));
        upload->buffers[0].len = upload->buffers[1].len = 0;
        upload->filling = &upload->buffers[0];
        upload->writing = &upload->buffers[1];
        spool_init(&upload->spool, call->host->store);
        upload->who = call->who;
        upload->restore = *restore;
        upload->restore.store = call->host->store;
        upload->restore.admin = &upload->who;
        upload->restore.context = &upload->task;
        upload->restore.is_stopped = is_stopped;
        fault_clear(&upload->restore.fault);
        arena_init(&upload->answer_arena, NULL, ANSWER_ARENA_MAX);
        message_init(&upload->answer, &upload->answer_arena, ANSWER_SIZE);
        if (upload->answer.has_failed || task_start(&upload->task, call, &ops) != R_OK) {
                arena_fini(&upload->answer_arena);
                free(upload);
                return R_NO_MEMORY;
        }
        state_of(call)->upload = upload;
        return R_OK;
}

static enum result begin(struct call *call, const Allod__V1__RestoreRequest *request)
{
        struct restore_owner restore = {0};
        bool is_free = false;
        enum result r;

        if (request->options == NULL)
                return fault_set(&call->fault, R_BAD_ARGUMENT, "The first message must have options.");
        if ((r = read_options(call, request->options, &restore)) != R_OK) return r;
        if (!atomic_compare_exchange_strong(&is_restoring, &is_free, true))
                return fault_set(&call->fault, R_EXHAUSTED, "Another restore is under way; try again when it is done.");
        if ((r = make_upload(call, &restore)) != R_OK) atomic_store(&is_restoring, false);
        return r;
}

static enum result take_bytes(struct call *call, struct upload *upload, struct bytes data)
{
        struct buffer *buffer = upload->filling;

        if (data.len > BUFFER_SIZE - buffer->len)
                return fault_set(&call->fault, R_EXHAUSTED, "More was sent than there was credit for.");
        if (data.len > 0) memcpy(buffer->data + buffer->len, data.data, data.len);
        buffer->len += data.len;
        if (!upload->task.is_asked)
                go_on(upload);
        else if (buffer->len > HOLD_SIZE)
                feed_hold(call);
        return R_OK;
}

/* Answered when the thread has ended, so that whoever hears of it finds the place free. */
static void refuse(struct call *call, enum result r)
{
        struct upload *upload = state_of(call)->upload;

        state_of(call)->is_refused = true;
        if (upload == NULL)
                feed_finish(call, r);
        else
                task_stop(&upload->task, r);
}

static void message(struct call *call, const ProtobufCMessage *message)
{
        const Allod__V1__RestoreRequest *request = (const Allod__V1__RestoreRequest *)message;
        struct state *state = state_of(call);
        enum result r = R_OK;

        if (state->is_refused) return;
        if (state->upload == NULL)
                r = begin(call, request);
        else if (request->options != NULL)
                r = fault_set(&call->fault, R_BAD_ARGUMENT, "Only the first message may have options.");
        if (r == R_OK) r = take_bytes(call, state->upload, bytes_of(request->data.data, request->data.len));
        if (r != R_OK) refuse(call, r);
}

static void end(struct call *call)
{
        struct state *state = state_of(call);
        struct upload *upload = state->upload;

        if (state->is_refused) return;
        if (upload != NULL) upload->is_ended = true;
        if (upload == NULL || (!upload->task.is_asked && upload->spool.fd < 0 && upload->filling->len == 0))
                refuse(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a dump."));
        else if (!upload->task.is_asked)
                go_on(upload);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static void close_call(struct call *call)
{
        struct upload *upload = state_of(call)->upload;

        if (upload == NULL) return;
        state_of(call)->upload = NULL;
        task_drop(&upload->task);
}

const struct feed_ops restore_feed = {
        .message = message, .end = end, .wake = wake, .close = close_call, .is_upload = true};
