/* The edge's entry points: start and end, verbs, what doctor and dump tell. See edge.h, and
 * edge_priv.h for who does what. */
#include "host/edge/edge.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"
#include "io/message.h"
#include "wire/doctor.h"

#define CONNECTIONS_MOST 50000
#define FDS_KEPT 600 /* checks, listeners, sockets, idle connections of the pool */
#define STOP_MS 3000
#define STOP_QUIET 3 /* looks that must find nothing */
#define STOP_TURNS 50
#define STOP_PAUSE_MS 20

static struct edge *the_edge;

/* Start and end. */

/* Two descriptors a proxied connection, and a tenth for idle ones towards the apps. */
static long connections_of_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < FDS_KEPT + 200)
        return 100;
    rlim_t most = (limit.rlim_max - FDS_KEPT) * 10 / 22;
    return most > CONNECTIONS_MOST ? CONNECTIONS_MOST : (long)most;
}

static long threads_of_machine(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 65 ? 64 : cores > 1 ? cores - 1 : 1;
}

static struct edge *edge_new(const struct settings *settings)
{
    struct edge *e = mem_alloc(sizeof(*e));
    e->settings = settings;
    edge_paths_init(&e->paths, settings);
    e->platform_host = mem_format(EDGE_PLATFORM ".%s", settings->base_domain);
    e->limits = (struct edge_limits){settings->subnet, e->platform_host};
    e->threads = threads_of_machine();
    e->connections = connections_of_limit();
    e->state = (enum edge_state)edge_sm.initial;
    e->retry_ms = 100;
    edge_changes_init(&e->queued);
    edge_changes_init(&e->writing);
    edge_changes_init(&e->durable);
    edge_model_init(&e->model);
    map_init(&e->unready);
    return e;
}

static void edge_free(struct edge *e)
{
    struct err err = ERR_INIT;
    if (!e)
        return;
    (void)FAIL(&err, E_ROLE_DOWN, "the host is going down");
    e->ended = true;
    edge_drain_done(e);
    timer_free(&e->sweep);
    edge_sync_stop(e);
    edge_run_done(e);
    edge_changes_answer(&e->queued, 0, &err);
    edge_changes_answer(&e->writing, 0, &err);
    edge_changes_answer(&e->durable, 0, &err);
    if (e->write_busy || e->launching)
        return; /* a thread or a child still has it: the process is about to end */
    edge_table_done(&e->next);
    edge_table_done(&e->table);
    map_done(&e->unready);
    edge_paths_done(&e->paths);
    free(e->platform_host);
    free(e);
}
DEFINE_AUTO(edge)

int edge_init(struct host *h, struct err *err)
{
    ASSERT(!the_edge);
    AUTO(edge) *e = edge_new(h->settings);
    if (settings_uid(h->settings->user_edge, &e->uid, &e->gid, err) < 0 ||
        edge_paths_make(&e->paths, e->uid, e->gid, err) < 0 || edge_record_load(e, err) < 0)
        return err_wrap(err, "edge");
    the_edge = TAKE(e);
    edge_run_start(the_edge);
    return 0;
}

void edge_done(void)
{
    edge_free(TAKE(the_edge));
}

void edge_server_ready(int64_t app_env_id, const char *server, bool ready)
{
    char key[EDGE_UNREADY_KEY_MAX];
    struct edge *e = the_edge;
    if (!e || strlen(server) > EDGE_SERVER_NAME_MAX)
        return;
    (void)edge_unready_key(key, app_env_id, server);
    bool was_ready = !map_get(&e->unready, key);
    if (ready == was_ready)
        return;
    if (ready)
        (void)map_remove(&e->unready, key);
    else
        (void)map_put(&e->unready, key, &e->unready);
    edge_sync_one(e, app_env_id);
}

/* True when the process behind the fd ended in time. */
static bool pidfd_ended(int pidfd, int milliseconds)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    return poll(&wait, 1, milliseconds) == 1;
}

