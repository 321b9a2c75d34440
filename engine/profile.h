/*
 * Profiles: ROW_PROFILE, the first row of an owner. A user or a team exists if and only if its profile does.
 */
#ifndef ALLOD_ENGINE_PROFILE_H
#define ALLOD_ENGINE_PROFILE_H

#include <store/v1/store.pb.h>

#include "engine/message.h"
#include "engine/result.h"
#include "engine/scope.h"

struct profile {
        store_v1_Profile content;
        uint64_t revision; /* at which it was last written */
};

/* R_ABSENT: there is no such owner. */
enum result profile_get(const struct scope *scope, struct profile *out) MUST_USE;

/* Start one: name (a checked one), times and the actor as creator. Nothing is written. */
void profile_begin(const struct scope *scope, const char *name, struct profile *out);

/* A name that has been checked. */
void profile_set_name(struct profile *profile, const char *name);

/* Write it and its change row; profile->revision becomes the new one. Two puts. */
enum result profile_put(const struct scope *scope, enum change_operation operation, struct profile *profile) MUST_USE;

/* The owner is gone at once; all its other rows are listed for the purge chore. */
enum result profile_delete(const struct scope *scope) MUST_USE;

/* Append the fields of an allod.v1.Team, or of an allod.v1.User. */
void profile_reply_team(const struct scope *scope, const struct profile *profile, struct message *reply);
void profile_reply_user(const struct scope *scope, const struct profile *profile, struct message *reply);

#endif
