#include "engine/admin.h"

#include <string.h>

#include "build/config.h"
#include "engine/apikey.h"
#include "engine/field.h"
#include "engine/invitation.h"
#include "engine/limits.h"
#include "engine/membership.h"
#include "engine/page.h"
#include "engine/profile.h"
#include "engine/scope.h"
#include "engine/team.h"

/* What ListUsersResponse and AdminListTeamsResponse share; AddKeyResponse and ImportKeyResponse behind their key */
enum {
        LIST_OWNERS = 1,
        LIST_TOKEN
};
enum {
        ANSWER_SECRET = 2,
        ANSWER_WARNING = 2
};

/* ---- Owners ---- */

static enum result owner_absent(struct txn *txn, enum owner_kind kind, const char *id)
{
        return fault_set(txn_fault(txn), R_ABSENT, "%s with ID '%s' not found.", kind == OWNER_USER ? "User" : "Team",
                         id);
}

/* The owner that a request names, who must exist, and the profile. */
static enum result open_owner(struct txn *txn, const struct credential *who, enum owner_kind kind, const char *id,
                              const struct scope **scope, struct profile *profile)
{
        enum result r;

        r = scope_admin(txn, who, (struct owner){kind, field_to_uuid(id)}, "", scope);
        if (r == R_OK) r = profile_get(*scope, profile);
        return r == R_ABSENT ? owner_absent(txn, kind, id) : r;
}

/* An owner who is to be made, with the given id or, when it is empty, the call's. */
static enum result open_new_owner(struct txn *txn, const struct credential *who, enum owner_kind kind, const char *id,
                                  const struct scope **scope)
{
        struct owner owner = {kind, id[0] == '\0' ? txn_id(txn) : field_to_uuid(id)};
        struct profile profile;
        enum result r;

        r = scope_admin(txn, who, owner, "", scope);
        if (r == R_ABSENT) return fault_set(txn_fault(txn), R_EXISTS, "This ID was deleted and is not free yet.");
        if (r == R_OK) r = profile_get(*scope, &profile);
        if (r == R_OK) return fault_set(txn_fault(txn), R_EXISTS, "This ID is taken.");
        return r == R_ABSENT ? R_OK : r;
}

/* The token of these lists is the last id of the page: administrators may see every id, so there is nothing to hide or
 * to forge. */
static enum result list_owners(struct txn *txn, const struct credential *who, enum owner_kind kind, int32_t page_size,
                               const char *page_token, struct message *reply)
{
        struct scope_walk walk = {.owner = {.kind = kind}};
        const struct scope *scope;
        struct profile profile;
        struct page page;
        enum result r;

        if (who->plane != PLANE_ADMIN) return R_UNAUTHENTICATED;
        if (page_token[0] != '\0') {
                walk.has_owner = true;
                walk.owner.id = field_to_uuid(page_token);
        }
        page_begin(&page, page_size, reply);
        while ((r = scope_each(txn, kind, &walk, &scope)) == R_OK) {
                struct row row = {.kind = ROW_PROFILE, .id = walk.owner.id};
                size_t mark;

                r = profile_get(scope, &profile);
                if (r == R_ABSENT) continue; /* it is being purged */
                if (r != R_OK) return r;
                if (page_is_full(&page)) {
                        message_uuid(reply, LIST_TOKEN, page.last.id);
                        return R_OK;
                }
                page_row(&page, &row);
                mark = message_begin(reply, LIST_OWNERS);
                if (kind == OWNER_USER)
                        profile_reply_user(scope, &profile, reply);
                else
                        profile_reply_team(scope, &profile, reply);
                message_end(reply, mark);
        }
        return r == R_ABSENT ? R_OK : r;
}

static enum result list_owners_check(int32_t page_size, const char *page_token, struct fault *fault)
{
        struct uuid id;

