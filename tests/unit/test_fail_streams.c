/* Every streaming method, with each allocation, each call of LMDB and each system call failing that it makes: it has a
 * documented outcome, what is said to be a whole dump is one, an owner is restored wholly or not at all, no file is
 * left open, and the next call of it finds everything in order. */
#include <dirent.h>
#include <errno.h>
#include <lmdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/dump_key.h"
#include "engine/owner.h"
#include "engine/store_private.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/call.h"
#include "rpc/limits.h"
#include "rpc/method.h"
#include "tests/lib/dumps.h"
#include "tests/lib/faults.h"
#include "tests/lib/heap.h"
#include "tests/lib/lmdb_fault.h"
#include "tests/lib/methods.h"
#include "tests/lib/test.h"

#define CODE(name) (1u << GRPC_##name)

#define ADMIN "/allod.v1.AdminService/"

/* Anything in the way takes at most this long to go by itself. */
#define PATIENCE_SECONDS 60

/* Where ann is restored to; a user too. */
#define NEW_USER "u:00000000-0000-7000-8000-0000000000aa"

static struct ground ground;
static unsigned long injected;
/* Without ALLOD_FAULTS_ALL each is tried with memory failing and with one in so many of the other troubles. */
#define SLICES 4

static bool is_whole;

/* ---- What is called ---- */

enum scenario_kind {
        DUMP,
        DUMP_OF_ONE,
        DUMP_SEALED,
        RESTORE_NEW,
        RESTORE_OVER,
        VERIFY,
        CHECK,
        WATCH,
        REFLECT,
        SCENARIO_COUNT
};

static const char *const paths[SCENARIO_COUNT] = {
        [DUMP] = ADMIN "Dump",
        [DUMP_OF_ONE] = ADMIN "Dump",
        [DUMP_SEALED] = ADMIN "Dump",
        [RESTORE_NEW] = ADMIN "Restore",
        [RESTORE_OVER] = ADMIN "Restore",
        [VERIFY] = ADMIN "Verify",
        [CHECK] = "/grpc.health.v1.Health/Check",
        [WATCH] = "/grpc.health.v1.Health/Watch",
        [REFLECT] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
};

/* Frames of requests. */
static uint8_t request_data[FEED_REQUEST_MAX];
static struct tape request = {request_data, sizeof request_data, 0};

/* What is answered; a dump of ann, as it is to be restored; and the bytes of a dump that was answered. */
static uint8_t answer_data[1 << 20], ann_data[FEED_REQUEST_MAX / 2], dump_data[1 << 20];
static struct tape answer = {answer_data, sizeof answer_data, 0};
static size_t ann_len;

static void add_frame(const ProtobufCMessage *message)
{
        size_t len = protobuf_c_message_get_packed_size(message);

        assert_true(GRPC_PREFIX_LEN + len <= request.size - request.len);
        grpc_prefix_write(request.data + request.len, len);
        protobuf_c_message_pack(message, request.data + request.len + GRPC_PREFIX_LEN);
        request.len += GRPC_PREFIX_LEN + len;
}

static const struct dump_secret secret = {false, {(const uint8_t *)"the thirty-two bytes of a secret", DUMP_KEY_SIZE}};
static struct dump_key seal; /* made of it */

static void ask_for_dump(char *owner, bool is_sealed)
{
        Allod__V1__DumpRequest dump = ALLOD__V1__DUMP_REQUEST__INIT;
        Allod__V1__DumpKey key = ALLOD__V1__DUMP_KEY__INIT;

        if (owner != NULL) {
                dump.owners = &owner;
                dump.n_owners = 1;
        }
        key.salt = (ProtobufCBinaryData){DUMP_SALT_SIZE, seal.salt};
        key.key_id = (ProtobufCBinaryData){DUMP_KEY_ID_SIZE, seal.id};
        key.key = (ProtobufCBinaryData){DUMP_KEY_SIZE, seal.key};
        if (is_sealed) dump.key = &key;
        add_frame(&dump.base);
}

/* In two parts, so that both buffers are used. */
static void ask_to_restore(char *owner, char *as, Allod__V1__RestoreConflict on_conflict)
{
        Allod__V1__RestoreRequest part = ALLOD__V1__RESTORE_REQUEST__INIT;
        Allod__V1__RestoreOptions options = ALLOD__V1__RESTORE_OPTIONS__INIT;

        options.owner = owner;
        if (as != NULL) options.as_owner = as;
        options.on_conflict = on_conflict;
        part.options = &options;
        part.data = (ProtobufCBinaryData){ann_len / 2, ann_data};
        add_frame(&part.base);
        part.options = NULL;
        part.data = (ProtobufCBinaryData){ann_len - ann_len / 2, ann_data + ann_len / 2};
        add_frame(&part.base);
}

