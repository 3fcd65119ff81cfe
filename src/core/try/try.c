/* Rows of tries, and how one ends: what is under way is cancelled, what runs is stopped, then its
 * the refs of its builds and its app-env go. Each step begins again from the rows, whenever
 * something ended there. */
#include "core/try/try.h"
#include <stdio.h>
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/build/build.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/store/store.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define HOUR_MS 3600000ll
#define REFS_MS 60000
#define AGAIN_MS 15000       /* after what did not work */
#define LOOK_MAX_MS 86400000 /* a timer's longest way */

const char try_schema[] =
    "CREATE TABLE trial(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, app_id BIGINT "
    "NOT NULL, app_env_id BIGINT NOT NULL, like_env TEXT NOT NULL, text TEXT NOT NULL, state TEXT "
    "NOT NULL, created_by TEXT NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, "
    "ended_at BIGINT, why TEXT);"
    "CREATE INDEX trial_open ON trial(state) WHERE state<>'ended';";

struct tries {
    struct core *core;
    struct timer *expiry; /* of the next one that expires */
    struct timer *again;
    struct feed_subscriber *subscriber;
    int64_t cursor;
};

static void watch_expiry(struct tries *t);
static void act_all(struct tries *t);

/* ---- rows ---- */

#define PEOPLE                                                                                     \
    "SELECT t.name, a.name AS app, t.like_env AS \"like\", t.text, t.state, t.created_by AS "      \
    "\"by\", t.created_at AS \"at\", t.expires_at, t.ended_at, t.why, coalesce(ae.automation, "    \
    "'click') AS automation FROM trial t JOIN app a ON a.id=t.app_id LEFT JOIN app_env ae ON "     \
    "ae.id=t.app_env_id "

int try_row(struct core *core, int64_t app_id, const char *name, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err, PEOPLE "WHERE t.app_id=$1 AND t.name=$2", "it",
                          app_id, name);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such try") : found;
}

int try_list(struct core *core, int64_t app_id, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      PEOPLE "WHERE ($1=0 OR t.app_id=$1) AND t.state<>'ended' ORDER BY t.id DESC",
                      "i", app_id);
}

struct trial {
    int64_t id;
    int64_t app_env_id;
    int state;
    char name[ENV_NAME_MAX];
};

static int load(struct core *core, int64_t id, struct trial *ret, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, "SELECT app_env_id, state, name FROM trial WHERE id=$1",
                    "i", id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1 : FAIL(err, E_NOT_FOUND, "no such try");
    *ret = (struct trial){.id = id, .app_env_id = query_int(&q, 0)};
    (void)snprintf(ret->name, sizeof(ret->name), "%s", query_text(&q, 2));
    return sm_state_from_name(&try_sm, query_text(&q, 1), &ret->state, err);
}

static int find(struct core *core, const struct app *app, const char *name, struct trial *ret,
                struct err *err)
{
    int64_t id = 0;
    int found =
        store_one_int(core->store, &id, err, "SELECT id FROM trial WHERE app_id=$1 AND name=$2",
                      "it", app->id, name);
    if (found != 0)
        return found < 0 ? -1 : FAIL(err, E_NOT_FOUND, "no such try");
    return load(core, id, ret, err);
}

/* ---- begun ---- */

static int refuse_many(struct core *core, const struct app *app, struct err *err)
{
    int64_t of_app = 0, all = 0;
    if (store_one_int(core->store, &of_app, err,
                      "SELECT count(*) FROM trial WHERE state<>'ended' AND app_id=$1", "i",
                      app->id) < 0 ||
        store_one_int(core->store, &all, err, "SELECT count(*) FROM trial WHERE state<>'ended'",
                      "") < 0)
        return -1;
    if (of_app >= TRIES_OF_APP)
        return FAIL(err, E_TOO_MANY, "'%s' has %d tries: end one first", app->name, TRIES_OF_APP);
    if (all >= TRIES_MAX)
        return FAIL(err, E_TOO_MANY, "there are %d tries: end one first ('slipway try ls')",
                    TRIES_MAX);
    return 0;
}

static int insert(struct core *core, const struct person *by, const struct app *app,
                  const struct try_wanted *w, int64_t *ret_id, struct err *err)
{
    int64_t now_ms = clock_wall_ms(core->clock);
    return store_one_int(
        core->store, ret_id, err,
        "INSERT INTO trial(name, app_id, app_env_id, like_env, text, state, "
        "created_by, created_at, expires_at) VALUES('',$1,0,$2,$3,'open',$4,$5,$6) "
        "RETURNING id",
        "itttii", app->id, w->like, w->text ? w->text : "", by->name, now_ms,
        now_ms + w->hours * HOUR_MS);
}

static void look_soon(void *context, const struct err *error)
{
    struct tries *t = context;
    if (error)
        return;
    watch_expiry(t);
    act_all(t);
}

