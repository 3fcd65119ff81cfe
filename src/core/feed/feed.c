/* A ring of the last events and the list of who listens. */
#include "core/feed/feed.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "core/core.h"
#include "core/tick/tick.h"

#define FEED_KEPT 2000
#define FEED_BYTES                                                                                 \
    (8u << 20) /* of the texts in them: the output of a build comes in large pieces */

struct feed_subscriber {
    struct feed_subscriber *next;
    void (*on_news)(void *context);
    void *context;
    bool gone;
};
struct feed {
    struct feed_event kept[FEED_KEPT]; /* event id % FEED_KEPT */
    size_t weights[FEED_KEPT];         /* bytes of each, roughly */
    size_t weight;                     /* of all */
    int64_t begin_id;                  /* the first of this run of core */
    int64_t first_id;                  /* the oldest that can be in the ring */
    int64_t last_id;
    json_t *gap; /* the data of the gap told last */
    struct feed_subscriber *subscribers;
    int publishing;
};

struct feed *feed_new(int64_t first_id)
{
    struct feed *f = mem_alloc(sizeof(*f));
    f->begin_id = f->first_id = first_id;
    f->last_id = first_id - 1;
    return f;
}

static struct feed_event *slot(struct feed *f, int64_t id)
{
    return &f->kept[id % FEED_KEPT];
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < FEED_KEPT; i++)
        json_decref(f->kept[i].data);
    json_decref(f->gap);
    while (f->subscribers) {
        struct feed_subscriber *s = f->subscribers;
        f->subscribers = s->next;
        free(s);
    }
    free(f);
}

int64_t feed_first_id(const struct feed *f)
{
    return f->first_id;
}

int64_t feed_last_id(const struct feed *f)
{
    return f->last_id;
}

static void sweep(struct feed *f)
{
    struct feed_subscriber **at = &f->subscribers;
    while (*at) {
        struct feed_subscriber *s = *at;
        if (s->gone) {
            *at = s->next;
            free(s);
        } else {
            at = &s->next;
        }
    }
}

#define VALUE_WEIGHT 64 /* bytes of one, about */

static size_t weigh(json_t *data)
{
    size_t weight = VALUE_WEIGHT + json_string_length(data), i; /* 0 for what is no text */
    const char *name;
    json_t *value;
    json_object_foreach(data, name, value)
    {
        weight += weigh(value);
    }
    json_array_foreach(data, i, value)
    {
        weight += weigh(value);
    }
    return weight;
}

static void drop_oldest(struct feed *f)
{
    struct feed_event *event = slot(f, f->first_id);
    size_t *weight = &f->weights[f->first_id % FEED_KEPT];
    json_decref(event->data);
    event->data = NULL;
    f->weight -= *weight;
    *weight = 0;
    f->first_id++;
}

void feed_publish(struct feed *f, const char *topic, int64_t app_env_id, json_t *data)
{
    size_t weight = weigh(data);
    while (f->first_id <= f->last_id &&
           (f->last_id - f->first_id + 1 >= FEED_KEPT || f->weight + weight > FEED_BYTES))
        drop_oldest(f);
    struct feed_event *event = slot(f, ++f->last_id);
    f->weights[f->last_id % FEED_KEPT] = weight;
    f->weight += weight;
    *event =
        (struct feed_event){f->last_id, clock_wall_ms(clock_system()), topic, app_env_id, data};
    f->publishing++;
    for (struct feed_subscriber *s = f->subscribers; s; s = s->next) {
        if (!s->gone)
            s->on_news(s->context);
    }
    f->publishing--;
    if (!f->publishing)
        sweep(f);
}

/* Its id is the one before what follows, for whoever resumes right after it. */
static struct feed_event gap_event(struct feed *f, int64_t after)
{
    bool counted = after >= f->begin_id - 1 && after <= f->last_id;
    json_decref(f->gap);
    f->gap = json_object();
    json_put_int(f->gap, "from", f->first_id);
    if (counted)
        json_put_int(f->gap, "lost", f->first_id - 1 - after);
    else
        json_put(f->gap, "lost", json_null()); /* of another run of core */
    return (struct feed_event){f->first_id - 1, clock_wall_ms(clock_system()), "gap", 0, f->gap};
}

int feed_next(struct feed *f, int64_t *after, struct feed_event *ret_event)
{
    if (*after == f->last_id)
        return FEED_END;
    if (*after + 1 < f->first_id || *after > f->last_id)
        *ret_event = gap_event(f, *after);
    else
        *ret_event = *slot(f, *after + 1);
    *after = ret_event->id;
    return 0;
}

struct feed_subscriber *feed_subscribe(struct feed *f, void (*on_news)(void *context),
                                       void *context)
{
    struct feed_subscriber *s = mem_alloc(sizeof(*s));
    *s = (struct feed_subscriber){f->subscribers, on_news, context, false};
    f->subscribers = s;
    return s;
}

void feed_unsubscribe(struct feed *f, struct feed_subscriber *s)
{
    if (!s)
        return;
    s->gone = true;
    if (!f->publishing)
        sweep(f);
}

struct publish {
    struct core *core;
    const char *topic;
    int64_t app_env_id;
    json_t *data;
};

static void publish_drop(void *context)
{
    struct publish *p = context;
    json_decref(p->data);
    free(p);
}

static void publish_run(void *context, const struct err *error)
{
    struct publish *p = context;
    if (!error)
        feed_publish(p->core->feed, p->topic, p->app_env_id, json_incref(p->data));
    publish_drop(p);
}

void feed_publish_after(struct core *core, const char *topic, int64_t app_env_id, json_t *data)
{
    struct publish *p = mem_alloc(sizeof(*p));
    *p = (struct publish){core, topic, app_env_id, data};
    tick_after(core->tick, publish_run, publish_drop, p);
}
