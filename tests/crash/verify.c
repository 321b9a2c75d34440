#include "tests/crash/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <allod/v1/admin.pb-c.h>
#include <allod/v1/key.pb-c.h>

#include "tests/crash/child.h"
#include "tests/lib/test.h"

#define ARENA_MAX        ((size_t)256 << 20)
#define PAGE_SIZE        1000 /* the most that the server gives */
#define SEEN_MAX         ((size_t)SLOTS_MAX * (APPS_MAX + 1))
#define CODE_OK          0
#define NOT_FOUND        5
#define UNAUTHENTICATED  16
#define STATUS_QUEUED    ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED
#define STATUS_CANCELED  ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED
#define STATUS_STOPPED   ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED
#define STATUS_STARTING  ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING
#define KEYS_SEEN_MAX    (SLOTS_MAX * KEYS_MAX + 2)
#define IDS_SEEN_MAX     1024
#define MEMBERS_SEEN_MAX 1024

/* An app of the server's, with all of its jobs. */
struct seen_app {
        unsigned slot;
        uint32_t number;
        const Allod__V1__App *app;
        const Allod__V1__Job *jobs[JOBS_MAX + 1];
        unsigned job_count;
};

/* All that the server shows. */
struct seen {
        struct load *load;
        struct client *public, *admin;
        struct arena arena;
        struct seen_app *apps; /* SEEN_MAX of them */
        unsigned app_count;
        const Allod__V1__Key *keys[KEYS_SEEN_MAX];
        unsigned key_count;
        const char *users[IDS_SEEN_MAX], *teams[IDS_SEEN_MAX];
        unsigned user_count, team_count;
        const Allod__V1__Member *members[MEMBERS_SEEN_MAX];
        unsigned member_count;
        bool own_key_works[SLOTS_MAX];
};

static const struct way way_one = {SECRET_ONE, USER_ONE, ""};
static const struct way way_two = {SECRET_TWO, USER_TWO, ""};
static const struct way way_team = {SECRET_ONE, USER_ONE, TEAM_BOTH};

/* ---- Looking ---- */

static void see_jobs(struct seen *seen, const struct way *way, struct seen_app *app)
{
        Allod__V1__ListJobsRequest request = ALLOD__V1__LIST_JOBS_REQUEST__INIT;
        const ProtobufCMessage *reply;
        const Allod__V1__ListJobsResponse *page;
        size_t i;

        request.app_id = app->app->id;
        request.page_size = PAGE_SIZE;
        request.view = ALLOD__V1__JOB_VIEW__JOB_VIEW_FULL;
        do {
                uint32_t code = load_ask(seen->public, "/allod.v1.JobService/ListJobs", way, &request.base,
                                         &allod__v1__list_jobs_response__descriptor, &seen->arena, &reply);

                if (code != CODE_OK) {
                        load_failed(seen->load, "%s: ListJobs was answered with code %u", app->app->name, code);
                        return;
                }
                page = (const Allod__V1__ListJobsResponse *)reply;
                for (i = 0; i < page->n_jobs && app->job_count <= JOBS_MAX; i++)
                        app->jobs[app->job_count++] = page->jobs[i];
                request.page_token = page->next_page_token;
        } while (request.page_token[0] != '\0');
}

static void see_app(struct seen *seen, const struct way *way, const Allod__V1__App *app)
{
        struct seen_app *out = &seen->apps[seen->app_count];

        if (seen->app_count == SEEN_MAX || !name_read(app->name, &out->slot, &out->number)) {
                load_failed(seen->load, "there is an app \"%s\" that nobody made", app->name);
                return;
        }
        seen->app_count++;
        out->app = app;
        out->job_count = 0;
        see_jobs(seen, way, out);
}

