/* Releases, instances and rollouts of an app-env.
 *
 * A release is artifact + configuration + secret versions, numbered and immutable. A rollout
 * carries one into its app-env: a visible plan of steps, stored, walked by a state machine, resumed
 * after any crash. Undoing is a plan as well: when a step fails or somebody cancels, the steps that
 * bring the former release back are compiled from the rows as they are and appended. At most one
 * active rollout per app-env.
 *
 * Loop thread; what writes runs within an input. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/build/build.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char release_schema[];       /* release, rollout, rollout_step, instance */
extern const char release_ended_schema[]; /* an index of rollouts by their end */
extern const char release_build_schema[]; /* an index of releases by build */

enum rollout_state {
    ROLLOUT_RUNNING,
    ROLLOUT_REVERTING,
    ROLLOUT_DONE,
    ROLLOUT_REVERTED,
    ROLLOUT_FAILED,
    ROLLOUT_CANCELLED
};
enum rollout_event {
    ROLLOUT_FINISH,
    ROLLOUT_REVERT,
    ROLLOUT_STOP_FAILED,
    ROLLOUT_STOP_CANCELLED,
    ROLLOUT_END_REVERTED,
    ROLLOUT_END_CANCELLED
};
extern const struct sm rollout_sm;
enum step_state { STEP_PENDING, STEP_DOING, STEP_DONE, STEP_FAILED, STEP_SKIPPED };
enum step_event { STEP_BEGIN, STEP_SUCCEED, STEP_FAIL, STEP_SKIP };
extern const struct sm step_sm;
enum instance_state {
    INSTANCE_STARTING,
    INSTANCE_READY,
    INSTANCE_SERVING,
    INSTANCE_DRAINING,
    INSTANCE_WARM,
    INSTANCE_STOPPING
};
enum instance_event { INSTANCE_UP, INSTANCE_ROUTE, INSTANCE_DRAIN, INSTANCE_REST, INSTANCE_STOP };
extern const struct sm instance_sm;

/* ROLLOUT_STOP takes what is live out of service: nothing runs afterwards, and nothing but
 * artifacts is kept; the next deploy or rollback starts anew. */
enum rollout_kind { ROLLOUT_DEPLOY, ROLLOUT_PROMOTE, ROLLOUT_ROLLBACK, ROLLOUT_STOP };
struct rollout_request {
    enum rollout_kind kind;
    const char *strategy; /* NULL: the configuration's; "rolling" or "all-at-once" */
    int64_t batches;      /* 0: the configuration's parallelism decides */
    /* exactly one of (of none for ROLLOUT_STOP): */
    const json_t *source; /* from source_resolve: build it, then release it */
    int64_t
        release; /* an existing release of this app-env; 0 with ROLLOUT_ROLLBACK: the one before */
    int64_t artifact_of;  /* release id of another app-env: the same artifact, this env's
                             configuration (config below) */
    const json_t *config; /* with artifact_of: the effective configuration for this env */
};
/* The plan that rollout_create would store: [{"kind","text","args"}]. Nothing is written. */
int rollout_plan(struct core *core, const struct app_env *ae, const struct rollout_request *request,
                 json_t **ret_steps, struct err *err) MUST_CHECK;
/* Store and start. E_ROLLOUT_ACTIVE names who holds the app-env. */
int rollout_create(struct core *core, const struct person *by, const struct app_env *ae,
                   const struct rollout_request *request, int64_t *ret_id,
                   struct err *err) MUST_CHECK;
/* Undo what was done and end; E_STATE_CONFLICT when it ended or is reverting. */
int rollout_cancel(struct core *core, const struct person *by, int64_t id,
                   struct err *err) MUST_CHECK;
/* Rows for people. rollout_row has "steps". */
int rollout_row(struct core *core, int64_t app_env_id, int64_t id, json_t **ret_row,
                struct err *err) MUST_CHECK;
