#include "signals/ring.h"
#include <stdio.h>
#include "base/mem.h"
#include "base/tap.h"

static void add(struct ring *r, const char *text)
{
    struct ring_new entry = {.release = 42, .stream = 1, .at_ms = 7, .text = str_of(text)};
    entry.name = STR("r42.1");
    ring_add(r, &entry);
}

TEST(gives_back_what_it_got_in_order)
{
    struct ring r;
    struct ring_cursor cursor = {NULL, 0};
    ring_init(&r, 2 * RING_CHUNK);
    OK(!ring_next(&r, &cursor));
    add(&r, "one");
    add(&r, "two");
    const struct ring_entry *e = ring_next(&r, &cursor);
    OK(e && str_is(ring_text(e), "one") && str_is(ring_name(e), "r42.1") && e->release == 42);
    int64_t first = e ? e->seq : 0;
    e = ring_next(&r, &cursor);
    OK(e && str_is(ring_text(e), "two") && e->seq == first + 1);
    OK(!ring_next(&r, &cursor));
    ring_done(&r);
    IS_INT(ring_all_bytes(), 0);
}

TEST(drops_the_oldest_past_its_ceiling)
{
    struct ring r;
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ring_init(&r, 3 * RING_CHUNK);
    for (int i = 0; i < 1000; i++)
        add(&r, text);
    IS_INT(r.bytes, 3 * RING_CHUNK);
    OK(r.dropped > 850 && r.dropped < 960);
    struct ring_cursor cursor = {NULL, 0};
    int64_t count = 0, last = 0;
    const struct ring_entry *e;
    while ((e = ring_next(&r, &cursor))) {
        OK(e->seq > last);
        last = e->seq;
        count++;
    }
    IS_INT(count + r.dropped, 1000);
    IS_INT(last, r.last_seq);
    ring_done(&r);
}

TEST(seeks_past_a_number)
{
    struct ring r;
    ring_init(&r, 4 * RING_CHUNK);
    struct ring_cursor cursor = ring_seek(&r, 0);
    OK(!ring_next(&r, &cursor));
    for (int i = 0; i < 2000; i++)
        add(&r, "0123456789012345678901234567890123456789");
    int64_t after = r.last_seq - 700;
    cursor = ring_seek(&r, after);
    const struct ring_entry *e = ring_next(&r, &cursor);
    IS_INT(e ? e->seq : 0, after + 1);
    cursor = ring_seek(&r, r.last_seq);
    OK(!ring_next(&r, &cursor));
    add(&r, "new");
    e = ring_next(&r, &cursor);
    OK(e && str_is(ring_text(e), "new"));
    ring_done(&r);
}

TEST(cuts_what_is_too_long_and_stays_below_the_total)
{
    static struct ring all[40];
    AUTO_FREE char *text = mem_alloc(2 * RING_TEXT_MAX);
    memset(text, 'y', 2 * RING_TEXT_MAX - 1);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        ring_init(&all[i], 4u << 20);
        for (int k = 0; k < 300; k++)
            add(&all[i], text);
    }
    OK(ring_all_bytes() <= RING_ALL_MAX);
    struct ring_cursor cursor = {NULL, 0};
    const struct ring_entry *e = ring_next(&all[39], &cursor);
    IS_INT(e ? e->text_length : 0, RING_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        ring_done(&all[i]);
    IS_INT(ring_all_bytes(), 0);
}

TAP_MAIN()
