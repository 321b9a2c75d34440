/*
 * Which path and verb of the REST face is which method.
 *
 * Paths are singular and may end in a slash. `{}` in a pattern stands for one segment that is not empty.
 * Thread: any.
 */
#ifndef ALLOD_RPC_REST_ROUTE_H
#define ALLOD_RPC_REST_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/bytes.h"

enum rest_verb {
        REST_GET,
        REST_POST,
        REST_PUT,
        REST_PATCH,
        REST_DELETE,
        REST_VERB_COUNT
};

#define REST_SEGMENTS_MAX 2 /* ids in a path */

/* The shapes of rest_app.c and rest_job.c. */
enum rest_shape {
        REST_NONE, /* no such verb here */
        REST_CREATE_APP,
        REST_LIST_APPS,
        REST_GET_APP,
        REST_UPDATE_APP,
        REST_DELETE_APP,
        REST_RUN_JOB,
        REST_LIST_JOBS,
        REST_GET_JOB,
        REST_CANCEL_JOB,
        REST_SHAPE_COUNT
};

struct rest_route {
        const char *pattern; /* "/app/{}/job/{}" */
        enum rest_shape shapes[REST_VERB_COUNT];
        const char *allow; /* the Allow header */
};

extern const struct rest_route rest_routes[];
extern const size_t rest_route_count;

/* NULL: no such path. segments gets the ids, as sent. `path` is without its query. */
const struct rest_route *rest_route_find(struct bytes path, struct bytes segments[REST_SEGMENTS_MAX]);

/* HEAD is GET. False: a verb that no route has. */
bool rest_verb_find(struct bytes text, enum rest_verb *out);

/* "/allod.v1.AppService/GetApp". */
const char *rest_shape_path(enum rest_shape shape);

#endif
