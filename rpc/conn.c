#include "rpc/conn.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/require.h"
#include "rpc/carrier.h"
#include "rpc/h1.h"
#include "rpc/log.h"
#include "rpc/tls.h"

#define NS_PER_MS 1000000

enum conn_state {
        CONN_OPEN,
        CONN_LINGERING,
        CONN_CLOSED
};

/* Whether the peer keeps a pace: in each span so many bytes must move. */
struct pace {
        enum pace_of {
                PACE_OF_NONE,
                PACE_OF_BODY,
                PACE_OF_SENDING
        } of;
        int64_t since_ns;     /* the span's beginning */
        uint64_t since_bytes; /* what had moved then */
        int64_t moved_ns;     /* when it was last seen that any had */
        uint64_t moved_bytes;
};

struct conn {
        struct loop *loop;
        struct completion arrival;
        struct conn *next, *previous;
        struct conn *next_dirty;
        bool is_dirty; /* on the loop's list */
        enum conn_state state;

        /* socket */
        int fd;
        int events; /* what is polled for */
        uv_poll_t poll;
        struct peer peer;
        bool has_eof; /* the peer will send no more */

        /* encryption */
        struct tls_context *tls_context; /* until it has arrived */
        struct tls *tls;                 /* NULL: none */

        /* bytes */
        struct carrier *carrier;         /* NULL until the first bytes have chosen */
        uint8_t preface[H2_PREFACE_LEN]; /* they, until then */
        size_t preface_len;
        uint8_t *unsent; /* what the socket did not take; NULL: nothing */
        size_t unsent_len, unsent_start;
        struct backlog_seat seat; /* among those in which something waits */

        /* patience */
        int64_t read_ns;                    /* last time that bytes came */
        uint64_t read_total, written_total; /* bytes, from and to the socket */
        int64_t phase_ns;                   /* since when the phase lasts */
        struct pace pace;
        enum carrier_phase phase;
        uint64_t progress; /* the carrier's, when the phase was looked at */
        int64_t end_ns;    /* when it is old enough to be asked to end; then, since when it is */
        bool is_draining;  /* it was asked to */
};

/* ---- Closing ---- */

static void end(struct conn *conn)
{
        struct loop *loop = conn->loop;

        close(conn->fd);
        if (conn->peer.address != ADDRESS_NONE) addresses_leave(&loop->host.commons->addresses, conn->peer.address);
        free(conn);
        atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
}

static void on_close_cb(uv_handle_t *handle)
{
        end(handle->data);
}

static void drop_unsent(struct conn *conn)
{
        free(conn->unsent);
        conn->unsent = NULL;
        backlog_leave(&conn->loop->backlog, &conn->seat);
}

static void conn_close(struct conn *conn)
{
        struct loop *loop = conn->loop;
        struct conn **link;

        if (conn->state == CONN_CLOSED) return;
        conn->state = CONN_CLOSED;
        if (conn->carrier != NULL) conn->carrier->ops->free(conn->carrier);
        conn->carrier = NULL;
        if (conn->tls != NULL) loop->records.len = 0; /* nobody else's */
        tls_free(conn->tls);
        conn->tls = NULL;
        drop_unsent(conn);
        if (conn->is_dirty) {
                for (link = &loop->dirty; *link != conn; link = &(*link)->next_dirty)
                        ;
                *link = conn->next_dirty;
        }
        if (conn->previous != NULL)
                conn->previous->next = conn->next;
        else
                loop->conns = conn->next;
        if (conn->next != NULL) conn->next->previous = conn->previous;
        host_count(&loop->host.counters.connections_open, -1);
        uv_close((uv_handle_t *)&conn->poll, on_close_cb);
}

static void log_end_of(struct conn *conn, const char *why)
{
        struct log_line line;

        log_begin(&line, conn->loop->host.log, LOG_WARN, "connection-ended");
        log_text(&line, "peer", conn->peer.text);
        log_text(&line, "why", why);
        log_end(&line);
}

/* ---- Writing ---- */

static const char no_room[] = "the system has no room to wait for it";

static void on_poll_cb(uv_poll_t *handle, int status, int events);

