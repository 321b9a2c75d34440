#include "engine/restore.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <allod/v1/job.pb-c.h>

#include "engine/apikey.h"
#include "engine/app.h"
#include "engine/dump_frame.h"
#include "engine/job.h"
#include "engine/team.h"
#include "engine/txn_private.h"
#include "tests/lib/dumps.h"
#include "tests/lib/heap.h"
#include "tests/lib/syscall_fault.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"

WORLD_METHOD(job_cancel, true);
WORLD_METHOD(app_list, false);
WORLD_METHOD(team_invite_member, true);
WORLD_METHOD(apikey_revoke, true);

#define MAP_SIZE ((size_t)4 << 30)

/* A word that only bob's records hold. */
#define CANARY "canary-of-bob"

static void cancel_job(const struct credential *who, const char *app, const char *id)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.id = (char *)id;
        assert_int_equal(world_call(&world, &method_job_cancel, who, &request), R_OK);
}

static void invite(const struct person *person)
{
        Allod__V1__InviteMemberRequest request = ALLOD__V1__INVITE_MEMBER_REQUEST__INIT;
        char team[UUID_TEXT_LEN + 1];

        uuid_format(ann_in_team.team, team);
        request.team_id = team;
        request.user_id = (char *)person->text;
        request.role = ALLOD__V1__ROLE__ROLE_MEMBER;
        assert_int_equal(world_call(&world, &method_team_invite_member, &ann.who, &request), R_OK);
}

/* Apps and jobs of all three owners; jobs that wait and jobs that were canceled; an app that is gone; an invitation. */
static struct id fill_world(void)
{
        const struct credential *owners[] = {&ann.who, &bob.who, &ann_in_team};
        struct id app = {0}, job;
        size_t i, j;

        for (i = 0; i < 3; i++) {
                for (j = 0; j < 4; j++) {
                        app = create_app(owners[i]);
                        assert_int_equal(run_job(owners[i], app.text,
                                                 owners[i] == &bob.who ? "{\"word\":\"" CANARY "\"}" : "{\"n\":1}"),
                                         R_OK);
                        assert_int_equal(run_job(owners[i], app.text, "{\"n\":2}"), R_OK);
                        job = created_id();
                        if (j % 2 == 0) cancel_job(owners[i], app.text, job.text);
                }
                assert_int_equal(delete_app(owners[i], app.text, ""), R_OK);
        }
        invite(&bob);
        return create_app(&ann.who);
}

static enum result dump_world(struct dump_run *run)
{
        struct txn_input input = {.arena = &world.arena, .fault = &world.fault};

        view_expire(world.view);
        return view_run(world.view, &input, dump_store, run);
}

static struct memory must_dump(struct owner *owners, size_t count)
{
        struct memory memory = {0};
        struct dump_run run = {.owners = owners, .owner_count = count, .write = memory_write, .context = &memory};
        struct reading reading;

        assert_int_equal(dump_world(&run), R_OK);
        reading = memory_check(&memory);
        assert_int_equal(reading.outcome, R_ABSENT);
        assert_int_equal(reading.fault_count, 0);
        assert_memory_equal(reading.root_hash, run.root_hash, SHA256_SIZE);
        assert_memory_equal(reading.counts.kinds, run.counts.kinds, sizeof run.counts.kinds);
        return memory;
}

static enum result restore(struct memory *memory, const char *dir, struct restore *out)
{
        *out = (struct restore){.options = {.dir = dir, .map_size = MAP_SIZE, .is_forced = true},
                                .read = memory_read,
                                .context = memory};
        memory->at = 0;
        return restore_run(out);
}

/* The world's store from now on: what was restored there, or the world's own. */
static void enter(const char *dir)
{
        const struct store_options options = {.dir = dir, .map_size = MAP_SIZE, .is_forced = true};
        char why[STORE_WHY_SIZE];

        view_close(world.view);
        store_close(world.store);
        assert_int_equal(store_open(&options, &world.store, NULL, NULL, why), R_OK);
        assert_int_equal(view_open(world.store, &world.view), R_OK);
}

/* ---- Whole rows of the files ---- */

struct rows {
        uint8_t *data;
        size_t len, size;
        uint64_t count;
};

