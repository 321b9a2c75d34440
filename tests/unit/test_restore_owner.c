/* One owner out of a dump, into a store that is in use. */
#include "engine/restore_owner.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <allod/v1/admin.pb-c.h>

#include "engine/admin.h"
#include "engine/etag.h"
#include "engine/hold.h"
#include "engine/job.h"
#include "engine/limits.h"
#include "engine/message.h"
#include "engine/purge.h"
#include "engine/scope.h"
#include "engine/team.h"
#include "engine/txn_private.h"
#include "engine/verify.h"
#include "tests/lib/dumps.h"
#include "tests/lib/heap.h"
#include "tests/lib/tenants.h"
#include "tests/lib/test.h"

WORLD_METHOD(admin_delete_user, true);
WORLD_METHOD(admin_delete_team, true);
WORLD_METHOD(admin_revoke_key, true);
WORLD_METHOD(job_cancel, true);
WORLD_METHOD(admin_create_user, true);
WORLD_METHOD(admin_set_member_role, true);
WORLD_METHOD(team_invite_member, true);

#define CANARY "canary-of-bob"

/* More than a transaction puts, and more rows than one purges. */
#define JOBS_MANY 260

static struct id apps[3];

/* ---- The ground ---- */

static void cancel_job(const struct credential *who, const char *app, const char *id)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.id = (char *)id;
        assert_int_equal(world_call(&world, &method_job_cancel, who, &request), R_OK);
}

/* Three apps of `who` with two jobs each, one of them canceled; the middle one gets `more`. */
static void fill(const struct credential *who, unsigned more)
{
        size_t i;

        for (i = 0; i < 3; i++) {
                apps[i] = create_app(who);
                assert_int_equal(run_job(who, apps[i].text, "{\"word\":\"" CANARY "\"}"), R_OK);
                assert_int_equal(run_job(who, apps[i].text, "{\"n\":2}"), R_OK);
                cancel_job(who, apps[i].text, created_id().text);
        }
        while (more-- > 0)
                assert_int_equal(run_job(who, apps[1].text, "{\"n\":3}"), R_OK);
}

static struct owner user_of(const struct person *person)
{
        return (struct owner){OWNER_USER, person->id};
}

static struct owner team_of_ann(void)
{
        return (struct owner){OWNER_TEAM, ann_in_team.team};
}

static struct owner new_id(enum owner_kind kind)
{
        return (struct owner){kind, uuid_v7(store_time_ms(world.store))};
}

static void delete_user(const struct person *person)
{
        Allod__V1__DeleteUserRequest request = ALLOD__V1__DELETE_USER_REQUEST__INIT;

        request.id = (char *)person->text;
        assert_int_equal(world_call(&world, &method_admin_delete_user, &world.admin, &request), R_OK);
}

static void delete_team(void)
{
        Allod__V1__AdminDeleteTeamRequest request = ALLOD__V1__ADMIN_DELETE_TEAM_REQUEST__INIT;
        char id[UUID_TEXT_LEN + 1];

        uuid_format(ann_in_team.team, id);
        request.id = id;
        assert_int_equal(world_call(&world, &method_admin_delete_team, &world.admin, &request), R_OK);
}

/* The app's name becomes another one. */
static void rename_app(const struct credential *who, const char *id, const char *name)
{
        Allod__V1__App app = ALLOD__V1__APP__INIT;

        app.name = (char *)name;
        assert_int_equal(update_app(who, id, &app, MASK("name")), R_OK);
}

static void assert_name(const struct credential *who, const char *id, const char *name)
{
        assert_int_equal(get_app(who, id), R_OK);
        assert_string_equal(replied_app()->name, name);
}

/* ---- Dumps ---- */

static enum result run_in_view(txn_fn *run, void *arg)
{
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault};
        enum result r;

        arena_init(&arena, NULL, (size_t)64 << 20);
        view_expire(world.view);
        r = view_run(world.view, &input, run, arg);
        arena_fini(&arena);
        return r;
}

static struct memory dump_of(struct owner owner)
{
        struct memory memory = {0};
        struct dump_run run = {.owners = &owner, .owner_count = 1, .write = memory_write, .context = &memory};

        assert_int_equal(run_in_view(dump_store, &run), R_OK);
        return memory;
}

static int file_of(const struct memory *memory)
{
        char path[] = "/tmp/allod-test-XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(write(fd, memory->data, memory->len), memory->len);
        return fd;
}

static struct restore_owner restored;

static enum result restore_as(const struct memory *memory, struct owner owner, struct owner as,
                              enum restore_conflict on_conflict)
{
        enum result r;

        restored.store = world.store;
        restored.admin = &world.admin;
        restored.owner = owner;
        restored.as = as;
        restored.on_conflict = on_conflict;
        restored.fd = file_of(memory);
        r = restore_owner_run(&restored);
        assert_int_equal(close(restored.fd), 0);
        assert_false(hold_is_on(world.store, as));
        return r;
}

static enum result restore(const struct memory *memory, struct owner owner, enum restore_conflict on_conflict)
{
        return restore_as(memory, owner, owner, on_conflict);
}

/* ---- What must hold ---- */

static void print_sentence(void *context, const char *sentence)
{
        (void)context;
        print_message("%s\n", sentence);
}

static enum result count_step(void *context, size_t size)
{
        (void)size;
        ++*(uint64_t *)context;
        return R_OK;
}

static void assert_fits_together(void)
{
        struct verify verify = {.found_cb = print_sentence};

        assert_int_equal(run_in_view(verify_run, &verify), R_OK);
        assert_int_equal(verify.found_count, 0);
}

/* All rows below an owner's prefix, or all but those and the looks into them. */
struct rows {
        struct owner owner;
        bool is_rest;
        uint64_t count, sum;
};

