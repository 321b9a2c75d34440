#include "rpc/rest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/json_scan.h"
#include "engine/utf8.h"
#include "rpc/call.h"
#include "rpc/limits.h"
#include "rpc/rest_app.h"
#include "rpc/rest_job.h"
#include "rpc/rest_shape.h"

/* ---- Answers ---- */

#define FIELDS_MAX    5
#define NAME_ECHO_MAX 80 /* bytes of a parameter that is not ours */

static const struct field json_type = {{(const uint8_t *)"content-type", 12},
                                       {(const uint8_t *)"application/json", 16}};
static const struct field no_store = {{(const uint8_t *)"cache-control", 13}, {(const uint8_t *)"no-store", 8}};

/* What every answer with a body has, its type first. How many there are. RFC 6797: a browser that has been here with
 * TLS does not come back without. */
static size_t begin_fields(const struct call *call, struct field fields[FIELDS_MAX])
{
        fields[0] = json_type;
        fields[1] = no_store;
        if (!call->exchange->peer->is_encrypted) return 2;
        fields[2] = (struct field){BYTES("strict-transport-security"), BYTES("max-age=31536000")};
        return 3;
}

/* `{"error":"..."}`; a text of ours when there is no memory. */
static struct bytes error_body(struct call *call, struct bytes text)
{
        struct json_write json;
        struct bytes body;

        json_write_init(&json, &call->arena, text.len + 32);
        json_write_object_begin(&json);
        json_write_name(&json, "error");
        json_write_string(&json, text);
        json_write_object_end(&json);
        return json_write_finish(&json, &body) == R_OK ? body : BYTES("{\"error\":\"The server is out of memory.\"}");
}

/* `extra` may be NULL. */
static void refuse(struct call *call, int status, struct bytes text, const struct field *extra, enum result r,
                   const char *detail)
{
        struct field fields[FIELDS_MAX];
        struct response response = {.status = status, .fields = fields, .field_count = begin_fields(call, fields)};

        if (extra != NULL) fields[response.field_count++] = *extra;
        response.body = error_body(call, text);
        call_answered(call, r, detail);
        exchange_respond(call->exchange, &response);
}

static void fail(struct call *call, enum result r)
{
        struct field retry_after = {BYTES("retry-after"), BYTES("1")};
        int status = reply_of(r)->http;
        char seconds[16];

        if (r == R_STALE && call->rest.has_if_match) status = 412;
        if (call->retry_s > 1) {
                snprintf(seconds, sizeof seconds, "%u", call->retry_s);
                retry_after.value = bytes_of_text(seconds);
        }
        refuse(call, status, reply_sentence(&call->arena, r, &call->fault, rest_app_path),
               status == 429 ? &retry_after : NULL, r, NULL);
}

static enum result unsupported(struct call *call, const char *text)
{
        refuse(call, 415, bytes_of_text(text), NULL, R_BAD_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE");
        return R_BAD_ARGUMENT;
}

static enum result too_large(struct call *call)
{
        return fault_set(&call->fault, R_TOO_LARGE, "The body is larger than %zu bytes.", REST_BODY_MAX);
}

/* ---- The route ---- */

static void answer_options(struct call *call, const char *allow)
{
        struct field fields[] = {{BYTES("allow"), bytes_of_text(allow)}};
        struct response response = {.status = 204, .fields = fields, .field_count = 1};

        call_answered(call, R_OK, NULL);
        exchange_respond(call->exchange, &response);
}

static enum result refuse_verb(struct call *call, const char *allow)
{
        struct field field = {BYTES("allow"), bytes_of_text(allow)};

        refuse(call, 405, BYTES("This path does not take that method; the header Allow names those it takes."), &field,
               R_UNIMPLEMENTED, "METHOD_NOT_ALLOWED");
        return R_UNIMPLEMENTED;
}

/* `method` is NULL for a path that is nothing here. */
static enum result take_route(struct call *call, const struct method *method, enum rest_shape shape)
{
        if (method == NULL || (method->planes & PLANE_BIT(call->who.plane)) == 0)
                return fault_set(&call->fault, R_UNIMPLEMENTED, "There is no such path.");
        call->method = method;
        call->rest.shape = shape;
        return R_OK;
}

/* Of gRPC's paths we only say what is wrong: the verb, or the content type. */
static enum result route_grpc(struct call *call, struct bytes path)
{
        const struct method *method = method_find(path);
        enum result r;

