/* A request's way: host and origin are checked, the route is found, the person told, the body read
 * and its shape checked, the objects loaded and the gate asked; only then the handler runs. Replies
 * leave when the turn is durable. */
#include "core/api/page.h"

#include <arpa/inet.h>

#include "base/check.h"
#include "base/log.h"
#include "base/url.h"
#include "core/tick/tick.h"
#include "io/loop.h"
#include "wire/settings.h"

#define API_PREFIX "/api/v1"
#define RECHECK_MS 3000
#define STREAM_QUEUED (128u << 10)   /* a stream waits for its asker above this */
#define STREAM_QUEUED_MAX (8u << 20) /* cannot be: one event is far smaller */

static struct http_server *servers[2];

/* ---- the life of a call ---- */

struct api_call *api_ref(struct api_call *call)
{
    call->references++;
    return call;
}

void api_unref(struct api_call *call)
{
    if (!call || --call->references > 0)
        return;
    for (size_t i = 0; i < call->param_count; i++)
        free(call->params[i]);
    json_decref(call->body);
    json_decref(call->reply);
    free(call->cookie);
    free(call);
}

static size_t
    raw_collecting[2]; /* bodies taken as they are that are being read, of strangers or not */

static void raw_end(struct api_call *call)
{
    raw_collecting[call->who.anonymous] -= call->raw_collected;
    call->raw_collected = false;
}

static void on_close(void *context, bool complete)
{
    struct api_call *call = context;
    (void)complete;
    call->http = NULL;
    raw_end(call);
    if (call->on_gone)
        call->on_gone(call);
    api_unref(call);
}

static void send_json(struct api_call *call)
{
    if (!call->http || http_responded(call->http))
        return;
    const char *const headers[] = {"Content-Type",
                                   "application/json",
                                   "Cache-Control",
                                   "no-store",
                                   "X-Content-Type-Options",
                                   "nosniff",
                                   "Cross-Origin-Resource-Policy",
                                   "same-origin",
                                   call->cookie ? "Set-Cookie" : NULL,
                                   call->cookie,
                                   NULL};
    AUTO_FREE char *text = json_print(call->reply);
    AUTO_FREE char *line = mem_format("%s\n", text);
    http_respond(call->http, call->status, headers, str_of(line));
}

/* Nobody that we know: not signed in, or not even listened to. */
static bool is_stranger(const struct api_call *call)
{
    return call->who.anonymous || (call->who.id == 0 && !call->who.admin);
}

static void send_retry_after(struct api_call *call, const struct err *error)
{
    AUTO_FREE char *seconds = mem_format("%lld", (long long)call->retry_after_s);
    const char *const headers[] = {"Content-Type",
                                   "application/json",
                                   "Cache-Control",
                                   "no-store",
                                   "Retry-After",
                                   seconds,
                                   NULL};
    AUTO_JSON *reply = json_from_err(error);
    AUTO_FREE char *text = json_print(reply);
    AUTO_FREE char *line = mem_format("%s\n", text);
    http_respond(call->http, err_status(error->kind), headers, str_of(line));
}

static void send_error(struct api_call *call, const struct err *error)
{
    free(TAKE(call->cookie)); /* its session was rolled back with the rest */
    if (!call->http || http_responded(call->http))
        return;
    if (err_status(error->kind) >= 500)
        log_error("a request failed", F_STR("route", call->route ? call->route->path : "-"),
                  F_ERR(error));
    if (is_stranger(call))
        refused_count(error->kind);
    if (call->retry_after_s)
        send_retry_after(call, error);
    else
        http_respond_error(call->http, error);
}

static void reply_durable(void *context, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        send_error(call, error);
    else
        send_json(call);
    api_unref(call);
}

static void reply_dropped(void *context)
{
    api_unref(context);
}

/* Takes a reference of its own. */
static void reply_later(struct api_call *call)
{
    tick_after(call->core->tick, reply_durable, reply_dropped, api_ref(call));
}