static uint64_t sum_of(uint64_t sum, struct bytes bytes)
{
        for (size_t i = 0; i < bytes.len; i++)
                sum = (sum ^ bytes.data[i]) * UINT64_C(0x100000001b3);
        return sum;
}

static enum result read_rows(struct txn *txn, void *arg)
{
        static const enum backend_table tables[] = {TABLE_RECORDS, TABLE_APIKEYS};
        struct rows *rows = arg;
        struct bytes key, value;
        struct key prefix;
        enum result r;

        key_owner(rows->owner, &prefix);
        for (size_t i = 0; i < 2; i++) {
                struct backend_cursor cursor;

                assert_int_equal(backend_cursor_open(txn->backend, tables[i], &cursor), R_OK);
                r = backend_seek(&cursor, bytes_of("", 1), &key, &value);
                for (; r == R_OK; r = backend_next(&cursor, &key, &value)) {
                        bool is_own = i == 0 ? bytes_start_with(key, key_bytes(&prefix))
                                             : memmem(value.data, value.len, rows->owner.id.bytes, UUID_SIZE) != NULL;

                        if (is_own == rows->is_rest) continue;
                        rows->count++;
                        rows->sum = sum_of(sum_of(rows->sum, key), value);
                }
                backend_cursor_close(&cursor);
        }
        return R_OK;
}

static struct rows rows_of(struct owner owner)
{
        struct rows rows = {.owner = owner};

        assert_int_equal(run_in_view(read_rows, &rows), R_OK);
        return rows;
}

static struct rows rows_of_others(struct owner owner)
{
        struct rows rows = {.owner = owner, .is_rest = true};

        assert_int_equal(run_in_view(read_rows, &rows), R_OK);
        return rows;
}

static void assert_same_rows(struct rows before, struct rows after)
{
        assert_int_equal(before.count, after.count);
        assert_true(before.sum == after.sum);
}

/* Names and bodies of the apps and all that is under them, as dumped. */
static uint64_t sum_of_apps(const struct memory *memory)
{
        struct memory copy = *memory;
        struct dump_reader *reader;
        struct dump_header header;
        struct dump_chunk chunk;
        struct dump_record record;
        uint64_t sum = 0;

        copy.at = 0;
        assert_int_equal(dump_reader_open(memory_read, &copy, &reader), R_OK);
        assert_int_equal(dump_reader_header(reader, &header), R_OK);
        while (dump_reader_next(reader, &chunk) == R_OK) {
                while (dump_chunk_next(&chunk, &record)) {
                        if (!row_kind_is_under_app(record.row.kind)) continue;
                        sum = sum_of(sum, bytes_of(&record.row.app, UUID_SIZE));
                        sum = sum_of(sum_of(sum, bytes_of(&record.row.id, UUID_SIZE)), record.body);
                }
        }
        dump_reader_close(reader);
        return sum;
}

static void assert_same_apps(const struct memory *memory, struct owner owner)
{
        struct memory now = dump_of(owner);

        assert_true(sum_of_apps(memory) == sum_of_apps(&now));
        memory_free(&now);
}

static bool owner_exists(struct owner owner)
{
        struct memory memory = {0};
        struct dump_run run = {.owners = &owner, .owner_count = 1, .write = memory_write, .context = &memory};
        enum result r = run_in_view(dump_store, &run);

        memory_free(&memory);
        assert_true(r == R_OK || r == R_ABSENT);
        return r == R_OK;
}

/* ---- Tests ---- */

/* A user who was deleted comes back whole, key included, with new revisions and so with new etags; nobody else's row
 * changes. */
static void test_comes_back(void **state)
{
        struct owner owner = user_of(&bob);
        struct memory memory;
        struct rows others;
        char etag[ETAG_SIZE];

        (void)state;
        fill(&bob.who, JOBS_MANY);
        memory = dump_of(owner);
        assert_int_equal(get_app(&bob.who, apps[1].text), R_OK);
        snprintf(etag, sizeof etag, "%s", replied_app()->etag);
        delete_user(&bob);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_WRONG_STATE);
        world_purge(&world);
        others = rows_of_others(owner);

        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_OK);
        assert_true(restored.counts.is_new);
        assert_int_equal(restored.counts.apps, 3);
        assert_int_equal(restored.counts.jobs, 6 + JOBS_MANY);
        assert_int_equal(restored.counts.keys, 1);
        assert_int_equal(restored.counts.keys_dropped, 0);
        assert_same_rows(others, rows_of_others(owner));
        assert_same_apps(&memory, owner);
        assert_fits_together();
        assert_int_equal(get_app(&bob.who, apps[1].text), R_OK);
        assert_true(strlen(replied_app()->etag) > strlen(etag) + 8); /* above all that there can have been */
        assert_int_equal(replied_app()->jobs->in_queue, 1 + JOBS_MANY);
        assert_int_equal(get_app(&ann.who, apps[1].text), R_ABSENT);
        assert_int_equal(delete_app(&bob.who, apps[1].text, etag), R_STALE);
        rename_app(&bob.who, apps[1].text, "Another");
        world_purge(&world);
        assert_fits_together();
        memory_free(&memory);
}

