/*
 * Calls of TeamService.
 */
#include <stdio.h>
#include <string.h>

#include "engine/team.h"
#include "tests/lib/test.h"
#include "tests/model/call.h"

WORLD_METHOD(team_create, true);
WORLD_METHOD(team_get, false);
WORLD_METHOD(team_list, false);
WORLD_METHOD(team_update, true);
WORLD_METHOD(team_delete, true);
WORLD_METHOD(team_list_members, false);
WORLD_METHOD(team_update_member, true);
WORLD_METHOD(team_remove_member, true);
WORLD_METHOD(team_leave, true);
WORLD_METHOD(team_invite_member, true);
WORLD_METHOD(team_list_invitations, false);
WORLD_METHOD(team_accept_invitation, true);
WORLD_METHOD(team_decline_invitation, true);

#define OWNER ALLOD__V1__ROLE__ROLE_OWNER

static int user_of(const struct game *game, const struct call *call)
{
        return game->model.keys[call->actor.key].user;
}

/* A team for a call to name: mostly one of the actor's; the actor's x-team-id mostly agrees. */
static int pick_team(struct game *game, struct call *call)
{
        struct actor *actor = &call->actor;
        int team = NONE;

        if (actor->key != NONE && dice_percent(&game->dice, 85))
                team = team_of(game, game->model.keys[actor->key].user);
        if (team == NONE && game->model.team_count > 0 && dice_percent(&game->dice, 80))
                team = (int)dice_below(&game->dice, (unsigned)game->model.team_count);
        if (actor->who.team_claim == CLAIM_GIVEN && dice_percent(&game->dice, 90)) {
                actor->team = team;
                if (team == NONE)
                        actor->who.team_claim = CLAIM_ABSENT;
                else
                        actor->who.team = game->model.teams[team].name.id;
        }
        return team;
}

/* The outcome for a call that names a team; *team is set on R_OK. */
static enum result name_team(struct game *game, struct call *call, enum model_right right, char **id, int *team)
{
        int picked = pick_team(game, call);
        struct name name = picked == NONE ? new_name(game) : game->model.teams[picked].name;
        enum result r;

        *id = (char *)call_printf(call, "%s", name.text);
        r = model_open_team(&game->model, &call->actor, name.id, picked, right);
        if (r == R_OK) *team = picked;
        return r;
}

/* A user for a call to name: mostly a member of the team. */
static int pick_user(struct game *game, int team)
{
        unsigned tries;
        int user = NONE;

        if (dice_percent(&game->dice, 5)) return NONE;
        for (tries = 0; tries < 10; tries++) {
                user = (int)dice_below(&game->dice, (unsigned)game->model.user_count);
                if (team != NONE && model_member(&game->model, team, user) != NULL) break;
        }
        return user;
}

static char *name_user(struct game *game, struct call *call, int user)
{
        return (char *)call_printf(call, "%s", user == NONE ? new_name(game).text : game->model.users[user].name.text);
}

static void begin(struct game *game, struct call *call, const struct world_method *method, ProtobufCMessage *request)
{
        call->method = method;
        call->actor = any_actor(game);
        call->request = request;
}

/* ---- What things look like ---- */

static Allod__V1__TeamSettings *show_settings(struct call *call, const bool settings[SETTING_COUNT])
{
        Allod__V1__TeamSettings *shown = CALL_NEW(call, Allod__V1__TeamSettings, ALLOD__V1__TEAM_SETTINGS__INIT);

        shown->member_can_create = settings[SETTING_CREATE];
        shown->member_can_edit = settings[SETTING_EDIT];
        shown->member_can_run = settings[SETTING_RUN];
        shown->member_can_delete = settings[SETTING_DELETE];
        shown->member_can_share = settings[SETTING_SHARE];
        return shown;
}

static Allod__V1__Team *show(struct game *game, struct call *call, int index)
{
        struct model_team *team = &game->model.teams[index];
        Allod__V1__Team *shown = CALL_NEW(call, Allod__V1__Team, ALLOD__V1__TEAM__INIT);

        shown->id = team->name.text;
        shown->name = (char *)call_printf(call, "%s", team->title);
        shown->settings = show_settings(call, team->settings);
        shown->created_at = call_time(call, team->created_ms);
        shown->updated_at = call_time(call, team->updated_ms);
        shown->created_by = game->model.users[team->created_by].name.text;
        shown->etag = team->etag;
        return shown;
}

