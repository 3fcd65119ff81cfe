/* The API over real sockets: a client on the thread pool writes raw requests, core answers on the
 * loop, and a host and a courier of our own stand behind it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include "base/log.h"
#include "base/version.h"
#include "core/api/api_priv.h"
#include "core/core_fixture.h"
#include "core/host_fixture.h"
#include "wire/verb.h"

static struct core *core;
static struct fake_host host;
static int tcp_port;
static in_addr_t reach = INADDR_LOOPBACK; /* where the client connects to */
static char *token;                       /* of an admin */

/* ---- a whole core with its API ---- */

static int listen_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    OK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
       listen(fd, 64) == 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    tcp_port = ntohs(address.sin_port);
    return fd;
}

static int make_admin(void *context, struct err *err)
{
    AUTO_FREE char *link = NULL;
    AUTO_JSON *reply = NULL;
    (void)context;
    if (access_setup_link(core, NULL, &link, err) < 0 ||
        access_link_use(core, link, "wang", "no hash", &reply, err) < 0)
        return -1;
    token = mem_strdup(json_text_or(reply, "token", ""));
    return 0;
}

static void resume(struct core *c)
{
    env_forget_gone(c);
    build_resume(c);
}

static void host_resume(struct core *c)
{
    release_resume(c);
    resume(c);
}

static void open_api(void)
{
    struct err err = ERR_INIT;
    core = fixture_open();
    fake_host_init(&host, core->settings);
    core->host = link_new(core, &(struct link_options){"host", NULL, 0, host_resume});
    core->courier = link_new(core, &(struct link_options){"courier", NULL, 0, resume});
    AUTO_FREE char *path = settings_run(core->settings, "api.sock");
    FINE(api_start(core, fake_socket(path), listen_tcp(), &err));
    FINE(tick_input(core->tick, "set-up", make_admin, NULL, &err));
    while (!link_up(core->host) || !link_up(core->courier))
        (void)uv_run(loop_get(), UV_RUN_ONCE);
}

static void close_api(void)
{
    api_stop();
    until_quiet();
    fixture_stop(core);
    fake_host_done(&host);
    until_quiet();
    settings_free((struct settings *)(uintptr_t)core->settings);
    free(TAKE(token));
}

/* ---- the client ---- */

struct exchange {
    char *request;
    char *unix_path; /* NULL: TCP */
    struct buf answer;
    bool done;
};
struct answer {
    int status;
    char *text; /* the body */
    json_t *body;
};

static int connect_to(const struct exchange *x)
{
    struct sockaddr_un near = {.sun_family = AF_UNIX};
    struct sockaddr_in far = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(reach),
                              .sin_port = htons((uint16_t)tcp_port)};
    int fd = socket(x->unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (x->unix_path)
        (void)snprintf(near.sun_path, sizeof(near.sun_path), "%s", x->unix_path);
    int result = x->unix_path ? connect(fd, (struct sockaddr *)&near, sizeof(near))
                              : connect(fd, (struct sockaddr *)&far, sizeof(far));
    ASSERT(result == 0);
    return fd;
}

static void exchange_work(void *context)
{
    struct exchange *x = context;
    char piece[4096];
    ssize_t count;
    AUTO_CLOSE int fd = connect_to(x);
    size_t length = strlen(x->request);
    if (send(fd, x->request, length, MSG_NOSIGNAL) != (ssize_t)length)
        return;
    while ((count = recv(fd, piece, sizeof(piece), 0)) > 0)
        (void)buf_add(&x->answer, piece, (size_t)count);
}

static void exchange_done(void *context)
{
    ((struct exchange *)context)->done = true;
}

static bool answered(void *context)
{
    while (host.asked_count)
        fake_answer(&host, 0);
    return *(bool *)context;
}

static void exchange(struct exchange *x)
{
    buf_init(&x->answer, 0);
    loop_work(exchange_work, exchange_done, x);
    OK(until(answered, &x->done));
}

static struct answer parse(struct exchange *x)
{
    struct answer a = {0};
    struct err err = ERR_INIT;
    const char *text = x->answer.length ? x->answer.data : "";
    const char *body = strstr(text, "\r\n\r\n");
    if (strlen(text) > 12 && text_starts(text, "HTTP/1.1 "))
        a.status = (text[9] - '0') * 100 + (text[10] - '0') * 10 + text[11] - '0';
    a.text = mem_strdup(body ? body + 4 : "");
    if (a.text[0] == '{' && json_parse(str_of(a.text), &a.body, &err) < 0)
        IS_STR(err.text, "");
    buf_done(&x->answer);
    free(x->request);
    return a;
}

static void answer_done(struct answer *a)
{
    free(a->text);
    json_decref(a->body);
}
#define AUTO_ANSWER __attribute__((cleanup(answer_done))) struct answer

/* Raw: the head's lines but the first two are in `head`. */
static struct answer raw(const char *method, const char *path, const char *head, const char *body)
{
    struct exchange x = {
        .request = mem_format("%s %s HTTP/1.1\r\nConnection: close\r\n%sContent-Length: %zu\r\n"
                              "\r\n%s",
                              method, path, head, strlen(body), body)};
    exchange(&x);
    return parse(&x);
}

