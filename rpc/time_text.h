/*
 * Times as text: UTC, proleptic Gregorian calendar, no leap seconds, no C library calendar.
 */
#ifndef ALLOD_RPC_TIME_TEXT_H
#define ALLOD_RPC_TIME_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define TIME_TEXT_SIZE         20 /* "2025-01-02T03:04:05" and a NUL */
#define TIME_TEXT_RFC3339_SIZE 31 /* "2025-01-02T03:04:05.123456789Z" and a NUL */

/*
 * Milliseconds since 1970 as "2025-01-02T03:04:05"; `separator` is 'T' (apps) or ' ' (jobs). The fraction is cut off
 * towards the past. Times outside the years 1 to 9999 show as the nearest end of them.
 */
void time_text_format(int64_t time_ms, char separator, char out[TIME_TEXT_SIZE]);

/* RFC 3339 with Z and 0, 3, 6 or 9 digits of fraction, as ProtoJSON writes a Timestamp. False, `out` untouched: outside
 * the years 1 to 9999, or nanos outside 0 to 999,999,999. */
bool time_text_rfc3339(int64_t seconds, int32_t nanos, char out[TIME_TEXT_RFC3339_SIZE]);

#endif
