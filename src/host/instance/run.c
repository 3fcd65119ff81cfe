/* The container of an instance: creation by conmon and crun, its watch, its end.
 *
 * Creation never blocks: conmon's first process returns at once, the container's pid arrives on the
 * sync channel when crun has made it. Then, all by system calls of our own: veth into its network
 * namespace, one byte into exec.fifo, probe. The sync channel is a named fifo opened for reading
 * and writing, because conmon must survive our death while it waits to write there. conmon's stdin
 * option gives the app a pipe: crun would chown the machine's /dev/null to the app.
 *
 * The end of conmon is the end of the instance (its exit file says how); conmon killed means that
 * nobody watches the app: it is killed and replaced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/instance/instance_priv.h"
#include "host/network/network.h"
#include "host/probe/probe.h"

#define CREATE_MS 30000
#define SYNC_MAX 4096
#define TAIL_BYTES 4096
#define MAKING_NICE (-10)
#define MONITORS_WEIGHT 1000 /* in their group containers are made */
#define STARTING_WEIGHT 125  /* of the processor, until it is ready for the first time: see 0027 */

void run_let_go(struct instance *i)
{
    watch_free(TAKE(i->conmon_watch));
    watch_free(TAKE(i->sync_watch));
    timer_free(&i->create_timer);
    timer_free(&i->hung);
    fd_closep(&i->conmon_fd);
    fd_closep(&i->pid_fd);
    fd_closep(&i->sync_fd);
    i->conmon_fd = i->pid_fd = i->sync_fd = -1;
    child_abandon(TAKE(i->front));
    free(TAKE(i->told));
    i->pid = i->conmon_pid = 0;
}

/* What people may read of its end. */

char *run_last_line(const struct instance *i)
{
    AUTO_FREE char *path = mem_format("%s/output.log", i->folder);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char tail[TAIL_BYTES + 1];
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t count = size > 0 ? pread(fd, tail, TAIL_BYTES, from) : 0;
    struct str rest = {tail, count > 0 ? (size_t)count : 0};
    struct str last = {"", 0};
    while (rest.data) { /* "TIME stdout|stderr F|P text" */
        struct str line = str_cut(&rest, '\n');
        for (int word = 0; word < 3 && line.data; word++)
            (void)str_cut(&line, ' ');
        if (line.data && str_trim(line).length > 0)
            last = line;
    }
    if (last.length > 160)
        last.length = 160;
    return str_dup(last);
}

static char *end_text(const struct instance *i, int code, const struct sandbox_hits *hits)
{
    AUTO_FREE char *line = run_last_line(i);
    const char *before = *line ? ": " : "";
    if (hits->oom > 0)
        return mem_format("killed: over its memory limit of %lld bytes%s%s",
                          (long long)json_int(i->spec, "memory", 0), before, line);
    if (code > 128 && code < 193)
        return mem_format("killed by signal %d%s%s", code - 128, before, line);
    return mem_format("exited with code %d%s%s%s", code,
                      hits->pids > 0 ? " (its limit of processes was hit)" : "", before, line);
}

/* The end of a container, or of an attempt to make one. */

static void run_again(void *context)
{
    struct instance *i = context;
    if (instance_event(i, INSTANCE_AGAIN))
        run_create(i);
}

static void run_deleted(void *context)
{
    struct instance *i = context;
    i->removing = false;
    if (i->state == INSTANCE_STOPPING)
        stop_gone(i);
    else if (i->state == INSTANCE_CREATING)
        run_create(i);
    else
        timer_start(&i->wait, i->restart.delay_ms, 0, run_again, i);
}

static void run_restart(struct instance *i, const char *text)
{
    instance_tell_ready(i, false);
    int64_t now = clock_mono_ms(clock_system());
    bool loop;
    int64_t delay = restart_after(&i->restart, now, i->up_since ? now - i->up_since : 0, &loop);
    log_warn("instance ended, starting it again", F_STR("instance", i->name), F_STR("how", text),
             F_INT("in_ms", delay), F_INT("restarts", i->restart.count));
    if (instance_event(i, loop ? INSTANCE_LOOPED : INSTANCE_EXITED))
        instance_notice(i, text);
    i->removing = true;
    sandbox_delete(i->name, i->cgroup, run_deleted, i);
}

