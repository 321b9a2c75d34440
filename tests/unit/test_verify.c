#include "engine/verify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/app.h"
#include "engine/counters.h"
#include "engine/job.h"
#include "engine/txn_private.h"
#include "tests/lib/test.h"
#include "tests/lib/world.h"

WORLD_METHOD(app_create, true);
WORLD_METHOD(app_delete, true);
WORLD_METHOD(job_run, true);
WORLD_METHOD(job_cancel, true);

#define SENTENCES_MAX 64

/* Two users with a key each, a team of both, and in the team an app with two jobs, one canceled. */
struct ground {
        struct world world;
        struct person ann, bob;
        struct owner user, team;
        size_t gone_max; /* of struct verify */
        struct uuid app, waiting, canceled;
        struct uuid key;
};

/* What a check found. */
struct findings {
        char text[SENTENCES_MAX][VERIFY_SENTENCE_SIZE];
        size_t count;
};

static struct ground ground;
static struct findings findings;

static void keep(void *context, const char *sentence)
{
        struct findings *out = context;

        if (out->count < SENTENCES_MAX) snprintf(out->text[out->count], VERIFY_SENTENCE_SIZE, "%s", sentence);
        out->count++;
}

static bool has_found(const char *text)
{
        size_t i;

        for (i = 0; i < findings.count && i < SENTENCES_MAX; i++)
                if (strstr(findings.text[i], text) != NULL) return true;
        return false;
}

/* ---- The store ---- */

static void must_call(const struct world_method *method, const struct credential *who, const void *request)
{
        assert_int_equal(world_call(&ground.world, method, who, request), R_OK);
}

static void add_app(const struct credential *who)
{
        Allod__V1__CreateAppRequest request = ALLOD__V1__CREATE_APP_REQUEST__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;

        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_BASIC;
        workflow.model_url = (char *)"https://example.org/model";
        app.name = (char *)"An app";
        app.configuration = &configuration;
        app.workflow = &workflow;
        request.app = &app;
        must_call(&method_app_create, who, &request);
        ground.app = ground.world.id;
}

static struct uuid add_job(const struct credential *who)
{
        Allod__V1__RunJobRequest request = ALLOD__V1__RUN_JOB_REQUEST__INIT;
        char app[UUID_TEXT_LEN + 1];

        uuid_format(ground.app, app);
        request.app_id = app;
        request.input = (char *)"{}";
        must_call(&method_job_run, who, &request);
        return ground.world.id;
}

static void cancel_job(const struct credential *who, struct uuid id)
{
        Allod__V1__CancelJobRequest request = ALLOD__V1__CANCEL_JOB_REQUEST__INIT;
        char app[UUID_TEXT_LEN + 1], job[UUID_TEXT_LEN + 1];

        uuid_format(ground.app, app);
        uuid_format(id, job);
        request.app_id = app;
        request.id = job;
        must_call(&method_job_cancel, who, &request);
}

static int set_up(void **state)
{
        struct credential in_team;

        (void)state;
        world_open(&ground.world);
        world_add_person(&ground.world, &ground.ann);
        assert_int_equal(uuid_parse(bytes_of_text(ground.ann.key_text), &ground.key), R_OK);
        world_add_person(&ground.world, &ground.bob);
        ground.user = (struct owner){OWNER_USER, ground.ann.id};
        ground.team = (struct owner){OWNER_TEAM, world_add_team(&ground.world, &ground.ann)};
        world_add_member(&ground.world, ground.team.id, &ground.bob, ALLOD__V1__ROLE__ROLE_MEMBER);
        in_team = world_in_team(&ground.ann.who, ground.team.id);
        add_app(&in_team);
        ground.canceled = add_job(&in_team);
        ground.waiting = add_job(&in_team);
        cancel_job(&in_team, ground.canceled);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_close(&ground.world);
        return 0;
}

/* ---- Damage, in a transaction that is thrown away after the check ---- */

static struct key key_of(struct owner owner, const struct row *row)
{
        struct key key;

        key_owner(owner, &key);
        key_append(&key, row);
        return key;
}

static void delete_row(struct txn *txn, struct owner owner, struct row row)
{
        struct key key = key_of(owner, &row);

        assert_int_equal(txn_delete(txn, TABLE_RECORDS, key_bytes(&key)), R_OK);
}

