/*
 * Rights, and which of them a role has in a team.
 *
 * The table is that of the contract (roles by settings); this is the only place that reads roles as rights. Pure; any
 * thread.
 */
#ifndef ALLOD_ENGINE_ROLE_H
#define ALLOD_ENGINE_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/v1/store.pb.h"

enum right {
        RIGHT_READ = 1u << 0,
        RIGHT_RUN = 1u << 1, /* jobs: run and cancel */
        RIGHT_EDIT = 1u << 2,
        RIGHT_CREATE = 1u << 3,
        RIGHT_DELETE = 1u << 4,
        RIGHT_SHARE = 1u << 5,  /* share, transfer out, transfer in */
        RIGHT_MANAGE = 1u << 6, /* members and settings of a team */
        RIGHT_OWN = 1u << 7,    /* name OWNERs, delete the team */
        RIGHT_WORK = 1u << 8,
        RIGHT_MOVE = 1u << 9,
};

/* What users may do in their own scope, and OWNERs in their team: all but RIGHT_WORK and RIGHT_MOVE, which leases and
 * offers prove and no role does. */
#define RIGHTS_ALL (RIGHT_WORK - 1u)

/* A new team's settings. */
extern const store_v1_Settings role_settings_default;

/* The rights of `role` (of allod.v1.Role) in a team with these settings; 0 for a role that is none. */
uint32_t role_rights(uint32_t role, const store_v1_Settings *settings);

/* "CREATE": how faults name the permission that is missing. `right` is one of the enum's. */
const char *right_name(enum right right);

#endif
