/* Secrets as rows: a name with its current version, and the sealed versions.
 *
 * A name counts its versions up for ever, also over a deletion, so that a version frozen by a
 * release never comes to mean another value. Deleting takes the name out of what new releases
 * freeze; the rows that older releases need to start or roll back stay until secret_retain is told
 * that nobody names them. */
#include "core/secret/secret.h"
#include <sodium.h>
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/journal/journal.h"
#include "core/secret/secret_priv.h"

const char secret_schema[] =
    "CREATE TABLE secret_name(app_env_id BIGINT NOT NULL, name TEXT NOT NULL,"
    " last BIGINT NOT NULL, current BIGINT NOT NULL, PRIMARY KEY(app_env_id, name));"
    "CREATE TABLE secret_version(app_env_id BIGINT NOT NULL, name TEXT NOT NULL,"
    " version BIGINT NOT NULL, kind TEXT NOT NULL, sealed TEXT NOT NULL,"
    " set_by TEXT NOT NULL, set_at BIGINT NOT NULL, PRIMARY KEY(app_env_id, name, version));";

static const char *const kind_names[] = {"file", "env", "build"};

const char *secret_kind_name(enum secret_kind kind)
{
    ASSERT((size_t)kind < ARRAY_SIZE(kind_names));
    return kind_names[kind];
}

int secret_kind_parse(const char *name, enum secret_kind *ret_kind, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++) {
        if (text_is(name, kind_names[i])) {
            *ret_kind = (enum secret_kind)i;
            return 0;
        }
    }
    return FAIL(err, E_FIELD_INVALID, "the kind of a secret is file, env or build");
}

/* ---- writing ---- */

static bool name_is_good(struct str name)
{
    if (name.length == 0 || name.length > 128 || (name.data[0] >= '0' && name.data[0] <= '9'))
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool first = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = c >= '0' && c <= '9';
        if (!first && (i == 0 || !(digit || c == '.' || c == '-')))
            return false;
    }
    return true;
}

static int check_value(const char *name, enum secret_kind kind, struct str value, struct err *err)
{
    struct str text = str_of(name ? name : "");
    if (!name_is_good(text))
        return FAIL(err, E_NAME_INVALID,
                    "a secret's name has 1 to 128 of letters, digits, '_', '.', '-', and begins "
                    "with a letter or '_'");
    if (value.length == 0)
        return FAIL(err, E_VALUE_INVALID,
                    "the value is empty: 'slipway secret rm' takes a secret away");
    if (kind == SECRET_ENV &&
        (!str_is_env_name(text) || str_is(text, "PORT") || str_starts(text, "SLIPWAY_")))
        return FAIL(err, E_NAME_INVALID,
                    "'%s' cannot be a variable: letters, digits and '_' only, and PORT and "
                    "SLIPWAY_* are given by slipway",
                    name);
    if (kind == SECRET_ENV && value.length && memchr(value.data, 0, value.length))
        return FAIL(err, E_VALUE_INVALID, "a variable cannot hold a NUL byte: make it a file");
    return 0;
}

static int next_version(struct core *core, int64_t app_env_id, const char *name,
                        int64_t *ret_version, struct err *err)
{
    int64_t names = 0;
    if (store_one_int(core->store, ret_version, err,
                      "INSERT INTO secret_name(app_env_id, name, last, current)"
                      " VALUES($1,$2,1,1) ON CONFLICT(app_env_id, name)"
                      " DO UPDATE SET last=secret_name.last+1, current=secret_name.last+1"
                      " RETURNING last",
                      "it", app_env_id, name) < 0 ||
        store_one_int(core->store, &names, err,
                      "SELECT count(*) FROM secret_name WHERE app_env_id=$1 AND current>0", "i",
                      app_env_id) < 0)
        return -1;
    if (names > SECRETS_MAX)
        return FAIL(err, E_TOO_MANY, "an app-env has at most %d secrets", SECRETS_MAX);
    return 0;
}

static int current_versions(struct core *core, int64_t app_env_id, bool build,
                            json_t **ret_versions, struct err *err);

/* Host takes so many for a build: said when one is set, not when the next build fails. */
static int check_builds(struct core *core, const struct secret_place *place, struct err *err)
{
    AUTO_JSON *versions = NULL;
    if (place->kind != SECRET_BUILD)
        return 0;
    if (current_versions(core, place->app_env_id, true, &versions, err) < 0)
        return -1;
    if (json_object_size(versions) > SECRETS_BUILD_MAX)
        return FAIL(err, E_TOO_MANY, "an app-env has at most %d secrets for builds",
                    SECRETS_BUILD_MAX);
    return 0;
}

