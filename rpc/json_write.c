#include "rpc/json_write.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/json_value.h"
#include "engine/json_word.h"
#include "engine/require.h"

#define SIZE_MIN      256 /* a Job without its documents, or an error */
#define REAL_TEXT_MAX 32  /* sign, 17 digits, point, "e-324", and slack */

/* Room for `more` bytes, or NULL for ever after. */
static uint8_t *reserve(struct json_write *write, size_t more)
{
        size_t size = write->size;
        uint8_t *data;

        if (write->has_failed) return NULL;
        if (size - write->len >= more) return write->data + write->len;
        size = size < SIZE_MIN ? SIZE_MIN : size * 2;
        if (size - write->len < more) size = write->len + more;
        data = arena_grow(write->arena, write->data, write->size, size);
        if (data == NULL) {
                write->has_failed = true;
                return NULL;
        }
        write->data = data;
        write->size = size;
        return data + write->len;
}

static void append(struct json_write *write, const void *text, size_t len)
{
        uint8_t *to = reserve(write, len);

        if (to == NULL || len == 0) return;
        memcpy(to, text, len);
        write->len += len;
}

static void append_byte(struct json_write *write, char byte)
{
        uint8_t *to = reserve(write, 1);

        if (to == NULL) return;
        *to = (uint8_t)byte;
        write->len++;
}

/* What comes before a value or a key. */
static void separate(struct json_write *write)
{
        if (write->needs_comma) append_byte(write, ',');
        write->needs_comma = true;
}

static void begin(struct json_write *write, char bracket)
{
        separate(write);
        append_byte(write, bracket);
        write->needs_comma = false;
        write->depth++;
}

static void end(struct json_write *write, char bracket)
{
        REQUIRE(write->depth > 0);
        append_byte(write, bracket);
        write->needs_comma = true;
        write->depth--;
}

void json_write_init(struct json_write *write, struct arena *arena, size_t size_hint)
{
        *write = (struct json_write){.arena = arena};
        if (size_hint > 0) reserve(write, size_hint);
}

void json_write_object_begin(struct json_write *write)
{
        begin(write, '{');
}

void json_write_object_end(struct json_write *write)
{
        end(write, '}');
}

void json_write_array_begin(struct json_write *write)
{
        begin(write, '[');
}

void json_write_array_end(struct json_write *write)
{
        end(write, ']');
}

/* How each byte is written: 0 as it is, 'u' as \u00XX, anything else as a backslash and that letter. */
static const uint8_t escapes[256] = {
        [0] = 'u',  [1] = 'u',    [2] = 'u',    [3] = 'u',    [4] = 'u',   [5] = 'u',     [6] = 'u',
        [7] = 'u',  ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [11] = 'u',  ['\f'] = 'f',  ['\r'] = 'r',
        [14] = 'u', [15] = 'u',   [16] = 'u',   [17] = 'u',   [18] = 'u',  [19] = 'u',    [20] = 'u',
        [21] = 'u', [22] = 'u',   [23] = 'u',   [24] = 'u',   [25] = 'u',  [26] = 'u',    [27] = 'u',
        [28] = 'u', [29] = 'u',   [30] = 'u',   [31] = 'u',   ['"'] = '"', ['\\'] = '\\',
};

static void append_escape(struct json_write *write, uint8_t byte)
{
        static const char hex[] = "0123456789abcdef";
        char text[6] = {'\\', (char)escapes[byte], '0', '0', hex[byte >> 4], hex[byte & 15]};

        append(write, text, text[1] == 'u' ? 6 : 2);
}

/* Copy up to the first byte that needs an escape, and return how much that was. */
static size_t copy_plain(uint8_t *to, const uint8_t *from, size_t len)
{
        size_t done = 0;

        while (len - done >= 8) {
                uint64_t word;

                memcpy(&word, from + done, sizeof(word));
                if (json_word_has_special(word)) break;
                memcpy(to + done, &word, sizeof(word));
                done += 8;
        }
        while (done < len && escapes[from[done]] == 0) {
                to[done] = from[done];
                done++;
        }
        return done;
}

static void append_quoted(struct json_write *write, struct bytes text)
{
        const uint8_t *p = text.data;
        size_t left = text.len;
        uint8_t *to;

        append_byte(write, '"');
        while ((to = reserve(write, left + 1)) != NULL) {
                size_t run = copy_plain(to, p, left);

                write->len += run;
                if (run == left) break;
                append_escape(write, p[run]);
                p += run + 1;
                left -= run + 1;
        }
        append_byte(write, '"');
}

void json_write_name(struct json_write *write, const char *name)
{
        size_t len = strlen(name);
        uint8_t *to;

        separate(write);
        write->needs_comma = false;
        to = reserve(write, len + 3);
        if (to == NULL) return;
        to[0] = '"';
        memcpy(to + 1, name, len);
        to[len + 1] = '"';
        to[len + 2] = ':';
        write->len += len + 3;
}

