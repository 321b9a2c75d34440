/*
 * How long work goes on, for whoever waits: a bar on a terminal, a line every ten seconds elsewhere, on standard error.
 *
 *      Reading [##########..............]  412 MiB of 1.0 GiB, 96 MiB/s, 6 s left
 *
 * With --status-fd FD, also as JSON objects, a line each, on that descriptor:
 *
 *      {"event":"start","what":"Reading","total":1073741824}           total: 0 when it is not known
 *      {"event":"progress","what":"Reading","done":432013312,"total":1073741824,"bytes_per_second":100663296}
 *      {"event":"end","exit_code":0}                                   the last one, whatever happened
 *
 * And how it is stopped: SIGINT and SIGTERM are noted, so that the command can clean up what it began.
 */
#ifndef ALLOD_TOOLS_PROGRESS_H
#define ALLOD_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/command.h"

struct progress {
        const char *what; /* "Reading" */
        uint64_t total;   /* bytes; 0: unknown */
        uint64_t done;    /* bytes */
        int64_t start_ns;
        int64_t shown_ns; /* when it was last shown */
        int64_t told_ns;  /* and told as an event */
        bool is_terminal;
        bool is_shown; /* a bar stands on the terminal's line */
};

#define PROGRESS_OPTIONS                                                                                               \
        {                                                                                                              \
                "status-fd", "FD", "tell how far it is on this descriptor, as JSON, a line each"                       \
        }

/* Take --status-fd. EXIT_DONE, or what to exit with after saying what is wrong. */
int progress_open(const struct arguments *arguments);

/* From now on signals are noted too. */
void progress_start(struct progress *progress, const char *what, uint64_t total);

void progress_add(struct progress *progress, uint64_t count);

/* Since the start. */
int64_t progress_took_ns(const struct progress *progress);

/* Bytes a second that --rate wants; 0: it was not given. EXIT_DONE, or what to exit with after saying what is wrong. */
int progress_parse_rate(const struct arguments *arguments, uint64_t *out);

/* Wait so long that on the average no more than `rate` bytes a second are done (0: not at all). A signal ends it. */
void progress_wait_for_rate(const struct progress *progress, uint64_t rate);

/* Takes the bar away. */
void progress_end(struct progress *progress);

/* Whether somebody wants this to stop. */
bool progress_is_interrupted(void);

/* "1.0 GiB", for people. */
#define SIZE_TEXT_SIZE 24
const char *size_text(uint64_t size, char out[SIZE_TEXT_SIZE]);

#endif
