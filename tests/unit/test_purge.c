#include "engine/purge.h"

#include "engine/chore.h"
#include "engine/message.h"
#include "engine/scope.h"
#include "engine/store_private.h"
#include "store/v1/store.pb.h"
#include "tests/lib/fixture.h"
#include "tests/lib/test.h"

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

static const struct uuid app_one = {{1, 1}};
static const struct uuid app_two = {{1, 2}};

#define JOB_COUNT 2500

/* The app's record, JOB_COUNT jobs and a change. */
static enum result put_app(struct txn *txn, void *arg)
{
        const struct uuid *app = arg;
        const struct scope *scope;
        uint64_t revision;
        unsigned i;
        enum result r;

        if ((r = scope_open(txn, &fixture.as_two, RIGHT_CREATE, &scope)) != R_OK) return r;
        if ((r = scope_change(scope, CHANGE_CREATE, &(struct row){.kind = ROW_APP, .app = *app}, &revision)) != R_OK)
                return r;
        r = scope_put(scope, &(struct row){.kind = ROW_APP, .app = *app}, revision, BYTES("app"));
        for (i = 0; r == R_OK && i < JOB_COUNT; i++) {
                struct row job = {.kind = ROW_JOB, .app = *app, .id = {{(uint8_t)(i >> 8), (uint8_t)i}}};

                r = scope_put(scope, &job, 1, BYTES("job"));
        }
        return r;
}

static enum result delete_app(struct txn *txn, void *arg)
{
        const struct uuid *app = arg;
        const struct scope *scope;
        enum result r;

        if ((r = scope_open(txn, &fixture.as_two, RIGHT_DELETE, &scope)) != R_OK) return r;
        if ((r = scope_purge_app(scope, *app)) != R_OK) return r;
        return scope_delete(scope, &(struct row){.kind = ROW_APP, .app = *app});
}

static enum result delete_user(struct txn *txn, void *arg)
{
        const struct scope *scope;
        enum result r;

        (void)arg;
        if ((r = scope_open_personal(txn, &fixture.as_two, &scope)) != R_OK) return r;
        if ((r = scope_purge_owner(scope)) != R_OK) return r;
        return scope_delete(scope, &(struct row){.kind = ROW_PROFILE});
}

struct figures {
        struct store_stat stat;
        size_t jobs[2]; /* of the two apps */
        uint64_t revision;
};

static enum result read_figures(struct txn *txn, void *arg)
{
        static const struct uuid apps[] = {{{1, 1}}, {{1, 2}}};
        struct figures *figures = arg;
        const struct scope *scope;
        size_t i;

        store_stat(txn, &figures->stat);
        if (scope_open_personal(txn, &fixture.as_two, &scope) != R_OK) return R_OK;
        assert_int_equal(scope_revision(scope, &figures->revision), R_OK);
        for (i = 0; i < 2; i++) {
                struct row row = {.kind = ROW_JOB, .app = apps[i]};
                struct record record;
                struct scan scan;

                figures->jobs[i] = 0;
                assert_int_equal(scan_open(scope, &row, NULL, false, &scan), R_OK);
                while (scan_next(&scan, &row, &record) == R_OK)
                        figures->jobs[i]++;
                scan_close(&scan);
        }
        return R_OK;
}

static struct figures figures_now(void)
{
        struct figures figures = {0};

        assert_int_equal(fixture_view(&fixture, read_figures, &figures), R_OK);
        return figures;
}

static struct figures figures_when_purged(void)
{
        struct figures figures;

        do {
                figures = figures_now();
        } while (figures.stat.purge_backlog > 0);
        return figures;
}

/* ---- Steps ---- */

struct steps {
        uint64_t counts[4];
        bool has_more[4];
        enum result results[4];
};

static enum result delete_in_steps(struct txn *txn, void *arg)
{
        struct steps *steps = arg;
        struct uuid app = app_one;
        size_t i;
        enum result r;

        if ((r = delete_app(txn, &app)) != R_OK) return r;
        for (i = 0; i < 4; i++) {
                struct purge_step step;

                steps->results[i] = purge_run(txn, &step);
                steps->counts[i] = step.row_count;
                steps->has_more[i] = step.has_more;
        }
        return R_OK;
}

/* A step removes so many rows and no more, the last one takes the prefix off the list, and then there is nothing to do.
 * The other app's rows and the owner's changes stay. */
static void test_steps(void **state)
{
        struct uuid apps[] = {app_one, app_two};
        struct steps steps;
        struct figures before;
        struct figures after;

        (void)state;
        assert_int_equal(fixture_update(&fixture, put_app, &apps[0]), R_OK);
        assert_int_equal(fixture_update(&fixture, put_app, &apps[1]), R_OK);
        before = figures_now();
        assert_int_equal(fixture_update(&fixture, delete_in_steps, &steps), R_OK);
        assert_int_equal(steps.counts[0], PURGE_ROWS_MAX);
        assert_int_equal(steps.counts[1], PURGE_ROWS_MAX);
        assert_int_equal(steps.counts[2], JOB_COUNT - 2 * PURGE_ROWS_MAX);
        assert_int_equal(steps.counts[3], 0);
        assert_true(steps.has_more[0] && steps.has_more[1] && !steps.has_more[2] && !steps.has_more[3]);
        after = figures_now();
        assert_int_equal(after.jobs[0], 0);
        assert_int_equal(after.jobs[1], JOB_COUNT);
        assert_int_equal(after.stat.records, before.stat.records - JOB_COUNT - 1);
        assert_int_equal(after.revision, before.revision);
}

