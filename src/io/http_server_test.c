/* The server over real loopback sockets. The loop runs here; the client is a script of blocking
 * steps on a pool thread: send this, read until that. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/mem.h"
#include "base/tap.h"
#include "io/http_server.h"
#include "io/until.h"

TAP_MAIN()

#define HOST "Host: test\r\n"
#define BIG (100u << 20)
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define RSS_MAX_KB (1 << 20) /* the sanitizer keeps freed memory for a while */
#else
#define RSS_MAX_KB (16 << 10)
#endif

/* The application under test. */

static struct {
    struct http_server *server;
    struct http_limits limits;
    int port;
    int requests;
    int bodies;
    int complete;
    int incomplete;
    uint64_t counted;
    uint64_t left; /* of /big */
    struct http_request *held;
    struct timer *timer;
    struct timer *pause;
    sem_t closed; /* posted for each request that ended incomplete */
    bool free_in_handler;
} app;

static void on_close(void *context, bool complete)
{
    (void)context;
    app.held = NULL;
    timer_free(&app.timer);
    timer_free(&app.pause);
    if (complete)
        app.complete++;
    else
        app.incomplete++;
    if (!complete)
        (void)sem_post(&app.closed);
}

static void respond_text(struct http_request *r, struct str text)
{
    http_respond(r, 200, (const char *[]){"Content-Type", "text/plain", NULL}, text);
}

static void respond_later(void *context)
{
    (void)context;
    respond_text(app.held, STR("later"));
}

static void echo(struct http_request *r, struct str body)
{
    app.bodies++;
    respond_text(r, body);
}

static void resume(void *context)
{
    (void)context;
    http_body_pause(app.held, false);
}

static void count_data(struct http_request *r, struct str data)
{
    bool first = app.counted == 0;
    app.counted += data.length;
    if (!first)
        return;
    http_body_pause(r, true);
    timer_start(&app.pause, 20, 0, resume, NULL);
}

static void count_end(struct http_request *r)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)app.counted);
    respond_text(r, str_of(text));
}

static void big_more(struct http_request *r)
{
    static char piece[256 << 10];
    while (app.left > 0) {
        size_t length = app.left < sizeof(piece) ? (size_t)app.left : sizeof(piece);
        app.left -= length;
        if (http_write(r, (struct str){piece, length}) > (1u << 20))
            return; /* on_drain comes back */
    }
    http_end(r);
}

/* A writer of events that waits as it should. */
static void drip_more(struct http_request *r)
{
    static char piece[16 << 10];
    while (app.left > 0) {
        app.left -= sizeof(piece);
        if (http_write(r, (struct str){piece, sizeof(piece)}) > (128u << 10))
            return; /* on_drain comes back */
    }
    http_end(r);
}

static void events_more(void *context)
{
    (void)context;
    (void)http_write(app.held, STR("data: more\n\n"));
}

static void flood(void *context)
{
    static char piece[64 << 10];
    (void)context;
    memset(piece, 'x', sizeof(piece));
    (void)http_write(app.held, (struct str){piece, sizeof(piece)});
}

static void peer_text(struct http_request *r)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "%s %d", http_peer(r), (int)http_peer_uid(r));
    respond_text(r, str_of(text));
}

static void ask_text(struct http_request *r)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *value = NULL;
    if (http_query_get(r, "q", &value, &err) < 0)
        http_respond_error(r, &err);
    else
        respond_text(r, value ? str_of(value) : STR("none"));
}

