#include "rpc/dump_feed.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/admin.h"
#include "engine/dump.h"
#include "engine/dump_key.h"
#include "engine/owner.h"
#include "engine/require.h"
#include "rpc/call.h"

/* Bytes of one message. Two of them wait for a slow peer at most. */
#define BLOCK_SIZE ((size_t)128 << 10)

/* The dump gives up when less than this is left, of the map or of the disk: what some seconds of full load write. */
#define ROOM_MIN ((uint64_t)128 << 20)

/* Room is looked at after each so many bytes of the dump. */
#define ROOM_PERIOD ((uint64_t)8 << 20)

#define OWNERS_MAX 1000
#define ARENA_MAX  ((size_t)16 << 20) /* of the walk, which allocates little */

/* allod.v1.DumpResponse and DumpSummary */
enum {
        RESPONSE_DATA = 1,
        RESPONSE_SUMMARY
};
enum {
        SUMMARY_OWNERS = 1,
        SUMMARY_RECORDS,
        SUMMARY_CHUNKS,
        SUMMARY_CONTENT_SIZE,
        SUMMARY_SIZE,
        SUMMARY_ROOT_HASH
};

struct task {
        struct host *host;
        struct call *call; /* NULL: it is over. The loop's */
        bool is_asked;     /* an answer is owed. The loop's */
        struct completion completion;

        pthread_mutex_t mutex;
        pthread_cond_t asked;
        bool wants_block; /* under the mutex */
        atomic_bool is_stopped;

        /* the thread's, and the loop's while no answer is owed */
        struct credential who;
        struct owner *owners;
        struct dump_run run;
        struct dump_key key; /* if run.key is set */
        struct fault fault;
        int spool_fd;
        uint64_t room_checked; /* at this size of the dump */
        uint64_t spooled;
        enum result result; /* R_OK: block holds the next bytes; R_ABSENT: all were given; else what went wrong */
        size_t block_len;
        uint8_t block[BLOCK_SIZE];
};

struct state {
        struct task *task;
        bool was_asked;
};

_Static_assert(sizeof(struct state) <= FEED_STATE_SIZE, "it lies in the feed");

/* One at a time: two would hold two snapshots and two files. */
static atomic_bool is_dumping;

static struct state *state_of(struct call *call)
{
        return (struct state *)call->feed.state;
}

/* ---- The thread ---- */

static enum result check_room(struct task *task)
{
        const struct store *store = task->host->store;
        uint64_t disk;
        enum result r;

        if ((r = store_disk_room(store, &disk)) != R_OK) return r;
        if (disk < ROOM_MIN)
                return fault_set(&task->fault, R_READ_ONLY, "The disk has too little room left to collect the dump.");
        if (store_room(store) < ROOM_MIN)
                return fault_set(&task->fault, R_READ_ONLY,
                                 "The store has too little room left to hold a moment for the dump.");
        return R_OK;
}

static enum result spool(void *context, struct bytes data)
{
        struct task *task = context;
        enum result r;

        if (atomic_load(&task->is_stopped)) return R_CANCELED;
        if (task->spooled >= task->room_checked) {
                if ((r = check_room(task)) != R_OK) return r;
                task->room_checked = task->spooled + ROOM_PERIOD;
        }
        task->spooled += data.len;
        while (data.len > 0) {
                ssize_t count = write(task->spool_fd, data.data, data.len);

                if (count < 0 && errno == EINTR) continue;
                if (count < 0 && (errno == ENOSPC || errno == EDQUOT))
                        return fault_set(&task->fault, R_READ_ONLY, "The disk is full.");
                if (count < 0) return R_IO;
                data.data += count;
                data.len -= (size_t)count;
        }
        return R_OK;
}

static enum result collect_in(struct task *task, struct view *view)
{
        struct fault fault;
        struct arena arena;
        const struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(task->host->store)};
        char owner[OWNER_TEXT_SIZE];
        enum result r;

        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, dump_store, &task->run);
        arena_fini(&arena);
        if (r == R_ABSENT)
                return fault_set(&task->fault, R_BAD_ARGUMENT, "There is no %s.", owner_format(task->run.owner, owner));
        if (r == R_CORRUPT)
                return fault_set(&task->fault, R_CORRUPT, "%s: behind the row %s something does not check out.",
                                 owner_format(task->run.owner, owner), row_kind_name(task->run.row.kind));
        return r;
}

/* Whoever looks at named owners' records is written into their change logs; the dump then holds that too. */
static enum result note_look(struct task *task)
{
        struct admin_look look = {&task->who, task->run.owners, task->run.owner_count, "dumped"};
        struct store *store = task->host->store;
        struct fault fault;
        struct arena arena;
        const struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(store)};
        enum result r;

        if (look.owner_count == 0) return R_OK;
        arena_init(&arena, NULL, ARENA_MAX);
        r = writer_run(store_writer(store), &input, admin_look, &look);
        arena_fini(&arena);
        return r;
}