        if ((r = take_route(call, method, REST_NONE)) != R_OK) return r;
        if (bytes_equal(call->exchange->head.method, BYTES("POST"))) return R_OK;
        return refuse_verb(call, "POST");
}

static enum result route(struct call *call)
{
        const struct request_head *head = &call->exchange->head;
        bool is_options = bytes_equal(head->method, BYTES("OPTIONS"));
        const struct rest_route *route;
        struct bytes path = head->target;
        const uint8_t *mark = path.len == 0 ? NULL : memchr(path.data, '?', path.len);
        enum rest_verb verb;
        const char *shape_path;

        if (mark != NULL) {
                path.len = (size_t)(mark - path.data);
                call->rest.query = bytes_of(mark + 1, head->target.len - path.len - 1);
        }
        if (is_options && bytes_equal(path, BYTES("*"))) {
                answer_options(call, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
                return R_UNIMPLEMENTED;
        }
        route = call->who.plane == PLANE_PUBLIC ? rest_route_find(path, call->rest.segments) : NULL;
        if (route == NULL) return route_grpc(call, path);
        if (is_options) {
                answer_options(call, route->allow);
                return R_UNIMPLEMENTED;
        }
        if (!rest_verb_find(head->method, &verb) || route->shapes[verb] == REST_NONE)
                return refuse_verb(call, route->allow);
        shape_path = rest_shape_path(route->shapes[verb]);
        return take_route(call, method_find(bytes_of_text(shape_path)), route->shapes[verb]);
}

/* ---- The body ---- */

static bool is_blank(uint8_t byte)
{
        return byte == ' ' || byte == '\t';
}

/* The value of parameter `name` in `; name=value; ...`, unquoted; false when there is none. */
static bool find_parameter(struct bytes parameters, const char *name, struct bytes *value)
{
        const char *text = (const char *)parameters.data;
        size_t name_len = strlen(name);
        size_t i = 0;

        while (i < parameters.len) {
                size_t start;

                while (i < parameters.len && (is_blank(parameters.data[i]) || text[i] == ';'))
                        i++;
                start = i;
                while (i < parameters.len && text[i] != ';')
                        i++;
                if (i - start <= name_len || text[start + name_len] != '=' ||
                    strncasecmp(text + start, name, name_len) != 0)
                        continue;
                *value = bytes_of(parameters.data + start + name_len + 1, i - start - name_len - 1);
                while (value->len > 0 && is_blank(value->data[value->len - 1]))
                        value->len--;
                if (value->len >= 2 && value->data[0] == '"' && value->data[value->len - 1] == '"')
                        *value = bytes_of(value->data + 1, value->len - 2);
                return true;
        }
        return false;
}

/* application/json, in UTF-8 if it says so. */
static bool is_json(const struct request_head *head)
{
        static const struct bytes type = {(const uint8_t *)"application/json", 16};
        struct bytes value = head->values[HEADER_CONTENT_TYPE];
        struct bytes charset;

        if (head->counts[HEADER_CONTENT_TYPE] != 1 || value.len < type.len ||
            strncasecmp((const char *)value.data, (const char *)type.data, type.len) != 0)
                return false;
        value = bytes_of(value.data + type.len, value.len - type.len);
        if (value.len > 0 && value.data[0] != ';' && !is_blank(value.data[0])) return false;
        return !find_parameter(value, "charset", &charset) ||
               (charset.len == 5 && strncasecmp((const char *)charset.data, "utf-8", 5) == 0);
}

static enum result begin(struct call *call)
{
        const struct request_head *head = &call->exchange->head;
        struct bytes length = head->values[HEADER_CONTENT_LENGTH];
        uint64_t announced = 0;
        size_t i;

        if (call->rest.shape == REST_NONE)
                return unsupported(call, "gRPC needs HTTP/2 and the content type application/grpc.");
        if (rest_shape_needs_body(call->rest.shape) && !is_json(head))
                return unsupported(call, "The body must be JSON: send Content-Type: application/json.");
        if (head->counts[HEADER_CONTENT_ENCODING] > 0 &&
            !bytes_equal(head->values[HEADER_CONTENT_ENCODING], BYTES("identity")))
                return unsupported(call, "The body must not be compressed.");
        for (i = 0; i < length.len && announced <= REST_BODY_MAX; i++)
                announced = announced * 10 + (length.data[i] - (unsigned)'0');
        return announced <= REST_BODY_MAX ? R_OK : too_large(call);
}

/* Below 64 KiB what is announced is believed, above it room doubles with what has come. */
static enum result keep(struct call *call, struct bytes data)
{
        struct rest_request *request = &call->rest;
        size_t needed = request->body_len + data.len;