static int pid_end(pid_t pid, struct err *err)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return 0; /* gone meanwhile */
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    if (pidfd_ended(pidfd, STOP_MS))
        return 0;
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    if (pidfd_ended(pidfd, STOP_MS))
        return 0;
    return FAIL(err, E_TIMEOUT, "edge process %d does not end", (int)pid);
}

/* One that was starting when its host ended may become two meanwhile: look until there is none. */
static int edge_end_all(const struct edge_paths *paths, uid_t uid, struct err *err)
{
    pid_t pids[EDGE_PIDS_MAX];
    int result = 0;
    for (int quiet = 0, turn = 0; quiet < STOP_QUIET && turn < STOP_TURNS; turn++) {
        size_t count = edge_process_scan(paths, uid, true, pids, EDGE_PIDS_MAX);
        for (size_t i = 0; i < count; i++)
            if (pid_end(pids[i], err) < 0)
                result = -1;
        quiet = count ? 0 : quiet + 1;
        (void)poll(NULL, 0, STOP_PAUSE_MS);
    }
    return result;
}

int edge_shutdown(const struct settings *settings, struct err *err)
{
    struct edge_paths paths;
    uid_t uid;
    gid_t gid;
    if (settings_uid(settings->user_edge, &uid, &gid, err) < 0)
        return -1;
    edge_paths_init(&paths, settings);
    int result = edge_end_all(&paths, uid, err);
    edge_paths_done(&paths);
    return result;
}

/* Verbs. */

static struct edge_key key_of(const json_t *args)
{
    return (struct edge_key){json_text(args, "app_env"), json_int(args, "app_env_id", 0),
                             json_int(args, "version", 0)};
}

void edge_verb_apply(void *context, struct message *m)
{
    struct edge_key key = key_of(m->args);
    struct edge_app_env *app_env;
    struct err err = ERR_INIT;
    (void)context;
    ASSERT(the_edge);
    if (edge_app_env_parse(&the_edge->limits, &key, json_dict(m->args, "state"), &app_env, &err) <
        0) {
        message_fail(m, &err);
        return;
    }
    edge_record(the_edge, app_env, message_ticket(m));
}

void edge_verb_remove(void *context, struct message *m)
{
    struct edge_key key = key_of(m->args);
    (void)context;
    ASSERT(the_edge);
    edge_record(the_edge, edge_app_env_removed(&key), message_ticket(m));
}

void edge_verb_drained(void *context, struct message *m)
{
    (void)context;
    ASSERT(the_edge);
    edge_drain_start(the_edge, json_int(m->args, "app_env_id", 0), json_list(m->args, "servers"),
                     json_int(m->args, "deadline_ms", 0), message_ticket(m));
}

void edge_verb_certificate(void *context, struct message *m)
{
    (void)context;
    ASSERT(the_edge);
    edge_cert_store(the_edge, json_text(m->args, "domain"), json_text(m->args, "pem"),
                    message_ticket(m));
}

/* edge.stat. */

struct stat_ask {
    struct ticket *ticket;
    int64_t only; /* app_env_id; 0: all */
};

static json_t *stat_json(const struct edge *e)
{
    json_t *ok = json_object();
    json_put_bool(ok, "up", e->state == EDGE_UP);
    json_put_text(ok, "state", sm_state_name(&edge_sm, (int)e->state));
    json_put_int(ok, "pid", e->process ? e->process->pid : 0);
    json_put_int(ok, "older", (int64_t)edge_older_count(e));
    json_put_int(ok, "since", e->since_ms);
    json_put_int(ok, "dropped_logs", e->dropped_logs);
    return ok;
}

static void stat_server(json_t *servers, const struct edge_stat_line *line, int64_t only)
{
    int64_t id;
    enum edge_slot slot;
    if (!edge_backend_scan(line->backend, &id, &slot) || (only && only != id))
        return;
    json_t *value = json_object();
    json_put_int(value, "app_env_id", id);
    json_put_text(value, "slot", slot == EDGE_SLOT_A ? "a" : "b");
    json_put_str(value, "name", line->server);
    json_put_str(value, "status", line->status);
    json_put_int(value, "sessions", line->sessions);
    json_put_int(value, "total", line->total);
    json_push(servers, value);
}

