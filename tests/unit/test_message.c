#include "engine/message.h"

#include <google/protobuf/timestamp.pb-c.h>
#include <stdlib.h>

#include "store/v1/store.pb.h"
#include "tests/lib/every.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

static struct arena arena;

static int set_up(void **state)
{
        (void)state;
        arena_init(&arena, NULL, CAP);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        arena_fini(&arena);
        return 0;
}

static void assert_is(const struct message *message, const void *data, size_t len)
{
        assert_int_equal(message_finish(message), R_OK);
        assert_int_equal(message_so_far(message).len, len);
        assert_memory_equal(message_so_far(message).data, data, len);
}

/* What protobuf-c packs. */
static void assert_is_packed(const struct message *message, const ProtobufCMessage *expected)
{
        static uint8_t packed[CAP];

        assert_true(protobuf_c_message_get_packed_size(expected) <= sizeof packed);
        assert_is(message, packed, protobuf_c_message_pack(expected, packed));
}

/* Each sort of field comes out as protobuf-c packs it, the default ones as nothing. */
static void test_scalars(void **state)
{
        static const int64_t numbers[] = {0, 1, 127, 128, 16383, 16384, INT32_MAX, INT64_MAX, -1, INT64_MIN};
        static char text[] = "text";
        static const double doubles[] = {0, 1, -0.5, 1e300, 5e-324};
        size_t i;
        size_t j;

        (void)state;
        for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
                for (j = 0; j < sizeof doubles / sizeof doubles[0]; j++) {
                        struct every every;
                        struct message message;

                        every_init(&every);
                        every.int64_value = numbers[i];
                        every.uint64_value = (uint64_t)numbers[i];
                        every.double_value = doubles[j];
                        every.bool_value = i % 2 == 0;
                        every.string_value = i % 3 == 0 ? text + 4 : text;
                        every.bytes_value = (ProtobufCBinaryData){j, (uint8_t *)"\0\1\2\3\4"};
                        message_init(&message, &arena, 0);
                        message_int(&message, EVERY_INT64, every.int64_value);
                        message_uint(&message, EVERY_UINT64, every.uint64_value);
                        message_double(&message, EVERY_DOUBLE, every.double_value);
                        message_bool(&message, EVERY_BOOL, every.bool_value);
                        message_bytes(&message, EVERY_STRING, bytes_of_text(every.string_value));
                        message_bytes(&message, EVERY_BYTES, bytes_of(every.bytes_value.data, every.bytes_value.len));
                        assert_is_packed(&message, &every.base);
                }
        }
}

/* Minus zero is not the default, and is written (as the official libraries do). */
static void test_minus_zero(void **state)
{
        struct message message;

        (void)state;
        message_init(&message, &arena, 0);
        message_double(&message, 1, -0.0);
        assert_is(&message, "\x09\0\0\0\0\0\0\0\x80", 9);
}

/* Field numbers of each tag length, up to protobuf's greatest. */
static void test_field_numbers(void **state)
{
        struct message message;

        (void)state;
        message_init(&message, &arena, 0);
        message_uint(&message, 1, 1);
        message_uint(&message, 15, 1);
        message_uint(&message, 16, 1);
        message_uint(&message, 2047, 1);
        message_uint(&message, 2048, 1);
        message_uint(&message, (1u << 29) - 1, 1);
        assert_is(&message,
                  "\x08\1"
                  "\x78\1"
                  "\x80\x01\1"
                  "\xf8\x7f\1"
                  "\x80\x80\x01\1"
                  "\xf8\xff\xff\xff\x0f\1",
                  20);
}

/* Empty bytes are left out, but for those that are always written. */
static void test_always(void **state)
{
        struct message message;

        (void)state;
        message_init(&message, &arena, 0);
        message_bytes(&message, 1, BYTES(""));
        message_bytes_always(&message, 2, bytes_of(NULL, 0));
        assert_is(&message, "\x12\0", 2);
}

/* An id is its 36 characters. */
static void test_uuid(void **state)
{
        struct uuid id = {
                {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0}};
        struct message message;

        (void)state;
        message_init(&message, &arena, 0);
        message_uuid(&message, 1, id);
        assert_is(&message,
                  "\x0a\x24"
                  "123e4567-e89b-12d3-a456-426614174000",
                  38);
}

/* Times are Timestamps with nanos counting upwards, before 1970 too; the time 0 is an empty one, and is there. */
static void test_timestamps(void **state)
{
        static const struct {
                int64_t time_ms;
                int64_t seconds;
                int32_t nanos;
        } cases[] = {
                {0, 0, 0},           {1, 0, 1000000}, {999, 0, 999000000},    {1000, 1, 0},
                {-1, -1, 999000000}, {-1000, -1, 0},  {-1500, -2, 500000000}, {1735787045678, 1735787045, 678000000},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                Google__Protobuf__Timestamp timestamp = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
                struct message message;
                size_t mark;

                timestamp.seconds = cases[i].seconds;
                timestamp.nanos = cases[i].nanos;
                message_init(&message, &arena, 0);
                message_timestamp(&message, 4, cases[i].time_ms);
                assert_int_equal(message_finish(&message), R_OK);
                assert_int_equal(message.data[0], 4 << 3 | 2);
                assert_int_equal(message.data[1], protobuf_c_message_get_packed_size(&timestamp.base));
                mark = 2;
                message.data += mark;
                message.len -= mark;
                assert_is_packed(&message, &timestamp.base);
        }
}

