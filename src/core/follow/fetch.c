/* When each origin is fetched, and what comes of it. A few at a time, one for an app; what is
 * wanted while it runs runs once more. */
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/branch/pushed.h"
#include "core/follow/follow_priv.h"
#include "core/forge/forge.h"
#include "core/tick/tick.h"

#define ASKING_MAX 6
#define ASKING_OF_FORGE 2 /* one that is slow has no more */
#define FETCH_MS 3700000  /* the courier gives up before */
#define POLL_MS 60000     /* without word from a webhook */
#define POLL_HOOKED_MS 300000
#define BACKOFF_FIRST_MS 10000
#define BACKOFF_MAX_MS 1800000

static void look_soon(struct follow *f, int64_t delay_ms);

/* ---- who ---- */

struct fetch *fetch_find(struct follow *f, int64_t app_id, bool make)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)app_id);
    struct fetch *t = map_get(&f->fetches, key);
    if (t || !make)
        return t;
    t = mem_alloc(sizeof(*t));
    *t = (struct fetch){.f = f, .app_id = app_id, .at_ms = INT64_MAX};
    (void)map_put(&f->fetches, key, t);
    return t;
}

static void tell(struct fetch_waiter **list, json_t *ok, const struct err *error)
{
    struct fetch_waiter *w = TAKE(*list);
    while (w) {
        struct fetch_waiter *next = w->next;
        w->done(w->context, ok, error);
        free(w);
        w = next;
    }
}

void fetch_free(struct fetch *t)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_CANCELLED, "core ends");
    tell(&t->waiters, NULL, &err);
    tell(&t->later, NULL, &err);
    free(t->seen);
    free(t->url);
    free(t);
}

/* ---- when ---- */

int64_t follow_jitter(struct follow *f, int64_t ms)
{
    uint32_t random = 0;
    clock_random(f->core->clock, &random, sizeof(random));
    return ms - ms / 5 + (int64_t)(random % 1000) * (ms / 5 * 2) / 1000;
}

int64_t follow_backoff(struct follow *f, int64_t failures)
{
    int64_t ms = BACKOFF_FIRST_MS;
    for (int64_t i = 1; i < failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return follow_jitter(f, ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
}

void fetch_soon(struct fetch *t, int64_t delay_ms)
{
    int64_t at_ms = clock_mono_ms(t->f->core->clock) + delay_ms;
    if (t->asking) {
        t->again = true;
        return;
    }
    if (at_ms < t->at_ms)
        t->at_ms = at_ms;
    look_soon(t->f, delay_ms);
}

/* ---- what came of it ---- */

struct outcome {
    struct follow *f;
    int64_t app_id;
    const char *url; /* that was asked */
    json_t *ok;
    const struct err *error;
    bool gone;  /* it follows no more */
    bool other; /* it follows another one by now: this is no word about that */
};

static int apply(void *context, struct err *err)
{
    struct outcome *o = context;
    struct core *core = o->f->core;
    AUTO_JSON *row = NULL;
    AUTO_JSON *data = json_object();
    int found = origin_row(core, o->app_id, &row, err);
    if (found != 0) {
        o->gone = found == STORE_NONE;
        return found < 0 ? -1 : 0;
    }
    o->other = !text_is(json_text(row, "url"), o->url);
    if (o->other)
        return 0;
    const char *forge = json_text(row, "forge");
    AUTO_FREE char *actor = forge ? mem_format("forge:%s", forge) : mem_strdup("origin");
    json_put_text(data, "url", json_text(row, "url"));
    json_put_int(data, "count", json_int(o->ok, "count", 0));
    if (json_int(o->ok, "skipped_count", 0) > 0)
        json_put(data, "skipped", json_incref(json_list(o->ok, "skipped")));
    if (json_int(o->ok, "count", 0) > 0 &&
        pushed_note(core, json_text_or(row, "app", ""), actor, json_list(o->ok, "refs"),
                    json_int(o->ok, "count", 0), err) < 0)
        return -1;
    return origin_apply(core, row, o->error, data, err);
}

static void note_good(struct fetch *t, json_t *ok)
{
    struct core *core = t->f->core;
    t->failures = 0;
    webhook_ask(t->f, t->app_id); /* when there is none yet */
    t->fetched_at = clock_wall_ms(core->clock);
    t->moved = json_int(ok, "count", 0);
    if (json_int(ok, "count", 0) == 0 && !t->untold)
        return;
    t->untold = false;
    t->moved_at = t->fetched_at;
    AUTO_JSON *data = json_object();
    json_put(data, "refs", json_incref(json_list(ok, "refs")));
    env_publish_repo(core, t->app_id, data);
}

/* What passes by itself is no word about the origin. */
static bool is_ours(const struct err *error)
{
    return error && (error->kind == E_ROLE_DOWN || error->kind == E_TOO_MANY ||
                     error->kind == E_CANCELLED || error->kind == E_REF_CHANGED); /* by us */
}

static void schedule(struct fetch *t, const struct err *error)
{
    int64_t delay_ms = follow_jitter(t->f, t->hooked ? POLL_HOOKED_MS : POLL_MS);
    if (error)
        delay_ms = follow_backoff(t->f, ++t->failures);
    t->at_ms = INT64_MAX;
    fetch_soon(t, t->waiters || (t->again && !error) ? 0 : delay_ms); /* who waits said: now */
    t->again = false;
}

static void forget(struct fetch *t)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)t->app_id);
    (void)map_remove(&t->f->fetches, key);
    fetch_free(t);
}

