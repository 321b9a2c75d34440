/*
 * AdminService, whose contract is proto/allod/v1/admin.proto: users, teams, members and keys of anyone, for the admin
 * listener and for tools on locked files.
 *
 * NAME_check and NAME are as in team.h. admin_list_users, admin_list_teams and admin_get_stats are views; all others
 * are updates, because each writes a look into the change log of the owner whose records it reads or changes.
 * The creating ones, admin_add_key and admin_import_key take the call's id; admin_add_key the random seed too.
 * admin_get_stats fills what the engine knows: uptime and the figures of connections and calls are the server's.
 */
#ifndef ALLOD_ENGINE_ADMIN_H
#define ALLOD_ENGINE_ADMIN_H

#include <allod/v1/admin.pb-c.h>

#include "engine/fault.h"
#include "engine/key.h"
#include "engine/message.h"
#include "engine/result.h"

struct credential;
struct txn;

enum result admin_create_user_check(const Allod__V1__CreateUserRequest *request, struct fault *fault) MUST_USE;
enum result admin_create_user(struct txn *txn, const struct credential *who,
                              const Allod__V1__CreateUserRequest *request, struct message *reply) MUST_USE;

enum result admin_get_user_check(const Allod__V1__GetUserRequest *request, struct fault *fault) MUST_USE;
enum result admin_get_user(struct txn *txn, const struct credential *who, const Allod__V1__GetUserRequest *request,
                           struct message *reply) MUST_USE;

enum result admin_list_users_check(const Allod__V1__ListUsersRequest *request, struct fault *fault) MUST_USE;
enum result admin_list_users(struct txn *txn, const struct credential *who, const Allod__V1__ListUsersRequest *request,
                             struct message *reply) MUST_USE;

enum result admin_delete_user_check(const Allod__V1__DeleteUserRequest *request, struct fault *fault) MUST_USE;
enum result admin_delete_user(struct txn *txn, const struct credential *who,
                              const Allod__V1__DeleteUserRequest *request, struct message *reply) MUST_USE;

enum result admin_create_team_check(const Allod__V1__AdminCreateTeamRequest *request, struct fault *fault) MUST_USE;
enum result admin_create_team(struct txn *txn, const struct credential *who,
                              const Allod__V1__AdminCreateTeamRequest *request, struct message *reply) MUST_USE;

enum result admin_get_team_check(const Allod__V1__AdminGetTeamRequest *request, struct fault *fault) MUST_USE;
enum result admin_get_team(struct txn *txn, const struct credential *who, const Allod__V1__AdminGetTeamRequest *request,
                           struct message *reply) MUST_USE;

enum result admin_list_teams_check(const Allod__V1__AdminListTeamsRequest *request, struct fault *fault) MUST_USE;
enum result admin_list_teams(struct txn *txn, const struct credential *who,
                             const Allod__V1__AdminListTeamsRequest *request, struct message *reply) MUST_USE;

enum result admin_delete_team_check(const Allod__V1__AdminDeleteTeamRequest *request, struct fault *fault) MUST_USE;
enum result admin_delete_team(struct txn *txn, const struct credential *who,
                              const Allod__V1__AdminDeleteTeamRequest *request, struct message *reply) MUST_USE;

enum result admin_add_member_check(const Allod__V1__AddMemberRequest *request, struct fault *fault) MUST_USE;
enum result admin_add_member(struct txn *txn, const struct credential *who, const Allod__V1__AddMemberRequest *request,
                             struct message *reply) MUST_USE;

enum result admin_list_members_check(const Allod__V1__AdminListMembersRequest *request, struct fault *fault) MUST_USE;
enum result admin_list_members(struct txn *txn, const struct credential *who,
                               const Allod__V1__AdminListMembersRequest *request, struct message *reply) MUST_USE;

enum result admin_set_member_role_check(const Allod__V1__SetMemberRoleRequest *request, struct fault *fault) MUST_USE;
enum result admin_set_member_role(struct txn *txn, const struct credential *who,
                                  const Allod__V1__SetMemberRoleRequest *request, struct message *reply) MUST_USE;

enum result admin_remove_member_check(const Allod__V1__AdminRemoveMemberRequest *request, struct fault *fault) MUST_USE;
enum result admin_remove_member(struct txn *txn, const struct credential *who,
                                const Allod__V1__AdminRemoveMemberRequest *request, struct message *reply) MUST_USE;

enum result admin_add_key_check(const Allod__V1__AddKeyRequest *request, struct fault *fault) MUST_USE;
enum result admin_add_key(struct txn *txn, const struct credential *who, const Allod__V1__AddKeyRequest *request,
                          struct message *reply) MUST_USE;

enum result admin_import_key_check(const Allod__V1__ImportKeyRequest *request, struct fault *fault) MUST_USE;
enum result admin_import_key(struct txn *txn, const struct credential *who, const Allod__V1__ImportKeyRequest *request,
                             struct message *reply) MUST_USE;

enum result admin_list_keys_check(const Allod__V1__AdminListKeysRequest *request, struct fault *fault) MUST_USE;
enum result admin_list_keys(struct txn *txn, const struct credential *who,
                            const Allod__V1__AdminListKeysRequest *request, struct message *reply) MUST_USE;

enum result admin_revoke_key_check(const Allod__V1__AdminRevokeKeyRequest *request, struct fault *fault) MUST_USE;
enum result admin_revoke_key(struct txn *txn, const struct credential *who,
                             const Allod__V1__AdminRevokeKeyRequest *request, struct message *reply) MUST_USE;

/* Owners whose records are about to be read as a whole. */
struct admin_look {
        const struct credential *who;
        const struct owner *owners;
        size_t owner_count;
        const char *why;
};

/* A transaction function, for the writer; `arg` is a struct admin_look. The look is written into the change log of each
 * owner that exists. */
enum result admin_look(struct txn *txn, void *arg) MUST_USE;

enum result admin_get_stats_check(const Allod__V1__GetStatsRequest *request, struct fault *fault) MUST_USE;
enum result admin_get_stats(struct txn *txn, const struct credential *who, const Allod__V1__GetStatsRequest *request,
                            struct message *reply) MUST_USE;

#endif