/* The content of a sub-message moves up when its length takes more than one byte: at 128, 16384 and so on; nested ones
 * move with it, whatever is around them stays. */
static void test_nested_lengths(void **state)
{
        static const size_t lens[] = {0,     1,     120,   124,   125,   126,   127,   128,   129,
                                      16378, 16379, 16380, 16381, 16382, 16383, 16384, 16385, 70000};
        static char text[70001];
        size_t i;

        (void)state;
        memset(text, 'x', sizeof text - 1);
        for (i = 0; i < sizeof lens / sizeof lens[0]; i++) {
                struct every outer;
                struct every middle;
                struct every inner;
                struct message message;
                size_t marks[2];

                every_init(&outer);
                every_init(&middle);
                every_init(&inner);
                inner.string_value = text + sizeof text - 1 - lens[i];
                middle.message_value = &inner;
                middle.int64_value = 5;
                outer.message_value = &middle;
                outer.int64_value = -1;
                message_init(&message, &arena, 0);
                message_int(&message, EVERY_INT64, -1);
                marks[0] = message_begin(&message, EVERY_MESSAGE);
                message_int(&message, EVERY_INT64, 5);
                marks[1] = message_begin(&message, EVERY_MESSAGE);
                message_bytes(&message, EVERY_STRING, bytes_of_text(inner.string_value));
                message_end(&message, marks[1]);
                message_end(&message, marks[0]);
                assert_is_packed(&message, &outer.base);
        }
}

/* Encoded fields and packed messages are appended as they are. */
static void test_append_and_pack(void **state)
{
        static char text[] = "first";
        struct every every;
        struct message message;

        (void)state;
        every_init(&every);
        every.string_value = text;
        message_init(&message, &arena, 0);
        message_append(&message, BYTES("\x20\x07"));
        message_append(&message, bytes_of(NULL, 0));
        message_pack(&message, &every.base);
        every.int64_value = 7;
        assert_is_packed(&message, &every.base);
}

/* The bytes before the data are the message's own, wherever it has moved: a frame's prefix fits in. */
static void test_headroom(void **state)
{
        struct message messages[2];
        size_t round;
        size_t i;

        (void)state;
        for (i = 0; i < 2; i++)
                message_init(&messages[i], &arena, 10);
        for (round = 0; round < 200; round++) {
                for (i = 0; i < 2; i++) {
                        message_uint(&messages[i], 1, 1);
                        memset(messages[i].data - MESSAGE_HEADROOM, 0xee, MESSAGE_HEADROOM);
                }
        }
        for (i = 0; i < 2; i++) {
                struct bytes bytes = message_so_far(&messages[i]);

                assert_int_equal(bytes.len, 400);
                for (round = 0; round < 200; round++)
                        assert_memory_equal(bytes.data + 2 * round, "\x08\1", 2);
        }
}

/* A guess that holds needs one allocation and no move. */
static void test_expected(void **state)
{
        struct message message;
        uint8_t *data;
        size_t held;
        size_t i;

        (void)state;
        message_init(&message, &arena, 40000);
        data = message.data;
        held = arena.held;
        for (i = 0; i < 1000; i++)
                message_bytes(&message, 1, BYTES("0123456789"));
        assert_ptr_equal(message.data, data);
        assert_int_equal(arena.held, held);
        assert_int_equal(message_finish(&message), R_OK);
}

/* At the arena's cap the message fails for good: nothing is written any more, whatever is asked. */
static void test_cap(void **state)
{
        static uint8_t chunk[5000];
        struct message message;
        struct every every;
        size_t count = 0;
        size_t mark;
        size_t len;

        (void)state;
        every_init(&every);
        message_init(&message, &arena, 100);
        while (message_finish(&message) == R_OK) {
                message_bytes(&message, 1, bytes_of(chunk, sizeof chunk));
                count++;
        }
        assert_in_range(count, 2, CAP / sizeof chunk);
        assert_int_equal(message_finish(&message), R_NO_MEMORY);
        len = message.len;
        message_append(&message, BYTES("x"));
        message_uint(&message, 1, 1);
        message_double(&message, 1, 1);
        message_bytes_always(&message, 1, BYTES(""));
        message_timestamp(&message, 1, 1);
        mark = message_begin(&message, 1);
        message_end(&message, mark);
        every.int64_value = 1;
        message_pack(&message, &every.base);
        assert_int_equal(message.len, len);
        assert_int_equal(message_finish(&message), R_NO_MEMORY);

        message_init(&message, &arena, 2 * CAP);
        message_uint(&message, 1, 1);
        assert_int_equal(message_finish(&message), R_NO_MEMORY);
        message_init(&message, &arena, SIZE_MAX);
        assert_int_equal(message_finish(&message), R_NO_MEMORY);
}

