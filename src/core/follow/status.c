/* Commit statuses: what became of the ticked tips of an env, told to the forge that has them.
 *
 * A row for each commit and env, with what it says now; what is not told yet goes out one after the
 * other for each forge, the newest word only. A build and a rollout write it as they go; after a
 * restart the newest of each env is looked at again, so that none stays "pending" for ever. A forge
 * that does not know the commit, or will not take it, is not asked again. */
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/follow/follow_priv.h"
#include "core/forge/forge.h"
#include "core/link/link.h"
#include "core/tick/tick.h"
#include "wire/settings.h"

#define TEXT_MAX 140 /* GitHub's limit */
#define FORGET_MS (7ll * 86400000)
#define DENIED_MS 60000 /* a token that is not taken, or not for that */

static void send_soon(struct follow *f, int64_t delay_ms);

/* ---- a forge that is asked, or left alone ---- */

struct forge_pause *pause_find(struct follow *f, int64_t forge_id, const char *work)
{
    char key[40];
    (void)snprintf(key, sizeof(key), "%lld %s", (long long)forge_id, work);
    struct forge_pause *p = map_get(&f->pauses, key);
    if (p)
        return p;
    p = mem_alloc(sizeof(*p));
    p->f = f;
    p->forge_id = forge_id;
    (void)map_put(&f->pauses, key, p);
    return p;
}

static void leave_alone(struct follow *f, struct forge_pause *p, int64_t ms)
{
    int64_t until_ms = clock_mono_ms(f->core->clock) + ms;
    p->until_ms = until_ms > p->until_ms ? until_ms : p->until_ms;
}

bool pause_answer(struct follow *f, struct forge_pause *p, const json_t *ok,
                  const struct err *error)
{
    int64_t wait_s = json_int(ok, "wait_s", 0);
    if (wait_s > 0) {
        leave_alone(f, p, wait_s * 1000);
        return false;
    }
    if (!error || error->kind == E_NOT_FOUND || error->kind == E_FIELD_INVALID) {
        p->failures = 0;
        return true;
    }
    if (error->kind == E_FORGE_DENIED) {
        leave_alone(f, p, DENIED_MS);
        return true;
    }
    leave_alone(f, p, follow_backoff(f, ++p->failures));
    return false;
}

/* ---- what there is to say ---- */

struct word {
    struct follow *f;
    int64_t app_id;
    const char *env, *state, *text, *link;
    const json_t *ticks;
};

static int put_words(void *context, struct err *err)
{
    const struct word *w = context;
    struct core *core = w->f->core;
    AUTO_FREE char *where = mem_format("slipway/%s", w->env);
    size_t i;
    json_t *tick;
    json_array_foreach((json_t *)(uintptr_t)w->ticks, i, tick)
    {
        if (store_run(core->store, err,
                      "INSERT INTO commit_status(app_id, commit_id, context, state, text, link, "
                      "at) VALUES($1,$2,$3,$4,$5,$6,$7) ON CONFLICT(app_id, commit_id, context) "
                      "DO UPDATE SET state=$4, text=$5, link=$6, at=$7, told=NULL WHERE state<>$4 "
                      "OR text<>$5",
                      "ittttti", w->app_id, json_text(tick, "tip"), where, w->state, w->text,
                      w->link, clock_wall_ms(core->clock)) < 0)
            return -1;
    }
    return store_run(core->store, err, "DELETE FROM commit_status WHERE at<$1", "i",
                     clock_wall_ms(core->clock) - FORGET_MS);
}

/* Whole characters. */
static char *short_text(const char *text)
{
    struct str all = str_of(text);
    if (all.length > TEXT_MAX)
        all.length = TEXT_MAX;
    while (!str_is_utf8(all) && all.length > 0)
        all.length--;
    return str_dup(all);
}

