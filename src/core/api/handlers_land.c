/* What would land, landing, and what has landed. */
#include "core/api/handlers.h"
#include "core/land/land.h"
#include "core/tick/tick.h"

/* Of the envs that one may not view nothing is told. */
static void hide_envs(struct api_call *call, json_t *row)
{
    json_t *result = json_object_get(row, "result"), *names, *one;
    void *next;
    const char *env;
    json_object_foreach_safe(json_dict(result, "unticked"), next, env, names)
    {
        if (!api_may_view_env(call, call->app.id, env))
            (void)json_object_del(json_dict(result, "unticked"), env); /* it is there */
    }
    json_t *behind = json_list(result, "behind");
    for (size_t i = json_array_size(behind); i-- > 0;) {
        one = json_array_get(behind, i);
        if (!api_may_view_env(call, call->app.id, json_text_or(one, "env", "")))
            (void)json_array_remove(behind, i); /* it is in range */
    }
}

API_HANDLER(api_landing)
{
    AUTO_JSON *preview = NULL;
    if (landing_preview(call->core, &call->app, &preview, err) < 0)
        return -1;
    if (!api_may_view_env(call, call->app.id, json_text_or(preview, "env", "")))
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    call->reply = TAKE(preview);
    return 0;
}

API_HANDLER(api_landings)
{
    int64_t after = 0;
    int64_t limit = 0;
    json_t *rows = NULL, *row;
    size_t i;
    if (api_query_page(call, &after, &limit, err) < 0 ||
        landing_list(call->core, call->app.id, after, limit, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "id", limit);
    rows = json_list(call->reply, "items");
    for (i = json_array_size(rows); i-- > 0;) {
        row = json_array_get(rows, i);
        if (api_may_view_env(call, call->app.id, json_text_or(row, "env", "")))
            hide_envs(call, row);
        else
            (void)json_array_remove(rows, i); /* it is in range */
    }
    return 0;
}

API_HANDLER(api_landing_get)
{
    int64_t id = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "landing", &id, err) < 0 ||
        landing_row(call->core, call->app.id, id, &row, err) < 0)
        return -1;
    if (!api_may_view_env(call, call->app.id, json_text_or(row, "env", "")))
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    hide_envs(call, row);
    call->reply = TAKE(row);
    return 0;
}

struct landing_ask {
    struct api_call *call;
    int64_t id;
};

static int create(void *context, struct err *err)
{
    struct landing_ask *a = context;
    struct api_call *call = a->call;
    if (access_check(call->core, &call->who, PERMISSION_TRUNK, call->app.id, 0, true, err) < 0)
        return -1;
    return landing_create(call->core, &call->who, &call->app, json_int(call->body, "release", 0),
                          &a->id, err);
}

/* A landing that failed is stored as such, and is this request's error. */
static void on_landed(void *context, const struct err *error)
{
    struct landing_ask *a = context;
    struct api_call *call = a->call;
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    int64_t id = a->id;
    free(a);
    if (error || landing_row(call->core, call->app.id, id, &row, &err) < 0) {
        api_fail(call, error ? error : &err);
        return;
    }
    if (text_is(json_text(row, "state"), "failed")) {
        json_to_err(json_dict(row, "error"), &err);
        api_fail(call, &err);
        return;
    }
    json_t *reply = json_object();
    json_put(reply, "landing", TAKE(row));
    api_reply(call, 201, reply);
}

API_HANDLER(api_landing_add)
{
    struct landing_ask *a = mem_alloc(sizeof(*a));
    *a = (struct landing_ask){.call = call};
    if (tick_input(call->core->tick, "landing", create, a, err) < 0) {
        free(a);
        return -1;
    }
    a->call = api_ref(call);
    landing_await(a->id, on_landed, a);
    return API_LATER;
}

API_HANDLER(api_landing_cancel)
{
    int64_t id = 0;
    json_t *row = NULL;
    if (api_param_int(call, "landing", &id, err) < 0 ||
        landing_cancel(call->core, &call->who, &call->app, id, err) < 0 ||
        landing_row(call->core, call->app.id, id, &row, err) < 0)
        return -1;
    hide_envs(call, row);
    call->reply = json_object();
    json_put(call->reply, "landing", row);
    return 0;
}
