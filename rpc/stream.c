#include "rpc/stream.h"

#include "engine/require.h"

#define TO(state) (1U << STREAM_##state)

static const struct {
        const char *name;
        unsigned next;
} moves[STREAM_STATE_COUNT] = {
        [STREAM_HEAD] = {"head", TO(BODY) | TO(RUNNING) | TO(REPLYING) | TO(CLOSED)}, /* REPLYING: the carrier's 431 */
        [STREAM_BODY] = {"body", TO(RUNNING) | TO(REPLYING) | TO(CLOSED)},
        [STREAM_RUNNING] = {"running", TO(REPLYING) | TO(CLOSED)},
        [STREAM_REPLYING] = {"replying", TO(CLOSED)},
        [STREAM_CLOSED] = {"closed", 0},
};

void stream_set_state(struct stream *stream, enum stream_state state)
{
        REQUIRE(moves[stream->state].next & 1U << state);
        stream->state = state;
}

const char *stream_state_name(enum stream_state state)
{
        return moves[state].name;
}

void stream_begin(struct stream *stream, bool has_body)
{
        stream->exchange.head.has_body = has_body;
        stream->is_announced = true;
        stream_set_state(stream, has_body ? STREAM_BODY : STREAM_RUNNING);
        call_on_head(&stream->exchange);
        if (stream->state == STREAM_RUNNING) call_on_end(&stream->exchange);
}

void stream_data(struct stream *stream, struct bytes data)
{
        REQUIRE(stream->state == STREAM_BODY);
        call_on_data(&stream->exchange, data);
}

void stream_end(struct stream *stream)
{
        if (stream->state != STREAM_BODY) return;
        stream_set_state(stream, STREAM_RUNNING);
        call_on_end(&stream->exchange);
}

void stream_close(struct stream *stream, bool was_answered)
{
        stream_set_state(stream, STREAM_CLOSED);
        if (stream->is_announced) call_on_closed(&stream->exchange, was_answered);
}
