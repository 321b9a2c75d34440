#include "rpc/grpc.h"

#include <strings.h>

#include "rpc/call.h"
#include "rpc/limits.h"

/* ---- Requests ---- */

bool grpc_is_content_type(struct bytes value)
{
        static const struct bytes type = {(const uint8_t *)"application/grpc", 16};
        struct bytes rest;

        if (value.len < type.len || strncasecmp((const char *)value.data, (const char *)type.data, type.len) != 0)
                return false;
        rest = bytes_of(value.data + type.len, value.len - type.len);
        if (rest.len >= 6 && strncasecmp((const char *)rest.data, "+proto", 6) == 0)
                rest = bytes_of(rest.data + 6, rest.len - 6);
        return rest.len == 0 || rest.data[0] == ';' || rest.data[0] == ' ';
}

static bool is_served(const struct call *call, const struct method *method)
{
        if (method == NULL || (method->planes & PLANE_BIT(call->who.plane)) == 0) return false;
        return call->host->has_reflection || method->kind != METHOD_STREAM ||
               !bytes_start_with(bytes_of_text(method->path), BYTES("/grpc.reflection."));
}

static enum result route(struct call *call)
{
        const struct method *method = method_find(call->exchange->head.target);

        if (!is_served(call, method)) return R_UNIMPLEMENTED;
        call->method = method;
        return R_OK;
}

static enum result begin(struct call *call)
{
        const struct request_head *head = &call->exchange->head;
        int64_t timeout_ns;

        if (head->counts[HEADER_GRPC_TIMEOUT] > 0) {
                if (!grpc_timeout_parse(head->values[HEADER_GRPC_TIMEOUT], &timeout_ns))
                        return fault_set(&call->fault, R_BAD_ARGUMENT, "The header grpc-timeout is malformed.");
                if (timeout_ns <= INT64_MAX - call->start_ns) call->deadline_ns = call->start_ns + timeout_ns;
        }
        if (head->counts[HEADER_GRPC_ENCODING] > 0 &&
            !bytes_equal(head->values[HEADER_GRPC_ENCODING], BYTES("identity"))) {
                grpc_refuse_frame(call, GRPC_FRAME_COMPRESSED);
                return R_UNIMPLEMENTED;
        }
        grpc_frame_reader_init(&call->grpc.reader, &call->arena, GRPC_MESSAGE_MAX);
        return R_OK;
}

/* The message is decoded as it comes, since its bytes are only borrowed; what was wrong with it is told at the end. */
static void data(struct call *call, struct bytes data)
{
        struct grpc_request *request = &call->grpc;
        enum grpc_frame_outcome outcome;
        enum result r;

        if ((r = call_count_body(call, data.len)) != R_OK) {
                call_fail(call, r);
                return;
        }
        do {
                ProtobufCMessage *decoded;
                struct bytes message;

                outcome = grpc_frame_feed(&request->reader, &data, &message);
                if (outcome != GRPC_FRAME_MESSAGE) continue;
                if (request->has_message) {
                        grpc_refuse(call, GRPC_INTERNAL, "MALFORMED_REQUEST",
                                    BYTES("A unary call takes one message and got more."));
                        return;
                }
                request->has_message = true;
                request->decoded = wire_unpack(&call->arena, call->method->request, message, &decoded, &call->fault);
                if (request->decoded == WIRE_OK) call->invocation.request = decoded;
        } while (outcome == GRPC_FRAME_MESSAGE);
        if (outcome != GRPC_FRAME_MORE) grpc_refuse_frame(call, outcome);
}

static enum result end(struct call *call)
{
        struct bytes text;

