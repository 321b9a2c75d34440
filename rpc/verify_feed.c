#include "rpc/verify_feed.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/require.h"
#include "engine/verify.h"
#include "rpc/call.h"

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

struct task {
        struct host *host;
        struct call *call; /* NULL: it is over. The loop's */
        bool is_asked;     /* an answer is owed. The loop's */
        struct completion completion;

        pthread_mutex_t mutex;
        pthread_cond_t changed;
        bool wants_answer; /* under the mutex */
        bool is_stopped;   /* under the mutex */

        /* the thread's, and the loop's while no answer is owed */
        struct verify verify;
        uint64_t rate; /* bytes a second */
        uint64_t size; /* bytes of rows that were read */
        uint64_t slice_size;
        int64_t start_ns, slice_ns, answer_ns;
        enum result result; /* R_OK: there is more; R_ABSENT: that is all; else what went wrong */
        uint64_t untold_count;
        size_t faults_len;
        char faults[FAULTS_SIZE]; /* sentences, each with its NUL */
};

struct state {
        struct task *task;
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

static enum result wait_until_asked(struct task *task)
{
        bool is_stopped;

        pthread_mutex_lock(&task->mutex);
        while (!task->wants_answer)
                pthread_cond_wait(&task->changed, &task->mutex);
        task->wants_answer = false;
        is_stopped = task->is_stopped;
        pthread_mutex_unlock(&task->mutex);
        task->faults_len = 0;
        return is_stopped ? R_CANCELED : R_OK;
}

/* So that on the average no more than the rate was read; ends early when nobody wants it any more. */
static enum result wait_for_rate(struct task *task)
{
        int64_t due_ns = task->start_ns + (int64_t)((double)task->size / (double)task->rate * (double)SECOND_NS);
        const struct timespec due = {due_ns / SECOND_NS, due_ns % SECOND_NS};
        bool is_stopped;

        pthread_mutex_lock(&task->mutex);
        while (!task->is_stopped && now_ns() < due_ns)
                (void)pthread_cond_timedwait(&task->changed, &task->mutex, &due);
        is_stopped = task->is_stopped;
        pthread_mutex_unlock(&task->mutex);
        return is_stopped ? R_CANCELED : R_OK;
}

static void keep_fault(void *context, const char *sentence)
{
        struct task *task = context;
        size_t size = strlen(sentence) + 1;

        if (task->faults_len + size > sizeof task->faults) {
                task->untold_count++;
                return;
        }
        memcpy(task->faults + task->faults_len, sentence, size);
        task->faults_len += size;
        if (task->faults_len > sizeof task->faults / 2) task->verify.wants_pause = true;
}

static enum result step(void *context, size_t size)
{
        struct task *task = context;

        task->size += size;
        task->slice_size += size;
        if (task->slice_size >= SLICE_SIZE || now_ns() - task->slice_ns >= SLICE_NS) task->verify.wants_pause = true;
        return R_OK;
}

static void begin_slice(struct task *task)
{
        task->slice_size = 0;
        task->slice_ns = now_ns();
}

static enum result rest(void *context)
{
        struct task *task = context;
        char sentence[VERIFY_SENTENCE_SIZE];
        enum result r = wait_for_rate(task);

        if (r == R_OK && (task->faults_len > 0 || now_ns() - task->answer_ns >= ANSWER_NS)) {
                task->result = R_OK;
                host_post(task->host, &task->completion);
                r = wait_until_asked(task);
                task->answer_ns = now_ns();
                if (task->untold_count > 0) {
                        snprintf(sentence, sizeof sentence, "%ju more faults at once are not told one by one",
                                 (uintmax_t)task->untold_count);
                        task->untold_count = 0;
                        keep_fault(task, sentence);
                }
        }
        begin_slice(task);
        return r;
}

static enum result look(struct task *task)
{
        struct store *store = task->host->store;
        struct fault fault;
        struct arena arena;
        const struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        struct view *view;
        enum result r;

        if ((r = view_open(store, &view)) != R_OK) return r;
        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, verify_run, &task->verify);
        arena_fini(&arena);
        view_close(view);
        return r;
}

static void *run_thread(void *argument)
{
        struct task *task = argument;
        enum result r = wait_until_asked(task);

        task->start_ns = task->answer_ns = now_ns();
        begin_slice(task);
        if (r == R_OK) r = look(task);
        task->result = r == R_OK ? R_ABSENT : r;
        host_post(task->host, &task->completion); /* from here on the task is the loop's alone */
        return NULL;
}

