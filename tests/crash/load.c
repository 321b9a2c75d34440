#include "tests/crash/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <allod/v1/admin.pb-c.h>
#include <allod/v1/key.pb-c.h>
#include <google/protobuf/empty.pb-c.h>

#include "engine/message.h"
#include "tests/crash/child.h"
#include "tests/lib/test.h"

#define ARENA_MAX      ((size_t)16 << 20)
#define FAILURES_SAID  20
#define FILL_CALLS     52 /* open at a time; a divisor of JOBS_HEAVY_MIN */
#define FILL_ARENA_MAX ((size_t)64 << 20)
#define CODE_OK        0
#define UNAVAILABLE    14

void load_failed(struct load *load, const char *format, ...)
{
        va_list arguments;
        char text[512];

        if (atomic_fetch_add(&load->failures, 1) >= FAILURES_SAID) return;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        fprintf(stderr, "%s\n", text);
}

void load_init(struct load *load, uint64_t seed)
{
        unsigned i;

        memset(load, 0, sizeof *load);
        load->thread_count = LOAD_THREADS;
        load->lane_count = LOAD_SLOTS;
        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++) {
                struct load_thread *thread = &load->threads[i / LOAD_SLOTS];

                thread->load = load;
                assert_true(slot_init(&thread->lanes[i % LOAD_SLOTS].slot, i, seed * 1000 + i));
        }
}

void load_fini(struct load *load)
{
        unsigned i;

        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++)
                slot_fini(load_slot(load, i));
}

struct slot *load_slot(struct load *load, unsigned index)
{
        return &load->threads[index / LOAD_SLOTS].lanes[index % LOAD_SLOTS].slot;
}

static void note(struct load *load, const struct slot *slot, bool is_done, const char *id, const char *secret)
{
        if (load->note_cb != NULL) load->note_cb(load->context, slot, is_done, id, secret);
}

static void done(struct load *load, struct slot *slot, const char *id, const char *secret)
{
        note(load, slot, true, id, secret);
        slot_done(slot, id, secret);
}

void load_set_address(struct load *load, const char *address, const char *admin_path)
{
        snprintf(load->address, sizeof load->address, "%s", address);
        snprintf(load->admin, sizeof load->admin, "unix:%s", admin_path);
}

/* ---- Calls ---- */

struct client *load_connect(const char *address)
{
        char why[CLIENT_WHY_SIZE];
        struct client *client;

        if (client_open(address, CHILD_PATIENCE_MS, &client, why) != R_OK) fail_msg("%s", why);
        return client;
}

static size_t metadata_of(const struct way *way, struct field out[2])
{
        size_t count = 0;

        if (way == NULL) return 0;
        out[count++] = (struct field){BYTES("x-api-key"), bytes_of_text(way->secret)};
        if (way->team_id[0] != '\0') out[count++] = (struct field){BYTES("x-team-id"), bytes_of_text(way->team_id)};
        return count;
}

static struct bytes encode(struct arena *arena, const ProtobufCMessage *request)
{
        size_t size = protobuf_c_message_get_packed_size(request);
        uint8_t *data = arena_alloc(arena, size);

        assert_non_null(data);
        protobuf_c_message_pack(request, data);
        return bytes_of(data, size);
}

uint32_t load_ask(struct client *client, const char *path, const struct way *way, const ProtobufCMessage *request,
                  const ProtobufCMessageDescriptor *type, struct arena *arena, const ProtobufCMessage **reply)
{
        struct field metadata[2];
        size_t count = metadata_of(way, metadata);
        struct client_status status;
        ProtobufCMessage *message;
        struct bytes body;
        enum result r;

        r = client_unary(client, path, metadata, count, encode(arena, request), CHILD_PATIENCE_MS, arena, &status,
                         &body);
        if (r != R_OK) fail_msg("%s: %s %s", path, result_name(r), client_why(client));
        if (status.code != CODE_OK) return status.code;
        assert_int_equal(message_unpack(arena, type, body, &message), R_OK);
        *reply = message;
        return CODE_OK;
}

static void must_ask(struct client *client, const char *path, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *type)
{
        const ProtobufCMessage *reply;
        struct arena arena;

        arena_init(&arena, NULL, ARENA_MAX);
        assert_int_equal(load_ask(client, path, NULL, request, type, &arena, &reply), CODE_OK);
        arena_fini(&arena);
}

