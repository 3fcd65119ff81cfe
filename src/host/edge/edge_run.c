/* The HAProxy process: what each state of edge_sm.c does, and what ends it.
 *
 * A new configuration is checked by HAProxy itself, as the edge's user, before it takes the place
 * of the one before; a reload starts the successor, which takes over the listeners from the process
 * that serves, and tells it to finish. Whatever way a process came (started, reloaded, adopted), it
 * is then read and brought to the wanted state (edge_sync.c): files and file only, never memory,
 * decide. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"
#include "io/child.h"

#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS 30000
#define RELOAD_EVERY_MS 1000 /* at most: what is asked meanwhile rides on one reload */
#define SETTLE_MS 1000
#define OLDER_MAX 16

/* Processes. */

size_t edge_older_count(const struct edge *e)
{
    size_t count = 0;
    for (const struct edge_process *p = e->older; p; p = p->next)
        count++;
    return count;
}

bool edge_has_pid(const struct edge_process *list, pid_t pid)
{
    for (; list; list = list->next)
        if (list->pid == pid)
            return true;
    return false;
}

static void process_exited(void *context, struct edge_process *p)
{
    struct edge *e = context;
    if (p == e->process) {
        log_error("edge died: starting it again", F_INT("pid", p->pid));
        e->process = NULL;
        edge_process_free(p);
        edge_event(e, EDGE_DIED);
        return;
    }
    for (struct edge_process **link = &e->older; *link; link = &(*link)->next) {
        if (*link != p)
            continue;
        *link = p->next;
        log_info("older edge process ended", F_INT("pid", p->pid));
        edge_process_free(p);
        break;
    }
    edge_drain_wake(e);
}

static struct edge_process *process_open(struct edge *e, pid_t pid)
{
    return edge_process_open(&e->paths, e->uid, pid, process_exited, e);
}

static void process_to_older(struct edge *e, struct edge_process *p)
{
    p->next = e->older;
    e->older = p;
}

/* The last that the kernel should take when memory runs out. Not every kernel lets us. */
static void process_protect(pid_t pid)
{
    AUTO_FREE char *path = mem_format("/proc/%d/oom_score_adj", (int)pid);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, "-900", 4);
}

/* The one of the pid file serves from now on; what served before finishes. */
static bool process_take(struct edge *e)
{
    pid_t pid = edge_process_read_pid(&e->paths);
    if (e->process && e->process->pid == pid)
        return true;
    struct edge_process *p = process_open(e, pid);
    if (!p)
        return false;
    if (e->process)
        process_to_older(e, e->process);
    e->process = p;
    e->since_ms = edge_process_since(&e->paths);
    process_protect(pid);
    return true;
}

/* Everything of ours that runs and is not the one that serves. */
static void older_find(struct edge *e)
{
    pid_t pids[EDGE_PIDS_MAX];
    size_t count = edge_process_scan(&e->paths, e->uid, false, pids, EDGE_PIDS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct edge_process *p = NULL;
        if ((!e->process || e->process->pid != pids[i]) && !edge_has_pid(e->older, pids[i]))
            p = process_open(e, pids[i]);
        if (p)
            process_to_older(e, p);
    }
}

/* Children: check, start, reload. */

static size_t leave_pids(const struct edge *e, pid_t pids[EDGE_PIDS_MAX])
{
    size_t count = 0;
    if (e->process)
        pids[count++] = e->process->pid;
    for (const struct edge_process *p = e->older; p && count < EDGE_PIDS_MAX; p = p->next)
        pids[count++] = p->pid;
    return count;
}

/* The first thing that HAProxy calls an alert; the notices before it say nothing. */
static void alert_find(const struct child_result *result, struct err *err)
{
    struct str rest = result->error;
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        const char *text = memmem(line.data, line.length, " : ", 3);
        if (!text || !memmem(line.data, line.length, "[ALERT]", 7))
            continue;
        int length = (int)(line.data + line.length - text) - 3;
        (void)FAIL(err, E_EDGE_REFUSED, "haproxy: %.*s", length, text + 3);
        return;
    }
}

static void trouble_set(struct edge *e, const struct err *why, const char *sentence)
{
    e->trouble = *why;
    log_error(sentence, F_ERR(why));
}

