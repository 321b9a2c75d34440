#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/store.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "tools/admin.h"

#define READERS_PER_WORKER 4 /* one each is used; the rest is for tools that die and leave their slots behind */
#define SPAN_MAX           1000000
#define MAP_SIZE_MIN       ((size_t)16 << 20)
#define BODY_BYTES_MIN     ((size_t)16 << 20) /* calls then hold as much as one of the largest takes */
#define NUMBER_MAX         1000000

static const struct option_spec options[] = {
        {"data", "DIR", "the store's directory [$ALLOD_DATA]"},
        {"listen", "ADDR:PORT", "public listener: gRPC and REST [" SERVER_LISTEN_DEFAULT "]; port 0 takes any"},
        {"admin", "WHERE",
         "admin listener: a Unix socket's path [admin.sock in DIR], `none`, or ADDR:PORT for TLS beside it"},
        {"tls-cert", "FILE", "serve TLS with this certificate, PEM, followed by those that lead to a root"},
        {"tls-key", "FILE", "and this private key, PEM, which others than owner and group must not be able to read"},
        {"client-ca", "FILE", "demand certificates of clients that one of these authorities, PEM, has signed"},
        {"admin-ca", "FILE", "the same for --admin ADDR:PORT [as --client-ca]"},
        {"drain-timeout", "TIME", "for calls in flight at the end: a number and s, m or h [10s]"},
        {"max-connection-age", "TIME", "ask connections to end at this age, and let their calls finish [1h]; 0: never"},
        {"max-connections", "N", "connections at a time [20000], or what file descriptors allow"},
        {"max-connections-per-address", "N",
         "of one IPv4 address or IPv6 network of 64 bits [a sixteenth of those]; 0: no bound"},
        {"max-body-bytes", "SIZE",
         "request bodies under way at a time, at least 16M [256M]; calls hold up to three times that"},
        {"key-guesses", "N", "wrong keys a minute of one address, a hundred at first [10]; 0: any number"},
        {"limit-loopback", NULL, "the bounds on addresses hold for loopback, too, where proxies are"},
        {"head-timeout", "TIME", "for a TLS handshake, a preface or a request's head [10s]"},
        {"body-timeout", "TIME", "a body goes on by 1 KiB a second over this time [30s]"},
        {"write-timeout", "TIME", "a peer takes 1 KiB a second of what waits for it over this time [30s]"},
        {"idle-timeout", "TIME", "without a request [75s for HTTP/1.1, 10m for HTTP/2]"},
        {"workers", "N", "threads that serve connections, 1 to 64 [one for each CPU]"},
        {"map-size", "SIZE", "address space for the store: bytes, or with K, M, G or T; at least 16M [1T]"},
        {"no-reflection", NULL, "do not tell clients the services' descriptors"},
        {"log", "LEVEL", "error, warn, info or debug [info]"},
        {"insecure", NULL, "listen beyond loopback although without TLS nothing is encrypted"},
        {"force", NULL, "serve a store on a network or an unknown file system all the same"},
        {0},
};

static const char text[] = "Serves gRPC and REST on one port until SIGTERM or SIGINT, then lets calls in flight "
                           "finish; a second signal ends\n"
                           "it at once. Everything that was acknowledged is on disk either way. SIGHUP reads "
                           "certificates, keys and authorities\n"
                           "again; connections stay. Logs go to standard error, one line for each call that fails. The "
                           "address space is not\n"
                           "disk: the data file grows as it is filled.";

/* "512M" to bytes. */
static bool parse_size(const char *value, size_t min, size_t *out)
{
        static const char letters[] = "KMGT";
        const char *letter;
        unsigned long long number;
        unsigned shift = 0;
        char *end;

        if (value[0] < '0' || value[0] > '9') return false;
        number = strtoull(value, &end, 10);
        if (*end != '\0') {
                letter = strchr(letters, *end);
                if (letter == NULL || end[1] != '\0') return false;
                shift = 10 * (unsigned)(letter - letters + 1);
        }
        if (number > SIZE_MAX >> shift || (size_t)number << shift < min) return false;
        *out = (size_t)number << shift;
        return true;
}

/* "90s", "15m", "1h" to milliseconds; "0". */
static bool parse_span(const char *value, int64_t *out)
{
        unsigned long number;
        char *end;

        if (value[0] < '0' || value[0] > '9') return false;
        number = strtoul(value, &end, 10);
        if (number > SPAN_MAX || (end[0] != '\0' && end[1] != '\0')) return false;
        if (end[0] != 's' && end[0] != 'm' && end[0] != 'h' && number != 0) return false;
        *out = (int64_t)number * 1000 * (end[0] == 'h' ? 3600 : end[0] == 'm' ? 60 : 1);
        return true;
}

