/* One connection: a small state machine (see enum http_state) that is pumped whenever something
 * may have changed: bytes came, a write finished, the owner said something (deferred, so that no
 * callback of the owner runs inside its own call).
 *
 * What was read and not used yet stays in `input`; reading stops when the owner is slow or the
 * peer pipelines too much. A request is freed when its response is with the kernel, or when the
 * connection drops. http_connection_drop is the only way out: everything that finds the connection
 * beyond use sets `broken` and lets the pump drop it. */
#include "io/http_priv.h"
#include <sys/socket.h>
#include "base/check.h"
#include "base/mem.h"

#define READ_CHUNK ((size_t)64 << 10)
#define AHEAD_MAX 4096u /* kept of later requests while one is answered */
#define LINGER_MS 2000

int64_t http_now(void)
{
    return (int64_t)uv_now(loop_get());
}

/* Requests. */

static struct http_request *request_new(struct http_connection *c, const struct http_head *head,
                                        struct str block)
{
    size_t fields = head->field_count * sizeof(struct http_field);
    struct http_request *r = mem_alloc(sizeof(*r) + fields + block.length);
    r->connection = c;
    r->fields = (struct http_field *)(r + 1);
    r->block = (char *)(r->fields + head->field_count);
    r->field_count = head->field_count;
    memcpy(r->fields, head->fields, fields);
    memcpy(r->block, block.data, block.length);
    r->method = (struct str){r->block + head->method.at, head->method.length};
    r->query = (struct str){r->block + head->target.at, head->target.length};
    r->path = str_cut(&r->query, '?');
    if (!r->query.data)
        r->query = STR("");
    r->content_length = head->chunked ? -1 : head->content_length;
    r->version_1_0 = head->version_1_0;
    r->expect_continue = head->expect_continue;
    r->is_head = str_is(r->method, "HEAD");
    r->length_left = -1;
    return r;
}

static void request_free(struct http_connection *c, bool complete)
{
    struct http_request *r = TAKE(c->request);
    if (!r)
        return;
    if (r->on_close)
        r->on_close(r->context, complete && !r->refused);
    buf_done(&r->collected);
    free(r->peer);
    free(r);
}

void http_request_refuse(struct http_request *r, const struct err *error)
{
    if (r->answer == ANSWER_NONE) {
        r->close = true;
        http_answer_error(r, error);
        r->refused = true;
    } else if (r->answer == ANSWER_STREAMING) {
        http_abort(r);
    }
    http_connection_kick(r->connection);
}

/* State STATE_HEAD. */

static void enter(struct http_connection *c, enum http_state state)
{
    c->state = state;
    c->since_ms = http_now();
}

void http_connection_linger(struct http_connection *c)
{
    enter(c, STATE_LINGER);
    http_connection_kick(c);
}

static void head_refuse(struct http_connection *c, const struct err *error)
{
    http_send_error(c, error);
    http_connection_linger(c);
}

static int head_take(struct http_connection *c, struct str *rest, struct err *err)
{
    struct http_server *s = c->server;
    struct http_head head = {.fields = s->fields, .field_max = s->limits.headers_max};
    int done = http_scan_head(&c->scan, *rest, s->limits.header_max, &head, err);
    if (done != 0)
        return done;
    struct str block = {rest->data, head.length};
    if (http_parse_head(&c->parse, block, &head, err) < 0)
        return -1;
    c->request = request_new(c, &head, block);
    rest->data += head.length;
    rest->length -= head.length;
    return 0;
}

static bool head_step(struct http_connection *c, struct str *rest)
{
    struct err err = ERR_INIT;
    if (rest->length == 0)
        return false;
    if (!c->head_started)
        enter(c, STATE_HEAD); /* the clock of the block */
    c->head_started = true;
    int done = head_take(c, rest, &err);
    if (done == HTTP_SCAN_MORE)
        return false;
    c->scan = (struct http_scan){0};
    if (done < 0) {
        head_refuse(c, &err);
        return true;
    }
    enter(c, STATE_BODY);
    c->server->callbacks.on_request(c->server->callbacks.context, c->request);
    return true;
}