/* Under another id: the apps are there, the keys stay with the old owner, who hears of it. Each sees the own ones. */
static void test_another_id(void **state)
{
        struct owner owner = user_of(&bob), as = new_id(OWNER_USER);
        struct memory memory;
        struct rows before;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(owner);
        before = rows_of(owner);
        assert_int_equal(restore_as(&memory, owner, as, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.apps, 3);
        assert_int_equal(restored.counts.keys, 0);
        assert_int_equal(restored.counts.keys_dropped, 1);
        assert_same_apps(&memory, as);
        assert_same_apps(&memory, owner);
        assert_fits_together();
        assert_int_equal(rows_of(owner).count, before.count + 2); /* two looks */
        assert_int_equal(restore_as(&memory, owner, as, RESTORE_FAIL), R_EXISTS);
        assert_int_equal(restore_as(&memory, owner, team_of_ann(), RESTORE_FAIL), R_BAD_ARGUMENT);
        memory_free(&memory);
}

/* A digest that the store has is never taken over: not back from whom it went to, and it is said. */
static void test_keys_stay(void **state)
{
        struct owner owner = user_of(&bob), as = new_id(OWNER_USER);
        struct memory memory;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(owner);
        delete_user(&bob);
        world_purge(&world);
        assert_int_equal(restore_as(&memory, owner, as, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.keys, 1);

        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_EXISTS);
        assert_non_null(strstr(restored.fault.text, "keys"));
        assert_false(owner_exists(owner));
        assert_int_equal(restore(&memory, owner, RESTORE_SKIP), R_OK);
        assert_int_equal(restored.counts.keys, 0);
        assert_int_equal(restored.counts.keys_dropped, 1);
        rename_app(&bob.who, apps[0].text, "By the key's owner");
        assert_same_apps(&memory, owner);
        assert_fits_together();
        memory_free(&memory);
}

/* Under another id no key is restored while there is the old owner, not even one that the store does not have. */
static void test_old_owner_without_keys(void **state)
{
        Allod__V1__CreateUserRequest request = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        struct owner owner = user_of(&bob);
        struct memory memory;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(owner);
        delete_user(&bob);
        world_purge(&world);
        request.id = bob.text;
        assert_int_equal(world_call(&world, &method_admin_create_user, &world.admin, &request), R_OK);
        assert_int_equal(restore_as(&memory, owner, new_id(OWNER_USER), RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.keys_dropped, 1);
        assert_int_equal(get_app(&bob.who, apps[0].text), R_UNAUTHENTICATED);
        memory_free(&memory);
}

/* Invitations come back with the user to whom they were sent, and with nobody else. */
static void test_invitations(void **state)
{
        Allod__V1__InviteMemberRequest request = ALLOD__V1__INVITE_MEMBER_REQUEST__INIT;
        struct owner owner = user_of(&bob);
        struct memory memory;
        char team[UUID_TEXT_LEN + 1];

        (void)state;
        uuid_format(ann_in_team.team, team);
        request.team_id = team;
        request.user_id = bob.text;
        request.role = ALLOD__V1__ROLE__ROLE_MEMBER;
        assert_int_equal(world_call(&world, &method_team_invite_member, &ann.who, &request), R_OK);
        memory = dump_of(owner);
        delete_user(&bob);
        world_purge(&world);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.invitations, 1);
        assert_fits_together();
        assert_int_equal(restore_as(&memory, owner, new_id(OWNER_USER), RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.invitations, 0);
        assert_int_equal(restored.counts.invitations_dropped, 1);
        memory_free(&memory);
}

/* An app whose rows fill several chunks of the dump comes whole, its record too. */
static void test_large_app(void **state)
{
        static char input[700000];
        struct memory memory;

        (void)state;
        memset(input, 'x', sizeof input - 1);
        memcpy(input, "{\"a\":\"", 6);
        memcpy(input + sizeof input - 3, "\"}", 3);
        fill(&bob.who, 0);
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(run_job(&bob.who, apps[1].text, input), R_OK);
        memory = dump_of(user_of(&bob));
        assert_int_equal(restore(&memory, user_of(&bob), RESTORE_REPLACE), R_OK);
        assert_true(restored.dumped.chunks > 2);
        assert_same_apps(&memory, user_of(&bob));
        assert_fits_together();
        memory_free(&memory);
}

/* An owner who is there: what is there stays or is made anew as a whole, what is not comes, what came since stays; and
 * who may do what is not touched. */
static void test_there(void **state)
{
        struct owner owner = user_of(&bob);
        struct rows others;
        struct memory memory;
        struct id since;

        (void)state;
        fill(&bob.who, JOBS_MANY);
        memory = dump_of(owner);
        rename_app(&bob.who, apps[0].text, "Since");
        assert_int_equal(run_job(&bob.who, apps[1].text, "{\"since\":1}"), R_OK);
        assert_int_equal(delete_app(&bob.who, apps[2].text, ""), R_OK);
        since = create_app(&bob.who);
        others = rows_of_others(owner);

        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_EXISTS);
        assert_int_equal(get_app(&bob.who, apps[2].text), R_ABSENT);

        assert_int_equal(restore(&memory, owner, RESTORE_SKIP), R_OK);
        assert_false(restored.counts.is_new);
        assert_int_equal(restored.counts.apps, 1);
        assert_int_equal(restored.counts.apps_kept, 2);
        assert_int_equal(restored.counts.jobs, 2);
        assert_int_equal(restored.counts.keys_dropped, 1);
        assert_name(&bob.who, apps[0].text, "Since");
        assert_name(&bob.who, apps[2].text, "An app");
        assert_int_equal(replied_app()->jobs->in_queue, 1);
        assert_fits_together();

        assert_int_equal(restore(&memory, owner, RESTORE_REPLACE), R_OK);
        assert_int_equal(restored.counts.apps, 3);
        assert_int_equal(restored.counts.apps_replaced, 3);
        assert_int_equal(restored.counts.jobs, 6 + JOBS_MANY);
        assert_name(&bob.who, apps[0].text, "An app");
        assert_int_equal(get_app(&bob.who, apps[1].text), R_OK);
        assert_int_equal(replied_app()->jobs->in_queue, 1 + JOBS_MANY);
        assert_int_equal(get_app(&bob.who, since.text), R_OK);
        assert_same_rows(others, rows_of_others(owner));
        assert_fits_together();
        assert_int_equal(delete_app(&bob.who, since.text, ""), R_OK);
        assert_same_apps(&memory, owner);
        world_purge(&world);
        assert_fits_together();
        memory_free(&memory);
}

/* The rows that are there when a transaction begins, against those of the one before. */
struct drop {
        uint64_t count, most;
};

static bool watch_rows(void *context)
{
        struct drop *drop = context;
        uint64_t count = rows_of(user_of(&bob)).count;

        if (drop->count > count && drop->count - count > drop->most) drop->most = drop->count - count;
        drop->count = count;
        return false;
}

/* Apps that are small in the dump and large in the store: the purge of all of them is not one transaction. Afterwards
 * verify looks for jobs that the purge should have taken, and tells that it reads them. */
static void test_replaces_in_steps(void **state)
{
        struct drop drop = {0, 0};
        uint64_t step_count = 0;
        struct verify check;
        struct memory memory;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(user_of(&bob));
        for (size_t i = 0; i < 3; i++) {
                for (unsigned n = 0; n < 200; n++)
                        assert_int_equal(run_job(&bob.who, apps[i].text, "{}"), R_OK);
        }
        restored.is_stopped = watch_rows;
        restored.context = &drop;
        assert_int_equal(restore(&memory, user_of(&bob), RESTORE_REPLACE), R_OK);
        restored.is_stopped = NULL;
        assert_in_range(drop.most, 700, PURGE_ROWS_MAX + 400);
        check = (struct verify){.step_cb = count_step, .context = &step_count};
        assert_int_equal(run_in_view(verify_run, &check), R_OK);
        assert_int_equal(step_count,
                         check.row_count + check.rows[ROW_MEMBER] + check.rows[ROW_JOB_BY_STATE] + check.rows[ROW_JOB]);
        assert_same_apps(&memory, user_of(&bob));
        assert_fits_together();
        memory_free(&memory);
}

/* A key that was revoked since the dump stays revoked, in whatever way its owner's apps are restored. */
static void test_revoked_stays(void **state)
{
        Allod__V1__AdminRevokeKeyRequest request = ALLOD__V1__ADMIN_REVOKE_KEY_REQUEST__INIT;
        struct memory memory;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(user_of(&bob));
        request.user_id = bob.text;
        request.id = bob.key_text;
        assert_int_equal(world_call(&world, &method_admin_revoke_key, &world.admin, &request), R_OK);
        assert_int_equal(restore(&memory, user_of(&bob), RESTORE_REPLACE), R_OK);
        assert_int_equal(get_app(&bob.who, apps[0].text), R_UNAUTHENTICATED);
        memory_free(&memory);
}

/* A team comes back with those members who are users still, both ends of each pair and the counts with them; without an
 * OWNER it does not. */
static void test_team(void **state)
{
        struct owner owner = team_of_ann();
        struct memory memory, of_ann;

        (void)state;
        fill(&ann_in_team, 0);
        memory = dump_of(owner);
        of_ann = dump_of(user_of(&ann));
        delete_team();
        delete_user(&cleo);
        world_purge(&world);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.members, 1);
        assert_int_equal(restored.counts.members_dropped, 1);
        assert_int_equal(get_app(&ann_in_team, apps[0].text), R_OK);
        assert_int_equal(get_app(&cleo_in_team, apps[0].text), R_UNAUTHENTICATED);
        assert_int_equal(get_app(&bob_in_team, apps[0].text), R_NOT_MEMBER);
        assert_int_equal(get_app(&bob.who, apps[0].text), R_ABSENT);
        world_check(&world);
        assert_fits_together();

        delete_team();
        delete_user(&ann);
        world_purge(&world);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_WRONG_STATE);
        assert_false(owner_exists(owner));
        assert_int_equal(restore(&of_ann, user_of(&ann), RESTORE_FAIL), R_OK);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_OK);
        assert_int_equal(get_app(&ann_in_team, apps[0].text), R_OK);
        assert_fits_together();
        memory_free(&memory);
        memory_free(&of_ann);
}