static bool parse_number(const char *value, int min, int max, int *out)
{
        char *end;
        unsigned long number;

        if (value[0] < '0' || value[0] > '9') return false;
        number = strtoul(value, &end, 10);
        if (*end != '\0' || number < (unsigned long)min || number > (unsigned long)max) return false;
        *out = (int)number;
        return true;
}

/* Bounds on what peers can make the server hold or wait for. */
static int read_bounds(const struct arguments *arguments, struct bounds *bounds)
{
        const struct {
                const char *name;
                int min; /* 0: means that there is no bound */
                int *number;
        } numbers[] = {
                {"max-connections", 1, &bounds->connections},
                {"max-connections-per-address", 0, &bounds->connections_per_address},
                {"key-guesses", 0, &bounds->guesses_per_minute},
        };
        const struct {
                const char *name;
                int64_t *span_ms;
        } spans[] = {
                {"head-timeout", &bounds->head_ms},
                {"body-timeout", &bounds->body_ms},
                {"write-timeout", &bounds->write_ms},
                {"idle-timeout", &bounds->idle_ms},
        };
        const struct command *command = arguments->command;
        const char *body_bytes = argument_option(arguments, "max-body-bytes");
        size_t i;

        bounds->has_loopback = argument_option(arguments, "limit-loopback") != NULL;
        for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
                const char *value = argument_option(arguments, numbers[i].name);

                if (value == NULL) continue;
                if (!parse_number(value, numbers[i].min, NUMBER_MAX, numbers[i].number))
                        return command_misused(command, "--%s wants a number from %d to %d.", numbers[i].name,
                                               numbers[i].min, NUMBER_MAX);
                if (*numbers[i].number == 0) *numbers[i].number = -1;
        }
        for (i = 0; i < sizeof spans / sizeof spans[0]; i++) {
                const char *value = argument_option(arguments, spans[i].name);

                if (value != NULL && (!parse_span(value, spans[i].span_ms) || *spans[i].span_ms == 0))
                        return command_misused(command, "--%s wants a time such as 5s, 2m or 1h.", spans[i].name);
        }
        if (body_bytes != NULL && !parse_size(body_bytes, BODY_BYTES_MIN, &bounds->body_bytes))
                return command_misused(command, "--max-body-bytes wants a size of at least 16M, such as 64M.");
        return EXIT_DONE;
}

/* What --admin gives: ADDR:PORT has a colon and no slash, as "./a:b" is a path with one. */
static bool names_tcp(const char *admin)
{
        return admin != NULL && strchr(admin, ':') != NULL && strchr(admin, '/') == NULL;
}

static int read_options(const struct arguments *arguments, struct store_options *store, struct server_options *server)
{
        const struct command *command = arguments->command;
        const char *map_size = argument_option(arguments, "map-size");
        const char *workers = argument_option(arguments, "workers");
        const char *level = argument_option(arguments, "log");
        const char *admin = argument_option(arguments, "admin");
        const char *drain = argument_option(arguments, "drain-timeout");
        const char *age = argument_option(arguments, "max-connection-age");
        int worker_count = 0;

        *server = (struct server_options){
                .listen = argument_option(arguments, "listen"),
                .certificate = argument_option(arguments, "tls-cert"),
                .key = argument_option(arguments, "tls-key"),
                .client_ca = argument_option(arguments, "client-ca"),
                .admin_ca = argument_option(arguments, "admin-ca"),
                .admin_listen = names_tcp(admin) ? admin : NULL,
                .is_insecure = argument_option(arguments, "insecure") != NULL,
                .has_no_reflection = argument_option(arguments, "no-reflection") != NULL,
                .log_level = LOG_INFO,
        };
        *store = (struct store_options){.is_forced = argument_option(arguments, "force") != NULL};
        if ((store->dir = admin_data_dir(arguments)) == NULL) return EXIT_USAGE;
        if (map_size != NULL && !parse_size(map_size, MAP_SIZE_MIN, &store->map_size))
                return command_misused(command, "--map-size wants a size of at least 16M, such as 64G.");
        if (workers != NULL && !parse_number(workers, 1, SERVER_WORKERS_MAX, &worker_count))
                return command_misused(command, "--workers wants a number from 1 to %d.", SERVER_WORKERS_MAX);
        server->workers = (unsigned)worker_count;
        if (drain != NULL && (!parse_span(drain, &server->drain_ms) || server->drain_ms == 0))
                return command_misused(command, "--drain-timeout wants a time such as 30s, 2m or 1h.");
        if (age != NULL && !parse_span(age, &server->age_ms))
                return command_misused(command, "--max-connection-age wants a time such as 90s, 15m or 1h, or 0.");
        if (age != NULL && server->age_ms == 0) server->age_ms = -1;
        if (level != NULL && !log_level_parse(level, &server->log_level))
                return command_misused(command, "--log wants error, warn, info or debug.");
        store->readers_max = READERS_PER_WORKER * (server->workers == 0 ? SERVER_WORKERS_MAX : server->workers);
        return read_bounds(arguments, &server->bounds);
}

