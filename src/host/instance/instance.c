/* Instances: the verbs, the map of all of them, the restart of the host. See instance.h. */
#include "host/instance/instance.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/df.h"
#include "host/instance/instance_priv.h"
#include "host/network/network.h"
#include "host/probe/probe.h"
#include "wire/doctor.h"

#define DEADLINE_MS 30000
#define HUNG_MS 10000
#define HUNG_LOOKS 60 /* so often one that hangs waits for others that start: ten minutes */
#define START_TIMES 4 /* of its deadline, for one that starts again: the machine may be busy */

struct instances instances;

struct instance *instance_find(const char *name)
{
    return map_get(&instances.by_name, name);
}

bool instance_event(struct instance *i, enum instance_event event)
{
    int to;
    if (sm_next(&host_instance_sm, (int)i->state, (int)event, &to) == SM_REFUSED) {
        log_info("event does not fit the state, ignoring it", F_STR("instance", i->name),
                 F_STR("state", host_instance_sm.state_names[i->state]),
                 F_STR("event", host_instance_sm.event_names[event]));
        return false;
    }
    i->state = (enum instance_state)to;
    i->since = clock_wall_ms(clock_system());
    if (i->state != INSTANCE_CREATING && i->state != INSTANCE_STARTING)
        comeback_settled(i);
    return true;
}

/* What others see. */

/* It ended, and its monitor has not told yet. */
static bool is_dead(const struct instance *i)
{
    struct pollfd wait = {.fd = i->pid_fd, .events = POLLIN};
    return i->pid_fd >= 0 && poll(&wait, 1, 0) == 1;
}

json_t *instance_json(const struct instance *i)
{
    bool dead = i->state == INSTANCE_READY && is_dead(i);
    char address[NETWORK_TEXT];
    json_t *j = json_object();
    network_text(i->address, address);
    json_put_text(j, "instance", i->name);
    json_put_text(j, "app_env", i->app_env);
    json_put_int(j, "app_env_id", i->app_env_id);
    json_put_int(j, "release", i->release);
    json_put_int(j, "rollout", i->rollout);
    json_put_text(j, "state", instance_state_shown(dead ? INSTANCE_UNREADY : i->state));
    json_put_text(j, "address", address);
    json_put_int(j, "port", i->port);
    json_put_int(j, "pid", i->pid);
    json_put_int(j, "restarts", (int64_t)i->restart.count);
    json_put_int(j, "since", i->since);
    return j;
}

void instance_notice(const struct instance *i, const char *text)
{
    json_t *args = json_object();
    json_t *what = instance_json(i);
    json_put_int(what, "exit_code", i->exit_code);
    json_put_text(what, "text", text);
    json_put(args, "instance", what);
    host_notify(instances.host, "instance.changed", args);
}

static json_t *start_answer(const struct instance *i)
{
    char address[NETWORK_TEXT];
    json_t *ok = json_object();
    network_text(i->address, address);
    json_put_text(ok, "address", address);
    json_put_int(ok, "port", i->port);
    json_put_int(ok, "pid", i->pid);
    json_put_int(ok, "create_ms", i->start_us ? (i->created_us - i->start_us + 500) / 1000 : 0);
    json_put_int(ok, "ready_ms", i->start_us ? (i->ready_us - i->start_us + 500) / 1000 : 0);
    return ok;
}

void instance_answer_start(struct instance *i)
{
    if (i->state != INSTANCE_READY || !i->synced)
        return;
    timer_free(&i->deadline);
    for (size_t n = 0; n < i->starter_count; n++)
        ticket_ok(i->starters[n], start_answer(i));
    i->starter_count = 0;
}

void instance_fail_start(struct instance *i, const struct err *error)
{
    timer_free(&i->deadline);
    for (size_t n = 0; n < i->starter_count; n++)
        ticket_fail(i->starters[n], error);
    i->starter_count = 0;
}

/* The map. */

static void instance_start(json_t *args, struct ticket *ticket);

void instance_enter(struct instance *i)
{
    ASSERT(map_put(&instances.by_name, i->name, i) == NULL);
}

void instance_leave(struct instance *i)
{
    struct ticket *ticket = TAKE(i->next_ticket);
    AUTO_JSON *args = TAKE(i->next);
    ASSERT(map_remove(&instances.by_name, i->name) == i);
    instance_tell_ready(i, true);
    instance_free(i);
    if (args)
        instance_start(args, ticket);
}

bool instance_uses(void *context, const char *artifact)
{
    (void)context;
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *i = instances.by_name.entries[n].value;
        if (text_is(i->artifact, artifact))
            return true;
    }
    return false;
}

