#include "engine/dump_chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <allod/v1/job.pb-c.h>

#include "engine/job.h"
#include "engine/restore.h"
#include "engine/scope.h"
#include "engine/team.h"
#include "engine/txn_private.h"
#include "tests/lib/dumps.h"
#include "tests/lib/heap.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"

WORLD_METHOD(job_cancel, true);

#define MAP_SIZE ((size_t)4 << 30)

/* A word that only bob's records hold. */
#define CANARY "canary-of-bob"

/* ---- Dumps ---- */

/* A base that lies about one owner. */
struct lie {
        struct dump_index *index;
        struct uuid id;
        void (*tell)(struct dump_entry *entry);
};

static enum result next_lie(void *context, struct dump_entry *out)
{
        struct lie *lie = context;
        enum result r = dump_index_next(lie->index, out);

        if (r == R_OK && memcmp(out->owner + 2, lie->id.bytes, UUID_SIZE) == 0) lie->tell(out);
        return r;
}

struct made {
        struct memory memory;
        struct dump_run run;
        enum result r;
};

static void dump_with(struct made *made, struct owner *owners, size_t count, struct memory *since, struct lie *lie)
{
        struct txn_input input = {.arena = &world.arena, .fault = &world.fault};
        struct dump_index *index = NULL;
        struct dump_base base = {0};
        struct dump_fault fault;

        *made = (struct made){.run = {.owners = owners, .owner_count = count, .write = memory_write}};
        made->run.context = &made->memory;
        if (since != NULL) {
                assert_int_equal(dump_index_open(memory_read_at, since, since->len, NULL, &index, &fault), R_OK);
                base = (struct dump_base){
                        .header = *dump_index_header(index), .next = dump_index_next, .context = index};
                memcpy(base.root_hash, dump_index_root_hash(index), SHA256_SIZE);
                made->run.base = &base;
        }
        if (lie != NULL) {
                lie->index = index;
                base.next = next_lie;
                base.context = lie;
        }
        view_expire(world.view);
        made->r = view_run(world.view, &input, dump_store, &made->run);
        dump_index_close(index);
}

static struct made must_dump(struct owner *owners, size_t count, struct memory *since)
{
        struct made made;
        struct reading reading;

        dump_with(&made, owners, count, since, NULL);
        assert_int_equal(made.r, R_OK);
        reading = memory_check(&made.memory);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_memory_equal(reading.root_hash, made.run.root_hash, SHA256_SIZE);
        assert_memory_equal(&reading.counts, &made.run.counts, sizeof reading.counts);
        return made;
}

static enum result pass(void *context, const struct dump_chunk *chunk)
{
        struct dump_chunk copy = *chunk;
        struct dump_record record;

        while (dump_chunk_next(&copy, &record))
                ++*(uint64_t *)context;
        return R_OK;
}

/* What a chain came to. */
struct outcome {
        enum result r;
        size_t layer;
        struct dump_fault fault;
        uint64_t record_count;
        struct dump_counts counts;
        uint8_t root_hash[SHA256_SIZE];
};

static struct outcome read_chain(struct memory *const *memories, size_t count)
{
        struct dump_layer layers[DUMP_CHAIN_MAX];
        struct memory copies[DUMP_CHAIN_MAX]; /* each with a place of its own */
        struct outcome outcome = {0};
        struct dump_header header;
        struct dump_chain *chain;
        size_t i;

        for (i = 0; i < count; i++) {
                copies[i] = *memories[i];
                layers[i] = memory_layer(&copies[i]);
        }
        if ((outcome.r = dump_chain_open(layers, count, NULL, &chain)) != R_OK) return outcome;
        outcome.r = dump_chain_header(chain, &header);
        if (outcome.r == R_OK) outcome.r = dump_chain_run(chain, pass, &outcome.record_count);
        outcome.fault = *dump_chain_fault(chain, &outcome.layer);
        outcome.counts = *dump_chain_counts(chain);
        memcpy(outcome.root_hash, dump_chain_root_hash(chain), SHA256_SIZE);
        dump_chain_close(chain);
        return outcome;
}

