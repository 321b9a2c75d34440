#include "rpc/time_text.h"

#include "tests/lib/test.h"

#define DAY_MS 86400000

static bool is_leap(int year)
{
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Every day of the years 1 to 9999 follows the one before it, counted the way of a wall calendar. */
static void test_every_day(void **state)
{
        static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int year = 1, month = 1, day = 1;
        int64_t time_ms;

        (void)state;
        for (time_ms = -62135596800000; year < 10000; time_ms += DAY_MS) {
                char expected[40], out[TIME_TEXT_SIZE];

                snprintf(expected, sizeof(expected), "%04d-%02d-%02dT00:00:00", year, month, day);
                time_text_format(time_ms, 'T', out);
                if (strcmp(out, expected) != 0) fail_msg("%s instead of %s", out, expected);
                if (++day <= lengths[month - 1] + (month == 2 && is_leap(year))) continue;
                day = 1;
                if (++month <= 12) continue;
                month = 1;
                year++;
        }
        assert_int_equal(time_ms, 253402300800000);
}

/* Times of the day, the separator, and times before 1970, whose fraction is cut off towards the past. */
static void test_format(void **state)
{
        static const struct {
                int64_t time_ms;
                char separator;
                const char *text;
        } times[] = {
                {0, 'T', "1970-01-01T00:00:00"},
                {999, 'T', "1970-01-01T00:00:00"},
                {-1, 'T', "1969-12-31T23:59:59"},
                {-1000, ' ', "1969-12-31 23:59:59"},
                {-1001, ' ', "1969-12-31 23:59:58"},
                {1735787045000, 'T', "2025-01-02T03:04:05"},
                {1735787045678, ' ', "2025-01-02 03:04:05"},
                {951782399000, 'T', "2000-02-28T23:59:59"},
                {951782400000, 'T', "2000-02-29T00:00:00"},
                {4107542399000, 'T', "2100-02-28T23:59:59"},
                {4107542400000, 'T', "2100-03-01T00:00:00"},
                {253402300799999, 'T', "9999-12-31T23:59:59"},
                {253402300800000, 'T', "9999-12-31T23:59:59"},
                {INT64_MAX, 'T', "9999-12-31T23:59:59"},
                {-62135596800000, 'T', "0001-01-01T00:00:00"},
                {-62135596800001, 'T', "0001-01-01T00:00:00"},
                {INT64_MIN, ' ', "0001-01-01 00:00:00"},
        };
        size_t i;

        (void)state;
        for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
                char out[TIME_TEXT_SIZE];

                time_text_format(times[i].time_ms, times[i].separator, out);
                assert_string_equal(out, times[i].text);
        }
}

/* Fractions have three digits, or six, or nine, or are not there. */
static void test_rfc3339(void **state)
{
        static const struct {
                int64_t seconds;
                int32_t nanos;
                const char *text;
        } times[] = {
                {0, 0, "1970-01-01T00:00:00Z"},
                {1735787045, 678000000, "2025-01-02T03:04:05.678Z"},
                {1735787045, 678900000, "2025-01-02T03:04:05.678900Z"},
                {1735787045, 1000, "2025-01-02T03:04:05.000001Z"},
                {1735787045, 1, "2025-01-02T03:04:05.000000001Z"},
                {253402300799, 999999999, "9999-12-31T23:59:59.999999999Z"},
                {-62135596800, 0, "0001-01-01T00:00:00Z"},
                {-1, 500000000, "1969-12-31T23:59:59.500Z"},
        };
        char out[TIME_TEXT_RFC3339_SIZE] = "untouched";
        size_t i;

        (void)state;
        assert_false(time_text_rfc3339(253402300800, 0, out));
        assert_false(time_text_rfc3339(-62135596801, 0, out));
        assert_false(time_text_rfc3339(INT64_MIN, 0, out));
        assert_false(time_text_rfc3339(0, -1, out));
        assert_false(time_text_rfc3339(0, 1000000000, out));
        assert_string_equal(out, "untouched");
        for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
                assert_true(time_text_rfc3339(times[i].seconds, times[i].nanos, out));
                assert_string_equal(out, times[i].text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_day),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_rfc3339),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
