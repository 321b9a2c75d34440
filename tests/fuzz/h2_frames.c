/*
 * A connection of HTTP/2 whose client is nghttp2's: the bytes choose what it says and when which side is heard. What
 * the server sends is never wrong, and an echo that ends well is whole.
 */
#include <nghttp2/nghttp2.h>

#include "engine/require.h"
#include "rpc/h2.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "tests/fuzz/echo.h"
#include "tests/fuzz/fuzz.h"

#define REQUESTS_MAX 64

struct request {
        size_t len, sent, got;
        int status;
        bool is_head;
};

static struct {
        nghttp2_session *session;
        struct carrier *carrier;
        struct request requests[REQUESTS_MAX];
        size_t count;
        bool is_lying; /* it has said what no client may */
} client;

/* ---- The client's callbacks ---- */

static struct request *request_of(int32_t id)
{
        return nghttp2_session_get_stream_user_data(client.session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
        struct request *request = request_of(frame->hd.stream_id);

        (void)session;
        (void)flags;
        (void)user_data;
        if (request == NULL || !bytes_equal(bytes_of(name, name_len), BYTES(":status"))) return 0;
        REQUIRE(value_len == 3 && request->status < 200);
        request->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
        return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                    void *user_data)
{
        struct request *request = request_of(id);

        (void)session;
        (void)flags;
        (void)data;
        (void)user_data;
        if (request != NULL) request->got += len;
        return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
        struct request *request = request_of(id);

        (void)session;
        (void)user_data;
        if (request == NULL || code != NGHTTP2_NO_ERROR || request->status != 200 || client.is_lying) return 0;
        /* The echo is a line and the body. */
        if (request->sent == request->len && !request->is_head) REQUIRE(request->got > request->len);
        return 0;
}

/* What nghttp2 finds wrong with what the server sent. */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user_data)
{
        (void)session;
        (void)frame;
        (void)code;
        (void)user_data;
        REQUIRE(client.is_lying);
        return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user_data)
{
        struct request *request = source->ptr;
        size_t left = request->len - request->sent;

        (void)session;
        (void)id;
        (void)user_data;
        if (len > left) len = left;
        memset(buffer, 'x', len);
        request->sent += len;
        if (request->sent == request->len) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)len;
}

