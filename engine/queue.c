#include "engine/queue.h"

#include <string.h>

#include "engine/require.h"

void update_list_push(struct update_list *list, struct update *update)
{
        update->next = NULL;
        update->previous = list->last;
        if (list->last != NULL)
                list->last->next = update;
        else
                list->first = update;
        list->last = update;
}

void update_list_remove(struct update_list *list, struct update *update)
{
        if (update->previous != NULL)
                update->previous->next = update->next;
        else
                list->first = update->next;
        if (update->next != NULL)
                update->next->previous = update->previous;
        else
                list->last = update->previous;
        update->next = NULL;
        update->previous = NULL;
}

struct update *update_list_take(struct update_list *list)
{
        struct update *update = list->first;

        if (update != NULL) update_list_remove(list, update);
        return update;
}

void queue_init(struct queue *queue)
{
        *queue = (struct queue){.parked_deadline_ns = INT64_MAX};
}

static struct update_list *list_of(struct queue *queue, const struct update *update)
{
        if (update->lane == LANE_CALL) return &queue->calls[update->turn % QUEUE_TURNS];
        return update->lane == LANE_WORKER ? &queue->workers : &queue->chores;
}

void queue_push(struct queue *queue, struct update *update)
{
        REQUIRE(update->place == UPDATE_NOWHERE && (unsigned)update->lane < LANE_COUNT);
        update_list_push(list_of(queue, update), update);
        if (update->lane == LANE_CALL) queue->calls_waiting |= UINT64_C(1) << update->turn % QUEUE_TURNS;
        queue->counts[update->lane]++;
        queue->cost += update->cost;
        update->place = UPDATE_QUEUED;
}

static void unqueue(struct queue *queue, struct update *update)
{
        struct update_list *list = list_of(queue, update);

        update_list_remove(list, update);
        if (update->lane == LANE_CALL && list->first == NULL)
                queue->calls_waiting &= ~(UINT64_C(1) << update->turn % QUEUE_TURNS);
        queue->counts[update->lane]--;
        queue->cost -= update->cost;
        update->place = UPDATE_NOWHERE;
}

/* The first list of calls at or after the turn that is not empty. */
static struct update *first_call(struct queue *queue)
{
        uint64_t waiting = queue->calls_waiting;
        unsigned turn;

        if (waiting == 0) return NULL;
        if (waiting >> queue->turn != 0) waiting = waiting >> queue->turn << queue->turn;
        turn = (unsigned)__builtin_ctzll(waiting);
        queue->turn = (turn + 1) % QUEUE_TURNS;
        return queue->calls[turn].first;
}

struct update *queue_take(struct queue *queue, enum lane lane)
{
        struct update *update = lane == LANE_CALL     ? first_call(queue)
                                : lane == LANE_WORKER ? queue->workers.first
                                                      : queue->chores.first;

        if (update != NULL) unqueue(queue, update);
        return update;
}

/* ---- Parked ---- */

static struct update_list *list_of_topic(struct queue *queue, const struct topic *topic)
{
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a; topics are ids, which nobody chooses */
        size_t i;

        for (i = 0; i < topic->len; i++)
                hash = (hash ^ topic->data[i]) * UINT64_C(1099511628211);
        return &queue->parked[hash % QUEUE_TOPICS];
}

void queue_park(struct queue *queue, struct update *update)
{
        REQUIRE(update->place == UPDATE_NOWHERE);
        update_list_push(list_of_topic(queue, &update->topic), update);
        queue->parked_count++;
        if (update->deadline_ns != 0 && update->deadline_ns < queue->parked_deadline_ns)
                queue->parked_deadline_ns = update->deadline_ns;
        update->place = UPDATE_PARKED;
}

static void unpark(struct queue *queue, struct update *update)
{
        update_list_remove(list_of_topic(queue, &update->topic), update);
        queue->parked_count--;
        update->place = UPDATE_NOWHERE;
}

void queue_remove(struct queue *queue, struct update *update)
{
        if (update->place == UPDATE_QUEUED) unqueue(queue, update);
        if (update->place == UPDATE_PARKED) unpark(queue, update);
}

void queue_wake(struct queue *queue, const struct topic *topic)
{
        struct update *update = list_of_topic(queue, topic)->first;

        while (update != NULL) {
                struct update *next = update->next;

                if (update->topic.len == topic->len && memcmp(update->topic.data, topic->data, topic->len) == 0) {
                        unpark(queue, update);
                        queue_push(queue, update);
                }
                update = next;
        }
}

struct update *queue_take_parked(struct queue *queue)
{
        struct update *update;
        size_t i = 0;

        if (queue->parked_count == 0) {
                queue->parked_deadline_ns = INT64_MAX;
                return NULL;
        }
        while (queue->parked[i].first == NULL)
                i++;
        update = queue->parked[i].first;
        unpark(queue, update);
        return update;
}

void queue_wake_all(struct queue *queue)
{
        struct update *update;

        while ((update = queue_take_parked(queue)) != NULL)
                queue_push(queue, update);
}

struct update *queue_take_expired(struct queue *queue, int64_t now_ns)
{
        int64_t earliest = INT64_MAX;
        size_t i;

        if (now_ns < queue->parked_deadline_ns) return NULL;
        for (i = 0; i < QUEUE_TOPICS; i++) {
                struct update *update;

                for (update = queue->parked[i].first; update != NULL; update = update->next) {
                        if (update->deadline_ns == 0) continue;
                        if (update->deadline_ns <= now_ns) {
                                unpark(queue, update);
                                return update;
                        }
                        if (update->deadline_ns < earliest) earliest = update->deadline_ns;
                }
        }
        queue->parked_deadline_ns = earliest;
        return NULL;
}
