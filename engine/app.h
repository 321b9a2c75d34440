/*
 * Apps: the methods of AppService as transaction functions, and their rules.
 *
 * A stored app is an allod.v1.App without id, owner, etag, jobs and workers: the key, the header and other rows say
 * those. Every reply that shows an app is the stored bytes with these five appended as whole top-level fields, jobs and
 * workers even when all zero; nothing is unpacked to read.
 *
 * NAME_check looks at the fields of a request alone: R_OK, or R_BAD_ARGUMENT with one complaint per field (or
 * R_NO_MEMORY). It is pure; any thread. NAME runs only with a request that has passed it, in a view (get, list) or on
 * the writer (create, update, delete). It fills `reply`, which the caller has initialised, with the method's response;
 * on anything but R_OK what is in `reply` means nothing. All answer what scope_open answers.
 */
#ifndef ALLOD_ENGINE_APP_H
#define ALLOD_ENGINE_APP_H

#include "allod/v1/app.pb-c.h"
#include "engine/caller.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/txn.h"

struct scope;

/* The new app. Two puts. */
enum result app_create(struct txn *txn, const struct credential *who, const Allod__V1__CreateAppRequest *request,
                       struct message *reply) MUST_USE;
enum result app_create_check(const Allod__V1__CreateAppRequest *request, struct fault *fault) MUST_USE;

/* R_ABSENT: no such app in the scope; an id that is no UUID is one of no app. */
enum result app_get(struct txn *txn, const struct credential *who, const Allod__V1__GetAppRequest *request,
                    struct message *reply) MUST_USE;
enum result app_get_check(const Allod__V1__GetAppRequest *request, struct fault *fault) MUST_USE;

/* Newest first. R_BAD_ARGUMENT: the page token is not of this list. */
enum result app_list(struct txn *txn, const struct credential *who, const Allod__V1__ListAppsRequest *request,
                     struct message *reply) MUST_USE;
enum result app_list_check(const Allod__V1__ListAppsRequest *request, struct fault *fault) MUST_USE;

/* The app as it now is. R_ABSENT. R_STALE: request->app->etag is set and not the record's. R_BAD_ARGUMENT: a field that
 * cannot change would, or what results is too large. */
enum result app_update(struct txn *txn, const struct credential *who, const Allod__V1__UpdateAppRequest *request,
                       struct message *reply) MUST_USE;
enum result app_update_check(const Allod__V1__UpdateAppRequest *request, struct fault *fault) MUST_USE;

/* google.protobuf.Empty. The app and its jobs are gone at once; their rows go in later steps. R_ABSENT, R_STALE. */
enum result app_delete(struct txn *txn, const struct credential *who, const Allod__V1__DeleteAppRequest *request,
                       struct message *reply) MUST_USE;
enum result app_delete_check(const Allod__V1__DeleteAppRequest *request, struct fault *fault) MUST_USE;

/* Read an app's id as a request spells it, and see that the app is in the scope. R_ABSENT: it is not, and the fault
 * says so in the published words. For modules whose records lie under an app. */
enum result app_find(const struct scope *scope, const char *id, struct uuid *out) MUST_USE;

/* R_ABSENT with the fault "App with ID '<id>' not found.", the id as given, cut when it is longer than any id. */
enum result app_absent(struct fault *fault, const char *id);

#endif