static void route_streams(struct http_request *r, struct str path)
{
    if (str_is(path, "/big")) {
        app.left = BIG;
        http_begin(r, 200, NULL, HTTP_BEGIN_LENGTH, BIG);
        http_on_drain(r, big_more);
        big_more(r);
    } else if (str_is(path, "/drip")) {
        app.left = BIG;
        http_begin(r, 200, NULL, HTTP_BEGIN_EVENTS, 0);
        http_on_drain(r, drip_more);
        drip_more(r);
    } else if (str_is(path, "/chunks")) {
        http_begin(r, 200, NULL, HTTP_BEGIN_CHUNKED, 0);
        (void)http_write(r, STR("one "));
        (void)http_write(r, STR("two"));
        http_end(r);
    } else if (str_is(path, "/short")) {
        http_begin(r, 200, NULL, HTTP_BEGIN_LENGTH, 100);
        (void)http_write(r, STR("half"));
        http_end(r);
    } else {
        http_begin(r, 200, NULL, HTTP_BEGIN_EVENTS, 0);
        (void)http_write(r, STR("data: first\n\n"));
        if (str_is(path, "/events"))
            timer_start(&app.timer, 5, 0, events_more, NULL);
        else
            timer_start(&app.timer, 1, 1, flood, NULL);
    }
}

static void on_request(void *context, struct http_request *r)
{
    struct str path = http_path(r);
    (void)context;
    app.requests++;
    app.held = r;
    http_set_context(r, &app, on_close);
    if (str_is(path, "/hello"))
        respond_text(r, STR("hello"));
    else if (str_is(path, "/ask"))
        ask_text(r);
    else if (str_is(path, "/peer"))
        peer_text(r);
    else if (str_is(path, "/echo"))
        http_body_collect(r, 1000, echo);
    else if (str_is(path, "/count"))
        http_body_stream(r, count_data, count_end);
    else if (str_is(path, "/later"))
        timer_start(&app.timer, 10, 0, respond_later, NULL);
    else if (str_is(path, "/early"))
        http_respond(r, 401, NULL, STR(""));
    else if (!str_is(path, "/never"))
        route_streams(r, path);
    if (app.free_in_handler)
        http_server_free(TAKE(app.server));
}

/* The client. */

#define STEPS_MAX 4
struct step {
    const char *send;
    const char *until; /* in all that was read; NULL: read to the end of the connection */
    size_t zeros;      /* sent after `send` */
    bool wait_closed;  /* instead of reading, wait until the server has dropped a request */
    bool count_only;   /* read to the end of the connection or to `zeros_wanted` without keeping */
    size_t wanted;
};
struct script {
    struct step steps[STEPS_MAX];
    const char *unix_path;
    struct buf got;
    size_t counted;
    bool closed; /* by the server */
    bool half_close;
    bool failed;
    bool done;
};

static int client_connect(const struct script *s)
{
    struct timeval patience = {.tv_sec = 20};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons((uint16_t)app.port)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(s->unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (s->unix_path)
        (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", s->unix_path);
    int done = s->unix_path ? connect(fd, (struct sockaddr *)&local, sizeof(local))
                            : connect(fd, (struct sockaddr *)&tcp, sizeof(tcp));
    if (done < 0)
        fd_closep(&fd);
    return done < 0 ? -1 : fd;
}

static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t count = send(fd, data, length, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        data += count;
        length -= (size_t)count;
    }
    return true;
}

static void step_send(int fd, const struct step *step)
{
    static const char zeros[256 << 10];
    bool going = !step->send || send_all(fd, step->send, strlen(step->send));
    for (size_t left = step->zeros; going && left > 0;) {
        size_t length = left < sizeof(zeros) ? left : sizeof(zeros);
        going = send_all(fd, zeros, length);
        left -= length;
    }
}

static bool step_satisfied(const struct script *s, const struct step *step)
{
    if (step->count_only)
        return step->wanted && s->counted >= step->wanted;
    return step->until && s->got.data && strstr(s->got.data, step->until);
}

static void step_read(struct script *s, int fd, const struct step *step)
{
    static char piece[256 << 10];
    while (!step_satisfied(s, step)) {
        ssize_t count = recv(fd, piece, sizeof(piece), 0);
        if (count < 0 && errno != ECONNRESET)
            s->failed = true; /* too long */
        if (count <= 0) {
            s->closed = true;
            return;
        }
        s->counted += (size_t)count;
        if (!step->count_only)
            (void)buf_add(&s->got, piece, (size_t)count);
    }
}

static void client_run(void *context)
{
    struct script *s = context;
    AUTO_CLOSE int fd = client_connect(s);
    if (fd < 0) {
        s->failed = true;
        return;
    }
    for (int i = 0; i < STEPS_MAX && !s->closed; i++) {
        const struct step *step = &s->steps[i];
        if (!step->send && !step->until && !step->zeros && !step->wait_closed &&
            !step->count_only && i > 0)
            break;
        step_send(fd, step);
        if (s->half_close)
            (void)shutdown(fd, SHUT_WR);
        if (step->wait_closed)
            (void)sem_wait(&app.closed);
        else
            step_read(s, fd, step);
    }
}

static void client_done(void *context)
{
    ((struct script *)context)->done = true;
}

/* Set up and down. */

static int listen_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OK(bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 64) == 0);
    OK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    app.port = ntohs(address.sin_port);
    return fd;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 64) == 0);
    return fd;
}