static void add_tenant(struct client *client, const char *id, const char *secret)
{
        Allod__V1__CreateUserRequest user = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__ImportKeyRequest key = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;

        user.id = (char *)id;
        must_ask(client, "/allod.v1.AdminService/CreateUser", &user.base, &allod__v1__user__descriptor);
        key.user_id = (char *)id;
        key.name = (char *)"tenant";
        key.secret = (char *)secret;
        must_ask(client, "/allod.v1.AdminService/ImportKey", &key.base, &allod__v1__import_key_response__descriptor);
}

void load_setup(struct load *load)
{
        Allod__V1__AdminCreateTeamRequest team = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;
        Allod__V1__AddMemberRequest member = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;
        struct client *client = load_connect(load->admin);

        add_tenant(client, USER_ONE, SECRET_ONE);
        add_tenant(client, USER_TWO, SECRET_TWO);
        team.id = (char *)TEAM_BOTH;
        team.name = (char *)"Team";
        team.owner_user_id = (char *)USER_ONE;
        must_ask(client, "/allod.v1.AdminService/AdminCreateTeam", &team.base, &allod__v1__team__descriptor);
        member.team_id = (char *)TEAM_BOTH;
        member.user_id = (char *)USER_TWO;
        member.role = ALLOD__V1__ROLE__ROLE_ADMIN;
        must_ask(client, "/allod.v1.AdminService/AddMember", &member.base, &allod__v1__member__descriptor);
        client_close(client);
}

/* ---- What an operation is on the wire ---- */

struct request {
        const char *path;
        struct way way; /* secret "": the admin listener */
        struct bytes body;
};

static void build_app(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        const struct model_app *app = &slot->apps[op->app];
        Allod__V1__CreateAppRequest create = ALLOD__V1__CREATE_APP_REQUEST__INIT;
        Allod__V1__UpdateAppRequest update = ALLOD__V1__UPDATE_APP_REQUEST__INIT;
        Allod__V1__DeleteAppRequest gone = ALLOD__V1__DELETE_APP_REQUEST__INIT;
        Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        char *paths[] = {(char *)"description", (char *)"configuration.active_workers"};

        if (op->kind == OP_CREATE_APP) {
                out->path = "/allod.v1.AppService/CreateApp";
                out->way = slot_way(slot, op->ground);
                create.app = slot_app(slot, op->number, 0, arena);
                assert_non_null(create.app);
                out->body = encode(arena, &create.base);
        } else if (op->kind == OP_UPDATE_APP) {
                out->path = "/allod.v1.AppService/UpdateApp";
                update.app = slot_app(slot, app->number, op->version, arena);
                assert_non_null(update.app);
                update.app->id = (char *)app->id;
                mask.paths = paths;
                mask.n_paths = 2;
                update.update_mask = &mask;
                out->body = encode(arena, &update.base);
        } else {
                out->path = "/allod.v1.AppService/DeleteApp";
                gone.id = (char *)app->id;
                out->body = encode(arena, &gone.base);
        }
}

static void build_job(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        const struct model_app *app = &slot->apps[op->app];
        Allod__V1__RunJobRequest run = ALLOD__V1__RUN_JOB_REQUEST__INIT;
        Allod__V1__CancelJobRequest cancel = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;

        if (op->kind == OP_RUN_JOB) {
                out->path = "/allod.v1.JobService/RunJob";
                run.app_id = (char *)app->id;
                run.input = arena_alloc(arena, INPUT_SIZE);
                assert_non_null(run.input);
                slot_input(slot, op->number, run.input);
                out->body = encode(arena, &run.base);
        } else {
                out->path = "/allod.v1.JobService/CancelJob";
                cancel.app_id = (char *)app->id;
                cancel.id = (char *)app->jobs[op->job].id;
                out->body = encode(arena, &cancel.base);
        }
}

static void build_key(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        Allod__V1__CreateKeyRequest create = ALLOD__V1__CREATE_KEY_REQUEST__INIT;
        Allod__V1__RevokeKeyRequest revoke = ALLOD__V1__REVOKE_KEY_REQUEST__INIT;
        char name[SECRET_SIZE];

        out->way = slot_way(slot, GROUND_SHARED);
        out->way.team_id[0] = '\0';
        if (op->kind == OP_CREATE_KEY) {
                out->path = "/allod.v1.KeyService/CreateKey";
                slot_key_name(slot, op->number, name);
                create.name = name;
                out->body = encode(arena, &create.base);
        } else {
                out->path = "/allod.v1.KeyService/RevokeKey";
                revoke.id = (char *)slot->keys[op->key].id;
                out->body = encode(arena, &revoke.base);
        }
}

