/* Streams: health and reflection, slow readers, the end of the server. */
#include "rpc/feed.h"

#include <stdlib.h>

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/call.h"
#include "rpc/descriptors.h"
#include "rpc/limits.h"
#include "tests/lib/loopback.h"
#include "tests/lib/test.h"

#define GRPC    "content-type: application/grpc\n"
#define CHECK   "/grpc.health.v1.Health/Check"
#define WATCH   "/grpc.health.v1.Health/Watch"
#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

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

/* "\x08\x01" */
static void assert_health(const struct asked *asked, size_t index, int status)
{
        size_t at = index * (GRPC_PREFIX_LEN + 2);

        assert_true(asked->body_len >= at + GRPC_PREFIX_LEN + 2);
        assert_memory_equal(asked->body + at, "\0\0\0\0\x02\x08", 6);
        assert_int_equal(asked->body[at + 6], status);
}

static void test_check(void **state)
{
        /* The server, each service on this plane, and nothing else. */
        static const struct {
                const char *message;
                size_t len;
                int code, status;
        } rows[] = {
                {"", 0, GRPC_OK, 1},
                {"\x0a\x13"
                 "allod.v1.AppService",
                 21, GRPC_OK, 1},
                {"\x0a\x15"
                 "grpc.health.v1.Health",
                 23, GRPC_OK, 1},
                {"\x0a\x15"
                 "allod.v1.AdminService",
                 23, GRPC_NOT_FOUND, 0},
                {"\x0a\x04"
                 "nope",
                 6, GRPC_NOT_FOUND, 0},
                {"\xff", 1, GRPC_INVALID_ARGUMENT, 0},
        };
        struct asked asked;
        size_t i;

        (void)state;
        for (i = 0; i < sizeof rows / sizeof *rows; i++) {
                loopback_call(&loopback, &asked, CHECK, "", bytes_of(rows[i].message, rows[i].len));
                assert_int_equal(loopback_grpc_status(&asked), rows[i].code);
                if (rows[i].code == GRPC_OK) assert_health(&asked, 0, rows[i].status);
                loopback_close(&asked);
        }
        loopback.host.is_draining = true;
        loopback_call(&loopback, &asked, CHECK, "", BYTES(""));
        assert_health(&asked, 0, 2);
        loopback_close(&asked);
        loopback_begin(&loopback, &asked, "POST", CHECK, GRPC, false);
        loopback_end(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_INVALID_ARGUMENT);
        loopback_close(&asked);
}

static void watch(struct asked *asked, struct bytes frame)
{
        loopback_begin(&loopback, asked, "POST", WATCH, GRPC, true);
        loopback_data(asked, frame);
        loopback_end(asked);
        assert_true(asked->is_started);
        assert_false(asked->is_finished);
}

static void test_keyless_bound(void **state)
{
        /* Who has no key takes a quarter of the calls at most: the next is refused, keys find room, and so does the
         * operator, even when nobody else does. */
        struct asked watches[2], more, keyed, admin;

        (void)state;
        loopback.host.calls.open_max = 8;
        watch(&watches[0], BYTES("\0\0\0\0\0"));
        watch(&watches[1], BYTES("\0\0\0\0\0"));
        loopback_call(&loopback, &more, CHECK, "", BYTES(""));
        assert_int_equal(loopback_grpc_status(&more), GRPC_RESOURCE_EXHAUSTED);
        loopback_close(&more);
        loopback_ask(&loopback, &keyed, "GET", "/app", "x-api-key: " ANN_KEY "\n", NULL);
        assert_int_equal(keyed.status, 200);
        loopback_close(&keyed);
        loopback.peer.plane = PLANE_ADMIN;
        loopback.host.calls.open_max = 2;
        watch(&admin, BYTES("\0\0\0\0\0"));
        loopback.peer.plane = PLANE_PUBLIC;
        loopback_close(&admin);
        loopback_close(&watches[0]);
        loopback.host.calls.open_max = 8;
        loopback_call(&loopback, &more, CHECK, "", BYTES(""));
        assert_int_equal(loopback_grpc_status(&more), GRPC_OK);
        loopback_close(&more);
        loopback_close(&watches[1]);
        assert_int_equal(loopback.host.calls.keyless_count, 0);
}

