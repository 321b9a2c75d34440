#include "engine/mask.h"

#include <string.h>

bool mask_is_empty(const Google__Protobuf__FieldMask *mask)
{
        return mask == NULL || mask->n_paths == 0;
}

bool mask_covers(const Google__Protobuf__FieldMask *mask, const char *path)
{
        size_t i;

        if (mask == NULL) return false;
        for (i = 0; i < mask->n_paths; i++) {
                size_t len = strlen(mask->paths[i]);

                if (strncmp(mask->paths[i], path, len) == 0 && (path[len] == '\0' || (len > 0 && path[len] == '.')))
                        return true;
        }
        return false;
}

static bool is_listed(const char *path, const char *const *list, size_t count)
{
        size_t i;

        for (i = 0; i < count; i++)
                if (strcmp(path, list[i]) == 0) return true;
        return false;
}

enum result mask_check(const Google__Protobuf__FieldMask *mask, const char *const *allowed, size_t allowed_count,
                       struct fault *fault)
{
        enum result r = R_OK;
        size_t i;

        if (mask == NULL) return R_OK;
        for (i = 0; i < mask->n_paths; i++)
                if (!is_listed(mask->paths[i], allowed, allowed_count))
                        r = fault_field(fault, "update_mask", "names \"%s\", which is not a field that can be set",
                                        mask->paths[i]);
        return r;
}
