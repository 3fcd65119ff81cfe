/* The wanted state: one immutable, counted struct per app-env, gathered in tables.
 *
 * It is parsed from what core sent (every value is typed here and nowhere else: names, domains,
 * addresses that may be targets), written as one JSON object a line, and read back at a start.
 * A removed app-env stays as a row with its version, so that an older message cannot bring it back.
 * Any thread. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

#define EDGE_SERVER_NAME_MAX 64
#define EDGE_DOMAINS_MAX 100
#define EDGE_SERVERS_MAX 500 /* of one slot */
#define EDGE_SHARE_ALL 10000
#define EDGE_WAIT_MAX_MS ((int64_t)24 * 3600 * 1000)
#define EDGE_ROUTE_MAX 96
#define EDGE_PLATFORM "slipway" /* name of the platform's own host in hosts.map and log lines */

enum edge_slot { EDGE_SLOT_A, EDGE_SLOT_B, EDGE_SLOTS, EDGE_SLOT_NONE = EDGE_SLOTS };

struct edge_server {
    char name[EDGE_SERVER_NAME_MAX + 1];
    char address[INET6_ADDRSTRLEN];
    int64_t port;
    int64_t weight;
    bool drain;
};
struct edge_group { /* the servers of one slot */
    struct edge_server *servers;
    size_t count;
};
struct edge_app_env {
    int refs;
    int64_t id;
    int64_t version;
    char *name; /* "shop.dev" */
    bool removed;
    bool maintenance;
    enum edge_slot live;
    int64_t share; /* of the other slot, 1/10000 */
    char **domains;
    size_t domain_count;
    struct edge_group slots[EDGE_SLOTS];
    int64_t wait_ms[EDGE_SLOTS]; /* for an answer of that slot; 0: the edge's own */
    char *line;                  /* as it stands in the file, made when first needed */
};
struct edge_app_env *edge_app_env_ref(struct edge_app_env *e);
void edge_app_env_unref(struct edge_app_env *e);
static inline void edge_app_env_freep(struct edge_app_env **e)
{
    edge_app_env_unref(*e);
}
#define AUTO_APP_ENV __attribute__((cleanup(edge_app_env_freep))) struct edge_app_env

/* What may be a target and a domain: from the settings. */
struct edge_limits {
    const char *subnet;        /* "10.213.0.0/16": the only addresses that may be targets */
    const char *platform_host; /* "slipway.localhost": never an app's */
};
struct edge_key {
    const char *name;
    int64_t id;
    int64_t version;
};
/* E_NAME_INVALID, E_DOMAIN_INVALID, E_DOMAIN_TAKEN (the platform's own), E_TARGET_FORBIDDEN,
 * E_FIELD_*. */
int edge_app_env_parse(const struct edge_limits *limits, const struct edge_key *key,
                       const json_t *state, struct edge_app_env **ret_app_env,
                       struct err *err) MUST_CHECK;
struct edge_app_env *edge_app_env_removed(const struct edge_key *key);
json_t *edge_app_env_json(const struct edge_app_env *e);
const struct edge_server *edge_app_env_server(const struct edge_app_env *e, enum edge_slot slot,
                                              const char *name);
/* Does this slot get requests? */
bool edge_app_env_routed(const struct edge_app_env *e, enum edge_slot slot);
/* The value of route.map: "e17a|e17b|500|30000|30000" (live, next, share of next, how long answers
 * of each may take), or "!maintenance", "!none". */
void edge_app_env_route(const struct edge_app_env *e, char ret_text[EDGE_ROUTE_MAX]);

struct edge_table { /* sorted by id */
    struct edge_app_env **items;
    size_t count;
    size_t capacity;
};
void edge_table_done(struct edge_table *t);
struct edge_app_env *edge_table_get(const struct edge_table *t, int64_t id); /* borrowed or NULL */
void edge_table_put(struct edge_table *t, struct edge_app_env *e);           /* takes e */
void edge_table_copy(struct edge_table *to, const struct edge_table *from);
/* May e stand in t? E_DOMAIN_TAKEN, E_EXISTS (its name), E_EPOCH_STALE. */
int edge_table_check(const struct edge_table *t, const struct edge_app_env *e,
                     struct err *err) MUST_CHECK;
int64_t edge_table_top(const struct edge_table *t); /* the largest id, 0 when empty */
void edge_table_print(const struct edge_table *t, struct buf *out);
/* A line that cannot be used is left out and logged; a file of unknown format fails. */
int edge_table_scan(const struct edge_limits *limits, struct str text, struct edge_table *t,
                    struct err *err) MUST_CHECK;
