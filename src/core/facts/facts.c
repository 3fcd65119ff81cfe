/* What is known of each app-env, kept up to date: a reader of the feed marks what has changed, and
 * the marked ones are looked at, one after the other, a moment later. */
#include "core/facts/facts.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/facts/facts_priv.h"
#include "core/feed/feed.h"
#include "core/link/link.h"
#include "core/resolution/resolution.h"
#include "core/store/store.h"
#include "io/loop.h"

#define SOON_MS 50     /* pushes and ticks come in groups */
#define AGAIN_MS 10000 /* after a look that failed */
#define LOOKS_MOST 3   /* for one who waits, while everything keeps moving */
#define KNOWN_MAX 5000 /* app-envs */

struct waiter {
    facts_done_fn *done;
    void *context;
    struct waiter *next;
};
struct known { /* of one app-env */
    struct facts *facts;
    int64_t app_env_id;
    bool marked; /* something has changed since the latest look began */
    bool looking;
    int looks;         /* while somebody waits */
    int64_t due_ms;    /* mono: not before; INT64_MAX: not before something happens */
    int64_t looked_ms; /* mono: when the latest look ended */
    json_t *latest;    /* NULL: never found out */
    struct waiter *waiters;
};
struct facts {
    struct core *core;
    struct feed_subscriber *subscriber;
    int64_t cursor;
    struct map known; /* id as text -> struct known, owned */
    struct timer *timer;
};

static void look_soon(struct facts *f, int64_t delay_ms);

/* --- who is known --------------------------------------------------------------------------- */

static struct known *known_find(struct facts *f, int64_t app_env_id, bool make)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)app_env_id);
    struct known *k = map_get(&f->known, key);
    if (k || !make || f->known.count >= KNOWN_MAX)
        return k;
    k = mem_alloc(sizeof(*k));
    *k = (struct known){.facts = f, .app_env_id = app_env_id, .marked = true};
    (void)map_put(&f->known, key, k);
    return k;
}

static void known_free(struct known *k)
{
    json_decref(k->latest);
    free(k);
}

static void answer(struct known *k, const struct err *error)
{
    AUTO_JSON *latest = json_incref(k->latest); /* who hears it may ask again */
    struct waiter *w = TAKE(k->waiters);
    k->looks = 0;
    while (w) {
        struct waiter *next = w->next;
        w->done(w->context, error ? NULL : latest, error);
        free(w);
        w = next;
    }
}

/* It is gone: first from the table, so that who is told and asks again gets a new one. */
static void known_forget(struct known *k, const struct err *error)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)k->app_env_id);
    (void)map_remove(&k->facts->known, key);
    answer(k, error);
    known_free(k);
}

/* --- looking -------------------------------------------------------------------------------- */

static void publish(const struct known *k)
{
    json_t *data = json_object();
    json_put_int(data, "in", (int64_t)json_array_size(json_list(k->latest, "in")));
    json_put(data, "out", branch_names(json_list(k->latest, "out")));
    json_put_int(data, "pairs", json_int(k->latest, "pair_count", 0));
    feed_publish(k->facts->core->feed, "facts", k->app_env_id, data);
}

/* What is over is closed, so that it is said, and no look asks for it again. */
static void expire(const struct known *k)
{
    struct core *core = k->facts->core;
    struct err ignored = ERR_INIT;
    struct app_env ae;
    struct app app;
    if (app_env_load(core, k->app_env_id, &ae, &ignored) == 0 &&
        app_load(core, ae.app, &app, &ignored) == 0)
        resolutions_expire(core, &app, json_list(k->latest, "resolutions"));
}

static void look_failed(struct known *k, const struct err *error)
{
    bool waits = error->kind == E_ROLE_DOWN || error->kind == E_BRANCH_UNKNOWN;
    k->marked = true;
    k->due_ms = waits ? INT64_MAX : clock_mono_ms(k->facts->core->clock) + AGAIN_MS;
    if (!waits) /* else facts_resume comes, or a push */
        log_warn("what is known of an app-env could not be found out, trying again",
                 F_INT("app_env", k->app_env_id), F_ERR(error));
    answer(k, error);
    look_soon(k->facts, 0); /* the next one's turn */
}

