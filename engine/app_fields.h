/*
 * The fields of an app: what a request may set them to, and how an update changes a stored app. Pure; any thread. Part
 * of app.c, in files of its own.
 */
#ifndef ALLOD_ENGINE_APP_FIELDS_H
#define ALLOD_ENGINE_APP_FIELDS_H

#include <stdbool.h>

#include "allod/v1/app.pb-c.h"
#include "engine/arena.h"
#include "engine/fault.h"
#include "engine/result.h"

/* What an update sets. `configuration` and `workflow` are never NULL: what was not sent is default. */
struct app_patch {
        const Allod__V1__App *app;
        const Allod__V1__Configuration *configuration;
        const Allod__V1__Workflow *workflow;
        bool has_name, has_description;
        bool has_gpu_tier, has_active_workers, has_location;
        bool has_model_url, has_loras, has_tools;
};

/* By the mask, or without one what is not default. request->app is not NULL. */
void app_patch_read(const Allod__V1__UpdateAppRequest *request, struct app_patch *out);

/*
 * Change `app`, unpacked from a stored record into the arena, as the patch says; status follows active_workers. Fields
 * that are unknown stay. What it then holds points into the patch and the arena.
 * R_BAD_ARGUMENT: what cannot change would, or it would grow too large; a complaint for each such field.  R_CORRUPT:
 * the record lacks what every app has.  R_NO_MEMORY.  `app` is not to be used unless it is R_OK.
 */
enum result app_patch_apply(struct arena *arena, const struct app_patch *patch, Allod__V1__App *app,
                            struct fault *fault) MUST_USE;

#endif
