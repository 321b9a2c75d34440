/*
 * What the body of a stored record must be by itself, without any other row: what verify says of a store's rows, and
 * what a restore into a store in use asks of a dump's before it puts one.
 *
 *      all             decode; times are after 1970 and can be written; roles and states are known ones; text is UTF-8
 *      apps, jobs      have each field that is always stored, and none that replies append
 *      documents       are JSON as it is sent out, byte by byte: an app's tools and a job's input are objects, a job's
 *                      result is any value. Its row holds this one field and no other, which would be taken for the
 *                      job's state: a reply is the bytes of the three rows behind one another
 *
 * Of ROW_COUNTERS and of kinds without a body of their own here, nothing is asked. Pure; any thread.
 */
#ifndef ALLOD_ENGINE_BODY_CHECK_H
#define ALLOD_ENGINE_BODY_CHECK_H

#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/key.h"
#include "engine/result.h"

/* *fault is what is wrong with it, which continues "the row .. " to a sentence, or NULL. What it takes of the arena is
 * the caller's to reset. R_NO_MEMORY: nobody knows. */
enum result body_check(struct arena *arena, enum row_kind kind, struct bytes body, const char **fault) MUST_USE;

#endif
