/*
 * What a resource module puts anew from a primary row when a store is restored: its indexes, counters and look-up rows.
 * restore.c has the table of these functions, by kind.
 */
#ifndef ALLOD_ENGINE_DERIVE_H
#define ALLOD_ENGINE_DERIVE_H

#include "engine/scope.h"

/* A primary row, which has just been put. Rows of an owner come in the order of their keys. */
struct derive {
        const struct scope *scope; /* its owner's */
        const struct scope *user;  /* the user's whom a ROW_MEMBER names; else NULL */
        const struct row *row;
        const struct record *record;
};

/* R_CORRUPT: the body does not decode. R_EXISTS: what it needs is another row's already. */
typedef enum result derive_fn(const struct derive *derive);

#endif
