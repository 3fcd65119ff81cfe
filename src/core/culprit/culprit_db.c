/* The rows of searches. */
#include "base/json.h"
#include "core/culprit/culprit_priv.h"
#include "core/store/store.h"

const char culprit_build_schema[] = "CREATE INDEX culprit_of ON culprit(build_id);";
const char culprit_schema[] =
    "CREATE TABLE culprit(id INTEGER PRIMARY KEY, app_env_id BIGINT NOT NULL, build_id BIGINT NOT "
    "NULL, build BIGINT NOT NULL, state TEXT NOT NULL, pins TEXT NOT NULL, names TEXT NOT NULL, "
    "tried TEXT NOT NULL, culprits TEXT, error TEXT, begun_by TEXT NOT NULL, actor TEXT NOT NULL, "
    "created_at BIGINT NOT NULL, ended_at BIGINT);"
    "CREATE INDEX culprit_build ON culprit(app_env_id, build, id);"
    "CREATE INDEX culprit_running ON culprit(state) WHERE state='running';"
    /* of a search: none of those that people made */
    "ALTER TABLE build ADD COLUMN culprits_of BIGINT;"
    "ALTER TABLE env ADD COLUMN culprits TEXT NOT NULL DEFAULT 'click';";

int culprit_insert(struct core *core, const struct person *by, const struct build *b,
                   const json_t *pins, const json_t *names, int64_t *ret_id, struct err *err)
{
    AUTO_JSON *none = json_array();
    return store_one_int(
        core->store, ret_id, err,
        "INSERT INTO culprit(app_env_id, build_id, build, state, pins, names, tried, begun_by, "
        "actor, created_at) VALUES($1,$2,$3,'running',$4,$5,$6,$7,$8,$9) RETURNING id",
        "iiioootti", b->app_env_id, b->id, b->number, pins, names, none, by->name, by->actor,
        clock_wall_ms(core->clock));
}

int culprit_load(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err,
                          "SELECT id, app_env_id, build, state, pins AS pins_json, names AS "
                          "names_json, tried AS tried_json, begun_by AS \"by\", actor FROM culprit "
                          "WHERE id=$1",
                          "i", id);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such search") : found;
}

int culprit_set_tried(struct core *core, int64_t id, const json_t *tried, struct err *err)
{
    return store_run(core->store, err, "UPDATE culprit SET tried=$2 WHERE id=$1", "io", id, tried);
}

int culprit_set_ended(struct core *core, int64_t id, int state, const json_t *culprits,
                      const json_t *error, struct err *err)
{
    return store_run(core->store, err,
                     "UPDATE culprit SET state=$2, culprits=$3, error=$4, ended_at=$5 WHERE id=$1",
                     "itooi", id, sm_state_name(&culprit_sm, state), culprits, error,
                     clock_wall_ms(core->clock));
}

int culprit_row(struct core *core, int64_t app_env_id, int64_t build, json_t **ret_row,
                struct err *err)
{
    int found = store_row(core->store, ret_row, err,
                          "SELECT id, build, state, tried AS tried_json, culprits AS "
                          "culprits_json, begun_by AS \"by\", created_at AS \"at\", ended_at, "
                          "error AS error_json FROM culprit WHERE app_env_id=$1 AND build=$2 ORDER "
                          "BY id DESC LIMIT 1",
                          "ii", app_env_id, build);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND,
                                      "nobody has searched for the culprits of "
                                      "this build yet")
                               : found;
}

int culprit_known_build(struct core *core, int64_t app_env_id, const char *commit, json_t **ret_row,
                        struct err *err)
{
    return store_row(core->store, ret_row, err,
                     "SELECT number, state, error AS error_json FROM build WHERE app_env_id=$1 AND "
                     "commit_id=$2 AND state IN ('done','failed') ORDER BY id DESC LIMIT 1",
                     "it", app_env_id, commit);
}
