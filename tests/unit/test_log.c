#include "rpc/log.h"

#include <unistd.h>

#include "tests/lib/test.h"

static struct log logger;
static int read_fd;

static int setup(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(pipe(fds), 0);
        read_fd = fds[0];
        log_init(&logger, LOG_INFO, fds[1]);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        close(logger.fd);
        close(read_fd);
        log_fini(&logger);
        return 0;
}

/* What was written, without the time; the log is closed for that. */
static const char *written(void)
{
        static char text[65536];
        ssize_t len;

        log_begin(&(struct log_line){0}, NULL, LOG_ERROR, "nothing");
        assert_int_equal(write(logger.fd, "", 1), 1); /* never blocks */
        len = read(read_fd, text, sizeof text);
        assert_true(len > 0);
        if (len == 1) return "";
        assert_int_equal(text[4], '-');
        assert_int_equal(text[23], 'Z');
        return text + 25;
}

/* A line has time, level, event and pairs; values that are not plain are quoted, and nothing in them ends the quotes or
 * the line. */
static void test_nothing_is_injected(void **state)
{
        struct log_line line;

        (void)state;
        log_begin(&line, &logger, LOG_WARN, "call-failed");
        log_text(&line, "peer", "127.0.0.1:1");
        log_text(&line, "empty", "");
        log_bytes(&line, "path", BYTES("a b\" c=d\\\n\r\0\x7f\xc3\xa9"));
        log_number(&line, "ms", -12);
        log_end(&line);
        assert_string_equal(written(), "warn call-failed peer=127.0.0.1:1 empty=\"\" "
                                       "path=\"a b\\\" c=d\\\\\\x0a\\x0d\\x00\\x7f\\xc3\\xa9\" ms=-12\n");
}

/* A line that does not fit is cut, marked and still one line. */
static void test_long_lines_are_cut(void **state)
{
        char value[2 * LOG_LINE_SIZE];
        struct log_line line;
        const char *text;
        size_t len;

        (void)state;
        memset(value, '"', sizeof value);
        value[sizeof value - 1] = '\0';
        log_begin(&line, &logger, LOG_ERROR, "event");
        log_text(&line, "long", value);
        log_text(&line, "more", "x");
        log_end(&line);
        text = written();
        len = strlen(text);
        assert_true(len < LOG_LINE_SIZE && len > LOG_LINE_SIZE - 40);
        assert_string_equal(text + len - 4, "...\n");
        assert_ptr_equal(strchr(text, '\n'), text + len - 1);
}

/* Lines above the level are not written. */
static void test_level(void **state)
{
        struct log_line line;
        enum log_level level;

        (void)state;
        log_begin(&line, &logger, LOG_DEBUG, "event");
        log_text(&line, "key", "value");
        log_end(&line);
        assert_string_equal(written(), "");
        assert_true(log_level_parse("debug", &level));
        assert_int_equal(level, LOG_DEBUG);
        assert_false(log_level_parse("Debug", &level));
        assert_true(log_wants(&logger, LOG_INFO));
        assert_false(log_wants(NULL, LOG_ERROR));
}

/* Of one event no more than so many lines a second; others are not held up by it, and the next says what is missing. */
static void test_repeated_lines_are_left_out(void **state)
{
        struct log_line line;
        const char *text;
        int count = 0;
        int i;

        (void)state;
        for (i = 0; i < 10 * LOG_BURST; i++) { /* takes less than two seconds, so at most three of them are touched */
                log_begin(&line, &logger, LOG_INFO, "often");
                log_end(&line);
        }
        log_begin(&line, &logger, LOG_INFO, "other");
        log_end(&line);
        logger.events[0].second--; /* as if a second had passed */
        log_begin(&line, &logger, LOG_INFO, "often");
        log_end(&line);
        text = written();
        assert_non_null(strstr(text, "other\n"));
        assert_non_null(strstr(text, "often left-out="));
        for (; (text = strstr(text, "often")) != NULL; text++)
                count++;
        assert_true(count >= LOG_BURST && count <= 3 * LOG_BURST + 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nothing_is_injected, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_lines_are_cut, setup, teardown),
                cmocka_unit_test_setup_teardown(test_level, setup, teardown),
                cmocka_unit_test_setup_teardown(test_repeated_lines_are_left_out, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
