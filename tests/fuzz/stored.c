/*
 * Bodies of stored records, as they would be were a checksum right and the bytes not ours. The first byte chooses the
 * kind; of an app, two more say how long it is, and a request to update it follows. What body_check finds nothing wrong
 * with is sent out as JSON.
 */
#include "allod/v1/job.pb-c.h"
#include "engine/app_fields.h"
#include "engine/body_check.h"
#include "engine/document.h"
#include "engine/json_scan.h"
#include "engine/message.h"
#include "engine/require.h"
#include "rpc/rest_app.h"
#include "rpc/rest_job.h"
#include "rpc/wire.h"
#include "store/v1/store.pb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"

#define ARENA_MAX ((size_t)48 << 20) /* a call's */

/* NULL: they do not parse. */
static void *unpack(struct arena *arena, const ProtobufCMessageDescriptor *type, struct bytes encoded)
{
        ProtobufCMessage *message;

        return message_unpack(arena, type, encoded, &message) == R_OK ? message : NULL;
}

static bool is_good(struct arena *arena, enum row_kind kind, struct bytes encoded)
{
        const char *fault;

        return body_check(arena, kind, encoded, &fault) == R_OK && fault == NULL;
}

static void must_be_json(struct arena *arena, struct bytes text)
{
        struct json_scan scan;
        enum json_event event;

        json_scan_init(&scan, arena, text);
        do {
                event = json_scan_next(&scan);
                REQUIRE(event != JSON_ERROR);
        } while (event != JSON_END);
}

static struct bytes write_app(struct arena *arena, const Allod__V1__App *app)
{
        struct json_write json;
        struct bytes text;

        json_write_init(&json, arena, 0);
        rest_app_write(&json, app, true);
        REQUIRE(json_write_finish(&json, &text) == R_OK);
        return text;
}

static void run_app(struct arena *arena, struct bytes encoded, struct bytes sent)
{
        Allod__V1__App *app = unpack(arena, &allod__v1__app__descriptor, encoded);
        ProtobufCMessage *request;
        struct app_patch patch;
        struct fault fault;
        struct bytes text;
        enum result r;

        if (app == NULL) return;
        text = write_app(arena, app);
        if (is_good(arena, ROW_APP, encoded)) must_be_json(arena, text);
        fault_clear(&fault);
        if (wire_unpack(arena, &allod__v1__update_app_request__descriptor, sent, &request, &fault) != WIRE_OK) return;
        if (((Allod__V1__UpdateAppRequest *)request)->app == NULL) return;
        app_patch_read((Allod__V1__UpdateAppRequest *)request, &patch);
        if (patch.has_tools && document_check(patch.workflow->tools, NULL, "tools", &fault) != R_OK) return;
        r = app_patch_apply(arena, &patch, app, &fault);
        REQUIRE(r == R_OK || r == R_CORRUPT || r == R_BAD_ARGUMENT);
        if (r == R_OK) (void)write_app(arena, app);
}

static void run_job(struct arena *arena, struct bytes encoded)
{
        Allod__V1__Job *job = unpack(arena, &allod__v1__job__descriptor, encoded);
        struct json_write json;
        struct bytes text;

        if (job == NULL) return;
        json_write_init(&json, arena, 0);
        rest_job_write(&json, job);
        REQUIRE(json_write_finish(&json, &text) == R_OK);
        if (is_good(arena, ROW_JOB, encoded) || is_good(arena, ROW_JOB_INPUT, encoded) ||
            is_good(arena, ROW_JOB_RESULT, encoded))
                must_be_json(arena, text);
}

/* What loads, stored and loaded again, is the same. */
static void run_small(struct arena *arena, const pb_msgdesc_t *type, struct bytes encoded)
{
        union {
                store_v1_Profile profile;
                store_v1_ApiKey key;
                store_v1_Member member;
                store_v1_Invitation invitation;
                store_v1_Counters counters;
                store_v1_Change change;
                store_v1_Meta meta;
        } one, other;
        struct bytes stored, again;

        if (message_load(type, encoded, &one) != R_OK) return;
        REQUIRE(message_store(arena, type, &one, &stored) == R_OK);
        REQUIRE(message_load(type, stored, &other) == R_OK);
        REQUIRE(message_store(arena, type, &other, &again) == R_OK && bytes_equal(stored, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const pb_msgdesc_t *const types[] = {
                store_v1_Profile_fields,  store_v1_ApiKey_fields, store_v1_Member_fields, store_v1_Invitation_fields,
                store_v1_Counters_fields, store_v1_Change_fields, store_v1_Meta_fields,
        };
        struct bytes input = bytes_of(data, len);
        unsigned kind = fuzz_byte(&input) % (2 + sizeof types / sizeof *types);
        struct arena arena;

        arena_init(&arena, NULL, ARENA_MAX);
        if (kind == 0) {
                size_t app_len = fuzz_byte(&input) * 256u;
                struct bytes app;

                app_len += fuzz_byte(&input);
                app = fuzz_part(&input, app_len);
                run_app(&arena, app, input);
        } else if (kind == 1) {
                run_job(&arena, input);
        } else {
                run_small(&arena, types[kind - 2], input);
        }
        arena_fini(&arena);
        return 0;
}
