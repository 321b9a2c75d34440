#include "engine/field.h"

#include <allod/v1/team.pb-c.h>

#include "engine/limits.h"
#include "engine/require.h"
#include "engine/utf8.h"

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what google.protobuf.Timestamp may hold. */
#define TIMESTAMP_SECONDS_MIN (-62135596800)
#define TIMESTAMP_SECONDS_MAX 253402300799

void field_uuid(struct fault *fault, const char *path, const char *text)
{
        struct uuid id;

        if (text[0] == '\0')
                (void)fault_field(fault, path, "is required");
        else if (uuid_parse(bytes_of_text(text), &id) != R_OK)
                (void)fault_field(fault, path, "must be a UUID");
}

void field_uuid_or_empty(struct fault *fault, const char *path, const char *text)
{
        if (text[0] != '\0') field_uuid(fault, path, text);
}

void field_name(struct fault *fault, const char *path, const char *text)
{
        if (text[0] == '\0')
                (void)fault_field(fault, path, "is required");
        else
                field_name_or_empty(fault, path, text);
}

void field_name_or_empty(struct fault *fault, const char *path, const char *text)
{
        struct bytes name = bytes_of_text(text);

        if (!utf8_is_text(name))
                (void)fault_field(fault, path, "must be valid UTF-8");
        else if (utf8_count(name) > NAME_CHARACTERS_MAX)
                (void)fault_field(fault, path, "must be at most %d characters long", NAME_CHARACTERS_MAX);
}

void field_role(struct fault *fault, const char *path, uint32_t role)
{
        if (role != ALLOD__V1__ROLE__ROLE_OWNER && role != ALLOD__V1__ROLE__ROLE_ADMIN &&
            role != ALLOD__V1__ROLE__ROLE_MEMBER)
                (void)fault_field(fault, path, "must be one of OWNER, ADMIN or MEMBER");
}

void field_time(struct fault *fault, const char *path, const Google__Protobuf__Timestamp *time)
{
        if (time == NULL) return;
        if (time->seconds < TIMESTAMP_SECONDS_MIN || time->seconds > TIMESTAMP_SECONDS_MAX || time->nanos < 0 ||
            time->nanos > 999999999)
                (void)fault_field(fault, path, "must be a time of the years 1 to 9999");
}

enum result field_outcome(const struct fault *fault)
{
        return fault->field_count == 0 ? R_OK : R_BAD_ARGUMENT;
}

struct uuid field_to_uuid(const char *text)
{
        struct uuid id = {0};

        REQUIRE(uuid_parse(bytes_of_text(text), &id) == R_OK);
        return id;
}

int64_t field_to_time_ms(const Google__Protobuf__Timestamp *time)
{
        int64_t ms;

        if (time == NULL) return 0;
        ms = time->seconds * 1000 + time->nanos / 1000000;
        return ms > 0 ? ms : 1;
}

Google__Protobuf__Timestamp field_of_time_ms(int64_t time_ms)
{
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

        time.seconds = time_ms / 1000;
        time.nanos = (int32_t)(time_ms % 1000 * 1000000);
        return time;
}
