/* What is known of each app-env's ticked branches before anybody clicks: who merges and who does
 * not and why, who conflicts with whom and since which commits, whom leaving one out would let in.
 *
 * The courier finds it out (merge.facts); core asks him when the feed says that branches, ticks or
 * what the last env runs have changed, and keeps the latest answer in memory: it can be had again
 * from rows and repositories at any time. Each new answer is an event "facts" of the app-env:
 * {"in": how many, "out": [names], "pairs": how many conflict}. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/core.h"
#include "core/env/env.h"

struct facts;
struct facts *facts_new(struct core *core);
void facts_free(struct facts *f);   /* after the links; NULL is fine */
void facts_resume(struct facts *f); /* the courier is back */

/* {"trunk": {"branch","commit"}, "last": {"env","release","commit"} or null, "ticks":
 * [{"branch","tip"}], "gone": [ticked names without a branch], "resolving": what was asked of the
 * open resolutions, "at": when (wall ms)} and what
 * merge.facts replies, whose "live" compares with what the last env runs. All lists are empty when
 * nothing is ticked. Borrowed. */
typedef void facts_done_fn(void *context, const json_t *facts, const struct err *error);
/* As it is now: done at once when nothing has changed since it was found out. Errors: role_down;
 * branch_unknown (no trunk yet). */
void facts_ask(struct facts *f, const struct app_env *ae, facts_done_fn *done, void *context);
/* What was found out last; NULL: nothing yet. Borrowed, until the loop goes on. */
const json_t *facts_known(struct facts *f, int64_t app_env_id);
/* As it would be with these branches ticked, in this order; nothing is kept. Takes branches, names
 * that are valid; at most TICKS_MAX. */
void facts_try(struct facts *f, const struct app_env *ae, json_t *branches, facts_done_fn *done,
               void *context);