static struct answer call_as(const char *bearer, const char *method, const char *path,
                             const char *body)
{
    AUTO_FREE char *who =
        bearer ? mem_format("Authorization: Bearer %s\r\n", bearer) : mem_strdup("");
    AUTO_FREE char *head =
        mem_format("Host: localhost:%d\r\n%s%s", tcp_port, who,
                   *body ? "Content-Type: application/json; charset=utf-8\r\n" : "");
    AUTO_FREE char *whole = mem_format("/api/v1%s", path);
    return raw(method, whole, head, body);
}

static struct answer call(const char *method, const char *path, const char *body)
{
    return call_as(token, method, path, body);
}

static const char *error_of(const struct answer *a)
{
    return json_text_or(a->body, "error", "-");
}

static void check_answer(struct answer a, int status, const char *error, int line)
{
    bool good = tap_is_int(a.status, status, __FILE__, line);
    good &= tap_is_str(error_of(&a), error, __FILE__, line);
    if (!good)
        printf("# %s\n", a.text);
    answer_done(&a);
}
#define ANSWERS(call_, status_, error_) check_answer((call_), (status_), (error_), __LINE__)
/* ---- the table of routes ---- */

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text_is(list[i], text))
            return true;
    return false;
}

/* Could both patterns match one path? */
static bool overlap(const char *a, const char *b)
{
    struct str left = str_of(a + 1), right = str_of(b + 1);
    while (left.data && right.data) {
        struct str x = str_cut(&left, '/'), y = str_cut(&right, '/');
        bool open = (x.length && x.data[0] == '{') || (y.length && y.data[0] == '{');
        if (!open && !str_equal(x, y))
            return false;
    }
    return !left.data && !right.data;
}

TEST(each_route_stands_once)
{
    for (size_t i = 0; i < api_route_count; i++)
        for (size_t k = i + 1; k < api_route_count; k++)
            if (text_is(api_routes[i].method, api_routes[k].method) &&
                overlap(api_routes[i].path, api_routes[k].path))
                IS_STR(api_routes[k].path, "a path of its own");
}

TEST(each_route_is_whole)
{
    static const char *const open[] = {"/version", "/setup", "/login", "/hooks/{hook}"};
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
    static const char *const harmless[] = {"/config/check", "/apps/{app}/envs/{env}/plan",
                                           "/apps/{app}/envs/{env}/conflicts", "/debug/fault",
                                           "/hooks/{hook}"};
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *r = &api_routes[i];
        bool get = text_is(r->method, "GET");
        bool writes = (r->flags & (API_WRITE | API_NO_INPUT)) != 0;
        bool good = r->path[0] == '/' && r->handle && r->summary && *r->summary;
        good &= is_one_of(r->method, methods, ARRAY_SIZE(methods));
        good &= r->permission >= PERMISSION_NONE && r->permission < PERMISSION_COUNT;
        good &= (r->permission == PERMISSION_NONE) == is_one_of(r->path, open, ARRAY_SIZE(open));
        good &= !(get && writes) && !(get && r->fields);
        good &= get || writes || is_one_of(r->path, harmless, ARRAY_SIZE(harmless));
        good &= !(r->flags & API_STREAM) || get;
        good &= !r->fields == (r->field_count == 0);
        good &= !r->query == (r->query_count == 0);
        good &= r->status == 200 || r->status == 201 || (r->flags & API_RAW);
        good &= !strstr(r->path, "{env}") || text_starts(r->path, "/apps/{app}/envs/{env}") ||
                text_starts(r->path, "/envs/{env}"); /* of an app, or the stage itself */
        if (!OK(good))
            printf("# %s %s\n", r->method, r->path);
    }
}

/* "/apps/{app}" -> "/apps/x1" */
static char *fill(const char *pattern)
{
    AUTO_BUF path = BUF_INIT(0);
    for (const char *c = pattern; *c; c++) {
        if (*c != '{') {
            (void)buf_add_char(&path, *c);
            continue;
        }
        c = strchr(c, '}');
        (void)buf_add_text(&path, "x1");
    }
    return buf_take(&path);
}

TEST(nobody_gets_in_without_a_token)
{
    open_api();
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *r = &api_routes[i];
        AUTO_FREE char *path = fill(r->path);
        if (r->permission == PERMISSION_NONE)
            continue;
        ANSWERS(call_as(NULL, r->method, path, r->fields ? "{}" : ""), 401, "unauthenticated");
        ANSWERS(call_as("nothing", r->method, path, r->fields ? "{}" : ""), 401, "unauthenticated");
    }
    AUTO_ANSWER version = call_as(NULL, "GET", "/version", "");
    IS_INT(version.status, 200);
    IS_STR(json_text(version.body, "version"), SLIPWAY_VERSION);
    OK(!json_bool(version.body, "setup", true));
    close_api();
}

#define ZEROS "0000000000000000000000000000000000000000"
/* B046 */
TEST(bearers_that_are_none)
{
    static const char *const bad[] = {"Authorization: Bearer\r\n",
                                      "Authorization: Bearer \r\n",
                                      "Authorization: bearer x\r\n",
                                      "Authorization: Basic d2FuZzp4\r\n",
                                      "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n",
                                      "Authorization: Bearer sw_" ZEROS "\r\n"};
    open_api();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *head = mem_format("Host: localhost\r\n%s", bad[i]);
        ANSWERS(raw("GET", "/api/v1/me", head, ""), 401, "unauthenticated");
    }
    close_api();
}

