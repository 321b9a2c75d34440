/*
 * Invitations: a ROW_INVITATION in the inbox of the user who is invited, named by the team. Its methods are
 * TeamService's (team.h); whether its sender is still entitled is judged when it is accepted, by scope_invited.
 */
#ifndef ALLOD_ENGINE_INVITATION_H
#define ALLOD_ENGINE_INVITATION_H

#include "engine/result.h"
#include "engine/uuid.h"

struct scope;

/* Delete the invitation of `team` from the inbox that is the scope's own. R_ABSENT: there is none, nothing written. */
enum result invitation_delete(const struct scope *user, struct uuid team) MUST_USE;

#endif