static void on_fetched(void *context, json_t *ok, const struct err *error)
{
    struct fetch *t = context;
    struct follow *f = t->f;
    struct err err = ERR_INIT;
    AUTO_FREE char *url = TAKE(t->url);
    struct outcome o = {f, t->app_id, url, error ? NULL : ok, error, false, false};
    t->asking = false;
    f->asking--;
    if (t->stage[0])
        env_publish_all(f->core, t->app_id, "fetch", NULL); /* it is over */
    t->stage[0] = '\0';
    if (!is_ours(error) && tick_input(f->core->tick, "a fetch", apply, &o, &err) < 0) {
        log_error("what was fetched could not be noted, fetching again", F_ERR(&err));
        error = &err;
    }
    t->untold |= error != NULL; /* refs may have moved all the same */
    if (!error && !o.other)
        note_good(t, ok);
    t->again |= o.other;
    tell(&t->waiters, error ? NULL : ok, error);
    t->waiters = TAKE(t->later);
    t->again |= t->waiters != NULL;
    if (o.gone && !t->waiters && !t->hook_asking)
        forget(t);
    else
        schedule(t, error);
    look_soon(f, 0);
}

static void on_progress(void *context, const char *event, json_t *args)
{
    struct fetch *t = context;
    if (!text_is(event, "progress"))
        return;
    (void)snprintf(t->stage, sizeof(t->stage), "%s", json_text_or(args, "stage", ""));
    t->percent = json_int(args, "percent", 0);
    env_publish_all(t->f->core, t->app_id, "fetch", args);
}

static void start(struct fetch *t)
{
    struct follow *f = t->f;
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    t->at_ms = INT64_MAX;
    t->again = false;
    t->asking = true;
    f->asking++;
    int found = origin_row(f->core, t->app_id, &row, &err);
    if (found == STORE_NONE)
        (void)FAIL(&err, E_NOT_FOUND, "the app follows no repository elsewhere");
    if (found != 0) {
        on_fetched(t, NULL, &err);
        return;
    }
    t->url = mem_strdup(json_text_or(row, "url", ""));
    t->forge_id = json_int(row, "forge_id", 0);
    origin_fetch(f->core, row, FETCH_MS, on_progress, on_fetched, t);
}

static bool is_its_turn(const struct follow *f, const struct fetch *t)
{
    size_t others = 0;
    for (size_t i = 0; t->forge_id && i < f->fetches.count; i++) {
        const struct fetch *o = f->fetches.entries[i].value;
        others += o->asking && o->forge_id == t->forge_id;
    }
    return others < ASKING_OF_FORGE; /* else when one of them ends */
}

static void on_timer(void *context)
{
    struct follow *f = context;
    int64_t now_ms = clock_mono_ms(f->core->clock), next_ms = INT64_MAX;
    timer_free(&f->timer);
    for (size_t i = 0; i < f->fetches.count && f->asking < ASKING_MAX; i++) {
        struct fetch *t = f->fetches.entries[i].value;
        if (t->asking || t->at_ms == INT64_MAX || (t->at_ms <= now_ms && !is_its_turn(f, t)))
            continue;
        if (t->at_ms <= now_ms) {
            start(t);
            look_soon(f, 0); /* the map may be another by now */
            return;
        }
        next_ms = t->at_ms < next_ms ? t->at_ms : next_ms;
    }
    if (next_ms != INT64_MAX)
        look_soon(f, next_ms - now_ms);
}

static void look_soon(struct follow *f, int64_t delay_ms)
{
    timer_sooner(&f->timer, delay_ms, on_timer, f);
}

void follow_fetch(struct follow *f, int64_t app_id,
                  void (*done)(void *context, json_t *ok, const struct err *error), void *context)
{
    struct fetch *t = fetch_find(f, app_id, true);
    struct fetch_waiter **list = t->asking ? &t->later : &t->waiters;
    if (done) {
        struct fetch_waiter *w = mem_alloc(sizeof(*w));
        *w = (struct fetch_waiter){done, context, *list};
        *list = w;
    }
    fetch_soon(t, 0);
}