static void add_bytes(struct rows *rows, struct bytes bytes)
{
        if (rows->len + bytes.len > rows->size) {
                rows->size = 2 * (rows->len + bytes.len);
                rows->data = realloc(rows->data, rows->size);
                assert_non_null(rows->data);
        }
        memcpy(rows->data + rows->len, bytes.data, bytes.len);
        rows->len += bytes.len;
}

static enum result read_rows(struct txn *txn, void *arg)
{
        static const enum backend_table tables[] = {TABLE_RECORDS, TABLE_APIKEYS, TABLE_PURGE};
        struct rows *rows = arg;
        size_t i;

        for (i = 0; i < sizeof tables / sizeof tables[0]; i++) {
                struct backend_cursor cursor;
                struct bytes key, value;
                enum result r;

                assert_int_equal(backend_cursor_open(txn->backend, tables[i], &cursor), R_OK);
                r = backend_seek(&cursor, bytes_of("", 1), &key, &value);
                for (; r == R_OK; r = backend_next(&cursor, &key, &value)) {
                        add_bytes(rows, key);
                        add_bytes(rows, value);
                        rows->count++;
                }
                assert_int_equal(r, R_ABSENT);
                backend_cursor_close(&cursor);
        }
        return R_OK;
}

static struct rows all_rows(void)
{
        struct txn_input input = {.arena = &world.arena, .fault = &world.fault};
        struct rows rows = {0};

        view_expire(world.view);
        assert_int_equal(view_run(world.view, &input, read_rows, &rows), R_OK);
        return rows;
}

static bool is_there(const char *dir)
{
        return access(dir, F_OK) == 0;
}

/* ---- Tests ---- */

/* A restored store holds the very rows of the old one, derived ones and look-ups included, byte by byte; its dump has
 * the same root hash; and people find with their keys what was theirs and nothing else. */
static void test_round_trip(void **state)
{
        struct id app = fill_world();
        struct memory first = must_dump(NULL, 0), second;
        struct tempdir dir;
        struct restore restored;
        struct rows before, after;
        struct reading one, two;

        (void)state;
        world_purge(&world);
        before = all_rows();
        tempdir_make(&dir);
        assert_int_equal(restore(&first, tempdir_file(&dir, "new"), &restored), R_OK);
        enter(tempdir_file(&dir, "new"));
        after = all_rows();
        assert_int_equal(before.count, after.count);
        assert_int_equal(before.len, after.len);
        assert_memory_equal(before.data, after.data, before.len);

        second = must_dump(NULL, 0);
        one = memory_check(&first);
        two = memory_check(&second);
        assert_memory_equal(one.root_hash, two.root_hash, SHA256_SIZE);
        assert_int_equal(two.header.restore_epoch, one.header.restore_epoch + 1);
        assert_memory_equal(&two.header.store_id, &one.header.store_id, UUID_SIZE);

        assert_int_equal(get_app(&ann.who, app.text), R_OK);
        assert_int_equal(get_app(&bob.who, app.text), R_ABSENT);
        assert_int_equal(get_app(&ann_in_team, app.text), R_ABSENT);
        world_check(&world);

        enter(world.dir);
        memory_free(&first);
        memory_free(&second);
        free(before.data);
        free(after.data);
        tempdir_remove(&dir);
}

/* Time does not go back: what is made after a restore sorts behind what was dumped. */
static void test_time(void **state)
{
        struct memory memory;
        struct tempdir dir;
        struct restore restored;
        struct id app;

        (void)state;
        app = fill_world();
        memory = must_dump(NULL, 0);
        tempdir_make(&dir);
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_OK);
        enter(tempdir_file(&dir, "new"));
        assert_true(store_time_ms(world.store) >= memory_check(&memory).header.time_ms);
        assert_true(memcmp(create_app(&ann.who).text, app.text, UUID_TEXT_LEN) > 0);
        enter(world.dir);
        memory_free(&memory);
        tempdir_remove(&dir);
}

