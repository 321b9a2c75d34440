#include "engine/page.h"

#include "engine/etag.h"
#include "engine/limits.h"
#include "tests/lib/test.h"

/* Sizes from 0 to the bound are taken; others are refused under page_size. */
static void test_check(void **state)
{
        static const int32_t bad[] = {-1, INT32_MIN, PAGE_ROWS_MAX + 1, INT32_MAX};
        struct fault fault = {0};
        size_t i;

        (void)state;
        assert_int_equal(page_check(0, &fault), R_OK);
        assert_int_equal(page_check(1, &fault), R_OK);
        assert_int_equal(page_check(PAGE_ROWS_MAX, &fault), R_OK);
        assert_int_equal(fault.field_count, 0);
        for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                fault_clear(&fault);
                assert_int_equal(page_check(bad[i], &fault), R_BAD_ARGUMENT);
                assert_string_equal(fault.fields[0].path, "page_size");
        }
}

/* A page is full after as many rows as were asked for, or the default number. */
static void test_full_by_rows(void **state)
{
        const struct row row = {.kind = ROW_MEMBER};
        struct message reply = {0};
        struct page page;
        int i;

        (void)state;
        page_begin(&page, 2, &reply);
        assert_false(page_is_full(&page));
        page_row(&page, &row);
        assert_false(page_is_full(&page));
        page_row(&page, &row);
        assert_true(page_is_full(&page));
        page_begin(&page, 0, &reply);
        for (i = 0; i < PAGE_ROWS_DEFAULT; i++) {
                assert_false(page_is_full(&page));
                page_row(&page, &row);
        }
        assert_true(page_is_full(&page));
}

/* It is full by bytes too, counted from where the rows start; but it always takes one row. */
static void test_full_by_bytes(void **state)
{
        const struct row row = {.kind = ROW_MEMBER};
        struct message reply = {.len = 100};
        struct page page;

        (void)state;
        page_begin(&page, 10, &reply);
        reply.len = 100 + PAGE_BYTES_MAX;
        assert_false(page_is_full(&page));
        page_row(&page, &row);
        assert_true(page_is_full(&page));
        reply.len--;
        assert_false(page_is_full(&page));
}

/* Etags tell any two (epoch, revision) apart, and fit for the greatest. */
static void test_etag(void **state)
{
        char a[ETAG_SIZE], b[ETAG_SIZE];

        (void)state;
        etag_format(3, 42, a);
        assert_string_equal(a, "3-2a");
        etag_format(0x32, 0xa, a);
        etag_format(0x3, 0x2a, b);
        assert_string_not_equal(a, b);
        etag_format(UINT64_MAX, UINT64_MAX, a);
        assert_string_equal(a, "ffffffffffffffff-ffffffffffffffff");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_full_by_rows),
                cmocka_unit_test(test_full_by_bytes),
                cmocka_unit_test(test_etag),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
