#include "rpc/rest_app.h"

#include <stdio.h>
#include <string.h>

#include "engine/json_scan.h"
#include "engine/require.h"
#include "rpc/rest_body.h"

/* ---- Reading: one walk over the body, which fills an App and notes what was there ---- */

#define MASK_PATHS_MAX 8

struct reader {
        struct json_scan scan;
        struct arena *arena;
        struct fault *fault;
        Allod__V1__App *app;
        Google__Protobuf__FieldMask *mask; /* NULL at creation */
};

static enum result refuse_member(struct reader *reader, const char *parent)
{
        return rest_body_refuse_member(reader->fault, parent, reader->scan.key);
}

static enum result broken(struct reader *reader)
{
        return json_scan_fault(&reader->scan, reader->fault);
}

/* A value of the wrong type, or no value because the text is broken. */
static enum result refuse_value(struct reader *reader, const char *path, const char *text)
{
        return reader->scan.result != R_OK ? broken(reader) : fault_field(reader->fault, path, "%s", text);
}

static enum result skip(struct reader *reader)
{
        struct bytes span;

        return json_skip_value(&reader->scan, &span) == JSON_ERROR ? broken(reader) : R_OK;
}

static bool is_key(const struct reader *reader, const char *name)
{
        return bytes_equal(reader->scan.key, bytes_of_text(name));
}

/* Each path is added at most once, since no key occurs twice. */
static void add_path(struct reader *reader, const char *path)
{
        if (reader->mask == NULL) return;
        REQUIRE(reader->mask->n_paths < MASK_PATHS_MAX);
        reader->mask->paths[reader->mask->n_paths++] = (char *)path;
}

/* A string; null leaves *out alone. */
static enum result read_text(struct reader *reader, const char *path, char **out, bool *is_null)
{
        enum json_event event = json_scan_next(&reader->scan);
        struct bytes text;
        enum result r;

        *is_null = event == JSON_NULL;
        if (event == JSON_NULL) return R_OK;
        if (event != JSON_STRING) return refuse_value(reader, path, "must be a string");
        r = json_string_decode(reader->arena, reader->scan.span, &text);
        if (r == R_BAD_ARGUMENT)
                return fault_field(reader->fault, path, "must hold neither \\u0000 nor a lone surrogate");
        if (r == R_OK) *out = (char *)text.data;
        return r;
}

/* A string that is a field of its own. `path` is REST's name of it, `field` protobuf's. */
static enum result read_text_field(struct reader *reader, const char *path, const char *field, char **out)
{
        bool is_null;
        enum result r = read_text(reader, path, out, &is_null);

        if (r == R_OK && !is_null) add_path(reader, field);
        return r;
}

/* Here null means what it says: no description. */
static enum result read_description(struct reader *reader)
{
        bool is_null;

        add_path(reader, "description");
        return read_text(reader, "description", &reader->app->description, &is_null);
}

static enum result read_gpu_tier(struct reader *reader)
{
        static const char *const names[] = {"BASIC", "STANDARD", "PERFORMANCE"};
        static const char path[] = "configuration.gpu_tier";
        static const char rule[] = "must be one of BASIC, STANDARD or PERFORMANCE";
        char *text = reader->app->etag; /* "" */
        bool is_null;
        enum result r;
        size_t i;

        if ((r = read_text(reader, path, &text, &is_null)) != R_OK || is_null) return r;
        for (i = 0; i < sizeof names / sizeof *names; i++)
                if (strcmp(text, names[i]) == 0) {
                        reader->app->configuration->gpu_tier = (Allod__V1__GpuTier)(i + 1);
                        add_path(reader, path);
                        return R_OK;
                }
        return fault_field(reader->fault, path, "%s", rule);
}

static enum result read_active_workers(struct reader *reader)
{
        static const char path[] = "configuration.active_workers";
        enum json_event event = json_scan_next(&reader->scan);
        int64_t value;

        if (event == JSON_NULL) return R_OK;
        if (event != JSON_NUMBER || !json_number_to_int64(reader->scan.span, &value) || value < INT32_MIN ||
            value > INT32_MAX)
                return refuse_value(reader, path, "must be a whole number from 0 to 1000");
        reader->app->configuration->active_workers = (int32_t)value;
        add_path(reader, path);
        return R_OK;
}

/* The start of an object; null counts as absent. */
static enum result begin_object(struct reader *reader, const char *path, bool *is_null)
{
        enum json_event event = json_scan_next(&reader->scan);

        *is_null = event == JSON_NULL;
        if (event == JSON_NULL || event == JSON_OBJECT_BEGIN) return R_OK;
        return refuse_value(reader, path, "must be an object");
}

