/* The gRPC face: framing, status, details, content types. */
#include "rpc/grpc.h"

#include <stdio.h>
#include <stdlib.h>

#include "google/protobuf/any.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/base64.h"
#include "tests/lib/loopback.h"
#include "tests/lib/test.h"

#define ANN  "x-api-key: " ANN_KEY "\n"
#define GRPC "content-type: application/grpc\n"
#define LIST "/allod.v1.AppService/ListApps"
#define GET  "/allod.v1.AppService/GetApp"

static struct loopback loopback;

static int set_up(void **state)
{
        (void)state;
        loopback_init(&loopback);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        loopback_fini(&loopback);
        return 0;
}

static void test_content_types(void **state)
{
        /* application/grpc in all its forms, and nothing that only starts like it. */
        static const char *const good[] = {"application/grpc",     "application/grpc+proto",
                                           "application/grpc;x=y", "application/grpc+proto; charset=utf-8",
                                           "Application/GRPC",     "application/grpc ; x"};
        static const char *const bad[] = {
                "application/grpc+json", "application/grpc-web",     "application/grpcx", "application/grp", "",
                "application/json",      "application/grpc+protobuf"};
        size_t i;

        (void)state;
        for (i = 0; i < sizeof good / sizeof *good; i++)
                assert_true(grpc_is_content_type(bytes_of_text(good[i])));
        for (i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(grpc_is_content_type(bytes_of_text(bad[i])));
}

static void test_not_grpc(void **state)
{
        /* A path of gRPC asked for in another way: the same order of checks, and what is wrong by name. */
        struct asked asked;

        (void)state;
        loopback_ask(&loopback, &asked, "GET", GET, GRPC ANN, NULL);
        assert_int_equal(asked.status, 405);
        assert_string_equal(loopback_field(&asked, "allow"), "POST");
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "POST", GET, "content-type: application/json\n", "{}");
        assert_int_equal(asked.status, 403);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "POST", GET, "content-type: application/json\n" ANN, "{}");
        assert_int_equal(asked.status, 415);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "POST", GET, "content-type: application/grpc+json\n" ANN, "{}");
        assert_int_equal(asked.status, 415);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "POST", "/allod.v1.AdminService/GetStats", "content-type: text/plain\n" ANN,
                     "");
        assert_int_equal(asked.status, 404);
        loopback_close(&asked);
}

static void test_answer(void **state)
{
        /* One frame, then the trailers; nothing else. */
        struct asked asked;

        (void)state;
        loopback_call(&loopback, &asked, LIST, ANN, BYTES(""));
        assert_string_equal(asked.fields, "content-type: application/grpc\ngrpc-status: 0\n");
        assert_int_equal(asked.body_len, GRPC_PREFIX_LEN);
        assert_memory_equal(asked.body, "\0\0\0\0\0", GRPC_PREFIX_LEN);
        loopback_close(&asked);
}

static void test_split(void **state)
{
        /* A message cut in two at every byte, and byte by byte, is the same message. */
        static const uint8_t frame[] = "\0\0\0\0\x03\x0a\x01x";
        struct asked asked;
        size_t len = sizeof frame - 1;
        size_t cut;

        (void)state;
        for (cut = 0; cut <= len; cut++) {
                loopback_begin(&loopback, &asked, "POST", GET, GRPC ANN, true);
                loopback_data(&asked, bytes_of(frame, cut));
                loopback_data(&asked, bytes_of(frame + cut, len - cut));
                loopback_end(&asked);
                assert_int_equal(loopback_grpc_status(&asked), GRPC_NOT_FOUND);
                assert_string_equal(loopback_field(&asked, "grpc-message"), "App with ID 'x' not found.");
                loopback_close(&asked);
        }
        loopback_begin(&loopback, &asked, "POST", GET, GRPC ANN, true);
        for (cut = 0; cut < len; cut++)
                loopback_data(&asked, bytes_of(frame + cut, 1));
        loopback_end(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_NOT_FOUND);
        loopback_close(&asked);
}