void api_reply(struct api_call *call, int status, json_t *reply)
{
    json_decref(call->reply);
    call->reply = reply;
    call->status = status;
    reply_later(call);
    api_unref(call);
}

void api_fail(struct api_call *call, const struct err *error)
{
    send_error(call, error);
    api_unref(call);
}

void api_fail_detail(struct api_call *call, const struct err *error, const json_t *detail)
{
    if (!json_object_size(detail) || !call->http || http_responded(call->http)) {
        api_fail(call, error);
        return;
    }
    json_t *body = json_from_err(error);
    json_put(body, "detail", json_deep_copy(detail));
    json_decref(call->reply);
    call->reply = body;
    call->status = err_status(error->kind);
    send_json(call);
    api_unref(call);
}

/* ---- parameters ---- */

const char *api_param(const struct api_call *call, const char *name)
{
    for (size_t i = 0; i < call->param_count; i++) {
        if (strlen(name) == call->param_name_lengths[i] &&
            memcmp(name, call->param_names[i], call->param_name_lengths[i]) == 0)
            return call->params[i];
    }
    PANIC("a handler asks for a parameter that its route lacks");
}

int api_param_int(const struct api_call *call, const char *name, int64_t *ret_value,
                  struct err *err)
{
    struct err ignored = ERR_INIT;
    if (str_to_int(str_of(api_param(call, name)), 1, INT64_MAX / 2, name, ret_value, &ignored) < 0)
        return FAIL(err, E_NOT_FOUND, "no such %s", name);
    return 0;
}

int api_query_text(const struct api_call *call, const char *name, char **ret_text_or_null,
                   struct err *err)
{
    return http_query_get(call->http, name, ret_text_or_null, err);
}

int api_query_int(const struct api_call *call, const char *name, int64_t min, int64_t max,
                  int64_t fallback, int64_t *ret_value, struct err *err)
{
    AUTO_FREE char *text = NULL;
    if (http_query_get(call->http, name, &text, err) < 0)
        return -1;
    if (!text) {
        *ret_value = fallback;
        return 0;
    }
    return str_to_int(str_of(text), min, max, name, ret_value, err);
}

int api_query_page(const struct api_call *call, int64_t *ret_after, int64_t *ret_limit,
                   struct err *err)
{
    if (api_query_int(call, "after", 0, INT64_MAX / 2, 0, ret_after, err) < 0)
        return -1;
    return api_query_int(call, "limit", 1, 1000, 100, ret_limit, err);
}

json_t *api_page(json_t *rows, const char *key, int64_t limit)
{
    json_t *page = json_object();
    size_t count = json_array_size(rows);
    json_t *last =
        count >= (size_t)limit ? json_object_get(json_array_get(rows, count - 1), key) : NULL;
    json_put(page, "next", last ? json_incref(last) : json_null());
    json_put(page, "items", rows);
    return page;
}

static char *row_name(const json_t *row, const char *owner)
{
    const char *name = json_text_or(row, "name", "");
    return owner ? mem_format("%s/%s", json_text_or(row, owner, ""), name) : mem_strdup(name);
}

/* The first row behind the named one; that may be gone from a list in the order of names. */
static size_t row_behind(const json_t *rows, const char *owner, const char *after)
{
    size_t i, behind = json_array_size(rows);
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        AUTO_FREE char *name = row_name(row, owner);
        if (text_is(name, after))
            return i + 1;
        if (strcmp(name, after) > 0 && i < behind)
            behind = i;
    }
    return behind;
}