/* The chain gives what a full dump of this moment has, record by record as the root hash has it. */
static void must_give(struct memory *const *memories, size_t count, const struct made *full)
{
        struct outcome outcome = read_chain(memories, count);

        assert_int_equal(outcome.r, R_OK);
        assert_memory_equal(outcome.root_hash, full->run.root_hash, SHA256_SIZE);
        assert_int_equal(outcome.counts.records, full->run.counts.records);
        assert_int_equal(outcome.counts.owners, full->run.counts.owners);
        assert_int_equal(outcome.record_count, full->run.counts.records);
        assert_memory_equal(outcome.counts.kinds, full->run.counts.kinds, sizeof full->run.counts.kinds);
}

/* ---- Changes ---- */

static void cancel_job(const struct credential *who, const char *app, const char *id)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.id = (char *)id;
        assert_int_equal(world_call(&world, &method_job_cancel, who, &request), R_OK);
}

/* As the chore that notes when keys were used does: the row changes, its revision does not. */
static enum result use_key(struct txn *txn, void *arg)
{
        const struct credential *who = arg;
        const struct row kind = {.kind = ROW_KEY};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *scope;
        uint8_t body[512];
        struct record record;
        struct row row;
        size_t len;

        assert_int_equal(scope_open(txn, who, RIGHT_EDIT, &scope), R_OK);
        assert_int_equal(scan_open(scope, &kind, NULL, false, &scan), R_OK);
        assert_int_equal(scan_next(&scan, &row, &record), R_OK);
        len = record.body.len;
        assert_true(len + 2 < sizeof body);
        memcpy(body, record.body.data, len);
        body[len++] = 6 << 3; /* last_used_at_ms, anew */
        body[len++] = (uint8_t)(rand() & 0x7f);
        scan_close(&scan);
        return scope_put(scope, &row, record.revision, bytes_of(body, len));
}

#define APPS_MAX 12

static struct {
        const struct credential *who;
        struct id app, job;
} apps[APPS_MAX];

static void change_app(size_t i)
{
        const struct credential *owners[] = {&ann.who, &bob.who, &ann_in_team};
        bool is_made = apps[i].who != NULL;

        if (!is_made) {
                apps[i].who = owners[rand() % 3];
                apps[i].app = create_app(apps[i].who);
                apps[i].job.text[0] = '\0';
        } else if (rand() % 3 == 0) {
                assert_int_equal(delete_app(apps[i].who, apps[i].app.text, ""), R_OK);
                apps[i].who = NULL;
        } else if (apps[i].job.text[0] != '\0' && rand() % 2 == 0) {
                cancel_job(apps[i].who, apps[i].app.text, apps[i].job.text);
                apps[i].job.text[0] = '\0';
        } else {
                assert_int_equal(run_job(apps[i].who, apps[i].app.text,
                                         apps[i].who == &bob.who ? "{\"word\":\"" CANARY "\"}" : "{\"n\":1}"),
                                 R_OK);
                apps[i].job = created_id();
        }
}

static void change_something(void)
{
        int what = rand() % 20;

        if (what == 0)
                tenants_write(use_key, rand() % 2 == 0 ? &ann.who : &bob.who);
        else if (what == 1)
                world_purge(&world);
        else
                change_app((size_t)rand() % APPS_MAX);
}

/* ---- Tests ---- */

/* Whatever was written between them, a full dump and incrementals give, at each moment, what a full dump of that moment
 * has; and each incremental's own root hash is that too. */
static void test_random(void **state)
{
        struct made made[8];
        struct memory *memories[8];
        unsigned seed;
        size_t i, j;

        (void)state;
        for (seed = 1; seed <= 12; seed++) {
                print_message("seed %u\n", seed);
                srand(seed);
                memset(apps, 0, sizeof apps);
                for (i = 0; i < 8; i++) {
                        struct made full;

                        for (j = (size_t)rand() % 30; j > 0; j--)
                                change_something();
                        made[i] = must_dump(NULL, 0, i == 0 ? NULL : &made[i - 1].memory);
                        memories[i] = &made[i].memory;
                        full = must_dump(NULL, 0, NULL);
                        assert_memory_equal(made[i].run.root_hash, full.run.root_hash, SHA256_SIZE);
                        assert_int_equal(made[i].run.whole_owners, 0);
                        must_give(memories, i + 1, &full);
                        memory_free(&full.memory);
                }
                for (i = 0; i < 8; i++)
                        memory_free(&made[i].memory);
        }
}