/* Poll for what can be done now. */
static void update_events(struct conn *conn)
{
        int events = 0;

        if (conn->state == CONN_CLOSED) return;
        if (conn->unsent != NULL)
                events = UV_WRITABLE;
        else if (!conn->has_eof && (conn->state == CONN_LINGERING || conn->carrier == NULL ||
                                    conn->carrier->ops->wants_read(conn->carrier)))
                events = UV_READABLE;
        if (events == conn->events) return;
        conn->events = events;
        if (events == 0) {
                uv_poll_stop(&conn->poll);
        } else if (loop_poll(conn->loop, &conn->poll, conn->fd, events, on_poll_cb) != R_OK) {
                log_end_of(conn, no_room);
                conn_close(conn);
        }
}

/* R_OK, and how much the socket took; R_IO: it is broken. */
static enum result socket_write(struct conn *conn, struct bytes bytes, size_t *taken)
{
        ssize_t n;

        do
                n = send(conn->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return R_IO;
        *taken = n < 0 ? 0 : (size_t)n;
        conn->written_total += *taken;
        return R_OK;
}

static enum result write_unsent(struct conn *conn)
{
        size_t taken;

        if (conn->unsent == NULL) return R_OK;
        if (socket_write(conn, bytes_of(conn->unsent + conn->unsent_start, conn->unsent_len - conn->unsent_start),
                         &taken) != R_OK)
                return R_IO;
        conn->unsent_start += taken;
        if (conn->unsent_start == conn->unsent_len) drop_unsent(conn);
        return R_OK;
}

/* The operator is not counted out. */
static bool is_counted(const struct conn *conn)
{
        return conn->peer.plane != PLANE_ADMIN;
}

static enum result write_new(struct conn *conn, struct bytes bytes)
{
        size_t taken;

        if (socket_write(conn, bytes, &taken) != R_OK) return R_IO;
        if (taken == bytes.len) return R_OK;
        conn->unsent_start = 0;
        conn->unsent_len = bytes.len - taken;
        conn->unsent = malloc(conn->unsent_len);
        if (conn->unsent == NULL) return R_NO_MEMORY;
        memcpy(conn->unsent, bytes.data + taken, conn->unsent_len);
        if (is_counted(conn)) backlog_enter(&conn->loop->backlog, &conn->seat, conn->peer.address, conn->unsent_len);
        return R_OK;
}

/* As records, behind those that reading has left. */
static enum result encrypt(struct conn *conn, struct bytes *bytes)
{
        struct output *records = &conn->loop->records;
        enum result r = tls_write(conn->tls, *bytes, records);

        *bytes = bytes_of(records->data, records->len);
        records->len = 0;
        return r;
}

/* What is to be sent next; empty: nothing. Valid until the next call for any connection of the loop. */
static enum result produce(struct conn *conn, struct bytes *bytes)
{
        struct output *output = &conn->loop->output;

        output->len = 0;
        if (conn->carrier != NULL) conn->carrier->ops->produce(conn->carrier, output);
        *bytes = bytes_of(output->data, output->len);
        return conn->tls == NULL ? R_OK : encrypt(conn, bytes);
}

/* Write until nothing is left or the socket is full. */
static enum result write_all(struct conn *conn)
{
        enum result r = write_unsent(conn);