TEST(what_is_no_address)
{
    open_api();
    ANSWERS(call("GET", "/nothing", ""), 404, "not_found");
    ANSWERS(call("GET", "", ""), 404, "not_found");
    ANSWERS(call("POST", "/version", "{}"), 405, "method_not_allowed");
    ANSWERS(call("PUT", "/users", "{}"), 405, "method_not_allowed");
    ANSWERS(call_as(NULL, "PUT", "/users", "{}"), 401, "unauthenticated");
    ANSWERS(call_as(NULL, "GET", "/users/RPC2", ""), 401, "unauthenticated");
    AUTO_FREE char *head = mem_format("Host: localhost\r\nAuthorization: Bearer %s\r\n", token);
    ANSWERS(raw("GET", "/nothing", head, ""), 404, "not_found");
    ANSWERS(raw("GET", "/api/v1", head, ""), 404, "not_found");
    close_api();
}

/* B045: one decoding, exact match; an admin asks, so nothing but the path refuses. */
TEST(path_tricks)
{
    static const char *const tricks[] = {
        "/api/v1/users;.js",       "/x?jsp=/api/v1/users;.jsp", "//api/v1/users",
        "/api/./v1/users",         "/api/v1/./users",           "/api/v1/apps/../users",
        "/api%2fv1/users",         "/api/v1%2fusers",           "/API/v1/users",
        "/api/v1/Users",           "/api/v1/users/RPC2",        "/api/v1/users/",
        "/api/v1//users",          "/api/v1/%75sers",           "/api/v1/%2e%2e/users",
        "/api/v1/apps/%2e%2e",     "/api/v1/apps/..",           "/api/v1/apps/.",
        "/api/v1/apps/a%2fb",      "/api/v1/apps/%00",          "/api/v1/apps/%ff",
        "/api/v1/apps/%zz",        "/api/v1/apps/%2573hop",     "/api/v1/apps/shop%00",
        "/api/v1/apps/shop/envs/", "/api/v1/apps//envs/dev",    "/api/v1users"};
    open_api();
    AUTO_FREE char *head = mem_format("Host: localhost\r\nAuthorization: Bearer %s\r\n", token);
    for (size_t i = 0; i < ARRAY_SIZE(tricks); i++) {
        AUTO_ANSWER a = raw("GET", tricks[i], head, "");
        if (!OK(a.status == 400 || a.status == 404 || a.status == 405))
            printf("# %s: %d\n", tricks[i], a.status);
    }
    close_api();
}

/* ---- bodies ---- */

TEST(bodies_are_strict)
{
    static const struct {
        const char *body;
        int status;
        const char *error;
    } bad[] = {{"{\"name\":\"stage\",\"more\":1}", 422, "field_unknown"},
               {"{\"name\":1}", 422, "field_invalid"},
               {"{\"name\":\"\"}", 422, "field_invalid"},
               {"{}", 422, "field_invalid"},
               {"{\"name\":\"stage\",\"position\":-1}", 422, "out_of_range"},
               {"{\"name\":\"stage\",\"position\":100001}", 422, "out_of_range"},
               {"{\"name\":\"stage\",\"position\":1.5}", 422, "field_invalid"},
               {"{\"name\":\"A b\"}", 422, "name_invalid"},
               {"{\"name\":\"stage\"", 400, "json_invalid"},
               {"{\"name\":\"stage\"} x", 400, "json_invalid"},
               {"{\"name\":\"stage\",\"name\":\"b\"}", 400, "json_invalid"},
               {"{\"name\":\"\\ud800\"}", 400, "json_invalid"},
               {"{\"name\":\"a\\u0000\"}", 400, "json_invalid"},
               {"{\"name\":\"\xff\"}", 400, "json_invalid"},
               {"\xef\xbb\xbf{}", 400, "json_invalid"},
               {"{\"position\":1e400}", 400, "json_invalid"},
               {"[]", 400, "json_invalid"},
               {"\"x\"", 400, "json_invalid"},
               {"null", 400, "json_invalid"}};
    open_api();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ANSWERS(call("POST", "/envs", bad[i].body), bad[i].status, bad[i].error);
    ANSWERS(call("POST", "/envs", ""), 422, "field_invalid");
    IS_INT(fixture_count(core, "SELECT count(*) FROM env"), 4);
    ANSWERS(call("POST", "/envs", "{\"name\":\"stage\"}"), 201, "-");
    ANSWERS(call("POST", "/envs", "{\"name\":\"stage\"}"), 409, "exists");
    ANSWERS(call("PUT", "/envs/stage", "{\"purpose\":\"给客户试用\"}"), 200, "-");
    ANSWERS(call("PUT", "/envs/none", "{\"purpose\":\"x\"}"), 404, "not_found");
    AUTO_FREE char *long_text = mem_format("{\"purpose\":\"%0301d\"}", 0);
    ANSWERS(call("PUT", "/envs/stage", long_text), 413, "too_large");
    ANSWERS(call("PUT", "/envs/stage", "{\"policy\":\"maybe\"}"), 422, "field_invalid");
    ANSWERS(call("PUT", "/envs/stage", "{\"policy\":\"last-good\"}"), 200, "-");
    AUTO_ANSWER envs = call("GET", "/envs", "");
    const json_t *stage =
        json_array_get(json_list(envs.body, "items"), 3); /* the last stays last */
    IS_STR(json_text(stage, "purpose"), "给客户试用");
    IS_STR(json_text(stage, "policy"), "last-good");
    IS_STR(json_text(json_array_get(json_list(envs.body, "items"), 0), "purpose"), "");
    IS_STR(json_text(json_array_get(json_list(envs.body, "items"), 0), "policy"), "skip");
    IS_STR(json_text(json_array_get(json_list(envs.body, "items"), 4), "policy"), "stop");
    IS_INT(fixture_count(core, "SELECT count(*) FROM env"), 5);
    close_api();
}

