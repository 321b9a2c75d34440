/*
 * The constructors: each reads here and now what proves the right.
 */
#include <string.h>

#include <allod/v1/team.pb-c.h>

#include "engine/caller_private.h"
#include "engine/hold.h"
#include "engine/limits.h"
#include "engine/message.h"
#include "engine/scope.h"
#include "engine/scope_private.h"
#include "store/v1/store.pb.h"

static enum result open_for(struct txn *txn, const struct credential *who, const struct caller *caller,
                            struct scope **out)
{
        struct owner owner = {OWNER_USER, caller->user};
        struct scope *scope;
        enum result r;

        if (caller->has_team) owner = (struct owner){OWNER_TEAM, caller->team};
        if ((r = scope_new(txn, owner, &scope)) != R_OK) return r;
        scope->rights = caller->rights;
        scope->role = caller->role;
        scope->actor = caller->user;
        scope->key = caller->key;
        scope->peer = who->peer;
        *out = scope;
        return R_OK;
}

enum result scope_open(struct txn *txn, const struct credential *who, enum right right, const struct scope **out)
{
        struct caller caller;
        struct scope *scope;
        enum result r;

        if ((r = caller_resolve(txn, who, NULL, &caller)) != R_OK) return r;
        if ((r = open_for(txn, who, &caller, &scope)) != R_OK) return r;
        if ((r = scope_require(scope, right)) != R_OK) return r;
        *out = scope;
        return R_OK;
}

enum result scope_open_personal(struct txn *txn, const struct credential *who, const struct scope **out)
{
        struct caller caller;
        struct scope *scope;
        enum result r;

        if ((r = caller_resolve(txn, who, NULL, &caller)) != R_OK) return r;
        if (caller.has_team)
                return fault_set(txn_fault(txn), R_BAD_ARGUMENT,
                                 "The header x-team-id must be left out: this acts as the user.");
        if ((r = open_for(txn, who, &caller, &scope)) != R_OK) return r;
        *out = scope;
        return R_OK;
}

enum result scope_open_team(struct txn *txn, const struct credential *who, struct uuid team, enum right right,
                            const struct scope **out)
{
        struct caller caller;
        struct scope *scope;
        enum result r;

        if ((r = caller_resolve(txn, who, &team, &caller)) != R_OK) return r;
        REQUIRE(caller.has_team && uuid_equal(caller.team, team));
        if ((r = open_for(txn, who, &caller, &scope)) != R_OK) return r;
        if ((r = scope_require(scope, right)) != R_OK) return r;
        *out = scope;
        return R_OK;
}

static void require_personal(const struct scope *scope)
{
        scope_require_live(scope);
        REQUIRE(scope->owner.kind == OWNER_USER && uuid_equal(scope->owner.id, scope->actor) && !scope->is_bound);
}

/* A scope of another owner, with the same actor. */
static enum result open_other(const struct scope *scope, struct owner owner, struct scope **out)
{
        struct scope *other;
        enum result r;

        if ((r = scope_new(scope->txn, owner, &other)) != R_OK) return r;
        other->actor = scope->actor;
        other->key = scope->key;
        other->peer = scope->peer;
        *out = other;
        return R_OK;
}

/* R_OK: the owner has no row at all and none to be purged. R_EXISTS. */
static enum result check_unused(struct txn *txn, struct owner owner)
{
        struct bytes found;
        struct key prefix;
        enum result r;

        key_owner(owner, &prefix);
        r = scope_seek(txn, &prefix, &found);
        if (r == R_ABSENT) r = scope_is_purged(txn, owner);
        if (r == R_OK) return R_EXISTS;
        return r == R_ABSENT ? R_OK : r;
}

enum result scope_new_team(const struct scope *personal, struct uuid team, const struct scope **out)
{
        struct owner owner = {OWNER_TEAM, team};
        struct scope *scope;
        enum result r;

