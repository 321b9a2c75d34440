/* HTTP/2 from byte arrays: a client session of nghttp2, or frames written by hand, against rpc/h2.c. */
#include "rpc/h2.h"

#include <nghttp2/nghttp2.h>

#include "rpc/limits.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"
#include "tests/wire/clock.h"
#include "tests/wire/consumer.h"

/* Both ends of a connection. */
struct wire {
        struct host host;
        struct peer peer;
        struct h2_pool pool;
        struct carrier *carrier;
        size_t step;        /* the server gets this many bytes at a time */
        size_t output_size; /* and produces into so many */
        size_t wakes;

        nghttp2_session *client;
        int32_t id; /* of the newest request */
        const uint8_t *upload;
        size_t upload_len, uploaded;
        bool has_more; /* the request does not end with the upload */

        /* what the client saw */
        int status;
        char fields[2048];
        uint8_t *body;
        size_t body_len;
        uint32_t reset_code, closed_code, goaway_code;
        int32_t goaway_id;
        size_t closed, resets, goaways, pings, continues;
        char goaway_words[32]; /* debug data of the first GOAWAY */
};

/* ---- The client ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
        struct wire *wire = user_data;
        size_t len = strlen(wire->fields);

        (void)session;
        (void)frame;
        (void)flags;
        if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
                wire->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
                if (wire->status == 100) wire->continues++;
                return 0;
        }
        snprintf(wire->fields + len, sizeof wire->fields - len, "%.*s: %.*s\n", (int)name_len, (const char *)name,
                 (int)value_len, (const char *)value);
        return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                    void *user_data)
{
        struct wire *wire = user_data;
        size_t i;

        (void)session;
        (void)flags;
        (void)id;
        for (i = 0; i < len && wire->body != NULL; i++)
                wire->body[wire->body_len + i] = data[i];
        wire->body_len += len;
        return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
        struct wire *wire = user_data;

        (void)session;
        if (frame->hd.type == NGHTTP2_RST_STREAM) {
                wire->reset_code = frame->rst_stream.error_code;
                wire->resets++;
        }
        if (frame->hd.type == NGHTTP2_GOAWAY) {
                if (wire->goaways == 0)
                        snprintf(wire->goaway_words, sizeof wire->goaway_words, "%.*s",
                                 (int)frame->goaway.opaque_data_len, (const char *)frame->goaway.opaque_data);
                wire->goaway_code = frame->goaway.error_code;
                wire->goaway_id = frame->goaway.last_stream_id;
                wire->goaways++;
        }
        if (frame->hd.type == NGHTTP2_PING) {
                wire->pings++;
                if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) assert_int_equal(wire->goaways, 1); /* a drain's */
        }
        return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
        struct wire *wire = user_data;

        (void)session;
        (void)id;
        wire->closed++;
        wire->closed_code = code;
        return 0;
}

static void on_wake(struct carrier *carrier)
{
        struct wire *wire = carrier->owner;

        wire->wakes++;
}

static void client_new(struct wire *wire)
{
        nghttp2_session_callbacks *callbacks;
        nghttp2_option *option;

        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        assert_int_equal(nghttp2_option_new(&option), 0);
        nghttp2_option_set_peer_max_concurrent_streams(option, 1000);
        assert_int_equal(nghttp2_session_client_new2(&wire->client, callbacks, wire, option), 0);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
}

static void wire_init(struct wire *wire)
{
        *wire = (struct wire){.step = 65536, .output_size = WRITE_SIZE};
        consumer_reset();
        wire->carrier = h2_new(&wire->host, &wire->peer, &wire->pool);
        if (wire->carrier != NULL) {
                wire->carrier->owner = wire;
                wire->carrier->wake_cb = on_wake;
        }
        client_new(wire);
        nghttp2_submit_settings(wire->client, NGHTTP2_FLAG_NONE, NULL, 0);
}

static void wire_fini(struct wire *wire)
{
        if (wire->carrier != NULL) wire->carrier->ops->free(wire->carrier);
        h2_pool_fini(&wire->pool);
        nghttp2_session_del(wire->client);
        free(wire->body);
        assert_int_equal(consumer.open, 0);
}

static void give(struct wire *wire, const uint8_t *data, size_t len)
{
        while (len > 0) {
                size_t part = len < wire->step ? len : wire->step;

                wire->carrier->ops->receive(wire->carrier, bytes_of(data, part));
                data += part;
                len -= part;
        }
}

/* From the server to the client, once. */
static bool take(struct wire *wire)
{
        uint8_t *memory = malloc(wire->output_size);
        struct output output = {memory, 0, wire->output_size};
        bool is_any;

        if (memory == NULL) return false;
        wire->carrier->ops->produce(wire->carrier, &output);
        assert_true(output.len <= output.size);
        is_any = output.len > 0;
        if (is_any) assert_true(nghttp2_session_mem_recv(wire->client, memory, output.len) >= 0);
        free(memory);
        return is_any;
}