static void start_ended(void *context, const struct child_result *result)
{
    struct edge *e = context;
    struct err err = ERR_INIT;
    if (e->ended)
        return;
    e->launching = false;
    FAULT("edge.started");
    bool good = child_check(result, "haproxy", &err) == 0;
    if (!good)
        alert_find(result, &err);
    if (good && !process_take(e)) {
        good = false;
        (void)FAIL(&err, E_EDGE_REFUSED, "haproxy ended right after its start");
    }
    if (!good)
        trouble_set(e, &err, "edge did not start");
    edge_event(e, good ? EDGE_STARTED : EDGE_NOT_STARTED);
}

/* Each of them holds memory for as long as its longest connection; the oldest must go. */
static void older_limit(struct edge *e)
{
    struct edge_process *oldest = e->older;
    if (edge_older_count(e) < OLDER_MAX)
        return;
    while (oldest->next)
        oldest = oldest->next;
    log_warn("too many older edge processes: ending the oldest", F_INT("pid", oldest->pid));
    (void)syscall(SYS_pidfd_send_signal, oldest->pidfd, SIGTERM, NULL, 0);
}

static void start_launch(struct edge *e, enum edge_launch_kind kind)
{
    pid_t pids[EDGE_PIDS_MAX];
    struct err err = ERR_INIT;
    struct edge_launch launch = {.kind = kind,
                                 .paths = &e->paths,
                                 .uid = e->uid,
                                 .gid = e->gid,
                                 .leave = pids,
                                 .leave_count = leave_pids(e, pids),
                                 .on_exit = start_ended,
                                 .context = e};
    if (e->launching) /* one is under way: its end decides */
        return;
    older_limit(e);
    e->launching = true;
    if (edge_launch(&launch, &err) < 0) {
        e->launching = false;
        trouble_set(e, &err, "edge could not be started");
        edge_event(e, EDGE_NOT_STARTED);
    }
}

static void check_refused(struct edge *e, const struct err *why)
{
    bool have_last = file_exists(e->paths.config);
    trouble_set(e, why,
                have_last ? "edge refuses the new configuration: going on with the last good one"
                          : "edge refuses the configuration");
    edge_event(e, have_last && e->state == EDGE_CHECKING ? EDGE_CHECKED : EDGE_REFUSED);
}

static void check_ended(void *context, const struct child_result *result)
{
    struct edge *e = context;
    struct err err = ERR_INIT;
    if (e->ended)
        return;
    e->launching = false;
    if (child_check(result, "haproxy -c", &err) < 0) {
        alert_find(result, &err);
        check_refused(e, &err);
        return;
    }
    FAULT("edge.checked");
    if (rename(e->paths.config_next, e->paths.config) < 0) {
        (void)FAIL_SYS(&err, "cannot rename '%s'", e->paths.config_next);
        check_refused(e, &err);
        return;
    }
    e->trouble = (struct err)ERR_INIT;
    edge_event(e, EDGE_CHECKED);
}

static struct edge_config config_of(const struct edge *e)
{
    return (struct edge_config){.settings = e->settings,
                                .paths = &e->paths,
                                .table = &e->table,
                                .platform_host = e->platform_host,
                                .threads = e->threads,
                                .connections = e->connections,
                                .ipv6 = file_exists("/proc/net/if_inet6")};
}

static int check_launch(struct edge *e, struct err *err)
{
    struct edge_config config = config_of(e);
    struct edge_launch launch = {.kind = EDGE_LAUNCH_CHECK,
                                 .paths = &e->paths,
                                 .uid = e->uid,
                                 .gid = e->gid,
                                 .on_exit = check_ended,
                                 .context = e};
    FAULT("edge.config");
    if (edge_config_write(&config, err) < 0)
        return -1;
    return edge_launch(&launch, err);
}

static void check_prepared(struct edge *e, const struct err *error)
{
    struct err err = ERR_INIT;
    if (e->ended)
        return;
    if (error)
        log_warn("edge certificates are incomplete: going on with what there is", F_ERR(error));
    if (check_launch(e, &err) < 0) {
        e->launching = false;
        check_refused(e, &err);
    }
}

static void check_start(struct edge *e)
{
    if (e->launching)
        return;
    e->stale = false;
    e->launching = true;
    e->reload_after_ms = clock_mono_ms(clock_system()) + RELOAD_EVERY_MS;
    edge_cert_prepare(e, check_prepared);
}

