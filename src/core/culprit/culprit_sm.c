/* The states of a search for culprits. */
#include "base/mem.h"
#include "core/culprit/culprit.h"

static const char *const states[] = {"running", "found", "failed", "cancelled"};
static const char *const events[] = {"find", "fail", "cancel"};
static const struct sm_row rows[] = {
    {CULPRIT_RUNNING, CULPRIT_FIND, CULPRIT_FOUND},
    {CULPRIT_RUNNING, CULPRIT_FAIL, CULPRIT_FAILED},
    {CULPRIT_RUNNING, CULPRIT_CANCEL, CULPRIT_CANCELLED},
};
const struct sm culprit_sm = {"culprit",          states, ARRAY_SIZE(states), events,
                              ARRAY_SIZE(events), rows,   ARRAY_SIZE(rows),   CULPRIT_RUNNING};
