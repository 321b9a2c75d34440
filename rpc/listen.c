#include "rpc/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/require.h"
#include "rpc/conn.h"
#include "rpc/log.h"

static enum result __attribute__((format(printf, 3, 4)))
explain(char why[LISTEN_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, LISTEN_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- TCP ---- */

static bool parse_port(const char *text, uint16_t *out)
{
        unsigned port = 0;
        size_t i;

        for (i = 0; text[i] != '\0'; i++) {
                if (text[i] < '0' || text[i] > '9' || i == 5) return false;
                port = port * 10 + (unsigned)(text[i] - '0');
        }
        *out = htons((uint16_t)port);
        return i > 0 && port <= UINT16_MAX;
}

static bool parse_host(const char *host, uint16_t port, struct listen_address *out)
{
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_any};

        *out = (struct listen_address){0};
        if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
                memcpy(&out->storage, &v4, sizeof v4);
                out->len = sizeof v4;
                out->is_loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
                return true;
        }
        if (host[0] != '\0' && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) return false;
        memcpy(&out->storage, &v6, sizeof v6);
        out->len = sizeof v6;
        out->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        return true;
}

enum result listen_parse(const char *text, struct listen_address *out, char why[LISTEN_WHY_SIZE])
{
        const char *colon = strrchr(text, ':');
        bool is_bracketed = text[0] == '[';
        char host[INET6_ADDRSTRLEN + 1] = "";
        size_t len = colon == NULL ? 0 : (size_t)(colon - text);
        struct listen_address address;
        uint16_t port;

        if (is_bracketed && len > 0 && text[len - 1] == ']') {
                text++;
                len -= 2;
        } else if (is_bracketed || (len > 0 && memchr(text, ':', len) != NULL)) {
                colon = NULL;
        }
        if (colon == NULL || len >= sizeof host || !parse_port(colon + 1, &port))
                return explain(why, R_BAD_ARGUMENT,
                               "An address to listen on is ADDRESS:PORT, as in 127.0.0.1:8080 or "
                               "[::1]:8080.");
        memcpy(host, text, len);
        if ((is_bracketed && len == 0) || !parse_host(host, port, &address))
                return explain(why, R_BAD_ARGUMENT, "%.*s is not an IP address to listen on.", (int)len, text);
        *out = address;
        return R_OK;
}

static void address_text(const struct sockaddr_storage *storage, char *text, size_t size)
{
        char host[INET6_ADDRSTRLEN] = "?";

        if (storage->ss_family == AF_INET) {
                struct sockaddr_in v4;

                memcpy(&v4, storage, sizeof v4);
                inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
                snprintf(text, size, "%s:%u", host, ntohs(v4.sin_port));
        } else {
                struct sockaddr_in6 v6;

                memcpy(&v6, storage, sizeof v6);
                inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
                snprintf(text, size, "[%s]:%u", host, ntohs(v6.sin6_port));
        }
}

/* For when no descriptor is left. */
static enum result open_spare(struct listener *listener, char why[LISTEN_WHY_SIZE])
{
        listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (listener->spare_fd >= 0) return R_OK;
        return explain(why, R_IO, "Cannot open /dev/null: %s.", strerror(errno));
}

static enum result bind_tcp(int fd, const struct listen_address *address, char bound[LISTEN_TEXT_SIZE],
                            char why[LISTEN_WHY_SIZE])
{
        struct sockaddr_storage real = {0};
        socklen_t len = sizeof real;
        char text[LISTEN_TEXT_SIZE];
        int on = 1;
        int off = 0;

        address_text(&address->storage, text, sizeof text);
        /* A restart must not wait for the last run's connections to leave TIME_WAIT. */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (address->storage.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, (const struct sockaddr *)&address->storage, address->len) != 0 ||
            listen(fd, LISTEN_BACKLOG) != 0) {
                if (errno == EADDRINUSE)
                        return explain(why, R_HELD, "%s is in use by another process; choose another with --listen.",
                                       text);
                return explain(why, R_IO, "Cannot listen on %s: %s.", text, strerror(errno));
        }
        if (getsockname(fd, (struct sockaddr *)&real, &len) != 0)
                return explain(why, R_IO, "Cannot listen on %s: %s.", text, strerror(errno));
        address_text(&real, bound, LISTEN_TEXT_SIZE);
        return R_OK;
}

enum result listen_open_tcp(struct listener *listener, const struct listen_address *address,
                            char bound[LISTEN_TEXT_SIZE], char why[LISTEN_WHY_SIZE])
{
        int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        enum result r;

        *listener = (struct listener){.fd = -1, .spare_fd = -1};
        if (fd < 0) return explain(why, R_IO, "Cannot make a socket: %s.", strerror(errno));
        r = bind_tcp(fd, address, bound, why);
        if (r == R_OK) r = open_spare(listener, why);
        if (r != R_OK) {
                close(fd);
                return r;
        }
        listener->fd = fd;
        return R_OK;
}

/* ---- Unix sockets ---- */

