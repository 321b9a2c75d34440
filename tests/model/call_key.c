/*
 * Calls of KeyService, and the few of AdminService that people and keys come from.
 */
#include <stdio.h>
#include <string.h>

#include "engine/admin.h"
#include "engine/apikey.h"
#include "tests/lib/test.h"
#include "tests/model/call.h"

WORLD_METHOD(apikey_create, true);
WORLD_METHOD(apikey_list, false);
WORLD_METHOD(apikey_revoke, true);
WORLD_METHOD(admin_create_user, true);
WORLD_METHOD(admin_delete_user, true);
WORLD_METHOD(admin_import_key, true);
WORLD_METHOD(admin_add_member, true);

static Allod__V1__Key *show(struct call *call, const struct model_key *key)
{
        Allod__V1__Key *shown = CALL_NEW(call, Allod__V1__Key, ALLOD__V1__KEY__INIT);

        shown->id = (char *)call_printf(call, "%s", key->name.text);
        shown->name = (char *)call_printf(call, "%s", key->title);
        shown->created_at = call_time(call, key->created_ms);
        if (key->revoked_ms != 0) shown->revoked_at = call_time(call, key->revoked_ms);
        return shown;
}

/* ---- KeyService ---- */

/* The secret is the answer's to say; with it the key can be used. */
static void learn_secret(struct game *game, const struct call *call, const ProtobufCMessage *reply)
{
        Allod__V1__CreateKeyResponse *response = (Allod__V1__CreateKeyResponse *)reply;

        assert_int_equal(apikey_text_check(bytes_of_text(response->secret)), R_OK);
        assert_int_equal(apikey_digest(bytes_of_text(response->secret), game->model.keys[call->key].digest), R_OK);
        response->secret = (char *)"";
}

bool generate_key_create(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__CreateKeyRequest *request =
                CALL_NEW(call, Allod__V1__CreateKeyRequest, ALLOD__V1__CREATE_KEY_REQUEST__INIT);
        Allod__V1__CreateKeyResponse *response =
                CALL_NEW(call, Allod__V1__CreateKeyResponse, ALLOD__V1__CREATE_KEY_RESPONSE__INIT);
        struct model_key key = {.created_ms = call->time_ms};
        uint64_t random = dice_next(&game->dice);

        if (model->key_count == KEYS_MAX || game->is_batch) return false;
        call->method = &method_apikey_create;
        call->actor = any_actor(game);
        call->request = &request->base;
        memcpy(call->seed, &random, sizeof random);
        text_with(game, key.title,
                  model->users[aim(game, &call->actor).is_team ? 0 : aim(game, &call->actor).index].canary);
        request->name = (char *)call_printf(call, "%s", key.title);
        call->result = model_open_self(model, &call->actor);
        if (call->result != R_OK) return true;
        key.name = call->id;
        key.user = model->keys[call->actor.key].user;
        call->key = model->key_count;
        model->keys[model->key_count++] = key;
        response->key = show(call, &key);
        call->type = &allod__v1__create_key_response__descriptor;
        call->reply = &response->base;
        call->learn = learn_secret;
        return true;
}

/* When a key was last used is written at leisure. */
static void forget_last_use(struct game *game, const struct call *call, const ProtobufCMessage *reply)
{
        const Allod__V1__ListKeysResponse *response = (const Allod__V1__ListKeysResponse *)reply;
        size_t i;

        (void)game;
        (void)call;
        for (i = 0; i < response->n_keys; i++)
                response->keys[i]->last_used_at = NULL;
}

bool generate_key_list(struct game *game, struct call *call)
{
        Allod__V1__ListKeysRequest *request =
                CALL_NEW(call, Allod__V1__ListKeysRequest, ALLOD__V1__LIST_KEYS_REQUEST__INIT);
        Allod__V1__ListKeysResponse *list =
                CALL_NEW(call, Allod__V1__ListKeysResponse, ALLOD__V1__LIST_KEYS_RESPONSE__INIT);
        int i;

        call->method = &method_apikey_list;
        call->actor = any_actor(game);
        call->request = &request->base;
        request->page_size = (int)dice_below(&game->dice, 4);
        call->page_rows = request->page_size == 0 ? 100 : request->page_size;
        call->result = model_open_self(&game->model, &call->actor);
        if (call->result != R_OK) return true;
        list->keys = call_list(call, KEYS_MAX);
        for (i = game->model.key_count - 1; i >= 0; i--)
                if (game->model.keys[i].user == game->model.keys[call->actor.key].user)
                        list->keys[list->n_keys++] = show(call, &game->model.keys[i]);
        call->type = &allod__v1__list_keys_response__descriptor;
        call->reply = &list->base;
        call->learn = forget_last_use;
        return true;
}

