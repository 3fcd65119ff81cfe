/* The rows of releases, rollouts, steps and instances. */
#include "base/json.h"
#include "base/mem.h"
#include "core/release/release_priv.h"
#include "core/secret/secret.h"

const char release_schema[] =
    "CREATE TABLE release(id INTEGER PRIMARY KEY, app_env_id BIGINT NOT NULL, number BIGINT NOT "
    "NULL, artifact TEXT NOT NULL,"
    " build_id BIGINT, config TEXT NOT NULL, secrets TEXT NOT NULL, commit_id TEXT NOT NULL, "
    "branches TEXT NOT NULL,"
    " released_by TEXT NOT NULL, created_at BIGINT NOT NULL, bad BIGINT NOT NULL DEFAULT 0, "
    "UNIQUE(app_env_id, number));"
    "CREATE TABLE rollout(id INTEGER PRIMARY KEY, app_env_id BIGINT NOT NULL, kind BIGINT NOT "
    "NULL, state TEXT NOT NULL,"
    " step BIGINT NOT NULL DEFAULT 0, release BIGINT NOT NULL, release_id BIGINT NOT NULL DEFAULT "
    "0, from_release BIGINT NOT NULL,"
    " from_slot TEXT NOT NULL, to_slot TEXT NOT NULL, cancelled BIGINT NOT NULL DEFAULT 0, request "
    "TEXT NOT NULL, error TEXT,"
    " started_by TEXT NOT NULL, created_at BIGINT NOT NULL, ended_at BIGINT);"
    "CREATE UNIQUE INDEX rollout_active ON rollout(app_env_id) WHERE state IN "
    "('running','reverting');"
    "CREATE INDEX rollout_app_env ON rollout(app_env_id, id);"
    "CREATE TABLE rollout_step(rollout_id BIGINT NOT NULL, position BIGINT NOT NULL, kind TEXT NOT "
    "NULL, text TEXT NOT NULL,"
    " args TEXT NOT NULL, state TEXT NOT NULL, started_at BIGINT, ended_at BIGINT, error TEXT, "
    "PRIMARY KEY(rollout_id, position));"
    "CREATE TABLE instance(name TEXT PRIMARY KEY, app_env_id BIGINT NOT NULL, release BIGINT NOT "
    "NULL, rollout_id BIGINT NOT NULL,"
    " slot TEXT NOT NULL, state TEXT NOT NULL, address TEXT NOT NULL DEFAULT '', port BIGINT NOT "
    "NULL DEFAULT 0,"
    " host_id TEXT NOT NULL DEFAULT 'local', engine TEXT NOT NULL DEFAULT 'sandbox', epoch BIGINT "
    "NOT NULL, expires_at BIGINT,"
    " created_at BIGINT NOT NULL);"
    "CREATE INDEX instance_app_env ON instance(app_env_id);";

const char release_build_schema[] = "CREATE INDEX release_build ON release(build_id);";
const char release_ended_schema[] = "CREATE INDEX rollout_ended ON rollout(ended_at);";

/* ---- rollouts ---- */

int rollout_load(struct core *core, int64_t id, struct rollout *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT id, app_env_id, kind, state, step, release, release_id, from_release, "
                    "from_slot, to_slot, cancelled, started_by FROM rollout WHERE id=$1",
                    "i", id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more < 0)
        return -1;
    if (!more)
        return FAIL(err, E_NOT_FOUND, "no such rollout");
    memset(ret, 0, sizeof(*ret));
    ret->id = query_int(&q, 0);
    ret->app_env_id = query_int(&q, 1);
    ret->kind = (int)query_int(&q, 2);
    ret->step = query_int(&q, 4);
    ret->release = query_int(&q, 5);
    ret->release_id = query_int(&q, 6);
    ret->from_release = query_int(&q, 7);
    (void)snprintf(ret->from_slot, sizeof(ret->from_slot), "%s", query_text(&q, 8));
    (void)snprintf(ret->to_slot, sizeof(ret->to_slot), "%s", query_text(&q, 9));
    ret->cancelled = query_int(&q, 10) != 0;
    (void)snprintf(ret->by, sizeof(ret->by), "%s", query_text(&q, 11));
    return sm_state_from_name(&rollout_sm, query_text(&q, 3), &ret->state, err);
}