/* Until neither has anything to say. */
static void pump(struct wire *wire)
{
        const uint8_t *data;
        ssize_t len;
        bool is_any;

        do {
                is_any = false;
                while ((len = nghttp2_session_mem_send(wire->client, &data)) > 0) {
                        give(wire, data, (size_t)len);
                        is_any = true;
                }
                while (take(wire))
                        is_any = true;
        } while (is_any);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user_data)
{
        struct wire *wire = user_data;
        size_t left = wire->upload_len - wire->uploaded;

        (void)session;
        (void)id;
        (void)source;
        if (left == 0 && wire->has_more) return NGHTTP2_ERR_DEFERRED;
        if (len > left) len = left;
        if (len > 0) memcpy(buffer, wire->upload + wire->uploaded, len);
        wire->uploaded += len;
        if (wire->uploaded == wire->upload_len && !wire->has_more) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)len;
}

#define NV(name, value)                                                                                                \
        {                                                                                                              \
                (uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE               \
        }

/* `upload` NULL: no body. Nothing is pumped. */
static void request(struct wire *wire, const char *method, const char *path, const nghttp2_nv *more, size_t more_count,
                    const void *upload, size_t upload_len)
{
        nghttp2_data_provider provider = {.read_callback = on_read};
        nghttp2_nv nva[16] = {NV(":method", method), NV(":scheme", "http"), NV(":path", path),
                              NV(":authority", "here")};
        size_t i;

        for (i = 0; i < more_count; i++)
                nva[4 + i] = more[i];
        wire->upload = upload;
        wire->upload_len = upload_len;
        wire->uploaded = 0;
        wire->status = 0;
        wire->body_len = 0;
        memset(wire->fields, 0, sizeof wire->fields);
        wire->id = nghttp2_submit_request(wire->client, NULL, nva, 4 + more_count, upload == NULL ? NULL : &provider,
                                          NULL);
        assert_true(wire->id > 0);
}

static void frame(struct wire *wire, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
        uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
                           (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

        give(wire, head, sizeof head);
        give(wire, payload, len);
}

/* ---- Tests ---- */

/* A request with a body comes out as head, data, end and closed, its answer as head, body and trailers, whether the
 * bytes come all at once or one at a time. */
static void test_echo_at_every_split(void **state)
{
        size_t steps[] = {65536, 1, 2, 3, 7};
        size_t i;

        (void)state;
        for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
                struct wire wire;

                wire_init(&wire);
                wire.step = steps[i];
                wire.body = malloc(100);
                request(&wire, "POST", "/echo", NULL, 0, "hello", 5);
                pump(&wire);
                assert_int_equal(wire.status, 200);
                assert_int_equal(wire.body_len, 5);
                assert_memory_equal(wire.body, "hello", 5);
                assert_string_equal(wire.fields, "content-type: text/plain\ngrpc-status: 0\n");
                assert_int_equal(wire.closed, 1);
                assert_int_equal(wire.closed_code, NGHTTP2_NO_ERROR);
                assert_int_equal(wire.resets, 0);
                if (steps[i] > 5)
                        assert_string_equal(consumer.transcript,
                                            "head POST /echo authority=here body\ndata 5\nend\nclosed answered\n");
                assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_IDLE);
                wire_fini(&wire);
        }
}

/* Headers that are read here arrive with their first value and how often they came; others do not. */
static void test_header_values(void **state)
{
        nghttp2_nv more[] = {NV("x-api-key", "k1"), NV("x-team-id", "a"), NV("cookie", "c"),
                             NV("x-team-id", "b"),  NV("te", "trailers"), NV("x-api-kex", "no")};
        struct wire wire;
        enum header header;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/hold", more, 6, NULL, 0);
        pump(&wire);
        for (header = 0; header < HEADER_COUNT; header++) {
                unsigned count = header == HEADER_X_TEAM_ID                          ? 2
                                 : header == HEADER_X_API_KEY || header == HEADER_TE ? 1
                                                                                     : 0;

                assert_int_equal(consumer.head.counts[header], count);
        }
        assert_true(bytes_equal(consumer.head.values[HEADER_X_API_KEY], BYTES("k1")));
        assert_true(bytes_equal(consumer.head.values[HEADER_X_TEAM_ID], BYTES("a")));
        assert_true(consumer.head.is_http2);
        assert_false(consumer.head.has_body);
        wire_fini(&wire);
}