/* State STATE_BODY. */

/* One decoded piece, from the parser. */
static void body_piece(void *context, struct str data)
{
    struct http_connection *c = context;
    struct http_request *r = c->request;
    struct err err = ERR_INIT;
    r->received += data.length;
    if (r->refused || r->answer == ANSWER_ENDED || c->broken)
        return;
    if (r->sink == SINK_STREAM) {
        r->on_data(r, data);
    } else if (r->sink == SINK_COLLECT && buf_add_str(&r->collected, data) < 0) {
        (void)FAIL(&err, E_TOO_LARGE, "the body is larger than %zu bytes", r->collected.ceiling);
        http_request_refuse(r, &err);
    }
}

static bool body_feed(struct http_connection *c, struct str *rest)
{
    struct err err = ERR_INIT;
    size_t used = 0;
    if (rest->length == 0)
        return false;
    if (http_parse_body(&c->parse, *rest, &used, &err) < 0) {
        c->request->close = true;
        http_request_refuse(c->request, &err);
        enter(c, STATE_RESPONSE); /* there is no telling where the next request begins */
        return true;
    }
    c->window_bytes += used;
    rest->data += used;
    rest->length -= used;
    return true;
}

static void body_deliver(struct http_connection *c)
{
    struct http_request *r = c->request;
    enter(c, STATE_RESPONSE);
    if (r->refused || r->answer == ANSWER_ENDED)
        return;
    if (r->sink == SINK_COLLECT)
        r->on_body(r, r->collected.data ? buf_str(&r->collected) : STR(""));
    else if (r->sink == SINK_STREAM)
        r->on_end(r);
}

static bool body_step(struct http_connection *c, struct str *rest)
{
    struct http_request *r = c->request;
    if (r->answer == ANSWER_ENDED && r->close && !c->parse.complete) {
        enter(c, STATE_RESPONSE); /* nobody wants the rest */
        return true;
    }
    if (r->answer == ANSWER_ENDED)
        r->sink = SINK_DISCARD;
    if (r->sink == SINK_NONE || (r->paused && r->sink != SINK_DISCARD))
        return false;
    if (!c->parse.complete)
        return body_feed(c, rest);
    body_deliver(c);
    return true;
}

/* States STATE_RESPONSE and STATE_LINGER. */

static bool response_step(struct http_connection *c)
{
    struct http_request *r = c->request;
    if (r->answer != ANSWER_ENDED || http_queued(c) > 0)
        return false;
    bool close = r->close || c->eof;
    request_free(c, true);
    if (c->broken || c->state == STATE_CLOSED)
        return false;
    if (close || c->server->closing) {
        http_connection_linger(c);
        return true;
    }
    c->reused = true;
    c->head_started = false;
    enter(c, STATE_HEAD);
    return true;
}

static bool linger_step(struct http_connection *c, struct str *rest)
{
    int fd;
    rest->length = 0;
    if (http_queued(c) > 0)
        return false;
    if (c->eof) {
        c->broken = true;
        return false;
    }
    if (!c->shut && uv_fileno(&c->socket.handle, &fd) == 0)
        (void)shutdown(fd, SHUT_WR); /* a failure shows as an error on reading */
    c->shut = true;
    return false;
}

/* The pump. */

static bool step(struct http_connection *c, struct str *rest)
{
    if (c->broken)
        return false;
    switch (c->state) {
    case STATE_HEAD:
        return head_step(c, rest);
    case STATE_BODY:
        return body_step(c, rest);
    case STATE_RESPONSE:
        return response_step(c);
    case STATE_LINGER:
        return linger_step(c, rest);
    case STATE_CLOSED:
        return false;
    }
    return false;
}

