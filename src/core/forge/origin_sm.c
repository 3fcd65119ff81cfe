/* The states of an origin: is what we have what is there? */
#include "base/mem.h"
#include "core/forge/forge.h"

static const char *const states[] = {"new", "good", "failing"};
static const char *const events[] = {"fetched", "failed"};
static const struct sm_row rows[] = {
    {ORIGIN_NEW, ORIGIN_FETCHED, ORIGIN_GOOD},     {ORIGIN_NEW, ORIGIN_FAILED, ORIGIN_FAILING},
    {ORIGIN_GOOD, ORIGIN_FETCHED, ORIGIN_GOOD},    {ORIGIN_GOOD, ORIGIN_FAILED, ORIGIN_FAILING},
    {ORIGIN_FAILING, ORIGIN_FETCHED, ORIGIN_GOOD}, {ORIGIN_FAILING, ORIGIN_FAILED, ORIGIN_FAILING},
};
const struct sm origin_sm = {"origin",           states, ARRAY_SIZE(states), events,
                             ARRAY_SIZE(events), rows,   ARRAY_SIZE(rows),   ORIGIN_NEW};
