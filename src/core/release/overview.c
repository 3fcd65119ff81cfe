/* What runs where, of all app-envs at once: four statements, however many there are. The rows of
 * each are joined here, by the app-env's id. */
#include "base/json.h"
#include "base/mem.h"
#include "core/release/release_priv.h"

/* The row of that id among rows in the order of ids; NULL: none. */
static json_t *row_of(const json_t *rows, int64_t id)
{
    size_t low = 0, high = json_array_size(rows);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int64_t found = json_int(json_array_get(rows, middle), "id", 0);
        if (found == id)
            return json_array_get(rows, middle);
        if (found < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static json_t *no_instances(void)
{
    static const char *const names[] = {"serving", "ready", "total", "unhealthy"};
    json_t *counts = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        json_put_int(counts, names[i], 0);
    return counts;
}

static int read_releases(struct core *core, json_t **ret_rows, struct err *err)
{
    size_t i;
    json_t *row;
    if (store_rows(core->store, ret_rows, err,
                   "SELECT ae.id, ae.app_id, ae.env_id, e.name AS env, ae.live_release AS release,"
                   " b.number AS build, r.created_at AS \"at\", r.released_by AS \"by\","
                   " coalesce(r.bad,0) AS bad_bool, coalesce(r.branches,'[]') AS branches_json"
                   " FROM app_env ae JOIN env e ON e.id=ae.env_id AND e.try_of IS NULL"
                   " LEFT JOIN release r ON r.app_env_id=ae.id AND r.number=ae.live_release"
                   " LEFT JOIN build b ON b.id=r.build_id ORDER BY ae.id",
                   "") < 0)
        return -1;
    json_array_foreach(*ret_rows, i, row)
    {
        json_put_int(row, "branches", (int64_t)json_array_size(json_list(row, "branches")));
        json_put(row, "instances", no_instances());
        json_put(row, "rollout", json_null());
        json_put(row, "last", json_null());
    }
    return 0;
}

static void count_up(json_t *counts, const char *name)
{
    json_put_int(counts, name, json_int(counts, name, 0) + 1);
}

static int count_instances(struct core *core, const json_t *rows, struct err *err)
{
    AUTO_QUERY q = {0};
    int more;
    if (store_query(core->store, &q, err,
                    "SELECT app_env_id, name, state FROM instance WHERE state<>'warm'", "") < 0)
        return -1;
    while ((more = query_next(&q, err)) > 0) {
        json_t *counts = json_object_get(row_of(rows, query_int(&q, 0)), "instances");
        if (!counts)
            continue;
        count_up(counts, "total");
        if (text_is(query_text(&q, 2), "serving"))
            count_up(counts, "serving");
        if (text_is(query_text(&q, 2), "ready"))
            count_up(counts, "ready");
        if (health_is_bad(query_text(&q, 1)))
            count_up(counts, "unhealthy");
    }
    return more;
}

static const char active_sql[] = "SELECT r.app_env_id, r.id, " ROLLOUT_KIND(
    "r.kind") ", r.state, r.release, r.step,"
              " (SELECT count(*) FROM rollout_step s WHERE s.rollout_id=r.id) AS steps,"
              " r.created_at AS \"at\", r.started_by AS \"by\""
              " FROM rollout r WHERE r.state IN ('running','reverting')";
static const char last_sql[] = "SELECT r.app_env_id, r.id, " ROLLOUT_KIND(
    "r.kind") ", r.state, r.release, r.created_at AS \"at\", r.ended_at,"
              " r.started_by AS \"by\", r.error AS error_json FROM app_env ae JOIN rollout r ON "
              "r.id="
              "(SELECT l.id FROM rollout l WHERE l.app_env_id=ae.id AND l.ended_at IS NOT NULL"
              " ORDER BY l.id DESC LIMIT 1)";

static int put_rollouts(struct core *core, const char *sql, const char *name, const json_t *rows,
                        struct err *err)
{
    AUTO_JSON *rollouts = NULL;
    size_t i;
    json_t *rollout;
    if (store_rows(core->store, &rollouts, err, sql, "") < 0)
        return -1;
    json_array_foreach(rollouts, i, rollout)
    {
        json_t *row = row_of(rows, json_int(rollout, "app_env_id", 0));
        (void)json_object_del(rollout, "app_env_id");
        if (row)
            json_put(row, name, json_incref(rollout));
    }
    return 0;
}

int release_overview(struct core *core, json_t **ret_rows, struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (read_releases(core, &rows, err) < 0 || count_instances(core, rows, err) < 0 ||
        put_rollouts(core, active_sql, "rollout", rows, err) < 0 ||
        put_rollouts(core, last_sql, "last", rows, err) < 0)
        return -1;
    *ret_rows = TAKE(rows);
    return 0;
}
