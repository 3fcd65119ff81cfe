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
