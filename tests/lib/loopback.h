/*
 * Requests to rpc/call.c from memory: a carrier without bytes and a host without a loop, over the two-tenant fixture.
 *
 *      users   ann, bob, eve    with API keys, whose texts are here
 *      team    fixture.team     ann is an OWNER of it, bob a MEMBER, eve nothing
 *
 *      loopback_ask(&loopback, &asked, "GET", "/app", ann_headers, NULL);
 *      assert_int_equal(asked.status, 200);
 *
 * Everything runs on the test's thread but the writer; completions run in loopback_wait. Time is the fixture's, and
 * now_ns, which stands still unless the test moves it. One at a time.
 */
#ifndef ALLOD_TESTS_LIB_LOOPBACK_H
#define ALLOD_TESTS_LIB_LOOPBACK_H

#include <stdbool.h>

#include "engine/bytes.h"
#include "rpc/exchange.h"
#include "rpc/host.h"
#include "tests/lib/fixture.h"

#define ANN_KEY "12324234"
#define BOB_KEY "bobs-key-from-somewhere-else"
#define EVE_KEY "eves-key-from-somewhere-else"

struct loopback {
        struct fixture fixture;
        struct uuid ann, bob, eve;
        char team[UUID_TEXT_LEN + 1];
        char ann_text[UUID_TEXT_LEN + 1], bob_text[UUID_TEXT_LEN + 1], eve_text[UUID_TEXT_LEN + 1];
        struct host host;
        struct peer peer;
        int64_t now_ns;
        struct host_timer *timer; /* the one that was set last */
        bool is_deaf;      /* nothing of an answer is kept but its statuses, so that only our own code allocates; */
        struct tape *tape; /* and its body here, if it is not NULL */
};

/* Bodies in memory of the test's. What does not fit fails the test. */
struct tape {
        uint8_t *data;
        size_t size, len;
};

/* One exchange, as its carrier saw it. Texts are NUL-terminated. */
struct asked {
        struct exchange exchange; /* first */
        struct loopback *loopback;
        size_t room; /* what exchange_room says; SIZE_MAX at first */

        /* outcome */
        bool is_answered, is_started, is_finished, is_reset;
        int status;
        int grpc_status; /* -1: none yet */
        char *fields;    /* "name: value\n" of headers, then trailers */
        uint8_t *body;
        size_t body_len;
        size_t delivered, consumed; /* bytes of the request: given to the call, and given back as credit */
};

void loopback_init(struct loopback *loopback);
void loopback_fini(struct loopback *loopback);

/*
 * The head of a request. `headers` is "name: value\n" for each; NULL: none. Pieces after it as the test likes.
 */
void loopback_begin(struct loopback *loopback, struct asked *asked, const char *method, const char *target,
                    const char *headers, bool has_body);
void loopback_data(struct asked *asked, struct bytes data);
void loopback_end(struct asked *asked);

/* Run what the writer posts until the exchange is answered in full or reset. */
void loopback_wait(struct asked *asked);

/* Run one completion, whosever it is. */
void loopback_run_one(struct loopback *loopback);

/* The carrier lets go of it; frees what the outcome holds. */
void loopback_close(struct asked *asked);

/* All of it but the close. `body` may be NULL. REST is asked over HTTP/1.1 unless the headers hold a content type of
 * gRPC. */
void loopback_ask(struct loopback *loopback, struct asked *asked, const char *method, const char *target,
                  const char *headers, const char *body);

/* A unary gRPC call with one message. */
void loopback_call(struct loopback *loopback, struct asked *asked, const char *path, const char *headers,
                   struct bytes message);

/* The value of a header or trailer; NULL: it was not sent. Valid until the next call. */
const char *loopback_field(const struct asked *asked, const char *name);

/* The body as text. */
const char *loopback_body(const struct asked *asked);

/* grpc-status as a number, -1 without one. */
int loopback_grpc_status(const struct asked *asked);

/* The message in a body of one frame. */
struct bytes loopback_message(const struct asked *asked);

#endif
