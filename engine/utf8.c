#include "engine/utf8.h"

#define HIGH_BITS 0x8080808080808080u

/* How many bytes from `at` are ASCII, rounded down to whole words. */
static size_t ascii_words(const uint8_t *at, const uint8_t *end)
{
        const uint8_t *p = at;

        while (end - p >= 8) {
                uint64_t word;

                memcpy(&word, p, sizeof(word));
                if (word & HIGH_BITS) break;
                p += 8;
        }
        return (size_t)(p - at);
}

static bool is_tail(uint8_t byte)
{
        return (byte & 0xC0) == 0x80;
}

/* RFC 3629, section 4. The second byte carries the limits that rule out overlong forms, surrogates and too much. */
size_t utf8_char_len(struct bytes text)
{
        const uint8_t *p = text.data;
        uint8_t low = 0x80, high = 0xBF;
        size_t len;

        if (text.len == 0) return 0;
        if (p[0] < 0x80) return 1;
        if (p[0] < 0xC2) return 0;
        if (p[0] < 0xE0) {
                len = 2;
        } else if (p[0] < 0xF0) {
                len = 3;
                if (p[0] == 0xE0) low = 0xA0;
                if (p[0] == 0xED) high = 0x9F;
        } else if (p[0] < 0xF5) {
                len = 4;
                if (p[0] == 0xF0) low = 0x90;
                if (p[0] == 0xF4) high = 0x8F;
        } else {
                return 0;
        }
        if (text.len < len || p[1] < low || p[1] > high) return 0;
        for (size_t i = 2; i < len; i++) {
                if (!is_tail(p[i])) return 0;
        }
        return len;
}

size_t utf8_valid_len(struct bytes text)
{
        const uint8_t *p = text.data;
        const uint8_t *end = text.data + text.len;

        while (p < end) {
                size_t len;

                if (*p < 0x80) {
                        size_t skip = ascii_words(p, end);

                        p += skip > 0 ? skip : 1;
                        continue;
                }
                len = utf8_char_len(bytes_of(p, (size_t)(end - p)));
                if (len == 0) break;
                p += len;
        }
        return text.len == 0 ? 0 : (size_t)(p - text.data);
}

/* ASCII without NUL, which nearly all text is, is checked in one pass: the sum carries into the high bit, without
 * overflow between bytes, exactly where a byte below 0x80 is not 0. */
bool utf8_is_text(struct bytes text)
{
        const uint8_t *p = text.data;
        size_t left = text.len;

        while (left >= 8) {
                uint64_t word;

                memcpy(&word, p, sizeof(word));
                if (word & HIGH_BITS || ((word + 0x7F7F7F7F7F7F7F7Fu) & HIGH_BITS) != HIGH_BITS) break;
                p += 8;
                left -= 8;
        }
        if (left == 0) return true;
        return memchr(p, '\0', left) == NULL && utf8_valid_len(bytes_of(p, left)) == left;
}

size_t utf8_count(struct bytes text)
{
        size_t count = 0;

        for (size_t i = 0; i < text.len; i++) {
                count += !is_tail(text.data[i]);
        }
        return count;
}

size_t utf8_put(uint32_t code, uint8_t out[4])
{
        if (code < 0x80) {
                out[0] = (uint8_t)code;
                return 1;
        }
        if (code < 0x800) {
                out[0] = (uint8_t)(0xC0 | code >> 6);
                out[1] = (uint8_t)(0x80 | (code & 0x3F));
                return 2;
        }
        if (code < 0x10000) {
                out[0] = (uint8_t)(0xE0 | code >> 12);
                out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
                out[2] = (uint8_t)(0x80 | (code & 0x3F));
                return 3;
        }
        out[0] = (uint8_t)(0xF0 | code >> 18);
        out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[3] = (uint8_t)(0x80 | (code & 0x3F));
        return 4;
}
