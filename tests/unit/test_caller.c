#include "engine/caller.h"

#include <allod/v1/team.pb-c.h>

#include "engine/message.h"
#include "engine/scope.h"
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

static enum result authenticate(struct txn *txn, void *arg)
{
        return caller_authenticate(txn, arg);
}

/* In a view, twice so that the second may come from its table, and on the writer, which has none. */
static void check(struct credential *who, enum result expected)
{
        assert_int_equal(fixture_view(&fixture, authenticate, who), expected);
        assert_int_equal(fixture_view(&fixture, authenticate, who), expected);
        assert_int_equal(fixture_update(&fixture, authenticate, who), expected);
}

/* The checks answer in the contract's order: key, claimed user, syntax of the team, membership. */
static void test_order_of_checks(void **state)
{
        struct credential who = fixture.as_two;

        (void)state;
        check(&fixture.as_one, R_OK);
        check(&fixture.as_team, R_OK);
        check(&who, R_OK);

        who.team_claim = CLAIM_GIVEN;
        who.team = fixture.team;
        check(&who, R_NOT_MEMBER);
        who.team = uuid_v7(FIXTURE_TIME_MS); /* no such team */
        check(&who, R_NOT_MEMBER);
        who.team = fixture.two; /* a user is no team */
        check(&who, R_NOT_MEMBER);
        who.team_claim = CLAIM_MALFORMED;
        check(&who, R_BAD_ARGUMENT);
        who.user_claim = CLAIM_GIVEN;
        who.user = fixture.two;
        check(&who, R_BAD_ARGUMENT);
        who.user = fixture.one;
        check(&who, R_WRONG_USER);
        who.user_claim = CLAIM_MALFORMED;
        check(&who, R_WRONG_USER);
        who.key_digest[31] ^= 1;
        check(&who, R_UNAUTHENTICATED);
        who.key_digest[31] ^= 1;
        who.has_key = false;
        check(&who, R_UNAUTHENTICATED);
}

struct named {
        struct credential who;
        struct uuid team;
};

static enum result open_team(struct txn *txn, void *arg)
{
        const struct named *named = arg;
        const struct scope *scope;
        enum result r = scope_open_team(txn, &named->who, named->team, RIGHT_READ, &scope);

        if (r == R_OK && !uuid_equal(scope_owner(scope).id, named->team)) return R_DEFECT;
        return r;
}

/* A request that names a team acts there; x-team-id may be sent if it is the same. */
static void test_named_team(void **state)
{
        struct named named = {fixture.as_one, fixture.team};

        (void)state;
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_OK);
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_OK);
        named.who = fixture.as_team;
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_OK);
        named.team = fixture.one;
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_BAD_ARGUMENT);
        named.who.team = fixture.one;
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_NOT_MEMBER);
        named = (struct named){fixture.as_two, fixture.team};
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_NOT_MEMBER);
        named.who.team_claim = CLAIM_MALFORMED;
        assert_int_equal(fixture_view(&fixture, open_team, &named), R_BAD_ARGUMENT);
}

static enum result open_personal(struct txn *txn, void *arg)
{
        const struct scope *scope;
        enum result r = scope_open_personal(txn, arg, &scope);

        if (r == R_OK && !uuid_equal(scope_owner(scope).id, scope_actor(scope))) return R_DEFECT;
        return r;
}

/* What acts as the user takes no x-team-id, not even a good one. */
static void test_personal(void **state)
{
        (void)state;
        assert_int_equal(fixture_view(&fixture, open_personal, &fixture.as_one), R_OK);
        assert_int_equal(fixture_view(&fixture, open_personal, &fixture.as_team), R_BAD_ARGUMENT);
}

struct attempt {
        struct credential *who;
        enum right right;
};

static enum result open_with(struct txn *txn, void *arg)
{
        const struct attempt *attempt = arg;
        const struct scope *scope;

        return scope_open(txn, attempt->who, attempt->right, &scope);
}

