/* Making, opening, purging and closing a store, with each call of LMDB and each system call failing that they make: a
 * sentence says why, nothing stays open, no acknowledged write is lost, and the next try succeeds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/store_private.h"
#include "engine/verify.h"
#include "rpc/reply.h"
#include "tests/lib/faults.h"
#include "tests/lib/lmdb_fault.h"
#include "tests/lib/methods.h"
#include "tests/lib/test.h"

/* The calls that a failure of this sort may hit. */
#define WRITES (FAULT_BIT(WRITE) | FAULT_BIT(PWRITE))
#define FILES  (WRITES | FAULT_BIT(SYNC) | FAULT_BIT(ALLOCATE) | FAULT_BIT(TRUNCATE) | FAULT_BIT(OPEN) | FAULT_BIT(MAKE))

/* Anything in the way takes at most this long to go by itself. */
#define PATIENCE_SECONDS 60

static struct ground ground;
static char why[STORE_WHY_SIZE];
static unsigned long injected;

static const struct trouble {
        const char *name;
        bool is_lmdb;
        int code;
        uint64_t mask; /* of system calls */
} troubles[] = {
        {"EIO", false, EIO, FILES | FAULT_BIT(READ) | FAULT_BIT(PREAD)},
        {"ENOSPC", false, ENOSPC, FILES},
        {"half of a write", false, 0, WRITES},
        {"EMFILE", false, EMFILE, FAULT_BIT(OPEN)},
        {"EACCES", false, EACCES, FAULT_BIT(OPEN) | FAULT_BIT(MAKE)},
        {"ENOMEM", false, ENOMEM, FAULT_BIT(MAP)},
        {"EAGAIN", false, EAGAIN, FAULT_BIT(THREAD)},
        {"EINTR", false, EINTR, FAULT_BIT(OPEN) | FAULT_BIT(LOCK) | FAULT_BIT(ALLOCATE)},
        {"ENOLCK", false, ENOLCK, FAULT_BIT(LOCK)},
        {"MDB_PANIC", true, MDB_PANIC, 0},
        {"MDB_CORRUPTED", true, MDB_CORRUPTED, 0},
        {"MDB_VERSION_MISMATCH", true, MDB_VERSION_MISMATCH, 0},
        {"ENOMEM of LMDB", true, ENOMEM, 0},
        {"EIO of LMDB", true, EIO, 0},
        {"MDB_MAP_FULL", true, MDB_MAP_FULL, 0},
        {"MDB_TXN_FULL", true, MDB_TXN_FULL, 0},
        {"MDB_READERS_FULL", true, MDB_READERS_FULL, 0},
};

static void start(unsigned long n, const struct trouble *trouble)
{
        lmdb_fault_at(trouble->is_lmdb ? n : 0, trouble->code, false);
        faults_at(trouble->is_lmdb ? 0 : n, trouble->mask, trouble->code, 0);
}

/* Ends it; whether anything failed. */
static bool end(unsigned long n, const struct trouble *trouble)
{
        bool has_fired = trouble->is_lmdb ? lmdb_fault_count() >= n : faults_here()->fired > 0;

        start(0, trouble);
        injected += has_fired;
        return has_fired;
}

static size_t count_open_files(void)
{
        DIR *listing = opendir("/proc/self/fd");
        size_t count = 0;

        assert_non_null(listing);
        while (readdir(listing) != NULL)
                count++;
        closedir(listing);
        return count;
}

/* ---- The store of the ground, opened and closed here ---- */

static void close_store(void)
{
        struct fixture *fixture = &ground.loopback.fixture;

        view_close(fixture->view);
        store_close(fixture->store);
        fixture->view = NULL;
        fixture->store = NULL;
}

static enum result open_store(void)
{
        struct fixture *fixture = &ground.loopback.fixture;
        const struct store_options options = {.dir = fixture->dir, .map_size = (size_t)64 << 20, .is_forced = true};
        enum result r = store_open(&options, &fixture->store, NULL, NULL, why);

