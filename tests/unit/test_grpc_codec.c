#include "rpc/grpc_codec.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/damage.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

/* Append a frame with a payload of `len` bytes, each `fill`. */
static size_t put_frame(uint8_t *out, size_t len, int fill)
{
        grpc_prefix_write(out, len);
        memset(out + GRPC_PREFIX_LEN, fill, len);
        return GRPC_PREFIX_LEN + len;
}

struct seen {
        size_t count;
        size_t lens[8];
};

/* Feed one payload, in its own allocation of its length, and count the messages that come out. */
static void feed(struct grpc_frame_reader *reader, struct bytes payload, struct seen *seen)
{
        uint8_t *copy = malloc(payload.len);
        struct bytes in = bytes_of(copy, payload.len);
        enum grpc_frame_outcome outcome;
        struct bytes message;
        size_t i;

        if (payload.len > 0) memcpy(copy, payload.data, payload.len);
        while ((outcome = grpc_frame_feed(reader, &in, &message)) == GRPC_FRAME_MESSAGE) {
                for (i = 0; i < message.len; i++)
                        assert_int_equal(message.data[i], 'a' + (int)seen->count);
                assert_true(seen->count < 8);
                seen->lens[seen->count++] = message.len;
        }
        assert_int_equal(outcome, GRPC_FRAME_MORE);
        assert_int_equal(in.len, 0);
        free(copy);
}

/* Messages come out whole wherever two cuts fall, and in pieces of every size. */
static void test_split_anywhere(void **state)
{
        uint8_t wire[200];
        size_t len = 0, first, second, piece;

        (void)state;
        len += put_frame(wire, 11, 'a');
        len += put_frame(wire + len, 0, 'b');
        len += put_frame(wire + len, 30, 'c');
        len += put_frame(wire + len, 1, 'd');
        len += put_frame(wire + len, 0, 'e');
        for (first = 0; first <= len; first++) {
                for (second = first; second <= len; second++) {
                        struct grpc_frame_reader reader;
                        struct seen seen = {0};
                        struct arena arena;

                        arena_init(&arena, NULL, CAP);
                        grpc_frame_reader_init(&reader, &arena, 30);
                        feed(&reader, bytes_of(wire, first), &seen);
                        feed(&reader, bytes_of(wire + first, second - first), &seen);
                        feed(&reader, bytes_of(wire + second, len - second), &seen);
                        assert_int_equal(seen.count, 5);
                        assert_int_equal(seen.lens[0], 11);
                        assert_int_equal(seen.lens[1], 0);
                        assert_int_equal(seen.lens[2], 30);
                        assert_int_equal(seen.lens[3], 1);
                        assert_int_equal(seen.lens[4], 0);
                        assert_true(grpc_frame_is_whole(&reader));
                        arena_fini(&arena);
                }
        }
        for (piece = 1; piece < len; piece++) {
                struct grpc_frame_reader reader;
                struct seen seen = {0};
                struct arena arena;

                arena_init(&arena, NULL, CAP);
                grpc_frame_reader_init(&reader, &arena, 30);
                for (first = 0; first < len; first += piece)
                        feed(&reader, bytes_of(wire + first, len - first < piece ? len - first : piece), &seen);
                assert_int_equal(seen.count, 5);
                arena_fini(&arena);
        }
}

/* A stream that ends within a frame is told apart from one that ends between two. */
static void test_is_whole(void **state)
{
        uint8_t wire[20];
        size_t len = put_frame(wire, 3, 'a'), cut;

        (void)state;
        for (cut = 0; cut <= len; cut++) {
                struct grpc_frame_reader reader;
                struct seen seen = {0};
                struct arena arena;

                arena_init(&arena, NULL, CAP);
                grpc_frame_reader_init(&reader, &arena, 100);
                feed(&reader, bytes_of(wire, cut), &seen);
                assert_int_equal(grpc_frame_is_whole(&reader), cut == 0 || cut == len);
                arena_fini(&arena);
        }
}

/* A message that lies whole in one payload is not copied. */
static void test_no_copy(void **state)
{
        struct grpc_frame_reader reader;
        struct bytes in, message;
        struct arena arena;
        uint8_t wire[20];

        (void)state;
        arena_init(&arena, NULL, 0);
        grpc_frame_reader_init(&reader, &arena, 100);
        in = bytes_of(wire, put_frame(wire, 7, 'a'));
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_MESSAGE);
        assert_ptr_equal(message.data, wire + GRPC_PREFIX_LEN);
        arena_fini(&arena);
}