/* A field with a control byte in it resets its stream: left out, it would turn a team's request into a personal one. */
static void test_malformed_field_resets(void **state)
{
        nghttp2_nv more[] = {NV("x-team-id", "a\001b")};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/echo", more, 1, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.resets, 1);
        assert_int_equal(wire.status, 0);
        assert_string_equal(consumer.transcript, "");
        request(&wire, "GET", "/echo", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        wire_fini(&wire);
}

/* A head above the limit is answered with 431, one above twice the limit is reset, and the consumer hears of neither;
 * the connection goes on. */
static void test_large_head(void **state)
{
        size_t lens[] = {HEAD_SIZE_MAX - 1000, HEAD_SIZE_MAX, 2 * HEAD_SIZE_MAX};
        int statuses[] = {200, 431, 0};
        char *value = calloc(1, 3 * HEAD_SIZE_MAX);
        size_t i;

        (void)state;
        assert_non_null(value);
        for (i = 0; i < 3; i++) {
                struct wire wire;

                wire_init(&wire);
                memset(value, 'x', lens[i]);
                {
                        nghttp2_nv more[] = {NV("x-other", value)};

                        request(&wire, "GET", "/echo", more, 1, NULL, 0);
                }
                pump(&wire);
                assert_int_equal(wire.status, statuses[i]);
                assert_int_equal(wire.resets, statuses[i] == 0);
                if (i > 0) assert_string_equal(consumer.transcript, "");
                request(&wire, "GET", "/echo", NULL, 0, NULL, 0);
                pump(&wire);
                assert_int_equal(wire.status, 200);
                wire_fini(&wire);
        }
        free(value);
}

/* An answer before the end of the request lets a window's worth of it pass, without a reset, which some clients take
 * for a failure; the stream ends when the peer is done. */
static void test_early_answer(void **state)
{
        static uint8_t upload[H2_STREAM_WINDOW];
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        for (i = 0; i < 16; i++) { /* 4 MiB: four windows of the connection */
                wire.closed_code = NGHTTP2_CANCEL;
                request(&wire, "POST", "/early", NULL, 0, upload, sizeof upload);
                pump(&wire);
                assert_int_equal(wire.status, 413);
                assert_int_equal(wire.resets, 0);
                assert_int_equal(wire.closed_code, NGHTTP2_NO_ERROR);
                assert_int_equal(wire.uploaded, sizeof upload);
        }
        assert_null(strstr(consumer.transcript, "data"));
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_IDLE);

        wire.has_more = true; /* it stops there: patience with it ends */
        request(&wire, "POST", "/early", NULL, 0, upload, 1);
        pump(&wire);
        assert_int_equal(wire.status, 413);
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_BODY);
        wire_fini(&wire);
}

/* A body that does not come is what the connection waits for, unless something of ours runs beside it. */
static void test_owed_body(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "POST", "/echo", NULL, 0, "x", 1);
        wire.has_more = true;
        pump(&wire);
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_BODY);
        wire.has_more = false;
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_BUSY);
        wire_fini(&wire);
}

/* A larger upload is ended by RST_STREAM (NO_ERROR), and what of it is thrown away does not eat the connection's
 * window. */
static void test_vain_upload(void **state)
{
        static uint8_t upload[3 * H2_STREAM_WINDOW];
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        for (i = 0; i < 16; i++) { /* eight windows of the connection and more */
                wire.resets = 0;
                request(&wire, "POST", "/early", NULL, 0, upload, sizeof upload);
                wire.has_more = true;
                pump(&wire);
                assert_int_equal(wire.status, 413);
                assert_int_equal(wire.resets, 1);
                assert_int_equal(wire.reset_code, NGHTTP2_NO_ERROR);
        }
        assert_null(strstr(consumer.transcript, "data"));
        wire.has_more = false;
        request(&wire, "POST", "/echo", NULL, 0, "x", 1);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        wire_fini(&wire);
}

/* A consumer that takes nothing stops the peer at the stream's window, and starts it again by taking. */
static void test_window_is_the_consumers(void **state)
{
        static uint8_t upload[H2_STREAM_WINDOW + 1000];
        struct wire wire;

        (void)state;
        wire_init(&wire);
        consumer.is_quiet = true;
        request(&wire, "POST", "/greedy", NULL, 0, upload, sizeof upload);
        pump(&wire);
        assert_true(wire.uploaded < sizeof upload);
        exchange_consume(consumer.held, H2_STREAM_WINDOW);
        assert_int_equal(wire.wakes, 1);
        pump(&wire);
        assert_int_equal(wire.uploaded, sizeof upload);
        assert_non_null(consumer.held);
        wire_fini(&wire);
}

/* Bytes that a dead stream never took come back to the connection. */
static void test_dead_streams_return_credit(void **state)
{
        static uint8_t upload[200 * 1024];
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        consumer.is_quiet = true;
        for (i = 0; i < 16; i++) {
                request(&wire, "POST", "/greedy", NULL, 0, upload, sizeof upload);
                pump(&wire);
                assert_int_equal(wire.uploaded, sizeof upload);
                nghttp2_submit_rst_stream(wire.client, NGHTTP2_FLAG_NONE, wire.id, NGHTTP2_CANCEL);
                pump(&wire);
                assert_null(consumer.held);
        }
        wire_fini(&wire);
}

