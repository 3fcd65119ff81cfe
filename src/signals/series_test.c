#include "signals/series.h"
#include "base/tap.h"

TEST(counts_by_second)
{
    struct series s = {0};
    series_add(&s, 1000, 1000, 50, false);
    series_add(&s, 1000, 1000, 150, true);
    series_add(&s, 1001, 1001, 10, false);
    const struct series_second *second = series_at(&s, 1000);
    OK(second != NULL);
    IS_INT(second->requests, 2);
    IS_INT(second->errors, 1);
    IS_INT(second->us_sum, 200);
    IS_INT(second->us_max, 150);
    OK(!series_at(&s, 999));
    IS_INT(series_sum(&s, 990, 1001).requests, 3);
    series_done(&s);
}

TEST(forgets_after_an_hour_and_refuses_the_future)
{
    struct series s = {0};
    series_add(&s, 10000, 10000, 1, false);
    series_add(&s, 10000, 10061, 1, false);
    series_add(&s, 10000, 6399, 1, false);
    IS_INT(series_sum(&s, 0, 20000).requests, 1);
    series_add(&s, 10000 + 3660, 10000 + 3660, 1, false); /* the same place in the circle */
    OK(!series_at(&s, 10000));
    series_trim(&s, 10000 + 2 * 3660);
    IS_INT(series_sum(&s, 0, 20000).requests, 0);
    series_done(&s);
}

TAP_MAIN()
