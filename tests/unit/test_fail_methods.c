/* Every method, with each allocation, each call of LMDB and each system call failing that it makes: it has a documented
 * outcome, does all of its work or none, and the store goes on, or stops writing as it must, and then opens again. */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/store_private.h"
#include "rpc/method.h"
#include "rpc/reply.h"
#include "tests/lib/faults.h"
#include "tests/lib/heap.h"
#include "tests/lib/lmdb_fault.h"
#include "tests/lib/methods.h"
#include "tests/lib/test.h"

#define CODE(name) (1u << GRPC_##name)

static struct ground ground;
static unsigned long injected;

/* What fails, with what, and what the call may answer; that it is as it were not is always right, unless it must not
 * be, because the failure lasts and is where the work is done. */
struct trouble {
        const char *name;
        int code;
        unsigned answers;
        bool is_lasting;
        uint64_t mask; /* of system calls */
};

struct injector {
        void (*start)(unsigned long n, const struct trouble *trouble);
        bool (*has_fired)(unsigned long n);
};

/* ---- The heap ---- */

static void start_heap(unsigned long n, const struct trouble *trouble)
{
        (void)trouble;
        heap_fail_at(n);
}

static bool heap_has_fired(unsigned long n)
{
        return heap_count() >= n && n > 0;
}

static const struct injector heap = {start_heap, heap_has_fired};

static const struct trouble heap_troubles[] = {{"no memory", 0, CODE(RESOURCE_EXHAUSTED), false, 0}};

/* ---- LMDB ---- */

static void start_lmdb(unsigned long n, const struct trouble *trouble)
{
        lmdb_fault_at(n, trouble->code, trouble->is_lasting);
}

static bool lmdb_has_fired(unsigned long n)
{
        return lmdb_fault_count() >= n && n > 0;
}

static const struct injector lmdb = {start_lmdb, lmdb_has_fired};

/* A commit whose failure may be a sync's is unknown, and so is one after which LMDB gives no transaction. */
static const struct trouble lmdb_troubles[] = {
        {"MDB_PANIC", MDB_PANIC, CODE(DATA_LOSS) | CODE(UNAVAILABLE), false, 0},
        {"MDB_PANIC for good", MDB_PANIC, CODE(DATA_LOSS) | CODE(UNAVAILABLE), true, 0},
        {"MDB_PAGE_NOTFOUND", MDB_PAGE_NOTFOUND, CODE(DATA_LOSS), false, 0},
        {"ENOMEM", ENOMEM, CODE(RESOURCE_EXHAUSTED), false, 0},
        {"ENOMEM for good", ENOMEM, CODE(RESOURCE_EXHAUSTED) | CODE(UNAVAILABLE), true, 0},
        {"EIO", EIO, CODE(INTERNAL) | CODE(UNAVAILABLE), false, 0},
        {"EIO for good", EIO, CODE(INTERNAL) | CODE(UNAVAILABLE), true, 0},
        {"MDB_MAP_FULL", MDB_MAP_FULL, CODE(UNAVAILABLE), false, 0},
        {"MDB_MAP_FULL for good", MDB_MAP_FULL, CODE(UNAVAILABLE), true, 0},
        {"ENOSPC", ENOSPC, CODE(UNAVAILABLE), false, 0},
        {"MDB_TXN_FULL", MDB_TXN_FULL, CODE(RESOURCE_EXHAUSTED), false, 0},
        {"MDB_TXN_FULL for good", MDB_TXN_FULL, CODE(RESOURCE_EXHAUSTED), true, 0},
        {"MDB_BAD_TXN", MDB_BAD_TXN, CODE(INTERNAL), false, 0},
        {"MDB_READERS_FULL", MDB_READERS_FULL, CODE(RESOURCE_EXHAUSTED), false, 0},
};

/* ---- System calls ---- */

static void start_faults(unsigned long n, const struct trouble *trouble)
{
        faults_at(n, trouble == NULL ? 0 : trouble->mask, trouble == NULL ? 0 : trouble->code,
                  trouble != NULL && trouble->is_lasting);
}

static bool faults_have_fired(unsigned long n)
{
        return faults_here()->fired > 0 && n > 0;
}

static const struct injector faults = {start_faults, faults_have_fired};

#define WRITES  (FAULT_BIT(PWRITE) | FAULT_BIT(WRITE))
#define STORAGE (WRITES | FAULT_BIT(SYNC) | FAULT_BIT(ALLOCATE) | FAULT_BIT(TRUNCATE))

static const struct trouble fault_troubles[] = {
        {"EIO", EIO, CODE(UNAVAILABLE) | CODE(INTERNAL), false, STORAGE},
        {"EIO for good", EIO, CODE(UNAVAILABLE), true, STORAGE},
        {"ENOSPC", ENOSPC, CODE(UNAVAILABLE), false, STORAGE},
        {"ENOSPC for good", ENOSPC, CODE(UNAVAILABLE), true, STORAGE},
        {"EDQUOT", EDQUOT, CODE(UNAVAILABLE), true, STORAGE},
        {"EFBIG", EFBIG, CODE(UNAVAILABLE), true, WRITES},
        {"half of a write", 0, CODE(UNAVAILABLE), false, WRITES},
        {"half of a write, and the disk is full", 0, CODE(UNAVAILABLE), true, WRITES | FAULT_BIT(ALLOCATE)},
};

/* ---- The sweep ---- */

/* Without ALLOD_FAULTS_ALL each method is tried with one in so many of the troubles, a different one for each. */
#define SLICES 4

static bool is_whole;

