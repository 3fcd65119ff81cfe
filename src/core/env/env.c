/* Apps, envs and app-envs: their rows, and what may be said about them. */
#include "core/env/env.h"

#include "base/json.h"
#include "base/mem.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "wire/settings.h"

const char env_schema[] =
    /* ids are never used again: host, edge, builds and releases know an app-env by its id */
    "CREATE TABLE app(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, trunk TEXT "
    "NOT NULL, created_at BIGINT NOT NULL);"
    "CREATE TABLE env(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, position BIGINT NOT NULL);"
    "INSERT INTO env(id, name, position) "
    "VALUES(1,'dev',10),(2,'test',20),(3,'pre',30),(4,'prod',40);"
    "CREATE TABLE app_env(id INTEGER PRIMARY KEY AUTOINCREMENT, app_id BIGINT NOT NULL, env_id "
    "BIGINT NOT NULL,"
    " live_slot TEXT NOT NULL DEFAULT '', live_release BIGINT NOT NULL DEFAULT 0, share BIGINT NOT "
    "NULL DEFAULT 0,"
    " edge_version BIGINT NOT NULL DEFAULT 0, UNIQUE(app_id, env_id));"
    "CREATE TABLE domain(name TEXT PRIMARY KEY, app_env_id BIGINT NOT NULL);"
    "CREATE TABLE ticked(app_env_id BIGINT NOT NULL, branch TEXT NOT NULL, position BIGINT NOT "
    "NULL, deployed_tip TEXT,"
    " ticked_by TEXT NOT NULL, ticked_at BIGINT NOT NULL, PRIMARY KEY(app_env_id, branch));"
    /* what other roles must still be told to forget */
    "CREATE TABLE app_env_gone(id BIGINT PRIMARY KEY, subject TEXT NOT NULL, edge_version BIGINT "
    "NOT NULL);"
    "CREATE TABLE app_gone(id BIGINT PRIMARY KEY, name TEXT NOT NULL);";

/* Where people try things, the others go on without the one that conflicts. */
const char env_about_schema[] = "ALTER TABLE env ADD COLUMN purpose TEXT NOT NULL DEFAULT '';"
                                "ALTER TABLE env ADD COLUMN policy TEXT NOT NULL DEFAULT 'stop';"
                                "UPDATE env SET policy='skip' WHERE name IN ('dev','test');";

const char env_try_schema[] = "ALTER TABLE env ADD COLUMN try_of BIGINT;";

/* The number of an app-env's range of user ids. It is another one's only when host has forgotten
 * this one. */
const char env_range_schema[] =
    "ALTER TABLE app_env ADD COLUMN id_range BIGINT NOT NULL DEFAULT 0;"
    "ALTER TABLE app_env_gone ADD COLUMN id_range BIGINT NOT NULL DEFAULT 0;"
    "UPDATE app_env SET id_range=id;"
    "UPDATE app_env_gone SET id_range=id;"
    "CREATE UNIQUE INDEX app_env_range ON app_env(id_range) WHERE id_range>0;";

static void copy_name(char *target, size_t size, const char *text)
{
    (void)snprintf(target, size, "%s", text ? text : "");
}

int app_load(struct core *core, const char *name, struct app *ret_app, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, "SELECT id, name, trunk FROM app WHERE name=$1", "t",
                    name) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more < 0)
        return -1;
    if (!more)
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    ret_app->id = query_int(&q, 0);
    copy_name(ret_app->name, sizeof(ret_app->name), query_text(&q, 1));
    copy_name(ret_app->trunk, sizeof(ret_app->trunk), query_text(&q, 2));
    return 0;
}

int env_load(struct core *core, const char *name, int64_t *ret_id, struct err *err)
{
    int found = store_one_int(core->store, ret_id, err,
                              "SELECT coalesce(try_of, id) FROM env WHERE name=$1", "t", name);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    return found;
}

#define APP_ENV_COLUMNS                                                                            \
    "SELECT ae.id, ae.app_id, l.id, a.name, e.name, a.trunk, ae.live_slot, ae.live_release, "      \
    "ae.share, "                                                                                   \
    "ae.edge_version, e.policy, l.name, e.try_of IS NOT NULL, ae.id_range FROM app_env ae "        \
    "JOIN app a ON a.id=ae.app_id JOIN env e ON e.id=ae.env_id JOIN env l ON "                     \
    "l.id=coalesce(e.try_of, e.id) "

