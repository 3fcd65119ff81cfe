/* Over all apps at once: the grid of apps and envs, the figures of delivery, one's own branches.
 * Each is a handful of statements, and shows what the person may view. */
#include "core/api/handlers.h"
#include "core/branch/source.h"
#include "core/journal/journal.h"
#include "core/release/release.h"

#define MINE_MAX 50
#define MINE_DAYS 90
#define MINE_ROWS 2000 /* of the journal that are read, of a person and of each app */
#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

/* ---- the grid ---- */

static json_t *envs_for_people(const json_t *rows)
{
    json_t *envs = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        json_t *env = json_object();
        json_put(env, "name", json_incref(json_object_get(row, "name")));
        json_put(env, "position", json_incref(json_object_get(row, "position")));
        json_push(envs, env);
    }
    return envs;
}

static char *id_text(int64_t id)
{
    return mem_format("%lld", (long long)id);
}

/* Cells of the apps, {id of the app as text: [rows]}: one look each, however many there are. */
static json_t *cells_by_app(const json_t *cells)
{
    json_t *apps = json_object();
    size_t i;
    json_t *cell;
    json_array_foreach(cells, i, cell)
    {
        AUTO_FREE char *key = id_text(json_int(cell, "app_id", 0));
        if (!json_object_get(apps, key))
            json_put(apps, key, json_array());
        json_push(json_object_get(apps, key), json_incref(cell));
    }
    return apps;
}

static json_t *cell_for_people(const json_t *cell)
{
    static const char *const keys[] = {"release",  "build",     "at",      "by",  "bad",
                                       "branches", "instances", "rollout", "last"};
    json_t *shown = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        json_put(shown, keys[i], json_incref(json_object_get(cell, keys[i])));
    return shown;
}

/* A role may have rights without that to view: it sees nothing. */
static bool views(const json_t *rights)
{
    const char *first = json_string_value(json_array_get(rights, 0));
    return text_is(first, permission_name(PERMISSION_VIEW));
}

/* What the person may do in an app: {"rights": [app-wide ones], "envs": {id of an env as text:
 * true, of those he may view}}. */
static int reach_of(struct api_call *call, int64_t app_id, const json_t *envs, json_t **ret_reach,
                    struct err *err)
{
    json_t *rights = NULL, *seen = json_object(), *env;
    size_t i;
    if (access_rights(call->core, &call->who, app_id, 0, &rights, err) < 0) {
        json_decref(seen);
        return -1;
    }
    json_array_foreach(envs, i, env)
    {
        int64_t id = json_int(env, "id", 0);
        AUTO_FREE char *key = id_text(id);
        if (views(rights) && api_may_view(call, app_id, id))
            json_put_bool(seen, key, true);
    }
    *ret_reach = json_object();
    json_put(*ret_reach, "rights", rights);
    json_put(*ret_reach, "envs", seen);
    return 0;
}

struct grid {
    struct api_call *call;
    const json_t *envs;
    json_t *by_app; /* cells */
    json_t *apart;  /* apps that a grant or the token names, by id as text */
    json_t *shared; /* the reach of all others, which is one and the same; NULL: not asked yet */
};

/* The gate is a statement for each question, a dozen an app: most people's grants name no app, or a
 * few, and what holds for an app that none names holds for all of those. */
static int read_apart(struct grid *g, struct err *err)
{
    AUTO_JSON *ids = NULL;
    size_t i;
    json_t *id;
    g->apart = json_object();
    if (access_apps_named(g->call->core, &g->call->who, &ids, err) < 0)
        return -1;
    json_array_foreach(ids, i, id)
    {
        AUTO_FREE char *key = id_text(json_integer_value(id));
        json_put_bool(g->apart, key, true);
    }
    return 0;
}

/* A new reference. */
static int grid_reach(struct grid *g, int64_t app_id, json_t **ret_reach, struct err *err)
{
    AUTO_FREE char *key = id_text(app_id);
    if (json_object_get(g->apart, key))
        return reach_of(g->call, app_id, g->envs, ret_reach, err);
    if (!g->shared && reach_of(g->call, app_id, g->envs, &g->shared, err) < 0)
        return -1;
    *ret_reach = json_incref(g->shared);
    return 0;
}

