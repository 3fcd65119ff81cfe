/* Counts per second over the last hour, in minutes that exist only when something happened in
 * them. Loop thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIES_MINUTES 61 /* the running one and sixty before it */

struct series_second {
    uint32_t requests;
    uint32_t errors;
    uint32_t us_max;
    uint32_t unused;
    uint64_t us_sum;
};
struct series_minute {
    int64_t minute; /* since 1970 */
    struct series_second seconds[60];
};
struct series {
    struct series_minute *minutes[SERIES_MINUTES]; /* by minute % SERIES_MINUTES */
    int64_t newest_s;
};
void series_done(struct series *s);
/* A second older than an hour, or more than a minute ahead of `now_s`, is not counted. */
void series_add(struct series *s, int64_t now_s, int64_t at_s, uint64_t took_us, bool error);
/* NULL when nothing happened in that second. */
const struct series_second *series_at(const struct series *s, int64_t at_s);
struct series_second series_sum(const struct series *s, int64_t from_s, int64_t to_s);
/* Give back the memory of minutes older than an hour. */
void series_trim(struct series *s, int64_t now_s);
