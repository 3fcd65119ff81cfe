/* The feed: order, resuming, gaps, and subscribers that come and go while an event is told. */
#include "core/feed/feed.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"

TAP_MAIN()

struct listener {
    struct feed *feed;
    struct feed_subscriber *self;
    struct buf told;
    bool leave;   /* at the next event */
    bool publish; /* one more, at the next event */
    int64_t count;
};

static void on_event(void *context, const struct feed_event *event)
{
    struct listener *l = context;
    l->count++;
    (void)buf_add_format(&l->told, "%lld:%s%s ", (long long)event->id, event->topic,
                         json_text_or(event->data, "name", ""));
    if (l->leave)
        feed_unsubscribe(l->feed, l->self);
    if (l->publish) {
        l->publish = false;
        feed_publish(l->feed, "again", 0, json_object());
    }
}

static void publish(struct feed *f, const char *name)
{
    json_t *data = json_object();
    json_put_text(data, "name", name);
    feed_publish(f, "t", 3, data);
}

#define IS_TOLD(listener_, want)                                                                   \
    do {                                                                                           \
        IS_STR((listener_).told.length ? (listener_).told.data : "", (want));                      \
        buf_clear(&(listener_).told);                                                              \
    } while (0)

TEST(new_events_reach_those_who_listen)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f}, b = {.feed = f};
    publish(f, "0");
    IS_INT(feed_last_id(f), 1);
    a.self = feed_subscribe(f, -1, on_event, &a);
    publish(f, "1");
    b.self = feed_subscribe(f, -1, on_event, &b);
    publish(f, "2");
    feed_unsubscribe(f, a.self);
    publish(f, "3");
    IS_TOLD(a, "2:t1 3:t2 ");
    IS_TOLD(b, "3:t2 4:t3 ");
    feed_unsubscribe(f, NULL);
    feed_free(f);
    buf_done(&a.told);
    buf_done(&b.told);
}

TEST(it_resumes_where_somebody_stopped)
{
    struct feed *f = feed_new(101);
    struct listener a = {.feed = f};
    for (int i = 0; i < 5; i++)
        publish(f, "x");
    a.self = feed_subscribe(f, 103, on_event, &a);
    IS_TOLD(a, "104:tx 105:tx ");
    feed_unsubscribe(f, a.self);
    a.self = feed_subscribe(f, 105, on_event, &a);
    IS_TOLD(a, "");
    feed_unsubscribe(f, a.self);
    a.self = feed_subscribe(f, 100, on_event, &a);
    IS_TOLD(a, "101:tx 102:tx 103:tx 104:tx 105:tx ");
    feed_free(f);
    buf_done(&a.told);
}

TEST(a_gap_is_told)
{
    struct feed *f = feed_new(101);
    struct listener a = {.feed = f};
    publish(f, "x");
    publish(f, "y");
    a.self = feed_subscribe(f, 7, on_event, &a); /* of an earlier core */
    IS_TOLD(a, "100:gap 101:tx 102:ty ");
    feed_unsubscribe(f, a.self);
    a.self = feed_subscribe(f, 900, on_event, &a); /* of a core that was put back */
    IS_TOLD(a, "100:gap 101:tx 102:ty ");
    feed_free(f);
    buf_done(&a.told);
}

TEST(the_last_two_thousand_are_kept)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f};
    for (int i = 0; i < 4500; i++)
        publish(f, "x");
    a.self = feed_subscribe(f, 2500, on_event, &a);
    IS_INT(a.count, 2000);
    feed_unsubscribe(f, a.self);
    a.count = 0;
    a.self = feed_subscribe(f, 2499, on_event, &a);
    IS_INT(a.count, 2001); /* the gap, and all that is left */
    feed_free(f);
    buf_done(&a.told);
}

TEST(large_events_are_kept_by_their_bytes)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f};
    AUTO_FREE char *text = mem_alloc(100001);
    memset(text, 'x', 100000);
    for (int i = 0; i < 500; i++) {
        json_t *data = json_object();
        json_put_text(data, "text", text);
        feed_publish(f, "t", 1, data);
    }
    a.self = feed_subscribe(f, 1, on_event, &a);
    IS_INT(a.count, 1 + (8 << 20) / 100000); /* the gap, and all that is left */
    feed_free(f);
    buf_done(&a.told);
}

TEST(leaving_and_publishing_inside_an_event_are_safe)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f, .publish = true}, b = {.feed = f, .leave = true};
    a.self = feed_subscribe(f, -1, on_event, &a);
    b.self = feed_subscribe(f, -1, on_event, &b);
    publish(f, "1");
    publish(f, "2");
    IS_TOLD(a, "1:t1 2:again 3:t2 ");
    IS_TOLD(b, "1:t1 ");
    feed_free(f);
    buf_done(&a.told);
    buf_done(&b.told);
}
