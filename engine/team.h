/*
 * Teams: TeamService, whose contract is proto/allod/v1/team.proto.
 *
 * A team is a ROW_PROFILE with one ROW_MEMBER for each member; each member also has a ROW_MEMBERSHIP under the user,
 * which only points at the team. The member row is the authority: a pointer without it counts for nothing, so whoever
 * lists a user's teams looks at both. Both are written and deleted in one transaction, and the profile counts members
 * and OWNERs in the same. A team always has an OWNER.
 *
 * Each method comes as NAME_check, pure, the request's fields alone, before any look-up; and NAME, a transaction
 * function that may rely on that check. The encoded response is appended to `reply`; nothing for google.protobuf.Empty.
 * Views: get, list, list_members, list_invitations. All others are updates.
 *
 * InviteMember does not tell whether a user exists: to an unknown one it answers as to a known one, and stores nothing.
 * That a user is a member already may be said, for the inviter can list the members. A full inbox is not said: the
 * answer is again the ordinary one, and nothing is stored, since an error would tell that the user exists.
 */
#ifndef ALLOD_ENGINE_TEAM_H
#define ALLOD_ENGINE_TEAM_H

#include <allod/v1/team.pb-c.h>
#include <store/v1/store.pb.h>

#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"

struct credential;
struct scope;
struct txn;

enum result team_create_check(const Allod__V1__CreateTeamRequest *request, struct fault *fault) MUST_USE;
enum result team_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateTeamRequest *request,
                        struct message *reply) MUST_USE;

enum result team_get_check(const Allod__V1__GetTeamRequest *request, struct fault *fault) MUST_USE;
enum result team_get(struct txn *txn, const struct credential *who, const Allod__V1__GetTeamRequest *request,
                     struct message *reply) MUST_USE;

enum result team_list_check(const Allod__V1__ListTeamsRequest *request, struct fault *fault) MUST_USE;
enum result team_list(struct txn *txn, const struct credential *who, const Allod__V1__ListTeamsRequest *request,
                      struct message *reply) MUST_USE;

enum result team_update_check(const Allod__V1__UpdateTeamRequest *request, struct fault *fault) MUST_USE;
enum result team_update(struct txn *txn, const struct credential *who, const Allod__V1__UpdateTeamRequest *request,
                        struct message *reply) MUST_USE;

enum result team_delete_check(const Allod__V1__DeleteTeamRequest *request, struct fault *fault) MUST_USE;
enum result team_delete(struct txn *txn, const struct credential *who, const Allod__V1__DeleteTeamRequest *request,
                        struct message *reply) MUST_USE;

enum result team_list_members_check(const Allod__V1__ListMembersRequest *request, struct fault *fault) MUST_USE;
enum result team_list_members(struct txn *txn, const struct credential *who,
                              const Allod__V1__ListMembersRequest *request, struct message *reply) MUST_USE;

enum result team_update_member_check(const Allod__V1__UpdateMemberRequest *request, struct fault *fault) MUST_USE;
enum result team_update_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__UpdateMemberRequest *request, struct message *reply) MUST_USE;

enum result team_remove_member_check(const Allod__V1__RemoveMemberRequest *request, struct fault *fault) MUST_USE;
enum result team_remove_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__RemoveMemberRequest *request, struct message *reply) MUST_USE;

enum result team_leave_check(const Allod__V1__LeaveTeamRequest *request, struct fault *fault) MUST_USE;
enum result team_leave(struct txn *txn, const struct credential *who, const Allod__V1__LeaveTeamRequest *request,
                       struct message *reply) MUST_USE;

enum result team_invite_member_check(const Allod__V1__InviteMemberRequest *request, struct fault *fault) MUST_USE;
enum result team_invite_member(struct txn *txn, const struct credential *who,
                               const Allod__V1__InviteMemberRequest *request, struct message *reply) MUST_USE;

enum result team_list_invitations_check(const Allod__V1__ListInvitationsRequest *request, struct fault *fault) MUST_USE;
enum result team_list_invitations(struct txn *txn, const struct credential *who,
                                  const Allod__V1__ListInvitationsRequest *request, struct message *reply) MUST_USE;

enum result team_accept_invitation_check(const Allod__V1__AcceptInvitationRequest *request,
                                         struct fault *fault) MUST_USE;
enum result team_accept_invitation(struct txn *txn, const struct credential *who,
                                   const Allod__V1__AcceptInvitationRequest *request, struct message *reply) MUST_USE;

enum result team_decline_invitation_check(const Allod__V1__DeclineInvitationRequest *request,
                                          struct fault *fault) MUST_USE;
enum result team_decline_invitation(struct txn *txn, const struct credential *who,
                                    const Allod__V1__DeclineInvitationRequest *request, struct message *reply) MUST_USE;

/* ---- What the methods of AdminService share with these ---- */

/* Write a new team with its first OWNER. `team` has no rows yet, `user` is the OWNER's own scope. R_EXHAUSTED: the user
 * is in too many teams. Appends the Team. */
enum result team_add(const struct scope *team, const struct scope *user, const char *name,
                     const store_v1_Settings *settings, struct message *reply) MUST_USE;

/* Delete a team that is there, and all it holds. */
enum result team_erase(const struct scope *team) MUST_USE;

#endif
