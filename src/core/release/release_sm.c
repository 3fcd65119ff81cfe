/* The states of rollouts, their steps, and instances. */
#include "base/mem.h"
#include "core/release/release.h"

static const char *const rollout_states[] = {"running",  "reverting", "done",
                                             "reverted", "failed",    "cancelled"};
static const char *const rollout_events[] = {"finish",         "revert",       "stop_failed",
                                             "stop_cancelled", "end_reverted", "end_cancelled"};
static const struct sm_row rollout_rows[] = {
    {ROLLOUT_RUNNING, ROLLOUT_FINISH, ROLLOUT_DONE},
    {ROLLOUT_RUNNING, ROLLOUT_REVERT, ROLLOUT_REVERTING},
    {ROLLOUT_RUNNING, ROLLOUT_STOP_FAILED, ROLLOUT_FAILED},       /* nothing was touched yet */
    {ROLLOUT_RUNNING, ROLLOUT_STOP_CANCELLED, ROLLOUT_CANCELLED}, /* likewise */
    {ROLLOUT_REVERTING, ROLLOUT_END_REVERTED, ROLLOUT_REVERTED},
    {ROLLOUT_REVERTING, ROLLOUT_END_CANCELLED, ROLLOUT_CANCELLED},
    {ROLLOUT_REVERTING, ROLLOUT_STOP_FAILED,
     ROLLOUT_FAILED}, /* the way back failed too: someone must act */
};
const struct sm rollout_sm = {"rollout",
                              rollout_states,
                              ARRAY_SIZE(rollout_states),
                              rollout_events,
                              ARRAY_SIZE(rollout_events),
                              rollout_rows,
                              ARRAY_SIZE(rollout_rows),
                              ROLLOUT_RUNNING};

static const char *const step_states[] = {"pending", "doing", "done", "failed", "skipped"};
static const char *const step_events[] = {"begin", "succeed", "fail", "skip"};
static const struct sm_row step_rows[] = {
    {STEP_PENDING, STEP_BEGIN, STEP_DOING}, {STEP_PENDING, STEP_SKIP, STEP_SKIPPED},
    {STEP_DOING, STEP_SUCCEED, STEP_DONE},  {STEP_DOING, STEP_FAIL, STEP_FAILED},
    {STEP_DOING, STEP_SKIP, STEP_SKIPPED},
};
const struct sm step_sm = {"step",
                           step_states,
                           ARRAY_SIZE(step_states),
                           step_events,
                           ARRAY_SIZE(step_events),
                           step_rows,
                           ARRAY_SIZE(step_rows),
                           STEP_PENDING};

static const char *const instance_states[] = {"starting", "ready", "serving",
                                              "draining", "warm",  "stopping"};
static const char *const instance_events[] = {"up", "route", "drain", "rest", "stop"};
static const struct sm_row instance_rows[] = {
    {INSTANCE_STARTING, INSTANCE_UP, INSTANCE_READY},
    {INSTANCE_STARTING, INSTANCE_STOP, INSTANCE_STOPPING},
    {INSTANCE_READY, INSTANCE_ROUTE, INSTANCE_SERVING},
    {INSTANCE_READY, INSTANCE_STOP, INSTANCE_STOPPING},
    {INSTANCE_SERVING, INSTANCE_DRAIN, INSTANCE_DRAINING},
    {INSTANCE_DRAINING, INSTANCE_REST, INSTANCE_WARM},
    {INSTANCE_DRAINING, INSTANCE_ROUTE, INSTANCE_SERVING},
    {INSTANCE_DRAINING, INSTANCE_STOP, INSTANCE_STOPPING},
    {INSTANCE_WARM, INSTANCE_ROUTE, INSTANCE_SERVING},
    {INSTANCE_WARM, INSTANCE_STOP, INSTANCE_STOPPING},
};
const struct sm instance_sm = {"instance",
                               instance_states,
                               ARRAY_SIZE(instance_states),
                               instance_events,
                               ARRAY_SIZE(instance_events),
                               instance_rows,
                               ARRAY_SIZE(instance_rows),
                               INSTANCE_STARTING};
