/*
 * Random calls of several users and teams on a store, against a naive model of it that predicts each answer.
 *
 * Two views take turns, so that one of them has always missed something; updates go alone or in batches, which the
 * writer runs in one transaction; the store is closed and opened again now and then, and then holds no row that the
 * model does not explain. Each tenant's texts carry a canary of the tenant, and no answer may hold one that its caller
 * is not to see.
 *
 *      ALLOD_MODEL_SEED=N ALLOD_MODEL_CALLS=N tests/model/test_model
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/page.h"
#include "engine/purge.h"
#include "engine/scope.h"
#include "engine/writer.h"
#include "tests/lib/tempdir.h"
#include "tests/lib/test.h"
#include "tests/model/judge.h"

#define SEED_DEFAULT  1
#define CALLS_DEFAULT 6000
#define BATCH_MAX     12
#define START_MS      INT64_C(1700000000000)
#define ARENA_MAX     ((size_t)32 << 20)

static struct game game;
static struct tempdir dir;
static struct store *store;
static struct view *views[2];
static unsigned call_count;

static const struct {
        bool (*generate)(struct game *game, struct call *call);
        unsigned weight;
        bool is_update;
} generators[] = {
        {generate_app_create, 12, true},   {generate_app_get, 12, false},         {generate_app_list, 6, false},
        {generate_app_update, 14, true},   {generate_app_delete, 4, true},        {generate_job_run, 14, true},
        {generate_job_get, 10, false},     {generate_job_list, 6, false},         {generate_job_cancel, 10, true},
        {generate_team_create, 2, true},   {generate_team_get, 4, false},         {generate_team_list, 3, false},
        {generate_team_update, 5, true},   {generate_team_delete, 1, true},       {generate_list_members, 3, false},
        {generate_update_member, 5, true}, {generate_remove_member, 3, true},     {generate_leave, 2, true},
        {generate_invite, 6, true},        {generate_list_invitations, 3, false}, {generate_answer_invitation, 6, true},
        {generate_key_create, 1, true},    {generate_key_list, 2, false},         {generate_key_revoke, 1, true},
        {generate_user_create, 1, true},   {generate_user_delete, 1, true},       {generate_key_import, 2, true},
        {generate_add_member, 3, true},
};

#define GENERATOR_COUNT (sizeof generators / sizeof generators[0])

/* By method: how many answers of each result. */
static struct tally {
        const char *method;
        unsigned counts[RESULT_COUNT];
} tallies[GENERATOR_COUNT + 1]; /* answers to an invitation are two methods */

static void tally(const struct call *call)
{
        size_t i;

        for (i = 0; tallies[i].method != NULL && tallies[i].method != call->method->name; i++)
                ;
        tallies[i].method = call->method->name;
        tallies[i].counts[call->result]++;
}

/* Every method has succeeded at least once, so that its answers were looked at. */
static void check_tallies(void)
{
        size_t i;
        int r;

        for (i = 0; i < GENERATOR_COUNT + 1; i++) {
                assert_non_null(tallies[i].method);
                print_message("%-24s", tallies[i].method);
                for (r = 0; r < RESULT_COUNT; r++)
                        if (tallies[i].counts[r] > 0)
                                print_message(" %s %u", result_name((enum result)r), tallies[i].counts[r]);
                print_message("\n");
                assert_true(tallies[i].counts[R_OK] > 0);
        }
}

/* ---- The store ---- */

static int64_t read_clock(void)
{
        return START_MS; /* calls bring their own times */
}

static void open_store(void)
{
        const struct store_options options = {
                .dir = dir.path, .map_size = (size_t)4 << 30, .is_forced = true, .clock_ms = read_clock};
        char why[STORE_WHY_SIZE] = "";

        if (store_open(&options, &store, NULL, NULL, why) != R_OK) fail_msg("%s", why);
        assert_int_equal(view_open(store, &views[0]), R_OK);
        assert_int_equal(view_open(store, &views[1]), R_OK);
}

static void close_store(void)
{
        view_close(views[0]);
        view_close(views[1]);
        store_close(store);
}

/* All rows, and how many of them are changes. */
struct census {
        uint64_t rows, changes;
};

static enum result run_census(struct txn *txn, void *arg)
{
        const struct row changes = {.kind = ROW_CHANGE};
        struct scope_walk walk = {.has_owner = false};
        struct census *census = arg;
        const struct scope *scope;
        struct store_stat stat;
        size_t count;
        enum result r;

