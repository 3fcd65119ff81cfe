/* Instances as core sees them: the requests to host, the edge's table made from their rows, ending
 * those that rest for too long, and comparing with host's reality whenever it comes back. */
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/config/config.h"
#include "core/edge/edge.h"
#include "core/feed/feed.h"
#include "core/link/link.h"
#include "core/release/release_priv.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define PREPARE_MS 600000
#define STOP_MS 120000
#define START_MORE_MS 60000 /* beyond the app's own time to get ready: host answers by then */
#define AGAIN_MS 5000
#define COMPARE_AGAIN_MS 10000
#define LEAVE_MS 60000 /* what a failed rollout leaves behind rests so long */

static struct timer *sweep_timer;
static int64_t sweep_due; /* mono, while the timer runs */
static struct timer *compare_timer;

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
    timer_free(&compare_timer);
}

/* Sooner than what is scheduled, never later. */
void instance_sweep_later(struct core *core, int64_t delay_ms)
{
    int64_t due = clock_mono_ms(core->clock) + delay_ms;
    if (sweep_timer && sweep_due <= due)
        return;
    sweep_due = due;
    timer_start(&sweep_timer, delay_ms, 0, on_timer, core);
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

/* ---- host's reality ---- */

static void compare_again(void *context)
{
    instance_reconcile(context);
}

void instance_reconcile_later(struct core *core)
{
    timer_start(&compare_timer, COMPARE_AGAIN_MS, 0, compare_again, core);
}

/* The context is core. */
static void on_repair(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (!error || error->kind == E_ROLE_DOWN)
        return; /* a host that is back is compared with anyway */
    log_warn("a repair did not succeed, trying again", F_ERR(error),
             F_INT("in_ms", COMPARE_AGAIN_MS));
    instance_reconcile_later(context);
}

struct repair {
    struct core *core;
    int64_t app_env_id;
    char name[129];
    const json_t *ok;
};

static int note_address(void *context, struct err *err)
{
    const struct repair *r = context;
    struct app_env ae;
    if (instance_set_address(r->core, r->name, json_text_or(r->ok, "address", ""),
                             json_int(r->ok, "port", 0), err) < 0 ||
        app_env_load(r->core, r->app_env_id, &ae, err) < 0)
        return -1;
    return app_env_edge_version(r->core, &ae, err);
}

static void tell_edge(void *context, const struct err *error)
{
    struct repair *r = context;
    if (!error)
        app_env_edge_refresh(r->core, r->app_env_id, on_repair, r->core);
    free(r);
}

static void on_repaired(void *context, json_t *ok, const struct err *error)
{
    struct repair *r = context;
    struct err err = ERR_INIT;
    r->ok = ok;
    if (!error && tick_input(r->core->tick, "instance is back", note_address, r, &err) < 0)
        error = &err;
    if (!error) {
        tick_after(r->core->tick, tell_edge, NULL, r);
        return;
    }
    if (error->kind != E_ROLE_DOWN) { /* a host that is back is compared with anyway */
        log_error("an instance that should run does not, trying again", F_STR("instance", r->name),
                  F_ERR(error));
        instance_reconcile_later(r->core);
    }
    free(r);
}

static void repair_start(void *context, json_t *ok, const struct err *error)
{
    struct repair *r = context;
    struct err err = ERR_INIT;
    struct instance i;
    struct app_env ae;
    AUTO_JSON *release = NULL;
    (void)ok;
    if (error) {
        on_repaired(r, NULL, error);
        return;
    }
    int found = instance_load(r->core, r->name, &i, &err);
    bool wanted = found == 0 && (i.state == INSTANCE_SERVING || i.state == INSTANCE_DRAINING ||
                                 i.state == INSTANCE_WARM);
    if (found >= 0 && !wanted) { /* that may have taken long */
        free(r);
        return;
    }
    if (found < 0 || app_env_load(r->core, i.app_env_id, &ae, &err) < 0 ||
        release_get(r->core, i.app_env_id, i.release, &release, &err) < 0)
        on_repaired(r, NULL, &err);
    else
        instance_start_request(r->core, &ae, &i, release, on_repaired, r);
}

/* What its release is made of may be gone too (unpacked), or may never have been there (a restored
 * backup has blobs only). */
static void repair_one(struct core *core, const char *name)
{
    struct err err = ERR_INIT;
    struct instance i;
    AUTO_JSON *release = NULL;
    if (instance_load(core, name, &i, &err) != 0 ||
        release_get(core, i.app_env_id, i.release, &release, &err) < 0) {
        log_error("an instance cannot be repaired", F_STR("instance", name), F_ERR(&err));
        return;
    }
    log_warn("an instance is gone from the host, starting it again", F_STR("instance", name));
    struct repair *r = mem_alloc(sizeof(*r));
    *r = (struct repair){.core = core, .app_env_id = i.app_env_id};
    memcpy(r->name, i.name, sizeof(r->name));
    prepare_request(core, release, repair_start, r);
}

static const json_t *listed(const json_t *instances, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(instances, i, item)
    {
        if (text_is(json_text(item, "instance"), name))
            return item;
    }
    return NULL;
}

/* It was started anew by host, while we listened or not: it may have another address. */
static void check_address(struct core *core, const struct instance *i, const json_t *item)
{
    const char *address = json_text_or(item, "address", i->address);
    if (!text_is(json_text(item, "state"), "ready") || !*i->address || text_is(address, i->address))
        return;
    struct repair *r = mem_alloc(sizeof(*r));
    *r = (struct repair){.core = core, .app_env_id = i->app_env_id};
    memcpy(r->name, i->name, sizeof(r->name));
    on_repaired(r, (json_t *)(uintptr_t)item, NULL);
}

static void compare_one(struct core *core, const char *name, const json_t *instances)
{
    struct err err = ERR_INIT;
    struct instance i;
    const json_t *item = listed(instances, name);
    if (!item)
        repair_one(core, name);
    else if (instance_load(core, name, &i, &err) == 0)
        check_address(core, &i, item);
}

/* Ours that nobody knows: a start that was asked for by a core whose transaction did not become
 * durable. */
static void stop_unknown(struct core *core, const json_t *instances)
{
    size_t i;
    json_t *item;
    json_array_foreach(instances, i, item)
    {
        struct instance row;
        struct err err = ERR_INIT;
        const char *name = json_text_or(item, "instance", "");
        if (instance_load(core, name, &row, &err) != INSTANCE_NONE)
            continue;
        log_warn("host runs an instance that no rollout knows, stopping it",
                 F_STR("instance", name));
        instance_stop_request(core, name, on_repair, core);
    }
}

static void note_health(const json_t *instances)
{
    size_t i;
    json_t *item;
    health_clear();
    json_array_foreach(instances, i, item) health_note(item);
}

static void on_listed(void *context, json_t *ok, const struct err *error)
{
    struct core *core = context;
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (error && error->kind != E_ROLE_DOWN) /* else asked again when host is back */
        instance_reconcile_later(core);
    if (error)
        return;
    const json_t *instances = json_list(ok, "instances");
    note_health(instances);
    stop_unknown(core, instances);
    if (store_rows(core->store, &rows, &err,
                   "SELECT name FROM instance WHERE state IN ('serving','draining','warm')",
                   "") < 0) {
        log_error("cannot list the instances", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) compare_one(core, json_text_or(row, "name", ""), instances);
}

static void refresh_edges(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, &err, "SELECT id FROM app_env WHERE edge_version>0", "") <
        0) {
        log_error("cannot list the app-envs", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        app_env_edge_refresh(core, json_int(row, "id", 0), on_repair, core);
}

void instance_reconcile(struct core *core)
{
    if (!link_up(core->host))
        return;
    refresh_edges(core);
    link_call(core->host, "instance.list", json_object(), 20000, on_listed, core);
}

void release_instance_changed(struct core *core, const json_t *item)
{
    struct err err = ERR_INIT;
    struct instance i;
    const char *name = json_text_or(item, "instance", "");
    if (instance_load(core, name, &i, &err) != 0)
        return;
    health_note(item);
    feed_publish(core->feed, "instance", i.app_env_id, json_deep_copy(item));
    check_address(core, &i, item);
}