static json_t *grid_row(const struct grid *g, const json_t *app, const json_t *reach)
{
    AUTO_FREE char *key = id_text(json_int(app, "id", 0));
    json_t *row = json_object(), *envs = json_object(), *cell;
    size_t i;
    json_put_text(row, "app", json_text(app, "name"));
    json_put_text(row, "trunk", json_text(app, "trunk"));
    json_put(row, "rights", json_incref(json_list(reach, "rights")));
    json_put(row, "envs", envs);
    json_array_foreach(json_list(g->by_app, key), i, cell)
    {
        AUTO_FREE char *env = id_text(json_int(cell, "env_id", 0));
        if (json_object_get(json_dict(reach, "envs"), env))
            json_put(envs, json_text_or(cell, "env", ""), cell_for_people(cell));
    }
    return row;
}

static int grid_page(struct grid *g, const json_t *apps, const char *after, int64_t limit,
                     struct err *err)
{
    json_t *items = json_array(), *app;
    const char *next = NULL;
    size_t i;
    json_put(g->call->reply, "items", items);
    json_array_foreach(apps, i, app)
    {
        AUTO_JSON *reach = NULL;
        if (after && strcmp(json_text_or(app, "name", ""), after) <= 0)
            continue;
        if (grid_reach(g, json_int(app, "id", 0), &reach, err) < 0)
            return -1;
        if (!views(json_list(reach, "rights")))
            continue;
        if (json_array_size(items) == (size_t)limit) {
            next = json_text(json_array_get(items, (size_t)limit - 1), "app");
            break;
        }
        json_push(items, grid_row(g, app, reach));
    }
    json_put_text(g->call->reply, "next", next);
    return 0;
}

API_HANDLER(api_overview)
{
    AUTO_FREE char *after = NULL;
    AUTO_JSON *envs = NULL;
    AUTO_JSON *apps = NULL;
    AUTO_JSON *cells = NULL;
    int64_t limit = 0;
    if (api_query_text(call, "after", &after, err) < 0 ||
        api_query_int(call, "limit", 1, 1000, 1000, &limit, err) < 0 ||
        env_list(call->core, &envs, err) < 0 || app_list(call->core, &apps, err) < 0 ||
        release_overview(call->core, &cells, err) < 0)
        return -1;
    struct grid g = {.call = call, .envs = envs, .by_app = cells_by_app(cells)};
    call->reply = json_object();
    json_put(call->reply, "envs", envs_for_people(envs));
    int result = read_apart(&g, err);
    if (result == 0)
        result = grid_page(&g, apps, after, limit, err);
    json_decref(g.by_app);
    json_decref(g.apart);
    json_decref(g.shared);
    return result;
}

/* ---- the figures of the last env ---- */

struct viewer {
    struct api_call *call;
    int64_t env_id;
};

static bool viewer_may(void *context, int64_t app_id)
{
    const struct viewer *v = context;
    return api_may_view(v->call, app_id, v->env_id);
}

API_HANDLER(api_figures)
{
    AUTO_JSON *envs = NULL;
    struct figures_ask ask = {.may_view = viewer_may};
    if (api_query_int(call, "days", 1, 365, 30, &ask.days, err) < 0 ||
        env_list(call->core, &envs, err) < 0)
        return -1;
    size_t count = json_array_size(envs);
    const json_t *last = count ? json_array_get(envs, count - 1) : NULL;
    struct viewer viewer = {call, json_int(last, "id", 0)};
    ask.env_id = viewer.env_id;
    ask.context = &viewer;
    if (figures_read(call->core, &ask, &call->reply, err) < 0)
        return -1;
    json_put_text(call->reply, "env", json_text(last, "name"));
    return 0;
}

/* ---- my branches ---- */

static bool is_zero(const char *commit)
{
    return commit && *commit && commit[strspn(commit, "0")] == 0;
}