static void no_drop(void *context)
{
    (void)context; /* it lives as long as core */
}

/* Whoever may push to its branches runs code with the secrets of what it is like: so it follows
 * pushes where people try things anyway, or where pushes are released already, and nowhere else. */
static int follow_pushes(struct core *core, int64_t app_env_id, struct err *err)
{
    return store_run(
        core->store, err,
        "UPDATE app_env SET automation='push' WHERE id=$1 AND EXISTS (SELECT 1 FROM env e JOIN env "
        "l ON l.id=e.try_of JOIN app_env m ON m.env_id=l.id AND m.app_id=app_env.app_id WHERE "
        "e.id=app_env.env_id AND (m.automation='push' OR l.id=(SELECT id FROM env WHERE try_of IS "
        "NULL ORDER BY position, id LIMIT 1)))",
        "i", app_env_id);
}

int try_create(struct core *core, const struct person *by, const struct app *app,
               const struct try_wanted *w, json_t **ret_row, struct err *err)
{
    int64_t id = 0;
    char name[ENV_NAME_MAX];
    struct app_env ae;
    AUTO_JSON *data = json_object();
    if (refuse_many(core, app, err) < 0 || insert(core, by, app, w, &id, err) < 0)
        return -1;
    (void)snprintf(name, sizeof(name), ENV_TRY_PREFIX "%lld", (long long)id);
    if (env_try_create(core, by, app, name, w->like, &ae, err) < 0 ||
        ticks_change(core, by, &ae, NULL, NULL, w->branches, err) < 0 ||
        follow_pushes(core, ae.id, err) < 0 ||
        store_run(core->store, err, "UPDATE trial SET name=$2, app_env_id=$3 WHERE id=$1", "iti",
                  id, name, ae.id) < 0)
        return -1;
    json_put_text(data, "like", w->like);
    json_put_int(data, "hours", w->hours);
    if (journal_append(core, by->actor, "try.begun", ae.subject, ae.id, data, err) < 0)
        return -1;
    tick_after(core->tick, look_soon, no_drop, core->tries);
    return try_row(core, app->id, name, ret_row, err);
}

int try_extend(struct core *core, const struct person *by, const struct app *app, const char *name,
               int64_t hours, struct err *err)
{
    struct trial trial;
    AUTO_JSON *data = json_object();
    if (find(core, app, name, &trial, err) < 0)
        return -1;
    if (trial.state != TRY_OPEN)
        return FAIL(err, E_STATE_CONFLICT, "%s ends already", name);
    AUTO_FREE char *subject = mem_format("%s.%s", app->name, name);
    json_put_int(data, "hours", hours);
    if (store_run(core->store, err, "UPDATE trial SET expires_at=$2 WHERE id=$1", "ii", trial.id,
                  clock_wall_ms(core->clock) + hours * HOUR_MS) < 0)
        return -1;
    tick_after(core->tick, look_soon, no_drop, core->tries);
    return journal_append(core, by->actor, "try.extended", subject, trial.app_env_id, data, err);
}

/* ---- the end ---- */

/* why: expired, or a person's name. */
static int begin_end(struct core *core, const struct trial *trial, const char *actor,
                     const char *why, struct err *err)
{
    struct app_env ae;
    int to = 0;
    AUTO_JSON *data = json_object();
    if (sm_next(&try_sm, trial->state, TRY_END, &to) == SM_REFUSED)
        return FAIL(err, E_STATE_CONFLICT, "%s ends already", trial->name);
    json_put_text(data, "why", why);
    FAULT("try.end");
    return app_env_load(core, trial->app_env_id, &ae, err) < 0 ||
                   store_run(core->store, err, "UPDATE trial SET state=$2, why=$3 WHERE id=$1",
                             "itt", trial->id, sm_state_name(&try_sm, to), why) < 0 ||
                   store_run(core->store, err, "UPDATE app_env SET automation='click' WHERE id=$1",
                             "i", ae.id) < 0 ||
                   journal_append(core, actor, "try.ending", ae.subject, ae.id, data, err) < 0
               ? -1
               : 0;
}

int try_end(struct core *core, const struct person *by, const struct app *app, const char *name,
            struct err *err)
{
    struct trial trial;
    if (find(core, app, name, &trial, err) < 0 ||
        begin_end(core, &trial, by->actor, by->name, err) < 0)
        return -1;
    tick_after(core->tick, look_soon, no_drop, core->tries);
    return 0;
}

static void person_core(struct person *p)
{
    *p = (struct person){.admin = true};
    (void)snprintf(p->name, sizeof(p->name), "(end of a try)");
    (void)snprintf(p->actor, sizeof(p->actor), "core");
}

