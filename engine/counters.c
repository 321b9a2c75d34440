#include "engine/counters.h"

#include <allod/v1/job.pb-c.h>

#include "engine/message.h"
#include "engine/scope.h"

enum result counters_get(const struct scope *scope, struct uuid app, store_v1_Counters *out)
{
        struct record record;
        enum result r = scope_get(scope, &(struct row){.kind = ROW_COUNTERS, .app = app}, &record);

        if (r == R_OK) return message_load(&store_v1_Counters_msg, record.body, out);
        if (r != R_ABSENT) return r;
        *out = (store_v1_Counters)store_v1_Counters_init_zero;
        return R_OK;
}

static int64_t *counter_of(store_v1_Counters *counters, uint32_t status)
{
        switch (status) {
        case ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED:
                return &counters->in_queue;
        case ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING:
                return &counters->in_progress;
        case ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED:
                return &counters->completed;
        case ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED:
                return &counters->failed;
        default:
                return NULL;
        }
}

enum result counters_move(store_v1_Counters *counters, uint32_t from, uint32_t to)
{
        int64_t *less = counter_of(counters, from);
        int64_t *more = counter_of(counters, to);

        if (less != NULL && *less <= 0) return R_CORRUPT;
        if (less != NULL) --*less;
        if (more != NULL) ++*more;
        return R_OK;
}

enum result counters_store(struct arena *arena, const store_v1_Counters *counters, struct bytes *out)
{
        return message_store(arena, &store_v1_Counters_msg, counters, out);
}
