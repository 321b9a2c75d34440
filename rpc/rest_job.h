/*
 * The published shape of a job.
 */
#ifndef ALLOD_RPC_REST_JOB_H
#define ALLOD_RPC_REST_JOB_H

#include "allod/v1/job.pb-c.h"
#include "engine/arena.h"
#include "engine/bytes.h"
#include "engine/fault.h"
#include "engine/result.h"
#include "rpc/json_write.h"

/* Read `{"input":{...}}`; *input is the document. R_BAD_ARGUMENT. */
enum result rest_job_read(struct arena *arena, struct bytes body, struct fault *fault, char **input) MUST_USE;

/* A body that may be missing or `{}`. R_BAD_ARGUMENT. */
enum result rest_job_read_nothing(struct arena *arena, struct bytes body, struct fault *fault) MUST_USE;

/* A value of ?status=. R_BAD_ARGUMENT. */
enum result rest_job_status(const char *text, struct fault *fault, Allod__V1__JobStatus *out) MUST_USE;

/* Append a job as GET shows it. */
void rest_job_write(struct json_write *json, const Allod__V1__Job *job);

/* Append the answers of run_async and of cancel. */
void rest_job_write_queued(struct json_write *json, const Allod__V1__Job *job);
void rest_job_write_canceled(struct json_write *json, const Allod__V1__Job *job);

#endif
