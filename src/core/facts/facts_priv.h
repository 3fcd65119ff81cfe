/* Inside facts: one look. */
#pragma once
#include "core/facts/facts.h"

/* facts: to be kept with json_incref; NULL with an error. */
typedef void look_done_fn(void *context, json_t *facts, const struct err *error);
/* Takes branches (names) and before (facts of an earlier look, or NULL). done exactly once, perhaps
 * at once. */
void look(struct core *core, const struct app_env *ae, json_t *branches, json_t *before,
          look_done_fn *done, void *context);
