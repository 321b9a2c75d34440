#include "engine/fault.h"

#include <string.h>

#include "tests/lib/test.h"

/* The result handed in comes back, and the sentence is what was printed. */
static void test_set(void **state)
{
        struct fault fault;

        (void)state;
        fault_clear(&fault);
        assert_int_equal(fault_set(&fault, R_WRONG_STATE, "Job %s is %s.", "j", "done"), R_WRONG_STATE);
        assert_string_equal(fault.text, "Job j is done.");
        assert_int_equal(fault.field_count, 0);
}

/* Complaints are kept in order up to the bound; those above it are dropped and do no harm. */
static void test_fields(void **state)
{
        struct fault fault;
        int i;

        (void)state;
        fault_clear(&fault);
        for (i = 0; i < FAULT_FIELDS_MAX + 3; i++)
                assert_int_equal(fault_field(&fault, "app.name", "complaint %d", i), R_BAD_ARGUMENT);
        assert_int_equal(fault.field_count, FAULT_FIELDS_MAX);
        assert_string_equal(fault.fields[0].path, "app.name");
        assert_string_equal(fault.fields[FAULT_FIELDS_MAX - 1].text, "complaint 7");
        fault_clear(&fault);
        assert_int_equal(fault.field_count, 0);
}

/* Text that is too long is cut between characters, whatever their length and wherever the cut falls. */
static void test_cut_between_characters(void **state)
{
        static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
        char input[4 * FAULT_TEXT_SIZE + 4];
        struct fault fault;
        size_t which;
        size_t shift;

        (void)state;
        for (which = 0; which < 4; which++) {
                size_t character_len = strlen(characters[which]);

                for (shift = 0; shift < 4; shift++) {
                        size_t len = shift;

                        memset(input, '-', shift);
                        while (len < FAULT_TEXT_SIZE + 4) {
                                memcpy(input + len, characters[which], character_len);
                                len += character_len;
                        }
                        input[len] = '\0';
                        fault_clear(&fault);
                        fault_set(&fault, R_BAD_ARGUMENT, "%s", input);
                        fault_field(&fault, input, "%s", input);
                        assert_int_equal((strlen(fault.text) - shift) % character_len, 0);
                        assert_true(strlen(fault.text) + character_len >= FAULT_TEXT_SIZE);
                        assert_string_equal(fault.fields[0].text, fault.text);
                        assert_int_equal((strlen(fault.fields[0].path) - shift) % character_len, 0);
                        assert_true(strlen(fault.fields[0].path) + character_len >= FAULT_PATH_SIZE);
                        assert_memory_equal(fault.text, input, strlen(fault.text));
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_cut_between_characters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