#define GZIPPED "Content-Encoding: gzip\r\n"

TEST(bodies_have_a_type_and_a_size)
{
    static const char body[] = "{\"name\":\"stage\"}";
    static const char *const types[] = {
        "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonx\r\n", GZIPPED "Content-Type: application/json\r\n", ""};
    open_api();
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        AUTO_FREE char *head =
            mem_format("Host: localhost\r\nAuthorization: Bearer %s\r\n%s", token, types[i]);
        ANSWERS(raw("POST", "/api/v1/envs", head, body), 415, "media_type");
    }
    AUTO_FREE char *large = mem_alloc(API_BODY_MAX + 2);
    memset(large, ' ', API_BODY_MAX + 1);
    ANSWERS(call("POST", "/envs", large), 413, "too_large");
    AUTO_BUF deep = BUF_INIT(0);
    for (int i = 0; i < 100000; i++)
        (void)buf_add_char(&deep, '[');
    ANSWERS(call("POST", "/envs", deep.data), 400, "json_invalid");
    IS_INT(fixture_count(core, "SELECT count(*) FROM env"), 4);
    close_api();
}

/* This host cannot be asked for its heads: whether the tail is cut nobody knows. */
TEST(a_journal_that_was_not_compared_is_not_called_whole)
{
    open_api();
    AUTO_ANSWER a = call("GET", "/audit/verify", "");
    IS_INT(a.status, 200);
    OK(!json_bool(a.body, "ok", true) && !json_bool(a.body, "heads_compared", true));
    OK(json_is_null(json_object_get(a.body, "first_bad")));
    IS_STR(json_text(a.body, "error"), "role_down");
    close_api();
}

static void page_of_envs(const char *query, const char *names, const char *next)
{
    AUTO_FREE char *path = mem_format("/envs?%s", query);
    AUTO_ANSWER a = call("GET", path, "");
    AUTO_BUF found = BUF_INIT(0);
    size_t i;
    json_t *row;
    (void)buf_add_text(&found, "");
    json_array_foreach(json_list(a.body, "items"), i, row)(void)
        buf_add_format(&found, "%s ", json_text_or(row, "name", "?"));
    IS_STR(found.length ? found.data : "", names);
    IS_STR(json_text_or(a.body, "next", "-"), next);
}

/* In the order of the list, which is not that of the names. */
TEST(lists_of_names_have_pages)
{
    open_api();
    page_of_envs("", "dev test pre prod ", "-");
    page_of_envs("limit=2", "dev test ", "test");
    page_of_envs("limit=2&after=test", "pre prod ", "-");
    page_of_envs("after=prod", "", "-");
    ANSWERS(call("GET", "/users?limit=0", ""), 422, "out_of_range");
    ANSWERS(call("POST", "/users", "{\"name\":\"ann\"}"), 201, "-");
    AUTO_ANSWER first = call("GET", "/users?limit=1", ""),
                second = call("GET", "/users?limit=1&after=ann", ""),
                gone = call("GET", "/users?after=bob", "");
    IS_STR(json_text(first.body, "next"), "ann");
    IS_STR(json_text(json_array_get(json_list(second.body, "items"), 0), "name"), "wang");
    OK(json_is_null(json_object_get(second.body, "next")));
    IS_INT(json_array_size(json_list(gone.body, "items")), 1);
    ANSWERS(call("POST", "/tokens", "{\"name\":\"ci\"}"), 201, "-");
    AUTO_ANSWER tokens = call("GET", "/tokens?limit=1", ""),
                rest = call("GET", "/tokens?limit=5&after=wang/ci", "");
    IS_STR(json_text(tokens.body, "next"), "wang/ci");
    IS_INT(json_array_size(json_list(rest.body, "items")), 1);
    close_api();
}

#ifdef SLIPWAY_FAILPOINTS
/* Nobody's fault is armed here in another's place. */
TEST(a_fault_is_armed_in_the_role_that_is_named)
{
    open_api();
    ANSWERS(call("POST", "/debug/fault", "{\"role\":\"courier\",\"point\":\"x\"}"), 422,
            "field_invalid");
    ANSWERS(
        call("POST", "/debug/fault", "{\"role\":\"signals\",\"point\":\"store.commit.before\"}"),
        422, "field_invalid");
    ANSWERS(call("POST", "/debug/fault", "{\"role\":\"core\",\"point\":\"x\",\"nth\":0}"), 200,
            "-");
    close_api();
}
#endif

/* ---- strangers ---- */

static struct answer login_from(const char *address, const char *name)
{
    AUTO_FREE char *head = mem_format("Host: localhost\r\nContent-Type: application/json\r\n"
                                      "X-Forwarded-For: 1.2.3.4, %s\r\n",
                                      address);
    AUTO_FREE char *body = mem_format("{\"name\":\"%s\",\"password\":\"wrong one\"}", name);
    return raw("POST", "/api/v1/login", head, body);
}

