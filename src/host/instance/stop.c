/* The end of an instance: signal, grace, KILL; then nothing of it is left: container, cgroup,
 * mount, live directory, record, address. The record goes late (renamed away, then removed on the
 * pool): a crash of ours in between finds it marked "stopping" and goes on from there. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/instance/instance_priv.h"
#include "host/network/network.h"
#include "host/probe/probe.h"

#define KILL_AGAIN_MS 3000
#define GRACE_NEVER_READY_MS 1000 /* it has no request to finish: whoever cancels waits for it */

static int stop_signal(const struct instance *i)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
                   {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"KILL", SIGKILL}};
    const char *name = json_text_or(json_dict(i->spec, "stop"), "signal", "TERM");
    if (text_starts(name, "SIG"))
        name += 3;
    for (size_t n = 0; n < ARRAY_SIZE(signals); n++)
        if (text_is(signals[n].name, name))
            return signals[n].number;
    return SIGTERM;
}

static void grace_over(void *context)
{
    struct instance *i = context;
    log_info("instance did not end in time, killing it", F_STR("instance", i->name));
    FAULT("instance.kill");
    sandbox_cgroup_kill(i->cgroup);
    if (i->killed) /* it was before: its monitor does not tell, and goes as well */
        (void)pidfd_send_signal(i->conmon_fd, SIGKILL, NULL, 0);
    i->killed = true;
    timer_start(&i->wait, KILL_AGAIN_MS, 0, grace_over, i); /* until its monitor tells the end */
}

void stop_begin(struct instance *i)
{
    int64_t grace = json_int(json_dict(i->spec, "stop"), "grace_ms", 10000);
    if (!i->ever_ready && grace > GRACE_NEVER_READY_MS)
        grace = GRACE_NEVER_READY_MS;
    ASSERT(i->state == INSTANCE_STOPPING);
    timer_free(&i->wait);
    timer_free(&i->deadline);
    i->stop_ms = clock_mono_ms(clock_system());
    probe_forget(i->name);
    if (i->sync_watch ||
        i->told) /* being created: run.c kills it as soon as there is something to kill */
        return;
    if (i->pid_fd < 0) {
        stop_gone(i);
        return;
    }
    FAULT("instance.signal");
    if (pidfd_send_signal(i->pid_fd, stop_signal(i), NULL, 0) < 0 && errno != ESRCH)
        log_warn("cannot signal an instance, killing it after the grace time",
                 F_STR("instance", i->name), F_INT("errno", errno));
    timer_start(&i->wait, grace, 0, grace_over, i);
}

/* Removal. */

struct removal {
    struct instance *instance;
    char *folder;
    struct err err;
    bool failed;
};

static void removal_work(void *context)
{
    struct removal *r = context;
    r->failed = file_remove_tree(r->folder, &r->err) < 0;
}

static void stop_answer(struct instance *i)
{
    for (size_t n = 0; n < i->stopper_count; n++) {
        json_t *ok = json_object();
        json_put_int(ok, "exit_code", i->exit_code);
        json_put_int(ok, "ms", clock_mono_ms(clock_system()) - i->stop_ms);
        json_put_bool(ok, "killed", i->killed);
        ticket_ok(i->stoppers[n], ok);
    }
    i->stopper_count = 0;
}

static void removal_done(void *context)
{
    struct removal *r = context;
    struct instance *i = r->instance;
    if (r->failed)
        log_warn("cannot remove an instance's folder, trying again at the next start",
                 F_STR("instance", i->name), F_ERR(&r->err));
    free(r->folder);
    free(r);
    network_release(i->address);
    i->address = 0;
    log_info("instance gone", F_STR("instance", i->name), F_INT("exit_code", i->exit_code));
    stop_answer(i);
    (void)instance_event(i, INSTANCE_REMOVED); /* the table allows it */
    instance_leave(i);
}

static void stop_deleted(void *context)
{
    struct instance *i = context;
    struct err err = ERR_INIT;
    struct removal *r = mem_alloc(sizeof(*r));
    FAULT("instance.deleted");
    sandbox_unmount(i->folder);
    output_close(i);
    if (file_remove_tree(i->live, &err) < 0)
        log_warn("cannot remove a live directory, leaving it", F_STR("instance", i->name),
                 F_ERR(&err));
    r->instance = i;
    r->folder = mem_format("%s/.gone-%lld-%s", instances.folder, (long long)i->serial, i->name);
    if (rename(i->folder, r->folder) < 0) {
        free(r->folder);
        r->folder = mem_strdup(i->folder);
    }
    FAULT("instance.forgotten");
    loop_work(removal_work, removal_done, r);
}

void stop_gone(struct instance *i)
{
    ASSERT(i->state == INSTANCE_STOPPING);
    timer_free(&i->wait);
    timer_free(&i->deadline);
    if (i->removing) /* a deletion is under way: it comes back here */
        return;
    i->removing = true;
    sandbox_delete(i->name, i->cgroup, stop_deleted, i);
}
