/* The walk of a landing: the courier moves the refs, then one transaction unticks what is on trunk
 * and says who lacks it. Asking the courier again finds done what is done. */
#include "core/land/land.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/feed/feed.h"
#include "core/forge/forge.h"
#include "core/journal/journal.h"
#include "core/land/land_priv.h"
#include "core/land/merge_request.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define LAND_MS 300000 /* several calls of git, and their queue */
#define AGAIN_MS 10000
#define AGAIN_BUSY_MS 60000   /* the forge was asked too often */
#define AGAIN_ASKED_MS 300000 /* people have to merge it: a fetch tells sooner */

static struct timer *again_timer;
static struct feed_subscriber *subscriber;
static int64_t feed_cursor;

/* ---- those who wait ---- */

struct waiter {
    int64_t id;
    void (*done)(void *context, const struct err *error);
    void *context;
    struct waiter *next;
};
static struct waiter *waiters;

void landing_await(int64_t id, void (*done)(void *context, const struct err *error), void *context)
{
    struct waiter *w = mem_alloc(sizeof(*w));
    *w = (struct waiter){id, done, context, waiters};
    waiters = w;
}

static void tell_waiters(int64_t id, const struct err *error)
{
    for (struct waiter **at = &waiters; *at;) {
        struct waiter *w = *at;
        if (id && w->id != id) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->done(w->context, error);
        free(w);
        at = &waiters; /* who was told may have begun another one */
    }
}

void landing_done(struct core *core)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_CANCELLED, "core ends");
    tell_waiters(0, &err);
    timer_free(&again_timer);
    feed_unsubscribe(core->feed, subscriber);
}

/* ---- what would land ---- */

static int refuse(struct core *core, const struct app_env *ae, const json_t *release,
                  struct err *err)
{
    AUTO_JSON *active = NULL;
    if (!ae->live_release)
        return FAIL(err, E_STATE_CONFLICT, "nothing is live in %s: release there, then land",
                    ae->env);
    if (rollout_active(core, ae->id, &active, err) < 0)
        return -1;
    if (json_is_object(active))
        return FAIL(err, E_ROLLOUT_ACTIVE,
                    "rollout %lld of '%s' is under way: land when it is done",
                    (long long)json_int(active, "id", 0), ae->subject);
    if (json_bool(release, "bad", false))
        return FAIL(err, E_RELEASE_BAD, "r%lld of %s is marked bad", (long long)ae->live_release,
                    ae->env);
    if (json_array_size(json_list(release, "branches")) == 0)
        return FAIL(err, E_STATE_CONFLICT, "r%lld of %s is trunk alone: there is nothing to land",
                    (long long)ae->live_release, ae->env);
    return 0;
}

/* {"app_env_id","env","release","commit","branches","tag"}; *ret_refused when it cannot land. */
static int what_lands(struct core *core, const struct app *app, json_t **ret_what,
                      struct err *ret_refused, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *release = NULL;
    AUTO_JSON *what = json_object();
    if (app_env_last(core, app->name, &ae, err) < 0 ||
        (ae.live_release && release_row(core, ae.id, ae.live_release, &release, err) < 0))
        return -1;
    AUTO_FREE char *tag = mem_format("%s/r%lld", ae.env, (long long)ae.live_release);
    json_put_int(what, "app_env_id", ae.id);
    json_put_text(what, "env", ae.env);
    json_put_int(what, "release", ae.live_release);
    json_put_text(what, "commit", json_text(release, "commit"));
    json_put(what, "branches", json_deep_copy(json_list(release, "branches")));
    json_put_text(what, "tag", tag);
    if (refuse(core, &ae, release, ret_refused) < 0 &&
        err_status(ret_refused->kind) >= 500) { /* no refusal: the store */
        *err = *ret_refused;
        return -1;
    }
    *ret_what = TAKE(what);
    return 0;
}

int landing_preview(struct core *core, const struct app *app, json_t **ret_preview, struct err *err)
{
    AUTO_JSON *what = NULL;
    struct err refused = ERR_INIT;
    bool was = false;
    if (what_lands(core, app, &what, &refused, err) < 0 ||
        landing_was(core, json_int(what, "app_env_id", 0), json_int(what, "release", 0), &was,
                    err) < 0)
        return -1;
    (void)json_object_del(what, "app_env_id"); /* it is there */
    json_put_bool(what, "landed", was);
    json_put(what, "refused", refused.kind ? json_from_err(&refused) : json_null());
    *ret_preview = TAKE(what);
    return 0;
}

