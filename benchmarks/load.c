/* The load client of tests and benches. It never retries: every request that was begun ends as ok
 * (a complete, correct 2xx) or as lost, with a reason; a connection refused is a lost request.
 *
 *   open loop    --rate N: a request every 1/N s whatever the answers do, on an idle kept
 * connection or a new one; every --fresh Nth on a new one in any case. Latency counts from the time
 * at which the request was due. closed loop  --connections N: kept connections, each with one
 * request at all times.
 *
 * Every request carries a unique Idempotency-Key; the app must echo it as a header (and in the body
 * of a POST), so that an answer that belongs to another request is "wrong". With --control it obeys
 * lines on stdin (mark, report, stop) and tells on stdout what it sees as it comes; the end of
 * stdin stops it. Stopping begins nothing new, waits for what is under way, prints the summary: one
 * JSON object a line. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "figures.h"
#include "reply.h"

enum { CONNECTIONS_MAX = 16384, PATHS_MAX = 16, EVENTS_MAX = 512, LOST_TOLD_MAX = 200 };
static const int64_t AFTER_LOST_US = 5000; /* a refused closed-loop connection waits so long */

enum connection_state { CONNECTING, BUSY, IDLE, WAITING };

struct connection {
    int fd;
    uint32_t slot; /* in `connections` */
    enum connection_state state;
    bool once; /* close after this reply */
    bool post;
    size_t sent, length;
    uint64_t number;
    int64_t due_us, sent_us, deadline_us;
    char key[64];
    struct reply reply;
    char request[4096];
};

static struct {
    struct sockaddr_in to;
    const char *host, *body, *type, *expect, *run;
    const char *get_paths[PATHS_MAX], *post_paths[PATHS_MAX];
    int get_count, post_count;
    int64_t rate, closed, post_percent, fresh, timeout_ms, seconds;
    bool echo, control;
} option = {.host = "localhost",
            .body = "{\"product\":\"cup\",\"quantity\":1}",
            .type = "application/json",
            .timeout_ms = 10000,
            .post_percent = 50,
            .fresh = 20,
            .echo = true};

static struct connection *connections[CONNECTIONS_MAX];
static uint32_t connection_count, busy_count;
static struct connection *idle[CONNECTIONS_MAX];
static uint32_t idle_count;
static struct figures figures;
static int epoll_fd;
static uint64_t sequence, lost_told, opened;
static int64_t started_us, lag_max_us, next_due_us;
static bool stopping;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- what is told ---- */

static void tell_release(const char *release, int64_t at_us)
{
    if (!option.control)
        return;
    printf("{\"event\":\"release\",\"release\":\"%s\",\"at_ms\":%.3f}\n", release,
           (double)at_us / 1000);
    fflush(stdout);
}

static void tell_lost(const struct connection *c, enum lost kind, int status)
{
    if (!option.control || lost_told++ >= LOST_TOLD_MAX)
        return;
    printf("{\"event\":\"lost\",\"reason\":\"%s\",\"status\":%d,\"method\":\"%s\",\"key\":\"%s\","
           "\"sent_ms\":%.3f,\"at_ms\":%.3f}\n",
           lost_name(kind), status, c->post ? "POST" : "GET", c->key, (double)c->sent_us / 1000,
           (double)now_us() / 1000);
    fflush(stdout);
}

static void tell_figures(const char *event, const struct window *w)
{
    int64_t now = now_us();
    printf("{\"event\":\"%s\",\"at_ms\":%.3f,\"mode\":\"%s\",\"seconds\":%.3f,\"under_way\":%u,"
           "\"connections_opened\":%llu,\"lag_max_ms\":%.3f,",
           event, (double)now / 1000, option.rate ? "open" : "closed",
           (double)(now - started_us) / 1e6, busy_count, (unsigned long long)opened,
           (double)lag_max_us / 1000);
    window_print(w, stdout);
    printf("}\n");
    fflush(stdout);
}

/* ---- connections ---- */