/* What ListApps answers, the code. */
static uint32_t see_apps(struct seen *seen, const struct way *way)
{
        Allod__V1__ListAppsRequest request = ALLOD__V1__LIST_APPS_REQUEST__INIT;
        const Allod__V1__ListAppsResponse *page;
        const ProtobufCMessage *reply;
        uint32_t code;
        size_t i;

        request.page_size = PAGE_SIZE;
        do {
                code = load_ask(seen->public, "/allod.v1.AppService/ListApps", way, &request.base,
                                &allod__v1__list_apps_response__descriptor, &seen->arena, &reply);
                if (code != CODE_OK) return code;
                page = (const Allod__V1__ListAppsResponse *)reply;
                for (i = 0; i < page->n_apps; i++)
                        see_app(seen, way, page->apps[i]);
                request.page_token = page->next_page_token;
        } while (request.page_token[0] != '\0');
        return CODE_OK;
}

static void see_keys(struct seen *seen, const struct way *way)
{
        Allod__V1__ListKeysRequest request = ALLOD__V1__LIST_KEYS_REQUEST__INIT;
        const Allod__V1__ListKeysResponse *page;
        const ProtobufCMessage *reply;
        size_t i;

        request.page_size = PAGE_SIZE;
        assert_int_equal(load_ask(seen->public, "/allod.v1.KeyService/ListKeys", way, &request.base,
                                  &allod__v1__list_keys_response__descriptor, &seen->arena, &reply),
                         CODE_OK);
        page = (const Allod__V1__ListKeysResponse *)reply;
        for (i = 0; i < page->n_keys && seen->key_count < KEYS_SEEN_MAX; i++)
                seen->keys[seen->key_count++] = page->keys[i];
}

static void see_owners(struct seen *seen)
{
        Allod__V1__ListUsersRequest users = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        Allod__V1__AdminListTeamsRequest teams = ALLOD__V1__ADMIN_LIST_TEAMS_REQUEST__INIT;
        const ProtobufCMessage *reply;
        size_t i;

        users.page_size = teams.page_size = PAGE_SIZE;
        assert_int_equal(load_ask(seen->admin, "/allod.v1.AdminService/ListUsers", NULL, &users.base,
                                  &allod__v1__list_users_response__descriptor, &seen->arena, &reply),
                         CODE_OK);
        for (i = 0; i < ((const Allod__V1__ListUsersResponse *)reply)->n_users && i < IDS_SEEN_MAX; i++)
                seen->users[seen->user_count++] = ((const Allod__V1__ListUsersResponse *)reply)->users[i]->id;
        assert_int_equal(load_ask(seen->admin, "/allod.v1.AdminService/AdminListTeams", NULL, &teams.base,
                                  &allod__v1__admin_list_teams_response__descriptor, &seen->arena, &reply),
                         CODE_OK);
        for (i = 0; i < ((const Allod__V1__AdminListTeamsResponse *)reply)->n_teams && i < IDS_SEEN_MAX; i++)
                seen->teams[seen->team_count++] = ((const Allod__V1__AdminListTeamsResponse *)reply)->teams[i]->id;
}

static void see_members(struct seen *seen)
{
        Allod__V1__ListMembersRequest request = ALLOD__V1__LIST_MEMBERS_REQUEST__INIT;
        const Allod__V1__ListMembersResponse *page;
        const ProtobufCMessage *reply;
        size_t i;

        request.team_id = (char *)TEAM_BOTH;
        request.page_size = PAGE_SIZE;
        assert_int_equal(load_ask(seen->public, "/allod.v1.TeamService/ListMembers", &way_one, &request.base,
                                  &allod__v1__list_members_response__descriptor, &seen->arena, &reply),
                         CODE_OK);
        page = (const Allod__V1__ListMembersResponse *)reply;
        for (i = 0; i < page->n_members && i < MEMBERS_SEEN_MAX; i++)
                seen->members[seen->member_count++] = page->members[i];
}

static bool has_id(const char *const *ids, unsigned count, const char *id)
{
        unsigned i;

        for (i = 0; i < count; i++)
                if (strcmp(ids[i], id) == 0) return true;
        return false;
}

