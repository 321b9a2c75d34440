#include "rpc/protojson.h"

#include <math.h>

#include "allod/v1/app.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "tests/lib/every.h"
#include "tests/lib/heap.h"
#include "tests/lib/test.h"

#define CAP ((size_t)1 << 20)

/* protobuf-c has no const strings; nothing here writes to one. */
#define TEXT(literal) ((char *)(literal))

static void assert_json(const void *message, unsigned options, const char *expected)
{
        struct json_write write;
        struct arena arena;
        struct bytes text;

        arena_init(&arena, NULL, CAP);
        json_write_init(&write, &arena, 0);
        protojson_write(&write, message, options);
        assert_int_equal(json_write_finish(&write, &text), R_OK);
        if (!bytes_equal(text, bytes_of_text(expected)))
                fail_msg("%.*s instead of %s", (int)text.len, (const char *)text.data, expected);
        arena_fini(&arena);
}

static void fill(struct every *every)
{
        every_init(every);
        every->int32_value = INT32_MIN;
        every->sint32_value = -2;
        every->sfixed32_value = -3;
        every->int64_value = INT64_MIN;
        every->sint64_value = -5;
        every->sfixed64_value = -6;
        every->uint32_value = UINT32_MAX;
        every->fixed32_value = 8;
        every->uint64_value = UINT64_MAX;
        every->fixed64_value = 10;
        every->float_value = 0.1f;
        every->double_value = 0.1;
        every->bool_value = 1;
        every->enum_value = -7;
        every->string_value = TEXT("caf\xC3\xA9 \"x\"");
        every->bytes_value = (ProtobufCBinaryData){4, (uint8_t *)"\xFB\xFF\xBF\x00"};
}

/* Each type has its form: long integers and bytes as strings, enums by name. */
static void test_every_type(void **state)
{
        struct every every, inner;

        (void)state;
        fill(&every);
        every_init(&inner);
        every.message_value = &inner;
        assert_json(&every, PROTOJSON_PLAIN,
                    "{\"int32_value\":-2147483648,\"sint32_value\":-2,\"sfixed32_value\":-3,"
                    "\"int64_value\":\"-9223372036854775808\",\"sint64_value\":\"-5\",\"sfixed64_value\":\"-6\","
                    "\"uint32_value\":4294967295,\"fixed32_value\":8,\"uint64_value\":\"18446744073709551615\","
                    "\"fixed64_value\":\"10\",\"float_value\":0.1,\"double_value\":0.1,\"bool_value\":true,"
                    "\"enum_value\":\"COLOR_FAR\",\"string_value\":\"caf\xC3\xA9 \\\"x\\\"\","
                    "\"bytes_value\":\"+/+/AA==\",\"message_value\":{}}");
}

/* Defaults are left out, or written if asked for; absent messages never appear; names change if asked for. */
static void test_options(void **state)
{
        struct every every;

        (void)state;
        every_init(&every);
        assert_json(&every, PROTOJSON_PLAIN, "{}");
        assert_json(
                &every, PROTOJSON_JSON_NAMES | PROTOJSON_DEFAULTS,
                "{\"int32Value\":0,\"sint32Value\":0,\"sfixed32Value\":0,\"int64Value\":\"0\",\"sint64Value\":\"0\","
                "\"sfixed64Value\":\"0\",\"uint32Value\":0,\"fixed32Value\":0,\"uint64Value\":\"0\","
                "\"fixed64Value\":\"0\",\"floatValue\":0.0,\"doubleValue\":0.0,\"boolValue\":false,"
                "\"enumValue\":\"COLOR_NONE\",\"stringValue\":\"\",\"bytesValue\":\"\","
                "\"int32ValueList\":[],\"sint32ValueList\":[],\"sfixed32ValueList\":[],\"int64ValueList\":[],"
                "\"sint64ValueList\":[],\"sfixed64ValueList\":[],\"uint32ValueList\":[],\"fixed32ValueList\":[],"
                "\"uint64ValueList\":[],\"fixed64ValueList\":[],\"floatValueList\":[],\"doubleValueList\":[],"
                "\"boolValueList\":[],\"enumValueList\":[],\"stringValueList\":[],\"bytesValueList\":[],"
                "\"messageValueList\":[]}");
}

