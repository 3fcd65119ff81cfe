/* Resolutions: listed with what can be done with them now, opened, folded into the side that is
 * left, dropped. */
#include "core/api/handlers.h"
#include "core/forge/forge.h"
#include "core/link/link.h"
#include "core/resolution/resolution.h"

#define COURIER_MS 60000
#define CHANGE_MS 360000 /* a push to a repository elsewhere may be slow */

/* A call that asks the courier several things, one after the other. */
struct asking {
    struct api_call *call;
    json_t *row;      /* of one resolution, or NULL */
    json_t *rows;     /* of those that are listed, or NULL */
    json_t *tips;     /* of trunk, the branches and their sides, or NULL */
    const char *into; /* in `row` */
    const char *why;  /* how it ends */
    json_t *ok;       /* the courier's last word, borrowed */
};

static void asking_free(struct asking *a)
{
    json_decref(a->row);
    json_decref(a->rows);
    json_decref(a->tips);
    free(a);
}

static void asking_fail(struct asking *a, const struct err *error)
{
    api_fail(a->call, error);
    asking_free(a);
}

static struct asking *asking_new(struct api_call *call)
{
    struct asking *a = mem_alloc(sizeof(*a));
    *a = (struct asking){.call = api_ref(call)};
    return a;
}

typedef void on_reply_fn(void *context, json_t *ok, const struct err *error);
/* Takes args. */
static void ask(struct asking *a, const char *verb, json_t *args, on_reply_fn *on_reply)
{
    json_put_text(args, "app", a->call->app.name);
    link_call(a->call->core->courier, verb, args, COURIER_MS, on_reply, a);
}

/* The same for what changes branches, wherever they live. Takes args. */
static void ask_change(struct asking *a, const char *verb, json_t *args, on_reply_fn *on_reply)
{
    json_put_text(args, "app", a->call->app.name);
    origin_ask(a->call->core, a->call->app.id, verb, args, CHANGE_MS, on_reply, a);
}

static void ask_tips(struct asking *a, const json_t *rows, on_reply_fn *on_reply)
{
    json_t *args = json_object(), *names = json_array();
    json_push(names, json_string(a->call->app.trunk));
    resolutions_names(rows, names);
    json_put(args, "names", names);
    ask(a, "branch.tips", args, on_reply);
}

/* What can be done with these now: the tips are known. False: trunk has none yet. */
static bool ask_states(struct asking *a, const json_t *rows, const json_t *tips,
                       on_reply_fn *on_reply)
{
    const char *base = json_text(tips, a->call->app.trunk);
    if (!base)
        return false;
    json_t *args = json_object();
    json_put_text(args, "base", base);
    json_put(args, "resolutions", resolutions_args(rows, tips, NULL));
    ask(a, "resolve.states", args, on_reply);
    return true;
}

/* ---- the list ---- */

/* Those that are open say what can be done with them; when the courier is away nobody knows. */
static void reply_list(struct asking *a, const json_t *states)
{
    AUTO_JSON *known = json_object();
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)states, i, row)
        json_put(known, json_text_or(row, "branch", ""), json_incref(row));
    json_array_foreach(a->rows, i, row)
    {
        const json_t *now = json_dict(known, json_text_or(row, "branch", ""));
        bool open = text_is(json_text(row, "state"), "open");
        if (open && json_object_size(now) > 0) {
            json_put_text(row, "tip", json_text(now, "tip"));
            json_put_text(row, "now", json_text(now, "state"));
            json_put_text(row, "text", json_text(now, "text"));
        } else {
            json_put_text(row, "now", NULL);
        }
    }
    json_t *reply = json_object();
    json_put(reply, "resolutions", TAKE(a->rows));
    api_reply(a->call, 200, reply);
    asking_free(a);
}

static void on_states(void *context, json_t *ok, const struct err *error)
{
    reply_list(context, error ? NULL : json_list(ok, "resolutions"));
}

static json_t *open_ones(const json_t *rows)
{
    json_t *open = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        if (text_is(json_text(row, "state"), "open"))
            json_push(open, json_incref(row));
    }
    return open;
}