void json_write_key(struct json_write *write, struct bytes key)
{
        separate(write);
        append_quoted(write, key);
        append_byte(write, ':');
        write->needs_comma = false;
}

void json_write_raw_key(struct json_write *write, struct bytes key)
{
        separate(write);
        append(write, key.data, key.len);
        append_byte(write, ':');
        write->needs_comma = false;
}

void json_write_string(struct json_write *write, struct bytes text)
{
        separate(write);
        append_quoted(write, text);
}

void json_write_text(struct json_write *write, const char *text)
{
        json_write_string(write, bytes_of_text(text));
}

void json_write_uint64(struct json_write *write, uint64_t value)
{
        char text[20]; /* 2^64 - 1 has as many digits */
        char *p = text + sizeof(text);

        do {
                *--p = (char)('0' + value % 10);
                value /= 10;
        } while (value > 0);
        separate(write);
        append(write, p, (size_t)(text + sizeof(text) - p));
}

void json_write_int64(struct json_write *write, int64_t value)
{
        if (value >= 0) {
                json_write_uint64(write, (uint64_t)value);
                return;
        }
        separate(write);
        append_byte(write, '-');
        write->needs_comma = false;
        json_write_uint64(write, 0 - (uint64_t)value);
}

/* The value to `digit_count` digits, as digits alone and the power of ten of the first one. snprintf's decimal point
 * depends on the locale, so only its digits are used. */
static size_t digits_of(double value, int digit_count, char digits[REAL_TEXT_MAX], int *power)
{
        char text[REAL_TEXT_MAX];
        const char *p = text;
        size_t len = 0;
        int exponent = 0;

        snprintf(text, sizeof(text), "%.*e", digit_count - 1, value);
        for (; *p != 'e'; p++) {
                if (*p >= '0' && *p <= '9') digits[len++] = *p;
        }
        for (p += 2; *p != '\0'; p++) {
                exponent = exponent * 10 + (*p - '0');
        }
        *power = strchr(text, 'e')[1] == '-' ? -exponent : exponent;
        while (len > 1 && digits[len - 1] == '0') {
                len--;
        }
        return len;
}

/* Plain from 1e-5 to below 1e16, where the zeros stay few; scientific outside. */
static size_t layout(bool is_negative, const char *digits, size_t len, int power, char out[2 * REAL_TEXT_MAX])
{
        char *to = out;

        if (is_negative) *to++ = '-';
        if (power >= 16 || power < -5) {
                *to++ = digits[0];
                if (len > 1) *to++ = '.';
                memcpy(to, digits + 1, len - 1);
                to += len - 1;
                return (size_t)(to - out) + (size_t)snprintf(to, 8, "e%d", power);
        }
        if (power < 0) {
                *to++ = '0';
                *to++ = '.';
                for (int i = -1; i > power; i--) {
                        *to++ = '0';
                }
        }
        for (size_t i = 0; i < len || (int)i <= power + 1; i++) {
                if (power >= 0 && (int)i == power + 1) *to++ = '.';
                *to++ = i < len ? digits[i] : '0';
        }
        return (size_t)(to - out);
}

static size_t format_real(double value, int digits_min, int digits_max, bool is_float, char out[2 * REAL_TEXT_MAX])
{
        char digits[REAL_TEXT_MAX] = "0";
        size_t len = 0;

        for (int count = digits_min; count <= digits_max; count++) {
                int power;
                size_t digit_count = digits_of(fabs(value), count, digits, &power);
                double back;

                len = layout(signbit(value), digits, digit_count, power, out);
                if (!json_number_to_double(bytes_of(out, len), &back)) continue;
                if (is_float ? (float)back == (float)value : back == value) break;
        }
        return len;
}

static void write_real(struct json_write *write, double value, bool is_subnormal, bool is_float)
{
        char text[2 * REAL_TEXT_MAX];
        int digits_max = is_float ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;
        int digits_min = is_float ? FLT_DIG : DBL_DIG;

        if (!isfinite(value)) {
                json_write_null(write);
                return;
        }
        if (is_subnormal) digits_min = 1;
        separate(write);
        append(write, text, format_real(value, digits_min, digits_max, is_float, text));
}

void json_write_double(struct json_write *write, double value)
{
        write_real(write, value, fpclassify(value) == FP_SUBNORMAL, false);
}

void json_write_float(struct json_write *write, float value)
{
        write_real(write, (double)value, fpclassify(value) == FP_SUBNORMAL, true);
}

void json_write_bool(struct json_write *write, bool value)
{
        json_write_raw(write, value ? BYTES("true") : BYTES("false"));
}

void json_write_null(struct json_write *write)
{
        json_write_raw(write, BYTES("null"));
}

void json_write_raw(struct json_write *write, struct bytes json)
{
        separate(write);
        append(write, json.data, json.len);
}

enum result json_write_finish(struct json_write *write, struct bytes *out)
{
        REQUIRE(write->depth == 0);
        if (write->has_failed) return R_NO_MEMORY;
        *out = bytes_of(write->data, write->len);
        return R_OK;
}
