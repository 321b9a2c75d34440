/* clang-format off */
/*
 * The thread behind a streaming method, for what would block a loop.
 *
 *      loop                                    thread
 *      task_start                              waits
 *      task_ask -----------------------------> run: works
 *      answered <----------------------------- task_answer: waits
 *      task_ask -----------------------------> works
 *      ended    <----------------------------- returns
 *
 * The thread runs at a lower priority than the rest of the server. For each time it is asked it answers once; its
 * return is its last answer. So what the two share needs no lock: it is the thread's from task_ask to the answer, and
 * the loop's otherwise. A call that ends early stops the thread, which answers once more before the task is freed; a
 * host that drains waits for that.
 */
/* clang-format on */
#ifndef ALLOD_RPC_FEED_TASK_H
#define ALLOD_RPC_FEED_TASK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/result.h"
#include "rpc/call.h"

struct task;

struct task_ops {
        /* The thread, once it is asked first. R_CANCELED when it was stopped. */
        enum result (*run)(struct task *task);
        /* The loop: there was an answer, and the call goes on. */
        void (*answered)(struct task *task);
        /* The loop: the thread has returned, and the call, if it is still there, finishes with `r`. It forgets the
         * task, and may send first. */
        void (*ended)(struct task *task, struct call *call, enum result r);
        /* The loop: all of it, and task_fini. */
        void (*free)(struct task *task);
};

/* The first member of the method's own. */
struct task {
        const struct task_ops *ops;
        struct host *host;
        struct completion completion;

        /* the loop's */
        struct call *call;   /* NULL: it is over */
        bool is_asked;       /* an answer is owed */
        bool is_stopping;    /* task_stop's */
        enum result refusal; /* not R_OK: what the call finishes with, whatever the thread says */

        /* the thread's while it is asked */
        enum result result;
        bool has_returned;

        pthread_mutex_t mutex;
        pthread_cond_t changed;
        bool is_wanted; /* under the mutex, as what follows */
        bool is_stopped;
};

/* The loop. The task lies in zeros; ops are its own. R_NO_MEMORY: it is not started, and there is nothing to undo. */
enum result task_start(struct task *task, struct call *call, const struct task_ops *ops) MUST_USE;
void task_fini(struct task *task);

/* The loop, while it is not asked. */
void task_ask(struct task *task);

/* The loop: it is to return, whenever it looks. `refusal` R_OK: the call finishes with what it returns. */
void task_stop(struct task *task, enum result refusal);

/* The same when the call is over. */
void task_drop(struct task *task);

/* The thread: what it has is for the loop; returns when more is wanted. R_CANCELED: it was stopped. */
enum result task_answer(struct task *task) MUST_USE;
bool task_is_stopped(struct task *task);

/* The thread sleeps until then, of CLOCK_MONOTONIC, or until it is stopped: R_CANCELED. */
enum result task_sleep_until(struct task *task, int64_t due_ns) MUST_USE;

#endif