/* Socket addresses hold 107 bytes of path. A longer one is named through a descriptor of its directory. */
static enum result name_unix(const char *path, struct sockaddr_un *out, int *dir_fd, char why[LISTEN_WHY_SIZE])
{
        const char *slash = strrchr(path, '/');
        char dir[256];
        int len;

        *out = (struct sockaddr_un){.sun_family = AF_UNIX};
        *dir_fd = -1;
        if (strlen(path) < sizeof out->sun_path) {
                memcpy(out->sun_path, path, strlen(path) + 1);
                return R_OK;
        }
        if (slash == NULL || (size_t)(slash - path) >= sizeof dir)
                return explain(why, R_BAD_ARGUMENT, "The path of the admin socket is too long: %s.", path);
        memcpy(dir, path, (size_t)(slash - path));
        dir[slash - path] = '\0';
        *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*dir_fd < 0) return explain(why, R_IO, "Cannot open %s: %s.", dir, strerror(errno));
        len = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", *dir_fd, slash + 1);
        if (len >= 0 && (size_t)len < sizeof out->sun_path) return R_OK;
        close(*dir_fd);
        return explain(why, R_BAD_ARGUMENT, "The name of the admin socket is too long: %s.", slash + 1);
}

/* Remove a socket that nobody listens on any more. */
static enum result remove_stale(int fd, const struct sockaddr_un *name, const char *path, char why[LISTEN_WHY_SIZE])
{
        struct stat stat;

        if (lstat(path, &stat) != 0) {
                if (errno == ENOENT) return R_OK;
                return explain(why, R_IO, "Cannot look at %s: %s.", path, strerror(errno));
        }
        if (!S_ISSOCK(stat.st_mode))
                return explain(why, R_HELD, "%s is there and is not a socket; choose another path with --admin.", path);
        if (connect(fd, (const struct sockaddr *)name, sizeof *name) == 0 || errno == EAGAIN)
                return explain(why, R_HELD, "%s is in use by another process; choose another path with --admin.", path);
        if (errno != ECONNREFUSED || unlink(path) != 0)
                return explain(why, R_IO, "Cannot remove the old socket %s: %s.", path, strerror(errno));
        return R_OK;
}

/* Nobody can connect before listen, and by then the mode is right. */
static enum result bind_unix(int fd, const struct sockaddr_un *name, const char *path, char why[LISTEN_WHY_SIZE])
{
        if (bind(fd, (const struct sockaddr *)name, sizeof *name) != 0)
                return explain(why, R_IO, "Cannot make the socket %s: %s.", path, strerror(errno));
        if (chmod(path, 0600) == 0 && listen(fd, LISTEN_BACKLOG) == 0) return R_OK;
        explain(why, R_IO, "Cannot listen on %s: %s.", path, strerror(errno));
        unlink(path);
        return R_IO;
}

enum result listen_open_unix(struct listener *listener, const char *path, char why[LISTEN_WHY_SIZE])
{
        struct sockaddr_un name;
        int dir_fd;
        int probe_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        enum result r = R_OK;

        *listener = (struct listener){.fd = -1, .spare_fd = -1};
        if (probe_fd < 0 || fd < 0)
                r = explain(why, R_IO, "Cannot make a socket: %s.", strerror(errno));
        else if (strlen(path) >= sizeof listener->path)
                r = explain(why, R_BAD_ARGUMENT, "The path of the admin socket is too long: %s.", path);
        if (r == R_OK) r = name_unix(path, &name, &dir_fd, why);
        if (r == R_OK) {
                r = remove_stale(probe_fd, &name, path, why);
                if (r == R_OK) r = bind_unix(fd, &name, path, why);
                if (dir_fd >= 0) close(dir_fd);
        }
        if (probe_fd >= 0) close(probe_fd);
        if (r == R_OK) {
                memcpy(listener->path, path, strlen(path) + 1);
                listener->fd = fd;
                r = open_spare(listener, why);
                if (r != R_OK) listen_stop(listener);
                return r;
        }
        if (fd >= 0) close(fd);
        return r;
}

/* ---- Accepting ---- */

static struct loop *least_loaded(const struct listener *listener, size_t *total)
{
        struct loop *least = &listener->loops[0];
        unsigned i;

        *total = 0;
        for (i = 0; i < listener->loop_count; i++) {
                struct loop *loop = &listener->loops[i];

                *total += loop_load(loop);
                if (loop_load(loop) < loop_load(least)) least = loop;
        }
        return least;
}

static void log_refusal(struct listener *listener, const char *peer, const char *why)
{
        struct host *host = &listener->loops[0].host;
        struct log_line line;

        host_count(&host->counters.connections_refused, 1);
        log_begin(&line, host->log, LOG_WARN, "connection-refused");
        log_text(&line, "peer", peer);
        log_text(&line, "why", why);
        log_end(&line);
}

