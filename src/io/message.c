/* Channels: framed JSON with file descriptors over unix stream sockets.
 *
 * Writing: each frame is one element of a queue and is sent by its own sendmsg, its fds with the
 * first byte. Reading: the kernel never reads past the bytes that fds came with, so fds of one
 * recvmsg belong to the frame that holds the last byte it returned; they are queued with that
 * byte's place in the stream and dealt out as frames complete.
 *
 * Any callback may free the channel. channel_shut closes the socket and fails what is pending at
 * once; the memory goes by a deferred call, when nothing of ours is on the stack any more. Errors
 * found while sending are never reported from inside the sending call: they are deferred. */
#include "io/message.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"

#define HEAD 4 /* bytes of length */
#define READ_CHUNK (64u << 10)
#define READS_LAST 1024    /* of a peer that has gone */
#define READS_MAX 16       /* for one event: others want their turn */
#define TICKETS_MAX 10000u /* requests of one peer in progress */
#define ACCEPTS_MAX 16
#define ACCEPT_RETRY_MS 100 /* when descriptors ran out */
#define CONNECT_SECONDS 5

struct frame {
    struct frame *next;
    char *data;
    size_t length;
    size_t sent;
    int fds[CHANNEL_FDS];
    size_t fd_count; /* 0 once they were sent */
};
struct pending {
    struct pending *next;
    struct channel *channel;
    int64_t id;
    struct timer *timer;
    void (*on_event)(void *context, const char *event, json_t *args);
    void (*on_reply)(void *context, json_t *ok, const struct err *error);
    void *context;
    struct err error; /* why it failed before it was sent */
};
struct ticket {
    struct ticket *next;
    struct ticket **link; /* what points to us; NULL: the channel is gone */
    struct channel *channel;
    int64_t id;
};
struct got_fd {
    int fd;
    uint64_t at; /* place in the stream of the last byte read with it */
};
struct channel {
    int fd;      /* -1: shut */
    bool broken; /* a break is deferred; nothing is sent any more */
    bool gone;   /* the peer closed: what it sent before is still read */
    struct watch *watch;
    struct channel_handlers handlers;
    uid_t peer_uid;
    pid_t peer_pid;
    struct buf input;
    uint64_t input_at; /* place in the stream of its first byte */
    struct got_fd got[2 * CHANNEL_FDS];
    size_t got_count;
    struct frame *out;
    struct frame **out_end;
    size_t queued;
    int64_t last_id;
    struct pending *pending;
    struct ticket *tickets;
    size_t ticket_count;
};
struct incoming { /* a message and what its handler did with it */
    struct message message;
    bool answered;
};
static char chunk[READ_CHUNK]; /* loop thread only */

/* Life. */

static void frame_free(struct frame *f)
{
    for (size_t i = 0; i < f->fd_count; i++)
        fd_closep(&f->fds[i]);
    free(f->data);
    free(f);
}

static void pending_fail(struct pending *p, enum err_kind kind, const char *text)
{
    if (p->error.kind == E_OK)
        (void)FAIL(&p->error, kind, "%s", text); /* the value is -1 always */
    timer_free(&p->timer);
    p->on_reply(p->context, NULL, &p->error);
    free(p);
}

/* Close the socket and settle all that hangs on it. Does not free the channel. */
static void channel_shut(struct channel *c)
{
    if (c->fd < 0)
        return;
    watch_free(TAKE(c->watch));
    (void)close(c->fd); /* nothing left to do about it */
    c->fd = -1;
    for (size_t i = 0; i < c->got_count; i++)
        fd_closep(&c->got[i].fd);
    c->got_count = 0;
    while (c->out) {
        struct frame *f = c->out;
        c->out = f->next;
        frame_free(f);
    }
    c->out_end = &c->out;
    c->queued = 0;
    for (struct ticket *t = c->tickets; t; t = t->next)
        t->link = NULL;
    c->tickets = NULL;
    while (c->pending) {
        struct pending *p = c->pending;
        c->pending = p->next;
        pending_fail(p, E_ROLE_DOWN, "the other side has gone");
    }
}

static void channel_forget(void *context)
{
    struct channel *c = context;
    ASSERT(c->fd < 0 && !c->pending && !c->tickets);
    buf_done(&c->input);
    free(c);
}

/* The other side went away or broke the rules. */
static void channel_break(struct channel *c)
{
    if (c->fd < 0)
        return;
    channel_shut(c);
    if (c->handlers.on_close)
        c->handlers.on_close(c->handlers.context, c);
    loop_defer(channel_forget, c);
}

