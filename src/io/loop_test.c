/* Timers, deferred calls, pool work and watches. */
#include <unistd.h>
#include "base/tap.h"
#include "io/until.h"

TAP_MAIN()

struct seen {
    struct timer *timer;
    int fired;
    bool slot_was_empty;
    bool done;
};

static void one_shot(void *context)
{
    struct seen *s = context;
    s->slot_was_empty = s->timer == NULL;
    s->fired++;
    s->done = true;
}

static void third_time(void *context)
{
    struct seen *s = context;
    if (++s->fired < 3)
        return;
    timer_free(&s->timer);
    s->done = true;
}

TEST(one_shot_timer_empties_its_slot)
{
    struct seen s = {0};
    timer_start(&s.timer, 1, 0, one_shot, &s);
    OK(until(until_set, &s.done));
    OK(s.slot_was_empty);
    timer_free(&s.timer); /* an empty slot is fine */
    IS_INT(s.fired, 1);
}

TEST(repeating_timer_can_free_itself)
{
    struct seen s = {0};
    timer_start(&s.timer, 1, 1, third_time, &s);
    OK(until(until_set, &s.done));
    until_quiet();
    IS_INT(s.fired, 3);
    OK(s.timer == NULL);
}

TEST(starting_again_replaces)
{
    struct seen s = {0};
    timer_start(&s.timer, 0, 0, third_time, &s);
    timer_start(&s.timer, 1, 0, one_shot, &s);
    OK(until(until_set, &s.done));
    IS_INT(s.fired, 1);
}

TEST(only_a_sooner_start_replaces)
{
    struct seen s = {0}, later = {0};
    timer_sooner(&s.timer, 60000, third_time, &s); /* an empty slot takes it */
    timer_sooner(&s.timer, 1, one_shot, &s);
    timer_sooner(&s.timer, 60000, third_time, &s); /* not sooner: as it was */
    OK(until(until_set, &s.done));
    IS_INT(s.fired, 1);
    OK(s.timer == NULL);
    timer_sooner(&later.timer, -5000, one_shot, &later); /* long due: now */
    OK(until(until_set, &later.done));
    IS_INT(later.fired, 1);
}

static void deferred(void *context)
{
    struct seen *s = context;
    if (++s->fired == 3)
        s->done = true;
    else
        loop_defer(deferred, s);
}

TEST(deferred_calls_run_later_and_may_defer_again)
{
    struct seen s = {0};
    loop_defer(deferred, &s);
    IS_INT(s.fired, 0);
    OK(until(until_set, &s.done));
    IS_INT(s.fired, 3);
    until_quiet();
    OK(!uv_loop_alive(loop_get()));
}

static void work(void *context)
{
    ((struct seen *)context)->fired = 7;
}

static void work_over(void *context)
{
    ((struct seen *)context)->done = true;
}

TEST(work_comes_back)
{
    struct seen s = {0};
    loop_work(work, work_over, &s);
    OK(until(until_set, &s.done));
    IS_INT(s.fired, 7);
}

static void stop_soon(void *context)
{
    ((struct seen *)context)->fired++;
    loop_stop();
}

static void terminate_ourselves(void *context)
{
    (void)context;
    (void)kill(getpid(), SIGTERM);
}

TEST(run_ends_by_stop_and_by_signal)
{
    struct seen s = {0};
    struct timer *timer = NULL;
    timer_start(&timer, 1, 0, stop_soon, &s);
    loop_run(NULL, NULL);
    IS_INT(s.fired, 1);
    timer_start(&timer, 1, 0, terminate_ourselves, NULL);
    loop_run(stop_soon, &s);
    IS_INT(s.fired, 2);
    timer_start(&timer, 1, 0, terminate_ourselves, NULL);
    loop_run(NULL, NULL);
    OK(timer == NULL);
}

struct watched {
    int ends[2];
    struct watch *watch;
    int events;
    bool done;
};

static void ready(void *context, int events)
{
    struct watched *w = context;
    w->events = events;
    watch_free(w->watch);
    w->watch = NULL;
    w->done = true;
}

TEST(watch_sees_data_and_may_free_itself)
{
    struct watched w = {0};
    OK(pipe(w.ends) == 0);
    w.watch = watch_new(w.ends[0], ready, &w);
    OK(write(w.ends[1], "x", 1) == 1);
    until_quiet();
    OK(!w.done); /* paused until told what to watch for */
    watch_set(w.watch, WATCH_READ);
    OK(until(until_set, &w.done));
    IS_INT(w.events, WATCH_READ);
    (void)close(w.ends[0]);
    (void)close(w.ends[1]);
}

TEST(watch_tells_a_writer_that_the_reader_has_gone)
{
    struct watched w = {0};
    OK(pipe(w.ends) == 0);
    (void)close(w.ends[0]);
    w.watch = watch_new(w.ends[1], ready, &w);
    watch_set(w.watch, WATCH_WRITE);
    OK(until(until_set, &w.done));
    IS_INT(w.events, WATCH_WRITE);
    OK(write(w.ends[1], "x", 1) < 0); /* and SIGPIPE did not kill us */
    (void)close(w.ends[1]);
    until_quiet();
}
