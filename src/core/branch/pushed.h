/* Branches and tags have moved: by a push here, or as they did elsewhere. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/core.h"

/* Within an input: a row repo.pushed; refs: [{"ref","old","new"}], of which the first are kept, and
 * how many there were. */
int pushed_note(struct core *core, const char *app, const char *actor, const json_t *refs,
                int64_t count, struct err *err) MUST_CHECK;
