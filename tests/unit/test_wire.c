#include "rpc/wire.h"

#include <stdlib.h>

#include "allod/v1/app.pb-c.h"
#include "engine/message.h"
#include "tests/lib/damage.h"
#include "tests/lib/every.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)8 << 20)

/* protobuf-c has no const strings; nothing here writes to one. */
#define TEXT(literal) ((char *)(literal))

static int set_up(void **state)
{
        static struct arena arena;

        arena_init(&arena, NULL, CAP);
        *state = &arena;
        return 0;
}

static int tear_down(void **state)
{
        arena_fini(*state);
        return 0;
}

/* A CreateAppRequest as a client would send it, and its bytes. */
static struct bytes pack_request(struct arena *arena)
{
        static Allod__V1__Lora loras[2] = {ALLOD__V1__LORA__INIT, ALLOD__V1__LORA__INIT};
        static Allod__V1__Lora *lora_list[2] = {&loras[0], &loras[1]};
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Allod__V1__CreateAppRequest request = ALLOD__V1__CREATE_APP_REQUEST__INIT;
        Allod__V1__Workflow workflow = ALLOD__V1__WORKFLOW__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;
        struct message message;

        loras[0].id = TEXT("one");
        loras[0].weight = 0.5;
        loras[1].id = TEXT("two");
        loras[1].name = TEXT("caf\xC3\xA9");
        workflow.model_url = TEXT("https://example.com/model");
        workflow.n_loras = 2;
        workflow.loras = lora_list;
        workflow.tools = TEXT("{\"a\":1}");
        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        configuration.active_workers = 3;
        app.name = TEXT("Team App");
        app.workflow = &workflow;
        app.configuration = &configuration;
        request.app = &app;
        message_init(&message, arena, 0);
        message_pack(&message, &request.base);
        assert_int_equal(message_finish(&message), R_OK);
        return message_so_far(&message);
}

#define REQUEST (&allod__v1__create_app_request__descriptor)

/* A good request passes as it is, uncopied, and unpacks to what was sent. */
static void test_good(void **state)
{
        struct bytes request = pack_request(*state), out;
        Allod__V1__CreateAppRequest *back;
        ProtobufCMessage *message;
        struct fault fault;

        assert_int_equal(wire_check(*state, REQUEST, request, &out, &fault), WIRE_OK);
        assert_ptr_equal(out.data, request.data);
        assert_int_equal(out.len, request.len);
        assert_int_equal(wire_unpack(*state, REQUEST, request, &message, &fault), WIRE_OK);
        back = (Allod__V1__CreateAppRequest *)message;
        assert_string_equal(back->app->name, "Team App");
        assert_int_equal(back->app->configuration->gpu_tier, ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD);
        assert_int_equal(back->app->workflow->n_loras, 2);
        assert_string_equal(back->app->workflow->loras[1]->name, "caf\xC3\xA9");
        assert_true(back->app->workflow->loras[0]->weight == 0.5);

        assert_int_equal(wire_unpack(*state, REQUEST, bytes_of(NULL, 0), &message, &fault), WIRE_OK);
        assert_null(((Allod__V1__CreateAppRequest *)message)->app);
}

/* Bytes that are no message of the type are malformed: no field is blamed. */
static void test_malformed(void **state)
{
        static const struct bytes texts[] = {
                BYTES("\x80"),                                             /* tag cut short */
                BYTES("\x00\x01"),                                         /* field number 0 */
                BYTES("\x80\x80\x80\x80\x80\x01\x01"),                     /* tag of six bytes */
                BYTES("\x88\x80\x80\x80\x10\x01"),                         /* tag beyond 32 bits */
                BYTES("\x08"),                                             /* value missing */
                BYTES("\x08\x80"),                                         /* value cut short */
                BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),     /* beyond 64 bits */
                BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), /* eleven bytes */
                BYTES("\x7A\x05"
                      "abcd"), /* string cut short */
                BYTES("\x7A\xFF\xFF\xFF\xFF\x0F"
                      "abcd"), /* length of 4 GiB */
                BYTES("\x7A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
                      "abcd"),                             /* length of 2^64 - 1 */
                BYTES("\x7A"),                             /* length missing */
                BYTES("\x7B\x7C"),                         /* a group */
                BYTES("\xBB\x06\xBC\x06"),                 /* an unknown group */
                BYTES("\x7E"),                             /* wire type 6 */
                BYTES("\x7F"),                             /* wire type 7 */
                BYTES("\x78\x01"),                         /* a string as varint */
                BYTES("\x0D\x01\x02\x03\x04"),             /* an int32 as four bytes */
                BYTES("\x0A\x01\x01"),                     /* a singular int32, packed */
                BYTES("\x60\x01"),                         /* a double as varint */
                BYTES("\x61\x01\x02\x03\x04\x05\x06\x07"), /* a double cut short */
                BYTES("\x5D\x01\x02\x03"),                 /* a float cut short */
                BYTES("\x8A\x01\x02\x08\x80"),             /* inside a sub-message */
                BYTES("\xAA\x01\x02\x01\x80"),             /* packed int32, cut short */
                BYTES("\xE2\x01\x03\x01\x02\x03"),         /* packed fixed32 of three bytes */
                BYTES("\x92\x01\x02\x01"),                 /* an unknown field, cut short */
        };
        size_t i;

        for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct bytes out = BYTES("untouched");
                struct fault fault = {0};

                if (wire_check(*state, &every_descriptor, texts[i], &out, &fault) != WIRE_MALFORMED)
                        fail_msg("case %zu", i);
                assert_string_not_equal(fault.text, "");
                assert_int_equal(fault.field_count, 0);
                assert_true(bytes_equal(out, BYTES("untouched")));
        }
}