static void on_looked(void *context, json_t *latest, const struct err *error)
{
    struct known *k = context;
    struct facts *f = k->facts;
    k->looking = false;
    k->looked_ms = clock_mono_ms(f->core->clock);
    if (error) {
        look_failed(k, error);
        return;
    }
    bool new = latest != k->latest;
    json_incref(latest);
    json_decref(k->latest);
    k->latest = latest;
    if (new) {
        publish(k);
        expire(k);
    }
    if (!k->marked || ++k->looks >= LOOKS_MOST)
        answer(k, NULL);
    look_soon(f, 0);
}

static void look_now(struct known *k)
{
    struct facts *f = k->facts;
    struct core *core = f->core;
    struct err err = ERR_INIT;
    struct app_env ae;
    AUTO_JSON *ticks = NULL;
    k->marked = false;
    if (app_env_load(core, k->app_env_id, &ae, &err) < 0 && err.kind == E_NOT_FOUND) {
        known_forget(k, &err);
        look_soon(f, 0); /* the next one's turn */
        return;
    }
    if (err.kind != E_OK || ticks_list(core, k->app_env_id, &ticks, &err) < 0) {
        look_failed(k, &err);
        return;
    }
    k->looking = true;
    look(core, &ae, branch_names(ticks), json_incref(k->latest), on_looked, k);
}

struct turn {
    struct known *next; /* NULL: none is due */
    bool busy;          /* a look is under way */
    int64_t due_ms;     /* when there will be one; INT64_MAX: never */
};

/* Who is waited for comes first, then who was looked at the longest ago. */
static bool comes_before(const struct known *a, const struct known *b)
{
    if (!a->waiters != !b->waiters)
        return a->waiters != NULL;
    return a->looked_ms < b->looked_ms;
}

/* One after the other: the courier does one at a time anyway. */
static struct turn whose_turn(const struct facts *f)
{
    struct turn turn = {.due_ms = INT64_MAX};
    int64_t now_ms = clock_mono_ms(f->core->clock);
    for (size_t i = 0; i < f->known.count; i++) {
        struct known *k = f->known.entries[i].value;
        turn.busy |= k->looking;
        if (!k->marked)
            continue;
        if (!k->waiters && k->due_ms > now_ms)
            turn.due_ms = turn.due_ms < k->due_ms ? turn.due_ms : k->due_ms;
        else if (!turn.next || comes_before(k, turn.next))
            turn.next = k;
    }
    return turn;
}

static void on_timer(void *context)
{
    struct facts *f = context;
    struct turn turn = whose_turn(f);
    timer_free(&f->timer);
    if (turn.busy)
        return; /* its end comes back here */
    if (turn.next)
        look_now(turn.next);
    else if (turn.due_ms != INT64_MAX)
        look_soon(f, turn.due_ms - clock_mono_ms(f->core->clock));
}

static void look_soon(struct facts *f, int64_t delay_ms)
{
    timer_sooner(&f->timer, delay_ms, on_timer, f);
}

/* --- what has changed ----------------------------------------------------------------------- */

static void mark(struct known *k)
{
    k->marked = true;
    k->due_ms = 0;
    look_soon(k->facts, SOON_MS);
}

static void mark_all(struct facts *f)
{
    for (size_t i = 0; i < f->known.count; i++)
        mark(f->known.entries[i].value);
}

static bool has_ticks(const struct facts *f, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    int64_t count = 0;
    return store_one_int(f->core->store, &count, &err,
                         "SELECT count(*) FROM ticked WHERE app_env_id=$1", "i", app_env_id) == 0 &&
           count > 0;
}

static void mark_one(struct facts *f, int64_t app_env_id)
{
    struct known *k = known_find(f, app_env_id, has_ticks(f, app_env_id));
    if (k)
        mark(k);
}