/* page: of the console, behind its app and env. */
static void say(struct follow *f, const struct app_env *ae, const json_t *ticks, const char *state,
                const char *text, const char *page)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    AUTO_FREE char *shown = short_text(text);
    AUTO_FREE char *address = settings_address(f->core->settings);
    AUTO_FREE char *link = mem_format("%s/apps/%s/%s%s", address, ae->app, ae->env, page);
    struct word w = {f, ae->app_id, ae->env, state, shown, link, ticks};
    if (json_array_size(ticks) == 0 || origin_row(f->core, ae->app_id, &row, &err) != 0 ||
        text_is(json_text(row, "kind"), "git"))
        return;
    if (tick_input(f->core->tick, "a commit status", put_words, &w, &err) < 0)
        log_warn("the status of commits could not be noted", F_ERR(&err));
    else
        send_soon(f, 0);
}

static const char *state_of(const char *state)
{
    if (text_is(state, "done"))
        return "success";
    if (text_is(state, "failed") || text_is(state, "reverted"))
        return "failure";
    return text_is(state, "cancelled") ? "error" : "pending";
}

static void say_build(struct follow *f, const struct app_env *ae, int64_t number)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    if (store_row(f->core->store, &row, &err,
                  "SELECT state, ticks AS ticks_json, error AS error_json FROM build WHERE "
                  "app_env_id=$1 AND number=$2 AND culprits_of IS NULL",
                  "ii", ae->id, number) != 0)
        return;
    const char *state = json_text_or(row, "state", ""), *now = state_of(state);
    const char *why = json_text_or(json_dict(row, "error"), "text", "");
    AUTO_FREE char *text =
        mem_format("build %lld: %s%s%s", (long long)number, state, *why ? ": " : "", why);
    AUTO_FREE char *page = mem_format("/builds/%lld", (long long)number);
    say(f, ae, json_list(row, "ticks"), text_is(now, "success") ? "pending" : now, text, page);
}

/* False: nothing is built yet. */
static bool say_rollout(struct follow *f, const struct app_env *ae, int64_t id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *row = NULL;
    if (store_row(f->core->store, &row, &err,
                  "SELECT r.state, rel.number, rel.branches AS branches_json, r.error AS "
                  "error_json FROM rollout r JOIN release rel ON rel.id=r.release_id WHERE r.id=$1",
                  "i", id) != 0)
        return false;
    const char *state = json_text_or(row, "state", "");
    const char *why = json_text_or(json_dict(row, "error"), "text", "");
    long long number = (long long)json_int(row, "number", 0);
    AUTO_FREE char *text =
        str_is(str_of(state), "done")
            ? mem_format("r%lld is live in %s", number, ae->env)
            : mem_format("r%lld in %s: %s%s%s", number, ae->env, state, *why ? ": " : "", why);
    AUTO_FREE char *page = mem_format("/rollouts/%lld", (long long)id);
    say(f, ae, json_list(row, "branches"), state_of(state), text, page);
    return true;
}

void status_event(struct follow *f, const char *topic, int64_t app_env_id, const json_t *data)
{
    struct err err = ERR_INIT;
    struct app_env ae;
    bool build = text_is(topic, "build") && json_text(data, "state");
    bool rollout = text_is(topic, "rollout") && !json_text(data, "step_state");
    if ((!build && !rollout) || app_env_load(f->core, app_env_id, &ae, &err) < 0)
        return;
    if (build)
        say_build(f, &ae, json_int(data, "number", 0));
    else
        (void)say_rollout(f, &ae, json_int(data, "rollout", 0)); /* or the build speaks */
}

/* ---- telling ---- */

struct telling {
    struct follow *f;
    int64_t id, at, forge_id;
    const char *told; /* what came of it */
};

static int apply_told(void *context, struct err *err)
{
    const struct telling *t = context;
    return store_run(t->f->core->store, err,
                     "UPDATE commit_status SET told=$2 WHERE id=$1 AND at=$3", "iti", t->id,
                     t->told, t->at);
}

/* With another token, or in another project, it may be taken: the others go first. */
static int apply_denied(void *context, struct err *err)
{
    const struct telling *t = context;
    return store_run(t->f->core->store, err, "UPDATE commit_status SET denied=denied+1 WHERE id=$1",
                     "i", t->id);
}