/* A page token of the time before the restore ends in an error, never in a page. */
static void test_page_tokens(void **state)
{
        Allod__V1__ListAppsRequest request = ALLOD__V1__LIST_APPS_REQUEST__INIT;
        const Allod__V1__ListAppsResponse *response;
        struct memory memory;
        struct tempdir dir;
        struct restore restored;
        char token[512];

        (void)state;
        fill_world();
        request.page_size = 1;
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_OK);
        response = world_reply(&world, &allod__v1__list_apps_response__descriptor);
        snprintf(token, sizeof token, "%s", response->next_page_token);
        request.page_token = token;
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_OK);

        memory = must_dump(NULL, 0);
        tempdir_make(&dir);
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_OK);
        enter(tempdir_file(&dir, "new"));
        assert_int_equal(world_call(&world, &method_app_list, &ann.who, &request), R_BAD_ARGUMENT);
        enter(world.dir);
        memory_free(&memory);
        tempdir_remove(&dir);
}

static bool holds(const struct memory *memory, const char *word)
{
        struct memory copy = *memory;
        struct dump_reader *reader;
        struct dump_header header;
        struct dump_chunk chunk;
        bool is_found = false;

        copy.at = 0;
        assert_int_equal(dump_reader_open(memory_read, &copy, &reader), R_OK);
        assert_int_equal(dump_reader_header(reader, &header), R_OK);
        while (dump_reader_next(reader, &chunk) == R_OK)
                is_found |= memmem(chunk.content.data, chunk.content.len, word, strlen(word)) != NULL;
        dump_reader_close(reader);
        return is_found;
}

/* A dump of one owner holds that owner's records and no byte of another's: not bob's words, his id, his key's digest.
 */
static void test_one_owner(void **state)
{
        struct owner owner = {OWNER_USER, ann.id};
        struct owner both[] = {{OWNER_USER, bob.id}, {OWNER_USER, ann.id}, {OWNER_USER, bob.id}};
        struct memory all, one, two;
        struct dump_run absent = {.owners = &owner, .owner_count = 1, .write = memory_write};

        (void)state;
        fill_world();
        all = must_dump(NULL, 0);
        one = must_dump(&owner, 1);
        two = must_dump(both, 3);
        assert_true(holds(&all, CANARY) && holds(&two, CANARY));
        assert_false(holds(&one, CANARY));
        assert_null(memmem(one.data, one.len, bob.id.bytes, UUID_SIZE));
        assert_null(memmem(one.data, one.len, bob.who.key_digest, API_KEY_DIGEST_SIZE));
        assert_null(memmem(one.data, one.len, cleo.id.bytes, UUID_SIZE));
        assert_int_equal(memory_check(&one).counts.owners, 1);
        assert_int_equal(memory_check(&two).counts.owners, 2);
        assert_true(memory_check(&one).header.is_partial && !memory_check(&all).header.is_partial);

        owner.id.bytes[15] ^= 1;
        absent.context = &one;
        assert_int_equal(dump_world(&absent), R_ABSENT);
        memory_free(&all);
        memory_free(&one);
        memory_free(&two);
}

/* What was deleted is in no dump, although its rows still wait to be purged. */
static void test_invisible(void **state)
{
        struct memory memory;
        struct reading reading;
        struct id app;

        (void)state;
        app = create_app(&bob.who);
        assert_int_equal(run_job(&bob.who, app.text, "{\"word\":\"" CANARY "\"}"), R_OK);
        memory = must_dump(NULL, 0);
        assert_true(holds(&memory, CANARY));
        memory_free(&memory);
        assert_int_equal(delete_app(&bob.who, app.text, ""), R_OK);
        memory = must_dump(NULL, 0);
        reading = memory_check(&memory);
        assert_int_equal(reading.counts.kinds[ROW_APP], 0);
        assert_int_equal(reading.counts.kinds[ROW_JOB], 0);
        assert_false(holds(&memory, CANARY));
        memory_free(&memory);
}

/* Every flipped bit and every truncation is refused and leaves nothing. A sample of them: test_dump.c has them all, for
 * the reader that decides. */