/* ---- after the refs have moved ---- */

struct outcome {
    struct core *core;
    int64_t id;
    const json_t *ok;        /* the courier's reply; NULL: it failed */
    const struct err *error; /* then: why */
};

static bool is_landed(const json_t *row, const json_t *tips, const char *branch)
{
    size_t i;
    json_t *landed;
    json_array_foreach(json_list(row, "branches"), i, landed)
    {
        const char *tip = json_text(tips, branch);
        if (text_is(json_text(landed, "branch"), branch))
            return !tip || text_is(tip, json_text(landed, "tip")); /* newer commits stay in */
    }
    return false;
}

static int untick(const struct outcome *o, const json_t *row, const struct app_env *ae,
                  json_t *unticked, struct err *err)
{
    AUTO_JSON *ticks = NULL;
    AUTO_JSON *names = json_array();
    struct person by = {0};
    size_t i;
    json_t *tick;
    if (ticks_list(o->core, ae->id, &ticks, err) < 0)
        return -1;
    json_array_foreach(ticks, i, tick)
    {
        const char *branch = json_text_or(tick, "branch", "");
        if (is_landed(row, json_dict(o->ok, "tips"), branch))
            json_push(names, json_string(branch));
    }
    if (json_array_size(names) == 0)
        return 0;
    json_put(unticked, ae->env, json_incref(names));
    (void)snprintf(by.actor, sizeof(by.actor), "%s", json_text_or(row, "actor", "core"));
    return ticks_change(o->core, &by, ae, NULL, names, NULL, err);
}

/* What it runs is another commit. */
static int note_behind(const struct outcome *o, const json_t *row, const struct app_env *ae,
                       json_t *behind, struct err *err)
{
    AUTO_JSON *release = NULL;
    if (!ae->live_release)
        return 0;
    if (release_row(o->core, ae->id, ae->live_release, &release, err) < 0)
        return -1;
    if (text_is(json_text(release, "commit"), json_text(row, "commit")))
        return 0;
    json_t *one = json_object();
    json_put_text(one, "env", ae->env);
    json_put_int(one, "release", ae->live_release);
    json_push(behind, one);
    return 0;
}

static int result_of(const struct outcome *o, const json_t *row, const struct app *app,
                     json_t **ret_result, struct err *err)
{
    AUTO_JSON *envs = NULL;
    AUTO_JSON *result = json_object();
    json_t *unticked = json_object(), *behind = json_array(), *env;
    size_t i;
    json_put_text(result, "from", json_text(o->ok, "from"));
    json_put_text(result, "tag", json_text(o->ok, "tag"));
    json_put_bool(result, "moved", json_bool(o->ok, "moved", false));
    if (json_bool(o->ok, "squashed", false))
        json_put_bool(result, "squashed", true);
    json_put(result, "unticked", unticked);
    json_put(result, "behind", behind);
    if (env_list(o->core, &envs, err) < 0)
        return -1;
    json_array_foreach(envs, i, env)
    {
        struct app_env ae;
        if (app_env_find(o->core, app->name, json_text_or(env, "name", ""), &ae, err) < 0 ||
            untick(o, row, &ae, unticked, err) < 0 || note_behind(o, row, &ae, behind, err) < 0)
            return -1;
    }
    *ret_result = TAKE(result);
    return 0;
}

static int app_of(struct core *core, const json_t *row, struct app *ret_app, struct err *err)
{
    struct app_env ae;
    return app_env_load(core, json_int(row, "app_env_id", 0), &ae, err) < 0
               ? -1
               : app_load(core, ae.app, ret_app, err);
}

