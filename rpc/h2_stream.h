/*
 * The inside of h2.c, in two parts: the connection (h2.c) and its streams with their answers (h2_stream.c). For these
 * two only.
 */
#ifndef ALLOD_RPC_H2_STREAM_H
#define ALLOD_RPC_H2_STREAM_H

#include <nghttp2/nghttp2.h>

#include "rpc/budget.h"
#include "rpc/h2.h"
#include "rpc/stream.h"

/* No frame that we send is larger: the payload that every peer takes, its header, and nghttp2's room for padding. */
#define H2_FRAME_SIZE_MAX ((size_t)9 + 16384 + 256)

#define H2_TRAILERS_MAX     8
#define H2_TRAILER_TEXT_LEN 160 /* "grpc-status" "0" and a short "grpc-message"; longer ones go to the heap */
#define H2_HELD_MAX         (HEADER_COUNT + 3)

struct h2 {
        struct carrier carrier;
        struct host *host;
        const struct peer *peer;
        struct h2_pool *pool;
        nghttp2_session *session;

        /* streams */
        struct h2_stream *streams; /* all that live, doubly linked */
        size_t stream_count;
        size_t answer_bytes;           /* of whole answers that are not out */
        size_t held_back_count;        /* requests that wait for some of them to go */
        struct h2_stream *head_stream; /* whose header block is being decoded; NULL: none, or nobody wants it */

        int32_t last_reset_id; /* the greatest that we have reset */

        /* while producing */
        struct output *output;
        bool is_output_full; /* a DATA frame waits for room */

        /* abuse */
        struct budget resets;
        struct budget controls;
        struct budget pings;
        uint64_t updates_left; /* WINDOW_UPDATEs that what was sent accounts for */

        /* the connection */
        bool is_inside; /* receive, produce or free are running: the owner will look at the output by itself */
        bool is_greeted;
        bool is_in_block; /* between the first and the last frame of a header block */
        bool is_draining;
        bool is_pinged; /* the drain's notice is out, and the PING behind it */
        bool is_ping_answered;
        bool is_failed; /* nghttp2 gave up: nothing more comes out */
        bool is_reserve_used;
        void *reserve[128]; /* memory_realloc's: more than H2_STREAMS_MAX */
};

struct h2_stream {
        struct stream stream; /* first: an exchange is its stream */
        struct h2 *h2;
        struct h2_stream *next, *previous;
        int32_t id;

        /* the request */
        size_t head_size;
        size_t unconsumed; /* delivered, and not yet given back as credit */
        size_t dropped;    /* arrived when all was answered */
        size_t held_count;
        bool is_ended;     /* the peer has sent END_STREAM */
        bool is_held_back; /* the consumer has not been told of that */
        bool is_trailers;

        /* the peer's pace, as of the last look at it */
        enum h2_pace {
                H2_PACE_NONE,
                H2_PACE_BODY,
                H2_PACE_SENDING
        } pace;
        int64_t pace_ns;         /* since when */
        uint64_t pace_bytes;     /* what had moved then */
        uint64_t received, sent; /* bytes of bodies */

        /* the answer */
        struct bytes body;  /* what is left of it, for exchange_respond */
        size_t answer_len;  /* what it was */
        uint8_t *parts;     /* what exchange_write has brought: a ring is not worth it, the rest is moved down */
        size_t parts_start; /* sent up to here */
        size_t parts_len;
        size_t parts_size;
        bool is_in_parts;
        bool is_finished;    /* nothing will be added */
        bool is_deferred;    /* nghttp2 waits for nghttp2_session_resume_data */
        bool wants_writable; /* exchange_room was 0 */
        bool is_end_sent;
        bool is_reset; /* by exchange_reset */
        size_t trailer_count;
        char *trailer_heap;

        /* From here on not cleared. */
        nghttp2_rcbuf *held[H2_HELD_MAX]; /* nghttp2's own memory of the header values */
        nghttp2_nv trailers[H2_TRAILERS_MAX];
        char trailer_text[H2_TRAILER_TEXT_LEN];
};

/* NULL: no memory. */
struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);

/* The consumer is told, and everything goes back. The only place where a stream ends. */
void h2_stream_free(struct h2_stream *stream);

/* What of the answer's body has not gone out. */
struct bytes h2_stream_unsent(const struct h2_stream *stream);

/* nghttp2's: put a DATA frame into h2->output. */
int h2_stream_send_cb(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                      nghttp2_data_source *source, void *user_data);

/* For what nghttp2 copies before it returns. */
nghttp2_nv h2_nv(struct bytes name, struct bytes value);

/* nghttp2 has no memory left or broke: the connection ends without a word. */
static inline void h2_fail(struct h2 *h2)
{
        h2->is_failed = true;
}

/* The outcome of a call of nghttp2's. */
static inline void h2_check(struct h2 *h2, int error)
{
        if (error != 0 && nghttp2_is_fatal(error)) h2_fail(h2);
}

static inline void h2_wake(struct h2 *h2)
{
        if (!h2->is_inside) h2->carrier.wake_cb(&h2->carrier);
}

#endif