static void channel_read(struct channel *c, int reads_max);

/* A channel that was freed meanwhile is still there: it is forgotten after this. */
static void channel_break_deferred(void *context)
{
    struct channel *c = context;
    if (c->gone)
        channel_read(c, READS_LAST);
    channel_break(c);
}

static void channel_break_later(struct channel *c)
{
    if (c->broken)
        return;
    c->broken = true;
    loop_defer(channel_break_deferred, c);
}

/* Why a channel is about to be closed by us; -1. */
static int channel_fault(const struct channel *c, const char *why)
{
    log_warn("closing a channel", F_STR("why", why), F_INT("pid", c->peer_pid));
    return -1;
}

void channel_free(struct channel *c)
{
    if (!c || c->fd < 0) /* shut: on_close runs or ran, and the channel is freed after it */
        return;
    channel_shut(c);
    loop_defer(channel_forget, c);
}

/* Writing. */

/* Send what fits of one frame; false when the socket is full or broken. */
static bool frame_send(struct channel *c, struct frame *f)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
    } control = {0};
    struct iovec part = {f->data + f->sent, f->length - f->sent};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (f->fd_count) {
        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * f->fd_count);
        struct cmsghdr *head = &control.head; /* what CMSG_FIRSTHDR gives */
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * f->fd_count);
        memcpy(CMSG_DATA(head), f->fds, sizeof(int) * f->fd_count);
    }
    ssize_t count = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR)
        return true;
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        c->gone = errno == EPIPE || errno == ECONNRESET;
        channel_break_later(c);
    }
    if (count < 0)
        return false;
    for (size_t i = 0; i < f->fd_count; i++)
        fd_closep(&f->fds[i]);
    f->fd_count = 0;
    f->sent += (size_t)count;
    c->queued -= (size_t)count;
    return true;
}

