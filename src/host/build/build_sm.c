/* A build as a table. Every way out leads through CLEANING, where volume, mounts and secrets go. */
#include "base/mem.h"
#include "host/build/build_priv.h"

#define ROW(from, event, to)                                                                       \
    {                                                                                              \
        BUILD_##from, BUILD_EVENT_##event, BUILD_##to                                              \
    }
static const struct sm_row rows[] = {
    ROW(BASE, READY, QUEUED),     ROW(QUEUED, START, VOLUME),
    ROW(VOLUME, READY, CACHE),    ROW(CACHE, READY, TREE),
    ROW(TREE, READY, STEPS),      ROW(STEPS, NEXT, STEPS),
    ROW(STEPS, READY, CHECKS),    ROW(CHECKS, NEXT, CHECKS),
    ROW(CHECKS, READY, COLLECT),  ROW(COLLECT, READY, ADMIT),
    ROW(ADMIT, READY, CLEANING),  ROW(QUEUED, FAIL, CLEANING),
    ROW(BASE, FAIL, CLEANING),    ROW(VOLUME, FAIL, CLEANING),
    ROW(CACHE, FAIL, CLEANING),   ROW(TREE, FAIL, CLEANING),
    ROW(STEPS, FAIL, CLEANING),   ROW(CHECKS, FAIL, CLEANING),
    ROW(COLLECT, FAIL, CLEANING), ROW(ADMIT, FAIL, CLEANING),
    ROW(CLEANING, CLEANED, DONE), ROW(CLEANING, CLEANED_FAILED, FAILED),
};
static const char *const state_names[] = {"base",  "queued",   "volume", "cache",
                                          "tree",  "steps",    "checks", "collect",
                                          "admit", "cleaning", "done",   "failed"};
static const char *const event_names[] = {"start", "ready",   "next",
                                          "fail",  "cleaned", "cleaned_failed"};

const struct sm host_build_sm = {.name = "build",
                                 .state_names = state_names,
                                 .state_count = ARRAY_SIZE(state_names),
                                 .event_names = event_names,
                                 .event_count = ARRAY_SIZE(event_names),
                                 .rows = rows,
                                 .row_count = ARRAY_SIZE(rows),
                                 .initial = BUILD_BASE};
