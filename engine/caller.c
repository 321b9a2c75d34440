/*
 * From a credential to a user and, in a team, a role:
 *
 *      x-api-key --SHA-256--> TABLE_APIKEYS --> user id, key id
 *              row K of that user: not revoked, not expired;  row P of that user: there
 *      x-team-id: row M of that user under that team: there;  row P of that team: there
 *
 * A team that does not exist and one that the user is not in take the same look-ups and give the same answer.
 *
 * The table of a view. An entry says what those rows said to one (key, team), stamped with the identity generation that
 * was read before the snapshot was taken. The writer bumps the generation after a commit that touched such rows and
 * before it reports that commit: so an entry whose stamp equals the view's newest one is as good as looking again, for
 * every change that anybody has heard of. Only callers that passed are kept, so nobody without a key can push others
 * out. Expiry depends on the time of the call and is checked at each use.
 */
#include "engine/caller.h"

#include <stdlib.h>
#include <string.h>

#include "engine/caller_private.h"
#include "engine/keyuse.h"
#include "engine/message.h"
#include "engine/role.h"
#include "engine/scope_private.h"
#include "engine/store_private.h"
#include "engine/txn_private.h"
#include "store/v1/store.pb.h"

/* Direct-mapped. 4,096 entries of 152 bytes are 608 KiB for each thread that has a view; more callers than that at a
 * time only look up more often. */
#define CACHE_SIZE 4096

/* How far the recorded last use of a key lags behind: a K row is written at most that often. */
#define KEY_USE_GRAIN_MS (5 * 60 * 1000)

struct entry {
        uint64_t generation; /* 0: free */
        uint8_t digest[API_KEY_DIGEST_SIZE];
        struct caller caller;
        int64_t expires_at_ms; /* 0: never */
        int64_t used_at_ms;    /* the newest use that is recorded, or noted to be */
};

struct caller_cache {
        struct entry entries[CACHE_SIZE];
};

struct caller_cache *caller_cache_new(void)
{
        return calloc(1, sizeof(struct caller_cache));
}

void caller_cache_free(struct caller_cache *cache)
{
        free(cache);
}

/* Where (key, team) has its place. A digest is random already; so are the last bytes of an id. */
static struct entry *entry_at(struct caller_cache *cache, const uint8_t *digest, const struct uuid *team)
{
        uint32_t hash;
        uint32_t team_hash = 0;

        memcpy(&hash, digest, sizeof hash);
        if (team != NULL) memcpy(&team_hash, team->bytes + UUID_SIZE - sizeof team_hash, sizeof team_hash);
        return &cache->entries[(hash ^ team_hash) % CACHE_SIZE];
}

static struct entry *find_entry(struct txn *txn, const uint8_t *digest, const struct uuid *team)
{
        struct entry *entry;

        if (txn->cache == NULL) return NULL;
        entry = entry_at(txn->cache, digest, team);
        if (entry->generation != txn->generation || memcmp(entry->digest, digest, API_KEY_DIGEST_SIZE) != 0)
                return NULL;
        if (entry->caller.has_team != (team != NULL)) return NULL;
        return team == NULL || uuid_equal(entry->caller.team, *team) ? entry : NULL;
}

/* The value of a row of TABLE_APIKEYS is a record: user id, key id. */
static enum result find_key(struct txn *txn, const uint8_t *digest, struct uuid *user, struct uuid *key)
{
        struct bytes name = bytes_of(digest, API_KEY_DIGEST_SIZE);
        struct bytes value;
        struct record record;
        enum result r;

        if ((r = txn_get(txn, TABLE_APIKEYS, name, &value)) != R_OK) return r;
        if ((r = record_open(name, value, &record)) != R_OK) return r;
        if (record.body.len != 2 * UUID_SIZE) return R_CORRUPT;
        memcpy(user->bytes, record.body.data, UUID_SIZE);
        memcpy(key->bytes, record.body.data + UUID_SIZE, UUID_SIZE);
        return R_OK;
}

/* R_ABSENT: no such key, or it is of no use any more. Fills caller, expiry and use. */
static enum result look_up_user(struct txn *txn, const uint8_t *digest, struct entry *entry)
{
        struct caller *caller = &entry->caller;
        struct owner user = {.kind = OWNER_USER};
        struct record record;
        store_v1_ApiKey key;
        enum result r;

        if ((r = find_key(txn, digest, &caller->user, &caller->key)) != R_OK) return r;
        user.id = caller->user;
        r = scope_identity_get(txn, user, &(struct row){.kind = ROW_KEY, .id = caller->key}, &record);
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_ApiKey_msg, record.body, &key)) != R_OK) return r;
        if (!bytes_equal(bytes_of(key.digest.bytes, key.digest.size), bytes_of(digest, API_KEY_DIGEST_SIZE)))
                return R_CORRUPT;
        if (key.revoked_at_ms != 0) return R_ABSENT;
        entry->expires_at_ms = key.expires_at_ms;
        entry->used_at_ms = key.last_used_at_ms;
        return scope_identity_get(txn, user, &(struct row){.kind = ROW_PROFILE}, &record);
}

