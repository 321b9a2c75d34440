/*
 * Two tenants and a team, with apps: the ground that the tests of resources stand on.
 *
 *      ann, bob    two users who have nothing to do with each other
 *      cleo        a MEMBER of the team in which ann is OWNER
 *
 * One at a time, for each test anew: tenants_set_up and tenants_tear_down are cmocka's fixture functions. What a helper
 * meant to succeed and did not fails the test.
 */
#ifndef ALLOD_TESTS_LIB_TENANTS_H
#define ALLOD_TESTS_LIB_TENANTS_H

#include <allod/v1/app.pb-c.h>

#include "engine/caller.h"
#include "engine/key.h"
#include "tests/lib/world.h"

extern struct world world;
extern struct person ann, bob, cleo;
extern struct credential ann_in_team, cleo_in_team, bob_in_team;

int tenants_set_up(void **state);
int tenants_tear_down(void **state);

/* A whole App that a test may change before it is sent. */
struct sample {
        Allod__V1__App app;
        Allod__V1__Configuration configuration;
        Allod__V1__Workflow workflow;
        Allod__V1__Lora loras[2];
        Allod__V1__Lora *lora_list[2];
        Allod__V1__CreateAppRequest create;
};

void sample_init(struct sample *sample);

/* The id of a record. */
struct id {
        char text[UUID_TEXT_LEN + 1];
        struct uuid uuid;
};

/* An id that nothing has. */
#define NO_ID "00000000-0000-7000-8000-000000000000"

/* What the newest call created. */
struct id created_id(void);

/* ---- Calls. The reply is world.reply. ---- */

struct id create_app(const struct credential *who);
enum result get_app(const struct credential *who, const char *id);
enum result delete_app(const struct credential *who, const char *id, const char *etag);
enum result run_job(const struct credential *who, const char *app, const char *input);

/* An update of the paths in `mask`, a NULL-terminated list; NULL: without a mask. */
enum result update_app(const struct credential *who, const char *id, Allod__V1__App *app, const char *const *mask);

#define MASK(...) ((const char *const[]){__VA_ARGS__, NULL})

const Allod__V1__App *replied_app(void);

/* The newest call's only complaint. `text` may be NULL: any. */
void assert_complaint(const char *path, const char *text);

/* ---- Behind the methods' back ---- */

/* A row in the scope of `who`. */
struct peek {
        const struct credential *who;
        struct row row;
        enum result found; /* and if R_OK: */
        uint8_t body[4096];
        size_t len;
};

void peek(struct peek *peek);

/* Put the row, with this body, as a change of its app. */
void poke(const struct peek *peek, struct bytes body);

/* Run on the writer; it succeeds. */
void tenants_write(txn_fn *function, void *arg);

/* All rows of the store. */
uint64_t count_records(void);

/* Top-level field numbers of encoded bytes, below 16, as bits; and the bit of a field. */
uint32_t fields_of(const uint8_t *data, size_t len);
uint32_t field_bit(const ProtobufCMessageDescriptor *type, const char *name);

#endif
