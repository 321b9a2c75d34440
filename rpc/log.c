#include "rpc/log.h"

#include <inttypes.h>
#include <unistd.h>

#include "engine/require.h"

static const char *const level_names[LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};

static const char cut_mark[] = "...";

bool log_level_parse(const char *text, enum log_level *out)
{
        unsigned i;

        for (i = 0; i < LOG_LEVEL_COUNT; i++) {
                if (strcmp(text, level_names[i]) == 0) {
                        *out = (enum log_level)i;
                        return true;
                }
        }
        return false;
}

void log_init(struct log *log, enum log_level level, int fd)
{
        *log = (struct log){.level = level, .fd = fd};
        REQUIRE(pthread_mutex_init(&log->mutex, NULL) == 0);
}

void log_fini(struct log *log)
{
        pthread_mutex_destroy(&log->mutex);
}

/* Room is kept for the mark and the newline. False: nothing of it was written. */
static bool put(struct log_line *line, const char *text, size_t len)
{
        if (line->len + len > sizeof line->text - sizeof cut_mark - 1) return false;
        memcpy(line->text + line->len, text, len);
        line->len += len;
        return true;
}

/* Counts this line; false: it is one too many of its kind in this second. */
static bool is_due(struct log *log, const char *event, int64_t second, unsigned *left_out)
{
        bool is_due = false;
        size_t i;

        REQUIRE(pthread_mutex_lock(&log->mutex) == 0);
        for (i = 0; i < LOG_EVENTS_MAX - 1; i++) {
                if (log->events[i].event == NULL || strcmp(log->events[i].event, event) == 0) break;
        }
        if (log->events[i].event == NULL) log->events[i].event = event;
        if (log->events[i].second != second) {
                log->events[i].second = second;
                log->events[i].written = 0;
        }
        if (log->events[i].written < LOG_BURST) {
                log->events[i].written++;
                *left_out = log->events[i].left_out;
                log->events[i].left_out = 0;
                is_due = true;
        } else {
                log->events[i].left_out++;
        }
        REQUIRE(pthread_mutex_unlock(&log->mutex) == 0);
        return is_due;
}

void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *event)
{
        struct timespec now;
        struct tm tm;
        unsigned left_out = 0;
        char head[96];
        int len;

        line->log = NULL;
        line->len = 0;
        if (!log_wants(log, level)) return;
        clock_gettime(CLOCK_REALTIME, &now);
        if (!is_due(log, event, now.tv_sec, &left_out)) return;
        if (gmtime_r(&now.tv_sec, &tm) == NULL) return;
        len = snprintf(head, sizeof head, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000,
                       level_names[level], event);
        if (len < 0 || (size_t)len >= sizeof head) return;
        line->log = log;
        put(line, head, (size_t)len);
        if (left_out > 0) log_number(line, "left-out", left_out);
}

static bool is_plain(struct bytes value)
{
        size_t i;

        for (i = 0; i < value.len; i++) {
                uint8_t c = value.data[i];

                if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') return false;
        }
        return value.len > 0;
}

/* False: it did not fit whole. */
static bool put_quoted(struct log_line *line, struct bytes value)
{
        size_t i;

        if (!put(line, "\"", 1)) return false;
        for (i = 0; i < value.len; i++) {
                uint8_t c = value.data[i];
                char escaped[5] = {(char)c};
                size_t len = 1;

                if (c == '"' || c == '\\') {
                        escaped[0] = '\\';
                        escaped[1] = (char)c;
                        len = 2;
                } else if (c < ' ' || c >= 0x7f) {
                        snprintf(escaped, sizeof escaped, "\\x%02x", c);
                        len = 4;
                }
                if (!put(line, escaped, len)) return false;
        }
        return put(line, "\"", 1);
}

void log_bytes(struct log_line *line, const char *key, struct bytes value)
{
        if (line->log == NULL) return;
        if (put(line, " ", 1) && put(line, key, strlen(key)) && put(line, "=", 1) &&
            (is_plain(value) ? put(line, (const char *)value.data, value.len) : put_quoted(line, value)))
                return;
        memcpy(line->text + line->len, cut_mark, sizeof cut_mark - 1);
        line->len += sizeof cut_mark - 1;
        line->text[line->len++] = '\n';
        log_end(line);
}

void log_text(struct log_line *line, const char *key, const char *value)
{
        log_bytes(line, key, bytes_of_text(value));
}

void log_number(struct log_line *line, const char *key, int64_t value)
{
        char text[24];
        int len = snprintf(text, sizeof text, "%" PRId64, value);

        log_bytes(line, key, bytes_of(text, (size_t)len));
}

/* A line that cannot be written is lost: there is nowhere else to say so. */
void log_end(struct log_line *line)
{
        ssize_t written;

        if (line->log == NULL) return;
        if (line->text[line->len - 1] != '\n') line->text[line->len++] = '\n';
        written = write(line->log->fd, line->text, line->len);
        (void)written;
        line->log = NULL;
}
