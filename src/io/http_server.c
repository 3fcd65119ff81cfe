/* The server: the listening socket, its limits, and the clock that enforces them.
 *
 * Time limits need no timer a connection: one sweep over all of them, at a quarter of the shortest
 * limit (a second at most), runs while there is any connection. The struct lives until the
 * listener and the last connection are closed. */
#include "io/http_priv.h"
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"

#define BACKLOG 1024
#define EXCESS_MAX 64 /* connections beyond the limit that are told so; others are just closed */
#define FILES_KEPT 16 /* for what is under way: the store's files, a child's pipes */
#define SWEEP_MIN_MS 10
#define SWEEP_MAX_MS 1000

#define LIMIT(limits, field, fallback)                                                             \
    do {                                                                                           \
        if ((limits)->field == 0)                                                                  \
            (limits)->field = (fallback);                                                          \
    } while (0)

static void limits_fill(struct http_limits *l)
{
    LIMIT(l, header_max, (size_t)32 << 10);
    LIMIT(l, headers_max, 100);
    LIMIT(l, connections_max, 1000);
    LIMIT(l, header_ms, 10000);
    LIMIT(l, idle_ms, 60000);
    LIMIT(l, body_min_rate, 1024);
    LIMIT(l, write_stall_ms, 60000);
    LIMIT(l, stream_queue_max, 256u << 10);
    LIMIT(l, body_window_ms, 10000);
    LIMIT(l, ping_ms, 15000);
}

static int64_t sweep_interval(const struct http_limits *l)
{
    const int64_t times[] = {l->header_ms, l->idle_ms, l->write_stall_ms, l->body_window_ms,
                             l->ping_ms};
    int64_t least = SWEEP_MAX_MS * INT64_C(4);
    for (size_t i = 0; i < ARRAY_SIZE(times); i++)
        if (times[i] < least)
            least = times[i];
    return least / 4 < SWEEP_MIN_MS ? SWEEP_MIN_MS : least / 4;
}

static void sweep(void *context)
{
    struct http_server *s = context;
    struct http_connection *next;
    int64_t now_ms = http_now();
    s->holds++;
    for (struct http_connection *c = s->connections; c; c = next) {
        next = c->next; /* dropped ones keep their memory until the loop's next round */
        http_connection_sweep(c, now_ms);
    }
    if (!s->connections)
        timer_free(&s->sweep);
    http_server_unhold(s);
}

static bool connection_accept(struct http_server *s, struct http_connection *c)
{
    if (uv_accept(&s->listener.stream, &c->socket.stream) < 0)
        return false;
    if (!s->unix_socket)
        (void)uv_tcp_nodelay(&c->socket.tcp, 1); /* slower without, but right */
    return s->connection_count <= s->limits.connections_max + EXCESS_MAX;
}

/* The lowest free number is given out: a high one says that few are left. */
static bool files_are_scarce(const struct http_connection *c)
{
    struct rlimit most;
    uv_os_fd_t fd;
    return getrlimit(RLIMIT_NOFILE, &most) == 0 && uv_fileno(&c->socket.handle, &fd) == 0 &&
           (rlim_t)fd + FILES_KEPT >= most.rlim_cur;
}

static const char *no_room(const struct http_server *s, const struct http_connection *c)
{
    if (s->connection_count > s->limits.connections_max)
        return "too many connections";
    return files_are_scarce(c) ? "too many open files: try again" : NULL;
}

static void connection_came(uv_stream_t *stream, int status)
{
    struct http_server *s = CONTAINER_OF(stream, struct http_server, listener.stream);
    struct err err = ERR_INIT;
    if (status < 0 || s->closing)
        return;
    struct http_connection *c = http_connection_new(s);
    if (!s->sweep) {
        int64_t every = sweep_interval(&s->limits);
        timer_start(&s->sweep, every, every, sweep, s);
    }
    if (!connection_accept(s, c)) {
        http_connection_drop(c);
        return;
    }
    const char *why = no_room(s, c);
    if (why) {
        (void)FAIL(&err, E_UNAVAILABLE, "%s", why);
        http_send_error(c, &err);
        http_connection_linger(c);
    }
    http_connection_start(c);
}

static void listener_open(struct http_server *s, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    s->unix_socket = address.ss_family == AF_UNIX;
    if (s->unix_socket) {
        ASSERT(uv_pipe_init(loop_get(), &s->listener.pipe, 0) == 0);
        ASSERT(uv_pipe_open(&s->listener.pipe, fd) == 0);
    } else {
        ASSERT(uv_tcp_init(loop_get(), &s->listener.tcp) == 0);
        ASSERT(uv_tcp_open(&s->listener.tcp, fd) == 0);
    }
    ASSERT(uv_listen(&s->listener.stream, BACKLOG, connection_came) == 0);
}

struct http_server *http_server_new(int listen_fd, const struct http_limits *limits,
                                    const struct http_server_callbacks *callbacks)
{
    CHECK_LOOP();
    struct http_server *s = mem_alloc(sizeof(*s));
    ASSERT(callbacks->on_request);
    if (limits)
        s->limits = *limits;
    limits_fill(&s->limits);
    s->callbacks = *callbacks;
    s->holds = 1;
    s->fields = mem_array(s->limits.headers_max, sizeof(*s->fields));
    buf_init(&s->head, 0);
    listener_open(s, listen_fd);
    return s;
}

void http_server_unhold(struct http_server *s)
{
    if (--s->holds > 0)
        return;
    timer_free(&s->sweep);
    free(s->fields);
    buf_done(&s->head);
    free(s);
}

static void listener_closed(uv_handle_t *handle)
{
    http_server_unhold(CONTAINER_OF(handle, struct http_server, listener.handle));
}

void http_server_free(struct http_server *s)
{
    struct http_connection *next;
    if (!s || s->closing)
        return;
    s->closing = true;
    uv_close(&s->listener.handle, listener_closed);
    for (struct http_connection *c = s->connections; c; c = next) {
        next = c->next;
        if (c->state == STATE_HEAD)
            http_connection_drop(c);
        else if (c->request && c->request->events)
            http_end(c->request);
    }
}

size_t http_server_connections(const struct http_server *s)
{
    return s->connection_count;
}
