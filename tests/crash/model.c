#include "tests/crash/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const op_names[OP_COUNT] = {
        "nothing",    "CreateApp", "UpdateApp",  "DeleteApp",    "RunJob",     "CancelJob",
        "CreateKey",  "RevokeKey", "CreateUser", "ImportKey",    "DeleteUser", "AdminCreateTeam",
        "DeleteTeam", "AddMember", "SetRole",    "RemoveMember",
};

bool slot_init(struct slot *slot, unsigned index, uint64_t seed)
{
        size_t i;

        *slot = (struct slot){.index = index, .random = seed, .is_heavy = index % 8 == 0, .next_number = 1};
        for (i = 0; i < APPS_MAX; i++) {
                slot->apps[i].jobs = calloc(JOBS_MAX, sizeof *slot->apps[i].jobs);
                if (slot->apps[i].jobs == NULL) return false;
        }
        return true;
}

void slot_fini(struct slot *slot)
{
        size_t i;

        for (i = 0; i < APPS_MAX; i++)
                free(slot->apps[i].jobs);
        *slot = (struct slot){0};
}

/* splitmix64 */
uint32_t slot_random(struct slot *slot, uint32_t below)
{
        uint64_t z = slot->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

/* ---- What things are called and hold ---- */

void slot_user_id(const struct slot *slot, uint32_t number, char out[ID_SIZE])
{
        snprintf(out, ID_SIZE, "%08x-000a-7000-8000-%012x", slot->index + 1, number);
}

void slot_team_id(const struct slot *slot, uint32_t number, char out[ID_SIZE])
{
        snprintf(out, ID_SIZE, "%08x-000b-7000-8000-%012x", slot->index + 1, number);
}

void slot_key_name(const struct slot *slot, uint32_t number, char out[SECRET_SIZE])
{
        snprintf(out, SECRET_SIZE, "key %u/%u", slot->index, number);
}

struct way slot_own_way(const struct slot *slot, uint32_t user_number)
{
        struct way way = {.team_id = ""};

        slot_user_id(slot, user_number, way.user_id);
        snprintf(way.secret, sizeof way.secret, "secret-of-user-%u-of-slot-%u-0123456789", user_number, slot->index);
        return way;
}

struct way slot_way(const struct slot *slot, enum ground ground)
{
        struct way way;

        if (ground == GROUND_SHARED) {
                bool is_two = slot->index % 2 == 1;
                bool is_team = slot->index % 4 >= 2;

                way = (struct way){.team_id = ""};
                snprintf(way.secret, sizeof way.secret, "%s", is_two ? SECRET_TWO : SECRET_ONE);
                snprintf(way.user_id, sizeof way.user_id, "%s", is_two ? USER_TWO : USER_ONE);
                if (is_team) snprintf(way.team_id, sizeof way.team_id, "%s", TEAM_BOTH);
                return way;
        }
        way = slot_own_way(slot, slot->user_number);
        if (ground == GROUND_OWN_TEAM) slot_team_id(slot, slot->team_number, way.team_id);
        return way;
}

static char *text(struct arena *arena, const char *format, unsigned slot, uint32_t number, uint32_t version)
{
        char *out = arena_alloc(arena, 128);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (out != NULL) snprintf(out, 128, format, slot, number, version);
#pragma GCC diagnostic pop
        return out;
}

Allod__V1__App *slot_app(const struct slot *slot, uint32_t number, uint32_t version, struct arena *arena)
{
        Allod__V1__App *app = arena_alloc(arena, sizeof *app);
        Allod__V1__Configuration *configuration = arena_alloc(arena, sizeof *configuration);
        Allod__V1__Workflow *workflow = arena_alloc(arena, sizeof *workflow);

        if (app == NULL || configuration == NULL || workflow == NULL) return NULL;
        allod__v1__app__init(app);
        allod__v1__configuration__init(configuration);
        allod__v1__workflow__init(workflow);
        app->configuration = configuration;
        app->workflow = workflow;
        app->name = text(arena, "app %u/%u", slot->index, number, 0);
        app->description = text(arena, "slot %u, number %u, version %u", slot->index, number, version);
        configuration->gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_BASIC + number % 3;
        configuration->active_workers = (int32_t)(version % 4);
        configuration->location = text(arena, "location %u/%u", slot->index, number, 0);
        workflow->model_url = text(arena, "https://example.org/%u/%u", slot->index, number, 0);
        workflow->tools = text(arena, "{\"slot\": %u, \"number\": %u}", slot->index, number, 0);
        if (app->name == NULL || app->description == NULL || configuration->location == NULL ||
            workflow->model_url == NULL || workflow->tools == NULL)
                return NULL;
        return app;
}

/* Most are small; some take overflow pages of their own. */
void slot_input(const struct slot *slot, uint32_t number, char out[INPUT_SIZE])
{
        size_t pad = number % 64 == 0 ? 20000 : number * 37 % 200;
        int len = snprintf(out, INPUT_SIZE, "{\"slot\": %u, \"number\": %u, \"pad\": \"", slot->index, number);

        memset(out + len, 'x', pad);
        snprintf(out + len + pad, INPUT_SIZE - (size_t)len - pad, "\"}");
}

bool name_read(const char *name, unsigned *slot, uint32_t *number)
{
        const char *space = strchr(name, ' ');
        char *end;

        if (space == NULL) return false;
        *slot = (unsigned)strtoul(space + 1, &end, 10);
        if (*end != '/') return false;
        *number = (uint32_t)strtoul(end + 1, &end, 10);
        return *end == '\0' && *slot < SLOTS_MAX;
}

/* ---- Choosing. Each returns false when there is nothing to do it to. ---- */

static bool pick_app(struct slot *slot, unsigned *out)
{
        unsigned start = slot_random(slot, APPS_MAX);
        unsigned i;

        for (i = 0; i < APPS_MAX; i++) {
                *out = (start + i) % APPS_MAX;
                if (slot->apps[*out].is_live) return true;
        }
        return false;
}

static bool choose_create(struct slot *slot)
{
        struct op *op = &slot->op;
        unsigned ground = slot_random(slot, 4);

        if (slot->is_heavy) return false; /* load_fill makes its app */
        for (op->app = 0; op->app < APPS_MAX && slot->apps[op->app].is_live;)
                op->app++;
        if (op->app == APPS_MAX) return false;
        op->ground = GROUND_SHARED;
        if (ground == 1 && slot->has_key) op->ground = GROUND_OWN_USER;
        if (ground == 2 && slot->has_team) op->ground = GROUND_OWN_TEAM;
        op->kind = OP_CREATE_APP;
        op->number = slot->next_number++;
        return true;
}

static bool choose_update(struct slot *slot)
{
        struct op *op = &slot->op;

        if (!pick_app(slot, &op->app)) return false;
        op->kind = OP_UPDATE_APP;
        op->version = slot->apps[op->app].version + 1;
        return true;
}

static bool choose_delete(struct slot *slot)
{
        struct op *op = &slot->op;

        if (!pick_app(slot, &op->app)) return false;
        op->kind = OP_DELETE_APP;
        return true;
}

static bool choose_run(struct slot *slot)
{
        struct op *op = &slot->op;

        if (!pick_app(slot, &op->app)) return false;
        if (slot->apps[op->app].job_count >= (slot->is_heavy ? JOBS_MAX : JOBS_LIGHT_MAX)) return false;
        op->kind = OP_RUN_JOB;
        op->number = slot->next_number++;
        return true;
}

static bool choose_cancel(struct slot *slot)
{
        struct op *op = &slot->op;
        const struct model_app *app;

        if (!pick_app(slot, &op->app)) return false;
        app = &slot->apps[op->app];
        if (app->job_count == 0) return false;
        op->job = slot_random(slot, app->job_count);
        op->kind = OP_CANCEL_JOB;
        return !app->jobs[op->job].is_canceled;
}

static bool choose_key(struct slot *slot)
{
        struct op *op = &slot->op;

        if (slot->key_count < KEYS_MAX && slot_random(slot, 2) == 0) {
                op->kind = OP_CREATE_KEY;
                op->number = slot->next_number++;
                return true;
        }
        if (slot->key_count == 0) return false;
        op->key = slot_random(slot, slot->key_count);
        op->kind = OP_REVOKE_KEY;
        return !slot->keys[op->key].is_revoked;
}

static bool choose_member(struct slot *slot)
{
        struct op *op = &slot->op;

        op->is_by_owner = slot_random(slot, 2) == 0;
        /* Another role than now, so that one can see whether it was set. */
        op->role = (slot->role + (int)slot_random(slot, 2)) % 3 + 1;
        if (slot->role == 0)
                op->kind = OP_ADD_MEMBER;
        else
                op->kind = slot_random(slot, 3) == 0 ? OP_REMOVE_MEMBER : OP_SET_ROLE;
        return true;
}

static bool choose_own(struct slot *slot)
{
        struct op *op = &slot->op;

        if (!slot->has_user) {
                op->kind = OP_CREATE_USER;
                op->number = slot->next_number++;
                return true;
        }
        if (!slot->has_key) {
                op->kind = OP_IMPORT_KEY;
                return true;
        }
        switch (slot_random(slot, 8)) {
        case 0:
                op->kind = slot->has_team ? OP_DELETE_TEAM : OP_DELETE_USER;
                return true;
        case 1:
        case 2:
                op->kind = OP_CREATE_TEAM;
                op->number = slot->next_number++;
                return !slot->has_team;
        default:
                return choose_member(slot);
        }
}

static bool choose(struct slot *slot)
{
        uint32_t die = slot_random(slot, 100);

        if (die < 30) return choose_run(slot);
        if (die < 60) return choose_create(slot);
        if (die < 70) return choose_cancel(slot);
        if (die < 78) return choose_update(slot);
        if (die < 84) return choose_delete(slot);
        if (die < 88) return choose_key(slot);
        return choose_own(slot);
}

void slot_choose(struct slot *slot)
{
        bool is_chosen = false;

        while (!is_chosen) {
                slot->op = (struct op){.kind = OP_NONE};
                is_chosen = choose(slot);
        }
}

/* ---- What calls lead to ---- */

static void copy(char *out, size_t size, const char *from)
{
        snprintf(out, size, "%s", from != NULL ? from : "");
}

static void forget_apps(struct slot *slot, enum ground ground)
{
        unsigned i;

        for (i = 0; i < APPS_MAX; i++) {
                if (slot->apps[i].ground == ground) slot->apps[i].is_live = false;
        }
}

static void done_app(struct slot *slot, struct model_app *app, const char *id)
{
        const struct op *op = &slot->op;
        struct model_job *job;

        switch (op->kind) {
        case OP_CREATE_APP:
                *app = (struct model_app){true, op->ground, "", op->number, 0, app->jobs, 0};
                copy(app->id, sizeof app->id, id);
                break;
        case OP_UPDATE_APP:
                app->version = op->version;
                break;
        case OP_DELETE_APP:
                app->is_live = false;
                if (app->ground == GROUND_SHARED) memcpy(slot->gone[slot->gone_count++ % GONE_MAX], app->id, ID_SIZE);
                break;
        case OP_RUN_JOB:
                job = &app->jobs[app->job_count++];
                *job = (struct model_job){.number = op->number};
                copy(job->id, sizeof job->id, id);
                break;
        default:
                app->jobs[op->job].is_canceled = true;
                break;
        }
}

static void done_own(struct slot *slot)
{
        const struct op *op = &slot->op;

        switch (op->kind) {
        case OP_CREATE_USER:
                slot->user_number = op->number;
                slot->has_user = true;
                break;
        case OP_IMPORT_KEY:
                slot->has_key = true;
                break;
        case OP_DELETE_USER:
                slot->has_user = slot->has_key = false;
                slot->role = 0;
                slot->gone_user = slot->user_number;
                forget_apps(slot, GROUND_OWN_USER);
                break;
        case OP_CREATE_TEAM:
                slot->team_number = op->number;
                slot->has_team = true;
                break;
        case OP_DELETE_TEAM:
                slot->has_team = false;
                forget_apps(slot, GROUND_OWN_TEAM);
                break;
        case OP_ADD_MEMBER:
        case OP_SET_ROLE:
                slot->role = op->role;
                break;
        default:
                slot->role = 0;
                break;
        }
}

void slot_done(struct slot *slot, const char *id, const char *secret)
{
        const struct op *op = &slot->op;
        struct model_key *key;

        if (op->kind >= OP_CREATE_APP && op->kind <= OP_CANCEL_JOB) {
                done_app(slot, &slot->apps[op->app], id);
        } else if (op->kind == OP_CREATE_KEY) {
                key = &slot->keys[slot->key_count++];
                *key = (struct model_key){.number = op->number};
                copy(key->id, sizeof key->id, id);
                copy(key->secret, sizeof key->secret, secret);
        } else if (op->kind == OP_REVOKE_KEY) {
                slot->keys[op->key].is_revoked = true;
        } else if (op->kind != OP_NONE) {
                done_own(slot);
        }
        slot->op.kind = OP_NONE;
}

void slot_undone(struct slot *slot)
{
        slot->op.kind = OP_NONE;
}