int rollout_insert(struct core *core, struct rollout *r, const json_t *request, struct err *err)
{
    return store_one_int(core->store, &r->id, err,
                         "INSERT INTO rollout(app_env_id, kind, state, release, release_id, "
                         "from_release, from_slot, to_slot, request, started_by, created_at)"
                         " VALUES($1,$2,'running',$3,$4,$5,$6,$7,$8,$9,$10) RETURNING id",
                         "iiiiittoti", r->app_env_id, (int64_t)r->kind, r->release, r->release_id,
                         r->from_release, r->from_slot, r->to_slot, request, r->by,
                         clock_wall_ms(core->clock));
}

int rollout_set_state(struct core *core, struct rollout *r, int state, const struct err *reason,
                      struct err *err)
{
    AUTO_JSON *error = reason ? json_from_err(reason) : NULL;
    int64_t ended = sm_is_final(&rollout_sm, state) ? clock_wall_ms(core->clock) : 0;
    r->state = state;
    return store_run(core->store, err,
                     "UPDATE rollout SET state=$2, error=coalesce($3, error), "
                     "ended_at=nullif($4,0), cancelled=$5 WHERE id=$1",
                     "itoii", r->id, sm_state_name(&rollout_sm, state), error, ended,
                     (int64_t)r->cancelled);
}

int rollout_set_step(struct core *core, struct rollout *r, int64_t index, struct err *err)
{
    r->step = index;
    return store_run(core->store, err, "UPDATE rollout SET step=$2, release_id=$3 WHERE id=$1",
                     "iii", r->id, index, r->release_id);
}

/* ---- steps ---- */

void step_done(struct step *s)
{
    json_decref(s->args);
    s->args = NULL;
}

int rollout_append_steps(struct core *core, const struct rollout *r, int64_t first_index,
                         const json_t *steps, struct err *err)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        if (store_run(core->store, err,
                      "INSERT INTO rollout_step(rollout_id, position, kind, text, args, state) "
                      "VALUES($1,$2,$3,$4,$5,'pending')",
                      "iitto", r->id, first_index + (int64_t)i, json_text(step, "kind"),
                      json_text(step, "text"), json_dict(step, "args")) < 0)
            return -1;
    }
    return 0;
}

int step_load(struct core *core, int64_t rollout_id, int64_t index, struct step *ret,
              struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(
            core->store, &q, err,
            "SELECT kind, state, args FROM rollout_step WHERE rollout_id=$1 AND position=$2", "ii",
            rollout_id, index) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1 : STEP_NONE;
    memset(ret, 0, sizeof(*ret));
    ret->rollout_id = rollout_id;
    ret->index = index;
    (void)snprintf(ret->kind, sizeof(ret->kind), "%s", query_text(&q, 0));
    if (sm_state_from_name(&step_sm, query_text(&q, 1), &ret->state, err) < 0)
        return -1;
    return json_parse(str_of(query_text(&q, 2)), &ret->args, err);
}

int step_set_state(struct core *core, struct step *s, int event, const struct err *reason,
                   struct err *err)
{
    int state = 0;
    if (sm_next_checked(&step_sm, s->state, event, &state, err) < 0)
        return -1;
    AUTO_JSON *error = reason ? json_from_err(reason) : NULL;
    int64_t now = clock_wall_ms(core->clock);
    s->state = state;
    if (state == STEP_DOING)
        return store_run(core->store, err,
                         "UPDATE rollout_step SET state='doing', started_at=$3 WHERE rollout_id=$1 "
                         "AND position=$2",
                         "iii", s->rollout_id, s->index, now);
    return store_run(core->store, err,
                     "UPDATE rollout_step SET state=$3, ended_at=$4, error=$5 WHERE rollout_id=$1 "
                     "AND position=$2",
                     "iitio", s->rollout_id, s->index, sm_state_name(&step_sm, state), now, error);
}

int instances_expire(struct core *core, int64_t app_env_id, int64_t expires_at, struct err *err)
{
    return store_run(core->store, err,
                     "UPDATE instance SET expires_at=$2 WHERE app_env_id=$1 AND state='warm' AND "
                     "expires_at IS NULL",
                     "ii", app_env_id, expires_at);
}

