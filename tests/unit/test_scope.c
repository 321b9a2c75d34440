#include "engine/scope.h"

#include "engine/limits.h"
#include "engine/message.h"
#include "store/v1/store.pb.h"
#include "tests/lib/abort.h"
#include "tests/lib/fixture.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#include <allod/v1/team.pb-c.h>

static struct fixture fixture;

static int set_up(void **state)
{
        (void)state;
        fixture_init(&fixture);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        fixture_fini(&fixture);
        return 0;
}

static struct uuid id_of(uint8_t last)
{
        struct uuid id = {{1, 2, 3}};

        id.bytes[UUID_SIZE - 1] = last;
        return id;
}

/* A row of each kind, with the ids that its kind has. */
static struct row row_of(enum row_kind kind)
{
        struct row row = {.kind = kind};

        if (row_kind_is_under_app(kind)) row.app = id_of(1);
        if (kind == ROW_GRANT || kind == ROW_GRANTEE_JOB) row.owner = (struct owner){OWNER_USER, id_of(9)};
        if (kind == ROW_CHANGE) row.revision = 1000000;
        if (kind != ROW_PROFILE && kind != ROW_APP && kind != ROW_COUNTERS && kind != ROW_GRANT && kind != ROW_CHANGE)
                row.id = id_of(2);
        if (kind == ROW_JOB_BY_STATE) row.state = 3;
        return row;
}

/* ---- Isolation ---- */

struct rows {
        const struct credential *who;
        bool is_team;
        unsigned count; /* of kinds found */
};

static bool is_kind_of(enum row_kind kind, bool is_team)
{
        if (kind == ROW_PROFILE || kind == ROW_CHANGE) return false; /* the fixture has put these */
        if (kind == ROW_MEMBER) return is_team;
        if (kind == ROW_KEY || kind == ROW_MEMBERSHIP || kind == ROW_INVITATION) return !is_team;
        return true;
}

static enum result put_all(struct txn *txn, void *arg)
{
        const struct rows *rows = arg;
        const struct scope *scope;
        unsigned kind;

        assert_int_equal(scope_open(txn, rows->who, RIGHT_CREATE, &scope), R_OK);
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                const struct row row = row_of(kind);
                struct bytes body = row_kind_has_value(kind) ? BYTES("mine") : (struct bytes){0};

                if (is_kind_of(kind, rows->is_team)) assert_int_equal(scope_put(scope, &row, 7, body), R_OK);
        }
        return R_OK;
}

static enum result find_all(struct txn *txn, void *arg)
{
        struct rows *rows = arg;
        const struct scope *scope;
        struct record counters;
        struct record record;
        unsigned kind;

        rows->count = 0;
        assert_int_equal(scope_open(txn, rows->who, RIGHT_READ, &scope), R_OK);
        for (kind = 0; kind < ROW_KIND_COUNT; kind++) {
                const struct row row = row_of(kind);
                bool is_found;
                struct row read;
                struct scan scan;

                if (!is_kind_of(kind, rows->is_team)) continue;
                is_found = scope_exists(scope, &row) == R_OK;
                if (row_kind_has_value(kind)) assert_int_equal(scope_get(scope, &row, &record) == R_OK, is_found);
                assert_int_equal(scan_open(scope, &row, NULL, kind % 2 == 0, &scan), R_OK);
                while (scan_next(&scan, &read, &record) == R_OK)
                        assert_true(is_found || !uuid_equal(read.id, row.id) || !uuid_equal(read.app, row.app));
                scan_close(&scan);
                rows->count += is_found;
        }
        assert_int_equal(scope_get_app(scope, id_of(1), &record, &counters) == R_OK, rows->count > 0);
        assert_int_equal(scope_app_exists(scope, id_of(1)) == R_OK, rows->count > 0);
        return R_OK;
}

