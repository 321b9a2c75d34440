/*
 * What has changed of an owner since a base, by its log of changes.
 *
 * Whatever writes a record gives it the number of a change row, so a record has changed since if its revision is above
 * the base's. There are two exceptions. A key's last use is written without either; so a delta has all of an owner's
 * keys. And an app counts from when its own record is there, which comes last when one is restored; so a delta has all
 * of an app that was made since. What is gone has nothing but its change row, from which its name is told.
 *
 * The log does not tell if it no longer has the base's last change, as it was: then the owner was deleted and made
 * anew, or the log was cut. Nor if what is gone cannot be named by it, or is more than is kept in memory. The owner is
 * then dumped as a whole.
 */
#ifndef ALLOD_ENGINE_DUMP_DELTA_H
#define ALLOD_ENGINE_DUMP_DELTA_H

#include "engine/dump.h"
#include "engine/scope.h"

/* Names of one owner that are gone, and apps that were made: more are not kept (5 MiB each). */
#define DUMP_NAMES_MAX 65536

struct dump_names {
        struct dump_name {
                struct key key; /* with the owner */
                struct row row;
        } * names; /* in order */
        size_t count, size;
};

/* Zeroed: nothing. Used for one owner after another. */
struct dump_delta {
        struct dump_names gone, made;
        size_t gone_given; /* for dump.c */
};

/* The owner's state now. R_CORRUPT, R_NO_MEMORY. */
enum result dump_delta_state(const struct scope *scope, struct dump_state *out) MUST_USE;

/* R_ABSENT: the log does not tell. R_CORRUPT, R_NO_MEMORY. */
enum result dump_delta_find(const struct scope *scope, const struct dump_state *now, const struct dump_state *base,
                            struct dump_delta *out) MUST_USE;

/* Whether the app was made since. */
bool dump_delta_has_made(const struct dump_delta *delta, const struct key *app_record);

int dump_key_compare(const struct key *a, const struct key *b);

void dump_delta_fini(struct dump_delta *delta);

#endif
