/* The probing child: `slipway host-probe`, fd 3 the socketpair to the host.
 *
 * One epoll loop, one connection a target at a time, at most 512 bytes read of a response, nothing
 * interpreted but the status line. After start it gives up all privileges and system calls that it
 * does not need; it ends when the host does. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/probe/probe.h"
#include "host/probe/probe_priv.h"

#define TARGETS_MAX 8192
#define EVENTS 64

#define CONNECT_NEW_MS 30 /* at most; 2 ms for the first */

struct target {
    uint32_t id;
    struct probe_order order;
    struct probe_state state;
    int fd;         /* -1: none in progress */
    int64_t due_ms; /* next probe, or the end of this one's time */
    int64_t begun_ms;
    bool sent;
    char answer[PROBE_ANSWER_BYTES];
    size_t length;
    char told[PROBE_TEXT_MAX]; /* the last word the host heard */
};
static struct target **targets;
static size_t target_count;
static int poller;

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void target_close(struct target *t)
{
    if (t->fd >= 0)
        (void)close(t->fd); /* leaves the epoll set by that */
    t->fd = -1;
}

/* The result of one probe. */
static void target_result(struct target *t, enum probe_result result, const char *text)
{
    bool good = result == PROBE_GOOD;
    target_close(t);
    if (good)
        probe_took(&t->state, (uint32_t)(now_ms() - t->begun_ms));
    probe_next(&t->state, result, t->order.interval_ms, t->order.liveness_ms);
    t->due_ms = now_ms() + t->state.delay_ms;
    bool waits = t->state.health == PROBE_NEW || t->state.health == PROBE_UNREADY;
    bool news = waits && strncmp(t->told, text, PROBE_TEXT_MAX - 1) != 0;
    if (!t->state.tell && !news) /* why it is not ready is told when it changes */
        return;
    (void)snprintf(t->told, sizeof(t->told), "%s", text);
    struct probe_answer answer = {.id = t->id, .ready = good};
    (void)snprintf(answer.text, sizeof(answer.text), "%s", text);
    if (send(PROBE_FD, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        _exit(1); /* the host is gone */
}

static int64_t target_timeout(const struct target *t)
{
    return probe_patience(&t->state, t->order.timeout_ms);
}

static void target_send(struct target *t)
{
    char request[PROBE_PATH_MAX + 256];
    int number = 0;
    socklen_t size = sizeof(number);
    uint32_t a = t->order.address;
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0 || number != 0) {
        target_result(t, PROBE_BAD,
                      number == ECONNREFUSED ? "connection refused" : "no connection");
        return;
    }
    if (t->order.path[0] == '\0') {
        target_result(t, PROBE_GOOD, "connected");
        return;
    }
    int length =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: %u.%u.%u.%u:%u\r\n"
                 "User-Agent: slipway-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                 t->order.path, a >> 24, (a >> 16) & 255, (a >> 8) & 255, a & 255, t->order.port);
    if (send(t->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        target_result(t, PROBE_BAD, "cannot send");
        return;
    }
    t->sent = true;
    t->due_ms = t->begun_ms + target_timeout(t);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = t->id};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, t->fd, &event) < 0)
        target_result(t, PROBE_BAD, "cannot wait");
}

static void target_receive(struct target *t)
{
    char text[PROBE_TEXT_MAX];
    ssize_t count = recv(t->fd, t->answer + t->length, sizeof(t->answer) - t->length, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count > 0)
        t->length += (size_t)count;
    int status = probe_status(t->answer, t->length);
    if (status == 0 && count > 0)
        return;
    if (status > 0)
        (void)snprintf(text, sizeof(text), "status %d", status);
    else
        (void)snprintf(text, sizeof(text), "%s", t->length ? "no HTTP" : "closed without answer");
    target_result(t, status >= 200 && status < 400 ? PROBE_GOOD : PROBE_BAD, text);
}

/* A new instance's port may not forward yet: a lost SYN would be sent again after a second, so a
 * connection that is not there at once is tried anew instead. */
static int64_t connect_ms(const struct target *t)
{
    int64_t whole = target_timeout(t), first = 2 * (int64_t)t->state.delay_ms + 2;
    if (t->state.health != PROBE_NEW)
        return whole;
    if (first > CONNECT_NEW_MS)
        first = CONNECT_NEW_MS;
    return first < whole ? first : whole;
}

