/* Apps, envs, branches, configuration, the ticked set, domains and secrets. */
#include <sodium.h>

#include "core/api/handlers.h"
#include "core/automation/automation.h"
#include "core/branch/source.h"
#include "core/config/config.h"
#include "core/facts/facts.h"
#include "core/follow/follow.h"
#include "core/forge/forge.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "wire/settings.h"

#define COURIER_MS 30000
#define CHANGE_MS 360000 /* a push to a repository elsewhere may be slow */
#define DEPLOYERS_MAX 20 /* names: whom to ask */

API_HANDLER(api_envs)
{
    json_t *rows = NULL;
    if (env_list(call->core, &rows, err) < 0)
        return -1;
    return api_page_by_name(call, rows, NULL, err);
}

API_HANDLER(api_env_add)
{
    call->reply = json_object();
    return env_create(call->core, &call->who, json_text(call->body, "name"),
                      json_int(call->body, "position", ENV_BEFORE_LAST),
                      json_text(call->body, "like"), err);
}

API_HANDLER(api_env_change)
{
    call->reply = json_object();
    return env_change(call->core, &call->who, api_param(call, "env"), call->body, err);
}

bool api_may_view(struct api_call *call, int64_t app_id, int64_t env_id)
{
    struct err ignored = ERR_INIT;
    return access_check(call->core, &call->who, PERMISSION_VIEW, app_id, env_id, false, &ignored) ==
           0;
}

bool api_may_view_env(struct api_call *call, int64_t app_id, const char *env)
{
    struct err ignored = ERR_INIT;
    int64_t env_id = 0;
    return env_load(call->core, env, &env_id, &ignored) == 0 && api_may_view(call, app_id, env_id);
}

/* Only what the person may view. */
API_HANDLER(api_apps)
{
    AUTO_JSON *rows = NULL;
    json_t *visible = json_array();
    if (app_list(call->core, &rows, err) < 0)
        return -1;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (api_may_view(call, json_int(row, "id", 0), 0))
            json_push(visible, json_incref(row));
    }
    return api_page_by_name(call, visible, NULL, err);
}

json_t *api_app_json(const struct api_call *call, const struct app *app)
{
    json_t *row = json_object();
    int64_t number = call->core->settings->edge_http;
    AUTO_FREE char *port = number == 80 ? mem_strdup("") : mem_format(":%lld", (long long)number);
    AUTO_FREE char *git = mem_format("http://slipway.%s%s/git/%s.git",
                                     call->core->settings->base_domain, port, app->name);
    json_put_text(row, "name", app->name);
    json_put_text(row, "trunk", app->trunk);
    json_put_text(row, "git", git);
    return row;
}

/* ---- a new app: its repository first (making it twice does no harm), then its row ---- */

static int run_app_add(struct api_call *call, void *context, struct err *err)
{
    struct app app;
    (void)context;
    if (app_create(call->core, &call->who, json_text(call->body, "name"),
                   json_text_or(call->body, "trunk", "main"), &app, err) < 0)
        return -1;
    call->reply = api_app_json(call, &app);
    return 0;
}

static void on_repo(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    (void)ok;
    if (error)
        api_fail(call, error);
    else
        api_finish_input(call, run_app_add, NULL);
}

API_HANDLER(api_app_add)
{
    struct app existing;
    struct err ignored = ERR_INIT;
    const char *name = json_text_or(call->body, "name", "");
    const char *trunk = json_text_or(call->body, "trunk", "main");
    if (!str_is_name(str_of(name)))
        return FAIL(err, E_NAME_INVALID,
                    "the app's name is not valid: use 1 to 40 of a-z, 0-9 and '-', beginning with "
                    "a letter");
    if (!str_is_branch(str_of(trunk)))
        return FAIL(err, E_REF_INVALID, "the trunk's name is not a valid branch name");
    if (app_load(call->core, name, &existing, &ignored) == 0)
        return FAIL(err, E_EXISTS, "an app with that name exists already");
    if (app_refuse_gone(call->core, name, err) < 0)
        return -1;
    if (json_text(call->body, "url") || json_text(call->body, "forge"))
        return api_app_import(call, err);
    json_t *args = json_object();
    json_put_text(args, "app", name);
    json_put_text(args, "trunk", trunk);
    link_call(call->core->courier, "repo.create", args, COURIER_MS, on_repo, api_ref(call));
    return API_LATER;
}

