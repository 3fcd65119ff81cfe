/* Core's rows and host's reality, compared whenever host comes back and whenever something between
 * the two did not succeed: the edge gets its tables, what nobody knows is stopped, what has another
 * address is noted, and what should run and does not is handed to repair.c in the order in which
 * people miss it. */
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/edge/edge.h"
#include "core/feed/feed.h"
#include "core/link/link.h"
#include "core/release/release_priv.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define LIST_MS 20000
#define AGAIN_MS 10000

static struct timer *again_timer;

static void compare_again(void *context)
{
    timer_free(&again_timer);
    instance_reconcile(context);
}

void instance_reconcile_later(struct core *core)
{
    if (!again_timer) /* a failure more does not put it off */
        timer_start(&again_timer, AGAIN_MS, 0, compare_again, core);
}

void reconcile_done(void)
{
    timer_free(&again_timer);
}

/* The context is core. */
static void on_repair(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (!error || error->kind == E_ROLE_DOWN)
        return; /* a host that is back is compared with anyway */
    log_warn("a repair did not succeed, trying again", F_ERR(error), F_INT("in_ms", AGAIN_MS));
    instance_reconcile_later(context);
}

/* ---- addresses ---- */

struct moved {
    struct core *core;
    int64_t app_env_id;
    char name[129];
    const char *address; /* while the input runs */
    int64_t port;
};

static int note_address(void *context, struct err *err)
{
    const struct moved *m = context;
    struct app_env ae;
    if (instance_set_address(m->core, m->name, m->address, m->port, err) < 0 ||
        app_env_load(m->core, m->app_env_id, &ae, err) < 0)
        return -1;
    return app_env_edge_version(m->core, &ae, err);
}

static void tell_edge(void *context, const struct err *error)
{
    struct moved *m = context;
    if (!error)
        app_env_edge_refresh(m->core, m->app_env_id, on_repair, m->core);
    free(m);
}

void instance_is_at(struct core *core, const struct instance *i, const json_t *where)
{
    struct err err = ERR_INIT;
    struct moved *m = mem_alloc(sizeof(*m));
    *m = (struct moved){.core = core,
                        .app_env_id = i->app_env_id,
                        .address = json_text_or(where, "address", ""),
                        .port = json_int(where, "port", 0)};
    memcpy(m->name, i->name, sizeof(m->name));
    if (tick_input(core->tick, "instance is back", note_address, m, &err) == 0) {
        tick_after(core->tick, tell_edge, NULL, m);
        return;
    }
    log_error("the address of an instance cannot be noted, trying again",
              F_STR("instance", m->name), F_ERR(&err));
    instance_reconcile_later(core);
    free(m);
}

/* It was started anew by host, while we listened or not: it may have another address. */
static void check_address(struct core *core, const struct instance *i, const json_t *item)
{
    if (text_is(json_text(item, "state"), "ready") && *i->address &&
        !text_is(json_text_or(item, "address", i->address), i->address))
        instance_is_at(core, i, item);
}

/* ---- the list ---- */

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

/* ---- what is gone ---- */

struct gone {
    const char *name;
    bool warm;     /* nobody misses it yet */
    int64_t ahead; /* instances of its app-env that run, or are started before it */
    size_t index;  /* the later the stage, the smaller */
};

static int by_need(const void *a, const void *b)
{
    const struct gone *x = a, *y = b;
    if (x->warm != y->warm)
        return x->warm ? 1 : -1;
    if (x->ahead != y->ahead)
        return x->ahead < y->ahead ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool same_app_env(const json_t *rows, size_t a, size_t b)
{
    return json_int(json_array_get(rows, a), "app_env_id", 0) ==
           json_int(json_array_get(rows, b), "app_env_id", 0);
}

/* The rows from `first` on that are of one app-env; returns where the next one begins. */
static size_t gone_of_app_env(const json_t *rows, const struct map *listed, size_t first,
                              struct gone *list, size_t *count)
{
    int64_t ahead = 0;
    size_t end = first;
    for (; end < json_array_size(rows) && same_app_env(rows, first, end); end++)
        ahead += map_get(listed, json_text_or(json_array_get(rows, end), "name", "")) != NULL;
    for (size_t i = first; i < end; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_text_or(row, "name", "");
        if (!map_get(listed, name))
            list[(*count)++] =
                (struct gone){name, text_is(json_text(row, "state"), "warm"), ahead++, i};
    }
    return end;
}

/* One of each app-env first, the last stage before the others: what is tried at all serves someone
 * again as soon as can be. */
static json_t *gone_by_need(const json_t *rows, const struct map *listed)
{
    json_t *names = json_array();
    size_t count = 0;
    AUTO_FREE struct gone *list = mem_alloc((json_array_size(rows) + 1) * sizeof(*list));
    for (size_t i = 0; i < json_array_size(rows);)
        i = gone_of_app_env(rows, listed, i, list, &count);
    qsort(list, count, sizeof(*list), by_need);
    for (size_t i = 0; i < count; i++)
        json_push(names, json_string(list[i].name));
    return names;
}

static void compare(struct core *core, const json_t *rows, const json_t *instances)
{
    struct map listed; /* name -> item, borrowed */
    size_t i;
    json_t *row;
    map_init(&listed);
    json_array_foreach((json_t *)(uintptr_t)instances, i, row)(void)
        map_put(&listed, json_text_or(row, "instance", ""), row);
    AUTO_JSON *gone = gone_by_need(rows, &listed);
    json_array_foreach(rows, i, row)
    {
        struct instance known;
        struct err err = ERR_INIT;
        const json_t *item = map_get(&listed, json_text_or(row, "name", ""));
        if (item && instance_load(core, json_text_or(row, "name", ""), &known, &err) == 0)
            check_address(core, &known, item);
    }
    map_done(&listed);
    repair(core, gone);
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
                   "SELECT i.name, i.state, i.app_env_id FROM instance i JOIN app_env ae ON "
                   "ae.id=i.app_env_id JOIN env e ON e.id=ae.env_id WHERE i.state IN "
                   "('serving','draining','warm') ORDER BY e.try_of IS NOT NULL, e.position DESC, "
                   "i.app_env_id, "
                   "i.state='warm', i.state DESC, i.name",
                   "") == 0) {
        compare(core, rows, instances);
        return;
    }
    log_error("cannot list the instances, trying again", F_ERR(&err));
    instance_reconcile_later(core);
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
    link_call(core->host, "instance.list", json_object(), LIST_MS, on_listed, core);
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