        while (r == R_OK && conn->unsent == NULL) {
                struct bytes bytes;

                r = produce(conn, &bytes);
                if (bytes.len == 0) return r;
                if (r == R_OK) r = write_new(conn, bytes);
        }
        return r;
}

/* The notice that our side has ended, or the alert that says why. If the socket is full, the peer does without. */
static void end_tls(struct conn *conn)
{
        struct output *records = &conn->loop->records;
        size_t taken;

        tls_end(conn->tls, records);
        if (records->len > 0 && socket_write(conn, bytes_of(records->data, records->len), &taken) != R_OK)
                conn->has_eof = true;
        records->len = 0;
}

/* All is written: say so, and wait for the peer to have read it. */
static void conn_linger(struct conn *conn)
{
        if (conn->carrier != NULL && conn->carrier->complaint != NULL) log_end_of(conn, conn->carrier->complaint);
        if (conn->tls != NULL) end_tls(conn);
        if (conn->has_eof || shutdown(conn->fd, SHUT_WR) != 0) {
                conn_close(conn);
                return;
        }
        conn->state = CONN_LINGERING;
        conn->phase_ns = conn->loop->now_ns;
}

static void conn_flush(struct conn *conn)
{
        if (conn->state == CONN_OPEN && (conn->carrier != NULL || conn->tls != NULL)) {
                if (write_all(conn) != R_OK)
                        conn_close(conn);
                else if (conn->unsent == NULL && conn->carrier != NULL &&
                         conn->carrier->ops->is_finished(conn->carrier))
                        conn_linger(conn);
        }
        update_events(conn);
}

static void on_wake_cb(struct carrier *carrier)
{
        struct conn *conn = carrier->owner;

        if (conn->is_dirty) return;
        conn->is_dirty = true;
        conn->next_dirty = conn->loop->dirty;
        conn->loop->dirty = conn;
}

/* End what reads too slowly while too much waits. May end `conn` too; to be called where nobody walks the list. */
static void shed(struct conn *conn)
{
        struct backlog *backlog = &conn->loop->backlog;
        struct backlog_seat *seat;

        if (conn->unsent == NULL) return;
        while ((seat = backlog_excess(backlog, conn->peer.address)) != NULL) {
                struct conn *slow = (struct conn *)((char *)seat - offsetof(struct conn, seat));

                log_end_of(slow, "too much waits for peers, and this one has been slow for longest");
                conn_close(slow);
        }
}

void conn_flush_dirty(struct loop *loop)
{
        while (loop->dirty != NULL) {
                struct conn *conn = loop->dirty;

                loop->dirty = conn->next_dirty;
                conn->is_dirty = false;
                conn_flush(conn);
                shed(conn);
        }
}

/* ---- Reading ---- */

/* False: no memory. */
static bool choose_carrier(struct conn *conn, bool is_http2)
{
        struct host *host = &conn->loop->host;

        conn->carrier = is_http2 ? h2_new(host, &conn->peer, &conn->loop->h2_streams) : h1_new(host, &conn->peer);
        if (conn->carrier == NULL) return false;
        conn->carrier->owner = conn;
        conn->carrier->wake_cb = on_wake_cb;
        if (conn->is_draining) conn->carrier->ops->drain(conn->carrier);
        return true;
}

/* HTTP/2 begins with a line that no request of HTTP/1.1 may have (RFC 9113 section 3.4): the first byte that differs
 * decides. */
static void take_first(struct conn *conn, struct bytes bytes)
{
        static const char preface[] = H2_PREFACE;
        size_t wanted = H2_PREFACE_LEN - conn->preface_len;
        size_t len = bytes.len < wanted ? bytes.len : wanted;
        bool is_http2 = memcmp(preface + conn->preface_len, bytes.data, len) == 0;

        if (is_http2 && len < wanted) {
                memcpy(conn->preface + conn->preface_len, bytes.data, len);
                conn->preface_len += len;
                return;
        }
        if (!choose_carrier(conn, is_http2)) {
                conn_close(conn);
                return;
        }
        if (conn->preface_len > 0)
                conn->carrier->ops->receive(conn->carrier, bytes_of(conn->preface, conn->preface_len));
        conn->carrier->ops->receive(conn->carrier, bytes);
}

static void take_plain(struct conn *conn, struct bytes bytes)
{
        if (conn->carrier == NULL)
                take_first(conn, bytes);
        else
                conn->carrier->ops->receive(conn->carrier, bytes);
}

static void take_eof(struct conn *conn)
{
        conn->has_eof = true;
        if (conn->state == CONN_LINGERING || conn->carrier == NULL)
                conn_close(conn);
        else
                conn->carrier->ops->end_input(conn->carrier);
}

/* For logs and the change log: whom the certificate names, behind the address. */
static void name_client(struct conn *conn)
{
        size_t len = strlen(conn->peer.text);
        char name[PEER_SIZE];

        if (tls_peer_name(conn->tls, name, sizeof name))
                snprintf(conn->peer.text + len, sizeof conn->peer.text - len, ",cn=%s", name);
}

/* It ends without an answer to what is under way. */
static void break_tls(struct conn *conn)
{
        log_end_of(conn, tls_why(conn->tls));
        if (conn->carrier != NULL) conn->carrier->ops->free(conn->carrier);
        conn->carrier = NULL;
        conn_linger(conn);
}

static void take_encrypted(struct conn *conn, struct bytes bytes)
{
        struct loop *loop = conn->loop;
        enum result r;
        size_t len;

        do {
                r = tls_read(conn->tls, &bytes, loop->plain_buffer, READ_SIZE, &len, &loop->records);
                if (len > 0 && conn->carrier == NULL) {
                        name_client(conn);
                        if (!choose_carrier(conn, tls_is_h2(conn->tls))) conn_close(conn);
                }
                if (len > 0 && conn->carrier != NULL)
                        conn->carrier->ops->receive(conn->carrier, bytes_of(loop->plain_buffer, len));
        } while (r == R_OK && len > 0 && conn->state == CONN_OPEN);
        if (r == R_ABSENT) take_eof(conn);
        if (r == R_IO) break_tls(conn);
}

static void take(struct conn *conn, struct bytes bytes)
{
        if (conn->state == CONN_LINGERING) return;
        if (conn->tls == NULL)
                take_plain(conn, bytes);
        else
                take_encrypted(conn, bytes);
}

static void conn_read(struct conn *conn)
{
        struct loop *loop = conn->loop;
        ssize_t n;

        do
                n = read(conn->fd, loop->read_buffer, READ_SIZE);
        while (n < 0 && errno == EINTR);
        if (n > 0) {
                conn->read_ns = loop->now_ns;
                conn->read_total += (size_t)n;
                if (loop->host.view != NULL) view_expire(loop->host.view);
                take(conn, bytes_of(loop->read_buffer, (size_t)n));
        } else if (n == 0) {
                take_eof(conn);
        } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
                conn_close(conn);
        }
}

