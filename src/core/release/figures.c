/* The four figures of delivery (DORA) of one env, out of the rows of its rollouts; what each means
 * exactly stands at figures_read. One statement reads the rollouts that ended in the days asked
 * for; the rest is sorting and counting. */
#include "base/json.h"
#include "base/mem.h"
#include "core/release/release_priv.h"

#define ROLLOUTS_MAX 20000 /* the newest ones of the days asked for */
#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

struct figures_rows {
    struct figures_rollout *items;
    size_t count;
};

static void rows_done(struct figures_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->items[i].app);
    free(rows->items);
}

static void rows_add(struct figures_rows *rows, const struct query *q)
{
    if (rows->count % 256 == 0)
        rows->items = mem_resize(rows->items, rows->count + 256, sizeof(*rows->items));
    rows->items[rows->count++] =
        (struct figures_rollout){.app_id = query_int(q, 0),
                                 .app = mem_strdup(query_text(q, 1)),
                                 .id = query_int(q, 2),
                                 .kind = (enum rollout_kind)query_int(q, 3),
                                 .done = text_is(query_text(q, 4), "done"),
                                 .reverted = text_is(query_text(q, 4), "reverted"),
                                 .failed = text_is(query_text(q, 4), "failed"),
                                 .release = query_int(q, 5),
                                 .from_release = query_int(q, 6),
                                 .ended_at = query_int(q, 7),
                                 .routed_at = query_int(q, 8),
                                 .known_at = query_int(q, 9)};
}

/* A step of the way back routes too: what counts stands before the first that failed or was left
 * out. */
static int rows_read(struct core *core, int64_t env_id, int64_t since, struct figures_rows *rows,
                     struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(
            core->store, &q, err,
            "SELECT a.id, a.name, r.id, r.kind, r.state, r.release, r.from_release, r.ended_at,"
            " (SELECT min(s.started_at) FROM rollout_step s WHERE s.rollout_id=r.id AND"
            "  s.kind='route' AND s.position<=coalesce((SELECT min(f.position) FROM rollout_step f"
            "  WHERE f.rollout_id=r.id AND f.state IN ('failed','skipped')), s.position)),"
            " (SELECT min(b.created_at) FROM build b JOIN app_env o ON o.id=b.app_env_id"
            "  WHERE o.app_id=ae.app_id AND b.commit_id=(SELECT l.commit_id FROM release l"
            "  WHERE l.app_env_id=r.app_env_id AND l.number=r.release))"
            " FROM rollout r JOIN app_env ae ON ae.id=r.app_env_id JOIN app a ON a.id=ae.app_id"
            " WHERE ae.env_id=$1 AND r.ended_at>=$2 ORDER BY r.ended_at DESC, r.id DESC LIMIT $3",
            "iii", env_id, since, (int64_t)ROLLOUTS_MAX) < 0)
        return -1;
    int more;
    while ((more = query_next(&q, err)) > 0)
        rows_add(rows, &q);
    return more;
}