static int journal_end(const struct outcome *o, const json_t *row, const char *app, int state,
                       const json_t *result, struct err *err)
{
    AUTO_JSON *data = result ? json_deep_copy(result) : json_object();
    AUTO_FREE char *kind = mem_format("landing.%s", sm_state_name(&landing_sm, state));
    json_put_int(data, "landing", o->id);
    json_put_int(data, "release", json_int(row, "release", 0));
    json_put_text(data, "commit", json_text(row, "commit"));
    if (!json_object_get(data, "tag"))
        json_put_text(data, "tag", json_text(row, "tag"));
    if (o->error)
        json_put(data, "error", json_from_err(o->error));
    return journal_append(o->core, json_text_or(row, "actor", "core"), kind, app, 0, data, err);
}

static int apply_outcome(void *context, struct err *err)
{
    const struct outcome *o = context;
    AUTO_JSON *row = NULL;
    AUTO_JSON *result = NULL;
    AUTO_JSON *error = o->error ? json_from_err(o->error) : NULL;
    struct app app = {0};
    int from = 0, to = 0;
    if (landing_load(o->core, o->id, &row, err) < 0 ||
        sm_state_from_name(&landing_sm, json_text_or(row, "state", ""), &from, err) < 0)
        return -1;
    if (sm_next(&landing_sm, from, o->ok ? LANDING_SUCCEED : LANDING_FAIL, &to) == SM_REFUSED)
        return 0; /* late word */
    bool known = app_of(o->core, row, &app, err) == 0;
    if (!known && err->kind != E_NOT_FOUND)
        return -1;
    *err = (struct err)ERR_INIT;
    if (o->ok && known && result_of(o, row, &app, &result, err) < 0)
        return -1;
    FAULT("landing.event");
    return landing_set_ended(o->core, o->id, to, result, error, err) < 0
               ? -1
               : journal_end(o, row, known ? app.name : "", to, result, err);
}

/* ---- acting ---- */

struct action {
    struct core *core;
    int64_t id;
    json_t *row;
    bool refused;  /* a merge request, too */
    bool again;    /* somebody wanted it while it ran */
    bool untagged; /* it was refused with its tag, which may be all that is refused */
    json_t *ok;    /* it was merged: the courier's reply, while the branch of that goes */
    struct action *next;
};
static struct action *actions; /* one at a time for a landing */

static void action_free(struct action *a)
{
    for (struct action **at = &actions; *at; at = &(*at)->next) {
        if (*at == a) {
            *at = a->next;
            break;
        }
    }
    json_decref(a->row);
    json_decref(a->ok);
    free(a);
}

static void on_durable(void *context, const struct err *error)
{
    struct action *a = context;
    if (!error)
        env_publish_repo(a->core, json_int(a->row, "app_id", 0), NULL);
    tell_waiters(a->id, error);
    action_free(a);
}

/* What the courier has found, and would find again; all else may be otherwise in a while. */
static bool is_verdict(const struct err *error)
{
    static const enum err_kind kinds[] = {
        E_REF_CHANGED,   E_EXISTS,    E_BRANCH_UNKNOWN, E_REF_INVALID,       E_NAME_INVALID,
        E_REF_PROTECTED, E_NOT_FOUND, E_FORGE_DENIED,   E_ADDRESS_FORBIDDEN, E_FIELD_INVALID};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (error->kind == kinds[i])
            return true;
    return false;
}

/* Of one that waits for people to merge it: they cannot any more, or it would be another. What a
 * token or a setting can mend is not lost. */
static bool is_lost(const struct err *error)
{
    return is_verdict(error) && error->kind != E_REF_PROTECTED && error->kind != E_REF_CHANGED &&
           error->kind != E_FORGE_DENIED && error->kind != E_ADDRESS_FORBIDDEN;
}

static void on_again(void *context)
{
    landing_resume(context);
}

static void again_later(struct core *core, int64_t delay_ms)
{
    timer_sooner(&again_timer, delay_ms, on_again, core);
}

/* ---- asked for at the forge ---- */

static bool is_asked(const struct action *a)
{
    return text_is(json_text(a->row, "state"), "asked");
}

static int apply_asked(void *context, struct err *err)
{
    const struct outcome *o = context;
    AUTO_JSON *row = NULL;
    AUTO_JSON *result = json_object();
    struct app app = {0};
    int from = 0, to = 0;
    if (landing_load(o->core, o->id, &row, err) < 0 || app_of(o->core, row, &app, err) < 0 ||
        sm_state_from_name(&landing_sm, json_text_or(row, "state", ""), &from, err) < 0)
        return -1;
    if (sm_next(&landing_sm, from, LANDING_ASK, &to) == SM_REFUSED)
        return 0; /* late word */
    json_put(result, "merge_request", json_deep_copy(o->ok));
    FAULT("landing.asked");
    return landing_set_asked(o->core, o->id, result, err) < 0
               ? -1
               : journal_end(o, row, app.name, to, result, err);
}