/* A large reply comes through whole over outputs that hold little more than two frames. */
static void test_large_reply_in_small_outputs(void **state)
{
        struct wire wire;
        size_t i;

        (void)state;
        wire_init(&wire);
        wire.output_size = (size_t)33300;
        wire.body = malloc(1000000);
        consumer.large_len = 1000000;
        assert_non_null(wire.body);
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.body_len, 1000000);
        for (i = 0; i < wire.body_len; i++)
                if (wire.body[i] != pattern_at(i)) fail();
        assert_non_null(strstr(wire.fields, "content-length: 1000000\n"));
        assert_non_null(strstr(wire.fields, "date: "));
        assert_int_equal(wire.closed_code, NGHTTP2_NO_ERROR);
        wire_fini(&wire);
}

/* A peer that opens no window stalls its reply, which is told as SENDING, and may still reset it. */
static void test_stalled_reply(void **state)
{
        nghttp2_settings_entry none[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        nghttp2_submit_settings(wire.client, NGHTTP2_FLAG_NONE, none, 1);
        consumer.large_len = 1000;
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_int_equal(wire.body_len, 0);
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_SENDING);
        nghttp2_submit_rst_stream(wire.client, NGHTTP2_FLAG_NONE, wire.id, NGHTTP2_CANCEL);
        pump(&wire);
        assert_non_null(strstr(consumer.transcript, "end\nclosed\n"));
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_IDLE);
        wire_fini(&wire);
}

static const struct patience patience = {.body_ms = 30000, .write_ms = 30000};

static size_t hurry(struct wire *wire, int64_t seconds)
{
        size_t count;

        clock_now_ns += seconds * 1000000000;
        count = wire->carrier->ops->hurry(wire->carrier, &patience);
        pump(wire);
        return count;
}

/* A body that does not go on, or crawls, is answered and its upload ended; one that keeps the pace is not, and neither
 * is the connection. */
static void test_slow_body(void **state)
{
        static uint8_t upload[2 * 30 * BODY_RATE];
        struct wire wire;

        (void)state;
        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/echo", NULL, 0, upload, 10);
        pump(&wire);
        assert_int_equal(hurry(&wire, 0), 0);
        assert_int_equal(hurry(&wire, 29), 0);
        wire.upload_len += 30 * BODY_RATE;
        nghttp2_session_resume_data(wire.client, wire.id);
        pump(&wire);
        assert_int_equal(hurry(&wire, 1), 0);
        assert_int_equal(hurry(&wire, 29), 0);
        wire.upload_len += 30 * BODY_RATE - 10;
        nghttp2_session_resume_data(wire.client, wire.id);
        pump(&wire);
        assert_int_equal(hurry(&wire, 1), 1);
        assert_int_equal(wire.status, 504);
        assert_int_equal(wire.resets, 1);
        assert_int_equal(wire.reset_code, NGHTTP2_NO_ERROR);
        assert_non_null(strstr(consumer.transcript, "slow\nclosed answered\n"));
        assert_int_equal(hurry(&wire, 40), 0);
        wire.has_more = false;
        request(&wire, "POST", "/echo", NULL, 0, "x", 1);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        wire_fini(&wire);
}

/* An upload whose answer is out does not keep its stream for good. */
static void test_answered_upload(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/early", NULL, 0, "x", 1);
        pump(&wire);
        assert_int_equal(wire.status, 413);
        assert_int_equal(wire.closed, 0);
        assert_int_equal(hurry(&wire, 0), 0);
        assert_int_equal(hurry(&wire, 31), 1);
        assert_int_equal(wire.closed, 1);
        assert_int_equal(wire.reset_code, NGHTTP2_NO_ERROR);
        wire_fini(&wire);
}

/* An answer that the peer keeps its window shut for is given up, while others on the same connection go out. */
static void test_answer_not_taken(void **state)
{
        nghttp2_settings_entry none[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        nghttp2_submit_settings(wire.client, NGHTTP2_FLAG_NONE, none, 1);
        consumer.large_len = 100000;
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(hurry(&wire, 0), 0);
        for (i = 0; i < 29; i++) {
                request(&wire, "GET", "/empty", NULL, 0, NULL, 0);
                pump(&wire);
                assert_int_equal(wire.status, 204);
                assert_int_equal(hurry(&wire, 1), 0);
        }
        assert_int_equal(wire.resets, 0);
        assert_int_equal(hurry(&wire, 1), 1);
        assert_int_equal(wire.resets, 1);
        assert_int_equal(wire.reset_code, NGHTTP2_CANCEL);
        assert_int_equal(consumer.open, 0);
        wire_fini(&wire);
}

/* While half of the calls that may be open are, a connection has a few at a time and no more. */
static void test_busy_host(void **state)
{
        struct wire wire;
        size_t i;

        (void)state;
        wire_init(&wire);
        wire.host.calls.open_max = 100;
        wire.host.calls.open_count = 51;
        for (i = 0; i < H2_STREAMS_BUSY + 1; i++) {
                request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
                pump(&wire);
                assert_int_equal(wire.resets, i < H2_STREAMS_BUSY ? 0 : 1);
        }
        assert_int_equal(wire.reset_code, NGHTTP2_REFUSED_STREAM);
        wire.host.calls.open_count = 50;
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.resets, 1);
        wire.host.calls.open_count = 0;
        wire_fini(&wire);
}

