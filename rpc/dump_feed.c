#include "rpc/dump_feed.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "allod/v1/admin.pb-c.h"
#include "engine/admin.h"
#include "engine/dump.h"
#include "engine/dump_key.h"
#include "engine/owner.h"
#include "engine/require.h"
#include "rpc/dump_base.h"
#include "rpc/feed_task.h"
#include "rpc/spool.h"

/* Bytes of one message. Two of them wait for a slow peer at most. */
#define BLOCK_SIZE ((size_t)128 << 10)

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
        SUMMARY_ROOT_HASH,
        SUMMARY_UNCHANGED_OWNERS,
        SUMMARY_GONE_OWNERS,
        SUMMARY_GONE_RECORDS,
        SUMMARY_WHOLE_OWNERS
};

struct dump {
        struct task task;

        /* the thread's while it is asked */
        struct credential who;
        struct owner *owners;
        struct dump_run run;
        struct dump_key key;   /* if run.key is set */
        struct dump_base base; /* if run.base is set */
        struct dump_base_spool base_spool;
        struct fault fault;
        struct spool spool;
        size_t block_len; /* the next bytes */
        uint8_t block[BLOCK_SIZE];
};

struct state {
        struct dump *dump; /* NULL: not begun, or over */
        bool was_asked;
        bool is_ended; /* the peer has said all */
};

_Static_assert(sizeof(struct state) <= FEED_STATE_SIZE, "it lies in the feed");

/* One at a time: two would hold two snapshots and two files. */
static atomic_bool is_dumping;

static struct state *state_of(struct call *call)
{
        return (struct state *)call->feed.state;
}

/* ---- The thread ---- */

static enum result write_spool(void *context, struct bytes data)
{
        struct dump *dump = context;

        if (task_is_stopped(&dump->task)) return R_CANCELED;
        if (store_room(dump->task.host->store) < SPOOL_ROOM_MIN)
                return fault_set(&dump->fault, R_READ_ONLY,
                                 "The store has too little room left to hold a moment for the dump.");
        return spool_write(&dump->spool, data, &dump->fault);
}

static enum result collect_in(struct dump *dump, struct view *view)
{
        struct fault fault;
        struct arena arena;
        const struct txn_input input = {
                .arena = &arena, .fault = &fault, .time_ms = store_time_ms(dump->task.host->store)};
        char owner[OWNER_TEXT_SIZE];
        enum result r;

        arena_init(&arena, NULL, ARENA_MAX);
        r = view_run(view, &input, dump_store, &dump->run);
        arena_fini(&arena);
        if (r == R_ABSENT)
                return fault_set(&dump->fault, R_BAD_ARGUMENT, "There is no %s.", owner_format(dump->run.owner, owner));
        if (r == R_WRONG_STATE) return fault_set(&dump->fault, r, "%s", fault.text);
        if (r == R_BAD_ARGUMENT)
                return fault_set(&dump->fault, r, "The base's owners make no sense, or are not in order.");
        if (r == R_CORRUPT)
                return fault_set(&dump->fault, R_CORRUPT, "%s: behind the row %s something does not check out.",
                                 owner_format(dump->run.owner, owner), row_kind_name(dump->run.row.kind));
        return r;
}

/* Whoever looks at named owners' records is written into their change logs; the dump then holds that too. */
static enum result note_look(struct dump *dump)
{
        struct admin_look look = {&dump->who, dump->run.owners, dump->run.owner_count, "dumped"};
        struct store *store = dump->task.host->store;
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
static enum result collect(struct dump *dump)
{
        struct view *view;
        enum result r;

        if ((r = note_look(dump)) != R_OK) return r;
        if ((r = view_open(dump->task.host->store, &view)) != R_OK) return r;
        r = collect_in(dump, view);
        view_close(view);
        return r == R_OK ? spool_rewind(&dump->spool) : r;
}

static enum result run(struct task *task)
{
        struct dump *dump = (struct dump *)task;
        enum result r = collect(dump);

