/* The ticked set of an app-env: read with what became of its branches since, and changed. */
#include "core/api/handlers.h"
#include "core/link/link.h"

#define COURIER_MS 30000
#define NEWS_MS 10000 /* a page waits for them */

static int ticks_reply(struct api_call *call, struct err *err)
{
    json_t *rows = NULL;
    if (ticks_list(call->core, call->ae.id, &rows, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "ticks", rows);
    return 0;
}

/* ---- read ---- */

/* The rows wait in call->reply. What the courier cannot say stays null: the set is known without
 * him. */
static void reply_ticks(struct api_call *call)
{
    api_reply(call, 200, TAKE(call->reply));
}

static void on_news(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    const json_t *news = error ? NULL : json_dict(ok, "news");
    size_t i;
    json_t *tick;
    json_array_foreach(json_list(call->reply, "ticks"), i, tick)
    {
        json_t *count = json_object_get(news, json_text_or(tick, "branch", ""));
        if (json_is_integer(count))
            json_put(tick, "new", json_incref(count));
    }
    reply_ticks(call);
}

/* Those that moved since they were deployed are worth a question. */
static json_t *pairs_to_ask(const json_t *ticks)
{
    json_t *pairs = json_array();
    size_t i;
    json_t *tick;
    json_array_foreach(ticks, i, tick)
    {
        const char *now = json_text(tick, "now"), *since = json_text(tick, "deployed_tip");
        if (!now || !since)
            continue;
        if (text_is(now, since)) {
            json_put_int(tick, "new", 0);
            continue;
        }
        json_t *pair = json_object();
        json_put_text(pair, "branch", json_text(tick, "branch"));
        json_put_text(pair, "since", since);
        json_push(pairs, pair);
    }
    return pairs;
}

static void on_now(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    const json_t *tips = error ? NULL : json_dict(ok, "tips");
    size_t i;
    json_t *tick;
    json_put_bool(call->reply, "known", !error); /* else no "now" says that a branch is gone */
    json_array_foreach(json_list(call->reply, "ticks"), i, tick)
        json_put_text(tick, "now", json_text(tips, json_text_or(tick, "branch", "")));
    json_t *pairs = pairs_to_ask(json_list(call->reply, "ticks"));
    if (json_array_size(pairs) == 0) {
        json_decref(pairs);
        reply_ticks(call);
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", call->ae.app);
    json_put(args, "pairs", pairs);
    link_call(call->core->courier, "branch.news", args, NEWS_MS, on_news, call);
}

API_HANDLER(api_ticks)
{
    json_t *names = json_array(), *tick;
    size_t i;
    if (ticks_reply(call, err) < 0) {
        json_decref(names);
        return -1;
    }
    json_array_foreach(json_list(call->reply, "ticks"), i, tick)
    {
        json_put(tick, "now", json_null());
        json_put(tick, "new", json_null());
        json_push(names, json_incref(json_object_get(tick, "branch")));
    }
    json_put_bool(call->reply, "known", true);
    if (json_array_size(names) == 0) {
        json_decref(names);
        return 0;
    }
    json_t *args = json_object();
    json_put_text(args, "app", call->ae.app);
    json_put(args, "names", names);
    link_call(call->core->courier, "branch.tips", args, NEWS_MS, on_now, api_ref(call));
    return API_LATER;
}

/* ---- change ---- */

/* NULL when absent; a null is no empty set. */
static const json_t *wanted_set(const struct api_call *call)
{
    const json_t *set = json_object_get(call->body, "set");
    return json_is_array(set) ? set : NULL;
}

static int run_ticks(struct api_call *call, void *context, struct err *err)
{
    (void)context;
    if (ticks_change(call->core, &call->who, &call->ae, json_list(call->body, "add"),
                     json_list(call->body, "remove"), wanted_set(call), err) < 0)
        return -1;
    json_decref(TAKE(call->reply));
    return ticks_reply(call, err);
}

/* ---- branches that must be there ---- */

struct after_tips {
    struct api_call *call;
    int (*run)(struct api_call *call, void *context, struct err *err);
};

static int check_tips(const struct api_call *call, const json_t *ok, struct err *err)
{
    const char *name;
    json_t *tip;
    json_object_foreach(json_dict(ok, "tips"), name, tip)
    {
        if (!json_is_string(tip))
            return FAIL(err, E_BRANCH_UNKNOWN,
                        "the repository of '%s' has no branch '%s': push it first", call->app.name,
                        name);
    }
    return 0;
}

static void on_tips(void *context, json_t *ok, const struct err *error)
{
    struct after_tips *after = context;
    struct api_call *call = after->call;
    struct err err = ERR_INIT;
    if (error)
        api_fail(call, error);
    else if (check_tips(call, ok, &err) < 0)
        api_fail(call, &err);
    else
        api_finish_input(call, after->run, NULL);
    free(after);
}

int api_with_branches(struct api_call *call, const json_t *names,
                      int (*run)(struct api_call *call, void *context, struct err *err),
                      struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach((json_t *)(uintptr_t)names, i, name)
    {
        if (!json_is_string(name) || !str_is_branch(str_of(json_string_value(name))))
            return FAIL(err, E_REF_INVALID, "a branch name in the list is not valid");
    }
    if (json_array_size(names) == 0) {
        api_finish_input(api_ref(call), run, NULL);
        return API_LATER;
    }
    json_t *args = json_object();
    json_put_text(args, "app", call->app.name);
    json_put(args, "names", json_deep_copy(names));
    struct after_tips *after = mem_alloc(sizeof(*after));
    *after = (struct after_tips){api_ref(call), run};
    link_call(call->core->courier, "branch.tips", args, COURIER_MS, on_tips, after);
    return API_LATER;
}

API_HANDLER(api_ticks_change)
{
    const json_t *set = wanted_set(call);
    return api_with_branches(call, set ? set : json_list(call->body, "add"), run_ticks, err);
}