/* What lies with the slot's own user and team, which may exist or not. */
static void see_own(struct seen *seen, struct slot *slot)
{
        const struct op *op = &slot->op;
        struct way way = slot_own_way(slot, op->kind == OP_CREATE_USER ? op->number : slot->user_number);
        uint32_t code;

        if (!has_id(seen->users, seen->user_count, way.user_id)) return;
        code = see_apps(seen, &way);
        seen->own_key_works[slot->index] = code == CODE_OK;
        if (code != CODE_OK && code != UNAUTHENTICATED)
                load_failed(seen->load, "slot %u: its user's ListApps was answered with code %u", slot->index, code);
        slot_team_id(slot, op->kind == OP_CREATE_TEAM ? op->number : slot->team_number, way.team_id);
        if (!has_id(seen->teams, seen->team_count, way.team_id)) return;
        code = see_apps(seen, &way);
        if (code != CODE_OK)
                load_failed(seen->load, "slot %u: its team's ListApps was answered with code %u", slot->index, code);
}

static void see_all(struct seen *seen)
{
        unsigned i;

        see_owners(seen);
        see_members(seen);
        see_keys(seen, &way_one);
        see_keys(seen, &way_two);
        assert_int_equal(see_apps(seen, &way_one), CODE_OK);
        assert_int_equal(see_apps(seen, &way_two), CODE_OK);
        assert_int_equal(see_apps(seen, &way_team), CODE_OK);
        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++)
                see_own(seen, load_slot(seen->load, i));
}

/* ---- Finding ---- */

static const struct seen_app *find_app(const struct seen *seen, const struct slot *slot, uint32_t number)
{
        unsigned i;

        for (i = 0; i < seen->app_count; i++)
                if (seen->apps[i].slot == slot->index && seen->apps[i].number == number) return &seen->apps[i];
        return NULL;
}

/* By what the job was given: "number": 34. */
static const Allod__V1__Job *find_job(const struct seen_app *app, uint32_t number)
{
        static const char field[] = "\"number\": ";
        unsigned i;

        for (i = 0; app != NULL && i < app->job_count; i++) {
                const char *at = strstr(app->jobs[i]->input, field);

                if (at != NULL && strtoul(at + strlen(field), NULL, 10) == number) return app->jobs[i];
        }
        return NULL;
}

static const Allod__V1__Key *find_key(const struct seen *seen, const struct slot *slot, uint32_t number)
{
        char name[SECRET_SIZE];
        unsigned i;

        slot_key_name(slot, number, name);
        for (i = 0; i < seen->key_count; i++)
                if (strcmp(seen->keys[i]->name, name) == 0) return seen->keys[i];
        return NULL;
}

/* 0: no member. */
static int find_role(const struct seen *seen, const char *user_id)
{
        unsigned i;

        for (i = 0; i < seen->member_count; i++)
                if (strcmp(seen->members[i]->user_id, user_id) == 0) return (int)seen->members[i]->role;
        return 0;
}

/* ---- Settling what was open ---- */

static bool app_has_happened(struct seen *seen, const struct slot *slot, const char **id)
{
        const struct op *op = &slot->op;
        const struct model_app *model = &slot->apps[op->app];
        const struct seen_app *app = find_app(seen, slot, op->kind == OP_CREATE_APP ? op->number : model->number);
        const Allod__V1__Job *job;
        Allod__V1__App *wanted;

        switch (op->kind) {
        case OP_CREATE_APP:
                *id = app != NULL ? app->app->id : NULL;
                return app != NULL;
        case OP_UPDATE_APP:
                wanted = slot_app(slot, model->number, op->version, &seen->arena);
                assert_non_null(wanted);
                return app != NULL && strcmp(app->app->description, wanted->description) == 0;
        case OP_DELETE_APP:
                return app == NULL;
        case OP_RUN_JOB:
                job = find_job(app, op->number);
                *id = job != NULL ? job->id : NULL;
                return job != NULL;
        default:
                job = find_job(app, model->jobs[op->job].number);
                return job != NULL && job->status == STATUS_CANCELED;
        }
}