/* Both rows are read before either is judged. */
static enum result look_up_member(struct txn *txn, struct caller *caller)
{
        struct owner team = {OWNER_TEAM, caller->team};
        struct record member_record;
        struct record team_record;
        store_v1_Member member;
        store_v1_Profile profile;
        enum result member_result;
        enum result r;

        member_result =
                scope_identity_get(txn, team, &(struct row){.kind = ROW_MEMBER, .id = caller->user}, &member_record);
        r = scope_identity_get(txn, team, &(struct row){.kind = ROW_PROFILE}, &team_record);
        if (member_result == R_ABSENT || (member_result == R_OK && r == R_ABSENT)) return R_NOT_MEMBER;
        if (member_result != R_OK) return member_result;
        if (r != R_OK) return r;
        if ((r = message_load(&store_v1_Member_msg, member_record.body, &member)) != R_OK) return r;
        if ((r = message_load(&store_v1_Profile_msg, team_record.body, &profile)) != R_OK) return r;
        caller->role = member.role;
        caller->rights = role_rights(member.role, &profile.settings);
        return R_OK;
}

static bool is_wrong_user(const struct credential *who, const struct caller *caller)
{
        if (who->user_claim == CLAIM_ABSENT) return false;
        return who->user_claim == CLAIM_MALFORMED || !uuid_equal(who->user, caller->user);
}

/* The checks that come between the key and the team, for entries old and new. */
static enum result check_entry(struct txn *txn, const struct credential *who, const struct entry *entry)
{
        if (entry->expires_at_ms != 0 && txn_time_ms(txn) >= entry->expires_at_ms) return R_UNAUTHENTICATED;
        if (is_wrong_user(who, &entry->caller)) return R_WRONG_USER;
        if (who->team_claim == CLAIM_MALFORMED)
                return fault_set(txn_fault(txn), R_BAD_ARGUMENT, "The header x-team-id must be one UUID.");
        return R_OK;
}

static enum result look_up(struct txn *txn, const struct credential *who, const struct uuid *team, struct entry *entry)
{
        enum result r;

        *entry = (struct entry){.generation = txn->generation, .caller.has_team = team != NULL};
        memcpy(entry->digest, who->key_digest, sizeof entry->digest);
        r = look_up_user(txn, who->key_digest, entry);
        if (r != R_OK) return r == R_ABSENT ? R_UNAUTHENTICATED : r;
        if ((r = check_entry(txn, who, entry)) != R_OK) return r;
        if (team == NULL) {
                entry->caller.rights = RIGHTS_ALL;
                return R_OK;
        }
        entry->caller.team = *team;
        return look_up_member(txn, &entry->caller);
}

/* Views only: what reaches the writer went through a view first. */
static void note_use(struct txn *txn, struct entry *entry)
{
        int64_t time_ms = txn_time_ms(txn);

        if (time_ms - entry->used_at_ms < KEY_USE_GRAIN_MS) return;
        keyuse_note(&txn->store->key_uses, entry->caller.user, entry->caller.key, time_ms);
        entry->used_at_ms = time_ms;
}

/* *out is in the view's table, or at `fresh`. */
static enum result find_caller(struct txn *txn, const struct credential *who, const struct uuid *team,
                               struct entry *fresh, struct entry **out)
{
        struct entry *entry = find_entry(txn, who->key_digest, team);
        enum result r;

        if (entry != NULL) {
                if ((r = check_entry(txn, who, entry)) != R_OK) return r;
                *out = entry;
                return R_OK;
        }
        if ((r = look_up(txn, who, team, fresh)) != R_OK) return r;
        *out = fresh;
        if (txn->cache == NULL) return R_OK;
        *out = entry_at(txn->cache, who->key_digest, team);
        **out = *fresh;
        return R_OK;
}

enum result caller_resolve(struct txn *txn, const struct credential *who, const struct uuid *named, struct caller *out)
{
        const struct uuid *team = who->team_claim == CLAIM_GIVEN ? &who->team : named;
        struct entry fresh;
        struct entry *entry;
        enum result r;

        if (who->plane != PLANE_PUBLIC || !who->has_key) return R_UNAUTHENTICATED;
        if ((r = find_caller(txn, who, team, &fresh, &entry)) != R_OK) return r;
        if (!txn->is_write) note_use(txn, entry);
        if (named != NULL && !uuid_equal(*team, *named))
                return fault_set(txn_fault(txn), R_BAD_ARGUMENT,
                                 "The header x-team-id must be left out or name the same team as the request.");
        *out = entry->caller;
        return R_OK;
}

enum result caller_authenticate(struct txn *txn, const struct credential *who)
{
        struct caller caller;

        if (who->plane == PLANE_ADMIN) return R_OK;
        return caller_resolve(txn, who, NULL, &caller);
}