        while (r == R_OK) {
                r = spool_read(&dump->spool, dump->block, BLOCK_SIZE, &dump->block_len);
                if (r != R_OK || dump->block_len == 0) return r;
                r = task_answer(task);
        }
        return r;
}

/* ---- The loop ---- */

static void free_dump(struct task *task)
{
        struct dump *dump = (struct dump *)task;

        task_fini(task);
        spool_fini(&dump->spool);
        dump_base_fini(&dump->base_spool);
        free(dump->owners);
        dump_key_wipe(&dump->key);
        free(dump);
        atomic_store(&is_dumping, false);
}

static void send_block(struct call *call, const struct dump *dump)
{
        struct message message;

        feed_message(call, &message);
        message_bytes(&message, RESPONSE_DATA, bytes_of(dump->block, dump->block_len));
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
        message_uint(&message, SUMMARY_UNCHANGED_OWNERS, run->counts.unchanged_owners);
        message_uint(&message, SUMMARY_GONE_OWNERS, run->counts.gone_owners);
        message_uint(&message, SUMMARY_GONE_RECORDS, run->counts.gone_records);
        message_uint(&message, SUMMARY_WHOLE_OWNERS, run->whole_owners);
        message_end(&message, mark);
        feed_send(call, &message);
}

static void answered(struct task *task)
{
        send_block(task->call, (struct dump *)task);
        if (feed_settle(task->call)) task_ask(task);
}

static void ended(struct task *task, struct call *call, enum result r)
{
        const struct dump *dump = (struct dump *)task;

        state_of(call)->dump = NULL;
        if (r == R_OK && feed_is_open(call)) send_summary(call, &dump->run);
        if (dump->fault.text[0] != '\0') (void)fault_set(&call->fault, r, "%s", dump->fault.text);
}

static const struct task_ops ops = {.run = run, .answered = answered, .ended = ended, .free = free_dump};

/* Copied, and wiped where it was unpacked. */
static void take_key(struct dump *dump, const Allod__V1__DumpKey *key)
{
        dump->key = (struct dump_key){.scrypt_log_n = key->scrypt_log_n, .scrypt_p = key->scrypt_p};
        memcpy(dump->key.salt, key->salt.data, DUMP_SALT_SIZE);
        memcpy(dump->key.id, key->key_id.data, DUMP_KEY_ID_SIZE);
        memcpy(dump->key.key, key->key.data, DUMP_KEY_SIZE);
        OPENSSL_cleanse(key->key.data, key->key.len);
        dump->run.key = &dump->key;
}

static void take_base(struct dump *dump, const Allod__V1__DumpBase *base)
{
        dump->base = (struct dump_base){
                .header = {.restore_epoch = base->restore_epoch, .time_ms = base->time_ms},
                .next = dump_base_next,
                .context = &dump->base_spool,
        };
        memcpy(dump->base.header.store_id.bytes, base->store_id.data, UUID_SIZE);
        memcpy(dump->base.root_hash, base->root_hash.data, SHA256_SIZE);
        dump->run.base = &dump->base;
}

static enum result make_dump(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct dump *dump = calloc(1, sizeof *dump);
        size_t i;

        if (dump == NULL) return R_NO_MEMORY;
        dump->who = call->who;
        fault_clear(&dump->fault);
        spool_init(&dump->spool, call->host->store);
        dump->owners = calloc(request->n_owners + 1, sizeof *dump->owners);
        dump->run = (struct dump_run){
                .owners = dump->owners, .owner_count = request->n_owners, .write = write_spool, .context = dump};
        if (request->key != NULL) take_key(dump, request->key);
        dump_base_init(&dump->base_spool, call->host->store);
        if (request->since != NULL) take_base(dump, request->since);
        for (i = 0; i < request->n_owners && dump->owners != NULL; i++)
                REQUIRE(owner_parse(request->owners[i], &dump->owners[i]) == R_OK);
        if (dump->owners == NULL || task_start(&dump->task, call, &ops) != R_OK) {
                free(dump->owners);
                dump_key_wipe(&dump->key);
                free(dump);
                return R_NO_MEMORY;
        }
        state_of(call)->dump = dump;
        return R_OK;
}

static enum result check_key(struct call *call, const Allod__V1__DumpKey *key)
{
        if (key == NULL) return R_OK;
        if (key->salt.len != DUMP_SALT_SIZE) return fault_field(&call->fault, "key.salt", "must be 32 bytes");
        if (key->key_id.len != DUMP_KEY_ID_SIZE) return fault_field(&call->fault, "key.key_id", "must be 16 bytes");
        if (key->key.len != DUMP_KEY_SIZE) return fault_field(&call->fault, "key.key", "must be 32 bytes");
        if (!dump_key_is_sane(&(struct dump_key){.scrypt_log_n = key->scrypt_log_n, .scrypt_p = key->scrypt_p}))
                return fault_field(&call->fault, "key.scrypt_log_n", "and key.scrypt_p ask for what no dump may");
        return R_OK;
}

static enum result check_base(struct call *call, const Allod__V1__DumpBase *base)
{
        if (base == NULL) return R_OK;
        if (base->store_id.len != UUID_SIZE) return fault_field(&call->fault, "since.store_id", "must be 16 bytes");
        if (base->root_hash.len != SHA256_SIZE) return fault_field(&call->fault, "since.root_hash", "must be 32 bytes");
        return R_OK;
}

static enum result check_request(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct owner owner;
        enum result r;
        size_t i;

        if (request->n_owners > OWNERS_MAX) return fault_field(&call->fault, "owners", "must be 1000 at most");
        for (i = 0; i < request->n_owners; i++) {
                if (owner_parse(request->owners[i], &owner) != R_OK)
                        return fault_field(&call->fault, "owners", "must be u: or t: and an id, each");
        }
        if ((r = check_key(call, request->key)) != R_OK) return r;
        return check_base(call, request->since);
}

/* The base's next owners. */
static enum result add_owners(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct dump *dump = state_of(call)->dump;
        const struct bytes owners = bytes_of(request->since_owners.data, request->since_owners.len);

        if (owners.len > 0 && dump->run.base == NULL)
                return fault_field(&call->fault, "since_owners", "are of no base: `since` is missing");
        return dump_base_add(&dump->base_spool, owners, &call->fault);
}

static enum result begin(struct call *call, const Allod__V1__DumpRequest *request)
{
        struct state *state = state_of(call);
        bool is_free = false;
        enum result r;