/* A declared length costs nothing until its bytes come, and one above the limit is refused by the prefix alone. */
static void test_declared_length(void **state)
{
        uint8_t wire[GRPC_PREFIX_LEN + 10] = {0};
        struct grpc_frame_reader reader;
        struct bytes in, message;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, 100000);
        grpc_frame_reader_init(&reader, &arena, 1 << 22);
        grpc_prefix_write(wire, 1 << 22);
        in = bytes_of(wire, sizeof(wire));
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_MORE);
        assert_true(arena.held < 50000);

        grpc_frame_reader_init(&reader, &arena, 1 << 22);
        grpc_prefix_write(wire, (1 << 22) + 1);
        in = bytes_of(wire, sizeof(wire));
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_TOO_LARGE);
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_TOO_LARGE);
        assert_int_equal(in.len, 10);
        assert_false(grpc_frame_is_whole(&reader));

        grpc_frame_reader_init(&reader, &arena, 1 << 22);
        memset(wire, 0xFF, sizeof(wire));
        wire[0] = 0;
        in = bytes_of(wire, sizeof(wire));
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_TOO_LARGE);
        arena_fini(&arena);
}

/* Flags other than 0 fail at the first byte, each with its own outcome, and for good. */
static void test_flags(void **state)
{
        struct grpc_frame_reader reader;
        struct arena arena;
        unsigned flag;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (flag = 1; flag < 256; flag++) {
                uint8_t byte = (uint8_t)flag;
                struct bytes in = bytes_of(&byte, 1), message;
                enum grpc_frame_outcome expected = flag == 1 ? GRPC_FRAME_COMPRESSED : GRPC_FRAME_MALFORMED;

                grpc_frame_reader_init(&reader, &arena, 100);
                assert_int_equal(grpc_frame_feed(&reader, &in, &message), expected);
                in = BYTES("\0\0\0\0\0");
                assert_int_equal(grpc_frame_feed(&reader, &in, &message), expected);
        }
        arena_fini(&arena);
}

/* A heap that is out fails the message and nothing else. */
static void test_frame_no_memory(void **state)
{
        struct grpc_frame_reader reader;
        struct bytes in, message;
        struct arena arena;
        uint8_t wire[20];

        (void)state;
        put_frame(wire, 10, 'a');
        arena_init(&arena, NULL, 0);
        grpc_frame_reader_init(&reader, &arena, 100);
        in = bytes_of(wire, 8);
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_NO_MEMORY);
        assert_int_equal(grpc_frame_feed(&reader, &in, &message), GRPC_FRAME_NO_MEMORY);
        arena_fini(&arena);
}

static void check_damaged_frames(struct bytes damaged, void *context)
{
        struct grpc_frame_reader reader;
        struct bytes in = damaged, message;
        struct arena arena;

        (void)context;
        arena_init(&arena, NULL, CAP);
        grpc_frame_reader_init(&reader, &arena, 1000);
        while (grpc_frame_feed(&reader, &in, &message) == GRPC_FRAME_MESSAGE)
                assert_true(message.len <= damaged.len);
        arena_fini(&arena);
}

/* Damaged frames are read without going past their end. */
static void test_damaged_frames(void **state)
{
        uint8_t wire[40];
        size_t len = put_frame(wire, 9, 'a');

        (void)state;
        len += put_frame(wire + len, 5, 'b');
        damage_each(bytes_of(wire, len), NULL, check_damaged_frames);
}

/* Timeouts of every unit; too long a time is the longest one. */
static void test_timeout_parse(void **state)
{
        static const struct {
                const char *text;
                int64_t ns;
        } good[] = {
                {"1n", 1},
                {"0m", 0},
                {"00000001u", 1000},
                {"250m", 250000000},
                {"5S", 5000000000},
                {"2M", 120000000000},
                {"3H", 10800000000000},
                {"99999999n", 99999999},
                {"99999999M", INT64_C(5999999940000000000)},
                {"99999999H", INT64_MAX},
        };
        static const char *const bad[] = {"",   "S",  "1",  "100000000m", "-1S",  "+1S", " 1S", "1S ",   "1 S",
                                          "1s", "1h", "1N", "1U",         "1.5S", "1SS", "S1",  "1\xFF", "0x1S"};
        int64_t ns;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                assert_true(grpc_timeout_parse(bytes_of_text(good[i].text), &ns));
                assert_int_equal(ns, good[i].ns);
        }
        ns = 77;
        for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                if (grpc_timeout_parse(bytes_of_text(bad[i]), &ns)) fail_msg("%s", bad[i]);
                assert_int_equal(ns, 77);
        }
        assert_false(grpc_timeout_parse(bytes_of(NULL, 0), &ns));
}

