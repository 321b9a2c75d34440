/*
 * How an update changes a stored app.
 */
#include <stdio.h>
#include <string.h>

#include "engine/app_fields.h"
#include "engine/document.h"
#include "engine/field.h"
#include "engine/limits.h"
#include "engine/mask.h"

void app_patch_read(const Allod__V1__UpdateAppRequest *request, struct app_patch *out)
{
        static const Allod__V1__Configuration no_configuration = ALLOD__V1__CONFIGURATION__INIT;
        static const Allod__V1__Workflow no_workflow = ALLOD__V1__WORKFLOW__INIT;
        const Google__Protobuf__FieldMask *mask = request->update_mask;
        const Allod__V1__App *app = request->app;
        const Allod__V1__Configuration *configuration =
                app->configuration != NULL ? app->configuration : &no_configuration;
        const Allod__V1__Workflow *workflow = app->workflow != NULL ? app->workflow : &no_workflow;
        const struct {
                const char *path;
                bool is_set; /* not default */
                bool *has;
        } fields[] = {
                {"name", app->name[0] != '\0', &out->has_name},
                {"description", app->description[0] != '\0', &out->has_description},
                {"configuration.gpu_tier", configuration->gpu_tier != 0, &out->has_gpu_tier},
                {"configuration.active_workers", configuration->active_workers != 0, &out->has_active_workers},
                {"configuration.location", configuration->location[0] != '\0', &out->has_location},
                {"workflow.model_url", workflow->model_url[0] != '\0', &out->has_model_url},
                {"workflow.loras", workflow->n_loras > 0, &out->has_loras},
                {"workflow.tools", workflow->tools[0] != '\0', &out->has_tools},
        };
        size_t i;

        *out = (struct app_patch){.app = app, .configuration = configuration, .workflow = workflow};
        for (i = 0; i < sizeof fields / sizeof fields[0]; i++)
                *fields[i].has = mask_is_empty(mask) ? fields[i].is_set : mask_covers(mask, fields[i].path);
}

/* Raising the number from 0 starts workers, of which none is ready yet; between other numbers some stay. */
static void set_active_workers(Allod__V1__App *app, int32_t count)
{
        if (count == 0)
                app->status = ALLOD__V1__APP_STATUS__APP_STATUS_STOPPED;
        else if (app->configuration->active_workers == 0)
                app->status = ALLOD__V1__APP_STATUS__APP_STATUS_INITIALIZING;
        app->configuration->active_workers = count;
}

static void complain(struct fault *fault, size_t index, const char *field, const char *text)
{
        char path[FAULT_PATH_SIZE];

        snprintf(path, sizeof path, "app.workflow.loras[%zu].%s", index, field);
        (void)fault_field(fault, path, "%s", text);
}

/* As they were created, in any order, but for their weights. No id occurs twice in the patch, so the same number of
 * them, all known, is all of them. */
static void apply_loras(const Allod__V1__Workflow *sent, Allod__V1__Workflow *stored, struct fault *fault)
{
        static const char cannot_change[] = "cannot change after creation; only the weight can";
        size_t i, j;

        if (sent->n_loras != stored->n_loras) {
                (void)fault_field(fault, "app.workflow.loras",
                                  "must name each LoRA of the app: none can be added or removed after creation");
                return;
        }
        for (i = 0; i < sent->n_loras; i++) {
                const Allod__V1__Lora *from = sent->loras[i];
                Allod__V1__Lora *to = NULL;

                for (j = 0; j < stored->n_loras && to == NULL; j++)
                        if (strcmp(stored->loras[j]->id, from->id) == 0) to = stored->loras[j];
                if (to == NULL) {
                        complain(fault, i, "id", "is not a LoRA of the app: none can be added after creation");
                        continue;
                }
                if (strcmp(to->version_id, from->version_id) != 0) complain(fault, i, "version_id", cannot_change);
                if (strcmp(to->download_url, from->download_url) != 0)
                        complain(fault, i, "download_url", cannot_change);
                if (strcmp(to->name, from->name) != 0) complain(fault, i, "name", cannot_change);
                to->weight = from->weight;
        }
}

/* An empty text, which only a mask can name, clears them. */
static enum result apply_tools(struct arena *arena, const char *sent, Allod__V1__Workflow *stored, struct fault *fault)
{
        char *merged = NULL;
        size_t members = 0;
        const char *patch;
        enum result r;

        if (sent[0] == '\0') {
                stored->tools = (char *)protobuf_c_empty_string;
                return R_OK;
        }
        patch = document_copy(arena, sent);
        if (patch == NULL) return R_NO_MEMORY;
        if ((r = document_merge(arena, stored->tools, patch, &merged, &members)) != R_OK) return r;
        if (members > APP_TOOLS_MEMBERS_MAX)
                (void)fault_field(fault, "app.workflow.tools", "would have more than %d members",
                                  APP_TOOLS_MEMBERS_MAX);
        else if (strlen(merged) > APP_TOOLS_LEN_MAX)
                (void)fault_field(fault, "app.workflow.tools", "would be more than %zu bytes long", APP_TOOLS_LEN_MAX);
        stored->tools = merged;
        return R_OK;
}

enum result app_patch_apply(struct arena *arena, const struct app_patch *patch, Allod__V1__App *app,
                            struct fault *fault)
{
        enum result r;

        if (app->configuration == NULL || app->workflow == NULL) return R_CORRUPT;
        if (patch->has_gpu_tier && patch->configuration->gpu_tier != app->configuration->gpu_tier)
                (void)fault_field(fault, "app.configuration.gpu_tier", "cannot change after creation");
        if (patch->has_location && strcmp(patch->configuration->location, app->configuration->location) != 0)
                (void)fault_field(fault, "app.configuration.location", "cannot change after creation");
        if (patch->has_name) app->name = patch->app->name;
        if (patch->has_description) app->description = patch->app->description;
        if (patch->has_active_workers) set_active_workers(app, patch->configuration->active_workers);
        if (patch->has_model_url) app->workflow->model_url = patch->workflow->model_url;
        if (patch->has_loras) apply_loras(patch->workflow, app->workflow, fault);
        if (patch->has_tools && (r = apply_tools(arena, patch->workflow->tools, app->workflow, fault)) != R_OK)
                return r;
        return field_outcome(fault);
}
