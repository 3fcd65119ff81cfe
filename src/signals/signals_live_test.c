/* The role as a process of its own: fed like the edge and the host do, asked like core does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/message.h"
#include "signals/signals.h"
#include "wire/settings.h"

struct role {
    pid_t pid;
    struct channel *channel;
    int log_fd; /* connected: what HAProxy writes to */
};

static int socket_at(const char *name, int type, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", tap_dir(), name);
    if (!listening)
        OK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    else
        OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    if (listening && type == SOCK_STREAM)
        OK(listen(fd, 10) == 0);
    return fd;
}

static char *settings_file(void)
{
    char *path = mem_format("%s/settings", tap_dir());
    AUTO_FREE char *text =
        mem_format("data_dir = %s\nrun_dir = %s\nuser_core = nobody\n", tap_dir(), tap_dir());
    struct err err = ERR_INIT;
    OK(file_write(path, str_of(text), 0644, &err) == 0);
    return path;
}

static void role_start(struct role *r)
{
    static const struct channel_handlers handlers;
    struct err err = ERR_INIT;
    AUTO_FREE char *settings = settings_file();
    AUTO_FREE char *path = mem_format("%s/signals.sock", tap_dir());
    AUTO_CLOSE int listener = socket_at("signals.sock", SOCK_STREAM, true);
    AUTO_CLOSE int log = socket_at("log.sock", SOCK_DGRAM, true);
    r->pid = fork();
    if (r->pid == 0) {
        (void)dup2(listener, 13);
        (void)dup2(log, 14);
        (void)dup2(13, ROLE_FD_LISTENER);
        (void)dup2(14, ROLE_FD_SECOND);
        (void)execl("/proc/self/exe", "slipway", "signals", "--settings", settings, (char *)NULL);
        _exit(1);
    }
    r->log_fd = socket_at("log.sock", SOCK_DGRAM, false);
    OK(channel_connect(path, &handlers, &r->channel, &err) == 0);
}

