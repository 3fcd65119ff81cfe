/* Does the master key that we were given belong to this store? A value sealed for an app-env that
 * never exists (0) tells; a store from before it had one is judged by the secrets it holds. Without
 * this a wrong key would be found only when a release needs a secret, and new secrets would be
 * sealed with it meanwhile. */
#include "base/json.h"
#include "base/mem.h"
#include "core/secret/secret_priv.h"

#define CHECKED_MAX 50 /* one that was damaged alone does not make the key wrong */
#define CHECK_NAME "slipway.key"

static bool opens(struct core *core, const json_t *row)
{
    struct err no = ERR_INIT;
    AUTO_SECRET value = {0};
    struct secret_place place = {json_int(row, "app_env_id", 0), json_text_or(row, "name", ""),
                                 json_int(row, "version", 0), SECRET_FILE};
    return secret_kind_parse(json_text_or(row, "kind", ""), &place.kind, &no) == 0 &&
           secret_unseal(core->secrets, &place, json_text_or(row, "sealed", ""), &value, &no) == 0;
}

static int seal_check(struct core *core, struct err *err)
{
    AUTO_FREE char *sealed = NULL;
    const struct secret_place place = {0, CHECK_NAME, 1, SECRET_FILE};
    if (secret_seal(core->secrets, &place, STR("this is the key"), &sealed, err) < 0)
        return -1;
    return store_run(core->store, err,
                     "INSERT INTO secret_version(app_env_id, name, version, kind, sealed, set_by,"
                     " set_at) VALUES(0,$1,1,$2,$3,'slipway',$4)",
                     "ttti", CHECK_NAME, secret_kind_name(SECRET_FILE), sealed,
                     clock_wall_ms(core->clock));
}

int secret_check_key(struct core *core, struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    bool known = false, right = false;
    if (store_rows(core->store, &rows, err,
                   "SELECT app_env_id, name, version, kind, sealed FROM secret_version"
                   " ORDER BY app_env_id, version DESC LIMIT $1",
                   "i", (int64_t)CHECKED_MAX) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        known = known || json_int(row, "app_env_id", -1) == 0;
        right = right || opens(core, row);
    }
    if (json_array_size(rows) > 0 && !right)
        return FAIL(err, E_KEY_WRONG,
                    "the master key is not the one that sealed the secrets of this store: put "
                    "master.key back from the backup that the store is from");
    return known ? 0 : seal_check(core, err);
}
