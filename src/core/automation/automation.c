/* A reader of the feed notes which app-envs may have something new; a moment later each one is
 * resolved, and released when that is new indeed. */
#include "core/automation/automation.h"
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/automation/daily.h"
#include "core/branch/source.h"
#include "core/feed/feed.h"
#include "core/finding/finding.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define SOON_MS 1000    /* pushes come in groups */
#define AGAIN_MS 30000  /* after what may pass by itself */
#define LOOK_MS 30000   /* at the clock, when some app-env has a time */
#define LATE_MS 3600000 /* core was away at that time: still today's */
#define REASON_MAX 300
#define AUTOMATION_NAME "(automation)" /* no name that a person can have */

const char automation_schema[] =
    "ALTER TABLE app_env ADD COLUMN automation TEXT NOT NULL DEFAULT 'click';"
    "ALTER TABLE app_env ADD COLUMN automated_at BIGINT NOT NULL DEFAULT 0;";

struct due { /* an app-env that may have something new */
    struct automation *a;
    int64_t app_env_id;
    bool asking;           /* the courier is asked for its source */
    bool again;            /* something came meanwhile */
    int64_t at_ms;         /* mono: not before */
    char held[REASON_MAX]; /* why it was not released the last time, as the journal has it */
};
struct automation {
    struct core *core;
    struct feed_subscriber *subscriber;
    int64_t cursor;
    struct map due; /* id as text -> struct due, owned */
    struct timer *timer;
    struct timer *clock;
};

static void look_soon(struct automation *a, int64_t delay_ms);

/* ---- who may have something new ---- */

static struct due *due_find(struct automation *a, int64_t app_env_id, bool make)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)app_env_id);
    struct due *d = map_get(&a->due, key);
    if (d || !make)
        return d;
    d = mem_alloc(sizeof(*d));
    *d = (struct due){.a = a, .app_env_id = app_env_id, .at_ms = INT64_MAX};
    (void)map_put(&a->due, key, d);
    return d;
}

static void want(struct automation *a, int64_t app_env_id, int64_t delay_ms)
{
    struct due *d = due_find(a, app_env_id, true);
    if (d->asking) {
        d->again = true;
        return;
    }
    d->at_ms = clock_mono_ms(a->core->clock) + delay_ms;
    look_soon(a, delay_ms);
}

int automation_get(struct core *core, int64_t app_env_id, char text[8], struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, "SELECT automation FROM app_env WHERE id=$1", "i",
                    app_env_id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more < 0)
        return -1;
    (void)snprintf(text, 8, "%s", more ? query_text(&q, 0) : "click");
    return 0;
}

static bool is_on_push(struct core *core, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    char text[8];
    return automation_get(core, app_env_id, text, &err) == 0 && text_is(text, "push");
}

/* ---- not now ---- */

/* The day's time has been used, whatever came of it. */
static int note_time(struct core *core, int64_t app_env_id, struct err *err)
{
    return store_run(core->store, err, "UPDATE app_env SET automated_at=$2 WHERE id=$1", "ii",
                     app_env_id, clock_wall_ms(core->clock));
}

struct held {
    struct due *d;
    const struct err *why;
};

/* Said once: people look into the journal when what they pushed does not come. */
static int note_held(void *context, struct err *err)
{
    const struct held *h = context;
    struct core *core = h->d->a->core;
    struct app_env ae;
    AUTO_JSON *data = json_object();
    if (app_env_load(core, h->d->app_env_id, &ae, err) < 0 || note_time(core, ae.id, err) < 0)
        return -1;
    json_put_text(data, "reason", h->why->text);
    return journal_append(core, "core", "automation.held", ae.subject, ae.id, data, err);
}

static int note_seen(void *context, struct err *err)
{
    const struct due *d = context;
    return note_time(d->a->core, d->app_env_id, err);
}

/* Its time of day is over with nothing released: what is pushed later waits for the next one. */
static void seen(struct due *d)
{
    struct err err = ERR_INIT;
    char when[8];
    if (automation_get(d->a->core, d->app_env_id, when, &err) < 0 || !strchr(when, ':'))
        return;
    if (tick_input(d->a->core->tick, "nothing new today", note_seen, d, &err) < 0)
        log_info("a time of release could not be noted, looking again", F_ERR(&err));
}

static void hold(struct due *d, const struct err *why)
{
    struct err err = ERR_INIT;
    struct held h = {d, why};
    if (text_is(d->held, why->text)) {
        seen(d);
        return;
    }
    if (tick_input(d->a->core->tick, "automation is held", note_held, &h, &err) == 0)
        (void)snprintf(d->held, sizeof(d->held), "%s", why->text);
    else
        log_warn("a push was not released, and the journal could not be told why",
                 F_INT("app_env", d->app_env_id), F_ERR(why));
}