#define WAITS 1 /* something ends first; word of it comes by the feed */
static int cancel_rollout(struct core *core, const struct app_env *ae, struct err *err)
{
    AUTO_JSON *active = NULL;
    struct person by;
    struct err late = ERR_INIT;
    person_core(&by);
    if (rollout_active(core, ae->id, &active, err) < 0)
        return -1;
    if (!json_is_object(active))
        return 0;
    if (!text_is(json_text(active, "kind"), "stop") &&
        rollout_cancel(core, &by, json_int(active, "id", 0), &late) < 0 &&
        late.kind != E_STATE_CONFLICT) {
        *err = late;
        return -1;
    }
    return WAITS;
}

static int cancel_builds(struct core *core, const struct app_env *ae, struct err *err)
{
    AUTO_JSON *rows = NULL;
    struct person by;
    size_t i;
    json_t *row;
    person_core(&by);
    if (store_rows(core->store, &rows, err,
                   "SELECT id FROM build WHERE app_env_id=$1 AND state IN ('queued','running')",
                   "i", ae->id) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        struct build b;
        if (build_load(core, json_int(row, "id", 0), &b, err) < 0 ||
            build_cancel(core, &by, &b, err) < 0)
            return -1;
    }
    return json_array_size(rows) > 0 ? WAITS : 0;
}

static int stop(struct core *core, const struct app_env *ae, struct err *err)
{
    int64_t instances = 0, id = 0;
    struct person by;
    struct rollout_request request = {.kind = ROLLOUT_STOP};
    person_core(&by);
    if (store_one_int(core->store, &instances, err,
                      "SELECT count(*) FROM instance WHERE app_env_id=$1", "i", ae->id) < 0)
        return -1;
    if (ae->live_release == 0)
        return instances > 0 ? WAITS : 0;
    return rollout_create(core, &by, ae, &request, &id, err) < 0 ? -1 : WAITS;
}

/* 0: nothing runs there, and nothing is under way. */
static int quiet(struct core *core, const struct app_env *ae, struct err *err)
{
    int r = cancel_rollout(core, ae, err);
    r = r == 0 ? cancel_builds(core, ae, err) : r;
    return r == 0 ? stop(core, ae, err) : r;
}

static void forget_after(void *context, const struct err *error)
{
    if (!error)
        env_forget_gone(context);
}

static int go(struct core *core, const struct trial *trial, const struct app_env *ae,
              struct err *err)
{
    int to = 0;
    if (sm_next(&try_sm, trial->state, TRY_GONE, &to) == SM_REFUSED)
        return 0;
    FAULT("try.gone");
    if ((ae && env_try_remove(core, ae, err) < 0) ||
        store_run(core->store, err, "UPDATE trial SET state=$2, ended_at=$3 WHERE id=$1", "iti",
                  trial->id, sm_state_name(&try_sm, to), clock_wall_ms(core->clock)) < 0)
        return -1;
    if (!ae)
        return 0;
    tick_after(core->tick, forget_after, no_drop, core);
    return journal_append(core, "core", "try.ended", ae->subject, 0, NULL, err);
}

struct ending {
    struct core *core;
    int64_t id;
    char app[ENV_NAME_MAX], env[ENV_NAME_MAX]; /* set when nothing is left to be stopped */
};

