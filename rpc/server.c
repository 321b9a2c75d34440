#include "rpc/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/require.h"
#include "engine/writer.h"
#include "rpc/listen.h"
#include "rpc/loop.h"
#include "rpc/method.h"

/* Parked calls get this long to be answered by what they wait for, before the writer sends them away. */
#define WRITER_DRAIN_MS 2000

/* The thread of a loop other than the first. */
struct worker {
        pthread_t thread;
        struct loop *loop;
        struct host *first; /* which must not end before the others: it hears the signals */
        struct completion ended;
};

struct server {
        struct store *store;
        struct log log;
        struct loop *loops;
        unsigned loop_count;    /* that are open */
        struct worker *workers; /* [i] runs loops[i]; [0] is not used */
        unsigned worker_count;  /* that run */
        struct listener public_listener;
        struct listener admin_listener;
        char address[LISTEN_TEXT_SIZE];

        /* stopping; on loops[0] */
        uv_async_t stop_async;
        uv_signal_t sigterm, sigint;
        uv_timer_t writer_timer;
        bool has_handles;
        bool is_stopping;
};

static enum result __attribute__((format(printf, 3, 4)))
explain(char why[SERVER_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, SERVER_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- Stopping ---- */

static void drain_writer(struct server *server)
{
        if (server->store != NULL) writer_drain(store_writer(server->store));
}

static void on_writer_timer_cb(uv_timer_t *handle)
{
        drain_writer(handle->data);
        uv_close((uv_handle_t *)handle, NULL);
}

static void stop_loops(struct server *server, enum loop_stop stop)
{
        unsigned i;

        for (i = 0; i < server->loop_count; i++)
                loop_stop(&server->loops[i], stop);
}

static void close_handles(struct server *server)
{
        uv_close((uv_handle_t *)&server->stop_async, NULL);
        uv_close((uv_handle_t *)&server->sigterm, NULL);
        uv_close((uv_handle_t *)&server->sigint, NULL);
        if (!uv_is_closing((uv_handle_t *)&server->writer_timer)) uv_close((uv_handle_t *)&server->writer_timer, NULL);
}

static void stop(struct server *server, const char *reason)
{
        struct log_line line;

        log_begin(&line, &server->log, LOG_INFO, server->is_stopping ? "ending" : "draining");
        log_text(&line, "reason", reason);
        log_end(&line);
        if (server->is_stopping) {
                drain_writer(server);
                stop_loops(server, LOOP_ENDS);
                return;
        }
        server->is_stopping = true;
        listen_stop(&server->public_listener);
        listen_stop(&server->admin_listener);
        uv_timer_start(&server->writer_timer, on_writer_timer_cb, WRITER_DRAIN_MS, 0);
        stop_loops(server, LOOP_DRAINS);
}

static void on_stop_cb(uv_async_t *handle)
{
        stop(handle->data, "asked to");
}

static void on_signal_cb(uv_signal_t *handle, int number)
{
        stop(handle->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

void server_stop(struct server *server)
{
        REQUIRE(uv_async_send(&server->stop_async) == 0);
}

static enum result open_handles(struct server *server)
{
        uv_loop_t *uv = &server->loops[0].uv;

        if (uv_async_init(uv, &server->stop_async, on_stop_cb) != 0) return R_IO;
        uv_timer_init(uv, &server->writer_timer);
        uv_signal_init(uv, &server->sigterm);
        uv_signal_init(uv, &server->sigint);
        server->stop_async.data = server->sigterm.data = server->sigint.data = server->writer_timer.data = server;
        server->has_handles = true;
        if (uv_signal_start(&server->sigterm, on_signal_cb, SIGTERM) != 0) return R_IO;
        if (uv_signal_start(&server->sigint, on_signal_cb, SIGINT) != 0) return R_IO;
        /* They do not keep the loop running: once it has drained, it ends. */
        uv_unref((uv_handle_t *)&server->stop_async);
        uv_unref((uv_handle_t *)&server->sigterm);
        uv_unref((uv_handle_t *)&server->sigint);
        uv_unref((uv_handle_t *)&server->writer_timer);
        return R_OK;
}

/* ---- Starting ---- */

static unsigned cpu_count(void)
{
        cpu_set_t set;
        int count;

        if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
        count = CPU_COUNT(&set);
        return count < 1 ? 1 : count > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (unsigned)count;
}

/* As many descriptors as the administrator allows. */
static void raise_limits(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* else connections are shed sooner */
}

static enum result check_exposure(const struct server_options *options, const struct listen_address *address,
                                  struct store *store, char why[SERVER_WHY_SIZE])
{
        const char *text = options->listen;

        if (address->is_loopback) return R_OK;
        if (store != NULL && store_is_demo(store))
                return explain(why, R_BAD_ARGUMENT,
                               "This is a demo store, whose key everybody knows: it is served on a loopback address "
                               "only, and %s is none.",
                               text);
        if (options->is_insecure) return R_OK;
        return explain(why, R_BAD_ARGUMENT,
                       "%s can be reached from other machines, and without TLS keys would cross the network in the "
                       "clear: listen on 127.0.0.1, or say --insecure.",
                       text);
}

static enum result open_listeners(struct server *server, const struct server_options *options,
                                  char why[SERVER_WHY_SIZE])
{
        char admin_address[STORE_ADMIN_ADDRESS_SIZE]; /* as the client takes it */
        struct listen_address address;
        enum result r = listen_parse(options->listen, &address, why);

        if (r == R_OK) r = check_exposure(options, &address, server->store, why);
        if (r == R_OK) r = listen_open_tcp(&server->public_listener, &address, server->address, why);
        if (r != R_OK || options->admin_path == NULL) return r;
        r = listen_open_unix(&server->admin_listener, options->admin_path, why);
        if (snprintf(admin_address, sizeof admin_address, "unix:%s", options->admin_path) >= (int)sizeof admin_address)
                return explain(why, R_BAD_ARGUMENT, "The path of the admin socket is too long.");
        if (r == R_OK && server->store != NULL && store_announce(server->store, admin_address) != R_OK)
                return explain(why, R_IO, "Cannot write the admin address into the store's lock file.");
        return r;
}

static enum result open_loops(struct server *server, const struct server_options *options, char why[SERVER_WHY_SIZE])
{
        unsigned count = options->workers == 0 ? cpu_count() : options->workers;
        enum result r;

        if (count > SERVER_WORKERS_MAX)
                return explain(why, R_BAD_ARGUMENT, "At most %d workers make sense.", SERVER_WORKERS_MAX);
        server->loops = calloc(count, sizeof *server->loops);
        server->workers = calloc(count, sizeof *server->workers);
        if (server->loops == NULL || server->workers == NULL) return explain(why, R_NO_MEMORY, "Out of memory.");
        while (server->loop_count < count) {
                struct loop *loop = &server->loops[server->loop_count];

                r = loop_open(loop, server->store, &server->log);
                if (r != R_OK) return explain(why, r, "Cannot open an event loop: %s.", result_text(r));
                loop->host.has_reflection = !options->has_no_reflection;
                loop->host.next = &server->loops[(server->loop_count + 1) % count].host;
                server->loop_count++;
        }
        r = open_handles(server);
        return r == R_OK ? R_OK : explain(why, r, "Cannot watch for signals.");
}

static enum result start_listeners(struct server *server, char why[SERVER_WHY_SIZE])
{
        enum result r = listen_start(&server->public_listener, PLANE_PUBLIC, server->loops, server->loop_count);

        if (r == R_OK && server->admin_listener.fd >= 0)
                r = listen_start(&server->admin_listener, PLANE_ADMIN, server->loops, server->loop_count);
        return r == R_OK ? R_OK : explain(why, r, "Cannot accept connections.");
}

enum result server_start(const struct server_options *options, struct store *store, struct server **out,
                         char why[SERVER_WHY_SIZE])
{
        struct server_options filled = *options;
        struct server *server = calloc(1, sizeof *server);
        enum result r;

        if (server == NULL) return explain(why, R_NO_MEMORY, "Out of memory.");
        if (filled.listen == NULL) filled.listen = SERVER_LISTEN_DEFAULT;
        server->store = store;
        server->public_listener.fd = server->admin_listener.fd = -1;
        log_init(&server->log, options->log_level, STDERR_FILENO);
        signal(SIGPIPE, SIG_IGN);
        raise_limits();
        r = method_init(why);
        if (r == R_OK) r = open_listeners(server, &filled, why);
        if (r == R_OK) r = open_loops(server, &filled, why);
        if (r == R_OK) r = start_listeners(server, why);
        if (r != R_OK) {
                server_free(server);
                return r;
        }
        *out = server;
        return R_OK;
}

/* ---- Running ---- */

static void on_worker_ended(struct completion *ended)
{
        (void)ended;
}

static void *run_worker(void *arg)
{
        struct worker *worker = arg;

        loop_run(worker->loop);
        host_post(worker->first, &worker->ended);
        return NULL;
}

static enum result start_worker(struct server *server, unsigned i)
{
        struct worker *worker = &server->workers[i];

        worker->loop = &server->loops[i];
        worker->first = &server->loops[0].host;
        worker->ended.run = on_worker_ended;
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) return R_IO;
        host_expect(worker->first, &worker->ended);
        server->worker_count++;
        return R_OK;
}

/* Signals are the first loop's: the other threads are born with all of them blocked. */
static enum result start_workers(struct server *server)
{
        sigset_t all;
        sigset_t old;
        enum result r = R_OK;
        unsigned i;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        for (i = 1; i < server->loop_count && r == R_OK; i++)
                r = start_worker(server, i);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

static void log_ready(struct server *server, const char *admin_path)
{
        struct log_line line;

        log_begin(&line, &server->log, LOG_INFO, "listening");
        log_text(&line, "address", server->address);
        if (admin_path[0] != '\0') log_text(&line, "admin", admin_path);
        log_number(&line, "workers", server->loop_count);
        log_end(&line);
}

enum result server_run(struct server *server)
{
        enum result r = start_workers(server);
        unsigned i;

        if (r == R_OK)
                log_ready(server, server->admin_listener.path);
        else
                stop(server, "cannot make a thread");
        loop_run(&server->loops[0]);
        for (i = 1; i <= server->worker_count; i++)
                pthread_join(server->workers[i].thread, NULL);
        drain_writer(server);
        return r;
}

const char *server_address(const struct server *server)
{
        return server->address;
}

void server_free(struct server *server)
{
        unsigned i;

        if (server == NULL) return;
        listen_stop(&server->public_listener);
        listen_stop(&server->admin_listener);
        if (server->has_handles) close_handles(server);
        for (i = 0; i < server->loop_count; i++)
                loop_close(&server->loops[i]);
        free(server->loops);
        free(server->workers);
        log_fini(&server->log);
        free(server);
}
