/* Requests as bytes, through carrier and call to a real store and back: all of a server but its sockets. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "rpc/carrier.h"
#include "rpc/grpc_codec.h"
#include "rpc/h1.h"
#include "rpc/h2.h"
#include "tests/lib/loopback.h"
#include "tests/lib/test.h"

#define BODY "{\"name\":\"a\",\"configuration\":{\"gpu_tier\":\"BASIC\"},\"workflow\":{\"model_url\":\"http://m\",}}"

static struct loopback loopback;
static struct h2_pool pool;

static int set_up(void **state)
{
        (void)state;
        loopback_init(&loopback);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        h2_pool_fini(&pool);
        loopback_fini(&loopback);
        return 0;
}

static void on_wake(struct carrier *carrier)
{
        (void)carrier;
}

/* What the server says, NUL-terminated. */
struct said {
        uint8_t data[256 * 1024]; /* frames are made only where the largest fit */
        size_t len;
};

static void take_output(struct carrier *carrier, struct said *said)
{
        struct output output;

        do {
                output = (struct output){said->data + said->len, 0, sizeof said->data - 1 - said->len};
                carrier->ops->produce(carrier, &output);
                said->len += output.len;
        } while (output.len > 0);
        said->data[said->len] = '\0';
}

/* Give it `bytes`, and wait until the writer has given back what it took. */
static void give(struct carrier *carrier, struct bytes bytes, struct said *said)
{
        if (bytes.len == 0) return;
        view_expire(loopback.host.view);
        carrier->ops->receive(carrier, bytes);
        take_output(carrier, said);
        while (loopback.host.owed > 0) {
                loopback_run_one(&loopback);
                take_output(carrier, said);
        }
}

static void start(struct carrier *carrier)
{
        assert_non_null(carrier);
        carrier->wake_cb = on_wake;
}

/* ---- HTTP/1.1 ---- */

static void test_h1(void **state)
{
        /* A create and a list, one behind the other in one packet or cut anywhere, are answered in order. */
        char request[1024];
        char expected[64];
        size_t len, cut;

        (void)state;
        len = (size_t)snprintf(request, sizeof request,
                               "POST /app HTTP/1.1\r\nHost: x\r\nx-api-key: " ANN_KEY "\r\nx-team-id: %s\r\n"
                               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n" BODY
                               "GET /app?page_size=1 HTTP/1.1\r\nHost: x\r\nX-API-Key: " EVE_KEY "\r\n\r\n",
                               loopback.team, sizeof BODY - 1);
        snprintf(expected, sizeof expected, "\"owner_team_id\":\"%s\"", loopback.team);
        for (cut = 0; cut < len; cut++) {
                struct carrier *carrier = h1_new(&loopback.host, &loopback.peer);
                static struct said said;
                const char *second;

                said.len = 0;
                start(carrier);
                give(carrier, bytes_of(request, cut), &said);
                give(carrier, bytes_of(request + cut, len - cut), &said);
                assert_int_equal(strncmp((const char *)said.data, "HTTP/1.1 201 Created\r\n", 22), 0);
                assert_non_null(strstr((const char *)said.data, expected));
                second = strstr((const char *)said.data, "HTTP/1.1 200 OK\r\n");
                assert_non_null(second);
                assert_non_null(strstr(second, "\r\n\r\n{\"data\":[],\"next_page_token\":\"\"}"));
                carrier->ops->free(carrier);
        }
}

/* ---- HTTP/2 ---- */

struct client {
        nghttp2_session *session;
        struct bytes upload;
        char fields[1024];
        uint8_t body[4096];
        size_t body_len;
        bool is_closed;
        uint32_t closed_code;
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
        struct client *client = user_data;
        size_t len = strlen(client->fields);

        (void)session;
        (void)frame;
        (void)flags;
        snprintf(client->fields + len, sizeof client->fields - len, "%.*s: %.*s\n", (int)name_len, (const char *)name,
                 (int)value_len, (const char *)value);
        return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                    void *user_data)
{
        struct client *client = user_data;

        (void)session;
        (void)flags;
        (void)id;
        assert_true(len <= sizeof client->body - client->body_len);
        memcpy(client->body + client->body_len, data, len);
        client->body_len += len;
        return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
        struct client *client = user_data;

        (void)session;
        (void)id;
        client->is_closed = true;
        client->closed_code = code;
        return 0;
}

static ssize_t read_upload(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size, uint32_t *flags,
                           nghttp2_data_source *source, void *user_data)
{
        struct client *client = user_data;

        (void)session;
        (void)id;
        (void)source;
        assert_true(client->upload.len <= size);
        memcpy(buffer, client->upload.data, client->upload.len);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)client->upload.len;
}

