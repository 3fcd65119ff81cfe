/* Instances as core sees them: the requests to host, the edge's table made from their rows, and
 * ending those that rest for too long. */
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/config/config.h"
#include "core/edge/edge.h"
#include "core/link/link.h"
#include "core/release/release_priv.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define PREPARE_MS 600000
#define STOP_MS 120000
#define START_MORE_MS 60000 /* beyond the app's own time to get ready: host answers by then */
#define AGAIN_MS 5000
#define LEAVE_MS 60000 /* what a failed rollout leaves behind rests so long */

static struct timer *sweep_timer;

/* ---- requests ---- */

static json_t *start_args(struct core *core, const struct app_env *ae, const struct instance *i,
                          const json_t *release, struct err *err)
{
    AUTO_JSON *args = json_object();
    json_t *secrets = NULL;
    const json_t *config = json_dict(release, "config");
    if (secret_reveal(core, ae->id, json_dict(release, "secrets"),
                      json_list(json_dict(config, "env"), "secret"), &secrets, err) < 0)
        return NULL;
    json_t *spec = config_instance_spec(config);
    json_put(spec, "secrets", secrets);
    json_put_text(args, "instance", i->name);
    json_put_text(args, "app", ae->app);
    json_put_text(args, "env", ae->env);
    json_put_int(args, "app_env_id", ae->id);
    json_put_int(args, "id_range", ae->id_range);
    json_put_int(args, "release", i->release);
    json_put_text(args, "artifact", json_text(release, "artifact"));
    json_put_int(args, "rollout", i->rollout_id);
    json_put_int(args, "epoch", core->epoch);
    json_put(args, "spec", spec);
    return TAKE(args);
}

void instance_start_request(struct core *core, const struct app_env *ae, const struct instance *i,
                            const json_t *release,
                            void (*on_reply)(void *context, json_t *ok, const struct err *error),
                            void *context)
{
    struct err err = ERR_INIT;
    json_t *args = start_args(core, ae, i, release, &err);
    int64_t patience =
        json_int(json_dict(release, "config"), "deploy_timeout_ms", 30000) + START_MORE_MS;
    if (args)
        link_call(core->host, "instance.start", args, patience, on_reply, context);
    else
        on_reply(context, NULL, &err);
}

void prepare_request(struct core *core, const json_t *release,
                     void (*on_reply)(void *context, json_t *ok, const struct err *error),
                     void *context)
{
    json_t *args = json_object();
    json_put_text(args, "artifact", json_text(release, "artifact"));
    link_call(core->host, "release.prepare", args, PREPARE_MS, on_reply, context);
}

void instance_stop_request(struct core *core, const char *name,
                           void (*on_reply)(void *context, json_t *ok, const struct err *error),
                           void *context)
{
    json_t *args = json_object();
    json_put_text(args, "instance", name);
    link_call(core->host, "instance.stop", args, STOP_MS, on_reply, context);
}

void app_env_edge_refresh(struct core *core, int64_t app_env_id,
                          void (*done)(void *context, json_t *ok, const struct err *error),
                          void *context)
{
    struct app_env ae;
    struct err err = ERR_INIT;
    json_t *servers = NULL;
    if (app_env_load(core, app_env_id, &ae, &err) < 0 ||
        instance_servers(core, app_env_id, &servers, &err) < 0)
        done(context, NULL, &err);
    else
        edge_apply(core, &ae, servers, done, context);
}

/* ---- ending what rests ---- */

struct gone {
    struct core *core;
    char name[129];
};

static int delete_row(void *context, struct err *err)
{
    const struct gone *g = context;
    return instance_delete(g->core, g->name, err);
}

static void on_swept(void *context, json_t *ok, const struct err *error)
{
    struct gone *g = context;
    struct err err = ERR_INIT;
    (void)ok;
    FAULT("instance.swept");
    if (!error && tick_input(g->core->tick, "instance is gone", delete_row, g, &err) < 0)
        error = &err;
    if (error && error->kind != E_ROLE_DOWN) { /* a host that is back is asked again anyway */
        log_warn("an instance could not be stopped, trying again", F_STR("instance", g->name),
                 F_ERR(error));
        instance_sweep_later(g->core, AGAIN_MS);
    }
    free(g);
}

