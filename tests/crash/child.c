#include "tests/crash/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/test.h"

static int64_t now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void child_start(struct child *child, const char *const *args)
{
        const char *program = getenv("ALLOD");
        const char *argv[CHILD_ARGS_MAX + 2] = {"allod"};
        posix_spawn_file_actions_t actions;
        int fds[2];
        size_t i;

        for (i = 0; args[i] != NULL; i++) {
                assert_true(i < CHILD_ARGS_MAX);
                argv[i + 1] = args[i];
        }
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
        child->len = 0;
        child->output[0] = '\0';
        child->fd = fds[0];
        assert_int_equal(posix_spawn(&child->pid, program != NULL ? program : "build/allod", &actions, NULL,
                                     (char *const *)argv, environ),
                         0);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[1]);
}

/* When there is no room, the older half goes. False: it has closed its end. */
static bool read_some(struct child *child)
{
        ssize_t len;

        if (child->len > CHILD_OUTPUT_SIZE - 512) {
                memmove(child->output, child->output + child->len / 2, child->len - child->len / 2);
                child->len -= child->len / 2;
        }
        len = read(child->fd, child->output + child->len, CHILD_OUTPUT_SIZE - 1 - child->len);
        if (len < 0 && errno == EINTR) return true;
        assert_true(len >= 0);
        child->len += (size_t)len;
        child->output[child->len] = '\0';
        return len > 0;
}

/* False: the time is over or it has closed its end. */
static bool read_before(struct child *child, int64_t until_us)
{
        struct timespec left;
        struct pollfd poll_fd = {.fd = child->fd, .events = POLLIN};
        int64_t left_us = until_us - now_us();

        if (left_us <= 0) return false;
        left = (struct timespec){left_us / 1000000, left_us % 1000000 * 1000};
        if (ppoll(&poll_fd, 1, &left, NULL) <= 0) return now_us() < until_us;
        return read_some(child);
}

bool child_read_until(struct child *child, const char *text)
{
        int64_t until_us = now_us() + CHILD_PATIENCE_MS * INT64_C(1000);

        while (strstr(child->output, text) == NULL) {
                if (read_before(child, until_us)) continue;
                if (now_us() >= until_us) fail_msg("`%s` does not come; there is: %s", text, child->output);
                return false;
        }
        return true;
}

bool child_word(const struct child *child, const char *prefix, char *out, size_t size)
{
        const char *at = strstr(child->output, prefix);
        size_t len;

        if (at == NULL) return false;
        at += strlen(prefix);
        len = strcspn(at, " \n");
        if (len >= size) return false;
        memcpy(out, at, len);
        out[len] = '\0';
        return true;
}

void child_watch(struct child *child, int64_t microseconds)
{
        int64_t until_us = now_us() + microseconds;

        while (read_before(child, until_us))
                continue;
}

void child_signal(const struct child *child, int number)
{
        assert_true(child->pid > 0);
        assert_int_equal(kill(child->pid, number), 0);
}

int child_wait(struct child *child)
{
        int64_t until_us = now_us() + CHILD_PATIENCE_MS * INT64_C(1000);
        int status;

        while (read_before(child, until_us))
                continue;
        if (now_us() >= until_us) {
                kill(child->pid, SIGKILL);
                fail_msg("it does not end; it printed: %s", child->output);
        }
        assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
        close(child->fd);
        child->pid = 0;
        /* A killed one has no exit code to say it with. */
        if (strstr(child->output, "Sanitizer: ") != NULL)
                fail_msg("a sanitizer has found something: %s", child->output);
        return status;
}