        store_stat(txn, &stat);
        census->rows = stat.records;
        while ((r = scope_each(txn, 0, &walk, &scope)) == R_OK) {
                if ((r = page_count_rows(scope, &changes, SIZE_MAX, &count)) != R_OK) return r;
                census->changes += count;
        }
        return r == R_ABSENT ? R_OK : r;
}

/* When all that was deleted is purged, the store holds what the model says and changes, nothing else. */
static void take_census(void)
{
        struct census census = {0};
        struct purge_step step = {.has_more = true};
        struct fault fault;
        struct arena arena;
        struct txn_input input = {.arena = &arena, .fault = &fault, .time_ms = game.now_ms};

        arena_init(&arena, NULL, ARENA_MAX);
        while (step.has_more)
                assert_int_equal(writer_run(store_writer(store), &input, purge_run, &step), R_OK);
        view_expire(views[0]);
        assert_int_equal(view_run(views[0], &input, run_census, &census), R_OK);
        arena_fini(&arena);
        if (census.rows - census.changes != model_row_count(&game.model))
                fail_msg("%llu rows that are not changes; the model knows %llu",
                         (unsigned long long)(census.rows - census.changes),
                         (unsigned long long)model_row_count(&game.model));
}

/* ---- Calls ---- */

static bool generate(bool (*generator)(struct game *game, struct call *call), struct call *call)
{
        *call = (struct call){.actor = {.key = NONE, .team = NONE}};
        arena_init(&call->arena, NULL, ARENA_MAX);
        game.now_ms += dice_below(&game.dice, 300);
        call->time_ms = game.now_ms;
        call->id = new_name(&game);
        if (generator(&game, call)) {
                judge_look(&game, call);
                tally(call);
                return true;
        }
        arena_fini(&call->arena);
        return false;
}

static void begin(const struct call *call, struct outcome *outcome, struct txn_input *input)
{
        *outcome = (struct outcome){.result = R_OK};
        arena_init(&outcome->arena, NULL, ARENA_MAX);
        *input = (struct txn_input){
                .arena = &outcome->arena, .fault = &outcome->fault, .time_ms = call->time_ms, .id = call->id.id};
        memcpy(input->seed, call->seed, sizeof input->seed);
        outcome->result = call->method->check(call->request, &outcome->fault);
}

static void end(struct call *call, struct outcome *outcome)
{
        arena_fini(&outcome->arena);
        arena_fini(&call->arena);
}

static void set_page_token(const struct call *call, const char *token)
{
        const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field_by_name(call->request->descriptor, "page_token");

        *(char **)(void *)((char *)call->request + field->offset) = (char *)token;
}

/* A list is followed through all its pages. */
static void run_view(struct call *call)
{
        struct view *view = views[dice_below(&game.dice, 2)];
        struct outcome outcome;
        struct txn_input input;
        const char *token = "";
        size_t first = 0;
        char copy[512];

        do {
                struct world_run run = {&outcome.reply, &call->actor.who, call->request};

                begin(call, &outcome, &input);
                view_expire(view);
                if (outcome.result == R_OK) outcome.result = view_run(view, &input, call->method->run, &run);
                judge(&game, call, &outcome, first, &token);
                assert_true(strlen(token) < sizeof copy);
                memcpy(copy, token, strlen(token) + 1);
                if (copy[0] != '\0') set_page_token(call, copy);
                first += (size_t)call->page_rows;
                arena_fini(&outcome.arena);
        } while (copy[0] != '\0');
        arena_fini(&call->arena);
}

static void run_update(struct call *call)
{
        struct outcome outcome;
        struct txn_input input;
        struct world_run run = {&outcome.reply, &call->actor.who, call->request};
        const char *token = "";

        begin(call, &outcome, &input);
        if (outcome.result == R_OK) outcome.result = writer_run(store_writer(store), &input, call->method->run, &run);
        judge(&game, call, &outcome, 0, &token);
        end(call, &outcome);
}