static void ask_for_reflection(void)
{
        Grpc__Reflection__V1__ServerReflectionRequest reflection =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        static char symbol[] = "allod.v1.AppService", any[] = "*";

        reflection.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
        reflection.list_services = any;
        add_frame(&reflection.base);
        reflection.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
        reflection.file_containing_symbol = symbol;
        add_frame(&reflection.base);
}

static void prepare(enum scenario_kind kind)
{
        Allod__V1__VerifyRequest verify = ALLOD__V1__VERIFY_REQUEST__INIT;
        static char ann[OWNER_TEXT_SIZE], as[] = NEW_USER;

        snprintf(ann, sizeof ann, "u:%s", ground.loopback.ann_text);
        request.len = 0;
        switch (kind) {
        case DUMP:
        case DUMP_SEALED:
                ask_for_dump(NULL, kind == DUMP_SEALED);
                break;
        case DUMP_OF_ONE:
                ask_for_dump(ann, false);
                break;
        case RESTORE_NEW:
                ask_to_restore(ann, as, ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_FAIL);
                break;
        case RESTORE_OVER:
                ask_to_restore(ann, NULL, ALLOD__V1__RESTORE_CONFLICT__RESTORE_CONFLICT_REPLACE);
                break;
        case VERIFY:
                verify.bytes_per_second = INT64_MAX;
                add_frame(&verify.base);
                break;
        case REFLECT:
                ask_for_reflection();
                break;
        default:
                memset(request.data, 0, GRPC_PREFIX_LEN);
                request.len = GRPC_PREFIX_LEN;
                break;
        }
}

/* What was prepared, to its end; of a watch that is the drain. -1: it was reset. */
static int call(enum scenario_kind kind)
{
        struct loopback *loopback = &ground.loopback;
        struct asked asked;

        answer.len = 0;
        loopback->is_deaf = true;
        loopback->tape = &answer;
        loopback->peer.plane = PLANE_ADMIN;
        loopback_begin(loopback, &asked, "POST", paths[kind], "content-type: application/grpc\n", true);
        if (!asked.is_answered && !asked.is_reset) call_on_data(&asked.exchange, bytes_of(request.data, request.len));
        loopback_end(&asked);
        if (kind == WATCH && !asked.is_answered && !asked.is_reset) {
                loopback->host.is_draining = true;
                call_on_drain(&loopback->host);
                loopback->host.is_draining = false;
        }
        loopback_wait(&asked);
        loopback_close(&asked);
        while (loopback->host.owed > 0)
                loopback_run_one(loopback);
        loopback->is_deaf = false;
        loopback->tape = NULL;
        return asked.is_reset ? -1 : asked.grpc_status;
}

/* ---- What came of it ---- */

/* The data of a dump's frames. */
static struct memory dump_of_answer(enum scenario_kind kind, bool *has_summary)
{
        struct memory memory = {.data = dump_data, .secret = kind == DUMP_SEALED ? &secret : NULL};
        size_t at = 0;

        *has_summary = false;
        while (at < answer.len) {
                size_t len = (size_t)answer.data[at + 1] << 24 | (size_t)answer.data[at + 2] << 16 |
                             (size_t)answer.data[at + 3] << 8 | answer.data[at + 4];
                Allod__V1__DumpResponse *part =
                        allod__v1__dump_response__unpack(NULL, len, answer.data + at + GRPC_PREFIX_LEN);

                assert_non_null(part);
                if (part->data.len > 0) memcpy(dump_data + memory.len, part->data.data, part->data.len);
                memory.len += part->data.len;
                if (part->summary != NULL) *has_summary = true;
                allod__v1__dump_response__free_unpacked(part, NULL);
                at += GRPC_PREFIX_LEN + len;
        }
        return memory;
}

/* What is in the dump that was answered, which must be whole; change rows aside, because each look at an owner makes
 * one. What is sealed is counted by its chunks. */