static int note(struct core *core, const struct person *by, const char *kind,
                const struct secret_place *place, const char *subject, struct err *err)
{
    AUTO_JSON *data = json_object();
    json_put_text(data, "name", place->name);
    if (place->version) {
        json_put_text(data, "kind", secret_kind_name(place->kind));
        json_put_int(data, "version", place->version);
    }
    return journal_append(core, by->actor, kind, subject, place->app_env_id, data, err);
}

int secret_put(struct core *core, const struct person *by, int64_t app_env_id, const char *subject,
               const char *name, enum secret_kind kind, struct str value, int64_t *ret_version,
               struct err *err)
{
    AUTO_FREE char *sealed = NULL;
    struct secret_place place = {app_env_id, name, 0, kind};
    if (check_value(name, kind, value, err) < 0 ||
        next_version(core, app_env_id, name, &place.version, err) < 0 ||
        secret_seal(core->secrets, &place, value, &sealed, err) < 0 ||
        store_run(core->store, err,
                  "INSERT INTO secret_version(app_env_id, name, version, kind, sealed, set_by,"
                  " set_at) VALUES($1,$2,$3,$4,$5,$6,$7)",
                  "itittti", app_env_id, name, place.version, secret_kind_name(kind), sealed,
                  by->name, clock_wall_ms(core->clock)) < 0 ||
        check_builds(core, &place, err) < 0 ||
        note(core, by, "secret.set", &place, subject, err) < 0)
        return -1;
    *ret_version = place.version;
    return 0;
}

int secret_kind_now(struct core *core, int64_t app_env_id, const char *name,
                    enum secret_kind *ret_kind, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT v.kind FROM secret_name n JOIN secret_version v ON "
                    "v.app_env_id=n.app_env_id AND v.name=n.name AND v.version=n.current WHERE "
                    "n.app_env_id=$1 AND n.name=$2 AND n.current>0",
                    "it", app_env_id, name) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more;
    return secret_kind_parse(query_text(&q, 0), ret_kind, err);
}

int secret_delete(struct core *core, const struct person *by, int64_t app_env_id,
                  const char *subject, const char *name, struct err *err)
{
    struct secret_place place = {app_env_id, name, 0, SECRET_FILE};
    if (store_run(core->store, err,
                  "UPDATE secret_name SET current=0 WHERE app_env_id=$1 AND name=$2 AND current>0",
                  "it", app_env_id, name) < 0)
        return -1;
    if (store_changes(core->store) == 0)
        return FAIL(err, E_NOT_FOUND, "no such secret");
    return note(core, by, "secret.deleted", &place, subject, err);
}

int secret_forget(struct core *core, int64_t app_env_id, struct err *err)
{
    if (store_run(core->store, err, "DELETE FROM secret_version WHERE app_env_id=$1", "i",
                  app_env_id) < 0)
        return -1;
    return store_run(core->store, err, "DELETE FROM secret_name WHERE app_env_id=$1", "i",
                     app_env_id);
}

/* ---- which versions ---- */

int secret_list(struct core *core, int64_t app_env_id, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      "SELECT v.name, v.kind, v.version, v.set_at AS \"at\", v.set_by AS \"by\""
                      " FROM secret_name n JOIN secret_version v ON v.app_env_id=n.app_env_id"
                      " AND v.name=n.name AND v.version=n.current WHERE n.app_env_id=$1"
                      " ORDER BY v.name",
                      "i", app_env_id);
}

/* Names and current versions, build-only ones or all others. */
static int current_versions(struct core *core, int64_t app_env_id, bool build,
                            json_t **ret_versions, struct err *err)
{
    AUTO_JSON *rows = NULL;
    json_t *versions = json_object(), *row;
    size_t i;
    if (secret_list(core, app_env_id, &rows, err) < 0) {
        json_decref(versions);
        return -1;
    }
    json_array_foreach(rows, i, row)
    {
        if (text_is(json_text(row, "kind"), "build") == build)
            json_put_int(versions, json_text(row, "name"), json_int(row, "version", 0));
    }
    *ret_versions = versions;
    return 0;
}