static int app_env_read(struct query *q, struct app_env *ret, struct err *err)
{
    int more = query_next(q, err);
    if (more < 0)
        return -1;
    if (!more)
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    memset(ret, 0, sizeof(*ret));
    ret->id = query_int(q, 0);
    ret->app_id = query_int(q, 1);
    ret->env_id = query_int(q, 2);
    copy_name(ret->app, sizeof(ret->app), query_text(q, 3));
    copy_name(ret->env, sizeof(ret->env), query_text(q, 4));
    copy_name(ret->trunk, sizeof(ret->trunk), query_text(q, 5));
    copy_name(ret->live_slot, sizeof(ret->live_slot), query_text(q, 6));
    ret->live_release = query_int(q, 7);
    ret->share = query_int(q, 8);
    ret->edge_version = query_int(q, 9);
    copy_name(ret->policy, sizeof(ret->policy), query_text(q, 10));
    copy_name(ret->like, sizeof(ret->like), query_text(q, 11));
    ret->is_try = query_int(q, 12) != 0;
    ret->id_range = query_int(q, 13);
    (void)snprintf(ret->subject, sizeof(ret->subject), "%s.%s", ret->app, ret->env);
    return 0;
}

int app_env_load(struct core *core, int64_t id, struct app_env *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, APP_ENV_COLUMNS "WHERE ae.id=$1", "i", id) < 0)
        return -1;
    return app_env_read(&q, ret, err);
}

int app_env_find(struct core *core, const char *app, const char *env, struct app_env *ret,
                 struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, APP_ENV_COLUMNS "WHERE a.name=$1 AND e.name=$2", "tt",
                    app, env) < 0)
        return -1;
    return app_env_read(&q, ret, err);
}

int app_env_last(struct core *core, const char *app, struct app_env *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    APP_ENV_COLUMNS
                    "WHERE a.name=$1 AND e.try_of IS NULL ORDER BY e.position DESC, "
                    "e.id DESC LIMIT 1",
                    "t", app) < 0)
        return -1;
    return app_env_read(&q, ret, err);
}

/* ---- apps and envs ---- */

#define RANGES_TAKEN                                                                               \
    "(SELECT id_range FROM app_env WHERE id_range>0 UNION ALL SELECT id_range FROM app_env_gone)"

/* Every new app-env gets the first range of user ids that no other one has, nor one that host has
 * still to forget. */
static int give_ranges(struct core *core, struct err *err)
{
    int64_t max = settings_range_max(core->settings), id = 0, number = 0;
    for (;;) {
        int r = store_one_int(core->store, &id, err,
                              "SELECT id FROM app_env WHERE id_range=0 ORDER BY id LIMIT 1", "");
        if (r != 0)
            return r == STORE_NONE ? 0 : -1;
        if (store_one_int(core->store, &number, err,
                          "SELECT min(n) FROM (SELECT 1 AS n UNION ALL SELECT id_range+1 "
                          "FROM " RANGES_TAKEN ") WHERE n NOT IN " RANGES_TAKEN,
                          "") < 0)
            return -1;
        if (number > max)
            return FAIL(err, E_TOO_MANY, "this installation holds %lld app-envs at most",
                        (long long)max);
        if (store_run(core->store, err, "UPDATE app_env SET id_range=$2 WHERE id=$1", "ii", id,
                      number) < 0)
            return -1;
    }
}

static int forget_app_envs(struct core *core, int64_t app_id, struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, err, "SELECT id FROM app_env WHERE app_id=$1", "i", app_id) <
        0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (secret_forget(core, json_int(row, "id", 0), err) < 0)
            return -1;
    }
    return access_forget_app(core, app_id, err);
}

static int check_name(const char *what, const char *name, struct err *err)
{
    if (!str_is_name(str_of(name)))
        return FAIL(
            err, E_NAME_INVALID,
            "the %s's name is not valid: use 1 to 40 of a-z, 0-9 and '-', beginning with a letter",
            what);
    return 0;
}