static bool own_has_happened(const struct seen *seen, const struct slot *slot)
{
        const struct op *op = &slot->op;
        char user[ID_SIZE], team[ID_SIZE];

        slot_user_id(slot, op->kind == OP_CREATE_USER ? op->number : slot->user_number, user);
        slot_team_id(slot, op->kind == OP_CREATE_TEAM ? op->number : slot->team_number, team);
        switch (op->kind) {
        case OP_CREATE_USER:
                return has_id(seen->users, seen->user_count, user);
        case OP_IMPORT_KEY:
                return seen->own_key_works[slot->index];
        case OP_DELETE_USER:
                return !has_id(seen->users, seen->user_count, user);
        case OP_CREATE_TEAM:
                return has_id(seen->teams, seen->team_count, team);
        case OP_DELETE_TEAM:
                return !has_id(seen->teams, seen->team_count, team);
        case OP_REMOVE_MEMBER:
                return find_role(seen, user) == 0;
        default:
                return find_role(seen, user) == op->role;
        }
}

static void settle(struct seen *seen, struct slot *slot)
{
        const struct op *op = &slot->op;
        const Allod__V1__Key *key;
        const char *id = NULL;
        bool has_happened;

        if (op->kind == OP_NONE) return;
        if (op->kind == OP_CREATE_KEY) {
                key = find_key(seen, slot, op->number);
                has_happened = key != NULL;
                if (key != NULL) id = key->id;
        } else if (op->kind == OP_REVOKE_KEY) {
                key = find_key(seen, slot, slot->keys[op->key].number);
                has_happened = key != NULL && key->revoked_at != NULL;
        } else {
                has_happened =
                        op->kind <= OP_CANCEL_JOB ? app_has_happened(seen, slot, &id) : own_has_happened(seen, slot);
        }
        if (has_happened) {
                seen->load->open_done++;
                slot_done(slot, id, NULL);
        } else {
                slot_undone(slot);
        }
}

/* ---- Comparing ---- */