/* All of the dump into the file. */
static enum result collect(struct task *task)
{
        struct view *view;
        enum result r;

        if ((r = note_look(task)) != R_OK) return r;
        if ((r = store_open_spool(task->host->store, &task->spool_fd)) != R_OK) return r;
        if ((r = view_open(task->host->store, &view)) != R_OK) return r;
        r = collect_in(task, view);
        view_close(view);
        if (r == R_OK && lseek(task->spool_fd, 0, SEEK_SET) != 0) return R_IO;
        return r;
}

static enum result read_block(struct task *task)
{
        ssize_t count;

        do {
                count = read(task->spool_fd, task->block, BLOCK_SIZE);
        } while (count < 0 && errno == EINTR);
        if (count < 0) return R_IO;
        task->block_len = (size_t)count;
        return count == 0 ? R_ABSENT : R_OK;
}

static void wait_until_asked(struct task *task)
{
        pthread_mutex_lock(&task->mutex);
        while (!task->wants_block)
                pthread_cond_wait(&task->asked, &task->mutex);
        task->wants_block = false;
        pthread_mutex_unlock(&task->mutex);
}

static void *run_thread(void *argument)
{
        struct task *task = argument;
        enum result r;

        wait_until_asked(task);
        r = collect(task);
        while (r == R_OK && (r = read_block(task)) == R_OK) {
                task->result = R_OK;
                host_post(task->host, &task->completion);
                wait_until_asked(task);
                if (atomic_load(&task->is_stopped)) r = R_CANCELED;
        }
        task->result = r;
        host_post(task->host, &task->completion); /* from here on the task is the loop's alone */
        return NULL;
}

/* ---- The loop ---- */

static void free_task(struct task *task)
{
        if (task->spool_fd >= 0) close(task->spool_fd);
        pthread_cond_destroy(&task->asked);
        pthread_mutex_destroy(&task->mutex);
        free(task->owners);
        dump_key_wipe(&task->key);
        free(task);
        atomic_store(&is_dumping, false);
}

static void ask(struct task *task)
{
        REQUIRE(!task->is_asked);
        task->is_asked = true;
        host_expect(task->host, &task->completion);
        pthread_mutex_lock(&task->mutex);
        task->wants_block = true;
        pthread_cond_signal(&task->asked);
        pthread_mutex_unlock(&task->mutex);
}

static void send_block(struct call *call, const struct task *task)
{
        struct message message;

        feed_message(call, &message);
        message_bytes(&message, RESPONSE_DATA, bytes_of(task->block, task->block_len));
        feed_send(call, &message);
}

static void send_summary(struct call *call, const struct dump_run *run)
{
        struct message message;
        size_t mark;

        feed_message(call, &message);
        mark = message_begin(&message, RESPONSE_SUMMARY);
        message_uint(&message, SUMMARY_OWNERS, run->counts.owners);
        message_uint(&message, SUMMARY_RECORDS, run->counts.records);
        message_uint(&message, SUMMARY_CHUNKS, run->counts.chunks);
        message_uint(&message, SUMMARY_CONTENT_SIZE, run->counts.content_size);
        message_uint(&message, SUMMARY_SIZE, run->counts.size);
        message_bytes(&message, SUMMARY_ROOT_HASH, bytes_of(run->root_hash, SHA256_SIZE));
        message_end(&message, mark);
        feed_send(call, &message);
}

/* The thread has ended. */
static void end_task(struct task *task)
{
        struct call *call = task->call;
        enum result r = task->result;

        if (call != NULL) {
                state_of(call)->task = NULL;
                if (r == R_ABSENT && feed_is_open(call)) send_summary(call, &task->run);
                if (task->fault.text[0] != '\0') (void)fault_set(&call->fault, r, "%s", task->fault.text);
        }
        free_task(task);
        if (call == NULL) return;
        feed_finish(call, r == R_ABSENT ? R_OK : r);
        (void)feed_settle(call);
}

static void answered(struct completion *completion)
{
        struct task *task = (struct task *)((char *)completion - offsetof(struct task, completion));

        task->is_asked = false;
        if (task->result != R_OK) {
                end_task(task);
        } else if (task->call == NULL) {
                ask(task);                     /* stopped: the next answer is the last */
        } else if (feed_is_open(task->call)) { /* else it is finished, and close_call is to come */
                send_block(task->call, task);
                if (feed_settle(task->call)) ask(task);
        }
}

