#include "engine/json_scan.h"

#include <string.h>

#include "engine/json_keys.h"
#include "engine/json_word.h"
#include "engine/require.h"
#include "engine/utf8.h"

/* What may come next. */
enum expect {
        EXPECT_VALUE, /* a value: at the start, or behind a key */
        EXPECT_ITEM,  /* right behind a begin: an item or the end */
        EXPECT_MORE,  /* behind a value: a comma, the end, or nothing more at depth 0 */
};

static enum json_event fail(struct json_scan *scan, const uint8_t *at, const char *text)
{
        scan->result = R_BAD_ARGUMENT;
        scan->error_offset = (size_t)(at - scan->start);
        scan->error_text = text;
        return JSON_ERROR;
}

static enum json_event fail_memory(struct json_scan *scan)
{
        scan->result = R_NO_MEMORY;
        return JSON_ERROR;
}

static enum json_event fail_early_end(struct json_scan *scan)
{
        return fail(scan, scan->end, "the text ends too early");
}

static bool is_digit(uint8_t byte)
{
        return byte >= '0' && byte <= '9';
}

static bool is_hex(uint8_t byte)
{
        return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

static bool in_object(const struct json_scan *scan)
{
        return scan->depth > 0 && (scan->is_object >> (scan->depth - 1) & 1) != 0;
}

static void skip_space(struct json_scan *scan)
{
        const uint8_t *p = scan->next;

        while (p < scan->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
                p++;
        }
        scan->next = p;
}

/* An event of `len` bytes at scan->next. */
static enum json_event take(struct json_scan *scan, enum json_event event, size_t len)
{
        scan->span = bytes_of(scan->next, len);
        scan->next += len;
        return event;
}

/* Move over whole words of printable ASCII other than quote and backslash. */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
        while (end - p >= 8) {
                uint64_t word;

                memcpy(&word, p, sizeof(word));
                if (!json_word_is_ascii(word) || json_word_has_special(word)) break;
                p += 8;
        }
        return p;
}

/* The length of the escape at `p`, which has at least two bytes, or 0. */
static size_t escape_len(const uint8_t *p, const uint8_t *end)
{
        switch (p[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                return 2;
        case 'u':
                if (end - p < 6) return 0;
                for (int i = 2; i < 6; i++) {
                        if (!is_hex(p[i])) return 0;
                }
                return 6;
        default:
                return 0;
        }
}

/* Read the string at scan->next, which is at a quote. */
static enum json_event scan_string(struct json_scan *scan, enum json_event event, bool *has_escape)
{
        const uint8_t *end = scan->end;
        const uint8_t *p = scan->next + 1;

        *has_escape = false;
        for (;;) {
                size_t len;

                p = skip_plain(p, end);
                while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
                        p++;
                }
                if (p == end) return fail_early_end(scan);
                if (*p == '"') return take(scan, event, (size_t)(p + 1 - scan->next));
                if (*p == '\\') {
                        if (p + 1 == end) return fail_early_end(scan);
                        len = escape_len(p, end);
                        if (len == 0) return fail(scan, p, "unknown escape in a string");
                        *has_escape = true;
                } else if (*p < 0x20) {
                        return fail(scan, p, "control character in a string");
                } else {
                        len = utf8_char_len(bytes_of(p, (size_t)(end - p)));
                        if (len == 0) return fail(scan, p, "invalid UTF-8 in a string");
                }
                p += len;
        }
}

/* Move over digits; NULL when there is none. */
static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
        if (p == end || !is_digit(*p)) return NULL;
        while (p < end && is_digit(*p)) {
                p++;
        }
        return p;
}

static enum json_event fail_digit(struct json_scan *scan, const uint8_t *at)
{
        return at == scan->end ? fail_early_end(scan) : fail(scan, at, "a digit is missing in a number");
}

/* RFC 8259, section 6. What may not stand behind a number is found by the next event. */
static enum json_event scan_number(struct json_scan *scan)
{
        const uint8_t *end = scan->end;
        const uint8_t *p = scan->next;
        const uint8_t *part;

        if (*p == '-') p++;
        part = p;
        p = skip_digits(part, end);
        if (p == NULL) return fail_digit(scan, part);
        if (*part == '0' && p - part > 1) return fail(scan, part, "a number with a leading zero");
        if (p < end && *p == '.') {
                part = p + 1;
                p = skip_digits(part, end);
                if (p == NULL) return fail_digit(scan, part);
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                part = p + 1;
                if (part < end && (*part == '+' || *part == '-')) part++;
                p = skip_digits(part, end);
                if (p == NULL) return fail_digit(scan, part);
        }
        return take(scan, JSON_NUMBER, (size_t)(p - scan->next));
}

static enum json_event scan_literal(struct json_scan *scan, enum json_event event, struct bytes literal)
{
        struct bytes left = bytes_of(scan->next, (size_t)(scan->end - scan->next));

        if (!bytes_start_with(left, literal)) return fail(scan, scan->next, "expected a value");
        return take(scan, event, literal.len);
}

static enum json_event begin(struct json_scan *scan, bool is_object)
{
        uint64_t bit;

        if (scan->depth == JSON_DEPTH_MAX) return fail(scan, scan->next, "nested more than 64 deep");
        bit = (uint64_t)1 << scan->depth;
        if (is_object) {
                json_keys_open(scan);
                scan->is_object |= bit;
        } else {
                scan->is_object &= ~bit;
        }
        scan->depth++;
        scan->expect = EXPECT_ITEM;
        return take(scan, is_object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN, 1);
}

static enum json_event end(struct json_scan *scan)
{
        bool is_object = in_object(scan);

