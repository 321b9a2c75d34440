/*
 * A page token, made up or a true one with a few bytes changed: refused, unless it is a true one.
 *
 * Input: pairs of a place and a byte to put there, as text ("12 A"), change a true token; without any such pair, the
 * input is the token.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/require.h"
#include "engine/scope.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/fixture.h"

#define LIST 7

static struct fixture fixture;

static void tear_down(void)
{
        fixture_fini(&fixture);
}

static void set_up(void)
{
        static bool is_up;

        if (is_up) return;
        fixture_init(&fixture);
        atexit(tear_down);
        is_up = true;
}

/* "12 x": the byte of that place. */
static bool read_change(const char *line, size_t *place, char *byte)
{
        char *end;
        unsigned long number = strtoul(line, &end, 10);

        if (line[0] < '0' || line[0] > '9' || end - line > 5 || end[0] != ' ' || end[1] == '\0') return false;
        *place = (size_t)number;
        *byte = end[1];
        return true;
}

/* The true token with the changes, or what was made up. */
static char *forge(const char *token, struct bytes input)
{
        char *text = malloc(strlen(token) + input.len + 1);
        size_t place;
        char byte;

        REQUIRE(text != NULL);
        memcpy(text, input.data, input.len);
        text[input.len] = '\0';
        if (!read_change(text, &place, &byte)) return text;
        memcpy(text, token, strlen(token) + 1);
        for (; input.len > 0; (void)fuzz_until(&input, BYTES("\n"))) {
                char line[16];

                snprintf(line, sizeof line, "%.*s", (int)input.len, (const char *)input.data);
                if (read_change(line, &place, &byte) && place < strlen(token)) text[place] = byte;
        }
        return text;
}

static enum result run(struct txn *txn, void *arg)
{
        const struct bytes *input = arg;
        struct row app = {.kind = ROW_APP, .app = {{1, 2, 3}}};
        struct row row = {.kind = ROW_KIND_COUNT};
        const struct scope *scope;
        const char *token;
        enum result r;
        char *text;

        REQUIRE(scope_open(txn, &fixture.as_team, RIGHT_READ, &scope) == R_OK);
        REQUIRE(scope_page_token(scope, &app, LIST, &token) == R_OK);
        text = forge(token, *input);
        r = scope_page_resume(scope, text, LIST, &row);
        REQUIRE(r == (strcmp(text, token) == 0 ? R_OK : R_BAD_ARGUMENT));
        if (r == R_OK) REQUIRE(row.kind == app.kind && uuid_equal(row.app, app.app));
        if (r != R_OK) REQUIRE(row.kind == ROW_KIND_COUNT && txn_fault(txn)->field_count == 1);
        free(text);
        return R_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes input = bytes_of(data, len);

        set_up();
        REQUIRE(fixture_view(&fixture, run, &input) == R_OK);
        return 0;
}
