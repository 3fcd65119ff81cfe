/* Zombies. As subreaper we inherit whatever our children leave behind (monitors, first processes of
 * containers, helpers of helpers). Those that somebody here waits for are reaped by him at once;
 * one that is still a zombie at two sweeps in a row is nobody's and is reaped here. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"

#define SWEEP_MS 5000
#define ZOMBIES_MAX 256

static struct {
    pid_t pids[ZOMBIES_MAX];
    size_t count;
} before, now;

static bool is_zombie(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static bool was_zombie(pid_t pid)
{
    for (size_t i = 0; i < before.count; i++)
        if (before.pids[i] == pid)
            return true;
    return false;
}

static void sweep(void *context)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(1u << 20);
    AUTO_FREE char *path = mem_format("/proc/self/task/%d/children", (int)getpid());
    int64_t pid;
    (void)context;
    now.count = 0;
    if (file_read(path, 1u << 20, &text, &err) < 0)
        return;
    for (struct str rest = buf_str(&text); rest.data && now.count < ZOMBIES_MAX;) {
        struct str word = str_cut(&rest, ' ');
        if (str_to_int(word, 2, INT32_MAX, "pid", &pid, &err) < 0 || !is_zombie((pid_t)pid))
            continue;
        if (was_zombie((pid_t)pid))
            (void)waitpid((pid_t)pid, NULL, WNOHANG); /* how it ended is of no interest */
        else
            now.pids[now.count++] = (pid_t)pid;
    }
    before = now;
}

void reap_start(void)
{
    static struct timer *timer;
    timer_start(&timer, SWEEP_MS, SWEEP_MS, sweep, NULL);
}
