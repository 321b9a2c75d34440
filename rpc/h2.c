#include "rpc/h2.h"

#include <nghttp2/nghttp2.h>

#include "engine/require.h"
#include "rpc/budget.h"
#include "rpc/h2_stream.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "rpc/stream.h"

#define NS_PER_MS 1000000

static struct h2 *h2_of(struct carrier *carrier)
{
        return (struct h2 *)carrier;
}

static void end_for_abuse(struct h2 *h2, const char *complaint)
{
        h2->carrier.complaint = complaint;
        h2_check(h2, nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM));
}

/* ---- The request, from nghttp2 ---- */

/*
 * HEADERS on a stream that is gone (RFC 9113 sections 5.1 and 5.1.1). Those are forgiven that may have crossed a reset
 * of ours on their way, such as the trailers of an upload that was answered early.
 */
static bool is_stale(const struct h2 *h2, int32_t id)
{
        return id % 2 == 1 && id > h2->last_reset_id && id <= nghttp2_session_get_last_proc_stream_id(h2->session) &&
               nghttp2_session_find_stream(h2->session, id) == NULL;
}

static int on_begin_headers_cb(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream;

        h2->is_in_block = true;
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
                stream = h2->head_stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
                if (stream != NULL) stream->is_trailers = true;
                return 0;
        }
        stream = h2->head_stream = h2_stream_new(h2, frame->hd.stream_id);
        if (stream == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM (INTERNAL_ERROR) */
        h2_check(h2, nghttp2_session_set_stream_user_data(session, stream->id, stream));
        return 0;
}

static struct bytes hold(struct h2_stream *stream, nghttp2_rcbuf *rcbuf)
{
        nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);

        REQUIRE(stream->held_count < H2_HELD_MAX);
        nghttp2_rcbuf_incref(rcbuf);
        stream->held[stream->held_count++] = rcbuf;
        return bytes_of(vec.base, vec.len);
}

/* nghttp2 has refused repeated and unknown pseudo-headers. */
static void take_pseudo(struct h2_stream *stream, struct bytes name, nghttp2_rcbuf *value)
{
        struct request_head *head = &stream->stream.exchange.head;

        if (bytes_equal(name, BYTES(":path")))
                head->target = hold(stream, value);
        else if (bytes_equal(name, BYTES(":method")))
                head->method = hold(stream, value);
        else if (bytes_equal(name, BYTES(":authority")))
                head->authority = hold(stream, value);
}

static void take_field(struct h2_stream *stream, struct bytes name, nghttp2_rcbuf *value)
{
        struct request_head *head = &stream->stream.exchange.head;
        enum header header = header_find(name);

        if (header == HEADER_COUNT) {
                if (head->authority.data == NULL && bytes_equal(name, BYTES("host")))
                        head->authority = hold(stream, value);
                return;
        }
        if (head->counts[header] == 0) head->values[header] = hold(stream, value);
        if (head->counts[header] < UINT8_MAX) head->counts[header]++;
}

static int on_header_cb(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                        uint8_t flags, void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream = h2->head_stream;
        nghttp2_vec vec = nghttp2_rcbuf_get_buf(name);

        (void)session;
        (void)frame;
        (void)flags;
        if (stream == NULL) return 0;
        stream->head_size += vec.len + nghttp2_rcbuf_get_buf(value).len + 32;
        if (stream->head_size > HEAD_SIZE_MAX)
                return stream->is_trailers || stream->head_size > 2 * HEAD_SIZE_MAX
                               ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                               : 0;
        if (stream->is_trailers) return 0;
        if (vec.len > 0 && vec.base[0] == ':')
                take_pseudo(stream, bytes_of(vec.base, vec.len), value);
        else
                take_field(stream, bytes_of(vec.base, vec.len), value);
        return 0;
}

