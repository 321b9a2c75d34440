#include "rpc/h2_stream.h"

#include "engine/require.h"
#include "rpc/date.h"
#include "rpc/host.h"
#include "rpc/limits.h"

#define POOL_MAX       1024
#define PARTS_SIZE_MIN 1024

static struct h2_stream *stream_of(struct exchange *exchange)
{
        return (struct h2_stream *)exchange;
}

static const struct exchange_ops ops;

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
        struct h2_stream *stream = h2->pool->free;

        if (stream != NULL) {
                h2->pool->free = stream->next;
                h2->pool->free_count--;
        } else {
                stream = malloc(sizeof *stream);
                if (stream == NULL) return NULL;
        }
        memset(stream, 0, offsetof(struct h2_stream, held));
        stream->stream.exchange.ops = &ops;
        stream->stream.exchange.host = h2->host;
        stream->stream.exchange.peer = h2->peer;
        stream->stream.exchange.head.is_http2 = true;
        stream->h2 = h2;
        stream->id = id;
        stream->next = h2->streams;
        if (h2->streams != NULL) h2->streams->previous = stream;
        h2->streams = stream;
        h2->stream_count++;
        return stream;
}

static void free_parts(struct h2_stream *stream)
{
        free(stream->parts);
        stream->h2->host->stream_buffers -= stream->parts_size;
        stream->parts = NULL;
        stream->parts_start = stream->parts_len = stream->parts_size = 0;
}

void h2_stream_free(struct h2_stream *stream)
{
        struct h2 *h2 = stream->h2;
        size_t i;

        stream_close(&stream->stream, stream->is_end_sent);
        if (stream->previous != NULL)
                stream->previous->next = stream->next;
        else
                h2->streams = stream->next;
        if (stream->next != NULL) stream->next->previous = stream->previous;
        if (h2->head_stream == stream) h2->head_stream = NULL;
        h2->stream_count--;
        h2->answer_bytes -= stream->answer_len; /* all of it: the consumer keeps it whole until now */
        if (stream->is_held_back) h2->held_back_count--;
        for (i = 0; i < stream->held_count; i++)
                nghttp2_rcbuf_decref(stream->held[i]);
        free_parts(stream);
        free(stream->trailer_heap);
        if (h2->pool->free_count >= POOL_MAX) {
                free(stream);
                return;
        }
        stream->next = h2->pool->free;
        h2->pool->free = stream;
        h2->pool->free_count++;
}

void h2_pool_fini(struct h2_pool *pool)
{
        while (pool->free != NULL) {
                struct h2_stream *stream = pool->free;

                pool->free = stream->next;
                free(stream);
        }
        pool->free_count = 0;
}

/* ---- The answer, on its way out ---- */

struct bytes h2_stream_unsent(const struct h2_stream *stream)
{
        if (!stream->is_in_parts) return stream->body;
        return bytes_skip(bytes_of(stream->parts, stream->parts_len), stream->parts_start);
}