/* The probe's word. */

void instance_on_ready(void (*fn)(int64_t app_env_id, const char *server, bool ready))
{
    instances.on_ready = fn;
}

void instance_tell_ready(const struct instance *i, bool ready)
{
    if (instances.on_ready)
        instances.on_ready(i->app_env_id, i->name + strlen(i->app_env) + 1, ready);
}

/* A change of the record that need not be on the disk before we go on. */
static void record_again(struct instance *i)
{
    struct err err = ERR_INIT;
    if (record_write(i, &err) < 0)
        log_error("cannot write an instance's record, going on", F_STR("instance", i->name),
                  F_ERR(&err));
    else
        record_sync(i);
}

static void became_ready(struct instance *i)
{
    bool first = !i->ever_ready;
    if (!instance_event(i, INSTANCE_PROBED_READY))
        return;
    timer_free(&i->hung);
    instance_tell_ready(i, true);
    if (i->ready_us == 0)
        i->ready_us = clock_mono_us();
    i->ever_ready = true;
    if (first) {
        sandbox_cgroup_weight(i->cgroup, 100);
        record_again(i);
    }
    log_info("instance ready", F_STR("instance", i->name),
             F_INT("create_ms", i->start_us ? (i->created_us - i->start_us) / 1000 : 0),
             F_INT("ms", i->start_us ? (i->ready_us - i->start_us) / 1000 : 0));
    instance_answer_start(i);
    instance_notice(i, "");
}

/* A status, good or bad, is an answer: such an app lives, and a new start would not help it. */
static bool answers(const struct instance *i)
{
    return text_starts(i->why, "status ");
}

static bool hangs(const struct instance *i)
{
    return i->state == INSTANCE_UNREADY && !answers(i);
}

/* Is another of its app-env on its way back? Then this one waits: when all are late, the machine
 * may be, and to start all of them again would make it worse. */
static bool another_starts(const struct instance *i)
{
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *other = instances.by_name.entries[n].value;
        bool starts = other->state == INSTANCE_CREATING || other->state == INSTANCE_STARTING ||
                      other->state == INSTANCE_BACKOFF;
        if (other->app_env_id == i->app_env_id && starts)
            return true;
    }
    return false;
}

static void hung_long(void *context)
{
    struct instance *i = context;
    timer_free(&i->hung);
    if (!hangs(i))
        return; /* its next word decides anew */
    if (i->hung_looks < HUNG_LOOKS && another_starts(i)) {
        i->hung_looks++;
        timer_start(&i->hung, HUNG_MS, 0, hung_long, i);
        return;
    }
    log_warn("instance hangs, killing it", F_STR("instance", i->name), F_STR("probe", i->why),
             F_INT("after_ms", HUNG_MS));
    FAULT("instance.hung");
    sandbox_cgroup_kill(i->cgroup); /* its end starts it again */
}

static void never_ready(void *context)
{
    struct instance *i = context;
    timer_free(&i->hung);
    if (i->state != INSTANCE_STARTING || answers(i))
        return;
    log_warn("instance was started again and does not become ready, killing it",
             F_STR("instance", i->name), F_STR("probe", i->why));
    FAULT("instance.hung");
    sandbox_cgroup_kill(i->cgroup); /* its end starts it again */
}

/* Somebody waits for a first start, and gives up; nobody does for one that was ready before. */
void instance_watch_start(struct instance *i)
{
    int64_t deadline = json_int(json_dict(i->spec, "health"), "deadline_ms", 0);
    i->hung_looks = 0;
    if (i->ever_ready)
        timer_start(&i->hung, START_TIMES * (deadline > 0 ? deadline : DEADLINE_MS), 0, never_ready,
                    i);
}

static void became_unready(struct instance *i, const char *text)
{
    if (i->state == INSTANCE_READY && instance_event(i, INSTANCE_PROBED_UNREADY)) {
        log_warn("instance unready", F_STR("instance", i->name), F_STR("probe", text));
        instance_notice(i, text);
    }
    if (i->ever_ready) /* one that was adopted may not have been ready for this process */
        instance_tell_ready(i, false);
    if (hangs(i) && !i->hung)
        timer_start(&i->hung, HUNG_MS, 0, hung_long, i);
}

static void probe_changed(void *context, const char *name, bool ready, const char *text)
{
    struct instance *i = instance_find(name);
    (void)context;
    if (!i)
        return;
    (void)snprintf(i->why, sizeof(i->why), "%s", text);
    if (ready)
        became_ready(i);
    else
        became_unready(i, text);
}

/* instance.start */

