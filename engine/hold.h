/*
 * The hold on an owner into whom a dump is being restored: what lies below the owner's prefix is left alone by the
 * purge meanwhile. What is not visible yet stands on the purge list, so that nothing of it outlives a crash; the hold
 * is what keeps it from the purge while the process lives.
 *
 * One owner of one store at a time. Thread: any.
 */
#ifndef ALLOD_ENGINE_HOLD_H
#define ALLOD_ENGINE_HOLD_H

#include <stdbool.h>

#include "engine/key.h"
#include "engine/result.h"
#include "engine/store.h"

/* R_EXHAUSTED: some owner is held already. */
enum result hold_take(struct store *store, struct owner owner) MUST_USE;
void hold_release(struct store *store);

/* Whether it is this owner who is held. */
bool hold_is_on(const struct store *store, struct owner owner);

/* The prefix of whoever is held; false: nobody. */
bool hold_prefix(const struct store *store, struct key *out);

#endif
