/*
 * Calls of AppService.
 */
#include <stdio.h>
#include <string.h>

#include <allod/v1/job.pb-c.h>

#include "engine/app.h"
#include "tests/lib/test.h"
#include "tests/model/call.h"

WORLD_METHOD(app_create, true);
WORLD_METHOD(app_get, false);
WORLD_METHOD(app_list, false);
WORLD_METHOD(app_update, true);
WORLD_METHOD(app_delete, true);

#define STOPPED      ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
#define INITIALIZING ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING

const char *canary_of(const struct model *model, struct tenant owner)
{
        return owner.is_team ? model->teams[owner.index].canary : model->users[owner.index].canary;
}

struct tenant aim(struct game *game, const struct actor *actor)
{
        if (actor->team != NONE) return (struct tenant){true, actor->team};
        if (actor->key != NONE) return (struct tenant){false, game->model.keys[actor->key].user};
        return (struct tenant){false, 0};
}

int pick_app(struct game *game, struct tenant owner)
{
        struct model *model = &game->model;
        unsigned tries;
        int app = NONE;

        if (model->app_count == 0 || dice_percent(&game->dice, 5)) return NONE;
        if (dice_percent(&game->dice, 10)) return (int)dice_below(&game->dice, (unsigned)model->app_count);
        for (tries = 0; tries < 60; tries++) {
                app = (int)dice_below(&game->dice, (unsigned)model->app_count);
                if (model_app_is_in(model, app, owner)) return app;
        }
        return app;
}

/* ---- What an app looks like ---- */

static const char *tools_text(struct call *call, const struct model_tool *tools, size_t count, bool has_comma)
{
        const char *text = "";
        size_t i;

        for (i = 0; i < count; i++)
                text = call_printf(call, "%s%s\"%s\":%s", text, i == 0 ? "" : ",", tools[i].key, tools[i].value);
        return call_printf(call, "{%s%s}", text, has_comma && count > 0 ? "," : "");
}

static void show_loras(struct call *call, const struct model_app *app, Allod__V1__Workflow *workflow, bool is_reversed)
{
        size_t i;

        workflow->n_loras = app->lora_count;
        workflow->loras = call_list(call, LORAS_MAX);
        for (i = 0; i < app->lora_count; i++) {
                const struct model_lora *lora = &app->loras[is_reversed ? app->lora_count - 1 - i : i];

                workflow->loras[i] = CALL_NEW(call, Allod__V1__Lora, ALLOD__V1__LORA__INIT);
                workflow->loras[i]->id = (char *)call_printf(call, "%s", lora->id);
                workflow->loras[i]->version_id = (char *)"v1";
                workflow->loras[i]->download_url = (char *)"https://example.org/l";
                workflow->loras[i]->name = (char *)"A lora";
                workflow->loras[i]->weight = lora->weight;
        }
}

/* As the fields that a client sets. */
static Allod__V1__App *show_sent(struct call *call, const struct model_app *app, bool has_comma)
{
        Allod__V1__App *shown = CALL_NEW(call, Allod__V1__App, ALLOD__V1__APP__INIT);

        shown->configuration = CALL_NEW(call, Allod__V1__Configuration, ALLOD__V1__CONFIGURATION__INIT);
        shown->workflow = CALL_NEW(call, Allod__V1__Workflow, ALLOD__V1__WORKFLOW__INIT);
        shown->name = (char *)call_printf(call, "%s", app->title);
        shown->description = (char *)call_printf(call, "%s", app->description);
        shown->configuration->gpu_tier = app->tier;
        shown->configuration->active_workers = app->workers;
        shown->configuration->location = (char *)call_printf(call, "%s", app->location);
        shown->workflow->model_url = (char *)call_printf(call, "%s", app->model_url);
        show_loras(call, app, shown->workflow, false);
        if (app->has_tools) shown->workflow->tools = (char *)tools_text(call, app->tools, app->tool_count, has_comma);
        return shown;
}

static Allod__V1__JobCounts *show_counts(struct game *game, struct call *call, int app)
{
        Allod__V1__JobCounts *counts = CALL_NEW(call, Allod__V1__JobCounts, ALLOD__V1__JOB_COUNTS__INIT);
        int i;

        for (i = 0; i < game->model.job_count; i++) {
                if (game->model.jobs[i].app != app) continue;
                counts->in_queue += game->model.jobs[i].status == ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED;
                counts->in_progress += game->model.jobs[i].status == ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING;
                counts->completed += game->model.jobs[i].status == ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
                counts->failed += game->model.jobs[i].status == ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED;
        }
        return counts;
}

