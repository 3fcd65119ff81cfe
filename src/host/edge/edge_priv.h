/* What the files of the edge share: one struct, and who does what with it.
 *
 *   edge.c         entry points, verbs
 *   edge_record.c  a change: checked, written to the file, then handed to edge_sync.c
 *   edge_cert.c    certificates of domains; edge_self.c the self-made one
 *   edge_run.c     the process: check, start, adopt, reload, watch (states of edge_sm.c)
 *   edge_sync.c    the runtime socket: full sync after a connection, then changes by the shortest
 * way edge_sweep.c   servers that nobody wants any more edge_drain.c   waiting until servers have
 * no request left edge_cert.c    certificates Loop thread. */
#pragma once
#include "host/edge/edge.h"
#include "host/edge/edge_cli.h"
#include "host/edge/edge_config.h"
#include "host/edge/edge_drops.h"
#include "host/edge/edge_plan.h"
#include "host/edge/edge_process.h"
#include "host/edge/edge_sm.h"
#include "host/host.h"
#include "io/loop.h"

#define EDGE_PIDS_MAX 64

/* A change that core asked for, from the request to its answer. */
struct edge_change {
    struct edge_change *next;
    struct edge_app_env *app_env; /* counted */
    struct ticket *ticket;
    bool renamed; /* the app-env had another name: everything is compared */
    bool answered;
};
struct edge_changes {
    struct edge_change *first;
    struct edge_change **last;
};
struct edge_drain;

struct edge {
    const struct settings *settings;
    struct edge_paths paths;
    char *platform_host;
    struct edge_limits limits;
    uid_t uid;
    gid_t gid;
    long threads;
    long connections;

    struct edge_table next;      /* what was accepted, perhaps not in the file yet */
    struct edge_table table;     /* what the file holds: the truth */
    struct edge_changes queued;  /* accepted, for the next write */
    struct edge_changes writing; /* in the write under way */
    struct edge_changes durable; /* in the file, to be applied */
    struct buf write_text;
    struct err write_error;
    bool write_failed;
    bool write_busy;

    enum edge_state state;
    struct edge_process *process; /* the one that serves */
    struct edge_process *older;   /* those that still finish requests */
    bool launching;               /* a child of ours runs: check, start or reload */
    bool ended;                   /* edge_done ran: a thread or a child still came back */
    bool stale;                   /* it runs an older configuration: reload when it is up */
    int64_t since_ms;             /* wall time of the last start */
    int64_t retry_ms;
    int64_t reload_after_ms; /* mono: not before */
    struct timer *retry;
    struct timer *connect;
    struct timer *reload;
    struct timer *settle;
    struct err trouble; /* why it is not up, or runs an older configuration; E_OK: nothing */

    struct edge_cli *cli;
    struct edge_model model;
    struct map unready;       /* see edge_plan.h; values: the map itself, only to be there */
    int64_t connect_attempts; /* since it was up */
    int64_t sync_failures;    /* in a row */
    int64_t dropped_logs;     /* of the running process, when it was last asked */
    struct edge_drops drops;
    struct timer *look; /* every minute: figures of `show info` */
    struct timer *sweep;
    bool sweep_busy;
    struct edge_drain *drains;
};

/* edge_record.c */
int edge_record_load(struct edge *e, struct err *err) MUST_CHECK;
/* Takes app_env; answers the ticket sooner or later. */
void edge_record(struct edge *e, struct edge_app_env *app_env, struct ticket *ticket);
void edge_changes_init(struct edge_changes *list);
void edge_changes_add(struct edge_changes *list, struct edge_change *change);
void edge_changes_move(struct edge_changes *to, struct edge_changes *from);
/* error NULL: ok, with the microseconds that the runtime calls took. Empties the list. */
void edge_changes_answer(struct edge_changes *list, int64_t took_us, const struct err *error);

/* edge_run.c */
void edge_event(struct edge *e, enum edge_event event);
void edge_run_start(struct edge *e); /* adopt or start */
void edge_run_done(struct edge *e);
/* Ask for a reload; many askers soon after each other get one. */
void edge_run_reload(struct edge *e);
bool edge_has_pid(const struct edge_process *list, pid_t pid);
size_t edge_older_count(const struct edge *e);

/* edge_sync.c */
void edge_sync_start(struct edge *e); /* state SYNCING: (re)connect and bring it up to date */
void edge_sync_stop(struct edge *e);
void edge_sync_push(struct edge *e); /* apply what is durable, when it is up */
/* Compare one app-env with what runs, when it is up; else the next full sync does. */
void edge_sync_one(struct edge *e, int64_t id);
/* Figures out of `show info`. */
void edge_sync_info(struct edge *e, struct str info);

/* edge_sweep.c */
void edge_sweep_wake(struct edge *e);

/* `show stat BACKEND 4 -1`, a line for each server. */
struct edge_stat_line {
    struct str backend;
    struct str server;
    struct str status;
    int64_t sessions; /* current and queued */
    int64_t total;
};
/* Cut the next line off; false at the end. */
bool edge_stat_next(struct str *rest, struct edge_stat_line *ret_line);

/* edge_drain.c */
void edge_drain_start(struct edge *e, int64_t id, const json_t *servers, int64_t deadline_ms,
                      struct ticket *ticket);
void edge_drain_wake(struct edge *e); /* something changed: look again now */
void edge_drain_done(struct edge *e);

/* edge_self.c: the certificate for every name that has none of its own. */
#define EDGE_SELF "_self" /* no domain can have that name */
/* Make it when it is missing or does not cover all domains; then the list is written. */
void edge_self_prepare(struct edge *e, void (*on_done)(struct edge *e, const struct err *error));
/* Do the domains of the table need another one than was made? */
bool edge_self_is_stale(struct edge *e);

/* edge_cert.c */
char *edge_cert_path(const char *folder, const char *domain); /* heap */
/* Copy all certificates to where HAProxy reads them, and write its list. */
int edge_cert_list_write(struct edge *e, struct err *err) MUST_CHECK;
/* The files of HAProxy from the stored ones, and a self-made one when there is none: on_done(ok).
 */
void edge_cert_prepare(struct edge *e, void (*on_done)(struct edge *e, const struct err *error));
void edge_cert_store(struct edge *e, const char *domain, const char *pem, struct ticket *ticket);
