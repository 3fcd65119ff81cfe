/* Keeping and reading the view of the running process. See edge_model.h. */
#include "host/edge/edge_model.h"
#include <stdio.h>
#include "base/check.h"

#define BACKEND_MAX 200000
#define KEY_MAX (EDGE_SERVER_NAME_MAX + 32)
#define ADMIN_MAINT_MASK 0x07 /* SRV_ADMF_*: forced, inherited, by configuration */
#define ADMIN_DRAIN_MASK 0x18

void edge_model_init(struct edge_model *m)
{
    *m = (struct edge_model){0};
    map_init(&m->servers);
    map_init(&m->hosts);
    map_init(&m->routes);
}

static void map_free_values(struct map *values)
{
    for (size_t i = 0; i < values->count; i++)
        free(values->entries[i].value);
    map_done(values);
}

void edge_model_done(struct edge_model *m)
{
    map_free_values(&m->servers);
    map_free_values(&m->hosts);
    map_free_values(&m->routes);
    free(m->backends);
    edge_model_init(m);
}

bool edge_model_has(const struct edge_model *m, int64_t id)
{
    return id > 0 && (size_t)id < m->backend_count && m->backends[id] == 3;
}

static const char *server_key(char text[KEY_MAX], int64_t id, enum edge_slot slot, const char *name)
{
    (void)snprintf(text, KEY_MAX, "e%lld%c/%s", (long long)id, edge_slot_letter(slot), name);
    return text;
}

struct edge_running *edge_model_server(const struct edge_model *m, int64_t id, enum edge_slot slot,
                                       const char *name)
{
    char key[KEY_MAX];
    return map_get(&m->servers, server_key(key, id, slot, name));
}

struct edge_running *edge_model_add(struct edge_model *m, int64_t id,
                                    const struct edge_running *like)
{
    char key[KEY_MAX];
    struct edge_running *server = mem_alloc(sizeof(*server));
    *server = *like;
    server->id = id;
    free(map_put(&m->servers, server_key(key, id, server->slot, server->name), server));
    return server;
}

void edge_model_drop(struct edge_model *m, const struct edge_running *server)
{
    char key[KEY_MAX];
    free(map_remove(&m->servers, server_key(key, server->id, server->slot, server->name)));
}

void edge_model_set(struct map *values, const char *key, const char *value)
{
    free(value ? map_put(values, key, mem_strdup(value)) : map_remove(values, key));
}

/* Reading. */

bool edge_backend_scan(struct str text, int64_t *ret_id, enum edge_slot *ret_slot)
{
    struct err ignored = ERR_INIT;
    if (text.length < 3 || text.data[0] != 'e')
        return false;
    char letter = text.data[text.length - 1];
    struct str digits = {text.data + 1, text.length - 2};
    if ((letter != 'a' && letter != 'b') ||
        str_to_int(digits, 1, BACKEND_MAX, "backend", ret_id, &ignored) < 0)
        return false;
    *ret_slot = letter == 'a' ? EDGE_SLOT_A : EDGE_SLOT_B;
    return true;
}

static void backend_mark(struct edge_model *m, int64_t id, enum edge_slot slot)
{
    size_t at = (size_t)id;
    if (at >= m->backend_count) {
        size_t count = at + 64;
        m->backends = mem_resize(m->backends, count, 1);
        memset(m->backends + m->backend_count, 0, count - m->backend_count);
        m->backend_count = count;
    }
    m->backends[at] = (uint8_t)(m->backends[at] | 1u << slot);
}

void edge_model_read_backends(struct edge_model *m, struct str answer)
{
    while (answer.data) {
        int64_t id;
        enum edge_slot slot;
        if (edge_backend_scan(str_cut(&answer, '\n'), &id, &slot))
            backend_mark(m, id, slot);
    }
}

static bool text_copy(char *to, size_t size, struct str text)
{
    if (text.length == 0 || text.length >= size)
        return false;
    memcpy(to, text.data, text.length);
    to[text.length] = '\0';
    return true;
}

#define SERVER_FIELDS 19 /* those of `show servers state` up to the port */
enum server_field {
    FIELD_BACKEND = 1,
    FIELD_NAME = 3,
    FIELD_ADDRESS = 4,
    FIELD_ADMIN = 6,
    FIELD_WEIGHT = 7,
    FIELD_PORT = 18,
};

static int64_t field_int(struct str text)
{
    int64_t value = 0;
    struct err ignored = ERR_INIT;
    return str_to_int(text, 0, INT32_MAX, "field", &value, &ignored) < 0 ? -1 : value;
}

static enum edge_admin admin_of(int64_t flags)
{
    if (flags & ADMIN_MAINT_MASK)
        return EDGE_MAINT;
    return flags & ADMIN_DRAIN_MASK ? EDGE_DRAIN : EDGE_READY;
}

static void server_read(struct edge_model *m, struct str line)
{
    struct str fields[SERVER_FIELDS];
    struct edge_running server = {0};
    size_t count = 0;
    int64_t id;
    while (count < SERVER_FIELDS && line.data)
        fields[count++] = str_cut(&line, ' ');
    if (count < SERVER_FIELDS || !edge_backend_scan(fields[FIELD_BACKEND], &id, &server.slot))
        return;
    if (!text_copy(server.name, sizeof(server.name), fields[FIELD_NAME]) ||
        !text_copy(server.address, sizeof(server.address), fields[FIELD_ADDRESS]))
        return;
    server.port = field_int(fields[FIELD_PORT]);
    server.weight = field_int(fields[FIELD_WEIGHT]);
    server.admin = admin_of(field_int(fields[FIELD_ADMIN]));
    (void)edge_model_add(m, id, &server);
}

void edge_model_read_servers(struct edge_model *m, struct str answer)
{
    while (answer.data)
        server_read(m, str_cut(&answer, '\n'));
}

/* Lines "0x55d0c8 key value". */
void edge_model_read_map(struct map *values, struct str answer)
{
    while (answer.data) {
        struct str line = str_cut(&answer, '\n');
        struct str address = str_cut(&line, ' ');
        struct str key = str_cut(&line, ' ');
        if (!str_starts(address, "0x") || key.length == 0 || !line.data)
            continue;
        AUTO_FREE char *key_text = str_dup(key);
        AUTO_FREE char *value = str_dup(line);
        edge_model_set(values, key_text, value);
    }
}
