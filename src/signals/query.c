/* See query.h.
 *
 * A follower is a cursor (the number and the place of the last line it got) and the word of its
 * asker that it has room. It is sent one batch of what the ring holds beyond the cursor, oldest
 * first, and the next one when the asker wants more. So a slow reader costs nothing but the lines
 * that left the ring meanwhile, whose number it is told. */
#include "signals/query.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"
#include "signals/app_env.h"
#include "signals/request.h"
#include "signals/source.h"

#define LIMIT_DEFAULT 1000
#define LINES_MOST 6000 /* of one message: it may hold JSON_VALUES_LIMIT values */
#define REQUESTS_MOST 3000
#define REPLY_BYTES (4u << 20)
#define SECONDS_MOST 7000 /* of one message, over all app-envs */
#define FLUSH_MS 30
#define FOLLOW_LINES 2000 /* of one batch of a follower */
#define FOLLOW_BYTES (256u << 10)
#define FOLLOWERS_MAX 1000
#define WAIT_MS 2000 /* that long a burst waits for its follower */

enum query_kind { QUERY_LINES, QUERY_REQUESTS };
struct query {
    enum query_kind kind;
    char *app_env;
    char *instance; /* NULL: any; likewise below */
    char *grep;
    int64_t release; /* 0: any */
    int64_t since_ms;
    int64_t after;
    int64_t before; /* 0: up to the newest */
    size_t limit;
};
struct follower {
    struct follower *next;
    struct channel *channel;
    struct ticket *ticket;
    int64_t number; /* the asker's */
    int64_t
        place;  /* in its ring, of the entry after the last that was looked at; -1: no ring yet */
    bool wants; /* the asker has room for a batch */
    int64_t behind_ms; /* since when it is far behind; 0: it is not */
    bool missed;       /* an unknown number of lines went before it began */
    struct query query;
};
static struct follower *followers;
static struct timer *flush;

/* What is asked. */

static char *text_or_null(const json_t *args, const char *name)
{
    const char *text = json_text(args, name);
    return text && text[0] ? mem_strdup(text) : NULL;
}

static void query_init(struct query *q, enum query_kind kind, const json_t *args)
{
    int64_t most = kind == QUERY_LINES ? LINES_MOST : REQUESTS_MOST;
    int64_t limit = json_int(args, "limit", LIMIT_DEFAULT);
    *q = (struct query){.kind = kind, .app_env = mem_strdup(json_text(args, "app_env"))};
    q->instance = text_or_null(args, "instance");
    q->grep = text_or_null(args, "grep");
    q->release = json_int(args, "release", 0);
    q->since_ms = json_int(args, "since", 0);
    q->after = json_int(args, "after", 0);
    q->before = json_int(args, "before", 0);
    q->limit = (size_t)(limit > most && !json_int(args, "follow", 0) ? most : limit);
}

static void query_done(struct query *q)
{
    free(q->app_env);
    free(q->instance);
    free(q->grep);
}

static const struct ring *query_ring(const struct query *q)
{
    const struct app_env *a = app_env_get(q->app_env);
    if (!a)
        return NULL;
    return q->kind == QUERY_LINES ? &a->lines : &a->requests;
}

/* "shop.dev.r42.1" is "r42.1" of "shop.dev". */
static bool instance_is(const struct query *q, struct str name)
{
    size_t prefix = strlen(q->app_env);
    const char *wanted = q->instance;
    if (text_starts(wanted, q->app_env) && wanted[prefix] == '.')
        wanted += prefix + 1;
    return str_is(name, wanted);
}

static bool query_matches(const struct query *q, const struct ring_entry *e)
{
    struct str text = ring_text(e);
    if (e->at_ms < q->since_ms || (q->release && q->release != e->release))
        return false;
    if (q->instance && !instance_is(q, ring_name(e)))
        return false;
    return !q->grep || memmem(text.data, text.length, q->grep, strlen(q->grep));
}

/* Answers. */

static json_t *entry_json(const struct query *q, const struct ring_entry *e)
{
    json_t *line = json_object();
    struct str name = ring_name(e);
    AUTO_FREE char *instance = mem_format("%s.%.*s", q->app_env, (int)name.length, name.data);
    bool none = name.length == 0 || name.data[0] == '<' || name.data[0] == '-';
    json_put_int(line, "seq", e->seq);
    json_put_int(line, "at", e->at_ms);
    json_put_text(line, "instance", none ? "" : instance);
    json_put_int(line, "release", e->release);
    return line;
}