static void stat_told(void *context, const struct edge_answers *answers)
{
    struct stat_ask *ask = context;
    json_t *servers = json_array();
    struct edge_stat_line line;
    if (!answers->error && the_edge) {
        struct str stat = edge_answer_at(answers, 1);
        edge_sync_info(the_edge, edge_answer_at(answers, 0));
        while (edge_stat_next(&stat, &line))
            stat_server(servers, &line, ask->only);
    }
    json_t *ok = the_edge ? stat_json(the_edge) : json_object();
    json_put(ok, "servers", servers);
    ticket_ok(ask->ticket, ok);
    free(ask);
}

void edge_verb_stat(void *context, struct message *m)
{
    struct stat_ask *ask = mem_alloc(sizeof(*ask));
    struct edge_answers nothing = {.error = &(struct err){.kind = E_UNAVAILABLE}};
    (void)context;
    ASSERT(the_edge);
    *ask = (struct stat_ask){message_ticket(m), json_int(m->args, "app_env_id", 0)};
    if (the_edge->cli)
        edge_cli_run(the_edge->cli, STR("show info\nshow stat -1 4 -1\n"), 2, stat_told, ask);
    else
        stat_told(ask, &nothing);
}

/* Doctor and dump. */

/* A check, a reload or a look at what runs is no trouble: one serves meanwhile. */
static bool one_serves(int64_t state)
{
    return state == EDGE_UP || state == EDGE_SYNCING || state == EDGE_RECHECKING ||
           state == EDGE_RELOADING;
}

static void doctor_process(const struct edge *e, json_t *checks)
{
    AUTO_FREE char *text =
        mem_format("haproxy %s, pid %d, %zu older", sm_state_name(&edge_sm, (int)e->state),
                   e->process ? (int)e->process->pid : 0, edge_older_count(e));
    doctor_push(checks, "edge", one_serves((int64_t)e->state), text,
                "it is tried again by itself; see the host's log, and that its ports are free");
}

static void doctor_config(const struct edge *e, json_t *checks)
{
    doctor_push(checks, "edge configuration", e->trouble.kind == E_OK,
                e->trouble.kind == E_OK ? "the newest one is loaded" : e->trouble.text,
                "the last good one goes on serving; see the host's log");
}

/* What was lost an hour ago cannot be mended: only the last minutes are judged. */
static void doctor_log(const struct edge *e, json_t *checks)
{
    int64_t lately = edge_drops_lately(&e->drops, clock_mono_ms(clock_system()));
    AUTO_FREE char *text =
        mem_format("%lld request lines dropped in the last %d minutes, %lld since haproxy started",
                   (long long)lately, EDGE_DROPS_MS / 60000, (long long)e->dropped_logs);
    doctor_push(checks, "edge request log", file_exists(e->paths.log) && lately == 0,
                file_exists(e->paths.log) ? text : "the request-log socket is missing",
                "figures of requests are incomplete: see that signals runs and keeps up");
}

void edge_doctor(struct host *h, json_t *checks)
{
    (void)h;
    if (!the_edge) {
        doctor_push(checks, "edge", false, "not started", "restart slipway");
        return;
    }
    doctor_process(the_edge, checks);
    doctor_config(the_edge, checks);
    doctor_log(the_edge, checks);
}

json_t *edge_dump(void)
{
    if (!the_edge)
        return json_null();
    json_t *dump = stat_json(the_edge);
    json_t *list = json_array();
    for (size_t i = 0; i < the_edge->table.count; i++)
        json_push(list, edge_app_env_json(the_edge->table.items[i]));
    json_put_int(dump, "model_servers", (int64_t)the_edge->model.servers.count);
    json_put_int(dump, "sync_failures", the_edge->sync_failures);
    json_put(dump, "app_envs", list);
    return dump;
}