static void test_damaged(void **state)
{
        struct memory memory;
        struct tempdir dir;
        struct restore restored;
        size_t i;

        (void)state;
        fill_world();
        memory = must_dump(NULL, 0);
        tempdir_make(&dir);
        for (i = 0; i < memory.len; i += memory.len / 15) {
                size_t len = memory.len;

                memory.data[i] ^= 0x10;
                assert_true(restore(&memory, tempdir_file(&dir, "new"), &restored) != R_OK);
                assert_true(restored.why[0] != '\0');
                assert_false(is_there(tempdir_file(&dir, "new")));
                memory.data[i] ^= 0x10;
                memory.len = i;
                assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_CORRUPT);
                assert_false(is_there(tempdir_file(&dir, "new")));
                memory.len = len;
        }
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_OK);
        memory_free(&memory);
        tempdir_remove(&dir);
}

/* A directory that holds anything is left as it is; an empty one is taken, and stays when the restore fails. What an
 * interrupted restore left is no store, and is cleared away by the next. */
static void test_place(void **state)
{
        struct memory memory = must_dump(NULL, 0);
        struct restore restored;
        struct tempdir dir;
        FILE *file;

        (void)state;
        assert_int_equal(restore(&memory, world.dir, &restored), R_HELD);
        tempdir_make(&dir);
        assert_int_equal(mkdir(tempdir_file(&dir, "new"), 0700), 0);
        file = fopen(tempdir_file(&dir, "new/mine"), "w");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_EXISTS);
        assert_true(is_there(tempdir_file(&dir, "new/mine")));
        assert_int_equal(unlink(tempdir_file(&dir, "new/mine")), 0);

        memory.data[memory.len - 1] ^= 1;
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_CORRUPT);
        memory.data[memory.len - 1] ^= 1;
        assert_true(is_there(tempdir_file(&dir, "new")));
        assert_false(is_there(tempdir_file(&dir, "new/data.mdb")) || is_there(tempdir_file(&dir, "new/unfinished")));

        assert_int_equal(mkdir(tempdir_file(&dir, "new/unfinished"), 0700), 0);
        file = fopen(tempdir_file(&dir, "new/unfinished/data.mdb"), "w");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_OK);
        assert_false(is_there(tempdir_file(&dir, "new/unfinished")));
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_EXISTS);
        memory_free(&memory);
        tempdir_remove(&dir);
}

/* A dry run reads all and says what is wrong with the dump or the place, and makes nothing. */
static void test_dry(void **state)
{
        struct restore dry = {.is_dry = true, .read = memory_read};
        struct memory memory;
        struct tempdir dir;

        (void)state;
        fill_world();
        memory = must_dump(NULL, 0);
        tempdir_make(&dir);
        dry.context = &memory;
        dry.options.dir = tempdir_file(&dir, "new");
        memory.at = 0;
        assert_int_equal(restore_run(&dry), R_OK);
        assert_int_equal(dry.counts.owners, 4);
        assert_false(is_there(tempdir_file(&dir, "new")));
        memory.at = 0;
        dry.options.dir = world.dir;
        assert_int_equal(restore_run(&dry), R_EXISTS);
        memory.at = 0;
        memory.data[memory.len / 2] ^= 1;
        dry.options.dir = tempdir_file(&dir, "new");
        assert_int_equal(restore_run(&dry), R_CORRUPT);
        memory_free(&memory);
        tempdir_remove(&dir);
}

/* A key that was revoked after the dump stays revoked, where the old store is still there to say so. */
static void test_keep_revoked(void **state)
{
        Allod__V1__RevokeKeyRequest request = ALLOD__V1__REVOKE_KEY_REQUEST__INIT;
        struct restore restored = {.read = memory_read};
        struct memory memory;
        struct tempdir dir, old;
        struct id app;

        (void)state;
        app = fill_world();
        memory = must_dump(NULL, 0);
        request.id = ann.key_text;
        assert_int_equal(world_call(&world, &method_apikey_revoke, &ann.who, &request), R_OK);
        tempdir_make(&dir);
        tempdir_make(&old); /* where the world goes meanwhile, so that its directory is free */
        memory.at = 0;
        {
                struct memory empty = {0};
                struct dump_run run = {.write = memory_write, .context = &empty};
                struct restore other;

                assert_int_equal(dump_world(&run), R_OK);
                assert_int_equal(restore(&empty, tempdir_file(&old, "old"), &other), R_OK);
                memory_free(&empty);
        }
        restored.context = &memory;
        restored.options = (struct store_options){
                .dir = strdup(tempdir_file(&dir, "new")), .map_size = MAP_SIZE, .is_forced = true};
        restored.revoked_dir = strdup(tempdir_file(&old, "old"));
        assert_int_equal(restore_run(&restored), R_OK);
        assert_int_equal(restored.revoked_count, 1);
        enter(restored.options.dir);
        assert_int_equal(get_app(&ann.who, app.text), R_UNAUTHENTICATED);
        assert_int_equal(get_app(&bob.who, app.text), R_ABSENT);
        enter(world.dir);
        free((char *)restored.options.dir);
        free((char *)restored.revoked_dir);
        memory_free(&memory);
        tempdir_remove(&dir);
        tempdir_remove(&old);
}

