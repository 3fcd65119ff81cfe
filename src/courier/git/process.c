/* Blocking git calls on pool threads: see process.h.
 *
 * posix_spawn (vfork inside) from a narrowed thread (confine.h), with its own session, default
 * signals and only three fds; all fds of the courier are close-on-exec. */
#include "courier/git/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/check.h"
#include "base/time.h"
#include "courier/git/confine.h"

#define COMPLAINT_MAX 2000 /* bytes of what it says that are looked at */
#define READ_SIZE 65536
#define GIT_DEADLINE_MS 120000 /* of git_capture */
#define PROGRESS_MS 500

struct git_process {
    pid_t pid;        /* 0: reaped */
    int input;        /* -1: closed */
    int output;       /* -1: closed */
    int complain;     /* the memory file of its standard error */
    int64_t deadline; /* monotonic */
    const char *verb;
    struct git_progress *progress; /* of the call; NULL: nobody asks */
    struct buf read;               /* bytes not yet given out start at `at` */
    size_t at;
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

struct start {
    struct git_process *process;
    const struct git_call *call;
    const posix_spawn_file_actions_t *files;
    const posix_spawnattr_t *attributes;
    int failure; /* errno; 0: it runs */
};

/* A thread narrows itself for good: one of its own for each child, which inherits it. (A fork could
 * narrow itself, but costs a copy of our page tables.) */
static void *narrow_and_start(void *context)
{
    struct start *s = context;
    if (confine_enter(s->call->ruleset, s->call->outside ? CONFINE_NETWORK : CONFINE_NO_SOCKETS) <
        0)
        s->failure = errno;
    else
        s->failure =
            posix_spawn(&s->process->pid, s->call->argv.items[0], s->files, s->attributes,
                        (char *const *)s->call->argv.items, (char *const *)s->call->env.items);
    return NULL;
}

static void start_narrowed(struct start *s)
{
    pthread_t thread;
    s->failure = pthread_create(&thread, NULL, narrow_and_start, s);
    if (s->failure == 0)
        (void)pthread_join(thread, NULL); /* it is there, and not us */
}

static int spawn(struct git_process *p, const struct git_call *call, int in, int out,
                 struct err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, some;
    sigemptyset(&none);
    sigemptyset(&some);
    sigaddset(&some, SIGPIPE);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGINT);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, p->complain, 2);
    posix_spawn_file_actions_addchdir_np(&files, "/");
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &some);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    struct start start = {p, call, &files, &attributes, 0};
    start_narrowed(&start);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (start.failure == 0)
        return 0;
    errno = start.failure;
    p->pid = 0;
    return FAIL_SYS(err, "cannot start 'git %s'", call->verb);
}

static int make_pipes(struct git_process *p, int *child_in, int *child_out, struct err *err)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return FAIL_SYS(err, "cannot make a pipe");
    *child_in = in[0];
    p->input = in[1];
    if (pipe2(out, O_CLOEXEC) < 0)
        return FAIL_SYS(err, "cannot make a pipe");
    p->output = out[0];
    *child_out = out[1];
    p->complain = memfd_create("git-stderr", MFD_CLOEXEC);
    if (p->complain < 0)
        return FAIL_SYS(err, "cannot make a memory file");
    if (fcntl(p->input, F_SETFL, O_NONBLOCK) < 0 || fcntl(p->output, F_SETFL, O_NONBLOCK) < 0)
        return FAIL_SYS(err, "cannot set up a pipe");
    return 0;
}

int git_process_start(struct git_call *call, int64_t deadline_ms, struct git_process **ret_process,
                      struct err *err)
{
    AUTO(git_process) *p = mem_alloc(sizeof(*p));
    AUTO_CLOSE int child_in = -1;
    AUTO_CLOSE int child_out = -1;
    p->input = p->output = p->complain = -1;
    p->deadline = now_ms() + deadline_ms;
    p->verb = call->verb;
    p->progress = call->progress;
    if (git_confine(call, err) < 0 || make_pipes(p, &child_in, &child_out, err) < 0)
        return -1;
    if (spawn(p, call, child_in, child_out, err) < 0)
        return -1;
    git_limit(p->pid, call);
    *ret_process = TAKE(p);
    return 0;
}