static void channel_push(struct channel *c)
{
    while (c->out && !c->broken && frame_send(c, c->out)) {
        struct frame *f = c->out;
        if (f->sent < f->length)
            continue;
        c->out = f->next;
        if (!c->out)
            c->out_end = &c->out;
        frame_free(f);
    }
    watch_set(c->watch, c->out && !c->broken ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

/* Takes the text (with room for its length in front). The fds are dup'ed. */
static void channel_send(struct channel *c, struct buf *text, const int *fds, size_t fd_count)
{
    ASSERT(fd_count <= CHANNEL_FDS);
    if (c->fd < 0 || c->broken) {
        buf_done(text);
        return;
    }
    struct frame *f = mem_alloc(sizeof(*f));
    f->length = text->length;
    f->data = buf_take(text);
    uint32_t body = (uint32_t)(f->length - HEAD);
    for (int i = 0; i < HEAD; i++)
        f->data[i] = (char)(body >> (24 - 8 * i));
    for (; f->fd_count < fd_count; f->fd_count++) {
        f->fds[f->fd_count] = fcntl(fds[f->fd_count], F_DUPFD_CLOEXEC, 3);
        if (f->fds[f->fd_count] < 0)
            break;
    }
    bool idle = !c->out;
    bool short_of_fds = f->fd_count < fd_count;
    *c->out_end = f;
    c->out_end = &f->next;
    c->queued += f->length;
    if (short_of_fds || c->queued > CHANNEL_QUEUE_MAX) {
        (void)channel_fault(c, short_of_fds ? "no descriptors are left" : "its queue is full");
        channel_break_later(c);
    } else if (idle) {
        channel_push(c);
    }
}

static int dump_piece(const char *piece, size_t length, void *text)
{
    return buf_add(text, piece, length);
}

/* Begin a frame: `{"id":7,"KEY":` */
static void text_begin(struct buf *text, int64_t id, const char *key, const char *value)
{
    buf_init(text, CHANNEL_FRAME_MAX + HEAD);
    (void)buf_add(text, "\0\0\0\0{", HEAD + 1); /* failed is looked at in text_end */
    if (id)
        (void)buf_add_format(text, "\"id\":%lld,", (long long)id);
    (void)buf_add_format(text, "\"%s\":", key);
    if (value) {
        (void)buf_add_json_string(text, str_of(value));
        (void)buf_add_text(text, ",\"args\":");
    }
}

/* Takes value (NULL: {}). False when the frame became too long: then the text is gone. */
static bool text_end(struct buf *text, json_t *value)
{
    AUTO_JSON *owned = value ? value : json_object();
    ASSERT(owned && json_is_object(owned));
    if (json_dump_callback(owned, dump_piece, text, JSON_COMPACT) < 0)
        text->failed = true;
    (void)buf_add_char(text, '}');
    if (!text->failed)
        return true;
    buf_done(text);
    return false;
}

/* Requests. */

static struct pending *pending_take(struct channel *c, int64_t id)
{
    for (struct pending **link = &c->pending; *link; link = &(*link)->next)
        if ((*link)->id == id) {
            struct pending *p = *link;
            *link = p->next;
            return p;
        }
    return NULL;
}

static void pending_timed_out(void *context)
{
    struct pending *p = context;
    (void)pending_take(p->channel, p->id); /* it is ourselves */
    pending_fail(p, E_TIMEOUT, "the other side did not answer in time");
}

static void pending_failed_early(void *context)
{
    pending_fail(context, E_ROLE_DOWN, "the other side has gone");
}

static void pending_queue(struct channel *c, struct pending *p, int64_t timeout_ms)
{
    struct pending **link = &c->pending;
    while (*link)
        link = &(*link)->next;
    *link = p;
    if (timeout_ms > 0)
        timer_start(&p->timer, timeout_ms, 0, pending_timed_out, p);
}

void channel_request(struct channel *c, const struct channel_request *request)
{
    CHECK_LOOP();
    struct buf text;
    struct pending *p = mem_alloc(sizeof(*p));
    ASSERT(request->on_reply && request->verb);
    p->channel = c;
    p->id = ++c->last_id;
    p->on_event = request->on_event;
    p->on_reply = request->on_reply;
    p->context = request->context;
    text_begin(&text, p->id, "verb", request->verb);
    bool fits = text_end(&text, request->args);
    if (!fits)
        (void)FAIL(&p->error, E_TOO_LARGE, "the arguments of '%s' are too large", request->verb);
    if (!fits || c->fd < 0) {
        if (fits)
            buf_done(&text);
        loop_defer(pending_failed_early, p);
        return;
    }
    pending_queue(c, p, request->timeout_ms);
    channel_send(c, &text, request->fds, request->fd_count);
}

void channel_notify(struct channel *c, const char *verb, json_t *args, const int *fds,
                    size_t fd_count)
{
    CHECK_LOOP();
    struct buf text;
    text_begin(&text, 0, "verb", verb);
    if (text_end(&text, args))
        channel_send(c, &text, fds, fd_count);
    else
        log_warn("dropping a notice that is too large", F_STR("verb", verb));
}

/* Answers. */

static void answer_error(struct channel *c, int64_t id, const struct err *error)
{
    struct buf text;
    AUTO_JSON *fields = json_from_err(error);
    json_put_int(fields, "id", id);
    buf_init(&text, CHANNEL_FRAME_MAX + HEAD);
    (void)buf_add(&text, "\0\0\0\0", HEAD); /* an error is short: it always fits */
    (void)json_dump_callback(fields, dump_piece, &text, JSON_COMPACT);
    ASSERT(!text.failed);
    channel_send(c, &text, NULL, 0);
}

static void answer_ok(struct channel *c, int64_t id, json_t *ok)
{
    struct buf text;
    struct err err = ERR_INIT;
    text_begin(&text, id, "ok", NULL);
    if (text_end(&text, ok)) {
        channel_send(c, &text, NULL, 0);
        return;
    }
    (void)FAIL(&err, E_TOO_LARGE, "the answer is too large");
    answer_error(c, id, &err);
}

struct ticket *message_ticket(struct message *m)
{
    struct incoming *in = CONTAINER_OF(m, struct incoming, message);
    struct channel *c = m->channel;
    if (m->id == 0)
        return NULL;
    ASSERT(!in->answered);
    in->answered = true;
    struct ticket *t = mem_alloc(sizeof(*t));
    *t = (struct ticket){.channel = c, .id = m->id};
    if (c->fd < 0)
        return t;
    t->link = &c->tickets;
    t->next = c->tickets;
    if (t->next)
        t->next->link = &t->next;
    c->tickets = t;
    c->ticket_count++;
    return t;
}

static void ticket_free(struct ticket *t)
{
    if (t->link) {
        *t->link = t->next;
        if (t->next)
            t->next->link = t->link;
        t->channel->ticket_count--;
    }
    free(t);
}

void ticket_ok(struct ticket *t, json_t *ok)
{
    if (!t || !t->link)
        json_decref(ok);
    else
        answer_ok(t->channel, t->id, ok);
    if (t)
        ticket_free(t);
}

void ticket_fail(struct ticket *t, const struct err *error)
{
    if (!t)
        return;
    if (t->link)
        answer_error(t->channel, t->id, error);
    ticket_free(t);
}

void ticket_event(struct ticket *t, const char *event, json_t *args)
{
    struct buf text;
    if (!t || !t->link) {
        json_decref(args);
        return;
    }
    text_begin(&text, t->id, "event", event);
    if (text_end(&text, args))
        channel_send(t->channel, &text, NULL, 0);
    else
        log_warn("dropping an event that is too large", F_STR("event", event));
}

bool ticket_alive(const struct ticket *t)
{
    return t && t->link && !t->channel->broken;
}

void message_ok(struct message *m, json_t *ok)
{
    ticket_ok(message_ticket(m), ok);
}

void message_fail(struct message *m, const struct err *error)
{
    ticket_fail(message_ticket(m), error);
}

/* Reading. Functions of type int return -1 when the channel must be closed. */

static const struct json_field frame_fields[] = {
    {.name = "id", .kind = JSON_FIELD_INT, .min = 1, .max = INT64_C(1) << 53},
    {.name = "verb", .kind = JSON_FIELD_STRING, .min = 1, .max = 64},
    {.name = "event", .kind = JSON_FIELD_STRING, .min = 1, .max = 64},
    {.name = "args", .kind = JSON_FIELD_OBJECT},
    {.name = "ok", .kind = JSON_FIELD_OBJECT},
    {.name = "error", .kind = JSON_FIELD_STRING, .min = 1, .max = 64},
    {.name = "class", .kind = JSON_FIELD_STRING, .min = 0, .max = 64},
    {.name = "text", .kind = JSON_FIELD_STRING, .min = 0, .max = 8 * ERR_TEXT_MAX}, /* cut here */
};

static int fds_check(const struct message_verb *v, const int *fds, struct err *err)
{
    int count = 0;
    while (count < CHANNEL_FDS && fds[count] >= 0)
        count++;
    if (v->fd_count >= 0 ? count == v->fd_count : count <= 1)
        return 0;
    return FAIL(err, E_PROTOCOL, "'%s' came with %d file descriptors", v->verb, count);
}

/* The entry of this verb, when what came with it is as it should be. */
static const struct message_verb *verb_find(const struct channel *c, const struct message *m,
                                            struct err *err)
{
    for (size_t i = 0; i < c->handlers.verb_count; i++) {
        const struct message_verb *v = &c->handlers.verbs[i];
        if (!text_is(v->verb, m->verb))
            continue;
        if (fds_check(v, m->fds, err) < 0 ||
            json_check(m->args, v->fields, v->field_count, err) < 0)
            return NULL;
        return v;
    }
    (void)FAIL(err, E_PROTOCOL, "there is no verb '%s'", m->verb);
    return NULL;
}

static void take_request(struct channel *c, int64_t id, json_t *frame, int *fds)
{
    struct err err = ERR_INIT;
    struct incoming in = {.message = {.channel = c, .id = id, .args = json_dict(frame, "args")}};
    const struct message_verb *v = NULL;
    in.message.verb = json_text(frame, "verb");
    memcpy(in.message.fds, fds, sizeof(in.message.fds));
    if (id && c->ticket_count >= TICKETS_MAX)
        (void)FAIL(&err, E_TOO_MANY, "too many requests are in progress on this channel");
    else
        v = verb_find(c, &in.message, &err);
    if (v)
        v->handle(c->handlers.context, &in.message);
    else if (id)
        message_fail(&in.message, &err);
    else
        log_warn("ignoring a notice", F_ERR(&err));
    ASSERT(!id || in.answered || c->fd < 0);
    memcpy(fds, in.message.fds, sizeof(in.message.fds));
}

static void take_event(struct channel *c, int64_t id, json_t *frame)
{
    for (struct pending *p = c->pending; p; p = p->next)
        if (p->id == id) {
            if (p->on_event)
                p->on_event(p->context, json_text(frame, "event"), json_dict(frame, "args"));
            return;
        }
}

static void take_reply(struct channel *c, int64_t id, json_t *frame)
{
    struct err err = ERR_INIT;
    struct pending *p = pending_take(c, id);
    if (!p)
        return; /* it timed out here */
    json_t *ok = json_object_get(frame, "ok");
    timer_free(&p->timer);
    if (!ok)
        json_to_err(frame, &err);
    p->on_reply(p->context, ok, ok ? NULL : &err);
    free(p);
}

/* One frame; handlers take fds by setting them to -1. */
static int take_frame(struct channel *c, struct str text, int *fds)
{
    struct err err = ERR_INIT;
    AUTO_JSON *frame = NULL;
    if (json_parse(text, &frame, &err) < 0 ||
        json_check(frame, frame_fields, ARRAY_SIZE(frame_fields), &err) < 0)
        return channel_fault(c, err.text);
    int64_t id = json_int(frame, "id", 0);
    int kinds = !!json_text(frame, "verb") + !!json_text(frame, "event") +
                !!json_object_get(frame, "ok") + !!json_text(frame, "error");
    if (kinds != 1 || (id == 0 && !json_text(frame, "verb")))
        return channel_fault(c, "unknown kind of frame");
    if (json_text(frame, "verb"))
        take_request(c, id, frame, fds);
    else if (json_text(frame, "event"))
        take_event(c, id, frame);
    else
        take_reply(c, id, frame);
    return 0;
}

/* The fds of the frame that ends before `end`; false when they are too many. */
static bool fds_deal(struct channel *c, uint64_t end, int fds[CHANNEL_FDS])
{
    size_t count = 0;
    for (size_t i = 0; i < CHANNEL_FDS; i++)
        fds[i] = -1;
    while (count < c->got_count && c->got[count].at < end)
        count++;
    if (count > CHANNEL_FDS)
        return false;
    for (size_t i = 0; i < count; i++)
        fds[i] = c->got[i].fd;
    c->got_count -= count;
    memmove(c->got, c->got + count, c->got_count * sizeof(c->got[0]));
    return true;
}

static size_t frame_length(const char *head)
{
    const unsigned char *b = (const unsigned char *)head;
    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

/* Handle the complete frames at hand. */
static int channel_take(struct channel *c)
{
    size_t used = 0;
    int result = 0;
    while (result == 0 && c->fd >= 0 && c->input.length - used >= HEAD) {
        int fds[CHANNEL_FDS];
        size_t length = frame_length(c->input.data + used);
        if (length > CHANNEL_FRAME_MAX)
            return channel_fault(c, "a frame is too large");
        if (c->input.length - used < HEAD + length)
            break;
        if (!fds_deal(c, c->input_at + used + HEAD + length, fds))
            return channel_fault(c, "too many file descriptors");
        result = take_frame(c, (struct str){c->input.data + used + HEAD, length}, fds);
        for (size_t i = 0; i < CHANNEL_FDS; i++)
            fd_closep(&fds[i]);
        used += HEAD + length;
    }
    c->input_at += used;
    if (used == c->input.length)
        buf_done(&c->input); /* an idle channel holds no buffer */
    else
        buf_consume(&c->input, used);
    return result;
}

/* Keep what came along; -1 when it is more than a channel may hold. */
static int fds_keep(struct channel *c, struct msghdr *m, uint64_t at)
{
    int result = m->msg_flags & MSG_CTRUNC ? -1 : 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(m); head; head = CMSG_NXTHDR(m, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            if (c->got_count < ARRAY_SIZE(c->got)) {
                c->got[c->got_count++] = (struct got_fd){fd, at};
                continue;
            }
            fd_closep(&fd);
            result = -1;
        }
    }
    return result;
}

/* 1: something came; 0: nothing now; -1: the end. */
static int channel_receive(struct channel *c)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
    } control;
    struct iovec part = {chunk, sizeof(chunk)};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof(control.space)};
    ssize_t count = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (count <= 0)
        return -1;
    uint64_t end = c->input_at + c->input.length + (uint64_t)count;
    if (fds_keep(c, &m, end - 1) < 0)
        return channel_fault(c, "too many file descriptors");
    return buf_add(&c->input, chunk, (size_t)count) < 0 ? -1 : 1;
}

