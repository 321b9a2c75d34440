#include "engine/app.h"
#include "google/protobuf/empty.pb-c.h"
#include "rpc/services.h"

METHOD_FUNCTIONS(app_create, Allod__V1__CreateAppRequest)
METHOD_FUNCTIONS(app_get, Allod__V1__GetAppRequest)
METHOD_FUNCTIONS(app_list, Allod__V1__ListAppsRequest)
METHOD_FUNCTIONS(app_update, Allod__V1__UpdateAppRequest)
METHOD_FUNCTIONS(app_delete, Allod__V1__DeleteAppRequest)

#define ROW(rpc, function, request_type, response_type)                                                                \
        METHOD_ROW("/allod.v1.AppService/" rpc, function, request_type, response_type),                                \
                .planes = PLANE_BIT(PLANE_PUBLIC), .needs_key = true

static const struct method methods[] = {
        {
                ROW("CreateApp", app_create, allod__v1__create_app_request, allod__v1__app),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("GetApp", app_get, allod__v1__get_app_request, allod__v1__app),
                .kind = METHOD_VIEW,
        },
        {
                ROW("ListApps", app_list, allod__v1__list_apps_request, allod__v1__list_apps_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("UpdateApp", app_update, allod__v1__update_app_request, allod__v1__app),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("DeleteApp", app_delete, allod__v1__delete_app_request, google__protobuf__empty),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
};

const struct service app_service = {"allod.v1.AppService", methods, sizeof methods / sizeof *methods};
