/* Times as people give them on a command line. */
#ifndef ALLOD_TOOLS_WHEN_H
#define ALLOD_TOOLS_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/* "2027-01-31" (its start, UTC), "2027-01-31T12:00:00Z", or a span from now: a number and s, m, h, d or w. *seconds
 * since 1970. False: none of these; *seconds is untouched. */
bool when_parse(const char *text, int64_t *seconds);

#endif
