/* Findings: listed, filed, and what is done with one. */
#include "core/api/handlers.h"
#include "core/finding/finding.h"
#include "core/link/link.h"

#define COURIER_MS 30000

/* One of an env that one may not view does not exist. */
static bool is_visible(struct api_call *call, const json_t *row)
{
    return api_may_view_env(call, call->app.id, json_text_or(row, "env", ""));
}

API_HANDLER(api_findings)
{
    static const char *const names[] = {"state", "env", "branch", "person"};
    char *texts[ARRAY_SIZE(names)] = {NULL};
    struct finding_filter filter = {0};
    json_t *rows = NULL;
    int result = api_query_page(call, &filter.before, &filter.limit, err);
    for (size_t i = 0; i < ARRAY_SIZE(names) && result == 0; i++)
        result = api_query_text(call, names[i], &texts[i], err);
    if (result == 0) {
        filter.state = texts[0];
        filter.env = texts[1];
        filter.branch = texts[2];
        filter.person = texts[3];
        result = finding_list(call->core, call->app.id, &filter, &rows, err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        free(texts[i]);
    if (result < 0)
        return -1;
    call->reply = api_page(rows, "number", filter.limit);
    rows = json_list(call->reply, "items");
    for (size_t i = json_array_size(rows); i-- > 0;)
        if (!is_visible(call, json_array_get(rows, i)))
            (void)json_array_remove(rows, i); /* it is in range */
    return 0;
}

/* Of all that one may see: the newest, no pages. */
API_HANDLER(api_findings_all)
{
    AUTO_FREE char *state = NULL;
    AUTO_FREE char *person = NULL;
    struct finding_filter filter = {0};
    AUTO_JSON *rows = NULL;
    json_t *seen = json_array(), *row;
    size_t i;
    call->reply = json_object();
    json_put(call->reply, "items", seen);
    json_put(call->reply, "next", json_null());
    if (api_query_text(call, "state", &state, err) < 0 ||
        api_query_text(call, "person", &person, err) < 0 ||
        api_query_int(call, "limit", 1, 1000, 100, &filter.limit, err) < 0)
        return -1;
    filter.state = state;
    filter.person = person;
    if (finding_list(call->core, 0, &filter, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        struct app app;
        struct err ignored = ERR_INIT;
        if (app_load(call->core, json_text_or(row, "app", ""), &app, &ignored) == 0 &&
            api_may_view_env(call, app.id, json_text_or(row, "env", "")))
            json_push(seen, json_incref(row));
    }
    return 0;
}

static int load(struct api_call *call, int64_t number, json_t **ret_row, struct err *err)
{
    if (finding_row(call->core, call->app.id, number, ret_row, err) < 0)
        return -1;
    return is_visible(call, *ret_row) ? 0 : FAIL(err, E_NOT_FOUND, "no such finding");
}

API_HANDLER(api_finding_get)
{
    int64_t number = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "finding", &number, err) < 0 || load(call, number, &row, err) < 0)
        return -1;
    call->reply = TAKE(row);
    return 0;
}

API_HANDLER(api_finding_add)
{
    struct app_env ae;
    int64_t number = 0;
    if (app_env_find(call->core, call->app.name, json_text_or(call->body, "env", ""), &ae, err) <
            0 ||
        access_check(call->core, &call->who, PERMISSION_VIEW, ae.app_id, ae.env_id, true, err) <
            0 ||
        finding_file(call->core, &call->who, &ae, call->body, &number, err) < 0)
        return -1;
    return finding_row(call->core, call->app.id, number, &call->reply, err);
}

/* ---- acting ---- */

struct acting {
    int64_t number;
    const char *tip;
};

static int run_act(struct api_call *call, void *context, struct err *err)
{
    const struct acting *a = context;
    json_t *row = NULL;
    if (finding_act(call->core, &call->who, &call->app, a->number, call->body, a->tip, err) < 0 ||
        finding_row(call->core, call->app.id, a->number, &row, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = row;
    return 0;
}

/* Without the courier it is fixed all the same; then the next release counts. */
static void on_tips(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    const char *branch = json_text(call->reply, "branch");
    struct acting a = {json_int(call->reply, "number", 0),
                       error ? NULL : json_text(json_dict(ok, "tips"), branch)};
    api_finish_input(call, run_act, &a);
}

API_HANDLER(api_finding_act)
{
    int64_t number = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "finding", &number, err) < 0 || load(call, number, &row, err) < 0)
        return -1;
    struct acting a = {.number = number};
    const char *branch = json_text(row, "branch");
    if (!branch || !text_is(json_text(call->body, "act"), "fix")) {
        api_finish_input(api_ref(call), run_act, &a);
        return API_LATER;
    }
    json_t *args = json_object();
    json_put_text(args, "app", call->app.name);
    json_put(args, "names", json_pack("[s]", branch));
    call->reply = TAKE(row);
    link_call(call->core->courier, "branch.tips", args, COURIER_MS, on_tips, api_ref(call));
    return API_LATER;
}

/* ---- pictures ---- */

API_HANDLER(api_finding_picture_add)
{
    int64_t number = 0, id = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "finding", &number, err) < 0 || load(call, number, &row, err) < 0 ||
        finding_picture_add(call->core, &call->who, call->app.id, number, call->raw, &id, err) < 0)
        return -1;
    call->reply = json_object();
    json_put_int(call->reply, "picture", id);
    return 0;
}