int steps_skip_from(struct core *core, int64_t rollout_id, int64_t index, struct err *err)
{
    return store_run(core->store, err,
                     "UPDATE rollout_step SET state='skipped' WHERE rollout_id=$1 AND position>=$2 "
                     "AND state='pending'",
                     "ii", rollout_id, index);
}

int64_t steps_count(struct core *core, int64_t rollout_id)
{
    struct err err = ERR_INIT;
    int64_t count = 0;
    err_ignore(store_one_int(core->store, &count, &err,
                             "SELECT count(*) FROM rollout_step WHERE rollout_id=$1", "i",
                             rollout_id));
    return count;
}

/* ---- releases ---- */

int release_insert(struct core *core, const struct rollout *r, const char *artifact,
                   int64_t build_id, const json_t *config, const char *commit,
                   const json_t *branches, int64_t *ret_id, struct err *err)
{
    AUTO_JSON *secrets = NULL;
    if (secret_versions(core, r->app_env_id, &secrets, err) < 0)
        return -1;
    return store_one_int(core->store, ret_id, err,
                         "INSERT INTO release(app_env_id, number, artifact, build_id, config, "
                         "secrets, commit_id, branches, released_by, created_at)"
                         " VALUES($1,$2,$3,nullif($4,0),$5,$6,$7,$8,$9,$10) RETURNING id",
                         "iitioototi", r->app_env_id, r->release, artifact, build_id, config,
                         secrets, commit, branches, r->by, clock_wall_ms(core->clock));
}

int release_get(struct core *core, int64_t app_env_id, int64_t number, json_t **ret_row,
                struct err *err)
{
    int found = store_row(core->store, ret_row, err,
                          "SELECT id, number, artifact, build_id, config AS config_json, secrets "
                          "AS secrets_json, commit_id AS \"commit\", branches AS branches_json,"
                          " bad AS bad_bool FROM release WHERE app_env_id=$1 AND number=$2",
                          "ii", app_env_id, number);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "there is no release r%lld here", (long long)number);
    return found;
}

/* ---- instances ---- */

int instance_load(struct core *core, const char *name, struct instance *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT name, app_env_id, release, rollout_id, state, slot, address, port FROM "
                    "instance WHERE name=$1",
                    "t", name) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1 : INSTANCE_NONE;
    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->name, sizeof(ret->name), "%s", query_text(&q, 0));
    ret->app_env_id = query_int(&q, 1);
    ret->release = query_int(&q, 2);
    ret->rollout_id = query_int(&q, 3);
    (void)snprintf(ret->slot, sizeof(ret->slot), "%s", query_text(&q, 5));
    (void)snprintf(ret->address, sizeof(ret->address), "%s", query_text(&q, 6));
    ret->port = query_int(&q, 7);
    return sm_state_from_name(&instance_sm, query_text(&q, 4), &ret->state, err);
}

int instance_insert(struct core *core, const struct rollout *r, const char *name, const char *slot,
                    struct err *err)
{
    return store_run(core->store, err,
                     "INSERT INTO instance(name, app_env_id, release, rollout_id, slot, state, "
                     "epoch, created_at) VALUES($1,$2,$3,$4,$5,'starting',$6,$7)"
                     " ON CONFLICT(name) DO NOTHING",
                     "tiiitii", name, r->app_env_id, r->release, r->id, slot, core->epoch,
                     clock_wall_ms(core->clock));
}

int instance_apply(struct core *core, struct instance *i, int event, struct err *err)
{
    int state = 0;
    if (sm_next_checked(&instance_sm, i->state, event, &state, err) < 0)
        return err_wrap(err, "instance '%s'", i->name);
    i->state = state;
    return store_run(core->store, err,
                     "UPDATE instance SET state=$2, expires_at=NULL WHERE name=$1", "tt", i->name,
                     sm_state_name(&instance_sm, state));
}

int instance_set_address(struct core *core, const char *name, const char *address, int64_t port,
                         struct err *err)
{
    return store_run(core->store, err, "UPDATE instance SET address=$2, port=$3 WHERE name=$1",
                     "tti", name, address, port);
}

int instance_set_expiry(struct core *core, const char *name, int64_t expires_at, struct err *err)
{
    return store_run(core->store, err, "UPDATE instance SET expires_at=nullif($2,0) WHERE name=$1",
                     "ti", name, expires_at);
}

int instance_delete(struct core *core, const char *name, struct err *err)
{
    health_forget(name);
    return store_run(core->store, err, "DELETE FROM instance WHERE name=$1 AND state='stopping'",
                     "t", name);
}

