#include "engine/require.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

/* A true condition does nothing and is evaluated once. */
static void test_true_passes(void **state)
{
        int count = 0;

        (void)state;
        REQUIRE(++count == 1);
        assert_int_equal(count, 1);
}

/* A false one, in whatever build, aborts the process and names the condition on standard error. */
static void test_false_aborts(void **state)
{
        char text[512];
        size_t len = 0;
        ssize_t got;
        int ends[2];
        int status;
        pid_t child;

        (void)state;
        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                signal(SIGABRT, SIG_DFL);
                dup2(ends[1], STDERR_FILENO);
                REQUIRE(getpid() == 1);
                _exit(0);
        }
        close(ends[1]);
        while (len < sizeof text - 1 && (got = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
                len += (size_t)got;
        text[len] = '\0';
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
        assert_non_null(strstr(text, "test_require.c:"));
        assert_non_null(strstr(text, "getpid() == 1"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_true_passes),
                cmocka_unit_test(test_false_aborts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