        if (needed > request->body_size) {
                size_t size = request->body_size == 0 ? 4096 : 2 * request->body_size;
                uint8_t *body;

                if (size < needed) size = needed;
                body = arena_grow(&call->arena, request->body, request->body_size, size);
                if (body == NULL) return R_NO_MEMORY;
                request->body = body;
                request->body_size = size;
        }
        if (data.len > 0) memcpy(request->body + request->body_len, data.data, data.len);
        return R_OK;
}

static void data(struct call *call, struct bytes data)
{
        struct rest_request *request = &call->rest;
        enum result r = R_OK;

        if (data.len > REST_BODY_MAX - request->body_len) {
                r = too_large(call);
        } else if (rest_shape_takes_body(request->shape)) {
                r = call_count_body(call, data.len);
                if (r == R_OK) r = keep(call, data);
        }
        if (r != R_OK) {
                call_fail(call, r);
                return;
        }
        request->body_len += data.len;
}

/* ---- The query ---- */

static int hex_digit(uint8_t byte)
{
        if (byte >= '0' && byte <= '9') return byte - '0';
        if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
        if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
        return -1;
}

/* Percent-decoded, with a NUL behind it. R_BAD_ARGUMENT: a broken escape, or not valid text. R_NO_MEMORY. */
static enum result unescape(struct arena *arena, struct bytes text, bool has_plus, const char **out)
{
        uint8_t *decoded = arena_alloc(arena, text.len + 1);
        size_t len = 0;
        size_t i;

        if (decoded == NULL) return R_NO_MEMORY;
        for (i = 0; i < text.len; i++) {
                uint8_t byte = text.data[i];

                if (byte == '+' && has_plus) byte = ' ';
                if (byte == '%') {
                        int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
                        int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;

                        if (high < 0 || low < 0) return R_BAD_ARGUMENT;
                        byte = (uint8_t)(high << 4 | low);
                        i += 2;
                }
                decoded[len++] = byte;
        }
        decoded[len] = '\0';
        if (!utf8_is_text(bytes_of(decoded, len))) return R_BAD_ARGUMENT;
        *out = (const char *)decoded;
        return R_OK;
}

const char *rest_segment_text(struct call *call, size_t index)
{
        struct bytes segment = call->rest.segments[index];
        const char *text;

        switch (unescape(&call->arena, segment, false, &text)) {
        case R_OK:
                return text;
        case R_NO_MEMORY:
                return NULL;
        default:
                break;
        }
        /* It names nothing, and only comes back in "not found". */
        text = (const char *)arena_dup(&call->arena, segment).data;
        return text == NULL || utf8_is_text(segment) ? text : "";
}

static bool take_parameter(struct bytes *rest, struct bytes *name, struct bytes *value)
{
        const uint8_t *mark;

        if (rest->len == 0) return false;
        mark = memchr(rest->data, '&', rest->len);
        *name = bytes_of(rest->data, mark == NULL ? rest->len : (size_t)(mark - rest->data));
        *rest = mark == NULL ? bytes_of(NULL, 0) : bytes_of(mark + 1, rest->len - name->len - 1);
        mark = name->len == 0 ? NULL : memchr(name->data, '=', name->len);
        *value = mark == NULL ? bytes_of(NULL, 0) : bytes_of(mark + 1, name->len - (size_t)(mark - name->data) - 1);
        if (mark != NULL) name->len = (size_t)(mark - name->data);
        return true;
}

/* Where the parameter goes, if the route knows it. */
static const char **place_of(enum rest_shape shape, struct rest_query *query, const char *name)
{
        if (shape != REST_LIST_APPS && shape != REST_LIST_JOBS) return NULL;
        if (strcmp(name, "page_size") == 0) return &query->page_size;
        if (strcmp(name, "page_token") == 0) return &query->page_token;
        if (strcmp(name, "status") == 0 && shape == REST_LIST_JOBS) return &query->status;
        return NULL;
}

static enum result refuse_parameter(struct call *call, const char *name)
{
        size_t len = utf8_valid_len(bytes_of(name, strnlen(name, NAME_ECHO_MAX)));

        return fault_set(&call->fault, R_BAD_ARGUMENT, "The query parameter %.*s is not known here.", (int)len, name);
}

static enum result read_query(struct call *call, struct rest_query *query)
{
        struct bytes rest = call->rest.query;
        struct bytes raw_name, raw_value;
        enum result r;

