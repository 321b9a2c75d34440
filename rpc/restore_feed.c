#include "rpc/restore_feed.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/owner.h"
#include "engine/require.h"
#include "engine/restore_owner.h"
#include "rpc/call.h"
#include "rpc/limits.h"

/* Above the first the peer is held; then there is room for all that it has credit for, and a message half read. */
#define HOLD_SIZE   ((size_t)256 << 10)
#define BUFFER_SIZE (HOLD_SIZE + H2_STREAM_WINDOW + FEED_REQUEST_MAX)

/* No more is taken when less than this is left on the disk: restoring needs room too. */
#define ROOM_MIN    ((uint64_t)128 << 20)
#define ROOM_PERIOD ((uint64_t)8 << 20)

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

enum order {
        ORDER_NONE,
        ORDER_WRITE,
        ORDER_RUN,
        ORDER_QUIT,
};

struct buffer {
        size_t len;
        uint8_t data[BUFFER_SIZE];
};

struct task {
        struct host *host;
        struct call *call;   /* NULL: it is over. The loop's */
        bool is_asked;       /* an answer is owed. The loop's */
        bool is_ended;       /* the peer has sent all. The loop's */
        enum result refusal; /* what to answer when the thread has ended; R_OK: what it says. The loop's */
        struct buffer *filling;
        struct completion completion;

        pthread_mutex_t mutex;
        pthread_cond_t asked;
        enum order order; /* under the mutex */
        atomic_bool is_stopped;

        /* the thread's, and the loop's while no answer is owed */
        struct buffer *writing;
        uint64_t spooled, room_checked;
        struct credential who;
        struct restore_owner restore;
        enum result result;
        bool is_over; /* that was the thread's last answer */

        struct buffer buffers[2];
};

struct state {
        struct task *task;
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

static enum result check_room(struct task *task)
{
        uint64_t disk;
        enum result r;

        if (task->spooled < task->room_checked) return R_OK;
        if ((r = store_disk_room(task->host->store, &disk)) != R_OK) return r;
        if (disk < ROOM_MIN)
                return fault_set(&task->restore.fault, R_READ_ONLY,
                                 "The disk has too little room left to collect the dump.");
        task->room_checked = task->spooled + ROOM_PERIOD;
        return R_OK;
}

static enum result write_spool(struct task *task)
{
        struct bytes data = bytes_of(task->writing->data, task->writing->len);
        enum result r;

        if (task->restore.fd < 0 && (r = store_open_spool(task->host->store, &task->restore.fd)) != R_OK) return r;
        if ((r = check_room(task)) != R_OK) return r;
        task->spooled += data.len;
        while (data.len > 0) {
                ssize_t count = write(task->restore.fd, data.data, data.len);

                if (count < 0 && errno == EINTR) continue;
                if (count < 0) return errno == ENOSPC || errno == EDQUOT ? R_READ_ONLY : R_IO;
                data.data += count;
                data.len -= (size_t)count;
        }
        task->writing->len = 0;
        return R_OK;
}

static bool is_stopped(void *context)
{
        return atomic_load(&((struct task *)context)->is_stopped);
}

static enum order wait_for_order(struct task *task)
{
        enum order order;

        pthread_mutex_lock(&task->mutex);
        while (task->order == ORDER_NONE)
                pthread_cond_wait(&task->asked, &task->mutex);
        order = task->order;
        task->order = ORDER_NONE;
        pthread_mutex_unlock(&task->mutex);
        return order;
}

static void *run_thread(void *argument)
{
        struct task *task = argument;
        bool is_over = false;

        while (!is_over) {
                enum order order = wait_for_order(task);

                if (order == ORDER_QUIT)
                        task->result = R_CANCELED;
                else
                        task->result = order == ORDER_WRITE ? write_spool(task) : restore_owner_run(&task->restore);
                is_over = task->is_over = order != ORDER_WRITE || task->result != R_OK;
                host_post(task->host, &task->completion); /* after the last one the task is the loop's alone */
        }
        return NULL;
}

/* ---- The loop ---- */

static void free_task(struct task *task)
{
        if (task->restore.fd >= 0) close(task->restore.fd);
        pthread_cond_destroy(&task->asked);
        pthread_mutex_destroy(&task->mutex);
        free(task);
        atomic_store(&is_restoring, false);
}

static void ask(struct task *task, enum order order)
{
        REQUIRE(!task->is_asked);
        task->is_asked = true;
        host_expect(task->host, &task->completion);
        pthread_mutex_lock(&task->mutex);
        task->order = order;
        pthread_cond_signal(&task->asked);
        pthread_mutex_unlock(&task->mutex);
}

/* What is next to do, when the thread has nothing to do. */
static void go_on(struct task *task)
{
        struct buffer *full = task->filling;

        if (full->len > 0) {
                task->filling = task->writing;
                task->writing = full;
                ask(task, ORDER_WRITE);
                feed_release(task->call);
        } else if (task->is_ended) {
                ask(task, ORDER_RUN);
        }
}

static void send_counts(struct call *call, const struct restore_owner_counts *counts)
{
        struct message message;

        feed_message(call, &message);
        message_bool(&message, RESPONSE_CREATED, counts->is_new);
        message_uint(&message, RESPONSE_APPS, counts->apps);
        message_uint(&message, RESPONSE_APPS_REPLACED, counts->apps_replaced);
        message_uint(&message, RESPONSE_APPS_KEPT, counts->apps_kept);
        message_uint(&message, RESPONSE_JOBS, counts->jobs);
        message_uint(&message, RESPONSE_KEYS, counts->keys);
        message_uint(&message, RESPONSE_KEYS_DROPPED, counts->keys_dropped);
        message_uint(&message, RESPONSE_MEMBERS, counts->members);
        message_uint(&message, RESPONSE_MEMBERS_DROPPED, counts->members_dropped);
        message_uint(&message, RESPONSE_INVITATIONS, counts->invitations);
        message_uint(&message, RESPONSE_INVITATIONS_DROPPED, counts->invitations_dropped);
        message_uint(&message, RESPONSE_CHANGES_DROPPED, counts->changes_dropped);
        message_uint(&message, RESPONSE_OTHERS_DROPPED, counts->others_dropped);
        feed_send(call, &message);
}

/* The thread has ended. */
static void end_task(struct task *task)
{
        struct call *call = task->call;
        enum result r = task->refusal != R_OK ? task->refusal : task->result;

        if (call != NULL) {
                state_of(call)->task = NULL;
                state_of(call)->is_refused = true;
                if (r == R_OK && feed_is_open(call)) send_counts(call, &task->restore.counts);
                if (task->refusal == R_OK && task->restore.fault.text[0] != '\0')
                        (void)fault_set(&call->fault, r, "%s", task->restore.fault.text);
        }
        free_task(task);
        if (call == NULL) return;
        feed_finish(call, r);
        (void)feed_settle(call);
}

static void answered(struct completion *completion)
{
        struct task *task = (struct task *)((char *)completion - offsetof(struct task, completion));

        task->is_asked = false;
        if (task->is_over)
                end_task(task);
        else if (task->call == NULL || task->refusal != R_OK)
                ask(task, ORDER_QUIT);
        else if (feed_is_open(task->call)) /* else it is finished, and close_call is to come */
                go_on(task);
}

static enum result start_thread(struct task *task)
{
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_t thread;
        int failure;