static void expect_written(struct game *game, struct call *call, int index)
{
        Allod__V1__Team *shown = show(game, call, index);

        shown->etag = call_alloc(call, ETAG_TEXT_SIZE);
        call->etag_slot = game->model.teams[index].etag;
        call->forgotten = &game->model.teams[index].forgotten;
        call->forgotten_then = *call->forgotten;
        call->type = &allod__v1__team__descriptor;
        call->reply = &shown->base;
}

static Allod__V1__Member *show_member(struct game *game, struct call *call, const struct model_member *member)
{
        Allod__V1__Member *shown = CALL_NEW(call, Allod__V1__Member, ALLOD__V1__MEMBER__INIT);

        shown->user_id = game->model.users[member->user].name.text;
        shown->team_id = game->model.teams[member->team].name.text;
        shown->role = member->role;
        shown->joined_at = call_time(call, member->joined_ms);
        return shown;
}

static void expect_member(struct game *game, struct call *call, const struct model_member *member)
{
        call->type = &allod__v1__member__descriptor;
        call->reply = &show_member(game, call, member)->base;
}

/* ---- The team ---- */

static void random_settings(struct game *game, bool settings[SETTING_COUNT])
{
        int i;

        for (i = 0; i < SETTING_COUNT; i++)
                settings[i] = dice_percent(&game->dice, 50);
}

bool generate_team_create(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__CreateTeamRequest *request =
                CALL_NEW(call, Allod__V1__CreateTeamRequest, ALLOD__V1__CREATE_TEAM_REQUEST__INIT);
        struct model_team team = {.exists = true, .settings = {true, true, true, false, false}};

        if (model->team_count == TEAMS_MAX) return false;
        begin(game, call, &method_team_create, &request->base);
        if (dice_percent(&game->dice, 70)) { /* teams are mostly made without x-team-id, or there would be few */
                call->actor.who.team_claim = CLAIM_ABSENT;
                call->actor.team = NONE;
        }
        canary_make(game, team.canary);
        canary_make(game, team.title_canary);
        text_with(game, team.title, team.title_canary);
        request->team = CALL_NEW(call, Allod__V1__Team, ALLOD__V1__TEAM__INIT);
        request->team->name = (char *)call_printf(call, "%s", team.title);
        if (dice_percent(&game->dice, 50)) {
                random_settings(game, team.settings);
                request->team->settings = show_settings(call, team.settings);
        }
        call->result = model_open_self(model, &call->actor);
        if (call->result != R_OK) return true;
        team.name = call->id;
        team.created_by = user_of(game, call);
        team.created_ms = team.updated_ms = call->time_ms;
        model->teams[model->team_count++] = team;
        model_add_member(model, model->team_count - 1, team.created_by, OWNER, call->time_ms);
        expect_written(game, call, model->team_count - 1);
        return true;
}

bool generate_team_get(struct game *game, struct call *call)
{
        Allod__V1__GetTeamRequest *request =
                CALL_NEW(call, Allod__V1__GetTeamRequest, ALLOD__V1__GET_TEAM_REQUEST__INIT);
        int team;

        begin(game, call, &method_team_get, &request->base);
        call->result = name_team(game, call, MAY_READ, &request->id, &team);
        if (call->result != R_OK) return true;
        call->type = &allod__v1__team__descriptor;
        call->reply = &show(game, call, team)->base;
        return true;
}

bool generate_team_list(struct game *game, struct call *call)
{
        Allod__V1__ListTeamsRequest *request =
                CALL_NEW(call, Allod__V1__ListTeamsRequest, ALLOD__V1__LIST_TEAMS_REQUEST__INIT);
        Allod__V1__ListTeamsResponse *list =
                CALL_NEW(call, Allod__V1__ListTeamsResponse, ALLOD__V1__LIST_TEAMS_RESPONSE__INIT);
        int i;

        begin(game, call, &method_team_list, &request->base);
        request->page_size = (int)dice_below(&game->dice, 4);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = model_open_self(&game->model, &call->actor);
        if (call->result != R_OK) return true;
        list->teams = call_list(call, TEAMS_MAX);
        for (i = game->model.team_count - 1; i >= 0; i--)
                if (model_member(&game->model, i, user_of(game, call)) != NULL)
                        list->teams[list->n_teams++] = show(game, call, i);
        call->type = &allod__v1__list_teams_response__descriptor;
        call->reply = &list->base;
        return true;
}

static enum result ask_etag(struct game *game, struct call *call, const char *known, char **sent)
{
        unsigned chance = dice_below(&game->dice, 100);