/* What is put under one owner, of whatever kind, is absent under every other: users, and the team of the very user. */
static void test_rows_are_absent_elsewhere(void **state)
{
        struct rows rows[] = {{&fixture.as_one, false, 0}, {&fixture.as_two, false, 0}, {&fixture.as_team, true, 0}};
        size_t writer;
        size_t reader;

        (void)state;
        for (writer = 0; writer < 3; writer++) {
                assert_int_equal(fixture_update(&fixture, put_all, &rows[writer]), R_OK);
                for (reader = 0; reader < 3; reader++) {
                        assert_int_equal(fixture_view(&fixture, find_all, &rows[reader]), R_OK);
                        assert_int_equal(rows[reader].count, reader > writer ? 0 : rows[reader].is_team ? 11 : 13);
                }
        }
}

/* ---- Broken invariants ---- */

static const struct scope *kept;

static enum result keep_scope(struct txn *txn, void *arg)
{
        return scope_open(txn, arg, RIGHT_READ, &kept);
}

static enum result do_nothing(struct txn *txn, void *arg)
{
        (void)txn;
        (void)arg;
        return R_OK;
}

static void get_profile(void *arg)
{
        struct record record;
        enum result r = scope_get(arg, &(struct row){.kind = ROW_PROFILE}, &record);

        (void)r;
}

static void put_app(void *arg)
{
        enum result r = scope_put(arg, &(struct row){.kind = ROW_APP, .app = id_of(1)}, 1, BYTES("x"));

        (void)r;
}

static void put_member(void *arg)
{
        enum result r = scope_put(arg, &(struct row){.kind = ROW_MEMBER, .id = id_of(1)}, 1, BYTES("x"));

        (void)r;
}

static void put_change(void *arg)
{
        enum result r = scope_put(arg, &(struct row){.kind = ROW_CHANGE, .revision = 1}, 1, BYTES("x"));

        (void)r;
}

static void put_index_with_value(void *arg)
{
        enum result r = scope_put(arg, &(struct row){.kind = ROW_MEMBERSHIP, .id = id_of(1)}, 1, BYTES("x"));

        (void)r;
}

static enum result break_in_run(struct txn *txn, void *arg)
{
        const struct scope *kept_before = kept;
        const struct scope *scope;

        (void)arg;
        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_READ, &scope), R_OK);
        assert_false(aborts(get_profile, (void *)(uintptr_t)scope));
        assert_true(aborts(get_profile, (void *)(uintptr_t)kept_before));
        if (!txn_is_write(txn)) assert_true(aborts(put_app, (void *)(uintptr_t)scope));
        assert_true(aborts(put_member, (void *)(uintptr_t)scope));
        assert_true(aborts(put_change, (void *)(uintptr_t)scope));
        assert_true(aborts(put_index_with_value, (void *)(uintptr_t)scope));
        return R_OK;
}

/* A scope dies with the run that proved it: used later, between runs or in another one on the same snapshot, it aborts.
 * So do writes in a view, kinds that the owner does not have, and change rows by hand. */
static void test_misuse_aborts(void **state)
{
        struct writer *writer = store_writer(fixture.store);
        struct txn_input input = fixture_input(&fixture);
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, FIXTURE_ARENA_MAX);
        assert_int_equal(view_run(fixture.view, &input, keep_scope, &fixture.as_one), R_OK);
        assert_true(aborts(get_profile, (void *)(uintptr_t)kept));
        assert_int_equal(view_run(fixture.view, &input, do_nothing, NULL), R_OK);
        assert_true(aborts(get_profile, (void *)(uintptr_t)kept));
        assert_int_equal(view_run(fixture.view, &input, break_in_run, NULL), R_OK);
        /* without the arena's reset in between, so that the dead scope's memory is still its own */
        assert_int_equal(writer_run(writer, &input, keep_scope, &fixture.as_one), R_OK);
        input.arena = &arena;
        assert_int_equal(writer_run(writer, &input, break_in_run, NULL), R_OK);
        arena_fini(&arena);
}

/* ---- Scans ---- */

static enum result put_apps(struct txn *txn, void *arg)
{
        const struct scope *scope;
        unsigned i;

