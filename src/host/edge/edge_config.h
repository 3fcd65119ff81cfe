/* HAProxy's files in run_dir/edge/conf: haproxy.cfg, hosts.map, routes.map, crt-list.txt and the
 * certificates, all made from typed values. The folder is root's (group: the edge's user), so that
 * HAProxy can read and not write what we load. Loop thread. */
#pragma once
#include <sys/types.h>
#include "host/edge/edge_table.h"
#include "wire/settings.h"

#define EDGE_POOL_STEP 64 /* backends are made ahead for so many new app-envs */

struct edge_paths { /* heap */
    char *folder;   /* run_dir/edge: what HAProxy reads, root's */
    char *own;      /* where alone it may write */
    char *conf;     /* run_dir/edge/conf */
    char *config;   /* ... haproxy.cfg: the last one that passed the check */
    char *config_next;
    char *hosts;
    char *routes;
    char *crt_list;
    char *crt_folder;
    char *pid;
    char *admin;    /* runtime socket for commands */
    char *handover; /* runtime socket that hands over the listeners */
    char *log;
    char *git;       /* the courier's socket */
    char *store;     /* data_dir/host/edge */
    char *state;     /* ... state.jsonl */
    char *crt_store; /* ... certificates */
};
void edge_paths_init(struct edge_paths *p, const struct settings *s);
void edge_paths_done(struct edge_paths *p);
/* Make the folders with their owners. */
int edge_paths_make(const struct edge_paths *p, uid_t uid, gid_t gid, struct err *err) MUST_CHECK;

struct edge_config {
    const struct settings *settings;
    const struct edge_paths *paths;
    const struct edge_table *table;
    const char *platform_host;
    long threads;
    long connections; /* maxconn */
    bool ipv6;
};
/* Backends exist for every id up to this one. */
int64_t edge_config_top(const struct edge_table *t);
void edge_config_print(const struct edge_config *c, struct buf *out);
void edge_config_print_hosts(const struct edge_config *c, struct buf *out);
void edge_config_print_routes(const struct edge_config *c, struct buf *out);
/* Is what a running process was started with still the configuration, but for what differs from one
 * app-env to the next? (Settings change, and so does this program.) */
bool edge_config_is_current(const struct edge_config *c);
/* Write the maps and haproxy.cfg.next. */
int edge_config_write(const struct edge_config *c, struct err *err) MUST_CHECK;
