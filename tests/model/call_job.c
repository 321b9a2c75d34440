/*
 * Calls of JobService, and the worker's part.
 */
#include <stdio.h>
#include <string.h>

#include "engine/job.h"
#include "engine/writer.h"
#include "tests/lib/test.h"
#include "tests/lib/work.h"
#include "tests/model/call.h"

WORLD_METHOD(job_run, true);
WORLD_METHOD(job_get, false);
WORLD_METHOD(job_list, false);
WORLD_METHOD(job_cancel, true);

#define QUEUED    ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED
#define RUNNING   ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELED  ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED

static Allod__V1__Job *show(struct game *game, struct call *call, int index, bool is_full)
{
        struct model *model = &game->model;
        struct model_job *job = &model->jobs[index];
        Allod__V1__Job *shown = CALL_NEW(call, Allod__V1__Job, ALLOD__V1__JOB__INIT);

        shown->id = job->name.text;
        shown->app_id = model->apps[job->app].name.text;
        shown->status = job->status;
        if (is_full) {
                shown->input = job->input; /* these two are written once */
                shown->result = job->result;
        }
        shown->created_at = call_time(call, job->created_ms);
        shown->updated_at = call_time(call, job->updated_ms);
        shown->created_by = model->users[job->created_by].name.text;
        shown->etag = job->etag;
        return shown;
}

static void expect_written(struct game *game, struct call *call, int index)
{
        Allod__V1__Job *shown = show(game, call, index, false);

        shown->etag = call_alloc(call, ETAG_TEXT_SIZE);
        call->etag_slot = game->model.jobs[index].etag;
        call->type = &allod__v1__job__descriptor;
        call->reply = &shown->base;
}

bool generate_job_run(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__RunJobRequest *request = CALL_NEW(call, Allod__V1__RunJobRequest, ALLOD__V1__RUN_JOB_REQUEST__INIT);
        struct model_job job = {.status = QUEUED};
        bool has_comma = dice_percent(&game->dice, 30);
        bool is_bad = dice_percent(&game->dice, 3);

        if (model->job_count == JOBS_MAX) return false;
        call->method = &method_job_run;
        call->actor = any_actor(game);
        call->request = &request->base;
        snprintf(job.input, sizeof job.input, "{\"prompt\": \"%u %s\"}", dice_below(&game->dice, 100),
                 canary_of(model, aim(game, &call->actor)));
        request->input = (char *)call_printf(call, "%.*s%s}", (int)strlen(job.input) - 1, job.input,
                                             is_bad      ? ",,"
                                             : has_comma ? ","
                                                         : "");
        call->result = name_app(game, call, MAY_RUN, &request->app_id, &job.app);
        if (is_bad) { /* told before anything is looked up */
                call->result = R_BAD_ARGUMENT;
                call->text = NULL;
        }
        if (call->result != R_OK) return true;
        job.name = call->id;
        job.created_by = model->keys[call->actor.key].user;
        job.created_ms = job.updated_ms = call->time_ms;
        model->jobs[model->job_count] = job;
        model->apps[job.app].has_counters = true;
        expect_written(game, call, model->job_count++);
        return true;
}

/* A job: mostly one in the actor's scope, else any, or nothing. */
static int pick_job(struct game *game, struct call *call)
{
        struct tenant owner = aim(game, &call->actor);
        unsigned tries;
        int job;

        if (game->model.job_count == 0 || dice_percent(&game->dice, 5)) return NONE;
        job = (int)dice_below(&game->dice, (unsigned)game->model.job_count);
        if (dice_percent(&game->dice, 10)) return job;
        for (tries = 0; tries < 100 && !model_app_is_in(&game->model, game->model.jobs[job].app, owner); tries++)
                job = (int)dice_below(&game->dice, (unsigned)game->model.job_count);
        return job;
}

/* The outcome for a call that names some job, mostly under its own app; *index is set on R_OK. */
static enum result name_job(struct game *game, struct call *call, enum model_right right, char **app_id, char **id,
                            int *index)
{
        struct model *model = &game->model;
        int job = pick_job(game, call);
        int app = job == NONE || dice_percent(&game->dice, 10) ? pick_app(game, aim(game, &call->actor))
                                                               : model->jobs[job].app;
        enum result r = name_this_app(game, call, right, app, app_id);

        *id = job == NONE ? (char *)nonsense_id(game, call) : model->jobs[job].name.text;
        if (r != R_OK) return r;
        if (job == NONE || model->jobs[job].app != app) {
                call->text = call_printf(call, "Job with ID '%s' not found for App ID '%s'.", *id, *app_id);
                return R_ABSENT;
        }
        *index = job;
        return R_OK;
}

