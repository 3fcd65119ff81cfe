/* The steps of a plan: what each writes when it begins, what it does, what it writes when it is
 * done. Actions are idempotent and named by ids, so that a step can be acted on again after any
 * crash; a role that is away is waited for (release_resume acts again), any other failure fails the
 * step. */
#include "core/release/release_priv.h"

#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/edge/edge.h"
#include "core/link/link.h"
#include "core/tick/tick.h"

#define STOP_AGAIN_MS 5000
#define AWAIT_MS 20000

struct action {
    struct core *core;
    int64_t rollout_id;
    int64_t index;
    struct app_env ae;
    struct rollout rollout;
    json_t *args;    /* of the step */
    json_t *release; /* of the rollout's release; NULL before the build is done */
    size_t open;     /* answers still awaited */
    bool away;       /* host went away meanwhile: acted on again when it is back */
};

static void action_free(struct action *a)
{
    json_decref(a->args);
    json_decref(a->release);
    free(a);
}

static void action_end(struct action *a, int event, const struct err *reason)
{
    struct core *core = a->core;
    int64_t rollout_id = a->rollout_id;
    int64_t index = a->index;
    action_free(a);
    rollout_step_event(core, rollout_id, index, event, reason);
}

/* The answer that ends a step of one request. */
static void on_reply(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    (void)ok;
    if (!error)
        action_end(a, STEP_SUCCEED, NULL);
    else if (error->kind == E_ROLE_DOWN)
        action_free(a); /* acted on again when the role is back */
    else
        action_end(a, STEP_FAIL, error);
}

static void for_each_name(const json_t *names, void (*fn)(void *context, const char *name),
                          void *context)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) fn(context, json_string_value(name));
}

/* ---- what a step writes ---- */

static int apply_all(struct core *core, const json_t *names, int event, struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        struct instance instance;
        int found = instance_load(core, json_string_value(name), &instance, err);
        int state = 0;
        if (found < 0)
            return -1;
        if (found == INSTANCE_NONE ||
            sm_next(&instance_sm, instance.state, event, &state) == SM_REFUSED)
            continue; /* gone, or there already: the step may be repeated */
        if (instance_apply(core, &instance, event, err) < 0)
            return -1;
    }
    return 0;
}

static int begin_start(struct core *core, const struct rollout *r, const json_t *names,
                       struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (instance_insert(core, r, json_string_value(name), r->to_slot, err) < 0)
            return -1;
    }
    return 0;
}

static int begin_route(struct core *core, const struct rollout *r, const json_t *args,
                       struct err *err)
{
    struct app_env ae;
    if (app_env_load(core, r->app_env_id, &ae, err) < 0 ||
        apply_all(core, json_list(args, "instances"), INSTANCE_ROUTE, err) < 0)
        return -1;
    return app_env_route(core, &ae, json_text_or(args, "live", ""), json_int(args, "release", 0),
                         json_int(args, "share", 0), err);
}

static int rest_until(struct core *core, const json_t *names, int64_t expires_at, struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (instance_set_expiry(core, json_string_value(name), expires_at, err) < 0)
            return -1;
    }
    return 0;
}

/* What leaves the edge's table makes it another one. */
static int bump_edge(struct core *core, const struct rollout *r, struct err *err)
{
    struct app_env ae;
    if (app_env_load(core, r->app_env_id, &ae, err) < 0)
        return -1;
    return app_env_edge_version(core, &ae, err);
}

/* What ran before rests warm for a while; what rested from earlier rollouts ends now. Not before
 * the end: until then the way back needs them. */
