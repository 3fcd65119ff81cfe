/* The states of a landing. */
#include "base/mem.h"
#include "core/land/land.h"

static const char *const states[] = {"doing", "asked", "done", "failed"};
static const char *const events[] = {"ask", "succeed", "fail"};
static const struct sm_row rows[] = {
    {LANDING_DOING, LANDING_SUCCEED, LANDING_DONE}, {LANDING_DOING, LANDING_FAIL, LANDING_FAILED},
    {LANDING_DOING, LANDING_ASK, LANDING_ASKED},    {LANDING_ASKED, LANDING_SUCCEED, LANDING_DONE},
    {LANDING_ASKED, LANDING_FAIL, LANDING_FAILED},
};
const struct sm landing_sm = {"landing",          states, ARRAY_SIZE(states), events,
                              ARRAY_SIZE(events), rows,   ARRAY_SIZE(rows),   LANDING_DOING};