/* One step further, within an input. */
static int step(void *context, struct err *err)
{
    struct ending *e = context;
    struct core *core = e->core;
    struct trial trial;
    struct app_env ae;
    if (load(core, e->id, &trial, err) < 0)
        return -1;
    if (app_env_load(core, trial.app_env_id, &ae, err) < 0) {
        if (err->kind != E_NOT_FOUND)
            return -1;
        *err = (struct err)ERR_INIT;
        return go(core, &trial, NULL, err);
    }
    if (trial.state != TRY_ENDING)
        return 0;
    int r = quiet(core, &ae, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    (void)snprintf(e->app, sizeof(e->app), "%s", ae.app);
    (void)snprintf(e->env, sizeof(e->env), "%s", ae.env);
    return 0;
}

/* Its refs are gone: now its app-env. */
static int finish(void *context, struct err *err)
{
    const struct ending *e = context;
    struct trial trial;
    struct app_env ae;
    if (load(e->core, e->id, &trial, err) < 0 ||
        app_env_load(e->core, trial.app_env_id, &ae, err) < 0)
        return -1;
    int r = quiet(e->core, &ae, err); /* somebody may have released there meanwhile */
    return r != 0 ? (r < 0 ? -1 : 0) : go(e->core, &trial, &ae, err);
}

static void on_refs_gone(void *context, json_t *ok, const struct err *error)
{
    struct ending *e = context;
    struct err err = ERR_INIT;
    (void)ok;
    if (error && error->kind != E_NOT_FOUND)
        log_info("the refs of a try are left, trying again", F_ERR(error));
    else if (tick_input(e->core->tick, "a try is gone", finish, e, &err) < 0 &&
             err.kind != E_NOT_FOUND) /* another word of the same was first */
        log_warn("a try could not be forgotten, trying again", F_ERR(&err));
    free(e);
}

static void drop_refs(const struct ending *e)
{
    AUTO_JSON *none = json_array();
    struct ending *kept = mem_alloc(sizeof(*kept));
    json_t *args = json_object();
    *kept = *e;
    json_put_text(args, "app", e->app);
    json_put_text(args, "env", e->env);
    json_put_int(args, "newest", INT32_MAX);
    json_put(args, "keep", TAKE(none));
    link_call(e->core->courier, "ref.retain", args, REFS_MS, on_refs_gone, kept);
}

static void on_again(void *context)
{
    act_all(context);
}

static void act_all(struct tries *t)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i, left;
    json_t *row;
    if (store_rows(t->core->store, &rows, &err,
                   "SELECT t.id FROM trial t LEFT JOIN app_env ae ON ae.id=t.app_env_id WHERE "
                   "t.state='ending' OR (t.state='open' AND ae.id IS NULL)",
                   "") < 0)
        return;
    left = json_array_size(rows);
    json_array_foreach(rows, i, row)
    {
        struct ending e = {.core = t->core, .id = json_int(row, "id", 0)};
        if (tick_input(t->core->tick, "the end of a try", step, &e, &err) < 0)
            log_info("a try does not end yet, trying again", F_ERR(&err));
        else if (e.env[0])
            drop_refs(&e);
    }
    if (left > 0)
        timer_start(&t->again, AGAIN_MS, 0, on_again, t);
}

/* ---- time ---- */

static int expire(void *context, struct err *err)
{
    const struct ending *e = context;
    struct trial trial;
    if (load(e->core, e->id, &trial, err) < 0)
        return -1;
    return trial.state == TRY_OPEN ? begin_end(e->core, &trial, "core", "expired", err) : 0;
}

static void on_expiry(void *context)
{
    struct tries *t = context;
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(t->core->store, &rows, &err,
                   "SELECT t.id FROM trial t JOIN app_env ae ON ae.id=t.app_env_id WHERE "
                   "t.state='open' AND t.expires_at<=$1",
                   "i", clock_wall_ms(t->core->clock)) == 0) {
        json_array_foreach(rows, i, row)
        {
            struct ending e = {.core = t->core, .id = json_int(row, "id", 0)};
            if (tick_input(t->core->tick, "a try expires", expire, &e, &err) < 0)
                log_warn("a try could not be ended, trying again", F_ERR(&err));
        }
    }
    tick_after(t->core->tick, look_soon, no_drop, t);
}

static void watch_expiry(struct tries *t)
{
    struct err err = ERR_INIT;
    int64_t next = 0;
    timer_free(&t->expiry);
    if (store_one_int(t->core->store, &next, &err,
                      "SELECT coalesce(min(expires_at),0) FROM trial WHERE state='open'", "") < 0 ||
        next == 0)
        return;
    int64_t left_ms = next - clock_wall_ms(t->core->clock);
    left_ms = left_ms < 1000 ? 1000 : left_ms > LOOK_MAX_MS ? LOOK_MAX_MS : left_ms;
    timer_start(&t->expiry, left_ms, 0, on_expiry, t);
}

/* ---- life ---- */

static bool is_ending(struct tries *t, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    int64_t count = 0;
    return store_one_int(t->core->store, &count, &err,
                         "SELECT count(*) FROM trial WHERE app_env_id=$1 AND state='ending'", "i",
                         app_env_id) == 0 &&
           count > 0;
}

static void on_news(void *context)
{
    struct tries *t = context;
    struct feed_event e;
    bool look = false;
    while (feed_next(t->core->feed, &t->cursor, &e) == 0) {
        bool ends = text_is(e.topic, "rollout") || text_is(e.topic, "build") ||
                    text_is(e.topic, "instance");
        bool removed =
            text_is(e.topic, "journal") && text_is(json_text(e.data, "kind"), "app.removed");
        look |= removed || (ends && is_ending(t, e.app_env_id));
    }
    if (look)
        act_all(t);
}

struct tries *tries_new(struct core *core)
{
    struct tries *t = mem_alloc(sizeof(*t));
    *t = (struct tries){.core = core, .cursor = feed_last_id(core->feed)};
    t->subscriber = feed_subscribe(core->feed, on_news, t);
    return t;
}

void tries_free(struct tries *t)
{
    if (!t)
        return;
    feed_unsubscribe(t->core->feed, t->subscriber);
    timer_free(&t->expiry);
    timer_free(&t->again);
    free(t);
}

void tries_resume(struct tries *t)
{
    watch_expiry(t);
    act_all(t);
}