        require_personal(personal);
        if ((r = check_unused(personal->txn, owner)) != R_OK) return r;
        if ((r = open_other(personal, owner, &scope)) != R_OK) return r;
        scope->rights = RIGHTS_ALL;
        scope->role = ALLOD__V1__ROLE__ROLE_OWNER;
        *out = scope;
        return R_OK;
}

/* ---- Inboxes and invitations ---- */

enum result scope_inbox(const struct scope *team, struct uuid user, const struct scope **out)
{
        struct owner owner = {OWNER_USER, user};
        struct record profile;
        struct scope *scope;
        enum result r;

        scope_require_live(team);
        REQUIRE(team->owner.kind == OWNER_TEAM && !team->is_bound);
        if (!uuid_equal(user, team->actor) && (r = scope_require(team, RIGHT_MANAGE)) != R_OK) return r;
        r = scope_identity_get(team->txn, owner, &(struct row){.kind = ROW_PROFILE}, &profile);
        if (r != R_OK) return r;
        if ((r = open_other(team, owner, &scope)) != R_OK) return r;
        scope->kinds = ROW_BIT(ROW_INVITATION) | ROW_BIT(ROW_MEMBERSHIP);
        scope->is_write_only = true;
        scope->is_bound = true;
        scope->bound_id = team->owner.id;
        *out = scope;
        return R_OK;
}

enum result scope_inbox_has_room(const struct scope *inbox)
{
        struct row row = {.kind = ROW_INVITATION};
        struct scope reader;
        SCAN_SCOPE struct scan scan = {0};
        struct record record;
        unsigned count = 0;
        enum result r;

        scope_require_live(inbox);
        REQUIRE(inbox->is_write_only && inbox->is_bound);
        reader = *inbox;
        reader.is_write_only = false;
        reader.is_bound = false;
        if ((r = scan_open(&reader, &row, NULL, false, &scan)) != R_OK) return r;
        while ((r = scan_next(&scan, &row, &record)) == R_OK) {
                if (uuid_equal(row.id, inbox->bound_id)) return R_OK;
                count++;
        }
        if (r != R_ABSENT) return r;
        return count < USER_INVITATIONS_MAX ? R_OK : R_EXHAUSTED;
}

/* Whether `sender` may now invite to `team` in `role`: R_OK or R_ABSENT. */
static enum result check_sender(struct txn *txn, struct owner team, struct uuid sender, uint32_t role)
{
        struct record record;
        store_v1_Member member;
        store_v1_Profile profile;
        uint32_t needed = RIGHT_MANAGE;
        enum result r;

        r = scope_identity_get(txn, team, &(struct row){.kind = ROW_PROFILE}, &record);
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_Profile_msg, record.body, &profile)) != R_OK) return r;
        r = scope_identity_get(txn, team, &(struct row){.kind = ROW_MEMBER, .id = sender}, &record);
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_Member_msg, record.body, &member)) != R_OK) return r;
        if (role == ALLOD__V1__ROLE__ROLE_OWNER) needed |= RIGHT_OWN;
        return (role_rights(member.role, &profile.settings) & needed) == needed ? R_OK : R_ABSENT;
}

enum result scope_invited(const struct scope *personal, struct uuid team, uint32_t *role, const struct scope **out)
{
        struct owner owner = {OWNER_TEAM, team};
        store_v1_Invitation invitation;
        struct record record;
        struct scope *scope;
        struct uuid sender;
        enum result r;

        require_personal(personal);
        r = scope_get(personal, &(struct row){.kind = ROW_INVITATION, .id = team}, &record);
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_Invitation_msg, record.body, &invitation)) != R_OK) return r;
        if (invitation.invited_by.size != UUID_SIZE) return R_CORRUPT;
        memcpy(sender.bytes, invitation.invited_by.bytes, UUID_SIZE);
        if ((r = check_sender(personal->txn, owner, sender, invitation.role)) != R_OK) return r;
        if ((r = open_other(personal, owner, &scope)) != R_OK) return r;
        scope->kinds = ROW_BIT(ROW_PROFILE) | ROW_BIT(ROW_MEMBER);
        scope->is_bound = true;
        scope->bound_id = personal->actor;
        *role = invitation.role;
        *out = scope;
        return R_OK;
}

