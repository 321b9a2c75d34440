#include "engine/role.h"

#include <stddef.h>

#include <allod/v1/team.pb-c.h>

#include "engine/require.h"

const store_v1_Settings role_settings_default = {
        .member_can_create = true,
        .member_can_edit = true,
        .member_can_run = true,
};

enum grant {
        NEVER,
        ALWAYS,
        IF_SET, /* by the team's setting */
};

/* One row per right. `setting` is where the right's setting lies in store_v1_Settings. */
static const struct {
        enum right right;
        const char *name;
        enum grant owner, admin, member;
        size_t setting;
} rights[] = {
        {RIGHT_READ, "READ", ALWAYS, ALWAYS, ALWAYS, 0},
        {RIGHT_RUN, "RUN", ALWAYS, ALWAYS, IF_SET, offsetof(store_v1_Settings, member_can_run)},
        {RIGHT_EDIT, "EDIT", ALWAYS, ALWAYS, IF_SET, offsetof(store_v1_Settings, member_can_edit)},
        {RIGHT_CREATE, "CREATE", ALWAYS, ALWAYS, IF_SET, offsetof(store_v1_Settings, member_can_create)},
        {RIGHT_DELETE, "DELETE", ALWAYS, ALWAYS, IF_SET, offsetof(store_v1_Settings, member_can_delete)},
        {RIGHT_SHARE, "SHARE", ALWAYS, ALWAYS, IF_SET, offsetof(store_v1_Settings, member_can_share)},
        {RIGHT_MANAGE, "MANAGE", ALWAYS, ALWAYS, NEVER, 0},
        {RIGHT_OWN, "OWN", ALWAYS, NEVER, NEVER, 0},
        {RIGHT_WORK, "WORK", NEVER, NEVER, NEVER, 0},
        {RIGHT_MOVE, "MOVE", NEVER, NEVER, NEVER, 0},
};

#define RIGHT_COUNT (sizeof rights / sizeof rights[0])

uint32_t role_rights(uint32_t role, const store_v1_Settings *settings)
{
        uint32_t granted = 0;
        size_t i;

        for (i = 0; i < RIGHT_COUNT; i++) {
                enum grant grant = NEVER;

                if (role == ALLOD__V1__ROLE__ROLE_OWNER) grant = rights[i].owner;
                if (role == ALLOD__V1__ROLE__ROLE_ADMIN) grant = rights[i].admin;
                if (role == ALLOD__V1__ROLE__ROLE_MEMBER) grant = rights[i].member;
                if (grant == IF_SET)
                        grant = *(const bool *)((const char *)settings + rights[i].setting) ? ALWAYS : NEVER;
                if (grant == ALWAYS) granted |= rights[i].right;
        }
        return granted;
}

const char *right_name(enum right right)
{
        size_t i;

        for (i = 0; i < RIGHT_COUNT && rights[i].right != right; i++)
                ;
        REQUIRE(i < RIGHT_COUNT);
        return rights[i].name;
}
