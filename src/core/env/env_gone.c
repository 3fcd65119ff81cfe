/* What other roles still know of apps that are gone: the repository (courier) and the app-envs'
 * places at the edge, builds and caches (host). The rows stay until the role has answered; asking
 * twice does no harm: ids are never used again; a new app of the same name is refused, and the
 * app-envs' ranges of user ids are nobody else's, until then. */
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/env/env.h"
#include "core/link/link.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define FORGET_MS 30000
#define AGAIN_MS 15000

static struct timer *again_timer;

struct gone {
    struct core *core;
    int64_t id;
    const char *sql; /* says so in the row, or removes it */
    bool at_edge;    /* the rest of it comes after that */
};

static void forget_rest(struct core *core, int64_t id);

static void on_again(void *context)
{
    env_forget_gone(context);
}

void env_gone_done(void)
{
    timer_free(&again_timer);
}

static int forget_row(void *context, struct err *err)
{
    const struct gone *g = context;
    return store_run(g->core->store, err, g->sql, "i", g->id);
}

static void on_forgotten(void *context, json_t *ok, const struct err *error)
{
    struct gone *g = context;
    struct err err = ERR_INIT;
    (void)ok;
    FAULT("env.forgotten");
    if (!error && tick_input(g->core->tick, "an app is forgotten", forget_row, g, &err) < 0)
        error = &err;
    if (!error && g->at_edge)
        forget_rest(g->core, g->id);
    if (error && error->kind != E_ROLE_DOWN) { /* else it is asked when it reconnects */
        log_warn("a role could not forget a removed app, trying again", F_ERR(error));
        timer_start(&again_timer, AGAIN_MS, 0, on_again, g->core);
    }
    free(g);
}

static void forget(struct link *link, const char *verb, json_t *args, struct gone what)
{
    struct gone *g = mem_alloc(sizeof(*g));
    *g = what;
    FAULT("env.forget");
    link_call(link, verb, args, FORGET_MS, on_forgotten, g);
}

static void forget_repository(struct core *core, const json_t *row)
{
    json_t *args = json_object();
    json_put_text(args, "app", json_text(row, "name"));
    forget(core->courier, "repo.delete", args,
           (struct gone){.core = core,
                         .id = json_int(row, "id", 0),
                         .sql = "DELETE FROM app_gone WHERE id=$1"});
}

/* With its row the range of user ids is free: nothing that is its own may be left then. */
static void forget_rest(struct core *core, int64_t id)
{
    json_t *args = json_object();
    json_put_int(args, "app_env_id", id);
    forget(core->host, "app_env.forget", args,
           (struct gone){.core = core, .id = id, .sql = "DELETE FROM app_env_gone WHERE id=$1"});
}

static void forget_app_env(struct core *core, const json_t *row)
{
    int64_t id = json_int(row, "id", 0), version = json_int(row, "edge_version", 0);
    if (version == 0) { /* it is not at the edge, or was not ever */
        forget_rest(core, id);
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app_env", json_text(row, "subject"));
    json_put_int(args, "app_env_id", id);
    json_put_int(args, "version", version);
    forget(core->host, "edge.remove", args,
           (struct gone){.core = core,
                         .id = id,
                         .sql = "UPDATE app_env_gone SET edge_version=0 WHERE id=$1",
                         .at_edge = true});
}

static void for_each_row(struct core *core, const char *sql,
                         void (*fn)(struct core *core, const json_t *row))
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, &err, sql, "") < 0) {
        log_error("cannot list what is to be forgotten", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) fn(core, row);
}

int app_refuse_gone(struct core *core, const char *name, struct err *err)
{
    int64_t count = 0;
    if (store_one_int(core->store, &count, err, "SELECT count(*) FROM app_gone WHERE name=$1", "t",
                      name) < 0)
        return -1;
    if (count > 0)
        return FAIL(err, E_STATE_CONFLICT,
                    "the repository of the removed app '%s' is being deleted: try again in a "
                    "second",
                    name);
    return 0;
}

void env_forget_gone(struct core *core)
{
    if (link_up(core->courier))
        for_each_row(core, "SELECT id, name FROM app_gone ORDER BY id", forget_repository);
    if (link_up(core->host))
        for_each_row(core, "SELECT id, subject, edge_version FROM app_env_gone ORDER BY id",
                     forget_app_env);
}