TEST(guesses_are_slowed_down)
{
    open_api();
    access_attempts_forget();
    for (int i = 0; i < 10; i++)
        ANSWERS(login_from("10.0.0.9", "nobody"), 401, "unauthenticated");
    ANSWERS(login_from("10.0.0.9", "nobody"), 429, "too_many_attempts");
    ANSWERS(login_from("10.0.0.9", "no-one"), 401, "unauthenticated");
    ANSWERS(login_from("10.0.0.8", "nobody"), 401, "unauthenticated");
    struct exchange x = {
        .request =
            mem_strdup("POST /api/v1/login HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n"
                       "Content-Type: application/json\r\nX-Forwarded-For: 10.0.0.9\r\n"
                       "Content-Length: 37\r\n\r\n{\"name\":\"nobody\",\"password\":\"wrong1\"}")};
    exchange(&x);
    OK(strstr(x.answer.data, "HTTP/1.1 429") && strstr(x.answer.data, "\r\nRetry-After: "));
    buf_done(&x.answer);
    free(x.request);
    access_attempts_forget();
    close_api();
}

TEST(what_strangers_were_refused_is_counted)
{
    AUTO_BUF before = BUF_INIT(0), news = BUF_INIT(0), none = BUF_INIT(0);
    open_api();
    (void)refused_news(&before);
    ANSWERS(call_as(NULL, "GET", "/me", ""), 401, "unauthenticated");
    ANSWERS(call_as("nothing", "GET", "/me", ""), 401, "unauthenticated");
    ANSWERS(raw("GET", "/api/v1/me", "Host: evil.example\r\n", ""), 421, "host_unknown");
    ANSWERS(call("GET", "/users/x", ""), 405, "method_not_allowed"); /* not a stranger */
    OK(refused_news(&news));
    IS_STR(news.data, "host_unknown 1, unauthenticated 2");
    OK(!refused_news(&none));
    AUTO_ANSWER dump = call("GET", "/debug/dump", "");
    OK(json_int(json_dict(dump.body, "refused"), "host_unknown", 0) >= 1);
    close_api();
}

/* Beyond loopback: the address that was connected to is ours, others and other names are not. */
TEST(the_address_that_was_reached_is_no_foreign_host)
{
    static const char *const ours[] = {"127.0.0.2", "127.0.0.2:7000", "127.0.0.1", "localhost",
                                       "[::1]:80"};
    static const char *const foreign[] = {"127.0.0.3",          "10.0.0.1:7000",    "evil.example",
                                          "127.0.0.2.evil.com", "0.0.0.0",          "[::2]",
                                          "[::1]evil.com",      "[::ffff:1.2.3.4]", "2130706434"};
    open_api();
    reach = 0x7f000002;
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
        AUTO_FREE char *head = mem_format("Host: %s\r\n", ours[i]);
        ANSWERS(raw("GET", "/api/v1/version", head, ""), 200, "-");
    }
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        AUTO_FREE char *head = mem_format("Host: %s\r\n", foreign[i]);
        ANSWERS(raw("GET", "/api/v1/version", head, ""), 421, "host_unknown");
    }
    reach = INADDR_LOOPBACK;
    close_api();
}

TEST(queries_have_bounds)
{
    open_api();
    ANSWERS(call("GET", "/audit?limit=1000000000", ""), 422, "out_of_range");
    ANSWERS(call("GET", "/audit?limit=0", ""), 422, "out_of_range");
    ANSWERS(call("GET", "/audit?limit=x", ""), 422, "field_invalid");
    ANSWERS(call("GET", "/audit?after=-1", ""), 422, "out_of_range");
    ANSWERS(call("GET", "/audit?limit=1&limit=2", ""), 400, "request_invalid");
    AUTO_ANSWER page = call("GET", "/audit?limit=1", "");
    IS_INT(page.status, 200);
    IS_INT(json_array_size(json_list(page.body, "items")), 1);
    IS_INT(json_int(page.body, "next", 0), 1);
    close_api();
}

/* ---- where a request comes from ---- */

/* B059 */
TEST(other_hosts_and_origins_are_refused)
{
    static const char *const hosts[] = {"evil.com",      "evil.com:7000", "localhost.evil.com",
                                        "[::1]evil.com", "127.0.0.2",     "169.254.169.254"};
    open_api();
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        AUTO_FREE char *head = mem_format("Host: %s\r\n", hosts[i]);
        ANSWERS(raw("GET", "/api/v1/version", head, ""), 421, "host_unknown");
    }
    static const char *const fine[] = {"localhost", "LOCALHOST:7000", "127.0.0.1:7000",
                                       "[::1]:7000", "slipway.localhost"};
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        AUTO_FREE char *head = mem_format("Host: %s\r\nOrigin: http://%s\r\n", fine[i], fine[i]);
        ANSWERS(raw("GET", "/api/v1/version", head, ""), 200, "-");
    }
    static const char *const origins[] = {"http://evil.com", "null", "http://localhost:1",
                                          "http://localhost.evil.com", "localhost"};
    for (size_t i = 0; i < ARRAY_SIZE(origins); i++) {
        AUTO_FREE char *head = mem_format("Host: localhost\r\nOrigin: %s\r\n", origins[i]);
        ANSWERS(raw("GET", "/api/v1/version", head, ""), 403, "origin_forbidden");
    }
    close_api();
}

