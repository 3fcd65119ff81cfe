/* Grants: which roles a person has, for which app and env; and the matrix of what roles may do. An
 * installation always keeps somebody who may administer it; only root on the unix socket, who can
 * invite a new one, may take away the last. */
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access_priv.h"

int access_role_check(struct core *core, const char *role, struct err *err)
{
    int64_t count = 0;
    AUTO_QUERY q = {0};
    AUTO_BUF names = BUF_INIT(200);
    if (role && store_one_int(core->store, &count, err,
                              "SELECT count(*) FROM role_right WHERE role=$1", "t", role) < 0)
        return -1;
    if (count > 0)
        return 0;
    if (store_query(core->store, &q, err, "SELECT DISTINCT role FROM role_right ORDER BY role",
                    "") < 0 ||
        access_join_names(&q, &names, err) < 0)
        return -1;
    return FAIL(err, E_FIELD_INVALID, "no such role: it is one of %s", names.data);
}

int access_grant_put(struct core *core, int64_t person_id, const char *role, int64_t app_id,
                     int64_t env_id, const char *by, bool *ret_new, struct err *err)
{
    if (store_run(core->store, err,
                  "INSERT INTO person_grant(person_id, role, app_id, env_id, granted_by,"
                  " granted_at) VALUES($1,$2,$3,$4,$5,$6)"
                  " ON CONFLICT(person_id, role, app_id, env_id) DO NOTHING",
                  "itiiti", person_id, role, app_id, env_id, by, clock_wall_ms(core->clock)) < 0)
        return -1;
    *ret_new = store_changes(core->store) > 0;
    return 0;
}

int access_keep_admin(struct core *core, const struct person *by, struct err *err)
{
    return by->id == 0 ? 0 : access_admin_left(core, err);
}

int access_admin_left(struct core *core, struct err *err)
{
    int64_t admins = 0;
    if (store_one_int(core->store, &admins, err,
                      "SELECT count(*) FROM person_grant g JOIN role_right r ON r.role=g.role"
                      " JOIN person p ON p.id=g.person_id WHERE g.app_id=0 AND g.env_id=0"
                      " AND r.env='*' AND r.permission='admin' AND p.password IS NOT NULL",
                      "") < 0)
        return -1;
    if (admins == 0)
        return FAIL(err, E_STATE_CONFLICT,
                    "this would leave nobody who may administer the installation: make another "
                    "admin first");
    return 0;
}

int access_apps_named(struct core *core, const struct person *p, json_t **ret_ids, struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_JSON *ids = json_array();
    int more;
    json_push(ids, json_integer(p->token_app_id));
    if (store_query(core->store, &q, err,
                    "SELECT DISTINCT app_id FROM person_grant WHERE person_id=$1", "i", p->id) < 0)
        return -1;
    while ((more = query_next(&q, err)) > 0)
        json_push(ids, json_integer(query_int(&q, 0)));
    if (more < 0)
        return -1;
    *ret_ids = TAKE(ids);
    return 0;
}

int access_people_who_may(struct core *core, enum permission permission, int64_t app_id,
                          int64_t env_id, int64_t limit, json_t **ret_names, struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_JSON *names = json_array();
    int more;
    if (store_query(core->store, &q, err,
                    "SELECT DISTINCT p.name FROM person p JOIN person_grant g ON g.person_id=p.id"
                    " JOIN role_right r ON r.role=g.role WHERE r.permission=$1"
                    " AND (r.env='*' OR r.env=(SELECT name FROM env WHERE id=$3))"
                    " AND (g.app_id=0 OR g.app_id=$2) AND (g.env_id=0 OR g.env_id=$3)"
                    " AND p.password IS NOT NULL ORDER BY p.name LIMIT $4",
                    "tiii", permission_name(permission), app_id, env_id, limit) < 0)
        return -1;
    while ((more = query_next(&q, err)) > 0)
        json_push(names, json_string(query_text(&q, 0)));
    if (more < 0)
        return -1;
    *ret_names = TAKE(names);
    return 0;
}

int access_scope_row(struct core *core, int64_t app_id, int64_t env_id, json_t **ret_row,
                     struct err *err)
{
    return store_row(core->store, ret_row, err,
                     "SELECT (SELECT name FROM app WHERE id=$1) AS app,"
                     " (SELECT name FROM env WHERE id=$2) AS env",
                     "ii", app_id, env_id);
}

static int note_grant(struct core *core, const struct person *by, const char *kind,
                      const char *name, const char *role, int64_t app_id, int64_t env_id,
                      struct err *err)
{
    AUTO_JSON *data = NULL;
    if (access_scope_row(core, app_id, env_id, &data, err) < 0)
        return -1;
    json_put_text(data, "role", role);
    return access_note(core, by->actor, kind, name, data, err);
}

int access_grant(struct core *core, const struct person *by, const char *name, const char *role,
                 int64_t app_id, int64_t env_id, struct err *err)
{
    int64_t id;
    bool is_new;
    if (access_person_find(core, name, &id, err) < 0 || access_role_check(core, role, err) < 0 ||
        access_grant_put(core, id, role, app_id, env_id, by->name, &is_new, err) < 0)
        return -1;
    return is_new ? note_grant(core, by, "grant.added", name, role, app_id, env_id, err) : 0;
}

