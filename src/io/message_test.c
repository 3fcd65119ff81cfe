/* Channels over socket pairs and a real listening socket, both ends on one loop. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/tap.h"
#include "io/message.h"
#include "io/until.h"

TAP_MAIN()

struct side {
    struct channel *channel;
    struct ticket *ticket;
    int handled;
    int closes;
    int order_faults;
    int64_t last;
    int fds[CHANNEL_FDS];
    bool free_in_handler;
    bool done;
};
struct answer {
    int replies;
    int events;
    enum err_kind kind;
    char text[256];
    struct channel *free_this;
    bool done;
};

static void on_close(void *context, struct channel *c)
{
    struct side *s = context;
    OK(c == s->channel);
    s->channel = NULL;
    s->closes++;
    s->done = true;
}

static void do_echo(void *context, struct message *m)
{
    struct side *s = context;
    s->handled++;
    message_ok(m, json_incref(m->args));
}

static void do_fail(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    (void)context;
    (void)FAIL(&err, E_NOT_FOUND, "no such thing");
    message_fail(m, &err);
}

/* The name of a file may be any bytes. */
static void do_fail_bytes(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    char text[ERR_TEXT_MAX];
    (void)context;
    memset(text, 0xff, sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)FAIL(&err, E_NOT_FOUND, "%s", text);
    message_fail(m, &err);
}

static void do_later(void *context, struct message *m)
{
    struct side *s = context;
    s->ticket = message_ticket(m);
    OK(ticket_alive(s->ticket));
    ticket_event(s->ticket, "begun", json_pack("{s:i}", "n", 1));
    ticket_event(s->ticket, "half", NULL);
    s->done = true;
}

static void do_end(void *context, struct message *m)
{
    struct side *s = context;
    (void)m;
    if (m->id)
        s->ticket = message_ticket(m);
    channel_free(s->channel);
    s->channel = NULL;
    s->done = true;
}

static void do_fds(void *context, struct message *m)
{
    struct side *s = context;
    int64_t n = json_int(m->args, "n", 0);
    s->order_faults += n != s->last + 1;
    s->last = n;
    s->handled++;
    for (int i = 0; i < CHANNEL_FDS; i++) {
        fd_closep(&s->fds[i]);
        s->fds[i] = TAKE_FD(m->fds[i]);
    }
    if (m->id)
        message_ok(m, NULL);
    else
        s->done = n == 1000;
}

static const struct json_field echo_fields[] = {{.name = "text", .kind = JSON_FIELD_STRING},
                                                {.name = "n", .kind = JSON_FIELD_INT}};
static const struct json_field fds_fields[] = {
    {.name = "n", .kind = JSON_FIELD_INT},
    {.name = "pad", .kind = JSON_FIELD_STRING, .max = CHANNEL_FRAME_MAX}};
static const struct message_verb verbs[] = {
    {"echo", echo_fields, ARRAY_SIZE(echo_fields), 0, do_echo},
    {"fail", NULL, 0, 0, do_fail},
    {"fail.bytes", NULL, 0, 0, do_fail_bytes},
    {"later", NULL, 0, 0, do_later},
    {"end", NULL, 0, 0, do_end},
    {"fds", fds_fields, ARRAY_SIZE(fds_fields), 2, do_fds},
    {"fds.maybe", fds_fields, ARRAY_SIZE(fds_fields), -1, do_fds},
};

static struct channel_handlers handlers_of(struct side *s)
{
    for (int i = 0; i < CHANNEL_FDS; i++)
        s->fds[i] = -1;
    return (struct channel_handlers){
        .verbs = verbs, .verb_count = ARRAY_SIZE(verbs), .on_close = on_close, .context = s};
}

/* A channel, and the bare other end of its socket. */
static int half(struct side *s)
{
    int ends[2];
    struct channel_handlers h = handlers_of(s);
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    s->channel = channel_new(ends[0], &h);
    return ends[1];
}

static void pair(struct side *a, struct side *b)
{
    struct channel_handlers h = handlers_of(b);
    b->channel = channel_new(half(a), &h);
}

static void unpair(struct side *a, struct side *b)
{
    for (int i = 0; i < CHANNEL_FDS; i++) {
        fd_closep(&a->fds[i]);
        fd_closep(&b->fds[i]);
    }
    channel_free(a->channel);
    channel_free(b->channel);
    until_quiet();
}

static void on_reply(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    const char *text = error ? error->text : json_text_or(ok, "text", "");
    OK(!ok == !!error);
    a->kind = error ? error->kind : E_OK;
    (void)snprintf(a->text, sizeof(a->text), "%s", text);
    a->replies++;
    a->done = true;
    channel_free(a->free_this);
}