/* A team under another id beside the old one, which has got another OWNER since: it is refused for what it is, and
 * nobody hears of a look. */
static void test_team_of_nobody(void **state)
{
        Allod__V1__SetMemberRoleRequest request = ALLOD__V1__SET_MEMBER_ROLE_REQUEST__INIT;
        struct owner owner = team_of_ann();
        char team[UUID_TEXT_LEN + 1];
        struct memory memory;
        uint64_t records;

        (void)state;
        memory = dump_of(owner);
        uuid_format(owner.id, team);
        request.team_id = team;
        request.user_id = cleo.text;
        request.role = ALLOD__V1__ROLE__ROLE_OWNER;
        assert_int_equal(world_call(&world, &method_admin_set_member_role, &world.admin, &request), R_OK);
        delete_user(&ann);
        world_purge(&world);
        records = count_records();
        assert_int_equal(restore_as(&memory, owner, new_id(OWNER_TEAM), RESTORE_FAIL), R_WRONG_STATE);
        assert_int_equal(count_records(), records);
        memory_free(&memory);
}

/* A member who is in as many teams as one can be is left out, which is no failure and is not told as one. */
static void test_too_many_teams(void **state)
{
        struct owner owner = team_of_ann();
        struct memory memory;

        (void)state;
        memory = dump_of(owner);
        delete_team();
        for (unsigned i = 0; i < USER_TEAMS_MAX; i++)
                world_add_team(&world, &cleo);
        world_purge(&world);
        assert_int_equal(restore(&memory, owner, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.members, 1);
        assert_int_equal(restored.counts.members_dropped, 1);
        assert_string_equal(restored.fault.text, "");
        assert_fits_together();
        memory_free(&memory);
}

static bool count_asked(void *context)
{
        ++*(unsigned *)context;
        return false;
}

/* Of many members, the teams of a few are counted in each transaction; each hears of it once. */
static void test_many_members(void **state)
{
        struct owner owner = team_of_ann();
        static struct person people[25];
        struct memory few, many;
        unsigned asked[2] = {0, 0};

        (void)state;
        few = dump_of(owner);
        for (size_t i = 0; i < 25; i++) {
                world_add_person(&world, &people[i]);
                world_add_member(&world, owner.id, &people[i], ALLOD__V1__ROLE__ROLE_MEMBER);
        }
        many = dump_of(owner);
        restored.is_stopped = count_asked;
        for (size_t i = 0; i < 2; i++) {
                struct rows before;

                delete_team();
                world_purge(&world);
                before = rows_of(user_of(&people[0]));
                restored.context = &asked[i];
                assert_int_equal(restore(i == 0 ? &few : &many, owner, RESTORE_FAIL), R_OK);
                assert_int_equal(restored.counts.members, i == 0 ? 2 : 27);
                assert_int_equal(rows_of(user_of(&people[0])).count, before.count + 2 * i); /* pointer and look */
                assert_fits_together();
        }
        restored.is_stopped = NULL;
        assert_int_equal(asked[1], asked[0] + 2);
        memory_free(&few);
        memory_free(&many);
}

/* A dry run counts what the run then does, and writes nothing but that somebody looked. */
static void test_dry(void **state)
{
        struct owner owner = user_of(&bob);
        struct restore_owner_counts dry;
        struct memory memory;
        uint64_t records;

        (void)state;
        fill(&bob.who, 3);
        memory = dump_of(owner);
        rename_app(&bob.who, apps[0].text, "Since");
        assert_int_equal(delete_app(&bob.who, apps[2].text, ""), R_OK);
        world_purge(&world);
        for (enum restore_conflict on_conflict = RESTORE_FAIL; on_conflict <= RESTORE_REPLACE; on_conflict++) {
                struct owner as = on_conflict == RESTORE_FAIL ? new_id(OWNER_USER) : owner;

                records = count_records();
                restored.is_dry = true;
                assert_int_equal(restore_as(&memory, owner, as, on_conflict), R_OK);
                dry = restored.counts;
                restored.is_dry = false;
                assert_int_equal(count_records(), records + 1);
                assert_name(&bob.who, apps[0].text, "Since");
                assert_int_equal(restore_as(&memory, owner, as, on_conflict), R_OK);
                assert_memory_equal(&dry, &restored.counts, sizeof dry);
        }
        memory_free(&memory);
}

/* A dump with anything wrong in it, or of somebody else, or of somebody else too, changes nothing. */
static void test_refused(void **state)
{
        struct owner owner = user_of(&bob), both[] = {user_of(&ann), user_of(&bob)};
        struct memory memory, many = {0};
        struct dump_run run = {.owners = both, .owner_count = 2, .write = memory_write, .context = &many};
        struct rows before, others;
        size_t i, len;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(owner);
        assert_int_equal(run_in_view(dump_store, &run), R_OK);
        before = rows_of(owner);
        others = rows_of_others(owner);
        assert_int_equal(restore(&many, owner, RESTORE_REPLACE), R_BAD_ARGUMENT);
        assert_int_equal(restore_as(&memory, user_of(&ann), owner, RESTORE_REPLACE), R_BAD_ARGUMENT);
        assert_non_null(strstr(restored.fault.text, "alone"));
        len = memory.len;
        for (i = 0; i < len; i += len / 40) {
                memory.data[i] ^= 0x10;
                assert_int_equal(restore(&memory, owner, RESTORE_REPLACE), R_BAD_ARGUMENT);
                memory.data[i] ^= 0x10;
                memory.len = i;
                assert_int_equal(restore(&memory, owner, RESTORE_REPLACE), R_BAD_ARGUMENT);
                memory.len = len;
        }
        assert_same_rows(before, rows_of(owner));
        assert_same_rows(others, rows_of_others(owner));
        world.admin.plane = PLANE_PUBLIC;
        assert_int_equal(restore(&memory, owner, RESTORE_REPLACE), R_UNAUTHENTICATED);
        world.admin.plane = PLANE_ADMIN;
        assert_same_rows(before, rows_of(owner));
        memory_free(&memory);
        memory_free(&many);
}

struct forged {
        struct row row;
        struct bytes body;
};

/* A dump of bob that holds `rows` and a profile, which no store would give. */
static struct memory forge(const struct forged *rows, size_t count)
{
        const struct dump_header header = {.time_ms = 1};
        const struct row profile = {.kind = ROW_PROFILE};
        const struct record plain = {1, BYTES("\x10\x01\x18\x01")};
        struct memory memory = {0};
        struct dump_writer *writer;
        bool has_profile = false;

        assert_int_equal(dump_writer_open(&header, memory_write, &memory, &writer), R_OK);
        assert_int_equal(dump_writer_owner(writer, user_of(&bob)), R_OK);
        for (size_t i = 0; i < count; i++) {
                const struct record record = {1, rows[i].body};

                has_profile |= rows[i].row.kind == ROW_PROFILE;
                assert_int_equal(dump_writer_record(writer, &rows[i].row, &record), R_OK);
        }
        if (!has_profile) assert_int_equal(dump_writer_record(writer, &profile, &plain), R_OK);
        assert_int_equal(dump_writer_finish(writer), R_OK);
        dump_writer_close(writer);
        return memory;
}

static enum result extract_of(struct memory *memory, struct owner owner, dump_seek_fn *seek, struct memory *out)
{
        struct dump_owner_run run = {.owner = owner,
                                     .read = memory_read,
                                     .seek = seek,
                                     .size = memory->len,
                                     .context = memory,
                                     .write = memory_write,
                                     .write_context = out};

        memory->at = 0;
        return dump_owner_run(&run);
}

/* One owner out of a dump of all, by the index and in order: the same bytes, which are a whole dump. Whatever bit is
 * flipped, it is damage, or it is in another owner's part and nothing that is read; and a dump that is cut off is no
 * dump. */
static void test_extract(void **state)
{
        struct owner owner = user_of(&bob), nobody = new_id(OWNER_USER);
        struct dump_run run = {.write = memory_write};
        struct memory all = {0}, by_index = {0}, in_order = {0};
        unsigned untouched = 0;
        size_t len;

        (void)state;
        fill(&bob.who, 0);
        run.context = &all;
        assert_int_equal(run_in_view(dump_store, &run), R_OK);
        assert_int_equal(extract_of(&all, owner, memory_seek, &by_index), R_OK);
        assert_int_equal(extract_of(&all, owner, NULL, &in_order), R_OK);
        assert_int_equal(by_index.len, in_order.len);
        assert_memory_equal(by_index.data, in_order.data, in_order.len);
        assert_int_equal(memory_check(&by_index).counts.owners, 1);
        assert_int_equal(extract_of(&all, nobody, memory_seek, &in_order), R_ABSENT);
        assert_int_equal(extract_of(&all, nobody, NULL, &in_order), R_ABSENT);
        memory_free(&in_order);
        for (size_t bit = 0; bit < all.len * 8; bit += 5) {
                struct memory out = {0};
                enum result r;

                all.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                r = extract_of(&all, owner, memory_seek, &out);
                all.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_true(r == R_OK || r == R_CORRUPT || r == R_FORMAT);
                if (r == R_OK) {
                        untouched++;
                        assert_int_equal(out.len, by_index.len);
                        assert_memory_equal(out.data, by_index.data, out.len);
                }
                memory_free(&out);
        }
        assert_true(untouched > 0 && untouched < all.len * 8 / 5 / 2);
        len = all.len;
        for (all.len = 0; all.len < len; all.len += 7) {
                struct memory out = {0};
                enum result r = extract_of(&all, owner, memory_seek, &out);

                assert_true(r == R_CORRUPT || r == R_FORMAT);
                memory_free(&out);
        }
        memory_free(&all);
        memory_free(&by_index);
}

#define TIMES "\x3a\x02\x08\x01\x42\x02\x08\x01"
#define APP   "\x12\x01x\x22\x02\x08\x01\x2a\x03\x0a\x01m\x30\x01" TIMES "\x4a\x01x"
#define STATE "\x18\x01" TIMES "\x4a\x01x"

static const struct uuid forged_app = {{1}}, forged_id = {{2}}, forged_other = {{3}};

static struct forged forged_row(enum row_kind kind, struct uuid id, const char *body)
{
        struct row row = {.kind = kind, .id = id};

        if (row_kind_is_under_app(kind)) row.app = forged_app;
        if (kind == ROW_APP) row.id = (struct uuid){{0}};
        return (struct forged){row, bytes_of_text(body)};
}

/* What these rows would be restored from, but for what is wrong with them. */
static void test_forged(void **state)
{
        const struct forged rows[] = {
                forged_row(ROW_APP, forged_app, APP),
                forged_row(ROW_JOB_INPUT, forged_id, "\x22\x02{}"),
                forged_row(ROW_JOB, forged_id, STATE),
                forged_row(ROW_JOB_RESULT, forged_id, "\x2a\x02[]"),
        };
        struct memory memory = forge(rows, 4);
        struct owner as = new_id(OWNER_USER);

        (void)state;
        assert_int_equal(restore_as(&memory, user_of(&bob), as, RESTORE_FAIL), R_OK);
        assert_int_equal(restored.counts.jobs, 1);
        assert_same_apps(&memory, as);
        assert_fits_together();
        memory_free(&memory);
}

/* What verify would call damage is refused before anything is put, whether the owner is there or not: bodies that are
 * not what is stored, and rows without those that belong to them. */
static void test_senseless(void **state)
{
        const struct forged app = forged_row(ROW_APP, forged_app, APP),
                            input = forged_row(ROW_JOB_INPUT, forged_id, "\x22\x02{}"),
                            job = forged_row(ROW_JOB, forged_id, STATE);
        const struct {
                struct forged rows[4];
                const char *text;
        } cases[] = {
                {{forged_row(ROW_APP, forged_app, "\x12\x01x")}, "lacks a field"},
                {{forged_row(ROW_APP, forged_app, APP "\xff")}, "does not decode"},
                {{forged_row(ROW_APP, forged_app, APP "\x2a\x03\x1a\x01x")}, "has tools that are no JSON object"},
                {{forged_row(ROW_APP, forged_app, APP "\x0a\x01x")}, "has a field that is not stored"},
                {{forged_row(ROW_KEY, forged_id, "")}, "does not decode"},
                {{forged_row(ROW_MEMBER, forged_id, "\x08\x01\x10\x01")}, "is not of such an owner"},
                {{forged_row(ROW_INVITATION, forged_id, "")}, "does not decode"},
                {{forged_row(ROW_PROFILE, (struct uuid){{0}}, "\xff")}, "does not decode"},
                {{forged_row(ROW_PROFILE, (struct uuid){{0}}, "\x10\x01")}, "has times that cannot be"},
                {{app, forged_row(ROW_JOB_INPUT, forged_id, "")}, "is empty"},
                {{app, forged_row(ROW_JOB_INPUT, forged_id, "\x22\x02{}\x18\x03"), job}, "is not its document alone"},
                {{app, forged_row(ROW_JOB_INPUT, forged_id, "\x22\x02{]"), job}, "is no JSON object"},
                {{app, input}, "inputs of no job"},
                {{app, job}, "has no input"},
                {{app, input, forged_row(ROW_JOB, forged_other, STATE)}, "has no input"},
                {{app, input, forged_row(ROW_JOB_INPUT, forged_other, "\x22\x02{}"), job}, "inputs of no job"},
                {{app, input, forged_row(ROW_JOB, forged_id, "")}, "lacks a field"},
                {{app, forged_row(ROW_JOB_RESULT, forged_id, "\x2a\x02{}")}, "is of no job"},
                {{app, input, job, forged_row(ROW_JOB_RESULT, forged_other, "\x2a\x02{}")}, "is of no job"},
                {{app, input, job, forged_row(ROW_JOB_RESULT, forged_app, "\x2a\x02{}")}, "is of no job"},
                {{app, input, job, forged_row(ROW_JOB_RESULT, forged_id, "\x2a\x02{]")}, "is not JSON"},
        };
        struct rows before, others;

        (void)state;
        before = rows_of(user_of(&bob));
        others = rows_of_others(user_of(&bob));
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                size_t count = 1;
                struct memory memory;

                while (count < 4 && cases[i].rows[count].row.kind != ROW_PROFILE)
                        count++;
                memory = forge(cases[i].rows, count);
                for (int is_new = 0; is_new < 2; is_new++) {
                        struct owner as = is_new ? new_id(OWNER_USER) : user_of(&bob);

                        assert_int_equal(restore_as(&memory, user_of(&bob), as, RESTORE_REPLACE), R_BAD_ARGUMENT);
                        if (strstr(restored.fault.text, cases[i].text) == NULL)
                                fail_msg("%zu: %s", i, restored.fault.text);
                }
                memory_free(&memory);
        }
        assert_same_rows(before, rows_of(user_of(&bob)));
        assert_same_rows(others, rows_of_others(user_of(&bob)));
}

