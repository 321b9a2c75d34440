#include "rpc/call.h"

#include <stdlib.h>
#include <string.h>

#include "engine/require.h"
#include "engine/uuid.h"
#include "rpc/limits.h"
#include "rpc/log.h"

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- States ---- */

#define TO(state) (1U << CALL_##state)

static const struct {
        const char *name;
        unsigned next;
} moves[CALL_STATE_COUNT] = {
        [CALL_IDLE] = {"idle", TO(HEAD)},
        [CALL_HEAD] = {"head", TO(BODY) | TO(STREAMING) | TO(ANSWERED) | TO(IDLE)},
        [CALL_BODY] = {"body", TO(RUNNING) | TO(ANSWERED) | TO(IDLE)},
        [CALL_RUNNING] = {"running", TO(ANSWERED) | TO(ORPHANED)},
        [CALL_STREAMING] = {"streaming", TO(ANSWERED) | TO(IDLE)},
        [CALL_ANSWERED] = {"answered", TO(IDLE)},
        [CALL_ORPHANED] = {"orphaned", TO(IDLE)},
};

static void link_stream(struct call_pool *pool, struct call *call)
{
        call->previous = NULL;
        call->next = pool->streams;
        if (pool->streams != NULL) pool->streams->previous = call;
        pool->streams = call;
}

static void unlink_stream(struct call_pool *pool, struct call *call)
{
        if (call->previous != NULL)
                call->previous->next = call->next;
        else
                pool->streams = call->next;
        if (call->next != NULL) call->next->previous = call->previous;
        call->next = call->previous = NULL;
}

void call_set_state(struct call *call, enum call_state state)
{
        struct call_pool *pool = &call->host->calls;

        REQUIRE(moves[call->state].next & 1U << state);
        if (call->state == CALL_IDLE) pool->open_count++;
        if (state == CALL_IDLE) pool->open_count--;
        if (call->state == CALL_STREAMING) unlink_stream(pool, call);
        if (state == CALL_STREAMING) link_stream(pool, call);
        call->state = state;
}

/* ---- The pool ---- */

/* NULL: no memory. */
static struct call *take(struct exchange *exchange)
{
        struct host *host = exchange->host;
        struct call *call = host->calls.free;

        if (call != NULL) {
                host->calls.free = call->next;
                host->calls.free_count--;
        } else {
                call = malloc(sizeof *call);
                if (call == NULL) return NULL;
        }
        /* What lies behind is set by those who use it: clearing it would cost more than the rest of this. */
        memset(call, 0, offsetof(struct call, feed));
        call->next = call->previous = NULL;
        fault_clear(&call->fault);
        call->exchange = exchange;
        call->host = host;
        call->start_ns = host_now_ns(host);
        call->who.plane = exchange->peer->plane;
        memcpy(call->who.peer, exchange->peer->text, sizeof call->who.peer);
        arena_init(&call->arena, &host->arenas, CALL_ARENA_MAX);
        call_set_state(call, CALL_HEAD);
        return call;
}

static void give_back(struct call *call)
{
        struct call_pool *pool = &call->host->calls;

        if (call->timer.is_set) host_timer_clear(call->host, &call->timer);
        if (call->is_counted)
                atomic_fetch_sub_explicit(&call->host->commons->body_bytes, call->body_bytes, memory_order_relaxed);
        if (call->is_keyless) pool->keyless_count--;
        if (pool->open_count < pool->open_max / 2) pool->is_full = false;
        arena_fini(&call->arena);
        call_set_state(call, CALL_IDLE);
        if (pool->free_count == CALL_POOL_MAX) {
                free(call);
                return;
        }
        call->next = pool->free;
        pool->free = call;
        pool->free_count++;
}

enum result call_count_body(struct call *call, size_t len)
{
        struct commons *commons = call->host->commons;
        const struct arena_budget *share = call->arena.share;
        size_t more = call->is_counted ? len : call->body_bytes + len;

        if (call->body_bytes + len <= BODY_SMALL_MAX) {
                call->body_bytes += len;
                return R_OK;
        }
        if (share != NULL && atomic_load_explicit(&share->held, memory_order_relaxed) + len > share->held_max)
                return fault_set(&call->fault, R_EXHAUSTED,
                                 "Too many large requests with this key at a time; try again later.");
        if (atomic_fetch_add_explicit(&commons->body_bytes, more, memory_order_relaxed) + more >
            commons->body_bytes_max) {
                atomic_fetch_sub_explicit(&commons->body_bytes, more, memory_order_relaxed);
                return fault_set(&call->fault, R_EXHAUSTED, "Too many large requests at a time; try again later.");
        }
        call->is_counted = true;
        call->body_bytes += len;
        return R_OK;
}