static const struct method_call get_stats = {"/allod.v1.AdminService/GetStats", NULL, ""};
static const struct method_call list_apps = {"/allod.v1.AppService/ListApps", ANN_KEY, ""};

static size_t find(const char *path)
{
        size_t i;

        for (i = 0; i < method_call_count; i++)
                if (strcmp(method_calls[i].path, path) == 0) return i;
        fail_msg("%s has no call in tests/lib/methods.c", path);
        return 0;
}

static bool is_update(const struct method_call *call)
{
        const struct method *method = method_find(bytes_of_text(call->path));

        assert_non_null(method);
        return method->kind == METHOD_UPDATE;
}

static struct writer_stat stat_now(void)
{
        struct writer_stat stat;

        writer_stat(store_writer(ground.loopback.fixture.store), &stat);
        return stat;
}

/* When a commit's outcome is unknown reads go on, or, where LMDB refuses them, none does; and a store that takes no
 * writes any more does so after it was opened again. */
static void go_on(const struct writer_stat *stat)
{
        int answer = methods_call(&ground, &get_stats), list_answer;

        if (answer != GRPC_OK && !(stat->is_latched && answer == GRPC_DATA_LOSS)) fail_msg("stats: %d", answer);
        list_answer = methods_call(&ground, &list_apps);
        if (list_answer != answer) fail_msg("stats: %d, apps: %d", answer, list_answer);
        if (stat->is_read_only) methods_reopen(&ground);
        methods_verify(&ground);
}

/* Whether the call did what it does when nothing fails. Looks of administrators stay in the log when the call fails, so
 * their change rows are left out. */
static bool judge(const struct method_call *call, const struct trouble *trouble, unsigned long n, int answer,
                  const struct methods_digest *before)
{
        struct writer_stat stat = stat_now();
        struct methods_digest after;
        bool has_changed;

        go_on(&stat);
        after = methods_digest(&ground);
        has_changed = after.all != before->all;
        if (answer == GRPC_OK) {
                if (has_changed != is_update(call))
                        fail_msg("%s, %s at %lu: OK, and the store %s", call->path, trouble->name, n,
                                 has_changed ? "has changed" : "is as it was");
                return true;
        }
        if (call->key == NULL) has_changed = after.records != before->records;
        if (has_changed && !stat.is_latched)
                fail_msg("%s, %s at %lu: %d, and the store has changed", call->path, trouble->name, n, answer);
        if (answer >= 0 && !(trouble->answers & 1u << answer))
                fail_msg("%s, %s at %lu: %d", call->path, trouble->name, n, answer);
        return has_changed;
}

/* The last round is the one in which nothing fails, and must succeed. */
static void sweep_call(const struct injector *injector, const struct trouble *trouble, const struct method_call *call)
{
        bool has_fired = true;
        unsigned long n;

        methods_open(&ground);
        for (n = 1; has_fired; n++) {
                struct methods_digest before = methods_digest(&ground);
                bool is_done;
                int answer;

                call_pool_fini(&ground.loopback.host.calls);
                arena_pool_fini(&ground.loopback.host.arenas);
                call_pool_init(&ground.loopback.host.calls);
                injector->start(n, trouble);
                answer = methods_call(&ground, call);
                has_fired = injector->has_fired(n);
                injector->start(0, trouble);
                injected += has_fired;
                is_done = judge(call, trouble, n, answer, &before);
                if (!has_fired && answer != GRPC_OK) fail_msg("%s: %d with nothing failing", call->path, answer);
                if (!is_done || !is_update(call)) continue;
                methods_close(&ground);
                methods_open(&ground);
        }
        methods_close(&ground);
}

static void sweep(const char *name, const struct injector *injector, const struct trouble *troubles, size_t count)
{
        size_t i, k;

        injected = 0;
        for (i = 0; i < method_call_count; i++)
                for (k = 0; k < count; k++)
                        if (count == 1 || is_whole || (i + k) % SLICES == 0)
                                sweep_call(injector, &troubles[k], &method_calls[i]);
        printf("failures injected: %lu (%s, %zu methods)\n", injected, name, method_call_count);
        assert_true(injected > method_call_count);
}

/* The table that the sweeps go through has every unary method of the public services and AdminService. */
static void test_all_methods(void **state)
{
        size_t i, k, count = 0;

        (void)state;
        methods_open(&ground);
        for (i = 0; i < service_count; i++) {
                for (k = 0; k < services[i]->method_count; k++) {
                        const struct method *method = &services[i]->methods[k];

                        if (method->kind == METHOD_STREAM) continue;
                        find(method->path);
                        count++;
                }
        }
        assert_int_equal(count, method_call_count);
        methods_close(&ground);
}

static void test_heap(void **state)
{
        (void)state;
        sweep("heap", &heap, heap_troubles, sizeof heap_troubles / sizeof *heap_troubles);
}

static void test_lmdb(void **state)
{
        (void)state;
        sweep("LMDB", &lmdb, lmdb_troubles, sizeof lmdb_troubles / sizeof *lmdb_troubles);
}

static void test_system(void **state)
{
        (void)state;
        if (!faults_may_fail()) skip();
        sweep("system calls", &faults, fault_troubles, sizeof fault_troubles / sizeof *fault_troubles);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_methods),
                cmocka_unit_test(test_heap),
                cmocka_unit_test(test_lmdb),
                cmocka_unit_test(test_system),
        };

        is_whole = getenv("ALLOD_FAULTS_ALL") != NULL;
        /* Thousands of commits: in memory, where there is such a place. */
        if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
