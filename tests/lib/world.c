#include "tests/lib/world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/admin.h"
#include "engine/apikey.h"
#include "engine/profile.h"
#include "engine/purge.h"
#include "engine/scope.h"
#include "engine/txn_private.h"
#include "engine/writer.h"
#include "tests/lib/test.h"

/* More than any call of a test needs; the server's own cap is smaller. */
#define ARENA_MAX ((size_t)32 << 20)

WORLD_METHOD(admin_create_user, true);
WORLD_METHOD(admin_import_key, true);
WORLD_METHOD(admin_create_team, true);
WORLD_METHOD(admin_add_member, true);

void world_open(struct world *world)
{
        struct store_options options = {.dir = world->dir, .map_size = (size_t)4 << 30, .is_forced = true};
        char why[STORE_WHY_SIZE] = "";
        enum result r;

        *world = (struct world){.dir = "/tmp/allod-test-XXXXXX", .admin = {.plane = PLANE_ADMIN, .peer = "test"}};
        assert_non_null(mkdtemp(world->dir));
        r = store_create(world->dir, false, why);
        if (r == R_OK) r = store_open(&options, &world->store, NULL, NULL, why);
        if (r != R_OK) fail_msg("%s: %s", result_name(r), why);
        assert_int_equal(view_open(world->store, &world->view), R_OK);
}

static void remove_dir(const char *path)
{
        DIR *dir = opendir(path);
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir)) != NULL)
                (void)unlinkat(dirfd(dir), entry->d_name, 0); /* "." and ".." stay */
        assert_int_equal(closedir(dir), 0);
        assert_int_equal(rmdir(path), 0);
}

void world_close(struct world *world)
{
        world_check(world);
        view_close(world->view);
        store_close(world->store);
        arena_fini(&world->arena);
        remove_dir(world->dir);
}

/* A fresh arena and what the call's run depends on. */
static struct txn_input begin_call(struct world *world)
{
        struct txn_input input = {.arena = &world->arena, .fault = &world->fault};

        arena_fini(&world->arena);
        arena_init(&world->arena, NULL, ARENA_MAX);
        fault_clear(&world->fault);
        input.time_ms = store_time_ms(world->store) + world->ahead_ms;
        input.id = world->id = uuid_v7(input.time_ms);
        world->number++;
        memcpy(input.seed, &world->number, sizeof world->number);
        return input;
}

enum result world_call(struct world *world, const struct world_method *method, const struct credential *who,
                       const void *request)
{
        struct txn_input input = begin_call(world);
        struct world_run run = {&world->reply, who, request};
        enum result r;

        if ((r = method->check(request, &world->fault)) != R_OK) return r;
        if (method->is_update) {
                r = writer_run(store_writer(world->store), &input, method->run, &run);
        } else {
                view_expire(world->view);
                r = view_run(world->view, &input, method->run, &run);
        }
        return r;
}

enum result world_try(struct world *world, const struct world_method *method, const struct credential *who,
                      const void *request)
{
        struct txn_input input;
        struct world_run run = {&world->reply, who, request};
        static struct txn txn; /* too large for a stack */
        enum result r;

        if (!method->is_update) return world_call(world, method, who, request);
        input = begin_call(world);
        if ((r = method->check(request, &world->fault)) != R_OK) return r;
        txn_init(&txn, world->store, true);
        assert_int_equal(txn_begin(&txn), R_OK);
        r = txn_run(&txn, &input, method->run, &run);
        if (r != R_OK && r != R_NO_MEMORY) assert_int_equal(txn.put_count, 0);
        txn_abort(&txn);
        return r;
}

enum result world_update(struct world *world, txn_fn *run, void *arg)
{
        struct txn_input input = begin_call(world);

        return writer_run(store_writer(world->store), &input, run, arg);
}

void world_purge(struct world *world)
{
        struct purge_step step = {.has_more = true};

        while (step.has_more)
                assert_int_equal(world_update(world, purge_run, &step), R_OK);
}

const void *world_reply(struct world *world, const ProtobufCMessageDescriptor *type)
{
        ProtobufCMessage *reply;

        assert_int_equal(message_unpack(&world->arena, type, message_so_far(&world->reply), &reply), R_OK);
        return reply;
}

/* ---- Invariants ---- */

#define PAIRS_MAX 8192

struct pairs {
        struct {
                struct uuid team, user;
        } at[PAIRS_MAX];
        size_t count;
};

struct census {
        struct pairs members, pointers;
        struct pairs users; /* .user alone */
};

static void add_pair(struct pairs *pairs, struct uuid team, struct uuid user)
{
        assert_true(pairs->count < PAIRS_MAX);
        pairs->at[pairs->count].team = team;
        pairs->at[pairs->count++].user = user;
}