static void on_event(void *context, const char *event, json_t *args)
{
    struct answer *a = context;
    a->events += text_is(event, "begun") ? (int)json_int(args, "n", 0) : 10;
}

static void ask(struct channel *c, struct answer *a, const char *verb, json_t *args,
                int64_t timeout_ms)
{
    struct channel_request r = {.verb = verb,
                                .args = args,
                                .timeout_ms = timeout_ms,
                                .on_event = on_event,
                                .on_reply = on_reply,
                                .context = a};
    channel_request(c, &r);
    IS_INT(a->replies, 0); /* never from inside the call */
}

TEST(requests_are_answered_both_ways)
{
    struct side a = {0}, b = {0};
    struct answer one = {0}, two = {0};
    pair(&a, &b);
    ask(a.channel, &one, "echo", json_pack("{s:s}", "text", "hi \"you\""), 0);
    ask(b.channel, &two, "echo", json_pack("{s:s}", "text", "back"), 1000);
    OK(until(until_set, &one.done) && until(until_set, &two.done));
    IS_STR(one.text, "hi \"you\"");
    IS_STR(two.text, "back");
    IS_INT(channel_peer_uid(a.channel), geteuid());
    IS_INT(channel_peer_pid(a.channel), getpid());
    IS_INT(channel_queued(a.channel), 0);
    unpair(&a, &b);
    IS_INT(a.closes + b.closes, 0); /* both were freed */
}

static void refused(const char *verb, json_t *args, enum err_kind kind)
{
    struct side a = {0}, b = {0};
    struct answer answer = {0};
    pair(&a, &b);
    ask(a.channel, &answer, verb, args, 0);
    OK(until(until_set, &answer.done));
    IS_INT(answer.kind, kind);
    IS_INT(b.handled, 0);
    unpair(&a, &b);
}

TEST(errors_come_back_as_errors)
{
    refused("fail", NULL, E_NOT_FOUND);
    refused("fail.bytes", NULL, E_NOT_FOUND);
    refused("no.such.verb", NULL, E_PROTOCOL);
    refused("echo", json_pack("{s:i}", "unknown", 1), E_FIELD_UNKNOWN);
    refused("echo", json_pack("{s:i}", "text", 1), E_FIELD_INVALID);
    refused("fds", NULL, E_PROTOCOL); /* two fds are missing */
}

TEST(events_come_before_the_reply)
{
    struct side a = {0}, b = {0};
    struct answer answer = {0};
    pair(&a, &b);
    ask(a.channel, &answer, "later", NULL, 0);
    OK(until(until_set, &b.done));
    ticket_ok(b.ticket, json_pack("{s:s}", "text", "done"));
    OK(until(until_set, &answer.done));
    IS_INT(answer.events, 11);
    IS_STR(answer.text, "done");
    unpair(&a, &b);
}

TEST(a_late_reply_is_dropped)
{
    struct side a = {0}, b = {0};
    struct answer late = {0}, next = {0};
    pair(&a, &b);
    ask(a.channel, &late, "later", NULL, 20);
    OK(until(until_set, &late.done));
    IS_INT(late.kind, E_TIMEOUT);
    ticket_ok(b.ticket, NULL);
    ask(a.channel, &next, "echo", NULL, 0);
    OK(until(until_set, &next.done));
    IS_INT(late.replies, 1);
    unpair(&a, &b);
}

TEST(tickets_outlive_their_channel)
{
    struct side a = {0}, b = {0};
    struct answer answer = {0};
    pair(&a, &b);
    ask(a.channel, &answer, "later", NULL, 0);
    OK(until(until_set, &b.done));
    channel_free(TAKE(a.channel));
    IS_INT(answer.kind, E_ROLE_DOWN);
    b.done = false;
    OK(until(until_set, &b.done));
    IS_INT(b.closes, 1);
    OK(!ticket_alive(b.ticket));
    ticket_event(b.ticket, "more", json_object());
    ticket_ok(b.ticket, json_object());
    unpair(&a, &b);
}

TEST(a_handler_may_free_its_channel)
{
    struct side a = {0}, b = {0};
    struct answer one = {0}, two = {0};
    pair(&a, &b);
    ask(a.channel, &one, "end", NULL, 0);
    ask(a.channel, &two, "echo", NULL, 0);
    OK(until(until_set, &one.done) && until(until_set, &two.done));
    IS_INT(one.kind, E_ROLE_DOWN);
    IS_INT(two.kind, E_ROLE_DOWN);
    IS_INT(b.handled, 0);
    IS_INT(b.closes, 0);
    OK(until(until_set, &a.done));
    IS_INT(a.closes, 1);
    ticket_ok(b.ticket, NULL);
    unpair(&a, &b);
}

