/* The runtime socket: after each connection everything is read and compared (full sync); then
 * changes go by the shortest way, many commands in one write, and one answer check.
 *
 * What is not answered as expected makes our view void: sync again, and if that does not help,
 * reload, whose configuration holds everything. Core waits for its answer meanwhile. */
#include "base/check.h"
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"

#define CONNECT_FIRST_MS 5
#define CONNECT_QUICK 200 /* attempts; later ones are slower, and changes are answered with why */
#define CONNECT_SLOW_MS 500
#define LOOK_MS 60000
#define SYNC_RETRY_MS 200
#define SYNC_RETRY_MOST_MS 5000
#define TROUBLE_RETRY_MS 4000 /* after a refused configuration */

/* One group of commands under way, and the changes it answers. */
struct push {
    struct edge *edge;
    struct edge_commands commands;
    struct edge_changes changes;
    int64_t started_us;
    bool full; /* a sync, not a change */
};

static void push_free(struct push *p)
{
    edge_commands_done(&p->commands);
    free(p);
}

static struct push *push_new(struct edge *e)
{
    struct push *p = mem_alloc(sizeof(*p));
    p->edge = e;
    edge_commands_init(&p->commands);
    edge_changes_init(&p->changes);
    return p;
}

static struct edge_plan plan_of(struct edge *e, struct push *p)
{
    return (struct edge_plan){.hosts_path = e->paths.hosts,
                              .routes_path = e->paths.routes,
                              .model = &e->model,
                              .commands = &p->commands,
                              .unready = &e->unready};
}

/* Were all answers the expected ones? */
static int push_check(const struct push *p, const struct edge_answers *answers, struct err *err)
{
    if (answers->error) {
        *err = *answers->error;
        return -1;
    }
    for (size_t i = 0; i < p->commands.count; i++) {
        struct str got = edge_answer_at(answers, i);
        if (edge_answer_is(p->commands.answers[i], got))
            continue;
        int length = got.length > 120 ? 120 : (int)got.length;
        return FAIL(err, E_EDGE_REFUSED, "the edge answered '%.*s' to command %zu", length,
                    got.data, i);
    }
    return 0;
}

static void sync_again(struct edge *e, const struct err *why)
{
    e->sync_failures++;
    log_warn("edge answered unexpectedly: reading all of it again", F_ERR(why),
             F_INT("failures", e->sync_failures));
    if (e->sync_failures == 2) {
        edge_run_reload(e);
        return;
    }
    if (e->sync_failures > 2)
        edge_changes_answer(&e->durable, 0, why);
    edge_event(e, EDGE_LOST);
}

static void push_answered(void *context, const struct edge_answers *answers)
{
    struct push *p = context;
    struct edge *e = p->edge;
    struct err err = ERR_INIT;
    if (push_check(p, answers, &err) == 0) {
        edge_changes_answer(&p->changes, clock_mono_us() - p->started_us, NULL);
        e->sync_failures = 0;
        if (p->full)
            edge_event(e, EDGE_SYNCED);
        else
            edge_sweep_wake(e);
    } else {
        edge_changes_move(&p->changes, &e->durable); /* before what came meanwhile */
        edge_changes_move(&e->durable, &p->changes);
        if (!answers->error) /* else on_lost follows */
            sync_again(e, &err);
    }
    push_free(p);
}

static void push_send(struct push *p)
{
    struct edge *e = p->edge;
    if (p->commands.count == 0) {
        edge_changes_answer(&p->changes, 0, NULL);
        bool full = p->full;
        push_free(p);
        if (full)
            edge_event(e, EDGE_SYNCED);
        return;
    }
    p->started_us = clock_mono_us();
    edge_cli_run(e->cli, buf_str(&p->commands.text), p->commands.count, push_answered, p);
}

/* A change whose backends are not there waits for the reload; when the configuration was refused,
 * it is answered with that. */
static void change_without_backends(struct edge *e, struct edge_change *change,
                                    struct edge_changes *wait)
{
    struct edge_changes alone;
    edge_changes_init(&alone);
    if (clock_mono_ms(clock_system()) > e->reload_after_ms + TROUBLE_RETRY_MS)
        e->trouble = (struct err)ERR_INIT; /* try it once more */
    if (e->trouble.kind == E_OK) {
        edge_changes_add(wait, change);
        return;
    }
    edge_changes_add(&alone, change);
    edge_changes_answer(&alone, 0, &e->trouble);
}

/* The table's state is applied, which may be newer than the change: then it is done as well. */
static bool change_plan(struct edge *e, struct push *p, const struct edge_change *change)
{
    struct edge_plan plan = plan_of(e, p);
    const struct edge_app_env *now = edge_table_get(&e->table, change->app_env->id);
    if (change->renamed) {
        (void)edge_plan_all(&plan, &e->table); /* others' backends are their changes' matter */
        return now->removed || edge_model_has(&e->model, now->id);
    }
    return edge_plan_app_env(&plan, now);
}

void edge_sync_push(struct edge *e)
{
    struct edge_changes wait, all;
    if (e->state == EDGE_FAILED)
        edge_changes_answer(&e->durable, 0, &e->trouble);
    if (e->state != EDGE_UP || !e->durable.first)
        return;
    struct push *p = push_new(e);
    edge_changes_init(&wait);
    edge_changes_init(&all);
    edge_changes_move(&all, &e->durable);
    for (struct edge_change *c = all.first, *next; c; c = next) {
        next = c->next;
        if (change_plan(e, p, c))
            edge_changes_add(&p->changes, c);
        else
            change_without_backends(e, c, &wait);
    }
    edge_changes_move(&e->durable, &wait);
    if (e->durable.first)
        edge_run_reload(e);
    push_send(p);
}

