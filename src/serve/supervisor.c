/* The one process that must not die often, so it does little: it owns the listeners, starts each
 * role as its user with its fds, and starts it again when it ends. It reads nothing that comes from
 * outside. Roles are watched by pidfd, so that those of an earlier supervisor are watched the same
 * way: they are found by their pid files, and their listeners are copied out of them.
 *
 * With `--units` the roles that are not root are started by systemd and come to us (attach.h).
 *
 * A child writes its own pid file before it becomes the role: whoever kills us at any moment leaves
 * no role that the next supervisor does not know. */
#include "serve/supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/narrow_role.h"
#include "serve/attach.h"
#include "serve/listener.h"
#include "serve/place.h"
#include "serve/process.h"

#define ROLES 4
#define ROLE_FDS ATTACH_FDS /* from ROLE_FD_LISTENER on */
#define SHORT_LIFE_MS 1000  /* who dies younger waits before the next start */
#define WAIT_FIRST_MS 100
#define WAIT_MAX_MS 1000 /* whoever waits for us waits no longer than two seconds */
#define GRACE_MS 8000
#define ENVIRONMENT_MAX 16

struct role {
    const char *name;
    const char *user; /* NULL: root */
    uid_t uid;
    gid_t gid;
    char *pid_path;
    struct listener listeners[2]; /* address NULL: none */
    int fds[2];                   /* of ROLE_FD_LISTENER, ROLE_FD_SECOND */
    bool key;                     /* gets ROLE_FD_KEY */
    bool attaches;                /* is not our child, but comes */
    struct process process;
    struct watch *watch;
    struct timer *restart;
    int64_t started_ms; /* mono */
    int64_t wait_ms;    /* before the next start, when it dies young again */
    int starts;
    int status; /* of waitpid, when it was our child */
    bool reaped;
};
static struct supervisor {
    const struct settings *settings;
    struct role roles[ROLES]; /* in the order of their start */
    uv_signal_t children;
    struct attach *attach; /* NULL: all roles are our children */
    int exit_code;         /* of the supervisor: not 0 when a role can never run */
    const char *environment[ENVIRONMENT_MAX + 1]; /* of the roles */
    size_t environment_count;
    size_t fault_first; /* from here on for a role's first start only */
} us;

static int role_run(struct role *r, struct err *err) MUST_CHECK;

/* In the child. */

static _Noreturn void child_fail(const struct role *r, const char *what)
{
    (void)dprintf(STDERR_FILENO, "slipway serve: role %s: %s: %s\n", r->name, what,
                  strerror(errno));
    _exit(127);
}

/* Ours are all above those that are given, so dup2 never closes one that is still to come. */
static void child_fds(const struct role *r, int key)
{
    const int fds[ROLE_FDS] = {r->fds[0], r->fds[1], key};
    for (int i = 0; i < ROLE_FDS; i++)
        if (fds[i] < 0)
            (void)close(ROLE_FD_LISTENER + i); /* not open is fine */
        else if (dup2(fds[i], ROLE_FD_LISTENER + i) < 0)
            child_fail(r, "dup2");
    (void)syscall(SYS_close_range, ROLE_FD_LISTENER + ROLE_FDS, ~0U, 0); /* the rest is CLOEXEC */
}

static void child_user(const struct role *r)
{
    if (!r->user)
        return;
    if (narrow_bounding() < 0)
        child_fail(r, "cannot empty its bounding set");
    if (setgroups(0, NULL) < 0 || setresgid(r->gid, r->gid, r->gid) < 0 ||
        setresuid(r->uid, r->uid, r->uid) < 0)
        child_fail(r, "cannot become its user");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        child_fail(r, "no_new_privs");
}

/* An armed failpoint is for the first life of one role: core, unless $SLIPWAY_FAULT_ROLE says else.
 */
static void child_disarm(const struct role *r)
{
#ifdef SLIPWAY_FAILPOINTS
    const char *armed = getenv("SLIPWAY_FAULT_ROLE");
    if (r->starts > 1 || !text_is(r->name, armed ? armed : "core"))
        us.environment[us.fault_first] = NULL;
#else
    (void)r;
#endif
}