static void test_bad_frames(void **state)
{
        /* No message, half a one, two, a compressed one, a broken flag: each has its code. */
        static const struct {
                const char *headers;
                const char *data;
                size_t len;
                enum grpc_code code;
        } rows[] = {
                {"", "", 0, GRPC_INTERNAL},
                {"", "\0\0\0", 3, GRPC_INTERNAL},
                {"", "\0\0\0\0\x03\x0a", 6, GRPC_INTERNAL},
                {"", "\0\0\0\0\0\0\0\0\0\0", 10, GRPC_INTERNAL},
                {"", "\0\0\0\0\0\0", 6, GRPC_INTERNAL},
                {"", "\1\0\0\0\0", 5, GRPC_INTERNAL},
                {"grpc-encoding: identity\n", "\1\0\0\0\0", 5, GRPC_INTERNAL},
                {"grpc-encoding: gzip\n", "\1\0\0\0\0", 5, GRPC_UNIMPLEMENTED},
                {"", "\2\0\0\0\0", 5, GRPC_INTERNAL},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct asked asked;
                char headers[128];

                snprintf(headers, sizeof headers, "%s%s", GRPC ANN, rows[i].headers);
                loopback_begin(&loopback, &asked, "POST", LIST, headers, true);
                loopback_data(&asked, bytes_of(rows[i].data, rows[i].len));
                loopback_end(&asked);
                if (loopback_grpc_status(&asked) != (int)rows[i].code) fail_msg("row %zu: %s", i, asked.fields);
                if (rows[i].code == GRPC_UNIMPLEMENTED)
                        assert_string_equal(loopback_field(&asked, "grpc-accept-encoding"), "identity");
                assert_int_equal(asked.body_len, 0);
                loopback_close(&asked);
        }
}

static void test_percent(void **state)
{
        /* A message for people travels percent-encoded. */
        struct asked asked;

        (void)state;
        loopback_call(&loopback, &asked, GET, ANN,
                      BYTES("\x0a\x04"
                            "a%\xc3\xa9"));
        assert_string_equal(loopback_field(&asked, "grpc-message"), "App with ID 'a%25%C3%A9' not found.");
        loopback_close(&asked);
}

static Google__Rpc__Status *details_of(struct arena *arena, const struct asked *asked)
{
        struct bytes text = bytes_of_text(loopback_field(asked, "grpc-status-details-bin"));
        Google__Rpc__Status *status;
        struct bytes encoded;

        assert_int_equal(base64_decode(arena, text, &encoded), R_OK);
        status = google__rpc__status__unpack(NULL, encoded.len, encoded.data);
        assert_non_null(status);
        return status;
}

static void test_details(void **state)
{
        /* Beside code and message: the reason, and for bad arguments each field. */
        struct asked asked;
        struct arena arena;
        Google__Rpc__Status *status;

        (void)state;
        arena_init(&arena, NULL, 1 << 20);
        loopback_call(&loopback, &asked, "/allod.v1.AppService/CreateApp", ANN, BYTES("\x0a\x00"));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_INVALID_ARGUMENT);
        status = details_of(&arena, &asked);
        assert_int_equal(status->code, GRPC_INVALID_ARGUMENT);
        assert_int_equal(status->n_details, 2);
        assert_string_equal(status->details[0]->type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        assert_int_equal(status->details[0]->value.len, 2 + 12 + 2 + 5);
        assert_memory_equal(status->details[0]->value.data,
                            "\x0a\x0c"
                            "BAD_ARGUMENT\x12\x05"
                            "allod",
                            21);
        assert_string_equal(status->details[1]->type_url, "type.googleapis.com/google.rpc.BadRequest");
        assert_memory_equal(status->details[1]->value.data + 2,
                            "\x0a\x08"
                            "app.name\x12",
                            11);
        google__rpc__status__free_unpacked(status, NULL);
        loopback_close(&asked);

        loopback_call(&loopback, &asked, GET, "", BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_UNAUTHENTICATED);
        assert_string_equal(loopback_field(&asked, "grpc-message"), "Unauthorized access. Invalid API key.");
        status = details_of(&arena, &asked);
        assert_int_equal(status->n_details, 1);
        assert_string_equal(status->message, "Unauthorized access. Invalid API key.");
        google__rpc__status__free_unpacked(status, NULL);
        loopback_close(&asked);
        arena_fini(&arena);
}

static void test_admin_plane(void **state)
{
        /* Administration needs no key where the peer was checked, and the tenants' methods are not there. */
        struct asked asked;

        (void)state;
        loopback.peer.plane = PLANE_ADMIN;
        loopback_call(&loopback, &asked, "/allod.v1.AdminService/GetStats", "", BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        assert_true(asked.body_len > GRPC_PREFIX_LEN);
        loopback_close(&asked);
        loopback_call(&loopback, &asked, LIST, ANN, BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_UNIMPLEMENTED);
        loopback_close(&asked);
        loopback_ask(&loopback, &asked, "GET", "/app", ANN, NULL);
        assert_int_equal(asked.status, 404);
        loopback_close(&asked);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_content_types),
                cmocka_unit_test_setup_teardown(test_not_grpc, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_split, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_frames, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_percent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_details, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_admin_plane, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
