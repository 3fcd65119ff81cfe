/* The supervisor with roles of straw: this program runs `slipway serve` in a child of itself, and
 * the roles it starts are this program again, answering each connection with their pid. Needs root;
 * without it the tests pass without doing anything. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "base/time.h"
#include "serve/attach.h"
#include "serve/place.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "wire/settings.h"

static const char *const roles[] = {"core", "courier", "host", "signals"};

/* A role: says who it is to whoever connects to fd 3 or (a stream) fd 4. One that finds a file with
 * its name in its folder (run_dir) can never run. */
static int straw_role(const char *name)
{
    if (access(name, F_OK) == 0)
        return ROLE_EXIT_NEVER;
    for (;;) {
        struct pollfd wait[2] = {{ROLE_FD_LISTENER, POLLIN, 0}, {ROLE_FD_SECOND, POLLIN, 0}};
        if (poll(wait, 2, -1) < 0)
            return 1;
        for (int i = 0; i < 2; i++) {
            AUTO_CLOSE int fd = wait[i].revents & POLLIN ? accept(wait[i].fd, NULL, NULL) : -1;
            if (fd >= 0)
                (void)dprintf(fd, "%d %d\n", (int)getpid(), (int)geteuid());
        }
        if (wait[0].revents & (POLLERR | POLLNVAL))
            return 1;
    }
}

static char *settings_make(void)
{
    struct err err = ERR_INIT;
    char *path = mem_format("%s/settings", tap_dir());
    AUTO_FREE char *text = mem_format(
        "id = swserve\ndata_dir = %s/data\nrun_dir = %s/run\napi_listen = 127.0.0.1:7613\n"
        "user_core = daemon\nuser_courier = games\nuser_signals = mail\nuser_edge = nobody\n",
        tap_dir(), tap_dir());
    OK(chmod(tap_dir(), 0755) == 0);
    OK(file_write(path, str_of(text), 0644, &err) == 0);
    return path;
}

static pid_t serve_start_as(const char *settings, const char *option)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    AUTO_FREE char *log = mem_format("%s/log", tap_dir());
    if (!freopen(log, "a", stderr))
        _exit(99);
    execl("/proc/self/exe", "slipway", "serve", "--settings", settings, option, (char *)NULL);
    _exit(99);
}

static pid_t serve_start(const char *settings)
{
    return serve_start_as(settings, NULL);
}

/* As a unit of systemd starts a role. */
static pid_t unit_start(const char *settings, const char *role, uid_t uid)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (setresuid(uid, uid, uid) < 0 || setenv(ATTACH_VARIABLE, "1", 1) < 0)
        _exit(99);
    execl("/proc/self/exe", "slipway", role, "--settings", settings, (char *)NULL);
    _exit(99);
}

/* The pid that answers behind a socket of run_dir, or behind the TCP port; -1 when none does within
 * the time. */
static int ask(const char *name, int64_t timeout_ms, int *ret_uid)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons(7613)};
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s/run/%s.sock", tap_dir(), name);
    bool is_tcp = text_is(name, "tcp");
    AUTO_CLOSE int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = is_tcp ? connect(fd, (struct sockaddr *)&tcp, sizeof(tcp))
                        : connect(fd, (struct sockaddr *)&local, sizeof(local));
    struct pollfd wait = {fd, POLLIN, 0};
    char text[64] = "";
    int pid = -1, uid = -1;
    if (result < 0 || poll(&wait, 1, (int)timeout_ms) <= 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return -1;
    (void)sscanf(text, "%d %d", &pid, &uid);
    if (ret_uid)
        *ret_uid = uid;
    return pid;
}

static bool serve_is_up(void)
{
    int64_t end = clock_mono_ms(clock_system()) + 5000;
    while (clock_mono_ms(clock_system()) < end) {
        if (ask("tcp", 1000, NULL) > 0 && ask("courier", 1000, NULL) > 0 &&
            ask("host", 1000, NULL) > 0 && ask("signals", 1000, NULL) > 0)
            return true;
        (void)poll(NULL, 0, 10);
    }
    return false;
}

static bool is_gone(int pid)
{
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) {
        (void)waitpid(pid, NULL, WNOHANG);
        (void)poll(NULL, 0, 10);
    }
    return kill(pid, 0) < 0;
}

static int role_pid(const char *role)
{
    return ask(text_is(role, "core") ? "api" : role, 5000, NULL);
}