TEST(a_reply_may_free_its_channel)
{
    struct side a = {0}, b = {0};
    struct answer answer = {0}, rest = {0};
    pair(&a, &b);
    answer.free_this = a.channel;
    ask(a.channel, &answer, "echo", NULL, 0);
    ask(a.channel, &rest, "echo", NULL, 0);
    OK(until(until_set, &answer.done));
    IS_INT(rest.replies, 1);
    IS_INT(rest.kind, E_ROLE_DOWN);
    IS_INT(a.closes, 0);
    a.channel = NULL;
    OK(until(until_set, &b.done));
    unpair(&a, &b);
}

static int pipe_with(const char *text)
{
    int ends[2];
    OK(pipe2(ends, O_CLOEXEC) == 0);
    OK(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(ends[1]);
    return ends[0];
}

static void holds_text(int fd, const char *want)
{
    char text[16] = {0};
    OK(read(fd, text, sizeof(text) - 1) >= 0);
    IS_STR(text, want);
    OK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
}

static bool no_room(void *context)
{
    return channel_queued(((struct side *)context)->channel) == 0;
}

/* Small and large frames, with and without fds, more than the socket holds: every fd must arrive
 * with its own frame. */
TEST(fds_stay_with_their_message)
{
    struct side a = {0}, b = {0};
    AUTO_FREE char *pad = mem_alloc(300001);
    int one = pipe_with("one"), two = pipe_with("two");
    pair(&a, &b);
    memset(pad, 'x', 300000);
    for (int n = 1; n <= 1000; n++) {
        json_t *args = json_pack("{s:i}", "n", n);
        if (n % 50 == 0)
            json_put_text(args, "pad", pad);
        if (n % 3)
            channel_notify(a.channel, "fds.maybe", args, &one, n % 3 == 1 ? 1 : 0);
        else
            channel_notify(a.channel, "fds", args, (int[]){one, two}, 2);
        if (n % 100 == 0)
            OK(until(no_room, &a));
    }
    OK(until(until_set, &b.done));
    IS_INT(b.handled, 1000);
    IS_INT(b.order_faults, 0);
    OK(b.fds[0] >= 0 && b.fds[1] < 0); /* the thousandth had one */
    holds_text(b.fds[0], "one");
    (void)close(one);
    (void)close(two);
    unpair(&a, &b);
}

TEST(requests_carry_fds_in_order)
{
    struct side a = {0}, b = {0};
    struct answer answer = {0};
    int one = pipe_with("one"), two = pipe_with("two");
    struct channel_request r = {.verb = "fds",
                                .args = json_pack("{s:i}", "n", 1),
                                .fds = {one, two},
                                .fd_count = 2,
                                .on_reply = on_reply,
                                .context = &answer};
    pair(&a, &b);
    channel_request(a.channel, &r);
    (void)close(one); /* borrowed: dup'ed before */
    (void)close(two);
    OK(until(until_set, &answer.done));
    IS_INT(answer.kind, E_OK);
    holds_text(b.fds[0], "one");
    holds_text(b.fds[1], "two");
    unpair(&a, &b);
}

/* What a peer that keeps no rules may send. */

static void put_frame(int fd, const char *text, size_t length)
{
    char head[4] = {(char)(length >> 24), (char)(length >> 16), (char)(length >> 8), (char)length};
    OK(write(fd, head, 4) == 4);
    OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void closes_on(const char *text, size_t length)
{
    struct side s = {0};
    int fd = half(&s);
    put_frame(fd, text, length);
    OK(until(until_set, &s.done));
    IS_INT(s.closes, 1);
    IS_INT(s.handled, 0);
    (void)close(fd);
    until_quiet();
}

TEST(bad_frames_close_the_channel)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "null",
        "{}",
        "{\"id\":1}",
        "{\"verb\":7}",
        "{\"verb\":\"echo\",\"args\":[]}",
        "{\"id\":-1,\"verb\":\"echo\"}",
        "{\"id\":1.5,\"verb\":\"echo\"}",
        "{\"id\":1,\"verb\":\"echo\",\"more\":1}",
        "{\"id\":1,\"verb\":\"echo\",\"verb\":\"echo\"}",
        "{\"id\":1,\"verb\":\"echo\",\"ok\":{}}",
        "{\"event\":\"x\"}",
        "{\"ok\":{}}",
        "{\"id\":1,\"ok\":1}",
        "{\"verb\":\"echo\"}x",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        closes_on(bad[i], strlen(bad[i]));
    closes_on("x", CHANNEL_FRAME_MAX + 1);
    closes_on("x", 0xffffffff);
}

TEST(a_frame_in_pieces_is_whole_in_the_end)
{
    struct side s = {0};
    struct answer none = {0};
    const char *text = "\0\0\0\x1c{\"id\":9,\"verb\":\"echo\"      }";
    char reply[64] = {0};
    int fd = half(&s);
    (void)none;
    for (int i = 0; i < 32; i++) {
        OK(write(fd, text + i, 1) == 1);
        until_quiet();
    }
    IS_INT(s.handled, 1);
    OK(read(fd, reply, sizeof(reply) - 1) > 4);
    IS_STR(reply + 4, "{\"id\":9,\"ok\":{}}");
    (void)close(fd);
    OK(until(until_set, &s.done));
}

TEST(too_many_fds_close_the_channel)
{
    struct side s = {0};
    int fd = half(&s);
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * 6)];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int) * 6),
                          .cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(char[]){0, 0, 0, 2, '{', '}'}, 6};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof(control.space)};
    memcpy(CMSG_DATA(&control.head), (int[]){0, 1, 2, 0, 1, 2}, sizeof(int) * 6);
    OK(sendmsg(fd, &m, 0) == 6);
    OK(until(until_set, &s.done));
    IS_INT(s.closes, 1);
    (void)close(fd);
    until_quiet();
}