static void channel_read(struct channel *c, int reads_max)
{
    for (int i = 0; i < reads_max && c->fd >= 0; i++) {
        int got = channel_receive(c);
        if (got == 0)
            return;
        if (got < 0 || channel_take(c) < 0)
            channel_break(c);
    }
}

static void channel_ready(void *context, int events)
{
    struct channel *c = context;
    if (events & WATCH_WRITE)
        channel_push(c);
    if (events & WATCH_READ)
        channel_read(c, READS_MAX);
}

/* Making and finding. */

static void peer_of(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
    struct ucred peer = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t length = sizeof(peer);
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length); /* -1: nobody's uid */
    *ret_uid = peer.uid;
    *ret_pid = peer.pid;
}

struct channel *channel_new(int fd, const struct channel_handlers *handlers)
{
    CHECK_LOOP();
    struct channel *c = mem_alloc(sizeof(*c));
    c->fd = fd;
    c->handlers = *handlers;
    c->out_end = &c->out;
    peer_of(fd, &c->peer_uid, &c->peer_pid);
    buf_init(&c->input, HEAD + CHANNEL_FRAME_MAX + READ_CHUNK);
    c->watch = watch_new(fd, channel_ready, c);
    watch_set(c->watch, WATCH_READ);
    return c;
}

