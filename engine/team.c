#include "engine/team.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "engine/etag.h"
#include "engine/field.h"
#include "engine/mask.h"
#include "engine/membership.h"
#include "engine/page.h"
#include "engine/profile.h"
#include "engine/scope.h"

/* allod.v1.ListTeamsResponse */
enum {
        LIST_TEAMS = 1,
        LIST_TOKEN
};

/* What a MEMBER may do: where it is in a request and in a profile. */
static const struct setting {
        const char *path;
        size_t sent, stored;
} settings[] = {
        {"settings.member_can_create", offsetof(Allod__V1__TeamSettings, member_can_create),
         offsetof(store_v1_Settings, member_can_create)},
        {"settings.member_can_edit", offsetof(Allod__V1__TeamSettings, member_can_edit),
         offsetof(store_v1_Settings, member_can_edit)},
        {"settings.member_can_run", offsetof(Allod__V1__TeamSettings, member_can_run),
         offsetof(store_v1_Settings, member_can_run)},
        {"settings.member_can_delete", offsetof(Allod__V1__TeamSettings, member_can_delete),
         offsetof(store_v1_Settings, member_can_delete)},
        {"settings.member_can_share", offsetof(Allod__V1__TeamSettings, member_can_share),
         offsetof(store_v1_Settings, member_can_share)},
};

#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static bool sent_setting(const struct setting *setting, const Allod__V1__TeamSettings *sent)
{
        return sent != NULL && *(const protobuf_c_boolean *)((const char *)sent + setting->sent) != 0;
}

static void store_setting(const struct setting *setting, bool value, store_v1_Settings *stored)
{
        *(bool *)((char *)stored + setting->stored) = value;
}

/* The team that a request names and its profile, for a caller who has `right` there. */
static enum result open_team(struct txn *txn, const struct credential *who, const char *id, enum right right,
                             const struct scope **team, struct profile *profile)
{
        enum result r;

        if ((r = scope_open_team(txn, who, field_to_uuid(id), right, team)) != R_OK) return r;
        r = profile_get(*team, profile);
        return r == R_ABSENT ? R_CORRUPT : r; /* a team that has members has a profile */
}

/* ---- The team ---- */

enum result team_create_check(const Allod__V1__CreateTeamRequest *request, struct fault *fault)
{
        if (request->team == NULL) return fault_field(fault, "team", "is required");
        field_name(fault, "team.name", request->team->name);
        return field_outcome(fault);
}

enum result team_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateTeamRequest *request,
                        struct message *reply)
{
        store_v1_Settings stored = role_settings_default;
        const struct scope *self, *team;
        size_t i;
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        if ((r = scope_new_team(self, txn_id(txn), &team)) != R_OK) return r;
        if (request->team->settings != NULL)
                for (i = 0; i < SETTING_COUNT; i++)
                        store_setting(&settings[i], sent_setting(&settings[i], request->team->settings), &stored);
        return team_add(team, self, request->team->name, &stored, reply);
}

enum result team_add(const struct scope *team, const struct scope *user, const char *name,
                     const store_v1_Settings *new_settings, struct message *reply)
{
        struct member owner = {
                .user = scope_owner(user).id,
                .content = {ALLOD__V1__ROLE__ROLE_OWNER, txn_time_ms(scope_txn(team))},
        };
        struct profile profile;
        enum result r;

        if ((r = membership_check_user_room(user)) != R_OK) return r;
        profile_begin(team, name, &profile);
        profile.content.has_settings = true;
        profile.content.settings = *new_settings;
        if ((r = membership_add(team, CHANGE_CREATE, &profile, user, &owner)) != R_OK) return r;
        profile_reply_team(team, &profile, reply);
        return R_OK;
}

enum result team_get_check(const Allod__V1__GetTeamRequest *request, struct fault *fault)
{
        field_uuid(fault, "id", request->id);
        return field_outcome(fault);
}

enum result team_get(struct txn *txn, const struct credential *who, const Allod__V1__GetTeamRequest *request,
                     struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        if ((r = open_team(txn, who, request->id, RIGHT_READ, &team, &profile)) != R_OK) return r;
        profile_reply_team(team, &profile, reply);
        return R_OK;
}