int app_create(struct core *core, const struct person *by, const char *name, const char *trunk,
               struct app *ret_app, struct err *err)
{
    if (check_name("app", name, err) < 0)
        return -1;
    if (!str_is_branch(str_of(trunk)))
        return FAIL(err, E_REF_INVALID, "the trunk's name is not a valid branch name");
    int64_t id = 0;
    if (store_one_int(core->store, &id, err,
                      "INSERT INTO app(name, trunk, created_at) VALUES($1,$2,$3) RETURNING id",
                      "tti", name, trunk, clock_wall_ms(core->clock)) < 0)
        return err_wrap(err, "app '%s'", name);
    if (store_run(
            core->store, err,
            "INSERT INTO app_env(app_id, env_id) SELECT $1, id FROM env WHERE try_of IS NULL ORDER "
            "BY position, id",
            "i", id) < 0 ||
        give_ranges(core, err) < 0)
        return -1;
    if (journal_append(core, by->actor, "app.created", name, 0, NULL, err) < 0)
        return -1;
    return app_load(core, name, ret_app, err);
}

#define OF_APP "app_env_id IN (SELECT id FROM app_env WHERE app_id=$1)"

static int refuse_while_running(struct core *core, const struct app *a, struct err *err)
{
    static const struct {
        const char *what;
        const char *sql;
    } uses[] = {
        {"instances", "SELECT count(*) FROM instance WHERE " OF_APP},
        {"rollouts",
         "SELECT count(*) FROM rollout WHERE state IN ('running','reverting') AND " OF_APP},
        {"builds", "SELECT count(*) FROM build WHERE state IN ('queued','running') AND " OF_APP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
        int64_t busy = 0;
        if (store_one_int(core->store, &busy, err, uses[i].sql, "i", a->id) < 0)
            return -1;
        if (busy > 0)
            return FAIL(err, E_STATE_CONFLICT,
                        "app '%s' has %lld running %s: it cannot be removed while it serves; "
                        "'slipway stop -a %s -e ENV' takes it out of service",
                        a->name, (long long)busy, uses[i].what, a->name);
    }
    return 0;
}

static void forget_after(void *context, const struct err *error)
{
    if (!error)
        env_forget_gone(context);
}

static void no_drop(void *context)
{
    (void)context; /* core itself */
}

int app_remove(struct core *core, const struct person *by, const struct app *a, struct err *err)
{
    static const char *const statements[] = {
        "INSERT INTO app_gone(id, name) SELECT id, name FROM app WHERE id=$1",
        "INSERT INTO app_env_gone(id, id_range, subject, edge_version) SELECT ae.id, ae.id_range, "
        "a.name || '.' || e.name, CASE WHEN ae.edge_version>0 THEN ae.edge_version+1 ELSE 0 END "
        "FROM app_env ae "
        "JOIN app a ON a.id=ae.app_id JOIN env e ON "
        "e.id=ae.env_id WHERE ae.app_id=$1",
        "DELETE FROM domain WHERE " OF_APP,
        "DELETE FROM ticked WHERE " OF_APP,
        "DELETE FROM finding_picture WHERE finding_id IN (SELECT id FROM finding WHERE app_id=$1)",
        "DELETE FROM finding_note WHERE finding_id IN (SELECT id FROM finding WHERE app_id=$1)",
        "DELETE FROM finding WHERE app_id=$1",
        "DELETE FROM env WHERE try_of IS NOT NULL AND id IN (SELECT env_id FROM app_env WHERE "
        "app_id=$1)",
        "DELETE FROM app_env WHERE app_id=$1",
        "DELETE FROM app WHERE id=$1",
    };
    if (refuse_while_running(core, a, err) < 0 || forget_app_envs(core, a->id, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
        if (store_run(core->store, err, statements[i], "i", a->id) < 0)
            return -1;
    }
    if (journal_append(core, by->actor, "app.removed", a->name, 0, NULL, err) < 0)
        return -1;
    tick_after(core->tick, forget_after, no_drop, core);
    return 0;
}

int app_list(struct core *core, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      "SELECT id, name, trunk, created_at FROM app ORDER BY name", "");
}

static int copy_rights(struct core *core, const char *like, const char *name, json_t *data,
                       struct err *err)
{
    int64_t like_id = 0, count = 0;
    if (!like)
        return 0;
    if (env_load(core, like, &like_id, err) < 0)
        return FAIL(err, E_NOT_FOUND,
                    "there is no env '%.40s' to be like: 'slipway env ls' lists them", like);
    if (access_rights_like(core, like, name, &count, err) < 0)
        return -1;
    json_put_text(data, "like", like);
    json_put_int(data, "rights", count);
    return 0;
}

/* Between the last env and the one before it: a new stage is one on the way there. */
static int before_last(struct core *core, int64_t *ret_position, struct err *err)
{
    int64_t last = 0, previous = -1;
    AUTO_JSON *rows = NULL;
    if (store_rows(
            core->store, &rows, err,
            "SELECT id, position FROM env WHERE try_of IS NULL ORDER BY position DESC, id DESC "
            "LIMIT 2",
            "") < 0)
        return -1;
    last = json_int(json_array_get(rows, 0), "position", 10);
    previous = json_int(json_array_get(rows, 1), "position", last - 20);
    *ret_position = previous + (last - previous) / 2;
    if (last - previous >= 2 && *ret_position >= 0)
        return 0;
    *ret_position = last; /* there is no number between them: the last goes on, with its tries */
    return store_run(core->store, err,
                     "UPDATE env SET position=position+10 WHERE id=$1 OR try_of=$1", "i",
                     json_int(json_array_get(rows, 0), "id", 0));
}

int env_create(struct core *core, const struct person *by, const char *name, int64_t position,
               const char *like, struct err *err)
{
    AUTO_JSON *data = json_object();
    if (position == ENV_BEFORE_LAST && before_last(core, &position, err) < 0)
        return -1;
    if (check_name("env", name, err) < 0)
        return -1;
    if (text_starts(name, ENV_TRY_PREFIX))
        return FAIL(err, E_NAME_INVALID,
                    "names that begin with '" ENV_TRY_PREFIX "' are those of tries");
    int64_t id = 0;
    if (store_one_int(core->store, &id, err,
                      "INSERT INTO env(name, position) VALUES($1,$2) RETURNING id", "ti", name,
                      position) < 0)
        return err_wrap(err, "env '%s'", name);
    if (store_run(core->store, err, "INSERT INTO app_env(app_id, env_id) SELECT id, $1 FROM app",
                  "i", id) < 0 ||
        give_ranges(core, err) < 0 || copy_rights(core, like, name, data, err) < 0)
        return -1;
    return journal_append(core, by->actor, "env.created", name, 0, data, err);
}

/* What an env has besides its name; `words`: all that it may be, or NULL: any text. */
static const struct {
    const char *key;
    const char *sql;
    const char *words[6];
} settings_of_env[] = {
    {"purpose", "UPDATE env SET purpose=$2 WHERE id=$1", {NULL}},
    {"policy", "UPDATE env SET policy=$2 WHERE id=$1", {"stop", "skip", "last-good", NULL}},
    {"culprits", "UPDATE env SET culprits=$2 WHERE id=$1", {"click", "always", NULL}},
    {"gate",
     "UPDATE env SET gate=$2 WHERE id=$1",
     {"none", "low", "medium", "high", "critical", NULL}},
};

static int change_one(struct core *core, int64_t id, size_t index, const char *value,
                      struct err *err)
{
    const char *const *words = settings_of_env[index].words;
    bool fits = !words[0];
    for (size_t i = 0; words[i]; i++)
        fits |= text_is(value, words[i]);
    if (!fits)
        return FAIL(err, E_FIELD_INVALID, "'%.40s' is no %s: see 'slipway help'", value,
                    settings_of_env[index].key);
    return store_run(core->store, err, settings_of_env[index].sql, "it", id, value);
}

int env_change(struct core *core, const struct person *by, const char *name, const json_t *changes,
               struct err *err)
{
    int64_t id = 0;
    AUTO_JSON *data = json_object();
    if (text_starts(name, ENV_TRY_PREFIX) || env_load(core, name, &id, err) < 0)
        return FAIL(err, E_NOT_FOUND, "there is no env '%.40s': 'slipway env ls' lists them", name);
    int64_t position = json_int(changes, "position", -1);
    if (position >= 0) { /* what is like it stands where it stands */
        if (store_run(core->store, err, "UPDATE env SET position=$2 WHERE id=$1 OR try_of=$1", "ii",
                      id, position) < 0)
            return -1;
        json_put_int(data, "position", position);
    }
    for (size_t i = 0; i < ARRAY_SIZE(settings_of_env); i++) {
        const char *value = json_text(changes, settings_of_env[i].key);
        if (!value)
            continue;
        if (change_one(core, id, i, value, err) < 0)
            return -1;
        json_put_text(data, settings_of_env[i].key, value);
    }
    return journal_append(core, by->actor, "env.changed", name, 0, data, err);
}

int env_list(struct core *core, json_t **ret_rows, struct err *err)
{
    return store_rows(
        core->store, ret_rows, err,
        "SELECT id, name, position, purpose, policy, culprits, gate FROM env WHERE try_of IS NULL "
        "ORDER BY position, id",
        "");
}

/* ---- tries ---- */

int env_try_create(struct core *core, const struct person *by, const struct app *app,
                   const char *name, const char *like, struct app_env *ret, struct err *err)
{
    int64_t like_id = 0, id = 0, app_env_id = 0;
    struct app_env model;
    if (app_env_find(core, app->name, like, &model, err) < 0)
        return -1;
    if (model.is_try)
        return FAIL(err, E_STATE_CONFLICT, "'%s' is a try itself", like);
    like_id = model.env_id;
    if (store_one_int(core->store, &id, err,
                      "INSERT INTO env(name, position, policy, culprits, gate, try_of) SELECT $1, "
                      "position, policy, culprits, gate, id FROM env WHERE id=$2 RETURNING id",
                      "ti", name, like_id) < 0)
        return err_wrap(err, "try '%s'", name);
    if (store_one_int(core->store, &app_env_id, err,
                      "INSERT INTO app_env(app_id, env_id) VALUES($1,$2) RETURNING id", "ii",
                      app->id, id) < 0 ||
        give_ranges(core, err) < 0 || secret_copy(core, by, model.id, app_env_id, name, err) < 0)
        return -1;
    return app_env_load(core, app_env_id, ret, err);
}

int env_try_remove(struct core *core, const struct app_env *ae, struct err *err)
{
    static const char *const statements[] = {
        "INSERT INTO app_env_gone(id, id_range, subject, edge_version) SELECT ae.id, ae.id_range, "
        "a.name || '.' || e.name, CASE WHEN ae.edge_version>0 THEN ae.edge_version+1 ELSE 0 END "
        "FROM app_env ae "
        "JOIN app a ON a.id=ae.app_id JOIN env e ON e.id=ae.env_id WHERE ae.id=$1",
        /* what was found there is still wrong: it waits for what is live where it came from */
        "UPDATE finding SET release=0, fixed_release=0, app_env_id=(SELECT l.id FROM app_env ae "
        "JOIN "
        "env e ON e.id=ae.env_id JOIN app_env l ON l.app_id=ae.app_id AND l.env_id=e.try_of WHERE "
        "ae.id=$1) WHERE app_env_id=$1",
        "DELETE FROM domain WHERE app_env_id=$1",
        "DELETE FROM ticked WHERE app_env_id=$1",
        "DELETE FROM env WHERE try_of IS NOT NULL AND id=(SELECT env_id FROM app_env WHERE id=$1)",
        "DELETE FROM app_env WHERE id=$1",
    };
    if (secret_forget(core, ae->id, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        if (store_run(core->store, err, statements[i], "i", ae->id) < 0)
            return -1;
    return 0;
}

void env_publish_all(struct core *core, int64_t app_id, const char *topic, const json_t *data)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, &err, "SELECT id FROM app_env WHERE app_id=$1", "i",
                   app_id) < 0)
        return;
    json_array_foreach(rows, i, row) feed_publish(core->feed, topic, json_int(row, "id", 0),
                                                  data ? json_deep_copy(data) : json_object());
}