/* Not a record, where a restore goes on. */
static enum result break_counters(struct txn *txn, void *arg)
{
        const struct row row = {.kind = ROW_COUNTERS, .app = apps[1].uuid};
        struct key key;

        key_owner(*(const struct owner *)arg, &key);
        key_append(&key, &row);
        return txn_put(txn, TABLE_RECORDS, key_bytes(&key), BYTES("x"), (struct bytes){0});
}

static bool damage_store(void *context)
{
        unsigned *asked = context;

        if (++*asked >= 4) tenants_write(break_counters, &restored.as);
        return false;
}

/* What the store has wrong in it is not told as the dump's fault. */
static void test_store_is_damaged(void **state)
{
        struct owner as = new_id(OWNER_USER);
        struct memory memory;
        unsigned asked = 0;

        (void)state;
        fill(&bob.who, JOBS_MANY);
        memory = dump_of(user_of(&bob));
        restored.is_stopped = damage_store;
        restored.context = &asked;
        assert_int_equal(restore_as(&memory, user_of(&bob), as, RESTORE_FAIL), R_CORRUPT);
        restored.is_stopped = NULL;
        assert_string_equal(restored.fault.text, "");
        assert_false(owner_exists(as));
        world_purge(&world);
        assert_fits_together();
        memory_free(&memory);
}

