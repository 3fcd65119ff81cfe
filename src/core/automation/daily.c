/* Times of day. */
#include "core/automation/daily.h"
#include <string.h>
#include <time.h>

bool daily_is(const char *text)
{
    return strlen(text) == 5 && text[2] == ':' && text[0] >= '0' && text[0] <= '2' &&
           text[1] >= '0' && text[1] <= '9' && (text[0] < '2' || text[1] <= '3') &&
           text[3] >= '0' && text[3] <= '5' && text[4] >= '0' && text[4] <= '9';
}

int64_t daily_last(int64_t now_ms, const char *text)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm parts;
    if (!localtime_r(&now, &parts))
        return 0;
    parts.tm_hour = (text[0] - '0') * 10 + text[1] - '0';
    parts.tm_min = (text[3] - '0') * 10 + text[4] - '0';
    parts.tm_sec = 0;
    parts.tm_isdst = -1;
    time_t then = mktime(&parts);
    return (int64_t)(then > now ? then - 86400 : then) * 1000;
}