/* "token:wang/ci" and "user:wang" are wang. */
static void put_name(json_t *target, const char *key, const char *actor)
{
    const char *colon = strchr(actor, ':');
    struct str rest = str_of(colon ? colon + 1 : actor);
    json_put_str(target, key, str_cut(&rest, '/'));
}

static int put_origin(struct api_call *call, json_t *reply, struct err *err)
{
    AUTO_JSON *made = NULL;
    int64_t at = 0;
    if (store_one_int(call->core->store, &at, err, "SELECT created_at FROM app WHERE id=$1", "i",
                      call->app.id) < 0)
        return -1;
    int found = journal_app_created(call->core, call->app.name, at, &made, err);
    json_put_int(reply, "created_at", at);
    json_put(reply, "created_by", json_null());
    if (found == 0)
        put_name(reply, "created_by", json_text_or(made, "actor", ""));
    return found < 0 ? -1 : 0;
}

static int put_rights(struct api_call *call, int64_t env_id, json_t *reply, struct err *err)
{
    json_t *rights = NULL;
    if (access_rights(call->core, &call->who, call->app.id, env_id, &rights, err) < 0)
        return -1;
    json_put(reply, "rights", rights);
    return 0;
}

/* With the envs that the person may view, and what he may do app-wide. */
API_HANDLER(api_app_get)
{
    AUTO_JSON *rows = NULL;
    json_t *envs = json_array(), *row;
    size_t i;
    call->reply = api_app_json(call, &call->app);
    json_put(call->reply, "envs", envs);
    if (put_origin(call, call->reply, err) < 0 || put_rights(call, 0, call->reply, err) < 0 ||
        env_list(call->core, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        if (api_may_view(call, call->app.id, json_int(row, "id", 0)))
            json_push(envs, json_incref(json_object_get(row, "name")));
    }
    return 0;
}

API_HANDLER(api_app_remove)
{
    call->reply = json_object();
    return app_remove(call->core, &call->who, &call->app, err);
}

/* ---- branches ---- */

/* Is it known to be left out there? */
static bool is_out(struct api_call *call, int64_t app_env_id, const char *branch)
{
    const json_t *facts = facts_known(call->core->facts, app_env_id);
    size_t i;
    json_t *row;
    json_array_foreach(json_list(facts, "out"), i, row)
    {
        if (text_is(json_text(row, "branch"), branch))
            return true;
    }
    return false;
}

void api_put_ticked_envs(struct api_call *call, int64_t app_id, const char *branch, json_t *target)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    json_t *envs = json_array(), *out = json_array();
    if (store_rows(call->core->store, &rows, &err,
                   "SELECT coalesce(e.try_of, e.id) AS id, e.name, ae.id AS app_env_id FROM ticked "
                   "t JOIN app_env ae ON "
                   "ae.id=t.app_env_id"
                   " JOIN env e ON e.id=ae.env_id"
                   " WHERE ae.app_id=$1 AND t.branch=$2 ORDER BY e.position",
                   "it", app_id, branch) == 0) {
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row)
        {
            if (!api_may_view(call, app_id, json_int(row, "id", 0)))
                continue;
            json_push(envs, json_incref(json_object_get(row, "name")));
            if (is_out(call, json_int(row, "app_env_id", 0), branch))
                json_push(out, json_incref(json_object_get(row, "name")));
        }
    }
    json_put(target, "envs", envs);
    json_put(target, "out", out);
}

