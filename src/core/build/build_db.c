/* The rows of builds. */
#include "base/json.h"
#include "core/build/build_priv.h"

const char build_schema[] =
    "CREATE TABLE build(id INTEGER PRIMARY KEY, app_env_id BIGINT NOT NULL, number BIGINT NOT "
    "NULL, state TEXT NOT NULL,"
    " built_by TEXT NOT NULL, created_at BIGINT NOT NULL, ended_at BIGINT, commit_id TEXT NOT "
    "NULL, trunk_tip TEXT NOT NULL,"
    " ticks TEXT NOT NULL, config TEXT NOT NULL, same_as BIGINT, artifact TEXT NOT NULL DEFAULT "
    "'', result TEXT, error TEXT,"
    " UNIQUE(app_env_id, number));"
    "CREATE INDEX build_open ON build(state) WHERE state IN ('queued','running');";

const char build_ended_schema[] = "CREATE INDEX build_ended ON build(ended_at);";
const char build_commit_schema[] = "CREATE INDEX build_commit ON build(commit_id);";
const char build_integrate_schema[] = "ALTER TABLE build ADD COLUMN integrate_ms BIGINT;"
                                      "ALTER TABLE build ADD COLUMN left_out TEXT;";

const char build_resolutions_schema[] = "ALTER TABLE build ADD COLUMN resolutions TEXT;";

#define COLUMNS "SELECT id, app_env_id, number, state, commit_id, artifact FROM build "

static int read_build(struct query *q, struct build *ret, struct err *err)
{
    int more = query_next(q, err);
    if (more < 0)
        return -1;
    if (!more)
        return FAIL(err, E_NOT_FOUND, "no such build");
    memset(ret, 0, sizeof(*ret));
    ret->id = query_int(q, 0);
    ret->app_env_id = query_int(q, 1);
    ret->number = query_int(q, 2);
    (void)snprintf(ret->commit, sizeof(ret->commit), "%s", query_text(q, 4));
    (void)snprintf(ret->artifact, sizeof(ret->artifact), "%s", query_text(q, 5));
    return sm_state_from_name(&build_sm, query_text(q, 3), &ret->state, err);
}

int build_load(struct core *core, int64_t id, struct build *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, COLUMNS "WHERE id=$1", "i", id) < 0)
        return -1;
    return read_build(&q, ret, err);
}

int build_find(struct core *core, int64_t app_env_id, int64_t number, struct build *ret,
               struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, COLUMNS "WHERE app_env_id=$1 AND number=$2", "ii",
                    app_env_id, number) < 0)
        return -1;
    return read_build(&q, ret, err);
}

#define PEOPLE                                                                                     \
    "SELECT id, number, state, built_by AS \"by\", created_at AS \"at\", ended_at, commit_id AS "  \
    "\"commit\", trunk_tip, integrate_ms,"                                                         \
    " ticks AS ticks_json, left_out AS left_out_json, resolutions AS resolutions_json, "           \
    "culprits_of, same_as, "                                                                       \
    "artifact, result AS result_json, "                                                            \
    "error AS error_json FROM "                                                                    \
    "build "

int build_people_row(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err, PEOPLE "WHERE id=$1", "i", id);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "no such build");
    return found;
}

int build_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
               json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      PEOPLE
                      "WHERE app_env_id=$1 AND ($2=0 OR number<$2) ORDER BY number DESC LIMIT $3",
                      "iii", app_env_id, before, limit);
}

int build_insert(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *source, int64_t *ret_id, struct err *err)
{
    int64_t number = 0;
    int64_t same = 0;
    const char *commit = json_text_or(source, "commit", "");
    if (store_one_int(core->store, &number, err,
                      "SELECT coalesce(max(number),0)+1 FROM build WHERE app_env_id=$1", "i",
                      ae->id) < 0)
        return -1;
    if (store_one_int(core->store, &same, err,
                      "SELECT coalesce(max(number),0) FROM build WHERE app_env_id=$1 AND "
                      "commit_id=$2 AND state='done'",
                      "it", ae->id, commit) < 0)
        return -1;
    return store_one_int(core->store, ret_id, err,
                         "INSERT INTO build(app_env_id, number, state, built_by, created_at, "
                         "commit_id, trunk_tip, ticks, config, same_as, integrate_ms, left_out, "
                         "resolutions, culprits_of)"
                         " VALUES($1,$2,'queued',$3,$4,$5,$6,$7,$8,nullif($9,0),nullif($10,-1),$11,"
                         "$12,nullif($13,0)) "
                         "RETURNING id",
                         "iitittooiiooi", ae->id, number, by->name, clock_wall_ms(core->clock),
                         commit, json_text_or(source, "trunk_tip", ""), json_list(source, "ticks"),
                         json_dict(source, "config"), same, json_int(source, "ms", -1),
                         json_list(source, "left_out"), json_list(source, "resolutions"),
                         json_int(source, "culprits_of", 0));
}

int build_set_state(struct core *core, struct build *b, int state, struct err *err)
{
    b->state = state;
    int64_t now = sm_is_final(&build_sm, state) ? clock_wall_ms(core->clock) : 0;
    return store_run(core->store, err,
                     "UPDATE build SET state=$2, ended_at=nullif($3,0) WHERE id=$1", "iti", b->id,
                     sm_state_name(&build_sm, state), now);
}

int build_set_result(struct core *core, const struct build *b, const char *artifact,
                     const json_t *result, const json_t *error, struct err *err)
{
    return store_run(core->store, err,
                     "UPDATE build SET artifact=$2, result=$3, error=$4 WHERE id=$1", "itoo", b->id,
                     artifact ? artifact : "", result, error);
}

int build_resolutions(struct core *core, const char *commit, json_t **ret_used, struct err *err)
{
    AUTO_JSON *row = NULL;
    int found =
        store_row(core->store, &row, err,
                  "SELECT resolutions AS resolutions_json FROM build WHERE commit_id=$1 AND "
                  "resolutions IS NOT NULL ORDER BY id DESC LIMIT 1",
                  "t", commit);
    if (found < 0)
        return -1;
    json_t *used = found == STORE_NONE ? NULL : json_list(row, "resolutions");
    *ret_used = used ? json_incref(used) : json_array();
    return 0;
}

int build_config(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err,
                          "SELECT config AS config_json, ticks AS ticks_json, trunk_tip, "
                          "commit_id, built_by, created_at, number FROM build WHERE id=$1",
                          "i", id);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "no such build");
    return found;
}
