/*
 * A path of REST: the route whose pattern has the same segments, taken apart here the slow way. Then as one of gRPC.
 */
#include "rpc/rest_route.h"

#include "engine/require.h"
#include "rpc/method.h"
#include "tests/fuzz/fuzz.h"

#define SEGMENTS_MAX 8

/* Segments between slashes; SEGMENTS_MAX + 1: not a path, or too many. */
static size_t split(struct bytes path, struct bytes segments[SEGMENTS_MAX])
{
        size_t count = 0;

        if (path.len == 0 || path.data[0] != '/') return SEGMENTS_MAX + 1;
        path = bytes_skip(path, 1);
        while (path.len > 0) {
                if (count == SEGMENTS_MAX) return SEGMENTS_MAX + 1;
                segments[count++] = fuzz_until(&path, BYTES("/"));
        }
        return count;
}

static bool matches(const char *pattern, const struct bytes *segments, size_t count, struct bytes *ids)
{
        struct bytes parts[SEGMENTS_MAX] = {0};
        size_t i;

        if (split(bytes_of_text(pattern), parts) != count) return false;
        for (i = 0; i < count; i++) {
                bool is_id = bytes_equal(parts[i], BYTES("{}"));

                if (is_id ? segments[i].len == 0 : !bytes_equal(parts[i], segments[i])) return false;
                if (is_id) *ids++ = segments[i];
        }
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes path = bytes_of(data, len);
        struct bytes segments[SEGMENTS_MAX] = {0};
        struct bytes ids[REST_SEGMENTS_MAX] = {0};
        struct bytes expected[REST_SEGMENTS_MAX] = {0};
        size_t count = split(path, segments);
        const struct rest_route *found = rest_route_find(path, ids);
        const struct method *method;
        char why[WHY_SIZE];
        size_t i;

        for (i = 0; i < rest_route_count; i++)
                if (matches(rest_routes[i].pattern, segments, count, expected)) break;
        REQUIRE(found == (i < rest_route_count ? &rest_routes[i] : NULL));
        for (i = 0; i < REST_SEGMENTS_MAX && found != NULL; i++)
                REQUIRE(bytes_equal(ids[i], expected[i]) && (expected[i].len == 0 || ids[i].data == expected[i].data));

        REQUIRE(method_init(why) == R_OK);
        method = method_find(path);
        if (method != NULL) REQUIRE(bytes_equal(path, bytes_of_text(method->path)) && found == NULL);
        return 0;
}