static void on_poll_cb(uv_poll_t *handle, int status, int events)
{
        struct conn *conn = handle->data;

        loop_update_time(conn->loop);
        if (status < 0) {
                conn_close(conn);
                return;
        }
        if (events & UV_READABLE) conn_read(conn);
        conn_flush(conn);
        shed(conn);
}

/* ---- Beginning ---- */

/* Takes no further requests; what has not begun has a moment to do so. */
static void conn_drain(struct conn *conn)
{
        if (conn->is_draining) return;
        conn->is_draining = true;
        conn->end_ns = conn->loop->now_ns;
        if (conn->carrier == NULL) return;
        conn->carrier->ops->drain(conn->carrier);
        conn_flush(conn);
}

/* It does not even begin. */
static void forget(struct conn *conn)
{
        tls_free(conn->tls);
        tls_context_unref(conn->tls_context);
        end(conn);
}

static void on_arrival_cb(struct completion *arrival)
{
        struct conn *conn = (struct conn *)((char *)arrival - offsetof(struct conn, arrival));
        struct loop *loop = conn->loop;

        if (conn->tls_context != NULL) conn->tls = tls_new(conn->tls_context);
        if (loop_is_ending(loop) || (conn->tls_context != NULL && conn->tls == NULL)) {
                forget(conn);
                return;
        }
        if (uv_poll_init_socket(&loop->uv, &conn->poll, conn->fd) != 0) {
                log_end_of(conn, no_room);
                forget(conn);
                return;
        }
        tls_context_unref(conn->tls_context);
        conn->tls_context = NULL;
        conn->poll.data = conn;
        conn->next = loop->conns;
        if (loop->conns != NULL) loop->conns->previous = conn;
        loop->conns = conn;
        conn->read_ns = conn->phase_ns = loop->now_ns;
        host_count(&loop->host.counters.connections_open, 1);
        host_count(&loop->host.counters.connections_accepted, 1);
        conn->end_ns = loop->now_ns + loop_next_age_ns(loop);
        if (loop->host.is_draining) conn_drain(conn); /* it had been accepted before */
        update_events(conn);
}

