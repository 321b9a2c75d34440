/* Methods in process, as the tools call them when no server holds the files. */
#include "rpc/local.h"

#include "allod/v1/admin.pb-c.h"
#include "tests/lib/fixture.h"
#include "tests/lib/test.h"

struct ground {
        struct fixture fixture;
        struct local local;
        struct arena arena;
        struct fault fault;
};

static struct ground ground;

static int set_up(void **state)
{
        char why[WHY_SIZE] = "";

        (void)state;
        assert_int_equal(method_init(why), R_OK);
        fixture_init(&ground.fixture);
        arena_init(&ground.arena, NULL, 1 << 20);
        assert_int_equal(local_open(ground.fixture.store, &ground.local), R_OK);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        local_close(&ground.local);
        local_close(&ground.local);
        arena_fini(&ground.arena);
        fixture_fini(&ground.fixture);
        return 0;
}

static enum result call(const char *path, const struct credential *who, const ProtobufCMessage *request,
                        ProtobufCMessage **reply)
{
        return local_call(&ground.local, method_find(bytes_of_text(path)), who, request, &ground.arena, &ground.fault,
                          reply);
}

static void test_update_and_view(void **state)
{
        /* What an update wrote, the next view reads. */
        Allod__V1__CreateUserRequest create = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__ListUsersRequest list = ALLOD__V1__LIST_USERS_REQUEST__INIT;
        const Allod__V1__ListUsersResponse *users;
        ProtobufCMessage *reply;
        char name[] = "Zo\xc3\xab";
        size_t count;

        (void)state;
        assert_int_equal(call("/allod.v1.AdminService/ListUsers", &ground.fixture.as_admin, &list.base, &reply), R_OK);
        count = ((const Allod__V1__ListUsersResponse *)reply)->n_users;
        create.name = name;
        assert_int_equal(call("/allod.v1.AdminService/CreateUser", &ground.fixture.as_admin, &create.base, &reply),
                         R_OK);
        assert_string_equal(((const Allod__V1__User *)reply)->name, name);
        assert_int_equal(call("/allod.v1.AdminService/ListUsers", &ground.fixture.as_admin, &list.base, &reply), R_OK);
        users = (const Allod__V1__ListUsersResponse *)reply;
        assert_int_equal(users->n_users, count + 1);
}

static void test_refused(void **state)
{
        /* The same checks as over a connection: text, fields, plane, kind. */
        Allod__V1__CreateUserRequest create = ALLOD__V1__CREATE_USER_REQUEST__INIT;
        Allod__V1__GetUserRequest get = ALLOD__V1__GET_USER_REQUEST__INIT;
        ProtobufCMessage *const untouched = (ProtobufCMessage *)&ground;
        ProtobufCMessage *reply = untouched;
        char no_text[] = "\xff";
        char absent[] = "ee4988a7-48e2-44ae-81f5-178a44ebeb58";

        (void)state;
        create.name = no_text;
        assert_int_equal(call("/allod.v1.AdminService/CreateUser", &ground.fixture.as_admin, &create.base, &reply),
                         R_BAD_ARGUMENT);
        assert_string_equal(ground.fault.fields[0].path, "name");
        get.id = no_text + 1;
        assert_int_equal(call("/allod.v1.AdminService/GetUser", &ground.fixture.as_admin, &get.base, &reply),
                         R_BAD_ARGUMENT);
        get.id = absent;
        assert_int_equal(call("/allod.v1.AdminService/GetUser", &ground.fixture.as_admin, &get.base, &reply), R_ABSENT);
        assert_int_equal(call("/allod.v1.AdminService/GetUser", &ground.fixture.as_one, &get.base, &reply),
                         R_UNIMPLEMENTED);
        assert_int_equal(call("/grpc.health.v1.Health/Check", &ground.fixture.as_admin, &get.base, &reply),
                         R_UNIMPLEMENTED);
        assert_ptr_equal(reply, untouched);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_update_and_view, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