void env_publish_repo(struct core *core, int64_t app_id, const json_t *data)
{
    env_publish_all(core, app_id, "repo", data);
}

/* ---- the ticked set ---- */

int ticks_list(struct core *core, int64_t app_env_id, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      "SELECT branch, deployed_tip, ticked_by AS \"by\", ticked_at AS \"at\" FROM "
                      "ticked WHERE app_env_id=$1 ORDER BY position, branch",
                      "i", app_env_id);
}

json_t *branch_names(const json_t *rows)
{
    json_t *names = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
        json_push(names, json_incref(json_object_get(row, "branch")));
    return names;
}

static int check_branches(const json_t *names, struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (!json_is_string(name) || !str_is_branch(str_of(json_string_value(name))))
            return FAIL(err, E_REF_INVALID, "a branch name in the list is not valid");
    }
    return 0;
}

static int tick_one(struct core *core, const struct person *by, const struct app_env *ae,
                    const char *branch, struct err *err)
{
    if (text_is(branch, ae->trunk))
        return FAIL(err, E_FIELD_INVALID,
                    "'%s' is the trunk: it is always in, tick feature branches", branch);
    int64_t last = 0;
    if (store_one_int(core->store, &last, err,
                      "SELECT coalesce(max(position),0) FROM ticked WHERE app_env_id=$1", "i",
                      ae->id) < 0)
        return -1;
    return store_run(core->store, err,
                     "INSERT INTO ticked(app_env_id, branch, position, ticked_by, ticked_at) "
                     "VALUES($1,$2,$3,$4,$5) ON CONFLICT(app_env_id, branch) DO NOTHING",
                     "ititi", ae->id, branch, last + 1, by->name, clock_wall_ms(core->clock));
}

