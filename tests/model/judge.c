#include "tests/model/judge.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

/* ---- Canaries ---- */

/* The places in call->sees: users, then teams, then the names of teams. */
#define TEAM_PLACE  USERS_MAX
#define TITLE_PLACE (USERS_MAX + TEAMS_MAX)

void judge_look(struct game *game, struct call *call)
{
        struct model *model = &game->model;
        int i;

        for (i = 0; i < model->user_count; i++)
                call->sees[i] = model_may_see(model, &call->actor, model->users[i].canary);
        for (i = 0; i < model->team_count; i++) {
                call->sees[TEAM_PLACE + i] = model_may_see(model, &call->actor, model->teams[i].canary);
                call->sees[TITLE_PLACE + i] = model_may_see(model, &call->actor, model->teams[i].title_canary);
        }
}

static bool may_see(const struct model *model, const struct call *call, const char *canary)
{
        int i;

        for (i = 0; i < model->user_count; i++)
                if (memcmp(model->users[i].canary, canary, CANARY_LEN) == 0) return call->sees[i];
        for (i = 0; i < model->team_count; i++) {
                if (memcmp(model->teams[i].canary, canary, CANARY_LEN) == 0) return call->sees[TEAM_PLACE + i];
                if (memcmp(model->teams[i].title_canary, canary, CANARY_LEN) == 0) return call->sees[TITLE_PLACE + i];
        }
        return false;
}

static void look_for_canaries(const struct model *model, const struct call *call, struct bytes bytes, const char *where)
{
        const uint8_t *end = bytes.data + bytes.len;
        const uint8_t *at = bytes.data;

        while (bytes.len > 0 &&
               (at = memmem(at, (size_t)(end - at), CANARY_PREFIX, sizeof CANARY_PREFIX - 1)) != NULL) {
                if (end - at < CANARY_LEN || !may_see(model, call, (const char *)at))
                        fail_msg("%s: LEAK: %.*s in the %s", call->method->name, CANARY_LEN, (const char *)at, where);
                at++;
        }
}

/* ---- Messages ---- */

struct comparison {
        const struct call *call;
        char path[128];
};

static void differ(const struct comparison *comparison, const char *what)
{
        fail_msg("%s: %s: %s", comparison->call->method->name, comparison->path, what);
}

/* An etag that is not known yet is learnt; one that a write has made differs from the last. */
static void compare_etag(const struct comparison *comparison, char *expected, const char *actual)
{
        char *slot = comparison->call->etag_slot;

        if (actual[0] == '\0' || strlen(actual) >= ETAG_TEXT_SIZE) differ(comparison, "is no etag");
        if (slot != NULL) {
                if (strcmp(slot, actual) == 0) differ(comparison, "did not change");
                if (comparison->call->forgotten == NULL ||
                    *comparison->call->forgotten == comparison->call->forgotten_then)
                        memcpy(slot, actual, strlen(actual) + 1);
        } else if (expected[0] == '\0') {
                memcpy(expected, actual, strlen(actual) + 1);
        } else if (strcmp(expected, actual) != 0) {
                differ(comparison, "changed");
        }
}

static void compare_message(struct comparison *comparison, const ProtobufCMessage *expected,
                            const ProtobufCMessage *actual);

static void compare_value(struct comparison *comparison, const ProtobufCFieldDescriptor *field, const void *expected,
                          const void *actual)
{
        size_t len = strlen(comparison->path);
        size_t size = 4;

        switch (field->type) {
        case PROTOBUF_C_TYPE_MESSAGE:
                if (*(void *const *)expected == NULL || *(void *const *)actual == NULL) {
                        if (*(void *const *)expected != *(void *const *)actual) differ(comparison, "presence");
                } else {
                        snprintf(comparison->path + len, sizeof comparison->path - len, ".");
                        compare_message(comparison, *(const ProtobufCMessage *const *)expected,
                                        *(const ProtobufCMessage *const *)actual);
                }
                return;
        case PROTOBUF_C_TYPE_STRING:
                if (strcmp(field->name, "etag") == 0)
                        compare_etag(comparison, *(char *const *)expected, *(char *const *)actual);
                else if (strcmp(*(char *const *)expected, *(char *const *)actual) != 0)
                        fail_msg("%s: %s: %s, not %s", comparison->call->method->name, comparison->path,
                                 *(char *const *)actual, *(char *const *)expected);
                return;
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_DOUBLE:
                size = 8;
                break;
        case PROTOBUF_C_TYPE_BOOL:
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_ENUM:
                break;
        default:
                differ(comparison, "a type that the judge does not know");
        }
        if (memcmp(expected, actual, size) != 0) differ(comparison, "another value");
}

static const void *at(const ProtobufCMessage *message, unsigned offset)
{
        return (const char *)message + offset;
}

