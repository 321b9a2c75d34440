#include "rpc/feed.h"

#include <string.h>

#include "engine/require.h"
#include "rpc/call.h"
#include "rpc/limits.h"

void feed_open(struct call *call)
{
        struct feed *feed = &call->feed;

        memset(feed, 0, sizeof *feed);
        grpc_frame_reader_init(&feed->reader, &call->arena, FEED_REQUEST_MAX);
        feed->mark = arena_mark(&call->arena);
        call->has_feed = true;
        call_set_state(call, CALL_STREAMING);
}

bool feed_is_open(const struct call *call)
{
        return call->state == CALL_STREAMING && !call->feed.is_finishing;
}

/* Memory goes back when no message is half read and none waits to be sent. */
static void settle(struct call *call)
{
        struct feed *feed = &call->feed;

        if (call->state != CALL_STREAMING || feed->sent < feed->waiting_len) return;
        if (feed->is_finishing) {
                grpc_finish(call, feed->result);
                return;
        }
        if (!grpc_frame_is_whole(&feed->reader)) return;
        arena_reset(&call->arena, feed->mark);
        feed->waiting = NULL;
        feed->waiting_len = feed->waiting_size = feed->sent = 0;
}

/* ---- Requests ---- */

static void refuse(struct call *call, enum grpc_frame_outcome outcome)
{
        switch (outcome) {
        case GRPC_FRAME_TOO_LARGE:
                feed_finish(call, fault_set(&call->fault, R_TOO_LARGE, "The message is larger than %zu bytes.",
                                            FEED_REQUEST_MAX));
                break;
        case GRPC_FRAME_NO_MEMORY:
                feed_finish(call, R_NO_MEMORY);
                break;
        default:
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The frame of a message is malformed."));
                break;
        }
}

static void take_message(struct call *call, struct bytes message)
{
        ProtobufCMessage *request;

        if (!call->method->feed->is_upload && call->feed.message_count++ == FEED_MESSAGES_MAX) {
                feed_finish(call,
                            fault_set(&call->fault, R_EXHAUSTED, "Too many messages in one stream; open another."));
                return;
        }
        switch (wire_unpack(&call->arena, call->method->request, message, &request, &call->fault)) {
        case WIRE_OK:
                call->method->feed->message(call, request);
                break;
        case WIRE_NO_MEMORY:
                feed_finish(call, R_NO_MEMORY);
                break;
        default:
                feed_finish(call, R_BAD_ARGUMENT);
                break;
        }
}

/* Nothing of the message is kept, and of the next one nothing has come. */
static void forget_message(struct call *call)
{
        const struct feed *feed = &call->feed;

        if (call->method->feed->is_upload && feed_is_open(call) && feed->waiting_len == 0)
                arena_reset(&call->arena, feed->mark);
}

static void feed_bytes(struct call *call, struct bytes data)
{
        while (feed_is_open(call)) {
                struct bytes message;
                enum grpc_frame_outcome outcome = grpc_frame_feed(&call->feed.reader, &data, &message);

                if (outcome == GRPC_FRAME_MORE) break;
                if (outcome != GRPC_FRAME_MESSAGE) {
                        refuse(call, outcome);
                        break;
                }
                take_message(call, message);
                forget_message(call);
        }
        settle(call);
}

void feed_data(struct call *call, struct bytes data)
{
        feed_bytes(call, data);
        if (feed_is_open(call) && call->feed.is_held)
                call->feed.held += data.len;
        else
                exchange_consume(call->exchange, data.len);
}

void feed_hold(struct call *call)
{
        call->feed.is_held = true;
}

void feed_release(struct call *call)
{
        size_t held = call->feed.held;

        call->feed.is_held = false;
        call->feed.held = 0;
        if (held > 0) exchange_consume(call->exchange, held);
}

void feed_end(struct call *call)
{
        if (!feed_is_open(call)) return;
        if (!grpc_frame_is_whole(&call->feed.reader))
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended within a message."));
        else
                call->method->feed->end(call);
        settle(call);
}

