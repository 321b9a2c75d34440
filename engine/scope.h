/* clang-format off */
/*
 * A scope: a key prefix that somebody proved a right to.
 *
 * A scope is (prefix, rights, actor, row kinds it may touch). It lives in its transaction's arena and dies with it;
 * every function here asserts that the transaction is live. It puts the prefix before every key and asserts it on every
 * row that comes back; that is the whole isolation. Nothing outside scope.c takes an owner together with a key, and
 * nothing returns one: another owner's record is not denied but absent, because its name cannot be said.
 *
 * The constructors, what proves the right, and who may import each (a test reads the object files):
 *
 *      scope_open           key -> caller -> personal scope, or the member row of x-team-id         app job team apikey
 *      scope_open_personal  the same; x-team-id must be absent                                      apikey team invitation
 *      scope_open_team      the same, for the team a request names; x-team-id absent or equal       team invitation
 *      scope_new_team       a personal scope, and an id whose owner has no row at all               team
 *      scope_inbox          anybody: bounded invitations and membership pointers, of the sender     team invitation restore_put
 *      scope_invited        an invitation in the caller's own inbox whose sender may still invite   invitation
 *      scope_admin          the admin listener's peer; writes the look into the owner's changes     admin restore_put
 *      scope_each           offline or maintenance work, every owner in key order                   admin dump restore verify
 *      scope_restore        a store that is being built: nobody else sees it                        restore
 *      scope_restored       the admin listener's peer, and the hold on that owner (hold.h)          restore_put
 *
 * Visibility: a row under an app exists only if the app's ROW_APP does. scope_get and scans do not check that again for
 * each row; a resource module checks it once, with scope_app_exists or by reading the app.
 */
/* clang-format on */
#ifndef ALLOD_ENGINE_SCOPE_H
#define ALLOD_ENGINE_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/caller.h"
#include "engine/key.h"
#include "engine/record.h"
#include "engine/role.h"
#include "engine/txn.h"

struct scope;

/* ---- Constructors. *out lives as long as the run of the transaction function; so must the credential. ---- */

/* The scope that the credential's headers name, if the caller has `right` there. All that caller_authenticate answers,
 * and R_FORBIDDEN (the fault names the missing permission). */
enum result scope_open(struct txn *txn, const struct credential *who, enum right right,
                       const struct scope **out) MUST_USE;

/* The key's user's own scope. R_BAD_ARGUMENT: x-team-id was sent. */
enum result scope_open_personal(struct txn *txn, const struct credential *who, const struct scope **out) MUST_USE;

/* The scope of a team that a request names. R_BAD_ARGUMENT: x-team-id was sent and differs. R_NOT_MEMBER, R_FORBIDDEN.
 */
enum result scope_open_team(struct txn *txn, const struct credential *who, struct uuid team, enum right right,
                            const struct scope **out) MUST_USE;

/* The scope of a team yet to be made, all rights. R_EXISTS: that owner has rows (of a deleted team still being purged,
 * too). */
enum result scope_new_team(const struct scope *personal, struct uuid team, const struct scope **out) MUST_USE;

/* Another user's inbox, as seen from a team's scope: only the ROW_INVITATION and ROW_MEMBERSHIP rows that name this
 * very team, put and delete only (and the change rows of that). R_ABSENT: no such user. R_FORBIDDEN: neither may the
 * team's scope manage members nor is it the caller's own inbox. */
enum result scope_inbox(const struct scope *team, struct uuid user, const struct scope **out) MUST_USE;

/* Whether this team may put an invitation there: R_OK, or R_EXHAUSTED when USER_INVITATIONS_MAX others lie there. */
enum result scope_inbox_has_room(const struct scope *inbox) MUST_USE;

/* The team that an invitation in `personal`'s own inbox names: the profile, and the caller's own member row only.
 * R_ABSENT: no such invitation, the team is gone, or its sender is no longer entitled to send it. *role is the role it
 * offers. */
enum result scope_invited(const struct scope *personal, struct uuid team, uint32_t *role,
                          const struct scope **out) MUST_USE;

