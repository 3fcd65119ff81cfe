/* What apps follow elsewhere: set, fetched, imported as a new app; and the deliveries of its
 * webhook. */
#include "core/api/handlers.h"
#include "core/follow/follow.h"
#include "core/forge/forge.h"
#include "core/link/link.h"
#include "wire/settings.h"

#define LOOK_MS 90000
#define COURIER_MS 30000

/* ---- origins ---- */

static char *hook_url(const struct api_call *call)
{
    AUTO_FREE char *address = settings_address(call->core->settings);
    return mem_format("%s/api/v1/hooks/%s", address, call->app.name);
}

static json_t *origin_json(struct api_call *call, json_t *row)
{
    AUTO_FREE char *hook = hook_url(call);
    follow_put(call->core->follow, call->app.id, row);
    (void)json_object_del(row, "app_id"); /* they are there */
    (void)json_object_del(row, "forge_id");
    json_put_text(row, "hook_url", hook);
    return row;
}

static int own_origin(struct api_call *call, json_t **ret_row, struct err *err)
{
    int found = origin_row(call->core, call->app.id, ret_row, err);
    return found == STORE_NONE
               ? FAIL(err, E_NOT_FOUND, "the repository of '%s' is here, and follows no other",
                      call->app.name)
               : found;
}

API_HANDLER(api_origin)
{
    json_t *row = NULL;
    if (own_origin(call, &row, err) < 0)
        return -1;
    call->reply = origin_json(call, row);
    return 0;
}

/* The secret of the webhook, for who enters it at a forge by hand. */
API_HANDLER(api_origin_hook)
{
    AUTO_SECRET secret = {0};
    AUTO_FREE char *hook = hook_url(call);
    if (origin_hook_secret(call->core, call->app.id, &secret, err) < 0)
        return -1;
    call->reply = json_object();
    json_put_text(call->reply, "url", hook);
    json_put_str(call->reply, "secret", secret_str(&secret));
    return 0;
}

/* What is to be followed, step by step: it is looked at, our repository is found empty, or may be
 * replaced, then it is set. */
struct setting {
    struct api_call *call;
    json_t *wanted;
    char *trunk; /* of a new app */
};

static void setting_free(struct setting *s)
{
    json_decref(s->wanted);
    free(s->trunk);
    free(s);
}

static void setting_fail(struct setting *s, const struct err *error)
{
    api_fail(s->call, error);
    setting_free(s);
}

/* The last part of both, in one transaction with what else they write. */
static int set_origin(struct api_call *call, json_t *wanted, json_t **ret_row, struct err *err)
{
    enum origin_mode mode = json_bool(call->body, "once", false) ? ORIGIN_ONCE : ORIGIN_FOLLOW;
    return origin_set(call->core, &call->who, &call->app, wanted, mode, err) < 0
               ? -1
               : origin_row(call->core, call->app.id, ret_row, err);
}

