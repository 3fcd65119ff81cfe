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

/* A follower of lines: signals gives a batch, the asker gets it at its own pace, and only then the
 * next is asked for. What a slow asker misses meanwhile, signals counts. */
struct following {
    struct api_call *call;
    int64_t number;
    json_t *lines; /* the batch that is being sent; NULL: none */
    size_t sent;   /* of it */
    bool begun;    /* the asker knows whose numbers these are */
    bool ended;    /* signals has ended it, or went away */
};

static void ignore(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok, (void)error; /* the stream ends with its asker in any case */
}

static void tell_signals(struct following *f, const char *verb)
{
    json_t *args = json_object();
    json_put_int(args, "follow", f->number);
    link_call(f->call->core->signals, verb, args, SIGNALS_MS, ignore, NULL);
}

static void following_end(struct following *f)
{
    struct api_call *call = f->call;
    call->stream = NULL;
    if (call->http)
        http_end(call->http);
    json_decref(f->lines);
    free(f);
    api_unref(call);
}

/* Send as much of the batch as the asker takes. True: all of it. */
static bool send_batch(struct following *f)
{
    AUTO_BUF out = BUF_INIT(0);
    bool room = true;
    while (room && f->sent < json_array_size(f->lines)) {
        const json_t *line = json_array_get(f->lines, f->sent++);
        api_stream_put(&out, json_int(line, "seq", 0), "line", line);
        if (out.length >= API_STREAM_PIECE || f->sent == json_array_size(f->lines))
            room = api_stream_send(f->call, &out);
    }
    return room;
}

static void following_pump(struct api_call *call)
{
    struct following *f = call->stream;
    if (!f || !f->lines || !send_batch(f))
        return;
    json_decref(f->lines);
    f->lines = NULL;
    f->sent = 0;
    if (f->ended)
        following_end(f);
    else
        tell_signals(f, "more");
}

static void on_gone(struct api_call *call)
{
    struct following *f = call->stream;
    if (!f)
        return;
    if (f->ended)
        following_end(f);
    else
        tell_signals(f, "cancel");
}

/* What stands before the lines: at first whose numbers they have, and what went by unseen. The pump
 * sees whether there is room. */
static void send_words(struct following *f, json_t *batch)
{
    AUTO_BUF out = BUF_INIT(0);
    json_t *lost = json_object_get(batch, "lost");
    int64_t before = json_int(json_array_get(f->lines, 0), "seq", 1) - 1;
    AUTO_JSON *begin = json_object();
    AUTO_JSON *gap = json_object();
    json_put_int(begin, "began", json_int(batch, "began", 0));
    json_put(gap, "lost", lost ? json_incref(lost) : json_null());
    if (!f->begun)
        api_stream_put(&out, before, "begin", begin);
    if (lost)
        api_stream_put(&out, before, "gap", gap);
    f->begun = true;
    if (out.length)
        (void)api_stream_send(f->call, &out);
}

/* Rights are asked for each batch: they may change while the stream is open. */
static void on_lines(void *context, const char *event, json_t *args)
{
    struct following *f = context;
    (void)event;
    if (!f->call->http)
        return; /* cancelled already */
    if (!api_still_allowed(f->call)) {
        http_end(f->call->http);
        return;
    }
    json_decref(f->lines);
    f->lines = json_incref(json_list(args, "lines"));
    f->sent = 0;
    send_words(f, args);
    if (json_array_size(f->lines) == 0 && !json_object_get(args, "lost")) {
        json_decref(f->lines); /* the greeting: a batch is on its way without being asked for */
        f->lines = NULL;
        return;
    }
    following_pump(f->call);
}

static void on_follow_end(void *context, json_t *ok, const struct err *error)
{
    struct following *f = context;
    (void)ok, (void)error;
    f->ended = true;
    if (!f->lines || !f->call->http)
        following_end(f);
}

