/* Child processes: fork and exec by hand, output pipes on the loop, reaping on SIGCHLD.
 *
 * Everything the child needs is laid out before the fork; between fork and exec only
 * async-signal-safe calls run (child_become), every fd above the listed ones is marked
 * close-on-exec, and a failed step travels back as its errno through a pipe that a good exec
 * closes. So child_start knows at once whether the program runs.
 *
 * The end: on_exit is called when the process was reaped and both output pipes reached EOF. A
 * grandchild that keeps a pipe open does not hold us up: GRACE_MS after the exit what is readable
 * is read (16 MiB at most) and the rest is given up. A paused stream is waited for. */
#include "io/child.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"
#include "io/loop.h"

#define GRACE_MS 200
#define OUTPUT_DEFAULT (64u << 10)
#define OUTPUT_CHUNK (64u << 10)
#define OUTPUT_DRAIN (16u << 20) /* read at most this much after the grace time */
#define STDIN_QUEUE_MAX                                                                            \
    (256u << 20) /* a caller that ignores back-pressure: the child is killed                       \
                  */
#define FDS_TOTAL (3 + CHILD_FDS_MAX)

struct stream {
    struct child *child;
    int number; /* 1 or 2 */
    enum child_output mode;
    int fd; /* -1: at its end, or not ours to read */
    struct watch *watch;
    struct buf collected;
};
struct child {
    struct child *next;
    pid_t pid;
    bool reaped;
    bool paused;
    bool busy; /* a callback runs: finish later */
    bool timed_out;
    int status; /* of waitpid */
    struct stream output[2];
    int stdin_fd;
    struct watch *stdin_watch;
    struct buf stdin_queue;
    size_t stdin_sent; /* of the queue */
    bool stdin_closing;
    struct timer *timeout;
    struct timer *grace;
    void (*on_output)(void *context, int stream, struct str data);
    void (*on_exit)(void *context, const struct child_result *result);
    void *context;
    void (*on_drain)(void *context);
    void *drain_context;
};
static struct child *children;
static uv_signal_t sigchld;
static bool sigchld_made;
static char chunk[OUTPUT_CHUNK]; /* loop thread only */

static void child_settle(struct child *c);
static void grace_over(void *context);

const char *const *child_base_env(void)
{
    static const char *const env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL};
    return env;
}

/* Output. */

static void stream_close(struct stream *s)
{
    watch_free(TAKE(s->watch));
    fd_closep(&s->fd);
    s->fd = -1;
}

static void stream_give(struct stream *s, struct str data)
{
    struct child *c = s->child;
    if (s->mode == CHILD_COLLECT) {
        size_t space = s->collected.ceiling - s->collected.length;
        if (data.length > space)
            data.length = space;
        (void)buf_add_str(&s->collected, data); /* fits */
    } else if (c->on_output) {
        c->on_output(c->context, s->number, data);
    }
}

/* Read once. False when there is nothing more now. */
static bool stream_read(struct stream *s)
{
    ssize_t count = read(s->fd, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR)
        return true;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (count <= 0) {
        stream_close(s);
        return false;
    }
    stream_give(s, (struct str){chunk, (size_t)count});
    return true;
}

static bool stream_paused(const struct stream *s)
{
    return s->child->paused && s->mode == CHILD_STREAM;
}

static void stream_ready(void *context, int events)
{
    struct stream *s = context;
    struct child *c = s->child;
    (void)events;
    c->busy = true;
    for (int i = 0; i < 4 && s->fd >= 0 && !stream_paused(s); i++)
        if (!stream_read(s))
            break;
    c->busy = false;
    child_settle(c);
}

static void stream_start(struct stream *s)
{
    s->watch = watch_new(s->fd, stream_ready, s);
    watch_set(s->watch, WATCH_READ);
}

/* Standard input. */

static void stdin_shut(struct child *c)
{
    watch_free(TAKE(c->stdin_watch));
    fd_closep(&c->stdin_fd);
    c->stdin_fd = -1;
    c->stdin_sent = 0;
    buf_done(&c->stdin_queue);
}

static size_t stdin_queued(const struct child *c)
{
    return c->stdin_queue.length - c->stdin_sent;
}

/* Write what goes; a child that closed its stdin is no error, the rest is dropped. */
static void stdin_push(struct child *c)
{
    while (stdin_queued(c) > 0) {
        ssize_t count = write(c->stdin_fd, c->stdin_queue.data + c->stdin_sent, stdin_queued(c));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch_set(c->stdin_watch, WATCH_WRITE);
            return;
        }
        if (count < 0) {
            stdin_shut(c);
            return;
        }
        c->stdin_sent += (size_t)count;
    }
    buf_clear(&c->stdin_queue);
    c->stdin_sent = 0;
    watch_set(c->stdin_watch, 0);
    if (c->stdin_closing)
        stdin_shut(c);
}