/* Any owner, for an administrator; all rights. The look is written into the owner's change log, with `why` ("" for
 * none), so the transaction must be a write one. R_UNAUTHENTICATED: the credential is not of the admin plane. The owner
 * need not exist: then nothing is written and every row is absent, and it may be created. R_ABSENT: it was deleted and
 * is still being purged; it neither exists nor may be created. */
enum result scope_admin(struct txn *txn, const struct credential *admin, struct owner owner, const char *why,
                        const struct scope **out) MUST_USE;

/* Walks owners in key order, teams before users. Zero it first; to resume a walk, set owner and has_owner. */
struct scope_walk {
        struct owner owner; /* the current one */
        bool has_owner;
        struct scope *scope; /* scope.c's own */
};

/* The next owner of `kind` that has any row (0: users and teams), after walk->owner. One that has no ROW_PROFILE is
 * being purged. *out is good until the next call with this walk. R_ABSENT: that was the last. */
enum result scope_each(struct txn *txn, uint8_t kind, struct scope_walk *walk, const struct scope **out) MUST_USE;

/* Any owner in a store that is being built (store_build.h), all rights, whether it exists or not. */
enum result scope_restore(struct txn *txn, struct owner owner, const struct scope **out) MUST_USE;

/* An owner whom this process holds, to restore a dump there; all rights, whether it exists or not. No look is written:
 * scope_begin_restore tells of it. R_UNAUTHENTICATED: the credential is not of the admin plane. */
enum result scope_restored(struct txn *txn, const struct credential *admin, struct owner owner,
                           const struct scope **out) MUST_USE;

/* R_OK: the scope's owner has no row at all, and none to be purged. R_EXISTS. */
enum result scope_check_unused(const struct scope *scope) MUST_USE;

/* ---- What a scope says about itself ---- */

struct txn *scope_txn(const struct scope *scope);
struct owner scope_owner(const struct scope *scope); /* for display fields; there is no way back from it to a key */
struct uuid scope_actor(const struct scope *scope);  /* the user who acts; all zero for administrators and the system */
uint32_t scope_role(const struct scope *scope);      /* of allod.v1.Role; 0 in a personal scope */
bool scope_has(const struct scope *scope, enum right right);

/* R_OK, or R_FORBIDDEN with the fault that names the permission. */
enum result scope_require(const struct scope *scope, enum right right) MUST_USE;

/* ---- Rows. R_CORRUPT when a stored value does not check out, for all that read. ---- */

/* out->body lives until the transaction ends or writes again through the same scope's owner: dup it before a put. */
enum result scope_get(const struct scope *scope, const struct row *row, struct record *out) MUST_USE;

/* R_OK or R_ABSENT, without reading the value. */
enum result scope_exists(const struct scope *scope, const struct row *row) MUST_USE;

/* Seals and puts. `body` must be empty for kinds that are an index. Counts against the transaction's decisions: after
 * it the function may only return R_OK. */
enum result scope_put(const struct scope *scope, const struct row *row, uint64_t revision, struct bytes body) MUST_USE;

/* A primary row as a dump has it, change rows too, through a scope of scope_restore. R_CORRUPT: such an owner has no
 * such rows, or the change's revision is not its number. */
enum result scope_put_restored(const struct scope *scope, const struct row *row, uint64_t revision,
                               struct bytes body) MUST_USE;

/* R_OK also when there was no such row. */
enum result scope_delete(const struct scope *scope, const struct row *row) MUST_USE;

/* R_OK or R_ABSENT: whether the app's record is there, and so whether the rows under it count. */
enum result scope_app_exists(const struct scope *scope, struct uuid app) MUST_USE;

/*
 * Scans of the rows of one kind (for kinds under an app: of row->app; for ROW_JOB_BY_STATE: of that state), in key
 * order or backwards. `from` is where the last page ended: rows strictly after it (before it, backwards) come. A
 * ROW_APP scan steps from app to app and shows only those whose record is there. Rows may be put and deleted while a
 * scan is open; a run may have up to SCANS_MAX open at a time and must close them all before it returns.
 */