/* What people must mend is held; all else may pass by itself. */
static void not_now(struct due *d, const struct err *why)
{
    static const enum err_kind passing[] = {E_ROLE_DOWN, E_TIMEOUT,   E_TOO_MANY,    E_DISK_FULL,
                                            E_SYSTEM,    E_CANCELLED, E_STORE_FAILED};
    if (why->kind == E_ROLLOUT_ACTIVE) {
        d->again = true; /* its end comes here */
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
        if (why->kind != passing[i])
            continue;
        want(d->a, d->app_env_id, AGAIN_MS);
        return;
    }
    hold(d, why);
}

/* ---- is it new? ---- */

static void automation_person(struct person *p)
{
    *p = (struct person){.admin = true};
    (void)snprintf(p->name, sizeof(p->name), AUTOMATION_NAME);
    (void)snprintf(p->actor, sizeof(p->actor), "core");
}

/* The newest build is of this commit: it is live, or under way, or people have stopped it. */
static int is_newest(struct core *core, int64_t app_env_id, const char *commit, bool *ret_is,
                     struct err *err)
{
    int64_t count = 0;
    if (store_one_int(
            core->store, &count, err,
            "SELECT count(*) FROM build WHERE app_env_id=$1 AND commit_id=$2 AND "
            "number=(SELECT max(number) FROM build WHERE app_env_id=$1 AND culprits_of IS "
            "NULL)",
            "it", app_env_id, commit) < 0)
        return -1;
    *ret_is = count > 0;
    return 0;
}

/* It was tried before others, and is known to be no good. */
static int refuse_bad(struct core *core, int64_t app_env_id, const char *commit, struct err *err)
{
    int64_t bad = 0;
    if (store_one_int(
            core->store, &bad, err,
            "SELECT (SELECT count(*) FROM release WHERE app_env_id=$1 AND commit_id=$2 "
            "AND bad=1) + (SELECT count(*) FROM build WHERE app_env_id=$1 AND commit_id=$2 "
            "AND state='failed')",
            "it", app_env_id, commit) < 0)
        return -1;
    return bad ? FAIL(err, E_RELEASE_BAD,
                      "commit %.9s failed here before, or its release is marked bad: release it by "
                      "click if it is wanted",
                      commit)
               : 0;
}

/* ---- one that is under way ---- */

struct cancel_ask {
    struct core *core;
    int64_t id;
};

static int cancel(void *context, struct err *err)
{
    const struct cancel_ask *ask = context;
    struct person by;
    automation_person(&by);
    return rollout_cancel(ask->core, &by, ask->id, err);
}

/* Ours, and nothing but its build has begun: what is newer takes its place. */
static bool gives_way(const json_t *rollout)
{
    const json_t *first = json_array_get(json_list(rollout, "steps"), 0);
    return text_is(json_text(rollout, "by"), AUTOMATION_NAME) &&
           text_is(json_text(rollout, "state"), "running") &&
           text_is(json_text(first, "kind"), "build") &&
           text_is(json_text(first, "state"), "doing");
}

#define FREE 0
#define BUSY 1
/* BUSY: its end comes back here. */
static int make_room(struct due *d, struct err *err)
{
    struct core *core = d->a->core;
    struct err ignored = ERR_INIT;
    AUTO_JSON *rollout = NULL;
    if (rollout_active(core, d->app_env_id, &rollout, err) < 0)
        return -1;
    if (!json_is_object(rollout))
        return FREE;
    struct cancel_ask ask = {core, json_int(rollout, "id", 0)};
    d->again = true;
    if (gives_way(rollout) && tick_input(core->tick, "what is newer", cancel, &ask, &ignored) < 0)
        log_info("a build did not give way, waiting for its end", F_ERR(&ignored));
    return BUSY;
}

/* ---- releasing ---- */

struct release_ask {
    struct due *d;
    const json_t *source;
    int64_t rollout; /* 0: it is by click now */
};

static void no_drop(void *context)
{
    (void)context; /* it lives as long as core */
}

/* What was not kept is wanted again. */
static void after_release(void *context, const struct err *error)
{
    struct due *d = context;
    if (error)
        want(d->a, d->app_env_id, AGAIN_MS);
    else
        d->held[0] = '\0';
}