bool generate_job_get(struct game *game, struct call *call)
{
        Allod__V1__GetJobRequest *request = CALL_NEW(call, Allod__V1__GetJobRequest, ALLOD__V1__GET_JOB_REQUEST__INIT);
        int job;

        call->method = &method_job_get;
        call->actor = any_actor(game);
        call->request = &request->base;
        call->result = name_job(game, call, MAY_READ, &request->app_id, &request->id, &job);
        if (call->result != R_OK) return true;
        call->type = &allod__v1__job__descriptor;
        call->reply = &show(game, call, job, true)->base;
        return true;
}

bool generate_job_list(struct game *game, struct call *call)
{
        Allod__V1__ListJobsRequest *request =
                CALL_NEW(call, Allod__V1__ListJobsRequest, ALLOD__V1__LIST_JOBS_REQUEST__INIT);
        Allod__V1__ListJobsResponse *list =
                CALL_NEW(call, Allod__V1__ListJobsResponse, ALLOD__V1__LIST_JOBS_RESPONSE__INIT);
        int app, i;

        call->method = &method_job_list;
        call->actor = any_actor(game);
        call->request = &request->base;
        request->page_size = (int)dice_below(&game->dice, 5);
        request->status = dice_percent(&game->dice, 50) ? 0 : (int)dice_below(&game->dice, 6);
        request->view = (int)dice_below(&game->dice, 3);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = name_app(game, call, MAY_READ, &request->app_id, &app);
        if (call->result != R_OK) return true;
        list->jobs = call_list(call, (size_t)game->model.job_count);
        for (i = game->model.job_count - 1; i >= 0; i--) {
                const struct model_job *job = &game->model.jobs[i];

                if (job->app != app || (request->status != 0 && job->status != (int)request->status)) continue;
                list->jobs[list->n_jobs++] = show(game, call, i, request->view == ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL);
        }
        call->type = &allod__v1__list_jobs_response__descriptor;
        call->reply = &list->base;
        return true;
}

bool generate_job_cancel(struct game *game, struct call *call)
{
        Allod__V1__CancelJobRequest *request =
                CALL_NEW(call, Allod__V1__CancelJobRequest, ALLOD__V1__CANCEL_JOB_REQUEST__INIT);
        struct model_job *job;
        int index;

        call->method = &method_job_cancel;
        call->actor = any_actor(game);
        call->request = &request->base;
        call->result = name_job(game, call, MAY_RUN, &request->app_id, &request->id, &index);
        if (call->result != R_OK) return true;
        job = &game->model.jobs[index];
        if (job->status == COMPLETED || job->status == FAILED) {
                call->result = R_WRONG_STATE;
                call->text = "Job cannot be canceled because it has already completed.";
                return true;
        }
        if (job->status == CANCELED) { /* the same answer again, with the etag it has by then */
                call->type = &allod__v1__job__descriptor;
                call->reply = &show(game, call, index, false)->base;
                return true;
        }
        job->status = CANCELED;
        job->updated_ms = call->time_ms;
        expect_written(game, call, index);
        return true;
}

/* Somebody who may run jobs in the app's scope. */
static bool find_worker(struct game *game, const struct model_app *app, struct credential *out)
{
        const struct model *model = &game->model;
        int i;

        for (i = 0; i < model->key_count; i++) {
                int user = model->keys[i].user;

                if (!model_key_works(model, i)) continue;
                if (app->owner.is_team ? !model_may(&game->model, app->owner.index, user, MAY_RUN)
                                       : app->owner.index != user)
                        continue;
                *out = (struct credential){.plane = PLANE_PUBLIC, .has_key = true, .peer = "127.0.0.1:50712"};
                memcpy(out->key_digest, model->keys[i].digest, sizeof out->key_digest);
                if (app->owner.is_team) {
                        out->team_claim = CLAIM_GIVEN;
                        out->team = model->teams[app->owner.index].name.id;
                }
                return true;
        }
        return false;
}

bool work_on_job(struct game *game, struct store *store)
{
        struct model *model = &game->model;
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = game->now_ms};
        struct credential who;
        struct work work;
        struct model_job *job;
        enum result r;

        if (model->job_count == 0) return false;
        job = &model->jobs[dice_below(&game->dice, (unsigned)model->job_count)];
        if (!model->apps[job->app].exists || (job->status != QUEUED && job->status != RUNNING)) return false;
        if (!find_worker(game, &model->apps[job->app], &who)) return false;
        work = (struct work){
                .who = &who,
                .app = model->apps[job->app].name.id,
                .job = job->name.id,
                .from = (uint32_t)job->status,
                .to = RUNNING,
        };
        if (job->status == RUNNING) {
                work.to = dice_percent(&game->dice, 60) ? COMPLETED : FAILED;
                snprintf(job->result, sizeof job->result, "[\"%s\"]", canary_of(model, model->apps[job->app].owner));
                work.result = job->result;
        }
        job->status = (int)work.to;
        job->etag[0] = '\0';
        arena_init(&arena, NULL, 1 << 20);
        r = writer_run(store_writer(store), &input, work_run, &work);
        arena_fini(&arena);
        assert_int_equal(r, R_OK);
        return true;
}