static void serve(int fd, struct http_limits limits)
{
    struct http_server_callbacks callbacks = {.on_request = on_request};
    app.requests = app.bodies = app.complete = app.incomplete = 0;
    app.counted = 0;
    app.free_in_handler = false;
    OK(sem_init(&app.closed, 0, 0) == 0);
    app.limits = limits;
    app.server = http_server_new(fd, &app.limits, &callbacks);
}

static bool no_connections(void *context)
{
    (void)context;
    return http_server_connections(app.server) == 0;
}

static void serve_end(void)
{
    if (app.server) {
        OK(until(no_connections, NULL));
        http_server_free(TAKE(app.server));
    }
    until_quiet();
    (void)sem_destroy(&app.closed);
}

static void play(struct script *s)
{
    loop_work(client_run, client_done, s);
    OK(until(until_set, &s->done));
    OK(!s->failed);
}

/* One script against a server with these limits. */
static void act(struct script *s, struct http_limits limits)
{
    serve(listen_tcp(), limits);
    play(s);
    serve_end();
}

static void has(const struct script *s, const char *text)
{
    bool found = s->got.data && strstr(s->got.data, text);
    if (!tap_ok(found, __FILE__, __LINE__, text))
        IS_STR(s->got.data, text); /* shows both */
}

static int occurrences(const struct script *s, const char *text)
{
    int count = 0;
    for (const char *at = s->got.data; at && (at = strstr(at, text)); at++)
        count++;
    return count;
}

#define AUTO_SCRIPT __attribute__((cleanup(script_done))) struct script
static void script_done(struct script *s)
{
    buf_done(&s->got);
}
#define SCRIPT(...)                                                                                \
    {                                                                                              \
        .steps = { __VA_ARGS__ }                                                                   \
    }

TEST(answers_and_keeps_the_connection)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n", .until = "hello"},
                           {.send = "GET /ask?q=a%20b HTTP/1.1\r\n" HOST "\r\n", .until = "a b"},
                           {.send = "GET /ask HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n"});
    act(&s, (struct http_limits){0});
    has(&s, "HTTP/1.1 200 OK\r\nDate: ");
    has(&s, " GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    has(&s, "Connection: close\r\n\r\nnone");
    IS_INT(occurrences(&s, "Connection: close"), 1);
    OK(s.closed);
    IS_INT(app.complete, 3);
    IS_INT(app.incomplete, 0);
}

TEST(pipelined_requests_are_answered_in_order)
{
    AUTO_SCRIPT s =
        SCRIPT({.send = "GET /later HTTP/1.1\r\n" HOST "\r\n"
                        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                        "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                        "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
                        "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"});
    act(&s, (struct http_limits){0});
    IS_INT(occurrences(&s, "HTTP/1.1 200 OK"), 5);
    const char *later = strstr(s.got.data, "later"), *abc = strstr(s.got.data, "abc");
    const char *hello = strstr(s.got.data, "hello"), *def = strstr(s.got.data, "def");
    OK(later && abc && hello && def && later < abc && abc < hello && hello < def);
    IS_INT(app.complete, 5);
}

