/* Inside land: its rows. All within an input. */
#pragma once
#include "core/land/land.h"
#include "core/store/store.h"

/* what: {"app_env_id","release","commit","branches","tag"}. E_STATE_CONFLICT while one is under
 * way.
 */
int landing_insert(struct core *core, const struct person *by, const struct app *app,
                   const json_t *what, int64_t *ret_id, struct err *err) MUST_CHECK;
/* {"id","app_id","app_env_id","release","commit","branches","tag","state","actor"} */
int landing_load(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
/* result's "tag" is the landing's from then on; null: it has none. */
int landing_set_ended(struct core *core, int64_t id, int state, const json_t *result,
                      const json_t *error, struct err *err) MUST_CHECK;
int landing_set_asked(struct core *core, int64_t id, const json_t *result,
                      struct err *err) MUST_CHECK;
/* Has this release landed? */
int landing_was(struct core *core, int64_t app_env_id, int64_t release, bool *ret_was,
                struct err *err) MUST_CHECK;