static void read_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_space)
{
    static char space[READ_CHUNK]; /* one for all: what came is used or copied at once */
    (void)handle;
    (void)size;
    *ret_space = (uv_buf_t){.base = space, .len = sizeof(space)};
}

static bool gone_matters(const struct http_connection *c)
{
    if (c->state == STATE_LINGER)
        return false;
    return !c->request || c->request->answer != ANSWER_ENDED;
}

static void read_done(uv_stream_t *stream, ssize_t count, const uv_buf_t *space)
{
    struct http_connection *c = CONTAINER_OF(stream, struct http_connection, socket.stream);
    if (count == 0)
        return;
    if (count < 0) {
        c->eof = true; /* a peer that closed one way still gets the answer on its way to it */
        if (count != UV_EOF || gone_matters(c))
            c->broken = true;
        if (c->request)
            c->request->close = true;
        count = 0;
    }
    http_connection_pump(c, (struct str){space->base, (size_t)count});
}

static bool wants_reading(const struct http_connection *c)
{
    const struct http_request *r = c->request;
    if (c->eof)
        return false;
    switch (c->state) {
    case STATE_HEAD:
    case STATE_LINGER:
        return true;
    case STATE_BODY:
        if (r->sink == SINK_NONE)
            return c->input.length < AHEAD_MAX;
        return !r->paused || r->sink == SINK_DISCARD;
    case STATE_RESPONSE:
        return c->input.length < AHEAD_MAX;
    case STATE_CLOSED:
        break;
    }
    return false;
}

static void reading_set(struct http_connection *c)
{
    bool wanted = wants_reading(c);
    if (wanted == c->reading)
        return;
    c->reading = wanted;
    if (!wanted)
        (void)uv_read_stop(&c->socket.stream); /* never fails */
    else if (uv_read_start(&c->socket.stream, read_alloc, read_done) < 0)
        c->broken = true;
}

/* Steps until nothing moves; what is left of the bytes is kept. */
static void pump_steps(struct http_connection *c, struct str fresh)
{
    bool held = c->input.length > 0;
    if (held && buf_add_str(&c->input, fresh) < 0) {
        c->broken = true; /* cannot be: reading stops far below the ceiling */
        return;
    }
    struct str all = held ? buf_str(&c->input) : fresh;
    struct str rest = all;
    while (step(c, &rest))
        ;
    if (c->state == STATE_CLOSED)
        return;
    if (!held && rest.length > 0)
        (void)buf_add_str(&c->input, rest); /* a chunk is far below the ceiling */
    else if (held && rest.length == 0)
        buf_done(&c->input); /* a quiet connection holds no buffer */
    else if (held)
        buf_consume(&c->input, all.length - rest.length);
}

void http_connection_pump(struct http_connection *c, struct str fresh)
{
    if (c->pumping || c->state == STATE_CLOSED)
        return;
    c->pumping = true;
    pump_steps(c, fresh);
    c->pumping = false;
    if (c->state == STATE_CLOSED)
        return;
    if (!c->broken)
        reading_set(c);
    if (c->broken)
        http_connection_drop(c);
}

static void kicked(void *context)
{
    struct http_connection *c = context;
    c->kicked = false;
    if (c->state == STATE_CLOSED && !c->server)
        free(c); /* its handle was closed before */
    else
        http_connection_pump(c, (struct str){NULL, 0});
}

void http_connection_kick(struct http_connection *c)
{
    if (c->pumping || c->kicked || c->state == STATE_CLOSED)
        return;
    c->kicked = true;
    loop_defer(kicked, c);
}

/* Life. */

static void socket_closed(uv_handle_t *handle)
{
    struct http_connection *c = CONTAINER_OF(handle, struct http_connection, socket.handle);
    http_server_unhold(TAKE(c->server));
    if (!c->kicked)
        free(c);
}