void edge_sync_one(struct edge *e, int64_t id)
{
    const struct edge_app_env *now = edge_table_get(&e->table, id);
    if (e->state != EDGE_UP || !now)
        return;
    struct push *p = push_new(e);
    struct edge_plan plan = plan_of(e, p);
    (void)edge_plan_app_env(&plan, now); /* without backends: nothing runs that could be told */
    push_send(p);
}

/* Full sync. */

static void sync_connect(void *context);

static void connect_soon(struct edge *e, int64_t delay_ms)
{
    timer_start(&e->connect, delay_ms, 0, sync_connect, e);
}

/* Quick at first: a predecessor may still answer for some milliseconds. */
static void connect_again(struct edge *e, const struct err *why)
{
    bool quick = ++e->connect_attempts < CONNECT_QUICK;
    if (!quick)
        edge_changes_answer(&e->durable, 0, why);
    if (e->connect_attempts == CONNECT_QUICK)
        log_error("edge runtime socket cannot be used: trying on", F_ERR(why));
    connect_soon(e, quick ? CONNECT_FIRST_MS : CONNECT_SLOW_MS);
}

static int64_t retry_delay(const struct edge *e)
{
    int64_t delay = e->sync_failures * SYNC_RETRY_MS;
    return delay > SYNC_RETRY_MOST_MS ? SYNC_RETRY_MOST_MS : delay;
}

/* "Pid: 4711" of `show info`. */
static int64_t info_number(struct str info, const char *name)
{
    struct err ignored = ERR_INIT;
    int64_t value;
    while (info.data) {
        struct str line = str_cut(&info, '\n');
        struct str key = str_cut(&line, ':');
        if (str_is(key, name) && line.data &&
            str_to_int(str_trim(line), 0, INT64_MAX, name, &value, &ignored) == 0)
            return value;
    }
    return -1;
}

void edge_sync_info(struct edge *e, struct str info)
{
    int64_t dropped = info_number(info, "DroppedLogs");
    if (dropped < 0)
        return;
    edge_drops_note(&e->drops, dropped, clock_mono_ms(clock_system()));
    e->dropped_logs = dropped;
}

static void sync_plan(struct edge *e)
{
    struct push *p = push_new(e);
    struct edge_plan plan = plan_of(e, p);
    p->full = true;
    bool complete = edge_plan_all(&plan, &e->table);
    if (p->commands.count > 0)
        log_info("edge: bringing the process to the wanted state",
                 F_INT("commands", p->commands.count));
    if (!complete && e->trouble.kind == E_OK)
        edge_run_reload(e);
    push_send(p);
}

static void sync_read(void *context, const struct edge_answers *answers)
{
    struct edge *e = context;
    if (answers->error)
        return; /* on_lost follows */
    int64_t pid = info_number(edge_answer_at(answers, 0), "Pid");
    if (!e->process || pid != e->process->pid) { /* its predecessor still answered: once more */
        struct err err = ERR_INIT;
        (void)FAIL(&err, E_EDGE_REFUSED, "another process answers at the edge's runtime socket");
        edge_sync_stop(e);
        connect_again(e, &err);
        return;
    }
    edge_sync_info(e, edge_answer_at(answers, 0));
    edge_model_done(&e->model);
    edge_model_read_backends(&e->model, edge_answer_at(answers, 1));
    edge_model_read_servers(&e->model, edge_answer_at(answers, 2));
    edge_model_read_map(&e->model.hosts, edge_answer_at(answers, 3));
    edge_model_read_map(&e->model.routes, edge_answer_at(answers, 4));
    sync_plan(e);
}

static void sync_lost(void *context, const struct err *err)
{
    struct edge *e = context;
    log_warn("edge runtime socket lost: connecting again", F_ERR(err));
    e->sync_failures++;
    if (e->sync_failures > 1)
        edge_changes_answer(&e->durable, 0, err);
    edge_sync_stop(e);
    if (e->state == EDGE_SYNCING)
        connect_soon(e, retry_delay(e));
    else
        edge_event(e, EDGE_LOST);
}

static void sync_connect(void *context)
{
    struct edge *e = context;
    struct err err = ERR_INIT;
    if (e->state != EDGE_SYNCING)
        return;
    if (edge_cli_open(e->paths.admin, e->uid, sync_lost, e, &e->cli, &err) < 0) {
        connect_again(e, &err);
        return;
    }
    AUTO_FREE char *text =
        mem_format("show info\nshow backend\nshow servers state\nshow map %s\nshow map %s\n",
                   e->paths.hosts, e->paths.routes);
    edge_cli_run(e->cli, str_of(text), 5, sync_read, e);
}

static void looked(void *context, const struct edge_answers *answers)
{
    if (!answers->error)
        edge_sync_info(context, edge_answer_at(answers, 0));
}

static void look(void *context)
{
    struct edge *e = context;
    if (e->state == EDGE_UP && e->cli)
        edge_cli_run(e->cli, STR("show info\n"), 1, looked, e);
}

void edge_sync_start(struct edge *e)
{
    edge_sync_stop(e);
    timer_start(&e->look, LOOK_MS, LOOK_MS, look, e);
    connect_soon(e, retry_delay(e));
}

void edge_sync_stop(struct edge *e)
{
    timer_free(&e->connect);
    timer_free(&e->look);
    edge_cli_free(TAKE(e->cli));
    edge_model_done(&e->model);
    e->sweep_busy = false;
}