static void stdin_ready(void *context, int events)
{
    struct child *c = context;
    (void)events;
    c->busy = true;
    stdin_push(c);
    if (stdin_queued(c) == 0 && c->on_drain)
        c->on_drain(c->drain_context);
    c->busy = false;
    child_settle(c);
}

size_t child_write(struct child *c, const void *data, size_t length)
{
    CHECK_LOOP();
    if (c->stdin_fd < 0 || c->stdin_closing)
        return 0;
    if (stdin_queued(c) + length > STDIN_QUEUE_MAX) {
        child_kill(c, SIGKILL);
        return stdin_queued(c);
    }
    if (c->stdin_sent > (1u << 20)) {
        buf_consume(&c->stdin_queue, c->stdin_sent);
        c->stdin_sent = 0;
    }
    bool idle = stdin_queued(c) == 0;
    (void)buf_add(&c->stdin_queue, data, length); /* no ceiling: checked above */
    if (idle)
        stdin_push(c);
    return stdin_queued(c);
}

void child_on_drain(struct child *c, void (*fn)(void *context), void *context)
{
    c->on_drain = fn;
    c->drain_context = context;
}

void child_close_stdin(struct child *c)
{
    c->stdin_closing = true;
    if (c->stdin_fd >= 0 && stdin_queued(c) == 0)
        stdin_shut(c);
}

/* The end. */

static void child_free(struct child *c)
{
    if (!c)
        return;
    timer_free(&c->timeout);
    timer_free(&c->grace);
    stdin_shut(c);
    for (int i = 0; i < 2; i++) {
        stream_close(&c->output[i]);
        buf_done(&c->output[i].collected);
    }
    free(c);
}
DEFINE_AUTO(child)

static void child_finish(struct child *c)
{
    struct child_result result = {
        .exit_code = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : -1,
        .signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0,
        .timed_out = c->timed_out,
        .out = buf_str(&c->output[0].collected),
        .error = buf_str(&c->output[1].collected),
    };
    c->busy = true; /* whatever the callback does to us, we are freed here */
    timer_free(&c->timeout);
    timer_free(&c->grace);
    if (c->on_exit)
        c->on_exit(c->context, &result);
    child_free(c);
}

/* Finish when there is nothing left to wait for. May free the child. */
static void child_settle(struct child *c)
{
    if (c->busy || !c->reaped)
        return;
    if (c->output[0].fd < 0 && c->output[1].fd < 0)
        child_finish(c);
    else if (!c->grace)
        timer_start(&c->grace, GRACE_MS, 0, grace_over, c);
}

/* Timers run before the loop polls: what came in time may still be in the pipe. */
static void grace_over(void *context)
{
    struct child *c = context;
    c->busy = true;
    for (int i = 0; i < 2; i++) {
        struct stream *s = &c->output[i];
        for (size_t n = 0; n < OUTPUT_DRAIN && s->fd >= 0 && !stream_paused(s); n += sizeof(chunk))
            if (!stream_read(s))
                break;
        if (s->fd >= 0 && !stream_paused(s))
            stream_close(s);
    }
    c->busy = false;
    child_settle(c);
}

static void reap(uv_signal_t *handle, int number)
{
    struct child **link = &children;
    struct child *done = NULL;
    (void)number;
    while (*link) {
        struct child *c = *link;
        if (waitpid(c->pid, &c->status, WNOHANG) != c->pid) {
            link = &c->next;
            continue;
        }
        c->reaped = true;
        *link = c->next;
        c->next = done;
        done = c;
    }
    if (!children)
        (void)uv_signal_stop(handle); /* never fails */
    while (done) {
        struct child *c = done;
        done = c->next;
        child_settle(c);
    }
}

static void reap_prepare(void)
{
    if (!sigchld_made)
        ASSERT(uv_signal_init(loop_get(), &sigchld) == 0);
    sigchld_made = true;
    ASSERT(uv_signal_start(&sigchld, reap, SIGCHLD) == 0);
}

static void timed_out(void *context)
{
    struct child *c = context;
    if (!c->reaped)
        c->timed_out = true;
    child_kill(c, SIGKILL);
}

void child_kill(struct child *c, int number)
{
    CHECK_LOOP();
    if (!c->reaped)                  /* later the number may be somebody else's */
        (void)kill(-c->pid, number); /* it may be gone already */
}

