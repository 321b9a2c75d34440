/*
 * Memberships: the pair of rows that makes a user a member of a team.
 *
 *      t:<team> M <user>   role, since when      the authority
 *      u:<user> T <team>   -                     a pointer, so that a user's teams can be listed
 *
 * Both are written and deleted together, and with them the team's profile, which counts members and OWNERs. The
 * functions that write only write: what could refuse stands in functions of its own, to be called before the first put.
 *
 * `team` is a scope of the team. `user` is a scope in which the pointer may be written: the user's own, or their inbox
 * as seen from the team.
 */
#ifndef ALLOD_ENGINE_MEMBERSHIP_H
#define ALLOD_ENGINE_MEMBERSHIP_H

#include <stdint.h>

#include <store/v1/store.pb.h>

#include "engine/derive.h"
#include "engine/message.h"
#include "engine/profile.h"
#include "engine/result.h"
#include "engine/scope.h"
#include "engine/uuid.h"

struct member {
        struct uuid user;
        store_v1_Member content;
};

/* R_ABSENT, with a sentence: the user is not a member. */
enum result membership_get(const struct scope *team, struct uuid user, struct member *out) MUST_USE;

/* R_EXISTS, with a sentence: the user is a member already. */
enum result membership_check_absent(const struct scope *team, struct uuid user) MUST_USE;

/* R_EXHAUSTED, with a sentence: the team has TEAM_MEMBERS_MAX members. */
enum result membership_check_team_room(const struct scope *team, const struct profile *profile) MUST_USE;

/* R_EXHAUSTED, with a sentence: the user is in USER_TEAMS_MAX teams. `user` must be the user's own scope. */
enum result membership_check_user_room(const struct scope *user) MUST_USE;

/* R_WRONG_STATE, with a sentence: the member is the team's last OWNER and would no longer be one with `role` (0: not a
 * member at all). */
enum result membership_check_last_owner(const struct scope *team, const struct profile *profile,
                                        const struct member *member, uint32_t role) MUST_USE;

/* Write the pair and the profile; `operation` is what happens to the profile. Five puts. */
enum result membership_add(const struct scope *team, enum change_operation operation, struct profile *profile,
                           const struct scope *user, const struct member *member) MUST_USE;

/* member->content.role becomes `role`. Two puts, four when the number of OWNERs changes. */
enum result membership_set_role(const struct scope *team, struct profile *profile, struct member *member,
                                uint32_t role) MUST_USE;

/* Delete the pair. Three puts and two deletes. `user` is NULL for a member who exists no more: a
 * team that was restored alone may have some. */
enum result membership_remove(const struct scope *team, struct profile *profile, const struct scope *user,
                              const struct member *member) MUST_USE;

/* The pointer that a restored member row needs under the user. */
derive_fn membership_derive;

/* Append the fields of an allod.v1.Member. */
void membership_reply(const struct scope *team, const struct member *member, struct message *reply);

/* Append the members in the order of their ids as field 1, and the token as field 2. */
enum result membership_reply_list(const struct scope *team, int32_t page_size, const char *page_token,
                                  struct message *reply) MUST_USE;

#endif
