/* See edge_world.h. */
#include "host/edge/edge_world.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/edge/edge.h"
#include "io/loop.h"
#include "wire/host.h"

#define LOAD_CONNECTIONS_MAX 256

/* Backends: one process, one epoll, an HTTP that knows just enough. */

struct peer {
    int fd;
    int number; /* of the backend */
    size_t length;
    int64_t answer_at_ms; /* a slow answer that is due then; 0: none */
    char text[16384];
};

static void peer_answer(struct peer *p)
{
    char answer[17000];
    char body[16500];
    bool echo = strncmp(p->text, "GET /echo", 9) == 0;
    int size = echo ? snprintf(body, sizeof(body), "%s", p->text)
                    : snprintf(body, sizeof(body), "%d\n", p->number);
    int length = snprintf(answer, sizeof(answer),
                          "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n"
                          "\r\n%s",
                          size, body);
    (void)!send(p->fd, answer, (size_t)length, MSG_NOSIGNAL); /* the client may have gone */
    p->length = 0;
}

static void peer_close(struct peer *p)
{
    (void)close(p->fd);
    free(p);
}

/* Returns a peer that waits for its time, or NULL. */
static struct peer *peer_read(struct peer *p)
{
    ssize_t count = recv(p->fd, p->text + p->length, sizeof(p->text) - 1 - p->length, 0);
    if (count <= 0) {
        peer_close(p);
        return NULL;
    }
    p->length += (size_t)count;
    p->text[p->length] = '\0';
    if (!strstr(p->text, "\r\n\r\n"))
        return NULL;
    if (strncmp(p->text, "GET /slow", 9) == 0) {
        p->answer_at_ms = clock_mono_ms(clock_system()) + 400;
        return p;
    }
    peer_answer(p);
    return NULL;
}

int world_listen(int64_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1000) < 0)
        PANIC("a port of the test is taken");
    return fd;
}

static void backend_accept(int epoll, int listener, int number)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct peer *p = mem_alloc(sizeof(*p));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    p->fd = fd;
    p->number = number;
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static _Noreturn void backends_run(int64_t first_port, int first, int count_wanted)
{
    static struct peer listeners[WORLD_BACKENDS];
    struct peer *waiting = NULL;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count_wanted; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[i]};
        listeners[i].fd = world_listen(first_port + first + i);
        listeners[i].number = first + i;
        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i].fd, &event);
    }
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, waiting ? 10 : -1);
        for (int i = 0; i < count; i++) {
            struct peer *p = events[i].data.ptr;
            if (p >= listeners && p < listeners + WORLD_BACKENDS)
                backend_accept(epoll, p->fd, p->number);
            else if ((p = peer_read(p)))
                waiting = p;
        }
        if (waiting && clock_mono_ms(clock_system()) >= waiting->answer_at_ms) {
            peer_answer(waiting);
            waiting = NULL;
        }
    }
}

static pid_t child_of_test(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close_range(3, ~0u, 0); /* a copy of our runtime connection would keep HAProxy */
    }
    return pid;
}

/* The load client. */

struct loader {
    int fd;
    size_t length;
    char text[2048];
};

static int client_connect(int64_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static void loader_send(struct loader *l, const char *request)
{
    l->length = 0;
    (void)!send(l->fd, request, strlen(request), MSG_NOSIGNAL); /* a failure shows in the answer */
}

static void loader_open(struct loader *l, int epoll, int64_t port, const char *request)
{
    while ((l->fd = client_connect(port)) < 0)
        (void)usleep(1000);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &event);
    loader_send(l, request);
}

static void loader_count(struct world_load *load, const struct loader *l)
{
    int status = (int)strtol(l->text + 9, NULL, 10);
    int64_t now = clock_mono_us();
    if (status == 200) {
        int64_t gap = load->last_good_us ? now - load->last_good_us : 0;
        load->good++;
        load->last_good_us = now;
        if (gap > load->longest_gap_us)
            load->longest_gap_us = gap;
        return;
    }
    if (!load->bad++)
        load->first_bad_status = status;
}

