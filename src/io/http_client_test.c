/* The client against our own server: the client blocks on a pool thread, the server runs here. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/tap.h"
#include "io/http_client.h"
#include "io/http_server.h"
#include "io/until.h"

TAP_MAIN()

struct call {
    const char *method;
    const char *path;
    const char *body;
    const struct http_sent *sent;
    const char *socket;
    bool lines;
    int stop_after;
    int64_t timeout_ms;
    struct http_answer answer;
    struct buf seen; /* lines, with '|' behind each */
    int line_count;
    int result;
    struct err err;
    bool done;
};

static void say(struct http_request *r, struct str body)
{
    struct str authorization = http_header(r, "Authorization"),
               type = http_header(r, "content-type");
    AUTO_FREE char *text =
        mem_format("%.*s %.*s %.*s %.*s", (int)http_method(r).length, http_method(r).data,
                   (int)authorization.length, authorization.data ? authorization.data : "",
                   (int)type.length, type.data ? type.data : "", (int)body.length, body.data);
    http_respond(r, 200, NULL, str_of(text));
}

static void size(struct http_request *r, struct str body)
{
    struct str type = http_header(r, "content-type");
    AUTO_FREE char *text =
        mem_format("%zu bytes of %.*s", body.length, (int)type.length, type.data);
    http_respond(r, 200, NULL, str_of(text));
}

static void on_request(void *context, struct http_request *r)
{
    struct err err = ERR_INIT;
    (void)context;
    if (str_is(http_path(r), "/say")) {
        http_body_collect(r, 1000, say);
    } else if (str_is(http_path(r), "/size")) {
        http_body_collect(r, 1000, size);
    } else if (str_is(http_path(r), "/lines")) {
        http_begin(r, 200, NULL, HTTP_BEGIN_CHUNKED, 0);
        (void)http_write(r, STR("one\ntw"));
        (void)http_write(r, STR("o\r\n\nlast"));
        http_end(r);
    } else if (!str_is(http_path(r), "/never")) {
        (void)FAIL(&err, E_NOT_FOUND, "no such path");
        http_respond_error(r, &err);
    }
}

static bool on_line(void *context, struct str line)
{
    struct call *c = context;
    (void)buf_add_str(&c->seen, line);
    (void)buf_add_char(&c->seen, '|');
    return ++c->line_count != c->stop_after;
}

static void call_run(void *context)
{
    struct call *c = context;
    struct http_client_options options = {.unix_socket = c->socket,
                                          .base_url = "http://localhost",
                                          .bearer = "secret",
                                          .timeout_ms = c->timeout_ms};
    struct http_client *client = http_client_new(&options);
    if (c->lines)
        c->result = http_client_lines(client, c->method, c->path, on_line, c, &c->answer, &c->err);
    else if (c->sent)
        c->result = http_client_send(client, c->method, c->path, c->sent, &c->answer, &c->err);
    else
        c->result = http_client_call(client, c->method, c->path, c->body, &c->answer, &c->err);
    http_client_free(client);
}

static void call_done(void *context)
{
    ((struct call *)context)->done = true;
}

static bool no_connections(void *server)
{
    return http_server_connections(server) == 0;
}

static void make(struct call *c)
{
    struct http_server_callbacks callbacks = {.on_request = on_request};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/http", tap_dir());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)unlink(address.sun_path);
    OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 8) == 0);
    struct http_server *s = http_server_new(fd, NULL, &callbacks);
    c->socket = address.sun_path;
    loop_work(call_run, call_done, c);
    OK(until(until_set, &c->done));
    OK(until(no_connections, s));
    http_server_free(s);
    until_quiet();
}

#define AUTO_CALL __attribute__((cleanup(call_free))) struct call
static void call_free(struct call *c)
{
    http_answer_done(&c->answer);
    buf_done(&c->seen);
}

TEST(calls_with_and_without_a_body)
{
    AUTO_CALL post = {.method = "POST", .path = "/say", .body = "{}"};
    AUTO_CALL empty = {.method = "POST", .path = "/say"};
    AUTO_CALL get = {.method = "GET", .path = "/say?x=y"};
    AUTO_CALL delete = {.method = "DELETE", .path = "/say"};
    make(&post);
    IS_INT(post.answer.status, 200);
    IS_STR(post.answer.body.data, "POST Bearer secret application/json {}");
    make(&empty);
    OK(empty.result == 0 && str_starts(buf_str(&empty.answer.body), "POST Bearer secret "));
    make(&get);
    IS_STR(get.answer.body.data, "GET Bearer secret  ");
    make(&delete);
    IS_STR(delete.answer.body.data, "DELETE Bearer secret  ");
}

TEST(a_body_may_be_of_any_type)
{
    const struct http_sent picture = {"image/png", STR("\x89P\0NG")};
    AUTO_CALL c = {.method = "POST", .path = "/size", .sent = &picture};
    make(&c);
    IS_INT(c.answer.status, 200);
    IS_STR(c.answer.body.data, "5 bytes of image/png");
}

TEST(errors_of_the_api_are_answers)
{
    AUTO_CALL c = {.method = "GET", .path = "/other"};
    make(&c);
    IS_INT(c.result, 0);
    IS_INT(c.answer.status, 404);
    IS_STR(c.answer.body.data,
           "{\"error\":\"not_found\",\"class\":\"NOT_FOUND\",\"text\":\"no such path\"}\n");
}

TEST(lines_come_one_by_one)
{
    AUTO_CALL all = {.method = "GET", .path = "/lines", .lines = true};
    AUTO_CALL two = {.method = "GET", .path = "/lines", .lines = true, .stop_after = 2};
    AUTO_CALL bad = {.method = "GET", .path = "/other", .lines = true};
    make(&all);
    IS_INT(all.answer.status, 200);
    IS_STR(all.seen.data, "one|two||last|");
    make(&two);
    IS_INT(two.result, 0);
    IS_STR(two.seen.data, "one|two|");
    make(&bad);
    IS_INT(bad.answer.status, 404);
    IS_INT(bad.line_count, 0);
    OK(bad.answer.body.length > 0);
}

TEST(nobody_there_and_nobody_answering)
{
    AUTO_CALL gone = {.method = "GET", .path = "/", .socket = "/no/such/socket"};
    AUTO_CALL slow = {.method = "GET", .path = "/never", .timeout_ms = 50};
    call_run(&gone);
    IS_INT(gone.result, -1);
    IS_INT(gone.err.kind, E_UNAVAILABLE);
    make(&slow);
    IS_INT(slow.result, -1);
    IS_INT(slow.err.kind, E_TIMEOUT);
}
