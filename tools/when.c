#include "tools/when.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#define SPAN_MAX 1000000000 /* a number that times a week still fits, and is no typing error */

static bool parse_span(const char *text, int64_t *seconds)
{
        static const struct {
                char letter;
                int64_t seconds;
        } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
        int64_t number = 0;
        size_t len = strspn(text, "0123456789");

        if (len == 0 || len > 9 || strlen(text) != len + 1) return false;
        for (size_t i = 0; i < len; i++)
                number = number * 10 + (text[i] - '0');
        if (number > SPAN_MAX) return false;
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
                if (units[i].letter != text[len]) continue;
                *seconds = (int64_t)time(NULL) + number * units[i].seconds;
                return true;
        }
        return false;
}

bool when_parse(const char *text, int64_t *seconds)
{
        struct tm parts = {0}, again;
        const char *rest = strptime(text, "%Y-%m-%d", &parts);
        time_t time;

        if (rest == NULL) return parse_span(text, seconds);
        if (*rest != '\0') {
                rest = strptime(rest, "T%H:%M:%SZ", &parts);
                if (rest == NULL || *rest != '\0') return false;
        }
        again = parts;
        time = timegm(&again);
        /* timegm turns a 31st of February into a 3rd of March. */
        if (again.tm_mday != parts.tm_mday || again.tm_mon != parts.tm_mon) return false;
        *seconds = (int64_t)time;
        return true;
}