enum result conn_new(struct loop *loop, int fd, const struct peer *peer, struct tls_context *tls)
{
        struct conn *conn = calloc(1, sizeof *conn);

        if (conn == NULL) return R_NO_MEMORY;
        conn->loop = loop;
        conn->fd = fd;
        conn->peer = *peer;
        conn->peer.is_encrypted = tls != NULL;
        conn->tls_context = tls == NULL ? NULL : tls_context_ref(tls);
        conn->arrival.run = on_arrival_cb;
        atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);
        host_post(&loop->host, &conn->arrival);
        return R_OK;
}

/* ---- Patience ---- */

static void look_at_phase(struct conn *conn)
{
        const struct carrier *carrier = conn->carrier;
        enum carrier_phase phase = carrier == NULL ? CARRIER_GREETING : carrier->ops->phase(carrier);
        uint64_t progress = carrier == NULL ? 0 : carrier->progress;

        if (phase == conn->phase && progress == conn->progress) return;
        conn->phase = phase;
        conn->progress = progress;
        conn->phase_ns = conn->loop->now_ns;
}

/* The operator's tools may take as long as a connection may idle between two bytes: what they write to may wait for a
 * person, and what they send may wait for our disk. */
static bool is_paced(const struct conn *conn)
{
        return conn->peer.plane != PLANE_ADMIN;
}

static enum pace_of pace_of(const struct conn *conn)
{
        if (conn->state == CONN_LINGERING) return PACE_OF_NONE;
        if (conn->unsent != NULL || conn->phase == CARRIER_SENDING) return PACE_OF_SENDING;
        return conn->phase == CARRIER_BODY ? PACE_OF_BODY : PACE_OF_NONE;
}

/* Bytes that the peer has sent, or has really taken: what the kernel still holds for it is not its merit. */
static uint64_t bytes_moved(const struct conn *conn, enum pace_of of)
{
        int held = 0;

        if (of == PACE_OF_BODY) return conn->read_total;
        if (ioctl(conn->fd, SIOCOUTQ, &held) != 0 || held < 0) held = 0;
        return (uint64_t)held > conn->written_total ? 0 : conn->written_total - (uint64_t)held;
}

/* False: the peer is too slow. */
static bool look_at_pace(struct conn *conn)
{
        const struct patience *patience = &conn->loop->patience;
        struct pace *pace = &conn->pace;
        int64_t now_ns = conn->loop->now_ns;
        enum pace_of of = pace_of(conn);
        int64_t span_ms = of == PACE_OF_BODY ? patience->body_ms : patience->write_ms;
        int64_t rate = of == PACE_OF_BODY ? BODY_RATE : WRITE_RATE;
        uint64_t moved;
        uint64_t in_span;

        if (of == PACE_OF_NONE) {
                pace->of = of;
                return true;
        }
        moved = bytes_moved(conn, of);
        if (of != pace->of || conn->phase_ns == now_ns) *pace = (struct pace){of, now_ns, moved, now_ns, moved};
        if (moved > pace->moved_bytes) {
                pace->moved_bytes = moved;
                pace->moved_ns = now_ns;
        }
        if (now_ns - pace->since_ns < span_ms * NS_PER_MS) return true;
        in_span = moved > pace->since_bytes ? moved - pace->since_bytes : 0;
        pace->since_ns = now_ns;
        pace->since_bytes = moved;
        return !is_paced(conn) || in_span >= (uint64_t)(rate * span_ms / 1000);
}

