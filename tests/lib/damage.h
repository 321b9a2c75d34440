/*
 * Feeds a decoder damaged input: every prefix of a valid text, and every text that differs from it in one byte. Each
 * lies in an allocation of just its length, so that AddressSanitizer sees a read behind it.
 */
#ifndef ALLOD_TESTS_LIB_DAMAGE_H
#define ALLOD_TESTS_LIB_DAMAGE_H

#include "engine/bytes.h"

typedef void damage_cb(struct bytes damaged, void *context);

/* `check_cb` must not keep `damaged`. */
void damage_each(struct bytes valid, void *context, damage_cb *check_cb);

/* The same for one text as it is. */
void damage_none(struct bytes valid, void *context, damage_cb *check_cb);

#endif