enum result team_list_check(const Allod__V1__ListTeamsRequest *request, struct fault *fault)
{
        return page_check(request->page_size, fault);
}

enum result team_list(struct txn *txn, const struct credential *who, const Allod__V1__ListTeamsRequest *request,
                      struct message *reply)
{
        const struct row kind = {.kind = ROW_MEMBERSHIP};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *self, *team;
        struct profile profile;
        struct record record;
        struct page page;
        struct row row;
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        if ((r = page_open(&page, self, &kind, true, request->page_size, request->page_token, &scan, reply)) != R_OK)
                return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK && !page_is_full(&page)) {
                size_t mark;

                r = scope_open_team(txn, who, row.id, RIGHT_READ, &team);
                if (r == R_NOT_MEMBER) continue; /* a pointer without its member row counts for nothing */
                if (r != R_OK) return r;
                if ((r = profile_get(team, &profile)) != R_OK) return r == R_ABSENT ? R_CORRUPT : r;
                page_row(&page, &row);
                mark = message_begin(reply, LIST_TEAMS);
                profile_reply_team(team, &profile, reply);
                message_end(reply, mark);
        }
        return page_end(&page, r, self, ROW_MEMBERSHIP, LIST_TOKEN);
}

enum result team_update_check(const Allod__V1__UpdateTeamRequest *request, struct fault *fault)
{
        const char *allowed[SETTING_COUNT + 2] = {"name", "settings"};
        size_t i;