static void put_row(struct txn *txn, struct owner owner, struct row row, uint64_t revision, struct bytes body)
{
        struct key key = key_of(owner, &row);
        uint8_t header[RECORD_HEADER_SIZE];

        record_seal(key_bytes(&key), revision, body, header);
        assert_int_equal(txn_put(txn, TABLE_RECORDS, key_bytes(&key), bytes_of(header, sizeof header), body), R_OK);
}

static void put_index(struct txn *txn, struct owner owner, struct row row, struct bytes value)
{
        struct key key = key_of(owner, &row);

        assert_int_equal(txn_put(txn, TABLE_RECORDS, key_bytes(&key), value, (struct bytes){0}), R_OK);
}

/* A copy of a row's body and its revision. */
static struct bytes read_row(struct txn *txn, struct owner owner, struct row row, uint64_t *revision)
{
        struct key key = key_of(owner, &row);
        struct record record;
        struct bytes value;

        assert_int_equal(txn_get(txn, TABLE_RECORDS, key_bytes(&key), &value), R_OK);
        assert_int_equal(record_open(key_bytes(&key), value, &record), R_OK);
        *revision = record.revision;
        return arena_dup(txn_arena(txn), record.body);
}

static struct row job_row(enum row_kind kind, struct uuid id)
{
        return (struct row){.kind = kind, .app = ground.app, .id = id};
}

static const struct row profile = {.kind = ROW_PROFILE};

static void lose_queue(struct txn *txn)
{
        delete_row(txn, ground.team, job_row(ROW_JOB_QUEUE, ground.waiting));
}

static void keep_queue(struct txn *txn)
{
        put_index(txn, ground.team, job_row(ROW_JOB_QUEUE, ground.canceled), (struct bytes){0});
}

static void fill_index(struct txn *txn)
{
        put_index(txn, ground.team, job_row(ROW_JOB_QUEUE, ground.waiting), BYTES("x"));
}

static void lose_state(struct txn *txn)
{
        struct row row = job_row(ROW_JOB_BY_STATE, ground.waiting);

        row.state = ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED;
        delete_row(txn, ground.team, row);
}

static void second_state(struct txn *txn)
{
        struct row row = job_row(ROW_JOB_BY_STATE, ground.waiting);

        row.state = ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING;
        put_index(txn, ground.team, row, (struct bytes){0});
}

static void lose_input(struct txn *txn)
{
        delete_row(txn, ground.team, job_row(ROW_JOB_INPUT, ground.waiting));
}

static void lose_job(struct txn *txn)
{
        delete_row(txn, ground.team, job_row(ROW_JOB, ground.waiting));
}

static void miscount_jobs(struct txn *txn)
{
        const struct row row = {.kind = ROW_COUNTERS, .app = ground.app};
        store_v1_Counters counters = store_v1_Counters_init_zero;
        struct bytes body;
        uint64_t revision;

        (void)read_row(txn, ground.team, row, &revision);
        counters.in_queue = 2;
        assert_int_equal(counters_store(txn_arena(txn), &counters, &body), R_OK);
        put_row(txn, ground.team, row, revision, body);
}

static void lose_app(struct txn *txn)
{
        delete_row(txn, ground.team, (struct row){.kind = ROW_APP, .app = ground.app});
}

static void lose_profile(struct txn *txn)
{
        delete_row(txn, ground.user, profile);
}

static void lose_member(struct txn *txn)
{
        delete_row(txn, ground.team, (struct row){.kind = ROW_MEMBER, .id = ground.bob.id});
}

static void lose_pointer(struct txn *txn)
{
        const struct owner bob = {OWNER_USER, ground.bob.id};

        delete_row(txn, bob, (struct row){.kind = ROW_MEMBERSHIP, .id = ground.team.id});
}

static void miscount_members(struct txn *txn)
{
        store_v1_Profile content;
        struct bytes body;
        uint64_t revision;

        body = read_row(txn, ground.team, profile, &revision);
        assert_int_equal(message_load(&store_v1_Profile_msg, body, &content), R_OK);
        content.owner_count++;
        assert_int_equal(message_store(txn_arena(txn), &store_v1_Profile_msg, &content, &body), R_OK);
        put_row(txn, ground.team, profile, revision, body);
}