static int end_finish(struct core *core, const struct rollout *r, int64_t keep_warm_ms,
                      struct err *err)
{
    AUTO_JSON *before = NULL;
    AUTO_JSON *all = NULL;
    int64_t now = clock_wall_ms(core->clock);
    unsigned warm = 1u << INSTANCE_WARM;
    if (instance_names(core, r->app_env_id, 0, NULL, warm, &all, err) < 0 ||
        rest_until(core, all, now, err) < 0)
        return -1;
    if (r->from_release && (instance_names(core, r->app_env_id, r->from_release, r->from_slot, warm,
                                           &before, err) < 0 ||
                            rest_until(core, before, now + keep_warm_ms, err) < 0))
        return -1;
    if (r->kind == ROLLOUT_ROLLBACK && r->from_release)
        return store_run(core->store, err,
                         "UPDATE release SET bad=1 WHERE app_env_id=$1 AND number=$2", "ii",
                         r->app_env_id, r->from_release);
    return 0;
}

int step_begin(struct core *core, const struct rollout *r, const struct step *s, struct err *err)
{
    const json_t *names = json_list(s->args, "instances");
    if (text_is(s->kind, "start"))
        return begin_start(core, r, names, err);
    if (text_is(s->kind, "route"))
        return begin_route(core, r, s->args, err);
    if (text_is(s->kind, "drain"))
        return apply_all(core, names, INSTANCE_DRAIN, err) < 0 ? -1 : bump_edge(core, r, err);
    if (text_is(s->kind, "stop"))
        return apply_all(core, names, INSTANCE_STOP, err) < 0 ? -1 : bump_edge(core, r, err);
    if (text_is(s->kind, "finish"))
        return bump_edge(core, r, err);
    return 0;
}

int step_end(struct core *core, const struct rollout *r, const struct step *s, struct err *err)
{
    const json_t *names = json_list(s->args, "instances");
    if (text_is(s->kind, "drain")) /* at rest they are no longer in the edge's table */
        return apply_all(core, names, INSTANCE_REST, err) < 0 ? -1 : bump_edge(core, r, err);
    if (text_is(s->kind, "finish"))
        return end_finish(core, r, json_int(s->args, "keep_warm_ms", 0), err);
    return 0;
}

/* ---- what a step does ---- */

static void act_prepare(struct action *a)
{
    FAULT("step.prepare");
    prepare_request(a->core, a->release, on_reply, a);
}

/* await: what rests warm may have ended meanwhile */

static const json_t *listed_instance(const json_t *ok, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_list(ok, "instances"), i, item)
    {
        if (text_is(json_text(item, "instance"), name))
            return item;
    }
    return NULL;
}

static void on_awaited(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    struct err err = ERR_INIT;
    size_t i;
    json_t *name;
    json_array_foreach(json_list(a->args, "instances"), i, name)
    {
        const char *text = json_string_value(name);
        const json_t *item = error ? NULL : listed_instance(ok, text);
        if (error || (item && text_is(json_text(item, "state"), "ready")))
            continue;
        (void)FAIL(&err, E_INSTANCE_NOT_READY, "warm instance '%s' is %s", text,
                   item ? json_text_or(item, "state", "not ready") : "gone");
        error = &err;
    }
    on_reply(a, ok, error);
}

static void act_await(struct action *a)
{
    FAULT("step.await");
    link_call(a->core->host, "instance.list", json_object(), AWAIT_MS, on_awaited, a);
}

/* start: one request an instance, side by side */

struct starting {
    struct action *action;
    char name[129];
};

struct up_input {
    struct core *core;
    const char *name;
    const json_t *ok;
};

static int note_up(void *context, struct err *err)
{
    const struct up_input *in = context;
    struct instance instance;
    int found = instance_load(in->core, in->name, &instance, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (instance_set_address(in->core, in->name, json_text_or(in->ok, "address", ""),
                             json_int(in->ok, "port", 0), err) < 0)
        return -1;
    return instance.state == INSTANCE_STARTING
               ? instance_apply(in->core, &instance, INSTANCE_UP, err)
               : 0;
}

static void start_failed(struct action *a, const struct err *error)
{
    int64_t rollout_id = a->rollout_id;
    int64_t index = a->index;
    struct core *core = a->core;
    bool away = error->kind == E_ROLE_DOWN;
    a->away |= away;
    if (--a->open == 0)
        action_free(a);
    if (!away)
        rollout_step_event(core, rollout_id, index, STEP_FAIL, error);
}

static bool all_up(struct action *a)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_list(a->args, "instances"), i, name)
    {
        struct instance instance;
        struct err err = ERR_INIT;
        if (instance_load(a->core, json_string_value(name), &instance, &err) != 0 ||
            instance.state == INSTANCE_STARTING)
            return false;
    }
    return true;
}

