/*
 * A text as an id and as an API key, as x-team-id and x-api-key come: a UUID is 36 characters that sscanf reads too,
 * and comes back in lower case; a key of ours is one whose checksum is its own.
 */
#include <ctype.h>
#include <stdlib.h>

#include "engine/apikey.h"
#include "engine/field.h"
#include "engine/limits.h"
#include "engine/require.h"
#include "tests/fuzz/fuzz.h"

/* The bytes as sscanf has them; false: not the form. */
static bool read_slowly(struct bytes text, unsigned bytes[UUID_SIZE])
{
        char copy[UUID_TEXT_LEN + 1] = "";
        size_t i;

        if (text.len != UUID_TEXT_LEN) return false;
        for (i = 0; i < UUID_TEXT_LEN; i++) {
                bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (is_dash ? text.data[i] != '-' : text.data[i] >= 0x80 || !isxdigit(text.data[i])) return false;
                copy[i] = (char)text.data[i];
        }
        for (i = 0; i < UUID_SIZE; i++) {
                /* Where byte i stands: each dash before it moves it by one. */
                size_t at = 2 * i + (i >= 4) + (i >= 6) + (i >= 8) + (i >= 10);
                char pair[3] = {copy[at], copy[at + 1], '\0'};

                bytes[i] = (unsigned)strtoul(pair, NULL, 16);
        }
        return true;
}

static void check_uuid(struct bytes text)
{
        unsigned expected[UUID_SIZE];
        char again[UUID_TEXT_LEN + 1];
        struct uuid id;
        size_t i;

        if (!read_slowly(text, expected)) {
                REQUIRE(uuid_parse(text, &id) == R_BAD_ARGUMENT);
                return;
        }
        REQUIRE(uuid_parse(text, &id) == R_OK);
        uuid_format(id, again);
        for (i = 0; i < UUID_SIZE; i++)
                REQUIRE(id.bytes[i] == expected[i]);
        for (i = 0; i < UUID_TEXT_LEN; i++)
                REQUIRE(again[i] == tolower(text.data[i]));
}

static void check_made_key(struct bytes bytes)
{
        uint8_t seed[TXN_SEED_SIZE] = {0};
        char text[APIKEY_TEXT_LEN + 1];
        size_t at = bytes.len % APIKEY_TEXT_LEN;

        if (bytes.len > 0) memcpy(seed, bytes.data, bytes.len < sizeof seed ? bytes.len : sizeof seed);
        seed[0] |= 1; /* all zero: nobody asked for a seed */
        REQUIRE(apikey_make(seed, text) == R_OK && strlen(text) == APIKEY_TEXT_LEN);
        REQUIRE(apikey_text_check(bytes_of_text(text)) == R_OK);
        if (at < sizeof APIKEY_PREFIX - 1) return;
        text[at] = text[at] == 'x' ? 'y' : 'x';
        REQUIRE(apikey_text_check(bytes_of_text(text)) == R_UNAUTHENTICATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes text = bytes_of(data, len);
        bool is_visible = len >= 1 && len <= IMPORTED_KEY_LEN_MAX;
        size_t i;

        check_uuid(text);
        for (i = 0; i < len; i++)
                is_visible = is_visible && data[i] > ' ' && data[i] < 0x7f;
        if (!apikey_is_ours(text))
                REQUIRE(apikey_text_check(text) == (is_visible ? R_OK : R_UNAUTHENTICATED));
        else if (apikey_text_check(text) == R_OK)
                REQUIRE(is_visible && len == APIKEY_TEXT_LEN);
        check_made_key(text);
        return 0;
}