static void watch(struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0)
        fail("epoll_ctl");
}

static void connection_free(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    connections[c->slot] = connections[--connection_count];
    connections[c->slot]->slot = c->slot;
    c->slot = UINT32_MAX; /* events of this round may still point here: freed at its end */
    c->fd = -1;
}

static struct connection *graveyard[CONNECTIONS_MAX];
static uint32_t graveyard_count;

static void connection_bury(struct connection *c)
{
    for (uint32_t i = 0; c->state == IDLE && i < idle_count; i++)
        if (idle[i] == c) {
            idle[i] = idle[--idle_count];
            break;
        }
    busy_count -= c->state == BUSY || c->state == CONNECTING;
    connection_free(c);
    graveyard[graveyard_count++] = c;
}

static void graveyard_empty(void)
{
    while (graveyard_count)
        free(graveyard[--graveyard_count]);
}

static struct connection *connection_new(void)
{
    if (connection_count == CONNECTIONS_MAX || graveyard_count >= CONNECTIONS_MAX - 1)
        return NULL;
    struct connection *c = malloc(sizeof *c);
    if (!c)
        fail("malloc");
    c->fd = -1;
    c->state = WAITING;
    c->once = false;
    c->deadline_us = 0;
    c->slot = connection_count;
    connections[connection_count++] = c;
    return c;
}

