/* See edge_cli.h. */
#include "host/edge/edge_cli.h"
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/buf.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/mem.h"
#include "io/loop.h"

#define ANSWER_MAX                                                                                 \
    (32u << 20) /* of one call: `show servers state` of ten thousand servers is 1 MB */
#define PROMPT "\n> "

struct call {
    struct call *next;
    size_t count;
    size_t got;
    size_t *ends;
    struct buf text;
    void (*fn)(void *context, const struct edge_answers *answers);
    void *context;
};
struct edge_cli {
    int fd;
    struct watch *watch;
    struct timer *patience;
    struct buf out;
    struct buf in; /* the answer that is coming */
    struct call *first;
    struct call **last;
    void (*on_lost)(void *context, const struct err *err);
    void *context;
    struct err lost;
    bool failed;
    bool busy;  /* a callback runs */
    bool freed; /* by it */
};

struct str edge_answer_at(const struct edge_answers *a, size_t index)
{
    ASSERT(index < a->count);
    size_t start = index ? a->ends[index - 1] : 0;
    return (struct str){a->text + start, a->ends[index] - start};
}

static void call_free(struct call *call)
{
    buf_done(&call->text);
    free(call->ends);
    free(call);
}

static void call_finish(struct edge_cli *c, const struct err *error)
{
    struct call *call = c->first;
    struct edge_answers answers = {error, error ? 0 : call->count, call->ends,
                                   call->text.data ? call->text.data : ""};
    c->first = call->next;
    if (!c->first)
        c->last = &c->first;
    if (call->fn)
        call->fn(call->context, &answers);
    call_free(call);
}

static void cli_release(struct edge_cli *c)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_EDGE_REFUSED, "the connection to the edge was closed");
    watch_free(c->watch);
    timer_free(&c->patience);
    fd_closep(&c->fd);
    while (c->first)
        call_finish(c, &err);
    buf_done(&c->out);
    buf_done(&c->in);
    free(c);
}

void edge_cli_free(struct edge_cli *c)
{
    if (!c)
        return;
    c->freed = true;
    if (!c->busy)
        cli_release(c);
}

static void cli_fail(struct edge_cli *c, const struct err *err)
{
    if (c->failed)
        return;
    c->failed = true;
    c->lost = *err;
    watch_set(c->watch, 0);
    timer_free(&c->patience);
    while (c->first && !c->freed)
        call_finish(c, &c->lost);
    if (!c->freed)
        c->on_lost(c->context, &c->lost);
}

/* The callbacks of the loop run between these two. */
static void cli_enter(struct edge_cli *c)
{
    c->busy = true;
}

static void cli_leave(struct edge_cli *c)
{
    c->busy = false;
    if (c->freed)
        cli_release(c);
}

static void patience_over(void *context)
{
    struct edge_cli *c = context;
    struct err err = ERR_INIT;
    cli_enter(c);
    (void)FAIL(&err, E_EDGE_REFUSED, "the edge's runtime socket did not answer within %d ms",
               EDGE_CLI_MS);
    cli_fail(c, &err);
    cli_leave(c);
}

static void patience_set(struct edge_cli *c)
{
    if (c->first)
        timer_start(&c->patience, EDGE_CLI_MS, 0, patience_over, c);
    else
        timer_free(&c->patience);
}

/* One answer is complete: it belongs to the first call. */
static void answer_take(struct edge_cli *c, struct str answer)
{
    struct call *call = c->first;
    if (!call)
        return;
    (void)buf_add_str(&call->text, answer); /* c->in has the ceiling */
    call->ends[call->got++] = call->text.length;
    if (call->got == call->count)
        call_finish(c, NULL);
}

static void answers_take(struct edge_cli *c, size_t searched)
{
    size_t start = 0;
    size_t from = searched > 2 ? searched - 2 : 0;
    while (!c->freed && !c->failed && from < c->in.length) {
        char *end = memmem(c->in.data + from, c->in.length - from, PROMPT, 3);
        if (!end)
            break;
        size_t stop = (size_t)(end - c->in.data);
        answer_take(c, (struct str){c->in.data + start, stop - start});
        from = start = stop + 3;
    }
    if (start > 0)
        buf_consume(&c->in, start);
}

