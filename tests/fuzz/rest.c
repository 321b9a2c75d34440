/*
 * A body of REST; the line before it says whose: create, update, run or cancel. What the reader and the engine's check
 * accept is written as JSON, and that, sent back as an update, changes nothing. What they refuse has a sentence.
 */
#include "engine/app.h"
#include "engine/app_fields.h"
#include "engine/document.h"
#include "engine/job.h"
#include "engine/message.h"
#include "engine/require.h"
#include "rpc/reply.h"
#include "rpc/rest_app.h"
#include "rpc/rest_job.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"

#define ARENA_MAX ((size_t)48 << 20) /* a call's */

/* The sentence of REST's error. */
static void require_refusal(struct arena *arena, enum result r, const struct fault *fault)
{
        struct bytes sentence = reply_sentence(arena, r, fault, rest_app_path);

        REQUIRE(r == R_BAD_ARGUMENT && (fault->field_count > 0 || fault->text[0] != '\0'));
        REQUIRE(sentence.len > 0 && judge_text(sentence));
}

static struct bytes write_app(struct arena *arena, const Allod__V1__App *app)
{
        struct json_write json;
        struct bytes text;

        json_write_init(&json, arena, 0);
        rest_app_write(&json, app, true);
        REQUIRE(json_write_finish(&json, &text) == R_OK && judge_json(text, false));
        return text;
}

static struct bytes pack(struct arena *arena, const Allod__V1__App *app)
{
        struct message message;

        message_init(&message, arena, 0);
        message_pack(&message, &app->base);
        REQUIRE(message_finish(&message) == R_OK);
        return message_so_far(&message);
}

/* Like app.c's: tools in stored form. */
static void store(struct arena *arena, Allod__V1__App *app)
{
        if (app->workflow->tools[0] != '\0') app->workflow->tools = document_copy(arena, app->workflow->tools);
}

/* Change `app` by a body. */
static enum result update(struct arena *arena, struct bytes body, Allod__V1__App *app, struct fault *fault)
{
        Allod__V1__UpdateAppRequest request = ALLOD__V1__UPDATE_APP_REQUEST__INIT;
        Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        struct app_patch patch;
        enum result r;

        request.update_mask = &mask;
        if ((r = rest_app_read(arena, body, &mask, fault, &request.app)) != R_OK) return r;
        if ((r = app_update_check(&request, fault)) != R_OK) return r;
        app_patch_read(&request, &patch);
        return app_patch_apply(arena, &patch, app, fault);
}

static enum result run_create(struct arena *arena, struct bytes body, struct fault *fault)
{
        Allod__V1__CreateAppRequest request = ALLOD__V1__CREATE_APP_REQUEST__INIT;
        struct bytes before;
        enum result r;

        if ((r = rest_app_read(arena, body, NULL, fault, &request.app)) != R_OK) return r;
        if ((r = app_create_check(&request, fault)) != R_OK) return r;
        store(arena, request.app);
        request.app->status = request.app->configuration->active_workers == 0
                                      ? ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
                                      : ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING;
        before = pack(arena, request.app);
        REQUIRE(update(arena, write_app(arena, request.app), request.app, fault) == R_OK);
        REQUIRE(bytes_equal(before, pack(arena, request.app)));
        return R_OK;
}

static enum result run_update(struct arena *arena, struct bytes body, struct fault *fault)
{
        static const char *const created =
                "{\"name\":\"a\",\"configuration\":{\"gpu_tier\":\"BASIC\",\"location\":\"here\"},"
                "\"workflow\":{\"model_url\":\"http://m\",\"tools\":{\"x\":{\"y\":[1,2]},\"loras\":["
                "{\"id\":\"1\",\"versionId\":\"2\",\"downloadUrl\":\"http://l\",\"name\":\"n\",\"weight\":0.5},"
                "{\"id\":\"2\",\"versionId\":\"2\",\"downloadUrl\":\"http://l\",\"name\":\"n\",\"weight\":1}]}}}";
        Allod__V1__App *app;
        struct bytes before;
        enum result r;

        REQUIRE(rest_app_read(arena, bytes_of_text(created), NULL, fault, &app) == R_OK);
        app->status = ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED;
        if ((r = update(arena, body, app, fault)) != R_OK) return r;
        before = pack(arena, app);
        REQUIRE(update(arena, write_app(arena, app), app, fault) == R_OK);
        REQUIRE(bytes_equal(before, pack(arena, app)));
        return R_OK;
}

static enum result run_job(struct arena *arena, struct bytes body, struct fault *fault)
{
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;
        Allod__V1__Job job = ALLOD__V1__JOB__INIT;
        struct json_write json;
        struct bytes text;
        enum result r;

        if ((r = rest_job_read(arena, body, fault, &request.input)) != R_OK) return r;
        if ((r = job_run_check(&request, fault)) != R_OK) return r;
        job.input = document_copy(arena, request.input);
        json_write_init(&json, arena, 0);
        rest_job_write(&json, &job);
        REQUIRE(json_write_finish(&json, &text) == R_OK && judge_json(text, false));
        return R_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes body = bytes_of(data, len);
        struct bytes name = fuzz_until(&body, BYTES("\n"));
        struct arena arena;
        struct fault fault;
        enum result r;

        arena_init(&arena, NULL, ARENA_MAX);
        fault_clear(&fault);
        if (bytes_equal(name, BYTES("create")))
                r = run_create(&arena, body, &fault);
        else if (bytes_equal(name, BYTES("update")))
                r = run_update(&arena, body, &fault);
        else if (bytes_equal(name, BYTES("run")))
                r = run_job(&arena, body, &fault);
        else
                r = rest_job_read_nothing(&arena, body, &fault);
        if (r != R_OK) require_refusal(&arena, r, &fault);
        arena_fini(&arena);
        return 0;
}