        (void)arg;
        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_CREATE, &scope), R_OK);
        for (i = 1; i <= 9; i++) {
                struct uuid app = id_of((uint8_t)i);
                unsigned job;

                /* 3, 4 and 9 have rows but no record: as after a delete */
                if (i != 3 && i != 4 && i != 9)
                        assert_int_equal(scope_put(scope, &(struct row){.kind = ROW_APP, .app = app}, i, BYTES("app")),
                                         R_OK);
                if (i % 2 == 0)
                        assert_int_equal(
                                scope_put(scope, &(struct row){.kind = ROW_COUNTERS, .app = app}, i, BYTES("count")),
                                R_OK);
                for (job = 0; job < i; job++) {
                        const struct row row = {.kind = ROW_JOB, .app = app, .id = id_of((uint8_t)(100 + job))};

                        assert_int_equal(scope_put(scope, &row, i, BYTES("job")), R_OK);
                }
        }
        return R_OK;
}

/* The last bytes of app or id, in the order in which they came. */
static void scan_all(const struct scope *scope, const struct row *kind, const struct row *from, bool is_reverse,
                     char out[64])
{
        struct scan scan;
        struct record record;
        struct row row;
        size_t len = 0;
        enum result r;

        assert_int_equal(scan_open(scope, kind, from, is_reverse, &scan), R_OK);
        while ((r = scan_next(&scan, &row, &record)) == R_OK)
                out[len++] = (char)(kind->kind == ROW_APP ? '0' + row.app.bytes[15] : 'a' + row.id.bytes[15] - 100);
        assert_int_equal(r, R_ABSENT);
        scan_close(&scan);
        out[len] = '\0';
}

static enum result scan_apps_and_jobs(struct txn *txn, void *arg)
{
        const struct row apps = {.kind = ROW_APP};
        const struct row app = {.kind = ROW_APP, .app = id_of(5)};
        const struct row jobs = {.kind = ROW_JOB, .app = id_of(5)};
        const struct row job = {.kind = ROW_JOB, .app = id_of(5), .id = id_of(102)};
        const struct scope *scope;
        char text[64];

        (void)arg;
        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_READ, &scope), R_OK);
        scan_all(scope, &apps, NULL, false, text);
        assert_string_equal(text, "125678");
        scan_all(scope, &apps, NULL, true, text);
        assert_string_equal(text, "876521");
        scan_all(scope, &apps, &app, false, text);
        assert_string_equal(text, "678");
        scan_all(scope, &apps, &app, true, text);
        assert_string_equal(text, "21");
        scan_all(scope, &jobs, NULL, false, text);
        assert_string_equal(text, "abcde");
        scan_all(scope, &jobs, NULL, true, text);
        assert_string_equal(text, "edcba");
        scan_all(scope, &jobs, &job, false, text);
        assert_string_equal(text, "de");
        scan_all(scope, &jobs, &job, true, text);
        assert_string_equal(text, "ba");
        return R_OK;
}

/* Scans list one kind of one app, both ways and from a place; a scan of apps shows those with a record and steps over
 * the rows of the others. The same in a view and in a write transaction. */
static void test_scans(void **state)
{
        (void)state;
        assert_int_equal(fixture_update(&fixture, put_apps, NULL), R_OK);
        assert_int_equal(fixture_view(&fixture, scan_apps_and_jobs, NULL), R_OK);
        assert_int_equal(fixture_update(&fixture, scan_apps_and_jobs, NULL), R_OK);
}

static enum result delete_while_scanning(struct txn *txn, void *arg)
{
        const bool *is_reverse = arg;
        const struct scope *scope;
        struct record record;
        struct scan scan;
        unsigned count = 0;
        struct row row = {.kind = ROW_JOB, .app = id_of(8)};

        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_DELETE, &scope), R_OK);
        assert_int_equal(scan_open(scope, &row, NULL, *is_reverse, &scan), R_OK);
        while (scan_next(&scan, &row, &record) == R_OK) {
                if (count++ % 2 == 0) assert_int_equal(scope_delete(scope, &row), R_OK);
        }
        scan_close(&scan);
        assert_int_equal(count, *is_reverse ? 4 : 8);
        return R_OK;
}