/* Rows of the journal that say that a branch of the app went, newest first: {branch: seq}. */
static int branches_gone(struct core *core, const char *app, int64_t after, json_t **ret_gone,
                         struct err *err)
{
    AUTO_JSON *rows = NULL;
    AUTO_JSON *gone = json_object();
    size_t i, k;
    json_t *row, *ref;
    if (journal_of_branches(core, NULL, app, after, MINE_ROWS, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        const json_t *data = json_dict(row, "data");
        const char *name = json_text(data, "name");
        if (text_is(json_text(row, "kind"), "branch.deleted") && name &&
            !json_object_get(gone, name))
            json_put(gone, name, json_incref(json_object_get(row, "seq")));
        json_array_foreach(json_list(data, "refs"), k, ref)
        {
            name = json_text_or(ref, "ref", "");
            if (is_zero(json_text(ref, "new")) && text_starts(name, "refs/heads/") &&
                !json_object_get(gone, name + 11))
                json_put(gone, name + 11, json_incref(json_object_get(row, "seq")));
        }
    }
    *ret_gone = TAKE(gone);
    return 0;
}

struct mine {
    struct api_call *call;
    json_t *apps;     /* rows by name */
    json_t *gone;     /* by app: what branches_gone says */
    json_t *seen;     /* "APP/BRANCH" */
    json_t *branches; /* the reply's */
    int64_t oldest;   /* seq of the person's oldest row */
};

/* The newest word on a branch counts; one that went later is left out, and the trunk is
 * everybody's. */
static int mine_add(struct mine *m, const json_t *row, const char *branch, struct err *err)
{
    const char *app = json_text_or(row, "subject", "");
    const json_t *known = json_object_get(m->apps, app);
    AUTO_FREE char *key = mem_format("%s/%s", app, branch);
    json_t *gone = NULL;
    if (json_array_size(m->branches) >= MINE_MAX || json_object_get(m->seen, key) || !known ||
        text_is(branch, json_text(known, "trunk")) ||
        json_int(row, "at", 0) < json_int(known, "created_at", 0))
        return 0;
    json_put_bool(m->seen, key, true);
    if (!json_object_get(m->gone, app)) {
        if (branches_gone(m->call->core, app, m->oldest - 1, &gone, err) < 0)
            return -1;
        json_put(m->gone, app, gone);
    }
    if (json_int(json_dict(m->gone, app), branch, 0) >= json_int(row, "seq", 0))
        return 0;
    json_t *item = json_object();
    json_put_text(item, "app", app);
    json_put_text(item, "branch", branch);
    json_put(item, "at", json_incref(json_object_get(row, "at")));
    api_put_ticked_envs(m->call, json_int(known, "id", 0), branch, item);
    json_push(m->branches, item);
    return 0;
}

static int mine_take(struct mine *m, const json_t *row, struct err *err)
{
    const json_t *data = json_dict(row, "data");
    size_t i;
    json_t *ref;
    if (text_is(json_text(row, "kind"), "branch.created"))
        return mine_add(m, row, json_text_or(data, "name", ""), err);
    json_array_foreach(json_list(data, "refs"), i, ref)
    {
        const char *name = json_text_or(ref, "ref", "");
        if (text_starts(name, "refs/heads/") && mine_add(m, row, name + 11, err) < 0)
            return -1;
    }
    return 0;
}

/* Those that the person wrote to and may view. */
static int mine_apps(struct mine *m, const json_t *written, struct err *err)
{
    AUTO_JSON *apps = NULL;
    AUTO_JSON *named = json_object();
    size_t i;
    json_t *row;
    if (app_list(m->call->core, &apps, err) < 0)
        return -1;
    json_array_foreach(written, i, row)
        json_put_bool(named, json_text_or(row, "subject", ""), true);
    json_array_foreach(apps, i, row)
    {
        const char *name = json_text_or(row, "name", "");
        if (json_object_get(named, name) && api_may_view(m->call, json_int(row, "id", 0), 0))
            json_put(m->apps, name, json_incref(row));
    }
    return 0;
}

static int mine_read(struct mine *m, const json_t *rows, struct err *err)
{
    int64_t since = clock_wall_ms(m->call->core->clock) - MINE_DAYS * DAY_MS;
    size_t i, count = json_array_size(rows);
    json_t *row;
    m->oldest = json_int(count ? json_array_get(rows, count - 1) : NULL, "seq", 1);
    json_array_foreach(rows, i, row)
    {
        if (json_int(row, "at", 0) >= since && mine_take(m, row, err) < 0)
            return -1;
    }
    return 0;
}

/* Root is no person: it has none. */
API_HANDLER(api_mine)
{
    struct mine m = {call, json_object(), json_object(), json_object(), json_array(), 0};
    AUTO_JSON *rows = NULL;
    AUTO_FREE char *actor = mem_format("user:%s", call->who.name);
    int result = 0;
    call->reply = json_object();
    json_put(call->reply, "branches", m.branches);
    if (call->who.id != 0 &&
        (journal_of_branches(call->core, actor, NULL, 0, MINE_ROWS, &rows, err) < 0 ||
         mine_apps(&m, rows, err) < 0 || mine_read(&m, rows, err) < 0))
        result = -1;
    json_decref(m.apps);
    json_decref(m.gone);
    json_decref(m.seen);
    return result;
}