static void test_watch(void **state)
{
        /* The status at once, and when the server drains the next one and the end. */
        struct asked known, unknown, gone;

        (void)state;
        watch(&known, BYTES("\0\0\0\0\0"));
        watch(&unknown, BYTES("\0\0\0\0\x03\x0a\x01x"));
        watch(&gone, BYTES("\0\0\0\0\0"));
        assert_health(&known, 0, 1);
        assert_health(&unknown, 0, 3);
        loopback_close(&gone);
        loopback.host.is_draining = true;
        call_on_drain(&loopback.host);
        assert_health(&known, 1, 2);
        assert_int_equal(loopback_grpc_status(&known), GRPC_UNAVAILABLE);
        assert_int_equal(loopback_grpc_status(&unknown), GRPC_UNAVAILABLE);
        loopback_close(&known);
        loopback_close(&unknown);
}

/* ---- Reflection ---- */

static void ask(struct asked *asked, const reflection_request *request)
{
        uint8_t frame[512];
        size_t len = protobuf_c_message_pack(&request->base, frame + GRPC_PREFIX_LEN);

        grpc_prefix_write(frame, len);
        loopback_data(asked, bytes_of(frame, GRPC_PREFIX_LEN + len));
}

static reflection_response *answer_of(struct asked *asked)
{
        reflection_response *response;
        struct bytes message = loopback_message(asked);

        response = grpc__reflection__v1__server_reflection_response__unpack(NULL, message.len, message.data);
        assert_non_null(response);
        asked->body_len = 0;
        return response;
}

static reflection_response *reflect(struct asked *asked, reflection_request *request)
{
        ask(asked, request);
        return answer_of(asked);
}

static void free_answer(reflection_response *response)
{
        grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
}

/* The parts of a oneof share their place in C. */
static bool is_files(const reflection_response *response)
{
        return response->message_response_case ==
               GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
}

static int error_of(const reflection_response *response)
{
        if (response->message_response_case !=
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE)
                return 0;
        return response->error_response->error_code;
}

static void begin_reflection(struct asked *asked)
{
        loopback_begin(&loopback, asked, "POST", REFLECT, GRPC, true);
}

static void test_services(void **state)
{
        /* The services of the plane, by name. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        reflection_response *response;
        struct asked asked;
        char host[] = "h";
        size_t i;

        (void)state;
        request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
        request.list_services = request.host = host;
        begin_reflection(&asked);
        response = reflect(&asked, &request);
        assert_string_equal(response->valid_host, "h");
        assert_string_equal(response->original_request->list_services, "h");
        assert_int_equal(response->list_services_response->n_service, service_count - 1);
        for (i = 0; i < response->list_services_response->n_service; i++)
                assert_string_not_equal(response->list_services_response->service[i]->name, "allod.v1.AdminService");
        free_answer(response);
        loopback_end(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        loopback_close(&asked);
}

static void test_symbols(void **state)
{
        /* Every service, method, message, field and enum value of ours is found, with all that its file imports. */
        static const char *const symbols[] = {"allod.v1.AppService",
                                              "allod.v1.AppService.GetApp",
                                              "allod.v1.App",
                                              "allod.v1.App.name",
                                              "allod.v1.App.owner",
                                              "allod.v1.GpuTier",
                                              "allod.v1.GPU_TIER_BASIC",
                                              "google.protobuf.FieldDescriptorProto.Type",
                                              "google.protobuf.DescriptorProto.ExtensionRange",
                                              "google.api.http",
                                              "grpc.health.v1.Health.Watch"};
        static const char *const absent[] = {"allod.v1",
                                             "allod.v1.Ap",
                                             "allod.v1.App.nam",
                                             ".allod.v1.App",
                                             "allod.v1.App.",
                                             "App",
                                             "",
                                             "allod.v1.AppService.GetApp.x"};
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        struct asked asked;
        size_t i;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
        begin_reflection(&asked);
        for (i = 0; i < sizeof symbols / sizeof *symbols; i++) {
                reflection_response *response;

                request.file_containing_symbol = (char *)symbols[i];
                response = reflect(&asked, &request);
                if (!is_files(response)) fail_msg("%s", symbols[i]);
                assert_true(response->file_descriptor_response->n_file_descriptor_proto >= 1);
                free_answer(response);
        }
        for (i = 0; i < sizeof absent / sizeof *absent; i++) {
                reflection_response *response;

                request.file_containing_symbol = (char *)absent[i];
                response = reflect(&asked, &request);
                if (error_of(response) != GRPC_NOT_FOUND) fail_msg("%s", absent[i]);
                free_answer(response);
        }
        loopback_close(&asked);
}