/* Shown as what it is, and as nothing else. */
static void send_picture(void *context, const char *type, struct str picture)
{
    struct api_call *call = context;
    const char *const headers[] = {"Content-Type",
                                   type,
                                   "Cache-Control",
                                   "private, max-age=86400, immutable",
                                   "X-Content-Type-Options",
                                   "nosniff",
                                   "Content-Security-Policy",
                                   "default-src 'none'; sandbox",
                                   "Cross-Origin-Resource-Policy",
                                   "same-origin",
                                   NULL};
    if (call->http && !http_responded(call->http))
        http_respond(call->http, 200, headers, picture);
}

API_HANDLER(api_finding_picture)
{
    int64_t number = 0, id = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "finding", &number, err) < 0 ||
        api_param_int(call, "picture", &id, err) < 0 || load(call, number, &row, err) < 0 ||
        finding_picture_get(call->core, call->app.id, number, id, send_picture, call, err) < 0)
        return -1;
    return API_LATER;
}

/* ---- whose it may be ---- */

static void on_touching(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail(call, error);
    else
        api_reply(call, 200, json_incref(ok));
}

/* Of the branches in what is live there. */
API_HANDLER(api_touching)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *row = NULL;
    if (api_query_text(call, "path", &path, err) < 0)
        return -1;
    if (!path || !*path || strlen(path) > 500)
        return FAIL(err, E_FIELD_INVALID, "say 'path': a file, or a part of its name");
    int found = store_row(call->core->store, &row, err,
                          "SELECT r.branches AS branches_json, b.trunk_tip FROM release r JOIN "
                          "build b ON b.id=r.build_id WHERE r.app_env_id=$1 AND r.number=$2",
                          "ii", call->ae.id, call->ae.live_release);
    if (found != 0)
        return found < 0 ? -1
                         : FAIL(err, E_STATE_CONFLICT, "nothing that was built here is live in %s",
                                call->ae.env);
    json_t *args = json_object(), *ticks = json_array(), *branch;
    size_t i;
    json_array_foreach(json_list(row, "branches"), i, branch)
        json_push(ticks, json_pack("{s:s, s:s}", "branch", json_text_or(branch, "branch", ""),
                                   "tip", json_text_or(branch, "tip", "")));
    json_put_text(args, "app", call->app.name);
    json_put_text(args, "base", json_text(row, "trunk_tip"));
    json_put(args, "ticks", ticks);
    json_put_text(args, "path", path);
    link_call(call->core->courier, "branch.touching", args, COURIER_MS, on_touching, api_ref(call));
    return API_LATER;
}
