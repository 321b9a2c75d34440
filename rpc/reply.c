#include "rpc/reply.h"

#include <stdio.h>
#include <string.h>

/* HTTP statuses: never 408 for a deadline, since clients repeat those by themselves; 403 for a bad key, as published.
 * What is a fault of ours says nothing of it: the log has the rest. */
static const struct reply replies[RESULT_COUNT] = {
        [R_OK] = {GRPC_OK, 200, "OK", "OK.", false},
        [R_ABSENT] = {GRPC_NOT_FOUND, 404, "NOT_FOUND", "Not found.", true},
        [R_EXISTS] = {GRPC_ALREADY_EXISTS, 409, "ALREADY_EXISTS", "It exists already.", true},
        [R_BAD_ARGUMENT] = {GRPC_INVALID_ARGUMENT, 400, "BAD_ARGUMENT", "The request has an invalid argument.", true},
        [R_UNAUTHENTICATED] = {GRPC_UNAUTHENTICATED, 403, "INVALID_API_KEY", "Unauthorized access. Invalid API key.",
                               false},
        [R_WRONG_USER] = {GRPC_PERMISSION_DENIED, 403, "WRONG_USER", "User does not match the API key.", false},
        [R_NOT_MEMBER] = {GRPC_PERMISSION_DENIED, 403, "NOT_A_MEMBER", "You are not a member of this team.", false},
        [R_FORBIDDEN] = {GRPC_PERMISSION_DENIED, 403, "PERMISSION_MISSING", "A permission is missing.", true},
        [R_WRONG_STATE] = {GRPC_FAILED_PRECONDITION, 409, "WRONG_STATE", "The resource is in a state that forbids it.",
                           true},
        [R_STALE] = {GRPC_ABORTED, 409, "ETAG_MISMATCH", "The resource has changed: the etag does not match.", true},
        [R_TOO_LARGE] = {GRPC_RESOURCE_EXHAUSTED, 413, "TOO_LARGE", "The request is too large.", true},
        [R_EXHAUSTED] = {GRPC_RESOURCE_EXHAUSTED, 429, "EXHAUSTED", "Too many requests at a time; try again later.",
                         true},
        [R_DEADLINE] = {GRPC_DEADLINE_EXCEEDED, 504, "DEADLINE", "The deadline has passed; nothing was done.", true},
        [R_CANCELED] = {GRPC_CANCELLED, 503, "CANCELED", "The call was canceled; nothing was done.", false},
        [R_UNIMPLEMENTED] = {GRPC_UNIMPLEMENTED, 404, "UNIMPLEMENTED", "There is no such method.", true},
        [R_DRAINING] = {GRPC_UNAVAILABLE, 503, "DRAINING", "The server is shutting down; try again.", false},
        [R_READ_ONLY] = {GRPC_UNAVAILABLE, 503, "READ_ONLY", "The store takes no writes for now; try again later.",
                         false},
        [R_COMMIT_UNKNOWN] = {GRPC_UNAVAILABLE, 503, "COMMIT_UNKNOWN",
                              "It is not known whether the change was saved; read before trying again.", false},
        [R_WAIT] = {GRPC_INTERNAL, 500, "INTERNAL", "Internal error.", false},
        [R_TXN_FULL] = {GRPC_RESOURCE_EXHAUSTED, 413, "TOO_LARGE", "The change is too large.", false},
        [R_NO_MEMORY] = {GRPC_RESOURCE_EXHAUSTED, 503, "OUT_OF_MEMORY", "The server is out of memory; try again later.",
                         false},
        [R_CORRUPT] = {GRPC_DATA_LOSS, 500, "DATA_LOSS", "A stored record is damaged.", false},
        [R_IO] = {GRPC_INTERNAL, 500, "INTERNAL", "Internal error.", false},
        [R_HELD] = {GRPC_INTERNAL, 500, "INTERNAL", "Internal error.", false},
        [R_FORMAT] = {GRPC_INTERNAL, 500, "INTERNAL", "Internal error.", false},
        [R_DEFECT] = {GRPC_INTERNAL, 500, "INTERNAL", "Internal error.", false},
};

const struct reply *reply_of(enum result r)
{
        return &replies[(size_t)r < RESULT_COUNT ? r : R_DEFECT];
}

/* Every complaint fits: FAULT_FIELDS_MAX of a path, a space, a text and a separator. */
#define SENTENCE_SIZE (FAULT_FIELDS_MAX * (FAULT_PATH_SIZE + FAULT_TEXT_SIZE + 2) + 2)

struct bytes reply_sentence(struct arena *arena, enum result r, const struct fault *fault, reply_path_fn *path_fn)
{
        const struct reply *reply = reply_of(r);
        struct bytes text = bytes_of_text(reply->text);
        char *sentence;
        size_t len = 0;
        size_t i;

        if (!reply->shows_fault) return text;
        if (fault->text[0] != '\0') return bytes_of_text(fault->text);
        if (fault->field_count == 0) return text;
        sentence = arena_alloc(arena, SENTENCE_SIZE);
        if (sentence == NULL) return text;
        for (i = 0; i < fault->field_count; i++) {
                const struct fault_field *field = &fault->fields[i];
                char path[FAULT_PATH_SIZE];

                if (path_fn != NULL) path_fn(field->path, path);
                len += (size_t)snprintf(sentence + len, SENTENCE_SIZE - len, "%s%s %s", i == 0 ? "" : "; ",
                                        path_fn != NULL ? path : field->path, field->text);
        }
        sentence[len++] = '.';
        return bytes_of(sentence, len);
}