static void lose_key(struct txn *txn)
{
        delete_row(txn, ground.user, (struct row){.kind = ROW_KEY, .id = ground.key});
}

static void lose_digest(struct txn *txn)
{
        assert_int_equal(txn_delete(txn, TABLE_APIKEYS, bytes_of(ground.ann.who.key_digest, API_KEY_DIGEST_SIZE)),
                         R_OK);
}

static void swap_digest(struct txn *txn)
{
        const struct bytes digest = bytes_of(ground.ann.who.key_digest, API_KEY_DIGEST_SIZE);
        uint8_t header[RECORD_HEADER_SIZE], body[2 * UUID_SIZE];
        struct uuid bobs_key;

        assert_int_equal(uuid_parse(bytes_of_text(ground.bob.key_text), &bobs_key), R_OK);
        memcpy(body, ground.bob.id.bytes, UUID_SIZE);
        memcpy(body + UUID_SIZE, bobs_key.bytes, UUID_SIZE);
        record_seal(digest, 0, bytes_of(body, sizeof body), header);
        assert_int_equal(
                txn_put(txn, TABLE_APIKEYS, digest, bytes_of(header, sizeof header), bytes_of(body, sizeof body)),
                R_OK);
}

static void lose_change(struct txn *txn)
{
        delete_row(txn, ground.team, (struct row){.kind = ROW_CHANGE, .revision = 2});
}

static void old_revision(struct txn *txn)
{
        uint64_t revision;
        struct bytes body = read_row(txn, ground.team, profile, &revision);

        assert_true(revision > 1);
        put_row(txn, ground.team, profile, 1, body);
}

static void revision_of_another(struct txn *txn)
{
        const struct row row = {.kind = ROW_APP, .app = ground.app};
        uint64_t revision;
        struct bytes body = read_row(txn, ground.team, row, &revision);

        put_row(txn, ground.team, row, revision + 1, body);
}

static void revision_to_come(struct txn *txn)
{
        const struct row row = {.kind = ROW_APP, .app = ground.app};
        uint64_t revision;
        struct bytes body = read_row(txn, ground.team, row, &revision);

        put_row(txn, ground.team, row, revision + 1000, body);
}

static void half_an_app(struct txn *txn)
{
        const struct row row = {.kind = ROW_APP, .app = ground.app};
        uint64_t revision;
        struct bytes body = read_row(txn, ground.team, row, &revision);

        put_row(txn, ground.team, row, revision, bytes_of(body.data, 8)); /* its name, and nothing behind it */
}

/* A stored row, with `more` behind it. */
static void append_to(struct txn *txn, struct owner owner, struct row row, struct bytes more)
{
        uint64_t revision;
        struct bytes body = read_row(txn, owner, row, &revision);
        uint8_t *both = arena_alloc(txn_arena(txn), body.len + more.len);

        assert_non_null(both);
        memcpy(both, body.data, body.len);
        memcpy(both + body.len, more.data, more.len);
        put_row(txn, owner, row, revision, bytes_of(both, body.len + more.len));
}

static void put_input(struct txn *txn, struct bytes body)
{
        const struct row row = job_row(ROW_JOB_INPUT, ground.waiting);
        uint64_t revision;

        (void)read_row(txn, ground.team, row, &revision);
        put_row(txn, ground.team, row, revision, body);
}

/* The status would be taken for the job's own. */
static void input_with_status(struct txn *txn)
{
        append_to(txn, ground.team, job_row(ROW_JOB_INPUT, ground.waiting), BYTES("\x18\x03"));
}

/* Unpacked it is not to be seen, and yet it undoes the status in front of it. */
static void input_with_no_status(struct txn *txn)
{
        append_to(txn, ground.team, job_row(ROW_JOB_INPUT, ground.waiting), bytes_of("\x18\0", 2));
}

static void input_no_json(struct txn *txn)
{
        put_input(txn, BYTES("\x22\x05{\"a\":"));
}

static void input_no_object(struct txn *txn)
{
        put_input(txn, BYTES("\x22\x02[]"));
}

static void input_trailing_comma(struct txn *txn)
{
        put_input(txn, BYTES("\x22\x0b{\"a\":[1, ]}"));
}

