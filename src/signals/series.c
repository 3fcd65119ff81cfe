/* See series.h. */
#include "signals/series.h"
#include "base/mem.h"

void series_done(struct series *s)
{
    for (size_t i = 0; i < SERIES_MINUTES; i++)
        free(s->minutes[i]);
    *s = (struct series){0};
}

static struct series_minute *minute_get(struct series *s, int64_t minute)
{
    struct series_minute **slot = &s->minutes[minute % SERIES_MINUTES];
    if (*slot && (*slot)->minute == minute)
        return *slot;
    if (!*slot)
        *slot = mem_alloc(sizeof(**slot));
    **slot = (struct series_minute){.minute = minute};
    return *slot;
}

void series_add(struct series *s, int64_t now_s, int64_t at_s, uint64_t took_us, bool error)
{
    if (at_s > now_s + 60 || at_s < now_s - 3600 || at_s < 0)
        return;
    struct series_second *second = &minute_get(s, at_s / 60)->seconds[at_s % 60];
    uint32_t us = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
    second->requests++;
    second->errors += error;
    second->us_sum += took_us;
    if (us > second->us_max)
        second->us_max = us;
    if (at_s > s->newest_s)
        s->newest_s = at_s;
}

const struct series_second *series_at(const struct series *s, int64_t at_s)
{
    const struct series_minute *minute = at_s < 0 ? NULL : s->minutes[at_s / 60 % SERIES_MINUTES];
    if (!minute || minute->minute != at_s / 60)
        return NULL;
    const struct series_second *second = &minute->seconds[at_s % 60];
    return second->requests ? second : NULL;
}

struct series_second series_sum(const struct series *s, int64_t from_s, int64_t to_s)
{
    struct series_second sum = {0};
    for (int64_t at = from_s; at <= to_s; at++) {
        const struct series_second *second = series_at(s, at);
        if (!second)
            continue;
        sum.requests += second->requests;
        sum.errors += second->errors;
        sum.us_sum += second->us_sum;
        if (second->us_max > sum.us_max)
            sum.us_max = second->us_max;
    }
    return sum;
}

void series_trim(struct series *s, int64_t now_s)
{
    for (size_t i = 0; i < SERIES_MINUTES; i++) {
        if (!s->minutes[i] || s->minutes[i]->minute >= now_s / 60 - 60)
            continue;
        free(s->minutes[i]);
        s->minutes[i] = NULL;
    }
}
