#include "tools/progress.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* A person sees ten steps a second as motion; a log file needs few lines. */
#define BAR_PERIOD_NS   (SECOND_NS / 10)
#define LINE_PERIOD_NS  (10 * SECOND_NS)
#define EVENT_PERIOD_NS (SECOND_NS / 2)

#define BAR_WIDTH 24

#define RATE_MAX 1000000 /* a TiB a second is no limit */

/* Lock-free, so that a handler may set it, on whatever thread the signal comes. */
static atomic_bool is_interrupted;

static void note_signal(int number)
{
        (void)number;
        atomic_store(&is_interrupted, true);
}

/* A second signal ends the process as it always does. */
static void catch_signals(void)
{
        struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};

        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
}

bool progress_is_interrupted(void)
{
        return atomic_load(&is_interrupted);
}

static int64_t now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * SECOND_NS + now.tv_nsec;
}

const char *size_text(uint64_t size, char out[SIZE_TEXT_SIZE])
{
        static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        double shown = (double)size;
        unsigned unit = 0;

        while (shown >= 1000 && unit < sizeof units / sizeof units[0] - 1) {
                shown /= 1024;
                unit++;
        }
        snprintf(out, SIZE_TEXT_SIZE, unit == 0 || shown >= 100 ? "%.0f %s" : "%.1f %s", shown, units[unit]);
        return out;
}

static void show(const struct progress *progress, int64_t took_ns)
{
        uint64_t rate = took_ns <= 0 ? 0 : (uint64_t)((double)progress->done * (double)SECOND_NS / (double)took_ns);
        char done[SIZE_TEXT_SIZE], total[SIZE_TEXT_SIZE], speed[SIZE_TEXT_SIZE];
        char bar[BAR_WIDTH + 1];

        size_text(progress->done, done);
        size_text(rate, speed);
        if (progress->total == 0 || progress->done > progress->total) {
                fprintf(stderr, "%s  %s, %s/s", progress->what, done, speed);
                return;
        }
        for (unsigned i = 0; i < BAR_WIDTH; i++)
                bar[i] = i * progress->total < progress->done * BAR_WIDTH ? '#' : '.';
        bar[BAR_WIDTH] = '\0';
        fprintf(stderr, "%s [%s]  %s of %s, %s/s", progress->what, bar, done, size_text(progress->total, total), speed);
        if (rate > 0) fprintf(stderr, ", %" PRIu64 " s left", (progress->total - progress->done) / rate);
}

/* ---- Events ---- */

static int status_fd = -1;

static void tell_end(int code, void *context)
{
        (void)context;
        dprintf(status_fd, "{\"event\":\"end\",\"exit_code\":%d}\n", code);
}

/* Whoever listens may go away; the work goes on. */
int progress_open(const struct arguments *arguments)
{
        const char *value = argument_option(arguments, "status-fd");
        char *end;
        long fd;

        if (value == NULL) return EXIT_DONE;
        fd = value[0] >= '0' && value[0] <= '9' ? strtol(value, &end, 10) : -1;
        if (fd < 0 || fd > INT32_MAX || *end != '\0' || fcntl((int)fd, F_GETFD) < 0)
                return command_misused(arguments->command, "--status-fd wants the number of an open descriptor.");
        status_fd = (int)fd;
        signal(SIGPIPE, SIG_IGN);
        if (on_exit(tell_end, NULL) != 0) return command_failed(arguments->command, "out of memory.");
        return EXIT_DONE;
}

static void tell_start(const struct progress *progress)
{
        if (status_fd < 0) return;
        dprintf(status_fd, "{\"event\":\"start\",\"what\":\"%s\",\"total\":%" PRIu64 "}\n", progress->what,
                progress->total);
}

static void tell_progress(struct progress *progress, int64_t now)
{
        int64_t took_ns = now - progress->start_ns;

        if (status_fd < 0 || now - progress->told_ns < EVENT_PERIOD_NS) return;
        progress->told_ns = now;
        dprintf(status_fd,
                "{\"event\":\"progress\",\"what\":\"%s\",\"done\":%" PRIu64 ",\"total\":%" PRIu64
                ",\"bytes_per_second\":%.0f}\n",
                progress->what, progress->done, progress->total,
                took_ns <= 0 ? 0 : (double)progress->done * (double)SECOND_NS / (double)took_ns);
}

/* ---- One task ---- */

void progress_start(struct progress *progress, const char *what, uint64_t total)
{
        *progress = (struct progress){.what = what, .total = total, .is_terminal = isatty(STDERR_FILENO) == 1};
        progress->start_ns = progress->shown_ns = progress->told_ns = now_ns();
        catch_signals();
        tell_start(progress);
}

void progress_add(struct progress *progress, uint64_t count)
{
        int64_t now = now_ns();

        progress->done += count;
        tell_progress(progress, now);
        if (now - progress->shown_ns < (progress->is_terminal ? BAR_PERIOD_NS : LINE_PERIOD_NS)) return;
        progress->shown_ns = now;
        if (progress->is_terminal) fputs("\r\033[K", stderr);
        show(progress, now - progress->start_ns);
        if (!progress->is_terminal) fputc('\n', stderr);
        progress->is_shown = progress->is_terminal;
        fflush(stderr);
}

int64_t progress_took_ns(const struct progress *progress)
{
        return now_ns() - progress->start_ns;
}

int progress_parse_rate(const struct arguments *arguments, uint64_t *out)
{
        const char *value = argument_option(arguments, "rate");
        unsigned long long number;
        char *end;

        *out = 0;
        if (value == NULL) return EXIT_DONE;
        number = value[0] >= '0' && value[0] <= '9' ? strtoull(value, &end, 10) : 0;
        if (number < 1 || number > RATE_MAX || *end != '\0')
                return command_misused(arguments->command, "--rate wants a number from 1 to %d.", RATE_MAX);
        *out = (uint64_t)number << 20;
        return EXIT_DONE;
}

void progress_wait_for_rate(const struct progress *progress, uint64_t rate)
{
        int64_t early_ns;

        if (rate == 0) return;
        early_ns = (int64_t)((double)progress->done / (double)rate * (double)SECOND_NS) - progress_took_ns(progress);
        if (early_ns > 0) nanosleep(&(struct timespec){early_ns / SECOND_NS, early_ns % SECOND_NS}, NULL);
}

void progress_end(struct progress *progress)
{
        if (progress->is_shown) fputs("\r\033[K", stderr);
        progress->is_shown = false;
        fflush(stderr);
}