/* States. */

static void retry_now(void *context)
{
    edge_event(context, EDGE_RETRY);
}

static void failed_enter(struct edge *e)
{
    edge_changes_answer(&e->durable, 0, &e->trouble);
    timer_start(&e->retry, e->retry_ms, 0, retry_now, e);
    e->retry_ms = e->retry_ms * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : e->retry_ms * 2;
}

static void up_enter(struct edge *e)
{
    e->retry_ms = RETRY_FIRST_MS;
    e->connect_attempts = 0;
    log_info("edge is up", F_INT("pid", e->process->pid), F_INT("older", edge_older_count(e)));
    if (e->stale)
        edge_run_reload(e);
    edge_sync_push(e);
    edge_sweep_wake(e);
    edge_drain_wake(e);
}

static void edge_invariant(const struct edge *e)
{
    ASSERT(e->state != EDGE_UP || (e->process && e->cli));
    ASSERT(e->state != EDGE_ABSENT || !e->process);
}

static void edge_act(struct edge *e)
{
    switch ((enum edge_state)e->state) {
    case EDGE_ABSENT:
        edge_sync_stop(e);
        edge_event(e, EDGE_WANT);
        break;
    case EDGE_CHECKING:
    case EDGE_RECHECKING:
        check_start(e);
        break;
    case EDGE_STARTING:
        edge_sync_stop(e);
        start_launch(e, EDGE_LAUNCH_START);
        break;
    case EDGE_SYNCING:
        edge_sync_start(e);
        break;
    case EDGE_UP:
        up_enter(e);
        break;
    case EDGE_RELOADING:
        start_launch(e, EDGE_LAUNCH_RELOAD);
        break;
    case EDGE_FAILED:
        failed_enter(e);
        break;
    }
}

void edge_event(struct edge *e, enum edge_event event)
{
    int to;
    if (sm_next(&edge_sm, (int)e->state, (int)event, &to) == SM_REFUSED) {
        log_debug("edge: late event", F_STR("state", sm_state_name(&edge_sm, (int)e->state)),
                  F_STR("event", edge_sm.event_names[event]));
        return;
    }
    e->state = (enum edge_state)to;
    edge_invariant(e);
    edge_act(e);
}

/* Reloads. */

static void reload_now(void *context)
{
    edge_event(context, EDGE_RELOAD);
}

void edge_run_reload(struct edge *e)
{
    int64_t wait = e->reload_after_ms - clock_mono_ms(clock_system());
    if (!e->reload)
        timer_start(&e->reload, wait > 0 ? wait : 0, 0, reload_now, e);
}

/* Adoption. If our predecessor died while a reload was under way, the pid file may get a new number
 * after we read it: look once more. */
static void adopt_settle(void *context)
{
    struct edge *e = context;
    older_find(e);
    pid_t pid = edge_process_read_pid(&e->paths);
    struct edge_process **link = &e->older;
    while (*link && (*link)->pid != pid)
        link = &(*link)->next;
    struct edge_process *newer = *link;
    bool now = e->state == EDGE_UP || e->state == EDGE_SYNCING; /* a later start of ours decides */
    if (!newer || !e->process || !now)
        return;
    *link = newer->next;
    process_to_older(e, e->process);
    e->process = newer;
    edge_event(e, EDGE_LOST);
}

void edge_run_start(struct edge *e)
{
    struct edge_config config = config_of(e);
    bool found = process_take(e);
    older_find(e);
    e->stale = found && !edge_config_is_current(&config);
    if (found)
        log_info("edge adopted", F_INT("pid", e->process->pid), F_INT("older", edge_older_count(e)),
                 F_INT("stale", e->stale));
    timer_start(&e->settle, SETTLE_MS, 0, adopt_settle, e);
    edge_event(e, found ? EDGE_ADOPT : EDGE_WANT);
}

void edge_run_done(struct edge *e)
{
    timer_free(&e->retry);
    timer_free(&e->reload);
    timer_free(&e->settle);
    edge_process_free(e->process);
    e->process = NULL;
    while (e->older) {
        struct edge_process *p = e->older;
        e->older = p->next;
        edge_process_free(p);
    }
}
