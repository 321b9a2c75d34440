#include "engine/result.h"

#include <stddef.h>

static const struct {
        const char *name;
        const char *text;
        bool is_retryable;
} results[RESULT_COUNT] = {
#define X(name, text, retryable) [name] = {#name, text, retryable},
        RESULT_LIST(X)
#undef X
};

static bool is_known(enum result r)
{
        return (size_t)r < RESULT_COUNT;
}

const char *result_name(enum result r)
{
        return is_known(r) ? results[r].name : "R_UNKNOWN";
}

const char *result_text(enum result r)
{
        return is_known(r) ? results[r].text : "unknown result";
}

bool result_is_retryable(enum result r)
{
        return is_known(r) && results[r].is_retryable;
}
