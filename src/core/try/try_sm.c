/* The states of a try. */
#include "base/mem.h"
#include "core/try/try.h"

static const char *const states[] = {"open", "ending", "ended"};
static const char *const events[] = {"end", "gone"};
static const struct sm_row rows[] = {
    {TRY_OPEN, TRY_END, TRY_ENDING},
    {TRY_OPEN, TRY_GONE, TRY_ENDED}, /* its app was removed */
    {TRY_ENDING, TRY_GONE, TRY_ENDED},
};
const struct sm try_sm = {
    "try",   states, ARRAY_SIZE(states), events, ARRAY_SIZE(events), rows, ARRAY_SIZE(rows),
    TRY_OPEN};
