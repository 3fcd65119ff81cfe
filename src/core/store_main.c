/* `slipway core-store VERB FILE --settings SETTINGS`: what root's backup and restore need of a
 * store, done as core's user, so that no file beside it is ever root's, and no bytes of it are read
 * by root. Prints one JSON object.
 *
 *   copy FILE       what is committed in data_dir/core/store.db now, as the new file FILE
 *   describe FILE   what is in it: version, end of the journal, apps, artifacts, what is live
 *   forget FILE     the secrets go, for a store whose master key is lost
 *
 * All three describe FILE in the end. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/store/store.h"
#include "wire/settings.h"

struct part {
    const char *name;
    const char *sql; /* a list of rows */
};
static const struct part parts[] = {
    {"apps", "SELECT name FROM app ORDER BY name"},
    {"live", "SELECT a.name AS app, e.name AS env, r.number AS release, r.artifact AS artifact"
             " FROM app_env ae JOIN app a ON a.id=ae.app_id JOIN env e ON e.id=ae.env_id"
             " JOIN release r ON r.app_env_id=ae.id AND r.number=ae.live_release"
             " ORDER BY a.name, e.position"},
    {"artifacts", "SELECT DISTINCT artifact FROM release ORDER BY artifact"},
    {"secrets", "SELECT DISTINCT a.name AS app, e.name AS env, n.name AS name FROM secret_name n"
                " JOIN app_env ae ON ae.id=n.app_env_id JOIN app a ON a.id=ae.app_id"
                " JOIN env e ON e.id=ae.env_id ORDER BY a.name, e.position, n.name"},
    {"forges", "SELECT name, kind, url, key_sealed IS NOT NULL AS by_key FROM forge"
               " WHERE token_sealed IS NOT NULL OR key_sealed IS NOT NULL ORDER BY name"},
};

static int describe(struct store *s, json_t **ret_told, struct err *err)
{
    AUTO_JSON *told = json_object(), *head = NULL;
    int64_t schema = 0, people = 0;
    if (store_schema(s, &schema, err) < 0 ||
        store_one_int(s, &people, err, "SELECT count(*) FROM person", "") < 0)
        return -1;
    int found =
        store_row(s, &head, err, "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1", "");
    if (found < 0)
        return -1;
    json_put_int(told, "schema", schema);
    json_put_int(told, "people", people);
    json_put(told, "journal", found == 0 ? json_incref(head) : json_object());
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        json_t *rows = NULL;
        if (store_rows(s, &rows, err, parts[i].sql, "") < 0)
            return -1;
        json_put(told, parts[i].name, rows);
    }
    *ret_told = TAKE(told);
    return 0;
}

static int forget(struct store *s, struct err *err)
{
    if (store_run(s, err, "DELETE FROM secret_name", "") < 0)
        return -1;
    /* forges want their tokens anew; an origin makes itself another secret for its webhook */
    return store_run(s, err, "DELETE FROM secret_version", "") < 0 ||
                   store_run(s, err, "UPDATE forge SET token_sealed=NULL, key_sealed=NULL", "") <
                       0 ||
                   store_run(s, err, "UPDATE origin SET hook_sealed='', hook='none'", "") < 0
               ? -1
               : 0;
}

static int run(int argc, char **argv, json_t **ret_told, struct err *err)
{
    AUTO(settings) *settings = NULL;
    struct store *s = NULL;
    const char *path = settings_argument(argc, argv);
    if (argc < 4 || !path)
        return FAIL(err, E_USAGE, "core-store copy|describe|forget FILE --settings FILE");
    const char *verb = argv[2], *file = argv[3];
    if (settings_load(path, &settings, err) < 0)
        return -1;
    AUTO_FREE char *own = settings_data(settings, "core/store.db");
    if (!text_is(verb, "copy") && !text_is(verb, "describe") && !text_is(verb, "forget"))
        return FAIL(err, E_USAGE, "core-store does not know '%s'", verb);
    if (text_is(verb, "copy") && store_copy(own, file, err) < 0)
        return -1;
    if (store_open_copy(file, &s, err) < 0)
        return -1;
    int result = text_is(verb, "forget") ? forget(s, err) : 0;
    if (result == 0)
        result = describe(s, ret_told, err);
    store_free(s);
    return result;
}

int core_store_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    AUTO_JSON *told = NULL;
    log_setup("core-store", LOG_WARN);
    if (run(argc, argv, &told, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return err_exit_code(err.kind);
    }
    AUTO_FREE char *text = json_print(told);
    printf("%s\n", text);
    return fflush(stdout) == 0 ? 0 : 1;
}