static void on_branches(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (error) {
        api_fail(call, error);
        return;
    }
    json_t *reply = json_object();
    json_t *items = json_deep_copy(json_list(ok, "branches"));
    size_t i;
    json_t *branch;
    json_array_foreach(items, i, branch)
        api_put_ticked_envs(call, call->app.id, json_text_or(branch, "name", ""), branch);
    json_put_text(reply, "trunk", call->app.trunk);
    json_put(reply, "items", items);
    json_put_bool(reply, "more", json_bool(ok, "more", false));
    json_put_text(reply, "next", json_text(ok, "next"));
    api_reply(call, 200, reply);
}

API_HANDLER(api_branches)
{
    AUTO_FREE char *match = NULL;
    AUTO_FREE char *after = NULL;
    int64_t limit = 0;
    if (api_query_text(call, "match", &match, err) < 0 ||
        api_query_text(call, "after", &after, err) < 0 ||
        api_query_int(call, "limit", 1, 1000, 100, &limit, err) < 0)
        return -1;
    if (after && strlen(after) > 250)
        return FAIL(err, E_FIELD_INVALID, "'after' is not the 'next' of a page");
    json_t *args = json_object();
    json_put_text(args, "app", call->app.name);
    json_put_text(args, "trunk", call->app.trunk);
    json_put_int(args, "limit", limit);
    if (match && *match)
        json_put_text(args, "match", match);
    if (after)
        json_put_text(args, "after", after);
    link_call(call->core->courier, "branch.list", args, COURIER_MS, on_branches, api_ref(call));
    return API_LATER;
}

struct branch_done {
    struct api_call *call;
    const char *kind; /* of the journal's row */
    json_t *data;
    const json_t *reply; /* the courier's */
};

/* The ref is changed already: what cannot be noted now is told to the asker, and doing it again is
 * harmless. */