/* ---- Answering ---- */

static enum log_level level_of(enum result r)
{
        enum grpc_code code = reply_of(r)->grpc;

        if (code == GRPC_INTERNAL || code == GRPC_DATA_LOSS || r == R_COMMIT_UNKNOWN) return LOG_ERROR;
        if (r == R_OK || r == R_CANCELED) return LOG_DEBUG;
        if (r == R_DRAINING || r == R_DEADLINE) return LOG_INFO;
        return reply_of(r)->http >= 500 ? LOG_WARN : LOG_INFO;
}

/* While the call runs, its fault is the writer's: not to be looked at here. */
static void note(struct call *call, enum result r, const char *detail)
{
        enum log_level level = level_of(r);
        struct log_line line;

        host_count(&call->host->counters.calls, 1);
        if (r != R_OK && r != R_CANCELED) host_count(&call->host->counters.calls_failed, 1);
        if (!log_wants(call->host->log, level)) return;
        log_begin(&line, call->host->log, level, r == R_OK ? "call" : "call-failed");
        if (call->method != NULL)
                log_text(&line, "method", call->method->path);
        else if (call->exchange != NULL)
                log_bytes(&line, "target", call->exchange->head.target);
        log_text(&line, "result", result_name(r));
        if (detail != NULL) log_text(&line, "detail", detail);
        log_text(&line, "peer", call->who.peer);
        if (call->who.team_claim == CLAIM_GIVEN) {
                char team[UUID_TEXT_LEN + 1];

                uuid_format(call->who.team, team);
                log_text(&line, "team", team);
        }
        log_number(&line, "microseconds", (host_now_ns(call->host) - call->start_ns) / 1000);
        log_end(&line);
}

/* What the caller is not told of a failure of ours, the operator is. */
void call_answered(struct call *call, enum result r, const char *detail)
{
        if (detail == NULL && !reply_of(r)->shows_fault && call->fault.text[0] != '\0') detail = call->fault.text;
        if (call->timer.is_set) host_timer_clear(call->host, &call->timer);
        note(call, r, detail);
        call_set_state(call, CALL_ANSWERED);
}

void call_fail(struct call *call, enum result r)
{
        REQUIRE(r != R_OK);
        call->face->fail(call, r);
}

/* ---- Who is asking ---- */

static enum claim claim_uuid(const struct request_head *head, enum header header, struct uuid *out)
{
        if (head->counts[header] == 0) return CLAIM_ABSENT;
        if (head->counts[header] > 1 || uuid_parse(head->values[header], out) != R_OK) return CLAIM_MALFORMED;
        return CLAIM_GIVEN;
}

static enum result authenticate_run(struct txn *txn, void *call)
{
        return caller_authenticate(txn, &((struct call *)call)->who);
}

/* Too many keys were guessed where this one comes from: it is not even looked up. */
static enum result refuse_guess(struct call *call, int64_t wait_ms)
{
        call->retry_s = (unsigned)((wait_ms + 999) / 1000);
        return fault_set(&call->fault, R_EXHAUSTED,
                         "Too many requests with invalid API keys came from this address; try again later.");
}

/* Whether the key is one. Not every refusal says that it is none. */
static void judge_key(struct call *call, struct bytes text, bool is_familiar, enum result r)
{
        struct guesses *guesses = &call->host->commons->guesses;
        uint64_t address = call->exchange->peer->address;
        bool is_watched = address != ADDRESS_NONE && guesses->cost_ms > 0;

        if (r == R_UNAUTHENTICATED) {
                call_pool_drop_key(&call->host->calls, text);
                if (is_watched) guesses_wrong(guesses, address, call->who.key_digest, host_now_ns(call->host));
        } else if (!is_familiar && (r == R_OK || r == R_WRONG_USER || r == R_BAD_ARGUMENT || r == R_NOT_MEMBER)) {
                call_pool_keep_key(&call->host->calls, text, address, call->who.key_digest);
                if (is_watched) guesses_right(guesses, address, call->who.key_digest);
        }
}

/* A key that could be one: is it? */
static enum result look_up_key(struct call *call, struct bytes text, bool is_familiar)
{
        struct commons *commons = call->host->commons;
        uint64_t address = call->exchange->peer->address;
        struct txn_input input = {.arena = &call->arena, .fault = &call->fault};
        int64_t wait_ms = 0;
        enum result r;