static void client_open(bool is_slow)
{
        nghttp2_session_callbacks *callbacks;
        nghttp2_option *option;

        REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
        nghttp2_option_set_no_auto_window_update(option, is_slow);
        nghttp2_option_set_peer_max_concurrent_streams(option, REQUESTS_MAX);
        REQUIRE(nghttp2_session_client_new2(&client.session, callbacks, NULL, option) == 0);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        REQUIRE(nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
}

/* ---- Which side is heard ---- */

static void on_wake(struct carrier *carrier)
{
        (void)carrier;
}

static bool hear_client(void)
{
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(client.session, &data);

        REQUIRE(len >= 0);
        if (len > 0) client.carrier->ops->receive(client.carrier, bytes_of(data, (size_t)len));
        return len > 0;
}

static bool hear_server(size_t size)
{
        static uint8_t memory[WRITE_SIZE];
        struct output output = {memory, 0, size};

        client.carrier->ops->produce(client.carrier, &output);
        REQUIRE(output.len <= size);
        if (output.len > 0)
                REQUIRE(nghttp2_session_mem_recv(client.session, memory, output.len) == (ssize_t)output.len);
        return output.len > 0;
}

static void settle(void)
{
        bool is_any = true;

        for (unsigned turn = 0; is_any && turn < 10000; turn++) {
                is_any = hear_client();
                is_any |= hear_server(WRITE_SIZE);
                is_any |= echo_release();
        }
        REQUIRE(!is_any);
}

/* ---- What the client says ---- */

static nghttp2_nv nv(struct bytes name, struct bytes value)
{
        return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

static void request(struct bytes *input)
{
        static const char *const methods[] = {"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "x y"};
        static const char *const paths[] = {"/", "/e", "/h", "/g", "/n", "/p", "/r", "*"};
        uint8_t way = fuzz_byte(input);
        struct request *new = &client.requests[client.count];
        nghttp2_data_provider provider = {.source.ptr = new, .read_callback = on_read};
        bool has_body = way & 64;
        nghttp2_nv fields[5];
        size_t count = 0;

        if (client.count == REQUESTS_MAX) return;
        client.count++;
        *new = (struct request){.is_head = (way & 7) == 3};
        new->len = has_body ? (size_t)fuzz_byte(input) * fuzz_byte(input) * 2 : 0;
        fields[count++] = nv(BYTES(":method"), bytes_of_text(methods[way & 7]));
        fields[count++] = nv(BYTES(":path"), bytes_of_text(paths[way >> 3 & 7]));
        fields[count++] = nv(BYTES(":scheme"), BYTES("http"));
        fields[count++] = nv(BYTES(":authority"), BYTES("a"));
        if (way & 128) {
                uint8_t name = fuzz_byte(input);
                struct bytes value = fuzz_part(input, fuzz_byte(input));

                /* One of ours, or whatever comes. */
                fields[count++] = nv(
                        name < HEADER_COUNT ? bytes_of_text(header_names[name]) : fuzz_part(input, name % 32), value);
        }
        (void)nghttp2_submit_request(client.session, NULL, fields, count, has_body ? &provider : NULL, new);
}

/* A header block of `kib` KiB. */
static void large_request(size_t kib)
{
        static char text[1024];
        nghttp2_nv fields[68];
        size_t count = 0;

        memset(text, 'v', sizeof text);
        fields[count++] = nv(BYTES(":method"), BYTES("GET"));
        fields[count++] = nv(BYTES(":path"), BYTES("/"));
        fields[count++] = nv(BYTES(":scheme"), BYTES("http"));
        for (; kib > 0; kib--)
                fields[count++] = nv(BYTES("x"), bytes_of(text, sizeof text));
        (void)nghttp2_submit_request(client.session, NULL, fields, count, NULL, NULL);
}

static void settings(struct bytes *input)
{
        nghttp2_settings_entry entries[] = {
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, fuzz_byte(input) * 300u},
                {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, fuzz_byte(input) * 32u},
                {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384 + fuzz_byte(input) * 100u},
        };

        (void)nghttp2_submit_settings(client.session, NGHTTP2_FLAG_NONE, entries, 3);
}

/* Bytes that no session would send: from here on the client may be answered with anything. */
static void lie(struct bytes *input)
{
        struct bytes raw = fuzz_part(input, fuzz_byte(input));

        client.is_lying = true;
        client.carrier->ops->receive(client.carrier, raw);
}

static void act(struct bytes *input)
{
        uint8_t action = fuzz_byte(input);
        int32_t id = 2 * (action >> 4) + 1;

        switch (action & 15) {
        case 0:
        case 1:
        case 2:
                request(input);
                break;
        case 3:
                (void)nghttp2_submit_rst_stream(client.session, NGHTTP2_FLAG_NONE, id, 1u + fuzz_byte(input));
                break;
        case 4:
                (void)nghttp2_submit_ping(client.session, NGHTTP2_FLAG_NONE, NULL);
                break;
        case 5:
                settings(input);
                break;
        case 6:
                (void)nghttp2_submit_window_update(client.session, NGHTTP2_FLAG_NONE, id - 1, fuzz_byte(input) * 256);
                (void)nghttp2_submit_window_update(client.session, NGHTTP2_FLAG_NONE, id, fuzz_byte(input) * 256);
                break;
        case 7:
                (void)nghttp2_submit_goaway(client.session, NGHTTP2_FLAG_NONE, 0, fuzz_byte(input), NULL, 0);
                break;
        case 8:
        case 9:
                (void)hear_client();
                break;
        case 10:
        case 11:
                (void)hear_server(40000 + (size_t)fuzz_byte(input) * 100);
                break;
        case 12:
                (void)echo_release();
                break;
        case 13:
                large_request(fuzz_byte(input) % 64);
                break;
        case 14:
                client.carrier->ops->drain(client.carrier);
                break;
        default:
                lie(input);
                break;
        }
        (void)client.carrier->ops->phase(client.carrier);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        uint8_t way = fuzz_byte(&input);
        struct host host = {0};
        struct peer peer = {0};
        struct h2_pool pool = {0};

        memset(&client, 0, sizeof client);
        client.carrier = h2_new(&host, &peer, &pool);
        REQUIRE(client.carrier != NULL);
        client.carrier->wake_cb = on_wake;
        client_open(way & 1);
        while (input.len > 0)
                act(&input);
        settle();
        if (way & 2) client.carrier->ops->end_input(client.carrier);
        client.carrier->ops->free(client.carrier);
        nghttp2_session_del(client.session);
        h2_pool_fini(&pool);
        echo_reset();
        return 0;
}