/* What did not change is not in it: neither the rows of an owner who is as before nor those of one who is not. */
static void test_small(void **state)
{
        struct id app = create_app(&ann.who);
        struct made full, since, none;

        (void)state;
        create_app(&bob.who);
        full = must_dump(NULL, 0, NULL);
        assert_int_equal(run_job(&ann.who, app.text, "{}"), R_OK);
        since = must_dump(NULL, 0, &full.memory);
        assert_int_equal(since.run.counts.unchanged_owners, full.run.counts.owners - 1);
        assert_int_equal(since.run.counts.chunks, 1);
        assert_int_equal(since.run.counts.records, 1 + 1 + 3); /* profile and key; job, input, change */
        assert_int_equal(since.run.counts.kinds[ROW_APP], 0);
        none = must_dump(NULL, 0, &since.memory);
        assert_int_equal(none.run.counts.records, 0);
        assert_int_equal(none.run.counts.unchanged_owners, full.run.counts.owners);
        memory_free(&full.memory);
        memory_free(&since.memory);
        memory_free(&none.memory);
}

static bool holds(const struct memory *memory, const void *word, size_t len)
{
        struct memory copy = *memory;
        struct dump_reader *reader;
        struct dump_header header;
        struct dump_chunk chunk;
        bool is_found = memmem(memory->data, memory->len, word, len) != NULL;

        copy.at = 0;
        assert_int_equal(dump_reader_open(memory_read, &copy, &reader), R_OK);
        dump_reader_take_incremental(reader);
        assert_int_equal(dump_reader_header(reader, &header), R_OK);
        while (dump_reader_next(reader, &chunk) == R_OK)
                is_found |= memmem(chunk.content.data, chunk.content.len, word, len) != NULL;
        dump_reader_close(reader);
        return is_found;
}

/* An incremental of ann holds nothing of bob: not his words, his id, his key's digest, in chunks or index; whether it
 * is based on a dump of her alone or of all. And together with either it gives ann alone. */
static void test_one_owner(void **state)
{
        struct owner owner = {OWNER_USER, ann.id};
        struct made bases[2], since[2], alone;
        struct id app = create_app(&bob.who), hers = create_app(&ann.who);
        size_t i;

        (void)state;
        assert_int_equal(run_job(&bob.who, app.text, "{\"word\":\"" CANARY "\"}"), R_OK);
        bases[0] = must_dump(NULL, 0, NULL);
        bases[1] = must_dump(&owner, 1, NULL);
        assert_int_equal(run_job(&bob.who, app.text, "{\"word\":\"" CANARY "\"}"), R_OK);
        for (i = 0; i < 4; i++) { /* first nothing of hers has changed */
                struct made *base = &bases[i % 2], *made = &since[i % 2];
                struct memory *memories[] = {&base->memory, &made->memory};

                if (i == 2) assert_int_equal(run_job(&ann.who, hers.text, "{}"), R_OK);
                *made = must_dump(&owner, 1, &base->memory);
                assert_true(holds(&base->memory, CANARY, strlen(CANARY)) == (i % 2 == 0));
                assert_false(holds(&made->memory, CANARY, strlen(CANARY)));
                assert_false(holds(&made->memory, bob.id.bytes, UUID_SIZE));
                assert_false(holds(&made->memory, bob.who.key_digest, API_KEY_DIGEST_SIZE));
                assert_false(holds(&made->memory, cleo.id.bytes, UUID_SIZE));
                assert_true(holds(&made->memory, ann.id.bytes, UUID_SIZE));
                alone = must_dump(&owner, 1, NULL);
                must_give(memories, 2, &alone);
                memory_free(&alone.memory);
                memory_free(&made->memory);
        }
        memory_free(&bases[0].memory);
        memory_free(&bases[1].memory);
}

