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

/* The true token with the changes, or what was made up. */
static char *forge(const char *token, struct bytes input)
{
        char *text = malloc(strlen(token) + input.len + 1);
        int place, used;
        char byte;

        REQUIRE(text != NULL);
        memcpy(text, input.data, input.len);
        text[input.len] = '\0';
        if (sscanf(text, "%5d %c%n", &place, &byte, &used) != 2) return text;
        memcpy(text, token, strlen(token) + 1);
        for (; input.len > 0; (void)fuzz_until(&input, BYTES("\n"))) {
                char line[16];

                snprintf(line, sizeof line, "%.*s", (int)input.len, (const char *)input.data);
                if (sscanf(line, "%5d %c", &place, &byte) == 2 && place >= 0 && (size_t)place < strlen(token))
                        text[place] = byte;
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
        if (r == R_OK) REQUIRE(memcmp(&row, &app, sizeof row) == 0);
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