bool generate_key_revoke(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__RevokeKeyRequest *request =
                CALL_NEW(call, Allod__V1__RevokeKeyRequest, ALLOD__V1__REVOKE_KEY_REQUEST__INIT);
        int key = (int)dice_below(&game->dice, (unsigned)model->key_count);

        call->method = &method_apikey_revoke;
        call->actor = any_actor(game);
        call->request = &request->base;
        if (dice_percent(&game->dice, 60) && call->actor.key != NONE) key = call->actor.key;
        request->id = model->keys[key].name.text;
        call->result = model_open_self(model, &call->actor);
        if (call->result != R_OK) return true;
        if (model->keys[key].user != model->keys[call->actor.key].user)
                call->result = R_ABSENT;
        else if (model->keys[key].revoked_ms == 0)
                model->keys[key].revoked_ms = call->time_ms;
        return true;
}

/* ---- AdminService ---- */

bool generate_user_create(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__CreateUserRequest *request =
                CALL_NEW(call, Allod__V1__CreateUserRequest, ALLOD__V1__CREATE_USER_REQUEST__INIT);
        Allod__V1__User *response = CALL_NEW(call, Allod__V1__User, ALLOD__V1__USER__INIT);
        struct model_user *user = &model->users[model->user_count];
        char title[TEXT_SIZE];

        if (model->user_count == USERS_MAX) return false;
        *user = (struct model_user){.name = call->id, .exists = true, .created_ms = call->time_ms};
        canary_make(game, user->canary);
        text_with(game, title, user->canary);
        model->user_count++;
        call->method = &method_admin_create_user;
        call->actor = administrator();
        call->request = &request->base;
        request->name = (char *)call_printf(call, "%s", title);
        response->id = user->name.text;
        response->name = request->name;
        response->created_at = call_time(call, call->time_ms);
        call->type = &allod__v1__user__descriptor;
        call->reply = &response->base;
        return true;
}

bool generate_user_delete(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__DeleteUserRequest *request =
                CALL_NEW(call, Allod__V1__DeleteUserRequest, ALLOD__V1__DELETE_USER_REQUEST__INIT);
        int user = (int)dice_below(&game->dice, (unsigned)model->user_count);
        int i;

        call->method = &method_admin_delete_user;
        call->actor = administrator();
        call->request = &request->base;
        request->id = model->users[user].name.text;
        call->result = model->users[user].exists ? R_OK : R_ABSENT;
        for (i = 0; i < model->team_count; i++)
                if (model->teams[i].exists && model_is_last_owner(model, i, user)) call->result = R_WRONG_STATE;
        if (call->result == R_OK) model_delete_user(model, user);
        return true;
}

bool generate_key_import(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__ImportKeyRequest *request =
                CALL_NEW(call, Allod__V1__ImportKeyRequest, ALLOD__V1__IMPORT_KEY_REQUEST__INIT);
        Allod__V1__ImportKeyResponse *response =
                CALL_NEW(call, Allod__V1__ImportKeyResponse, ALLOD__V1__IMPORT_KEY_RESPONSE__INIT);
        struct model_key *key = &model->keys[model->key_count];
        int user = (int)dice_below(&game->dice, (unsigned)model->user_count);

        if (model->key_count == KEYS_MAX) return false;
        *key = (struct model_key){.name = call->id, .user = user, .created_ms = call->time_ms};
        text_with(game, key->title, model->users[user].canary);
        call->method = &method_admin_import_key;
        call->actor = administrator();
        call->request = &request->base;
        request->user_id = model->users[user].name.text;
        request->name = (char *)call_printf(call, "%s", key->title);
        request->secret = (char *)call_printf(call, "imported-%016llx", (unsigned long long)dice_next(&game->dice));
        call->result = model->users[user].exists ? R_OK : R_ABSENT;
        if (call->result != R_OK) return true;
        assert_int_equal(apikey_digest(bytes_of_text(request->secret), key->digest), R_OK);
        model->key_count++;
        response->key = show(call, key);
        call->type = &allod__v1__import_key_response__descriptor;
        call->reply = &response->base;
        return true;
}

bool generate_add_member(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        Allod__V1__AddMemberRequest *request =
                CALL_NEW(call, Allod__V1__AddMemberRequest, ALLOD__V1__ADD_MEMBER_REQUEST__INIT);
        Allod__V1__Member *response = CALL_NEW(call, Allod__V1__Member, ALLOD__V1__MEMBER__INIT);
        struct model_invitation *invitation;
        int team, user;

        if (model->team_count == 0) return false;
        team = (int)dice_below(&game->dice, (unsigned)model->team_count);
        user = (int)dice_below(&game->dice, (unsigned)model->user_count);
        call->method = &method_admin_add_member;
        call->actor = administrator();
        call->request = &request->base;
        request->team_id = model->teams[team].name.text;
        request->user_id = model->users[user].name.text;
        request->role = 1 + (int)dice_below(&game->dice, 3);
        if (!model->teams[team].exists || !model->users[user].exists)
                call->result = R_ABSENT;
        else if (model_member(model, team, user) != NULL)
                call->result = R_EXISTS;
        if (call->result != R_OK) return true;
        model_add_member(model, team, user, request->role, call->time_ms);
        invitation = model_invitation(model, team, user);
        if (invitation != NULL) invitation->exists = false;
        response->user_id = request->user_id;
        response->team_id = request->team_id;
        response->role = request->role;
        response->joined_at = call_time(call, call->time_ms);
        call->type = &allod__v1__member__descriptor;
        call->reply = &response->base;
        return true;
}
