#include "engine/admin.h"
#include "google/protobuf/empty.pb-c.h"
#include "rpc/dump_feed.h"
#include "rpc/host.h"
#include "rpc/restore_feed.h"
#include "rpc/services.h"
#include "rpc/verify_feed.h"

METHOD_FUNCTIONS(admin_create_user, Allod__V1__CreateUserRequest)
METHOD_FUNCTIONS(admin_get_user, Allod__V1__GetUserRequest)
METHOD_FUNCTIONS(admin_list_users, Allod__V1__ListUsersRequest)
METHOD_FUNCTIONS(admin_delete_user, Allod__V1__DeleteUserRequest)
METHOD_FUNCTIONS(admin_create_team, Allod__V1__AdminCreateTeamRequest)
METHOD_FUNCTIONS(admin_get_team, Allod__V1__AdminGetTeamRequest)
METHOD_FUNCTIONS(admin_list_teams, Allod__V1__AdminListTeamsRequest)
METHOD_FUNCTIONS(admin_delete_team, Allod__V1__AdminDeleteTeamRequest)
METHOD_FUNCTIONS(admin_add_member, Allod__V1__AddMemberRequest)
METHOD_FUNCTIONS(admin_list_members, Allod__V1__AdminListMembersRequest)
METHOD_FUNCTIONS(admin_set_member_role, Allod__V1__SetMemberRoleRequest)
METHOD_FUNCTIONS(admin_remove_member, Allod__V1__AdminRemoveMemberRequest)
METHOD_FUNCTIONS(admin_add_key, Allod__V1__AddKeyRequest)
METHOD_FUNCTIONS(admin_import_key, Allod__V1__ImportKeyRequest)
METHOD_FUNCTIONS(admin_list_keys, Allod__V1__AdminListKeysRequest)
METHOD_FUNCTIONS(admin_revoke_key, Allod__V1__AdminRevokeKeyRequest)
METHOD_FUNCTIONS(admin_get_stats, Allod__V1__GetStatsRequest)

/* Fields of Stats that the store knows nothing of. */
enum {
        UPTIME_SECONDS = 12,
        CONNECTIONS = 14,
        CALLS = 15,
        CALLS_FAILED = 16,
};

static void add_server_stats(const struct host *host, struct message *reply)
{
        uint64_t connections = 0, calls = 0, calls_failed = 0;
        const struct host *each = host;

        if (host == NULL) return;
        do {
                connections += __atomic_load_n(&each->counters.connections_open, __ATOMIC_RELAXED);
                calls += __atomic_load_n(&each->counters.calls, __ATOMIC_RELAXED);
                calls_failed += __atomic_load_n(&each->counters.calls_failed, __ATOMIC_RELAXED);
                each = each->next;
        } while (each != NULL && each != host);
        message_uint(reply, UPTIME_SECONDS, (uint64_t)(host_now_ns(host) - host->start_ns) / 1000000000);
        message_uint(reply, CONNECTIONS, connections);
        message_uint(reply, CALLS, calls);
        message_uint(reply, CALLS_FAILED, calls_failed);
}

#define ROW(rpc, function, request_type, response_type)                                                                \
        METHOD_ROW("/allod.v1.AdminService/" rpc, function, request_type, response_type),                              \
                .planes = PLANE_BIT(PLANE_ADMIN), .needs_key = false

static const struct method methods[] = {
        {
                ROW("CreateUser", admin_create_user, allod__v1__create_user_request, allod__v1__user),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("GetUser", admin_get_user, allod__v1__get_user_request, allod__v1__user),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("ListUsers", admin_list_users, allod__v1__list_users_request, allod__v1__list_users_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("DeleteUser", admin_delete_user, allod__v1__delete_user_request, google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("AdminCreateTeam", admin_create_team, allod__v1__admin_create_team_request, allod__v1__team),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminGetTeam", admin_get_team, allod__v1__admin_get_team_request, allod__v1__team),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminListTeams", admin_list_teams, allod__v1__admin_list_teams_request,
                    allod__v1__admin_list_teams_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("AdminDeleteTeam", admin_delete_team, allod__v1__admin_delete_team_request,
                    google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("AddMember", admin_add_member, allod__v1__add_member_request, allod__v1__member),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminListMembers", admin_list_members, allod__v1__admin_list_members_request,
                    allod__v1__admin_list_members_response),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("SetMemberRole", admin_set_member_role, allod__v1__set_member_role_request, allod__v1__member),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminRemoveMember", admin_remove_member, allod__v1__admin_remove_member_request,
                    google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
        {
                ROW("AddKey", admin_add_key, allod__v1__add_key_request, allod__v1__add_key_response),
                .kind = METHOD_UPDATE,
                .needs_seed = true,
        },
        {
                ROW("ImportKey", admin_import_key, allod__v1__import_key_request, allod__v1__import_key_response),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminListKeys", admin_list_keys, allod__v1__admin_list_keys_request,
                    allod__v1__admin_list_keys_response),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("AdminRevokeKey", admin_revoke_key, allod__v1__admin_revoke_key_request, google__protobuf__empty),
                .kind = METHOD_UPDATE, .frees_space = true, /* no, but it must never have to wait for space */
        },
        {
                ROW("GetStats", admin_get_stats, allod__v1__get_stats_request, allod__v1__stats),
                .kind = METHOD_VIEW,
                .complete = add_server_stats,
        },
        {
                .path = "/allod.v1.AdminService/Dump",
                .kind = METHOD_STREAM,
                .planes = PLANE_BIT(PLANE_ADMIN),
                .request = &allod__v1__dump_request__descriptor,
                .response = &allod__v1__dump_response__descriptor,
                .feed = &dump_feed,
        },
        {
                .path = "/allod.v1.AdminService/Restore",
                .kind = METHOD_STREAM,
                .planes = PLANE_BIT(PLANE_ADMIN),
                .request = &allod__v1__restore_request__descriptor,
                .response = &allod__v1__restore_response__descriptor,
                .feed = &restore_feed,
        },
        {
                .path = "/allod.v1.AdminService/Verify",
                .kind = METHOD_STREAM,
                .planes = PLANE_BIT(PLANE_ADMIN),
                .request = &allod__v1__verify_request__descriptor,
                .response = &allod__v1__verify_response__descriptor,
                .feed = &verify_feed,
        },
};

const struct service admin_service = {"allod.v1.AdminService", methods, sizeof methods / sizeof *methods};
