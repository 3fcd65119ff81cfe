/* The table of the HAProxy process. The actions of the states are in edge_run.c. */
#include "host/edge/edge_sm.h"
#include "base/mem.h"

#define ROW(from, event, to)                                                                       \
    {                                                                                              \
        EDGE_##from, EDGE_##event, EDGE_##to                                                       \
    }

static const char *const states[] = {"absent", "checking",   "starting",  "syncing",
                                     "up",     "rechecking", "reloading", "failed"};
static const char *const events[] = {"want",    "adopt",       "checked", "refused",
                                     "started", "not_started", "synced",  "lost",
                                     "reload",  "died",        "retry"};

static const struct sm_row rows[] = {
    ROW(ABSENT, WANT, CHECKING),
    ROW(ABSENT, ADOPT, SYNCING),
    ROW(CHECKING, CHECKED, STARTING),
    ROW(CHECKING, REFUSED, FAILED),
    ROW(STARTING, STARTED, SYNCING),
    ROW(STARTING, NOT_STARTED, FAILED),
    ROW(SYNCING, SYNCED, UP),
    ROW(SYNCING, LOST, SYNCING),
    ROW(SYNCING, RELOAD, RECHECKING),
    ROW(SYNCING, DIED, ABSENT),
    ROW(UP, LOST, SYNCING),
    ROW(UP, RELOAD, RECHECKING),
    ROW(UP, DIED, ABSENT),
    ROW(RECHECKING, CHECKED, RELOADING),
    ROW(RECHECKING, REFUSED, SYNCING), /* the one that runs goes on */
    ROW(RECHECKING, DIED, CHECKING),   /* the check under way decides for a plain start */
    ROW(RELOADING, STARTED, SYNCING),
    ROW(RELOADING, NOT_STARTED, SYNCING),
    ROW(RELOADING, DIED, STARTING), /* its successor is on the way, or gives up */
    ROW(FAILED, RETRY, CHECKING),
};

const struct sm edge_sm = {
    .name = "edge",
    .state_names = states,
    .state_count = ARRAY_SIZE(states),
    .event_names = events,
    .event_count = ARRAY_SIZE(events),
    .rows = rows,
    .row_count = ARRAY_SIZE(rows),
    .initial = EDGE_ABSENT,
};