        if (!grpc_frame_is_whole(&call->grpc.reader) || !call->grpc.has_message) {
                text = call->grpc.has_message ? BYTES("The request ended within a message.")
                                              : BYTES("The request ended without a whole message.");
                grpc_refuse(call, GRPC_INTERNAL, "MALFORMED_REQUEST", text);
                return R_BAD_ARGUMENT;
        }
        switch (call->grpc.decoded) {
        case WIRE_OK:
                return R_OK;
        case WIRE_BAD_ARGUMENT:
                return R_BAD_ARGUMENT;
        case WIRE_TOO_LARGE:
                return R_TOO_LARGE;
        case WIRE_NO_MEMORY:
                return R_NO_MEMORY;
        case WIRE_MALFORMED:
                break;
        }
        text = reply_sentence(&call->arena, R_BAD_ARGUMENT, &call->fault, NULL);
        grpc_refuse(call, GRPC_INTERNAL, "MALFORMED_REQUEST", text);
        return R_BAD_ARGUMENT;
}

/* ---- Answers ---- */

static const struct field content_type = {{(const uint8_t *)"content-type", 12},
                                          {(const uint8_t *)"application/grpc", 16}};
static const struct field status_ok = {{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}};

static void answer(struct call *call)
{
        struct message *reply = &call->invocation.reply;
        uint8_t *frame = reply->data - GRPC_PREFIX_LEN;
        struct response response = {
                .status = 200,
                .fields = &content_type,
                .field_count = 1,
                .body = bytes_of(frame, GRPC_PREFIX_LEN + reply->len),
                .trailers = &status_ok,
                .trailer_count = 1,
        };

        _Static_assert(GRPC_PREFIX_LEN <= MESSAGE_HEADROOM, "the prefix goes into the headroom");
        grpc_prefix_write(frame, reply->len);
        call_answered(call, R_OK, NULL);
        exchange_respond(call->exchange, &response);
}

/* What is told of a failure. */
struct status {
        enum grpc_code code;
        const char *reason;
        struct bytes text;
        const struct fault *fault; /* NULL: no fields to name */
        unsigned retry_s;          /* 0: it is not told when to come again */
};

/* google.protobuf.Any around what is appended between the two. */
static void any_begin(struct message *message, const char *type, size_t marks[2])
{
        marks[0] = message_begin(message, 3); /* Status.details */
        message_bytes(message, 1, bytes_of_text(type));
        marks[1] = message_begin(message, 2);
}

static void any_end(struct message *message, const size_t marks[2])
{
        message_end(message, marks[1]);
        message_end(message, marks[0]);
}

/* A google.rpc.Status, in base64; .data is NULL when there is no memory. */
static struct bytes encode_details(struct arena *arena, const struct status *status)
{
        struct message message;
        size_t marks[2];
        size_t i;

        message_init(&message, arena, 512);
        message_int(&message, 1, status->code);
        message_bytes(&message, 2, status->text);
        any_begin(&message, "type.googleapis.com/google.rpc.ErrorInfo", marks);
        message_bytes(&message, 1, bytes_of_text(status->reason));
        message_bytes(&message, 2, BYTES("allod"));
        any_end(&message, marks);
        if (status->fault != NULL && status->fault->field_count > 0) {
                any_begin(&message, "type.googleapis.com/google.rpc.BadRequest", marks);
                for (i = 0; i < status->fault->field_count; i++) {
                        size_t mark = message_begin(&message, 1); /* field_violations */

                        message_bytes(&message, 1, bytes_of_text(status->fault->fields[i].path));
                        message_bytes(&message, 2, bytes_of_text(status->fault->fields[i].text));
                        message_end(&message, mark);
                }
                any_end(&message, marks);
        }
        if (status->retry_s > 0) {
                size_t mark;

                any_begin(&message, "type.googleapis.com/google.rpc.RetryInfo", marks);
                mark = message_begin(&message, 1); /* retry_delay */
                message_int(&message, 1, status->retry_s);
                message_end(&message, mark);
                any_end(&message, marks);
        }
        if (message_finish(&message) != R_OK) return (struct bytes){0};
        return grpc_bin_encode(arena, message_so_far(&message));
}

#define STATUS_FIELDS_MAX 3

