/* A build step: crun create, wire, start, wait, drain, delete.
 *
 * `crun create` is our child and ends at once; the container's first process then becomes ours too
 * (we are a subreaper), so its pidfd tells its end and waitid its exit code. The output pipes go to
 * crun and from there to the step; they reach EOF when the last process of the pid namespace is
 * gone. Order at the end: exit seen, pipes drained (a paused one is waited for), container deleted,
 * on_exit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/network/network.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"

#define CREATE_MS 30000
#define GRACE_MS 2000 /* for a pipe that stays open after the last process */
#define CHUNK (64u << 10)

struct pipe_end {
    struct sandbox_run *run;
    int stream;
    int fd; /* -1: at its end */
    struct watch *watch;
};
struct sandbox_run {
    struct sandbox_run *other; /* list of all */
    char *name;
    char *cgroup;
    char *folder;
    uint32_t address; /* 0: no network */
    struct pipe_end pipes[2];
    int pid_fd;
    struct watch *pid_watch;
    struct timer *timeout;
    struct timer *grace;
    bool paused;
    bool killed;
    bool ended; /* the process is gone, or never was */
    bool deleting;
    struct sandbox_run_result result;
    void (*on_output)(void *context, int stream, struct str data);
    void (*on_exit)(void *context, const struct sandbox_run_result *result);
    void *context;
};

static struct sandbox_run *runs;

bool sandbox_runs_in(const char *cgroup)
{
    for (const struct sandbox_run *run = runs; run; run = run->other)
        if (text_is(run->cgroup, cgroup))
            return true;
    return false;
}

static void pipe_close(struct pipe_end *p)
{
    watch_free(TAKE(p->watch));
    fd_closep(&p->fd);
    p->fd = -1;
}

static void sandbox_run_free(struct sandbox_run *run)
{
    if (!run)
        return;
    for (struct sandbox_run **link = &runs; *link; link = &(*link)->other)
        if (*link == run) {
            *link = run->other;
            break;
        }
    for (int i = 0; i < 2; i++)
        pipe_close(&run->pipes[i]);
    watch_free(run->pid_watch);
    fd_closep(&run->pid_fd);
    timer_free(&run->timeout);
    timer_free(&run->grace);
    network_release(run->address);
    free(run->name);
    free(run->cgroup);
    free(run->folder);
    free(run);
}
DEFINE_AUTO(sandbox_run)

static void run_deleted(void *context)
{
    AUTO(sandbox_run) *run = context;
    run->on_exit(run->context, &run->result);
}

static void run_settle(struct sandbox_run *run)
{
    struct sandbox_hits hits;
    if (!run->ended || run->deleting || run->pipes[0].fd >= 0 || run->pipes[1].fd >= 0)
        return;
    run->deleting = true;
    timer_free(&run->timeout);
    timer_free(&run->grace);
    sandbox_hits(run->cgroup, &hits);
    run->result.oom = hits.oom > 0;
    run->result.pids_hit = hits.pids > 0;
    sandbox_delete(run->name, run->cgroup, run_deleted, run);
}

static void grace_over(void *context)
{
    struct sandbox_run *run = context;
    if (run->paused) {
        timer_start(&run->grace, GRACE_MS, 0, grace_over, run);
        return;
    }
    for (int i = 0; i < 2; i++)
        pipe_close(&run->pipes[i]);
    run_settle(run);
}

static void run_ended(struct sandbox_run *run, int exit_code)
{
    run->ended = true;
    run->result.exit_code = exit_code;
    timer_start(&run->grace, GRACE_MS, 0, grace_over, run);
    run_settle(run);
}

static void pipe_ready(void *context, int events)
{
    static char chunk[CHUNK]; /* loop thread */
    struct pipe_end *p = context;
    struct sandbox_run *run = p->run;
    (void)events;
    for (int i = 0; i < 4 && p->fd >= 0 && !run->paused; i++) {
        ssize_t count = read(p->fd, chunk, sizeof(chunk));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            break;
        if (count <= 0)
            pipe_close(p);
        else if (run->on_output)
            run->on_output(run->context, p->stream, (struct str){chunk, (size_t)count});
    }
    run_settle(run);
}