static _Noreturn void child_become(const struct role *r, int key)
{
    const struct settings *s = us.settings;
    const char *const argv[] = {"slipway", r->name, "--settings", s->path, NULL};
    struct err err = ERR_INIT;
    sigset_t none;
    (void)sigemptyset(&none);
    for (int i = 1; i < SIGRTMIN; i++)
        (void)signal(i, SIG_DFL); /* KILL and STOP refuse */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    if (process_record(r->pid_path, getpid(), &err) != 0) {
        errno = EIO;
        child_fail(r, err.text);
    }
    if (chdir(s->run_dir) < 0)
        child_fail(r, "cannot enter the run folder");
    child_fds(r, key);
    child_user(r);
    child_disarm(r);
    (void)execve("/proc/self/exe", (char *const *)argv, (char *const *)us.environment);
    child_fail(r, "cannot run");
}

/* Watching. */

static void role_start_again(void *context)
{
    struct role *r = context;
    struct err err = ERR_INIT;
    if (role_run(r, &err) == 0)
        return;
    r->wait_ms = WAIT_MAX_MS;
    log_error("cannot start a role, trying again in 5s", F_STR("role", r->name), F_ERR(&err));
    timer_start(&r->restart, r->wait_ms, 0, role_start_again, r);
}

static void children_reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) /* also orphans: see serve.c */
        for (size_t i = 0; i < ROLES; i++)
            if (us.roles[i].process.pid == pid) {
                us.roles[i].status = status;
                us.roles[i].reaped = true;
            }
}

static void children_changed(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    children_reap();
}

static void role_log_end(const struct role *r, int64_t lived_ms, int64_t wait_ms)
{
    bool signalled = r->reaped && WIFSIGNALED(r->status);
    bool exited = r->reaped && WIFEXITED(r->status);
    log_warn("a role ended, starting it again", F_STR("role", r->name),
             F_INT("pid", r->process.pid), F_INT("signal", signalled ? WTERMSIG(r->status) : 0),
             F_INT("exit", exited ? WEXITSTATUS(r->status) : -1), F_INT("lived_ms", lived_ms),
             F_INT("wait_ms", wait_ms));
}

static void role_forget(struct role *r)
{
    watch_free(r->watch);
    r->watch = NULL;
    process_done(&r->process);
}

/* Starting it again would end the same way, for ever: whoever started us must see that. */
static bool role_never_runs(struct role *r)
{
    if (!r->reaped || !WIFEXITED(r->status) || WEXITSTATUS(r->status) != ROLE_EXIT_NEVER)
        return false;
    log_error("a role says that it can never run like this, ending", F_STR("role", r->name));
    us.exit_code = ROLE_EXIT_NEVER;
    role_forget(r);
    loop_stop();
    return true;
}

static void role_ended(void *context, int events)
{
    struct role *r = context;
    (void)events;
    int64_t lived = clock_mono_ms(clock_system()) - r->started_ms, wait = 0;
    children_reap();
    if (role_never_runs(r))
        return;
    if (r->attaches) {
        log_warn("a role ended, it will come again", F_STR("role", r->name),
                 F_INT("pid", r->process.pid), F_INT("lived_ms", lived));
        role_forget(r);
        return;
    }
    if (lived >= SHORT_LIFE_MS) {
        r->wait_ms = WAIT_FIRST_MS;
    } else {
        wait = r->wait_ms;
        r->wait_ms = wait * 2 < WAIT_MAX_MS ? wait * 2 : WAIT_MAX_MS;
    }
    role_log_end(r, lived, wait);
    role_forget(r);
    if (wait == 0)
        role_start_again(r);
    else
        timer_start(&r->restart, wait, 0, role_start_again, r);
}

static void role_watch(struct role *r, pid_t pid, int pidfd)
{
    r->process = (struct process){pid, pidfd};
    r->started_ms = clock_mono_ms(clock_system());
    r->reaped = false;
    r->watch = watch_new(pidfd, role_ended, r);
    watch_set(r->watch, WATCH_READ);
}

/* One that is ours has come; recorded before it gets anything, so that whoever kills us leaves
 * none that the next supervisor does not know. */
static int role_attach(struct role *r, int fd, pid_t pid, struct err *err)
{
    AUTO_CLOSE int key = -1;
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return FAIL_SYS(err, "cannot watch role '%s'", r->name);
    if ((r->key && place_key_open(us.settings, &key, err) < 0) ||
        process_record(r->pid_path, pid, err) < 0 ||
        attach_give(fd, (const int[]){r->fds[0], r->fds[1], key}, err) < 0)
        return -1;
    r->starts++;
    role_watch(r, pid, TAKE_FD(pidfd));
    log_info("role attached", F_STR("role", r->name), F_INT("pid", pid));
    return 0;
}

