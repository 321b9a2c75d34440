/*
 * A text through json_scan: accepted just when the judge accepts it. Strings decode to text that, written, decodes to
 * the same; whole numbers are what strtod says; and the stored form of a document is strict JSON with the same events.
 */
#include "engine/json_scan.h"

#include <math.h>
#include <stdlib.h>

#include "engine/require.h"
#include "rpc/json_write.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"

#define ARENA_MAX ((size_t)64 << 20)

static void check_string(struct arena *arena, struct bytes span)
{
        struct json_write write;
        struct bytes text, written, again;
        enum result r = json_string_decode(arena, span, &text);

        REQUIRE(r == R_OK || r == R_BAD_ARGUMENT);
        if (r != R_OK) return;
        REQUIRE(judge_text(text) && text.data[text.len] == '\0');
        json_write_init(&write, arena, 0);
        json_write_string(&write, text);
        REQUIRE(json_write_finish(&write, &written) == R_OK && judge_json(written, false));
        REQUIRE(json_string_decode(arena, written, &again) == R_OK && bytes_equal(text, again));
}

static void check_number(struct arena *arena, struct bytes span)
{
        const char *text = (const char *)arena_dup(arena, span).data;
        int64_t whole;
        double real;

        if (json_number_to_double(span, &real)) REQUIRE(real == strtod(text, NULL));
        if (json_number_to_int64(span, &whole))
                REQUIRE((double)whole == strtod(text, NULL));
        else if (span.len <= 18)
                REQUIRE(strpbrk(text, ".eE") != NULL);
}

/* Returns whether all of it is valid. */
static bool scan_all(struct arena *arena, struct bytes text)
{
        struct json_scan scan;
        struct fault fault;
        enum json_event event;

        fault_clear(&fault);
        json_scan_init(&scan, arena, text);
        while ((event = json_scan_next(&scan)) != JSON_END && event != JSON_ERROR) {
                REQUIRE(scan.span.data >= text.data && scan.span.data + scan.span.len <= text.data + text.len);
                if (event == JSON_STRING || event == JSON_KEY) check_string(arena, scan.span);
                if (event == JSON_NUMBER) check_number(arena, scan.span);
        }
        REQUIRE(json_scan_next(&scan) == event);
        if (event == JSON_ERROR) REQUIRE(json_scan_fault(&scan, &fault) == R_BAD_ARGUMENT && fault.text[0] != '\0');
        return event == JSON_END;
}

static void check_copy(struct arena *arena, struct bytes text)
{
        struct json_scan one, other;
        struct bytes span, copy;
        enum json_event event;

        json_scan_init(&one, arena, text);
        REQUIRE(json_skip_value(&one, &span) != JSON_ERROR && json_scan_next(&one) == JSON_END);
        copy = json_copy_document(arena, span);
        REQUIRE(copy.data != NULL && copy.len <= span.len && judge_json(copy, false));
        json_scan_init(&one, arena, text);
        json_scan_init(&other, arena, copy);
        do {
                event = json_scan_next(&one);
                REQUIRE(json_scan_next(&other) == event && bytes_equal(one.span, other.span));
        } while (event != JSON_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct bytes text = bytes_of(data, len);
        struct arena arena;

        arena_init(&arena, NULL, ARENA_MAX);
        REQUIRE(scan_all(&arena, text) == judge_json(text, true));
        if (judge_json(text, true)) check_copy(&arena, text);
        arena_fini(&arena);
        return 0;
}
