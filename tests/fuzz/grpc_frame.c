/*
 * Frames of gRPC, cut as the first line of the input says and whole: the same messages come out, the same outcome, and
 * they are those that the prefixes say.
 */
#include "engine/require.h"
#include "rpc/grpc_codec.h"
#include "tests/fuzz/fuzz.h"

#define MESSAGE_MAX 300 /* small, so that frames above it are found */

/* Messages behind each other, each with its length before it. */
struct seen {
        uint8_t text[65536];
        size_t len;
        enum grpc_frame_outcome outcome;
        bool is_whole;
};

static void add(struct seen *seen, struct bytes message)
{
        REQUIRE(sizeof seen->text - seen->len >= GRPC_PREFIX_LEN + message.len);
        grpc_prefix_write(seen->text + seen->len, message.len);
        if (message.len > 0) memcpy(seen->text + seen->len + GRPC_PREFIX_LEN, message.data, message.len);
        seen->len += GRPC_PREFIX_LEN + message.len;
}

/* Each byte of `cuts` is how much is given next. */
static void read_frames(struct bytes input, struct bytes cuts, struct seen *seen)
{
        struct grpc_frame_reader reader;
        struct arena arena;
        size_t turn = 0;

        arena_init(&arena, NULL, (size_t)1 << 20);
        grpc_frame_reader_init(&reader, &arena, MESSAGE_MAX);
        seen->len = 0;
        seen->outcome = GRPC_FRAME_MORE;
        while (input.len > 0 && seen->outcome == GRPC_FRAME_MORE) {
                struct bytes piece =
                        fuzz_part(&input, cuts.len == 0 ? input.len : (size_t)cuts.data[turn++ % cuts.len] + 1);
                struct bytes message;

                while ((seen->outcome = grpc_frame_feed(&reader, &piece, &message)) == GRPC_FRAME_MESSAGE)
                        add(seen, message);
                REQUIRE(seen->outcome != GRPC_FRAME_MORE || piece.len == 0);
        }
        seen->is_whole = grpc_frame_is_whole(&reader);
        arena_fini(&arena);
}

/* How many whole messages start the input, in bytes. */
static size_t whole_len(struct bytes input)
{
        size_t at = 0;

        while (input.len - at >= GRPC_PREFIX_LEN && input.data[at] == 0) {
                const uint8_t *length = input.data + at + 1;
                size_t len = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];

                if (len > MESSAGE_MAX || len > input.len - at - GRPC_PREFIX_LEN) break;
                at += GRPC_PREFIX_LEN + len;
        }
        return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct seen whole, cut;
        struct bytes input = bytes_of(data, len < 60000 ? len : 60000);
        struct bytes cuts = fuzz_until(&input, BYTES("\n"));

        read_frames(input, (struct bytes){0}, &whole);
        read_frames(input, cuts, &cut);
        REQUIRE(bytes_equal(bytes_of(whole.text, whole.len), bytes_of(cut.text, cut.len)));
        REQUIRE(whole.outcome == cut.outcome && whole.is_whole == cut.is_whole);
        REQUIRE(bytes_equal(bytes_of(whole.text, whole.len), bytes_of(input.data, whole_len(input))));
        return 0;
}
