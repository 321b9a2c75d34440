#include "rpc/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/require.h"
#include "engine/writer.h"
#include "rpc/loop.h"
#include "rpc/method.h"
#include "rpc/notify.h"
#include "rpc/planes.h"

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
        struct planes planes;
        struct commons *commons;

        /* on loops[0] */
        uv_async_t stop_async;
        uv_signal_t sigterm, sigint, sighup;
        uv_timer_t writer_timer;
        uv_timer_t ticket_timer;
        bool has_handles;
        bool is_stopping;

        atomic_bool is_lost;  /* the store gives no snapshots: set by the writer's thread, before it wakes the loop */
        atomic_bool is_asked; /* server_stop's */
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
        uv_close((uv_handle_t *)&server->sighup, NULL);
        uv_close((uv_handle_t *)&server->ticket_timer, NULL);
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
        notify("STOPPING=1");
        planes_empty(&server->planes);
        planes_stop(&server->planes);
        uv_timer_start(&server->writer_timer, on_writer_timer_cb, WRITER_DRAIN_MS, 0);
        stop_loops(server, LOOP_DRAINS);
}

/* Somebody asks, each time; or the store is lost, which ends no draining sooner. */
static void on_stop_cb(uv_async_t *handle)
{
        struct server *server = handle->data;

        if (atomic_exchange(&server->is_asked, false)) stop(server, "asked to");
        if (atomic_load(&server->is_lost) && !server->is_stopping) stop(server, "the store cannot be read");
}

