#include "rpc/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rpc/grpc_codec.h"

#define METADATA_MAX      16 /* the tools send at most three */
#define FIELDS_MAX        (8 + METADATA_MAX)
#define STREAM_WINDOW     (1 << 20) /* bytes a server may send before we read them: one read call's worth of list pages */
#define CONNECTION_WINDOW (4 << 20)
#define RECEIVE_SIZE      65536

struct client {
        int fd;
        nghttp2_session *session;
        char authority[256];
        char why[CLIENT_WHY_SIZE];
        bool is_broken; /* the connection is of no use any more; `why` says it */
        struct client_call *calls;
        bool (*is_stopped)(void); /* client_stop_on_signal's */
};

/* A message that has arrived and was not yet received. */
struct client_message {
        struct client_message *next;
        struct bytes data;
};

struct client_call {
        struct client *client;
        struct client_call *next;
        struct arena *arena;
        int32_t stream_id;
        int64_t deadline_ns; /* 0: none */

        /* sending: one message at a time */
        struct bytes sending;
        size_t sent;
        uint8_t prefix[GRPC_PREFIX_LEN];
        bool is_last; /* half-close behind it */
        bool is_half_closed;
        bool is_deferred; /* nghttp2 waits for nghttp2_session_resume_data */

        /* receiving */
        struct grpc_frame_reader reader;
        struct client_message *first, **last;
        client_take_fn *take; /* NULL: messages are kept until client_receive */
        void *take_context;
        struct arena_mark mark;
        struct client_status status;
        bool has_status; /* grpc-status was seen */
        bool is_closed;
        int http_status;
        enum result failure; /* R_OK while there is none */
};

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t deadline_in(int64_t timeout_ms)
{
        return timeout_ms > 0 ? now_ns() + timeout_ms * 1000000 : 0;
}