/* Two records that cannot both be: the restore says which, and leaves nothing. Forged, since no store has such. */
static void test_conflict(void **state)
{
        const struct row profile = {.kind = ROW_PROFILE};
        struct peek key = {.who = &ann.who, .row = {.kind = ROW_KEY}};
        const struct dump_header header = {.time_ms = 1};
        struct memory memory = {0};
        struct dump_writer *writer;
        struct restore restored;
        struct tempdir dir;
        unsigned i;

        (void)state;
        assert_int_equal(uuid_parse(bytes_of_text(ann.key_text), &key.row.id), R_OK);
        peek(&key);
        assert_int_equal(key.found, R_OK);
        assert_int_equal(dump_writer_open(&header, memory_write, &memory, &writer), R_OK);
        for (i = 1; i <= 2; i++) {
                const struct record body = {1, bytes_of(key.body, key.len)}, nothing = {0};

                assert_int_equal(dump_writer_owner(writer, (struct owner){OWNER_USER, {{(uint8_t)i}}}), R_OK);
                assert_int_equal(dump_writer_record(writer, &key.row, &body), R_OK);
                assert_int_equal(dump_writer_record(writer, &profile, &nothing), R_OK);
        }
        assert_int_equal(dump_writer_finish(writer), R_OK);
        dump_writer_close(writer);
        tempdir_make(&dir);
        assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_EXISTS);
        assert_non_null(strstr(restored.why, "u:02000000-"));
        assert_false(is_there(tempdir_file(&dir, "new")));
        memory_free(&memory);
        tempdir_remove(&dir);
}

/* A kind of row that such an owner cannot have, or a body that is none, is refused and not put. */
static void test_senseless(void **state)
{
        static const struct row rows[] = {
                {.kind = ROW_MEMBER, .id = {{1}}},   /* of a user */
                {.kind = ROW_KEY, .id = {{1}}},      /* its body has no digest */
                {.kind = ROW_CHANGE, .revision = 7}, /* at revision 1 */
        };
        const struct row profile = {.kind = ROW_PROFILE};
        const struct dump_header header = {.time_ms = 1};
        const struct record record = {1, {0}};
        struct restore restored;
        struct tempdir dir;
        size_t i;

        (void)state;
        tempdir_make(&dir);
        for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                bool is_first = rows[i].kind != ROW_CHANGE;
                struct memory memory = {0};
                struct dump_writer *writer;

                assert_int_equal(dump_writer_open(&header, memory_write, &memory, &writer), R_OK);
                assert_int_equal(dump_writer_owner(writer, (struct owner){OWNER_USER, {{1}}}), R_OK);
                assert_int_equal(dump_writer_record(writer, is_first ? &rows[i] : &profile, &record), R_OK);
                assert_int_equal(dump_writer_record(writer, is_first ? &profile : &rows[i], &record), R_OK);
                assert_int_equal(dump_writer_finish(writer), R_OK);
                dump_writer_close(writer);
                assert_int_equal(restore(&memory, tempdir_file(&dir, "new"), &restored), R_CORRUPT);
                assert_false(is_there(tempdir_file(&dir, "new")));
                memory_free(&memory);
        }
        tempdir_remove(&dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
                TEST(test_round_trip),   TEST(test_time),     TEST(test_page_tokens), TEST(test_one_owner),
                TEST(test_invisible),    TEST(test_damaged),  TEST(test_place),       TEST(test_dry),
                TEST(test_keep_revoked), TEST(test_conflict), TEST(test_senseless),
#undef TEST
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