/* Since when the peer owes us something, and for how long it may; 0: it owes nothing. */
static int64_t patience_ms(const struct conn *conn, int64_t *since_ns)
{
        const struct patience *patience = &conn->loop->patience;

        *since_ns = conn->phase_ns;
        if (conn->state == CONN_LINGERING) return LINGER_MS;
        if (conn->pace.of == PACE_OF_SENDING) {
                *since_ns = conn->pace.moved_ns;
                return is_paced(conn) ? patience->write_ms : H2_IDLE_MS;
        }
        if (conn->is_draining && (conn->phase == CARRIER_GREETING || conn->phase == CARRIER_IDLE)) {
                if (conn->end_ns > *since_ns) *since_ns = conn->end_ns;
                return DRAIN_GRACE_MS;
        }
        switch (conn->phase) {
        case CARRIER_GREETING:
        case CARRIER_HEAD:
                return patience->head_ms;
        case CARRIER_BODY:
                *since_ns = conn->read_ns;
                return is_paced(conn) ? patience->body_ms : H2_IDLE_MS;
        case CARRIER_IDLE:
                return patience->idle_ms != 0 ? patience->idle_ms : conn->carrier->ops->idle_ms;
        case CARRIER_SENDING:
        case CARRIER_BUSY:
                return 0;
        }
        return 0;
}

/* What the peer is to blame for. */
static void complain(struct conn *conn)
{
        static const char *const complaints[] = {
                [CARRIER_GREETING] = "no request in time",
                [CARRIER_HEAD] = "a head took too long",
                [CARRIER_BODY] = "a body took too long",
                [CARRIER_SENDING] = "the peer takes too little",
        };

        if (conn->pace.of == PACE_OF_SENDING)
                log_end_of(conn, complaints[CARRIER_SENDING]);
        else if (conn->phase == CARRIER_IDLE || (conn->phase == CARRIER_GREETING && conn->is_draining))
                return;
        else if (conn->tls != NULL && !tls_is_open(conn->tls))
                log_end_of(conn, "no TLS handshake in time");
        else
                log_end_of(conn, complaints[conn->phase]);
}

static void run_out_of_patience(struct conn *conn)
{
        bool is_idle = conn->state == CONN_OPEN && conn->pace.of == PACE_OF_NONE && conn->phase == CARRIER_IDLE;

        if (is_idle && !conn->is_draining) {
                conn_drain(conn); /* the polite way; a peer from whom nothing comes then is closed next time */
        } else if (is_idle) {
                conn_linger(conn);
                update_events(conn);
        } else {
                if (conn->state == CONN_OPEN) complain(conn);
                conn_close(conn);
        }
}

/* Streams of HTTP/2 whose peer is too slow; the connection may do well all the same. */
static void hurry(struct conn *conn)
{
        struct log_line line;
        size_t count;

        if (conn->carrier == NULL || conn->carrier->ops->hurry == NULL || !is_paced(conn)) return;
        count = conn->carrier->ops->hurry(conn->carrier, &conn->loop->patience);
        if (count == 0) return;
        log_begin(&line, conn->loop->host.log, LOG_WARN, "streams-ended");
        log_text(&line, "peer", conn->peer.text);
        log_text(&line, "why", "the peer is too slow");
        log_number(&line, "count", (int64_t)count);
        log_end(&line);
}

static void sweep(struct conn *conn)
{
        int64_t now_ns = conn->loop->now_ns;
        int64_t since_ns;
        int64_t patience;
        bool is_slow;

        if (conn->state == CONN_OPEN && !conn->is_draining && now_ns > conn->end_ns) {
                conn_drain(conn);
                return;
        }
        if (conn->state == CONN_OPEN) {
                hurry(conn);
                look_at_phase(conn);
        }
        is_slow = !look_at_pace(conn);
        patience = patience_ms(conn, &since_ns);
        if (is_slow || (patience > 0 && now_ns - since_ns > patience * NS_PER_MS)) run_out_of_patience(conn);
}

void conn_sweep_all(struct loop *loop)
{
        struct conn *conn;
        struct conn *next;

        for (conn = loop->conns; conn != NULL; conn = next) {
                next = conn->next;
                sweep(conn);
        }
}

void conn_drain_all(struct loop *loop)
{
        struct conn *conn;
        struct conn *next;

        for (conn = loop->conns; conn != NULL; conn = next) {
                next = conn->next;
                if (conn->state == CONN_OPEN) conn_drain(conn);
        }
}

void conn_close_all(struct loop *loop)
{
        while (loop->conns != NULL)
                conn_close(loop->conns);
}