        if (r != R_OK) return r;
        assert_int_equal(view_open(fixture->store, &fixture->view), R_OK);
        ground.loopback.host.store = fixture->store;
        ground.loopback.host.view = fixture->view;
        return R_OK;
}

static void must_open(void)
{
        if (open_store() != R_OK) fail_msg("%s", why);
}

static const struct method_call create_app = {"/allod.v1.AppService/CreateApp", ANN_KEY,
                                              "1(2sanother 4(1v1) 5(1shttp://host/model))"};
static const struct method_call delete_app = {"/allod.v1.AppService/DeleteApp", ANN_KEY, "1sA"};

/* A store that found no room for its reserve takes updates by and by. */
static void must_write(void)
{
        time_t until = time(NULL) + PATIENCE_SECONDS;
        int answer;

        while ((answer = methods_call(&ground, &create_app)) == GRPC_UNAVAILABLE && time(NULL) < until)
                sched_yield();
        assert_int_equal(answer, GRPC_OK);
}

/* ---- Opening ---- */

/* True: nothing failed any more. */
static bool try_start(unsigned long n, const struct trouble *trouble)
{
        struct methods_digest before;
        bool has_fired;
        size_t files;
        enum result r;

        methods_open(&ground);
        before = methods_digest(&ground);
        close_store();
        files = count_open_files();
        why[0] = '\0';
        start(n, trouble);
        r = open_store();
        has_fired = end(n, trouble);
        if (r != R_OK) {
                if (!has_fired || why[0] == '\0') fail_msg("%s at %lu: %s", trouble->name, n, result_name(r));
                assert_null(ground.loopback.fixture.store);
                if (count_open_files() != files) fail_msg("%s at %lu: a descriptor is left", trouble->name, n);
                must_open();
        }
        if (methods_digest(&ground).all != before.all) fail_msg("%s at %lu: lost", trouble->name, n);
        must_write();
        methods_verify(&ground);
        methods_close(&ground);
        return !has_fired;
}

/* ---- Closing ---- */

static bool try_close(unsigned long n, const struct trouble *trouble)
{
        struct methods_digest before;
        int64_t time_ms;
        bool has_fired;

        methods_open(&ground);
        close_store();
        must_open(); /* with the system's clock, whose time it saves when it closes */
        must_write();
        before = methods_digest(&ground);
        time_ms = store_time_ms(ground.loopback.fixture.store);
        start(n, trouble);
        close_store();
        has_fired = end(n, trouble);
        must_open();
        if (methods_digest(&ground).all != before.all) fail_msg("%s at %lu: lost", trouble->name, n);
        assert_true(store_time_ms(ground.loopback.fixture.store) >= time_ms);
        must_write();
        methods_verify(&ground);
        methods_close(&ground);
        return !has_fired;
}

/* ---- Purging ---- */

static atomic_bool has_failed;

static void on_event(void *context, enum writer_event event, enum result r)
{
        (void)context;
        (void)r;
        if (event == WRITER_CHORE || event == WRITER_LATCHED || event == WRITER_READ_ONLY)
                atomic_store(&has_failed, true);
}

static enum result read_backlog(struct txn *txn, void *arg)
{
        struct store_stat stat;

        store_stat(txn, &stat);
        *(uint64_t *)arg = stat.purge_backlog;
        return R_OK;
}

/* Until the purge has done its work, or has failed. */
static void wait_for_purge(void)
{
        time_t until = time(NULL) + PATIENCE_SECONDS;
        uint64_t backlog = 1;

        while (!atomic_load(&has_failed) && time(NULL) < until) {
                if (fixture_view(&ground.loopback.fixture, read_backlog, &backlog) != R_OK || backlog == 0) return;
                sched_yield();
        }
        assert_true(atomic_load(&has_failed));
}

