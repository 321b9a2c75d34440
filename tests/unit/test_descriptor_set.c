#include "rpc/descriptor_set.h"

#include <google/protobuf/descriptor.pb-c.h>

#include "tests/lib/test.h"

static size_t file_index(const Google__Protobuf__FileDescriptorSet *set, const char *name)
{
        size_t i;

        for (i = 0; i < set->n_file; i++) {
                if (strcmp(set->file[i]->name, name) == 0) return i;
        }
        fail_msg("%s is missing", name);
        return 0;
}

/* The embedded bytes are a whole descriptor set: every file's imports stand before it, and what servers answer for
 * (our services, health, reflection) is in it. */
static void test_embedded_set_is_whole(void **state)
{
        struct bytes bytes = descriptor_set();
        Google__Protobuf__FileDescriptorSet *set =
                google__protobuf__file_descriptor_set__unpack(NULL, bytes.len, bytes.data);
        size_t i;
        size_t j;

        (void)state;
        assert_non_null(set);
        for (i = 0; i < set->n_file; i++) {
                assert_null(set->file[i]->source_code_info);
                for (j = 0; j < set->file[i]->n_dependency; j++)
                        assert_true(file_index(set, set->file[i]->dependency[j]) < i);
        }
        file_index(set, "allod/v1/admin.proto");
        file_index(set, "allod/v1/app.proto");
        file_index(set, "grpc/health/v1/health.proto");
        file_index(set, "grpc/reflection/v1/reflection.proto");
        file_index(set, "grpc/reflection/v1alpha/reflection.proto");
        google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_embedded_set_is_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
