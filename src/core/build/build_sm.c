/* The states of a build. */
#include "base/mem.h"
#include "core/build/build.h"

static const char *const states[] = {"queued", "running", "done", "failed", "cancelled"};
static const char *const events[] = {"start", "succeed", "fail", "cancel"};
static const struct sm_row rows[] = {
    {BUILD_QUEUED, BUILD_EVENT_START, BUILD_RUNNING},
    {BUILD_QUEUED, BUILD_EVENT_FAIL, BUILD_FAILED},
    {BUILD_QUEUED, BUILD_EVENT_CANCEL, BUILD_CANCELLED},
    {BUILD_RUNNING, BUILD_EVENT_SUCCEED, BUILD_DONE},
    {BUILD_RUNNING, BUILD_EVENT_FAIL, BUILD_FAILED},
    {BUILD_RUNNING, BUILD_EVENT_CANCEL, BUILD_CANCELLED},
};
const struct sm build_sm = {
    "build", states,           ARRAY_SIZE(states), events, ARRAY_SIZE(events),
    rows,    ARRAY_SIZE(rows), BUILD_QUEUED};
