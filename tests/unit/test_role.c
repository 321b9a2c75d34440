#include "engine/role.h"

#include <allod/v1/team.pb-c.h>

#include "tests/lib/test.h"

#define READ   RIGHT_READ
#define RUN    RIGHT_RUN
#define EDIT   RIGHT_EDIT
#define CREATE RIGHT_CREATE
#define DELETE RIGHT_DELETE
#define SHARE  RIGHT_SHARE
#define MANAGE RIGHT_MANAGE
#define OWN    RIGHT_OWN

/* Every role under every combination of settings has exactly the rights that the contract's table gives it. */
static void test_every_role_and_setting(void **state)
{
        unsigned set;

        (void)state;
        for (set = 0; set < 32; set++) {
                const store_v1_Settings settings = {
                        .member_can_create = set & 1,
                        .member_can_edit = set >> 1 & 1,
                        .member_can_run = set >> 2 & 1,
                        .member_can_delete = set >> 3 & 1,
                        .member_can_share = set >> 4 & 1,
                };
                uint32_t member = READ;

                if (set & 1) member |= CREATE;
                if (set & 2) member |= EDIT;
                if (set & 4) member |= RUN;
                if (set & 8) member |= DELETE;
                if (set & 16) member |= SHARE;
                assert_int_equal(role_rights(ALLOD__V1__ROLE__ROLE_OWNER, &settings),
                                 READ | RUN | EDIT | CREATE | DELETE | SHARE | MANAGE | OWN);
                assert_int_equal(role_rights(ALLOD__V1__ROLE__ROLE_ADMIN, &settings),
                                 READ | RUN | EDIT | CREATE | DELETE | SHARE | MANAGE);
                assert_int_equal(role_rights(ALLOD__V1__ROLE__ROLE_MEMBER, &settings), member);
                assert_int_equal(role_rights(ALLOD__V1__ROLE__ROLE_UNSPECIFIED, &settings), 0);
                assert_int_equal(role_rights(4, &settings), 0);
        }
}

/* By default members create, edit and run, and neither delete nor share. */
static void test_default_settings(void **state)
{
        (void)state;
        assert_int_equal(role_rights(ALLOD__V1__ROLE__ROLE_MEMBER, &role_settings_default), READ | RUN | EDIT | CREATE);
}

/* All rights of an owner have a name, which faults show. */
static void test_names(void **state)
{
        (void)state;
        assert_string_equal(right_name(RIGHT_DELETE), "DELETE");
        assert_string_equal(right_name(RIGHT_MOVE), "MOVE");
        assert_int_equal(RIGHTS_ALL, role_rights(ALLOD__V1__ROLE__ROLE_OWNER, &role_settings_default));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_role_and_setting),
                cmocka_unit_test(test_default_settings),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
