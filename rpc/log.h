/*
 * Lines for the operator, on standard error: time, level, event, then key=value pairs.
 *
 *      2025-01-02T03:04:05.678Z info listening address=127.0.0.1:8080
 *      2025-01-02T03:04:06.001Z warn call-failed peer=127.0.0.1:50712 method="/allod.v1.AppService/GetApp" ...
 *
 * One line per failed call or refused connection, none per good call below debug. A value that is not plain is quoted,
 * and control bytes, quotes and what is not ASCII are escaped in it, so that no peer can forge a line or a pair. Never
 * log a key or a body. Whoever gives up logs; the engine never does.
 *
 * Of each event at most LOG_BURST lines a second are written; the next one then says how many were left out.
 *
 * Thread: any. A line is one write.
 */
#ifndef ALLOD_RPC_LOG_H
#define ALLOD_RPC_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/bytes.h"

enum log_level {
        LOG_ERROR,
        LOG_WARN,
        LOG_INFO,
        LOG_DEBUG,
        LOG_LEVEL_COUNT
};

#define LOG_BURST      100
#define LOG_EVENTS_MAX 32 /* kinds of events that are counted apart; others share a count */
#define LOG_LINE_SIZE  1024

struct log {
        enum log_level level; /* lines above it are not written */
        int fd;
        pthread_mutex_t mutex; /* of what follows */
        struct {
                const char *event;
                int64_t second;
                unsigned written, left_out;
        } events[LOG_EVENTS_MAX];
};

/* "error", "warn", "info", "debug". False: none of them. */
bool log_level_parse(const char *text, enum log_level *out);

void log_init(struct log *log, enum log_level level, int fd);
void log_fini(struct log *log);

static inline bool log_wants(const struct log *log, enum log_level level)
{
        return log != NULL && level <= log->level;
}

/* A line being made; on the stack. What does not fit is cut, and the line then ends in "...". */
struct log_line {
        struct log *log; /* NULL: it will not be written */
        size_t len;
        char text[LOG_LINE_SIZE];
};

/* `event` and all keys are static words in lower case, with hyphens. `log` may be NULL. */
void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *event);
void log_text(struct log_line *line, const char *key, const char *value);
void log_bytes(struct log_line *line, const char *key, struct bytes value);
void log_number(struct log_line *line, const char *key, int64_t value);
void log_end(struct log_line *line);

#endif
