/* Times of day, of a clock eight hours ahead, as Shanghai's. */
#include "core/automation/daily.h"
#include <stdlib.h>
#include <time.h>
#include "base/tap.h"

TAP_MAIN()

#define NOON_MS 1796097600000ll /* 2026-12-01 04:00 UTC: 12:00 there */
#define HOUR_MS 3600000ll

TEST(only_times_are_times)
{
    static const char *const bad[] = {"",      "24:00", "3:30",   "03:60",
                                      "ab:cd", "03-30", "03:300", "-1:00"};
    OK(daily_is("00:00") && daily_is("23:59") && daily_is("03:30"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        OK(!daily_is(bad[i]));
}

TEST(the_latest_one_is_today_or_yesterday)
{
    OK(setenv("TZ", "CST-8", 1) == 0);
    tzset();
    IS_INT(daily_last(NOON_MS, "12:00"), NOON_MS);
    IS_INT(daily_last(NOON_MS, "03:30"), NOON_MS - 8 * HOUR_MS - HOUR_MS / 2);
    IS_INT(daily_last(NOON_MS, "12:01"), NOON_MS - 24 * HOUR_MS + 60000);
    IS_INT(daily_last(NOON_MS + 59999, "12:00"), NOON_MS);
}