static void on_started(void *context, json_t *ok, const struct err *error)
{
    struct starting *s = context;
    struct action *a = s->action;
    struct err err = ERR_INIT;
    struct up_input in = {a->core, s->name, ok};
    FAULT("step.started");
    if (!error && tick_input(a->core->tick, "instance is up", note_up, &in, &err) < 0)
        error = &err;
    free(s);
    if (error) {
        start_failed(a, error);
        return;
    }
    bool done = all_up(a);
    if (--a->open > 0 && !done)
        return;
    int64_t rollout_id = a->rollout_id;
    int64_t index = a->index;
    struct core *core = a->core;
    bool away = a->away;
    if (a->open == 0)
        action_free(a);
    if (done) {
        rollout_step_event(core, rollout_id, index, STEP_SUCCEED, NULL);
    } else if (!away) {
        (void)FAIL(&err, E_INSTANCE_NOT_READY, "all instances were started, but not all are there");
        rollout_step_event(core, rollout_id, index, STEP_FAIL, &err);
    }
}

static void start_one(void *context, const char *name)
{
    struct action *a = context;
    struct instance instance;
    struct err err = ERR_INIT;
    int found = instance_load(a->core, name, &instance, &err);
    a->open++;
    if (found != 0) {
        if (found == INSTANCE_NONE)
            (void)FAIL(&err, E_NOT_FOUND, "the row of instance '%s' is gone", name);
        start_failed(a, &err);
        return;
    }
    struct starting *s = mem_alloc(sizeof(*s));
    s->action = a;
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    FAULT("step.start");
    instance_start_request(a->core, &a->ae, &instance, a->release, on_started, s);
}

static void act_start(struct action *a)
{
    a->open = 1; /* held until all are asked: an answer may come at once */
    for_each_name(json_list(a->args, "instances"), start_one, a);
    if (--a->open == 0)
        action_free(a);
}

static void act_route(struct action *a)
{
    FAULT("step.route");
    app_env_edge_refresh(a->core, a->ae.id, on_reply, a);
}

/* drain: the edge stops sending new requests, then the old ones run out */

static void on_drained(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    if (!error && json_int(ok, "left", 0) > 0)
        log_warn("requests were still running at the end of the drain, going on",
                 F_STR("app_env", a->ae.subject), F_INT("left", json_int(ok, "left", 0)));
    on_reply(a, ok, error);
}

static void on_drain_applied(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    if (error) {
        on_reply(a, ok, error);
        return;
    }
    json_t *names = json_array();
    size_t i;
    json_t *name;
    json_array_foreach(json_list(a->args, "instances"), i, name)
        json_push(names, json_string(instance_short(json_string_value(name))));
    FAULT("step.drained");
    edge_drained(a->core, &a->ae, names, json_int(a->args, "deadline_ms", 30000), on_drained, a);
}

static void act_drain(struct action *a)
{
    FAULT("step.drain");
    app_env_edge_refresh(a->core, a->ae.id, on_drain_applied, a);
}

/* stop */

struct stopping {
    struct action *action;
    char name[129];
};

static int note_gone(void *context, struct err *err)
{
    const struct up_input *in = context;
    return instance_delete(in->core, in->name, err);
}

