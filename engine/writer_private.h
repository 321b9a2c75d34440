/*
 * The inside of the writer: writer.c has the callers' side, the thread and its background steps; batch.c runs batches.
 */
#ifndef ALLOD_ENGINE_WRITER_PRIVATE_H
#define ALLOD_ENGINE_WRITER_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/chore.h"
#include "engine/queue.h"
#include "engine/txn_private.h"
#include "engine/writer.h"

#define MS_NS INT64_C(1000000)

/* A batch: large enough that a sync is shared by many, small enough that the last one does not wait long and the
 * transaction stays far below LMDB's 131,071 dirty pages (32 MiB are 8,192 of them). */
#define BATCH_COUNT_MAX 256
#define BATCH_COST_MAX  ((size_t)32 << 20)

/* While the disk is full, updates being taken or not: how often to see whether it still is. */
#define PROBE_PERIOD_NS (1000 * MS_NS)

struct batch {
        struct update *updates[BATCH_COUNT_MAX]; /* taken; NULL once parked */
        bool has_run[BATCH_COUNT_MAX];
        size_t count;
        size_t cost;
        bool frees_space; /* all that ran does */
        unsigned lane_counts[LANE_COUNT];
        int64_t start_ns;
};

struct writer {
        struct store *store;
        pthread_t thread;

        pthread_mutex_t mutex; /* covers all down to `stat` */
        pthread_cond_t wake_up;
        struct queue queue;
        struct update_list canceled; /* to be reported by the thread */
        bool is_draining;
        bool is_stopping;
        bool is_read_only; /* changed by the thread alone */
        bool is_latched;   /* likewise */
        int64_t batch_ns;  /* how long a batch took lately */
        void *event_context;
        void (*event_cb)(void *context, enum writer_event event, enum result r);
        struct writer_stat stat;

        /* the thread's own */
        struct txn txn;
        struct batch batch;
        unsigned batches_since_chore;
        struct chore chore;
        int64_t probe_ns;
        bool is_fenced;     /* updates are taken, but the files may not grow: the disk has no room for the reserve */
        struct arena arena; /* of background steps */
        struct fault fault;
};

int64_t writer_now_ns(void);

void writer_report_event(struct writer *writer, enum writer_event event, enum result r);

/* Calls that a batch takes of a lane at most. */
unsigned writer_batch_share(enum lane lane);

/* Take what is queued, run it, commit, park, wake and report. Thread: the writer's, like those below. */
void writer_turn_batch(struct writer *writer);

/* A function in a transaction of its own; whom it wakes is for writer_wake. `frees_space`: it may use what is kept back
 * for deletions. */
enum result writer_run_alone(struct writer *writer, bool frees_space, const struct txn_input *input, txn_fn *run,
                             void *arg) MUST_USE;

/* Queue those whose topic the last transaction woke. */
void writer_wake(struct writer *writer);

/* Let what frees space have what is kept back on the disk. */
void writer_give_reserve(struct writer *writer);

/* The disk or map is full, or has room again. */
void writer_set_read_only(struct writer *writer, bool is_read_only);

#endif
