/*
 * Where a carrier puts bytes on their way to the socket: memory of the loop's, filled and written once per turn. The
 * bytes of a reply's body are copied here, straight from the call's arena, and nowhere else.
 */
#ifndef ALLOD_RPC_OUTPUT_H
#define ALLOD_RPC_OUTPUT_H

#include "engine/bytes.h"
#include "engine/require.h"

struct output {
        uint8_t *data;
        size_t len;
        size_t size;
};

static inline size_t output_room(const struct output *output)
{
        return output->size - output->len;
}

/* There must be room. */
static inline void output_put(struct output *output, struct bytes bytes)
{
        REQUIRE(bytes.len <= output_room(output));
        if (bytes.len > 0) memcpy(output->data + output->len, bytes.data, bytes.len);
        output->len += bytes.len;
}

#endif
