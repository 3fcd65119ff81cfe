/* Parsing, printing and checking of the wanted state. See edge_table.h. */
#include "host/edge/edge_table.h"
#include <arpa/inet.h>
#include <stdio.h>
#include "base/check.h"
#include "base/log.h"

#define STATE_FORMAT 1

struct edge_app_env *edge_app_env_ref(struct edge_app_env *e)
{
    e->refs++;
    return e;
}

void edge_app_env_unref(struct edge_app_env *e)
{
    if (!e || --e->refs > 0)
        return;
    for (size_t i = 0; i < e->domain_count; i++)
        free(e->domains[i]);
    free(e->domains);
    free(e->slots[EDGE_SLOT_A].servers);
    free(e->slots[EDGE_SLOT_B].servers);
    free(e->name);
    free(e->line);
    free(e);
}

/* Parsing. */

static bool name_is_app_env(const char *name)
{
    struct str rest = str_of(name);
    struct str app = str_cut(&rest, '.');
    return str_is_name(app) && rest.data && str_is_name(rest);
}

static bool name_is_server(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= EDGE_SERVER_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

/* Is it an IPv4 address of the subnet ("10.213.0.0/16"), and written in its one usual way? */
static bool address_in(const char *subnet, const char *address)
{
    struct in_addr network, given;
    char text[INET_ADDRSTRLEN];
    struct err ignored = ERR_INIT;
    int64_t bits;
    struct str rest = str_of(subnet);
    struct str base = str_cut(&rest, '/');
    if (base.length >= sizeof(text) || !rest.data ||
        str_to_int(rest, 1, 32, "prefix", &bits, &ignored) < 0)
        return false;
    memcpy(text, base.data, base.length);
    text[base.length] = '\0';
    if (inet_pton(AF_INET, text, &network) != 1 || inet_pton(AF_INET, address, &given) != 1)
        return false;
    uint32_t mask = htonl(~0u << (32 - bits));
    return (network.s_addr & mask) == (given.s_addr & mask);
}

static const struct json_field server_fields[] = {
    {"name", JSON_FIELD_STRING, true, 1, EDGE_SERVER_NAME_MAX},
    {"address", JSON_FIELD_STRING, true, 1, INET6_ADDRSTRLEN - 1},
    {"port", JSON_FIELD_INT, true, 1, 65535},
    {"weight", JSON_FIELD_INT, false, 0, 256},
    {"drain", JSON_FIELD_BOOL, false, 0, 0},
};

static int server_parse(const struct edge_limits *limits, const json_t *value,
                        struct edge_server *ret_server, struct err *err)
{
    if (json_check(value, server_fields, ARRAY_SIZE(server_fields), err) < 0)
        return err_wrap(err, "server");
    const char *name = json_text(value, "name");
    const char *address = json_text(value, "address");
    if (!name_is_server(name))
        return FAIL(err, E_NAME_INVALID, "server name '%s' is not of [a-z0-9.-]", name);
    if (!address_in(limits->subnet, address))
        return FAIL(err, E_TARGET_FORBIDDEN, "server '%s': '%s' is not an address of instances",
                    name, address);
    memcpy(ret_server->name, name, strlen(name) + 1);
    memcpy(ret_server->address, address, strlen(address) + 1);
    ret_server->port = json_int(value, "port", 0);
    ret_server->weight = json_int(value, "weight", 100);
    ret_server->drain = json_bool(value, "drain", false);
    return 0;
}

static int group_parse(const struct edge_limits *limits, const json_t *list,
                       struct edge_group *group, struct err *err)
{
    size_t count = json_array_size(list);
    if (count > EDGE_SERVERS_MAX)
        return FAIL(err, E_TOO_MANY, "a slot has more than %d servers", EDGE_SERVERS_MAX);
    group->servers = mem_array(count ? count : 1, sizeof(*group->servers));
    for (size_t i = 0; i < count; i++) {
        struct edge_server *server = &group->servers[i];
        if (server_parse(limits, json_array_get(list, i), server, err) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(group->servers[k].name, server->name) == 0)
                return FAIL(err, E_EXISTS, "server '%s' is listed twice", server->name);
        group->count++;
    }
    return 0;
}

static int domain_check(const struct edge_limits *limits, const char *domain, struct err *err)
{
    if (!str_is_domain(str_of(domain)))
        return FAIL(err, E_DOMAIN_INVALID, "'%s' is not a domain", domain);
    if (strcmp(domain, limits->platform_host) == 0)
        return FAIL(err, E_DOMAIN_TAKEN, "'%s' is the platform's own domain", domain);
    return 0;
}

static int domains_parse(const struct edge_limits *limits, const json_t *list,
                         struct edge_app_env *e, struct err *err)
{
    size_t count = json_array_size(list);
    if (count > EDGE_DOMAINS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d domains", EDGE_DOMAINS_MAX);
    e->domains = mem_array(count ? count : 1, sizeof(*e->domains));
    for (size_t i = 0; i < count; i++) {
        const char *domain = json_string_value(json_array_get(list, i));
        if (!domain)
            return FAIL(err, E_FIELD_INVALID, "field 'domains' holds what is no text");
        if (domain_check(limits, domain, err) < 0)
            return -1;
        e->domains[e->domain_count++] = mem_strdup(domain);
    }
    return 0;
}

static int live_parse(const char *live, enum edge_slot *ret_slot, struct err *err)
{
    if (live[0] == '\0')
        *ret_slot = EDGE_SLOT_NONE;
    else if (strcmp(live, "a") == 0 || strcmp(live, "b") == 0)
        *ret_slot = live[0] == 'a' ? EDGE_SLOT_A : EDGE_SLOT_B;
    else
        return FAIL(err, E_FIELD_INVALID, "field 'live' is not \"a\", \"b\" or \"\"");
    return 0;
}

static const struct json_field state_fields[] = {
    {"domains", JSON_FIELD_ARRAY, true, 0, EDGE_DOMAINS_MAX},
    {"live", JSON_FIELD_STRING, true, 0, 1},
    {"share", JSON_FIELD_INT, false, 0, EDGE_SHARE_ALL},
    {"slots", JSON_FIELD_OBJECT, true, 0, 0},
    {"maintenance", JSON_FIELD_BOOL, false, 0, 0},
    {"wait_ms", JSON_FIELD_OBJECT, false, 0, 0},
};
static const struct json_field wait_fields[] = {
    {"a", JSON_FIELD_INT, false, 0, EDGE_WAIT_MAX_MS},
    {"b", JSON_FIELD_INT, false, 0, EDGE_WAIT_MAX_MS},
};
static const struct json_field slot_fields[] = {
    {"a", JSON_FIELD_ARRAY, false, 0, EDGE_SERVERS_MAX},
    {"b", JSON_FIELD_ARRAY, false, 0, EDGE_SERVERS_MAX},
};

static int state_parse(const struct edge_limits *limits, const json_t *state,
                       struct edge_app_env *e, struct err *err)
{
    if (json_check(state, state_fields, ARRAY_SIZE(state_fields), err) < 0)
        return -1;
    const json_t *slots = json_dict(state, "slots"), *wait = json_dict(state, "wait_ms");
    if (wait && json_check(wait, wait_fields, ARRAY_SIZE(wait_fields), err) < 0)
        return -1;
    e->wait_ms[EDGE_SLOT_A] = json_int(wait, "a", 0);
    e->wait_ms[EDGE_SLOT_B] = json_int(wait, "b", 0);
    e->share = json_int(state, "share", 0);
    e->maintenance = json_bool(state, "maintenance", false);
    if (json_check(slots, slot_fields, ARRAY_SIZE(slot_fields), err) < 0 ||
        live_parse(json_text(state, "live"), &e->live, err) < 0 ||
        domains_parse(limits, json_list(state, "domains"), e, err) < 0 ||
        group_parse(limits, json_list(slots, "a"), &e->slots[EDGE_SLOT_A], err) < 0)
        return -1;
    return group_parse(limits, json_list(slots, "b"), &e->slots[EDGE_SLOT_B], err);
}

static struct edge_app_env *app_env_new(const struct edge_key *key)
{
    struct edge_app_env *e = mem_alloc(sizeof(*e));
    e->refs = 1;
    e->id = key->id;
    e->version = key->version;
    e->name = mem_strdup(key->name);
    e->live = EDGE_SLOT_NONE;
    return e;
}

int edge_app_env_parse(const struct edge_limits *limits, const struct edge_key *key,
                       const json_t *state, struct edge_app_env **ret_app_env, struct err *err)
{
    AUTO_APP_ENV *e = app_env_new(key);
    if (!name_is_app_env(key->name))
        return FAIL(err, E_NAME_INVALID, "'%s' is not the name of an app-env", key->name);
    if (state_parse(limits, state, e, err) < 0)
        return err_wrap(err, "edge state of '%s'", key->name);
    *ret_app_env = TAKE(e);
    return 0;
}

struct edge_app_env *edge_app_env_removed(const struct edge_key *key)
{
    struct edge_app_env *e = app_env_new(key);
    e->removed = true;
    return e;
}

/* Printing. */

static json_t *group_json(const struct edge_group *group)
{
    json_t *list = json_array();
    for (size_t i = 0; i < group->count; i++) {
        const struct edge_server *server = &group->servers[i];
        json_t *value = json_object();
        json_put_text(value, "name", server->name);
        json_put_text(value, "address", server->address);
        json_put_int(value, "port", server->port);
        json_put_int(value, "weight", server->weight);
        json_put_bool(value, "drain", server->drain);
        json_push(list, value);
    }
    return list;
}

static json_t *state_json(const struct edge_app_env *e)
{
    json_t *state = json_object();
    json_t *domains = json_array();
    json_t *slots = json_object();
    for (size_t i = 0; i < e->domain_count; i++)
        json_push(domains, json_str_value(str_of(e->domains[i])));
    json_put(slots, "a", group_json(&e->slots[EDGE_SLOT_A]));
    json_put(slots, "b", group_json(&e->slots[EDGE_SLOT_B]));
    json_put(state, "domains", domains);
    json_put_text(state, "live",
                  e->live == EDGE_SLOT_NONE ? ""
                  : e->live == EDGE_SLOT_A  ? "a"
                                            : "b");
    json_put_int(state, "share", e->share);
    json_put_bool(state, "maintenance", e->maintenance);
    json_put(state, "slots", slots);
    json_t *wait = json_object();
    json_put_int(wait, "a", e->wait_ms[EDGE_SLOT_A]);
    json_put_int(wait, "b", e->wait_ms[EDGE_SLOT_B]);
    json_put(state, "wait_ms", wait);
    return state;
}

json_t *edge_app_env_json(const struct edge_app_env *e)
{
    json_t *value = json_object();
    json_put_text(value, "app_env", e->name);
    json_put_int(value, "app_env_id", e->id);
    json_put_int(value, "version", e->version);
    if (e->removed)
        json_put_bool(value, "removed", true);
    else
        json_put(value, "state", state_json(e));
    return value;
}

/* Questions. */

const struct edge_server *edge_app_env_server(const struct edge_app_env *e, enum edge_slot slot,
                                              const char *name)
{
    const struct edge_group *group = &e->slots[slot];
    for (size_t i = 0; i < group->count; i++)
        if (strcmp(group->servers[i].name, name) == 0)
            return &group->servers[i];
    return NULL;
}

bool edge_app_env_routed(const struct edge_app_env *e, enum edge_slot slot)
{
    if (e->removed || e->maintenance || e->live == EDGE_SLOT_NONE)
        return false;
    return slot == e->live ? e->share < EDGE_SHARE_ALL : e->share > 0;
}

/* Nothing while the slot gets nothing: that it fills or empties does not change the entry. */
static int64_t next_wait(const struct edge_app_env *e)
{
    return e->share > 0 ? e->wait_ms[e->live == EDGE_SLOT_A ? EDGE_SLOT_B : EDGE_SLOT_A] : 0;
}

void edge_app_env_route(const struct edge_app_env *e, char ret_text[EDGE_ROUTE_MAX])
{
    ASSERT(!e->removed);
    long long id = e->id;
    char live = e->live == EDGE_SLOT_A ? 'a' : 'b';
    if (e->maintenance)
        (void)snprintf(ret_text, EDGE_ROUTE_MAX, "!maintenance");
    else if (e->live == EDGE_SLOT_NONE)
        (void)snprintf(ret_text, EDGE_ROUTE_MAX, "!none");
    else
        (void)snprintf(ret_text, EDGE_ROUTE_MAX, "e%lld%c|e%lld%c|%lld|%lld|%lld", id, live, id,
                       live == 'a' ? 'b' : 'a', (long long)e->share, (long long)e->wait_ms[e->live],
                       (long long)next_wait(e));
}

/* Tables. */

void edge_table_done(struct edge_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        edge_app_env_unref(t->items[i]);
    free(t->items);
    *t = (struct edge_table){0};
}

/* Where the id stands or would stand. */
static size_t table_find(const struct edge_table *t, int64_t id)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->items[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct edge_app_env *edge_table_get(const struct edge_table *t, int64_t id)
{
    size_t at = table_find(t, id);
    return at < t->count && t->items[at]->id == id ? t->items[at] : NULL;
}

void edge_table_put(struct edge_table *t, struct edge_app_env *e)
{
    ASSERT(e);
    size_t at = table_find(t, e->id);
    if (at < t->count && t->items[at]->id == e->id) {
        edge_app_env_unref(t->items[at]);
        t->items[at] = e;
        return;
    }
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->items = mem_resize(t->items, t->capacity, sizeof(struct edge_app_env *));
    }
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof(struct edge_app_env *));
    t->items[at] = e;
    t->count++;
}

void edge_table_copy(struct edge_table *to, const struct edge_table *from)
{
    edge_table_done(to);
    for (size_t i = 0; i < from->count; i++)
        edge_table_put(to, edge_app_env_ref(from->items[i]));
}

static bool app_env_has_domain(const struct edge_app_env *e, const char *domain)
{
    for (size_t i = 0; i < e->domain_count; i++)
        if (strcmp(e->domains[i], domain) == 0)
            return true;
    return false;
}

static int other_check(const struct edge_app_env *other, const struct edge_app_env *e,
                       struct err *err)
{
    if (!other->removed && !e->removed && strcmp(other->name, e->name) == 0)
        return FAIL(err, E_EXISTS, "the edge knows '%s' as app-env %lld", e->name,
                    (long long)other->id);
    for (size_t i = 0; i < e->domain_count; i++)
        if (app_env_has_domain(other, e->domains[i]))
            return FAIL(err, E_DOMAIN_TAKEN, "domain '%s' belongs to '%s'", e->domains[i],
                        other->name);
    return 0;
}

int edge_table_check(const struct edge_table *t, const struct edge_app_env *e, struct err *err)
{
    const struct edge_app_env *before = edge_table_get(t, e->id);
    if (before && e->version < before->version)
        return FAIL(err, E_EPOCH_STALE, "edge state of '%s': version %lld is older than %lld",
                    e->name, (long long)e->version, (long long)before->version);
    for (size_t i = 0; i < t->count; i++)
        if (t->items[i]->id != e->id && other_check(t->items[i], e, err) < 0)
            return -1;
    return 0;
}

int64_t edge_table_top(const struct edge_table *t)
{
    return t->count ? t->items[t->count - 1]->id : 0;
}

/* The file: a line that says its format, then a line for each app-env. */

static const char *app_env_line(struct edge_app_env *e)
{
    if (!e->line) {
        AUTO_JSON *value = edge_app_env_json(e);
        e->line = json_print(value);
    }
    return e->line;
}

void edge_table_print(const struct edge_table *t, struct buf *out)
{
    (void)buf_add_format(out, "{\"format\":%d}\n", STATE_FORMAT); /* a failed buf stays failed */
    for (size_t i = 0; i < t->count; i++) {
        (void)buf_add_text(out, app_env_line(t->items[i]));
        (void)buf_add_char(out, '\n');
    }
}

static int line_scan(const struct edge_limits *limits, struct str line, struct edge_table *t,
                     struct err *err)
{
    AUTO_JSON *value = NULL;
    struct edge_app_env *e = NULL;
    if (json_parse(line, &value, err) < 0)
        return -1;
    struct edge_key key = {json_text_or(value, "app_env", ""), json_int(value, "app_env_id", 0),
                           json_int(value, "version", 0)};
    if (key.id < 1 || !name_is_app_env(key.name))
        return FAIL(err, E_CORRUPT, "a line names no app-env");
    if (json_bool(value, "removed", false))
        e = edge_app_env_removed(&key);
    else if (edge_app_env_parse(limits, &key, json_dict(value, "state"), &e, err) < 0)
        return -1;
    edge_table_put(t, e);
    return 0;
}

static int head_scan(struct str line, struct err *err)
{
    AUTO_JSON *head = NULL;
    if (json_parse(line, &head, err) < 0)
        return -1;
    int64_t format = json_int(head, "format", 0);
    if (format < 1)
        return FAIL(err, E_CORRUPT, "the first line tells no format");
    if (format > STATE_FORMAT)
        return FAIL(err, E_SCHEMA_NEWER, "format %lld is newer than this program",
                    (long long)format);
    return 0;
}

int edge_table_scan(const struct edge_limits *limits, struct str text, struct edge_table *t,
                    struct err *err)
{
    struct str rest = text;
    if (head_scan(str_cut(&rest, '\n'), err) < 0)
        return -1;
    while (rest.data && rest.length > 0) {
        struct str line = str_cut(&rest, '\n');
        struct err bad = ERR_INIT;
        if (line.length > 0 && line_scan(limits, line, t, &bad) < 0)
            log_error("edge state: leaving out a line that cannot be used", F_ERR(&bad));
    }
    return 0;
}