static uint64_t count_dumped(enum scenario_kind kind)
{
        bool has_summary;
        struct memory memory = dump_of_answer(kind, &has_summary);
        struct reading reading = memory_check(&memory);

        assert_true(has_summary);
        if (reading.outcome != R_ABSENT || reading.fault_count != 0)
                fail_msg("a dump that is not whole: %d, %u faults", reading.outcome, reading.fault_count);
        return reading.counts.records - reading.counts.kinds[ROW_CHANGE];
}

/* Of an owner in the store; 0: there is no such owner. */
static uint64_t count_owner(const char *owner)
{
        char text[OWNER_TEXT_SIZE];
        int status;

        snprintf(text, sizeof text, "%s", owner);
        request.len = 0;
        ask_for_dump(text, false);
        status = call(DUMP_OF_ONE);
        if (status == GRPC_INVALID_ARGUMENT) return 0;
        assert_int_equal(status, GRPC_OK);
        return count_dumped(DUMP_OF_ONE);
}

static size_t count_entries(const char *path)
{
        DIR *listing = opendir(path);
        size_t count = 0;

        assert_non_null(listing);
        while (readdir(listing) != NULL)
                count++;
        closedir(listing);
        return count;
}

/* What must be as before: open files, names in the store's directory. */
struct traces {
        size_t open, names;
};

static struct traces traces_now(void)
{
        return (struct traces){count_entries("/proc/self/fd"), count_entries(ground.loopback.fixture.dir)};
}

/* ---- What fails ---- */

struct trouble {
        const char *name;
        enum {
                HEAP,
                LMDB,
                SYSTEM
        } sort;
        int code;
        unsigned answers; /* that a failure may have */
        bool is_lasting;
        uint64_t mask; /* of system calls */
};

#define WRITES  (FAULT_BIT(PWRITE) | FAULT_BIT(WRITE))
#define STORAGE (WRITES | FAULT_BIT(SYNC) | FAULT_BIT(ALLOCATE) | FAULT_BIT(TRUNCATE))
#define READS   (FAULT_BIT(READ) | FAULT_BIT(PREAD))

static const struct trouble troubles[] = {
        {"no memory", HEAP, 0, CODE(RESOURCE_EXHAUSTED), false, 0},
        {"MDB_PANIC", LMDB, MDB_PANIC, CODE(DATA_LOSS) | CODE(UNAVAILABLE), false, 0},
        {"MDB_PAGE_NOTFOUND", LMDB, MDB_PAGE_NOTFOUND, CODE(UNAVAILABLE) | CODE(DATA_LOSS), false, 0},
        {"ENOMEM of LMDB", LMDB, ENOMEM, CODE(UNAVAILABLE) | CODE(RESOURCE_EXHAUSTED), false, 0},
        {"EIO of LMDB", LMDB, EIO, CODE(INTERNAL) | CODE(UNAVAILABLE), false, 0},
        {"MDB_MAP_FULL", LMDB, MDB_MAP_FULL, CODE(UNAVAILABLE), false, 0},
        {"MDB_TXN_FULL", LMDB, MDB_TXN_FULL, CODE(UNAVAILABLE) | CODE(RESOURCE_EXHAUSTED), false, 0},
        {"MDB_READERS_FULL", LMDB, MDB_READERS_FULL, CODE(UNAVAILABLE) | CODE(RESOURCE_EXHAUSTED), false, 0},
        {"EIO", SYSTEM, EIO, CODE(UNAVAILABLE) | CODE(INTERNAL), false, STORAGE | READS},
        {"EIO for good", SYSTEM, EIO, CODE(UNAVAILABLE) | CODE(INTERNAL), true, STORAGE},
        {"ENOSPC", SYSTEM, ENOSPC, CODE(UNAVAILABLE), false, STORAGE | FAULT_BIT(OPEN)},
        {"ENOSPC for good", SYSTEM, ENOSPC, CODE(UNAVAILABLE), true, STORAGE | FAULT_BIT(OPEN)},
        {"half of a write", SYSTEM, 0, CODE(UNAVAILABLE), false, WRITES},
        {"EINTR", SYSTEM, EINTR, 0, false, FAULT_BIT(READ) | FAULT_BIT(WRITE)},
        {"EMFILE", SYSTEM, EMFILE, CODE(INTERNAL), false, FAULT_BIT(OPEN)},
        {"EAGAIN", SYSTEM, EAGAIN, CODE(RESOURCE_EXHAUSTED), false, FAULT_BIT(THREAD)},
};