/* Lengths that no message can have are refused before they are added up. */
static void test_absurd_lengths(void **state)
{
        struct message message;

        (void)state;
        message_init(&message, &arena, 0);
        message_bytes_always(&message, 1, bytes_of("", SIZE_MAX));
        assert_int_equal(message_finish(&message), R_NO_MEMORY);
        message_init(&message, &arena, 0);
        message_append(&message, bytes_of("", SIZE_MAX - 3));
        assert_int_equal(message_finish(&message), R_NO_MEMORY);
}

/* Unpacking copies into the arena, and tells bad bytes from no memory. */
static void test_unpack(void **state)
{
        static char text[] = "some text";
        struct every every;
        ProtobufCMessage *unpacked = NULL;
        struct message message;
        struct arena small;

        (void)state;
        every_init(&every);
        every.string_value = text;
        every.int64_value = -5;
        message_init(&message, &arena, 0);
        message_pack(&message, &every.base);
        assert_int_equal(message_unpack(&arena, &every_descriptor, message_so_far(&message), &unpacked), R_OK);
        memset(message.data, 0xff, message.len);
        assert_string_equal(((struct every *)unpacked)->string_value, "some text");
        assert_int_equal(((struct every *)unpacked)->int64_value, -5);

        unpacked = NULL;
        assert_int_equal(message_unpack(&arena, &every_descriptor, BYTES("\x20"), &unpacked), R_CORRUPT);
        assert_int_equal(message_unpack(&arena, &every_descriptor,
                                        BYTES("\x7a\x05"
                                              "abc"),
                                        &unpacked),
                         R_CORRUPT);
        arena_init(&small, NULL, 0);
        assert_int_equal(message_unpack(&small, &every_descriptor, BYTES("\x20\x07"), &unpacked), R_NO_MEMORY);
        arena_fini(&small);
        assert_null(unpacked);
}

/* Without memory unpacking fails cleanly, whichever allocation it is; what was unpacked before stays whole. */
static void test_unpack_without_memory(void **state)
{
        static char text[40000];
        ProtobufCMessage *unpacked = NULL;
        struct every every;
        struct message message;
        unsigned long n;
        enum result r;

        (void)state;
        memset(text, 'y', sizeof text - 1);
        every_init(&every);
        every.string_value = text;
        message_init(&message, &arena, 0);
        message_pack(&message, &every.base);
        for (n = 1;; n++) {
                struct arena own;

                arena_init(&own, NULL, CAP);
                heap_fail_at(n);
                r = message_unpack(&own, &every_descriptor, message_so_far(&message), &unpacked);
                heap_fail_at(0);
                if (r == R_OK) assert_string_equal(((struct every *)unpacked)->string_value, text);
                arena_fini(&own);
                if (r == R_OK) break;
                assert_int_equal(r, R_NO_MEMORY);
        }
        assert_true(n > 1);
}

/* A bounded struct comes back as it was stored; bad bytes, and what does not fit its bounds, are corrupt. */
static void test_store_and_load(void **state)
{
        store_v1_Member member = {.role = 3, .joined_at_ms = 1735787045678};
        store_v1_Profile profile = store_v1_Profile_init_zero;
        store_v1_Member loaded = {.role = 9, .joined_at_ms = 9};
        struct message message;
        struct bytes stored;
        struct arena small;

        (void)state;
        assert_int_equal(message_store(&arena, store_v1_Member_fields, &member, &stored), R_OK);
        assert_int_equal(message_load(store_v1_Member_fields, stored, &loaded), R_OK);
        assert_int_equal(loaded.role, 3);
        assert_int_equal(loaded.joined_at_ms, 1735787045678);

        assert_int_equal(message_load(store_v1_Member_fields, BYTES(""), &loaded), R_OK);
        assert_int_equal(loaded.role, 0);
        assert_int_equal(loaded.joined_at_ms, 0);

        assert_int_equal(message_load(store_v1_Member_fields, bytes_of(stored.data, stored.len - 1), &loaded),
                         R_CORRUPT);
        message_init(&message, &arena, 0);
        message_bytes(&message, 1, bytes_of(arena_zalloc(&arena, 900), 900));
        assert_int_equal(message_load(store_v1_Profile_fields, message_so_far(&message), &profile), R_CORRUPT);

        arena_init(&small, NULL, 0);
        assert_int_equal(message_store(&small, store_v1_Member_fields, &member, &stored), R_NO_MEMORY);
        arena_fini(&small);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_scalars),
                TEST(test_minus_zero),
                TEST(test_field_numbers),
                TEST(test_always),
                TEST(test_uuid),
                TEST(test_timestamps),
                TEST(test_nested_lengths),
                TEST(test_headroom),
                TEST(test_append_and_pack),
                TEST(test_expected),
                TEST(test_cap),
                TEST(test_absurd_lengths),
                TEST(test_unpack),
                TEST(test_unpack_without_memory),
                TEST(test_store_and_load),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
