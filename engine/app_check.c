/*
 * The checks of AppService's requests, field by field.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/app.h"
#include "engine/app_fields.h"
#include "engine/document.h"
#include "engine/field.h"
#include "engine/limits.h"
#include "engine/mask.h"
#include "engine/page.h"
#include "engine/utf8.h"

/* LoRAs have a field of their own, and REST shows both in one object. */
static const struct document_rule tools_rule = {
        .reserved = "loras",
        .why = "must not have the member loras: LoRAs have a field of their own",
        .members_max = APP_TOOLS_MEMBERS_MAX,
};

/* All that an App has: what a client cannot set may be named too, and is ignored. */
static const char *const mask_paths[] = {
        "name",
        "description",
        "configuration",
        "configuration.gpu_tier",
        "configuration.active_workers",
        "configuration.location",
        "workflow",
        "workflow.model_url",
        "workflow.loras",
        "workflow.tools",
        "id",
        "status",
        "created_at",
        "updated_at",
        "created_by",
        "owner_user_id",
        "owner_team_id",
        "jobs",
        "workers",
        "etag",
};

static void check_characters(struct fault *fault, const char *path, const char *text, size_t characters_max)
{
        if (!utf8_is_text(bytes_of_text(text)))
                (void)fault_field(fault, path, "must be valid UTF-8");
        else if (utf8_count(bytes_of_text(text)) > characters_max)
                (void)fault_field(fault, path, "must be at most %zu characters long", characters_max);
}

static void check_required(struct fault *fault, const char *path, const char *text, size_t characters_max)
{
        if (text[0] == '\0')
                (void)fault_field(fault, path, "is required");
        else
                check_characters(fault, path, text, characters_max);
}

/* http or https, a host, and no character that a URL cannot hold (RFC 3986: printable ASCII). */
static bool is_url(const char *text)
{
        size_t scheme_len = strncasecmp(text, "http://", 7) == 0 ? 7 : strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
        const char *c;

        if (scheme_len == 0 || text[scheme_len] == '\0' || strchr("/?#:", text[scheme_len]) != NULL) return false;
        for (c = text; *c != '\0'; c++)
                if (*c <= 0x20 || *c >= 0x7f) return false;
        return true;
}

static void check_url(struct fault *fault, const char *path, const char *text)
{
        if (text[0] == '\0')
                (void)fault_field(fault, path, "is required");
        else if (strlen(text) > URL_LEN_MAX)
                (void)fault_field(fault, path, "must be at most %d bytes long", URL_LEN_MAX);
        else if (!is_url(text))
                (void)fault_field(fault, path, "must be an http or https URL");
}

static void check_gpu_tier(struct fault *fault, int tier)
{
        if (tier != ALLOD__V1__GPU_TIER__GPU_TIER_BASIC && tier != ALLOD__V1__GPU_TIER__GPU_TIER_STANDARD &&
            tier != ALLOD__V1__GPU_TIER__GPU_TIER_PERFORMANCE)
                (void)fault_field(fault, "app.configuration.gpu_tier", "must be one of BASIC, STANDARD or PERFORMANCE");
}

static void check_active_workers(struct fault *fault, int32_t count)
{
        if (count < 0 || count > APP_WORKERS_MAX)
                (void)fault_field(fault, "app.configuration.active_workers", "must be from 0 to %d", APP_WORKERS_MAX);
}

static void check_lora(struct fault *fault, const Allod__V1__Workflow *workflow, size_t index)
{
        const Allod__V1__Lora *lora = workflow->loras[index];
        const struct {
                const char *name, *text;
                size_t characters_max;
        } fields[] = {
                {"id", lora->id, NAME_CHARACTERS_MAX},
                {"version_id", lora->version_id, NAME_CHARACTERS_MAX},
                {"download_url", lora->download_url, URL_LEN_MAX},
                {"name", lora->name, NAME_CHARACTERS_MAX},
        };
        char path[FAULT_PATH_SIZE];
        size_t i;

        for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
                snprintf(path, sizeof path, "app.workflow.loras[%zu].%s", index, fields[i].name);
                check_required(fault, path, fields[i].text, fields[i].characters_max);
        }
        if (!isfinite(lora->weight)) {
                snprintf(path, sizeof path, "app.workflow.loras[%zu].weight", index);
                (void)fault_field(fault, path, "must be finite");
        }
        for (i = 0; i < index && lora->id[0] != '\0'; i++) {
                if (strcmp(lora->id, workflow->loras[i]->id) != 0) continue;
                snprintf(path, sizeof path, "app.workflow.loras[%zu].id", index);
                (void)fault_field(fault, path, "must not occur twice");
                break;
        }
}

