#include "tests/lib/tenants.h"

#include <string.h>

#include "engine/app.h"
#include "engine/job.h"
#include "engine/scope.h"
#include "engine/writer.h"
#include "tests/lib/test.h"

WORLD_METHOD(app_create, true);
WORLD_METHOD(app_get, false);
WORLD_METHOD(app_update, true);
WORLD_METHOD(app_delete, true);
WORLD_METHOD(job_run, true);

struct world world;
struct person ann, bob, cleo;
struct credential ann_in_team, cleo_in_team, bob_in_team;

int tenants_set_up(void **state)
{
        struct uuid team;

        (void)state;
        world_open(&world);
        world_add_person(&world, &ann);
        world_add_person(&world, &bob);
        world_add_person(&world, &cleo);
        team = world_add_team(&world, &ann);
        world_add_member(&world, team, &cleo, ALLOD__V1__ROLE__ROLE_MEMBER);
        ann_in_team = world_in_team(&ann.who, team);
        cleo_in_team = world_in_team(&cleo.who, team);
        bob_in_team = world_in_team(&bob.who, team);
        return 0;
}

int tenants_tear_down(void **state)
{
        (void)state;
        world_close(&world);
        return 0;
}

/* ---- Requests ---- */

void sample_init(struct sample *sample)
{
        *sample = (struct sample){
                .app = ALLOD__V1__APP__INIT,
                .configuration = ALLOD__V1__CONFIGURATION__INIT,
                .workflow = ALLOD__V1__WORKFLOW__INIT,
                .loras = {ALLOD__V1__LORA__INIT, ALLOD__V1__LORA__INIT},
                .create = ALLOD__V1__CREATE_APP_REQUEST__INIT,
        };
        sample->app.name = (char *)"An app";
        sample->app.description = (char *)"What it is for";
        sample->app.configuration = &sample->configuration;
        sample->app.workflow = &sample->workflow;
        sample->configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        sample->configuration.active_workers = 2;
        sample->configuration.location = (char *)"eu-west";
        sample->workflow.model_url = (char *)"https://example.org/model";
        sample->workflow.loras = sample->lora_list;
        sample->workflow.n_loras = 2;
        sample->workflow.tools = (char *)"{\"seed\": 7, \"upscale\":{\"by\":2.0},}";
        sample->lora_list[0] = &sample->loras[0];
        sample->lora_list[1] = &sample->loras[1];
        sample->loras[0].id = (char *)"l0";
        sample->loras[1].id = (char *)"l1";
        sample->loras[0].version_id = sample->loras[1].version_id = (char *)"v1";
        sample->loras[0].download_url = sample->loras[1].download_url = (char *)"https://example.org/lora";
        sample->loras[0].name = sample->loras[1].name = (char *)"A lora";
        sample->loras[0].weight = 0.5;
        sample->loras[1].weight = -1;
        sample->create.app = &sample->app;
}

const Allod__V1__App *replied_app(void)
{
        return world_reply(&world, &allod__v1__app__descriptor);
}

struct id created_id(void)
{
        struct id id = {.uuid = world.id};

        uuid_format(id.uuid, id.text);
        return id;
}

struct id create_app(const struct credential *who)
{
        struct sample sample;

        sample_init(&sample);
        assert_int_equal(world_call(&world, &method_app_create, who, &sample.create), R_OK);
        return created_id();
}

enum result get_app(const struct credential *who, const char *id)
{
        Allod__V1__GetAppRequest request = ALLOD__V1__GET_APP_REQUEST__INIT;

        request.id = (char *)id;
        return world_call(&world, &method_app_get, who, &request);
}

enum result delete_app(const struct credential *who, const char *id, const char *etag)
{
        Allod__V1__DeleteAppRequest request = ALLOD__V1__DELETE_APP_REQUEST__INIT;

        request.id = (char *)id;
        request.etag = (char *)etag;
        return world_call(&world, &method_app_delete, who, &request);
}

enum result run_job(const struct credential *who, const char *app, const char *input)
{
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;

        request.app_id = (char *)app;
        request.input = (char *)input;
        return world_call(&world, &method_job_run, who, &request);
}

