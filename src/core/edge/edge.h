/* Core's side of the edge: the whole wanted state of one app-env, sent to host, which owns
 * HAProxy's files and its runtime socket. What stands here is computed anew from rows each time, so
 * it may be sent again at any moment. Knows nothing of releases. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/core.h"
#include "core/env/env.h"

typedef void edge_done_fn(void *context, json_t *ok, const struct err *error);
/* servers: [{"name","address","port","slot","drain","wait_ms"}], taken; of a slot the longest wait
 * counts. */
void edge_apply(struct core *core, const struct app_env *ae, json_t *servers, edge_done_fn *done,
                void *context);
/* Wait until none of these servers has a request left, or the deadline passed. names taken. */
void edge_drained(struct core *core, const struct app_env *ae, json_t *names, int64_t deadline_ms,
                  edge_done_fn *done, void *context);
