#include "tests/model/model.h"

#include <string.h>

#include <allod/v1/job.pb-c.h>
#include <allod/v1/team.pb-c.h>

#include "tests/lib/test.h"

#define OWNER  ALLOD__V1__ROLE__ROLE_OWNER
#define ADMIN  ALLOD__V1__ROLE__ROLE_ADMIN
#define MEMBER ALLOD__V1__ROLE__ROLE_MEMBER

bool model_key_works(const struct model *model, int key)
{
        return key != NONE && model->keys[key].revoked_ms == 0 && model->users[model->keys[key].user].exists;
}

struct model_member *model_member(struct model *model, int team, int user)
{
        int i;

        for (i = 0; i < model->member_count; i++) {
                struct model_member *member = &model->members[i];

                if (member->exists && member->team == team && member->user == user) return member;
        }
        return NULL;
}

struct model_invitation *model_invitation(struct model *model, int team, int user)
{
        int i;

        for (i = 0; i < model->invitation_count; i++) {
                struct model_invitation *invitation = &model->invitations[i];

                if (invitation->exists && invitation->team == team && invitation->user == user) return invitation;
        }
        return NULL;
}

int model_owner_count(struct model *model, int team)
{
        int count = 0;
        int i;

        for (i = 0; i < model->member_count; i++)
                if (model->members[i].exists && model->members[i].team == team && model->members[i].role == OWNER)
                        count++;
        return count;
}

bool model_is_last_owner(struct model *model, int team, int user)
{
        const struct model_member *member = model_member(model, team, user);

        return member != NULL && member->role == OWNER && model_owner_count(model, team) == 1;
}

bool model_may(struct model *model, int team, int user, enum model_right right)
{
        const struct model_member *member;
        const bool *settings;

        if (team == NONE) return true;
        member = model_member(model, team, user);
        if (member == NULL) return false;
        settings = model->teams[team].settings;
        if (right == MAY_READ || member->role == OWNER) return true;
        if (member->role == ADMIN) return right != MAY_OWN;
        switch (right) {
        case MAY_CREATE:
                return settings[SETTING_CREATE];
        case MAY_EDIT:
                return settings[SETTING_EDIT];
        case MAY_RUN:
                return settings[SETTING_RUN];
        case MAY_DELETE:
                return settings[SETTING_DELETE];
        default:
                return false;
        }
}

/* Key, claimed user, form of x-team-id: in this order. */
static enum result open_user(const struct model *model, const struct actor *actor)
{
        const struct credential *who = &actor->who;

        if (!who->has_key || !model_key_works(model, actor->key)) return R_UNAUTHENTICATED;
        if (who->user_claim == CLAIM_MALFORMED) return R_WRONG_USER;
        if (who->user_claim == CLAIM_GIVEN &&
            !uuid_equal(who->user, model->users[model->keys[actor->key].user].name.id))
                return R_WRONG_USER;
        return who->team_claim == CLAIM_MALFORMED ? R_BAD_ARGUMENT : R_OK;
}

static bool is_member(struct model *model, const struct actor *actor, int team)
{
        return team != NONE && model->teams[team].exists &&
               model_member(model, team, model->keys[actor->key].user) != NULL;
}

enum result model_open(struct model *model, const struct actor *actor, enum model_right right, struct tenant *owner)
{
        enum result r = open_user(model, actor);

        if (r != R_OK) return r;
        *owner = (struct tenant){false, model->keys[actor->key].user};
        if (actor->who.team_claim == CLAIM_ABSENT) return R_OK;
        if (!is_member(model, actor, actor->team)) return R_NOT_MEMBER;
        *owner = (struct tenant){true, actor->team};
        return model_may(model, actor->team, model->keys[actor->key].user, right) ? R_OK : R_FORBIDDEN;
}

enum result model_open_self(struct model *model, const struct actor *actor)
{
        enum result r = open_user(model, actor);

        if (r != R_OK || actor->who.team_claim == CLAIM_ABSENT) return r;
        return is_member(model, actor, actor->team) ? R_BAD_ARGUMENT : R_NOT_MEMBER;
}