int instance_names(struct core *core, int64_t app_env_id, int64_t release, const char *slot,
                   unsigned states, json_t **ret_names, struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_JSON *names = json_array();
    if (store_query(core->store, &q, err,
                    "SELECT name, state, slot FROM instance WHERE app_env_id=$1 AND ($2=0 OR "
                    "release=$2) ORDER BY created_at, name",
                    "ii", app_env_id, release) < 0)
        return -1;
    int more;
    while ((more = query_next(&q, err)) > 0) {
        int state = 0;
        if (sm_state_from_name(&instance_sm, query_text(&q, 1), &state, err) < 0)
            return -1;
        if ((states & (1u << state)) && (!slot || text_is(slot, query_text(&q, 2))))
            json_push(names, json_string(query_text(&q, 0)));
    }
    if (more < 0)
        return -1;
    *ret_names = TAKE(names);
    return 0;
}

const char *instance_short(const char *name)
{
    const char *dot = strchr(name, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return dot ? dot + 1 : name;
}

/* How long the edge waits for an answer of it: as its release's configuration says. `before`, the
 * row before, is most often of the same release. */
static int put_wait(struct core *core, int64_t app_env_id, const json_t *before, json_t *row,
                    struct err *err)
{
    AUTO_JSON *release = NULL;
    int64_t number = json_int(row, "release", 0), wait = json_int(before, "wait_ms", 0);
    if (!before || json_int(before, "release", 0) != number) {
        if (release_get(core, app_env_id, number, &release, err) < 0)
            return -1;
        wait = json_int(json_dict(json_dict(release, "config"), "proxy"), "response_timeout_ms", 0);
    }
    json_put_int(row, "wait_ms", wait);
    return 0;
}

int instance_servers(struct core *core, int64_t app_env_id, json_t **ret_servers, struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, err,
                   "SELECT name, address, port, slot, release, CASE WHEN state='draining' THEN 1 "
                   "ELSE 0 END "
                   "AS drain FROM instance"
                   " WHERE app_env_id=$1 AND state IN ('serving','draining') AND address<>'' ORDER "
                   "BY name",
                   "i", app_env_id) < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        AUTO_FREE char *name = mem_strdup(instance_short(json_text_or(row, "name", "")));
        json_put_text(row, "name", name);
        if (put_wait(core, app_env_id, i ? json_array_get(rows, i - 1) : NULL, row, err) < 0)
            return -1;
    }
    *ret_servers = TAKE(rows);
    return 0;
}

/* ---- rows for people ---- */

#define ROLLOUT_PEOPLE                                                                             \
    "SELECT id, " ROLLOUT_KIND("kind") ", state, step, release, from_release,"                     \
                                       " started_by AS \"by\", created_at AS \"at\", ended_at, "   \
                                       "error AS error_json, request AS "                          \
                                       "request_json, (SELECT b.number FROM release r JOIN build " \
                                       "b ON b.id=r.build_id WHERE "                               \
                                       "r.app_env_id=rollout.app_env_id AND "                      \
                                       "r.number=rollout.from_release) AS from_build FROM "        \
                                       "rollout "

static int add_steps(struct core *core, json_t *row, struct err *err)
{
    json_t *steps = NULL;
    if (store_rows(core->store, &steps, err,
                   "SELECT position AS \"index\", kind, text, state, started_at AS started, "
                   "ended_at AS ended, error AS error_json, args AS args_json"
                   " FROM rollout_step WHERE rollout_id=$1 ORDER BY position",
                   "i", json_int(row, "id", 0)) < 0)
        return -1;
    json_put(row, "steps", steps);
    return 0;
}

int rollout_row(struct core *core, int64_t app_env_id, int64_t id, json_t **ret_row,
                struct err *err)
{
    AUTO_JSON *row = NULL;
    int found = store_row(core->store, &row, err, ROLLOUT_PEOPLE "WHERE id=$1 AND app_env_id=$2",
                          "ii", id, app_env_id);
    if (found < 0)
        return -1;
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "no such rollout");
    if (add_steps(core, row, err) < 0)
        return -1;
    *ret_row = TAKE(row);
    return 0;
}