static int create_rollout(void *context, struct err *err)
{
    struct release_ask *ask = context;
    struct core *core = ask->d->a->core;
    struct app_env ae;
    struct person by;
    char when[8];
    struct rollout_request request = {.kind = ROLLOUT_DEPLOY, .source = ask->source};
    automation_person(&by);
    if (app_env_load(core, ask->d->app_env_id, &ae, err) < 0 ||
        automation_get(core, ae.id, when, err) < 0 || note_time(core, ae.id, err) < 0)
        return -1;
    if (text_is(when, "click"))
        return 0; /* since it was wanted */
    if (finding_gate(core, &ae, json_list(ask->source, "ticks"), err) < 0)
        return -1;
    tick_after(core->tick, after_release, no_drop, ask->d);
    return rollout_create(core, &by, &ae, &request, &ask->rollout, err);
}

static void release(struct due *d, const json_t *source)
{
    struct core *core = d->a->core;
    const char *commit = json_text_or(source, "commit", "");
    struct err err = ERR_INIT;
    struct release_ask ask = {d, source, 0};
    bool newest = false;
    int r = is_newest(core, d->app_env_id, commit, &newest, &err);
    if (r == 0 && newest) {
        seen(d);
        return;
    }
    if (r == 0)
        r = refuse_bad(core, d->app_env_id, commit, &err);
    if (r == 0)
        r = make_room(d, &err);
    if (r == FREE)
        r = tick_input(core->tick, "automation", create_rollout, &ask, &err);
    if (r < 0)
        not_now(d, &err);
    else if (ask.rollout)
        log_info("released by automation", F_INT("app_env", d->app_env_id),
                 F_ID("rollout", ask.rollout));
}

static void on_source(void *context, json_t *source, const struct err *error)
{
    struct due *d = context;
    bool again = d->again; /* something came while the courier worked */
    d->again = false;
    d->asking = false;
    if (error)
        not_now(d, error);
    else
        release(d, source);
    if (again)
        want(d->a, d->app_env_id, SOON_MS);
}

static void look_at(struct due *d)
{
    struct core *core = d->a->core;
    struct err err = ERR_INIT;
    struct app_env ae;
    AUTO_JSON *ticks = NULL;
    d->at_ms = INT64_MAX;
    d->again = false;
    if (app_env_load(core, d->app_env_id, &ae, &err) < 0)
        return; /* it is gone */
    if (ticks_list(core, ae.id, &ticks, &err) < 0) {
        not_now(d, &err);
        return;
    }
    d->asking = true;
    source_resolve(core, &ae, branch_names(ticks), NULL, on_source, d);
}

static void on_timer(void *context)
{
    struct automation *a = context;
    int64_t now_ms = clock_mono_ms(a->core->clock), next_ms = INT64_MAX;
    timer_free(&a->timer);
    for (size_t i = 0; i < a->due.count; i++) {
        struct due *d = a->due.entries[i].value;
        if (d->asking || d->at_ms == INT64_MAX)
            continue;
        if (d->at_ms <= now_ms)
            look_at(d);
        else if (d->at_ms < next_ms)
            next_ms = d->at_ms;
    }
    if (next_ms != INT64_MAX)
        look_soon(a, next_ms - now_ms);
}

static void look_soon(struct automation *a, int64_t delay_ms)
{
    timer_sooner(&a->timer, delay_ms, on_timer, a);
}

/* ---- the feed ---- */

static bool is_final(const char *state)
{
    static const char *const names[] = {"done", "reverted", "failed", "cancelled"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (text_is(state, names[i]))
            return true;
    return false;
}

/* What a finding kept out of an env may go in now. */
static void want_held(struct automation *a, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(a->core->store, &rows, &err,
                   "SELECT id FROM app_env WHERE automation='push' AND app_id=(SELECT app_id FROM "
                   "app_env WHERE id=$1)",
                   "i", app_env_id) < 0)
        return;
    json_array_foreach(rows, i, row)
    {
        const struct due *d = due_find(a, json_int(row, "id", 0), false);
        if (d && d->held[0])
            want(a, d->app_env_id, SOON_MS);
    }
}

static void take_event(struct automation *a, const struct feed_event *e)
{
    bool repo = text_is(e->topic, "repo") || (text_is(e->topic, "journal") &&
                                              text_is(json_text(e->data, "kind"), "ticks.changed"));
    if (repo && is_on_push(a->core, e->app_env_id)) {
        want(a, e->app_env_id, SOON_MS);
    } else if (text_is(e->topic, "rollout") && is_final(json_text(e->data, "state"))) {
        struct due *d = due_find(a, e->app_env_id, false);
        if (d && !d->asking && d->again)
            want(a, e->app_env_id, 0);
    } else if (text_is(e->topic, "finding")) {
        want_held(a, e->app_env_id);
    } else if (text_is(e->topic, "gap")) {
        automation_resume(a);
    }
}