static bool is_same_text(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

static void compare_job(struct seen *seen, const struct slot *slot, const struct model_job *model,
                        const struct seen_app *app)
{
        const Allod__V1__Job *job = find_job(app, model->number);
        int status = model->is_canceled ? STATUS_CANCELED : STATUS_QUEUED;
        char input[INPUT_SIZE];

        seen->load->compared++;
        if (job == NULL) {
                load_failed(seen->load, "slot %u: job %u of app %u is lost", slot->index, model->number, app->number);
                return;
        }
        slot_input(slot, model->number, input);
        if (!is_same_text(job->id, model->id) || !is_same_text(job->input, input) || (int)job->status != status ||
            job->created_at == NULL || job->updated_at == NULL || job->created_by[0] == '\0' ||
            !is_same_text(job->app_id, app->app->id) || job->result[0] != '\0' || job->etag[0] == '\0')
                load_failed(seen->load, "slot %u: job %u of app %u is not what it was", slot->index, model->number,
                            app->number);
}

static bool is_same_app(const struct slot *slot, const struct model_app *model, const Allod__V1__App *app,
                        const Allod__V1__App *wanted)
{
        const struct way way = slot_way(slot, model->ground);
        int64_t waiting = 0;
        unsigned i;
        bool is_team = way.team_id[0] != '\0';

        for (i = 0; i < model->job_count; i++)
                waiting += !model->jobs[i].is_canceled;
        return is_same_text(app->id, model->id) && is_same_text(app->name, wanted->name) &&
               is_same_text(app->description, wanted->description) && app->configuration != NULL &&
               app->configuration->gpu_tier == wanted->configuration->gpu_tier &&
               app->configuration->active_workers == wanted->configuration->active_workers &&
               is_same_text(app->configuration->location, wanted->configuration->location) && app->workflow != NULL &&
               is_same_text(app->workflow->model_url, wanted->workflow->model_url) &&
               is_same_text(app->workflow->tools, wanted->workflow->tools) &&
               app->status == (wanted->configuration->active_workers == 0 ? STATUS_STOPPED : STATUS_STARTING) &&
               app->created_at != NULL && app->updated_at != NULL && is_same_text(app->created_by, way.user_id) &&
               app->owner_case ==
                       (is_team ? ALLOD__V1__APP__OWNER_OWNER_TEAM_ID : ALLOD__V1__APP__OWNER_OWNER_USER_ID) &&
               is_same_text(app->owner_user_id, is_team ? way.team_id : way.user_id) && app->jobs != NULL &&
               app->jobs->in_queue == waiting && app->jobs->completed == 0 && app->jobs->failed == 0 &&
               app->jobs->in_progress == 0 && app->etag[0] != '\0';
}

static void compare_app(struct seen *seen, const struct slot *slot, const struct model_app *model)
{
        const struct seen_app *app = find_app(seen, slot, model->number);
        Allod__V1__App *wanted = slot_app(slot, model->number, model->version, &seen->arena);
        unsigned i;

        assert_non_null(wanted);
        seen->load->compared++;
        if (app == NULL) {
                load_failed(seen->load, "slot %u: app %u is lost", slot->index, model->number);
                return;
        }
        if (!is_same_app(slot, model, app->app, wanted))
                load_failed(seen->load, "slot %u: app %u is not what it was", slot->index, model->number);
        if (app->job_count != model->job_count)
                load_failed(seen->load, "slot %u: app %u has %u jobs, of %u", slot->index, model->number,
                            app->job_count, model->job_count);
        for (i = 0; i < model->job_count; i++)
                compare_job(seen, slot, &model->jobs[i], app);
}

static bool opens(struct seen *seen, const struct way *way)
{
        Allod__V1__ListKeysRequest request = ALLOD__V1__LIST_KEYS_REQUEST__INIT;
        const ProtobufCMessage *reply;
        uint32_t code;

        request.page_size = 1;
        code = load_ask(seen->public, "/allod.v1.KeyService/ListKeys", way, &request.base,
                        &allod__v1__list_keys_response__descriptor, &seen->arena, &reply);
        if (code != CODE_OK && code != UNAUTHENTICATED)
                load_failed(seen->load, "ListKeys was answered with code %u", code);
        return code == CODE_OK;
}

static void compare_key(struct seen *seen, const struct slot *slot, const struct model_key *model, bool is_tried)
{
        const Allod__V1__Key *key = find_key(seen, slot, model->number);
        struct way way = {.team_id = ""};

        seen->load->compared++;
        if (key == NULL || !is_same_text(key->id, model->id) || key->created_at == NULL ||
            (key->revoked_at != NULL) != model->is_revoked)
                load_failed(seen->load, "slot %u: key %u is not what it was", slot->index, model->number);
        if (!is_tried || model->secret[0] == '\0') return;
        memcpy(way.secret, model->secret, sizeof way.secret);
        if (opens(seen, &way) == model->is_revoked)
                load_failed(seen->load, "slot %u: key %u %s", slot->index, model->number,
                            model->is_revoked ? "was revoked and opens" : "does not open");
}

static void compare_own(struct seen *seen, const struct slot *slot)
{
        struct way way = slot_own_way(slot, slot->user_number);
        struct way gone = slot_own_way(slot, slot->gone_user);
        char team[ID_SIZE];

        seen->load->compared++;
        slot_team_id(slot, slot->team_number, team);
        if (has_id(seen->users, seen->user_count, way.user_id) != slot->has_user)
                load_failed(seen->load, "slot %u: user %u is %s", slot->index, slot->user_number,
                            slot->has_user ? "lost" : "there again");
        if (has_id(seen->teams, seen->team_count, team) != slot->has_team)
                load_failed(seen->load, "slot %u: team %u is %s", slot->index, slot->team_number,
                            slot->has_team ? "lost" : "there again");
        if (seen->own_key_works[slot->index] != slot->has_key)
                load_failed(seen->load, "slot %u: the key of user %u is not what it was", slot->index,
                            slot->user_number);
        if (find_role(seen, way.user_id) != slot->role)
                load_failed(seen->load, "slot %u: the role of user %u is %d, not %d", slot->index, slot->user_number,
                            find_role(seen, way.user_id), slot->role);
        if (slot->gone_user != 0 && opens(seen, &gone))
                load_failed(seen->load, "slot %u: the key of the deleted user %u opens", slot->index, slot->gone_user);
}

static void compare_gone(struct seen *seen, const struct slot *slot)
{
        const struct way way = slot_way(slot, GROUND_SHARED);
        Allod__V1__GetAppRequest request = ALLOD__V1__GET_APP_REQUEST__INIT;
        const ProtobufCMessage *reply;
        unsigned i;

        for (i = 0; i < slot->gone_count && i < GONE_MAX; i++) {
                request.id = (char *)slot->gone[i];
                if (load_ask(seen->public, "/allod.v1.AppService/GetApp", &way, &request.base,
                             &allod__v1__app__descriptor, &seen->arena, &reply) != NOT_FOUND)
                        load_failed(seen->load, "slot %u: the deleted app %s is there", slot->index, slot->gone[i]);
        }
}

/* What the slots have, in all: nothing else may be there. */
struct census {
        unsigned apps, keys, users, teams, members;
};

static void compare_slot(struct seen *seen, struct slot *slot, bool tries_all_keys, struct census *census)
{
        unsigned tried = slot->key_count > 0 ? slot_random(slot, slot->key_count) : 0;
        unsigned i;

        for (i = 0; i < APPS_MAX; i++) {
                if (!slot->apps[i].is_live) continue;
                census->apps++;
                compare_app(seen, slot, &slot->apps[i]);
        }
        for (i = 0; i < slot->key_count; i++)
                compare_key(seen, slot, &slot->keys[i], tries_all_keys || i == tried);
        compare_own(seen, slot);
        compare_gone(seen, slot);
        census->keys += slot->key_count;
        census->users += slot->has_user;
        census->teams += slot->has_team;
        census->members += slot->role != 0;
}

static void compare_all(struct seen *seen, bool tries_all_keys)
{
        struct census census = {.keys = 2, .users = 2, .teams = 1, .members = 2};
        struct load *load = seen->load;
        unsigned i;

        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++)
                compare_slot(seen, load_slot(load, i), tries_all_keys, &census);
        if (census.apps != seen->app_count || census.keys != seen->key_count || census.users != seen->user_count ||
            census.teams != seen->team_count || census.members != seen->member_count)
                load_failed(load,
                            "there are %u apps, %u keys, %u users, %u teams, %u members; made were %u, %u, %u, %u, %u",
                            seen->app_count, seen->key_count, seen->user_count, seen->team_count, seen->member_count,
                            census.apps, census.keys, census.users, census.teams, census.members);
}