/* Left to itself nghttp2 drops a malformed field and goes on, and a request for a team would become a personal one. */
static int on_invalid_header_cb(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                                nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
        (void)session;
        (void)frame;
        (void)name;
        (void)value;
        (void)flags;
        (void)user_data;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void refuse_large_head(struct h2_stream *stream)
{
        static const struct field fields[] = {{BYTES("content-type"), BYTES("application/json")}};
        static const struct response response = {
                .status = 431,
                .fields = fields,
                .field_count = 1,
                .body = BYTES("{\"error\":\"The request's header fields are too large.\"}"),
        };

        exchange_respond(&stream->stream.exchange, &response);
}

/* RFC 9110 section 10.1.1: the client waits with its body until it hears that we want it. */
static void send_continue(struct h2_stream *stream)
{
        const struct request_head *head = &stream->stream.exchange.head;
        nghttp2_nv nv = h2_nv(BYTES(":status"), BYTES("100"));

        if (!head_expects_continue(head)) return;
        h2_check(stream->h2,
                 nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &nv, 1, NULL));
}

/*
 * A request that is whole while the peer leaves too much unread waits its turn: what an answer takes is only known when
 * it is there, and a hundred large ones at a time would be more than one connection is worth.
 */
static bool hold_back(struct h2_stream *stream)
{
        struct h2 *h2 = stream->h2;

        if (h2->answer_bytes < H2_ANSWERS_MAX) return false;
        stream->is_held_back = true;
        h2->held_back_count++;
        return true;
}

static struct h2_stream *oldest_held_back(const struct h2 *h2)
{
        struct h2_stream *oldest = NULL;
        struct h2_stream *stream;

        for (stream = h2->streams; stream != NULL; stream = stream->next)
                if (stream->is_held_back && (oldest == NULL || stream->id < oldest->id)) oldest = stream;
        return oldest;
}

/* Go on with requests that were held back, as far as there is room. */
static bool go_on(struct h2 *h2)
{
        bool is_any = false;

        while (h2->held_back_count > 0 && h2->answer_bytes < H2_ANSWERS_MAX) {
                struct h2_stream *stream = oldest_held_back(h2);

                REQUIRE(stream != NULL);
                stream->is_held_back = false;
                h2->held_back_count--;
                if (stream->stream.state == STREAM_HEAD)
                        stream_begin(&stream->stream, false);
                else
                        stream_end(&stream->stream);
                is_any = true;
        }
        return is_any;
}

/* While many calls are open in the process, no connection may have many of them. */
static bool is_too_busy(const struct h2 *h2)
{
        return h2->peer->plane != PLANE_ADMIN && h2->stream_count > H2_STREAMS_BUSY &&
               h2->host->calls.open_count > h2->host->calls.open_max / 2;
}

static void on_head(struct h2_stream *stream, bool has_body)
{
        stream->is_ended = !has_body;
        stream->h2->carrier.progress++;
        if (is_too_busy(stream->h2)) {
                exchange_reset(&stream->stream.exchange, RESET_REFUSED);
                return;
        }
        if (stream->head_size > HEAD_SIZE_MAX) {
                refuse_large_head(stream);
                return;
        }
        if (!has_body && hold_back(stream)) return;
        stream_begin(&stream->stream, has_body);
        if (stream_is_open(&stream->stream)) send_continue(stream);
}

static void on_end(struct h2_stream *stream)
{
        stream->is_ended = true;
        if (stream_is_open(&stream->stream) && hold_back(stream)) return;
        stream_end(&stream->stream);
}

static void spend_control(struct h2 *h2)
{
        if (!budget_spend(&h2->controls, host_now_ns(h2->host))) end_for_abuse(h2, "flood of control frames");
}

/* What was sent is read in pieces, and a window updated for some of them. */
static void spend_update(struct h2 *h2)
{
        if (h2->updates_left > 0)
                h2->updates_left--;
        else
                spend_control(h2);
}

/* The words are gRPC's (its A8 and A9): who hears them doubles the time between two PINGs. */
static void end_for_pings(struct h2 *h2)
{
        static const uint8_t words[] = "too_many_pings";

        if (h2->carrier.complaint != NULL) return;
        h2_check(h2, nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                           nghttp2_session_get_last_proc_stream_id(h2->session),
                                           NGHTTP2_ENHANCE_YOUR_CALM, words, sizeof words - 1));
        end_for_abuse(h2, "too many pings");
}

