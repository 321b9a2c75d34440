/*
 * The first byte chooses a method, the rest is its request: what passes the wire walk unpacks, and packed again it is
 * the same message. Then the method's check, which must know every message that passes.
 */
#include "rpc/wire.h"

#include "engine/message.h"
#include "engine/require.h"
#include "rpc/method.h"
#include "rpc/protojson.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"

#define ARENA_MAX ((size_t)48 << 20) /* a call's */

static const struct method *method_at(size_t index)
{
        size_t count = 0;
        size_t i;

        for (i = 0; i < service_count; i++)
                count += services[i]->method_count;
        REQUIRE(count > 0);
        index %= count;
        for (i = 0; index >= services[i]->method_count; i++)
                index -= services[i]->method_count;
        return &services[i]->methods[index];
}

static void require_texts(const struct fault *fault)
{
        size_t i;

        REQUIRE(judge_text(bytes_of_text(fault->text)));
        for (i = 0; i < fault->field_count; i++)
                REQUIRE(judge_text(bytes_of_text(fault->fields[i].path)) &&
                        judge_text(bytes_of_text(fault->fields[i].text)));
}

static void check_request(struct arena *arena, const struct method *method, const ProtobufCMessage *request,
                          struct fault *fault)
{
        unsigned options[] = {PROTOJSON_PLAIN, PROTOJSON_DEFAULTS | PROTOJSON_JSON_NAMES};
        struct json_write json;
        struct bytes text;
        size_t i;

        for (i = 0; i < 2; i++) {
                json_write_init(&json, arena, 0);
                protojson_write(&json, request, options[i]);
                REQUIRE(json_write_finish(&json, &text) == R_OK && judge_json(text, false));
        }
        if (method->check == NULL) return;
        fault_clear(fault);
        if (method->check(request, fault) != R_OK) REQUIRE(fault->field_count > 0 || fault->text[0] != '\0');
        require_texts(fault);
}

static void check_known(struct arena *arena, const struct method *method, struct bytes known, struct fault *fault)
{
        ProtobufCMessage *request, *again;
        struct message packed, repacked;
        struct bytes rest;

        REQUIRE(wire_check(arena, method->request, known, &rest, fault) == WIRE_OK && rest.data == known.data);
        REQUIRE(wire_unpack(arena, method->request, known, &request, fault) == WIRE_OK);
        message_init(&packed, arena, 0);
        message_pack(&packed, request);
        REQUIRE(wire_unpack(arena, method->request, message_so_far(&packed), &again, fault) == WIRE_OK);
        message_init(&repacked, arena, 0);
        message_pack(&repacked, again);
        REQUIRE(bytes_equal(message_so_far(&packed), message_so_far(&repacked)));
        check_request(arena, method, request, fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);
        const struct method *method = method_at(fuzz_byte(&input));
        struct bytes known;
        struct fault fault;
        struct arena arena;

        arena_init(&arena, NULL, ARENA_MAX);
        fault_clear(&fault);
        switch (wire_check(&arena, method->request, input, &known, &fault)) {
        case WIRE_OK:
                REQUIRE(known.len <= input.len && fault.field_count == 0);
                check_known(&arena, method, known, &fault);
                break;
        case WIRE_BAD_ARGUMENT:
                REQUIRE(fault.field_count == 1);
                break;
        default:
                REQUIRE(fault.text[0] != '\0');
                break;
        }
        require_texts(&fault);
        arena_fini(&arena);
        return 0;
}