/* Deleting the row that a scan has just given neither ends the scan nor makes it skip one. */
static void test_delete_while_scanning(void **state)
{
        bool is_reverse = false;

        (void)state;
        assert_int_equal(fixture_update(&fixture, put_apps, NULL), R_OK);
        assert_int_equal(fixture_update(&fixture, delete_while_scanning, &is_reverse), R_OK);
        is_reverse = true;
        assert_int_equal(fixture_update(&fixture, delete_while_scanning, &is_reverse), R_OK);
}

static enum result get_apps(struct txn *txn, void *arg)
{
        const struct scope *scope;
        struct record counters;
        struct record app;
        unsigned i;

        (void)arg;
        assert_int_equal(scope_open(txn, &fixture.as_one, RIGHT_READ, &scope), R_OK);
        for (i = 0; i <= 10; i++) {
                bool is_there = i >= 1 && i <= 8 && i != 3 && i != 4;

                assert_int_equal(scope_get_app(scope, id_of((uint8_t)i), &app, &counters), is_there ? R_OK : R_ABSENT);
                if (!is_there) continue;
                assert_int_equal(app.revision, i);
                assert_true(bytes_equal(app.body, BYTES("app")));
                assert_int_equal(counters.body.data != NULL, i % 2 == 0);
        }
        return R_OK;
}

/* An app comes with the counters that are its own, and without any when it has none; rows alone make no app. */
static void test_get_app(void **state)
{
        (void)state;
        assert_int_equal(fixture_update(&fixture, put_apps, NULL), R_OK);
        assert_int_equal(fixture_view(&fixture, get_apps, NULL), R_OK);
        assert_int_equal(fixture_update(&fixture, get_apps, NULL), R_OK);
}

/* ---- Changes ---- */

static enum result change_twice(struct txn *txn, void *arg)
{
        const struct row row = {.kind = ROW_JOB, .app = id_of(1), .id = id_of(2)};
        const struct scope *scope;
        uint64_t *revision = arg;
        uint64_t next;

        assert_int_equal(scope_open(txn, &fixture.as_team, RIGHT_EDIT, &scope), R_OK);
        assert_int_equal(scope_change(scope, CHANGE_CREATE, &row, revision), R_OK);
        assert_int_equal(scope_change(scope, CHANGE_UPDATE, &row, &next), R_OK);
        assert_int_equal(next, *revision + 1);
        return R_OK;
}

static enum result read_change(struct txn *txn, void *arg)
{
        const uint64_t *revision = arg;
        const struct scope *scope;
        struct record record;
        store_v1_Change change;
        uint64_t newest;

        assert_int_equal(scope_open(txn, &fixture.as_team, RIGHT_READ, &scope), R_OK);
        assert_int_equal(scope_revision(scope, &newest), R_OK);
        assert_int_equal(newest, *revision + 1);
        assert_int_equal(scope_get(scope, &(struct row){.kind = ROW_CHANGE, .revision = *revision}, &record), R_OK);
        assert_int_equal(record.revision, *revision);
        assert_int_equal(message_load(&store_v1_Change_msg, record.body, &change), R_OK);
        assert_int_equal(change.time_ms, FIXTURE_TIME_MS);
        assert_int_equal(change.operation, CHANGE_CREATE);
        assert_int_equal(change.kind, ROW_JOB);
        assert_memory_equal(change.id.bytes, id_of(2).bytes, UUID_SIZE);
        assert_memory_equal(change.app.bytes, id_of(1).bytes, UUID_SIZE);
        assert_memory_equal(change.actor.bytes, fixture.one.bytes, UUID_SIZE);
        assert_memory_equal(change.key.bytes, fixture.one_key.bytes, UUID_SIZE);
        assert_string_equal(change.peer, fixture.as_team.peer);
        assert_string_equal(change.why, "");
        return R_OK;
}