/* What is written reads back as the same time, or at most one unit more where the digits do not suffice. */
static void test_timeout_format(void **state)
{
        static const struct {
                int64_t ns;
                const char *text;
        } times[] = {
                {-5, "0n"},
                {0, "0n"},
                {1, "1n"},
                {1500, "1500n"},
                {2000000, "2m"},
                {10000000000, "10S"},
                {60000000000, "1M"},
                {7200000000000, "2H"},
                {123456789, "123457u"},
                {99999999999, "100000m"},
        };
        int64_t ns, back;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
                char out[GRPC_TIMEOUT_SIZE];

                grpc_timeout_format(times[i].ns, out);
                assert_string_equal(out, times[i].text);
        }
        for (ns = 1; ns < INT64_MAX / 7; ns = ns * 7 + 3) {
                char out[GRPC_TIMEOUT_SIZE];

                grpc_timeout_format(ns, out);
                assert_true(grpc_timeout_parse(bytes_of_text(out), &back));
                assert_true(back >= ns && back - ns <= ns / 90000);
        }
}

/* Messages pass as printable ASCII and come back; text that needs no escape is not copied. */
static void test_message(void **state)
{
        struct bytes plain = BYTES("App with ID 'x' not found."), out;
        struct arena arena;
        uint8_t all[256];
        size_t i;

        (void)state;
        arena_init(&arena, NULL, CAP);
        assert_ptr_equal(grpc_message_encode(&arena, plain).data, plain.data);
        assert_non_null(grpc_message_encode(&arena, bytes_of(NULL, 0)).data);
        out = grpc_message_encode(&arena, BYTES("100% \xC3\xA9\n~\x7F"));
        assert_true(bytes_equal(out, BYTES("100%25 %C3%A9%0A~%7F")));
        for (i = 0; i < 256; i++)
                all[i] = (uint8_t)i;
        out = grpc_message_encode(&arena, bytes_of(all, 256));
        for (i = 0; i < out.len; i++)
                assert_in_range(out.data[i], ' ', '~');
        assert_true(bytes_equal(grpc_message_decode(&arena, out), bytes_of(all, 256)));
        assert_true(bytes_equal(grpc_message_decode(&arena, BYTES("%c3%A9%")), BYTES("\xC3\xA9%")));
        assert_true(bytes_equal(grpc_message_decode(&arena, BYTES("%zz%4%41%4")), BYTES("%zz%4A%4")));
        assert_int_equal(grpc_message_decode(&arena, BYTES("")).len, 0);
        arena_fini(&arena);
        arena_init(&arena, NULL, 0);
        assert_null(grpc_message_encode(&arena, BYTES("%")).data);
        assert_null(grpc_message_decode(&arena, BYTES("a")).data);
        assert_null(grpc_bin_encode(&arena, BYTES("a")).data);
        arena_fini(&arena);
}

static void check_damaged_message(struct bytes damaged, void *context)
{
        struct arena arena;

        (void)context;
        arena_init(&arena, NULL, CAP);
        assert_true(grpc_message_decode(&arena, damaged).len <= damaged.len);
        arena_fini(&arena);
}

/* Damaged messages decode to something, without going past their end. */
static void test_damaged_message(void **state)
{
        (void)state;
        damage_each(BYTES("ok %25 then %C3%A9"), NULL, check_damaged_message);
}

/* A binary header gives its values one by one, padded or not, and says when one is none. */
static void test_bin(void **state)
{
        struct bytes rest = BYTES("Zg==,Zm8 ,\tZm9v,,Zg"), value;
        struct arena arena;

        (void)state;
        arena_init(&arena, NULL, CAP);
        assert_true(bytes_equal(grpc_bin_encode(&arena, BYTES("fo")), BYTES("Zm8")));
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_true(bytes_equal(value, BYTES("f")));
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_true(bytes_equal(value, BYTES("fo")));
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_true(bytes_equal(value, BYTES("foo")));
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_int_equal(value.len, 0);
        assert_non_null(rest.data);
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_true(bytes_equal(value, BYTES("f")));
        assert_null(rest.data);
        rest = BYTES("Zg,Z!");
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_BAD_ARGUMENT);
        rest = BYTES("Zg,");
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_non_null(rest.data);
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_null(rest.data);
        rest = BYTES("");
        assert_int_equal(grpc_bin_next(&arena, &rest, &value), R_OK);
        assert_int_equal(value.len, 0);
        assert_null(rest.data);
        arena_fini(&arena);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_split_anywhere),  cmocka_unit_test(test_is_whole),
                cmocka_unit_test(test_no_copy),         cmocka_unit_test(test_declared_length),
                cmocka_unit_test(test_flags),           cmocka_unit_test(test_frame_no_memory),
                cmocka_unit_test(test_damaged_frames),  cmocka_unit_test(test_timeout_parse),
                cmocka_unit_test(test_timeout_format),  cmocka_unit_test(test_message),
                cmocka_unit_test(test_damaged_message), cmocka_unit_test(test_bin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