void channel_set_context(struct channel *c, void *context)
{
    c->handlers.context = context;
}

uid_t channel_peer_uid(const struct channel *c)
{
    return c->peer_uid;
}

pid_t channel_peer_pid(const struct channel *c)
{
    return c->peer_pid;
}

size_t channel_queued(const struct channel *c)
{
    return c->queued;
}

int channel_connect(const char *path, const struct channel_handlers *handlers,
                    struct channel **ret_channel, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = CONNECT_SECONDS}; /* for a full backlog */
    if (strlen(path) >= sizeof(address.sun_path))
        return FAIL(err, E_SYSTEM, "the socket path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN)
            return FAIL(err, E_ROLE_DOWN, "nobody listens on '%s'", path);
        return FAIL_SYS(err, "cannot connect to '%s'", path);
    }
    *ret_channel = channel_new(TAKE_FD(fd), handlers);
    return 0;
}

/* Listening. */

struct channel_listener {
    int fd; /* -1: freed */
    struct watch *watch;
    struct timer *retry;
    struct channel_handlers handlers;
    void (*on_channel)(void *context, struct channel *c);
    bool accepting; /* channel_listener_free leaves the memory to listener_ready */
    size_t uid_count;
    uid_t uids[];
};

static bool listener_allows(const struct channel_listener *l, uid_t uid)
{
    if (uid == 0 || uid == geteuid())
        return true;
    for (size_t i = 0; i < l->uid_count; i++)
        if (l->uids[i] == uid)
            return true;
    return false;
}

