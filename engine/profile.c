#include "engine/profile.h"

#include <string.h>

#include "engine/etag.h"
#include "engine/require.h"

/* allod.v1.Team, TeamSettings, User */
enum {
        TEAM_ID = 1,
        TEAM_NAME,
        TEAM_SETTINGS,
        TEAM_CREATED_AT,
        TEAM_UPDATED_AT,
        TEAM_CREATED_BY,
        TEAM_ETAG
};
enum {
        SETTINGS_CREATE = 1,
        SETTINGS_EDIT,
        SETTINGS_RUN,
        SETTINGS_DELETE,
        SETTINGS_SHARE
};
enum {
        USER_ID = 1,
        USER_NAME,
        USER_CREATED_AT
};

static const struct row profile_row = {.kind = ROW_PROFILE};

enum result profile_get(const struct scope *scope, struct profile *out)
{
        struct record record;
        enum result r;

        if ((r = scope_get(scope, &profile_row, &record)) != R_OK) return r;
        if ((r = message_load(store_v1_Profile_fields, record.body, &out->content)) != R_OK) return r;
        out->revision = record.revision;
        return R_OK;
}

void profile_begin(const struct scope *scope, const char *name, struct profile *out)
{
        static const struct uuid nobody;
        struct uuid actor = scope_actor(scope);
        store_v1_Profile *content = &out->content;

        *out = (struct profile){.content = store_v1_Profile_init_zero};
        profile_set_name(out, name);
        content->created_at_ms = content->updated_at_ms = txn_time_ms(scope_txn(scope));
        if (!uuid_equal(actor, nobody)) {
                content->created_by.size = UUID_SIZE;
                memcpy(content->created_by.bytes, actor.bytes, UUID_SIZE);
        }
}

void profile_set_name(struct profile *profile, const char *name)
{
        size_t len = strlen(name);

        REQUIRE(len < sizeof profile->content.name);
        memcpy(profile->content.name, name, len + 1);
}

enum result profile_put(const struct scope *scope, enum change_operation operation, struct profile *profile)
{
        struct bytes body;
        uint64_t revision;
        enum result r;

        if ((r = message_store(txn_arena(scope_txn(scope)), store_v1_Profile_fields, &profile->content, &body)) != R_OK)
                return r;
        if ((r = scope_change(scope, operation, &profile_row, &revision)) != R_OK) return r;
        if ((r = scope_put(scope, &profile_row, revision, body)) != R_OK) return r;
        profile->revision = revision;
        return R_OK;
}

enum result profile_delete(const struct scope *scope)
{
        uint64_t revision;
        enum result r;

        if ((r = scope_change(scope, CHANGE_DELETE, &profile_row, &revision)) != R_OK) return r;
        if ((r = scope_delete(scope, &profile_row)) != R_OK) return r;
        return scope_purge_owner(scope);
}

void profile_reply_team(const struct scope *scope, const struct profile *profile, struct message *reply)
{
        const store_v1_Profile *content = &profile->content;
        struct uuid creator;
        char etag[ETAG_SIZE];
        size_t settings;

        etag_of(scope_txn(scope), profile->revision, etag);
        message_uuid(reply, TEAM_ID, scope_owner(scope).id);
        message_bytes(reply, TEAM_NAME, bytes_of_text(content->name));
        settings = message_begin(reply, TEAM_SETTINGS);
        message_bool(reply, SETTINGS_CREATE, content->settings.member_can_create);
        message_bool(reply, SETTINGS_EDIT, content->settings.member_can_edit);
        message_bool(reply, SETTINGS_RUN, content->settings.member_can_run);
        message_bool(reply, SETTINGS_DELETE, content->settings.member_can_delete);
        message_bool(reply, SETTINGS_SHARE, content->settings.member_can_share);
        message_end(reply, settings);
        message_timestamp(reply, TEAM_CREATED_AT, content->created_at_ms);
        message_timestamp(reply, TEAM_UPDATED_AT, content->updated_at_ms);
        if (content->created_by.size == UUID_SIZE) {
                memcpy(creator.bytes, content->created_by.bytes, UUID_SIZE);
                message_uuid(reply, TEAM_CREATED_BY, creator);
        }
        message_bytes(reply, TEAM_ETAG, bytes_of_text(etag));
}

void profile_reply_user(const struct scope *scope, const struct profile *profile, struct message *reply)
{
        message_uuid(reply, USER_ID, scope_owner(scope).id);
        message_bytes(reply, USER_NAME, bytes_of_text(profile->content.name));
        message_timestamp(reply, USER_CREATED_AT, profile->content.created_at_ms);
}
