/*
 * A stored document and a patch, with a line `--` between them: merging gives a document, and merging the same patch
 * again changes nothing.
 */
#include "engine/document.h"

#include "engine/require.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/judge.h"

#define ARENA_MAX ((size_t)64 << 20)

/* In stored form; NULL: it is no document. */
static char *read_document(struct arena *arena, struct bytes input, const struct document_rule *rule)
{
        const char *text = (const char *)arena_dup(arena, input).data;
        struct fault fault;
        enum result r;

        fault_clear(&fault);
        r = document_check(text, rule, "tools", &fault);
        if (r == R_OK) return document_copy(arena, text);
        REQUIRE(r == R_BAD_ARGUMENT && fault.field_count == 1);
        return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct document_rule rule = {.reserved = "loras", .why = "must not", .members_max = 16};
        struct bytes input = bytes_of(data, len);
        struct fault fault;
        struct arena arena;
        char *stored, *patch, *merged, *again;
        size_t count, count_again;

        arena_init(&arena, NULL, ARENA_MAX);
        fault_clear(&fault);
        stored = read_document(&arena, fuzz_until(&input, BYTES("\n--\n")), &rule);
        patch = read_document(&arena, input, &rule);
        if (stored != NULL && patch != NULL) {
                REQUIRE(document_merge(&arena, stored, patch, &merged, &count) == R_OK && count <= 32);
                REQUIRE(judge_json(bytes_of_text(merged), false));
                REQUIRE(document_merge(&arena, merged, patch, &again, &count_again) == R_OK);
                REQUIRE(count == count_again && strcmp(merged, again) == 0);
        }
        arena_fini(&arena);
        return 0;
}
