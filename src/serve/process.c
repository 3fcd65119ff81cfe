/* See process.h. */
#include "serve/process.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "wire/settings.h"

#define ROLE_GRACE_MS 8000

/* Field 22 of /proc/PID/stat, in clock ticks since the machine's start. PROCESS_GONE also for a
 * zombie. The name in field 2 may hold anything, so we count from its closing bracket. */
static int process_start_ticks(pid_t pid, int64_t *ret_ticks, struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    AUTO_FREE char *path = mem_format("/proc/%d/stat", (int)pid);
    struct err ignored = ERR_INIT; /* it ended between two looks */
    if (file_read(path, 4096, &text, &ignored) < 0)
        return PROCESS_GONE;
    const char *bracket = text.data ? strrchr(text.data, ')') : NULL;
    if (!bracket || bracket[1] != ' ')
        return FAIL(err, E_CORRUPT, "cannot read '%s'", path);
    struct str rest = str_of(bracket + 2), field = str_cut(&rest, ' ');
    if (str_is(field, "Z") || str_is(field, "X"))
        return PROCESS_GONE;
    for (int i = 4; i <= 22; i++)
        field = str_cut(&rest, ' ');
    return str_to_int(field, 0, INT64_MAX, "start time", ret_ticks, err);
}

/* What a pid file of this process would hold. */
static int process_text(pid_t pid, char **ret_text, struct err *err)
{
    AUTO_BUF boot = BUF_INIT(0);
    int64_t ticks;
    int result = process_start_ticks(pid, &ticks, err);
    if (result != 0)
        return result;
    if (file_read("/proc/sys/kernel/random/boot_id", 100, &boot, err) < 0)
        return -1;
    *ret_text = mem_format("%d %lld %s", (int)pid, (long long)ticks, boot.data);
    return 0;
}

int process_record(const char *path, pid_t pid, struct err *err)
{
    AUTO_FREE char *text = NULL;
    int result = process_text(pid, &text, err);
    return result ? result : file_write(path, str_of(text), 0644, err);
}

int process_find(const char *path, struct process *ret_process, struct err *err)
{
    AUTO_BUF recorded = BUF_INIT(0);
    AUTO_FREE char *text = NULL;
    struct err absent = ERR_INIT;
    int64_t pid;
    if (file_read(path, 200, &recorded, &absent) < 0)
        return PROCESS_GONE;
    struct str rest = buf_str(&recorded);
    if (str_to_int(str_cut(&rest, ' '), 2, INT32_MAX, "pid", &pid, &absent) < 0)
        return PROCESS_GONE;
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (pidfd < 0) /* the number is pinned from here on */
        return PROCESS_GONE;
    int result = process_text((pid_t)pid, &text, err);
    if (result != 0)
        return result;
    if (!str_is(buf_str(&recorded), text))
        return PROCESS_GONE;
    *ret_process = (struct process){(pid_t)pid, TAKE_FD(pidfd)};
    return 0;
}

void process_done(struct process *p)
{
    fd_closep(&p->pidfd);
    *p = (struct process){0, -1};
}

bool process_ended(int pidfd, int64_t timeout_ms)
{
    int64_t end = clock_mono_ms(clock_system()) + timeout_ms;
    for (;;) {
        struct pollfd wait = {pidfd, POLLIN, 0};
        int64_t left = end - clock_mono_ms(clock_system());
        int ready = poll(&wait, 1, left > 0 ? (int)left : 0);
        if (ready > 0)
            return true;
        if (ready == 0 || left <= 0)
            return false; /* else a signal came in between */
    }
}

void process_end(const struct process *p, int64_t grace_ms)
{
    (void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGTERM, NULL, 0); /* gone is fine */
    if (!process_ended(p->pidfd, grace_ms)) {
        (void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
        (void)process_ended(p->pidfd, 5000);
    }
    (void)waitpid(p->pid, NULL, WNOHANG); /* not our child: nothing to reap */
}

char *process_absolute(const char *path)
{
    char *whole = realpath(path, NULL);
    if (whole)
        return whole;
    AUTO_FREE char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    return here ? mem_format("%s/%s", here, path) : mem_strdup(path);
}

/* The process of that file in run_dir. */
static bool find_named(const struct settings *s, const char *name, struct process *ret_process)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *file = mem_format("%s.pid", name);
    AUTO_FREE char *path = settings_run(s, file);
    int found = process_find(path, ret_process, &err);
    if (found < 0)
        log_warn("cannot read a pid file, going on", F_ERR(&err));
    return found == 0;
}

void process_end_named(const struct settings *s, const char *name, int64_t grace_ms, bool say)
{
    struct process p = {0, -1};
    if (!find_named(s, name, &p))
        return;
    if (say)
        printf("ending %s (process %d)\n", name, (int)p.pid);
    process_end(&p, grace_ms);
    process_done(&p);
}

void process_end_roles(const struct settings *s, bool say)
{
    static const char *const roles[] = {"core", "courier", "signals", "host"};
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        process_end_named(s, roles[i], ROLE_GRACE_MS, say);
}

char *process_settings_path(int argc, char **argv)
{
    const char *path = getenv("SLIPWAY_SETTINGS");
    if (!path || !path[0])
        path = SETTINGS_PATH;
    for (int i = 2; i + 1 < argc; i++)
        if (text_is(argv[i], "--settings"))
            path = argv[i + 1];
    return process_absolute(path);
}

bool process_option(int argc, char **argv, const char *option)
{
    for (int i = 2; i < argc; i++)
        if (text_is(argv[i], option))
            return true;
        else if (text_is(argv[i], "--settings"))
            i++;
    return false;
}