/* Revisions rise by one per change, across transactions, and a change row says who did what from where. */
static void test_changes(void **state)
{
        uint64_t first;
        uint64_t second;

        (void)state;
        assert_int_equal(fixture_update(&fixture, change_twice, &first), R_OK);
        assert_int_equal(fixture_update(&fixture, change_twice, &second), R_OK);
        assert_int_equal(second, first + 2);
        assert_int_equal(fixture_view(&fixture, read_change, &second), R_OK);
}

/* ---- Administrators ---- */

struct look {
        struct owner owner;
        enum result expected;
        uint64_t revision;
};

static enum result look(struct txn *txn, void *arg)
{
        struct look *look = arg;
        const struct scope *scope;
        enum result r = scope_admin(txn, &fixture.as_admin, look->owner, "reason", &scope);

        assert_int_equal(r, look->expected);
        if (r != R_OK) return r;
        assert_int_equal(scope_revision(scope, &look->revision), R_OK);
        /* a failure after a look is no defect: the look stays */
        return R_WRONG_STATE;
}

static enum result refuse_admin(struct txn *txn, void *arg)
{
        const struct scope *scope;

        (void)arg;
        return scope_admin(txn, &fixture.as_one, (struct owner){OWNER_USER, fixture.one}, "", &scope);
}

static enum result refuse_user(struct txn *txn, void *arg)
{
        const struct scope *scope;

        (void)arg;
        assert_int_equal(caller_authenticate(txn, &fixture.as_admin), R_OK);
        return scope_open(txn, &fixture.as_admin, RIGHT_READ, &scope);
}

/* An administrator's look is a change row of the owner, even if the call then fails; an owner that does not exist gets
 * none; and only the admin plane looks, which in turn is no user. */
static void test_admin_looks(void **state)
{
        struct look known = {{OWNER_USER, fixture.two}, R_OK, 0};
        struct look unknown = {{OWNER_USER, id_of(77)}, R_OK, 99};
        uint64_t before;

        (void)state;
        assert_int_equal(fixture_update(&fixture, look, &known), R_WRONG_STATE);
        before = known.revision;
        assert_int_equal(fixture_update(&fixture, look, &known), R_WRONG_STATE);
        assert_int_equal(known.revision, before + 1);
        assert_int_equal(fixture_update(&fixture, look, &unknown), R_WRONG_STATE);
        assert_int_equal(unknown.revision, 0);
        assert_int_equal(fixture_update(&fixture, refuse_admin, NULL), R_UNAUTHENTICATED);
        assert_int_equal(fixture_view(&fixture, refuse_user, NULL), R_UNAUTHENTICATED);
}

static enum result each(struct txn *txn, void *arg)
{
        const uint8_t *kind = arg;
        struct scope_walk walk = {0};
        const struct scope *scope;
        unsigned count = 0;
        enum result r;

        while ((r = scope_each(txn, *kind, &walk, &scope)) == R_OK) {
                assert_int_equal(scope_exists(scope, &(struct row){.kind = ROW_PROFILE}), R_OK);
                assert_true(uuid_equal(scope_owner(scope).id, walk.owner.id));
                count++;
        }
        assert_int_equal(r, R_ABSENT);
        assert_int_equal(count, *kind == 0 ? 3 : *kind == OWNER_USER ? 2 : 1);
        return R_OK;
}

/* The walk meets each owner once. */
static void test_each(void **state)
{
        uint8_t kinds[] = {0, OWNER_USER, OWNER_TEAM};
        size_t i;

        (void)state;
        for (i = 0; i < 3; i++)
                assert_int_equal(fixture_view(&fixture, each, &kinds[i]), R_OK);
}

/* ---- Teams ---- */

static enum result new_team(struct txn *txn, void *arg)
{
        const struct uuid *team = arg;
        const struct scope *personal;
        const struct scope *scope;

