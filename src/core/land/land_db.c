/* The rows of landings. */
#include "base/json.h"
#include "core/land/land_priv.h"

const char land_schema[] =
    "CREATE TABLE landing(id INTEGER PRIMARY KEY, app_id BIGINT NOT NULL, app_env_id BIGINT NOT "
    "NULL, release BIGINT NOT NULL, commit_id TEXT NOT NULL, branches TEXT NOT NULL, tag TEXT NOT "
    "NULL, state TEXT NOT NULL, landed_by TEXT NOT NULL, actor TEXT NOT NULL, created_at BIGINT "
    "NOT NULL, ended_at BIGINT, result TEXT, error TEXT);"
    "CREATE UNIQUE INDEX landing_doing ON landing(app_id) WHERE state='doing';"
    "CREATE INDEX landing_app ON landing(app_id, id);";

int landing_insert(struct core *core, const struct person *by, const struct app *app,
                   const json_t *what, int64_t *ret_id, struct err *err)
{
    int64_t doing = 0;
    if (store_one_int(core->store, &doing, err,
                      "SELECT count(*) FROM landing WHERE app_id=$1 AND state IN ('doing','asked')",
                      "i", app->id) < 0)
        return -1;
    if (doing)
        return FAIL(err, E_STATE_CONFLICT, "'%s' is being landed, or waits for its merge request",
                    app->name);
    return store_one_int(
        core->store, ret_id, err,
        "INSERT INTO landing(app_id, app_env_id, release, commit_id, branches, tag, state, "
        "landed_by, actor, created_at) VALUES($1,$2,$3,$4,$5,$6,'doing',$7,$8,$9) RETURNING id",
        "iiitottti", app->id, json_int(what, "app_env_id", 0), json_int(what, "release", 0),
        json_text_or(what, "commit", ""), json_list(what, "branches"),
        json_text_or(what, "tag", ""), by->name, by->actor, clock_wall_ms(core->clock));
}

int landing_load(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err,
                          "SELECT id, app_id, app_env_id, release, commit_id AS \"commit\", "
                          "branches AS branches_json, tag, state, actor FROM landing WHERE id=$1",
                          "i", id);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such landing") : found;
}

int landing_set_ended(struct core *core, int64_t id, int state, const json_t *result,
                      const json_t *error, struct err *err)
{
    return store_run(core->store, err,
                     "UPDATE landing SET state=$2, ended_at=$3, result=$4, error=$5, "
                     "tag=coalesce($6, tag) WHERE id=$1",
                     "itioot", id, sm_state_name(&landing_sm, state), clock_wall_ms(core->clock),
                     result, error, result ? json_text_or(result, "tag", "") : NULL);
}

int landing_set_asked(struct core *core, int64_t id, const json_t *result, struct err *err)
{
    return store_run(core->store, err, "UPDATE landing SET state='asked', result=$2 WHERE id=$1",
                     "io", id, result);
}

int landing_was(struct core *core, int64_t app_env_id, int64_t release, bool *ret_was,
                struct err *err)
{
    int64_t count = 0;
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM landing WHERE app_env_id=$1 AND release=$2 AND "
                      "state='done'",
                      "ii", app_env_id, release) < 0)
        return -1;
    *ret_was = count > 0;
    return 0;
}

#define PEOPLE                                                                                     \
    "SELECT l.id, e.name AS env, l.release, l.commit_id AS \"commit\", l.branches AS "             \
    "branches_json, l.tag, l.state, l.landed_by AS \"by\", l.created_at AS \"at\", l.ended_at, "   \
    "l.result AS result_json, l.error AS error_json FROM landing l JOIN app_env ae ON "            \
    "ae.id=l.app_env_id JOIN env e ON e.id=ae.env_id "

int landing_row(struct core *core, int64_t app_id, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err, PEOPLE "WHERE l.app_id=$1 AND l.id=$2", "ii",
                          app_id, id);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such landing") : found;
}

int landing_list(struct core *core, int64_t app_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      PEOPLE "WHERE l.app_id=$1 AND ($2=0 OR l.id<$2) ORDER BY l.id DESC LIMIT $3",
                      "iii", app_id, before, limit);
}