static const uint8_t drain_ping[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

static void on_ping(struct h2 *h2, const nghttp2_frame *frame)
{
        bool is_answer = frame->hd.flags & NGHTTP2_FLAG_ACK;

        if (!is_answer) {
                if (!budget_spend(&h2->pings, host_now_ns(h2->host))) end_for_pings(h2);
        } else if (h2->is_pinged && !h2->is_ping_answered &&
                   memcmp(frame->ping.opaque_data, drain_ping, sizeof drain_ping) == 0) {
                h2->is_ping_answered = true;
                h2_check(h2, nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                                   nghttp2_session_get_last_proc_stream_id(h2->session),
                                                   NGHTTP2_NO_ERROR, NULL, 0));
        } else {
                spend_control(h2); /* nobody asked */
        }
}

/* Frames of priorities nghttp2 throws away without a word, since we refuse them, and updates of streams that are gone.
 * (And those of kinds that it does not know, of which nobody hears; they cost no more than their bytes.) */
static int on_begin_frame_cb(nghttp2_session *session, const nghttp2_frame_hd *head, void *user_data)
{
        struct h2 *h2 = user_data;

        if (head->type == NGHTTP2_HEADERS && is_stale(h2, head->stream_id))
                h2_check(h2, nghttp2_session_terminate_session(session, NGHTTP2_STREAM_CLOSED));
        if (head->type == NGHTTP2_WINDOW_UPDATE) spend_update(h2);
        if (head->type == NGHTTP2_PRIORITY) {
                spend_control(h2);
                if (head->stream_id == 0)
                        h2_check(h2, nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR));
        }
        return 0;
}

static int on_frame_recv_cb(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
        struct h2 *h2 = user_data;
        bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        struct h2_stream *stream;

        switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
                h2->is_in_block = false;
                stream = h2->head_stream;
                h2->head_stream = NULL;
                if (stream == NULL) break;
                if (!stream->is_trailers)
                        on_head(stream, !is_end);
                else if (is_end)
                        on_end(stream);
                break;
        case NGHTTP2_DATA:
                if (is_end) {
                        stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
                        if (stream != NULL) on_end(stream);
                } else if (frame->hd.length == frame->data.padlen) {
                        spend_control(h2); /* nothing but padding, whose length is part of it */
                }
                break;
        case NGHTTP2_PING:
                on_ping(h2, frame);
                break;
        case NGHTTP2_SETTINGS:
                h2->is_greeted = true;
                spend_control(h2);
                break;
        default:
                break;
        }
        return 0;
}

/* End an upload that nobody wants, behind the answer (RFC 9113 section 8.1). */
static void end_upload(struct h2_stream *stream)
{
        h2_check(stream->h2,
                 nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR));
}

/*
 * Body bytes that come when all is answered. A window of them is let pass: the peer may have sent that much before it
 * heard of the answer, and clients (curl 7.88) take a reset in the midst of it for a failure, though they have the
 * answer. Beyond it the upload goes on in vain: no more credit, and a reset as soon as the answer is out.
 */
static void drop(struct h2_stream *stream, size_t len)
{
        nghttp2_session *session = stream->h2->session;
        bool was_within = stream->dropped <= H2_STREAM_WINDOW;

        stream->dropped += len;
        if (stream->dropped <= H2_STREAM_WINDOW) {
                h2_check(stream->h2, nghttp2_session_consume(session, stream->id, len));
                return;
        }
        h2_check(stream->h2, nghttp2_session_consume_connection(session, len));
        if (was_within && stream->is_end_sent) end_upload(stream);
}

static int on_data_cb(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                      void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

        (void)flags;
        if (stream != NULL) stream->received += len;
        if (stream == NULL) {
                h2_check(h2, nghttp2_session_consume_connection(session, len));
        } else if (stream_is_open(&stream->stream)) {
                stream->unconsumed += len;
                stream_data(&stream->stream, bytes_of(data, len));
        } else {
                drop(stream, len);
        }
        return 0;
}