enum result model_open_team(struct model *model, const struct actor *actor, struct uuid named, int team,
                            enum model_right right)
{
        enum result r = open_user(model, actor);

        if (r != R_OK) return r;
        if (actor->who.team_claim == CLAIM_GIVEN && !uuid_equal(actor->who.team, named))
                return is_member(model, actor, actor->team) ? R_BAD_ARGUMENT : R_NOT_MEMBER;
        if (!is_member(model, actor, team)) return R_NOT_MEMBER;
        return model_may(model, team, model->keys[actor->key].user, right) ? R_OK : R_FORBIDDEN;
}

bool model_app_is_in(const struct model *model, int app, struct tenant owner)
{
        return app != NONE && model->apps[app].exists && model->apps[app].owner.is_team == owner.is_team &&
               model->apps[app].owner.index == owner.index;
}

void model_forget_etag(struct model *model, int team)
{
        model->teams[team].etag[0] = '\0';
        model->teams[team].forgotten++;
}

void model_add_member(struct model *model, int team, int user, uint32_t role, int64_t now_ms)
{
        assert_true(model->member_count < MEMBERS_MAX);
        model->members[model->member_count++] = (struct model_member){true, team, user, role, now_ms};
        model_forget_etag(model, team);
}

void model_remove_member(struct model *model, struct model_member *member)
{
        member->exists = false;
        model_forget_etag(model, member->team);
}

static void delete_apps(struct model *model, struct tenant owner)
{
        int i;

        for (i = 0; i < model->app_count; i++)
                if (model_app_is_in(model, i, owner)) model->apps[i].exists = false;
}

void model_delete_team(struct model *model, int team)
{
        int i;

        for (i = 0; i < model->member_count; i++)
                if (model->members[i].team == team) model->members[i].exists = false;
        model->teams[team].exists = false;
        delete_apps(model, (struct tenant){true, team});
}

void model_delete_user(struct model *model, int user)
{
        int i;

        for (i = 0; i < model->member_count; i++)
                if (model->members[i].exists && model->members[i].user == user)
                        model_remove_member(model, &model->members[i]);
        for (i = 0; i < model->invitation_count; i++)
                if (model->invitations[i].user == user) model->invitations[i].exists = false;
        model->users[user].exists = false;
        delete_apps(model, (struct tenant){false, user});
}

bool model_may_see(struct model *model, const struct actor *actor, const char *canary)
{
        int user, i;

        if (actor->is_ours) return true;
        if (!model_key_works(model, actor->key)) return false;
        user = model->keys[actor->key].user;
        for (i = 0; i < model->user_count; i++)
                if (strcmp(model->users[i].canary, canary) == 0) return i == user;
        for (i = 0; i < model->team_count; i++) {
                if (strcmp(model->teams[i].canary, canary) == 0) return model_member(model, i, user) != NULL;
                if (strcmp(model->teams[i].title_canary, canary) == 0)
                        return model_member(model, i, user) != NULL || model_invitation(model, i, user) != NULL;
        }
        return false;
}

uint64_t model_row_count(struct model *model)
{
        uint64_t count = 0;
        int i;

        for (i = 0; i < model->user_count; i++)
                count += model->users[i].exists;
        for (i = 0; i < model->team_count; i++)
                count += model->teams[i].exists;
        for (i = 0; i < model->key_count; i++)
                count += model->users[model->keys[i].user].exists;
        for (i = 0; i < model->member_count; i++)
                count += model->members[i].exists ? 2 : 0; /* and the pointer at it */
        for (i = 0; i < model->invitation_count; i++)
                count += model->invitations[i].exists;
        for (i = 0; i < model->app_count; i++)
                if (model->apps[i].exists) count += model->apps[i].has_counters ? 2 : 1;
        for (i = 0; i < model->job_count; i++) {
                const struct model_job *job = &model->jobs[i];

                if (!model->apps[job->app].exists) continue;
                count += 3; /* state, input, by state */
                if (job->status == ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED) count++;
                if (job->result[0] != '\0') count++;
        }
        return count;
}
