/* Responses: building heads, writing at once when the socket takes it, queueing what is left.
 *
 * A response that fits the socket buffer costs one writev and no allocation: the head is built in
 * the server's scratch buffer. What the kernel does not take is copied once. Nothing here calls
 * back into the owner: a failed write marks the connection broken and the pump does the rest. */
#include "io/http_priv.h"
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"

#define OUTPUT_MAX (64u << 20) /* of a streamed response whose writer ignores back-pressure */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].status == status)
            return known[i].text;
    return "Other";
}

/* "Date: ...\r\n", made once a second. */
static struct str date_line(void)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static char line[64];
    static time_t made_for = -1;
    static int length;
    time_t now = (time_t)(clock_wall_ms(clock_system()) / 1000);
    struct tm t;
    if (now != made_for && gmtime_r(&now, &t)) {
        length = snprintf(line, sizeof(line), "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
                          days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour,
                          t.tm_min, t.tm_sec);
        made_for = now;
    }
    return (struct str){line, (size_t)length};
}

/* Writing. */

struct write {
    uv_write_t request;
    struct http_connection *connection;
    char data[];
};

size_t http_queued(const struct http_connection *c)
{
    return uv_stream_get_write_queue_size(&c->socket.stream);
}

static size_t low_mark(const struct http_request *r)
{
    return r->events ? HTTP_EVENTS_LOW : HTTP_OUTPUT_LOW;
}

/* The owner may write again; it may also break everything, but frees nothing. */
static void tell_drained(struct http_connection *c)
{
    struct http_request *r = c->request;
    if (!r || !r->above || http_queued(c) > low_mark(r))
        return;
    r->above = false;
    if (r->on_drain && r->answer == ANSWER_STREAMING)
        r->on_drain(r);
}

static void written(uv_write_t *request, int status)
{
    struct write *w = CONTAINER_OF(request, struct write, request);
    struct http_connection *c = w->connection;
    free(w);
    if (c->state == STATE_CLOSED)
        return;
    if (status < 0)
        c->broken = true;
    else
        tell_drained(c);
    http_connection_pump(c, (struct str){NULL, 0});
}

static void break_soon(struct http_connection *c)
{
    c->broken = true;
    http_connection_kick(c);
}

/* Queue all but the first `skip` bytes. */
static void send_rest(struct http_connection *c, const uv_buf_t *parts, unsigned count, size_t skip)
{
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += parts[i].len;
    struct write *w = mem_alloc(sizeof(*w) + length - skip);
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t cut = skip < parts[i].len ? skip : parts[i].len;
        skip -= cut;
        memcpy(w->data + at, parts[i].base + cut, parts[i].len - cut);
        at += parts[i].len - cut;
    }
    w->connection = c;
    c->queued_total += at;
    uv_buf_t rest = {.base = w->data, .len = at};
    if (uv_write(&w->request, &c->socket.stream, &rest, 1, written) < 0) {
        free(w);
        break_soon(c);
    } else if (c->request && http_queued(c) > low_mark(c->request)) {
        c->request->above = true;
    }
}

void http_send(struct http_connection *c, const uv_buf_t *parts, unsigned count)
{
    size_t length = 0;
    int taken = 0;
    if (c->broken || c->state == STATE_CLOSED)
        return;
    for (unsigned i = 0; i < count; i++)
        length += parts[i].len;
    if (http_queued(c) == 0)
        taken = uv_try_write(&c->socket.stream, parts, count);
    if (taken == UV_EAGAIN)
        taken = 0;
    c->last_write_ms = http_now();
    if (taken < 0)
        break_soon(c);
    else if ((size_t)taken < length)
        send_rest(c, parts, count, (size_t)taken);
}

static uv_buf_t part(struct str s)
{
    return (uv_buf_t){.base = (char *)s.data, .len = s.length};
}

/* Heads. */

static void add_number(struct buf *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    (void)buf_add(b, digits + at, sizeof(digits) - at); /* the head has no ceiling: all ours */
}

