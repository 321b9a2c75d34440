/*
 * The REST face of a call: the published API's paths, envelopes and texts.
 *
 * rest.c knows HTTP: routes, verbs, query, content type, size, conditions and the envelope of errors. The shapes of
 * apps and jobs are rest_app.c and rest_job.c.
 *
 * Decided here, where the contract is silent: a query parameter that a route does not know is refused with 400 and
 * named, as a misspelt one would be lost; an empty one counts as absent; a body on GET, HEAD and DELETE is not looked
 * at; If-Match takes one entity tag or `*`. OPTIONS needs no key.
 */
#ifndef ALLOD_RPC_REST_H
#define ALLOD_RPC_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bytes.h"
#include "engine/result.h"
#include "rpc/json_write.h"
#include "rpc/rest_route.h"

struct call;
struct face;

extern const struct face rest_face;

struct rest_request {
        /* the line */
        enum rest_shape shape; /* REST_NONE: a path of gRPC, which ends in 415 */
        struct bytes segments[REST_SEGMENTS_MAX];
        struct bytes query; /* behind the question mark */

        /* the body so far */
        uint8_t *body;
        size_t body_len;
        size_t body_size; /* room */

        /* decoded */
        bool has_paging; /* page_size or page_token was sent: next_page_token is told */
        bool has_if_match;
        const char *etag; /* "": none, or `*` */
};

/* The parameters that routes know; NULL: absent or empty. Texts in the arena. */
struct rest_query {
        const char *page_size;
        const char *page_token;
        const char *status;
};

/* A page_size as a number. R_BAD_ARGUMENT: it is none. */
enum result rest_page_size(struct call *call, const struct rest_query *query, int32_t *out) MUST_USE;

/* A path segment as text: percent-decoded if that gives text, else as sent. NULL when there is no memory. */
const char *rest_segment_text(struct call *call, size_t index);

/* Write `{"data":` ... and, where it is due, `"next_page_token"` and the end. */
void rest_data_begin(struct json_write *json);
void rest_data_end(const struct call *call, struct json_write *json, const char *next_page_token);

#endif