static void check_loras(struct fault *fault, const Allod__V1__Workflow *workflow)
{
        size_t i;

        if (workflow->n_loras > APP_LORAS_MAX) {
                (void)fault_field(fault, "app.workflow.loras", "must be at most %d", APP_LORAS_MAX);
                return;
        }
        for (i = 0; i < workflow->n_loras; i++)
                check_lora(fault, workflow, i);
}

/* R_NO_MEMORY, or R_OK: complaints are in the fault. */
static enum result check_tools(struct fault *fault, const char *text)
{
        enum result r;

        if (text[0] == '\0') return R_OK;
        if (strlen(text) > APP_TOOLS_LEN_MAX) {
                (void)fault_field(fault, "app.workflow.tools", "must be at most %zu bytes long", APP_TOOLS_LEN_MAX);
                return R_OK;
        }
        r = document_check(text, &tools_rule, "app.workflow.tools", fault);
        return r == R_BAD_ARGUMENT ? R_OK : r;
}

enum result app_create_check(const Allod__V1__CreateAppRequest *request, struct fault *fault)
{
        static const Allod__V1__Configuration no_configuration = ALLOD__V1__CONFIGURATION__INIT;
        static const Allod__V1__Workflow no_workflow = ALLOD__V1__WORKFLOW__INIT;
        const Allod__V1__App *app = request->app;
        const Allod__V1__Configuration *configuration;
        const Allod__V1__Workflow *workflow;
        enum result r;

        if (request->request_id[0] != '\0') (void)fault_field(fault, "request_id", "is not supported in this version");
        if (app == NULL) return fault_field(fault, "app", "is required");
        configuration = app->configuration != NULL ? app->configuration : &no_configuration;
        workflow = app->workflow != NULL ? app->workflow : &no_workflow;
        if (app->id[0] != '\0') (void)fault_field(fault, "app.id", "cannot be chosen: the server makes it");
        field_name(fault, "app.name", app->name);
        check_characters(fault, "app.description", app->description, APP_DESCRIPTION_CHARACTERS_MAX);
        if (configuration->gpu_tier == ALLOD__V1__GPU_TIER__GPU_TIER_UNSPECIFIED)
                (void)fault_field(fault, "app.configuration.gpu_tier",
                                  "is required: one of BASIC, STANDARD or PERFORMANCE");
        else
                check_gpu_tier(fault, configuration->gpu_tier);
        check_active_workers(fault, configuration->active_workers);
        check_characters(fault, "app.configuration.location", configuration->location, APP_LOCATION_CHARACTERS_MAX);
        check_url(fault, "app.workflow.model_url", workflow->model_url);
        check_loras(fault, workflow);
        if ((r = check_tools(fault, workflow->tools)) != R_OK) return r;
        return field_outcome(fault);
}

/* gpu_tier and location are compared with the stored ones later, and those are valid. */
enum result app_update_check(const Allod__V1__UpdateAppRequest *request, struct fault *fault)
{
        const Allod__V1__App *app = request->app;
        struct app_patch patch;
        enum result r;

        if (app == NULL) return fault_field(fault, "app", "is required");
        if (mask_check(request->update_mask, mask_paths, sizeof mask_paths / sizeof mask_paths[0], fault) != R_OK)
                return R_BAD_ARGUMENT;
        app_patch_read(request, &patch);
        if (patch.has_name) field_name(fault, "app.name", app->name);
        if (patch.has_description)
                check_characters(fault, "app.description", app->description, APP_DESCRIPTION_CHARACTERS_MAX);
        if (patch.has_active_workers) check_active_workers(fault, patch.configuration->active_workers);
        if (patch.has_model_url) check_url(fault, "app.workflow.model_url", patch.workflow->model_url);
        if (patch.has_loras) check_loras(fault, patch.workflow);
        if (patch.has_tools && (r = check_tools(fault, patch.workflow->tools)) != R_OK) return r;
        return field_outcome(fault);
}

enum result app_get_check(const Allod__V1__GetAppRequest *request, struct fault *fault)
{
        (void)request;
        (void)fault;
        return R_OK;
}

enum result app_list_check(const Allod__V1__ListAppsRequest *request, struct fault *fault)
{
        return page_check(request->page_size, fault);
}

enum result app_delete_check(const Allod__V1__DeleteAppRequest *request, struct fault *fault)
{
        (void)request;
        (void)fault;
        return R_OK;
}