static nghttp2_nv header(const char *name, const char *value)
{
        return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void client_open(struct client *client, const char *path, struct bytes upload)
{
        const nghttp2_nv headers[] = {header(":method", "POST"),   header(":scheme", "http"),
                                      header(":path", path),       header(":authority", "x"),
                                      header("te", "trailers"),    header("content-type", "application/grpc"),
                                      header("x-api-key", ANN_KEY)};
        const nghttp2_data_provider provider = {.read_callback = read_upload};
        nghttp2_session_callbacks *callbacks;

        *client = (struct client){.upload = upload};
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        assert_int_equal(nghttp2_session_client_new(&client->session, callbacks, client), 0);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
        assert_true(nghttp2_submit_request(client->session, NULL, headers, sizeof headers / sizeof headers[0],
                                           &provider, NULL) > 0);
}

static size_t client_bytes(struct client *client, uint8_t *out, size_t size)
{
        const uint8_t *data;
        size_t len = 0;
        ssize_t more;

        while ((more = nghttp2_session_mem_send(client->session, &data)) > 0) {
                assert_true((size_t)more <= size - len);
                memcpy(out + len, data, (size_t)more);
                len += (size_t)more;
        }
        assert_int_equal(more, 0);
        return len;
}

/* One request, its bytes cut in two at `cut`; returns how many there were. */
static size_t ask(struct client *client, const char *path, struct bytes upload, size_t cut)
{
        struct carrier *carrier = h2_new(&loopback.host, &loopback.peer, &pool);
        static struct said said;
        uint8_t request[2048];
        size_t len;

        said.len = 0;
        start(carrier);
        client_open(client, path, upload);
        len = client_bytes(client, request, sizeof request);
        if (cut > len) cut = len;
        give(carrier, bytes_of(request, cut), &said);
        give(carrier, bytes_of(request + cut, len - cut), &said);
        assert_int_equal(nghttp2_session_mem_recv(client->session, said.data, said.len), said.len);
        if (!client->is_closed) fail_msg("cut %zu of %zu: %s", cut, len, client->fields);
        assert_int_equal(client->closed_code, 0);
        carrier->ops->free(carrier);
        nghttp2_session_del(client->session);
        return len;
}

static void test_h2_view(void **state)
{
        /* A read, its bytes cut anywhere: a message and trailers, or trailers alone. */
        static const uint8_t get[] = "\0\0\0\0\x03\x0a\x01x";
        struct client client;
        size_t len = 1;
        size_t cut;

        (void)state;
        for (cut = 0; cut < len; cut++) {
                len = ask(&client, "/allod.v1.AppService/ListApps", BYTES("\0\0\0\0\0"), cut);
                assert_string_equal(client.fields, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n");
                assert_int_equal(client.body_len, GRPC_PREFIX_LEN);
        }
        len = 1;
        for (cut = 0; cut < len; cut++) {
                len = ask(&client, "/allod.v1.AppService/GetApp", bytes_of(get, sizeof get - 1), cut);
                assert_non_null(strstr(client.fields, "\ngrpc-status: 5\ngrpc-message: App with ID 'x' not found.\n"));
                assert_int_equal(client.body_len, 0);
        }
}

static void test_h2_update(void **state)
{
        /* A write goes through the writer and comes back to its stream. */
        static const uint8_t create[] = "\0\0\0\0\x16"
                                        "\x0a\x14\x12\x01"
                                        "a\x22\x02\x08\x01\x2a\x0b\x0a\x09"
                                        "http://mm";
        struct client client;
        size_t cut;

        (void)state;
        for (cut = 0; cut < 250; cut += 50) {
                ask(&client, "/allod.v1.AppService/CreateApp", bytes_of(create, sizeof create - 1), cut);
                assert_non_null(strstr(client.fields, "grpc-status: 0\n"));
                assert_true(client.body_len > 100);
        }
}

static void test_h2_stream(void **state)
{
        /* Both messages of a stream get their answers before its trailers. */
        static const uint8_t frames[] = "\0\0\0\0\x03\x3a\x01x\0\0\0\0\x03\x3a\x01y";
        struct client client;
        size_t body_len = 0;
        size_t len = 1;
        size_t cut;

        (void)state;
        for (cut = 0; cut < len; cut++) {
                len = ask(&client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                          bytes_of(frames, sizeof frames - 1), cut);
                assert_string_equal(client.fields, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n");
                assert_true(client.body_len > GRPC_PREFIX_LEN);
                if (cut > 0) assert_int_equal(client.body_len, body_len);
                body_len = client.body_len;
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_h1, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_h2_view, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_h2_update, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_h2_stream, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
