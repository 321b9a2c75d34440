#include "rpc/verify_feed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/require.h"
#include "engine/verify.h"
#include "rpc/feed_task.h"

/* How long and for how many bytes of rows a snapshot is held. Commits that fall into it cannot use old pages again: at
 * full load that is some MiB. */
#define SLICE_NS   INT64_C(50000000)
#define SLICE_SIZE ((uint64_t)4 << 20)

/* An answer is due this often. */
#define ANSWER_NS INT64_C(250000000)

/* Without a rate in the request: a GiB in half a minute, with a fifth of one processor. */
#define RATE_DEFAULT ((uint64_t)32 << 20)

/* Faults of one answer; a pause is wanted when it is half full. */
#define FAULTS_SIZE ((size_t)64 << 10)

#define SECOND_NS INT64_C(1000000000)
#define ARENA_MAX ((size_t)1 << 20) /* of the transaction; verify has its own */

/* allod.v1.VerifyResponse, VerifyProgress, VerifySummary and VerifyKind */
enum {
        RESPONSE_FAULTS = 1,
        RESPONSE_PROGRESS,
        RESPONSE_SUMMARY
};
enum {
        PROGRESS_BYTES = 1,
        PROGRESS_ROWS,
        PROGRESS_ROWS_TOTAL
};
enum {
        SUMMARY_OWNERS = 1,
        SUMMARY_ROWS,
        SUMMARY_TO_BE_PURGED,
        SUMMARY_FAULTS,
        SUMMARY_KINDS
};
enum {
        KIND_NAME = 1,
        KIND_ROWS
};

struct look {
        struct task task;

        /* the thread's while it is asked */
        struct verify verify;
        uint64_t rate; /* bytes a second */
        uint64_t size; /* bytes of rows that were read */
        uint64_t slice_size;
        int64_t start_ns, slice_ns, answer_ns;
        uint64_t untold_count;
        size_t faults_len;
        char faults[FAULTS_SIZE]; /* sentences, each with its NUL */
};

struct state {
        struct look *look; /* NULL: not begun, or over */
        bool was_asked;
};

_Static_assert(sizeof(struct state) <= FEED_STATE_SIZE, "it lies in the feed");

/* One at a time: the rate is the server's. */
static atomic_bool is_verifying;

static struct state *state_of(struct call *call)
{
        return (struct state *)call->feed.state;
}

/* ---- The thread ---- */

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* So that on the average no more than the rate was read; ends early when nobody wants it any more. */
static enum result wait_for_rate(struct look *look)
{
        return task_sleep_until(
                &look->task, look->start_ns + (int64_t)((double)look->size / (double)look->rate * (double)SECOND_NS));
}

static void keep_fault(void *context, const char *sentence)
{
        struct look *look = context;
        size_t size = strlen(sentence) + 1;

        if (look->faults_len + size > sizeof look->faults) {
                look->untold_count++;
                return;
        }
        memcpy(look->faults + look->faults_len, sentence, size);
        look->faults_len += size;
        if (look->faults_len > sizeof look->faults / 2) look->verify.wants_pause = true;
}

static enum result step(void *context, size_t size)
{
        struct look *look = context;

        look->size += size;
        look->slice_size += size;
        if (look->slice_size >= SLICE_SIZE || now_ns() - look->slice_ns >= SLICE_NS) look->verify.wants_pause = true;
        return look->verify.wants_pause && task_is_stopped(&look->task) ? R_CANCELED : R_OK; /* recounts do not pause */
}

static void begin_slice(struct look *look)
{
        look->slice_size = 0;
        look->slice_ns = now_ns();
}

static enum result rest(void *context)
{
        struct look *look = context;
        char sentence[VERIFY_SENTENCE_SIZE];
        enum result r = wait_for_rate(look);

        if (r == R_OK && (look->faults_len > 0 || now_ns() - look->answer_ns >= ANSWER_NS)) {
                r = task_answer(&look->task);
                look->faults_len = 0;
                look->answer_ns = now_ns();
                if (look->untold_count > 0) {
                        snprintf(sentence, sizeof sentence, "%ju more faults at once are not told one by one",
                                 (uintmax_t)look->untold_count);
                        look->untold_count = 0;
                        keep_fault(look, sentence);
                }
        }
        begin_slice(look);
        return r;
}

static enum result run(struct task *task)
{
        struct look *look = (struct look *)task;
        struct store *store = task->host->store;
        struct fault fault;
        struct arena arena;
        const struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        struct view *view;
        enum result r;

