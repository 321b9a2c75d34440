#include "rpc/grpc_codec.h"

#include <stdio.h>
#include <string.h>

#include "rpc/base64.h"

#define MESSAGE_SIZE_MIN 4096 /* first room for a message that comes in pieces */

void grpc_frame_reader_init(struct grpc_frame_reader *reader, struct arena *arena, size_t message_len_max)
{
        *reader = (struct grpc_frame_reader){.arena = arena, .message_len_max = message_len_max};
}

static struct bytes skip(struct bytes in, size_t len)
{
        return len == 0 ? in : bytes_of(in.data + len, in.len - len);
}

/* Take what is missing of the prefix and judge it once it is whole. */
static enum grpc_frame_outcome read_prefix(struct grpc_frame_reader *reader, struct bytes *in)
{
        size_t take = GRPC_PREFIX_LEN - reader->prefix_len;
        const uint8_t *prefix = reader->prefix;

        if (take > in->len) take = in->len;
        if (take == 0) return GRPC_FRAME_MORE;
        memcpy(reader->prefix + reader->prefix_len, in->data, take);
        reader->prefix_len += (unsigned)take;
        *in = skip(*in, take);
        if (prefix[0] > 1) return GRPC_FRAME_MALFORMED;
        if (prefix[0] == 1) return GRPC_FRAME_COMPRESSED;
        if (reader->prefix_len < GRPC_PREFIX_LEN) return GRPC_FRAME_MORE;
        reader->message_len =
                (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | (size_t)prefix[4];
        reader->message = NULL;
        reader->message_size = 0;
        reader->filled = 0;
        return reader->message_len > reader->message_len_max ? GRPC_FRAME_TOO_LARGE : GRPC_FRAME_MORE;
}

/* Room for `len` bytes of the message: twice what came, never above what was declared. */
static bool make_room(struct grpc_frame_reader *reader, size_t len)
{
        size_t size = len < MESSAGE_SIZE_MIN / 2 ? MESSAGE_SIZE_MIN : len * 2;
        uint8_t *message;

        if (len <= reader->message_size) return true;
        if (size > reader->message_len) size = reader->message_len;
        message = arena_grow(reader->arena, reader->message, reader->message_size, size);
        if (message == NULL) return false;
        reader->message = message;
        reader->message_size = size;
        return true;
}

static enum grpc_frame_outcome read_message(struct grpc_frame_reader *reader, struct bytes *in, struct bytes *message)
{
        size_t missing = reader->message_len - reader->filled;
        size_t take = missing < in->len ? missing : in->len;

        if (reader->filled == 0 && take == missing) {
                *message = bytes_of(in->data, take);
                *in = skip(*in, take);
                reader->prefix_len = 0;
                return GRPC_FRAME_MESSAGE;
        }
        if (take == 0) return GRPC_FRAME_MORE;
        if (!make_room(reader, reader->filled + take)) return GRPC_FRAME_NO_MEMORY;
        memcpy(reader->message + reader->filled, in->data, take);
        reader->filled += take;
        *in = skip(*in, take);
        if (take < missing) return GRPC_FRAME_MORE;
        *message = bytes_of(reader->message, reader->message_len);
        reader->prefix_len = 0;
        return GRPC_FRAME_MESSAGE;
}

enum grpc_frame_outcome grpc_frame_feed(struct grpc_frame_reader *reader, struct bytes *in, struct bytes *message)
{
        enum grpc_frame_outcome outcome = reader->failure;

