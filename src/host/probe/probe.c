/* The host's side of the probe: starts the child, tells it targets, hears changes. */
#include "host/probe/probe.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/probe/probe_priv.h"
#include "io/child.h"
#include "io/loop.h"
#include "wire/doctor.h"

#define NOBODY 65534
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000

struct watched {
    struct probe_order order;
    char *name;
};
static struct {
    struct probe_options options;
    uid_t uid;
    gid_t gid;
    struct map targets; /* name -> struct watched */
    uint32_t id;
    int fd; /* our end; -1: the child is away */
    struct watch *watch;
    struct child *child;
    struct timer *timer;
    int64_t backoff_ms;
    int64_t started_ms;
    int64_t restarts;
    bool ending;
} probe = {.fd = -1};

static void probe_start(void *context);

static void watched_free(struct watched *w)
{
    if (!w)
        return;
    free(w->name);
    free(w);
}

static void order_send(const struct probe_order *order)
{
    if (probe.fd < 0)
        return; /* all are told when the child is back */
    if (send(probe.fd, order, sizeof(*order), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*order))
        return;
    log_warn("the probe does not listen, starting it again", F_INT("errno", errno));
    if (probe.child)
        child_kill(probe.child, SIGKILL);
}

void probe_watch(const struct probe_target *target)
{
    CHECK_LOOP();
    struct watched *w = mem_alloc(sizeof(*w));
    int64_t interval = target->interval_ms > 0 ? target->interval_ms : 10;
    probe_forget(target->name);
    if (++probe.id == 0)
        probe.id = 1; /* 0 is the socketpair's */
    w->name = mem_strdup(target->name);
    w->order = (struct probe_order){
        .operation = PROBE_WATCH,
        .id = probe.id,
        .address = target->address,
        .port = target->port,
        .interval_ms = (uint32_t)interval,
        .timeout_ms = (uint32_t)(target->timeout_ms > 0 ? target->timeout_ms : 5000),
        .liveness_ms = (uint32_t)(target->liveness_ms > 0 ? target->liveness_ms : 1000)};
    (void)snprintf(w->order.path, sizeof(w->order.path), "%s", target->path ? target->path : "");
    ASSERT(map_put(&probe.targets, w->name, w) == NULL);
    order_send(&w->order);
}

void probe_forget(const char *name)
{
    struct watched *w = map_remove(&probe.targets, name);
    if (!w)
        return;
    w->order.operation = PROBE_FORGET;
    order_send(&w->order);
    watched_free(w);
}

static struct watched *watched_by_id(uint32_t id)
{
    for (size_t i = 0; i < probe.targets.count; i++) {
        struct watched *w = probe.targets.entries[i].value;
        if (w->order.id == id)
            return w;
    }
    return NULL;
}

static void probe_heard(void *context, int events)
{
    struct probe_answer answer;
    (void)context;
    (void)events;
    for (;;) {
        ssize_t count = recv(probe.fd, &answer, sizeof(answer), MSG_DONTWAIT);
        if (count != sizeof(answer)) {
            if (count >= 0 || (errno != EAGAIN && errno != EINTR))
                watch_set(probe.watch, 0); /* it ended: on_exit follows */
            return;
        }
        answer.text[sizeof(answer.text) - 1] = '\0';
        struct watched *w = watched_by_id(answer.id);
        if (!w)
            continue;                               /* forgotten meanwhile */
        AUTO_FREE char *name = mem_strdup(w->name); /* the callback may forget it */
        probe.options.on_change(probe.options.context, name, answer.ready != 0, answer.text);
        if (probe.fd < 0)
            return;
    }
}

static void probe_hangup(void)
{
    watch_free(TAKE(probe.watch));
    fd_closep(&probe.fd);
    probe.fd = -1;
}

