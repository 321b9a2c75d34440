#include "rpc/date.h"

#include "tests/lib/test.h"

/* The form of RFC 9110 section 5.6.7, and a leap day. */
static void test_form(void **state)
{
        char text[DATE_LEN + 1];

        (void)state;
        date_write(text, 784111777);
        assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
        date_write(text, 0);
        assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
        date_write(text, 951782400);
        assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_int_equal(date_now().len, DATE_LEN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_form),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