static void listener_resume(void *context)
{
    struct channel_listener *l = context;
    watch_set(l->watch, WATCH_READ);
}

static void listener_take(struct channel_listener *l, int fd)
{
    uid_t uid;
    pid_t pid;
    peer_of(fd, &uid, &pid);
    if (listener_allows(l, uid)) {
        struct channel *c = channel_new(fd, &l->handlers);
        if (l->on_channel)
            l->on_channel(l->handlers.context, c);
        return;
    }
    log_warn("refusing a peer", F_INT("uid", uid), F_INT("pid", pid));
    (void)close(fd); /* nothing left to do about it */
}

static void listener_ready(void *context, int events)
{
    struct channel_listener *l = context;
    (void)events;
    l->accepting = true;
    for (int i = 0; i < ACCEPTS_MAX && l->fd >= 0; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener_take(l, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            watch_set(l->watch, 0);
            timer_start(&l->retry, ACCEPT_RETRY_MS, 0, listener_resume, l);
        }
        break;
    }
    l->accepting = false;
    if (l->fd < 0)
        free(l);
}

struct channel_listener *channel_listen(int fd, const uid_t *allowed_uids, size_t uid_count,
                                        const struct channel_handlers *handlers,
                                        void (*on_channel)(void *context, struct channel *c))
{
    CHECK_LOOP();
    struct channel_listener *l = mem_alloc(sizeof(*l) + uid_count * sizeof(uid_t));
    l->fd = fd;
    l->handlers = *handlers;
    l->on_channel = on_channel;
    l->uid_count = uid_count;
    if (uid_count)
        memcpy(l->uids, allowed_uids, uid_count * sizeof(uid_t));
    l->watch = watch_new(fd, listener_ready, l);
    watch_set(l->watch, WATCH_READ);
    return l;
}

void channel_listener_free(struct channel_listener *l)
{
    if (!l)
        return;
    timer_free(&l->retry);
    watch_free(TAKE(l->watch));
    fd_closep(&l->fd);
    l->fd = -1;
    if (!l->accepting)
        free(l);
}
