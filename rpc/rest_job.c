#include "rpc/rest_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/json_scan.h"
#include "rpc/rest_body.h"
#include "rpc/time_text.h"

/* ---- Requests ---- */

static enum result read_input(struct json_scan *scan, struct arena *arena, struct fault *fault, char **input)
{
        struct bytes span;
        struct bytes document;

        if (json_skip_value(scan, &span) != JSON_OBJECT_BEGIN)
                return scan->result != R_OK ? json_scan_fault(scan, fault)
                                            : fault_field(fault, "input", "must be a JSON object");
        document = json_copy_document(arena, span);
        if (document.data == NULL) return R_NO_MEMORY;
        *input = (char *)document.data;
        return R_OK;
}

/* One object to the end of the text; `input` NULL: it must be empty. */
static enum result read_object(struct arena *arena, struct bytes body, struct fault *fault, char **input)
{
        struct json_scan scan;
        enum json_event event;
        enum result r;

        json_scan_init(&scan, arena, body);
        event = json_scan_next(&scan);
        if (event != JSON_OBJECT_BEGIN)
                return event == JSON_ERROR ? json_scan_fault(&scan, fault)
                                           : fault_set(fault, R_BAD_ARGUMENT, "The body must be a JSON object.");
        while ((event = json_scan_next(&scan)) == JSON_KEY) {
                if (input == NULL || !bytes_equal(scan.key, BYTES("input")))
                        return rest_body_refuse_member(fault, "", scan.key);
                if ((r = read_input(&scan, arena, fault, input)) != R_OK) return r;
        }
        if (event != JSON_OBJECT_END || json_scan_next(&scan) != JSON_END) return json_scan_fault(&scan, fault);
        return R_OK;
}

enum result rest_job_read(struct arena *arena, struct bytes body, struct fault *fault, char **input)
{
        char *document = NULL;
        enum result r;

        if ((r = read_object(arena, body, fault, &document)) != R_OK) return r;
        if (document == NULL) return fault_field(fault, "input", "is required");
        *input = document;
        return R_OK;
}

enum result rest_job_read_nothing(struct arena *arena, struct bytes body, struct fault *fault)
{
        return body.len == 0 ? R_OK : read_object(arena, body, fault, NULL);
}

static const char *const statuses[] = {
        [ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED] = "IN_QUEUE",
        [ALLOD__V1__JOB_STATUS__JOB_STATUS_RUNNING] = "RUNNING",
        [ALLOD__V1__JOB_STATUS__JOB_STATUS_COMPLETED] = "COMPLETED",
        [ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED] = "FAILED",
        [ALLOD__V1__JOB_STATUS__JOB_STATUS_CANCELED] = "CANCELED",
};

#define STATUS_COUNT (sizeof statuses / sizeof *statuses)

enum result rest_job_status(const char *text, struct fault *fault, Allod__V1__JobStatus *out)
{
        size_t i;

        if (strcmp(text, "QUEUED") == 0) {
                *out = ALLOD__V1__JOB_STATUS__JOB_STATUS_QUEUED;
                return R_OK;
        }
        for (i = 1; i < STATUS_COUNT; i++)
                if (strcmp(text, statuses[i]) == 0) {
                        *out = (Allod__V1__JobStatus)i;
                        return R_OK;
                }
        return fault_field(fault, "status", "must be one of IN_QUEUE, QUEUED, RUNNING, COMPLETED, FAILED or CANCELED");
}

/* ---- Replies ---- */

/* "2025-01-02 03:04:05" */
static void write_time(struct json_write *json, const Google__Protobuf__Timestamp *time)
{
        char text[TIME_TEXT_SIZE];

        time_text_format(time == NULL ? 0 : time->seconds * 1000, ' ', text);
        json_write_text(json, text);
}

/* Seconds as a decimal string, as short as is exact: "12", "12.5". */
static void write_duration(struct json_write *json, const Google__Protobuf__Duration *duration)
{
        char text[40];
        size_t len;

        len = (size_t)snprintf(text, sizeof text, "%" PRId64 ".%09" PRId32, duration->seconds, duration->nanos);
        while (text[len - 1] == '0')
                len--;
        if (text[len - 1] == '.') len--;
        json_write_string(json, bytes_of(text, len));
}

static void write_document(struct json_write *json, const char *document)
{
        if (document[0] == '\0')
                json_write_null(json);
        else
                json_write_raw(json, bytes_of_text(document));
}

void rest_job_write(struct json_write *json, const Allod__V1__Job *job)
{
        size_t status = (size_t)job->status;

        json_write_object_begin(json);
        json_write_name(json, "created_at");
        write_time(json, job->created_at);
        if (job->status == ALLOD__V1__JOB_STATUS__JOB_STATUS_FAILED) {
                json_write_name(json, "error");
                json_write_text(json, job->error);
        }
        if (job->execution_time != NULL) {
                json_write_name(json, "execution_time");
                write_duration(json, job->execution_time);
        }
        json_write_name(json, "id");
        json_write_text(json, job->id);
        json_write_name(json, "request");
        write_document(json, job->input);
        json_write_name(json, "result");
        write_document(json, job->result);
        json_write_name(json, "status");
        json_write_text(json, status > 0 && status < STATUS_COUNT ? statuses[status] : "UNKNOWN");
        json_write_object_end(json);
}

void rest_job_write_queued(struct json_write *json, const Allod__V1__Job *job)
{
        json_write_object_begin(json);
        json_write_name(json, "data");
        json_write_object_begin(json);
        json_write_name(json, "id");
        json_write_text(json, job->id);
        json_write_name(json, "status");
        json_write_text(json, "QUEUED");
        json_write_object_end(json);
        json_write_name(json, "job_id");
        json_write_text(json, job->id);
        json_write_name(json, "status");
        json_write_text(json, "QUEUED");
        json_write_object_end(json);
}

void rest_job_write_canceled(struct json_write *json, const Allod__V1__Job *job)
{
        json_write_object_begin(json);
        json_write_name(json, "data");
        json_write_object_begin(json);
        json_write_name(json, "job_id");
        json_write_text(json, job->id);
        json_write_name(json, "status");
        json_write_text(json, "CANCELED");
        json_write_object_end(json);
        json_write_object_end(json);
}