static Allod__V1__App *show(struct game *game, struct call *call, int index)
{
        struct model *model = &game->model;
        struct model_app *app = &model->apps[index];
        Allod__V1__App *shown = show_sent(call, app, false);

        shown->id = app->name.text;
        shown->status = app->status;
        shown->created_at = call_time(call, app->created_ms);
        shown->updated_at = call_time(call, app->updated_ms);
        shown->created_by = model->users[app->created_by].name.text;
        if (app->owner.is_team) {
                shown->owner_case = ALLOD__V1__APP__OWNER_OWNER_TEAM_ID;
                shown->owner_team_id = model->teams[app->owner.index].name.text;
        } else {
                shown->owner_case = ALLOD__V1__APP__OWNER_OWNER_USER_ID;
                shown->owner_user_id = model->users[app->owner.index].name.text;
        }
        shown->jobs = show_counts(game, call, index);
        shown->workers = CALL_NEW(call, Allod__V1__WorkerCounts, ALLOD__V1__WORKER_COUNTS__INIT);
        shown->etag = app->etag;
        return shown;
}

/* The reply is the app as it was written just now. */
static void expect_written(struct game *game, struct call *call, int index)
{
        Allod__V1__App *shown = show(game, call, index);

        shown->etag = call_alloc(call, ETAG_TEXT_SIZE);
        call->etag_slot = game->model.apps[index].etag;
        call->type = &allod__v1__app__descriptor;
        call->reply = &shown->base;
}

/* ---- Calls ---- */

static void random_tool(struct game *game, struct model_tool *tool, const char *canary)
{
        static const char *const values[] = {"1", "1.50", "[1,{\"x\":null}]", "\"\\u00e9\"", "true"};

        snprintf(tool->key, sizeof tool->key, "k%u", dice_below(&game->dice, TOOLS_MAX));
        if (dice_percent(&game->dice, 30))
                snprintf(tool->value, sizeof tool->value, "\"%s\"", canary);
        else
                snprintf(tool->value, sizeof tool->value, "%s",
                         values[dice_below(&game->dice, sizeof values / sizeof values[0])]);
}

static struct model_tool *find_tool(struct model_app *app, const char *key)
{
        size_t i;

        for (i = 0; i < app->tool_count; i++)
                if (strcmp(app->tools[i].key, key) == 0) return &app->tools[i];
        return NULL;
}

static void random_app(struct game *game, struct model_app *app, const char *canary)
{
        struct model_tool tool;
        size_t i;

        text_with(game, app->title, canary);
        if (dice_percent(&game->dice, 50)) text_with(game, app->description, canary);
        app->tier = 1 + (int)dice_below(&game->dice, 3);
        app->workers = dice_percent(&game->dice, 50) ? 0 : (int)dice_below(&game->dice, 1001);
        app->status = app->workers == 0 ? STOPPED : INITIALIZING;
        if (dice_percent(&game->dice, 50)) text_with(game, app->location, canary);
        snprintf(app->model_url, sizeof app->model_url, "https://example.org/%s", canary);
        app->lora_count = dice_below(&game->dice, LORAS_MAX + 1);
        for (i = 0; i < app->lora_count; i++) {
                snprintf(app->loras[i].id, sizeof app->loras[i].id, "l%zu", i);
                app->loras[i].weight = dice_below(&game->dice, 100) / 8.0;
        }
        app->has_tools = dice_percent(&game->dice, 60);
        for (i = 0; app->has_tools && i < dice_below(&game->dice, 4); i++) {
                random_tool(game, &tool, canary);
                if (find_tool(app, tool.key) == NULL) app->tools[app->tool_count++] = tool;
        }
}

bool generate_app_create(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__CreateAppRequest *request =
                CALL_NEW(call, Allod__V1__CreateAppRequest, ALLOD__V1__CREATE_APP_REQUEST__INIT);
        struct model_app app = {.exists = true};
        struct tenant owner;

        if (model->app_count == APPS_MAX) return false;
        call->method = &method_app_create;
        call->actor = any_actor(game);
        random_app(game, &app, canary_of(model, aim(game, &call->actor)));
        request->app = show_sent(call, &app, dice_percent(&game->dice, 50));
        call->request = &request->base;
        if (dice_percent(&game->dice, 3)) {
                request->app->name = (char *)"";
                call->result = R_BAD_ARGUMENT;
                return true;
        }
        call->result = model_open(model, &call->actor, MAY_CREATE, &owner);
        if (call->result != R_OK) return true;
        app.name = call->id;
        app.owner = owner;
        app.created_by = model->keys[call->actor.key].user;
        app.created_ms = app.updated_ms = call->time_ms;
        model->apps[model->app_count] = app;
        expect_written(game, call, model->app_count++);
        return true;
}

enum result name_this_app(struct game *game, struct call *call, enum model_right right, int app, char **id)
{
        struct tenant owner;
        enum result r;