/* No process is left, or it never ran: `error` says how. */
static void run_over(struct instance *i, const struct err *error)
{
    probe_forget(i->name);
    run_let_go(i);
    if (i->state == INSTANCE_STOPPING) {
        stop_gone(i);
    } else if (i->ever_ready) {
        run_restart(i, error->text);
    } else { /* a start that failed leaves nothing */
        log_warn("instance did not start, removing it", F_STR("instance", i->name), F_ERR(error));
        instance_fail_start(i, error);
        if (instance_event(i, INSTANCE_STOP))
            stop_gone(i);
    }
}

static int exit_file(const struct instance *i, int *ret_code)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(64);
    AUTO_FREE char *path = mem_format("%s/exit/%s", i->folder, i->name);
    int64_t code;
    if (file_read(path, 64, &text, &err) < 0 ||
        str_to_int(str_trim(buf_str(&text)), -1, 255, "exit code", &code, &err) < 0)
        return -1;
    *ret_code = (int)code;
    return 0;
}

static void conmon_gone(void *context, int events)
{
    struct instance *i = context;
    struct err err = ERR_INIT;
    struct sandbox_hits hits;
    siginfo_t info = {0};
    (void)events;
    FAULT("instance.exited");
    (void)waitid(P_PIDFD, (id_t)i->conmon_fd, &info, WEXITED | WNOHANG); /* ours or adopted */
    sandbox_hits(i->cgroup, &hits);
    if (exit_file(i, &i->exit_code) < 0) {
        sandbox_cgroup_kill(i->cgroup);
        i->exit_code = -1;
        (void)FAIL(&err, E_INSTANCE_EXITED, "instance '%s' was killed: its monitor ended", i->name);
    } else {
        AUTO_FREE char *text = end_text(i, i->exit_code, &hits);
        (void)FAIL(&err, E_INSTANCE_EXITED, "instance '%s' %s", i->name, text);
    }
    run_over(i, &err);
}

/* Watching what runs. */

static int64_t pid_file(const struct instance *i, const char *name)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(64);
    AUTO_FREE char *path = mem_format("%s/%s", i->folder, name);
    int64_t pid;
    if (file_read(path, 64, &text, &err) < 0 ||
        str_to_int(str_trim(buf_str(&text)), 2, INT32_MAX, "pid", &pid, &err) < 0)
        return 0;
    return pid;
}

static int run_watch(struct instance *i, pid_t pid, pid_t conmon, struct err *err)
{
    i->pid_fd = pidfd_open(pid, 0);
    i->conmon_fd = conmon > 0 ? pidfd_open(conmon, 0) : -1;
    if (i->pid_fd < 0 || i->conmon_fd < 0)
        return FAIL_SYS(err, "cannot watch the processes of instance '%s'", i->name);
    i->pid = pid;
    i->conmon_pid = conmon;
    i->conmon_watch = watch_new(i->conmon_fd, conmon_gone, i);
    watch_set(i->conmon_watch, WATCH_READ);
    return 0;
}

void run_watch_ready(struct instance *i)
{
    const json_t *health = json_dict(i->spec, "health");
    struct probe_target target = {.name = i->name,
                                  .address = i->address,
                                  .port = i->port,
                                  .path = json_text_or(health, "path", ""),
                                  .interval_ms = json_int(health, "interval_ms", 0),
                                  .timeout_ms = json_int(health, "timeout_ms", 0),
                                  .liveness_ms = json_int(health, "liveness_ms", 0)};
    i->up_since = clock_mono_ms(clock_system());
    probe_watch(&target);
    instance_watch_start(i);
}

/* Creation. */

static void create_failed(struct instance *i, const struct err *error)
{
    if (i->conmon_pid == 0) /* what still makes it would make it after we forgot it */
        run_kill_monitor(i);
    sandbox_cgroup_kill(i->cgroup);
    run_over(i, error);
}

static void create_late(void *context)
{
    struct instance *i = context;
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_TIMEOUT, "instance '%s' was not created within %d s", i->name,
               CREATE_MS / 1000);
    create_failed(i, &err);
}

