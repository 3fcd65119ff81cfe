/* Rollouts: making one from a request, and walking it. The walk is: an event of the current step is
 * applied and the next step begun in one transaction; once that is durable the next step's action
 * starts. */
#include "core/release/release_priv.h"

#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/config/config.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"

#define DRAIN_MS 30000
#define MASK(state) (1u << (state))
#define RUNNING_STATES (MASK(INSTANCE_SERVING) | MASK(INSTANCE_DRAINING) | MASK(INSTANCE_WARM))

/* ---- from a request to a plan ---- */

struct draft { /* what rollout_plan and rollout_create have in common */
    struct rollout rollout;
    json_t *config;  /* of the release */
    json_t *release; /* an existing row, or NULL when a build makes it */
    json_t *steps;
    json_t *reserved; /* names of warm instances that the plan routes to */
    bool cold;        /* without them */
    struct build build;
};

static void draft_done(struct draft *d)
{
    json_decref(d->config);
    json_decref(d->release);
    json_decref(d->steps);
    json_decref(d->reserved);
}

static int default_target(struct core *core, const struct app_env *ae, int64_t *ret_number,
                          struct err *err)
{
    AUTO_JSON *numbers = NULL;
    if (release_targets(core, ae, &numbers, err) < 0)
        return -1;
    if (json_array_size(numbers) == 0)
        return FAIL(err, E_NO_ROLLBACK_TARGET, "%s has no earlier good release to roll back to",
                    ae->subject);
    *ret_number = json_integer_value(json_array_get(numbers, 0));
    return 0;
}

/* A rollback leads to where it was good before. */
static int refuse_never_live(struct core *core, const struct app_env *ae, int64_t number,
                             struct err *err)
{
    int64_t count = 0;
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM rollout WHERE app_env_id=$1 AND release=$2 AND "
                      "state='done'",
                      "ii", ae->id, number) < 0)
        return -1;
    if (count == 0)
        return FAIL(err, E_NO_ROLLBACK_TARGET,
                    "r%lld was never live in %s: 'slipway deploy %lld -e %s' tries it again",
                    (long long)number, ae->subject, (long long)number, ae->env);
    return 0;
}

static int pick_existing(struct core *core, const struct app_env *ae,
                         const struct rollout_request *q, struct draft *d, struct err *err)
{
    int64_t number = q->release;
    if (!number && default_target(core, ae, &number, err) < 0)
        return -1;
    if (release_get(core, ae->id, number, &d->release, err) < 0)
        return -1;
    if (q->kind == ROLLOUT_ROLLBACK && number == ae->live_release)
        return FAIL(err, E_STATE_CONFLICT, "r%lld is live in %s already", (long long)number,
                    ae->subject);
    if (q->kind == ROLLOUT_ROLLBACK && refuse_never_live(core, ae, number, err) < 0)
        return -1;
    if (q->kind == ROLLOUT_DEPLOY && json_bool(d->release, "bad", false))
        return FAIL(err, E_RELEASE_BAD,
                    "r%lld was rolled back before: build again, or roll back to it by number",
                    (long long)number);
    d->rollout.release = number;
    d->rollout.release_id = json_int(d->release, "id", 0);
    d->config = json_incref(json_dict(d->release, "config"));
    return 0;
}

static int next_number(struct core *core, const struct app_env *ae, int64_t *ret_number,
                       struct err *err)
{
    return store_one_int(
        core->store, ret_number, err,
        "SELECT 1 + max((SELECT coalesce(max(number),0) FROM release WHERE app_env_id=$1),"
        " (SELECT coalesce(max(release),0) FROM rollout WHERE app_env_id=$1))",
        "i", ae->id);
}