/* A role that changes, and a member who comes and goes, are seen by the next run of a view whose table knew better. */
static void test_changes_hold_at_once(void **state)
{
        struct credential who = fixture.as_two;
        struct attempt manage = {&who, RIGHT_MANAGE};
        struct attempt read = {&who, RIGHT_READ};

        (void)state;
        who.team_claim = CLAIM_GIVEN;
        who.team = fixture.team;
        assert_int_equal(fixture_view(&fixture, open_with, &read), R_NOT_MEMBER);
        fixture_add_member(&fixture, fixture.team, fixture.two, ALLOD__V1__ROLE__ROLE_MEMBER);
        assert_int_equal(fixture_view(&fixture, open_with, &read), R_OK);
        assert_int_equal(fixture_view(&fixture, open_with, &manage), R_FORBIDDEN);
        assert_string_equal(fixture.fault.text, "You do not have the MANAGE permission in this team.");
        fixture_add_member(&fixture, fixture.team, fixture.two, ALLOD__V1__ROLE__ROLE_ADMIN);
        assert_int_equal(fixture_view(&fixture, open_with, &manage), R_OK);
        fixture_add_member(&fixture, fixture.team, fixture.two, ALLOD__V1__ROLE__ROLE_MEMBER);
        assert_int_equal(fixture_view(&fixture, open_with, &manage), R_FORBIDDEN);
}

/* ---- Keys that end ---- */

struct edit {
        int64_t expires_at_ms, revoked_at_ms;
        bool deletes_user;
};

static enum result edit_key(struct txn *txn, void *arg)
{
        const struct edit *edit = arg;
        const struct row row = {.kind = ROW_KEY, .id = fixture.two_key};
        const struct scope *scope;
        struct record record;
        store_v1_ApiKey key;
        struct bytes body;
        uint64_t revision;
        enum result r;

        if ((r = scope_open_personal(txn, &fixture.as_two, &scope)) != R_OK) return r;
        if (edit->deletes_user) {
                if ((r = scope_purge_owner(scope)) != R_OK) return r;
                return scope_delete(scope, &(struct row){.kind = ROW_PROFILE});
        }
        if ((r = scope_get(scope, &row, &record)) != R_OK) return r;
        if ((r = message_load(&store_v1_ApiKey_msg, record.body, &key)) != R_OK) return r;
        key.expires_at_ms = edit->expires_at_ms;
        key.revoked_at_ms = edit->revoked_at_ms;
        if ((r = message_store(txn_arena(txn), &store_v1_ApiKey_msg, &key, &body)) != R_OK) return r;
        if ((r = scope_change(scope, CHANGE_UPDATE, &row, &revision)) != R_OK) return r;
        return scope_put(scope, &row, revision, body);
}

/* A key is good until the very millisecond of its expiry, though the view's table knows it. */
static void test_expiry(void **state)
{
        struct edit edit = {.expires_at_ms = FIXTURE_TIME_MS + 1000};

        (void)state;
        assert_int_equal(fixture_update(&fixture, edit_key, &edit), R_OK);
        check(&fixture.as_two, R_OK);
        fixture.time_ms = FIXTURE_TIME_MS + 999;
        check(&fixture.as_two, R_OK);
        fixture.time_ms++;
        check(&fixture.as_two, R_UNAUTHENTICATED);
}

/* A revoked key is none from the next run on. */
static void test_revocation(void **state)
{
        struct edit edit = {.revoked_at_ms = FIXTURE_TIME_MS};

        (void)state;
        check(&fixture.as_two, R_OK);
        assert_int_equal(fixture_update(&fixture, edit_key, &edit), R_OK);
        check(&fixture.as_two, R_UNAUTHENTICATED);
        check(&fixture.as_one, R_OK);
}

/* Nor is the key of a user who is gone. */
static void test_deleted_user(void **state)
{
        struct edit edit = {.deletes_user = true};

        (void)state;
        check(&fixture.as_two, R_OK);
        assert_int_equal(fixture_update(&fixture, edit_key, &edit), R_OK);
        check(&fixture.as_two, R_UNAUTHENTICATED);
        check(&fixture.as_one, R_OK);
}

static enum result delete_team(struct txn *txn, void *arg)
{
        const struct scope *scope;
        enum result r;

        (void)arg;
        if ((r = scope_open_team(txn, &fixture.as_one, fixture.team, RIGHT_OWN, &scope)) != R_OK) return r;
        if ((r = scope_purge_owner(scope)) != R_OK) return r;
        return scope_delete(scope, &(struct row){.kind = ROW_PROFILE});
}

/* A team without a profile has no members, whatever member rows are still to be purged. */
static void test_deleted_team(void **state)
{
        (void)state;
        check(&fixture.as_team, R_OK);
        assert_int_equal(fixture_update(&fixture, delete_team, NULL), R_OK);
        check(&fixture.as_team, R_NOT_MEMBER);
        check(&fixture.as_one, R_OK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order_of_checks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_named_team, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_personal, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_changes_hold_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_revocation, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deleted_user, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_deleted_team, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