static void peer_came(void *context, int fd, uid_t uid, pid_t pid)
{
    AUTO_CLOSE int peer = fd;
    struct err err = ERR_INIT;
    (void)context;
    for (size_t i = 0; i < ROLES; i++) {
        struct role *r = &us.roles[i];
        if (!r->attaches || r->uid != uid || r->process.pid > 0)
            continue;
        if (role_attach(r, peer, pid, &err) < 0)
            log_error("a role came and was sent away", F_STR("role", r->name), F_ERR(&err));
        return;
    }
    log_debug("a peer that is no role we wait for", F_INT("uid", uid), F_INT("pid", pid));
}

static int role_run(struct role *r, struct err *err)
{
    AUTO_CLOSE int key = -1;
    if (r->attaches)
        return 0; /* it comes by itself */
    if (r->key && place_key_open(us.settings, &key, err) < 0)
        return -1;
    if (key >= 0 && key < ROLE_FD_LISTENER + ROLE_FDS) {
        int high = fcntl(key, F_DUPFD_CLOEXEC, ROLE_FD_LISTENER + ROLE_FDS);
        (void)close(key);
        key = high;
    }
    r->starts++;
    pid_t pid = fork();
    if (pid < 0)
        return FAIL_SYS(err, "cannot fork for role '%s'", r->name);
    if (pid == 0)
        child_become(r, key);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        (void)kill(pid, SIGKILL);
        return FAIL_SYS(err, "cannot watch role '%s'", r->name);
    }
    role_watch(r, pid, pidfd);
    log_info("role started", F_STR("role", r->name), F_INT("pid", pid));
    return 0;
}

/* Taking over. */

/* Copies what listeners can be had; a process without them is of no use to us. */
static int role_take_listeners(struct role *r, const struct process *p, struct err *err)
{
    int taken[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        if (!r->listeners[i].address)
            continue;
        int result =
            listener_take(&r->listeners[i], p->pidfd, ROLE_FD_LISTENER + i, &taken[i], err);
        if (result == 0)
            continue;
        fd_closep(&taken[0]);
        return result;
    }
    r->fds[0] = taken[0];
    r->fds[1] = taken[1];
    return 0;
}

/* True when the role of an earlier supervisor lives and is now ours to watch. */
static bool role_adopt(struct role *r)
{
    struct err err = ERR_INIT;
    struct process p = {0, -1};
    int found = process_find(r->pid_path, &p, &err);
    if (found < 0)
        log_warn("cannot look for an earlier role, starting a new one", F_STR("role", r->name),
                 F_ERR(&err));
    if (found != 0)
        return false;
    int taken = role_take_listeners(r, &p, &err);
    if (taken == 0) {
        role_watch(r, p.pid, p.pidfd);
        r->started_ms -= SHORT_LIFE_MS; /* it has lived */
        log_info("role adopted", F_STR("role", r->name), F_INT("pid", p.pid));
        return true;
    }
    log_warn("a role of an earlier supervisor has no listeners we can keep, replacing it",
             F_STR("role", r->name), F_STR("why", taken < 0 ? err.text : "not the same address"));
    process_end(&p, GRACE_MS);
    process_done(&p);
    return false;
}

static int role_listen(struct role *r, struct err *err)
{
    for (int i = 0; i < 2; i++)
        if (r->listeners[i].address && listener_make(&r->listeners[i], &r->fds[i], err) < 0)
            return -1;
    return 0;
}

/* Wiring. */

static void role_init(struct role *r, const char *name, const char *user)
{
    AUTO_FREE char *socket = mem_format("%s.sock", text_is(name, "core") ? "api" : name);
    AUTO_FREE char *pid = mem_format("%s.pid", name);
    *r = (struct role){.name = name, .user = user, .fds = {-1, -1}};
    r->pid_path = settings_run(us.settings, pid);
    r->process.pidfd = -1;
    r->wait_ms = WAIT_FIRST_MS;
    r->listeners[0] = (struct listener){.kind = LISTENER_UNIX, .mode = 0660};
    r->listeners[0].address = settings_run(us.settings, socket);
}

/* Who may connect to what: core to the other roles, everybody to the API and (through the edge) to
 * git, where every request is checked; only the edge writes to the log. */