/* 0: nothing fails. */
static void start(unsigned long n, const struct trouble *trouble)
{
        heap_fail_at(trouble->sort == HEAP ? n : 0);
        lmdb_fault_at(trouble->sort == LMDB ? n : 0, trouble->code, trouble->is_lasting);
        faults_at(trouble->sort == SYSTEM ? n : 0, trouble->mask, trouble->code, trouble->is_lasting);
}

/* Ends it; whether anything failed. */
static bool end(unsigned long n, const struct trouble *trouble)
{
        bool has_fired = trouble->sort == HEAP   ? heap_count() >= n
                         : trouble->sort == LMDB ? lmdb_fault_count() >= n
                                                 : faults_here()->fired > 0;

        start(0, trouble);
        injected += has_fired;
        return has_fired;
}

/* ---- The sweep ---- */

static struct writer_stat stat_now(void)
{
        struct writer_stat stat;

        writer_stat(store_writer(ground.loopback.fixture.store), &stat);
        return stat;
}

static enum result look_at_purge_list(struct txn *txn, void *arg)
{
        struct store_stat stat;

        store_stat(txn, &stat);
        *(bool *)arg = stat.purge_backlog > 0;
        return R_OK;
}

static bool has_purge_list(void)
{
        bool is_there;

        assert_int_equal(fixture_view(&ground.loopback.fixture, look_at_purge_list, &is_there), R_OK);
        return is_there;
}

/* Once more, and nothing fails: OK, at the latest when the purge has taken away what the failure left behind. It is
 * tried again in some seconds, and at once when the store is opened. */
static void again(enum scenario_kind kind)
{
        time_t until = time(NULL) + PATIENCE_SECONDS;
        int status;

        prepare(kind);
        status = call(kind);
        if (status == GRPC_FAILED_PRECONDITION && kind == RESTORE_NEW) {
                methods_reopen(&ground);
                while (has_purge_list() && time(NULL) < until)
                        sched_yield();
                status = call(kind);
        }
        if (status != (kind == WATCH ? GRPC_UNAVAILABLE : GRPC_OK)) fail_msg("%s once more: %d", paths[kind], status);
}

/* Rows of dumps, of ann after she was restored, of the new owner. */
static uint64_t dump_counts[DUMP_SEALED + 1], ann_count, new_count;

/* Whether the owner that was to be restored is there, which is wholly or not at all. */
static bool is_restored(void)
{
        uint64_t count = count_owner(NEW_USER);

        if (count != 0 && count != new_count) fail_msg("half an owner: %ju records", (uintmax_t)count);
        return count != 0;
}

static void judge(enum scenario_kind kind, const struct trouble *trouble, unsigned long n, int status, bool has_fired)
{
        bool is_fine = status == (kind == WATCH ? GRPC_UNAVAILABLE : GRPC_OK);
        struct writer_stat stat = stat_now();
        char ann[OWNER_TEXT_SIZE];

        if (!has_fired && !is_fine) fail_msg("%s: %d with nothing failing", paths[kind], status);
        if (!is_fine && status >= 0 && !(trouble->answers & 1u << status))
                fail_msg("%s, %s at %lu: %d", paths[kind], trouble->name, n, status);
        if (is_fine && kind <= DUMP_SEALED && count_dumped(kind) != dump_counts[kind])
                fail_msg("%s, %s at %lu: %ju records", paths[kind], trouble->name, n, (uintmax_t)count_dumped(kind));
        if (stat.is_read_only) methods_reopen(&ground);
        methods_verify(&ground);
        if (kind == RESTORE_NEW) {
                bool is_there = is_restored();

                if (is_fine && !is_there) fail_msg("%s, %s at %lu: nobody", paths[kind], trouble->name, n);
                if (!is_fine && status >= 0 && is_there && !stat.is_latched)
                        fail_msg("%s, %s at %lu: %d, and the owner is there", paths[kind], trouble->name, n, status);
                if (is_there) return;
        }
        again(kind);
        snprintf(ann, sizeof ann, "u:%s", ground.loopback.ann_text);
        if (kind == RESTORE_NEW) assert_true(is_restored());
        if (kind == RESTORE_OVER) assert_int_equal(count_owner(ann), ann_count);
        methods_verify(&ground);
}

static void open_ground(void)
{
        bool has_summary;
        struct memory memory;
        char ann[OWNER_TEXT_SIZE];

        methods_open(&ground);
        snprintf(ann, sizeof ann, "u:%s", ground.loopback.ann_text);
        (void)count_owner(ann);
        memory = dump_of_answer(DUMP_OF_ONE, &has_summary);
        assert_true(memory.len <= sizeof ann_data);
        memcpy(ann_data, dump_data, memory.len);
        ann_len = memory.len;
}