int secret_versions(struct core *core, int64_t app_env_id, json_t **ret_versions, struct err *err)
{
    return current_versions(core, app_env_id, false, ret_versions, err);
}

static bool is_frozen(const json_t *frozen, const char *name, int64_t version)
{
    size_t i;
    json_t *versions;
    json_array_foreach(frozen, i, versions)
    {
        if (json_int(versions, name, 0) == version)
            return true;
    }
    return false;
}

int secret_retain(struct core *core, int64_t app_env_id, const json_t *frozen, struct err *err)
{
    AUTO_JSON *rows = NULL;
    json_t *row;
    size_t i;
    if (store_rows(core->store, &rows, err,
                   "SELECT v.name, v.version FROM secret_version v JOIN secret_name n ON"
                   " n.app_env_id=v.app_env_id AND n.name=v.name WHERE v.app_env_id=$1"
                   " AND v.version<=n.last-$2 AND v.version<>n.current",
                   "ii", app_env_id, (int64_t)SECRET_VERSIONS_KEPT) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_text(row, "name");
        int64_t version = json_int(row, "version", 0);
        if (!is_frozen(frozen, name, version) &&
            store_run(core->store, err,
                      "DELETE FROM secret_version WHERE app_env_id=$1 AND name=$2 AND version=$3",
                      "iti", app_env_id, name, version) < 0)
            return -1;
    }
    return 0;
}

/* ---- for host ---- */

static json_t *revealed(const struct secret_place *place, const struct secret *value, bool build)
{
    struct str text = secret_str(value);
    size_t room = sodium_base64_encoded_len(text.length, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = mem_alloc(room);
    (void)sodium_bin2base64(encoded, room, (const unsigned char *)text.data, text.length,
                            sodium_base64_VARIANT_ORIGINAL); /* the room is right */
    json_t *object = json_object();
    json_put_text(object, "name", place->name);
    json_put_text(object, "value_b64", encoded);
    json_put_bool(object, build ? "file" : "env", build || place->kind == SECRET_ENV);
    sodium_memzero(encoded, room);
    free(encoded);
    return object;
}

static int load_sealed(struct core *core, struct secret_place *place, char **ret_sealed,
                       struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT kind, sealed FROM secret_version WHERE app_env_id=$1 AND name=$2 AND"
                    " version=$3",
                    "iti", place->app_env_id, place->name, place->version) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1
                        : FAIL(err, E_NOT_FOUND, "secret '%s' has no version %lld any more",
                               place->name, (long long)place->version);
    if (secret_kind_parse(query_text(&q, 0), &place->kind, err) < 0)
        return -1;
    *ret_sealed = mem_strdup(query_text(&q, 1));
    return 0;
}

static bool is_listed(const json_t *names, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(names, i, one)
    {
        if (text_is(json_string_value(one), name))
            return true;
    }
    return false;
}

/* What kind env asks of every value, asked of a file's. */
static int check_variable(const struct secret_place *place, const struct secret *value,
                          struct err *err)
{
    if (place->kind == SECRET_BUILD)
        return FAIL(err, E_CONFIG_INVALID,
                    "'%s' stands under env.secret, but the secret is for builds only: set it with "
                    "--kind env, or take it out there",
                    place->name);
    struct err why = ERR_INIT;
    if (check_value(place->name, SECRET_ENV, secret_str(value), &why) < 0)
        return FAIL(err, E_CONFIG_INVALID, "'%s' stands under env.secret: %s", place->name,
                    why.text);
    return 0;
}

int secret_is_variable(struct core *core, int64_t app_env_id, const char *name, struct err *err)
{
    struct secret_place place = {app_env_id, name, 0, SECRET_FILE};
    AUTO_FREE char *sealed = NULL;
    AUTO_SECRET value = {0};
    if (store_one_int(core->store, &place.version, err,
                      "SELECT coalesce(max(current),0) FROM secret_name WHERE app_env_id=$1 AND"
                      " name=$2",
                      "it", app_env_id, name) < 0)
        return -1;
    if (place.version == 0)
        return SECRET_ABSENT;
    if (load_sealed(core, &place, &sealed, err) < 0 ||
        secret_unseal(core->secrets, &place, sealed, &value, err) < 0)
        return -1;
    return check_variable(&place, &value, err);
}

struct reveal {
    struct core *core;
    const json_t *variables;
    json_t *secrets;
    bool build;
};

