/* Roles are rows: what a role may do in which env, or in every one ("*"). A role exists as long as
 * it has a right; giving the first makes it. Those who hold a role feel a change at once, as the
 * gate asks the rows each time. Somebody is always left who may administer: here even root may not
 * take that away, as it would take it from all at once. */
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access_priv.h"
#include "core/journal/journal.h"

#define ROLES_MAX 100

static int permission_check(const char *name, const char *env, struct err *err)
{
    for (int i = PERMISSION_VIEW; i < PERMISSION_COUNT; i++) {
        if (!text_is(name, permission_name((enum permission)i)))
            continue;
        if ((i == PERMISSION_TRUNK || i == PERMISSION_ADMIN) && !text_is(env, "*"))
            return FAIL(err, E_FIELD_INVALID,
                        "the right '%s' reaches into every env: give it without one", name);
        return 0;
    }
    return FAIL(
        err, E_FIELD_INVALID,
        "no such right: it is one of view, branch, trunk, tick, deploy, rollback, secret, app, "
        "admin");
}

static int env_check(struct core *core, const char *env, struct err *err)
{
    int64_t count = 0;
    if (text_is(env, "*"))
        return 0;
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM env WHERE name=$1 AND try_of IS NULL", "t", env) < 0)
        return -1;
    return count ? 0 : FAIL(err, E_FIELD_INVALID, "no such env: 'slipway env ls' lists them");
}

static int role_name_check(struct core *core, const char *role, struct err *err)
{
    int64_t others = 0;
    if (!str_is_name(str_of(role)))
        return FAIL(err, E_NAME_INVALID,
                    "a role's name has 1 to 40 of a-z, 0-9 and '-', and begins with a letter");
    if (store_one_int(core->store, &others, err,
                      "SELECT count(DISTINCT role) FROM role_right WHERE role<>$1", "t", role) < 0)
        return -1;
    return others < ROLES_MAX ? 0 : FAIL(err, E_TOO_MANY, "there are %d roles already", ROLES_MAX);
}

static int note_right(struct core *core, const struct person *by, const char *kind,
                      const char *role, const char *env, const char *permission, struct err *err)
{
    AUTO_FREE char *subject = mem_format("role:%s", role);
    AUTO_JSON *data = json_object();
    json_put_text(data, "env", env);
    json_put_text(data, "permission", permission);
    return journal_append(core, by->actor, kind, subject, 0, data, err);
}

int access_role_allow(struct core *core, const struct person *by, const char *role, const char *env,
                      const char *permission, struct err *err)
{
    if (role_name_check(core, role, err) < 0 || permission_check(permission, env, err) < 0 ||
        env_check(core, env, err) < 0 ||
        store_run(core->store, err,
                  "INSERT INTO role_right(role, env, permission) VALUES($1,$2,$3)"
                  " ON CONFLICT(role, env, permission) DO NOTHING",
                  "ttt", role, env, permission) < 0)
        return -1;
    if (store_changes(core->store) == 0)
        return 0;
    return note_right(core, by, "role.allowed", role, env, permission, err);
}

int access_role_deny(struct core *core, const struct person *by, const char *role, const char *env,
                     const char *permission, struct err *err)
{
    if (permission_check(permission, env, err) < 0 ||
        store_run(core->store, err,
                  "DELETE FROM role_right WHERE role=$1 AND env=$2 AND permission=$3", "ttt", role,
                  env, permission) < 0)
        return -1;
    if (store_changes(core->store) == 0)
        return FAIL(err, E_NOT_FOUND,
                    "the role has no such right there: 'slipway role ls' lists them");
    if (text_is(permission, permission_name(PERMISSION_ADMIN)) && access_admin_left(core, err) < 0)
        return -1;
    return note_right(core, by, "role.denied", role, env, permission, err);
}

int access_rights_like(struct core *core, const char *like, const char *env, int64_t *ret_count,
                       struct err *err)
{
    if (store_run(core->store, err,
                  "INSERT INTO role_right(role, env, permission)"
                  " SELECT role, $2, permission FROM role_right WHERE env=$1"
                  " ON CONFLICT(role, env, permission) DO NOTHING",
                  "tt", like, env) < 0)
        return -1;
    *ret_count = store_changes(core->store);
    return 0;
}