static void add_headers(struct buf *b, const char *const *headers)
{
    for (size_t i = 0; headers && headers[i]; i += 2) {
        const char *name = headers[i], *value = headers[i + 1];
        ASSERT(value && !strpbrk(name, "\r\n: ") && !strpbrk(value, "\r\n"));
        ASSERT(strcasecmp(name, "content-length") != 0);
        ASSERT(strcasecmp(name, "transfer-encoding") != 0);
        (void)buf_add_text(b, name);
        (void)buf_add(b, ": ", 2);
        (void)buf_add_text(b, value);
        (void)buf_add(b, "\r\n", 2);
    }
}

/* The head up to the framing fields, in the server's scratch. */
static struct buf *head_begin(struct http_server *s, int status, const char *const *headers)
{
    struct buf *b = &s->head;
    buf_clear(b);
    ASSERT(status >= 200 && status <= 599);
    (void)buf_add(b, "HTTP/1.1 ", 9);
    add_number(b, (uint64_t)status);
    (void)buf_add_char(b, ' ');
    (void)buf_add_text(b, status_text(status));
    (void)buf_add(b, "\r\n", 2);
    (void)buf_add_str(b, date_line());
    add_headers(b, headers);
    return b;
}

static void head_end(struct buf *b, bool close, bool version_1_0)
{
    if (close)
        (void)buf_add_str(b, STR("Connection: close\r\n\r\n"));
    else if (version_1_0)
        (void)buf_add_str(b, STR("Connection: keep-alive\r\n\r\n"));
    else
        (void)buf_add(b, "\r\n", 2);
}

static void add_length(struct buf *b, uint64_t length)
{
    (void)buf_add_str(b, STR("Content-Length: "));
    add_number(b, length);
    (void)buf_add(b, "\r\n", 2);
}

/* Can the rest of the request's body be read and thrown away, so that the connection goes on? */
static bool rest_is_small(const struct http_request *r)
{
    if (r->connection->parse.complete)
        return true;
    return r->content_length >= 0 && !r->expect_continue &&
           r->content_length - (int64_t)r->received <= (64 << 10);
}

/* Begin the answer; false when it goes nowhere. */
static bool answer_begin(struct http_request *r, int status)
{
    struct http_connection *c = r->connection;
    CHECK_LOOP();
    if (r->refused || c->broken || c->state == STATE_CLOSED) {
        r->answer = ANSWER_ENDED;
        return false;
    }
    ASSERT(r->answer == ANSWER_NONE);
    if (!c->parse.keep_alive || c->server->closing || c->eof || !rest_is_small(r))
        r->close = true;
    r->bodyless = r->is_head || status == 204 || status == 304;
    return true;
}

void http_respond(struct http_request *r, int status, const char *const *headers, struct str body)
{
    if (!answer_begin(r, status))
        return;
    struct buf *b = head_begin(r->connection->server, status, headers);
    if (status != 204 && status != 304)
        add_length(b, body.length);
    head_end(b, r->close, r->version_1_0);
    uv_buf_t parts[2] = {part(buf_str(b)), part(body)};
    r->answer = ANSWER_ENDED;
    http_send(r->connection, parts, r->bodyless || body.length == 0 ? 1 : 2);
    http_connection_kick(r->connection);
}

static void error_body(struct buf *b, const struct err *error)
{
    buf_init(b, 0);
    (void)buf_add_text(b, "{\"error\":");
    (void)buf_add_json_string(b, str_of(err_name(error->kind)));
    (void)buf_add_text(b, ",\"class\":");
    (void)buf_add_json_string(b, str_of(err_class_name(err_class(error->kind))));
    (void)buf_add_text(b, ",\"text\":");
    (void)buf_add_json_string(b, str_of(error->text));
    (void)buf_add_text(b, "}\n");
}

static const char *const error_headers[] = {"Content-Type", "application/json", "Cache-Control",
                                            "no-store", NULL};

void http_answer_error(struct http_request *r, const struct err *error)
{
    AUTO_BUF body = BUF_INIT(0);
    error_body(&body, error);
    http_respond(r, err_status(error->kind), error_headers, buf_str(&body));
}

void http_respond_error(struct http_request *r, const struct err *error)
{
    http_answer_error(r, error);
}