/* ---- The loop ---- */

static void free_task(struct task *task)
{
        pthread_cond_destroy(&task->changed);
        pthread_mutex_destroy(&task->mutex);
        free(task);
        atomic_store(&is_verifying, false);
}

static void ask(struct task *task)
{
        REQUIRE(!task->is_asked);
        task->is_asked = true;
        host_expect(task->host, &task->completion);
        pthread_mutex_lock(&task->mutex);
        task->wants_answer = true;
        pthread_cond_signal(&task->changed);
        pthread_mutex_unlock(&task->mutex);
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

static void send_answer(struct call *call, const struct task *task)
{
        struct message message;
        size_t at, mark;

        feed_message(call, &message);
        for (at = 0; at < task->faults_len; at += strlen(task->faults + at) + 1)
                message_bytes(&message, RESPONSE_FAULTS, bytes_of_text(task->faults + at));
        mark = message_begin(&message, RESPONSE_PROGRESS);
        message_uint(&message, PROGRESS_BYTES, task->size);
        message_uint(&message, PROGRESS_ROWS, task->verify.row_count);
        message_uint(&message, PROGRESS_ROWS_TOTAL, task->verify.row_total);
        message_end(&message, mark);
        if (task->result == R_ABSENT) add_summary(&message, &task->verify);
        feed_send(call, &message);
}

/* The thread has ended. */
static void end_task(struct task *task)
{
        struct call *call = task->call;
        enum result r = task->result;

        if (call != NULL) {
                state_of(call)->task = NULL;
                if (r == R_ABSENT && feed_is_open(call)) send_answer(call, task);
        }
        free_task(task);
        if (call == NULL) return;
        feed_finish(call, r == R_ABSENT ? R_OK : r);
        (void)feed_settle(call);
}

static void answered(struct completion *completion)
{
        struct task *task = (struct task *)((char *)completion - offsetof(struct task, completion));

        task->is_asked = false;
        if (task->result != R_OK) {
                end_task(task);
        } else if (task->call == NULL) {
                ask(task);                     /* stopped: the next answer is the last */
        } else if (feed_is_open(task->call)) { /* else it is finished, and close_call is to come */
                send_answer(task->call, task);
                if (feed_settle(task->call)) ask(task);
        }
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

static void init_condition(pthread_cond_t *condition)
{
        pthread_condattr_t attributes;

        REQUIRE(pthread_condattr_init(&attributes) == 0);
        REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
        REQUIRE(pthread_cond_init(condition, &attributes) == 0);
        pthread_condattr_destroy(&attributes);
}

static enum result make_task(struct call *call, const Allod__V1__VerifyRequest *request, struct task **out)
{
        struct task *task = calloc(1, sizeof *task);

        if (task == NULL) return R_NO_MEMORY;
        task->host = call->host;
        task->call = call;
        task->completion.run = answered;
        task->rate = request->bytes_per_second == 0 ? RATE_DEFAULT : (uint64_t)request->bytes_per_second;
        task->verify.context = task;
        task->verify.found_cb = keep_fault;
        task->verify.step_cb = step;
        task->verify.pause_cb = rest;
        REQUIRE(pthread_mutex_init(&task->mutex, NULL) == 0);
        init_condition(&task->changed);
        if (start_thread(task) != R_OK) {
                free_task(task);
                return R_NO_MEMORY;
        }
        *out = task;
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
        if (make_task(call, request, &state->task) == R_OK) return R_OK;
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
        struct state *state = state_of(call);

        if (state->task == NULL)
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a message."));
        else if (!state->task->is_asked)
                ask(state->task);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static void writable(struct call *call)
{
        struct task *task = state_of(call)->task;

        if (task != NULL && !task->is_asked) ask(task);
}

/* The thread is told, and asked for its last answer. */
static void close_call(struct call *call)
{
        struct task *task = state_of(call)->task;

        if (task == NULL) return;
        state_of(call)->task = NULL;
        task->call = NULL;
        pthread_mutex_lock(&task->mutex);
        task->is_stopped = true;
        pthread_cond_signal(&task->changed);
        pthread_mutex_unlock(&task->mutex);
        if (!task->is_asked) ask(task);
}

const struct feed_ops verify_feed = {
        .message = message, .end = end, .wake = wake, .writable = writable, .close = close_call};