        assert_int_equal(scope_open_personal(txn, &fixture.as_two, &personal), R_OK);
        return scope_new_team(personal, *team, &scope);
}

/* A team's id must be one that nobody has used. */
static void test_new_team(void **state)
{
        struct uuid fresh = id_of(5);

        (void)state;
        assert_int_equal(fixture_update(&fixture, new_team, &fresh), R_OK);
        assert_int_equal(fixture_update(&fixture, new_team, &fixture.team), R_EXISTS);
}

struct invitation {
        uint32_t role;
        enum result expected;
};

static enum result invite(struct txn *txn, void *arg)
{
        const struct invitation *invitation = arg;
        const struct row row = {.kind = ROW_INVITATION, .id = fixture.team};
        store_v1_Invitation content = {.role = invitation->role, .invited_by = {.size = UUID_SIZE}};
        const struct scope *inbox;
        const struct scope *team;
        struct bytes body;
        uint64_t revision;

        memcpy(content.invited_by.bytes, fixture.one.bytes, UUID_SIZE);
        assert_int_equal(scope_open_team(txn, &fixture.as_one, fixture.team, RIGHT_MANAGE, &team), R_OK);
        assert_int_equal(scope_inbox(team, id_of(200), &inbox), R_ABSENT);
        assert_int_equal(scope_inbox(team, fixture.two, &inbox), R_OK);
        assert_int_equal(scope_inbox_has_room(inbox), R_OK);
        assert_true(aborts(get_profile, (void *)(uintptr_t)inbox));
        assert_true(aborts(put_app, (void *)(uintptr_t)inbox));
        assert_int_equal(scope_change(inbox, CHANGE_CREATE, &row, &revision), R_OK);
        assert_int_equal(message_store(txn_arena(txn), &store_v1_Invitation_msg, &content, &body), R_OK);
        return scope_put(inbox, &row, revision, body);
}

static enum result accept(struct txn *txn, void *arg)
{
        const struct invitation *invitation = arg;
        const struct scope *personal;
        const struct scope *team;
        struct record record;
        uint32_t role = 0;
        enum result r;

        assert_int_equal(scope_open_personal(txn, &fixture.as_two, &personal), R_OK);
        r = scope_invited(personal, fixture.team, &role, &team);
        assert_int_equal(r, invitation->expected);
        if (r != R_OK) return R_OK;
        assert_int_equal(role, invitation->role);
        assert_int_equal(scope_get(team, &(struct row){.kind = ROW_PROFILE}, &record), R_OK);
        assert_int_equal(scope_exists(team, &(struct row){.kind = ROW_MEMBER, .id = fixture.two}), R_ABSENT);
        assert_true(aborts(put_member, (void *)(uintptr_t)team));
        assert_true(aborts(put_app, (void *)(uintptr_t)team));
        return R_OK;
}

/* An invitation opens the team's profile and one's own member row, for as long as its sender may invite in that role.
 */
static void test_invitations(void **state)
{
        struct invitation none = {0, R_ABSENT};
        struct invitation invitation = {ALLOD__V1__ROLE__ROLE_OWNER, R_OK};

        (void)state;
        assert_int_equal(fixture_update(&fixture, accept, &none), R_OK);
        assert_int_equal(fixture_update(&fixture, invite, &invitation), R_OK);
        assert_int_equal(fixture_update(&fixture, accept, &invitation), R_OK);

        fixture_add_member(&fixture, fixture.team, fixture.one, ALLOD__V1__ROLE__ROLE_ADMIN);
        invitation.expected = R_ABSENT; /* an ADMIN names no OWNER */
        assert_int_equal(fixture_update(&fixture, accept, &invitation), R_OK);
        invitation = (struct invitation){ALLOD__V1__ROLE__ROLE_ADMIN, R_OK};
        assert_int_equal(fixture_update(&fixture, invite, &invitation), R_OK);
        assert_int_equal(fixture_update(&fixture, accept, &invitation), R_OK);
        fixture_add_member(&fixture, fixture.team, fixture.one, ALLOD__V1__ROLE__ROLE_MEMBER);
        invitation.expected = R_ABSENT;
        assert_int_equal(fixture_update(&fixture, accept, &invitation), R_OK);
}

