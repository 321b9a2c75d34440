#include "tests/crash/stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/lib/test.h"

void stage_make(struct stage *stage)
{
        memset(stage, 0, sizeof *stage);
        tempdir_make(&stage->parent);
        snprintf(stage->dir, sizeof stage->dir, "%s/store", stage->parent.path);
}

void stage_start_init(struct stage *stage, bool is_demo)
{
        const char *const args[] = {"init", "--data", stage->dir, is_demo ? "--demo" : NULL, NULL};

        child_start(&stage->child, args);
}

void stage_start_server(struct stage *stage)
{
        const char *const args[] = {"serve",      "--data", stage->dir,  "--listen", "127.0.0.1:0",
                                    "--map-size", "4G",     "--workers", "2",        NULL};

        child_start(&stage->child, args);
}

void stage_await_server(struct stage *stage)
{
        char address[LOAD_ADDRESS_SIZE], admin[LOAD_ADDRESS_SIZE];

        if (!child_read_until(&stage->child, " workers=")) fail_msg("it does not serve: %s", stage->child.output);
        assert_true(child_word(&stage->child, "address=", address, sizeof address));
        assert_true(child_word(&stage->child, "admin=", admin, sizeof admin));
        load_set_address(&stage->load, address, admin);
}

void stage_expect_exit(struct stage *stage, int code)
{
        int status = child_wait(&stage->child);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
                fail_msg("status %#x instead of exit %d; it printed: %s", (unsigned)status, code, stage->child.output);
}