static void put_field(json_t *line, const char *name, struct str value)
{
    json_put_str(line, name, str_is(value, "-") ? STR("") : value);
}

static void put_request(json_t *line, struct str text)
{
    struct request_line r;
    if (!request_scan_kept(text, &r))
        return;
    put_field(line, "method", r.fields[EDGE_LOG_FIELD_METHOD]);
    put_field(line, "path", r.fields[EDGE_LOG_FIELD_PATH]);
    json_put_int(line, "status", r.status);
    json_put_int(line, "us", r.took_us);
    json_put_int(line, "bytes", r.bytes);
    put_field(line, "trace", r.fields[EDGE_LOG_FIELD_TRACE]);
    put_field(line, "client", r.fields[EDGE_LOG_FIELD_CLIENT]);
    put_field(line, "flags", r.fields[EDGE_LOG_FIELD_END]);
}

static json_t *line_json(const struct query *q, const struct ring_entry *e)
{
    json_t *line = entry_json(q, e);
    if (q->kind == QUERY_LINES) {
        json_put_text(line, "stream", e->stream == 2 ? "stderr" : "stdout");
        json_put_str(line, "text", ring_text(e));
    } else {
        put_request(line, ring_text(e));
    }
    return line;
}

/* The newest `limit` matching entries, oldest first: a circle of pointers over one walk. */
struct found {
    const struct ring_entry **entries;
    size_t capacity;
    size_t count; /* all that matched */
    int64_t last_seq;
};

static void found_walk(struct found *f, const struct query *q, const struct ring *ring)
{
    const struct ring_entry *e;
    struct ring_cursor cursor = ring_seek(ring, q->after);
    while ((e = ring_next(ring, &cursor)) && (!q->before || e->seq < q->before)) {
        f->last_seq = e->seq;
        if (query_matches(q, e))
            f->entries[f->count++ % f->capacity] = e;
    }
}

static const struct ring_entry *found_at(const struct found *f, size_t index)
{
    size_t first = f->count > f->capacity ? f->count - f->capacity : 0;
    return f->entries[(first + index) % f->capacity];
}

/* How many of the newest fit into one message. */
static size_t found_fitting(const struct found *f)
{
    size_t have = f->count > f->capacity ? f->capacity : f->count;
    size_t bytes = 0, fit = 0;
    while (fit < have && bytes < REPLY_BYTES)
        bytes += found_at(f, have - ++fit)->size * (size_t)2; /* escapes */
    return fit;
}

/* {"lines", "next", "more"} of what stands beyond q->after; more: older ones were left out. */
static json_t *query_run(const struct query *q)
{
    json_t *answer = json_object();
    json_t *lines = json_array();
    const struct ring *ring = query_ring(q);
    struct found f = {.capacity = q->limit ? q->limit : 1, .last_seq = q->after};
    f.entries = mem_array(f.capacity, sizeof(struct ring_entry *));
    if (ring)
        found_walk(&f, q, ring);
    size_t have = f.count > f.capacity ? f.capacity : f.count;
    size_t fitting = found_fitting(&f);
    for (size_t i = have - fitting; i < have; i++)
        json_push(lines, line_json(q, found_at(&f, i)));
    free(f.entries);
    json_put(answer, "lines", lines);
    json_put_int(answer, "next", f.last_seq);
    json_put_bool(answer, "more", f.count > fitting);
    return answer;
}

/* Followers. */

bool query_is_followed(void)
{
    return followers != NULL;
}

size_t query_follower_count(void)
{
    size_t count = 0;
    for (const struct follower *f = followers; f; f = f->next)
        count++;
    return count;
}

/* Half a ring or more stands before its cursor. */
static bool follower_is_far(const struct follower *f, const struct ring *ring)
{
    return f->place >= 0 && ring->bytes > ring->ceiling / 2 &&
           (ring->added - f->place) * 2 > ring->added - ring->dropped;
}

bool query_is_behind(const struct app_env *a)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    bool behind = false;
    for (struct follower *f = followers; f; f = f->next) {
        if (query_ring(&f->query) != &a->lines)
            continue;
        if (!follower_is_far(f, &a->lines))
            f->behind_ms = 0;
        else if (!f->behind_ms)
            f->behind_ms = now_ms;
        behind |= f->behind_ms && now_ms - f->behind_ms < WAIT_MS;
    }
    return behind;
}

static void follower_free(struct follower *f)
{
    query_done(&f->query);
    free(f);
}