static void test_files(void **state)
{
        /* Each file comes with everything it needs to be built, itself first. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        struct asked asked;
        size_t i, j;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
        begin_reflection(&asked);
        for (i = 0; i < descriptor_file_count(); i++) {
                const Google__Protobuf__FileDescriptorProto *file = descriptor_file_at(i)->content;
                reflection_response *response;
                Grpc__Reflection__V1__FileDescriptorResponse *files;

                request.file_by_filename = file->name;
                response = reflect(&asked, &request);
                assert_true(is_files(response));
                files = response->file_descriptor_response;
                assert_true(files->n_file_descriptor_proto > file->n_dependency);
                assert_memory_equal(files->file_descriptor_proto[0].data, descriptor_file_at(i)->encoded.data,
                                    descriptor_file_at(i)->encoded.len);
                for (j = 0; j < file->n_dependency; j++) {
                        size_t index, k;

                        assert_int_equal(descriptor_file_find(bytes_of_text(file->dependency[j]), &index), R_OK);
                        for (k = 0; k < files->n_file_descriptor_proto; k++)
                                if (bytes_equal(bytes_of(files->file_descriptor_proto[k].data,
                                                         files->file_descriptor_proto[k].len),
                                                descriptor_file_at(index)->encoded))
                                        break;
                        assert_true(k < files->n_file_descriptor_proto);
                }
                free_answer(response);
        }
        loopback_close(&asked);
}

static void test_extensions(void **state)
{
        /* The one extension that we use, by number and in the list of its type. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        Grpc__Reflection__V1__ExtensionRequest extension = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
        reflection_response *response;
        struct asked asked;
        char type[] = "google.protobuf.MethodOptions";

        (void)state;
        begin_reflection(&asked);
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION;
        request.file_containing_extension = &extension;
        extension.containing_type = type;
        extension.extension_number = 72295728;
        response = reflect(&asked, &request);
        assert_true(is_files(response));
        free_answer(response);
        extension.extension_number = 1;
        response = reflect(&asked, &request);
        assert_int_equal(error_of(response), GRPC_NOT_FOUND);
        free_answer(response);

        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE;
        request.all_extension_numbers_of_type = type;
        response = reflect(&asked, &request);
        assert_int_equal(response->all_extension_numbers_response->n_extension_number, 1);
        assert_int_equal(response->all_extension_numbers_response->extension_number[0], 72295728);
        free_answer(response);
        type[0] = 'x';
        response = reflect(&asked, &request);
        assert_int_equal(error_of(response), GRPC_NOT_FOUND);
        free_answer(response);

        request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET;
        response = reflect(&asked, &request);
        assert_int_equal(error_of(response), GRPC_INVALID_ARGUMENT);
        free_answer(response);
        loopback_close(&asked);
}

static void test_reflection_off(void **state)
{
        /* Turned off, it is no method. */
        struct asked asked;

        (void)state;
        loopback.host.has_reflection = false;
        begin_reflection(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_UNIMPLEMENTED);
        loopback_close(&asked);
        loopback_call(&loopback, &asked, CHECK, "", BYTES(""));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        loopback_close(&asked);
}

