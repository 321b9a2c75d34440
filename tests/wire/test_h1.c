/* HTTP/1.1 from byte arrays: requests as text against rpc/h1.c, whole and cut at every byte. */
#include "rpc/h1.h"

#include "rpc/limits.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"
#include "tests/wire/consumer.h"

#define OUT_SIZE ((size_t)1 << 20)

struct wire {
        struct host host;
        struct peer peer;
        struct carrier *carrier;
        size_t output_size;
        size_t wakes;
        char *out; /* all that came out, with a NUL, without Date lines */
        size_t out_len;
};

static void on_wake(struct carrier *carrier)
{
        struct wire *wire = carrier->owner;

        wire->wakes++;
}

static void wire_init(struct wire *wire)
{
        bool is_quiet = consumer.is_quiet;

        *wire = (struct wire){.output_size = WRITE_SIZE};
        consumer_reset();
        consumer.is_quiet = is_quiet;
        wire->out = calloc(1, OUT_SIZE);
        wire->carrier = h1_new(&wire->host, &wire->peer);
        if (wire->carrier == NULL) return;
        wire->carrier->owner = wire;
        wire->carrier->wake_cb = on_wake;
}

static void wire_fini(struct wire *wire)
{
        if (wire->carrier != NULL) wire->carrier->ops->free(wire->carrier);
        free(wire->out);
        assert_int_equal(consumer.open, 0);
}

static void drop_dates(struct wire *wire)
{
        char *date;

        while ((date = strstr(wire->out, "date: ")) != NULL) {
                char *end = strstr(date, "\r\n") + 2;

                assert_int_equal(end - date, 6 + 29 + 2);
                memmove(date, end, wire->out_len - (size_t)(end - wire->out) + 1);
                wire->out_len -= (size_t)(end - date);
        }
}

static void take(struct wire *wire)
{
        for (;;) {
                struct output output = {(uint8_t *)wire->out + wire->out_len, 0, wire->output_size};

                assert_true(wire->out_len + output.size < OUT_SIZE);
                wire->carrier->ops->produce(wire->carrier, &output);
                assert_true(output.len <= output.size);
                if (output.len == 0) return;
                wire->out_len += output.len;
                wire->out[wire->out_len] = '\0';
        }
}

static void give(struct wire *wire, const char *text, size_t len, size_t step)
{
        while (len > 0) {
                size_t part = len < step ? len : step;

                wire->carrier->ops->receive(wire->carrier, bytes_of(text, part));
                take(wire);
                text += part;
                len -= part;
        }
        drop_dates(wire);
}

static void say(struct wire *wire, const char *text)
{
        give(wire, text, strlen(text), strlen(text));
}

/* The lines that the transcript has, without how the data were cut. */
static void assert_events(const char *expected)
{
        char text[sizeof consumer.transcript];
        const char *line = consumer.transcript;
        size_t len = 0;

        while (*line != '\0') {
                size_t line_len = strcspn(line, "\n") + 1;

                if (strncmp(line, "data", 4) != 0) {
                        memcpy(text + len, line, line_len);
                        len += line_len;
                }
                line += line_len;
        }
        text[len] = '\0';
        assert_string_equal(text, expected);
}