#define SCANS_MAX 4

struct scan {
        const struct scope *scope;
        unsigned cursor; /* scan.c's own, like all that follows; 0: closed */
        struct key prefix;
        struct key last;    /* the row that came last, or `from` */
        enum row_kind kind; /* ROW_KIND_COUNT: all */
        bool is_reverse;
        bool has_last;
        bool is_placed; /* the cursor stands on `last` */
};

enum result scan_open(const struct scope *scope, const struct row *kind, const struct row *from, bool is_reverse,
                      struct scan *out) MUST_USE;

/* All rows of the owner, of every kind, in key order, visible or not. */
enum result scan_open_all(const struct scope *scope, struct scan *out) MUST_USE;

/* R_ABSENT: no more. *record is untouched for index kinds; its body lives as scope_get says. */
enum result scan_next(struct scan *scan, struct row *row, struct record *record) MUST_USE;
void scan_close(struct scan *scan);

#define SCAN_SCOPE __attribute__((cleanup(scan_close))) /* a zeroed scan is a closed one */

/* GetApp's reads in one seek and a step: the app's record and, if it is there, the counters next to it
 * (counters->body.data NULL when not). R_ABSENT: no such app. */
enum result scope_get_app(const struct scope *scope, struct uuid app, struct record *record,
                          struct record *counters) MUST_USE;

/* ---- Writing ---- */

enum change_operation {
        CHANGE_CREATE = 1,
        CHANGE_UPDATE = 2,
        CHANGE_DELETE = 3,
        CHANGE_LOOK = 4,    /* an administrator read */
        CHANGE_RESTORE = 5, /* an administrator begins to put what a dump holds; revisions leap here */
};

/* Write the change row for one primary record that this function touches, and get the revision to put it with. Counts
 * as a put. */
enum result scope_change(const struct scope *scope, enum change_operation operation, const struct row *row,
                         uint64_t *revision) MUST_USE;

/* Write that a restore begins, with `why`. The next revision is above all that an earlier life of this owner can have
 * had, so that no etag of then is ever good again. Counts as a put. */
enum result scope_begin_restore(const struct scope *scope, const char *why) MUST_USE;

/* The owner's revision: the number of its last change row; 0: none. */
enum result scope_revision(const struct scope *scope, uint64_t *revision) MUST_USE;

/* List an app's prefix for the purge chore; the caller deletes its ROW_APP in the same transaction. */
enum result scope_purge_app(const struct scope *scope, struct uuid app) MUST_USE;

/* List the whole owner for the purge chore; the caller deletes its ROW_PROFILE in the same transaction. */
enum result scope_purge_owner(const struct scope *scope) MUST_USE;

/* Take an app, or the owner, off that list again; the caller puts its ROW_APP or ROW_PROFILE in the same transaction.
 */
enum result scope_keep_app(const struct scope *scope, struct uuid app) MUST_USE;
enum result scope_keep_owner(const struct scope *scope) MUST_USE;

/* R_OK: some key has that digest. R_ABSENT: it is free. Through a scope of scope_restored only: it tells of other
 * owners' keys. */
enum result scope_key_is_taken(const struct scope *scope, const uint8_t digest[API_KEY_DIGEST_SIZE]) MUST_USE;

/* The look-up row of an API key: digest -> this user and key. R_EXISTS: some key has that digest already. */
enum result scope_publish_key(const struct scope *scope, const uint8_t digest[API_KEY_DIGEST_SIZE],
                              struct uuid key) MUST_USE;

/* ---- Page tokens: opaque, authenticated with the store's secret, bound to scope, list and restore epoch ---- */

/* A token that resumes `list` (ROW kind and filters as the module packs them) after `row`; NUL-terminated, in the
 * arena. */
enum result scope_page_token(const struct scope *scope, const struct row *row, uint32_t list,
                             const char **out) MUST_USE;

/* R_BAD_ARGUMENT (fault on "page_token"): not ours, of another scope, list or epoch. */
enum result scope_page_resume(const struct scope *scope, const char *token, uint32_t list, struct row *out) MUST_USE;

#endif
