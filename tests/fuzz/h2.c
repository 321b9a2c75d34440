/*
 * A connection of HTTP/2 from bytes, with a consumer that echoes. The first byte of the input says how it is cut,
 * whether a preface and SETTINGS come before it, and whether the server drains; what comes out is whole frames.
 */
#include "rpc/h2.h"

#include <stdlib.h>

#include "engine/require.h"
#include "rpc/host.h"
#include "rpc/limits.h"
#include "tests/fuzz/echo.h"
#include "tests/fuzz/fuzz.h"

#define OUT_SIZE ((size_t)4 << 20)

static struct {
        uint8_t data[OUT_SIZE];
        size_t len;
} out;

static void on_wake(struct carrier *carrier)
{
        (void)carrier;
}

static void take(struct carrier *carrier)
{
        size_t before;

        do {
                struct output output = {out.data + out.len, 0, WRITE_SIZE};

                before = out.len;
                if (out.len + WRITE_SIZE > OUT_SIZE) return;
                carrier->ops->produce(carrier, &output);
                REQUIRE(output.len <= output.size);
                out.len += output.len;
                (void)carrier->ops->phase(carrier);
        } while (out.len > before || echo_release());
}

/* RFC 9113 section 4.1, and of no type that only clients send. */
static void require_frames(struct bytes rest)
{
        while (rest.len > 0) {
                struct bytes head = fuzz_part(&rest, 9);
                size_t len;

                REQUIRE(head.len == 9);
                len = (size_t)head.data[0] << 16 | (size_t)head.data[1] << 8 | head.data[2];
                REQUIRE(len <= 16384 && fuzz_part(&rest, len).len == len);
                REQUIRE(head.data[3] != 2 && head.data[3] != 5);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const char greeting[] = H2_PREFACE "\0\0\0\4\0\0\0\0";
        struct bytes input = bytes_of(data, len);
        uint8_t way = fuzz_byte(&input);
        size_t step = way & 4 ? (way >> 3) + 1u : 65536;
        struct host host = {0};
        struct peer peer = {0};
        struct h2_pool pool = {0};
        struct carrier *carrier = h2_new(&host, &peer, &pool);

        REQUIRE(carrier != NULL);
        carrier->wake_cb = on_wake;
        out.len = 0;
        if (way & 1) carrier->ops->receive(carrier, bytes_of(greeting, sizeof greeting));
        while (input.len > 0 && carrier->ops->wants_read(carrier)) {
                struct bytes piece = fuzz_part(&input, step);
                uint8_t *copy = malloc(piece.len);

                REQUIRE(copy != NULL);
                memcpy(copy, piece.data, piece.len);
                carrier->ops->receive(carrier, bytes_of(copy, piece.len));
                free(copy);
                take(carrier);
                if (way & 2) carrier->ops->drain(carrier);
        }
        take(carrier);
        require_frames(bytes_of(out.data, out.len));
        carrier->ops->end_input(carrier);
        REQUIRE(carrier->ops->is_finished(carrier));
        carrier->ops->free(carrier);
        h2_pool_fini(&pool);
        echo_reset();
        return 0;
}
