/* Two releases of an app beside each other. Core's rows say most of it; the commits between them
 * are the courier's, and stay null while he is away. */
#include "core/api/handlers.h"
#include "core/link/link.h"
#include "core/release/release.h"

#define COURIER_MS 10000 /* a page waits for it */
#define COMMITS_MAX 200

/* "dev/5" of the query. The route's gate knows the app alone: the env is checked here. */
static int read_side(struct api_call *call, const char *name, const char *text,
                     struct release_at *ret_at, json_t **ret_row, struct err *err)
{
    struct app_env ae;
    struct str rest = str_of(text ? text : "");
    AUTO_FREE char *env = str_dup(str_cut(&rest, '/'));
    if (!rest.data || !*env)
        return FAIL(err, E_FIELD_INVALID, "say '%s' as ENV/N: the env and the release's number",
                    name);
    if (str_to_int(rest, 1, 1000000000, name, &ret_at->number, err) < 0 ||
        app_env_find(call->core, call->app.name, env, &ae, err) < 0 ||
        access_check(call->core, &call->who, call->route->permission, ae.app_id, ae.env_id, false,
                     err) < 0)
        return -1;
    ret_at->app_env_id = ae.id;
    if (release_row(call->core, ae.id, ret_at->number, ret_row, err) < 0)
        return -1;
    json_put_text(*ret_row, "env", ae.env);
    return 0;
}

static void on_log(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (!error) {
        json_put(call->reply, "commits", json_deep_copy(json_list(ok, "commits")));
        json_put_bool(call->reply, "commits_more", json_bool(ok, "more", false));
    }
    api_reply(call, 200, TAKE(call->reply));
}

static void ask_commits(struct api_call *call)
{
    json_t *args = json_object();
    json_put_text(args, "app", call->app.name);
    json_put_text(args, "from", json_text(json_dict(call->reply, "from"), "commit"));
    json_put_text(args, "to", json_text(json_dict(call->reply, "to"), "commit"));
    json_put_int(args, "limit", COMMITS_MAX);
    json_put(call->reply, "commits", json_null());
    json_put_bool(call->reply, "commits_more", false);
    link_call(call->core->courier, "commit.log", args, COURIER_MS, on_log, api_ref(call));
}

API_HANDLER(api_compare)
{
    struct release_at from = {0}, to = {0};
    AUTO_JSON *before = NULL;
    AUTO_JSON *after = NULL;
    AUTO_FREE char *from_text = NULL;
    AUTO_FREE char *to_text = NULL;
    if (api_query_text(call, "from", &from_text, err) < 0 ||
        api_query_text(call, "to", &to_text, err) < 0 ||
        read_side(call, "from", from_text, &from, &before, err) < 0 ||
        read_side(call, "to", to_text, &to, &after, err) < 0 ||
        release_compare(call->core, &from, &to, &call->reply, err) < 0)
        return -1;
    json_put(call->reply, "from", TAKE(before));
    json_put(call->reply, "to", TAKE(after));
    ask_commits(call);
    return API_LATER;
}