        scan->depth--;
        if (is_object) json_keys_close(scan);
        scan->expect = EXPECT_MORE;
        return take(scan, is_object ? JSON_OBJECT_END : JSON_ARRAY_END, 1);
}

static enum json_event scan_value(struct json_scan *scan)
{
        bool has_escape;

        if (scan->next == scan->end) return fail_early_end(scan);
        scan->expect = EXPECT_MORE;
        switch (*scan->next) {
        case '{':
                return begin(scan, true);
        case '[':
                return begin(scan, false);
        case '"':
                return scan_string(scan, JSON_STRING, &has_escape);
        case '-':
        case '0':
        case '1':
        case '2':
        case '3':
        case '4':
        case '5':
        case '6':
        case '7':
        case '8':
        case '9':
                return scan_number(scan);
        case 't':
                return scan_literal(scan, JSON_TRUE, BYTES("true"));
        case 'f':
                return scan_literal(scan, JSON_FALSE, BYTES("false"));
        case 'n':
                return scan_literal(scan, JSON_NULL, BYTES("null"));
        case '/':
                return fail(scan, scan->next, "comments are not allowed");
        case '\'':
                return fail(scan, scan->next, "strings need double quotes");
        default:
                return fail(scan, scan->next, "expected a value");
        }
}

/* scan->span is the key as written; put it, decoded, in scan->key. */
static bool decode_key(struct json_scan *scan, bool has_escape)
{
        struct bytes inside = bytes_of(scan->span.data + 1, scan->span.len - 2);
        enum json_oddity oddity;
        uint8_t *decoded;

        scan->key = inside;
        if (!has_escape) return true;
        decoded = arena_alloc(scan->arena, inside.len);
        if (decoded == NULL) return false;
        scan->key = bytes_of(decoded, json_unescape(inside, decoded, &oddity));
        return true;
}

static enum json_event scan_key(struct json_scan *scan)
{
        bool has_escape;
        enum result r;

        if (scan->next == scan->end) return fail_early_end(scan);
        if (*scan->next != '"') return fail(scan, scan->next, "expected a key in double quotes");
        if (scan_string(scan, JSON_KEY, &has_escape) == JSON_ERROR) return JSON_ERROR;
        if (!decode_key(scan, has_escape)) return fail_memory(scan);
        r = json_keys_add(scan, scan->key);
        if (r == R_EXISTS) return fail(scan, scan->span.data, "a key that occurs twice in an object");
        if (r != R_OK) return fail_memory(scan);
        skip_space(scan);
        if (scan->next == scan->end) return fail_early_end(scan);
        if (*scan->next != ':') return fail(scan, scan->next, "expected a colon");
        scan->next++;
        scan->expect = EXPECT_VALUE;
        return JSON_KEY;
}

static enum json_event scan_end(struct json_scan *scan)
{
        if (scan->next != scan->end) return fail(scan, scan->next, "text behind the value");
        return take(scan, JSON_END, 0);
}

void json_scan_init(struct json_scan *scan, struct arena *arena, struct bytes text)
{
        if (text.data == NULL) text = BYTES("");
        REQUIRE(text.len < UINT32_MAX);
        scan->start = text.data;
        scan->next = text.data;
        scan->end = text.data + text.len;
        scan->span = bytes_of(text.data, 0);
        scan->key = scan->span;
        scan->is_object = 0;
        scan->depth = 0;
        scan->expect = EXPECT_VALUE;
        scan->result = R_OK;
        scan->error_offset = 0;
        scan->error_text = "";
        scan->arena = arena;
        json_keys_init(scan);
        if (bytes_start_with(text, BYTES("\xEF\xBB\xBF"))) fail(scan, scan->start, "a byte order mark");
}

enum json_event json_scan_next(struct json_scan *scan)
{
        uint8_t closing = in_object(scan) ? '}' : ']';

        if (scan->result != R_OK) return JSON_ERROR;
        skip_space(scan);
        if (scan->expect == EXPECT_VALUE) return scan_value(scan);
        if (scan->expect == EXPECT_MORE) {
                if (scan->depth == 0) return scan_end(scan);
                if (scan->next == scan->end) return fail_early_end(scan);
                if (*scan->next == closing) return end(scan);
                if (*scan->next != ',') {
                        return fail(scan, scan->next,
                                    closing == '}' ? "expected a comma or }" : "expected a comma or ]");
                }
                scan->next++;
                skip_space(scan);
        }
        if (scan->next < scan->end && *scan->next == closing) return end(scan);
        return closing == '}' ? scan_key(scan) : scan_value(scan);
}

bool json_skip_rest(struct json_scan *scan, struct bytes *span)
{
        const uint8_t *first = scan->span.data;
        unsigned depth = scan->depth;

        if (scan->result != R_OK) return false;
        if (scan->expect == EXPECT_ITEM) {
                do {
                        if (json_scan_next(scan) == JSON_ERROR) return false;
                } while (scan->depth >= depth);
        }
        *span = bytes_of(first, (size_t)(scan->next - first));
        return true;
}

enum json_event json_skip_value(struct json_scan *scan, struct bytes *span)
{
        enum json_event event = json_scan_next(scan);

        switch (event) {
        case JSON_OBJECT_END:
        case JSON_ARRAY_END:
        case JSON_END:
        case JSON_KEY:
        case JSON_ERROR:
                return event;
        default:
                return json_skip_rest(scan, span) ? event : JSON_ERROR;
        }
}

enum result json_scan_fault(const struct json_scan *scan, struct fault *fault)
{
        REQUIRE(scan->result != R_OK);
        if (scan->result != R_BAD_ARGUMENT) return scan->result;
        return fault_set(fault, R_BAD_ARGUMENT, "Invalid JSON at byte %zu: %s.", scan->error_offset, scan->error_text);
}
