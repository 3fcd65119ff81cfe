/* Servers that nobody wants any more: out of HAProxy, without losing what they still work on.
 *
 * Each turn looks at their sessions. One without any goes to maintenance, and one that has been in
 * maintenance for a second is deleted, one at a time (HAProxy 2.6 crashed when a server went while
 * a stream still used it). While a server waits, it may be wanted again: then it is simply kept.
 * The timer runs only while there is something to sweep. */
#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"

#define SWEEP_MS 250
#define MAINT_MS 1000
#define ATTEMPTS_MAX 240 /* then it stays until the next reload */
#define STAT_FIELDS 19

struct sweep_delete {
    struct edge *edge;
    struct edge_running server; /* it left our view when the command was sent */
};

static int64_t stat_number(struct str text)
{
    struct err ignored = ERR_INIT;
    int64_t value = 0;
    return str_to_int(text, 0, INT64_MAX, "field", &value, &ignored) < 0 ? 0 : value;
}

/* pxname,svname,qcur,qmax,scur,smax,slim,stot, ... ,status is the 18th. */
bool edge_stat_next(struct str *rest, struct edge_stat_line *ret_line)
{
    while (rest->data && rest->length > 0) {
        struct str fields[STAT_FIELDS];
        size_t count = 0;
        struct str line = str_cut(rest, '\n');
        if (line.length == 0 || line.data[0] == '#')
            continue;
        while (count < STAT_FIELDS && line.data)
            fields[count++] = str_cut(&line, ',');
        if (count < STAT_FIELDS)
            continue;
        *ret_line = (struct edge_stat_line){.backend = fields[0], .server = fields[1]};
        ret_line->status = fields[17];
        ret_line->sessions = stat_number(fields[2]) + stat_number(fields[4]);
        ret_line->total = stat_number(fields[7]);
        return true;
    }
    return false;
}

static void sweep_turn(void *context);

static struct edge_running *sweep_find(const struct edge *e, const struct edge_stat_line *line)
{
    int64_t id;
    enum edge_slot slot;
    char name[EDGE_SERVER_NAME_MAX + 1];
    if (!edge_backend_scan(line->backend, &id, &slot) || line->server.length >= sizeof(name))
        return NULL;
    memcpy(name, line->server.data, line->server.length);
    name[line->server.length] = '\0';
    return edge_model_server(&e->model, id, slot, name);
}

static void sweep_again(struct edge *e)
{
    e->sweep_busy = false;
    edge_sweep_wake(e);
}

static void deleted(void *context, const struct edge_answers *answers)
{
    struct sweep_delete *d = context;
    struct edge *e = d->edge;
    struct edge_running *s = &d->server;
    bool gone = answers->error || edge_answer_is(EDGE_ANSWER_DELETED, edge_answer_at(answers, 0));
    if (!gone && !edge_model_server(&e->model, s->id, s->slot, s->name)) {
        if (++s->attempts == ATTEMPTS_MAX)
            log_warn("edge cannot delete a server: leaving it in maintenance",
                     F_STR("server", s->name), F_ID("app_env_id", s->id));
        (void)edge_model_add(&e->model, s->id, s);
    }
    free(d);
    sweep_again(e);
}

/* A change that comes now adds it anew, after this. */
static void server_delete(struct edge *e, const struct edge_running *s)
{
    struct sweep_delete *d = mem_alloc(sizeof(*d));
    struct edge_commands commands;
    *d = (struct sweep_delete){e, *s};
    edge_commands_init(&commands);
    FAULT("edge.delete");
    edge_command(&commands, EDGE_ANSWER_DELETED, "del server e%lld%c/%s", (long long)s->id,
                 edge_slot_letter(s->slot), s->name);
    edge_model_drop(&e->model, s);
    edge_cli_run(e->cli, buf_str(&commands.text), commands.count, deleted, d);
    edge_commands_done(&commands);
}

static void maint_answered(void *context, const struct edge_answers *answers)
{
    (void)answers; /* a server that did not take it cannot be deleted either: that is counted */
    sweep_again(context);
}

/* All that have no session go to maintenance; false when there was none. */
static bool servers_rest(struct edge *e, struct str stat)
{
    struct edge_commands commands;
    struct edge_stat_line line;
    int64_t now = clock_mono_ms(clock_system());
    edge_commands_init(&commands);
    while (edge_stat_next(&stat, &line)) {
        struct edge_running *s = sweep_find(e, &line);
        if (!s || !s->gone || s->admin == EDGE_MAINT || line.sessions > 0)
            continue;
        edge_command(&commands, EDGE_ANSWER_NONE, "set server e%lld%c/%s state maint",
                     (long long)s->id, edge_slot_letter(s->slot), s->name);
        s->admin = EDGE_MAINT;
        s->maint_at_ms = now;
    }
    bool any = commands.count > 0;
    if (any)
        edge_cli_run(e->cli, buf_str(&commands.text), commands.count, maint_answered, e);
    edge_commands_done(&commands);
    return any;
}

static struct edge_running *server_ripe(const struct edge *e)
{
    int64_t now = clock_mono_ms(clock_system());
    for (size_t i = 0; i < e->model.servers.count; i++) {
        struct edge_running *s = e->model.servers.entries[i].value;
        if (s->gone && s->admin == EDGE_MAINT && now - s->maint_at_ms >= MAINT_MS &&
            s->attempts < ATTEMPTS_MAX)
            return s;
    }
    return NULL;
}

static void stat_answered(void *context, const struct edge_answers *answers)
{
    struct edge *e = context;
    if (answers->error || e->state != EDGE_UP) {
        e->sweep_busy = false;
        return;
    }
    for (size_t i = 0; i < answers->count; i++)
        if (servers_rest(e, edge_answer_at(answers, i)))
            return; /* one thing a turn */
    const struct edge_running *ripe = server_ripe(e);
    if (ripe)
        server_delete(e, ripe);
    else
        sweep_again(e);
}

static void sweep_turn(void *context)
{
    struct edge *e = context;
    if (e->state != EDGE_UP || e->sweep_busy)
        return;
    e->sweep_busy = true;
    edge_cli_run(e->cli, STR("show stat -1 4 -1\n"), 1, stat_answered, e);
}

static bool sweep_wanted(const struct edge *e)
{
    for (size_t i = 0; i < e->model.servers.count; i++) {
        const struct edge_running *s = e->model.servers.entries[i].value;
        if (s->gone && s->attempts < ATTEMPTS_MAX)
            return true;
    }
    return false;
}

void edge_sweep_wake(struct edge *e)
{
    if (e->state == EDGE_UP && !e->sweep && !e->sweep_busy && sweep_wanted(e))
        timer_start(&e->sweep, SWEEP_MS, 0, sweep_turn, e);
}