/* Returns 0, or the errno of a connect that failed at once. */
static int connection_open(struct connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    opened++;
    c->state = CONNECTING;
    busy_count++;
    if (connect(c->fd, (struct sockaddr *)&option.to, sizeof option.to) < 0 &&
        errno != EINPROGRESS) {
        if (errno == EADDRNOTAVAIL)
            fail("connect"); /* our own fault: no local port left */
        return errno;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    return 0;
}

/* Done with a connection that is good: no TIME_WAIT may pile up here, the reply is complete. */
static void connection_finish(struct connection *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    connection_bury(c);
}

static void request_send(struct connection *c);
static void closed_next(struct connection *c);

/* ---- one request ---- */

static void request_write(struct connection *c)
{
    static unsigned posts, gotten;
    uint64_t n = c->number;
    uint64_t share = (uint64_t)option.post_percent;
    c->post = option.post_count && (n * share / 100 != (n - 1) * share / 100 || !option.get_count);
    const char *path = c->post ? option.post_paths[posts++ % (unsigned)option.post_count]
                               : option.get_paths[gotten++ % (unsigned)option.get_count];
    snprintf(c->key, sizeof c->key, "%s-%llu", option.run, (unsigned long long)n);
    int length = snprintf(c->request, sizeof c->request,
                          "%s %s HTTP/1.1\r\nHost: %s\r\nIdempotency-Key: %s\r\nAccept: */*\r\n",
                          c->post ? "POST" : "GET", path, option.host, c->key);
    size_t used = (size_t)length, room = sizeof c->request - used;
    if (c->post)
        length =
            snprintf(c->request + used, room, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                     option.type, strlen(option.body), option.body);
    else
        length = snprintf(c->request + used, room, "\r\n");
    if (length < 0 || (size_t)length >= room) {
        errno = E2BIG;
        fail("request");
    }
    c->length = used + (size_t)length;
    c->sent = 0;
}

/* Begin the next request on this connection (open, or to be opened). */
static void request_begin(struct connection *c, int64_t due_us)
{
    c->number = ++sequence;
    c->due_us = due_us;
    c->sent_us = now_us();
    c->deadline_us = c->sent_us + option.timeout_ms * 1000;
    if (c->sent_us - due_us > lag_max_us)
        lag_max_us = c->sent_us - due_us;
    reply_init(&c->reply);
    request_write(c);
    figures_begun(&figures);
}

static void request_lost(struct connection *c, enum lost kind, int status)
{
    figures_lost(&figures, kind, status);
    tell_lost(c, kind, status);
    if (!option.closed || stopping) {
        connection_bury(c);
        return;
    }
    connection_bury(c);
    struct connection *again = connection_new();
    if (!again)
        return;
    again->state = WAITING;
    again->deadline_us = now_us() + AFTER_LOST_US;
}

static void request_lost_errno(struct connection *c, int error)
{
    if (c->state == CONNECTING || error == ECONNREFUSED)
        request_lost(c, LOST_CONNECT, 0);
    else
        request_lost(c, error == ECONNRESET || error == EPIPE ? LOST_RESET : LOST_CLOSED, 0);
}

static bool answer_right(const struct connection *c)
{
    const struct reply *r = &c->reply;
    if (option.echo && strcmp(r->echo, c->key) != 0)
        return false;
    if (option.echo && c->post && !strstr(r->body, c->key))
        return false;
    return c->post || !option.expect || strstr(r->body, option.expect) != NULL;
}

static void request_answered(struct connection *c)
{
    struct reply *r = &c->reply;
    int64_t now = now_us();
    bool right = r->status >= 200 && r->status < 300 && answer_right(c);
    bool reuse = !r->close && !c->once && !stopping;
    if (!right) {
        request_lost(c, r->status >= 200 && r->status < 300 ? LOST_WRONG : LOST_STATUS, r->status);
        return;
    }
    struct answered a = {.release = r->release,
                         .instance = r->instance,
                         .sent_us = c->sent_us,
                         .answered_us = now,
                         .latency_us = now - (option.rate ? c->due_us : c->sent_us),
                         .post = c->post};
    if (figures_ok(&figures, &a))
        tell_release(r->release, now);
    if (!reuse) {
        bool again = option.closed && !stopping;
        connection_finish(c);
        struct connection *next = again ? connection_new() : NULL;
        if (next)
            closed_next(next);
        return;
    }
    busy_count--;
    c->state = IDLE;
    if (option.closed)
        closed_next(c);
    else
        idle[idle_count++] = c;
}

static void request_send(struct connection *c)
{
    while (c->sent < c->length) {
        ssize_t n = send(c->fd, c->request + c->sent, c->length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            request_lost_errno(c, errno);
            return;
        }
        c->sent += (size_t)n;
    }
}

/* Closed loop: this connection's next request, at once; opens it when it is not. */
static void closed_next(struct connection *c)
{
    int64_t now = now_us();
    if (c->fd >= 0) {
        c->state = BUSY;
        busy_count++;
        request_begin(c, now);
        request_send(c);
        return;
    }
    request_begin(c, now);
    int error = connection_open(c);
    if (error)
        request_lost_errno(c, error);
}

/* Open loop: a request that is due. */
static void open_next(int64_t due_us)
{
    bool fresh = option.fresh && sequence % (uint64_t)option.fresh == 0;
    struct connection *c = NULL;
    if (!fresh && idle_count) {
        c = idle[--idle_count];
        c->state = BUSY;
        busy_count++;
        request_begin(c, due_us);
        request_send(c);
        return;
    }
    c = connection_new();
    if (!c) {
        errno = EMFILE;
        fail("more requests under way than connections allowed");
    }
    c->once = fresh;
    request_begin(c, due_us);
    int error = connection_open(c);
    if (error)
        request_lost_errno(c, error);
}

/* ---- events ---- */

static void connection_readable(struct connection *c)
{
    char data[65536];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (c->state == IDLE) { /* closed between requests: nothing is lost */
        connection_bury(c);
        return;
    }
    if (n < 0) {
        request_lost_errno(c, errno);
        return;
    }
    if (n == 0) {
        if (reply_end(&c->reply))
            request_answered(c);
        else
            request_lost(c, LOST_CLOSED, 0);
        return;
    }
    size_t used = reply_take(&c->reply, data, (size_t)n);
    if (c->reply.state == REPLY_BAD || used < (size_t)n)
        request_lost(c, LOST_MALFORMED, 0);
    else if (c->reply.state == REPLY_DONE)
        request_answered(c);
}

static void connection_event(struct connection *c, uint32_t events)
{
    if (c->slot == UINT32_MAX)
        return;
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            request_lost_errno(c, error);
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        c->state = BUSY;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        request_send(c);
        return;
    }
    if (c->state == BUSY && c->sent < c->length)
        request_send(c);
    if (c->slot != UINT32_MAX && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        connection_readable(c);
}

/* Timeouts, and closed-loop connections that waited after a loss. */
static void deadlines(int64_t now)
{
    for (uint32_t i = 0; i < connection_count; i++) {
        struct connection *c = connections[i];
        if (c->state == IDLE || c->deadline_us > now)
            continue;
        if (c->state != WAITING)
            request_lost(c, LOST_TIMEOUT, 0);
        else if (stopping)
            connection_bury(c);
        else
            closed_next(c);
    }
}

static void stop(void)
{
    stopping = true;
    while (idle_count)
        connection_finish(idle[idle_count - 1]);
}

/* ---- control ---- */

static void command(const char *line)
{
    if (strncmp(line, "mark", 4) == 0) {
        figures_mark(&figures, now_us());
        printf("{\"event\":\"mark\",\"at_ms\":%.3f}\n", (double)figures.marked.since_us / 1000);
        fflush(stdout);
    } else if (strcmp(line, "report") == 0) {
        tell_figures("report", &figures.marked);
    } else if (strcmp(line, "total") == 0) {
        tell_figures("total", &figures.total);
    } else if (strcmp(line, "stop") == 0) {
        stop();
    } else {
        fprintf(stderr, "bench-load: unknown command '%s'\n", line);
    }
}

static void control_readable(void)
{
    static char text[4096];
    static size_t length;
    ssize_t n = read(STDIN_FILENO, text + length, sizeof text - 1 - length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        stop();
        return;
    }
    length += (size_t)n;
    char *end;
    while ((end = memchr(text, '\n', length))) {
        *end++ = 0;
        command(text);
        length -= (size_t)(end - text);
        memmove(text, end, length);
    }
}

/* ---- the run ---- */

static void once_a_round(int64_t now)
{
    static int64_t next_deadlines, due_number;
    if (option.seconds && now - started_us >= option.seconds * 1000000 && !stopping)
        stop();
    if (now >= next_deadlines) {
        deadlines(now);
        next_deadlines = now + 2000;
    }
    if (stopping || !option.rate)
        return;
    for (; next_due_us <= now; next_due_us = started_us + ++due_number * 1000000 / option.rate)
        open_next(next_due_us);
}

static char control_tag, signal_tag;

static void wait_and_serve(int signal_fd)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t left = option.rate && !stopping ? next_due_us - now_us() : 2000;
    struct timespec pause = {.tv_nsec = left <= 0 ? 0 : left < 2000 ? left * 1000 : 2000000};
    int n = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &pause, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &control_tag) {
            control_readable();
        } else if (events[i].data.ptr == &signal_tag) {
            struct signalfd_siginfo info;
            while (read(signal_fd, &info, sizeof info) > 0)
                stop();
        } else {
            connection_event(events[i].data.ptr, events[i].events);
        }
    }
    graveyard_empty();
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &signal_tag};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static void control_open(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &control_tag};
    if (!option.control)
        return;
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
        fail("--control needs a pipe on stdin");
}

