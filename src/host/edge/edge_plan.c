/* The difference between wanted and running, as commands. See edge_plan.h. */
#include "host/edge/edge_plan.h"
#include <stdarg.h>
#include "base/check.h"

void edge_commands_init(struct edge_commands *c)
{
    *c = (struct edge_commands){0};
    buf_init(&c->text, 0);
}

void edge_commands_done(struct edge_commands *c)
{
    buf_done(&c->text);
    free(c->answers);
    edge_commands_init(c);
}

void edge_command(struct edge_commands *c, enum edge_answer answer, const char *format, ...)
{
    char line[768];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    ASSERT(length > 0 && (size_t)length < sizeof(line)); /* typed values of known length */
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 16;
        c->answers = mem_resize(c->answers, c->capacity, sizeof(*c->answers));
    }
    c->answers[c->count++] = answer;
    (void)buf_add(&c->text, line, (size_t)length); /* no ceiling */
    (void)buf_add_char(&c->text, '\n');
}

bool edge_answer_is(enum edge_answer wanted, struct str got)
{
    while (got.length > 0 && got.data[got.length - 1] == '\n')
        got.length--;
    switch (wanted) {
    case EDGE_ANSWER_NONE:
        return got.length == 0;
    case EDGE_ANSWER_ADDED:
        return str_is(got, "New server registered.");
    case EDGE_ANSWER_DELETED:
        return str_is(got, "Server deleted.");
    case EDGE_ANSWER_CHANGED:
        return str_starts(got, "IP changed from") || str_starts(got, "port changed from") ||
               str_starts(got, "no need to change");
    }
    return false;
}

/* Servers. */

static const char *const admin_words[] = {
    [EDGE_READY] = "ready", [EDGE_DRAIN] = "drain", [EDGE_MAINT] = "maint"};

static void server_admin(struct edge_plan *p, struct edge_running *s, enum edge_admin admin)
{
    if (s->admin == admin)
        return;
    edge_command(p->commands, EDGE_ANSWER_NONE, "set server e%lld%c/%s state %s", (long long)s->id,
                 edge_slot_letter(s->slot), s->name, admin_words[admin]);
    s->admin = admin;
}

/* A server without traffic stays ready whatever is wanted: a request under way may be repeated on
 * it. */
static enum edge_admin admin_wanted(bool routed, bool drain)
{
    return routed && drain ? EDGE_DRAIN : EDGE_READY;
}

/* HAProxy's check may still hold the end of a former bearer of this name against it. */
static void server_up(struct edge_plan *p, const struct edge_running *s)
{
    edge_command(p->commands, EDGE_ANSWER_NONE, "set server e%lld%c/%s health up", (long long)s->id,
                 edge_slot_letter(s->slot), s->name);
}

const char *edge_unready_key(char *to, int64_t id, const char *server)
{
    (void)snprintf(to, EDGE_UNREADY_KEY_MAX, "e%lld/%s", (long long)id, server);
    return to;
}

static bool server_is_unready(const struct edge_plan *p, int64_t id, const char *name)
{
    char key[EDGE_UNREADY_KEY_MAX];
    return p->unready && map_get(p->unready, edge_unready_key(key, id, name));
}

/* Is there one that is ready? */
static bool slot_has_ready(const struct edge_plan *p, const struct edge_app_env *e,
                           enum edge_slot slot)
{
    const struct edge_group *group = &e->slots[slot];
    for (size_t i = 0; i < group->count; i++)
        if (!group->servers[i].drain && !server_is_unready(p, e->id, group->servers[i].name))
            return true;
    return false;
}

static void server_add(struct edge_plan *p, const struct edge_app_env *e, enum edge_slot slot,
                       const struct edge_server *wanted, enum edge_admin admin)
{
    struct edge_running like = {.slot = slot, .port = wanted->port, .weight = wanted->weight};
    char letter = edge_slot_letter(slot);
    long long id = e->id;
    memcpy(like.name, wanted->name, sizeof(like.name));
    memcpy(like.address, wanted->address, sizeof(like.address));
    like.admin = EDGE_MAINT; /* as HAProxy makes it */
    edge_command(p->commands, EDGE_ANSWER_ADDED,
                 "add server e%lld%c/%s %s:%lld weight %lld " EDGE_SERVER_CHECK, id, letter,
                 wanted->name, wanted->address, (long long)wanted->port, (long long)wanted->weight);
    edge_command(p->commands, EDGE_ANSWER_NONE, "enable health e%lld%c/%s", id, letter,
                 wanted->name);
    server_admin(p, edge_model_add(p->model, e->id, &like), admin);
}