static int run_set(struct api_call *call, void *context, struct err *err)
{
    const struct setting *s = context;
    json_t *row = NULL;
    if (access_check(call->core, &call->who, PERMISSION_ADMIN, 0, 0, true, err) < 0 ||
        set_origin(call, s->wanted, &row, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = origin_json(call, row);
    return 0;
}

static void finish_set(struct setting *s)
{
    struct core *core = s->call->core;
    int64_t app_id = s->call->app.id;
    api_finish_input(s->call, run_set, s);
    api_follow_later(core, app_id, follow_begin);
    setting_free(s);
}

static void on_own_branches(void *context, json_t *ok, const struct err *error)
{
    struct setting *s = context;
    struct err err = ERR_INIT;
    bool replace = json_bool(s->call->body, "replace", false);
    if (error) {
        setting_fail(s, error);
    } else if (!replace && json_array_size(json_list(ok, "branches")) > 0) {
        (void)FAIL(&err, E_STATE_CONFLICT,
                   "the repository of '%s' has branches, which would be replaced: push them there "
                   "first, then say 'replace'",
                   s->call->app.name);
        setting_fail(s, &err);
    } else {
        finish_set(s);
    }
}

static void on_looked(void *context, json_t *ok, const struct err *error)
{
    struct setting *s = context;
    struct err ignored = ERR_INIT;
    AUTO_JSON *row = NULL;
    (void)ok;
    if (error) {
        setting_fail(s, error);
        return;
    }
    if (origin_row(s->call->core, s->call->app.id, &row, &ignored) == 0) {
        finish_set(s); /* it followed another one: nothing here is its own */
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", s->call->app.name);
    json_put_text(args, "trunk", s->call->app.trunk);
    json_put_int(args, "limit", 1);
    link_call(s->call->core->courier, "branch.list", args, COURIER_MS, on_own_branches, s);
}

/* What is wanted, and whether it is there: then `next`, with a struct setting. */
static int look_there(struct api_call *call, forge_reply_fn *next, struct err *err)
{
    json_t *wanted = NULL;
    if (origin_wanted(call->core, call->body, &wanted, err) < 0)
        return -1;
    struct setting *s = mem_alloc(sizeof(*s));
    *s = (struct setting){.call = api_ref(call), .wanted = wanted};
    origin_ask_wanted(call->core, wanted, "remote.look", json_object(), LOOK_MS, next, s);
    return API_LATER;
}

API_HANDLER(api_origin_set)
{
    return look_there(call, on_looked, err);
}

API_HANDLER(api_origin_remove)
{
    call->reply = json_object();
    return origin_remove(call->core, call->who.actor, &call->app, "origin.removed", err);
}

static void on_fetched(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    struct err err = ERR_INIT;
    json_t *row = NULL;
    if (error) {
        api_fail(call, error);
        return;
    }
    int found = origin_row(call->core, call->app.id, &row, &err);
    json_t *reply = found == 0 ? origin_json(call, row) : json_object();
    json_put_int(reply, "count", json_int(ok, "count", 0));
    api_reply(call, 200, reply);
}

API_HANDLER(api_origin_fetch)
{
    AUTO_JSON *row = NULL;
    if (own_origin(call, &row, err) < 0)
        return -1;
    follow_fetch(call->core->follow, call->app.id, on_fetched, api_ref(call));
    return API_LATER;
}

/* ---- a new app, of a repository elsewhere ---- */

static int run_import(struct api_call *call, void *context, struct err *err)
{
    const struct setting *s = context;
    json_t *row = NULL;
    if (app_create(call->core, &call->who, json_text(call->body, "name"), s->trunk, &call->app,
                   err) < 0 ||
        set_origin(call, s->wanted, &row, err) < 0)
        return -1;
    call->reply = api_app_json(call, &call->app);
    json_put(call->reply, "origin", origin_json(call, row));
    return 0;
}

static void on_made(void *context, json_t *ok, const struct err *error)
{
    struct setting *s = context;
    struct api_call *call = s->call;
    struct core *core = call->core;
    (void)ok;
    if (error) {
        setting_fail(s, error);
        return;
    }
    (void)api_ref(call); /* to see whose app it became */
    api_finish_input(call, run_import, s);
    if (call->app.id)
        api_follow_later(core, call->app.id, follow_begin);
    api_unref(call);
    setting_free(s);
}

static void on_found(void *context, json_t *ok, const struct err *error)
{
    struct setting *s = context;
    struct err err = ERR_INIT;
    if (error) {
        setting_fail(s, error);
        return;
    }
    const char *given = json_text(s->call->body, "trunk");
    s->trunk = mem_strdup(given ? given : json_text_or(ok, "trunk", "main"));
    if (!str_is_branch(str_of(s->trunk))) {
        (void)FAIL(&err, E_REF_INVALID, "the trunk's name is not a valid branch name");
        setting_fail(s, &err);
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", json_text(s->call->body, "name"));
    json_put_text(args, "trunk", s->trunk);
    link_call(s->call->core->courier, "repo.create", args, COURIER_MS, on_made, s);
}

int api_app_import(struct api_call *call, struct err *err)
{
    return look_there(call, on_found, err);
}

/* ---- deliveries ---- */

static struct str header_of(const struct api_call *call, const char *const *names)
{
    struct str found = {0};
    for (; *names && !found.data; names++)
        found = http_header(call->http, *names);
    return found;
}

/* Nothing is told apart for who has no secret: no such app, none that follows, a bad signature. */
API_HANDLER(api_hook)
{
    static const char *const events[] = {"X-GitHub-Event", "X-Gitea-Event", "X-Gitlab-Event", NULL};
    static const char *const ids[] = {"X-GitHub-Delivery", "X-Gitea-Delivery", "Idempotency-Key",
                                      "X-Gitlab-Event-UUID", NULL};
    struct app app;
    struct err ignored = ERR_INIT;
    struct delivery d = {
        .event = header_of(call, events),
        .id = header_of(call, ids),
        .signature256 = http_header(call->http, "X-Hub-Signature-256"),
        .gitea_signature = http_header(call->http, "X-Gitea-Signature"),
        .gitlab_token = http_header(call->http, "X-Gitlab-Token"),
        .body = call->raw,
    };
    if (app_load(call->core, api_param(call, "hook"), &app, &ignored) < 0)
        return FAIL(err, E_UNAUTHENTICATED,
                    "the delivery is not signed with this webhook's secret");
    int r = follow_deliver(call->core->follow, &app, &d, err);
    if (r < 0)
        return -1;
    call->status = r == FOLLOW_DUPLICATE ? 200 : 202;
    call->reply = json_object();
    json_put_bool(call->reply, "duplicate", r == FOLLOW_DUPLICATE);
    return 0;
}