static int pick_live(struct core *core, const struct app_env *ae, struct draft *d, struct err *err)
{
    if (!ae->live_release)
        return FAIL(err, E_STATE_CONFLICT, "nothing is live in %s", ae->subject);
    if (release_get(core, ae->id, ae->live_release, &d->release, err) < 0)
        return -1;
    d->rollout.release = ae->live_release;
    d->rollout.release_id = json_int(d->release, "id", 0);
    d->config = json_incref(json_dict(d->release, "config"));
    return 0;
}

static int pick_release(struct core *core, const struct app_env *ae,
                        const struct rollout_request *q, struct draft *d, struct err *err)
{
    if (q->kind == ROLLOUT_STOP)
        return pick_live(core, ae, d, err);
    if (!q->source && !q->artifact_of)
        return pick_existing(core, ae, q, d, err);
    d->config =
        json_incref(q->source ? json_dict(q->source, "config") : (json_t *)(uintptr_t)q->config);
    return next_number(core, ae, &d->rollout.release, err);
}

/* Names for instances that do not exist yet; a name that is taken gets the rollout's mark. */
static int fresh_names(struct core *core, const struct app_env *ae, const struct draft *d,
                       int64_t count, json_t **ret_names, struct err *err)
{
    AUTO_JSON *names = json_array();
    for (int64_t k = 1; (int64_t)json_array_size(names) < count; k++) {
        struct instance taken;
        AUTO_FREE char *name =
            mem_format("%s.r%lld.%lld", ae->subject, (long long)d->rollout.release, (long long)k);
        AUTO_FREE char *marked = mem_format("%s-%lld", name, (long long)d->rollout.id);
        int found = instance_load(core, name, &taken, err);
        if (found < 0)
            return -1;
        json_push(names, json_string(found == INSTANCE_NONE ? name : marked));
    }
    *ret_names = TAKE(names);
    return 0;
}

static const char *other_slot(const char *slot)
{
    return text_is(slot, "a") ? "b" : "a";
}

/* Those that rest warm and that host calls ready, as far as we know. */
static int warm_names(struct core *core, const struct app_env *ae, const struct rollout *r,
                      json_t **ret_names, struct err *err)
{
    AUTO_JSON *all = NULL;
    AUTO_JSON *names = json_array();
    unsigned reusable = r->kind == ROLLOUT_ROLLBACK ? MASK(INSTANCE_WARM) : 0;
    if (instance_names(core, ae->id, r->release, r->to_slot, reusable, &all, err) < 0)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(all, i, name)
    {
        if (!health_is_bad(json_string_value(name)))
            json_push(names, json_incref(name));
    }
    *ret_names = TAKE(names);
    return 0;
}

static int compile_stop(struct core *core, const struct app_env *ae, struct draft *d,
                        struct err *err)
{
    AUTO_JSON *old = NULL;
    AUTO_JSON *rest = NULL;
    unsigned others = ~(MASK(INSTANCE_SERVING) | MASK(INSTANCE_STOPPING));
    if (instance_names(core, ae->id, 0, NULL, MASK(INSTANCE_SERVING), &old, err) < 0 ||
        instance_names(core, ae->id, 0, NULL, others, &rest, err) < 0)
        return -1;
    struct plan p = {.release = d->rollout.release,
                     .old = old,
                     .warm = rest,
                     .drain_ms = json_int(d->config, "drain_timeout_ms", DRAIN_MS)};
    d->steps = plan_stop(&p);
    return 0;
}

