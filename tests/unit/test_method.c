/* The tables of methods: complete, and found by path. */
#include "rpc/method.h"

#include <stdio.h>

#include "rpc/rest_route.h"
#include "tests/lib/test.h"

static void test_init(void **state)
{
        /* Tables, descriptors and REST's routes agree: the program may start. */
        char why[WHY_SIZE] = "";

        (void)state;
        if (method_init(why) != R_OK) fail_msg("%s", why);
        assert_int_equal(method_init(why), R_OK);
}

static void test_find(void **state)
{
        /* Every method is found by its path, with its kind; nothing else is. */
        const struct method *method;
        size_t i, j;

        (void)state;
        for (i = 0; i < service_count; i++)
                for (j = 0; j < services[i]->method_count; j++) {
                        method = &services[i]->methods[j];
                        assert_ptr_equal(method_find(bytes_of_text(method->path)), method);
                        assert_ptr_equal(method->run == NULL, method->kind == METHOD_STREAM);
                }
        method = method_find(BYTES("/allod.v1.AppService/GetApp"));
        assert_non_null(method);
        assert_int_equal(method->kind, METHOD_VIEW);
        assert_true(method->needs_key);
        assert_null(method_find(BYTES("/allod.v1.AppService/GetAp")));
        assert_null(method_find(BYTES("/allod.v1.AppService/GetAppp")));
        assert_null(method_find(BYTES("/allod.v1.AppService/")));
        assert_null(method_find(BYTES("/")));
        assert_null(method_find(BYTES("")));
}

static void test_planes(void **state)
{
        /* Administration is on the admin plane alone, the tenants' services are on the public one alone. */
        size_t i;

        (void)state;
        for (i = 0; i < service_count; i++) {
                const char *name = services[i]->name;
                bool is_admin = strcmp(name, "allod.v1.AdminService") == 0;
                bool is_ours = strncmp(name, "allod.", 6) == 0;

                assert_int_equal(service_is_on(services[i], PLANE_PUBLIC), !is_admin);
                assert_int_equal(service_is_on(services[i], PLANE_ADMIN), is_admin || !is_ours);
        }
}

static void test_routes(void **state)
{
        /* Paths are matched segment by segment, with or without a slash at the end. */
        static const struct {
                const char *path;
                const char *pattern;
        } cases[] = {
                {"/app", "/app"},
                {"/app/", "/app"},
                {"/app/x", "/app/{}"},
                {"/app/x/", "/app/{}"},
                {"/app/x/run_async", "/app/{}/run_async"},
                {"/app/x/job", "/app/{}/job"},
                {"/app/x/job/", "/app/{}/job"},
                {"/app/x/job/y", "/app/{}/job/{}"},
                {"/app/x/job/y/", "/app/{}/job/{}"},
                {"/app/job", "/app/{}"},
                {"/app//", NULL},
                {"//app", NULL},
                {"/apps", NULL},
                {"/ap", NULL},
                {"/app/x//", NULL},
                {"/app//job", NULL},
                {"/app/x/job/y/z", NULL},
                {"/app/x/jobs", NULL},
                {"app", NULL},
                {"/", NULL},
                {"", NULL},
        };
        struct bytes segments[REST_SEGMENTS_MAX];
        size_t i;

        (void)state;
        for (i = 0; i < sizeof cases / sizeof *cases; i++) {
                const struct rest_route *route = rest_route_find(bytes_of_text(cases[i].path), segments);

                if (cases[i].pattern == NULL)
                        assert_null(route);
                else
                        assert_string_equal(route->pattern, cases[i].pattern);
        }
        assert_non_null(rest_route_find(BYTES("/app/one/job/two/"), segments));
        assert_true(bytes_equal(segments[0], BYTES("one")));
        assert_true(bytes_equal(segments[1], BYTES("two")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_init),
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_planes),
                cmocka_unit_test(test_routes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