        if (page_token[0] != '\0' && uuid_parse(bytes_of_text(page_token), &id) != R_OK)
                (void)fault_field(fault, "page_token", "is not one of this list");
        if (page_check(page_size, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

static enum result id_check(const char *id, struct fault *fault)
{
        field_uuid(fault, "id", id);
        return field_outcome(fault);
}

/* ---- Users ---- */

enum result admin_create_user_check(const Allod__V1__CreateUserRequest *request, struct fault *fault)
{
        field_uuid_or_empty(fault, "id", request->id);
        field_name_or_empty(fault, "name", request->name);
        return field_outcome(fault);
}

enum result admin_create_user(struct txn *txn, const struct credential *who,
                              const Allod__V1__CreateUserRequest *request, struct message *reply)
{
        const struct scope *user;
        struct profile profile;
        enum result r;

        if ((r = open_new_owner(txn, who, OWNER_USER, request->id, &user)) != R_OK) return r;
        profile_begin(user, request->name, &profile);
        if ((r = profile_put(user, CHANGE_CREATE, &profile)) != R_OK) return r;
        profile_reply_user(user, &profile, reply);
        return R_OK;
}

enum result admin_get_user_check(const Allod__V1__GetUserRequest *request, struct fault *fault)
{
        return id_check(request->id, fault);
}

enum result admin_get_user(struct txn *txn, const struct credential *who, const Allod__V1__GetUserRequest *request,
                           struct message *reply)
{
        const struct scope *user;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_USER, request->id, &user, &profile)) != R_OK) return r;
        profile_reply_user(user, &profile, reply);
        return R_OK;
}

enum result admin_list_users_check(const Allod__V1__ListUsersRequest *request, struct fault *fault)
{
        return list_owners_check(request->page_size, request->page_token, fault);
}

enum result admin_list_users(struct txn *txn, const struct credential *who, const Allod__V1__ListUsersRequest *request,
                             struct message *reply)
{
        return list_owners(txn, who, OWNER_USER, request->page_size, request->page_token, reply);
}

enum result admin_delete_user_check(const Allod__V1__DeleteUserRequest *request, struct fault *fault)
{
        return id_check(request->id, fault);
}

/* The teams that a user is in. A pointer that leads nowhere is none. */
struct teams {
        const struct scope *scopes[USER_TEAMS_MAX];
        size_t count;
        size_t last_owned_count; /* of them, those with no other OWNER */
};

/* R_ABSENT: the pointer leads nowhere. */
static enum result open_team_of(struct txn *txn, const struct credential *who, struct uuid user, struct uuid id,
                                struct teams *teams)
{
        const struct scope *team;
        struct profile profile;
        struct member member;
        enum result r;

        if ((r = scope_admin(txn, who, (struct owner){OWNER_TEAM, id}, "a member is deleted", &team)) != R_OK) return r;
        if ((r = profile_get(team, &profile)) != R_OK) return r;
        if ((r = membership_get(team, user, &member)) != R_OK) return r;
        r = membership_check_last_owner(team, &profile, &member, 0);
        if (r != R_OK && r != R_WRONG_STATE) return r;
        if (r == R_WRONG_STATE) teams->last_owned_count++;
        if (teams->count == USER_TEAMS_MAX) return R_CORRUPT;
        teams->scopes[teams->count++] = team;
        return R_OK;
}

static enum result open_teams_of(struct txn *txn, const struct credential *who, const struct scope *user,
                                 struct teams *teams)
{
        const struct row kind = {.kind = ROW_MEMBERSHIP};
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        struct row row;
        enum result r;