static int compile(struct core *core, const struct app_env *ae, const struct rollout_request *q,
                   struct draft *d, struct err *err)
{
    if (q->kind == ROLLOUT_STOP)
        return compile_stop(core, ae, d, err);
    struct rollout *r = &d->rollout;
    AUTO_JSON *warm = NULL;
    AUTO_JSON *fresh = NULL;
    AUTO_JSON *old = NULL;
    int64_t count = json_int(d->config, "instances", 1);
    if (d->cold)
        warm = json_array();
    else if (warm_names(core, ae, r, &warm, err) < 0)
        return -1;
    if (instance_names(core, ae->id, 0, r->from_slot, MASK(INSTANCE_SERVING), &old, err) < 0 ||
        fresh_names(core, ae, d, count - (int64_t)json_array_size(warm), &fresh, err) < 0)
        return -1;
    struct plan p = {.release = r->release,
                     .to_slot = r->to_slot,
                     .from_slot = r->from_slot,
                     .from_release = r->from_release,
                     .build = d->build.number,
                     .build_id = d->build.id,
                     .warm = warm,
                     .fresh = fresh,
                     .old = old,
                     .drain_ms = json_int(d->config, "drain_timeout_ms", DRAIN_MS),
                     .keep_warm_ms = json_int(d->config, "keep_warm_ms", 60000),
                     .prepare = json_array_size(fresh) > 0};
    bool at_once = q->kind == ROLLOUT_ROLLBACK || !*ae->live_slot;
    p.batches =
        at_once ? 1
                : plan_batches(d->config, q->strategy, q->batches, (int64_t)json_array_size(fresh));
    d->steps = plan_forward(&p);
    d->reserved = TAKE(warm);
    return 0;
}

static int refuse_active(struct core *core, const struct app_env *ae, struct err *err)
{
    AUTO_JSON *active = NULL;
    if (rollout_active(core, ae->id, &active, err) < 0)
        return -1;
    if (json_is_null(active))
        return 0;
    return FAIL(err, E_ROLLOUT_ACTIVE,
                "%s is held by %s: rollout %lld (%s of r%lld) is %s; wait for it or cancel it",
                ae->subject, json_text_or(active, "by", "?"), (long long)json_int(active, "id", 0),
                json_text_or(active, "kind", "?"), (long long)json_int(active, "release", 0),
                json_text_or(active, "state", "?"));
}

/* `env.secret` of slipway.yaml names what instances get as variables: said before anything is
 * built. */
static int refuse_missing_secrets(struct core *core, const struct app_env *ae, const json_t *config,
                                  struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_list(json_dict(config, "env"), "secret"), i, name)
    {
        const char *text = json_string_value(name);
        int result = text ? secret_is_variable(core, ae->id, text, err) : 0;
        if (result < 0)
            return -1;
        if (result == SECRET_ABSENT)
            return FAIL(err, E_CONFIG_INVALID,
                        "slipway.yaml names secret '%s', which %s does not have: run 'slipway "
                        "secret set %s -a %s -e %s --kind env'",
                        text, ae->subject, text, ae->app, ae->env);
    }
    return 0;
}

static int draft_begin(struct core *core, const struct app_env *ae, const struct rollout_request *q,
                       struct draft *d, struct err *err)
{
    struct rollout *r = &d->rollout;
    if (refuse_active(core, ae, err) < 0 || pick_release(core, ae, q, d, err) < 0)
        return -1;
    if (!d->release && refuse_missing_secrets(core, ae, d->config, err) < 0)
        return -1;
    r->app_env_id = ae->id;
    r->kind = (int)q->kind;
    if (q->kind == ROLLOUT_STOP) { /* there is no way back but a new rollout */
        memcpy(r->to_slot, ae->live_slot, sizeof(r->to_slot));
        return 0;
    }
    r->from_release = ae->live_release;
    memcpy(r->from_slot, ae->live_slot, sizeof(r->from_slot));
    (void)snprintf(r->to_slot, sizeof(r->to_slot), "%s", other_slot(ae->live_slot));
    return 0;
}

int rollout_plan(struct core *core, const struct app_env *ae, const struct rollout_request *q,
                 json_t **ret_steps, struct err *err)
{
    struct draft d = {0};
    int result = draft_begin(core, ae, q, &d, err);
    if (result == 0 && q->source)
        result = store_one_int(core->store, &d.build.number, err,
                               "SELECT coalesce(max(number),0)+1 FROM build WHERE app_env_id=$1",
                               "i", ae->id);
    if (result == 0)
        result = compile(core, ae, q, &d, err);
    if (result == 0)
        *ret_steps = TAKE(d.steps);
    draft_done(&d);
    return result;
}