/* ---- On the writer ---- */

/* The writer removes in the background what a delete has listed, whenever the process ends in between. */
static void test_goes_on_after_restart(void **state)
{
        struct uuid app = app_one;
        struct figures before = figures_now();
        struct figures after;

        (void)state;
        assert_int_equal(fixture_update(&fixture, put_app, &app), R_OK);
        assert_int_equal(fixture_update(&fixture, delete_app, &app), R_OK);
        fixture_reopen(&fixture);
        fixture_reopen(&fixture);
        after = figures_when_purged();
        assert_int_equal(after.jobs[0], 0);
        assert_int_equal(after.stat.records, before.stat.records + 1); /* the change of its creation */
}

static enum result authenticate(struct txn *txn, void *arg)
{
        return caller_authenticate(txn, arg);
}

/* A deleted user leaves no row and no key behind, and other owners lose nothing. */
static void test_user(void **state)
{
        struct uuid app = app_one;
        struct figures before = figures_now();
        struct figures after;

        (void)state;
        assert_int_equal(fixture_update(&fixture, put_app, &app), R_OK);
        assert_int_equal(fixture_update(&fixture, delete_user, NULL), R_OK);
        assert_int_equal(fixture_view(&fixture, authenticate, &fixture.as_two), R_UNAUTHENTICATED);
        after = figures_when_purged();
        assert_int_equal(after.stat.keys, before.stat.keys - 1);
        assert_int_equal(after.stat.records, before.stat.records - 4); /* profile, key and a change of each */
        assert_int_equal(fixture_view(&fixture, authenticate, &fixture.as_team), R_OK);
        /* the id and the digest are free again */
        fixture_add_user(&fixture, fixture.two, fixture.two_key, fixture.as_two.key_digest);
        assert_int_equal(fixture_view(&fixture, authenticate, &fixture.as_two), R_OK);
}

static enum result create_while_listed(struct txn *txn, void *arg)
{
        const struct scope *scope;
        enum result r;

        (void)arg;
        if ((r = delete_user(txn, NULL)) != R_OK) return r;
        r = scope_admin(txn, &fixture.as_admin, (struct owner){OWNER_USER, fixture.two}, "", &scope);
        return r == R_ABSENT ? R_OK : R_DEFECT;
}

/* An owner that is still being purged can neither be looked at nor be made again. */
static void test_listed_owner_is_absent(void **state)
{
        (void)state;
        assert_int_equal(fixture_update(&fixture, create_while_listed, NULL), R_OK);
}

static enum result list_living_app(struct txn *txn, void *arg)
{
        struct purge_step step;
        struct uuid app = app_one;
        const struct scope *scope;
        enum result *result = arg;
        enum result r;

        if ((r = scope_open(txn, &fixture.as_two, RIGHT_DELETE, &scope)) != R_OK) return r;
        if ((r = scope_purge_app(scope, app)) != R_OK) return r;
        *result = purge_run(txn, &step);
        return scope_delete(scope, &(struct row){.kind = ROW_APP, .app = app});
}

/* Rows that are still visible are never purged, even if some defect lists them. */
static void test_living_rows_stay(void **state)
{
        struct uuid app = app_one;
        enum result r = R_OK;

        (void)state;
        assert_int_equal(fixture_update(&fixture, put_app, &app), R_OK);
        assert_int_equal(fixture_update(&fixture, list_living_app, &r), R_OK);
        assert_int_equal(r, R_CORRUPT);
}

/* ---- Last uses of keys ---- */

static enum result read_last_use(struct txn *txn, void *arg)
{
        int64_t *time_ms = arg;
        const struct scope *scope;
        struct record record;
        store_v1_ApiKey key;
        enum result r;

        if ((r = scope_open_personal(txn, &fixture.as_two, &scope)) != R_OK) return r;
        r = scope_get(scope, &(struct row){.kind = ROW_KEY, .id = fixture.two_key}, &record);
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_ApiKey_msg, record.body, &key)) != R_OK) return r;
        *time_ms = key.last_used_at_ms;
        return R_OK;
}

static enum result run_update(void *context, bool frees_space, txn_fn *run, void *arg)
{
        (void)frees_space;
        return fixture_update(context, run, arg);
}

/* The use of a key in a view is written into its record by a background step. */
static void test_last_use(void **state)
{
        struct chore chore;
        uint64_t row_count = 0;
        int64_t used_ms = -1;

        (void)state;
        assert_int_equal(fixture_view(&fixture, read_last_use, &used_ms), R_OK);
        assert_int_equal(used_ms, 0);
        chore_init(&chore, 0);
        chore.purge_ns = INT64_MAX;
        chore.key_uses_ns = 1; /* due, but it would grow the store */
        assert_int_equal(chore_step(&chore, fixture.store, 1, false, run_update, &fixture, &row_count), R_OK);
        chore.key_uses_ns = 1;
        assert_int_equal(chore_step(&chore, fixture.store, 1, true, run_update, &fixture, &row_count), R_OK);
        assert_true(chore_due_ns(&chore) > 1);
        assert_int_equal(fixture_view(&fixture, read_last_use, &used_ms), R_OK);
        assert_int_equal(used_ms, FIXTURE_TIME_MS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_steps, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_goes_on_after_restart, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_user, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_listed_owner_is_absent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_living_rows_stay, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_last_use, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