static bool server_move(struct edge_plan *p, struct edge_running *s,
                        const struct edge_server *wanted)
{
    if (strcmp(s->address, wanted->address) == 0 && s->port == wanted->port)
        return false;
    edge_command(p->commands, EDGE_ANSWER_CHANGED, "set server e%lld%c/%s addr %s port %lld",
                 (long long)s->id, edge_slot_letter(s->slot), s->name, wanted->address,
                 (long long)wanted->port);
    memcpy(s->address, wanted->address, sizeof(s->address));
    s->port = wanted->port;
    return true;
}

static void server_change(struct edge_plan *p, struct edge_running *s,
                          const struct edge_server *wanted, enum edge_admin admin)
{
    bool back = server_move(p, s, wanted) || s->gone || s->admin != EDGE_READY;
    if (s->weight != wanted->weight)
        edge_command(p->commands, EDGE_ANSWER_NONE, "set server e%lld%c/%s weight %lld",
                     (long long)s->id, edge_slot_letter(s->slot), s->name,
                     (long long)wanted->weight);
    s->weight = wanted->weight;
    s->gone = false;
    server_admin(p, s, admin);
    if (back && admin == EDGE_READY)
        server_up(p, s);
}

/* When none is ready, who had requests until now keeps them, and who was taken out before stays
 * out: it hangs for longer. But never are all out: the probe may be wrong, an empty slot cannot be
 * right. */
static bool slot_keeps_one(const struct edge_plan *p, const struct edge_app_env *e,
                           enum edge_slot slot)
{
    const struct edge_group *group = &e->slots[slot];
    for (size_t i = 0; i < group->count; i++) {
        const struct edge_running *s =
            edge_model_server(p->model, e->id, slot, group->servers[i].name);
        if (!group->servers[i].drain && (!s || s->admin == EDGE_READY))
            return true;
    }
    return false;
}

static bool unready_leaves(const struct edge_plan *p, const struct edge_app_env *e,
                           enum edge_slot slot, const struct edge_running *s)
{
    if (slot_has_ready(p, e, slot))
        return true;
    return s && s->admin == EDGE_DRAIN && slot_keeps_one(p, e, slot);
}

static bool server_drains(const struct edge_plan *p, const struct edge_app_env *e,
                          enum edge_slot slot, const struct edge_server *wanted)
{
    const struct edge_running *s = edge_model_server(p->model, e->id, slot, wanted->name);
    return wanted->drain ||
           (server_is_unready(p, e->id, wanted->name) && unready_leaves(p, e, slot, s));
}

static void server_plan(struct edge_plan *p, const struct edge_app_env *e, enum edge_slot slot,
                        const struct edge_server *wanted, bool drain)
{
    struct edge_running *s = edge_model_server(p->model, e->id, slot, wanted->name);
    enum edge_admin admin = admin_wanted(edge_app_env_routed(e, slot), drain);
    if (s)
        server_change(p, s, wanted, admin);
    else
        server_add(p, e, slot, wanted, admin);
}

/* Those that take requests first, then those that drain: HAProxy does one command after the other
 * while requests come, and between two of them, too, one must be there for them. */
static void slot_plan(struct edge_plan *p, const struct edge_app_env *e, enum edge_slot slot)
{
    const struct edge_group *group = &e->slots[slot];
    AUTO_FREE bool *drains = mem_array(group->count + 1, sizeof(*drains));
    for (size_t i = 0; i < group->count; i++)
        drains[i] = server_drains(p, e, slot, &group->servers[i]);
    for (size_t i = 0; i < group->count; i++)
        if (!drains[i])
            server_plan(p, e, slot, &group->servers[i], false);
    for (size_t i = 0; i < group->count; i++)
        if (drains[i])
            server_plan(p, e, slot, &group->servers[i], true);
}

/* What this app-env (NULL: nobody) does not want any more. */
static void server_leave(struct edge_plan *p, const struct edge_app_env *e, struct edge_running *s)
{
    if (e && edge_app_env_server(e, s->slot, s->name))
        return;
    if (!s->gone) {
        s->gone = true;
        s->maint_at_ms = 0;
        s->attempts = 0;
    }
    if (e && edge_app_env_routed(e, s->slot) && s->admin == EDGE_READY)
        server_admin(p, s, EDGE_DRAIN);
}