/* ---- create ---- */

/* They must not end while the rollout is on its way to them. */
static int keep_reserved(struct core *core, const json_t *names, struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (instance_set_expiry(core, json_string_value(name), 0, err) < 0)
            return -1;
    }
    return 0;
}

static json_t *request_json(const struct rollout_request *q, const struct draft *d)
{
    json_t *request = json_object();
    json_put_text(request, "strategy", q->strategy);
    json_put_int(request, "batches", q->batches);
    json_put_int(request, "build_id", d->build.id);
    return request;
}

/* The same artifact for another app-env: this env's configuration, its secrets, a number of its
 * own. */
static int adopt_artifact(struct core *core, const struct rollout_request *q, struct draft *d,
                          struct err *err)
{
    AUTO_JSON *origin = NULL;
    int found =
        store_row(core->store, &origin, err,
                  "SELECT artifact, commit_id, branches AS branches_json FROM release WHERE id=$1",
                  "i", q->artifact_of);
    if (found < 0)
        return -1;
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "the release to promote is gone");
    return release_insert(core, &d->rollout, json_text_or(origin, "artifact", ""), 0, d->config,
                          json_text_or(origin, "commit_id", ""), json_list(origin, "branches"),
                          &d->rollout.release_id, err);
}

static int journal_rollout(struct core *core, const struct rollout *r, const char *actor,
                           const char *kind, const struct err *reason, struct err *err)
{
    struct app_env ae;
    if (app_env_load(core, r->app_env_id, &ae, err) < 0)
        return -1;
    AUTO_JSON *data = json_object();
    json_put_int(data, "rollout", r->id);
    json_put_int(data, "release", r->release);
    json_put_int(data, "from_release", r->from_release);
    if (reason)
        json_put(data, "error", json_from_err(reason));
    return journal_append(core, actor, kind, ae.subject, ae.id, data, err);
}

static void publish_step(struct core *core, const struct rollout *r, const struct step *s)
{
    json_t *data = json_object();
    json_put_int(data, "rollout", r->id);
    json_put_text(data, "state", sm_state_name(&rollout_sm, r->state));
    json_put_int(data, "step", s ? s->index : r->step);
    json_put_text(data, "step_state", s ? sm_state_name(&step_sm, s->state) : NULL);
    feed_publish_after(core, "rollout", r->app_env_id, data);
}

static int begin_step(struct core *core, struct rollout *r, int64_t index, struct err *err);

int rollout_create(struct core *core, const struct person *by, const struct app_env *ae,
                   const struct rollout_request *q, int64_t *ret_id, struct err *err)
{
    struct draft d = {0};
    struct rollout *r = &d.rollout;
    int result = draft_begin(core, ae, q, &d, err);
    (void)snprintf(r->by, sizeof(r->by), "%s", by->name);
    if (result == 0 && q->source)
        result = build_create(core, by, ae, q->source, &d.build, err);
    if (result == 0 && q->artifact_of)
        result = adopt_artifact(core, q, &d, err);
    AUTO_JSON *request = request_json(q, &d);
    if (result == 0)
        result = rollout_insert(core, r, request, err);
    if (result == 0)
        result = compile(core, ae, q, &d, err);
    if (result == 0)
        result = keep_reserved(core, d.reserved, err);
    if (result == 0)
        result = rollout_append_steps(core, r, 0, d.steps, err);
    if (result == 0)
        result = journal_rollout(
            core, r, by->actor,
            q->kind == ROLLOUT_ROLLBACK ? "rollback.started" : "rollout.started", NULL, err);
    FAULT("rollout.create");
    if (result == 0)
        result = begin_step(core, r, 0, err);
    if (result == 0)
        *ret_id = r->id;
    draft_done(&d);
    return result;
}

/* ---- the walk ---- */