static enum result check_room(struct txn *txn, void *arg)
{
        const enum result *expected = arg;
        const struct scope *inbox;
        const struct scope *team;

        assert_int_equal(scope_open_team(txn, &fixture.as_one, fixture.team, RIGHT_MANAGE, &team), R_OK);
        assert_int_equal(scope_inbox(team, fixture.two, &inbox), R_OK);
        assert_int_equal(scope_inbox_has_room(inbox), *expected);
        return R_OK;
}

static enum result fill_inbox(struct txn *txn, void *arg)
{
        const struct scope *scope;
        unsigned i;

        (void)arg;
        assert_int_equal(scope_open_personal(txn, &fixture.as_two, &scope), R_OK);
        for (i = 0; i < USER_INVITATIONS_MAX; i++) {
                const struct row row = {.kind = ROW_INVITATION, .id = id_of((uint8_t)i)};

                assert_int_equal(scope_put(scope, &row, 1, BYTES("")), R_OK);
        }
        return R_OK;
}

/* An inbox is bounded, but takes again from a team that already has its place there. */
static void test_inbox_is_bounded(void **state)
{
        struct invitation invitation = {ALLOD__V1__ROLE__ROLE_MEMBER, R_OK};
        enum result full = R_EXHAUSTED;
        enum result room = R_OK;

        (void)state;
        assert_int_equal(fixture_update(&fixture, check_room, &room), R_OK);
        assert_int_equal(fixture_update(&fixture, fill_inbox, NULL), R_OK);
        assert_int_equal(fixture_update(&fixture, check_room, &full), R_OK);
        fixture_fini(&fixture);
        fixture_init(&fixture);
        assert_int_equal(fixture_update(&fixture, invite, &invitation), R_OK);
        assert_int_equal(fixture_update(&fixture, fill_inbox, NULL), R_OK);
        assert_int_equal(fixture_update(&fixture, check_room, &room), R_OK);
}

/* ---- Page tokens ---- */

#define LIST 7

struct token {
        const struct credential *who;
        struct row row;
        uint32_t list;
        char text[256];
        enum result expected;
};

static enum result make_token(struct txn *txn, void *arg)
{
        struct token *token = arg;
        const struct scope *scope;
        const char *text;

        assert_int_equal(scope_open(txn, token->who, RIGHT_READ, &scope), R_OK);
        assert_int_equal(scope_page_token(scope, &token->row, token->list, &text), R_OK);
        assert_true(strlen(text) < sizeof token->text);
        memcpy(token->text, text, strlen(text) + 1);
        return R_OK;
}

static enum result use_token(struct txn *txn, void *arg)
{
        struct token *token = arg;
        const struct scope *scope;
        struct row row = {.kind = ROW_KIND_COUNT};
        enum result r;

        assert_int_equal(scope_open(txn, token->who, RIGHT_READ, &scope), R_OK);
        r = scope_page_resume(scope, token->text, token->list, &row);
        assert_int_equal(r, token->expected);
        if (r == R_OK) {
                assert_memory_equal(&row, &token->row, sizeof row);
        } else {
                assert_int_equal(row.kind, ROW_KIND_COUNT);
                assert_int_equal(txn_fault(txn)->field_count, 1);
                assert_string_equal(txn_fault(txn)->fields[0].path, "page_token");
        }
        return R_OK;
}

static void check_token(struct token token, enum result expected)
{
        token.expected = expected;
        assert_int_equal(fixture_view(&fixture, use_token, &token), R_OK);
}

/* A token is good for its row, its list and its scope, after a restart too; cut, longer, or with any character changed
 * to any other, it is refused. */
