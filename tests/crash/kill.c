/*
 * kill -9, again and again: the real server under write load dies at a random moment; what it had acknowledged is there
 * when it comes back, nothing is half done, and all that was deleted stays so. Likewise SIGTERM, `allod init`, and a
 * second server on the same store.
 *
 * After each death the files are read first as they were left (verify.h), then the server starts on them and its
 * answers are compared with the model (verify.h). A store serves for some deaths and then makes place for a new one, so
 * that looking at all of it stays cheap.
 *
 * $ALLOD_CRASH_SEED repeats a run's choices, as far as moments can be chosen; $ALLOD_CRASH_KILLS says how many deaths.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/verify.h"
#include "tests/crash/stage.h"
#include "tests/crash/verify.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif

/* A sanitizer makes each round some five times as long, and finds in a few rounds what it is there for. */
#ifdef IS_SANITIZED
#define KILLS_DEFAULT 30
#define INIT_KILLS    10
#define TERMS         4
#define SLOWER        4
#else
#define KILLS_DEFAULT 200
#define INIT_KILLS    40
#define TERMS         12
#define SLOWER        1
#endif

#define KILLS_PER_STORE 40                         /* the large apps are due for deletion after some ten */
#define LOAD_US_MAX     (INT64_C(120000) * SLOWER) /* of load before a death: some dozens of commits */
#define START_US_MAX    (INT64_C(40000) * SLOWER)  /* `allod serve` is ready after some 20 ms */
#define INIT_US_MAX     (INT64_C(25000) * SLOWER)

static struct slot dice; /* of the test itself */
static uint64_t seed;
static uint64_t kills, start_kills, init_kills, terms;
static uint64_t checks, rows, hidden, sent, acknowledged, refused, open_calls, open_done, compared;

static unsigned kills_wanted(void)
{
        const char *given = getenv("ALLOD_CRASH_KILLS");

        return given != NULL ? (unsigned)strtoul(given, NULL, 10) : KILLS_DEFAULT;
}

static int64_t dice_us(int64_t max)
{
        return slot_random(&dice, (uint32_t)max);
}

/* ---- The store's files ---- */

static void say(void *context, const char *sentence)
{
        (void)context;
        fprintf(stderr, "%s\n", sentence);
}

static void check_files(const struct stage *stage, bool is_settled)
{
        struct verify verify = {.is_settled = is_settled, .found_cb = say};
        char why[256];

        if (verify_dir(stage->dir, (size_t)4 << 30, &verify, why) != R_OK) fail_msg("%s: %s", stage->dir, why);
        checks++;
        rows += verify.row_count;
        hidden += verify.hidden_count;
        if (verify.found_count > 0)
                fail_msg("after %ju kills with seed %ju: %ju things wrong in %ju rows", (uintmax_t)kills,
                         (uintmax_t)seed, (uintmax_t)verify.found_count, (uintmax_t)verify.row_count);
}

/* ---- The server ---- */

static void expect_killed(struct stage *stage)
{
        int status = child_wait(&stage->child);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                fail_msg("status %#x instead of a kill; it printed: %s", (unsigned)status, stage->child.output);
}

static void open_stage(struct stage *stage)
{
        stage_make(stage);
        load_init(&stage->load, seed + kills);
        stage_start_init(stage, false);
        stage_expect_exit(stage, EXIT_DONE);
        stage_start_server(stage);
        stage_await_server(stage);
        load_setup(&stage->load);
        load_fill(&stage->load);
}

static void expect_no_failure(const struct stage *stage)
{
        if (atomic_load(&stage->load.failures) > 0)
                fail_msg("after %ju kills with seed %ju: %u answers are wrong", (uintmax_t)kills, (uintmax_t)seed,
                         atomic_load(&stage->load.failures));
}

static void verify(struct stage *stage, bool tries_all_keys)
{
        load_verify(&stage->load, tries_all_keys);
        expect_no_failure(stage);
}

/* The server, which runs, purges what it has to, ends, and leaves nothing behind. */
static void close_stage(struct stage *stage)
{
        verify(stage, true);
        load_wait_purged(&stage->load);
        child_signal(&stage->child, SIGTERM);
        stage_expect_exit(stage, EXIT_DONE);
        check_files(stage, true);
        sent += stage->load.sent;
        acknowledged += stage->load.acknowledged;
        refused += stage->load.refused;
        open_calls += stage->load.open;
        open_done += stage->load.open_done;
        compared += stage->load.compared;
        load_fini(&stage->load);
        tempdir_remove(&stage->parent);
}

/* ---- Deaths ---- */

/* Under load; the server runs before and not after. */
static void kill_under_load(struct stage *stage)
{
        load_start(&stage->load);
        child_watch(&stage->child, dice_us(LOAD_US_MAX));
        child_signal(&stage->child, SIGKILL);
        expect_killed(stage);
        load_join(&stage->load);
        expect_no_failure(stage);
        check_files(stage, false);
        kills++;
}

/* While it starts, and finds what to purge. */
static void kill_at_start(struct stage *stage)
{
        stage_start_server(stage);
        child_watch(&stage->child, dice_us(START_US_MAX));
        child_signal(&stage->child, SIGKILL);
        expect_killed(stage);
        check_files(stage, false);
        kills++;
        start_kills++;
}