static int reveal_one(const struct reveal *r, struct secret_place place, struct err *err)
{
    AUTO_FREE char *sealed = NULL;
    AUTO_SECRET value = {0};
    if (load_sealed(r->core, &place, &sealed, err) < 0 ||
        secret_unseal(r->core->secrets, &place, sealed, &value, err) < 0)
        return -1;
    if ((place.kind == SECRET_BUILD) != r->build)
        return FAIL(err, E_CORRUPT, "secret '%s' (version %lld) is for %s only", place.name,
                    (long long)place.version, r->build ? "instances" : "builds");
    json_push(r->secrets, revealed(&place, &value, r->build));
    if (place.kind != SECRET_FILE || !is_listed(r->variables, place.name))
        return 0;
    if (check_variable(&place, &value, err) < 0) /* it was set after the release was asked for */
        return -1;
    json_t *variable = revealed(&place, &value, false);
    json_put_bool(variable, "env", true);
    json_push(r->secrets, variable);
    return 0;
}

int secret_reveal(struct core *core, int64_t app_env_id, const json_t *versions,
                  const json_t *variables, json_t **ret_secrets, struct err *err)
{
    AUTO_JSON *current = NULL, *secrets = json_array();
    struct reveal r = {core, variables, secrets, versions == NULL};
    const char *name;
    json_t *version;
    if (r.build && current_versions(core, app_env_id, true, &current, err) < 0)
        return -1;
    json_object_foreach(r.build ? current : (json_t *)(uintptr_t)versions, name, version)
    {
        struct secret_place place = {app_env_id, name, json_integer_value(version), SECRET_FILE};
        if (reveal_one(&r, place, err) < 0)
            return -1;
    }
    *ret_secrets = TAKE(secrets);
    return 0;
}

/* ---- from one app-env to another ---- */

static int copy_one(struct core *core, const struct secret_place *from, int64_t to,
                    const char *set_by, struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_SECRET value = {0};
    AUTO_FREE char *sealed = NULL;
    struct secret_place place = {to, from->name, 0, from->kind};
    if (store_query(core->store, &q, err,
                    "SELECT sealed FROM secret_version WHERE app_env_id=$1 AND name=$2 AND "
                    "version=$3",
                    "iti", from->app_env_id, from->name, from->version) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more;
    return secret_unseal(core->secrets, from, query_text(&q, 0), &value, err) < 0 ||
                   next_version(core, to, place.name, &place.version, err) < 0 ||
                   secret_seal(core->secrets, &place, secret_str(&value), &sealed, err) < 0 ||
                   store_run(core->store, err,
                             "INSERT INTO secret_version(app_env_id, name, version, kind, sealed, "
                             "set_by, set_at) VALUES($1,$2,$3,$4,$5,$6,$7)",
                             "itittti", to, place.name, place.version, secret_kind_name(place.kind),
                             sealed, set_by, clock_wall_ms(core->clock)) < 0
               ? -1
               : 0;
}

int secret_copy(struct core *core, const struct person *by, int64_t from, int64_t to,
                const char *subject, struct err *err)
{
    AUTO_JSON *rows = NULL;
    AUTO_JSON *data = json_object();
    size_t i;
    json_t *row;
    if (secret_list(core, from, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        struct secret_place place = {from, json_text(row, "name"), json_int(row, "version", 0),
                                     SECRET_FILE};
        if (secret_kind_parse(json_text_or(row, "kind", ""), &place.kind, err) < 0 ||
            copy_one(core, &place, to, by->name, err) < 0)
            return -1;
    }
    if (json_array_size(rows) == 0)
        return 0;
    json_put_int(data, "count", (int64_t)json_array_size(rows));
    return journal_append(core, by->actor, "secret.copied", subject, to, data, err);
}

/* ---- of no app-env ---- */

static struct secret_place place_at(const char *place)
{
    return (struct secret_place){.name = place, .kind = SECRET_FILE}; /* no app-env has the id 0 */
}

int secret_seal_at(struct core *core, const char *place, struct str value, char **ret_sealed,
                   struct err *err)
{
    struct secret_place at = place_at(place);
    return secret_seal(core->secrets, &at, value, ret_sealed, err);
}

int secret_open_at(struct core *core, const char *place, const char *sealed,
                   struct secret *ret_value, struct err *err)
{
    struct secret_place at = place_at(place);
    return secret_unseal(core->secrets, &at, sealed, ret_value, err);
}
