#include "tests/lib/fixture.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <allod/v1/team.pb-c.h>

#include "engine/message.h"
#include "engine/scope.h"
#include "store/v1/store.pb.h"
#include "tests/lib/test.h"

static const uint8_t digest_one[API_KEY_DIGEST_SIZE] = {0x11, 0x01};
static const uint8_t digest_two[API_KEY_DIGEST_SIZE] = {0x22, 0x02};

/* One fixture at a time uses it. */
static _Atomic int64_t clock_ms;

static int64_t read_clock(void)
{
        return clock_ms;
}

struct credential fixture_credential(const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        struct credential who = {.plane = PLANE_PUBLIC, .has_key = true, .peer = "127.0.0.1:50000"};

        memcpy(who.key_digest, digest, API_KEY_DIGEST_SIZE);
        return who;
}

static void open_store(struct fixture *fixture)
{
        const struct store_options options = {
                .dir = fixture->dir, .map_size = fixture->map_size, .is_forced = true, .clock_ms = read_clock};
        char why[STORE_WHY_SIZE] = "";

        if (store_open(&options, &fixture->store, NULL, NULL, why) != R_OK) fail_msg("store_open: %s", why);
        assert_int_equal(view_open(fixture->store, &fixture->view), R_OK);
}

static void close_store(struct fixture *fixture)
{
        view_close(fixture->view);
        store_close(fixture->store);
}

void fixture_init(struct fixture *fixture)
{
        const char *root = getenv("TMPDIR");
        char why[STORE_WHY_SIZE] = "";

        *fixture = (struct fixture){.time_ms = FIXTURE_TIME_MS, .map_size = FIXTURE_MAP_SIZE};
        clock_ms = FIXTURE_TIME_MS;
        snprintf(fixture->dir, sizeof fixture->dir, "%s/allod-test-XXXXXX", root == NULL ? "/tmp" : root);
        assert_non_null(mkdtemp(fixture->dir));
        if (store_create(fixture->dir, false, why) != R_OK) fail_msg("store_create: %s", why);
        arena_init(&fixture->arena, NULL, FIXTURE_ARENA_MAX);
        open_store(fixture);

        fixture->as_admin = (struct credential){.plane = PLANE_ADMIN, .peer = "unix:uid=0,pid=1"};
        fixture->one = uuid_v7(FIXTURE_TIME_MS);
        fixture->two = uuid_v7(FIXTURE_TIME_MS);
        fixture->team = uuid_v7(FIXTURE_TIME_MS);
        fixture->one_key = uuid_v7(FIXTURE_TIME_MS);
        fixture->two_key = uuid_v7(FIXTURE_TIME_MS);
        fixture_add_user(fixture, fixture->one, fixture->one_key, digest_one);
        fixture_add_user(fixture, fixture->two, fixture->two_key, digest_two);
        fixture_add_team(fixture, fixture->team);
        fixture_add_member(fixture, fixture->team, fixture->one, ALLOD__V1__ROLE__ROLE_OWNER);
        fixture->as_one = fixture_credential(digest_one);
        fixture->as_two = fixture_credential(digest_two);
        fixture->as_team = fixture->as_one;
        fixture->as_team.team_claim = CLAIM_GIVEN;
        fixture->as_team.team = fixture->team;
}

static void remove_dir(const char *path)
{
        DIR *dir = opendir(path);
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir)) != NULL) {
                if (entry->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        }
        closedir(dir);
        assert_int_equal(rmdir(path), 0);
}

void fixture_fini(struct fixture *fixture)
{
        close_store(fixture);
        arena_fini(&fixture->arena);
        remove_dir(fixture->dir);
}

void fixture_reopen(struct fixture *fixture)
{
        close_store(fixture);
        open_store(fixture);
}

struct txn_input fixture_input(struct fixture *fixture)
{
        clock_ms = fixture->time_ms;
        return (struct txn_input){
                .arena = &fixture->arena,
                .fault = &fixture->fault,
                .time_ms = fixture->time_ms,
                .id = uuid_v7(fixture->time_ms),
        };
}

static void reset_arena(struct fixture *fixture)
{
        arena_fini(&fixture->arena);
        arena_init(&fixture->arena, NULL, FIXTURE_ARENA_MAX);
}

enum result fixture_view(struct fixture *fixture, txn_fn *run, void *arg)
{
        const struct txn_input input = fixture_input(fixture);

        reset_arena(fixture);
        view_expire(fixture->view);
        return view_run(fixture->view, &input, run, arg);
}

enum result fixture_update(struct fixture *fixture, txn_fn *run, void *arg)
{
        const struct txn_input input = fixture_input(fixture);

        reset_arena(fixture);
        return writer_run(store_writer(fixture->store), &input, run, arg);
}