static int untick_one(struct core *core, const struct app_env *ae, const char *branch,
                      struct err *err)
{
    if (store_run(core->store, err, "DELETE FROM ticked WHERE app_env_id=$1 AND branch=$2", "it",
                  ae->id, branch) < 0)
        return -1;
    if (store_changes(core->store) == 0)
        return FAIL(err, E_BRANCH_UNKNOWN, "'%s' is not ticked in %s", branch, ae->env);
    return 0;
}

static bool json_array_has(const json_t *array, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (text_is(json_string_value(item), text))
            return true;
    }
    return false;
}

/* Replacing keeps the order given, and the history of what stays. */
static int ticks_replace(struct core *core, const struct app_env *ae, const json_t *set,
                         struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (ticks_list(core, ae->id, &rows, err) < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!json_array_has(set, json_text(row, "branch")) &&
            untick_one(core, ae, json_text(row, "branch"), err) < 0)
            return -1;
    }
    return 0;
}

static int reorder(struct core *core, const struct app_env *ae, const json_t *set, struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(set, i, name)
    {
        if (store_run(core->store, err,
                      "UPDATE ticked SET position=$3 WHERE app_env_id=$1 AND branch=$2", "iti",
                      ae->id, json_string_value(name), (int64_t)i + 1) < 0)
            return -1;
    }
    return 0;
}

