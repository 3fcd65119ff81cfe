/* Between the files of this folder. */
#pragma once
#include "base/arena.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/sha.h"
#include "base/sm.h"
#include "host/build/build.h"
#include "host/build/mask.h"
#include "host/build/output.h"
#include "host/sandbox/sandbox.h"
#include "io/child.h"
#include "io/loop.h"

enum build_state {
    BUILD_BASE,   /* the base is found or made: it takes no turn, and others may share it */
    BUILD_QUEUED, /* until it is its turn */
    BUILD_VOLUME, /* mkfs, mount */
    BUILD_CACHE,  /* the app-env's cache volume */
    BUILD_TREE,   /* the source is unpacked */
    BUILD_STEPS,
    BUILD_CHECKS,
    BUILD_COLLECT, /* the output is packed */
    BUILD_ADMIT,   /* hashed, manifest written */
    BUILD_CLEANING,
    BUILD_DONE,
    BUILD_FAILED,
};
enum build_event {
    BUILD_EVENT_START,
    BUILD_EVENT_READY, /* what this state makes is there */
    BUILD_EVENT_NEXT,  /* one step or check done, another follows */
    BUILD_EVENT_FAIL,
    BUILD_EVENT_CLEANED,
    BUILD_EVENT_CLEANED_FAILED,
};
extern const struct sm host_build_sm;

/* What a build waits for now: exactly one thing, or nothing. */
enum build_pending {
    BUILD_IDLE,
    BUILD_ON_BASE,
    BUILD_ON_SOURCE, /* somebody who listens has to hand over the tree */
    BUILD_ON_CHILD,
    BUILD_ON_RUN,
    BUILD_ON_WORK,
    BUILD_ON_CACHE
};

struct cache;
struct base_image_ask;
struct build {
    unsigned magic;
    struct host *host;
    char *name, *app, *app_env;
    int64_t app_env_id, id_range;
    json_t *spec;
    int source_fd;
    int source_attempts; /* times that the tree was wanted */
    int state;
    struct err err; /* why it fails; E_OK while it does not */
    enum build_pending pending;
    struct child *child;
    struct sandbox_run *run;
    struct base_image_ask *base_ask;
    char *folder, *bundle, *image, *mount, *secrets; /* paths */
    bool mounted, secrets_mounted;
    char base[SHA_DIGEST], build_base[SHA_DIGEST];
    struct cache *cache;
    struct mask mask;
    struct output *output;
    size_t step;                                    /* index in "steps", then in "checks" */
    int64_t step_started_ms, begun_ms, deadline_ms; /* mono */
    int64_t step_began_ms;                          /* wall */
    int capture_fd;                                 /* a check's stdout, when that is its report */
    int64_t captured;
    int check_exit;
    json_t *checks;
    json_t *timeline;                    /* timeline.c */
    int64_t timeline_began_ms;           /* mono: what runs */
    int64_t cases_left, case_bytes_left; /* of all checks together */
    struct timer *deadline, *watch, *throttle;
    int64_t pids_hits;
    int pids_seconds;
    int64_t read_window; /* bytes read since the throttle ticked */
    char *blob_path;
    char layer[SHA_DIGEST], artifact[SHA_DIGEST];
    int64_t layer_bytes, files;
    int64_t epoch;         /* seconds: the commit's time, as the tree says it */
    int64_t begun_wall_ms; /* its turn began */
    json_t *provenance;    /* complete; made on the loop, used on the pool */
    struct err work_err;
    struct ticket **tickets, **cancels;
    size_t ticket_count, cancel_count;
};
#define BUILD_MAGIC 0x6275696cu

/* build.c */
void build_event(struct build *b, enum build_event event);
void build_start_next(void *context); /* deferred: whose turn is it? */
/* The first failure counts; what runs is killed, then everything is cleaned. */
void build_fail(struct build *b, const struct err *error);
/* Call first in every callback: true when the build is failing and the callback has nothing more to
 * do. */
bool build_arrived(struct build *b);
void build_tell(struct build *b, const char *event,
                json_t *args); /* to all who listen; takes args */

/* timeline.c: what a build does, one thing after the other: {"step": name, "kind": "phase"|"step"|
 * "check", "state": "running"|"done"|"failed", "at" (wall ms), "ms"}. Kept in b->timeline, told as
 * "step" at the begin and the end of each. */
void timeline_begin(struct build *b, const char *kind, const char *name);
void timeline_end(struct build *b, const char *state); /* of what runs; fine when nothing does */
void timeline_turn(struct build *b, int from, int to); /* the phases are states of the machine */
uint32_t build_range(const struct build *b);
/* What the build asks for, and never more than the installation allows. */
int64_t build_limit(const struct build *b, const char *name, int64_t ceiling);
/* The tree, now that it is wanted: build_act.c. The first asks for it, the second takes the fd. */
void build_source_tell(struct build *b);
void build_source_take(struct build *b, int fd);
void build_act(struct build *b);    /* start what the state is for: build_act.c */
void build_finish(struct build *b); /* write the result, answer everybody, free */
int build_secret_value(const json_t *secret, struct secret *ret_value, struct err *err) MUST_CHECK;

/* build_step.c */
void build_step_begin(struct build *b);
void build_check_begin(struct build *b);
/* build_collect.c */
void build_collect_begin(struct build *b);
void build_admit_begin(struct build *b);
/* build_spec.c */
int build_spec_check(const json_t *spec, struct err *err) MUST_CHECK;
bool build_name_ok(const char *name);

/* keep.c: the folders of builds that ended. */
#define BUILD_RECORDS_MAX (1ll << 30)
typedef void build_each_fn(const char *folder, const char *name, void *context);
void build_each(build_each_fn *fn, void *context); /* build.c: every folder of a build */
bool build_is_here(const char *name);              /* build.c: does it wait or run? */
json_t *build_result_read(const char *folder);     /* NULL: there is none; a new reference */
struct artifact_sweep;
void build_keep_sweep(struct artifact_sweep *sweep);
void build_keep_forget(int64_t app_env_id);

/* cache.c: one volume per app-env, so that no other app-env's build can write what this one reads.
 * Its name is "ID.APP.ENV". */
void cache_init(struct host *h);
void cache_sweep(struct artifact_sweep *sweep); /* those that nobody used for long, and too many */
void cache_forget(int64_t app_env_id);
/* done: cache NULL when there is none to be had (said in the log): the build goes on without. */
void cache_open(struct host *h, const char *name, void (*done)(void *context, struct cache *c),
                void *context);
void cache_df(struct host *h, json_t *volumes);
void cache_close(struct cache *c); /* NULL is fine */
/* The folder for one path of the container, made and given to the range; heap. */
int cache_folder(const struct cache *c, const char *path, uint32_t range, char **ret_folder,
                 struct err *err) MUST_CHECK;