static int on_stream_close_cb(nghttp2_session *session, int32_t id, uint32_t error_code, void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
        bool is_abandoned;

        (void)error_code;
        if (h2->head_stream == stream) h2->is_in_block = false;
        if (stream == NULL) return 0;
        if (stream->unconsumed > 0) h2_check(h2, nghttp2_session_consume_connection(session, stream->unconsumed));
        is_abandoned = !stream->is_end_sent && !stream->is_reset;
        h2_stream_free(stream);
        if (is_abandoned && !budget_spend(&h2->resets, host_now_ns(h2->host)))
                end_for_abuse(h2, "flood of abandoned streams");
        return 0;
}

/* Behind the notice and not with it: nghttp2 sends PINGs first, and the answer would not say that the notice was read.
 */
static void on_goaway_sent(struct h2 *h2)
{
        if (!h2->is_draining || h2->is_pinged) return;
        h2->is_pinged = true;
        h2_check(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, drain_ping));
}

static int on_frame_send_cb(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream;

        if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
            h2->carrier.complaint == NULL)
                h2->carrier.complaint = nghttp2_http2_strerror(frame->goaway.error_code);
        if (frame->hd.type == NGHTTP2_GOAWAY) on_goaway_sent(h2);
        if (frame->hd.type == NGHTTP2_RST_STREAM && frame->hd.stream_id > h2->last_reset_id)
                h2->last_reset_id = frame->hd.stream_id;
        if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
        if (frame->hd.type == NGHTTP2_DATA) budget_earn(&h2->controls, H2_CONTROLS_PER_DATA);
        h2->updates_left += H2_UPDATES_PER_FRAME;
        if (frame->hd.type == NGHTTP2_DATA) h2->updates_left += frame->hd.length / H2_UPDATE_LEN;
        budget_earn(&h2->pings, H2_CONTROLS_PER_DATA);
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
        stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (stream == NULL) return 0;
        stream->is_end_sent = true;
        /* With bytes that the consumer never took, the peer may be at the end of its window, and say nothing more. */
        if (!stream->is_ended && (stream->unconsumed > 0 || stream->dropped > H2_STREAM_WINDOW)) end_upload(stream);
        return 0;
}

/* ---- The carrier ---- */

static void h2_receive(struct carrier *carrier, struct bytes bytes)
{
        struct h2 *h2 = h2_of(carrier);
        ssize_t taken;

        if (h2->is_failed) return;
        h2->is_inside = true;
        taken = nghttp2_session_mem_recv(h2->session, bytes.data, bytes.len);
        if (taken < 0) {
                carrier->complaint = nghttp2_strerror((int)taken);
                h2_fail(h2);
        }
        h2->is_inside = false;
}

/* Half a buffer's worth, so that the consumer is not told of each frame. Where buffers are short, an empty one. */
static bool has_room(struct h2_stream *stream)
{
        size_t room = exchange_room(&stream->stream.exchange);

        return room >= STREAM_BUFFER_SIZE / 2 || (room > 0 && h2_stream_unsent(stream).len == 0);
}

/* Streams that had no room and have some again. */
static bool notify_writable(struct h2 *h2)
{
        struct h2_stream *stream;
        struct h2_stream *next;
        bool is_any = false;

        for (stream = h2->streams; stream != NULL; stream = next) {
                next = stream->next;
                if (!stream->wants_writable || !has_room(stream)) continue;
                stream->wants_writable = false;
                is_any = true;
                call_on_writable(&stream->stream.exchange);
        }
        return is_any;
}

static void h2_produce(struct carrier *carrier, struct output *output)
{
        struct h2 *h2 = h2_of(carrier);

        h2->is_inside = true;
        h2->output = output;
        h2->is_output_full = false;
        while (!h2->is_failed && output_room(output) >= 2 * H2_FRAME_SIZE_MAX) {
                const uint8_t *data;
                ssize_t len = nghttp2_session_mem_send(h2->session, &data);

                if (len > 0) {
                        output_put(output, bytes_of(data, (size_t)len));
                } else if (len < 0) {
                        carrier->complaint = nghttp2_strerror((int)len);
                        h2_fail(h2);
                } else if (h2->is_output_full || !(notify_writable(h2) | go_on(h2))) {
                        break;
                }
        }
        h2->output = NULL;
        h2->is_inside = false;
}

/* Unlike in HTTP/1.1 nobody half-closes: the peer is gone, and watches must not outlive it. */
static void h2_end_input(struct carrier *carrier)
{
        h2_fail(h2_of(carrier));
}