static int refuse_too_many(struct core *core, const struct app_env *ae, struct err *err)
{
    int64_t count = 0;
    if (store_one_int(core->store, &count, err, "SELECT count(*) FROM ticked WHERE app_env_id=$1",
                      "i", ae->id) < 0)
        return -1;
    if (count > TICKS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d branches ticked in one env: untick some",
                    TICKS_MAX);
    return 0;
}

int ticks_change(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *add, const json_t *remove, const json_t *set, struct err *err)
{
    if (check_branches(add, err) < 0 || check_branches(remove, err) < 0 ||
        check_branches(set, err) < 0)
        return -1;
    if (set && ticks_replace(core, ae, set, err) < 0)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(remove, i, name)
    {
        if (untick_one(core, ae, json_string_value(name), err) < 0)
            return -1;
    }
    json_array_foreach(set ? set : add, i, name)
    {
        if (tick_one(core, by, ae, json_string_value(name), err) < 0)
            return -1;
    }
    if ((set && reorder(core, ae, set, err) < 0) || refuse_too_many(core, ae, err) < 0)
        return -1;
    AUTO_JSON *data = json_object();
    if (json_array_size(set ? set : add))
        json_put(data, set ? "set" : "ticked", json_deep_copy(set ? set : add));
    if (json_array_size(remove))
        json_put(data, "unticked", json_deep_copy(remove));
    return journal_append(core, by->actor, "ticks.changed", ae->subject, ae->id, data, err);
}