/* Take out and answer those of the channel with that number (0: all). */
static void followers_end(const struct channel *channel, int64_t number)
{
    struct follower **link = &followers;
    while (*link) {
        struct follower *f = *link;
        if (f->channel != channel || (number && f->number != number)) {
            link = &f->next;
            continue;
        }
        *link = f->next;
        ticket_ok(f->ticket, NULL);
        follower_free(f);
    }
}

/* The cursor of a new follower: after the number it names, or before the newest `limit` lines. */
static void follower_place(struct follower *f, const struct ring *ring)
{
    struct query *q = &f->query;
    f->missed = q->after && q->after > ring_seq_first() && q->after < ring->dropped_seq;
    if (!q->after) {
        struct found found = {.capacity = q->limit ? q->limit : 1, .last_seq = 0};
        found.entries = mem_array(found.capacity, sizeof(struct ring_entry *));
        found_walk(&found, q, ring);
        q->after = found.count ? found_at(&found, 0)->seq - 1 : found.last_seq;
        free(found.entries);
    }
    struct ring_cursor cursor = ring_seek(ring, q->after);
    f->place = ring->added;
    while (ring_next(ring, &cursor))
        f->place--;
}

/* How many lines went unseen; the cursor moves over them. */
static int64_t follower_lost(struct follower *f, const struct ring *ring)
{
    int64_t lost = ring->dropped > f->place ? ring->dropped - f->place : 0;
    f->place += lost;
    return lost;
}

/* The next lines, oldest first; the cursor moves over all that was looked at. */
static json_t *follower_lines(struct follower *f, const struct ring *ring)
{
    const struct ring_entry *e;
    json_t *lines = json_array();
    size_t bytes = 0;
    struct ring_cursor cursor = ring_seek(ring, f->query.after);
    while (json_array_size(lines) < FOLLOW_LINES && bytes < FOLLOW_BYTES &&
           (e = ring_next(ring, &cursor))) {
        f->query.after = e->seq;
        f->place++;
        if (!query_matches(&f->query, e))
            continue;
        bytes += e->size;
        json_push(lines, line_json(&f->query, e));
    }
    return lines;
}

static void follower_serve(struct follower *f)
{
    const struct ring *ring = query_ring(&f->query);
    if (!ring || !f->wants)
        return;
    if (f->place < 0)
        follower_place(f, ring);
    int64_t lost = follower_lost(f, ring);
    json_t *lines = follower_lines(f, ring);
    if (json_array_size(lines) == 0 && !lost && !f->missed) {
        json_decref(lines);
        return;
    }
    json_t *batch = json_object();
    json_put(batch, "lines", lines);
    json_put_int(batch, "began", ring_seq_first());
    if (f->missed)
        json_put(batch, "lost", json_null()); /* there is no telling how many */
    else if (lost)
        json_put_int(batch, "lost", lost);
    f->missed = f->wants = false;
    ticket_event(f->ticket, "lines", batch);
}

static void flush_now(void *context)
{
    (void)context;
    for (struct follower *f = followers; f; f = f->next)
        follower_serve(f);
}

void query_fresh(void)
{
    if (followers && !flush)
        timer_start(&flush, FLUSH_MS, 0, flush_now, NULL);
}

void query_channel_closed(struct channel *c)
{
    followers_end(c, 0);
}

/* The asker learns at once that it is followed, and whose numbers the lines will have. */
static void follower_greet(struct follower *f)
{
    json_t *batch = json_object();
    json_put(batch, "lines", json_array());
    json_put_int(batch, "began", ring_seq_first());
    ticket_event(f->ticket, "lines", batch);
}

static void follow_start(struct message *m, struct query *q, int64_t number)
{
    struct err err = ERR_INIT;
    if (query_follower_count() >= FOLLOWERS_MAX) {
        (void)FAIL(&err, E_TOO_MANY, "more than %d followers", FOLLOWERS_MAX);
        message_fail(m, &err);
        query_done(q);
        return;
    }
    struct follower *f = mem_alloc(sizeof(*f));
    *f = (struct follower){.next = followers, .channel = m->channel, .number = number};
    f->query = *q;
    f->place = -1;
    f->wants = true;
    f->ticket = message_ticket(m);
    followers = f;
    follower_greet(f);
    follower_serve(f);
    source_hurry();
}