static bool h2_wants_read(const struct carrier *carrier)
{
        const struct h2 *h2 = (const struct h2 *)carrier;

        return !h2->is_failed && nghttp2_session_want_read(h2->session);
}

static bool h2_is_finished(const struct carrier *carrier)
{
        const struct h2 *h2 = (const struct h2 *)carrier;

        return h2->is_failed || (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session));
}

static enum carrier_phase h2_phase(const struct carrier *carrier)
{
        const struct h2 *h2 = (const struct h2 *)carrier;
        const struct h2_stream *stream;
        bool is_owed = true; /* each stream waits for the peer, and nothing of ours runs */

        if (!h2->is_greeted) return CARRIER_GREETING;
        if (h2->is_in_block) return CARRIER_HEAD;
        if (h2->streams == NULL) return CARRIER_IDLE;
        for (stream = h2->streams; stream != NULL; stream = stream->next) {
                if ((stream->is_in_parts || stream->stream.state == STREAM_REPLYING) &&
                    h2_stream_unsent(stream).len > 0)
                        return CARRIER_SENDING;
                if (!stream->is_end_sent && (stream->stream.state != STREAM_BODY || stream->is_in_parts))
                        is_owed = false;
        }
        return is_owed ? CARRIER_BODY : CARRIER_BUSY;
}

/* What the stream waits for that is the peer's to give. */
static enum h2_pace pace_of(const struct h2_stream *stream)
{
        if (stream->is_reset || stream->is_held_back) return H2_PACE_NONE;
        if (h2_stream_unsent(stream).len > 0)
                return nghttp2_session_get_stream_remote_window_size(stream->h2->session, stream->id) <= 0
                               ? H2_PACE_SENDING
                               : H2_PACE_NONE;
        if (stream->is_ended || stream->is_in_parts) return H2_PACE_NONE;
        return stream->stream.state == STREAM_BODY || stream->is_end_sent ? H2_PACE_BODY : H2_PACE_NONE;
}

static bool is_too_slow(struct h2_stream *stream, const struct patience *patience, int64_t now_ns)
{
        enum h2_pace pace = pace_of(stream);
        uint64_t moved = pace == H2_PACE_BODY ? stream->received : stream->sent;
        int64_t span_ms = pace == H2_PACE_BODY ? patience->body_ms : patience->write_ms;
        int64_t rate = pace == H2_PACE_BODY ? BODY_RATE : SEND_RATE;
        bool is_slow;

        if (pace != H2_PACE_NONE && pace == stream->pace && now_ns - stream->pace_ns < span_ms * NS_PER_MS)
                return false;
        is_slow = pace != H2_PACE_NONE && pace == stream->pace &&
                  moved - stream->pace_bytes < (uint64_t)(rate * span_ms / 1000);
        stream->pace = pace;
        stream->pace_ns = now_ns;
        stream->pace_bytes = moved;
        return is_slow;
}

/* A request whose body crawls is answered, and its upload ended behind that; what the peer does not take is reset. */
static void end_slow(struct h2_stream *stream)
{
        if (stream->pace == H2_PACE_SENDING) {
                exchange_reset(&stream->stream.exchange, RESET_CANCEL);
        } else if (stream->is_end_sent) {
                end_upload(stream);
                h2_wake(stream->h2);
        } else {
                stream->dropped = H2_STREAM_WINDOW + 1;
                call_on_slow(&stream->stream.exchange);
        }
}

static size_t h2_hurry(struct carrier *carrier, const struct patience *patience)
{
        struct h2 *h2 = h2_of(carrier);
        int64_t now_ns = host_now_ns(h2->host);
        struct h2_stream *stream;
        size_t count = 0;

        if (h2->is_failed) return 0;
        for (stream = h2->streams; stream != NULL; stream = stream->next) {
                if (!is_too_slow(stream, patience, now_ns)) continue;
                end_slow(stream);
                count++;
        }
        return count;
}

static void h2_drain(struct carrier *carrier)
{
        struct h2 *h2 = h2_of(carrier);

        if (h2->is_draining || h2->is_failed) return;
        h2->is_draining = true;
        h2_check(h2, nghttp2_submit_shutdown_notice(h2->session));
        h2_wake(h2);
}