struct act {
    struct core *core;
    int64_t rollout_id;
    int64_t index;
};

static void act_after(void *context, const struct err *error)
{
    struct act *a = context;
    if (!error)
        step_act(a->core, a->rollout_id, a->index);
    free(a);
}

static void act_later(struct core *core, int64_t rollout_id, int64_t index)
{
    struct act *a = mem_alloc(sizeof(*a));
    *a = (struct act){core, rollout_id, index};
    tick_after(core->tick, act_after, NULL, a);
}

static int apply_state(struct core *core, struct rollout *r, int event, const struct err *reason,
                       struct err *err)
{
    int state = 0;
    bool told = event == ROLLOUT_STOP_CANCELLED; /* by the row of who cancelled, just before */
    if (sm_next_checked(&rollout_sm, r->state, event, &state, err) < 0 ||
        rollout_set_state(core, r, state, reason, err) < 0)
        return -1;
    publish_step(core, r, NULL);
    if (told)
        return 0;
    AUTO_FREE char *kind = mem_format("rollout.%s", sm_state_name(&rollout_sm, state));
    return journal_rollout(core, r, "core", kind, reason, err);
}

struct ended {
    struct core *core;
    int64_t app_env_id;
    bool refresh; /* the edge's table has changed */
};

static void on_refreshed(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (!error || error->kind == E_ROLE_DOWN)
        return; /* a host that is back is told anyway */
    log_warn("the edge did not take the state after a failed rollout, it is told again",
             F_ERR(error));
    instance_reconcile_later(context);
}

static void after_undone(void *context, const struct err *error)
{
    struct ended *e = context;
    if (!error && e->refresh)
        app_env_edge_refresh(e->core, e->app_env_id, on_refreshed, e->core);
    if (!error)
        instance_sweep(e->core);
    free(e);
}

/* Every end but a good one: nothing of the release may stay behind. */
static int end_undone(struct core *core, struct rollout *r, int event, const struct err *reason,
                      struct err *err)
{
    bool any = false;
    if (steps_skip_from(core, r->id, 0, err) < 0 || instances_leave(core, r, &any, err) < 0 ||
        apply_state(core, r, event, reason, err) < 0)
        return -1;
    struct ended *e = mem_alloc(sizeof(*e));
    *e = (struct ended){core, r->app_env_id, any};
    tick_after(core->tick, after_undone, NULL, e);
    return 0;
}

/* The release is live now: its tips are what is deployed, whichever way it came. */
static int note_deployed(struct core *core, const struct rollout *r, struct err *err)
{
    AUTO_JSON *row = NULL;
    if (r->kind == ROLLOUT_STOP)
        return ticks_deployed(core, r->app_env_id, NULL, err);
    int found =
        store_row(core->store, &row, err,
                  "SELECT branches AS branches_json FROM release WHERE id=$1", "i", r->release_id);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return ticks_deployed(core, r->app_env_id, json_list(row, "branches"), err);
}

static int end_of_plan(struct core *core, struct rollout *r, struct err *err)
{
    if (r->state == ROLLOUT_RUNNING) {
        struct err why = ERR_INIT;
        if (note_deployed(core, r, err) < 0)
            return -1;
        if (retention_after(core, r->app_env_id, &why) < 0)
            log_warn(
                "what no release needs any more is not let go of, the next rollout tries again",
                F_ERR(&why));
        return apply_state(core, r, ROLLOUT_FINISH, NULL, err);
    }
    return end_undone(core, r, r->cancelled ? ROLLOUT_END_CANCELLED : ROLLOUT_END_REVERTED, NULL,
                      err);
}

static int begin_step(struct core *core, struct rollout *r, int64_t index, struct err *err)
{
    struct step s = {0};
    int found = step_load(core, r->id, index, &s, err);
    if (found < 0)
        return -1;
    if (found == STEP_NONE)
        return end_of_plan(core, r, err);
    int result = rollout_set_step(core, r, index, err);
    if (result == 0)
        result = step_set_state(core, &s, STEP_BEGIN, NULL, err);
    if (result == 0)
        result = step_begin(core, r, &s, err);
    FAULT("step.begin");
    if (result == 0) {
        publish_step(core, r, &s);
        act_later(core, r->id, index);
    }
    step_done(&s);
    return result;
}