        *id = app == NONE ? (char *)nonsense_id(game, call) : game->model.apps[app].name.text;
        if ((r = model_open(&game->model, &call->actor, right, &owner)) != R_OK) return r;
        if (model_app_is_in(&game->model, app, owner)) return R_OK;
        call->text = call_printf(call, "App with ID '%s' not found.", *id);
        return R_ABSENT;
}

enum result name_app(struct game *game, struct call *call, enum model_right right, char **id, int *index)
{
        int app = pick_app(game, aim(game, &call->actor));
        enum result r = name_this_app(game, call, right, app, id);

        if (r == R_OK) *index = app;
        return r;
}

bool generate_app_get(struct game *game, struct call *call)
{
        Allod__V1__GetAppRequest *request = CALL_NEW(call, Allod__V1__GetAppRequest, ALLOD__V1__GET_APP_REQUEST__INIT);
        int app;

        call->method = &method_app_get;
        call->actor = any_actor(game);
        call->request = &request->base;
        call->result = name_app(game, call, MAY_READ, &request->id, &app);
        if (call->result != R_OK) return true;
        call->type = &allod__v1__app__descriptor;
        call->reply = &show(game, call, app)->base;
        return true;
}

bool generate_app_list(struct game *game, struct call *call)
{
        Allod__V1__ListAppsRequest *request =
                CALL_NEW(call, Allod__V1__ListAppsRequest, ALLOD__V1__LIST_APPS_REQUEST__INIT);
        Allod__V1__ListAppsResponse *list =
                CALL_NEW(call, Allod__V1__ListAppsResponse, ALLOD__V1__LIST_APPS_RESPONSE__INIT);
        struct tenant owner;
        int i;

        call->method = &method_app_list;
        call->actor = any_actor(game);
        call->request = &request->base;
        request->page_size = (int)dice_below(&game->dice, 5);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = model_open(&game->model, &call->actor, MAY_READ, &owner);
        if (call->result != R_OK) return true;
        list->apps = call_list(call, (size_t)game->model.app_count);
        for (i = game->model.app_count - 1; i >= 0; i--)
                if (model_app_is_in(&game->model, i, owner)) list->apps[list->n_apps++] = show(game, call, i);
        call->type = &allod__v1__list_apps_response__descriptor;
        call->reply = &list->base;
        return true;
}

/* ---- Updates ---- */

/* One change to some field: into the request, the mask, and the app as it is to be. R_BAD_ARGUMENT: it is refused. */
struct change {
        struct game *game;
        struct call *call;
        const char *canary;
        Allod__V1__App *sent;
        struct model_app *app;
        const char **paths; /* with room */
        size_t path_count;
};

static void name_path(struct change *change, const char *path)
{
        change->paths[change->path_count++] = path;
}

static void change_name(struct change *change)
{
        text_with(change->game, change->app->title, change->canary);
        change->sent->name = (char *)call_printf(change->call, "%s", change->app->title);
        name_path(change, "name");
}

/* To clear it, it must be named. */
static void change_description(struct change *change, bool may_clear)
{
        change->app->description[0] = '\0';
        if (!may_clear || dice_percent(&change->game->dice, 60))
                text_with(change->game, change->app->description, change->canary);
        change->sent->description = (char *)call_printf(change->call, "%s", change->app->description);
        name_path(change, "description");
}

static void change_workers(struct change *change, bool may_clear)
{
        int before = change->app->workers;
        int workers =
                may_clear && dice_percent(&change->game->dice, 40) ? 0 : 1 + (int)dice_below(&change->game->dice, 9);

        change->sent->configuration->active_workers = change->app->workers = workers;
        if (workers == 0)
                change->app->status = STOPPED;
        else if (before == 0)
                change->app->status = INITIALIZING;
        name_path(change, "configuration.active_workers");
}

static void change_tools(struct change *change)
{
        struct model_tool patch[2];
        struct model_app *app = change->app;
        size_t count = 1, i;

        random_tool(change->game, &patch[0], change->canary);
        random_tool(change->game, &patch[1], change->canary);
        if (strcmp(patch[0].key, patch[1].key) != 0) count = 2;
        if (dice_percent(&change->game->dice, 40)) memcpy(patch[0].value, "null", 5);
        for (i = 0; i < count; i++) {
                struct model_tool *tool = find_tool(app, patch[i].key);

                if (strcmp(patch[i].value, "null") == 0) {
                        if (tool == NULL) continue;
                        memmove(tool, tool + 1, (size_t)(&app->tools[--app->tool_count] - tool) * sizeof *tool);
                } else if (tool != NULL) {
                        *tool = patch[i];
                } else {
                        app->tools[app->tool_count++] = patch[i];
                }
        }
        app->has_tools = true;
        change->sent->workflow->tools =
                (char *)tools_text(change->call, patch, count, dice_percent(&change->game->dice, 30));
        name_path(change, "workflow.tools");
}