/* It exists and waits: wire it and let it go. */
static int create_finish(struct instance *i, pid_t pid, struct err *err)
{
    FAULT("instance.created");
    if (run_watch(i, pid, (pid_t)pid_file(i, "conmon.pid"), err) < 0)
        return -1;
    if (i->state == INSTANCE_STOPPING) { /* asked meanwhile; its monitor tells the end */
        sandbox_cgroup_kill(i->cgroup);
        return 0;
    }
    (void)setpriority(PRIO_PROCESS, (id_t)pid, 0); /* the app is like any other */
    (void)setpriority(PRIO_PROCESS, (id_t)i->conmon_pid, 0);
    if (!i->ever_ready)
        sandbox_cgroup_weight(i->cgroup, STARTING_WEIGHT);
    if (network_attach(pid, i->address, err) < 0 || sandbox_start(i->name, err) < 0)
        return -1;
    FAULT("instance.started");
    if (i->created_us == 0) /* the start's, not one after a crash */
        i->created_us = clock_mono_us();
    if (!instance_event(i, INSTANCE_CREATED))
        return FAIL(err, E_STATE_CONFLICT, "instance '%s' is not being created", i->name);
    run_watch_ready(i);
    output_open(i);
    return 0;
}

/* {"pid": N} or {"pid": -1, "message": "..."} */
static int create_told(struct instance *i, struct str line, struct err *err)
{
    AUTO_JSON *told = NULL;
    if (json_parse(line, &told, err) < 0)
        return err_wrap(err, "answer of conmon");
    int64_t pid = json_int(told, "pid", -1);
    if (pid > 1)
        return create_finish(i, (pid_t)pid, err);
    struct str message = str_trim(str_of(json_text_or(told, "message", "no reason given")));
    return FAIL(err, E_UNAVAILABLE, "cannot create instance '%s': %.*s", i->name,
                (int)message.length, message.data);
}

static void sync_told(struct instance *i, struct str line)
{
    struct err err = ERR_INIT;
    timer_free(&i->create_timer);
    if (create_told(i, line, &err) < 0)
        create_failed(i, &err);
}

static void sync_ready(void *context, int events)
{
    struct instance *i = context;
    char line[SYNC_MAX];
    (void)events;
    ssize_t count = read(i->sync_fd, line, sizeof(line)); /* one atomic write of conmon */
    if (count <= 0)
        return;
    watch_free(TAKE(i->sync_watch));
    fd_closep(&i->sync_fd);
    i->sync_fd = -1;
    while (count > 0 && (line[count - 1] == '\n' || line[count - 1] == '\0'))
        count--;
    if (i->front) /* it writes the monitor's pid file, and may be slower than the monitor */
        i->told = mem_strndup(line, (size_t)count);
    else
        sync_told(i, (struct str){line, (size_t)count});
}

static void front_exited(void *context, const struct child_result *result)
{
    struct instance *i = context;
    struct err err = ERR_INIT;
    i->front = NULL;
    AUTO_FREE char *told = TAKE(i->told);
    if (told)
        sync_told(i, str_of(told));
    else if (child_check(result, "conmon", &err) < 0 && i->sync_watch)
        create_failed(i, &err); /* it will not tell us anything */
}

static int sync_open(struct instance *i, int *ret_theirs, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/sync", i->folder);
    (void)unlink(path); /* of the attempt before */
    if (mkfifo(path, 0600) < 0)
        return FAIL_SYS(err, "cannot make '%s'", path);
    AUTO_CLOSE int ours = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    AUTO_CLOSE int theirs = open(path, O_RDWR | O_CLOEXEC);
    if (ours < 0 || theirs < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    i->sync_fd = TAKE_FD(ours);
    *ret_theirs = TAKE_FD(theirs);
    return 0;
}

static void leftovers_remove(const struct instance *i)
{
    static const char *const names[] = {"pid", "conmon.pid", "attach", "ctl", "winsz"};
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        AUTO_FREE char *path = mem_format("%s/%s", i->folder, names[n]);
        (void)unlink(path); /* mostly absent */
    }
    AUTO_FREE char *code = mem_format("%s/exit/%s", i->folder, i->name);
    (void)unlink(code);
}

/* Making a container is our work: it does not queue behind apps that take the whole processor. */
static int make_quickly(const void *context)
{
    (void)context;
    (void)setpriority(PRIO_PROCESS, 0, MAKING_NICE); /* where it may not, it is slower */
    return 0;
}