/* A peer that reads nothing has a bounded number of answers made for it, whatever it asks for at a time: the others
 * wait, may be reset meanwhile, and are made in their order once it reads. */
static void test_answers_wait_for_their_reader(void **state)
{
        nghttp2_settings_entry none[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
        nghttp2_settings_entry much[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 16 << 20}};
        struct wire wire;
        int32_t reset_id;
        unsigned i;

        (void)state;
        wire_init(&wire);
        nghttp2_submit_settings(wire.client, NGHTTP2_FLAG_NONE, none, 1);
        consumer.large_len = H2_ANSWERS_MAX / 4;
        for (i = 0; i < H2_STREAMS_MAX - 1; i++)
                request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        reset_id = wire.id;
        request(&wire, "POST", "/echo", NULL, 0, "body", 4);
        pump(&wire);
        assert_int_equal(consumer.peak, 5); /* and the upload, whose end is not told */
        assert_null(strstr(consumer.transcript, "data 4\nend"));
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_SENDING);

        nghttp2_submit_rst_stream(wire.client, NGHTTP2_FLAG_NONE, reset_id, NGHTTP2_CANCEL);
        pump(&wire);
        assert_int_equal(wire.closed, 1);
        assert_int_equal(consumer.peak, 5);

        consumer.is_quiet = true;
        nghttp2_submit_settings(wire.client, NGHTTP2_FLAG_NONE, much, 1);
        nghttp2_session_set_local_window_size(wire.client, NGHTTP2_FLAG_NONE, 0, 64 << 20);
        pump(&wire);
        assert_int_equal(wire.closed, H2_STREAMS_MAX);
        assert_int_equal(wire.body_len, (H2_STREAMS_MAX - 2) * consumer.large_len + 4);
        assert_true(consumer.peak <= 6);
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_IDLE);
        wire_fini(&wire);
}