static void on_told(void *context, json_t *ok, const struct err *error)
{
    struct telling *t = context;
    struct follow *f = t->f;
    struct err err = ERR_INIT;
    struct forge_pause *p = pause_find(f, t->forge_id, PAUSE_STATUS);
    p->busy = false;
    bool final = pause_answer(f, p, ok, error);
    bool denied = error && error->kind == E_FORGE_DENIED;
    t->told = error ? error->text : "ok";
    if (denied && tick_input(f->core->tick, "a commit status waits", apply_denied, t, &err) < 0)
        log_warn("a status that was denied is asked again first", F_ERR(&err));
    final = final && !denied;
    if (final && tick_input(f->core->tick, "a commit status told", apply_told, t, &err) < 0)
        log_warn("a status was told, and will be told again", F_ERR(&err));
    if (error)
        log_info("a forge did not take a commit's status", F_ERR(error));
    free(t);
    send_soon(f, 0);
}

static void tell_one(struct follow *f, const json_t *row, const json_t *forge)
{
    static const char *const keys[] = {"project", "commit", "state", "context", "text", "link"};
    struct telling *t = mem_alloc(sizeof(*t));
    json_t *args = json_object();
    *t = (struct telling){f, json_int(row, "id", 0), json_int(row, "at", 0),
                          json_int(forge, "id", 0), NULL};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        json_put_text(args, keys[i], json_text(row, keys[i]));
    pause_find(f, t->forge_id, PAUSE_STATUS)->busy = true;
    forge_ask(f->core, forge, "forge.status", args, NULL, on_told, t);
}

/* The oldest that this forge has not heard. */
static int next_for(struct follow *f, int64_t forge_id, json_t **ret_row, struct err *err)
{
    return store_row(f->core->store, ret_row, err,
                     "SELECT s.id, s.at, o.project, s.commit_id AS \"commit\", s.state, s.context, "
                     "s.text, s.link FROM commit_status s JOIN origin o ON o.app_id=s.app_id WHERE "
                     "s.told IS NULL AND o.forge_id=$1 ORDER BY s.denied, s.at, s.id LIMIT 1",
                     "i", forge_id);
}

static void on_send(void *context)
{
    struct follow *f = context;
    struct err err = ERR_INIT;
    AUTO_JSON *forges = NULL;
    int64_t now_ms = clock_mono_ms(f->core->clock), next_ms = INT64_MAX;
    size_t i;
    json_t *forge;
    timer_free(&f->status_timer);
    if (!link_up(f->core->courier) || forge_list(f->core, &forges, &err) < 0)
        return; /* resumed when it is back */
    json_array_foreach(forges, i, forge)
    {
        AUTO_JSON *row = NULL;
        const struct forge_pause *p = pause_find(f, json_int(forge, "id", 0), PAUSE_STATUS);
        if (p->busy || next_for(f, p->forge_id, &row, &err) != 0)
            continue;
        if (p->until_ms <= now_ms)
            tell_one(f, row, forge);
        else if (p->until_ms < next_ms)
            next_ms = p->until_ms;
    }
    if (next_ms != INT64_MAX)
        send_soon(f, next_ms - now_ms);
}

static void send_soon(struct follow *f, int64_t delay_ms)
{
    timer_start(&f->status_timer, delay_ms, 0, on_send, f);
}

/* The newest word of every env that runs from an origin with a forge. */
void status_resume(struct follow *f)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(f->core->store, &rows, &err,
                   "SELECT ae.id, (SELECT max(number) FROM build b WHERE b.app_env_id=ae.id AND "
                   "b.culprits_of IS NULL) AS build, (SELECT max(id) FROM rollout r WHERE "
                   "r.app_env_id=ae.id) AS rollout, (SELECT max(b.number) FROM build b JOIN "
                   "release rel ON "
                   "rel.build_id=b.id WHERE b.app_env_id=ae.id) AS released_build FROM app_env ae "
                   "JOIN origin o ON "
                   "o.app_id=ae.app_id WHERE o.forge_id IS NOT NULL",
                   "") < 0)
        return;
    json_array_foreach(rows, i, row)
    {
        struct app_env ae;
        if (app_env_load(f->core, json_int(row, "id", 0), &ae, &err) < 0)
            continue;
        bool told = say_rollout(f, &ae, json_int(row, "rollout", 0));
        if (!told || json_int(row, "build", 0) > json_int(row, "released_build", 0))
            say_build(f, &ae, json_int(row, "build", 0));
    }
    send_soon(f, 0);
}