enum result update_app(const struct credential *who, const char *id, Allod__V1__App *app, const char *const *mask)
{
        Allod__V1__UpdateAppRequest request = ALLOD__V1__UPDATE_APP_REQUEST__INIT;
        Google__Protobuf__FieldMask paths = GOOGLE__PROTOBUF__FIELD_MASK__INIT;

        app->id = (char *)id;
        request.app = app;
        if (mask != NULL) {
                paths.paths = (char **)mask;
                while (mask[paths.n_paths] != NULL)
                        paths.n_paths++;
                request.update_mask = &paths;
        }
        return world_call(&world, &method_app_update, who, &request);
}

void assert_complaint(const char *path, const char *text)
{
        assert_int_equal(world.fault.field_count, 1);
        assert_string_equal(world.fault.fields[0].path, path);
        if (text != NULL) assert_string_equal(world.fault.fields[0].text, text);
}

/* ---- Behind the methods' back ---- */

/* Run in a snapshot or on the writer, with memory of its own. */
static void run(bool is_write, txn_fn *function, void *arg)
{
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = store_time_ms(world.store)};
        enum result r;

        arena_init(&arena, NULL, 1 << 20);
        view_expire(world.view);
        r = is_write ? writer_run(store_writer(world.store), &input, function, arg)
                     : view_run(world.view, &input, function, arg);
        assert_int_equal(r, R_OK);
        arena_fini(&arena);
}

void tenants_write(txn_fn *function, void *arg)
{
        run(true, function, arg);
}

static enum result run_peek(struct txn *txn, void *arg)
{
        struct peek *peek = arg;
        const struct scope *scope;
        struct record record;
        enum result r;

        if ((r = scope_open(txn, peek->who, RIGHT_READ, &scope)) != R_OK) return r;
        if (!row_kind_has_value(peek->row.kind)) {
                peek->found = scope_exists(scope, &peek->row);
                return R_OK;
        }
        peek->found = scope_get(scope, &peek->row, &record);
        if (peek->found != R_OK) return R_OK;
        assert_true(record.body.len <= sizeof peek->body);
        memcpy(peek->body, record.body.data, record.body.len);
        peek->len = record.body.len;
        return R_OK;
}

void peek(struct peek *peek)
{
        run(false, run_peek, peek);
}

struct poke {
        const struct peek *at;
        struct bytes body;
};

static enum result run_poke(struct txn *txn, void *arg)
{
        const struct poke *poke = arg;
        const struct row app = {.kind = ROW_APP, .app = poke->at->row.app};
        const struct scope *scope;
        uint64_t revision;
        enum result r;

        if ((r = scope_open(txn, poke->at->who, RIGHT_EDIT, &scope)) != R_OK) return r;
        if ((r = scope_change(scope, CHANGE_UPDATE, &app, &revision)) != R_OK) return r;
        return scope_put(scope, &poke->at->row, revision, poke->body);
}

void poke(const struct peek *peek, struct bytes body)
{
        struct poke poke = {peek, body};

        run(true, run_poke, &poke);
}

static enum result run_count(struct txn *txn, void *arg)
{
        store_stat(txn, arg);
        return R_OK;
}

uint64_t count_records(void)
{
        struct store_stat stat;

        run(false, run_count, &stat);
        return stat.records;
}

uint32_t fields_of(const uint8_t *data, size_t len)
{
        const uint8_t *end = data + len;
        uint32_t fields = 0;

        while (data < end) {
                unsigned tag = *data++;
                size_t size = 0;
                unsigned shift;

                assert_true(tag < 0x80 && (tag >> 3) < 16);
                fields |= 1u << (tag >> 3);
                for (shift = 0; (tag & 7) != 1; shift += 7) {
                        size |= (size_t)(*data & 0x7f) << shift;
                        if (*data++ < 0x80) break;
                }
                data += (tag & 7) == 2 ? size : (tag & 7) == 1 ? 8 : 0;
        }
        assert_ptr_equal(data, end);
        return fields;
}

uint32_t field_bit(const ProtobufCMessageDescriptor *type, const char *name)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(type, name);

        assert_non_null(field);
        return 1u << field->id;
}
