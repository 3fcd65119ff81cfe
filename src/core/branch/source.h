/* The source of a build: trunk + the ticked branches, resolved to tips, integrated by the courier
 * into one commit, with the configuration that stands in it. Nothing is stored or published by
 * this. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/core.h"
#include "core/env/env.h"

/* What done receives (owned by the callee during the call; json_incref to keep):
 * {"commit","tree","trunk_tip","ticks":[{"branch","tip"}] (what is
 * in),"skipped":[names],"left_out":
 * [{"branch","tip","why","against","files"}] (by the env's policy),"resolutions": [{"branch","tip",
 * "sides": [names]}] (those that were used),"ms","config": effective
 * configuration} Errors: branch_unknown, merge_conflict (the text names branches and the
 * first file; source is then {"conflict": {"branch","against":[names],"files":[paths, at most 200],
 * "file_count","text"}}), config_missing, config_invalid, role_down. */
typedef void source_done_fn(void *context, json_t *source, const struct err *error);
/* branches: names, in order; pins: {name: tip} for those that must not be newer (a promotion brings
 * what was tried; trunk may be among them), NULL: none. Both are taken. */
void source_resolve(struct core *core, const struct app_env *ae, json_t *branches, json_t *pins,
                    source_done_fn *done, void *context);
/* The configuration of this env as it stands at a commit. {"commit","config"} */
void source_config_at(struct core *core, const struct app_env *ae, const char *commit,
                      source_done_fn *done, void *context);
/* The configuration alone at a ref (branch name; NULL: trunk). {"commit","config"} */
void source_config(struct core *core, const struct app_env *ae, const char *ref,
                   source_done_fn *done, void *context);
