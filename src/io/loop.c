/* The one libuv loop of a process, and the idioms on top of it: timers that own their handle,
 * deferred calls, pool work and fd watches.
 *
 * libuv frees a handle only when its close callback ran; every struct here therefore outlives the
 * call that gives it up, which is also why freeing from inside one's own callback is safe. Deferred
 * calls ride on one idle handle that is started only while something waits. Nothing here fails but
 * for lack of memory or descriptors, which panics. */
#include "io/loop.h"
#include <signal.h>
#include "base/check.h"
#include "base/mem.h"

struct deferred {
    void (*fn)(void *context);
    void *context;
};
static struct {
    uv_loop_t loop;
    bool made;
    uv_idle_t idle;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    struct deferred *deferred;
    size_t deferred_count;
    size_t deferred_capacity;
    void (*on_terminate)(void *context);
    void *terminate_context;
} us;

uv_loop_t *loop_get(void)
{
    if (us.made)
        return &us.loop;
    check_own_loop();
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for SIGPIPE */
    ASSERT(uv_loop_init(&us.loop) == 0);
    ASSERT(uv_idle_init(&us.loop, &us.idle) == 0);
    ASSERT(uv_signal_init(&us.loop, &us.terminate) == 0);
    ASSERT(uv_signal_init(&us.loop, &us.interrupt) == 0);
    us.made = true;
    return &us.loop;
}

static void terminate_seen(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    if (us.on_terminate)
        us.on_terminate(us.terminate_context);
    else
        loop_stop();
}

void loop_run(void (*on_terminate)(void *context), void *context)
{
    (void)loop_get();
    CHECK_LOOP();
    us.on_terminate = on_terminate;
    us.terminate_context = context;
    ASSERT(uv_signal_start(&us.terminate, terminate_seen, SIGTERM) == 0);
    ASSERT(uv_signal_start(&us.interrupt, terminate_seen, SIGINT) == 0);
    (void)uv_run(&us.loop, UV_RUN_DEFAULT); /* non-zero only says that handles are left */
    (void)uv_signal_stop(&us.terminate);    /* these never fail */
    (void)uv_signal_stop(&us.interrupt);
}

void loop_stop(void)
{
    uv_stop(loop_get());
}

struct timer {
    uv_timer_t handle;
    struct timer **slot;
    void (*fn)(void *context);
    void *context;
    bool repeats;
};

static void timer_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF(handle, struct timer, handle));
}

static void timer_fired(uv_timer_t *handle)
{
    struct timer *t = CONTAINER_OF(handle, struct timer, handle);
    if (!t->repeats)
        timer_free(t->slot);
    t->fn(t->context);
}

void timer_start(struct timer **slot, int64_t delay_ms, int64_t repeat_ms,
                 void (*fn)(void *context), void *context)
{
    struct timer *t = mem_alloc(sizeof(*t));
    ASSERT(delay_ms >= 0 && repeat_ms >= 0);
    timer_free(slot);
    *t = (struct timer){.slot = slot, .fn = fn, .context = context, .repeats = repeat_ms > 0};
    ASSERT(uv_timer_init(loop_get(), &t->handle) == 0);
    uv_update_time(&us.loop); /* a long callback must not shorten the delay */
    ASSERT(uv_timer_start(&t->handle, timer_fired, (uint64_t)delay_ms, (uint64_t)repeat_ms) == 0);
    *slot = t;
}

void timer_sooner(struct timer **slot, int64_t delay_ms, void (*fn)(void *context), void *context)
{
    delay_ms = delay_ms > 0 ? delay_ms : 0;
    uv_update_time(loop_get());
    if (!*slot || uv_timer_get_due_in(&(*slot)->handle) > (uint64_t)delay_ms)
        timer_start(slot, delay_ms, 0, fn, context);
}

void timer_free(struct timer **slot)
{
    struct timer *t = *slot;
    if (!t)
        return;
    *slot = NULL;
    uv_close((uv_handle_t *)&t->handle, timer_closed);
}

/* What is deferred while these run waits for the next round. */
static void deferred_run(uv_idle_t *handle)
{
    struct deferred *list = us.deferred;
    size_t count = us.deferred_count;
    us.deferred = NULL;
    us.deferred_count = us.deferred_capacity = 0;
    for (size_t i = 0; i < count; i++)
        list[i].fn(list[i].context);
    if (us.deferred_count == 0 && !us.deferred) { /* keep the memory for the next time */
        us.deferred = list;
        us.deferred_capacity = count;
        (void)uv_idle_stop(handle); /* never fails */
        return;
    }
    free(list);
}

void loop_defer(void (*fn)(void *context), void *context)
{
    (void)loop_get();
    if (us.deferred_count == us.deferred_capacity) {
        us.deferred_capacity = us.deferred_capacity ? us.deferred_capacity * 2 : 16;
        us.deferred = mem_resize(us.deferred, us.deferred_capacity, sizeof(*us.deferred));
    }
    us.deferred[us.deferred_count++] = (struct deferred){fn, context};
    ASSERT(uv_idle_start(&us.idle, deferred_run) == 0);
}

struct work {
    uv_work_t request;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

static void work_run(uv_work_t *request)
{
    struct work *w = CONTAINER_OF(request, struct work, request);
    w->work(w->context);
}

static void work_done(uv_work_t *request, int status)
{
    struct work *w = CONTAINER_OF(request, struct work, request);
    (void)status; /* never cancelled */
    w->done(w->context);
    free(w);
}

void loop_work(void (*work)(void *context), void (*done)(void *context), void *context)
{
    struct work *w = mem_alloc(sizeof(*w));
    *w = (struct work){.work = work, .done = done, .context = context};
    ASSERT(uv_queue_work(loop_get(), &w->request, work_run, work_done) == 0);
}

struct watch {
    uv_poll_t handle;
    void (*fn)(void *context, int events);
    void *context;
    int wanted;
};

static void watch_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF(handle, struct watch, handle));
}

static void watch_fired(uv_poll_t *handle, int status, int events);

static void watch_apply(struct watch *w)
{
    int flags = ((w->wanted & WATCH_READ) ? UV_READABLE : 0) |
                ((w->wanted & WATCH_WRITE) ? UV_WRITABLE : 0);
    if (flags)
        ASSERT(uv_poll_start(&w->handle, flags, watch_fired) == 0);
    else
        (void)uv_poll_stop(&w->handle); /* never fails */
}

/* libuv stops a handle on POLLERR: report all that was asked for, the caller's read or write finds
 * the error, and go on watching as poll would. */
static void watch_fired(uv_poll_t *handle, int status, int events)
{
    struct watch *w = CONTAINER_OF(handle, struct watch, handle);
    int seen =
        ((events & UV_READABLE) ? WATCH_READ : 0) | ((events & UV_WRITABLE) ? WATCH_WRITE : 0);
    if (status < 0) {
        seen = w->wanted;
        watch_apply(w);
    }
    seen &= w->wanted;
    if (seen)
        w->fn(w->context, seen);
}

struct watch *watch_new(int fd, void (*fn)(void *context, int events), void *context)
{
    struct watch *w = mem_alloc(sizeof(*w));
    *w = (struct watch){.fn = fn, .context = context};
    ASSERT(uv_poll_init(loop_get(), &w->handle, fd) == 0);
    return w;
}

void watch_set(struct watch *w, int events)
{
    if (w->wanted == events) /* each change costs libuv two system calls */
        return;
    w->wanted = events;
    watch_apply(w);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    w->wanted = 0;
    uv_close((uv_handle_t *)&w->handle, watch_closed);
}