void git_process_free(struct git_process *p)
{
    if (!p)
        return;
    fd_closep(&p->input);
    fd_closep(&p->output);
    if (p->pid > 0) {
        (void)kill(-p->pid, SIGKILL); /* it may be gone already */
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    fd_closep(&p->complain);
    buf_done(&p->read);
    free(p);
}

/* The last `size` bytes of what it has said. */
static struct str complaint_end(const struct git_process *p, char *bytes, size_t size)
{
    struct stat there; /* git's own place in the file stays as it is */
    off_t end = fstat(p->complain, &there) == 0 ? there.st_size : 0;
    off_t begin = end > (off_t)size ? end - (off_t)size : 0;
    ssize_t n = pread(p->complain, bytes, size, begin);
    return (struct str){bytes, n > 0 ? (size_t)n : 0};
}

static void look_how_far(const struct git_process *p)
{
    char bytes[COMPLAINT_MAX];
    git_progress_take(p->progress, complaint_end(p, bytes, sizeof(bytes)));
}

/* Wait for the events on the pipes given (-1: not wanted). */
static int await(struct git_process *p, int in, int out, struct err *err)
{
    struct pollfd fds[2] = {{.fd = in, .events = POLLOUT}, {.fd = out, .events = POLLIN}};
    for (;;) {
        int64_t left = p->deadline - now_ms();
        if (left <= 0)
            return FAIL(err, E_TIMEOUT, "'git %s' took too long", p->verb);
        int64_t most = p->progress ? PROGRESS_MS : 60000;
        int n = poll(fds, 2, left > most ? (int)most : (int)left);
        if (p->progress)
            look_how_far(p);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return FAIL_SYS(err, "cannot wait for 'git %s'", p->verb);
    }
}

/* One write; EPIPE (git ended early) counts as written: its exit code will tell. */
static ssize_t write_some(struct git_process *p, struct str data, struct err *err)
{
    ssize_t n = write(p->input, data.data, data.length);
    if (n >= 0)
        return n;
    if (errno == EPIPE)
        return (ssize_t)data.length;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return FAIL_SYS(err, "cannot write to 'git %s'", p->verb);
}

int git_process_write(struct git_process *p, struct str data, struct err *err)
{
    while (data.length > 0) {
        ssize_t n = write_some(p, data, err);
        if (n < 0)
            return -1;
        data.data += n;
        data.length -= (size_t)n;
        if (n == 0 && await(p, p->input, -1, err) < 0)
            return -1;
    }
    return 0;
}

void git_process_close_input(struct git_process *p)
{
    fd_closep(&p->input);
    p->input = -1;
}

/* Append what is there to p->read. 1 at the end of the output, 0 when something came or nothing is
 * there now. */
static int fill_now(struct git_process *p, struct err *err)
{
    char piece[READ_SIZE];
    ssize_t n = read(p->output, piece, sizeof(piece));
    if (n == 0)
        return GIT_PROCESS_END;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return FAIL_SYS(err, "cannot read from 'git %s'", p->verb);
    if (n > 0)
        (void)buf_add(&p->read, piece, (size_t)n); /* no ceiling: bounded by the readers below */
    return 0;
}

static int fill(struct git_process *p, struct err *err)
{
    if (p->at > 0) {
        buf_consume(&p->read, p->at);
        p->at = 0;
    }
    size_t before = p->read.length;
    for (;;) {
        int r = fill_now(p, err);
        if (r != 0 || p->read.length > before)
            return r;
        if (await(p, -1, p->output, err) < 0)
            return -1;
    }
}

int git_process_until(struct git_process *p, char end, size_t max, struct str *ret_text,
                      struct err *err)
{
    size_t seen = 0;
    for (;;) {
        const char *start = p->read.data + p->at;
        size_t there = p->read.length - p->at;
        const char *found = there > seen ? memchr(start + seen, end, there - seen) : NULL;
        if (found) {
            *ret_text = (struct str){start, (size_t)(found - start)};
            p->at += ret_text->length + 1;
            return 0;
        }
        if (there > max)
            return FAIL(err, E_TOO_LARGE, "an answer of 'git %s' is too long", p->verb);
        seen = there;
        int r = fill(p, err);
        if (r == GIT_PROCESS_END && there == 0)
            return GIT_PROCESS_END;
        if (r == GIT_PROCESS_END)
            return FAIL(err, E_CORRUPT, "'git %s' ended within an answer", p->verb);
        if (r < 0)
            return -1;
    }
}

int git_process_some(struct git_process *p, size_t max, struct str *ret_data, struct err *err)
{
    if (p->at == p->read.length) {
        int r = fill(p, err);
        if (r == GIT_PROCESS_END)
            return FAIL(err, E_CORRUPT, "'git %s' ended within an answer", p->verb);
        if (r < 0)
            return -1;
    }
    size_t there = p->read.length - p->at;
    *ret_data = (struct str){p->read.data + p->at, there < max ? there : max};
    p->at += ret_data->length;
    return 0;
}

static bool has_letter(struct str line)
{
    for (size_t i = 0; i < line.length; i++)
        if ((line.data[i] | 0x20) >= 'a' && (line.data[i] | 0x20) <= 'z')
            return true;
    return false;
}

/* Something at all: ssh frames its warnings. Who tells how far it is says much else. */
static bool says_why(const struct git_process *p, struct str line)
{
    if (p->progress)
        return str_starts(line, "fatal:") || str_starts(line, "error:");
    return has_letter(line);
}

/* The first line that says why: of all, or of the end of what tells how far it is. */
static void outcome_text(struct git_process *p, struct git_outcome *outcome)
{
    char text[COMPLAINT_MAX];
    ssize_t n = pread(p->complain, text, sizeof(text), 0);
    struct str rest = {text, n > 0 ? (size_t)n : 0}, line = {0};
    if (p->progress)
        rest = complaint_end(p, text, sizeof(text));
    while (rest.length > 0 && !says_why(p, line))
        line = str_cut(&rest, '\n');
    if (str_ends(line, "\r"))
        line.length--;
    (void)snprintf(outcome->text, sizeof(outcome->text), "%.*s", (int)line.length,
                   line.length ? line.data : "");
}

/* Its pipes are closed: it ends at once, or is stuck and will be killed by git_process_free. */
static int reap(struct git_process *p, int *ret_status, struct err *err)
{
    AUTO_CLOSE int handle = pidfd_open(p->pid, 0);
    if (handle < 0)
        return FAIL_SYS(err, "cannot watch 'git %s'", p->verb);
    if (await(p, -1, handle, err) < 0)
        return -1;
    while (waitpid(p->pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return FAIL_SYS(err, "cannot reap 'git %s'", p->verb);
    p->pid = 0;
    return 0;
}

int git_process_wait(struct git_process *p, struct git_outcome *ret_outcome, struct err *err)
{
    int status;
    git_process_close_input(p);
    fd_closep(&p->output);
    p->output = -1;
    if (reap(p, &status, err) < 0)
        return -1;
    *ret_outcome = (struct git_outcome){
        .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
    };
    outcome_text(p, ret_outcome);
    return 0;
}

/* Move bytes both ways until the output ends. */
static int exchange(struct git_process *p, struct str input, struct buf *out, struct err *err)
{
    for (;;) {
        if (input.length == 0 && p->input >= 0)
            git_process_close_input(p);
        if (await(p, p->input, p->output, err) < 0)
            return -1;
        int r = fill_now(p, err);
        if (r != 0)
            return r < 0 ? -1 : 0;
        if (out && p->read.length > 0 && buf_add(out, p->read.data, p->read.length) < 0)
            return FAIL(err, E_TOO_LARGE, "the answer of 'git %s' is too large", p->verb);
        buf_clear(&p->read);
        ssize_t n = p->input >= 0 ? write_some(p, input, err) : 0;
        if (n < 0)
            return -1;
        input.data += n;
        input.length -= (size_t)n;
    }
}

int git_capture(struct git_call *call, struct str input, struct buf *out,
                struct git_outcome *ret_outcome, struct err *err)
{
    AUTO(git_process) *p = NULL;
    if (git_process_start(call, call->deadline_ms ? call->deadline_ms : GIT_DEADLINE_MS, &p, err) <
        0)
        return -1;
    if (exchange(p, input, out, err) < 0)
        return -1;
    return git_process_wait(p, ret_outcome, err);
}

int git_outcome_check(const struct git_call *call, const struct git_outcome *outcome,
                      struct err *err)
{
    if (outcome->exit_code == 0)
        return 0;
    if (outcome->exit_code < 0)
        return FAIL(err, E_SYSTEM, "'git %s' died of signal %d", call->verb, outcome->signal);
    return FAIL(err, E_SYSTEM, "'git %s' exited %d: %s", call->verb, outcome->exit_code,
                outcome->text);
}

int git_run(struct git_call *call, struct str input, struct buf *out, struct err *err)
{
    struct git_outcome outcome;
    if (git_capture(call, input, out, &outcome, err) < 0)
        return -1;
    return git_outcome_check(call, &outcome, err);
}