/* False: this peer may not come in here. */
static bool name_peer(const struct listener *listener, int fd, const struct sockaddr_storage *address, struct peer *out)
{
        struct ucred ucred;
        socklen_t len = sizeof ucred;
        char text[LISTEN_TEXT_SIZE];

        out->plane = listener->plane;
        out->address = addresses_number(&listener->loops[0].host.commons->addresses, address);
        if (address->ss_family != AF_UNIX) {
                address_text(address, text, sizeof text);
                snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, text);
                return true;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) != 0) {
                snprintf(out->text, sizeof out->text, "unix:unknown");
                return false;
        }
        snprintf(out->text, sizeof out->text, "unix:uid=%u,pid=%d", (unsigned)ucred.uid, (int)ucred.pid);
        return ucred.uid == 0 || ucred.uid == geteuid();
}

/* All answers of a turn are one write: there is nothing that Nagle's algorithm could gather. False: the connection was
 * reset while it waited. */
static bool set_options(int fd)
{
        int unsent_max = KERNEL_UNSENT_MAX;
        int on = 1;

        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return false;
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
        return true;
}

static void take(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
        struct commons *commons = listener->loops[0].host.commons;
        size_t total;
        struct loop *loop = least_loaded(listener, &total);
        struct peer peer;
        const char *why = NULL;

        if (!name_peer(listener, fd, address, &peer))
                why = "not this server's user";
        else if (total >= commons->connections_max && address->ss_family != AF_UNIX)
                why = "too many connections";
        else if (address->ss_family != AF_UNIX && !set_options(fd))
                why = "the connection broke";
        else if (!addresses_enter(&commons->addresses, peer.address))
                why = "too many connections of this address";
        if (why == NULL && conn_new(loop, fd, &peer, listener->tls) != R_OK) {
                addresses_leave(&commons->addresses, peer.address);
                why = "no memory";
        }
        if (why == NULL) return;
        log_refusal(listener, peer.text, why);
        close(fd);
}

/* Whether accept failed for want of what all of the system shares, and would fail again at once. */
static bool is_want(int error)
{
        return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* No descriptor is left: accept and close one connection by the spare one. False: not even that is possible. */
static bool shed(struct listener *listener)
{
        bool is_possible;
        int fd;

        if (listener->spare_fd >= 0) close(listener->spare_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        is_possible = fd >= 0 || !is_want(errno);
        if (fd >= 0) {
                close(fd);
                log_refusal(listener, "unknown", "no file descriptor left");
        }
        listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return is_possible;
}

/* Up to `count` of those that wait. False: none can be accepted for now. */
static bool accept_some(struct listener *listener, int count)
{
        int i;

        for (i = 0; i < count; i++) {
                struct sockaddr_storage address = {0};
                socklen_t len = sizeof address;
                int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd >= 0)
                        take(listener, fd, &address);
                else if (is_want(errno) && !shed(listener))
                        return false;
                else if (errno == EAGAIN)
                        break; /* all are taken */
        }
        return true;
}

static void on_connection_cb(uv_poll_t *handle, int status, int events);

static void pause_accepting(struct listener *listener);

/* R_NO_MEMORY: there is no room to wait in. */
static enum result wait_for_connections(struct listener *listener)
{
        return loop_poll(&listener->loops[0], &listener->poll, listener->fd, UV_READABLE, on_connection_cb);
}

static void on_pause_over_cb(struct host_timer *timer)
{
        struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, pause));

        if (wait_for_connections(listener) != R_OK) pause_accepting(listener);
}

/* Who waits would wake the loop again and again. */
static void pause_accepting(struct listener *listener)
{
        struct host *host = &listener->loops[0].host;

        uv_poll_stop(&listener->poll);
        listener->pause.fire_cb = on_pause_over_cb;
        host_timer_set(host, &listener->pause, host_now_ns(host) + ACCEPT_PAUSE_MS * INT64_C(1000000));
}

static void on_connection_cb(uv_poll_t *handle, int status, int events)
{
        struct listener *listener = handle->data;

        (void)events;
        loop_update_time(&listener->loops[0]);
        if (status == 0 && !accept_some(listener, ACCEPTS_PER_TURN)) pause_accepting(listener);
}

enum result listen_start(struct listener *listener, enum plane plane, struct loop *loops, unsigned loop_count)
{
        listener->plane = plane;
        listener->loops = loops;
        listener->loop_count = loop_count;
        listener->poll.data = listener;
        if (uv_poll_init_socket(&loops[0].uv, &listener->poll, listener->fd) != 0) {
                listener->loops = NULL;
                return R_IO;
        }
        return wait_for_connections(listener);
}

void listen_use_tls(struct listener *listener, struct tls_context *tls)
{
        tls_context_unref(listener->tls);
        listener->tls = tls;
}

void listen_empty(struct listener *listener)
{
        if (listener->fd >= 0 && listener->loops != NULL) (void)accept_some(listener, LISTEN_BACKLOG + 1);
}

void listen_stop(struct listener *listener)
{
        if (listener->fd < 0) return;
        listen_use_tls(listener, NULL);
        if (listener->loops != NULL) {
                if (listener->pause.is_set) host_timer_clear(&listener->loops[0].host, &listener->pause);
                uv_close((uv_handle_t *)&listener->poll, NULL);
        }
        close(listener->fd);
        if (listener->spare_fd >= 0) close(listener->spare_fd);
        if (listener->path[0] != '\0') unlink(listener->path);
        listener->fd = listener->spare_fd = -1;
}
