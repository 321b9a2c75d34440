#include "engine/require.h"

#include <stdio.h>
#include <stdlib.h>

void require_failed(const char *file, int line, const char *condition)
{
        fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
        abort();
}
