/*
 * The small codecs of gRPC's headers: any bytes survive grpc-message, -bin metadata and base64, whatever text comes is
 * read or refused, and a grpc-timeout is the digits and unit that it looks like.
 */
#include <ctype.h>

#include "engine/require.h"
#include "rpc/base64.h"
#include "rpc/grpc.h"
#include "rpc/grpc_codec.h"
#include "tests/fuzz/fuzz.h"

static void check_message(struct arena *arena, struct bytes bytes)
{
        struct bytes encoded = grpc_message_encode(arena, bytes);
        size_t i;

        for (i = 0; i < encoded.len; i++)
                REQUIRE(encoded.data[i] >= ' ' && encoded.data[i] <= '~');
        REQUIRE(bytes_equal(grpc_message_decode(arena, encoded), bytes));
        REQUIRE(grpc_message_decode(arena, bytes).len <= bytes.len);
}

static void check_base64(struct arena *arena, struct bytes bytes, bool is_padded)
{
        char *text = arena_alloc(arena, BASE64_LEN(bytes.len) + 1);
        size_t len = base64_encode(bytes, is_padded, text);
        struct bytes decoded;

        REQUIRE(len <= BASE64_LEN(bytes.len));
        REQUIRE(base64_decode(arena, bytes_of(text, len), &decoded) == R_OK && bytes_equal(decoded, bytes));
}

/* As a header with one or several values: each of them is what its canonical spelling says. */
static void check_bin(struct arena *arena, struct bytes header)
{
        struct bytes rest = header;
        struct bytes value, again, text;

        do {
                if (grpc_bin_next(arena, &rest, &value) != R_OK) return;
                again = text = grpc_bin_encode(arena, value);
                REQUIRE(grpc_bin_next(arena, &again, &text) == R_OK && again.data == NULL && bytes_equal(text, value));
        } while (rest.data != NULL);
}

static void check_timeout(struct bytes text)
{
        int64_t timeout_ns = -1;
        int64_t again_ns;
        char format[GRPC_TIMEOUT_SIZE];
        bool is_good = text.len >= 2 && text.len <= 9 && memchr("HMSmun", text.data[text.len - 1], 6) != NULL;
        size_t i;

        for (i = 0; is_good && i + 1 < text.len; i++)
                is_good = text.data[i] >= '0' && text.data[i] <= '9';
        REQUIRE(grpc_timeout_parse(text, &timeout_ns) == is_good);
        if (!is_good) {
                REQUIRE(timeout_ns == -1);
                return;
        }
        grpc_timeout_format(timeout_ns, format);
        REQUIRE(grpc_timeout_parse(bytes_of_text(format), &again_ns) && again_ns >= timeout_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        struct arena arena;

        arena_init(&arena, NULL, (size_t)16 << 20);
        check_message(&arena, input);
        check_base64(&arena, input, true);
        check_base64(&arena, input, false);
        check_bin(&arena, input);
        check_timeout(input);
        if (grpc_is_content_type(input)) REQUIRE(len >= 16 && tolower(data[0]) == 'a');
        arena_fini(&arena);
        return 0;
}
