#include "tests/lib/work.h"

#include <allod/v1/job.pb-c.h>

#include "engine/counters.h"
#include "engine/message.h"
#include "engine/scope.h"
#include "tests/lib/test.h"

enum result work_run(struct txn *txn, void *arg)
{
        const struct work *work = arg;
        const struct row row = {.kind = ROW_JOB, .app = work->app, .id = work->job};
        const struct row queue = {.kind = ROW_JOB_QUEUE, .app = work->app, .id = work->job};
        const struct row result = {.kind = ROW_JOB_RESULT, .app = work->app, .id = work->job};
        const struct row counters_row = {.kind = ROW_COUNTERS, .app = work->app};
        struct row by_state = {.kind = ROW_JOB_BY_STATE, .app = work->app, .id = work->job};
        store_v1_Counters counters;
        struct message state, output;
        ProtobufCMessage *unpacked;
        const struct scope *scope;
        struct record record;
        struct bytes stored;
        uint64_t revision;

        assert_int_equal(scope_open(txn, work->who, RIGHT_RUN, &scope), R_OK);
        assert_int_equal(scope_get(scope, &row, &record), R_OK);
        assert_int_equal(message_unpack(txn_arena(txn), &allod__v1__job__descriptor, record.body, &unpacked), R_OK);
        assert_int_equal(((Allod__V1__Job *)unpacked)->status, work->from);
        ((Allod__V1__Job *)unpacked)->status = work->to;
        message_init(&state, txn_arena(txn), 0);
        message_pack(&state, unpacked);
        if (work->is_newer) message_bytes(&state, 90, BYTES("kept"));
        assert_int_equal(counters_get(scope, work->app, &counters), R_OK);
        assert_int_equal(counters_move(&counters, work->from, work->to), R_OK);
        assert_int_equal(counters_store(txn_arena(txn), &counters, &stored), R_OK);
        assert_int_equal(scope_change(scope, CHANGE_UPDATE, &row, &revision), R_OK);
        assert_int_equal(scope_put(scope, &row, revision, message_so_far(&state)), R_OK);
        assert_int_equal(scope_put(scope, &counters_row, revision, stored), R_OK);
        assert_int_equal(scope_delete(scope, &queue), R_OK);
        by_state.state = (uint8_t)work->from;
        assert_int_equal(scope_delete(scope, &by_state), R_OK);
        by_state.state = (uint8_t)work->to;
        assert_int_equal(scope_put(scope, &by_state, revision, (struct bytes){0}), R_OK);
        if (work->result == NULL) return R_OK;
        message_init(&output, txn_arena(txn), 0);
        message_bytes(&output, 5, bytes_of_text(work->result));
        return scope_put(scope, &result, revision, message_so_far(&output));
}
