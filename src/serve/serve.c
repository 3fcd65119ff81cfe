/* `slipway serve --settings FILE [--check] [--units]`: options, lock, folders, then the
 * supervisor's loop.
 *
 * Its stderr, which the roles share, is whatever it was started with: the journal, a terminal, a
 * file. A file is kept short: past a limit it is copied to FILE.1 and emptied in place, because
 * roles that write to it may outlive us. Orphans of the roles (the monitors of containers, the
 * edge) become our children while we live, and are reaped. */
#include "serve/serve.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/loop.h"
#include "serve/place.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/supervisor.h"

#define FILES_MAX 65536
#define LOG_BYTES_MAX (10 << 20)
#define LOG_LOOK_MS 30000

static bool is_same_file(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

int serve_lock(const struct settings *s, int *ret_fd, struct err *err)
{
    AUTO_FREE char *path = settings_run(s, "serve.lock");
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    /* A `down` that held it has removed it by now: it is about to be done. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_same_file(fd, path))
        return SERVE_BUSY;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Lines that are written while it is copied may be lost; nothing that matters is only here. */
static int log_rotate(const char *path, struct err *err)
{
    AUTO_FREE char *old = mem_format("%s.1", path);
    AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    ssize_t count = 1;
    if (from < 0 || to < 0)
        return FAIL_SYS(err, "cannot open '%s'", from < 0 ? path : old);
    while (count > 0)
        count = sendfile(to, from, NULL, 1 << 20);
    if (count < 0 || ftruncate(STDERR_FILENO, 0) < 0)
        return FAIL_SYS(err, "cannot empty '%s'", path);
    return 0;
}

static void log_look(void *context)
{
    struct stat now;
    struct err err = ERR_INIT;
    char path[4096];
    (void)context;
    if (fstat(STDERR_FILENO, &now) < 0 || !S_ISREG(now.st_mode) || now.st_size <= LOG_BYTES_MAX ||
        (fcntl(STDERR_FILENO, F_GETFL) & O_APPEND) == 0)
        return;
    ssize_t length = readlink("/proc/self/fd/2", path, sizeof(path) - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    if (log_rotate(path, &err) < 0)
        log_warn("cannot rotate the log, trying again in 30s", F_ERR(&err));
}

/* Thousands of connections: what we may have of them is inherited by the roles. */
static void files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* less than the most is always allowed */
}

static void log_level(const struct settings *s)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
        if (text_is(s->log_level, names[i]))
            log_setup("serve", (enum log_level)i);
}

static int serve_users(const struct settings *s, struct err *err)
{
    const char *const users[] = {s->user_core, s->user_courier, s->user_signals, s->user_edge};
    uid_t uid;
    gid_t gid;
    for (size_t i = 0; i < ARRAY_SIZE(users); i++)
        if (settings_uid(users[i], &uid, &gid, err) < 0)
            return err_wrap(err, "tools/deps users makes it");
    return 0;
}

/* Whoever finds our pid file may end us at once: not half-way through a start, and not before the
 * loop can do it in order. Let through by the loop's first turn. */
static void signals_hold(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(how, &set, NULL);
}

static void signals_let(void *context)
{
    (void)context;
    signals_hold(SIG_UNBLOCK);
}

static int serve_loop(const struct settings *s, bool units, int *ret_code, struct err *err)
{
    struct timer *look = NULL;
    if (supervisor_start(s, units, err) < 0)
        return -1;
    timer_start(&look, LOG_LOOK_MS, LOG_LOOK_MS, log_look, NULL);
    loop_defer(signals_let, NULL);
    log_info("serving", F_STR("installation", s->id), F_STR("api", s->api_listen));
    loop_run(NULL, NULL);
    log_info("ending: instances and edge go on");
    *ret_code = supervisor_stop();
    return 0;
}

static int serve_run(const struct settings *s, bool units, int *ret_code, struct err *err)
{
    AUTO_FREE char *pid_path = settings_run(s, "serve.pid");
    AUTO_CLOSE int lock = -1;
    if (place_make(s, err) < 0)
        return -1;
    int locked = serve_lock(s, &lock, err);
    if (locked == SERVE_BUSY)
        return FAIL(err, E_STATE_CONFLICT,
                    "'%s' is served already, or being taken down: see '%s' for who does it", s->id,
                    pid_path);
    signals_hold(SIG_BLOCK);
    if (locked < 0 || process_record(pid_path, getpid(), err) != 0)
        return -1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* without it they are somebody else's to reap */
    int result = place_key(s, err) < 0 ? -1 : serve_loop(s, units, ret_code, err);
    (void)unlink(pid_path); /* stale is harmless */
    return result;
}

static int serve_try(int argc, char **argv, int *ret_code, struct err *err)
{
    AUTO_FREE char *path = process_settings_path(argc, argv);
    AUTO(settings) *s = NULL;
    if (settings_load(path, &s, err) < 0 || serve_users(s, err) < 0)
        return -1;
    if (process_option(argc, argv, "--check")) {
        printf("%s: the settings are valid\n", path);
        return 0;
    }
    if (geteuid() != 0)
        return FAIL(err, E_DENIED, "serve must run as root: it starts each role as its own user");
    log_level(s);
    check_setup("serve", settings_data(s, "panic/serve")); /* kept */
    files_limit();
    (void)umask(022);
    return serve_run(s, process_option(argc, argv, "--units"), ret_code, err);
}

int serve_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    int code = 0;
    log_setup("serve", LOG_INFO);
    if (serve_try(argc, argv, &code, &err) == 0)
        return code;
    (void)fprintf(stderr, "slipway serve: %s\n", err.text);
    return err_exit_code(err.kind);
}