static void test_slow_reader(void **state)
{
        /* What the carrier has no room for waits, in order, and the trailers behind it. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        char name[] = "allod/v1/app.proto";
        struct asked whole, asked;
        size_t i;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
        request.file_by_filename = name;
        begin_reflection(&whole);
        ask(&whole, &request);
        ask(&whole, &request);

        begin_reflection(&asked);
        asked.room = 0;
        ask(&asked, &request);
        asked.room = 10;
        call_on_writable(&asked.exchange);
        asked.room = 10;
        ask(&asked, &request);
        loopback_end(&asked);
        assert_int_equal(asked.body_len, 10);
        for (i = 0; !asked.is_finished; i++) {
                asked.room = i % 1000;
                call_on_writable(&asked.exchange);
        }
        assert_int_equal(asked.body_len, whole.body_len);
        assert_memory_equal(asked.body, whole.body, whole.body_len);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
        loopback_close(&asked);
        loopback_close(&whole);
}

static void ask_in_vain(struct asked *asked, const reflection_request *request)
{
        size_t i;

        begin_reflection(asked);
        asked->room = 0;
        for (i = 0; i < 20; i++)
                ask(asked, request);
}

static void test_keyless_memory(void **state)
{
        /* What is kept for peers without a key has a bound of its own, and all of it goes back. The operator's is not
         * counted there. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        struct arena_budget *share = &loopback.host.commons->keyless_share;
        char name[] = "allod/v1/app.proto";
        struct asked slow, more, admin;
        size_t held;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
        request.file_by_filename = name;
        ask_in_vain(&slow, &request);
        held = share->held;
        assert_true(held > 0);
        share->held_max = held;
        ask_in_vain(&more, &request);
        assert_int_equal(share->held, held);
        loopback.peer.plane = PLANE_ADMIN;
        ask_in_vain(&admin, &request);
        assert_int_equal(share->held, held);
        assert_true(loopback.host.commons->held.held >= 2 * held);
        loopback_close(&admin);
        loopback_close(&more);
        loopback_close(&slow);
        assert_int_equal(share->held, 0);
}

static void test_no_memory_to_wait_in(void **state)
{
        /* When memory is out while nothing of a message was written, what waits still goes out, and then a status. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        struct arena_budget *share = &loopback.host.commons->keyless_share;
        char name[] = "allod/v1/app.proto";
        size_t held_max = share->held_max;
        size_t ended = 0;
        size_t more;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
        request.file_by_filename = name;
        for (more = 1024; more < (size_t)512 << 10; more += 1024) {
                struct asked asked;

                begin_reflection(&asked);
                asked.room = 0;
                ask(&asked, &request);
                share->held_max = share->held + more;
                ask(&asked, &request);
                ask(&asked, &request);
                share->held_max = held_max;
                assert_false(asked.is_reset);
                asked.room = SIZE_MAX;
                call_on_writable(&asked.exchange);
                if (asked.is_finished) {
                        assert_int_equal(loopback_grpc_status(&asked), GRPC_RESOURCE_EXHAUSTED);
                        ended++;
                }
                loopback_close(&asked);
        }
        assert_true(ended > 0);
}

static void test_bounds(void **state)
{
        /* A reader that never reads, messages without end, a message too large: each ends its stream. */
        reflection_request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
        char name[] = "allod/v1/app.proto";
        uint8_t prefix[GRPC_PREFIX_LEN];
        struct asked asked;
        size_t i;

        (void)state;
        request.message_request_case =
                GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
        request.file_by_filename = name;
        begin_reflection(&asked);
        asked.room = 100;
        for (i = 0; !asked.is_reset && i < 1000; i++)
                ask(&asked, &request);
        assert_true(asked.is_reset);
        assert_true(i < 1000);
        loopback_close(&asked);

        request.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET;
        begin_reflection(&asked);
        for (i = 0; i < FEED_MESSAGES_MAX + 1; i++) {
                ask(&asked, &request);
                asked.body_len = 0;
        }
        assert_int_equal(loopback_grpc_status(&asked), GRPC_RESOURCE_EXHAUSTED);
        loopback_close(&asked);

        grpc_prefix_write(prefix, FEED_REQUEST_MAX + 1);
        begin_reflection(&asked);
        loopback_data(&asked, bytes_of(prefix, sizeof prefix));
        assert_int_equal(loopback_grpc_status(&asked), GRPC_RESOURCE_EXHAUSTED);
        loopback_close(&asked);

        begin_reflection(&asked);
        loopback_data(&asked, BYTES("\0\0\0\0\5x"));
        loopback_end(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_INVALID_ARGUMENT);
        loopback_close(&asked);
}

static void test_split(void **state)
{
        /* Two requests, cut at every byte, get two answers. */
        static const uint8_t frames[] = "\0\0\0\0\x03\x3a\x01x\0\0\0\0\x03\x3a\x01y";
        size_t len = sizeof frames - 1;
        size_t body_len = 0;
        size_t cut;

        (void)state;
        for (cut = 0; cut <= len; cut++) {
                struct asked asked;

                begin_reflection(&asked);
                loopback_data(&asked, bytes_of(frames, cut));
                loopback_data(&asked, bytes_of(frames + cut, len - cut));
                loopback_end(&asked);
                assert_int_equal(loopback_grpc_status(&asked), GRPC_OK);
                assert_true(asked.body_len > 0 && (cut == 0 || asked.body_len == body_len));
                body_len = asked.body_len;
                loopback_close(&asked);
        }
}

/* ---- Uploads ---- */

#define RESTORE "/allod.v1.AdminService/Restore"

/* While a stream is held its bytes are taken and earn no credit; then all of it is given, once, and what comes after it
 * at once. */