static void deadline_over(void *context)
{
    struct instance *i = context;
    struct err err = ERR_INIT;
    AUTO_FREE char *line = run_last_line(i);
    (void)FAIL(&err, E_INSTANCE_NOT_READY, "instance '%s' was not ready in time (%s)%s%s", i->name,
               i->why[0] ? i->why : "not probed yet", *line ? ": " : "", line);
    log_warn("instance not ready at its deadline", F_STR("instance", i->name), F_ERR(&err));
    instance_fail_start(i, &err);
    if (!i->ever_ready && instance_event(i, INSTANCE_STOP))
        stop_begin(i);
}

static void starter_add(struct instance *i, struct ticket *ticket)
{
    struct err err = ERR_INIT;
    if (i->starter_count == ARRAY_SIZE(i->starters)) {
        (void)FAIL(&err, E_TOO_MANY, "too many wait for instance '%s'", i->name);
        ticket_fail(ticket, &err);
        return;
    }
    i->starters[i->starter_count++] = ticket;
    int64_t deadline = json_int(json_dict(i->spec, "health"), "deadline_ms", 0);
    if (!i->deadline)
        timer_start(&i->deadline, deadline > 0 ? deadline : DEADLINE_MS, 0, deadline_over, i);
}

/* A new one: address, folder, record, then the container. Everything it leaves when it fails here
 * is removed at once. */
static int instance_make(json_t *args, struct instance **ret_instance, struct err *err)
{
    AUTO(instance) *i = NULL;
    if (record_from_args(args, &i, err) < 0)
        return -1;
    enum network_reach reach = json_bool(json_dict(i->spec, "network"), "outside", true)
                                   ? NETWORK_OUTSIDE
                                   : NETWORK_CLOSED;
    if (network_take(reach, &i->address, err) < 0)
        return -1;
    if (file_make_dirs(i->folder, 0700, err) < 0 || record_write(i, err) < 0) {
        struct err second = ERR_INIT;
        network_release(i->address);
        if (file_remove_tree(i->folder, &second) < 0)
            log_warn("cannot remove a half-made instance, the next start will", F_ERR(&second));
        return -1;
    }
    *ret_instance = TAKE(i);
    return 0;
}

/* It exists: the same answer as to who asked first. Consumes the ticket. */
static void instance_start_again(struct instance *i, json_t *args, struct ticket *ticket)
{
    struct err err = ERR_INIT;
    if (i->state != INSTANCE_STOPPING) {
        starter_add(i, ticket);
        comeback_now(i);
        instance_answer_start(i);
    } else if (i->next_ticket) {
        (void)FAIL(&err, E_STATE_CONFLICT, "instance '%s' is being stopped", i->name);
        ticket_fail(ticket, &err);
    } else { /* started when it is gone */
        i->next = json_incref(args);
        i->next_ticket = ticket;
    }
}

static void instance_start(json_t *args, struct ticket *ticket)
{
    struct err err = ERR_INIT;
    struct instance *i = instance_find(json_text_or(args, "instance", ""));
    if (i) {
        instance_start_again(i, args, ticket);
        return;
    }
    int64_t start = clock_mono_us();
    if (instance_make(args, &i, &err) < 0) {
        ticket_fail(ticket, &err);
        return;
    }
    log_info("instance starting", F_STR("instance", i->name), F_INT("rollout", i->rollout));
    i->start_us = start;
    instance_enter(i);
    record_sync(i);
    starter_add(i, ticket);
    run_create(i);
}

void instance_verb_start(void *context, struct message *m)
{
    (void)context;
    CHECK_LOOP();
    instance_start(m->args, message_ticket(m));
}

/* instance.stop */

static void stopper_add(struct instance *i, struct ticket *ticket)
{
    struct err err = ERR_INIT;
    if (i->stopper_count < ARRAY_SIZE(i->stoppers)) {
        i->stoppers[i->stopper_count++] = ticket;
        return;
    }
    (void)FAIL(&err, E_TOO_MANY, "too many wait for the end of instance '%s'", i->name);
    ticket_fail(ticket, &err);
}

static void answer_gone(struct ticket *ticket)
{
    json_t *ok = json_object();
    json_put_int(ok, "exit_code", 0);
    json_put_int(ok, "ms", 0);
    json_put_bool(ok, "killed", false);
    ticket_ok(ticket, ok);
}