/* grpc-status and, while memory lasts, message and details. Returns their number. */
static size_t status_fields(struct arena *arena, const struct status *status, struct field fields[STATUS_FIELDS_MAX])
{
        static const char *const codes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                            "9", "10", "11", "12", "13", "14", "15", "16"};
        struct bytes message = grpc_message_encode(arena, status->text);
        struct bytes details = encode_details(arena, status);
        size_t count = 0;

        fields[count++] = (struct field){BYTES("grpc-status"), bytes_of_text(codes[status->code])};
        if (message.data != NULL) fields[count++] = (struct field){BYTES("grpc-message"), message};
        if (details.data != NULL) fields[count++] = (struct field){BYTES("grpc-status-details-bin"), details};
        return count;
}

/* Trailers-only. `r` and `detail` are for the log. */
static void refuse(struct call *call, const struct status *status, enum result r, const char *detail,
                   bool names_encodings)
{
        struct field fields[2 + STATUS_FIELDS_MAX] = {content_type};
        struct response response = {.status = 200, .fields = fields, .field_count = 1};

        response.field_count += status_fields(&call->arena, status, fields + 1);
        if (names_encodings)
                fields[response.field_count++] = (struct field){BYTES("grpc-accept-encoding"), BYTES("identity")};
        call_answered(call, r, detail);
        exchange_respond(call->exchange, &response);
}

static struct status status_of(struct call *call, enum result r)
{
        const struct reply *reply = reply_of(r);

        return (struct status){
                .code = reply->grpc,
                .reason = reply->reason,
                .text = reply_sentence(&call->arena, r, &call->fault, NULL),
                .fault = reply->shows_fault ? &call->fault : NULL,
                .retry_s = call->retry_s,
        };
}

static void fail(struct call *call, enum result r)
{
        struct status status = status_of(call, r);

        refuse(call, &status, r, NULL, false);
}

void grpc_refuse(struct call *call, enum grpc_code code, const char *reason, struct bytes text)
{
        struct status status = {code, reason, text, NULL, 0};

        refuse(call, &status, R_BAD_ARGUMENT, reason, false);
}

void grpc_refuse_frame(struct call *call, enum grpc_frame_outcome outcome)
{
        const struct request_head *head = &call->exchange->head;
        struct status status = {GRPC_UNIMPLEMENTED, "COMPRESSED", BYTES("Messages must not be compressed."), NULL, 0};

        switch (outcome) {
        case GRPC_FRAME_TOO_LARGE:
                fault_set(&call->fault, R_TOO_LARGE, "The message is larger than %zu bytes.",
                          call->method->kind == METHOD_STREAM ? FEED_REQUEST_MAX : GRPC_MESSAGE_MAX);
                call_fail(call, R_TOO_LARGE);
                return;
        case GRPC_FRAME_NO_MEMORY:
                call_fail(call, R_NO_MEMORY);
                return;
        case GRPC_FRAME_COMPRESSED:
                /* A flag without an encoding is not a missing feature but a broken message. */
                if (head->counts[HEADER_GRPC_ENCODING] > 0 &&
                    !bytes_equal(head->values[HEADER_GRPC_ENCODING], BYTES("identity"))) {
                        refuse(call, &status, R_UNIMPLEMENTED, status.reason, true);
                        return;
                }
                break;
        default:
                break;
        }
        grpc_refuse(call, GRPC_INTERNAL, "MALFORMED_REQUEST", BYTES("The frame of a message is malformed."));
}

void grpc_start(struct call *call)
{
        exchange_start(call->exchange, 200, &content_type, 1);
}

void grpc_finish(struct call *call, enum result r)
{
        struct field fields[STATUS_FIELDS_MAX] = {status_ok};
        size_t count = 1;

        if (r != R_OK) {
                struct status status = status_of(call, r);

                count = status_fields(&call->arena, &status, fields);
        }
        call_answered(call, r, NULL);
        exchange_finish(call->exchange, fields, count);
}

const struct face grpc_face = {
        .route = route,
        .begin = begin,
        .data = data,
        .end = end,
        .answer = answer,
        .fail = fail,
};