TEST(a_request_may_come_byte_by_byte)
{
    AUTO_SCRIPT s = SCRIPT({.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Le", .until = ""},
                           {.send = "ngth: 5\r\n\r", .until = ""}, {.send = "\nab", .until = ""},
                           {.send = "cde", .until = "abcde"});
    buf_init(&s.got, 0);
    (void)buf_add(&s.got, "", 0); /* so that `until ""` holds at once */
    act(&s, (struct http_limits){0});
    has(&s, "abcde");
}

TEST(malformed_requests_end_the_connection)
{
    static const char *const bad[] = {
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "GET /hello HTTP/1.1\nHost: a\n\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *both = mem_format("%sGET /hello HTTP/1.1\r\n" HOST "\r\n", bad[i]);
        AUTO_SCRIPT s = SCRIPT({.send = both});
        act(&s, (struct http_limits){0});
        has(&s, "HTTP/1.1 400 Bad Request");
        has(&s, "{\"error\":\"request_invalid\",\"class\":\"INPUT\"");
        IS_INT(occurrences(&s, "HTTP/1.1"), 1);
        IS_INT(app.complete, 0);
        OK(s.closed);
    }
}

TEST(other_faults_have_their_status)
{
    AUTO_SCRIPT method = SCRIPT({.send = "TRACE / HTTP/1.1\r\n" HOST "\r\n"});
    AUTO_SCRIPT expect = SCRIPT({.send = "GET / HTTP/1.1\r\n" HOST "Expect: x\r\n\r\n"});
    AUTO_SCRIPT large = SCRIPT({.send = "GET / HTTP/1.1\r\n" HOST "X: ", .zeros = 40 << 10});
    act(&method, (struct http_limits){0});
    has(&method, "405 Method Not Allowed");
    has(&method, "Allow: GET, HEAD");
    act(&expect, (struct http_limits){0});
    has(&expect, "417 Expectation Failed");
    act(&large, (struct http_limits){0});
    has(&large, "431 Request Header");
}

TEST(head_and_http_1_0)
{
    AUTO_SCRIPT head =
        SCRIPT({.send = "HEAD /hello HTTP/1.1\r\n" HOST "\r\n", .until = "\r\n\r\n"},
               {.send = "GET /chunks HTTP/1.1\r\n" HOST "\r\n", .until = "\r\n0\r\n"});
    AUTO_SCRIPT old = SCRIPT({.send = "GET /chunks HTTP/1.0\r\n\r\n"});
    AUTO_SCRIPT kept =
        SCRIPT({.send = "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", .until = "hello"},
               {.send = "GET /hello HTTP/1.0\r\n\r\n"});
    act(&head, (struct http_limits){0});
    has(&head, "Content-Length: 5\r\n\r\nHTTP/1.1 200");
    has(&head, "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n");
    act(&old, (struct http_limits){0});
    has(&old, "Connection: close\r\n\r\none two");
    act(&kept, (struct http_limits){0});
    has(&kept, "Connection: keep-alive\r\n\r\nhello");
    IS_INT(occurrences(&kept, "200 OK"), 2);
}

TEST(continue_is_said_when_the_body_is_wanted)
{
    AUTO_SCRIPT s = SCRIPT(
        {.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
         .until = "HTTP/1.1 100 Continue\r\n\r\n"},
        {.send = "abc", .until = "\r\n\r\nabc"});
    AUTO_SCRIPT no = SCRIPT({.send = "POST /early HTTP/1.1\r\n" HOST
                                     "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"});
    act(&s, (struct http_limits){0});
    has(&s, "200 OK");
    act(&no, (struct http_limits){0});
    has(&no, "HTTP/1.1 401 Unauthorized");
    has(&no, "Connection: close");
    IS_INT(occurrences(&no, "100 Continue"), 0);
}

TEST(too_large_bodies_are_refused_early)
{
    AUTO_SCRIPT sized = SCRIPT({.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n"
                                        "Expect: 100-continue\r\n\r\n"});
    AUTO_SCRIPT sent =
        SCRIPT({.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9000000\r\n\r\n",
                .zeros = 9000000});
    AUTO_SCRIPT chunked =
        SCRIPT({.send = "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                        "100000\r\n",
                .zeros = 100000});
    act(&sized, (struct http_limits){0});
    has(&sized, "HTTP/1.1 413 ");
    act(&sent, (struct http_limits){0});
    has(&sent, "HTTP/1.1 413 ");
    has(&sent, "\"error\":\"too_large\"");
    act(&chunked, (struct http_limits){0});
    has(&chunked, "HTTP/1.1 413 ");
    IS_INT(app.bodies, 0);
    IS_INT(app.incomplete, 1);
}

TEST(an_early_answer_to_a_small_body_keeps_the_connection)
{
    AUTO_SCRIPT s = SCRIPT(
        {.send = "POST /early HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n", .until = "401"},
        {.send = "abcGET /hello HTTP/1.1\r\n" HOST "\r\n", .until = "hello"});
    act(&s, (struct http_limits){0});
    has(&s, "hello");
    IS_INT(app.complete, 2);
}

/* Peak memory growth of this process while fn runs, in KiB. */
static long growth(struct script *s)
{
    struct rusage before, after;
    (void)getrusage(RUSAGE_SELF, &before);
    act(s, (struct http_limits){0});
    (void)getrusage(RUSAGE_SELF, &after);
    return after.ru_maxrss - before.ru_maxrss;
}

TEST(streams_a_large_body_up_in_little_memory)
{
    AUTO_SCRIPT s =
        SCRIPT({.send = "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 104857600\r\n\r\n",
                .zeros = BIG,
                .until = "\r\n\r\n104857600"});
    OK(growth(&s) < RSS_MAX_KB);
    has(&s, "200 OK");
    IS_INT(app.counted, BIG);
}

TEST(streams_a_large_body_down_in_little_memory)
{
    AUTO_SCRIPT s = SCRIPT(
        {.send = "GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", .count_only = true});
    OK(growth(&s) < RSS_MAX_KB);
    OK(s.counted > BIG && s.counted < BIG + 1000);
    IS_INT(app.complete, 1);
}

TEST(a_short_answer_is_a_broken_one)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /short HTTP/1.1\r\n" HOST "\r\n"});
    act(&s, (struct http_limits){0});
    OK(s.closed);
    IS_INT(app.incomplete, 1);
}