void instance_verb_stop(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct instance *i = instance_find(json_text_or(m->args, "instance", ""));
    (void)context;
    CHECK_LOOP();
    if (!i) {
        answer_gone(message_ticket(m));
        return;
    }
    if (i->next_ticket) { /* asked to start after the end: no longer */
        (void)FAIL(&err, E_CANCELLED, "instance '%s' was stopped", i->name);
        ticket_fail(TAKE(i->next_ticket), &err);
        json_decref(TAKE(i->next));
    }
    stopper_add(i, message_ticket(m));
    if (i->state == INSTANCE_STOPPING)
        return;
    (void)FAIL(&err, E_CANCELLED, "instance '%s' was stopped", i->name);
    instance_fail_start(i, &err);
    i->stopping = true;
    record_again(i);
    log_info("instance stopping", F_STR("instance", i->name));
    if (instance_event(i, INSTANCE_STOP))
        stop_begin(i);
}

/* instance.list */

static json_t *foreign_groups(void)
{
    AUTO_JSON *groups = sandbox_cgroup_list();
    json_t *foreign = json_array();
    size_t index;
    json_t *group;
    json_array_foreach(groups, index, group)
    {
        const char *name = strchr(json_string_value(group), '/') + 1;
        if (!instance_find(name) && !sandbox_runs_in(json_string_value(group)))
            json_push(foreign, json_incref(group));
    }
    return foreign;
}

static void put_known(json_t *target, const char *name, int64_t value)
{
    json_put(target, name, value >= 0 ? json_integer(value) : json_null());
}

/* Its monitor wrote the pid when it was made, whichever process of ours asked for it. */
static int64_t made_at(const struct instance *i)
{
    struct stat info;
    AUTO_FREE char *path = mem_format("%s/pid", i->folder);
    if (i->pid <= 0 || stat(path, &info) < 0)
        return -1;
    return (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
}

static void put_figures(json_t *j, const struct instance *i)
{
    struct sandbox_usage usage;
    sandbox_usage(i->cgroup, &usage);
    put_known(j, "memory", usage.memory);
    put_known(j, "memory_limit", usage.memory_limit);
    put_known(j, "cpu_us", usage.cpu_us);
    put_known(j, "pids", usage.pids);
    put_known(j, "up_since", made_at(i));
}

void instance_verb_list(void *context, struct message *m)
{
    const char *app_env = json_text(m->args, "app_env");
    json_t *list = json_array();
    json_t *ok = json_object();
    (void)context;
    CHECK_LOOP();
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *i = instances.by_name.entries[n].value;
        if (app_env && !text_is(i->app_env, app_env))
            continue;
        json_t *item = instance_json(i);
        if (json_bool(m->args, "figures", false))
            put_figures(item, i);
        json_push(list, item);
    }
    json_put(ok, "instances", list);
    json_put(ok, "foreign", app_env ? json_array() : foreign_groups());
    message_ok(m, ok);
}

/* The start of the host. */

/* What a record says must be true again. */
static void instance_take_up(struct instance *i)
{
    bool lives = run_adopt(i);
    instance_enter(i);
    if (i->outdated)
        record_again(i);
    FAULT("instance.adopt");
    if (i->stopping) {
        if (!lives)
            run_kill_monitor(i);
        (void)instance_event(i, INSTANCE_STOP); /* the table allows it */
        stop_begin(i);
    } else if (lives) {
        log_info("instance adopted", F_STR("instance", i->name), F_INT("pid", i->pid));
        (void)instance_event(i, INSTANCE_CREATED);
        run_watch_ready(i);
        output_open(i);
    } else {
        instance_tell_ready(i, !i->ever_ready);
        run_kill_monitor(i);
        comeback_add(i);
    }
}

/* One bad record never stops the host: it is put aside under a name that the doctor sees. */
static void put_aside(const char *name, const struct err *error)
{
    AUTO_FREE char *from = mem_format("%s/%s", instances.folder, name);
    AUTO_FREE char *to = mem_format("%s/.bad-%s-%lld", instances.folder, name,
                                    (long long)clock_wall_ms(clock_system()));
    log_error("cannot take up an instance, putting its record aside", F_STR("instance", name),
              F_STR("to", to), F_ERR(error));
    if (rename(from, to) < 0)
        log_error("cannot put a record aside, leaving it", F_INT("errno", errno));
}

static void take_up_name(const char *name)
{
    struct err err = ERR_INIT;
    struct instance *i = NULL;
    AUTO_FREE char *record = mem_format("%s/%s/record.json", instances.folder, name);
    if (!file_exists(record)) { /* died before its record was written */
        AUTO_FREE char *folder = mem_format("%s/%s", instances.folder, name);
        if (file_remove_tree(folder, &err) < 0)
            put_aside(name, &err);
        return;
    }
    if (record_load(name, &i, &err) < 0) {
        put_aside(name, &err);
        return;
    }
    if (network_claim(i->address, &err) < 0) {
        put_aside(name, &err);
        instance_free(i);
        return;
    }
    instance_take_up(i);
}

