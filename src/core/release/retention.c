/* Retention: which artifacts and secret versions may still be needed. Kept are those of the live
 * release, of the rollback targets, of rollouts under way and of instances that exist; host keeps
 * what is younger than an hour besides, and what runs, whatever we say. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/link/link.h"
#include "core/release/release_priv.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"

#define RETENTION_MS 600000

static int push_artifact(struct core *core, int64_t app_env_id, int64_t number, json_t *keep,
                         struct err *err)
{
    AUTO_JSON *row = NULL;
    int found = store_row(core->store, &row, err,
                          "SELECT artifact FROM release WHERE app_env_id=$1 AND number=$2", "ii",
                          app_env_id, number);
    if (found == 0)
        json_push(keep, json_incref(json_object_get(row, "artifact")));
    return found < 0 ? -1 : 0;
}

static int keep_targets(struct core *core, int64_t app_env_id, json_t *keep, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *numbers = NULL;
    if (app_env_load(core, app_env_id, &ae, err) < 0 ||
        release_targets(core, &ae, &numbers, err) < 0 ||
        push_artifact(core, ae.id, ae.live_release, keep, err) < 0)
        return -1;
    size_t i;
    json_t *number;
    json_array_foreach(numbers, i, number)
    {
        if (push_artifact(core, ae.id, json_integer_value(number), keep, err) < 0)
            return -1;
    }
    return 0;
}

static int keep_in_use(struct core *core, json_t *keep, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(
            core->store, &q, err,
            "SELECT r.artifact FROM release r JOIN instance i ON i.app_env_id=r.app_env_id AND "
            "i.release=r.number UNION SELECT r.artifact FROM release r JOIN rollout o ON "
            "o.app_env_id=r.app_env_id AND o.state IN ('running','reverting') AND r.number IN "
            "(o.release, o.from_release)",
            "") < 0)
        return -1;
    int more;
    while ((more = query_next(&q, err)) > 0)
        json_push(keep, json_string(query_text(&q, 0)));
    return more < 0 ? -1 : 0;
}

static int keep_list(struct core *core, json_t *keep, struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, err, "SELECT id FROM app_env", "") < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (keep_targets(core, json_int(row, "id", 0), keep, err) < 0)
            return -1;
    }
    return keep_in_use(core, keep, err);
}

static void on_removed(void *context, json_t *ok, const struct err *error)
{
    (void)context;
    if (error)
        log_warn("old artifacts could not be removed, trying again after the next rollout",
                 F_ERR(error));
    else if (json_int(ok, "removed", 0) > 0)
        log_info("old artifacts removed", F_INT("count", json_int(ok, "removed", 0)),
                 F_INT("bytes", json_int(ok, "bytes", 0)));
}

struct letting_go {
    struct core *core;
    json_t *args;
};

static void drop(void *context)
{
    struct letting_go *l = context;
    json_decref(l->args);
    free(l);
}

static void tell_host(void *context, const struct err *error)
{
    struct letting_go *l = context;
    if (!error)
        link_call(l->core->host, "retention", json_incref(l->args), RETENTION_MS, on_removed, NULL);
    drop(l);
}

static int retain_secrets(struct core *core, int64_t app_env_id, struct err *err)
{
    AUTO_JSON *rows = NULL;
    AUTO_JSON *frozen = json_array();
    if (store_rows(core->store, &rows, err,
                   "SELECT secrets AS secrets_json FROM release WHERE app_env_id=$1 ORDER BY "
                   "number DESC LIMIT 100",
                   "i", app_env_id) < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) json_push(frozen, json_incref(json_dict(row, "secrets")));
    return secret_retain(core, app_env_id, frozen, err);
}

/* ---- the refs of builds ---- */

#define NEWEST_BUILDS 20

/* The commits of all releases of the app that are live, or may be again: one env's release may have
 * been built in another. */
