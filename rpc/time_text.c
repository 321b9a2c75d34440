#include "rpc/time_text.h"

#include <string.h>

#define SECONDS_MIN (-62135596800) /* 0001-01-01T00:00:00 */
#define SECONDS_MAX 253402300799   /* 9999-12-31T23:59:59 */
#define DAY_SECONDS 86400

/* Two decimal digits. */
static void put2(char *out, unsigned value)
{
        out[0] = (char)('0' + value / 10);
        out[1] = (char)('0' + value % 10);
}

/*
 * Days since 1970 to a date. Years run from March here, so that the leap day is the last one; 400 such years are always
 * 146097 days, 4 are 1461, and from March on the months' lengths repeat every 5 months in 153 days.
 */
static void put_date(char *out, int64_t days)
{
        uint32_t day = (uint32_t)(days + 719468); /* since 0000-03-01; above 0 for years from 1 on */
        uint32_t era = day / 146097;
        uint32_t era_day = day % 146097;
        uint32_t era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
        uint32_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
        uint32_t march_month = (5 * year_day + 2) / 153;
        uint32_t month = march_month < 10 ? march_month + 3 : march_month - 9;
        uint32_t year = era * 400 + era_year + (month <= 2);

        put2(out, year / 100);
        put2(out + 2, year % 100);
        out[4] = '-';
        put2(out + 5, month);
        out[7] = '-';
        put2(out + 8, year_day - (153 * march_month + 2) / 5 + 1);
}

/* The 19 characters of a time within the years 1 to 9999; no NUL. */
static void put_time(char *out, int64_t seconds, char separator)
{
        int64_t days = (seconds - SECONDS_MIN) / DAY_SECONDS + SECONDS_MIN / DAY_SECONDS;
        uint32_t second = (uint32_t)(seconds - days * DAY_SECONDS);

        put_date(out, days);
        out[10] = separator;
        put2(out + 11, second / 3600);
        out[13] = ':';
        put2(out + 14, second / 60 % 60);
        out[16] = ':';
        put2(out + 17, second % 60);
}

void time_text_format(int64_t time_ms, char separator, char out[TIME_TEXT_SIZE])
{
        int64_t seconds = time_ms / 1000 - (time_ms % 1000 < 0);

        if (seconds < SECONDS_MIN) seconds = SECONDS_MIN;
        if (seconds > SECONDS_MAX) seconds = SECONDS_MAX;
        put_time(out, seconds, separator);
        out[19] = '\0';
}

bool time_text_rfc3339(int64_t seconds, int32_t nanos, char out[TIME_TEXT_RFC3339_SIZE])
{
        char *to = out + 19;
        int32_t unit = 100000000;

        if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0 || nanos > 999999999) return false;
        put_time(out, seconds, 'T');
        if (nanos > 0) *to++ = '.';
        while (nanos > 0) {
                for (int i = 0; i < 3; i++, unit /= 10) {
                        *to++ = (char)('0' + nanos / unit);
                        nanos %= unit;
                }
        }
        *to++ = 'Z';
        *to = '\0';
        return true;
}
