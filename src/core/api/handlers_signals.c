/* What signals knows: logs, requests, figures; and the one event feed. */
#include "core/api/handlers.h"
#include "core/feed/feed.h"
#include "core/link/link.h"

#define SIGNALS_MS 10000

static int64_t next_follow = 1;

static void on_answer(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail(call, error);
    else
        api_reply(call, 200, json_deep_copy(ok));
}

/* ---- lines ---- */

struct following {
    struct api_call *call;
    int64_t number;
};

static void ignore(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok, (void)error; /* the stream ends with its asker in any case */
}

static void on_gone(struct api_call *call)
{
    struct following *f = call->stream;
    if (!f)
        return;
    json_t *args = json_object();
    json_put_int(args, "follow", f->number);
    link_call(call->core->signals, "cancel", args, SIGNALS_MS, ignore, NULL);
}

static void on_lines(void *context, const char *event, json_t *args)
{
    struct following *f = context;
    size_t i;
    json_t *line;
    (void)event;
    json_array_foreach(json_list(args, "lines"), i, line)(void) api_stream_send(
        f->call, json_int(line, "seq", 0), "line", line); /* false: cancelled already */
}

static void on_follow_end(void *context, json_t *ok, const struct err *error)
{
    struct following *f = context;
    (void)ok, (void)error;
    f->call->stream = NULL;
    if (f->call->http)
        http_end(f->call->http);
    api_unref(f->call);
    free(f);
}

static void follow(struct api_call *call, const char *verb, json_t *args)
{
    struct following *f = mem_alloc(sizeof(*f));
    *f = (struct following){api_ref(call), next_follow++};
    json_put_int(args, "follow", f->number);
    call->stream = f;
    call->on_gone = on_gone;
    api_stream_begin(call);
    struct channel_request request = {
        .verb = verb, .args = args, .on_event = on_lines, .on_reply = on_follow_end, .context = f};
    link_request(call->core->signals, &request);
}

static int put_query_int(struct api_call *call, json_t *args, const char *name, struct err *err)
{
    int64_t value = 0;
    if (api_query_int(call, name, 0, INT64_MAX / 2, 0, &value, err) < 0)
        return -1;
    if (value)
        json_put_int(args, name, value);
    return 0;
}

static int put_query_text(struct api_call *call, json_t *args, const char *name, struct err *err)
{
    AUTO_FREE char *text = NULL;
    if (api_query_text(call, name, &text, err) < 0)
        return -1;
    if (text && *text)
        json_put_text(args, name, text);
    return 0;
}

static int query_lines(struct api_call *call, const char *verb, struct err *err)
{
    AUTO_JSON *args = json_object();
    int64_t limit = 0;
    int64_t wants_follow = 0;
    json_put_text(args, "app_env", call->ae.subject);
    if (api_query_int(call, "limit", 1, 10000, 100, &limit, err) < 0 ||
        api_query_int(call, "follow", 0, 1, 0, &wants_follow, err) < 0 ||
        put_query_int(call, args, "after", err) < 0 ||
        put_query_int(call, args, "since", err) < 0 ||
        put_query_int(call, args, "release", err) < 0 ||
        put_query_text(call, args, "instance", err) < 0 ||
        put_query_text(call, args, "grep", err) < 0)
        return -1;
    json_put_int(args, "limit", limit);
    if (wants_follow)
        follow(call, verb, TAKE(args));
    else
        link_call(call->core->signals, verb, TAKE(args), SIGNALS_MS, on_answer, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_logs)
{
    return query_lines(call, "logs", err);
}

API_HANDLER(api_requests)
{
    return query_lines(call, "requests", err);
}

API_HANDLER(api_top)
{
    int64_t seconds = 0;
    if (api_query_int(call, "seconds", 1, 3600, 60, &seconds, err) < 0)
        return -1;
    json_t *args = json_object();
    json_put_int(args, "seconds", seconds);
    if (call->has_app_env)
        json_put_text(args, "app_env", call->ae.subject);
    link_call(call->core->signals, "top", args, SIGNALS_MS, on_answer, api_ref(call));
    return API_LATER;
}

/* ---- the event feed ---- */

struct subscription {
    struct api_call *call;
    struct feed_subscriber *subscriber;
    int64_t only_app_env; /* 0: all that the person may see */
    int64_t only_app;
};

/* Rights are asked for each event: they may change while the stream is open. */
static bool may_see(struct subscription *s, const struct feed_event *event, struct app_env *ret_ae)
{
    struct err ignored = ERR_INIT;
    struct api_call *call = s->call;
    if (!event->app_env_id)
        return call->who.admin || text_is(event->topic, "gap");
    if (s->only_app_env && event->app_env_id != s->only_app_env)
        return false;
    if (app_env_load(call->core, event->app_env_id, ret_ae, &ignored) < 0 ||
        (s->only_app && ret_ae->app_id != s->only_app))
        return false;
    return access_check(call->core, &call->who, PERMISSION_VIEW, ret_ae->app_id, ret_ae->env_id,
                        false, &ignored) == 0;
}

static void on_event(void *context, const struct feed_event *event)
{
    struct subscription *s = context;
    struct app_env ae = {0};
    if (!s->call->http || !may_see(s, event, &ae))
        return;
    AUTO_JSON *data = json_object();
    json_put_int(data, "id", event->id);
    json_put_int(data, "at", event->at);
    json_put_text(data, "topic", event->topic);
    json_put_text(data, "app", *ae.app ? ae.app : NULL);
    json_put_text(data, "env", *ae.env ? ae.env : NULL);
    json_put(data, "data", json_incref(event->data));
    (void)api_stream_send(s->call, event->id, event->topic,
                          data); /* a slow client is dropped by the server */
}

static void end_subscription(struct api_call *call)
{
    struct subscription *s = call->stream;
    call->stream = NULL;
    feed_unsubscribe(call->core->feed, s->subscriber);
    free(s);
}

static int read_scope(struct api_call *call, struct subscription *s, struct err *err)
{
    AUTO_FREE char *app = NULL;
    AUTO_FREE char *env = NULL;
    struct app a = {0};
    struct app_env ae = {0};
    if (api_query_text(call, "app", &app, err) < 0 || api_query_text(call, "env", &env, err) < 0)
        return -1;
    if (app && app_load(call->core, app, &a, err) < 0)
        return -1;
    if (app && env && app_env_find(call->core, app, env, &ae, err) < 0)
        return -1;
    s->only_app = a.id;
    s->only_app_env = ae.id;
    return app ? access_check(call->core, &call->who, PERMISSION_VIEW, a.id, ae.env_id, false, err)
               : 0;
}

API_HANDLER(api_events)
{
    struct subscription scope = {.call = call};
    int64_t after = 0;
    if (read_scope(call, &scope, err) < 0 ||
        api_query_int(call, "after", 0, INT64_MAX / 2, 0, &after, err) < 0)
        return -1;
    struct str last = http_header(call->http, "last-event-id");
    struct err ignored = ERR_INIT;
    if (last.data)
        err_ignore(str_to_int(last, 0, INT64_MAX / 2, "Last-Event-ID", &after,
                              &ignored)); /* not a number: from now */
    struct subscription *s = mem_alloc(sizeof(*s));
    *s = scope;
    call->stream = s;
    call->on_gone = end_subscription;
    api_stream_begin(call);
    s->subscriber = feed_subscribe(call->core->feed, after ? after : -1, on_event, s);
    return API_LATER;
}
