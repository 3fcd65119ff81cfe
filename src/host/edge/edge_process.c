/* See edge_process.h.
 *
 * A configuration of HAProxy can run Lua in the process that loads it: it is never loaded as root,
 * not for a check either. setpriv gives it an empty bounding set but for binding low ports, and no
 * way to new privileges. */
#include "host/edge/edge_process.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/fault.h"
#include "base/file.h"
#include "host/sandbox/sandbox.h"
#include "io/child.h"
#include "io/loop.h"

#define HAPROXY "/usr/sbin/haproxy"
#define SETPRIV "/usr/bin/setpriv"
#define CHECK_MS 20000
#define LEAVE_MAX 64
#define EDGE_WEIGHT 1000 /* ten times an app-env's: every request of all of them passes here */

/* The line "Uid: 998 998 ..." of /proc/PID/status names this user. */
static bool process_is_users(pid_t pid, uid_t uid)
{
    AUTO_BUF status = BUF_INIT(0);
    AUTO_FREE char *path = mem_format("/proc/%d/status", (int)pid);
    AUTO_FREE char *wanted = mem_format("\nUid:\t%u\t%u\t", uid, uid);
    struct err ignored = ERR_INIT; /* it may just have ended */
    if (file_read(path, 16384, &status, &ignored) < 0 || !status.data)
        return false;
    return strstr(status.data, wanted) != NULL;
}

/* Its program is that and one of its arguments our configuration. */
static bool process_has_config(pid_t pid, const char *program, const char *config)
{
    AUTO_BUF line = BUF_INIT(0);
    AUTO_FREE char *path = mem_format("/proc/%d/cmdline", (int)pid);
    struct err ignored = ERR_INIT;
    if (file_read(path, 65536, &line, &ignored) < 0 || line.length == 0)
        return false;
    struct str rest = buf_str(&line);
    if (!str_ends(str_cut(&rest, '\0'), program))
        return false;
    while (rest.data)
        if (str_is(str_cut(&rest, '\0'), config))
            return true;
    return false;
}

static bool process_is_ours(const struct edge_paths *paths, uid_t uid, pid_t pid)
{
    return process_is_users(pid, uid) && process_has_config(pid, "haproxy", paths->config);
}

static bool process_becomes_ours(const struct edge_paths *paths, pid_t pid)
{
    return process_has_config(pid, "setpriv", paths->config);
}

static void process_ended(void *context, int events)
{
    struct edge_process *p = context;
    (void)events;
    p->on_exit(p->context, p);
}

struct edge_process *edge_process_open(const struct edge_paths *paths, uid_t uid, pid_t pid,
                                       void (*on_exit)(void *context, struct edge_process *p),
                                       void *context)
{
    AUTO_CLOSE int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0 || !process_is_ours(paths, uid, pid)) /* asked after the number was pinned */
        return NULL;
    struct edge_process *p = mem_alloc(sizeof(*p));
    *p = (struct edge_process){.pid = pid, .pidfd = TAKE_FD(pidfd), .on_exit = on_exit};
    p->context = context;
    p->watch = watch_new(p->pidfd, process_ended, p);
    watch_set(p->watch, WATCH_READ);
    return p;
}

void edge_process_free(struct edge_process *p)
{
    if (!p)
        return;
    watch_free(p->watch);
    fd_closep(&p->pidfd);
    free(p);
}

size_t edge_process_scan(const struct edge_paths *paths, uid_t uid, bool coming, pid_t *pids,
                         size_t max)
{
    struct err ignored = ERR_INIT;
    struct dirent *entry;
    size_t count = 0;
    DIR *folder = opendir("/proc");
    if (!folder)
        return 0;
    while (count < max && (entry = readdir(folder))) {
        int64_t pid;
        if (str_to_int(str_of(entry->d_name), 2, INT32_MAX, "pid", &pid, &ignored) < 0)
            continue;
        if (process_is_ours(paths, uid, (pid_t)pid) ||
            (coming && process_becomes_ours(paths, (pid_t)pid)))
            pids[count++] = (pid_t)pid;
    }
    (void)closedir(folder);
    return count;
}

pid_t edge_process_read_pid(const struct edge_paths *paths)
{
    AUTO_BUF text = BUF_INIT(0);
    struct err ignored = ERR_INIT;
    struct stat info;
    int64_t pid;
    /* The edge's own file: it may have made anything of it. */
    AUTO_CLOSE int fd = open(paths->pid, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) ||
        file_read_fd(fd, 64, &text, &ignored) < 0)
        return -1;
    struct str rest = buf_str(&text);
    struct str line = str_cut(&rest, '\n');
    return str_to_int(line, 2, INT32_MAX, "pid", &pid, &ignored) < 0 ? -1 : (pid_t)pid;
}

int64_t edge_process_since(const struct edge_paths *paths)
{
    struct stat info;
    if (lstat(paths->pid, &info) < 0)
        return 0;
    return (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
}

/* Starting. */

struct words { /* an argv in the making */
    const char *items[32 + LEAVE_MAX];
    size_t count;
};

static void word(struct words *w, const char *text)
{
    w->items[w->count++] = text;
}

static void words_of_user(struct words *w, const char *uid, const char *gid)
{
    const char *const all[] = {SETPRIV,
                               "--reuid",
                               uid,
                               "--regid",
                               gid,
                               "--clear-groups",
                               "--inh-caps=-all,+net_bind_service",
                               "--ambient-caps=-all,+net_bind_service",
                               "--bounding-set=-all,+net_bind_service",
                               "--no-new-privs",
                               "--",
                               HAPROXY};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        word(w, all[i]);
}

static void words_of_start(struct words *w, const struct edge_launch *l)
{
    const char *const start[] = {"-D", "-f", l->paths->config, "-p", l->paths->pid};
    for (size_t i = 0; i < ARRAY_SIZE(start); i++)
        word(w, start[i]);
    if (l->kind == EDGE_LAUNCH_RELOAD) {
        word(w, "-x");
        word(w, l->paths->handover);
    }
}

static int launch_words(const struct edge_launch *l, struct words *w, char pids[LEAVE_MAX][16],
                        struct err *err)
{
    AUTO_CLOSE int group = sandbox_group_beside("edge", EDGE_WEIGHT);
    struct child_spec spec = {.argv = w->items,
                              .stdin_fd = -1,
                              .out = CHILD_COLLECT,
                              .error = CHILD_COLLECT,
                              .timeout_ms = CHECK_MS,
                              .group_fd = group,
                              .on_exit = l->on_exit,
                              .context = l->context};
    size_t leave = l->leave_count < LEAVE_MAX ? l->leave_count : LEAVE_MAX;
    if (l->kind == EDGE_LAUNCH_CHECK) {
        word(w, "-c");
        word(w, "-f");
        word(w, l->paths->config_next);
    } else {
        words_of_start(w, l);
        if (leave > 0)
            word(w, "-sf");
        for (size_t i = 0; i < leave; i++) {
            (void)snprintf(pids[i], sizeof(pids[i]), "%d", (int)l->leave[i]);
            word(w, pids[i]);
        }
    }
    return child_start(&spec, NULL, err);
}

int edge_launch(const struct edge_launch *l, struct err *err)
{
    struct words w = {.count = 0};
    char pids[LEAVE_MAX][16];
    AUTO_FREE char *uid = mem_format("%u", l->uid);
    AUTO_FREE char *gid = mem_format("%u", l->gid);
    words_of_user(&w, uid, gid);
    FAULT("edge.launch");
    return launch_words(l, &w, pids, err);
}
