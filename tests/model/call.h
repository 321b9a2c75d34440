/*
 * One call of a method: who makes it, the request, and what must come of it.
 *
 * A generator picks a method and its request, predicts the outcome and changes the model at once. The call is then run,
 * alone or with others in one batch, and judged in the order of prediction. Expected messages hold pointers into the
 * model where an etag lies, so that one that is not known yet is learnt from the first answer that shows it.
 */
#ifndef ALLOD_TESTS_MODEL_CALL_H
#define ALLOD_TESTS_MODEL_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "engine/arena.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/txn.h"
#include "tests/lib/world.h"
#include "tests/model/model.h"

struct call;

/* Random numbers, the same for the same seed. */
struct dice {
        uint64_t state;
};

uint64_t dice_next(struct dice *dice);
unsigned dice_below(struct dice *dice, unsigned bound); /* 0 to bound - 1 */
bool dice_percent(struct dice *dice, unsigned percent);

struct game {
        struct model model;
        struct dice dice;
        int64_t now_ms;
        uint32_t id_count;
        bool is_batch; /* calls are being collected: none may depend on an answer to come */
};

struct call {
        /* what is asked */
        const struct world_method *method;
        struct actor actor;
        ProtobufCMessage *request;
        struct name id; /* of what it creates */
        int64_t time_ms;
        uint8_t seed[TXN_SEED_SIZE];
        struct arena arena; /* of request and expectation */

        /* what is expected */
        enum result result;
        const char *text;                       /* the fault's sentence; NULL: any */
        const ProtobufCMessageDescriptor *type; /* of the reply; NULL: an empty one */
        ProtobufCMessage *reply;
        const unsigned
                *forgotten; /* when this is no longer what it was then, the etag is not to be kept; NULL: always */
        unsigned forgotten_then;
        char *etag_slot;                      /* where the new etag of a written record goes; NULL: none */
        bool sees[USERS_MAX + 2 * TEAMS_MAX]; /* canaries that the actor may be shown: users, teams, their titles */
        void (*learn)(struct game *game, const struct call *call, const ProtobufCMessage *reply);

        /* a page of a list, to be continued: how many rows at most; 0: no list */
        int page_rows;
        int key; /* of apikey_create: the model's key */
};

/* ---- For generators ---- */

void *call_alloc(struct call *call, size_t size);

/* Room for so many pointers to messages, and one more. */
void *call_list(struct call *call, size_t count);

const char *call_printf(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A message of a type with its defaults, in the call's memory. */
#define CALL_NEW(call, type, init) ((type *)memcpy(call_alloc((call), sizeof(type)), &(type)init, sizeof(type)))

Google__Protobuf__Timestamp *call_time(struct call *call, int64_t time_ms);

/* A text with a canary in it. */
void text_with(struct game *game, char out[TEXT_SIZE], const char *canary);
void canary_make(struct game *game, char out[CANARY_LEN + 1]);

/* A new id; ids rise. */
struct name new_name(struct game *game);

/* Somebody, mostly with good headers; one whose x-team-id, if any, names `team` (NONE: any). */
struct actor any_actor(struct game *game);
struct actor administrator(void);

/* Indices; NONE when there is nothing of the kind. */
int any_live_user(struct game *game);
int any_live_team(struct game *game);
int team_of(struct game *game, int user);

/* Text of an id that is none, or of something that never existed. */
const char *nonsense_id(struct game *game, struct call *call);

/* The canary of what a tenant owns. */
const char *canary_of(const struct model *model, struct tenant owner);

/* Where the actor would act, if all went well; somebody's scope in any case, for the texts of a request. */
struct tenant aim(struct game *game, const struct actor *actor);

/* An app: mostly of the scope, else any that is or was, or nothing. */
int pick_app(struct game *game, struct tenant owner);

/* The outcome for a call that names an app, this one or NONE, or some app: then *index is set on R_OK. *id is how the
 * request spells it. */
enum result name_this_app(struct game *game, struct call *call, enum model_right right, int app, char **id);
enum result name_app(struct game *game, struct call *call, enum model_right right, char **id, int *index);

/* ---- The generators. False: not possible now; nothing has changed. ---- */

bool generate_app_create(struct game *game, struct call *call);
bool generate_app_get(struct game *game, struct call *call);
bool generate_app_list(struct game *game, struct call *call);
bool generate_app_update(struct game *game, struct call *call);
bool generate_app_delete(struct game *game, struct call *call);
bool generate_job_run(struct game *game, struct call *call);
bool generate_job_get(struct game *game, struct call *call);
bool generate_job_list(struct game *game, struct call *call);
bool generate_job_cancel(struct game *game, struct call *call);

/* What a worker does to a job, which no method does yet; not a call. */
bool work_on_job(struct game *game, struct store *store);

bool generate_team_create(struct game *game, struct call *call);
bool generate_team_get(struct game *game, struct call *call);
bool generate_team_list(struct game *game, struct call *call);
bool generate_team_update(struct game *game, struct call *call);
bool generate_team_delete(struct game *game, struct call *call);
bool generate_list_members(struct game *game, struct call *call);
bool generate_update_member(struct game *game, struct call *call);
bool generate_remove_member(struct game *game, struct call *call);
bool generate_leave(struct game *game, struct call *call);
bool generate_invite(struct game *game, struct call *call);
bool generate_list_invitations(struct game *game, struct call *call);
bool generate_answer_invitation(struct game *game, struct call *call);

bool generate_key_create(struct game *game, struct call *call);
bool generate_key_list(struct game *game, struct call *call);
bool generate_key_revoke(struct game *game, struct call *call);

bool generate_user_create(struct game *game, struct call *call);
bool generate_user_delete(struct game *game, struct call *call);
bool generate_key_import(struct game *game, struct call *call);
bool generate_add_member(struct game *game, struct call *call);

#endif