static int mark_expired(void *context, struct err *err)
{
    struct core *core = context;
    return store_run(core->store, err,
                     "UPDATE instance SET state='stopping', expires_at=NULL WHERE state='warm' AND "
                     "expires_at<=$1",
                     "i", clock_wall_ms(core->clock));
}

/* An active rollout's own stop step asks for its instances itself; asking twice does no harm. */
static void stop_marked(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, &err, "SELECT name FROM instance WHERE state='stopping'",
                   "") < 0) {
        log_error("cannot list the instances to stop", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        struct gone *g = mem_alloc(sizeof(*g));
        g->core = core;
        (void)snprintf(g->name, sizeof(g->name), "%s", json_text_or(row, "name", ""));
        FAULT("instance.sweep");
        instance_stop_request(core, g->name, on_swept, g);
    }
}

static void after_marked(void *context, const struct err *error)
{
    struct core *core = context;
    if (!error)
        stop_marked(core);
}

static void no_drop(void *context)
{
    (void)context; /* core itself */
}

static int sweep_input(void *context, struct err *err)
{
    struct core *core = context;
    if (mark_expired(core, err) < 0)
        return -1;
    tick_after(core->tick, after_marked, no_drop, core);
    return 0;
}

static void on_timer(void *context)
{
    instance_sweep(context);
}

void release_done(void)
{
    timer_free(&sweep_timer);
    reconcile_done();
    repair_done();
}

void instance_sweep_later(struct core *core, int64_t delay_ms)
{
    timer_sooner(&sweep_timer, delay_ms, on_timer, core);
}

static void schedule(struct core *core)
{
    struct err err = ERR_INIT;
    int64_t next = 0;
    if (store_one_int(core->store, &next, &err,
                      "SELECT coalesce(min(expires_at),0) FROM instance WHERE state='warm'",
                      "") < 0 ||
        next == 0)
        return;
    int64_t delay = next - clock_wall_ms(core->clock);
    instance_sweep_later(core, delay < 1 ? 1 : delay + 1);
}

void instance_sweep(struct core *core)
{
    struct err err = ERR_INIT;
    if (tick_input(core->tick, "end what rested long enough", sweep_input, core, &err) == 0) {
        schedule(core);
        return;
    }
    log_error("cannot end resting instances, trying again", F_ERR(&err));
    instance_sweep_later(core, AGAIN_MS);
}

static int leave_one(struct core *core, const char *name, struct err *err)
{
    static const int events[] = {INSTANCE_DRAIN, INSTANCE_REST};
    struct instance i;
    int state = 0;
    int found = instance_load(core, name, &i, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (i.state == INSTANCE_STARTING || i.state == INSTANCE_READY)
        return instance_apply(core, &i, INSTANCE_STOP, err);
    for (size_t n = 0; n < ARRAY_SIZE(events); n++) {
        if (sm_next(&instance_sm, i.state, events[n], &state) != SM_REFUSED &&
            instance_apply(core, &i, events[n], err) < 0)
            return -1;
    }
    return 0;
}

/* What still serves is not stopped at once: when the edge could not be told otherwise, it may still
 * get requests. */
int instances_leave(struct core *core, const struct rollout *r, bool *ret_any, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *names = NULL;
    if (app_env_load(core, r->app_env_id, &ae, err) < 0 ||
        instance_names(core, r->app_env_id, r->release, r->to_slot, ~(1u << INSTANCE_STOPPING),
                       &names, err) < 0)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (leave_one(core, json_string_value(name), err) < 0)
            return -1;
    }
    if (instances_expire(core, r->app_env_id, clock_wall_ms(core->clock) + LEAVE_MS, err) < 0)
        return -1;
    *ret_any = json_array_size(names) > 0;
    return *ret_any ? app_env_edge_version(core, &ae, err) : 0;
}