int rollout_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      ROLLOUT_PEOPLE
                      "WHERE app_env_id=$1 AND ($2=0 OR id<$2) ORDER BY id DESC LIMIT $3",
                      "iii", app_env_id, before, limit);
}

int rollout_active(struct core *core, int64_t app_env_id, json_t **ret_row_or_null, struct err *err)
{
    AUTO_JSON *row = NULL;
    int found = store_row(core->store, &row, err,
                          ROLLOUT_PEOPLE "WHERE app_env_id=$1 AND state IN ('running','reverting')",
                          "i", app_env_id);
    if (found < 0 || (found == 0 && add_steps(core, row, err) < 0))
        return -1;
    *ret_row_or_null = found == 0 ? TAKE(row) : json_null();
    return 0;
}

#define RELEASE_PEOPLE                                                                             \
    "SELECT r.number, r.artifact, r.commit_id AS \"commit\", r.branches AS branches_json, "        \
    "r.released_by AS \"by\", r.created_at AS \"at\", r.bad AS bad_bool,"                          \
    " b.number AS build, r.secrets AS secrets_json FROM release r LEFT JOIN build b ON "           \
    "b.id=r.build_id "

int release_list(struct core *core, int64_t app_env_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err)
{
    return store_rows(
        core->store, ret_rows, err,
        RELEASE_PEOPLE
        "WHERE r.app_env_id=$1 AND ($2=0 OR r.number<$2) ORDER BY r.number DESC LIMIT $3",
        "iii", app_env_id, before, limit);
}

int release_row(struct core *core, int64_t app_env_id, int64_t number, json_t **ret_row,
                struct err *err)
{
    int found =
        store_row(core->store, ret_row, err, RELEASE_PEOPLE "WHERE r.app_env_id=$1 AND r.number=$2",
                  "ii", app_env_id, number);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "there is no release r%lld here", (long long)number);
    return found;
}

#define TARGETS_MAX 5

/* `retain` of what is live; without anything live, and in rows of old, the most there may be. */
static int64_t targets_kept(struct core *core, const struct app_env *ae)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON *live = NULL;
    if (!ae->live_release || release_get(core, ae->id, ae->live_release, &live, &ignored) < 0)
        return TARGETS_MAX;
    int64_t kept = json_int(json_dict(live, "config"), "retain", TARGETS_MAX);
    return kept < 1 || kept > TARGETS_MAX ? TARGETS_MAX : kept;
}

static bool has_number(const json_t *numbers, int64_t number)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)numbers, i, one)
    {
        if (json_integer_value(one) == number)
            return true;
    }
    return false;
}

int release_targets(struct core *core, const struct app_env *ae, json_t **ret_numbers,
                    struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_JSON *numbers = json_array();
    size_t most = (size_t)targets_kept(core, ae);
    /* newest first, and no further than is needed: there may be years of them */
    if (store_query(core->store, &q, err,
                    "SELECT r.release FROM rollout r JOIN release rel ON "
                    "rel.app_env_id=r.app_env_id AND rel.number=r.release AND rel.bad=0 WHERE "
                    "r.app_env_id=$1 AND r.state='done' AND r.release<>$2 ORDER BY r.id DESC",
                    "ii", ae->id, ae->live_release) < 0)
        return -1;
    int more = 1;
    while (json_array_size(numbers) < most && (more = query_next(&q, err)) > 0)
        if (!has_number(numbers, query_int(&q, 0)))
            json_push(numbers, json_integer(query_int(&q, 0)));
    if (more < 0)
        return -1;
    *ret_numbers = TAKE(numbers);
    return 0;
}

int release_instances(struct core *core, const struct app_env *ae, int64_t number,
                      int64_t *ret_count, struct err *err)
{
    AUTO_JSON *release = NULL;
    if (release_get(core, ae->id, number, &release, err) < 0)
        return -1;
    *ret_count = json_int(json_dict(release, "config"), "instances", 1);
    return 0;
}

int instance_list(struct core *core, int64_t app_env_id, json_t **ret_rows, struct err *err)
{
    if (store_rows(core->store, ret_rows, err,
                   "SELECT name, release, slot, state, address, port, host_id AS host, expires_at, "
                   "created_at AS since FROM instance WHERE app_env_id=$1 ORDER BY name",
                   "i", app_env_id) < 0)
        return -1;
    health_put(*ret_rows);
    return 0;
}
