/*
 * Power cuts: what the real program does to its files is traced (trace.h), and for all moments the disk is made as it
 * may stand if the power goes then (disk.h): what is not synced kept, dropped, reordered, torn. Each holds a state that
 * was committed, whole, and all that anybody had an answer about (sweep.h); on some of them the program starts again,
 * and a server's answers are compared with the model (verify.h).
 *
 * Traced are a server under load, `init`, `restore`, `dump`, and a server that takes over from an init that was killed.
 *
 * $ALLOD_CUTS says how many cuts, $ALLOD_CUTS_SEED repeats a run's choices; threads and ids make each trace another, so
 * a failure names its trace, and $ALLOD_CUTS_TRACE goes through that one again.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/stage.h"
#include "tests/crash/sweep.h"
#include "tests/crash/verify.h"
#include "tests/lib/test.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOLDS_SIGNALS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HOLDS_SIGNALS 1
#endif

/* ThreadSanitizer keeps a signal until the thread that got it moves, and a server that nobody has called may sleep in
 * all of them: it would not hear that it shall end. */
#ifdef HOLDS_SIGNALS
#define STARTS_IDLE false
#else
#define STARTS_IDLE true
#endif

#define CUTS_DEFAULT 600
#define WORST_ODDS   4 /* some ten in the slice */
#define STARTS_RARER 4 /* in a long run: a start takes as long as some hundred cuts */
#define SEED_DEFAULT 1 /* the same cuts each time, as far as the traces are the same */

static struct stage stage;
static int trace_fd;
static char trace_path[TEMPDIR_PATH_SIZE + 32], root[TEMPDIR_PATH_SIZE + 8], dump[2][TEMPDIR_PATH_SIZE + 32];
static uint64_t seed, cuts_wanted;
static uint64_t cuts[CUT_KIND_COUNT], absent, states, starts, compared, events, traces;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
        const char *given = getenv(name);

        return given != NULL ? strtoull(given, NULL, 10) : otherwise;
}

/* ---- Tracing ---- */

/* Programs that are started from now on are watched, or not. */
static void watch(bool is_watched)
{
        const char *build = getenv("ALLOD_BUILD"), *options = getenv("ASAN_OPTIONS");
        char text[512];

        if (!is_watched) {
                unsetenv("LD_PRELOAD");
                unsetenv(TRACE_DIE_VARIABLE);
                return;
        }
        snprintf(text, sizeof text, "%s/tests/crash/trace_shim.so", build != NULL ? build : "build");
        setenv("LD_PRELOAD", text, 1);
        setenv(TRACE_FILE_VARIABLE, trace_path, 1);
        setenv(TRACE_ROOT_VARIABLE, root, 1);
        if (options == NULL || strstr(options, "verify_asan_link_order") == NULL) {
                snprintf(text, sizeof text, "%s:verify_asan_link_order=0", options != NULL ? options : "");
                setenv("ASAN_OPTIONS", text, 1);
        }
}

static void note(enum note_kind kind)
{
        const struct note note = {.kind = kind};

        trace_note(trace_fd, &note, sizeof note);
}

static void note_call(void *context, const struct slot *slot, bool is_done, const char *id, const char *secret)
{
        struct note note = {.kind = is_done ? NOTE_DONE : NOTE_SENT, .slot = slot->index, .op = slot->op};

        (void)context;
        snprintf(note.id, sizeof note.id, "%s", id != NULL ? id : "");
        snprintf(note.text, sizeof note.text, "%s", secret != NULL ? secret : "");
        trace_note(trace_fd, &note, sizeof note);
}

/* A stage, and a trace of what is done to its parent's directory `root`. */
static void begin(const char *name)
{
        struct note note = {.kind = NOTE_BEGIN, .number = seed + traces + 1};

        stage_make(&stage);
        snprintf(root, sizeof root, "%s/root", stage.parent.path);
        snprintf(stage.dir, sizeof stage.dir, "%s/store", root);
        snprintf(trace_path, sizeof trace_path, "%s/trace", stage.parent.path);
        snprintf(note.text, sizeof note.text, "%s", name);
        assert_int_equal(mkdir(root, 0700), 0);
        trace_fd = trace_begin(trace_path);
        trace_note(trace_fd, &note, sizeof note);
        trace_root(trace_fd, root);
        traces++;
}