static void servers_leave(struct edge_plan *p, const struct edge_app_env *e)
{
    const struct map *servers = &p->model->servers;
    for (size_t i = 0; i < servers->count; i++) {
        struct edge_running *s = servers->entries[i].value;
        if (s->id == e->id)
            server_leave(p, e, s);
    }
}

/* Map entries. */

static void value_plan(struct edge_plan *p, struct map *values, const char *path, const char *key,
                       const char *value)
{
    const char *now = map_get(values, key);
    if (text_is(now, value) || (!now && !value))
        return;
    if (!value)
        edge_command(p->commands, EDGE_ANSWER_NONE, "del map %s %s", path, key);
    else
        edge_command(p->commands, EDGE_ANSWER_NONE, "%s map %s %s %s", now ? "set" : "add", path,
                     key, value);
    edge_model_set(values, key, value);
}

/* Does somebody want this domain to lead to this name? */
static bool host_wanted(const struct edge_app_env *e, const char *domain)
{
    for (size_t i = 0; i < e->domain_count; i++)
        if (strcmp(e->domains[i], domain) == 0)
            return true;
    return false;
}

static void hosts_leave(struct edge_plan *p, const struct edge_app_env *e)
{
    struct map *hosts = &p->model->hosts;
    for (size_t i = hosts->count; i > 0; i--) { /* a removal moves the last entry only */
        const struct map_entry *entry = &hosts->entries[i - 1];
        if (text_is(entry->value, e->name) && !host_wanted(e, entry->key)) {
            AUTO_FREE char *domain = mem_strdup(entry->key);
            value_plan(p, hosts, p->hosts_path, domain, NULL);
        }
    }
}

static void route_plan(struct edge_plan *p, const struct edge_app_env *e)
{
    char route[EDGE_ROUTE_MAX];
    edge_app_env_route(e, route);
    value_plan(p, &p->model->routes, p->routes_path, e->name, route);
    for (size_t i = 0; i < e->domain_count; i++)
        value_plan(p, &p->model->hosts, p->hosts_path, e->domains[i], e->name);
    hosts_leave(p, e);
}

bool edge_plan_app_env(struct edge_plan *p, const struct edge_app_env *e)
{
    if (e->removed) {
        hosts_leave(p, e);
        value_plan(p, &p->model->routes, p->routes_path, e->name, NULL);
        servers_leave(p, e);
        return true;
    }
    if (!edge_model_has(p->model, e->id))
        return false;
    slot_plan(p, e, EDGE_SLOT_A);
    slot_plan(p, e, EDGE_SLOT_B);
    servers_leave(p, e);
    route_plan(p, e);
    return true;
}

/* Everything. */

static void names_of(const struct edge_table *t, struct map *names)
{
    for (size_t i = 0; i < t->count; i++)
        if (!t->items[i]->removed)
            (void)map_put(names, t->items[i]->name, t->items[i]); /* was not in it */
}

/* Routes and hosts of names that are not in the table (any more). */
static void strangers_leave(struct edge_plan *p, const struct map *names)
{
    struct map *hosts = &p->model->hosts;
    struct map *routes = &p->model->routes;
    for (size_t i = hosts->count; i > 0; i--) {
        AUTO_FREE char *domain = mem_strdup(hosts->entries[i - 1].key);
        const char *name = hosts->entries[i - 1].value;
        if (!map_get(names, name) && !text_is(name, EDGE_PLATFORM))
            value_plan(p, hosts, p->hosts_path, domain, NULL);
    }
    for (size_t i = routes->count; i > 0; i--) {
        AUTO_FREE char *name = mem_strdup(routes->entries[i - 1].key);
        if (!map_get(names, name))
            value_plan(p, routes, p->routes_path, name, NULL);
    }
}

bool edge_plan_all(struct edge_plan *p, const struct edge_table *t)
{
    bool complete = true;
    struct map names;
    map_init(&names);
    names_of(t, &names);
    for (size_t i = 0; i < t->count; i++)
        if (!edge_plan_app_env(p, t->items[i]))
            complete = false;
    strangers_leave(p, &names);
    for (size_t i = 0; i < p->model->servers.count; i++) {
        struct edge_running *s = p->model->servers.entries[i].value;
        if (!edge_table_get(t, s->id))
            server_leave(p, NULL, s);
    }
    map_done(&names);
    return complete;
}
