/* The time of day for a Date header, RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef ALLOD_RPC_DATE_H
#define ALLOD_RPC_DATE_H

#include <time.h>

#include "engine/bytes.h"

#define DATE_LEN 29

/* Written into `out`, with a NUL. Years 0 to 9999. */
void date_write(char out[DATE_LEN + 1], time_t seconds);

/* Now; made once a second and thread. Good until the thread's next call. */
struct bytes date_now(void);

#endif
