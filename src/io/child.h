/* Child processes on the loop: an argv array, a fixed environment, named fds, never a shell.
 * The child gets its own session (so that the whole group can be killed), no signal mask, closed
 * fds but those listed, and dies with us only when asked. Loop thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

#define CHILD_FDS_MAX 8
enum child_output {
    CHILD_DISCARD, /* /dev/null */
    CHILD_COLLECT, /* gathered up to output_max, given to on_exit; what is beyond is read and
                      dropped */
    CHILD_STREAM,  /* given to on_output as it comes; child_pause stops reading */
    CHILD_INHERIT, /* ours */
    CHILD_FD,      /* the fd in stdout_fd / stderr_fd */
};
struct child_result {
    int exit_code; /* -1 when it died of a signal */
    int signal;
    bool timed_out;
    struct str out; /* collected; valid during the call */
    struct str error;
};
struct child_spec {
    const char *const *argv; /* argv[0] is an absolute path */
    const char *const *env;  /* NULL: child_base_env() */
    const char *cwd;         /* NULL: "/" */
    int stdin_fd;            /* -1: /dev/null; borrowed */
    bool stdin_pipe;         /* true: write with child_write, close with child_close_stdin */
    struct str
        stdin_data; /* with stdin_pipe: written at once, then closed (copied); data NULL: none */
    enum child_output out;
    int stdout_fd; /* with CHILD_FD; borrowed */
    enum child_output error;
    int stderr_fd;
    int fds[CHILD_FDS_MAX]; /* become fd 3, 4, ... in the child; borrowed */
    size_t fd_count;
    uid_t uid; /* 0: unchanged; otherwise uid, gid set and supplementary groups dropped */
    gid_t gid;
    int group_fd; /* a folder of cgroup v2 that the child is born in (moving it there later costs
                     the kernel a grace period); 0, or a group that cannot take it: ours. Borrowed
                   */
    int (*narrow)(const void *context); /* runs in the child first of all: async-signal-safe calls
                                           only; -1 with errno fails the start. NULL: none */
    const void *narrow_context;
    size_t output_max;  /* of each collected stream; 0: 64 KiB */
    int64_t timeout_ms; /* 0: none; afterwards SIGKILL to the group and result.timed_out */
    void (*on_output)(void *context, int stream, struct str data); /* stream 1 or 2 */
    void (*on_exit)(
        void *context,
        const struct child_result *result); /* exactly once, after all output; may be NULL. A
                                               grandchild that holds the output open is waited for
                                               200 ms after the exit, then the rest is given up */
    void *context;
};
struct child;
/* Start it. The child structure lives until after on_exit; *ret_child may be NULL if the caller
 * needs no handle. On failure (E_SYSTEM: no such program...) nothing was started. */
int child_start(const struct child_spec *spec, struct child **ret_child,
                struct err *err) MUST_CHECK;
void child_kill(struct child *c, int signal); /* the whole process group */
pid_t child_pid(const struct child *c);
void child_pause(struct child *c, bool paused); /* stop or go on reading a streamed output */
/* Queue bytes for its stdin (copied); returns the bytes now queued, for back-pressure. Past 256 MiB
 * the child is killed. */
size_t child_write(struct child *c, const void *data, size_t length);
void child_on_drain(struct child *c, void (*fn)(void *context),
                    void *context); /* the queue is empty again: only after child_write left
                                       something in it */
void child_close_stdin(struct child *c);
/* Forget the caller's callbacks: the child is killed and reaped in silence. */
void child_abandon(struct child *c);
/* PATH of Debian's system folders, LANG=C.UTF-8, nothing else. */
const char *const *child_base_env(void);
/* An error from a result: 0 when exit code 0, E_TIMEOUT when it timed out, otherwise E_SYSTEM
 * ("git exited 128: <first line of stderr>"). */
int child_check(const struct child_result *r, const char *what, struct err *err) MUST_CHECK;