static void lie_history(struct dump_entry *entry)
{
        entry->state.history ^= 1;
}

static void lie_revision(struct dump_entry *entry)
{
        entry->state.revision += 1000;
}

static void lie_none(struct dump_entry *entry)
{
        entry->state = (struct dump_state){0};
}

/* An owner whose log does not have the base's last change, or another one in its place, is dumped as a whole by itself,
 * which is counted; others are not. */
static void test_history_is_gone(void **state)
{
        static void (*const lies[])(struct dump_entry *) = {lie_history, lie_revision, lie_none};
        struct id app = create_app(&bob.who);
        struct made full, since, now;
        size_t i;

        (void)state;
        full = must_dump(NULL, 0, NULL);
        assert_int_equal(run_job(&bob.who, app.text, "{}"), R_OK);
        create_app(&ann.who);
        now = must_dump(NULL, 0, NULL);
        for (i = 0; i < sizeof lies / sizeof lies[0]; i++) {
                struct lie lie = {.id = bob.id, .tell = lies[i]};
                struct memory *memories[] = {&full.memory, &since.memory};

                dump_with(&since, NULL, 0, &full.memory, &lie);
                assert_int_equal(since.r, R_OK);
                assert_int_equal(since.run.whole_owners, 1);
                assert_int_equal(since.run.counts.kinds[ROW_APP], 2); /* bob's old one, ann's new one */
                must_give(memories, 2, &now);
                memory_free(&since.memory);
        }
        memory_free(&full.memory);
        memory_free(&now.memory);
}

static enum result trim(struct txn *txn, void *arg)
{
        const struct row oldest = {.kind = ROW_CHANGE, .revision = 1};
        struct key key;

        key_owner(*(const struct owner *)arg, &key);
        key_append(&key, &oldest);
        return txn_delete(txn, TABLE_RECORDS, bytes_of(key.data, key.len));
}

/* A log that was cut since the base, and nothing else: it is seen, and the owner is as a whole in the dump. */
static void test_trimmed(void **state)
{
        struct owner owner = {OWNER_USER, bob.id};
        struct made full, since, now;
        struct memory *memories[] = {&full.memory, &since.memory};

        (void)state;
        create_app(&bob.who);
        full = must_dump(NULL, 0, NULL);
        tenants_write(trim, &owner);
        since = must_dump(NULL, 0, &full.memory);
        now = must_dump(NULL, 0, NULL);
        assert_int_equal(since.run.whole_owners, 1);
        must_give(memories, 2, &now);
        memory_free(&full.memory);
        memory_free(&since.memory);
        memory_free(&now.memory);
}

/* An app's record that goes, comes, or both, with the revision it gets. */
struct app_change {
        const struct credential *who;
        struct uuid app;
        bool goes, comes;
};

static enum result change_record(struct txn *txn, void *arg)
{
        const struct app_change *change = arg;
        const struct row row = {.kind = ROW_APP, .app = change->app};
        const struct scope *scope;
        uint64_t revision;

        assert_int_equal(scope_open(txn, change->who, RIGHT_EDIT, &scope), R_OK);
        if (change->goes) {
                assert_int_equal(scope_change(scope, CHANGE_DELETE, &row, &revision), R_OK);
                assert_int_equal(scope_delete(scope, &row), R_OK);
        }
        if (change->comes) {
                assert_int_equal(scope_change(scope, CHANGE_CREATE, &row, &revision), R_OK);
                assert_int_equal(scope_put(scope, &row, revision, BYTES("")), R_OK);
        }
        return R_OK;
}

/* An app that is made anew under its old id may have lost what was under it: its owner is dumped as a whole. And one
 * whose record comes after rows that the base had seen without it, as in a restore, is in the dump with all of them. */