int api_page_by_name(struct api_call *call, json_t *rows, const char *owner, struct err *err)
{
    AUTO_JSON *all = rows;
    AUTO_FREE char *after = NULL;
    int64_t limit = 0;
    if (api_query_text(call, "after", &after, err) < 0 ||
        api_query_int(call, "limit", 1, 1000, 100, &limit, err) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = json_array_size(all);
    size_t i = after && *after ? row_behind(all, owner, after) : 0;
    for (; i < count && json_array_size(items) < (size_t)limit; i++)
        json_push(items, json_incref(json_array_get(all, i)));
    AUTO_FREE char *next = i < count ? row_name(json_array_get(all, i - 1), owner) : NULL;
    call->reply = json_object();
    json_put(call->reply, "items", items);
    json_put_text(call->reply, "next", next);
    return 0;
}

/* ---- matching ---- */

/* One pattern segment against one raw segment: a literal must be equal byte for byte; a parameter
 * is decoded once. */
static bool match_segment(struct api_call *call, struct str pattern, struct str raw,
                          struct err *err)
{
    if (pattern.length < 2 || pattern.data[0] != '{')
        return str_equal(pattern, raw);
    if (raw.length == 0 || call->param_count == API_PARAMS_MAX)
        return false;
    char *value = NULL;
    if (http_decode_segment(raw, &value, err) < 0)
        return false;
    call->param_names[call->param_count] = pattern.data + 1;
    call->param_name_lengths[call->param_count] = pattern.length - 2;
    call->params[call->param_count++] = value;
    return true;
}

static void drop_params(struct api_call *call)
{
    for (size_t i = 0; i < call->param_count; i++)
        free(call->params[i]);
    call->param_count = 0;
}

static bool match_path(struct api_call *call, const char *pattern, struct str path)
{
    struct err ignored = ERR_INIT;
    struct str wanted = str_of(pattern + 1);
    struct str given = path;
    while (wanted.data && given.data) {
        struct str a = str_cut(&wanted, '/');
        struct str b = str_cut(&given, '/');
        if (!match_segment(call, a, b, &ignored))
            break;
        if (!wanted.data && !given.data)
            return true;
    }
    drop_params(call);
    return false;
}

/* E_NOT_FOUND without a route of that path, E_METHOD_NOT_ALLOWED with one of another method (but
 * strangers learn of the open routes only). */
static int find_route(struct api_call *call, struct err *err)
{
    struct str path = http_path(call->http);
    bool other_method = false;
    bool open = false;
    if (!str_starts(path, API_PREFIX "/"))
        return FAIL(err, E_NOT_FOUND, "no such address");
    path.data += sizeof(API_PREFIX);
    path.length -= sizeof(API_PREFIX);
    for (size_t i = 0; i < api_route_count; i++) {
        if (!match_path(call, api_routes[i].path, path))
            continue;
        if (str_is(http_method(call->http), api_routes[i].method)) {
            call->route = &api_routes[i];
            return 0;
        }
        other_method = true;
        open = open || api_routes[i].permission == PERMISSION_NONE;
        drop_params(call);
    }
    if (other_method && !open && call->who.anonymous)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    if (other_method)
        return FAIL(err, E_METHOD_NOT_ALLOWED, "this address does not know that method");
    return FAIL(err, E_NOT_FOUND, "no such address");
}

/* ---- who asks, from where ---- */

/* "10.0.0.5:7000", "[fd00::5]:7000": the address in it, as the system writes it; false: a name. */
static bool host_address(struct str host, char ret_text[INET6_ADDRSTRLEN])
{
    struct in6_addr bytes;
    bool six = host.length && host.data[0] == '[';
    if (six)
        host = (struct str){host.data + 1, host.length - 1};
    AUTO_FREE char *text = str_dup(str_cut(&host, six ? ']' : ':'));
    int family = six ? AF_INET6 : AF_INET;
    if (six && (!host.data || (host.length && host.data[0] != ':')))
        return false;
    return inet_pton(family, text, &bytes) == 1 &&
           inet_ntop(family, &bytes, ret_text, INET6_ADDRSTRLEN) != NULL;
}

/* A page of another site must not reach us by a name that points here (DNS rebinding). An address
 * is no name: the one that the connection came to is ours. */
static bool host_is_ours(const struct api_call *call, struct str host)
{
    const struct settings *settings = call->core->settings;
    char address[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
    if (host_address(host, address))
        return text_is(address, "127.0.0.1") || text_is(address, "::1") ||
               (http_local(call->http, local) && text_is(address, local));
    struct str name = str_cut(&host, ':');
    AUTO_FREE char *own = mem_format("slipway.%s", settings->base_domain);
    return settings_is_public(settings, name) || str_equal_nocase(name, "localhost") ||
           str_equal_nocase(name, own);
}

/* The edge puts who it was in place of what the asker said; a proxy before us adds it at the end.
 * Others than proxies of this machine are not believed. */
char *api_address(const struct api_call *call)
{
    const char *peer = http_peer(call->http);
    struct str given = {0}, name, value;
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < http_header_count(call->http); i++) {
        http_header_at(call->http, i, &name, &value);
        if (str_equal_nocase(name, "x-forwarded-for"))
            given = value; /* the last field: a proxy may add one of its own */
    }
    struct in6_addr bytes;
    if (!given.data || !(text_starts(peer, "127.") || text_is(peer, "::1")))
        return mem_strdup(peer);
    while (memchr(given.data, ',', given.length))
        (void)str_cut(&given, ',');
    AUTO_FREE char *last = str_dup(str_trim(given));
    if (inet_pton(AF_INET, last, &bytes) == 1)
        return mem_strdup(last);
    if (inet_pton(AF_INET6, last, &bytes) != 1)
        return mem_strdup(peer);
    return mem_strdup(inet_ntop(AF_INET6, &bytes, text, sizeof(text)) ? text : peer);
}

static int check_origin(const struct api_call *call, struct err *err)
{
    struct str host = http_header(call->http, "host");
    struct str origin = http_header(call->http, "origin");
    if (http_peer_uid(call->http) != (uid_t)-1)
        return 0; /* a unix socket has no browser behind it */
    if (!host.data || !host_is_ours(call, host))
        return FAIL(err, E_HOST_UNKNOWN, "this server does not answer to that host name");
    if (!origin.data)
        return 0;
    AUTO_FREE char *http = mem_format("http://%.*s", (int)host.length, host.data);
    AUTO_FREE char *https = mem_format("https://%.*s", (int)host.length, host.data);
    if (!str_is(origin, http) && !str_is(origin, https))
        return FAIL(err, E_ORIGIN_FORBIDDEN, "a page of another origin may not ask this server");
    return 0;
}

/* A cookie that is good no more is as none: the open routes must work with it, to sign in anew. */
static int identify_browser(struct api_call *call, struct err *err)
{
    struct str token;
    struct err ignored = ERR_INIT;
    person_anonymous(&call->who);
    if (session_token(call, &token, err) < 0)
        return -1;
    if (!token.data || access_authenticate(call->core, token, &call->who, &ignored) < 0) {
        person_anonymous(&call->who);
        return 0;
    }
    call->by_cookie = true;
    return session_check(call, err);
}

static int identify(struct api_call *call, struct err *err)
{
    struct str header = http_header(call->http, "authorization");
    if (header.data) {
        if (!str_starts(header, "Bearer "))
            return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
        return access_authenticate(call->core, (struct str){header.data + 7, header.length - 7},
                                   &call->who, err);
    }
    if (http_peer_uid(call->http) == 0) {
        person_root(&call->who);
        return 0;
    }
    return identify_browser(call, err);
}

/* ---- the gate ---- */

static bool route_has(const struct api_call *call, const char *name)
{
    for (size_t i = 0; i < call->param_count; i++) {
        if (strlen(name) == call->param_name_lengths[i] &&
            memcmp(name, call->param_names[i], call->param_name_lengths[i]) == 0)
            return true;
    }
    return false;
}

static int load_objects(struct api_call *call, struct err *err)
{
    if (!route_has(call, "app"))
        return 0;
    if (app_load(call->core, api_param(call, "app"), &call->app, err) < 0)
        return -1;
    call->has_app = true;
    if (!route_has(call, "env"))
        return 0;
    call->has_app_env = true;
    return app_env_find(call->core, call->app.name, api_param(call, "env"), &call->ae, err);
}

static int check_gate(struct api_call *call, struct err *err)
{
    if (call->route->permission != PERMISSION_NONE && call->who.anonymous)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    if (load_objects(call, err) < 0)
        return -1;
    bool writes = (call->route->flags & (API_WRITE | API_NO_INPUT)) != 0;
    return access_check(call->core, &call->who, call->route->permission,
                        call->has_app ? call->app.id : 0, call->has_app_env ? call->ae.env_id : 0,
                        writes, err);
}

static int run_handler(void *context, struct err *err)
{
    struct api_call *call = context;
    if (check_gate(call, err) < 0)
        return -1;
    if (call->body &&
        json_check(call->body, call->route->fields, call->route->field_count, err) < 0)
        return -1;
    int result = call->route->handle(call, err);
    if (result == 0)
        reply_later(call);
    return result;
}

static void dispatch(struct api_call *call)
{
    struct err err = ERR_INIT;
    int result;
    call->status = call->route->status;
    if (call->route->flags & API_WRITE)
        result = tick_input(call->core->tick, call->route->path, run_handler, call, &err);
    else
        result = run_handler(call, &err);
    if (result < 0)
        send_error(call, &err);
}

/* ---- bodies ---- */

static void on_body(struct http_request *request, struct str body)
{
    struct api_call *call = http_context(request);
    struct err err = ERR_INIT;
    if (body.length == 0)
        call->body = json_object();
    else if (json_parse(body, &call->body, &err) < 0 ||
             (!json_is_object(call->body) &&
              FAIL(&err, E_JSON_INVALID, "the body must be a JSON object") < 0)) {
        send_error(call, &err);
        return;
    }
    dispatch(call);
}

static void on_raw(struct http_request *request, struct str body)
{
    struct api_call *call = http_context(request);
    raw_end(call);
    call->raw = body;
    dispatch(call);
    call->raw = (struct str){0};
}

/* So many at once, and no more; strangers do not take those of people. */
static int collect_raw(struct api_call *call, struct err *err)
{
    if (raw_collecting[call->who.anonymous] >= API_RAW_AT_ONCE) {
        call->retry_after_s = 1;
        return FAIL(err, E_TOO_MANY, "too many deliveries at once: send it again");
    }
    if (call->route->permission != PERMISSION_NONE && call->who.anonymous)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    raw_collecting[call->who.anonymous]++;
    call->raw_collected = true;
    http_body_collect(call->http, call->who.anonymous ? API_RAW_MAX : API_RAW_KNOWN_MAX, on_raw);
    return 0;
}

static int check_media_type(const struct api_call *call, struct err *err)
{
    struct str type = http_header(call->http, "content-type");
    struct str name = type.data ? str_trim(str_cut(&type, ';')) : STR("");
    if (http_header(call->http, "content-encoding").data)
        return FAIL(err, E_MEDIA_TYPE, "send the body without a content encoding");
    if (http_content_length(call->http) == 0 || str_equal_nocase(name, "application/json"))
        return 0;
    return FAIL(err, E_MEDIA_TYPE, "send the body as application/json");
}

static int begin(struct api_call *call, struct err *err)
{
    if (check_origin(call, err) < 0)
        return -1;
    if (page_wants(http_path(call->http)))
        return page_serve(call, err);
    if (identify(call, err) < 0 || find_route(call, err) < 0)
        return -1;
    if (call->route->flags & API_RAW)
        return collect_raw(call, err);
    if (!call->route->fields) {
        dispatch(call);
        return 0;
    }
    /* Not a byte of a body is read for somebody who could not use the route at all. */
    if (call->route->permission != PERMISSION_NONE && call->who.anonymous)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    if (check_media_type(call, err) < 0)
        return -1;
    http_body_collect(call->http, API_BODY_MAX, on_body);
    return 0;
}

static void on_request(void *context, struct http_request *request)
{
    struct err err = ERR_INIT;
    struct api_call *call = mem_alloc(sizeof(*call));
    call->references = 1;
    call->core = context;
    call->http = request;
    http_set_context(request, call, on_close);
    if (begin(call, &err) < 0)
        send_error(call, &err);
}

/* ---- handlers that asked another role first ---- */

struct finish {
    struct api_call *call;
    int (*fn)(struct api_call *call, void *context, struct err *err);
    void *context;
};

static int run_finish(void *context, struct err *err)
{
    struct finish *f = context;
    /* Rights and objects may have changed while we asked. */
    if (check_gate(f->call, err) < 0 || f->fn(f->call, f->context, err) < 0)
        return -1;
    reply_later(f->call);
    return 0;
}

void api_finish_input(struct api_call *call,
                      int (*fn)(struct api_call *call, void *context, struct err *err),
                      void *context)
{
    struct finish f = {call, fn, context};
    struct err err = ERR_INIT;
    if (tick_input(call->core->tick, call->route->path, run_finish, &f, &err) < 0)
        send_error(call, &err);
    api_unref(call);
}

/* ---- streams ---- */

struct recheck {
    struct api_call *call;
    struct timer *timer;
};

bool api_still_allowed(struct api_call *call)
{
    struct err ignored = ERR_INIT;
    return access_still_valid(call->core, &call->who) && check_gate(call, &ignored) == 0;
}

static void recheck_now(void *context)
{
    struct recheck *r = context;
    struct api_call *call = r->call;
    if (call->http && api_still_allowed(call))
        return;
    timer_free(&r->timer);
    if (call->http)
        http_end(call->http);
    api_unref(call);
    free(r);
}

static void drained(struct http_request *request)
{
    struct api_call *call = http_context(request);
    if (call->on_room)
        call->on_room(call);
}

void api_stream_begin(struct api_call *call)
{
    static const char *const headers[] = {"Cache-Control", "no-store", "X-Accel-Buffering", "no",
                                          NULL};
    struct recheck *r = mem_alloc(sizeof(*r));
    r->call = api_ref(call);
    http_begin(call->http, 200, headers, HTTP_BEGIN_EVENTS, 0);
    http_on_drain(call->http, drained);
    timer_start(&r->timer, RECHECK_MS, RECHECK_MS, recheck_now, r);
}

void api_stream_put(struct buf *out, int64_t id, const char *event, const json_t *data)
{
    AUTO_FREE char *text = json_print(data);
    (void)buf_add_format(out, "id: %lld\nevent: %s\ndata: ", (long long)id, event); /* unlimited */
    (void)buf_add_text(out, text);
    (void)buf_add_text(out, "\n\n");
}

bool api_stream_send(struct api_call *call, struct buf *out)
{
    if (!call->http)
        return false;
    size_t queued = http_write(call->http, buf_str(out));
    buf_clear(out);
    return queued <= STREAM_QUEUED;
}

/* ---- start ---- */

int api_start(struct core *core, int unix_fd, int tcp_fd, struct err *err)
{
    struct http_server_callbacks callbacks = {on_request, core};
    struct http_limits limits = {.stream_queue_max = STREAM_QUEUED_MAX};
    (void)err;
    servers[0] = http_server_new(unix_fd, &limits, &callbacks);
    if (tcp_fd >= 0)
        servers[1] = http_server_new(tcp_fd, &limits, &callbacks);
    refused_start();
    page_start();
    return 0;
}

void api_stop(void)
{
    refused_stop();
    page_stop();
    for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
        if (servers[i])
            http_server_free(servers[i]);
        servers[i] = NULL;
    }
}