static int run_branch_done(struct api_call *call, void *context, struct err *err)
{
    const struct branch_done *d = context;
    if (journal_append(call->core, call->who.actor, d->kind, call->app.name, 0, d->data, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = json_deep_copy(d->reply);
    return 0;
}

static void on_branch_done(void *context, json_t *ok, const struct err *error)
{
    struct branch_done *d = context;
    d->reply = ok;
    if (error) {
        api_fail(d->call, error);
    } else {
        if (json_text(ok, "tip"))
            json_put_text(d->data, "tip", json_text(ok, "tip"));
        env_publish_repo(d->call->core, d->call->app.id, d->data);
        api_finish_input(d->call, run_branch_done, d);
    }
    json_decref(d->data);
    free(d);
}

/* Ask the courier; what it did stands in the journal. Takes args. */
static void branch_change(struct api_call *call, const char *verb, const char *kind, json_t *args)
{
    struct branch_done *d = mem_alloc(sizeof(*d));
    json_put_text(args, "app", call->app.name);
    *d = (struct branch_done){api_ref(call), kind, json_deep_copy(args), NULL};
    (void)json_object_del(d->data, "app"); /* the row's subject */
    origin_ask(call->core, call->app.id, verb, args, CHANGE_MS, on_branch_done, d);
}

API_HANDLER(api_branch_add)
{
    const char *name = json_text_or(call->body, "name", "");
    const char *from = json_text_or(call->body, "from", call->app.trunk);
    if (!str_is_branch(str_of(name)) ||
        (!str_is_branch(str_of(from)) && !str_is_commit(str_of(from))))
        return FAIL(err, E_REF_INVALID, "that is not a valid branch name");
    if (text_is(name, call->app.trunk) && /* as for a push: there is none yet */
        access_check(call->core, &call->who, PERMISSION_TRUNK, call->app.id, 0, true, err) < 0)
        return -1;
    json_t *args = json_object();
    json_put_text(args, "name", name);
    json_put_text(args, "from", from);
    branch_change(call, "branch.create", "branch.created", args);
    return API_LATER;
}

API_HANDLER(api_branch_remove)
{
    AUTO_FREE char *name = NULL;
    if (api_query_text(call, "name", &name, err) < 0)
        return -1;
    if (!name || !str_is_branch(str_of(name)))
        return FAIL(err, E_REF_INVALID, "that is not a valid branch name");
    if (text_is(name, call->app.trunk))
        return FAIL(err, E_POLICY_DENIED, "the trunk cannot be deleted");
    json_t *args = json_object();
    json_put_text(args, "name", name);
    branch_change(call, "branch.delete", "branch.deleted", args);
    return API_LATER;
}

/* ---- configuration ---- */

static void on_config(void *context, json_t *source, const struct err *error)
{
    struct api_call *call = context;
    if (error) {
        api_fail(call, error);
        return;
    }
    json_t *reply = json_object();
    json_put(reply, "commit", json_incref(json_object_get(source, "commit")));
    json_put(reply, "config", json_incref(json_object_get(source, "config")));
    api_reply(call, 200, reply);
}

API_HANDLER(api_config)
{
    AUTO_FREE char *env = NULL;
    AUTO_FREE char *ref = NULL;
    struct app_env ae;
    if (api_query_text(call, "env", &env, err) < 0 || api_query_text(call, "ref", &ref, err) < 0)
        return -1;
    if (ref && !str_is_branch(str_of(ref)))
        return FAIL(err, E_REF_INVALID, "that is not a valid branch name");
    if (app_env_find(call->core, call->app.name, env ? env : "dev", &ae, err) < 0)
        return -1;
    /* The route's gate knows the app alone: the env is in the query. */
    if (access_check(call->core, &call->who, call->route->permission, ae.app_id, ae.env_id, false,
                     err) < 0)
        return -1;
    source_config(call->core, &ae, ref, on_config, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_config_check)
{
    struct config_target target = {.env = json_text(call->body, "env")};
    AUTO_JSON *envs = NULL;
    json_t *config = NULL;
    if (env_list(call->core, &envs, err) < 0)
        return -1;
    target.envs = envs;
    if (config_parse_for(str_of(json_text_or(call->body, "text", "")), &target, &config, err) < 0)
        return -1;
    call->reply = json_object();
    json_put_bool(call->reply, "ok", true);
    json_put(call->reply, "config", config);
    return 0;
}

/* ---- one app-env ---- */

/* How many instances the live release wants: fewer that serve are missing. */
static int put_wanted(struct api_call *call, json_t *reply, struct err *err)
{
    int64_t wanted = 0;
    if (call->ae.live_release &&
        release_instances(call->core, &call->ae, call->ae.live_release, &wanted, err) < 0)
        return -1;
    json_put_int(reply, "wanted", wanted);
    return 0;
}

static int put_lists(struct api_call *call, json_t *reply, struct err *err)
{
    json_t *part = NULL;
    if (domains_list(call->core, &call->ae, &part, err) < 0)
        return -1;
    json_put(reply, "domains", part);
    if (ticks_list(call->core, call->ae.id, &part, err) < 0)
        return -1;
    json_put(reply, "ticks", part);
    if (instance_list(call->core, call->ae.id, &part, err) < 0)
        return -1;
    json_put(reply, "instances", part);
    if (release_targets(call->core, &call->ae, &part, err) < 0)
        return -1;
    json_put(reply, "targets", part);
    if (rollout_active(call->core, call->ae.id, &part, err) < 0)
        return -1;
    json_put(reply, "rollout", part);
    if (!call->ae.live_release)
        part = json_null();
    else if (release_row(call->core, call->ae.id, call->ae.live_release, &part, err) < 0)
        return -1;
    json_put(reply, "release", part);
    if (access_people_who_may(call->core, PERMISSION_DEPLOY, call->ae.app_id, call->ae.env_id,
                              DEPLOYERS_MAX, &part, err) < 0)
        return -1;
    json_put(reply, "deployers", part);
    return put_wanted(call, reply, err);
}

API_HANDLER(api_app_env)
{
    char when[8];
    call->reply = json_object();
    json_put_text(call->reply, "app", call->ae.app);
    json_put_text(call->reply, "env", call->ae.env);
    json_put_text(call->reply, "policy", call->ae.policy);
    if (automation_get(call->core, call->ae.id, when, err) < 0)
        return -1;
    json_put_text(call->reply, "automation", when);
    json_put_int(call->reply, "id", call->ae.id);
    json_put_int(call->reply, "live_release", call->ae.live_release);
    json_put_text(call->reply, "live_slot", call->ae.live_slot);
    json_put_int(call->reply, "share", call->ae.share);
    json_put_int(call->reply, "edge_http", call->core->settings->edge_http);
    json_put_int(call->reply, "edge_https", call->core->settings->edge_https);
    if (put_rights(call, call->ae.env_id, call->reply, err) < 0)
        return -1;
    return put_lists(call, call->reply, err);
}

API_HANDLER(api_automation_set)
{
    call->reply = json_object();
    return automation_set(call->core->automation, &call->who, &call->ae,
                          json_text(call->body, "when"), err);
}

static void on_edge(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (error) /* the row is stored */
        instance_reconcile_later(context);
}

struct edge_later {
    struct core *core;
    int64_t app_env_id;
};

static void tell_edge(void *context, const struct err *error)
{
    struct edge_later *l = context;
    if (!error)
        app_env_edge_refresh(l->core, l->app_env_id, on_edge, l->core);
    free(l);
}

API_HANDLER(api_domains_set)
{
    if (domains_set(call->core, &call->who, &call->ae, json_list(call->body, "domains"), err) < 0 ||
        app_env_edge_version(call->core, &call->ae, err) < 0)
        return -1;
    struct edge_later *l = mem_alloc(sizeof(*l));
    *l = (struct edge_later){call->core, call->ae.id};
    tick_after(call->core->tick, tell_edge, NULL, l);
    json_t *names = NULL;
    if (domains_list(call->core, &call->ae, &names, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "domains", names);
    return 0;
}

/* ---- secrets ---- */

API_HANDLER(api_secrets)
{
    json_t *rows = NULL;
    if (secret_list(call->core, call->ae.id, &rows, err) < 0)
        return -1;
    return api_page_by_name(call, rows, NULL, err);
}

static int decode_value(const json_t *body, struct secret *ret_value, struct err *err)
{
    const char *plain = json_text(body, "value");
    const char *base64 = json_text(body, "value_b64");
    if (!plain == !base64)
        return FAIL(err, E_FIELD_INVALID, "give either 'value' or 'value_b64'");
    if (plain) {
        secret_set(ret_value, plain, strlen(plain));
        return 0;
    }
    size_t length = 0;
    size_t size = strlen(base64) + 1;
    AUTO_FREE unsigned char *bytes = mem_alloc(size);
    int result = sodium_base642bin(bytes, size, base64, strlen(base64), NULL, &length, NULL,
                                   sodium_base64_VARIANT_ORIGINAL);
    if (result == 0)
        secret_set(ret_value, bytes, length);
    sodium_memzero(bytes, size);
    return result == 0 ? 0 : FAIL(err, E_FIELD_INVALID, "'value_b64' is not base64");
}

API_HANDLER(api_secret_put)
{
    AUTO_SECRET value = {0};
    enum secret_kind kind = SECRET_FILE;
    int64_t version = 0;
    if (secret_kind_now(call->core, call->ae.id, api_param(call, "secret"), &kind, err) < 0 ||
        (json_text(call->body, "kind") &&
         secret_kind_parse(json_text(call->body, "kind"), &kind, err) < 0) ||
        decode_value(call->body, &value, err) < 0)
        return -1;
    if (secret_put(call->core, &call->who, call->ae.id, call->ae.subject, api_param(call, "secret"),
                   kind, secret_str(&value), &version, err) < 0)
        return -1;
    call->reply = json_object();
    json_put_text(call->reply, "name", api_param(call, "secret"));
    json_put_int(call->reply, "version", version);
    return 0;
}

API_HANDLER(api_secret_remove)
{
    call->reply = json_object();
    return secret_delete(call->core, &call->who, call->ae.id, call->ae.subject,
                         api_param(call, "secret"), err);
}
