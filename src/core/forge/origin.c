/* Rows of origins, and calls that change an app's branches wherever they live. */
#include "base/fault.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "core/forge/forge.h"
#include "core/forge/forge_priv.h"
#include "core/journal/journal.h"
#include "core/secret/secret.h"
#include "core/store/store.h"

#define HOOK_SECRET_BYTES 24
#define SUBJECT_HOOK "origin hook" /* where its secret is sealed */

/* ---- rows ---- */

#define COLUMNS                                                                                    \
    "SELECT o.app_id, a.name AS app, f.name AS forge, o.forge_id, coalesce(f.kind, 'git') AS "     \
    "kind, o.project, o.url, o.mode, o.state, o.since, o.error AS error_json, o.hook, "            \
    "o.hook_text FROM origin o JOIN app a ON a.id=o.app_id LEFT JOIN forge f ON f.id=o.forge_id "

int origin_row(struct core *core, int64_t app_id, json_t **ret_row, struct err *err)
{
    return store_row(core->store, ret_row, err, COLUMNS "WHERE o.app_id=$1", "i", app_id);
}

int origin_list(struct core *core, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err, COLUMNS "ORDER BY a.name", "");
}

/* ---- what is wanted ---- */

static bool same_host(const struct url_repository *a, const struct url_repository *b)
{
    return str_equal_nocase(str_of(a->host), b->host) && text_is(a->scheme, b->scheme) &&
           url_repository_port(a) == url_repository_port(b);
}

static bool is_at(const json_t *forge, const struct url_repository *url)
{
    struct err ignored = ERR_INIT;
    struct url_repository at;
    AUTO_FREE char *probe = mem_format("%s/x", json_text_or(forge, "url", ""));
    return url_repository(str_of(probe), &at, &ignored) == 0 && same_host(url, &at);
}

/* The forge whose credential this URL gets: one of the same scheme, host and port, and of this name
 * when it is not NULL. *ret_forge stays NULL: none. */