/* ---- Administrators and the system ---- */

/* The look is written whatever the function decides then, so it does not count as its decision. */
static enum result write_look(const struct scope *scope, const char *why)
{
        unsigned put_count = scope->txn->put_count;
        uint64_t revision;
        enum result r;

        r = scope_change_why(scope, CHANGE_LOOK, &(struct row){.kind = ROW_PROFILE}, why, &revision);
        scope->txn->put_count = put_count;
        return r;
}

enum result scope_admin(struct txn *txn, const struct credential *admin, struct owner owner, const char *why,
                        const struct scope **out)
{
        struct scope *scope;
        enum result r;

        REQUIRE(txn->is_write);
        if (admin->plane != PLANE_ADMIN) return R_UNAUTHENTICATED;
        if ((r = scope_new(txn, owner, &scope)) != R_OK) return r;
        scope->rights = RIGHTS_ALL;
        scope->peer = admin->peer;
        r = scope_exists(scope, &(struct row){.kind = ROW_PROFILE});
        if (r == R_OK) {
                r = write_look(scope, why);
        } else if (r == R_ABSENT) {
                r = check_unused(txn, owner);
                if (r == R_EXISTS) r = R_ABSENT;
        }
        if (r != R_OK) return r;
        *out = scope;
        return R_OK;
}

/* Where the walk goes on: after all rows of the current owner, or at the first of the kind. */
static void walk_start(const struct scope_walk *walk, uint8_t kind, struct key *out)
{
        static const struct uuid first;

        if (walk->has_owner) {
                key_owner(walk->owner, out);
                key_to_end(out);
        } else {
                key_owner((struct owner){kind == OWNER_USER ? OWNER_USER : OWNER_TEAM, first}, out);
        }
}

enum result scope_each(struct txn *txn, uint8_t kind, struct scope_walk *walk, const struct scope **out)
{
        struct scope *scope = walk->scope;
        struct owner owner;
        struct bytes found;
        struct key start;
        struct row row;
        enum result r;

        REQUIRE(kind == 0 || kind == OWNER_USER || kind == OWNER_TEAM);
        walk_start(walk, kind, &start);
        if ((r = scope_seek_from(txn, &start, &found)) != R_OK) return r;
        if ((r = key_read(found, &owner, &row)) != R_OK) return r;
        if (kind != 0 && owner.kind != kind) return R_ABSENT;
        if (scope == NULL && (r = scope_new(txn, owner, &scope)) != R_OK) return r;
        txn_require_running(txn, scope->run);
        scope->owner = owner;
        scope->kinds = owner.kind == OWNER_TEAM ? KINDS_OF_TEAM : KINDS_OF_USER;
        scope->rights = RIGHTS_ALL;
        key_owner(owner, &scope->prefix);
        *walk = (struct scope_walk){owner, true, scope};
        *out = scope;
        return R_OK;
}

enum result scope_restore(struct txn *txn, struct owner owner, const struct scope **out)
{
        struct scope *scope;
        enum result r;

        REQUIRE(txn->is_write && store_is_building(txn->store));
        if ((r = scope_new(txn, owner, &scope)) != R_OK) return r;
        scope->rights = RIGHTS_ALL;
        *out = scope;
        return R_OK;
}

enum result scope_restored(struct txn *txn, const struct credential *admin, struct owner owner,
                           const struct scope **out)
{
        struct scope *scope;
        enum result r;

        REQUIRE(txn->is_write && hold_is_on(txn->store, owner));
        if (admin->plane != PLANE_ADMIN) return R_UNAUTHENTICATED;
        if ((r = scope_new(txn, owner, &scope)) != R_OK) return r;
        scope->rights = RIGHTS_ALL;
        scope->peer = admin->peer;
        *out = scope;
        return R_OK;
}

enum result scope_check_unused(const struct scope *scope)
{
        scope_require_live(scope);
        return check_unused(scope->txn, scope->owner);
}