        if (outcome != GRPC_FRAME_MORE) return outcome;
        if (reader->prefix_len < GRPC_PREFIX_LEN) outcome = read_prefix(reader, in);
        if (outcome == GRPC_FRAME_MORE && reader->prefix_len == GRPC_PREFIX_LEN) {
                outcome = read_message(reader, in, message);
        }
        if (outcome != GRPC_FRAME_MESSAGE) reader->failure = outcome;
        return outcome;
}

bool grpc_frame_is_whole(const struct grpc_frame_reader *reader)
{
        return reader->prefix_len == 0 && reader->failure == GRPC_FRAME_MORE;
}

void grpc_prefix_write(uint8_t out[GRPC_PREFIX_LEN], size_t message_len)
{
        out[0] = 0;
        out[1] = (uint8_t)(message_len >> 24);
        out[2] = (uint8_t)(message_len >> 16);
        out[3] = (uint8_t)(message_len >> 8);
        out[4] = (uint8_t)message_len;
}

/* From the finest to the coarsest. */
static const struct {
        char letter;
        int64_t ns;
} units[] = {
        {'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000}, {'M', 60000000000}, {'H', 3600000000000},
};

#define UNIT_COUNT        (sizeof(units) / sizeof(units[0]))
#define TIMEOUT_DIGIT_MAX 8
#define TIMEOUT_VALUE_MAX 99999999

bool grpc_timeout_parse(struct bytes text, int64_t *timeout_ns)
{
        int64_t value = 0;

        if (text.len < 2 || text.len > TIMEOUT_DIGIT_MAX + 1) return false;
        for (size_t i = 0; i + 1 < text.len; i++) {
                if (text.data[i] < '0' || text.data[i] > '9') return false;
                value = value * 10 + (text.data[i] - '0');
        }
        for (size_t i = 0; i < UNIT_COUNT; i++) {
                if (text.data[text.len - 1] != (uint8_t)units[i].letter) continue;
                if (__builtin_mul_overflow(value, units[i].ns, timeout_ns)) *timeout_ns = INT64_MAX;
                return true;
        }
        return false;
}

void grpc_timeout_format(int64_t timeout_ns, char out[GRPC_TIMEOUT_SIZE])
{
        size_t unit = 0;

        if (timeout_ns < 0) timeout_ns = 0;
        for (size_t i = 1; i < UNIT_COUNT && timeout_ns > 0; i++) {
                if (timeout_ns % units[i].ns == 0) unit = i;
        }
        while (timeout_ns / units[unit].ns >= TIMEOUT_VALUE_MAX) {
                unit++;
        }
        snprintf(out, GRPC_TIMEOUT_SIZE, "%d%c",
                 (int)(timeout_ns / units[unit].ns + (timeout_ns % units[unit].ns != 0)), units[unit].letter);
}

static bool is_plain(uint8_t byte)
{
        return byte >= ' ' && byte <= '~' && byte != '%';
}

struct bytes grpc_message_encode(struct arena *arena, struct bytes text)
{
        static const char hex[] = "0123456789ABCDEF";
        size_t escape_count = 0;
        uint8_t *out, *to;

        for (size_t i = 0; i < text.len; i++) {
                escape_count += !is_plain(text.data[i]);
        }
        if (escape_count == 0) return text.data == NULL ? BYTES("") : text;
        out = arena_alloc(arena, text.len + 2 * escape_count);
        if (out == NULL) return bytes_of(NULL, 0);
        to = out;
        for (size_t i = 0; i < text.len; i++) {
                if (is_plain(text.data[i])) {
                        *to++ = text.data[i];
                        continue;
                }
                *to++ = '%';
                *to++ = (uint8_t)hex[text.data[i] >> 4];
                *to++ = (uint8_t)hex[text.data[i] & 15];
        }
        return bytes_of(out, (size_t)(to - out));
}

/* 0 to 15, or -1. */
static int hex_value(uint8_t digit)
{
        if (digit >= '0' && digit <= '9') return digit - '0';
        digit |= 0x20;
        return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

struct bytes grpc_message_decode(struct arena *arena, struct bytes text)
{
        uint8_t *out = arena_alloc(arena, text.len + 1);
        uint8_t *to = out;
        size_t i = 0;

        if (out == NULL) return bytes_of(NULL, 0);
        while (i < text.len) {
                int high = -1, low = -1;

                if (text.data[i] == '%' && text.len - i >= 3) {
                        high = hex_value(text.data[i + 1]);
                        low = hex_value(text.data[i + 2]);
                }
                if (high >= 0 && low >= 0) {
                        *to++ = (uint8_t)(high << 4 | low);
                        i += 3;
                } else {
                        *to++ = text.data[i++];
                }
        }
        *to = '\0';
        return bytes_of(out, (size_t)(to - out));
}

struct bytes grpc_bin_encode(struct arena *arena, struct bytes value)
{
        char *out = arena_alloc(arena, BASE64_LEN(value.len));

        if (out == NULL) return bytes_of(NULL, 0);
        return bytes_of(out, base64_encode(value, false, out));
}

enum result grpc_bin_next(struct arena *arena, struct bytes *rest, struct bytes *value)
{
        const uint8_t *comma = rest->len == 0 ? NULL : memchr(rest->data, ',', rest->len);
        size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->data);
        struct bytes piece = bytes_of(rest->data, len);
        enum result r;

        while (piece.len > 0 && (piece.data[0] == ' ' || piece.data[0] == '\t')) {
                piece = skip(piece, 1);
        }
        while (piece.len > 0 && (piece.data[piece.len - 1] == ' ' || piece.data[piece.len - 1] == '\t')) {
                piece.len--;
        }
        r = base64_decode(arena, piece, value);
        if (r != R_OK) return r;
        *rest = comma == NULL ? bytes_of(NULL, 0) : skip(*rest, len + 1);
        return R_OK;
}