static void test_app_comes_back(void **state)
{
        struct app_change change = {.who = &bob.who, .goes = true, .comes = true};
        struct made full, since, now;
        struct memory *memories[] = {&full.memory, &since.memory};
        struct id app = create_app(&bob.who);
        int i;

        (void)state;
        change.app = app.uuid;
        assert_int_equal(run_job(&bob.who, app.text, "{}"), R_OK);
        for (i = 0; i < 2; i++) {
                if (i == 1) { /* hidden in the base */
                        tenants_write(change_record, &(struct app_change){&bob.who, app.uuid, true, false});
                        change.goes = false;
                }
                full = must_dump(NULL, 0, NULL);
                assert_int_equal(full.run.counts.kinds[ROW_JOB], i == 0 ? 1 : 0);
                tenants_write(change_record, &change);
                since = must_dump(NULL, 0, &full.memory);
                now = must_dump(NULL, 0, NULL);
                assert_int_equal(since.run.whole_owners, i == 0 ? 1 : 0);
                assert_int_equal(since.run.counts.kinds[ROW_JOB], 1);
                must_give(memories, 2, &now);
                memory_free(&full.memory);
                memory_free(&since.memory);
                memory_free(&now.memory);
        }
}

/* Another store's dump and one from before a restore are no base. */
static void test_no_base(void **state)
{
        struct txn_input input = {.arena = &world.arena, .fault = &world.fault};
        struct made full = must_dump(NULL, 0, NULL);
        struct reading reading = memory_check(&full.memory);
        struct dump_base base = {.header = reading.header};
        struct dump_run run = {.base = &base, .write = memory_write, .context = &full.memory};

        (void)state;
        base.header.restore_epoch++;
        assert_int_equal(view_run(world.view, &input, dump_store, &run), R_WRONG_STATE);
        assert_non_null(strstr(world.fault.text, "restored"));
        base.header = reading.header;
        base.header.store_id.bytes[0] ^= 1;
        assert_int_equal(view_run(world.view, &input, dump_store, &run), R_WRONG_STATE);
        assert_non_null(strstr(world.fault.text, "another store"));
        memory_free(&full.memory);
}

/* With the one in the middle cut off anywhere, or any of its bits flipped, the chain is refused because of that one. */
static void damage_everywhere(struct memory *const memories[3])
{
        struct memory *middle = memories[1];
        const size_t len = middle->len;
        struct outcome outcome;
        size_t at;

        for (at = 0; at < 8 * len; at++) {
                middle->data[at / 8] ^= (uint8_t)(1 << at % 8);
                outcome = read_chain(memories, 3);
                middle->data[at / 8] ^= (uint8_t)(1 << at % 8);
                assert_true(outcome.r == R_CORRUPT || outcome.r == R_FORMAT);
                assert_int_equal(outcome.layer, 1);
        }
        for (middle->len = 0; middle->len < len; middle->len++) {
                outcome = read_chain(memories, 3);
                assert_int_equal(outcome.r, R_CORRUPT);
                assert_int_equal(outcome.layer, 1);
        }
}

/* In a chain of three: order, gaps and repetitions are refused, and a flipped byte anywhere in any of them is found and
 * told of that one; as is each bit of the second, and each end that it could have. Out of memory is said, at whichever
 * allocation. */
