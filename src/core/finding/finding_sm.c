/* The states of a finding. */
#include "base/mem.h"
#include "core/finding/finding.h"

static const char *const states[] = {"open", "fixed", "closed"};
static const char *const events[] = {"fix", "close", "reopen"};
static const struct sm_row rows[] = {
    {FINDING_OPEN, FINDING_FIX, FINDING_FIXED},    {FINDING_OPEN, FINDING_CLOSE, FINDING_CLOSED},
    {FINDING_FIXED, FINDING_FIX, FINDING_FIXED},   {FINDING_FIXED, FINDING_CLOSE, FINDING_CLOSED},
    {FINDING_FIXED, FINDING_REOPEN, FINDING_OPEN}, {FINDING_CLOSED, FINDING_REOPEN, FINDING_OPEN},
};
const struct sm finding_sm = {"finding",          states, ARRAY_SIZE(states), events,
                              ARRAY_SIZE(events), rows,   ARRAY_SIZE(rows),   FINDING_OPEN};