static void on_list_tips(void *context, json_t *ok, const struct err *error)
{
    struct asking *a = context;
    AUTO_JSON *open = open_ones(a->rows);
    if (error || !ask_states(a, open, json_dict(ok, "tips"), on_states))
        reply_list(a, NULL);
}

API_HANDLER(api_resolutions)
{
    AUTO_JSON *rows = NULL;
    if (resolution_list(call->core, call->app.id, &rows, err) < 0)
        return -1;
    AUTO_JSON *open = open_ones(rows);
    struct asking *a = asking_new(call);
    a->rows = TAKE(rows);
    if (json_array_size(open) == 0)
        reply_list(a, NULL);
    else
        ask_tips(a, open, on_list_tips);
    return API_LATER;
}

/* ---- opening ---- */

static json_t *one(json_t *row)
{
    json_t *reply = json_object();
    json_put(reply, "resolution", row);
    return reply;
}

static int run_open(struct api_call *call, void *context, struct err *err)
{
    const struct asking *a = context;
    int64_t id = 0;
    json_t *row = NULL;
    if (access_check(call->core, &call->who, PERMISSION_BRANCH, call->app.id, 0, true, err) < 0 ||
        resolution_insert(call->core, &call->who, &call->app, a->ok, &id, err) < 0 ||
        resolution_row(call->core, call->app.id, id, &row, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = one(row);
    return 0;
}

static void on_opened(void *context, json_t *ok, const struct err *error)
{
    struct asking *a = context;
    struct core *core = a->call->core;
    int64_t app_id = a->call->app.id;
    if (error) {
        asking_fail(a, error);
        return;
    }
    a->ok = ok;
    api_finish_input(a->call, run_open, a);
    env_publish_repo(core, app_id, NULL);
    asking_free(a);
}

API_HANDLER(api_resolution_add)
{
    const json_t *branches = json_list(call->body, "branches");
    AUTO_FREE char *name = NULL;
    json_t *row = NULL;
    if (resolution_name(call->core, &call->app, branches, &name, &row, err) < 0)
        return -1;
    if (row) { /* it is open already */
        api_reply(api_ref(call), 200, one(row));
        return API_LATER;
    }
    json_t *args = json_object();
    json_put_text(args, "name", name);
    json_put(args, "sides", json_deep_copy(branches));
    ask_change(asking_new(call), "resolve.open", args, on_opened);
    return API_LATER;
}

/* ---- the end ---- */

/* Something may have ended it while the courier worked; one that is folded now has no branch any
 * more, which a look may have seen first. */
static int refuse_ended(struct api_call *call, const struct asking *a, struct err *err)
{
    AUTO_JSON *row = NULL;
    if (resolution_row(call->core, call->app.id, json_int(a->row, "id", 0), &row, err) < 0)
        return -1;
    const char *state = json_text_or(row, "state", "?");
    bool folds = text_is(a->why, "folded");
    if (text_is(state, "open") || (folds && (text_is(state, "landed") || text_is(state, "gone"))))
        return 0;
    return FAIL(err, E_STATE_CONFLICT, "it is closed already: %s", state);
}

static int run_close(struct api_call *call, void *context, struct err *err)
{
    const struct asking *a = context;
    json_t *row = NULL;
    if (refuse_ended(call, a, err) < 0)
        return -1;
    if (access_check(call->core, &call->who, PERMISSION_BRANCH, call->app.id, 0, true, err) < 0 ||
        resolution_close(call->core, call->who.actor, call->app.name, a->row, a->why, a->into,
                         err) < 0 ||
        resolution_row(call->core, call->app.id, json_int(a->row, "id", 0), &row, err) < 0)
        return -1;
    json_decref(call->reply);
    call->reply = one(row);
    return 0;
}

static void close_row(struct asking *a)
{
    struct core *core = a->call->core;
    int64_t app_id = a->call->app.id;
    api_finish_input(a->call, run_close, a);
    env_publish_repo(core, app_id, NULL);
    asking_free(a);
}

static int find_row(struct api_call *call, json_t **ret_row, struct err *err)
{
    int64_t id = 0;
    if (api_param_int(call, "resolution", &id, err) < 0)
        return -1;
    return resolution_row(call->core, call->app.id, id, ret_row, err);
}

/* ---- folding ---- */

static void on_folded(void *context, json_t *ok, const struct err *error)
{
    struct asking *a = context;
    (void)ok;
    if (error)
        asking_fail(a, error);
    else
        close_row(a);
}

static void ask_fold(struct asking *a)
{
    json_t *args = json_object();
    json_put(args, "resolution", resolution_arg(a->row, a->tips, NULL));
    json_put_text(args, "into", a->into);
    ask_change(a, "resolve.fold", args, on_folded);
}

/* The side that is meant: the one that is named, or, when `landed` is one of two, the other. */
static int choose_side(struct asking *a, const char *landed, struct err *err)
{
    const char *wanted = json_text(a->call->body, "into");
    size_t left = 0, i;
    json_t *side;
    json_array_foreach(json_list(a->row, "sides"), i, side)
    {
        const char *name = json_text(side, "branch");
        if (wanted ? !text_is(name, wanted) : text_is(name, landed))
            continue;
        left++;
        a->into = name;
    }
    if (left == 1)
        return 0;
    return FAIL(err, E_FIELD_INVALID,
                wanted ? "'into' is none of its branches" : "say 'into': the branch that gets it");
}

static void fold(struct asking *a, const char *landed)
{
    struct err err = ERR_INIT;
    if (choose_side(a, landed, &err) < 0)
        asking_fail(a, &err);
    else
        ask_fold(a);
}

static void on_landed(void *context, json_t *ok, const struct err *error)
{
    const json_t *told = error ? NULL : json_array_get(json_list(ok, "resolutions"), 0);
    fold(context, text_is(json_text(told, "state"), "landed") ? json_text(told, "side") : NULL);
}

static void on_fold_tips(void *context, json_t *ok, const struct err *error)
{
    struct asking *a = context;
    AUTO_JSON *rows = json_array();
    if (error) {
        asking_fail(a, error);
        return;
    }
    a->tips = json_incref(json_dict(ok, "tips"));
    json_push(rows, json_incref(a->row));
    if (json_text(a->call->body, "into") || !ask_states(a, rows, a->tips, on_landed))
        fold(a, NULL);
}

API_HANDLER(api_resolution_fold)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *rows = json_array();
    if (find_row(call, &row, err) < 0)
        return -1;
    if (!text_is(json_text(row, "state"), "open") && !text_is(json_text(row, "state"), "landed"))
        return FAIL(err, E_STATE_CONFLICT, "it is closed already: %s",
                    json_text_or(row, "state", "?"));
    json_push(rows, json_incref(row));
    struct asking *a = asking_new(call);
    a->row = TAKE(row);
    a->why = "folded";
    ask_tips(a, rows, on_fold_tips);
    return API_LATER;
}

/* ---- dropping ---- */

/* One that nobody has worked on goes; what people have made stays, for them to delete. */
static void on_branch_gone(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (error && error->kind != E_REF_CHANGED)
        asking_fail(context, error);
    else
        close_row(context);
}

API_HANDLER(api_resolution_drop)
{
    AUTO_JSON *row = NULL;
    if (find_row(call, &row, err) < 0)
        return -1;
    if (!text_is(json_text(row, "state"), "open"))
        return FAIL(err, E_STATE_CONFLICT, "it is closed already: %s",
                    json_text_or(row, "state", "?"));
    struct asking *a = asking_new(call);
    a->row = TAKE(row);
    a->why = "dropped";
    json_t *args = json_object();
    json_put_text(args, "name", json_text(a->row, "branch"));
    json_put_text(args, "expect", json_text(a->row, "opened"));
    ask_change(a, "branch.delete", args, on_branch_gone);
    return API_LATER;
}