        if (request->team == NULL) return fault_field(fault, "team", "is required");
        for (i = 0; i < SETTING_COUNT; i++)
                allowed[i + 2] = settings[i].path;
        field_uuid(fault, "team.id", request->team->id);
        if (mask_covers(request->update_mask, "name"))
                field_name(fault, "team.name", request->team->name);
        else if (mask_is_empty(request->update_mask))
                field_name_or_empty(fault, "team.name", request->team->name);
        if (mask_check(request->update_mask, allowed, SETTING_COUNT + 2, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

/* Without a mask, what is not default is set. */
static void apply_update(const Allod__V1__UpdateTeamRequest *request, struct profile *profile)
{
        const Google__Protobuf__FieldMask *mask = request->update_mask;
        const Allod__V1__Team *sent = request->team;
        size_t i;

        if (mask_is_empty(mask) ? sent->name[0] != '\0' : mask_covers(mask, "name"))
                profile_set_name(profile, sent->name);
        for (i = 0; i < SETTING_COUNT; i++) {
                bool value = sent_setting(&settings[i], sent->settings);

                if (mask_is_empty(mask) ? value : mask_covers(mask, settings[i].path))
                        store_setting(&settings[i], value, &profile->content.settings);
        }
        profile->content.has_settings = true;
}

enum result team_update(struct txn *txn, const struct credential *who, const Allod__V1__UpdateTeamRequest *request,
                        struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        if ((r = open_team(txn, who, request->team->id, RIGHT_MANAGE, &team, &profile)) != R_OK) return r;
        if ((r = etag_match(txn, request->team->etag, profile.revision)) != R_OK) return r;
        apply_update(request, &profile);
        profile.content.updated_at_ms = txn_time_ms(txn);
        if ((r = profile_put(team, CHANGE_UPDATE, &profile)) != R_OK) return r;
        profile_reply_team(team, &profile, reply);
        return R_OK;
}

enum result team_delete_check(const Allod__V1__DeleteTeamRequest *request, struct fault *fault)
{
        field_uuid(fault, "id", request->id);
        return field_outcome(fault);
}

enum result team_delete(struct txn *txn, const struct credential *who, const Allod__V1__DeleteTeamRequest *request,
                        struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        (void)reply;
        if ((r = open_team(txn, who, request->id, RIGHT_OWN, &team, &profile)) != R_OK) return r;
        if ((r = etag_match(txn, request->etag, profile.revision)) != R_OK) return r;
        return team_erase(team);
}

/* The profile's change row stands for the members' too. */
enum result team_erase(const struct scope *team)
{
        const struct row kind = {.kind = ROW_MEMBER};
        const struct row pointer = {.kind = ROW_MEMBERSHIP, .id = scope_owner(team).id};
        SCAN_SCOPE struct scan scan = {0};
        const struct scope *inbox;
        struct record record;
        struct row row;
        enum result r;

        if ((r = scan_open(team, &kind, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                r = scope_inbox(team, row.id, &inbox);
                if (r == R_OK) r = scope_delete(inbox, &pointer);
                if (r != R_OK && r != R_ABSENT) return r;
                if ((r = scope_delete(team, &row)) != R_OK) return r;
        }
        return r == R_ABSENT ? profile_delete(team) : r;
}

/* ---- Its members ---- */

enum result team_list_members_check(const Allod__V1__ListMembersRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        if (page_check(request->page_size, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

enum result team_list_members(struct txn *txn, const struct credential *who,
                              const Allod__V1__ListMembersRequest *request, struct message *reply)
{
        const struct scope *team;
        enum result r;

        if ((r = scope_open_team(txn, who, field_to_uuid(request->team_id), RIGHT_READ, &team)) != R_OK) return r;
        return membership_reply_list(team, request->page_size, request->page_token, reply);
}

enum result team_update_member_check(const Allod__V1__UpdateMemberRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        field_uuid(fault, "user_id", request->user_id);
        field_role(fault, "role", request->role);
        return field_outcome(fault);
}

/* The member that a request names, if the caller may change or remove them: only an OWNER touches an OWNER. */
static enum result open_member(const struct scope *team, const char *user_id, struct member *member)
{
        enum result r;

        if ((r = membership_get(team, field_to_uuid(user_id), member)) != R_OK) return r;
        return member->content.role == ALLOD__V1__ROLE__ROLE_OWNER ? scope_require(team, RIGHT_OWN) : R_OK;
}

enum result team_update_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__UpdateMemberRequest *request, struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        struct member member;
        enum result r;

        if ((r = open_team(txn, who, request->team_id, RIGHT_MANAGE, &team, &profile)) != R_OK) return r;
        if (request->role == ALLOD__V1__ROLE__ROLE_OWNER && (r = scope_require(team, RIGHT_OWN)) != R_OK) return r;
        if ((r = open_member(team, request->user_id, &member)) != R_OK) return r;
        if ((r = membership_check_last_owner(team, &profile, &member, request->role)) != R_OK) return r;
        if ((r = membership_set_role(team, &profile, &member, request->role)) != R_OK) return r;
        membership_reply(team, &member, reply);
        return R_OK;
}

enum result team_remove_member_check(const Allod__V1__RemoveMemberRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        field_uuid(fault, "user_id", request->user_id);
        return field_outcome(fault);
}

/* What removing and leaving have in common, once it is settled that the caller may. */
static enum result remove_member(const struct scope *team, struct profile *profile, const struct member *member)
{
        const struct scope *inbox;
        enum result r;

        if ((r = membership_check_last_owner(team, profile, member, 0)) != R_OK) return r;
        r = scope_inbox(team, member->user, &inbox);
        if (r != R_OK && r != R_ABSENT) return r;
        return membership_remove(team, profile, r == R_OK ? inbox : NULL, member);
}

enum result team_remove_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__RemoveMemberRequest *request, struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        struct member member;
        enum result r;

        (void)reply;
        if ((r = open_team(txn, who, request->team_id, RIGHT_MANAGE, &team, &profile)) != R_OK) return r;
        if ((r = open_member(team, request->user_id, &member)) != R_OK) return r;
        return remove_member(team, &profile, &member);
}

enum result team_leave_check(const Allod__V1__LeaveTeamRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        return field_outcome(fault);
}

enum result team_leave(struct txn *txn, const struct credential *who, const Allod__V1__LeaveTeamRequest *request,
                       struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        struct member member;
        enum result r;

        (void)reply;
        if ((r = open_team(txn, who, request->team_id, RIGHT_READ, &team, &profile)) != R_OK) return r;
        if ((r = membership_get(team, scope_actor(team), &member)) != R_OK) return r;
        return remove_member(team, &profile, &member);
}