        if (!is_familiar && address != ADDRESS_NONE)
                wait_ms = guesses_wait_ms(&commons->guesses, address, call->who.key_digest, host_now_ns(call->host));
        if (wait_ms > 0) return refuse_guess(call, wait_ms);
        arena_set_share(&call->arena, commons_share(commons, call->who.key_digest));
        input.time_ms = store_time_ms(call->host->store);
        r = view_run(call->host->view, &input, authenticate_run, call);
        judge_key(call, text, is_familiar, r);
        return r;
}

static enum result identify(struct call *call)
{
        const struct request_head *head = &call->exchange->head;
        struct bytes text = head->values[HEADER_X_API_KEY];
        bool is_familiar;
        enum result r;

        if (!call->method->needs_key) return R_OK;
        if (head->counts[HEADER_X_API_KEY] != 1) return R_UNAUTHENTICATED;
        r = call_pool_digest(&call->host->calls, text, call->exchange->peer->address, call->who.key_digest,
                             &is_familiar);
        if (r != R_OK) return r;
        call->who.has_key = true;
        call->who.team_claim = claim_uuid(head, HEADER_X_TEAM_ID, &call->who.team);
        call->who.user_claim = claim_uuid(head, HEADER_X_AUTHENTICATED_USER_ID, &call->who.user);
        return look_up_key(call, text, is_familiar);
}

/* ---- Running ---- */

static void finish(struct call *call, enum result r)
{
        if (r == R_OK && call->method->complete != NULL) {
                call->method->complete(call->host, &call->invocation.reply);
                r = message_finish(&call->invocation.reply);
        }
        if (r == R_OK)
                call->face->answer(call);
        else
                call_fail(call, r);
}

/* On the loop again. */
static void completed(struct completion *completion)
{
        struct call *call = CONTAINER(completion, struct call, completion);

        if (call->state == CALL_ORPHANED)
                give_back(call);
        else
                finish(call, call->update.result);
}

/* Thread: the writer. */
static void done_cb(struct update *update)
{
        struct call *call = CONTAINER(update, struct call, update);

        host_post(call->host, &call->completion);
}

/* Scopes take turns: the same key in the same scope is one of them. */
static uint64_t turn_of(const struct credential *who)
{
        uint64_t turn;
        uint64_t team;

        memcpy(&turn, who->key_digest, sizeof turn);
        memcpy(&team, who->team.bytes + UUID_SIZE - sizeof team, sizeof team);
        return turn ^ team;
}

static enum result submit(struct call *call)
{
        enum result r;

        call->update = (struct update){
                .lane = call->method->lane,
                .frees_space = call->method->frees_space,
                .turn = turn_of(&call->who),
                .cost = call->body_bytes,
                .deadline_ns = call->deadline_ns,
                .input = call->update.input,
                .run = invocation_run,
                .arg = &call->invocation,
                .done_cb = done_cb,
        };
        call->completion = (struct completion){.run = completed};
        r = writer_submit(store_writer(call->host->store), &call->update);
        if (r == R_OK) host_expect(call->host, &call->completion);
        return r;
}

static enum result run(struct call *call)
{
        struct txn_input *input = &call->update.input;
        enum result r;

        fault_clear(&call->fault);
        if ((r = call->method->check(call->invocation.request, &call->fault)) != R_OK) return r;
        r = invocation_prepare(call->method, call->host->store, &call->arena, &call->fault, input);
        if (r != R_OK) return r;
        call->invocation.method = call->method;
        call->invocation.who = &call->who;
        if (call->timer.is_set) host_timer_clear(call->host, &call->timer);
        call_set_state(call, CALL_RUNNING);
        if (call->method->kind != METHOD_VIEW) return submit(call);
        r = view_run(call->host->view, input, invocation_run, &call->invocation);
        if (r == R_OK) finish(call, R_OK);
        return r;
}

/* ---- Events ---- */

/* Our deadline. In RUNNING there is no timer: the writer knows the deadline, and what it has taken it finishes. */
static void expired(struct host_timer *timer)
{
        struct call *call = CONTAINER(timer, struct call, timer);

        if (call->state == CALL_STREAMING)
                feed_finish(call, R_DEADLINE);
        else
                call_fail(call, R_DEADLINE);
}

/* Whoever has no key cannot be told from others: all of them have a part of the calls and a share of the memory, and no
 * more. */
static enum result count_keyless(struct call *call)
{
        struct call_pool *pool = &call->host->calls;

        if (call->method->needs_key || call->exchange->peer->plane == PLANE_ADMIN) return R_OK;
        if (pool->keyless_count >= pool->open_max / KEYLESS_SHARE)
                return fault_set(&call->fault, R_EXHAUSTED, "Too many calls without a key are open; try again later.");
        pool->keyless_count++;
        call->is_keyless = true;
        arena_set_share(&call->arena, &call->host->commons->keyless_share);
        return R_OK;
}

