#include "rpc/base64.h"

#include "tests/lib/damage.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

/* The vectors of RFC 4648, section 10, with and without padding. */
static void test_vectors(void **state)
{
        static const char *const pairs[][2] = {
                {"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"},
                {"\xFB\xFF\xBF", "+/+/"},
        };
        struct arena arena;
        size_t i;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                struct bytes plain = bytes_of_text(pairs[i][0]);
                struct bytes padded = bytes_of_text(pairs[i][1]);
                size_t unpadded_len = strcspn(pairs[i][1], "=");
                struct bytes out;
                char text[16];

                assert_int_equal(base64_encode(plain, true, text), padded.len);
                assert_int_equal(BASE64_LEN(plain.len), padded.len);
                assert_memory_equal(text, padded.data, padded.len);
                assert_int_equal(base64_encode(plain, false, text), unpadded_len);
                assert_memory_equal(text, padded.data, unpadded_len);
                assert_int_equal(base64_decode(&arena, padded, &out), R_OK);
                assert_true(bytes_equal(out, plain));
                assert_int_equal(base64_decode(&arena, bytes_of(padded.data, unpadded_len), &out), R_OK);
                assert_true(bytes_equal(out, plain));
        }
        arena_fini(&arena);
}

/* What no encoder writes is refused. */
static void test_refused(void **state)
{
        static const char *const texts[] = {"Z",    "Zm9vZ", "Zg=",   "Zg===", "Zm8==",  "=",       "==",
                                            "====", "Z===",  "Zm9v=", "Zh==",  "Zm9=",   "Zh",      "Zm 8",
                                            "Zm-8", "Z_8",   "Zg=a",  "Z=g=",  "Zm9v\n", "Zg==Zg=="};
        struct bytes out = BYTES("untouched");
        struct arena arena;
        size_t i;

        (void)state;
        arena_init(&arena, NULL, CAP);
        for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                if (base64_decode(&arena, bytes_of_text(texts[i]), &out) != R_BAD_ARGUMENT) fail_msg("%s", texts[i]);
        }
        assert_true(bytes_equal(out, BYTES("untouched")));
        arena_fini(&arena);
        arena_init(&arena, NULL, 0);
        assert_int_equal(base64_decode(&arena, BYTES("Zg"), &out), R_NO_MEMORY);
        arena_fini(&arena);
}

static void check_damaged(struct bytes damaged, void *context)
{
        struct arena arena;
        struct bytes out;
        char text[64];

        (void)context;
        arena_init(&arena, NULL, CAP);
        if (base64_decode(&arena, damaged, &out) == R_OK) {
                size_t len = base64_encode(out, false, text);

                assert_true(len <= damaged.len && damaged.len - len < 3);
                assert_memory_equal(text, damaged.data, len);
        }
        arena_fini(&arena);
}

/* All that is accepted of damaged text is what the encoder would write for what it gave: there are no two ways. */
static void test_damaged(void **state)
{
        (void)state;
        damage_each(BYTES("AAECAwQFBgcICQoLDA0ODw=="), NULL, check_damaged);
        damage_each(BYTES("+/+/+/8="), NULL, check_damaged);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_damaged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
