#include "rpc/h1.h"

#include <llhttp.h>
#include <strings.h>

#include "engine/require.h"
#include "rpc/date.h"
#include "rpc/h1_head.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "rpc/stream.h"

enum h1_state {
        H1_HEAD,   /* gathering a head */
        H1_BODY,   /* delivering a body */
        H1_ANSWER, /* the request is complete, or refused: nothing is parsed until the answer is out */
        H1_END,    /* the answer is out and nothing follows */
};

/* Bytes that grow at one end and are used up at the other. */
struct heap_bytes {
        uint8_t *data;
        size_t start, len, size;
};

struct h1 {
        struct carrier carrier;
        struct host *host;
        const struct peer *peer;
        enum h1_state state;
        bool is_inside; /* receive, produce or free are running */
        bool is_draining;
        bool has_eof;
        struct heap_bytes waiting; /* sent, and not yet parsed */

        /* the request */
        struct stream stream;
        struct heap_bytes head; /* its values point here */
        size_t head_scanned;
        llhttp_t parser;
        struct bytes field_name; /* while llhttp reads the head */
        bool is_keeping_alive;
        bool is_http10;
        bool is_chunked;
        uint64_t body_left; /* of a body with a length */
        struct h1_chunks chunks;
        size_t unconsumed;

        /* the answer */
        bool owes_continue;
        struct heap_bytes answer; /* its head */
        struct bytes body;        /* what is left of it */
};

static struct h1 *h1_of(struct carrier *carrier)
{
        return (struct h1 *)carrier;
}

static struct h1 *h1_of_exchange(struct exchange *exchange)
{
        return (struct h1 *)((char *)exchange - offsetof(struct h1, stream.exchange));
}

/* ---- Bytes ---- */

static struct bytes rest_of(const struct heap_bytes *bytes)
{
        return bytes_skip(bytes_of(bytes->data, bytes->len), bytes->start);
}

/* False: no memory, nothing changed. */
static bool append(struct heap_bytes *bytes, struct bytes more)
{
        size_t needed = bytes->len + more.len;

        if (more.len == 0) return true;
        if (needed > bytes->size) {
                size_t size = bytes->size == 0 ? 1024 : bytes->size;
                uint8_t *data;

                while (size < needed)
                        size *= 2;
                data = realloc(bytes->data, size);
                if (data == NULL) return false;
                bytes->data = data;
                bytes->size = size;
        }
        memcpy(bytes->data + bytes->len, more.data, more.len);
        bytes->len = needed;
        return true;
}

static void clear(struct heap_bytes *bytes)
{
        bytes->start = bytes->len = 0;
}

static void release(struct heap_bytes *bytes)
{
        free(bytes->data);
        *bytes = (struct heap_bytes){0};
}

static void wake(struct h1 *h1)
{
        if (!h1->is_inside) h1->carrier.wake_cb(&h1->carrier);
}

/* ---- The answer ---- */

static const struct exchange_ops ops;

/* For the next request, or for an answer of our own. */
static void stream_renew(struct h1 *h1)
{
        h1->stream = (struct stream){
                .exchange = {.ops = &ops, .host = h1->host, .peer = h1->peer},
                .state = STREAM_HEAD,
        };
}

