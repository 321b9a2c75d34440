#include "tests/lib/abort.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

bool aborts(void (*run)(void *arg), void *arg)
{
        const struct rlimit no_core = {0, 0};
        int status;
        pid_t child = fork();

        if (child < 0) return false;
        if (child == 0) {
                signal(SIGABRT, SIG_DFL); /* cmocka and the sanitizers have handlers */
                setrlimit(RLIMIT_CORE, &no_core);
                dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
                run(arg);
                _exit(0);
        }
        return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
