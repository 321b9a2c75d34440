/*
 * The outcomes a caller can act on.
 *
 * Zero is success. Absence is not failure: a look-up gives R_OK, R_ABSENT or an error, and an authorisation check never
 * reads one as another. A code exists only if some caller acts on it. Details for the person at the other end (which
 * field, which permission) travel beside the result, in struct fault.
 *
 * Each row: name, text, whether the same call may be repeated as it is and succeed.
 */
#ifndef ALLOD_ENGINE_RESULT_H
#define ALLOD_ENGINE_RESULT_H

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

/* POSIX has a macro of this name for access(2), which we never call; both headers that define it come first, so that
 * none can bring it back behind our enum. */
#undef R_OK

#define RESULT_LIST(X)                                                                                                 \
        X(R_OK, "ok", false)                                                                                           \
        X(R_ABSENT, "not found", false)                                                                                \
        X(R_EXISTS, "exists already", false)                                                                           \
        X(R_BAD_ARGUMENT, "bad argument", false)                                                                       \
        X(R_UNAUTHENTICATED, "no or bad key", false)                                                                   \
        X(R_WRONG_USER, "claimed user is not the key's user", false)                                                   \
        X(R_NOT_MEMBER, "not a member of the team", false)                                                             \
        X(R_FORBIDDEN, "permission is missing", false)                                                                 \
        X(R_WRONG_STATE, "wrong state", false)                                                                         \
        X(R_STALE, "etag does not match", false)                                                                       \
        X(R_TOO_LARGE, "too large", false)                                                                             \
        X(R_EXHAUSTED, "over a quota, a rate or a queue's bound", true)                                                \
        X(R_DEADLINE, "deadline passed", true)                                                                         \
        X(R_CANCELED, "canceled by the caller", false)                                                                 \
        X(R_UNIMPLEMENTED, "no such method", false)                                                                    \
        X(R_DRAINING, "shutting down", true)                                                                           \
        X(R_READ_ONLY, "writes are refused for now: disk or map is full", true)                                        \
        X(R_COMMIT_UNKNOWN, "the commit's outcome is unknown", false)                                                  \
        X(R_WAIT, "nothing yet: run again when the topic wakes", true)                                                 \
        X(R_TXN_FULL, "transaction is full", true)                                                                     \
        X(R_NO_MEMORY, "out of memory, or over the call's cap", true)                                                  \
        X(R_CORRUPT, "stored bytes do not check out", false)                                                           \
        X(R_IO, "the operating system reported an error", false)                                                       \
        X(R_HELD, "another process holds the store", true)                                                             \
        X(R_FORMAT, "unknown format version", false)                                                                   \
        X(R_DEFECT, "internal defect", false)

enum result {
#define X(name, text, retryable) name,
        RESULT_LIST(X)
#undef X
        RESULT_COUNT
};

#define MUST_USE __attribute__((warn_unused_result))

/* "R_ABSENT"; for logs. Never NULL. */
const char *result_name(enum result r);

/* "not found"; for logs and tools. Never NULL. */
const char *result_text(enum result r);

bool result_is_retryable(enum result r);

#endif
