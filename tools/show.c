#include "tools/show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/json_write.h"
#include "rpc/protojson.h"
#include "rpc/time_text.h"

#define COLUMNS_MAX 16
#define CELL_SIZE   256 /* names may have 800 bytes: a table cuts them, `show` and --json do not */

static enum result show_json(FILE *out, const ProtobufCMessage *message, struct arena *arena)
{
        struct json_write write;
        struct bytes text;
        enum result r;

        json_write_init(&write, arena, 1024);
        protojson_write(&write, message, PROTOJSON_DEFAULTS);
        r = json_write_finish(&write, &text);
        if (r != R_OK) return r;
        fwrite(text.data, 1, text.len, out);
        fputc('\n', out);
        return R_OK;
}

static const void *member_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
        return (const char *)message + field->offset;
}

/* "OWNER" for ROLE_OWNER: the first value of an enum is its prefix and UNSPECIFIED. */
static const char *enum_text(const ProtobufCEnumDescriptor *type, int value)
{
        const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
        const ProtobufCEnumValue *zero = protobuf_c_enum_descriptor_get_value(type, 0);
        size_t prefix;

        if (found == NULL) return "?";
        if (value == 0 || zero == NULL) return "";
        prefix = strlen(zero->name) - strlen("UNSPECIFIED");
        return strncmp(found->name, zero->name, prefix) == 0 ? found->name + prefix : found->name;
}

static bool is_timestamp(const ProtobufCFieldDescriptor *field)
{
        return field->type == PROTOBUF_C_TYPE_MESSAGE && field->descriptor == &google__protobuf__timestamp__descriptor;
}

/* A table has no columns for what is itself a list or a message. */
static bool is_plain(const ProtobufCFieldDescriptor *field)
{
        return field->label != PROTOBUF_C_LABEL_REPEATED &&
               (field->type != PROTOBUF_C_TYPE_MESSAGE || is_timestamp(field));
}

static void format_time(const Google__Protobuf__Timestamp *time, char *out, size_t size)
{
        char text[TIME_TEXT_RFC3339_SIZE];

        if (time == NULL || !time_text_rfc3339(time->seconds, 0, text)) return;
        snprintf(out, size, "%s", text);
}

/* A control character in a name must not reach the terminal. */
static void blank_controls(char *text)
{
        for (; *text != '\0'; text++) {
                if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
        }
}

static void format_value(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, char *out, size_t size)
{
        const void *member = member_of(message, field);
        const char *text;

        out[0] = '\0';
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
                text = *(char *const *)member;
                snprintf(out, size, "%s", text == NULL ? "" : text);
                blank_controls(out);
                break;
        case PROTOBUF_C_TYPE_ENUM:
                snprintf(out, size, "%s", enum_text(field->descriptor, *(const int *)member));
                break;
        case PROTOBUF_C_TYPE_BOOL:
                snprintf(out, size, "%s", *(const protobuf_c_boolean *)member ? "yes" : "no");
                break;
        case PROTOBUF_C_TYPE_INT32:
                snprintf(out, size, "%" PRId32, *(const int32_t *)member);
                break;
        case PROTOBUF_C_TYPE_INT64:
                snprintf(out, size, "%" PRId64, *(const int64_t *)member);
                break;
        case PROTOBUF_C_TYPE_MESSAGE:
                format_time(*(Google__Protobuf__Timestamp *const *)member, out, size);
                break;
        default:
                snprintf(out, size, "?");
        }
}

/* Nesting is at most two deep in what AdminService answers; `indent` shows it. */
static void show_lines(FILE *out, const ProtobufCMessage *message, int indent)
{
        char cell[1024];

        for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
                int width;

                if (is_plain(field)) {
                        format_value(message, field, cell, sizeof cell);
                        width = fprintf(out, "%*s%s", indent, "", field->name);
                        fprintf(out, "%*s%s\n", width < 20 ? 20 - width : 1, "", cell);
                } else if (field->label != PROTOBUF_C_LABEL_REPEATED) {
                        const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member_of(message, field);

                        fprintf(out, "%*s%s\n", indent, "", field->name);
                        if (inner != NULL) show_lines(out, inner, indent + 2);
                }
        }
}

enum result show_message(FILE *out, const ProtobufCMessage *message, bool is_json, struct arena *arena)
{
        if (is_json) return show_json(out, message, arena);
        show_lines(out, message, 0);
        return R_OK;
}

static void show_table(FILE *out, const ProtobufCMessage *const *elements, size_t count, bool is_first)
{
        const ProtobufCMessageDescriptor *type = elements[0]->descriptor;
        const ProtobufCFieldDescriptor *columns[COLUMNS_MAX];
        int widths[COLUMNS_MAX];
        unsigned column_count = 0;
        char cell[CELL_SIZE];

        for (unsigned i = 0; i < type->n_fields && column_count < COLUMNS_MAX; i++) {
                if (!is_plain(&type->fields[i])) continue;
                columns[column_count] = &type->fields[i];
                widths[column_count++] = (int)strlen(type->fields[i].name);
        }
        for (size_t i = 0; i < count; i++) {
                for (unsigned c = 0; c < column_count; c++) {
                        format_value(elements[i], columns[c], cell, sizeof cell);
                        if ((int)strlen(cell) > widths[c]) widths[c] = (int)strlen(cell);
                }
        }
        for (unsigned c = 0; is_first && c < column_count; c++)
                fprintf(out, "%-*s%s", c + 1 < column_count ? widths[c] : 0, columns[c]->name,
                        c + 1 < column_count ? "  " : "\n");
        for (size_t i = 0; i < count; i++) {
                for (unsigned c = 0; c < column_count; c++) {
                        format_value(elements[i], columns[c], cell, sizeof cell);
                        fprintf(out, "%-*s%s", c + 1 < column_count ? widths[c] : 0, cell,
                                c + 1 < column_count ? "  " : "\n");
                }
        }
}

enum result show_page(FILE *out, const ProtobufCMessage *const *elements, size_t count, bool is_first, bool is_json,
                      struct arena *arena)
{
        enum result r = R_OK;

        for (size_t i = 0; is_json && i < count && r == R_OK; i++)
                r = show_json(out, elements[i], arena);
        if (!is_json && count > 0) show_table(out, elements, count, is_first);
        return r;
}
