/*
 * Which API keys were used lately, until a chore writes it into their records: a row is not rewritten for each call.
 *
 * A bounded table in memory, one slot for each value of a hash. It is about display only, so it may forget: a note is
 * dropped when its slot holds another key or another thread is in the table, and comes again with the next use; a crash
 * loses what was not written yet. Threads: any; noting never waits.
 */
#ifndef ALLOD_ENGINE_KEYUSE_H
#define ALLOD_ENGINE_KEYUSE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/uuid.h"

#define KEYUSE_COUNT_MAX 1024 /* keys between two runs of the chore; 40 KiB */

struct keyuse {
        struct uuid user;
        struct uuid key; /* the id of the key's record, not the key */
        int64_t time_ms; /* store time of the newest use; 0: the slot is free */
};

struct keyuse_table {
        pthread_mutex_t mutex;
        size_t taken_to; /* keyuse_take goes on from this slot, so that each gets its turn */
        struct keyuse slots[KEYUSE_COUNT_MAX];
};

void keyuse_init(struct keyuse_table *table);
void keyuse_fini(struct keyuse_table *table);

/* `time_ms` is above 0. */
void keyuse_note(struct keyuse_table *table, struct uuid user, struct uuid key, int64_t time_ms);

/* Move up to `max` entries out; returns how many. */
size_t keyuse_take(struct keyuse_table *table, struct keyuse *out, size_t max);

#endif
