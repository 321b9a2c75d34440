#include "rpc/rest_app.h"

#include <stdio.h>
#include <string.h>

#include "engine/json_scan.h"
#include "rpc/time_text.h"

/* ---- An app, member by member in the alphabet's order ---- */

static void write_text(struct json_write *json, const char *name, const char *text)
{
        json_write_name(json, name);
        json_write_text(json, text);
}

static void write_int(struct json_write *json, const char *name, int64_t value)
{
        json_write_name(json, name);
        json_write_int64(json, value);
}

/* "2025-01-02T03:04:05" */
static void write_time(struct json_write *json, const char *name, const Google__Protobuf__Timestamp *time)
{
        char text[TIME_TEXT_SIZE];

        time_text_format(time == NULL ? 0 : time->seconds * 1000, 'T', text);
        write_text(json, name, text);
}

static const char *gpu_tier_name(Allod__V1__GpuTier tier)
{
        switch (tier) {
        case ALLOD__V1__GPU_TIER__GPU_TIER_BASIC:
                return "BASIC";
        case ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD:
                return "STANDARD";
        case ALLOD__V1__GPU_TIER__GPU_TIER_PERFORMANCE:
                return "PERFORMANCE";
        default:
                return "UNKNOWN";
        }
}

static const char *status_name(Allod__V1__AppStatus status)
{
        switch (status) {
        case ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING:
                return "INITIALIZING";
        case ALLOD__V1__APP_STATUS__APP_STATUS_RUNNING:
                return "RUNNING";
        default:
                return "STOPPED";
        }
}

static void write_configuration(struct json_write *json, const Allod__V1__Configuration *configuration)
{
        json_write_name(json, "configuration");
        json_write_object_begin(json);
        write_int(json, "active_workers", configuration->active_workers);
        write_text(json, "gpu_tier", gpu_tier_name(configuration->gpu_tier));
        if (configuration->location[0] != '\0') write_text(json, "location", configuration->location);
        json_write_object_end(json);
}

static void write_jobs(struct json_write *json, const Allod__V1__JobCounts *jobs)
{
        json_write_name(json, "jobs");
        json_write_object_begin(json);
        write_int(json, "completed", jobs->completed);
        write_int(json, "failed", jobs->failed);
        write_int(json, "in_progress", jobs->in_progress);
        write_int(json, "in_queue", jobs->in_queue);
        write_int(json, "retried", jobs->retried);
        json_write_object_end(json);
}

static void write_workers(struct json_write *json, const Allod__V1__WorkerCounts *workers)
{
        json_write_name(json, "workers");
        json_write_object_begin(json);
        write_int(json, "idle", workers->idle);
        write_int(json, "initializing", workers->initializing);
        write_int(json, "ready", workers->ready);
        write_int(json, "running", workers->running);
        write_int(json, "throttled", workers->throttled);
        write_int(json, "unhealthy", workers->unhealthy);
        json_write_object_end(json);
}

static void write_owner(struct json_write *json, const char *name, const char *id)
{
        json_write_name(json, name);
        if (id == NULL)
                json_write_null(json);
        else
                json_write_text(json, id);
}

static void write_loras(struct json_write *json, const Allod__V1__Workflow *workflow)
{
        size_t i;

        if (workflow->n_loras == 0) return;
        json_write_name(json, "loras");
        json_write_array_begin(json);
        for (i = 0; i < workflow->n_loras; i++) {
                const Allod__V1__Lora *lora = workflow->loras[i];

                json_write_object_begin(json);
                write_text(json, "downloadUrl", lora->download_url);
                write_text(json, "id", lora->id);
                write_text(json, "name", lora->name);
                write_text(json, "versionId", lora->version_id);
                json_write_name(json, "weight");
                json_write_double(json, lora->weight);
                json_write_object_end(json);
        }
        json_write_array_end(json);
}

static struct bytes trim(struct bytes text)
{
        static const char blanks[] = " \t\r\n";