static void role_end(struct role *r)
{
    int status = -1;
    channel_free(r->channel);
    (void)close(r->log_fd);
    (void)kill(r->pid, SIGTERM);
    OK(waitpid(r->pid, &status, 0) == r->pid);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

struct answer {
    bool done;
    json_t *ok;
    size_t events;
    size_t lines;
    int64_t lost;
    int64_t last; /* the number in the text of the last line */
    bool disorder;
};

static void answered(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    a->done = true;
    a->ok = ok ? json_incref(ok) : NULL;
    if (error)
        printf("# %s: %s\n", err_name(error->kind), error->text);
}

static void got_event(void *context, const char *event, json_t *args)
{
    struct answer *a = context;
    OK(text_is(event, "lines"));
    OK(json_int(args, "began", 0) > 0);
    a->events += json_array_size(json_list(args, "lines")) > 0;
    a->lines += json_array_size(json_list(args, "lines"));
    a->lost += json_int(args, "lost", 0);
    size_t i;
    json_t *line;
    json_array_foreach(json_list(args, "lines"), i, line)
    {
        int64_t number = strtoll(json_text_or(line, "text", ""), NULL, 10);
        a->disorder |= number && number <= a->last;
        a->last = number;
    }
}

/* Read what a follower is sent, asking for the next batch after each, until it has the line with
 * that number. */
static void follow_until(struct role *r, struct answer *a, int64_t number)
{
    size_t events = 0;
    while (a->last < number) {
        if (a->events > events)
            channel_notify(r->channel, "more", json_pack("{s:i}", "follow", 9), NULL, 0);
        events = a->events;
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    }
}

static void ask(struct role *r, const char *verb, json_t *args, int fd, struct answer *a)
{
    struct channel_request request = {.verb = verb, .args = args};
    request.timeout_ms = json_int(args, "follow", 0) ? 0 : 10000; /* a follower waits for ever */
    *a = (struct answer){.done = false};
    request.on_reply = answered;
    request.on_event = got_event;
    request.context = a;
    request.fds[0] = fd;
    request.fd_count = fd >= 0;
    channel_request(r->channel, &request);
}

static json_t *call(struct role *r, const char *verb, json_t *args, int fd)
{
    struct answer a;
    ask(r, verb, args, fd, &a);
    while (!a.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    OK(a.ok != NULL);
    return a.ok ? a.ok : json_object();
}

static bool send_line(struct role *r, int64_t number, int flags)
{
    char line[512];
    int length = snprintf(line, sizeof(line),
                          "S1 %lld000 shop.dev e1a r42.1 %d 302 0 0 0 73 74 ---- 0 "
                          "9ab95241de39474fb17e163e8a328539 7d81183fca2662b6 - 127.0.0.1 GET "
                          "/products/%lld\n",
                          (long long)clock_wall_ms(clock_system()), number % 100 == 0 ? 500 : 200,
                          (long long)number);
    return send(r->log_fd, line, (size_t)length, flags) == length;
}

static int64_t cpu_us(pid_t pid)
{
    AUTO_FREE char *path = mem_format("/proc/%d/stat", (int)pid);
    AUTO_BUF text = BUF_INIT(4096);
    struct err err = ERR_INIT;
    unsigned long user = 0, kernel = 0;
    if (file_read(path, 4096, &text, &err) < 0)
        return 0;
    const char *after = strrchr(text.data, ')');
    (void)!sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (int64_t)(user + kernel) * 1000000 / sysconf(_SC_CLK_TCK);
}

static int64_t pss_kib(pid_t pid)
{
    AUTO_FREE char *path = mem_format("/proc/%d/smaps_rollup", (int)pid);
    AUTO_BUF text = BUF_INIT(65536);
    struct err err = ERR_INIT;
    if (file_read(path, 65536, &text, &err) < 0)
        return 0;
    const char *line = strstr(text.data, "\nPss:");
    return line ? strtol(line + 5, NULL, 10) : 0;
}

static int64_t top_requests(struct role *r, int64_t *ret_errors)
{
    AUTO_JSON *top = call(r, "top", json_pack("{s:i}", "seconds", 60), -1);
    const json_t *app_env = json_dict(json_dict(top, "app_envs"), "shop.dev");
    int64_t sum = 0;
    size_t i;
    json_t *second;
    *ret_errors = 0;
    json_array_foreach(json_list(app_env, "seconds"), i, second)
    {
        sum += json_int(second, "requests", 0);
        *ret_errors += json_int(second, "errors", 0);
    }
    IS_INT(json_int(json_dict(json_dict(app_env, "releases"), "42"), "requests", -1), sum);
    return sum;
}

static int tick_every(long us)
{
    struct itimerspec every = {{0, us * 1000}, {0, us * 1000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    OK(timerfd_settime(fd, 0, &every, NULL) == 0);
    return fd;
}

static void tick_wait(int fd)
{
    uint64_t ticks;
    (void)!read(fd, &ticks, sizeof(ticks));
}

TEST(keeps_up_with_many_request_lines)
{
    struct role r;
    int64_t sent = 0, lost = 0, errors = 0;
    role_start(&r);
    AUTO_JSON *hello = call(&r, "hello", json_pack("{s:i,s:i}", "protocol", 1, "epoch", 1), -1);
    printf("# idle PSS %lld KiB\n", (long long)pss_kib(r.pid));
    int64_t cpu = cpu_us(r.pid), start = clock_mono_us();
    AUTO_CLOSE int ticks = tick_every(500);
    while (clock_mono_us() - start < 2000000) { /* 25 lines a millisecond */
        int64_t due = (clock_mono_us() - start) / 40;
        for (; sent < due; sent++)
            if (!send_line(&r, sent, MSG_DONTWAIT))
                lost++;
        tick_wait(ticks);
    }
    OK(send_line(&r, 1, 0)); /* waits for room, and so for all before it to be read */
    while (top_requests(&r, &errors) < sent - lost + 1 && clock_mono_us() - start < 4000000)
        tick_wait(ticks);
    printf("# %lld lines in 2 s, %lld not taken, CPU %lld ms, PSS %lld KiB\n", (long long)sent,
           (long long)lost, (long long)(cpu_us(r.pid) - cpu) / 1000, (long long)pss_kib(r.pid));
    IS_INT(top_requests(&r, &errors), sent - lost + 1);
    OK(errors > 0 && errors <= sent / 100 + 1);
    AUTO_JSON *requests =
        call(&r, "requests", json_pack("{s:s,s:i}", "app_env", "shop.dev", "limit", 3), -1);
    const json_t *line = json_array_get(json_list(requests, "lines"), 0);
    IS_INT(json_array_size(json_list(requests, "lines")), 3);
    IS_STR(json_text(line, "instance"), "shop.dev.r42.1");
    IS_STR(json_text(line, "method"), "GET");
    IS_INT(json_int(line, "us", 0), 302);
    role_end(&r);
}

TEST(answers_and_follows_lines)
{
    struct role r;
    struct answer follow;
    role_start(&r);
    AUTO_FREE char *path = mem_format("%s/output", tap_dir());
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(fd, "2026-11-20T16:50:14.1Z stdout F one\n2026-11-20T16:50:15.1Z stderr F two\n");
    AUTO_JSON *opened = call(&r, "log.open",
                             json_pack("{s:s,s:s,s:i}", "instance", "shop.dev.r42.1", "app_env",
                                       "shop.dev", "release", 42),
                             fd);
    ask(&r, "logs", json_pack("{s:s,s:i}", "app_env", "shop.dev", "follow", 9), -1, &follow);
    while (follow.lines < 2)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    AUTO_JSON *more = call(&r, "more", json_pack("{s:i}", "follow", 9), -1);
    int64_t start = clock_mono_ms(clock_system());
    dprintf(fd, "2026-11-20T16:50:16.1Z stdout F thr\xff"
                "ee\n");
    while (follow.lines < 3)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    int64_t took = clock_mono_ms(clock_system()) - start;
    printf("# followed after %lld ms\n", (long long)took);
    OK(took < 400);
    AUTO_JSON *logs = call(
        &r, "logs", json_pack("{s:s,s:i,s:s}", "app_env", "shop.dev", "limit", 5, "grep", "t"), -1);
    const json_t *line = json_array_get(json_list(logs, "lines"), 1);
    IS_INT(json_array_size(json_list(logs, "lines")), 2);
    IS_STR(json_text(line, "text"), "thr\xef\xbf\xbd"
                                    "ee");
    IS_STR(json_text(line, "stream"), "stdout");
    AUTO_JSON *nothing = call(&r, "logs",
                              json_pack("{s:s,s:I}", "app_env", "shop.dev", "after",
                                        (json_int_t)json_int(logs, "next", 0)),
                              -1);
    IS_INT(json_array_size(json_list(nothing, "lines")), 0);
    AUTO_JSON *cancel = call(&r, "cancel", json_pack("{s:i}", "follow", 9), -1);
    while (!follow.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    json_decref(follow.ok);
    AUTO_JSON *dump = call(&r, "dump", json_object(), -1);
    IS_INT(json_int(json_dict(dump, "dump"), "followers", -1), 0);
    role_end(&r);
}

static void write_numbers(int fd, int64_t first, int64_t last)
{
    AUTO_BUF text = BUF_INIT(0);
    for (int64_t i = first; i <= last; i++)
        (void)buf_add_format(&text, "2026-11-20T16:50:14.1Z stdout F %lld\n", (long long)i);
    OK(write(fd, text.data, text.length) == (ssize_t)text.length);
}

/* Until that line is the newest; the answer that shows it. */
static json_t *wait_read(struct role *r, const char *text)
{
    for (;;) {
        json_t *answer =
            call(r, "logs", json_pack("{s:s,s:i}", "app_env", "shop.dev", "limit", 1), -1);
        const json_t *line = json_array_get(json_list(answer, "lines"), 0);
        if (text_is(json_text(line, "text"), text))
            return answer;
        json_decref(answer);
    }
}

TEST(a_burst_reaches_a_follower_whole_and_a_slow_one_is_told_its_loss)
{
    struct role r;
    struct answer follow;
    role_start(&r);
    AUTO_FREE char *path = mem_format("%s/burst", tap_dir());
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    AUTO_JSON *opened = call(&r, "log.open",
                             json_pack("{s:s,s:s,s:i}", "instance", "shop.dev.r42.1", "app_env",
                                       "shop.dev", "release", 42),
                             fd);
    ask(&r, "logs", json_pack("{s:s,s:i}", "app_env", "shop.dev", "follow", 9), -1, &follow);
    write_numbers(fd, 1, 60000); /* more than the ring holds */
    follow_until(&r, &follow, 60000);
    IS_INT(follow.lines, 60000);
    IS_INT(follow.lost, 0);
    OK(!follow.disorder);
    printf("# in %zu batches\n", follow.events);
    write_numbers(fd, 60001, 200000); /* nobody asks for more: the ring moves on */
    AUTO_JSON *newest = wait_read(&r, "200000");
    OK(json_bool(newest, "more", false));
    follow_until(&r, &follow, 200000);
    OK(follow.lost > 0);
    IS_INT((int64_t)follow.lines + follow.lost, 200000);
    OK(!follow.disorder);
    AUTO_JSON *cancel = call(&r, "cancel", json_pack("{s:i}", "follow", 9), -1);
    while (!follow.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    json_decref(follow.ok);
    role_end(&r);
}

TEST(a_follower_resumes_after_a_number)
{
    struct role r;
    struct answer first, second;
    role_start(&r);
    AUTO_FREE char *path = mem_format("%s/resume", tap_dir());
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    write_numbers(fd, 1, 3000);
    AUTO_JSON *opened = call(&r, "log.open",
                             json_pack("{s:s,s:s,s:i}", "instance", "shop.dev.r42.1", "app_env",
                                       "shop.dev", "release", 42),
                             fd);
    AUTO_JSON *read = wait_read(&r, "3000");
    ask(&r, "logs", json_pack("{s:s,s:i,s:i}", "app_env", "shop.dev", "follow", 9, "limit", 2900),
        -1, &first);
    follow_until(&r, &first, 3000);
    IS_INT(first.lines, 2900);
    AUTO_JSON *page =
        call(&r, "logs", json_pack("{s:s,s:i}", "app_env", "shop.dev", "limit", 1000), -1);
    int64_t seq = json_int(json_array_get(json_list(page, "lines"), 0), "seq", 0);
    AUTO_JSON *older = call(
        &r, "logs",
        json_pack("{s:s,s:i,s:I}", "app_env", "shop.dev", "limit", 5, "before", (json_int_t)seq),
        -1);
    IS_STR(json_text(json_array_get(json_list(older, "lines"), 4), "text"), "2000");
    AUTO_JSON *cancel = call(&r, "cancel", json_pack("{s:i}", "follow", 9), -1);
    ask(&r, "logs",
        json_pack("{s:s,s:i,s:I}", "app_env", "shop.dev", "follow", 9, "after", (json_int_t)seq),
        -1, &second);
    follow_until(&r, &second, 3000);
    IS_INT(second.lines, 999); /* all of them, whatever the limit */
    AUTO_JSON *again = call(&r, "cancel", json_pack("{s:i}", "follow", 9), -1);
    while (!first.done || !second.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    json_decref(first.ok);
    json_decref(second.ok);
    role_end(&r);
}

int main(int argc, char **argv)
{
    if (argc > 1 && text_is(argv[1], "signals"))
        return signals_main(argc, argv);
    return tap_main(argc, argv);
}
