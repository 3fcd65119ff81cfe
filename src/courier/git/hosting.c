/* Smart HTTP, the front: routes, limits, error answers. What happens to a request is session.c. */
#include <stdio.h>
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "courier/git/session.h"

#define SESSIONS_MAX 64 /* at once: each may be a git process or two */
#define PUSH_MAX_DEFAULT (1ll << 30)

void hosting_answer_error(struct http_request *r, const struct err *error)
{
    const char *headers[16] = {"Content-Type", "text/plain; charset=utf-8", "Cache-Control",
                               "no-cache"};
    size_t n = 4;
    int status = err_status(error->kind);
    if (status == 401) {
        headers[n++] = "WWW-Authenticate";
        headers[n++] = "Basic realm=\"Slipway\", charset=\"UTF-8\"";
    }
    if (status == 405) {
        headers[n++] = "Allow";
        headers[n++] = str_is(http_method(r), "GET") ? "POST" : "GET";
    }
    if (status == 503 || status == 429) {
        headers[n++] = "Retry-After";
        headers[n++] = "5";
    }
    AUTO_FREE char *body = mem_format("slipway: %s\n", error->text);
    http_respond(r, status, headers, str_of(body));
}

static void on_request(void *context, struct http_request *r)
{
    struct git_hosting *h = context;
    struct git_route route;
    struct err err = ERR_INIT;
    int result = git_route_parse(http_method(r), http_path(r), http_query(r), &route, &err);
    if (result == 0 && h->session_count >= SESSIONS_MAX)
        result = FAIL(&err, E_UNAVAILABLE, "too many git requests at once, try again shortly");
    if (result < 0) {
        hosting_answer_error(r, &err);
        return;
    }
    session_start(h, r, &route);
}

struct git_hosting *git_hosting_new(int listen_fd, const struct git_hosting_options *options)
{
    struct git_hosting *h = mem_alloc(sizeof(*h));
    h->options = *options;
    if (h->options.push_max == 0)
        h->options.push_max = PUSH_MAX_DEFAULT;
    /* A client that compresses sends little for a while. */
    struct http_limits limits = {.body_min_rate = 128, .connections_max = 500};
    struct http_server_callbacks callbacks = {.on_request = on_request, .context = h};
    h->server = http_server_new(listen_fd, &limits, &callbacks);
    return h;
}

void hosting_settle(struct git_hosting *h)
{
    if (h->closing && !h->sessions)
        free(h);
}

void git_hosting_free(struct git_hosting *h)
{
    if (!h)
        return;
    http_server_free(h->server);
    h->server = NULL;
    h->closing = true;
    hosting_settle(h);
}

json_t *git_hosting_dump(const struct git_hosting *h)
{
    json_t *dump = json_object();
    json_put_int(dump, "connections", (int64_t)http_server_connections(h->server));
    json_put(dump, "sessions", session_dump(h->sessions));
    return dump;
}