/* How long requests of the new release may take to end. */
static int64_t drain_time(struct core *core, const struct rollout *r)
{
    struct err err = ERR_INIT;
    AUTO_JSON *release = NULL;
    if (!r->release_id || release_get(core, r->app_env_id, r->release, &release, &err) < 0)
        return DRAIN_MS;
    return json_int(json_dict(release, "config"), "drain_timeout_ms", DRAIN_MS);
}

/* The way back, compiled from what stands in the rows now. */
static int append_way_back(struct core *core, struct rollout *r, const struct err *reason,
                           struct err *err)
{
    AUTO_JSON *old = NULL;
    AUTO_JSON *started = NULL;
    if (steps_skip_from(core, r->id, r->step, err) < 0 ||
        apply_state(core, r, ROLLOUT_REVERT, reason, err) < 0)
        return -1;
    if (instance_names(core, r->app_env_id, r->from_release, r->from_slot,
                       *r->from_slot ? RUNNING_STATES : 0, &old, err) < 0 ||
        instance_names(core, r->app_env_id, r->release, r->to_slot, ~0u & ~MASK(INSTANCE_STOPPING),
                       &started, err) < 0)
        return -1;
    struct plan p = {.release = r->release,
                     .from_release = r->from_release,
                     .to_slot = r->to_slot,
                     .from_slot = r->from_slot,
                     .old = old,
                     .drain_ms = drain_time(core, r)};
    AUTO_JSON *steps = plan_back(&p, started);
    int64_t first = steps_count(core, r->id);
    FAULT("rollout.revert");
    if (rollout_append_steps(core, r, first, steps, err) < 0)
        return -1;
    return begin_step(core, r, first, err);
}

/* Before anything was started there is nothing to take back. */
static int nothing_touched(struct core *core, const struct rollout *r, bool *ret_untouched,
                           struct err *err)
{
    int64_t touched = 0;
    if (store_one_int(core->store, &touched, err,
                      "SELECT count(*) FROM rollout_step WHERE rollout_id=$1 AND state<>'pending' "
                      "AND kind NOT IN ('build','prepare','await')",
                      "i", r->id) < 0)
        return -1;
    *ret_untouched = touched == 0;
    return 0;
}

static int stop_or_revert(struct core *core, struct rollout *r, const struct err *reason,
                          struct err *err)
{
    bool untouched = false;
    if (nothing_touched(core, r, &untouched, err) < 0)
        return -1;
    if (!untouched)
        return append_way_back(core, r, reason, err);
    return end_undone(core, r, r->cancelled ? ROLLOUT_STOP_CANCELLED : ROLLOUT_STOP_FAILED, reason,
                      err);
}

/* A rollback whose warm instances are not what the rows say goes on without them. */
static int go_cold(struct core *core, struct rollout *r, const struct err *reason, struct err *err)
{
    struct draft d = {.rollout = *r, .cold = true};
    struct rollout_request q = {.kind = ROLLOUT_ROLLBACK, .release = r->release};
    struct app_env ae;
    int64_t first = steps_count(core, r->id);
    log_warn("the rollback starts new instances", F_ID("rollout", r->id), F_ERR(reason));
    FAULT("rollout.cold");
    int result = app_env_load(core, r->app_env_id, &ae, err);
    if (result == 0)
        result = release_get(core, r->app_env_id, r->release, &d.release, err);
    if (result == 0) {
        d.config = json_incref(json_dict(d.release, "config"));
        result = compile(core, &ae, &q, &d, err);
    }
    if (result == 0)
        result = steps_skip_from(core, r->id, r->step, err);
    if (result == 0)
        result = rollout_append_steps(core, r, first, d.steps, err);
    if (result == 0)
        result = begin_step(core, r, first, err);
    draft_done(&d);
    return result;
}

