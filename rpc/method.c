#include "rpc/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/uuid.h"
#include "google/api/http.pb-c.h"
#include "rpc/descriptors.h"
#include "rpc/rest_route.h"
#include "rpc/services.h"

const struct service *const services[] = {
        &app_service,   &job_service,    &team_service,       &key_service,
        &admin_service, &health_service, &reflection_service, &reflection_alpha_service,
};

const size_t service_count = sizeof services / sizeof services[0];

/* ---- The index: open addressing, at most a quarter full, so that a look-up is a compare or two ---- */

#define SLOT_BITS  8
#define SLOT_COUNT (1u << SLOT_BITS)

static struct {
        const struct method *method;
        size_t path_len;
} slots[SLOT_COUNT];

static bool is_ready;

/* Paths differ in length or in their last eight bytes, but for few. The factor is 2^64 over the golden ratio. */
static unsigned hash(struct bytes path)
{
        uint64_t tail = 0;

        if (path.len >= sizeof tail) memcpy(&tail, path.data + path.len - sizeof tail, sizeof tail);
        return (unsigned)(((tail ^ path.len) * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - SLOT_BITS));
}

const struct method *method_find(struct bytes path)
{
        unsigned slot;

        for (slot = hash(path); slots[slot].method != NULL; slot = (slot + 1) % SLOT_COUNT)
                if (slots[slot].path_len == path.len && memcmp(slots[slot].method->path, path.data, path.len) == 0)
                        return slots[slot].method;
        return NULL;
}

static size_t index_methods(void)
{
        size_t count = 0;
        size_t i, j;

        for (i = 0; i < service_count; i++)
                for (j = 0; j < services[i]->method_count; j++) {
                        const struct method *method = &services[i]->methods[j];
                        struct bytes path = bytes_of_text(method->path);
                        unsigned slot = hash(path);

                        while (slots[slot].method != NULL)
                                slot = (slot + 1) % SLOT_COUNT;
                        slots[slot].method = method;
                        slots[slot].path_len = path.len;
                        count++;
                }
        return count;
}

bool service_is_on(const struct service *service, enum plane plane)
{
        size_t i;

        for (i = 0; i < service->method_count; i++)
                if ((service->methods[i].planes & PLANE_BIT(plane)) != 0) return true;
        return false;
}

/* ---- Running ---- */

/* An app of ordinary size, or some rows of a list. */
#define REPLY_SIZE_EXPECTED 1024

enum result invocation_run(struct txn *txn, void *argument)
{
        struct invocation *invocation = argument;
        enum result r;

        message_init(&invocation->reply, txn_arena(txn), REPLY_SIZE_EXPECTED);
        r = invocation->method->run(txn, invocation->who, invocation->request, &invocation->reply);
        return r != R_OK ? r : message_finish(&invocation->reply);
}

enum result invocation_prepare(const struct method *method, struct store *store, struct arena *arena,
                               struct fault *fault, struct txn_input *input)
{
        *input = (struct txn_input){.arena = arena, .fault = fault, .time_ms = store_time_ms(store)};
        if (method->kind == METHOD_VIEW) return R_OK;
        input->id = uuid_v7(input->time_ms);
        if (method->needs_seed && getrandom(input->seed, sizeof input->seed, 0) != (ssize_t)sizeof input->seed)
                return R_IO;
        return R_OK;
}

/* ---- Comparing with the descriptors ---- */

typedef Google__Protobuf__MethodDescriptorProto descriptor_method;

#define HTTP_RULE_FIELD 72295728 /* extension of MethodOptions in google/api/annotations.proto */

static enum result disagree(char why[WHY_SIZE], const char *path, const char *what)
{
        snprintf(why, WHY_SIZE, "the table of methods and the descriptors disagree: %s %s", path, what);
        return R_DEFECT;
}

static enum result no_memory(char why[WHY_SIZE])
{
        snprintf(why, WHY_SIZE, "out of memory");
        return R_NO_MEMORY;
}

/* Descriptors write ".allod.v1.App", protobuf-c "allod.v1.App". */
static bool is_type(const char *type, const ProtobufCMessageDescriptor *descriptor)
{
        return type != NULL && type[0] == '.' && descriptor != NULL && strcmp(type + 1, descriptor->name) == 0;
}

/* "/app/{app.id}" -> "/app/{}" */
static bool strip_names(const char *template, char *out, size_t size)
{
        size_t len = 0;
        bool is_name = false;

        for (; *template != '\0'; template ++) {
                if (*template == '}') is_name = false;
                if (is_name) continue;
                if (len + 1 >= size) return false;
                out[len++] = *template;
                if (*template == '{') is_name = true;
        }
        out[len] = '\0';
        return true;
}

static bool rule_pattern(const Google__Api__HttpRule *rule, enum rest_verb *verb, const char **template)
{
        switch (rule->pattern_case) {
        case GOOGLE__API__HTTP_RULE__PATTERN_GET:
                *verb = REST_GET;
                *template = rule->get;
                return true;
        case GOOGLE__API__HTTP_RULE__PATTERN_PUT:
                *verb = REST_PUT;
                *template = rule->put;
                return true;
        case GOOGLE__API__HTTP_RULE__PATTERN_POST:
                *verb = REST_POST;
                *template = rule->post;
                return true;
        case GOOGLE__API__HTTP_RULE__PATTERN_DELETE:
                *verb = REST_DELETE;
                *template = rule->delete_;
                return true;
        case GOOGLE__API__HTTP_RULE__PATTERN_PATCH:
                *verb = REST_PATCH;
                *template = rule->patch;
                return true;
        default:
                return false;
        }
}