TEST(what_was_sent_before_the_end_still_counts)
{
    struct side s = {0};
    struct answer answer = {0};
    int fd = half(&s);
    ask(s.channel, &answer, "anything", NULL, 0);
    put_frame(fd, "{\"id\":1,\"ok\":{\"text\":\"bye\"}}", 28);
    (void)close(fd);
    ask(s.channel, &(struct answer){0}, "more", NULL, 0); /* fails: the peer has gone */
    OK(until(until_set, &answer.done));
    IS_STR(answer.text, "bye");
    OK(until(until_set, &s.done));
    until_quiet();
}

TEST(a_peer_that_does_not_read_is_cut_off)
{
    struct side s = {0};
    AUTO_FREE char *pad = mem_alloc((4 << 20) + 1);
    int fd = half(&s);
    memset(pad, 'x', 4 << 20);
    for (int i = 0; i < 20 && !s.done; i++)
        channel_notify(s.channel, "x", json_pack("{s:s}", "pad", pad), NULL, 0);
    OK(!s.done); /* not from inside the call */
    OK(until(until_set, &s.done));
    IS_INT(s.closes, 1);
    (void)close(fd);
    until_quiet();
}

TEST(too_large_arguments_fail_alone)
{
    struct side a = {0}, b = {0};
    struct answer large = {0}, small = {0};
    AUTO_FREE char *pad = mem_alloc((9 << 20) + 1);
    memset(pad, 'x', 9 << 20);
    pair(&a, &b);
    ask(a.channel, &large, "echo", json_pack("{s:s}", "text", pad), 0);
    ask(a.channel, &small, "echo", NULL, 0);
    OK(until(until_set, &large.done) && until(until_set, &small.done));
    IS_INT(large.kind, E_TOO_LARGE);
    IS_INT(small.kind, E_OK);
    unpair(&a, &b);
}

/* Listening. */

static struct side accepted;

static void on_channel(void *context, struct channel *c)
{
    OK(context == &accepted);
    accepted.channel = c;
    accepted.done = true;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 8) == 0);
    return fd;
}

TEST(listens_and_connects)
{
    struct err err = ERR_INIT;
    struct side a = {0};
    struct answer answer = {0};
    AUTO_FREE char *path = mem_format("%s/socket", tap_dir());
    struct channel_handlers ours = handlers_of(&a), theirs = handlers_of(&accepted);
    OK(channel_connect(path, &ours, &a.channel, &err) < 0);
    IS_INT(err.kind, E_ROLE_DOWN);
    struct channel_listener *l = channel_listen(listen_at(path), NULL, 0, &theirs, on_channel);
    OK(channel_connect(path, &ours, &a.channel, &err) == 0);
    ask(a.channel, &answer, "echo", json_pack("{s:s}", "text", "hello"), 0);
    OK(until(until_set, &answer.done));
    IS_STR(answer.text, "hello");
    channel_listener_free(l);
    OK(channel_connect(path, &ours, &a.channel, &err) < 0);
    unpair(&a, &accepted);
}