/* On the way back, once the traffic is where it was, what fails is left to the sweep: the rest of
 * the way is gone all the same. */
static int fail_on_way_back(struct core *core, struct rollout *r, const struct step *s,
                            const struct err *reason, struct err *err)
{
    if (text_is(s->kind, "route"))
        return end_undone(core, r, ROLLOUT_STOP_FAILED, reason, err);
    log_warn("a step of the way back failed, going on with the next one", F_ID("rollout", r->id),
             F_STR("step", s->kind), F_ERR(reason));
    return begin_step(core, r, s->index + 1, err);
}

int rollout_step_event_input(struct core *core, int64_t rollout_id, int64_t index, int event,
                             const struct err *reason, struct err *err)
{
    struct rollout r;
    struct step s = {0};
    if (rollout_load(core, rollout_id, &r, err) < 0)
        return -1;
    int found = step_load(core, rollout_id, index, &s, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    int result = 0;
    if (sm_is_final(&rollout_sm, r.state) || r.step != index || s.state != STEP_DOING) {
        log_info("late word of a step, ignoring", F_ID("rollout", rollout_id),
                 F_INT("step", index));
    } else {
        FAULT("step.event");
        result = step_set_state(core, &s, event, reason, err);
        if (result == 0 && event == STEP_SUCCEED)
            result = step_end(core, &r, &s, err);
        if (result == 0)
            publish_step(core, &r, &s);
        if (result == 0 && event == STEP_SUCCEED)
            result = begin_step(core, &r, index + 1, err);
        else if (result == 0 && r.state == ROLLOUT_REVERTING)
            result = fail_on_way_back(core, &r, &s, reason, err);
        else if (result == 0 && text_is(s.kind, "await"))
            result = go_cold(core, &r, reason, err);
        else if (result == 0)
            result = stop_or_revert(core, &r, reason, err);
    }
    step_done(&s);
    return result;
}

struct step_input {
    struct core *core;
    int64_t rollout_id;
    int64_t index;
    int event;
    const struct err *reason;
};

static int run_step_input(void *context, struct err *err)
{
    const struct step_input *in = context;
    return rollout_step_event_input(in->core, in->rollout_id, in->index, in->event, in->reason,
                                    err);
}

void rollout_step_event(struct core *core, int64_t rollout_id, int64_t index, int event,
                        const struct err *reason)
{
    struct step_input in = {core, rollout_id, index, event, reason};
    struct err err = ERR_INIT;
    if (tick_input(core->tick, "rollout step event", run_step_input, &in, &err) == 0)
        return;
    log_error("a step's event could not be stored, the step is repeated",
              F_ID("rollout", rollout_id), F_ERR(&err));
    tick_again(core->tick);
}

/* ---- cancel ---- */

static int cancel_build(struct core *core, const struct person *by, const struct step *s,
                        struct err *err)
{
    struct build b;
    if (!text_is(s->kind, "build") || s->state != STEP_DOING)
        return 0;
    if (build_load(core, json_int(s->args, "build_id", 0), &b, err) < 0)
        return -1;
    return sm_is_final(&build_sm, b.state) ? 0 : build_cancel(core, by, &b, err);
}

int rollout_cancel(struct core *core, const struct person *by, int64_t id, struct err *err)
{
    struct rollout r;
    struct step s = {0};
    if (rollout_load(core, id, &r, err) < 0)
        return -1;
    if (r.state != ROLLOUT_RUNNING)
        return FAIL(err, E_STATE_CONFLICT, "rollout %lld is %s: there is nothing to cancel",
                    (long long)id, sm_state_name(&rollout_sm, r.state));
    if (r.kind == ROLLOUT_STOP)
        return FAIL(err, E_STATE_CONFLICT,
                    "rollout %lld is taking the app out of service, which cannot be cancelled: "
                    "deploy or roll back when it is done",
                    (long long)id);
    struct err reason = ERR_INIT;
    (void)FAIL(&reason, E_CANCELLED, "cancelled by %s", by->name);
    r.cancelled = true;
    if (store_run(core->store, err, "UPDATE rollout SET cancelled=1 WHERE id=$1", "i", id) < 0 ||
        journal_rollout(core, &r, by->actor, "rollout.cancelled", NULL, err) < 0)
        return -1;
    int result = step_load(core, id, r.step, &s, err);
    if (result == 0 && s.state == STEP_DOING)
        result = step_set_state(core, &s, STEP_SKIP, &reason, err);
    if (result == 0)
        result = stop_or_revert(core, &r, &reason, err);
    s.state = STEP_DOING;
    if (result == 0) /* last: the build's end must find the rollout no longer waiting for it */
        result = cancel_build(core, by, &s, err);
    step_done(&s);
    return result;
}

/* ---- builds and restarts ---- */

static int release_the_build(struct core *core, struct rollout *r, const struct build *b,
                             struct err *err)
{
    AUTO_JSON *row = NULL;
    if (store_row(core->store, &row, err,
                  "SELECT config AS config_json, ticks AS ticks_json FROM build WHERE id=$1", "i",
                  b->id) < 0)
        return -1;
    if (release_insert(core, r, b->artifact, b->id, json_dict(row, "config"), b->commit,
                       json_list(row, "ticks"), &r->release_id, err) < 0)
        return -1;
    return store_run(core->store, err, "UPDATE rollout SET release_id=$2 WHERE id=$1", "ii", r->id,
                     r->release_id);
}

static int follow_build(struct core *core, const struct build *b, struct err *err)
{
    int64_t id = 0;
    struct rollout r;
    int found = store_one_int(core->store, &id, err,
                              "SELECT s.rollout_id FROM rollout_step s JOIN rollout r ON "
                              "r.id=s.rollout_id WHERE r.app_env_id=$1 AND r.state='running'"
                              " AND s.kind='build' AND s.state='doing' AND r.step=s.position",
                              "i", b->app_env_id);
    if (found != 0)
        return found < 0 ? -1 : 0;
    struct step s = {0};
    if (rollout_load(core, id, &r, err) < 0 || step_load(core, id, r.step, &s, err) < 0)
        return -1;
    bool ours = json_int(s.args, "build_id", 0) == b->id;
    step_done(&s);
    if (!ours)
        return 0;
    if (b->state == BUILD_DONE)
        return release_the_build(core, &r, b, err) < 0
                   ? -1
                   : rollout_step_event_input(core, id, r.step, STEP_SUCCEED, NULL, err);
    AUTO_JSON *row = NULL;
    struct err reason = ERR_INIT;
    if (build_row(core, b->id, &row, err) < 0)
        return -1;
    json_to_err(json_dict(row, "error"), &reason);
    return rollout_step_event_input(core, id, r.step, STEP_FAIL, &reason, err);
}

static int build_ended(struct core *core, const struct build *b, struct err *err)
{
    return follow_build(core, b, err) < 0 ? -1 : retention_refs(core, b->app_env_id, err);
}

int release_init(struct core *core, struct err *err)
{
    (void)core, (void)err;
    build_on_end(build_ended);
    return 0;
}

/* An active build step whose build has ended while nobody looked cannot be: both change in one
 * transaction. */
static void resume_rollouts(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, &err,
                   "SELECT id, step FROM rollout WHERE state IN ('running','reverting')", "") < 0) {
        log_error("cannot list the active rollouts", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        step_act(core, json_int(row, "id", 0), json_int(row, "step", 0));
}

void release_resume(struct core *core)
{
    repair_reset();
    instance_reconcile(core);
    resume_rollouts(core);
    instance_sweep(core);
}
