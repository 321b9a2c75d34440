#include "rpc/feed_task.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "engine/require.h"

#define SECOND_NS INT64_C(1000000000)

/* ---- The thread ---- */

static enum result wait_until_asked(struct task *task)
{
        bool is_stopped;

        pthread_mutex_lock(&task->mutex);
        while (!task->is_wanted)
                pthread_cond_wait(&task->changed, &task->mutex);
        task->is_wanted = false;
        is_stopped = task->is_stopped;
        pthread_mutex_unlock(&task->mutex);
        return is_stopped ? R_CANCELED : R_OK;
}

enum result task_answer(struct task *task)
{
        host_post(task->host, &task->completion);
        return wait_until_asked(task);
}

bool task_is_stopped(struct task *task)
{
        bool is_stopped;

        pthread_mutex_lock(&task->mutex);
        is_stopped = task->is_stopped;
        pthread_mutex_unlock(&task->mutex);
        return is_stopped;
}

enum result task_sleep_until(struct task *task, int64_t due_ns)
{
        const struct timespec due = {due_ns / SECOND_NS, due_ns % SECOND_NS};
        bool is_stopped;
        int failure = 0;

        pthread_mutex_lock(&task->mutex);
        while (!task->is_stopped && failure == 0)
                failure = pthread_cond_timedwait(&task->changed, &task->mutex, &due);
        is_stopped = task->is_stopped;
        pthread_mutex_unlock(&task->mutex);
        return is_stopped ? R_CANCELED : R_OK;
}

/* Where processors are scarce the loops and the writer come first: against one of them it has a tenth. Not the least
 * there is, since it holds a snapshot, and now and then a lock that they want as well. */
#define NICENESS 10

static void *run_thread(void *argument)
{
        struct task *task = argument;
        int niceness = nice(NICENESS); /* of this thread alone, on Linux; a server that may not goes without */
        enum result r = wait_until_asked(task);

        (void)niceness;
        if (r == R_OK) r = task->ops->run(task);
        task->result = r;
        task->has_returned = true;
        host_post(task->host, &task->completion); /* from here on the task is the loop's alone */
        return NULL;
}

/* ---- The loop ---- */

void task_ask(struct task *task)
{
        REQUIRE(!task->is_asked);
        task->is_asked = true;
        host_expect(task->host, &task->completion);
        pthread_mutex_lock(&task->mutex);
        task->is_wanted = true;
        pthread_cond_signal(&task->changed);
        pthread_mutex_unlock(&task->mutex);
}

void task_stop(struct task *task, enum result refusal)
{
        task->is_stopping = true;
        task->refusal = refusal;
        pthread_mutex_lock(&task->mutex);
        task->is_stopped = true;
        pthread_cond_signal(&task->changed);
        pthread_mutex_unlock(&task->mutex);
        if (!task->is_asked) task_ask(task);
}

void task_drop(struct task *task)
{
        task->call = NULL;
        task_stop(task, R_OK);
}

static void end_task(struct task *task)
{
        struct call *call = task->call;
        enum result r = task->refusal != R_OK ? task->refusal : task->result;

        if (call != NULL) task->ops->ended(task, call, r);
        task->ops->free(task);
        if (call == NULL) return;
        feed_finish(call, r);
        (void)feed_settle(call);
}

static void answered(struct completion *completion)
{
        struct task *task = (struct task *)((char *)completion - offsetof(struct task, completion));

        task->is_asked = false;
        if (task->has_returned)
                end_task(task);
        else if (task->is_stopping)
                task_ask(task); /* the next answer is the last */
        else if (feed_is_open(task->call))
                task->ops->answered(task); /* else it is finished, and its close is to come */
}

/* Deadlines are of the clock that is never set. */
static void init_condition(pthread_cond_t *condition)
{
        pthread_condattr_t attributes;

        REQUIRE(pthread_condattr_init(&attributes) == 0);
        REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
        REQUIRE(pthread_cond_init(condition, &attributes) == 0);
        pthread_condattr_destroy(&attributes);
}

enum result task_start(struct task *task, struct call *call, const struct task_ops *ops)
{
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_t thread;
        int failure;

        if (pthread_attr_init(&attributes) != 0) return R_NO_MEMORY;
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        task->ops = ops;
        task->host = call->host;
        task->call = call;
        task->completion.run = answered;
        REQUIRE(pthread_mutex_init(&task->mutex, NULL) == 0);
        init_condition(&task->changed);
        sigfillset(&all); /* signals are the loops' */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failure = pthread_create(&thread, &attributes, run_thread, task);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        if (failure == 0) return R_OK;
        task_fini(task);
        return R_NO_MEMORY;
}

void task_fini(struct task *task)
{
        pthread_cond_destroy(&task->changed);
        pthread_mutex_destroy(&task->mutex);
}