/* ---- Ends before the end ---- */

static unsigned stop_at; /* the nth time that somebody asks */

static bool stop_now(void *context)
{
        (void)context;
        return stop_at > 0 && --stop_at == 0;
}

/* Stopped at every place where it can be: an owner who was not there is there whole or not at all, and then is purged;
 * of one who is, each app likewise. What is there always fits together. */
static void test_stopped(void **state)
{
        struct owner owner = user_of(&bob);
        struct memory memory;
        enum result r = R_CANCELED;

        (void)state;
        fill(&bob.who, JOBS_MANY);
        memory = dump_of(owner);
        restored.is_stopped = stop_now;
        for (unsigned n = 1; r != R_OK; n++) {
                struct owner as = new_id(OWNER_USER);

                stop_at = n;
                r = restore_as(&memory, owner, as, RESTORE_FAIL);
                assert_true(r == R_OK || r == R_CANCELED);
                assert_int_equal(owner_exists(as), r == R_OK);
                assert_fits_together();
                world_purge(&world);
                assert_fits_together();
                if (r != R_OK) assert_int_equal(rows_of(as).count, 0);
        }
        r = R_CANCELED;
        for (unsigned n = 1; r != R_OK; n++) {
                stop_at = n;
                r = restore(&memory, owner, RESTORE_REPLACE);
                assert_true(r == R_OK || r == R_CANCELED);
                assert_fits_together();
                for (size_t i = 0; i < 3; i++) {
                        if (get_app(&bob.who, apps[i].text) == R_OK)
                                assert_int_equal(replied_app()->jobs->in_queue, i == 1 ? 1 + JOBS_MANY : 1);
                }
                if (n % 2 == 0) world_purge(&world);
                assert_fits_together();
        }
        restored.is_stopped = NULL;
        assert_same_apps(&memory, owner);
        memory_free(&memory);
}