static void change_weights(struct change *change)
{
        size_t i;

        if (change->app->lora_count == 0) return;
        for (i = 0; i < change->app->lora_count; i++)
                change->app->loras[i].weight = dice_below(&change->game->dice, 100) / 4.0;
        show_loras(change->call, change->app, change->sent->workflow, dice_percent(&change->game->dice, 50));
        name_path(change, "workflow.loras");
}

/* The tier as it is, or another one. */
static enum result change_tier(struct change *change)
{
        bool is_other = dice_percent(&change->game->dice, 20);

        change->sent->configuration->gpu_tier = is_other ? change->app->tier % 3 + 1 : change->app->tier;
        name_path(change, "configuration.gpu_tier");
        return is_other ? R_BAD_ARGUMENT : R_OK;
}

static enum result change_some(struct change *change, bool has_mask)
{
        struct dice *dice = &change->game->dice;
        enum result r = R_OK;

        if (dice_percent(dice, 40)) change_name(change);
        if (dice_percent(dice, 40)) change_description(change, has_mask);
        if (dice_percent(dice, 40)) change_workers(change, has_mask);
        if (dice_percent(dice, 40)) change_tools(change);
        if (dice_percent(dice, 30)) change_weights(change);
        if (dice_percent(dice, 20)) r = change_tier(change);
        if (has_mask && change->path_count == 0) name_path(change, "etag"); /* an empty mask is none */
        return r;
}

/* Some etag to ask for: none, the right one, or an old one. */
static enum result ask_etag(struct game *game, const char *known, char **sent)
{
        unsigned chance = dice_below(&game->dice, 100);

        if (chance < 10) {
                *sent = (char *)"0-0";
                return R_STALE;
        }
        if (chance < 40 && !game->is_batch) *sent = (char *)known; /* unknown is empty, which asks for nothing */
        return R_OK;
}

bool generate_app_update(struct game *game, struct call *call)
{
        Allod__V1__UpdateAppRequest *request =
                CALL_NEW(call, Allod__V1__UpdateAppRequest, ALLOD__V1__UPDATE_APP_REQUEST__INIT);
        Google__Protobuf__FieldMask *mask =
                CALL_NEW(call, Google__Protobuf__FieldMask, GOOGLE__PROTOBUF__FIELD_MASK__INIT);
        struct model_app changed = {.tier = 1};
        struct change change = {.game = game, .call = call, .app = &changed};
        bool has_mask = dice_percent(&game->dice, 50);
        enum result immutable, stale = R_OK;
        char *id = NULL;
        int app = NONE;

        call->method = &method_app_update;
        call->actor = any_actor(game);
        call->request = &request->base;
        call->result = name_app(game, call, MAY_EDIT, &id, &app);
        if (app != NONE) changed = game->model.apps[app];
        change.canary = canary_of(&game->model, aim(game, &call->actor));
        request->app = change.sent = CALL_NEW(call, Allod__V1__App, ALLOD__V1__APP__INIT);
        change.sent->configuration = CALL_NEW(call, Allod__V1__Configuration, ALLOD__V1__CONFIGURATION__INIT);
        change.sent->workflow = CALL_NEW(call, Allod__V1__Workflow, ALLOD__V1__WORKFLOW__INIT);
        change.sent->id = id;
        change.paths = call_alloc(call, 8 * sizeof *change.paths);
        immutable = change_some(&change, has_mask);
        if (app != NONE) stale = ask_etag(game, game->model.apps[app].etag, &change.sent->etag);
        if (change.sent->etag[0] != '\0') change.sent->etag = (char *)call_printf(call, "%s", change.sent->etag);
        if (has_mask) {
                mask->paths = (char **)change.paths;
                mask->n_paths = change.path_count;
                request->update_mask = mask;
        }
        if (call->result == R_OK) call->result = stale;
        if (call->result == R_OK) call->result = immutable;
        if (call->result != R_OK) return true;
        changed.updated_ms = call->time_ms;
        game->model.apps[app] = changed;
        expect_written(game, call, app);
        return true;
}

bool generate_app_delete(struct game *game, struct call *call)
{
        Allod__V1__DeleteAppRequest *request =
                CALL_NEW(call, Allod__V1__DeleteAppRequest, ALLOD__V1__DELETE_APP_REQUEST__INIT);
        int app = NONE;

        call->method = &method_app_delete;
        call->actor = any_actor(game);
        call->request = &request->base;
        call->result = name_app(game, call, MAY_DELETE, &request->id, &app);
        if (call->result != R_OK) return true;
        call->result = ask_etag(game, game->model.apps[app].etag, &request->etag);
        if (call->result == R_OK) game->model.apps[app].exists = false;
        return true;
}