static void on_landed(void *context, json_t *ok, const struct err *error);
static void ask_courier(struct action *a);

static void on_asked(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    struct err err = ERR_INIT;
    struct outcome o = {a->core, a->id, ok, NULL};
    if (error) {
        a->refused = true; /* so it is at its end */
        on_landed(a, NULL, error);
        return;
    }
    if (tick_input(a->core->tick, "a landing is asked for", apply_asked, &o, &err) == 0) {
        tick_after(a->core->tick, on_durable, NULL, a);
        return;
    }
    log_error("a merge request could not be noted, asking again", F_ERR(&err));
    tell_waiters(a->id, &err);
    again_later(a->core, AGAIN_MS);
    action_free(a);
}

static void ask_for_merge(struct action *a)
{
    struct err err = ERR_INIT;
    struct app app = {0};
    if (app_of(a->core, a->row, &app, &err) < 0)
        on_asked(a, NULL, &err);
    else
        merge_request_open(a->core, &app, a->row, on_asked, a);
}

static void on_branch_gone(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    (void)ok;
    if (error) /* people may work on it, or may have been first */
        log_info("the branch of a merged release stays", F_ID("landing", a->id), F_ERR(error));
    on_landed(a, a->ok, NULL);
}

/* Merged: the branch that was made for it is of no more use. Begins again with the landing. */
static void drop_branch(struct action *a, json_t *ok)
{
    struct err err = ERR_INIT;
    struct app app = {0};
    a->ok = json_incref(ok);
    if (app_of(a->core, a->row, &app, &err) < 0)
        on_branch_gone(a, NULL, &err);
    else
        merge_request_drop(a->core, &app, a->row, on_branch_gone, a);
}

/* ---- what came of it ---- */

static void on_landed(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    struct err err = ERR_INIT;
    struct outcome o = {a->core, a->id, error ? NULL : ok, error};
    if (error && error->kind == E_REF_PROTECTED && !a->untagged) {
        a->untagged = true;
        ask_courier(a);
        return;
    }
    if (!error && is_asked(a) && !a->ok) {
        drop_branch(a, ok);
        return;
    }
    if (error && is_asked(a) && !is_lost(error)) { /* not merged yet, or nobody can tell now */
        tell_waiters(a->id, NULL);
        if (a->again)
            again_later(a->core, AGAIN_MS);
        else if (error->kind != E_STATE_CONFLICT)
            again_later(a->core, AGAIN_ASKED_MS);
        action_free(a);
        return;
    }
    if (error && error->kind == E_REF_PROTECTED && !a->refused) {
        ask_for_merge(a);
        return;
    }
    if (error && !is_verdict(error)) { /* nobody knows what came of it: asked again, it is found */
        tell_waiters(a->id, NULL);
        again_later(a->core, error->kind == E_FORGE_BUSY ? AGAIN_BUSY_MS : AGAIN_MS);
        action_free(a);
        return;
    }
    if (tick_input(a->core->tick, "landing ends", apply_outcome, &o, &err) == 0) {
        tick_after(a->core->tick, on_durable, NULL, a);
        return;
    }
    log_error("the end of a landing could not be stored, trying again", F_ID("landing", a->id),
              F_ERR(&err));
    tell_waiters(a->id, &err);
    again_later(a->core, AGAIN_MS);
    action_free(a);
}