/* ---- Batches ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_done = PTHREAD_COND_INITIALIZER;
static unsigned waiting_count;

static void count_done(struct update *update)
{
        (void)update;
        pthread_mutex_lock(&mutex);
        waiting_count--;
        pthread_cond_signal(&is_done);
        pthread_mutex_unlock(&mutex);
}

/* Updates that are queued together, and run in this order because their turn is the same. */
static void run_batch(struct call *calls, unsigned count)
{
        static struct outcome outcomes[BATCH_MAX];
        static struct update updates[BATCH_MAX];
        static struct world_run runs[BATCH_MAX];
        const char *token = "";
        unsigned i;

        waiting_count = 0;
        for (i = 0; i < count; i++) {
                updates[i] = (struct update){
                        .lane = LANE_CALL, .turn = 1, .run = calls[i].method->run, .done_cb = count_done};
                begin(&calls[i], &outcomes[i], &updates[i].input);
                runs[i] = (struct world_run){&outcomes[i].reply, &calls[i].actor.who, calls[i].request};
                updates[i].arg = &runs[i];
                if (outcomes[i].result != R_OK) continue;
                pthread_mutex_lock(&mutex);
                waiting_count++;
                pthread_mutex_unlock(&mutex);
                assert_int_equal(writer_submit(store_writer(store), &updates[i]), R_OK);
        }
        pthread_mutex_lock(&mutex);
        while (waiting_count > 0)
                pthread_cond_wait(&is_done, &mutex);
        pthread_mutex_unlock(&mutex);
        for (i = 0; i < count; i++) {
                if (outcomes[i].result == R_OK) outcomes[i].result = updates[i].result;
                judge(&game, &calls[i], &outcomes[i], 0, &token);
                end(&calls[i], &outcomes[i]);
        }
}

/* ---- The game ---- */

static size_t any_generator(void)
{
        unsigned all = 0, place;
        size_t i;

        for (i = 0; i < GENERATOR_COUNT; i++)
                all += generators[i].weight;
        place = dice_below(&game.dice, all);
        for (i = 0; place >= generators[i].weight; i++)
                place -= generators[i].weight;
        return i;
}

static void play_batch(void)
{
        static struct call calls[BATCH_MAX];
        unsigned count = 0, tries;

        game.is_batch = true;
        for (tries = 0; tries < BATCH_MAX; tries++) {
                size_t i = any_generator();

                if (generators[i].is_update && generate(generators[i].generate, &calls[count])) count++;
        }
        game.is_batch = false;
        run_batch(calls, count);
        call_count += count;
}

static void play_one(void)
{
        static struct call call;
        size_t i = any_generator();

        if (!generate(generators[i].generate, &call)) return;
        call_count++;
        if (generators[i].is_update)
                run_update(&call);
        else
                run_view(&call);
}

static void play(unsigned calls)
{
        unsigned i;

        for (i = 0; i < 5; i++) { /* somebody to begin with */
                static struct call call;

                assert_true(generate(generate_user_create, &call));
                run_update(&call);
        }
        while (game.model.key_count < 10) {
                static struct call call;

                if (generate(generate_key_import, &call)) run_update(&call);
        }
        while (call_count < calls) {
                unsigned chance = dice_below(&game.dice, 1000);

                if (chance < 5) {
                        close_store();
                        open_store();
                        take_census();
                } else if (chance < 60) {
                        play_batch();
                } else if (chance < 120) {
                        (void)work_on_job(&game, store);
                } else {
                        play_one();
                }
        }
        take_census();
}

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
        const char *text = getenv(name);

        return text == NULL ? otherwise : strtoul(text, NULL, 0);
}

/* Every answer is the predicted one, and none shows a tenant what is another's. */
static void test_model(void **state)
{
        unsigned long seed = from_environment("ALLOD_MODEL_SEED", SEED_DEFAULT);
        unsigned long calls = from_environment("ALLOD_MODEL_CALLS", CALLS_DEFAULT);
        char why[STORE_WHY_SIZE] = "";

        (void)state;
        print_message("seed %lu, %lu calls\n", seed, calls);
        game = (struct game){.dice = {seed * 0x9e3779b97f4a7c15u + 1}, .now_ms = START_MS};
        tempdir_make(&dir);
        if (store_create(dir.path, false, why) != R_OK) fail_msg("%s", why);
        open_store();
        play((unsigned)calls);
        close_store();
        tempdir_remove(&dir);
        check_tallies();
        print_message("%d users, %d keys, %d teams, %d apps, %d jobs\n", game.model.user_count, game.model.key_count,
                      game.model.team_count, game.model.app_count, game.model.job_count);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