        if (chance < 10) {
                *sent = (char *)"0-0";
                return R_STALE;
        }
        if (chance < 40 && !game->is_batch) *sent = (char *)call_printf(call, "%s", known);
        return R_OK;
}

/* The name, all settings, or one of them by the mask; without one, those that are true. */
static void change_team(struct game *game, struct call *call, Allod__V1__UpdateTeamRequest *request,
                        struct model_team *team)
{
        Google__Protobuf__FieldMask *mask =
                CALL_NEW(call, Google__Protobuf__FieldMask, GOOGLE__PROTOBUF__FIELD_MASK__INIT);
        bool has_mask = dice_percent(&game->dice, 60);
        bool settings[SETTING_COUNT];
        int i;

        mask->paths = call_alloc(call, 2 * sizeof *mask->paths);
        if (has_mask) request->update_mask = mask;
        if (dice_percent(&game->dice, 50)) {
                text_with(game, team->title, team->title_canary);
                request->team->name = (char *)call_printf(call, "%s", team->title);
                mask->paths[mask->n_paths++] = (char *)"name";
        }
        if (mask->n_paths > 0 && dice_percent(&game->dice, 50)) return;
        random_settings(game, settings);
        request->team->settings = show_settings(call, settings);
        if (has_mask && dice_percent(&game->dice, 50)) {
                mask->paths[mask->n_paths++] = (char *)"settings.member_can_run";
                team->settings[SETTING_RUN] = settings[SETTING_RUN];
                return;
        }
        mask->paths[mask->n_paths++] = (char *)"settings";
        for (i = 0; i < SETTING_COUNT; i++)
                if (has_mask || settings[i]) team->settings[i] = settings[i];
}

bool generate_team_update(struct game *game, struct call *call)
{
        Allod__V1__UpdateTeamRequest *request =
                CALL_NEW(call, Allod__V1__UpdateTeamRequest, ALLOD__V1__UPDATE_TEAM_REQUEST__INIT);
        struct model_team changed = {.exists = false};
        enum result stale = R_OK;
        int team = NONE;

        begin(game, call, &method_team_update, &request->base);
        request->team = CALL_NEW(call, Allod__V1__Team, ALLOD__V1__TEAM__INIT);
        call->result = name_team(game, call, MAY_MANAGE, &request->team->id, &team);
        if (team != NONE) changed = game->model.teams[team];
        change_team(game, call, request, &changed);
        if (team != NONE) stale = ask_etag(game, call, game->model.teams[team].etag, &request->team->etag);
        if (call->result == R_OK) call->result = stale;
        if (call->result != R_OK) return true;
        changed.updated_ms = call->time_ms;
        game->model.teams[team] = changed;
        expect_written(game, call, team);
        return true;
}

bool generate_team_delete(struct game *game, struct call *call)
{
        Allod__V1__DeleteTeamRequest *request =
                CALL_NEW(call, Allod__V1__DeleteTeamRequest, ALLOD__V1__DELETE_TEAM_REQUEST__INIT);
        int team;

        begin(game, call, &method_team_delete, &request->base);
        call->result = name_team(game, call, MAY_OWN, &request->id, &team);
        if (call->result != R_OK) return true;
        call->result = ask_etag(game, call, game->model.teams[team].etag, &request->etag);
        if (call->result == R_OK) model_delete_team(&game->model, team);
        return true;
}

/* ---- Its members ---- */

bool generate_list_members(struct game *game, struct call *call)
{
        Allod__V1__ListMembersRequest *request =
                CALL_NEW(call, Allod__V1__ListMembersRequest, ALLOD__V1__LIST_MEMBERS_REQUEST__INIT);
        Allod__V1__ListMembersResponse *list =
                CALL_NEW(call, Allod__V1__ListMembersResponse, ALLOD__V1__LIST_MEMBERS_RESPONSE__INIT);
        int team, i;

        begin(game, call, &method_team_list_members, &request->base);
        request->page_size = (int)dice_below(&game->dice, 4);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = name_team(game, call, MAY_READ, &request->team_id, &team);
        if (call->result != R_OK) return true;
        list->members = call_list(call, USERS_MAX);
        for (i = 0; i < game->model.user_count; i++) {
                const struct model_member *member = model_member(&game->model, team, i);

                if (member != NULL) list->members[list->n_members++] = show_member(game, call, member);
        }
        call->type = &allod__v1__list_members_response__descriptor;
        call->reply = &list->base;
        return true;
}

/* The member whom a call is about, if the actor may touch them. */
static enum result name_member(struct game *game, struct call *call, int team, int user, struct model_member **out)
{
        struct model_member *member = user == NONE ? NULL : model_member(&game->model, team, user);

