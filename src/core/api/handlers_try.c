/* Tries. */
#include "core/api/handlers.h"
#include "core/link/link.h"
#include "core/tick/tick.h"
#include "core/try/try.h"

#define COURIER_MS 30000

/* Only those that the person may view. */
API_HANDLER(api_tries)
{
    AUTO_JSON *rows = NULL;
    json_t *seen = json_array(), *row;
    size_t i;
    call->reply = json_object();
    json_put(call->reply, "items", seen);
    json_put(call->reply, "next", json_null());
    if (try_list(call->core, call->has_app ? call->app.id : 0, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        struct app_env ae;
        struct err ignored = ERR_INIT;
        if (app_env_find(call->core, json_text_or(row, "app", ""), json_text_or(row, "name", ""),
                         &ae, &ignored) < 0 ||
            !api_may_view(call, ae.app_id, ae.env_id))
            continue;
        json_put_int(row, "release", ae.live_release);
        json_put(row, "domain", json_null());
        AUTO_JSON *domains = NULL;
        if (domains_list(call->core, &ae, &domains, &ignored) == 0 && json_array_size(domains) > 0)
            json_put(row, "domain", json_incref(json_array_get(domains, 0)));
        AUTO_JSON *ticks = NULL;
        if (ticks_list(call->core, ae.id, &ticks, &ignored) == 0)
            json_put(row, "branches", branch_names(ticks));
        json_push(seen, json_incref(row));
    }
    return 0;
}

/* Who may deploy to what it is like may make one: it gets those secrets. */
static int may(struct api_call *call, const char *like, struct err *err)
{
    struct app_env model;
    if (app_env_find(call->core, call->app.name, like, &model, err) < 0)
        return FAIL(err, E_NOT_FOUND, "there is no env '%.40s' to be like: 'slipway env ls'", like);
    return access_check(call->core, &call->who, PERMISSION_DEPLOY, call->app.id, model.env_id, true,
                        err);
}

static const char *like_of(const struct api_call *call, json_t **ret_envs, struct err *err)
{
    const char *like = json_text(call->body, "like");
    if (like)
        return like;
    if (env_list(call->core, ret_envs, err) < 0)
        return NULL;
    return json_text(json_array_get(*ret_envs, 0), "name"); /* where people try things */
}

static int run_add(struct api_call *call, void *context, struct err *err)
{
    AUTO_JSON *envs = NULL;
    struct try_wanted wanted = {
        .like = like_of(call, &envs, err),
        .branches = json_list(call->body, "branches"),
        .hours = json_int(call->body, "hours", TRY_HOURS),
        .text = json_text(call->body, "text"),
    };
    json_t *row = NULL;
    (void)context;
    if (!wanted.like || may(call, wanted.like, err) < 0 ||
        try_create(call->core, &call->who, &call->app, &wanted, &row, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "try", row);
    return 0;
}

API_HANDLER(api_try_add)
{
    AUTO_JSON *envs = NULL;
    const json_t *branches = json_list(call->body, "branches");
    const char *like = like_of(call, &envs, err);
    if (!like || may(call, like, err) < 0)
        return -1;
    if (json_array_size(branches) == 0)
        return FAIL(err, E_FIELD_INVALID, "a try is of one branch at least");
    return api_with_branches(call, branches, run_add, err);
}

static int reply_try(struct api_call *call, struct err *err)
{
    json_t *row = NULL;
    if (try_row(call->core, call->app.id, api_param(call, "try"), &row, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "try", row);
    return 0;
}

static int may_here(struct api_call *call, struct err *err)
{
    struct app_env ae;
    if (app_env_find(call->core, call->app.name, api_param(call, "try"), &ae, err) < 0 ||
        !ae.is_try)
        return FAIL(err, E_NOT_FOUND, "no such try");
    return access_check(call->core, &call->who, PERMISSION_DEPLOY, call->app.id, ae.env_id, true,
                        err);
}

API_HANDLER(api_try_end)
{
    if (may_here(call, err) < 0 ||
        try_end(call->core, &call->who, &call->app, api_param(call, "try"), err) < 0)
        return -1;
    return reply_try(call, err);
}

API_HANDLER(api_try_extend)
{
    if (may_here(call, err) < 0 ||
        try_extend(call->core, &call->who, &call->app, api_param(call, "try"),
                   json_int(call->body, "hours", TRY_HOURS), err) < 0)
        return -1;
    return reply_try(call, err);
}