TEST(events_flow_and_are_pinged)
{
    AUTO_SCRIPT s =
        SCRIPT({.send = "GET /events HTTP/1.1\r\n" HOST "\r\n", .until = "\r\n:\n\n\r\n"});
    act(&s, (struct http_limits){.ping_ms = 60});
    has(&s, "Content-Type: text/event-stream\r\n");
    has(&s, "d\r\ndata: first\n\n\r\nc\r\ndata: more\n\n\r\n");
    IS_INT(app.incomplete, 1); /* the client went away: no end to such a stream */
}

TEST(events_of_a_writer_that_waits_all_arrive)
{
    AUTO_SCRIPT s = SCRIPT(
        {.send = "GET /drip HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", .count_only = true});
    OK(growth(&s) < RSS_MAX_KB);
    OK(s.counted > BIG);
    IS_INT(app.complete, 1);
}

TEST(a_slow_reader_of_events_is_dropped)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /flood HTTP/1.1\r\n" HOST "\r\n", .wait_closed = true});
    act(&s, (struct http_limits){0});
    IS_INT(app.incomplete, 1);
}

TEST(a_stalled_reader_is_dropped)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /big HTTP/1.1\r\n" HOST "\r\n", .wait_closed = true});
    act(&s, (struct http_limits){.write_stall_ms = 100});
    IS_INT(app.incomplete, 1);
}

