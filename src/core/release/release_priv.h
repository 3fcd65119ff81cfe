/* Inside release: rows, the plan compiler, the walk and the actions of steps. */
#pragma once
#include "core/release/release.h"
#include "core/store/store.h"

struct rollout {
    int64_t id;
    int64_t app_env_id;
    int kind;
    int state;
    int64_t step;         /* index of the current step */
    int64_t release;      /* number it brings */
    int64_t release_id;   /* 0 until the build gave an artifact */
    int64_t from_release; /* number that was live before; 0: none */
    char from_slot[2];
    char to_slot[2];
    bool cancelled; /* reverting because somebody cancelled */
    char by[PERSON_NAME_MAX];
};
struct step {
    int64_t rollout_id;
    int64_t index;
    char kind[16];
    int state;
    json_t *args; /* owned */
};
void step_done(struct step *s);

/* rollout_db.c; writes within an input */
int rollout_load(struct core *core, int64_t id, struct rollout *ret, struct err *err) MUST_CHECK;
int rollout_insert(struct core *core, struct rollout *r, const json_t *request,
                   struct err *err) MUST_CHECK; /* sets id */
int rollout_set_state(struct core *core, struct rollout *r, int state, const struct err *reason,
                      struct err *err) MUST_CHECK;
int rollout_set_step(struct core *core, struct rollout *r, int64_t index,
                     struct err *err) MUST_CHECK;
int rollout_append_steps(struct core *core, const struct rollout *r, int64_t first_index,
                         const json_t *steps, struct err *err) MUST_CHECK;
#define STEP_NONE 1
int step_load(struct core *core, int64_t rollout_id, int64_t index, struct step *ret,
              struct err *err) MUST_CHECK; /* STEP_NONE past the end */
int step_set_state(struct core *core, struct step *s, int event, const struct err *reason,
                   struct err *err) MUST_CHECK;
int steps_skip_from(struct core *core, int64_t rollout_id, int64_t index,
                    struct err *err) MUST_CHECK;
int64_t steps_count(struct core *core, int64_t rollout_id);
int release_insert(struct core *core, const struct rollout *r, const char *artifact,
                   int64_t build_id, const json_t *config, const char *commit,
                   const json_t *branches, int64_t *ret_id, struct err *err) MUST_CHECK;
/* {"id","number","artifact","config","secrets","bad"} ; E_NOT_FOUND */
int release_get(struct core *core, int64_t app_env_id, int64_t number, json_t **ret_row,
                struct err *err) MUST_CHECK;

struct instance {
    char name[129];
    int64_t app_env_id;
    int64_t release; /* number */
    int64_t rollout_id;
    int state;
    char slot[2];
    char address[46];
    int64_t port;
};
#define INSTANCE_NONE 1
int instance_load(struct core *core, const char *name, struct instance *ret,
                  struct err *err) MUST_CHECK; /* INSTANCE_NONE */
int instance_insert(struct core *core, const struct rollout *r, const char *name, const char *slot,
                    struct err *err) MUST_CHECK; /* an existing one is fine */
int instance_apply(struct core *core, struct instance *i, int event,
                   struct err *err) MUST_CHECK; /* refused pairs are E_STATE_CONFLICT */
int instance_set_address(struct core *core, const char *name, const char *address, int64_t port,
                         struct err *err) MUST_CHECK;
int instance_set_expiry(struct core *core, const char *name, int64_t expires_at /* 0: none */,
                        struct err *err) MUST_CHECK;
/* Warm ones that no rollout wants any more rest until then. */
int instances_expire(struct core *core, int64_t app_env_id, int64_t expires_at,
                     struct err *err) MUST_CHECK;
/* It is gone from the host. Late word of an earlier one of that name: only a stopping row goes. */
int instance_delete(struct core *core, const char *name, struct err *err) MUST_CHECK;
/* Names in the app-env that match: release 0 = any; slot NULL = any; states: bit mask of 1 <<
 * state. Ordered by creation. */
int instance_names(struct core *core, int64_t app_env_id, int64_t release, const char *slot,
                   unsigned states, json_t **ret_names, struct err *err) MUST_CHECK;
/* What the edge shall have: [{"name","address","port","slot","drain","release","wait_ms"}]; name
 * without the app-env's prefix. */
int instance_servers(struct core *core, int64_t app_env_id, json_t **ret_servers,
                     struct err *err) MUST_CHECK;
/* "shop.dev.r42.1" -> "r42.1". */
const char *instance_short(const char *name);

/* plan.c: pure. Steps: [{"kind","text","args"}] */
struct plan {
    int64_t release;
    const char *to_slot;
    const char *from_slot; /* "": first release */
    int64_t from_release;
    int64_t build; /* number of the build to wait for; 0: none */
    int64_t build_id;
    const json_t *warm;  /* instances of the release that run already */
    const json_t *fresh; /* names to start */
    const json_t *old;   /* names that serve now */
    int64_t batches;     /* >= 1 */
    int64_t drain_ms;
    int64_t keep_warm_ms;
    bool prepare;
};
json_t *plan_forward(const struct plan *p);
/* Out of service: `old` serve, `warm` are all others. */
json_t *plan_stop(const struct plan *p);
/* The way back from a rollout that stopped half way. */
json_t *plan_back(const struct plan *p, const json_t *started);
int64_t plan_batches(const json_t *config, const char *strategy, int64_t batches, int64_t count);

