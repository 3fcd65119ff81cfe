/* For our unit tests: run the loop until a condition holds or ten seconds have passed. No sleeping:
 * the loop blocks in poll, woken at least every 50 ms to look at the clock. */
#pragma once
#include "base/time.h"
#include "io/loop.h"

static inline void until_tick(void *context)
{
    (void)context;
}
static inline bool until(bool (*holds)(void *context), void *context)
{
    struct timer *tick = NULL;
    int64_t start = clock_mono_ms(clock_system());
    timer_start(&tick, 50, 50, until_tick, NULL);
    while (!holds(context) && clock_mono_ms(clock_system()) - start < 10000)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    timer_free(&tick);
    return holds(context);
}
static inline bool until_set(void *context)
{
    return *(bool *)context;
}
/* Let everything that is closing be freed. */
static inline void until_quiet(void)
{
    for (int i = 0; i < 5; i++)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
}