pid_t child_pid(const struct child *c)
{
    return c->pid;
}

void child_pause(struct child *c, bool paused)
{
    CHECK_LOOP();
    c->paused = paused;
    for (int i = 0; i < 2; i++)
        if (c->output[i].watch && c->output[i].mode == CHILD_STREAM)
            watch_set(c->output[i].watch, paused ? 0 : WATCH_READ);
}

void child_abandon(struct child *c)
{
    if (!c)
        return;
    c->on_output = NULL;
    c->on_exit = NULL;
    c->on_drain = NULL;
    child_pause(c, false);
    child_kill(c, SIGKILL);
}

/* Starting. */

struct launch { /* all that the child side needs, ready before the fork */
    const struct child_spec *spec;
    const char *const *env;
    const char *cwd;
    int fds[FDS_TOTAL]; /* index: the number in the child */
    int count;
    int failure_fd; /* errno of a failed step */
};

/* Async-signal-safe from here to the exec: it runs in the forked copy. */

static int become_fds(struct launch *l)
{
    for (int i = 0; i < l->count; i++) /* out of the way of the numbers to fill */
        if (l->fds[i] < l->count && l->fds[i] != i)
            if ((l->fds[i] = fcntl(l->fds[i], F_DUPFD_CLOEXEC, l->count)) < 0)
                return -1;
    for (int i = 0; i < l->count; i++)
        if (l->fds[i] != i ? dup2(l->fds[i], i) < 0 : fcntl(i, F_SETFD, 0) < 0)
            return -1;
    return close_range((unsigned)l->count, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int become_user(const struct child_spec *spec)
{
    if (spec->uid == 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(spec->gid, spec->gid, spec->gid) < 0)
        return -1;
    return setresuid(spec->uid, spec->uid, spec->uid);
}

static int become_narrow(const struct child_spec *spec)
{
    return spec->narrow ? spec->narrow(spec->narrow_context) : 0;
}

static _Noreturn void child_become(struct launch *l)
{
    sigset_t none;
    for (int i = 1; i < 32; i++)
        (void)signal(i, SIG_DFL); /* KILL and STOP refuse */
    (void)sigemptyset(&none);
    (void)setsid(); /* a fresh child is never a group leader */
    if (become_narrow(l->spec) == 0 && become_fds(l) == 0 && chdir(l->cwd) == 0 &&
        become_user(l->spec) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0)
        (void)execve(l->spec->argv[0], (char *const *)l->spec->argv, (char *const *)l->env);
    int number = errno;
    (void)!write(l->failure_fd, &number, sizeof(number)); /* nobody else to tell */
    _exit(127);
}

/* As fork, which knows nothing of groups. */
static pid_t fork_into(int group_fd)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)group_fd};
    pid_t pid = group_fd > 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof(args)) : -1;
    return pid >= 0 ? pid : fork();
}