static void build_user(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        Allod__V1__CreateUserRequest create = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__ImportKeyRequest import = ALLOD__V1__IMPORT_KEY_REQUEST__INIT;
        Allod__V1__DeleteUserRequest gone = ALLOD__V1__DELETE_USER_REQUEST__INIT;
        struct way own = slot_own_way(slot, op->kind == OP_CREATE_USER ? op->number : slot->user_number);

        if (op->kind == OP_CREATE_USER) {
                out->path = "/allod.v1.AdminService/CreateUser";
                create.id = own.user_id;
                create.name = own.secret;
                out->body = encode(arena, &create.base);
        } else if (op->kind == OP_IMPORT_KEY) {
                out->path = "/allod.v1.AdminService/ImportKey";
                import.user_id = own.user_id;
                import.name = (char *)"own";
                import.secret = own.secret;
                out->body = encode(arena, &import.base);
        } else {
                out->path = "/allod.v1.AdminService/DeleteUser";
                gone.id = own.user_id;
                out->body = encode(arena, &gone.base);
        }
}

static void build_team(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        Allod__V1__AdminCreateTeamRequest create = ALLOD__V1__ADMIN_CREATE_TEAM_REQUEST__INIT;
        Allod__V1__AdminDeleteTeamRequest gone = ALLOD__V1__ADMIN_DELETE_TEAM_REQUEST__INIT;
        struct way own = slot_own_way(slot, slot->user_number);

        slot_team_id(slot, op->kind == OP_CREATE_TEAM ? op->number : slot->team_number, own.team_id);
        if (op->kind == OP_CREATE_TEAM) {
                out->path = "/allod.v1.AdminService/AdminCreateTeam";
                create.id = own.team_id;
                create.name = own.secret;
                create.owner_user_id = own.user_id;
                out->body = encode(arena, &create.base);
        } else {
                out->path = "/allod.v1.AdminService/AdminDeleteTeam";
                gone.id = own.team_id;
                out->body = encode(arena, &gone.base);
        }
}

static void build_member(const struct slot *slot, struct arena *arena, struct request *out)
{
        const struct op *op = &slot->op;
        Allod__V1__AddMemberRequest add = ALLOD__V1__ADD_MEMBER_REQUEST__INIT;
        Allod__V1__UpdateMemberRequest update = ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT;
        Allod__V1__RemoveMemberRequest gone = ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT;
        struct way own = slot_own_way(slot, slot->user_number);

        /* The requests of AdminService have the same fields with the same numbers. */
        if (op->kind != OP_ADD_MEMBER && op->is_by_owner)
                snprintf(out->way.secret, sizeof out->way.secret, "%s", SECRET_ONE);
        if (op->kind == OP_ADD_MEMBER) {
                out->path = "/allod.v1.AdminService/AddMember";
                add.team_id = (char *)TEAM_BOTH;
                add.user_id = own.user_id;
                add.role = (Allod__V1__Role)op->role;
                out->body = encode(arena, &add.base);
        } else if (op->kind == OP_SET_ROLE) {
                out->path =
                        op->is_by_owner ? "/allod.v1.TeamService/UpdateMember" : "/allod.v1.AdminService/SetMemberRole";
                update.team_id = (char *)TEAM_BOTH;
                update.user_id = own.user_id;
                update.role = (Allod__V1__Role)op->role;
                out->body = encode(arena, &update.base);
        } else {
                out->path = op->is_by_owner ? "/allod.v1.TeamService/RemoveMember"
                                            : "/allod.v1.AdminService/AdminRemoveMember";
                gone.team_id = (char *)TEAM_BOTH;
                gone.user_id = own.user_id;
                out->body = encode(arena, &gone.base);
        }
}

static struct request build(const struct slot *slot, struct arena *arena)
{
        const struct op *op = &slot->op;
        struct request out = {.way = {.secret = ""}};