static void compare_list(struct comparison *comparison, const ProtobufCFieldDescriptor *field,
                         const ProtobufCMessage *expected, const ProtobufCMessage *actual)
{
        size_t expected_count = *(const size_t *)at(expected, field->quantifier_offset);
        size_t actual_count = *(const size_t *)at(actual, field->quantifier_offset);
        void *const *expected_list = *(void *const *const *)at(expected, field->offset);
        void *const *actual_list = *(void *const *const *)at(actual, field->offset);
        size_t len = strlen(comparison->path);
        size_t i;

        if (expected_count != actual_count)
                fail_msg("%s: %s: %zu rows, not %zu", comparison->call->method->name, comparison->path, actual_count,
                         expected_count);
        for (i = 0; i < expected_count; i++) { /* all our lists are of messages */
                snprintf(comparison->path + len, sizeof comparison->path - len, "[%zu]", i);
                compare_value(comparison, field, &expected_list[i], &actual_list[i]);
                comparison->path[len] = '\0';
        }
}

static void compare_message(struct comparison *comparison, const ProtobufCMessage *expected,
                            const ProtobufCMessage *actual)
{
        size_t len = strlen(comparison->path);
        unsigned i;

        if (actual->n_unknown_fields > 0) differ(comparison, "unknown fields");
        for (i = 0; i < actual->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &actual->descriptor->fields[i];
                bool is_oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;

                if (strcmp(field->name, "next_page_token") == 0) continue;
                snprintf(comparison->path + len, sizeof comparison->path - len, "%s", field->name);
                if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                        compare_list(comparison, field, expected, actual);
                } else if (is_oneof && *(const uint32_t *)at(expected, field->quantifier_offset) != field->id) {
                        if (*(const uint32_t *)at(actual, field->quantifier_offset) == field->id)
                                differ(comparison, "is set");
                } else {
                        if (is_oneof && *(const uint32_t *)at(actual, field->quantifier_offset) != field->id)
                                differ(comparison, "is not set");
                        compare_value(comparison, field, at(expected, field->offset), at(actual, field->offset));
                }
                comparison->path[len] = '\0';
        }
}

/* ---- Outcomes ---- */

/* The part of the expected list that a page shows: the first field of every list is its rows. */
static void cut_page(const struct call *call, ProtobufCMessage *page, size_t first)
{
        const ProtobufCFieldDescriptor *field = &page->descriptor->fields[0];
        size_t *count = (size_t *)(void *)((char *)page + field->quantifier_offset);
        void ***list = (void ***)(void *)((char *)page + field->offset);

        *list += first;
        *count -= first;
        if (*count > (size_t)call->page_rows) *count = (size_t)call->page_rows;
}

static void compare_reply(struct game *game, const struct call *call, struct outcome *outcome, size_t first,
                          const char **next_token)
{
        struct comparison comparison = {.call = call};
        ProtobufCMessage *actual, *expected;
        const ProtobufCFieldDescriptor *field;
        size_t all, shown;

        assert_int_equal(message_unpack(&outcome->arena, call->type, message_so_far(&outcome->reply), &actual), R_OK);
        if (call->learn != NULL) call->learn(game, call, actual);
        if (call->page_rows == 0) {
                compare_message(&comparison, call->reply, actual);
                return;
        }
        expected = arena_alloc(&outcome->arena, call->type->sizeof_message);
        assert_non_null(expected);
        memcpy(expected, call->reply, call->type->sizeof_message);
        cut_page(call, expected, first);
        compare_message(&comparison, expected, actual);
        field = &call->type->fields[0];
        all = *(const size_t *)at(call->reply, field->quantifier_offset);
        shown = *(const size_t *)at(expected, field->quantifier_offset);
        field = protobuf_c_message_descriptor_get_field_by_name(call->type, "next_page_token");
        *next_token = *(char *const *)at(actual, field->offset);
        if ((first + shown < all) != (**next_token != '\0'))
                fail_msg("%s: %zu of %zu rows, and the token is \"%s\"", call->method->name, first + shown, all,
                         *next_token);
}

void judge(struct game *game, const struct call *call, struct outcome *outcome, size_t first, const char **next_token)
{
        size_t i;

        look_for_canaries(&game->model, call, message_so_far(&outcome->reply), "reply");
        look_for_canaries(&game->model, call, bytes_of_text(outcome->fault.text), "fault");
        for (i = 0; i < outcome->fault.field_count; i++)
                look_for_canaries(&game->model, call, bytes_of_text(outcome->fault.fields[i].text), "fault");
        if (outcome->result != call->result)
                fail_msg("%s: %s, not %s (%s %s %s)", call->method->name, result_name(outcome->result),
                         result_name(call->result), outcome->fault.text,
                         outcome->fault.field_count > 0 ? outcome->fault.fields[0].path : "",
                         outcome->fault.field_count > 0 ? outcome->fault.fields[0].text : "");
        if (call->text != NULL && strcmp(call->text, outcome->fault.text) != 0)
                fail_msg("%s: \"%s\", not \"%s\"", call->method->name, outcome->fault.text, call->text);
        if (outcome->result != R_OK) return;
        assert_int_equal(message_finish(&outcome->reply), R_OK);
        if (call->type != NULL)
                compare_reply(game, call, outcome, first, next_token);
        else if (outcome->reply.len != 0)
                fail_msg("%s: a reply of %zu bytes, not an empty one", call->method->name, outcome->reply.len);
}