static void take_up_all(void)
{
    struct err err = ERR_INIT;
    DIR *folder = opendir(instances.folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (text_starts(entry->d_name, ".gone-")) { /* died while it was removed */
            AUTO_FREE char *path = mem_format("%s/%s", instances.folder, entry->d_name);
            if (file_remove_tree(path, &err) < 0)
                log_warn("cannot remove an old instance's folder, leaving it", F_ERR(&err));
        } else if (entry->d_name[0] != '.') {
            take_up_name(entry->d_name);
        }
    }
    (void)closedir(folder);
}

int instance_init(struct host *h, const struct instance_roots *roots, const char *program,
                  struct err *err)
{
    struct probe_options probe = {.program = program, .on_change = probe_changed};
    instances.host = h;
    instances.roots = *roots;
    instances.folder = settings_data(h->settings, "host/instances");
    map_init(&instances.by_name);
    AUTO_FREE char *live = settings_run(h->settings, "live");
    if (file_make_dirs(instances.folder, 0700, err) < 0 || file_make_dirs(live, 0711, err) < 0 ||
        probe_setup(h->settings, &probe, err) < 0)
        return -1;
    output_setup();
    take_up_all();
    comeback_begin();
    return 0;
}

void instance_shutdown(void)
{
    probe_shutdown();
    output_shutdown();
    for (size_t n = 0; n < instances.by_name.count; n++) {
        struct instance *i = instances.by_name.entries[n].value;
        struct err err = ERR_INIT;
        (void)FAIL(&err, E_ROLE_DOWN, "the host role ends");
        instance_fail_start(i, &err);
        for (size_t t = 0; t < i->stopper_count; t++)
            ticket_fail(i->stoppers[t], &err);
        i->stopper_count = 0;
        if (i->next_ticket)
            ticket_fail(TAKE(i->next_ticket), &err);
        run_let_go(i);
        timer_free(&i->wait);
        timer_free(&i->comeback_timer);
    }
}

/* Doctor, df, dump. */

static size_t count_aside(void)
{
    size_t count = 0;
    DIR *folder = opendir(instances.folder);
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += text_starts(entry->d_name, ".bad-");
    (void)closedir(folder);
    return count;
}

void instance_doctor(json_t *checks)
{
    size_t looping = 0, aside = count_aside();
    AUTO_JSON *foreign = foreign_groups();
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *i = instances.by_name.entries[n].value;
        looping += i->state == INSTANCE_CRASH_LOOP;
    }
    AUTO_FREE char *text =
        mem_format("%zu instances, %zu in a crash loop", instances.by_name.count, looping);
    doctor_push(checks, "instances", looping == 0, text, "look at their output");
    AUTO_FREE char *bad = mem_format("%zu records set aside", aside);
    doctor_push(checks, "instance records", aside == 0, bad,
                "see .bad-* in data_dir/host/instances; remove them when looked at");
    AUTO_FREE char *names = json_print(foreign);
    doctor_push(checks, "foreign groups", json_array_size(foreign) == 0, names,
                "something runs in our cgroup that no record knows: stop it");
    probe_doctor(checks);
}

void instance_df(json_t *volumes)
{
    json_t *volume = json_object();
    struct df total = {0};
    df_add(instances.folder, &total);
    json_put_text(volume, "what", "instances and their output");
    json_put_text(volume, "path", instances.folder);
    json_put_int(volume, "bytes", total.bytes);
    json_put_int(volume, "files", total.files);
    json_push(volumes, volume);
}

json_t *instance_dump(void)
{
    json_t *dump = json_object();
    json_t *list = json_array();
    for (size_t n = 0; n < instances.by_name.count; n++) {
        const struct instance *i = instances.by_name.entries[n].value;
        json_t *one = instance_json(i);
        json_put_text(one, "artifact", i->artifact);
        json_put_text(one, "cgroup", i->cgroup);
        json_put_int(one, "conmon", i->conmon_pid);
        json_put_int(one, "memory", sandbox_memory_used(i->cgroup));
        json_put_int(one, "waiting", (int64_t)(i->starter_count + i->stopper_count));
        json_put_bool(one, "ever_ready", i->ever_ready);
        json_put_bool(one, "removing", i->removing);
        json_put_text(one, "why", i->why);
        json_push(list, one);
    }
    json_put(dump, "instances", list);
    json_put(dump, "probe", probe_dump());
    json_put(dump, "output", output_dump());
    json_put_int(dump, "bridge_ports", (int64_t)network_ports());
    return dump;
}