/* Every acknowledged write survives kill -9 of the server whole, and every other one wholly or not at all. */
static void test_kill(void **state)
{
        static struct stage stage;
        unsigned wanted = kills_wanted();

        (void)state;
        while (kills < wanted) {
                uint64_t last = kills + KILLS_PER_STORE < wanted ? kills + KILLS_PER_STORE : wanted;

                open_stage(&stage);
                while (kills < last) {
                        kill_under_load(&stage);
                        while (kills < last && slot_random(&dice, 8) == 0)
                                kill_at_start(&stage);
                        stage_start_server(&stage);
                        stage_await_server(&stage);
                        verify(&stage, false);
                        if (kills % 2 == 0) load_fill(&stage.load);
                }
                close_stage(&stage);
        }
        assert_true(acknowledged > kills);
}

/* SIGTERM under load: calls in flight are finished or refused, the exit is clean, and what was acknowledged is there.
 */
static void test_term(void **state)
{
        static struct stage stage;
        int i;

        (void)state;
        open_stage(&stage);
        for (i = 0; i < TERMS; i++) {
                atomic_store(&stage.load.may_refuse, false);
                load_start(&stage.load);
                child_watch(&stage.child, dice_us(LOAD_US_MAX));
                atomic_store(&stage.load.may_refuse, true);
                child_signal(&stage.child, SIGTERM);
                stage_expect_exit(&stage, EXIT_DONE);
                load_join(&stage.load);
                expect_no_failure(&stage);
                check_files(&stage, false);
                terms++;
                stage_start_server(&stage);
                stage_await_server(&stage);
                verify(&stage, false);
                assert_int_equal(stage.load.open_done, 0);
        }
        close_stage(&stage);
}

/* A second server on a store that is served is refused, says who serves it, and leaves the first one as it was. */
static void test_second_server(void **state)
{
        static struct stage stage;
        struct child first;
        char wanted[64];

        (void)state;
        open_stage(&stage);
        load_start(&stage.load);
        first = stage.child;
        stage_start_server(&stage);
        stage_expect_exit(&stage, EXIT_FAILED);
        snprintf(wanted, sizeof wanted, "is held by process %d, which serves at", (int)first.pid);
        if (strstr(stage.child.output, wanted) == NULL) fail_msg("it says: %s", stage.child.output);
        stage.child = first;
        atomic_store(&stage.load.is_stopping, true);
        load_join(&stage.load);
        assert_int_equal(stage.load.open, 0);
        close_stage(&stage);
}

/* `allod init` killed at any moment leaves a whole store or none, and can be repeated. */
static void test_init(void **state)
{
        static struct stage stage;
        char data[sizeof stage.dir + 16];
        int i;

        (void)state;
        for (i = 0; i < INIT_KILLS; i++) {
                bool is_demo = i % 2 == 1;
                bool is_there;
                int status;

                stage_make(&stage);
                stage_start_init(&stage, is_demo);
                child_watch(&stage.child, dice_us(INIT_US_MAX));
                child_signal(&stage.child, SIGKILL);
                status = child_wait(&stage.child);
                assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_DONE);
                if (WIFSIGNALED(status)) init_kills++;

                snprintf(data, sizeof data, "%s/data.mdb", stage.dir);
                is_there = access(data, F_OK) == 0;
                if (is_there) check_files(&stage, true);
                stage_start_init(&stage, is_demo);
                stage_expect_exit(&stage, is_there && !is_demo ? EXIT_FAILED : EXIT_DONE);
                check_files(&stage, true);
                tempdir_remove(&stage.parent);
        }
}

static int start_dice(void **state)
{
        const char *given = getenv("ALLOD_CRASH_SEED");
        struct timespec now;

        (void)state;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = given != NULL ? strtoull(given, NULL, 10)
                             : (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        dice.random = seed;
        signal(SIGPIPE, SIG_IGN);
        printf("seed %ju\n", (uintmax_t)seed);
        fflush(stdout);
        return 0;
}

static int say_counts(void **state)
{
        (void)state;
        printf("%ju kills of the server, %ju of them while it started; %ju kills of init; %ju ends by SIGTERM\n"
               "%ju calls, %ju acknowledged, %ju refused, %ju open at the end; of those %ju had been done\n"
               "%ju checks of the files: %ju rows, %ju of them waiting for the purge; %ju things compared through the "
               "server\n",
               (uintmax_t)kills, (uintmax_t)start_kills, (uintmax_t)init_kills, (uintmax_t)terms, (uintmax_t)sent,
               (uintmax_t)acknowledged, (uintmax_t)refused, (uintmax_t)open_calls, (uintmax_t)open_done,
               (uintmax_t)checks, (uintmax_t)rows, (uintmax_t)hidden, (uintmax_t)compared);
        fflush(stdout);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kill),
                cmocka_unit_test(test_term),
                cmocka_unit_test(test_second_server),
                cmocka_unit_test(test_init),
        };

        return cmocka_run_group_tests_name("crash", tests, start_dice, say_counts);
}