static int roles_init(struct err *err)
{
    const struct settings *s = us.settings;
    struct role *host = &us.roles[0], *signals = &us.roles[1], *courier = &us.roles[2];
    struct role *core = &us.roles[3];
    struct listener *log = &signals->listeners[1];
    role_init(host, "host", NULL);
    role_init(signals, "signals", s->user_signals);
    role_init(courier, "courier", s->user_courier);
    role_init(core, "core", s->user_core);
    for (size_t i = 0; i < ROLES; i++) {
        struct role *r = &us.roles[i];
        gid_t core_gid;
        uid_t core_uid;
        if (settings_uid(s->user_core, &core_uid, &core_gid, err) < 0 ||
            (r->user && settings_uid(r->user, &r->uid, &r->gid, err) < 0))
            return -1;
        r->listeners[0].gid = core_gid;
    }
    core->key = true;
    core->listeners[0].mode = 0666;
    core->listeners[1] = (struct listener){.kind = LISTENER_TCP};
    core->listeners[1].address = mem_strdup(s->api_listen);
    courier->listeners[1] = (struct listener){.kind = LISTENER_UNIX, .mode = 0666};
    courier->listeners[1].address = settings_run(s, "git.sock");
    *log = (struct listener){.kind = LISTENER_LOG, .mode = 0600};
    log->address = settings_run(s, "edge/log.sock");
    return settings_uid(s->user_edge, &log->uid, &log->gid, err);
}

static void environment_keep(const char *const *kept, size_t count)
{
    for (char **entry = environ; *entry; entry++)
        for (size_t i = 0; i < count && us.environment_count < ENVIRONMENT_MAX; i++)
            if (text_starts(*entry, kept[i]))
                us.environment[us.environment_count++] = *entry;
}

/* A fixed environment, but for the time zone and what sanitizer and failpoint builds are told by.
 */
static void environment_init(void)
{
    static const char *const kept[] = {"TZ=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS="};
    us.environment[us.environment_count++] =
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    us.environment[us.environment_count++] = "LANG=C.UTF-8";
    environment_keep(kept, ARRAY_SIZE(kept));
#ifdef SLIPWAY_FAILPOINTS
    static const char *const fault[] = {"SLIPWAY_FAULT=", "SLIPWAY_FAULT_MARK="};
    us.fault_first = us.environment_count;
    environment_keep(fault, ARRAY_SIZE(fault));
#endif
}

/* What a role needs beside its process, before any of them is started. */
static int roles_prepare(const bool *living, struct err *err)
{
    for (size_t i = 0; i < ROLES; i++) {
        AUTO_CLOSE int key = -1;
        if (living[i])
            continue;
        if ((us.roles[i].key && place_key_open(us.settings, &key, err) < 0) ||
            role_listen(&us.roles[i], err) < 0)
            return -1;
    }
    return 0;
}

static void role_stop(struct role *r)
{
    timer_free(&r->restart);
    if (r->process.pid > 0 && !r->attaches) {
        log_info("ending a role", F_STR("role", r->name), F_INT("pid", r->process.pid));
        process_end(&r->process, GRACE_MS);
    }
    role_forget(r);
    if (!r->attaches)
        (void)unlink(r->pid_path); /* stale is harmless */
    for (int k = 0; k < 2; k++)
        if (r->listeners[k].address && r->listeners[k].kind != LISTENER_TCP)
            (void)unlink(r->listeners[k].address);
}

/* What lived before us goes on living; what we started does not stay without us. */
static void roles_undo(const bool *living)
{
    for (size_t i = ROLES; i-- > 0;)
        if (!living[i])
            role_stop(&us.roles[i]);
}

static int units_listen(struct err *err)
{
    for (size_t i = 0; i < ROLES; i++)
        us.roles[i].attaches = us.roles[i].user != NULL;
    return attach_listen(us.settings, peer_came, NULL, &us.attach, err);
}

int supervisor_start(const struct settings *s, bool units, struct err *err)
{
    bool living[ROLES];
    us.settings = s;
    environment_init();
    (void)uv_signal_init(loop_get(), &us.children); /* these fail for bad arguments only */
    (void)uv_signal_start(&us.children, children_changed, SIGCHLD);
    if (roles_init(err) < 0)
        return -1;
    for (size_t i = 0; i < ROLES; i++)
        living[i] = role_adopt(&us.roles[i]);
    int result = units ? units_listen(err) : 0;
    if (result == 0)
        result = roles_prepare(living, err);
    for (size_t i = 0; i < ROLES && result == 0; i++)
        if (!living[i])
            result = role_run(&us.roles[i], err);
    if (result < 0)
        roles_undo(living);
    return result;
}

int supervisor_stop(void)
{
    attach_free(us.attach);
    us.attach = NULL;
    for (size_t i = ROLES; i-- > 0;)
        role_stop(&us.roles[i]);
    return us.exit_code;
}