/* What an interrupted restore has written into the log of an app counts no more when the app is then restored out of
 * another dump, which lacks some of its jobs. */
static void test_other_dump_after(void **state)
{
        struct owner owner = user_of(&bob);
        struct memory old, newer;

        (void)state;
        fill(&bob.who, 0);
        old = dump_of(owner);
        for (unsigned i = 0; i < JOBS_MANY; i++)
                assert_int_equal(run_job(&bob.who, apps[1].text, "{\"n\":4}"), R_OK);
        newer = dump_of(owner);
        assert_int_equal(delete_app(&bob.who, apps[1].text, ""), R_OK);
        world_purge(&world);
        restored.is_stopped = stop_now;
        stop_at = 4; /* chunks, the beginning, some of the app */
        assert_int_equal(restore(&newer, owner, RESTORE_SKIP), R_CANCELED);
        restored.is_stopped = NULL;
        assert_int_equal(get_app(&bob.who, apps[1].text), R_ABSENT);
        assert_fits_together();
        world_purge(&world);
        assert_int_equal(restore(&old, owner, RESTORE_SKIP), R_OK);
        assert_int_equal(restored.counts.apps, 1);
        assert_fits_together();
        assert_same_apps(&old, owner);
        memory_free(&old);
        memory_free(&newer);
}

