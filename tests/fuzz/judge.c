#include "tests/fuzz/judge.h"

#include <stdlib.h>

#include "engine/require.h"

#define DEPTH_MAX 64

struct judge {
        const uint8_t *at, *end;
        unsigned depth;
        bool takes_trailing_comma;
};

/* A key of the object being read, decoded to code points. */
struct name {
        uint32_t *codes;
        size_t len;
};

static int peek(const struct judge *judge)
{
        return judge->at < judge->end ? *judge->at : -1;
}

static bool take(struct judge *judge, int byte)
{
        if (peek(judge) != byte) return false;
        judge->at++;
        return true;
}

static void space(struct judge *judge)
{
        while (take(judge, ' ') || take(judge, '\t') || take(judge, '\r') || take(judge, '\n'))
                ;
}

/* One code point by the table of RFC 3629; false: there is none. */
static bool take_utf8(struct judge *judge, uint32_t *code)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        int first = peek(judge);
        int len = first < 0x80 ? 1 : first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;

        if (first < 0 || len == 0 || first >= 0xf8 || judge->end - judge->at < len) return false;
        *code = len == 1 ? (uint32_t)first : (uint32_t)first & (0x7fu >> len);
        for (int i = 1; i < len; i++) {
                if ((judge->at[i] & 0xc0) != 0x80) return false;
                *code = *code << 6 | (judge->at[i] & 0x3f);
        }
        judge->at += len;
        return *code >= least[len] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
}

static bool take_hex4(struct judge *judge, uint32_t *code)
{
        char digits[5] = "";
        char *end;

        for (int i = 0; i < 4; i++, judge->at++) {
                if (peek(judge) < '0' || strchr("0123456789abcdefABCDEF", peek(judge)) == NULL) return false;
                digits[i] = (char)peek(judge);
        }
        *code = (uint32_t)strtoul(digits, &end, 16);
        return true;
}

/* Behind a backslash. */
static bool take_escape(struct judge *judge, uint32_t *code)
{
        static const char letters[] = "\"\\/bfnrt";
        static const char meanings[] = "\"\\/\b\f\n\r\t";
        int letter = peek(judge);
        const char *found;

        if (letter <= 0) return false;
        judge->at++;
        if (letter == 'u') return take_hex4(judge, code);
        found = strchr(letters, letter);
        if (found != NULL) *code = (uint32_t)meanings[found - letters];
        return found != NULL;
}

static bool take_string(struct judge *judge, struct name *name)
{
        if (!take(judge, '"')) return false;
        name->codes = calloc((size_t)(judge->end - judge->at) + 1, sizeof *name->codes);
        REQUIRE(name->codes != NULL);
        while (!take(judge, '"')) {
                uint32_t *code = &name->codes[name->len];

                if (peek(judge) < 0x20) return false;
                if (take(judge, '\\') ? !take_escape(judge, code) : !take_utf8(judge, code)) return false;
                if (name->len > 0 && *code >= 0xdc00 && *code <= 0xdfff && code[-1] >= 0xd800 && code[-1] <= 0xdbff)
                        code[-1] = 0x10000 + ((code[-1] - 0xd800) << 10) + (*code - 0xdc00);
                else
                        name->len++;
        }
        name->codes = realloc(name->codes, (name->len + 1) * sizeof *name->codes);
        REQUIRE(name->codes != NULL);
        return true;
}

static bool take_digits(struct judge *judge)
{
        const uint8_t *start = judge->at;

        while (peek(judge) >= '0' && peek(judge) <= '9')
                judge->at++;
        return judge->at > start;
}

static bool take_number(struct judge *judge)
{
        (void)take(judge, '-');
        if (!take(judge, '0') && !take_digits(judge)) return false;
        if (take(judge, '.') && !take_digits(judge)) return false;
        if (!take(judge, 'e') && !take(judge, 'E')) return true;
        if (!take(judge, '+')) (void)take(judge, '-');
        return take_digits(judge);
}

static bool take_word(struct judge *judge, const char *word)
{
        while (*word != '\0')
                if (!take(judge, *word++)) return false;
        return true;
}

static bool take_value(struct judge *judge);

static bool take_member(struct judge *judge, struct name *name)
{
        if (!take_string(judge, name)) return false;
        space(judge);
        return take(judge, ':') && take_value(judge);
}

static bool take_items(struct judge *judge, bool is_object, struct name *names)
{
        size_t count = 0;
        size_t i;

        space(judge);
        if (take(judge, is_object ? '}' : ']')) return true;
        do {
                space(judge);
                if (count > 0 && judge->takes_trailing_comma && take(judge, is_object ? '}' : ']')) return true;
                if (is_object ? !take_member(judge, &names[count]) : !take_value(judge)) return false;
                for (i = 0; i < count && is_object; i++)
                        if (names[i].len == names[count].len &&
                            memcmp(names[i].codes, names[count].codes, names[i].len * sizeof *names[i].codes) == 0)
                                return false;
                count++;
                space(judge);
        } while (take(judge, ','));
        return take(judge, is_object ? '}' : ']');
}

static bool take_container(struct judge *judge, bool is_object)
{
        size_t size = (size_t)(judge->end - judge->at) / 4 + 1; /* `"":0` */
        struct name *names = is_object ? calloc(size, sizeof *names) : NULL;
        bool is_good;
        size_t i;

        REQUIRE(!is_object || names != NULL);
        is_good = judge->depth++ < DEPTH_MAX && take_items(judge, is_object, names);
        judge->depth--;
        for (i = 0; i < size && is_object; i++)
                free(names[i].codes);
        free(names);
        return is_good;
}

static bool take_value(struct judge *judge)
{
        struct name text = {0};
        bool is_good;

        space(judge);
        switch (peek(judge)) {
        case '{':
        case '[':
                return take_container(judge, *judge->at++ == '{');
        case '"':
                is_good = take_string(judge, &text);
                free(text.codes);
                return is_good;
        case 't':
                return take_word(judge, "true");
        case 'f':
                return take_word(judge, "false");
        case 'n':
                return take_word(judge, "null");
        default:
                return take_number(judge);
        }
}

bool judge_json(struct bytes text, bool takes_trailing_comma)
{
        struct judge judge = {text.data, text.data + text.len, 0, takes_trailing_comma};

        if (text.len == 0 || !take_value(&judge)) return false;
        space(&judge);
        return judge.at == judge.end;
}

bool judge_text(struct bytes text)
{
        struct judge judge = {.at = text.data, .end = text.data + text.len};
        uint32_t code;

        if (text.len == 0) return true;
        while (judge.at < judge.end)
                if (!take_utf8(&judge, &code) || code == 0) return false;
        return true;
}