        if ((r = scan_open(user, &kind, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                r = open_team_of(txn, who, scope_owner(user).id, row.id, teams);
                if (r != R_OK && r != R_ABSENT) return r;
        }
        return r == R_ABSENT ? R_OK : r;
}

static enum result leave_team(const struct scope *team, const struct scope *user)
{
        struct profile profile;
        struct member member;
        enum result r;

        if ((r = profile_get(team, &profile)) != R_OK) return r;
        if ((r = membership_get(team, scope_owner(user).id, &member)) != R_OK) return r;
        return membership_remove(team, &profile, user, &member);
}

/* The user's keys are dead at once, since no key counts without its user's profile. */
enum result admin_delete_user(struct txn *txn, const struct credential *who,
                              const Allod__V1__DeleteUserRequest *request, struct message *reply)
{
        struct teams *teams = arena_zalloc(txn_arena(txn), sizeof *teams);
        const struct scope *user;
        struct profile profile;
        size_t i;
        enum result r;

        (void)reply;
        if (teams == NULL) return R_NO_MEMORY;
        if ((r = open_owner(txn, who, OWNER_USER, request->id, &user, &profile)) != R_OK) return r;
        if ((r = open_teams_of(txn, who, user, teams)) != R_OK) return r;
        if (teams->last_owned_count > 0)
                return fault_set(txn_fault(txn), R_WRONG_STATE, "The user is the last OWNER of %zu team%s.",
                                 teams->last_owned_count, teams->last_owned_count == 1 ? "" : "s");
        for (i = 0; i < teams->count; i++)
                if ((r = leave_team(teams->scopes[i], user)) != R_OK) return r;
        return profile_delete(user);
}

/* ---- Teams ---- */

enum result admin_create_team_check(const Allod__V1__AdminCreateTeamRequest *request, struct fault *fault)
{
        field_uuid_or_empty(fault, "id", request->id);
        field_name(fault, "name", request->name);
        field_uuid(fault, "owner_user_id", request->owner_user_id);
        return field_outcome(fault);
}

enum result admin_create_team(struct txn *txn, const struct credential *who,
                              const Allod__V1__AdminCreateTeamRequest *request, struct message *reply)
{
        const struct scope *user, *team;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_USER, request->owner_user_id, &user, &profile)) != R_OK) return r;
        if ((r = open_new_owner(txn, who, OWNER_TEAM, request->id, &team)) != R_OK) return r;
        return team_add(team, user, request->name, &role_settings_default, reply);
}

enum result admin_get_team_check(const Allod__V1__AdminGetTeamRequest *request, struct fault *fault)
{
        return id_check(request->id, fault);
}

enum result admin_get_team(struct txn *txn, const struct credential *who, const Allod__V1__AdminGetTeamRequest *request,
                           struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_TEAM, request->id, &team, &profile)) != R_OK) return r;
        profile_reply_team(team, &profile, reply);
        return R_OK;
}

enum result admin_list_teams_check(const Allod__V1__AdminListTeamsRequest *request, struct fault *fault)
{
        return list_owners_check(request->page_size, request->page_token, fault);
}

enum result admin_list_teams(struct txn *txn, const struct credential *who,
                             const Allod__V1__AdminListTeamsRequest *request, struct message *reply)
{
        return list_owners(txn, who, OWNER_TEAM, request->page_size, request->page_token, reply);
}

enum result admin_delete_team_check(const Allod__V1__AdminDeleteTeamRequest *request, struct fault *fault)
{
        return id_check(request->id, fault);
}

enum result admin_delete_team(struct txn *txn, const struct credential *who,
                              const Allod__V1__AdminDeleteTeamRequest *request, struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        (void)reply;
        if ((r = open_owner(txn, who, OWNER_TEAM, request->id, &team, &profile)) != R_OK) return r;
        return team_erase(team);
}

/* ---- Members ---- */

static enum result member_check(const char *team_id, const char *user_id, struct fault *fault)
{
        field_uuid(fault, "team_id", team_id);
        field_uuid(fault, "user_id", user_id);
        return field_outcome(fault);
}

enum result admin_add_member_check(const Allod__V1__AddMemberRequest *request, struct fault *fault)
{
        field_role(fault, "role", request->role);
        return member_check(request->team_id, request->user_id, fault);
}

/* An invitation that the user had from the team has done its work. */
enum result admin_add_member(struct txn *txn, const struct credential *who, const Allod__V1__AddMemberRequest *request,
                             struct message *reply)
{
        struct member member = {
                .user = field_to_uuid(request->user_id),
                .content = {request->role, txn_time_ms(txn)},
        };
        const struct scope *team, *user;
        struct profile profile, user_profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_TEAM, request->team_id, &team, &profile)) != R_OK) return r;
        if ((r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &user_profile)) != R_OK) return r;
        if ((r = membership_check_absent(team, member.user)) != R_OK) return r;
        if ((r = membership_check_team_room(team, &profile)) != R_OK) return r;
        if ((r = membership_check_user_room(user)) != R_OK) return r;

        if ((r = membership_add(team, CHANGE_UPDATE, &profile, user, &member)) != R_OK) return r;
        r = invitation_delete(user, scope_owner(team).id);
        if (r != R_OK && r != R_ABSENT) return r;
        membership_reply(team, &member, reply);
        return R_OK;
}