static int by_app_and_id(const void *left, const void *right)
{
    const struct figures_rollout *a = left, *b = right;
    int order = strcmp(a->app, b->app);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

/* ---- counting ---- */

static int by_value(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

int64_t figures_median(int64_t *values, size_t count)
{
    if (count == 0)
        return -1;
    qsort(values, count, sizeof(*values), by_value);
    int64_t high = values[count / 2];
    return count % 2 ? high : values[count / 2 - 1] + (high - values[count / 2 - 1]) / 2;
}

void figures_init(struct figures *f, size_t rollouts)
{
    *f = (struct figures){.lead = mem_array(rollouts + 1, sizeof(*f->lead)),
                          .restore = mem_array(rollouts + 1, sizeof(*f->restore))};
}

void figures_done(struct figures *f)
{
    free(f->lead);
    free(f->restore);
    *f = (struct figures){0};
}

/* The next rollout of the app that was done; NULL: none. */
static const struct figures_rollout *next_done(const struct figures_rollout *rows, size_t count,
                                               size_t i)
{
    for (size_t k = i + 1; k < count; k++)
        if (rows[k].done)
            return &rows[k];
    return NULL;
}

static void add_restore(struct figures *f, int64_t from, int64_t to)
{
    if (from > 0 && to >= from)
        f->restore[f->restore_count++] = to - from;
}

static void add_rollout(struct figures *f, const struct figures_rollout *rows, size_t count,
                        size_t i)
{
    const struct figures_rollout *r = &rows[i], *next = next_done(rows, count, i);
    bool left =
        r->done && next && next->kind == ROLLOUT_ROLLBACK && next->from_release == r->release;
    f->ended++;
    f->failed += left || !r->done;
    f->deploys += r->done;
    if (r->done && r->known_at > 0 && r->ended_at >= r->known_at)
        f->lead[f->lead_count++] = r->ended_at - r->known_at;
    if (r->reverted)
        add_restore(f, r->routed_at, r->ended_at);
    else if (next && (left || r->failed))
        add_restore(f, r->routed_at, next->ended_at);
}

void figures_add(struct figures *f, const struct figures_rollout *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct figures_rollout *r = &rows[i];
        bool counts = r->kind == ROLLOUT_DEPLOY || r->kind == ROLLOUT_PROMOTE;
        if (counts && (r->done || r->reverted || r->failed))
            add_rollout(f, rows, count, i);
    }
}

static void put_median(json_t *target, const char *name, int64_t *values, size_t count)
{
    json_put(target, name, count ? json_integer(figures_median(values, count)) : json_null());
}

/* Three digits behind the point will do. */
static json_t *ratio(int64_t part, int64_t whole)
{
    return json_real((double)((part * 1000 + whole / 2) / whole) / 1000);
}

void figures_put(struct figures *f, int64_t days, json_t *target)
{
    json_put_int(target, "deploys", f->deploys);
    json_put(target, "deploys_per_day", ratio(f->deploys, days));
    put_median(target, "lead_time_ms", f->lead, f->lead_count);
    json_put(target, "failed_share", f->ended ? ratio(f->failed, f->ended) : json_null());
    put_median(target, "restore_ms", f->restore, f->restore_count);
}

/* ---- the answer ---- */

static void put_app(json_t *apps, const struct figures_rollout *rows, size_t count, int64_t days)
{
    struct figures f;
    json_t *item = json_object();
    figures_init(&f, count);
    figures_add(&f, rows, count);
    json_put_text(item, "app", rows->app);
    figures_put(&f, days, item);
    figures_done(&f);
    json_push(apps, item);
}

static json_t *answer(const struct figures_rows *rows, const struct figures_ask *ask)
{
    struct figures all;
    json_t *reply = json_object(), *apps = json_array();
    size_t end;
    figures_init(&all, rows->count);
    for (size_t i = 0; i < rows->count; i = end) {
        for (end = i + 1; end < rows->count && rows->items[end].app_id == rows->items[i].app_id;)
            end++;
        if (!ask->may_view(ask->context, rows->items[i].app_id))
            continue;
        figures_add(&all, rows->items + i, end - i);
        put_app(apps, rows->items + i, end - i, ask->days);
    }
    json_put_int(reply, "days", ask->days);
    figures_put(&all, ask->days, reply);
    json_put(reply, "apps", apps);
    figures_done(&all);
    return reply;
}

int figures_read(struct core *core, const struct figures_ask *ask, json_t **ret_reply,
                 struct err *err)
{
    struct figures_rows rows = {0};
    int64_t since = clock_wall_ms(core->clock) - ask->days * DAY_MS;
    int result = rows_read(core, ask->env_id, since, &rows, err);
    if (result == 0 && rows.count > 0)
        qsort(rows.items, rows.count, sizeof(*rows.items), by_app_and_id);
    if (result == 0)
        *ret_reply = answer(&rows, ask);
    rows_done(&rows);
    return result;
}
