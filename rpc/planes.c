#include "rpc/planes.h"

#include <stdarg.h>
#include <stdio.h>

_Static_assert(LISTEN_WHY_SIZE <= SERVER_WHY_SIZE && TLS_WHY_SIZE <= SERVER_WHY_SIZE, "sentences are handed on");

static enum result __attribute__((format(printf, 3, 4)))
explain(char why[SERVER_WHY_SIZE], enum result r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(why, SERVER_WHY_SIZE, format, arguments);
        va_end(arguments);
        return r;
}

/* ---- What is not opened ---- */

static bool has_tls(const struct server_options *options)
{
        return options->certificate != NULL;
}

/* Options that make no sense without others. */
static enum result check_options(const struct server_options *options, char why[SERVER_WHY_SIZE])
{
        if ((options->certificate == NULL) != (options->key == NULL))
                return explain(why, R_BAD_ARGUMENT, "--tls-cert and --tls-key need each other.");
        if (options->client_ca != NULL && !has_tls(options))
                return explain(why, R_BAD_ARGUMENT,
                               "--client-ca demands certificates of clients, which only TLS can: give --tls-cert and "
                               "--tls-key, too.");
        if (options->admin_ca != NULL && options->admin_listen == NULL)
                return explain(why, R_BAD_ARGUMENT,
                               "--admin-ca is for administrators who come over TCP: give --admin ADDR:PORT, too.");
        if (options->admin_listen != NULL &&
            (!has_tls(options) || (options->client_ca == NULL && options->admin_ca == NULL)))
                return explain(why, R_BAD_ARGUMENT,
                               "Administrators need no key, so over TCP they must show a certificate, on loopback as "
                               "well: give --tls-cert, --tls-key and --admin-ca (or --client-ca), or let --admin name "
                               "a Unix socket.");
        return R_OK;
}

static enum result check_demo(const struct listen_address *address, const char *text, bool is_demo,
                              char why[SERVER_WHY_SIZE])
{
        if (!is_demo || address->is_loopback) return R_OK;
        return explain(why, R_BAD_ARGUMENT,
                       "This is a demo store, whose key everybody knows: it is served on a loopback address only, and "
                       "%s is none.",
                       text);
}

static enum result check_exposure(const struct server_options *options, const struct listen_address *address,
                                  char why[SERVER_WHY_SIZE])
{
        if (address->is_loopback || has_tls(options) || options->is_insecure) return R_OK;
        return explain(why, R_BAD_ARGUMENT,
                       "%s can be reached from other machines, and without TLS keys would cross the network in the "
                       "clear: give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure.",
                       options->listen);
}

/* ---- TLS ---- */

static enum result load(struct planes *planes, char why[SERVER_WHY_SIZE])
{
        struct tls_context *public_tls = NULL;
        struct tls_context *admin_tls = NULL;
        enum result r = tls_context_load(&planes->public_files, TLS_INTERMEDIATE, planes->tickets, &public_tls, why);

        if (r == R_OK && planes->admin_files.client_ca != NULL)
                r = tls_context_load(&planes->admin_files, TLS_MODERN, planes->tickets, &admin_tls, why);
        if (r != R_OK) {
                tls_context_unref(public_tls);
                return r;
        }
        listen_use_tls(&planes->public_listener, public_tls);
        listen_use_tls(&planes->admin_tcp, admin_tls);
        return R_OK;
}

static enum result open_tls(struct planes *planes, const struct server_options *options, char why[SERVER_WHY_SIZE])
{
        struct tls_files files = {.certificate = options->certificate, .key = options->key};

        if (!has_tls(options)) return R_OK;
        planes->public_files = planes->admin_files = files;
        planes->public_files.client_ca = options->client_ca;
        if (options->admin_listen != NULL)
                planes->admin_files.client_ca = options->admin_ca != NULL ? options->admin_ca : options->client_ca;
        if (tls_tickets_new(&planes->tickets) != R_OK) return explain(why, R_NO_MEMORY, "Cannot set TLS up.");
        return load(planes, why);
}

enum result planes_reload(struct planes *planes, char why[SERVER_WHY_SIZE])
{
        if (planes->tickets == NULL) return explain(why, R_ABSENT, "There is no TLS here.");
        return load(planes, why);
}

int64_t planes_days_left(const struct planes *planes)
{
        return planes->tickets == NULL ? -1 : tls_context_days_left(planes->public_listener.tls);
}

/* ---- The listeners ---- */

static enum result open_public(struct planes *planes, const struct server_options *options, bool is_demo,
                               char why[SERVER_WHY_SIZE])
{
        struct listen_address address;
        enum result r = listen_parse(options->listen, &address, why);

        if (r == R_OK) r = check_demo(&address, options->listen, is_demo, why);
        if (r == R_OK) r = check_exposure(options, &address, why);
        if (r == R_OK) r = listen_open_tcp(&planes->public_listener, &address, planes->address, why);
        return r;
}

static enum result open_admin(struct planes *planes, const struct server_options *options, bool is_demo,
                              char why[SERVER_WHY_SIZE])
{
        struct listen_address address;
        enum result r = R_OK;

        if (options->admin_listen != NULL) {
                r = listen_parse(options->admin_listen, &address, why);
                if (r == R_OK) r = check_demo(&address, options->admin_listen, is_demo, why);
                if (r == R_OK) r = listen_open_tcp(&planes->admin_tcp, &address, planes->admin_address, why);
        }
        if (r == R_OK && options->admin_path != NULL)
                r = listen_open_unix(&planes->admin_unix, options->admin_path, why);
        return r;
}

enum result planes_open(struct planes *planes, const struct server_options *options, bool is_demo,
                        char why[SERVER_WHY_SIZE])
{
        enum result r = check_options(options, why);

        *planes = (struct planes){.is_open = true, .public_listener.fd = -1, .admin_unix.fd = -1, .admin_tcp.fd = -1};
        if (r == R_OK) r = open_public(planes, options, is_demo, why);
        if (r == R_OK) r = open_admin(planes, options, is_demo, why);
        return r == R_OK ? open_tls(planes, options, why) : r;
}

enum result planes_start(struct planes *planes, struct loop *loops, unsigned loop_count)
{
        enum result r = listen_start(&planes->public_listener, PLANE_PUBLIC, loops, loop_count);

        if (r == R_OK && planes->admin_unix.fd >= 0)
                r = listen_start(&planes->admin_unix, PLANE_ADMIN, loops, loop_count);
        if (r == R_OK && planes->admin_tcp.fd >= 0)
                r = listen_start(&planes->admin_tcp, PLANE_ADMIN, loops, loop_count);
        return r;
}

void planes_empty(struct planes *planes)
{
        listen_empty(&planes->public_listener);
        listen_empty(&planes->admin_unix);
        listen_empty(&planes->admin_tcp);
}

void planes_stop(struct planes *planes)
{
        if (!planes->is_open) return;
        listen_stop(&planes->public_listener);
        listen_stop(&planes->admin_unix);
        listen_stop(&planes->admin_tcp);
}

void planes_fini(struct planes *planes)
{
        planes_stop(planes);
        tls_tickets_free(planes->tickets);
        planes->tickets = NULL;
}