struct bad_value {
        struct bytes message;
        const char *path;
        const char *text;
};

static void assert_bad_value(struct arena *arena, struct bytes message, const char *path, const char *text)
{
        struct bytes out = BYTES("untouched");
        struct fault fault = {0};

        assert_int_equal(wire_check(arena, &every_descriptor, message, &out, &fault), WIRE_BAD_ARGUMENT);
        assert_int_equal(fault.field_count, 1);
        assert_string_equal(fault.fields[0].path, path);
        assert_string_equal(fault.fields[0].text, text);
        assert_true(bytes_equal(out, BYTES("untouched")));
}

/* A value that is refused is named, and so is why. */
static void test_bad_values(void **state)
{
        static const struct bad_value bad[] = {
                {BYTES("\x7A\x02\xC3\x28"), "string_value", "must be UTF-8 without NUL"},
                {BYTES("\x7A\x03"
                       "a\0b"),
                 "string_value", "must be UTF-8 without NUL"},
                {BYTES("\x7A\x0A"
                       "0123456\0"
                       "89"),
                 "string_value", "must be UTF-8 without NUL"},
                {BYTES("\x7A\x01"
                       "a\x7A\x01\xFF"),
                 "string_value", "must be UTF-8 without NUL"},
                {BYTES("\x70\x02"), "enum_value", "must be a known Color, which 2 is not"},
                {BYTES("\x70\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "enum_value",
                 "must be a known Color, which -1 is not"},
                {BYTES("\x8A\x01\x00\x08\x01\x8A\x01\x00"), "message_value", "must be sent once"},
                {BYTES("\x9A\x02\x01"
                       "a\x9A\x02\x01\xFF"),
                 "string_value_list[1]", "must be UTF-8 without NUL"},
                {BYTES("\x90\x02\x01\x90\x02\x05"), "enum_value_list[1]", "must be a known Color, which 5 is not"},
                {BYTES("\x92\x02\x02\x01\x05"), "enum_value_list[0]", "must be a known Color, which 5 is not"},
        };
        size_t i;

        for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_bad_value(*state, bad[i].message, bad[i].path, bad[i].text);
}

/* The path leads from the request's root through sub-messages and lists. */
static void test_path(void **state)
{
        struct message message;
        size_t outer, inner;

        message_init(&message, *state, 0);
        outer = message_begin(&message, EVERY_MESSAGE);
        message_bytes_always(&message, EVERY_MESSAGE + EVERY_REPEATED, BYTES(""));
        message_uint(&message, EVERY_INT32, 5);
        message_bytes_always(&message, EVERY_MESSAGE + EVERY_REPEATED, BYTES(""));
        inner = message_begin(&message, EVERY_MESSAGE + EVERY_REPEATED);
        message_uint(&message, EVERY_ENUM, 9);
        message_end(&message, inner);
        message_end(&message, outer);
        assert_int_equal(message_finish(&message), R_OK);
        assert_bad_value(*state, message_so_far(&message), "message_value.message_value_list[2].enum_value",
                         "must be a known Color, which 9 is not");
}

/* A message around `content`, `depth` deep with it. */
static struct bytes nest(struct arena *arena, unsigned depth, struct bytes content)
{
        while (--depth > 0) {
                struct message message;

                message_init(&message, arena, content.len + 8);
                message_bytes_always(&message, EVERY_MESSAGE, content);
                assert_int_equal(message_finish(&message), R_OK);
                content = message_so_far(&message);
        }
        return content;
}

/* Sixteen levels pass, the seventeenth does not; the path of what is wrong deep down is cut, not overrun. */
static void test_depth(void **state)
{
        struct fault fault = {0};
        struct bytes out;

        assert_int_equal(wire_check(*state, &every_descriptor, nest(*state, 16, BYTES("\x08\x01")), &out, &fault),
                         WIRE_OK);
        assert_int_equal(wire_check(*state, &every_descriptor, nest(*state, 17, BYTES("\x08\x01")), &out, &fault),
                         WIRE_TOO_LARGE);
        assert_string_equal(fault.text, "The request nests messages more than 16 deep.");
        fault_clear(&fault);
        assert_int_equal(wire_check(*state, &every_descriptor, nest(*state, 16, BYTES("\x70\x02")), &out, &fault),
                         WIRE_BAD_ARGUMENT);
        assert_int_equal(strlen(fault.fields[0].path), FAULT_PATH_SIZE - 1);
        assert_memory_equal(fault.fields[0].path, "message_value.message_value.message_value.", 42);
}

/* The cap counts fields, elements of lists, elements of packed lists, and empty sub-messages alike. */
static void test_element_count(void **state)
{
        static const struct bytes units[] = {
                BYTES("\x08\x01"),         /* an int32, again and again */
                BYTES("\xA8\x01\x01"),     /* a list of int32 */
                BYTES("\xAA\x02\x00"),     /* a list of empty messages */
                BYTES("\xAA\x01\x01\x07"), /* packed lists of one */
        };
        struct fault fault;
        uint8_t text[4 * (WIRE_ELEMENT_COUNT_MAX + 1)];
        struct message message;
        struct bytes out;
        size_t i, j;

        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                for (j = 0; j <= WIRE_ELEMENT_COUNT_MAX; j++)
                        memcpy(text + j * units[i].len, units[i].data, units[i].len);
                assert_int_equal(wire_check(*state, &every_descriptor,
                                            bytes_of(text, WIRE_ELEMENT_COUNT_MAX * units[i].len), &out, &fault),
                                 WIRE_OK);
                fault_clear(&fault);
                assert_int_equal(wire_check(*state, &every_descriptor,
                                            bytes_of(text, (WIRE_ELEMENT_COUNT_MAX + 1) * units[i].len), &out, &fault),
                                 WIRE_TOO_LARGE);
                assert_string_equal(fault.text, "The request has more than 8192 fields and elements.");
        }
        memset(text, 0, sizeof(text));
        for (i = 0; i < 2; i++) {
                message_init(&message, *state, 0);
                message_bytes(&message, EVERY_FIXED32 + EVERY_REPEATED,
                              bytes_of(text, 4 * (WIRE_ELEMENT_COUNT_MAX + i)));
                assert_int_equal(message_finish(&message), R_OK);
                assert_int_equal(wire_check(*state, &every_descriptor, message_so_far(&message), &out, &fault),
                                 i == 0 ? WIRE_OK : WIRE_TOO_LARGE);
        }
}