static int follow(struct api_call *call, const char *verb, json_t *args, struct err *err)
{
    if (!link_up(call->core->signals)) {
        json_decref(args);
        return FAIL(err, E_ROLE_DOWN, "'signals' is not running right now: try again in a second");
    }
    struct following *f = mem_alloc(sizeof(*f));
    *f = (struct following){.call = api_ref(call), .number = next_follow++};
    json_put_int(args, "follow", f->number);
    call->stream = f;
    call->on_gone = on_gone;
    call->on_room = following_pump;
    api_stream_begin(call);
    struct channel_request request = {
        .verb = verb, .args = args, .on_event = on_lines, .on_reply = on_follow_end, .context = f};
    link_request(call->core->signals, &request);
    return API_LATER;
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
        put_query_int(call, args, "before", err) < 0 ||
        put_query_int(call, args, "since", err) < 0 ||
        put_query_int(call, args, "release", err) < 0 ||
        put_query_text(call, args, "instance", err) < 0 ||
        put_query_text(call, args, "grep", err) < 0)
        return -1;
    json_put_int(args, "limit", limit);
    if (wants_follow)
        return follow(call, verb, TAKE(args), err);
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

/* "shop.dev": may the person see it? */
static bool may_see_name(struct api_call *call, const char *name)
{
    struct err ignored = ERR_INIT;
    struct app_env ae;
    struct str rest = str_of(name);
    AUTO_FREE char *app = str_dup(str_cut(&rest, '.'));
    AUTO_FREE char *env = str_dup(rest.data ? rest : STR(""));
    return app_env_find(call->core, app, env, &ae, &ignored) == 0 &&
           access_check(call->core, &call->who, PERMISSION_VIEW, ae.app_id, ae.env_id, false,
                        &ignored) == 0;
}

static void on_top(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (error) {
        api_fail(call, error);
        return;
    }
    json_t *reply = json_copy(ok);
    json_t *visible = json_object();
    const char *name;
    json_t *figures;
    json_object_foreach(json_dict(ok, "app_envs"), name, figures)
    {
        if (may_see_name(call, name))
            json_put(visible, name, json_deep_copy(figures));
    }
    json_put(reply, "app_envs", visible);
    api_reply(call, 200, reply);
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
    link_call(call->core->signals, "top", args, SIGNALS_MS, on_top, api_ref(call));
    return API_LATER;
}

/* ---- the event feed ---- */

struct subscription {
    struct api_call *call;
    struct feed_subscriber *subscriber;
    int64_t after;        /* the last event that was looked at */
    bool full;            /* the asker has enough: on_room goes on */
    int64_t only_app_env; /* 0: all that the person may see */
    int64_t only_app;
};

/* What is asked for each event is answered once for a run of events of one app-env: nothing can
 * change while they are sent. */
struct sight {
    bool known;
    bool sees;
    int64_t app_env_id;
    struct app_env ae;
};

static bool look(const struct subscription *s, int64_t app_env_id, struct app_env *ret_ae)
{
    struct err ignored = ERR_INIT;
    struct api_call *call = s->call;
    if (!app_env_id)
        return !s->only_app &&
               access_check(call->core, &call->who, PERMISSION_ADMIN, 0, 0, false, &ignored) == 0;
    if (s->only_app_env && app_env_id != s->only_app_env)
        return false;
    if (app_env_load(call->core, app_env_id, ret_ae, &ignored) < 0 ||
        (s->only_app && ret_ae->app_id != s->only_app))
        return false;
    return access_check(call->core, &call->who, PERMISSION_VIEW, ret_ae->app_id, ret_ae->env_id,
                        false, &ignored) == 0;
}

/* Rights are asked for each event: they may change while the stream is open. */
static bool may_see(const struct subscription *s, const struct feed_event *event,
                    struct sight *sight)
{
    if (!sight->known || sight->app_env_id != event->app_env_id) {
        *sight = (struct sight){.known = true, .app_env_id = event->app_env_id};
        sight->sees = look(s, event->app_env_id, &sight->ae);
    }
    return sight->sees || text_is(event->topic, "gap");
}

static json_t *event_json(const struct feed_event *event, const struct app_env *ae)
{
    json_t *data = json_object();
    json_put_int(data, "id", event->id);
    json_put_int(data, "at", event->at);
    json_put_text(data, "topic", event->topic);
    json_put_text(data, "app", *ae->app ? ae->app : NULL);
    json_put_text(data, "env", *ae->env ? ae->env : NULL);
    json_put(data, "data", json_incref(event->data));
    return data;
}

