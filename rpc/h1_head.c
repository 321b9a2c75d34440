#include "rpc/h1_head.h"

#include <strings.h>

#include "rpc/limits.h"

/* A token's characters, RFC 9110 section 5.6.2. */
static bool is_tchar(uint8_t c)
{
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
        return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_digit(uint8_t c)
{
        return c >= '0' && c <= '9';
}

/* Of a field's value: visible, space, tab, and what HTTP calls obs-text. */
static bool is_value_char(uint8_t c)
{
        return c == '\t' || (c >= ' ' && c != 0x7f);
}

long h1_head_find_end(struct bytes bytes, size_t *scanned)
{
        while (*scanned < bytes.len) {
                const uint8_t *lf = memchr(bytes.data + *scanned, '\n', bytes.len - *scanned);
                size_t at;

                if (lf == NULL) break;
                at = (size_t)(lf - bytes.data);
                if (at == 0 || bytes.data[at - 1] != '\r') return -1;
                *scanned = at + 1;
                if (at >= 3 && bytes.data[at - 2] == '\n') return (long)*scanned;
        }
        *scanned = bytes.len;
        return 0;
}

struct facts {
        unsigned content_lengths, transfer_encodings, hosts, fields;
        bool is_http10;
};

/* Without its CR LF. */
static bool next_line(struct bytes *rest, struct bytes *line)
{
        const uint8_t *lf = memchr(rest->data, '\n', rest->len);
        size_t len;

        if (lf == NULL || lf == rest->data || lf[-1] != '\r') return false;
        len = (size_t)(lf - rest->data) - 1;
        *line = bytes_of(rest->data, len);
        *rest = bytes_of(lf + 1, rest->len - len - 2);
        return memchr(line->data, '\r', len) == NULL;
}

/* method SP target SP HTTP/1.x */
static int check_request_line(struct bytes line, struct facts *facts)
{
        static const char version[] = "HTTP/";
        size_t at = 0;
        size_t start;

        while (at < line.len && is_tchar(line.data[at]))
                at++;
        if (at == 0 || at == line.len || line.data[at] != ' ') return 400;
        start = ++at;
        while (at < line.len && line.data[at] > ' ' && line.data[at] < 0x7f)
                at++;
        if (at == start || at == line.len || line.data[at] != ' ') return 400;
        if (at - start > HEAD_TARGET_MAX) return 414;
        at++;
        line = bytes_of(line.data + at, line.len - at);
        if (line.len != 8 || memcmp(line.data, version, 5) != 0 || !is_digit(line.data[5]) || line.data[6] != '.' ||
            !is_digit(line.data[7]))
                return 400;
        if (line.data[5] != '1') return 505;
        if (line.data[7] > '1') return 400;
        facts->is_http10 = line.data[7] == '0';
        return 0;
}

static bool is_name(struct bytes name, struct bytes other)
{
        return name.len == other.len && strncasecmp((const char *)name.data, (const char *)other.data, name.len) == 0;
}

/* Digits, few enough for 63 bits. */
static bool is_length(struct bytes value)
{
        size_t i;

        for (i = 0; i < value.len; i++) {
                if (!is_digit(value.data[i])) return false;
        }
        return value.len > 0 && value.len <= 18;
}

static bool is_hex(uint8_t c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A name or an IPv4 address: unreserved, sub-delims, and bytes in hex behind a percent sign (RFC 3986 section 3.2.2).
 */
static size_t name_len_of(struct bytes host)
{
        size_t at = 0;

        while (at < host.len) {
                uint8_t c = host.data[at];

                if (c == '%' && host.len - at > 2 && is_hex(host.data[at + 1]) && is_hex(host.data[at + 2]))
                        at += 3;
                else if (c == '(' || c == ')' || c == ',' || c == ';' || c == '=' ||
                         (is_tchar(c) && strchr("%#^`|", c) == NULL))
                        at++;
                else
                        break;
        }
        return at;
}

/* "[::1]"; what stands between the brackets is nobody's matter here. 0: it does not end. */
static size_t literal_len_of(struct bytes host)
{
        size_t at = 1;

        while (at < host.len && (is_hex(host.data[at]) || host.data[at] == ':' || host.data[at] == '.'))
                at++;
        return at > 1 && at < host.len && host.data[at] == ']' ? at + 1 : 0;
}

bool h1_is_host(struct bytes value)
{
        bool is_literal = value.len > 0 && value.data[0] == '[';
        size_t at = is_literal ? literal_len_of(value) : name_len_of(value);

        if (is_literal && at == 0) return false;
        if (at == value.len) return true;
        if (value.data[at++] != ':') return false;
        while (at < value.len && is_digit(value.data[at]))
                at++;
        return at == value.len;
}

static bool note_field(struct bytes name, struct bytes value, struct facts *facts)
{
        if (is_name(name, BYTES("content-length"))) {
                facts->content_lengths++;
                return is_length(value);
        }
        if (is_name(name, BYTES("transfer-encoding"))) {
                facts->transfer_encodings++;
                return is_name(value, BYTES("chunked"));
        }
        if (!is_name(name, BYTES("host"))) return true;
        facts->hosts++;
        return h1_is_host(value);
}

static bool check_field(struct bytes line, struct facts *facts)
{
        size_t name_len = 0;
        struct bytes value;
        size_t i;

        while (name_len < line.len && is_tchar(line.data[name_len]))
                name_len++;
        if (name_len == 0 || name_len == line.len || line.data[name_len] != ':') return false;
        value = bytes_of(line.data + name_len + 1, line.len - name_len - 1);
        for (i = 0; i < value.len; i++) {
                if (!is_value_char(value.data[i])) return false;
        }
        while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
                value = bytes_of(value.data + 1, value.len - 1);
        while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
                value.len--;
        return note_field(bytes_of(line.data, name_len), value, facts);
}

int h1_head_check(struct bytes head)
{
        struct facts facts = {0};
        struct bytes rest = head;
        struct bytes line;
        int status;

        if (!next_line(&rest, &line)) return 400;
        status = check_request_line(line, &facts);
        if (status != 0) return status;
        for (;;) {
                if (!next_line(&rest, &line)) return 400;
                if (line.len == 0) break;
                if (++facts.fields > HEAD_FIELDS_MAX) return 431;
                if (!check_field(line, &facts)) return 400;
        }
        if (rest.len > 0) return 400;
        if (facts.content_lengths + facts.transfer_encodings > 1) return 400;
        if (facts.is_http10 && facts.transfer_encodings > 0) return 400; /* RFC 9112 section 6.1: faulty framing */
        if (facts.hosts > 1 || (facts.hosts == 0 && !facts.is_http10)) return 400;
        return 0;
}

/* ---- Chunked bodies ---- */

static int hex_value(uint8_t c)
{
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
}

static void begin_line(struct h1_chunks *chunks, enum h1_chunk_state state)
{
        chunks->state = state;
        chunks->line_len = 0;
        chunks->digits = 0;
        chunks->has_cr = false;
        chunks->is_in_extension = false;
        chunks->is_in_value = false;
}

/* One byte of a size line. Extensions are skipped: `1f;name=value`. */
static bool take_size(struct h1_chunks *chunks, uint8_t c)
{
        int digit = hex_value(c);

        if (chunks->is_in_extension) return is_value_char(c);
        if (digit >= 0) {
                if (++chunks->digits > 15) return false; /* 60 bits */
                chunks->left = (chunks->digits == 1 ? 0 : chunks->left << 4) | (unsigned)digit;
                return true;
        }
        chunks->is_in_extension = true;
        return c == ';' && chunks->digits > 0;
}

/* One byte of a trailer, `name: value`. */
static bool take_trailer(struct h1_chunks *chunks, uint8_t c)
{
        if (chunks->is_in_value) return is_value_char(c);
        chunks->is_in_value = c == ':' && chunks->line_len > 0;
        return chunks->is_in_value || is_tchar(c);
}

static void end_line(struct h1_chunks *chunks)
{
        if (chunks->state == H1_CHUNK_TRAILER) {
                if (chunks->line_len == 0)
                        chunks->state = H1_CHUNK_DONE;
                else if (!chunks->is_in_value)
                        chunks->state = H1_CHUNK_BAD;
                else
                        begin_line(chunks, H1_CHUNK_TRAILER);
        } else if (chunks->digits == 0) {
                chunks->state = H1_CHUNK_BAD;
        } else if (chunks->left == 0) {
                begin_line(chunks, H1_CHUNK_TRAILER);
        } else {
                chunks->state = H1_CHUNK_DATA;
        }
}

/* One byte of a size line or a trailer. */
static void take_line_byte(struct h1_chunks *chunks, uint8_t c)
{
        bool is_good;

        if (++chunks->overhead > CHUNK_OVERHEAD_MAX) {
                chunks->state = H1_CHUNK_BAD;
                return;
        }
        if (chunks->has_cr) {
                if (c == '\n')
                        end_line(chunks);
                else
                        chunks->state = H1_CHUNK_BAD;
                return;
        }
        if (c == '\r') {
                chunks->has_cr = true;
                return;
        }
        if (chunks->state == H1_CHUNK_LINE)
                is_good = take_size(chunks, c) && chunks->line_len < CHUNK_LINE_MAX;
        else
                is_good = take_trailer(chunks, c);
        chunks->line_len++;
        if (!is_good) chunks->state = H1_CHUNK_BAD;
}

static size_t take_data(struct h1_chunks *chunks, struct bytes bytes, struct bytes *data)
{
        size_t len = chunks->left < bytes.len ? (size_t)chunks->left : bytes.len;

        *data = bytes_of(bytes.data, len);
        chunks->left -= len;
        if (chunks->left == 0) chunks->state = H1_CHUNK_DATA_CR;
        return len;
}

size_t h1_chunks_take(struct h1_chunks *chunks, struct bytes bytes, struct bytes *data)
{
        size_t at = 0;

        *data = (struct bytes){0};
        while (at < bytes.len) {
                switch (chunks->state) {
                case H1_CHUNK_LINE:
                case H1_CHUNK_TRAILER:
                        take_line_byte(chunks, bytes.data[at++]);
                        break;
                case H1_CHUNK_DATA:
                        return at + take_data(chunks, bytes_of(bytes.data + at, bytes.len - at), data);
                case H1_CHUNK_DATA_CR:
                        chunks->state = bytes.data[at++] == '\r' ? H1_CHUNK_DATA_LF : H1_CHUNK_BAD;
                        break;
                case H1_CHUNK_DATA_LF:
                        if (bytes.data[at++] == '\n')
                                begin_line(chunks, H1_CHUNK_LINE);
                        else
                                chunks->state = H1_CHUNK_BAD;
                        break;
                case H1_CHUNK_DONE:
                case H1_CHUNK_BAD:
                        return at;
                }
        }
        return at;
}