/* Lists of every width keep their order; an unknown enum is its number; what is no number is a string. */
static void test_lists(void **state)
{
        protobuf_c_boolean bools[] = {1, 0, 1};
        double doubles[] = {NAN, INFINITY, -INFINITY, 2};
        float floats[] = {-INFINITY, 1.5f};
        int32_t ints[] = {0, -1};
        int64_t longs[] = {0, 1};
        int enums[] = {1, 99};
        char *strings[] = {TEXT("a"), TEXT(""), NULL};
        ProtobufCBinaryData datas[] = {{0, NULL}, {1, (uint8_t *)"f"}};
        struct every every, inner[2], *messages[] = {&inner[0], &inner[1]};

        (void)state;
        every_init(&every);
        every_init(&inner[0]);
        every_init(&inner[1]);
        inner[1].bool_value = 1;
#define LIST(type, name, values)                                                                                       \
        every.count[EVERY_##type - 1] = sizeof(values) / sizeof((values)[0]);                                          \
        every.name##_value_list = values
        LIST(BOOL, bool, bools);
        LIST(DOUBLE, double, doubles);
        LIST(FLOAT, float, floats);
        LIST(INT32, int32, ints);
        LIST(INT64, int64, longs);
        LIST(ENUM, enum, enums);
        LIST(STRING, string, strings);
        LIST(BYTES, bytes, datas);
        LIST(MESSAGE, message, messages);
        assert_json(
                &every, PROTOJSON_JSON_NAMES,
                "{\"int32ValueList\":[0,-1],\"int64ValueList\":[\"0\",\"1\"],"
                "\"floatValueList\":[\"-Infinity\",1.5],\"doubleValueList\":[\"NaN\",\"Infinity\",\"-Infinity\",2.0],"
                "\"boolValueList\":[true,false,true],\"enumValueList\":[\"COLOR_RED\",99],"
                "\"stringValueList\":[\"a\",\"\",\"\"],\"bytesValueList\":[\"\",\"Zg==\"],"
                "\"messageValueList\":[{},{\"boolValue\":true}]}");
}

/* The types of google.protobuf have their text forms. */
static void test_known_types(void **state)
{
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
        Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
        Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
        char *paths[] = {TEXT("name"), TEXT("configuration.gpu_tier"), TEXT("workflow.model_url")};

        (void)state;
        time.seconds = 1735787045;
        assert_json(&time, PROTOJSON_PLAIN, "\"2025-01-02T03:04:05Z\"");
        time.nanos = 678000000;
        assert_json(&time, PROTOJSON_PLAIN, "\"2025-01-02T03:04:05.678Z\"");
        time.seconds = INT64_MAX;
        assert_json(&time, PROTOJSON_PLAIN, "null");
        assert_json(&duration, PROTOJSON_PLAIN, "\"0s\"");
        duration.seconds = -1;
        duration.nanos = -500000000;
        assert_json(&duration, PROTOJSON_PLAIN, "\"-1.500s\"");
        duration.seconds = 0;
        duration.nanos = 1;
        assert_json(&duration, PROTOJSON_PLAIN, "\"0.000000001s\"");
        duration.seconds = INT64_MIN;
        duration.nanos = INT32_MIN;
        assert_json(&duration, PROTOJSON_PLAIN, "\"-9223372036854775808.2147483648s\"");
        assert_json(&mask, PROTOJSON_PLAIN, "\"\"");
        mask.paths = paths;
        mask.n_paths = 3;
        assert_json(&mask, PROTOJSON_PLAIN, "\"name,configuration.gpuTier,workflow.modelUrl\"");
        assert_json(&empty, PROTOJSON_DEFAULTS, "{}");
}

/* One of our own: a oneof shows the member that is set, even if it is empty. */
static void test_app(void **state)
{
        Allod__V1__Configuration configuration = ALLOD__V1__CONFIGURATION__INIT;
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        Allod__V1__App app = ALLOD__V1__APP__INIT;

        (void)state;
        configuration.gpu_tier = ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD;
        app.id = TEXT("123e4567-e89b-12d3-a456-426614174000");
        app.configuration = &configuration;
        app.created_at = &time;
        app.owner_case = ALLOD__V1__APP__OWNER_OWNER_TEAM_ID;
        app.owner_team_id = TEXT("");
        assert_json(&app, PROTOJSON_PLAIN,
                    "{\"id\":\"123e4567-e89b-12d3-a456-426614174000\","
                    "\"configuration\":{\"gpu_tier\":\"GPU_TIER_STANDARD\"},"
                    "\"created_at\":\"1970-01-01T00:00:00Z\",\"owner_team_id\":\"\"}");
        app.owner_case = ALLOD__V1__APP__OWNER_OWNER_USER_ID;
        app.owner_user_id = TEXT("u");
        app.created_at = NULL;
        app.configuration = NULL;
        assert_json(&app, PROTOJSON_JSON_NAMES | PROTOJSON_DEFAULTS,
                    "{\"id\":\"123e4567-e89b-12d3-a456-426614174000\",\"name\":\"\",\"description\":\"\","
                    "\"status\":\"APP_STATUS_UNSPECIFIED\",\"createdBy\":\"\",\"ownerUserId\":\"u\",\"etag\":\"\"}");
}

/* Presence of proto2: what is set appears, default or not; what is not set does not, even if defaults are asked for. */
static void test_proto2(void **state)
{
        Google__Protobuf__FieldDescriptorProto field = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT;

        (void)state;
        field.name = TEXT("");
        field.has_number = 1;
        assert_json(&field, PROTOJSON_DEFAULTS, "{\"name\":\"\",\"number\":0}");
}

/* Memory that runs out within is reported by the writer. */
static void test_no_memory(void **state)
{
        unsigned long n;

        (void)state;
        for (n = 1;; n++) {
                struct every every;
                struct json_write write;
                struct arena arena;
                struct bytes text;
                enum result r;

                fill(&every);
                arena_init(&arena, NULL, CAP);
                heap_fail_at(n);
                json_write_init(&write, &arena, 0);
                protojson_write(&write, &every.base, PROTOJSON_PLAIN);
                r = json_write_finish(&write, &text);
                heap_fail_at(0);
                arena_fini(&arena);
                if (r == R_OK) break;
                assert_int_equal(r, R_NO_MEMORY);
        }
        assert_true(n > 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_type),  cmocka_unit_test(test_options), cmocka_unit_test(test_lists),
                cmocka_unit_test(test_known_types), cmocka_unit_test(test_app),     cmocka_unit_test(test_proto2),
                cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