static int cli_read(struct edge_cli *c, struct err *err)
{
    char chunk[65536];
    ssize_t count = read(c->fd, chunk, sizeof(chunk));
    size_t searched = c->in.length;
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (count < 0)
        return FAIL_SYS(err, "cannot read from the edge's runtime socket");
    if (count == 0)
        return FAIL(err, E_EDGE_REFUSED, "the edge closed its runtime socket");
    if (buf_add(&c->in, chunk, (size_t)count) < 0)
        return FAIL(err, E_TOO_LARGE, "an answer of the edge is too large");
    answers_take(c, searched);
    patience_set(c);
    return 0;
}

static int cli_write(struct edge_cli *c, struct err *err)
{
    while (c->out.length > 0) {
        ssize_t count = send(c->fd, c->out.data, c->out.length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            break;
        if (count < 0)
            return FAIL_SYS(err, "cannot write to the edge's runtime socket");
        buf_consume(&c->out, (size_t)count);
    }
    watch_set(c->watch, WATCH_READ | (c->out.length > 0 ? WATCH_WRITE : 0));
    return 0;
}

static void cli_ready(void *context, int events)
{
    struct edge_cli *c = context;
    struct err err = ERR_INIT;
    cli_enter(c);
    if (((events & WATCH_WRITE) && cli_write(c, &err) < 0) ||
        (!c->freed && (events & WATCH_READ) && cli_read(c, &err) < 0))
        cli_fail(c, &err);
    cli_leave(c);
}

/* What listens there is the edge, whatever lies at that path. */
static bool cli_is_users(int fd, uid_t uid)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid;
}

static int cli_connect(const char *path, uid_t uid, int *ret_fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a socket");
    if (strlen(path) >= sizeof(address.sun_path))
        return FAIL(err, E_TOO_LARGE, "the socket's path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return FAIL(err, E_EDGE_REFUSED, "cannot reach the edge at '%s': %s", path,
                    strerror(errno));
    if (!cli_is_users(fd, uid))
        return FAIL(err, E_EDGE_REFUSED, "'%s' is another user's socket, not the edge's", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int edge_cli_open(const char *path, uid_t uid,
                  void (*on_lost)(void *context, const struct err *err), void *context,
                  struct edge_cli **ret_cli, struct err *err)
{
    int fd = -1;
    if (cli_connect(path, uid, &fd, err) < 0)
        return -1;
    struct edge_cli *c = mem_alloc(sizeof(*c));
    c->fd = fd;
    c->last = &c->first;
    c->on_lost = on_lost;
    c->context = context;
    buf_init(&c->in, ANSWER_MAX);
    buf_init(&c->out, 0);
    c->watch = watch_new(fd, cli_ready, c);
    edge_cli_run(c, STR("prompt\n"), 1, NULL, NULL); /* interactive: answers end with a prompt */
    *ret_cli = c;
    return 0;
}

void edge_cli_run(struct edge_cli *c, struct str text, size_t count,
                  void (*fn)(void *context, const struct edge_answers *answers), void *context)
{
    struct call *call = mem_alloc(sizeof(*call));
    ASSERT(count > 0 && !c->freed);
    *call = (struct call){.count = count, .fn = fn, .context = context};
    call->ends = mem_array(count, sizeof(*call->ends));
    buf_init(&call->text, 0);
    *c->last = call;
    c->last = &call->next;
    if (c->failed) /* it is answered with the others by who lost it */
        return;
    FAULT("edge.runtime");
    (void)buf_add_str(&c->out, text); /* no ceiling: what we made */
    if (!c->patience)
        patience_set(c);
    watch_set(c->watch, WATCH_READ | WATCH_WRITE);
}