static void run_allod(const char *const *args)
{
        child_start(&stage.child, args);
        stage_expect_exit(&stage, EXIT_DONE);
}

static void init(bool is_demo)
{
        stage_start_init(&stage, is_demo);
        stage_expect_exit(&stage, EXIT_DONE);
}

static void start_serving(void)
{
        stage_start_server(&stage);
        stage_await_server(&stage);
}

static void stop_serving(void)
{
        child_signal(&stage.child, SIGTERM);
        stage_expect_exit(&stage, EXIT_DONE);
}

/* ---- Starting again ---- */

/* What the load knew before event `index`. False: not yet all that there is. */
static bool recall(const struct trace *trace, size_t index, struct load *load)
{
        bool is_ready = false;
        size_t i;

        load_init(load, note_of(&trace->events[0])->number);
        for (i = 0; i < index; i++) {
                const struct note *note = note_of(&trace->events[i]);
                struct slot *slot;

                if (note == NULL) continue;
                if (note->kind == NOTE_READY) is_ready = true;
                if (note->kind != NOTE_SENT && note->kind != NOTE_DONE) continue;
                slot = load_slot(load, note->slot);
                slot->op = note->op;
                if (note->kind == NOTE_DONE)
                        slot_done(slot, note->id[0] != '\0' ? note->id : NULL,
                                  note->text[0] != '\0' ? note->text : NULL);
        }
        return is_ready;
}

static void check(const char *path)
{
        char why[IMAGE_WHY_SIZE];

        if (!image_verify(path, why)) fail_msg("%s, after a start: %s", path, why);
}

/* The server starts on it and shows all that it had acknowledged, and nothing else. */
static void start_server(void *context, const char *path, bool is_there, size_t index)
{
        const struct sweep *sweep = context;

        if (!is_there) return;
        snprintf(stage.dir, sizeof stage.dir, "%s", path);
        if (recall(sweep->trace, index, &stage.load)) {
                start_serving();
                load_verify(&stage.load, false);
                if (atomic_load(&stage.load.failures) > 0)
                        fail_msg("a cut before event %zu of %s with seed %ju: %u answers are wrong; the disk is %s",
                                 index, trace_path, (uintmax_t)sweep->seed, atomic_load(&stage.load.failures), path);
                compared += stage.load.compared;
                load_wait_purged(&stage.load);
                stop_serving();
                check(path);
        }
        load_fini(&stage.load);
}

/* `init` makes a store where there is none; where there is one it serves. */
static void start_init(void *context, const char *path, bool is_there, size_t index)
{
        (void)context;
        (void)index;
        snprintf(stage.dir, sizeof stage.dir, "%s", path);
        if (!is_there) init(false);
        start_serving();
        stop_serving();
        check(path);
}

static void start_restore(void *context, const char *path, bool is_there, size_t index)
{
        const char *const args[] = {"restore", dump[0], "--data", path, NULL};

        if (!is_there) run_allod(args);
        start_init(context, path, true, index);
}

/* ---- Sweeping ---- */

static void say(const struct sweep *sweep, const char *name)
{
        uint64_t all = 0;
        size_t i;

        for (i = 0; i < CUT_KIND_COUNT; i++) {
                cuts[i] += sweep->cuts[i];
                all += sweep->cuts[i];
        }
        absent += sweep->absent;
        states += sweep->states;
        starts += sweep->starts;
        events += sweep->trace->count;
        printf("%s: %zu events, %ju states; %ju cuts, %ju before there was anything, %ju with a start\n", name,
               sweep->trace->count, (uintmax_t)sweep->states, (uintmax_t)all, (uintmax_t)sweep->absent,
               (uintmax_t)sweep->starts);
        fflush(stdout);
}