        if (pthread_attr_init(&attributes) != 0) return R_NO_MEMORY;
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        sigfillset(&all); /* signals are the loops' */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failure = pthread_create(&thread, &attributes, run_thread, task);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        return failure == 0 ? R_OK : R_NO_MEMORY;
}

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

static enum result make_task(struct call *call, const struct restore_owner *restore, struct task **out)
{
        struct task *task = malloc(sizeof *task);

        if (task == NULL) return R_NO_MEMORY;
        memset(task, 0, offsetof(struct task, buffers));
        task->buffers[0].len = task->buffers[1].len = 0;
        task->filling = &task->buffers[0];
        task->writing = &task->buffers[1];
        task->host = call->host;
        task->call = call;
        task->completion.run = answered;
        task->who = call->who;
        task->restore = *restore;
        task->restore.store = call->host->store;
        task->restore.admin = &task->who;
        task->restore.fd = -1;
        task->restore.context = task;
        task->restore.is_stopped = is_stopped;
        fault_clear(&task->restore.fault);
        REQUIRE(pthread_mutex_init(&task->mutex, NULL) == 0 && pthread_cond_init(&task->asked, NULL) == 0);
        if (start_thread(task) != R_OK) {
                free_task(task);
                return R_NO_MEMORY;
        }
        *out = task;
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
        if ((r = make_task(call, &restore, &state_of(call)->task)) != R_OK) atomic_store(&is_restoring, false);
        return r;
}

static enum result take_bytes(struct call *call, struct task *task, struct bytes data)
{
        struct buffer *buffer = task->filling;

        if (data.len > BUFFER_SIZE - buffer->len)
                return fault_set(&call->fault, R_EXHAUSTED, "More was sent than there was credit for.");
        if (data.len > 0) memcpy(buffer->data + buffer->len, data.data, data.len);
        buffer->len += data.len;
        if (!task->is_asked)
                go_on(task);
        else if (buffer->len > HOLD_SIZE)
                feed_hold(call);
        return R_OK;
}

/* Answered when the thread has ended, so that whoever hears of it finds the place free. */
static void refuse(struct call *call, enum result r)
{
        struct task *task = state_of(call)->task;

        state_of(call)->is_refused = true;
        if (task == NULL) {
                feed_finish(call, r);
                return;
        }
        task->refusal = r;
        if (!task->is_asked) ask(task, ORDER_QUIT);
}

static void message(struct call *call, const ProtobufCMessage *message)
{
        const Allod__V1__RestoreRequest *request = (const Allod__V1__RestoreRequest *)message;
        struct state *state = state_of(call);
        enum result r = R_OK;

        if (state->is_refused) return;
        if (state->task == NULL)
                r = begin(call, request);
        else if (request->options != NULL)
                r = fault_set(&call->fault, R_BAD_ARGUMENT, "Only the first message may have options.");
        if (r == R_OK) r = take_bytes(call, state->task, bytes_of(request->data.data, request->data.len));
        if (r != R_OK) refuse(call, r);
}

static void end(struct call *call)
{
        struct state *state = state_of(call);
        struct task *task = state->task;

        if (state->is_refused) return;
        if (task != NULL) task->is_ended = true;
        if (task == NULL || (!task->is_asked && task->restore.fd < 0 && task->filling->len == 0))
                refuse(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a dump."));
        else if (!task->is_asked)
                go_on(task);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

/* The thread is told, and asked for its last answer. */
static void close_call(struct call *call)
{
        struct task *task = state_of(call)->task;

        if (task == NULL) return;
        state_of(call)->task = NULL;
        task->call = NULL;
        atomic_store(&task->is_stopped, true);
        if (!task->is_asked) ask(task, ORDER_QUIT);
}

const struct feed_ops restore_feed = {
        .message = message, .end = end, .wake = wake, .close = close_call, .is_upload = true};