static void process_gone(void *context, int events)
{
    struct sandbox_run *run = context;
    siginfo_t info = {0};
    int code = -1;
    (void)events;
    if (waitid(P_PIDFD, (id_t)run->pid_fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0)
        code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    watch_free(TAKE(run->pid_watch));
    run_ended(run, code);
}

/* The container waits: find its process, wire it, let it go. */
static int run_go(struct sandbox_run *run, struct err *err)
{
    AUTO_BUF text = BUF_INIT(64);
    AUTO_FREE char *path = mem_format("%s/pid", run->folder);
    int64_t pid;
    if (file_read(path, 64, &text, err) < 0 ||
        str_to_int(str_trim(buf_str(&text)), 2, INT32_MAX, "pid", &pid, err) < 0)
        return -1;
    run->pid_fd = pidfd_open((pid_t)pid, 0);
    if (run->pid_fd < 0)
        return FAIL_SYS(err, "cannot watch container '%s'", run->name);
    if (run->address ? network_attach((pid_t)pid, run->address, err) < 0
                     : network_attach_lo((pid_t)pid, err) < 0)
        return -1;
    if (sandbox_start(run->name, err) < 0)
        return -1;
    run->pid_watch = watch_new(run->pid_fd, process_gone, run);
    watch_set(run->pid_watch, WATCH_READ);
    return 0;
}

static void run_tell(struct sandbox_run *run, const struct err *error)
{
    AUTO_FREE char *line = mem_format("slipway: %s\n", error->text);
    if (run->on_output)
        run->on_output(run->context, 2, str_of(line));
}

static void create_exited(void *context, const struct child_result *result)
{
    struct sandbox_run *run = context;
    struct err err = ERR_INIT;
    FAULT("sandbox.created");
    if (run->killed) { /* before there was anything to kill */
        sandbox_cgroup_kill(run->cgroup);
        run_ended(run, 128 + SIGKILL);
        return;
    }
    if (child_check(result, "crun create", &err) < 0 || run_go(run, &err) < 0) {
        log_warn("cannot start a build step, failing it", F_STR("container", run->name),
                 F_ERR(&err));
        run_tell(run, &err);
        sandbox_cgroup_kill(run->cgroup);
        run_ended(run, 125);
    }
}

static void run_timed_out(void *context)
{
    struct sandbox_run *run = context;
    run->result.timed_out = true;
    sandbox_run_kill(run);
}

void sandbox_run_kill(struct sandbox_run *run)
{
    CHECK_LOOP();
    run->killed = true;
    sandbox_cgroup_kill(run->cgroup); /* while crun creates: create_exited does it again */
}

void sandbox_run_pause_output(struct sandbox_run *run, bool paused)
{
    run->paused = paused;
    for (int i = 0; i < 2; i++)
        if (run->pipes[i].watch)
            watch_set(run->pipes[i].watch, paused ? 0 : WATCH_READ);
}

static int run_create(struct sandbox_run *run, struct err *err)
{
    AUTO_FREE char *pid_file = mem_format("%s/pid", run->folder);
    const char *argv[] = {
        sandbox_paths.binary, "--root",     sandbox_paths.crun, "create",  "--bundle",
        run->folder,          "--pid-file", pid_file,           run->name, NULL};
    int ends[2][2] = {{-1, -1}, {-1, -1}};
    int input[2];
    if (pipe2(input, O_CLOEXEC) < 0)
        return FAIL_SYS(err, "cannot make a pipe");
    (void)close(input[1]); /* the step reads EOF; a pipe, because crun chowns what it is given */
    AUTO_CLOSE int in = input[0];
    for (int i = 0; i < 2; i++) {
        if (pipe2(ends[i], O_CLOEXEC) < 0 || fcntl(ends[i][0], F_SETFL, O_NONBLOCK) < 0)
            return FAIL_SYS(err, "cannot make a pipe"); /* out of fds: the loop will not go on */
        run->pipes[i].fd = ends[i][0];
    }
    AUTO_CLOSE int out = ends[0][1];
    AUTO_CLOSE int error = ends[1][1];
    struct child_spec spec = {.argv = argv,
                              .env = sandbox_crun_env(),
                              .stdin_fd = in,
                              .out = CHILD_FD,
                              .stdout_fd = out,
                              .error = CHILD_FD,
                              .stderr_fd = error,
                              .timeout_ms = CREATE_MS,
                              .on_exit = create_exited,
                              .context = run};
    (void)unlink(pid_file); /* of the step before */
    FAULT("sandbox.create");
    return child_start(&spec, NULL, err);
}

int sandbox_run(const struct sandbox_spec *spec, int64_t timeout_ms,
                void (*on_output)(void *context, int stream, struct str data),
                void (*on_exit)(void *context, const struct sandbox_run_result *result),
                void *context, struct sandbox_run **ret_run, struct err *err)
{
    CHECK_LOOP();
    ASSERT(on_exit);
    AUTO(sandbox_run) *run = mem_alloc(sizeof(*run));
    *run = (struct sandbox_run){.name = mem_strdup(spec->name),
                                .cgroup = mem_strdup(spec->cgroup),
                                .folder = mem_strdup(spec->folder),
                                .pid_fd = -1,
                                .on_output = on_output,
                                .on_exit = on_exit,
                                .context = context};
    for (int i = 0; i < 2; i++)
        run->pipes[i] = (struct pipe_end){.run = run, .stream = i + 1, .fd = -1};
    if (sandbox_prepare(spec, err) < 0)
        return -1;
    if (spec->network && network_take(NETWORK_BUILD, &run->address, err) < 0)
        return -1;
    if (run_create(run, err) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        run->pipes[i].watch = watch_new(run->pipes[i].fd, pipe_ready, &run->pipes[i]);
        watch_set(run->pipes[i].watch, WATCH_READ);
    }
    if (timeout_ms > 0)
        timer_start(&run->timeout, timeout_ms, 0, run_timed_out, run);
    if (ret_run)
        *ret_run = run;
    run->other = runs;
    runs = TAKE(run);
    return 0;
}