/* True when an answer is complete (the small bodies of the backends end with a newline). */
static bool loader_read(struct loader *l, bool *ret_closed)
{
    ssize_t count = recv(l->fd, l->text + l->length, sizeof(l->text) - 1 - l->length, 0);
    *ret_closed = count <= 0;
    if (count <= 0)
        return false;
    l->length += (size_t)count;
    l->text[l->length] = '\0';
    const char *body = strstr(l->text, "\r\n\r\n");
    return body && l->text[l->length - 1] == '\n' && body + 4 < l->text + l->length;
}

static _Noreturn void load_run(struct world_load *load, int64_t port, const char *host,
                               int connections)
{
    struct loader *loaders = mem_array((size_t)connections, sizeof(*loaders));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    AUTO_FREE char *request = mem_format("GET /load HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    for (int i = 0; i < connections; i++)
        loader_open(&loaders[i], epoll, port, request);
    while (!load->stop) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, 20);
        for (int i = 0; i < count; i++) {
            struct loader *l = events[i].data.ptr;
            bool closed;
            bool whole = loader_read(l, &closed);
            if (whole)
                loader_count(load, l);
            if (whole && !strcasestr(l->text, "connection: close\r\n")) {
                loader_send(l, request);
            } else if (whole || closed) {
                load->broken += !whole;
                (void)close(l->fd);
                loader_open(l, epoll, port, request);
            }
        }
    }
    _exit(0);
}

