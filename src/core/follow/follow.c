/* Life, and what the parts share: see follow.h. */
#include "core/follow/follow.h"
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/feed/feed.h"
#include "core/follow/follow_priv.h"
#include "core/forge/forge.h"
#include "core/tick/tick.h"

#define FIRST_APART_MS 100 /* origins, after the courier came up */
#define FIRST_MAX_MS 10000

static void on_news(void *context)
{
    struct follow *f = context;
    struct feed_event e;
    while (feed_next(f->core->feed, &f->cursor, &e) == 0) {
        if (text_is(e.topic, "gap"))
            status_resume(f);
        else
            status_event(f, e.topic, e.app_env_id, e.data);
    }
}

struct follow *follow_new(struct core *core)
{
    struct follow *f = mem_alloc(sizeof(*f));
    *f = (struct follow){.core = core, .cursor = feed_last_id(core->feed)};
    map_init(&f->fetches);
    map_init(&f->pauses);
    f->subscriber = feed_subscribe(core->feed, on_news, f);
    return f;
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    feed_unsubscribe(f->core->feed, f->subscriber);
    timer_free(&f->timer);
    timer_free(&f->status_timer);
    for (size_t i = 0; i < f->fetches.count; i++)
        fetch_free(f->fetches.entries[i].value);
    map_done(&f->fetches);
    for (size_t i = 0; i < f->pauses.count; i++)
        free(f->pauses.entries[i].value);
    map_done(&f->pauses);
    free(f);
}

void follow_begin(struct follow *f, int64_t app_id)
{
    webhook_ask(f, app_id);
    fetch_soon(fetch_find(f, app_id, true), 0);
}

static int renew_hooks(void *context, struct err *err)
{
    return origin_renew_hooks(context, err);
}

static int ask_hooks_again(void *context, struct err *err)
{
    const struct forge_pause *p = context;
    return store_run(p->f->core->store, err,
                     "UPDATE origin SET hook='none', hook_text=NULL WHERE forge_id=$1 AND "
                     "hook='refused'",
                     "i", p->forge_id);
}

void follow_forge_changed(struct follow *f, int64_t forge_id)
{
    struct err err = ERR_INIT;
    struct forge_pause *p = pause_find(f, forge_id, PAUSE_HOOK);
    struct forge_pause *status = pause_find(f, forge_id, PAUSE_STATUS);
    p->until_ms = status->until_ms = 0;
    p->failures = status->failures = 0;
    if (tick_input(f->core->tick, "a forge has changed", ask_hooks_again, p, &err) < 0)
        log_warn("webhooks that were refused stay so", F_ERR(&err));
    follow_resume(f);
}

void follow_resume(struct follow *f)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (tick_input(f->core->tick, "secrets of webhooks", renew_hooks, f->core, &err) < 0 ||
        origin_list(f->core, &rows, &err) < 0) {
        log_warn("nobody knows which repositories are followed", F_ERR(&err));
        return;
    }
    json_array_foreach(rows, i, row)
    {
        int64_t app_id = json_int(row, "app_id", 0), delay_ms = (int64_t)i * FIRST_APART_MS;
        webhook_ask(f, app_id);
        fetch_soon(fetch_find(f, app_id, true), delay_ms < FIRST_MAX_MS ? delay_ms : FIRST_MAX_MS);
    }
    status_resume(f);
}

static void put_time(json_t *row, const char *name, int64_t ms)
{
    json_put(row, name, ms ? json_integer(ms) : json_null());
}

void follow_put(struct follow *f, int64_t app_id, json_t *row)
{
    const struct fetch *t = fetch_find(f, app_id, false);
    const struct clock *clock = f->core->clock;
    bool due = t && t->at_ms != INT64_MAX;
    put_time(row, "fetched_at", t ? t->fetched_at : 0);
    put_time(row, "moved_at", t ? t->moved_at : 0);
    put_time(row, "next_at", due ? clock_wall_ms(clock) + (t->at_ms - clock_mono_ms(clock)) : 0);
    json_put_int(row, "moved", t ? t->moved : 0);
    json_put_bool(row, "fetching", t && t->asking);
    if (t && t->asking && t->stage[0])
        json_put(row, "progress",
                 json_pack("{s:s, s:I}", "stage", t->stage, "percent", (json_int_t)t->percent));
    json_put_int(row, "failures", t ? t->failures : 0);
    json_put_int(row, "deliveries", t ? t->deliveries : 0);
    json_put_int(row, "duplicates", t ? t->duplicates : 0);
    json_put_int(row, "refused", t ? t->refused : 0);
}

json_t *follow_dump(struct follow *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->fetches.count; i++) {
        const struct fetch *t = f->fetches.entries[i].value;
        json_t *row = json_object();
        json_put_int(row, "app_id", t->app_id);
        follow_put(f, t->app_id, row);
        json_push(all, row);
    }
    return all;
}