static void target_probe(struct target *t)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)t->order.port),
                             .sin_addr.s_addr = htonl(t->order.address)};
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = t->id};
    t->sent = false;
    t->length = 0;
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    t->begun_ms = now_ms();
    t->due_ms = t->begun_ms + connect_ms(t);
    if (t->fd < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, t->fd, &event) < 0)
        target_result(t, PROBE_BAD, "no socket left");
    else if (connect(t->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        target_result(t, PROBE_BAD, errno == ECONNREFUSED ? "connection refused" : "no connection");
}

static void target_due(struct target *t)
{
    if (t->fd >= 0)
        target_result(t, PROBE_LATE, "timeout");
    else
        target_probe(t);
}

/* Orders. */

static size_t target_find(uint32_t id)
{
    size_t i = 0;
    while (i < target_count && targets[i]->id != id)
        i++;
    return i;
}

static void target_add(const struct probe_order *order)
{
    if (target_count == TARGETS_MAX)
        return;
    struct target *t = mem_alloc(sizeof(*t));
    t->id = order->id;
    t->order = *order;
    t->order.path[PROBE_PATH_MAX - 1] = '\0';
    t->fd = -1;
    t->due_ms = now_ms();
    targets[target_count++] = t;
}

static void target_remove(uint32_t id)
{
    size_t i = target_find(id);
    if (i == target_count)
        return;
    target_close(targets[i]);
    free(targets[i]);
    targets[i] = targets[--target_count];
}

static void orders_read(void)
{
    struct probe_order order;
    for (;;) {
        ssize_t count = recv(PROBE_FD, &order, sizeof(order), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (count != sizeof(order))
            _exit(0); /* the host is gone */
        target_remove(order.id);
        if (order.operation == PROBE_WATCH)
            target_add(&order);
    }
}

/* Narrowing. */

static int narrow_calls(void)
{
    static const int allowed[] = {SCMP_SYS(read),         SCMP_SYS(write),
                                  SCMP_SYS(close),        SCMP_SYS(socket),
                                  SCMP_SYS(connect),      SCMP_SYS(getsockopt),
                                  SCMP_SYS(sendto),       SCMP_SYS(recvfrom),
                                  SCMP_SYS(epoll_ctl),    SCMP_SYS(epoll_wait),
                                  SCMP_SYS(epoll_pwait),  SCMP_SYS(clock_gettime),
                                  SCMP_SYS(brk),          SCMP_SYS(mmap),
                                  SCMP_SYS(munmap),       SCMP_SYS(mremap),
                                  SCMP_SYS(madvise),      SCMP_SYS(futex),
                                  SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
                                  SCMP_SYS(exit),         SCMP_SYS(exit_group)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = filter ? 0 : -1;
    for (size_t i = 0; result == 0 && i < ARRAY_SIZE(allowed); i++)
        if (allowed[i] == SCMP_SYS(socket))
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 1,
                                      SCMP_A0(SCMP_CMP_EQ, AF_INET));
        else if (allowed[i] == SCMP_SYS(mmap))
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 1,
                                      SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
        else
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}

static int narrow(void)
{
    struct rlimit none = {0, 0};
    if (geteuid() == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0) < 0)
        return -1;
    (void)setrlimit(RLIMIT_FSIZE, &none); /* lowering always works */
    (void)setrlimit(RLIMIT_NPROC, &none);
    return narrow_calls();
}

static void wait_and_serve(void)
{
    struct epoll_event events[EVENTS];
    int64_t now = now_ms(), next = now + 60000;
    for (size_t i = 0; i < target_count; i++)
        if (targets[i]->due_ms < next)
            next = targets[i]->due_ms;
    int count = epoll_wait(poller, events, EVENTS, next > now ? (int)(next - now) : 0);
    for (int i = 0; i < count; i++) {
        size_t index = target_find(events[i].data.u32);
        if (events[i].data.u32 == 0)
            orders_read();
        else if (index < target_count && targets[index]->fd >= 0) {
            if (targets[index]->sent)
                target_receive(targets[index]);
            else
                target_send(targets[index]);
        }
    }
    if (count == EVENTS)
        return; /* there may be more: who is late is told when all words were heard */
    now = now_ms();
    for (size_t i = 0; i < target_count; i++)
        if (targets[i]->due_ms <= now)
            target_due(targets[i]);
}

int probe_main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 0};
    (void)argv;
    if (argc > 2)
        return 2;
    check_setup("probe", NULL);
    targets = mem_array(TARGETS_MAX, sizeof(struct target *));
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, PROBE_FD, &event) < 0 || narrow() != 0) {
        (void)fputs("host-probe: cannot narrow itself, ending\n", stderr);
        return 1;
    }
    for (;;)
        wait_and_serve();
}