/* The connection ends while requests wait so. */
static void test_end_while_requests_wait(void **state)
{
        nghttp2_settings_entry none[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        nghttp2_submit_settings(wire.client, NGHTTP2_FLAG_NONE, none, 1);
        consumer.large_len = H2_ANSWERS_MAX;
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        request(&wire, "POST", "/echo", NULL, 0, "body", 4);
        pump(&wire);
        assert_int_equal(consumer.open, 2);
        wire.carrier->ops->end_input(wire.carrier);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* What the server says of itself: its limits, and that it takes no priorities (RFC 9218 section 2.1). */
static void test_greeting(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        pump(&wire);
        assert_int_equal(nghttp2_session_get_remote_settings(wire.client, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                         H2_STREAMS_MAX);
        assert_int_equal(nghttp2_session_get_remote_settings(wire.client, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE),
                         H2_STREAM_WINDOW);
        assert_int_equal(nghttp2_session_get_remote_settings(wire.client, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE),
                         HEAD_SIZE_MAX);
        assert_int_equal(nghttp2_session_get_remote_settings(wire.client, NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES), 1);
        wire_fini(&wire);
}

/* An answer in parts: nothing is sent before there is something, room shrinks to nothing while the peer's window is
 * shut, writable comes once there is room again, trailers come last. */
static void test_parts(void **state)
{
        static uint8_t part[STREAM_BUFFER_SIZE];
        struct field trailers[] = {{BYTES("grpc-status"), BYTES("0")}};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/feed", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_int_equal(exchange_room(consumer.held), STREAM_BUFFER_SIZE);
        exchange_write(consumer.held, BYTES("one"));
        assert_int_equal(wire.wakes, 1);
        pump(&wire);
        assert_int_equal(wire.body_len, 3);
        /* The default window is 65535 bytes: this leaves 4 of them behind. */
        exchange_write(consumer.held, bytes_of(part, sizeof part));
        assert_int_equal(exchange_room(consumer.held), 0);
        nghttp2_session_set_local_window_size(wire.client, NGHTTP2_FLAG_NONE, wire.id, 0);
        pump(&wire);
        exchange_write(consumer.held, BYTES("last"));
        exchange_finish(consumer.held, trailers, 1);
        nghttp2_session_set_local_window_size(wire.client, NGHTTP2_FLAG_NONE, wire.id, 1 << 20);
        pump(&wire);
        assert_int_equal(wire.body_len, 3 + sizeof part + 4);
        assert_string_equal(wire.fields, "content-type: text/plain\ngrpc-status: 0\n");
        assert_string_equal(consumer.transcript, "head GET /feed authority=here\nend\nwritable\nclosed answered\n");
        wire_fini(&wire);
}

/* The buffers of parts are counted while something waits in them. While those of all are many, a stream has a small
 * one, is told when that is empty, and comes through whole. The operator's has its own size. */
static void test_busy_buffers(void **state)
{
        static uint8_t part[STREAM_BUFFER_SIZE];
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/feed", NULL, 0, NULL, 0);
        pump(&wire);
        exchange_write(consumer.held, bytes_of(part, sizeof part / 2));
        assert_int_equal(wire.host.stream_buffers, sizeof part / 2);
        pump(&wire);
        assert_int_equal(wire.host.stream_buffers, 0);

        wire.host.stream_buffers = STREAM_BUFFERS_MAX; /* others' */
        exchange_write(consumer.held, bytes_of(part, 1));
        assert_int_equal(exchange_room(consumer.held), STREAM_BUFFER_BUSY - 1);
        exchange_write(consumer.held, bytes_of(part, STREAM_BUFFER_BUSY - 1));
        assert_int_equal(exchange_room(consumer.held), 0);
        wire.peer.plane = PLANE_ADMIN;
        assert_int_equal(exchange_room(consumer.held), STREAM_BUFFER_SIZE - STREAM_BUFFER_BUSY);
        wire.peer.plane = PLANE_PUBLIC;
        assert_null(strstr(consumer.transcript, "writable"));
        pump(&wire);
        assert_non_null(strstr(consumer.transcript, "writable"));
        exchange_write(consumer.held, bytes_of(part, STREAM_BUFFER_BUSY));
        exchange_finish(consumer.held, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.body_len, sizeof part / 2 + 2 * STREAM_BUFFER_BUSY);
        assert_int_equal(wire.closed, 1);
        assert_int_equal(wire.host.stream_buffers, STREAM_BUFFERS_MAX);
        wire_fini(&wire);
}

/* HEAD gets the length of the body and no body; 204 gets neither. */
static void test_answers_without_body(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        consumer.large_len = 77;
        request(&wire, "HEAD", "/large", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_int_equal(wire.body_len, 0);
        assert_non_null(strstr(wire.fields, "content-length: 77\n"));
        request(&wire, "DELETE", "/empty", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 204);
        assert_null(strstr(wire.fields, "content-length"));
        assert_int_equal(wire.closed, 2);
        wire_fini(&wire);
}

/* Expect: 100-continue, in any case, is answered by 100 when the consumer wants the body, and not when it has refused.
 */
static void test_continue(void **state)
{
        nghttp2_nv more[] = {NV("expect", "100-Continue")};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/hold", more, 1, "", 0);
        pump(&wire);
        assert_int_equal(wire.continues, 1);
        request(&wire, "POST", "/early", more, 1, "", 0);
        pump(&wire);
        assert_int_equal(wire.continues, 1);
        assert_int_equal(wire.status, 413);
        wire_fini(&wire);
}

/* Resets of both sides end an exchange once, and an answer that was given later is not missed. */
static void test_resets(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        exchange_reset(consumer.held, RESET_REFUSED);
        assert_non_null(consumer.held); /* not from inside the call */
        pump(&wire);
        assert_int_equal(wire.reset_code, NGHTTP2_REFUSED_STREAM);
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        nghttp2_submit_rst_stream(wire.client, NGHTTP2_FLAG_NONE, wire.id, NGHTTP2_CANCEL);
        pump(&wire);
        assert_null(consumer.held);
        assert_string_equal(consumer.transcript, "head GET /hold authority=here\nend\nclosed\n"
                                                 "head GET /hold authority=here\nend\nclosed\n");
        wire_fini(&wire);
}

/* A client that resets what it asks for is sent away, and so is one whose frames ask for nothing. */
static void test_floods(void **state)
{
        static const uint8_t zeros[8];
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        consumer.is_quiet = true;
        for (i = 0; i <= H2_RESETS_BURST; i++) {
                assert_int_equal(wire.goaways, 0);
                request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
                pump(&wire);
                nghttp2_submit_rst_stream(wire.client, NGHTTP2_FLAG_NONE, wire.id, NGHTTP2_CANCEL);
                pump(&wire);
        }
        assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        assert_string_equal(wire.carrier->complaint, "flood of abandoned streams");
        wire_fini(&wire);

        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/hold", NULL, 0, "a", 1);
        pump(&wire);
        for (i = 0; i < H2_CONTROLS_BURST + 10; i++) {
                frame(&wire, NGHTTP2_DATA, 0, (uint32_t)wire.id, zeros, 0);
                while (take(&wire))
                        ;
        }
        assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* One PING a second is answered for ever; more without need is too many, in gRPC's words. Answers earn more. */
static void test_pings(void **state)
{
        static const uint8_t zeros[8];
        const int64_t second_ns = 1000000000;
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        consumer.is_quiet = true;
        pump(&wire);
        for (i = 0; i < H2_PINGS_BURST + 1000; i++) {
                frame(&wire, NGHTTP2_PING, 0, 0, zeros, sizeof zeros);
                pump(&wire);
                clock_now_ns += second_ns;
        }
        assert_int_equal(wire.goaways, 0);
        assert_int_equal(wire.pings, H2_PINGS_BURST + 1000);
        for (i = 0; i < 1000; i++) {
                request(&wire, "GET", "/empty", NULL, 0, NULL, 0);
                frame(&wire, NGHTTP2_PING, 0, 0, zeros, sizeof zeros);
                pump(&wire);
        }
        assert_int_equal(wire.goaways, 0);
        for (i = 0; i < 2 * H2_PINGS_BURST + 10; i++) /* in one turn; the minute before has earned a burst, too */
                frame(&wire, NGHTTP2_PING, 0, 0, zeros, sizeof zeros);
        while (take(&wire))
                ;
        assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_string_equal(wire.goaway_words, "too_many_pings");
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* Streams above the limit are refused and never reach the consumer; those below go on. */
static void test_stream_limit(void **state)
{
        struct wire wire;
        int i;

        (void)state;
        wire_init(&wire);
        consumer.is_quiet = true;
        for (i = 0; i < H2_STREAMS_MAX + 10; i++) /* before the client has seen our SETTINGS */
                request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(consumer.open, H2_STREAMS_MAX);
        assert_int_equal(wire.resets, 10);
        assert_int_equal(wire.reset_code, NGHTTP2_REFUSED_STREAM);
        assert_int_equal(wire.goaways, 0);
        wire_fini(&wire);
}

/* Frames of unknown types are ignored, on streams and off them. */
static void test_unknown_frames(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        frame(&wire, 0xbb, 0xff, 0, "junk", 4);
        frame(&wire, 0xbb, 0xff, (uint32_t)wire.id, "junk", 4);
        request(&wire, "GET", "/echo", NULL, 0, NULL, 0);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_int_equal(wire.goaways, 0);
        wire_fini(&wire);
}

/* Trailers of a request end it. */
static void test_request_trailers(void **state)
{
        nghttp2_nv trailer = NV("x-checksum", "1");
        struct wire wire;

        (void)state;
        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/echo", NULL, 0, "abc", 3);
        pump(&wire);
        assert_int_equal(wire.status, 0);
        nghttp2_submit_trailer(wire.client, wire.id, &trailer, 1);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_int_equal(wire.body_len, 3);
        wire_fini(&wire);
}

/* DATA that is nothing but padding, and updates of windows that nothing was sent into, are floods like others. As many
 * updates as the most eager of clients sends for what it reads are none. */
static void test_idle_frames(void **state)
{
        static const uint8_t one_more[4] = {0, 0, 0, 1}, padding[] = {3, 0, 0, 0}, no_padding[] = {0};
        struct wire wire;
        size_t i;

        (void)state;
        wire_init(&wire);
        wire.has_more = true;
        request(&wire, "POST", "/hold", NULL, 0, "a", 1);
        pump(&wire);
        for (i = 0; i < H2_CONTROLS_BURST / 2 + 10; i++) {
                frame(&wire, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, (uint32_t)wire.id, padding, sizeof padding);
                frame(&wire, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, (uint32_t)wire.id, no_padding, sizeof no_padding);
        }
        while (take(&wire))
                ;
        assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        wire_fini(&wire);

        wire_init(&wire);
        consumer.is_quiet = true;
        consumer.large_len = 4 << 20;
        nghttp2_session_set_local_window_size(wire.client, NGHTTP2_FLAG_NONE, 0, 100 << 20);
        request(&wire, "GET", "/large", NULL, 0, NULL, 0);
        nghttp2_session_set_local_window_size(wire.client, NGHTTP2_FLAG_NONE, wire.id, 100 << 20);
        pump(&wire);
        assert_int_equal(wire.body_len, consumer.large_len);
        for (i = 0; i < 2 * consumer.large_len / 4096; i++)
                frame(&wire, NGHTTP2_WINDOW_UPDATE, 0, i % 2 == 0 ? 0 : (uint32_t)wire.id, one_more, 4);
        while (take(&wire))
                ;
        assert_int_equal(wire.goaways, 0);
        for (i = 0; i < 3 * consumer.large_len / H2_UPDATE_LEN + H2_CONTROLS_BURST; i++)
                frame(&wire, NGHTTP2_WINDOW_UPDATE, 0, i % 2 == 0 ? 0 : (uint32_t)wire.id, one_more, 4);
        while (take(&wire))
                ;
        assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        wire_fini(&wire);
}

/* A drain's PING is answered once; answers to nothing are counted, while a connection drains and before. */
static void test_ping_answers(void **state)
{
        static const uint8_t zeros[8], draining[] = "draining";
        struct wire wire;
        bool drains;
        int i;

        (void)state;
        for (drains = false;; drains = true) {
                wire_init(&wire);
                consumer.is_quiet = true;
                request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
                pump(&wire);
                if (drains) {
                        wire.carrier->ops->drain(wire.carrier);
                        assert_true(take(&wire));
                        frame(&wire, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, zeros, 8);
                        while (take(&wire))
                                ;
                        assert_int_equal(wire.goaways, 1);
                        frame(&wire, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, draining, 8);
                        while (take(&wire))
                                ;
                        assert_int_equal(wire.goaways, 2);
                }
                for (i = 0; i < H2_CONTROLS_BURST - 10; i++)
                        frame(&wire, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, draining, 8);
                while (take(&wire))
                        ;
                assert_int_equal(wire.goaways, drains ? 2 : 0);
                for (i = 0; i < 20; i++)
                        frame(&wire, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, draining, 8);
                while (take(&wire))
                        ;
                assert_int_equal(wire.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
                assert_true(wire.carrier->ops->is_finished(wire.carrier));
                wire_fini(&wire);
                if (drains) return;
        }
}

/* Drain: GOAWAY with the greatest id and a PING, then with the last id; what runs is finished, then the connection. */
static void test_drain(void **state)
{
        struct response response = {.status = 200};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        request(&wire, "GET", "/hold", NULL, 0, NULL, 0);
        pump(&wire);
        wire.carrier->ops->drain(wire.carrier);
        assert_true(take(&wire));
        assert_int_equal(wire.goaways, 1);
        assert_int_equal(wire.goaway_id, INT32_MAX);
        assert_int_equal(wire.goaway_code, NGHTTP2_NO_ERROR);
        pump(&wire);
        assert_int_equal(wire.goaways, 2);
        assert_int_equal(wire.goaway_id, wire.id);
        assert_false(wire.carrier->ops->is_finished(wire.carrier));
        exchange_respond(consumer.held, &response);
        pump(&wire);
        assert_int_equal(wire.status, 200);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* What is not HTTP/2 ends the connection, and what follows is ignored. */
static void test_garbage(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        give(&wire, (const uint8_t *)"GET / HTTP/1.1\r\nhost: here\r\n\r\n", 30);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        give(&wire, (const uint8_t *)"more", 4);
        while (take(&wire))
                ;
        wire_fini(&wire);

        wire_init(&wire);
        pump(&wire);
        frame(&wire, NGHTTP2_DATA, 0, 0, "x", 1); /* DATA on stream 0: PROTOCOL_ERROR */
        while (take(&wire))
                ;
        assert_int_equal(wire.goaway_code, NGHTTP2_PROTOCOL_ERROR);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* Whichever allocation fails, the exchange ends in order or the connection does, and nothing leaks. */
static void test_no_memory(void **state)
{
        unsigned long n;
        bool is_whole = false;

        (void)state;
        for (n = 1; !is_whole; n++) {
                struct wire wire;

                consumer.is_quiet = true;
                heap_fail_at(n);
                wire_init(&wire);
                if (wire.carrier != NULL) {
                        request(&wire, "POST", "/echo", NULL, 0, "hello", 5);
                        pump(&wire);
                        request(&wire, "GET", "/feed", NULL, 0, NULL, 0);
                        pump(&wire);
                        if (consumer.held != NULL) exchange_write(consumer.held, BYTES("part"));
                        if (consumer.held != NULL) exchange_finish(consumer.held, NULL, 0);
                        pump(&wire);
                }
                is_whole = heap_count() < n;
                heap_fail_at(0);
                if (is_whole) assert_int_equal(wire.closed, 2);
                wire_fini(&wire);
                assert_true(n < 10000);
        }
        assert_true(n > 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_echo_at_every_split),
                cmocka_unit_test(test_header_values),
                cmocka_unit_test(test_malformed_field_resets),
                cmocka_unit_test(test_large_head),
                cmocka_unit_test(test_early_answer),
                cmocka_unit_test(test_vain_upload),
                cmocka_unit_test(test_owed_body),
                cmocka_unit_test(test_window_is_the_consumers),
                cmocka_unit_test(test_dead_streams_return_credit),
                cmocka_unit_test(test_large_reply_in_small_outputs),
                cmocka_unit_test(test_stalled_reply),
                cmocka_unit_test(test_slow_body),
                cmocka_unit_test(test_answered_upload),
                cmocka_unit_test(test_answer_not_taken),
                cmocka_unit_test(test_busy_host),
                cmocka_unit_test(test_answers_wait_for_their_reader),
                cmocka_unit_test(test_end_while_requests_wait),
                cmocka_unit_test(test_greeting),
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_busy_buffers),
                cmocka_unit_test(test_answers_without_body),
                cmocka_unit_test(test_continue),
                cmocka_unit_test(test_resets),
                cmocka_unit_test(test_floods),
                cmocka_unit_test(test_stream_limit),
                cmocka_unit_test(test_unknown_frames),
                cmocka_unit_test(test_request_trailers),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_pings),
                cmocka_unit_test(test_ping_answers),
                cmocka_unit_test(test_idle_frames),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