static int push_commit(struct core *core, int64_t app_env_id, int64_t number, json_t *commits,
                       struct err *err)
{
    AUTO_JSON *row = NULL;
    int found = store_row(core->store, &row, err,
                          "SELECT commit_id FROM release WHERE app_env_id=$1 AND number=$2", "ii",
                          app_env_id, number);
    if (found == 0)
        json_put_bool(commits, json_text_or(row, "commit_id", ""), true);
    return found < 0 ? -1 : 0;
}

static int commits_of(struct core *core, int64_t app_env_id, json_t *commits, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *targets = NULL;
    AUTO_JSON *used = NULL;
    size_t i;
    json_t *one;
    if (app_env_load(core, app_env_id, &ae, err) < 0 ||
        release_targets(core, &ae, &targets, err) < 0 ||
        push_commit(core, ae.id, ae.live_release, commits, err) < 0 ||
        store_rows(core->store, &used, err,
                   "SELECT release AS n FROM instance WHERE app_env_id=$1 UNION SELECT release AS "
                   "n FROM rollout WHERE app_env_id=$1 AND state IN ('running','reverting')",
                   "i", ae.id) < 0)
        return -1;
    json_array_foreach(used, i, one) json_push(targets, json_integer(json_int(one, "n", 0)));
    json_array_foreach(targets, i, one)
    {
        if (push_commit(core, ae.id, json_integer_value(one), commits, err) < 0)
            return -1;
    }
    return 0;
}

static int commits_of_app(struct core *core, int64_t app_id, json_t *commits, struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, err, "SELECT id FROM app_env WHERE app_id=$1", "i", app_id) <
        0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        if (commits_of(core, json_int(row, "id", 0), commits, err) < 0)
            return -1;
    }
    return 0;
}

static void on_refs(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok;
    if (error && error->kind != E_ROLE_DOWN)
        log_warn("refs of old builds could not be removed, trying again after the next build",
                 F_ERR(error));
}

static void tell_courier(void *context, const struct err *error)
{
    struct letting_go *l = context;
    if (!error)
        link_call(l->core->courier, "ref.retain", json_incref(l->args), RETENTION_MS, on_refs,
                  NULL);
    drop(l);
}

int retention_refs(struct core *core, int64_t app_env_id, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *commits = json_object();
    AUTO_JSON *builds = NULL;
    json_t *keep = json_array(), *build;
    AUTO_JSON *args = json_object();
    size_t i;
    json_put(args, "keep", keep);
    if (app_env_load(core, app_env_id, &ae, err) < 0 ||
        commits_of_app(core, ae.app_id, commits, err) < 0 ||
        store_rows(core->store, &builds, err,
                   "SELECT number, state, commit_id FROM build WHERE app_env_id=$1 ORDER BY number "
                   "DESC",
                   "i", ae.id) < 0)
        return -1;
    json_array_foreach(builds, i, build)
    {
        const char *state = json_text_or(build, "state", "");
        if (i < NEWEST_BUILDS || text_is(state, "queued") || text_is(state, "running") ||
            json_object_get(commits, json_text_or(build, "commit_id", "")))
            json_push(keep, json_integer(json_int(build, "number", 0)));
    }
    if (json_array_size(builds) == json_array_size(keep))
        return 0; /* nothing goes */
    json_put_text(args, "app", ae.app);
    json_put_text(args, "env", ae.env);
    json_put_int(args, "newest", json_int(json_array_get(builds, 0), "number", 0));
    struct letting_go *l = mem_alloc(sizeof(*l));
    *l = (struct letting_go){core, TAKE(args)};
    tick_after(core->tick, tell_courier, drop, l);
    return 0;
}

int retention_after(struct core *core, int64_t app_env_id, struct err *err)
{
    AUTO_JSON *keep = json_array();
    if (retain_secrets(core, app_env_id, err) < 0 || keep_list(core, keep, err) < 0)
        return -1;
    struct letting_go *l = mem_alloc(sizeof(*l));
    *l = (struct letting_go){core, json_object()};
    json_put(l->args, "keep", TAKE(keep));
    tick_after(core->tick, tell_host, drop, l);
    return 0;
}