void http_connection_drop(struct http_connection *c)
{
    if (c->state == STATE_CLOSED)
        return;
    c->state = STATE_CLOSED;
    c->broken = true;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->server->connection_count--;
    request_free(c, false);
    buf_done(&c->input);
    uv_close(&c->socket.handle, socket_closed);
}

struct http_connection *http_connection_new(struct http_server *s)
{
    struct http_connection *c = mem_alloc(sizeof(*c));
    int made = s->unix_socket ? uv_pipe_init(loop_get(), &c->socket.pipe, 0)
                              : uv_tcp_init(loop_get(), &c->socket.tcp);
    ASSERT(made == 0);
    c->server = s;
    c->parse.on_body = body_piece;
    c->parse.context = c;
    buf_init(&c->input, s->limits.header_max + 2 * READ_CHUNK + AHEAD_MAX);
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    s->connection_count++;
    s->holds++;
    c->progress_ms = http_now();
    enter(c, STATE_HEAD);
    return c;
}

void http_connection_start(struct http_connection *c)
{
    http_connection_pump(c, (struct str){NULL, 0});
}

/* Time. */

static void sweep_head(struct http_connection *c, int64_t age_ms)
{
    const struct http_limits *l = &c->server->limits;
    struct err err = ERR_INIT;
    if (age_ms <= (c->head_started || !c->reused ? l->header_ms : l->idle_ms))
        return;
    if (!c->head_started) {
        http_connection_drop(c);
        return;
    }
    (void)FAIL(&err, E_REQUEST_TIMEOUT, "the header did not come in time");
    head_refuse(c, &err);
}

/* A body that we would read must come at its least rate. */
static void sweep_body(struct http_connection *c, int64_t now_ms)
{
    const struct http_limits *l = &c->server->limits;
    struct http_request *r = c->request;
    struct err err = ERR_INIT;
    if (r->sink == SINK_NONE || r->paused || c->parse.complete) {
        c->window_ms = now_ms;
        c->window_bytes = 0;
        return;
    }
    if (now_ms - c->window_ms < l->body_window_ms)
        return;
    if (c->window_bytes * 1000 < (uint64_t)(l->body_min_rate * (now_ms - c->window_ms))) {
        (void)FAIL(&err, E_REQUEST_TIMEOUT, "the body comes too slowly");
        http_request_refuse(r, &err);
        if (r->sink == SINK_DISCARD)
            c->broken = true;
    }
    c->window_ms = now_ms;
    c->window_bytes = 0;
}

/* True when the peer has taken nothing for too long. */
static bool is_stalled(struct http_connection *c, int64_t now_ms)
{
    size_t queued = http_queued(c);
    uint64_t taken = c->queued_total - queued;
    if (queued == 0 || taken != c->written_seen) {
        c->written_seen = taken;
        c->progress_ms = now_ms;
    }
    return now_ms - c->progress_ms > c->server->limits.write_stall_ms;
}

static void sweep_ping(struct http_connection *c, int64_t now_ms)
{
    struct http_request *r = c->request;
    if (r && r->events && r->answer == ANSWER_STREAMING &&
        now_ms - c->last_write_ms >= c->server->limits.ping_ms)
        (void)http_write(r, STR(":\n\n")); /* what is queued is bounded by http_write */
}

void http_connection_sweep(struct http_connection *c, int64_t now_ms)
{
    if (c->state == STATE_CLOSED)
        return;
    bool lingered = c->state == STATE_LINGER && now_ms - c->since_ms > LINGER_MS;
    if (is_stalled(c, now_ms) || lingered)
        c->broken = true;
    else if (c->state == STATE_HEAD)
        sweep_head(c, now_ms - c->since_ms);
    else if (c->state == STATE_BODY)
        sweep_body(c, now_ms);
    sweep_ping(c, now_ms);
    http_connection_pump(c, (struct str){NULL, 0});
}