void feed_wake(struct call *call)
{
        if (feed_is_open(call)) call->method->feed->wake(call);
        settle(call);
}

/* ---- Answers ---- */

void feed_message(struct call *call, struct message *message)
{
        message_init(message, &call->arena, 1024);
}

/* Give the carrier what it has room for; returns how much. */
static size_t write_some(struct call *call, struct bytes data)
{
        size_t room = exchange_room(call->exchange);
        size_t len = data.len < room ? data.len : room;

        if (len > 0) exchange_write(call->exchange, bytes_of(data.data, len));
        return len;
}

static enum result keep(struct call *call, struct bytes data)
{
        struct feed *feed = &call->feed;
        size_t needed = feed->waiting_len - feed->sent + data.len;

        if (needed > FEED_WAITING_MAX) return fault_set(&call->fault, R_EXHAUSTED, "Too many answers wait to be read.");
        if (feed->sent > 0) {
                feed->waiting_len -= feed->sent;
                memmove(feed->waiting, feed->waiting + feed->sent, feed->waiting_len);
                feed->sent = 0;
        }
        if (needed > feed->waiting_size) {
                size_t size = needed < 2 * feed->waiting_size ? 2 * feed->waiting_size : needed;
                uint8_t *waiting = arena_grow(&call->arena, feed->waiting, feed->waiting_size, size);

                if (waiting == NULL) return R_NO_MEMORY;
                feed->waiting = waiting;
                feed->waiting_size = size;
        }
        memcpy(feed->waiting + feed->waiting_len, data.data, data.len);
        feed->waiting_len = needed;
        return R_OK;
}

void feed_send(struct call *call, const struct message *message)
{
        struct feed *feed = &call->feed;
        struct bytes frame;
        size_t written;
        enum result r;

        REQUIRE(feed_is_open(call));
        if ((r = message_finish(message)) != R_OK) {
                feed_finish(call, r);
                return;
        }
        if (!feed->is_started) grpc_start(call);
        feed->is_started = true;
        grpc_prefix_write(message->data - GRPC_PREFIX_LEN, message->len);
        frame = bytes_of(message->data - GRPC_PREFIX_LEN, GRPC_PREFIX_LEN + message->len);
        written = feed->sent == feed->waiting_len ? write_some(call, frame) : 0;
        if (written == frame.len) return;
        if ((r = keep(call, bytes_of(frame.data + written, frame.len - written))) != R_OK) {
                if (written == 0 && r == R_NO_MEMORY) {
                        feed_finish(call, r); /* behind what waits */
                        return;
                }
                /* Half a message went out, or the peer does not read: there is no honest way to go on. */
                exchange_reset(call->exchange, RESET_INTERNAL);
                call_answered(call, r, "a slow reader");
        }
}

void feed_writable(struct call *call)
{
        struct feed *feed = &call->feed;

        feed->sent += write_some(call, bytes_of(feed->waiting + feed->sent, feed->waiting_len - feed->sent));
        settle(call);
        if (feed_is_open(call) && feed->sent == feed->waiting_len && call->method->feed->writable != NULL)
                call->method->feed->writable(call);
}

bool feed_settle(struct call *call)
{
        const struct feed *feed = &call->feed;

        settle(call);
        return feed_is_open(call) && feed->sent == feed->waiting_len;
}

void feed_close(struct call *call)
{
        if (call->method->feed->close != NULL) call->method->feed->close(call);
}

void feed_finish(struct call *call, enum result r)
{
        struct feed *feed = &call->feed;

        if (!feed_is_open(call)) return;
        if (!feed->is_started && r != R_OK) {
                call_fail(call, r);
                return;
        }
        if (!feed->is_started) grpc_start(call);
        feed->is_started = true;
        feed->is_finishing = true;
        feed->result = r;
        settle(call);
}
