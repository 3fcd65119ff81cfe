/* What the running HAProxy has, as far as we know: servers, map entries, backends.
 *
 * Read from its runtime socket after every connection (edge_model_read_*), then kept by edge_plan,
 * which writes into it what its commands will have done. A command that fails makes it void: it is
 * read again. Loop thread. */
#pragma once
#include "base/map.h"
#include "host/edge/edge_table.h"

enum edge_admin { EDGE_READY, EDGE_DRAIN, EDGE_MAINT };

struct edge_running { /* one server of the running process */
    int64_t id;       /* of the app-env */
    enum edge_slot slot;
    char name[EDGE_SERVER_NAME_MAX + 1];
    char address[INET6_ADDRSTRLEN];
    int64_t port;
    int64_t weight;
    enum edge_admin admin;
    bool gone;           /* nobody wants it: the sweeper takes it out */
    int64_t maint_at_ms; /* since when the sweeper has it in maintenance */
    int64_t attempts;    /* to delete it */
};
struct edge_model {
    struct map servers; /* "e17a/r42.1" -> struct edge_running */
    struct map hosts;   /* domain -> heap text, the app-env's name */
    struct map routes;  /* name -> heap text */
    uint8_t *backends;  /* by app-env id: has both backends */
    size_t backend_count;
};
void edge_model_init(struct edge_model *m);
void edge_model_done(struct edge_model *m);
bool edge_model_has(const struct edge_model *m, int64_t id);
struct edge_running *edge_model_server(const struct edge_model *m, int64_t id, enum edge_slot slot,
                                       const char *name);
struct edge_running *edge_model_add(struct edge_model *m, int64_t id,
                                    const struct edge_running *like);
void edge_model_drop(struct edge_model *m, const struct edge_running *server);
void edge_model_set(struct map *values, const char *key, const char *value); /* NULL removes */

/* Answers of `show backend`, `show servers state`, `show map`. What is not ours is left out. */
void edge_model_read_backends(struct edge_model *m, struct str answer);
void edge_model_read_servers(struct edge_model *m, struct str answer);
void edge_model_read_map(struct map *values, struct str answer);

/* "e17a": false when it is no backend of ours. */
bool edge_backend_scan(struct str text, int64_t *ret_id, enum edge_slot *ret_slot);
static inline char edge_slot_letter(enum edge_slot slot)
{
    return slot == EDGE_SLOT_A ? 'a' : 'b';
}