int rollout_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err) MUST_CHECK;
int rollout_active(struct core *core, int64_t app_env_id, json_t **ret_row_or_null,
                   struct err *err) MUST_CHECK;
int release_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err) MUST_CHECK;
int release_row(struct core *core, int64_t app_env_id, int64_t number, json_t **ret_row,
                struct err *err) MUST_CHECK;
/* Numbers that one can roll back to, newest first. */
int release_targets(struct core *core, const struct app_env *ae, json_t **ret_numbers,
                    struct err *err) MUST_CHECK;
/* How many instances its configuration asks for. */
int release_instances(struct core *core, const struct app_env *ae, int64_t number,
                      int64_t *ret_count, struct err *err) MUST_CHECK;
int instance_list(struct core *core, int64_t app_env_id, json_t **ret_rows,
                  struct err *err) MUST_CHECK;

/* What runs where, of every app-env, by its id: [{"id","app_id","env_id","env","release" (number;
 * 0: none), of that "build" (number),"at","by","bad","branches" (how many), "instances":
 * {"serving","ready","total","unhealthy"} (how many are in that state; total is all but the warm
 * ones, unhealthy those of which host says that they are not ready), "rollout": the active one or
 * null {"id","kind","state","release","step","steps" (how many),"at","by"}, "last": the one that
 * ended last or null {"id","kind","state","release","at","ended_at","by","error"}}] */
int release_overview(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;

/* What `to` has that `from` has not, of two releases of whatever app-envs: {"branches": {"added":
 * [{"branch","tip"}],"removed": [the same],"changed": [{"branch","from","to"}]}, "config":
 * [{"path": "a.b.0","from","to"}] (leaf by leaf, null: absent; 500 at most), "secrets":
 * [{"name","from","to"}] (versions; null: absent), "same_artifact"}. E_NOT_FOUND. */
struct release_at {
    int64_t app_env_id;
    int64_t number;
};
int release_compare(struct core *core, const struct release_at *from, const struct release_at *to,
                    json_t **ret_reply, struct err *err) MUST_CHECK;

/* figures.c: the four figures of delivery of one env, over the rollouts of kind deploy and promote
 * that ended in the last `days` days (the newest 20,000 at most). Cancelled ones do not count.
 *   deploys          those that were done
 *   deploys_per_day  deploys / days
 *   lead_time_ms     median over deploys of: end of the rollout - the first build, in any env of
 *                    the app, of the commit that it brought; null without any
 *   failed_share     of all that ended, those that were reverted or failed, and those that were
 *                    done and left again: the next rollout that was done there is a rollback from
 *                    that release; null when none ended
 *   restore_ms       median of the time from the begin of the first routing step (the release gets
 *                    traffic) to the end of what restored the env: of the rollout itself when it
 *                    was reverted, of the rollback when it was left, of the next rollout that was
 *                    done when it failed. What failed before it got traffic harmed nobody and does
 *                    not count; null without any
 * Reply {"days", these five, "apps": [{"app", these five}]}: of apps with such rollouts, in the
 * order of their names. */
struct figures_ask {
    int64_t env_id;
    int64_t days; /* 1..365 */
    bool (*may_view)(void *context, int64_t app_id);
    void *context;
};
int figures_read(struct core *core, const struct figures_ask *ask, json_t **ret_reply,
                 struct err *err) MUST_CHECK;

/* Hook into build, start timers. */
int release_init(struct core *core, struct err *err) MUST_CHECK;
void release_done(void); /* stop timers */
/* Act again on every active rollout, set the edge's full table, compare instances with host's. */
void release_resume(struct core *core);
/* Send the edge the whole table of one app-env, from its rows. */
void app_env_edge_refresh(struct core *core, int64_t app_env_id,
                          void (*done)(void *context, json_t *ok, const struct err *error),
                          void *context);
/* Notice of host: an instance changed. */
void release_instance_changed(struct core *core, const json_t *instance);

/* Host and edge are told again in a moment what should be: when something did not succeed. */
void instance_reconcile_later(struct core *core);