static void run(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int signal_fd = signals_open();
    control_open();
    started_us = next_due_us = now_us();
    figures.total.since_us = started_us;
    figures_mark(&figures, started_us);
    for (int64_t i = 0; i < option.closed; i++)
        closed_next(connection_new());
    while (!stopping || busy_count) {
        once_a_round(now_us());
        wait_and_serve(signal_fd);
    }
    tell_figures("summary", &figures.total);
}

/* ---- options ---- */

static const char usage[] =
    "usage: bench-load --to ADDRESS:PORT (--rate N | --connections N) [--get PATH]... [--post "
    "PATH]...\n"
    "  --host NAME       Host header (localhost)     --post-percent N  share of POSTs (50)\n"
    "  --body TEXT       body of POSTs (JSON)        --type TYPE       its content type\n"
    "  --expect TEXT     every GET body holds it     --no-echo         the app does not echo the "
    "key\n"
    "  --fresh N         every Nth on a new connection (20; 0 never; open loop)\n"
    "  --timeout MS      of one request (10000)      --seconds N       then stop (0: until told)\n"
    "  --control         obey stdin: mark, report, total, stop      --run NAME  prefix of the "
    "keys\n";

__attribute__((noreturn)) static void usage_fail(void)
{
    fputs(usage, stderr);
    exit(2);
}