static int find_forge(struct core *core, const struct url_repository *url, const char *name,
                      json_t **ret_forge, struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (forge_list(core, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        if ((name && !text_is(json_text(row, "name"), name)) || !is_at(row, url))
            continue;
        *ret_forge = json_incref(row);
        return 0;
    }
    return 0;
}

/* "team/shop": no empty part, none that begins with '-' or is "..". */
static bool is_project(struct str project)
{
    if (project.length == 0 || project.length > 400 || str_has_control(project))
        return false;
    while (project.data) {
        struct str part = str_cut(&project, '/');
        if (part.length == 0 || part.data[0] == '-' || str_is(part, ".") || str_is(part, ".."))
            return false;
    }
    return true;
}

/* The project that a URL names, as the API calls it. */
static char *project_of(const struct url_repository *url, const json_t *forge)
{
    struct err ignored = ERR_INIT;
    struct url_repository base;
    AUTO_FREE char *probe = mem_format("%s/x", json_text_or(forge, "url", ""));
    struct str path = str_of(url->path + 1);
    if (url_repository(str_of(probe), &base, &ignored) == 0) {
        struct str prefix = str_of(base.path + 1);
        prefix.length -= 1; /* the x */
        AUTO_FREE char *text = str_dup(prefix);
        if (str_starts(path, text))
            path = (struct str){path.data + prefix.length, path.length - prefix.length};
    }
    if (str_ends(path, ".git"))
        path.length -= 4;
    return str_dup(path);
}

static int url_of_project(const json_t *forge, const char *project, struct url_repository *ret_url,
                          struct err *err)
{
    const char *base = json_text_or(forge, "url", "");
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    if (!is_project(str_of(project)))
        return FAIL(err, E_FIELD_INVALID, "'project' is no path such as team/shop");
    bool git = str_ends(str_of(project), ".git") || text_is(json_text(forge, "kind"), "git");
    AUTO_FREE char *url = mem_format("%.*s/%s%s", (int)length, base, project, git ? "" : ".git");
    return url_repository(str_of(url), ret_url, err);
}

int origin_wanted(struct core *core, const json_t *given, json_t **ret_wanted, struct err *err)
{
    const char *name = json_text(given, "forge"), *text = json_text(given, "url");
    const char *project = json_text(given, "project");
    AUTO_JSON *forge = NULL;
    AUTO_JSON *named = NULL;
    struct url_repository url;
    if (!text && !(name && project))
        return FAIL(err, E_FIELD_INVALID, "say 'url', or 'forge' and 'project'");
    if (name && forge_row(core, name, &named, err) < 0)
        return -1;
    if (text ? url_repository(str_of(text), &url, err) < 0
             : url_of_project(named, project, &url, err) < 0)
        return -1;
    /* the host alone decides whose credential goes there */
    if (find_forge(core, &url, name, &forge, err) < 0)
        return -1;
    if (name && !forge)
        return FAIL(err, E_HOST_INVALID, "the URL is not at the host of forge '%s'", name);
    AUTO_FREE char *whole = url_repository_text(&url);
    AUTO_FREE char *path = forge ? project_of(&url, forge) : NULL;
    if (path && !text_is(json_text(forge, "kind"), "git") && !is_project(str_of(path)))
        return FAIL(err, E_FIELD_INVALID, "the URL names no project of forge '%s'",
                    json_text_or(forge, "name", "?"));
    json_t *wanted = json_object();
    json_put_text(wanted, "url", whole);
    json_put_text(wanted, "project", path);
    json_put_text(wanted, "forge", json_text(forge, "name"));
    json_put_int(wanted, "forge_id", json_int(forge, "id", 0));
    *ret_wanted = wanted;
    return 0;
}

/* ---- set and removed ---- */

static const char *const mode_names[] = {[ORIGIN_FOLLOW] = "follow", [ORIGIN_ONCE] = "once"};

static char *hook_place(int64_t app_id)
{
    return mem_format(SUBJECT_HOOK " %lld", (long long)app_id);
}

static int make_hook_secret(struct core *core, int64_t app_id, char **ret_sealed, struct err *err)
{
    char text[HOOK_SECRET_BYTES * 2 + 1];
    AUTO_FREE char *place = hook_place(app_id);
    random_hex(core->clock, HOOK_SECRET_BYTES, text);
    int result = secret_seal_at(core, place, str_of(text), ret_sealed, err);
    explicit_bzero(text, sizeof(text));
    return result;
}

int origin_set(struct core *core, const struct person *by, const struct app *app,
               const json_t *wanted, enum origin_mode mode, struct err *err)
{
    AUTO_FREE char *sealed = NULL;
    AUTO_JSON *data = json_object();
    int64_t now_ms = clock_wall_ms(core->clock), forge_id = json_int(wanted, "forge_id", 0);
    if (make_hook_secret(core, app->id, &sealed, err) < 0 ||
        store_run(core->store, err, "DELETE FROM origin WHERE app_id=$1", "i", app->id) < 0 ||
        store_run(core->store, err,
                  "INSERT INTO origin(app_id, forge_id, project, url, mode, state, since, "
                  "hook_sealed, created_at, actor) VALUES($1, CASE WHEN $2=0 THEN NULL ELSE $2 "
                  "END, $3,$4,$5,'new',$6,$7,$6,$8)",
                  "iitttitt", app->id, forge_id, json_text(wanted, "project"),
                  json_text(wanted, "url"), mode_names[mode], now_ms, sealed, by->actor) < 0)
        return -1;
    json_put_text(data, "url", json_text(wanted, "url"));
    json_put_text(data, "mode", mode_names[mode]);
    return journal_append(core, by->actor, "origin.set", app->name, 0, data, err);
}

int origin_remove(struct core *core, const char *actor, const struct app *app, const char *kind,
                  struct err *err)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *data = json_object();
    int found = origin_row(core, app->id, &row, err);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "the repository of '%s' is here, and follows no other",
                    app->name);
    if (found < 0)
        return -1;
    json_put_text(data, "url", json_text(row, "url"));
    return store_run(core->store, err, "DELETE FROM origin WHERE app_id=$1", "i", app->id) < 0 ||
                   store_run(core->store, err, "DELETE FROM commit_status WHERE app_id=$1", "i",
                             app->id) < 0 ||
                   journal_append(core, actor, kind, app->name, 0, data, err) < 0
               ? -1
               : 0;
}

int origin_set_hook(struct core *core, int64_t app_id, const char *state, const char *text,
                    struct err *err)
{
    return store_run(core->store, err, "UPDATE origin SET hook=$2, hook_text=$3 WHERE app_id=$1",
                     "itt", app_id, state, text);
}

int origin_hook_secret(struct core *core, int64_t app_id, struct secret *ret_secret,
                       struct err *err)
{
    AUTO_QUERY q = {0};
    AUTO_FREE char *place = hook_place(app_id);
    if (store_query(core->store, &q, err, "SELECT hook_sealed FROM origin WHERE app_id=$1", "i",
                    app_id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more == 0)
        return FAIL(err, E_NOT_FOUND, "the app follows no repository elsewhere");
    return more < 0 ? -1 : secret_open_at(core, place, query_text(&q, 0), ret_secret, err);
}

int origin_renew_hooks(struct core *core, struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, err, "SELECT app_id FROM origin WHERE hook_sealed=''", "") <
        0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        AUTO_FREE char *sealed = NULL;
        int64_t app_id = json_int(row, "app_id", 0);
        if (make_hook_secret(core, app_id, &sealed, err) < 0 ||
            store_run(core->store, err,
                      "UPDATE origin SET hook_sealed=$2, hook='none' WHERE app_id=$1", "it", app_id,
                      sealed) < 0)
            return -1;
    }
    return 0;
}