static int wait_exit(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void serve_end(pid_t pid)
{
    AUTO_FREE char *live = mem_format("%s/run/live", tap_dir());
    (void)kill(pid, SIGTERM);
    IS_INT(wait_exit(pid), 0);
    OK(umount(live) == 0);
}

static bool is_root(void)
{
    if (geteuid() != 0)
        printf("# needs root\n");
    return geteuid() == 0;
}

TEST(starts_each_role_as_its_user)
{
    AUTO_FREE char *settings = settings_make();
    struct stat key, live, core;
    int uid = -1;
    if (!is_root())
        return;
    pid_t serve = serve_start(settings);
    OK(serve_is_up());
    OK(ask("host", 1000, &uid) > 0);
    IS_INT(uid, 0);
    OK(ask("api", 1000, &uid) == ask("tcp", 1000, NULL));
    IS_INT(uid, 1);
    OK(ask("git", 1000, &uid) == ask("courier", 1000, NULL));
    AUTO_FREE char *key_path = mem_format("%s/data/master.key", tap_dir());
    AUTO_FREE char *live_path = mem_format("%s/run/live", tap_dir());
    AUTO_FREE char *core_path = mem_format("%s/data/core", tap_dir());
    OK(stat(key_path, &key) == 0 && key.st_size == 32 && (key.st_mode & 07777) == 0600);
    OK(stat(live_path, &live) == 0 && (live.st_mode & 07777) == 0711);
    OK(place_is_mounted(live_path));
    OK(stat(core_path, &core) == 0 && core.st_uid == 1 && (core.st_mode & 07777) == 0700);
    serve_end(serve);
    OK(ask("tcp", 100, NULL) == -1);
}

TEST(a_killed_role_is_back_with_its_listener)
{
    AUTO_FREE char *settings = settings_make();
    if (!is_root())
        return;
    pid_t serve = serve_start(settings);
    OK(serve_is_up());
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        int before = role_pid(roles[i]);
        int64_t start = clock_mono_ms(clock_system());
        OK(before > 0 && kill(before, SIGKILL) == 0);
        int after = role_pid(roles[i]); /* connects at once: the socket never went away */
        while (after == before)
            after = role_pid(roles[i]);
        OK(after > 0);
        OK(clock_mono_ms(clock_system()) - start < 1000);
    }
    serve_end(serve);
}

TEST(a_killed_supervisor_is_replaced_and_adopts)
{
    AUTO_FREE char *settings = settings_make();
    int before[4];
    if (!is_root())
        return;
    pid_t serve = serve_start(settings);
    OK(serve_is_up());
    (void)kill(serve, SIGKILL);
    IS_INT(wait_exit(serve), 128 + SIGKILL);
    for (size_t i = 0; i < 4; i++)
        before[i] = role_pid(roles[i]);
    (void)kill(before[0], SIGKILL); /* core died while nobody looked */
    OK(is_gone(before[0]));
    serve = serve_start(settings);
    OK(serve_is_up());
    for (size_t i = 1; i < 4; i++)
        IS_INT(role_pid(roles[i]), before[i]);
    OK(role_pid("core") != before[0]);
    (void)kill(before[1], SIGKILL); /* an adopted one: the same socket serves its successor */
    int after = role_pid("courier");
    OK(after > 0 && after != before[1]);
    serve_end(serve);
    for (size_t i = 0; i < 4; i++)
        OK(is_gone(before[i]));
}

TEST(a_second_serve_refuses)
{
    AUTO_FREE char *settings = settings_make();
    if (!is_root())
        return;
    pid_t serve = serve_start(settings);
    OK(serve_is_up());
    pid_t second = serve_start(settings);
    IS_INT(wait_exit(second), err_exit_code(E_STATE_CONFLICT));
    OK(serve_is_up());
    serve_end(serve);
}

TEST(a_pid_file_of_another_process_is_nobodys)
{
    struct err err = ERR_INIT;
    struct process p = {0, -1};
    AUTO_FREE char *path = mem_format("%s/a.pid", tap_dir());
    OK(process_record(path, getpid(), &err) == 0);
    IS_INT(process_find(path, &p, &err), 0);
    IS_INT(p.pid, getpid());
    process_done(&p);
    AUTO_FREE char *other = mem_format("%d 12345 x\n", (int)getpid());
    OK(file_write(path, str_of(other), 0644, &err) == 0);
    IS_INT(process_find(path, &p, &err), PROCESS_GONE);
    OK(file_write(path, STR(""), 0644, &err) == 0);
    IS_INT(process_find(path, &p, &err), PROCESS_GONE);
}

/* Started once, so that everything is there, and ended. */
static void serve_once(const char *settings)
{
    pid_t serve = serve_start(settings);
    OK(serve_is_up());
    serve_end(serve);
}

TEST(a_role_that_can_never_run_ends_the_supervisor)
{
    AUTO_FREE char *settings = settings_make();
    AUTO_FREE char *mark = mem_format("%s/run/core", tap_dir());
    AUTO_FREE char *live = mem_format("%s/run/live", tap_dir());
    struct err err = ERR_INIT;
    if (!is_root())
        return;
    serve_once(settings);
    OK(file_write(mark, STR(""), 0644, &err) == 0);
    pid_t serve = serve_start(settings);
    IS_INT(wait_exit(serve), ROLE_EXIT_NEVER);
    for (size_t i = 1; i < ARRAY_SIZE(roles); i++)
        IS_INT(ask(roles[i], 100, NULL), -1);
    OK(unlink(mark) == 0);
    OK(umount(live) == 0);
    serve_once(settings);
}