/* `share`: how many hundredths of all cuts. `starts_wanted` of a default run. */
static void sweep(const char *path, unsigned share, unsigned starts_wanted)
{
        struct trace trace;
        struct sweep sweep = {.trace = &trace, .trace_path = path, .seed = seed + traces, .context = &sweep};
        const char *name;
        unsigned count = (unsigned)(cuts_wanted * share / 100);

        trace_load(path, &trace);
        name = note_of(&trace.events[0])->text;
        sweep.is_store = strcmp(name, "dump") != 0;
        sweep.target = sweep.is_store ? "store" : "dump";
        sweep.look = sweep.is_store ? image_of_store : image_of_file;
        sweep.start_cb = strncmp(name, "init", 4) == 0  ? start_init
                         : strcmp(name, "restore") == 0 ? start_restore
                         : strcmp(name, "dump") == 0    ? NULL
                                                        : start_server;
        if (sweep.start_cb != start_server && !STARTS_IDLE) sweep.start_cb = NULL;
        sweep.rounds = count / (unsigned)trace.count / 3 + 1;
        sweep.cuts_wanted = count;
        sweep.start_odds = CUTS_DEFAULT * share / 100 / starts_wanted;
        if (cuts_wanted > CUTS_DEFAULT) sweep.start_odds *= STARTS_RARER;
        if (sweep.start_odds == 0) sweep.start_odds = 1;
        if (sweep.start_cb == start_server) sweep.worst_odds = WORST_ODDS;
        sweep_run(&sweep);
        say(&sweep, name);
        trace_free(&trace);
}

/* In a long run the server has four fifths of the cuts, since its traces are long. */
static void end(unsigned share, unsigned starts_wanted)
{
        if (cuts_wanted > CUTS_DEFAULT && share < 20) share = share / 3 + 1;
        watch(false);
        close(trace_fd);
        sweep(trace_path, share, starts_wanted);
        tempdir_remove(&stage.parent);
}

/* ---- The tests ---- */

struct size {
        unsigned threads, lanes, calls, fills; /* calls of a thread; large apps */
};

/* A new server in a store without anything, and a load on it, from the first call to the end. */
static void serve_under_load(const struct size *size)
{
        unsigned i;

        start_serving();
        stage.load.note_cb = note_call;
        stage.load.thread_count = size->threads;
        stage.load.lane_count = size->lanes;
        stage.load.calls_max = size->calls;
        load_setup(&stage.load);
        for (i = 0; i < size->fills; i++)
                load_fill(&stage.load);
        note(NOTE_READY);
        load_start(&stage.load);
        load_join(&stage.load);
        assert_int_equal(atomic_load(&stage.load.failures), 0);
        load_wait_purged(&stage.load);
        stop_serving();
        note(NOTE_ENDED);
        load_fini(&stage.load);
}

static void trace_server(const struct size *size, unsigned share, unsigned starts_wanted)
{
        begin("server");
        load_init(&stage.load, seed + traces);
        watch(true);
        init(false);
        serve_under_load(size);
        end(share, starts_wanted);
}

/* What was answered is there after a cut, what was not is there wholly or not at all, and deletion goes on. */
static void test_server(void **state)
{
        static const struct size slice = {2, 4, 40, 1};
        static const struct size sizes[] = {{1, 2, 250, 1}, {2, 4, 150, 2}, {4, 4, 150, 2}, {4, 12, 200, 3}};
        size_t i;

        (void)state;
        if (cuts_wanted <= CUTS_DEFAULT) {
                trace_server(&slice, 40, 10);
                return;
        }
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                trace_server(&sizes[i], 20, 5);
}

/* After a cut there is a whole store or none; once init has said so there is one. */
static void test_init(void **state)
{
        (void)state;
        begin("init");
        watch(true);
        init(false);
        note(NOTE_ENDED);
        end(10, 4);

        /* A directory that somebody has made just now; and rows that are put later. */
        begin("init in a directory");
        trace_mkdir(trace_fd, root, "store");
        watch(true);
        init(true);
        note(NOTE_ENDED);
        end(10, 4);
}

/* A store to be dumped, and its dump: the demo store, and more in it the second time. */
static void make_dumps(void)
{
        char store[sizeof stage.dir];
        size_t i;

        snprintf(store, sizeof store, "%s/source", stage.parent.path);
        for (i = 0; i < 2; i++) {
                const char *const init_args[] = {"init", "--demo", "--data", store, NULL};
                const char *const add_args[] = {"user", "add", "--data", store, NULL};
                const char *const dump_args[] = {"dump", "--data", store, "-o", dump[i], NULL};

                snprintf(dump[i], sizeof dump[i], "%s/dump-%zu", stage.parent.path, i);
                run_allod(i == 0 ? init_args : add_args);
                run_allod(dump_args);
        }
}