static bool has_pair(const struct pairs *pairs, struct uuid team, struct uuid user)
{
        size_t i;

        for (i = 0; i < pairs->count; i++)
                if (uuid_equal(pairs->at[i].team, team) && uuid_equal(pairs->at[i].user, user)) return true;
        return false;
}

static void count_team(const struct scope *team, const struct profile *profile, struct census *census)
{
        const struct row kind = {.kind = ROW_MEMBER};
        SCAN_SCOPE struct scan scan = {0};
        store_v1_Member member;
        struct record record;
        struct row row;
        uint32_t owners = 0, members = 0;

        assert_int_equal(scan_open(team, &kind, NULL, false, &scan), R_OK);
        while (scan_next(&scan, &row, &record) == R_OK) {
                assert_int_equal(message_load(store_v1_Member_fields, record.body, &member), R_OK);
                if (member.role == ALLOD__V1__ROLE__ROLE_OWNER) owners++;
                members++;
                add_pair(&census->members, scope_owner(team).id, row.id);
        }
        assert_int_equal(profile->content.owner_count, owners);
        assert_int_equal(profile->content.member_count, members);
        assert_true(owners > 0);
}

static void count_user(const struct scope *user, struct census *census)
{
        static const struct uuid no_team;
        const struct row kind = {.kind = ROW_MEMBERSHIP};
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        struct row row;

        add_pair(&census->users, no_team, scope_owner(user).id);
        assert_int_equal(scan_open(user, &kind, NULL, false, &scan), R_OK);
        while (scan_next(&scan, &row, &record) == R_OK)
                add_pair(&census->pointers, row.id, scope_owner(user).id);
}

static enum result count_all(struct txn *txn, void *arg)
{
        struct census *census = arg;
        struct scope_walk walk = {0};
        const struct scope *scope;
        struct profile profile;
        enum result r;

        while ((r = scope_each(txn, 0, &walk, &scope)) == R_OK) {
                r = profile_get(scope, &profile);
                if (r == R_ABSENT) continue;
                assert_int_equal(r, R_OK);
                if (walk.owner.kind == OWNER_TEAM)
                        count_team(scope, &profile, census);
                else
                        count_user(scope, census);
        }
        assert_int_equal(r, R_ABSENT);
        return R_OK;
}

void world_check(struct world *world)
{
        static const struct uuid no_team;
        struct census *census = calloc(1, sizeof *census);
        struct txn_input input = begin_call(world);
        size_t i;

        assert_non_null(census);
        view_expire(world->view);
        assert_int_equal(view_run(world->view, &input, count_all, census), R_OK);
        assert_int_equal(census->members.count, census->pointers.count);
        for (i = 0; i < census->members.count; i++) {
                struct uuid team = census->members.at[i].team, user = census->members.at[i].user;

                assert_true(has_pair(&census->pointers, team, user));
                assert_true(has_pair(&census->users, no_team, user));
        }
        free(census);
}

/* ---- People and teams ---- */

static void must_call(struct world *world, const struct world_method *method, const void *request)
{
        enum result r = world_call(world, method, &world->admin, request);

        if (r != R_OK)
                fail_msg("%s: %s %s%s%s", method->name, result_name(r), world->fault.text, world->fault.fields[0].path,
                         world->fault.fields[0].text);
}

void world_add_person(struct world *world, struct person *out)
{
        Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__ImportKeyRequest key = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;
        char secret[64];

        *out = (struct person){.who = {.plane = PLANE_PUBLIC, .has_key = true, .peer = "127.0.0.1:50712"}};
        user.name = (char *)"Somebody";
        must_call(world, &method_admin_create_user, &user);
        out->id = world->id;
        uuid_format(out->id, out->text);

        snprintf(secret, sizeof secret, "secret-of-%s", out->text);
        key.user_id = out->text;
        key.name = (char *)"first";
        key.secret = secret;
        must_call(world, &method_admin_import_key, &key);
        uuid_format(world->id, out->key_text);
        assert_int_equal(apikey_digest(bytes_of_text(secret), out->who.key_digest), R_OK);
}

struct credential world_in_team(const struct credential *who, struct uuid team)
{
        struct credential in_team = *who;

        in_team.team_claim = CLAIM_GIVEN;
        in_team.team = team;
        return in_team;
}

struct uuid world_add_team(struct world *world, const struct person *owner)
{
        Allod__V1__AdminCreateTeamRequest request = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;

        request.name = (char *)"Team";
        request.owner_user_id = (char *)owner->text;
        must_call(world, &method_admin_create_team, &request);
        return world->id;
}

void world_add_member(struct world *world, struct uuid team, const struct person *person, Allod__V1__Role role)
{
        Allod__V1__AddMemberRequest request = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;
        char team_text[UUID_TEXT_LEN + 1];

        uuid_format(team, team_text);
        request.team_id = team_text;
        request.user_id = (char *)person->text;
        request.role = role;
        must_call(world, &method_admin_add_member, &request);
}