/* Whether REST has a route for this rule that leads to `path`. */
static bool rule_is_routed(const Google__Api__HttpRule *rule, const char *path)
{
        const char *template;
        enum rest_verb verb;
        char pattern[64];
        size_t i;

        if (!rule_pattern(rule, &verb, &template) || !strip_names(template, pattern, sizeof pattern)) return false;
        for (i = 0; i < rest_route_count; i++)
                if (strcmp(rest_routes[i].pattern, pattern) == 0) {
                        enum rest_shape shape = rest_routes[i].shapes[verb];

                        return shape != REST_NONE && strcmp(rest_shape_path(shape), path) == 0;
                }
        return false;
}

/* Check the rules of one method and count them. */
static enum result check_rules(const descriptor_method *rpc, const char *path, size_t *rule_count, char why[WHY_SIZE])
{
        const ProtobufCMessageUnknownField *option = NULL;
        bool is_out;
        ProtobufCAllocator allocator = descriptor_allocator(&is_out);
        Google__Api__HttpRule *rule;
        enum result r = R_OK;
        size_t i;

        for (i = 0; rpc->options != NULL && i < rpc->options->base.n_unknown_fields; i++)
                if (rpc->options->base.unknown_fields[i].tag == HTTP_RULE_FIELD)
                        option = &rpc->options->base.unknown_fields[i];
        if (option == NULL) return R_OK;

        /* protobuf-c leaves the length before the bytes: of at most 5 of them, the last below 0x80. */
        for (i = 0; i < option->len && option->data[i] >= 0x80; i++)
                ;
        if (i == option->len) return disagree(why, path, "has an HTTP rule that does not parse");
        rule = google__api__http_rule__unpack(&allocator, option->len - i - 1, option->data + i + 1);
        if (is_out) return no_memory(why);
        if (rule == NULL) return disagree(why, path, "has an HTTP rule that does not parse");
        if (!rule_is_routed(rule, path)) r = disagree(why, path, "has an HTTP rule without a route");
        for (i = 0; i < rule->n_additional_bindings; i++)
                if (!rule_is_routed(rule->additional_bindings[i], path))
                        r = disagree(why, path, "has an HTTP rule without a route");
        *rule_count += 1 + rule->n_additional_bindings;
        google__api__http_rule__free_unpacked(rule, &allocator);
        return r;
}

static enum result check_method(const descriptor_method *rpc, const char *path, char why[WHY_SIZE])
{
        const struct method *method = method_find(bytes_of_text(path));

        if (method == NULL) return disagree(why, path, "has no row");
        if (!is_type(rpc->input_type, method->request)) return disagree(why, path, "has another request type");
        if (!is_type(rpc->output_type, method->response)) return disagree(why, path, "has another response type");
        if ((rpc->client_streaming || rpc->server_streaming) && method->kind != METHOD_STREAM)
                return disagree(why, path, "streams");
        if ((method->kind == METHOD_STREAM) != (method->feed != NULL) ||
            (method->kind == METHOD_STREAM) == (method->run != NULL))
                return disagree(why, path, "lacks what its kind needs");
        return R_OK;
}

static enum result check_file(const Google__Protobuf__FileDescriptorProto *file, size_t *method_count,
                              size_t *rule_count, char why[WHY_SIZE])
{
        char path[128];
        enum result r;
        size_t i, j;

        for (i = 0; i < file->n_service; i++)
                for (j = 0; j < file->service[i]->n_method; j++) {
                        const descriptor_method *rpc = file->service[i]->method[j];

                        snprintf(path, sizeof path, "/%s.%s/%s", file->package, file->service[i]->name, rpc->name);
                        if ((r = check_method(rpc, path, why)) != R_OK) return r;
                        if ((r = check_rules(rpc, path, rule_count, why)) != R_OK) return r;
                        (*method_count)++;
                }
        return R_OK;
}

static size_t count_routes(void)
{
        size_t count = 0;
        size_t i, j;

        for (i = 0; i < rest_route_count; i++)
                for (j = 0; j < REST_VERB_COUNT; j++)
                        if (rest_routes[i].shapes[j] != REST_NONE) count++;
        return count;
}

enum result method_init(char why[WHY_SIZE])
{
        size_t row_count;
        size_t method_count = 0;
        size_t rule_count = 0;
        enum result r;
        size_t i;

        if (is_ready) return R_OK;
        if ((r = descriptors_init()) != R_OK) {
                if (r == R_NO_MEMORY) return no_memory(why);
                snprintf(why, WHY_SIZE, "the descriptor set in this program does not parse");
                return r;
        }
        memset(slots, 0, sizeof slots);
        row_count = index_methods();
        for (i = 0; i < descriptor_file_count(); i++)
                if ((r = check_file(descriptor_file_at(i)->content, &method_count, &rule_count, why)) != R_OK) return r;
        if (row_count != method_count) return disagree(why, "the tables", "have a row that no service declares");
        if (rule_count != count_routes()) return disagree(why, "REST", "has a route that no HTTP rule asks for");
        is_ready = true;
        return R_OK;
}
