#include "engine/json_value.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/utf8.h"

/* "-0." and the 1074 digits behind it of the smallest double, 2^-1074. */
#define NUMBER_LEN_MAX 1077

static unsigned hex_value(uint8_t byte)
{
        return byte <= '9' ? byte - (unsigned)'0' : (byte | 0x20u) - 'a' + 10;
}

static uint32_t hex4(const uint8_t *p)
{
        return hex_value(p[0]) << 12 | hex_value(p[1]) << 8 | hex_value(p[2]) << 4 | hex_value(p[3]);
}

static bool is_high_surrogate(uint32_t code)
{
        return code >= 0xD800 && code < 0xDC00;
}

static bool is_low_surrogate(uint32_t code)
{
        return code >= 0xDC00 && code < 0xE000;
}

/* Read the \uXXXX at *at, and the one behind it if the two are a pair, and move *at past them. */
static uint32_t unicode_escape(const uint8_t **at, const uint8_t *end)
{
        const uint8_t *p = *at;
        uint32_t code = hex4(p + 2);

        *at = p + 6;
        if (is_high_surrogate(code) && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
                uint32_t low = hex4(p + 8);

                if (is_low_surrogate(low)) {
                        *at = p + 12;
                        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
        }
        return code;
}

static uint8_t short_escape(uint8_t letter)
{
        switch (letter) {
        case 'b':
                return '\b';
        case 'f':
                return '\f';
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 't':
                return '\t';
        default:
                return letter; /* quote, backslash, slash */
        }
}

size_t json_unescape(struct bytes inside, uint8_t *out, enum json_oddity *oddity)
{
        const uint8_t *p = inside.data;
        const uint8_t *end = p + inside.len;
        uint8_t *to = out;

        *oddity = JSON_ODDITY_NONE;
        while (p < end) {
                const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
                size_t run = (size_t)((escape == NULL ? end : escape) - p);
                uint32_t code;

                memcpy(to, p, run);
                to += run;
                p += run;
                if (escape == NULL) break;
                if (p[1] != 'u') {
                        *to++ = short_escape(p[1]);
                        p += 2;
                        continue;
                }
                code = unicode_escape(&p, end);
                if (code == 0) *oddity = JSON_ODDITY_NUL;
                if (is_high_surrogate(code) || is_low_surrogate(code)) *oddity = JSON_ODDITY_SURROGATE;
                to += utf8_put(code, to);
        }
        return (size_t)(to - out);
}

enum result json_string_decode(struct arena *arena, struct bytes span, struct bytes *out)
{
        struct bytes inside = bytes_of(span.data + 1, span.len - 2);
        enum json_oddity oddity;
        uint8_t *text = arena_alloc(arena, inside.len + 1);
        size_t len;

        if (text == NULL) return R_NO_MEMORY;
        len = json_unescape(inside, text, &oddity);
        if (oddity != JSON_ODDITY_NONE) return R_BAD_ARGUMENT;
        text[len] = '\0';
        *out = bytes_of(text, len);
        return R_OK;
}

/* The end of the string that starts at `p`, which is valid. */
static const uint8_t *string_end(const uint8_t *p)
{
        for (p++; *p != '"'; p++) {
                if (*p == '\\') p++;
        }
        return p + 1;
}

/* Is the comma at `p` followed by nothing but white space and a closing bracket? A valid value ends with none. */
static bool is_trailing_comma(const uint8_t *p)
{
        do {
                p++;
        } while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t');
        return *p == '}' || *p == ']';
}

struct bytes json_copy_document(struct arena *arena, struct bytes span)
{
        uint8_t *copy = arena_alloc(arena, span.len + 1);
        const uint8_t *p = span.data;
        const uint8_t *end = p + span.len;
        const uint8_t *run = p; /* start of what is not copied yet */
        uint8_t *to = copy;

        if (copy == NULL) return bytes_of(NULL, 0);
        while (p < end) {
                if (*p == '"') {
                        p = string_end(p);
                } else if (*p == ',' && is_trailing_comma(p)) {
                        memcpy(to, run, (size_t)(p - run));
                        to += p - run;
                        run = ++p;
                } else {
                        p++;
                }
        }
        memcpy(to, run, (size_t)(end - run));
        to += end - run;
        *to = '\0';
        return bytes_of(copy, (size_t)(to - copy));
}

/* Read the digits from `p` to `end` as an exponent. Beyond ten digits only its size matters: no text of 4 GiB has as
 * many digits as that would need to come back into range. */
static int64_t exponent_of(const uint8_t *p, const uint8_t *end)
{
        bool is_negative = *p == '-';
        int64_t exponent = 0;

        if (*p == '-' || *p == '+') p++;
        for (; p < end; p++) {
                if (exponent < 10000000000) exponent = exponent * 10 + (*p - '0');
        }
        return is_negative ? -exponent : exponent;
}

static bool append_digit(uint64_t *value, unsigned digit)
{
        return !__builtin_mul_overflow(*value, 10u, value) && !__builtin_add_overflow(*value, digit, value);
}

/* Zeros at the end of the digits are held back as powers of ten until a digit other than 0 needs them, so that 10e-1
 * and 1.000 are whole; in the end the powers of ten left over must not be negative. */
bool json_number_to_int64(struct bytes span, int64_t *out)
{
        const uint8_t *p = span.data;
        const uint8_t *end = p + span.len;
        bool is_negative = *p == '-';
        bool is_fraction = false;
        uint64_t value = 0;
        int64_t zeros = 0;    /* held back */
        int64_t fraction = 0; /* digits behind the point */
        int64_t power = 0;

        for (p += is_negative; p < end && *p != 'e' && *p != 'E'; p++) {
                if (*p == '.') {
                        is_fraction = true;
                        continue;
                }
                fraction += is_fraction;
                zeros++;
                if (*p == '0') continue;
                for (; value != 0 && zeros > 1; zeros--) {
                        if (!append_digit(&value, 0)) return false;
                }
                if (!append_digit(&value, *p - '0')) return false;
                zeros = 0;
        }
        if (value == 0) {
                *out = 0;
                return true;
        }
        if (p < end) power = exponent_of(p + 1, end);
        power += zeros - fraction;
        if (power < 0) return false;
        for (; power > 0; power--) {
                if (!append_digit(&value, 0)) return false;
        }
        if (value > (uint64_t)INT64_MAX + is_negative) return false;
        *out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
        return true;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_make(void)
{
        c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool json_number_to_double(struct bytes span, double *out)
{
        char text[NUMBER_LEN_MAX + 1];
        double value;

        pthread_once(&c_locale_once, c_locale_make);
        if (c_locale == (locale_t)0 || span.len > NUMBER_LEN_MAX) return false;
        memcpy(text, span.data, span.len);
        text[span.len] = '\0';
        value = strtod_l(text, NULL, c_locale);
        if (!isfinite(value)) return false;
        *out = value;
        return true;
}
