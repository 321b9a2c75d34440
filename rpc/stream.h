/*
 * The states of an exchange as its carrier sees them, the same in HTTP/1.1 and HTTP/2.
 *
 *      HEAD ----> BODY ----> RUNNING ----> REPLYING ----> CLOSED
 *        \          \__________________________^             ^
 *         \__ no body: RUNNING                               |
 *                                  reset, lost connection: from anywhere
 *
 *      HEAD      the request's head is arriving; nobody has been told of it
 *      BODY      call_on_head was given, the request has not ended
 *      RUNNING   the request has ended, no answer yet
 *      REPLYING  the whole answer was given, or the end of one in parts; from BODY: what still arrives is dropped.
 *                Parts before that change nothing, since the messages of both sides may take turns
 *      CLOSED    call_on_closed was given, if call_on_head was
 */
#ifndef ALLOD_RPC_STREAM_H
#define ALLOD_RPC_STREAM_H

#include <stdbool.h>

#include "rpc/exchange.h"

enum stream_state {
        STREAM_HEAD,
        STREAM_BODY,
        STREAM_RUNNING,
        STREAM_REPLYING,
        STREAM_CLOSED,
        STREAM_STATE_COUNT
};

struct stream {
        struct exchange exchange;
        enum stream_state state;
        bool is_announced; /* call_on_head was given, so call_on_closed is owed */
};

/* The only place where a state changes. A move that the diagram does not have is a defect. */
void stream_set_state(struct stream *stream, enum stream_state state);

const char *stream_state_name(enum stream_state state);

/* The head is complete: tell the consumer, and that the request has ended if it has no body and was not answered. */
void stream_begin(struct stream *stream, bool has_body);

void stream_data(struct stream *stream, struct bytes data);

/* The request has ended. Nothing happens when it was answered before. */
void stream_end(struct stream *stream);

void stream_close(struct stream *stream, bool was_answered);

/* Body bytes still go to the consumer. */
static inline bool stream_is_open(const struct stream *stream)
{
        return stream->state == STREAM_BODY;
}

#endif