struct world_load *world_load_start(struct world *w, const char *host, int connections,
                                    pid_t *ret_pid)
{
    struct world_load *load =
        mmap(NULL, sizeof(*load), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(load != MAP_FAILED && connections <= LOAD_CONNECTIONS_MAX);
    *ret_pid = child_of_test();
    if (*ret_pid == 0)
        load_run(load, w->http_port, host, connections);
    return load;
}

void world_load_end(struct world_load *load, pid_t pid)
{
    load->stop = true;
    (void)waitpid(pid, NULL, 0);
    printf("# load: %lld good, %lld bad (first %lld), %lld broken, longest gap %lld ms\n",
           (long long)load->good, (long long)load->bad, (long long)load->first_bad_status,
           (long long)load->broken, (long long)load->longest_gap_us / 1000);
}

/* A blocking client. */

char *world_ask(struct world *w, const char *request)
{
    AUTO_CLOSE int fd = client_connect(w->http_port);
    struct buf answer = BUF_INIT(1 << 20);
    struct timeval patience = {.tv_sec = 3};
    char chunk[4096];
    ssize_t count;
    if (fd < 0)
        return mem_strdup("");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
    while ((count = recv(fd, chunk, sizeof(chunk), 0)) > 0)
        (void)buf_add(&answer, chunk, (size_t)count);
    return buf_take(&answer);
}

int world_get(struct world *w, const char *host, const char *path, int64_t *ret_number)
{
    AUTO_FREE char *request =
        mem_format("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    AUTO_FREE char *answer = world_ask(w, request);
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || !body)
        return -1;
    if (ret_number)
        *ret_number = strtol(body + 4, NULL, 10);
    return (int)strtol(answer + 9, NULL, 10);
}

/* Settings and folders. */

/* Fifty free ports below those of outgoing connections. */
static int64_t ports_find(void)
{
    for (int64_t base = 10000 + getpid() % 400 * 50; base < 32000; base += 50) {
        int busy = 0;
        for (int64_t port = base; port < base + 30 && !busy; port++) {
            AUTO_CLOSE int fd = client_connect(port);
            busy = fd >= 0;
        }
        if (!busy)
            return base;
    }
    PANIC("no ports are free for the test");
}

static void settings_make(struct world *w, bool https)
{
    int64_t base = ports_find();
    w->http_port = base;
    w->https_port = https ? base + 1 : 0;
    w->backend_port = base + 10;
    w->settings = (struct settings){
        .id = mem_strdup("edgetest"),
        .data_dir = mem_format("%s/data", w->folder),
        .run_dir = mem_format("%s/run", w->folder),
        .api_listen = mem_format("127.0.0.1:%lld", (long long)w->backend_port),
        .edge_http = w->http_port,
        .edge_https = w->https_port,
        .edge_address = mem_strdup("127.0.0.1"),
        .base_domain = mem_strdup("localhost"),
        .subnet = mem_strdup("127.0.0.0/8"),
        .user_edge = mem_strdup("nobody"),
    };
}

static void settings_drop(struct world *w)
{
    free(w->settings.id);
    free(w->settings.data_dir);
    free(w->settings.run_dir);
    free(w->settings.api_listen);
    free(w->settings.edge_address);
    free(w->settings.base_domain);
    free(w->settings.subnet);
    free(w->settings.user_edge);
}

static void log_socket_make(struct world *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FREE char *folder = settings_run(&w->settings, "edge");
    AUTO_FREE char *path = settings_run(&w->settings, "edge/log.sock");
    struct err err = ERR_INIT;
    int size = 4 << 20;
    if (file_make_dirs(w->settings.run_dir, 0755, &err) < 0 ||
        file_make_dirs(folder, 0750, &err) < 0)
        PANIC(err.text);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    w->log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(w->log_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (bind(w->log_fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0666) < 0)
        PANIC("cannot make the request-log socket");
}

/* A process that outlives us by as long as it takes to end HAProxy. */
static void guard_start(struct world *w)
{
    int ends[2];
    ASSERT(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        struct err err = ERR_INIT;
        (void)close(ends[1]);
        (void)!read(ends[0], &byte, 1); /* until our parent closes it, or dies */
        (void)!edge_shutdown(&w->settings, &err);
        _exit(0);
    }
    (void)close(ends[0]);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    w->guard_fd = ends[1];
}

/* The verbs, over a real channel. */

static const struct message_verb verbs[] = {
    {WIRE("edge.apply", host_edge_apply), 0, edge_verb_apply},
    {WIRE("edge.remove", host_edge_remove), 0, edge_verb_remove},
    {WIRE("edge.drained", host_edge_drained), 0, edge_verb_drained},
    {WIRE("edge.certificate", host_edge_certificate), 0, edge_verb_certificate},
    {WIRE("edge.stat", host_edge_stat), 0, edge_verb_stat},
};

static void channels_make(struct world *w)
{
    int ends[2];
    struct channel_handlers server = {.verbs = verbs, .verb_count = ARRAY_SIZE(verbs)};
    struct channel_handlers client = {.verbs = NULL};
    server.context = &w->host;
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    w->server = channel_new(ends[0], &server);
    w->client = channel_new(ends[1], &client);
}

struct answer {
    bool done;
    json_t *ok;
    struct err error;
};

static void answered(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    a->done = true;
    a->ok = ok ? json_incref(ok) : NULL;
    if (error)
        a->error = *error;
}

json_t *world_call(struct world *w, const char *verb, json_t *args, const char **ret_error)
{
    static char text[ERR_TEXT_MAX + 64];
    struct answer a = {.done = false};
    struct channel_request request = {.verb = verb, .args = args, .timeout_ms = 20000};
    request.on_reply = answered;
    request.context = &a;
    channel_request(w->client, &request);
    while (!a.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    if (!a.ok)
        (void)snprintf(text, sizeof(text), "%s", err_name(a.error.kind));
    if (!a.ok)
        printf("# %s: %s: %s\n", verb, err_name(a.error.kind), a.error.text);
    if (ret_error)
        *ret_error = a.ok ? NULL : text;
    return a.ok;
}

static json_t *servers_of(struct world *w, const char *list)
{
    json_t *servers = json_array();
    struct str rest = str_of(list);
    struct str slot = str_cut(&rest, ':');
    (void)slot;
    while (rest.data && rest.length > 0) {
        int64_t number = 0;
        struct err err = ERR_INIT;
        if (str_to_int(str_cut(&rest, ','), 0, 99, "number", &number, &err) < 0)
            PANIC("bad slot text in a test");
        json_t *server = json_object();
        AUTO_FREE char *name = mem_format("r%lld.1", (long long)number);
        json_put_text(server, "name", name);
        json_put_text(server, "address", "127.0.0.1");
        json_put_int(server, "port", w->backend_port + number);
        json_push(servers, server);
    }
    return servers;
}

static json_t *slots_of(struct world *w, const char *text)
{
    json_t *slots = json_object();
    struct str rest = str_of(text);
    while (rest.data && rest.length > 0) {
        AUTO_FREE char *part = str_dup(str_cut(&rest, ' '));
        json_put(slots, part[0] == 'a' ? "a" : "b", servers_of(w, part));
    }
    return slots;
}

json_t *world_apply(struct world *w, int64_t id, int64_t version, const char *slots,
                    const char *live, int64_t share, const char **ret_error)
{
    json_t *args = json_object();
    json_t *state = json_object();
    json_t *domains = json_array();
    AUTO_FREE char *name = mem_format("shop%lld.dev", (long long)id);
    AUTO_FREE char *domain = mem_format("shop%lld.dev.localhost", (long long)id);
    json_push(domains, json_str_value(str_of(domain)));
    json_put(state, "domains", domains);
    json_put_text(state, "live", live);
    json_put_int(state, "share", share);
    json_put(state, "slots", slots_of(w, slots));
    json_put_text(args, "app_env", name);
    json_put_int(args, "app_env_id", id);
    json_put_int(args, "version", version);
    json_put(args, "state", state);
    return world_call(w, "edge.apply", args, ret_error);
}

static void turn_over(void *context)
{
    *(bool *)context = true;
}

void world_turn(int64_t milliseconds)
{
    struct timer *timer = NULL;
    bool over = false;
    timer_start(&timer, milliseconds, 0, turn_over, &over);
    while (!over)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
}

bool world_until(struct world *w, bool (*condition)(struct world *w), int64_t milliseconds)
{
    int64_t end = clock_mono_ms(clock_system()) + milliseconds;
    while (!condition(w)) {
        if (clock_mono_ms(clock_system()) > end)
            return false;
        world_turn(2);
    }
    return true;
}

bool world_is_up(struct world *w)
{
    AUTO_JSON *ok = world_call(w, "edge.stat", json_object(), NULL);
    return ok && json_bool(ok, "up", false);
}

int64_t world_pid(struct world *w)
{
    AUTO_JSON *ok = world_call(w, "edge.stat", json_object(), NULL);
    return ok ? json_int(ok, "pid", 0) : 0;
}

void world_edge_start(struct world *w)
{
    struct err err = ERR_INIT;
    if (edge_init(&w->host, &err) < 0)
        PANIC(err.text);
    OK(world_until(w, world_is_up, 5000));
}

void world_edge_stop(struct world *w)
{
    (void)w;
    edge_done();
}

bool world_up(struct world *w, bool https)
{
    *w = (struct world){.folder = tap_dir()};
    if (geteuid() != 0 || access("/usr/sbin/haproxy", X_OK) < 0) {
        printf("# skipped: needs root and haproxy\n");
        return false;
    }
    log_setup("test", getenv("EDGE_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    (void)chmod(w->folder, 0755);
    settings_make(w, https);
    w->host.settings = &w->settings;
    log_socket_make(w);
    guard_start(w);
    w->backend_pid = child_of_test();
    if (w->backend_pid == 0)
        backends_run(w->backend_port, 0, WORLD_BACKENDS);
    channels_make(w);
    world_edge_start(w);
    return true;
}

void world_down(struct world *w)
{
    struct err err = ERR_INIT;
    edge_done();
    OK(edge_shutdown(&w->settings, &err) == 0);
    channel_free(w->client);
    channel_free(w->server);
    (void)kill(w->backend_pid, SIGKILL);
    (void)waitpid(w->backend_pid, NULL, 0);
    (void)close(w->guard_fd);
    (void)close(w->log_fd);
    world_turn(5);
    settings_drop(w);
}

void world_runtime(const char *socket_path, const char *command)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[4096];
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        PANIC("no runtime socket");
    (void)!send(fd, command, strlen(command), MSG_NOSIGNAL);
    while (recv(fd, answer, sizeof(answer), 0) > 0)
        continue;
}

pid_t world_instance(struct world *w, int number)
{
    pid_t pid = child_of_test();
    if (pid == 0)
        backends_run(w->backend_port, number, 1);
    world_turn(50);
    return pid;
}