static int64_t number(const char *text)
{
    char *end;
    int64_t value = strtoll(text, &end, 10);
    if (end == text || *end || value < 0)
        usage_fail();
    return value;
}

static void to_parse(const char *text)
{
    char address[64];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof address)
        usage_fail();
    memcpy(address, text, (size_t)(colon - text));
    address[colon - text] = 0;
    option.to.sin_family = AF_INET;
    option.to.sin_port = htons((uint16_t)number(colon + 1));
    if (inet_pton(AF_INET, address, &option.to.sin_addr) != 1)
        usage_fail();
}

static void option_take(int letter)
{
    switch (letter) {
    case 'a':
        to_parse(optarg);
        break;
    case 'r':
        option.rate = number(optarg);
        break;
    case 'c':
        option.closed = number(optarg);
        break;
    case 'g':
        option.get_paths[option.get_count % PATHS_MAX] = optarg;
        option.get_count += option.get_count < PATHS_MAX;
        break;
    case 'p':
        option.post_paths[option.post_count % PATHS_MAX] = optarg;
        option.post_count += option.post_count < PATHS_MAX;
        break;
    case 'h':
        option.host = optarg;
        break;
    case 's':
        option.post_percent = number(optarg);
        break;
    case 'b':
        option.body = optarg;
        break;
    case 'y':
        option.type = optarg;
        break;
    case 'e':
        option.expect = optarg;
        break;
    case 'n':
        option.echo = false;
        break;
    case 'f':
        option.fresh = number(optarg);
        break;
    case 't':
        option.timeout_ms = number(optarg);
        break;
    case 'd':
        option.seconds = number(optarg);
        break;
    case 'o':
        option.control = true;
        break;
    case 'u':
        option.run = optarg;
        break;
    default:
        usage_fail();
    }
}

static void options_read(int argc, char **argv)
{
    static const struct option names[] = {{"to", 1, NULL, 'a'},
                                          {"rate", 1, NULL, 'r'},
                                          {"connections", 1, NULL, 'c'},
                                          {"get", 1, NULL, 'g'},
                                          {"post", 1, NULL, 'p'},
                                          {"host", 1, NULL, 'h'},
                                          {"body", 1, NULL, 'b'},
                                          {"post-percent", 1, NULL, 's'},
                                          {"type", 1, NULL, 'y'},
                                          {"expect", 1, NULL, 'e'},
                                          {"no-echo", 0, NULL, 'n'},
                                          {"fresh", 1, NULL, 'f'},
                                          {"timeout", 1, NULL, 't'},
                                          {"seconds", 1, NULL, 'd'},
                                          {"control", 0, NULL, 'o'},
                                          {"run", 1, NULL, 'u'},
                                          {NULL, 0, NULL, 0}};
    static char run_name[32];
    int letter;
    snprintf(run_name, sizeof run_name, "%x%llx", (unsigned)getpid(),
             (unsigned long long)now_us() & 0xffffffffu);
    option.run = run_name;
    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1)
        option_take(letter);
    bool sensible = option.to.sin_port && !option.rate != !option.closed && optind == argc &&
                    option.closed < CONNECTIONS_MAX && strlen(option.run) < 40 &&
                    option.get_count + option.post_count && option.post_percent <= 100;
    if (!sensible)
        usage_fail();
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    run();
    return window_lost(&figures.total) ? 1 : 0;
}
