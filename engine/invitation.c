#include "engine/invitation.h"

#include <string.h>

#include "engine/field.h"
#include "engine/membership.h"
#include "engine/page.h"
#include "engine/profile.h"
#include "engine/scope.h"
#include "engine/team.h"

/* allod.v1.Invitation, ListInvitationsResponse */
enum {
        INVITATION_TEAM_ID = 1,
        INVITATION_TEAM_NAME,
        INVITATION_USER_ID,
        INVITATION_ROLE,
        INVITATION_INVITED_BY,
        INVITATION_CREATED_AT
};
enum {
        LIST_INVITATIONS = 1,
        LIST_TOKEN
};

static struct row invitation_row(struct uuid team)
{
        return (struct row){.kind = ROW_INVITATION, .id = team};
}

static void reply_invitation(struct uuid team, struct uuid user, const store_v1_Invitation *content,
                             struct message *reply)
{
        struct uuid sender;

        memcpy(sender.bytes, content->invited_by.bytes, UUID_SIZE);
        message_uuid(reply, INVITATION_TEAM_ID, team);
        message_bytes(reply, INVITATION_TEAM_NAME, bytes_of_text(content->team_name));
        message_uuid(reply, INVITATION_USER_ID, user);
        message_uint(reply, INVITATION_ROLE, content->role);
        message_uuid(reply, INVITATION_INVITED_BY, sender);
        message_timestamp(reply, INVITATION_CREATED_AT, content->created_at_ms);
}

enum result team_invite_member_check(const Allod__V1__InviteMemberRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        field_uuid(fault, "user_id", request->user_id);
        field_role(fault, "role", request->role);
        return field_outcome(fault);
}

/* Put it into the user's inbox, where there is one with room; else nothing happens, and nobody can tell. */
static enum result put_invitation(const struct scope *team, struct uuid user, const store_v1_Invitation *content)
{
        struct row row = invitation_row(scope_owner(team).id);
        const struct scope *inbox;
        struct bytes body;
        uint64_t revision;
        enum result r;

        r = scope_inbox(team, user, &inbox);
        if (r == R_OK) r = scope_inbox_has_room(inbox);
        if (r == R_ABSENT || r == R_EXHAUSTED) return R_OK;
        if (r != R_OK) return r;
        if ((r = message_store(txn_arena(scope_txn(team)), store_v1_Invitation_fields, content, &body)) != R_OK)
                return r;
        if ((r = scope_change(inbox, CHANGE_CREATE, &row, &revision)) != R_OK) return r;
        return scope_put(inbox, &row, revision, body);
}

enum result team_invite_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__InviteMemberRequest *request, struct message *reply)
{
        struct uuid team_id = field_to_uuid(request->team_id), user = field_to_uuid(request->user_id);
        store_v1_Invitation content = store_v1_Invitation_init_zero;
        const struct scope *team;
        struct profile profile;
        struct uuid sender;
        enum result r;

        if ((r = scope_open_team(txn, who, team_id, RIGHT_MANAGE, &team)) != R_OK) return r;
        if (request->role == ALLOD__V1__ROLE__ROLE_OWNER && (r = scope_require(team, RIGHT_OWN)) != R_OK) return r;
        if ((r = profile_get(team, &profile)) != R_OK) return r == R_ABSENT ? R_CORRUPT : r;
        if ((r = membership_check_absent(team, user)) != R_OK) return r;
        if ((r = membership_check_team_room(team, &profile)) != R_OK) return r;

        sender = scope_actor(team);
        memcpy(content.team_name, profile.content.name, sizeof content.team_name);
        content.invited_by.size = UUID_SIZE;
        memcpy(content.invited_by.bytes, sender.bytes, UUID_SIZE);
        content.role = request->role;
        content.created_at_ms = txn_time_ms(txn);
        if ((r = put_invitation(team, user, &content)) != R_OK) return r;
        reply_invitation(team_id, user, &content, reply);
        return R_OK;
}

enum result team_list_invitations_check(const Allod__V1__ListInvitationsRequest *request, struct fault *fault)
{
        return page_check(request->page_size, fault);
}

enum result team_list_invitations(struct txn *txn, const struct credential *who,
                                  const Allod__V1__ListInvitationsRequest *request, struct message *reply)
{
        const struct row kind = {.kind = ROW_INVITATION};
        SCAN_SCOPE struct scan scan = {0};
        store_v1_Invitation content;
        const struct scope *self;
        struct record record;
        struct page page;
        struct row row;
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        if ((r = page_open(&page, self, &kind, false, request->page_size, request->page_token, &scan, reply)) != R_OK)
                return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK && !page_is_full(&page)) {
                size_t mark;

                if ((r = message_load(store_v1_Invitation_fields, record.body, &content)) != R_OK) return r;
                page_row(&page, &row);
                mark = message_begin(reply, LIST_INVITATIONS);
                reply_invitation(row.id, scope_owner(self).id, &content, reply);
                message_end(reply, mark);
        }
        return page_end(&page, r, self, ROW_INVITATION, LIST_TOKEN);
}

static enum result no_invitation(struct txn *txn)
{
        return fault_set(txn_fault(txn), R_ABSENT, "There is no invitation to this team that still holds.");
}

enum result team_accept_invitation_check(const Allod__V1__AcceptInvitationRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        return field_outcome(fault);
}

enum result team_accept_invitation(struct txn *txn, const struct credential *who,
                                   const Allod__V1__AcceptInvitationRequest *request, struct message *reply)
{
        struct uuid team_id = field_to_uuid(request->team_id);
        const struct scope *self, *team;
        struct profile profile;
        struct member member = {.content = {.joined_at_ms = txn_time_ms(txn)}};
        enum result r;

        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        r = scope_invited(self, team_id, &member.content.role, &team);
        if (r == R_OK) r = profile_get(team, &profile);
        if (r == R_ABSENT) return no_invitation(txn);
        if (r != R_OK) return r;
        member.user = scope_owner(self).id;
        if ((r = membership_check_absent(team, member.user)) != R_OK) return r;
        if ((r = membership_check_team_room(team, &profile)) != R_OK) return r;
        if ((r = membership_check_user_room(self)) != R_OK) return r;

        if ((r = membership_add(team, CHANGE_UPDATE, &profile, self, &member)) != R_OK) return r;
        if ((r = invitation_delete(self, team_id)) != R_OK) return r;
        membership_reply(team, &member, reply);
        return R_OK;
}

enum result team_decline_invitation_check(const Allod__V1__DeclineInvitationRequest *request, struct fault *fault)
{
        field_uuid(fault, "team_id", request->team_id);
        return field_outcome(fault);
}

enum result team_decline_invitation(struct txn *txn, const struct credential *who,
                                    const Allod__V1__DeclineInvitationRequest *request, struct message *reply)
{
        const struct scope *self;
        enum result r;

        (void)reply;
        if ((r = scope_open_personal(txn, who, &self)) != R_OK) return r;
        r = invitation_delete(self, field_to_uuid(request->team_id));
        return r == R_ABSENT ? no_invitation(txn) : r;
}

enum result invitation_delete(const struct scope *user, struct uuid team)
{
        struct row row = invitation_row(team);
        uint64_t revision;
        enum result r;

        if ((r = scope_exists(user, &row)) != R_OK) return r;
        if ((r = scope_change(user, CHANGE_DELETE, &row, &revision)) != R_OK) return r;
        return scope_delete(user, &row);
}