static void test_hold(void **state)
{
        static const uint8_t half[7]; /* of nothing that a prefix could begin */
        struct asked asked;

        (void)state;
        begin_reflection(&asked);
        loopback_data(&asked, bytes_of(half, 2));
        assert_int_equal(asked.consumed, 2);
        feed_hold(asked.exchange.call);
        loopback_data(&asked, bytes_of(half, 1));
        loopback_data(&asked, bytes_of(half, 1));
        assert_int_equal(asked.consumed, 2);
        feed_release(asked.exchange.call);
        assert_int_equal(asked.consumed, 4);
        feed_release(asked.exchange.call);
        assert_int_equal(asked.consumed, 4);
        loopback_data(&asked, bytes_of(half, 0));
        assert_int_equal(asked.consumed, 4);
        loopback_close(&asked);
}

/* A message with so many bytes of a dump that are none. */
static struct bytes data_message(size_t len)
{
        static uint8_t frame[GRPC_PREFIX_LEN + 4 + (60 << 10)];

        memset(frame, 'x', sizeof frame);
        frame[GRPC_PREFIX_LEN] = 2 << 3 | 2;
        frame[GRPC_PREFIX_LEN + 1] = (uint8_t)(len | 0x80);
        frame[GRPC_PREFIX_LEN + 2] = (uint8_t)(len >> 7 | 0x80);
        frame[GRPC_PREFIX_LEN + 3] = (uint8_t)(len >> 14);
        grpc_prefix_write(frame, 4 + len);
        return bytes_of(frame, GRPC_PREFIX_LEN + 4 + len);
}

/* An upload is of any number of messages and any size, cut anywhere, in little memory: what was taken is forgotten even
 * where no cut is between two messages. */
static void test_upload(void **state)
{
        static const uint8_t options[] = "\0\0\0\0\x2a\x0a\x28\x0a\x26u:00000000-0000-7000-8000-000000000001";
        struct bytes message = data_message(31000);
        static uint8_t piece[60000];
        struct asked asked;
        const struct call *call;

        (void)state;
        loopback.peer.plane = PLANE_ADMIN;
        loopback_begin(&loopback, &asked, "POST", RESTORE, GRPC, true);
        loopback_data(&asked, bytes_of(options, sizeof options - 1));
        call = asked.exchange.call;
        loopback_data(&asked, bytes_of(message.data, 30000)); /* from here on each piece ends within a message */
        memcpy(piece, message.data + 30000, message.len - 30000);
        memcpy(piece + message.len - 30000, message.data, 30000);
        for (unsigned i = 0; i < FEED_MESSAGES_MAX + 10; i++) {
                loopback_data(&asked, bytes_of(piece, message.len));
                assert_true(call->arena.held < (1 << 20));
                while (call->feed.is_held)
                        loopback_run_one(&loopback);
        }
        loopback_data(&asked, bytes_of(message.data + 30000, message.len - 30000));
        assert_false(asked.is_answered);
        loopback_end(&asked);
        loopback_wait(&asked);
        assert_int_equal(loopback_grpc_status(&asked), GRPC_INVALID_ARGUMENT);
        assert_non_null(strstr(loopback_field(&asked, "grpc-message"), "damaged"));
        loopback_close(&asked);
}

/* Whoever leaves in the middle, or says something wrong, leaves nothing behind that would keep the next one out. */
static void test_upload_ends_early(void **state)
{
        static const uint8_t options[] = "\0\0\0\0\x2a\x0a\x28\x0a\x26u:00000000-0000-7000-8000-000000000001";
        struct bytes message = data_message(50000);
        struct asked asked;

        (void)state;
        loopback.peer.plane = PLANE_ADMIN;
        for (unsigned i = 0; i < 12; i++) {
                loopback_begin(&loopback, &asked, "POST", RESTORE, GRPC, true);
                loopback_data(&asked, bytes_of(options, sizeof options - 1));
                assert_false(asked.is_answered || asked.is_started);
                if (i % 3 > 0) loopback_data(&asked, message);
                if (i % 3 > 1) loopback_data(&asked, bytes_of(options, sizeof options - 1));
                if (i % 4 == 0) loopback_end(&asked);
                loopback_close(&asked);
                while (loopback.host.owed > 0)
                        loopback_run_one(&loopback);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_keyless_bound, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_watch, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_services, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_symbols, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_extensions, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reflection_off, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_slow_reader, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_keyless_memory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory_to_wait_in, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_split, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_hold, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_upload, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_upload_ends_early, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