/* The last event was not a key: the object has ended, or the text is broken. */
static enum result end_object(struct reader *reader)
{
        return reader->scan.result != R_OK ? broken(reader) : R_OK;
}

static enum result read_configuration(struct reader *reader)
{
        Allod__V1__Configuration *configuration;
        bool is_null;
        enum result r;

        if ((r = begin_object(reader, "configuration", &is_null)) != R_OK || is_null) return r;
        configuration = arena_alloc(reader->arena, sizeof *configuration);
        if (configuration == NULL) return R_NO_MEMORY;
        allod__v1__configuration__init(configuration);
        reader->app->configuration = configuration;
        while (json_scan_next(&reader->scan) == JSON_KEY) {
                if (is_key(reader, "gpu_tier"))
                        r = read_gpu_tier(reader);
                else if (is_key(reader, "active_workers"))
                        r = read_active_workers(reader);
                else if (is_key(reader, "location"))
                        r = read_text_field(reader, "configuration.location", "configuration.location",
                                            &configuration->location);
                else
                        r = refuse_member(reader, "configuration.");
                if (r != R_OK) return r;
        }
        return end_object(reader);
}

static enum result read_weight(struct reader *reader, const char *path, Allod__V1__Lora *lora)
{
        if (json_scan_next(&reader->scan) != JSON_NUMBER || !json_number_to_double(reader->scan.span, &lora->weight))
                return refuse_value(reader, path, "must be a finite number");
        return R_OK;
}

/* All five members are required; protobuf tells absent from empty for the strings only by the check that follows, and
 * for the weight not at all. */
static enum result read_lora(struct reader *reader, size_t index, Allod__V1__Lora **out)
{
        Allod__V1__Lora *lora = arena_alloc(reader->arena, sizeof *lora);
        const struct {
                const char *name;
                char **place;
        } texts[] = {
                {"id", &lora->id},
                {"versionId", &lora->version_id},
                {"downloadUrl", &lora->download_url},
                {"name", &lora->name},
        };
        char parent[64];
        char path[FAULT_PATH_SIZE];
        bool has_weight = false;
        bool is_null;
        enum result r = R_OK;
        size_t i;

        if (lora == NULL) return R_NO_MEMORY;
        allod__v1__lora__init(lora);
        snprintf(parent, sizeof parent, "workflow.tools.loras[%zu].", index);
        while (r == R_OK && json_scan_next(&reader->scan) == JSON_KEY) {
                for (i = 0; i < sizeof texts / sizeof *texts && !is_key(reader, texts[i].name); i++)
                        ;
                if (i < sizeof texts / sizeof *texts) {
                        snprintf(path, sizeof path, "%s%s", parent, texts[i].name);
                        r = read_text(reader, path, texts[i].place, &is_null);
                } else if (is_key(reader, "weight")) {
                        snprintf(path, sizeof path, "%sweight", parent);
                        r = read_weight(reader, path, lora);
                        has_weight = true;
                } else {
                        r = refuse_member(reader, parent);
                }
        }
        if (r != R_OK) return r;
        if ((r = end_object(reader)) != R_OK) return r;
        snprintf(path, sizeof path, "%sweight", parent);
        if (!has_weight) return fault_field(reader->fault, path, "is required");
        *out = lora;
        return R_OK;
}

static enum result read_loras(struct reader *reader)
{
        Allod__V1__Workflow *workflow = reader->app->workflow;
        enum json_event event = json_scan_next(&reader->scan);
        size_t size = 0;
        enum result r;

        if (event == JSON_NULL) return R_OK;
        if (event != JSON_ARRAY_BEGIN) return refuse_value(reader, "workflow.tools.loras", "must be an array");
        while ((event = json_scan_next(&reader->scan)) == JSON_OBJECT_BEGIN) {
                if (workflow->n_loras == size) {
                        size_t old_size = size * sizeof(Allod__V1__Lora *);

                        size = size == 0 ? 8 : 2 * size;
                        workflow->loras =
                                arena_grow(reader->arena, workflow->loras, old_size, size * sizeof(Allod__V1__Lora *));
                        if (workflow->loras == NULL) return R_NO_MEMORY;
                }
                r = read_lora(reader, workflow->n_loras, &workflow->loras[workflow->n_loras]);
                if (r != R_OK) return r;
                workflow->n_loras++;
        }
        if (event != JSON_ARRAY_END) return refuse_value(reader, "workflow.tools.loras", "must hold objects");
        add_path(reader, "workflow.loras");
        return R_OK;
}

/* Tools that we do not know are kept as sent, in one object. */
static enum result keep_tool(struct reader *reader, struct json_write *tools)
{
        struct bytes key = reader->scan.span;
        struct bytes value;