        while (text.len > 0 && strchr(blanks, text.data[0]) != NULL)
                text = bytes_of(text.data + 1, text.len - 1);
        while (text.len > 0 && strchr(blanks, text.data[text.len - 1]) != NULL)
                text.len--;
        return text;
}

/* The known tool, then what lies between the braces of the others' text: the members as they were sent. */
static void write_tools(struct json_write *json, const Allod__V1__Workflow *workflow)
{
        struct bytes others = trim(bytes_of_text(workflow->tools));

        if (others.len >= 2) others = trim(bytes_of(others.data + 1, others.len - 2));

        json_write_name(json, "tools");
        json_write_object_begin(json);
        write_loras(json, workflow);
        if (others.len > 0) json_write_raw(json, others);
        json_write_object_end(json);
}

static void write_workflow(struct json_write *json, const Allod__V1__Workflow *workflow)
{
        json_write_name(json, "workflow");
        json_write_object_begin(json);
        write_text(json, "model_url", workflow->model_url);
        write_tools(json, workflow);
        json_write_object_end(json);
}

void rest_app_write(struct json_write *json, const Allod__V1__App *app, bool has_counters)
{
        static const Allod__V1__Configuration no_configuration = ALLOD__V1__CONFIGURATION__INIT;
        static const Allod__V1__Workflow no_workflow = ALLOD__V1__WORKFLOW__INIT;
        static const Allod__V1__JobCounts no_jobs = ALLOD__V1__JOB_COUNTS__INIT;
        static const Allod__V1__WorkerCounts no_workers = ALLOD__V1__WORKER_COUNTS__INIT;
        bool is_team = app->owner_case == ALLOD__V1__APP__OWNER_OWNER_TEAM_ID;
        bool is_user = app->owner_case == ALLOD__V1__APP__OWNER_OWNER_USER_ID;

        json_write_object_begin(json);
        write_configuration(json, app->configuration != NULL ? app->configuration : &no_configuration);
        write_time(json, "created_at", app->created_at);
        write_text(json, "created_by", app->created_by);
        write_text(json, "description", app->description);
        write_text(json, "id", app->id);
        if (has_counters) write_jobs(json, app->jobs != NULL ? app->jobs : &no_jobs);
        write_text(json, "name", app->name);
        write_owner(json, "owner_team_id", is_team ? app->owner_team_id : NULL);
        write_owner(json, "owner_user_id", is_user ? app->owner_user_id : NULL);
        write_text(json, "status", status_name(app->status));
        write_time(json, "updated_at", app->updated_at);
        if (has_counters) write_workers(json, app->workers != NULL ? app->workers : &no_workers);
        write_workflow(json, app->workflow != NULL ? app->workflow : &no_workflow);
        json_write_object_end(json);
}

/* ---- Paths of faults ---- */

/* If `*path` starts with `from`, move past that and append `to`. */
static bool rewrite(const char **path, const char *from, const char *to, char out[FAULT_PATH_SIZE], size_t *len)
{
        size_t from_len = strlen(from);
        int written;

        if (strncmp(*path, from, from_len) != 0) return false;
        written = snprintf(out + *len, FAULT_PATH_SIZE - *len, "%s", to);
        *path += from_len;
        *len += (size_t)written;
        if (*len >= FAULT_PATH_SIZE) *len = FAULT_PATH_SIZE - 1;
        return true;
}

void rest_app_path(const char *path, char out[FAULT_PATH_SIZE])
{
        size_t len = 0;

        out[0] = '\0';
        rewrite(&path, "app.", "", out, &len);
        if (rewrite(&path, "workflow.loras", "workflow.tools.loras", out, &len))
                while (*path != '\0' && *path != '.' && len + 1 < FAULT_PATH_SIZE)
                        out[len++] = *path++;
        if (!rewrite(&path, ".version_id", ".versionId", out, &len))
                rewrite(&path, ".download_url", ".downloadUrl", out, &len);
        snprintf(out + len, FAULT_PATH_SIZE - len, "%s", path);
}