/* To the courier: a->row is read. */
static void ask_courier(struct action *a)
{
    struct err err = ERR_INIT;
    struct app app = {0};
    if (app_of(a->core, a->row, &app, &err) < 0) {
        on_landed(a, NULL, &err); /* E_NOT_FOUND: the app is gone */
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", app.name);
    json_put_text(args, "trunk", app.trunk);
    json_put_text(args, "commit", json_text(a->row, "commit"));
    if (!a->untagged)
        json_put_text(args, "tag", json_text(a->row, "tag"));
    json_put(args, "branches", branch_names(json_list(a->row, "branches")));
    if (is_asked(a))
        json_put_bool(args, "look", true);
    FAULT("landing.act");
    origin_ask(a->core, app.id, "ref.land", args, LAND_MS, on_landed, a);
}

static void act(struct core *core, int64_t id)
{
    struct err err = ERR_INIT;
    for (struct action *a = actions; a; a = a->next) {
        if (a->id != id)
            continue;
        a->again = true; /* it may see what has happened, or not */
        return;
    }
    struct action *a = mem_alloc(sizeof(*a));
    *a = (struct action){.core = core, .id = id, .next = actions};
    actions = a;
    if (landing_load(core, id, &a->row, &err) < 0)
        on_landed(a, NULL, &err);
    else
        ask_courier(a);
}

/* ---- those that are asked for: merged by now? ---- */

static void look_at_asked(struct core *core, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, &err,
                   "SELECT l.id FROM landing l JOIN app_env ae ON ae.app_id=l.app_id WHERE "
                   "l.state='asked' AND ae.id=$1",
                   "i", app_env_id) < 0)
        return; /* with the next fetch */
    json_array_foreach(rows, i, row) act(core, json_int(row, "id", 0));
}

static void on_news(void *context)
{
    struct core *core = context;
    struct feed_event e;
    while (feed_next(core->feed, &feed_cursor, &e) == 0)
        if (text_is(e.topic, "repo"))
            look_at_asked(core, e.app_env_id);
}

void landing_init(struct core *core)
{
    feed_cursor = feed_last_id(core->feed);
    subscriber = feed_subscribe(core->feed, on_news, core);
}

int landing_cancel(struct core *core, const struct person *by, const struct app *app, int64_t id,
                   struct err *err)
{
    AUTO_JSON *row = NULL;
    struct err why = ERR_INIT;
    if (landing_load(core, id, &row, err) < 0)
        return -1;
    if (json_int(row, "app_id", 0) != app->id)
        return FAIL(err, E_NOT_FOUND, "no such landing");
    if (!text_is(json_text(row, "state"), "asked") && !text_is(json_text(row, "state"), "doing"))
        return FAIL(err, E_STATE_CONFLICT, "it has ended: it is %s",
                    json_text_or(row, "state", "?"));
    (void)FAIL(&why, E_CANCELLED, "%s waits for it no more; what was pushed stays pushed",
               by->name);
    struct outcome o = {core, id, NULL, &why};
    return apply_outcome(&o, err);
}

struct begun {
    struct core *core;
    int64_t id;
};

static void on_begun(void *context, const struct err *error)
{
    struct begun *b = context;
    if (error)
        tell_waiters(b->id, error);
    else
        act(b->core, b->id);
    free(b);
}

int landing_create(struct core *core, const struct person *by, const struct app *app,
                   int64_t expect, int64_t *ret_id, struct err *err)
{
    AUTO_JSON *what = NULL;
    struct err refused = ERR_INIT;
    if (!link_up(core->courier)) /* later it might land what is known to be bad by then */
        return FAIL(err, E_ROLE_DOWN, "'courier' is not running right now: try again in a second");
    if (what_lands(core, app, &what, &refused, err) < 0)
        return -1;
    if (refused.kind) {
        *err = refused;
        return -1;
    }
    if (expect && expect != json_int(what, "release", 0))
        return FAIL(err, E_STATE_CONFLICT, "r%lld is live by now, not r%lld: look again",
                    (long long)json_int(what, "release", 0), (long long)expect);
    if (landing_insert(core, by, app, what, ret_id, err) < 0 ||
        journal_append(core, by->actor, "landing.begun", app->name, 0, what, err) < 0)
        return -1;
    struct begun *b = mem_alloc(sizeof(*b));
    *b = (struct begun){core, *ret_id};
    tick_after(core->tick, on_begun, NULL, b);
    return 0;
}

void landing_resume(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, &err,
                   "SELECT id FROM landing WHERE state IN ('doing','asked')", "") < 0) {
        log_error("cannot list the landings", F_ERR(&err));
        return;
    }
    json_array_foreach(rows, i, row) act(core, json_int(row, "id", 0));
}