        if (json_skip_value(&reader->scan, &value) == JSON_ERROR) return broken(reader);
        value = json_copy_document(reader->arena, value);
        if (value.data == NULL) return R_NO_MEMORY;
        json_write_raw_key(tools, key);
        json_write_raw(tools, value);
        return R_OK;
}

static enum result read_tools(struct reader *reader)
{
        struct json_write tools;
        struct bytes text;
        size_t count = 0;
        bool is_null;
        enum result r;

        if ((r = begin_object(reader, "workflow.tools", &is_null)) != R_OK || is_null) return r;
        json_write_init(&tools, reader->arena, 0);
        json_write_object_begin(&tools);
        while (json_scan_next(&reader->scan) == JSON_KEY) {
                if (is_key(reader, "loras")) {
                        r = read_loras(reader);
                } else {
                        r = keep_tool(reader, &tools);
                        count++;
                }
                if (r != R_OK) return r;
        }
        if ((r = end_object(reader)) != R_OK) return r;
        if (count == 0) return R_OK;
        json_write_object_end(&tools);
        if ((r = json_write_finish(&tools, &text)) != R_OK) return r;
        text = arena_dup(reader->arena, text);
        if (text.data == NULL) return R_NO_MEMORY;
        reader->app->workflow->tools = (char *)text.data;
        add_path(reader, "workflow.tools");
        return R_OK;
}

static enum result read_workflow(struct reader *reader)
{
        Allod__V1__Workflow *workflow;
        bool is_null;
        enum result r;

        if ((r = begin_object(reader, "workflow", &is_null)) != R_OK || is_null) return r;
        workflow = arena_alloc(reader->arena, sizeof *workflow);
        if (workflow == NULL) return R_NO_MEMORY;
        allod__v1__workflow__init(workflow);
        reader->app->workflow = workflow;
        while (json_scan_next(&reader->scan) == JSON_KEY) {
                if (is_key(reader, "model_url"))
                        r = read_text_field(reader, "workflow.model_url", "workflow.model_url", &workflow->model_url);
                else if (is_key(reader, "tools"))
                        r = read_tools(reader);
                else
                        r = refuse_member(reader, "workflow.");
                if (r != R_OK) return r;
        }
        return end_object(reader);
}

/* What the server alone says. A client that sends back what it got is not refused for these. */
static bool is_output(const struct reader *reader)
{
        static const char *const names[] = {"created_at",    "created_by", "id",         "jobs",   "owner_team_id",
                                            "owner_user_id", "status",     "updated_at", "workers"};
        size_t i;

        for (i = 0; i < sizeof names / sizeof *names; i++)
                if (is_key(reader, names[i])) return true;
        return false;
}

static enum result read_member(struct reader *reader)
{
        if (is_key(reader, "name")) return read_text_field(reader, "name", "name", &reader->app->name);
        if (is_key(reader, "description")) return read_description(reader);
        if (is_key(reader, "configuration")) return read_configuration(reader);
        if (is_key(reader, "workflow")) return read_workflow(reader);
        if (is_key(reader, "id") && reader->mask == NULL)
                return fault_field(reader->fault, "id", "is made by the server and cannot be sent");
        if (is_output(reader)) return skip(reader);
        return refuse_member(reader, "");
}

enum result rest_app_read(struct arena *arena, struct bytes body, Google__Protobuf__FieldMask *mask,
                          struct fault *fault, Allod__V1__App **out)
{
        struct reader reader = {.arena = arena, .fault = fault, .mask = mask};
        enum json_event event;
        enum result r;

        reader.app = arena_alloc(arena, sizeof *reader.app);
        if (reader.app == NULL) return R_NO_MEMORY;
        allod__v1__app__init(reader.app);
        if (mask != NULL) {
                mask->paths = arena_alloc(arena, MASK_PATHS_MAX * sizeof *mask->paths);
                if (mask->paths == NULL) return R_NO_MEMORY;
        }
        json_scan_init(&reader.scan, arena, body);
        event = json_scan_next(&reader.scan);
        if (event == JSON_ERROR) return broken(&reader);
        if (event != JSON_OBJECT_BEGIN) return fault_set(fault, R_BAD_ARGUMENT, "The body must be a JSON object.");
        while (json_scan_next(&reader.scan) == JSON_KEY)
                if ((r = read_member(&reader)) != R_OK) return r;
        if ((r = end_object(&reader)) != R_OK) return r;
        if (json_scan_next(&reader.scan) != JSON_END) return broken(&reader);
        *out = reader.app;
        return R_OK;
}