/* The owner is deleted while the restore goes on: it gives up, and the purge takes all. */
static bool delete_bob(void *context)
{
        unsigned *asked = context;

        if (++*asked == 4) delete_user(&bob);
        return false;
}

static void test_deleted_meanwhile(void **state)
{
        struct owner owner = user_of(&bob);
        struct memory memory;
        unsigned asked = 0;

        (void)state;
        fill(&bob.who, JOBS_MANY);
        memory = dump_of(owner);
        restored.is_stopped = delete_bob;
        restored.context = &asked;
        assert_int_equal(restore(&memory, owner, RESTORE_REPLACE), R_WRONG_STATE);
        restored.is_stopped = NULL;
        assert_non_null(strstr(restored.fault.text, "deleted meanwhile"));
        assert_fits_together();
        world_purge(&world);
        assert_int_equal(rows_of(owner).count, 0);
        memory_free(&memory);
}

/* While one is under way there is no other; and the purge goes on with everybody else's. */
static bool try_another(void *context)
{
        const struct memory *memory = context;
        struct restore_owner other = restored;

        other.is_stopped = NULL;
        other.as = new_id(OWNER_USER);
        other.fd = file_of(memory);
        assert_int_equal(restore_owner_run(&other), R_EXHAUSTED);
        close(other.fd);
        return false;
}

static void test_one_at_a_time(void **state)
{
        struct memory memory;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(user_of(&bob));
        restored.is_stopped = try_another;
        restored.context = &memory;
        assert_int_equal(restore_as(&memory, user_of(&bob), new_id(OWNER_USER), RESTORE_FAIL), R_OK);
        restored.is_stopped = NULL;
        memory_free(&memory);
}

/* The purge passes by an owner who is held, and takes those before and behind. */
static enum result list_and_purge(struct txn *txn, void *arg)
{
        const struct owner *owners = arg;
        const struct scope *scope;
        struct purge_step step;
        enum result r;

        for (size_t i = 0; i < 3; i++) {
                if ((r = scope_admin(txn, &world.admin, owners[i], "", &scope)) != R_OK) return r;
                if ((r = scope_purge_owner(scope)) != R_OK) return r;
        }
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(purge_run(txn, &step), R_OK);
                assert_int_equal(step.has_more, i == 0);
        }
        assert_true(step.is_held);
        assert_int_equal(purge_run(txn, &step), R_OK);
        assert_true(step.is_held && !step.has_more);
        return R_OK;
}

static void test_purge_passes_by(void **state)
{
        struct owner owners[3];

        (void)state;
        for (size_t i = 0; i < 3; i++)
                owners[i] = new_id(OWNER_USER);
        assert_int_equal(hold_take(world.store, owners[1]), R_OK);
        assert_int_equal(hold_take(world.store, owners[0]), R_EXHAUSTED);
        tenants_write(list_and_purge, owners);
        hold_release(world.store);
        world_purge(&world);
}

/* Each allocation failing: an error, nothing half done, and then it goes. */
static void test_no_memory(void **state)
{
        struct owner owner = user_of(&bob);
        struct memory memory;
        unsigned long count;
        enum result r = R_NO_MEMORY;

        (void)state;
        fill(&bob.who, 0);
        memory = dump_of(owner);
        for (unsigned long n = 1; r != R_OK; n++) {
                struct owner as = new_id(OWNER_USER);

                heap_fail_at(n);
                r = restore_as(&memory, owner, as, RESTORE_FAIL);
                count = heap_count();
                heap_fail_at(0);
                if (count < n) break;
                assert_true(r != R_DEFECT);
                assert_int_equal(owner_exists(as), r == R_OK);
                world_purge(&world);
                r = R_NO_MEMORY;
        }
        assert_int_equal(r, R_OK);
        assert_fits_together();
        r = R_NO_MEMORY;
        for (unsigned long n = 1; r != R_OK; n++) {
                heap_fail_at(n);
                r = restore(&memory, owner, RESTORE_REPLACE);
                count = heap_count();
                heap_fail_at(0);
                if (count < n) break;
                assert_true(r != R_DEFECT);
                r = R_NO_MEMORY;
        }
        assert_int_equal(r, R_OK);
        assert_fits_together();
        assert_same_apps(&memory, owner);
        memory_free(&memory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tenants_set_up, tenants_tear_down)
                TEST(test_comes_back),
                TEST(test_another_id),
                TEST(test_keys_stay),
                TEST(test_there),
                TEST(test_replaces_in_steps),
                TEST(test_revoked_stays),
                TEST(test_team),
                TEST(test_team_of_nobody),
                TEST(test_too_many_teams),
                TEST(test_many_members),
                TEST(test_dry),
                TEST(test_refused),
                TEST(test_forged),
                TEST(test_senseless),
                TEST(test_store_is_damaged),
                TEST(test_stopped),
                TEST(test_deleted_meanwhile),
                TEST(test_old_owner_without_keys),
                TEST(test_invitations),
                TEST(test_large_app),
                TEST(test_extract),
                TEST(test_other_dump_after),
                TEST(test_one_at_a_time),
                TEST(test_purge_passes_by),
                TEST(test_no_memory),
#undef TEST
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
