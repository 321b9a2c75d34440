/*
 * Jobs: the methods of JobService as transaction functions, and their rules.
 *
 * A job is three rows, each an allod.v1.Job with some of its fields, so that their concatenation is the whole message:
 *
 *      ROW_JOB          status error created_at updated_at created_by execution_time attempt     changes with its state
 *      ROW_JOB_INPUT    input                                                                     written once
 *      ROW_JOB_RESULT   result                                                                    written once
 *
 * Replies append id, app_id and etag, which no row holds. Beside them lie ROW_JOB_BY_STATE (one for each job),
 * ROW_JOB_QUEUE (while it waits) and the app's counters. All of it is reached through the app, and only while its
 * record is there.
 *
 * What engine/app.h says about NAME_check, NAME and `reply` holds here too.
 */
#ifndef ALLOD_ENGINE_JOB_H
#define ALLOD_ENGINE_JOB_H

#include "allod/v1/job.pb-c.h"
#include "engine/caller.h"
#include "engine/derive.h"
#include "engine/fault.h"
#include "engine/message.h"
#include "engine/result.h"
#include "engine/txn.h"

/* The new job, without its input. Six puts. R_ABSENT: no such app. */
enum result job_run(struct txn *txn, const struct credential *who, const Allod__V1__RunJobRequest *request,
                    struct message *reply) MUST_USE;
enum result job_run_check(const Allod__V1__RunJobRequest *request, struct fault *fault) MUST_USE;

/* The whole job. R_ABSENT: no such app, or no such job of it; the fault says which. */
enum result job_get(struct txn *txn, const struct credential *who, const Allod__V1__GetJobRequest *request,
                    struct message *reply) MUST_USE;
enum result job_get_check(const Allod__V1__GetJobRequest *request, struct fault *fault) MUST_USE;

/* Newest first. R_ABSENT: no such app. R_BAD_ARGUMENT: the page token is not of this list. */
enum result job_list(struct txn *txn, const struct credential *who, const Allod__V1__ListJobsRequest *request,
                     struct message *reply) MUST_USE;
enum result job_list_check(const Allod__V1__ListJobsRequest *request, struct fault *fault) MUST_USE;

/* The job as it now is, without input and result. R_ABSENT. R_WRONG_STATE: it has completed or failed. */
enum result job_cancel(struct txn *txn, const struct credential *who, const Allod__V1__CancelJobRequest *request,
                       struct message *reply) MUST_USE;
enum result job_cancel_check(const Allod__V1__CancelJobRequest *request, struct fault *fault) MUST_USE;

/* The index rows of a restored job, and its place in the app's counters, whose revision is that of the last job. */
derive_fn job_derive;

#endif