#define ANSWER_400                                                                                                     \
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 48\r\nconnection: "             \
        "close\r\n\r\n"                                                                                                \
        "{\"error\":\"The request is not well-formed HTTP.\"}"

/* ---- Tests ---- */

struct dialogue {
        const char *sent, *answer, *events;
        bool is_finished;
};

/* What is sent gives the same answers and the same events however it is cut, and however small the output is. */
static void play(const struct dialogue *dialogue)
{
        size_t len = strlen(dialogue->sent);
        size_t step;

        for (step = 1; step <= len; step++) {
                struct wire wire;

                wire_init(&wire);
                wire.output_size = step % 3 == 0 ? 64 : WRITE_SIZE;
                give(&wire, dialogue->sent, len, step);
                assert_string_equal(wire.out, dialogue->answer);
                assert_int_equal(wire.carrier->ops->is_finished(wire.carrier), dialogue->is_finished);
                assert_events(dialogue->events);
                wire_fini(&wire);
        }
}

/* Two requests at once are answered in order, and the connection is kept. */
static void test_pipelining(void **state)
{
        static const struct dialogue dialogue = {
                "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET /empty HTTP/1.1\r\nHost: "
                "b\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\none"
                "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n",
                "head POST /echo authority=a body\nend\nclosed answered\nhead GET /empty authority=b\nend\nclosed "
                "answered\n",
                false,
        };

        (void)state;
        play(&dialogue);
}

/* A chunked body arrives as its data, with extensions and trailers left out. */
static void test_chunked(void **state)
{
        static const struct dialogue dialogue = {
                "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n"
                "3;x=\"y\"\r\none\r\n0000A\r\n, and two!\r\n0\r\nX-Sum: 1\r\n\r\nGET /empty HTTP/1.1\r\nHost: "
                "b\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\none, and two!"
                "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n",
                "head POST /echo authority=a body\nend\nclosed answered\nhead GET /empty authority=b\nend\nclosed "
                "answered\n",
                false,
        };

        (void)state;
        play(&dialogue);
}

/* Connection: close, HTTP/1.0 with and without keep-alive. */
static void test_persistence(void **state)
{
        static const struct dialogue dialogues[] = {
                {"GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n",
                 "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n",
                 "head GET /empty authority=a\nend\nclosed answered\n", true},
                {"GET /empty HTTP/1.0\r\n\r\n",
                 "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n",
                 "head GET /empty authority=\nend\nclosed answered\n", true},
                {"GET /empty HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                 "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\nconnection: keep-alive\r\n\r\n",
                 "head GET /empty authority=\nend\nclosed answered\n", false},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof dialogues / sizeof dialogues[0]; i++)
                play(&dialogues[i]);
}

/* HEAD has the length of the body that it does not have; targets in absolute form lose their host; OPTIONS takes a
 * star; an offer to upgrade is ignored. */
static void test_forms_of_requests(void **state)
{
        static const struct dialogue dialogues[] = {
                {"HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
                 "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n",
                 "head HEAD /echo authority=a body\nend\nclosed answered\n", false},
                {"GET http://b:80/empty HTTP/1.1\r\nHost: a\r\n\r\n",
                 "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n",
                 "head GET /empty authority=b:80\nend\nclosed answered\n", false},
                {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "", "head OPTIONS * authority=a\nend\n", false},
                {"GET /empty HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                 "HTTP2-Settings: AAMAAABk\r\n\r\n",
                 "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n",
                 "head GET /empty authority=a\nend\nclosed answered\n", false},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof dialogues / sizeof dialogues[0]; i++)
                play(&dialogues[i]);
}

/* Everything by which a request could be read in two ways is 400 and the end, and no consumer hears of it. */
static void test_smuggling(void **state)
{
        static const char *const heads[] = {
                "GET / HTTP/1.1\nHost: a\n\n",
                "GET / HTTP/1.1\r\nHost: a\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: \r\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tfolded\r\n\r\n",
                "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\001c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\177c\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX\200: b\r\n\r\n",
                "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
                " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /\302\240 HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / http/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
                "GET / HTTP/01.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
                "GET /\r\nHost: a\r\n\r\n",
                "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \013chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof heads / sizeof heads[0]; i++) {
                size_t len = strlen(heads[i]);
                size_t step;

                for (step = 1; step <= len; step += len > 1 && step < 2 ? 1 : len / 2) {
                        struct wire wire;

                        wire_init(&wire);
                        give(&wire, heads[i], len, step);
                        if (strcmp(wire.out, ANSWER_400) != 0) fail_msg("%s gave %s", heads[i], wire.out);
                        assert_true(wire.carrier->ops->is_finished(wire.carrier));
                        assert_string_equal(consumer.transcript, "");
                        wire_fini(&wire);
                }
        }
}

/* A NUL anywhere in a head is 400. */
static void test_nul(void **state)
{
        static const char head[] = "GET /x HTTP/1.1\r\nHost: a\r\nXx: bb\r\n\r\n";
        size_t i;

        (void)state;
        for (i = 0; i < sizeof head - 2; i++) {
                struct wire wire;
                char text[sizeof head + 4];

                memcpy(text, head, sizeof head - 1);
                memcpy(text + sizeof head - 1, "\r\n\r\n", 4); /* an end that is not the NUL's */
                text[i] = '\0';
                wire_init(&wire);
                give(&wire, text, sizeof head + 3, 4096);
                assert_string_equal(wire.out, ANSWER_400);
                assert_string_equal(consumer.transcript, "");
                wire_fini(&wire);
        }
}

/* A chunk that is not written the one plain way ends the connection; the consumer is told that it is over. */
static void test_bad_chunks(void **state)
{
        static const char *const bodies[] = {
                "\r\n",
                "x\r\n",
                " 3\r\nabc\r\n",
                "3 \r\nabc\r\n",
                "+3\r\nabc\r\n",
                "0x3\r\nabc\r\n",
                "3\nabc\r\n",
                "3\rabc\r\n",
                "3\r\nabcd\r\n",
                "3\r\nabc\n",
                "3\r\nabc\rx",
                "3;a\nb\r\nabc\r\n",
                "3;a\001\r\nabc\r\n",
                ";a\r\n",
                "1234567890123456\r\n",
                "0\r\n x: y\r\n\r\n",
                "0\r\nx: y\n\r\n",
                "0\r\nx\r: y\r\n\r\n",
                "0\r\n\rx",
        };
        char text[1024];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
                size_t step;

                snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                         bodies[i]);
                for (step = 1; step < strlen(text); step++) {
                        struct wire wire;

                        wire_init(&wire);
                        give(&wire, text, strlen(text), step);
                        if (strcmp(wire.out, ANSWER_400) != 0) fail_msg("%s gave %s", bodies[i], wire.out);
                        assert_true(wire.carrier->ops->is_finished(wire.carrier));
                        assert_events("head POST /echo authority=a body\nclosed\n");
                        wire_fini(&wire);
                }
        }
}

