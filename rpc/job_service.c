#include "engine/job.h"
#include "rpc/services.h"

METHOD_FUNCTIONS(job_run, Allod__V1__RunJobRequest)
METHOD_FUNCTIONS(job_get, Allod__V1__GetJobRequest)
METHOD_FUNCTIONS(job_list, Allod__V1__ListJobsRequest)
METHOD_FUNCTIONS(job_cancel, Allod__V1__CancelJobRequest)

#define ROW(rpc, function, request_type, response_type)                                                                \
        METHOD_ROW("/allod.v1.JobService/" rpc, function, request_type, response_type),                                \
                .planes = PLANE_BIT(PLANE_PUBLIC), .needs_key = true

static const struct method methods[] = {
        {
                ROW("RunJob", job_run, allod__v1__run_job_request, allod__v1__job),
                .kind = METHOD_UPDATE,
        },
        {
                ROW("GetJob", job_get, allod__v1__get_job_request, allod__v1__job),
                .kind = METHOD_VIEW,
        },
        {
                ROW("ListJobs", job_list, allod__v1__list_jobs_request, allod__v1__list_jobs_response),
                .kind = METHOD_VIEW,
        },
        {
                ROW("CancelJob", job_cancel, allod__v1__cancel_job_request, allod__v1__job),
                .kind = METHOD_UPDATE,
                .frees_space = true,
        },
};

const struct service job_service = {"allod.v1.JobService", methods, sizeof methods / sizeof *methods};