        look->start_ns = look->answer_ns = now_ns();
        begin_slice(look);
        if ((r = view_open(store, &view)) != R_OK) return r;
        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, verify_run, &look->verify);
        arena_fini(&arena);
        view_close(view);
        return r;
}

/* ---- The loop ---- */

static void free_look(struct task *task)
{
        task_fini(task);
        free(task);
        atomic_store(&is_verifying, false);
}

static void add_summary(struct message *message, const struct verify *verify)
{
        size_t mark = message_begin(message, RESPONSE_SUMMARY);

        message_uint(message, SUMMARY_OWNERS, verify->owner_count);
        message_uint(message, SUMMARY_ROWS, verify->row_count);
        message_uint(message, SUMMARY_TO_BE_PURGED, verify->hidden_count);
        message_uint(message, SUMMARY_FAULTS, verify->found_count);
        for (enum row_kind kind = 0; kind < ROW_KIND_COUNT; kind++) {
                size_t entry = message_begin(message, SUMMARY_KINDS);

                message_bytes(message, KIND_NAME, bytes_of_text(row_kind_name(kind)));
                message_uint(message, KIND_ROWS, verify->rows[kind]);
                message_end(message, entry);
        }
        message_end(message, mark);
}

static void send_answer(struct call *call, const struct look *look)
{
        struct message message;
        size_t at, mark;

        feed_message(call, &message);
        for (at = 0; at < look->faults_len; at += strlen(look->faults + at) + 1)
                message_bytes(&message, RESPONSE_FAULTS, bytes_of_text(look->faults + at));
        mark = message_begin(&message, RESPONSE_PROGRESS);
        message_uint(&message, PROGRESS_BYTES, look->size);
        message_uint(&message, PROGRESS_ROWS, look->verify.row_count);
        message_uint(&message, PROGRESS_ROWS_TOTAL, look->verify.row_total);
        message_end(&message, mark);
        if (look->task.has_returned) add_summary(&message, &look->verify);
        feed_send(call, &message);
}

static void answered(struct task *task)
{
        send_answer(task->call, (struct look *)task);
        if (feed_settle(task->call)) task_ask(task);
}

static void ended(struct task *task, struct call *call, enum result r)
{
        state_of(call)->look = NULL;
        if (r == R_OK && feed_is_open(call)) send_answer(call, (struct look *)task);
}

static const struct task_ops ops = {.run = run, .answered = answered, .ended = ended, .free = free_look};

static enum result make_look(struct call *call, const Allod__V1__VerifyRequest *request)
{
        struct look *look = calloc(1, sizeof *look);

        if (look == NULL) return R_NO_MEMORY;
        look->rate = request->bytes_per_second == 0 ? RATE_DEFAULT : (uint64_t)request->bytes_per_second;
        look->verify.context = look;
        look->verify.found_cb = keep_fault;
        look->verify.step_cb = step;
        look->verify.pause_cb = rest;
        if (task_start(&look->task, call, &ops) != R_OK) {
                free(look);
                return R_NO_MEMORY;
        }
        state_of(call)->look = look;
        return R_OK;
}

static enum result begin(struct call *call, const Allod__V1__VerifyRequest *request)
{
        struct state *state = state_of(call);
        bool is_free = false;

        if (state->was_asked) return fault_set(&call->fault, R_BAD_ARGUMENT, "The method takes one message.");
        state->was_asked = true;
        if (request->bytes_per_second < 0) return fault_field(&call->fault, "bytes_per_second", "must not be negative");
        if (!atomic_compare_exchange_strong(&is_verifying, &is_free, true))
                return fault_set(&call->fault, R_EXHAUSTED,
                                 "The store is being verified; try again when that is done.");
        if (make_look(call, request) == R_OK) return R_OK;
        atomic_store(&is_verifying, false);
        return R_NO_MEMORY;
}

static void message(struct call *call, const ProtobufCMessage *request)
{
        enum result r = begin(call, (const Allod__V1__VerifyRequest *)request);

        if (r != R_OK) feed_finish(call, r);
}

static void end(struct call *call)
{
        struct look *look = state_of(call)->look;

        if (look == NULL)
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a message."));
        else if (!look->task.is_asked)
                task_ask(&look->task);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static void writable(struct call *call)
{
        struct look *look = state_of(call)->look;

        if (look != NULL && !look->task.is_asked) task_ask(&look->task);
}

static void close_call(struct call *call)
{
        struct look *look = state_of(call)->look;

        if (look == NULL) return;
        state_of(call)->look = NULL;
        task_drop(&look->task);
}

const struct feed_ops verify_feed = {
        .message = message, .end = end, .wake = wake, .writable = writable, .close = close_call};