        if (member == NULL) return R_ABSENT;
        if (member->role == OWNER && !model_may(&game->model, team, user_of(game, call), MAY_OWN)) return R_FORBIDDEN;
        *out = member;
        return R_OK;
}

bool generate_update_member(struct game *game, struct call *call)
{
        Allod__V1__UpdateMemberRequest *request =
                CALL_NEW(call, Allod__V1__UpdateMemberRequest, ALLOD__V1__UPDATE_MEMBER_REQUEST__INIT);
        struct model_member *member;
        int team = NONE, user;

        begin(game, call, &method_team_update_member, &request->base);
        request->role = 1 + (int)dice_below(&game->dice, 3);
        call->result = name_team(game, call, MAY_MANAGE, &request->team_id, &team);
        user = pick_user(game, team);
        request->user_id = name_user(game, call, user);
        if (call->result != R_OK) return true;
        if (request->role == OWNER && !model_may(&game->model, team, user_of(game, call), MAY_OWN))
                call->result = R_FORBIDDEN;
        if (call->result == R_OK) call->result = name_member(game, call, team, user, &member);
        if (call->result != R_OK) return true;
        if (request->role != OWNER && model_is_last_owner(&game->model, team, user)) {
                call->result = R_WRONG_STATE;
                return true;
        }
        if ((member->role == OWNER) != (request->role == OWNER)) model_forget_etag(&game->model, team);
        member->role = request->role;
        expect_member(game, call, member);
        return true;
}

bool generate_remove_member(struct game *game, struct call *call)
{
        Allod__V1__RemoveMemberRequest *request =
                CALL_NEW(call, Allod__V1__RemoveMemberRequest, ALLOD__V1__REMOVE_MEMBER_REQUEST__INIT);
        struct model_member *member;
        int team = NONE, user;

        begin(game, call, &method_team_remove_member, &request->base);
        call->result = name_team(game, call, MAY_MANAGE, &request->team_id, &team);
        user = pick_user(game, team);
        request->user_id = name_user(game, call, user);
        if (call->result != R_OK) return true;
        call->result = name_member(game, call, team, user, &member);
        if (call->result == R_OK && model_is_last_owner(&game->model, team, user)) call->result = R_WRONG_STATE;
        if (call->result == R_OK) model_remove_member(&game->model, member);
        return true;
}

bool generate_leave(struct game *game, struct call *call)
{
        Allod__V1__LeaveTeamRequest *request =
                CALL_NEW(call, Allod__V1__LeaveTeamRequest, ALLOD__V1__LEAVE_TEAM_REQUEST__INIT);
        int team;

        begin(game, call, &method_team_leave, &request->base);
        call->result = name_team(game, call, MAY_READ, &request->team_id, &team);
        if (call->result != R_OK) return true;
        if (model_is_last_owner(&game->model, team, user_of(game, call)))
                call->result = R_WRONG_STATE;
        else
                model_remove_member(&game->model, model_member(&game->model, team, user_of(game, call)));
        return true;
}

/* ---- Invitations ---- */

static Allod__V1__Invitation *show_invitation(struct game *game, struct call *call,
                                              const struct model_invitation *invitation, const char *user_id)
{
        Allod__V1__Invitation *shown = CALL_NEW(call, Allod__V1__Invitation, ALLOD__V1__INVITATION__INIT);

        shown->team_id = game->model.teams[invitation->team].name.text;
        shown->team_name = (char *)call_printf(call, "%s", invitation->title);
        shown->user_id = (char *)user_id;
        shown->role = invitation->role;
        shown->invited_by = game->model.users[invitation->by].name.text;
        shown->created_at = call_time(call, invitation->created_ms);
        return shown;
}