        while (take_parameter(&rest, &raw_name, &raw_value)) {
                const char *name, *value;
                const char **place;

                if (raw_name.len == 0 && raw_value.len == 0) continue;
                r = unescape(&call->arena, raw_name, true, &name);
                if (r == R_OK) r = unescape(&call->arena, raw_value, true, &value);
                if (r == R_BAD_ARGUMENT) fault_set(&call->fault, r, "The query has a broken escape.");
                if (r != R_OK) return r;
                place = place_of(call->rest.shape, query, name);
                if (place == NULL) return refuse_parameter(call, name);
                if (*place != NULL) return fault_field(&call->fault, name, "must be given once");
                *place = value;
        }
        call->rest.has_paging = query->page_size != NULL || query->page_token != NULL;
        if (query->page_size != NULL && query->page_size[0] == '\0') query->page_size = NULL;
        if (query->status != NULL && query->status[0] == '\0') query->status = NULL;
        return R_OK;
}

enum result rest_page_size(struct call *call, const struct rest_query *query, int32_t *out)
{
        const char *text = query->page_size == NULL ? "0" : query->page_size;
        int32_t size = 0;
        size_t i;

        for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 9; i++)
                size = size * 10 + (text[i] - '0');
        if (i == 0 || text[i] != '\0') return fault_field(&call->fault, "page_size", "must be a number");
        *out = size;
        return R_OK;
}

/* ---- Conditions ---- */

/* One strong entity tag (RFC 9110, 8.8.3). A weak or an empty one never matches, so it is passed on with its quotes,
 * which no etag of ours has. */
static enum result read_if_match(struct call *call)
{
        const struct request_head *head = &call->exchange->head;
        struct bytes value = head->values[HEADER_IF_MATCH];
        struct bytes quoted = value;
        struct bytes etag;

        call->rest.etag = "";
        if (head->counts[HEADER_IF_MATCH] == 0 || !rest_shape_has_etag(call->rest.shape)) return R_OK;
        call->rest.has_if_match = true;
        if (head->counts[HEADER_IF_MATCH] == 1 && bytes_equal(value, BYTES("*"))) return R_OK;
        if (bytes_start_with(value, BYTES("W/"))) quoted = bytes_of(value.data + 2, value.len - 2);
        if (head->counts[HEADER_IF_MATCH] > 1 || quoted.len < 2 || quoted.data[0] != '"' ||
            memchr(quoted.data + 1, '"', quoted.len - 1) != quoted.data + quoted.len - 1 || !utf8_is_text(value))
                return fault_set(&call->fault, R_BAD_ARGUMENT, "If-Match must be one entity tag in quotes, or *.");
        etag = arena_dup(&call->arena,
                         quoted.len == 2 || quoted.len < value.len ? value : bytes_of(quoted.data + 1, quoted.len - 2));
        if (etag.data == NULL) return R_NO_MEMORY;
        call->rest.etag = (const char *)etag.data;
        return R_OK;
}

/* ---- Both ends ---- */

static enum result end(struct call *call)
{
        struct rest_query query = {0};
        enum result r;

        /* Of a body that may be left out, the head does not tell enough. */
        if (call->rest.body_len > 0 && rest_shape_takes_body(call->rest.shape) && !is_json(&call->exchange->head))
                return unsupported(call, "The body must be JSON: send Content-Type: application/json.");
        if ((r = read_query(call, &query)) != R_OK) return r;
        if ((r = read_if_match(call)) != R_OK) return r;
        return rest_shape_read(call, &query);
}

static bool quote(struct arena *arena, const char *etag, struct bytes *out)
{
        size_t len = strlen(etag);
        char *quoted = arena_alloc(arena, len + 2);

        if (quoted == NULL) return false;
        quoted[0] = quoted[len + 1] = '"';
        memcpy(quoted + 1, etag, len);
        *out = bytes_of(quoted, len + 2);
        return true;
}

static void answer(struct call *call)
{
        struct field fields[FIELDS_MAX];
        struct response response = {.status = 200, .fields = fields, .field_count = begin_fields(call, fields)};
        const char *etag = NULL;
        enum result r;

        if (call->rest.shape == REST_DELETE_APP) {
                response.status = 204;
                response.fields = fields + 1;
                response.field_count--;
        } else if ((r = rest_shape_write(call, &response.body, &etag)) != R_OK) {
                call_fail(call, r);
                return;
        }
        if (call->rest.shape == REST_CREATE_APP) response.status = 201;
        if (etag != NULL && quote(&call->arena, etag, &fields[response.field_count].value))
                fields[response.field_count++].name = BYTES("etag");
        call_answered(call, R_OK, NULL);
        exchange_respond(call->exchange, &response);
}

const struct face rest_face = {
        .route = route,
        .begin = begin,
        .data = data,
        .end = end,
        .answer = answer,
        .fail = fail,
};