/* What the last env runs is what the others are compared with. */
static void mark_app_of(struct facts *f, int64_t app_env_id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(f->core->store, &rows, &err,
                   "SELECT id FROM app_env WHERE app_id=(SELECT app_id FROM app_env WHERE id=$1)",
                   "i", app_env_id) < 0)
        return;
    json_array_foreach(rows, i, row)
    {
        struct known *k = known_find(f, json_int(row, "id", 0), false);
        if (k)
            mark(k);
    }
}

/* An app or a try has gone: a look finds that out, and forgets. */
static void mark_gone(struct facts *f)
{
    for (size_t i = 0; i < f->known.count; i++) {
        struct known *k = f->known.entries[i].value;
        struct err ignored = ERR_INIT;
        struct app_env ae;
        if (app_env_load(f->core, k->app_env_id, &ae, &ignored) < 0)
            mark(k);
    }
}

static void take_event(struct facts *f, const struct feed_event *e)
{
    const char *kind = text_is(e->topic, "journal") ? json_text(e->data, "kind") : NULL;
    if (text_is(e->topic, "repo"))
        mark_one(f, e->app_env_id);
    else if (text_is(kind, "try.ended") || text_is(kind, "app.removed"))
        mark_gone(f);
    else if (text_is(kind, "ticks.changed"))
        mark_one(f, e->app_env_id);
    else if (text_is(e->topic, "rollout") && text_is(json_text(e->data, "state"), "done"))
        mark_app_of(f, e->app_env_id);
    else if (text_is(e->topic, "gap"))
        mark_all(f);
}

static void on_news(void *context)
{
    struct facts *f = context;
    struct feed_event e;
    while (feed_next(f->core->feed, &f->cursor, &e) == 0)
        take_event(f, &e);
}

/* --- public --------------------------------------------------------------------------------- */

struct facts *facts_new(struct core *core)
{
    struct facts *f = mem_alloc(sizeof(*f));
    *f = (struct facts){.core = core, .cursor = feed_last_id(core->feed)};
    map_init(&f->known);
    f->subscriber = feed_subscribe(core->feed, on_news, f);
    return f;
}

void facts_free(struct facts *f)
{
    struct err err = ERR_INIT;
    if (!f)
        return;
    feed_unsubscribe(f->core->feed, f->subscriber);
    (void)FAIL(&err, E_CANCELLED, "core ends");
    for (size_t i = 0; i < f->known.count; i++) {
        struct known *k = f->known.entries[i].value;
        answer(k, &err);
        known_free(k);
    }
    map_done(&f->known);
    timer_free(&f->timer);
    free(f);
}

/* The courier may have died between moving refs and telling of it: everything may be otherwise. */
void facts_resume(struct facts *f)
{
    mark_all(f);
    for (size_t i = 0; i < f->known.count; i++)
        ((struct known *)f->known.entries[i].value)->due_ms = 0;
    look_soon(f, SOON_MS);
}

static void too_many(facts_done_fn *done, void *context)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_TOO_MANY, "more than %d app-envs have ticked branches", KNOWN_MAX);
    done(context, NULL, &err);
}

void facts_ask(struct facts *f, const struct app_env *ae, facts_done_fn *done, void *context)
{
    struct known *k = known_find(f, ae->id, true);
    if (!k) {
        too_many(done, context);
        return;
    }
    if (k->latest && !k->marked && !k->looking) {
        done(context, k->latest, NULL);
        return;
    }
    struct waiter *w = mem_alloc(sizeof(*w));
    *w = (struct waiter){done, context, k->waiters};
    k->waiters = w;
    look_soon(f, 0);
}

const json_t *facts_known(struct facts *f, int64_t app_env_id)
{
    const struct known *k = known_find(f, app_env_id, false);
    return k ? k->latest : NULL;
}

struct tried {
    facts_done_fn *done;
    void *context;
};

static void on_tried(void *context, json_t *facts, const struct err *error)
{
    struct tried *t = context;
    t->done(t->context, facts, error);
    free(t);
}

void facts_try(struct facts *f, const struct app_env *ae, json_t *branches, facts_done_fn *done,
               void *context)
{
    struct tried *t = mem_alloc(sizeof(*t));
    *t = (struct tried){done, context};
    look(f->core, ae, branches, NULL, on_tried, t);
}