enum result admin_list_members_check(const Allod__V1__AdminListMembersRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        if (page_check(request->page_size, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

enum result admin_list_members(struct txn *txn, const struct credential *who,
                               const Allod__V1__AdminListMembersRequest *request, struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_TEAM, request->team_id, &team, &profile)) != R_OK) return r;
        return membership_reply_list(team, request->page_size, request->page_token, reply);
}

enum result admin_set_member_role_check(const Allod__V1__SetMemberRoleRequest *request, struct fault *fault)
{
        field_role(fault, "role", request->role);
        return member_check(request->team_id, request->user_id, fault);
}

enum result admin_set_member_role(struct txn *txn, const struct credential *who,
                                  const Allod__V1__SetMemberRoleRequest *request, struct message *reply)
{
        const struct scope *team;
        struct profile profile;
        struct member member;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_TEAM, request->team_id, &team, &profile)) != R_OK) return r;
        if ((r = membership_get(team, field_to_uuid(request->user_id), &member)) != R_OK) return r;
        if ((r = membership_check_last_owner(team, &profile, &member, request->role)) != R_OK) return r;
        if ((r = membership_set_role(team, &profile, &member, request->role)) != R_OK) return r;
        membership_reply(team, &member, reply);
        return R_OK;
}

enum result admin_remove_member_check(const Allod__V1__AdminRemoveMemberRequest *request, struct fault *fault)
{
        return member_check(request->team_id, request->user_id, fault);
}

enum result admin_remove_member(struct txn *txn, const struct credential *who,
                                const Allod__V1__AdminRemoveMemberRequest *request, struct message *reply)
{
        const struct scope *team, *user;
        struct profile profile, user_profile;
        struct member member;
        enum result r;

        (void)reply;
        if ((r = open_owner(txn, who, OWNER_TEAM, request->team_id, &team, &profile)) != R_OK) return r;
        if ((r = membership_get(team, field_to_uuid(request->user_id), &member)) != R_OK) return r;
        if ((r = membership_check_last_owner(team, &profile, &member, 0)) != R_OK) return r;
        r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &user_profile);
        if (r != R_OK && r != R_ABSENT) return r;
        return membership_remove(team, &profile, r == R_OK ? user : NULL, &member);
}

/* ---- Keys ---- */

enum result admin_add_key_check(const Allod__V1__AddKeyRequest *request, struct fault *fault)
{
        field_uuid(fault, "user_id", request->user_id);
        field_name(fault, "name", request->name);
        field_time(fault, "expires_at", request->expires_at);
        return field_outcome(fault);
}

enum result admin_add_key(struct txn *txn, const struct credential *who, const Allod__V1__AddKeyRequest *request,
                          struct message *reply)
{
        char text[APIKEY_TEXT_LEN + 1];
        struct apikey_new new_key = {
                .id = txn_id(txn),
                .name = request->name,
                .text = text,
                .expires_ms = field_to_time_ms(request->expires_at),
        };
        const struct scope *user;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &profile)) != R_OK) return r;
        if ((r = apikey_make(txn_seed(txn), text)) != R_OK) return r;
        if ((r = apikey_add(user, &new_key, reply)) != R_OK) return r;
        message_bytes(reply, ANSWER_SECRET, bytes_of_text(text));
        return R_OK;
}

enum result admin_import_key_check(const Allod__V1__ImportKeyRequest *request, struct fault *fault)
{
        struct bytes secret = bytes_of_text(request->secret);

        field_uuid(fault, "user_id", request->user_id);
        field_name(fault, "name", request->name);
        field_time(fault, "expires_at", request->expires_at);
        if (apikey_text_check(secret) == R_OK) return field_outcome(fault);
        if (apikey_is_ours(secret))
                return fault_field(fault, "secret", "starts with %s, but its checksum is wrong", APIKEY_PREFIX);
        return fault_field(fault, "secret", "must be 1 to %d visible ASCII characters", IMPORTED_KEY_LEN_MAX);
}

enum result admin_import_key(struct txn *txn, const struct credential *who, const Allod__V1__ImportKeyRequest *request,
                             struct message *reply)
{
        struct apikey_new new_key = {
                .id = txn_id(txn),
                .name = request->name,
                .text = request->secret,
                .expires_ms = field_to_time_ms(request->expires_at),
        };
        const struct scope *user;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &profile)) != R_OK) return r;
        if ((r = apikey_add(user, &new_key, reply)) != R_OK) return r;
        if (strlen(request->secret) < IMPORTED_KEY_LEN_SAFE)
                message_bytes(reply, ANSWER_WARNING,
                              BYTES("The secret is short enough to be guessed: use it for tests only."));
        return R_OK;
}