/* rollout.c */
/* A step of an active rollout came out; late word is a logged no-op. Opens an input of its own. */
void rollout_step_event(struct core *core, int64_t rollout_id, int64_t index, int event,
                        const struct err *reason);
int rollout_step_event_input(struct core *core, int64_t rollout_id, int64_t index, int event,
                             const struct err *reason, struct err *err) MUST_CHECK;
/* step.c: what a step writes when it begins (within the input), and what it does afterwards
 * (repeatable). */
int step_begin(struct core *core, const struct rollout *r, const struct step *s,
               struct err *err) MUST_CHECK;
int step_end(struct core *core, const struct rollout *r, const struct step *s,
             struct err *err) MUST_CHECK;
void step_act(struct core *core, int64_t rollout_id, int64_t index);
/* instance.c: what is asked of host */
void prepare_request(struct core *core, const json_t *release,
                     void (*on_reply)(void *context, json_t *ok, const struct err *error),
                     void *context);
void instance_start_request(struct core *core, const struct app_env *ae, const struct instance *i,
                            const json_t *release,
                            void (*on_reply)(void *context, json_t *ok, const struct err *error),
                            void *context);
void instance_stop_request(struct core *core, const char *name,
                           void (*on_reply)(void *context, json_t *ok, const struct err *error),
                           void *context);
/* Stop those that are in state stopping, and those warm past their expiry; sets the timer for the
 * next. */
void instance_sweep(struct core *core);
void instance_sweep_later(struct core *core, int64_t delay_ms);
/* Put the rows of what a rollout started, and of what it meant to use, to rest; within an input. */
int instances_leave(struct core *core, const struct rollout *r, bool *ret_any,
                    struct err *err) MUST_CHECK;

/* reconcile.c. Host is back: set the edge, stop what should not run, have repaired what should. */
void instance_reconcile(struct core *core);
/* Host runs it at this address ({"address","port"}): note that and tell the edge. Errors are logged
 * and tried again. Outside any input. */
void instance_is_at(struct core *core, const struct instance *i, const json_t *where);
void reconcile_done(void); /* stop the timer */

/* repair.c. These instances are gone from the host; the first is needed most. All that are gone:
 * earlier ones that are not named are left alone. */
void repair(struct core *core, const json_t *names);
void repair_reset(void); /* whatever failed need not wait any more: host is another one now */
void repair_done(void);  /* before the core ends */

/* health.c: host's word on instances, in memory. */
void health_note(const json_t *item); /* of instance.list or instance.changed */
void health_forget(const char *name);
void health_clear(void);
bool health_is_bad(const char *name); /* host has said that it is not ready */
/* Add "health", "restarts" and "why" to rows of instances; health is null for what host has not
 * told of. */
void health_put(json_t *rows);

/* retention.c: after a rollout is done, what no release may need again is let go of; within an
 * input. */
int retention_after(struct core *core, int64_t app_env_id, struct err *err) MUST_CHECK;
/* After a build: the courier lets go of the refs of builds that nothing needs; within an input. */
int retention_refs(struct core *core, int64_t app_env_id, struct err *err) MUST_CHECK;

/* In a statement: the word for a rollout's kind, as enum rollout_kind counts them. */
#define ROLLOUT_KIND(column)                                                                       \
    "CASE " column                                                                                 \
    " WHEN 0 THEN 'deploy' WHEN 1 THEN 'promote' WHEN 2 THEN 'rollback' ELSE 'stop' END AS kind"

/* figures.c: pure. Rollouts of one app-env, by id. */
struct figures_rollout {
    int64_t app_id;
    char *app; /* owned */
    int64_t id;
    enum rollout_kind kind;
    bool done, reverted, failed;
    int64_t release, from_release;
    int64_t ended_at;
    int64_t routed_at; /* it got traffic; 0: never */
    int64_t known_at;  /* its commit was built first; 0: unknown */
};
struct figures {
    int64_t deploys, ended, failed;
    int64_t *lead, *restore;
    size_t lead_count, restore_count;
};
void figures_init(struct figures *f, size_t rollouts); /* room for so many */
void figures_done(struct figures *f);
void figures_add(struct figures *f, const struct figures_rollout *rows, size_t count);
void figures_put(struct figures *f, int64_t days, json_t *target);
int64_t figures_median(int64_t *values, size_t count); /* sorts them; -1: there are none */

/* compare.c: pure */
json_t *compare_branches(const json_t *from, const json_t *to);
json_t *compare_config(json_t *from, json_t *to, size_t max); /* at most `max` rows */
json_t *compare_secrets(const json_t *from, const json_t *to);