static void query_ask(struct message *m, enum query_kind kind)
{
    struct query q;
    int64_t number = json_int(m->args, "follow", 0);
    query_init(&q, kind, m->args);
    if (number) {
        follow_start(m, &q, number);
        return;
    }
    message_ok(m, query_run(&q));
    query_done(&q);
}

void query_verb_logs(void *context, struct message *m)
{
    (void)context;
    query_ask(m, QUERY_LINES);
}

void query_verb_requests(void *context, struct message *m)
{
    (void)context;
    query_ask(m, QUERY_REQUESTS);
}

/* The asker has room for one batch more. */
void query_verb_more(void *context, struct message *m)
{
    int64_t number = json_int(m->args, "follow", 0);
    (void)context;
    message_ok(m, NULL);
    for (struct follower *f = followers; f; f = f->next) {
        if (f->channel != m->channel || f->number != number)
            continue;
        f->wants = true;
        follower_serve(f);
    }
}

void query_verb_cancel(void *context, struct message *m)
{
    (void)context;
    followers_end(m->channel, json_int(m->args, "follow", 0));
    message_ok(m, NULL);
}

void query_stop(void)
{
    timer_free(&flush);
    while (followers)
        followers_end(followers->channel, 0);
}

/* top. */

static json_t *second_json(int64_t at_s, const struct series_second *second)
{
    json_t *value = json_object();
    json_put_int(value, "at", at_s);
    json_put_int(value, "requests", second->requests);
    json_put_int(value, "errors", second->errors);
    json_put_int(value, "us_sum", (int64_t)second->us_sum);
    json_put_int(value, "us_max", second->us_max);
    return value;
}

static json_t *seconds_json(const struct series *s, int64_t from_s, int64_t to_s, size_t most)
{
    json_t *list = json_array();
    for (int64_t at = from_s; at <= to_s; at++) {
        const struct series_second *second = series_at(s, at);
        if (second && json_array_size(list) < most)
            json_push(list, second_json(at, second));
    }
    return list;
}

static json_t *releases_json(const struct app_env *a, int64_t from_s, int64_t to_s)
{
    json_t *releases = json_object();
    for (size_t i = 0; i < APP_ENV_RELEASES; i++) {
        if (!a->releases[i])
            continue;
        struct series_second sum = series_sum(&a->releases[i]->series, from_s, to_s);
        if (!sum.requests)
            continue;
        AUTO_FREE char *name = mem_format("%u", a->releases[i]->release);
        json_t *value = json_object();
        json_put_int(value, "requests", sum.requests);
        json_put_int(value, "errors", sum.errors);
        json_put_int(value, "us_sum", (int64_t)sum.us_sum);
        json_put(releases, name, value);
    }
    return releases;
}

static json_t *sum_json(const struct series *s, int64_t from_s, int64_t to_s)
{
    json_t *value = json_object();
    struct series_second sum = series_sum(s, from_s, to_s);
    json_put_int(value, "requests", sum.requests);
    json_put_int(value, "errors", sum.errors);
    json_put_int(value, "us_sum", (int64_t)sum.us_sum);
    json_put_int(value, "us_max", sum.us_max);
    return value;
}

/* The sums are of the whole time; of the single seconds the newest, as many as a message holds. */
static json_t *top_json(const struct app_env *a, int64_t from_s, int64_t to_s, size_t most)
{
    json_t *value = json_object();
    json_put(value, "sum", sum_json(&a->series, from_s, to_s));
    json_put(value, "releases", releases_json(a, from_s, to_s));
    if (to_s - from_s >= (int64_t)most)
        from_s = to_s - (int64_t)most + 1;
    json_put_int(value, "seconds_from", from_s);
    json_put(value, "seconds", seconds_json(&a->series, from_s, to_s, most));
    return value;
}

void query_verb_top(void *context, struct message *m)
{
    json_t *ok = json_object();
    json_t *all = json_object();
    const char *only = json_text(m->args, "app_env");
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;
    int64_t from_s = now_s - json_int(m->args, "seconds", 60) + 1;
    size_t count = app_env_count();
    size_t most = only || count == 0 ? SECONDS_MOST : SECONDS_MOST / count + 1;
    (void)context;
    for (size_t i = 0; i < count; i++) {
        const struct app_env *a = app_env_at(i);
        if ((!only || text_is(only, a->name)) && a->series.newest_s >= from_s)
            json_put(all, a->name, top_json(a, from_s, now_s, most));
    }
    json_put_int(ok, "now", now_s);
    json_put(ok, "app_envs", all);
    message_ok(m, ok);
}
