/*
 * Checks of single request fields, before any look-up. Pure; any thread.
 *
 * Each adds its complaint to the fault under `path` and goes on, so that a caller learns of several fields at once;
 * field_outcome tells at the end whether there was any:
 *
 *      field_uuid(fault, "team_id", request->team_id);
 *      field_role(fault, "role", request->role);
 *      return field_outcome(fault);
 *
 * The tools call methods without a wire in between, so texts are checked for UTF-8 here too.
 */
#ifndef ALLOD_ENGINE_FIELD_H
#define ALLOD_ENGINE_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include <google/protobuf/timestamp.pb-c.h>

#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"
#include "engine/uuid.h"

/* The 36 characters of a UUID. */
void field_uuid(struct fault *fault, const char *path, const char *text);

/* The same, or empty. */
void field_uuid_or_empty(struct fault *fault, const char *path, const char *text);

/* 1 to NAME_CHARACTERS_MAX characters. */
void field_name(struct fault *fault, const char *path, const char *text);

/* The same, or empty. */
void field_name_or_empty(struct fault *fault, const char *path, const char *text);

/* One of the roles of allod.v1.Role. */
void field_role(struct fault *fault, const char *path, uint32_t role);

/* A time that a Timestamp may hold, or NULL. */
void field_time(struct fault *fault, const char *path, const Google__Protobuf__Timestamp *time);

/* R_BAD_ARGUMENT if there was a complaint. */
enum result field_outcome(const struct fault *fault) MUST_USE;

/* ---- What a checked field says ---- */

struct uuid field_to_uuid(const char *text);

/* Milliseconds since 1970, cut; 0 for NULL. A time so long ago that it would come out as 0 or less comes out as 1. */
int64_t field_to_time_ms(const Google__Protobuf__Timestamp *time);

/* The other way; time_ms is not below 0. */
Google__Protobuf__Timestamp field_of_time_ms(int64_t time_ms);

#endif