static void on_stopped(void *context, json_t *ok, const struct err *error)
{
    struct stopping *s = context;
    struct action *a = s->action;
    struct err err = ERR_INIT;
    struct up_input in = {a->core, s->name, ok};
    FAULT("step.stopped");
    if (!error && tick_input(a->core->tick, "instance is gone", note_gone, &in, &err) < 0)
        error = &err;
    free(s);
    bool away = error && error->kind == E_ROLE_DOWN;
    if (error && !away) {
        log_warn("an instance could not be stopped, trying again", F_STR("app_env", a->ae.subject),
                 F_ERR(error));
        instance_sweep_later(a->core, STOP_AGAIN_MS);
    }
    if (--a->open > 0)
        return;
    if (away)
        action_free(a);
    else
        action_end(a, STEP_SUCCEED, NULL);
}

static void stop_one(void *context, const char *name)
{
    struct action *a = context;
    struct stopping *s = mem_alloc(sizeof(*s));
    s->action = a;
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    a->open++;
    FAULT("step.stop");
    instance_stop_request(a->core, name, on_stopped, s);
}

/* First out of the edge's table, then stopped. */
static void on_stop_applied(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    if (error) {
        on_reply(a, ok, error);
        return;
    }
    a->open = 1;
    for_each_name(json_list(a->args, "instances"), stop_one, a);
    if (--a->open == 0)
        action_end(a, STEP_SUCCEED, NULL);
}

static void on_finish_applied(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    struct core *core = a->core;
    on_reply(a, ok, error);
    instance_sweep(core);
}

static void act_stop(struct action *a)
{
    FAULT("step.halt");
    app_env_edge_refresh(a->core, a->ae.id, on_stop_applied, a);
}

static void act_finish(struct action *a)
{
    FAULT("step.finish");
    app_env_edge_refresh(a->core, a->ae.id, on_finish_applied, a);
}

/* It walks by itself and tells us. */
static void act_build(struct action *a)
{
    action_free(a);
}

static const struct {
    const char *kind;
    void (*act)(struct action *a);
} acts[] = {
    {"build", act_build}, {"prepare", act_prepare}, {"await", act_await}, {"start", act_start},
    {"route", act_route}, {"drain", act_drain},     {"stop", act_stop},   {"finish", act_finish},
};

static void step_dispatch(struct action *a, const struct step *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
        if (text_is(acts[i].kind, s->kind)) {
            acts[i].act(a);
            return;
        }
    }
    log_error("a step of unknown kind cannot be done", F_STR("kind", s->kind));
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_INTERNAL, "the plan has a step of unknown kind '%s'", s->kind);
    action_end(a, STEP_FAIL, &err);
}

static int action_load(struct core *core, int64_t rollout_id, int64_t index, struct action *a,
                       struct step *s, struct err *err)
{
    int found = step_load(core, rollout_id, index, s, err);
    if (found != 0)
        return found < 0 ? -1 : FAIL(err, E_NOT_FOUND, "the step is gone");
    if (rollout_load(core, rollout_id, &a->rollout, err) < 0 ||
        app_env_load(core, a->rollout.app_env_id, &a->ae, err) < 0)
        return -1;
    if (a->rollout.release_id &&
        release_get(core, a->ae.id, a->rollout.release, &a->release, err) < 0)
        return -1;
    a->args = json_incref(s->args);
    return 0;
}

void step_act(struct core *core, int64_t rollout_id, int64_t index)
{
    struct err err = ERR_INIT;
    struct step s = {0};
    struct action *a = mem_alloc(sizeof(*a));
    a->core = core;
    a->rollout_id = rollout_id;
    a->index = index;
    if (action_load(core, rollout_id, index, a, &s, &err) < 0) {
        log_error("a rollout's step cannot be read, it is left alone", F_ID("rollout", rollout_id),
                  F_ERR(&err));
        action_free(a);
    } else if (s.state != STEP_DOING || a->rollout.step != index) {
        action_free(a);
    } else {
        step_dispatch(a, &s);
    }
    step_done(&s);
}