TEST(slow_headers_are_cut_off)
{
    AUTO_SCRIPT part = SCRIPT({.send = "GET /hello HTTP/1.1\r\nHo"});
    AUTO_SCRIPT nothing = SCRIPT({.send = ""});
    AUTO_SCRIPT idle = SCRIPT({.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"});
    act(&part, (struct http_limits){.header_ms = 60});
    has(&part, "408 Request Timeout");
    act(&nothing, (struct http_limits){.header_ms = 60});
    OK(nothing.closed && nothing.got.length == 0);
    act(&idle, (struct http_limits){.idle_ms = 60});
    OK(idle.closed);
    IS_INT(occurrences(&idle, "HTTP/1.1"), 1);
}

TEST(slow_bodies_are_cut_off)
{
    AUTO_SCRIPT s =
        SCRIPT({.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\nabc"});
    act(&s, (struct http_limits){.body_window_ms = 60});
    has(&s, "408 Request Timeout");
    OK(s.closed);
    IS_INT(app.incomplete, 1);
}

TEST(a_peer_that_goes_away_is_noticed)
{
    AUTO_SCRIPT waiting = SCRIPT({.send = "GET /never HTTP/1.1\r\n" HOST "\r\n", .until = ""});
    AUTO_SCRIPT sending = SCRIPT(
        {.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\nabc", .until = ""});
    buf_init(&waiting.got, 0);
    buf_init(&sending.got, 0);
    (void)buf_add(&waiting.got, "", 0); /* so that `until ""` holds at once */
    (void)buf_add(&sending.got, "", 0);
    act(&waiting, (struct http_limits){0});
    IS_INT(app.incomplete, 1);
    act(&sending, (struct http_limits){0});
    IS_INT(app.incomplete, 1);
    IS_INT(app.bodies, 0);
}

TEST(a_peer_that_closed_its_half_still_gets_what_was_answered)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"});
    s.half_close = true;
    act(&s, (struct http_limits){0});
    has(&s, "hello");
}

TEST(too_many_connections_are_told)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"});
    serve(listen_tcp(), (struct http_limits){.connections_max = 1});
    int other = client_connect(&s);
    OK(other >= 0);
    play(&s);
    has(&s, "503 Service Unavailable");
    OK(s.closed);
    fd_closep(&other);
    serve_end();
}

TEST(the_last_files_are_kept_for_what_is_under_way)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"});
    struct rlimit was, few;
    serve(listen_tcp(), (struct http_limits){0});
    int next = dup(STDOUT_FILENO);
    OK(next >= 0 && getrlimit(RLIMIT_NOFILE, &was) == 0);
    few = (struct rlimit){(rlim_t)next + 10, was.rlim_max};
    (void)close(next); /* only its number was wanted */
    OK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    play(&s);
    OK(setrlimit(RLIMIT_NOFILE, &was) == 0);
    has(&s, "503 Service Unavailable");
    has(&s, "too many open files");
    OK(s.closed);
    serve_end();
}

TEST(freeing_the_server_answers_what_is_in_progress)
{
    AUTO_SCRIPT s = SCRIPT({.send = "GET /later HTTP/1.1\r\n" HOST "\r\n"
                                    "GET /hello HTTP/1.1\r\n" HOST "\r\n"});
    serve(listen_tcp(), (struct http_limits){0});
    app.free_in_handler = true;
    play(&s);
    has(&s, "Connection: close\r\n\r\nlater");
    IS_INT(app.requests, 1);
    OK(s.closed);
    serve_end();
}

TEST(serves_unix_sockets)
{
    AUTO_FREE char *path = mem_format("%s/http", tap_dir());
    AUTO_FREE char *want = mem_format("\r\n\r\nunix %d", (int)geteuid());
    AUTO_SCRIPT s = SCRIPT({.send = "GET /peer HTTP/1.1\r\n" HOST "\r\n", .until = want});
    AUTO_SCRIPT tcp = SCRIPT({.send = "GET /peer HTTP/1.1\r\n" HOST "\r\n", .until = ".1 -1"});
    s.unix_path = path;
    serve(listen_unix(path), (struct http_limits){0});
    play(&s);
    serve_end();
    has(&s, want);
    act(&tcp, (struct http_limits){0});
    has(&tcp, "127.0.0.1 -1");
}
