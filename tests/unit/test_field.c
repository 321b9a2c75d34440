#include "engine/field.h"

#include <string.h>

#include <allod/v1/team.pb-c.h>

#include "tests/lib/test.h"

#define ID "123e4567-e89b-12d3-a456-426614174000"

typedef void text_check(struct fault *fault, const char *path, const char *text);

/* Whether a check accepts a text; if not, the complaint must stand under the path. */
static bool accepts(text_check *check, const char *text)
{
        struct fault fault = {0};

        check(&fault, "the.path", text);
        if (fault.field_count == 0) {
                assert_int_equal(field_outcome(&fault), R_OK);
                return true;
        }
        assert_int_equal(fault.field_count, 1);
        assert_string_equal(fault.fields[0].path, "the.path");
        assert_int_equal(field_outcome(&fault), R_BAD_ARGUMENT);
        return false;
}

/* Ids are the 36 characters of a UUID, and may be empty only where that has a meaning. */
static void test_uuid(void **state)
{
        (void)state;
        assert_true(accepts(field_uuid, ID));
        assert_true(accepts(field_uuid_or_empty, ID));
        assert_true(accepts(field_uuid_or_empty, ""));
        assert_false(accepts(field_uuid, ""));
        assert_false(accepts(field_uuid, "{" ID "}"));
        assert_false(accepts(field_uuid, ID "0"));
        assert_false(accepts(field_uuid_or_empty, "null"));
}

/* Names are 1 to 200 characters, counted as characters and not as bytes. */
static void test_name(void **state)
{
        enum {
                LONGEST = 800,
                TOO_LONG = LONGEST + 4
        }; /* bytes of 200 and 201 characters */
        char text[TOO_LONG + 1];
        size_t i;

        (void)state;
        assert_true(accepts(field_name, "a"));
        assert_false(accepts(field_name, ""));
        assert_true(accepts(field_name_or_empty, ""));
        for (i = 0; i < TOO_LONG; i += 4)
                memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        text[LONGEST] = '\0';
        assert_true(accepts(field_name, text));
        text[LONGEST] = '\xf0';
        text[TOO_LONG] = '\0';
        assert_false(accepts(field_name, text));
        assert_false(accepts(field_name_or_empty, text));
        assert_false(accepts(field_name, "\xff"));
        assert_false(accepts(field_name, "cut \xf0\x9f\x98"));
}

/* Only the three roles are roles. */
static void test_role(void **state)
{
        uint32_t role;

        (void)state;
        for (role = 0; role < 6; role++) {
                struct fault fault = {0};

                field_role(&fault, "role", role);
                assert_int_equal(fault.field_count, role >= 1 && role <= 3 ? 0 : 1);
        }
        assert_int_equal(ALLOD__V1__ROLE__ROLE_OWNER, 1);
        assert_int_equal(ALLOD__V1__ROLE__ROLE_MEMBER, 3);
}

/* Times are those of google.protobuf.Timestamp; they come out in milliseconds, and only no time at all as 0. */
static void test_time(void **state)
{
        static const struct {
                int64_t seconds;
                int32_t nanos;
                bool is_good;
                int64_t ms;
        } cases[] = {
                {1, 500000000, true, 1500},  {0, 999999, true, 1},
                {0, 1999999, true, 1},       {-5, 0, true, 1},
                {-62135596800, 0, true, 1},  {253402300799, 999999999, true, 253402300799999},
                {-62135596801, 0, false, 0}, {253402300800, 0, false, 0},
                {INT64_MAX, 0, false, 0},    {INT64_MIN, 0, false, 0},
                {1, -1, false, 0},           {1, 1000000000, false, 0},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
                struct fault fault = {0};

                time.seconds = cases[i].seconds;
                time.nanos = cases[i].nanos;
                field_time(&fault, "at", &time);
                assert_int_equal(fault.field_count, cases[i].is_good ? 0 : 1);
                if (cases[i].is_good) assert_int_equal(field_to_time_ms(&time), cases[i].ms);
        }
        assert_int_equal(field_to_time_ms(NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_uuid),
                cmocka_unit_test(test_name),
                cmocka_unit_test(test_role),
                cmocka_unit_test(test_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