/* Append the same content at each of three depths, with unknown fields in between or without. */
static struct bytes pack_nested(struct arena *arena, bool has_unknown)
{
        static const uint8_t zeros[200];
        struct message message;
        size_t marks[2];
        int i;

        message_init(&message, arena, 0);
        for (i = 0; i < 3; i++) {
                if (has_unknown) message_uint(&message, 18, 1);
                message_uint(&message, EVERY_INT32, 150);
                if (has_unknown) message_bytes(&message, 5000, bytes_of(zeros, sizeof(zeros)));
                message_bytes(&message, EVERY_STRING, BYTES("kept"));
                if (has_unknown) message_double(&message, 19, 0.5);
                if (i < 2) marks[i] = message_begin(&message, EVERY_MESSAGE + (i == 1 ? EVERY_REPEATED : 0));
        }
        message_end(&message, marks[1]);
        message_uint(&message, EVERY_UINT64, UINT64_MAX);
        message_end(&message, marks[0]);
        message_bytes(&message, EVERY_BYTES, BYTES("\x08\x01"));
        if (has_unknown)
                message_append(&message, BYTES("\xFD\xFF\xFF\xFF\x0F"
                                               "1234"));
        assert_int_equal(message_finish(&message), R_OK);
        return message_so_far(&message);
}