static enum result start_thread(struct task *task)
{
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_t thread;
        int failure;

        if (pthread_attr_init(&attributes) != 0) return R_NO_MEMORY;
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        sigfillset(&all); /* signals are the loops' */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failure = pthread_create(&thread, &attributes, run_thread, task);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        return failure == 0 ? R_OK : R_NO_MEMORY;
}

/* Copied, and no longer in the request. */
static void take_key(struct task *task, const Allod__V1__DumpKey *key)
{
        task->key = (struct dump_key){.scrypt_log_n = key->scrypt_log_n, .scrypt_p = key->scrypt_p};
        memcpy(task->key.salt, key->salt.data, DUMP_SALT_SIZE);
        memcpy(task->key.id, key->key_id.data, DUMP_KEY_ID_SIZE);
        memcpy(task->key.key, key->key.data, DUMP_KEY_SIZE);
        OPENSSL_cleanse(key->key.data, key->key.len);
        task->run.key = &task->key;
}

static enum result make_task(struct call *call, const Allod__V1__DumpRequest *request, struct task **out)
{
        struct task *task = calloc(1, sizeof *task);
        size_t i;

        if (task == NULL) return R_NO_MEMORY;
        task->spool_fd = -1;
        task->host = call->host;
        task->call = call;
        task->who = call->who;
        task->completion.run = answered;
        fault_clear(&task->fault);
        REQUIRE(pthread_mutex_init(&task->mutex, NULL) == 0 && pthread_cond_init(&task->asked, NULL) == 0);
        task->owners = calloc(request->n_owners + 1, sizeof *task->owners);
        task->run = (struct dump_run){
                .owners = task->owners, .owner_count = request->n_owners, .write = spool, .context = task};
        if (request->key != NULL) take_key(task, request->key);
        for (i = 0; i < request->n_owners && task->owners != NULL; i++)
                REQUIRE(owner_parse(request->owners[i], &task->owners[i]) == R_OK);
        if (task->owners == NULL || start_thread(task) != R_OK) {
                free_task(task);
                return R_NO_MEMORY;
        }
        *out = task;
        return R_OK;
}

static enum result check_key(struct call *call, const Allod__V1__DumpKey *key)
{
        if (key == NULL) return R_OK;
        if (key->salt.len != DUMP_SALT_SIZE) return fault_field(&call->fault, "key.salt", "must be 32 bytes");
        if (key->key_id.len != DUMP_KEY_ID_SIZE) return fault_field(&call->fault, "key.key_id", "must be 16 bytes");
        if (key->key.len != DUMP_KEY_SIZE) return fault_field(&call->fault, "key.key", "must be 32 bytes");
        return R_OK;
}

static enum result check_request(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct owner owner;
        size_t i;

        if (request->n_owners > OWNERS_MAX) return fault_field(&call->fault, "owners", "must be 1000 at most");
        for (i = 0; i < request->n_owners; i++) {
                if (owner_parse(request->owners[i], &owner) != R_OK)
                        return fault_field(&call->fault, "owners", "must be u: or t: and an id, each");
        }
        return check_key(call, request->key);
}

static enum result begin(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct state *state = state_of(call);
        bool is_free = false;
        enum result r;

        if (state->was_asked) return fault_set(&call->fault, R_BAD_ARGUMENT, "The method takes one message.");
        state->was_asked = true;
        if ((r = check_request(call, request)) != R_OK) return r;
        if (!atomic_compare_exchange_strong(&is_dumping, &is_free, true))
                return fault_set(&call->fault, R_EXHAUSTED,
                                 "Another dump is being written; try again when it is done.");
        if ((r = make_task(call, request, &state->task)) != R_OK) atomic_store(&is_dumping, false);
        return r;
}

static void message(struct call *call, const ProtobufCMessage *request)
{
        enum result r = begin(call, (const Allod__V1__DumpRequest *)request);

        if (r != R_OK) feed_finish(call, r);
}

static void end(struct call *call)
{
        struct state *state = state_of(call);

        if (state->task == NULL)
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a message."));
        else if (!state->task->is_asked)
                ask(state->task);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static void writable(struct call *call)
{
        struct task *task = state_of(call)->task;

        if (task != NULL && !task->is_asked) ask(task);
}

/* The thread is told, and asked for its last answer. */
static void close_call(struct call *call)
{
        struct task *task = state_of(call)->task;

        if (task == NULL) return;
        state_of(call)->task = NULL;
        task->call = NULL;
        atomic_store(&task->is_stopped, true);
        if (!task->is_asked) ask(task);
}

const struct feed_ops dump_feed = {
        .message = message, .end = end, .wake = wake, .writable = writable, .close = close_call};
