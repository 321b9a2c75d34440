#include "tests/lib/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/admin.h"
#include "engine/apikey.h"
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

void world_close(struct world *world)
{
        static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
        char path[128];
        size_t i;

        view_close(world->view);
        store_close(world->store);
        arena_fini(&world->arena);
        for (i = 0; i < sizeof names / sizeof names[0]; i++) {
                snprintf(path, sizeof path, "%s/%s", world->dir, names[i]);
                unlink(path);
        }
        assert_int_equal(rmdir(world->dir), 0);
}

enum result world_call(struct world *world, const struct world_method *method, const struct credential *who,
                       const void *request)
{
        struct txn_input input = {.arena = &world->arena, .fault = &world->fault};
        struct world_run run = {&world->reply, who, request};
        enum result r;

        arena_fini(&world->arena);
        arena_init(&world->arena, NULL, ARENA_MAX);
        fault_clear(&world->fault);
        if ((r = method->check(request, &world->fault)) != R_OK) return r;
        input.time_ms = store_time_ms(world->store) + world->ahead_ms;
        input.id = world->id = uuid_v7(input.time_ms);
        world->number++;
        memcpy(input.seed, &world->number, sizeof world->number);
        if (method->is_update) {
                r = writer_run(store_writer(world->store), &input, method->run, &run);
        } else {
                view_expire(world->view);
                r = view_run(world->view, &input, method->run, &run);
        }
        if (r == R_OK) assert_int_equal(message_finish(&world->reply), R_OK);
        return r;
}

const void *world_reply(struct world *world, const ProtobufCMessageDescriptor *type)
{
        ProtobufCMessage *reply;

        assert_int_equal(message_unpack(&world->arena, type, message_so_far(&world->reply), &reply), R_OK);
        return reply;
}

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