TEST(root_on_the_unix_socket_needs_no_token)
{
    open_api();
    struct exchange x = {.request = mem_strdup("GET /api/v1/me HTTP/1.1\r\nHost: x\r\n"
                                               "Connection: close\r\n\r\n"),
                         .unix_path = settings_run(core->settings, "api.sock")};
    exchange(&x);
    AUTO_ANSWER a = parse(&x);
    free(x.unix_path);
    if (getuid() == 0)
        IS_STR(json_text_or(a.body, "name", "?"), "root");
    else
        IS_INT(a.status, 401);
    close_api();
}

/* ---- a day ---- */

static int64_t number_of(const struct answer *a, const char *object, const char *name)
{
    return json_int(json_dict(a->body, object), name, 0);
}

static bool ended(void *context)
{
    bool *looked = context;
    (void)answered(looked);
    return fixture_count(core, "SELECT count(*) FROM rollout WHERE state IN "
                               "('running','reverting')") == 0;
}

static void new_shop(void)
{
    ANSWERS(call("POST", "/apps", "{\"name\":\"shop\"}"), 201, "-");
}

TEST(from_an_app_to_a_rollback)
{
    bool looked = false;
    open_api();
    new_shop();
    ANSWERS(call("POST", "/apps", "{\"name\":\"shop\"}"), 409, "exists");
    ANSWERS(call("POST", "/apps/shop/envs/dev/ticks", "{\"add\":[\"a\",\"b\"]}"), 200, "-");
    ANSWERS(call("POST", "/apps/shop/envs/dev/ticks", "{\"add\":[\"nowhere\"]}"), 404,
            "branch_unknown");
    ANSWERS(call("POST", "/apps/shop/envs/dev/ticks", "{\"set\":null}"), 200, "-");
    IS_INT(fixture_count(core, "SELECT count(*) FROM ticked"), 2);
    AUTO_ANSWER plan = call("POST", "/apps/shop/envs/dev/plan", "{}");
    IS_INT(plan.status, 200);
    IS_STR(json_text(json_array_get(json_list(plan.body, "steps"), 0), "kind"), "build");
    IS_INT(fixture_count(core, "SELECT count(*) FROM rollout"), 0);
    for (int i = 0; i < 2; i++) {
        AUTO_ANSWER rollout = call("POST", "/apps/shop/envs/dev/rollouts", "{}");
        IS_INT(rollout.status, 201);
        IS_INT(number_of(&rollout, "rollout", "id"), i + 1);
        OK(until(ended, &looked));
    }
    AUTO_ANSWER env = call("GET", "/apps/shop/envs/dev", "");
    IS_INT(json_int(env.body, "live_release", 0), 2);
    IS_JSON(json_list(env.body, "targets"), "[1]");
    ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", "{\"kind\":\"rollback\"}"), 201, "-");
    OK(until(ended, &looked));
    ANSWERS(call("POST", "/apps/shop/envs/test/rollouts",
                 "{\"kind\":\"promote\",\"from\":\"dev\",\"same_artifact\":true}"),
            201, "-");
    OK(until(ended, &looked));
    IS_INT(fixture_count(core, "SELECT count(*) FROM rollout WHERE state='done'"), 4);
    IS_INT(fixture_count(core, "SELECT count(DISTINCT artifact) FROM release"), 2);
    ANSWERS(call("DELETE", "/apps/shop", ""), 409, "state_conflict");
    IS_STR(host.violations.length ? host.violations.data : "", "");
    close_api();
}

/* Asked with "?QUERY", at the app `shop`, its env `dev` and their first build. */
static struct answer ask_shop(const struct api_route *r, const char *query)
{
    static const char *const names[][2] = {{"{app}", "shop"}, {"{env}", "dev"}, {"{build}", "1"}};
    AUTO_BUF path = BUF_INIT(0);
    for (const char *c = r->path; *c; c++) {
        size_t i = 0;
        while (i < ARRAY_SIZE(names) && !text_starts(c, names[i][0]))
            i++;
        if (i == ARRAY_SIZE(names)) {
            (void)buf_add_char(&path, *c);
            continue;
        }
        (void)buf_add_text(&path, names[i][1]);
        c += strlen(names[i][0]) - 1;
    }
    (void)buf_add_format(&path, "?%s", query);
    return call(r->method, path.data, "");
}

static bool is_out_of_range(const struct api_route *r, const char *name, int64_t value)
{
    AUTO_FREE char *query = mem_format("%s=%lld", name, (long long)value);
    AUTO_ANSWER a = ask_shop(r, query);
    return text_is(error_of(&a), "out_of_range");
}

/* What the table says of a query is what the handler asks for: a name given twice is refused only
 * by who asks for it. (A stream would answer the last number for ever.) */
static void check_query(const struct api_route *r, const struct json_field *f)
{
    AUTO_FREE char *twice = mem_format("%s=1&%s=2", f->name, f->name);
    AUTO_ANSWER doubled = ask_shop(r, twice);
    bool good = IS_STR(error_of(&doubled), "request_invalid");
    if (f->kind == JSON_FIELD_INT) {
        good &= OK(is_out_of_range(r, f->name, f->min - 1));
        good &= OK(f->max == WIRE_ANY || is_out_of_range(r, f->name, f->max + 1));
        good &= OK((r->flags & API_STREAM) || !is_out_of_range(r, f->name, f->max));
    }
    if (!good)
        printf("# %s %s?%s\n", r->method, r->path, f->name);
}

