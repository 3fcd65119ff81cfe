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
    int64_t after;
    struct buf told;
    bool leave;   /* at the next news */
    bool publish; /* one more, at the next news */
    int64_t count;
    int64_t lost; /* -1: nobody knows */
};

static void publish(struct feed *f, const char *name)
{
    json_t *data = json_object();
    json_put_text(data, "name", name);
    feed_publish(f, "t", 3, data);
}

/* At most so many events. */
static void read_on(struct listener *l, int most)
{
    struct feed_event event;
    while (most-- > 0 && feed_next(l->feed, &l->after, &event) == 0) {
        l->count++;
        IS_INT(l->after, event.id);
        (void)buf_add_format(&l->told, "%lld:%s%s ", (long long)event.id, event.topic,
                             json_text_or(event.data, "name", ""));
        if (text_is(event.topic, "gap"))
            l->lost = json_int(event.data, "lost", -1);
    }
}

static void on_news(void *context)
{
    struct listener *l = context;
    read_on(l, 1000);
    if (l->leave)
        feed_unsubscribe(l->feed, l->self);
    if (l->publish) {
        l->publish = false;
        feed_publish(l->feed, "again", 0, json_object());
    }
}

static void listen_from(struct listener *l, int64_t after)
{
    l->after = after;
    l->self = feed_subscribe(l->feed, on_news, l);
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
    listen_from(&a, 1);
    publish(f, "1");
    listen_from(&b, 2);
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
    struct listener a = {.feed = f, .after = 103};
    for (int i = 0; i < 5; i++)
        publish(f, "x");
    read_on(&a, 1);
    IS_TOLD(a, "104:tx ");
    read_on(&a, 100);
    IS_TOLD(a, "105:tx ");
    read_on(&a, 100);
    IS_TOLD(a, "");
    a.after = 100;
    read_on(&a, 100);
    IS_TOLD(a, "101:tx 102:tx 103:tx 104:tx 105:tx ");
    feed_free(f);
    buf_done(&a.told);
}

TEST(a_gap_is_told)
{
    struct feed *f = feed_new(101);
    struct listener a = {.feed = f, .after = 7}; /* of an earlier core */
    publish(f, "x");
    publish(f, "y");
    read_on(&a, 100);
    IS_TOLD(a, "100:gap 101:tx 102:ty ");
    IS_INT(a.lost, -1);
    a.after = 900; /* of a core that was put back */
    read_on(&a, 100);
    IS_TOLD(a, "100:gap 101:tx 102:ty ");
    IS_INT(a.lost, -1);
    feed_free(f);
    buf_done(&a.told);
}

TEST(a_slow_reader_is_told_how_much_it_lost_and_goes_on)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f};
    for (int i = 0; i < 10; i++)
        publish(f, "x");
    read_on(&a, 4);
    for (int i = 0; i < 3000; i++)
        publish(f, "x");
    buf_clear(&a.told);
    read_on(&a, 2);
    IS_TOLD(a, "1010:gap 1011:tx ");
    IS_INT(a.lost, 1010 - 4);
    read_on(&a, 5000);
    IS_INT(a.after, 3010);
    IS_INT(a.count, 4 + 1 + 2000);
    feed_free(f);
    buf_done(&a.told);
}

TEST(the_last_two_thousand_are_kept)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f, .after = 2500};
    for (int i = 0; i < 4500; i++)
        publish(f, "x");
    read_on(&a, 5000);
    IS_INT(a.count, 2000);
    a.count = 0;
    a.after = 2499;
    read_on(&a, 5000);
    IS_INT(a.count, 2001); /* the gap, and all that is left */
    feed_free(f);
    buf_done(&a.told);
}

TEST(large_events_are_kept_by_their_bytes)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f, .after = 1};
    AUTO_FREE char *text = mem_alloc(100001);
    memset(text, 'x', 100000);
    for (int i = 0; i < 500; i++) {
        json_t *data = json_object();
        json_put_text(data, "text", text);
        feed_publish(f, "t", 1, data);
    }
    read_on(&a, 5000);
    IS_INT(a.count, 1 + (8 << 20) / 100000); /* the gap, and all that is left */
    feed_free(f);
    buf_done(&a.told);
}

TEST(leaving_and_publishing_inside_news_are_safe)
{
    struct feed *f = feed_new(1);
    struct listener a = {.feed = f, .publish = true}, b = {.feed = f, .leave = true};
    listen_from(&a, 0);
    listen_from(&b, 0);
    publish(f, "1");
    publish(f, "2");
    IS_TOLD(a, "1:t1 2:again 3:t2 ");
    IS_TOLD(b, "1:t1 ");
    feed_free(f);
    buf_done(&a.told);
    buf_done(&b.told);
}