/* The answer does not depend on whether the user exists. */
bool generate_invite(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__InviteMemberRequest *request =
                CALL_NEW(call, Allod__V1__InviteMemberRequest, ALLOD__V1__INVITE_MEMBER_REQUEST__INIT);
        struct model_invitation invitation = {.exists = true}, *old;
        int team, user = dice_percent(&game->dice, 90) ? any_live_user(game) : NONE;

        if (model->invitation_count == INVITATIONS_MAX) return false;
        begin(game, call, &method_team_invite_member, &request->base);
        request->role = 1 + (int)dice_below(&game->dice, 3);
        request->user_id = name_user(game, call, user);
        call->result = name_team(game, call, MAY_MANAGE, &request->team_id, &team);
        if (call->result != R_OK) return true;
        if (request->role == OWNER && !model_may(model, team, user_of(game, call), MAY_OWN))
                call->result = R_FORBIDDEN;
        else if (user != NONE && model_member(model, team, user) != NULL)
                call->result = R_EXISTS;
        if (call->result != R_OK) return true;
        invitation.team = team;
        invitation.user = user;
        invitation.by = user_of(game, call);
        invitation.role = request->role;
        invitation.created_ms = call->time_ms;
        memcpy(invitation.title, model->teams[team].title, sizeof invitation.title);
        call->type = &allod__v1__invitation__descriptor;
        call->reply = &show_invitation(game, call, &invitation, request->user_id)->base;
        if (user == NONE) return true;
        old = model_invitation(model, team, user);
        if (old != NULL) old->exists = false;
        model->invitations[model->invitation_count++] = invitation;
        return true;
}

bool generate_list_invitations(struct game *game, struct call *call)
{
        Allod__V1__ListInvitationsRequest *request =
                CALL_NEW(call, Allod__V1__ListInvitationsRequest, ALLOD__V1__LIST_INVITATIONS_REQUEST__INIT);
        Allod__V1__ListInvitationsResponse *list =
                CALL_NEW(call, Allod__V1__ListInvitationsResponse, ALLOD__V1__LIST_INVITATIONS_RESPONSE__INIT);
        int i, user;

        begin(game, call, &method_team_list_invitations, &request->base);
        request->page_size = (int)dice_below(&game->dice, 4);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = model_open_self(&game->model, &call->actor);
        if (call->result != R_OK) return true;
        user = user_of(game, call);
        list->invitations = call_list(call, TEAMS_MAX);
        for (i = 0; i < game->model.team_count; i++) {
                const struct model_invitation *invitation = model_invitation(&game->model, i, user);

                if (invitation != NULL)
                        list->invitations[list->n_invitations++] =
                                show_invitation(game, call, invitation, game->model.users[user].name.text);
        }
        call->type = &allod__v1__list_invitations_response__descriptor;
        call->reply = &list->base;
        return true;
}

/* Whether it still holds: its sender may still send it. */
static bool holds(struct model *model, const struct model_invitation *invitation)
{
        return model->teams[invitation->team].exists &&
               model_may(model, invitation->team, invitation->by, MAY_MANAGE) &&
               (invitation->role != OWNER || model_may(model, invitation->team, invitation->by, MAY_OWN));
}

static int pick_invitation(struct game *game, int user)
{
        int found = NONE;
        unsigned count = 0;
        int i;

        for (i = 0; i < game->model.team_count; i++)
                if (model_invitation(&game->model, i, user) != NULL && dice_below(&game->dice, ++count) == 0) found = i;
        return found;
}

bool generate_answer_invitation(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        bool is_accepted = dice_percent(&game->dice, 75);
        Allod__V1__AcceptInvitationRequest *accept =
                CALL_NEW(call, Allod__V1__AcceptInvitationRequest, ALLOD__V1__ACCEPT_INVITATION_REQUEST__INIT);
        Allod__V1__DeclineInvitationRequest *decline =
                CALL_NEW(call, Allod__V1__DeclineInvitationRequest, ALLOD__V1__DECLINE_INVITATION_REQUEST__INIT);
        struct model_invitation *invitation;
        int team = NONE;

        begin(game, call, is_accepted ? &method_team_accept_invitation : &method_team_decline_invitation,
              is_accepted ? &accept->base : &decline->base);
        if (dice_percent(&game->dice, 80)) call->actor.who.team_claim = CLAIM_ABSENT;
        if (call->actor.key != NONE && dice_percent(&game->dice, 90)) team = pick_invitation(game, user_of(game, call));
        if (team == NONE && model->team_count > 0) team = (int)dice_below(&game->dice, (unsigned)model->team_count);
        accept->team_id = decline->team_id =
                (char *)call_printf(call, "%s", team == NONE ? new_name(game).text : model->teams[team].name.text);
        call->result = model_open_self(model, &call->actor);
        if (call->result != R_OK) return true;
        invitation = team == NONE ? NULL : model_invitation(model, team, user_of(game, call));
        if (invitation == NULL || (is_accepted && !holds(model, invitation))) {
                call->result = R_ABSENT;
                return true;
        }
        invitation->exists = false;
        if (!is_accepted) return true;
        model_add_member(model, team, invitation->user, invitation->role, call->time_ms);
        expect_member(game, call, model_member(model, team, invitation->user));
        return true;
}