int access_revoke(struct core *core, const struct person *by, const char *name, const char *role,
                  int64_t app_id, int64_t env_id, struct err *err)
{
    int64_t id;
    if (access_person_find(core, name, &id, err) < 0 ||
        store_run(core->store, err,
                  "DELETE FROM person_grant WHERE person_id=$1 AND role=$2 AND app_id=$3"
                  " AND env_id=$4",
                  "itii", id, role, app_id, env_id) < 0)
        return -1;
    if (store_changes(core->store) ==
        0) /* a role that lost its last right can still be taken away */
        return access_role_check(core, role, err) < 0
                   ? -1
                   : FAIL(err, E_NOT_FOUND, "'%s' has no such grant", name);
    if (access_keep_admin(core, by, err) < 0)
        return -1;
    return note_grant(core, by, "grant.removed", name, role, app_id, env_id, err);
}

int access_forget_app(struct core *core, int64_t app_id, struct err *err)
{
    if (store_run(core->store, err, "DELETE FROM person_grant WHERE app_id=$1", "i", app_id) < 0)
        return -1;
    return store_run(core->store, err, "DELETE FROM token WHERE app_id=$1", "i", app_id);
}

/* ---- lists ---- */

#define GRANT_ROWS                                                                                 \
    "SELECT p.name AS \"user\", g.role, a.name AS app, e.name AS env"                              \
    " FROM person_grant g JOIN person p ON p.id=g.person_id"                                       \
    " LEFT JOIN app a ON a.id=g.app_id LEFT JOIN env e ON e.id=g.env_id"                           \
    " ORDER BY p.name, g.role, a.name, e.name"

/* The list that stands in `lists` under this name, made when absent. */
static json_t *list_of(json_t *lists, const char *name)
{
    json_t *list = json_object_get(lists, name);
    if (!list) {
        list = json_array();
        json_put(lists, name, list);
    }
    return list;
}

/* {"wang": [{"role","app","env"}]} */
static int grants_by_person(struct core *core, json_t **ret_lists, struct err *err)
{
    AUTO_JSON *rows = NULL;
    json_t *lists = json_object(), *row;
    size_t i;
    if (store_rows(core->store, &rows, err, GRANT_ROWS, "") < 0) {
        json_decref(lists);
        return -1;
    }
    json_array_foreach(rows, i, row)
    {
        json_push(list_of(lists, json_text(row, "user")), json_incref(row));
        (void)json_object_del(row, "user"); /* the key above it says so */
    }
    *ret_lists = lists;
    return 0;
}

int access_person_list(struct core *core, json_t **ret_rows, struct err *err)
{
    AUTO_JSON *rows = NULL, *grants = NULL;
    json_t *row;
    size_t i;
    if (store_rows(core->store, &rows, err,
                   "SELECT name, created_at, CASE WHEN password IS NULL THEN 1 ELSE 0 END AS"
                   " invited_bool FROM person ORDER BY name",
                   "") < 0 ||
        grants_by_person(core, &grants, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        json_put(row, "grants", json_incref(list_of(grants, json_text(row, "name"))));
    }
    *ret_rows = TAKE(rows);
    return 0;
}

static json_t *permission_list(void)
{
    json_t *names = json_array();
    for (int i = PERMISSION_VIEW; i < PERMISSION_COUNT; i++)
        json_push(names, json_string(permission_name((enum permission)i)));
    return names;
}

/* {"ops": {"*": [permissions]}} */
static json_t *role_tree(const json_t *rights)
{
    json_t *roles = json_object(), *row;
    size_t i;
    json_array_foreach(rights, i, row)
    {
        json_t *envs = json_object_get(roles, json_text(row, "role"));
        if (!envs) {
            envs = json_object();
            json_put(roles, json_text(row, "role"), envs);
        }
        json_push(list_of(envs, json_text(row, "env")),
                  json_incref(json_object_get(row, "permission")));
    }
    return roles;
}

static json_t *column(const json_t *rows, const char *name)
{
    json_t *values = json_array(), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        json_push(values, json_incref(json_object_get(row, name)));
    }
    return values;
}

int access_matrix(struct core *core, json_t **ret_reply, struct err *err)
{
    AUTO_JSON *rights = NULL, *envs = NULL, *grants = NULL;
    if (store_rows(core->store, &rights, err,
                   "SELECT role, env, permission FROM role_right ORDER BY role, env, permission",
                   "") < 0 ||
        store_rows(core->store, &envs, err,
                   "SELECT name FROM env WHERE try_of IS NULL ORDER BY position, id", "") < 0 ||
        store_rows(core->store, &grants, err, GRANT_ROWS, "") < 0)
        return -1;
    json_t *reply = json_object();
    json_put(reply, "permissions", permission_list());
    json_put(reply, "envs", column(envs, "name"));
    json_put(reply, "roles", role_tree(rights));
    json_put(reply, "grants", TAKE(grants));
    *ret_reply = reply;
    return 0;
}
