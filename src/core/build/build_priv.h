/* Inside build: its rows. All within an input. */
#pragma once
#include "core/build/build.h"
#include "core/store/store.h"

int build_insert(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *source, int64_t *ret_id, struct err *err) MUST_CHECK;
int build_set_state(struct core *core, struct build *b, int state, struct err *err) MUST_CHECK;
int build_set_result(struct core *core, const struct build *b, const char *artifact,
                     const json_t *result, const json_t *error, struct err *err) MUST_CHECK;
/* What build_row says, without "steps". */
int build_people_row(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
/* {"config","ticks","trunk_tip","commit_id","built_by","created_at","number"} */
int build_config(struct core *core, int64_t id, json_t **ret_row, struct err *err) MUST_CHECK;
