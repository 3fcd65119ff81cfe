/* Forges, and what is asked of one. */
#include "core/api/handlers.h"
#include "core/follow/follow.h"
#include "core/forge/forge.h"
#include "core/tick/tick.h"

API_HANDLER(api_forges)
{
    json_t *rows = NULL;
    if (forge_list(call->core, &rows, err) < 0)
        return -1;
    return api_page_by_name(call, rows, NULL, err);
}

static int reply_forge(struct api_call *call, const char *name, struct err *err)
{
    json_t *row = NULL;
    if (forge_row(call->core, name, &row, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = row;
    return 0;
}

/* seen: the courier's reply, or NULL. */
static int run_forge_put(struct api_call *call, void *context, struct err *err)
{
    const json_t *seen = context;
    if (access_check(call->core, &call->who, PERMISSION_ADMIN, 0, 0, true, err) < 0 ||
        forge_put(call->core, &call->who, call->body, json_text(seen, "name"), err) < 0)
        return -1;
    return reply_forge(call, json_text_or(call->body, "name", ""), err);
}

struct after {
    struct core *core;
    int64_t id;
    void (*act)(struct follow *f, int64_t id);
};

static void on_durable(void *context, const struct err *error)
{
    struct after *a = context;
    if (!error)
        a->act(a->core->follow, a->id);
    free(a);
}

void api_follow_later(struct core *core, int64_t id, void (*act)(struct follow *f, int64_t id))
{
    struct after *a = mem_alloc(sizeof(*a));
    *a = (struct after){core, id, act};
    tick_after(core->tick, on_durable, NULL, a);
}

/* What failed with the old token is tried with the new one, once that is durable. */
static void finish_put(struct api_call *call, json_t *seen)
{
    struct core *core = call->core;
    (void)api_ref(call);
    api_finish_input(call, run_forge_put, seen);
    int64_t forge_id = json_int(call->reply, "id", 0);
    api_unref(call);
    if (forge_id)
        api_follow_later(core, forge_id, follow_forge_changed);
}

/* Asked too often: that is for a person to wait for. */
static int refuse_wait(const json_t *ok, struct err *err)
{
    int64_t wait_s = json_int(ok, "wait_s", 0);
    return wait_s == 0
               ? 0
               : FAIL(err, E_FORGE_BUSY, "the forge was asked too often: try again in %lld seconds",
                      (long long)wait_s);
}

static void on_seen(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    struct err err = ERR_INIT;
    if (error) {
        api_fail(call, error);
    } else if (refuse_wait(ok, &err) < 0) {
        api_fail(call, &err);
    } else {
        finish_put(call, ok);
    }
}

/* Who we are there is asked first: what does not work is not kept. */
API_HANDLER(api_forge_put)
{
    if (forge_check(call->body, err) < 0)
        return -1;
    if (text_is(json_text(call->body, "kind"), "git")) {
        finish_put(api_ref(call), NULL);
        return API_LATER;
    }
    forge_ask(call->core, call->body, "forge.user", json_object(), NULL, on_seen, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_forge_remove)
{
    call->reply = json_object();
    return forge_remove(call->core, &call->who, api_param(call, "forge"), err);
}

static void on_told(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    struct err err = ERR_INIT;
    if (error)
        api_fail(call, error);
    else if (refuse_wait(ok, &err) < 0)
        api_fail(call, &err);
    else
        api_reply(call, 200, json_incref(ok));
}

API_HANDLER(api_forge_projects)
{
    AUTO_JSON *forge = NULL;
    AUTO_FREE char *match = NULL;
    int64_t page = 1;
    if (api_query_text(call, "match", &match, err) < 0 ||
        api_query_int(call, "page", 1, 100000, 1, &page, err) < 0 ||
        forge_row(call->core, api_param(call, "forge"), &forge, err) < 0)
        return -1;
    json_t *args = json_object();
    json_put_int(args, "page", page);
    if (match && *match && strlen(match) <= 200)
        json_put_text(args, "match", match);
    forge_ask(call->core, forge, "forge.projects", args, NULL, on_told, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_origin_branches)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *forge = NULL;
    int64_t page = 1;
    if (api_query_int(call, "page", 1, 100000, 1, &page, err) < 0)
        return -1;
    int found = origin_row(call->core, call->app.id, &row, err);
    if (found < 0)
        return -1;
    if (found == STORE_NONE || text_is(json_text(row, "kind"), "git"))
        return FAIL(err, E_NOT_FOUND, "'%s' follows no repository of a forge", call->app.name);
    if (forge_row_of(call->core, json_int(row, "forge_id", 0), &forge, err) < 0)
        return -1;
    json_t *args = json_object();
    json_put_text(args, "project", json_text(row, "project"));
    json_put_int(args, "page", page);
    forge_ask(call->core, forge, "forge.branches", args, NULL, on_told, api_ref(call));
    return API_LATER;
}