static void assert_status(const char *text, size_t len, const char *status_line)
{
        struct wire wire;

        wire_init(&wire);
        give(&wire, text, len, 1000);
        assert_memory_equal(wire.out, status_line, strlen(status_line));
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        assert_string_equal(consumer.transcript, "");
        wire_fini(&wire);
}

/* Heads and targets that are too long, too many fields, unknown methods and versions have statuses of their own. */
static void test_refusals(void **state)
{
        char *text = calloc(1, 4 * HEAD_SIZE_MAX);
        size_t len;
        int i;

        (void)state;
        assert_non_null(text);
        memset(text, 'x', 3 * HEAD_SIZE_MAX);
        assert_status(text, 3 * HEAD_SIZE_MAX, "HTTP/1.1 414 ");
        memcpy(text, "GET /", 5);
        memcpy(text + HEAD_TARGET_MAX + 10, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
        assert_status(text, HEAD_TARGET_MAX + 32, "HTTP/1.1 414 ");
        len = (size_t)snprintf(text, 100, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
        memset(text + len, 'x', 2 * HEAD_SIZE_MAX);
        assert_status(text, 2 * HEAD_SIZE_MAX, "HTTP/1.1 431 ");
        len = (size_t)snprintf(text, 100, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (i = 0; i < HEAD_FIELDS_MAX; i++) {
                memcpy(text + len, "X: b\r\n", 6);
                len += 6;
        }
        memcpy(text + len, "\r\n", 2);
        assert_status(text, len + 2, "HTTP/1.1 431 ");
        free(text);
#define ASSERT_STATUS(request, line) assert_status(request, strlen(request), line)
        ASSERT_STATUS("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ");
        ASSERT_STATUS("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ");
        ASSERT_STATUS("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
        ASSERT_STATUS("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
}

/* Expect: 100-continue, in any case, is answered before the body comes, not when the consumer has refused it; nor in
 * HTTP/1.0. */
static void test_continue(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        say(&wire, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
        assert_string_equal(wire.out, "HTTP/1.1 100 Continue\r\n\r\n");
        say(&wire, "hi");
        assert_non_null(strstr(wire.out, "HTTP/1.1 200 OK\r\n"));
        assert_false(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);

        wire_init(&wire);
        say(&wire, "POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        assert_memory_equal(wire.out, "HTTP/1.1 413 ", 13);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);

        wire_init(&wire);
        say(&wire, "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
        assert_string_equal(wire.out, "");
        wire_fini(&wire);
}

/* An answer before the end of the request closes the connection; the rest of the upload reaches nobody. */
static void test_early_answer(void **state)
{
        static const struct dialogue dialogue = {
                "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP/1.1 413 Content Too Large\r\ncontent-type: text/plain\r\ncontent-length: 8\r\nconnection: "
                "close\r\n"
                "\r\ntoo much",
                "head POST /early authority=a body\nclosed answered\n",
                true,
        };

        (void)state;
        play(&dialogue);
}

/* A request that the consumer refuses is answered, in whatever form, and the connection ends. */
static void test_refused(void **state)
{
#define ANSWER_503                                                                                                     \
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 52\r\n"                 \
        "retry-after: 1\r\nconnection: close\r\n\r\n"
#define BODY_503 "{\"error\":\"The server is too busy; try again later.\"}"
        static const struct dialogue dialogues[] = {
                {"GET /busy HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n", ANSWER_503 BODY_503,
                 "head GET /busy authority=a\nclosed answered\n", true},
                {"HEAD /busy HTTP/1.1\r\nHost: a\r\n\r\n", ANSWER_503, "head HEAD /busy authority=a\nclosed answered\n",
                 true},
                {"POST /busy HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\nabc",
                 ANSWER_503 BODY_503, "head POST /busy authority=a body\nclosed answered\n", true},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof dialogues / sizeof dialogues[0]; i++)
                play(&dialogues[i]);
}

/* While an answer is awaited nothing is read; one that comes later wakes the connection, and then the next request is
 * served. */
static void test_later_answer(void **state)
{
        struct response response = {.status = 200, .body = BYTES("late")};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        say(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_string_equal(wire.out, "");
        assert_false(wire.carrier->ops->wants_read(wire.carrier));
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_BUSY);
        assert_int_equal(wire.wakes, 0);
        exchange_respond(consumer.held, &response);
        assert_int_equal(wire.wakes, 1);
        take(&wire);
        drop_dates(&wire);
        assert_string_equal(wire.out, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"
                                      "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n");
        assert_true(wire.carrier->ops->wants_read(wire.carrier));
        assert_int_equal(wire.carrier->ops->phase(wire.carrier), CARRIER_IDLE);
        wire_fini(&wire);
}

/* A consumer that takes nothing stops the socket, and starts it again by taking. */
static void test_back_pressure(void **state)
{
        static char body[3 * H1_UNCONSUMED_MAX];
        char head[128];
        struct wire wire;
        size_t given = 0;

        (void)state;
        wire_init(&wire);
        snprintf(head, sizeof head, "POST /greedy HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizeof body);
        say(&wire, head);
        while (wire.carrier->ops->wants_read(wire.carrier)) {
                give(&wire, body, 1000, 1000);
                given += 1000;
        }
        assert_true(given >= H1_UNCONSUMED_MAX && given < H1_UNCONSUMED_MAX + 1000);
        exchange_consume(consumer.held, H1_UNCONSUMED_MAX);
        assert_int_equal(wire.wakes, 1);
        take(&wire);
        assert_true(wire.carrier->ops->wants_read(wire.carrier));
        /* One read may bring more than is allowed at a time; it waits. */
        give(&wire, body, sizeof body - given, sizeof body);
        assert_null(strstr(consumer.transcript, "end"));
        assert_false(wire.carrier->ops->wants_read(wire.carrier));
        while (strstr(consumer.transcript, "end") == NULL) {
                exchange_consume(consumer.held, 1000);
                take(&wire);
        }
        wire_fini(&wire);
}

/* Drain: what is under way is answered with Connection: close, and so is what was on its way to an idle connection. */
static void test_drain(void **state)
{
        struct response response = {.status = 204};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        wire.carrier->ops->drain(wire.carrier);
        assert_false(wire.carrier->ops->is_finished(wire.carrier));
        say(&wire, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
        take(&wire);
        assert_non_null(strstr(wire.out, "connection: close\r\n"));
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);

        wire_init(&wire);
        say(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.carrier->ops->drain(wire.carrier);
        assert_false(wire.carrier->ops->is_finished(wire.carrier));
        exchange_respond(consumer.held, &response);
        take(&wire);
        drop_dates(&wire);
        assert_string_equal(wire.out, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* A peer that sends no more still gets its answers; half a request is nothing. */
static void test_end_of_input(void **state)
{
        struct response response = {.status = 204};
        struct wire wire;

        (void)state;
        wire_init(&wire);
        say(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.carrier->ops->end_input(wire.carrier);
        assert_false(wire.carrier->ops->is_finished(wire.carrier));
        exchange_respond(consumer.held, &response);
        take(&wire);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        assert_events("head GET /hold authority=a\nend\nclosed answered\n"
                      "head GET /empty authority=a\nend\nclosed answered\n");
        wire_fini(&wire);

        wire_init(&wire);
        say(&wire, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        wire.carrier->ops->end_input(wire.carrier);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
        assert_events("head POST /echo authority=a body\nclosed\n");

        wire_init(&wire); /* half a request that waited behind another */
        say(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        wire.carrier->ops->end_input(wire.carrier);
        exchange_respond(consumer.held, &response);
        take(&wire);
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
}

/* A reset gives no answer and ends the connection. */
static void test_reset(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        say(&wire, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
        exchange_reset(consumer.held, RESET_INTERNAL);
        take(&wire);
        assert_string_equal(wire.out, "");
        assert_true(wire.carrier->ops->is_finished(wire.carrier));
        wire_fini(&wire);
        assert_events("head GET /hold authority=a\nend\nclosed\n");
}

/* Names are found in any case, first values and counts are kept, spaces around values are not. */
static void test_header_values(void **state)
{
        struct wire wire;

        (void)state;
        wire_init(&wire);
        say(&wire, "GET /hold?q=1 HTTP/1.1\r\nHOST: a\r\nX-API-Key:  k \t\r\nx-team-ID:a\r\nX-Team-Id: b\r\n"
                   "X-Team-Ie: c\r\nIf-Match:\r\n\r\n");
        assert_true(bytes_equal(consumer.head.values[HEADER_X_API_KEY], BYTES("k")));
        assert_true(bytes_equal(consumer.head.values[HEADER_X_TEAM_ID], BYTES("a")));
        assert_int_equal(consumer.head.counts[HEADER_X_TEAM_ID], 2);
        assert_int_equal(consumer.head.counts[HEADER_IF_MATCH], 1);
        assert_int_equal(consumer.head.values[HEADER_IF_MATCH].len, 0);
        assert_int_equal(consumer.head.counts[HEADER_TE], 0);
        assert_true(bytes_equal(consumer.head.target, BYTES("/hold?q=1")));
        assert_false(consumer.head.is_http2);
        wire_fini(&wire);
}

/* Whichever allocation fails, the exchange ends in order or the connection does, and nothing leaks. */
static void test_no_memory(void **state)
{
        unsigned long n;
        bool is_whole = false;

        (void)state;
        for (n = 2; !is_whole; n++) { /* the first one is the test's own */
                struct wire wire;

                consumer.is_quiet = true;
                heap_fail_at(n);
                wire_init(&wire);
                if (wire.carrier != NULL)
                        say(&wire, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                                   "GET /empty HTTP/1.1\r\nHost: b\r\n\r\n");
                is_whole = heap_count() < n;
                heap_fail_at(0);
                if (is_whole) assert_non_null(strstr(wire.out, "204"));
                wire_fini(&wire);
        }
        assert_true(n > 6);
        consumer.is_quiet = false;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pipelining),    cmocka_unit_test(test_chunked),
                cmocka_unit_test(test_persistence),   cmocka_unit_test(test_forms_of_requests),
                cmocka_unit_test(test_smuggling),     cmocka_unit_test(test_nul),
                cmocka_unit_test(test_bad_chunks),    cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_continue),      cmocka_unit_test(test_early_answer),
                cmocka_unit_test(test_refused),       cmocka_unit_test(test_later_answer),
                cmocka_unit_test(test_back_pressure), cmocka_unit_test(test_drain),
                cmocka_unit_test(test_end_of_input),  cmocka_unit_test(test_reset),
                cmocka_unit_test(test_header_values), cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
