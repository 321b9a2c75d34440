/*
 * Server reflection, v1 and v1alpha, which are the same on the wire but for their names: what is served here, and the
 * .proto files as protoc parsed them, each with all that it imports.
 *
 * It needs no key: it shows nothing but the public contract.
 */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "rpc/call.h"
#include "rpc/descriptors.h"
#include "rpc/services.h"

/* Fields of ServerReflectionResponse and of what lies in it. */
enum {
        VALID_HOST = 1,
        ORIGINAL_REQUEST = 2,
        FILE_DESCRIPTOR_RESPONSE = 4,
        ALL_EXTENSION_NUMBERS_RESPONSE = 5,
        LIST_SERVICES_RESPONSE = 6,
        ERROR_RESPONSE = 7,

        FILE_DESCRIPTOR_PROTO = 1,
        BASE_TYPE_NAME = 1,
        EXTENSION_NUMBER = 2,
        SERVICE = 1,
        SERVICE_NAME = 1,
        ERROR_CODE = 1,
        ERROR_MESSAGE = 2,
};

/* Both versions have one layout in C too, because they have one in protobuf. */
typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;

_Static_assert(sizeof(reflection_request) == sizeof(Grpc__Reflection__V1alpha__ServerReflectionRequest),
               "v1 and v1alpha differ in nothing but names");

#define EXTENSIONS_MAX 64 /* of one type in our files: there are two */

static void append_error(struct message *response, enum grpc_code code, const char *text)
{
        size_t mark = message_begin(response, ERROR_RESPONSE);

        message_int(response, ERROR_CODE, code);
        message_bytes(response, ERROR_MESSAGE, bytes_of_text(text));
        message_end(response, mark);
}

/* Importers need what they import; clients take them in any order. */
static void append_files(struct message *response, enum result found, size_t index)
{
        uint64_t bits;
        size_t mark;
        size_t i;

        if (found != R_OK) {
                append_error(response, GRPC_NOT_FOUND, "There is no such file or symbol.");
                return;
        }
        bits = descriptor_file_with_imports(index);
        mark = message_begin(response, FILE_DESCRIPTOR_RESPONSE);
        message_bytes_always(response, FILE_DESCRIPTOR_PROTO, descriptor_file_at(index)->encoded);
        for (i = 0; i < descriptor_file_count(); i++)
                if (i != index && (bits >> i & 1) != 0)
                        message_bytes_always(response, FILE_DESCRIPTOR_PROTO, descriptor_file_at(i)->encoded);
        message_end(response, mark);
}

static void append_extension_numbers(struct message *response, struct bytes type)
{
        int32_t numbers[EXTENSIONS_MAX];
        size_t count = descriptor_extension_numbers(type, numbers, EXTENSIONS_MAX);
        size_t mark;
        size_t i;

        if (!descriptor_message_exists(type)) {
                append_error(response, GRPC_NOT_FOUND, "There is no such type.");
                return;
        }
        mark = message_begin(response, ALL_EXTENSION_NUMBERS_RESPONSE);
        message_bytes(response, BASE_TYPE_NAME, type);
        for (i = 0; i < count && i < EXTENSIONS_MAX; i++)
                message_int(response, EXTENSION_NUMBER, numbers[i]);
        message_end(response, mark);
}

static void append_services(struct message *response, enum plane plane)
{
        size_t mark = message_begin(response, LIST_SERVICES_RESPONSE);
        size_t i;

        for (i = 0; i < service_count; i++) {
                size_t service_mark;

                if (!service_is_on(services[i], plane)) continue;
                service_mark = message_begin(response, SERVICE);
                message_bytes(response, SERVICE_NAME, bytes_of_text(services[i]->name));
                message_end(response, service_mark);
        }
        message_end(response, mark);
}

static void answer(struct message *response, const reflection_request *request, enum plane plane)
{
        size_t index = 0;
        enum result found;

        switch (request->message_request_case) {
        case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
                found = descriptor_file_find(bytes_of_text(request->file_by_filename), &index);
                append_files(response, found, index);
                break;
        case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
                found = descriptor_symbol_find(bytes_of_text(request->file_containing_symbol), &index);
                append_files(response, found, index);
                break;
        case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
                found = descriptor_extension_find(bytes_of_text(request->file_containing_extension->containing_type),
                                                  request->file_containing_extension->extension_number, &index);
                append_files(response, found, index);
                break;
        case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
                append_extension_numbers(response, bytes_of_text(request->all_extension_numbers_of_type));
                break;
        case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
                append_services(response, plane);
                break;
        default:
                append_error(response, GRPC_INVALID_ARGUMENT, "The request asks for nothing that is known here.");
                break;
        }
}

static void message(struct call *call, const ProtobufCMessage *request)
{
        const reflection_request *asked = (const reflection_request *)request;
        struct message response;
        size_t mark;

        feed_message(call, &response);
        message_bytes(&response, VALID_HOST, bytes_of_text(asked->host));
        mark = message_begin(&response, ORIGINAL_REQUEST);
        message_pack(&response, request);
        message_end(&response, mark);
        answer(&response, asked, call->who.plane);
        feed_send(call, &response);
}

static void end(struct call *call)
{
        feed_finish(call, R_OK);
}

static void wake(struct call *call)
{
        feed_finish(call, R_DRAINING);
}

static const struct feed_ops reflection = {.message = message, .end = end, .wake = wake};

#define ROW(version)                                                                                                   \
        .path = "/grpc.reflection." #version ".ServerReflection/ServerReflectionInfo", .kind = METHOD_STREAM,          \
        .planes = PLANE_BIT(PLANE_PUBLIC) | PLANE_BIT(PLANE_ADMIN),                                                    \
        .request = &grpc__reflection__##version##__server_reflection_request__descriptor,                              \
        .response = &grpc__reflection__##version##__server_reflection_response__descriptor, .feed = &reflection

static const struct method method = {ROW(v1)};
static const struct method alpha_method = {ROW(v1alpha)};

const struct service reflection_service = {"grpc.reflection.v1.ServerReflection", &method, 1};
const struct service reflection_alpha_service = {"grpc.reflection.v1alpha.ServerReflection", &alpha_method, 1};