static void test_damage(void **state)
{
        struct id app = create_app(&ann.who);
        struct made made[3];
        struct memory *memories[3] = {&made[0].memory, &made[1].memory, &made[2].memory};
        struct memory *const orders[][3] = {
                {memories[1], memories[0], memories[2]}, {memories[0], memories[2], memories[1]},
                {memories[0], memories[0], memories[1]}, {memories[0], memories[1], memories[1]},
                {memories[2], memories[1], memories[0]}, {memories[1], memories[2], memories[2]},
        };
        struct outcome outcome;
        unsigned long n;
        size_t i, at;

        (void)state;
        for (i = 0; i < 3; i++) {
                made[i] = must_dump(NULL, 0, i == 0 ? NULL : &made[i - 1].memory);
                assert_int_equal(run_job(&ann.who, app.text, "{}"), R_OK);
        }
        assert_int_equal(read_chain(memories, 3).r, R_OK);
        for (i = 0; i < sizeof orders / sizeof orders[0]; i++)
                assert_int_equal(read_chain(orders[i], 3).r, R_WRONG_STATE);
        assert_int_equal(read_chain((struct memory *const[]){memories[0], memories[2]}, 2).r, R_WRONG_STATE);
        for (i = 0; i < 3; i++) {
                for (at = 0; at < memories[i]->len; at += 7) {
                        memories[i]->data[at] ^= 0x20;
                        outcome = read_chain(memories, 3);
                        assert_true(outcome.r == R_CORRUPT || outcome.r == R_FORMAT);
                        assert_int_equal(outcome.layer, i);
                        memories[i]->data[at] ^= 0x20;
                }
        }
        damage_everywhere(memories);
        for (n = 1;; n++) {
                heap_fail_at(n);
                outcome = read_chain(memories, 3);
                heap_fail_at(0);
                if (outcome.r == R_OK) break;
                assert_int_equal(outcome.r, R_NO_MEMORY);
        }
        assert_true(n > 10);
        for (i = 0; i < 3; i++)
                memory_free(memories[i]);
}

static void lie_hash(struct dump_entry *entry)
{
        entry->hash[7] ^= 1;
}

/* An incremental that says another hash of an owner than the records give is not taken for good, although each file is
 * as it was written. */
static void test_wrong_whole(void **state)
{
        struct made full, since;
        struct memory *memories[] = {&full.memory, &since.memory};
        struct lie lie = {.id = bob.id, .tell = lie_hash};
        struct outcome outcome;

        (void)state;
        create_app(&bob.who);
        full = must_dump(NULL, 0, NULL);
        create_app(&ann.who);
        dump_with(&since, NULL, 0, &full.memory, &lie);
        assert_int_equal(since.r, R_OK);
        assert_int_equal(memory_check(&since.memory).fault_count, 0);
        outcome = read_chain(memories, 2);
        assert_int_equal(outcome.r, R_CORRUPT);
        assert_int_equal(outcome.layer, 1);
        assert_non_null(strstr(outcome.fault.text, "does not give"));
        memory_free(&full.memory);
        memory_free(&since.memory);
}

/* A store that is made of a chain is sound and dumps with the root hash of the chain's last moment; of a broken chain,
 * nothing is made. */
static void test_restore(void **state)
{
        struct made made[3], full;
        struct dump_layer layers[3];
        struct restore restore = {.options = {.map_size = MAP_SIZE, .is_forced = true}, .layers = layers};
        struct tempdir dir;
        size_t i, j;

        (void)state;
        srand(99);
        memset(apps, 0, sizeof apps);
        for (i = 0; i < 3; i++) {
                for (j = 0; j < 40; j++)
                        change_something();
                made[i] = must_dump(NULL, 0, i == 0 ? NULL : &made[i - 1].memory);
                layers[i] = memory_layer(&made[i].memory);
        }
        full = must_dump(NULL, 0, NULL);
        tempdir_make(&dir);
        restore.options.dir = tempdir_file(&dir, "new");
        restore.layer_count = 2;
        layers[1] = memory_layer(&made[2].memory);
        assert_int_equal(restore_run(&restore), R_WRONG_STATE);
        assert_int_equal(restore.fault_layer, 1);
        for (i = 0; i < 3; i++)
                layers[i] = memory_layer(&made[i].memory);
        restore.layer_count = 3;
        assert_int_equal(restore_run(&restore), R_OK);
        assert_memory_equal(restore.root_hash, full.run.root_hash, SHA256_SIZE);
        assert_memory_equal(restore.counts.kinds, full.run.counts.kinds, sizeof restore.counts.kinds);
        for (i = 0; i < 3; i++)
                memory_free(&made[i].memory);
        memory_free(&full.memory);
        tempdir_remove(&dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
                TEST(test_random),      TEST(test_small),          TEST(test_one_owner), TEST(test_history_is_gone),
                TEST(test_trimmed),     TEST(test_app_comes_back), TEST(test_no_base),   TEST(test_damage),
                TEST(test_wrong_whole), TEST(test_restore),
#undef TEST
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