TEST(a_start_that_cannot_be_leaves_no_role)
{
    AUTO_FREE char *settings = settings_make();
    AUTO_FREE char *key = mem_format("%s/data/master.key", tap_dir());
    AUTO_FREE char *live = mem_format("%s/run/live", tap_dir());
    if (!is_root())
        return;
    serve_once(settings);
    OK(chmod(key, 0644) == 0);
    pid_t serve = serve_start(settings);
    IS_INT(wait_exit(serve), err_exit_code(E_CORRUPT));
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        struct err err = ERR_INIT;
        struct process p = {0, -1};
        AUTO_FREE char *pid = mem_format("%s/run/%s.pid", tap_dir(), roles[i]);
        IS_INT(ask(roles[i], 100, NULL), -1);
        IS_INT(process_find(pid, &p, &err), PROCESS_GONE);
    }
    OK(chmod(key, 0600) == 0);
    OK(umount(live) == 0);
    serve_once(settings);
}

TEST(a_lost_master_key_is_not_replaced)
{
    AUTO_FREE char *settings = settings_make();
    AUTO_FREE char *key = mem_format("%s/data/master.key", tap_dir());
    AUTO_FREE char *kept = mem_format("%s/kept.key", tap_dir());
    AUTO_FREE char *store = mem_format("%s/data/core/store.db", tap_dir());
    AUTO_FREE char *live = mem_format("%s/run/live", tap_dir());
    struct err err = ERR_INIT;
    if (!is_root())
        return;
    serve_once(settings);
    OK(file_write(store, STR("a store"), 0600, &err) == 0);
    OK(rename(key, kept) == 0);
    pid_t serve = serve_start(settings);
    IS_INT(wait_exit(serve), err_exit_code(E_KEY_WRONG));
    OK(!file_exists(key));
    OK(rename(kept, key) == 0);
    OK(umount(live) == 0);
    serve_once(settings);
}

TEST(roles_of_units_come_for_their_sockets)
{
    AUTO_FREE char *settings = settings_make();
    int uid = -1, status = 0;
    if (!is_root())
        return;
    pid_t early = unit_start(settings, "core", 1); /* waits for a supervisor */
    pid_t serve = serve_start_as(settings, "--units");
    pid_t courier = unit_start(settings, "courier", 5),
          signals = unit_start(settings, "signals", 8);
    OK(serve_is_up());
    IS_INT(ask("api", 5000, &uid), early);
    IS_INT(uid, 1);
    IS_INT(ask("tcp", 5000, NULL), early);
    IS_INT(ask("git", 5000, &uid), courier);
    IS_INT(uid, 5);
    IS_INT(ask("signals", 5000, NULL), signals);

    /* one that is a stranger, and a second one, get nothing */
    pid_t stranger = unit_start(settings, "core", 65534);
    (void)poll(NULL, 0, 300);
    OK(ask("api", 5000, NULL) == early);
    OK(kill(stranger, SIGKILL) == 0 && waitpid(stranger, &status, 0) == stranger);

    /* who dies is not started by the supervisor; the next that comes has the same sockets */
    OK(kill(early, SIGKILL) == 0 && waitpid(early, &status, 0) == early);
    pid_t again = unit_start(settings, "core", 1);
    IS_INT(ask("api", 5000, NULL), again);

    /* a new supervisor finds those that live */
    OK(kill(serve, SIGKILL) == 0);
    (void)wait_exit(serve);
    AUTO_FREE char *came = mem_format("%s/run/serve.sock", tap_dir());
    OK(unlink(came) == 0);
    serve = serve_start_as(settings, "--units");
    for (int i = 0; i < 500 && access(came, F_OK) < 0; i++) /* made when it has adopted */
        (void)poll(NULL, 0, 10);
    OK(kill(again, SIGKILL) == 0 && waitpid(again, &status, 0) == again);
    again = unit_start(settings, "core", 1);
    IS_INT(ask("api", 15000, NULL), again);
    IS_INT(ask("git", 5000, NULL), courier);
    serve_end(serve);
    const pid_t left[] = {again, courier, signals}; /* systemd would end them */
    for (size_t i = 0; i < ARRAY_SIZE(left); i++)
        OK(kill(left[i], SIGKILL) == 0 && waitpid(left[i], &status, 0) == left[i]);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(roles); i++)
        if (text_is(argv[1], roles[i])) {
            struct settings *s = NULL;
            struct err err = ERR_INIT;
            if (getenv(ATTACH_VARIABLE) &&
                (settings_load(argv[3], &s, &err) < 0 || attach_as_role(s, &err) < 0))
                return 98;
            return straw_role(argv[1]);
        }
    if (argc > 1 && text_is(argv[1], "serve"))
        return serve_main(argc, argv);
    return tap_main(argc, argv);
}