        if (op->kind <= OP_CANCEL_JOB) out.way = slot_way(slot, slot->apps[op->app].ground);
        if (op->kind <= OP_DELETE_APP)
                build_app(slot, arena, &out);
        else if (op->kind <= OP_CANCEL_JOB)
                build_job(slot, arena, &out);
        else if (op->kind <= OP_REVOKE_KEY)
                build_key(slot, arena, &out);
        else if (op->kind <= OP_DELETE_USER)
                build_user(slot, arena, &out);
        else if (op->kind <= OP_DELETE_TEAM)
                build_team(slot, arena, &out);
        else
                build_member(slot, arena, &out);
        return out;
}

/* ---- Large apps, made in few round trips ---- */

static struct client_call *must_send(struct client *client, const struct slot *slot, struct arena *arena)
{
        struct request request = build(slot, arena);
        struct field metadata[2];
        size_t count = metadata_of(&request.way, metadata);
        struct client_call *call;

        assert_int_equal(client_start(client, request.path, metadata, count, CHILD_PATIENCE_MS, arena, &call), R_OK);
        assert_int_equal(client_send(call, request.body, true), R_OK);
        return call;
}

static const ProtobufCMessage *must_receive(struct client_call *call, const ProtobufCMessageDescriptor *type,
                                            struct arena *arena)
{
        struct client_status status;
        struct bytes body, extra;
        ProtobufCMessage *reply;

        assert_int_equal(client_receive(call, &body, &status), R_OK);
        assert_int_equal(client_receive(call, &extra, &status), R_ABSENT);
        assert_int_equal(status.code, CODE_OK);
        assert_int_equal(message_unpack(arena, type, body, &reply), R_OK);
        client_finish(call);
        return reply;
}

static void fill_jobs(struct load *load, struct client *client, struct slot *slot, struct arena *arena)
{
        struct client_call *calls[FILL_CALLS];
        struct op ops[FILL_CALLS];
        unsigned i;

        for (i = 0; i < FILL_CALLS; i++) {
                ops[i] = slot->op = (struct op){.kind = OP_RUN_JOB, .number = slot->next_number++};
                calls[i] = must_send(client, slot, arena);
        }
        for (i = 0; i < FILL_CALLS; i++) {
                slot->op = ops[i];
                done(load, slot,
                     ((const Allod__V1__Job *)must_receive(calls[i], &allod__v1__job__descriptor, arena))->id, NULL);
        }
}

static void fill_slot(struct load *load, struct slot *slot)
{
        struct client *client = load_connect(load->address);
        struct arena arena;
        struct client_call *call;

        arena_init(&arena, NULL, FILL_ARENA_MAX);
        slot->op = (struct op){.kind = OP_CREATE_APP, .number = slot->next_number++};
        call = must_send(client, slot, &arena);
        done(load, slot, ((const Allod__V1__App *)must_receive(call, &allod__v1__app__descriptor, &arena))->id, NULL);
        while (slot->apps[0].job_count < JOBS_HEAVY_MIN)
                fill_jobs(load, client, slot, &arena);
        client_close(client);
        arena_fini(&arena);
}

void load_fill(struct load *load)
{
        unsigned i;

        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++) {
                struct slot *slot = load_slot(load, i);

                if (slot->is_heavy && !slot->apps[0].is_live) {
                        fill_slot(load, slot);
                        return;
                }
        }
}

/* ---- A thread ---- */

/* What was sent is open until its answer is there, however sending it went. */
static void send_next(struct load_thread *thread, struct lane *lane)
{
        struct field metadata[2];
        struct request request;
        struct client *client;
        size_t count;

        slot_choose(&lane->slot);
        arena_fini(&lane->arena);
        arena_init(&lane->arena, NULL, ARENA_MAX);
        request = build(&lane->slot, &lane->arena);
        client = request.way.secret[0] == '\0' ? thread->admin : thread->public;
        count = request.way.secret[0] == '\0' ? 0 : metadata_of(&request.way, metadata);
        thread->sent++;
        note(thread->load, &lane->slot, false, NULL, NULL);
        if (client_start(client, request.path, metadata, count, CHILD_PATIENCE_MS, &lane->arena, &lane->call) != R_OK) {
                lane->call = NULL;
                thread->is_ending = true;
                return;
        }
        if (client_send(lane->call, request.body, true) != R_OK) thread->is_ending = true;
}

