#include "rpc/rest_route.h"

#include <string.h>

const struct rest_route rest_routes[] = {
        {
                "/app",
                {[REST_GET] = REST_LIST_APPS, [REST_POST] = REST_CREATE_APP},
                "GET, HEAD, OPTIONS, POST",
        },
        {
                "/app/{}",
                {
                        [REST_GET] = REST_GET_APP,
                        [REST_PUT] = REST_UPDATE_APP,
                        [REST_PATCH] = REST_UPDATE_APP,
                        [REST_DELETE] = REST_DELETE_APP,
                },
                "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
        },
        {
                "/app/{}/run_async",
                {[REST_POST] = REST_RUN_JOB},
                "OPTIONS, POST",
        },
        {
                "/app/{}/job",
                {[REST_GET] = REST_LIST_JOBS},
                "GET, HEAD, OPTIONS",
        },
        {
                "/app/{}/job/{}",
                {[REST_GET] = REST_GET_JOB, [REST_PUT] = REST_CANCEL_JOB},
                "GET, HEAD, OPTIONS, PUT",
        },
};

const size_t rest_route_count = sizeof rest_routes / sizeof *rest_routes;

static const char *const paths[REST_SHAPE_COUNT] = {
        [REST_CREATE_APP] = "/allod.v1.AppService/CreateApp", [REST_LIST_APPS] = "/allod.v1.AppService/ListApps",
        [REST_GET_APP] = "/allod.v1.AppService/GetApp",       [REST_UPDATE_APP] = "/allod.v1.AppService/UpdateApp",
        [REST_DELETE_APP] = "/allod.v1.AppService/DeleteApp", [REST_RUN_JOB] = "/allod.v1.JobService/RunJob",
        [REST_LIST_JOBS] = "/allod.v1.JobService/ListJobs",   [REST_GET_JOB] = "/allod.v1.JobService/GetJob",
        [REST_CANCEL_JOB] = "/allod.v1.JobService/CancelJob",
};

static const struct bytes verbs[REST_VERB_COUNT] = {
        [REST_GET] = {(const uint8_t *)"GET", 3},       [REST_POST] = {(const uint8_t *)"POST", 4},
        [REST_PUT] = {(const uint8_t *)"PUT", 3},       [REST_PATCH] = {(const uint8_t *)"PATCH", 5},
        [REST_DELETE] = {(const uint8_t *)"DELETE", 6},
};

static bool matches(const char *pattern, struct bytes path, struct bytes segments[REST_SEGMENTS_MAX])
{
        size_t next = 0;
        size_t segment = 0;

        for (; *pattern != '\0'; pattern++) {
                size_t start = next;

                if (*pattern != '{') {
                        if (next == path.len || path.data[next] != (uint8_t)*pattern) return false;
                        next++;
                        continue;
                }
                while (next < path.len && path.data[next] != '/')
                        next++;
                if (next == start) return false;
                segments[segment++] = bytes_of(path.data + start, next - start);
                pattern++; /* the closing brace */
        }
        return next == path.len || (next + 1 == path.len && path.data[next] == '/');
}

const struct rest_route *rest_route_find(struct bytes path, struct bytes segments[REST_SEGMENTS_MAX])
{
        size_t i;

        for (i = 0; i < rest_route_count; i++)
                if (matches(rest_routes[i].pattern, path, segments)) return &rest_routes[i];
        return NULL;
}

bool rest_verb_find(struct bytes text, enum rest_verb *out)
{
        size_t i;

        for (i = 0; i < REST_VERB_COUNT; i++)
                if (bytes_equal(text, verbs[i])) {
                        *out = (enum rest_verb)i;
                        return true;
                }
        if (!bytes_equal(text, BYTES("HEAD"))) return false;
        *out = REST_GET;
        return true;
}

const char *rest_shape_path(enum rest_shape shape)
{
        return paths[shape];
}