/* What stands beyond the cursor, as much as the asker takes. */
static void events_pump(struct api_call *call)
{
    struct subscription *s = call->stream;
    struct feed_event event;
    struct sight sight = {0};
    AUTO_BUF out = BUF_INIT(0);
    bool room = true;
    if (!s || !call->http)
        return;
    if (!access_still_valid(call->core, &call->who)) {
        http_end(call->http);
        return;
    }
    while (room && feed_next(call->core->feed, &s->after, &event) == 0) {
        if (!may_see(s, &event, &sight))
            continue;
        AUTO_JSON *data = event_json(&event, &sight.ae);
        api_stream_put(&out, event.id, event.topic, data);
        if (out.length >= API_STREAM_PIECE)
            room = api_stream_send(call, &out);
    }
    if (out.length)
        room = api_stream_send(call, &out);
    s->full = !room;
}

/* While the asker has enough, news only makes the backlog longer. */
static void on_news(void *context)
{
    struct subscription *s = context;
    if (!s->full)
        events_pump(s->call);
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
    if (env && !app)
        return FAIL(err, E_FIELD_INVALID, "'env' goes with 'app': say ?app=APP&env=ENV");
    if (app && app_load(call->core, app, &a, err) < 0)
        return -1;
    if (app && env && app_env_find(call->core, app, env, &ae, err) < 0)
        return -1;
    s->only_app = a.id;
    s->only_app_env = ae.id;
    return app ? access_check(call->core, &call->who, PERMISSION_VIEW, a.id, ae.env_id, false, err)
               : 0;
}

/* One page of what is kept. "next" goes on from here and is null at the end; "last" is where to ask
 * for what will come. */
static void read_page(struct api_call *call, struct subscription *s, int64_t limit)
{
    struct feed *feed = call->core->feed;
    struct feed_event event;
    struct sight sight = {0};
    json_t *items = json_array();
    while (json_array_size(items) < (size_t)limit && feed_next(feed, &s->after, &event) == 0) {
        if (may_see(s, &event, &sight))
            json_push(items, event_json(&event, &sight.ae));
    }
    call->reply = json_object();
    json_put(call->reply, "items", items);
    json_put(call->reply, "next",
             s->after < feed_last_id(feed) ? json_integer(s->after) : json_null());
    json_put_int(call->reply, "last", feed_last_id(feed));
}

static bool wants_page(struct api_call *call, int64_t limit)
{
    struct str accept = http_header(call->http, "accept");
    return limit > 0 || (accept.data && str_starts(accept, "application/json"));
}

static int start_subscription(struct api_call *call, const struct subscription *scope)
{
    struct subscription *s = mem_alloc(sizeof(*s));
    *s = *scope;
    call->stream = s;
    call->on_gone = end_subscription;
    call->on_room = events_pump;
    api_stream_begin(call);
    s->subscriber = feed_subscribe(call->core->feed, on_news, s);
    /* Where it begins: who is cut before the first event goes on from there. */
    AUTO_FREE char *cursor = mem_format("id: %lld\n\n", (long long)s->after);
    (void)http_write(call->http, str_of(cursor));
    events_pump(call);
    return API_LATER;
}

API_HANDLER(api_events)
{
    struct subscription scope = {.call = call};
    struct feed *feed = call->core->feed;
    int64_t limit = 0;
    if (read_scope(call, &scope, err) < 0 ||
        api_query_int(call, "after", 0, INT64_MAX / 2, 0, &scope.after, err) < 0 ||
        api_query_int(call, "limit", 1, 1000, 0, &limit, err) < 0)
        return -1;
    if (wants_page(call, limit)) {
        if (!scope.after)
            scope.after = feed_first_id(feed) - 1;
        read_page(call, &scope, limit ? limit : 100);
        return 0;
    }
    struct str last = http_header(call->http, "last-event-id");
    struct err ignored = ERR_INIT;
    if (last.data)
        err_ignore(str_to_int(last, 0, INT64_MAX / 2, "Last-Event-ID", &scope.after,
                              &ignored)); /* not a number: from now */
    if (!scope.after)
        scope.after = feed_last_id(feed);
    return start_subscription(call, &scope);
}