/* The admin socket's path, as given or in the data directory; absolute, since tools elsewhere read it. NULL: out of
 * memory. */
static char *admin_path(const struct arguments *arguments, const char *dir)
{
        const char *option = argument_option(arguments, "admin");
        const char *given = names_tcp(option) ? NULL : option;
        char *base = given == NULL ? realpath(dir, NULL) : given[0] == '/' ? strdup("") : realpath(".", NULL);
        char *path = NULL;

        if (base != NULL &&
            asprintf(&path, "%s%s%s", base, base[0] == '\0' ? "" : "/", given == NULL ? "admin.sock" : given) < 0)
                path = NULL;
        free(base);
        return path;
}

static bool wants_admin(const struct arguments *arguments)
{
        const char *given = argument_option(arguments, "admin");

        return given == NULL || strcmp(given, "none") != 0;
}

static int serve(const struct command *command, struct store *store, const struct server_options *server_options)
{
        char why[SERVER_WHY_SIZE];
        struct server *server;
        enum result r = server_start(server_options, store, &server, why);

        if (r == R_BAD_ARGUMENT) return command_misused(command, "%s", why);
        if (r != R_OK) return command_failed(command, "%s", why);
        r = server_run(server);
        server_free(server);
        if (r == R_OK) return EXIT_DONE;
        return command_failed(command, r == R_CORRUPT ? "the store cannot be read any more; start again."
                                                      : "cannot make a thread.");
}

/* Cores would hold keys of API callers and of TLS. Where the kernel hands cores to a program, a limit of 0 does not
 * keep it from that, but 1 does (core(5)); and no core is as small as that. */
static void refuse_cores(void)
{
        const struct rlimit one = {.rlim_cur = 1, .rlim_max = 1};

        setrlimit(RLIMIT_CORE, &one);
}

/* libuv aborts where the system refuses what a loop cannot be without: memory for its tables, a place for its own
 * descriptors in the kernel's set. Its operator is told, which libuv does not do. Then it ends by the signal, as after
 * a defect, which has said where it is before it comes here. */
static void on_abort(int number)
{
        static const char sentence[] =
                "allod serve: aborted: memory or another thing that the server cannot be without is not to be had from "
                "the operating system, or it has a defect. Nothing that was acknowledged is lost; start again.\n";

        (void)!write(STDERR_FILENO, sentence, sizeof sentence - 1);
        raise(number); /* which has its default again */
}

static void explain_aborts(void)
{
        const struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_RESETHAND};

        sigaction(SIGABRT, &action, NULL);
}

static int run(const struct arguments *arguments)
{
        const struct command *command = arguments->command;
        struct server_options server_options;
        struct store_options store_options;
        struct store_notes notes = {0};
        char why[STORE_WHY_SIZE];
        struct store *store;
        char *path = NULL;
        int code;

        refuse_cores();
        explain_aborts();
        code = read_options(arguments, &store_options, &server_options);
        if (code != EXIT_DONE) return code;
        if (store_open(&store_options, &store, NULL, &notes, why) != R_OK) return command_failed(command, "%s", why);
        if (notes.warning[0] != '\0') fprintf(stderr, "allod serve: %s\n", notes.warning);
        if (wants_admin(arguments)) path = admin_path(arguments, store_options.dir);
        server_options.admin_path = path;
        if (wants_admin(arguments) && path == NULL)
                code = command_failed(command, "out of memory.");
        else
                code = serve(command, store, &server_options);
        store_close(store);
        free(path);
        return code;
}

const struct command serve_commands[] = {
        {"serve", NULL, NULL, 0, 0, "Serve a store over gRPC and REST", text, options, run, NULL},
        {0},
};
