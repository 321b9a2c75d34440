#include "rpc/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(struct bytes in, bool is_padded, char *out)
{
        const uint8_t *p = in.data;
        size_t left = in.len;
        char *to = out;

        for (; left >= 3; left -= 3, p += 3) {
                *to++ = alphabet[p[0] >> 2];
                *to++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
                *to++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
                *to++ = alphabet[p[2] & 63];
        }
        if (left > 0) {
                *to++ = alphabet[p[0] >> 2];
                *to++ = alphabet[(p[0] & 3) << 4 | (left == 2 ? p[1] >> 4 : 0)];
                if (left == 2) *to++ = alphabet[(p[1] & 15) << 2];
                while (is_padded && left++ < 3) {
                        *to++ = '=';
                }
        }
        return (size_t)(to - out);
}

/* 0 to 63, or -1. */
static int value_of(uint8_t letter)
{
        if (letter >= 'A' && letter <= 'Z') return letter - 'A';
        if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
        if (letter >= '0' && letter <= '9') return letter - '0' + 52;
        if (letter == '+') return 62;
        return letter == '/' ? 63 : -1;
}

/* The text without its padding; false when the padding or the length cannot be. */
static bool strip(struct bytes *text)
{
        size_t len = text->len;

        while (len > 0 && text->len - len < 2 && text->data[len - 1] == '=') {
                len--;
        }
        if (len % 4 == 1 || (len < text->len && text->len % 4 != 0)) return false;
        text->len = len;
        return true;
}

enum result base64_decode(struct arena *arena, struct bytes text, struct bytes *out)
{
        uint8_t *data;
        size_t len = 0;
        uint32_t bits = 0;
        unsigned bit_count = 0;

        if (!strip(&text)) return R_BAD_ARGUMENT;
        data = arena_alloc(arena, text.len / 4 * 3 + 2);
        if (data == NULL) return R_NO_MEMORY;
        for (size_t i = 0; i < text.len; i++) {
                int value = value_of(text.data[i]);

                if (value < 0) return R_BAD_ARGUMENT;
                bits = bits << 6 | (uint32_t)value;
                bit_count += 6;
                if (bit_count >= 8) {
                        bit_count -= 8;
                        data[len++] = (uint8_t)(bits >> bit_count);
                }
        }
        if ((bits & ((1u << bit_count) - 1)) != 0) return R_BAD_ARGUMENT;
        *out = bytes_of(data, len);
        return R_OK;
}