static void h2_free(struct carrier *carrier)
{
        struct h2 *h2 = h2_of(carrier);

        h2->is_inside = true;
        while (h2->streams != NULL)
                h2_stream_free(h2->streams);
        nghttp2_session_del(h2->session);
        free(h2);
}

static const struct carrier_ops carrier_ops = {
        .receive = h2_receive,
        .produce = h2_produce,
        .end_input = h2_end_input,
        .wants_read = h2_wants_read,
        .is_finished = h2_is_finished,
        .phase = h2_phase,
        .hurry = h2_hurry,
        .drain = h2_drain,
        .free = h2_free,
        .idle_ms = H2_IDLE_MS,
};

/* ---- Setting up ---- */

/* Through our own malloc, so that a test can make it fail. */
static void *memory_malloc(size_t size, void *user_data)
{
        (void)user_data;
        return malloc(size);
}

static void memory_free(void *memory, void *user_data)
{
        struct h2 *h2 = user_data;

        if (memory != h2->reserve) free(memory);
}

static void *memory_calloc(size_t count, size_t size, void *user_data)
{
        (void)user_data;
        return calloc(count, size);
}

/*
 * nghttp2 1.52 frees a DATA frame twice when its queue of streams with data cannot grow. That queue is the one thing
 * that it makes by reallocating nothing, so such a request is rounded up to what the queue will ever need, and is met
 * from a reserve when the heap is out. The connection then ends.
 */
static void *memory_realloc(void *old, size_t size, void *user_data)
{
        struct h2 *h2 = user_data;
        void *memory;

        if (old == h2->reserve) return size <= sizeof h2->reserve ? old : NULL;
        if (old != NULL || size > sizeof h2->reserve) return realloc(old, size);
        memory = malloc(sizeof h2->reserve);
        if (memory != NULL || h2->is_reserve_used) return memory;
        h2->is_reserve_used = true;
        h2_fail(h2);
        return h2->reserve;
}

static int session_new(struct h2 *h2)
{
        nghttp2_mem memory = {h2, memory_malloc, memory_free, memory_calloc, memory_realloc};
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *option = NULL;
        int error = nghttp2_session_callbacks_new(&callbacks);

        if (error != 0) return error;
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers_cb);
        nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header_cb);
        nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header_cb);
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame_cb);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv_cb);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_cb);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close_cb);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send_cb);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_stream_send_cb);
        error = nghttp2_option_new(&option);
        if (error == 0) {
                nghttp2_option_set_no_auto_window_update(option, 1);
                nghttp2_option_set_no_closed_streams(option, 1);
                error = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &memory);
                nghttp2_option_del(option);
        }
        nghttp2_session_callbacks_del(callbacks);
        return error;
}

static int submit_greeting(struct h2 *h2)
{
        /* The priorities of RFC 7540 are refused: they buy us nothing, and cost a tree of streams (RFC 9218). */
        static const nghttp2_settings_entry settings[] = {
                {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
                {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_SIZE_MAX},
                {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        };
        int error =
                nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof settings[0]);

        if (error != 0) return error;
        return nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
}

struct carrier *h2_new(struct host *host, const struct peer *peer, struct h2_pool *pool)
{
        struct h2 *h2 = calloc(1, sizeof *h2);

        if (h2 == NULL) return NULL;
        h2->carrier.ops = &carrier_ops;
        h2->host = host;
        h2->peer = peer;
        h2->pool = pool;
        budget_init(&h2->resets, H2_RESETS_BURST, H2_RESETS_PER_SECOND, host_now_ns(host));
        budget_init(&h2->pings, H2_PINGS_BURST, H2_PINGS_PER_SECOND, host_now_ns(host));
        budget_init(&h2->controls, H2_CONTROLS_BURST, H2_CONTROLS_PER_SECOND, host_now_ns(host));
        if (session_new(h2) != 0) {
                free(h2);
                return NULL;
        }
        if (submit_greeting(h2) != 0) {
                h2_free(&h2->carrier);
                return NULL;
        }
        return &h2->carrier;
}