static void probe_exited(void *context, const struct child_result *result)
{
    (void)context;
    probe.child = NULL;
    probe_hangup();
    if (probe.ending)
        return;
    probe.restarts++;
    if (clock_mono_ms(clock_system()) - probe.started_ms > 60000)
        probe.backoff_ms = BACKOFF_FIRST_MS;
    log_error("the probe ended, starting it again", F_INT("exit", result->exit_code),
              F_INT("signal", result->signal), F_INT("in_ms", probe.backoff_ms));
    timer_start(&probe.timer, probe.backoff_ms, 0, probe_start, NULL);
    probe.backoff_ms =
        probe.backoff_ms * 2 < BACKOFF_MAX_MS ? probe.backoff_ms * 2 : BACKOFF_MAX_MS;
}

static int probe_launch(struct err *err)
{
    const char *argv[] = {probe.options.program, "host-probe", NULL};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return FAIL_SYS(err, "cannot make a socketpair");
    AUTO_CLOSE int ours = ends[0];
    AUTO_CLOSE int theirs = ends[1];
    int bytes = 4 << 20; /* room for every target at once */
    (void)setsockopt(ours, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)); /* else smaller */
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .out = CHILD_DISCARD,
                              .error = CHILD_INHERIT,
                              .fds = {theirs},
                              .fd_count = 1,
                              .uid = probe.uid,
                              .gid = probe.gid,
                              .on_exit = probe_exited};
    FAULT("probe.start");
    if (child_start(&spec, &probe.child, err) < 0)
        return -1;
    probe.fd = TAKE_FD(ours);
    probe.watch = watch_new(probe.fd, probe_heard, NULL);
    watch_set(probe.watch, WATCH_READ);
    probe.started_ms = clock_mono_ms(clock_system());
    for (size_t i = 0; i < probe.targets.count; i++)
        order_send(&((struct watched *)probe.targets.entries[i].value)->order);
    return 0;
}

static void probe_start(void *context)
{
    struct err err = ERR_INIT;
    (void)context;
    if (probe_launch(&err) == 0)
        return;
    log_error("cannot start the probe, retrying in 1s", F_ERR(&err));
    timer_start(&probe.timer, 1000, 0, probe_start, NULL);
}

int probe_setup(const struct settings *settings, const struct probe_options *options,
                struct err *err)
{
    struct err absent = ERR_INIT;
    map_init(&probe.targets);
    probe.options = *options;
    if (!probe.options.program)
        probe.options.program = "/proc/self/exe";
    probe.backoff_ms = BACKOFF_FIRST_MS;
    probe.ending = false;
    if (settings_uid(settings->user_signals, &probe.uid, &probe.gid, &absent) < 0 ||
        probe.uid == 0) {
        probe.uid = NOBODY; /* the filter must let it: see filter_users */
        probe.gid = NOBODY;
    }
    return probe_launch(err);
}

void probe_shutdown(void)
{
    probe.ending = true;
    timer_free(&probe.timer);
    probe_hangup();
    if (probe.child)
        child_kill(probe.child, SIGKILL);
    for (size_t i = 0; i < probe.targets.count; i++)
        watched_free(probe.targets.entries[i].value);
    map_done(&probe.targets);
    map_init(&probe.targets);
}

void probe_doctor(json_t *checks)
{
    AUTO_FREE char *text =
        mem_format("watches %zu instances, %d restarts", probe.targets.count, (int)probe.restarts);
    doctor_push(checks, "probe", probe.fd >= 0, probe.fd >= 0 ? text : "it does not run",
                "see the host's log");
}

json_t *probe_dump(void)
{
    json_t *dump = json_object();
    json_t *names = json_array();
    for (size_t i = 0; i < probe.targets.count; i++)
        json_push(names, json_str_value(str_of(probe.targets.entries[i].key)));
    json_put(dump, "targets", names);
    json_put_int(dump, "pid", probe.child ? child_pid(probe.child) : 0);
    json_put_int(dump, "restarts", probe.restarts);
    return dump;
}