static void vsay(struct client *client, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static void say(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum result broken(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Why a call failed; why the connection did, which came first, stays. */
static void vsay(struct client *client, const char *format, va_list args)
{
        if (!client->is_broken) vsnprintf(client->why, sizeof client->why, format, args);
}

static void say(struct client *client, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsay(client, format, args);
        va_end(args);
}

static enum result broken(struct client *client, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsay(client, format, args);
        va_end(args);
        client->is_broken = true;
        return R_IO;
}

/* ---- Connecting ---- */

/* R_CANCELED: a signal came, and is_stopped (which may be NULL) says that it matters. */
static enum result wait_for(int fd, short events, int64_t deadline_ns, bool (*is_stopped)(void))
{
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int64_t left_ms = -1;
        int ready;

        for (;;) {
                if (deadline_ns != 0) {
                        int64_t left_ns = deadline_ns - now_ns();

                        if (left_ns <= 0) return R_DEADLINE;
                        left_ms = left_ns / 1000000 + 1;
                        if (left_ms > 3600000) left_ms = 3600000;
                }
                ready = poll(&poll_fd, 1, (int)left_ms);
                if (ready > 0) return R_OK;
                if (ready < 0 && errno != EINTR) return R_IO;
                if (ready < 0 && is_stopped != NULL && is_stopped()) return R_CANCELED;
        }
}

static enum result connect_socket(int family, const struct sockaddr *address, socklen_t len, int64_t deadline_ns,
                                  int *out)
{
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int failure = 0;
        socklen_t failure_len = sizeof failure;
        enum result r;

        if (fd < 0) return R_IO;
        if (connect(fd, address, len) == 0) {
                *out = fd;
                return R_OK;
        }
        r = R_IO;
        if (errno == EINPROGRESS) {
                r = wait_for(fd, POLLOUT, deadline_ns, NULL);
                if (r == R_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_len) == 0 && failure == 0) {
                        *out = fd;
                        return R_OK;
                }
                if (r == R_OK) {
                        errno = failure;
                        r = R_IO;
                }
        }
        failure = errno;
        close(fd);
        errno = failure;
        return r;
}

/* sun_path holds 107 characters; a longer path is reached through its directory's descriptor. */
static enum result connect_unix(const char *path, int64_t deadline_ns, int *out)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *name = strrchr(path, '/');
        enum result r;
        char *dir;
        int dir_fd, len, saved;

        if (strlen(path) < sizeof address.sun_path) {
                memcpy(address.sun_path, path, strlen(path) + 1);
                return connect_socket(AF_UNIX, (struct sockaddr *)&address, sizeof address, deadline_ns, out);
        }
        dir = name == NULL ? NULL : strndup(path, (size_t)(name - path));
        if (dir == NULL) {
                errno = ENAMETOOLONG;
                return R_IO;
        }
        dir_fd = open(dir[0] == '\0' ? "/" : dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        free(dir);
        if (dir_fd < 0) return R_IO;
        len = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d%s", dir_fd, name);
        errno = ENAMETOOLONG;
        r = R_IO;
        if (len > 0 && (size_t)len < sizeof address.sun_path)
                r = connect_socket(AF_UNIX, (struct sockaddr *)&address, sizeof address, deadline_ns, out);
        saved = errno;
        close(dir_fd);
        errno = saved;
        return r;
}

/* Takes "HOST:PORT" and "[::1]:PORT" apart. */
static bool split_address(const char *address, char *host, size_t host_size, const char **port)
{
        const char *colon = strrchr(address, ':');
        const char *start = address;
        const char *end = colon;

        if (colon == NULL || colon == address || colon[1] == '\0') return false;
        if (address[0] == '[') {
                if (colon[-1] != ']') return false;
                start++;
                end--;
        }
        if (end <= start || (size_t)(end - start) >= host_size) return false;
        memcpy(host, start, (size_t)(end - start));
        host[end - start] = '\0';
        *port = colon + 1;
        return true;
}

static enum result connect_tcp(const char *address, int64_t deadline_ns, int *out)
{
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        struct addrinfo *found, *each;
        char host[256];
        const char *port;
        enum result r = R_IO;
        int on = 1;

        if (!split_address(address, host, sizeof host, &port)) return R_BAD_ARGUMENT;
        if (getaddrinfo(host, port, &hints, &found) != 0) return R_BAD_ARGUMENT;
        for (each = found; each != NULL && r == R_IO; each = each->ai_next)
                r = connect_socket(each->ai_family, each->ai_addr, each->ai_addrlen, deadline_ns, out);
        freeaddrinfo(found);
        if (r == R_OK) (void)setsockopt(*out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return r;
}

/* ---- nghttp2's callbacks: they record, and pump sends ---- */

static struct client_call *call_of(nghttp2_session *session, int32_t stream_id)
{
        return nghttp2_session_get_stream_user_data(session, stream_id);
}

static struct bytes keep(struct client_call *call, const uint8_t *data, size_t len)
{
        struct bytes copy = arena_dup(call->arena, bytes_of(data, len));

        if (copy.data == NULL) call->failure = R_NO_MEMORY;
        return copy;
}

static uint32_t parse_number(const uint8_t *data, size_t len)
{
        uint32_t number = 0;

        if (len == 0 || len > 3) return UINT32_MAX;
        for (size_t i = 0; i < len; i++) {
                if (data[i] < '0' || data[i] > '9') return UINT32_MAX;
                number = number * 10 + (uint32_t)(data[i] - '0');
        }
        return number;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
        struct client_call *call = call_of(session, frame->hd.stream_id);
        struct bytes field = bytes_of(name, name_len);
        struct bytes rest = bytes_of(value, value_len);

        (void)flags;
        (void)user_data;
        if (call == NULL) return 0;
        if (bytes_equal(field, BYTES(":status"))) {
                call->http_status = (int)parse_number(value, value_len);
        } else if (bytes_equal(field, BYTES("grpc-status"))) {
                call->status.code = parse_number(value, value_len);
                call->has_status = true;
        } else if (bytes_equal(field, BYTES("grpc-message"))) {
                call->status.message = grpc_message_decode(call->arena, keep(call, value, value_len));
                if (call->status.message.data == NULL) call->failure = R_NO_MEMORY;
        } else if (bytes_equal(field, BYTES("grpc-status-details-bin"))) {
                if (grpc_bin_next(call->arena, &rest, &call->status.details) == R_NO_MEMORY)
                        call->failure = R_NO_MEMORY;
        }
        return 0;
}

/* Whoever takes it keeps nothing of it. */
static void give_message(struct client_call *call, struct bytes data)
{
        call->failure = call->take(call->take_context, data);
        if (grpc_frame_is_whole(&call->reader)) arena_reset(call->arena, call->mark);
}

static void add_message(struct client_call *call, struct bytes data)
{
        struct client_message *message = arena_alloc(call->arena, sizeof *message);

        if (message == NULL) {
                call->failure = R_NO_MEMORY;
                return;
        }
        message->next = NULL;
        message->data = keep(call, data.data, data.len);
        *call->last = message;
        call->last = &message->next;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
                   void *user_data)
{
        struct client_call *call = call_of(session, stream_id);
        struct bytes in = bytes_of(data, len);
        struct bytes message;

        (void)flags;
        (void)user_data;
        while (call != NULL && call->failure == R_OK) {
                switch (grpc_frame_feed(&call->reader, &in, &message)) {
                case GRPC_FRAME_MESSAGE:
                        if (call->take != NULL)
                                give_message(call, message);
                        else
                                add_message(call, message);
                        continue;
                case GRPC_FRAME_MORE:
                        return 0;
                case GRPC_FRAME_NO_MEMORY:
                        call->failure = R_NO_MEMORY;
                        return 0;
                default:
                        call->failure = broken(call->client, "The server sent a frame that is no gRPC message.");
                        return 0;
                }
        }
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data)
{
        struct client_call *call = call_of(session, stream_id);

        (void)user_data;
        if (call == NULL) return 0;
        call->is_closed = true;
        if (!call->has_status && call->failure == R_OK) {
                call->failure = R_IO;
                say(call->client, "The server ended the call without a gRPC status (HTTP %d, %s).", call->http_status,
                    nghttp2_http2_strerror(error_code));
        }
        return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t size,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user_data)
{
        struct client_call *call = source->ptr;
        size_t total = GRPC_PREFIX_LEN + call->sending.len;
        size_t written = 0;

        (void)session;
        (void)stream_id;
        (void)user_data;
        if (call->sending.data == NULL) {
                if (call->is_last) {
                        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
                        return 0;
                }
                call->is_deferred = true;
                return NGHTTP2_ERR_DEFERRED;
        }
        while (written < size && call->sent < total) {
                const uint8_t *from = call->sent < GRPC_PREFIX_LEN
                                              ? call->prefix + call->sent
                                              : call->sending.data + (call->sent - GRPC_PREFIX_LEN);
                size_t left = call->sent < GRPC_PREFIX_LEN ? GRPC_PREFIX_LEN - call->sent : total - call->sent;
                size_t len = left < size - written ? left : size - written;

                memcpy(buffer + written, from, len);
                written += len;
                call->sent += len;
        }
        if (call->sent == total) {
                call->sending = (struct bytes){0};
                if (call->is_last) *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        }
        return (ssize_t)written;
}

/* ---- Moving bytes ---- */

/* What had come before the server closed the connection. It may hold answers. */
static void take_rest(struct client *client)
{
        uint8_t buffer[RECEIVE_SIZE];
        ssize_t len;

        do {
                len = recv(client->fd, buffer, sizeof buffer, 0);
                if (len > 0 && nghttp2_session_mem_recv(client->session, buffer, (size_t)len) < 0) return;
        } while (len > 0 || (len < 0 && errno == EINTR));
}

static enum result send_failed(struct client *client)
{
        int error = errno;

        take_rest(client);
        return broken(client, "The connection broke: %s.", strerror(error));
}

static enum result send_pending(struct client *client, int64_t deadline_ns)
{
        const uint8_t *data;
        ssize_t len, sent;
        enum result r;

        while ((len = nghttp2_session_mem_send(client->session, &data)) > 0) {
                while (len > 0) {
                        sent = send(client->fd, data, (size_t)len, MSG_NOSIGNAL);
                        if (sent > 0) {
                                data += sent;
                                len -= sent;
                                continue;
                        }
                        if (errno == EINTR) continue;
                        if (errno != EAGAIN) return send_failed(client);
                        r = wait_for(client->fd, POLLOUT, deadline_ns, client->is_stopped);
                        /* Half a frame is out: the connection cannot be used after this. */
                        if (r == R_DEADLINE) (void)broken(client, "The server took no more bytes in time.");
                        if (r != R_OK) return r;
                }
        }
        if (len < 0) return broken(client, "HTTP/2 failed: %s.", nghttp2_strerror((int)len));
        return R_OK;
}

/* One turn: send what is pending, wait, take what came. */
static enum result pump(struct client *client, int64_t deadline_ns)
{
        uint8_t buffer[RECEIVE_SIZE];
        ssize_t len;
        enum result r;

        if (client->is_broken) return R_IO;
        r = send_pending(client, deadline_ns);
        if (r == R_OK) r = wait_for(client->fd, POLLIN, deadline_ns, client->is_stopped);
        if (r != R_OK) return r;
        len = recv(client->fd, buffer, sizeof buffer, 0);
        if (len < 0 && (errno == EAGAIN || errno == EINTR)) return R_OK;
        if (len < 0) return broken(client, "The connection broke: %s.", strerror(errno));
        if (len == 0) return broken(client, "The server closed the connection.");
        len = nghttp2_session_mem_recv(client->session, buffer, (size_t)len);
        if (len < 0) return broken(client, "HTTP/2 failed: %s.", nghttp2_strerror((int)len));
        return send_pending(client, deadline_ns);
}

static enum result start_session(struct client *client)
{
        nghttp2_settings_entry settings[] = {
                {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        };
        nghttp2_session_callbacks *callbacks;
        int failure;

        if (nghttp2_session_callbacks_new(&callbacks) != 0) return R_NO_MEMORY;
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        failure = nghttp2_session_client_new(&client->session, callbacks, client);
        nghttp2_session_callbacks_del(callbacks);
        if (failure != 0) return R_NO_MEMORY;
        if (nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, 2) != 0) return R_NO_MEMORY;
        if (nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
                return R_NO_MEMORY;
        return R_OK;
}

enum result client_open(const char *address, int64_t timeout_ms, struct client **out, char why[CLIENT_WHY_SIZE])
{
        struct client *client = calloc(1, sizeof *client);
        bool is_unix = strncmp(address, "unix:", 5) == 0;
        int64_t deadline_ns = deadline_in(timeout_ms);
        enum result r;

        if (client == NULL) {
                snprintf(why, CLIENT_WHY_SIZE, "Out of memory.");
                return R_NO_MEMORY;
        }
        client->fd = -1;
        snprintf(client->authority, sizeof client->authority, "%s", is_unix ? "localhost" : address);
        r = is_unix ? connect_unix(address + 5, deadline_ns, &client->fd)
                    : connect_tcp(address, deadline_ns, &client->fd);
        if (r == R_BAD_ARGUMENT)
                snprintf(why, CLIENT_WHY_SIZE, "%s is no address: HOST:PORT or unix:PATH is wanted.", address);
        else if (r == R_DEADLINE)
                snprintf(why, CLIENT_WHY_SIZE, "Cannot connect to %s: no answer in time.", address);
        else if (r != R_OK)
                snprintf(why, CLIENT_WHY_SIZE, "Cannot connect to %s: %s.", address, strerror(errno));
        if (r == R_OK && (r = start_session(client)) != R_OK) snprintf(why, CLIENT_WHY_SIZE, "Out of memory.");
        if (r != R_OK) {
                client_close(client);
                return r;
        }
        *out = client;
        return R_OK;
}

void client_close(struct client *client)
{
        if (client == NULL) return;
        while (client->calls != NULL)
                client_finish(client->calls);
        if (client->session != NULL) nghttp2_session_del(client->session);
        if (client->fd >= 0) close(client->fd);
        free(client);
}

void client_stop_on_signal(struct client *client, bool (*is_stopped)(void))
{
        client->is_stopped = is_stopped;
}

const char *client_why(const struct client *client)
{
        return client->why;
}

/* ---- Calls ---- */

static nghttp2_nv pair(struct bytes name, struct bytes value)
{
        return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

enum result client_start(struct client *client, const char *path, const struct field *metadata, size_t metadata_count,
                         int64_t timeout_ms, struct arena *arena, struct client_call **out)
{
        nghttp2_nv fields[FIELDS_MAX];
        nghttp2_data_provider provider = {.read_callback = read_body};
        char timeout[GRPC_TIMEOUT_SIZE];
        struct client_call *call;
        size_t count = 0;

        if (client->is_broken) return R_IO;
        if (metadata_count > METADATA_MAX) return R_TOO_LARGE;
        call = calloc(1, sizeof *call);
        if (call == NULL) return R_NO_MEMORY;
        call->client = client;
        call->arena = arena;
        call->last = &call->first;
        call->deadline_ns = deadline_in(timeout_ms);
        grpc_frame_reader_init(&call->reader, arena, CLIENT_MESSAGE_MAX);

        fields[count++] = pair(BYTES(":method"), BYTES("POST"));
        fields[count++] = pair(BYTES(":scheme"), BYTES("http"));
        fields[count++] = pair(BYTES(":path"), bytes_of_text(path));
        fields[count++] = pair(BYTES(":authority"), bytes_of_text(client->authority));
        fields[count++] = pair(BYTES("content-type"), BYTES("application/grpc"));
        fields[count++] = pair(BYTES("te"), BYTES("trailers"));
        fields[count++] = pair(BYTES("user-agent"), BYTES("allod"));
        if (timeout_ms > 0) {
                grpc_timeout_format(timeout_ms * 1000000, timeout);
                fields[count++] = pair(BYTES("grpc-timeout"), bytes_of_text(timeout));
        }
        for (size_t i = 0; i < metadata_count; i++)
                fields[count++] = pair(metadata[i].name, metadata[i].value);
        provider.source.ptr = call;
        call->stream_id = nghttp2_submit_request(client->session, NULL, fields, count, &provider, call);
        if (call->stream_id < 0) {
                free(call);
                return R_NO_MEMORY;
        }
        call->next = client->calls;
        client->calls = call;
        *out = call;
        return R_OK;
}

enum result client_send(struct client_call *call, struct bytes message, bool is_last)
{
        enum result r = R_OK;

        if (call->is_half_closed || message.len > UINT32_MAX) return R_WRONG_STATE;
        grpc_prefix_write(call->prefix, message.len);
        /* An empty message still has its prefix; data tells "one to send" from "none". */
        call->sending = (struct bytes){message.len == 0 ? call->prefix : message.data, message.len};
        call->sent = 0;
        call->is_last = is_last;
        call->is_half_closed = is_last;
        if (call->is_deferred) {
                call->is_deferred = false;
                if (nghttp2_session_resume_data(call->client->session, call->stream_id) != 0 && !call->is_closed)
                        return R_NO_MEMORY;
        }
        r = send_pending(call->client, call->deadline_ns);
        while (r == R_OK && call->sending.data != NULL && !client_is_answered(call))
                r = pump(call->client, call->deadline_ns);
        return r;
}

bool client_is_answered(const struct client_call *call)
{
        return call->is_closed || call->has_status || call->failure != R_OK;
}

enum result client_receive(struct client_call *call, struct bytes *message, struct client_status *status)
{
        enum result r = R_OK;

        while (call->first == NULL && !call->is_closed && call->failure == R_OK && r == R_OK)
                r = pump(call->client, call->deadline_ns);
        if (call->failure == R_NO_MEMORY) return R_NO_MEMORY;
        if (call->first != NULL) {
                *message = call->first->data;
                call->first = call->first->next;
                if (call->first == NULL) call->last = &call->first;
                return R_OK;
        }
        if (call->has_status && call->is_closed) {
                *status = call->status;
                return R_ABSENT;
        }
        return r != R_OK ? r : call->failure;
}

enum result client_receive_all(struct client_call *call, client_take_fn *take, void *context,
                               struct client_status *status)
{
        enum result r = R_OK;

        call->take = take;
        call->take_context = context;
        call->mark = arena_mark(call->arena);
        while (!call->is_closed && call->failure == R_OK && r == R_OK)
                r = pump(call->client, call->deadline_ns);
        if (call->failure != R_OK) return call->failure;
        if (!call->has_status || !call->is_closed) return r;
        *status = call->status;
        return R_ABSENT;
}

void client_finish(struct client_call *call)
{
        struct client_call **link;

        if (call == NULL) return;
        for (link = &call->client->calls; *link != call; link = &(*link)->next)
                continue;
        *link = call->next;
        if (!call->is_closed) {
                (void)nghttp2_session_set_stream_user_data(call->client->session, call->stream_id, NULL);
                (void)nghttp2_submit_rst_stream(call->client->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                                NGHTTP2_CANCEL);
                if (!call->client->is_broken) (void)send_pending(call->client, deadline_in(1000));
        }
        free(call);
}

enum result client_unary(struct client *client, const char *path, const struct field *metadata, size_t metadata_count,
                         struct bytes request, int64_t timeout_ms, struct arena *arena, struct client_status *status,
                         struct bytes *reply)
{
        struct client_call *call;
        struct bytes message = {0}, extra;
        enum result r;

        r = client_start(client, path, metadata, metadata_count, timeout_ms, arena, &call);
        if (r != R_OK) return r;
        r = client_send(call, request, true);
        if (r == R_OK) r = client_receive(call, &message, status);
        if (r == R_OK) {
                r = client_receive(call, &extra, status);
                if (r == R_OK) r = broken(client, "The server sent two messages for a unary call.");
        }
        if (r == R_ABSENT) {
                *reply = message;
                r = R_OK;
        }
        client_finish(call);
        return r;
}