        if (state->was_asked && (state->dump == NULL || state->dump->run.base == NULL))
                return fault_set(&call->fault, R_BAD_ARGUMENT, "Without a base the method takes one message.");
        if (state->was_asked && (request->n_owners > 0 || request->key != NULL || request->since != NULL))
                return fault_set(&call->fault, R_BAD_ARGUMENT,
                                 "Only the first message may have more than since_owners.");
        if (state->was_asked) return add_owners(call, request);
        state->was_asked = true;
        if ((r = check_request(call, request)) != R_OK) return r;
        if (!atomic_compare_exchange_strong(&is_dumping, &is_free, true))
                return fault_set(&call->fault, R_EXHAUSTED,
                                 "Another dump is being written; try again when it is done.");
        if ((r = make_dump(call, request)) == R_OK) return add_owners(call, request);
        atomic_store(&is_dumping, false);
        return r;
}

static void message(struct call *call, const ProtobufCMessage *request)
{
        enum result r = begin(call, (const Allod__V1__DumpRequest *)request);

        if (r != R_OK) feed_finish(call, r);
}

static void end(struct call *call)
{
        struct dump *dump = state_of(call)->dump;

        state_of(call)->is_ended = true;
        if (dump == NULL)
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a message."));
        else if (!dump->task.is_asked)
                task_ask(&dump->task);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static void writable(struct call *call)
{
        struct dump *dump = state_of(call)->dump;

        if (dump != NULL && state_of(call)->is_ended && !dump->task.is_asked) task_ask(&dump->task);
}

static void close_call(struct call *call)
{
        struct dump *dump = state_of(call)->dump;

        if (dump == NULL) return;
        state_of(call)->dump = NULL;
        task_drop(&dump->task);
}

const struct feed_ops dump_feed = {
        .message = message, .end = end, .wake = wake, .writable = writable, .close = close_call, .is_upload = true};