static void result_no_json(struct txn *txn)
{
        uint64_t revision;

        (void)read_row(txn, ground.team, job_row(ROW_JOB, ground.canceled), &revision);
        put_row(txn, ground.team, job_row(ROW_JOB_RESULT, ground.canceled), revision, BYTES("\x2a\x02{]"));
}

/* Fields that come again replace those before them, or are merged into them. */
static void tools_no_json(struct txn *txn)
{
        append_to(txn, ground.team, (struct row){.kind = ROW_APP, .app = ground.app}, BYTES("\x2a\x03\x1a\x01x"));
}

static void app_of_no_tier(struct txn *txn)
{
        append_to(txn, ground.team, (struct row){.kind = ROW_APP, .app = ground.app}, BYTES("\x22\x02\x08\x63"));
}

static void app_of_no_time(struct txn *txn)
{
        append_to(txn, ground.team, (struct row){.kind = ROW_APP, .app = ground.app},
                  BYTES("\x3a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
}

static void app_without_text(struct txn *txn)
{
        append_to(txn, ground.team, (struct row){.kind = ROW_APP, .app = ground.app}, BYTES("\x12\x01\xff"));
}

static void job_with_etag(struct txn *txn)
{
        append_to(txn, ground.team, job_row(ROW_JOB, ground.waiting), BYTES("\x62\x01x"));
}

static void member_of_no_role(struct txn *txn)
{
        append_to(txn, ground.team, (struct row){.kind = ROW_MEMBER, .id = ground.bob.id}, BYTES("\x08\x63"));
}

static void break_value(struct txn *txn)
{
        const struct row row = {.kind = ROW_APP, .app = ground.app};
        struct key key = key_of(ground.team, &row);
        struct bytes value;
        uint8_t *copy;

        assert_int_equal(txn_get(txn, TABLE_RECORDS, key_bytes(&key), &value), R_OK);
        copy = arena_alloc(txn_arena(txn), value.len);
        assert_non_null(copy);
        memcpy(copy, value.data, value.len);
        copy[value.len - 1] ^= 1;
        assert_int_equal(txn_put(txn, TABLE_RECORDS, key_bytes(&key), bytes_of(copy, value.len), (struct bytes){0}),
                         R_OK);
}

static void foreign_key(struct txn *txn)
{
        assert_int_equal(txn_put(txn, TABLE_RECORDS, BYTES("nonsense"), BYTES("x"), (struct bytes){0}), R_OK);
}

static void purge_what_is_there(struct txn *txn)
{
        struct key prefix;

        key_owner(ground.team, &prefix);
        key_append_app(&prefix, ground.app);
        assert_int_equal(txn_put(txn, TABLE_PURGE, key_bytes(&prefix), (struct bytes){0}, (struct bytes){0}), R_OK);
}

static void purge_nonsense(struct txn *txn)
{
        assert_int_equal(txn_put(txn, TABLE_PURGE, BYTES("u:"), (struct bytes){0}, (struct bytes){0}), R_OK);
}

static void add_meta(struct txn *txn)
{
        assert_int_equal(txn_put(txn, TABLE_META, BYTES("reserve"), BYTES("x"), (struct bytes){0}), R_OK);
}

static void add_lease(struct txn *txn)
{
        assert_int_equal(txn_put(txn, TABLE_LEASES, BYTES("x"), BYTES("x"), (struct bytes){0}), R_OK);
}

static const struct damage_kind {
        void (*make)(struct txn *txn);
        const char *sentence; /* a part of what is to be said */
        bool is_settled;
} kinds[] = {
        {lose_queue, "waits, and is not in the queue", false},
        {keep_queue, "does not wait, and is in the queue", false},
        {fill_index, "is an index row with a value", false},
        {lose_state, "is not in the index of its state", false},
        {second_state, "is of a job in another state", false},
        {lose_input, "has no input", false},
        {lose_job, "is of no job", false},
        {miscount_jobs, "are 0, 0, 0, 2; a recount gives 0, 0, 0, 1", false},
        {lose_app, "other rows of the app are there", false},
        {lose_profile, "other rows of the owner are there", false},
        {lose_member, "has no counterpart", false},
        {lose_pointer, "has no counterpart", false},
        {miscount_members, "counts 2 members, 2 of them OWNERs; a recount gives 2 and 1", false},
        {lose_key, "is absent, but the table of API keys names it", false},
        {lose_digest, "is not in the table of API keys", false},
        {swap_digest, "has the digest of another key", false},
        {lose_change, "3 comes after 1", false},
        {old_revision, "has revision 1, but changed at", false},
        {revision_of_another, "at which another record changed", false},
        {revision_to_come, "has revision 1", false},
        {half_an_app, "lacks a field", false},
        {input_with_status, "is not its document alone", false},
        {input_with_no_status, "is not its document alone", false},
        {input_no_json, "is no JSON object", false},
        {input_no_object, "is no JSON object", false},
        {input_trailing_comma, "is no JSON object", false},
        {result_no_json, "is not JSON", false},
        {tools_no_json, "has tools that are no JSON object", false},
        {app_of_no_tier, "has a status or a tier that is none of ours", false},
        {app_of_no_time, "has times that cannot be", false},
        {app_without_text, "has text that is not UTF-8", false},
        {job_with_etag, "has a field that is stored elsewhere", false},
        {member_of_no_role, "does not decode", false},
        {break_value, "its value does not check out", false},
        {foreign_key, "a key of 8 bytes is none of ours", false},
        {purge_what_is_there, "is there, and is to be purged", false},
        {purge_nonsense, "the purge list has a prefix of 2 bytes", false},
        {add_meta, "the table meta has a row that nobody knows", false},
        {add_lease, "a table that nothing uses yet has a row", false},
};

static enum result damage_and_check(struct txn *txn, void *arg)
{
        const struct damage_kind *kind = arg;
        struct verify check = {
                .context = &findings, .found_cb = keep, .is_settled = kind->is_settled, .gone_max = ground.gone_max};

        kind->make(txn);
        assert_int_equal(verify_run(txn, &check), R_OK);
        assert_int_equal(check.found_count, findings.count);
        return R_OK;
}

/* The damage stays in a transaction that is thrown away. */
static void try_kind(struct damage_kind kind)
{
        struct txn *txn = malloc(sizeof *txn);
        struct arena arena;
        struct fault fault;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = 1};

        assert_non_null(txn);
        arena_init(&arena, NULL, (size_t)16 << 20);
        txn_init(txn, ground.world.store, true);
        assert_int_equal(txn_begin(txn), R_OK);
        findings.count = 0;
        assert_int_equal(txn_run(txn, &input, damage_and_check, &kind), R_OK);
        txn_abort(txn);
        arena_fini(&arena);
        free(txn);
}

/* Each kind of damage is found, and said as what it is. */
static void test_damage(void **state)
{
        size_t i;

        (void)state;
        for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
                try_kind(kinds[i]);
                if (!has_found(kinds[i].sentence))
                        fail_msg("\"%s\" was not said, but %zu others: %s", kinds[i].sentence, findings.count,
                                 findings.count > 0 ? findings.text[0] : "nothing");
        }
}