static int conmon_start(struct instance *i, int sync, struct err *err)
{
    AUTO_CLOSE int group = sandbox_group_beside("monitors", MONITORS_WEIGHT);
    AUTO_FREE char *root = mem_format("--root=%s", sandbox_crun_root());
    AUTO_FREE char *exits = mem_format("%s/exit", i->folder);
    AUTO_FREE char *log = mem_format("k8s-file:%s/output.log", i->folder);
    AUTO_FREE char *pid = mem_format("%s/pid", i->folder);
    AUTO_FREE char *conmon_pid = mem_format("%s/conmon.pid", i->folder);
    const char *argv[] = {"/usr/bin/conmon",
                          "--cid",
                          i->name,
                          "--cuuid",
                          i->name,
                          "--runtime",
                          sandbox_crun(),
                          "--runtime-arg",
                          root,
                          "--bundle",
                          i->folder,
                          "--exit-dir",
                          exits,
                          "--log-path",
                          log,
                          "--container-pidfile",
                          pid,
                          "--conmon-pidfile",
                          conmon_pid,
                          "--full-attach",
                          "--no-sync-log",
                          "--stdin",
                          NULL};
    struct child_spec spec = {.argv = argv,
                              .env = sandbox_crun_env(),
                              .stdin_fd = -1,
                              .out = CHILD_DISCARD,
                              .error = CHILD_COLLECT,
                              .fds = {sync},
                              .fd_count = 1,
                              .narrow = make_quickly,
                              .group_fd = group,
                              .on_exit = front_exited,
                              .context = i};
    if (file_make_dirs(exits, 0700, err) < 0)
        return -1;
    FAULT("instance.create");
    return child_start(&spec, &i->front, err);
}

void run_create(struct instance *i)
{
    struct err err = ERR_INIT;
    AUTO_CLOSE int theirs = -1;
    ASSERT(i->state == INSTANCE_CREATING && !i->removing);
    leftovers_remove(i);
    if (bundle_prepare(i, &err) < 0 || sync_open(i, &theirs, &err) < 0 ||
        conmon_start(i, theirs, &err) < 0) {
        create_failed(i, &err);
        return;
    }
    i->sync_watch = watch_new(i->sync_fd, sync_ready, i);
    watch_set(i->sync_watch, WATCH_READ);
    timer_start(&i->create_timer, CREATE_MS, 0, create_late, i);
}

/* Adoption. */

/* Is this process a monitor (or its first process) of that bundle? */
static bool is_monitor(int64_t pid, const char *bundle)
{
    struct err err = ERR_INIT;
    AUTO_BUF line = BUF_INIT(64u << 10);
    AUTO_FREE char *path = mem_format("/proc/%d/cmdline", (int)pid);
    bool conmon = false, next = false;
    if (pid <= 1 || file_read(path, 64u << 10, &line, &err) < 0)
        return false;
    for (struct str rest = buf_str(&line); rest.data;) {
        struct str word = str_cut(&rest, '\0');
        conmon |= str_ends(word, "/conmon");
        if (next)
            return conmon && str_is(word, bundle);
        next = str_is(word, "--bundle");
    }
    return false;
}

bool run_adopt(struct instance *i)
{
    struct err err = ERR_INIT;
    int64_t pid = pid_file(i, "pid");
    int64_t conmon = pid_file(i, "conmon.pid");
    if (!sandbox_owns((pid_t)pid, i->cgroup) || sandbox_is_created(i->name) ||
        !is_monitor(conmon, i->folder))
        return false;
    if (run_watch(i, (pid_t)pid, (pid_t)conmon, &err) == 0)
        return true;
    run_let_go(i);
    return false;
}

static void kill_with_children(pid_t pid)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(64u << 10);
    AUTO_FREE char *path = mem_format("/proc/%d/task/%d/children", (int)pid, (int)pid);
    int64_t child;
    (void)kill(pid, SIGSTOP); /* no more children from here */
    if (file_read(path, 64u << 10, &text, &err) == 0)
        for (struct str rest = buf_str(&text); rest.data;)
            if (str_to_int(str_cut(&rest, ' '), 2, INT32_MAX, "pid", &child, &err) == 0)
                (void)kill((pid_t)child, SIGKILL);
    (void)kill(pid, SIGKILL);
}

void run_kill_monitor(const struct instance *i)
{
    struct err err = ERR_INIT;
    DIR *processes = opendir("/proc");
    int64_t pid;
    if (!processes)
        return;
    for (struct dirent *entry; (entry = readdir(processes));)
        if (str_to_int(str_of(entry->d_name), 2, INT32_MAX, "pid", &pid, &err) == 0 &&
            is_monitor(pid, i->folder))
            kill_with_children((pid_t)pid);
    (void)closedir(processes);
}

void run_recreate(struct instance *i)
{
    ASSERT(i->state == INSTANCE_CREATING && !i->removing);
    run_kill_monitor(i);
    i->removing = true;
    sandbox_delete(i->name, i->cgroup, run_deleted, i);
}
