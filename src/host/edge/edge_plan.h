/* From what runs to what is wanted: runtime commands with the answers they must get.
 *
 * Pure but for the model, which afterwards holds what the commands will have made. The order is the
 * one that loses nothing: servers are added (checked, ready), those that must not get requests any
 * more are set to drain, and last the map entries change: one for the route, which is the flip.
 * Host's own probe decides who is ready: a server that comes back (wanted again, moved to another
 * address, ready again) is told to be up at once, whatever HAProxy's check thinks of the time
 * before; one that the probe finds not ready gets nothing while another of its slot is ready;
 * the last of a slot always gets requests. A server that nobody wants is only marked `gone`; the
 * sweeper (edge_sweep.c) ends it. */
#pragma once
#include "host/edge/edge_model.h"

enum edge_answer {
    EDGE_ANSWER_NONE,    /* nothing at all */
    EDGE_ANSWER_ADDED,   /* "New server registered." */
    EDGE_ANSWER_DELETED, /* "Server deleted." */
    EDGE_ANSWER_CHANGED, /* of `set server addr`: says what it did, or that it did nothing */
};
struct edge_commands {
    struct buf text; /* a line each */
    enum edge_answer *answers;
    size_t count;
    size_t capacity;
};
void edge_commands_init(struct edge_commands *c);
void edge_commands_done(struct edge_commands *c);
void edge_command(struct edge_commands *c, enum edge_answer answer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool edge_answer_is(enum edge_answer wanted, struct str got);

struct edge_plan {
    const char *hosts_path; /* the maps' names at the runtime socket */
    const char *routes_path;
    struct edge_model *model;
    struct edge_commands *commands;
    const struct map *unready; /* "e17/r42.1": instances that host's probe finds not ready */
};
#define EDGE_UNREADY_KEY_MAX (EDGE_SERVER_NAME_MAX + 24)
const char *edge_unready_key(char *to, int64_t id, const char *server);
/* False when the running process has no backends for it: it takes a reload. */
bool edge_plan_app_env(struct edge_plan *p, const struct edge_app_env *e);
/* All of the table, and everything else taken away. False as above (the rest is planned). */
bool edge_plan_all(struct edge_plan *p, const struct edge_table *t);
/* The words after the address, static and dynamic servers alike. */
#define EDGE_SERVER_CHECK "check inter 1s fall 2 rise 1"