/* ---- Tenants ---- */

struct addition {
        struct fixture *fixture;
        struct owner owner;
        struct uuid id; /* of the key, or the user who becomes a member */
        const uint8_t *digest;
        uint32_t role;
};

/* One primary record with its change row. */
static enum result put(const struct scope *scope, enum change_operation operation, const struct row *row,
                       const pb_msgdesc_t *type, const void *content)
{
        struct bytes body;
        uint64_t revision;
        enum result r;

        if ((r = scope_change(scope, operation, row, &revision)) != R_OK) return r;
        if ((r = message_store(txn_arena(scope_txn(scope)), type, content, &body)) != R_OK) return r;
        return scope_put(scope, row, revision, body);
}

static enum result add_owner(struct txn *txn, void *arg)
{
        const struct addition *addition = arg;
        store_v1_Profile profile = {.created_at_ms = txn_time_ms(txn), .updated_at_ms = txn_time_ms(txn)};
        const struct scope *scope;
        store_v1_ApiKey key = {.created_at_ms = txn_time_ms(txn)};
        enum result r;

        r = scope_admin(txn, &addition->fixture->as_admin, addition->owner, "fixture", &scope);
        if (r != R_OK) return r;
        if (addition->owner.kind == OWNER_TEAM) {
                profile.has_settings = true;
                profile.settings = role_settings_default;
        }
        r = put(scope, CHANGE_CREATE, &(struct row){.kind = ROW_PROFILE}, &store_v1_Profile_msg, &profile);
        if (r != R_OK || addition->digest == NULL) return r;
        key.digest.size = API_KEY_DIGEST_SIZE;
        memcpy(key.digest.bytes, addition->digest, API_KEY_DIGEST_SIZE);
        if ((r = scope_publish_key(scope, addition->digest, addition->id)) != R_OK) return r;
        return put(scope, CHANGE_CREATE, &(struct row){.kind = ROW_KEY, .id = addition->id}, &store_v1_ApiKey_msg,
                   &key);
}

void fixture_add_user(struct fixture *fixture, struct uuid user, struct uuid key,
                      const uint8_t digest[API_KEY_DIGEST_SIZE])
{
        struct addition addition = {fixture, {OWNER_USER, user}, key, digest, 0};

        assert_int_equal(fixture_update(fixture, add_owner, &addition), R_OK);
}

void fixture_add_team(struct fixture *fixture, struct uuid team)
{
        struct addition addition = {.fixture = fixture, .owner = {OWNER_TEAM, team}};

        assert_int_equal(fixture_update(fixture, add_owner, &addition), R_OK);
}

static enum result add_member(struct txn *txn, void *arg)
{
        const struct addition *addition = arg;
        const struct row profile_row = {.kind = ROW_PROFILE};
        const struct row member_row = {.kind = ROW_MEMBER, .id = addition->id};
        const struct row pointer = {.kind = ROW_MEMBERSHIP, .id = addition->owner.id};
        store_v1_Member member = {addition->role, txn_time_ms(txn)};
        store_v1_Member before = {0};
        const struct scope *inbox;
        const struct scope *scope;
        store_v1_Profile profile;
        struct record record;
        enum result r;

        r = scope_admin(txn, &addition->fixture->as_admin, addition->owner, "fixture", &scope);
        if (r != R_OK) return r;
        if ((r = scope_inbox(scope, addition->id, &inbox)) != R_OK) return r;
        if ((r = scope_get(scope, &profile_row, &record)) != R_OK) return r;
        if ((r = message_load(&store_v1_Profile_msg, record.body, &profile)) != R_OK) return r;
        r = scope_get(scope, &member_row, &record);
        if (r == R_OK) r = message_load(&store_v1_Member_msg, record.body, &before);
        if (r != R_OK && r != R_ABSENT) return r;
        profile.member_count += before.role == 0;
        profile.owner_count -= before.role == ALLOD__V1__ROLE__ROLE_OWNER;
        profile.owner_count += member.role == ALLOD__V1__ROLE__ROLE_OWNER;
        if ((r = put(scope, CHANGE_UPDATE, &profile_row, &store_v1_Profile_msg, &profile)) != R_OK) return r;
        if ((r = put(scope, CHANGE_CREATE, &member_row, &store_v1_Member_msg, &member)) != R_OK) return r;
        return scope_put(inbox, &pointer, 0, (struct bytes){0});
}

void fixture_add_member(struct fixture *fixture, struct uuid team, struct uuid user, uint32_t role)
{
        struct addition addition = {fixture, {OWNER_TEAM, team}, user, NULL, role};

        assert_int_equal(fixture_update(fixture, add_member, &addition), R_OK);
}
