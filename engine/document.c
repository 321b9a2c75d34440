#include "engine/document.h"

#include <string.h>

#include "engine/bytes.h"
#include "engine/json_scan.h"

/* The scanner's keys of a checked document go to an arena of its own: 4 MiB of text are at most some 500,000 members
 * with different names, and those take 32 bytes each, twice that while the set doubles, and the halves it outgrew. */
#define SCAN_MEMORY_MAX ((size_t)64 << 20)

static enum result scan_failure(const struct json_scan *scan, const char *path, struct fault *fault)
{
        if (scan->result != R_BAD_ARGUMENT) return scan->result;
        return fault_field(fault, path, "is not valid JSON: %s at byte %zu", scan->error_text, scan->error_offset);
}

static enum result check(struct json_scan *scan, const struct document_rule *rule, const char *path,
                         struct fault *fault)
{
        enum json_event event = json_scan_next(scan);
        size_t members = 0;

        if (event == JSON_ERROR) return scan_failure(scan, path, fault);
        if (event != JSON_OBJECT_BEGIN) return fault_field(fault, path, "must be a JSON object");
        while ((event = json_scan_next(scan)) == JSON_KEY) {
                struct bytes value;

                members++;
                if (rule != NULL && rule->reserved != NULL && bytes_equal(scan->key, bytes_of_text(rule->reserved)))
                        return fault_field(fault, path, "%s", rule->why);
                if (json_skip_value(scan, &value) == JSON_ERROR) break;
        }
        if (event != JSON_OBJECT_END || json_scan_next(scan) != JSON_END) return scan_failure(scan, path, fault);
        if (rule != NULL && rule->members_max > 0 && members > rule->members_max)
                return fault_field(fault, path, "must have at most %zu members", rule->members_max);
        return R_OK;
}

enum result document_check(const char *text, const struct document_rule *rule, const char *path, struct fault *fault)
{
        struct json_scan scan;
        struct arena arena;
        enum result r;

        arena_init(&arena, NULL, SCAN_MEMORY_MAX);
        json_scan_init(&scan, &arena, bytes_of_text(text));
        r = check(&scan, rule, path, fault);
        arena_fini(&arena);
        return r;
}

char *document_copy(struct arena *arena, const char *text)
{
        return (char *)json_copy_document(arena, bytes_of_text(text)).data;
}

/* One member of an object. */
struct member {
        struct bytes key;  /* decoded */
        struct bytes text; /* as written: key, colon, value */
        bool is_null;
};

struct members {
        struct member *list;
        size_t count;
};

/* Read the members of a document; `room` more than those are allocated. */
static enum result read_members(struct arena *arena, const char *text, size_t room, struct members *out)
{
        struct json_scan scan;
        enum json_event event;
        struct member *list = NULL;
        size_t count = 0;

        json_scan_init(&scan, arena, bytes_of_text(text[0] == '\0' ? "{}" : text));
        if (json_scan_next(&scan) != JSON_OBJECT_BEGIN) goto broken;
        while ((event = json_scan_next(&scan)) == JSON_KEY) {
                const uint8_t *start = scan.span.data;
                struct member member = {.key = scan.key};
                struct bytes value;
                size_t size = count == 0 ? 0 : (count + 7) / 8 * 8; /* grown by eights */

                event = json_skip_value(&scan, &value);
                if (event == JSON_ERROR) break;
                member.is_null = event == JSON_NULL;
                member.text = bytes_of(start, (size_t)(value.data + value.len - start));
                if (count == size) {
                        list = arena_grow(arena, list, size * sizeof *list, (size + 8) * sizeof *list);
                        if (list == NULL) return R_NO_MEMORY;
                }
                list[count++] = member;
        }
        if (event != JSON_OBJECT_END || json_scan_next(&scan) != JSON_END) goto broken;
        list = arena_grow(arena, list, count * sizeof *list, (count + room) * sizeof *list);
        if (list == NULL) return R_NO_MEMORY;
        *out = (struct members){list, count};
        return R_OK;

broken:
        return scan.result == R_NO_MEMORY ? R_NO_MEMORY : R_CORRUPT;
}

static struct member *find(const struct members *members, struct bytes key)
{
        size_t i;

        for (i = 0; i < members->count; i++)
                if (bytes_equal(members->list[i].key, key)) return &members->list[i];
        return NULL;
}

static void remove_member(struct members *members, struct member *member)
{
        size_t index = (size_t)(member - members->list);

        members->count--;
        memmove(member, member + 1, (members->count - index) * sizeof *member);
}

static char *write_object(struct arena *arena, const struct members *members)
{
        size_t size = sizeof "{}";
        char *text;
        char *next;
        size_t i;

        for (i = 0; i < members->count; i++)
                size += members->list[i].text.len + 1;
        text = next = arena_alloc(arena, size);
        if (text == NULL) return NULL;
        *next++ = '{';
        for (i = 0; i < members->count; i++) {
                if (i > 0) *next++ = ',';
                memcpy(next, members->list[i].text.data, members->list[i].text.len);
                next += members->list[i].text.len;
        }
        *next++ = '}';
        *next = '\0';
        return text;
}

enum result document_merge(struct arena *arena, const char *stored, const char *patch, char **out, size_t *members)
{
        struct members changes;
        struct members all;
        enum result r;
        char *text;
        size_t i;

        if ((r = read_members(arena, patch, 0, &changes)) != R_OK) return r;
        if ((r = read_members(arena, stored, changes.count, &all)) != R_OK) return r;
        for (i = 0; i < changes.count; i++) {
                const struct member *change = &changes.list[i];
                struct member *old = find(&all, change->key);

                if (change->is_null && old != NULL)
                        remove_member(&all, old);
                else if (!change->is_null && old != NULL)
                        *old = *change;
                else if (!change->is_null)
                        all.list[all.count++] = *change;
        }
        text = write_object(arena, &all);
        if (text == NULL) return R_NO_MEMORY;
        *out = text;
        *members = all.count;
        return R_OK;
}