void load_verify(struct load *load, bool tries_all_keys)
{
        struct seen *seen = calloc(1, sizeof *seen);
        unsigned i;

        assert_non_null(seen);
        seen->load = load;
        seen->apps = calloc(SEEN_MAX, sizeof *seen->apps);
        assert_non_null(seen->apps);
        seen->public = load_connect(load->address);
        seen->admin = load_connect(load->admin);
        arena_init(&seen->arena, NULL, ARENA_MAX);
        see_all(seen);
        for (i = 0; i < LOAD_THREADS * LOAD_SLOTS; i++)
                settle(seen, load_slot(load, i));
        compare_all(seen, tries_all_keys);
        client_close(seen->public);
        client_close(seen->admin);
        arena_fini(&seen->arena);
        free(seen->apps);
        free(seen);
}

static int64_t purge_backlog(struct client *admin)
{
        Allod__V1__GetStatsRequest request = ALLOD__V1__GET_STATS_REQUEST__INIT;
        const ProtobufCMessage *reply;
        struct arena arena;
        int64_t backlog;

        arena_init(&arena, NULL, ARENA_MAX);
        assert_int_equal(load_ask(admin, "/allod.v1.AdminService/GetStats", NULL, &request.base,
                                  &allod__v1__stats__descriptor, &arena, &reply),
                         CODE_OK);
        backlog = ((const Allod__V1__Stats *)reply)->purge_backlog;
        arena_fini(&arena);
        return backlog;
}

void load_wait_purged(struct load *load)
{
        const struct timespec pause = {0, 2000000};
        struct client *admin = load_connect(load->admin);
        unsigned i;

        for (i = 0; purge_backlog(admin) > 0; i++) {
                if (i * 2 > CHILD_PATIENCE_MS) fail_msg("the purge does not end");
                nanosleep(&pause, NULL);
        }
        client_close(admin);
}
