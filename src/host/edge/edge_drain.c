/* Waiting until servers have no request left.
 *
 * The runtime socket is asked for their sessions, quickly at first and then less often. Only the
 * process that serves can be asked: while an older one still finishes requests, nobody knows which,
 * so nothing counts as drained until it has ended. A server that still gets requests is not worth
 * waiting for: that is refused. */
#include "base/log.h"
#include "base/time.h"
#include "host/edge/edge_priv.h"

#define POLL_FIRST_MS 2
#define POLL_MOST_MS 100

struct edge_drain {
    struct edge_drain *next;
    struct edge *edge;
    struct ticket *ticket;
    struct map names; /* values: &names, only to be there */
    int64_t id;
    int64_t started_ms;
    int64_t deadline_ms; /* mono */
    int64_t delay_ms;
    struct timer *timer;
    bool asking;
};

static void drain_poll(void *context);

static void drain_free(struct edge_drain *d)
{
    for (struct edge_drain **link = &d->edge->drains; *link; link = &(*link)->next) {
        if (*link != d)
            continue;
        *link = d->next;
        break;
    }
    timer_free(&d->timer);
    map_done(&d->names);
    free(d);
}

static void drain_answer(struct edge_drain *d, int64_t left)
{
    json_t *ok = json_object();
    json_put_int(ok, "ms", clock_mono_ms(clock_system()) - d->started_ms);
    json_put_int(ok, "left", left);
    ticket_ok(d->ticket, ok);
    drain_free(d);
}

static void drain_later(struct edge_drain *d)
{
    timer_start(&d->timer, d->delay_ms, 0, drain_poll, d);
    d->delay_ms = d->delay_ms * 2 > POLL_MOST_MS ? POLL_MOST_MS : d->delay_ms * 2;
}

/* A server of the list that may still be given requests, or NULL. */
static const char *drain_routed(const struct edge_drain *d)
{
    const struct edge_app_env *e = edge_table_get(&d->edge->next, d->id);
    for (size_t i = 0; e && i < d->names.count; i++)
        for (int slot = 0; slot < EDGE_SLOTS; slot++) {
            const struct edge_server *s =
                edge_app_env_server(e, (enum edge_slot)slot, d->names.entries[i].key);
            if (s && !s->drain && edge_app_env_routed(e, (enum edge_slot)slot))
                return s->name;
        }
    return NULL;
}

static int64_t stat_sessions(const struct edge_drain *d, struct str stat)
{
    struct edge_stat_line line;
    int64_t sessions = 0;
    while (edge_stat_next(&stat, &line)) {
        AUTO_FREE char *name = str_dup(line.server);
        if (map_get(&d->names, name))
            sessions += line.sessions;
    }
    return sessions;
}

static int64_t sessions_left(const struct edge_drain *d, const struct edge_answers *answers)
{
    int64_t sessions = 0;
    for (size_t i = 0; i < answers->count; i++)
        sessions += stat_sessions(d, edge_answer_at(answers, i));
    return sessions > 0 || !d->edge->older ? sessions : 1;
}

static void drain_told(void *context, const struct edge_answers *answers)
{
    struct edge_drain *d = context;
    d->asking = false;
    if (!ticket_alive(d->ticket)) {
        ticket_ok(d->ticket, NULL); /* dropped */
        drain_free(d);
        return;
    }
    int64_t left = answers->error ? 1 : sessions_left(d, answers);
    if (left == 0 || clock_mono_ms(clock_system()) >= d->deadline_ms)
        drain_answer(d, left);
    else
        drain_later(d);
}

/* A change of this app-env that is not applied yet. */
static bool drain_too_early(const struct edge_drain *d)
{
    const struct edge *e = d->edge;
    const struct edge_change *lists[] = {e->queued.first, e->writing.first, e->durable.first};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (const struct edge_change *c = lists[i]; c; c = c->next)
            if (c->app_env->id == d->id)
                return true;
    return e->state != EDGE_UP;
}

static void drain_poll(void *context)
{
    struct edge_drain *d = context;
    struct edge_answers nothing = {.count = 0};
    struct err err = ERR_INIT;
    if (drain_too_early(d)) {
        (void)FAIL(&err, E_UNAVAILABLE, "the edge is not up");
        nothing.error = &err;
        drain_told(d, &nothing);
        return;
    }
    d->asking = true;
    AUTO_FREE char *text = mem_format("show stat e%llda 4 -1\nshow stat e%lldb 4 -1\n",
                                      (long long)d->id, (long long)d->id);
    edge_cli_run(d->edge->cli, str_of(text), 2, drain_told, d);
}

void edge_drain_start(struct edge *e, int64_t id, const json_t *servers, int64_t deadline_ms,
                      struct ticket *ticket)
{
    struct edge_drain *d = mem_alloc(sizeof(*d));
    struct err err = ERR_INIT;
    *d = (struct edge_drain){.next = e->drains, .edge = e, .ticket = ticket, .id = id};
    d->started_ms = clock_mono_ms(clock_system());
    d->deadline_ms = d->started_ms + deadline_ms;
    d->delay_ms = POLL_FIRST_MS;
    map_init(&d->names);
    e->drains = d;
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const char *name = json_string_value(json_array_get(servers, i));
        if (name && name[0])
            (void)map_put(&d->names, name, &d->names); /* twice is once */
    }
    const char *routed = drain_routed(d);
    if (routed) {
        (void)FAIL(&err, E_STATE_CONFLICT, "server '%s' still gets requests: it cannot drain",
                   routed);
        ticket_fail(ticket, &err);
        drain_free(d);
        return;
    }
    drain_poll(d);
}

void edge_drain_wake(struct edge *e)
{
    for (struct edge_drain *d = e->drains; d; d = d->next)
        if (!d->asking)
            timer_start(&d->timer, 0, 0, drain_poll, d);
}

void edge_drain_done(struct edge *e)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_ROLE_DOWN, "the host is going down");
    for (struct edge_drain *d = e->drains, *next; d; d = next) {
        next = d->next;
        ticket_fail(d->ticket, &err);
        drain_free(d);
    }
}