static void on_news(void *context)
{
    struct automation *a = context;
    struct feed_event e;
    while (feed_next(a->core->feed, &a->cursor, &e) == 0)
        take_event(a, &e);
}

/* ---- the clock ---- */

static void on_clock(void *context)
{
    struct automation *a = context;
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    int64_t now_ms = clock_wall_ms(a->core->clock);
    if (store_rows(a->core->store, &rows, &err,
                   "SELECT id, automation, automated_at FROM app_env WHERE automation LIKE '__:__'",
                   "") < 0)
        return; /* looked at again in a moment */
    json_array_foreach(rows, i, row)
    {
        int64_t due_ms = daily_last(now_ms, json_text_or(row, "automation", "00:00"));
        int64_t last_ms = json_int(row, "automated_at", 0);
        bool ahead = last_ms > now_ms; /* the clock was, then */
        if ((last_ms < due_ms || ahead) && now_ms - due_ms < LATE_MS)
            want(a, json_int(row, "id", 0), 0);
    }
    if (json_array_size(rows) == 0)
        timer_free(&a->clock); /* nobody has a time */
}

static void start_clock(struct automation *a)
{
    struct err err = ERR_INIT;
    int64_t count = 0;
    if (a->clock ||
        store_one_int(a->core->store, &count, &err,
                      "SELECT count(*) FROM app_env WHERE automation LIKE '__:__'", "") < 0 ||
        count == 0)
        return;
    timer_start(&a->clock, LOOK_MS, LOOK_MS, on_clock, a);
}

/* ---- public ---- */

struct changed {
    struct automation *a;
    int64_t app_env_id;
};

static void after_set(void *context, const struct err *error)
{
    struct changed *c = context;
    struct due *d = due_find(c->a, c->app_env_id, true);
    if (!error) {
        d->held[0] = '\0';
        start_clock(c->a);
        if (is_on_push(c->a->core, c->app_env_id))
            want(c->a, c->app_env_id, SOON_MS);
    }
    free(c);
}

int automation_set(struct automation *a, const struct person *by, const struct app_env *ae,
                   const char *when, struct err *err)
{
    AUTO_JSON *data = json_object();
    if (!text_is(when, "click") && !text_is(when, "push") && !daily_is(when))
        return FAIL(err, E_FIELD_INVALID,
                    "'%.20s' is neither 'click', 'push' nor a time of day such as 03:30", when);
    if (store_run(a->core->store, err,
                  "UPDATE app_env SET automation=$2, automated_at=$3 WHERE id=$1", "iti", ae->id,
                  when, clock_wall_ms(a->core->clock)) < 0)
        return -1;
    json_put_text(data, "when", when);
    struct changed *c = mem_alloc(sizeof(*c));
    *c = (struct changed){a, ae->id};
    tick_after(a->core->tick, after_set, NULL, c);
    return journal_append(a->core, by->actor, "automation.set", ae->subject, ae->id, data, err);
}

struct automation *automation_new(struct core *core)
{
    struct automation *a = mem_alloc(sizeof(*a));
    *a = (struct automation){.core = core, .cursor = feed_last_id(core->feed)};
    map_init(&a->due);
    a->subscriber = feed_subscribe(core->feed, on_news, a);
    return a;
}

void automation_free(struct automation *a)
{
    if (!a)
        return;
    feed_unsubscribe(a->core->feed, a->subscriber);
    timer_free(&a->timer);
    timer_free(&a->clock);
    for (size_t i = 0; i < a->due.count; i++)
        free(a->due.entries[i].value);
    map_done(&a->due);
    free(a);
}

/* What was taken out of service stays so until somebody pushes, or releases; a try wants its first
 * release. */
void automation_resume(struct automation *a)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    start_clock(a);
    if (store_rows(
            a->core->store, &rows, &err,
            "SELECT ae.id FROM app_env ae JOIN env e ON e.id=ae.env_id WHERE ae.automation='push' "
            "AND (ae.live_release>0 OR (e.try_of IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
            "build b WHERE b.app_env_id=ae.id)))",
            "") < 0) {
        log_error("cannot list the app-envs that follow pushes", F_ERR(&err));
        return;
    }
    json_array_foreach(rows, i, row) want(a, json_int(row, "id", 0), SOON_MS);
}