static struct verify look(bool is_settled)
{
        struct verify check = {.is_settled = is_settled, .context = &findings, .found_cb = keep};

        findings.count = 0;
        assert_int_equal(world_update(&ground.world, verify_run, &check), R_OK);
        return check;
}

/* A store in which all is well: nothing is found, and every row is read. */
static void test_well(void **state)
{
        struct verify check = look(true);

        (void)state;
        if (check.found_count > 0) fail_msg("%s", findings.text[0]);
        assert_int_equal(check.owner_count, 3);
        assert_int_equal(check.rows[ROW_PROFILE], 3);
        assert_int_equal(check.rows[ROW_MEMBER], 2);
        assert_int_equal(check.rows[ROW_MEMBERSHIP], 2);
        assert_int_equal(check.rows[ROW_KEY], 2);
        assert_int_equal(check.rows[ROW_APP], 1);
        assert_int_equal(check.rows[ROW_JOB], 2);
        assert_int_equal(check.rows[ROW_JOB_INPUT], 2);
        assert_int_equal(check.rows[ROW_JOB_BY_STATE], 2);
        assert_int_equal(check.rows[ROW_JOB_QUEUE], 1);
        assert_int_equal(check.hidden_count, 0);
}

struct steps {
        uint64_t count, stop_at;
};

static enum result take_step(void *context, size_t size)
{
        struct steps *steps = context;