int origin_refuse_push(struct core *core, int64_t app_id, struct err *err)
{
    AUTO_JSON *row = NULL;
    int found = origin_row(core, app_id, &row, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return FAIL(err, E_STATE_CONFLICT, "this is a copy: push to %.150s", json_text(row, "url"));
}

/* ---- what a fetch came to ---- */

static int note(struct core *core, const json_t *row, const char *kind, const json_t *data,
                struct err *err)
{
    return journal_append(core, "core", kind, json_text_or(row, "app", ""), 0, data, err);
}

static int apply_good(struct core *core, const json_t *row, int from, const json_t *data,
                      struct err *err)
{
    const char *kind = from == ORIGIN_NEW ? "origin.fetched" : "origin.recovered";
    if (from == ORIGIN_GOOD)
        return 0;
    if (text_is(json_text(row, "mode"), "once")) {
        struct app app = {.id = json_int(row, "app_id", 0)};
        (void)snprintf(app.name, sizeof(app.name), "%s", json_text_or(row, "app", ""));
        return origin_remove(core, "core", &app, "origin.imported", err);
    }
    return note(core, row, kind, data, err);
}

/* The same words again are no news. */
static int apply_bad(struct core *core, const json_t *row, int from, const struct err *error,
                     struct err *err)
{
    AUTO_JSON *why = json_from_err(error);
    if (from == ORIGIN_FAILING &&
        text_is(json_text(json_dict(row, "error"), "text"), json_text(why, "text")))
        return 0;
    if (store_run(core->store, err, "UPDATE origin SET error=$2 WHERE app_id=$1", "io",
                  json_int(row, "app_id", 0), why) < 0)
        return -1;
    return from == ORIGIN_FAILING ? 0 : note(core, row, "origin.failing", why, err);
}

int origin_apply(struct core *core, const json_t *row, const struct err *error, const json_t *data,
                 struct err *err)
{
    int from = 0, to = 0;
    if (sm_state_from_name(&origin_sm, json_text_or(row, "state", ""), &from, err) < 0)
        return -1;
    if (sm_next(&origin_sm, from, error ? ORIGIN_FAILED : ORIGIN_FETCHED, &to) == SM_REFUSED)
        return 0;
    FAULT("origin.event");
    if (from != to && store_run(core->store, err,
                                "UPDATE origin SET state=$2, since=$3, error=NULL WHERE app_id=$1",
                                "iti", json_int(row, "app_id", 0), sm_state_name(&origin_sm, to),
                                clock_wall_ms(core->clock)) < 0)
        return -1;
    return error ? apply_bad(core, row, from, error, err) : apply_good(core, row, from, data, err);
}

/* ---- asking ---- */

struct asking {
    const char *verb;
    int64_t timeout_ms;
    forge_event_fn *on_event;
    forge_reply_fn *on_reply;
    void *context;
};

/* Takes args. */
static void ask_there(struct core *core, const json_t *wanted, json_t *args,
                      const struct asking *asking)
{
    struct err err = ERR_INIT;
    AUTO_JSON *forge = NULL;
    AUTO_SECRET token = {0};
    AUTO_SECRET key = {0};
    AUTO_CLOSE int fd = -1;
    int64_t id = json_int(wanted, "forge_id", 0);
    struct url_repository url;
    int result = id ? forge_row_of(core, id, &forge, &err) : 0;
    if (result == 0)
        result = url_repository(str_of(json_text_or(wanted, "url", "")), &url, &err);
    if (result == 0 && forge && !is_at(forge, &url)) /* it was given another address since */
        result = FAIL(&err, E_FORGE_DENIED,
                      "'%s' is no longer the host of forge '%s', whose credential goes there alone",
                      url.host, json_text_or(forge, "name", "?"));
    if (result == 0)
        result = forge_secrets(core, id, &token, &key, &err);
    if (result == 0)
        result = forge_secret_fd(&token, &key, NULL, &fd, &err);
    if (result == 0) {
        json_put(args, "remote", forge_remote(forge, json_text(wanted, "url")));
        forge_send(core, asking->verb, args, fd, asking->timeout_ms, asking->on_event,
                   asking->on_reply, asking->context);
        return;
    }
    json_decref(args);
    asking->on_reply(asking->context, NULL, &err);
}

void origin_ask_wanted(struct core *core, const json_t *wanted, const char *verb, json_t *args,
                       int64_t timeout_ms, forge_reply_fn *on_reply, void *context)
{
    ask_there(core, wanted, args, &(struct asking){verb, timeout_ms, NULL, on_reply, context});
}

void origin_fetch(struct core *core, const json_t *row, int64_t timeout_ms,
                  forge_event_fn *on_event, forge_reply_fn *on_reply, void *context)
{
    json_t *args = json_object();
    json_put_text(args, "app", json_text(row, "app"));
    ask_there(core, row, args,
              &(struct asking){"remote.fetch", timeout_ms, on_event, on_reply, context});
}

void origin_ask(struct core *core, int64_t app_id, const char *verb, json_t *args,
                int64_t timeout_ms, forge_reply_fn *on_reply, void *context)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    int found = origin_row(core, app_id, &row, &err);
    if (found == 0) {
        origin_ask_wanted(core, row, verb, args, timeout_ms, on_reply, context);
    } else if (found == STORE_NONE) {
        forge_send(core, verb, args, -1, timeout_ms, NULL, on_reply, context);
    } else {
        json_decref(args);
        on_reply(context, NULL, &err);
    }
}
