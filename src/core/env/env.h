/* Apps, environments, and the app-env: the row that has state. Also the ticked set and the domains
 * of an app-env. Envs are stages of the whole installation (dev, test, pre, prod by default); every
 * app has an app-env for each of them from its first day. Loop thread; writes only within an input.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/store/store.h"

extern const char env_schema[];       /* app, env, app_env, domain, ticked */
extern const char env_try_schema[];   /* envs that are tries */
extern const char env_range_schema[]; /* ranges of user ids are given again */
extern const char env_about_schema[]; /* what an env is for, and what it does at a conflict */
#define ENV_TRY_PREFIX "try-"         /* of the names of tries, and of no other env */
#define ENV_PURPOSE_MAX 300           /* bytes */
#define ENV_NAME_MAX 41
#define TICKS_MAX 100
#define DOMAINS_MAX 20

struct app {
    int64_t id;
    char name[ENV_NAME_MAX];
    char trunk[201];
};
struct app_env {
    int64_t id;
    int64_t id_range; /* the number of its range of user ids: settings_range */
    int64_t app_id;
    int64_t env_id; /* of `like` */
    char app[ENV_NAME_MAX];
    char env[ENV_NAME_MAX];
    char trunk[201];
    char like[ENV_NAME_MAX]; /* whose configuration and rights hold: env, or what a try is like */
    bool is_try;
    char policy[12];                /* of the env, at a conflict: stop, skip or last-good */
    char subject[2 * ENV_NAME_MAX]; /* "shop.dev": the journal's and the wire's name */
    char live_slot[2];              /* "", "a" or "b" */
    int64_t live_release;           /* number; 0: none */
    int64_t share;                  /* of the other slot, in 1/10000 */
    int64_t edge_version;
};
/* E_NOT_FOUND when absent. */
int app_load(struct core *core, const char *name, struct app *ret_app, struct err *err) MUST_CHECK;
int env_load(struct core *core, const char *name, int64_t *ret_id, struct err *err) MUST_CHECK;
int app_env_load(struct core *core, int64_t id, struct app_env *ret, struct err *err) MUST_CHECK;
int app_env_find(struct core *core, const char *app, const char *env, struct app_env *ret,
                 struct err *err) MUST_CHECK;

/* Of the last env: where releases prove themselves. */
int app_env_last(struct core *core, const char *app, struct app_env *ret,
                 struct err *err) MUST_CHECK;

int app_create(struct core *core, const struct person *by, const char *name, const char *trunk,
               struct app *ret_app, struct err *err) MUST_CHECK;
int app_remove(struct core *core, const struct person *by, const struct app *a,
               struct err *err) MUST_CHECK; /* E_STATE_CONFLICT while something runs */
/* Tell courier and host what they must forget of removed apps (repository, edge), until they have
 * heard it: after a removal is durable, and whenever one of them comes back. */
void env_forget_gone(struct core *core);
void env_gone_done(void); /* core ends */
/* E_STATE_CONFLICT while the repository of a removed app of that name is still to be deleted. */
int app_refuse_gone(struct core *core, const char *name, struct err *err) MUST_CHECK;
int app_list(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;
/* position: where it stands in the order of envs; ENV_BEFORE_LAST: right before the last one. like
 * (NULL: none): an env of which the rights that name it are copied. */
#define ENV_BEFORE_LAST (-1)
int env_create(struct core *core, const struct person *by, const char *name, int64_t position,
               const char *like, struct err *err) MUST_CHECK;
/* changes: what becomes another: "purpose" (in a sentence, at most ENV_PURPOSE_MAX bytes), "policy"
 * (at a conflict: stop, skip, last-good), "culprits" (of a build that fails are searched for:
 * click, always), "gate" (findings of that severity or more, not closed in an env before, keep
 * their branches out: none, low, medium, high, critical), "position". E_NOT_FOUND,
 * E_FIELD_INVALID. */
int env_change(struct core *core, const struct person *by, const char *name, const json_t *changes,
               struct err *err) MUST_CHECK;
/* A try's env, with an app-env of this app alone: like another one (its configuration, rights,
 * secrets and policy), beside it in the order, but no stage: it is in no list of envs. */
int env_try_create(struct core *core, const struct person *by, const struct app *app,
                   const char *name, const char *like, struct app_env *ret,
                   struct err *err) MUST_CHECK;
/* Nothing runs in it. Tell the other roles with env_forget_gone once durable. */
int env_try_remove(struct core *core, const struct app_env *ae, struct err *err) MUST_CHECK;
/* The stages: [{"id","name","position","purpose","policy","culprits","gate"}], in order. */
int env_list(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;

/* Its branches or tags are others now: an event "repo" for each of its app-envs. data is borrowed;
 * NULL: nothing to say. */
void env_publish_repo(struct core *core, int64_t app_id, const json_t *data);
/* An event for each of an app's app-envs. data as above. */
void env_publish_all(struct core *core, int64_t app_id, const char *topic, const json_t *data);

/* The ticked set, in order: [{"branch","tip","by","at"}]; tip is what was integrated last (null:
 * never). */
int ticks_list(struct core *core, int64_t app_env_id, json_t **ret_rows,
               struct err *err) MUST_CHECK;
/* The names in rows with a "branch" (ticks, what a release holds): a new list, in their order. */
json_t *branch_names(const json_t *rows);
/* Add, remove or replace (set not NULL). Names are checked by rule here, existence by the caller.
 */
int ticks_change(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *add, const json_t *remove, const json_t *set,
                 struct err *err) MUST_CHECK;
/* Note which tips are live now; the other ticked branches have none. */
int ticks_deployed(struct core *core, int64_t app_env_id, const json_t *ticks,
                   struct err *err) MUST_CHECK;

/* The app-env's domains: APP.ENV.<base_domain> and its own ones. E_DOMAIN_TAKEN. */
int domains_list(struct core *core, const struct app_env *ae, json_t **ret_names,
                 struct err *err) MUST_CHECK;
int domains_set(struct core *core, const struct person *by, const struct app_env *ae,
                const json_t *names, struct err *err) MUST_CHECK;

/* What the edge is told: change and bump the version. */
int app_env_route(struct core *core, struct app_env *ae, const char *live_slot,
                  int64_t live_release, int64_t share, struct err *err) MUST_CHECK;
int app_env_edge_version(struct core *core, struct app_env *ae,
                         struct err *err) MUST_CHECK; /* bump alone */