        assert_true(size > 0);
        return ++steps->count == steps->stop_at ? R_CANCELED : R_OK;
}

/* Each row that is read is told, those of a recount too, and at each a walk can be stopped. */
static void test_steps(void **state)
{
        struct steps steps = {0, 0};
        struct verify check = {.context = &steps, .step_cb = take_step};
        uint64_t total, n;

        (void)state;
        assert_int_equal(world_update(&ground.world, verify_run, &check), R_OK);
        total = steps.count;
        assert_int_equal(total, check.row_count + check.rows[ROW_MEMBER] + check.rows[ROW_JOB_BY_STATE]);
        for (n = 1; n <= total; n++) {
                steps = (struct steps){0, n};
                assert_int_equal(world_update(&ground.world, verify_run, &check), R_CANCELED);
                assert_int_equal(steps.count, n);
        }
}

static void forget_app(struct txn *txn)
{
        lose_app(txn);
        purge_what_is_there(txn);
}

/* Rows that wait for the purge are no damage, unless all should be purged by now; an app that went without a change row
 * is. After a deletion as it should be, nothing is found before the purge and nothing is left after it. */
static void test_purge(void **state)
{
        const struct damage_kind forgotten = {forget_app, NULL, false}, unsettled = {forget_app, NULL, true};
        Allod__V1__DeleteAppRequest request = ALLOD__V1__DELETE_APP_REQUEST__INIT;
        struct credential in_team = world_in_team(&ground.ann.who, ground.team.id);
        char app[UUID_TEXT_LEN + 1];
        struct verify check;

        (void)state;
        try_kind(forgotten);
        assert_true(has_found("is absent, but its last change"));
        assert_int_equal(findings.count, 1);
        try_kind(unsettled);
        assert_true(has_found("is still to be purged"));
        assert_int_equal(findings.count, 2);

        uuid_format(ground.app, app);
        request.id = app;
        must_call(&method_app_delete, &in_team, &request);
        assert_int_equal(look(false).found_count, 0);
        world_purge(&ground.world);
        check = look(true);
        assert_int_equal(check.found_count, 0);
        assert_int_equal(check.rows[ROW_JOB], 0);
}

struct slices {
        unsigned pauses, rows;
        struct verify *verify;
};

static enum result want_pause(void *context, size_t size)
{
        struct slices *slices = context;

        (void)size;
        slices->rows++;
        slices->verify->wants_pause = true;
        return R_OK;
}

/* What a walk sees must fit together although the store changes in every pause. */
static enum result change_in_pause(void *context)
{
        struct slices *slices = context;
        struct credential in_team = world_in_team(&ground.ann.who, ground.team.id);
        Allod__V1__DeleteAppRequest request = ALLOD__V1__DELETE_APP_REQUEST__INIT;
        char app[UUID_TEXT_LEN + 1];

        if (slices->pauses++ >= 400) return R_OK;
        switch (slices->pauses % 4) {
        case 1:
                add_app(&in_team);
                ground.waiting = add_job(&in_team);
                break;
        case 2:
                cancel_job(&in_team, ground.waiting);
                break;
        case 3:
                uuid_format(ground.app, app);
                request.id = app;
                must_call(&method_app_delete, &in_team, &request);
                break;
        default:
                world_purge(&ground.world);
                break;
        }
        return R_OK;
}

static enum result walk_in_view(struct verify *check)
{
        struct arena arena;
        struct fault fault;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = 1};
        struct view *view;
        enum result r;

        arena_init(&arena, NULL, (size_t)16 << 20);
        assert_int_equal(view_open(ground.world.store, &view), R_OK);
        r = view_run(view, &input, verify_run, check);
        view_close(view);
        arena_fini(&arena);
        return r;
}

/* A walk that changes to a newer snapshot before every row finds nothing in a store that is well, however it changes
 * meanwhile: apps come and go, jobs change state, rows are purged. */
static void test_pauses(void **state)
{
        struct slices slices = {0};
        struct verify check = {.context = &slices, .step_cb = want_pause, .pause_cb = change_in_pause};

        (void)state;
        slices.verify = &check;
        assert_int_equal(walk_in_view(&check), R_OK);
        assert_true(slices.pauses > 400);
        assert_int_equal(check.found_count, 0);
        world_purge(&ground.world);
        assert_int_equal(look(true).found_count, 0);
}

