#include "engine/team.h"
#include "google/protobuf/empty.pb-c.h"
#include "rpc/services.h"

METHOD_FUNCTIONS(team_create, Allod__V1__CreateTeamRequest)
METHOD_FUNCTIONS(team_get, Allod__V1__GetTeamRequest)
METHOD_FUNCTIONS(team_list, Allod__V1__ListTeamsRequest)
METHOD_FUNCTIONS(team_update, Allod__V1__UpdateTeamRequest)
METHOD_FUNCTIONS(team_delete, Allod__V1__DeleteTeamRequest)
METHOD_FUNCTIONS(team_list_members, Allod__V1__ListMembersRequest)
METHOD_FUNCTIONS(team_update_member, Allod__V1__UpdateMemberRequest)
METHOD_FUNCTIONS(team_remove_member, Allod__V1__RemoveMemberRequest)
METHOD_FUNCTIONS(team_leave, Allod__V1__LeaveTeamRequest)
METHOD_FUNCTIONS(team_invite_member, Allod__V1__InviteMemberRequest)
METHOD_FUNCTIONS(team_list_invitations, Allod__V1__ListInvitationsRequest)
METHOD_FUNCTIONS(team_accept_invitation, Allod__V1__AcceptInvitationRequest)
METHOD_FUNCTIONS(team_decline_invitation, Allod__V1__DeclineInvitationRequest)

#define ROW(rpc, function, request_type, response_type)                                                                \
        METHOD_ROW("/allod.v1.TeamService/" rpc, function, request_type, response_type),                               \
                .planes = PLANE_BIT(PLANE_PUBLIC), .needs_key = true

static const struct method methods[] = {
        {
                ROW("CreateTeam", team_create, allod__v1__create_team_request, allod__v1__team),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("GetTeam", team_get, allod__v1__get_team_request, allod__v1__team),
                .kind = METHOD_VIEW,
        },
        {
                ROW("ListTeams", team_list, allod__v1__list_teams_request, allod__v1__list_teams_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("UpdateTeam", team_update, allod__v1__update_team_request, allod__v1__team),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("DeleteTeam", team_delete, allod__v1__delete_team_request, google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("ListMembers", team_list_members, allod__v1__list_members_request,
                    allod__v1__list_members_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("UpdateMember", team_update_member, allod__v1__update_member_request, allod__v1__member),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("RemoveMember", team_remove_member, allod__v1__remove_member_request, google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("LeaveTeam", team_leave, allod__v1__leave_team_request, google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("InviteMember", team_invite_member, allod__v1__invite_member_request, allod__v1__invitation),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("ListInvitations", team_list_invitations, allod__v1__list_invitations_request,
                    allod__v1__list_invitations_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("AcceptInvitation", team_accept_invitation, allod__v1__accept_invitation_request,
                    allod__v1__member),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("DeclineInvitation", team_decline_invitation, allod__v1__decline_invitation_request,
                    google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
};

const struct service team_service = {"allod.v1.TeamService", methods, sizeof methods / sizeof *methods};