TEST(queries_are_those_of_the_table)
{
    bool looked = false;
    open_api();
    new_shop();
    ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", "{}"), 201, "-");
    OK(until(ended, &looked));
    for (size_t i = 0; i < api_route_count; i++)
        for (size_t k = 0; k < api_routes[i].query_count; k++)
            check_query(&api_routes[i], &api_routes[i].query[k]);
    close_api();
}

TEST(what_a_rollout_may_be_asked)
{
    static const struct {
        const char *body;
        int status;
        const char *error;
    } bad[] = {{"{\"kind\":\"scale\"}", 422, "field_invalid"},
               {"{\"strategy\":\"yolo\"}", 422, "field_invalid"},
               {"{\"batches\":0}", 422, "out_of_range"},
               {"{\"release\":2147483648}", 422, "out_of_range"},
               {"{\"from\":\"test\"}", 422, "field_invalid"},
               {"{\"kind\":\"promote\"}", 422, "field_invalid"},
               {"{\"kind\":\"promote\",\"from\":\"moon\"}", 404, "not_found"},
               {"{\"kind\":\"promote\",\"from\":\"dev\"}", 422, "field_invalid"},
               {"{\"kind\":\"promote\",\"from\":\"test\"}", 409, "state_conflict"},
               {"{\"kind\":\"rollback\"}", 404, "no_rollback_target"},
               {"{\"release\":7}", 404, "not_found"}};
    open_api();
    new_shop();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", bad[i].body), bad[i].status,
                bad[i].error);
    host.yaml = "run: [";
    ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", "{}"), 422, "config_invalid");
    host.yaml = NULL;
    fake_host_go(&host);
    ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", "{}"), 503, "role_down");
    IS_INT(fixture_count(core, "SELECT count(*) FROM rollout"), 0);
    ANSWERS(call("GET", "/apps/shop/envs/dev/rollouts/99999999999999999999", ""), 404, "not_found");
    fake_host_come(&host);
    close_api();
}

static bool forgotten(void *context)
{
    bool *looked = context;
    (void)answered(looked);
    return fixture_count(core, "SELECT (SELECT count(*) FROM app_gone) + (SELECT count(*) FROM "
                               "app_env_gone)") == 0;
}

/* An app that was removed and made again is a new one, at the edge too. */
TEST(removed_and_made_again)
{
    bool looked = false;
    open_api();
    for (int i = 0; i < 2; i++) {
        new_shop();
        ANSWERS(call("POST", "/apps/shop/envs/dev/rollouts", "{}"), 201, "-");
        OK(until(ended, &looked));
        IS_INT(fixture_count(core, "SELECT count(*) FROM rollout WHERE state='done'"), i + 1);
        fixture_run(core, "DELETE FROM instance"); /* nothing runs any more */
        fake_lose_instances(&host);
        ANSWERS(call("DELETE", "/apps/shop", ""), 200, "-");
        ANSWERS(call("GET", "/apps/shop", ""), 404, "not_found");
        OK(until(forgotten, &looked)); /* until then the name is refused */
        OK(json_object_get(host.edge, "shop.dev") == NULL);
    }
    close_api();
}

/* ---- rights ---- */

static char *token_of(const char *name, const char *role)
{
    AUTO_FREE char *body = mem_format("{\"name\":\"%s\",\"role\":\"%s\"}", name, role);
    AUTO_ANSWER added = call("POST", "/users", body);
    IS_INT(added.status, 201);
    AUTO_FREE char *use = mem_format("{\"link\":\"%s\",\"password\":\"correct horse\"}",
                                     json_text_or(added.body, "link", ""));
    AUTO_ANSWER used = call_as(NULL, "POST", "/setup", use);
    IS_INT(used.status, 200);
    return mem_strdup(json_text_or(used.body, "token", ""));
}

TEST(roles_hold_at_the_gate)
{
    open_api();
    new_shop();
    AUTO_FREE char *li = token_of("li", "developer");
    AUTO_FREE char *viewer = token_of("zhao", "viewer");
    static const char *const acts[] = {"/rollouts", "/builds", "/ticks"};
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
        AUTO_FREE char *prod = mem_format("/apps/shop/envs/prod%s", acts[i]);
        AUTO_FREE char *dev = mem_format("/apps/shop/envs/dev%s", acts[i]);
        ANSWERS(call_as(li, "POST", prod, "{}"), 403, "denied");
        ANSWERS(call_as(viewer, "POST", dev, "{}"), 403, "denied");
    }
    ANSWERS(call_as(li, "POST", "/apps/shop/envs/dev/ticks", "{\"add\":[\"a\"]}"), 200, "-");
    ANSWERS(call_as(li, "GET", "/audit", ""), 403, "denied");
    ANSWERS(call_as(viewer, "GET", "/apps/shop/envs/prod", ""), 200, "-");
    ANSWERS(call_as(viewer, "PUT", "/apps/shop/envs/dev/secrets/KEY", "{\"value\":\"x\"}"), 403,
            "denied");
    close_api();
}