/* Whether one more may be open; what nobody else has, the operator does. */
static bool has_room(struct exchange *exchange)
{
        struct call_pool *pool = &exchange->host->calls;
        struct log_line line;

        if (pool->open_count < pool->open_max || exchange->peer->plane == PLANE_ADMIN) return true;
        if (pool->is_full) return false;
        pool->is_full = true;
        log_begin(&line, exchange->host->log, LOG_WARN, "calls-refused");
        log_text(&line, "why", "too many are open");
        log_end(&line);
        return false;
}

/* All that the head alone decides. R_OK, or R_CANCELED when it has been answered. */
static enum result look_at_head(struct call *call)
{
        enum result r;

        if ((r = call->face->route(call)) != R_OK) return r;
        if ((r = identify(call)) != R_OK) return r;
        if ((r = count_keyless(call)) != R_OK) return r;
        if ((r = call->face->begin(call)) != R_OK) return r;
        if (call->deadline_ns == 0) return R_OK;
        if (call->deadline_ns <= host_now_ns(call->host)) return R_DEADLINE;
        call->timer.fire_cb = expired;
        host_timer_set(call->host, &call->timer, call->deadline_ns);
        return R_OK;
}

void call_on_head(struct exchange *exchange)
{
        const struct request_head *head = &exchange->head;
        struct call *call = has_room(exchange) ? take(exchange) : NULL;
        enum result r;

        exchange->call = call;
        if (call == NULL) {
                exchange_reset(exchange, RESET_REFUSED);
                return;
        }
        call->face = &rest_face;
        if (head->is_http2 && head->counts[HEADER_CONTENT_TYPE] == 1 &&
            grpc_is_content_type(head->values[HEADER_CONTENT_TYPE]) && bytes_equal(head->method, BYTES("POST")))
                call->face = &grpc_face;
        r = look_at_head(call);
        if (call->state == CALL_ANSWERED) return;
        if (r != R_OK)
                call_fail(call, r);
        else if (call->method->kind == METHOD_STREAM)
                feed_open(call);
        else
                call_set_state(call, CALL_BODY);
}

/* The bytes are ours from here on, taken or dropped, so the peer may send more: what bounds them is call_count_body. Of
 * streams the feed says when. */
void call_on_data(struct exchange *exchange, struct bytes data)
{
        struct call *call = exchange->call;

        if (call != NULL && call->state == CALL_STREAMING) {
                feed_data(call, data);
                return;
        }
        exchange_consume(exchange, data.len);
        if (call != NULL && call->state == CALL_BODY) call->face->data(call, data);
}

void call_on_end(struct exchange *exchange)
{
        struct call *call = exchange->call;
        enum result r;

        if (call == NULL) return;
        if (call->state == CALL_STREAMING) {
                feed_end(call);
                return;
        }
        if (call->state != CALL_BODY) return;
        if ((r = call->face->end(call)) == R_OK) r = run(call);
        if (r != R_OK && call->state != CALL_ANSWERED) call_fail(call, r);
}

void call_on_slow(struct exchange *exchange)
{
        struct call *call = exchange->call;

        if (call == NULL) {
                exchange_reset(exchange, RESET_CANCEL);
                return;
        }
        fault_set(&call->fault, R_DEADLINE, "The request's body came too slowly.");
        if (call->state == CALL_STREAMING)
                feed_finish(call, R_DEADLINE);
        else if (call->state == CALL_BODY)
                call_fail(call, R_DEADLINE);
}

void call_on_writable(struct exchange *exchange)
{
        if (exchange->call != NULL && exchange->call->state == CALL_STREAMING) feed_writable(exchange->call);
}

void call_on_closed(struct exchange *exchange, bool was_answered)
{
        struct call *call = exchange->call;

        (void)was_answered; /* the peer's loss, if not: our answer was given */
        if (call == NULL) return;
        exchange->call = NULL;
        if (call->state != CALL_ANSWERED) note(call, R_CANCELED, NULL);
        if (call->has_feed) feed_close(call);
        call->exchange = NULL;
        if (call->state == CALL_RUNNING) {
                call_set_state(call, CALL_ORPHANED);
                writer_cancel(store_writer(call->host->store), &call->update);
        } else {
                give_back(call);
        }
}

void call_on_drain(struct host *host)
{
        struct call *call = host->calls.streams;

        while (call != NULL) {
                struct call *next = call->next;

                feed_wake(call);
                call = next;
        }
}