static void acknowledge(struct load_thread *thread, struct lane *lane, struct bytes body)
{
        const ProtobufCMessageDescriptor *type = NULL;
        enum op_kind kind = lane->slot.op.kind;
        ProtobufCMessage *reply;
        const char *id = NULL, *secret = NULL;

        if (kind == OP_CREATE_APP) type = &allod__v1__app__descriptor;
        if (kind == OP_RUN_JOB) type = &allod__v1__job__descriptor;
        if (kind == OP_CREATE_KEY) type = &allod__v1__create_key_response__descriptor;
        if (type != NULL && message_unpack(&lane->arena, type, body, &reply) != R_OK) {
                load_failed(thread->load, "slot %u: the answer to %s does not decode", lane->slot.index,
                            op_names[kind]);
                type = NULL;
        }
        if (type != NULL && kind == OP_CREATE_APP) id = ((const Allod__V1__App *)reply)->id;
        if (type != NULL && kind == OP_RUN_JOB) id = ((const Allod__V1__Job *)reply)->id;
        if (type != NULL && kind == OP_CREATE_KEY) {
                id = ((const Allod__V1__CreateKeyResponse *)reply)->key->id;
                secret = ((const Allod__V1__CreateKeyResponse *)reply)->secret;
        }
        done(thread->load, &lane->slot, id, secret);
        thread->acknowledged++;
}

/* An answer that says no. */
static void refuse(struct load_thread *thread, struct lane *lane, const struct client_status *status)
{
        if (status->code == UNAVAILABLE && atomic_load(&thread->load->may_refuse)) {
                thread->refused++;
                thread->is_ending = true;
        } else {
                load_failed(thread->load, "slot %u: %s was answered with code %u: %.*s", lane->slot.index,
                            op_names[lane->slot.op.kind], status->code, (int)status->message.len,
                            (const char *)status->message.data);
        }
        slot_undone(&lane->slot);
}

/* Wait for the answer of a lane's call; without one, the slot's operation stays open. */
static void receive(struct load_thread *thread, struct lane *lane)
{
        struct client_status status;
        struct bytes body = {0}, extra;
        enum result r;

        if (lane->call == NULL) return;
        r = client_receive(lane->call, &body, &status);
        if (r == R_OK) r = client_receive(lane->call, &extra, &status);
        if (r == R_ABSENT && status.code == CODE_OK)
                acknowledge(thread, lane, body);
        else if (r == R_ABSENT)
                refuse(thread, lane, &status);
        else
                thread->is_ending = true;
        client_finish(lane->call);
        lane->call = NULL;
}

static bool goes_on(const struct load_thread *thread)
{
        const struct load *load = thread->load;

        return !thread->is_ending && !atomic_load(&load->is_stopping) &&
               (load->calls_max == 0 || thread->sent < load->calls_max);
}

static void *run(void *arg)
{
        struct load_thread *thread = arg;
        unsigned i, lane_count = thread->load->lane_count;

        for (i = 0; i < lane_count && !thread->is_ending; i++)
                send_next(thread, &thread->lanes[i]);
        while (goes_on(thread)) {
                for (i = 0; i < lane_count; i++) {
                        receive(thread, &thread->lanes[i]);
                        if (!thread->is_ending) send_next(thread, &thread->lanes[i]);
                }
        }
        for (i = 0; i < lane_count; i++) {
                receive(thread, &thread->lanes[i]);
                if (thread->lanes[i].slot.op.kind != OP_NONE) thread->open++;
                arena_fini(&thread->lanes[i].arena);
        }
        /* At once: a server that drains waits for its connections. */
        client_close(thread->public);
        client_close(thread->admin);
        return NULL;
}

void load_start(struct load *load)
{
        unsigned i;

        atomic_store(&load->is_stopping, false);
        for (i = 0; i < load->thread_count; i++) {
                struct load_thread *thread = &load->threads[i];

                thread->is_ending = false;
                thread->sent = thread->acknowledged = thread->refused = thread->open = 0;
                thread->public = load_connect(load->address);
                thread->admin = load_connect(load->admin);
                assert_int_equal(pthread_create(&thread->thread, NULL, run, thread), 0);
        }
}

void load_join(struct load *load)
{
        unsigned i;

        for (i = 0; i < load->thread_count; i++) {
                struct load_thread *thread = &load->threads[i];

                pthread_join(thread->thread, NULL);
                load->sent += thread->sent;
                load->acknowledged += thread->acknowledged;
                load->refused += thread->refused;
                load->open += thread->open;
        }
}