int ticks_deployed(struct core *core, int64_t app_env_id, const json_t *ticks, struct err *err)
{
    size_t i;
    json_t *tick;
    if (store_run(core->store, err, "UPDATE ticked SET deployed_tip=NULL WHERE app_env_id=$1", "i",
                  app_env_id) < 0)
        return -1;
    json_array_foreach(ticks, i, tick)
    {
        if (store_run(core->store, err,
                      "UPDATE ticked SET deployed_tip=$3 WHERE app_env_id=$1 AND branch=$2", "itt",
                      app_env_id, json_text(tick, "branch"), json_text(tick, "tip")) < 0)
            return -1;
    }
    return 0;
}

/* ---- domains ---- */

int domains_list(struct core *core, const struct app_env *ae, json_t **ret_names, struct err *err)
{
    AUTO_JSON *names = json_array();
    AUTO_FREE char *own = mem_format("%s.%s.%s", ae->app, ae->env, core->settings->base_domain);
    json_push(names, json_string(own));
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT name FROM domain WHERE app_env_id=$1 ORDER BY name", "i", ae->id) < 0)
        return -1;
    int more;
    while ((more = query_next(&q, err)) > 0)
        json_push(names, json_string(query_text(&q, 0)));
    if (more < 0)
        return -1;
    *ret_names = TAKE(names);
    return 0;
}

/* Where people open the console: a browser would bring an app what it keeps for that name, on
 * whatever port. */
static bool is_console(const struct core *core, const char *name)
{
    return text_is(name, "localhost") || str_ends(str_of(name), ".localhost") ||
           settings_is_public(core->settings, str_of(name));
}

/* Names below base_domain are given by us: nobody may claim another app-env's, or the platform's.
 */
static int claim_domain(struct core *core, const struct app_env *ae, const char *name,
                        struct err *err)
{
    if (!name || !str_is_domain(str_of(name)))
        return FAIL(err, E_DOMAIN_INVALID,
                    "a domain is not valid: use a plain host name, without wildcard, port or path");
    AUTO_FREE char *below = mem_format(".%s", core->settings->base_domain);
    if (str_ends(str_of(name), below) || text_is(name, core->settings->base_domain))
        return FAIL(
            err, E_DOMAIN_TAKEN,
            "'%s' lies below the installation's own domain: those names are given out by slipway",
            name);
    if (is_console(core, name))
        return FAIL(err, E_DOMAIN_TAKEN, "'%s' is where people open the console", name);
    int64_t owner = 0;
    int found = store_one_int(core->store, &owner, err,
                              "SELECT app_env_id FROM domain WHERE name=$1", "t", name);
    if (found < 0)
        return -1;
    if (found == 0 && owner != ae->id)
        return FAIL(err, E_DOMAIN_TAKEN, "'%s' belongs to another app", name);
    return store_run(
        core->store, err,
        "INSERT INTO domain(name, app_env_id) VALUES($1,$2) ON CONFLICT(name) DO NOTHING", "ti",
        name, ae->id);
}

int domains_set(struct core *core, const struct person *by, const struct app_env *ae,
                const json_t *names, struct err *err)
{
    if (json_array_size(names) > DOMAINS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d domains for one app-env", DOMAINS_MAX);
    if (store_run(core->store, err, "DELETE FROM domain WHERE app_env_id=$1", "i", ae->id) < 0)
        return -1;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (claim_domain(core, ae, json_string_value(name), err) < 0)
            return -1;
    }
    AUTO_JSON *data = json_object();
    json_put(data, "domains", json_deep_copy(names));
    return journal_append(core, by->actor, "domains.set", ae->subject, ae->id, data, err);
}

/* ---- what the edge is told ---- */

int app_env_edge_version(struct core *core, struct app_env *ae, struct err *err)
{
    return store_one_int(
        core->store, &ae->edge_version, err,
        "UPDATE app_env SET edge_version=edge_version+1 WHERE id=$1 RETURNING edge_version", "i",
        ae->id);
}

int app_env_route(struct core *core, struct app_env *ae, const char *live_slot,
                  int64_t live_release, int64_t share, struct err *err)
{
    if (store_run(core->store, err,
                  "UPDATE app_env SET live_slot=$2, live_release=$3, share=$4 WHERE id=$1", "itii",
                  ae->id, live_slot, live_release, share) < 0)
        return -1;
    if (app_env_edge_version(core, ae, err) < 0)
        return -1;
    return app_env_load(core, ae->id, ae, err);
}