static void on_signal_cb(uv_signal_t *handle, int number)
{
        stop(handle->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

void server_stop(struct server *server)
{
        atomic_store(&server->is_asked, true);
        REQUIRE(uv_async_send(&server->stop_async) == 0);
}

/* ---- TLS ---- */

static void log_reload(struct server *server, enum result r, const char *why)
{
        struct log_line line;

        log_begin(&line, &server->log, r == R_OK ? LOG_INFO : LOG_ERROR, r == R_OK ? "reloaded" : "not-reloaded");
        if (r != R_OK) log_text(&line, "why", why);
        if (planes_days_left(&server->planes) >= 0)
                log_number(&line, "certificate-days-left", planes_days_left(&server->planes));
        log_end(&line);
}

static void on_sighup_cb(uv_signal_t *handle, int number)
{
        struct server *server = handle->data;
        char why[SERVER_WHY_SIZE];

        (void)number;
        if (server->is_stopping) return;
        notify_reloading();
        log_reload(server, planes_reload(&server->planes, why), why);
        notify("READY=1");
}

static void on_ticket_timer_cb(uv_timer_t *handle)
{
        struct server *server = handle->data;
        struct log_line line;

        if (tls_tickets_turn(server->planes.tickets) == R_OK) return;
        log_begin(&line, &server->log, LOG_ERROR, "ticket-keys-not-turned");
        log_end(&line);
}

/* ---- Handles ---- */

static enum result start_handles(struct server *server)
{
        if (uv_signal_start(&server->sigterm, on_signal_cb, SIGTERM) != 0 ||
            uv_signal_start(&server->sigint, on_signal_cb, SIGINT) != 0 ||
            uv_signal_start(&server->sighup, on_sighup_cb, SIGHUP) != 0)
                return R_IO;
        if (server->planes.tickets != NULL)
                uv_timer_start(&server->ticket_timer, on_ticket_timer_cb, TLS_TICKET_TURN_MS, TLS_TICKET_TURN_MS);
        return R_OK;
}

static enum result open_handles(struct server *server)
{
        uv_loop_t *uv = &server->loops[0].uv;
        enum result r;

        if (uv_async_init(uv, &server->stop_async, on_stop_cb) != 0) return R_IO;
        uv_timer_init(uv, &server->writer_timer);
        uv_timer_init(uv, &server->ticket_timer);
        uv_signal_init(uv, &server->sigterm);
        uv_signal_init(uv, &server->sigint);
        uv_signal_init(uv, &server->sighup);
        server->stop_async.data = server->sigterm.data = server->sigint.data = server->sighup.data = server;
        server->writer_timer.data = server->ticket_timer.data = server;
        server->has_handles = true;
        r = start_handles(server);
        /* They do not keep the loop running: once it has drained, it ends. */
        uv_unref((uv_handle_t *)&server->stop_async);
        uv_unref((uv_handle_t *)&server->sigterm);
        uv_unref((uv_handle_t *)&server->sigint);
        uv_unref((uv_handle_t *)&server->sighup);
        uv_unref((uv_handle_t *)&server->writer_timer);
        uv_unref((uv_handle_t *)&server->ticket_timer);
        return r;
}

/* ---- What the writer tells ---- */

/* Thread: the writer's. */
static void on_writer_event_cb(void *context, enum writer_event event, enum result r)
{
        static const struct {
                enum log_level level;
                const char *name;
        } lines[] = {
                [WRITER_DEFECT] = {LOG_ERROR, "update-defect"},   [WRITER_READ_ONLY] = {LOG_ERROR, "store-read-only"},
                [WRITER_WRITABLE] = {LOG_INFO, "store-writable"}, [WRITER_LATCHED] = {LOG_ERROR, "store-latched"},
                [WRITER_CHORE] = {LOG_WARN, "background-failed"},
        };
        struct server *server = context;
        struct log_line line;

        log_begin(&line, &server->log, lines[event].level, lines[event].name);
        if (event != WRITER_WRITABLE) log_text(&line, "result", result_name(r));
        log_end(&line);
        if (event != WRITER_LATCHED || store_gives_snapshots(server->store)) return;
        atomic_store(&server->is_lost, true);
        REQUIRE(uv_async_send(&server->stop_async) == 0);
}

static void watch_writer(struct server *server)
{
        struct writer_stat stat;

        if (server->store == NULL) return;
        writer_set_event_cb(store_writer(server->store), server, on_writer_event_cb);
        writer_stat(store_writer(server->store), &stat);
        if (stat.is_latched)
                on_writer_event_cb(server, WRITER_LATCHED, R_COMMIT_UNKNOWN);
        else if (stat.is_read_only)
                on_writer_event_cb(server, WRITER_READ_ONLY, R_READ_ONLY);
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

/* As many descriptors as the administrator allows. With too few libuv would abort where it makes its own. */
static enum result raise_limits(char why[SERVER_WHY_SIZE])
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return R_OK;
        if (limit.rlim_max < DESCRIPTORS_MIN)
                return explain(why, R_IO, "Only %ju files may be open; at least %d must (ulimit -n, LimitNOFILE=).",
                               (uintmax_t)limit.rlim_max, DESCRIPTORS_MIN);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* else connections are shed sooner */
        return R_OK;
}

/* Tools find the server through the store's lock file; the address is as the client takes it. */
static enum result announce(struct server *server, const char *admin_path, char why[SERVER_WHY_SIZE])
{
        char address[STORE_ADMIN_ADDRESS_SIZE];

        if (admin_path == NULL || server->store == NULL) return R_OK;
        if (snprintf(address, sizeof address, "unix:%s", admin_path) >= (int)sizeof address)
                return explain(why, R_BAD_ARGUMENT, "The path of the admin socket is too long.");
        if (store_announce(server->store, address) != R_OK)
                return explain(why, R_IO, "Cannot write the admin address into the store's lock file.");
        return R_OK;
}

static enum result open_planes(struct server *server, const struct server_options *options, char why[SERVER_WHY_SIZE])
{
        bool is_demo = server->store != NULL && store_is_demo(server->store);
        enum result r = planes_open(&server->planes, options, is_demo, why);

        return r == R_OK ? announce(server, options->admin_path, why) : r;
}

/* Each loop's part of the calls that may be open. */
static size_t calls_max(unsigned loop_count)
{
        size_t part = CALLS_OPEN_MAX / loop_count;

        return part < CALLS_OPEN_MIN ? CALLS_OPEN_MIN : part;
}

/* And of the bytes that wait for peers. */
static size_t unsent_max(unsigned loop_count)
{
        size_t part = UNSENT_MAX / loop_count;

        return part < UNSENT_MIN ? UNSENT_MIN : part;
}

static void set_up_loop(struct server *server, struct loop *loop, const struct server_options *options)
{
        if (options->drain_ms != 0) loop->drain_ms = options->drain_ms;
        if (options->age_ms != 0) loop->age_ms = options->age_ms < 0 ? 0 : options->age_ms;
        loop_set_patience(loop, &options->bounds);
        loop->host.commons = server->commons;
        loop->host.arenas.budget = &server->commons->held;
        loop->host.has_reflection = !options->has_no_reflection;
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
                set_up_loop(server, loop, options);
                loop->host.calls.open_max = calls_max(count);
                /* Where an address may have any number of connections, it is a proxy's. */
                backlog_init(&loop->backlog, unsent_max(count), options->bounds.connections_per_address >= 0);
                loop->host.next = &server->loops[(server->loop_count + 1) % count].host;
                server->loop_count++;
        }
        r = open_handles(server);
        return r == R_OK ? R_OK : explain(why, r, "Cannot watch for signals.");
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
        log_init(&server->log, options->log_level, STDERR_FILENO);
        signal(SIGPIPE, SIG_IGN);
        r = raise_limits(why);
        if (r == R_OK) {
                r = commons_new(&filled.bounds, &server->commons);
                if (r != R_OK) explain(why, r, "Cannot set the bounds on peers: %s.", result_text(r));
        }
        if (r == R_OK) r = method_init(why);
        if (r == R_OK) r = open_planes(server, &filled, why);
        if (r == R_OK) r = open_loops(server, &filled, why);
        if (r == R_OK && planes_start(&server->planes, server->loops, server->loop_count) != R_OK)
                r = explain(why, R_IO, "Cannot accept connections.");
        if (r != R_OK) {
                server_free(server);
                return r;
        }
        watch_writer(server);
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

static void log_ready(struct server *server)
{
        const struct planes *planes = &server->planes;
        struct log_line line;

        log_begin(&line, &server->log, LOG_INFO, "listening");
        log_text(&line, "address", planes->address);
        if (planes->admin_unix.path[0] != '\0') log_text(&line, "admin", planes->admin_unix.path);
        if (planes->admin_address[0] != '\0') log_text(&line, "admin-address", planes->admin_address);
        if (planes_days_left(planes) >= 0) log_number(&line, "certificate-days-left", planes_days_left(planes));
        log_number(&line, "workers", server->loop_count);
        log_end(&line);
}

enum result server_run(struct server *server)
{
        enum result r = start_workers(server);
        unsigned i;

        if (r == R_OK) {
                log_ready(server);
                notify("READY=1");
        } else {
                stop(server, "cannot make a thread");
        }
        loop_run(&server->loops[0]);
        for (i = 1; i <= server->worker_count; i++)
                pthread_join(server->workers[i].thread, NULL);
        drain_writer(server);
        return r == R_OK && atomic_load(&server->is_lost) ? R_CORRUPT : r;
}

const char *server_address(const struct server *server)
{
        return server->planes.address;
}

void server_free(struct server *server)
{
        unsigned i;

        if (server == NULL) return;
        if (server->store != NULL) writer_set_event_cb(store_writer(server->store), NULL, NULL);
        planes_stop(&server->planes);
        if (server->has_handles) close_handles(server);
        for (i = 0; i < server->loop_count; i++)
                loop_close(&server->loops[i]);
        planes_fini(&server->planes); /* connections hold contexts, and these use the tickets */
        commons_free(server->commons);
        free(server->loops);
        free(server->workers);
        log_fini(&server->log);
        free(server);
}