/* After a cut there is the whole of the restored store or none; once restore has said so there is one. */
static void test_restore(void **state)
{
        (void)state;
        begin("restore");
        make_dumps();
        watch(true);
        {
                const char *const args[] = {"restore", dump[0], "--data", stage.dir, NULL};

                run_allod(args);
        }
        note(NOTE_ENDED);
        end(15, 4);
}

/* Under a dump's name is the old one or the new one, whole; once dump has said so the new one. */
static void test_dump(void **state)
{
        char target[sizeof root + 8];
        size_t i;

        (void)state;
        begin("dump");
        make_dumps();
        snprintf(target, sizeof target, "%s/dump", root);
        for (i = 0; i < 2; i++) {
                const char *const restore_args[] = {"restore", dump[i], "--data", stage.dir, NULL};
                const char *const dump_args[] = {"dump", "--data", stage.dir, "-o", target, NULL};

                snprintf(stage.dir, sizeof stage.dir, "%s/store-%zu", stage.parent.path, i);
                run_allod(restore_args);
                watch(true);
                run_allod(dump_args);
                watch(false);
                note(NOTE_ENDED);
        }
        end(10, 1);
}

/* An init that was killed before it had synced the name of what it had made is no trap for the server that comes after
 * it: what that answers stays. */
static void test_takeover(void **state)
{
        static const struct size size = {1, 2, 6, 0};
        int status;

        (void)state;
        begin("takeover");
        load_init(&stage.load, seed + traces);
        watch(true);
        setenv(TRACE_DIE_VARIABLE, "1", 1);
        stage_start_init(&stage, false);
        status = child_wait(&stage.child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        unsetenv(TRACE_DIE_VARIABLE);
        serve_under_load(&size);
        end(15, 3);
}

/* The trace of a run that failed. */
static void test_given(void **state)
{
        (void)state;
        stage_make(&stage);
        make_dumps();
        snprintf(trace_path, sizeof trace_path, "%s", getenv("ALLOD_CUTS_TRACE"));
        sweep(trace_path, 100, 10);
        tempdir_remove(&stage.parent);
}

static int start(void **state)
{
        (void)state;
        seed = number_of("ALLOD_CUTS_SEED", SEED_DEFAULT);
        cuts_wanted = number_of("ALLOD_CUTS", CUTS_DEFAULT);
        signal(SIGPIPE, SIG_IGN);
        printf("seed %ju\n", (uintmax_t)seed);
        fflush(stdout);
        return 0;
}

static int say_counts(void **state)
{
        uint64_t all = 0;
        enum cut_kind kind;

        (void)state;
        for (kind = 0; kind < CUT_KIND_COUNT; kind++)
                all += cuts[kind];
        printf("%ju traces with %ju events and %ju states\n%ju cuts survived", (uintmax_t)traces, (uintmax_t)events,
               (uintmax_t)states, (uintmax_t)all);
        for (kind = 0; kind < CUT_KIND_COUNT; kind++)
                printf("%s %ju with %s", kind == 0 ? ":" : ",", (uintmax_t)cuts[kind], cut_names[kind]);
        printf(" of what was not synced; %ju of them before there was anything\n"
               "%ju starts after a cut; %ju things compared through a server\n",
               (uintmax_t)absent, (uintmax_t)starts, (uintmax_t)compared);
        fflush(stdout);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_server), cmocka_unit_test(test_init),     cmocka_unit_test(test_restore),
                cmocka_unit_test(test_dump),   cmocka_unit_test(test_takeover),
        };
        const struct CMUnitTest given[] = {cmocka_unit_test(test_given)};

        if (getenv("ALLOD_CUTS_TRACE") != NULL) return cmocka_run_group_tests_name("cuts", given, start, say_counts);
        return cmocka_run_group_tests_name("cuts", tests, start, say_counts);
}