/* Fork with all signals held, so that no handler of ours runs in the copy. */
static int launch_run(struct launch *l, pid_t *ret_pid, struct err *err)
{
    int ends[2];
    int number = 0;
    ssize_t count;
    sigset_t all, before;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return FAIL_SYS(err, "cannot make a pipe");
    AUTO_CLOSE int told = ends[0];
    AUTO_CLOSE int low = ends[1];
    AUTO_CLOSE int tell = fcntl(low, F_DUPFD_CLOEXEC, FDS_TOTAL); /* above what becomes filled */
    if (tell < 0)
        return FAIL_SYS(err, "cannot make a pipe");
    l->failure_fd = tell;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork_into(l->spec->group_fd);
    if (pid == 0)
        child_become(l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return FAIL_SYS(err, "cannot start '%s'", l->spec->argv[0]);
    fd_closep(&tell);
    tell = -1;
    fd_closep(&low);
    low = -1;
    do
        count = read(told, &number, sizeof(number));
    while (count < 0 && errno == EINTR);
    if (count == 0) {
        *ret_pid = pid;
        return 0;
    }
    (void)waitpid(pid, NULL, 0);
    errno = number;
    return FAIL_SYS(err, "cannot start '%s'", l->spec->argv[0]);
}

/* The child's end of an output; *ours is the reading end, when there is one. */
static int output_open(enum child_output mode, int number, int given, int null_fd, int *theirs,
                       int *ours)
{
    int ends[2];
    switch (mode) {
    case CHILD_DISCARD:
        return null_fd;
    case CHILD_INHERIT:
        return number;
    case CHILD_FD:
        return given;
    case CHILD_COLLECT:
    case CHILD_STREAM:
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -1;
        *ours = ends[0];
        *theirs = ends[1];
        return ends[1];
    }
    return -1;
}

static int stdin_open(const struct child_spec *spec, int null_fd, int *theirs, int *ours)
{
    int ends[2];
    if (!spec->stdin_pipe)
        return spec->stdin_fd >= 0 ? spec->stdin_fd : null_fd;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    *theirs = ends[0];
    *ours = ends[1];
    return ends[0];
}

static struct child *child_new(const struct child_spec *spec)
{
    struct child *c = mem_alloc(sizeof(*c));
    size_t most = spec->output_max ? spec->output_max : OUTPUT_DEFAULT;
    c->stdin_fd = -1;
    c->on_output = spec->on_output;
    c->on_exit = spec->on_exit;
    c->context = spec->context;
    buf_init(&c->stdin_queue, 0);
    for (int i = 0; i < 2; i++) {
        c->output[i] = (struct stream){.child = c, .number = i + 1, .fd = -1};
        c->output[i].mode = i == 0 ? spec->out : spec->error;
        buf_init(&c->output[i].collected, most);
    }
    return c;
}

static int child_launch(struct child *c, const struct child_spec *spec, struct err *err)
{
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO_CLOSE int their_in = -1;
    AUTO_CLOSE int their_out = -1;
    AUTO_CLOSE int their_error = -1;
    struct launch l = {.spec = spec, .count = 3 + (int)spec->fd_count};
    l.env = spec->env ? spec->env : child_base_env();
    l.cwd = spec->cwd ? spec->cwd : "/";
    if (null_fd < 0)
        return FAIL_SYS(err, "cannot open '/dev/null'");
    l.fds[0] = stdin_open(spec, null_fd, &their_in, &c->stdin_fd);
    l.fds[1] = output_open(spec->out, STDOUT_FILENO, spec->stdout_fd, null_fd, &their_out,
                           &c->output[0].fd);
    l.fds[2] = output_open(spec->error, STDERR_FILENO, spec->stderr_fd, null_fd, &their_error,
                           &c->output[1].fd);
    for (int i = 0; i < 3; i++)
        if (l.fds[i] < 0)
            return FAIL_SYS(err, "cannot make the pipes of '%s'", spec->argv[0]);
    for (size_t i = 0; i < spec->fd_count; i++)
        l.fds[3 + i] = spec->fds[i];
    return launch_run(&l, &c->pid, err);
}

static void child_attach(struct child *c, const struct child_spec *spec)
{
    c->next = children;
    children = c;
    for (int i = 0; i < 2; i++)
        if (c->output[i].fd >= 0)
            stream_start(&c->output[i]);
    if (c->stdin_fd >= 0)
        c->stdin_watch = watch_new(c->stdin_fd, stdin_ready, c);
    if (spec->stdin_pipe && spec->stdin_data.data) {
        (void)child_write(c, spec->stdin_data.data, spec->stdin_data.length);
        child_close_stdin(c);
    }
    if (spec->timeout_ms > 0)
        timer_start(&c->timeout, spec->timeout_ms, 0, timed_out, c);
}

int child_start(const struct child_spec *spec, struct child **ret_child, struct err *err)
{
    CHECK_LOOP();
    ASSERT(spec->argv && spec->argv[0] && spec->argv[0][0] == '/');
    ASSERT(spec->fd_count <= CHILD_FDS_MAX);
    ASSERT(!spec->stdin_pipe || spec->stdin_data.length <= STDIN_QUEUE_MAX);
    AUTO(child) *c = child_new(spec);
    reap_prepare();
    if (child_launch(c, spec, err) < 0) {
        if (!children)
            (void)uv_signal_stop(&sigchld); /* never fails */
        return -1;
    }
    child_attach(c, spec);
    if (ret_child)
        *ret_child = c;
    c = NULL; /* the list has it until it is reaped, then its streams and timers */
    return 0;
}

int child_check(const struct child_result *r, const char *what, struct err *err)
{
    struct str rest = str_trim(r->error);
    struct str line = str_trim(str_cut(&rest, '\n'));
    int length = line.length > ERR_TEXT_MAX ? ERR_TEXT_MAX : (int)line.length;
    const char *gap = length ? ": " : "";
    const char *text = length ? line.data : "";
    if (r->exit_code == 0)
        return 0;
    if (r->timed_out)
        return FAIL(err, E_TIMEOUT, "%s took too long and was killed", what);
    if (r->exit_code > 0)
        return FAIL(err, E_SYSTEM, "%s exited %d%s%.*s", what, r->exit_code, gap, length, text);
    return FAIL(err, E_SYSTEM, "%s was killed by signal %d%s%.*s", what, r->signal, gap, length,
                text);
}