static const char *reason(int status)
{
        static const struct {
                int status;
                const char *text;
        } reasons[] = {
                {200, "OK"},
                {201, "Created"},
                {204, "No Content"},
                {304, "Not Modified"},
                {400, "Bad Request"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {409, "Conflict"},
                {412, "Precondition Failed"},
                {413, "Content Too Large"},
                {414, "URI Too Long"},
                {415, "Unsupported Media Type"},
                {417, "Expectation Failed"},
                {429, "Too Many Requests"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {504, "Gateway Timeout"},
                {505, "HTTP Version Not Supported"},
        };
        size_t i;

        for (i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
                if (reasons[i].status == status) return reasons[i].text;
        }
        return ""; /* RFC 9112 section 4: it may be empty */
}

static bool append_field(struct heap_bytes *bytes, struct bytes name, struct bytes value)
{
        return append(bytes, name) && append(bytes, BYTES(": ")) && append(bytes, value) &&
               append(bytes, BYTES("\r\n"));
}

static bool append_head(struct h1 *h1, const struct response *response)
{
        struct heap_bytes *answer = &h1->answer;
        char text[80];
        size_t i;

        clear(answer);
        snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\n", response->status, reason(response->status));
        if (!append(answer, bytes_of_text(text))) return false;
        for (i = 0; i < response->field_count; i++) {
                if (!append_field(answer, response->fields[i].name, response->fields[i].value)) return false;
        }
        if (response->status != 204 && response->status != 304) {
                snprintf(text, sizeof text, "%zu", response->body.len);
                if (!append_field(answer, BYTES("content-length"), bytes_of_text(text))) return false;
        }
        if (!append_field(answer, BYTES("date"), date_now())) return false;
        if (!h1->is_keeping_alive && !append_field(answer, BYTES("connection"), BYTES("close"))) return false;
        if (h1->is_keeping_alive && h1->is_http10 && !append_field(answer, BYTES("connection"), BYTES("keep-alive")))
                return false;
        return append(answer, BYTES("\r\n"));
}

/* Nothing more comes out. */
static void give_up(struct h1 *h1)
{
        h1->state = H1_END;
        clear(&h1->answer);
        h1->body = (struct bytes){0};
        h1->owes_continue = false;
}

static void h1_respond(struct exchange *exchange, const struct response *response)
{
        struct h1 *h1 = h1_of_exchange(exchange);
        bool has_body = response->status != 204 && response->status != 304 &&
                        !bytes_equal(exchange->head.method, BYTES("HEAD"));

        REQUIRE(response->status >= 200 && response->status <= 599);
        /* An early answer: the rest of the request would have to be read to find the next one. */
        if (h1->stream.state == STREAM_BODY || h1->is_draining) h1->is_keeping_alive = false;
        stream_set_state(&h1->stream, STREAM_REPLYING);
        h1->state = H1_ANSWER;
        h1->owes_continue = false;
        h1->body = has_body ? response->body : (struct bytes){0};
        if (!append_head(h1, response)) give_up(h1);
        wake(h1);
}

/* Nothing has been done, and there may be no memory to say so with. */
static void answer_refused(struct h1 *h1)
{
        enum {
                BODY_LEN = 52
        };
        static const struct bytes whole = BYTES("HTTP/1.1 503 Service Unavailable\r\n"
                                                "content-type: application/json\r\n"
                                                "content-length: 52\r\n"
                                                "retry-after: 1\r\n"
                                                "connection: close\r\n\r\n"
                                                "{\"error\":\"The server is too busy; try again later.\"}");
        bool is_head = bytes_equal(h1->stream.exchange.head.method, BYTES("HEAD"));

        h1->state = H1_ANSWER;
        h1->is_keeping_alive = false;
        h1->owes_continue = false;
        clear(&h1->answer);
        h1->body = bytes_of(whole.data, is_head ? whole.len - BODY_LEN : whole.len);
}

/* Other than before anything was done, only the end of the connection is honest. */
static void h1_reset(struct exchange *exchange, enum reset_code code)
{
        struct h1 *h1 = h1_of_exchange(exchange);
        bool is_answered = h1->stream.state == STREAM_REPLYING;

        if (!is_answered) stream_set_state(&h1->stream, STREAM_REPLYING);
        if (code == RESET_REFUSED && !is_answered)
                answer_refused(h1);
        else
                give_up(h1);
        wake(h1);
}

static void h1_consume(struct exchange *exchange, size_t len)
{
        struct h1 *h1 = h1_of_exchange(exchange);

        REQUIRE(len <= h1->unconsumed);
        h1->unconsumed -= len;
        wake(h1);
}

/* Streams are HTTP/2's; whoever starts one here is a defect. */

static void h1_start(struct exchange *exchange, int status, const struct field *fields, size_t field_count)
{
        (void)status;
        (void)fields;
        (void)field_count;
        REQUIRE(exchange->head.is_http2);
}

static size_t h1_room(struct exchange *exchange)
{
        REQUIRE(exchange->head.is_http2);
        return 0;
}

static void h1_write(struct exchange *exchange, struct bytes data)
{
        (void)data;
        REQUIRE(exchange->head.is_http2);
}

static void h1_finish(struct exchange *exchange, const struct field *trailers, size_t trailer_count)
{
        (void)trailers;
        (void)trailer_count;
        REQUIRE(exchange->head.is_http2);
}

static const struct exchange_ops ops = {
        .consume = h1_consume,
        .respond = h1_respond,
        .start = h1_start,
        .room = h1_room,
        .write = h1_write,
        .finish = h1_finish,
        .reset = h1_reset,
};

/* The message is broken: an answer of our own, and the end. */
static void refuse(struct h1 *h1, int status)
{
        static const struct field fields[] = {{BYTES("content-type"), BYTES("application/json")}};
        struct response response = {.status = status, .fields = fields, .field_count = 1};

        switch (status) {
        case 414:
                response.body = BYTES("{\"error\":\"The request's target is too long.\"}");
                break;
        case 431:
                response.body = BYTES("{\"error\":\"The request's header fields are too large.\"}");
                break;
        case 501:
                response.body = BYTES("{\"error\":\"The request's method is not known here.\"}");
                break;
        case 505:
                response.body = BYTES("{\"error\":\"The request's HTTP version is not supported.\"}");
                break;
        default:
                response.body = BYTES("{\"error\":\"The request is not well-formed HTTP.\"}");
                break;
        }
        if (h1->stream.is_announced) stream_close(&h1->stream, false);
        stream_renew(h1);
        h1->is_keeping_alive = false;
        clear(&h1->waiting);
        h1->carrier.complaint = "malformed request";
        h1_respond(&h1->stream.exchange, &response);
}

/* ---- The head ---- */

static int on_url_cb(llhttp_t *parser, const char *at, size_t len)
{
        struct h1 *h1 = parser->data;

        h1->stream.exchange.head.target = bytes_of(at, len);
        return 0;
}

static int on_field_cb(llhttp_t *parser, const char *at, size_t len)
{
        struct h1 *h1 = parser->data;

        h1->field_name = bytes_of(at, len);
        return 0;
}

/* Names come in any case; those that we look for are short. */
static enum header find_header(struct bytes name, bool *is_host)
{
        uint8_t lower[32];
        size_t i;

        *is_host = false;
        if (name.len > sizeof lower) return HEADER_COUNT;
        for (i = 0; i < name.len; i++)
                lower[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i];
        *is_host = bytes_equal(bytes_of(lower, name.len), BYTES("host"));
        return header_find(bytes_of(lower, name.len));
}

static int on_value_cb(llhttp_t *parser, const char *at, size_t len)
{
        struct h1 *h1 = parser->data;
        struct request_head *head = &h1->stream.exchange.head;
        struct bytes value = bytes_of(at, len);
        bool is_host;
        enum header header = find_header(h1->field_name, &is_host);

        while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
                value.len--;
        if (is_host) head->authority = value;
        if (header == HEADER_COUNT) return 0;
        if (head->counts[header] == 0) head->values[header] = value;
        if (head->counts[header] < UINT8_MAX) head->counts[header]++;
        return 0;
}

/* All of the head was read; the body is not llhttp's. */
static int on_headers_complete_cb(llhttp_t *parser)
{
        (void)parser;
        return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
        static const llhttp_settings_t table = {
                .on_url = on_url_cb,
                .on_header_field = on_field_cb,
                .on_header_value = on_value_cb,
                .on_headers_complete = on_headers_complete_cb,
        };

        return &table;
}

/* Of "http://" or "https://", in any case; 0: neither. */
static size_t scheme_len_of(struct bytes target)
{
        const char *text = (const char *)target.data;

        if (target.len >= 7 && strncasecmp(text, "http://", 7) == 0) return 7;
        return target.len >= 8 && strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
}

/* RFC 9112 section 3.2.2: "http://host/path" means what "/path" does; its host overrides the field. */
static bool take_absolute_target(struct request_head *head)
{
        size_t scheme_len = scheme_len_of(head->target);
        const uint8_t *slash;
        struct bytes rest;

        if (head->target.data[0] == '/') return true;
        if (bytes_equal(head->target, BYTES("*"))) return bytes_equal(head->method, BYTES("OPTIONS"));
        if (scheme_len == 0) return false;
        rest = bytes_skip(head->target, scheme_len);
        slash = memchr(rest.data, '/', rest.len);
        head->authority = slash == NULL ? rest : bytes_of(rest.data, (size_t)(slash - rest.data));
        head->target = slash == NULL ? BYTES("/") : bytes_of(slash, (size_t)(rest.data + rest.len - slash));
        return head->authority.len > 0 && h1_is_host(head->authority);
}

/* 0, or the status to refuse it with. */
static int read_head(struct h1 *h1)
{
        struct request_head *head = &h1->stream.exchange.head;
        struct bytes bytes = rest_of(&h1->head);
        int status = h1_head_check(bytes);
        llhttp_errno_t error;

        if (status != 0) return status;
        llhttp_init(&h1->parser, HTTP_REQUEST, settings());
        h1->parser.data = h1;
        error = llhttp_execute(&h1->parser, (const char *)bytes.data, bytes.len);
        if (error == HPE_INVALID_METHOD) return 501;
        if (error != HPE_PAUSED) return 400;
        head->method = bytes_of(bytes.data, (size_t)((const uint8_t *)memchr(bytes.data, ' ', bytes.len) - bytes.data));
        if (bytes_equal(head->method, BYTES("CONNECT"))) return 501;
        return take_absolute_target(head) ? 0 : 400;
}

static void begin_body(struct h1 *h1, bool has_body)
{
        const struct request_head *head = &h1->stream.exchange.head;

        h1->state = has_body ? H1_BODY : H1_ANSWER;
        h1->chunks = (struct h1_chunks){0};
        stream_begin(&h1->stream, has_body);
        if (stream_is_open(&h1->stream) && !h1->is_http10 && head_expects_continue(head)) h1->owes_continue = true;
}

static void take_whole_head(struct h1 *h1)
{
        int status = read_head(h1);
        unsigned flags = h1->parser.flags;

        if (status != 0) {
                refuse(h1, status);
                return;
        }
        h1->carrier.progress++;
        h1->is_http10 = h1->parser.http_minor == 0;
        h1->is_keeping_alive = h1->is_http10 ? flags & F_CONNECTION_KEEP_ALIVE && !(flags & F_CONNECTION_CLOSE)
                                             : !(flags & F_CONNECTION_CLOSE);
        h1->is_chunked = flags & F_CHUNKED;
        h1->body_left = flags & F_CONTENT_LENGTH ? h1->parser.content_length : 0;
        begin_body(h1, h1->is_chunked || h1->body_left > 0);
}

/* One empty line before a request is skipped, RFC 9112 section 2.2; then bytes are gathered up to the end of the head,
 * and the rest is left. */
static size_t take_head(struct h1 *h1, struct bytes bytes)
{
        size_t old_len = h1->head.len;
        size_t room = HEAD_SIZE_MAX + 3 - old_len; /* the empty line, and one byte to see that it is too long */
        struct bytes head;
        long end;

        if (bytes.len > room) bytes.len = room;
        if (!append(&h1->head, bytes)) {
                give_up(h1);
                return bytes.len;
        }
        if (h1->head.start == 0 && h1->head.len >= 2 && memcmp(h1->head.data, "\r\n", 2) == 0) {
                h1->head.start = 2;
                h1->head_scanned = 0;
        }
        head = rest_of(&h1->head);
        end = h1_head_find_end(head, &h1->head_scanned);
        if (end > 0) h1->head.len = h1->head.start + (size_t)end;
        if (end < 0)
                refuse(h1, 400);
        else if ((end > 0 ? (size_t)end : head.len) > HEAD_SIZE_MAX)
                refuse(h1, memchr(head.data, '\n', head.len) == NULL ? 414 : 431);
        else if (end > 0)
                take_whole_head(h1);
        return end > 0 ? h1->head.len - old_len : bytes.len;
}

/* ---- The body ---- */

static void deliver(struct h1 *h1, struct bytes data)
{
        if (data.len == 0) return;
        h1->unconsumed += data.len;
        stream_data(&h1->stream, data);
}

static void end_request(struct h1 *h1)
{
        if (h1->state != H1_BODY) return;
        h1->state = H1_ANSWER;
        stream_end(&h1->stream);
}

static size_t take_sized(struct h1 *h1, struct bytes bytes)
{
        size_t len = h1->body_left < bytes.len ? (size_t)h1->body_left : bytes.len;

        h1->body_left -= len;
        deliver(h1, bytes_of(bytes.data, len));
        if (h1->body_left == 0) end_request(h1);
        return len;
}

static size_t take_chunked(struct h1 *h1, struct bytes bytes)
{
        struct bytes data;
        size_t len = h1_chunks_take(&h1->chunks, bytes, &data);

        deliver(h1, data);
        if (h1->state != H1_BODY) return len;
        if (h1->chunks.state == H1_CHUNK_BAD) refuse(h1, 400);
        if (h1->chunks.state == H1_CHUNK_DONE) end_request(h1);
        return len;
}

/* ---- The carrier ---- */

/* No more than the consumer may owe. */
static size_t take_body(struct h1 *h1, struct bytes bytes)
{
        size_t room = H1_UNCONSUMED_MAX - h1->unconsumed;

        if (bytes.len > room) bytes.len = room;
        return h1->is_chunked ? take_chunked(h1, bytes) : take_sized(h1, bytes);
}

/* How much of it could be used for now. */
static size_t take(struct h1 *h1, struct bytes bytes)
{
        size_t taken = 0;

        while (taken < bytes.len) {
                struct bytes rest = bytes_skip(bytes, taken);

                if (h1->state == H1_HEAD)
                        taken += take_head(h1, rest);
                else if (h1->state == H1_BODY && h1->unconsumed < H1_UNCONSUMED_MAX)
                        taken += take_body(h1, rest);
                else
                        break;
        }
        return taken;
}

static void take_waiting(struct h1 *h1)
{
        size_t taken;

        if (h1->waiting.len == 0) return;
        taken = take(h1, rest_of(&h1->waiting));
        if (h1->waiting.len == 0) return; /* a refusal threw it away */
        h1->waiting.start += taken;
        if (h1->waiting.start == h1->waiting.len) release(&h1->waiting);
}

static void h1_receive(struct carrier *carrier, struct bytes bytes)
{
        struct h1 *h1 = h1_of(carrier);
        size_t taken;

        if (h1->state == H1_END) return;
        h1->is_inside = true;
        if (h1->waiting.len > 0) {
                if (!append(&h1->waiting, bytes)) give_up(h1);
                take_waiting(h1);
        } else {
                taken = take(h1, bytes);
                bytes = bytes_skip(bytes, taken);
                if ((h1->is_keeping_alive || h1->state == H1_BODY) && !append(&h1->waiting, bytes)) give_up(h1);
        }
        h1->is_inside = false;
}

/* Everything of the answer is in the output. */
static void end_exchange(struct h1 *h1)
{
        stream_close(&h1->stream, true);
        clear(&h1->head);
        clear(&h1->answer);
        h1->head_scanned = 0;
        h1->unconsumed = 0;
        stream_renew(h1);
        h1->state = h1->is_keeping_alive ? H1_HEAD : H1_END;
        /* One large head is no reason to hold that much while idle. */
        if (h1->head.size > 4096) release(&h1->head);
}

/* False: the output is full. */
static bool put_some(struct output *output, struct bytes *bytes)
{
        size_t len = bytes->len < output_room(output) ? bytes->len : output_room(output);

        output_put(output, bytes_of(bytes->data, len));
        *bytes = bytes_skip(*bytes, len);
        return bytes->len == 0;
}

static bool put_answer(struct h1 *h1, struct output *output)
{
        struct bytes head = rest_of(&h1->answer);
        bool is_whole = put_some(output, &head);

        h1->answer.start = h1->answer.len - head.len;
        return is_whole && put_some(output, &h1->body);
}

/* The rest of this body will never come. */
static void look_for_cut(struct h1 *h1)
{
        if (h1->has_eof && h1->state == H1_BODY && h1->waiting.len == 0) give_up(h1);
}

static void h1_produce(struct carrier *carrier, struct output *output)
{
        static const struct bytes proceed = BYTES("HTTP/1.1 100 Continue\r\n\r\n");
        struct h1 *h1 = h1_of(carrier);

        h1->is_inside = true;
        take_waiting(h1);
        if (h1->owes_continue && output_room(output) >= proceed.len) {
                h1->owes_continue = false;
                output_put(output, proceed);
        }
        while (h1->state == H1_ANSWER && h1->stream.state == STREAM_REPLYING && put_answer(h1, output)) {
                end_exchange(h1);
                take_waiting(h1);
        }
        look_for_cut(h1);
        h1->is_inside = false;
}

static void h1_end_input(struct carrier *carrier)
{
        struct h1 *h1 = h1_of(carrier);

        h1->has_eof = true;
        look_for_cut(h1);
}

static bool h1_wants_read(const struct carrier *carrier)
{
        const struct h1 *h1 = (const struct h1 *)carrier;

        return h1->waiting.len == 0 &&
               (h1->state == H1_HEAD || (h1->state == H1_BODY && h1->unconsumed < H1_UNCONSUMED_MAX));
}

static bool h1_is_finished(const struct carrier *carrier)
{
        const struct h1 *h1 = (const struct h1 *)carrier;

        return h1->state == H1_END || (h1->state == H1_HEAD && h1->waiting.len == 0 && h1->has_eof);
}

static enum carrier_phase h1_phase(const struct carrier *carrier)
{
        const struct h1 *h1 = (const struct h1 *)carrier;

        switch (h1->state) {
        case H1_HEAD:
                if (carrier->progress == 0) return CARRIER_GREETING;
                return h1->head.len == 0 ? CARRIER_IDLE : CARRIER_HEAD;
        case H1_BODY:
                return h1->unconsumed < H1_UNCONSUMED_MAX ? CARRIER_BODY : CARRIER_BUSY;
        case H1_ANSWER:
                return h1->stream.state == STREAM_REPLYING ? CARRIER_SENDING : CARRIER_BUSY;
        case H1_END:
                break;
        }
        return CARRIER_SENDING;
}

static void h1_drain(struct carrier *carrier)
{
        h1_of(carrier)->is_draining = true;
}

static void h1_free(struct carrier *carrier)
{
        struct h1 *h1 = h1_of(carrier);

        h1->is_inside = true;
        stream_close(&h1->stream, false);
        release(&h1->waiting);
        release(&h1->head);
        release(&h1->answer);
        free(h1);
}

static const struct carrier_ops carrier_ops = {
        .receive = h1_receive,
        .produce = h1_produce,
        .end_input = h1_end_input,
        .wants_read = h1_wants_read,
        .is_finished = h1_is_finished,
        .phase = h1_phase,
        .drain = h1_drain,
        .free = h1_free,
        .idle_ms = H1_IDLE_MS,
};

struct carrier *h1_new(struct host *host, const struct peer *peer)
{
        struct h1 *h1 = calloc(1, sizeof *h1);

        if (h1 == NULL) return NULL;
        h1->carrier.ops = &carrier_ops;
        h1->host = host;
        h1->peer = peer;
        stream_renew(h1);
        return &h1->carrier;
}