static bool try_purge(unsigned long n, const struct trouble *trouble)
{
        struct verify settled = {.is_settled = true};
        bool has_fired;
        int answer;

        methods_open(&ground);
        atomic_store(&has_failed, false);
        writer_set_event_cb(store_writer(ground.loopback.fixture.store), NULL, on_event);
        start(n, trouble);
        answer = methods_call(&ground, &delete_app);
        if (answer == GRPC_OK) wait_for_purge();
        has_fired = end(n, trouble);
        writer_set_event_cb(store_writer(ground.loopback.fixture.store), NULL, NULL);
        close_store();
        must_open();
        if (answer != GRPC_OK) {
                if (!has_fired) fail_msg("%s at %lu: %d", trouble->name, n, answer);
                answer = methods_call(&ground, &delete_app);
                if (answer != GRPC_OK && answer != GRPC_NOT_FOUND)
                        fail_msg("%s at %lu, again: %d", trouble->name, n, answer);
        }
        atomic_store(&has_failed, false);
        wait_for_purge();
        assert_int_equal(fixture_view(&ground.loopback.fixture, verify_run, &settled), R_OK);
        if (settled.found_count > 0) fail_msg("%s at %lu: verify", trouble->name, n);
        methods_close(&ground);
        return !has_fired;
}

/* ---- Making ---- */

static char place[256];

static void remove_store(void)
{
        static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "reserve"};
        char path[300];
        size_t i;

        for (i = 0; i < sizeof names / sizeof *names; i++) {
                snprintf(path, sizeof path, "%s/%s", place, names[i]);
                (void)unlink(path);
        }
        if (rmdir(place) != 0 && errno != ENOENT) fail_msg("%s is not empty", place);
}

static bool try_create(unsigned long n, const struct trouble *trouble)
{
        const struct store_options options = {.dir = place, .map_size = (size_t)64 << 20, .is_forced = true};
        size_t files = count_open_files();
        struct store *store = NULL;
        bool has_fired;
        enum result r;

        why[0] = '\0';
        start(n, trouble);
        r = store_create(place, false, why);
        has_fired = end(n, trouble);
        if (count_open_files() != files) fail_msg("%s at %lu: a descriptor is left", trouble->name, n);
        if (r != R_OK) {
                if (!has_fired || why[0] == '\0') fail_msg("%s at %lu: %s", trouble->name, n, result_name(r));
                if (store_open(&options, &store, NULL, NULL, why) != R_ABSENT)
                        fail_msg("%s at %lu: there is a store", trouble->name, n);
                r = store_create(place, false, why);
                if (r != R_OK) fail_msg("%s at %lu, again: %s", trouble->name, n, why);
        }
        r = store_open(&options, &store, NULL, NULL, why);
        if (r != R_OK) fail_msg("%s at %lu: %s", trouble->name, n, why);
        store_close(store);
        remove_store();
        return !has_fired;
}

/* ---- The sweeps ---- */

static void sweep(const char *name, bool (*attempt)(unsigned long n, const struct trouble *trouble))
{
        unsigned long n;
        size_t i;

        injected = 0;
        for (i = 0; i < sizeof troubles / sizeof *troubles; i++) {
                if (!troubles[i].is_lmdb && !faults_may_fail()) continue;
                for (n = 1; !attempt(n, &troubles[i]); n++)
                        ;
        }
        printf("failures injected: %lu (%s)\n", injected, name);
        assert_true(injected > 0);
}

static void test_create(void **state)
{
        const char *root = getenv("TMPDIR");

        (void)state;
        snprintf(place, sizeof place, "%s/allod-test-%d", root == NULL ? "/tmp" : root, (int)getpid());
        sweep("init", try_create);
}

static void test_start(void **state)
{
        (void)state;
        sweep("start", try_start);
}

static void test_purge(void **state)
{
        (void)state;
        sweep("purge", try_purge);
}

static void test_close(void **state)
{
        (void)state;
        sweep("shutdown", try_close);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_create),
                cmocka_unit_test(test_start),
                cmocka_unit_test(test_purge),
                cmocka_unit_test(test_close),
        };

        /* Thousands of commits: in memory, where there is such a place. */
        if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