/* Says how much of the next frame there is; send_data then copies it. */
static ssize_t read_cb(nghttp2_session *session, int32_t id, uint8_t *buffer __attribute__((unused)), size_t len,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
        struct h2_stream *stream = source->ptr;
        size_t left = h2_stream_unsent(stream).len;

        (void)user_data;
        if (left == 0 && !stream->is_finished) {
                stream->is_deferred = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (left > len) return (ssize_t)len;
        if (!stream->is_finished) return (ssize_t)left;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailer_count > 0) {
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                if (nghttp2_submit_trailer(session, id, stream->trailers, stream->trailer_count) != 0)
                        return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return (ssize_t)left;
}

static void advance(struct h2_stream *stream, size_t len)
{
        stream->sent += len;
        if (!stream->is_in_parts) {
                stream->body = bytes_skip(stream->body, len);
                return;
        }
        stream->parts_start += len;
        if (stream->parts_start < stream->parts_len) return;
        /* A stream may be quiet for hours. */
        if (stream->parts_size > PARTS_SIZE_MIN)
                free_parts(stream);
        else
                stream->parts_start = stream->parts_len = 0;
}

int h2_stream_send_cb(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                      nghttp2_data_source *source, void *user_data)
{
        struct h2 *h2 = user_data;
        struct h2_stream *stream = source->ptr;

        (void)session;
        REQUIRE(frame->data.padlen == 0); /* we ask for none */
        /* Behind this frame nghttp2 may hand out another of full size before it lets us look at the room again. */
        if (output_room(h2->output) < 9 + len + H2_FRAME_SIZE_MAX) {
                h2->is_output_full = true;
                return NGHTTP2_ERR_WOULDBLOCK;
        }
        output_put(h2->output, bytes_of(head, 9));
        if (len > 0) {
                output_put(h2->output, bytes_of(h2_stream_unsent(stream).data, len));
                advance(stream, len);
        }
        return 0;
}

/* ---- The answer, from the consumer ---- */

nghttp2_nv h2_nv(struct bytes name, struct bytes value)
{
        /* nghttp2 copies what it is given; its structure only forgot to say const. */
        return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

/* :status, the consumer's fields, and those of ours that apply. */
static void submit_head(struct h2_stream *stream, int status, const struct field *fields, size_t field_count,
                        bool has_date, const size_t *content_length, bool has_data)
{
        nghttp2_nv nva[RESPONSE_FIELDS_MAX + 3];
        nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_cb};
        char status_text[4];
        char length_text[24];
        size_t count = 0;
        size_t i;

        REQUIRE(field_count <= RESPONSE_FIELDS_MAX);
        REQUIRE(status >= 200 && status <= 599);
        status_text[0] = (char)('0' + status / 100);
        status_text[1] = (char)('0' + status / 10 % 10);
        status_text[2] = (char)('0' + status % 10);
        nva[count++] = h2_nv(BYTES(":status"), bytes_of(status_text, 3));
        for (i = 0; i < field_count; i++)
                nva[count++] = h2_nv(fields[i].name, fields[i].value);
        if (content_length != NULL) {
                snprintf(length_text, sizeof length_text, "%zu", *content_length);
                nva[count++] = h2_nv(BYTES("content-length"), bytes_of_text(length_text));
        }
        if (has_date) nva[count++] = h2_nv(BYTES("date"), date_now());
        h2_check(stream->h2,
                 nghttp2_submit_response(stream->h2->session, stream->id, nva, count, has_data ? &provider : NULL));
}

/* Trailers are due when the body is out; the consumer's memory of them may be gone by then. */
static bool keep_trailers(struct h2_stream *stream, const struct field *trailers, size_t count)
{
        char *text = stream->trailer_text;
        size_t len = 0;
        size_t i;

        REQUIRE(count <= H2_TRAILERS_MAX);
        for (i = 0; i < count; i++)
                len += trailers[i].name.len + trailers[i].value.len;
        if (len > H2_TRAILER_TEXT_LEN) {
                text = stream->trailer_heap = malloc(len);
                if (text == NULL) return false;
        }
        for (i = 0; i < count; i++) {
                struct bytes name = trailers[i].name;
                struct bytes value = trailers[i].value;

                memcpy(text, name.data, name.len);
                if (value.len > 0) memcpy(text + name.len, value.data, value.len);
                stream->trailers[i] = h2_nv(bytes_of(text, name.len), bytes_of(text + name.len, value.len));
                text += name.len + value.len;
        }
        stream->trailer_count = count;
        return true;
}

static void h2_reset(struct exchange *exchange, enum reset_code code)
{
        static const uint32_t codes[] = {
                [RESET_CANCEL] = NGHTTP2_CANCEL,
                [RESET_REFUSED] = NGHTTP2_REFUSED_STREAM,
                [RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR,
        };
        struct h2_stream *stream = stream_of(exchange);

        if (stream->is_reset) return;
        if (stream->stream.state != STREAM_REPLYING) stream_set_state(&stream->stream, STREAM_REPLYING);
        stream->is_reset = true;
        h2_check(stream->h2,
                 nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, codes[code]));
        h2_wake(stream->h2);
}

static void h2_respond(struct exchange *exchange, const struct response *response)
{
        struct h2_stream *stream = stream_of(exchange);
        bool is_head = bytes_equal(exchange->head.method, BYTES("HEAD"));
        bool has_data = !is_head && (response->body.len > 0 || response->trailer_count > 0);
        bool has_length = response->body.len > 0 && response->trailer_count == 0;

        if (!keep_trailers(stream, response->trailers, response->trailer_count)) {
                h2_reset(exchange, RESET_INTERNAL);
                return;
        }
        stream_set_state(&stream->stream, STREAM_REPLYING);
        stream->body = response->body;
        stream->answer_len = response->body.len;
        stream->h2->answer_bytes += stream->answer_len;
        stream->is_finished = true;
        /* An answer with trailers is gRPC's, whose clients read neither length nor date. */
        submit_head(stream, response->status, response->fields, response->field_count, response->trailer_count == 0,
                    has_length ? &response->body.len : NULL, has_data);
        h2_wake(stream->h2);
}

static void h2_start(struct exchange *exchange, int status, const struct field *fields, size_t field_count)
{
        struct h2_stream *stream = stream_of(exchange);

        stream->is_in_parts = true;
        submit_head(stream, status, fields, field_count, false, NULL, true);
        h2_wake(stream->h2);
}

static size_t h2_room(struct exchange *exchange)
{
        struct h2_stream *stream = stream_of(exchange);
        bool is_busy = exchange->host->stream_buffers > STREAM_BUFFERS_MAX && exchange->peer->plane != PLANE_ADMIN;
        size_t size = is_busy ? STREAM_BUFFER_BUSY : STREAM_BUFFER_SIZE;
        size_t used = stream->parts_len - stream->parts_start;

        if (used < size) return size - used;
        stream->wants_writable = true;
        return 0;
}

static bool grow_parts(struct h2_stream *stream, size_t needed)
{
        size_t size = stream->parts_size == 0 ? PARTS_SIZE_MIN : stream->parts_size;
        uint8_t *parts;

        if (stream->parts_start > 0) {
                memmove(stream->parts, stream->parts + stream->parts_start, stream->parts_len - stream->parts_start);
                stream->parts_len -= stream->parts_start;
                stream->parts_start = 0;
        }
        if (needed <= stream->parts_size - stream->parts_len) return true;
        while (size - stream->parts_len < needed)
                size *= 2;
        parts = realloc(stream->parts, size);
        if (parts == NULL) return false;
        stream->h2->host->stream_buffers += size - stream->parts_size;
        stream->parts = parts;
        stream->parts_size = size;
        return true;
}

static void resume(struct h2_stream *stream)
{
        if (stream->is_deferred) {
                stream->is_deferred = false;
                h2_check(stream->h2, nghttp2_session_resume_data(stream->h2->session, stream->id));
        }
        h2_wake(stream->h2);
}

static void h2_write(struct exchange *exchange, struct bytes data)
{
        struct h2_stream *stream = stream_of(exchange);

        REQUIRE(stream->is_in_parts && !stream->is_finished && data.len <= h2_room(exchange));
        if (stream->is_reset || data.len == 0) return;
        if (data.len > stream->parts_size - stream->parts_len && !grow_parts(stream, data.len)) {
                h2_reset(exchange, RESET_INTERNAL);
                return;
        }
        memcpy(stream->parts + stream->parts_len, data.data, data.len);
        stream->parts_len += data.len;
        (void)h2_room(exchange); /* takes note if there is none left */
        resume(stream);
}

static void h2_finish(struct exchange *exchange, const struct field *trailers, size_t trailer_count)
{
        struct h2_stream *stream = stream_of(exchange);

        REQUIRE(stream->is_in_parts && !stream->is_finished);
        if (stream->is_reset) return;
        stream_set_state(&stream->stream, STREAM_REPLYING);
        if (!keep_trailers(stream, trailers, trailer_count)) {
                h2_reset(exchange, RESET_INTERNAL);
                return;
        }
        stream->is_finished = true;
        resume(stream);
}

static void h2_consume(struct exchange *exchange, size_t len)
{
        struct h2_stream *stream = stream_of(exchange);

        REQUIRE(len <= stream->unconsumed);
        stream->unconsumed -= len;
        h2_check(stream->h2, nghttp2_session_consume(stream->h2->session, stream->id, len));
        h2_wake(stream->h2);
}

static const struct exchange_ops ops = {
        .consume = h2_consume,
        .respond = h2_respond,
        .start = h2_start,
        .room = h2_room,
        .write = h2_write,
        .finish = h2_finish,
        .reset = h2_reset,
};