void http_send_error(struct http_connection *c, const struct err *error)
{
    static const char *const method_headers[] = {"Content-Type", "application/json", "Allow",
                                                 "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
                                                 NULL};
    AUTO_BUF body = BUF_INIT(0);
    error_body(&body, error);
    struct buf *b =
        head_begin(c->server, err_status(error->kind),
                   error->kind == E_METHOD_NOT_ALLOWED ? method_headers : error_headers);
    add_length(b, body.length);
    head_end(b, true, false);
    http_send(c, (uv_buf_t[]){part(buf_str(b)), part(buf_str(&body))}, 2);
}

/* Streamed. */

static void add_framing(struct http_request *r, int status, struct buf *b,
                        enum http_begin_flags flags, int64_t length)
{
    r->length_left = -1;
    r->events = flags == HTTP_BEGIN_EVENTS;
    if (r->events)
        (void)buf_add_str(b, STR("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"));
    if (status == 204 || status == 304)
        return;
    if (flags == HTTP_BEGIN_LENGTH) {
        ASSERT(length >= 0);
        add_length(b, (uint64_t)length);
        r->length_left = length;
    } else if (r->version_1_0) {
        r->close = true; /* the end of the connection is the end of the body */
    } else {
        r->chunked_out = !r->bodyless;
        (void)buf_add_str(b, STR("Transfer-Encoding: chunked\r\n"));
    }
}

void http_begin(struct http_request *r, int status, const char *const *headers,
                enum http_begin_flags flags, int64_t length)
{
    if (!answer_begin(r, status))
        return;
    struct buf *b = head_begin(r->connection->server, status, headers);
    add_framing(r, status, b, flags, length);
    head_end(b, r->close, r->version_1_0);
    r->answer = ANSWER_STREAMING;
    uv_buf_t head = part(buf_str(b));
    http_send(r->connection, &head, 1);
}

static void write_body(struct http_request *r, struct str data)
{
    char size[20];
    int length = snprintf(size, sizeof(size), "%zx\r\n", data.length);
    uv_buf_t parts[3] = {part((struct str){size, (size_t)length}), part(data), part(STR("\r\n"))};
    if (r->chunked_out)
        http_send(r->connection, parts, 3);
    else
        http_send(r->connection, parts + 1, 1);
}

size_t http_write(struct http_request *r, struct str data)
{
    struct http_connection *c = r->connection;
    CHECK_LOOP();
    ASSERT(r->answer != ANSWER_NONE || r->refused);
    if (r->answer != ANSWER_STREAMING || c->broken || c->state == STATE_CLOSED)
        return 0;
    if (r->length_left >= 0) {
        ASSERT(data.length <= (size_t)r->length_left);
        r->length_left -= (int64_t)data.length;
    }
    if (data.length == 0 || r->bodyless)
        return http_queued(c);
    write_body(r, data);
    size_t queued = http_queued(c);
    if (queued > (r->events ? c->server->limits.stream_queue_max : OUTPUT_MAX))
        break_soon(c);
    return queued;
}

void http_on_drain(struct http_request *r, void (*fn)(struct http_request *r))
{
    r->on_drain = fn;
}

void http_end(struct http_request *r)
{
    ASSERT(r->answer != ANSWER_NONE || r->refused);
    if (r->answer != ANSWER_STREAMING)
        return;
    r->answer = ANSWER_ENDED;
    if (r->length_left > 0 && !r->bodyless) { /* shorter than promised: only a break says so */
        http_abort(r);
        return;
    }
    uv_buf_t last = part(STR("0\r\n\r\n"));
    if (r->chunked_out)
        http_send(r->connection, &last, 1);
    http_connection_kick(r->connection);
}

void http_abort(struct http_request *r)
{
    struct http_connection *c = r->connection;
    struct linger hard = {.l_onoff = 1}; /* a reset: the peer must not take it for the end */
    int fd;
    if (c->state == STATE_CLOSED)
        return;
    if (uv_fileno(&c->socket.handle, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    break_soon(c);
}

bool http_responded(const struct http_request *r)
{
    return r->answer != ANSWER_NONE || r->refused;
}
