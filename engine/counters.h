/*
 * The counters of an app: ROW_COUNTERS, how many of its jobs are in which state. They change in the transaction that
 * changes a job, and never by themselves; an app without the row has none. Canceled jobs are counted nowhere.
 *
 * store.v1.Counters and allod.v1.JobCounts have the same numbers and types, so that the stored bytes are the reply's.
 */
#ifndef ALLOD_ENGINE_COUNTERS_H
#define ALLOD_ENGINE_COUNTERS_H

#include <stdint.h>

#include <store/v1/store.pb.h>

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/result.h"
#include "engine/uuid.h"

struct scope;

/* All zero when there is no row. R_CORRUPT. */
enum result counters_get(const struct scope *scope, struct uuid app, store_v1_Counters *out) MUST_USE;

/* A job goes from one status of allod.v1.JobStatus to another; 0 for a new one, that comes from nowhere. R_CORRUPT: the
 * counters know of no job in `from`. */
enum result counters_move(store_v1_Counters *counters, uint32_t from, uint32_t to) MUST_USE;

/* As they are stored. R_NO_MEMORY. */
enum result counters_store(struct arena *arena, const store_v1_Counters *counters, struct bytes *out) MUST_USE;

#endif
