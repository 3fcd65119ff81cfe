/* The states of an instance, and the pace of restarts. Pure. */
#include "host/instance/instance_priv.h"

static const char *const states[] = {
    [INSTANCE_CREATING] = "creating", [INSTANCE_STARTING] = "starting",
    [INSTANCE_READY] = "ready",       [INSTANCE_UNREADY] = "unready",
    [INSTANCE_BACKOFF] = "backoff",   [INSTANCE_CRASH_LOOP] = "crash_loop",
    [INSTANCE_STOPPING] = "stopping", [INSTANCE_GONE] = "gone",
};
static const char *const events[] = {
    [INSTANCE_CREATED] = "created",
    [INSTANCE_PROBED_READY] = "probed_ready",
    [INSTANCE_PROBED_UNREADY] = "probed_unready",
    [INSTANCE_EXITED] = "exited",
    [INSTANCE_LOOPED] = "looped",
    [INSTANCE_AGAIN] = "again",
    [INSTANCE_STOP] = "stop",
    [INSTANCE_REMOVED] = "removed",
};
#define ROW(from_, event_, to_)                                                                    \
    {                                                                                              \
        INSTANCE_##from_, INSTANCE_##event_, INSTANCE_##to_                                        \
    }
static const struct sm_row rows[] = {
    ROW(CREATING, CREATED, STARTING),    ROW(CREATING, EXITED, BACKOFF),
    ROW(CREATING, LOOPED, CRASH_LOOP),   ROW(CREATING, STOP, STOPPING),

    ROW(STARTING, PROBED_READY, READY),  ROW(STARTING, EXITED, BACKOFF),
    ROW(STARTING, LOOPED, CRASH_LOOP),   ROW(STARTING, STOP, STOPPING),

    ROW(READY, PROBED_UNREADY, UNREADY), ROW(READY, EXITED, BACKOFF),
    ROW(READY, LOOPED, CRASH_LOOP),      ROW(READY, STOP, STOPPING),

    ROW(UNREADY, PROBED_READY, READY),   ROW(UNREADY, EXITED, BACKOFF),
    ROW(UNREADY, LOOPED, CRASH_LOOP),    ROW(UNREADY, STOP, STOPPING),

    ROW(BACKOFF, AGAIN, CREATING),       ROW(BACKOFF, STOP, STOPPING),
    ROW(CRASH_LOOP, AGAIN, CREATING),    ROW(CRASH_LOOP, STOP, STOPPING),

    ROW(STOPPING, REMOVED, GONE),
};
const struct sm host_instance_sm = {.name = "instance",
                                    .state_names = states,
                                    .state_count = INSTANCE_STATES,
                                    .event_names = events,
                                    .event_count = INSTANCE_EVENTS,
                                    .rows = rows,
                                    .row_count = sizeof(rows) / sizeof(rows[0]),
                                    .initial = INSTANCE_CREATING};

const char *instance_state_shown(enum instance_state state)
{
    return state == INSTANCE_CREATING ? states[INSTANCE_STARTING] : states[state];
}

#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 30000
#define UP_LONG_MS 60000
#define LOOP_WINDOW_MS 60000

int64_t restart_after(struct restart *r, int64_t now, int64_t up_ms, bool *ret_loop)
{
    if (up_ms >= UP_LONG_MS || r->delay_ms == 0)
        r->delay_ms = DELAY_FIRST_MS;
    else
        r->delay_ms = r->delay_ms * 2 < DELAY_MAX_MS ? r->delay_ms * 2 : DELAY_MAX_MS;
    r->exits[r->count++ % EXITS_KEPT] = now;
    *ret_loop = r->count >= EXITS_KEPT && now - r->exits[r->count % EXITS_KEPT] <= LOOP_WINDOW_MS;
    if (*ret_loop)
        r->delay_ms = DELAY_MAX_MS;
    return r->delay_ms;
}