/* B062: what one may not see and what is not there answer the same. */
TEST(foreign_apps_do_not_exist)
{
    open_api();
    new_shop();
    ANSWERS(call("POST", "/apps", "{\"name\":\"blog\"}"), 201, "-");
    AUTO_ANSWER added = call("POST", "/users", "{\"name\":\"li\"}");
    AUTO_FREE char *use = mem_format("{\"link\":\"%s\",\"password\":\"correct horse\"}",
                                     json_text_or(added.body, "link", ""));
    AUTO_ANSWER used = call_as(NULL, "POST", "/setup", use);
    ANSWERS(call("POST", "/grants", "{\"user\":\"li\",\"role\":\"developer\",\"app\":\"blog\"}"),
            201, "-");
    const char *li = json_text_or(used.body, "token", "");
    static const char *const paths[][2] = {
        {"/apps/shop", "/apps/none"},
        {"/apps/shop/envs/dev", "/apps/none/envs/dev"},
        {"/apps/shop/envs/moon", "/apps/none/envs/moon"},
        {"/apps/shop/envs/dev/builds/1", "/apps/none/envs/dev/builds/1"},
        {"/apps/shop/branches", "/apps/none/branches"},
        {"/events?app=shop", "/events?app=none"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        AUTO_ANSWER hidden = call_as(li, "GET", paths[i][0], "");
        AUTO_ANSWER absent = call_as(li, "GET", paths[i][1], "");
        IS_INT(hidden.status, 404);
        IS_INT(absent.status, 404);
        IS_STR(hidden.text, absent.text);
    }
    AUTO_ANSWER mine = call_as(li, "POST", "/tokens", "{\"name\":\"ci\",\"app\":\"shop\"}");
    AUTO_ANSWER none = call_as(li, "POST", "/tokens", "{\"name\":\"ci\",\"app\":\"none\"}");
    IS_INT(mine.status, 404);
    IS_STR(mine.text, none.text);
    AUTO_ANSWER apps = call_as(li, "GET", "/apps", "");
    IS_INT(json_array_size(json_list(apps.body, "items")), 1);
    IS_STR(json_text(json_array_get(json_list(apps.body, "items"), 0), "name"), "blog");
    close_api();
}

/* B054 */
TEST(a_reading_token_only_reads)
{
    open_api();
    AUTO_ANSWER made = call("POST", "/tokens", "{\"name\":\"ci\",\"read_only\":true}");
    IS_INT(made.status, 201);
    const char *reader = json_text_or(made.body, "token", "");
    ANSWERS(call_as(reader, "GET", "/envs", ""), 200, "-");
    ANSWERS(call_as(reader, "POST", "/envs", "{\"name\":\"stage\"}"), 403, "denied");
    ANSWERS(call_as(reader, "POST", "/apps", "{\"name\":\"shop\"}"), 403, "denied");
    AUTO_FREE char *path = mem_format("/me?token=%s", token);
    ANSWERS(call_as(NULL, "GET", path, ""), 401, "unauthenticated");
    close_api();
}

/* B053 */
TEST(a_stream_ends_with_its_right)
{
    open_api();
    AUTO_ANSWER made = call("POST", "/tokens", "{\"name\":\"watch\"}");
    struct exchange x = {.request = mem_format("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
                                               "Connection: close\r\n"
                                               "Authorization: Bearer %s\r\n\r\n",
                                               json_text_or(made.body, "token", ""))};
    buf_init(&x.answer, 0);
    loop_work(exchange_work, exchange_done, &x);
    for (int i = 0; i < 20; i++) { /* its request comes in */
        AUTO_ANSWER a = call("GET", "/me", "");
        IS_INT(a.status, 200);
    }
    ANSWERS(call("POST", "/envs", "{\"name\":\"stage\"}"), 201, "-");
    ANSWERS(call("DELETE", "/tokens/watch", ""), 200, "-");
    int64_t start = clock_mono_ms(clock_system());
    OK(until(until_set, &x.done));
    OK(clock_mono_ms(clock_system()) - start < 5000);
    OK(x.answer.data && strstr(x.answer.data, "text/event-stream"));
    OK(x.answer.data && strstr(x.answer.data, "\"kind\":\"env.created\""));
    buf_done(&x.answer);
    free(x.request);
    close_api();
}

/* F09: a full disk refuses what writes, and nothing else. */
TEST(a_full_disk_is_507_and_reading_goes_on)
{
    open_api();
    fixture_run(core, "PRAGMA max_page_count=1");
    new_shop();
    for (int i = 0; i < 200; i++) { /* until the pages that are there are full */
        AUTO_FREE char *name = mem_format("{\"name\":\"stage%d\"}", i);
        AUTO_ANSWER a = call("POST", "/envs", name);
        if (a.status != 201) {
            IS_INT(a.status, 507);
            IS_STR(error_of(&a), "disk_full");
            break;
        }
    }
    int64_t envs = fixture_count(core, "SELECT count(*) FROM env");
    AUTO_ANSWER list = call("GET", "/envs", "");
    IS_INT(list.status, 200);
    IS_INT(json_array_size(json_list(list.body, "items")), envs);
    fixture_run(core, "PRAGMA max_page_count=100000");
    ANSWERS(call("POST", "/envs", "{\"name\":\"late\"}"), 201, "-");
    IS_INT(fixture_count(core, "SELECT count(*) FROM env"), envs + 1);
    close_api();
}

int main(int argc, char **argv)
{
    log_setup("test", getenv("VERBOSE") ? LOG_DEBUG : LOG_ERROR);
    return tap_main(argc, argv);
}
