#include "engine/membership.h"

#include <stdbool.h>

#include <allod/v1/team.pb-c.h>

#include "engine/limits.h"
#include "engine/page.h"
#include "engine/require.h"

/* allod.v1.Member, and what ListMembersResponse and AdminListMembersResponse share */
enum {
        MEMBER_USER_ID = 1,
        MEMBER_TEAM_ID,
        MEMBER_ROLE,
        MEMBER_JOINED_AT
};
enum {
        LIST_MEMBERS = 1,
        LIST_TOKEN
};

static struct row member_row(struct uuid user)
{
        return (struct row){.kind = ROW_MEMBER, .id = user};
}

static struct row pointer_row(const struct scope *team)
{
        struct owner owner = scope_owner(team);

        REQUIRE(owner.kind == OWNER_TEAM);
        return (struct row){.kind = ROW_MEMBERSHIP, .id = owner.id};
}

static bool is_owner(uint32_t role)
{
        return role == ALLOD__V1__ROLE__ROLE_OWNER;
}

enum result membership_get(const struct scope *team, struct uuid user, struct member *out)
{
        struct fault *fault = txn_fault(scope_txn(team));
        struct row row = member_row(user);
        struct record record;
        enum result r;

        r = scope_get(team, &row, &record);
        if (r == R_ABSENT) return fault_set(fault, r, "The user is not a member of the team.");
        if (r != R_OK) return r;
        if ((r = message_load(store_v1_Member_fields, record.body, &out->content)) != R_OK) return r;
        out->user = user;
        return R_OK;
}

enum result membership_check_absent(const struct scope *team, struct uuid user)
{
        struct row row = member_row(user);
        enum result r;

        r = scope_exists(team, &row);
        if (r == R_ABSENT) return R_OK;
        if (r != R_OK) return r;
        return fault_set(txn_fault(scope_txn(team)), R_EXISTS, "The user is a member of the team already.");
}

enum result membership_check_team_room(const struct scope *team, const struct profile *profile)
{
        if (profile->content.member_count < TEAM_MEMBERS_MAX) return R_OK;
        return fault_set(txn_fault(scope_txn(team)), R_EXHAUSTED, "The team has %d members, the most it can have.",
                         TEAM_MEMBERS_MAX);
}

enum result membership_check_user_room(const struct scope *user)
{
        const struct row kind = {.kind = ROW_MEMBERSHIP};
        size_t count;
        enum result r;

        if ((r = page_count_rows(user, &kind, USER_TEAMS_MAX, &count)) != R_OK) return r;
        if (count < USER_TEAMS_MAX) return R_OK;
        return fault_set(txn_fault(scope_txn(user)), R_EXHAUSTED, "The user is in %d teams, the most a user can be in.",
                         USER_TEAMS_MAX);
}

enum result membership_check_last_owner(const struct scope *team, const struct profile *profile,
                                        const struct member *member, uint32_t role)
{
        if (!is_owner(member->content.role) || is_owner(role) || profile->content.owner_count > 1) return R_OK;
        return fault_set(txn_fault(scope_txn(team)), R_WRONG_STATE,
                         "The last OWNER of a team cannot leave, be removed or be demoted.");
}

static enum result put_member(const struct scope *team, enum change_operation operation, const struct member *member)
{
        struct row row = member_row(member->user);
        struct bytes body;
        uint64_t revision;
        enum result r;

        if ((r = message_store(txn_arena(scope_txn(team)), store_v1_Member_fields, &member->content, &body)) != R_OK)
                return r;
        if ((r = scope_change(team, operation, &row, &revision)) != R_OK) return r;
        return scope_put(team, &row, revision, body);
}

enum result membership_add(const struct scope *team, enum change_operation operation, struct profile *profile,
                           const struct scope *user, const struct member *member)
{
        struct row pointer = pointer_row(team);
        enum result r;

        profile->content.member_count++;
        if (is_owner(member->content.role)) profile->content.owner_count++;
        if ((r = profile_put(team, operation, profile)) != R_OK) return r;
        if ((r = put_member(team, CHANGE_CREATE, member)) != R_OK) return r;
        return scope_put(user, &pointer, 0, (struct bytes){0});
}

enum result membership_set_role(const struct scope *team, struct profile *profile, struct member *member, uint32_t role)
{
        uint32_t owner_count = profile->content.owner_count;
        enum result r;

        if (is_owner(member->content.role)) owner_count--;
        if (is_owner(role)) owner_count++;
        REQUIRE(owner_count > 0);
        member->content.role = role;
        if ((r = put_member(team, CHANGE_UPDATE, member)) != R_OK) return r;
        if (owner_count == profile->content.owner_count) return R_OK;
        profile->content.owner_count = owner_count;
        return profile_put(team, CHANGE_UPDATE, profile);
}

enum result membership_remove(const struct scope *team, struct profile *profile, const struct scope *user,
                              const struct member *member)
{
        struct row row = member_row(member->user);
        struct row pointer = pointer_row(team);
        uint64_t revision;
        enum result r;

        if (is_owner(member->content.role)) profile->content.owner_count--;
        if (profile->content.member_count > 0) profile->content.member_count--;
        REQUIRE(profile->content.owner_count > 0);
        if ((r = scope_change(team, CHANGE_DELETE, &row, &revision)) != R_OK) return r;
        if ((r = scope_delete(team, &row)) != R_OK) return r;
        if ((r = profile_put(team, CHANGE_UPDATE, profile)) != R_OK) return r;
        return user == NULL ? R_OK : scope_delete(user, &pointer);
}

enum result membership_derive(const struct derive *derive)
{
        struct row pointer = pointer_row(derive->scope);

        return scope_put(derive->user, &pointer, 0, (struct bytes){0});
}

void membership_reply(const struct scope *team, const struct member *member, struct message *reply)
{
        message_uuid(reply, MEMBER_USER_ID, member->user);
        message_uuid(reply, MEMBER_TEAM_ID, scope_owner(team).id);
        message_uint(reply, MEMBER_ROLE, member->content.role);
        message_timestamp(reply, MEMBER_JOINED_AT, member->content.joined_at_ms);
}

enum result membership_reply_list(const struct scope *team, int32_t page_size, const char *page_token,
                                  struct message *reply)
{
        const struct row kind = {.kind = ROW_MEMBER};
        SCAN_SCOPE struct scan scan = {0};
        struct member member;
        struct record record;
        struct page page;
        struct row row;
        enum result r;

        if ((r = page_open(&page, team, &kind, false, page_size, page_token, &scan, reply)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK && !page_is_full(&page)) {
                size_t mark;

                if ((r = message_load(store_v1_Member_fields, record.body, &member.content)) != R_OK) return r;
                member.user = row.id;
                page_row(&page, &row);
                mark = message_begin(reply, LIST_MEMBERS);
                membership_reply(team, &member, reply);
                message_end(reply, mark);
        }
        return page_end(&page, r, team, ROW_MEMBER, LIST_TOKEN);
}
