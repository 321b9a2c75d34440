/*
 * Updates that wait for the writer: to run (queued, by lane), or for a topic (parked).
 *
 * No thread and no lock of its own: the writer's mutex is held around every call. An update is in one place at a time,
 * and update->place says which.
 */
#ifndef ALLOD_ENGINE_QUEUE_H
#define ALLOD_ENGINE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/writer.h"

/* Scopes take turns by hash. Two scopes that share one of 64 sub-queues share a turn; a bitmap of 64 finds the next. */
#define QUEUE_TURNS 64

/* Lists of parked updates, by hash of their topic. */
#define QUEUE_TOPICS 256

struct update_list {
        struct update *first, *last;
};

struct queue {
        struct update_list calls[QUEUE_TURNS];
        uint64_t calls_waiting; /* a bit for each list of calls that is not empty */
        unsigned turn;          /* the list of calls that is next */
        struct update_list workers, chores;
        size_t counts[LANE_COUNT];
        size_t cost; /* of all queued, bytes */

        struct update_list parked[QUEUE_TOPICS];
        size_t parked_count;
        int64_t parked_deadline_ns; /* none of the parked has an earlier one; INT64_MAX: none has any */
};

void queue_init(struct queue *queue);

/* Queue at the end of its lane, and of its turn. */
void queue_push(struct queue *queue, struct update *update);

/* The next one of a lane; NULL: there is none. */
struct update *queue_take(struct queue *queue, enum lane lane);

/* From wherever it is. */
void queue_remove(struct queue *queue, struct update *update);

/* Park on update->topic. */
void queue_park(struct queue *queue, struct update *update);

/* Queue what is parked on `topic`; all that is parked. */
void queue_wake(struct queue *queue, const struct topic *topic);
void queue_wake_all(struct queue *queue);

/* A parked one whose deadline has passed, taken out; NULL: there is none, and parked_deadline_ns is exact. */
struct update *queue_take_expired(struct queue *queue, int64_t now_ns);

/* Any parked one, taken out; NULL: there is none. */
struct update *queue_take_parked(struct queue *queue);

static inline size_t queue_count(const struct queue *queue)
{
        return queue->counts[LANE_CALL] + queue->counts[LANE_WORKER] + queue->counts[LANE_CHORE];
}

/* ---- Lists, linked by update->next and update->previous ---- */

void update_list_push(struct update_list *list, struct update *update);
void update_list_remove(struct update_list *list, struct update *update);
struct update *update_list_take(struct update_list *list); /* the first, or NULL */

#endif