/* Unknown fields go at every depth, and nothing else; lengths above them shrink with them. */
static void test_unknown_fields(void **state)
{
        struct bytes with = pack_nested(*state, true);
        struct bytes without = pack_nested(*state, false);
        struct fault fault;
        struct bytes out;
        struct arena none;

        assert_true(with.len > without.len + 600);
        assert_int_equal(wire_check(*state, &every_descriptor, with, &out, &fault), WIRE_OK);
        assert_true(bytes_equal(out, without));
        assert_int_equal(wire_check(*state, &every_descriptor, BYTES("\x92\x01\x02zz"), &out, &fault), WIRE_OK);
        assert_int_equal(out.len, 0);

        arena_init(&none, NULL, 0);
        assert_int_equal(wire_check(&none, &every_descriptor, with, &out, &fault), WIRE_NO_MEMORY);
        assert_int_equal(wire_check(&none, &every_descriptor, without, &out, &fault), WIRE_OK);
        arena_fini(&none);
}

/* Lists of every kind, packed and not, unpack to what was sent. */
static void test_lists(void **state)
{
        struct fault fault = {0};
        ProtobufCMessage *message;
        struct every *back;

        assert_int_equal(wire_unpack(*state, &every_descriptor,
                                     BYTES("\xAA\x01\x03\x01\xAC\x02\xA8\x01\x07\xE2\x01\x04\x01\x00\x00\x00"
                                           "\x92\x02\x02\x00\x01\x9A\x02\x01x\xAA\x02\x02\x08\x05"),
                                     &message, &fault),
                         WIRE_OK);
        back = (struct every *)message;
        assert_int_equal(back->count[EVERY_INT32 - 1], 3);
        assert_int_equal(back->int32_value_list[0], 1);
        assert_int_equal(back->int32_value_list[1], 300);
        assert_int_equal(back->int32_value_list[2], 7);
        assert_int_equal(back->count[EVERY_FIXED32 - 1], 1);
        assert_int_equal(back->count[EVERY_ENUM - 1], 2);
        assert_string_equal(back->string_value_list[0], "x");
        assert_int_equal(back->message_value_list[0]->int32_value, 5);
}

/* A heap that is out at any point of walking and unpacking is WIRE_NO_MEMORY. */
static void test_no_memory(void **state)
{
        struct bytes request = pack_nested(*state, true);
        enum wire_outcome outcome;
        unsigned long n;

        for (n = 1;; n++) {
                ProtobufCMessage *message = NULL;
                struct fault fault;
                struct arena arena;

                arena_init(&arena, NULL, CAP);
                heap_fail_at(n);
                outcome = wire_unpack(&arena, &every_descriptor, request, &message, &fault);
                heap_fail_at(0);
                arena_fini(&arena);
                if (outcome == WIRE_OK) break;
                assert_int_equal(outcome, WIRE_NO_MEMORY);
                assert_null(message);
        }
        assert_true(n > 1);
}

struct damage {
        const ProtobufCMessageDescriptor *descriptor;
        size_t counts[WIRE_NO_MEMORY + 1];
};

static void check_damaged(struct bytes damaged, void *context)
{
        struct damage *damage = context;
        struct fault fault = {0};
        ProtobufCMessage *message;
        enum wire_outcome outcome;
        struct bytes out, again;
        struct arena arena;

        arena_init(&arena, NULL, CAP);
        outcome = wire_check(&arena, damage->descriptor, damaged, &out, &fault);
        damage->counts[outcome]++;
        if (outcome == WIRE_OK) {
                assert_int_equal(wire_unpack(&arena, damage->descriptor, damaged, &message, &fault), WIRE_OK);
                assert_null(message->unknown_fields);
                assert_int_equal(wire_check(&arena, damage->descriptor, out, &again, &fault), WIRE_OK);
                assert_ptr_equal(again.data, out.data);
        } else {
                assert_true(fault.text[0] != '\0' || fault.field_count == 1);
        }
        arena_fini(&arena);
}

/* What the walk lets pass always unpacks, without unknown fields; nothing reads past the end. */
static void test_damaged(void **state)
{
        struct damage damage = {.descriptor = &every_descriptor};

        damage_each(pack_nested(*state, false), &damage, check_damaged);
        damage_each(BYTES("\xAA\x01\x03\x01\xAC\x02\xA8\x01\x07\xE2\x01\x04\x01\x00\x00\x00\x92\x02\x02\x00\x01\x9A"
                          "\x02\x01x\xAA\x02\x02\x08\x05\x61\x01\x02\x03\x04\x05\x06\x07\x08\x68\x01\x70\x01"),
                    &damage, check_damaged);
        damage.descriptor = REQUEST;
        damage_each(pack_request(*state), &damage, check_damaged);
        assert_true(damage.counts[WIRE_OK] > 0);
        assert_true(damage.counts[WIRE_MALFORMED] > 0);
        assert_true(damage.counts[WIRE_BAD_ARGUMENT] > 0);
        assert_int_equal(damage.counts[WIRE_NO_MEMORY], 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_malformed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_values, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_path, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_depth, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_element_count, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_unknown_fields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lists, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
