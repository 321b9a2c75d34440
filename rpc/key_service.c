#include "engine/apikey.h"
#include "google/protobuf/empty.pb-c.h"
#include "rpc/services.h"

METHOD_FUNCTIONS(apikey_create, Allod__V1__CreateKeyRequest)
METHOD_FUNCTIONS(apikey_list, Allod__V1__ListKeysRequest)
METHOD_FUNCTIONS(apikey_revoke, Allod__V1__RevokeKeyRequest)

#define ROW(rpc, function, request_type, response_type)                                                                \
        METHOD_ROW("/allod.v1.KeyService/" rpc, function, request_type, response_type),                                \
                .planes = PLANE_BIT(PLANE_PUBLIC), .needs_key = true

static const struct method methods[] = {
        {
                ROW("CreateKey", apikey_create, allod__v1__create_key_request, allod__v1__create_key_response),
                .kind = METHOD_UPDATE,
                .needs_seed = true,
        },
        {
                ROW("ListKeys", apikey_list, allod__v1__list_keys_request, allod__v1__list_keys_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("RevokeKey", apikey_revoke, allod__v1__revoke_key_request, google__protobuf__empty),
                .kind = METHOD_UPDATE, .frees_space = true, /* no, but it must never have to wait for space */
        },
};

const struct service key_service = {"allod.v1.KeyService", methods, sizeof methods / sizeof *methods};
