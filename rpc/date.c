#include "rpc/date.h"

#include "engine/require.h"

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Not strftime: its names depend on the locale. */
void date_write(char out[DATE_LEN + 1], time_t seconds)
{
        struct tm tm;
        char text[64];
        int len;

        REQUIRE(gmtime_r(&seconds, &tm) != NULL);
        len = snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                       months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        REQUIRE(len == DATE_LEN);
        memcpy(out, text, DATE_LEN + 1);
}

struct bytes date_now(void)
{
        static _Thread_local char text[DATE_LEN + 1];
        static _Thread_local time_t made_at;
        time_t now = time(NULL);

        if (now != made_at) {
                date_write(text, now);
                made_at = now;
        }
        return bytes_of(text, DATE_LEN);
}
