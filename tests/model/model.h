/*
 * What the store should hold, kept naively: arrays, linear searches, and the rules as the contract words them, with
 * none of the engine's code. Calls predict their results from it and change it; test_model.c compares.
 *
 * Nothing is ever removed from an array: what is deleted is marked, so that calls may name it later. An etag is ""
 * while nobody has seen it; the first answer that shows it fills it in.
 */
#ifndef ALLOD_TESTS_MODEL_MODEL_H
#define ALLOD_TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/caller.h"
#include "engine/result.h"
#include "engine/uuid.h"

#define USERS_MAX       40
#define KEYS_MAX        200
#define TEAMS_MAX       60
#define MEMBERS_MAX     2000
#define INVITATIONS_MAX 2000
#define APPS_MAX        1500
#define JOBS_MAX        4000
#define LORAS_MAX       3
#define TOOLS_MAX       6
#define TEXT_SIZE       96
#define ETAG_TEXT_SIZE  40

#define CANARY_LEN    23 /* "canary-" and 16 hexadecimal digits */
#define CANARY_PREFIX "canary-"

#define NONE (-1) /* an index of nothing */

/* A record's id, as both. */
struct name {
        struct uuid id;
        char text[UUID_TEXT_LEN + 1];
};

struct model_user {
        struct name name;
        bool exists;
        char canary[CANARY_LEN + 1]; /* in all that is the user's own */
        int64_t created_ms;
};

struct model_key {
        struct name name;
        int user;
        uint8_t digest[API_KEY_DIGEST_SIZE];
        char title[TEXT_SIZE];
        int64_t created_ms;
        int64_t revoked_ms; /* 0: not */
};

enum {
        SETTING_CREATE,
        SETTING_EDIT,
        SETTING_RUN,
        SETTING_DELETE,
        SETTING_SHARE,
        SETTING_COUNT
};

struct model_team {
        struct name name;
        bool exists;
        char canary[CANARY_LEN + 1];       /* in what members see */
        char title_canary[CANARY_LEN + 1]; /* in its name, which the invited see too */
        char title[TEXT_SIZE];
        bool settings[SETTING_COUNT];
        int64_t created_ms, updated_ms;
        int created_by;
        char etag[ETAG_TEXT_SIZE];
        unsigned forgotten; /* how often the etag has become unknown */
};

struct model_member {
        bool exists;
        int team, user;
        uint32_t role;
        int64_t joined_ms;
};

struct model_invitation {
        bool exists;
        int team, user, by;
        uint32_t role;
        char title[TEXT_SIZE]; /* the team's, as it was then */
        int64_t created_ms;
};

struct model_lora {
        char id[8];
        double weight;
};

struct model_tool {
        char key[8];
        char value[TEXT_SIZE];
};

/* A user or a team. */
struct tenant {
        bool is_team;
        int index;
};

struct model_app {
        struct name name;
        bool exists; /* its owner's end is its own too */
        struct tenant owner;
        int created_by;
        char title[TEXT_SIZE], description[TEXT_SIZE];
        int tier, workers, status;
        char location[TEXT_SIZE];
        char model_url[TEXT_SIZE];
        struct model_lora loras[LORAS_MAX];
        size_t lora_count;
        struct model_tool tools[TOOLS_MAX];
        size_t tool_count;
        bool has_tools; /* some document was sent, be it empty */
        int64_t created_ms, updated_ms;
        char etag[ETAG_TEXT_SIZE];
        bool has_counters; /* a job was run once */
};

struct model_job {
        struct name name;
        int app;
        int created_by;
        int status;
        char input[2 * TEXT_SIZE];
        char result[TEXT_SIZE];
        int64_t created_ms, updated_ms;
        char etag[ETAG_TEXT_SIZE];
};

struct model {
        struct model_user users[USERS_MAX];
        int user_count;
        struct model_key keys[KEYS_MAX];
        int key_count;
        struct model_team teams[TEAMS_MAX];
        int team_count;
        struct model_member members[MEMBERS_MAX];
        int member_count;
        struct model_invitation invitations[INVITATIONS_MAX];
        int invitation_count;
        struct model_app apps[APPS_MAX];
        int app_count;
        struct model_job jobs[JOBS_MAX];
        int job_count;
};

/* What one of the rights of API.md, section 2, is called here. */
enum model_right {
        MAY_READ,
        MAY_CREATE,
        MAY_EDIT,
        MAY_RUN,
        MAY_DELETE,
        MAY_MANAGE,
        MAY_OWN
};

/* Who makes a call, and what its headers say. */
struct actor {
        struct credential who;
        int key;      /* NONE: no key, or one that nobody has */
        int team;     /* of x-team-id: NONE when it is absent, malformed or names no team */
        bool is_ours; /* an administrator */
};

bool model_key_works(const struct model *model, int key);

/* The member row, NULL when there is none. */
struct model_member *model_member(struct model *model, int team, int user);
struct model_invitation *model_invitation(struct model *model, int team, int user);
int model_owner_count(struct model *model, int team);
bool model_is_last_owner(struct model *model, int team, int user);

/* In the team; a user may do all in their own scope. */
bool model_may(struct model *model, int team, int user, enum model_right right);

/* The outcome of the checks of headers for a call in the scope that they name; *owner is that scope. */
enum result model_open(struct model *model, const struct actor *actor, enum model_right right, struct tenant *owner);

/* The same for calls that act as the user, and for those that name a team (NONE: one that is not there). */
enum result model_open_self(struct model *model, const struct actor *actor);
enum result model_open_team(struct model *model, const struct actor *actor, struct uuid named, int team,
                            enum model_right right);

/* Whether an app, by index, is there in the scope. */
bool model_app_is_in(const struct model *model, int app, struct tenant owner);

/* The team's record changed, and no answer shows its new etag. */
void model_forget_etag(struct model *model, int team);

void model_add_member(struct model *model, int team, int user, uint32_t role, int64_t now_ms);
void model_remove_member(struct model *model, struct model_member *member);
void model_delete_team(struct model *model, int team);
void model_delete_user(struct model *model, int user);

/* Whether the actor may be shown a text with this canary, at this moment. */
bool model_may_see(struct model *model, const struct actor *actor, const char *canary);

/* Rows of the store that are not changes, when nothing is left to purge. */
uint64_t model_row_count(struct model *model);

#endif