/* An owner whose profile goes, and comes back at the nth pause of a walk, as a restore makes it the last row. */
struct absence {
        struct owner owner;
        uint8_t profile[256];
        size_t len;
        struct slices slices;
        unsigned show_at;
};

static enum result hide_owner(struct txn *txn, void *arg)
{
        struct absence *absence = arg;
        struct key key = key_of(absence->owner, &profile), prefix;
        struct bytes value;

        assert_int_equal(txn_get(txn, TABLE_RECORDS, key_bytes(&key), &value), R_OK);
        assert_true(value.len <= sizeof absence->profile);
        memcpy(absence->profile, value.data, value.len);
        absence->len = value.len;
        key_owner(absence->owner, &prefix);
        assert_int_equal(txn_delete(txn, TABLE_RECORDS, key_bytes(&key)), R_OK);
        return txn_put(txn, TABLE_PURGE, key_bytes(&prefix), (struct bytes){0}, (struct bytes){0});
}

static enum result show_owner(struct txn *txn, void *arg)
{
        struct absence *absence = arg;
        struct key key = key_of(absence->owner, &profile), prefix;

        key_owner(absence->owner, &prefix);
        assert_int_equal(txn_delete(txn, TABLE_PURGE, key_bytes(&prefix)), R_OK);
        return txn_put(txn, TABLE_RECORDS, key_bytes(&key), bytes_of(absence->profile, absence->len),
                       (struct bytes){0});
}

static enum result show_in_pause(void *context)
{
        struct absence *absence = (struct absence *)((char *)context - offsetof(struct absence, slices));

        if (++absence->slices.pauses != absence->show_at) return R_OK;
        return world_update(&ground.world, show_owner, absence);
}

/* Whenever an owner comes into sight of a walk, its changes are no less complete for that. */
static void test_comes_into_sight(void **state)
{
        struct absence absence = {.owner.kind = OWNER_USER};
        struct person dora;
        unsigned shown = 0;

        (void)state;
        world_add_person(&ground.world, &dora);
        absence.owner.id = dora.id;
        for (unsigned i = 0; i < 3; i++)
                add_app(&dora.who);
        do {
                struct verify check = {.context = &absence.slices, .step_cb = want_pause, .pause_cb = show_in_pause};

                absence.slices = (struct slices){.verify = &check};
                absence.show_at = ++shown;
                assert_int_equal(world_update(&ground.world, hide_owner, &absence), R_OK);
                assert_int_equal(walk_in_view(&check), R_OK);
                assert_int_equal(check.found_count, 0);
        } while (absence.slices.pauses >= absence.show_at);
        assert_true(shown > 20);
        assert_int_equal(world_update(&ground.world, show_owner, &absence), R_OK);
}

/* More deleted apps than the table has places for: their changes are read again, and one whose deletion the log does
 * not tell is found whichever part it falls into. */
static void test_many_gone(void **state)
{
        Allod__V1__DeleteAppRequest request = ALLOD__V1__DELETE_APP_REQUEST__INIT;
        struct verify check = {.gone_max = 1, .context = &findings, .found_cb = keep};
        char app[UUID_TEXT_LEN + 1];
        int i;

        (void)state;
        for (i = 0; i < 200; i++) {
                add_app(&ground.bob.who);
                uuid_format(ground.app, app);
                request.id = app;
                must_call(&method_app_delete, &ground.bob.who, &request);
        }
        world_purge(&ground.world);
        findings.count = 0;
        assert_int_equal(world_update(&ground.world, verify_run, &check), R_OK);
        assert_int_equal(check.found_count, 0);
        ground.gone_max = 1;
        ground.team = (struct owner){OWNER_USER, ground.bob.id};
        add_app(&ground.bob.who);
        try_kind((struct damage_kind){forget_app, NULL, false});
        assert_int_equal(findings.count, 1);
        assert_true(has_found("is absent, but its last change"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_well),      cmocka_unit_test(test_damage),
                cmocka_unit_test(test_steps),     cmocka_unit_test(test_purge),
                cmocka_unit_test(test_pauses),    cmocka_unit_test(test_comes_into_sight),
                cmocka_unit_test(test_many_gone),
        };

        return cmocka_run_group_tests_name("check", tests, set_up, tear_down);
}