enum result admin_list_keys_check(const Allod__V1__AdminListKeysRequest *request, struct fault *fault)
{
        field_uuid(fault, "user_id", request->user_id);
        if (page_check(request->page_size, fault) != R_OK) return R_BAD_ARGUMENT;
        return field_outcome(fault);
}

enum result admin_list_keys(struct txn *txn, const struct credential *who,
                            const Allod__V1__AdminListKeysRequest *request, struct message *reply)
{
        const struct scope *user;
        struct profile profile;
        enum result r;

        if ((r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &profile)) != R_OK) return r;
        return apikey_reply_list(user, request->page_size, request->page_token, reply);
}

enum result admin_revoke_key_check(const Allod__V1__AdminRevokeKeyRequest *request, struct fault *fault)
{
        field_uuid(fault, "user_id", request->user_id);
        field_uuid(fault, "id", request->id);
        return field_outcome(fault);
}

enum result admin_revoke_key(struct txn *txn, const struct credential *who,
                             const Allod__V1__AdminRevokeKeyRequest *request, struct message *reply)
{
        const struct scope *user;
        struct profile profile;
        enum result r;

        (void)reply;
        if ((r = open_owner(txn, who, OWNER_USER, request->user_id, &user, &profile)) != R_OK) return r;
        return apikey_cancel(user, field_to_uuid(request->id));
}

/* ---- Dumps ---- */

enum result admin_look(struct txn *txn, void *arg)
{
        const struct admin_look *look = arg;
        const struct scope *scope;
        enum result r;
        size_t i;

        for (i = 0; i < look->owner_count; i++) {
                r = scope_admin(txn, look->who, look->owners[i], look->why, &scope);
                if (r != R_OK && r != R_ABSENT) return r;
        }
        return R_OK;
}

/* ---- Stats ---- */

enum {
        STATS_VERSION = 1,
        STATS_STORE_ID,
        STATS_RESTORE_EPOCH,
        STATS_STORE_TIME,
        STATS_USED_BYTES,
        STATS_MAP_BYTES,
        STATS_RECORDS,
        STATS_KEYS,
        STATS_PURGE_BACKLOG,
        STATS_COMMITS,
        STATS_UPDATES,
        STATS_READ_ONLY = 13,
        STATS_DEMO = 17
};

enum result admin_get_stats_check(const Allod__V1__GetStatsRequest *request, struct fault *fault)
{
        (void)request;
        return field_outcome(fault);
}

enum result admin_get_stats(struct txn *txn, const struct credential *who, const Allod__V1__GetStatsRequest *request,
                            struct message *reply)
{
        struct store *store = txn_store(txn);
        struct store_stat stat;

        (void)request;
        if (who->plane != PLANE_ADMIN) return R_UNAUTHENTICATED;
        store_stat(txn, &stat);
        message_bytes(reply, STATS_VERSION, BYTES(ALLOD_VERSION));
        message_uuid(reply, STATS_STORE_ID, store_id(store));
        message_int(reply, STATS_RESTORE_EPOCH, (int64_t)store_restore_epoch(store));
        message_timestamp(reply, STATS_STORE_TIME, txn_time_ms(txn));
        message_int(reply, STATS_USED_BYTES, (int64_t)stat.used_bytes);
        message_int(reply, STATS_MAP_BYTES, (int64_t)stat.map_bytes);
        message_int(reply, STATS_RECORDS, (int64_t)stat.records);
        message_int(reply, STATS_KEYS, (int64_t)stat.keys);
        message_int(reply, STATS_PURGE_BACKLOG, (int64_t)stat.purge_backlog);
        message_int(reply, STATS_COMMITS, (int64_t)stat.commits);
        message_int(reply, STATS_UPDATES, (int64_t)stat.updates);
        message_bool(reply, STATS_READ_ONLY, stat.is_read_only);
        message_bool(reply, STATS_DEMO, store_is_demo(store));
        return R_OK;
}