static void test_page_tokens(void **state)
{
        static const char digits[] = "AZaz09-_=+/ \x80";
        struct token token = {.who = &fixture.as_one, .row = row_of(ROW_JOB), .list = LIST};
        struct token other;
        size_t len;
        size_t i;
        size_t j;

        (void)state;
        assert_int_equal(fixture_view(&fixture, make_token, &token), R_OK);
        check_token(token, R_OK);
        fixture_reopen(&fixture);
        check_token(token, R_OK);

        other = token;
        other.who = &fixture.as_two;
        check_token(other, R_BAD_ARGUMENT);
        other.who = &fixture.as_team;
        check_token(other, R_BAD_ARGUMENT);
        other = token;
        other.list++;
        check_token(other, R_BAD_ARGUMENT);

        len = strlen(token.text);
        for (i = 0; i < len; i++) {
                other = token;
                other.text[i] ^= 1;
                check_token(other, R_BAD_ARGUMENT);
                for (j = 0; j < sizeof digits - 1; j++) {
                        other.text[i] = digits[j];
                        if (digits[j] != token.text[i]) check_token(other, R_BAD_ARGUMENT);
                }
                other = token;
                other.text[i] = '\0';
                check_token(other, R_BAD_ARGUMENT);
        }
        other = token;
        memcpy(other.text + len, "A", 2);
        check_token(other, R_BAD_ARGUMENT);
        memset(other.text, 'A', sizeof other.text - 1);
        other.text[sizeof other.text - 1] = '\0';
        check_token(other, R_BAD_ARGUMENT);
}

/* ---- No memory ---- */

static enum result open_and_page(struct txn *txn, void *arg)
{
        const struct row row = row_of(ROW_JOB);
        const struct scope *scope;
        const char *token;
        enum result r;

        (void)arg;
        if ((r = scope_open(txn, &fixture.as_team, RIGHT_READ, &scope)) != R_OK) return r;
        return scope_page_token(scope, &row, LIST, &token);
}

static enum result open_and_put(struct txn *txn, void *arg)
{
        const struct row row = row_of(ROW_APP);
        const struct scope *scope;
        uint64_t revision;
        enum result r;

        (void)arg;
        if ((r = scope_open(txn, &fixture.as_team, RIGHT_CREATE, &scope)) != R_OK) return r;
        if ((r = scope_change(scope, CHANGE_CREATE, &row, &revision)) != R_OK) return r;
        return scope_put(scope, &row, revision, BYTES("app"));
}

static enum result run_view_whole(void)
{
        const struct txn_input input = fixture_input(&fixture);
        struct view *view;
        enum result r;

        if ((r = view_open(fixture.store, &view)) != R_OK) return r;
        r = view_run(view, &input, open_and_page, NULL);
        view_close(view);
        return r;
}

/* Each allocation that fails is told as such, changes nothing and leaves nothing behind. */
static void test_no_memory(void **state)
{
        struct rows rows = {&fixture.as_team, true, 0};
        unsigned failed = 0;
        enum result r;
        unsigned n;

        (void)state;
        for (n = 1, r = R_NO_MEMORY; r != R_OK; n++) {
                arena_fini(&fixture.arena);
                arena_init(&fixture.arena, NULL, FIXTURE_ARENA_MAX);
                heap_fail_at(n);
                r = run_view_whole();
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
                failed += r != R_OK;
        }
        assert_true(failed >= 3); /* view, table of callers, arena */
        for (n = 1, r = R_NO_MEMORY; r != R_OK; n++) {
                assert_int_equal(fixture_view(&fixture, find_all, &rows), R_OK);
                assert_int_equal(rows.count, 0);
                heap_fail_at(n);
                r = fixture_update(&fixture, open_and_put, NULL);
                heap_fail_at(0);
                assert_true(r == R_OK || r == R_NO_MEMORY);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_rows_are_absent_elsewhere, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_misuse_aborts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_scans, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_delete_while_scanning, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_get_app, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_admin_looks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_each, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_new_team, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_invitations, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_inbox_is_bounded, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_page_tokens, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