/* The last round is the one in which nothing fails. */
static void sweep(enum scenario_kind kind, const struct trouble *trouble)
{
        bool has_fired = true;
        unsigned long n;

        open_ground();
        for (n = 1; has_fired; n++) {
                struct traces before = traces_now(), after;
                int status;

                call_pool_fini(&ground.loopback.host.calls);
                arena_pool_fini(&ground.loopback.host.arenas);
                call_pool_init(&ground.loopback.host.calls);
                prepare(kind);
                start(n, trouble);
                status = call(kind);
                has_fired = end(n, trouble);
                after = traces_now();
                if (before.open != after.open || after.names > before.names) /* the reserve may go */
                        fail_msg("%s, %s at %lu: %zu open files, and now %zu; %zu names, and now %zu", paths[kind],
                                 trouble->name, n, before.open, after.open, before.names, after.names);
                judge(kind, trouble, n, status, has_fired);
                if (kind != RESTORE_NEW && kind != DUMP_OF_ONE) continue; /* what is there grows */
                methods_close(&ground);
                open_ground();
        }
        methods_close(&ground);
}

static void measure(void)
{
        char ann[OWNER_TEXT_SIZE];

        enum scenario_kind kind;

        open_ground();
        for (kind = DUMP; kind <= DUMP_SEALED; kind++) {
                again(kind);
                dump_counts[kind] = count_dumped(kind);
        }
        snprintf(ann, sizeof ann, "u:%s", ground.loopback.ann_text);
        prepare(RESTORE_NEW);
        assert_int_equal(call(RESTORE_NEW), GRPC_OK);
        new_count = count_owner(NEW_USER);
        prepare(RESTORE_OVER);
        assert_int_equal(call(RESTORE_OVER), GRPC_OK);
        ann_count = count_owner(ann);
        methods_close(&ground);
}

/* The table has every streaming method. */
static void test_all_methods(void **state)
{
        size_t i, k, n;

        (void)state;
        methods_open(&ground);
        for (i = 0; i < service_count; i++) {
                for (k = 0; k < services[i]->method_count; k++) {
                        const struct method *method = &services[i]->methods[k];

                        if (method->kind != METHOD_STREAM || strstr(method->path, "v1alpha") != NULL) continue;
                        for (n = 0; n < SCENARIO_COUNT && strcmp(paths[n], method->path) != 0; n++)
                                ;
                        if (n == SCENARIO_COUNT) fail_msg("%s is not swept", method->path);
                }
        }
        methods_close(&ground);
}

static void test_streams(void **state)
{
        enum scenario_kind kind = *(const enum scenario_kind *)*state;
        size_t k;

        measure();
        injected = 0;
        for (k = 0; k < sizeof troubles / sizeof *troubles; k++) {
                if (troubles[k].sort == SYSTEM && !faults_may_fail()) continue;
                if (!is_whole && k > 0 && (kind + k) % SLICES != 0) continue;
                sweep(kind, &troubles[k]);
        }
        printf("failures injected: %lu (%s, %s)\n", injected, paths[kind] + 1,
               kind == DUMP_OF_ONE    ? "one owner"
               : kind == DUMP_SEALED  ? "encrypted"
               : kind == RESTORE_NEW  ? "a new owner"
               : kind == RESTORE_OVER ? "over what is there"
                                      : "all of it");
}

#define SWEEP(scenario)                                                                                                \
        {                                                                                                              \
                .name = #scenario, .test_func = test_streams, .initial_state = &(enum scenario_kind)                   \
                {                                                                                                      \
                        scenario                                                                                       \
                }                                                                                                      \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_methods),
                SWEEP(DUMP),
                SWEEP(DUMP_OF_ONE),
                SWEEP(DUMP_SEALED),
                SWEEP(RESTORE_NEW),
                SWEEP(RESTORE_OVER),
                SWEEP(VERIFY),
                SWEEP(CHECK),
                SWEEP(WATCH),
                SWEEP(REFLECT),
        };

        if (dump_key_make(&secret, &seal) != R_OK) return 1;
        is_whole = getenv("ALLOD_FAULTS_ALL") != NULL;
        /* Thousands of commits: in memory, where there is such a place. */
        if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
