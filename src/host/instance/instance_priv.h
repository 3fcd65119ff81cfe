/* Between the files of this folder. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/json.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/sm.h"
#include "host/instance/instance.h"
#include "host/sandbox/sandbox.h"
#include "io/child.h"
#include "io/loop.h"

/* instance_sm.c */
enum instance_state {
    INSTANCE_CREATING, /* conmon and crun make it */
    INSTANCE_STARTING, /* it runs, not ready yet */
    INSTANCE_READY,
    INSTANCE_UNREADY,    /* was ready, the probe fails */
    INSTANCE_BACKOFF,    /* ended; waits to be made anew */
    INSTANCE_CRASH_LOOP, /* the same, after five ends within a minute */
    INSTANCE_STOPPING,   /* on its way out, whatever for */
    INSTANCE_GONE,
    INSTANCE_STATES
};
enum instance_event {
    INSTANCE_CREATED,
    INSTANCE_PROBED_READY,
    INSTANCE_PROBED_UNREADY,
    INSTANCE_EXITED,
    INSTANCE_LOOPED,
    INSTANCE_AGAIN, /* the wait is over */
    INSTANCE_STOP,
    INSTANCE_REMOVED,
    INSTANCE_EVENTS
};
extern const struct sm host_instance_sm;
/* What people and core see: "starting" for both first states. */
const char *instance_state_shown(enum instance_state state);

/* When to start again. Pure. */
#define EXITS_KEPT 5
struct restart {
    int64_t exits[EXITS_KEPT]; /* mono ms of the last ends, a ring */
    size_t count;              /* all ends */
    int64_t delay_ms;          /* 0: not ended yet */
};
/* An end at `now` after `up_ms` of running: the wait before the next start, and whether it is a
 * crash loop. */
int64_t restart_after(struct restart *r, int64_t now, int64_t up_ms, bool *ret_loop);

struct instance {
    /* the record */
    char *name;
    char *app, *env;
    char *app_env; /* "shop.dev" */
    int64_t app_env_id, id_range, release, rollout, epoch;
    char *artifact;
    json_t *spec;
    uint32_t address;
    bool ever_ready;
    bool stopping; /* the wish to end is recorded */
    bool outdated; /* the record is of an older version: write it anew */

    /* derived */
    int64_t serial; /* tells a later instance of the same name apart */
    char *folder;   /* the record's and the bundle's */
    char *live;     /* mounted at /run/slipway inside */
    char *cgroup;   /* "shop.dev/NAME" */
    uint32_t range, uid, gid;
    uint16_t port;

    /* now */
    enum instance_state state;
    int64_t since; /* wall ms */
    enum { COMEBACK_NONE, COMEBACK_WAITS, COMEBACK_UNDER_WAY } comeback;
    struct timer *comeback_timer;
    int comeback_looks;
    int64_t comeback_cpu_us; /* at the last one */
    pid_t pid;
    int pid_fd;
    pid_t conmon_pid;
    int conmon_fd;
    struct watch *conmon_watch;
    struct child *front; /* conmon's first process */
    int sync_fd;
    struct watch *sync_watch;
    char *told;                 /* what came on it before the first process ended; NULL: nothing */
    struct timer *create_timer; /* of one creation */
    struct timer *deadline;     /* of the start verb */
    struct timer *wait;         /* back-off, or the stop's grace */
    struct timer *hung;         /* it does not answer: until it is killed */
    int hung_looks;             /* since it does not */
    bool removing;
    struct restart restart;
    int64_t up_since;                       /* mono ms */
    int64_t start_us, created_us, ready_us; /* of the start verb */
    int64_t stop_ms;                        /* mono */
    int exit_code;
    bool killed;
    bool synced;  /* the record is on the disk */
    char why[64]; /* the probe's last word */
    struct ticket *starters[8];
    size_t starter_count;
    struct ticket *stoppers[8];
    size_t stopper_count;
    json_t *next; /* arguments of a start that came while stopping */
    struct ticket *next_ticket;

    /* output.c */
    ino_t log_inode; /* of the file that signals follows; 0: none */
    bool rotating;
};

struct instances {
    struct host *host;
    struct instance_roots roots;
    struct map by_name;
    char *folder;
    int64_t serial;
    void (*on_ready)(int64_t app_env_id, const char *server, bool ready);
};
extern struct instances instances;

/* instance.c */
struct instance *instance_find(const char *name);
/* Apply an event: the only place that sets ->state. A refused pair is logged and false. */
bool instance_event(struct instance *i, enum instance_event event);
json_t *instance_json(const struct instance *i);
void instance_notice(const struct instance *i, const char *text);
/* It runs, and is not ready yet: one that was ready before has a time for it. */
void instance_watch_start(struct instance *i);
/* Tell the edge. Ready is also what nobody knows anything of. */
void instance_tell_ready(const struct instance *i, bool ready);
void instance_answer_start(struct instance *i); /* when ready and recorded */
void instance_fail_start(struct instance *i, const struct err *error);
/* Put a record's instance into the map. Takes i. */
void instance_enter(struct instance *i);
void instance_leave(struct instance *i); /* out of the map, freed; starts `next` */

/* record.c */
int record_from_args(json_t *args, struct instance **ret_instance, struct err *err) MUST_CHECK;
int record_load(const char *name, struct instance **ret_instance, struct err *err) MUST_CHECK;
/* Write it now (kill -9 proof); the sync to disk (power-cut proof) runs on the pool, and
 * instance->synced tells. */
int record_write(struct instance *i, struct err *err) MUST_CHECK;
void record_sync(struct instance *i);
void instance_free(struct instance *i);
DEFINE_AUTO(instance)

/* seal.c: the secrets of the instance `name` as one text, which opens for that name only. */
int seal_close(const char *name, const json_t *secrets, char **ret_sealed,
               struct err *err) MUST_CHECK;
int seal_open(const char *name, const char *sealed, json_t **ret_secrets,
              struct err *err) MUST_CHECK;

/* live.c */
int live_write(struct instance *i, struct err *err) MUST_CHECK;
/* The value of one element of spec.secrets. */
int live_secret(const json_t *secret, struct secret *ret_value, struct err *err) MUST_CHECK;

/* bundle.c: what the container is made of. */
int bundle_prepare(struct instance *i, struct err *err) MUST_CHECK;

/* run.c: making, watching, ending the container. */
void run_create(struct instance *i);
/* Take over a running container; false when it is not there (whole). */
bool run_adopt(struct instance *i);
void run_watch_ready(struct instance *i);
/* Remove what is left of a container, then create it anew (or, if a stop came, remove the rest). */
void run_recreate(struct instance *i);
/* Kill a monitor (and its crun) that an earlier host process left in the middle of a creation. */
void run_kill_monitor(const struct instance *i);
void run_let_go(struct instance *i); /* close fds and watches */
/* The last line of its output, for people; heap, never NULL. */
char *run_last_line(const struct instance *i);

/* comeback.c: what was recorded and does not run. Its state is CREATING, also while it waits. */
void comeback_add(struct instance *i);
void comeback_begin(void);                 /* as many as may; once all are added */
void comeback_now(struct instance *i);     /* somebody waits for it; else nothing */
void comeback_settled(struct instance *i); /* it is ready, or on another way */

/* stop.c */
void stop_begin(struct instance *i); /* in state STOPPING: signal, grace, KILL */
void stop_gone(struct instance *i);  /* no process is left: remove everything */

/* output.c */
void output_setup(void);
void output_shutdown(void);
void output_open(struct instance *i); /* tell signals of its file */
void output_close(struct instance *i);
json_t *output_dump(void);
